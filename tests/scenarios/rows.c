/* The store in memory. It refuses what SQLite would refuse (doubled keys), and asserts that every
 * transition begins at the state that is stored. */
#include "base/mem.h"
#include "tests/scenarios/world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *grow(void *items, size_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return items;
    return mem_resize_array(items, count == 0 ? 1 : count * 2, size);
}

void rows_add_dag(struct rows *rows, struct dag *dag)
{
    rows->dags = grow(rows->dags, rows->dag_count, sizeof(struct dag *));
    rows->dag_versions = grow(rows->dag_versions, rows->dag_count, sizeof(int64_t));
    rows->dags[rows->dag_count] = dag_ref(dag);
    rows->dag_versions[rows->dag_count++] = 0;
}

static struct dag *version(const struct rows *rows, int64_t id)
{
    for (size_t i = 0; i < rows->dag_count; i++)
        if (rows->dag_versions[i] == id)
            return rows->dags[i];
    return NULL;
}

static void apply_version(struct rows *rows, const struct version_row *row)
{
    assert(row->id > rows->last_version_id);
    rows->last_version_id = row->id;
    size_t i = rows->dag_count;
    while (i > 0 &&
           (strcmp(rows->dags[i - 1]->dag_id, row->dag_id) != 0 ||
            strcmp(rows->dags[i - 1]->hash, row->hash) != 0 || rows->dag_versions[i - 1] != 0))
        i--;
    assert(i > 0); /* else a version of a DAG that was not loaded */
    rows->dag_versions[i - 1] = row->id;
}

static void apply_dag(struct rows *rows, const struct dag_row *row)
{
    struct dag_row copy = *row;

    copy.dag_id = arena_strdup(&rows->arena, row->dag_id);
    copy.file = arena_strdup(&rows->arena, row->file);
    copy.pause_reason = arena_strdup(&rows->arena, row->pause_reason);
    for (size_t i = 0; i < rows->dag_row_count; i++) {
        if (strcmp(rows->dag_rows[i].dag_id, row->dag_id) == 0) {
            rows->dag_rows[i] = copy;
            return;
        }
    }
    rows->dag_rows = grow(rows->dag_rows, rows->dag_row_count, sizeof(*rows->dag_rows));
    rows->dag_rows[rows->dag_row_count++] = copy;
}

struct stored_run *rows_run(const struct rows *rows, int64_t id)
{
    for (size_t i = 0; i < rows->run_count; i++)
        if (rows->runs[i].row.id == id)
            return &rows->runs[i];
    return NULL;
}

static struct run_row copy_run(struct rows *rows, const struct run_row *row)
{
    struct run_row copy = *row;

    copy.dag_id = arena_strdup(&rows->arena, row->dag_id);
    copy.run_id = arena_strdup(&rows->arena, row->run_id);
    copy.conf = arena_strdup(&rows->arena, row->conf);
    copy.note = arena_strdup(&rows->arena, row->note);
    copy.reason = arena_strdup(&rows->arena, row->reason);
    copy.doom = arena_strdup(&rows->arena, row->doom);
    return copy;
}

/* The row of a task that begins anew; the number of its tries is kept. */
static struct task_row fresh_task(const struct stored_run *run, const struct dag *dag,
                                  uint32_t task)
{
    struct task_row row = {.run = run->row.id,
                           .task = task,
                           .map_index = -1,
                           .task_id = dag->tasks[task].task_id,
                           .max_tries = dag->tasks[task].retries};

    for (size_t k = 0; k < run->task_count; k++)
        if (strcmp(run->tasks[k].task_id, row.task_id) == 0 &&
            row.try_number < run->tasks[k].try_number)
            row.try_number = run->tasks[k].try_number;
    return row;
}

/* The task rows of a new or reset run; those of kept tasks stay as they are. */
static void fresh_tasks(struct stored_run *run, struct dag *dag, const bool *keeps)
{
    struct task_row *tasks = mem_alloc_array(dag->task_count + run->task_count, sizeof(*tasks));
    size_t count = 0;

    for (uint32_t i = 0; i < dag->task_count; i++) {
        if (keeps == NULL || !keeps[i]) {
            tasks[count++] = fresh_task(run, dag, i);
            continue;
        }
        size_t before = count;
        for (size_t k = 0; k < run->task_count; k++)
            if (run->tasks[k].task == i)
                tasks[count++] = run->tasks[k];
        assert(count > before && strcmp(tasks[before].task_id, dag->tasks[i].task_id) == 0);
    }
    free(run->tasks);
    run->tasks = tasks;
    run->task_count = count;
    if (run->dag != NULL)
        dag_unref(run->dag);
    run->dag = dag_ref(dag);
}

