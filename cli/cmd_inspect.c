#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/setup.h"
#include "models/inspect.h"

/* cli/cmd_inspect.c: picard-dag inspect PATH */

/* More than this many names of one kind are counted, not listed. */
#define MOST_NAMES 20

static json_t *names_json(char *const *names, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(names[i]));
    return list;
}

static json_t *dtypes_json(const pdag_part_info *part)
{
    json_t *dtypes = json_object();

    for (int d = 0; d < PDAG_N_DTYPES; d++)
        if (part->n_of_dtype[d] > 0)
            json_object_set_new(dtypes, pdag_dtype_name((pdag_dtype)d),
                                json_integer((json_int_t)part->n_of_dtype[d]));
    return dtypes;
}

static json_t *part_json(const pdag_part_info *part)
{
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:s?}", "name",
        part->name, "path", part->path, "class", part->class_name, "files",
        (json_int_t)part->n_files, "tensors", (json_int_t)part->n_tensors,
        "parameters", (json_int_t)part->n_parameters, "bytes",
        (json_int_t)part->bytes, "dtypes", dtypes_json(part), "missing",
        names_json(part->findings.missing, part->findings.n_missing), "unknown",
        names_json(part->findings.unused, part->findings.n_unused),
        "unknown_keys", names_json(part->unknown_keys, part->n_unknown_keys),
        "error", part->error);
}

static json_t *info_json(const pdag_pipeline_info *info)
{
    json_t *state = json_array();
    json_t *picture = json_null();
    json_t *names = json_array();
    json_t *json;

    for (int d = 0; d < info->n_state_dims; d++)
        json_array_append_new(state,
                              json_integer((json_int_t)info->state_dims[d]));
    if (info->has_picture)
        picture = json_pack("[I, I, I]", (json_int_t)info->picture_height,
                            (json_int_t)info->picture_width,
                            (json_int_t)info->picture_channels);
    json = json_pack("{s:s, s:o, s:o, s:b, s:I, s:I, s:I}", "network",
                     info->network_class, "state", state, "picture", picture,
                     "text", info->has_text, "tokens",
                     (json_int_t)info->n_tokens, "parameters",
                     (json_int_t)info->n_parameters, "bytes",
                     (json_int_t)info->weight_bytes);
    for (size_t i = 0; info->class_name_of != NULL && i < info->n_classes; i++)
        json_array_append_new(names, info->class_name_of[i] != NULL
                                         ? json_string(info->class_name_of[i])
                                         : json_null());
    json_object_set_new(json, "classes", json_integer((json_int_t)info->n_classes));
    json_object_set_new(json, "class_names", names);
    return json;
}

/* fits: every adapter was found to have its weight in a model. */
static json_t *lora_json(const pdag_lora_info *info, bool fits)
{
    json_t *matched =
        fits ? json_integer((json_int_t)info->n_adapters) : json_null();

    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "adapters",
                     (json_int_t)info->n_adapters, "text_encoder",
                     (json_int_t)info->n_text, "min_rank",
                     (json_int_t)info->min_rank, "max_rank",
                     (json_int_t)info->max_rank, "matched", matched);
}

static json_t *inspection_json(const pdag_inspection *in)
{
    json_t *parts = json_array();
    bool is_model = in->runnable && in->lora.n_adapters == 0;

    for (size_t i = 0; i < in->n_parts; i++)
        json_array_append_new(parts, part_json(&in->parts[i]));
    return json_pack("{s:s, s:s, s:s, s:b, s:s?, s:o, s:o, s:o, s:o}", "path",
                     in->path,
                     "format", in->format, "class", in->class_name, "runnable",
                     in->runnable, "error", in->error, "parts", parts, "ignored",
                     names_json(in->ignored, in->n_ignored), "model",
                     is_model ? info_json(&in->info) : json_null(), "lora",
                     in->lora.n_adapters > 0
                         ? lora_json(&in->lora, in->runnable)
                         : json_null());
}

