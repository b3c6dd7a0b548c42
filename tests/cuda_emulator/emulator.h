/* Between the emulator's own files. */
#ifndef PDAG_EMULATOR_EMULATOR_H
#define PDAG_EMULATOR_EMULATOR_H

#include <functional>

#include <cuda_runtime.h>

namespace emulator {

/* Run a kernel now. */
void run_kernel(dim3 grid, dim3 block, const std::function<void()> &body);
/* Queue work on a stream, to be done at the next synchronisation. */
void queue(cudaStream_t stream, std::function<void()> work);

} // namespace emulator

#endif
