#include "scheduler/changes.h"

#include "base/log.h"
#include "base/mem.h"
#include "scheduler/parse.h"

#include <stdlib.h>

bool changes_is_change(enum event_kind kind)
{
    return kind == EVENT_CLEAR || kind == EVENT_MARK_TASKS || kind == EVENT_MARK_RUN;
}

/* NULL if this program can't read it any more, which the core tells the asker. */
static bool parse_version(struct scheduler *scheduler, int64_t id, struct dag **ret,
                          struct err *err)
{
    struct parse_report report = {0};
    struct version_row version = {0};

    if (!store_load_version(scheduler->store, &scheduler->turn_arena, id, &version, err))
        return false;
    *ret = parse_dag(NULL, version.source, version.file, &report);
    if (*ret == NULL)
        log_error("version_unreadable", "dag=%s version=%lld report=\"%s\"", version.dag_id,
                  (long long)version.number, buf_text(&report.text));
    parse_report_release(&report);
    if (*ret == NULL)
        return true;
    scheduler->versions = mem_resize_array(scheduler->versions, scheduler->version_count + 1,
                                           sizeof(*scheduler->versions));
    scheduler->versions[scheduler->version_count++] = *ret;
    return true;
}

/* Runs of one version mostly come one after the other, so that it is parsed once. */
static bool attach_version(struct scheduler *scheduler, const struct event_change *change,
                           struct run_rows *runs, size_t at, struct err *err)
{
    int64_t id = runs[at].row.version_id;

    runs[at].version = core_current_version(scheduler->core, change->dag_id, id);
    for (size_t i = at; i-- > 0 && runs[at].version == NULL;)
        if (runs[i].row.version_id == id)
            runs[at].version = runs[i].version;
    if (runs[at].version != NULL)
        return true;
    return parse_version(scheduler, id, &runs[at].version, err);
}

bool changes_prepare(struct scheduler *scheduler, struct event *event, struct err *err)
{
    struct event_change *change = &event->as.change;
    struct arena *arena = &scheduler->turn_arena;
    struct run_rows *runs = NULL;
    size_t task_count = 0;

    if (!store_choose_runs(scheduler->store, arena, change->dag_id, &change->which, &runs,
                           &change->run_count, err))
        return false;
    for (size_t i = 0; i < change->run_count; i++) {
        if (!attach_version(scheduler, change, runs, i, err))
            return false;
        if (core_has_run(scheduler->core, runs[i].row.id))
            continue;
        if (!store_load_run_rows(scheduler->store, arena, &runs[i], err))
            return false;
        task_count += runs[i].task_count;
        if (task_count > CHOICE_TASKS_MAX)
            return err_set(err, ERR_LIMIT,
                           "runs with more than %d task instances at once: give them in parts",
                           CHOICE_TASKS_MAX);
    }
    change->runs = runs;
    return true;
}

void changes_release(struct scheduler *scheduler)
{
    while (scheduler->version_count > 0)
        dag_unref(scheduler->versions[--scheduler->version_count]);
    free(scheduler->versions);
    scheduler->versions = NULL;
}
