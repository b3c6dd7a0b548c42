/** models/inspect.h: describe a model directory, a part's folder or a weight
 * file without running it: what `picard-dag inspect` prints. */
#ifndef PDAG_MODELS_INSPECT_H
#define PDAG_MODELS_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/tensor.h"
#include "models/layers_base.h"
#include "models/pipeline.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PDAG_N_DTYPES 7 /* PDAG_F64 .. PDAG_U8 */

/** One part, or one weight file.  Texts are owned by the inspection. */
typedef struct pdag_part_info {
    char *name; /* "unet", "vae", "text_encoder", "tokenizer", "weights" */
    char *path; /* its folder or file */
    char *class_name; /* as its config says; "" where it says nothing */
    size_t n_files, n_tensors;
    uint64_t n_parameters, bytes;
    size_t n_of_dtype[PDAG_N_DTYPES]; /* tensors, indexed by pdag_dtype */
    pdag_findings findings; /* missing (or of a wrong shape), unused tensors */
    char **unknown_keys;    /* [n_unknown_keys], of config.json: tolerated */
    size_t n_unknown_keys;
    char *error; /* why it cannot be loaded; NULL: it can */
} pdag_part_info;

/** A LoRA file. */
typedef struct pdag_lora_info {
    size_t n_adapters; /* of network and text encoder */
    size_t n_text;     /* of the text encoder */
    size_t min_rank, max_rank;
} pdag_lora_info;

typedef struct pdag_inspection {
    char *path;
    char *format;          /* "pipeline", "part", "lora" or "weights" */
    char *class_name;      /* "" where nothing says; of a LoRA its style */
    pdag_part_info *parts; /* [n_parts] */
    size_t n_parts;
    char **ignored; /* [n_ignored]: parts that it has and that are not used */
    size_t n_ignored;
    bool runnable;           /* the program could run it */
    char *error;             /* why not; NULL where runnable */
    pdag_pipeline_info info; /* where runnable */
    pdag_lora_info lora;     /* of a LoRA */
} pdag_inspection;

/** Look at `path`.  What is wrong inside is told in the inspection;
 *  PDAG_ERR_INPUT (nothing there), _UNSUPPORTED (nothing that we know): no
 *  inspection. */
pdag_status pdag_inspect(const char *path, pdag_inspection *inspection_out);
/** Of a LoRA: whether it fits the model in directory `model`; sets `runnable` and
 *  `error` accordingly. */
void pdag_inspection_try_model(pdag_inspection *inspection, const char *model);
void pdag_inspection_clear(pdag_inspection *inspection);

#ifdef __cplusplus
}
#endif
#endif
