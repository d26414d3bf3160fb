#include "web/explain.h"

#include "base/timefmt.h"
#include "web/explain_cause.h"
#include "web/view.h"

#include <string.h>

#define WAITS_MAX 20

static const struct dag_task *spec_of(const struct explain *all, const struct task_row *row)
{
    return all->dag == NULL || row->task >= all->dag->task_count ? NULL
                                                                 : &all->dag->tasks[row->task];
}

const struct task_row *explain_find(const struct explain *all, const char *task_id,
                                    int32_t map_index)
{
    for (size_t i = 0; i < all->task_count; i++)
        if (strcmp(all->tasks[i].task_id, task_id) == 0 && all->tasks[i].map_index == map_index)
            return &all->tasks[i];
    return NULL;
}

/* depends_on_past: nothing in its own run gives a task that has not begun such a reason. */
static bool waits_for_past(const struct explain *all, const struct task_row *row)
{
    return all->run.run.state == RUN_RUNNING && row->state == TASK_NONE && row->reason != NULL &&
           (str_starts(str_from(row->reason), STR("waiting_for: ")) ||
            str_starts(str_from(row->reason), STR("depends_on_past: ")));
}

bool explain_needs_now(const struct explain *all)
{
    bool needs = all->run.run.state == RUN_QUEUED;

    for (size_t i = 0; !needs && i < all->task_count; i++)
        needs = all->tasks[i].state == TASK_SCHEDULED || waits_for_past(all, &all->tasks[i]);
    return needs && !run_state_is_final(all->run.run.state);
}

/* ---- reasons and times ---- */

static const char *run_reason(const struct explain *all)
{
    const json_t *now = json_object_get(all->now, "run");

    return json_is_string(now) ? json_string_value(now) : all->run.run.reason;
}

/* What the scheduler says of a task that waits, else what its row says. */
static const char *task_reason(const struct explain *all, const struct task_row *row)
{
    const json_t *tasks = json_object_get(all->now, "tasks");
    size_t i;
    const json_t *task;

    if (row->state != TASK_SCHEDULED && !waits_for_past(all, row))
        return row->reason;
    json_array_foreach(tasks, i, task)
    {
        if (json_integer_value(json_object_get(task, "task")) == row->task &&
            json_integer_value(json_object_get(task, "map_index")) == row->map_index)
            return json_string_value(json_object_get(task, "reason"));
    }
    return row->reason;
}

/* Since when a task instance (NULL = the run) is in its state; 0 = not known any more. */
static int64_t since(const struct explain *all, const struct task_row *row)
{
    for (size_t i = all->transition_count; i-- > 0;) {
        const struct transition_view *t = &all->transitions[i];
        bool is_it = row == NULL ? t->task_id == NULL
                                 : t->task_id != NULL && t->map_index == row->map_index &&
                                       strcmp(t->task_id, row->task_id) == 0;
        if (is_it)
            return t->at_us;
    }
    return row == NULL ? all->run.run.queued_at_us : row->scheduled_at_us;
}

/* ---- what is waited for ---- */

static void write_wait(struct jw *w, const struct explain_wait *wait)
{
    jw_begin_object(w);
    jw_kv_string(w, "kind", wait->kind);
    jw_kv_string(w, "what", wait->what);
    jw_kv_time(w, "since", wait->since_us);
    jw_kv_time(w, "until", wait->until_us);
    jw_kv_string(w, "unblocked_by", wait->unblocked_by);
    jw_end_object(w);
}

static void wait_reason(struct jw *w, const char *reason, int64_t since_us, int64_t until_us)
{
    struct explain_wait wait = explain_cause(reason);

    wait.since_us = since_us;
    wait.until_us = until_us;
    write_wait(w, &wait);
}

static void wait_task(struct jw *w, const struct explain *all, const struct task_row *row,
                      const char *kind)
{
    struct buf what = {0};

    buf_add_text(&what, row->task_id);
    if (row->map_index >= 0)
        buf_printf(&what, "[%d]", row->map_index);
    buf_printf(&what, " (%s)", task_state_name(row->state));
    const struct explain_wait wait = {.kind = kind,
                                      .what = buf_text(&what),
                                      .since_us = since(all, row),
                                      .until_us = row->retry_at_us,
                                      .unblocked_by = "its end"};
    write_wait(w, &wait);
    buf_release(&what);
}

