"""`millrace run` beside other holders of the state folder: what happens when they go away, and what is
said when they can't take the run."""
import os
import signal
import sqlite3
import subprocess
import unittest

from harness import MILLRACE, Case, wait_until

ONE = """
dag_id: one
tasks:
  wait:
    type: command
    with: {argv: [sh, -c, 'echo x >> started; while ! [ -e go ]; do sleep 0.02; done']}
"""

OTHER = """
dag_id: other
tasks:
  only: {type: noop}
"""

# Each task writes its name behind those of the tasks before it.
NESTED = """
dag_id: nested
max_active_tasks: 1
default_args: {env: {WHO: dag}}
tasks:
  report: {type: command, depends_on: prepare, with: {argv: [sh, -c, 'echo "report $WHO" >> order']}}
task_groups:
  prepare:
    default_args: {env: {WHO: prepare}}
    task_groups:
      check:
        depends_on: load
        tasks:
          rows: {type: command, with: {argv: [sh, -c, 'echo "rows $WHO" >> order']}}
      load:
        default_args: {env: {WHO: load}}
        tasks:
          two: {type: command, depends_on: one, with: {argv: [sh, -c, 'echo "two $WHO" >> order']}}
          one: {type: command, with: {argv: [sh, -c, 'echo "one $WHO" >> order']}}
"""


