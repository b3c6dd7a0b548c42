#include "proto/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/mem.h"
#include "proto/job.pb-c.h"
#include "proto/job_fields.h"

#define MAX_JOB_BYTES ((size_t)64 << 20)
/* Two bytes can stand for a hundred of memory, and protobuf-c copies the lists of
   a group once more each time that the group is given. */
#define MAX_VALUES (3 * (size_t)PDAG_JOB_MAX_LIST)
#define MAX_GROUPS 100

static const char is_no_job[] = "not a picard-dag job (a pdag.Job message)";

/* --- The bytes on disk ------------------------------------------------- */

/* protobuf-c drops what it does not know, cuts strings at a NUL and takes any
   bytes as text, so the bytes are walked once before it unpacks them. */
typedef struct wire {
    const uint8_t *at;
    const uint8_t *end;
} wire;

static bool read_varint(wire *in, uint64_t *value_out)
{
    uint64_t value = 0;
    unsigned shift;

    for (shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value_out = value;
            return true;
        }
    }
    return false;
}

static ProtobufCWireType wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_DOUBLE:
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    default: /* int64, uint64 and bool: job.proto has no other types */
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

/* Step over one value; its bytes (without a length in front) in value_out. */
static bool read_value(wire *in, unsigned type, wire *value_out)
{
    uint64_t n = 0;

    value_out->at = in->at;
    switch (type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        if (!read_varint(in, &n))
            return false;
        value_out->end = in->at;
        return true;
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        n = 8;
        break;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        n = 4;
        break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!read_varint(in, &n))
            return false;
        break;
    default: /* groups, and the two types that do not exist */
        return false;
    }
    if (n > (uint64_t)(in->end - in->at))
        return false;
    value_out->at = in->at;
    in->at += n;
    value_out->end = in->at;
    return true;
}

static pdag_status check_text(const char *group,
                              const ProtobufCFieldDescriptor *field,
                              const wire *value)
{
    size_t n = (size_t)(value->end - value->at);

    if (n > 0 && memchr(value->at, 0, n) != NULL)
        return pdag_error(PDAG_ERR_FORMAT, "%s%s: the text holds a NUL byte",
                          group, field->name);
    if (!pdag_job_is_utf8(value->at, n))
        return pdag_error(PDAG_ERR_FORMAT, "%s%s: the text is not UTF-8",
                          group, field->name);
    return PDAG_OK;
}

/* What was seen of a job so far. */
typedef struct tally {
    size_t n_values, n_groups;
} tally;

/* Values of a packed list: a varint ends at a byte below 128. */
static size_t count_packed(const wire *value)
{
    size_t n = 0;

    for (const uint8_t *at = value->at; at < value->end; at++)
        n += *at < 0x80;
    return n;
}

static bool is_packed(const ProtobufCFieldDescriptor *field, unsigned type)
{
    return field->label == PROTOBUF_C_LABEL_REPEATED &&
           type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
           wire_type_of(field->type) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
}

static pdag_status check_tally(const char *group,
                               const ProtobufCFieldDescriptor *field,
                               unsigned type, const wire *value, tally *seen)
{
    seen->n_values += is_packed(field, type) ? count_packed(value) : 1;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
        field->label != PROTOBUF_C_LABEL_REPEATED)
        seen->n_groups++;
    if (seen->n_values > MAX_VALUES)
        return pdag_error(PDAG_ERR_FORMAT, "%s%s: more than %zu values in a job",
                          group, field->name, MAX_VALUES);
    if (seen->n_groups > MAX_GROUPS)
        return pdag_error(PDAG_ERR_FORMAT, "%s%s: more than %d groups in a job",
                          group, field->name, MAX_GROUPS);
    return PDAG_OK;
}

/* group: "" or "sampler.", in front of field names.  Recursion is as deep as
   job.proto nests messages. */
static pdag_status check_wire(wire in, const char *group,
                              const ProtobufCMessageDescriptor *message,
                              tally *seen)
{
    while (in.at < in.end) {
        const ProtobufCFieldDescriptor *field;
        uint64_t tag;
        unsigned type;
        wire value;
        pdag_status status;

        if (!read_varint(&in, &tag) || tag >> 3 == 0 || tag >> 32 != 0)
            return pdag_error(PDAG_ERR_FORMAT, "%s", is_no_job);
        type = tag & 7;
        if (!read_value(&in, type, &value))
            return pdag_error(PDAG_ERR_FORMAT, "%s, or cut short", is_no_job);
        field = protobuf_c_message_descriptor_get_field(message,
                                                        (unsigned)(tag >> 3));
        if (field == NULL)
            return pdag_error(PDAG_ERR_FORMAT,
                              "%sunknown field number %u (from a newer "
                              "version?)",
                              group, (unsigned)(tag >> 3));
        if (type != wire_type_of(field->type) && !is_packed(field, type))
            return pdag_error(PDAG_ERR_FORMAT, "%s%s: wrong wire type; %s",
                              group, field->name, is_no_job);
        status = check_tally(group, field, type, &value, seen);
        if (status != PDAG_OK)
            return status;
        if (field->type == PROTOBUF_C_TYPE_STRING) {
            status = check_text(group, field, &value);
        } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
            char *inner = pdag_xasprintf("%s%s.", group, field->name);

            status = check_wire(value, inner, field->descriptor, seen);
            free(inner);
        }
        if (status != PDAG_OK)
            return status;
    }
    return PDAG_OK;
}

