/* The CUDA runtime of the emulator.  Work is really queued: nothing happens before
 * a synchronisation, so that a host that reads too early, or changes a pinned
 * buffer too early, gets wrong numbers here too.  One queue serves all streams,
 * in call order, which is one of the orders that CUDA allows. */
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <vector>

#include "tests/cuda_emulator/emulator.h"

struct CUstream_st {
    bool capturing;
    std::vector<std::function<void()>> captured;
};
struct CUevent_st {
    unsigned long long recorded; /* number of the work in front of it */
};
struct CUgraph_st {
    std::vector<std::function<void()>> work;
};
struct CUgraphExec_st {
    std::vector<std::function<void()>> work;
};

namespace emulator {


static std::deque<std::function<void()>> pending;
static unsigned long long n_queued, n_done, n_launches;
static std::map<void *, size_t> device_memory;
static std::map<const char *, size_t> pinned_memory; /* by its first byte */
static size_t used_bytes;
static size_t total_bytes = size_t(2) << 30;
static cudaError_t last_error = cudaSuccess;

static void run_until(unsigned long long number)
{
    while (n_done < number) {
        std::function<void()> work = std::move(pending.front());

        pending.pop_front();
        n_done++;
        work();
    }
}

static void run_all()
{
    run_until(n_queued);
}

void queue(cudaStream_t stream, std::function<void()> work)
{
    if (stream != nullptr && stream->capturing) {
        stream->captured.push_back(std::move(work));
        return;
    }
    pending.push_back(std::move(work));
    n_queued++;
}

static cudaError_t fail(cudaError_t error)
{
    last_error = error;
    return error;
}

void launch(dim3 grid, dim3 block, cudaStream_t stream,
            std::function<void()> body)
{
    const unsigned long long threads =
        (unsigned long long)block.x * block.y * block.z;

    if (threads < 1 || threads > 1024 || grid.x < 1 || grid.y < 1 ||
        grid.z < 1 || grid.x > 2147483647u || grid.y > 65535 ||
        grid.z > 65535) {
        fail(cudaErrorInvalidConfiguration);
        return;
    }
    n_launches++;
    queue(stream, [=] { run_kernel(grid, block, body); });
}

static bool is_pinned(const void *ptr)
{
    const char *at = static_cast<const char *>(ptr);
    std::map<const char *, size_t>::iterator next = pinned_memory.upper_bound(at);

    if (next == pinned_memory.begin())
        return false;
    --next;
    return at < next->first + next->second;
}

static cudaError_t allocate(void **ptr, size_t bytes)
{
    const size_t rounded = (bytes + 255) / 256 * 256;
    void *memory;

    run_all(); /* what is queued may give some back */
    if (bytes > total_bytes || used_bytes > total_bytes - bytes)
        return fail(cudaErrorMemoryAllocation);
#ifdef __SANITIZE_ADDRESS__
    if (posix_memalign(&memory, 256, bytes > 0 ? bytes : 1) != 0)
        return fail(cudaErrorMemoryAllocation);
    (void)rounded;
    std::memset(memory, 0xff, bytes);
#else
    memory = std::aligned_alloc(256, rounded > 0 ? rounded : 256);
    if (memory == nullptr)
        return fail(cudaErrorMemoryAllocation);
    std::memset(memory, 0xff, rounded);
#endif
    device_memory[memory] = bytes;
    used_bytes += bytes;
    *ptr = memory;
    return cudaSuccess;
}

static void release(void *ptr)
{
    std::map<void *, size_t>::iterator found = device_memory.find(ptr);

    if (found == device_memory.end())
        die("%p is freed and is no device memory", ptr);
    used_bytes -= found->second;
    std::memset(ptr, 0xff, found->second);
    device_memory.erase(found);
    std::free(ptr);
}

} // namespace emulator

using namespace emulator;