class Run(Case):
    def setUp(self):
        super().setUp()
        self.project.write("one.yaml", ONE)
        self.project.write("other.yaml", OTHER)

    def run_file(self, name, log):
        return self.project.start("run", name, log=log)

    def started(self):
        try:
            with open(self.project.path("started")) as file:
                return len(file.read().split())
        except FileNotFoundError:
            return 0

    def text(self, log):
        with open(self.project.path(log)) as file:
            return file.read()

    def go(self):
        with open(self.project.path("go"), "w"):
            pass

    def ends(self, process, log, code=0):
        try:
            self.assertEqual(process.wait(timeout=60), code, self.text(log))
        except subprocess.TimeoutExpired:
            self.fail("it never ended: " + self.text(log))

    def test_another_run_that_ends(self):
        # One attempt at once: the second run's waits while the first run's ends the first process.
        self.project.write("one.yaml", ONE.replace("dag_id: one", "dag_id: one\nmax_active_runs: 1")
                           .replace("echo x", "sleep 0.5; echo x"))
        first = self.run_file("one.yaml", "first.log")
        wait_until(self.started, what="the first attempt")
        second = self.run_file("one.yaml", "second.log")
        wait_until(lambda: len(self.rows("one")) == 2, what="the second run")
        self.go()
        self.ends(first, "first.log")
        self.ends(second, "second.log")
        self.assertEqual(self.started(), 2)
        self.assertIn("1 of 1 tasks ok", self.text("second.log"))

    def test_another_run_that_is_killed(self):
        first = self.run_file("one.yaml", "first.log")
        wait_until(self.started, what="the first attempt")
        second = self.run_file("one.yaml", "second.log")
        wait_until(lambda: len(self.rows("one")) == 2, what="the second run")
        first.send_signal(signal.SIGKILL)
        first.wait()
        self.go()
        self.ends(second, "second.log")

    def test_a_server_that_is_killed(self):
        self.project.write("dags/one.yaml", ONE)
        server = self.project.serve()
        wait_until(lambda: server.request("GET", "/api/v2/dags/one")[0] == 200, what="the DAG")
        process = self.run_file("one.yaml", "run.log")
        wait_until(self.started, what="the attempt")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        self.go()
        self.ends(process, "run.log")
        self.assertEqual(self.started(), 1, "the attempt outlives the server")

    def test_an_interrupted_run_goes_on_without_failures(self):
        first = self.run_file("one.yaml", "first.log")
        wait_until(self.started, what="the attempt")
        first.send_signal(signal.SIGINT)
        self.ends(first, "first.log", 130)
        self.go()
        done = self.project.command("run", "one.yaml")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("going on with the run", done.stderr)
        self.assertNotIn("worker_lost", done.stderr)
        self.assertNotIn("failed", done.stderr)
        self.assertEqual([state for _, state in self.rows("one")], ["success"])
        self.assertEqual(self.started(), 2)

    def test_groups_in_groups(self):
        self.project.write("nested.yaml", NESTED)
        done = self.project.command("run", "nested.yaml")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.text("order").splitlines(),
                         ["one load", "two load", "rows prepare", "report dag"])
        self.assertIn("prepare.load.two", done.stdout + done.stderr)

    def test_a_run_of_another_dag(self):
        self.assertEqual(self.project.command("run", "other.yaml").returncode, 0)
        first = self.run_file("one.yaml", "first.log")
        wait_until(self.started, what="the first attempt")
        done = self.project.command("run", "other.yaml")
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn(f"another `millrace run` (pid {first.pid}) holds this state folder", done.stderr)
        self.project.write("new.yaml", OTHER.replace("other", "new"))
        done = self.project.command("run", "new.yaml")
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn(f"(pid {first.pid})", done.stderr)
        self.go()
        self.ends(first, "first.log")
        self.assertEqual(self.project.command("run", "other.yaml").returncode, 0)

    def rows(self, dag):
        """The run ids of a DAG, by what is committed."""
        path = self.project.path(".millrace", "state.db")
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as database:
            return database.execute("select run_id, state from run where dag_id = ?", (dag,)).fetchall()

    def test_a_range_that_waits_for_a_failed_past_ends(self):
        self.project.write("past.yaml", """
dag_id: past
schedule: "@daily"
tasks:
  a:
    type: command
    depends_on_past: true
    with: {argv: [sh, -c, "test -e fine"]}
""")
        argv = ["run", "past.yaml", "--from", "2026-01-01", "--to", "2026-01-02"]
        done = self.project.command(*argv, timeout=60)
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn("nothing can go on", done.stderr)
        self.assertIn("past", done.stderr)
        self.assertIn("waits: depends_on_past: a did not succeed in backfill__2026-01-01", done.stderr)
        with open(self.project.path("fine"), "w"):
            pass
        done = self.project.command(*argv, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("running again what failed", done.stderr)

    def test_other_signals_leave_no_process_behind(self):
        for number in (signal.SIGHUP, signal.SIGQUIT):
            before = self.started()
            process = self.run_file("one.yaml", "run.log")
            wait_until(lambda: self.started() > before, what="the attempt")
            process.send_signal(number)
            self.ends(process, "run.log", 130)
            wait_until(lambda: not self.project.processes(), what="the end of all processes")

    def test_a_reader_that_has_seen_enough(self):
        self.project.write("quick.yaml", "dag_id: quick\ntasks: {a: {type: noop}}\n")
        for argv, code in ((["run", "quick.yaml"], 0), (["--help"], -signal.SIGPIPE)):
            reading, writing = os.pipe()
            os.close(reading)
            process = subprocess.Popen([MILLRACE, *argv], cwd=self.project.folder, stdout=writing,
                                       stderr=subprocess.PIPE, text=True)
            os.close(writing)
            said = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, code, said)
            self.assertNotIn("rror", said)
            self.assertNotIn("ipe", said)

    def test_a_damaged_mark_is_refused_and_told_of_once(self):
        self.assertEqual(self.project.command("run", "other.yaml").returncode, 0)
        self.project.write(".millrace/state.db-mark", "junk\n")
        done = self.project.command("run", "other.yaml")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stderr.count("state.db-mark is damaged"), 1, done.stderr)
        self.project.write(".millrace/state.db-mark", "")
        self.assertEqual(self.project.command("run", "other.yaml").returncode, 0)

    def test_what_never_ran_is_counted_apart(self):
        self.project.write("broken.yaml", """
dag_id: broken
tasks:
  a: {type: command, with: {argv: [sh, -c, "exit 3"]}}
  b: {type: noop, depends_on: a}
  c: {type: noop, depends_on: b}
""")
        done = self.project.command("run", "broken.yaml")
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn("0 of 3 tasks ok, 1 failed, 2 not run (upstream failed)", done.stdout)

    def test_callbacks_that_failed_are_told_of(self):
        self.project.write("told.yaml", """
dag_id: told
schedule: "@daily"
on_success_callback: {command: {argv: [sh, -c, "exit 4"]}}
tasks: {a: {type: noop}}
""")
        for argv in ([], ["--from", "2026-01-01", "--to", "2026-01-02"]):
            done = self.project.command("run", "told.yaml", *argv)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("the success callback (command) was not delivered: exit code 4", done.stderr)
            self.assertIn("tried again by the next", done.stderr)

    def test_worker_that_cannot_start_is_told_of(self):
        self.project.write(".millrace/workers", "no folder\n")
        done = self.project.command("run", "other.yaml")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "does not stay alive: .*/workers/.*: Not a directory; its log: .*/worker.log")