/* Somebody gave the text form: some bytes, and the first ones all printable. */
static bool looks_like_text(const uint8_t *bytes, size_t n_bytes)
{
    size_t i;

    for (i = 0; i < n_bytes && i < 64; i++)
        if (bytes[i] != '\n' && bytes[i] != '\t' && bytes[i] != '\r' &&
            (bytes[i] < 0x20 || bytes[i] > 0x7e))
            return false;
    return n_bytes >= 8;
}

/* --- From the message to the job --------------------------------------- */

/* Where a field of the table is in the message: its group's field in Job (NULL
   at the top) and its own.  The table and job.proto agree (tested). */
typedef struct place {
    const ProtobufCFieldDescriptor *group;
    const ProtobufCFieldDescriptor *field;
} place;

static place find_place(const pdag_job_field *field)
{
    size_t length = pdag_job_group_length(field->name);
    const ProtobufCMessageDescriptor *in = &pdag__job__descriptor;
    const char *leaf = field->name;
    place found = {NULL, NULL};

    if (length > 0) {
        char *group = pdag_xstrndup(field->name, length);

        found.group =
            protobuf_c_message_descriptor_get_field_by_name(in, group);
        free(group);
        PDAG_ASSERT(found.group != NULL);
        in = found.group->descriptor;
        leaf += length + 1;
    }
    found.field = protobuf_c_message_descriptor_get_field_by_name(in, leaf);
    PDAG_ASSERT(found.field != NULL);
    return found;
}

static pdag_status decode_list(pdag_job *job, const pdag_job_field *field,
                               const char *base, size_t n, const void *items)
{
    pdag_status status = PDAG_OK;
    size_t i;

    for (i = 0; i < n && status == PDAG_OK; i++) {
        if (field->kind == PDAG_JOB_TEXTS) {
            char *const *text = items;

            status = pdag_job_put_text(job, field, base, text[i]);
        } else if (field->kind == PDAG_JOB_INTS) {
            const int64_t *number = items;

            status = pdag_job_put_int(job, field, number[i]);
        } else {
            Pdag__Lora *const *lora = items;

            status = pdag_job_put_lora(
                job, field, base, lora[i]->path == NULL ? "" : lora[i]->path,
                lora[i]->has_scale ? lora[i]->scale : 1.0);
        }
    }
    return status;
}

static pdag_status decode_field(pdag_job *job, const pdag_job_field *field,
                                const char *base, const Pdag__Job *message)
{
    const place found = find_place(field);
    const ProtobufCFieldDescriptor *of = found.field;
    const char *bytes = (const char *)message;
    bool *present = pdag_job_presence(job, field);
    const void *at, *quantity;

    if (found.group != NULL)
        memcpy(&bytes, bytes + found.group->offset, sizeof bytes);
    if (bytes == NULL)
        return PDAG_OK;
    if (present != NULL)
        *present = true;
    at = bytes + of->offset;
    quantity = bytes + of->quantifier_offset;
    if (of->label == PROTOBUF_C_LABEL_REPEATED)
        return decode_list(job, field, base, *(const size_t *)quantity,
                           *(void *const *)at);
    if (of->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(char *const *)at;

        return text == NULL ? PDAG_OK
                            : pdag_job_put_text(job, field, base, text);
    }
    if (!*(const protobuf_c_boolean *)quantity)
        return PDAG_OK;
    switch (field->kind) {
    case PDAG_JOB_FLAG:
        return pdag_job_put_text(
            job, field, base,
            *(const protobuf_c_boolean *)at ? "true" : "false");
    case PDAG_JOB_INT:
        return pdag_job_put_int(job, field, *(const int64_t *)at);
    case PDAG_JOB_UINT:
        return pdag_job_put_uint(job, field, *(const uint64_t *)at);
    case PDAG_JOB_REAL:
        return pdag_job_put_real(job, field, *(const double *)at);
    default:
        return pdag_error(PDAG_ERR_INTERNAL, "%s: kind and job.proto differ",
                          field->name);
    }
}

