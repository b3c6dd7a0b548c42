/* proto/checkpoint: what goes in comes out, and nothing else passes: cut files,
   flipped bits, headers that lie. */
#include "tests/checkpoint_bytes.h"

#include <fcntl.h>

#include "tests/temporary.h"

static const char job[] = "\x0a\x04\x0a\x02/m";
#define JOB_BYTES (sizeof job - 1)

static uint64_t random_state;

/* xorshift64* */
static uint64_t next_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717ull;
}

static void set_up(void)
{
    random_state = 20;
}

static size_t bytes_of_type(pdag_checkpoint_type type)
{
    static const size_t bytes[] = {0, 4, 8, 8, 1};

    return bytes[type];
}

/* An array of pseudo-random bytes, which is also what comes back. */
static void *add_random(pdag_checkpoint *cp, const char *name,
                        pdag_checkpoint_type type, size_t count)
{
    void *values = NULL;
    unsigned char *at;

    ck_assert_msg(pdag_checkpoint_add(cp, name, type, count, &values) == PDAG_OK,
                  "%s", pdag_error_text());
    ck_assert_ptr_nonnull(values);
    at = values;
    for (size_t i = 0; i < count * bytes_of_type(type); i++)
        at[i] = (unsigned char)(next_random() >> 56);
    return values;
}

static void check_array(const pdag_checkpoint *cp, const char *name,
                        pdag_checkpoint_type type, size_t count,
                        const void *expected)
{
    const void *values = NULL;
    size_t there = 99;
    unsigned char *copy = pdag_xcalloc(count * 8 + 1, 1);

    ck_assert_msg(pdag_checkpoint_find(cp, name, type, &values, &there) ==
                      PDAG_OK, "%s", pdag_error_text());
    ck_assert_uint_eq(there, count);
    ck_assert_ptr_nonnull(values);
    ck_assert(memcmp(values, expected, count * bytes_of_type(type)) == 0);
    copy[count * bytes_of_type(type)] = 0xa5;
    ck_assert_int_eq(pdag_checkpoint_copy(cp, name, type, count, copy), PDAG_OK);
    ck_assert(memcmp(copy, expected, count * bytes_of_type(type)) == 0);
    ck_assert_uint_eq(copy[count * bytes_of_type(type)], 0xa5);
    free(copy);
}

static void check_job(const pdag_checkpoint *cp)
{
    size_t n = 0;
    const void *bytes = pdag_checkpoint_job(cp, &n);

    ck_assert_uint_eq(n, JOB_BYTES);
    ck_assert_mem_eq(bytes, job, JOB_BYTES);
}

static pdag_checkpoint *parsed(file_bytes bytes)
{
    pdag_checkpoint *cp = NULL;

    ck_assert_msg(pdag_checkpoint_parse("x", bytes.at, bytes.n, &cp) == PDAG_OK,
                  "%s", pdag_error_text());
    return cp;
}

/* Refused as malformed, with a text that says so; the output stays. */
static void check_refused(file_bytes bytes, const char *named)
{
    pdag_checkpoint *poison = (pdag_checkpoint *)&random_state;
    pdag_checkpoint *cp = poison;
    pdag_status status = pdag_checkpoint_parse("a/file", bytes.at, bytes.n, &cp);

    ck_assert_msg(status == PDAG_ERR_FORMAT, "status %d: %s", (int)status,
                  pdag_error_text());
    ck_assert_ptr_eq(cp, poison);
    ck_assert_msg(strstr(pdag_error_text(), "a/file") != NULL &&
                      strstr(pdag_error_text(), named) != NULL,
                  "%s: expected %s", pdag_error_text(), named);
}

