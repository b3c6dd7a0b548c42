#include "models/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* The limit of the reference implementation. */
#define MAX_HEADER_BYTES ((uint64_t)100 * 1000 * 1000)
#define LENGTH_BYTES 8

/* Where a tensor's data lie, relative to the end of the header. */
typedef struct extent {
    size_t begin, end;
    const char *name;
} extent;

struct pdag_safetensors {
    char *path;
    int fd; /* kept to map pages anew; -1: not open */
    unsigned char *map;
    size_t map_bytes;
    json_t *header; /* owns the names */
    pdag_tensor_view *views;
    size_t n_views;
};

void pdag_safetensors_close(pdag_safetensors *file)
{
    if (file == NULL)
        return;
    if (file->map != NULL)
        munmap(file->map, file->map_bytes);
    if (file->fd >= 0)
        close(file->fd);
    json_decref(file->header);
    free(file->views);
    free(file->path);
    free(file);
}

static pdag_status map_file(pdag_safetensors *file)
{
    struct stat info;
    void *map;

    /* not blocking: a pipe under this name must not hang us */
    file->fd = open(file->path, O_RDONLY | O_NONBLOCK);
    if (file->fd < 0 || fstat(file->fd, &info) != 0)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", file->path,
                          strerror(errno));
    if (!S_ISREG(info.st_mode))
        return pdag_error(PDAG_ERR_INPUT, "%s: not a regular file", file->path);
    if (info.st_size <= LENGTH_BYTES)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: %lld bytes, too short for a safetensors file",
                          file->path, (long long)info.st_size);
    file->map_bytes = (size_t)info.st_size;
    map = mmap(NULL, file->map_bytes, PROT_READ, MAP_PRIVATE, file->fd, 0);
    if (map == MAP_FAILED)
        return pdag_error(PDAG_ERR_INPUT, "%s: cannot map: %s", file->path,
                          strerror(errno));
    file->map = map;
    return PDAG_OK;
}

/* Mapping the pages once more drops the ones that were read.  (madvise() would
   say the same, but its POSIX form may be a no-op and is one in glibc.) */
void pdag_safetensors_release(pdag_safetensors *file,
                              const pdag_tensor_view *view)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t begin = (size_t)((const unsigned char *)view->data - file->map);
    size_t end = begin + pdag_tensor_count(view) * pdag_dtype_size(view->dtype);
    size_t first = (begin + page - 1) / page * page;
    size_t last = end / page * page;

    if (last > first)
        (void)mmap(file->map + first, last - first, PROT_READ,
                   MAP_PRIVATE | MAP_FIXED, file->fd, (off_t)first);
}

static pdag_status read_header(pdag_safetensors *file, size_t *data_begin_out)
{
    uint64_t length = 0;
    json_error_t error;

    for (int i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)file->map[i] << (8 * i);
    if (length > MAX_HEADER_BYTES || length > file->map_bytes - LENGTH_BYTES)
        return pdag_error(
            PDAG_ERR_FORMAT,
            "%s: header length %llu, but the file has %zu bytes (limit %llu): "
            "truncated, or not safetensors",
            file->path, (unsigned long long)length, file->map_bytes,
            (unsigned long long)MAX_HEADER_BYTES);
    file->header = json_loadb((const char *)file->map + LENGTH_BYTES,
                              (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (file->header == NULL)
        return pdag_error(PDAG_ERR_FORMAT, "%s: header: %s", file->path,
                          error.text);
    if (!json_is_object(file->header))
        return pdag_error(PDAG_ERR_FORMAT, "%s: header: not a JSON object",
                          file->path);
    *data_begin_out = LENGTH_BYTES + (size_t)length;
    return PDAG_OK;
}

static pdag_status read_dtype(const pdag_safetensors *file, const char *name,
                              const json_t *value, pdag_dtype *dtype_out)
{
    static const pdag_dtype known[] = {PDAG_F64, PDAG_F32, PDAG_F16, PDAG_BF16,
                                       PDAG_I64, PDAG_I32, PDAG_U8};
    const char *text = json_string_value(value);

    if (text == NULL)
        return pdag_error(PDAG_ERR_FORMAT, "%s: %s: dtype missing", file->path,
                          name);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(text, pdag_dtype_name(known[i])) == 0) {
            *dtype_out = known[i];
            return PDAG_OK;
        }
    return pdag_error(
        PDAG_ERR_UNSUPPORTED,
        "%s: %s: dtype %.40s (known: F64 F32 F16 BF16 I64 I32 U8)", file->path,
        name, text);
}

static bool read_size(const json_t *value, size_t *size_out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *size_out = (size_t)json_integer_value(value);
    return true;
}

static pdag_status read_shape(const pdag_safetensors *file, const char *name,
                              const json_t *shape, pdag_tensor_view *view,
                              size_t *bytes_out)
{
    size_t bytes = pdag_dtype_size(view->dtype);

    if (!json_is_array(shape))
        return pdag_error(PDAG_ERR_FORMAT, "%s: %s: shape missing", file->path,
                          name);
    if (json_array_size(shape) > PDAG_MAX_DIMS)
        return pdag_error(PDAG_ERR_UNSUPPORTED, "%s: %s: %zu dims (limit %d)",
                          file->path, name, json_array_size(shape),
                          PDAG_MAX_DIMS);
    view->n_dims = (int)json_array_size(shape);
    for (int d = 0; d < view->n_dims; d++) {
        if (!read_size(json_array_get(shape, (size_t)d), &view->dims[d]))
            return pdag_error(PDAG_ERR_FORMAT,
                              "%s: %s: shape[%d] is not a size", file->path,
                              name, d);
        if (!pdag_mul_size(bytes, view->dims[d], &bytes))
            return pdag_error(PDAG_ERR_FORMAT, "%s: %s: shape overflows",
                              file->path, name);
    }
    *bytes_out = bytes;
    return PDAG_OK;
}

static pdag_status read_tensor(const pdag_safetensors *file, const char *name,
                               json_t *entry, size_t data_bytes,
                               pdag_tensor_view *view, extent *extent_out)
{
    json_t *offsets = json_object_get(entry, "data_offsets");
    extent where = {0, 0, name};
    size_t bytes = 0;
    pdag_status status;

    if (!json_is_object(entry))
        return pdag_error(PDAG_ERR_FORMAT, "%s: %s: not a JSON object",
                          file->path, name);
    status =
        read_dtype(file, name, json_object_get(entry, "dtype"), &view->dtype);
    if (status != PDAG_OK)
        return status;
    status =
        read_shape(file, name, json_object_get(entry, "shape"), view, &bytes);
    if (status != PDAG_OK)
        return status;
    if (json_array_size(offsets) != 2 ||
        !read_size(json_array_get(offsets, 0), &where.begin) ||
        !read_size(json_array_get(offsets, 1), &where.end))
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: %s: data_offsets must be two sizes", file->path,
                          name);
    if (where.begin > where.end || where.end > data_bytes)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: %s: data_offsets [%zu, %zu], but the file has "
                          "%zu bytes of data",
                          file->path, name, where.begin, where.end, data_bytes);
    if (where.end - where.begin != bytes)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: %s: %zu bytes of data, but shape and dtype make "
                          "%zu",
                          file->path, name, where.end - where.begin, bytes);
    view->name = name;
    *extent_out = where;
    return PDAG_OK;
}

