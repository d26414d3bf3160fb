/* What the files of scheduler/core ask of each other, by file. Private to the folder. */
#ifndef MILLRACE_CORE_PARTS_H
#define MILLRACE_CORE_PARTS_H

#include "base/timefmt.h"
#include "scheduler/core/conf.h"
#include "scheduler/core/model.h"
#include "scheduler/core/planted.h"

/* timers.c */
bool timer_is_before(const struct heap_node *a, const struct heap_node *b); /* of core->timers */
bool timer_is_before_of_dag(const struct heap_node *a, const struct heap_node *b);
void timer_arm(struct core *core, struct heap *heap, struct timer *timer, int64_t at_us);
void timer_disarm(struct heap *heap, struct timer *timer);
void timers_expire(struct core *core);

/* dags.c */
struct dag_entry *dags_find(const struct core *core, const char *dag_id);
void dags_loaded(struct core *core, struct dag *dag);
void dags_gone(struct core *core, const char *dag_id);
void dags_set_paused(struct core *core, const struct event *event);
void dags_plan(struct dag_entry *entry, int64_t now_us);     /* the next interval, as of now */
void dags_touch(struct core *core, struct dag_entry *entry); /* due, armed, or neither */
void dags_start_runs(struct core *core, struct dag_entry *entry);
void dags_set_pause_reason(struct dag_entry *entry, const char *reason);
void dags_run_ended(struct core *core, const struct run *run);
size_t dags_want(struct core *core, int64_t now_us, struct core_want *out, size_t max);
void dags_make_run(struct core *core, const struct core_want *want, const struct known_run *known);
struct dag_entry *dags_add(struct core *core, const char *dag_id);
void dags_free(struct core *core, struct dag_entry *entry);

/* assets.c */
void assets_subscribe(struct core *core, struct dag_entry *entry); /* by its current version */
void assets_release(struct core *core, struct dag_entry *entry);
void assets_task_succeeded(struct core *core, const struct task *task, const char *outputs);
void assets_updated(struct core *core, const struct event *event);
void assets_recovered(struct core *core);
void assets_free(struct core *core);

/* asset_batches.c */
const struct schedule *assets_schedule(const struct dag_entry *entry); /* never NULL */
void asset_batches_gather(struct dag_entry *entry, uint32_t index,
                          const struct asset_wait_row *row);
void asset_batches_drop(struct dag_entry *entry);
/* For another schedule: what was gathered stays, as far as that waits for it. */
void asset_batches_convert(struct core *core, struct dag_entry *entry,
                           const struct schedule *schedule);
void assets_touch(struct core *core, struct dag_entry *entry); /* it may have room for runs now */
void assets_make_runs(struct core *core); /* at the end of a step, as far as there is room */

/* run_queue.c */
void run_queue_init(struct run_queue *queue);
void run_queue_release(struct run_queue *queue);
void run_queue_add(struct run *run);
void run_queue_remove(struct run *run);
/* The run whose turn it is, or NULL; with room for none, one that others have made way for. */
struct run *run_queue_next(struct core *core, struct dag_entry *entry, struct backfill *backfill,
                           int64_t room);
/* Whether a run of the backfill (NULL: of none) has a place and does nothing but wait for the run
 * before, so that it would make way. */
bool run_queue_has_idle(const struct dag_entry *entry, const struct backfill *backfill);

/* run.c */
struct run *run_new(struct core *core, struct dag_entry *entry, struct dag *version,
                    const struct run_row *row);
/* Tells of a new or reset run, which then starts or waits. */
void run_insert(struct core *core, struct run *run, enum decision_kind kind, enum run_state from);
/* As run_insert() for a run that was reset because of `reason`; some of its tasks may be kept. */
void run_insert_reset(struct core *core, struct run *run, enum run_state from, const bool *keeps,
                      const char *reason);
void run_enqueue(struct core *core, struct run *run); /* queued: by run_after */
void run_start(struct core *core, struct run *run);
void run_make_way(struct core *core, struct run *run, const struct run *earlier);
void run_check_end(struct core *core, struct run *run);
void run_end(struct core *core, struct run *run, enum run_state state, const char *reason);
void run_attempt_stopped(struct core *core, struct run *run); /* one of those told to stop */
void run_free(struct core *core, struct run *run);
int64_t run_sort_date(const struct run *run); /* logical date, or run_after without one */
/* A run that is over is to run again; what is left of it is enqueued by run_enqueue(). */
void run_requeue(struct core *core, struct run *run);
/* A run that begins anew: numbers of former tries stay taken, those of the same task, and those
 * under the same index, whose attempts share the new ones' keys. */
