#include "scheduler/retention.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "scheduler/old_files.h"
#include "scheduler/store/prune.h"

#include <stdlib.h>

/* Between two steps; a step costs some milliseconds. A busy loop is left alone for a while. */
#define STEP_MS 50
#define BUSY_STEPS_MAX 40

/* Between two passes: a tenth of the shortest time that something is kept. */
#define PASS_MS_MIN 200
#define PASS_MS_MAX (10 * 60 * 1000)

#define KEYS_KEPT_US (7 * US_PER_DAY)

/* Runs whose files are asked about, and emptied, in one step. */
#define RUNS_MAX 64

enum phase { PHASE_ROWS, PHASE_LIST, PHASE_FILES };

struct retention {
    struct scheduler *scheduler;
    uv_timer_t timer;
    uv_work_t work;
    bool is_working;
    enum phase phase;
    struct prune prune;
    uint64_t turns; /* of the loop, at the last step */
    int busy_steps;
    struct old_files files; /* the threads' while is_working */
    size_t at;              /* the next of files.runs */
};

static const struct retention_setting *settings_of(const struct retention *retention)
{
    return &retention->scheduler->settings->retention;
}

static int64_t before(int64_t now_us, int64_t kept_us)
{
    return kept_us == 0 ? 0 : now_us - kept_us;
}

static void on_step(uv_timer_t *timer);

static void step_later(struct retention *retention, uint64_t delay_ms)
{
    if (!retention->scheduler->is_stopping)
        (void)uv_timer_start(&retention->timer, on_step, delay_ms, 0);
}

static uint64_t pass_ms(const struct retention *retention)
{
    const struct retention_setting *kept = settings_of(retention);
    int64_t shortest_us = KEYS_KEPT_US;

    if (kept->runs_us != 0 && kept->runs_us < shortest_us)
        shortest_us = kept->runs_us;
    if (kept->logs_us != 0 && kept->logs_us < shortest_us)
        shortest_us = kept->logs_us;
    int64_t ms = shortest_us / 10 / US_PER_MS;
    return ms < PASS_MS_MIN ? PASS_MS_MIN : ms > PASS_MS_MAX ? PASS_MS_MAX : (uint64_t)ms;
}

static void end_pass(struct retention *retention)
{
    if (retention->prune.runs > 0 || retention->files.removed > 0)
        log_info("retention", "runs=%lld rows=%lld files=%lld", (long long)retention->prune.runs,
                 (long long)retention->prune.rows, (long long)retention->files.removed);
    old_files_release(&retention->files);
    retention->prune = (struct prune){0};
    retention->phase = PHASE_ROWS;
    step_later(retention, pass_ms(retention));
}

/* ---- files ---- */

static void on_listing(uv_work_t *work)
{
    struct retention *retention = work->data;

    old_files_list(&retention->files, retention->scheduler->settings->state_folder);
}

static void on_removing(uv_work_t *work)
{
    struct retention *retention = work->data;

    old_files_remove(&retention->files, retention->scheduler->settings->state_folder);
}

static void on_worked(uv_work_t *work, int status)
{
    struct retention *retention = work->data;

    (void)status;
    retention->is_working = false;
    handle_closed(retention->scheduler);
    if (retention->phase == PHASE_LIST)
        retention->phase = PHASE_FILES;
    step_later(retention, STEP_MS);
}

static void work_on(struct retention *retention, uv_work_cb what)
{
    handle_opened(retention->scheduler);
    retention->is_working = true;
    retention->work.data = retention;
    (void)uv_queue_work(retention->scheduler->loop, &retention->work, what, on_worked);
}

/* Asks the store which of the next runs are over, and has their files removed. */
static bool step_files(struct retention *retention, struct err *err)
{
    struct scheduler *scheduler = retention->scheduler;
    int64_t now_us = clock_wall_us();
    int64_t old_us = before(now_us, settings_of(retention)->logs_us);

    retention->files.due_count = 0;
    for (size_t seen = 0; seen < RUNS_MAX && retention->at < retention->files.run_count; seen++) {
        int64_t run = retention->files.runs[retention->at++];
        bool is_gone = false;
        bool is_over = false;
        if (!store_is_run_over(scheduler->store, run, old_us, &is_gone, &is_over, err))
            return false;
        if (is_gone || is_over)
            old_files_due(&retention->files, run, is_gone ? now_us : old_us);
    }
    if (retention->files.due_count > 0)
        work_on(retention, on_removing);
    else if (retention->at < retention->files.run_count)
        step_later(retention, STEP_MS);
    else
        end_pass(retention);
    return true;
}

/* ---- rows ---- */

static bool step_rows(struct retention *retention, struct err *err)
{
    int64_t now_us = clock_wall_us();
    bool more = false;

    retention->prune.ended_before_us = before(now_us, settings_of(retention)->runs_us);
    retention->prune.keys_before_us = now_us - KEYS_KEPT_US;
    if (!store_prune(retention->scheduler->store, &retention->prune, &more, err))
        return false;
    if (!more && settings_of(retention)->runs_us == 0 && settings_of(retention)->logs_us == 0) {
        end_pass(retention);
        return true;
    }
    if (!more) {
        retention->phase = PHASE_LIST;
        retention->at = 0;
    }
    step_later(retention, STEP_MS);
    return true;
}

static bool is_busy(struct retention *retention)
{
    bool busy =
        retention->turns != retention->scheduler->turns && ++retention->busy_steps < BUSY_STEPS_MAX;

    retention->turns = retention->scheduler->turns;
    if (!busy)
        retention->busy_steps = 0;
    return busy;
}

static void on_step(uv_timer_t *timer)
{
    struct retention *retention = timer->data;
    struct err err = {0};
    bool ok = true;

    if (retention->scheduler->has_ended)
        return;
    if (is_busy(retention)) {
        step_later(retention, STEP_MS);
        return;
    }
    switch (retention->phase) {
    case PHASE_ROWS:
        ok = step_rows(retention, &err);
        break;
    case PHASE_LIST:
        work_on(retention, on_listing);
        break;
    case PHASE_FILES:
        ok = step_files(retention, &err);
        break;
    }
    if (!ok) {
        log_error("retention_failed", "error=\"%s\"", err.message);
        loop_end(retention->scheduler, &err);
    }
}

struct retention *retention_open(struct scheduler *scheduler)
{
    struct retention *retention = mem_alloc(sizeof(*retention));

    retention->scheduler = scheduler;
    (void)uv_timer_init(scheduler->loop, &retention->timer);
    retention->timer.data = retention;
    handle_opened(scheduler);
    step_later(retention, pass_ms(retention));
    return retention;
}

static void on_closed(uv_handle_t *handle)
{
    struct retention *retention = handle->data;

    handle_closed(retention->scheduler);
}

void retention_close(struct retention *retention)
{
    if (retention->is_working)
        (void)uv_cancel((uv_req_t *)&retention->work);
    uv_close((uv_handle_t *)&retention->timer, on_closed);
}

void retention_free(struct retention *retention)
{
    if (retention == NULL)
        return;
    old_files_release(&retention->files);
    free(retention);
}
