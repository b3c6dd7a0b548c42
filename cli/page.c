#include "cli/page.h"

/* cli/page.c: what all pages have in common. */

/* Colours: light first, and dark where the reader's system is; of the same hues. */
static const char style[] =
    ":root{color-scheme:light dark;--ground:#fff;--panel:#f3f4f6;--ink:#1b1f24;"
    "--soft:#57606a;--grid:#d8dde3;--c0:#0b62c4;--c1:#b3500b;--c2:#1a7f37;"
    "--c3:#8a2fb8;--c4:#c21f4b;--c5:#00707a;--c6:#7a6200;--c7:#59595f}\n"
    "@media(prefers-color-scheme:dark){:root{--ground:#14171b;--panel:#1e2329;"
    "--ink:#e6e9ed;--soft:#9aa4af;--grid:#363d46;--c0:#6fb1ff;--c1:#f0994d;"
    "--c2:#56c271;--c3:#cf92f2;--c4:#ff7b9c;--c5:#4cc9d4;--c6:#d8bb3e;"
    "--c7:#b4b9c1}}\n"
    "body{margin:0 auto;max-width:82rem;padding:1rem 1.25rem 3rem;"
    "background:var(--ground);color:var(--ink);"
    "font:16px/1.5 system-ui,\"Liberation Sans\",sans-serif}\n"
    "h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.2rem;margin:2rem 0 .5rem}\n"
    "p,dd,dt{max-width:60rem}.soft{color:var(--soft);font-size:.9rem}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;"
    "margin:0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\n"
    ".wide{overflow-x:auto}.wide:focus-visible{outline:2px solid var(--c0)}\n"
    "table{border-collapse:collapse}th,td{padding:.3rem .7rem;text-align:right;"
    "white-space:nowrap}tbody tr{border-top:1px solid var(--grid)}"
    "th[scope=row],thead th:first-child{text-align:left;font-weight:500}\n"
    "thead th{color:var(--soft);font-weight:500;vertical-align:bottom}"
    "td{font-variant-numeric:tabular-nums}td.best{font-weight:700}\n"
    "figure{margin:0}figcaption{font-size:.9rem;margin-bottom:.25rem}\n"
    ".charts,.maps{display:grid;gap:1.5rem;"
    "grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr))}\n"
    "svg{display:block;width:100%;height:auto;font-size:14px}"
    ".map,.scale svg{font-size:10px}"
    "svg text{fill:var(--soft)}svg.key{display:inline-block;width:32px;height:14px;"
    "margin-right:.5rem;vertical-align:-1px}\n"
    ".scale{max-width:28rem;margin-top:1rem}.ground{fill:var(--panel)}"
    ".map image{image-rendering:pixelated}.spot{fill:transparent}"
    ".spot:hover{fill:rgb(255 255 255/.25)}\n"
    ".grid{stroke:var(--grid)}.bound{stroke:var(--soft);stroke-dasharray:5 4}"
    ".curve{fill:none;stroke:currentColor;stroke-width:1.8}"
    ".mark{fill:currentColor;stroke:var(--ground)}\n"
    ".s0{color:var(--c0)}.s1{color:var(--c1)}.s2{color:var(--c2)}"
    ".s3{color:var(--c3)}.s4{color:var(--c4)}.s5{color:var(--c5)}"
    ".s6{color:var(--c6)}.s7{color:var(--c7)}\n"
    ".pictures td,.pictures th{padding:.25rem;text-align:center}"
    ".pictures th[scope=row]{text-align:left;padding-right:.75rem;"
    "position:sticky;left:0;background:var(--ground);white-space:normal;"
    "min-width:10rem;max-width:14rem;overflow-wrap:anywhere}"
    ".pictures img{display:block;width:80px;height:auto;margin:0 auto}"
    ".word{white-space:nowrap}.pictures td{font-size:.8rem;color:var(--soft)}\n"
    ".failure{border-left:4px solid var(--c4);padding:.25rem .75rem;"
    "overflow-wrap:anywhere}td.words,th.words{text-align:left}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere}"
    "summary{cursor:pointer;margin:.75rem 0 .5rem}code{font-size:.9rem}\n"
    ".gallery{display:flex;flex-wrap:wrap;gap:1rem}.gallery figure{width:8rem}"
    ".gallery img{display:block;width:8rem;height:auto;image-rendering:pixelated}"
    ".gallery figcaption{margin:.25rem 0 0;color:var(--soft);"
    "overflow-wrap:anywhere}\n"
    ".band{fill:currentColor;fill-opacity:.12;stroke:none}"
    ".many .curve{stroke-width:1;stroke-opacity:.45}"
    ".maps figure{max-width:44rem}.timeline{font-size:12px;min-width:40rem;"
    "margin-bottom:.75rem}"
    ".spans rect{fill:currentColor;fill-opacity:.85}"
    ".spans rect:hover{fill-opacity:.5}.spans rect.idle{fill:var(--panel)}\n";

void pdag_page_begin(const char *title, pdag_text *page)
{
    pdag_text_add(page,
                  "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
                  "<meta charset=\"utf-8\"/>\n"
                  "<meta name=\"viewport\" "
                  "content=\"width=device-width, initial-scale=1\"/>\n"
                  "<meta http-equiv=\"Content-Security-Policy\" "
                  "content=\"default-src 'none'; img-src data:; "
                  "style-src 'unsafe-inline'\"/>\n<title>picard-dag: ");
    pdag_text_add_escaped(page, title);
    pdag_text_add(page, "</title>\n<style>\n%s</style>\n</head>\n<body>\n"
                  "<main>\n<h1>", style);
    pdag_text_add_escaped(page, title);
    pdag_text_add(page, "</h1>\n");
}

void pdag_page_end(pdag_text *page)
{
    pdag_text_add(page, "</main>\n</body>\n</html>\n");
}

void pdag_page_fact(const char *name, pdag_text *page)
{
    pdag_text_add(page, "<dt>");
    pdag_text_add_escaped(page, name);
    pdag_text_add(page, "</dt><dd>");
}