void run_continue_tries(struct run *run, const struct task_row *tasks, size_t count,
                        const struct attempt_row *attempts, size_t attempt_count);
void run_set_state(struct core *core, struct run *run, enum run_state state, const char *reason);
void run_set_note(struct core *core, struct run *run, const char *note);
void run_force(struct core *core, struct run *run); /* from now on */
void run_forget_if_over(struct core *core, struct run *run);

void run_tell(struct core *core, const struct run *run, const char *reason); /* same state */
bool task_counts_for_run(const struct task *task);                           /* an effective leaf */

/* run_names.c */
struct run *runs_find(const struct core *core, int64_t id); /* in memory; NULL if it is not */
void run_names_add(struct core *core, struct run *run);
void run_names_remove(struct core *core, struct run *run);
bool run_known_by_name(const struct core *core, const char *dag_id, const char *run_id);
bool run_known_by_date(const struct core *core, const char *dag_id, int64_t logical_date_us);

/* halt.c */
/* Ends all tasks that are not over, for a run that ends before its time: those with an attempt are
 * stopped and fail, the others are skipped. The run itself is the caller's to end. */
void run_stop_tasks(struct core *core, struct run *run, const char *reason);
/* Stops the run's work, which then ends as failed once its teardowns have; attempts that run end
 * as `running_to`. Nothing if that was done before. */
void run_doom(struct core *core, struct run *run, enum task_state running_to, const char *reason);
void run_pardon(struct core *core, struct run *run, const char *reason); /* it is doomed no more */
void run_arm_timeout(struct core *core, struct run *run);
void run_timed_out(struct core *core, struct run *run);
void run_task_failed(struct core *core, const struct task *task); /* for good */

/* Why a queued run can't start now; NULL if it can. */
const char *run_why_queued(struct core *core, const struct run *run);

/* why.c */
void why_answer(struct core *core, const struct event *event);

/* change.c */
void change_clear(struct core *core, const struct event *event);
void change_mark_tasks(struct core *core, const struct event *event);
void change_mark_run(struct core *core, const struct event *event);

/* change_latest.c: whether a clear takes the run to another version; if so, whether it can, else it
 * is answered; doing it, which gives the number of instances cleared. */
bool latest_is_wanted(const struct core *core, const struct event *event,
                      const struct run_rows *rows);
bool latest_is_possible(struct core *core, const struct event *event, const struct run_rows *rows);
int64_t latest_clear(struct core *core, const struct event *event, const struct run_rows *rows);

/* trigger.c */
void trigger_run(struct core *core, const struct event *event);

/* task.c */
void task_move(struct core *core, struct task *task, enum task_state to, const char *reason);
const char *task_label(struct core *core, const struct task *task); /* "a", "a[3]" */
void task_schedule(struct core *core, struct task *task);
/* Ends a task from outside, whatever it does: it leaves what it waits for, and its attempt is told
 * to stop. A task in that state stays as it is. */
void task_decide(struct core *core, struct task *task, enum task_state to, const char *reason);
void task_clear(struct core *core, struct task *task, const char *reason); /* it is to run again */
void task_stopped(struct core *core, struct task *task); /* the attempt that was told to stop */
void task_schedule_poke(struct core *core, struct task *task); /* the same try goes on */
void task_tell_scheduled(struct core *core, struct task *task, const char *reason);
void task_tell_waiting(struct core *core, const struct task *task, const char *reason);
void task_evaluate(struct core *core, struct task *task, const struct task *cause);
void tasks_settle(struct core *core);
/* An instance that was removed, or is there again: its downstreams wait for one less, or more. */
void task_count_removed(struct task *task, bool is_removed);
/* Ends all instances of a task that are in state none. */
void task_end_waiting(struct core *core, struct task *node, enum task_state to, const char *reason);

