#include "tests/crash/machine.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "scheduler/core/core.h"
#include "scheduler/parse.h"
#include "scheduler/store/pages.h"
#include "scheduler/store/store.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WANTS_MAX 64
#define TRIGGERS_MAX 40
#define FINISH_TURNS 200000
#define BEGIN_US INT64_C(1767225600000000) /* 2026-01-01 */
#define US_PER_S INT64_C(1000000)

static const char *const dag_sources[] = {
    "dag_id: by_hand\n"
    "max_active_runs: 3\n"
    "default_args: {retries: 1000, retry_delay: 2s}\n"
    "tasks:\n"
    "  extract: {type: noop}\n"
    "  left: {type: noop, depends_on: [extract], pool: narrow}\n"
    "  right: {type: noop, depends_on: [extract], pool: narrow}\n"
    "  may_fail: {type: noop, depends_on: [left, right]}\n"
    "  last: {type: noop, depends_on: [may_fail]}\n",
    "dag_id: by_clock\n"
    "schedule: {every: 1m}\n"
    "start_date: 2026-01-01\n"
    "end_date: 2026-01-01T00:30:00Z\n"
    "catchup: true\n"
    "default_args: {retries: 1000, retry_delay: 1s}\n"
    "tasks:\n"
    "  one: {type: noop}\n"
    "  two: {type: noop, depends_on: [one]}\n",
};
#define DAG_COUNT (sizeof(dag_sources) / sizeof(dag_sources[0]))

struct held {
    char token[80];
    bool has_begun;
    enum outcome outcome;
};

struct tokens {
    char **items;
    size_t count;
    size_t capacity;
};

struct machine {
    char *folder;
    char *state;
    char *twin_state;
    struct store *store;
    struct store *twin;
    sqlite3 *db;
    sqlite3 *twin_db;
    struct core *core;
    struct decisions out;
    struct arena arena;
    struct dag *dags[DAG_COUNT];
    int64_t now_us;
    uint64_t random;
    /* the worker */
    struct held *held;
    size_t held_count;
    size_t held_capacity;
    struct tokens started;      /* every token it was ever told to start */
    struct tokens acknowledged; /* whose results it may forget */
    int64_t worker_number;
    char worker[24];
    /* what the store must hold */
    struct decisions unanswered; /* of the commit that failed; they point into the former core */
    struct core *former_core;
    int64_t unanswered_at_us;
    struct tokens keys; /* idempotency keys of this turn's triggers */
    int64_t triggers;
    size_t commits;
    size_t lost;
    char verdict[512];
};

static sqlite3 *last_opened;
static bool sync_less;

static int ignore_synchronous(void *context, int action, const char *first, const char *second,
                              const char *database, const char *trigger)
{
    (void)context;
    (void)second;
    (void)database;
    (void)trigger;
    return action == SQLITE_PRAGMA && strcmp(first, "synchronous") == 0 ? SQLITE_IGNORE : SQLITE_OK;
}

