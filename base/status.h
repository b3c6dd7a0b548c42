/** base/status.h: one list of status codes, and the text of the last failure.
 *
 *  Every function that can fail returns a pdag_status.  The function that first
 *  finds the fault calls pdag_error() with the exact cause (file, field, value,
 *  limit); its callers pass the status up in silence.  Whoever ends the chain
 *  (the command line, or a worker that reports to rank 0) reads the text with
 *  pdag_error_text().  Nothing below the command line prints an error. */
#ifndef PDAG_BASE_STATUS_H
#define PDAG_BASE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_STATUS_LIST(X)                                                   \
    X(PDAG_OK, 0, "ok")                                                       \
    X(PDAG_ERR_ARG, -1, "invalid argument")                                   \
    X(PDAG_ERR_INPUT, -2, "cannot read an input file")                        \
    X(PDAG_ERR_FORMAT, -3, "malformed input")                                 \
    X(PDAG_ERR_UNSUPPORTED, -4, "not supported")                              \
    X(PDAG_ERR_SHAPE, -5, "shapes do not fit")                                \
    X(PDAG_ERR_IO, -6, "input/output error")                                  \
    X(PDAG_ERR_NOMEM, -7, "out of memory")                                    \
    X(PDAG_ERR_BACKEND, -8, "compute backend failed")                         \
    X(PDAG_ERR_NAN, -9, "not a number")                                       \
    X(PDAG_ERR_COMM, -10, "communication failed")                             \
    X(PDAG_ERR_INTERNAL, -11, "internal error")                               \
    X(PDAG_ERR_LOST, -12, "a rank was lost")

/** ARG, INPUT, FORMAT, UNSUPPORTED and SHAPE are the user's to mend (exit
 *  status 2); the others happened while running (exit status 1; LOST: 6). */
typedef enum pdag_status {
#define PDAG_STATUS_ENUM(name, value, text) name = value,
    PDAG_STATUS_LIST(PDAG_STATUS_ENUM)
#undef PDAG_STATUS_ENUM
} pdag_status;

#if defined(__GNUC__)
#define PDAG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PDAG_PRINTF(fmt, args)
#endif

/** Record the cause of a failure in this thread and return `status`, so that
 *  `return pdag_error(PDAG_ERR_FORMAT, "%s: ...", file);` is one line.  The text
 *  has no trailing newline and no program name; at most 1023 bytes are kept.
 *  `status` must not be PDAG_OK.  A macro, so that the compiler sees which status
 *  comes back. */
#define pdag_error(status, ...)                                               \
    pdag_status_pass((pdag_error_record(__VA_ARGS__), (status)))

void pdag_error_record(const char *format, ...) PDAG_PRINTF(1, 2);

static inline pdag_status pdag_status_pass(pdag_status status)
{
    return status;
}

/** Put "<format>: " before the text recorded last in this thread, to say what
 *  was being done ("model.path"); returns `status`. */
pdag_status pdag_error_prefix(pdag_status status, const char *format, ...)
    PDAG_PRINTF(2, 3);

/** Text of the last failure in this thread, "" if none; borrowed, valid until
 *  the thread's next pdag_error(). */
const char *pdag_error_text(void);

/** General text of a code, never NULL. */
const char *pdag_status_text(pdag_status status);

/** Whether the user can mend it (exit status 2) or it failed at run time (1). */
int pdag_status_is_misuse(pdag_status status);

#ifdef __cplusplus
}
#endif
#endif
