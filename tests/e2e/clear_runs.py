"""Clear, mark and cancel with the real binaries: through the API in Airflow's form and the command line.

A failed middle task is cleared with what is downstream, and the run succeeds with both attempts kept;
a sleep is cancelled and really ends; marks; past and future; and a scheduler that is killed right
after it acknowledged a change carries it out.
"""
import os
import signal
import unittest

import harness

DAG = """dag_id: d
tasks:
  first: {type: noop}
  middle:
    type: command
    depends_on: [first]
    with: {argv: [sh, -c, "test -e go"]}
  last: {type: noop, depends_on: [middle]}
"""

SLEEP = """dag_id: sleep
tasks:
  long:
    type: command
    with: {argv: [sleep, "1000"]}
  after: {type: noop, depends_on: [long]}
"""

CHAIN = """dag_id: chain
tasks:
  first:
    type: command
    with: {argv: [sleep, "0.3"]}
  second:
    type: command
    depends_on: [first]
    with: {argv: [touch, begun]}
"""

DAILY = """dag_id: daily
schedule: "0 0 * * *"
start_date: 2026-01-01
end_date: 2026-01-04
catchup: true
tasks:
  a: {type: noop}
  b: {type: noop, depends_on: [a]}
"""


class ClearRuns(harness.Case):
    def setUp(self):
        super().setUp()
        self.project.write("dags/d.yaml", DAG)
        self.project.write("dags/sleep.yaml", SLEEP)
        self.project.write("dags/chain.yaml", CHAIN)
        self.server = self.project.serve()
        harness.wait_until(lambda: self.server.request("GET", "/api/v2/dags/d")[0] == 200, what="the DAG")

    def path(self, dag, run, rest=""):
        return f"/api/v2/dags/{dag}/dagRuns/{run}{rest}"

    def trigger(self, dag, run):
        status, answer = self.server.request("POST", f"/api/v2/dags/{dag}/dagRuns", {"dag_run_id": run})
        self.assertEqual(status, 200, answer)

    def state(self, dag, run):
        return self.server.get(self.path(dag, run))["state"]

    def wait_state(self, dag, run, state):
        harness.wait_until(lambda: self.state(dag, run) == state, what=f"{run} {state}")

    def tasks(self, dag, run):
        rows = self.server.get(self.path(dag, run, "/taskInstances"))["task_instances"]
        return {row["task_id"]: row for row in rows}

    def wait_task(self, dag, run, task, state):
        harness.wait_until(lambda: self.tasks(dag, run)[task]["state"] == state, what=f"{task} {state}")

    def tries(self, dag, run, task):
        answer = self.server.get(self.path(dag, run, f"/taskInstances/{task}/tries"))
        return [(row["try_number"], row["state"]) for row in answer["task_instances"]]

    def clear(self, dag="d", **body):
        status, answer = self.server.request("POST", f"/api/v2/dags/{dag}/clearTaskInstances", body)
        self.assertEqual(status, 200, answer)
        names = [(row["dag_run_id"], row["task_id"]) for row in answer["task_instances"]]
        self.assertEqual(answer["total_entries"], len(names))
        return names

    def failed_run(self, run="one"):
        self.trigger("d", run)
        self.wait_state("d", run, "failed")

    def test_clear_failed_middle(self):
        self.failed_run()
        self.project.write("go", "")
        choice = {"dag_run_id": "one", "task_ids": ["middle"], "include_downstream": True}
        expected = [("one", "middle"), ("one", "last")]
        # A dry run, which is the default, tells what would be, and changes nothing.
        self.assertEqual(self.clear(**choice), expected)
        self.assertEqual(self.state("d", "one"), "failed")
        self.assertEqual(self.clear(dry_run=False, **choice), expected)
        self.wait_state("d", "one", "success")
        self.assertEqual(self.tries("d", "one", "middle"), [(1, "failed"), (2, "success")])
        self.assertEqual(self.tries("d", "one", "first"), [(1, "success")])
        self.assertEqual(self.tries("d", "one", "last"), [(1, "success")])
        # One task of a finished run again, whatever its state.
        self.assertEqual(self.clear(dry_run=False, only_failed=False, dag_run_id="one", task_ids=["first"]),
                         [("one", "first")])
        harness.wait_until(lambda: self.tries("d", "one", "first") == [(1, "success"), (2, "success")],
                           what="the second try")
        self.wait_state("d", "one", "success")
        self.assertEqual(len(self.tries("d", "one", "last")), 1)

    def test_answer_after_change_is_new(self):
        # What answered the trigger is read again by nobody: no request comes until `second` has begun,
        # which is after the success of `first` was committed.
        self.trigger("chain", "one")
        harness.wait_until(lambda: os.path.exists(self.project.path("begun")), what="the second task")
        self.assertEqual(self.tasks("chain", "one")["first"]["state"], "success")

    def test_clear_run(self):
        self.failed_run()
        path = self.path("d", "one", "/clear")
        status, answer = self.server.request("POST", path, {})
        self.assertEqual((status, answer["total_entries"]), (200, 3))
        self.project.write("go", "")
        status, answer = self.server.request("POST", path, {"dry_run": False, "only_failed": True})
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["dag_run_id"], "one")
        self.wait_state("d", "one", "success")
        self.assertEqual(len(self.tries("d", "one", "first")), 1)

    def test_mended_task_of_a_finished_run(self):
        # What failed is mended in the file, and only that and what is behind it runs again.
        self.failed_run()
        self.project.write("dags/d.yaml", DAG.replace('"test -e go"', '"true"'))
        harness.wait_until(lambda: self.server.get("/api/v2/dags/d/details")["latest_dag_version"]["version_number"] == 2,
                           what="the new version")
        done = self.project.command("tasks", "clear", "d", "one", "middle", "-d", "--latest-version")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.wait_state("d", "one", "success")
        self.assertEqual(self.tries("d", "one", "first"), [(1, "success")])
        self.assertEqual(self.tries("d", "one", "middle"), [(1, "failed"), (2, "success")])
        self.assertEqual(self.tasks("d", "one")["last"]["state"], "success")
        # The other way round: what is to stay has another place now.
        self.project.write("dags/d.yaml", DAG.replace("tasks:\n", "tasks:\n  new: {type: noop}\n"))
        harness.wait_until(lambda: self.server.get("/api/v2/dags/d/details")["latest_dag_version"]["version_number"] == 3,
                           what="the third version")
        done = self.project.command("tasks", "clear", "d", "one", "middle", "--latest-version")
        self.assertEqual(done.returncode, 8, done.stdout + done.stderr)
        self.assertIn("task first, which is to stay as it is, stands at another place", done.stderr)
        self.assertEqual(self.state("d", "one"), "success")

    def test_cancel_and_rerun(self):
        self.trigger("sleep", "one")
        self.wait_task("sleep", "one", "long", "running")
        pid = self.tasks("sleep", "one")["long"]["pid"]
        done = self.project.command("runs", "cancel", "sleep", "one")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.state("sleep", "one"), "failed")
        states = {name: row["state"] for name, row in self.tasks("sleep", "one").items()}
        self.assertEqual(states, {"long": "failed", "after": "skipped"})
        harness.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the end of sleep")
        again = self.project.command("runs", "cancel", "sleep", "one")
        self.assertEqual(again.returncode, 8, again.stderr)
        self.assertIn("is over", again.stderr)
        # And again: the next attempt has a number of its own.
        done = self.project.command("tasks", "rerun", "sleep", "one", "long")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.wait_task("sleep", "one", "long", "running")
        self.assertEqual([number for number, _ in self.tries("sleep", "one", "long")], [1, 2])
        done = self.project.command("tasks", "mark", "sleep", "one", "long", "success")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.wait_state("sleep", "one", "success")

    def test_clear_running(self):
        self.trigger("sleep", "one")
        self.wait_task("sleep", "one", "long", "running")
        pid = self.tasks("sleep", "one")["long"]["pid"]
        status, answer = self.server.request(
            "POST", "/api/v2/dags/sleep/clearTaskInstances",
            {"dry_run": False, "dag_run_id": "one", "only_failed": False, "prevent_running_task": True})
        self.assertEqual(status, 409, answer)
        self.clear("sleep", dry_run=False, dag_run_id="one", only_failed=False, only_running=True)
        harness.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the end of the first attempt")
        harness.wait_until(lambda: len(self.tries("sleep", "one", "long")) == 2, what="the second attempt")
        self.assertEqual(self.tries("sleep", "one", "long")[0], (1, "failed"))
        self.server.request("PUT", "/api/millrace/v1/dags/sleep/dagRuns/one/cancel")
        self.wait_state("sleep", "one", "failed")

    def test_marks(self):
        self.failed_run()
        task = self.path("d", "one", "/taskInstances/middle")
        status, answer = self.server.request("PATCH", task + "/dry_run", {"new_state": "success"})
        self.assertEqual((status, answer["total_entries"]), (200, 1))
        status, answer = self.server.request("PATCH", task, {"new_state": "success"})
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["task_instances"][0]["state"], "success")
        self.assertEqual(self.tasks("d", "one")["last"]["state"], "upstream_failed")
        status, answer = self.server.request("PATCH", self.path("d", "one"), {"state": "success", "note": "by hand"})
        self.assertEqual((status, answer["state"], answer["note"]), (200, "success", "by hand"))
        self.assertEqual(self.tasks("d", "one")["last"]["state"], "success")
        status, answer = self.server.request("PATCH", self.path("d", "one"), {"state": "running"})
        self.assertEqual(status, 422, answer)
        status, _ = self.server.request("PATCH", self.path("d", "none"), {"state": "failed"})
        self.assertEqual(status, 404)
        status, _ = self.server.request("PATCH", self.path("d", "one", "/taskInstances/x"), {"new_state": "failed"})
        self.assertEqual(status, 404)

    def test_past_and_future(self):
        self.project.write("dags/daily.yaml", DAILY)
        runs = [f"scheduled__2026-01-0{day}T00:00:00+00:00" for day in (1, 2, 3)]
        harness.wait_until(lambda: self.server.request("GET", "/api/v2/dags/daily")[0] == 200, what="the DAG")
        done = lambda: self.server.get("/api/v2/dags/daily/dagRuns?state=success")["total_entries"]
        harness.wait_until(lambda: done() == 3, what="three runs")
        choice = {"dag_run_id": runs[1], "task_ids": ["b"], "only_failed": False}
        self.assertEqual(self.clear("daily", include_past=True, **choice), [(runs[0], "b"), (runs[1], "b")])
        self.assertEqual(self.clear("daily", include_future=True, **choice), [(runs[1], "b"), (runs[2], "b")])
        self.assertEqual(len(self.clear("daily", include_past=True, include_future=True, dry_run=False, **choice)), 3)
        harness.wait_until(lambda: done() == 3, what="three runs again")
        answer = self.server.get("/api/v2/dags/daily/dagRuns/~/taskInstances?task_id=b")
        self.assertEqual([row["try_number"] for row in answer["task_instances"]], [2, 2, 2])
        ranged = self.clear("daily", only_failed=False, start_date="2026-01-02T00:00:00Z")
        self.assertEqual({run for run, _ in ranged}, set(runs[1:]))
        status, answer = self.server.request("POST", "/api/v2/dags/daily/clearTaskInstances",
                                             {"dag_run_id": runs[0], "start_date": "2026-01-02T00:00:00Z"})
        self.assertEqual(status, 422, answer)
        self.trigger("daily", "by_hand")
        status, answer = self.server.request("POST", "/api/v2/dags/daily/clearTaskInstances",
                                             {"dag_run_id": "by_hand", "include_past": True})
        self.assertEqual(status, 400, answer)

    def test_killed_after_acknowledgement(self):
        self.failed_run()
        self.trigger("sleep", "one")
        self.wait_task("sleep", "one", "long", "running")
        pid = self.tasks("sleep", "one")["long"]["pid"]
        self.project.write("go", "")
        self.clear(dry_run=False, dag_run_id="one")
        status, answer = self.server.request("PUT", "/api/millrace/v1/dags/sleep/dagRuns/one/cancel")
        self.assertEqual(status, 200, answer)
        for scheduler in self.project.pids("millrace", "scheduler"):
            os.kill(scheduler, signal.SIGKILL)
        self.wait_state("d", "one", "success")
        self.assertEqual(self.state("sleep", "one"), "failed")
        harness.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the end of sleep")
        self.assertEqual(self.tries("d", "one", "middle"), [(1, "failed"), (2, "success")])


if __name__ == "__main__":
    unittest.main()
