"""Why: explain of DAGs, runs and task instances with the real binaries, by API and command line."""
import fcntl
import os
import pty
import struct
import subprocess
import termios
import unittest

import harness

DAG = """dag_id: d
tasks:
  first:
    type: command
    with: {argv: [sh, -c, "exit 7"]}
  second: {type: noop, depends_on: [first]}
  third: {type: noop, depends_on: [second]}
"""

SMALL = """dag_id: small
max_active_runs: 1
tasks:
  one:
    type: command
    pool: narrow
    with: {argv: [sh, -c, "while ! test -e go; do sleep 0.05; done"]}
  two: {type: noop, pool: narrow}
  after: {type: noop, depends_on: [one]}
"""

DAILY = """dag_id: daily
schedule: "0 0 * * *"
start_date: 2020-01-01
paused_upon_creation: true
tasks:
  a: {type: noop}
"""


FED = """dag_id: fed
schedule: {assets: [lake/a, lake/b]}
tasks:
  a: {type: noop}
"""

# One run at a time, each waiting for the one before; it fails until there is a file `fine`.
PAST = """dag_id: past
max_active_runs: 1
tasks:
  a:
    type: command
    depends_on_past: true
    with: {argv: [sh, -c, "test -e fine && while ! test -e on; do sleep 0.05; done"]}
"""


