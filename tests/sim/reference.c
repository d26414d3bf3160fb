#include "tests/sim/reference.h"

#include "base/clock.h"
#include "base/mem.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define QUESTIONS_MAX SIM_WANTS_MAX

static bool is_active(const struct reference_task *task)
{
    return task->state == TASK_QUEUED || task->state == TASK_RUNNING;
}

static void end(struct reference *r, struct reference_task *task, enum task_state state)
{
    task->state = state;
    task->ended = ++r->last;
}

/* --- the run as its rules see it ------------------------------------------------------------- */

static struct naive_output output_of(void *context, uint32_t task)
{
    const struct reference_node *node = &((const struct reference_run *)context)->nodes[task];
    struct naive_output output = {NAIVE_MANY, NULL, 0};

    if (!node->is_mapped)
        return (struct naive_output){node->items[0].outputs == NULL ? NAIVE_MISSING : NAIVE_ONE,
                                     node->items[0].outputs, 0};
    for (uint32_t i = 0; i < node->count; i++)
        output.count += node->items[i].outputs != NULL;
    return output;
}

static bool has_succeeded(void *context, uint32_t task)
{
    const struct reference_node *node = &((const struct reference_run *)context)->nodes[task];

    return !node->is_mapped && node->items[0].state == TASK_SUCCESS;
}

static struct naive_run view_of(struct reference_run *run)
{
    return (struct naive_run){run->dates.dag, run->conf, run, output_of, has_succeeded};
}

static enum naive_verdict verdict_of_rule(const struct reference_run *run,
                                          const struct dag_task *spec)
{
    enum task_state states[REFERENCE_TASKS_MAX * REFERENCE_INSTANCES_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < spec->upstream_count; i++) {
        const struct reference_node *upstream = &run->nodes[spec->upstream[i]];
        for (uint32_t k = 0; k < upstream->count; k++)
            states[count++] =
                upstream->items[k].ending == END_IS_NEW ? TASK_NONE : upstream->items[k].state;
    }
    return naive_rule(spec->trigger_rule, states, count);
}

/* --- sensors --------------------------------------------------------------------------------- */

static struct reference_run *find_run(const struct reference *r,
                                      const struct naive_external *external)
{
    for (size_t i = 0; i < r->run_count; i++)
        if (r->runs[i]->dates.logical_date_us == external->date_us &&
            strcmp(r->runs[i]->dates.dag->dag_id, external->dag_id) == 0)
            return r->runs[i];
    return NULL;
}

/* A sensor that waits for another run. */
struct waiter {
    const struct reference_run *run;
    uint32_t index;
    struct reference_task *task;
    uint64_t armed;
    struct naive_external of;
    struct reference_run *other; /* NULL = is not there */
};

/* The one that began to wait next after `waiter` (all zero: the first of all); false if none. */
static bool next_waiter(const struct reference *r, struct waiter *waiter)
{
    struct waiter next = {0};

    for (size_t i = 0; i < r->run_count; i++)
        for (uint32_t k = 0; k < r->runs[i]->dates.dag->task_count; k++)
            for (uint32_t m = 0; m < r->runs[i]->nodes[k].count; m++) {
                struct reference_task *task = &r->runs[i]->nodes[k].items[m];
                if (task->state != TASK_DEFERRED || task->armed <= waiter->armed ||
                    r->runs[i]->dates.dag->tasks[k].wait.kind != WAIT_EXTERNAL ||
                    (next.task != NULL && task->armed > next.armed))
                    continue;
                next = (struct waiter){r->runs[i], k, task, task->armed, {0}, NULL};
            }
    if (next.task == NULL)
        return false;
    next.of = naive_external(&next.run->dates, next.run->dates.dag->tasks[next.index].options);
    next.other = find_run(r, &next.of);
    *waiter = next;
    return true;
}

static void mark_heard(struct reference *r, struct reference_run *run)
{
    if (run->heard == 0)
        run->heard = ++r->last;
}

/* A run is there, or has come to something: whoever waits for it by now, or does before they are
 * told, need not ask the store. */
static void tell_waiters(struct reference *r, struct reference_run *run)
{
    struct waiter waiter = {0};

    while (next_waiter(r, &waiter)) {
        if (waiter.other != run)
            continue;
        waiter.task->is_asking = false;
        mark_heard(r, run);
    }
}