/* flow.c */
/* Starts a task whose upstreams allow it, unless its condition is against it. */
void flow_start(struct core *core, struct task *node);
/* The reason to skip a task that a branch upstream did not choose; NULL if there is none. */
const char *flow_branched_off(struct core *core, const struct task *node);
/* Whether a task that has succeeded can choose; `err` says why not. */
bool flow_branch_is_good(struct core *core, struct task *task, struct err *err);

/* mapping.c */
/* Expands a task whose upstreams have ended and lets its instances start; tells why if it can't. */
void mapping_expand(struct core *core, struct task *node);
/* An instance as its row tells of it, in the order of map_index; NULL for one out of order. */
struct task *mapping_restore(struct task *node, uint32_t map_index);
/* The JSON that the instance goes over under `name`; NULL if there is none (any more). */
const json_t *mapping_value(struct task *task, struct str name);
void mapping_free(struct task *node);

/* tally.c: what waits for a task counts that it has ended as `state`, or no longer (-1). */
void tally_spread(const struct task *task, enum task_state state, int by);
/* What waits for a task waits for so many instances of it more. */
void tally_expect(const struct task *task, uint32_t more);

/* rules.c */
enum verdict { VERDICT_WAIT, VERDICT_RUN, VERDICT_SKIP, VERDICT_UPSTREAM_FAILED };
enum verdict rule_verdict(const struct task *node);

/* retry.c */
int64_t retry_delay_us(const struct dag_task *spec, const char *dag_id, const char *date,
                       int64_t try_number);
int64_t retry_at(const struct task *task, int64_t ended_at_us);
/* delay * multiplier^times with jitter from the key, at most a day. */
int64_t retry_backoff_us(int64_t delay_us, double multiplier, int64_t times, const char *key);
/* What identifies a run in such keys: its logical date as Python prints it, or its id. */
const char *retry_date(const struct run *run, char text[TIMEFMT_SIZE]);

/* How an attempt ended, in the words of the worker or the core. */
struct ending {
    enum outcome outcome;
    int64_t exit_code;
    int64_t signal;
    int64_t ended_at_us;
    const char *reason;
    const char *outputs;
    const char *datasets;
    bool is_given_back; /* its worker ends, and had not started it */
};

/* wait.c: sensors */
void wait_judge(struct core *core, struct task *task, struct ending *ending);
void wait_poke_again(struct core *core, struct task *task, const struct ending *ending,
                     const char *what);
bool wait_defers(const struct dag_task *spec); /* waits without attempts */
void wait_defer(struct core *core, struct task *task);
void wait_wake(struct core *core, struct task *task);
void wait_succeed(struct core *core, struct task *task); /* what it waited for has come */
void wait_give_up(struct core *core, struct task *task, const char *reason);
void wait_left(struct core *core, struct task *task); /* it waits no longer */
void wait_restore(struct core *core, struct task *task);

/* callbacks.c */
struct occasion {
    struct task *task;
    bool of_run; /* `task` only names the run */
    enum callback_event event;
    const char *reason;
};
void callbacks_make(struct core *core, const struct occasion *occasion, const json_t *list);
void callbacks_of_task(struct core *core, struct task *task, enum callback_event event,
                       const char *reason);
void callbacks_of_run(struct core *core, struct run *run, enum callback_event event,
                      const char *reason);
void callback_due(struct core *core, struct callback *callback);
void callbacks_dispatch(struct core *core);
bool callbacks_known(const struct core *core, const char *token);
bool callbacks_ended(struct core *core, const struct event_attempt_ended *event);
bool callbacks_announce(const struct core *core, const struct worker *worker, const char *token);
void callbacks_worker_up(struct core *core, struct worker *worker);
void callbacks_worker_gone(struct core *core, struct worker *worker);
void callbacks_give_back(struct core *core);
void callbacks_free(struct core *core);

/* deadline.c */
void deadline_arm(struct core *core, struct run *run);
/* The marks of missed deadlines that stay when a run is cleared: those that don't count from its
 * queueing. */
int64_t deadlines_kept(const struct run *run);
void deadline_passed(struct core *core, struct run *run);

