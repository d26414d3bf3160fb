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

    def test_logs_alone(self):
        self.serve("{logs: 1s}")
        self.run_all()
        wait_until(lambda: self.folders("logs") == [] and self.folders("attempts") == [] and
                   set((self.states() or {}).values()) == {"success"}, what="the end of the logs")
        self.assertEqual(len(self.states()), RUNS)

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