START_TEST(test_round_trip)
{
    static const size_t counts[] = {0, 1, 7, 8, 15, 16, 64, 65, 1000};

    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        pdag_checkpoint *cp = pdag_checkpoint_create(job, JOB_BYTES);
        pdag_checkpoint *back;
        const void *values[5];
        char name[64];
        file_bytes bytes;

        memset(name, 'n', 63);
        name[63] = '\0';
        for (int type = 1; type <= 4; type++) {
            name[0] = (char)('0' + type);
            values[type] = add_random(cp, name, (pdag_checkpoint_type)type,
                                      counts[c] + (size_t)type - 1);
        }
        bytes = written(cp);
        back = parsed(bytes);
        check_job(back);
        for (int type = 1; type <= 4; type++) {
            name[0] = (char)('0' + type);
            check_array(cp, name, (pdag_checkpoint_type)type,
                        counts[c] + (size_t)type - 1, values[type]);
            check_array(back, name, (pdag_checkpoint_type)type,
                        counts[c] + (size_t)type - 1, values[type]);
        }
        pdag_checkpoint_destroy(back);
        pdag_checkpoint_destroy(cp);
        free(bytes.at);
    }
}
END_TEST

START_TEST(test_layout)
{
    pdag_checkpoint *cp = pdag_checkpoint_create(job, JOB_BYTES);
    double *values = add_random(cp, "one", PDAG_CHECKPOINT_F64, 3);
    uint8_t *last = add_random(cp, "two", PDAG_CHECKPOINT_BYTES, 5);
    file_bytes bytes = written(cp);
    uint64_t length;

    ck_assert_mem_eq(bytes.at, "PDAGCKP\n", 8);
    memcpy(&length, bytes.at + 8, 8);
    ck_assert_uint_le(24 + length, 128);
    ck_assert_uint_eq(bytes.n, 128 + 64 + 5);
    ck_assert_mem_eq(bytes.at + 128, values, 24);
    ck_assert_mem_eq(bytes.at + 192, last, 5);
    pdag_checkpoint_destroy(cp);
    free(bytes.at);
}
END_TEST

START_TEST(test_no_arrays)
{
    pdag_checkpoint *cp = pdag_checkpoint_create(NULL, 0);
    file_bytes bytes = written(cp);
    pdag_checkpoint *back = parsed(bytes);
    size_t n = 7;

    pdag_checkpoint_job(back, &n);
    ck_assert_uint_eq(n, 0);
    pdag_checkpoint_destroy(back);
    pdag_checkpoint_destroy(cp);
    free(bytes.at);
}
END_TEST

START_TEST(test_many_arrays)
{
    pdag_checkpoint *cp = pdag_checkpoint_create(job, JOB_BYTES);
    pdag_checkpoint *back;
    size_t n = 20000;
    file_bytes bytes;
    char name[32];

    for (uint64_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "sample %u", (unsigned)i);
        *(uint64_t *)add_random(cp, name, PDAG_CHECKPOINT_U64, 1) = 3 * i;
    }
    bytes = written(cp);
    back = parsed(bytes);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t expected = 3 * i;

        snprintf(name, sizeof name, "sample %u", (unsigned)i);
        check_array(back, name, PDAG_CHECKPOINT_U64, 1, &expected);
    }
    pdag_checkpoint_destroy(back);
    pdag_checkpoint_destroy(cp);
    free(bytes.at);
}
END_TEST

START_TEST(test_too_many_arrays)
{
    pdag_checkpoint *cp = pdag_checkpoint_create(job, JOB_BYTES);
    pdag_status status = PDAG_OK;
    void *values = &status;
    char name[32];
    size_t n;

    for (n = 0; status == PDAG_OK; n++) {
        snprintf(name, sizeof name, "%zu", n);
        status = pdag_checkpoint_add(cp, name, PDAG_CHECKPOINT_F32, 0, &values);
    }
    ck_assert_int_eq(status, PDAG_ERR_UNSUPPORTED);
    ck_assert_uint_eq(n, 262145);
    pdag_checkpoint_destroy(cp);
}
END_TEST

