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

    def disturb(self, seed, kill):
        """Runs the backfill, calling kill() at random moments, starting it again when it died."""
        chance = random.Random(seed)
        prepare(self.project)
        kills = 0
        for _ in range(40):
            process = self.project.start("run", "dags/churn.yaml", *RANGE)
            before = len(published(self.project))
            wait_until(lambda: process.poll() is not None or len(published(self.project)) > before,
                       what="progress of the backfill")
            time.sleep(chance.random() * 0.3)
            if process.poll() is None and kills < 6:
                kills += kill(process)
            if kills >= 6 or not self.survives(process):
                code = process.wait(timeout=300)
                if code == 0:
                    break
        self.assertEqual(process.returncode, 0, open(self.project.path("process.log")).read()[-4000:])
        self.assertGreaterEqual(kills, 3, "the kills came too late to disturb anything")
        self.assertEqual(published(self.project), self.want)

    def survives(self, process):
        """Kills of the worker leave the scheduler running: keep killing for a while."""
        return False

    def kill_scheduler(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait()
        return 1

    def kill_worker(self, process):
        killed = 0
        while process.poll() is None and killed < 6:
            workers = [pid for pid in self.project.pids("millrace-worker")
                       if "--runner" not in self.project.processes().get(pid, [])]
            for pid in workers:
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                except OSError:
                    pass
            before = len(published(self.project))
            wait_until(lambda: process.poll() is not None or len(published(self.project)) > before,
                       what="progress after a worker's death")
        return killed

    def test_scheduler(self):
        self.disturb(11, self.kill_scheduler)

    def test_worker(self):
        self.disturb(12, self.kill_worker)

    def test_both(self):
        def kill(process):
            for pid in self.project.pids("millrace-worker"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            return self.kill_scheduler(process)
        self.disturb(13, kill)


if __name__ == "__main__":
    unittest.main()
