#include "cli/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/files.h"
#include "cli/text.h"

#define N_KEPT 2
#define MAX_NUMBER 999999999999999ull

/* One name for all, so that a killed run leaves one of them at most. */
static const char partial_name[] = ".state.partial";

struct pdag_store {
    char *output, *folder;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    pdag_checkpoint *waiting; /* the next one to write, or NULL */
    bool writing, closing;
    pdag_status failed; /* not told yet; else PDAG_OK */
    char *failed_text;
};

/* --- The files that are there ------------------------------------------ */

typedef struct numbers {
    uint64_t *at; /* owned, ascending */
    size_t n;
} numbers;

static char *name_of(uint64_t number)
{
    return pdag_xasprintf("state-%06llu.ckpt", (unsigned long long)number);
}

/* Whether this is a name that name_of() gives. */
static bool number_of(const char *name, uint64_t *number_out)
{
    uint64_t number = 0;
    const char *at;
    char *again;
    bool same;

    if (strncmp(name, "state-", 6) != 0)
        return false;
    for (at = name + 6; *at >= '0' && *at <= '9'; at++) {
        number = 10 * number + (uint64_t)(*at - '0');
        if (number > MAX_NUMBER)
            return false;
    }
    again = name_of(number);
    same = strcmp(again, name) == 0;
    free(again);
    *number_out = number;
    return same;
}

static int ascending(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return *a < *b ? -1 : *a > *b;
}

/* Numbers of the checkpoints in a folder; a folder that is not there has none.
   found_out->at is to be freed. */
static pdag_status list_numbers(const char *folder, numbers *found_out)
{
    numbers found = {NULL, 0};
    struct dirent *entry;
    DIR *dir = opendir(folder);

    if (dir == NULL && errno != ENOENT && errno != ENOTDIR)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", folder, strerror(errno));
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        uint64_t number;

        if (!number_of(entry->d_name, &number))
            continue;
        found.at = pdag_xgrow(found.at, found.n, sizeof *found.at);
        found.at[found.n++] = number;
    }
    if (dir != NULL)
        closedir(dir);
    if (found.n > 0)
        qsort(found.at, found.n, sizeof *found.at, ascending);
    *found_out = found;
    return PDAG_OK;
}

static pdag_status unlink_in(const char *folder, const char *name)
{
    char *path = pdag_xasprintf("%s/%s", folder, name);
    pdag_status status = PDAG_OK;

    if (unlink(path) != 0 && errno != ENOENT)
        status = pdag_error(PDAG_ERR_IO, "%s: %s", path, strerror(errno));
    free(path);
    return status;
}

/* All but the newest `kept`. */
static pdag_status unlink_older(const char *folder, const numbers *there,
                                size_t kept)
{
    pdag_status status = PDAG_OK;

    for (size_t i = 0; i + kept < there->n && status == PDAG_OK; i++) {
        char *name = name_of(there->at[i]);

        status = unlink_in(folder, name);
        free(name);
    }
    return status;
}

/* --- Writing ----------------------------------------------------------- */

static pdag_status flush(int fd, const char *path)
{
    if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        return pdag_error(PDAG_ERR_IO, "%s: %s", path, strerror(errno));
    return PDAG_OK;
}

/* The names in a folder to disk. */
static pdag_status flush_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    pdag_status status;

    if (fd < 0)
        return pdag_error(PDAG_ERR_IO, "%s: %s", folder, strerror(errno));
    status = flush(fd, folder);
    close(fd);
    return status;
}

static pdag_status write_file(const pdag_checkpoint *cp, const char *partial,
                              const char *path)
{
    int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    pdag_status status;

    if (fd < 0)
        return pdag_error(PDAG_ERR_IO, "%s: %s", path, strerror(errno));
    status = pdag_checkpoint_write(cp, fd);
    if (status != PDAG_OK)
        pdag_error_prefix(status, "%s", path);
    else
        status = flush(fd, path);
    if (close(fd) != 0 && status == PDAG_OK)
        status = pdag_error(PDAG_ERR_IO, "%s: %s", path, strerror(errno));
    if (status == PDAG_OK && rename(partial, path) != 0)
        status = pdag_error(PDAG_ERR_IO, "%s: %s", path, strerror(errno));
    if (status != PDAG_OK)
        unlink(partial);
    return status;
}

/* One checkpoint under the next number, and the oldest ones away. */
static pdag_status write_next(const pdag_store *store, const pdag_checkpoint *cp)
{
    char *partial = pdag_xasprintf("%s/%s", store->folder, partial_name);
    char *path = NULL;
    numbers there = {NULL, 0};
    pdag_status status = pdag_folder_make(store->folder);

    if (status == PDAG_OK)
        status = list_numbers(store->folder, &there);
    if (status == PDAG_OK && there.n == 0)
        status = flush_folder(store->output);
    if (status == PDAG_OK) {
        uint64_t number = there.n > 0 ? there.at[there.n - 1] + 1 : 1;
        char *name = name_of(number);

        path = pdag_xasprintf("%s/%s", store->folder, name);
        free(name);
        status = write_file(cp, partial, path);
    }
    if (status == PDAG_OK)
        status = flush_folder(store->folder);
    if (status == PDAG_OK)
        status = unlink_older(store->folder, &there, N_KEPT - 1);
    free(there.at);
    free(path);
    free(partial);
    return status == PDAG_OK || status == PDAG_ERR_NOMEM ? status : PDAG_ERR_IO;
}

