/* The simulated world: the real core, and around it in memory what it meets in production: the
 * scheduler's loop with its rows, a network, workers, clients, clocks, and the faults of them all.
 *
 *   run.c      a world from its seed to its end: set-up, chaos, calm
 *   dags*.c    random DAGs           clients.c  commands and DAG edits
 *   loop.c     the turn: step, commit (or crash), act; recovery
 *   net.c      messages that are lost, late, doubled, in another order
 *   workers.c  workers and their attempts, by the rules of worker/
 *   check_*.c  the invariants: one function each, after every decision and commit
 *   replay.c   the core rebuilt from the rows decides as the one that went on
 *
 * Time: a tick is a step of the world; the wall clock moves some seconds with each and may jump,
 * ticks are the monotonic clock. */
#ifndef MILLRACE_SIM_SIM_H
#define MILLRACE_SIM_SIM_H

#include "scheduler/core/core.h"
#include "scheduler/core/planted.h"
#include "tests/scenarios/world.h"
#include "tests/sim/draws.h"
#include "tests/sim/naive.h"

#include <setjmp.h>
#include <uthash.h>

struct store; /* scheduler/store/store.h */

#define SIM_TICKS 300
#define SIM_CALM_TICKS 4000 /* within which all must come to its end once faults stop */
#define SIM_DAGS_MAX 4
#define SIM_SEATS_MAX 4
#define SIM_POOLS_MAX 4
#define SIM_WANTS_MAX 64
#define SIM_CHANGED_MAX 2048

/* What may happen, and how often: in 256 ticks, messages or commits. Each world draws its own. */
struct knobs {
    uint32_t lose;
    uint32_t twice;
    uint32_t late;
    uint32_t late_max; /* ticks */
    uint32_t crash_before_commit;
    uint32_t crash_after_commit;
    uint32_t crash_while_acting;
    uint32_t crash_idle;
    uint32_t worker_crash;
    uint32_t worker_pause;
    uint32_t worker_drain;
    uint32_t disconnect;
    uint32_t clock_jump;
    uint32_t pool_resize;
    uint32_t dag_edit;
    uint32_t dag_pause;
    uint32_t trigger;
    uint32_t backfill;
    uint32_t control;
    uint32_t change; /* clear, mark, cancel */
    uint32_t fail;   /* of attempts */
    uint32_t skip;
    uint32_t seconds_max; /* per tick */
    uint32_t duration_max;
    uint32_t flow;      /* of tasks: conditions, branches, lists out of outputs */
    uint32_t waits;     /* of tasks: sensors for a time or another DAG's run */
    uint32_t assets;    /* of tasks that update some; and updates from outside */
    uint32_t callbacks; /* of tasks that have some, for each event */
    uint32_t replay;    /* commits after which the core is compared with a rebuilt one */
};

/* What an attempt takes at its worker. */
enum slot { SLOT_OF_ITS_OWN, SLOT_IN_SHARED, SLOT_IN_LIGHT, SLOT_OF_CALLBACK, SLOT_COUNT };

/* An attempt, or a try of a callback (of no task, and `run` is the callback's), as the world knows
 * it: what the rows say, and what really happened. */
struct token {
    const char *text;
    UT_hash_handle hh;
    int64_t run;
    uint32_t task;
    int32_t map_index;
    int64_t try_number;
    enum slot slot;
    const struct dag *dag; /* the version that its run had */
    size_t pool;           /* index in sim->pools */
    int64_t pool_slots;
    uint32_t worker;
    bool is_committed;
    bool is_over;          /* so say the rows */
    bool was_acknowledged; /* a worker was told to forget it */
    bool was_given_back;
    int starts;             /* of processes */
    int64_t last_at;        /* tick of the latest message to its worker: they keep their order */
    struct token *previous; /* live ones */
    struct token *next;
};

enum job_state { JOB_WAITING, JOB_RUNNING, JOB_STOPPING, JOB_ENDED };

struct job {
    struct token *token;
    enum job_state state;
    bool is_announced;
    bool is_judged;
    enum outcome outcome;
    const char *outputs; /* of a success; may be NULL */
    int64_t due;         /* tick at which it ends by itself, or by SIGTERM */
    int64_t started_at;  /* tick */
    int64_t started_at_us;
    int64_t ended_at_us;
};

