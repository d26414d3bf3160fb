"""Backfills with the real programs: over a history of several kinds, planned, adjusted, stopped by a
failure, resumed, retried, and with the scheduler killed in the middle; the totals are right at the
end."""
import json
import os
import signal
import unittest

from harness import Case, wait_until

DAILY = """
dag_id: daily
schedule: "@daily"
paused_upon_creation: true
params:
  n: {type: integer, default: 1}
tasks:
  first: {type: noop}
  work:
    type: command
    depends_on: [first]
    env: {DAY: "{{ ds }}"}
    with: {argv: [sh, -c, 'echo $DAY >> ledger; ! [ -e bad-$DAY ]']}
  last: {type: noop, depends_on: [work]}
"""

INGEST = """
dag_id: ingest
schedule: "@daily"
paused_upon_creation: true
tasks:
  events:
    type: ingest
    with:
      source: "raw/{{ ds }}.csv"
      target: "lake/events/dt={{ ds }}"
      columns: {id: BIGINT, amount: DOUBLE}
"""

TOTALS = """
dag_id: totals
schedule: "@daily"
paused_upon_creation: true
tasks:
  totals:
    type: sql
    with:
      inputs: {e: "lake/events/dt={{ ds }}"}
      query: "SELECT sum(amount) AS total FROM e"
      target: "lake/totals/dt={{ ds }}"
"""


