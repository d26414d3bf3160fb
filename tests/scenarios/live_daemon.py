"""The real scheduler for live.py: its process and clock, and the workers and the client that we play."""
import fcntl
import json
import mmap
import os
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from harness import wire_protocol  # noqa: E402 (its folder is known only now)

LIMIT_S = 60  # against hanging, never a measure
PROTOCOL = wire_protocol()


class Trouble(Exception):
    """The scheduler did not do what every scheduler does: it ended, or it did not answer."""


class Connection:
    """Frames over the scheduler's socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(path)
        self.bytes = b""

    def send(self, **document):
        text = json.dumps(document).encode()
        try:
            self.socket.sendall(struct.pack("<I", len(text)) + text)
        except OSError as error:
            raise Trouble(f"send {document}: {error}") from error

    def next(self, wait=True):
        """The next frame; None where there is none and we don't wait."""
        while True:
            if len(self.bytes) >= 4:
                (length,) = struct.unpack("<I", self.bytes[:4])
                if len(self.bytes) >= 4 + length:
                    text, self.bytes = self.bytes[4:4 + length], self.bytes[4 + length:]
                    return json.loads(text)
            if not wait and not select.select([self.socket], [], [], 0)[0]:
                return None
            try:
                piece = self.socket.recv(1 << 16)
            except OSError as error:
                raise Trouble(f"no answer: {error}") from error
            if not piece:
                if not wait:
                    return None
                raise Trouble("the scheduler closed the connection")
            self.bytes += piece

    def close(self):
        self.socket.close()


class Worker:
    """A worker as the scheduler sees it: a lock that is held, a connection, tokens."""

    def __init__(self, name):
        self.name = name
        self.slots = {"slots": 1, "backlog": 0, "shared": 0, "light": 0,
                      "callbacks": 0}
        self.connection = None
        self.hears = False  # what it is told arrives
        self.tokens = set()
        self.lock = None
        self.epoch = 0  # of the scheduler it last spoke with