/* ---- device and errors ---- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = std::getenv("PDAG_EMULATOR_NO_DEVICE") != nullptr ? 0 : 1;
    return *count == 0 ? fail(cudaErrorNoDevice) : cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : fail(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

/* 10 major + minor. */
static int capability()
{
    const char *wish = std::getenv("PDAG_EMULATOR_CAPABILITY");

    return wish != nullptr ? std::atoi(wish) : 80;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    if (device != 0)
        return fail(cudaErrorInvalidDevice);
    *prop = cudaDeviceProp();
    std::snprintf(prop->name, sizeof prop->name, "emulated device");
    prop->totalGlobalMem = total_bytes;
    prop->major = capability() / 10;
    prop->minor = capability() % 10;
    prop->multiProcessorCount = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr,
                                   int device)
{
    if (device != 0)
        return fail(cudaErrorInvalidDevice);
    switch (attr) {
    case cudaDevAttrComputeCapabilityMajor:
        *value = capability() / 10;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
        *value = capability() % 10;
        return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
    case cudaDevAttrMemoryPoolsSupported:
        *value = 1;
        return cudaSuccess;
    }
    return fail(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceSynchronize(void)
{
    run_all();
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = last_error;

    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    default:
        return "an error of the emulator";
    }
}

const char *cudaGetErrorName(cudaError_t error)
{
    return cudaGetErrorString(error);
}

/* ---- memory ---- */

cudaError_t cudaMalloc(void **ptr, size_t bytes)
{
    return allocate(ptr, bytes);
}

cudaError_t cudaFree(void *ptr)
{
    run_all();
    if (ptr != nullptr)
        release(ptr);
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **ptr, size_t bytes, cudaStream_t stream)
{
    if (stream != nullptr && stream->capturing)
        return fail(cudaErrorStreamCaptureUnsupported);
    return allocate(ptr, bytes);
}

cudaError_t cudaFreeAsync(void *ptr, cudaStream_t stream)
{
    if (stream != nullptr && stream->capturing)
        return fail(cudaErrorStreamCaptureUnsupported);
    if (ptr != nullptr)
        queue(stream, [=] { release(ptr); });
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **ptr, size_t bytes)
{
    *ptr = std::malloc(bytes > 0 ? bytes : 1);
    if (*ptr == nullptr)
        return fail(cudaErrorMemoryAllocation);
    std::memset(*ptr, 0xff, bytes);
    pinned_memory[static_cast<char *>(*ptr)] = bytes;
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **ptr, size_t bytes, unsigned)
{
    return cudaMallocHost(ptr, bytes);
}

cudaError_t cudaFreeHost(void *ptr)
{
    run_all();
    if (ptr == nullptr)
        return cudaSuccess;
    if (pinned_memory.erase(static_cast<char *>(ptr)) != 1)
        die("%p is freed and is no pinned memory", ptr);
    std::free(ptr);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    run_all();
    *free_bytes = total_bytes > used_bytes ? total_bytes - used_bytes : 0;
    *total = total_bytes;
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes,
                       enum cudaMemcpyKind)
{
    run_all();
    std::memmove(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes,
                            enum cudaMemcpyKind kind, cudaStream_t stream)
{
    const bool pageable =
        (kind == cudaMemcpyHostToDevice && !is_pinned(from)) ||
        (kind == cudaMemcpyDeviceToHost && !is_pinned(to));

    if (pageable && stream != nullptr && stream->capturing)
        return fail(cudaErrorStreamCaptureUnsupported);
    queue(stream, [=] { std::memmove(to, from, bytes); });
    if (pageable)
        run_all();
    return cudaSuccess;
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    return cudaMemsetAsync(to, value, bytes, nullptr);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes,
                            cudaStream_t stream)
{
    queue(stream, [=] { std::memset(to, value, bytes); });
    return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int)
{
    *pool = nullptr;
    return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, enum cudaMemPoolAttr, void *)
{
    return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t)
{
    return cudaSuccess;
}

/* ---- streams and events ---- */

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    *stream = new CUstream_st();
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    return cudaStreamCreate(stream);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    run_all();
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (stream != nullptr && stream->capturing)
        return fail(cudaErrorStreamCaptureUnsupported);
    run_all();
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t)
{
    return n_done < n_queued ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned)
{
    return cudaSuccess; /* there is one queue */
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    *event = new CUevent_st();
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    return cudaEventCreate(event);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    if (stream == nullptr || !stream->capturing)
        event->recorded = n_queued;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    run_until(event->recorded);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return n_done < event->recorded ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t, cudaEvent_t)
{
    *ms = 1.0f; /* nothing here has a time that means something */
    return cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream,
                                   enum cudaStreamCaptureMode)
{
    if (stream == nullptr || stream->capturing)
        return fail(cudaErrorIllegalState);
    stream->capturing = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    if (stream == nullptr || !stream->capturing)
        return fail(cudaErrorIllegalState);
    stream->capturing = false;
    *graph = new CUgraph_st();
    (*graph)->work.swap(stream->captured);
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream,
                                  enum cudaStreamCaptureStatus *status)
{
    *status = stream != nullptr && stream->capturing
                  ? cudaStreamCaptureStatusActive
                  : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                                 unsigned long long)
{
    *exec = new CUgraphExec_st();
    (*exec)->work = graph->work;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec,
                                          cudaGraph_t graph,
                                          unsigned long long flags)
{
    return cudaGraphInstantiate(exec, graph, flags);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    for (size_t i = 0; i < exec->work.size(); i++)
        queue(stream, exec->work[i]);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

/* ---- the emulator's own ---- */

void pdag_emulator_set_memory(size_t bytes)
{
    total_bytes = bytes;
}

size_t pdag_emulator_used(void)
{
    run_all();
    return used_bytes;
}

unsigned long long pdag_emulator_launches(void)
{
    return n_launches;
}
