/* What a backfill does with an interval, and why: one rule for the scheduler, which does it, and
 * for the plan, which tells of it beforehand. */
#ifndef MILLRACE_CORE_BACKFILL_JUDGE_H
#define MILLRACE_CORE_BACKFILL_JUDGE_H

#include "base/buf.h"
#include "base/err.h"
#include "millrace/dag.h"
#include "millrace/rows.h"
#include "scheduler/core/timetable.h"

enum backfill_verdict {
    BACKFILL_CREATES, /* there is no run */
    BACKFILL_REPROCESSES /* the run is cleared and becomes the backfill's */,
    BACKFILL_SKIPS,
    BACKFILL_IN_FLIGHT, /* the run has not ended: it is left alone */
};

/* What the backfill asks for, as of the DAG's current version. */
struct backfill_terms {
    enum reprocess reprocess;
    const char *version_hash;
    int64_t version_number;
    const char *conf; /* canonical JSON */
};

/* What is there for the interval. */
struct backfill_past {
    bool exists; /* all else is meaningful only then */
    enum run_state state;
    const char *version_hash; /* of the version that made it */
    int64_t version_number;
    const char *conf;          /* canonical JSON */
    const char *changed_input; /* a dataset it read that has another version now; NULL = none */
    bool has_moved; /* a task that would be kept stands at another place in the current version */
};

/* A run is stale when it failed, when its DAG version (by the hash of the file), its conf or a
 * dataset that it read is another one now. Appends the reason. */
enum backfill_verdict backfill_judge(const struct backfill_terms *terms,
                                     const struct backfill_past *past, struct buf *reason);

const char *backfill_verdict_name(enum backfill_verdict verdict);

/* The interval at, or next to, a cursor in the backfill's direction; false past its range. Only
 * intervals that were complete when the backfill was made belong to it. */
bool backfill_interval_at(const struct dag *dag, const struct backfill_row *row, int64_t cursor_us,
                          struct interval *ret);

/* Which tasks a backfill leaves alone, by its patterns (JSON array of task ids with * ? [ ]; NULL =
 * it leaves none alone): sets outside[i] per task and returns how many are part of it. */
uint32_t backfill_select(const struct dag *dag, const char *tasks, bool upstream, bool downstream,
                         bool *outside);

/* Why a backfill can't be made of a DAG that looks back (depends_on_past); NULL = it can. The words
 * are Airflow's, whose clients may look for them. */
const char *backfill_past_error(const struct dag *dag, enum reprocess reprocess,
                                bool run_backwards);

/* Whether `tasks` is an array of strings of which each fits a task. */
bool backfill_tasks_are_good(const struct dag *dag, const char *tasks, struct err *err);

#endif
