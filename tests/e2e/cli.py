"""The commands that talk to a server, against a live one: what a person at a shell does in a day."""
import json
import os
import signal
import subprocess
import unittest

from harness import MILLRACE, Case, wait_until

DAILY = """
dag_id: daily
schedule: "@daily"
timezone: Europe/Berlin
start_date: 2026-01-01
end_date: 2026-01-05
max_active_runs: 2
params:
  name: {type: string, default: world}
tasks:
  greet:
    type: command
    with: {argv: [echo, "hello {{ params.name }} {{ ds }}"]}
  fail:
    type: command
    depends_on: [greet]
    with: {argv: [sh, -c, "exit 3"]}
  after:
    type: noop
    depends_on: [fail]
  always:
    type: noop
    depends_on: [fail]
    trigger_rule: all_done
"""

FINE = """
dag_id: fine
schedule: "@daily"
start_date: 2026-01-01
end_date: 2026-01-05
max_active_runs: 3
tasks:
  only: {type: noop}
"""


class Cli(Case):
    def setUp(self):
        super().setUp()
        self.project.write("dags/daily.yaml", DAILY)
        self.project.write("dags/fine.yaml", FINE)
        self.server = self.project.serve()

    def ok(self, *args, code=0):
        done = self.project.command(*args)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done.stdout

    def rows(self, *args):
        return [line.split("\t") for line in self.ok(*args).splitlines()]

    def test_a_run_from_trigger_to_explain(self):
        self.assertEqual([row[0] for row in self.rows("dags")], ["daily", "fine"])
        self.assertEqual([row[0] for row in self.rows("dags", "--pattern", "fi")], ["fine"])
        shown = dict(self.rows("dags", "show", "daily"))
        self.assertEqual((shown["timezone"], shown["max_active"]), ("Europe/Berlin", "2"))

        run = json.loads(self.ok("dags", "trigger", "daily", "-p", "name=12", "--logical-date", "2026-01-02",
                                 "--note", "by hand", "-o", "json"))
        self.assertEqual(run["logical_date"], "2026-01-01T23:00:00Z", "a date is in the DAG's time zone")
        run_id = run["dag_run_id"]
        self.ok("runs", "watch", "daily", run_id, code=6)
        self.assertEqual(dict(self.rows("runs", "show", "daily", run_id))["state"], "failed")
        self.assertEqual([row[1] for row in self.rows("runs", "list", "daily", "--status", "failed")], [run_id])
        self.assertEqual([row[1] for row in self.rows("runs", "daily")], [run_id])
        states = {row[0]: row[1] for row in self.rows("tasks", "list", "daily", run_id)}
        self.assertEqual(states, {"greet": "success", "fail": "failed", "after": "upstream_failed",
                                  "always": "success"})
        self.assertIn("hello 12 2026-01-02", self.ok("logs", "daily", run_id, "greet"))
        self.assertIn("hello 12 2026-01-02", self.ok("logs", "-f", "daily", run_id, "greet", "--try", "1"))
        self.assertIn("exit code 3", self.ok("explain", "daily", run_id, "fail"))
        self.assertIn("upstream_failed: fail", self.ok("explain", "daily", run_id))

        again = self.project.command("dags", "trigger", "daily", "--logical-date", "2026-01-02")
        self.assertEqual(again.returncode, 8, again.stderr)

    def test_pause(self):
        self.ok("dags", "pause", "fine")
        self.assertEqual(dict(self.rows("dags", "show", "fine"))["paused"], "true")
        run_id = json.loads(self.ok("dags", "trigger", "fine", "-o", "json"))["dag_run_id"]
        self.assertIn("paused", self.ok("explain", "fine", run_id, "only"))
        self.ok("dags", "unpause", "fine")
        self.ok("runs", "watch", "fine", run_id)

    def test_backfill(self):
        dry = self.rows("backfill", "create", "fine", "--from", "2026-01-01", "--to", "2026-01-03", "--dry-run")
        self.assertEqual([row[0][:10] for row in dry], ["2026-01-01", "2026-01-02", "2026-01-03"])
        self.assertEqual(self.rows("backfill", "list", "fine"), [])
        self.ok("backfill", "create", "fine", "--from", "2026-01-01", "--to", "2026-01-03", "--wait")
        backfill_id = self.rows("backfill", "list", "fine")[0][0]
        shown = dict(self.rows("backfill", "show", backfill_id))
        self.assertEqual(shown["max_active_runs"], "3", "the DAG's own limit is the default")
        self.assertNotEqual(shown["completed"], "")
        done = self.project.command("backfill", "cancel", backfill_id)
        self.assertEqual(done.returncode, 8, done.stderr)
        self.ok("backfill", "create", "daily", "--from", "2026-01-01", "--to", "2026-01-02", "--wait", code=6)

    def test_a_long_plan_comes_page_by_page(self):
        plan = ("backfill", "plan", "fine", "--from", "1990-01-01", "--to", "2009-12-31")
        days = 7305
        rows = self.rows(*plan)
        self.assertEqual((len(rows), rows[0][0], rows[-1][0]), (days, "1990-01-01T00:00:00Z", "2009-12-31T00:00:00Z"))
        self.assertEqual([row[0] for row in rows], sorted({row[0] for row in rows}))
        table = self.ok(*plan, "-o", "table").splitlines()
        self.assertEqual(len(table), 1 + days)
        self.assertEqual({line.index("ACTION" if at == 0 else "create") for at, line in enumerate(table)}, {21})
        document = json.loads(self.ok(*plan, "-o", "json"))
        self.assertEqual([one["logical_date"] for one in document["intervals"]], [row[0] for row in rows])
        self.assertEqual((document["total_entries"], document["counts"]["create"], document["tasks"]),
                         (days, days, ["only"]))
        empty = json.loads(self.ok("backfill", "plan", "fine", "--from", "1990-01-01T01:00:00Z",
                                   "--to", "1990-01-01T02:00:00Z", "-o", "json"))
        self.assertEqual((empty["intervals"], empty["total_entries"]), ([], 0))
        # Whoever has read enough does not wait for the rest of it.
        process = subprocess.Popen([MILLRACE, "backfill", "plan", "fine", "--from", "0100-01-01", "--to", "2009-12-31"],
                                   cwd=self.project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertTrue(process.stdout.readline().startswith("0100-01-01T00:00:00Z\tcreate"))
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(), -signal.SIGPIPE)
        self.assertEqual(said, "")

    def test_a_cancelled_backfill(self):
        self.project.write("dags/slow.yaml", FINE.replace("dag_id: fine", "dag_id: slow").replace(
            "{type: noop}", "{type: command, with: {argv: [sleep, '1']}}"))
        wait_until(lambda: "slow" in [row[0] for row in self.rows("dags")], what="the new DAG")
        made = json.loads(self.ok("backfill", "create", "slow", "--from", "2026-01-01", "--to", "2026-01-04",
                                  "--max-active-runs", "1", "-o", "json"))
        self.ok("backfill", "cancel", str(made["id"]))
        self.assertIn("cancelled", self.ok("backfill", "watch", str(made["id"]), code=6))
        self.assertEqual(dict(self.rows("backfill", "show", str(made["id"])))["cancelled"], "true")

    def test_a_log_that_nobody_reads(self):
        run_id = json.loads(self.ok("dags", "trigger", "daily", "-o", "json"))["dag_run_id"]
        self.ok("runs", "watch", "daily", run_id, code=6)
        with open("/dev/full", "w") as full:
            done = subprocess.run([MILLRACE, "logs", "daily", run_id, "greet"], cwd=self.project.folder,
                                  stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1, done.stderr)

    def test_a_broken_new_file_is_told_of(self):
        self.project.write("dags/broken.yaml", "dag_id: broken\n")
        wait_until(lambda: self.server.get("/api/v2/importErrors")["total_entries"], what="the import error")
        self.assertIn("1 DAG file has errors", self.project.command("dags").stderr)

    def test_wrong_use(self):
        self.ok("dags", "show", "nothing", code=3)
        self.ok("dags", "trigger", "nothing", code=3)
        self.ok("runs", "show", "fine", "nothing", code=3)
        self.ok("logs", "fine", "nothing", "only", code=3)
        self.ok("backfill", "create", "fine", "--from", "soon", "--to", "2026-01-03", code=2)
        self.ok("backfill", "create", "fine", "--from", "2026-01-01", code=2)
        self.ok("backfill", "create", "fine", "--from", "2026-01-04", "--to", "2026-01-01", code=2)
        self.ok("backfill", "show", "77", code=3)
        self.ok("dags", "frobnicate", code=2)
        self.ok("dags", "--nonsense", code=2)
        self.assertIn("did you mean `dags`", self.project.command("dgs").stderr)
        self.ok("dags", "trigger", "fine", "--conf", "[1]", code=2)
        self.ok("dags", "trigger", "fine", "-p", "name", code=2)
        unknown = self.project.command("dags", "trigger", "daily", "-p", "nmae=12")
        self.assertEqual(unknown.returncode, 2, unknown.stderr)
        self.assertIn("has no param `nmae`; its params: name", unknown.stderr)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([MILLRACE, "dags"], cwd=self.project.folder, stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1, done.stderr)

    def test_a_dag_file_edited_while_serving(self):
        self.project.write("dags/new.yaml", FINE.replace("dag_id: fine", "dag_id: new"))
        wait_until(lambda: "new" in [row[0] for row in self.rows("dags")], what="the new DAG")
        self.project.write("dags/new.yaml", "dag_id: new\ntasks: {a: {type: nop}}\n")
        errors = wait_until(lambda: self.server.get("/api/v2/importErrors")["import_errors"],
                            what="the import error")
        self.assertIn("did you mean `noop`", errors[0]["stack_trace"])
        self.ok("runs", "watch", "new",
                json.loads(self.ok("dags", "trigger", "new", "-o", "json"))["dag_run_id"])
        os.remove(self.project.path("dags/new.yaml"))
        wait_until(lambda: "new" not in [row[0] for row in self.rows("dags")], what="the DAG's end")
        self.assertEqual(self.server.get("/api/v2/importErrors")["import_errors"], [])


class NoServer(Case):
    def test_it_says_how_to_start_one(self):
        done = self.project.command("dags")
        self.assertEqual(done.returncode, 7)
        self.assertIn("millrace serve", done.stderr)


if __name__ == "__main__":
    unittest.main()
