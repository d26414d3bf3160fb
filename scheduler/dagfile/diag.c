#include "millrace/diag.h"

#include "base/buf.h"
#include "base/mem.h"
#include "scheduler/dagfile/codes.h"
#include "scheduler/dagfile/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *code;
    const char *title;
} codes[] = {
#define CODE(name, code, title) [FINDING_##name] = {code, title},
#include "scheduler/dagfile/codes.def"
#undef CODE
};

const char *finding_code(enum finding_code code)
{
    return codes[code].code;
}

const char *report_title(const char *code)
{
    for (size_t i = 0; i < FINDING_CODE_COUNT; i++)
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].title;
    return NULL;
}

__attribute__((format(printf, 2, 0))) static void add(struct diags *diags, const char *format,
                                                      va_list args, struct diag diag)
{
    struct buf message = {0};

    if (diag.severity == DIAG_ERROR)
        diags->error_count++;
    if (diags->count == DIAGS_MAX)
        return;
    if (diags->count == diags->capacity) {
        diags->capacity = mem_grow(diags->capacity, diags->count + 1);
        diags->items = mem_resize_array(diags->items, diags->capacity, sizeof(diags->items[0]));
    }
    buf_vprintf(&message, format, args);
    diag.message = arena_str(diags->arena, buf_str(&message)).ptr;
    diag.hint = arena_strdup(diags->arena, diag.hint);
    buf_release(&message);
    diags->items[diags->count++] = diag;
}

void diag_add(struct diags *diags, const char *code, struct position at, const char *hint,
              const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(diags, format, args, (struct diag){code, DIAG_ERROR, at, NULL, hint});
    va_end(args);
}

void diag_warn(struct diags *diags, const char *code, struct position at, const char *hint,
               const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(diags, format, args, (struct diag){code, DIAG_WARNING, at, NULL, hint});
    va_end(args);
}

const char *diag_suggest(struct diags *diags, struct str name, const char *const *names,
                         size_t count)
{
    const char *nearest = NULL;
    size_t nearest_distance = name.len / 3 + 2; /* as far as a slip of the fingers goes */

    if (nearest_distance > name.len)
        nearest_distance = name.len;
    for (size_t i = 0; i < count; i++) {
        size_t distance = str_distance(name, str_from(names[i]));
        if (distance < nearest_distance) {
            nearest = names[i];
            nearest_distance = distance;
        }
    }
    return nearest == NULL ? NULL : arena_printf(diags->arena, "did you mean `%s`?", nearest);
}

void diags_release(struct diags *diags)
{
    free(diags->items);
    diags->items = NULL;
    diags->count = 0;
    diags->capacity = 0;
    diags->error_count = 0;
}
