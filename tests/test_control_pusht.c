/* control/pusht: against the public environment's physics and geometry
   (tools/reference/pusht_reference.py), replays, walls, and what an environment
   promises.  Where the program has no Chipmunk, that it says so. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/rng_numpy.h"
#include "control/environment.h"
#include "control/pusht.h"

static bool has_physics(void)
{
    pdag_environment *env = NULL;
    pdag_status status = pdag_environment_open("pusht", &env);

    if (status != PDAG_OK) {
        ck_assert_int_eq(status, PDAG_ERR_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(pdag_error_text(), "libchipmunk-dev"));
    }
    pdag_environment_close(env);
    return status == PDAG_OK;
}

static pdag_json reference(void)
{
    const char *folder = getenv("srcdir");
    char path[512];
    pdag_json json;

    snprintf(path, sizeof path, "%s/tests/data/pusht/reference.json",
             folder != NULL ? folder : ".");
    ck_assert_int_eq(pdag_json_read(path, &json), PDAG_OK);
    return json;
}

static double number(const json_t *array, size_t at)
{
    return json_number_value(json_array_get(array, at));
}

static uint32_t seed_of(const json_t *object)
{
    return (uint32_t)json_integer_value(json_object_get(object, "seed"));
}

START_TEST(test_starts_are_numpys)
{
    pdag_json json = reference();
    json_t *starts = json_object_get(json.root, "starts");

    ck_assert_uint_ge(json_array_size(starts), 8);
    for (size_t j = 0; j < json_array_size(starts); j++) {
        const json_t *one = json_array_get(starts, j);
        const json_t *state = json_object_get(one, "state");
        pdag_pusht_state got = pdag_pusht_start(seed_of(one));

        ck_assert_double_eq(got.agent.x, number(state, 0));
        ck_assert_double_eq(got.agent.y, number(state, 1));
        ck_assert_double_eq(got.block.x, number(state, 2));
        ck_assert_double_eq(got.block.y, number(state, 3));
        ck_assert_double_eq_tol(got.block.angle, number(state, 4), 1e-13);
        ck_assert_double_eq(got.velocity.x, 0);
        ck_assert_double_eq(got.velocity.y, 0);
    }
    pdag_json_clear(&json);
}
END_TEST

START_TEST(test_coverage_is_shapelys)
{
    pdag_json json = reference();
    json_t *poses = json_object_get(json.root, "poses");
    double most = 0;

    ck_assert_uint_ge(json_array_size(poses), 40);
    for (size_t j = 0; j < json_array_size(poses); j++) {
        const json_t *row = json_array_get(poses, j);
        pdag_pose pose = {number(row, 0), number(row, 1), number(row, 2)};
        double got = pdag_tee_coverage(pose, pdag_tee_goal);

        ck_assert_double_eq_tol(got, number(row, 3), 1e-12);
        /* The same area, asked the other way round. */
        ck_assert_double_eq_tol(pdag_tee_coverage(pdag_tee_goal, pose), got, 1e-12);
        most = fmax(most, got);
    }
    ck_assert_double_gt(most, 0.9);
    ck_assert_double_eq_tol(pdag_tee_coverage(pdag_tee_goal, pdag_tee_goal), 1,
                            1e-12);
    ck_assert_double_eq(pdag_tee_coverage((pdag_pose){50, 50, 1}, pdag_tee_goal),
                        0);
    pdag_json_clear(&json);
}
END_TEST

static void check_row(const pdag_pusht *world, const json_t *row)
{
    pdag_pusht_state now = pdag_pusht_now(world);
    double tolerance = 1e-6; /* none is needed with Debian's Chipmunk */

    ck_assert_double_eq_tol(now.agent.x, number(row, 0), tolerance);
    ck_assert_double_eq_tol(now.agent.y, number(row, 1), tolerance);
    ck_assert_double_eq_tol(now.block.x, number(row, 2), tolerance);
    ck_assert_double_eq_tol(now.block.y, number(row, 3), tolerance);
    ck_assert_double_eq_tol(now.block.angle, number(row, 4), tolerance);
    ck_assert_double_eq_tol(pdag_tee_coverage(now.block, pdag_tee_goal),
                            number(row, 5), tolerance);
}

START_TEST(test_recorded_episodes_replay)
{
    pdag_json json;
    json_t *episodes;
    pdag_pusht *world = NULL;

    if (!has_physics())
        return;
    json = reference();
    episodes = json_object_get(json.root, "episodes");
    ck_assert_uint_ge(json_array_size(episodes), 4);
    ck_assert_int_eq(pdag_pusht_create(&world), PDAG_OK);
    for (size_t j = 0; j < json_array_size(episodes); j++) {
        const json_t *one = json_array_get(episodes, j);
        const json_t *actions = json_object_get(one, "actions");
        const json_t *rows = json_object_get(one, "rows");
        pdag_pusht_state start = pdag_pusht_start(seed_of(one));

        pdag_pusht_reset(world, &start);
        check_row(world, json_array_get(rows, 0));
        for (size_t step = 0; step < json_array_size(actions); step++) {
            const json_t *action = json_array_get(actions, step);

            pdag_pusht_step(world, number(action, 0), number(action, 1));
            check_row(world, json_array_get(rows, step + 1));
        }
        ck_assert_double_gt(fabs(pdag_pusht_now(world).block.x - start.block.x),
                            10);
    }
    pdag_pusht_destroy(world);
    pdag_json_clear(&json);
}
END_TEST

