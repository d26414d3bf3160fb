/* Why a DAG, a run or a task instance is as it is. */
#include "web/handlers.h"

#include "base/clock.h"
#include "base/json.h"
#include "web/explain.h"
#include "web/link.h"
#include "web/lookup.h"
#include "web/route.h"
#include "web/versions.h"

#include <string.h>

enum { transitions_max = 2000, callbacks_max = 500 };

static void answer(struct web *web, struct request *request, struct explain *all)
{
    struct jw w = {.out = respond_json(request, 200)};

    all->dag = versions_get(web->versions, all->run.run.version_id);
    if (all->task_id == NULL)
        explain_run(&w, all);
    else
        explain_task(&w, all, explain_find(all, all->task_id, all->map_index));
}

/* Without an answer the rows alone have to do, and `is_current` says so. */
static void why_done(struct web *web, struct request *request, const struct link_answer *reply)
{
    struct explain *all = request->context;

    all->now = reply->err.code == ERR_NONE ? reply->answer : NULL;
    answer(web, request, all);
    all->now = NULL; /* the answer is the link's */
}

static bool load(struct web *web, struct request *request, struct explain *all)
{
    struct err err;

    if (!lookup_run(web, request, &all->run) || !lookup_dag(web, request, &all->dag_row))
        return false;
    if (read_run_tasks(web->read, &request->arena, all->run.run.id, &all->tasks, &all->task_count,
                       &err) &&
        read_run_transitions(web->read, &request->arena, all->run.run.id, transitions_max,
                             &all->transitions, &all->transition_count, &err) &&
        read_run_callbacks(web->read, &request->arena, all->run.run.id, callbacks_max,
                           &all->callbacks, &all->callback_count, &err))
        return true;
    respond_err(request, &err);
    return false;
}

static void finish(struct web *web, struct request *request, struct explain *all)
{
    if (!explain_needs_now(all) || !link_is_up(web->link)) {
        answer(web, request, all);
        return;
    }
    request->context = all;
    link_command(web->link, request,
                 json_pack("{s:s, s:I}", "command", "why", "run", (json_int_t)all->run.run.id),
                 why_done);
}

void handle_run_explain(struct web *web, struct request *request)
{
    struct explain *all = arena_alloc(&request->arena, sizeof(*all));

    if (load(web, request, all))
        finish(web, request, all);
}

void handle_task_explain(struct web *web, struct request *request)
{
    struct explain *all = arena_alloc(&request->arena, sizeof(*all));
    struct task_view task = {0};
    struct err err;

    if (!load(web, request, all) || !lookup_task(web, request, &task))
        return;
    if (!read_attempts(web->read, &request->arena, &task.task, 0, &all->attempts,
                       &all->attempt_count, &err)) {
        respond_err(request, &err);
        return;
    }
    all->task_id = task.task.task_id;
    all->map_index = task.task.map_index;
    finish(web, request, all);
}

static const char *import_error(struct web *web, struct request *request, const char *file)
{
    struct file_errors errors = {0};
    struct err ignored;

    if (!file_errors_load(web, request, &errors, &ignored))
        return NULL;
    for (size_t i = 0; i < errors.count; i++)
        if (strcmp(errors.rows[i].file, file) == 0)
            return errors.rows[i].report;
    return NULL;
}

void handle_dag_explain(struct web *web, struct request *request)
{
    const struct read_page page = {.limit = 1};
    struct dag_row row = {0};
    struct explain_dag of = {.row = &row};
    struct run_count *counts = NULL;
    struct backfill_row *backfills = NULL;
    size_t count = 0;
    size_t backfill_count = 0;
    int64_t total = 0;
    struct err err;

    if (!lookup_dag(web, request, &row))
        return;
    const char *ids = arena_printf(&request->arena, "[\"%s\"]", row.dag_id);
    if (!read_run_counts(web->read, &request->arena, ids, &counts, &count, &err) ||
        !read_counted_runs(web->read, row.dag_id, &of.counted, &err) ||
        !read_backfills(web->read, &request->arena, row.dag_id, true, &page, &backfills,
                        &backfill_count, &total, &err)) {
        respond_err(request, &err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        of.queued += counts[i].state == RUN_QUEUED ? counts[i].count : 0;
        of.running += counts[i].state == RUN_RUNNING ? counts[i].count : 0;
    }
    of.now_us = clock_wall_us();
    of.backfill_id = backfill_count == 0 ? 0 : backfills[0].id;
    of.import_error = import_error(web, request, row.file);
    of.dag = versions_get(web->versions, row.version_id);
    struct jw w = {.out = respond_json(request, 200)};
    explain_dag(&w, &of);
}
