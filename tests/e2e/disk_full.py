"""A disk that is full while an ingest stages its output: a clear error, nothing visible, nothing left
behind, and the same run again succeeds once there is room."""
import os
import subprocess
import sys
import unittest

from harness import Case, skip_all

DAG = """
dag_id: full
tasks:
  ingest:
    type: ingest
    with:
      source: "raw/*.csv"
      target: "disk/lake/events/dt=2026-01-01"
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


class DiskFull(Case):
    def test_nothing_is_published_and_a_retry_succeeds(self):
        os.makedirs(self.project.path("disk"))
        os.makedirs(self.project.path("raw"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", self.project.path("disk")], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.project.path("disk")])
        with open(self.project.path("raw", "events.csv"), "w") as file:
            file.write("event_id,payload\n")
            state = 1
            for row in range(200_000):
                state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
                file.write(f"{row},{state:016x}{state * 31 & (1 << 64) - 1:016x}\n")
        self.project.write("dags/full.yaml", DAG)

        failed = self.project.command("run", "dags/full.yaml")
        self.assertEqual(failed.returncode, 6, failed.stderr)
        self.assertIn("No space left on device", failed.stderr + failed.stdout)
        self.assertFalse(os.path.exists(self.project.path("disk/lake/events/dt=2026-01-01")))
        staging = self.project.path("disk/lake.millrace/staging")
        leftover = [os.path.join(root, name) for root, _, names in os.walk(staging) for name in names]
        self.assertEqual(leftover, [], "the failed attempt left files in staging")

        subprocess.run(["mount", "-o", "remount,size=64m", self.project.path("disk")], check=True)
        again = self.project.command("run", "dags/full.yaml")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertTrue(os.path.exists(
            self.project.path("disk/lake/events/dt=2026-01-01/_manifest.json")))


if __name__ == "__main__":
    in_own_mounts()
    unittest.main()
