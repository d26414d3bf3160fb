/* What a backfill would do, interval by interval, by the same rule as the scheduler's: Airflow's
 * dry run, and our plan, which gives the reasons, page by page. */
#include "web/handlers.h"

#include "base/clock.h"
#include "base/mem.h"
#include "scheduler/core/backfill_judge.h"
#include "scheduler/core/conf.h"
#include "web/backfill_body.h"
#include "web/route.h"
#include "web/versions.h"
#include "web/view.h"

#include <stdlib.h>

enum { DRY_RUN_MAX = 100000, PAGE_DEFAULT = 1000 };

struct plan {
    struct web *web;
    struct request *request;
    const struct dag *dag;   /* the current version, borrowed from web->versions */
    struct backfill_row row; /* as it would be made */
    struct backfill_terms terms;
    bool *outside; /* per task; NULL = the backfill is of all tasks */
    struct interval intervals[PAGE_DEFAULT];
    size_t count; /* of the part that is looked at */
    bool has_more;
    struct past_run *past;
    size_t past_count;
    int64_t verdicts[BACKFILL_IN_FLIGHT + 1];
};

static char *conf_text(struct arena *arena, const json_t *body)
{
    const json_t *conf = json_object_get(body, "dag_run_conf");
    struct buf text = {0};

    if (!json_is_object(conf))
        return arena_strdup(arena, "{}");
    json_dump_canonical(conf, &text);
    char *copy = arena_strdup(arena, buf_text(&text));
    buf_release(&text);
    return copy;
}

/* What creating the backfill would be refused for, answered. */
static bool is_refused(const struct plan *plan, const json_t *body, enum reprocess reprocess)
{
    const json_t *conf = json_object_get(body, "dag_run_conf");
    const json_t *tasks = json_object_get(body, "tasks");
    const char *past = plan->dag == NULL
                           ? NULL
                           : backfill_past_error(plan->dag, reprocess, plan->row.run_backwards);
    struct err err = {0};

    if (plan->dag == NULL ||
        (plan->dag->schedule.kind != SCHEDULE_CRON && plan->dag->schedule.kind != SCHEDULE_EVERY))
        respond_detail(plan->request, 422, "%s has no schedule that gives intervals to fill",
                       plan->row.dag_id);
    else if (plan->row.from_us > plan->row.created_at_us)
        respond_detail(plan->request, 422, "Backfill cannot be executed for future dates.");
    else if (past != NULL)
        respond_detail(plan->request, 422, "%s", past);
    else if (json_is_object(conf) && !conf_fits_params(plan->dag, conf, &err))
        respond_detail(plan->request, 422, "%s", err.message);
    else if (json_is_array(tasks) && !backfill_tasks_are_good(plan->dag, plan->row.tasks, &err))
        respond_detail(plan->request, 422, "%s", err.message);
    else
        return false;
    return true;
}

static const char *tasks_text(struct arena *arena, const json_t *body)
{
    const json_t *tasks = json_object_get(body, "tasks");
    struct buf text = {0};

    if (!json_is_array(tasks))
        return NULL;
    json_dump_canonical(tasks, &text);
    const char *copy = arena_strdup(arena, buf_text(&text));
    buf_release(&text);
    return copy;
}

static bool plan_begin(struct plan *plan, const json_t *body, const struct dag_row *dag)
{
    struct arena *arena = &plan->request->arena;
    enum reprocess reprocess = REPROCESS_NONE;

    (void)reprocess_parse(str_from(json_get_string(body, "reprocess_behavior", "none")),
                          &reprocess);
    plan->dag = versions_get(plan->web->versions, dag->version_id);
    plan->row = (struct backfill_row){
        .dag_id = dag->dag_id,
        .from_us = body_time(body, "from_date"),
        .to_us = body_time(body, "to_date"),
        .run_backwards = json_get_bool(body, "run_backwards", false),
        .created_at_us = clock_wall_us(),
        .tasks = tasks_text(arena, body),
        .upstream = json_get_bool(body, "upstream", false),
        .downstream = json_get_bool(body, "downstream", false),
    };
    if (is_refused(plan, body, reprocess))
        return false;
    plan->terms = (struct backfill_terms){
        .reprocess = reprocess,
        .version_hash = plan->dag->hash,
        .version_number = dag->version_number,
        .conf = conf_text(arena, body),
    };
    if (plan->row.tasks != NULL) {
        plan->outside = arena_alloc_array(arena, plan->dag->task_count, sizeof(*plan->outside));
        (void)backfill_select(plan->dag, plan->row.tasks, plan->row.upstream, plan->row.downstream,
                              plan->outside);
    }
    return true;
}

