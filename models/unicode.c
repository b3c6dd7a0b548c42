#include "models/unicode.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "models/unicode_tables.h"

/* Below this point every text is composed already. */
#define FIRST_COMBINING 0x300

/* Hangul syllables are composed by arithmetic (Unicode Standard, 3.12). */
enum {
    S_BASE = 0xAC00,
    L_BASE = 0x1100,
    V_BASE = 0x1161,
    T_BASE = 0x11A7,
    L_COUNT = 19,
    V_COUNT = 21,
    T_COUNT = 28,
    S_COUNT = L_COUNT * V_COUNT * T_COUNT
};

void pdag_points_push(pdag_points *points, uint32_t point)
{
    if (points->n == points->room) {
        points->room = points->room == 0 ? 64 : 2 * points->room;
        points->data =
            pdag_xrealloc(points->data, points->room, sizeof *points->data);
    }
    points->data[points->n++] = point;
}

void pdag_points_clear(pdag_points *points)
{
    free(points->data);
    points->data = NULL;
    points->n = 0;
    points->room = 0;
}

/* Length of the sequence that begins with `lead` (0: none does), the bits of
   the point in it, and the range of its second byte. */
static size_t lead_byte(unsigned char lead, uint32_t *bits,
                        unsigned char *second_low, unsigned char *second_high)
{
    *second_low = 0x80;
    *second_high = 0xBF;
    if (lead < 0x80) {
        *bits = lead;
        return 1;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        *bits = lead & 0x1Fu;
        return 2;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        *bits = lead & 0x0Fu;
        if (lead == 0xE0)
            *second_low = 0xA0;
        if (lead == 0xED) /* surrogates */
            *second_high = 0x9F;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *bits = lead & 0x07u;
        if (lead == 0xF0)
            *second_low = 0x90;
        if (lead == 0xF4)
            *second_high = 0x8F;
        return 4;
    }
    return 0;
}

void pdag_points_decode(pdag_points *points, const char *bytes, size_t n)
{
    size_t at = 0;

    while (at < n) {
        uint32_t bits;
        unsigned char low;
        unsigned char high;
        size_t length = lead_byte((unsigned char)bytes[at], &bits, &low, &high);
        size_t used = 1;

        while (used < length && at + used < n) {
            unsigned char next = (unsigned char)bytes[at + used];

            if (next < low || next > high)
                break;
            bits = bits << 6 | (next & 0x3Fu);
            low = 0x80;
            high = 0xBF;
            used++;
        }
        pdag_points_push(points, used == length ? bits : 0xFFFD);
        at += used;
    }
}