static void apply_run_new(struct rows *rows, const struct decision *decision)
{
    const struct run_row *row = &decision->as.run.row;

    for (size_t i = 0; i < rows->run_count; i++) {
        const struct run_row *other = &rows->runs[i].row;
        assert(other->id < row->id);
        if (strcmp(other->dag_id, row->dag_id) != 0)
            continue;
        assert(strcmp(other->run_id, row->run_id) != 0);
        assert(row->logical_date_us == 0 || row->logical_date_us != other->logical_date_us);
    }
    rows->runs = grow(rows->runs, rows->run_count, sizeof(*rows->runs));
    struct stored_run *run = &rows->runs[rows->run_count++];
    *run = (struct stored_run){.row = copy_run(rows, row)};
    assert(version(rows, row->version_id) == decision->as.run.dag);
    fresh_tasks(run, version(rows, row->version_id), NULL);
}

static void apply_run(struct rows *rows, const struct decision *decision)
{
    struct stored_run *run = rows_run(rows, decision->as.run.row.id);

    assert(run != NULL && run->row.state == decision->as.run.from);
    run->row = copy_run(rows, &decision->as.run.row);
    if (decision->kind == DECIDE_RUN_RESET)
        fresh_tasks(run, version(rows, run->row.version_id), decision->as.run.keeps);
}

/* Tasks of a run that is not running change only from outside: they are cleared or marked. */
static bool may_change(const struct stored_run *run, const struct task_row *row)
{
    return run->row.state == RUN_RUNNING || row->state == TASK_NONE ||
           row->state == TASK_RESTARTING || task_state_is_final(row->state);
}

/* Rows lie in the order of their keys; those of unmapped runs at their index. */
static struct task_row *find_task(const struct stored_run *run, uint32_t task, int32_t map_index)
{
    for (size_t i = task; i < run->task_count && run->tasks[i].task <= task; i++)
        if (run->tasks[i].task == task && run->tasks[i].map_index == map_index)
            return &run->tasks[i];
    return NULL;
}

static void apply_expand(struct rows *rows, const struct decision_expand *expand)
{
    struct stored_run *run = rows_run(rows, expand->row.run);

    assert(run != NULL && run->row.state == RUN_RUNNING && expand->count > expand->first);
    struct task_row *place =
        find_task(run, expand->row.task, expand->first == 0 ? -1 : (int32_t)expand->first - 1);
    assert(place != NULL && (expand->first != 0 || place->state == TASK_NONE));
    size_t at = (size_t)(place - run->tasks) + (expand->first == 0 ? 0 : 1);
    size_t end = (size_t)(place - run->tasks) + 1;
    size_t added = expand->count - expand->first;
    run->tasks = mem_resize_array(run->tasks, run->task_count + added, sizeof(*run->tasks));
    memmove(&run->tasks[at + added], &run->tasks[end],
            (run->task_count - end) * sizeof(*run->tasks));
    run->task_count += at + added - end;
    for (size_t i = 0; i < added; i++) {
        run->tasks[at + i] = expand->row;
        run->tasks[at + i].map_index = (int32_t)(expand->first + i);
        run->tasks[at + i].reason = NULL;
    }
}

static void apply_task(struct rows *rows, const struct decision *decision)
{
    const struct task_row *row = &decision->as.task.row;
    struct stored_run *run = rows_run(rows, row->run);

    assert(run != NULL);
    struct task_row *stored = find_task(run, row->task, row->map_index);
    assert(stored != NULL);
    assert(stored->state == decision->as.task.from);
    assert(stored->state == row->state || task_state_edge_is_legal(stored->state, row->state));
    assert(may_change(run, row));
    assert(row->try_number <= row->max_tries + 1);
    *stored = *row;
    stored->task_id = arena_strdup(&rows->arena, row->task_id);
    stored->reason = arena_strdup(&rows->arena, row->reason);
}