static void wait_past(struct jw *w, const struct explain *all, const struct task_row *row)
{
    const char *what = task_reason(all, row);
    bool is_lost = str_starts(str_from(what), STR("depends_on_past: "));

    write_wait(w,
               &(struct explain_wait){.kind = "past",
                                      .what = what,
                                      .since_us = since(all, row),
                                      .unblocked_by = is_lost ? "clearing or marking it in that run"
                                                              : "its end in that run"});
}

/* The upstream instances that have not ended, or with `unfinished` all of the run that began. */
static void wait_upstreams(struct jw *w, const struct explain *all, const struct dag_task *spec)
{
    size_t count = 0;

    for (uint32_t i = 0; i < spec->upstream_count; i++)
        for (size_t k = 0; k < all->task_count && count < WAITS_MAX; k++) {
            const struct task_row *row = &all->tasks[k];
            if (row->task != spec->upstream[i] || task_state_is_final(row->state))
                continue;
            wait_task(w, all, row, "upstream");
            count++;
        }
}

static void wait_none(struct jw *w, const struct explain *all, const struct task_row *row)
{
    const struct run_row *run = &all->run.run;
    const struct dag_task *spec = spec_of(all, row);

    if (run->state == RUN_QUEUED) {
        wait_reason(w, run_reason(all), since(all, NULL), 0);
    } else if (run_state_is_final(run->state)) {
        const struct explain_wait wait = {
            .kind = "run",
            .what = "the run is over",
            .since_us = since(all, NULL),
            .unblocked_by = "queueing the run again (millrace runs mark DAG RUN queued)"};
        write_wait(w, &wait);
    } else if (waits_for_past(all, row)) {
        wait_past(w, all, row);
    } else if (spec != NULL) {
        wait_upstreams(w, all, spec);
    }
}

static void write_task_waits(struct jw *w, const struct explain *all, const struct task_row *row)
{
    const struct explain_wait begin = {"worker", "its worker has not begun it", since(all, row), 0,
                                       "a free place at the worker"};
    const struct explain_wait stop = {"attempt", "the attempt that has to stop first",
                                      since(all, row), 0, "its end"};

    jw_key(w, "waits_for");
    jw_begin_array(w);
    switch (row->state) {
    case TASK_NONE:
        wait_none(w, all, row);
        break;
    case TASK_SCHEDULED:
    case TASK_UP_FOR_RETRY:
    case TASK_UP_FOR_RESCHEDULE:
    case TASK_DEFERRED:
        wait_reason(w, task_reason(all, row), since(all, row), row->retry_at_us);
        break;
    case TASK_QUEUED:
        write_wait(w, &begin);
        break;
    case TASK_RESTARTING:
        write_wait(w, &stop);
        break;
    case TASK_RUNNING:
    case TASK_SUCCESS:
    case TASK_FAILED:
    case TASK_UPSTREAM_FAILED:
    case TASK_SKIPPED:
    case TASK_REMOVED:
    case TASK_STATE_COUNT:
        break;
    }
    jw_end_array(w);
}

static void write_run_waits(struct jw *w, const struct explain *all)
{
    enum run_state state = all->run.run.state;
    size_t count = 0;

    jw_key(w, "waits_for");
    jw_begin_array(w);
    if (state == RUN_QUEUED)
        wait_reason(w, run_reason(all), since(all, NULL), 0);
    for (size_t i = 0; state == RUN_RUNNING && i < all->task_count && count < WAITS_MAX; i++) {
        const struct task_row *row = &all->tasks[i];
        bool is_held = waits_for_past(all, row);
        if ((row->state == TASK_NONE && !is_held) || task_state_is_final(row->state))
            continue;
        if (is_held)
            wait_past(w, all, row);
        else
            wait_task(w, all, row, "task");
        count++;
    }
    jw_end_array(w);
}

/* ---- why it ended so ---- */

static void write_because(struct jw *w, const struct explain *all, const struct task_row *row)
{
    struct buf log = {0};

    jw_begin_object(w);
    jw_kv_string(w, "task_id", row->task_id);
    jw_kv_int(w, "map_index", row->map_index);
    jw_kv_string(w, "state", task_state_name(row->state));
    jw_kv_int(w, "try_number", row->try_number);
    jw_kv_time(w, "since", since(all, row));
    jw_kv_string(w, "reason", row->reason);
    if (row->started_at_us != 0)
        buf_printf(&log, "millrace logs %s %s %s --try %lld", all->run.run.dag_id,
                   all->run.run.run_id, row->task_id, (long long)row->try_number);
    jw_kv_string(w, "log", log.len == 0 ? NULL : buf_text(&log));
    jw_end_object(w);
    buf_release(&log);
}

