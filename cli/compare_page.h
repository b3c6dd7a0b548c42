/** cli/compare_page.h: compare.html: one page that needs nothing else: no network,
 *  no script, pictures inside; well-formed XML as well as HTML. */
#ifndef PDAG_CLI_COMPARE_PAGE_H
#define PDAG_CLI_COMPARE_PAGE_H

#include "cli/compare.h"
#include "cli/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The whole page.  PDAG_ERR_IO where a picture cannot be encoded. */
pdag_status pdag_compare_page(const pdag_compare *c, pdag_text *page);

/** What a chart shows of a round. */
typedef enum pdag_chart_value { PDAG_CHART_ERROR, PDAG_CHART_RESIDUAL }
    pdag_chart_value;

/* compare_chart.c */

/** SVG: value against round for every solver, the value on a logarithmic axis:
 *  geometric means over the cases, a finished run counting with its last value. */
void pdag_compare_chart(const pdag_compare *c, pdag_chart_value value,
                        pdag_text *page);

/** Rounds to draw of a solver's first n_cases cases: those of the longest run, at
 *  most N (what a sequential run takes); 0 of a sequential one. */
size_t pdag_compare_longest(const pdag_compare *c, size_t solver, size_t n_cases);

/** <figure> of every solver's residuals in the first case, step x round, as one
 *  pixel a row and round; then the colour legend. */
pdag_status pdag_compare_maps(const pdag_compare *c, pdag_text *page);

#ifdef __cplusplus
}
#endif
#endif
