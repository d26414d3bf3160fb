"""What the benchmarks share: a folder, programs to run and time, pairs to compare, lines to print."""
import json
import os
import pathlib
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from harness import wire_protocol

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}


class Folder:
    """One folder for all of a benchmark's files, deleted at the end and not between the rounds: a
    file system is slow for seconds after much was deleted."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="millrace-bench-"))
        self.states = 0

    def new_state(self):
        self.states += 1
        return str(self.path / f"state-{self.states}")

    def remove(self):
        shutil.rmtree(self.path)


def spawn(argv, folder, **environment):
    return subprocess.Popen([str(word) for word in argv], cwd=folder,
                            env=dict(ENVIRONMENT, **environment), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run(argv, folder, **environment):
    done = subprocess.run([str(word) for word in argv], cwd=folder,
                          env=dict(ENVIRONMENT, **environment), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{argv}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wall(argv, folder, **environment):
    begin = time.monotonic()
    run(argv, folder, **environment)
    return time.monotonic() - begin


def status_kb(pid, name):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1])
    return 0


def peak_kb(argv, folder):
    """The most memory a program itself had resident, without those it starts."""
    process = spawn(argv, folder)
    peak = 0
    while process.poll() is None:
        peak = max(peak, status_kb(process.pid, "VmHWM"))
        time.sleep(0.01)
    if process.returncode != 0:
        sys.exit(f"{argv}: exit code {process.returncode}")
    return peak


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def command(state, document):
    """Gives a scheduler a command as web does; returns the reply."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        folder = os.open(state, os.O_PATH | os.O_DIRECTORY)
        link.connect(f"/proc/self/fd/{folder}/scheduler.sock")
        os.close(folder)
        for one in ({"kind": "web_hello", "protocol": wire_protocol()},
                    dict(document, kind="command", id=1)):
            text = json.dumps(one).encode()
            link.sendall(struct.pack("<I", len(text)) + text)
        with link.makefile("rb") as file:
            while True:
                (length,) = struct.unpack("<I", file.read(4))
                answer = json.loads(file.read(length))
                if answer["kind"] == "reply":
                    if "error" in answer:
                        sys.exit(f"{document}: {answer['error']}")
                    return answer


def compare(rounds, ours, theirs):
    """Medians of ours, theirs and of the ratio of each pair."""
    pairs = []
    for i in range(rounds):
        if i % 2 == 0:
            mine, other = ours(), theirs()
        else:
            other, mine = theirs(), ours()
        pairs.append((mine, other))
    return (statistics.median(pair[0] for pair in pairs),
            statistics.median(pair[1] for pair in pairs),
            statistics.median(pair[0] / pair[1] for pair in pairs))


def header():
    print(f"{'what':<38} {'ratio':>7}   {'goal aim':<10} {'ours':>11} {'':<15} {'yardstick':>11}")


def show(name, result, ours, theirs, goal, scale=1000, unit="ms"):
    print(f"{name:<38} {result[2]:5.3f} x   {goal:<10} {result[0] * scale:8.2f} {unit} {ours:<15} "
          f"{result[1] * scale:8.2f} {unit} {theirs}", flush=True)


def tell(name, value, unit, goal):
    """A figure that is no ratio."""
    print(f"{name:<38} {'':7}   {goal:<10} {value:8.2f} {unit}", flush=True)
