/* What the tests of validate share: a validation over an SQL FROM item, without attempts. */
#ifndef MILLRACE_TESTS_VALIDATE_HELP_H
#define MILLRACE_TESTS_VALIDATE_HELP_H

#include "base/json.h"
#include "tasks/validate/catalogue.h"
#include "tasks/validate/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct run {
    struct arena arena;
    struct rules rules;
    struct validation v;
    json_t *history;
};

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

    if (value == NULL)
        fail_msg("bad JSON in the test: %s", text);
    return value;
}

/* JSON with single quotes, for legibility; a doubled one stands for itself. */
static char *quoted(const char *text)
{
    struct buf out = {0};

    for (; *text != '\0'; text++)
        if (text[0] == '\'' && text[1] == '\'' && text++ != NULL)
            buf_add_char(&out, '\'');
        else
            buf_add_char(&out, *text == '\'' ? '"' : *text);
    return buf_take(&out);
}

static void run_open(struct run *run, struct engine *engine, const char *suite_text)
{
    char *text = quoted(suite_text);
    json_t *suite = parse(text);
    struct err err = {0};

    *run =
        (struct run){.history = parse("[{\"content\":{\"rows\":12}},{\"content\":{\"rows\":8}}]")};
    if (!rules_add_suite(&run->rules, &run->arena, suite, &err))
        fail_msg("%s: %s", text, err.message);
    run->v = (struct validation){.arena = &run->arena,
                                 .engine = engine,
                                 .rules = &run->rules,
                                 .as_of_us = INT64_C(1767265200000000), /* 2026-01-01T11:00Z */
                                 .history = run->history,
                                 .valid_rows_pct = -1};
    json_decref(suite);
    free(text);
}

static void run_over(struct run *run, const char *from)
{
    struct err err = {0};

    if (!validation_open(&run->v, from, &err) || !validation_run(&run->v, &err))
        fail_msg("%s", err.message);
}

static void run_close(struct run *run)
{
    validation_release(&run->v);
    rules_release(&run->rules);
    json_decref(run->history);
    arena_release(&run->arena);
}

static int open_engine(void **state)
{
    struct err err = {0};

    *state = engine_open(&err);
    if (*state == NULL)
        print_error("%s\n", err.message);
    return *state == NULL ? -1 : 0;
}

static int close_engine(void **state)
{
    engine_close(*state);
    return 0;
}

#endif
