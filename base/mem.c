#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"

#define PDAG_TENSOR_ALIGNMENT 64

int pdag_mul_size(size_t a, size_t b, size_t *product_out)
{
    if (b != 0 && a > SIZE_MAX / b)
        return 0;
    *product_out = a * b;
    return 1;
}

void *pdag_xcalloc(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size > 0 ? size : 1);

    if (memory == NULL)
        pdag_fatal_at(__FILE__, __LINE__, "out of memory: %zu x %zu bytes",
                      count, size);
    return memory;
}

void *pdag_xrealloc(void *old, size_t count, size_t size)
{
    size_t bytes;
    void *memory = NULL;

    if (pdag_mul_size(count, size, &bytes))
        memory = realloc(old, bytes > 0 ? bytes : 1);
    if (memory == NULL)
        pdag_fatal_at(__FILE__, __LINE__, "out of memory: %zu x %zu bytes",
                      count, size);
    return memory;
}

void *pdag_xgrow(void *old, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return old;
    return pdag_xrealloc(old, count == 0 ? 1 : 2 * count, size);
}

char *pdag_xstrndup(const char *text, size_t bytes)
{
    char *copy = pdag_xcalloc(bytes + 1, 1);

    memcpy(copy, text, bytes);
    return copy;
}

char *pdag_xstrdup(const char *text)
{
    return pdag_xstrndup(text, strlen(text));
}

char *pdag_xasprintf(const char *format, ...)
{
    va_list args;
    char *text;
    char probe[1];
    int length;

    PDAG_ASSERT(format != NULL);
    va_start(args, format);
    length = vsnprintf(probe, sizeof probe, format, args);
    va_end(args);
    PDAG_ASSERT(length >= 0);
    text = pdag_xcalloc((size_t)length + 1, 1);
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}

pdag_status pdag_alloc_tensor(size_t count, size_t size, const char *what,
                              void **memory_out)
{
    size_t bytes;
    void *memory;

    if (!pdag_mul_size(count, size, &bytes) ||
        bytes > SIZE_MAX - PDAG_TENSOR_ALIGNMENT)
        return pdag_error(PDAG_ERR_NOMEM, "%s: %zu x %zu bytes overflow", what,
                          count, size);
    if (bytes == 0)
        bytes = PDAG_TENSOR_ALIGNMENT;
    if (posix_memalign(&memory, PDAG_TENSOR_ALIGNMENT, bytes) != 0)
        return pdag_error(PDAG_ERR_NOMEM, "%s: cannot allocate %zu bytes", what,
                          bytes);
    memset(memory, 0, bytes);
    *memory_out = memory;
    return PDAG_OK;
}
