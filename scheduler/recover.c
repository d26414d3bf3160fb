#include "scheduler/recover.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "scheduler/absent.h"
#include "scheduler/parse.h"
#include "scheduler/watch.h"

#include <stdlib.h>
#include <string.h>

#define BOUND_WORKERS_MAX 1024

/* Parsed versions, so that a thousand runs of one version parse it once. */
struct known_version {
    int64_t id;
    struct dag *dag; /* NULL = this program can't read it */
    char *why;       /* then: the first error */
};

struct recovery {
    struct scheduler *scheduler;
    struct known_version *versions;
    size_t count;
    size_t capacity;
};

static void parse_version(struct known_version *known, const struct version_row *version)
{
    struct parse_report report = {0};

    known->dag = parse_dag(NULL, version->source, version->file, &report);
    if (known->dag == NULL) {
        const char *text = buf_text(&report.text);
        known->why = mem_dup(text, strcspn(text, "\n"));
        log_error("version_unreadable", "dag=%s version=%lld report=\"%s\"", version->dag_id,
                  (long long)version->number, text);
    }
    parse_report_release(&report);
}

/* Valid until the next call. */
static const struct known_version *get_version(struct recovery *recovery,
                                               const struct version_row *version)
{
    for (size_t i = recovery->count; i-- > 0;)
        if (recovery->versions[i].id == version->id)
            return &recovery->versions[i];
    if (recovery->count == recovery->capacity) {
        recovery->capacity = mem_grow(recovery->capacity, recovery->count + 1);
        recovery->versions =
            mem_resize_array(recovery->versions, recovery->capacity, sizeof(*recovery->versions));
    }
    struct known_version *known = &recovery->versions[recovery->count++];
    *known = (struct known_version){.id = version->id};
    parse_version(known, version);
    return known;
}

/* A version that this program can't read any more comes without its DAG: the file is read again by
 * the first scan, which gives either a new version or an import error. */
static bool on_dag(void *context, const struct dag_row *row, const struct version_row *version,
                   struct err *err)
{
    struct recovery *recovery = context;
    struct scheduler *scheduler = recovery->scheduler;
    struct dag *dag = get_version(recovery, version)->dag;

    (void)err;
    core_restore_dag(scheduler->core, row, dag);
    if (scheduler->watch != NULL && !row->is_stale)
        watch_remember(scheduler->watch, row->dag_id, row->file);
    return true;
}

static bool on_backfill(void *context, const struct backfill_row *row, struct err *err)
{
    struct recovery *recovery = context;

    (void)err;
    core_restore_backfill(recovery->scheduler->core, row);
    return true;
}

/* What the core can't do without the run's tasks: those that had begun fail, and so do their
 * attempts, whose worker is told to stop what nobody knows. */
static void fail_tasks(struct decisions *out, const struct run_rows *rows, const char *reason)
{
    int64_t now_us = clock_wall_us();

    for (size_t i = 0; i < rows->attempt_count; i++) {
        struct attempt_row row = rows->attempts[i];
        if (row.state != TASK_QUEUED && row.state != TASK_RUNNING)
            continue;
        row.state = TASK_FAILED;
        row.outcome = OUTCOME_STOPPED;
        row.ended_at_us = now_us;
        row.token = arena_strdup(&out->arena, row.token);
        row.worker = arena_strdup(&out->arena, row.worker);
        row.reason = arena_strdup(&out->arena, reason);
        row.rendered = arena_strdup(&out->arena, row.rendered);
        row.stop_reason = arena_strdup(&out->arena, row.stop_reason);
        row.outputs = NULL;
        decisions_add(out, DECIDE_ATTEMPT)->as.attempt = row;
    }
    for (size_t i = 0; i < rows->task_count; i++) {
        struct task_row row = rows->tasks[i];
        if (row.state == TASK_NONE || task_state_is_final(row.state))
            continue;
        struct decision *decision = decisions_add(out, DECIDE_TASK);
        decision->as.task.from = row.state;
        row.state = TASK_FAILED;
        row.ended_at_us = now_us;
        row.task_id = arena_strdup(&out->arena, row.task_id);
        row.reason = arena_strdup(&out->arena, reason);
        decision->as.task.row = row;
    }
}

/* A run that nobody can go on with would stay live for ever, and its backfill too. */
static void end_unreadable(struct scheduler *scheduler, const struct run_row *row,
                           const struct run_rows *rows, const char *why)
{
    struct buf reason = {0};

    log_error("run_not_recovered", "dag=%s run=%s", row->dag_id, row->run_id);
    buf_printf(&reason, "version_unreadable: %s", why);
    fail_tasks(&scheduler->decisions, rows, buf_text(&reason));
    if (!run_state_is_final(row->state))
        core_restore_unreadable_run(scheduler->core, row, buf_text(&reason));
    buf_release(&reason);
}

