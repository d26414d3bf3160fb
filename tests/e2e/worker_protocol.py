#!/usr/bin/env python3
"""The real worker binary, with this program in the scheduler's place on its socket.

Everything the worker promises is looked at from outside: frames on the socket, processes, files."""
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from harness import MILLRACE, WORKER, wire_protocol

WAIT_S = 60  # a limit against hanging, never a measure


class Scheduler:
    """The scheduler's end: a listening socket and at most one connection."""

    def __init__(self, state):
        self.state = state
        self.epoch = 0
        self.connection = None
        self.inbox = []
        self.frames = []
        self.listen()

    def listen(self):
        folder = os.open(self.state, os.O_PATH | os.O_DIRECTORY)
        path = f"/proc/self/fd/{folder}/scheduler.sock"
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(4)
        self.listener.settimeout(WAIT_S)
        os.close(folder)

    def accept(self, worker=None):
        """Takes the worker's connection and answers its hello, which is returned."""
        self.epoch += 1
        while worker and not select.select([self.listener], [], [], 0.2)[0]:
            if worker.poll() is not None:
                raise AssertionError(f"the worker ended at once with code {worker.returncode}")
        if self.connection:
            self.connection.close()
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(WAIT_S)
        self.buffer = b""
        self.inbox = []
        self.frames = []
        hello = self.wait("worker_hello")
        self.send(kind="welcome", protocol=wire_protocol(), epoch=self.epoch)
        return hello

    def drop(self):
        """Dies as a killed scheduler does: connection and listener at once."""
        self.connection.close()
        self.listener.close()

    def send(self, *documents, **document):
        """Frames, in the short form of one attempt each."""
        out = b""
        for one in documents or (document,):
            one = batched(one)
            text = json.dumps(one).encode()
            out += struct.pack("<I", len(text)) + text
        self.connection.sendall(out)

    def receive(self):
        while True:
            if self.frames:
                return self.frames.pop(0)
            if len(self.buffer) >= 4:
                (length,) = struct.unpack("<I", self.buffer[:4])
                if len(self.buffer) >= 4 + length:
                    text = self.buffer[4:4 + length]
                    self.buffer = self.buffer[4 + length:]
                    self.frames += singles(json.loads(text))
                    continue
            piece = self.connection.recv(65536)
            if not piece:
                raise EOFError("the worker closed the connection")
            self.buffer += piece

    def wait(self, kind, token=None):
        """The next frame of that kind (and token); others are kept for later waits."""
        for i, frame in enumerate(self.inbox):
            if frame["kind"] == kind and token in (None, frame.get("token")):
                return self.inbox.pop(i)
        while True:
            frame = self.receive()
            if frame["kind"] == kind and token in (None, frame.get("token")):
                return frame
            self.inbox.append(frame)

    def is_quiet(self, seconds):
        """Whether nothing comes in for a while."""
        return not self.inbox and not self.frames and not self.buffer and \
            not select.select([self.connection], [], [], seconds)[0]


