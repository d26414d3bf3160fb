#include "web/explain_cause.h"

#include "base/timefmt.h"

#include <string.h>

/* The longer of two that begin alike comes first. */
static const struct {
    const char *prefix;
    const char *kind;
    const char *unblocked_by;
} causes[] = {
    {"dag_paused",                "pause",     "unpausing the DAG (millrace dags unpause)"                 },
    {"waiting_for: run_after",    "time",      "the time"                                                  },
    {"waiting_for: retry",        "time",      "the time of the next try"                                  },
    {"waiting_for:",              "condition", "what the sensor waits for"                                 },
    {"max_active_runs",           "limit",     "the end of a running run, or a higher max_active_runs"     },
    {"made_way_for:",             "limit",     "the end of the earlier run that has its place"             },
    {"max_active_tasks",          "limit",     "the end of a task of the run, or a higher max_active_tasks"},
    {"max_active_tis_per_dagrun", "limit",     "the end of an instance of the task in this run"            },
    {"max_active_tis_per_dag",    "limit",     "the end of an instance of the task in any run"             },
    {"no_pool",                   "pool",      "a pool of that name in millrace.yaml"                      },
    {"pool_too_small",            "pool",      "a larger pool, or fewer pool_slots"                        },
    {"pool_full",                 "pool",      "the end of a task that holds slots of the pool"            },
    {"workers_busy",              "worker",    "the end of another attempt, or one more worker"            },
    {"no_worker",                 "worker",    "a worker (millrace serve starts one)"                      },
};

struct explain_wait explain_cause(const char *reason)
{
    for (size_t i = 0; reason != NULL && i < sizeof(causes) / sizeof(causes[0]); i++)
        if (strncmp(reason, causes[i].prefix, strlen(causes[i].prefix)) == 0)
            return (struct explain_wait){
                .kind = causes[i].kind, .what = reason, .unblocked_by = causes[i].unblocked_by};
    return (struct explain_wait){.kind = "scheduler",
                                 .what = reason == NULL ? "the scheduler's next look" : reason,
                                 .unblocked_by = "the scheduler"};
}

void explain_state(const struct task_row *row, const struct dag_task *spec, struct buf *out)
{
    char when[TIMEFMT_SIZE];

    switch (row->state) {
    case TASK_NONE:
        buf_add_text(out, "Has not begun");
        break;
    case TASK_SCHEDULED:
        buf_printf(out, "Ready; waits for a slot of pool %s and a worker",
                   spec == NULL ? "?" : spec->pool);
        break;
    case TASK_QUEUED:
        buf_printf(out, "Handed to a worker; try %lld has not begun", (long long)row->try_number);
        break;
    case TASK_RUNNING:
        buf_printf(out, "Try %lld is running", (long long)row->try_number);
        break;
    case TASK_SUCCESS:
        buf_printf(out, "Try %lld succeeded", (long long)row->try_number);
        break;
    case TASK_FAILED:
        buf_printf(out, "Failed at try %lld of %lld", (long long)row->try_number,
                   (long long)row->max_tries + 1);
        break;
    case TASK_UP_FOR_RETRY:
        buf_printf(out, "Try %lld failed; the next one comes at %s", (long long)row->try_number,
                   row->retry_at_us == 0 ? "once" : timefmt_utc(row->retry_at_us, when));
        break;
    case TASK_UPSTREAM_FAILED:
        buf_printf(out, "Never ran: its trigger rule %s can't be met any more",
                   spec == NULL ? "?" : trigger_rule_name(spec->trigger_rule));
        break;
    case TASK_UP_FOR_RESCHEDULE:
    case TASK_DEFERRED:
        buf_add_text(out, "Waits without a slot");
        break;
    case TASK_RESTARTING:
        buf_add_text(out, "Cleared; runs again once the attempt that runs has stopped");
        break;
    case TASK_SKIPPED:
    case TASK_REMOVED:
    case TASK_STATE_COUNT:
        buf_add_text(out, task_state_name(row->state));
        break;
    }
}
