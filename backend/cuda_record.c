/* Recordings are CUDA graphs: hundreds of small kernels cost one launch. */
#include <stdlib.h>

#include "backend/cuda_internal.h"
#include "base/mem.h"

struct pdag_recording {
    cudaGraphExec_t graph;
    unsigned n_moves; /* of the backend's spaces when it was made */
};

/* Other threads of this process may wait for their own devices meanwhile. */
pdag_status pdag_cuda_record_begin(pdag_backend *be)
{
    pdag_cuda *cuda = pdag_cuda_of(be);
    pdag_status status;

    PDAG_ASSERT(!cuda->recording);
    status = pdag_cuda_check(
        cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal),
        "recording");
    cuda->recording = status == PDAG_OK;
    return status;
}

pdag_status pdag_cuda_record_end(pdag_backend *be,
                                 pdag_recording **recording_out)
{
    pdag_cuda *cuda = pdag_cuda_of(be);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    pdag_recording *recording;
    pdag_status status;

    PDAG_ASSERT(cuda->recording);
    cuda->recording = false;
    status = pdag_cuda_check(cudaStreamEndCapture(cuda->stream, &graph),
                             "recording");
    if (status == PDAG_OK)
        status = pdag_cuda_check(cudaGraphInstantiateWithFlags(&ready, graph, 0),
                                 "recording");
    if (graph != NULL)
        cudaGraphDestroy(graph);
    if (status != PDAG_OK)
        return status;
    recording = pdag_xcalloc(1, sizeof *recording);
    recording->graph = ready;
    recording->n_moves = cuda->n_moves;
    *recording_out = recording;
    return PDAG_OK;
}

pdag_status pdag_cuda_replay(pdag_backend *be, pdag_recording *recording)
{
    pdag_cuda *cuda = pdag_cuda_of(be);

    if (recording->n_moves != cuda->n_moves)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "CUDA: an old recording");
    return pdag_cuda_check(cudaGraphLaunch(recording->graph, cuda->stream),
                           "replay");
}

void pdag_cuda_recording_destroy(pdag_backend *be, pdag_recording *recording)
{
    (void)be;
    if (recording == NULL)
        return;
    cudaGraphExecDestroy(recording->graph);
    free(recording);
}
