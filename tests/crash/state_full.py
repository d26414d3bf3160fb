"""A disk that is full under the state: the scheduler ends with a message and is started again less and less
often; pages are served, changes get 503; once there is room, everything acknowledged is there and goes on."""
import os
import subprocess
import sys
import time
import unittest

from harness import Case, skip_all, wait_until

DAG = """
dag_id: full
default_args: {retries: 1000, retry_delay: 100ms}
tasks:
  one: {type: command, with: {argv: ["true"]}}
  two: {type: noop, depends_on: [one]}
"""


def in_own_mounts():
    """Runs this script again in a mount namespace of its own, so that a small disk can be mounted."""
    if os.environ.get("MILLRACE_OWN_MOUNTS"):
        return
    probe = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    if subprocess.run([*probe, "true"], capture_output=True).returncode != 0:
        skip_all("no mount namespaces here")
    os.environ["MILLRACE_OWN_MOUNTS"] = "1"
    os.execvp(probe[0], [*probe, sys.executable, *sys.argv])


class StateFull(Case):
    def log(self):
        with open(self.project.path("serve.log"), errors="replace") as file:
            return file.read()

    def fill(self):
        """Takes all room there is, to the last byte."""
        with open(self.project.path(".millrace", "filler"), "ab", buffering=0) as filler:
            size = 65536
            while size > 0:
                try:
                    filler.write(b"x" * size)
                except OSError:
                    size //= 2

    def trigger(self, run_id):
        """The status of the answer."""
        return self.server.request("POST", "/api/v2/dags/full/dagRuns",
                                   {"dag_run_id": run_id, "logical_date": None})[0]

    def states(self):
        try:
            runs = self.server.get("/api/v2/dags/full/dagRuns?limit=1000")["dag_runs"]
        except (OSError, ValueError):
            return {}
        return {run["dag_run_id"]: run["state"] for run in runs}

    def test_full_and_free_again(self):
        state = self.project.path(".millrace")
        os.makedirs(state)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", state], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", state])
        self.project.write("dags/full.yaml", DAG)
        self.server = self.project.serve()
        acknowledged = []
        for number in range(3):
            self.assertEqual(wait_until(lambda number=number: self.trigger(f"before-{number}"), what="an answer"), 200)
            acknowledged.append(f"before-{number}")
        wait_until(lambda: list(self.states().values()) == ["success"] * 3, what="the end of the runs")

        self.fill()
        refused = 0
        number = 0
        while refused < 5:
            status = self.trigger(f"full-{number}")
            self.assertIn(status, (200, 503))
            if status == 200:
                acknowledged.append(f"full-{number}")
            refused += status == 503
            number += 1
            time.sleep(0.05)
        self.assertIn("full", self.log())
        for page in ("/", "/api/v2/dags", "/api/v2/dags/full/dagRuns"):
            self.assertEqual(self.server.request("GET", page)[0], 200, f"{page} is not served")

        # The pauses between two starts grow: 0.1, 0.2, 0.4 … seconds.
        ends = self.log().count("event=role_ended")
        wait_until(lambda: self.log().count("event=role_ended") >= ends + 2, what="two more ends of the scheduler")
        self.assertLess(self.log().count("event=role_ended"), 40, "the scheduler is started without a pause")

        os.unlink(os.path.join(state, "filler"))
        wait_until(lambda: self.trigger("after") in (200, 409), what="a new scheduler")
        acknowledged.append("after")
        wait_until(lambda: set(acknowledged) <= set(self.states()) and
                   set(self.states().values()) == {"success"}, what="the end of all runs")


if __name__ == "__main__":
    in_own_mounts()
    unittest.main()
