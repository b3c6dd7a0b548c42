/* tests/conf_denoiser.c: what every denoiser must do, run for each network of
   the fixtures, the Gaussian oracle, and guidance around a network. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "models/layout.h"
#include "models/registry.h"
#include "tests/model_fixture.h"

#define ROWS 3

static pdag_backend *be; /* the first: what is under test is not the backend */

/* A variant and how it is made; `inner` is NULL but for guidance. */
typedef struct subject {
    pdag_denoiser *model, *inner;
} subject;

static pdag_denoiser *load(const char *folder, size_t tokens)
{
    char path[FIXTURE_PATH_BYTES];
    const pdag_network_class *class;
    pdag_denoiser *model;
    pdag_builder b;

    fixture_path(folder, path);
    must(pdag_builder_open(&b, path, PDAG_WEIGHTS_DIFFUSERS, be));
    b.n_tokens = tokens;
    must(pdag_network_find(&b.config, &class));
    must(class->load(&b, &model));
    pdag_builder_close(&b);
    return model;
}

static subject make_gaussian(void)
{
    static const size_t shape[] = {3, 5, 2};
    static const double alpha_bar[] = {0.999, 0.9, 0.6, 0.2, 0.01};
    subject s = {NULL, NULL};

    must(pdag_gaussian_create(shape, 3, 4, 0.5, 11, alpha_bar, 5, &s.model));
    return s;
}

static subject make_condition(void)
{
    subject s = {load("unet-condition-odd", 5), NULL};

    return s;
}

static subject make_deep(void)
{
    subject s = {load("unet-condition-deep", 6), NULL};

    return s;
}

static subject make_plain(void)
{
    subject s = {load("ddpm-root", 0), NULL};

    return s;
}

static subject make_heads(void)
{
    subject s = {load("ddpm-heads/unet", 0), NULL};

    return s;
}

static subject make_guided(void)
{
    subject s = {NULL, load("unet-condition-odd", 5)};

    must(pdag_guidance_create(s.inner, 3.0f, 0, &s.model));
    return s;
}

static subject make_classes(void)
{
    subject s = {load("dit-pixels/transformer", 0), NULL};

    return s;
}

static subject make_guided_classes(void)
{
    subject s = {NULL, load("dit-odd/transformer", 0)};

    must(pdag_guidance_create(s.inner, 4.0f, 2, &s.model));
    return s;
}

static subject (*const makers[])(void) = {make_gaussian, make_condition,
                                          make_deep,     make_plain,
                                          make_heads,    make_guided,
                                          make_classes,  make_guided_classes};

static subject s;
static float *x, *t, *cond; /* [ROWS][D], [ROWS], [2][cond_dim] */
static pdag_condition *both[2];
static const pdag_condition *rows[ROWS];

static void set_up(void)
{
    open_backends();
    be = backends[0];
}

static void begin(int which)
{
    s = makers[which]();
    x = calloc(ROWS * s.model->dim, sizeof *x);
    t = calloc(ROWS, sizeof *t);
    cond = calloc(2 * s.model->cond_dim + 1, sizeof *cond);
    pdag_rng_counter_normal(5, 0, 0, ROWS * s.model->dim, x);
    pdag_rng_counter_normal(5, 1, 0, 2 * s.model->cond_dim, cond);
    for (size_t i = 0; i < 2 * s.model->cond_dim && s.model->n_classes > 0; i++)
        cond[i] = (float)((3 * i + 1) % (s.model->n_classes + 1));
    for (size_t i = 0; i < ROWS; i++)
        t[i] = 1.25f * (float)i;
    for (size_t i = 0; i < 2 && s.model->cond_dim > 0; i++)
        must(s.model->ops->condition_create(
            s.model, cond + i * s.model->cond_dim, &both[i]));
    for (size_t i = 0; i < ROWS; i++)
        rows[i] = both[i % 2];
}