struct attempt_row *rows_attempt(const struct rows *rows, const char *token)
{
    for (size_t i = rows->attempt_count; i-- > 0;)
        if (strcmp(rows->attempts[i].token, token) == 0)
            return &rows->attempts[i];
    return NULL;
}

static struct attempt_row *rows_try(const struct rows *rows, const struct attempt_row *key)
{
    for (size_t i = 0; i < rows->attempt_count; i++) {
        struct attempt_row *row = &rows->attempts[i];
        if (row->run == key->run && row->task == key->task && row->map_index == key->map_index &&
            row->try_number == key->try_number)
            return row;
    }
    return NULL;
}
static void apply_datasets(struct rows *rows, const struct attempt_row *row);

static void apply_attempt(struct rows *rows, const struct decision *decision)
{
    const struct attempt_row *row = &decision->as.attempt;
    struct attempt_row *stored = rows_attempt(rows, row->token);
    struct attempt_row copy = *row;

    copy.token = arena_strdup(&rows->arena, row->token);
    copy.worker = arena_strdup(&rows->arena, row->worker);
    copy.reason = arena_strdup(&rows->arena, row->reason);
    copy.rendered = arena_strdup(&rows->arena, row->rendered);
    copy.outputs = arena_strdup(&rows->arena, row->outputs);
    copy.stop_reason = arena_strdup(&rows->arena, row->stop_reason);
    copy.datasets = arena_strdup(&rows->arena, row->datasets);
    apply_datasets(rows, row);
    if (decision->kind == DECIDE_ATTEMPT) {
        assert(stored != NULL && (stored->state == TASK_QUEUED || stored->state == TASK_RUNNING));
        *stored = copy;
        return;
    }
    assert(stored == NULL);
    if (decision->kind == DECIDE_ATTEMPT_AGAIN) {
        stored = rows_try(rows, row);
        assert(stored != NULL && stored->state == TASK_UP_FOR_RESCHEDULE);
        *stored = copy;
        return;
    }
    for (size_t i = 0; i < rows->attempt_count; i++)
        assert(rows->attempts[i].run != row->run || rows->attempts[i].task != row->task ||
               rows->attempts[i].map_index != row->map_index ||
               rows->attempts[i].try_number != row->try_number);
    rows->attempts = grow(rows->attempts, rows->attempt_count, sizeof(*rows->attempts));
    rows->attempts[rows->attempt_count++] = copy;
}

static void apply_backfill(struct rows *rows, const struct decision *decision)
{
    struct backfill_row copy = decision->as.backfill;

    copy.dag_id = arena_strdup(&rows->arena, copy.dag_id);
    copy.conf = arena_strdup(&rows->arena, copy.conf);
    copy.tasks = arena_strdup(&rows->arena, copy.tasks);
    copy.pause_reason = arena_strdup(&rows->arena, copy.pause_reason);
    assert(copy.made + copy.skipped <= copy.total);
    assert(copy.succeeded + copy.failed <= copy.made);
    for (size_t i = 0; i < rows->backfill_count; i++) {
        if (rows->backfills[i].id == copy.id) {
            assert(decision->kind == DECIDE_BACKFILL);
            rows->backfills[i] = copy;
            return;
        }
    }
    assert(decision->kind == DECIDE_BACKFILL_NEW);
    rows->backfills = grow(rows->backfills, rows->backfill_count, sizeof(*rows->backfills));
    rows->backfills[rows->backfill_count++] = copy;
}

static void apply_recount(struct rows *rows, const struct decision *decision)
{
    for (size_t i = 0; i < rows->backfill_count; i++) {
        struct backfill_row *row = &rows->backfills[i];
        if (row->id != decision->as.recount.backfill)
            continue;
        assert(row->completed_at_us != 0);
        row->succeeded += decision->as.recount.succeeded;
        row->failed += decision->as.recount.failed;
        assert(row->succeeded >= 0 && row->failed >= 0);
        assert(row->succeeded + row->failed <= row->made);
    }
}

static void apply_asset_event(struct rows *rows, const struct asset_event_row *row)
{
    struct asset_event_row copy = *row;

    assert(rows->asset_event_count == 0 ||
           rows->asset_events[rows->asset_event_count - 1].id < row->id);
    copy.asset = arena_strdup(&rows->arena, row->asset);
    copy.partition = arena_strdup(&rows->arena, row->partition);
    copy.extra = arena_strdup(&rows->arena, row->extra);
    copy.dag_id = copy.run_id = copy.task_id = NULL;
    rows->asset_events =
        grow(rows->asset_events, rows->asset_event_count, sizeof(*rows->asset_events));
    rows->asset_events[rows->asset_event_count++] = copy;
}

