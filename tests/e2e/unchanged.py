"""Unchanged work is skipped by the attempt itself, from the manifests: ingest, sql, feature and shard
on the real binaries, twice, with changed inputs, with `cache: false` and with --force."""
import json
import os
import sqlite3
import unittest

import harness
from harness import Case

DAG = """
dag_id: cached
params: {day: {type: string, default: "2026-01-01"}}
tasks:
  events:
    type: ingest
    with:
      source: "raw/*.csv"
      target: "lake/events/dt={{ params.day }}"
      columns: {id: BIGINT, user: VARCHAR, ts: TIMESTAMP, amount: DOUBLE}
  totals:
    type: sql
    depends_on: [events]
    with:
      inputs: {e: "lake/events/dt={{ params.day }}"}
      query: "SELECT \\"user\\", sum(amount) AS total FROM e GROUP BY ALL"
      order_by: user
      target: "lake/totals/dt={{ params.day }}"
  features:
    type: feature
    depends_on: [events]
    with:
      entity: [user]
      as_of: "{{ params.day }}T12:00:00Z"
      sources:
        e: {dataset: "lake/events/dt={{ params.day }}", time: ts}
      features:
        amount_1d: {source: e, agg: count, window: 1d}
      target: "lake/features/dt={{ params.day }}"
  shards:
    type: shard
    depends_on: [totals]
    CACHE
    with:
      dataset: "lake/totals/dt={{ params.day }}"
      target: "lake/shards/dt={{ params.day }}"
      format: parquet
"""
TASKS = ["events", "totals", "features", "shards"]
SKIPPED = "nothing to do: options and inputs"


class Unchanged(Case):
    def setUp(self):
        super().setUp()
        self.project.write("millrace.yaml", "")
        self.events("1.5")
        self.write_dag("owner: me")

    def events(self, amount):
        self.project.write("raw/a.csv", "id,user,ts,amount\n1,ann,2026-01-01 10:00:00,2.0\n"
                           f"2,bob,2026-01-01 11:00:00,{amount}\n")

    def write_dag(self, line):
        self.project.write("cached.yaml", DAG.replace("CACHE", line))

    def run_dag(self, *args):
        """Runs it once; returns {task: (reason, outputs, log)} of the run."""
        done = self.project.command("run", "cached.yaml", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        database = sqlite3.connect(self.project.path(".millrace", "state.db"))
        rows = database.execute(
            "SELECT task_id, run, task, attempt.reason, outputs FROM attempt JOIN task_instance"
            " USING (run, task, map_index) WHERE run = (SELECT max(id) FROM run)").fetchall()
        database.close()
        ended = {}
        for task_id, run, task, reason, outputs in rows:
            with open(self.project.path(".millrace", "logs", str(run), f"{task}.-1.1.log"),
                      encoding="utf-8") as file:
                ended[task_id] = (reason, json.loads(outputs), file.read())
        return ended

    def skipped(self, *args):
        """The tasks that a further run skips; each has the outputs of before."""
        ended = self.run_dag(*args)
        for reason, outputs, log in ended.values():
            self.assertEqual(reason == "unchanged", outputs["unchanged"])
            self.assertTrue(reason == "unchanged" or SKIPPED not in log)
        return [task for task in TASKS if SKIPPED in ended[task][2]]

    def test_options_and_inputs_decide(self):
        first = self.run_dag()
        second = self.run_dag()
        for task in TASKS:
            self.assertIn(SKIPPED, second[task][2])
            self.assertEqual({**first[task][1], "unchanged": True}, second[task][1])
        self.events("2.5")  # as many bytes, another sum
        self.assertEqual(self.skipped(), [])
        self.assertEqual(self.skipped(), TASKS)
        self.events("1.5")  # what it was once is not what is published now
        self.assertEqual(self.skipped(), [])

    def test_a_source_that_moved_a_row_and_an_owner_that_changed(self):
        self.run_dag()
        self.project.write("raw/a.csv", "id,user,ts,amount\n1,ann,2026-01-01 10:00:00,2.0\n"
                           "2,bob,2026-01-01 11:30:00,1.5\n")  # the same totals
        self.assertEqual(self.skipped(), [])
        self.write_dag("owner: you")  # no option of the work
        self.assertEqual(self.skipped(), TASKS)

    def test_switched_off(self):
        self.run_dag()
        self.write_dag("cache: false")
        self.assertEqual(self.skipped(), ["events", "totals", "features"])
        self.assertEqual(self.skipped("--force"), [])
        self.assertEqual(self.skipped(), ["events", "totals", "features"])

    def reused(self):
        """The tasks whose newest try in the first run took what was there for the work."""
        database = sqlite3.connect(self.project.path(".millrace", "state.db"))
        rows = database.execute("SELECT task_id, run, task, try_number FROM task_instance"
                                " WHERE run = (SELECT min(id) FROM run)").fetchall()
        database.close()
        self.assertEqual([row[0] for row in rows], TASKS)
        found = []
        for task_id, run, task, number in rows:
            with open(self.project.path(".millrace", "logs", str(run), f"{task}.-1.{number}.log"),
                      encoding="utf-8") as file:
                found += [task_id] if SKIPPED in file.read() else []
        return found

    def test_forced_ranges_and_reruns(self):
        # Ended, so that unpausing makes no run by schedule, which would publish to the same targets.
        self.project.write("cached.yaml", 'schedule: "@daily"\nend_date: 2026-01-02\npaused_upon_creation: true' +
                           DAG.replace("CACHE", "owner: me"))
        day = ("--from", "2026-01-01", "--to", "2026-01-01", "--reprocess", "completed")

        def command(*args):
            done = self.project.command(*args)
            self.assertEqual(done.returncode, 0, done.stderr)

        def reused(*args):
            command(*args)
            return self.reused()

        self.assertEqual(reused("run", "cached.yaml", *day), [])
        self.assertEqual(reused("run", "cached.yaml", *day), TASKS)
        self.assertEqual(reused("run", "cached.yaml", *day, "--force"), [])

        os.rename(self.project.path("cached.yaml"), self.project.path("dags", "cached.yaml"))
        server = self.project.serve()
        harness.wait_until(lambda: server.request("GET", "/api/v2/dags/cached")[1].get("is_stale") is False,
                           what="the DAG in its folder")
        create = ("backfill", "create", "cached", *day, "--wait")
        self.assertEqual(reused(*create), TASKS)
        run = "backfill__2026-01-01T00:00:00+00:00"
        self.assertIn("unchanged", self.project.command("tasks", "list", "cached", run).stdout)
        self.assertIn("why\tunchanged", self.project.command("tasks", "show", "cached", run, TASKS[0]).stdout)
        self.assertEqual(reused(*create, "--force"), [])
        command("dags", "unpause", "cached")
        command("runs", "clear", "cached", run, "--force")
        self.assertEqual(reused("runs", "watch", "cached", run), [])
        command("tasks", "rerun", "cached", run, "totals", "shards")
        self.assertEqual(reused("runs", "watch", "cached", run), ["totals", "shards"])
        self.assertEqual(len(server.get("/api/v2/dags/cached/dagRuns")["dag_runs"]), 1)


if __name__ == "__main__":
    unittest.main()
