"""SIGKILL of scheduler or worker in the middle of the example's backfill: started again, it ends with
the same `content` in every manifest as a run that nobody disturbed."""
import os
import random
import shutil
import signal
import subprocess
import time
import unittest

from harness import CHURN_DATA, SOURCE, Case, Project, contents, wait_until

DAYS = 24
RANGE = ("--from", "2026-01-01", "--to", "2026-01-24")


def prepare(project):
    for name in ("churn.yaml",):
        shutil.copy(os.path.join(SOURCE, "dags", name), project.path("dags", name))
    subprocess.run([CHURN_DATA, "--out", project.path("raw"), "--days", str(DAYS), "--start", "2026-01-01",
                    "--events", "60000", "--seed", "7"], check=True, capture_output=True)


def published(project):
    return contents(project.path("lake"))


class ChurnKill(Case):
    @classmethod
    def setUpClass(cls):
        calm = Project()
        cls.addClassCleanup(calm.remove)
        prepare(calm)
        done = calm.command("run", "dags/churn.yaml", *RANGE)
        assert done.returncode == 0, done.stderr
        cls.want = published(calm)
        assert len(cls.want) == 2 * DAYS, sorted(cls.want)

    def disturb(self, seed, kill, kills_wanted):
        """Runs the backfill, killing at random moments and starting it again whenever it died."""
        chance = random.Random(seed)
        prepare(self.project)
        process = self.project.start("run", "dags/churn.yaml", *RANGE)
        kills = 0
        while kills < kills_wanted:
            before = len(published(self.project))
            wait_until(lambda: process.poll() is not None or len(published(self.project)) > before,
                       what="progress of the backfill")
            time.sleep(chance.random() * 0.2)
            if process.poll() is not None:
                break
            kills += kill(process)
            if process.poll() is not None:
                process = self.project.start("run", "dags/churn.yaml", *RANGE)
        with open(self.project.path("process.log")) as log:
            self.assertEqual(process.wait(timeout=300), 0, log.read()[-4000:])
        self.assertGreaterEqual(kills, 3, "the kills came too late to disturb anything")
        self.assertEqual(published(self.project), self.want)

    def kill_workers(self, _process):
        """Each costs the attempts it had a try, of which the pipeline has four."""
        killed = 0
        for pid in self.project.pids("millrace-worker", "--state"):
            try:
                os.kill(pid, signal.SIGKILL)
                killed = 1
            except OSError:
                pass
        return killed

    @staticmethod
    def kill_scheduler(process):
        process.kill()
        process.wait()
        return 1

    def test_scheduler(self):
        self.disturb(11, self.kill_scheduler, 6)

    def test_worker(self):
        self.disturb(12, self.kill_workers, 3)

    def test_both(self):
        self.disturb(13, lambda process: self.kill_workers(process) | self.kill_scheduler(process), 3)


if __name__ == "__main__":
    unittest.main()