START_TEST(test_no_room)
{
    pdag_checkpoint *cp = pdag_checkpoint_create(job, JOB_BYTES);
    void *values = &random_state;

    ck_assert_int_eq(pdag_checkpoint_add(cp, "big", PDAG_CHECKPOINT_F64,
                                         SIZE_MAX / 4, &values),
                     PDAG_ERR_NOMEM);
    ck_assert_ptr_eq(values, &random_state);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "big"));
    add_random(cp, "big", PDAG_CHECKPOINT_F64, 2);
    pdag_checkpoint_destroy(cp);
}
END_TEST

START_TEST(test_not_there)
{
    pdag_checkpoint *cp = pdag_checkpoint_create(job, JOB_BYTES);
    const void *values = &random_state;
    size_t count = 77;
    float copy[4] = {-1, -1, -1, -1};

    ck_assert_int_eq(pdag_checkpoint_find(cp, "state", PDAG_CHECKPOINT_F32,
                                          &values, &count), PDAG_ERR_FORMAT);
    add_random(cp, "state", PDAG_CHECKPOINT_F32, 3);
    ck_assert_int_eq(pdag_checkpoint_find(cp, "stat", PDAG_CHECKPOINT_F32,
                                          &values, &count), PDAG_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "stat"));
    ck_assert_int_eq(pdag_checkpoint_find(cp, "state", PDAG_CHECKPOINT_U64,
                                          &values, &count), PDAG_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "state"));
    ck_assert_ptr_eq(values, &random_state);
    ck_assert_uint_eq(count, 77);
    ck_assert_int_eq(pdag_checkpoint_copy(cp, "state", PDAG_CHECKPOINT_F32, 4,
                                          copy), PDAG_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "3 values: expected 4"));
    ck_assert(copy[0] == -1 && copy[3] == -1);
    pdag_checkpoint_destroy(cp);
}
END_TEST

static file_bytes small_file(void)
{
    pdag_checkpoint *cp = pdag_checkpoint_create(job, JOB_BYTES);
    file_bytes bytes;

    add_random(cp, "a", PDAG_CHECKPOINT_F32, 3);
    add_random(cp, "b", PDAG_CHECKPOINT_U64, 1);
    add_random(cp, "nothing", PDAG_CHECKPOINT_F64, 0);
    add_random(cp, "c", PDAG_CHECKPOINT_BYTES, 9);
    bytes = written(cp);
    pdag_checkpoint_destroy(cp);
    return bytes;
}

/* A copy of exactly these bytes, so that a sanitizer sees reads past them. */
static file_bytes cut(file_bytes bytes, size_t n)
{
    file_bytes part = {pdag_xcalloc(n > 0 ? n : 1, 1), n};

    memcpy(part.at, bytes.at, n < bytes.n ? n : bytes.n);
    return part;
}

START_TEST(test_every_length)
{
    file_bytes bytes = small_file();

    for (size_t n = 0; n <= bytes.n + 70; n++) {
        file_bytes part = cut(bytes, n);

        if (n == bytes.n)
            pdag_checkpoint_destroy(parsed(part));
        else
            check_refused(part, "");
        free(part.at);
    }
    free(bytes.at);
}
END_TEST

