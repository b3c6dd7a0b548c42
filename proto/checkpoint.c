#include "proto/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "proto/checkpoint.pb-c.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "arrays go to the file as they are in memory");

#define FORMAT_VERSION 1u
#define ALIGNMENT 64u
#define MAX_HEADER ((uint64_t)128 << 20) /* a job of 64 MiB and MAX_ARRAYS */
#define MAX_ARRAYS ((size_t)1 << 18)
#define NAME_ROOM 64 /* with the zero byte */
#define UNPACKED_ARRAY 512 /* bytes that protobuf-c needs for an array, and more */

static const char magic[8] = {'P', 'D', 'A', 'G', 'C', 'K', 'P', '\n'};

/* What the file begins with. */
typedef struct start {
    char magic[8];
    uint64_t header_bytes;
    uint32_t header_crc;
    uint32_t zero;
} start;

_Static_assert(sizeof(start) == 24, "no holes");

typedef struct array {
    char name[NAME_ROOM];
    pdag_checkpoint_type type;
    size_t count;
    void *values; /* owned */
} array;

struct pdag_checkpoint {
    void *job;
    size_t job_bytes;
    array *arrays; /* [n], room for more */
    size_t n, room;
    uint32_t *slots; /* [2 room], a hash table: 1 + index of an array, 0: none */
};

static size_t type_bytes(pdag_checkpoint_type type)
{
    switch (type) {
    case PDAG_CHECKPOINT_F32:
        return 4;
    case PDAG_CHECKPOINT_F64:
    case PDAG_CHECKPOINT_U64:
        return 8;
    case PDAG_CHECKPOINT_BYTES:
        return 1;
    }
    return 0;
}

static const char *type_text(pdag_checkpoint_type type)
{
    static const char *const texts[] = {"nothing", "float32", "float64", "uint64",
                                        "bytes"};

    return texts[type];
}

static bool is_name(const void *name, size_t length)
{
    const unsigned char *at = name;

    for (size_t i = 0; i < length; i++)
        if (at[i] < 0x20 || at[i] > 0x7e)
            return false;
    return length > 0 && length < NAME_ROOM;
}

/* --- In memory --------------------------------------------------------- */

pdag_checkpoint *pdag_checkpoint_create(const void *job, size_t job_bytes)
{
    pdag_checkpoint *cp = pdag_xcalloc(1, sizeof *cp);

    cp->job = pdag_xcalloc(job_bytes + 1, 1);
    if (job_bytes > 0)
        memcpy(cp->job, job, job_bytes);
    cp->job_bytes = job_bytes;
    return cp;
}

void pdag_checkpoint_destroy(pdag_checkpoint *cp)
{
    if (cp == NULL)
        return;
    for (size_t i = 0; i < cp->n; i++)
        free(cp->arrays[i].values);
    free(cp->arrays);
    free(cp->slots);
    free(cp->job);
    free(cp);
}

const void *pdag_checkpoint_job(const pdag_checkpoint *cp, size_t *bytes_out)
{
    *bytes_out = cp->job_bytes;
    return cp->job;
}

/* The slot that has this name, or the free one where it belongs; the table is at
   most half full. */
static uint32_t *slot_of(const pdag_checkpoint *cp, const char *name)
{
    size_t mask = 2 * cp->room - 1;
    size_t at = crc32(0, (const Bytef *)name, (uInt)strlen(name)) & mask;

    while (cp->slots[at] != 0 &&
           strcmp(cp->arrays[cp->slots[at] - 1].name, name) != 0)
        at = (at + 1) & mask;
    return &cp->slots[at];
}

static const array *find_array(const pdag_checkpoint *cp, const char *name)
{
    const uint32_t *slot = cp->room > 0 ? slot_of(cp, name) : NULL;

    return slot != NULL && *slot != 0 ? &cp->arrays[*slot - 1] : NULL;
}