static const struct asset_event_row *asset_event(const struct rows *rows, int64_t id)
{
    for (size_t i = 0; i < rows->asset_event_count; i++)
        if (rows->asset_events[i].id == id)
            return &rows->asset_events[i];
    return NULL;
}

static void apply_asset_wait(struct rows *rows, const struct asset_wait_row *row)
{
    const struct asset_event_row *event = asset_event(rows, row->event);
    struct asset_wait_row copy = *row;

    assert(event != NULL && strcmp(event->asset, row->asset) == 0);
    copy.dag_id = arena_strdup(&rows->arena, row->dag_id);
    copy.partition = arena_strdup(&rows->arena, row->partition);
    copy.asset = event->asset;
    copy.extra = event->extra;
    copy.event_partition = event->partition;
    rows->asset_waits = grow(rows->asset_waits, rows->asset_wait_count, sizeof(*rows->asset_waits));
    rows->asset_waits[rows->asset_wait_count++] = copy;
}

/* Drops the waits of a DAG: of one partition, or of one asset; NULL = of all. */
static size_t drop_waits(struct rows *rows, const char *dag_id, const char *partition,
                         const char *asset)
{
    size_t kept = 0;
    size_t dropped = 0;

    for (size_t i = 0; i < rows->asset_wait_count; i++) {
        const struct asset_wait_row *wait = &rows->asset_waits[i];
        if (strcmp(wait->dag_id, dag_id) == 0 &&
            (partition == NULL || strcmp(wait->partition, partition) == 0) &&
            (asset == NULL || strcmp(wait->asset, asset) == 0))
            dropped++;
        else
            rows->asset_waits[kept++] = *wait;
    }
    rows->asset_wait_count = kept;
    return dropped;
}

static void apply_asset_taken(struct rows *rows, const struct decision *decision)
{
    size_t taken =
        drop_waits(rows, decision->as.asset_taken.dag_id, decision->as.asset_taken.partition, NULL);

    assert(taken > 0); /* a run for nothing */
}

struct callback_row *rows_callback(const struct rows *rows, const char *token)
{
    for (size_t i = 0; i < rows->callback_count; i++)
        if (rows->callbacks[i].token != NULL && strcmp(rows->callbacks[i].token, token) == 0)
            return &rows->callbacks[i];
    return NULL;
}

static void apply_callback(struct rows *rows, const struct callback_row *row)
{
    struct callback_row copy = *row;

    copy.dag_id = arena_strdup(&rows->arena, row->dag_id);
    copy.task_id = arena_strdup(&rows->arena, row->task_id);
    copy.kind = arena_strdup(&rows->arena, row->kind);
    copy.options = arena_strdup(&rows->arena, row->options);
    copy.document = arena_strdup(&rows->arena, row->document);
    copy.token = arena_strdup(&rows->arena, row->token);
    copy.worker = arena_strdup(&rows->arena, row->worker);
    copy.reason = arena_strdup(&rows->arena, row->reason);
    assert(row->tries <= row->max_tries);
    for (size_t i = 0; i < rows->callback_count; i++) {
        if (rows->callbacks[i].id != row->id)
            continue;
        assert(rows->callbacks[i].ended_at_us == 0);
        rows->callbacks[i] = copy;
        return;
    }
    rows->callbacks = grow(rows->callbacks, rows->callback_count, sizeof(*rows->callbacks));
    rows->callbacks[rows->callback_count++] = copy;
}