/* Every connection that SQLite opens is seen here: the store's is inside the store. */
static int on_connection(sqlite3 *db, const char **message, const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    last_opened = db;
    if (sync_less) {
        (void)sqlite3_exec(db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
        (void)sqlite3_set_authorizer(db, ignore_synchronous, NULL);
    }
    return SQLITE_OK;
}

void machines_sync_less(bool less)
{
    sync_less = less;
}

static uint64_t chance(struct machine *machine, uint64_t below)
{
    machine->random ^= machine->random << 13;
    machine->random ^= machine->random >> 7;
    machine->random ^= machine->random << 17;
    return (machine->random >> 16) % below;
}

__attribute__((format(printf, 2, 3))) static void blame(struct machine *machine, const char *format,
                                                        ...)
{
    va_list args;

    if (machine->verdict[0] != '\0')
        return;
    va_start(args, format);
    (void)vsnprintf(machine->verdict, sizeof(machine->verdict), format, args);
    va_end(args);
}

/* ---- the rows ---- */

/* Rows are only compared: numbers go in as they are, which is much cheaper than their texts. */
static void dump_value(sqlite3_stmt *stmt, int column, struct buf *out)
{
    int type = sqlite3_column_type(stmt, column);

    buf_add_char(out, (char)('0' + type));
    if (type == SQLITE_INTEGER) {
        int64_t number = sqlite3_column_int64(stmt, column);
        buf_add(out, &number, sizeof(number));
    } else if (type != SQLITE_NULL) {
        buf_add_text(out, (const char *)sqlite3_column_text(stmt, column));
    }
}

static void dump_table(sqlite3 *db, const char *name, struct buf *out)
{
    struct buf sql = {0};
    sqlite3_stmt *stmt = NULL;

    buf_printf(&sql, "SELECT * FROM \"%s\"", name);
    int status = sqlite3_prepare_v2(db, buf_text(&sql), -1, &stmt, NULL);
    buf_printf(out, "%s %d\n", name, status);
    while (status == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(stmt); i++)
            dump_value(stmt, i, out);
        buf_add_char(out, '\n');
    }
    (void)sqlite3_finalize(stmt);
    buf_release(&sql);
}

/* All rows but those of `meta`, which holds what differs between a store and its twin. */
static void dump(sqlite3 *db, struct buf *out)
{
    sqlite3_stmt *stmt = NULL;
    int status = sqlite3_prepare_v2(
        db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'meta' ORDER BY name",
        -1, &stmt, NULL);

    assert(status == SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW)
        dump_table(db, (const char *)sqlite3_column_text(stmt, 0), out);
    (void)sqlite3_finalize(stmt);
}

static uint64_t fingerprint(sqlite3 *db)
{
    struct buf text = {0};

    dump(db, &text);
    uint64_t print = digest_xxh3(buf_str(&text), 0);
    buf_release(&text);
    return print;
}

static int64_t query(sqlite3 *db, const char *sql, const char *text)
{
    sqlite3_stmt *stmt = NULL;
    int64_t value = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        (text == NULL || sqlite3_bind_text(stmt, 1, text, -1, SQLITE_STATIC) == SQLITE_OK) &&
        sqlite3_step(stmt) == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return value;
}

/* ---- the twin ---- */

static void open_twin(struct machine *machine)
{
    struct err err = {0};

    machine->twin = store_open(machine->twin_state, &err);
    if (machine->twin == NULL)
        blame(machine, "the twin does not open: %s", err.message);
    assert(machine->twin != NULL);
    machine->twin_db = last_opened;
}

/* The twin becomes what the store is. */
static void copy_to_twin(struct machine *machine)
{
    struct buf path = {0};
    struct err err = {0};
    sqlite3 *copy = NULL;

    store_close(machine->twin);
    bool ok = fs_remove_tree(machine->twin_state, &err) &&
              fs_make_folders(machine->twin_state, 0700, &err);
    assert(ok);
    buf_printf(&path, "%s/state.db", machine->twin_state);
    int status = sqlite3_open_v2(buf_text(&path), &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                                 PAGES_VFS);
    assert(status == SQLITE_OK);
    sqlite3_backup *backup = sqlite3_backup_init(copy, "main", machine->db, "main");
    assert(backup != NULL);
    status = sqlite3_backup_step(backup, -1);
    assert(status == SQLITE_DONE);
    (void)sqlite3_backup_finish(backup);
    (void)sqlite3_close(copy);
    buf_release(&path);
    open_twin(machine);
}

/* ---- the worker ---- */

static bool tokens_have(const struct tokens *tokens, const char *token)
{
    for (size_t i = tokens->count; i-- > 0;)
        if (strcmp(tokens->items[i], token) == 0)
            return true;
    return false;
}