static struct naive_news hear(const struct reference_run *run,
                              const struct naive_external *external)
{
    struct naive_news news = {0};
    uint32_t task = dag_find_task(run->dates.dag, str_from(external->task_id));

    if (external->task_id[0] == '\0')
        naive_hear(external, run_state_name(run->state), &news);
    for (uint32_t i = 0; task != UINT32_MAX && i < run->nodes[task].count; i++)
        naive_hear(external, task_state_name(run->nodes[task].items[i].state), &news);
    return news;
}

static void succeed(struct reference *r, const struct dag_task *spec, struct reference_task *task)
{
    end(r, task, TASK_SUCCESS);
    reference_succeeded(r, spec, NULL);
}

static void give_up(struct reference *r, const struct dag_task *spec, struct reference_task *task)
{
    end(r, task, spec->wait.is_soft ? TASK_SKIPPED : TASK_FAILED);
}

/* Whether a sensor ends because of what is known of the run it waits for. */
static bool judge(struct reference *r, const struct waiter *waiter)
{
    const struct dag_task *spec = &waiter->run->dates.dag->tasks[waiter->index];
    const struct naive_news news = hear(waiter->other, &waiter->of);

    if (news.any_failed)
        give_up(r, spec, waiter->task);
    else if (news.any && news.all_allowed)
        succeed(r, spec, waiter->task);
    return waiter->task->state != TASK_DEFERRED;
}

static void defer(struct reference *r, const struct reference_run *run, uint32_t index,
                  struct reference_task *task)
{
    const struct dag_task *spec = &run->dates.dag->tasks[index];

    task->state = TASK_DEFERRED;
    task->since_us = r->now_us;
    task->until_us = r->now_us + spec->wait.timeout_us;
    task->wake_at_us = task->until_us;
    if (spec->wait.kind == WAIT_TIME) {
        int64_t at_us = naive_instant(&run->dates, spec->options, task->since_us);
        if (at_us <= r->now_us)
            succeed(r, spec, task);
        else if (at_us < task->wake_at_us)
            task->wake_at_us = at_us;
    } else {
        const struct naive_external external = naive_external(&run->dates, spec->options);
        struct reference_run *other = find_run(r, &external);
        if (other != NULL && !run_state_is_final(other->state))
            mark_heard(r, other);
        task->is_asking = other == NULL || other->heard == 0;
    }
    task->armed = ++r->last;
}

static void wake(struct reference *r, const struct reference_run *run, uint32_t index,
                 struct reference_task *task)
{
    const struct dag_task *spec = &run->dates.dag->tasks[index];

    if (task->state == TASK_UP_FOR_RETRY) {
        task->state = TASK_SCHEDULED;
        task->tries++;
    } else if (spec->wait.kind == WAIT_TIME &&
               naive_instant(&run->dates, spec->options, task->since_us) <= r->now_us) {
        succeed(r, spec, task);
    } else {
        give_up(r, spec, task);
    }
}

/* --- one task -------------------------------------------------------------------------------- */

static void schedule(struct reference *r, struct reference_run *run, uint32_t index,
                     struct reference_task *task)
{
    enum wait_kind kind = run->dates.dag->tasks[index].wait.kind;

    task->tries++;
    task->state = TASK_SCHEDULED;
    if (kind == WAIT_TIME || kind == WAIT_EXTERNAL)
        defer(r, run, index, task);
}

static void start(struct reference *r, struct reference_run *run, uint32_t index)
{
    const struct naive_run view = view_of(run);
    struct reference_node *node = &run->nodes[index];
    uint32_t count = 0;
    enum naive_verdict verdict = naive_start(&view, index, &count);

    if (verdict != NAIVE_RUN) {
        end(r, &node->items[0], verdict == NAIVE_SKIP ? TASK_SKIPPED : TASK_FAILED);
        return;
    }
    node->is_mapped = count > 0;
    node->count = count > 0 ? count : 1;
    for (uint32_t i = 0; i < node->count; i++)
        schedule(r, run, index, &node->items[i]);
}

