/* models/clip_tokenizer: ids equal to transformers', texts that are not UTF-8,
   and files that are wrong. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "models/clip_tokenizer.h"
#include "tests/temporary.h"

#define MAX_TOKENS 96

static char folder[TEMPORARY_BYTES];

static void set_up(void)
{
    temporary_folder(folder);
}

static void tear_down(void)
{
    temporary_folder_remove(folder);
}

static void write_file(const char *name, const char *text)
{
    char path[TEMPORARY_BYTES + 32];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void data_path(const char *name, char *path, size_t room)
{
    const char *root = getenv("srcdir");

    snprintf(path, room, "%s/tests/data/tokenizer/%s",
             root != NULL ? root : ".", name);
}

static pdag_clip_tokenizer *load(const char *name)
{
    char path[1024];
    pdag_clip_tokenizer *tokenizer;

    data_path(name, path, sizeof path);
    ck_assert_msg(pdag_clip_tokenizer_load(path, &tokenizer) == PDAG_OK, "%s",
                  pdag_error_text());
    return tokenizer;
}

/* Expected ids: as listed, the last one on to the end. */
static void check_case(const pdag_clip_tokenizer *tokenizer,
                       const json_t *entry, size_t k)
{
    const char *text = json_string_value(json_object_get(entry, "text"));
    size_t n = (size_t)json_integer_value(json_object_get(entry, "n"));
    const json_t *expected = json_object_get(entry, "ids");
    size_t n_expected = json_array_size(expected);
    int32_t ids[MAX_TOKENS + 1];

    ck_assert_uint_le(n, MAX_TOKENS);
    for (size_t j = 0; j <= n; j++)
        ids[j] = -5;
    ck_assert_int_eq(pdag_clip_tokenizer_encode(tokenizer, text, n, ids),
                     PDAG_OK);
    ck_assert_int_eq(ids[n], -5);
    for (size_t j = 0; j < n; j++) {
        size_t at = j < n_expected ? j : n_expected - 1;

        ck_assert_msg(
            ids[j] == json_integer_value(json_array_get(expected, at)),
            "case %zu, '%s', token %zu: %d, transformers %lld", k, text, j,
            (int)ids[j],
            (long long)json_integer_value(json_array_get(expected, at)));
    }
}

START_TEST(test_against_transformers)
{
    const char *const folders[] = {"saved", "hub15", "hub21"};
    char path[1024];
    pdag_json json;
    json_t *list;
    size_t checked = 0;

    data_path("cases.json", path, sizeof path);
    ck_assert_msg(pdag_json_read(path, &json) == PDAG_OK, "%s",
                  pdag_error_text());
    ck_assert_int_eq(pdag_json_array(&json, "cases", &list), PDAG_OK);
    for (int f = 0; f < 3; f++) {
        pdag_clip_tokenizer *tokenizer = load(folders[f]);

        for (size_t k = 0; k < json_array_size(list); k++) {
            const json_t *entry = json_array_get(list, k);

            if (strcmp(json_string_value(json_object_get(entry, "dir")),
                       folders[f]) == 0) {
                check_case(tokenizer, entry, k);
                checked++;
            }
        }
        pdag_clip_tokenizer_destroy(tokenizer);
    }
    ck_assert_uint_eq(checked, json_array_size(list));
    ck_assert_uint_ge(checked, 200);
    pdag_json_clear(&json);
}
END_TEST