static void tokens_add(struct tokens *tokens, const char *token)
{
    if (tokens->count == tokens->capacity) {
        tokens->capacity = mem_grow(tokens->capacity, tokens->count + 1);
        tokens->items = mem_resize_array(tokens->items, tokens->capacity, sizeof(char *));
    }
    tokens->items[tokens->count++] = mem_strdup(token);
}

static void tokens_release(struct tokens *tokens)
{
    for (size_t i = 0; i < tokens->count; i++)
        free(tokens->items[i]);
    free(tokens->items);
}

static struct held *find_held(struct machine *machine, const char *token)
{
    for (size_t i = 0; i < machine->held_count; i++)
        if (strcmp(machine->held[i].token, token) == 0)
            return &machine->held[i];
    return NULL;
}

/* Decided by the run alone, so that every recovery leads to the same end. */
static bool run_fails(const char *run_id)
{
    return digest_xxh3(str_from(run_id), 1) % 4 == 0;
}

static void take_start(struct machine *machine, const struct decision_start *start)
{
    const char *token = start->attempt.token;

    if (strcmp(start->worker, machine->worker) != 0 || find_held(machine, token) != NULL)
        return;
    if (tokens_have(&machine->started, token))
        blame(machine, "token %s is started a second time", token);
    tokens_add(&machine->started, token);
    if (machine->held_count == machine->held_capacity) {
        machine->held_capacity = mem_grow(machine->held_capacity, machine->held_count + 1);
        machine->held =
            mem_resize_array(machine->held, machine->held_capacity, sizeof(*machine->held));
    }
    struct held *held = &machine->held[machine->held_count++];
    *held = (struct held){.outcome = OUTCOME_SUCCESS};
    (void)snprintf(held->token, sizeof(held->token), "%s", token);
    if (strcmp(start->task->task_id, "may_fail") == 0 && run_fails(start->run.run_id))
        held->outcome = OUTCOME_FATAL;
    else if (start->attempt.try_number == 1 && chance(machine, 4) == 0)
        held->outcome = OUTCOME_FAILED;
}

static void take_ack(struct machine *machine, const char *token)
{
    struct held *held = find_held(machine, token);

    if (held == NULL)
        return;
    tokens_add(&machine->acknowledged, token);
    *held = machine->held[--machine->held_count];
}

static void carry_out(struct machine *machine)
{
    for (size_t i = 0; i < machine->out.count; i++) {
        const struct decision *decision = &machine->out.items[i];
        if (decision->kind == DECIDE_START)
            take_start(machine, &decision->as.start);
        else if (decision->kind == DECIDE_ACK)
            take_ack(machine, decision->as.token.token);
    }
}

/* ---- turns ---- */

static void clear_keys(struct machine *machine)
{
    while (machine->keys.count > 0)
        free(machine->keys.items[--machine->keys.count]);
}

static void put_keys(struct machine *machine, struct store *store)
{
    for (size_t i = 0; i < machine->keys.count; i++)
        store_put_idempotency(store, machine->keys.items[i], "hash", BEGIN_US, 200, "{}");
}

static void commit_twin(struct machine *machine, const struct decisions *decisions, int64_t now_us)
{
    struct err err = {0};

    put_keys(machine, machine->twin);
    if (!store_commit(machine->twin, decisions, now_us, &err))
        blame(machine, "the twin does not commit: %s", err.message);
    clear_keys(machine);
}

/* Commits, then acts. What failed is kept: whether it was stored is seen by the recovery. */
static bool commit(struct machine *machine, struct err *err)
{
    put_keys(machine, machine->store);
    if (!store_commit(machine->store, &machine->out, machine->now_us, err)) {
        struct decisions empty = machine->unanswered;
        machine->unanswered = machine->out;
        machine->unanswered_at_us = machine->now_us;
        machine->out = empty;
        return false;
    }
    commit_twin(machine, &machine->out, machine->now_us);
    machine->commits++;
    carry_out(machine);
    decisions_clear(&machine->out);
    arena_release(&machine->arena);
    return true;
}

