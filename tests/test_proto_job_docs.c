/* proto/job: documents, job.proto, run.json and the examples agree with the
   field table. */
#include "tests/proto_job.h"

static char *read_source(const char *name)
{
    const char *top = getenv("srcdir");
    char *path = pdag_xasprintf("%s/%s", top == NULL ? "." : top, name);
    FILE *file = fopen(path, "rb");
    char *text = pdag_xcalloc(1 << 17, 1);

    ck_assert_msg(file != NULL, "cannot open %s", path);
    ck_assert_uint_lt(fread(text, 1, 1 << 17, file), 1 << 17);
    fclose(file);
    free(path);
    return text;
}

START_TEST(test_documentation)
{
    char *page = read_source("docs/job-file.md");
    char *table = pdag_job_fields_markdown();

    ck_assert_msg(strstr(page, table) != NULL,
                  "docs/job-file.md does not hold the field table");
    free(page);
    free(table);
}
END_TEST

/* Text of a .proto without comment marks and with single blanks. */
static void flatten(char *text)
{
    char *to = text;
    const char *from = text;

    while (*from != '\0') {
        if (strncmp(from, "//", 2) == 0) {
            from += 2;
        } else if (*from == ' ' || *from == '\n') {
            if (to > text && to[-1] != ' ')
                *to++ = ' ';
            from++;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (text = strstr(text, what); text != NULL; text = strstr(text + 1, what))
        n++;
    return n;
}

/* Each field stands in job.proto below a comment "[type; default]" that says
   what the program does, and job.proto has no field that the table lacks. */
START_TEST(test_proto_comments)
{
    char *proto = read_source("proto/job.proto");
    char *lines = pdag_job_fields_text();
    size_t n_fields = 0;
    char *line;

    flatten(proto);
    for (line = strtok(lines, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        const char *leaf;
        char *type, *end, *comment;
        const char *at;
        bool found = false;

        end = strchr(line, ' ');
        type = end + strspn(end, " ");
        *end = '\0';
        leaf = strrchr(line, '.') == NULL ? line : strrchr(line, '.') + 1;
        end = strstr(type, "; available in this version");
        if (end != NULL)
            *end = '\0';
        comment = pdag_xasprintf("[%s] ", type);
        for (at = proto; (at = strstr(at, comment)) != NULL && !found; at++) {
            char word[4][64];

            found = sscanf(at + strlen(comment), "%63s %63s %63s %63s",
                           word[0], word[1], word[2], word[3]) == 4 &&
                    strcmp(word[2], leaf) == 0;
        }
        ck_assert_msg(found, "job.proto: %s lacks the comment %s", line,
                      comment);
        free(comment);
        n_fields++;
    }
    /* Five group fields at the top and the two of a LoRA are no rows. */
    ck_assert_uint_eq(count(proto, " optional ") + count(proto, " repeated "),
                      n_fields + 7 + count(proto, ", repeated "));
    free(lines);
    free(proto);
}
END_TEST

START_TEST(test_json_has_every_field)
{
    pdag_job *job = job_of(SETS("gaussian.shape=4"));
    json_t *root;
    char *lines = pdag_job_fields_text();
    char *line;

    job->pcm.present = true;
    root = pdag_job_to_json(job);
    for (line = strtok(lines, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        line[strcspn(line, " ")] = '\0';
        ck_assert_msg(member(root, line) != NULL, "%s", line);
    }
    json_decref(root);
    free(lines);
    pdag_job_destroy(job);
}
END_TEST

/* The jobs in the tree can be run by this version. */
START_TEST(test_examples)
{
    static const char *const names[] = {"sd", "gaussian"};
    const char *top = getenv("srcdir");
    size_t i;

    for (i = 0; i < 2; i++) {
        char *path = pdag_xasprintf("%s/examples/%s.pb",
                                    top == NULL ? "." : top, names[i]);
        pdag_job *job = NULL;

        ck_assert_msg(pdag_job_read(path, 0, NULL, &job) == PDAG_OK, "%s",
                      pdag_error_text());
        ck_assert_int_eq(job->sampler.steps, 50);
        ck_assert_str_eq(job->solver.method, i == 1 ? "picard" : "secant");
        ck_assert(job->gaussian.present == (i == 1));
        pdag_job_destroy(job);
        free(path);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto_job_docs");
    TCase *all = tcase_create("all");

    tcase_set_timeout(all, 60);
    tcase_add_test(all, test_documentation);
    tcase_add_test(all, test_proto_comments);
    tcase_add_test(all, test_json_has_every_field);
    tcase_add_test(all, test_examples);
    suite_add_tcase(suite, all);
    return run_job_suite(suite);
}
