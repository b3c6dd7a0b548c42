/** models/unicode_tables.h: what the CLIP tokenizer must know of Unicode, made
 *  by tools/reference/make_unicode.py.  All tables ascend. */
#ifndef PDAG_MODELS_UNICODE_TABLES_H
#define PDAG_MODELS_UNICODE_TABLES_H

#include <stddef.h>
#include <stdint.h>

/** Code points first..last. */
typedef struct pdag_range {
    uint32_t first, last;
} pdag_range;

/** first, first + stride, .. last become themselves plus `difference`. */
typedef struct pdag_lower_run {
    uint32_t first, last, stride;
    int32_t difference;
} pdag_lower_run;

/** Canonical combining class of first..last; 0 elsewhere. */
typedef struct pdag_combining_run {
    uint32_t first, last, combining;
} pdag_combining_run;

/** Canonical decomposition into first and second (0: into first alone); bit 31
 *  of first: not to be composed again. */
typedef struct pdag_decomposition {
    uint32_t point, first, second;
} pdag_decomposition;

extern const pdag_range pdag_letters[];
extern const size_t pdag_letters_count;
extern const pdag_range pdag_numbers[];
extern const size_t pdag_numbers_count;
extern const pdag_range pdag_spaces[];
extern const size_t pdag_spaces_count;
extern const pdag_lower_run pdag_lower_runs[];
extern const size_t pdag_lower_runs_count;
extern const pdag_combining_run pdag_combining_runs[];
extern const size_t pdag_combining_runs_count;
extern const pdag_decomposition pdag_decompositions[];
extern const size_t pdag_decompositions_count;

#endif