size_t pdag_utf8_encode(uint32_t point, unsigned char out[4])
{
    if (point < 0x80) {
        out[0] = (unsigned char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (unsigned char)(0xC0 | point >> 6);
        out[1] = (unsigned char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (unsigned char)(0xE0 | point >> 12);
        out[1] = (unsigned char)(0x80 | (point >> 6 & 0x3F));
        out[2] = (unsigned char)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (unsigned char)(0xF0 | point >> 18);
    out[1] = (unsigned char)(0x80 | (point >> 12 & 0x3F));
    out[2] = (unsigned char)(0x80 | (point >> 6 & 0x3F));
    out[3] = (unsigned char)(0x80 | (point & 0x3F));
    return 4;
}

static bool in_ranges(uint32_t point, const pdag_range *ranges, size_t count)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (point > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && point >= ranges[low].first;
}

bool pdag_is_letter(uint32_t point)
{
    return in_ranges(point, pdag_letters, pdag_letters_count);
}

bool pdag_is_number(uint32_t point)
{
    return in_ranges(point, pdag_numbers, pdag_numbers_count);
}

bool pdag_is_space(uint32_t point)
{
    return in_ranges(point, pdag_spaces, pdag_spaces_count);
}

static uint32_t combining_class(uint32_t point)
{
    if (point < FIRST_COMBINING)
        return 0;
    for (size_t k = 0; k < pdag_combining_runs_count; k++)
        if (point <= pdag_combining_runs[k].last)
            return point >= pdag_combining_runs[k].first
                       ? pdag_combining_runs[k].combining
                       : 0;
    return 0;
}

static uint32_t lower_case(uint32_t point)
{
    if (point < 0x80)
        return point >= 'A' && point <= 'Z' ? point + 32 : point;
    for (size_t k = 0; k < pdag_lower_runs_count; k++) {
        const pdag_lower_run *run = &pdag_lower_runs[k];

        if (point < run->first)
            break;
        if (point <= run->last && (point - run->first) % run->stride == 0)
            return (uint32_t)((int32_t)point + run->difference);
    }
    return point;
}

static const pdag_decomposition *find_decomposition(uint32_t point)
{
    size_t low = 0;
    size_t high = pdag_decompositions_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (pdag_decompositions[middle].point < point)
            low = middle + 1;
        else
            high = middle;
    }
    return low < pdag_decompositions_count &&
                   pdag_decompositions[low].point == point
               ? &pdag_decompositions[low]
               : NULL;
}

/* Fully, left part first; the tables nest at most a few levels. */
static void decompose(pdag_points *points, uint32_t point)
{
    const pdag_decomposition *found;

    if (point >= S_BASE && point < S_BASE + S_COUNT) {
        uint32_t index = point - S_BASE;

        pdag_points_push(points, L_BASE + index / (V_COUNT * T_COUNT));
        pdag_points_push(points,
                         V_BASE + index % (V_COUNT * T_COUNT) / T_COUNT);
        if (index % T_COUNT != 0)
            pdag_points_push(points, T_BASE + index % T_COUNT);
        return;
    }
    found = find_decomposition(point);
    if (found == NULL) {
        pdag_points_push(points, point);
        return;
    }
    decompose(points, found->first & 0x7FFFFFFF);
    if (found->second != 0)
        decompose(points, found->second);
}

/* text[n], all marks, into the order of their classes, keeping that of equals. */
static void order_run(uint32_t *text, size_t n)
{
    size_t place[257] = {0}; /* classes are below 256 */
    uint32_t *copy = pdag_xcalloc(n, sizeof *copy);

    memcpy(copy, text, n * sizeof *copy);
    for (size_t j = 0; j < n; j++)
        place[combining_class(copy[j]) + 1]++;
    for (size_t class = 1; class < 257; class++)
        place[class] += place[class - 1];
    for (size_t j = 0; j < n; j++)
        text[place[combining_class(copy[j])]++] = copy[j];
    free(copy);
}

/* Marks behind a starter into their order. */
static void order_marks(uint32_t *text, size_t n)
{
    size_t begin = 0;

    for (size_t j = 0; j <= n; j++) {
        if (j < n && combining_class(text[j]) != 0)
            continue;
        if (j - begin > 1)
            order_run(text + begin, j - begin);
        begin = j + 1;
    }
}

/* The point that composes first and second, or 0. */
static uint32_t compose_pair(uint32_t first, uint32_t second)
{
    if (second < FIRST_COMBINING)
        return 0;
    if (first >= L_BASE && first < L_BASE + L_COUNT && second >= V_BASE &&
        second < V_BASE + V_COUNT)
        return S_BASE +
               ((first - L_BASE) * V_COUNT + second - V_BASE) * T_COUNT;
    if (first >= S_BASE && first < S_BASE + S_COUNT &&
        (first - S_BASE) % T_COUNT == 0 && second > T_BASE &&
        second < T_BASE + T_COUNT)
        return first + second - T_BASE;
    for (size_t k = 0; k < pdag_decompositions_count; k++)
        if (pdag_decompositions[k].first == first &&
            pdag_decompositions[k].second == second)
            return pdag_decompositions[k].point;
    return 0;
}

/* Canonical composition in place; returns the new length. */
static size_t compose(uint32_t *text, size_t n)
{
    size_t out = 0;
    size_t starter = SIZE_MAX;
    uint32_t last_class = 0; /* of what stands between starter and here */

    for (size_t j = 0; j < n; j++) {
        uint32_t point = text[j];
        uint32_t class = combining_class(point);

        if (starter != SIZE_MAX &&
            (starter + 1 == out || last_class < class)) {
            uint32_t whole = compose_pair(text[starter], point);

            if (whole != 0) {
                text[starter] = whole;
                continue;
            }
        }
        if (class == 0)
            starter = out;
        last_class = class;
        text[out++] = point;
    }
    return out;
}

/* NFC of text[n] into `points`, which is empty. */
static void normal_form_c(pdag_points *points, const uint32_t *text, size_t n)
{
    for (size_t j = 0; j < n; j++)
        decompose(points, text[j]);
    order_marks(points->data, points->n);
    points->n = compose(points->data, points->n);
}

void pdag_points_normalize(pdag_points *points, const uint32_t *text, size_t n)
{
    pdag_points composed = {NULL, 0, 0};
    bool space = false;

    normal_form_c(&composed, text, n);
    for (size_t j = 0; j < composed.n; j++) {
        uint32_t point = composed.data[j];

        if (pdag_is_space(point)) {
            if (!space)
                pdag_points_push(points, ' ');
            space = true;
            continue;
        }
        space = false;
        if (point == 0x130) { /* the only one that becomes two */
            pdag_points_push(points, 'i');
            pdag_points_push(points, 0x307);
        } else {
            pdag_points_push(points, lower_case(point));
        }
    }
    pdag_points_clear(&composed);
}