static bool step_tick(struct machine *machine, struct err *err)
{
    struct core_want wants[WANTS_MAX];
    struct known_run known[WANTS_MAX] = {0};
    struct event event = {.kind = EVENT_TICK, .now_us = machine->now_us};
    size_t count = core_wants(machine->core, machine->now_us, wants, WANTS_MAX);

    for (size_t i = 0; i < count; i++)
        if (!store_known_run(machine->store, &machine->arena, &wants[i], &known[i], err))
            return false;
    event.as.tick = (struct event_tick){wants, known, count};
    core_step(machine->core, &event, &machine->out);
    return true;
}

static void step_trigger(struct machine *machine)
{
    struct event event = {.kind = EVENT_TRIGGER, .now_us = machine->now_us};
    char run_id[32];
    char key[40];

    (void)snprintf(run_id, sizeof(run_id), "hand-%lld", (long long)++machine->triggers);
    (void)snprintf(key, sizeof(key), "key-%lld", (long long)machine->triggers);
    event.as.trigger = (struct event_trigger){
        .dag_id = "by_hand", .run_id = run_id, .triggered_by = TRIGGERED_BY_TEST};
    core_step(machine->core, &event, &machine->out);
    tokens_add(&machine->keys, key);
}

static void step_report(struct machine *machine)
{
    struct held *held = &machine->held[chance(machine, machine->held_count)];
    struct event event = {.now_us = machine->now_us};

    if (!held->has_begun && chance(machine, 2) == 0) {
        held->has_begun = true;
        event.kind = EVENT_ATTEMPT_STARTED;
        event.as.attempt_started = (struct event_attempt_started){.token = held->token,
                                                                  .pid = 1,
                                                                  .started_at_us = machine->now_us,
                                                                  .worker = machine->worker};
    } else {
        held->has_begun = true;
        event.kind = EVENT_ATTEMPT_ENDED;
        event.as.attempt_ended = (struct event_attempt_ended){
            .token = held->token,
            .outcome = held->outcome,
            .exit_code = -1,
            .started_at_us = machine->now_us,
            .ended_at_us = machine->now_us,
            .outputs = "{\"rows\": 12}",
            .worker = machine->worker,
        };
    }
    core_step(machine->core, &event, &machine->out);
}

static bool settle(struct machine *machine, struct err *err)
{
    while (core_next_wakeup(machine->core) <= machine->now_us)
        if (!step_tick(machine, err) || !commit(machine, err))
            return false;
    return true;
}

static bool turn(struct machine *machine, struct err *err)
{
    machine->now_us += (int64_t)chance(machine, 4) * US_PER_S;
    if (!settle(machine, err))
        return false;
    for (uint64_t events = 1 + chance(machine, 4); events-- > 0;) {
        if (machine->triggers < TRIGGERS_MAX && chance(machine, 8) == 0)
            step_trigger(machine);
        else if (machine->held_count > 0)
            step_report(machine);
    }
    if (!commit(machine, err))
        return false;
    return chance(machine, 12) != 0 || store_checkpoint(machine->store, err);
}

bool machine_run(struct machine *machine, size_t turns, struct err *err)
{
    for (size_t i = 0; i < turns; i++)
        if (!turn(machine, err))
            return false;
    return true;
}

static void check_ends(struct machine *machine)
{
    sqlite3_stmt *stmt = NULL;
    int64_t hand_runs = 0;
    int status =
        sqlite3_prepare_v2(machine->db, "SELECT run_id, dag_id, state FROM run", -1, &stmt, NULL);

    assert(status == SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *run_id = (const char *)sqlite3_column_text(stmt, 0);
        bool by_hand = strcmp((const char *)sqlite3_column_text(stmt, 1), "by_hand") == 0;
        const char *want = by_hand && run_fails(run_id) ? "failed" : "success";
        hand_runs += by_hand;
        if (strcmp((const char *)sqlite3_column_text(stmt, 2), want) != 0)
            blame(machine, "run %s is %s and not %s", run_id, sqlite3_column_text(stmt, 2), want);
    }
    (void)sqlite3_finalize(stmt);
    int64_t ticks = query(machine->db, "SELECT count(*) FROM run WHERE dag_id = 'by_clock'", NULL);
    if (ticks != 30)
        blame(machine, "%lld scheduled runs instead of 30", (long long)ticks);
}

