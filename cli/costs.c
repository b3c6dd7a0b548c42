#include "cli/costs.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/files.h"

/* Of the file; another one is not read. */
#define FORMAT 1
/* Deeper than the parts of a model directory nothing is looked at. */
#define PART_DEPTH 1
/* More rows than a stored task has. */
#define MOST_ROWS 10000

/* Which model. */

/* FNV-1a. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *b = bytes;

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ b[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1);
}

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

static bool has_ending(const char *name)
{
    static const char *const endings[] = {".json", ".safetensors", ".bin", ".npy"};
    size_t length = strlen(name);

    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t n = strlen(endings[i]);

        if (length > n && strcmp(name + length - n, endings[i]) == 0)
            return true;
    }
    return false;
}

/* Sum over the files' hashes, whatever the order in which the folder lists them. */
static uint64_t hash_files(const char *path, const char *within, int depth)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    uint64_t sum = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char *inner = pdag_xasprintf("%s/%s", path, entry->d_name);
        char *name = pdag_xasprintf("%s/%s", within, entry->d_name);
        struct stat info;

        if (entry->d_name[0] == '.' || stat(inner, &info) != 0) {
            ;
        } else if (S_ISDIR(info.st_mode) && depth < PART_DEPTH) {
            sum += hash_files(inner, name, depth + 1);
        } else if (S_ISREG(info.st_mode) && has_ending(name)) {
            uint64_t size = (uint64_t)info.st_size;

            sum += hash_bytes(hash_text(HASH_BEGIN, name), &size, sizeof size);
        }
        free(inner);
        free(name);
    }
    if (dir != NULL)
        closedir(dir);
    return sum;
}

/* A file name of letters that are harmless everywhere. */
static char *model_name(const char *path)
{
    size_t n = strlen(path);
    size_t begin;
    char *name;

    while (n > 1 && path[n - 1] == '/')
        n--;
    for (begin = n; begin > 0 && path[begin - 1] != '/'; begin--)
        ;
    name = pdag_xstrndup(path + begin, n - begin > 64 ? 64 : n - begin);
    for (char *c = name; *c != '\0'; c++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                   "-_.", *c) == NULL)
            *c = '_';
    return name;
}

static char *file_name(const pdag_setup *setup)
{
    const pdag_job *job = setup->job;
    uint64_t hash = HASH_BEGIN;
    char *name = setup->has_model ? model_name(job->model.path)
                                  : pdag_xstrdup("gaussian");
    char *file;

    if (setup->has_model) {
        hash = hash_files(job->model.path, "", 0);
    } else {
        hash = hash_bytes(hash, setup->state_dims,
                          (size_t)setup->n_state_dims *
                              sizeof setup->state_dims[0]);
        hash = hash_bytes(hash, &job->gaussian.modes, sizeof job->gaussian.modes);
        hash = hash_bytes(hash, &job->gaussian.std, sizeof job->gaussian.std);
        hash = hash_bytes(hash, &job->gaussian.seed, sizeof job->gaussian.seed);
    }
    file = pdag_xasprintf("%s-%016" PRIx64 ".json", name, hash);
    free(name);
    return file;
}

/* NULL where there is no place; only absolute folders count (XDG). */
static char *cache_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");

    if (cache != NULL && cache[0] == '/')
        return pdag_xasprintf("%s/picard-dag", cache);
    if (home != NULL && home[0] == '/')
        return pdag_xasprintf("%s/.cache/picard-dag", home);
    return NULL;
}

/* The file. */

static void set_note(pdag_costs *costs, char *note)
{
    free(costs->note);
    costs->note = note;
}