static pdag_status decode(pdag_job *job, const char *base, size_t n_bytes,
                          const uint8_t *bytes)
{
    wire all = {bytes, bytes + n_bytes};
    tally seen = {0, 0};
    Pdag__Job *message;
    pdag_status status = check_wire(all, "", &pdag__job__descriptor, &seen);
    size_t i;

    if (status != PDAG_OK) {
        if (looks_like_text(bytes, n_bytes))
            pdag_error_record("%s; a job in text form must be encoded: protoc "
                              "--encode=pdag.Job (docs/job-file.md)",
                              is_no_job);
        return status;
    }
    message = pdag__job__unpack(NULL, n_bytes, bytes);
    if (message == NULL)
        return pdag_error(PDAG_ERR_FORMAT, "%s", is_no_job);
    for (i = 0; i < pdag_job_n_fields && status == PDAG_OK; i++)
        status = decode_field(job, &pdag_job_fields[i], base, message);
    pdag__job__free_unpacked(message, NULL);
    return status;
}

/* --- Reading ----------------------------------------------------------- */

static pdag_status read_stream(FILE *file, const char *name,
                               uint8_t **bytes_out, size_t *n_bytes_out)
{
    size_t room = 4096;
    size_t used = 0;
    uint8_t *bytes = pdag_xcalloc(room, 1);

    for (;;) {
        size_t n = fread(bytes + used, 1, room - used, file);

        used += n;
        if (n == 0 || used > MAX_JOB_BYTES)
            break;
        if (used == room) {
            room *= 2;
            bytes = pdag_xrealloc(bytes, room, 1);
        }
    }
    if (ferror(file) || used > MAX_JOB_BYTES) {
        free(bytes);
        return used > MAX_JOB_BYTES
                   ? pdag_error(PDAG_ERR_INPUT, "%s: over %zu MiB: not a job",
                                name, MAX_JOB_BYTES >> 20)
                   : pdag_error(PDAG_ERR_INPUT, "%s: %s", name,
                                strerror(errno));
    }
    *bytes_out = bytes;
    *n_bytes_out = used;
    return PDAG_OK;
}

/* Paths travel in protobuf strings and in run.json: both are UTF-8. */
static pdag_status check_folder(const char *folder)
{
    char shown[64];

    if (!pdag_job_is_utf8(folder, strlen(folder)))
        return pdag_error(PDAG_ERR_INPUT, "%s: the folder's name is not UTF-8",
                          pdag_job_shown(folder, shown));
    return PDAG_OK;
}

/* The caller frees, also after an error. */
static pdag_status current_folder(char **folder_out)
{
    size_t room = 256;
    char *folder = NULL;

    do {
        room *= 2;
        folder = pdag_xrealloc(folder, room, 1);
        if (getcwd(folder, room) != NULL) {
            *folder_out = folder;
            return check_folder(folder);
        }
    } while (errno == ERANGE);
    *folder_out = folder;
    return pdag_error(PDAG_ERR_INPUT, "current folder: %s", strerror(errno));
}

/* Where the relative paths of a job file start; the caller frees. */
static char *folder_of(const char *cwd, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *front;
    char *folder;

    if (slash == NULL)
        return pdag_xstrdup(cwd);
    front = pdag_xstrndup(path, (size_t)(slash - path) + 1);
    folder = pdag_job_join(cwd, front);
    free(front);
    return folder;
}

static pdag_status read_file(pdag_job *job, const char *cwd, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    uint8_t *bytes;
    size_t n_bytes;
    char *base;
    pdag_status status;

    if (file == NULL)
        return pdag_error(PDAG_ERR_INPUT, "%s: %s", name, strerror(errno));
    status = read_stream(file, name, &bytes, &n_bytes);
    if (!is_stdin)
        fclose(file);
    if (status != PDAG_OK)
        return status;
    base = folder_of(cwd, is_stdin ? "" : path);
    status = check_folder(base);
    if (status == PDAG_OK)
        status = decode(job, base, n_bytes, bytes);
    free(base);
    free(bytes);
    return status == PDAG_OK ? status : pdag_error_prefix(status, "%s", name);
}