static void grow(pdag_checkpoint *cp)
{
    cp->room = cp->room == 0 ? 16 : 2 * cp->room;
    cp->arrays = pdag_xrealloc(cp->arrays, cp->room, sizeof *cp->arrays);
    free(cp->slots);
    cp->slots = pdag_xcalloc(2 * cp->room, sizeof *cp->slots);
    for (size_t i = 0; i < cp->n; i++)
        *slot_of(cp, cp->arrays[i].name) = (uint32_t)i + 1;
}

pdag_status pdag_checkpoint_add(pdag_checkpoint *cp, const char *name,
                                pdag_checkpoint_type type, size_t count,
                                void **values_out)
{
    pdag_status status;
    void *values;
    array *added;

    PDAG_ASSERT(is_name(name, strlen(name)) && type_bytes(type) > 0);
    PDAG_ASSERT(find_array(cp, name) == NULL);
    if (cp->n == MAX_ARRAYS)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "checkpoint: array %s is one more than %zu", name,
                          MAX_ARRAYS);
    status = pdag_alloc_tensor(count, type_bytes(type), name, &values);
    if (status != PDAG_OK)
        return status;
    if (cp->n == cp->room)
        grow(cp);
    added = &cp->arrays[cp->n];
    memcpy(added->name, name, strlen(name) + 1);
    added->type = type;
    added->count = count;
    added->values = values;
    *slot_of(cp, name) = (uint32_t)++cp->n;
    *values_out = values;
    return PDAG_OK;
}

pdag_status pdag_checkpoint_find(const pdag_checkpoint *cp, const char *name,
                                 pdag_checkpoint_type type,
                                 const void **values_out, size_t *count_out)
{
    const array *found = find_array(cp, name);

    if (found == NULL)
        return pdag_error(PDAG_ERR_FORMAT, "checkpoint: no array %s", name);
    if (found->type != type)
        return pdag_error(PDAG_ERR_FORMAT,
                          "checkpoint: array %s holds %s: expected %s", name,
                          type_text(found->type), type_text(type));
    *values_out = found->values;
    *count_out = found->count;
    return PDAG_OK;
}

pdag_status pdag_checkpoint_copy(const pdag_checkpoint *cp, const char *name,
                                 pdag_checkpoint_type type, size_t count,
                                 void *values)
{
    const void *from;
    size_t there;
    pdag_status status = pdag_checkpoint_find(cp, name, type, &from, &there);

    if (status != PDAG_OK)
        return status;
    if (there != count)
        return pdag_error(PDAG_ERR_FORMAT,
                          "checkpoint: array %s holds %zu values: expected %zu",
                          name, there, count);
    if (count > 0)
        memcpy(values, from, count * type_bytes(type));
    return PDAG_OK;
}

/* --- To a file --------------------------------------------------------- */

