/* Stands in for backend/cuda_api.c: the table points at the emulator's cuBLASLt. */
#include "backend/cuda_api.h"

pdag_status pdag_cublaslt_open(const pdag_cublaslt **lt_out)
{
#define FUNCTION(name) .name = name,
    static const pdag_cublaslt table = {PDAG_CUBLASLT_FUNCTIONS(FUNCTION)};
#undef FUNCTION

    *lt_out = &table;
    return PDAG_OK;
}
