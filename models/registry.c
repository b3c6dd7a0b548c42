#include "models/registry.h"

#include <stdio.h>
#include <string.h>

static const pdag_network_class *const networks[] = {
    &pdag_network_dit,
    &pdag_network_transformer2d,
    &pdag_network_unet2d_condition,
    &pdag_network_unet2d,
    &pdag_network_unet1d,
    NULL,
};

const pdag_network_class *const *pdag_network_list(void)
{
    return networks;
}

pdag_status pdag_network_find(const pdag_json *config,
                              const pdag_network_class **class_out)
{
    const char *name;
    char known[200] = "";
    pdag_status status = pdag_json_string(config, "_class_name", NULL, &name);

    if (status != PDAG_OK)
        return status;
    for (size_t i = 0; networks[i] != NULL; i++) {
        size_t used = strlen(known);

        if (name != NULL && strcmp(networks[i]->name, name) == 0) {
            *class_out = networks[i];
            return PDAG_OK;
        }
        snprintf(known + used, sizeof known - used, " %s", networks[i]->name);
    }
    return pdag_error(
        PDAG_ERR_UNSUPPORTED,
        "%s: _class_name: %.100s is not a known network; known:%s",
        config->path, name != NULL ? name : "missing", known);
}