static uint64_t align_up(uint64_t offset)
{
    return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static pdag_status write_all(int fd, const void *bytes, size_t n_bytes)
{
    const char *at = bytes;

    while (n_bytes > 0) {
        ssize_t wrote = write(fd, at, n_bytes);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return pdag_error(PDAG_ERR_IO, "checkpoint: %s", strerror(errno));
        at += wrote;
        n_bytes -= (size_t)wrote;
    }
    return PDAG_OK;
}

/* Places the arrays, which needs the header's length, which does not depend on
   where they are. */
static void place_arrays(const pdag_checkpoint *cp, Pdag__Checkpoint *header)
{
    uint64_t at = sizeof(start) + pdag__checkpoint__get_packed_size(header);

    for (size_t i = 0; i < cp->n; i++) {
        at = align_up(at);
        header->array[i]->offset = at;
        at += (uint64_t)cp->arrays[i].count * type_bytes(cp->arrays[i].type);
    }
}

/* *bytes_out: to be freed; start and header, then zeros up to the first array. */
static void make_header(const pdag_checkpoint *cp, uint8_t **bytes_out,
                        size_t *n_bytes_out)
{
    Pdag__Checkpoint header = PDAG__CHECKPOINT__INIT;
    Pdag__CheckpointArray *items = pdag_xcalloc(cp->n + 1, sizeof *items);
    Pdag__CheckpointArray **pointers = pdag_xcalloc(cp->n + 1, sizeof *pointers);
    char program[] = PACKAGE_VERSION;
    start first = {.zero = 0};
    size_t used, n_bytes;
    uint8_t *bytes;

    for (size_t i = 0; i < cp->n; i++) {
        array *of = &cp->arrays[i];
        Pdag__CheckpointArray *item = &items[i];

        pdag__checkpoint_array__init(item);
        item->has_name = item->has_type = item->has_count = 1;
        item->has_offset = item->has_crc = 1;
        item->name.data = (uint8_t *)of->name;
        item->name.len = strlen(of->name);
        item->type = (uint32_t)of->type;
        item->count = of->count;
        item->crc = (uint32_t)crc32_z(0, of->values,
                                      of->count * type_bytes(of->type));
        pointers[i] = item;
    }
    header.has_format = header.has_job = 1;
    header.format = FORMAT_VERSION;
    header.program = program;
    header.job.data = cp->job;
    header.job.len = cp->job_bytes;
    header.n_array = cp->n;
    header.array = pointers;
    place_arrays(cp, &header);

    used = sizeof first + pdag__checkpoint__get_packed_size(&header);
    n_bytes = cp->n > 0 ? (size_t)align_up(used) : used;
    bytes = pdag_xcalloc(n_bytes, 1);
    pdag__checkpoint__pack(&header, bytes + sizeof first);
    memcpy(first.magic, magic, sizeof magic);
    first.header_bytes = used - sizeof first;
    first.header_crc =
        (uint32_t)crc32_z(0, bytes + sizeof first, used - sizeof first);
    memcpy(bytes, &first, sizeof first);
    free(items);
    free(pointers);
    *bytes_out = bytes;
    *n_bytes_out = n_bytes;
}

pdag_status pdag_checkpoint_write(const pdag_checkpoint *cp, int fd)
{
    static const uint8_t zeros[ALIGNMENT];
    uint8_t *header;
    size_t n_bytes;
    pdag_status status;

    make_header(cp, &header, &n_bytes);
    status = write_all(fd, header, n_bytes);
    free(header);
    for (size_t i = 0; i < cp->n && status == PDAG_OK; i++) {
        const array *of = &cp->arrays[i];
        size_t bytes = of->count * type_bytes(of->type);

        status = write_all(fd, of->values, bytes);
        if (status == PDAG_OK && i + 1 < cp->n)
            status = write_all(fd, zeros, (size_t)(align_up(bytes) - bytes));
    }
    return status;
}

/* --- From a file ------------------------------------------------------- */

/* A file's bytes, taken in order: from memory, or where that is NULL from fd. */
typedef struct source {
    const char *name;
    const uint8_t *memory;
    int fd;
    uint64_t at, size;
} source;

/* n bytes that the caller knows to be there. */
static pdag_status take(source *from, size_t n, void *into)
{
    char *at = into;
    size_t left = n;

    PDAG_ASSERT(n <= from->size - from->at);
    if (from->memory != NULL && n > 0) {
        memcpy(into, from->memory + from->at, n);
        left = 0;
    }
    while (left > 0) {
        ssize_t got = read(from->fd, at, left);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return pdag_error(PDAG_ERR_INPUT, "%s: %s", from->name,
                              got < 0 ? strerror(errno)
                                      : "became shorter while it was read");
        at += got;
        left -= (size_t)got;
    }
    from->at += n;
    return PDAG_OK;
}

/* The zeros in front of an array. */
static pdag_status take_padding(source *from, uint64_t upto)
{
    uint8_t padding[ALIGNMENT];
    size_t n = (size_t)(upto - from->at);
    pdag_status status = take(from, n, padding);

    for (size_t i = 0; i < n && status == PDAG_OK; i++)
        if (padding[i] != 0)
            return pdag_error(PDAG_ERR_FORMAT,
                              "%s: byte %llu, between arrays, is not 0",
                              from->name,
                              (unsigned long long)(from->at - n + i));
    return status;
}

/* *bytes_out: [*n_bytes_out], to be freed. */
static pdag_status take_header(source *from, uint8_t **bytes_out,
                               size_t *n_bytes_out)
{
    start first;
    pdag_status status;
    void *bytes;

    if (from->size < sizeof first)
        return pdag_error(PDAG_ERR_FORMAT, "%s: not a checkpoint: %llu bytes",
                          from->name, (unsigned long long)from->size);
    status = take(from, sizeof first, &first);
    if (status != PDAG_OK)
        return status;
    if (memcmp(first.magic, magic, sizeof magic) != 0 || first.zero != 0)
        return pdag_error(PDAG_ERR_FORMAT, "%s: not a checkpoint", from->name);
    if (first.header_bytes > MAX_HEADER ||
        first.header_bytes > from->size - from->at)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: header of %llu bytes: expected %llu at most",
                          from->name, (unsigned long long)first.header_bytes,
                          (unsigned long long)(from->size - from->at));
    status = pdag_alloc_tensor((size_t)first.header_bytes, 1, from->name, &bytes);
    if (status != PDAG_OK)
        return status;
    status = take(from, (size_t)first.header_bytes, bytes);
    if (status == PDAG_OK && crc32_z(0, bytes, (size_t)first.header_bytes) !=
                                 first.header_crc)
        status = pdag_error(PDAG_ERR_FORMAT,
                            "%s: the header's checksum does not fit", from->name);
    if (status != PDAG_OK) {
        free(bytes);
        return status;
    }
    *bytes_out = bytes;
    *n_bytes_out = (size_t)first.header_bytes;
    return PDAG_OK;
}

