/* Fuzz target: a LoRA file.  Input: records, each up to a form feed: the
   adapter_config.json beside the file (empty: none) and the file's JSON header,
   whose length the target writes; the rest are the tensors' bytes. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "models/lora.h"
#include "models/mix.h"
#include "tests/fuzz.h"

#define FILE_NAME "lora.safetensors"
#define CONFIG "adapter_config.json"
#define MOST_ELEMENTS 4096

static void write_file(fuzz_record header, const uint8_t *data, size_t n)
{
    uint8_t *bytes = pdag_xcalloc(8 + header.n + n, 1);

    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)header.n >> (8 * i));
    memcpy(bytes + 8, header.bytes, header.n);
    if (n > 0)
        memcpy(bytes + 8 + header.n, data, n);
    fuzz_write(FILE_NAME, bytes, 8 + header.n + n);
    free(bytes);
}

static void check_adapter(const pdag_lora_adapter *adapter)
{
    FUZZ_CHECK(adapter->module != NULL);
    FUZZ_CHECK(adapter->rank == adapter->down->dims[0]);
    FUZZ_CHECK(adapter->rank == adapter->up->dims[1]);
    FUZZ_CHECK(isfinite(adapter->factor));
}

/* The weight that an adapter of the network changes, of zeros, mixed. */
static void mix_weight(pdag_lora *lora, const pdag_lora_adapter *adapter)
{
    static const float zeros[MOST_ELEMENTS];
    const pdag_mix_lora source = {lora, 0.5};
    char *name = pdag_xasprintf("%s.weight", adapter->module);
    pdag_mix mix = {.part = adapter->part, .loras = &source, .n_loras = 1};
    pdag_tensor_view weight = *adapter->down;
    const pdag_tensor_view *view = &weight;

    weight.name = name;
    weight.dtype = PDAG_F32;
    weight.data = zeros;
    weight.dims[0] = adapter->up->dims[0];
    if (pdag_tensor_count(&weight) <= MOST_ELEMENTS) {
        FUZZ_CHECK(pdag_mix_apply(&mix, name, false, &view) == PDAG_OK);
        FUZZ_CHECK(view != &weight && pdag_mix_is_pending(&mix));
        FUZZ_CHECK(pdag_tensor_count(view) == pdag_tensor_count(&weight));
    }
    weight.dims[0]++;
    view = &weight;
    FUZZ_CHECK(pdag_mix_apply(&mix, name, true, &view) == PDAG_ERR_SHAPE);
    pdag_mix_release(&mix);
    free(name);
}

void fuzz_lora(const uint8_t *data, size_t size)
{
    fuzz_record config, header;
    pdag_lora *lora;
    size_t at = 0;

    if (!fuzz_next(data, size, &at, &config) ||
        !fuzz_next(data, size, &at, &header))
        return;
    if (config.n > 0)
        fuzz_write(CONFIG, config.bytes, config.n);
    else
        fuzz_remove(CONFIG);
    at = at < size ? at : size; /* past the end where no form feed was left */
    write_file(header, data + at, size - at);
    if (pdag_lora_open(fuzz_path(FILE_NAME), &lora) != PDAG_OK) {
        FUZZ_CHECK(pdag_error_text()[0] != '\0');
        return;
    }
    FUZZ_CHECK(pdag_lora_count(lora) > 0 && pdag_lora_style(lora) != NULL);
    FUZZ_CHECK(pdag_lora_check_used(lora, "m") == PDAG_ERR_FORMAT);
    for (size_t i = 0; i < pdag_lora_count(lora); i++) {
        const pdag_lora_adapter *adapter = pdag_lora_at(lora, i);

        check_adapter(adapter);
        if (adapter->part != PDAG_LORA_NETWORK || adapter->module[0] == '\0')
            continue;
        FUZZ_CHECK(pdag_lora_find(lora, adapter->part, adapter->module) ==
                   adapter);
        mix_weight(lora, adapter);
    }
    pdag_lora_close(lora);
}
