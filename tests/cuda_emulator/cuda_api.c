/* Stands in for backend/cuda_api.c: the tables point at the emulator's cuBLASLt and,
 * where PDAG_EMULATOR_CUDNN is set, cuDNN. */
#include "backend/cuda_api.h"

#include <stdlib.h>

#define FUNCTION(name) .name = name,

pdag_status pdag_cublaslt_open(const pdag_cublaslt **lt_out)
{
    static const pdag_cublaslt table = {PDAG_CUBLASLT_FUNCTIONS(FUNCTION)};

    *lt_out = &table;
    return PDAG_OK;
}

pdag_status pdag_cudnn_open(const pdag_cudnn **dnn_out)
{
    static const pdag_cudnn table = {PDAG_CUDNN_FUNCTIONS(FUNCTION)};

    if (getenv("PDAG_EMULATOR_CUDNN") == NULL)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "backend cuda: no cuDNN");
    *dnn_out = &table;
    return PDAG_OK;
}
