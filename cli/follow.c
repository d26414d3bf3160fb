#include "cli/follow.h"

#include "base/clock.h"
#include "base/timefmt.h"
#include "millrace/messages.h"

#include <string.h>
#include <unistd.h>

#define BATCH 500

/* A single run with more tasks than this tells of failures only. */
#define TASK_LINES_MAX 50
#define CALLBACK_LINES_MAX 10

void follow_init(struct follow *follow, const char *state_folder, const char *dag_id)
{
    *follow = (struct follow){.state_folder = state_folder, .dag_id = dag_id};
    follow->read = read_new(state_folder);
    follow->started_us = clock_mono_us();
}

void follow_release(struct follow *follow)
{
    read_free(follow->read);
    follow->read = NULL;
}

int64_t follow_last_seq(struct follow *follow)
{
    struct err err = {0};
    int64_t seq = 0;

    (void)read_last_seq(follow->read, &seq, &err);
    read_end(follow->read);
    return seq;
}

static void start(struct follow *follow, int64_t seq, const char *unit)
{
    follow->seq = seq;
    follow->has_ended = false;
    follow->has_failed = false;
    follow->run_id[0] = '\0';
    follow->counts = (struct progress_counts){0};
    progress_init(&follow->progress, unit, 0);
}

void follow_run(struct follow *follow, int64_t run, int64_t seq)
{
    follow->run = run;
    follow->backfill = 0;
    start(follow, seq, "tasks");
}

void follow_backfill(struct follow *follow, int64_t backfill, int64_t seq)
{
    follow->run = 0;
    follow->backfill = backfill;
    start(follow, seq, "runs");
}

static void add_seconds(struct buf *line, int64_t from_us, int64_t to_us)
{
    if (from_us != 0 && to_us >= from_us)
        buf_printf(line, "  %.1f s", (double)(to_us - from_us) / (double)US_PER_SECOND);
}

/* The path of the log as a user would type it: relative where it is below the working folder. */
static void add_log_path(const struct follow *follow, const struct task_row *task, struct buf *line)
{
    char folder[4096];
    const char *state = follow->state_folder;

    if (getcwd(folder, sizeof(folder)) != NULL) {
        size_t len = strlen(folder);
        if (strncmp(state, folder, len) == 0 && state[len] == '/')
            state += len + 1;
    }
    buf_printf(line, "%s/" STATE_LOG_FORMAT, state, (long long)task->run, task->task,
               task->map_index, (long long)task->try_number);
}

static void say(struct follow *follow, const struct buf *line)
{
    progress_clear(&follow->progress);
    fprintf(stderr, "%s\n", buf_text(line));
}

static bool is_failure(const char *state)
{
    return strcmp(state, "failed") == 0 || strcmp(state, "up_for_retry") == 0;
}

/* One line for a task that has ended: always for a failure, else for short single runs only. */
static void tell_task(struct follow *follow, struct arena *arena,
                      const struct transition_view *change)
{
    struct task_key key = {change->dag_id, change->run_id, change->task_id,
                           (int32_t)change->map_index};
    enum task_state state = TASK_NONE;
    struct task_view view = {0};
    struct err err = {0};
    struct buf line = {0};

    (void)task_state_parse(str_from(change->to_state), &state);
    bool failed = is_failure(change->to_state);
    bool wanted = failed || (follow->run != 0 && task_state_is_final(state) &&
                             follow->counts.total <= TASK_LINES_MAX);
    if (!wanted || !read_task(follow->read, arena, &key, &view, &err))
        return;
    buf_printf(&line, "%-15s %s%s%s", change->to_state, follow->run != 0 ? "" : change->run_id,
               follow->run != 0 ? "" : "  ", change->task_id);
    if (change->map_index >= 0)
        buf_printf(&line, "[%lld]", (long long)change->map_index);
    if (!failed)
        add_seconds(&line, view.task.started_at_us, view.task.ended_at_us);
    if (change->reason != NULL)
        buf_printf(&line, ": %s", change->reason);
    if (failed && view.task.try_number > 0) {
        view.task.try_number = change->try_number;
        buf_add_text(&line, "\n                log: ");
        add_log_path(follow, &view.task, &line);
    }
    say(follow, &line);
    buf_release(&line);
}

