/* numpy's .npy format: magic, version, header length, a Python dictionary with
   descr, fortran_order and shape, then the elements. */
#include "base/npy.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_HEADER ((size_t)1 << 20)

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

typedef struct header {
    char descr[16]; /* cut off where longer */
    bool has_descr, has_order, has_shape;
    bool fortran;
    int n_dims;
    size_t dims[PDAG_MAX_DIMS];
} header;

static const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')
        p++;
    return p;
}

/* 'text' or "text"; returns what follows, or NULL.  Longer texts are cut. */
static const char *parse_string(const char *p, char *text, size_t room)
{
    char quote = *p;
    size_t used = 0;

    if (quote != '\'' && quote != '"')
        return NULL;
    for (p++; *p != '\0' && *p != quote; p++)
        if (used + 1 < room)
            text[used++] = *p;
    text[used] = '\0';
    return *p == quote ? p + 1 : NULL;
}

static const char *parse_bool(const char *p, bool *value)
{
    if (strncmp(p, "True", 4) == 0) {
        *value = true;
        return p + 4;
    }
    if (strncmp(p, "False", 5) == 0) {
        *value = false;
        return p + 5;
    }
    return NULL;
}

/* "(2, 3)", "(2,)" or "()"; Python 2's L behind a number is passed over. */
static const char *parse_shape(const char *p, header *head)
{
    if (*p != '(')
        return NULL;
    p = skip_space(p + 1);
    head->n_dims = 0;
    while (*p != ')') {
        size_t dim = 0;

        if (*p < '0' || *p > '9' || head->n_dims == PDAG_MAX_DIMS)
            return NULL;
        for (; *p >= '0' && *p <= '9'; p++)
            if (!pdag_mul_size(dim, 10, &dim) ||
                dim > SIZE_MAX - (size_t)(*p - '0'))
                return NULL;
            else
                dim += (size_t)(*p - '0');
        head->dims[head->n_dims++] = dim;
        p = skip_space(*p == 'L' ? p + 1 : p);
        if (*p == ',')
            p = skip_space(p + 1);
        else if (*p != ')')
            return NULL;
    }
    return p + 1;
}

static const char *parse_value(const char *p, const char *key, header *head)
{
    if (strcmp(key, "descr") == 0) {
        head->has_descr = true;
        return parse_string(p, head->descr, sizeof head->descr);
    }
    if (strcmp(key, "fortran_order") == 0) {
        head->has_order = true;
        return parse_bool(p, &head->fortran);
    }
    if (strcmp(key, "shape") == 0) {
        head->has_shape = true;
        return parse_shape(p, head);
    }
    return NULL;
}

/* Whether `text` is the dictionary that the format asks for. */
static bool parse_header(const char *text, header *head)
{
    const char *p = skip_space(text);

    memset(head, 0, sizeof *head);
    if (*p++ != '{')
        return false;
    for (p = skip_space(p); *p != '}'; p = skip_space(p)) {
        char key[16];

        if ((p = parse_string(p, key, sizeof key)) == NULL)
            return false;
        p = skip_space(p);
        if (*p != ':')
            return false;
        if ((p = parse_value(skip_space(p + 1), key, head)) == NULL)
            return false;
        p = skip_space(p);
        if (*p == ',')
            p++;
        else if (*p != '}')
            return false;
    }
    return *skip_space(p + 1) == '\0' && head->has_descr && head->has_order &&
           head->has_shape;
}

/* Magic, version and header text.  *text_out: to be freed. */
static pdag_status read_header_text(FILE *file, const char *path,
                                    char **text_out)
{
    unsigned char start[8];
    unsigned char size[4] = {0, 0, 0, 0};
    size_t size_bytes;
    size_t length;
    char *text;

    if (fread(start, 1, sizeof start, file) != sizeof start ||
        memcmp(start, magic, sizeof magic) != 0)
        return ferror(file)
                   ? pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno))
                   : pdag_error(PDAG_ERR_FORMAT, "%s: not a .npy file", path);
    if (start[6] < 1 || start[6] > 3)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: .npy version %d: expected 1, 2 or 3", path,
                          start[6]);
    size_bytes = start[6] == 1 ? 2 : 4;
    if (fread(size, 1, size_bytes, file) != size_bytes)
        return pdag_error(PDAG_ERR_FORMAT, "%s: ends within its header", path);
    length = (size_t)size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16 |
             (size_t)size[3] << 24;
    if (length > MAX_HEADER)
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: header of %zu bytes: expected %zu at most", path,
                          length, MAX_HEADER);
    text = pdag_xcalloc(length + 1, 1);
    if (fread(text, 1, length, file) != length || strlen(text) != length) {
        free(text);
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: ends within its header of %zu bytes", path,
                          length);
    }
    *text_out = text;
    return PDAG_OK;
}

