"""Retention: runs, logs, attempt folders and old idempotency keys go when they are older than the settings
say, also when the scheduler is killed meanwhile; what is newest stays, and nothing dangles."""
import os
import random
import signal
import sqlite3
import time
import unittest

from harness import Case, wait_until

DAG = """
dag_id: kept
tasks:
  one:
    type: command
    with: {argv: [sh, -c, 'echo line; echo report > "${MILLRACE_OUTPUT%/*}/report"']}
  two: {type: noop, depends_on: [one]}
"""

# Each run updates an asset, for which `reader` has a run; nobody has one for what `idle` gathers.
WRITER = """
dag_id: writer
tasks:
  only: {type: noop, outlets: [thing]}
"""
READER = """
dag_id: reader
schedule: {assets: [thing]}
tasks:
  only: {type: noop}
"""
IDLE = """
dag_id: idle
schedule: {assets: [thing]}
paused_upon_creation: true
tasks:
  only: {type: noop}
"""

RUNS = 12


class Retention(Case):
    def serve(self, retention):
        self.project.write("millrace.yaml", f"dags_folder: dags\nretention: {retention}\n")
        self.project.write("dags/kept.yaml", DAG)
        self.server = self.project.serve()
        wait_until(lambda: self.server.request("GET", "/api/v2/dags/kept")[0] == 200, what="the DAG")

    def run_all(self):
        for number in range(RUNS):
            self.trigger(f"run-{number}")

    def states(self):
        try:
            runs = self.server.get("/api/v2/dags/kept/dagRuns?limit=100")["dag_runs"]
        except (OSError, ValueError):
            return None
        return {run["dag_run_id"]: run["state"] for run in runs}

    def rows(self, sql):
        database = sqlite3.connect(f"file:{self.project.path('.millrace/state.db')}?mode=ro", uri=True, timeout=30)
        try:
            return database.execute(sql).fetchall()
        finally:
            database.close()

    def folders(self, kind):
        try:
            return sorted(map(int, os.listdir(self.project.path(".millrace", kind))))
        except FileNotFoundError:
            return []

    def trigger(self, run_id):
        status, _ = self.server.request("POST", "/api/v2/dags/kept/dagRuns",
                                        {"dag_run_id": run_id, "logical_date": None})
        self.assertEqual(status, 200)

    def all_but_the_last_go(self):
        """A last run after all others have ended (or are gone): it alone stays, with the number after theirs."""
        wait_until(lambda: set((self.states() or {"": ""}).values()) <= {"success"}, what="the end of the runs")
        self.trigger("last")
        wait_until(lambda: self.states() == {"last": "success"}, what="the end of the older runs")
        self.assertEqual(self.server.request("GET", "/api/v2/dags/kept/dagRuns/run-0")[0], 404)
        last = [RUNS + 1]
        wait_until(lambda: self.folders("logs") == last == self.folders("attempts"),
                   what="the end of the older runs' files")
        for table in ("transition", "attempt", "task_instance"):
            wait_until(lambda table=table: self.rows(f"SELECT DISTINCT run FROM {table}") == [(RUNS + 1,)],
                       what="the end of the older runs' rows")
        wait_until(lambda: self.rows("SELECT * FROM pruned") == [], what="the end of the notes")

    def test_runs_go_with_all_that_is_theirs(self):
        self.serve("{runs: 1s}")
        self.run_all()
        self.all_but_the_last_go()
        self.trigger("next")
        self.assertEqual(self.rows("SELECT max(id) FROM run"), [(RUNS + 2,)])

    def post(self, path, body):
        status, answer = self.server.request("POST", path, body)
        self.assertEqual(status, 200, answer)
        return answer

    def ids(self, table):
        return [row[0] for row in self.rows(f"SELECT id FROM {table} ORDER BY id")]

    def test_what_runs_needed_goes_after_them(self):
        for name, text in (("writer", WRITER), ("reader", READER), ("idle", IDLE)):
            self.project.write(f"dags/{name}.yaml", text)
        self.serve("{runs: 1s}")
        wait_until(lambda: self.server.request("GET", "/api/v2/dags/idle")[0] == 200, what="the DAGs")
        for number in range(3):
            self.post("/api/v2/dags/writer/dagRuns", {"dag_run_id": f"w{number}", "logical_date": None})
        wait_until(lambda: len(self.ids("asset_event")) == 3, what="the updates")
        # A paused DAG waits with them, however old they are.
        wait_until(lambda: self.rows("SELECT count(*) FROM run WHERE dag_id = 'reader' AND state = 'success'") == [(1,)],
                   what="what is left of the readers")
        self.assertEqual(len(self.ids("asset_event")), 3)
        self.assertEqual(self.rows("SELECT DISTINCT dag_id FROM asset_wait"), [("idle",)])
        # It takes them, its run goes, and so do they; the newest row of all stays for its id.
        self.assertEqual(self.project.command("dags", "unpause", "idle").returncode, 0)
        wait_until(lambda: self.rows("SELECT count(*) FROM asset_wait") == [(0,)], what="the run of `idle`")
        newest = self.ids("asset_event")[-1]
        self.post("/api/v2/dags/writer/dagRuns", {"dag_run_id": "again", "logical_date": None})
        wait_until(lambda: self.ids("asset_event")[:1] > [newest], what="the end of the old updates")

        # Versions: of `kept` there are three, and a run of the first and the last.
        versions = lambda: self.rows("SELECT number FROM version WHERE dag_id = 'kept' ORDER BY number")
        self.project.write("dags/kept.yaml", DAG + "  three: {type: noop}\n")
        wait_until(lambda: len(versions()) == 2, what="the second version")
        self.project.write("dags/kept.yaml", DAG + "  four: {type: noop}\n")
        wait_until(lambda: versions() == [(3,)], what="the end of the versions that no run has")
        self.trigger("of_the_third")
        wait_until(lambda: self.states() == {"of_the_third": "success"}, what="its end")
        self.project.write("dags/kept.yaml", DAG)
        wait_until(lambda: versions() == [(3,), (4,)], what="the fourth version")
        self.assertEqual(self.server.get("/api/v2/dags/kept/dagRuns/of_the_third")["dag_run_id"], "of_the_third")
        self.trigger("of_the_fourth")
        wait_until(lambda: versions() == [(4,)], what="the end of the third version with its run")

    def test_backfills(self):
        self.serve("{runs: 1s}")
        self.project.write("dags/kept.yaml", 'schedule: "@daily"\nstart_date: 2100-01-01\n' + DAG)
        wait_until(lambda: self.server.get("/api/v2/dags/kept")["timetable_summary"], what="the schedule")
        for day in (1, 2):
            done = self.project.command("backfill", "create", "kept", "--from", f"2026-01-0{day}", "--to",
                                        f"2026-01-0{day}", "--wait")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.trigger("newest")
        wait_until(lambda: self.ids("backfill") == [2], what="the end of the first backfill, and of its run")
        self.assertEqual(self.server.get("/api/v2/backfills/2")["dag_id"], "kept")
        self.assertEqual(self.server.request("GET", "/api/v2/backfills/1")[0], 404)

    def test_logs_alone(self):
        self.serve("{logs: 1s}")
        self.run_all()
        wait_until(lambda: self.folders("logs") == [] and self.folders("attempts") == [] and
                   set((self.states() or {}).values()) == {"success"}, what="the end of the logs")
        self.assertEqual(len(self.states()), RUNS)
        dag, run = "kept", next(iter(self.states()))
        task = self.server.get(f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"][0]
        done = self.project.command("logs", dag, run, task["task_id"])
        self.assertEqual((done.returncode, done.stdout), (3, ""), done.stderr)
        self.assertIn("retention", done.stderr)

    def test_killed_meanwhile(self):
        self.serve("{runs: 1s}")
        self.run_all()
        chance = random.Random(3)
        for _ in range(8):
            time.sleep(0.2 + chance.random() * 0.4)
            for pid in self.project.pids("millrace", "scheduler", "--state"):
                os.kill(pid, signal.SIGKILL)
        wait_until(self.server.is_up, what="the server's answer")
        self.all_but_the_last_go()

    def test_kept_for_ever_if_nothing_is_said(self):
        self.serve("{}")
        self.run_all()
        wait_until(lambda: list((self.states() or {}).values()) == ["success"] * RUNS, what="the runs' ends")
        self.assertEqual((len(self.folders("logs")), len(self.folders("attempts"))), (RUNS, RUNS))


if __name__ == "__main__":
    unittest.main()