/* What the trigger rule says of those upstreams whose end has got through. */
static void evaluate(struct reference *r, struct reference_run *run, uint32_t index)
{
    const struct naive_run view = view_of(run);
    struct reference_task *task = &run->nodes[index].items[0];

    if (run->nodes[index].is_mapped || task->state != TASK_NONE)
        return;
    if (naive_is_branched_off(&view, index)) {
        end(r, task, TASK_SKIPPED);
        return;
    }
    switch (verdict_of_rule(run, &run->dates.dag->tasks[index])) {
    case NAIVE_RUN:
        start(r, run, index);
        break;
    case NAIVE_SKIP:
        end(r, task, TASK_SKIPPED);
        break;
    case NAIVE_UPSTREAM_FAILED:
        end(r, task, TASK_UPSTREAM_FAILED);
        break;
    case NAIVE_FAIL:
    case NAIVE_WAIT:
        break;
    }
}

static void evaluate_all(struct reference *r, struct reference_run *run)
{
    for (uint32_t i = 0; i < run->dates.dag->task_count; i++)
        evaluate(r, run, i);
}

/* --- one thing after the other, until nothing changes ---------------------------------------- */

static int64_t count_running(const struct reference *r, const struct dag *dag)
{
    int64_t count = 0;

    for (size_t i = 0; i < r->run_count; i++)
        count += r->runs[i]->dates.dag == dag && r->runs[i]->state == RUN_RUNNING;
    return count;
}

/* The run that has waited longest among those that may start. */
static bool start_run(struct reference *r)
{
    struct reference_run *best = NULL;

    for (size_t i = 0; i < r->run_count; i++) {
        struct reference_run *run = r->runs[i];
        if (run->state != RUN_QUEUED || !run->is_due ||
            count_running(r, run->dates.dag) >= run->dates.dag->max_active_runs)
            continue;
        if (best == NULL || run->dates.run_after_us < best->dates.run_after_us)
            best = run;
    }
    if (best == NULL)
        return false;
    best->state = RUN_RUNNING;
    evaluate_all(r, best);
    return true;
}

/* The earliest end about which no more than `ending` has been done; NULL = none. */
static struct reference_task *first_end(const struct reference *r, enum reference_ending ending,
                                        struct reference_run **ret_run)
{
    struct reference_task *first = NULL;

    for (size_t i = 0; i < r->run_count; i++)
        for (uint32_t k = 0; k < r->runs[i]->dates.dag->task_count; k++)
            for (uint32_t m = 0; m < r->runs[i]->nodes[k].count; m++) {
                struct reference_task *task = &r->runs[i]->nodes[k].items[m];
                if (task->ended == 0 || task->ending != ending ||
                    (first != NULL && task->ended > first->ended))
                    continue;
                *ret_run = r->runs[i];
                first = task;
            }
    return first;
}

/* Downstreams are told of each end, the earliest first. */
static bool tell_end(struct reference *r)
{
    struct reference_run *run = NULL;
    struct reference_task *task = first_end(r, END_IS_NEW, &run);

    if (task == NULL)
        return false;
    task->ending = END_IS_TOLD;
    tell_waiters(r, run);
    evaluate_all(r, run);
    return true;
}

/* Whether it is over, and how. */
static bool is_over(const struct reference_run *run, enum run_state *ret)
{
    bool has_failed = false;

    for (uint32_t i = 0; i < run->dates.dag->task_count; i++)
        for (uint32_t k = 0; k < run->nodes[i].count; k++) {
            if (!task_state_is_final(run->nodes[i].items[k].state))
                return false;
            if (run->dates.dag->tasks[i].downstream_count == 0)
                has_failed = has_failed || task_state_is_failed(run->nodes[i].items[k].state);
        }
    *ret = has_failed ? RUN_FAILED : RUN_SUCCESS;
    return true;
}

/* Of each end, the earliest first, it is seen whether the run is over, once all have been told. */
static bool count_end(struct reference *r)
{
    struct reference_run *run = NULL;
    struct reference_task *task = first_end(r, END_IS_TOLD, &run);

    if (task == NULL)
        return false;
    task->ending = END_IS_COUNTED;
    if (run->state != RUN_RUNNING || !is_over(run, &run->state))
        return true;
    tell_waiters(r, run);
    reference_touch(r, run->dates.dag);
    return true;
}

