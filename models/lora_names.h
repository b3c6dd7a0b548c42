/** models/lora_names.h: what the name of a tensor in a LoRA file means; for
 *  lora.c. */
#ifndef PDAG_MODELS_LORA_NAMES_H
#define PDAG_MODELS_LORA_NAMES_H

#include "models/lora.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pdag_lora_role {
    PDAG_LORA_DOWN,
    PDAG_LORA_UP,
    PDAG_LORA_ALPHA,
    PDAG_LORA_OTHER_KIND, /* an adapter, but no LoRA: DoRA, LoHa, .. */
    PDAG_LORA_NO_ADAPTER
} pdag_lora_role;

typedef struct pdag_lora_name {
    pdag_lora_role role;
    pdag_lora_part part;
    const char *style; /* static; NULL for an alpha, which all styles share */
    char *module; /* owned; underscores for dots, no text_model; may be NULL */
} pdag_lora_name;

/** Take a tensor's name apart.  Free name_out->module. */
void pdag_lora_name_parse(const char *tensor, pdag_lora_name *name_out);

/** A module name with underscores for dots, without a leading text_model where
 *  it is the text encoder's; malloc'ed. */
char *pdag_lora_flatten(pdag_lora_part part, const char *module);

#ifdef __cplusplus
}
#endif
#endif
