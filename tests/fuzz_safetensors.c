/* Fuzz target: a safetensors file. */
#include "models/safetensors.h"
#include "models/weights.h"
#include "tests/fuzz.h"

/* Every byte that a view names can be read. */
static unsigned touch(const pdag_tensor_view *view)
{
    const unsigned char *data = view->data;
    size_t bytes = pdag_tensor_count(view) * pdag_dtype_size(view->dtype);
    unsigned sum = 0;

    for (size_t i = 0; i < bytes; i++)
        sum += data[i];
    return sum;
}

void fuzz_safetensors(const uint8_t *data, size_t size)
{
    pdag_safetensors *file;
    pdag_weights *weights;

    fuzz_write("a.safetensors", data, size);
    if (pdag_safetensors_open(fuzz_path("a.safetensors"), &file) != PDAG_OK) {
        FUZZ_CHECK(pdag_error_text()[0] != '\0');
        return;
    }
    for (size_t i = 0; i < pdag_safetensors_count(file); i++) {
        const pdag_tensor_view *view = pdag_safetensors_at(file, i);
        unsigned sum = touch(view);

        pdag_safetensors_release(file, view);
        FUZZ_CHECK(touch(view) == sum);
    }
    pdag_safetensors_close(file);
    FUZZ_CHECK(pdag_weights_open_file(fuzz_path("a.safetensors"), &weights) ==
               PDAG_OK);
    for (size_t i = 0; i < pdag_weights_count(weights); i++)
        FUZZ_CHECK(pdag_weights_find(weights,
                                     pdag_weights_at(weights, i)->name) ==
                   pdag_weights_at(weights, i));
    FUZZ_CHECK(pdag_weights_check_used(weights) == PDAG_OK);
    pdag_weights_close(weights);
}