/* --- which task starts next ------------------------------------------------------------------ */

static size_t kind_of(const struct dag_task *spec)
{
    return spec->class == TASK_CLASS_SHARED ? 1 : 0;
}

static int64_t count_active(const struct reference_node *node)
{
    int64_t count = 0;

    for (uint32_t i = 0; i < node->count; i++)
        count += is_active(&node->items[i]);
    return count;
}

/* Whether there is room for the task, counting everything that is active anew. */
static bool has_room(const struct reference *r, const struct reference_run *run, uint32_t index)
{
    const struct dag_task *spec = &run->dates.dag->tasks[index];
    int64_t in_run = 0;
    int64_t in_pool = spec->pool_slots;
    int64_t in_kind = 1;
    int64_t pool = 0;

    for (size_t i = 0; i < r->run_count; i++)
        for (uint32_t k = 0; k < r->runs[i]->dates.dag->task_count; k++) {
            const struct dag_task *other = &r->runs[i]->dates.dag->tasks[k];
            int64_t active = count_active(&r->runs[i]->nodes[k]);
            in_run += r->runs[i] == run ? active : 0;
            in_pool += strcmp(other->pool, spec->pool) == 0 ? active * other->pool_slots : 0;
            in_kind += kind_of(other) == kind_of(spec) ? active : 0;
        }
    for (size_t i = 0; i < r->pool_count; i++)
        if (strcmp(r->pools[i].name, spec->pool) == 0)
            pool = r->pools[i].slots;
    return in_run < run->dates.dag->max_active_tasks && in_pool <= pool &&
           in_kind <= r->slots[kind_of(spec)];
}

static int64_t sort_date(const struct reference_run *run)
{
    return run->dates.logical_date_us != 0 ? run->dates.logical_date_us : run->dates.run_after_us;
}

/* By weight, then the older run, then the order in the file. */
static bool goes_first(const struct reference *r, const struct reference_start *a,
                       const struct reference_start *b)
{
    const struct reference_run *run_a = r->runs[a->run];
    const struct reference_run *run_b = r->runs[b->run];
    int64_t weight_a = run_a->dates.dag->tasks[a->task].priority_weight_total;
    int64_t weight_b = run_b->dates.dag->tasks[b->task].priority_weight_total;

    if (weight_a != weight_b)
        return weight_a > weight_b;
    if (a->run == b->run)
        return a->task != b->task ? a->task < b->task : a->map_index < b->map_index;
    if (sort_date(run_a) != sort_date(run_b))
        return sort_date(run_a) < sort_date(run_b);
    return a->run < b->run;
}

/* The best instance of a task that is ready; false if none is. */
static bool find_ready(const struct reference *r, size_t run, uint32_t task,
                       struct reference_start *ret)
{
    const struct reference_node *node = &r->runs[run]->nodes[task];

    for (uint32_t i = 0; i < node->count; i++)
        if (node->items[i].state == TASK_SCHEDULED) {
            *ret = (struct reference_start){run, task, node->is_mapped ? (int32_t)i : -1,
                                            node->items[i].tries};
            return has_room(r, r->runs[run], task);
        }
    return false;
}

static struct reference_task *find_task(const struct reference *r, const struct reference_start *of)
{
    return &r->runs[of->run]->nodes[of->task].items[of->map_index < 0 ? 0 : of->map_index];
}

static bool start_task(struct reference *r)
{
    struct reference_start best = {0};
    struct reference_start ready;
    bool found = false;

    for (size_t i = 0; i < r->run_count; i++)
        for (uint32_t k = 0; k < r->runs[i]->dates.dag->task_count; k++) {
            if (r->runs[i]->state != RUN_RUNNING || !find_ready(r, i, k, &ready) ||
                (found && !goes_first(r, &ready, &best)))
                continue;
            best = ready;
            found = true;
        }
    if (!found)
        return false;
    find_task(r, &best)->state = TASK_QUEUED;
    if (r->start_count == r->start_capacity) {
        r->start_capacity = mem_grow(r->start_capacity, r->start_count + 1);
        r->starts = mem_resize_array(r->starts, r->start_capacity, sizeof(*r->starts));
    }
    r->starts[r->start_count++] = best;
    return true;
}