#define STEPS 80

/* Observations of an episode with targets about the block. */
static void episode(pdag_environment *env, uint32_t seed, float seen[STEPS][20])
{
    pdag_rng_numpy *rng = pdag_rng_numpy_create(seed);

    ck_assert_int_eq(pdag_environment_reset(env, seed), PDAG_OK);
    for (int step = 0; step < STEPS; step++) {
        pdag_environment_result result;
        float action[2];

        pdag_environment_observe(env, 20, seen[step]);
        for (int c = 0; c < 2; c++)
            action[c] = 0.5f * (seen[step][6 + c] + seen[step][18 + c]) +
                        (float)(30 * pdag_rng_numpy_normal(rng));
        ck_assert_int_eq(pdag_environment_step(env, action, &result), PDAG_OK);
        ck_assert(result.reward >= 0 && result.reward <= 1);
        ck_assert_double_eq_tol(result.reward, fmin(result.coverage / 0.95, 1),
                                1e-12);
        ck_assert_int_eq(result.success, result.coverage > 0.95);
    }
    pdag_rng_numpy_destroy(rng);
}

START_TEST(test_same_actions_same_bits)
{
    static float once[STEPS][20], again[STEPS][20], other[STEPS][20];
    pdag_environment *env = NULL;
    pdag_environment *fresh = NULL;

    if (!has_physics())
        return;
    ck_assert_int_eq(pdag_environment_open("pusht", &env), PDAG_OK);
    ck_assert_int_eq(pdag_environment_open("pusht", &fresh), PDAG_OK);
    episode(env, 100003, once);
    episode(env, 9, other);
    memset(again, 0x7f, sizeof again);
    episode(env, 100003, again); /* after another one in the same world */
    ck_assert_mem_eq(once, again, sizeof once);
    memset(again, 0x7f, sizeof again);
    episode(fresh, 100003, again);
    ck_assert_mem_eq(once, again, sizeof once);
    ck_assert_mem_ne(once, other, sizeof once);
    ck_assert_mem_ne(once[0], once[STEPS - 1], 18 * sizeof(float));
    pdag_environment_close(env);
    pdag_environment_close(fresh);
}
END_TEST

START_TEST(test_observations_fit_each_other)
{
    pdag_environment *env = NULL;
    float state[6], points[21];

    if (!has_physics())
        return;
    ck_assert_int_eq(pdag_environment_open("pusht", &env), PDAG_OK);
    for (uint64_t seed = 0; seed < 20; seed++) {
        pdag_pose pose;

        state[5] = points[20] = -77;
        ck_assert_int_eq(pdag_environment_reset(env, seed), PDAG_OK);
        pdag_environment_observe(env, 5, state);
        pdag_environment_observe(env, 20, points);
        ck_assert_float_eq(state[5], -77);
        ck_assert_float_eq(points[20], -77);
        ck_assert(state[4] >= 0 && state[4] < 6.2832f);
        ck_assert_float_eq(points[18], state[0]);
        ck_assert_float_eq(points[19], state[1]);
        pose = (pdag_pose){(double)state[2], (double)state[3], (double)state[4]};
        for (int j = 0; j < PDAG_TEE_KEYPOINTS; j++) {
            pdag_point at = pdag_pose_apply(pose, pdag_tee_keypoints[j]);

            ck_assert_double_eq_tol((double)points[2 * j], at.x, 1e-3);
            ck_assert_double_eq_tol((double)points[2 * j + 1], at.y, 1e-3);
        }
    }
    ck_assert_int_eq(pdag_environment_check_observation(env, 5), PDAG_OK);
    ck_assert_int_eq(pdag_environment_check_observation(env, 20), PDAG_OK);
    ck_assert_int_eq(pdag_environment_check_observation(env, 16), PDAG_ERR_SHAPE);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "5 or 20"));
    pdag_environment_close(env);
}
END_TEST

/* A block that is pushed against a wall for a while stays in the world, and stays
   where it is when it is left alone. */
START_TEST(test_walls_hold_the_block)
{
    pdag_pusht *world = NULL;
    pdag_pusht_state start = {{256, 256}, {0, 0}, {150, 150, 0.3}};
    pdag_pose left;

    if (!has_physics())
        return;
    ck_assert_int_eq(pdag_pusht_create(&world), PDAG_OK);
    pdag_pusht_reset(world, &start);
    for (int step = 0; step < 60; step++) {
        double part = fmin(step / 30.0, 1);

        pdag_pusht_step(world, 256 - 170 * part, 200 - 20 * part);
        for (int k = 0; k < PDAG_TEE_PARTS; k++)
            for (int j = 0; j < PDAG_TEE_CORNERS; j++) {
                pdag_point at = pdag_pose_apply(pdag_pusht_now(world).block,
                                                pdag_tee_parts[k][j]);

                ck_assert(at.x > 5 && at.x < 506 && at.y > 5 && at.y < 506);
            }
    }
    ck_assert_double_lt(pdag_pusht_now(world).block.x, 120);
    for (int step = 0; step < 20; step++)
        pdag_pusht_step(world, 400, 400);
    left = pdag_pusht_now(world).block;
    for (int step = 0; step < 20; step++)
        pdag_pusht_step(world, 450, 300);
    ck_assert_double_eq(pdag_pusht_now(world).block.x, left.x);
    ck_assert_double_eq(pdag_pusht_now(world).block.angle, left.angle);
    pdag_pusht_destroy(world);
}
END_TEST

