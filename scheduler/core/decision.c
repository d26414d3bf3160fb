#include "millrace/decision.h"

#include "base/mem.h"
#include "scheduler/core/parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct decision *decisions_add(struct decisions *decisions, enum decision_kind kind)
{
    if (decisions->count == decisions->capacity) {
        decisions->capacity = mem_grow(decisions->capacity, decisions->count + 1);
        decisions->items =
            mem_resize_array(decisions->items, decisions->capacity, sizeof(struct decision));
    }
    struct decision *decision = &decisions->items[decisions->count++];
    memset(decision, 0, sizeof(*decision));
    decision->kind = kind;
    return decision;
}

void decisions_clear(struct decisions *decisions)
{
    arena_release(&decisions->arena);
    decisions->count = 0;
}

void decisions_release(struct decisions *decisions)
{
    decisions_clear(decisions);
    free(decisions->items);
    decisions->items = NULL;
    decisions->capacity = 0;
}

void reply_done(struct core *core, const struct event *event, int64_t row)
{
    if (event->request == 0)
        return;
    struct decision *decision = decisions_add(core->out, DECIDE_REPLY);
    decision->as.reply.request = event->request;
    decision->as.reply.row = row;
}

void reply_error(struct core *core, const struct event *event, enum err_code code,
                 const char *format, ...)
{
    va_list args;

    if (event->request == 0)
        return;
    struct decision *decision = decisions_add(core->out, DECIDE_REPLY);
    struct err *err = arena_alloc(&core->out->arena, sizeof(*err));
    decision->as.reply.request = event->request;
    decision->as.reply.err = err;
    err->code = code;
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
}

const char *reason_format(struct core *core, const char *format, ...)
{
    char text[1200];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return arena_strdup(&core->out->arena, text);
}
