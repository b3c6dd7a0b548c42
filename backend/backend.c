#include "backend/backend.h"

#include <string.h>

#include "base/status.h"

/* Tests have a table of their own. */
#ifndef PDAG_BACKEND_TABLE
#define PDAG_BACKEND_TABLE "backend/backend_table.h"
#endif

#define PDAG_BACKEND(name) extern const pdag_backend_ops pdag_backend_##name;
#include PDAG_BACKEND_TABLE
#undef PDAG_BACKEND

static const pdag_backend_ops *const backends[] = {
#define PDAG_BACKEND(name) &pdag_backend_##name,
#include PDAG_BACKEND_TABLE
#undef PDAG_BACKEND
    NULL};

static const char *const precision_names[] = {
    [PDAG_PRECISION_FLOAT32] = "float32",
    [PDAG_PRECISION_BFLOAT16] = "bfloat16",
    [PDAG_PRECISION_FLOAT16] = "float16",
    [PDAG_PRECISION_TF32] = "tf32",
};

#define N_PRECISIONS (sizeof precision_names / sizeof precision_names[0])
#define NAMES_BYTES 256

const pdag_backend_ops *const *pdag_backend_list(void)
{
    return backends;
}

/* "ref, onednn" */
static void list_names(char names[NAMES_BYTES])
{
    size_t used = 0;

    names[0] = '\0';
    for (size_t i = 0; backends[i] != NULL; i++) {
        const char *separator = i > 0 ? ", " : "";
        size_t bytes = strlen(separator) + strlen(backends[i]->name);

        if (used + bytes >= NAMES_BYTES)
            return;
        strcat(names, separator);
        strcat(names, backends[i]->name);
        used += bytes;
    }
}

/* The highest priority below `below`, or NULL; equal ones in table order would
 * hide each other, so the table has none. */
static const pdag_backend_ops *next_by_priority(int below)
{
    const pdag_backend_ops *best = NULL;

    for (size_t i = 0; backends[i] != NULL; i++) {
        const pdag_backend_ops *ops = backends[i];

        if (ops->priority < below &&
            (best == NULL || ops->priority > best->priority))
            best = ops;
    }
    return best;
}

/* Who asks for a backend. */
typedef struct asker {
    bool is_local; /* a process among others; else `number` is a device's */
    int number;
    bool share;
} asker;

static pdag_status open_for(const pdag_backend_ops *ops, const asker *who,
                            pdag_precision precision, pdag_backend **be_out,
                            int *device_out)
{
    int n = who->is_local && ops->n_devices != NULL ? ops->n_devices() : 0;
    int device = who->number;
    pdag_status status;

    if (who->is_local && ops->n_devices == NULL)
        device = 0;
    else if (n > 0 && device >= n && who->share)
        device %= n;
    else if (n > 0 && device >= n)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "backend %s: this machine has %d device%s, not one for "
                          "each of its ranks (--share-devices lets them share)",
                          ops->name, n, n == 1 ? "" : "s");
    status = ops->open(device, precision, be_out);
    if (status == PDAG_OK)
        *device_out = ops->n_devices != NULL ? device : -1;
    return status;
}

static pdag_status open_any(const asker *who, pdag_precision precision,
                            pdag_backend **be_out, int *device_out)
{
    const pdag_backend_ops *ops;
    int below = 1 << 30;
    char names[NAMES_BYTES];

    while ((ops = next_by_priority(below)) != NULL) {
        pdag_status status = open_for(ops, who, precision, be_out, device_out);

        if (status != PDAG_ERR_UNSUPPORTED)
            return status;
        below = ops->priority;
    }
    list_names(names);
    return pdag_error_prefix(PDAG_ERR_UNSUPPORTED,
                             "no backend for %s on device %d (built in: %s)",
                             pdag_precision_name(precision),
                             who->is_local ? 0 : who->number, names);
}

static pdag_status open_named(const char *name, const asker *who,
                              pdag_precision precision, pdag_backend **be_out,
                              int *device_out)
{
    char names[NAMES_BYTES];

    if (strcmp(name, "auto") == 0)
        return open_any(who, precision, be_out, device_out);
    for (size_t i = 0; backends[i] != NULL; i++)
        if (strcmp(backends[i]->name, name) == 0)
            return open_for(backends[i], who, precision, be_out, device_out);
    list_names(names);
    return pdag_error(PDAG_ERR_UNSUPPORTED,
                      "backend '%s' is not built in (built in: %s)", name,
                      names);
}

pdag_status pdag_backend_open(const char *name, int device,
                              pdag_precision precision, pdag_backend **be_out)
{
    const asker who = {.is_local = false, .number = device};
    int opened;

    return open_named(name, &who, precision, be_out, &opened);
}

pdag_status pdag_backend_open_local(const char *name, int local, bool share,
                                    pdag_precision precision,
                                    pdag_backend **be_out, int *device_out)
{
    const asker who = {.is_local = true, .number = local, .share = share};

    return open_named(name, &who, precision, be_out, device_out);
}

pdag_status pdag_precision_parse(const char *name, pdag_precision *out)
{
    for (size_t i = 0; i < N_PRECISIONS; i++)
        if (strcmp(precision_names[i], name) == 0) {
            *out = (pdag_precision)i;
            return PDAG_OK;
        }
    return pdag_error(PDAG_ERR_ARG,
                      "precision '%s': wanted float32, bfloat16, float16 or "
                      "tf32",
                      name);
}

const char *pdag_precision_name(pdag_precision precision)
{
    return precision_names[precision];
}
