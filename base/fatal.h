/** base/fatal.h: assertions for our own bugs; user input never asserts. */
#ifndef PDAG_BASE_FATAL_H
#define PDAG_BASE_FATAL_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Called once before the process aborts, so that an MPI run takes its other
 *  ranks along.  NULL: none. */
typedef void (*pdag_abort_hook)(void);
void pdag_fatal_set_hook(pdag_abort_hook hook);

/** Rank shown in fatal messages and log lines; 0 until set. */
void pdag_fatal_set_rank(int rank);

/** Print "picard-dag: rank R: FILE:LINE: text" on stderr, call the hook, abort. */
#if defined(__GNUC__)
__attribute__((noreturn))
#endif
void pdag_fatal_at(const char *file, int line, const char *format, ...)
    PDAG_PRINTF(3, 4);

#define PDAG_ASSERT(condition)                                                \
    ((condition) ? (void)0                                                    \
                 : pdag_fatal_at(__FILE__, __LINE__, "assertion failed: %s",  \
                                 #condition))

#ifdef __cplusplus
}
#endif
#endif
