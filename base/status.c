#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PDAG_ERROR_BYTES 1024

static _Thread_local char error_text[PDAG_ERROR_BYTES];

void pdag_error_record(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error_text, sizeof error_text, format, args);
    va_end(args);
}

pdag_status pdag_error_prefix(pdag_status status, const char *format, ...)
{
    char before[PDAG_ERROR_BYTES];
    char after[PDAG_ERROR_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(before, sizeof before, format, args);
    va_end(args);
    memcpy(after, error_text, sizeof after);
    snprintf(error_text, sizeof error_text, "%.400s: %.600s", before, after);
    return status;
}

const char *pdag_error_text(void)
{
    return error_text;
}

const char *pdag_status_text(pdag_status status)
{
    switch (status) {
#define PDAG_STATUS_CASE(name, value, text)                                   \
    case name:                                                                \
        return text;
        PDAG_STATUS_LIST(PDAG_STATUS_CASE)
#undef PDAG_STATUS_CASE
    }
    return "unknown status";
}

int pdag_status_is_misuse(pdag_status status)
{
    return status <= PDAG_ERR_ARG && status >= PDAG_ERR_SHAPE;
}
