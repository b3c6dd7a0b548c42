#include <stdio.h>

#include "backend/cuda_internal.h"

/* Built instead of cuda_cudnn.c without cuDNN: convolutions are multiplied out. */

pdag_status pdag_cuda_dnn_open(pdag_cuda *cuda)
{
    (void)cuda;
    return PDAG_OK;
}

void pdag_cuda_dnn_close(pdag_cuda *cuda)
{
    (void)cuda;
}

bool pdag_cuda_has_dnn(const pdag_cuda *cuda)
{
    (void)cuda;
    return false;
}

void pdag_cuda_dnn_version(const pdag_cuda *cuda, size_t bytes, char *text)
{
    (void)cuda;
    snprintf(text, bytes, "no cuDNN");
}

pdag_status pdag_cuda_dnn_conv(pdag_cuda *cuda, const pdag_weight *w, size_t b,
                               const pdag_cuda_conv *conv, const void *x,
                               const void *residual, void *y, bool *done_out)
{
    (void)cuda;
    (void)w;
    (void)b;
    (void)conv;
    (void)x;
    (void)residual;
    (void)y;
    *done_out = false;
    return PDAG_OK;
}

void pdag_cuda_conv_plans_destroy(pdag_cuda *cuda, pdag_cuda_conv_plan *list)
{
    (void)cuda;
    (void)list;
}
