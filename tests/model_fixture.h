/* tests/model_fixture.h: paths and expected tensors of tests/data/models, and
   the backends that a test can run on. */
#ifndef PDAG_TESTS_MODEL_FIXTURE_H
#define PDAG_TESTS_MODEL_FIXTURE_H

#include <stddef.h>

#include "backend/backend.h"
#include "models/pipeline.h"
#include "models/weights.h"

#define FIXTURE_PATH_BYTES 1024

/* $srcdir/tests/data/models/NAME */
void fixture_path(const char *name, char out[FIXTURE_PATH_BYTES]);

/* Tensor NAME of FOLDER/expected.safetensors as float32; free().  Its count
   must be `count`, or any where count is 0. */
float *fixture_tensor(const char *folder, const char *name, size_t count,
                      size_t *count_out);

/* All backends that open here in float32, between the two. */
#define FIXTURE_MAX_BACKENDS 8
extern pdag_backend *backends[FIXTURE_MAX_BACKENDS];
extern size_t n_backends; /* not 0 */
void open_backends(void);
void close_backends(void);

/* Fails the test, with the recorded text, unless PDAG_OK. */
void must(pdag_status status);

/* Fails the test unless max |a - b| <= bound * RMS of b, and says how far. */
void fixture_compare(const char *what, size_t count, const float *a,
                     const float *b, double bound);

/* What the pipeline at `path`, loaded for this alone, evaluates `rows` rows to:
   x [rows][D], t [rows], raw condition; eps_out [rows][D]. */
void fixture_eval(const char *path, pdag_backend *be,
                  const pdag_pipeline_opts *opts, size_t rows, const float *x,
                  const float *t, const float *cond, size_t mix, float *eps_out);

/* All of fixture NAME into `folder`, a temporary_folder(), over what is there, to
   be written to. */
void fixture_copy(const char *name, const char *folder);

/* KEY of folder/FILE, an object, becomes `value`, a JSON text; NULL: taken out. */
void fixture_change(const char *folder, const char *file, const char *key,
                    const char *value);

/* Fresh memory filled with not-a-number; free(). */
float *fixture_poison(size_t count);

#endif