pdag_costs pdag_costs_read(const pdag_setup *setup)
{
    pdag_costs costs = {cache_folder(), file_name(setup), NULL, NULL};
    struct stat info;
    pdag_json json;
    char *path;

    if (costs.folder == NULL) {
        costs.root = json_object();
        set_note(&costs, pdag_xstrdup("costs are not kept: neither XDG_CACHE_HOME "
                                      "nor HOME names a folder"));
        return costs;
    }
    path = pdag_xasprintf("%s/%s", costs.folder, costs.file);
    if (stat(path, &info) != 0) {
        costs.root = json_object();
    } else if (pdag_json_read(path, &json) != PDAG_OK) {
        costs.root = json_object();
        set_note(&costs, pdag_xasprintf("stored costs are not used: %s",
                                        pdag_error_text()));
    } else {
        if (json_integer_value(json_object_get(json.root, "format")) == FORMAT) {
            costs.root = json_incref(json.root);
        } else {
            costs.root = json_object();
            set_note(&costs, pdag_xasprintf("stored costs are not used: %s is of "
                                            "another version", path));
        }
        pdag_json_clear(&json);
    }
    free(path);
    return costs;
}

static json_int_t n_runs(const pdag_costs *costs)
{
    json_int_t n = json_integer_value(json_object_get(costs->root, "runs"));

    return n > 0 && n < INT32_MAX ? n : 0;
}

void pdag_costs_count(pdag_costs *costs)
{
    json_object_set_new(costs->root, "format", json_integer(FORMAT));
    json_object_set_new(costs->root, "runs", json_integer(n_runs(costs) + 1));
}

void pdag_costs_write(pdag_costs *costs)
{
    char *text;
    pdag_status status;

    if (costs->folder == NULL)
        return;
    text = json_dumps(costs->root, JSON_INDENT(1) | JSON_SORT_KEYS |
                                       JSON_REAL_PRECISION(9));
    if (text == NULL)
        return;
    status = pdag_folder_make(costs->folder);
    if (status == PDAG_OK)
        status = pdag_file_write(costs->folder, costs->file, text, strlen(text));
    if (status != PDAG_OK)
        set_note(costs, pdag_xasprintf("costs are not kept: %s",
                                       pdag_error_text()));
    free(text);
}

void pdag_costs_clear(pdag_costs *costs)
{
    json_decref(costs->root);
    free(costs->folder);
    free(costs->file);
    free(costs->note);
    memset(costs, 0, sizeof *costs);
}

/* Its figures. */

/* What a key begins with. */
static char *worker_key(const pdag_setup *setup)
{
    const pdag_job *job = setup->job;

    return pdag_xasprintf("%s %s delay %g: ", job->model.precision,
                          job->guidance_scale > 1.0 ? "guided" : "plain",
                          job->model.delay_ms);
}

char *pdag_costs_worker_key(const pdag_setup *setup, int n_workers,
                            const char *device)
{
    char *begin = worker_key(setup);
    char *key = pdag_xasprintf("%s%s, 1 of %d", begin, device, n_workers);

    /* The device's text came in a message; JSON takes UTF-8 only. */
    for (char *c = key; *c != '\0'; c++)
        if ((unsigned char)*c < 32 || (unsigned char)*c > 126)
            *c = '?';
    free(begin);
    return key;
}

char *pdag_costs_rounds_key(const pdag_setup *setup)
{
    const pdag_job *job = setup->job;
    char *pcm = pdag_xstrdup("");
    char *key;

    if (job->pcm.present) {
        free(pcm);
        pcm = pdag_xasprintf(", pcm %s %g of %lld, variance %g", job->pcm.mixing,
                             job->pcm.stiffness, (long long)job->pcm.rounds,
                             job->pcm.variance);
    }
    key = pdag_xasprintf(
        "%s %lld eta %g, %s %s %g, window %lld, history %lld, order %lld, slope "
        "%s, start %s %lld, entry %s, guidance %g%s",
        job->sampler.kind, (long long)job->sampler.steps, job->sampler.eta,
        job->solver.method, job->solver.stop, job->solver.tolerance,
        (long long)job->solver.window, (long long)job->solver.history,
        (long long)job->solver.order, job->solver.slope, job->solver.start,
        (long long)job->solver.start_row, job->solver.entry,
        job->guidance_scale, pcm);
    free(pcm);
    return key;
}

char *pdag_costs_update_key(const pdag_setup *setup)
{
    const pdag_job *job = setup->job;

    return pdag_xasprintf("%s history %lld slope %s", job->solver.method,
                          (long long)job->solver.history, job->solver.slope);
}