/* One line per run of a backfill: on a terminal the bar tells of those that went well. */
static void tell_run(struct follow *follow, struct arena *arena,
                     const struct transition_view *change)
{
    enum run_state state = RUN_QUEUED;
    struct run_view view = {0};
    struct err err = {0};
    struct buf line = {0};

    (void)run_state_parse(str_from(change->to_state), &state);
    if (follow->run != 0 || !run_state_is_final(state) ||
        (follow->progress.terminal && state == RUN_SUCCESS) ||
        !read_run(follow->read, arena, change->dag_id, change->run_id, &view, &err))
        return;
    buf_printf(&line, "%-15s %s", change->to_state, change->run_id);
    add_seconds(&line, view.run.started_at_us, view.run.ended_at_us);
    if (state == RUN_FAILED && change->reason != NULL)
        buf_printf(&line, ": %s", change->reason);
    say(follow, &line);
    buf_release(&line);
}

/* A run of many tasks tells of failures alone: the others are not even read. */
static bool read_changes(struct follow *follow, struct arena *arena, struct transition_view **ret,
                         size_t *ret_count, struct err *err)
{
    if (follow->run != 0 && follow->counts.total > TASK_LINES_MAX)
        return read_run_failures_after(follow->read, arena, follow->run, follow->seq, BATCH, ret,
                                       ret_count, err);
    return read_transitions_after(follow->read, arena, follow->seq, BATCH, ret, ret_count, err);
}

static bool tell_changes(struct follow *follow, struct arena *arena, struct err *err)
{
    size_t count = BATCH;
    int64_t last_seq = 0;

    if (!read_last_seq(follow->read, &last_seq, err))
        return false;
    while (count == BATCH) {
        struct transition_view *changes = NULL;
        if (!read_changes(follow, arena, &changes, &count, err))
            return false;
        for (size_t i = 0; i < count; i++) {
            const struct transition_view *change = &changes[i];
            follow->seq = change->seq;
            bool ours = strcmp(change->dag_id, follow->dag_id) == 0 &&
                        (follow->run != 0 ? strcmp(change->run_id, follow->run_id) == 0
                                          : change->backfill_id == follow->backfill);
            if (ours && change->task_id != NULL)
                tell_task(follow, arena, change);
            else if (ours)
                tell_run(follow, arena, change);
        }
    }
    follow->seq = last_seq;
    return true;
}

/* Reads all tasks of the run. */
static bool count_tasks(struct follow *follow, struct err *err)
{
    struct progress_counts *counts = &follow->counts;
    int64_t states[TASK_STATE_COUNT];

    if (!read_run_task_states(follow->read, follow->run, states, err))
        return false;
    *counts = (struct progress_counts){
        .succeeded = states[TASK_SUCCESS],
        .running = states[TASK_RUNNING],
        .upstream_failed = states[TASK_UPSTREAM_FAILED],
    };
    for (size_t state = 0; state < TASK_STATE_COUNT; state++) {
        counts->total += states[state];
        if (task_state_is_final((enum task_state)state))
            counts->done += states[state];
        if (task_state_is_failed((enum task_state)state))
            counts->failed += states[state];
    }
    return true;
}

static bool look_at_run(struct follow *follow, struct arena *arena, struct err *err)
{
    struct run_view view = {0};

    if (!read_run_by_row(follow->read, arena, follow->run, &view, err))
        return false;
    bool is_first = follow->run_id[0] == '\0';
    if ((is_first || run_state_is_final(view.run.state) ||
         progress_wants_counts(&follow->progress)) &&
        !count_tasks(follow, err))
        return false;
    (void)snprintf(follow->run_id, sizeof(follow->run_id), "%s", view.run.run_id);
    follow->has_ended = run_state_is_final(view.run.state);
    follow->has_failed = view.run.state == RUN_FAILED;
    return true;
}

static bool look_at_backfill(struct follow *follow, struct arena *arena, struct err *err)
{
    struct backfill_row row = {0};

    if (!read_backfill(follow->read, arena, follow->backfill, &row, err))
        return false;
    follow->counts = (struct progress_counts){
        .total = row.total,
        .done = row.succeeded + row.failed + row.skipped,
        .succeeded = row.succeeded,
        .failed = row.failed,
        .running = row.made - row.succeeded - row.failed,
    };
    follow->has_ended = row.completed_at_us != 0;
    follow->has_failed = row.failed > 0 || row.cancelled;
    return true;
}

