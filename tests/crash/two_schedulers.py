"""Two schedulers on one state folder, and two servers: the second ends at once and names the first; one
that lost its lock without noticing stops at its next commit."""
import json
import os
import signal
import socket
import subprocess
import time
import unittest

from harness import MILLRACE, Case, free_port, wait_until

ROUNDS = int(os.environ.get("MILLRACE_ROUNDS", "20"))
CONFLICT = 8

TICKING = """
dag_id: ticking
schedule: {every: 1s}
start_date: 2026-01-01
tasks:
  one: {type: noop}
"""


class TwoSchedulers(Case):
    def scheduler(self):
        return subprocess.Popen([MILLRACE, "scheduler", "--state", "state", "--dags", "dags"], cwd=self.project.folder,
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True, start_new_session=True)

    def ready(self, process):
        """Reads its log until it says that it is ready; what it said if it ended before."""
        said = []
        for line in process.stderr:
            said.append(line)
            if "event=ready" in line:
                return ""
        return "".join(said)

    def finish(self, process, number=signal.SIGTERM):
        process.send_signal(number)
        process.wait(timeout=60)
        process.stderr.close()

    def assert_names(self, said, pid):
        self.assertIn(f"in use by process {pid} on {socket.gethostname()} since 20", said)

    def test_the_second_names_the_first(self):
        first = self.scheduler()
        self.assertEqual(self.ready(first), "")
        second = self.scheduler()
        said = second.communicate(timeout=60)[1]
        self.assertEqual(second.returncode, CONFLICT)
        self.assert_names(said, first.pid)
        self.finish(first)

    def test_a_stopped_holder_still_holds(self):
        first = self.scheduler()
        self.assertEqual(self.ready(first), "")
        first.send_signal(signal.SIGSTOP)
        second = self.scheduler()
        said = second.communicate(timeout=60)[1]
        first.send_signal(signal.SIGCONT)
        self.assertEqual(second.returncode, CONFLICT)
        self.assert_names(said, first.pid)
        self.finish(first)

    def test_many_at_once(self):
        for number in range(ROUNDS):
            count = 2 + number % 7
            crowd = [self.scheduler() for _ in range(count)]
            losers = []
            while len(losers) < count - 1:
                losers = [one for one in crowd if one.poll() is not None]
                self.assertLess(len(losers), count, "nobody holds the lock")
                time.sleep(0.005)
            holder = next(one for one in crowd if one not in losers)
            self.assertEqual(self.ready(holder), "")
            for loser in losers:
                self.assertEqual(loser.returncode, CONFLICT)
                self.assert_names(loser.stderr.read(), holder.pid)
                loser.stderr.close()
            self.finish(holder, signal.SIGKILL)

    def test_who_lost_the_lock_file_writes_no_more(self):
        self.project.write("dags/ticking.yaml", TICKING)
        first = self.scheduler()
        self.assertEqual(self.ready(first), "")
        first.send_signal(signal.SIGSTOP)
        os.unlink(self.project.path("state", "lock"))
        second = self.scheduler()
        said = self.ready(second)
        while said:
            # It was stopped in the middle of a commit, and SQLite keeps the second out.
            self.assertIn("database is locked", said)
            self.finish(second)
            first.send_signal(signal.SIGCONT)
            time.sleep(0.05)
            first.send_signal(signal.SIGSTOP)
            second = self.scheduler()
            said = self.ready(second)
        first.send_signal(signal.SIGCONT)
        said = first.communicate(timeout=60)[1]
        self.assertEqual(first.returncode, CONFLICT, said)
        self.assertIn("another scheduler has taken the state over", said)
        self.assertIsNone(second.poll(), "the newer scheduler ended")
        self.finish(second)


class TwoServers(Case):
    def test_the_second_touches_nothing(self):
        """Also in the moment in which the first one's scheduler is being started again."""
        server = self.project.serve()
        address = self.project.path(".millrace", "web.json")
        with open(address) as file:
            before = file.read()
        self.assertEqual(json.loads(before)["url"], server.url)
        for number in range(10):
            for pid in self.project.pids("millrace", "scheduler", "--state") if number % 2 else []:
                os.kill(pid, signal.SIGKILL)
            second = self.project.command("serve", "--port", str(free_port()))
            self.assertEqual(second.returncode, CONFLICT, second.stderr)
            self.assertIn(f"in use by process {server.process.pid} on", second.stderr)
            with open(address) as file:
                self.assertEqual(file.read(), before)
        wait_until(server.is_up, what="the first server's answer")


if __name__ == "__main__":
    unittest.main()
