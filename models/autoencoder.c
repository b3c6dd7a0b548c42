#include "models/autoencoder.h"

#include <string.h>

static const pdag_autoencoder_ops *const classes[] = {
    &pdag_autoencoder_class_kl,
    &pdag_autoencoder_class_vq,
};

pdag_status pdag_autoencoder_find(const pdag_json *config,
                                  const pdag_autoencoder_ops **ops_out)
{
    const char *name;

    PDAG_TRY(pdag_json_string(config, "_class_name", classes[0]->name, &name));
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strcmp(classes[i]->name, name) == 0) {
            *ops_out = classes[i];
            return PDAG_OK;
        }
    return pdag_error(PDAG_ERR_UNSUPPORTED,
                      "%s: _class_name: %.100s is not a known autoencoder; "
                      "known: %s %s",
                      config->path, name, classes[0]->name, classes[1]->name);
}

pdag_status pdag_autoencoder_load(pdag_builder *b, bool encoder,
                                  pdag_autoencoder **autoencoder_out)
{
    const pdag_autoencoder_ops *ops;

    PDAG_TRY(pdag_autoencoder_find(&b->config, &ops));
    return ops->load(b, encoder, autoencoder_out);
}

void pdag_autoencoder_destroy(pdag_autoencoder *autoencoder)
{
    if (autoencoder != NULL)
        autoencoder->ops->destroy(autoencoder);
}
