/* JSON views: one function per schema of Airflow's API (v2, 3.2), each writing one object with
 * every key the schema has, plus a few of our own at the end. */
#ifndef MILLRACE_WEB_VIEW_H
#define MILLRACE_WEB_VIEW_H

#include "base/jw.h"
#include "millrace/dag.h"
#include "scheduler/store/read.h"

struct settings;

/* DAGResponse; with details non-NULL DAGDetailsResponse. `dag` may be NULL: see versions_get(). */
struct view_dag {
    const struct dag_row *row;
    const struct dag *dag;
    const char *dags_folder;
    bool has_import_errors;
    const struct version_row *version; /* details only; else NULL */
    int64_t active_runs;
};
void view_dag(struct jw *w, const struct view_dag *view);

/* DagVersionResponse. */
void view_version(struct jw *w, const char *dag_id, int64_t number, int64_t created_at_us);

/* TaskResponse. */
void view_task(struct jw *w, const struct dag *dag, uint32_t index);

/* DAGRunResponse. */
void view_run(struct jw *w, const struct run_view *view);

/* A run in brief, for the bars of the page. */
void view_run_brief(struct jw *w, const struct run_view *view);

/* TaskInstanceResponse. */
void view_task_instance(struct jw *w, const struct task_view *view, const struct dag *dag);

/* TaskInstanceHistoryResponse. */
void view_attempt(struct jw *w, const struct task_view *view, const struct attempt_row *attempt,
                  const struct dag *dag);

/* BackfillResponse. */
/* What only Millrace tells of a backfill: members of the object that is open. */
void view_backfill_own(struct jw *w, const struct backfill_row *row);
void view_backfill(struct jw *w, const struct backfill_row *row);

/* ImportErrorResponse. */
void view_import_error(struct jw *w, const struct import_error_row *row);

/* An event of the stream, and an entry of `explain`. */
void view_callback(struct jw *w, const struct callback_row *row);
void view_transition(struct jw *w, const struct transition_view *view);

#endif
