/** models/registry.h: the networks the program knows, by the class name of
 * their config.json.  A new network is one file and one row of registry.c. */
#ifndef PDAG_MODELS_REGISTRY_H
#define PDAG_MODELS_REGISTRY_H

#include "models/config.h"
#include "models/denoiser.h"
#include "models/layers_base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pdag_network_class {
    const char *name; /* `_class_name` of config.json */
    /** Keys it reads, or knows and ignores: inspect lists the others. */
    const pdag_config_rule *keys;
    /** Build from the part that `b` reads; without a backend only check: the
     *  result then only has its dimensions and can be destroyed. */
    pdag_status (*load)(pdag_builder *b, pdag_denoiser **model_out);
} pdag_network_class;

/** NULL-terminated. */
const pdag_network_class *const *pdag_network_list(void);

/** PDAG_ERR_UNSUPPORTED naming `config` and listing what is known. */
pdag_status pdag_network_find(const pdag_json *config,
                              const pdag_network_class **class_out);

extern const pdag_network_class pdag_network_dit;
extern const pdag_network_class pdag_network_transformer2d;
extern const pdag_network_class pdag_network_unet1d;
extern const pdag_network_class pdag_network_unet2d;
extern const pdag_network_class pdag_network_unet2d_condition;

#ifdef __cplusplus
}
#endif
#endif
