#include "cli/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/mem.h"

void pdag_text_clear(pdag_text *text)
{
    free(text->at);
    memset(text, 0, sizeof *text);
}

/* Room for `more` bytes and the zero byte. */
static char *grow(pdag_text *text, size_t more)
{
    if (text->used + more + 1 > text->room) {
        text->room = 2 * (text->used + more + 1);
        text->at = pdag_xrealloc(text->at, text->room, 1);
    }
    return text->at + text->used;
}

static void add_bytes(pdag_text *text, const char *bytes, size_t n)
{
    char *end = grow(text, n);

    memcpy(end, bytes, n);
    end[n] = '\0';
    text->used += n;
}

void pdag_text_add(pdag_text *text, const char *format, ...)
{
    va_list arguments;
    char *end;
    int length;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    PDAG_ASSERT(length >= 0);
    end = grow(text, (size_t)length);
    va_start(arguments, format);
    vsnprintf(end, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->used += (size_t)length;
}

void pdag_text_add_escaped(pdag_text *text, const char *words)
{
    for (; *words != '\0'; words++) {
        switch (*words) {
        case '&':
            add_bytes(text, "&amp;", 5);
            break;
        case '<':
            add_bytes(text, "&lt;", 4);
            break;
        case '>':
            add_bytes(text, "&gt;", 4);
            break;
        case '"':
            add_bytes(text, "&quot;", 6);
            break;
        case '\'':
            add_bytes(text, "&#39;", 5);
            break;
        default:
            /* XML has no place for control characters at all. */
            add_bytes(text, (unsigned char)*words < 32 || *words == 127 ? " "
                                                                        : words,
                      1);
        }
    }
}

void pdag_text_add_base64(pdag_text *text, const void *bytes, size_t n_bytes)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = bytes;
    size_t length = (n_bytes + 2) / 3 * 4;
    char *end = grow(text, length);

    for (size_t i = 0; i < n_bytes; i += 3) {
        size_t left = n_bytes - i;
        unsigned long three = (unsigned long)b[i] << 16;

        if (left > 1)
            three |= (unsigned long)b[i + 1] << 8;
        if (left > 2)
            three |= (unsigned long)b[i + 2];
        *end++ = digits[three >> 18 & 63];
        *end++ = digits[three >> 12 & 63];
        *end++ = left > 1 ? digits[three >> 6 & 63] : '=';
        *end++ = left > 2 ? digits[three & 63] : '=';
    }
    *end = '\0';
    text->used += length;
}

void pdag_text_add_csv(pdag_text *text, const char *field)
{
    if (strpbrk(field, ",\"\r\n") == NULL) {
        add_bytes(text, field, strlen(field));
        return;
    }
    add_bytes(text, "\"", 1);
    for (; *field != '\0'; field++)
        add_bytes(text, *field == '"' ? "\"\"" : field, *field == '"' ? 2 : 1);
    add_bytes(text, "\"", 1);
}