class Daemon:
    def __init__(self, millrace, preload, base_us):
        self.millrace = millrace
        self.preload = preload
        # In memory where there is such a place: nobody pulls the plug here.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.mkdtemp(prefix="millrace-live-", dir=memory)
        self.state = os.path.join(self.folder, ".millrace")
        os.makedirs(os.path.join(self.state, "workers"), mode=0o700)
        os.mkdir(os.path.join(self.folder, "dags"))
        self.workers = {}
        self.process = None
        self.client = None
        self.epoch = 0
        self.files = 0
        self.last_id = 0
        clock = os.path.join(self.folder, "clock")
        with open(clock, "wb") as file:
            file.write(struct.pack("=qii", base_us, 1, 0))
        self.clock_path = clock
        with open(clock, "r+b") as file:
            self.clock = mmap.mmap(file.fileno(), 16)

    # the clock

    def set_time(self, now_us):
        self.clock[0:8] = struct.pack("=q", now_us)

    def now(self):
        return struct.unpack("=q", self.clock[0:8])[0]

    def hold(self, is_held):
        self.clock[8:12] = struct.pack("=i", is_held)

    def is_due(self):
        return struct.unpack("=i", self.clock[12:16])[0] != 0

    # the process

    def settings(self, pools):
        with open(os.path.join(self.folder, "millrace.yaml"), "w") as file:
            json.dump({"dags_folder": "dags",
                       "pools": {name: {"slots": slots} for name, slots in pools.items()}}, file)

    def start(self):
        self.epoch += 1
        preload = ":".join(filter(None, [self.preload, os.environ.get("LD_PRELOAD")]))
        environment = dict(os.environ, LD_PRELOAD=preload, HELDCLOCK=self.clock_path)
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [self.millrace, "scheduler", "--state", self.state, "--parent", str(os.getpid())], cwd=self.folder, stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, env=environment)
        end = time.monotonic() + LIMIT_S
        while self.client is None:
            try:
                self.client = Connection(self.socket_path())
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise Trouble("the scheduler did not start: " + self.log()) from None
                time.sleep(0.002)
        self.client.send(kind="web_hello", protocol=PROTOCOL)
        self.settle()

    def socket_path(self):
        return os.path.join(self.state, "scheduler.sock")

    def log(self):
        with open(os.path.join(self.folder, "log")) as file:
            return file.read()[-4000:]

    def kill(self):
        """As a crash does it. The workers live on, with what they have."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self.client is not None:
            self.client.close()
        self.client = None
        for worker in self.workers.values():
            if worker.connection is not None:
                worker.connection.close()
            worker.connection = None
        if os.path.exists(self.socket_path()):
            os.unlink(self.socket_path())  # or we would connect to the dead one's

    def remove(self):
        self.kill()
        if "MILLRACE_KEEP" in os.environ:
            print("kept:", self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def read(self):
        """A connection that only reads the store."""
        return sqlite3.connect(f"file:{self.state}/state.db?mode=ro", uri=True)

    # the client

    def command(self, name, **members):
        """Its reply: after the commit."""
        self.last_id += 1
        self.client.send(kind="command", id=self.last_id, command=name, **members)
        while True:
            frame = self.client.next()
            if frame["kind"] == "reply" and frame["id"] == self.last_id:
                return frame

    def barrier(self):
        self.command("set_paused", dag_id="nobody", is_paused=True)

    def settle(self):
        """All that was sent has been handled, and its turn's timer is set."""
        self.barrier()
        self.barrier()

    def tick(self):
        """What is due is done, until nothing is."""
        self.hold(0)
        while True:
            self.settle()
            if not self.is_due():
                break
        self.hold(1)
        self.settle()

    def write_dag(self, name, text):
        """Old enough for the scheduler to take it for whole."""
        self.files += 1
        temporary = os.path.join(self.folder, "new")
        with open(temporary, "w") as file:
            file.write(text)
        at_ns = (self.now() - 3600000000 + self.files) * 1000
        os.utime(temporary, ns=(at_ns, at_ns))
        os.rename(temporary, os.path.join(self.folder, "dags", name + ".yaml"))
        self.command("reparse")

    def remove_dag(self, name):
        os.unlink(os.path.join(self.folder, "dags", name + ".yaml"))
        self.command("reparse")

    # the workers

    def worker(self, name):
        return self.workers.setdefault(name, Worker(name))

    def lock_path(self, worker):
        return os.path.join(self.state, "workers", worker.name + ".lock")

    def up(self, worker, tokens=None):
        if worker.lock is None:
            worker.lock = os.open(self.lock_path(worker), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(worker.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        former, worker.connection = worker.connection, Connection(self.socket_path())
        worker.hears = True
        worker.epoch = self.epoch
        tokens = worker.tokens if tokens is None else tokens
        worker.connection.send(
            kind="worker_hello", protocol=PROTOCOL, instance=worker.name, pid=os.getpid(),
            slots=worker.slots["slots"], backlog=worker.slots["backlog"],
            shared_slots=worker.slots["shared"], light_slots=worker.slots["light"],
            callback_slots=worker.slots["callbacks"],
            tokens=sorted(tokens))
        frame = worker.connection.next()
        if frame["kind"] != "welcome" or frame["epoch"] != self.epoch:
            raise Trouble(f"instead of a welcome: {frame}")
        if former is not None:
            former.close()

    def gone(self, worker):
        """It dies: its connection and its lock go with it. The lock's file is the scheduler's to
        remove, once it has found that nobody holds it."""
        with self.read() as store:
            bound = store.execute("SELECT count(*) FROM attempt WHERE worker = ? AND "
                                  "state IN ('queued', 'running')", [worker.name]).fetchone()[0]
        is_expected = worker.lock is not None and (worker.epoch == self.epoch or bound > 0)
        if worker.connection is not None:
            worker.connection.close()
        worker.connection = None
        worker.tokens.clear()
        if worker.lock is not None:
            os.close(worker.lock)
        worker.lock = None
        end = time.monotonic() + LIMIT_S
        while is_expected and os.path.exists(self.lock_path(worker)):
            if time.monotonic() > end:
                raise Trouble(f"worker {worker.name} is gone, and nobody notices")
            time.sleep(0.005)

    def reporter(self, name):
        """The worker that has an attempt, or any that is connected."""
        worker = self.workers.get(name)
        if worker is not None and worker.connection is not None:
            return worker
        for other in self.workers.values():
            if other.connection is not None:
                return other
        raise Trouble("no worker is connected that could report it")

    def told(self):
        """[(worker, frame)]: what the workers were told since."""
        frames = []
        for worker in self.workers.values():
            while worker.connection is not None:
                frame = worker.connection.next(wait=False)
                if frame is None:
                    break
                frames.append((worker, frame))
        return frames