/* What the header says of an array: name_out [NAME_ROOM], and that its values
   follow here and end within the file. */
static pdag_status check_array(const source *from,
                               const Pdag__CheckpointArray *item,
                               const pdag_checkpoint *cp, char *name_out)
{
    size_t size;

    if (!item->has_name || !is_name(item->name.data, item->name.len))
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: array %zu: a name of 1 to %d printable ASCII "
                          "characters is missing",
                          from->name, cp->n, NAME_ROOM - 1);
    memcpy(name_out, item->name.data, item->name.len);
    name_out[item->name.len] = '\0';
    if (find_array(cp, name_out) != NULL)
        return pdag_error(PDAG_ERR_FORMAT, "%s: array %s is there twice",
                          from->name, name_out);
    if (!item->has_type || item->type < PDAG_CHECKPOINT_F32 ||
        item->type > PDAG_CHECKPOINT_BYTES)
        return pdag_error(PDAG_ERR_FORMAT, "%s: array %s: type %u: expected 1 to "
                          "%d", from->name, name_out, item->type,
                          PDAG_CHECKPOINT_BYTES);
    if (!item->has_offset || item->offset != align_up(from->at))
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: array %s: offset %llu: expected %llu", from->name,
                          name_out, (unsigned long long)item->offset,
                          (unsigned long long)align_up(from->at));
    size = type_bytes((pdag_checkpoint_type)item->type);
    if (!item->has_count || item->offset > from->size ||
        item->count > (from->size - item->offset) / size)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: array %s: %llu values of %zu bytes end after the "
                          "file's %llu bytes",
                          from->name, name_out, (unsigned long long)item->count,
                          size, (unsigned long long)from->size);
    return PDAG_OK;
}