json_t *pdag_costs_member(json_t *object, const char *key)
{
    json_t *inner = json_object_get(object, key);

    if (!json_is_object(inner)) {
        inner = json_object();
        json_object_set_new(object, key, inner);
    }
    return inner;
}

json_t *pdag_costs_entry(pdag_costs *costs, const char *section, const char *key)
{
    json_t *entry =
        pdag_costs_member(pdag_costs_member(costs->root, section), key);

    json_object_set_new(entry, "used", json_integer(n_runs(costs)));
    return entry;
}

void pdag_costs_append(json_t *object, const char *name, json_t *value)
{
    json_t *list = json_object_get(object, name);

    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(object, name, list);
    }
    json_array_append_new(list, value);
    while (json_array_size(list) > PDAG_COSTS_KEPT)
        json_array_remove(list, 0);
}

void pdag_costs_add(json_t *object, const char *name, double value)
{
    if (isfinite(value) && value > 0.0)
        pdag_costs_append(object, name, json_real(value));
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

double pdag_costs_median(const json_t *list)
{
    double value[PDAG_COSTS_KEPT];
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(list) && n < PDAG_COSTS_KEPT; i++) {
        double v = json_number_value(json_array_get(list, i));

        if (isfinite(v) && v >= 0.0)
            value[n++] = v;
    }
    if (n == 0)
        return 0.0;
    qsort(value, n, sizeof *value, ascending);
    return n % 2 == 1 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
}

/* Workers. */

/* The line of least squares, y = fixed + per_x x, with neither below 0; one point
   gives a line through the origin. */