def processes_with(mark):
    """The ids of living processes whose environment holds NAME=value."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if mark.encode() in file.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            pass
    return found


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def command_line(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read().split("\0")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


OF_RUN = ("kind", "worker", "dag_id", "run_id", "run", "logical_date", "interval_start",
          "interval_end", "timezone")


def batched(document):
    """What has one attempt or token as the wire has it, with a list of them."""
    if document["kind"] == "start":
        start = {key: document[key] for key in OF_RUN}
        attempt = {key: value for key, value in document.items() if key not in OF_RUN}
        return dict(start, attempts=[attempt])
    if document["kind"] == "ack":
        return {"kind": "ack", "tokens": [document["token"]]}
    return document


# What a result leaves out.
DEFAULTS = {"exit_code": -1, "signal": 0, "reason": None}


def singles(document):
    """A frame for each of its results."""
    if document["kind"] == "done":
        return [dict(DEFAULTS, kind="ended", token=token, outcome="success", outputs=None,
                     started_at=started, ended_at=ended)
                for token, started, ended in document["results"]]
    if document["kind"] != "ended":
        return [document]
    return [dict(result, kind="ended", outputs=result.get("outputs"))
            for result in (DEFAULTS | given for given in document["results"])]


class WorkerCase(unittest.TestCase):
    slots = 2

    def setUp(self):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="millrace-worker-"))
        self.state = self.base / "a state folder"
        self.state.mkdir()
        self.scheduler = Scheduler(self.state)
        self.count = 0
        self.worker = None
        self.start_worker()

    def restart_worker(self, **environment):
        self.worker.terminate()
        self.worker.wait()
        self.errors.close()
        self.scheduler.connection.close()
        self.start_worker(**environment)

    def start_worker(self, **environment):
        self.errors = open(self.base / "worker.err", "ab")
        self.worker = subprocess.Popen(
            [WORKER, "--state", self.state, "--base", self.base, "--slots", str(self.slots)],
            stderr=self.errors, env={**os.environ, **environment})
        self.hello = self.scheduler.accept(self.worker)
        self.instance = self.hello["instance"]

    def tearDown(self):
        if self.worker.poll() is None:
            self.worker.kill()
        self.worker.wait()
        self.errors.close()
        mark = f"MILLRACE_WORKER={self.instance}"
        self.assertTrue(eventually(lambda: not processes_with(mark)), "processes were left")
        locks = self.state / "workers"
        eventually(lambda: not list(locks.iterdir()))
        self.assertEqual(list(locks.rglob("*")), [], "files were left")
        if self.scheduler.connection:
            self.scheduler.connection.close()
        self.scheduler.listener.close()
        shutil.rmtree(self.base, ignore_errors=True)

    def document(self, argv=None, kind="command", **more):
        self.count += 1
        document = {
            "kind": "start", "token": f"token-{self.count}", "worker": self.instance,
            "dag_id": "dag", "task_id": f"task_{self.count}", "run_id": "manual__1", "run": 7,
            "task": self.count, "try_number": 1, "map_index": -1, "logical_date": 1767225600000000,
            "interval_start": 1767225600000000, "interval_end": 1767312000000000,
            "timezone": "UTC", "task_kind": kind, "options": {"argv": argv} if argv else {},
            "env": {}, "timeout": 0}
        document.update(more)
        return document

    def run_command(self, argv, **more):
        """Runs one attempt to its end; returns its `ended` frame."""
        document = self.document(argv, **more)
        self.scheduler.send(document)
        ended = self.scheduler.wait("ended", document["token"])
        self.scheduler.send(kind="ack", token=document["token"])
        return ended

    def log_of(self, number):
        path = self.state / "logs" / "7" / f"{number}.-1.1.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def error_text(self):
        return (self.base / "worker.err").read_text()


class Commands(WorkerCase):
    def test_success_has_a_log_and_leaves_no_folder(self):
        ended = self.run_command(["sh", "-c", "echo out; echo err >&2; printf partial"])
        self.assertEqual(
            (ended["outcome"], ended["exit_code"], ended["signal"]), ("success", 0, 0))
        self.assertIsNone(ended["outputs"])
        self.assertLessEqual(ended["started_at"], ended["ended_at"])
        lines = self.log_of(1).splitlines()
        for line in lines:
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z "
                                   r"(stdout|stderr|millrace) ")
        texts = [line.split(" ", 1)[1] for line in lines]
        self.assertIn("stdout out", texts)
        self.assertIn("stderr err", texts)
        self.assertIn("stdout partial", texts)
        self.assertTrue(texts[0].startswith("millrace attempt 1: sh -c "))
        self.assertTrue(texts[-1].startswith("millrace success after "))
        self.assertEqual(list((self.state / "attempts" / "7").iterdir()), [])

    def test_exit_codes_and_signals(self):
        for script, outcome, code, number, reason in [
                ("exit 3", "failed", 3, 0, "exit code 3"),
                ("exit 99", "skipped", 99, 0, "exit code 99"),
                ("kill -KILL $$", "failed", -1, 9, "killed by SIGKILL"),
                ("kill -SEGV $$", "failed", -1, 11, "killed by SIGSEGV"),
                ("exit 255", "failed", 255, 0, "exit code 255")]:
            with self.subTest(script=script):
                ended = self.run_command(["sh", "-c", script])
                self.assertEqual((ended["outcome"], ended["exit_code"], ended["signal"],
                                  ended["reason"]), (outcome, code, number, reason))

    def test_what_can_not_be_run_is_fatal_and_named(self):
        script = self.base / "script"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        text = self.base / "text"
        text.write_text("echo hi\n")
        for argv, more, words in [
                (["no-such-program-here"], {}, ["no-such-program-here", "PATH"]),
                (["/no/such/thing"], {}, ["/no/such/thing", "no such program"]),
                ([str(script)], {}, [str(script), "interpreter"]),
                ([str(text)], {}, [str(text), "not executable"]),
                ([""], {}, ["empty"]),
                (["true"], {"options": {"argv": ["true"], "cwd": "nowhere"}}, ["nowhere"]),
                (["true"], {"options": {"argv": []}}, ["argv is empty"]),
                (None, {"task_kind": "nonsense"}, ["nonsense"])]:
            with self.subTest(argv=argv, more=more):
                ended = self.run_command(argv, **more)
                self.assertEqual(ended["outcome"], "fatal")
                for word in words:
                    self.assertIn(word, ended["reason"])
        text.chmod(0o755)
        self.assertIn("#!/bin/sh", self.run_command([str(text)])["reason"])
        self.assertEqual(self.run_command(["true"])["outcome"], "success")

    def test_options_of_a_wrong_type_end_their_attempt_and_nothing_else(self):
        for options, reason in [
                ({"argv": ["echo", ["a"]]}, "argv[1] must be a string, not a list"),
                ({"argv": ["echo", "a", None]}, "argv[2] must be a string, not null"),
                ({"argv": [{"a": 1}, "b"]}, "argv[0] must be a string, not a map"),
                ({"argv": {"a": 1}}, "`argv` must be a string"),
                ({"argv": None}, "`argv` must be a string"),
                ({"argv": ["echo"], "cwd": ["a"]}, "`cwd` must be a string")]:
            with self.subTest(options=options):
                ended = self.run_command(None, options=options)
                self.assertEqual(ended["outcome"], "fatal")
                self.assertIn(reason, ended["reason"])
                self.assertEqual(self.run_command(["true"])["outcome"], "success")
        self.assertEqual(self.run_command(["echo", 5, True, 1.5])["outcome"], "success")
        self.assertIn("stdout 5 true 1.5", self.log_of(self.count))

    def test_environment_and_folders(self):
        os.mkdir(self.base / "sub")
        ended = self.run_command(
            None,
            options={"argv": ["sh", "-c",
                              "env; pwd; test -d \"$MILLRACE_TEMP\" && echo temp; "
                              "touch \"$MILLRACE_TEMP/x\"; "
                              "for i in 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$i && echo fd $i; "
                              "done; cat; echo stdin=$?; grep NoNewPrivs /proc/self/status; "
                              "ulimit -c"], "cwd": "sub"},
            env={"GREETING": "hello world", "PATH": os.environ["PATH"]})
        self.assertEqual(ended["outcome"], "success", self.log_of(1))
        texts = [line.split(" stdout ", 1)[1] for line in self.log_of(1).splitlines()
                 if " stdout " in line]
        for expected in [
                "GREETING=hello world", "MILLRACE_DAG_ID=dag", "MILLRACE_TASK_ID=task_1",
                "MILLRACE_RUN_ID=manual__1", "MILLRACE_TRY_NUMBER=1",
                "MILLRACE_LOGICAL_DATE=2026-01-01T00:00:00Z",
                "MILLRACE_DATA_INTERVAL_START=2026-01-01T00:00:00Z",
                "MILLRACE_DATA_INTERVAL_END=2026-01-02T00:00:00Z",
                "MILLRACE_ATTEMPT_TOKEN=token-1", "temp", "stdin=0", str(self.base / "sub"), "0"]:
            self.assertIn(expected, texts)
        self.assertIn("NoNewPrivs:\t1", texts)
        self.assertEqual([text for text in texts if text.startswith("fd ")], [])

    def test_the_workers_secrets_do_not_reach_a_command(self):
        self.restart_worker(MILLRACE_TOKEN="sesame", NOTIFY_SOCKET="/x", PLAIN="kept")
        self.run_command(["env"])
        self.assertNotIn("sesame", self.log_of(1))
        self.assertNotIn("NOTIFY_SOCKET", self.log_of(1))
        self.assertIn("stdout PLAIN=kept", self.log_of(1))

    def test_outputs(self):
        def write(text):
            return ["sh", "-c", 'printf "%s" "$1" > "$MILLRACE_OUTPUT"', "sh", text]
        ended = self.run_command(write('{"rows": 5, "list": [1, "a"]}'))
        self.assertEqual(ended["outputs"], {"rows": 5, "list": [1, "a"]})
        self.assertEqual(self.run_command(write(""))["outcome"], "success")
        for text, word in [("{", "can't be read"), ("[1]", "must be a JSON object"),
                           ('{"a": "%s"}' % ("x" * 70000), "65536")]:
            ended = self.run_command(write(text))
            self.assertEqual((ended["outcome"], ended["outputs"]), ("failed", None))
            self.assertIn(word, ended["reason"])

    def test_a_program_in_a_long_base_folder(self):
        self.assertGreater(len(str(self.state)), 20)
        deep = self.base / ("d" * 120) / ("e" * 120)
        deep.mkdir(parents=True)
        self.scheduler.listener.close()
        old = self.scheduler.connection
        self.state = deep
        self.scheduler = Scheduler(deep)
        self.scheduler.connection = old
        self.restart_worker()
        self.assertEqual(self.run_command(["true"])["outcome"], "success")

    def test_long_lines_are_cut_and_nothing_is_lost(self):
        self.run_command([sys.executable, "-c",
                          "import sys; sys.stdout.write('x' * 150000 + '\\nend\\n')"])
        texts = [line.split(" stdout ", 1)[1] for line in self.log_of(1).splitlines()
                 if " stdout " in line]
        self.assertEqual([len(text) for text in texts], [65536, 65536, 150000 - 2 * 65536, 3])

    def test_much_output_does_not_stop_the_task(self):
        ended = self.run_command(["sh", "-c", "head -c 90000000 /dev/zero | tr '\\0' 'y' | fold"])
        self.assertEqual(ended["outcome"], "success")
        path = self.state / "logs" / "7" / "1.-1.1.log"
        self.assertLess(path.stat().st_size, 64 * 1024 * 1024 + 4096)
        with open(path, "rb") as file:
            file.seek(-400, os.SEEK_END)
            tail = file.read()
        self.assertIn(b"the log is full", tail)
        self.assertIn(b"millrace success after", tail)

    def test_slots_are_kept_full_and_never_exceeded(self):
        gate = self.base / "gate"
        script = "echo $$ >> ran; while [ ! -e gate ]; do sleep 0.02; done"
        documents = [self.document(["sh", "-c", script]) for _ in range(5)]
        self.scheduler.send(*documents)
        for document in documents[:2]:
            self.scheduler.wait("started", document["token"])
        self.assertTrue(self.scheduler.is_quiet(0.3))
        self.assertTrue(eventually(
            lambda: len((self.base / "ran").read_text().splitlines()) == 2))
        gate.touch()
        for document in documents:
            self.assertEqual(self.scheduler.wait("ended", document["token"])["outcome"], "success")


class Tokens(WorkerCase):
    def test_a_token_starts_once(self):
        script = 'echo "$MILLRACE_ATTEMPT_TOKEN" >> ledger; sleep 0.2'
        document = self.document(["sh", "-c", script])
        self.scheduler.send(document, document)
        self.scheduler.send(document)
        self.scheduler.wait("ended", document["token"])
        self.scheduler.send(document)  # ended, not acknowledged: the result again, no start
        self.scheduler.wait("ended", document["token"])
        self.assertEqual((self.base / "ledger").read_text(), "token-1\n")

    def test_a_start_for_another_worker_is_refused(self):
        self.scheduler.send(self.document(["touch", "ran"], worker="someone-else"))
        self.assertEqual(self.run_command(["true"])["outcome"], "success")
        self.assertFalse((self.base / "ran").exists())

    def test_results_survive_a_dead_scheduler(self):
        quick = self.document(["sh", "-c", "echo quick >> ledger"])
        slow = self.document(["sh", "-c", "while [ ! -e gate ]; do sleep 0.02; done; "
                                          "echo slow >> ledger"])
        self.scheduler.send(quick, slow)
        self.scheduler.wait("ended", quick["token"])
        self.scheduler.wait("started", slow["token"])
        self.scheduler.drop()
        (self.base / "gate").touch()
        self.assertTrue(eventually(lambda: "slow" in (self.base / "ledger").read_text()))
        self.scheduler.listen()
        hello = self.scheduler.accept()
        self.assertEqual(hello["instance"], self.instance)
        self.assertEqual(set(hello["tokens"]), {quick["token"], slow["token"]})
        for document in (quick, slow):
            ended = self.scheduler.wait("ended", document["token"])
            self.assertEqual(ended["outcome"], "success")
            self.scheduler.send(kind="ack", token=document["token"])
        self.assertEqual(self.run_command(["true"])["outcome"], "success")
        self.scheduler.drop()
        self.scheduler.listen()
        self.assertEqual(self.scheduler.accept()["tokens"], [])

    def test_an_older_scheduler_is_refused(self):
        self.scheduler.drop()
        self.scheduler.listen()
        self.scheduler.epoch = 50
        self.scheduler.accept()
        self.run_command(["true"])
        self.scheduler.drop()
        self.scheduler.listen()
        self.scheduler.epoch = 10
        self.scheduler.accept()
        with self.assertRaises((EOFError, ConnectionError)):
            self.scheduler.receive()

    def test_nonsense_closes_the_connection_and_harms_nobody(self):
        running = self.document(["sh", "-c", "while [ ! -e gate ]; do sleep 0.02; done"])
        self.scheduler.send(running)
        self.scheduler.wait("started", running["token"])
        for nonsense in [b"\x05\0\0\0hello", b"\xff\xff\xff\xff", b"\x02\0\0\0{}",
                         b'\x0f\0\0\0{"kind":"what"}'[:4 + 15]]:
            self.scheduler.connection.sendall(nonsense)
            with self.assertRaises((EOFError, ConnectionError)):
                while True:
                    self.scheduler.receive()
            self.assertEqual(self.scheduler.accept()["tokens"], [running["token"]])
        (self.base / "gate").touch()
        self.assertEqual(self.scheduler.wait("ended", running["token"])["outcome"], "success")


class Ends(WorkerCase):
    STUBBORN = ("import os, signal, time\n"
                "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                "for i in range(3):\n"
                "    if os.fork() == 0: break\n"
                "open('pids', 'a').write(str(os.getpid()) + '\\n')\n"
                "time.sleep(600)\n")
    DAEMON = ("import os, time\n"
              "if os.fork() == 0:\n"
              "    os.setsid()\n"
              "    if os.fork() == 0:\n"
              "        os.setpgid(0, 0)\n"
              "        open('pids', 'a').write(str(os.getpid()) + '\\n')\n"
              "        time.sleep(600)\n"
              "    os._exit(0)\n"
              "while not os.path.exists('pids'): time.sleep(0.01)\n")

    def pids(self):
        path = self.base / "pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def test_timeout_kills_the_stubborn_and_its_children(self):
        document = self.document([sys.executable, "-c", self.STUBBORN], timeout=1000000)
        self.scheduler.send(document)
        self.scheduler.wait("started", document["token"])
        self.assertTrue(eventually(lambda: len(self.pids()) == 4))
        ended = self.scheduler.wait("ended", document["token"])
        self.assertEqual((ended["outcome"], ended["reason"], ended["signal"]),
                         ("timeout", "timeout after 1s", 9))
        self.assertEqual([pid for pid in self.pids() if is_alive(pid)], [])

    def test_stop_is_gentle_first(self):
        document = self.document(
            ["sh", "-c", "trap 'echo bye; exit 0' TERM; touch up; while :; do sleep 0.02; done"])
        self.scheduler.send(document)
        self.assertTrue(eventually((self.base / "up").exists))
        self.scheduler.send(kind="stop", token=document["token"], reason="cancelled")
        ended = self.scheduler.wait("ended", document["token"])
        self.assertEqual((ended["outcome"], ended["reason"]), ("stopped", "cancelled"))
        self.assertIn("stdout bye", self.log_of(1))

    def test_stop_of_one_that_waits(self):
        blockers = [self.document(["sleep", "600"]) for _ in range(2)]
        waiting = self.document(["touch", "ran"])
        self.scheduler.send(*blockers, waiting)
        self.scheduler.send(kind="stop", token=waiting["token"], reason="cancelled")
        ended = self.scheduler.wait("ended", waiting["token"])
        self.assertEqual((ended["outcome"], ended["started_at"]), ("stopped", 0))
        self.assertFalse((self.base / "ran").exists())

    def test_leftovers_are_killed_before_the_end(self):
        ended = self.run_command([sys.executable, "-c", self.DAEMON])
        self.assertEqual(ended["outcome"], "success")
        self.assertEqual(len(self.pids()), 1)
        self.assertFalse(is_alive(self.pids()[0]))

    def test_a_background_child_does_not_hold_the_end_up(self):
        ended = self.run_command(["sh", "-c", "sleep 600 & echo $! >> pids"])
        self.assertEqual(ended["outcome"], "success")
        self.assertFalse(is_alive(self.pids()[0]))

    def test_kill_of_the_worker_kills_everything(self):
        daemon = self.DAEMON + "time.sleep(600)\n"
        documents = [self.document([sys.executable, "-c", self.STUBBORN]),
                     self.document([sys.executable, "-c", daemon])]
        self.scheduler.send(*documents)
        self.assertTrue(eventually(lambda: len(self.pids()) >= 4))
        lock = self.state / "workers" / f"{self.instance}.lock"
        self.assertTrue(lock.exists())
        self.worker.kill()
        self.worker.wait()
        self.assertTrue(eventually(lambda: not lock.exists()))
        self.assertEqual([pid for pid in self.pids() if is_alive(pid)], [])

    def test_a_new_worker_removes_stale_locks_only(self):
        folder = self.state / "workers"
        (folder / "dead.lock").touch()
        (folder / "dead" / "0" / "temp").mkdir(parents=True)
        (folder / "forgotten" / "0" / "temp").mkdir(parents=True)
        second = subprocess.Popen([WORKER, "--state", self.state, "--base", self.base],
                                  stderr=self.errors)
        self.assertTrue(eventually(lambda: not (folder / "dead.lock").exists()))
        self.assertFalse((folder / "dead").exists())
        self.assertTrue(eventually(lambda: not (folder / "forgotten").exists()))
        self.assertTrue((folder / f"{self.instance}.lock").exists())
        # Killed before it has a guard, it would leave its own lock to the next worker.
        self.assertTrue(eventually(lambda: self.error_text().count("worker_started") == 2))
        second.kill()
        second.wait()

    def test_a_new_worker_removes_the_folders_of_a_killed_one_only(self):
        script = ('cd "$MILLRACE_TEMP"; touch x ../outputs.json; pwd >> ../../../../up; '
                  "sleep 600")
        documents = [self.document(["sh", "-c", script], run=run) for run in (7, 8)]
        self.scheduler.send(*documents)
        up = self.state / "up"
        self.assertTrue(eventually(lambda: up.exists() and len(up.read_text().splitlines()) == 2))
        folders = sorted(pathlib.Path(line).parent for line in up.read_text().splitlines())
        report = folders[0] / "report.json"
        report.touch()
        lock = self.state / "workers" / f"{self.instance}.lock"

        def start_second():
            seen = self.error_text().count("worker_started")
            second = subprocess.Popen([WORKER, "--state", self.state, "--base", self.base],
                                      stderr=self.errors)
            self.assertTrue(eventually(
                lambda: self.error_text().count("worker_started") > seen))
            second.terminate()
            self.assertEqual(second.wait(WAIT_S), 0)
        start_second()
        for folder in folders:
            self.assertTrue((folder / "temp" / "x").exists())
        self.worker.kill()
        self.worker.wait()
        self.assertTrue(eventually(lambda: not lock.exists()))
        start_second()
        self.assertEqual(list(folders[0].iterdir()), [report])
        self.assertFalse(folders[1].parent.exists())

    def test_drain_lets_the_running_end(self):
        running = [self.document(["sh", "-c", "while [ ! -e gate ]; do sleep 0.02; done"])
                   for _ in range(2)]
        waiting = self.document(["touch", "ran"])
        self.scheduler.send(*running, waiting)
        for document in running:
            self.scheduler.wait("started", document["token"])
        self.worker.send_signal(signal.SIGTERM)
        ended = self.scheduler.wait("ended", waiting["token"])
        self.assertEqual((ended["outcome"], ended["started_at"]), ("worker_lost", 0))
        late = self.document(["touch", "ran"])
        self.scheduler.send(late)
        self.assertEqual(self.scheduler.wait("ended", late["token"])["outcome"], "worker_lost")
        (self.base / "gate").touch()
        for document in running:
            self.assertEqual(self.scheduler.wait("ended", document["token"])["outcome"], "success")
        for document in running + [waiting, late]:
            self.scheduler.send(kind="ack", token=document["token"])
        self.assertEqual(self.worker.wait(WAIT_S), 0)
        self.assertFalse((self.base / "ran").exists())

    def test_a_second_signal_stops_the_running(self):
        document = self.document(["sh", "-c", "touch up; sleep 600"])
        self.scheduler.send(document)
        self.assertTrue(eventually((self.base / "up").exists))
        self.worker.send_signal(signal.SIGTERM)
        self.assertTrue(eventually(lambda: "draining" in self.error_text()))
        self.worker.send_signal(signal.SIGTERM)
        ended = self.scheduler.wait("ended", document["token"])
        self.assertEqual(ended["outcome"], "worker_lost")
        self.scheduler.send(kind="ack", token=document["token"])
        self.assertEqual(self.worker.wait(WAIT_S), 0)


class Terminal(WorkerCase):
    """A worker that was started by hand, as a shell does it: a group of its own in front."""

    SHELL = ("import fcntl, os, signal, subprocess, sys, termios\n"
             "os.setsid()\n"
             "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
             "signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n"
             "def front():\n"
             "    os.setpgid(0, 0)\n"
             "    os.tcsetpgrp(0, os.getpid())\n"
             "worker = subprocess.Popen(sys.argv[1:], preexec_fn=front)\n"
             "signal.signal(signal.SIGTERM, lambda *_: worker.terminate())\n"
             "sys.exit(worker.wait())\n")

    def start_worker(self, **environment):
        self.errors = open(self.base / "worker.err", "ab")
        self.terminal, inner = os.openpty()
        self.addCleanup(os.close, self.terminal)
        self.worker = subprocess.Popen(
            [sys.executable, "-c", self.SHELL, WORKER, "--state", self.state, "--base", self.base],
            stdin=inner, stdout=inner, stderr=self.errors)
        os.close(inner)
        self.hello = self.scheduler.accept(self.worker)
        self.instance = self.hello["instance"]

    def test_an_attempt_has_no_terminal_and_the_worker_still_hears_ctrl_c(self):
        ended = self.run_command(["sh", "-c", "read line < /dev/tty"], timeout=5000000)
        self.assertEqual(ended["outcome"], "failed")
        self.assertIn("/dev/tty", self.log_of(1))
        os.write(self.terminal, b"\x03")
        self.assertEqual(self.worker.wait(WAIT_S), 0)


class Noops(WorkerCase):
    def test_many_noops_through_the_window(self):
        documents = [self.document(kind="start", task_kind="noop") for _ in range(5000)]
        window = self.hello["shared_slots"]
        sent = min(window, len(documents))
        self.scheduler.send(*documents[:sent])
        seen = set()
        while len(seen) < len(documents):
            ended = self.scheduler.wait("ended")
            self.assertEqual(ended["outcome"], "success")
            self.assertNotIn(ended["token"], seen)
            seen.add(ended["token"])
            out = [{"kind": "ack", "token": ended["token"]}]
            if sent < len(documents):
                out.append(documents[sent])
                sent += 1
            self.scheduler.send(*out)
        self.assertEqual(len(seen), 5000)
        self.assertFalse((self.state / "logs").exists())

    def test_a_killed_shared_runner_is_replaced(self):
        self.assertEqual(self.run_command(None, task_kind="noop")["outcome"], "success")
        [shared] = [pid for pid in children_of(self.worker.pid) if "shared" in command_line(pid)]
        os.kill(shared, signal.SIGKILL)
        self.assertTrue(eventually(lambda: not is_alive(shared)))

        def noop_succeeds():
            return self.run_command(None, task_kind="noop")["outcome"] == "success"
        self.assertTrue(eventually(noop_succeeds))


class Data(WorkerCase):
    def test_options_that_make_no_sense_are_fatal_and_logged(self):
        ended = self.run_command(None, task_kind="ingest", options={"source": "none/*.csv"})
        self.assertIn(ended["outcome"], ("fatal", "failed"))
        self.assertTrue(ended["reason"])
        self.assertIn("millrace attempt 1: ingest", self.log_of(1))

    def test_a_killed_runner_is_a_failed_attempt(self):
        endless = {"inputs": {}, "query": "SELECT count(*) AS n FROM range(1000000000000) WHERE range % 7 = 3",
                   "target": "lake/x"}
        document = self.document(task_kind="sql", timeout=0, options=endless)
        self.scheduler.send(document)
        os.kill(self.scheduler.wait("started", document["token"])["pid"], signal.SIGKILL)
        ended = self.scheduler.wait("ended", document["token"])
        self.assertEqual((ended["outcome"], ended["signal"]), ("failed", signal.SIGKILL))
        self.assertFalse(os.path.exists(os.path.join(self.base, "lake/x")))

        again = self.run_command(None, task_kind="sql", options={**endless, "query": "SELECT 1 AS one"})
        self.assertEqual(again["outcome"], "success", again["reason"])
        self.assertEqual(again["outputs"]["rows_out"], 1)
        self.assertTrue(os.path.exists(os.path.join(self.base, "lake/x/_manifest.json")))

    def test_runners_are_kept_ready_and_not_more_than_slots(self):
        self.run_command(None, task_kind="ingest", options={})
        mark = f"MILLRACE_WORKER={self.instance}"
        self.assertTrue(eventually(lambda: len(processes_with(mark)) == self.slots))


class Arguments(unittest.TestCase):
    def test_bad_arguments(self):
        for arguments in [[], ["--state"], ["--state", "/tmp/x", "--slots", "0"],
                          ["--state", "/tmp/x", "--slots", "many"], ["--nonsense"],
                          ["--state", "/tmp/x", "--memory", "1"], ["--state", "/tmp/x", "extra"],
                          ["--state", "/tmp", "--base", "/no/such/folder"]]:
            with self.subTest(arguments=arguments):
                done = subprocess.run([WORKER] + arguments, capture_output=True, timeout=WAIT_S)
                self.assertEqual(done.returncode, 2)
                self.assertTrue(done.stderr)

    def test_without_its_runner(self):
        with tempfile.TemporaryDirectory() as folder:
            alone = shutil.copy(WORKER, folder)
            done = subprocess.run([alone, "--state", os.path.join(folder, "state")],
                                  capture_output=True, timeout=WAIT_S, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn(os.path.join(folder, "millrace-runner"), done.stderr)
            self.assertIn("install it beside millrace-worker", done.stderr)

    def test_with_a_runner_that_is_no_program(self):
        with tempfile.TemporaryDirectory() as folder:
            program = shutil.copy(MILLRACE, folder)
            shutil.copy(WORKER, folder)
            path = os.path.join(folder, "millrace-runner")
            for text, mode, said in (("junk", 0o755, "is not a program"), ("#!/bin/sh\n", 0o644, "is not executable")):
                pathlib.Path(path).write_text(text)
                os.chmod(path, mode)
                pathlib.Path(folder, "q.yaml").write_text(
                    "dag_id: q\ntasks: {s: {type: sql, with: {inputs: {}, query: SELECT 1 AS n, target: lake/x}}}\n")
                done = subprocess.run([program, "run", "q.yaml"], cwd=folder, capture_output=True, timeout=WAIT_S,
                                      text=True)
                self.assertEqual(done.returncode, 6, done.stderr)
                self.assertIn("millrace-runner: can't run", done.stderr)
                self.assertIn(said, done.stderr)

    def test_version(self):
        done = subprocess.run([WORKER, "--version"], capture_output=True, timeout=WAIT_S)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout.decode(), r"^millrace-worker \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    unittest.main()