/* What made a task end as it did: an upstream that failed rather than one that was not run for its
 * sake; for a skipped one, an upstream that was skipped. */
static const struct task_row *next_cause(const struct explain *all, const struct task_row *row)
{
    static const enum task_state of_failed[] = {TASK_FAILED, TASK_UPSTREAM_FAILED, TASK_SKIPPED};
    static const enum task_state of_skipped[] = {TASK_SKIPPED, TASK_FAILED, TASK_UPSTREAM_FAILED};
    const enum task_state *order = row->state == TASK_SKIPPED ? of_skipped : of_failed;
    const struct dag_task *spec = spec_of(all, row);

    if (spec == NULL || (row->state != TASK_UPSTREAM_FAILED && row->state != TASK_SKIPPED))
        return NULL;
    if (row->state == TASK_SKIPPED && row->started_at_us != 0)
        return NULL; /* it skipped itself */
    for (size_t state = 0; state < 3; state++)
        for (uint32_t i = 0; i < spec->upstream_count; i++)
            for (size_t k = 0; k < all->task_count; k++)
                if (all->tasks[k].task == spec->upstream[i] && all->tasks[k].state == order[state])
                    return &all->tasks[k];
    return NULL;
}

/* From the task itself to the root cause. Upstreams have no cycles, so this ends. */
static const struct task_row *write_chain(struct jw *w, const struct explain *all,
                                          const struct task_row *row)
{
    const struct task_row *root = row;

    jw_key(w, "because");
    jw_begin_array(w);
    for (; row != NULL; row = next_cause(all, row)) {
        root = row;
        if (task_state_is_final(row->state) && row->state != TASK_SUCCESS)
            write_because(w, all, row);
    }
    jw_end_array(w);
    return root;
}

/* ---- task instances ---- */

/* "Waits for a (running), b (none)"; nothing if no upstream is left to wait for. */
static void describe_upstreams(const struct explain *all, const struct dag_task *spec,
                               struct buf *out)
{
    for (uint32_t i = 0; spec != NULL && i < spec->upstream_count; i++) {
        for (size_t k = 0; k < all->task_count; k++) {
            const struct task_row *up = &all->tasks[k];
            if (up->task == spec->upstream[i] && !task_state_is_final(up->state))
                buf_printf(out, "%s%s (%s)", out->len == 0 ? "Waits for " : ", ", up->task_id,
                           task_state_name(up->state));
        }
    }
}

/* One sentence. */
static void describe(const struct explain *all, const struct task_row *row, struct buf *out)
{
    const char *reason = task_reason(all, row);

    if (row->state == TASK_NONE && all->run.run.state == RUN_QUEUED) {
        buf_add_text(out, "The run has not started");
        reason = run_reason(all);
    } else if (row->state == TASK_NONE) {
        describe_upstreams(all, spec_of(all, row), out);
    }
    if (out->len == 0)
        explain_state(row, spec_of(all, row), out);
    if (reason != NULL && row->state != TASK_SUCCESS)
        buf_printf(out, ": %s", reason);
}

