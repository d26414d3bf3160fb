"""A scheduler and a worker to be killed: started directly, spoken to through the scheduler's socket, and
judged by the ledger that every attempt of a command writes its token into, and by the database.

What is checked in judge() stands for defects that other schedulers had (Airflow's numbers):
  58570  killed between starting an attempt and recording it, the task ran twice
  23520  tasks ran again after a restart of the scheduler
  13808  a scheduler reset what another, or it itself before a restart, was running
  12396  a task that had succeeded was marked failed by a check that came late
"""
import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess

from harness import MILLRACE, WORKER, Project, wait_until, wire_protocol

DAY_US = 86400 * 1000000
FIRST_US = 1767225600 * 1000000  # 2026-01-01
INTERVALS = 12

LEDGER = 'echo "$MILLRACE_ATTEMPT_TOKEN" >> ledger'

TRIGGERED = f"""
dag_id: triggered
max_active_runs: 6
default_args: {{retries: 1000, retry_delay: 50ms}}
tasks:
  first:
    type: command
    with: {{argv: [sh, -c, '{LEDGER}']}}
  flaky:
    type: command
    depends_on: [first]
    with: {{argv: [sh, -c, '{LEDGER}; [ "$MILLRACE_TRY_NUMBER" -gt 1 ]']}}
  narrow:
    type: command
    depends_on: [first]
    pool: narrow
    with: {{argv: [sh, -c, '{LEDGER}; sleep 0.02']}}
  join: {{type: noop, depends_on: [flaky, narrow]}}
  fails:
    type: command
    depends_on: [join]
    retries: 0
    with: {{argv: [sh, -c, '{LEDGER}; exit 7']}}
    retry_exit_codes: [3]
  notify: {{type: noop, depends_on: [fails], trigger_rule: all_done}}
"""

FILLED = f"""
dag_id: filled
schedule: "@daily"
start_date: 2026-01-01
catchup: false
default_args: {{retries: 1000, retry_delay: 50ms}}
tasks:
  one:
    type: command
    with: {{argv: [sh, -c, '{LEDGER}']}}
  two: {{type: noop, depends_on: [one]}}
"""

SWITCHED = """
dag_id: switched
tasks:
  one: {type: noop}
"""

SETTINGS = "dags_folder: dags\npools: {narrow: 1}\n"


