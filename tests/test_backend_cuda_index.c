/* The index arithmetic of the CUDA kernels (backend/cuda_index.h), on the CPU,
 * against plain loops and at sizes past 2^31 and 2^32. */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>

#include "backend/cuda_index.h"

static uint64_t state = 77;

/* In [low, high]. */
static size_t random_size(size_t low, size_t high)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return low + (size_t)((z ^ (z >> 31)) % (high - low + 1));
}

START_TEST(test_division)
{
    static const size_t edges[] = {0,           1,
                                   2,           0xffffffffu,
                                   0x100000000, 0x100000001,
                                   0x7fffffff,  (size_t)1 << 40};
    const size_t n = sizeof edges / sizeof edges[0];

    for (size_t i = 0; i < n; i++)
        for (size_t j = 1; j < n; j++) {
            ck_assert_uint_eq(pdag_index_div(edges[i], edges[j]),
                              edges[i] / edges[j]);
            ck_assert_uint_eq(pdag_index_ceil(edges[i], edges[j]),
                              edges[i] / edges[j] +
                                  (edges[i] % edges[j] != 0));
        }
    ck_assert_uint_eq(pdag_index_blocks(0, 256), 1);
    ck_assert_uint_eq(pdag_index_blocks(1, 256), 1);
    ck_assert_uint_eq(pdag_index_blocks(257, 256), 2);
    ck_assert_uint_eq(pdag_index_blocks((size_t)1 << 50, 256), 1048576);
}
END_TEST

START_TEST(test_locate)
{
    for (int round = 0; round < 1000; round++) {
        const size_t h = random_size(1, 70000);
        const size_t w = random_size(1, 70000);
        const size_t image = random_size(0, 300);
        const size_t i = random_size(0, h - 1);
        const size_t j = random_size(0, w - 1);
        const pdag_index_place place =
            pdag_index_locate((image * h + i) * w + j, h, w);

        ck_assert_uint_eq(place.image, image);
        ck_assert_uint_eq(place.i, i);
        ck_assert_uint_eq(place.j, j);
    }
}
END_TEST

/* Signed arithmetic, as one writes it down. */
static long expected_tap(const pdag_cuda_conv *c, long image, long i, long j,
                         long ki, long kj)
{
    const long row = i * (long)c->stride + ki - (long)c->pad_top;
    const long column = j * (long)c->stride + kj - (long)c->pad_left;

    if (row < 0 || column < 0 || row >= (long)c->h || column >= (long)c->w)
        return -1;
    return ((image * (long)c->h + row) * (long)c->w + column) * (long)c->c;
}

START_TEST(test_taps)
{
    for (int round = 0; round < 20000; round++) {
        pdag_cuda_conv c = {.h = random_size(1, 1000),
                            .w = random_size(1, 1000),
                            .c = random_size(1, 2000),
                            .oh = 1,
                            .ow = 1,
                            .kh = random_size(1, 5),
                            .kw = random_size(1, 5),
                            .stride = random_size(1, 2),
                            .pad_top = random_size(0, 3),
                            .pad_left = random_size(0, 3)};
        const pdag_index_place place = {random_size(0, 3000),
                                        random_size(0, c.h),
                                        random_size(0, c.w)};
        const size_t ki = random_size(0, c.kh - 1);
        const size_t kj = random_size(0, c.kw - 1);
        const long want =
            expected_tap(&c, (long)place.image, (long)place.i, (long)place.j,
                         (long)ki, (long)kj);
        size_t got = 12345;

        ck_assert_int_eq(pdag_index_tap(&c, &place, ki, kj, &got), want >= 0);
        ck_assert_uint_eq(got, want >= 0 ? (size_t)want : 12345);
    }
}
END_TEST

START_TEST(test_nearest)
{
    for (size_t h = 1; h <= 7; h++)
        for (size_t oh = 1; oh <= 16; oh++)
            for (size_t at = 0; at < 3 * oh * 2 * h; at++) {
                const size_t w = h + 1;
                const size_t ow = 2 * h;
                const size_t image = at / (oh * ow);
                const size_t i = at / ow % oh;
                const size_t j = at % ow;

                ck_assert_uint_eq(pdag_index_nearest(at, h, w, oh, ow),
                                  (image * h + i * h / oh) * w + j * w / ow);
            }
    /* 3000 pictures of 4096 x 4096: past 2^32 positions */
    ck_assert_uint_eq(
        pdag_index_nearest((size_t)2999 * 4096 * 4096, 2048, 2048, 4096, 4096),
        (size_t)2999 * 2048 * 2048);
}
END_TEST

/* Blocks of a group norm cover every group and position once, and fit. */
static void check_cut(size_t p, size_t c, size_t groups)
{
    const pdag_index_norm cut = pdag_index_norm_cut(p, c, groups);
    const size_t size = c / groups;

    ck_assert_uint_ge(cut.groups, 1);
    ck_assert_uint_le(cut.groups, groups);
    ck_assert_uint_eq(cut.span, cut.groups * size);
    ck_assert(cut.groups == 1 || cut.span <= PDAG_NORM_SPAN);
    ck_assert_uint_ge(cut.spans * cut.groups, groups);
    ck_assert_uint_lt((cut.spans - 1) * cut.groups, groups);
    ck_assert_uint_ge(cut.chunks, 1);
    ck_assert_uint_le(cut.chunks, PDAG_NORM_CHUNKS);
    ck_assert_uint_ge(cut.chunks * cut.rows, p);
    ck_assert_uint_lt((cut.chunks - 1) * cut.rows, p); /* none is empty */
    if (cut.chunks == 1)
        ck_assert(p * cut.span <= PDAG_NORM_SMALL || p == 1);
}

START_TEST(test_norm_cut)
{
    static const size_t known[][3] = {
        {4096, 320, 32},     {1024, 640, 32}, {64, 2560, 32},
        {262144, 128, 32},   {1, 32, 8},      {16, 1, 1},
        {(size_t)1 << 40, 512, 32}, {5, 40, 1}, {1, 1 << 20, 1}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        check_cut(known[i][0], known[i][1], known[i][2]);
    for (int round = 0; round < 5000; round++) {
        const size_t groups = random_size(1, 64);

        check_cut(random_size(1, 100000), groups * random_size(1, 600), groups);
    }
    /* Widths of real networks are read four channels at a time. */
    ck_assert_uint_eq(pdag_index_norm_cut(4096, 320, 32).span % 4, 0);
    ck_assert_uint_eq(pdag_index_norm_cut(64, 960, 32).span % 4, 0);
}
END_TEST

START_TEST(test_visible)
{
    ck_assert_uint_eq(pdag_index_visible(0, 7, true), 1);
    ck_assert_uint_eq(pdag_index_visible(6, 7, true), 7);
    ck_assert_uint_eq(pdag_index_visible(63, 7, true), 7);
    ck_assert_uint_eq(pdag_index_visible(0, 7, false), 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda index");
    TCase *tc = tcase_create("index");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, test_division);
    tcase_add_test(tc, test_locate);
    tcase_add_test(tc, test_taps);
    tcase_add_test(tc, test_nearest);
    tcase_add_test(tc, test_norm_cut);
    tcase_add_test(tc, test_visible);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