static void write_upstream(struct jw *w, const struct explain *all, const struct dag_task *spec)
{
    jw_key(w, "upstream");
    jw_begin_array(w);
    for (uint32_t i = 0; spec != NULL && i < spec->upstream_count; i++) {
        const struct task_row *row = NULL;
        for (size_t k = 0; row == NULL && k < all->task_count; k++)
            if (all->tasks[k].task == spec->upstream[i])
                row = &all->tasks[k];
        jw_begin_object(w);
        jw_kv_string(w, "task_id", all->dag->tasks[spec->upstream[i]].task_id);
        jw_kv_string(w, "state", row == NULL ? "none" : task_state_name(row->state));
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void write_task(struct jw *w, const struct explain *all, const struct task_row *row)
{
    const struct dag_task *spec = spec_of(all, row);
    struct buf why = {0};

    describe(all, row, &why);
    jw_kv_string(w, "task_id", row->task_id);
    jw_kv_int(w, "map_index", row->map_index);
    jw_kv_string(w, "state", task_state_name(row->state));
    jw_kv_time(w, "since", since(all, row));
    jw_kv_int(w, "try_number", row->try_number);
    jw_kv_string(w, "why", buf_text(&why));
    jw_kv_string(w, "reason", task_reason(all, row));
    jw_kv_string(w, "pool", spec == NULL ? NULL : spec->pool);
    jw_kv_string(w, "trigger_rule", spec == NULL ? NULL : trigger_rule_name(spec->trigger_rule));
    jw_kv_time(w, "retry_at", row->retry_at_us);
    write_upstream(w, all, spec);
    buf_release(&why);
}

static void write_attempts(struct jw *w, const struct explain *all)
{
    jw_key(w, "attempts");
    jw_begin_array(w);
    for (size_t i = 0; i < all->attempt_count; i++) {
        const struct attempt_row *attempt = &all->attempts[i];
        jw_begin_object(w);
        jw_kv_int(w, "try_number", attempt->try_number);
        jw_kv_string(w, "state", task_state_name(attempt->state));
        jw_kv_time(w, "started", attempt->started_at_us);
        jw_kv_time(w, "ended", attempt->ended_at_us);
        jw_kv_string(w, "reason", attempt->reason);
        jw_end_object(w);
    }
    jw_end_array(w);
}

static void write_transitions(struct jw *w, const struct explain *all, const struct task_row *row)
{
    jw_key(w, "transitions");
    jw_begin_array(w);
    for (size_t i = 0; i < all->transition_count; i++) {
        const struct transition_view *t = &all->transitions[i];
        if (row == NULL || (t->task_id != NULL && t->map_index == row->map_index &&
                            strcmp(t->task_id, row->task_id) == 0))
            view_transition(w, t);
    }
    jw_end_array(w);
}

/* Those of one task instance, or with NULL all. */
static void write_callbacks(struct jw *w, const struct explain *all, const struct task_row *row)
{
    jw_key(w, "callbacks");
    jw_begin_array(w);
    for (size_t i = 0; i < all->callback_count; i++) {
        const struct callback_row *callback = &all->callbacks[i];
        if (row == NULL ||
            (callback->task_id != NULL && strcmp(callback->task_id, row->task_id) == 0 &&
             callback->map_index == row->map_index))
            view_callback(w, callback);
    }
    jw_end_array(w);
}

void explain_task(struct jw *w, const struct explain *all, const struct task_row *row)
{
    jw_begin_object(w);
    jw_kv_string(w, "subject", "task_instance");
    jw_kv_string(w, "dag_id", all->run.run.dag_id);
    jw_kv_string(w, "dag_run_id", all->run.run.run_id);
    write_task(w, all, row);
    jw_kv_bool(w, "is_current", all->now != NULL || !explain_needs_now(all));
    write_task_waits(w, all, row);
    (void)write_chain(w, all, row);
    write_attempts(w, all);
    write_callbacks(w, all, row);
    write_transitions(w, all, row);
    jw_end_object(w);
}

/* ---- runs ---- */

/* The tasks that failed of themselves, which is what made the run fail. */
static void write_run_because(struct jw *w, const struct explain *all)
{
    size_t count = 0;

    jw_key(w, "because");
    jw_begin_array(w);
    for (size_t i = 0; all->run.run.state == RUN_FAILED && i < all->task_count; i++)
        if (all->tasks[i].state == TASK_FAILED && count++ < WAITS_MAX)
            write_because(w, all, &all->tasks[i]);
    jw_end_array(w);
}

static void describe_run(const struct explain *all, struct buf *out)
{
    const char *reason = run_reason(all);
    size_t done = 0;
    size_t running = 0;

    for (size_t i = 0; i < all->task_count; i++) {
        done += task_state_is_final(all->tasks[i].state);
        running += all->tasks[i].state == TASK_RUNNING;
    }
    buf_printf(out, "The run is %s", run_state_name(all->run.run.state));
    if (all->run.run.state == RUN_RUNNING)
        buf_printf(out, ", %zu of %zu task instances have ended, %zu run", done, all->task_count,
                   running);
    if (reason != NULL)
        buf_printf(out, ": %s", reason);
}

void explain_run(struct jw *w, const struct explain *all)
{
    const struct run_row *run = &all->run.run;
    struct buf why = {0};

    describe_run(all, &why);
    jw_begin_object(w);
    jw_kv_string(w, "subject", "dag_run");
    jw_kv_string(w, "dag_id", run->dag_id);
    jw_kv_string(w, "dag_run_id", run->run_id);
    jw_kv_string(w, "state", run_state_name(run->state));
    jw_kv_time(w, "since", since(all, NULL));
    jw_kv_string(w, "why", buf_text(&why));
    jw_kv_string(w, "reason", run_reason(all));
    jw_kv_bool(w, "is_current", all->now != NULL || !explain_needs_now(all));
    jw_kv_bool(w, "is_paused", all->dag_row.is_paused);
    jw_kv_int(w, "dag_version", all->run.version_number);
    write_run_waits(w, all);
    write_run_because(w, all);
    jw_key(w, "tasks");
    jw_begin_array(w);
    for (size_t i = 0; i < all->task_count; i++) {
        jw_begin_object(w);
        write_task(w, all, &all->tasks[i]);
        jw_end_object(w);
    }
    jw_end_array(w);
    write_callbacks(w, all, NULL);
    write_transitions(w, all, NULL);
    jw_end_object(w);
    buf_release(&why);
}

/* ---- DAGs ---- */

static void write_dag_waits(struct jw *w, const struct explain_dag *of)
{
    const struct explain_wait pause = {"pause", "the DAG is paused", 0, 0,
                                       "unpausing it (millrace dags unpause)"};
    const struct explain_wait stale = {"file", "its file is gone", 0, 0, "the file"};
    const struct explain_wait broken = {"file", "its file has errors: the last good version runs",
                                        0, 0, "a file without errors (millrace check)"};
    const struct explain_wait limit = {"limit", "max_active_runs is reached", 0, 0,
                                       "the end of a run, or a higher max_active_runs"};
    const struct explain_wait time = {"time", "the end of the next data interval", 0,
                                      of->row->next_end_us, "the time"};
    const struct explain_wait trigger = {"trigger", "it has no next run by schedule", 0, 0,
                                         "a trigger (millrace dags trigger)"};
    const struct explain_wait assets = {"condition", "updates of the assets of its schedule", 0, 0,
                                        "the updates, or a trigger (millrace dags trigger)"};
    bool by_assets = of->dag != NULL && of->dag->schedule.kind == SCHEDULE_ASSETS;
    bool is_due = of->row->next_end_us != 0 && of->row->next_end_us <= of->now_us;

    jw_key(w, "waits_for");
    jw_begin_array(w);
    if (of->row->is_stale) { /* nothing else matters */
        write_wait(w, &stale);
        jw_end_array(w);
        return;
    }
    if (of->import_error != NULL)
        write_wait(w, &broken);
    if (of->row->is_paused)
        write_wait(w, &pause);
    if (of->dag != NULL && of->counted >= of->dag->max_active_runs)
        write_wait(w, &limit);
    if (!is_due)
        write_wait(w, of->row->next_end_us != 0 ? &time : by_assets ? &assets : &trigger);
    jw_end_array(w);
}

void explain_dag(struct jw *w, const struct explain_dag *of)
{
    const struct dag_row *row = of->row;
    const char *state = row->is_stale ? "stale" : row->is_paused ? "paused" : "active";
    struct buf why = {0};
    char when[TIMEFMT_SIZE];

    buf_printf(&why, "The DAG is %s", state);
    if (row->is_paused && row->pause_reason != NULL)
        buf_printf(&why, " (%s)", row->pause_reason);
    if (of->import_error != NULL)
        buf_add_text(&why, "; its file has errors");
    if (row->next_end_us != 0)
        buf_printf(&why, "; the next run by schedule is due %s",
                   timefmt_utc(row->next_end_us, when));
    else if (of->dag != NULL && of->dag->schedule.kind == SCHEDULE_ASSETS)
        buf_printf(&why, "; it runs when there is news of %s", of->dag->schedule.text);
    else
        buf_add_text(&why, "; it has no next run by schedule");
    jw_begin_object(w);
    jw_kv_string(w, "subject", "dag");
    jw_kv_string(w, "dag_id", row->dag_id);
    jw_kv_string(w, "state", state);
    jw_kv_string(w, "why", buf_text(&why));
    jw_kv_string(w, "reason", row->pause_reason);
    write_dag_waits(w, of);
    jw_kv_string(w, "import_error", of->import_error);
    jw_kv_time(w, "next_data_interval_start", row->next_start_us);
    jw_kv_time(w, "next_run_after", row->next_end_us);
    jw_kv_int(w, "queued_runs", of->queued);
    jw_kv_int(w, "running_runs", of->running);
    if (of->dag == NULL)
        jw_kv_null(w, "max_active_runs");
    else
        jw_kv_int(w, "max_active_runs", of->dag->max_active_runs);
    if (of->backfill_id == 0)
        jw_kv_null(w, "backfill_id");
    else
        jw_kv_int(w, "backfill_id", of->backfill_id);
    jw_end_object(w);
    buf_release(&why);
}
