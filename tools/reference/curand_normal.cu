// Fixture tests/data/rng/torch_cuda.txt: cuRAND's own Philox and normal code,
// run on the host, with the arguments that ATen's CUDA normal kernel gives it
// (thread j of the k-th torch.randn: subsequence j, offset 4 k).  Needs no card:
//
//   nvcc '-DQUALIFIERS=static __forceinline__ __host__ __device__'
//       -o curand_normal tools/reference/curand_normal.cu
//   ./curand_normal >tests/data/rng/torch_cuda.txt
//
// Columns: seed, draw k, element j, first two words, first normal value.
#include <cstdio>
#include <curand_kernel.h>

int main()
{
    const unsigned long long seeds[] = {0, 1, 42, (1ull << 32) + 5,
                                        (1ull << 63) + 1};
    const unsigned long long elements[] = {0, 1, 2, 3, 4, 5, 255, 16383, 40959};

    for (unsigned long long seed : seeds)
        for (int draw = 0; draw < 3; draw++)
            for (unsigned long long element : elements) {
                curandStatePhilox4_32_10_t state;
                curandStatePhilox4_32_10_t again;

                curand_init(seed, element, 4ull * draw, &state);
                again = state;
                uint4 words = curand4(&again);
                float4 normal = curand_normal4(&state);
                printf("%llu %d %llu %08x %08x %.9g\n", seed, draw, element,
                       words.x, words.y, normal.x);
            }
    return 0;
}
