#include "models/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/mem.h"
#include "models/lora_names.h"
#include "models/safetensors.h"

/* Names that an error lists, and room for them in its text. */
#define MOST_NAMES 10
#define LIST_BYTES 700

/* One tensor of the file with what its name means. */
typedef struct piece {
    const pdag_tensor_view *view;
    pdag_lora_name name;
} piece;

struct pdag_lora {
    pdag_safetensors *file;
    const char *style; /* static */
    pdag_lora_adapter *adapters; /* [n_adapters] */
    size_t n_adapters;
};

/* Alpha as a JSON text tells it; root NULL: nothing does. */
typedef struct settings {
    json_t *root;      /* owned */
    bool has_prefixes; /* "unet.lora_alpha", not "lora_alpha" */
} settings;

void pdag_lora_close(pdag_lora *lora)
{
    if (lora == NULL)
        return;
    for (size_t i = 0; i < lora->n_adapters; i++)
        free(lora->adapters[i].module);
    free(lora->adapters);
    pdag_safetensors_close(lora->file);
    free(lora);
}

/* Names for an error's text: the first ten, as far as there is room. */
typedef struct name_list {
    char text[LIST_BYTES];
    size_t used, n;
} name_list;

static void list_name(name_list *list, const char *name)
{
    size_t n = strlen(name) + 2;

    list->n++;
    if (list->n > MOST_NAMES || list->used + n >= sizeof list->text - 8) {
        if (list->used < sizeof list->text - 8)
            snprintf(list->text + list->used, 8, ", ..");
        return;
    }
    list->used +=
        (size_t)snprintf(list->text + list->used, sizeof list->text - list->used,
                         "%s%s", list->n > 1 ? ", " : "", name);
}

static int compare_pieces(const void *left, const void *right)
{
    const piece *a = left;
    const piece *b = right;
    int order;

    if (a->name.part != b->name.part)
        return a->name.part < b->name.part ? -1 : 1;
    order = strcmp(a->name.module, b->name.module);
    if (order != 0)
        return order;
    return (a->name.role > b->name.role) - (a->name.role < b->name.role);
}

/* Every name must be an adapter's.  pieces: [count], zeroed. */
static pdag_status parse_names(const pdag_lora *lora, piece *pieces)
{
    size_t count = pdag_safetensors_count(lora->file);
    const char *path = pdag_safetensors_path(lora->file);
    name_list others = {.n = 0};
    name_list strangers = {.n = 0};

    for (size_t i = 0; i < count; i++) {
        piece *p = &pieces[i];

        p->view = pdag_safetensors_at(lora->file, i);
        pdag_lora_name_parse(p->view->name, &p->name);
        if (p->name.role == PDAG_LORA_OTHER_KIND)
            list_name(&others, p->view->name);
        else if (p->name.role == PDAG_LORA_NO_ADAPTER)
            list_name(&strangers, p->view->name);
    }
    if (count == 0)
        return pdag_error(PDAG_ERR_FORMAT, "%s: no tensors", path);
    if (others.n > 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: %zu of %zu keys are of adapters other than LoRA "
                          "(DoRA, LoHa, LoKr, LoCon): %s",
                          path, others.n, count, others.text);
    if (strangers.n > 0)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: %zu of %zu keys are not a LoRA's: %s", path,
                          strangers.n, count, strangers.text);
    return PDAG_OK;
}

/* Number of dims without trailing ones. */
static int short_dims(const pdag_tensor_view *view)
{
    int n = view->n_dims;

    while (n > 2 && view->dims[n - 1] == 1)
        n--;
    return n;
}

static bool is_real(const pdag_tensor_view *view)
{
    return view->dtype == PDAG_F64 || view->dtype == PDAG_F32 ||
           view->dtype == PDAG_F16 || view->dtype == PDAG_BF16;
}

/* What can be said of the factors before the weight they change is known. */
static pdag_status check_factors(const pdag_lora *lora,
                                 const pdag_lora_adapter *adapter)
{
    const char *path = pdag_safetensors_path(lora->file);
    const pdag_tensor_view *down = adapter->down;
    const pdag_tensor_view *up = adapter->up;

    for (int i = 0; i < 2; i++) {
        const pdag_tensor_view *view = i == 0 ? down : up;

        if (!is_real(view))
            return pdag_error(PDAG_ERR_UNSUPPORTED,
                              "%s: %s: dtype %s is not a weight's", path,
                              view->name, pdag_dtype_name(view->dtype));
        if (view->n_dims < 2 || view->n_dims > 4 || pdag_tensor_count(view) == 0)
            return pdag_error(PDAG_ERR_SHAPE,
                              "%s: %s: %d dims, %zu elements: no factor of a "
                              "LoRA",
                              path, view->name, view->n_dims,
                              pdag_tensor_count(view));
    }
    if (short_dims(up) != 2 || up->dims[1] != down->dims[0])
        return pdag_error(PDAG_ERR_SHAPE,
                          "%s: %s: its rank is %zu (of %d dims), but %s has %zu",
                          path, up->name, up->dims[1], short_dims(up),
                          down->name, down->dims[0]);
    return PDAG_OK;
}

