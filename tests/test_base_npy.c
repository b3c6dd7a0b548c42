/* base/npy: written bytes as numpy writes them, round trips, and bad files. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/npy.h"
#include "tests/temporary.h"

static const char *path;

static void set_up(void)
{
    path = temporary_file("");
}

static void write_file(const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

/* A file of the given version with this header text and `elements` floats
   1, 2, 3, ... */
static void write_npy(int version, const char *text, size_t elements)
{
    unsigned char bytes[4096] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    size_t length = strlen(text);
    size_t at = version == 1 ? 10 : 12;

    bytes[6] = (unsigned char)version;
    bytes[8] = (unsigned char)(length & 255);
    bytes[9] = (unsigned char)(length >> 8);
    memcpy(bytes + at, text, length);
    for (size_t j = 0; j < elements; j++) {
        float value = (float)(j + 1);

        memcpy(bytes + at + length + 4 * j, &value, 4);
    }
    write_file(bytes, at + length + 4 * elements);
}

/* Poisoned outputs must stay as they are when reading fails. */
static void check_bad(pdag_status expected, const char *named)
{
    float poison;
    float *data = &poison;
    int n_dims = -7;
    size_t dims[PDAG_MAX_DIMS] = {77};
    pdag_status status = pdag_npy_read(path, &data, &n_dims, dims);

    ck_assert_msg(status == expected, "status %d, expected %d: %s",
                  (int)status, (int)expected, pdag_error_text());
    ck_assert_ptr_eq(data, &poison);
    ck_assert_int_eq(n_dims, -7);
    ck_assert_uint_eq(dims[0], 77);
    ck_assert_msg(strstr(pdag_error_text(), path) != NULL, "%s",
                  pdag_error_text());
    ck_assert_msg(strstr(pdag_error_text(), named) != NULL, "%s",
                  pdag_error_text());
}

static void check_good(int n_dims_expected, size_t first, size_t count)
{
    float *data = NULL;
    int n_dims = -1;
    size_t dims[PDAG_MAX_DIMS] = {0};

    ck_assert_msg(pdag_npy_read(path, &data, &n_dims, dims) == PDAG_OK, "%s",
                  pdag_error_text());
    ck_assert_int_eq(n_dims, n_dims_expected);
    if (n_dims > 0)
        ck_assert_uint_eq(dims[0], first);
    for (size_t j = 0; j < count; j++)
        ck_assert_float_eq(data[j], (float)(j + 1));
    free(data);
}

START_TEST(test_bytes_are_numpy_s)
{
    /* numpy.save of numpy.array([[1, -2.5]], "float32"), version 1.0 */
    static const char head[] =
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
    const float data[2] = {1.0f, -2.5f};
    const size_t dims[2] = {1, 2};
    unsigned char expected[136] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 118, 0};
    void *bytes;
    size_t n;

    memset(expected + 10, ' ', 117);
    memcpy(expected + 10, head, strlen(head));
    expected[127] = '\n';
    memcpy(expected + 128, "\x00\x00\x80\x3f\x00\x00\x20\xc0", 8);
    ck_assert_int_eq(pdag_npy_encode(data, 2, dims, &bytes, &n), PDAG_OK);
    ck_assert_uint_eq(n, sizeof expected);
    ck_assert_mem_eq(bytes, expected, sizeof expected);
    free(bytes);
}
END_TEST

START_TEST(test_round_trip)
{
    const size_t dims[PDAG_MAX_DIMS] = {2, 1, 3, 1, 1, 2, 1, 1};

    for (int n_dims = 0; n_dims <= PDAG_MAX_DIMS; n_dims++) {
        float data[12];
        float *back;
        size_t count = 1;
        size_t got[PDAG_MAX_DIMS];
        int n_got;
        void *bytes;
        size_t n;

        for (int d = 0; d < n_dims; d++)
            count *= dims[d];
        for (size_t j = 0; j < count; j++)
            data[j] = (float)j * 0.3f - 1;
        ck_assert_int_eq(pdag_npy_encode(data, n_dims, dims, &bytes, &n),
                         PDAG_OK);
        ck_assert_uint_eq((n - 4 * count) % 64, 0);
        write_file(bytes, n);
        free(bytes);
        ck_assert_msg(pdag_npy_read(path, &back, &n_got, got) == PDAG_OK, "%s",
                      pdag_error_text());
        ck_assert_int_eq(n_got, n_dims);
        ck_assert_mem_eq(got, dims, (size_t)n_dims * sizeof *dims);
        ck_assert_mem_eq(back, data, count * sizeof *data);
        free(back);
    }
}
END_TEST