static bool on_run(void *context, const struct run_row *row, const struct version_row *version,
                   const struct task_row *tasks, size_t task_count,
                   const struct attempt_row *attempts, size_t attempt_count, struct err *err)
{
    struct recovery *recovery = context;
    const struct known_version *known = get_version(recovery, version);
    const struct run_rows rows = {.tasks = tasks,
                                  .task_count = task_count,
                                  .attempts = attempts,
                                  .attempt_count = attempt_count};

    (void)err;
    if (known->dag == NULL)
        end_unreadable(recovery->scheduler, row, &rows, known->why);
    else
        core_restore_run(recovery->scheduler->core, row, known->dag, tasks, task_count, attempts,
                         attempt_count);
    return true;
}

static struct core *make_core(const struct scheduler *scheduler)
{
    const struct settings *settings = scheduler->settings;
    struct store_identity identity = store_identity(scheduler->store);
    struct core_pool *pools = mem_alloc_array(settings->pool_count, sizeof(*pools));
    struct core_config config = {
        .instance = identity.instance,
        .epoch = identity.epoch,
        .pools = pools,
        .pool_count = settings->pool_count,
        .schedules = scheduler->only_dag_id == NULL,
        .last_version_id = identity.last_version_id,
        .last_run_id = identity.last_run_id,
        .last_backfill_id = identity.last_backfill_id,
        .last_asset_event_id = identity.last_asset_event_id,
        .last_callback_id = identity.last_callback_id,
    };

    for (size_t i = 0; i < settings->pool_count; i++)
        pools[i] = (struct core_pool){settings->pools[i].name, settings->pools[i].slots};
    struct core *core = core_new(&config);
    free(pools);
    return core;
}

static bool on_asset_wait(void *context, const struct asset_wait_row *row, struct err *err)
{
    (void)err;
    core_restore_asset_wait(context, row);
    return true;
}

static bool on_asset_event(void *context, const struct asset_event_row *row, struct err *err)
{
    (void)err;
    core_restore_asset_event(context, row);
    return true;
}

/* A scheduler of one DAG tells nobody of updates: those are for the next one of all. */
static bool load_assets(struct scheduler *scheduler, struct err *err)
{
    return scheduler->only_dag_id != NULL ||
           (store_load_asset_waits(scheduler->store, on_asset_wait, scheduler->core, err) &&
            store_load_unseen_asset_events(scheduler->store, on_asset_event, scheduler->core, err));
}

static void on_foreign_token(void *context, const char *token)
{
    (void)json_object_set_new(context, token, json_true());
}

static void expect_workers(struct scheduler *scheduler)
{
    const char **bound = mem_alloc_array(BOUND_WORKERS_MAX, sizeof(*bound));
    size_t count = core_bound_workers(scheduler->core, bound, BOUND_WORKERS_MAX);

    for (size_t i = 0; i < count; i++)
        absent_expect(scheduler->absent, bound[i]);
    free(bound);
}

static void on_callback(void *context, const struct callback_row *row)
{
    struct scheduler *scheduler = context;

    core_restore_callback(scheduler->core, row);
}

bool scheduler_recover(struct scheduler *scheduler, struct err *err)
{
    struct recovery recovery = {.scheduler = scheduler};
    const char *only = scheduler->only_dag_id;

    scheduler->core = make_core(scheduler);
    scheduler->foreign_tokens = json_object();
    bool ok = store_load_dags(scheduler->store, only, on_dag, &recovery, err) &&
              load_assets(scheduler, err) &&
              store_load_live_backfills(scheduler->store, only, on_backfill, &recovery, err) &&
              store_load_live_runs(scheduler->store, only, on_run, &recovery, err) &&
              store_load_callbacks(scheduler->store, only, on_callback, scheduler, err) &&
              (only == NULL || store_load_foreign_tokens(scheduler->store, only, on_foreign_token,
                                                         scheduler->foreign_tokens, err));
    for (size_t i = 0; i < recovery.count; i++) {
        dag_unref(recovery.versions[i].dag);
        free(recovery.versions[i].why);
    }
    free(recovery.versions);
    if (!ok)
        return err_wrap(err, "recover");
    core_restored(scheduler->core, clock_wall_us(), &scheduler->decisions);
    turn_ask(scheduler);
    expect_workers(scheduler);
    return true;
}