enum link { LINK_DOWN, LINK_HELLO, LINK_UP };

struct sim_worker {
    const char *instance;
    uint32_t seat;
    int64_t slots[SLOT_COUNT];
    int64_t backlog;
    bool is_alive;
    bool is_draining;
    bool is_expected; /* the scheduler watches its lock file */
    bool is_counted;  /* the core may give it attempts */
    int64_t paused_until;
    enum link link;
    uint32_t connection; /* counts them */
    int64_t connect_at;
    int64_t break_at; /* a lost message shows in the end; 0 = none was lost */
    uint64_t epoch;
    struct job *jobs;
    size_t job_count;
    size_t job_capacity;
};

enum message_kind { NET_HELLO, NET_STARTED, NET_ENDED, NET_START, NET_STOP, NET_ACK };

struct message {
    enum message_kind kind;
    uint32_t worker;
    uint32_t connection;
    int64_t at; /* tick of arrival */
    struct token *token;
    struct job job; /* NET_STARTED, NET_ENDED: as it was when told */
};

/* What a client was promised, once it got an answer. */
enum promise_kind {
    PROMISE_RUN,
    PROMISE_BACKFILL,
    PROMISE_PAUSE,
    PROMISE_POOL,
    PROMISE_ASSET,
    PROMISE_NOTHING
};

struct promise {
    uint64_t request;
    enum promise_kind kind;
    bool is_kept; /* answered with success: has to hold */
    int64_t row;
    const char *dag_id;
    const char *run_id;
    bool is_paused;
    int64_t number;
};

struct sim_dag {
    const char *dag_id;
    struct dag *file; /* what the DAG folder holds; NULL = gone. A reference */
};

/* What went into one commit: its events, and how many decisions there were before
 * each. */
#define TURN_EVENTS_MAX 16
struct turn {
    struct event events[TURN_EVENTS_MAX];
    size_t begun[TURN_EVENTS_MAX];
    bool gave_back[TURN_EVENTS_MAX];          /* an attempt, unstarted */
    struct run_rows *chosen[TURN_EVENTS_MAX]; /* of a change */
    size_t count;
};

/* What has been tried of a task instance since it was last cleared, and what it has said. */
struct tries {
    struct {
        int64_t run;
        uint32_t task;
        int32_t map_index;
    } key;
    int64_t count; /* attempts, without those given back */
    int64_t last_try;
    const char *outputs; /* of the latest try that succeeded */
    int64_t outputs_try;
    UT_hash_handle hh;
};

/* A task instance that has ended. */
struct ended {
    int64_t run;
    uint32_t task;
    int32_t map_index;
};

/* Callbacks that are to be made because of something. */
struct telling {
    int64_t run;
    const char *task_id; /* NULL = of the run */
    int32_t map_index;
    enum callback_event event;
    size_t left;
};

struct sim {
    struct draws *draws;
    struct knobs knobs;
    bool is_traced;
    bool is_calm;
    bool is_plain; /* no faults: compared with the reference model */
    bool has_past; /* tasks wait for the run before: some of them for ever */
    int64_t tick;
    int64_t last_tick; /* stop here; 0 = at the end */
    int64_t now_us;
    int64_t latest_us; /* that the clock ever showed after a jump */
    struct arena arena;
    uint64_t hash; /* of all that was decided */

    struct core *core; /* NULL while the scheduler is down */
    int64_t core_up_at;
    uint64_t epoch;
    struct rows rows;
    struct store *store; /* the real one, too; NULL in most worlds */
    char *folder;
    struct decisions out;
    struct event *inbox;
    size_t inbox_count;
    size_t inbox_capacity;
    uint64_t last_request;
    int64_t committed_us; /* when the last turn was */
    int64_t latest_commit_us;
    bool is_tick_late; /* one was due in the last turn, and a change went before it */
    struct core_want wants[SIM_WANTS_MAX];
    struct known_run known[SIM_WANTS_MAX];
    const struct event *cause; /* of the decision that is checked; NULL = recovery */
    struct core *shadow;       /* rebuilt from the rows, to be compared at the end of the turn */
    struct ended *ended;       /* of the event whose decisions are checked */
    size_t ended_count;
    size_t ended_capacity;
    int updates_due;     /* of assets, by what the event has brought so far */
    int asset_runs_open; /* that have not told what they take */
    int64_t updated;     /* the update that those who wait are being told of */
    struct {
        int64_t event;
        const char *dag_id;
    } * told; /* of updates, ever */
    size_t told_count;
    size_t told_capacity;
    struct telling *tellings; /* of the event */
    size_t telling_count;
    size_t telling_capacity;
    struct tries *tries; /* look.c */