/* Check what the header says; *count_out elements. */
static pdag_status check_header(const char *path, const char *text,
                                header *head, size_t *count_out)
{
    size_t count = 1;

    if (!parse_header(text, head))
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: header is not understood: %.100s", path, text);
    if (strcmp(head->descr, "<f4") != 0)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: element type %s: expected <f4 (little-endian "
                          "float32)",
                          path, head->descr);
    if (head->fortran && head->n_dims > 1)
        return pdag_error(PDAG_ERR_UNSUPPORTED,
                          "%s: fortran_order True: expected rows first", path);
    for (int d = 0; d < head->n_dims; d++)
        if (!pdag_mul_size(count, head->dims[d], &count))
            return pdag_error(PDAG_ERR_FORMAT, "%s: shape too large: %.100s",
                              path, text);
    *count_out = count;
    return PDAG_OK;
}

/* The bytes left in the file must be those of `count` elements, before any
   memory is asked for. */
static pdag_status read_elements(FILE *file, const char *path, size_t count,
                                 float **data_out)
{
    long here = ftell(file);
    long end;
    size_t bytes;
    void *memory;
    float *data;
    pdag_status status;

    if (here < 0 || fseek(file, 0, SEEK_END) != 0 || (end = ftell(file)) < 0 ||
        fseek(file, here, SEEK_SET) != 0)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno));
    if (!pdag_mul_size(count, sizeof *data, &bytes) ||
        bytes != (size_t)(end - here))
        return pdag_error(PDAG_ERR_FORMAT,
                          "%s: %ld bytes of data where the shape needs %zu "
                          "float32",
                          path, end - here, count);
    status = pdag_alloc_tensor(count > 0 ? count : 1, sizeof *data, path,
                               &memory);
    if (status != PDAG_OK)
        return status;
    data = memory;
    if (fread(data, 1, bytes, file) != bytes) {
        free(data);
        return pdag_error(PDAG_ERR_INPUT, "%s: cannot read its data", path);
    }
    for (size_t j = 0; j < count; j++) { /* whatever the machine's own order */
        unsigned char b[4];
        uint32_t bits;

        memcpy(b, data + j, sizeof b);
        bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
               (uint32_t)b[3] << 24;
        memcpy(data + j, &bits, sizeof bits);
    }
    *data_out = data;
    return PDAG_OK;
}

pdag_status pdag_npy_read(const char *path, float **data_out, int *n_dims_out,
                          size_t *dims_out)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    header head;
    size_t count;
    pdag_status status;

    if (file == NULL)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", path, strerror(errno));
    status = read_header_text(file, path, &text);
    if (status == PDAG_OK)
        status = check_header(path, text, &head, &count);
    if (status == PDAG_OK)
        status = read_elements(file, path, count, data_out);
    free(text);
    fclose(file);
    if (status != PDAG_OK)
        return status;
    *n_dims_out = head.n_dims;
    memcpy(dims_out, head.dims, (size_t)head.n_dims * sizeof *dims_out);
    return PDAG_OK;
}

pdag_status pdag_npy_encode(const float *data, int n_dims, const size_t *dims,
                            void **bytes_out, size_t *n_bytes_out)
{
    char text[320];
    size_t used;
    size_t padded;
    size_t count = 1;
    size_t bytes;
    void *memory;
    unsigned char *out;
    pdag_status status;

    used = (size_t)snprintf(text, sizeof text,
                            "{'descr': '<f4', 'fortran_order': False, "
                            "'shape': (");
    for (int d = 0; d < n_dims; d++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%zu%s",
                                 d > 0 ? " " : "", dims[d],
                                 d + 1 < n_dims || n_dims == 1 ? "," : "");
        if (!pdag_mul_size(count, dims[d], &count))
            return pdag_error(PDAG_ERR_NOMEM, ".npy file: too many elements");
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "), }");
    padded = (10 + used + 1 + 63) / 64 * 64; /* data starts at such a place */
    if (!pdag_mul_size(count, sizeof *data, &bytes) ||
        bytes > SIZE_MAX - padded)
        return pdag_error(PDAG_ERR_NOMEM, ".npy file: too many elements");
    status = pdag_alloc_tensor(padded + bytes, 1, ".npy file", &memory);
    if (status != PDAG_OK)
        return status;
    out = memory;
    memcpy(out, magic, sizeof magic);
    out[6] = 1;
    out[7] = 0;
    out[8] = (unsigned char)((padded - 10) & 255);
    out[9] = (unsigned char)((padded - 10) >> 8);
    memcpy(out + 10, text, used);
    memset(out + 10 + used, ' ', padded - 11 - used);
    out[padded - 1] = '\n';
    for (size_t j = 0; j < count; j++) {
        uint32_t bits;

        memcpy(&bits, data + j, sizeof bits);
        for (int k = 0; k < 4; k++)
            out[padded + 4 * j + (size_t)k] =
                (unsigned char)(bits >> (8 * k) & 255);
    }
    *bytes_out = memory;
    *n_bytes_out = padded + bytes;
    return PDAG_OK;
}