class Plant(Project):
    def __init__(self, intervals=INTERVALS):
        super().__init__()
        self.intervals = intervals
        self.write("millrace.yaml", SETTINGS)
        self.write("dags/triggered.yaml", TRIGGERED)
        self.write("dags/filled.yaml", FILLED)
        self.write("dags/switched.yaml", SWITCHED)
        self.state = self.path("state")
        self.running = {}
        self.starts = {"scheduler": 0, "worker": 0}
        self.acknowledged = set()  # run ids
        self.is_paused = None      # of `switched`, as acknowledged; None = in doubt
        self.link = None

    # ---- processes ----

    def start_role(self, role, environment=None):
        argv = {"scheduler": [MILLRACE, "scheduler", "--state", self.state, "--dags", self.path("dags")],
                "worker": [WORKER, "--state", self.state, "--base", self.folder, "--slots", "4"]}[role]
        self.starts[role] += 1
        with open(self.path(role + ".log"), "ab") as log:
            self.running[role] = subprocess.Popen(argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                                  stderr=log, start_new_session=True,
                                                  env={**os.environ, **(environment or {})})
        return self.running[role]

    def kill_role(self, role):
        self.running[role].kill()
        self.running[role].wait()
        if role == "scheduler":
            self.hang_up()

    def stop_all(self):
        self.hang_up()
        for role in ("scheduler", "worker"):
            if role in self.running:
                self.running[role].send_signal(signal.SIGTERM)
                self.running[role].wait(timeout=60)

    # ---- the socket ----

    def hang_up(self):
        if self.link is not None:
            self.link.close()
            self.link = None

    def send(self, document):
        text = json.dumps(document).encode()
        self.link.sendall(struct.pack("<I", len(text)) + text)

    def receive(self):
        def exactly(size):
            data = b""
            while len(data) < size:
                piece = self.link.recv(size - len(data))
                if not piece:
                    raise OSError("the scheduler hung up")
                data += piece
            return data
        return json.loads(exactly(*struct.unpack("<I", exactly(4))))

    def ask(self, **command):
        """The reply to a command, or None when the scheduler was gone before it came."""
        try:
            if self.link is None:
                self.link = socket.socket(socket.AF_UNIX)
                self.link.settimeout(60)
                self.link.connect(os.path.join(self.state, "scheduler.sock"))
                self.send({"kind": "web_hello", "protocol": wire_protocol()})
            self.send({"kind": "command", "id": 1, **command})
            while True:
                document = self.receive()
                if document["kind"] == "reply":
                    return document
        except OSError:
            self.hang_up()
            return None

    def trigger(self, run_id):
        """True when it was acknowledged, also if an earlier request had made the run already."""
        reply = self.ask(command="trigger", dag_id="triggered", run_id=run_id, triggered_by="test")
        if reply is None or reply.get("error", {"code": "conflict"})["code"] != "conflict":
            return False
        self.acknowledged.add(run_id)
        return True

    def switch(self, is_paused):
        self.is_paused = None
        if self.ask(command="set_paused", dag_id="switched", is_paused=is_paused) is not None:
            self.is_paused = is_paused

    def backfill_range(self):
        return {"from": FIRST_US, "to": FIRST_US + (self.intervals - 1) * DAY_US}

    def fill(self):
        """The backfill, asked for until it is there; a request in doubt is looked up before it is repeated."""
        def ask():
            if self.rows("SELECT count(*) FROM backfill")[0][0] == 0:
                self.ask(command="backfill_create", dag_id="filled", max_active_runs=3, **self.backfill_range())
                return False
            return True
        wait_until(ask, what="the backfill")

    # ---- the judgement ----

    def rows(self, sql, *values):
        """Rows of the database; none while there is no database or no such table yet."""
        try:
            database = sqlite3.connect(f"file:{self.state}/state.db?mode=ro", uri=True, timeout=30)
        except sqlite3.OperationalError:
            return [(0,)]
        try:
            return database.execute(sql, values).fetchall()
        except sqlite3.OperationalError:
            return [(0,)]
        finally:
            database.close()

    def is_over(self):
        live = self.rows("SELECT count(*) FROM run WHERE state IN ('queued', 'running')")[0][0]
        made = self.rows("SELECT count(*) FROM run WHERE dag_id = 'filled'")[0][0]
        known = {run_id for run_id, in self.rows("SELECT run_id FROM run WHERE dag_id = 'triggered'")}
        return live == 0 and made >= self.intervals and self.acknowledged <= known

    def wait_for_the_end(self, seconds=300):
        wait_until(self.is_over, seconds=seconds, what="the end of all runs")

    def ends(self):
        """{(dag, run): {task: state, "": state of the run}} of all runs."""
        found = {}
        for run, dag, run_id, state in self.rows("SELECT id, dag_id, run_id, state FROM run"):
            tasks = dict(self.rows("SELECT task_id, state FROM task_instance WHERE run = ?", run))
            found[dag, run_id] = {**tasks, "": state}
        return found

    def tokens(self):
        try:
            with open(self.path("ledger")) as ledger:
                return ledger.read().split()
        except FileNotFoundError:
            return []

    def judge(self, test, want_ends):
        """All that must hold whatever was killed; after stop_all()."""
        ends = self.ends()
        lost = [run_id for run_id in self.acknowledged if ("triggered", run_id) not in ends]
        test.assertEqual(lost, [], "acknowledged runs are lost")
        if self.is_paused is not None:
            row = self.rows("SELECT is_paused FROM dag WHERE dag_id = 'switched'")
            test.assertEqual(row, [(int(self.is_paused),)], "an acknowledged pause is lost")
        tokens = self.tokens()
        test.assertEqual(len(tokens), len(set(tokens)), "a token was started twice (58570)")
        known = {token: state for token, state in self.rows("SELECT token, state FROM attempt")}
        test.assertEqual([token for token in tokens if token not in known], [],
                         "an attempt ran that nobody recorded (58570)")
        silent = self.rows("""
            SELECT t.task_id, a.token FROM attempt a JOIN task_instance t USING (run, task, map_index)
            WHERE a.state = 'success' AND t.task_id NOT IN ('join', 'notify', 'two')""")
        test.assertEqual([row for row in silent if row[1] not in set(tokens)], [],
                         "an attempt is said to have succeeded that never ran")
        again = self.rows("""
            SELECT a.run, a.task, a.try_number FROM attempt a JOIN attempt b
              ON a.run = b.run AND a.task = b.task AND a.map_index = b.map_index
            WHERE a.state = 'success' AND b.try_number > a.try_number""")
        test.assertEqual(again, [], "a task ran again after its success (23520, 12396)")
        alive = self.rows("SELECT token FROM attempt WHERE state IN ('queued', 'running')")
        test.assertEqual(alive, [], "an attempt never ended")
        if self.starts["worker"] == 1:
            reset = self.rows("SELECT token, reason FROM attempt WHERE outcome = 'worker_lost'")
            test.assertEqual(reset, [], "a restart of the scheduler reset a running task (13808)")
        test.assertEqual(ends, want_ends, "runs do not end as the undisturbed ones")


def describe(plant):
    """What a campaign went through, in a line."""
    attempts = plant.rows("SELECT count(*), sum(outcome = 'worker_lost') FROM attempt")[0]
    return (f"{plant.starts['scheduler']} schedulers, {plant.starts['worker']} workers, {len(plant.ends())} runs, "
            f"{attempts[0]} attempts, {attempts[1]} of them lost with a worker, {len(plant.tokens())} tokens")


def undisturbed(run_ids, intervals=INTERVALS):
    """How the runs end when nothing is killed."""
    plant = Plant(intervals)
    try:
        plant.start_role("scheduler")
        plant.start_role("worker")
        plant.fill()
        for run_id in run_ids:
            wait_until(lambda run_id=run_id: plant.trigger(run_id), what="the trigger's answer")
        plant.wait_for_the_end()
        plant.stop_all()
        return plant.ends()
    finally:
        plant.remove()
