#include "backend/cuda_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Where configure found the libraries; looked at when the loader does not know
   them. */
#ifndef PDAG_CUDA_LIBDIR
#define PDAG_CUDA_LIBDIR "/usr/local/cuda/lib64"
#endif
#ifndef PDAG_CUDNN_LIBDIR
#define PDAG_CUDNN_LIBDIR PDAG_CUDA_LIBDIR
#endif

#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(number) #number

/* A function of a library, and where its address goes. */
typedef struct function {
    const char *name;
    size_t offset;
} function;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static pdag_status fill(void *library, const char *file, size_t n,
                        const function *list, void *table)
{
    for (size_t i = 0; i < n; i++) {
        void *address = dlsym(library, list[i].name);

        if (address == NULL)
            return pdag_error(PDAG_ERR_UNSUPPORTED, "backend cuda: %s has no %s",
                              file, list[i].name);
        memcpy((char *)table + list[i].offset, &address, sizeof address);
    }
    return PDAG_OK;
}

/* The library stays open until the process ends. */
static pdag_status open_library(const char *file, const char *folder, size_t n,
                                const function *list, void *table)
{
    char path[1024];
    char reason[512];
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL) {
        const char *said = dlerror();

        snprintf(reason, sizeof reason, "%s", said != NULL ? said : file);
        snprintf(path, sizeof path, "%s/%s", folder, file);
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    if (library == NULL)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "backend cuda: %s", reason);
    return fill(library, file, n, list, table);
}

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

pdag_status pdag_cublaslt_open(const pdag_cublaslt **lt_out)
{
#define FUNCTION(name) {#name, offsetof(pdag_cublaslt, name)},
    static const function list[] = {PDAG_CUBLASLT_FUNCTIONS(FUNCTION)};
#undef FUNCTION
    static pdag_cublaslt table;
    static int done;
    pdag_status status = PDAG_OK;

    pthread_mutex_lock(&lock);
    if (!done)
        status = open_library("libcublasLt.so." TEXT(CUBLAS_VER_MAJOR),
                              PDAG_CUDA_LIBDIR, COUNT(list), list, &table);
    done = done || status == PDAG_OK;
    pthread_mutex_unlock(&lock);
    if (status == PDAG_OK)
        *lt_out = &table;
    return status;
}

#ifdef PDAG_HAVE_CUDNN
pdag_status pdag_cudnn_open(const pdag_cudnn **dnn_out)
{
#define FUNCTION(name) {#name, offsetof(pdag_cudnn, name)},
    static const function list[] = {PDAG_CUDNN_FUNCTIONS(FUNCTION)};
#undef FUNCTION
    static pdag_cudnn table;
    static int done;
    pdag_status status = PDAG_OK;

    pthread_mutex_lock(&lock);
    if (!done)
        status = open_library("libcudnn.so." TEXT(CUDNN_MAJOR),
                              PDAG_CUDNN_LIBDIR, COUNT(list), list, &table);
    done = done || status == PDAG_OK;
    pthread_mutex_unlock(&lock);
    if (status == PDAG_OK)
        *dnn_out = &table;
    return status;
}
#endif