static void *writer(void *argument)
{
    pdag_store *store = argument;

    pthread_mutex_lock(&store->lock);
    for (;;) {
        pdag_checkpoint *cp;
        pdag_status status;

        while (store->waiting == NULL && !store->closing)
            pthread_cond_wait(&store->changed, &store->lock);
        if (store->waiting == NULL)
            break;
        cp = store->waiting;
        store->waiting = NULL;
        store->writing = true;
        pthread_mutex_unlock(&store->lock);
        status = write_next(store, cp);
        pdag_checkpoint_destroy(cp);
        pthread_mutex_lock(&store->lock);
        store->writing = false;
        if (status != PDAG_OK) {
            free(store->failed_text);
            store->failed = status;
            store->failed_text = pdag_xstrdup(pdag_error_text());
        }
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

/* Tell a failure once.  Holds the lock. */
static pdag_status tell(pdag_store *store)
{
    pdag_status status = store->failed;

    if (status == PDAG_OK)
        return status;
    pdag_error_record("%s", store->failed_text);
    free(store->failed_text);
    store->failed_text = NULL;
    store->failed = PDAG_OK;
    return status;
}

static void destroy(pdag_store *store)
{
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->lock);
    free(store->output);
    free(store->folder);
    free(store);
}

pdag_status pdag_store_open(const char *output, pdag_store **store_out)
{
    pdag_store *store = pdag_xcalloc(1, sizeof *store);
    sigset_t all, before;
    int failed;

    store->output = pdag_xstrdup(output);
    store->folder = pdag_xasprintf("%s/checkpoint", output);
    store->failed = PDAG_OK;
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->changed, NULL);
    /* Signals are for the thread that runs the samples. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&store->thread, NULL, writer, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        destroy(store);
        return pdag_error(PDAG_ERR_NOMEM, "a thread to write checkpoints: %s",
                          strerror(failed));
    }
    *store_out = store;
    return PDAG_OK;
}

pdag_status pdag_store_put(pdag_store *store, pdag_checkpoint *cp)
{
    pdag_checkpoint *replaced;
    pdag_status status;

    pthread_mutex_lock(&store->lock);
    replaced = store->waiting;
    store->waiting = cp;
    status = tell(store);
    pthread_cond_signal(&store->changed);
    pthread_mutex_unlock(&store->lock);
    pdag_checkpoint_destroy(replaced);
    return status;
}

bool pdag_store_idle(pdag_store *store)
{
    bool idle;

    pthread_mutex_lock(&store->lock);
    idle = store->waiting == NULL && !store->writing;
    pthread_mutex_unlock(&store->lock);
    return idle;
}

pdag_status pdag_store_close(pdag_store *store)
{
    pdag_status status;

    pthread_mutex_lock(&store->lock);
    store->closing = true;
    pthread_cond_signal(&store->changed);
    pthread_mutex_unlock(&store->lock);
    pthread_join(store->thread, NULL);
    status = tell(store);
    destroy(store);
    return status;
}

/* --- Reading, removing ------------------------------------------------- */

static pdag_status read_sound(const char *path, pdag_checkpoint **cp_out)
{
    pdag_checkpoint *cp;
    size_t job_bytes;
    pdag_status status = pdag_checkpoint_read(path, &cp);

    if (status != PDAG_OK)
        return status;
    pdag_checkpoint_job(cp, &job_bytes);
    if (job_bytes == 0) {
        pdag_checkpoint_destroy(cp);
        return pdag_error(PDAG_ERR_FORMAT, "%s: holds no job", path);
    }
    *cp_out = cp;
    return PDAG_OK;
}

pdag_status pdag_store_newest(const char *output, pdag_checkpoint **cp_out,
                              char **notes_out)
{
    char *folder = pdag_xasprintf("%s/checkpoint", output);
    numbers there = {NULL, 0};
    pdag_text notes = {NULL, 0, 0};
    pdag_checkpoint *cp = NULL;
    pdag_status status = list_numbers(folder, &there);

    for (size_t i = there.n; i > 0 && cp == NULL && status == PDAG_OK; i--) {
        char *name = name_of(there.at[i - 1]);
        char *path = pdag_xasprintf("%s/%s", folder, name);

        status = read_sound(path, &cp);
        if (status == PDAG_ERR_FORMAT || status == PDAG_ERR_INPUT) {
            pdag_text_add(&notes, "%s%s", notes.used > 0 ? "\n" : "",
                          pdag_error_text());
            status = PDAG_OK;
        }
        free(path);
        free(name);
    }
    free(there.at);
    free(folder);
    if (status != PDAG_OK) {
        pdag_text_clear(&notes);
        return status;
    }
    *cp_out = cp;
    *notes_out = notes.at;
    return PDAG_OK;
}

pdag_status pdag_store_remove(const char *output)
{
    char *folder = pdag_xasprintf("%s/checkpoint", output);
    numbers there = {NULL, 0};
    pdag_status status = list_numbers(folder, &there);

    if (status == PDAG_OK)
        status = unlink_older(folder, &there, 0);
    if (status == PDAG_OK)
        status = unlink_in(folder, partial_name);
    if (status == PDAG_OK && rmdir(folder) != 0 && errno != ENOENT &&
        errno != ENOTDIR && errno != ENOTEMPTY && errno != EEXIST)
        status = pdag_error(PDAG_ERR_IO, "%s: %s", folder, strerror(errno));
    free(there.at);
    free(folder);
    return status;
}
