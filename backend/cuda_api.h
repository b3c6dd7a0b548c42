/** backend/cuda_api.h: the libraries of the CUDA backend; for its own files only.
 *
 *  The CUDA runtime is linked statically and finds the driver itself, so that the
 *  program starts anywhere.  cuBLASLt and cuDNN are large and not on every node:
 *  they are opened when a device is, and called through the tables here. */
#ifndef PDAG_BACKEND_CUDA_API_H
#define PDAG_BACKEND_CUDA_API_H

#include <stddef.h>

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#ifdef PDAG_HAVE_CUDNN
#include <cudnn.h>
#endif

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_CUBLASLT_FUNCTIONS(F)                                             \
    F(cublasLtCreate)                                                          \
    F(cublasLtDestroy)                                                         \
    F(cublasLtGetVersion)                                                      \
    F(cublasLtGetStatusString)                                                 \
    F(cublasLtMatmulDescCreate)                                                \
    F(cublasLtMatmulDescDestroy)                                               \
    F(cublasLtMatmulDescSetAttribute)                                          \
    F(cublasLtMatrixLayoutCreate)                                              \
    F(cublasLtMatrixLayoutDestroy)                                             \
    F(cublasLtMatmulPreferenceCreate)                                          \
    F(cublasLtMatmulPreferenceDestroy)                                         \
    F(cublasLtMatmulPreferenceSetAttribute)                                    \
    F(cublasLtMatmulAlgoGetHeuristic)                                          \
    F(cublasLtMatmul)

#define PDAG_CUDNN_FUNCTIONS(F)                                                \
    F(cudnnCreate)                                                             \
    F(cudnnDestroy)                                                            \
    F(cudnnSetStream)                                                          \
    F(cudnnGetVersion)                                                         \
    F(cudnnGetErrorString)                                                     \
    F(cudnnCreateTensorDescriptor)                                             \
    F(cudnnSetTensor4dDescriptor)                                              \
    F(cudnnDestroyTensorDescriptor)                                            \
    F(cudnnCreateFilterDescriptor)                                             \
    F(cudnnSetFilter4dDescriptor)                                              \
    F(cudnnDestroyFilterDescriptor)                                            \
    F(cudnnCreateConvolutionDescriptor)                                        \
    F(cudnnSetConvolution2dDescriptor)                                         \
    F(cudnnSetConvolutionMathType)                                             \
    F(cudnnDestroyConvolutionDescriptor)                                       \
    F(cudnnGetConvolutionForwardAlgorithm_v7)                                  \
    F(cudnnGetConvolutionForwardWorkspaceSize)                                 \
    F(cudnnConvolutionForward)

#define PDAG_CUDA_POINTER(name) __typeof__(name) *name;

typedef struct pdag_cublaslt {
    PDAG_CUBLASLT_FUNCTIONS(PDAG_CUDA_POINTER)
} pdag_cublaslt;

/** *lt_out: the functions of cuBLASLt, opened once a process.
 *  PDAG_ERR_UNSUPPORTED with the loader's reason where it is not there. */
pdag_status pdag_cublaslt_open(const pdag_cublaslt **lt_out);

#ifdef PDAG_HAVE_CUDNN
typedef struct pdag_cudnn {
    PDAG_CUDNN_FUNCTIONS(PDAG_CUDA_POINTER)
} pdag_cudnn;

/** The same for cuDNN. */
pdag_status pdag_cudnn_open(const pdag_cudnn **dnn_out);
#endif

#ifdef __cplusplus
}
#endif
#endif
