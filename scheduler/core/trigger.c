/* Manual runs. */
#include "base/digest.h"
#include "base/json.h"
#include "base/timefmt.h"
#include "scheduler/core/parts.h"

#include <stdio.h>

/* What a manual run's id must not begin with: the ids of the other types. */
static const char *const reserved_prefixes[] = {"scheduled__", "backfill__", "asset_triggered__"};

/* "manual__<run_after>_<8 digits>". Times may be equal, the digits are not: an odd multiplier maps
 * each count of a start of the scheduler to another number. */
static const char *make_run_id(struct core *core, int64_t run_after_us)
{
    char date[TIMEFMT_SIZE];
    uint64_t base = digest_xxh3(str_from(core->instance), core->epoch);
    uint32_t digits = (uint32_t)base ^ (uint32_t)(++core->trigger_count * 0x9E3779B1u);

    return reason_format(core, "manual__%s_%08x", timefmt_iso_offset(run_after_us, date), digits);
}

static bool run_id_is_good(struct core *core, const struct event *event)
{
    const char *run_id = event->as.trigger.run_id;

    if (run_id == NULL)
        return true;
    if (!str_is_id(str_from(run_id))) {
        reply_error(core, event, ERR_BAD_REQUEST,
                    "the run id '%.250s' is not allowed: 1 to 250 characters of [A-Za-z0-9_.~:+-]",
                    run_id);
        return false;
    }
    for (size_t i = 0; i < sizeof(reserved_prefixes) / sizeof(reserved_prefixes[0]); i++) {
        if (str_starts(str_from(run_id), str_from(reserved_prefixes[i]))) {
            reply_error(core, event, ERR_BAD_REQUEST,
                        "the run id '%.250s' of a manual run must not begin with '%s'", run_id,
                        reserved_prefixes[i]);
            return false;
        }
    }
    return true;
}

static bool conf_is_good(struct core *core, const struct event *event, const struct dag *dag)
{
    struct err err = {0};
    bool is_good = true;

    if (event->as.trigger.conf == NULL)
        return true;
    json_t *conf = json_parse(str_from(event->as.trigger.conf), &err);
    if (!json_is_object(conf)) {
        reply_error(core, event, ERR_BAD_REQUEST, "conf must be a JSON object%s%.500s",
                    err.code == ERR_NONE ? "" : ": ", err.code == ERR_NONE ? "" : err.message);
        is_good = false;
    } else if (!conf_fits_params(dag, conf, &err)) {
        reply_error(core, event, ERR_BAD_REQUEST, "%s", err.message);
        is_good = false;
    }
    json_decref(conf);
    return is_good;
}

static bool is_new(struct core *core, const struct event *event)
{
    const struct event_trigger *trigger = &event->as.trigger;
    char date[TIMEFMT_SIZE];

    if (trigger->run_id != NULL &&
        (trigger->run_id_exists || run_known_by_name(core, trigger->dag_id, trigger->run_id))) {
        reply_error(core, event, ERR_CONFLICT,
                    "DAG run with dag_id: '%s' and run_id: '%s' exists already", trigger->dag_id,
                    trigger->run_id);
        return false;
    }
    if (trigger->logical_date_us != 0 &&
        (trigger->logical_date_exists ||
         run_known_by_date(core, trigger->dag_id, trigger->logical_date_us))) {
        reply_error(core, event, ERR_CONFLICT,
                    "DAG run with dag_id: '%s' and logical_date: '%s' exists already",
                    trigger->dag_id, timefmt_iso_offset(trigger->logical_date_us, date));
        return false;
    }
    return true;
}

/* The data interval of a run with a logical date: as asked for, else the schedule's interval that
 * the date lies in, so that the date means the same as in a backfill. */
static struct interval trigger_interval(const struct dag *dag, const struct event_trigger *trigger)
{
    struct interval interval = {trigger->interval_start_us, trigger->interval_end_us};

    if (interval.start_us != 0 || interval.end_us != 0 || trigger->logical_date_us == 0)
        return interval;
    if (!timetable_interval_until(dag, trigger->logical_date_us, &interval))
        interval = (struct interval){trigger->logical_date_us, trigger->logical_date_us};
    return interval;
}

void trigger_run(struct core *core, const struct event *event)
{
    const struct event_trigger *trigger = &event->as.trigger;
    struct dag_entry *entry = dags_find(core, trigger->dag_id);

    if (entry == NULL || entry->current == NULL) {
        reply_error(core, event, ERR_NOT_FOUND, "DAG with dag_id: '%s' not found", trigger->dag_id);
        return;
    }
    if (entry->row.is_stale) {
        reply_error(core, event, ERR_NOT_FOUND, "DAG with dag_id: '%s' not found: its file is gone",
                    trigger->dag_id);
        return;
    }
    if (!run_id_is_good(core, event) || !conf_is_good(core, event, entry->current) ||
        !is_new(core, event))
        return;
    struct interval interval = trigger_interval(entry->current, trigger);
    int64_t run_after = trigger->run_after_us != 0 ? trigger->run_after_us : core->now_us;
    struct run_row row = {
        .id = ++core->last_run_id,
        .dag_id = entry->row.dag_id,
        .run_id = trigger->run_id != NULL ? trigger->run_id : make_run_id(core, run_after),
        .version_id = entry->row.version_id,
        .run_type = RUN_TYPE_MANUAL,
        .state = RUN_QUEUED,
        .triggered_by = trigger->triggered_by,
        .logical_date_us = trigger->logical_date_us,
        .interval_start_us = interval.start_us,
        .interval_end_us = interval.end_us,
        .run_after_us = run_after,
        .queued_at_us = core->now_us,
        .is_forced = trigger->is_forced,
        .conf = trigger->conf,
        .note = trigger->note,
    };
    run_insert(core, run_new(core, entry, entry->current, &row), DECIDE_RUN_NEW, RUN_QUEUED);
    dags_touch(core, entry);
    reply_done(core, event, row.id);
}
