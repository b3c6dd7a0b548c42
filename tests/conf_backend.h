/* What the files of the backend conformance suite share: the pair under test,
 * tensors and weights on both sides, comparison.  See conf_backend.c. */
#ifndef PDAG_TESTS_CONF_BACKEND_H
#define PDAG_TESTS_CONF_BACKEND_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"

/* One thing to test: a backend that opens here, in one precision. */
typedef struct conf_variant {
    const pdag_backend_ops *ops;
    pdag_precision precision;
} conf_variant;

#define CONF_MAX_VARIANTS 16

extern conf_variant conf_variants[CONF_MAX_VARIANTS];
extern int conf_n_variants;

/* The pair under test and the state of the generator. */
extern pdag_backend *conf_ref;
extern pdag_backend *conf_test;
extern uint64_t conf_random_state;

/* A tensor on both sides; `host` is what was uploaded, NULL for an output. */
typedef struct conf_tensor {
    size_t n;
    float *host;
    pdag_buf ref, test;
} conf_tensor;

/* A weight on both sides. */
typedef struct conf_weight {
    pdag_weight *ref, *test;
} conf_weight;

typedef enum conf_residual { NO_RESIDUAL, OTHER, IN_PLACE } conf_residual;

void conf_open(int variant);
void conf_close(void);
void conf_ok(pdag_status status);

/* Uniform in [-1, 1). */
float conf_uniform(void);
/* To the nearest value of the precision. */
float conf_round(pdag_precision precision, float value);
/* n numbers offset + scale * uniform, in the precision under test. */
float *conf_floats(size_t n, float scale, float offset);

/* Tensors live until conf_release(), which also checks that nobody changed an
 * input and that nothing was written behind a buffer.  conf_tensor_of() takes
 * over `values`; conf_output() starts as NaN; conf_give_up() marks an input
 * that the operation overwrites on purpose. */
conf_tensor *conf_tensor_of(size_t n, float *values);
conf_tensor *conf_input(size_t n);
conf_tensor *conf_output(size_t n);
void conf_give_up(conf_tensor *t);
void conf_release(void);
/* n numbers on the host; the caller frees. */
float *conf_fetch(pdag_backend *be, const pdag_buf *buf, size_t n);

/* Relative RMS against the bound of the precision, times `factor` for a case
 * that is ill conditioned. */
void conf_compare(const conf_tensor *y, const char *what);
void conf_compare_within(const conf_tensor *y, const char *what, double factor);
/* Copies must be exact, whatever the precision. */
void conf_compare_bits(const conf_tensor *y, const char *what);

/* The views and numbers are gone before the weight is used. */
conf_weight conf_weights(const pdag_weight_desc *desc);
conf_weight conf_linear(int parts, size_t in, const size_t *out, bool bias);
conf_weight conf_vector(size_t n, float offset);
void conf_weights_destroy(conf_weight w);
void conf_run_linear(conf_weight w, size_t m, size_t in, size_t out,
                     pdag_activation act, conf_residual residual);
pdag_slice conf_slice(const pdag_buf *buf, size_t offset, size_t batch_stride,
                      size_t row_stride);

/* Each file adds its tests. */
void conf_add_definition(Suite *suite);
void conf_add_dense(Suite *suite);
void conf_add_weights(Suite *suite);
void conf_add_rows(Suite *suite);
void conf_add_elements(Suite *suite);

#endif
