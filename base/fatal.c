#include "base/fatal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static pdag_abort_hook abort_hook;
static int fatal_rank;

void pdag_fatal_set_hook(pdag_abort_hook hook)
{
    abort_hook = hook;
}

void pdag_fatal_set_rank(int rank)
{
    fatal_rank = rank;
}

void pdag_fatal_at(const char *file, int line, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "picard-dag: rank %d: %s:%d: ", fatal_rank, file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (abort_hook != NULL)
        abort_hook();
    abort();
}