static bool is_over(const struct machine *machine)
{
    return machine->held_count == 0 && core_next_wakeup(machine->core) == INT64_MAX &&
           query(machine->db, "SELECT count(*) FROM run WHERE state IN ('queued', 'running')",
                 NULL) == 0;
}

bool machine_finish(struct machine *machine, struct err *err)
{
    for (int i = 0; i < FINISH_TURNS; i++) {
        if (!settle(machine, err))
            return false;
        if (machine->held_count > 0) {
            step_report(machine);
            if (!commit(machine, err))
                return false;
        } else if (core_next_wakeup(machine->core) != INT64_MAX) {
            machine->now_us = core_next_wakeup(machine->core);
        } else {
            break;
        }
    }
    if (is_over(machine))
        check_ends(machine);
    else
        blame(machine, "the runs do not come to their end");
    return true;
}

/* ---- starting ---- */

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int status = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    assert(status == SQLITE_OK);
    return stmt;
}

static bool find_token(sqlite3_stmt *stmt, const char *token)
{
    (void)sqlite3_bind_text(stmt, 1, token, -1, SQLITE_STATIC);
    bool found = sqlite3_step(stmt) == SQLITE_ROW;
    (void)sqlite3_reset(stmt);
    return found;
}

/* Every attempt that was ever begun is known, and one whose result was acknowledged has ended. */
static void check_tokens(struct machine *machine)
{
    static const char known[] = "SELECT 1 FROM temp.seen WHERE token = ?1";
    static const char live[] =
        "SELECT 1 FROM temp.seen WHERE token = ?1 AND state IN ('queued', 'running')";
    static const char copy[] = "DROP TABLE IF EXISTS temp.seen;"
                               "CREATE TEMP TABLE seen (token TEXT PRIMARY KEY, state TEXT);"
                               "INSERT INTO temp.seen SELECT token, state FROM attempt";

    if (machine->started.count == 0)
        return;
    int status = sqlite3_exec(machine->db, copy, NULL, NULL, NULL);
    if (status != SQLITE_OK)
        return; /* the power goes while we look */
    sqlite3_stmt *is_known = prepare(machine->db, known);
    sqlite3_stmt *is_live = prepare(machine->db, live);
    for (size_t i = 0; i < machine->started.count; i++)
        if (!find_token(is_known, machine->started.items[i]))
            blame(machine, "the begun attempt %s is unknown", machine->started.items[i]);
    for (size_t i = 0; i < machine->acknowledged.count; i++)
        if (find_token(is_live, machine->acknowledged.items[i]))
            blame(machine, "the result of %s was acknowledged and is gone",
                  machine->acknowledged.items[i]);
    (void)sqlite3_finalize(is_known);
    (void)sqlite3_finalize(is_live);
}

static void check_rows(struct machine *machine)
{
    uint64_t found = fingerprint(machine->db);
    uint64_t answered = fingerprint(machine->twin_db);
    bool was_answered = found == answered;

    if (!was_answered)
        commit_twin(machine, &machine->unanswered, machine->unanswered_at_us);
    if (!was_answered && found != fingerprint(machine->twin_db)) {
        blame(machine, "acknowledged changes are lost: transitions end at %lld, of %lld",
              (long long)store_last_seq(machine->store), (long long)store_last_seq(machine->twin));
        machine->lost++;
        copy_to_twin(machine);
    }
    clear_keys(machine);
    decisions_clear(&machine->unanswered);
    core_free(machine->former_core);
    machine->former_core = NULL;
    check_tokens(machine);
}

