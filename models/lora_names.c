#include "models/lora_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char style_diffusers[] = "diffusers";
static const char style_peft[] = "peft";
static const char style_processor[] = "attention-processor";
static const char style_kohya[] = "kohya";

/* How names end.  Longer endings come before those that they contain. */
static const struct ending {
    const char *text;
    pdag_lora_role role;
    const char *style;
} endings[] = {
    {".lora.down.weight", PDAG_LORA_DOWN, style_diffusers},
    {".lora.up.weight", PDAG_LORA_UP, style_diffusers},
    {".lora_linear_layer.down.weight", PDAG_LORA_DOWN, style_diffusers},
    {".lora_linear_layer.up.weight", PDAG_LORA_UP, style_diffusers},
    {".lora_A.default.weight", PDAG_LORA_DOWN, style_peft},
    {".lora_B.default.weight", PDAG_LORA_UP, style_peft},
    {".lora_A.weight", PDAG_LORA_DOWN, style_peft},
    {".lora_B.weight", PDAG_LORA_UP, style_peft},
    {"_lora.down.weight", PDAG_LORA_DOWN, style_processor},
    {"_lora.up.weight", PDAG_LORA_UP, style_processor},
    {".lora_down.weight", PDAG_LORA_DOWN, style_kohya},
    {".lora_up.weight", PDAG_LORA_UP, style_kohya},
    {"_lora.alpha", PDAG_LORA_ALPHA, style_processor},
    {".lora.alpha", PDAG_LORA_ALPHA, NULL},
    {".alpha", PDAG_LORA_ALPHA, NULL},
};

/* Inside names of adapters that are no LoRA. */
static const char *const other_kinds[] = {
    ".dora_scale", ".lora_magnitude_vector", ".hada_",
    ".lokr_",      ".lora_mid.",             ".lora_embedding_"};

/* How names begin.  A name without any of these is the network's. */
static const struct beginning {
    const char *text;
    pdag_lora_part part;
} beginnings[] = {
    {"lora_unet_", PDAG_LORA_NETWORK},   {"lora_te_", PDAG_LORA_TEXT},
    {"lora_te1_", PDAG_LORA_TEXT},       {"unet.", PDAG_LORA_NETWORK},
    {"text_encoder.", PDAG_LORA_TEXT},   {"transformer.", PDAG_LORA_NETWORK},
};

/* The processors' names of layers, by part. */
static const struct layer {
    const char *old;
    const char *name[PDAG_LORA_N_PARTS];
} layers[] = {
    {"to_q", {"to_q", "q_proj"}},
    {"to_k", {"to_k", "k_proj"}},
    {"to_v", {"to_v", "v_proj"}},
    {"to_out", {"to_out.0", "out_proj"}},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static const struct ending *find_ending(const char *tensor)
{
    size_t length = strlen(tensor);

    for (size_t i = 0; i < COUNT(endings); i++) {
        size_t n = strlen(endings[i].text);

        if (length > n && strcmp(tensor + length - n, endings[i].text) == 0)
            return &endings[i];
    }
    return NULL;
}

static bool is_other_kind(const char *tensor)
{
    for (size_t i = 0; i < COUNT(other_kinds); i++)
        if (strstr(tensor, other_kinds[i]) != NULL)
            return true;
    return false;
}

char *pdag_lora_flatten(pdag_lora_part part, const char *module)
{
    static const char text_model[] = "text_model";
    size_t n = sizeof text_model - 1;
    char *flat;

    if (part == PDAG_LORA_TEXT && begins_with(module, text_model) &&
        (module[n] == '.' || module[n] == '_'))
        module += n + 1;
    flat = pdag_xstrdup(module);
    for (char *c = flat; *c != '\0'; c++)
        if (*c == '.')
            *c = '_';
    return flat;
}

/* "NAME.processor.to_out" to "NAME.to_out.0"; malloc'ed. */
static char *name_processor(pdag_lora_part part, const char *module)
{
    static const char processor[] = ".processor";
    const char *last = strrchr(module, '.');
    size_t before;

    if (last == NULL)
        return pdag_xstrdup(module);
    before = (size_t)(last - module);
    last++;
    for (size_t i = 0; i < COUNT(layers); i++)
        if (strcmp(last, layers[i].old) == 0)
            last = layers[i].name[part];
    if (before >= sizeof processor - 1 &&
        strncmp(module + before - (sizeof processor - 1), processor,
                sizeof processor - 1) == 0)
        before -= sizeof processor - 1;
    return pdag_xasprintf("%.*s.%s", (int)before, module, last);
}

void pdag_lora_name_parse(const char *tensor, pdag_lora_name *name_out)
{
    static const char wrapper[] = "base_model.model.";
    pdag_lora_name name = {.role = PDAG_LORA_NO_ADAPTER};
    const struct ending *ending = find_ending(tensor);
    char *module;

    if (ending == NULL || is_other_kind(tensor)) {
        if (is_other_kind(tensor))
            name.role = PDAG_LORA_OTHER_KIND;
        *name_out = name;
        return;
    }
    name.role = ending->role;
    name.style = ending->role == PDAG_LORA_ALPHA ? NULL : ending->style;
    module = pdag_xstrndup(tensor, strlen(tensor) - strlen(ending->text));
    tensor = module;
    if (begins_with(tensor, wrapper))
        tensor += sizeof wrapper - 1;
    for (size_t i = 0; i < COUNT(beginnings); i++)
        if (begins_with(tensor, beginnings[i].text)) {
            tensor += strlen(beginnings[i].text);
            name.part = beginnings[i].part;
            break;
        }
    if (ending->style == style_processor) {
        char *renamed = name_processor(name.part, tensor);

        name.module = pdag_lora_flatten(name.part, renamed);
        free(renamed);
    } else {
        name.module = pdag_lora_flatten(name.part, tensor);
    }
    free(module);
    *name_out = name;
}

bool pdag_lora_is_name(const char *tensor)
{
    const struct ending *ending = find_ending(tensor);

    return ending != NULL && ending->role != PDAG_LORA_ALPHA;
}