pdag_status pdag_job_read(const char *path, size_t n_set,
                          const char *const *set, pdag_job **job_out)
{
    bool *replaced;
    pdag_job *job;
    char *cwd;
    pdag_status status = current_folder(&cwd);
    size_t i;

    if (status != PDAG_OK) {
        free(cwd);
        return status;
    }
    job = pdag_job_new(cwd);
    replaced = pdag_xcalloc(pdag_job_n_fields, sizeof *replaced);
    status = read_file(job, cwd, path);
    for (i = 0; i < n_set && status == PDAG_OK; i++)
        status = pdag_job_set(job, cwd, set[i], replaced);
    if (status == PDAG_OK) {
        status = pdag_job_check(job);
        if (status != PDAG_OK)
            pdag_error_prefix(status, "%s",
                              strcmp(path, "-") == 0 ? "standard input" : path);
    }
    free(replaced);
    free(cwd);
    if (status == PDAG_OK)
        *job_out = job;
    else
        pdag_job_destroy(job);
    return status;
}

/* --- From the job to canonical bytes ----------------------------------- */

/* Messages of the encoder borrow all strings and arrays from the job. */
static void *new_message(const ProtobufCMessageDescriptor *of)
{
    void *message = pdag_xcalloc(1, of->sizeof_message);

    of->message_init(message);
    return message;
}

static Pdag__Lora **make_loras(const pdag_job *job)
{
    Pdag__Lora **loras = pdag_xcalloc(job->model.n_lora, sizeof *loras);
    size_t i;

    for (i = 0; i < job->model.n_lora; i++) {
        loras[i] = new_message(&pdag__lora__descriptor);
        loras[i]->path = job->model.lora[i].path;
        loras[i]->has_scale = true;
        loras[i]->scale = job->model.lora[i].scale;
    }
    return loras;
}

static void encode_field(const pdag_job *job, const pdag_job_field *field,
                         Pdag__Job *message)
{
    const void *value = (const char *)job + field->offset;
    const place found = find_place(field);
    char *bytes = (char *)message;
    void *at, *quantity;

    if (!pdag_job_is_present(job, field) || pdag_job_is_unset(job, field))
        return;
    if (found.group != NULL) {
        void **slot = (void **)(void *)(bytes + found.group->offset);

        if (*slot == NULL)
            *slot = new_message(found.group->descriptor);
        bytes = *slot;
    }
    at = bytes + found.field->offset;
    quantity = bytes + found.field->quantifier_offset;
    switch (field->kind) {
    case PDAG_JOB_PATH:
    case PDAG_JOB_CHOICE:
        memcpy(at, value, sizeof(char *));
        break;
    case PDAG_JOB_FLAG:
        *(protobuf_c_boolean *)quantity = true;
        *(protobuf_c_boolean *)at =
            strcmp(pdag_job_text(job, field), "true") == 0;
        break;
    case PDAG_JOB_INT:
    case PDAG_JOB_UINT:
    case PDAG_JOB_REAL:
        *(protobuf_c_boolean *)quantity = true;
        memcpy(at, value, 8);
        break;
    case PDAG_JOB_TEXTS:
        *(size_t *)quantity = pdag_job_texts(job, field)->n;
        *(char ***)at = pdag_job_texts(job, field)->item;
        break;
    case PDAG_JOB_INTS:
        *(size_t *)quantity = pdag_job_ints(job, field)->n;
        *(int64_t **)at = pdag_job_ints(job, field)->item;
        break;
    case PDAG_JOB_LORAS:
        *(size_t *)quantity = job->model.n_lora;
        *(Pdag__Lora ***)at = make_loras(job);
        break;
    }
}

/* Only what the encoder made itself: the groups and the LoRA entries. */
static void free_message(Pdag__Job *message)
{
    size_t i;

    if (message->model != NULL) {
        for (i = 0; i < message->model->n_lora; i++)
            free(message->model->lora[i]);
        free(message->model->lora);
    }
    free(message->model);
    free(message->gaussian);
    free(message->sampler);
    free(message->solver);
    free(message->pcm);
}

pdag_status pdag_job_pack(const pdag_job *job, void **bytes_out,
                          size_t *n_bytes_out)
{
    Pdag__Job message = PDAG__JOB__INIT;
    void *bytes;
    size_t i;

    for (i = 0; i < pdag_job_n_fields; i++)
        encode_field(job, &pdag_job_fields[i], &message);
    *n_bytes_out = pdag__job__get_packed_size(&message);
    bytes = pdag_xcalloc(*n_bytes_out + 1, 1);
    pdag__job__pack(&message, bytes);
    free_message(&message);
    *bytes_out = bytes;
    return PDAG_OK;
}

pdag_status pdag_job_unpack(const void *bytes, size_t n_bytes,
                            pdag_job **job_out)
{
    pdag_job *job = pdag_job_new("/");
    pdag_status status = decode(job, "/", n_bytes, bytes);

    if (status == PDAG_OK)
        status = pdag_job_check(job);
    if (status == PDAG_OK)
        *job_out = job;
    else
        pdag_job_destroy(job);
    return status;
}