static bool restore_dag(void *context, const struct dag_row *row, const struct version_row *version,
                        struct err *err)
{
    struct machine *machine = context;

    (void)err;
    for (size_t i = 0; i < DAG_COUNT; i++)
        if (strcmp(machine->dags[i]->hash, version->hash) == 0)
            core_restore_dag(machine->core, row, machine->dags[i]);
    return true;
}

static bool restore_backfill(void *context, const struct backfill_row *row, struct err *err)
{
    struct machine *machine = context;

    (void)err;
    core_restore_backfill(machine->core, row);
    return true;
}

static bool restore_run(void *context, const struct run_row *row, const struct version_row *version,
                        const struct task_row *tasks, size_t task_count,
                        const struct attempt_row *attempts, size_t attempt_count, struct err *err)
{
    struct machine *machine = context;

    (void)err;
    for (size_t i = 0; i < DAG_COUNT; i++)
        if (strcmp(machine->dags[i]->hash, version->hash) == 0)
            core_restore_run(machine->core, row, machine->dags[i], tasks, task_count, attempts,
                             attempt_count);
    return true;
}

static bool restore(struct machine *machine, struct err *err)
{
    struct store_identity identity = store_identity(machine->store);
    const struct core_pool pools[] = {
        {"default_pool", 128},
        {"narrow",       2  }
    };
    struct core_config config = {
        .instance = identity.instance,
        .epoch = identity.epoch,
        .pools = pools,
        .pool_count = 2,
        .schedules = true,
        .last_version_id = identity.last_version_id,
        .last_run_id = identity.last_run_id,
        .last_backfill_id = identity.last_backfill_id,
        .last_asset_event_id = identity.last_asset_event_id,
        .last_callback_id = identity.last_callback_id,
    };

    machine->core = core_new(&config);
    if (!store_load_dags(machine->store, NULL, restore_dag, machine, err) ||
        !store_load_live_backfills(machine->store, NULL, restore_backfill, machine, err) ||
        !store_load_live_runs(machine->store, NULL, restore_run, machine, err))
        return false;
    core_restored(machine->core, machine->now_us, &machine->out);
    return commit(machine, err);
}

static bool load_dags(struct machine *machine, struct err *err)
{
    for (size_t i = 0; i < DAG_COUNT; i++) {
        struct event event = {.kind = EVENT_DAG_LOADED, .now_us = machine->now_us};
        event.as.dag_loaded.dag = machine->dags[i];
        core_step(machine->core, &event, &machine->out);
    }
    return commit(machine, err);
}

/* The power took the worker with it, and all it had. */
static bool replace_worker(struct machine *machine, struct err *err)
{
    struct event event = {.kind = EVENT_WORKER_GONE, .now_us = machine->now_us};

    machine->held_count = 0;
    event.as.worker_gone.instance = machine->worker;
    core_step(machine->core, &event, &machine->out);
    if (!commit(machine, err))
        return false;
    (void)snprintf(machine->worker, sizeof(machine->worker), "w-%lld",
                   (long long)++machine->worker_number);
    return true;
}

static bool connect_worker(struct machine *machine, struct err *err)
{
    const char **tokens = mem_alloc_array(machine->held_count + 1, sizeof(*tokens));
    struct event event = {.kind = EVENT_WORKER_UP, .now_us = machine->now_us};

    for (size_t i = 0; i < machine->held_count; i++)
        tokens[i] = machine->held[i].token;
    event.as.worker_up = (struct event_worker_up){
        .instance = machine->worker,
        .slots = 4,
        .backlog = 2,
        .shared_slots = 6,
        .tokens = tokens,
        .token_count = machine->held_count,
    };
    core_step(machine->core, &event, &machine->out);
    free(tokens);
    return commit(machine, err);
}

