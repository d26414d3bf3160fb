#!/usr/bin/env python3
"""Runs one scenario on the live scheduler: live.py FILE. See README.md.

The process, its store, its sockets, its DAG folder and its loop are the real ones; we are the
workers and the client, and our clock is its clock. What was decided is read from the store and from
the frames, and compared with what the script says behind `->`.
"""
import datetime
import json
import os
import re
import sys

from live_daemon import Daemon, Trouble
from live_dag import dag_file
from live_store import Store

SOURCE = os.environ.get("MILLRACE_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get("MILLRACE_BUILD", os.path.join(SOURCE, "build", "dev"))
MILLRACE = os.path.join(BUILD, "cli", "millrace")
PRELOAD = os.path.join(BUILD, "tests", "scenarios", "libheldclock.so")
BASE_US = 1767225600000000
SKIPPED = 77
UNITS_US = {"ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}

FLAGS = {"upstream": "upstream", "downstream": "downstream", "only_failed": "only_failed",
         "only_running": "only_running", "past": "include_past", "future": "include_future",
         "keep_run": "keep_runs", "not_running": "refuse_running", "latest": "on_latest_version",
         "cancel": "cancel", "force": "force"}


def time_us(base_us, word):
    if re.fullmatch(r"(\d+(ms|s|m|h|d))+", word):
        return base_us + sum(int(number) * UNITS_US[unit]
                             for number, unit in re.findall(r"(\d+)(ms|s|m|h|d)", word))
    when = datetime.datetime.fromisoformat(word.replace("Z", "+00:00"))
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.timezone.utc)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (when - epoch) // datetime.timedelta(microseconds=1)


REFUSALS = {r"^error \S+ `?max_active_runs`? must be": "error: max_active_runs must be",
            r"^error bad_request: (the run id '|`run_id` must be).*": "error: run_id"}


# What can't be the same on the core alone and on the live scheduler: one place for all of it.

def comparable(lines):
    """(all lines in an order of their own, the transitions as they were decided, the starts).

    - A wake-up is told by the core only. That what is due is done at `tick`, and nothing before,
      shows in what the ticks decide.
    - The last digits of a run_id by hand come from the state folder's name, likewise tokens.
    - Within a turn only the last figures of a backfill are stored, and only the last reason of what
      stays in its state. That a run begins anew is stored as that it is queued.
    - What is wrong with a command by itself is found where it is read, in other words.
    - What a DAG drops of its news shows in what its runs take later.
    - Tasks that go back to none with their run are not told one by one.
    - The order of what is decided in a turn is not stored, but of starts (the frames' order, by run)
      and of transitions.
    """
    kept = []
    for line in lines:
        line = re.sub(r"\b(manual__\S+)_[0-9a-f]{8}\b", r"\1", line)
        line = re.sub(r"^backfill new ", "backfill ", line)
        line = re.sub(r"^(r\d+) reset \S+", r"\1 queued", line)
        for refusal, same in REFUSALS.items():
            line = re.sub(refusal, same, line)
        if line.startswith("wake ") or " drops its news of " in line or re.search(r"^\S+ none\b", line):
            continue
        if line.startswith("backfill "):
            kept = [other for other in kept if other.split()[:3] != line.split()[:3]]
        state = re.match(r"(\S+) [a-z_]+\b", line)
        kept = [other for other in kept if state is None or not re.match(
            re.escape(state.group(1)) + r" (running|scheduled|up_for_reschedule|deferred) \(", other)]
        kept.append(line)
    return sorted(kept), [line for line in kept if line.startswith("start ")]


class Scenario:
    def __init__(self, path):
        self.path = path
        self.base_us = BASE_US
        self.pools = {}
        self.daemon = None
        self.store = None
        self.said = []
        self.failures = 0
        self.events = 0
        self.line = 0

    # the file

    def begin(self):
        if self.daemon is not None:
            return
        self.daemon = Daemon(MILLRACE, PRELOAD, self.base_us)
        self.store = Store(self.daemon, self.base_us)
        self.daemon.settings(self.pools)
        self.daemon.start()
        self.collect()

    def run(self, text):
        lines = text.split("\n")
        at = 0
        while at < len(lines):
            self.line = at + 1
            line = lines[at]
            if line == "" or line.startswith("#"):
                at += 1
            elif line.startswith("begin_at "):
                self.base_us = time_us(self.base_us, line.split()[1])
                at += 1
            elif line.startswith("pool "):
                _, name, slots = line.split()
                self.pools[name] = int(slots)
                at += 1
            else:
                at = self.event(lines, at)

    def event(self, lines, at):
        """One event, with the lines that belong to it; returns where the next one begins."""
        block = lines[at]
        at += 1
        is_dag = re.match(r"(\S+ )?dag \S+ \{", block)
        while is_dag and block.count("{") > block.count("}"):
            block += "\n" + lines[at]
            at += 1
        while at < len(lines) and lines[at][:1] in (" ", "\t"):
            block += " " + lines[at].strip()
            at += 1
        cut = block.rindex("}") + 1 if is_dag else len(block.partition("->")[0])
        left, right = block[:cut].strip(), block[cut:].strip().removeprefix("->").strip()
        self.begin()
        self.said = []
        if is_dag:
            self.load_dag(left)
        else:
            self.verb(left)
        self.daemon.settle()
        self.collect()
        self.events += 1
        self.compare([part.strip() for part in " ".join(right.split()).split(" ; ") if part.strip()])
        return at

    def compare(self, expected):
        want, got = comparable(expected), comparable(self.said)
        if want == got:
            return
        self.failures += 1
        print(f"{self.path}:{self.line}:", file=sys.stderr)
        for line in want[0]:
            if line not in got[0] or want[0].count(line) > got[0].count(line):
                print("  expected:", line, file=sys.stderr)
        for line in got[0]:
            if line not in want[0] or want[0].count(line) < got[0].count(line):
                print("  decided: ", line, file=sys.stderr)
        if want[0] == got[0]:
            print(f"  in another order: {want[1]} were expected, {got[1]} decided", file=sys.stderr)

    def load_dag(self, left):
        head, _, body = left.partition("{")
        words = head.split()
        if words[0] != "dag":
            self.daemon.set_time(time_us(self.base_us, words.pop(0)))
        self.daemon.write_dag(words[1], dag_file(words[1], body.rpartition("}")[0]))
        with self.daemon.read() as store:
            for file, report in store.execute("SELECT file, report FROM import_error"):
                raise Trouble(f"{file} is refused:\n{report}")

    # what was decided

    def collect(self):
        self.said += self.store.look()
        for worker, frame in self.daemon.told():
            if frame["kind"] == "start":
                for attempt in frame["attempts"]:
                    self.on_start(worker, frame, attempt)
            elif frame["kind"] == "stop":
                self.on_stop(frame)
            elif frame["kind"] == "ack":
                for token in frame["tokens"]:
                    self.on_ack(worker, token)

    def on_start(self, worker, frame, attempt):
        if frame["worker"] != worker.name:
            raise Trouble(f"{worker.name} was told what is for {frame['worker']}")
        if "callback" in attempt:  # workers of the core's world don't keep these either
            self.said.append(f"tell c{attempt['callback']}#{attempt['try_number']}")
            return
        if worker.hears:
            worker.tokens.add(attempt["token"])
        label = self.store.label(frame["run"], attempt["task"], attempt.get("map_index", -1))
        at = f" at {worker.name}" if len(self.daemon.workers) > 1 else ""
        forced = "" if attempt.get("cache", True) else " forced"
        self.said.append(f"start {label}#{attempt['try_number']}{at}{forced}")

    def on_stop(self, frame):
        row = self.store.attempt(frame["token"])
        name = self.script_token(frame["token"])
        if row is not None and row["ended_at"] is None:
            name = f"{self.store.label(row['run'], row['task'], row['map_index'])}#{row['try_number']}"
        self.said.append(f"stop {name} ({frame['reason']})")

    def on_ack(self, worker, token):
        worker.tokens.discard(token)
        if not self.store.knows(token):
            self.said.append(f"ack {token}")

    def script_token(self, token):
        """In a script the state folder's name is `test`."""
        _, epoch, count = (["", "", ""] + token.rsplit("-", 2))[-3:]
        return f"test-{epoch}-{count}" if self.store.attempt(token) is not None else token

    # the verbs

    def verb(self, left):
        words = left.split()
        self.daemon.set_time(time_us(self.base_us, words[0]))
        run = getattr(self, "do_" + words[1], None)
        if run is None:
            raise Trouble(f"unknown verb '{words[1]}'")
        run(*words[2:])

    def ask(self, name, **members):
        reply = self.daemon.command(name, **{k: v for k, v in members.items() if v is not None})
        error = reply.get("error")
        if error is not None:
            self.said.append(f"error {error['code']}: {error['message']}")
        elif "answer" in reply:
            self.said.append(json.dumps(reply["answer"], separators=(",", ":")))

    def attempt(self, name):
        """The row of `a#1`, `r2.a#1` or `a[0]#1`."""
        run, task, index, number = re.fullmatch(
            r"(?:r(\d+)\.)?([^\[#]+)(?:\[(\d+)\])?#(\d+)", name).groups()
        row = self.store.attempt_named(int(run or 1), task, -1 if index is None else int(index),
                                       int(number))
        if row is None:
            raise Trouble(f"there is no attempt {name}")
        return row

    def do_tick(self):
        self.daemon.tick()

    def do_trigger(self, dag_id, run_id=None, *words):
        members = {}
        for word, value in zip(words[::2], words[1::2]):
            if word == "conf":
                members["conf"] = json.loads(value)
            else:
                members["logical_date" if word == "of" else "run_after"] = time_us(self.base_us, value)
        self.ask("trigger", dag_id=dag_id, run_id=run_id, triggered_by="test", **members)

    def do_asset(self, asset, partition=None):
        self.ask("asset_event", asset=asset, partition=partition)

    def do_pause(self, dag_id):
        self.ask("set_paused", dag_id=dag_id, is_paused=True)

    def do_unpause(self, dag_id):
        self.ask("set_paused", dag_id=dag_id, is_paused=False)

    def do_remove(self, dag_id):
        self.daemon.remove_dag(dag_id)

    def do_up(self, name, *words):
        worker = self.daemon.worker(name)
        for key, value in zip(words[::2], words[1::2]):
            worker.slots[key] = int(value)
        self.daemon.up(worker)

    def do_disconnect(self, name):
        """What it is told to start from now on is lost on the way; the rest still gets through."""
        self.daemon.worker(name).hears = False

    def do_gone(self, name):
        self.daemon.gone(self.daemon.worker(name))

    def do_announce(self, name, token):
        self.daemon.up(self.daemon.worker(name), [token])

    def do_restart(self):
        self.daemon.kill()
        self.daemon.start()

    def do_begin(self, name):
        row = self.attempt(name)
        self.daemon.reporter(row["worker"]).connection.send(
            kind="started", token=row["token"], pid=1, at=self.daemon.now())

    def end(self, row, outcome, exit_code, started_at, **more):
        result = dict(token=row["token"], outcome=outcome, exit_code=exit_code, signal=0,
                      started_at=started_at, ended_at=self.daemon.now(), outputs={"k": "v"})
        result.update(more)
        self.daemon.reporter(row["worker"]).connection.send(kind="ended", results=[result])

    def do_exit(self, name, code, *words):
        row = self.attempt(name)
        more = {}
        if words and words[0].startswith("{"):
            more["outputs"] = json.loads(words[0])
            words = words[1:]
        if words:
            more["datasets"] = {"inputs": [], "outputs": []}
        for word in words:
            if word in ("reads", "writes"):
                role = more["datasets"]["inputs" if word == "reads" else "outputs"]
            else:
                dataset, _, version = word.partition("@")
                role.append({"dataset": dataset, "version": version})
        self.end(row, "success" if code == "0" else "failed", int(code),
                 row["started_at"] or self.daemon.now(), **more)

    def do_end(self, name, outcome):
        row = self.attempt(name)
        self.end(row, outcome, -1, row["started_at"] or self.daemon.now())

    def do_told(self, name, outcome):
        self.end(self.store.callback(int(name[1:])), outcome, -1, self.daemon.now())

    def do_why(self, run):
        self.ask("why", run=int(run[1:]))

    def do_give_back(self, name):
        self.end(self.attempt(name), "worker_lost", -1, 0)

    def do_stale_end(self, token):
        self.end({"token": token, "worker": ""}, "success", 0, self.daemon.now())

    def do_stale_begin(self, token):
        self.daemon.reporter("").connection.send(kind="started", token=token, pid=1,
                                                 at=self.daemon.now())

    def do_backfill(self, dag_id, begin, end, *words):
        members = {"max_active_runs": 16}
        words = list(words)
        while words:
            word = words.pop(0)
            if word == "backwards":
                members["run_backwards"] = True
            elif word == "max":
                members["max_active_runs"] = int(words.pop(0))
            elif word == "tasks":
                members["tasks"] = words.pop(0).split(",")
            elif word in ("upstream", "downstream", "force"):
                members[word] = True
            elif word == "conf":
                members["conf"] = json.loads(words.pop(0))
            elif word in ("continue", "stop"):
                members["on_failure"] = word
            else:
                members["reprocess"] = word
        self.ask("backfill_create", dag_id=dag_id, **{"from": time_us(self.base_us, begin)},
                 to=time_us(self.base_us, end), **members)

    def control(self, number, action, **members):
        self.ask("backfill_control", backfill=int(number), action=action, **members)

    def do_backfill_pause(self, number):
        self.control(number, "pause")

    def do_backfill_unpause(self, number):
        self.control(number, "unpause")

    def do_backfill_cancel(self, number):
        self.control(number, "cancel")

    def do_backfill_retry(self, number, *words):
        self.control(number, "retry", **self.settings(words))

    def do_backfill_set(self, number, *words):
        self.control(number, "set", **self.settings(words))

    @staticmethod
    def settings(words):
        members = {}
        words = list(words)
        while words:
            word = words.pop(0)
            if word == "max":
                members["max_active_runs"] = int(words.pop(0))
            else:
                members["on_failure"] = word
        return members

    def change(self, command, name, words, **members):
        run = self.store.run(int(name[1:]))
        tasks = []
        for word in words:
            index = re.fullmatch(r"(.+)\[(\d+)\]", word)
            if word in FLAGS:
                members[FLAGS[word]] = True
            elif word != "*":
                tasks.append([index.group(1), int(index.group(2))] if index else word)
        self.ask(command, dag_id=run["dag_id"], run_id=run["run_id"], tasks=tasks or None,
                 by="test", **members)

    def do_clear(self, run, *words):
        self.change("clear", run, words)

    def do_mark(self, run, state, *words):
        self.change("mark_tasks", run, words, state=state)

    def do_mark_run(self, run, state):
        self.change("mark_run", run, [], state=state)

    def do_cancel(self, run, *words):
        self.change("mark_tasks" if words else "mark_run", run, words, cancel=True)


def main():
    path = sys.argv[1]
    with open(path) as file:
        text = file.read()
    reason = re.search(r"^# core only: (.*)", text, re.MULTILINE)
    if reason:
        print("skipped: core only:", reason.group(1))
        return SKIPPED
    scenario = Scenario(path)
    try:
        scenario.run(text)
        print(f"{scenario.events} events, {scenario.failures} differ")
    except Trouble as trouble:
        print(f"{path}:{scenario.line}: {trouble}", file=sys.stderr)
        scenario.failures += 1
    finally:
        if scenario.daemon is not None:
            scenario.daemon.remove()
    return 1 if scenario.failures else 0


if __name__ == "__main__":
    sys.exit(main())