static void end(void)
{
    for (size_t i = 0; i < 2 && s.model->cond_dim > 0; i++)
        s.model->ops->condition_destroy(s.model, both[i]);
    s.model->ops->destroy(s.model);
    if (s.inner != NULL)
        s.inner->ops->destroy(s.inner);
    free(x);
    free(t);
    free(cond);
}

static const pdag_condition *const *row_conditions(size_t first)
{
    return s.model->cond_dim > 0 ? rows + first : NULL;
}

START_TEST(dimensions)
{
    size_t dim = 1;

    begin(_i);
    ck_assert_int_ge(s.model->n_state_dims, 1);
    ck_assert_int_le(s.model->n_state_dims, PDAG_STATE_MAX_DIMS);
    for (int d = 0; d < s.model->n_state_dims; d++)
        dim *= s.model->state_dims[d];
    ck_assert_uint_eq(dim, s.model->dim);
    ck_assert_ptr_nonnull(s.model->ops->name);
    s.model->ops->destroy(NULL);
    end();
}
END_TEST

/* All of eps is written, inputs stay, and a second evaluation has the same
 * bits. */
START_TEST(repeatable)
{
    size_t count;
    float *kept;
    float *first;
    float *second;

    begin(_i);
    count = ROWS * s.model->dim;
    kept = malloc(count * sizeof *kept);
    memcpy(kept, x, count * sizeof *kept);
    first = fixture_poison(count);
    second = fixture_poison(count);
    must(s.model->ops->eval(s.model, ROWS, x, t, row_conditions(0), first));
    must(s.model->ops->eval(s.model, ROWS, x, t, row_conditions(0), second));
    fixture_compare("finite", count, first, first, 0.0);
    ck_assert_mem_eq(first, second, count * sizeof *first);
    ck_assert_mem_eq(kept, x, count * sizeof *kept);
    free(kept);
    free(first);
    free(second);
    end();
}
END_TEST

/* A row alone gives what it gives among others, up to the last bits. */
START_TEST(rows_independent)
{
    size_t dim;
    float *together;
    float *alone;

    begin(_i);
    dim = s.model->dim;
    together = fixture_poison(ROWS * dim);
    alone = fixture_poison(dim);
    must(s.model->ops->eval(s.model, ROWS, x, t, row_conditions(0), together));
    for (size_t i = 0; i < ROWS; i++) {
        must(s.model->ops->eval(s.model, 1, x + i * dim, t + i,
                                row_conditions(i), alone));
        fixture_compare("row", dim, alone, together + i * dim, 2e-5);
    }
    free(together);
    free(alone);
    end();
}
END_TEST

/* State, time and condition all matter. */
START_TEST(inputs_matter)
{
    size_t dim;
    float *base;
    float *other;

    begin(_i);
    dim = s.model->dim;
    base = fixture_poison(dim);
    other = fixture_poison(dim);
    must(s.model->ops->eval(s.model, 1, x, t + 1, row_conditions(0), base));
    must(s.model->ops->eval(s.model, 1, x, t + 2, row_conditions(0), other));
    ck_assert_mem_ne(base, other, dim * sizeof *base);
    must(s.model->ops->eval(s.model, 1, x + dim, t + 1, row_conditions(0),
                            other));
    ck_assert_mem_ne(base, other, dim * sizeof *base);
    if (s.model->cond_dim > 0) {
        must(
            s.model->ops->eval(s.model, 1, x, t + 1, row_conditions(1), other));
        ck_assert_mem_ne(base, other, dim * sizeof *base);
    }
    free(base);
    free(other);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conf_denoiser");
    TCase *all = tcase_create("all");
    const int n = sizeof makers / sizeof makers[0];
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(all, set_up, close_backends);
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, dimensions, 0, n);
    tcase_add_loop_test(all, repeatable, 0, n);
    tcase_add_loop_test(all, rows_independent, 0, n);
    tcase_add_loop_test(all, inputs_matter, 0, n);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
