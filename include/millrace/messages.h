/* The wire messages between processes: JSON documents in the frames of base/wire.h, over the Unix
 * socket <state>/scheduler.sock (the listener checks SO_PEERCRED: same user).
 *
 * Every document has "kind". Times are integers, microseconds since 1970. Unknown members are
 * ignored; an unknown kind closes the connection.
 *
 * From a worker:
 *   worker_hello  {protocol, instance, pid, slots, backlog, shared_slots, light_slots,
 *                  callback_slots, tokens: [token]}
 *                 first frame after connecting; tokens: all it has and that were not acknowledged
 *   started       {token, pid, at}
 *   ended         {results: [{token, outcome, exit_code, signal, started_at, ended_at, reason,
 *                 outputs, datasets: {inputs, outputs: [{dataset, version}]}}]}
 *                 repeated after every reconnect until acknowledged; exit_code -1 = none;
 *                 worker_lost with started_at 0: given back unstarted by a worker that ends, which
 *                 gets no more and costs the task no try
 *   done          {results: [[token, started_at, ended_at]]}   the short form of `ended` for what
 *                 succeeded without a program or outputs, of which there may be thousands a second
 * To a worker:
 *   welcome       {protocol, epoch, slots, memory, staging}
 *                 the settings that a managed worker is to have: one that has others takes them and
 *                 connects anew. memory in bytes for one data attempt, staging in seconds
 *   start         {worker, dag_id, run_id, run, logical_date, interval_start, interval_end,
 *                  timezone, attempts: [{token, task_id, task, try_number, map_index, task_kind,
 *                  options, env, timeout, cache}]}
 *                 attempts of one run; options and env as rendered; timeout in µs, 0 none;
 *                 cache: an output that is there and unchanged may stand for the work
 *                 A callback's item has also `callback` (its id) and `document`, map_index -2 and
 *                 the callback's id as task: these name its log and folder
 *   stop          {token, reason}
 *   ack           {tokens}      the results are durable: forget the attempts
 *
 * From web (and from CLI commands that talk to a scheduler directly):
 *   web_hello     {protocol}
 *   command       {id, command, …}   one of:
 *     set_paused       {dag_id, is_paused}
 *     trigger          {dag_id, run_id?, logical_date?, interval_start?, interval_end?, run_after?,
 *                       conf?, note?, force?, triggered_by}
 *     asset_event      {asset, partition?, extra?}   an update by somebody outside
 *     backfill_create  {dag_id, from, to, max_active_runs, reprocess, run_backwards, conf?, tasks?,
 *                       upstream?, downstream?, on_failure?, force?}
 *     backfill_control {backfill, action: pause|unpause|cancel|retry|set, max_active_runs?,
 *                       on_failure?}   the last two are of `set`
 *     clear            {dag_id, run_id? | from?, to?, include_past?, include_future?, tasks?,
 *                       upstream?, downstream?, only_failed?, only_running?, keep_runs?,
 *                       on_latest_version?, refuse_running?, force?, note?, by?}
 *                       tasks: [task_id | [task_id, map_index]], absent = all
 *     mark_tasks       {dag_id, run_id, include_past?, include_future?, tasks?, upstream?,
 *                       downstream?, state: success|failed|skipped | cancel: true, by?}
 *     mark_run         {dag_id, run_id, state?: queued|success|failed | cancel: true, note?, by?}
 *     why              {run}   what the run and its ready tasks wait for now; reply with answer
 *                      {run: reason, tasks: [{task, map_index, reason}]}
 *     reparse          {}             reads the DAG folder again
 *     stop             {}             ends the scheduler in order
 * To web:
 *   reply         {id, error?: {code, message}, row?, answer?}   after the commit; code as in
 * errors.def; row: of the run or backfill; of clear and mark: how many were changed notify {seq}
 * transitions up to seq are committed: read them from SQLite
 *
 * Runner protocol, between a worker and one of its runners (a socket pair, same framing):
 *   attempt       to a data runner: members of `start` and of its one attempt, with {folder, temp,
 *                 memory, threads}; to a shared one: as `start`
 *   ready         {}                         runner → worker: DuckDB is open
 *   result        {results: [{token, outcome, reason, outputs, datasets}]} runner → worker; then
 *                 the runner exits, except a shared one
 *   done          {tokens}                   likewise, its short form: successes without outputs
 *
 * What there is many of in a turn shares a frame: a result, a start or an acknowledgement costs a
 * microsecond or two, half of what a frame of its own costs. A sender begins another frame once one
 * is longer than MESSAGES_BATCH_BYTES, so that the next process begins before this one has ended.
 * Members that have their default are left out: exit_code -1, signal 0, map_index -1, timeout 0,
 * cache true, empty options and env, no reason, no logical_date and interval, timezone UTC. */
#ifndef MILLRACE_MESSAGES_H
#define MILLRACE_MESSAGES_H

#define MESSAGES_PROTOCOL 3
#define MESSAGES_BATCH_BYTES (4u * 1024)

/* The names of the kinds, so that no two files spell one differently. */
#define MESSAGE_WORKER_HELLO "worker_hello"
#define MESSAGE_STARTED "started"
#define MESSAGE_ENDED "ended"
#define MESSAGE_DONE "done"
#define MESSAGE_WELCOME "welcome"
#define MESSAGE_START "start"
#define MESSAGE_STOP "stop"
#define MESSAGE_ACK "ack"
#define MESSAGE_WEB_HELLO "web_hello"
#define MESSAGE_COMMAND "command"
#define MESSAGE_REPLY "reply"
#define MESSAGE_NOTIFY "notify"
#define MESSAGE_ATTEMPT "attempt"
#define MESSAGE_READY "ready"
#define MESSAGE_RESULT "result"

/* Where things are in the state folder. A worker holds an exclusive flock on its lock file for
 * life: when its socket is closed and the lock is free, it and its attempts are gone. Attempt logs
 * and folders are built from row ids only: <run>/<task>.<map_index>.<try>. */
#define STATE_DATABASE "state.db"
#define STATE_MARK_SUFFIX "-mark" /* of the database's name: how far it was committed */
#define STATE_LOCK "lock"
#define STATE_SERVE_LOCK "serve.lock"
#define STATE_SCHEDULER_SOCKET "scheduler.sock"
#define STATE_WORKER_LOCK_FORMAT "workers/%s.lock"      /* instance */
#define STATE_LOG_FORMAT "logs/%lld/%u.%d.%lld.log"     /* run, task, map_index, try */
#define STATE_ATTEMPT_FORMAT "attempts/%lld/%u.%d.%lld" /* the attempt's folder */
#define STATE_WEB_ADDRESS "web.json"                    /* {"url": "http://127.0.0.1:8080"} */

#endif