/* Reads the intervals from the cursor on, and the runs that are there for them. */
static bool plan_read(struct plan *plan, int64_t *cursor_us, size_t max, struct err *err)
{
    struct interval next = {0};
    int64_t step = plan->row.run_backwards ? -1 : 1;

    plan->count = 0;
    plan->has_more = backfill_interval_at(plan->dag, &plan->row, *cursor_us, &next);
    while (plan->has_more && plan->count < max && plan->count < PAGE_DEFAULT) {
        plan->intervals[plan->count++] = next;
        *cursor_us = next.start_us + step;
        plan->has_more = backfill_interval_at(plan->dag, &plan->row, *cursor_us, &next);
    }
    if (plan->count == 0)
        return true;
    int64_t first = plan->intervals[0].start_us;
    int64_t last = plan->intervals[plan->count - 1].start_us;
    const struct past_question question = {
        .dag_id = plan->row.dag_id,
        .from_us = first < last ? first : last,
        .to_us = first < last ? last : first,
        .with_inputs = plan->terms.reprocess == REPROCESS_STALE,
    };
    return read_past_runs(plan->web->read, &plan->request->arena, &question, &plan->past,
                          &plan->past_count, err);
}

static int by_date(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = ((const struct past_run *)b)->logical_date_us;

    return x < y ? -1 : x > y;
}

/* Whether a task that would be kept stands at another place in the version of the run. */
static bool has_moved(const struct plan *plan, const struct past_run *past)
{
    const struct dag *old =
        plan->outside == NULL ? NULL : versions_get(plan->web->versions, past->version_id);

    for (uint32_t t = 0; old != NULL && t < old->task_count; t++) {
        uint32_t place = dag_find_task(plan->dag, str_from(old->tasks[t].task_id));
        if (place != UINT32_MAX && plan->outside[place] && place != t)
            return true;
    }
    return false;
}

static enum backfill_verdict judge(const struct plan *plan, const struct interval *interval,
                                   const struct past_run **ret_run, struct buf *reason)
{
    const struct past_run *run = plan->past_count == 0
                                     ? NULL
                                     : bsearch(&interval->start_us, plan->past, plan->past_count,
                                               sizeof(*plan->past), by_date);
    struct backfill_past past = {.exists = run != NULL};

    *ret_run = run;
    if (run != NULL) {
        past.state = run->state;
        past.version_hash = run->version_hash;
        past.version_number = run->version_number;
        past.conf = run->conf;
        past.changed_input = run->changed_input;
        past.has_moved = has_moved(plan, run);
    }
    return backfill_judge(&plan->terms, &past, reason);
}

static void write_date(struct jw *w, int64_t us)
{
    jw_begin_object(w);
    jw_kv_time(w, "logical_date", us);
    jw_kv_null(w, "partition_key");
    jw_kv_null(w, "partition_date");
    jw_end_object(w);
}

/* Of the part that was read: those that a run would be made for. */
static int64_t write_made(const struct plan *plan, struct jw *w)
{
    int64_t made = 0;

    for (size_t i = 0; i < plan->count; i++) {
        const struct past_run *run = NULL;
        struct buf reason = {0};
        enum backfill_verdict verdict = judge(plan, &plan->intervals[i], &run, &reason);
        buf_release(&reason);
        if (verdict != BACKFILL_CREATES && verdict != BACKFILL_REPROCESSES)
            continue;
        write_date(w, plan->intervals[i].start_us);
        made++;
    }
    return made;
}

static int64_t begin_of(const struct plan *plan)
{
    return plan->row.run_backwards ? plan->row.to_us : plan->row.from_us;
}