static int compare_extents(const void *left, const void *right)
{
    const extent *a = left;
    const extent *b = right;

    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

/* The data must be covered from first to last byte, each byte once. */
static pdag_status check_cover(const pdag_safetensors *file, extent *extents,
                               size_t n, size_t data_bytes)
{
    size_t next = 0;

    qsort(extents, n, sizeof *extents, compare_extents);
    for (size_t i = 0; i < n; i++) {
        if (extents[i].begin != next)
            return pdag_error(PDAG_ERR_FORMAT,
                              "%s: %s: data begin at %zu, but the tensors "
                              "before end at %zu: %s",
                              file->path, extents[i].name, extents[i].begin,
                              next,
                              extents[i].begin < next ? "overlap" : "hole");
        next = extents[i].end;
    }
    if (next != data_bytes)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: the tensors end at byte %zu of %zu of the data",
                          file->path, next, data_bytes);
    return PDAG_OK;
}

static int compare_views(const void *left, const void *right)
{
    const pdag_tensor_view *a = left;
    const pdag_tensor_view *b = right;

    return strcmp(a->name, b->name);
}

static pdag_status read_tensors(pdag_safetensors *file, size_t data_begin)
{
    size_t room = json_object_size(file->header);
    size_t data_bytes = file->map_bytes - data_begin;
    extent *extents = pdag_xcalloc(room, sizeof *extents);
    pdag_status status = PDAG_OK;
    const char *name;
    json_t *entry;

    file->views = pdag_xcalloc(room, sizeof *file->views);
    json_object_foreach(file->header, name, entry)
    {
        pdag_tensor_view *view = &file->views[file->n_views];
        extent *where = &extents[file->n_views];

        if (strcmp(name, "__metadata__") == 0)
            continue;
        status = read_tensor(file, name, entry, data_bytes, view, where);
        if (status != PDAG_OK)
            break;
        view->data = file->map + data_begin + where->begin;
        file->n_views++;
    }
    if (status == PDAG_OK)
        status = check_cover(file, extents, file->n_views, data_bytes);
    free(extents);
    qsort(file->views, file->n_views, sizeof *file->views, compare_views);
    return status;
}

pdag_status pdag_safetensors_open(const char *path, pdag_safetensors **file_out)
{
    pdag_safetensors *file = pdag_xcalloc(1, sizeof *file);
    size_t data_begin = 0;
    pdag_status status;

    file->path = pdag_xstrdup(path);
    file->fd = -1;
    status = map_file(file);
    if (status == PDAG_OK)
        status = read_header(file, &data_begin);
    if (status == PDAG_OK)
        status = read_tensors(file, data_begin);
    if (status != PDAG_OK) {
        pdag_safetensors_close(file);
        return status;
    }
    *file_out = file;
    return PDAG_OK;
}

const char *pdag_safetensors_path(const pdag_safetensors *file)
{
    return file->path;
}

uint64_t pdag_safetensors_bytes(const pdag_safetensors *file)
{
    return (uint64_t)file->map_bytes;
}

const char *pdag_safetensors_metadata(const pdag_safetensors *file,
                                      const char *key)
{
    const json_t *all = json_object_get(file->header, "__metadata__");

    return json_string_value(json_object_get(all, key));
}

size_t pdag_safetensors_count(const pdag_safetensors *file)
{
    return file->n_views;
}

const pdag_tensor_view *pdag_safetensors_at(const pdag_safetensors *file,
                                            size_t index)
{
    return &file->views[index];
}
