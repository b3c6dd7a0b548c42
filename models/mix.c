#include "models/mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A tensor that a mix owns; the view's name is the one in the model's file. */
typedef struct pdag_mix_tensor {
    pdag_tensor_view view;
    float *data; /* owned */
} mixed_tensor;

/* One LoRA's part in a weight [out][columns]. */
typedef struct term {
    const pdag_lora_adapter *adapter;
    double factor;
    float *up;   /* [out][rank], owned */
    float *down; /* [rank][columns], owned */
} term;

bool pdag_mix_is_pending(const pdag_mix *mix)
{
    return mix->n_made > 0;
}

void pdag_mix_release(pdag_mix *mix)
{
    for (size_t i = 0; i < mix->n_made; i++) {
        free(mix->made[i]->data);
        free(mix->made[i]);
    }
    free(mix->made);
    mix->made = NULL;
    mix->n_made = 0;
}

/* Dims without trailing ones: a 1x1 convolution is a linear layer. */
static int short_dims(const pdag_tensor_view *view)
{
    int n = view->n_dims;

    while (n > 1 && view->dims[n - 1] == 1)
        n--;
    return n;
}

static bool same_shape(const pdag_tensor_view *a, const pdag_tensor_view *b)
{
    int n = short_dims(a);

    return n == short_dims(b) &&
           memcmp(a->dims, b->dims, (size_t)n * sizeof *a->dims) == 0;
}

/* "[320, 4, 3, 3]" */
static const char *show_dims(const pdag_tensor_view *view, char text[96])
{
    size_t used = 1;

    strcpy(text, "[");
    for (int d = 0; d < view->n_dims && used < 60; d++)
        used += (size_t)snprintf(text + used, 96 - used, "%s%zu",
                                 d > 0 ? ", " : "", view->dims[d]);
    snprintf(text + used, 96 - used, "]");
    return text;
}

/* down is [rank] and then the weight's dims after the first. */
static bool fits(const pdag_lora_adapter *adapter, const pdag_tensor_view *view)
{
    pdag_tensor_view product = *adapter->down;

    product.dims[0] = adapter->up->dims[0];
    return view->n_dims >= 2 && same_shape(&product, view);
}

static pdag_status check_fit(const pdag_lora *lora,
                             const pdag_lora_adapter *adapter,
                             const pdag_tensor_view *view)
{
    char up[96];
    char down[96];
    char wanted[96];

    if (fits(adapter, view))
        return PDAG_OK;
    return pdag_error(PDAG_ERR_SHAPE,
                      "%s: %s: shape %s, with up %s, does not fit the weight %s "
                      "of shape %s",
                      pdag_lora_path(lora), adapter->down->name,
                      show_dims(adapter->down, down), show_dims(adapter->up, up),
                      view->name, show_dims(view, wanted));
}

/* NAME of "NAME.weight" in module (free()), or NULL. */
static char *module_of(const char *name)
{
    static const char suffix[] = ".weight";
    size_t n = sizeof suffix - 1;
    size_t length = strlen(name);

    if (length <= n || strcmp(name + length - n, suffix) != 0)
        return NULL;
    return pdag_xstrndup(name, length - n);
}

/* The LoRAs that change tensor NAME: terms_out [n_loras], without their
   factors' values. */
static pdag_status find_terms(const pdag_mix *mix, const char *name,
                              const pdag_tensor_view *view, term *terms_out,
                              size_t *n_out)
{
    char *module = module_of(name);
    pdag_status status = PDAG_OK;
    size_t n = 0;

    for (size_t i = 0; status == PDAG_OK && module != NULL && i < mix->n_loras;
         i++) {
        const pdag_lora_adapter *adapter =
            pdag_lora_find(mix->loras[i].lora, mix->part, module);

        if (adapter == NULL)
            continue;
        status = check_fit(mix->loras[i].lora, adapter, view);
        memset(&terms_out[n], 0, sizeof terms_out[n]);
        terms_out[n].adapter = adapter;
        terms_out[n++].factor = mix->loras[i].factor * adapter->factor;
    }
    free(module);
    *n_out = n;
    return status;
}

static pdag_status read_floats(const pdag_tensor_view *view, float **out)
{
    size_t count = pdag_tensor_count(view);
    void *memory;
    pdag_status status =
        pdag_alloc_tensor(count, sizeof(float), view->name, &memory);

    if (status != PDAG_OK)
        return status;
    pdag_tensor_to_f32(view, 0, count, memory);
    *out = memory;
    return PDAG_OK;
}

static void clear_terms(term *terms, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(terms[i].up);
        free(terms[i].down);
    }
    free(terms);
}

