/** cli/page.h: the skeleton of compare.html and report.html: pages that need
 *  nothing else: no network, no script, pictures inside; well-formed XML as well as
 *  HTML; light or dark as the reader's system is. */
#ifndef PDAG_CLI_PAGE_H
#define PDAG_CLI_PAGE_H

#include "cli/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Everything up to the heading, which is the title.  In the style sheet: `charts`
 *  and `maps` are grids of figures, `wide` may scroll sideways, `soft` is small
 *  print, s0 .. s7 are the colours of the charts, `pictures` is a table or list of
 *  them, `facts` a <dl> of pdag_page_fact(). */
void pdag_page_begin(const char *title, pdag_text *page);
void pdag_page_end(pdag_text *page);

/** The name of an entry of a <dl>, open for what it is: the caller adds that, and
 *  "</dd>". */
void pdag_page_fact(const char *name, pdag_text *page);

#ifdef __cplusplus
}
#endif
#endif
