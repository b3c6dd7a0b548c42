/* tests/conf_solver_gains.c: histories save rounds.  Counts, not clocks: the
 * chains, and so the counts, are the same everywhere. */
#include "tests/conf_solver.h"

#define N 40
#define D 24

static size_t rounds(const char *method, const conf_chain *chain, size_t history,
                     size_t order)
{
    conf_setup setup = {.slope = 1.0, .history = history, .order = order};
    conf_run *run = conf_run_begin(chain, pdag_solver_find(method), &setup);
    size_t n = conf_rounds_to(run, 1e-4);

    conf_run_end(run);
    return n;
}

START_TEST(differences_save_rounds)
{
    static const struct {
        const char *method;
        size_t history, order;
    } cases[] = {{"secant", 4, 0},
                 {"triangular-anderson", 3, 0},
                 {"triangular-anderson", 3, 10}};

    for (uint64_t seed = 0; seed < 5; seed++) {
        conf_chain *chain = conf_chain_make(200 + seed, N, D, 1, 0.05f, 0.05f);
        size_t with = rounds(cases[_i].method, chain, cases[_i].history,
                             cases[_i].order);
        size_t without = rounds(cases[_i].method, chain, 0, cases[_i].order);

        ck_assert_msg(with < without, "%s: %zu rounds, %zu without history",
                      cases[_i].method, with, without);
        conf_chain_free(chain);
    }
}
END_TEST

TCase *conf_solver_gains(void)
{
    TCase *tcase = tcase_create("gains");

    tcase_add_loop_test(tcase, differences_save_rounds, 0, 3);
    return tcase;
}