static pdag_status read_terms(term *terms, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pdag_status status =
            read_floats(terms[i].adapter->up, &terms[i].up);

        if (status == PDAG_OK)
            status = read_floats(terms[i].adapter->down, &terms[i].down);
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

/* sum [columns] += factor * row `row` of up down, over the rank from 0 upwards;
   four at a time, one after the other, for a fourth of the traffic of sum. */
static void add_row(const term *t, size_t row, size_t columns, double *sum)
{
    size_t rank = t->adapter->rank;
    const float *up = t->up + row * rank;
    size_t r = 0;

    for (; r + 4 <= rank; r += 4) {
        const float *down = t->down + r * columns;
        double u[4];

        for (size_t i = 0; i < 4; i++)
            u[i] = t->factor * (double)up[r + i];
        for (size_t c = 0; c < columns; c++) {
            double s = sum[c] + u[0] * (double)down[c];

            s += u[1] * (double)down[columns + c];
            s += u[2] * (double)down[2 * columns + c];
            sum[c] = s + u[3] * (double)down[3 * columns + c];
        }
    }
    for (; r < rank; r++) {
        const float *down = t->down + r * columns;
        double u = t->factor * (double)up[r];

        for (size_t c = 0; c < columns; c++)
            sum[c] += u * (double)down[c];
    }
}

/* The formula of mix.h, row by row; data in: W0, out: W. */
static void mix_rows(const term *terms, size_t n, const float *other,
                     double lambda, size_t rows, size_t columns, double *sum,
                     float *data)
{
    for (size_t row = 0; row < rows; row++) {
        float *w = data + row * columns;

        for (size_t c = 0; c < columns; c++)
            sum[c] = (double)w[c];
        for (size_t i = 0; i < n; i++)
            add_row(&terms[i], row, columns, sum);
        if (other != NULL)
            for (size_t c = 0; c < columns; c++)
                sum[c] = (1.0 - lambda) * sum[c] +
                         lambda * (double)other[row * columns + c];
        for (size_t c = 0; c < columns; c++)
            w[c] = (float)sum[c];
    }
}

static pdag_status make(pdag_mix *mix, term *terms, size_t n,
                        const pdag_tensor_view *other,
                        const pdag_tensor_view *view, mixed_tensor *made)
{
    size_t rows = view->n_dims > 0 ? view->dims[0] : 1;
    size_t columns = rows > 0 ? pdag_tensor_count(view) / rows : 0;
    float *other_data = NULL;
    double *sum;
    pdag_status status = read_terms(terms, n);

    if (status == PDAG_OK && other != NULL)
        status = read_floats(other, &other_data);
    if (status == PDAG_OK)
        status = read_floats(view, &made->data);
    if (status == PDAG_OK) {
        sum = pdag_xcalloc(columns, sizeof *sum);
        mix_rows(terms, n, other_data, mix->lambda, rows, columns, sum,
                 made->data);
        free(sum);
        made->view = *view;
        made->view.dtype = PDAG_F32;
        made->view.data = made->data;
    }
    free(other_data);
    return status;
}

/* The same tensor of W1, or NULL where there is no W1. */
static pdag_status find_other(const pdag_mix *mix, const char *name,
                              const pdag_tensor_view *view,
                              const pdag_tensor_view **other_out)
{
    const pdag_tensor_view *other;
    char is[96];
    char wanted[96];

    *other_out = NULL;
    if (mix->other == NULL)
        return PDAG_OK;
    other = pdag_weights_find(mix->other, name);
    if (other == NULL)
        return pdag_error(PDAG_ERR_FORMAT, "%s: %s: tensor missing",
                          pdag_weights_path(mix->other), name);
    if (!same_shape(other, view))
        return pdag_error(PDAG_ERR_SHAPE,
                          "%s: %s: shape %s, but the base model's is %s",
                          pdag_weights_path(mix->other), name,
                          show_dims(other, is), show_dims(view, wanted));
    *other_out = other;
    return PDAG_OK;
}

pdag_status pdag_mix_apply(pdag_mix *mix, const char *name, bool check_only,
                           const pdag_tensor_view **view)
{
    term *terms = pdag_xcalloc(mix->n_loras + 1, sizeof *terms);
    const pdag_tensor_view *other;
    mixed_tensor *made;
    size_t n = 0;
    pdag_status status = find_other(mix, name, *view, &other);

    if (status == PDAG_OK)
        status = find_terms(mix, name, *view, terms, &n);
    if (status == PDAG_OK && !check_only && (n > 0 || other != NULL)) {
        made = pdag_xcalloc(1, sizeof *made);
        mix->made = pdag_xgrow(mix->made, mix->n_made, sizeof *mix->made);
        mix->made[mix->n_made++] = made;
        status = make(mix, terms, n, other, *view, made);
        if (status == PDAG_OK)
            *view = &made->view;
    }
    clear_terms(terms, n);
    return status;
}