void rows_apply(struct rows *rows, const struct decision *decision)
{
    switch (decision->kind) {
    case DECIDE_DAG:
        apply_dag(rows, &decision->as.dag);
        break;
    case DECIDE_VERSION:
        apply_version(rows, &decision->as.version);
        break;
    case DECIDE_RUN_NEW:
        apply_run_new(rows, decision);
        break;
    case DECIDE_RUN:
    case DECIDE_RUN_RESET:
        apply_run(rows, decision);
        break;
    case DECIDE_EXPAND:
        apply_expand(rows, &decision->as.expand);
        break;
    case DECIDE_TASK:
        apply_task(rows, decision);
        break;
    case DECIDE_ATTEMPT_NEW:
    case DECIDE_ATTEMPT_AGAIN:
    case DECIDE_ATTEMPT:
        apply_attempt(rows, decision);
        break;
    case DECIDE_BACKFILL_NEW:
    case DECIDE_BACKFILL:
        apply_backfill(rows, decision);
        break;
    case DECIDE_RECOUNT:
        apply_recount(rows, decision);
        break;
    case DECIDE_ASSET_EVENT:
        apply_asset_event(rows, &decision->as.asset_event);
        break;
    case DECIDE_ASSET_SEEN:
        for (size_t i = 0; i < rows->asset_event_count; i++)
            rows->asset_events[i].is_unseen = false;
        break;
    case DECIDE_ASSET_WAIT:
        apply_asset_wait(rows, &decision->as.asset_wait);
        break;
    case DECIDE_ASSET_TAKEN:
        apply_asset_taken(rows, decision);
        break;
    case DECIDE_ASSET_DROPPED:
        (void)drop_waits(rows, decision->as.asset_wait.dag_id, NULL, decision->as.asset_wait.asset);
        break;
    case DECIDE_CALLBACK:
        apply_callback(rows, &decision->as.callback);
        break;
    case DECIDE_START_CALLBACK:
        assert(rows_callback(rows, decision->as.callback.token) != NULL);
        break;
    case DECIDE_START:
        assert(rows_attempt(rows, decision->as.start.attempt.token) != NULL);
        break;
    case DECIDE_STOP:
    case DECIDE_ACK:
    case DECIDE_REPLY:
        break;
    }
}

static bool is_chosen(const struct run_row *row, const struct run_row *named,
                      const struct run_choice *choice)
{
    int64_t from = choice->from_us;
    int64_t to = choice->to_us;

    if (choice->run_id != NULL && !choice->include_past && !choice->include_future)
        return row == named;
    if (choice->run_id != NULL) {
        from = choice->include_past ? INT64_MIN : named->logical_date_us;
        to = choice->include_future ? 0 : named->logical_date_us;
    }
    return row->logical_date_us >= from && (to == 0 || row->logical_date_us <= to);
}

struct run_rows *rows_choose(const struct rows *rows, const struct core *core, const char *dag_id,
                             const struct run_choice *choice, size_t *ret_count)
{
    struct run_rows *chosen = mem_alloc_array(rows->run_count, sizeof(*chosen));
    const struct run_row *named = NULL;

    *ret_count = 0;
    for (size_t i = 0; choice->run_id != NULL && i < rows->run_count; i++)
        if (strcmp(rows->runs[i].row.dag_id, dag_id) == 0 &&
            strcmp(rows->runs[i].row.run_id, choice->run_id) == 0)
            named = &rows->runs[i].row;
    for (size_t i = 0; i < rows->run_count && (choice->run_id == NULL || named != NULL); i++) {
        const struct stored_run *run = &rows->runs[i];
        if (strcmp(run->row.dag_id, dag_id) != 0 || !is_chosen(&run->row, named, choice))
            continue;
        struct run_rows *of = &chosen[(*ret_count)++];
        *of = (struct run_rows){.row = run->row, .version = run->dag};
        if (core_has_run(core, run->row.id))
            continue;
        struct attempt_row *attempts = mem_alloc_array(rows->attempt_count, sizeof(*attempts));
        for (size_t k = 0; k < rows->attempt_count; k++)
            if (rows->attempts[k].run == run->row.id)
                attempts[of->attempt_count++] = rows->attempts[k];
        of->attempts = attempts;
        of->tasks = run->tasks;
        of->task_count = run->task_count;
    }
    return chosen;
}

/* The version's number, as the core counts them, and its hash. */
static void know_version(const struct rows *rows, struct known_run *known)
{
    const struct dag *dag = version(rows, known->row.version_id);

    known->version_hash = dag->hash;
    for (size_t i = 0; i < rows->dag_count; i++)
        known->version_number += rows->dag_versions[i] != 0 &&
                                 rows->dag_versions[i] <= known->row.version_id &&
                                 strcmp(rows->dags[i]->dag_id, dag->dag_id) == 0;
}

