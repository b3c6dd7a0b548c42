#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/files.h"
#include "cli/page.h"
#include "cli/report.h"

/* cli/cmd_report.c: picard-dag report DIR */

/* What could not be shown. */
static void add_notes(const pdag_report *report, pdag_text *page)
{
    if (report->notes.used == 0)
        return;
    pdag_text_add(page, "<h2>Not shown</h2>\n<pre>");
    for (const char *line = report->notes.at; *line != '\0';) {
        const char *end = strchr(line, '\n');
        char text[1024];

        snprintf(text, sizeof text, "%.*s", (int)(end - line), line);
        pdag_text_add_escaped(page, text);
        pdag_text_add(page, "\n");
        line = end + 1;
    }
    pdag_text_add(page, "</pre>\n");
}

static pdag_status make_page(pdag_report *report, pdag_text *page)
{
    pdag_status status;

    pdag_page_begin("Report of a run", page);
    pdag_report_facts(report, page);
    pdag_report_pictures(report, page);
    pdag_report_curves(report, page);
    status = pdag_report_maps(report, page);
    if (status == PDAG_OK)
        status = pdag_report_workers(report, page);
    pdag_report_samples(report, page);
    pdag_report_job(report, page);
    add_notes(report, page);
    pdag_page_end(page);
    return status;
}

/* A trace that cannot be read costs the timeline, not the page. */
static void read_timeline(pdag_report *report)
{
    bool there;

    if (pdag_timeline_read(report->folder, &report->timeline, &there) != PDAG_OK) {
        fprintf(stderr, "picard-dag: %s; no timeline is drawn\n",
                pdag_error_text());
        pdag_text_add(&report->notes, "timeline: %s\n", pdag_error_text());
        return;
    }
    report->has_timeline = there;
}

static int make_report(const char *folder)
{
    pdag_text page = {NULL, 0, 0};
    pdag_report report;
    pdag_status status = pdag_report_read(folder, &report);

    if (status != PDAG_OK)
        return pdag_cli_fail(status);
    read_timeline(&report);
    status = make_page(&report, &page);
    if (status == PDAG_OK)
        status = pdag_file_write(folder, "report.html", page.at, page.used);
    pdag_text_clear(&page);
    pdag_report_clear(&report);
    if (status != PDAG_OK)
        return pdag_cli_fail(status);
    printf("%s/report.html\n", folder);
    return PDAG_EXIT_OK;
}

static int command_report(pdag_cli *cli, int argc, char **argv)
{
    (void)cli;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 ||
                      strcmp(argv[1], "-h") == 0)) {
        pdag_cli_usage(&pdag_command_report, stdout);
        return PDAG_EXIT_OK;
    }
    if (argc != 2 || argv[1][0] == '-' || argv[1][0] == '\0') {
        fprintf(stderr, "picard-dag: report: takes one folder (see picard-dag "
                "report --help)\n");
        return PDAG_EXIT_MISUSE;
    }
    return make_report(argv[1]);
}

const pdag_command pdag_command_report = {
    .name = "report",
    .arguments = "DIR",
    .summary = "Draw a finished run: DIR/report.html, one page of its own.",
    .options =
        "Reads run.json of the folder, the pictures, and trace.json where the\n"
        "run was traced (run --trace); writes report.html there and says so.  The\n"
        "page has pictures, residuals by round, residual maps, the workers'\n"
        "timeline and the job; it needs no network and no script.\n",
    .run = command_report,
};