/* A pattern of peft is a module's name or its end: "attn1.to_q". */
static pdag_status match_pattern(const pdag_lora *lora, const char *pattern,
                                 const char *tensor, bool *matches_out)
{
    const char *at;
    size_t n;

    if (pattern[0] == '^')
        pattern++;
    if (strpbrk(pattern, "*+?()[]{}|\\$^") != NULL)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: alpha_pattern: %.100s: only names are supported",
                          pdag_safetensors_path(lora->file), pattern);
    n = strlen(pattern);
    *matches_out = false;
    for (at = strstr(tensor, pattern); n > 0 && at != NULL;
         at = strstr(at + 1, pattern))
        if ((at == tensor || at[-1] == '.') && strncmp(at + n, ".lora", 5) == 0)
            *matches_out = true;
    return PDAG_OK;
}

static json_t *setting(const settings *s, pdag_lora_part part,
                             const char *key)
{
    static const char *const prefixes[] = {"unet.", "text_encoder."};
    char name[64];
    json_t *value;

    snprintf(name, sizeof name, "%s%s", s->has_prefixes ? prefixes[part] : "",
             key);
    value = json_object_get(s->root, name);
    if (value != NULL || !s->has_prefixes || part != PDAG_LORA_NETWORK)
        return value;
    snprintf(name, sizeof name, "transformer.%s", key);
    return json_object_get(s->root, name);
}

/* adapter->factor from the settings, where there are some. */
static pdag_status apply_settings(const pdag_lora *lora, const settings *s,
                                  pdag_lora_adapter *adapter)
{
    const char *path = pdag_safetensors_path(lora->file);
    json_t *patterns = setting(s, adapter->part, "alpha_pattern");
    const json_t *alpha = setting(s, adapter->part, "lora_alpha");
    const char *pattern;
    json_t *value;

    json_object_foreach(patterns, pattern, value)
    {
        bool matches;
        pdag_status status =
            match_pattern(lora, pattern, adapter->down->name, &matches);

        if (status != PDAG_OK)
            return status;
        if (matches)
            alpha = value;
    }
    if (alpha == NULL)
        return PDAG_OK;
    if (!json_is_number(alpha))
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: lora_alpha: not a number (for %s)", path,
                          adapter->down->name);
    adapter->factor = json_number_value(alpha) / (double)adapter->rank;
    if (json_is_true(setting(s, adapter->part, "use_rslora")))
        adapter->factor = json_number_value(alpha) / sqrt((double)adapter->rank);
    return PDAG_OK;
}

static pdag_status apply_alpha(const pdag_lora *lora,
                               const pdag_tensor_view *view,
                               pdag_lora_adapter *adapter)
{
    const char *path = pdag_safetensors_path(lora->file);
    float alpha;

    if (pdag_tensor_count(view) != 1)
        return pdag_error(PDAG_ERR_SHAPE, "%s: %s: %zu elements, wanted 1",
                          path, view->name, pdag_tensor_count(view));
    pdag_tensor_to_f32(view, 0, 1, &alpha);
    if (!isfinite(alpha))
        return pdag_error(PDAG_ERR_FORMAT, "%s: %s: %g, must be finite", path,
                          view->name, (double)alpha);
    adapter->factor = (double)alpha / (double)adapter->rank;
    return PDAG_OK;
}

/* One module's pieces [n], in the order of their roles. */
static pdag_status take_module(pdag_lora *lora, const settings *s,
                               piece *pieces, size_t n)
{
    const char *path = pdag_safetensors_path(lora->file);
    pdag_lora_adapter adapter = {.part = pieces[0].name.part, .factor = 1.0};
    const pdag_tensor_view *alpha = NULL;
    pdag_status status;

    for (size_t i = 1; i < n; i++)
        if (pieces[i].name.role == pieces[i - 1].name.role)
            return pdag_error(PDAG_ERR_FORMAT,
                              "%s: %s and %s are for the same weight", path,
                              pieces[i - 1].view->name, pieces[i].view->name);
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].name.role == PDAG_LORA_DOWN)
            adapter.down = pieces[i].view;
        else if (pieces[i].name.role == PDAG_LORA_UP)
            adapter.up = pieces[i].view;
        else
            alpha = pieces[i].view;
    }
    if (adapter.down == NULL || adapter.up == NULL)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: %s: the adapter lacks its other factor", path,
                          pieces[0].view->name);
    status = check_factors(lora, &adapter);
    adapter.rank = adapter.down->dims[0];
    if (status == PDAG_OK)
        status = alpha != NULL ? apply_alpha(lora, alpha, &adapter)
                               : apply_settings(lora, s, &adapter);
    if (status != PDAG_OK)
        return status;
    adapter.module = pieces[0].name.module;
    pieces[0].name.module = NULL;
    lora->adapters[lora->n_adapters++] = adapter;
    return PDAG_OK;
}

