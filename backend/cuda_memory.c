/* Memory of the device, and the way to it and back. */
#include <string.h>

#include "backend/cuda_internal.h"

pdag_status pdag_cuda_check(int code, const char *what)
{
    if (code == (int)cudaSuccess)
        return PDAG_OK;
    cudaGetLastError(); /* what can be recovered from is not met again */
    return pdag_error(code == (int)cudaErrorMemoryAllocation ? PDAG_ERR_NOMEM
                                                            : PDAG_ERR_BACKEND,
                      "CUDA: %s: %s", what,
                      cudaGetErrorString((cudaError_t)code));
}

static cudaError_t take(pdag_cuda *cuda, size_t bytes, void **ptr_out)
{
    return cuda->pooled ? cudaMallocAsync(ptr_out, bytes, cuda->stream)
                        : cudaMalloc(ptr_out, bytes);
}

/* What the pool keeps for later is given back to the device, for a request that
   does not fit into its holes. */
static void trim(const pdag_cuda *cuda)
{
    cudaMemPool_t pool;

    if (!cuda->pooled || cudaStreamSynchronize(cuda->stream) != cudaSuccess)
        return;
    if (cudaDeviceGetDefaultMemPool(&pool, cuda->device) == cudaSuccess)
        cudaMemPoolTrimTo(pool, 0);
}

pdag_status pdag_cuda_take(pdag_cuda *cuda, size_t bytes, const char *what,
                           void **ptr_out)
{
    size_t unused = 0;
    size_t all = 0;
    void *ptr = NULL;
    cudaError_t code;

    if (cuda->recording)
        return pdag_error(PDAG_ERR_BACKEND, "CUDA: %s: memory while recording",
                          what);
    if (bytes == 0)
        bytes = 1;
    code = take(cuda, bytes, &ptr);
    if (code == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        trim(cuda);
        code = take(cuda, bytes, &ptr);
    }
    if (code == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        if (cudaMemGetInfo(&unused, &all) != cudaSuccess)
            cudaGetLastError();
        return pdag_error(PDAG_ERR_NOMEM,
                          "CUDA device %d: %s: wanted %zu bytes, %zu of %zu are "
                          "free", cuda->device, what, bytes, unused, all);
    }
    if (code != cudaSuccess)
        return pdag_cuda_check(code, what);
    *ptr_out = ptr;
    return PDAG_OK;
}

/* cudaFree() waits for what is queued. */
void pdag_cuda_give(pdag_cuda *cuda, void *ptr)
{
    if (ptr == NULL)
        return;
    if (cuda->pooled)
        cudaFreeAsync(ptr, cuda->stream);
    else
        cudaFree(ptr);
}

pdag_status pdag_cuda_reserve(pdag_cuda *cuda, pdag_cuda_space *space,
                              size_t bytes, const char *what, void **ptr_out)
{
    if (bytes > space->bytes) {
        pdag_status status;

        if (!cuda->recording) {
            pdag_cuda_give(cuda, space->ptr);
            *space = (pdag_cuda_space){NULL, 0};
            cuda->n_moves++;
        }
        status = pdag_cuda_take(cuda, bytes, what, &space->ptr);
        if (status != PDAG_OK)
            return status;
        space->bytes = bytes;
    }
    *ptr_out = space->ptr;
    return PDAG_OK;
}

pdag_status pdag_cuda_alloc(pdag_backend *be, size_t bytes, pdag_buf *buf_out)
{
    void *ptr;
    pdag_status status = pdag_cuda_take(pdag_cuda_of(be), bytes, "buffer", &ptr);

    if (status == PDAG_OK)
        *buf_out = (pdag_buf){ptr, bytes, PDAG_MEM_DEVICE, true};
    return status;
}

void pdag_cuda_free(pdag_backend *be, pdag_buf *buf)
{
    if (buf == NULL || !buf->owned)
        return;
    pdag_cuda_give(pdag_cuda_of(be), buf->ptr);
    *buf = (pdag_buf){NULL, 0, PDAG_MEM_DEVICE, false};
}

pdag_status pdag_cuda_sync(pdag_backend *be)
{
    return pdag_cuda_check(cudaStreamSynchronize(pdag_cuda_of(be)->stream),
                           "sync");
}

/* Slots. */

