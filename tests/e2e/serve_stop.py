"""`millrace serve` is asked to stop: once, which leaves attempts to their worker, and twice, which stops
them, whoever started that worker. And what becomes of a worker that the next one takes over."""
import os
import signal
import subprocess
import time
import unittest

from harness import Case, wait_until

LONG = """
dag_id: long
tasks:
  wait:
    type: command
    with: {argv: [sh, -c, 'trap "" TERM; echo $$ >> started; while :; do sleep 0.02; done']}
"""


# Each instance says that it runs and waits; `go` lets all of them end.
WIDE = """
dag_id: wide
params: {items: {type: array, default: [1, 2, 3, 4, 5]}}
tasks:
  wait:
    type: command
    expand: {item: "{{ params.items }}"}
    with: {argv: [sh, -c, 'echo x >> running; while ! [ -e go ]; do sleep 0.02; done']}
"""


class ServeStop(Case):
    def setUp(self):
        super().setUp()
        self.project.write("dags/long.yaml", LONG)
        self.server = self.project.serve()
        wait_until(lambda: self.server.request("POST", "/api/v2/dags/long/dagRuns",
                                               {"logical_date": None})[0] == 200, what="a run")
        wait_until(lambda: os.path.exists(self.project.path("started")), what="the attempt")

    def log(self):
        with open(self.project.path("serve.log")) as file:
            return file.read()

    def ask(self, number, said):
        """Signals the server and waits for what it says to that."""
        before = self.log().count(said)
        time.sleep(0.3)  # sooner than that it would be the same request
        self.server.process.send_signal(number)
        wait_until(lambda: self.log().count(said) > before, what=f"`{said}`")

    def ends(self):
        try:
            self.assertEqual(self.server.process.wait(timeout=60), 0, self.log())
        except subprocess.TimeoutExpired:
            self.fail("it never ended: " + self.log())

    def test_twice_stops_the_attempts(self):
        self.ask(signal.SIGINT, "goes on with them")
        self.ask(signal.SIGINT, "stopping the attempts")
        self.ends()
        self.assertEqual(self.project.processes(), {})

    def test_twice_stops_those_of_an_adopted_worker(self):
        self.ask(signal.SIGTERM, "goes on with them")
        self.ends()
        worker = self.project.pids("millrace-worker", "--state")
        self.assertNotEqual(worker, [], "the worker goes on")
        self.server = self.project.serve()
        wait_until(lambda: "worker_connected" in self.log().rsplit("ready in", 1)[-1], what="the worker")
        self.ask(signal.SIGTERM, "goes on with them")
        self.assertIn(f"worker {min(worker)} ", self.log())
        self.ask(signal.SIGTERM, "stopping the attempts")
        self.ends()
        self.assertEqual(self.project.processes(), {})

    def test_two_at_once_are_one(self):
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            self.server.process.send_signal(number)  # both requests are there when it goes on
        self.ends()
        self.assertNotIn("stopping the attempts", self.log())
        self.assertNotEqual(self.project.pids("millrace-worker", "--state"), [], "the worker goes on")

    def test_three_times_kills_at_once(self):
        self.ask(signal.SIGINT, "goes on with them")
        self.ask(signal.SIGINT, "stopping the attempts")
        time.sleep(0.3)
        self.server.process.send_signal(signal.SIGINT)
        self.ends()
        self.assertEqual(self.project.processes(), {})


class ServeAgain(Case):
    def running(self):
        try:
            with open(self.project.path("running")) as file:
                return len(file.read().split())
        except FileNotFoundError:
            return 0

    def again(self, *args):
        if self.project.servers:
            self.project.servers[-1].stop()
        return self.project.serve(*args)

    def test_a_worker_gets_the_slots_of_a_new_serve(self):
        self.project.write("dags/wide.yaml", WIDE)
        server = self.again("--slots", "1")
        wait_until(lambda: server.request("POST", "/api/v2/dags/wide/dagRuns",
                                          {"logical_date": None})[0] == 200, what="a run")
        wait_until(lambda: self.running() == 1, what="one attempt")
        worker = self.project.pids("millrace-worker", "--state")
        self.again("--slots", "3")
        wait_until(lambda: self.running() == 3, what="three attempts")
        server = self.again("--slots", "2")
        with open(self.project.path("go"), "w"):
            pass
        wait_until(lambda: [run["state"] for run in server.get("/api/v2/dags/wide/dagRuns")["dag_runs"]]
                   == ["success"], what="the run's end")
        self.assertEqual(self.running(), 5)
        self.assertEqual(self.project.pids("millrace-worker", "--state"), worker)


if __name__ == "__main__":
    unittest.main()