static void add_run(struct reference *r, const struct naive_dates *dates, const char *conf)
{
    struct reference_run *run = arena_alloc(r->arena, sizeof(*run));

    if (r->run_count == r->run_capacity) {
        r->run_capacity = mem_grow(r->run_capacity, r->run_count + 1);
        r->runs = mem_resize_array(r->runs, r->run_capacity, sizeof(struct reference_run *));
    }
    r->runs[r->run_count++] = run;
    run->dates = *dates;
    run->conf = conf;
    run->state = RUN_QUEUED;
    run->is_due = dates->run_after_us <= r->now_us;
    for (uint32_t i = 0; i < dates->dag->task_count; i++)
        run->nodes[i].count = 1;
    tell_waiters(r, run);
}

static void make_asset_runs(struct reference *r)
{
    const char *partition = NULL;
    const struct dag *dag = NULL;

    while ((dag = reference_take(r, &partition)) != NULL) {
        struct naive_dates dates = {.dag = dag, .run_after_us = r->now_us};
        if (strncmp(partition, "dt=2026-01-0", 12) == 0) {
            dates.interval_start_us =
                INT64_C(1767225600000000) + (partition[12] - '1') * US_PER_DAY;
            dates.interval_end_us = dates.interval_start_us + US_PER_DAY;
        }
        add_run(r, &dates, NULL);
        while (start_run(r))
            continue;
    }
}

static struct reference_run *first_heard(const struct reference *r)
{
    struct reference_run *first = NULL;

    for (size_t i = 0; i < r->run_count; i++)
        if (r->runs[i]->heard != 0 && (first == NULL || r->runs[i]->heard < first->heard))
            first = r->runs[i];
    return first;
}

/* Sensors that wait for what is live, or has just ended: run by run, and of each the one first that
 * has waited longest. True if one has ended. */
static bool judge_all(struct reference *r)
{
    struct reference_run *other = NULL;
    bool any = false;

    while ((other = first_heard(r)) != NULL) {
        struct waiter waiter = {0};
        while (next_waiter(r, &waiter))
            any = (waiter.other == other && judge(r, &waiter)) || any;
        other->heard = 0;
    }
    return any;
}

static void settle(struct reference *r)
{
    struct reference_run *ignored = NULL;

    r->start_count = 0;
    do {
        while (start_run(r) || tell_end(r) || count_end(r))
            continue;
        make_asset_runs(r);
    } while (judge_all(r) || first_end(r, END_IS_NEW, &ignored) != NULL);
    while (start_task(r))
        continue;
}

/* --- events ---------------------------------------------------------------------------------- */

void reference_trigger(struct reference *r, const struct naive_dates *dates, const char *conf)
{
    add_run(r, dates, conf);
    settle(r);
}

void reference_started(struct reference *r, const struct reference_start *of)
{
    find_task(r, of)->state = TASK_RUNNING;
    settle(r);
}

void reference_updated(struct reference *r, const char *asset, const char *partition)
{
    reference_update(r, asset, partition == NULL ? "" : partition);
    settle(r);
}

/* A branch that can't choose fails for good. */
static enum outcome outcome_of(struct reference *r, const struct reference_start *of,
                               enum outcome outcome)
{
    struct reference_run *run = r->runs[of->run];
    const struct naive_run view = view_of(run);
    uint64_t ignored = 0;

    if (outcome != OUTCOME_SUCCESS || run->dates.dag->tasks[of->task].branch == NULL ||
        naive_choice(&view, of->task, &ignored))
        return outcome;
    find_task(r, of)->outputs = NULL;
    return OUTCOME_FATAL;
}