/* wait_external.c: waiting for runs of other DAGs, told by events */
bool waiter_add(struct core *core, struct task *task, const json_t *options, struct err *err);
void waiter_remove(struct core *core, struct waiter *waiter);
const char *waiter_what(struct core *core, const struct waiter *waiter);
void waits_run_is_live(struct core *core, struct run *run);
void waits_run_changed(struct core *core, struct run *run);
void waits_run_freed(struct run *run);
bool waits_settle(struct core *core); /* false: nothing was due */
size_t waits_want(const struct core *core, struct core_want *out, size_t max);
void waits_answer(struct core *core, const struct core_want *want, const struct known_run *known);
void waits_free(struct core *core);

/* pools.c */
struct pool *pools_find(struct core *core, const char *name); /* unknown: one without slots */
void pools_add(struct core *core, const struct core_pool *config);
void pools_set(struct core *core, const struct event *event);
bool pool_fits(const struct pool *pool, int64_t slots);

/* ready.c */
void ready_push(struct core *core, struct task *task);
void ready_remove(struct core *core, struct task *task);
void ready_run_limit(struct run *run); /* its active count has changed */
void ready_dispatch(struct core *core);
const char *ready_why(struct core *core, const struct task *task); /* why it waits */
void ready_release(struct run *run);
void ready_free(struct core *core);

bool ready_is_before(const struct task *a, const struct task *b);
void ready_enqueue(struct core *core, struct task *task); /* whatever its limits say */
void ready_dequeue(struct task *task);

/* limits.c */
bool limits_apply(const struct task *task);
void limits_push(struct core *core, struct task *task);
void limits_version_changed(struct core *core, struct dag_entry *entry);
void limits_remove(struct core *core, struct task *task);
void limits_taken(struct task *task); /* out of the run's ready ones */
void limits_count(struct core *core, struct task *task, int64_t by); /* active */
const char *limits_why(struct core *core, const struct task *task);
void limits_release(struct run *run);
void limits_free(struct dag_entry *entry);

/* past.c */
bool past_allows(struct core *core, struct task *node); /* else it waits, and is told of */
void past_forget_wait(struct task *node);
/* What a task that waits for the run before waits for there now; NULL for any other. */
const char *past_why(struct core *core, const struct task *node);
void past_task_ended(struct core *core, const struct task *task);
void past_run_new(struct core *core, struct run *run);
void past_free(struct core *core, struct run *run);
void past_run_gone(struct core *core, struct run *run);
size_t past_want(const struct core *core, struct core_want *out, size_t max);
void past_answer(struct core *core, const struct core_want *want, const struct known_run *known);

/* workers.c */
struct worker *workers_get(struct core *core, const char *instance);
struct worker *workers_pick(const struct core *core, enum slot_kind slot);

/* Takes into account how long an attempt lasted: workers with short ones are given some ahead. */
void workers_pace(struct worker *worker, int64_t duration_us);
void workers_up(struct core *core, const struct event_worker_up *event);
void workers_gone(struct core *core, const char *instance);
void workers_retire(struct core *core); /* nothing more is given to those that are there */
void workers_forget(struct core *core, const char *worker, const char *token, bool stop);
void workers_free(struct core *core);

/* attempts.c */
void attempts_new(struct core *core, struct task *task, struct worker *worker);
void attempts_bind(struct core *core, struct task *task, const struct attempt_row *row);
void attempts_start(struct core *core, const struct attempt_live *attempt);
void attempts_started(struct core *core, const struct event_attempt_started *event);
void attempts_ended(struct core *core, const struct event_attempt_ended *event);
void attempts_lost(struct core *core, struct attempt_live *attempt);
/* Tells the worker to end an attempt, whose task no longer waits for what it reports. It keeps what
 * it occupies until it has ended. */
void attempts_stop(struct core *core, struct attempt_live *attempt, const char *reason);
void attempts_stop_again(struct core *core, const struct attempt_live *attempt);
void attempts_never_reached(struct core *core, struct attempt_live *attempt);
void attempts_free(struct attempt_live *attempt);
/* All that are live, as interrupted: they cost no try. */
void attempts_give_back(struct core *core);
void attempts_lost_task(struct core *core, struct task *task, const char *reason);

/* render.c */
const char *render_attempt(struct task *task, struct arena *arena, struct err *err);
/* The task's options rendered, as a new reference; NULL on failure. */
json_t *render_options(struct task *task, struct err *err);
/* The data interval that the run's templates render from. */
struct interval run_interval(const struct run *run);
/* A value of the DAG file with the task's templates rendered; the caller owns the reference. */
json_t *render_value(struct task *task, const json_t *value, struct err *err);
/* A condition with the task's names; `values` as in base/condition.h. */
bool render_condition(struct task *task, const struct condition *condition, bool *ret,
                      struct buf *values, struct err *err);

