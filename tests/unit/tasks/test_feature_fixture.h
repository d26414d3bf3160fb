/* What the tests of feature and shard share: a folder with a lake in it, an engine, datasets made
 * from a SELECT, and attempts with options from JSON. */
#ifndef MILLRACE_TEST_FEATURE_FIXTURE_H
#define MILLRACE_TEST_FEATURE_FIXTURE_H

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "tasks/engine/engine.h"
#include "tasks/publish/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    struct engine *engine;
    char *folder;
    char *previous; /* the working folder of before */
    json_t *options;
    struct attempt attempt;
};

static inline int fixture_open(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    struct err err = {0};
    char template[] = "/tmp/millrace-test-XXXXXX";

    f->engine = engine_open(&err);
    f->previous = getcwd(NULL, 0);
    if (f->engine == NULL || f->previous == NULL || mkdtemp(template) == NULL ||
        chdir(template) != 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    f->folder = mem_strdup(template);
    *state = f;
    return 0;
}

static inline int fixture_close(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    int status = chdir(f->previous);

    engine_close(f->engine);
    json_decref(f->options);
    json_decref(f->attempt.outputs);
    if (!fs_remove_tree(f->folder, &err))
        status = -1;
    free(f->folder);
    free(f->previous);
    free(f);
    return status;
}

/* A fresh attempt; ' stands for " in the options, which stay with the fixture. */
static inline struct attempt *fixture_attempt(struct fixture *f, const char *options)
{
    char *text = mem_strdup(options);
    struct err err = {0};

    for (char *at = text; *at != '\0'; at++)
        if (*at == '\'')
            *at = '"';
        else if (*at == '`')
            *at = '\'';
    json_decref(f->options);
    json_decref(f->attempt.outputs);
    f->options = json_parse(str_from(text), &err);
    if (f->options == NULL)
        fail_msg("%s: %s", text, err.message);
    free(text);
    f->attempt = (struct attempt){
        .dag_id = "d",
        .task_id = "t",
        .run_id = "r",
        .token = "token",
        .try_number = 1,
        .map_index = -1,
        .timezone = "UTC",
        .options = f->options,
        .folder = f->folder,
        .temp = f->folder,
        .memory_bytes = 1 << 30,
        .threads = 2,
        .engine = f->engine,
        .outputs = json_object(),
    };
    return &f->attempt;
}

static inline void fixture_run(struct fixture *f, const char *sql)
{
    struct err err = {0};

    if (!engine_run(f->engine, sql, NULL, &err))
        fail_msg("%s: %s", sql, err.message);
}

/* The one integer of a query. */
static inline int64_t fixture_int(struct fixture *f, const char *sql)
{
    struct err err = {0};
    struct engine_result *rows = engine_query(f->engine, sql, &err);

    if (rows == NULL || !engine_next(rows, &err))
        fail_msg("%s: %s", sql, err.message);
    int64_t value = engine_int(rows, 0);
    engine_result_free(rows);
    return value;
}

/* Publishes the rows of a SELECT as a dataset. */
static inline void fixture_publish(struct fixture *f, const char *target, const char *select)
{
    struct attempt *attempt = fixture_attempt(f, "{}");
    struct err err = {0};
    struct publication *publication = publication_begin(attempt, target, &err);
    struct buf sql = {0};
    int64_t rows = 0;
    bool unchanged = false;

    if (publication == NULL)
        fail_msg("%s", err.message);
    buf_printf(&sql, "COPY (%s) TO '%s/part-000.parquet' (FORMAT parquet)", select,
               publication_folder(publication));
    if (!engine_run(f->engine, buf_text(&sql), &rows, &err) ||
        !publication_add_file(publication, "part-000.parquet", rows, &err) ||
        !publication_describe_parquet(publication, &err) ||
        !publication_commit(publication, &unchanged, &err))
        fail_msg("publish %s: %s", target, err.message);
    publication_free(publication);
    buf_release(&sql);
}

/* Copies what is published now into a table of this name. */
static inline void fixture_load(struct fixture *f, const char *name, const char *path)
{
    struct err err = {0};
    struct dataset *dataset = dataset_open(path, &err);
    struct buf sql = {0};

    if (dataset == NULL)
        fail_msg("%s: %s", path, err.message);
    buf_printf(&sql, "CREATE OR REPLACE TABLE %s AS SELECT * FROM ", name);
    dataset_add_source(dataset, &sql);
    fixture_run(f, buf_text(&sql));
    buf_release(&sql);
    dataset_free(dataset);
}

#endif