/* pieces [n], sorted, into adapters. */
static pdag_status take_pieces(pdag_lora *lora, const settings *s,
                               piece *pieces, size_t n)
{
    size_t first = 0;
    pdag_status status = PDAG_OK;

    lora->adapters = pdag_xcalloc(n, sizeof *lora->adapters);
    while (status == PDAG_OK && first < n) {
        size_t end = first + 1;

        while (end < n && pieces[end].name.part == pieces[first].name.part &&
               strcmp(pieces[end].name.module, pieces[first].name.module) == 0)
            end++;
        if (lora->style == NULL)
            lora->style = pieces[first].name.style;
        status = take_module(lora, s, &pieces[first], end - first);
        first = end;
    }
    return status;
}

/* Metadata of the file, or adapter_config.json beside a file of peft's. */
static pdag_status read_settings(const pdag_lora *lora, bool is_peft,
                                 settings *s)
{
    const char *path = pdag_safetensors_path(lora->file);
    const char *text =
        pdag_safetensors_metadata(lora->file, "lora_adapter_metadata");
    const char *slash = strrchr(path, '/');
    json_error_t error;
    struct stat info;
    pdag_json config;
    char *beside;
    pdag_status status = PDAG_OK;

    if (text != NULL) {
        s->has_prefixes = true;
        s->root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(s->root))
            return pdag_error(PDAG_ERR_FORMAT,
                              "%s: lora_adapter_metadata: not a JSON object",
                              path);
        return PDAG_OK;
    }
    if (!is_peft)
        return PDAG_OK;
    beside = pdag_xasprintf("%.*sadapter_config.json",
                            slash != NULL ? (int)(slash + 1 - path) : 0, path);
    if (stat(beside, &info) == 0) {
        status = pdag_json_read(beside, &config);
        if (status == PDAG_OK) {
            s->root = json_incref(config.root);
            pdag_json_clear(&config);
        }
    }
    free(beside);
    return status;
}

static bool has_style(const piece *pieces, size_t n, const char *style)
{
    for (size_t i = 0; i < n; i++)
        if (pieces[i].name.style != NULL &&
            strcmp(pieces[i].name.style, style) == 0)
            return true;
    return false;
}

static pdag_status read_adapters(pdag_lora *lora)
{
    size_t n = pdag_safetensors_count(lora->file);
    piece *pieces = pdag_xcalloc(n, sizeof *pieces);
    settings s = {NULL, false};
    pdag_status status = parse_names(lora, pieces);

    if (status == PDAG_OK)
        status = read_settings(lora, has_style(pieces, n, "peft"), &s);
    if (status == PDAG_OK) {
        qsort(pieces, n, sizeof *pieces, compare_pieces);
        status = take_pieces(lora, &s, pieces, n);
    }
    for (size_t i = 0; i < n; i++)
        free(pieces[i].name.module);
    free(pieces);
    json_decref(s.root);
    return status;
}

pdag_status pdag_lora_open(const char *path, pdag_lora **lora_out)
{
    pdag_lora *lora = pdag_xcalloc(1, sizeof *lora);
    pdag_status status = pdag_safetensors_open(path, &lora->file);

    if (status == PDAG_OK)
        status = read_adapters(lora);
    if (status != PDAG_OK) {
        pdag_lora_close(lora);
        return status;
    }
    *lora_out = lora;
    return PDAG_OK;
}

const char *pdag_lora_path(const pdag_lora *lora)
{
    return pdag_safetensors_path(lora->file);
}

const char *pdag_lora_style(const pdag_lora *lora)
{
    return lora->style;
}

size_t pdag_lora_count(const pdag_lora *lora)
{
    return lora->n_adapters;
}

const pdag_lora_adapter *pdag_lora_at(const pdag_lora *lora, size_t index)
{
    return &lora->adapters[index];
}

static int compare_adapters(const void *left, const void *right)
{
    const pdag_lora_adapter *a = left;
    const pdag_lora_adapter *b = right;

    if (a->part != b->part)
        return a->part < b->part ? -1 : 1;
    return strcmp(a->module, b->module);
}

const pdag_lora_adapter *pdag_lora_find(pdag_lora *lora, pdag_lora_part part,
                                        const char *module)
{
    pdag_lora_adapter key = {.part = part,
                             .module = pdag_lora_flatten(part, module)};
    pdag_lora_adapter *found =
        bsearch(&key, lora->adapters, lora->n_adapters, sizeof key,
                compare_adapters);

    free(key.module);
    if (found != NULL)
        found->used = true;
    return found;
}

pdag_status pdag_lora_check_used(const pdag_lora *lora, const char *model)
{
    name_list unused = {.n = 0};

    for (size_t i = 0; i < lora->n_adapters; i++)
        if (!lora->adapters[i].used)
            list_name(&unused, lora->adapters[i].down->name);
    if (unused.n == 0)
        return PDAG_OK;
    return pdag_error(PDAG_ERR_FORMAT,
                      "%s: %zu of %zu adapters match no weight of %s: %s",
                      pdag_lora_path(lora), unused.n, lora->n_adapters, model,
                      unused.text);
}