    struct core_pool pools[SIM_POOLS_MAX];
    size_t pool_count;
    struct sim_dag dags[SIM_DAGS_MAX];
    size_t dag_count;
    uint64_t last_version;

    struct message *bag;
    size_t bag_count;
    size_t bag_capacity;
    struct sim_worker *workers;
    size_t worker_count;
    size_t worker_capacity;
    uint32_t seats;
    int64_t reborn_at[SIM_SEATS_MAX];

    struct token *tokens;
    struct token *live;
    struct token *live_callbacks;
    struct promise *promises;
    size_t promise_count;
    size_t promise_capacity;
    int64_t changed[SIM_CHANGED_MAX]; /* runs that were cleared or marked */
    size_t changed_count;
    int triggers_left;
    int backfills_left;
    int changes_left;
    int updates_left;

    jmp_buf *failed;
    char failure[1024];
};

/* run.c: false with sim->failure set when an invariant is broken. */
bool sim_run(struct sim *sim, struct draws *draws);
__attribute__((noreturn, format(printf, 2, 3))) void sim_fail(struct sim *sim, const char *format,
                                                              ...);
__attribute__((format(printf, 2, 3))) void sim_say(const struct sim *sim, const char *format, ...);

void sim_tell(const struct sim *sim, const struct decision *decision);

/* dags.c */
struct dag *sim_dag_make(struct sim *sim, const char *dag_id);

/* dags_waits.c */
void dags_fill_wait(struct sim *sim, struct dag_task *task);

/* dags_flow.c */
void dags_fill_flow(struct sim *sim, struct dag *dag);
/* What an attempt of the task reports with its success; NULL = nothing. */
const char *outputs_draw(struct sim *sim, const struct dag *dag, uint32_t task);

/* dags_callbacks.c */
void dags_fill_task_callbacks(struct sim *sim, struct dag_task *task);
void dags_fill_callbacks(struct sim *sim, struct dag *dag);

/* dags_assets.c */
void dags_fill_asset_schedule(struct sim *sim, struct dag *dag);
void dags_fill_outlets(struct sim *sim, const struct dag *dag, struct dag_task *task);
/* An asset from outside, or of one of the first `before` DAGs. */
const char *dags_asset(struct sim *sim, struct arena *arena, uint32_t before);
const char *dags_partition(struct sim *sim); /* NULL = none */
void dags_add_dataset(struct sim *sim, const struct dag *dag, const struct dag_task *task,
                      struct buf *text);

/* clients.c */
void clients_tick(struct sim *sim);
void clients_calm(struct sim *sim);
struct event *clients_ask(struct sim *sim, enum event_kind kind, enum promise_kind promise);
void clients_load(struct sim *sim, struct sim_dag *file);
bool clients_end(struct sim *sim); /* once backfills are over: no more runs; then true */

/* loop.c */
bool loop_is_change(const struct event *event); /* clear or mark */
struct event *loop_inbox(struct sim *sim, enum event_kind kind);
void loop_start(struct sim *sim);
void loop_crash(struct sim *sim);
void loop_tick(struct sim *sim);
/* While no scheduler is there, one of a single DAG has updated an asset. */
void loop_update_unseen(struct sim *sim, const char *asset, const char *partition);
struct core *loop_restore(struct sim *sim, uint64_t epoch); /* from the rows */

/* net.c */
void net_send(struct sim *sim, struct message message);
void net_tick(struct sim *sim);
void net_drop_connection(struct sim *sim, uint32_t worker);

/* workers.c */
void workers_sit_down(struct sim *sim);
void workers_tick(struct sim *sim);
void workers_take(struct sim *sim, const struct message *message);
void workers_welcome(struct sim *sim, uint32_t worker);
void workers_hang_up(struct sim *sim, uint32_t worker);
bool workers_are_done(const struct sim *sim);
uint32_t workers_find(const struct sim *sim, const char *instance);
void workers_calm(struct sim *sim);
struct token *token_get(struct sim *sim, const char *text);