/* backfill_commands.c */
void backfill_create(struct core *core, const struct event *event);
void backfill_control(struct core *core, const struct event *event);

/* backfill.c */
void backfill_touch(struct core *core, struct backfill *backfill);
void backfill_schedule_changed(struct core *core, struct backfill *backfill);
void backfill_start_runs(struct core *core, struct backfill *backfill);
void backfill_run_ended(struct core *core, struct backfill *backfill, const struct run *run);
/* The last attempt of a run of the DAG, which is over, has stopped: it may have waited for that. */
void backfill_run_forgotten(struct core *core, struct backfill *backfill);
/* A run of it that was over with `from` goes on (`to` = queued), or is over with `to` instead. */
void backfill_run_changed(struct core *core, struct backfill *backfill, enum run_state from,
                          enum run_state to);
/* The latter, of a backfill that may be over itself, and not in memory. */
void backfill_recount(struct core *core, int64_t id, enum run_state from, enum run_state to);
struct backfill *backfill_add(struct core *core, struct dag_entry *entry,
                              const struct backfill_row *row);
void backfill_free(struct core *core, struct backfill *backfill);
void backfill_tell(struct core *core, struct backfill *backfill, enum decision_kind kind);
bool backfill_has_room(const struct backfill *backfill); /* for one more run, now */
/* For so many; a retry has room for one where all others wait, perhaps for the very run. */
int64_t backfill_room(const struct backfill *backfill);
void backfill_check_complete(struct core *core, struct backfill *backfill);
/* After the decision that tells of its last change. */
void backfill_retire_if_over(struct core *core, struct backfill *backfill);
/* The others that want runs come before it from now on. */
void backfill_serve_last(struct core *core, struct backfill *backfill);

/* backfill_runs.c */
size_t backfill_want(struct core *core, struct core_want *out, size_t max);
void backfill_make_run(struct core *core, const struct core_want *want,
                       const struct known_run *known);

/* After all that was made in a tick: tells once of what has changed. */
void backfill_end_tick(struct core *core, int64_t id);

/* backfill_tasks.c */
/* Marks the run's tasks that are no part of its backfill; before anything is counted of them. */
void backfill_mark_outside(struct run *run, const struct backfill *backfill);
/* The run is none of its backfill any more, which is over: its tasks are tasks like all others. */
void backfill_unmark_outside(struct run *run);
/* Whether a task that would be kept stands at another place in the current version: its attempts
 * are known by place, so it can't be kept. */
bool backfill_has_moved(const struct backfill *backfill, const struct known_run *known);
/* In a run that is processed again: the tasks outside stay as they were. Per task, whether it does;
 * NULL = none do. Valid as long as the turn's decisions. */
const bool *backfill_keep_tasks(struct core *core, struct run *run, const struct known_run *known);

/* recover.c */
/* Tasks of a run that begins anew stay as their rows say: those of which `keeps` says so, by place.
 * They must be over. */
void run_keep_tasks(struct run *run, const struct task_row *tasks, size_t count, const bool *keeps);
/* What the templates of the run read of its tasks that have succeeded. */
void run_restore_outputs(struct run *run, const struct attempt_row *attempts, size_t count);
void recover(struct core *core); /* after all rows have been restored */

/* retired.c */
void retire_attempt(struct core *core, struct attempt_live *attempt);
void retire_run(struct core *core, struct run *run);
void retire_dag(struct core *core, struct dag *dag);
void retire_backfill(struct core *core, struct backfill *backfill);
void unretire_backfill(struct core *core, struct backfill *backfill); /* it goes on */
void retired_free(struct core *core);

/* decision.c: replies to a command; nothing where event->request is 0. */
void reply_done(struct core *core, const struct event *event, int64_t row);
__attribute__((format(printf, 4, 5))) void reply_error(struct core *core, const struct event *event,
                                                       enum err_code code, const char *format, ...);
__attribute__((format(printf, 2, 3))) const char *reason_format(struct core *core,
                                                                const char *format, ...);

#endif