static void fit_line(size_t n, const double *x, const double *y,
                     double *fixed_out, double *per_x_out)
{
    double mean_x = 0.0;
    double mean_y = 0.0;
    double xx = 0.0;
    double xy = 0.0;

    for (size_t i = 0; i < n; i++) {
        mean_x += x[i] / (double)n;
        mean_y += y[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        xx += (x[i] - mean_x) * (x[i] - mean_x);
        xy += (x[i] - mean_x) * (y[i] - mean_y);
    }
    *per_x_out = xx > 0.0 ? xy / xx : mean_y / mean_x;
    if (*per_x_out < 0.0)
        *per_x_out = 0.0;
    if (*per_x_out * mean_x > mean_y)
        *per_x_out = mean_y / mean_x;
    *fixed_out = mean_y - *per_x_out * mean_x;
}

/* The list of figures by number; NULL-safe.  n_out of them, in x and y, which the
   caller frees. */
static void read_points(json_t *object, double **x_out, double **y_out,
                        size_t *n_out)
{
    size_t room = json_object_size(object);
    const char *key;
    json_t *list;

    *x_out = pdag_xcalloc(room + 1, sizeof **x_out);
    *y_out = pdag_xcalloc(room + 1, sizeof **y_out);
    *n_out = 0;
    json_object_foreach(object, key, list) {
        double x = strtod(key, NULL);
        double y = pdag_costs_median(list);

        if (!(x >= 1.0 && x <= 1e15) || y <= 0.0)
            continue;
        (*x_out)[*n_out] = x;
        (*y_out)[(*n_out)++] = y;
    }
}

/* Of its lists, the longest. */
static size_t most_values(json_t *object)
{
    size_t most = 0;
    const char *key;
    json_t *list;

    json_object_foreach(object, key, list)
        if (json_array_size(list) > most)
            most = json_array_size(list);
    return most;
}

/* Seconds by rows into an array of n; what is not known stays. */
static void read_table(json_t *object, size_t n, double *seconds)
{
    const char *key;
    json_t *list;

    json_object_foreach(object, key, list) {
        double rows = strtod(key, NULL);

        if (rows >= 1.0 && rows <= (double)n)
            seconds[(size_t)rows - 1] = pdag_costs_median(list);
    }
}

static bool read_cost(json_t *entry, pdag_cost *cost_out)
{
    const char *device = json_string_value(json_object_get(entry, "device"));
    json_t *tasks = json_object_get(entry, "task");
    json_int_t n_workers = json_integer_value(json_object_get(entry, "workers"));
    pdag_cost cost;
    double *rows;
    double *seconds;
    size_t n;

    memset(&cost, 0, sizeof cost);
    read_points(tasks, &rows, &seconds, &n);
    for (size_t i = 0; i < n; i++)
        if (rows[i] <= MOST_ROWS && (size_t)rows[i] > cost.n_seconds)
            cost.n_seconds = (size_t)rows[i];
    if (cost.n_seconds > 0) {
        cost.seconds = pdag_xcalloc(cost.n_seconds, sizeof *cost.seconds);
        cost.first = pdag_xcalloc(cost.n_seconds, sizeof *cost.first);
        read_table(tasks, cost.n_seconds, cost.seconds);
        read_table(json_object_get(entry, "first"), cost.n_seconds, cost.first);
        fit_line(n, rows, seconds, &cost.fixed, &cost.per_row);
        cost.device = pdag_xstrdup(device != NULL ? device : "unknown");
        cost.n_runs = most_values(tasks);
        cost.n_workers = n_workers > 0 && n_workers < 1000000 ? (int)n_workers
                                                              : 1;
        cost.encode = pdag_costs_median(json_object_get(entry, "encode"));
        cost.decode = pdag_costs_median(json_object_get(entry, "decode"));
        *cost_out = cost;
    }
    free(rows);
    free(seconds);
    return cost.seconds != NULL;
}

/* `auto` may have been any. */
static bool same_backend(const char *wanted, const char *used)
{
    return used == NULL || strcmp(wanted, "auto") == 0 ||
           strcmp(used, "auto") == 0 || strcmp(wanted, used) == 0;
}

bool pdag_costs_worker(const pdag_costs *costs, const pdag_setup *setup,
                       int n_workers, pdag_cost *cost_out)
{
    char *begin = worker_key(setup);
    json_t *found = NULL;
    double nearest = HUGE_VAL;
    json_int_t newest = -1;
    const char *key;
    json_t *entry;

    json_object_foreach(json_object_get(costs->root, "workers"), key, entry) {
        json_int_t used = json_integer_value(json_object_get(entry, "used"));
        double its = json_number_value(json_object_get(entry, "workers"));
        double apart = fabs(log2((its >= 1.0 ? its : 1.0) / n_workers));

        if (strncmp(key, begin, strlen(begin)) != 0 ||
            !same_backend(setup->job->model.backend,
                          json_string_value(json_object_get(entry, "backend"))))
            continue;
        if (apart < nearest || (apart <= nearest && used > newest)) {
            nearest = apart;
            newest = used;
            found = entry;
        }
    }
    free(begin);
    return found != NULL && read_cost(found, cost_out);
}

void pdag_cost_clear(pdag_cost *cost)
{
    free(cost->device);
    free(cost->seconds);
    free(cost->first);
    memset(cost, 0, sizeof *cost);
}

void pdag_costs_link(const pdag_costs *costs, bool local, double *latency_out,
                     double *bytes_per_second_out)
{
    json_t *links = json_object_get(costs->root, "links");
    json_t *entry = json_object_get(links, local ? "local" : "remote");
    double per_byte = 0.0;
    double *bytes;
    double *seconds;
    size_t n;

    *latency_out = 0.0;
    read_points(json_object_get(entry, "seconds"), &bytes, &seconds, &n);
    if (n == 1)
        *latency_out = seconds[0];
    else if (n > 1)
        fit_line(n, bytes, seconds, latency_out, &per_byte);
    *bytes_per_second_out = per_byte > 0.0 ? 1.0 / per_byte : 0.0;
    free(bytes);
    free(seconds);
}

double pdag_costs_update(const pdag_costs *costs, const pdag_setup *setup)
{
    char *key = pdag_costs_update_key(setup);
    json_t *entry = json_object_get(json_object_get(costs->root, "updates"), key);

    free(key);
    return pdag_costs_median(json_object_get(entry, "row"));
}