void handle_backfill_dry_run(struct web *web, struct request *request)
{
    struct dag_row dag = {0};
    struct plan plan = {.web = web, .request = request};
    json_t *body = backfill_body(web, request, false, &dag);
    struct buf dates = {0};
    struct jw list = {.out = &dates};
    struct err err = {0};
    int64_t made = 0;
    size_t seen = 0;

    if (body == NULL)
        return;
    bool ok = plan_begin(&plan, body, &dag);
    json_decref(body);
    if (!ok)
        return;
    int64_t cursor = begin_of(&plan);
    jw_begin_array(&list);
    do {
        ok = plan_read(&plan, &cursor, PAGE_DEFAULT, &err);
        made += ok ? write_made(&plan, &list) : 0;
        seen += plan.count;
    } while (ok && plan.has_more && seen < DRY_RUN_MAX);
    jw_end_array(&list);
    if (!ok) {
        respond_err(request, &err);
    } else {
        struct jw w = {.out = respond_json(request, 200)};
        jw_begin_object(&w);
        jw_kv_raw(&w, "backfills", buf_text(&dates));
        jw_kv_int(&w, "total_entries", made);
        jw_end_object(&w);
    }
    buf_release(&dates);
}

static void write_interval(struct plan *plan, struct jw *w, const struct interval *interval)
{
    const struct past_run *run = NULL;
    struct buf reason = {0};
    enum backfill_verdict verdict = judge(plan, interval, &run, &reason);

    plan->verdicts[verdict]++;
    jw_begin_object(w);
    jw_kv_time(w, "logical_date", interval->start_us);
    jw_kv_time(w, "data_interval_end", interval->end_us);
    jw_kv_string(w, "action", backfill_verdict_name(verdict));
    jw_kv_string(w, "reason", buf_text(&reason));
    jw_kv_string(w, "dag_run_id", run == NULL ? NULL : run->run_id);
    jw_end_object(w);
    buf_release(&reason);
}

static void write_tasks(const struct plan *plan, struct jw *w)
{
    jw_key(w, "tasks");
    jw_begin_array(w);
    for (uint32_t t = 0; t < plan->dag->task_count; t++)
        if (plan->outside == NULL || !plan->outside[t])
            jw_string(w, plan->dag->tasks[t].task_id);
    jw_end_array(w);
}

/* `is_first`: with how many intervals there are, which costs as much as all pages do. */
static void write_plan(struct plan *plan, bool is_first, struct jw *w)
{
    jw_begin_object(w);
    jw_key(w, "intervals");
    jw_begin_array(w);
    for (size_t i = 0; i < plan->count; i++)
        write_interval(plan, w, &plan->intervals[i]);
    jw_end_array(w);
    jw_key(w, "counts");
    jw_begin_object(w);
    for (enum backfill_verdict v = BACKFILL_CREATES; v <= BACKFILL_IN_FLIGHT; v++)
        jw_kv_int(w, backfill_verdict_name(v), plan->verdicts[v]);
    jw_end_object(w);
    write_tasks(plan, w);
    if (is_first)
        jw_kv_int(w, "total_entries",
                  timetable_count(plan->dag, plan->row.from_us, plan->row.to_us,
                                  plan->row.created_at_us));
    if (plan->has_more)
        jw_kv_time(w, "next", plan->intervals[plan->count - 1].start_us);
    else
        jw_kv_null(w, "next");
    jw_end_object(w);
}

void handle_backfill_plan(struct web *web, struct request *request)
{
    struct dag_row dag = {0};
    struct plan plan = {.web = web, .request = request};
    json_t *body = backfill_body(web, request, true, &dag);
    struct err err = {0};

    if (body == NULL)
        return;
    bool ok = plan_begin(&plan, body, &dag);
    int64_t after = body_time(body, "after");
    size_t limit = (size_t)json_get_int(body, "limit", PAGE_DEFAULT);
    json_decref(body);
    if (!ok)
        return;
    int64_t cursor = after == 0 ? begin_of(&plan) : plan.row.run_backwards ? after - 1 : after + 1;
    if (!plan_read(&plan, &cursor, limit, &err)) {
        respond_err(request, &err);
        return;
    }
    struct jw w = {.out = respond_json(request, 200)};
    write_plan(&plan, after == 0, &w);
}
