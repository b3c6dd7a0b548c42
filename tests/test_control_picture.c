/* control/picture: areas come out as covered, edges are smooth, frames lie where
   they should; and the scene of PushT shows what is where. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "base/rng_numpy.h"
#include "control/picture.h"
#include "control/pusht_picture.h"

static const pdag_color black = {0, 0, 0};
static const double turn = 6.28318530717958647692;

/* Sum of blackness over the picture: the drawn area. */
static double area_of(const pdag_picture *picture)
{
    double sum = 0;

    for (size_t j = 0; j < picture->height * picture->width; j++)
        sum += 1 - (double)picture->pixels[3 * j];
    return sum;
}

static float *pixel(const pdag_picture *picture, size_t x, size_t y)
{
    return picture->pixels + 3 * (y * picture->width + x);
}

START_TEST(test_polygons_cover_their_area)
{
    pdag_rng_numpy *rng = pdag_rng_numpy_create(3);

    for (int round = 0; round < 60; round++) {
        pdag_picture *picture = pdag_picture_create(40, 60);
        double angle = 7 * pdag_rng_numpy_uniform(rng);
        double direction = round % 2 == 0 ? 1 : -1;
        size_t n = 3 + (size_t)(round % 6);
        double radius = 2 + 16 * pdag_rng_numpy_uniform(rng);
        pdag_point corners[8];

        for (size_t j = 0; j < n; j++) {
            double at = angle + direction * turn * (double)j / (double)n;

            corners[j] = (pdag_point){30 + radius * cos(at), 20 + radius * sin(at)};
        }
        pdag_picture_polygon(picture, corners, n, black);
        ck_assert_double_eq_tol(area_of(picture),
                                0.5 * (double)n * radius * radius *
                                    sin(turn / (double)n),
                                1e-3);
        pdag_picture_destroy(picture);
    }
    pdag_rng_numpy_destroy(rng);
}
END_TEST

START_TEST(test_edges_are_clipped_and_smooth)
{
    pdag_picture *picture = pdag_picture_create(10, 10);
    const pdag_point box[4] = {{-5, 2.25}, {4.5, 2.25}, {4.5, 4}, {-5, 4}};

    pdag_picture_polygon(picture, box, 4, black);
    ck_assert_double_eq_tol(area_of(picture), 4.5 * 1.75, 1e-5);
    ck_assert_float_eq_tol(pixel(picture, 0, 2)[1], 0.25f, 1e-6f);
    ck_assert_float_eq_tol(pixel(picture, 4, 3)[2], 0.5f, 1e-6f);
    ck_assert_float_eq(pixel(picture, 3, 3)[0], 0);
    ck_assert_float_eq(pixel(picture, 5, 3)[0], 1);
    pdag_picture_fill(picture, (pdag_color){1, 1, 1});
    pdag_picture_disc(picture, (pdag_point){5, 5}, 3, black);
    ck_assert_double_eq_tol(area_of(picture), 3.14159265 * 9, 0.2);
    /* Far outside: nothing drawn, nothing broken. */
    pdag_picture_fill(picture, (pdag_color){1, 1, 1});
    pdag_picture_disc(picture, (pdag_point){1e9, -1e9}, 3, black);
    ck_assert_double_eq(area_of(picture), 0);
    pdag_picture_destroy(picture);
}
END_TEST

START_TEST(test_strips_lie_in_rows)
{
    pdag_strip *strip = pdag_strip_create(4, 3, 2);
    pdag_picture *frame = pdag_picture_create(4, 4);
    pdag_picture *whole;

    for (int j = 0; j < 5; j++) {
        float grey = (float)j / 8;

        pdag_picture_fill(frame, (pdag_color){grey, 0, 0});
        pdag_strip_add(strip, frame);
    }
    ck_assert_uint_eq(pdag_strip_count(strip), 5);
    whole = pdag_strip_join(strip);
    ck_assert_uint_eq(whole->height, 4 + 2 + 4);
    ck_assert_uint_eq(whole->width, 3 * 4 + 2 * 2);
    for (size_t j = 0; j < 5; j++)
        for (size_t y = 0; y < 4; y++)
            for (size_t x = 0; x < 4; x++)
                ck_assert_float_eq(
                    pixel(whole, j % 3 * 6 + x, j / 3 * 6 + y)[0], (float)j / 8);
    ck_assert_float_eq(pixel(whole, 4, 0)[1], 1); /* between */
    ck_assert_float_eq(pixel(whole, 13, 7)[1], 1); /* no sixth frame */
    pdag_picture_destroy(whole);
    pdag_picture_destroy(frame);
    pdag_strip_destroy(strip);
}
END_TEST

START_TEST(test_scene_shows_what_is_where)
{
    for (size_t side = 96; side <= 256; side += 80) {
        pdag_picture *picture = pdag_picture_create(side, side);
        pdag_pusht_state state = {{400, 100}, {0, 0}, {120, 320, 0}};
        const float action[2] = {440, 440};
        double scale = (double)side / 512;
        const float *at;

        pdag_pusht_draw(&state, action, picture);
        at = pixel(picture, (size_t)(400 * scale), (size_t)(100 * scale));
        ck_assert(at[2] > at[0] && at[2] > at[1]); /* the agent: blue */
        at = pixel(picture, (size_t)(120 * scale), (size_t)(400 * scale));
        ck_assert(at[0] < 0.6f && at[2] > at[0]); /* the block's stem: grey */
        at = pixel(picture, (size_t)(245 * scale), (size_t)(266 * scale));
        ck_assert(at[1] > 0.9f && at[0] < 0.7f); /* the goal: green */
        at = pixel(picture, (size_t)(440 * scale), (size_t)(440 * scale));
        ck_assert(at[0] > 0.6f && at[1] < 0.6f); /* the action: red */
        pdag_pusht_draw(&state, NULL, picture);
        ck_assert_float_eq(at[1], 1); /* no action, no cross */
        pdag_picture_destroy(picture);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control/picture");
    TCase *tcase = tcase_create("picture");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, test_polygons_cover_their_area);
    tcase_add_test(tcase, test_edges_are_clipped_and_smooth);
    tcase_add_test(tcase, test_strips_lie_in_rows);
    tcase_add_test(tcase, test_scene_shows_what_is_where);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