START_TEST(test_success_is_over_95_percent)
{
    pdag_pusht_state state = {{60, 60}, {0, 0}, {256, 256, 0}};
    pdag_pusht *world = NULL;

    if (!has_physics())
        return;
    ck_assert_int_eq(pdag_pusht_create(&world), PDAG_OK);
    pdag_pusht_reset(world, &state);
    for (int side = -1; side <= 1; side += 2) {
        /* Along the bar: the overlap goes by 30 + 90 square pixels a pixel. */
        double shift = 6300 * 0.05 / 120 + side * 1e-3;
        double covered;

        state.block = pdag_tee_goal;
        state.block.x += shift * cos(pdag_tee_goal.angle);
        state.block.y += shift * sin(pdag_tee_goal.angle);
        pdag_pusht_place(world, &state);
        pdag_pusht_step(world, 60, 60);
        covered = pdag_tee_coverage(pdag_pusht_now(world).block, pdag_tee_goal);
        ck_assert_double_eq_tol(covered, 0.95 - side * 120e-3 / 6300, 1e-9);
        ck_assert_int_eq(covered > PDAG_PUSHT_SUCCESS, side < 0);
    }
    pdag_pusht_destroy(world);
}
END_TEST

START_TEST(test_bad_arguments)
{
    pdag_environment *env = NULL;
    pdag_environment_result result = {-7, -7, true};
    float before[5], after[5];
    static const float bad[3][2] = {{NAN, 1}, {1, -INFINITY}, {2e6f, 1}};

    ck_assert_int_eq(pdag_environment_open("cartpole", &env), PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "pusht"));
    ck_assert_ptr_null(env);
    if (!has_physics())
        return;
    ck_assert_int_eq(pdag_environment_open("pusht", &env), PDAG_OK);
    ck_assert_int_eq(pdag_environment_reset(env, 4294967295u), PDAG_OK);
    ck_assert_int_eq(pdag_environment_reset(env, 4294967296u), PDAG_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(pdag_error_text(), "4294967296"));
    pdag_environment_observe(env, 5, before);
    for (int j = 0; j < 3; j++) {
        ck_assert_int_eq(pdag_environment_step(env, bad[j], &result), PDAG_ERR_NAN);
        ck_assert_double_eq(result.reward, -7);
    }
    pdag_environment_observe(env, 5, after);
    ck_assert_mem_eq(before, after, sizeof before);
    pdag_environment_close(env);
}
END_TEST

/* The test's own process has made spaces already: a fresh one shows. */
static int be_silent(void)
{
    pdag_environment *env = NULL;
    pdag_environment_result result;
    float action[2] = {200, 200};

    if (pdag_environment_open("pusht", &env) != PDAG_OK)
        return 0;
    for (uint64_t seed = 0; seed < 3; seed++)
        if (pdag_environment_reset(env, seed) != PDAG_OK ||
            pdag_environment_step(env, action, &result) != PDAG_OK)
            return 1;
    pdag_environment_close(env);
    puts("only this");
    return 0;
}

START_TEST(test_standard_output_is_left_alone)
{
    char command[600], text[200] = "";
    FILE *pipe;
    size_t n;

    if (!has_physics())
        return;
    snprintf(command, sizeof command, "exec '%s' silent", getenv("PDAG_THIS_TEST"));
    pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    n = fread(text, 1, sizeof text - 1, pipe);
    ck_assert_int_eq(pclose(pipe), 0);
    text[n] = '\0';
    ck_assert_str_eq(text, "only this\n");
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *tcase;
    SRunner *runner;
    int failed;

    if (argc > 1 && strcmp(argv[1], "silent") == 0)
        return be_silent();
    suite = suite_create("control/pusht");
    tcase = tcase_create("pusht");
    runner = srunner_create(suite);
    setenv("PDAG_THIS_TEST", argv[0], 1);
    tcase_add_test(tcase, test_starts_are_numpys);
    tcase_add_test(tcase, test_coverage_is_shapelys);
    tcase_add_test(tcase, test_recorded_episodes_replay);
    tcase_add_test(tcase, test_same_actions_same_bits);
    tcase_add_test(tcase, test_observations_fit_each_other);
    tcase_add_test(tcase, test_walls_hold_the_block);
    tcase_add_test(tcase, test_success_is_over_95_percent);
    tcase_add_test(tcase, test_bad_arguments);
    tcase_add_test(tcase, test_standard_output_is_left_alone);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