bool machine_start(struct machine *machine, bool worker_survives, struct err *err)
{
    assert(machine->store == NULL);
    machine->store = store_open(machine->state, err);
    if (machine->store == NULL)
        return false;
    machine->db = last_opened;
    check_rows(machine);
    return restore(machine, err) && load_dags(machine, err) &&
           (worker_survives || replace_worker(machine, err)) && connect_worker(machine, err);
}

void machine_stop(struct machine *machine)
{
    decisions_clear(&machine->out);
    arena_release(&machine->arena);
    if (machine->core != NULL) {
        core_free(machine->former_core);
        machine->former_core = machine->core;
    }
    store_close(machine->store);
    machine->core = NULL;
    machine->store = NULL;
    machine->db = NULL;
}

struct machine *machine_new(const char *folder, uint64_t seed)
{
    struct machine *machine = mem_alloc(sizeof(*machine));
    struct parse_report report = {0};
    struct err err = {0};

    (void)sqlite3_auto_extension((void (*)(void))on_connection);
    machine->random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    machine->now_us = BEGIN_US;
    machine->folder = mem_strdup(folder);
    machine->state = fs_join(folder, "state");
    machine->twin_state = fs_join(folder, "twin");
    (void)snprintf(machine->worker, sizeof(machine->worker), "w-0");
    for (size_t i = 0; i < DAG_COUNT; i++) {
        machine->dags[i] = parse_dag(NULL, str_from(dag_sources[i]), "crash.yaml", &report);
        if (machine->dags[i] == NULL)
            (void)fprintf(stderr, "%s\n", buf_text(&report.text));
        assert(machine->dags[i] != NULL);
    }
    parse_report_release(&report);
    bool ok = fs_remove_tree(folder, &err) && fs_make_folders(machine->twin_state, 0700, &err);
    assert(ok);
    open_twin(machine);
    return machine;
}

void machine_free(struct machine *machine)
{
    struct err err = {0};

    machine_stop(machine);
    core_free(machine->former_core);
    store_close(machine->twin);
    decisions_release(&machine->out);
    decisions_release(&machine->unanswered);
    tokens_release(&machine->keys);
    for (size_t i = 0; i < DAG_COUNT; i++)
        dag_unref(machine->dags[i]);
    tokens_release(&machine->started);
    tokens_release(&machine->acknowledged);
    (void)fs_remove_tree(machine->folder, &err);
    free(machine->held);
    free(machine->folder);
    free(machine->state);
    free(machine->twin_state);
    free(machine);
}

uint64_t machine_fingerprint(const struct machine *machine)
{
    return fingerprint(machine->db);
}

static bool see_dag(void *context, const struct dag_row *row, const struct version_row *version,
                    struct err *err)
{
    (void)context;
    (void)row;
    (void)version;
    (void)err;
    return true;
}

static bool see_run(void *context, const struct run_row *row, const struct version_row *version,
                    const struct task_row *tasks, size_t task_count,
                    const struct attempt_row *attempts, size_t attempt_count, struct err *err)
{
    (void)context;
    (void)row;
    (void)version;
    (void)tasks;
    (void)task_count;
    (void)attempts;
    (void)attempt_count;
    (void)err;
    return true;
}

bool state_fingerprint(const char *state_folder, uint64_t *ret, struct err *err)
{
    (void)sqlite3_auto_extension((void (*)(void))on_connection);
    struct store *store = store_open(state_folder, err);
    if (store == NULL)
        return false;
    bool ok = store_load_dags(store, NULL, see_dag, NULL, err) &&
              store_load_live_runs(store, NULL, see_run, NULL, err);
    if (ok)
        *ret = fingerprint(last_opened);
    store_close(store);
    return ok;
}

const char *machine_verdict(const struct machine *machine)
{
    return machine->verdict;
}

size_t machine_lost(const struct machine *machine)
{
    return machine->lost;
}

size_t machine_commits(const struct machine *machine)
{
    return machine->commits;
}