START_TEST(test_every_bit)
{
    file_bytes bytes = small_file();

    for (size_t i = 0; i < 8 * bytes.n; i++) {
        bytes.at[i / 8] ^= (uint8_t)(1u << i % 8);
        check_refused(bytes, "");
        bytes.at[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t i = 0; i < bytes.n; i++) {
        bytes.at[i] ^= 0xff;
        check_refused(bytes, "");
        bytes.at[i] ^= 0xff;
    }
    pdag_checkpoint_destroy(parsed(bytes));
    free(bytes.at);
}
END_TEST

/* A header of one array, which the test then spoils, and its 64 bytes. */
typedef struct one_array {
    Pdag__Checkpoint header;
    Pdag__CheckpointArray item, second;
    Pdag__CheckpointArray *items[2];
    uint8_t text[128];
    uint8_t data[128];
} one_array;

static void make_one(one_array *one)
{
    memset(one->data, 3, sizeof one->data);
    memset(one->text, 'n', sizeof one->text);
    pdag__checkpoint__init(&one->header);
    pdag__checkpoint_array__init(&one->item);
    one->header.has_format = one->header.has_job = 1;
    one->header.format = 1;
    one->header.job.data = one->text;
    one->header.job.len = 30; /* the header ends between bytes 64 and 128 */
    one->item.has_name = one->item.has_type = one->item.has_count = 1;
    one->item.has_offset = one->item.has_crc = 1;
    one->item.name.data = one->text;
    one->item.name.len = 4;
    one->item.type = 4;
    one->item.count = 64;
    one->item.offset = 128;
    one->item.crc = (uint32_t)crc32_z(0, one->data, 64);
    one->second = one->item;
    one->second.offset = 192;
    one->items[0] = &one->item;
    one->items[1] = &one->second;
    one->header.n_array = 1;
    one->header.array = one->items;
}

/* The file of it: header, zeros up to byte 128, n_data bytes. */
static file_bytes file_of(one_array *one, size_t n_data)
{
    uint8_t packed[512];
    uint8_t behind[256] = {0};
    size_t n = pdag__checkpoint__get_packed_size(&one->header);
    size_t padding = n + 24 < 128 ? 128 - 24 - n : 0;

    ck_assert_uint_le(n, sizeof packed);
    pdag__checkpoint__pack(&one->header, packed);
    memcpy(behind + padding, one->data, n_data);
    return made_up(packed, n, behind, padding + n_data);
}

static void check_one(one_array *one, size_t n_data, const char *named)
{
    file_bytes bytes = file_of(one, n_data);

    check_refused(bytes, named);
    free(bytes.at);
}

START_TEST(test_lying_counts)
{
    static const uint64_t counts[] = {65, 1u << 20, (uint64_t)1 << 40,
                                      (uint64_t)1 << 63, UINT64_MAX};
    one_array one;
    file_bytes bytes;

    make_one(&one);
    bytes = file_of(&one, 64);
    pdag_checkpoint_destroy(parsed(bytes));
    free(bytes.at);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (uint32_t type = 1; type <= 4; type++) {
            one.item.count = counts[i];
            one.item.type = type;
            check_one(&one, 64, "nnnn");
        }
    one.item.type = 3;
    one.item.count = ((uint64_t)1 << 61) + 8; /* times 8 is 64 */
    check_one(&one, 64, "end after");
    one.item.count = 7;
    check_one(&one, 64, "checksum of array nnnn");
    make_one(&one);
    one.item.has_count = 0;
    check_one(&one, 64, "nnnn");
    make_one(&one);
    one.item.count = 63;
    one.item.crc = (uint32_t)crc32_z(0, one.data, 63);
    check_one(&one, 64, "1 bytes after the last array");
}
END_TEST

START_TEST(test_lying_offsets)
{
    static const uint64_t offsets[] = {0, 24, 64, 127, 129, 192, UINT64_MAX - 63,
                                       UINT64_MAX};
    one_array one;

    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        make_one(&one);
        one.item.offset = offsets[i];
        check_one(&one, 64, "offset");
    }
    make_one(&one);
    one.item.has_offset = 0;
    check_one(&one, 64, "offset");
    make_one(&one); /* overlap */
    one.header.n_array = 2;
    one.text[40] = 'm';
    one.second.name.data = one.text + 38;
    one.second.offset = 128;
    check_one(&one, 64, "offset");
    make_one(&one);
    one.item.has_crc = 0;
    check_one(&one, 64, "checksum");
}
END_TEST

START_TEST(test_lying_names)
{
    one_array one;

    make_one(&one);
    one.item.name.len = 64;
    check_one(&one, 64, "1 to 63");
    make_one(&one);
    one.item.name.len = 0;
    check_one(&one, 64, "1 to 63");
    make_one(&one);
    one.item.has_name = 0;
    check_one(&one, 64, "1 to 63");
    make_one(&one);
    one.text[2] = 0;
    check_one(&one, 64, "1 to 63");
    make_one(&one);
    one.text[2] = 0x1b;
    check_one(&one, 64, "1 to 63");
    make_one(&one);
    one.header.n_array = 2;
    check_one(&one, 128, "twice");
}
END_TEST

