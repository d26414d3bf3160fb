"""SIGKILL of scheduler, web and worker of a running server, at random: every run that was acknowledged
is there and ends well, no attempt is started twice, attempts outlive the scheduler."""
import os
import random
import signal
import time
import unittest

from harness import Case, wait_until

LEDGER = """
dag_id: ledger
max_active_runs: 50
default_args: {retries: 20, retry_delay: 100ms}
tasks:
  first:
    type: command
    with: {argv: [sh, -c, 'echo "$MILLRACE_ATTEMPT_TOKEN" >> ledger; sleep 0.05']}
  second:
    type: command
    depends_on: [first]
    with: {argv: [sh, -c, 'echo "$MILLRACE_ATTEMPT_TOKEN" >> ledger']}
  third: {type: noop, depends_on: [first, second]}
"""

LONG = """
dag_id: long
tasks:
  wait:
    type: command
    with: {argv: [sh, -c, 'echo "$MILLRACE_ATTEMPT_TOKEN" >> ledger; while ! [ -e go ]; do sleep 0.02; done']}
"""


class ServeKill(Case):
    def setUp(self):
        super().setUp()
        self.project.write("dags/ledger.yaml", LEDGER)
        self.project.write("dags/long.yaml", LONG)
        self.server = self.project.serve()

    def kill(self, *words):
        """Kills the processes with these words in their arguments; how many there were."""
        killed = 0
        for pid in self.project.pids(*words):
            try:
                os.kill(pid, signal.SIGKILL)
                killed += 1
            except OSError:
                pass
        return killed

    def trigger(self, dag, run_id):
        """Asks for a run until it is acknowledged; a repeated request may find it made already."""
        def ask():
            try:
                status, _ = self.server.request("POST", f"/api/v2/dags/{dag}/dagRuns",
                                                {"dag_run_id": run_id, "logical_date": None})
            except OSError:
                return False
            return status in (200, 409)
        wait_until(ask, what="an answer to the trigger")

    def states(self, dag):
        """run id → state of all runs; None while the API is away."""
        try:
            runs = self.server.get(f"/api/v2/dags/{dag}/dagRuns?limit=1000")["dag_runs"]
        except (OSError, ValueError):
            return None
        return {run["dag_run_id"]: run["state"] for run in runs}

    def tokens(self):
        try:
            with open(self.project.path("ledger")) as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def test_attempts_outlive_the_scheduler(self):
        self.trigger("long", "one")
        wait_until(self.tokens, what="the attempt's start")
        for _ in range(3):
            old = wait_until(lambda: self.project.pids("millrace", "scheduler", "--state"), what="a scheduler")
            self.assertEqual(self.kill("millrace", "scheduler", "--state"), 1)
            wait_until(lambda: set(self.project.pids("millrace", "scheduler", "--state")) - set(old),
                       what="a new scheduler")
        with open(self.project.path("go"), "w"):
            pass
        wait_until(lambda: self.states("long") == {"one": "success"}, what="the run's end")
        self.assertEqual(len(self.tokens()), 1, "the attempt was started again")

    def test_random_kills(self):
        chance = random.Random(5)
        victims = [("millrace", "scheduler", "--state"), ("millrace", "web", "--state"),
                   ("millrace-worker", "--state")]
        kills = 0
        for number in range(30):
            self.trigger("ledger", f"run-{number}")
            if number % 3 == 0:
                time.sleep(chance.random() * 0.1)
                kills += self.kill(*chance.choice(victims)) > 0
        want = {f"run-{number}": "success" for number in range(30)}
        wait_until(lambda: self.states("ledger") == want, seconds=120, what="the end of all runs")
        tokens = self.tokens()
        self.assertEqual(len(tokens), len(set(tokens)), "a token was started twice")
        self.assertGreaterEqual(kills, 8)
        self.assertGreaterEqual(len(tokens), 60)


if __name__ == "__main__":
    unittest.main()
