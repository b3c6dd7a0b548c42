/* tests/test_base_tensor.c: conversions of 16-bit floats, every value there is. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/tensor.h"

#define N_HALVES 65536

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* By the definition of the format. */
static double half_value(unsigned half)
{
    int exponent = (int)(half >> 10 & 31);
    double mantissa = (double)(half & 1023);
    double sign = half & 0x8000 ? -1.0 : 1.0;

    if (exponent == 0)
        return sign * ldexp(mantissa, -24);
    return sign * ldexp(1024.0 + mantissa, exponent - 25);
}

START_TEST(every_half_widens_exactly)
{
    static uint16_t halves[N_HALVES];
    static float wide[N_HALVES];
    pdag_tensor_view view = {"t", halves, PDAG_F16, 1, {N_HALVES}};

    for (unsigned h = 0; h < N_HALVES; h++)
        halves[h] = (uint16_t)h;
    memset(wide, 0x5a, sizeof wide);
    pdag_tensor_to_f32(&view, 0, N_HALVES, wide);
    for (unsigned h = 0; h < N_HALVES; h++) {
        float scalar = pdag_f16_to_f32((uint16_t)h);

        if ((h >> 10 & 31) == 31) {
            ck_assert(h & 1023 ? isnan(wide[h]) && isnan(scalar)
                               : isinf(wide[h]) && isinf(scalar));
            ck_assert_int_eq(signbit(wide[h]) != 0, (h & 0x8000) != 0);
        } else {
            ck_assert_uint_eq(bits_of(wide[h]), bits_of((float)half_value(h)));
            ck_assert_uint_eq(bits_of(scalar), bits_of(wide[h]));
            ck_assert_uint_eq(pdag_f32_to_f16(wide[h]), h);
        }
    }
}
END_TEST

START_TEST(every_bfloat16_widens_exactly)
{
    static uint16_t halves[N_HALVES];
    static float wide[N_HALVES];
    pdag_tensor_view view = {"t", halves, PDAG_BF16, 1, {N_HALVES}};

    for (unsigned h = 0; h < N_HALVES; h++)
        halves[h] = (uint16_t)h;
    pdag_tensor_to_f32(&view, 3, N_HALVES - 3, wide);
    for (unsigned h = 3; h < N_HALVES; h++) {
        ck_assert_uint_eq(bits_of(wide[h - 3]), (uint32_t)h << 16);
        if (!isnan(wide[h - 3]))
            ck_assert_uint_eq(pdag_f32_to_bf16(wide[h - 3]), h);
    }
}
END_TEST

START_TEST(narrowing_rounds_to_nearest_even)
{
    ck_assert_uint_eq(pdag_f32_to_f16(1.0f + 0x1p-11f), 0x3c00); /* tie, even */
    ck_assert_uint_eq(pdag_f32_to_f16(1.0f + 3 * 0x1p-11f), 0x3c02);
    ck_assert_uint_eq(pdag_f32_to_f16(1.0f + 0x1.2p-11f), 0x3c01);
    ck_assert_uint_eq(pdag_f32_to_f16(65519.0f), 0x7bff);
    ck_assert_uint_eq(pdag_f32_to_f16(65520.0f), 0x7c00); /* rounds to inf */
    ck_assert_uint_eq(pdag_f32_to_f16(0x1p-25f), 0);      /* tie with zero */
    ck_assert_uint_eq(pdag_f32_to_f16(0x1.8p-25f), 1);
    ck_assert_uint_eq(pdag_f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
    ck_assert_uint_eq(pdag_f32_to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);
    ck_assert(isnan(pdag_f16_to_f32(pdag_f32_to_f16(NAN))));
    ck_assert(isnan(pdag_bf16_to_f32(pdag_f32_to_bf16(NAN))));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor");
    TCase *tcase = tcase_create("16-bit floats");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, every_half_widens_exactly);
    tcase_add_test(tcase, every_bfloat16_widens_exactly);
    tcase_add_test(tcase, narrowing_rounds_to_nearest_even);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
