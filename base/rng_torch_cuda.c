/* torch.randn on a CUDA generator (ATen/native/cuda/DistributionTemplates.h):
   thread j runs curand_init(seed, j, offset) and curand_normal4(), and where
   there are as many threads as elements only the first of its four values is
   used.  Each call moves the offset on by four, one Philox block. */
#include <math.h>

#include "base/rng.h"
#include "base/rng_streams.h"

/* curand's _curand_box_muller in float32, first value.  A card's __sincosf is
   an approximation: values agree within a few 1e-6, not to the last bit. */
static float box_muller(uint32_t x, uint32_t y)
{
    const float inv = 0x1p-32f;
    const float inv_two_pi = 0x1p-32f * 6.2831855f;
    float u = fmaf((float)x, inv, inv / 2);
    float v = fmaf((float)y, inv_two_pi, inv_two_pi / 2);

    return sqrtf(-2.0f * logf(u)) * sinf(v);
}

pdag_status pdag_torch_cuda_normal(pdag_torch_cuda *stream, size_t n,
                                   float *out)
{
    const uint32_t key[2] = {(uint32_t)stream->seed,
                             (uint32_t)(stream->seed >> 32)};

    if (n > PDAG_TORCH_CUDA_MAX)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "random: torch-cuda: a state of %zu elements: above "
                          "%d the values depend on the card; use counter",
                          n, PDAG_TORCH_CUDA_MAX);
    for (size_t j = 0; j < n; j++) {
        const uint32_t counter[4] = {(uint32_t)stream->blocks,
                                     (uint32_t)(stream->blocks >> 32),
                                     (uint32_t)j, 0};
        uint32_t words[4];

        pdag_philox4x32(counter, key, words);
        out[j] = box_muller(words[0], words[1]);
    }
    if (n > 0)
        stream->blocks++;
    return PDAG_OK;
}