static void print_names(const char *what, const json_t *names)
{
    size_t n = json_array_size(names);

    if (n == 0)
        return;
    printf("    %s (%zu):", what, n);
    for (size_t i = 0; i < n && i < MOST_NAMES; i++)
        printf(" %s", json_string_value(json_array_get(names, i)));
    printf(n > MOST_NAMES ? " ..\n" : "\n");
}

static void print_part(const json_t *part)
{
    const json_t *error = json_object_get(part, "error");
    const char *class = json_string_value(json_object_get(part, "class"));
    const char *type;
    json_t *count;

    printf("  %s: %s%s%lld tensors, %lld parameters, %lld bytes",
           json_string_value(json_object_get(part, "name")), class,
           class[0] != '\0' ? ", " : "", /* a file of weights has none */
           (long long)json_integer_value(json_object_get(part, "tensors")),
           (long long)json_integer_value(json_object_get(part, "parameters")),
           (long long)json_integer_value(json_object_get(part, "bytes")));
    json_object_foreach(json_object_get(part, "dtypes"), type, count)
        printf(", %s", type);
    printf("\n");
    print_names("missing tensors", json_object_get(part, "missing"));
    print_names("unknown tensors", json_object_get(part, "unknown"));
    print_names("unknown keys", json_object_get(part, "unknown_keys"));
    if (json_is_string(error))
        printf("    error: %s\n", json_string_value(error));
}

/* The first of many: --json has them all. */
static void print_classes(const json_t *model)
{
    const json_t *names = json_object_get(model, "class_names");
    json_int_t n = json_integer_value(json_object_get(model, "classes"));
    size_t i;
    json_t *name;

    if (n == 0)
        return;
    printf("  classes 0 to %lld", (long long)n - 1);
    json_array_foreach(names, i, name)
    {
        if (i == 12)
            printf("; ...");
        if (i < 12 && json_is_string(name))
            printf("%s %zu %s", i == 0 ? ":" : ";", i, json_string_value(name));
    }
    printf("\n");
}

static void print_model(const json_t *model)
{
    char *state = json_dumps(json_object_get(model, "state"), JSON_COMPACT);
    char *picture = json_dumps(json_object_get(model, "picture"),
                               JSON_COMPACT | JSON_ENCODE_ANY);

    printf("  state %s, picture %s, %lld parameters%s\n", state, picture,
           (long long)json_integer_value(json_object_get(model, "parameters")),
           json_is_true(json_object_get(model, "text")) ? ", takes prompts"
                                                        : "");
    free(state);
    free(picture);
}

static void print_lora(const json_t *lora)
{
    long long low = json_integer_value(json_object_get(lora, "min_rank"));
    long long high = json_integer_value(json_object_get(lora, "max_rank"));

    printf("  %lld adapters, %lld of them of the text encoder, rank %lld",
           (long long)json_integer_value(json_object_get(lora, "adapters")),
           (long long)json_integer_value(json_object_get(lora, "text_encoder")),
           low);
    if (high > low)
        printf(" to %lld", high);
    printf("\n");
    if (json_is_integer(json_object_get(lora, "matched")))
        printf("  each matches a weight of the model\n");
}

static void print_text(const json_t *root)
{
    const json_t *model = json_object_get(root, "model");
    const json_t *lora = json_object_get(root, "lora");
    size_t i;
    json_t *part;

    printf("%s: %s %s\n", json_string_value(json_object_get(root, "path")),
           json_string_value(json_object_get(root, "format")),
           json_string_value(json_object_get(root, "class")));
    json_array_foreach(json_object_get(root, "parts"), i, part)
        print_part(part);
    print_names("parts not used", json_object_get(root, "ignored"));
    if (json_is_object(model)) {
        print_model(model);
        print_classes(model);
    }
    if (json_is_object(lora))
        print_lora(lora);
    printf("  %s\n", json_is_true(json_object_get(root, "runnable"))
                         ? "can be run" : "cannot be run");
}

static void print_json(const json_t *root)
{
    char *text = json_dumps(root, JSON_INDENT(2));

    puts(text);
    free(text);
}