START_TEST(test_versions_and_spellings)
{
    static const char plain[] =
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n";

    for (int version = 1; version <= 3; version++) {
        write_npy(version, plain, 3);
        check_good(1, 3, 3);
    }
    write_npy(1,
              "{\"shape\":(2L, 2L),\"fortran_order\":False,"
              "\"descr\":\"<f4\"}",
              4);
    check_good(2, 2, 4);
    write_npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (3,)}", 3);
    check_good(1, 3, 3);
    write_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': ()}", 1);
    check_good(0, 0, 1);
    write_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4)}",
              0);
    check_good(2, 0, 0);
}
END_TEST

static const struct {
    const char *text;
    size_t elements;
    pdag_status status;
    const char *named;
} bad[] = {
    {"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", 4,
     PDAG_ERR_UNSUPPORTED, "<f8"},
    {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", 2,
     PDAG_ERR_UNSUPPORTED, ">f4"},
    {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", 4,
     PDAG_ERR_UNSUPPORTED, "fortran_order"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 2,
     PDAG_ERR_FORMAT, "8 bytes"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 4,
     PDAG_ERR_FORMAT, "16 bytes"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), ", 3,
     PDAG_ERR_FORMAT, "header"},
    {"{'descr': '<f4', 'shape': (3,), }", 3, PDAG_ERR_FORMAT, "header"},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", 3,
     PDAG_ERR_FORMAT, "header"},
    {"{'descr': '<f4', 'fortran_order': 0, 'shape': (3,), }", 3,
     PDAG_ERR_FORMAT, "header"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", 3,
     PDAG_ERR_FORMAT, "header"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,, }", 3,
     PDAG_ERR_FORMAT, "header"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
     1, PDAG_ERR_FORMAT, "header"},
    {"{'descr': '<f4', 'fortran_order': False, "
     "'shape': (99999999999999999999)}",
     1, PDAG_ERR_FORMAT, "header"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, "
     "4294967296, 4)}",
     1, PDAG_ERR_FORMAT, "shape"},
    {"{'descr': '<f4', 'fortran_order': False, "
     "'shape': (4611686018427387905,)}",
     1, PDAG_ERR_FORMAT, "4611686018427387905"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}", 1,
     PDAG_ERR_FORMAT, "1000000000000"},
    {"", 1, PDAG_ERR_FORMAT, "header"},
};

START_TEST(test_bad_headers)
{
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        write_npy(1, bad[k].text, bad[k].elements);
        check_bad(bad[k].status, bad[k].named);
    }
}
END_TEST

START_TEST(test_bad_files)
{
    static const char npy[] = "\x93NUMPY\x01\x00\x76\x00{'descr'";
    static const char huge[] = "\x93NUMPY\x02\x00\xff\xff\xff\xff{";
    static const char version[] = "\x93NUMPY\x09\x00\x76\x00{'descr'";
    float *data;
    int n_dims;
    size_t dims[PDAG_MAX_DIMS];

    for (size_t n = 0; n < sizeof npy; n++) {
        write_file(npy, n);
        check_bad(PDAG_ERR_FORMAT, n < 8 ? "not a .npy" : "header");
    }
    write_file("PK\x03\x04 and so on", 13);
    check_bad(PDAG_ERR_FORMAT, "not a .npy");
    write_file(huge, sizeof huge - 1);
    check_bad(PDAG_ERR_FORMAT, "4294967295");
    write_file(version, sizeof version - 1);
    check_bad(PDAG_ERR_UNSUPPORTED, "version 9");
    ck_assert_int_eq(pdag_npy_read("/nonexistent.npy", &data, &n_dims, dims),
                     PDAG_ERR_INPUT);
    ck_assert_int_eq(pdag_npy_read(".", &data, &n_dims, dims),
                     PDAG_ERR_INPUT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/npy");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, temporary_file_remove);
    tcase_add_test(tcase, test_bytes_are_numpy_s);
    tcase_add_test(tcase, test_round_trip);
    tcase_add_test(tcase, test_versions_and_spellings);
    tcase_add_test(tcase, test_bad_headers);
    tcase_add_test(tcase, test_bad_files);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
