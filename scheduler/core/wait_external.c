/* Waiting for a run of another DAG, or for a task of it. What is live tells by itself: its end, and
 * that of each of its tasks, makes the key that its waiters share due. What has ended already the
 * store knows: it is asked once, when the first waiter comes. */
#include "base/json.h"
#include "base/mem.h"
#include "scheduler/core/parts.h"
#include "scheduler/core/zone.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* What a waiter is told of the thing it waits for. */
enum news { NEWS_NONE, NEWS_ALLOWED, NEWS_FAILED };

static void mark_due(struct core *core, struct wait_key *key)
{
    if (key->is_due)
        return;
    key->is_due = true;
    DL_APPEND2(core->awaited_due, key, due_previous, due_next);
}

static void ask(struct core *core, struct wait_key *key)
{
    if (key->is_asked)
        return;
    key->is_asked = true;
    DL_APPEND2(core->asking, key, ask_previous, ask_next);
}

static void forget_question(struct core *core, struct wait_key *key)
{
    if (key->is_asked)
        DL_DELETE2(core->asking, key, ask_previous, ask_next);
    key->is_asked = false;
}

static struct run *find_live(const struct core *core, const char *name)
{
    struct run *run = NULL;

    HASH_FIND(hh_date, core->run_dates, name, strlen(name), run);
    return run == NULL || run_state_is_final(run->row.state) ? NULL : run;
}

static struct wait_key *get_key(struct core *core, const char *dag_id, int64_t logical_date_us)
{
    struct buf name = {0};
    struct wait_key *key = NULL;

    buf_printf(&name, "%s/%lld", dag_id, (long long)logical_date_us);
    HASH_FIND_STR(core->wait_keys, buf_text(&name), key);
    if (key == NULL) {
        key = mem_alloc(sizeof(*key));
        key->name = mem_strdup(buf_text(&name));
        key->dag_id = mem_strdup(dag_id);
        key->logical_date_us = logical_date_us;
        HASH_ADD_KEYPTR(hh, core->wait_keys, key->name, strlen(key->name), key);
        struct run *run = find_live(core, key->name);
        if (run != NULL)
            waits_run_is_live(core, run);
    }
    buf_release(&name);
    /* A newcomer learns what the others know by being judged with them. */
    if (key->run != NULL)
        mark_due(core, key);
    else
        ask(core, key);
    return key;
}

static void free_key(struct core *core, struct wait_key *key)
{
    forget_question(core, key);
    if (key->is_due)
        DL_DELETE2(core->awaited_due, key, due_previous, due_next);
    if (key->run != NULL)
        key->run->awaited = NULL;
    HASH_DEL(core->wait_keys, key);
    free(key->name);
    free(key->dag_id);
    free(key);
}

static void free_waiter(struct waiter *waiter)
{
    arena_release(&waiter->arena);
    free(waiter);
}

void waiter_remove(struct core *core, struct waiter *waiter)
{
    struct wait_key *key = waiter->key;

    waiter->task->waiter = NULL;
    DL_DELETE2(key->waiters, waiter, previous, next);
    free_waiter(waiter);
    /* One that is due is still in the hands of waits_settle(). */
    if (key->waiters == NULL && !key->is_due)
        free_key(core, key);
}

/* The states of a list as bits; names of the other kind of state are none. */
static unsigned state_bits(const json_t *names, bool of_task)
{
    unsigned bits = 0;
    size_t i = 0;
    json_t *name = NULL;

    json_array_foreach(names, i, name)
    {
        enum task_state task_state = TASK_NONE;
        enum run_state run_state = RUN_QUEUED;
        struct str text = str_from(json_string_value(name));
        if (of_task && task_state_parse(text, &task_state))
            bits |= 1u << task_state;
        else if (!of_task && run_state_parse(text, &run_state))
            bits |= 1u << run_state;
    }
    return bits;
}