void reference_ended(struct reference *r, const struct reference_start *of, enum outcome outcome,
                     const char *outputs)
{
    const struct dag_task *spec = &r->runs[of->run]->dates.dag->tasks[of->task];
    struct reference_task *ended = find_task(r, of);

    if (outcome == OUTCOME_SUCCESS && spec->outputs_used)
        ended->outputs = outputs;
    outcome = outcome_of(r, of, outcome);
    if (outcome == OUTCOME_SUCCESS) {
        end(r, ended, TASK_SUCCESS);
        reference_succeeded(r, spec, outputs);
    } else if (outcome == OUTCOME_SKIPPED) {
        end(r, ended, TASK_SKIPPED);
    } else if (outcome == OUTCOME_FATAL || ended->tries > spec->retries) {
        end(r, ended, TASK_FAILED);
    } else {
        ended->state = TASK_UP_FOR_RETRY;
        ended->wake_at_us = r->now_us + spec->retry_delay_us;
    }
    settle(r);
}

/* What comes first of all that is due at the same instant. */
enum timer_turn { TURN_RETRY, TURN_RUN, TURN_SENSOR };

/* What waits for an instant: a task, or (task NULL) a run that is not due yet. */
struct timer_of {
    struct reference_run *run;
    uint32_t index;
    struct reference_task *task;
    int64_t at_us;
    enum timer_turn turn;
};

/* Of the same turn the older run comes first, then the order in the file: as they are asked. */
static void take_earlier(struct timer_of *first, const struct timer_of *other)
{
    if (first->run == NULL || other->at_us < first->at_us ||
        (other->at_us == first->at_us && other->turn < first->turn))
        *first = *other;
}

static struct timer_of next_timer(const struct reference *r)
{
    struct timer_of first = {0};

    for (size_t i = 0; i < r->run_count; i++) {
        struct reference_run *run = r->runs[i];
        if (run->state == RUN_QUEUED && !run->is_due)
            take_earlier(&first,
                         &(struct timer_of){run, 0, NULL, run->dates.run_after_us, TURN_RUN});
        for (uint32_t k = 0; k < run->dates.dag->task_count; k++)
            for (uint32_t m = 0; m < run->nodes[k].count; m++) {
                struct reference_task *task = &run->nodes[k].items[m];
                enum timer_turn turn = task->state == TASK_DEFERRED ? TURN_SENSOR : TURN_RETRY;
                if (task->state == TASK_UP_FOR_RETRY || task->state == TASK_DEFERRED)
                    take_earlier(&first, &(struct timer_of){run, k, task, task->wake_at_us, turn});
            }
    }
    return first;
}

static bool was_asked(const struct naive_external *asked, size_t count,
                      const struct naive_external *of)
{
    for (size_t i = 0; i < count; i++)
        if (asked[i].date_us == of->date_us && strcmp(asked[i].dag_id, of->dag_id) == 0)
            return true;
    return false;
}

/* The runs that sensors ask the store of, each once, at most `max`. */
static size_t find_questions(const struct reference *r, struct naive_external *ret, size_t max)
{
    struct waiter waiter = {0};
    size_t count = 0;

    while (next_waiter(r, &waiter) && count < max)
        if (waiter.task->is_asking && !was_asked(ret, count, &waiter.of))
            ret[count++] = waiter.of;
    return count;
}

/* The store says what became of the runs that it was asked of before the tick. */
static void answer(struct reference *r, const struct naive_external *asked, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct waiter waiter = {0};
        while (next_waiter(r, &waiter)) {
            if (!waiter.task->is_asking || !was_asked(&asked[i], 1, &waiter.of))
                continue;
            waiter.task->is_asking = false;
            if (waiter.other != NULL)
                (void)judge(r, &waiter);
        }
    }
}

void reference_tick(struct reference *r)
{
    struct naive_external asked[QUESTIONS_MAX];
    size_t count = find_questions(r, asked, QUESTIONS_MAX);

    for (;;) {
        struct timer_of timer = next_timer(r);
        if (timer.run == NULL || timer.at_us > r->now_us)
            break;
        if (timer.task != NULL) {
            wake(r, timer.run, timer.index, timer.task);
            continue;
        }
        timer.run->is_due = true;
        while (start_run(r))
            continue;
    }
    answer(r, asked, count);
    settle(r);
}

int64_t reference_next_wakeup(const struct reference *r)
{
    struct timer_of timer = next_timer(r);
    struct naive_external any;

    if (find_questions(r, &any, 1) > 0)
        return 0;
    return timer.run == NULL ? INT64_MAX : timer.at_us;
}

void reference_release(struct reference *r)
{
    free(r->runs);
    free(r->starts);
}
