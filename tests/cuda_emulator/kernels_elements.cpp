/* The kernels as nvcc gets them, for a C++ compiler. */
#include "backend/cuda_kernels_elements.cu"