class Explain(harness.Case):
    def setUp(self):
        super().setUp()
        self.project.write("millrace.yaml", "dags_folder: dags\npools: {narrow: {slots: 1}}\n")
        for name, text in (("d", DAG), ("small", SMALL), ("daily", DAILY), ("fed", FED),
                           ("past", PAST)):
            self.project.write(f"dags/{name}.yaml", text)
        self.server = self.project.serve()
        for name in ("d", "small", "daily", "fed", "past"):
            harness.wait_until(lambda: self.server.request("GET", f"/api/v2/dags/{name}")[0] == 200, what=name)

    def explain(self, dag, run=None, task=None):
        path = f"/api/millrace/v1/dags/{dag}"
        path += f"/dagRuns/{run}" if run else ""
        path += f"/taskInstances/{task}" if task else ""
        return self.server.get(path + "/explain")

    def on_terminal(self, *args, columns=80):
        """What `millrace args…` prints on a terminal of so many columns."""
        outer, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
        process = subprocess.Popen([harness.MILLRACE, *args], cwd=self.project.folder, stdin=inner, stdout=inner,
                                   stderr=inner, env=environment)
        os.close(inner)
        said = b""
        while True:
            try:
                piece = os.read(outer, 65536)
            except OSError:
                break
            said += piece
        os.close(outer)
        self.assertEqual(process.wait(), 0, said)
        return said.decode()

    def test_words_are_whole_on_a_narrow_terminal(self):
        self.trigger("d", "one")
        self.wait_state("d", "one", "failed")
        self.trigger("past", "first")
        self.trigger("past", "second")
        for subject in (("daily",), ("d",), ("d", "one", "third"), ("past", "second"), ("fed",)):
            self.words_are_whole(subject)

    def words_are_whole(self, subject):
        why = self.explain(*subject)
        said = self.on_terminal("explain", *subject)
        self.assertLessEqual(max(map(len, said.splitlines())), 80, said)
        words = set(said.split())
        told = [why["why"] or ""] + [cause["reason"] or "" for cause in why.get("because", [])]
        told += [wait[key] or "" for wait in why.get("waits_for", []) for key in ("what", "unblocked_by")]
        for word in " ".join(told).split():
            if len(word) <= 40:
                self.assertIn(word, words, said)

    def trigger(self, dag, run):
        status, answer = self.server.request("POST", f"/api/v2/dags/{dag}/dagRuns", {"dag_run_id": run})
        self.assertEqual(status, 200, answer)

    def wait_state(self, dag, run, state):
        harness.wait_until(lambda: self.server.get(f"/api/v2/dags/{dag}/dagRuns/{run}")["state"] == state, what=state)

    def test_root_cause(self):
        self.trigger("d", "r")
        self.wait_state("d", "r", "failed")
        third = self.explain("d", "r", "third")
        self.assertEqual((third["subject"], third["state"]), ("task_instance", "upstream_failed"))
        self.assertEqual([(one["task_id"], one["state"]) for one in third["because"]],
                         [("third", "upstream_failed"), ("second", "upstream_failed"), ("first", "failed")])
        self.assertEqual(third["because"][-1]["reason"], "exit code 7")
        self.assertIn("millrace logs d r first --try 1", third["because"][-1]["log"])
        self.assertEqual(third["waits_for"], [])
        run = self.explain("d", "r")
        self.assertEqual([one["task_id"] for one in run["because"]], ["first"])
        self.assertTrue(run["since"])
        told = self.project.command("explain", "d", "r", "third")
        self.assertIn("exit code 7", told.stdout)
        missing = self.project.command("explain", "d", "r", "nothing")
        self.assertEqual(missing.returncode, 3, missing.stderr)

    def test_current_causes(self):
        self.trigger("small", "r")
        self.trigger("small", "later")
        states = lambda: [row["state"] for row in
                          self.server.get("/api/v2/dags/small/dagRuns/r/taskInstances")["task_instances"]]
        harness.wait_until(lambda: "running" in states(), what="a running task")
        names = {row["state"]: row["task_id"] for row in
                 self.server.get("/api/v2/dags/small/dagRuns/r/taskInstances")["task_instances"]}
        self.assertEqual(names["running"], "one")
        two = self.explain("small", "r", "two")
        self.assertTrue(two["is_current"])
        self.assertEqual(two["reason"], "pool_full: narrow 1/1")
        self.assertEqual(two["waits_for"][0]["kind"], "pool")
        after = self.explain("small", "r", "after")
        self.assertEqual((after["waits_for"][0]["kind"], after["waits_for"][0]["what"]), ("upstream", "one (running)"))
        later = self.explain("small", "later")
        self.assertEqual((later["state"], later["reason"]), ("queued", "max_active_runs: 1/1"))
        # The row still says what was in the way when the run was made; the answer is of now.
        self.server.request("PATCH", "/api/v2/dags/small", {"is_paused": True})
        later = self.explain("small", "later")
        self.assertEqual((later["reason"], later["waits_for"][0]["kind"]), ("dag_paused", "pause"))
        self.project.write("go", "")
        self.wait_state("small", "r", "success")

    def state(self, dag, run):
        return self.server.get(f"/api/v2/dags/{dag}/dagRuns/{run}")["state"]

    def test_the_run_before(self):
        for run, day in (("r1", 1), ("r2", 2)):
            status, answer = self.server.request("POST", "/api/v2/dags/past/dagRuns",
                                                 {"dag_run_id": run, "logical_date": f"2026-01-0{day}T00:00:00Z"})
            self.assertEqual(status, 200, answer)
        harness.wait_until(lambda: (self.state("past", "r1"), self.state("past", "r2")) == ("failed", "running"),
                           what="a failed run, and one that waits for it")
        waits = {"kind": "past", "what": "depends_on_past: a did not succeed in r1",
                 "unblocked_by": "clearing or marking it in that run"}
        harness.wait_until(lambda: self.explain("past", "r2")["waits_for"], what="its waiting")
        for subject in (self.explain("past", "r2"), self.explain("past", "r2", "a")):
            self.assertEqual(len(subject["waits_for"]), 1, subject)
            self.assertEqual({key: subject["waits_for"][0][key] for key in waits}, waits)
        # r1 is cleared, and wants the place of r2, which waits for it: r2 makes way.
        self.project.write("fine", "")
        self.assertEqual(self.project.command("runs", "clear", "past", "r1").returncode, 0)
        harness.wait_until(lambda: (self.state("past", "r1"), self.state("past", "r2")) == ("running", "queued"),
                           what="the change of places")
        self.assertEqual(self.explain("past", "r2")["reason"], "max_active_runs: 1/1")
        self.project.write("on", "")
        for run in ("r1", "r2"):
            harness.wait_until(lambda: self.state("past", run) == "success", what=f"the end of {run}")

    def test_dag(self):
        daily = self.explain("daily")
        self.assertEqual((daily["state"], daily["max_active_runs"]), ("paused", 16))
        self.assertIn("pause", [one["kind"] for one in daily["waits_for"]])
        self.assertIn("paused", self.project.command("explain", "daily").stdout)
        self.project.write("dags/daily.yaml", "dag_id: daily\ntasks: {a: {type: nonsense}}\n")
        harness.wait_until(lambda: self.explain("daily")["import_error"], what="the import error")
        self.assertIn("file", [one["kind"] for one in self.explain("daily")["waits_for"]])
        self.assertEqual([one["kind"] for one in self.explain("d")["waits_for"]], ["trigger"])
        fed = self.explain("fed")
        self.assertEqual([one["kind"] for one in fed["waits_for"]], ["condition"])
        self.assertIn("lake/a and lake/b", fed["why"])
        os.unlink(self.project.path("dags/d.yaml"))
        harness.wait_until(lambda: self.explain("d")["state"] == "stale", what="a stale DAG")
        self.assertEqual([one["kind"] for one in self.explain("d")["waits_for"]], ["file"])

    def test_limit_of_a_dag(self):
        """Runs of a backfill don't count; what is due waits for the limit, not for a time that is past."""
        self.project.write("dags/tight.yaml", 'dag_id: tight\nschedule: "@daily"\nstart_date: 2026-01-01\n'
                           "catchup: true\npaused_upon_creation: true\nmax_active_runs: 1\n"
                           "tasks: {a: {type: command, with: {argv: [sleep, '60']}}}\n")
        harness.wait_until(lambda: self.server.request("GET", "/api/v2/dags/tight")[0] == 200, what="the DAG")
        status, made = self.server.request("POST", "/api/v2/backfills", {
            "dag_id": "tight", "from_date": "2026-02-01T00:00:00Z", "to_date": "2026-02-02T00:00:00Z"})
        self.assertEqual(status, 200, made)
        harness.wait_until(lambda: self.explain("tight")["running_runs"] == 2, what="its runs")
        self.assertEqual([one["kind"] for one in self.explain("tight")["waits_for"]], ["pause"])
        self.server.request("PATCH", "/api/v2/dags/tight", {"is_paused": False})
        harness.wait_until(lambda: self.explain("tight")["running_runs"] == 3, what="a run of its own")
        self.assertEqual([one["kind"] for one in self.explain("tight")["waits_for"]], ["limit"])


if __name__ == "__main__":
    unittest.main()
