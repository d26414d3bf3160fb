"""How fast runs are scheduled: the rows of the scheduler's table, each against its yardstick.

A row is a function of the options that calls report.show(). What is timed is `millrace run` whole:
start, reading the file, every commit, the end.
"""
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import statistics
import time

import harness
import report
from report import Folder, compare, peak_kb, run, wall

SLOW_SYNC = os.path.join(harness.BUILD, "tests", "bench", "libslow_sync.so")


# The default pool's 128 slots would bound how much one commit covers.
SETTINGS = "pools:\n  default_pool: 10000\n"


def independent(count):
    return [[] for _ in range(count)]


def chain(count):
    return [[i - 1] if i > 0 else [] for i in range(count)]


def layered(layers, width=100, group=10):
    """Layers of groups; each task of a group waits for all tasks of the same group before it."""
    group = min(group, width)
    return [[] if layer == 0 else
            [(layer - 1) * width + at // group * group + k for k in range(group)]
            for layer in range(layers) for at in range(width)]


def write_dag(path, upstreams, kind="noop", head=""):
    options = "    with: {argv: ['true']}\n" if kind == "command" else ""
    lines = [f"dag_id: {path.stem}\nmax_active_tasks: 10000\n{head}"
             "default_args: {retries: 0}\ntasks:\n"]
    for i, ups in enumerate(upstreams):
        lines.append(f"  t{i}:\n    type: {kind}\n{options}")
        if ups:
            lines.append(f"    depends_on: [{', '.join(f't{up}' for up in ups)}]\n")
    path.write_text("".join(lines))
    return path


def write_ninja(folder, upstreams):
    folder.mkdir()
    lines = ["rule run\n  command = true\n"]
    for i, ups in enumerate(upstreams):
        lines.append(f"build t{i}: run {' '.join(f't{up}' for up in ups)}\n")
    (folder / "build.ninja").write_text("".join(lines))
    return folder


def shape(name, options):
    return {"independent": lambda: independent(options.tasks),
            "layered": lambda: layered(max(options.tasks // 100, 2)),
            "chain": lambda: chain(max(options.tasks // 10, 2))}[name]()


def project(options, name, kind="noop", upstreams=None):
    """(folder, DAG file, ninja folder) of one shape."""
    folder = Folder()
    upstreams = upstreams or shape(name, options)
    (folder.path / "millrace.yaml").write_text(SETTINGS)
    return (folder, write_dag(folder.path / f"{name}.yaml", upstreams, kind),
            write_ninja(folder.path / "ninja", upstreams))


def run_once(folder, dag, **environment):
    return wall([harness.MILLRACE, "run", dag, "--state", folder.new_state()], folder.path,
                **environment)


def against_ninja(options, name, label, goal, kind="noop"):
    folder, dag, ninja = project(options, name, kind)
    jobs = os.cpu_count()
    result = compare(options.rounds, lambda: run_once(folder, dag),
                     lambda: wall(["ninja", f"-j{jobs}", "-C", ninja], folder.path))
    count = len(shape(name, options))
    report.show(f"{count} {label}", result, "millrace run", f"ninja -j{jobs}", goal)
    folder.remove()


def noops(options):
    against_ninja(options, "independent", "independent noops", "0.10 0.04")


def layers(options):
    against_ninja(options, "layered", "layered noops", "0.12 0.05")


def chains(options):
    against_ninja(options, "chain", "noops in a chain", "0.40 0.25")


def commands(options):
    against_ninja(options, "independent", "commands, a log each", "1.30 1.05", "command")


def syncs(options):
    """The same run with syncs, with slower ones, and without any (synchronous=OFF)."""
    folder, dag, _ = project(options, "independent")
    off = {"LD_PRELOAD": SLOW_SYNC, "SYNC_OFF": "1"}
    for label, delay in [("FULL", 0), ("FULL, 1 ms more a sync", 1000),
                         ("FULL, 8 ms more a sync", 8000)]:
        on = {"LD_PRELOAD": SLOW_SYNC, "SYNC_DELAY_US": str(delay)}
        result = compare(options.rounds, lambda: run_once(folder, dag, **on),
                         lambda: run_once(folder, dag, **off))
        report.show(f"{options.tasks} noops, {label}", result, "", "no sync", "2.00 1.40")
    folder.remove()


def query(state, sql):
    with sqlite3.connect(f"file:{state}/state.db?mode=ro", uri=True) as db:
        return db.execute(sql).fetchall()


def steps(state):
    """Seconds from one end to the next, of a chain."""
    ends = [row[0] for row in query(state, "SELECT ended_at FROM task_instance"
                                           " WHERE run = (SELECT max(id) FROM run) ORDER BY task")]
    return [(after - before) / 1e6 for before, after in zip(ends, ends[1:])]


def late_steps(options):
    """The steps around task 9,900 against those around task 100, of one run."""
    folder = Folder()
    count = options.tasks
    (folder.path / "millrace.yaml").write_text(SETTINGS)
    dag = write_dag(folder.path / "chain.yaml", chain(count))
    early, late, ratios = [], [], []
    for _ in range(options.rounds):
        state = folder.new_state()
        run([harness.MILLRACE, "run", dag, "--state", state], folder.path)
        took = steps(state)
        first = statistics.median(took[count // 200:count // 200 * 3])
        last = statistics.median(took[-count // 200 * 3:-count // 200])
        early.append(first)
        late.append(last)
        ratios.append(last / first)
    report.show("a step late in a chain, and early",
                (statistics.median(late), statistics.median(early), statistics.median(ratios)),
                f"task {count * 99 // 100}", f"task {count // 100}", "1.15 1.05")
    folder.remove()


HISTORY = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
INSERT INTO run (id, dag_id, run_id, version_id, run_type, state, triggered_by, logical_date,
  run_after, queued_at, started_at, ended_at, clear_number, conf, updated_at)
SELECT 1000 + i, 'chain', 'old__' || i, 1, 'scheduled', 'success', 'timetable', 1000000 * i,
  1000000 * i, 1000000 * i, 1000000 * i, 1000000 * i, 0, '{{}}', 1000000 * i FROM n;
INSERT INTO task_instance (run, task, map_index, task_id, state, try_number, max_tries, ended_at)
SELECT id, 0, -1, 't0', 'success', 1, 0, ended_at FROM run WHERE id > 1000;
INSERT INTO transition (seq, at, run, task, map_index, try_number, from_state, to_state)
SELECT 1000000 + id, ended_at, id, 0, -1, 1, 'running', 'success' FROM run WHERE id > 1000;
"""


def history(options):
    """The same chain in a state folder with many finished runs, and in one with none."""
    folder, dag, _ = project(options, "chain")
    empty, full = folder.new_state(), folder.new_state()
    for state in (empty, full):
        run([harness.MILLRACE, "run", dag, "--state", state], folder.path)
    run([os.path.join(harness.BUILD, "tests", "bench", "bench_history"), f"{full}/state.db",
         HISTORY.format(count=options.runs)], folder.path)

    def step(state):
        run([harness.MILLRACE, "run", dag, "--state", state], folder.path)
        return statistics.median(steps(state))
    result = compare(options.rounds, lambda: step(full), lambda: step(empty))
    report.show(f"a step with {options.runs} runs done", result, "", "with none", "1.25 1.05")
    folder.remove()


def memory(options):
    """Peak memory of the process that schedules, its file read by itself, against ninja's."""
    folder, dag, ninja = project(options, "layered")
    jobs = os.cpu_count()
    result = compare(
        options.rounds,
        lambda: peak_kb([harness.MILLRACE, "run", dag, "--state", folder.new_state()], folder.path),
        lambda: peak_kb(["ninja", f"-j{jobs}", "-C", ninja], folder.path))
    report.show(f"peak memory, {options.tasks} layered", result, "millrace run", f"ninja -j{jobs}",
                "3.00 1.50", 1 / 1024, "MB")
    folder.remove()


def sync_p50(folder, pause, count):
    """Seconds that fdatasync takes after 4 KiB were overwritten, with a pause before each."""
    took = []
    with open(folder / "sync", "wb") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
        for _ in range(count):
            os.pwrite(file.fileno(), random.randbytes(4096), 0)
            time.sleep(pause)
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begin)
    return statistics.median(took)


# Everything that sleeps takes longer to answer than what was busy a moment ago, processor and disk
# alike: a sync back to back takes a third of one after a pause. Each is measured in both ways.
PAUSE_S = 0.02


def trigger_once(server, link, post, pause):
    """Seconds from a POST until the worker has started the task."""
    time.sleep(pause)
    begin = time.time()
    link.sendall(post)
    if b" 200 " not in link.recv(65536).split(b"\r\n")[0]:
        raise RuntimeError("the trigger was refused")
    harness.wait_until(lambda: query(
        server.state, "SELECT count(*) FROM run WHERE state IN ('queued', 'running')")[0][0] == 0,
        every=0.001)
    (started,), = query(server.state,
                        "SELECT started_at FROM attempt WHERE run = (SELECT max(id) FROM run)")
    return started / 1e6 - begin


def trigger(options):
    """From a POST until the runner has the task, against the disk's fdatasync."""
    served = harness.Project()
    served.write("dags/one.yaml", "dag_id: one\nmax_active_runs: 100\ntasks:\n  t: {type: noop}\n")
    server = served.serve("--slots", "2")
    server.state = served.path(".millrace")
    harness.wait_until(lambda: server.request("GET", "/api/v2/dags/one")[0] == 200)
    link = socket.create_connection(("127.0.0.1", server.port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = b'{"logical_date": null}'
    post = (b"POST /api/v2/dags/one/dagRuns HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (server.port, len(body), body))
    folder = pathlib.Path(served.folder)
    for label, pause in [("after a pause", PAUSE_S), ("back to back", 0)]:
        took, syncs_took = [], []
        for i in range(options.triggers):
            took.append(trigger_once(server, link, post, pause))
            if i % 10 == 0:
                syncs_took.append(sync_p50(folder, pause, 20))
        p50, sync = statistics.median(took), statistics.median(syncs_took)
        report.show(f"POST until a noop starts, {label}", (p50, sync, p50 / sync), "", "fdatasync",
                    "8.00 3.00")
    link.close()
    served.remove()


def restart(options):
    """A run half done, its scheduler killed: until the next one starts a task, against what ninja
    takes to read the same graph and find what is to do."""
    # Fewer would be done before the scheduler could be killed.
    count = max(options.tasks, 10000)
    folder, dag, ninja = project(options, "independent", upstreams=independent(count))
    dags = folder.path / "dags"
    dags.mkdir()
    shutil.move(dag, dags / dag.name)

    def ours():
        state = folder.new_state()
        os.makedirs(state)
        scheduler = [harness.MILLRACE, "scheduler", "--state", state, "--dags", dags]
        started = report.spawn(scheduler, folder.path)
        worker = report.spawn([harness.WORKER, "--state", state, "--slots", "2"], folder.path)
        try:
            harness.wait_until(lambda: os.path.exists(f"{state}/scheduler.sock"))
            report.command(state, {"command": "trigger", "dag_id": "independent",
                                   "triggered_by": "test"})
            harness.wait_until(lambda: query(state, "SELECT count(*) FROM task_instance"
                                             " WHERE state = 'success'")[0][0] > 0, 60)
            started.send_signal(signal.SIGKILL)
            started.wait()
            begin = time.time()
            started = report.spawn(scheduler, folder.path)
            first = harness.wait_until(
                lambda: query(state, "SELECT min(queued_at) FROM attempt WHERE queued_at > "
                              f"{int(begin * 1e6)}")[0][0], 60, "the first start")
            return first / 1e6 - begin
        finally:
            for process in (started, worker):
                process.send_signal(signal.SIGKILL)
                process.wait()
    result = compare(options.rounds, ours, lambda: wall(["ninja", "-n", "-C", ninja], folder.path))
    report.show(f"restart within {count} tasks", result, "to first start", "ninja -n",
                "5.00 2.00")
    folder.remove()


def edges(options):
    """A DAG of many edges, checked."""
    folder = Folder()
    width = 100 if options.tasks >= 10000 else 10
    upstreams = layered(options.tasks // width, width, width)
    (folder.path / "millrace.yaml").write_text(SETTINGS)
    dag = write_dag(folder.path / "edges.yaml", upstreams)
    ninja = write_ninja(folder.path / "ninja", upstreams)
    result = compare(options.rounds, lambda: wall([harness.MILLRACE, "check", dag], folder.path),
                     lambda: wall(["ninja", "-n", "-C", ninja], folder.path))
    report.show(f"check, {sum(map(len, upstreams))} edges", result, "", "ninja -n", "<= 1 s")
    folder.remove()


def write_many(folder, count, ticking):
    for i in range(count):
        # The others have no interval behind them: their first runs would be a queue of its own.
        schedule = ("{every: 1s}" if i < ticking else
                    f"'{i % 60} {i % 24} 1 1 *'\nstart_date: 2099-01-01")
        write_dag(folder / f"d{i}.yaml", chain(20) if i >= ticking else independent(1),
                  head=f"schedule: {schedule}\ncatchup: false\n")


def many_dags(options):
    """Thousands of DAGs: read, kept, and one due time after the other met."""
    folder = Folder()
    dags = folder.path / "dags"
    dags.mkdir()
    (folder.path / "millrace.yaml").write_text(SETTINGS)
    write_many(dags, options.dags, 0)
    took = statistics.median(wall([harness.MILLRACE, "check", dags], folder.path)
                             for _ in range(options.rounds))
    report.tell(f"check, {options.dags} DAGs of 20 tasks", took * 1000, "ms", "<= 3000 ms")
    state = folder.new_state()
    os.makedirs(state)
    process = report.spawn([harness.MILLRACE, "scheduler", "--state", state, "--dags", dags],
                           folder.path)
    harness.wait_until(lambda: os.path.exists(f"{state}/scheduler.sock"))
    time.sleep(3)
    before = report.cpu_seconds(process.pid)
    time.sleep(options.idle_s)
    share = (report.cpu_seconds(process.pid) - before) / options.idle_s
    report.tell("  memory of the scheduler", report.status_kb(process.pid, "VmRSS") / 1024, "MB",
                "<= 120 MB")
    report.tell("  idle share of a core", share * 100, "%", "<= 3 %")
    process.send_signal(signal.SIGTERM)
    process.wait()
    write_many(dags, 20, 20)
    late = lateness(folder, dags, state, options)
    report.tell("  due time to started, p99", late * 1000, "ms", "<= 20 ms")
    folder.remove()


def percentile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def lateness(folder, dags, state, options):
    process = report.spawn([harness.MILLRACE, "scheduler", "--state", state, "--dags", dags],
                           folder.path)
    worker = report.spawn([harness.WORKER, "--state", state, "--slots", "2"], folder.path)
    harness.wait_until(lambda: os.path.exists(f"{state}/scheduler.sock"))
    time.sleep(3)
    begin = time.time()
    time.sleep(options.idle_s)
    process.send_signal(signal.SIGTERM)
    process.wait()
    worker.send_signal(signal.SIGTERM)
    worker.wait()
    late = [row[0] / 1e6 for row in query(
        state, "SELECT attempt.started_at - run.run_after FROM attempt JOIN run"
        f" ON run.id = attempt.run WHERE run.run_after > {int(begin * 1e6)}"
        " AND attempt.started_at IS NOT NULL")]
    return percentile(late, 0.99) if late else float("nan")


def timers(options):
    """Sensors that wait for an instant each: how late they end."""
    folder = Folder()
    dags = folder.path / "dags"
    dags.mkdir()
    (folder.path / "millrace.yaml").write_text(SETTINGS)
    count = options.timers
    begin = time.time() + 5 + count / 5000
    targets = {}
    for number in range(0, count, 10000):
        lines = [f"dag_id: wait{number}\nmax_active_tasks: 10000\ntasks:\n"]
        for i in range(number, min(number + 10000, count)):
            at_us = int((begin + 20 * i / count) * 1e6) // 1000 * 1000
            targets[f"w{i}"] = at_us
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_us // 1000000))
            lines.append(f"  w{i}: {{type: sensor, with: {{time: "
                         f"'{text}.{at_us % 1000000 // 1000:03d}Z'}}}}\n")
        (dags / f"wait{number}.yaml").write_text("".join(lines))
    state = folder.new_state()
    os.makedirs(state)
    process = report.spawn([harness.MILLRACE, "scheduler", "--state", state, "--dags", dags],
                           folder.path)
    harness.wait_until(lambda: os.path.exists(f"{state}/scheduler.sock"))
    for number in range(0, count, 10000):
        report.command(state, {"command": "trigger", "dag_id": f"wait{number}",
                               "triggered_by": "test"})
    time.sleep(max(begin + 22 - time.time(), 0))
    late = [(ended - targets[task]) / 1e6 for task, ended in
            query(state, "SELECT task_id, ended_at FROM task_instance WHERE state = 'success'")]
    process.send_signal(signal.SIGTERM)
    process.wait()
    if len(late) < count:
        print(f"  {count - len(late)} of {count} sensors have not ended", flush=True)
    report.tell(f"lateness of {count} timers, p99", percentile(late, 0.99) * 1000 if late
                else float("nan"), "ms", "<= 10 ms")
    folder.remove()


BENCHES = {"noops": noops, "layers": layers, "chains": chains, "commands": commands,
           "syncs": syncs, "late_steps": late_steps, "history": history, "memory": memory,
           "trigger": trigger, "restart": restart, "edges": edges, "many_dags": many_dags,
           "timers": timers}