static pdag_status take_array(source *from, const Pdag__CheckpointArray *item,
                              pdag_checkpoint *cp)
{
    char name[NAME_ROOM];
    size_t bytes;
    void *values;
    pdag_status status = check_array(from, item, cp, name);

    if (status == PDAG_OK)
        status = take_padding(from, item->offset);
    if (status == PDAG_OK)
        status = pdag_checkpoint_add(cp, name, (pdag_checkpoint_type)item->type,
                                     (size_t)item->count, &values);
    if (status != PDAG_OK)
        return status;
    bytes = (size_t)item->count * type_bytes((pdag_checkpoint_type)item->type);
    status = take(from, bytes, values);
    if (status == PDAG_OK &&
        (!item->has_crc || crc32_z(0, values, bytes) != item->crc))
        status = pdag_error(PDAG_ERR_FORMAT,
                            "%s: the checksum of array %s does not fit",
                            from->name, name);
    return status;
}

static pdag_status take_arrays(source *from, const Pdag__Checkpoint *header,
                               pdag_checkpoint *cp)
{
    pdag_status status = PDAG_OK;

    for (size_t i = 0; i < header->n_array && status == PDAG_OK; i++)
        status = take_array(from, header->array[i], cp);
    if (status == PDAG_OK && from->at != from->size)
        status = pdag_error(PDAG_ERR_FORMAT,
                            "%s: %llu bytes after the last array", from->name,
                            (unsigned long long)(from->size - from->at));
    return status;
}

/* Two bytes of a message can stand for a hundred of memory: what unpacking may
   use is bounded. */
static void *budget_alloc(void *left, size_t bytes)
{
    size_t *budget = left;

    if (bytes > *budget)
        return NULL;
    *budget -= bytes;
    return malloc(bytes);
}

static void budget_free(void *left, void *memory)
{
    (void)left;
    free(memory);
}

static pdag_status take_checkpoint(source *from, pdag_checkpoint **cp_out)
{
    size_t budget;
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    Pdag__Checkpoint *header;
    pdag_checkpoint *cp = NULL;
    uint8_t *bytes;
    size_t n_bytes;
    pdag_status status = take_header(from, &bytes, &n_bytes);

    if (status != PDAG_OK)
        return status;
    budget = n_bytes + MAX_ARRAYS * UNPACKED_ARRAY;
    header = pdag__checkpoint__unpack(&allocator, n_bytes, bytes);
    free(bytes);
    if (header == NULL)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: the header is not a pdag.Checkpoint message of "
                          "%zu arrays at most", from->name, MAX_ARRAYS);
    if (!header->has_format || header->format != FORMAT_VERSION)
        status = pdag_error(PDAG_ERR_FORMAT,
                            "%s: checkpoint format %u: expected %u", from->name,
                            header->format, FORMAT_VERSION);
    else if (!header->has_job)
        status = pdag_error(PDAG_ERR_FORMAT, "%s: holds no job", from->name);
    if (status == PDAG_OK) {
        cp = pdag_checkpoint_create(header->job.data, header->job.len);
        status = take_arrays(from, header, cp);
    }
    pdag__checkpoint__free_unpacked(header, &allocator);
    if (status == PDAG_OK)
        *cp_out = cp;
    else
        pdag_checkpoint_destroy(cp);
    return status;
}

pdag_status pdag_checkpoint_parse(const char *name, const void *bytes,
                                  size_t n_bytes, pdag_checkpoint **cp_out)
{
    source from = {name, bytes, -1, 0, n_bytes};

    return take_checkpoint(&from, cp_out);
}

pdag_status pdag_checkpoint_read(const char *path, pdag_checkpoint **cp_out)
{
    source from = {path, NULL, -1, 0, 0};
    struct stat there;
    pdag_status status;

    /* Not to wait for the other end of a pipe. */
    from.fd = open(path, O_RDONLY | O_NONBLOCK);
    if (from.fd < 0)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno));
    if (fstat(from.fd, &there) != 0)
        status = pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(there.st_mode))
        status = pdag_error(PDAG_ERR_FORMAT, "%s: not a plain file", path);
    else {
        from.size = (uint64_t)there.st_size;
        status = take_checkpoint(&from, cp_out);
    }
    close(from.fd);
    return status;
}