/* The logical date of the run waited for: as given, or the waiting run's own, less the delta. */
static bool read_date(const struct task *task, const json_t *what, int64_t *ret_us, struct err *err)
{
    const struct run *run = task->run;
    struct str given = str_from(json_get_string(what, "logical_date", ""));
    struct str delta = str_from(json_get_string(what, "execution_delta", ""));
    int64_t us = run->row.logical_date_us;
    int64_t back_us = 0;
    bool has_offset = true;

    if (us == 0)
        us = run_interval(run).start_us;
    if (given.len > 0 && !timefmt_parse(given, &us, &has_offset))
        return err_set(err, ERR_TEMPLATE,
                       "external_task.logical_date became '%.*s', which is no date",
                       STR_ARG(given));
    if (!has_offset)
        us = zone_to_utc_us(run->dag->zone == NULL ? zone_utc() : run->dag->zone, us);
    if (delta.len > 0 && !duration_parse(delta, &back_us))
        return err_set(err, ERR_TEMPLATE,
                       "external_task.execution_delta became '%.*s', which is no duration",
                       STR_ARG(delta));
    *ret_us = us - back_us;
    return true;
}

bool waiter_add(struct core *core, struct task *task, const json_t *options, struct err *err)
{
    const json_t *what = json_object_get(options, "external_task");
    const char *dag_id = json_get_string(what, "dag_id", "");
    const char *task_id = json_get_string(what, "task_id", NULL);
    int64_t date_us = 0;

    if (!str_is_id(str_from(dag_id)))
        return err_set(err, ERR_TEMPLATE, "external_task.dag_id became '%.250s', which is no id",
                       dag_id);
    if (!read_date(task, what, &date_us, err))
        return false;
    struct waiter *waiter = mem_alloc(sizeof(*waiter));
    waiter->task = task;
    waiter->task_id = arena_strdup(&waiter->arena, task_id);
    waiter->allowed = state_bits(json_object_get(what, "allowed_states"), task_id != NULL);
    waiter->failed = state_bits(json_object_get(what, "failed_states"), task_id != NULL);
    waiter->key = get_key(core, dag_id, date_us);
    DL_APPEND2(waiter->key->waiters, waiter, previous, next);
    task->waiter = waiter;
    return true;
}

const char *waiter_what(struct core *core, const struct waiter *waiter)
{
    char date[TIMEFMT_SIZE];
    const struct wait_key *key = waiter->key;

    (void)timefmt_utc(key->logical_date_us, date);
    return waiter->task_id == NULL
               ? reason_format(core, "DAG %s of %s", key->dag_id, date)
               : reason_format(core, "task %s of DAG %s of %s", waiter->task_id, key->dag_id, date);
}

void waits_run_is_live(struct core *core, struct run *run)
{
    struct wait_key *key = NULL;

    if (core->wait_keys == NULL || run->date_key == NULL)
        return;
    HASH_FIND_STR(core->wait_keys, run->date_key, key);
    if (key == NULL)
        return;
    if (key->run != NULL)
        key->run->awaited = NULL;
    key->run = run;
    run->awaited = key;
    forget_question(core, key);
    mark_due(core, key); /* while recovering it may have come to something already */
}

void waits_run_changed(struct core *core, struct run *run)
{
    if (PLANTED(AWAITED_NOT_TOLD))
        return;
    mark_due(core, run->awaited);
}

void waits_run_freed(struct run *run)
{
    if (run->awaited != NULL)
        run->awaited->run = NULL;
    run->awaited = NULL;
}

static enum news judge(const struct waiter *waiter, unsigned state)
{
    if ((waiter->failed & (1u << state)) != 0)
        return NEWS_FAILED;
    if (PLANTED(ANY_END_AWAITED) && waiter->task_id == NULL)
        return run_state_is_final((enum run_state)state) ? NEWS_ALLOWED : NEWS_NONE;
    return (waiter->allowed & (1u << state)) != 0 ? NEWS_ALLOWED : NEWS_NONE;
}

/* All instances of a task together: one that failed is enough, allowed must be all. */
struct view {
    unsigned bad_state;
    bool any;
    bool any_failed;
    bool all_allowed;
};

static void view_add(struct view *view, const struct waiter *waiter, enum task_state state)
{
    enum news news = judge(waiter, state);

    view->all_allowed = news == NEWS_ALLOWED && (!view->any || view->all_allowed);
    view->any = true;
    if (news != NEWS_FAILED)
        return;
    view->any_failed = true;
    view->bad_state = state;
}

