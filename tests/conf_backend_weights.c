/* Conformance of weight_create(). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/conf_backend.h"

/* The file's element type does not matter, nor does a missing alignment. */
START_TEST(test_weight_types)
{
    enum { IN = 21, OUT = 18, N = IN * OUT };
    unsigned char bytes[N * 8 + 1];
    static const pdag_dtype types[] = {PDAG_F32, PDAG_F16, PDAG_BF16, PDAG_F64};

    conf_open(_i);
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        const pdag_tensor_view view = {
            "w", bytes + 1, types[t], 4, {OUT, IN, 1, 1}};
        const pdag_weight_desc desc = {
            .kind = PDAG_WEIGHT_LINEAR, .n_parts = 1, .part = {&view}};
        conf_weight w;

        for (size_t i = 0; i < N; i++) {
            /* exact in every type */
            const float value = roundf(conf_uniform() * 64.0f) / 64.0f;
            const uint16_t half = types[t] == PDAG_F16
                                      ? pdag_f32_to_f16(value)
                                      : pdag_f32_to_bf16(value);
            const double wide = (double)value;
            const void *from = types[t] == PDAG_F32   ? (const void *)&value
                               : types[t] == PDAG_F64 ? (const void *)&wide
                                                      : (const void *)&half;
            const size_t size = pdag_dtype_size(types[t]);

            memcpy(bytes + 1 + i * size, from, size);
        }
        w = conf_weights(&desc);
        memset(bytes, 0xff, sizeof bytes); /* the views may go away */
        conf_run_linear(w, 5, IN, OUT, PDAG_ACT_NONE, NO_RESIDUAL);
        conf_weights_destroy(w);
    }
    conf_close();
}
END_TEST

static void expect_shape_error(const pdag_weight_desc *desc, const char *name)
{
    pdag_weight *w = NULL;

    ck_assert_int_eq(conf_test->ops->weight_create(conf_test, desc, &w),
                     PDAG_ERR_SHAPE);
    ck_assert(w == NULL);
    ck_assert_msg(strstr(pdag_error_text(), name) != NULL, "%s",
                  pdag_error_text());
}

START_TEST(test_weight_errors)
{
    static const float zeros[256];
    const pdag_tensor_view good = {"good.w", zeros, PDAG_F32, 2, {4, 6}};
    const pdag_tensor_view narrow = {"narrow.w", zeros, PDAG_F32, 2, {4, 5}};
    const pdag_tensor_view flat = {"flat.w", zeros, PDAG_F32, 1, {24}};
    const pdag_tensor_view conv = {"conv.w", zeros, PDAG_F32, 4, {4, 6, 3, 3}};
    const pdag_tensor_view bias = {"good.b", zeros, PDAG_F32, 1, {4}};
    const pdag_tensor_view off = {"off.b", zeros, PDAG_F32, 1, {5}};
    pdag_weight_desc desc = {
        .kind = PDAG_WEIGHT_LINEAR, .n_parts = 2, .part = {&good, &narrow}};

    conf_open(_i);
    expect_shape_error(&desc, "narrow.w");
    desc.part[1] = &flat;
    expect_shape_error(&desc, "flat.w");
    desc.part[1] = &conv;
    expect_shape_error(&desc, "conv.w");
    desc.part[1] = &good;
    desc.bias[0] = &bias;
    expect_shape_error(&desc, "good.w"); /* the second part has no bias */
    desc.bias[1] = &off;
    expect_shape_error(&desc, "off.b");
    desc = (pdag_weight_desc){
        .kind = PDAG_WEIGHT_CONV2D, .n_parts = 1, .part = {&conv}, .stride = 3};
    expect_shape_error(&desc, "stride");
    desc.part[0] = &good;
    desc.stride = 1;
    expect_shape_error(&desc, "good.w");
    desc = (pdag_weight_desc){
        .kind = PDAG_WEIGHT_VECTOR, .n_parts = 1, .part = {&good}};
    expect_shape_error(&desc, "good.w");
    conf_test->ops->weight_destroy(conf_test, NULL);
    conf_test->ops->free(conf_test, NULL);
    conf_test->ops->close(NULL);
    conf_close();
}
END_TEST

void conf_add_weights(Suite *suite)
{
    TCase *tc = tcase_create("weights");

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_weight_types, 0, conf_n_variants);
    tcase_add_loop_test(tc, test_weight_errors, 0, conf_n_variants);
    suite_add_tcase(suite, tc);
}
