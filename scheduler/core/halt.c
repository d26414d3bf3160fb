/* Runs that are to end early: their work is stopped, what has not begun is skipped, and only their
 * teardowns still run. */
#include "base/timefmt.h"
#include "scheduler/core/parts.h"

void run_doom(struct core *core, struct run *run, enum task_state running_to, const char *reason)
{
    if (run->row.doom != NULL || run->row.state != RUN_RUNNING)
        return;
    run->row.doom = arena_strdup(&run->arena, reason);
    run_tell(core, run, reason);
    for (uint32_t i = 0; i < run->dag->task_count; i++) {
        struct task *node = &run->tasks[i];
        for (uint32_t k = 0; !task_spec(node)->is_teardown && k < task_instance_count(node); k++) {
            struct task *task = task_instance(node, k);
            if (!task_state_is_final(task->state))
                task_decide(core, task, task->attempt == NULL ? TASK_SKIPPED : running_to, reason);
        }
    }
}

void run_stop_tasks(struct core *core, struct run *run, const char *reason)
{
    for (uint32_t i = 0; i < run->dag->task_count; i++) {
        struct task *node = &run->tasks[i];
        for (uint32_t k = 0; k < task_instance_count(node); k++) {
            struct task *task = task_instance(node, k);
            if (!task_state_is_final(task->state))
                task_decide(core, task, task->attempt != NULL ? TASK_FAILED : TASK_SKIPPED, reason);
        }
    }
}

/* From now on it ends by its leaves, however long that takes, also after a restart. */
void run_pardon(struct core *core, struct run *run, const char *reason)
{
    run->row.doom = NULL;
    run->row.deadlines_missed |= RUN_TIMEOUT_WAIVED;
    timer_disarm(&core->timers, &run->timer);
    run_tell(core, run, reason);
}

void run_arm_timeout(struct core *core, struct run *run)
{
    int64_t timeout_us = run->dag->dagrun_timeout_us;

    if (timeout_us == 0 || run->row.doom != NULL ||
        (run->row.deadlines_missed & RUN_TIMEOUT_WAIVED) != 0)
        return;
    run->timer.kind = TIMER_RUN_TIMEOUT;
    timer_arm(core, &core->timers, &run->timer, run->row.started_at_us + timeout_us);
}

void run_timed_out(struct core *core, struct run *run)
{
    struct buf text = {0};

    duration_format(run->dag->dagrun_timeout_us, &text);
    run_doom(core, run, TASK_SKIPPED, reason_format(core, "dagrun_timeout: %s", buf_text(&text)));
    buf_release(&text);
}

void run_task_failed(struct core *core, const struct task *task)
{
    const struct dag_task *spec = task_spec(task);

    if (PLANTED(FAIL_FAST_IGNORED) || !task->run->dag->fail_fast ||
        (spec->is_teardown && !spec->on_failure_fail_dagrun))
        return;
    run_doom(core, task->run, TASK_FAILED, reason_format(core, "fail_fast: %s", spec->task_id));
}
