#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "models/denoiser.h"

typedef struct guidance {
    pdag_denoiser base;
    pdag_denoiser *inner; /* borrowed */
    float scale;
    size_t guided; /* leading elements of a state that are guided */
    size_t room;   /* rows that the scratch below holds */
    float *x;      /* [2 room][D] */
    float *t;      /* [2 room] */
    float *eps;    /* [2 room][D] */
    const pdag_condition **cond; /* [2 room] */
} guidance;

/* The condition of a guided sample: two of the inner network's. */
typedef struct pair {
    pdag_condition *uncond;
    pdag_condition *cond;
} pair;

static void release_scratch(guidance *g)
{
    free(g->x);
    free(g->t);
    free(g->eps);
    free((void *)g->cond);
    g->x = NULL;
    g->t = NULL;
    g->eps = NULL;
    g->cond = NULL;
    g->room = 0;
}

static pdag_status reserve_scratch(guidance *g, size_t n)
{
    size_t dim = g->base.dim;
    void *memory;
    pdag_status status;

    if (n <= g->room)
        return PDAG_OK;
    release_scratch(g);
    status =
        pdag_alloc_tensor(2 * n * dim, sizeof(float), "guided states", &memory);
    if (status != PDAG_OK)
        return status;
    g->x = memory;
    status = pdag_alloc_tensor(2 * n * dim, sizeof(float), "guided results",
                               &memory);
    if (status != PDAG_OK)
        return status;
    g->eps = memory;
    g->t = pdag_xcalloc(2 * n, sizeof *g->t);
    g->cond = pdag_xcalloc(2 * n, sizeof *g->cond);
    g->room = n;
    return PDAG_OK;
}

static void guidance_destroy(pdag_denoiser *model)
{
    guidance *g = (guidance *)model;

    if (g == NULL)
        return;
    release_scratch(g);
    free(g);
}

static void guidance_condition_destroy(pdag_denoiser *model,
                                       pdag_condition *condition)
{
    pdag_denoiser *inner = ((guidance *)model)->inner;
    pair *both = (pair *)condition;

    if (both == NULL)
        return;
    inner->ops->condition_destroy(inner, both->uncond);
    inner->ops->condition_destroy(inner, both->cond);
    free(both);
}

static pdag_status guidance_condition_create(pdag_denoiser *model,
                                             const float *cond,
                                             pdag_condition **condition_out)
{
    pdag_denoiser *inner = ((guidance *)model)->inner;
    pair both = {NULL, NULL};
    pair *kept;
    pdag_status status =
        inner->ops->condition_create(inner, cond, &both.uncond);

    if (status != PDAG_OK)
        return status;
    status =
        inner->ops->condition_create(inner, cond + inner->cond_dim, &both.cond);
    if (status != PDAG_OK) {
        inner->ops->condition_destroy(inner, both.uncond);
        return status;
    }
    kept = pdag_xcalloc(1, sizeof *kept);
    *kept = both;
    *condition_out = (pdag_condition *)kept;
    return PDAG_OK;
}

/* eps = u + scale (c - u) on the guided elements, c on the others. */
static void combine(const guidance *g, const float *u, const float *c,
                    float *eps)
{
    size_t dim = g->base.dim;

    for (size_t d = 0; d < g->guided; d++)
        eps[d] = u[d] + g->scale * (c[d] - u[d]);
    memcpy(eps + g->guided, c + g->guided, (dim - g->guided) * sizeof *eps);
}

static pdag_status guidance_eval(pdag_denoiser *model, size_t n, const float *x,
                                 const float *t,
                                 const pdag_condition *const *cond, float *eps)
{
    guidance *g = (guidance *)model;
    size_t dim = model->dim;
    pdag_status status = reserve_scratch(g, n);

    if (status != PDAG_OK)
        return status;
    for (size_t i = 0; i < n; i++) {
        const pair *both = (const pair *)cond[i];

        g->cond[i] = both->uncond;
        g->cond[n + i] = both->cond;
    }
    for (size_t half = 0; half < 2; half++) {
        memcpy(g->x + half * n * dim, x, n * dim * sizeof *x);
        memcpy(g->t + half * n, t, n * sizeof *t);
    }
    status = g->inner->ops->eval(g->inner, 2 * n, g->x, g->t, g->cond, g->eps);
    if (status != PDAG_OK)
        return status;
    for (size_t i = 0; i < n; i++)
        combine(g, g->eps + i * dim, g->eps + (n + i) * dim, eps + i * dim);
    return PDAG_OK;
}

static const pdag_denoiser_ops guidance_ops = {
    .name = "guidance",
    .condition_create = guidance_condition_create,
    .condition_destroy = guidance_condition_destroy,
    .eval = guidance_eval,
    .destroy = guidance_destroy,
};

pdag_status pdag_guidance_create(pdag_denoiser *inner, float scale,
                                 size_t channels, pdag_denoiser **model_out)
{
    guidance *g;
    size_t all = inner->n_state_dims > 1 ? inner->state_dims[0] : 1;

    if (inner->cond_dim == 0)
        return pdag_error(PDAG_ERR_ARG,
                          "guidance_scale: %s takes no condition to guide by",
                          inner->ops->name);
    if (channels > all)
        return pdag_error(PDAG_ERR_ARG,
                          "guidance_channels: %zu, the state has %zu", channels,
                          all);
    g = pdag_xcalloc(1, sizeof *g);
    g->base = *inner;
    g->base.ops = &guidance_ops;
    g->base.cond_dim = 2 * inner->cond_dim;
    g->inner = inner;
    g->scale = scale;
    g->guided = channels == 0 ? inner->dim : inner->dim / all * channels;
    *model_out = &g->base;
    return PDAG_OK;
}