START_TEST(test_limits)
{
    pdag_clip_tokenizer *saved = load("saved");
    pdag_clip_tokenizer *hub = load("hub15");
    int32_t ids[4] = {-5, -5, -5, -5};
    size_t big = ((size_t)1 << 20) + 1;
    char *text = malloc(big + 1);

    ck_assert_uint_eq(pdag_clip_tokenizer_max_length(saved), 0);
    ck_assert_uint_eq(pdag_clip_tokenizer_max_length(hub), 77);
    ck_assert_uint_eq(pdag_clip_tokenizer_vocab_size(saved), 814);
    ck_assert_int_eq(pdag_clip_tokenizer_encode(hub, "a", 1, ids),
                     PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(text);
    memset(text, 'a', big);
    text[big] = '\0';
    ck_assert_int_eq(pdag_clip_tokenizer_encode(hub, text, 4, ids),
                     PDAG_ERR_ARG);
    ck_assert_int_eq(ids[0], -5);
    text[big - 1] = '\0'; /* one word of a mebibyte */
    ck_assert_int_eq(pdag_clip_tokenizer_encode(hub, text, 4, ids), PDAG_OK);
    ck_assert_int_eq(ids[3], 813);
    free(text);
    pdag_clip_tokenizer_destroy(saved);
    pdag_clip_tokenizer_destroy(hub);
}
END_TEST

static void fill(char *text, size_t n, const char *pair)
{
    for (size_t k = 0; k < n; k += 2)
        memcpy(text + k, pair, 2);
}

/* Very many marks are put into order in no more than a moment: the acute
   accent stands behind the dot below, whatever was written first. */
START_TEST(test_many_marks)
{
    const size_t half = (size_t)1 << 17;
    pdag_clip_tokenizer *tokenizer = load("hub15");
    char *text = calloc(2 * half + 2, 1);
    int32_t given[8], ordered[8];

    ck_assert_ptr_nonnull(text);
    text[0] = 'z';
    fill(text + 1, half, "\xcc\x81");
    fill(text + 1 + half, half, "\xcc\xa3");
    ck_assert_int_eq(pdag_clip_tokenizer_encode(tokenizer, text, 8, given),
                     PDAG_OK);
    fill(text + 1, half, "\xcc\xa3");
    fill(text + 1 + half, half, "\xcc\x81");
    ck_assert_int_eq(pdag_clip_tokenizer_encode(tokenizer, text, 8, ordered),
                     PDAG_OK);
    ck_assert_mem_eq(given, ordered, sizeof given);
    free(text);
    pdag_clip_tokenizer_destroy(tokenizer);
}
END_TEST

START_TEST(test_not_utf8)
{
    /* Each as the text with U+FFFD in the places that the standard names. */
    static const char *const pairs[][2] = {
        {"a\xff"
         "b",
         "a\xef\xbf\xbd"
         "b"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xe2\x82", "\xef\xbf\xbd"},
        {"\xe2\x82"
         "a",
         "\xef\xbf\xbd"
         "a"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf0\x9f\x98", "\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    pdag_clip_tokenizer *tokenizer = load("saved");

    for (size_t k = 0; k < sizeof pairs / sizeof pairs[0]; k++) {
        int32_t a[24];
        int32_t b[24];

        pdag_clip_tokenizer_encode(tokenizer, pairs[k][0], 24, a);
        pdag_clip_tokenizer_encode(tokenizer, pairs[k][1], 24, b);
        ck_assert_mem_eq(a, b, sizeof a);
    }
    pdag_clip_tokenizer_destroy(tokenizer);
}
END_TEST

static pdag_status load_written(void)
{
    pdag_clip_tokenizer *tokenizer = NULL;
    pdag_status status = pdag_clip_tokenizer_load(folder, &tokenizer);

    if (status != PDAG_OK)
        ck_assert_ptr_null(tokenizer);
    pdag_clip_tokenizer_destroy(tokenizer);
    return status;
}

#define VOCAB                                                                 \
    "{\"a\": 0, \"b\": 1, \"b</w>\": 2, \"ab</w>\": 3, "                      \
    "\"<|startoftext|>\": 4, \"<|endoftext|>\": 5}"

START_TEST(test_small_vocabulary)
{
    pdag_clip_tokenizer *tokenizer;
    int32_t ids[8];
    /* "aab": the merge is of the last two.  "z" is unknown: the end token. */
    static const int32_t merged[8] = {4, 3, 0, 3, 5, 5, 5, 5};
    static const int32_t plain[8] = {4, 0, 2, 5, 5, 5, 5, 5};

    write_file("vocab.json", VOCAB);
    write_file("merges.txt", "#version: 0.2\na b</w>\n");
    ck_assert_msg(pdag_clip_tokenizer_load(folder, &tokenizer) == PDAG_OK, "%s",
                  pdag_error_text());
    pdag_clip_tokenizer_encode(tokenizer, "AB aab z", 8, ids);
    ck_assert_mem_eq(ids, merged, sizeof ids);
    pdag_clip_tokenizer_destroy(tokenizer);

    write_file("merges.txt", "");
    ck_assert_int_eq(pdag_clip_tokenizer_load(folder, &tokenizer), PDAG_OK);
    pdag_clip_tokenizer_encode(tokenizer, "ab", 8, ids);
    ck_assert_mem_eq(ids, plain, sizeof ids);
    pdag_clip_tokenizer_destroy(tokenizer);
}
END_TEST

/* Learnt embeddings come as tokens behind the vocabulary. */
START_TEST(test_added_tokens)
{
    pdag_clip_tokenizer *tokenizer;
    int32_t ids[8];
    static const int32_t expected[8] = {4, 3, 6, 7, 5, 5, 5, 5};

    write_file("tokenizer.json",
               "{\"model\": {\"vocab\": " VOCAB
               ", \"merges\": [[\"a\", \"b</w>\"]]}, \"added_tokens\": ["
               "{\"id\": 6, \"content\": \"<cat>\", \"normalized\": false},"
               "{\"id\": 7, \"content\": \"<cat>\\u00c9\", "
               "\"normalized\": true}]}");
    ck_assert_msg(pdag_clip_tokenizer_load(folder, &tokenizer) == PDAG_OK, "%s",
                  pdag_error_text());
    ck_assert_uint_eq(pdag_clip_tokenizer_vocab_size(tokenizer), 8);
    pdag_clip_tokenizer_encode(tokenizer, "ab<cat><CAT>e\xcc\x81", 8, ids);
    ck_assert_mem_eq(ids, expected, sizeof ids);
    pdag_clip_tokenizer_destroy(tokenizer);
}
END_TEST

/* As many added tokens as are let in, then one more. */
START_TEST(test_many_added_tokens)
{
    const int most = 1 << 16;

    for (int n = most - 2; n <= most - 1; n++) { /* and start and end */
        char path[TEMPORARY_BYTES + 32];
        FILE *file;

        write_file("vocab.json", VOCAB);
        write_file("merges.txt", "a b</w>\n");
        snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
        file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        fputs("{\"extra_special_tokens\": [\"<0>\"", file);
        for (int k = 1; k < n; k++)
            fprintf(file, ", \"<%d>\"", k);
        fputs("]}", file);
        fclose(file);
        ck_assert_int_eq(load_written(),
                         n == most - 2 ? PDAG_OK : PDAG_ERR_UNSUPPORTED);
    }
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "<65534>: more than 65536"));
}
END_TEST

static const struct {
    const char *name; /* file to write beside sound vocab.json and merges.txt */
    const char *text;
    pdag_status status;
    const char *named;
} bad[] = {
    {"vocab.json", "{", PDAG_ERR_FORMAT, "vocab.json"},
    {"vocab.json", "[]", PDAG_ERR_FORMAT, "vocab.json"},
    {"vocab.json", "{}", PDAG_ERR_FORMAT, "empty"},
    {"vocab.json", "{\"a\": -1}", PDAG_ERR_FORMAT, "id from 0"},
    {"vocab.json", "{\"a\": 16777216}", PDAG_ERR_FORMAT, "id from 0"},
    {"vocab.json", "{\"a\": 1.5}", PDAG_ERR_FORMAT, "id from 0"},
    {"vocab.json", "{\"a\": \"1\"}", PDAG_ERR_FORMAT, "id from 0"},
    {"vocab.json", "{\"a\": 1, \"b\": 1}", PDAG_ERR_FORMAT, "taken twice"},
    {"merges.txt", "a b\n", PDAG_ERR_FORMAT, "ab is not in"},
    {"merges.txt", "a q\n", PDAG_ERR_FORMAT, "q is not in"},
    {"merges.txt", "q a\n", PDAG_ERR_FORMAT, "q is not in"},
    {"merges.txt", "a\n", PDAG_ERR_FORMAT, "line 1"},
    {"merges.txt", "#version: 0.2\na b c\n", PDAG_ERR_FORMAT, "line 2"},
    {"merges.txt", "a  b\n", PDAG_ERR_FORMAT, "line 1"},
    {"merges.txt", " ab\n", PDAG_ERR_FORMAT, "line 1"},
    {"tokenizer_config.json", "{\"model_max_length\": \"77\"}", PDAG_ERR_FORMAT,
     "model_max_length"},
    {"tokenizer_config.json", "{\"model_max_length\": 1}", PDAG_ERR_FORMAT,
     "model_max_length"},
    {"tokenizer_config.json", "[]", PDAG_ERR_FORMAT, "tokenizer_config.json"},
    {"tokenizer_config.json", "{\"padding_side\": \"left\"}",
     PDAG_ERR_UNSUPPORTED, "padding_side"},
    {"tokenizer_config.json", "{\"pad_token\": 7}", PDAG_ERR_FORMAT,
     "pad_token"},
    {"tokenizer_config.json",
     "{\"added_tokens_decoder\": {\"6\": {\"content\": \"x\", "
     "\"single_word\": true}}}",
     PDAG_ERR_UNSUPPORTED, "single_word"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"6\": {}}}",
     PDAG_ERR_FORMAT, "added_tokens_decoder"},
    {"special_tokens_map.json", "{\"pad_token\": {\"content\": \"\"}}",
     PDAG_ERR_FORMAT, "pad_token"},
    {"tokenizer.json", "{}", PDAG_ERR_FORMAT, "model.vocab"},
    {"tokenizer.json", "{\"model\": {\"type\": \"Unigram\"}}",
     PDAG_ERR_UNSUPPORTED, "Unigram"},
    {"tokenizer.json", "{\"model\": {\"vocab\": " VOCAB "}}", PDAG_ERR_FORMAT,
     "model.merges"},
    {"tokenizer.json",
     "{\"model\": {\"vocab\": " VOCAB ", \"merges\": [\"a b</w>\", 7]}}",
     PDAG_ERR_FORMAT, "element 1"},
    {"tokenizer.json",
     "{\"model\": {\"vocab\": " VOCAB ", \"merges\": [[\"a\"]]}}",
     PDAG_ERR_FORMAT, "element 0"},
    {"tokenizer.json",
     "{\"model\": {\"vocab\": " VOCAB ", \"merges\": [[\"a\", 1]]}}",
     PDAG_ERR_FORMAT, "element 0"},
    {"tokenizer.json",
     "{\"model\": {\"vocab\": " VOCAB ", \"merges\": [], "
     "\"end_of_word_suffix\": \"\"}}",
     PDAG_ERR_UNSUPPORTED, "end_of_word_suffix"},
    {"tokenizer.json",
     "{\"model\": {\"vocab\": " VOCAB ", \"merges\": []}, "
     "\"added_tokens\": [{}]}",
     PDAG_ERR_FORMAT, "added_tokens"},
};

START_TEST(test_bad_files)
{
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        pdag_status status;

        write_file("vocab.json", VOCAB);
        write_file("merges.txt", "#version: 0.2\na b</w>\n");
        ck_assert_msg(load_written() == PDAG_OK, "%s", pdag_error_text());
        write_file(bad[k].name, bad[k].text);
        status = load_written();
        ck_assert_msg(status == bad[k].status, "%s: %s: %d: %s", bad[k].name,
                      bad[k].text, (int)status, pdag_error_text());
        ck_assert_msg(strstr(pdag_error_text(), bad[k].named) != NULL,
                      "%s: %s: %s", bad[k].name, bad[k].text,
                      pdag_error_text());
        ck_assert_ptr_nonnull(strstr(pdag_error_text(), bad[k].name));
        tear_down();
        set_up();
    }
}
END_TEST

START_TEST(test_missing_files)
{
    pdag_clip_tokenizer *tokenizer = NULL;
    char path[TEMPORARY_BYTES + 32];

    ck_assert_int_eq(load_written(), PDAG_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "vocab.json"));
    write_file("vocab.json", VOCAB);
    ck_assert_int_eq(load_written(), PDAG_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "merges.txt"));
    ck_assert_int_eq(pdag_clip_tokenizer_load("/nonexistent", &tokenizer),
                     PDAG_ERR_INPUT);
    snprintf(path, sizeof path, "%s/merges.txt", folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(load_written(), PDAG_ERR_INPUT);
    rmdir(path);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_ne(load_written(), PDAG_OK);
    rmdir(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models/clip_tokenizer");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_against_transformers);
    tcase_add_test(tcase, test_limits);
    tcase_add_test(tcase, test_many_marks);
    tcase_add_test(tcase, test_not_utf8);
    tcase_add_test(tcase, test_small_vocabulary);
    tcase_add_test(tcase, test_added_tokens);
    tcase_add_test(tcase, test_many_added_tokens);
    tcase_add_test(tcase, test_bad_files);
    tcase_add_test(tcase, test_missing_files);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