pdag_status pdag_cuda_slots_create(pdag_cuda *cuda)
{
    for (int i = 0; i < PDAG_CUDA_SLOTS; i++) {
        pdag_cuda_slot *slot = &cuda->slot[i];
        pdag_status status = pdag_cuda_check(
            cudaMallocHost(&slot->ptr, PDAG_CUDA_SLOT_BYTES), "pinned memory");

        if (status == PDAG_OK)
            status = pdag_cuda_check(
                cudaEventCreateWithFlags(&slot->moved, cudaEventDisableTiming),
                "event");
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

void pdag_cuda_slots_destroy(pdag_cuda *cuda)
{
    for (int i = 0; i < PDAG_CUDA_SLOTS; i++) {
        if (cuda->slot[i].moved != NULL)
            cudaEventDestroy(cuda->slot[i].moved);
        if (cuda->slot[i].ptr != NULL)
            cudaFreeHost(cuda->slot[i].ptr);
    }
}

/* The next slot, once nothing reads or writes it any more. */
static pdag_status free_slot(pdag_cuda *cuda, pdag_cuda_slot **slot_out)
{
    *slot_out = &cuda->slot[cuda->next_slot];
    cuda->next_slot = (cuda->next_slot + 1) % PDAG_CUDA_SLOTS;
    return pdag_cuda_check(cudaEventSynchronize((*slot_out)->moved), "copy");
}

static pdag_status queue_copy(pdag_cuda *cuda, pdag_cuda_slot *slot, void *to,
                              const void *from, size_t bytes,
                              enum cudaMemcpyKind kind)
{
    pdag_status status = pdag_cuda_check(
        cudaMemcpyAsync(to, from, bytes, kind, cuda->stream), "copy");

    if (status != PDAG_OK)
        return status;
    return pdag_cuda_check(cudaEventRecord(slot->moved, cuda->stream), "copy");
}

static size_t piece(size_t left)
{
    return left < PDAG_CUDA_SLOT_BYTES ? left : PDAG_CUDA_SLOT_BYTES;
}

pdag_status pdag_cuda_to_device(pdag_cuda *cuda, size_t bytes, const void *host,
                                void *device)
{
    for (size_t at = 0; at < bytes; at += piece(bytes - at)) {
        const size_t n = piece(bytes - at);
        pdag_cuda_slot *slot;
        pdag_status status = free_slot(cuda, &slot);

        if (status != PDAG_OK)
            return status;
        memcpy(slot->ptr, (const char *)host + at, n);
        status = queue_copy(cuda, slot, (char *)device + at, slot->ptr, n,
                            cudaMemcpyHostToDevice);
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

/* While one piece is copied out of its slot the next is on its way. */
pdag_status pdag_cuda_to_host(pdag_cuda *cuda, size_t bytes, const void *device,
                              void *host)
{
    pdag_cuda_slot *before = NULL;
    size_t n_before = 0;
    size_t at = 0;

    while (at < bytes || before != NULL) {
        const size_t n = piece(bytes - at);
        pdag_cuda_slot *slot = NULL;
        pdag_status status = PDAG_OK;

        if (n > 0) {
            status = free_slot(cuda, &slot);
            if (status == PDAG_OK)
                status = queue_copy(cuda, slot, slot->ptr,
                                    (const char *)device + at, n,
                                    cudaMemcpyDeviceToHost);
        }
        if (status == PDAG_OK && before != NULL)
            status = pdag_cuda_check(cudaEventSynchronize(before->moved), "copy");
        if (status != PDAG_OK)
            return status;
        if (before != NULL)
            memcpy((char *)host + at - n_before, before->ptr, n_before);
        before = slot;
        n_before = n;
        at += n;
    }
    return PDAG_OK;
}

/* Copies with a change of type or layout go through float32 on the device. */

static pdag_status stage(pdag_cuda *cuda, size_t n, void **staging_out)
{
    return pdag_cuda_reserve(cuda, &cuda->staging, n * sizeof(float),
                             "staging", staging_out);
}

pdag_status pdag_cuda_upload(pdag_backend *be, size_t n, const float *host,
                             pdag_buf *y)
{
    pdag_cuda *cuda = pdag_cuda_of(be);
    void *to = pdag_cuda_elements(be, y, n);
    void *staging;
    pdag_status status;

    if (cuda->at.type == PDAG_CUDA_FLOAT32)
        return pdag_cuda_to_device(cuda, n * sizeof *host, host, to);
    status = stage(cuda, n, &staging);
    if (status == PDAG_OK)
        status = pdag_cuda_to_device(cuda, n * sizeof *host, host, staging);
    if (status != PDAG_OK)
        return status;
    return pdag_cuda_check(pdag_cuda_narrow(cuda->at, n, staging, to), "upload");
}

pdag_status pdag_cuda_download(pdag_backend *be, size_t n, const pdag_buf *x,
                               float *host)
{
    pdag_cuda *cuda = pdag_cuda_of(be);
    const void *from = pdag_cuda_elements(be, x, n);
    void *staging;
    pdag_status status;

    if (cuda->at.type == PDAG_CUDA_FLOAT32)
        return pdag_cuda_to_host(cuda, n * sizeof *host, from, host);
    status = stage(cuda, n, &staging);
    if (status == PDAG_OK)
        status = pdag_cuda_check(pdag_cuda_widen(cuda->at, n, from, staging),
                                 "download");
    if (status != PDAG_OK)
        return status;
    return pdag_cuda_to_host(cuda, n * sizeof *host, staging, host);
}

pdag_status pdag_cuda_upload_planes(pdag_backend *be, size_t b, size_t c,
                                    size_t p, const float *host, pdag_buf *y)
{
    pdag_cuda *cuda = pdag_cuda_of(be);
    const size_t n = b * c * p;
    void *to = pdag_cuda_elements(be, y, n);
    void *staging;
    pdag_status status = stage(cuda, n, &staging);

    if (status == PDAG_OK)
        status = pdag_cuda_to_device(cuda, n * sizeof *host, host, staging);
    if (status != PDAG_OK)
        return status;
    return pdag_cuda_check(
        pdag_cuda_from_planes(cuda->at, b, c, p, staging, to), "upload");
}

pdag_status pdag_cuda_download_planes(pdag_backend *be, size_t b, size_t c,
                                      size_t p, const pdag_buf *x, float *host)
{
    pdag_cuda *cuda = pdag_cuda_of(be);
    const size_t n = b * c * p;
    const void *from = pdag_cuda_elements(be, x, n);
    void *staging;
    pdag_status status = stage(cuda, n, &staging);

    if (status == PDAG_OK)
        status = pdag_cuda_check(
            pdag_cuda_to_planes(cuda->at, b, c, p, from, staging), "download");
    if (status != PDAG_OK)
        return status;
    return pdag_cuda_to_host(cuda, n * sizeof *host, staging, host);
}