bool follow_poll(struct follow *follow, struct err *err)
{
    struct arena arena = {0};

    if (follow->run == 0 && follow->backfill == 0)
        return true;
    /* All queries see one snapshot, so an end comes with everything before it. */
    bool ok = (follow->run != 0 ? look_at_run(follow, &arena, err)
                                : look_at_backfill(follow, &arena, err)) &&
              tell_changes(follow, &arena, err);
    read_end(follow->read);
    arena_release(&arena);
    if (!ok)
        return err->code == ERR_TIMEOUT || err->code == ERR_UNREACHABLE;
    if (follow->has_ended)
        progress_clear(&follow->progress);
    else
        progress_show(&follow->progress, &follow->counts);
    return true;
}

void follow_tell_waiting(struct follow *follow)
{
    struct run_filter filter = {.dag_id = follow->dag_id,
                                .states = "[\"queued\",\"running\"]",
                                .backfill_id = follow->backfill};
    struct read_page page = {.limit = 1, .order = {{"logical_date", false}}, .order_count = 1};
    struct arena arena = {0};
    struct run_view *runs = NULL;
    struct task_row *tasks = NULL;
    struct err err = {0};
    size_t count = 0;
    size_t task_count = 0;
    int64_t total = 0;

    if (read_runs(follow->read, &arena, &filter, &page, &runs, &count, &total, &err) && count > 0 &&
        read_run_tasks(follow->read, &arena, runs[0].run.id, &tasks, &task_count, &err)) {
        for (size_t i = 0; i < task_count; i++) {
            if (task_state_is_final(tasks[i].state) || tasks[i].reason == NULL)
                continue;
            fprintf(stderr, "  %s waits: %s\n", runs[0].run.run_id, tasks[i].reason);
            break;
        }
    }
    read_end(follow->read);
    arena_release(&arena);
}

void follow_tell_callbacks(struct follow *follow)
{
    struct arena arena = {0};
    struct callback_row *rows = NULL;
    struct err err = {0};
    size_t count = 0;

    if (!read_undelivered(follow->read, &arena, follow->run, follow->backfill,
                          CALLBACK_LINES_MAX + 1, &rows, &count, &err))
        count = 0;
    if (count > 0)
        progress_clear(&follow->progress);
    for (size_t i = 0; i < count && i < CALLBACK_LINES_MAX; i++) {
        const struct callback_row *row = &rows[i];
        fprintf(stderr, "warning: the %s callback (%s)%s%s was not delivered: %s\n",
                callback_event_name(row->event), row->kind, row->task_id == NULL ? "" : " of ",
                row->task_id == NULL ? "" : row->task_id, row->reason);
        fprintf(stderr, "  = help: %s\n",
                row->state == CALLBACK_STATE_FAILED
                    ? "its retries are spent"
                    : "it is tried again by the next `millrace serve` or `millrace run` here");
    }
    if (count > CALLBACK_LINES_MAX)
        fprintf(stderr,
                "warning: more callbacks were not delivered: `millrace explain` lists those "
                "of a run\n");
    read_end(follow->read);
    arena_release(&arena);
}

void follow_summary(const struct follow *follow, FILE *out)
{
    const struct progress_counts *counts = &follow->counts;
    double seconds = (double)(clock_mono_us() - follow->started_us) / (double)US_PER_SECOND;

    if (follow->run != 0) {
        fprintf(out, "%s  %s: %s, %lld of %lld tasks ok", follow->dag_id, follow->run_id,
                follow->has_failed ? "failed" : "success", (long long)counts->succeeded,
                (long long)counts->total);
        if (counts->failed > counts->upstream_failed)
            fprintf(out, ", %lld failed", (long long)(counts->failed - counts->upstream_failed));
        if (counts->upstream_failed > 0)
            fprintf(out, ", %lld not run (upstream failed)", (long long)counts->upstream_failed);
    } else {
        int64_t skipped = counts->done - counts->succeeded - counts->failed;
        fprintf(out, "%s: %s, %lld intervals, %lld ok", follow->dag_id,
                follow->has_failed ? "failed" : "success", (long long)counts->total,
                (long long)counts->succeeded);
        if (counts->failed > 0)
            fprintf(out, ", %lld failed", (long long)counts->failed);
        if (skipped > 0)
            fprintf(out, ", %lld done before", (long long)skipped);
    }
    fprintf(out, ", %.1f s\n", seconds);
}