static void know_attempts(struct rows *rows, struct known_run *known)
{
    struct attempt_row *attempts =
        arena_alloc_array(&rows->arena, rows->attempt_count, sizeof(*attempts));

    for (size_t i = 0; i < rows->attempt_count; i++)
        if (rows->attempts[i].run == known->row.id)
            attempts[known->attempt_count++] = rows->attempts[i];
    known->attempts = attempts;
}

/* The datasets an attempt read ("inputs") or published ("outputs"); the caller owns it. */
static json_t *datasets_of(const struct attempt_row *row, const char *role)
{
    json_t *all = row->datasets == NULL ? NULL : json_loads(row->datasets, 0, NULL);
    json_t *list = json_incref(json_object_get(all, role));

    json_decref(all);
    return list;
}

static const char *newest_version(const struct rows *rows, const char *dataset)
{
    for (size_t i = 0; i < rows->dataset_count; i++)
        if (strcmp(rows->datasets[i].name, dataset) == 0)
            return rows->datasets[i].version;
    return NULL;
}

static void apply_datasets(struct rows *rows, const struct attempt_row *row)
{
    json_t *outputs = datasets_of(row, "outputs");
    size_t i = 0;
    const json_t *item = NULL;

    json_array_foreach(outputs, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "dataset"));
        size_t at = 0;
        while (at < rows->dataset_count && strcmp(rows->datasets[at].name, name) != 0)
            at++;
        assert(at < sizeof(rows->datasets) / sizeof(rows->datasets[0]));
        rows->dataset_count += at == rows->dataset_count;
        rows->datasets[at].name = arena_strdup(&rows->arena, name);
        rows->datasets[at].version =
            arena_strdup(&rows->arena, json_string_value(json_object_get(item, "version")));
    }
    json_decref(outputs);
}

/* A dataset that a task of the run read, by its last try, and that has another version now. */
static const char *find_changed_input(struct rows *rows, int64_t run)
{
    const char *changed = NULL;

    for (size_t k = 0; k < rows->attempt_count && changed == NULL; k++) {
        const struct attempt_row *row = &rows->attempts[k];
        const struct stored_run *stored = rows_run(rows, run);
        const struct task_row *task = find_task(stored, row->task, row->map_index);
        if (row->run != run || task == NULL || row->try_number != task->try_number)
            continue;
        json_t *inputs = datasets_of(row, "inputs");
        size_t i = 0;
        const json_t *item = NULL;
        json_array_foreach(inputs, i, item)
        {
            const char *name = json_string_value(json_object_get(item, "dataset"));
            const char *read = json_string_value(json_object_get(item, "version"));
            const char *newest = newest_version(rows, name);
            if (newest != NULL && strcmp(newest, read) != 0)
                changed = arena_strdup(&rows->arena, name);
        }
        json_decref(inputs);
    }
    return changed;
}

static bool is_failed_of(const struct run_row *row, const struct core_want *want)
{
    int64_t ahead = row->logical_date_us - want->logical_date_us;

    return row->backfill_id == want->backfill_id && row->state == RUN_FAILED &&
           row->ended_at_us <= want->before_us && (want->is_backwards ? ahead <= 0 : ahead >= 0);
}

/* The failed run of a retry at place `offset`, in the direction asked for; NULL = none. */
static const struct stored_run *find_failed(const struct rows *rows, const struct core_want *want)
{
    for (size_t i = 0; i < rows->run_count; i++) {
        const struct run_row *row = &rows->runs[i].row;
        int64_t before = 0;
        if (!is_failed_of(row, want))
            continue;
        for (size_t k = 0; k < rows->run_count; k++) {
            int64_t ahead = row->logical_date_us - rows->runs[k].row.logical_date_us;
            before += is_failed_of(&rows->runs[k].row, want) &&
                      (want->is_backwards ? ahead < 0 : ahead > 0);
        }
        if (before == want->offset)
            return &rows->runs[i];
    }
    return NULL;
}

static const struct stored_run *find_by_date(const struct rows *rows, const struct core_want *want)
{
    for (size_t i = 0; i < rows->run_count; i++)
        if (rows->runs[i].row.logical_date_us == want->logical_date_us &&
            strcmp(rows->runs[i].row.dag_id, want->dag_id) == 0)
            return &rows->runs[i];
    return NULL;
}