class Serve(Case):
    def test_an_unreadable_database_leaves_no_worker_behind(self):
        server = self.project.serve()
        wait_until(lambda: self.project.pids("millrace-worker"), what="the worker")
        for name in os.listdir(self.project.path(".millrace")):
            if name.startswith("state.db"):
                os.remove(self.project.path(".millrace", name))
        self.project.write(".millrace/state.db", "this is no database\n" * 500)
        old = wait_until(lambda: self.project.pids("millrace", "scheduler", "--state"), what="a scheduler")
        os.kill(old[0], signal.SIGKILL)
        wait_until(lambda: "role=scheduler exit_code=" in self.log() and self.log().count("role=scheduler") > 1,
                   what="a scheduler that can't start")
        server.stop()
        wait_until(lambda: not self.project.pids("millrace-worker"), seconds=20, what="the worker's end")

    def test_a_run_whose_version_cannot_be_read_ends(self):
        self.project.write("dags/one.yaml", ONE.replace("dag_id: one", "dag_id: one\nschedule: '@daily'"))
        server = self.project.serve()
        wait_until(lambda: server.request("GET", "/api/v2/dags/one")[0] == 200, what="the DAG")
        created = self.project.command("backfill", "create", "one", "--from", "2026-01-01", "--to", "2026-01-01")
        self.assertEqual(created.returncode, 0, created.stderr)
        wait_until(lambda: os.path.exists(self.project.path("started")), what="the attempt")
        server.stop()
        with sqlite3.connect(self.project.path(".millrace", "state.db"), timeout=10) as database:
            database.execute("update version set source = 'dag_id: one\nnonsense: 1\n'")
        server = self.project.serve()
        runs = wait_until(lambda: server.get("/api/v2/dags/one/dagRuns")["dag_runs"], what="the run")
        self.assertEqual({run["state"] for run in runs}, {"failed"})
        with sqlite3.connect(self.project.path(".millrace", "state.db"), timeout=10) as database:
            reason, = database.execute("select reason from run").fetchone()
            self.assertIn("version_unreadable: ", reason)
            self.assertEqual(database.execute("select distinct state from attempt").fetchall(), [("failed",)])
            live = "select count(*) from task_instance where state in ('queued', 'running')"
            self.assertEqual(database.execute(live).fetchone(), (0,))
            row = database.execute("select failed, completed_at from backfill").fetchone()
            self.assertEqual(row[0], 1)
            self.assertTrue(row[1], "the backfill is over")
        wait_until(lambda: not self.project.pids("sleep 0.02"), what="the stop of the attempt")

    def log(self):
        with open(self.project.path("serve.log")) as file:
            return file.read()


if __name__ == "__main__":
    unittest.main()