static void tell(struct core *core, struct waiter *waiter, enum news news, const char *state)
{
    struct task *task = waiter->task;

    if (news == NEWS_ALLOWED)
        wait_succeed(core, task);
    else if (news == NEWS_FAILED)
        wait_give_up(
            core, task,
            reason_format(core, "external_failed: %s is %s", waiter_what(core, waiter), state));
}

static void tell_view(struct core *core, struct waiter *waiter, const struct view *view)
{
    if (view->any_failed)
        tell(core, waiter, NEWS_FAILED, task_state_name((enum task_state)view->bad_state));
    else if (view->any && view->all_allowed)
        tell(core, waiter, NEWS_ALLOWED, NULL);
}

static void look_at_live(struct core *core, struct waiter *waiter, struct run *run)
{
    struct view view = {0};

    if (waiter->task_id == NULL) {
        tell(core, waiter, judge(waiter, run->row.state), run_state_name(run->row.state));
        return;
    }
    uint32_t index = dag_find_task(run->dag, str_from(waiter->task_id));
    if (index == UINT32_MAX)
        return;
    for (uint32_t i = 0; i < task_instance_count(&run->tasks[index]); i++)
        view_add(&view, waiter, task_instance(&run->tasks[index], i)->state);
    tell_view(core, waiter, &view);
}

static void look_at_known(struct core *core, struct waiter *waiter, const struct known_run *known)
{
    struct view view = {0};

    if (waiter->task_id == NULL) {
        tell(core, waiter, judge(waiter, known->row.state), run_state_name(known->row.state));
        return;
    }
    for (size_t i = 0; i < known->task_count; i++)
        if (strcmp(known->tasks[i].task_id, waiter->task_id) == 0)
            view_add(&view, waiter, known->tasks[i].state);
    tell_view(core, waiter, &view);
}

/* Judging a waiter that waits no longer takes it off the list; the key stays while it is due. */
static void look(struct core *core, struct wait_key *key, const struct known_run *known)
{
    struct waiter *waiter = NULL;
    struct waiter *next = NULL;

    DL_FOREACH_SAFE2(key->waiters, waiter, next, next)
    {
        if (known != NULL)
            look_at_known(core, waiter, known);
        else if (key->run != NULL)
            look_at_live(core, waiter, key->run);
    }
}

bool waits_settle(struct core *core)
{
    struct wait_key *key = NULL;
    bool any = core->awaited_due != NULL;

    while ((key = core->awaited_due) != NULL) {
        look(core, key, NULL);
        DL_DELETE2(core->awaited_due, key, due_previous, due_next);
        key->is_due = false;
        if (key->waiters == NULL) {
            free_key(core, key);
            continue;
        }
        if (key->run == NULL || !run_state_is_final(key->run->row.state))
            continue;
        key->run->awaited = NULL; /* it has ended as nobody hoped: it may be run again */
        key->run = NULL;
    }
    return any;
}

size_t waits_want(const struct core *core, struct core_want *out, size_t max)
{
    size_t count = 0;

    for (const struct wait_key *key = core->asking; key != NULL && count < max; key = key->ask_next)
        out[count++] = (struct core_want){
            .dag_id = key->dag_id, .logical_date_us = key->logical_date_us, .is_question = true};
    return count;
}

void waits_answer(struct core *core, const struct core_want *want, const struct known_run *known)
{
    struct buf name = {0};
    struct wait_key *key = NULL;

    buf_printf(&name, "%s/%lld", want->dag_id, (long long)want->logical_date_us);
    HASH_FIND_STR(core->wait_keys, buf_text(&name), key);
    buf_release(&name);
    if (key == NULL)
        return;
    forget_question(core, key);
    if (!known->exists || key->run != NULL || PLANTED(AWAITED_NOT_ASKED))
        return;
    mark_due(core, key);
    look(core, key, known);
}

void waits_free(struct core *core)
{
    while (core->wait_keys != NULL) {
        struct wait_key *key = core->wait_keys;
        while (key->waiters != NULL) {
            struct waiter *waiter = key->waiters;
            waiter->task->waiter = NULL;
            DL_DELETE2(key->waiters, waiter, previous, next);
            free_waiter(waiter);
        }
        free_key(core, key);
    }
}
