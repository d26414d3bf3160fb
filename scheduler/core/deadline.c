/* Deadlines: a run that is not over by then is told of, once; it goes on all the same. Which ones a
 * run has missed stands in its row, so that a restart tells of none twice and of none too few. */
#include "base/buf.h"
#include "scheduler/core/parts.h"

/* 0 = never: the run lacks what it counts from. */
static int64_t deadline_at(const struct run *run, const struct dag_deadline *deadline)
{
    int64_t from_us = 0;

    switch (deadline->reference) {
    case DEADLINE_REFERENCE_LOGICAL_DATE:
        from_us = run->row.logical_date_us;
        break;
    case DEADLINE_REFERENCE_QUEUED_AT:
        from_us = run->row.queued_at_us;
        break;
    case DEADLINE_REFERENCE_SCHEDULE:
        from_us = run->row.run_after_us;
        break;
    case DEADLINE_REFERENCE_COUNT:
        break;
    }
    return from_us == 0 ? 0 : from_us + deadline->interval_us;
}

static bool is_missed(const struct run *run, uint32_t index)
{
    return (run->row.deadlines_missed & (INT64_C(1) << index)) != 0;
}

int64_t deadlines_kept(const struct run *run)
{
    int64_t kept = 0;

    for (uint32_t i = 0; i < run->dag->deadline_count; i++)
        if (is_missed(run, i) && run->dag->deadlines[i].reference != DEADLINE_REFERENCE_QUEUED_AT)
            kept |= INT64_C(1) << i;
    return kept;
}

void deadline_arm(struct core *core, struct run *run)
{
    int64_t next_us = 0;

    for (uint32_t i = 0; i < run->dag->deadline_count; i++) {
        int64_t at_us = deadline_at(run, &run->dag->deadlines[i]);
        if (at_us != 0 && !is_missed(run, i) && (next_us == 0 || at_us < next_us))
            next_us = at_us;
    }
    run->deadline.kind = TIMER_DEADLINE;
    timer_disarm(&core->timers, &run->deadline);
    if (next_us != 0)
        timer_arm(core, &core->timers, &run->deadline, next_us);
}

static const char *reason_of(struct core *core, const struct run *run,
                             const struct dag_deadline *deadline)
{
    char when[TIMEFMT_SIZE];
    struct buf interval = {0};

    duration_format(deadline->interval_us, &interval);
    const char *reason = reason_format(
        core, "deadline_missed: %s + %s, %s", deadline_reference_name(deadline->reference),
        buf_text(&interval), timefmt_utc(deadline_at(run, deadline), when));
    buf_release(&interval);
    return reason;
}

void deadline_passed(struct core *core, struct run *run)
{
    struct task of_run = {.run = run, .map_index = -1};

    for (uint32_t i = 0; i < run->dag->deadline_count; i++) {
        const struct dag_deadline *deadline = &run->dag->deadlines[i];
        int64_t at_us = deadline_at(run, deadline);
        if (at_us == 0 || at_us > core->now_us || is_missed(run, i))
            continue;
        run->row.deadlines_missed |= INT64_C(1) << i;
        const char *reason = reason_of(core, run, deadline);
        run_tell(core, run, reason);
        const struct occasion occasion = {&of_run, true, CALLBACK_EVENT_DEADLINE, reason};
        callbacks_make(core, &occasion, deadline->callbacks);
    }
    deadline_arm(core, run);
}
