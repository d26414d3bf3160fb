#include "scheduler/core/backfill_judge.h"

#include <string.h>

static const char *same(const char *text)
{
    return text == NULL ? "" : text;
}

/* Why a finished run counts as stale; false if it does not. */
static bool is_stale(const struct backfill_terms *terms, const struct backfill_past *past,
                     struct buf *reason)
{
    if (past->state == RUN_FAILED)
        buf_add_text(reason, "stale: it failed");
    else if (strcmp(same(past->version_hash), same(terms->version_hash)) != 0)
        buf_printf(reason, "stale: version %lld → %lld", (long long)past->version_number,
                   (long long)terms->version_number);
    else if (strcmp(same(past->conf), same(terms->conf)) != 0)
        buf_add_text(reason, "stale: another conf");
    else if (past->changed_input != NULL)
        buf_printf(reason, "stale: input %s has changed", past->changed_input);
    else
        return false;
    return true;
}

static bool is_asked_for(const struct backfill_terms *terms, const struct backfill_past *past,
                         struct buf *reason)
{
    switch (terms->reprocess) {
    case REPROCESS_FAILED:
        if (past->state != RUN_FAILED)
            break;
        buf_add_text(reason, "failed");
        return true;
    case REPROCESS_COMPLETED:
        buf_add_text(reason, past->state == RUN_FAILED ? "failed" : "succeeded");
        return true;
    case REPROCESS_STALE:
        return is_stale(terms, past, reason);
    case REPROCESS_NONE:
    case REPROCESS_MISSING:
    case REPROCESS_COUNT:
        break;
    }
    return false;
}

enum backfill_verdict backfill_judge(const struct backfill_terms *terms,
                                     const struct backfill_past *past, struct buf *reason)
{
    if (!past->exists) {
        buf_add_text(reason, "no run");
        return BACKFILL_CREATES;
    }
    if (!run_state_is_final(past->state)) {
        buf_printf(reason, "in flight: %s", run_state_name(past->state));
        return BACKFILL_IN_FLIGHT;
    }
    if (!is_asked_for(terms, past, reason)) {
        buf_add_text(reason, past->state == RUN_FAILED             ? "exists and failed"
                             : terms->reprocess == REPROCESS_STALE ? "exists and is up to date"
                                                                   : "exists and succeeded");
        return BACKFILL_SKIPS;
    }
    if (past->has_moved) {
        buf_printf(reason, "; but tasks to keep stand elsewhere: version %lld → %lld",
                   (long long)past->version_number, (long long)terms->version_number);
        return BACKFILL_SKIPS;
    }
    return BACKFILL_REPROCESSES;
}

const char *backfill_verdict_name(enum backfill_verdict verdict)
{
    static const char *const names[] = {"create", "reprocess", "skip", "in_flight"};

    return names[verdict];
}

const char *backfill_past_error(const struct dag *dag, enum reprocess reprocess, bool run_backwards)
{
    if (!dag->looks_back)
        return NULL;
    if (run_backwards)
        return "Backfill cannot be run in reverse when the DAG has tasks where "
               "depends_on_past=True.";
    if (reprocess == REPROCESS_NONE || reprocess == REPROCESS_MISSING)
        return "DAG has tasks for which depends_on_past=True. You must set reprocess behavior to "
               "reprocess completed or reprocess failed.";
    return NULL;
}
