#include "proto/job_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

char *pdag_job_join(const char *base, const char *path)
{
    char *whole = path[0] == '/' ? pdag_xstrdup(path)
                                 : pdag_xasprintf("%s/%s", base, path);
    char *to = whole;
    const char *from = whole;

    while (*from != '\0') {
        size_t n;

        from += strspn(from, "/");
        n = strcspn(from, "/");
        if (n > 0 && !(n == 1 && from[0] == '.')) {
            *to++ = '/'; /* never past `from`: a slash was there */
            memmove(to, from, n);
            to += n;
        }
        from += n;
    }
    if (to == whole)
        *to++ = '/';
    *to = '\0';
    return whole;
}

/* Bytes of the sequence that `lead` begins, with the range of its second byte
   (Unicode 15, table 3-7); 0 for a byte that begins none. */
static size_t sequence(unsigned char lead, unsigned char *low,
                       unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    if (lead < 0xe0)
        return 2;
    if (lead == 0xe0 || lead == 0xf0)
        *low = lead == 0xe0 ? 0xa0 : 0x90;
    if (lead == 0xed || lead == 0xf4)
        *high = lead == 0xed ? 0x9f : 0x8f;
    return lead < 0xf0 ? 3 : 4;
}

bool pdag_job_is_utf8(const void *bytes, size_t n_bytes)
{
    const unsigned char *at = bytes;

    while (n_bytes > 0) {
        unsigned char low, high;
        size_t n = sequence(at[0], &low, &high);
        size_t i;

        if (n == 0 || n > n_bytes)
            return false;
        if (n > 1 && (at[1] < low || at[1] > high))
            return false;
        for (i = 2; i < n; i++)
            if ((at[i] & 0xc0) != 0x80)
                return false;
        at += n;
        n_bytes -= n;
    }
    return true;
}

const char *pdag_job_shown(const char *text, char *buffer)
{
    size_t i;

    for (i = 0; i < 57 && text[i] != '\0'; i++) {
        unsigned char c = (unsigned char)text[i];

        buffer[i] = c < 0x20 || c > 0x7e ? '?' : text[i];
    }
    strcpy(buffer + i, text[i] == '\0' ? "" : "...");
    return buffer;
}
