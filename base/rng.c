#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng_streams.h"

struct pdag_rng {
    pdag_rng_kind kind;
    uint64_t seed;  /* counter */
    uint64_t draws; /* counter: the step of the next draw */
    pdag_torch_cpu cpu;
    pdag_torch_cuda cuda;
};

static const char *const kind_names[] = {"counter", "torch-cpu", "torch-cuda"};

pdag_status pdag_rng_kind_parse(const char *name, pdag_rng_kind *out)
{
    for (size_t k = 0; k < sizeof kind_names / sizeof kind_names[0]; k++)
        if (strcmp(name, kind_names[k]) == 0) {
            *out = (pdag_rng_kind)k;
            return PDAG_OK;
        }
    return pdag_error(PDAG_ERR_ARG,
                      "random: %s: expected counter, torch-cpu or torch-cuda",
                      name);
}

pdag_status pdag_rng_create(pdag_rng_kind kind, uint64_t seed, pdag_rng **out)
{
    pdag_rng *rng = pdag_xcalloc(1, sizeof *rng);

    rng->kind = kind;
    rng->seed = seed;
    rng->cuda.seed = seed;
    pdag_torch_cpu_seed(&rng->cpu, seed);
    *out = rng;
    return PDAG_OK;
}

void pdag_rng_destroy(pdag_rng *rng)
{
    free(rng);
}

pdag_status pdag_rng_normal(pdag_rng *rng, size_t n, float *out)
{
    switch (rng->kind) {
    case PDAG_RNG_TORCH_CPU:
        pdag_torch_cpu_normal(&rng->cpu, n, out);
        break;
    case PDAG_RNG_TORCH_CUDA:
        return pdag_torch_cuda_normal(&rng->cuda, n, out);
    case PDAG_RNG_COUNTER:
        pdag_rng_counter_normal(rng->seed, rng->draws++, 0, n, out);
        break;
    }
    return PDAG_OK;
}
