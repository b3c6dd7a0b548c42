/** cli/text.h: a text that grows, for reports. */
#ifndef PDAG_CLI_TEXT_H
#define PDAG_CLI_TEXT_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** All zero is the empty text. */
typedef struct pdag_text {
    char *at; /* ends in a zero byte; NULL while empty */
    size_t used, room;
} pdag_text;

void pdag_text_clear(pdag_text *text);

/** printf at the end. */
void pdag_text_add(pdag_text *text, const char *format, ...) PDAG_PRINTF(2, 3);

/** `words` for HTML and XML, in text and in quoted attributes: the five special
 *  characters as references, control characters as blanks. */
void pdag_text_add_escaped(pdag_text *text, const char *words);

/** Bytes as base64 (RFC 4648). */
void pdag_text_add_base64(pdag_text *text, const void *bytes, size_t n_bytes);

/** One field of a CSV line (RFC 4180), quoted where it must be. */
void pdag_text_add_csv(pdag_text *text, const char *field);

#ifdef __cplusplus
}
#endif
#endif
