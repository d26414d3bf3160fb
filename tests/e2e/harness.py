"""What the end-to-end tests share: a project folder of their own, the real binaries, a server.

Needs nothing but Python's standard library. The environment names the build (MILLRACE_BUILD) and the
source tree (MILLRACE_SOURCE); without them build/dev of the tree this file is in.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

SOURCE = os.environ.get("MILLRACE_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get("MILLRACE_BUILD", os.path.join(SOURCE, "build", "dev"))
MILLRACE = os.path.join(BUILD, "cli", "millrace")
WORKER = os.path.join(BUILD, "worker", "millrace-worker")
DUCKQ = os.path.join(BUILD, "tests", "tools", "duckq")
CHURN_DATA = os.path.join(BUILD, "deploy", "churn-data")
SHARED_DATA = os.path.join(os.path.dirname(SOURCE), "shared", "data")
SANITIZED = "asan" in os.path.basename(BUILD)

SKIPPED = 77


def wire_protocol():
    """The version of the wire messages, from their contract."""
    with open(os.path.join(SOURCE, "include", "millrace", "messages.h")) as file:
        return int(re.search(r"#define MESSAGES_PROTOCOL (\d+)", file.read()).group(1))


def skip_all(reason):
    """Ends the script as skipped, saying why."""
    print("skipped:", reason)
    sys.exit(SKIPPED)


def wait_until(check, seconds=60, what="the condition", every=0.02):
    """Polls until check() gives a true value, which it returns. The bound is there to end a hang."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(every)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Project:
    """A folder with dags/ and a state folder; deleted at the end unless MILLRACE_KEEP is set."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="millrace-test-")
        os.mkdir(self.path("dags"))
        self.write("millrace.yaml", "dags_folder: dags\n")
        self.servers = []

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = path + ".part"
        with open(temporary, "w") as file:
            file.write(text)
        os.replace(temporary, path)
        return path

    def command(self, *args, **kwargs):
        """Runs `millrace args…` to its end and returns the CompletedProcess (text)."""
        kwargs.setdefault("timeout", 300)
        return subprocess.run([MILLRACE, *args], cwd=self.folder, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, **kwargs)

    def start(self, *args, log="process.log"):
        """Starts `millrace args…` in a session of its own and returns the Popen."""
        with open(self.path(log), "ab") as output:
            return subprocess.Popen([MILLRACE, *args], cwd=self.folder, stdin=subprocess.DEVNULL,
                                    stdout=output, stderr=output, start_new_session=True)

    def serve(self, *args):
        """Starts `millrace serve` and waits until its API answers; returns a Server."""
        server = Server(self, free_port(), args)
        self.servers.append(server)
        return server

    def processes(self):
        """pid → argv of all processes whose working folder or arguments name this project."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    argv = file.read().decode(errors="replace").split("\0")[:-1]
                cwd = os.readlink(f"/proc/{pid}/cwd")
            except OSError:
                continue
            if int(pid) != os.getpid() and argv and (cwd.startswith(self.folder) or
                                                     any(self.folder in arg for arg in argv)):
                found[int(pid)] = argv
        return found

    def pids(self, *words):
        """The processes of this project whose arguments hold all words."""
        return [pid for pid, argv in self.processes().items()
                if all(any(word in arg for arg in argv) for word in words)]

    def kill_all(self):
        for server in self.servers:
            server.stop()
        for _ in range(3):
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(0.05)

    def remove(self):
        self.kill_all()
        if "MILLRACE_KEEP" not in os.environ:
            shutil.rmtree(self.folder, ignore_errors=True)


class Server:
    def __init__(self, project, port, args):
        self.project = project
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process = project.start("serve", "--port", str(port), *args, log="serve.log")
        wait_until(self.is_up, what="the server's answer")

    def is_up(self):
        if self.process.poll() is not None:
            with open(self.project.path("serve.log")) as file:
                raise AssertionError("serve ended: " + file.read())
        try:
            health = self.get("/api/v2/monitor/health")
            return health["scheduler"]["status"] == "healthy"
        except (OSError, ValueError):
            return False

    def request(self, method, path, body=None, headers=None):
        """(status, parsed answer or text)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, raw = error.code, error.read()
        try:
            return status, json.loads(raw) if raw else None
        except ValueError:
            return status, raw.decode(errors="replace")

    def get(self, path):
        status, answer = self.request("GET", path)
        if status != 200:
            raise ValueError(f"GET {path}: {status} {answer}")
        return answer

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Case(unittest.TestCase):
    """A test case with a project folder."""

    def setUp(self):
        self.project = Project()
        self.addCleanup(self.project.remove)


def contents(folder):
    """path → the "content" part of every manifest below a folder."""
    found = {}
    for root, _, files in os.walk(folder):
        if "_manifest.json" in files and ".millrace" not in root:
            with open(os.path.join(root, "_manifest.json")) as file:
                found[os.path.relpath(root, folder)] = json.load(file)["content"]
    return found
