/* Fuzz target: the files of a tokenizer and a prompt.  Input: records with form
   feeds between them; the first letter of a record says what the rest is:

       j  tokenizer.json           c  tokenizer_config.json
       v  vocab.json               s  special_tokens_map.json
       m  merges.txt               a  added_tokens.json
       p  the prompt */
#include <string.h>

#include "models/clip_tokenizer.h"
#include "tests/fuzz.h"

#define N_TOKENS 20

static const struct {
    uint8_t letter;
    const char *name;
} files[] = {{'j', "tokenizer.json"},         {'v', "vocab.json"},
             {'m', "merges.txt"},             {'c', "tokenizer_config.json"},
             {'s', "special_tokens_map.json"}, {'a', "added_tokens.json"}};

#define N_FILES (sizeof files / sizeof files[0])

static void encode(const pdag_clip_tokenizer *tokenizer, const char *prompt)
{
    size_t vocabulary = pdag_clip_tokenizer_vocab_size(tokenizer);
    int32_t ids[N_TOKENS];

    memset(ids, 0xa5, sizeof ids);
    if (pdag_clip_tokenizer_encode(tokenizer, prompt, N_TOKENS, ids) != PDAG_OK)
        return;
    for (int i = 0; i < N_TOKENS; i++)
        FUZZ_CHECK(ids[i] >= 0 && (size_t)ids[i] < vocabulary);
}

void fuzz_tokenizer(const uint8_t *data, size_t size)
{
    fuzz_record record = {NULL, 0}, prompt = {NULL, 0};
    pdag_clip_tokenizer *tokenizer;
    int is_there[N_FILES] = {0};
    size_t at = 0;
    char *text;

    while (fuzz_next(data, size, &at, &record)) {
        for (size_t i = 0; i < N_FILES && record.n > 0; i++)
            if (record.bytes[0] == files[i].letter) {
                fuzz_write(files[i].name, record.bytes + 1, record.n - 1);
                is_there[i] = 1;
            }
        if (record.n > 0 && record.bytes[0] == 'p')
            prompt = (fuzz_record){record.bytes + 1, record.n - 1};
    }
    for (size_t i = 0; i < N_FILES; i++)
        if (!is_there[i])
            fuzz_remove(files[i].name);
    if (pdag_clip_tokenizer_load(fuzz_folder(), &tokenizer) != PDAG_OK) {
        FUZZ_CHECK(pdag_error_text()[0] != '\0');
        return;
    }
    text = calloc(prompt.n + 1, 1);
    FUZZ_CHECK(text != NULL);
    if (prompt.n > 0)
        memcpy(text, prompt.bytes, prompt.n);
    encode(tokenizer, text);
    encode(tokenizer, "a photo of 2 Cats!");
    free(text);
    pdag_clip_tokenizer_destroy(tokenizer);
}
