#include "tasks/shard/encoder.h"

#include "base/mem.h"
#include "tasks/shard/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "FLOAT" of "FLOAT[]" or "FLOAT[3]"; NULL for what is no plain list. The caller frees it. */
static char *element_of(const char *type)
{
    const char *bracket = strchr(type, '[');

    if (bracket == NULL || strchr(bracket + 1, '[') != NULL || strchr(type, '(') != NULL)
        return NULL;
    return mem_dup(type, (size_t)(bracket - type));
}

static bool is_nested(const char *type)
{
    return strchr(type, '[') != NULL || strncmp(type, "STRUCT", 6) == 0 ||
           strncmp(type, "MAP", 3) == 0 || strncmp(type, "UNION", 5) == 0;
}

static enum encoding scalar_encoding(const char *type)
{
    switch (type_class_of(type)) {
    case TYPE_INT:
        return strcmp(type, "BOOLEAN") == 0 ? ENCODE_BOOL : ENCODE_INT;
    case TYPE_DECIMAL:
        return ENCODE_DECIMAL;
    case TYPE_FLOAT:
        return ENCODE_FLOAT;
    case TYPE_TIME:
        return ENCODE_TIME;
    case TYPE_BLOB:
        return ENCODE_BLOB;
    case TYPE_TEXT:
    case TYPE_OTHER:
        break;
    }
    return is_nested(type) ? ENCODE_NESTED : ENCODE_TEXT;
}

/* Example has lists of integers, floats and bytes, and nothing nested. */
static bool list_encoding(struct encoder_column *column, struct err *err)
{
    char *element = element_of(column->type);
    enum encoding encoding = element == NULL ? ENCODE_NESTED : scalar_encoding(element);

    free(element);
    if (encoding == ENCODE_BOOL || encoding == ENCODE_INT)
        column->encoding = ENCODE_INTS;
    else if (encoding == ENCODE_FLOAT)
        column->encoding = ENCODE_FLOATS;
    else if (encoding == ENCODE_TEXT)
        column->encoding = ENCODE_TEXTS;
    else
        return err_set(err, ERR_INVALID,
                       "`%s` is %s, which an Example can't hold: take it apart with a sql task, "
                       "or leave it out of `columns`",
                       column->name, column->type);
    return true;
}

static bool choose(struct sample_encoder *encoder, struct encoder_column *column, struct err *err)
{
    column->encoding = scalar_encoding(column->type);
    if (encoder->plan->format == FORMAT_TFRECORD)
        return column->encoding != ENCODE_NESTED || list_encoding(column, err);
    if (column->extension == NULL && column->encoding == ENCODE_BLOB)
        return err_set(err, ERR_INVALID,
                       "`%s` is a BLOB, which a .json can't hold: give it an extension, as "
                       "extensions: {%s: bin}",
                       column->name, column->name);
    if (column->extension == NULL && strcmp(column->type, "DATE") == 0)
        column->encoding = ENCODE_TEXT; /* a date has no time of day to speak of */
    if (column->extension != NULL && column->encoding != ENCODE_BLOB)
        column->encoding = ENCODE_TEXT;
    return true;
}

/* Examples have their keys in byte order, samples their members by extension, the .json's fields
 * the order of the columns. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct encoder_column *)a)->name,
                  ((const struct encoder_column *)b)->name);
}

static int compare_extensions(const void *a, const void *b)
{
    const struct encoder_column *x = a;
    const struct encoder_column *y = b;
    int order = strcmp(x->extension == NULL ? "json" : x->extension,
                       y->extension == NULL ? "json" : y->extension);

    return order != 0 ? order : (x->chosen > y->chosen) - (x->chosen < y->chosen);
}

struct sample_encoder *encoder_new(const struct shard_plan *plan, struct err *err)
{
    struct sample_encoder *encoder = mem_alloc(sizeof(*encoder));

    encoder->plan = plan;
    encoder->columns = mem_alloc_array(plan->chosen_count, sizeof(*encoder->columns));
    encoder->count = plan->chosen_count;
    crc32c_init(&encoder->crc);
    for (size_t i = 0; i < plan->chosen_count; i++) {
        encoder->columns[i] = (struct encoder_column){
            .name = plan->chosen[i].info->name,
            .extension = plan->chosen[i].extension,
            .type = plan->chosen[i].info->type,
            .chosen = i,
        };
        if (!choose(encoder, &encoder->columns[i], err)) {
            encoder_free(encoder);
            return NULL;
        }
    }
    qsort(encoder->columns, encoder->count, sizeof(*encoder->columns),
          plan->format == FORMAT_TFRECORD ? compare_names : compare_extensions);
    return encoder;
}

void encoder_free(struct sample_encoder *encoder)
{
    if (encoder == NULL)
        return;
    free(encoder->columns);
    buf_release(&encoder->scratch);
    buf_release(&encoder->values);
    buf_release(&encoder->name);
    free(encoder);
}

static void add_expression(const struct encoder_column *column, enum shard_format format,
                           struct buf *sql)
{
    char name[32];
    struct column_info info = {name, NULL};
    char *type = mem_strdup(column->type);

    (void)snprintf(name, sizeof(name), "_c%zu", column->chosen);
    info.type = type;
    switch (column->encoding) {
    case ENCODE_BOOL:
    case ENCODE_INT:
        buf_printf(sql, format == FORMAT_TFRECORD ? "CAST(%s AS BIGINT)" : "%s", name);
        break;
    case ENCODE_TIME:
        columns_add_epoch_us(&info, sql);
        break;
    case ENCODE_DECIMAL:
    case ENCODE_FLOAT:
    case ENCODE_BLOB:
        buf_add_text(sql, name);
        break;
    case ENCODE_TEXT:
        buf_printf(sql, "CAST(%s AS VARCHAR)", name);
        break;
    case ENCODE_NESTED:
    case ENCODE_TEXTS:
        buf_printf(sql, "CAST(to_json(%s) AS VARCHAR)", name);
        break;
    case ENCODE_INTS:
        buf_printf(sql, "CAST(to_json(CAST(%s AS BIGINT[])) AS VARCHAR)", name);
        break;
    case ENCODE_FLOATS:
        buf_printf(sql, "CAST(to_json(CAST(%s AS DOUBLE[])) AS VARCHAR)", name);
        break;
    }
    free(type);
}

void encoder_add_columns(const struct sample_encoder *encoder, struct buf *sql)
{
    buf_add_text(sql, encoder->plan->key_count > 0 ? "_key" : "NULL");
    for (size_t i = 0; i < encoder->count; i++) {
        buf_add_text(sql, ", ");
        add_expression(&encoder->columns[i], encoder->plan->format, sql);
    }
}

bool encoder_add_row(struct sample_encoder *encoder, struct engine_result *rows, struct buf *out,
                     struct err *err)
{
    bool ok = encoder->plan->format == FORMAT_TFRECORD
                  ? examples_add_row(encoder, rows, out, err)
                  : webdataset_add_row(encoder, rows, out, err);

    encoder->row++;
    return ok;
}

void encoder_add_end(const struct sample_encoder *encoder, struct buf *out)
{
    if (encoder->plan->format == FORMAT_WEBDATASET)
        tar_end(out);
}
