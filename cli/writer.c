#include "cli/writer.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

typedef struct queued {
    pdag_writer_job job;
    void *argument;
} queued;

struct pdag_writer {
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    queued job[PDAG_WRITER_MOST_JOBS]; /* a ring */
    size_t first, n;
    size_t n_done;
    bool closing;
    pdag_status failed; /* PDAG_OK: nothing has */
    char *cause;        /* its text, owned */
};

static void note_result(pdag_writer *w, pdag_status status)
{
    if (status == PDAG_OK && w->failed == PDAG_OK)
        w->n_done++;
    if (status == PDAG_OK || w->failed != PDAG_OK)
        return;
    w->failed = status;
    w->cause = pdag_xstrdup(pdag_error_text());
}

static void *work(void *argument)
{
    pdag_writer *w = argument;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        queued next;
        pdag_status status;

        while (w->n == 0 && !w->closing)
            pthread_cond_wait(&w->changed, &w->lock);
        if (w->n == 0)
            break;
        next = w->job[w->first];
        w->first = (w->first + 1) % PDAG_WRITER_MOST_JOBS;
        w->n--;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
        status = next.job(next.argument);
        pthread_mutex_lock(&w->lock);
        note_result(w, status);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

pdag_status pdag_writer_open(pdag_writer **writer_out)
{
    pdag_writer *w = pdag_xcalloc(1, sizeof *w);
    sigset_t all;
    sigset_t before;
    int failed;

    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return pdag_error(PDAG_ERR_NOMEM, "cannot start the thread that writes "
                          "results");
    }
    *writer_out = w;
    return PDAG_OK;
}

/* The first failure, its text recorded in this thread. */
static pdag_status failure(const pdag_writer *w)
{
    return w->failed == PDAG_OK ? PDAG_OK : pdag_error(w->failed, "%s", w->cause);
}

pdag_status pdag_writer_put(pdag_writer *w, pdag_writer_job job, void *argument)
{
    pdag_status status;

    pthread_mutex_lock(&w->lock);
    while (w->n == PDAG_WRITER_MOST_JOBS)
        pthread_cond_wait(&w->changed, &w->lock);
    w->job[(w->first + w->n) % PDAG_WRITER_MOST_JOBS] = (queued){job, argument};
    w->n++;
    status = failure(w);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return status;
}

size_t pdag_writer_done(pdag_writer *w)
{
    size_t n;

    pthread_mutex_lock(&w->lock);
    n = w->n_done;
    pthread_mutex_unlock(&w->lock);
    return n;
}

pdag_status pdag_writer_close(pdag_writer *w)
{
    pdag_status status;

    if (w == NULL)
        return PDAG_OK;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    status = failure(w);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w->cause);
    free(w);
    return status;
}
