#include "scheduler/recover.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "scheduler/absent.h"
#include "scheduler/parse.h"
#include "scheduler/watch.h"

#include <stdlib.h>

#define BOUND_WORKERS_MAX 1024

/* Parsed versions, so that a thousand runs of one version parse it once. */
struct known_version {
    int64_t id;
    struct dag *dag; /* NULL = this program can't read it */
};

struct recovery {
    struct scheduler *scheduler;
    struct known_version *versions;
    size_t count;
    size_t capacity;
};

static struct dag *parse_version(const struct version_row *version)
{
    struct parse_report report = {0};
    struct dag *dag = parse_dag(NULL, version->source, version->file, &report);

    if (dag == NULL)
        log_error("version_unreadable", "dag=%s version=%lld report=\"%s\"", version->dag_id,
                  (long long)version->number, buf_text(&report.text));
    parse_report_release(&report);
    return dag;
}

static struct dag *get_version(struct recovery *recovery, const struct version_row *version)
{
    for (size_t i = recovery->count; i-- > 0;)
        if (recovery->versions[i].id == version->id)
            return recovery->versions[i].dag;
    if (recovery->count == recovery->capacity) {
        recovery->capacity = mem_grow(recovery->capacity, recovery->count + 1);
        recovery->versions =
            mem_resize_array(recovery->versions, recovery->capacity, sizeof(*recovery->versions));
    }
    struct dag *dag = parse_version(version);
    recovery->versions[recovery->count++] = (struct known_version){version->id, dag};
    return dag;
}

/* A version that this program can't read any more comes without its DAG: the file is read again by
 * the first scan, which gives either a new version or an import error. */
static bool on_dag(void *context, const struct dag_row *row, const struct version_row *version,
                   struct err *err)
{
    struct recovery *recovery = context;
    struct scheduler *scheduler = recovery->scheduler;
    struct dag *dag = get_version(recovery, version);

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

static bool on_run(void *context, const struct run_row *row, const struct version_row *version,
                   const struct task_row *tasks, size_t task_count,
                   const struct attempt_row *attempts, size_t attempt_count, struct err *err)
{
    struct recovery *recovery = context;
    struct dag *dag = get_version(recovery, version);

    (void)err;
    if (dag == NULL) {
        log_error("run_not_recovered", "dag=%s run=%s", row->dag_id, row->run_id);
        return true;
    }
    core_restore_run(recovery->scheduler->core, row, dag, tasks, task_count, attempts,
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
    };

    for (size_t i = 0; i < settings->pool_count; i++)
        pools[i] = (struct core_pool){settings->pools[i].name, settings->pools[i].slots};
    struct core *core = core_new(&config);
    free(pools);
    return core;
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

bool scheduler_recover(struct scheduler *scheduler, struct err *err)
{
    struct recovery recovery = {.scheduler = scheduler};
    const char *only = scheduler->only_dag_id;

    scheduler->core = make_core(scheduler);
    scheduler->foreign_tokens = json_object();
    bool ok = store_load_dags(scheduler->store, only, on_dag, &recovery, err) &&
              store_load_live_backfills(scheduler->store, only, on_backfill, &recovery, err) &&
              store_load_live_runs(scheduler->store, only, on_run, &recovery, err) &&
              (only == NULL || store_load_foreign_tokens(scheduler->store, only, on_foreign_token,
                                                         scheduler->foreign_tokens, err));
    for (size_t i = 0; i < recovery.count; i++)
        dag_unref(recovery.versions[i].dag);
    free(recovery.versions);
    if (!ok)
        return err_wrap(err, "recover");
    core_restored(scheduler->core, clock_wall_us(), &scheduler->decisions);
    turn_ask(scheduler);
    expect_workers(scheduler);
    return true;
}