class Backfill(Case):
    def setUp(self):
        super().setUp()
        self.project.write("dags/daily.yaml", DAILY)
        self.server = self.project.serve()

    def ok(self, *args, code=0):
        done = self.project.command(*args)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done.stdout

    def create(self, *args, code=0, dag="daily"):
        return self.ok("backfill", "create", dag, *args, code=code)

    def plan(self, first, last, *args, dag="daily"):
        """Date → (action, reason)."""
        plan = json.loads(self.ok("backfill", "plan", dag, "--from", first, "--to", last,
                                  "-o", "json", *args))
        self.assertEqual(sum(plan["counts"].values()), plan["total_entries"])
        return {one["logical_date"][:10]: (one["action"], one["reason"])
                for one in plan["intervals"]}

    def progress(self, number):
        return self.server.get(f"/api/millrace/v1/backfills/{number}/progress")

    def counts(self, number):
        progress = self.progress(number)
        return tuple(progress[key] for key in ("total", "made", "skipped", "succeeded", "failed"))

    def ledger(self):
        with open(self.project.path("ledger")) as file:
            return file.read().split()

    def test_mixed_history(self):
        self.project.write("bad-2026-01-02", "")
        self.create("--from", "2026-01-01", "--to", "2026-01-02", "--wait", code=6)
        self.assertEqual(self.plan("2026-01-01", "2026-01-04", "--reprocess", "failed"), {
            "2026-01-01": ("skip", "exists and succeeded"),
            "2026-01-02": ("reprocess", "failed"),
            "2026-01-03": ("create", "no run"),
            "2026-01-04": ("create", "no run")})
        self.assertEqual(self.plan("2026-01-01", "2026-01-03", "--reprocess", "stale", "-p", "n=2"), {
            "2026-01-01": ("reprocess", "stale: another conf"),
            "2026-01-02": ("reprocess", "stale: it failed"),
            "2026-01-03": ("create", "no run")})
        self.create("--from", "2026-01-01", "--to", "2026-01-02", "-p", "n=x", "--dry-run", code=2)
        self.create("--from", "2026-01-01", "--to", "2026-01-02", "-t", "wrok", "--dry-run", code=2)

        # The failed run again, and with the first of them that fails it stops.
        self.project.write("bad-2026-01-04", "")
        os.remove(self.project.path("bad-2026-01-02"))
        self.create("--from", "2026-01-01", "--to", "2026-01-06", "--reprocess", "failed",
                    "--on-failure", "stop", "--max-active-runs", "1", "--wait", code=6)
        progress = self.progress(2)
        self.assertEqual(progress["pause_reason"],
                         "on_failure: stop after run backfill__2026-01-04T00:00:00+00:00")
        self.assertEqual(self.counts(2), (6, 3, 1, 2, 1))
        self.assertEqual(progress["to_do"], 2)
        self.ok("backfill", "set", "2", "--max-active-runs", "2")
        self.assertEqual(self.progress(2)["max_active_runs"], 2)
        self.ok("backfill", "resume", "2")
        wait_until(lambda: self.progress(2)["completed_at"], what="the end of the backfill")
        self.assertEqual(self.counts(2), (6, 5, 1, 4, 1))
        os.remove(self.project.path("bad-2026-01-04"))
        self.ok("backfill", "retry", "2", "--wait")
        self.assertEqual(self.counts(2), (6, 5, 1, 5, 0))
        self.ok("backfill", "retry", "2", code=8)

        # Only one task: the others keep what they have.
        self.create("--from", "2026-01-06", "--to", "2026-01-07", "--reprocess", "completed",
                    "-t", "w*", "--wait")
        tasks = self.server.get("/api/v2/dags/daily/dagRuns/backfill__2026-01-07T00:00:00+00:00"
                                "/taskInstances")["task_instances"]
        self.assertEqual({task["task_id"]: task["state"] for task in tasks},
                         {"first": "removed", "work": "success", "last": "removed"})
        tasks = self.server.get("/api/v2/dags/daily/dagRuns/backfill__2026-01-06T00:00:00+00:00"
                                "/taskInstances")["task_instances"]
        self.assertEqual({task["task_id"]: (task["state"], task["try_number"]) for task in tasks},
                         {"first": ("success", 1), "work": ("success", 2), "last": ("success", 1)})
        ledger = self.ledger()
        self.assertEqual(sorted(ledger), sorted(
            ["2026-01-01", "2026-01-02", "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-04",
             "2026-01-05", "2026-01-06", "2026-01-06", "2026-01-07"]))

        # Another version of the file makes all of it stale.
        self.project.write("dags/daily.yaml", DAILY + "  more: {type: noop}\n")
        wait_until(lambda: self.plan("2026-01-05", "2026-01-05", "--reprocess", "stale") ==
                   {"2026-01-05": ("reprocess", "stale: version 1 → 2")}, what="the new version")
        self.assertEqual(self.plan("2026-01-05", "2026-01-05", "--reprocess", "missing"),
                         {"2026-01-05": ("skip", "exists and succeeded")})

    def test_stale_inputs(self):
        days = ("--from", "2026-01-01", "--to", "2026-01-02", "--reprocess", "stale", "--wait")
        for day in ("2026-01-01", "2026-01-02"):
            self.project.write(f"raw/{day}.csv", "id,amount\n1,2.0\n")
        self.project.write("dags/ingest.yaml", INGEST)
        self.project.write("dags/totals.yaml", TOTALS)
        wait_until(lambda: self.server.get("/api/v2/dags")["total_entries"] == 3, what="the DAGs")
        fresh = ("skip", "exists and is up to date")
        self.create(*days, dag="ingest")
        self.create(*days, dag="totals")
        self.assertEqual(self.plan(*days[1:4:2], "--reprocess", "stale", dag="totals"),
                         {"2026-01-01": fresh, "2026-01-02": fresh})

        # One of the days is delivered again, with another row.
        self.project.write("raw/2026-01-02.csv", "id,amount\n1,2.0\n2,3.0\n")
        self.create("--from", "2026-01-01", "--to", "2026-01-02", "--reprocess", "completed",
                    "--wait", dag="ingest")
        self.assertEqual(self.plan(*days[1:4:2], "--reprocess", "stale", dag="totals"), {
            "2026-01-01": fresh,
            "2026-01-02": ("reprocess", "stale: input lake/events/dt=2026-01-02 has changed")})
        self.create(*days, dag="totals")
        self.assertEqual(self.counts(4), (2, 1, 1, 1, 0))
        self.assertEqual(self.plan(*days[1:4:2], "--reprocess", "stale", dag="totals"),
                         {"2026-01-01": fresh, "2026-01-02": fresh})

    def test_killed_scheduler(self):
        self.create("--from", "2025-01-01", "--to", "2025-03-31", "--max-active-runs", "4")
        for at in (10, 40, 70):
            wait_until(lambda: os.path.exists(self.project.path("ledger")) and
                       len(self.ledger()) >= at, what=f"run {at}")
            for pid in self.project.pids("scheduler"):
                os.kill(pid, signal.SIGKILL)

        def is_over():
            try:
                return self.progress(1)["completed_at"]
            except (OSError, KeyError, ValueError, AssertionError):
                return None
        wait_until(is_over, what="the end of the backfill")
        self.assertEqual(self.counts(1), (90, 90, 0, 90, 0))
        self.assertEqual(len(self.ledger()), 90)
        self.assertEqual(len(set(self.ledger())), 90)

    def test_plan_refuses_what_creating_does(self):
        self.project.write("dags/past.yaml", 'dag_id: past\nschedule: "@daily"\nstart_date: 2026-01-01\n'
                           "paused_upon_creation: true\ntasks: {a: {type: noop, depends_on_past: true}}\n")
        wait_until(lambda: self.server.request("GET", "/api/v2/dags/past")[0] == 200, what="the DAG")
        days = ("past", "--from", "2026-01-01", "--to", "2026-01-02")
        for more in ((), ("--run-backwards", "--reprocess", "failed")):
            for verb in ("plan", "create"):
                self.ok("backfill", verb, *days, *more, code=2)
        self.ok("backfill", "plan", *days, "--reprocess", "failed")

    def test_cancel(self):
        self.create("--from", "2025-01-01", "--to", "2025-12-31", "--max-active-runs", "2")
        self.ok("backfill", "cancel", "1")
        progress = self.progress(1)
        self.assertTrue(progress["cancelled"])
        self.assertEqual(progress["to_do"], 0)
        self.ok("backfill", "cancel", "1", code=8)


if __name__ == "__main__":
    unittest.main()
