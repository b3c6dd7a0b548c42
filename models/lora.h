/** models/lora.h: a file of low-rank adapters.  Source: Hu et al. 2021,
 *  arXiv:2106.09685: W = W0 + scale (alpha / rank) up down.
 *
 *  Naming styles (NAME: the module as the network names it, "NA_ME": the same
 *  with underscores for dots):
 *
 *      diffusers            unet.NAME.lora.down.weight, .lora.up.weight
 *      peft                 [base_model.model.][unet.]NAME.lora_A.weight, .lora_B
 *      attention-processor  NAME.processor.to_q_lora.down.weight, .up.weight
 *      kohya                lora_unet_NA_ME.lora_down.weight, .lora_up.weight
 *
 *  transformer. stands for unet. too, with text_encoder. or lora_te_ for the text
 *  encoder.  alpha: NAME.alpha, else
 *  the metadata that diffusers writes (lora_adapter_metadata), else the
 *  adapter_config.json that peft writes beside the file, else the rank.
 *
 *  Files come from strangers; what is no adapter, or one of another kind (DoRA,
 *  LoHa, LoKr, LoCon's third factor), is refused by name. */
#ifndef PDAG_MODELS_LORA_H
#define PDAG_MODELS_LORA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pdag_lora_part {
    PDAG_LORA_NETWORK,
    PDAG_LORA_TEXT,
    PDAG_LORA_N_PARTS
} pdag_lora_part;

/** One module's adapter.  down: [rank][in] or [rank][in][kh][kw]; up:
 *  [out][rank] or [out][rank][1][1]; both in the mapped file. */
typedef struct pdag_lora_adapter {
    pdag_lora_part part;
    char *module; /* with underscores for dots */
    const pdag_tensor_view *down, *up;
    size_t rank;
    double factor; /* alpha / rank, or alpha / sqrt(rank) (rsLoRA) */
    bool used;     /* found by a module that was built */
} pdag_lora_adapter;

/** Opaque; owned by the caller. */
typedef struct pdag_lora pdag_lora;

/** PDAG_ERR_INPUT and the errors of pdag_safetensors_open(); _FORMAT (a factor
 *  without its other, ranks that differ, two adapters of one module, keys that
 *  belong to no LoRA, an alpha that is no number), _UNSUPPORTED (other kinds). */
pdag_status pdag_lora_open(const char *path, pdag_lora **lora_out);
void pdag_lora_close(pdag_lora *lora); /* NULL is allowed */

const char *pdag_lora_path(const pdag_lora *lora);
const char *pdag_lora_style(const pdag_lora *lora); /* of its first key */

/** Adapters, sorted by part and module. */
size_t pdag_lora_count(const pdag_lora *lora);
const pdag_lora_adapter *pdag_lora_at(const pdag_lora *lora, size_t index);

/** The adapter of a module named with dots ("mid_block.resnets.0.conv1"),
 *  marked as used, or NULL. */
const pdag_lora_adapter *pdag_lora_find(pdag_lora *lora, pdag_lora_part part,
                                        const char *module);

/** Whether every adapter found its module; `model` names the model in the text,
 *  which lists the first ten.  PDAG_ERR_FORMAT. */
pdag_status pdag_lora_check_used(const pdag_lora *lora, const char *model);

/** Whether the file's names look like those of a LoRA (of any style). */
bool pdag_lora_is_name(const char *tensor);

#ifdef __cplusplus
}
#endif
#endif