static const struct stored_run *find_previous(const struct rows *rows, const struct core_want *want)
{
    const struct stored_run *found = NULL;

    for (size_t i = 0; i < rows->run_count; i++) {
        const struct run_row *row = &rows->runs[i].row;
        if (strcmp(row->dag_id, want->dag_id) != 0 || row->logical_date_us == 0 ||
            row->logical_date_us >= want->logical_date_us ||
            (want->skip_manual && row->run_type == RUN_TYPE_MANUAL))
            continue;
        if (found == NULL || found->row.logical_date_us < row->logical_date_us)
            found = &rows->runs[i];
    }
    return found;
}

void rows_known(struct rows *rows, const struct core_want *want, struct known_run *ret)
{
    const struct stored_run *run = want->is_previous ? find_previous(rows, want)
                                   : want->is_retry  ? find_failed(rows, want)
                                                     : find_by_date(rows, want);

    *ret = (struct known_run){0};
    if (run == NULL)
        return;
    ret->exists = true;
    ret->row = run->row;
    know_version(rows, ret);
    bool asks = want->is_question || want->is_previous ||
                (want->reprocess != REPROCESS_NONE && want->reprocess != REPROCESS_MISSING);
    if (!run_state_is_final(run->row.state) || !asks)
        return;
    ret->tasks = run->tasks;
    ret->task_count = run->task_count;
    if (!want->is_question && !want->is_previous)
        know_attempts(rows, ret);
    if (want->reprocess == REPROCESS_STALE)
        ret->changed_input = find_changed_input(rows, run->row.id);
}

/* As the store loads it: not final, or with attempts that have to stop. */
static bool is_loaded(const struct rows *rows, const struct stored_run *run)
{
    bool loaded = !run_state_is_final(run->row.state);

    for (size_t i = 0; i < rows->attempt_count && !loaded; i++)
        loaded = rows->attempts[i].run == run->row.id && rows->attempts[i].ended_at_us == 0 &&
                 rows->attempts[i].stop_reason != NULL;
    return loaded;
}

static bool is_live(const struct rows *rows, const struct backfill_row *backfill)
{
    bool live = backfill->completed_at_us == 0;

    for (size_t i = 0; i < rows->run_count && !live && backfill->cancelled; i++)
        live = rows->runs[i].row.backfill_id == backfill->id &&
               !run_state_is_final(rows->runs[i].row.state);
    return live;
}

void rows_restore(const struct rows *rows, struct core *core)
{
    for (size_t i = 0; i < rows->callback_count; i++)
        if (rows->callbacks[i].ended_at_us == 0)
            core_restore_callback(core, &rows->callbacks[i]);
    for (size_t i = 0; i < rows->dag_row_count; i++)
        core_restore_dag(core, &rows->dag_rows[i], version(rows, rows->dag_rows[i].version_id));
    for (size_t i = 0; i < rows->asset_wait_count; i++)
        core_restore_asset_wait(core, &rows->asset_waits[i]);
    for (size_t i = 0; i < rows->asset_event_count; i++)
        if (rows->asset_events[i].is_unseen)
            core_restore_asset_event(core, &rows->asset_events[i]);
    for (size_t i = 0; i < rows->backfill_count; i++)
        if (is_live(rows, &rows->backfills[i]))
            core_restore_backfill(core, &rows->backfills[i]);
    for (size_t i = 0; i < rows->run_count; i++) {
        const struct stored_run *run = &rows->runs[i];
        struct attempt_row *attempts = mem_alloc_array(rows->attempt_count, sizeof(*attempts));
        size_t count = 0;
        if (is_loaded(rows, run)) {
            for (size_t k = 0; k < rows->attempt_count; k++)
                if (rows->attempts[k].run == run->row.id)
                    attempts[count++] = rows->attempts[k];
            core_restore_run(core, &run->row, run->dag, run->tasks, run->task_count, attempts,
                             count);
        }
        free(attempts);
    }
}

void rows_release(struct rows *rows)
{
    for (size_t i = 0; i < rows->dag_count; i++)
        dag_unref(rows->dags[i]);
    for (size_t i = 0; i < rows->run_count; i++) {
        dag_unref(rows->runs[i].dag);
        free(rows->runs[i].tasks);
    }
    free(rows->dags);
    free(rows->dag_versions);
    free(rows->dag_rows);
    free(rows->runs);
    free(rows->attempts);
    free(rows->asset_events);
    free(rows->asset_waits);
    free(rows->backfills);
    free(rows->callbacks);
    arena_release(&rows->arena);
}