/* look.c: reading the rows. */
enum slot look_slot(const struct dag_task *spec);
bool look_was_changed(const struct sim *sim, int64_t run); /* cleared or marked */
size_t look_pool(const struct sim *sim, const char *name);
/* Whether the attempt with the row's token has ended; that of a sensor may be opened again, with
 * another one. */
bool look_is_over(const struct attempt_row *row);
struct task_row *look_task(const struct stored_run *run, uint32_t task, int32_t map_index);
struct tries *look_tries(struct sim *sim, int64_t run, uint32_t task, int32_t map_index);
/* What should become of a task that waits, by the rows: by its trigger rule and the branches
 * before it; and then by its condition and its lists. */
struct look_fate {
    enum naive_verdict by_rule;
    enum naive_verdict verdict;
    uint32_t count; /* of its instances, with RUN; 0 = it is not mapped */
};
struct look_fate look_fate(struct sim *sim, const struct stored_run *run, uint32_t task);
/* The same as long as only the first `told` ends of the event have got through: ends reach what is
 * downstream one after the other. */
struct look_fate look_fate_then(struct sim *sim, const struct stored_run *run, uint32_t task,
                                size_t told);
void look_note_end(struct sim *sim, const struct task_row *row);
/* Whether the outputs let a branch choose that reports them. */
bool look_can_choose(struct sim *sim, const struct stored_run *run, uint32_t task,
                     const char *outputs);
const struct dag_row *look_dag(const struct sim *sim, const char *dag_id);
const struct dag *look_version(const struct sim *sim, const char *dag_id); /* the current one */
const struct backfill_row *look_backfill(const struct sim *sim, int64_t id);

/* check_flow.c: which way tasks go. */
void check_way(struct sim *sim, const struct stored_run *run, const struct task_row *before,
               const struct task_row *row);
void check_expand(struct sim *sim, const struct decision_expand *expand);
void check_branch(struct sim *sim, const struct attempt_row *row);
/* check_waits.c */
void check_wait(struct sim *sim, const struct stored_run *run, const struct task_row *before,
                const struct task_row *row);
void check_deferred(struct sim *sim, const struct stored_run *run, const struct task_row *row);
/* check_assets.c */
void assets_note_success(struct sim *sim, const struct stored_run *run, uint32_t task,
                         const char *outputs);
void assets_next_cause(struct sim *sim, const struct event *event);
void check_asset(struct sim *sim, const struct decision *decision);
void check_asset_turn(struct sim *sim);
void check_waiting_assets(struct sim *sim, const struct dag_row *row, int64_t live_runs);
/* check_callbacks.c */
void callbacks_note_task(struct sim *sim, const struct stored_run *run,
                         const struct task_row *before, const struct task_row *row);
void callbacks_note_run(struct sim *sim, const struct stored_run *run, const struct run_row *row);
void callbacks_next_cause(struct sim *sim);
void check_callback(struct sim *sim, const struct callback_row *row);
void callbacks_note(struct sim *sim, const struct callback_row *row);
void check_callbacks(struct sim *sim);
void check_deadlines(struct sim *sim, const struct stored_run *run);
/* INT64_MAX = never. */
int64_t deadline_of(const struct run_row *row, const struct dag_deadline *deadline);
/* check_rows.c: each decision against the rows as they were. */
void check_decision(struct sim *sim, const struct decision *decision);
/* check_state.c: the rows as they are after a commit. */
void check_committed(struct sim *sim);
/* check_acts.c: what goes out, and what really runs. */
void check_start(struct sim *sim, const char *text, const char *worker);
void check_ack(struct sim *sim, const struct token *token);
void check_reply(struct sim *sim, const struct decision_reply *reply);
void check_promises(struct sim *sim);
void check_process(struct sim *sim, const struct token *token);
/* check_end.c: once all is over. */
void check_end(struct sim *sim);

/* storage.c */
void storage_open(struct sim *sim);
void storage_commit(struct sim *sim);
void storage_crash(struct sim *sim);
void storage_restore(struct sim *sim, struct core *core); /* from the store, else from the rows */
void storage_end(struct sim *sim, bool clean);

/* model.c: instead of chaos and calm. */
void model_run(struct sim *sim);

/* replay.c */
void replay_begin(struct sim *sim);
void replay_end(struct sim *sim, const struct turn *turn);

#endif