/* The scheduler is the graph's, not the models': its part of "runnable". */
static void check_scheduler(json_t *root, const pdag_inspection *in)
{
    if (!in->runnable || in->info.scheduler_config == NULL ||
        pdag_setup_check_scheduler(in->info.scheduler_config) == PDAG_OK)
        return;
    json_object_set_new(root, "runnable", json_false());
    json_object_set_new(root, "error", json_string(pdag_error_text()));
}

/* A model directory, a part, a weight file. */
static int inspect_model(const char *path, const char *model, bool json)
{
    pdag_inspection in;
    json_t *root;
    const char *error;
    pdag_status status = pdag_inspect(path, &in);
    int exit_status = PDAG_EXIT_OK;

    if (status != PDAG_OK)
        return pdag_cli_fail(status);
    if (model != NULL && in.lora.n_adapters > 0)
        pdag_inspection_try_model(&in, model);
    root = inspection_json(&in);
    check_scheduler(root, &in);
    if (json)
        print_json(root);
    else
        print_text(root);
    if (!json_is_true(json_object_get(root, "runnable"))) {
        error = json_string_value(json_object_get(root, "error"));
        fprintf(stderr, "picard-dag: %s\n",
                error != NULL ? error : "not a whole model");
        exit_status = PDAG_EXIT_MISUSE;
    }
    json_decref(root);
    pdag_inspection_clear(&in);
    return exit_status;
}

/* A job, with its model. */
static int inspect_job(const char *path, bool json)
{
    pdag_setup setup;
    pdag_status status = pdag_setup_create(path, 0, NULL, &setup);
    json_t *root;

    if (status != PDAG_OK)
        return pdag_cli_fail(status);
    root = json_pack("{s:s, s:s, s:b, s:o, s:o}", "path", path, "format", "job",
                     "runnable", 1, "model",
                     setup.has_model ? info_json(&setup.info) : json_null(),
                     "job", pdag_job_to_json(setup.job));
    if (json) {
        print_json(root);
    } else {
        printf("%s: job\n", path);
        print_json(json_object_get(root, "job"));
        if (setup.has_model)
            print_model(json_object_get(root, "model"));
        printf("  can be run\n");
    }
    json_decref(root);
    pdag_setup_clear(&setup);
    return PDAG_EXIT_OK;
}

static bool is_job(const char *path)
{
    const char *suffix = strrchr(path, '.');
    struct stat there;

    if (stat(path, &there) == 0 && S_ISDIR(there.st_mode))
        return false;
    return suffix != NULL && strcmp(suffix, ".pb") == 0;
}

static int command_inspect(pdag_cli *cli, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"json", no_argument, NULL, 'j'},
        {"model", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *model = NULL;
    bool json = false;
    int c;

    (void)cli;
    opterr = 0;
    optind = 1;
    while ((c = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (c == 'h') {
            pdag_cli_usage(&pdag_command_inspect, stdout);
            return PDAG_EXIT_OK;
        }
        if (c != 'j' && c != 'm') {
            fprintf(stderr, "picard-dag: inspect: unknown option: %s\n",
                    argv[optind - 1]);
            return PDAG_EXIT_MISUSE;
        }
        if (c == 'm')
            model = optarg;
        else
            json = true;
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "picard-dag: inspect: one path is needed (see "
                "picard-dag inspect --help)\n");
        return PDAG_EXIT_MISUSE;
    }
    return is_job(argv[optind]) ? inspect_job(argv[optind], json)
                                : inspect_model(argv[optind], model, json);
}

const pdag_command pdag_command_inspect = {
    .name = "inspect",
    .arguments = "PATH [--json] [--model DIR]",
    .summary = "Say what a model, weight file, LoRA or job is, and if it can run.",
    .options = "    --json         the same for programs\n"
               "    --model DIR    whether the LoRA PATH fits this model\n"
               "\n"
               "Exit status 0 only where the program could run it.\n",
    .run = command_inspect,
};