START_TEST(test_lying_headers)
{
    one_array one;
    file_bytes bytes;

    make_one(&one);
    one.header.format = 2;
    check_one(&one, 64, "format 2");
    one.header.has_format = 0;
    check_one(&one, 64, "format");
    make_one(&one);
    one.header.has_job = 0;
    check_one(&one, 64, "no job");
    for (uint32_t type = 0; type < 9; type = type == 0 ? 5 : 2 * type) {
        make_one(&one);
        one.item.type = type;
        check_one(&one, 64, "type");
    }
    make_one(&one);
    one.item.has_type = 0;
    check_one(&one, 64, "type");

    bytes = made_up("\xff\xff\xff", 3, NULL, 0);
    check_refused(bytes, "not a pdag.Checkpoint");
    for (int byte = 8; byte < 16; byte++) { /* the header's length */
        file_bytes one_bit = made_up("\x08\x01", 2, NULL, 0);

        one_bit.at[byte] |= 0x80;
        check_refused(one_bit, "header of");
        free(one_bit.at);
    }
    free(bytes.at);
}
END_TEST

/* Headers of very many empty arrays: little in the file, much in memory. */
START_TEST(test_swollen_header)
{
    size_t n = (size_t)24 << 20;
    uint8_t *header = pdag_xcalloc(n, 1);
    file_bytes bytes;

    for (size_t i = 0; i < n; i += 2)
        header[i] = 0x22;
    bytes = made_up(header, n, NULL, 0);
    check_refused(bytes, "arrays at most");
    free(bytes.at);
    free(header);
}
END_TEST

START_TEST(test_read)
{
    const char *path = temporary_file("");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    pdag_checkpoint *poison = (pdag_checkpoint *)&random_state;
    pdag_checkpoint *cp = pdag_checkpoint_create(job, JOB_BYTES);
    pdag_checkpoint *back = poison;
    void *values = add_random(cp, "x", PDAG_CHECKPOINT_F32, 100);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pdag_checkpoint_write(cp, fd), PDAG_OK);
    ck_assert_msg(pdag_checkpoint_read(path, &back) == PDAG_OK, "%s",
                  pdag_error_text());
    check_job(back);
    check_array(back, "x", PDAG_CHECKPOINT_F32, 100, values);
    pdag_checkpoint_destroy(back);

    ck_assert_int_eq(ftruncate(fd, 300), 0);
    back = poison;
    ck_assert_int_eq(pdag_checkpoint_read(path, &back), PDAG_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), path));
    close(fd);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(pdag_checkpoint_read(path, &back), PDAG_ERR_INPUT);
    ck_assert_int_eq(pdag_checkpoint_read(".", &back), PDAG_ERR_FORMAT);
    ck_assert_ptr_eq(back, poison);
    ck_assert_int_eq(pdag_checkpoint_write(cp, -1), PDAG_ERR_IO);
    pdag_checkpoint_destroy(cp);
    pdag_checkpoint_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto_checkpoint");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_set_timeout(all, 60);
    tcase_add_checked_fixture(all, set_up, NULL);
    tcase_add_test(all, test_round_trip);
    tcase_add_test(all, test_layout);
    tcase_add_test(all, test_no_arrays);
    tcase_add_test(all, test_many_arrays);
    tcase_add_test(all, test_too_many_arrays);
    tcase_add_test(all, test_no_room);
    tcase_add_test(all, test_not_there);
    tcase_add_test(all, test_every_length);
    tcase_add_test(all, test_every_bit);
    tcase_add_test(all, test_lying_counts);
    tcase_add_test(all, test_lying_offsets);
    tcase_add_test(all, test_lying_names);
    tcase_add_test(all, test_lying_headers);
    tcase_add_test(all, test_swollen_header);
    tcase_add_test(all, test_read);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
