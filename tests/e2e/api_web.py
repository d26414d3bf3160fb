"""The REST API of `millrace web` on a prepared database, with a scheduler played by this script.

Answers are checked as strictly as Airflow's own client does: required keys, exact types, no
conversions (airflow_shapes.txt). Then bad input, foreign hosts and origins, slow clients, a
scheduler that is away, and the event stream.
"""
import http.client
import json
import os
import re
import select
import signal
import socket
import sqlite3
import struct
import threading
import time
import unittest
import urllib.parse

import harness

HOUR = 3600 * 10**6
DAY = 24 * HOUR
START = 1767225600 * 10**6  # 2026-01-01
RUN = "scheduled__2026-01-07T00:00:00+00:00"

DAG_FILE = """dag_id: %s
description: A test
owner: ml
tags: [daily, churn]
schedule: "0 0 * * *"
start_date: 2026-01-01
params:
  lake: {type: string, default: lake}
tasks:
  ingest: {type: noop, retries: 2, retry_delay: 90s, execution_timeout: 1h}
  check: {type: noop, depends_on: [ingest]}
  notify: {type: noop, depends_on: [check], trigger_rule: all_done}
"""


def insert(db, table, **values):
    names = ", ".join(values)
    marks = ", ".join("?" for _ in values)
    db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


def insert_run(db, row, day, state, dag_id="churn", version_id=1):
    at = START + day * DAY
    done = state in ("success", "failed")
    insert(db, "run", id=row, dag_id=dag_id, run_id=f"scheduled__2026-01-{day + 1:02d}T00:00:00+00:00",
           version_id=version_id, run_type="backfill" if row <= 10 else "scheduled", state=state,
           triggered_by="timetable", logical_date=at, interval_start=at, interval_end=at + DAY,
           run_after=at + DAY, queued_at=at + DAY, started_at=None if state == "queued" else at + DAY + 10**6,
           ended_at=at + DAY + 61 * 10**6 if done else None, backfill_id=1 if row <= 10 else None,
           clear_number=0, conf='{"k": 1}', note=None, reason=None, updated_at=at + DAY)


def insert_task(db, run, index, name, state, reason=None, tries=1):
    at = START + run * DAY
    ran = state in ("success", "failed", "running")
    insert(db, "task_instance", run=run, task=index, map_index=-1, task_id=name, state=state,
           try_number=tries if ran else 0, max_tries=2, scheduled_at=at if ran else None,
           queued_at=at if ran else None, started_at=at + 10**6 if ran else None,
           ended_at=at + 5 * 10**6 if state in ("success", "failed") else None, retry_at=None, reason=reason)
    for number in range(1, tries + 1) if ran else ():
        last = number == tries
        outcome = state if last else "failed"
        insert(db, "attempt", run=run, task=index, map_index=-1, try_number=number,
               token=f"t-{run}-{index}-{number}", state=outcome, worker="w1", pid=4711, queued_at=at,
               started_at=at + 10**6, ended_at=None if outcome == "running" else at + 5 * 10**6,
               exit_code={"success": 0, "failed": 3}.get(outcome), signal=None,
               outcome=None if outcome == "running" else outcome, reason=reason if last else "exit code 3",
               rendered='{"options": {"x": "y"}, "env": {}}', outputs='{"rows": 5}' if outcome == "success" else None)
        insert(db, "transition", at=at + number, run=run, task=index, map_index=-1, try_number=number,
               from_state="running", to_state=outcome, reason=reason)


def make_state(state):
    """A database as the scheduler would leave it: 12 runs of churn, a paused DAG, one backfill."""
    os.makedirs(state, exist_ok=True)
    db = sqlite3.connect(os.path.join(state, "state.db"))
    db.execute("PRAGMA journal_mode = WAL")
    store = os.path.join(harness.SOURCE, "scheduler", "store")
    later = [name for name in os.listdir(store) if name.startswith("migration_")]
    later.sort(key=lambda name: int(name[len("migration_"):-len(".sql")]))
    for name in ["schema.sql", *later]:
        with open(os.path.join(store, name)) as migration:
            db.executescript(migration.read())
    for row, (dag_id, paused) in enumerate((("churn", 0), ("train", 1)), 1):
        insert(db, "version", id=row, dag_id=dag_id, number=1, hash="h", file=dag_id + ".yaml",
               source=DAG_FILE % dag_id, created_at=START)
        insert(db, "dag", dag_id=dag_id, file=dag_id + ".yaml", is_paused=paused, is_stale=0, version_id=row,
               version_number=1, last_tick=START, next_start=START + 12 * DAY, next_end=START + 13 * DAY,
               parsed_at=START)
    for row in range(1, 13):
        state_of = {7: "failed", 11: "running", 12: "queued"}.get(row, "success")
        insert_run(db, row, row - 1, state_of)
        insert_task(db, row, 0, "ingest", "none" if row == 12 else "success", tries=2 if row == 7 else 1)
        check = {"success": "success", "failed": "failed", "running": "running", "queued": "none"}[state_of]
        insert_task(db, row, 1, "check", check, reason="exit code 3" if check == "failed" else None)
        notify = {"success": "success", "failed": "upstream_failed"}.get(state_of, "none")
        insert_task(db, row, 2, "notify", notify,
                    reason="upstream_failed: check" if notify == "upstream_failed" else None)
        for index in (0, 1):
            os.makedirs(os.path.join(state, "logs", str(row)), exist_ok=True)
            with open(os.path.join(state, "logs", str(row), f"{index}.-1.1.log"), "wb") as log:
                log.write(b"first line\nbad \xff byte\n" + b"x" * 100 + b"\nlast, no line end")
    insert(db, "backfill", id=1, dag_id="churn", from_date=START, to_date=START + 19 * DAY, run_backwards=0,
           is_paused=0, reprocess="none", max_active_runs=4, conf="{}", created_at=START, updated_at=START,
           completed_at=None, cursor=START + 10 * DAY, total=20, made=10, skipped=2, succeeded=9, failed=1,
           cancelled=0, pace=30 * 10**6)
    insert(db, "import_error", id=1, file="broken.yaml", at=START, report="error[MR0107]: unknown task",
           findings='[{"code": "MR0107"}]')
    insert(db, "pool", name="default_pool", slots=128, description="Default pool")
    insert(db, "pool", name="wide", slots=-1, description=None)
    db.commit()
    return db


class Shapes:
    """Checks values against airflow_shapes.txt without converting anything."""

    def __init__(self):
        self.shapes, self.enums = {}, {}
        here = os.path.dirname(os.path.abspath(__file__))
        name = None
        with open(os.path.join(here, "airflow_shapes.txt")) as file:
            lines = file.readlines()
        for line in lines:
            if line.startswith("## "):
                name, rest = line[3:].split(" ", 1)
                if rest.startswith("enum "):
                    self.enums[name] = re.findall(r"'([^']*)'", rest)
                else:
                    self.shapes[name] = {}
            elif not line.startswith("#") and line.strip():
                match = re.match(r"\s+(\*?)([A-Za-z_]+) : (.+?)(\?)?(=\S+)?( .*)?$", line)
                self.shapes[name][match[2]] = (match[1] == "*", match[3], match[4] == "?")

    def check(self, shape, value, where=""):
        assert isinstance(value, dict), f"{where}: {shape} is {value!r}"
        for key, (required, kind, nullable) in self.shapes[shape].items():
            place = f"{where}{shape}.{key}"
            assert key in value or not required, f"{place} is missing"
            if key not in value:
                continue
            if value[key] is None:
                reference = kind in self.shapes or kind in self.enums
                assert nullable or (reference and not required), f"{place} is null"
                continue
            self.check_kind(kind, value[key], place)

    def check_kind(self, kind, value, place):
        if kind.startswith("[") and "]|[" in kind:
            kind = kind.split("|[")[0]
        if kind.startswith("["):
            assert isinstance(value, list), f"{place} is no list: {value!r}"
            for item in value:
                self.check_kind(kind[1:-1], item, place)
        elif kind in self.shapes:
            self.check(kind, value, place + "/")
        elif kind in self.enums:
            assert value in self.enums[kind], f"{place}: {value!r} is not one of {self.enums[kind]}"
        else:
            self.check_scalar(kind, value, place)

    def check_scalar(self, kind, value, place):
        good = {
            "string": lambda v: isinstance(v, str),
            "integer": lambda v: type(v) is int,
            "number": lambda v: type(v) in (int, float),
            "boolean": lambda v: type(v) is bool,
            "object": lambda v: isinstance(v, dict),
            "any": lambda v: True,
            "string|integer": lambda v: isinstance(v, str) or type(v) is int,
            "string(date-time)": lambda v: re.fullmatch(
                r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", v) is not None,
            "string(uuid)": lambda v: re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", v) is not None,
            "string(duration)": lambda v: v.startswith("P"),
        }
        assert kind in good, f"{place}: unknown kind {kind}"
        assert good[kind](value), f"{place}: {value!r} is no {kind}"


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = dict((k.lower(), v) for k, v in response.getheaders())
        self.bytes = response.read()

    @property
    def json(self):
        return json.loads(self.bytes)


class FakeScheduler(threading.Thread):
    """Listens on <state>/scheduler.sock, speaks the wire protocol, writes what was asked for."""

    def __init__(self, state):
        super().__init__(daemon=True)
        self.state = state
        self.commands = []
        self.silent = False
        self.refusal = None
        self.peer = None
        folder = os.open(state, os.O_PATH)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"/proc/self/fd/{folder}/scheduler.sock")
        self.listener.listen()
        os.close(folder)
        self.start()

    def send(self, document):
        text = json.dumps(document).encode()
        self.peer.sendall(struct.pack("<I", len(text)) + text)

    def read(self, count):
        data = b""
        while len(data) < count:
            piece = self.peer.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def run(self):
        try:
            self.peer, _ = self.listener.accept()
            while True:
                document = json.loads(self.read(struct.unpack("<I", self.read(4))[0]))
                if document["kind"] == "command":
                    if document["command"] != "why":  # a question, which explain asks at any time
                        self.commands.append(document)
                    if not self.silent:
                        self.answer(document)
        except (EOFError, OSError):
            pass

    def answer(self, command):
        if self.refusal:
            code, message = self.refusal
            self.send({"kind": "reply", "id": command["id"], "error": {"code": code, "message": message}})
            return
        reply = {"kind": "reply", "id": command["id"]}
        with sqlite3.connect(os.path.join(self.state, "state.db")) as db:
            reply.update(self.act(db, command))
        db.close()
        self.send(reply)

    def act(self, db, command):
        if command["command"] == "set_paused":
            db.execute("UPDATE dag SET is_paused = ? WHERE dag_id = ?", (command["is_paused"], command["dag_id"]))
        elif command["command"] == "trigger":
            insert(db, "run", id=100, dag_id=command["dag_id"], run_id=command.get("run_id", "manual__x"),
                   version_id=1, run_type="manual", state="queued", triggered_by=command["triggered_by"],
                   logical_date=command.get("logical_date"), interval_start=None, interval_end=None,
                   run_after=START, queued_at=START, started_at=None, ended_at=None, backfill_id=None,
                   clear_number=0, conf=json.dumps(command.get("conf", {})), note=command.get("note"),
                   reason=None, updated_at=START)
            return {"row": 100}
        elif command["command"] == "backfill_create":
            insert(db, "backfill", id=50, dag_id=command["dag_id"], from_date=command["from"],
                   to_date=command["to"], run_backwards=command["run_backwards"], is_paused=0,
                   reprocess=command["reprocess"], max_active_runs=command["max_active_runs"], conf="{}",
                   created_at=START, updated_at=START, completed_at=None, cursor=None, total=3, made=0,
                   skipped=0, succeeded=0, failed=0, cancelled=0)
            return {"row": 50}
        elif command["command"] == "backfill_control":
            paused = {"pause": 1, "unpause": 0}.get(command["action"])
            if paused is not None:
                db.execute("UPDATE backfill SET is_paused = ? WHERE id = ?", (paused, command["backfill"]))
            else:
                db.execute("UPDATE backfill SET cancelled = 1, completed_at = ? WHERE id = ?",
                           (START, command["backfill"]))
            return {"row": command["backfill"]}
        return {}

    def close(self):
        self.listener.close()
        if self.peer:
            self.peer.shutdown(socket.SHUT_RDWR)
            self.peer.close()
        os.unlink(os.path.join(self.state, "scheduler.sock"))
        self.join()


class WebCase(unittest.TestCase):
    """A project with a prepared state and its web process; each test has its own."""

    prepared = True

    def setUp(self):
        self.project = harness.Project()
        # Deeper than a socket's address is long.
        self.state = self.project.path("a-folder-with-a-long-name-" * 3, "and-another-long-one-" * 3, "state")
        os.makedirs(self.state)
        self.db = make_state(self.state) if self.prepared else None
        self.scheduler = None
        self.web = self.project.start("web", "--state", self.state, "--any-port", log="web.log")
        address = os.path.join(self.state, "web.json")
        harness.wait_until(lambda: os.path.exists(address), what="web.json")
        with open(address) as file:
            self.port = urllib.parse.urlparse(json.load(file)["url"]).port

    def tearDown(self):
        if self.scheduler:
            self.scheduler.close()
        self.web.send_signal(signal.SIGTERM)
        code = self.web.wait(timeout=20)
        if self.db:
            self.db.close()
        with open(self.project.path("web.log")) as log:
            text = log.read()
        self.project.remove()
        self.assertEqual(code, 0, text)

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, headers)
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def get(self, path, status=200, **headers):
        answer = self.request("GET", path, headers=headers)
        self.assertEqual(answer.status, status, f"{path}: {answer.bytes[:300]}")
        return answer.json if answer.headers["content-type"] == "application/json" else answer.bytes

    def start_scheduler(self):
        self.scheduler = FakeScheduler(self.state)
        harness.wait_until(lambda: self.get("/api/v2/monitor/health")["scheduler"]["status"] == "healthy",
                           what="the connection to the scheduler")


def run_path(rest="", run=RUN):
    return "/api/v2/dags/churn/dagRuns/" + urllib.parse.quote(run, safe="") + rest


class Read(WebCase):
    def test_shapes(self):
        shapes = Shapes()
        for path, shape in (
                ("/api/v2/version", "VersionInfo"), ("/api/v2/monitor/health", "HealthInfoResponse"),
                ("/api/v2/dags", "DAGCollectionResponse"), ("/api/v2/dags/churn", "DAGResponse"),
                ("/api/v2/dags/churn/details", "DAGDetailsResponse"),
                ("/api/v2/dags/churn/tasks", "TaskCollectionResponse"),
                ("/api/v2/dags/churn/tasks/ingest", "TaskResponse"),
                ("/api/v2/dags/~/dagVersions", "DAGVersionCollectionResponse"),
                ("/api/v2/dagSources/churn", "DAGSourceResponse"), ("/api/v2/dagStats", "DagStatsCollectionResponse"),
                ("/api/v2/dags/~/dagRuns", "DAGRunCollectionResponse"), (run_path(), "DAGRunResponse"),
                (run_path("/taskInstances"), "TaskInstanceCollectionResponse"),
                ("/api/v2/dags/~/dagRuns/~/taskInstances?limit=100", "TaskInstanceCollectionResponse"),
                (run_path("/taskInstances/check"), "TaskInstanceResponse"),
                (run_path("/taskInstances/ingest/tries"), "TaskInstanceHistoryCollectionResponse"),
                (run_path("/taskInstances/ingest/tries/1"), "TaskInstanceHistoryResponse"),
                (run_path("/taskInstances/ingest/logs/1"), "TaskInstancesLogResponse"),
                ("/api/v2/backfills?dag_id=churn", "BackfillCollectionResponse"),
                ("/api/v2/backfills/1", "BackfillResponse"), ("/api/v2/importErrors", "ImportErrorCollectionResponse"),
                ("/api/v2/importErrors/1", "ImportErrorResponse"), ("/api/v2/pools", "PoolCollectionResponse"),
                ("/api/v2/pools/wide", "PoolResponse")):
            value = self.get(path)
            shapes.check(shape, value)
            lists = [v for v in value.values() if isinstance(v, list)]
            if "total_entries" in value:
                self.assertTrue(lists[0], path + " is empty")

    def test_dags(self):
        ids = lambda query: [dag["dag_id"] for dag in self.get("/api/v2/dags?" + query)["dags"]]
        self.assertEqual(ids(""), ["churn", "train"])
        self.assertEqual(ids("order_by=-dag_id"), ["train", "churn"])
        self.assertEqual(ids("paused=true"), ["train"])
        self.assertEqual(ids("tags=daily&owners=ml&dag_id_pattern=CHU"), ["churn"])
        self.assertEqual(ids("tags=daily&tags=nope&tags_match_mode=all"), [])
        self.assertEqual(ids("tags=daily&tags=nope"), ["churn", "train"])
        self.assertEqual(ids("limit=1&offset=1"), ["train"])
        self.assertEqual(ids("last_dag_run_state=queued"), ["churn"])
        dag = self.get("/api/v2/dags/churn")
        self.assertEqual((dag["timetable_summary"], dag["owners"], [t["name"] for t in dag["tags"]]),
                         ("0 0 * * *", ["ml"], ["churn", "daily"]))
        details = self.get("/api/v2/dags/churn/details")
        self.assertEqual(details["active_runs_count"], 2)
        self.assertEqual(details["params"], {"lake": {"value": "lake", "description": None,
                                                      "schema": {"type": "string"}}})
        task = self.get("/api/v2/dags/churn/tasks/ingest")
        self.assertEqual(task["retry_delay"], {"__type": "TimeDelta", "days": 0, "seconds": 90, "microseconds": 0})
        self.assertEqual(task["downstream_task_ids"], ["check"])
        source = self.request("GET", "/api/v2/dagSources/churn", headers={"Accept": "text/plain"})
        self.assertEqual(source.bytes.decode(), DAG_FILE % "churn")
        stats = self.get("/api/v2/dagStats")
        self.assertEqual(stats["total_entries"], 1)
        self.assertEqual({s["state"]: s["count"] for s in stats["dags"][0]["stats"]},
                         {"queued": 1, "running": 1, "success": 9, "failed": 1})

    def test_runs(self):
        runs = lambda query: self.get("/api/v2/dags/~/dagRuns?" + query)
        days = lambda query: [int(run["logical_date"][8:10]) for run in runs(query)["dag_runs"]]
        self.assertEqual(days("limit=3"), [1, 2, 3])
        self.assertEqual(days("limit=2&offset=1&order_by=-run_after"), [11, 10])
        self.assertEqual(days("state=failed&state=running"), [7, 11])
        self.assertEqual(days("run_type=scheduled"), [11, 12])
        self.assertEqual(days("run_after_gte=2026-01-12T00:00:00.000000%2B0000"), [11, 12])
        self.assertEqual(days("logical_date_lt=2026-01-03"), [1, 2])
        self.assertEqual(days("end_date_gt=2026-02-01T00:00:00Z"), [11, 12])  # none counts as now
        self.assertEqual(days("order_by=-duration&limit=1")[0] <= 10, True)
        self.assertEqual(days("run_id_pattern=2026-01-0_"), list(range(1, 10)))
        self.assertEqual(runs("limit=0")["total_entries"], 12)
        run = self.get(run_path())
        self.assertEqual((run["state"], run["duration"], run["conf"]), ("failed", 60.0, {"k": 1}))

    def test_tasks_and_logs(self):
        tasks = self.get(run_path("/taskInstances"))["task_instances"]
        self.assertEqual([(t["task_id"], t["state"]) for t in tasks],
                         [("ingest", "success"), ("check", "failed"), ("notify", "upstream_failed")])
        none = self.get("/api/v2/dags/~/dagRuns/~/taskInstances?state=no_status&state=running")
        self.assertEqual(none["total_entries"], 5)
        self.assertIn(None, [t["state"] for t in none["task_instances"]])
        self.assertEqual(self.get(run_path("/taskInstances?pool=default_pool&operator=noop&limit=1"))["total_entries"], 3)
        self.assertEqual(self.get(run_path("/taskInstances?pool=other"))["total_entries"], 0)
        self.assertEqual(self.get(run_path("/taskInstances/check"))["rendered_fields"], {"x": "y"})
        tries = self.get(run_path("/taskInstances/ingest/tries"))
        self.assertEqual([t["try_number"] for t in tries["task_instances"]], [1, 2])
        log = run_path("/taskInstances/check/logs/1")
        lines = [line["event"] for line in self.get(log)["content"]]
        self.assertEqual(lines, ["first line", "bad \ufffd byte", "x" * 100, "last, no line end"])
        ndjson = self.request("GET", log, headers={"Accept": "application/x-ndjson"})
        self.assertEqual([json.loads(line)["event"] for line in ndjson.bytes.splitlines()], lines)
        self.assertTrue(self.get(log, Accept="text/plain").endswith(b"last, no line end"))
        self.get(log, status=406, Accept="image/png")
        self.get(log + "?token=nonsense", status=400)
        self.get(run_path("/taskInstances/check/logs/9"), status=404)
        self.get(run_path("/taskInstances/check/logs/x"), status=422)
        self.get(run_path("/taskInstances/ingest/logs/2"))  # it has no file yet

    def test_running_log_goes_on(self):
        log = run_path("/taskInstances/check/logs/1", "scheduled__2026-01-11T00:00:00+00:00")
        first = self.get(log)
        self.assertEqual(len(first["content"]), 3)  # the unfinished line waits
        token = first["continuation_token"]
        with open(os.path.join(self.state, "logs", "11", "1.-1.1.log"), "ab") as file:
            file.write(b" yet\nmore\n2026-01-01T00:00:01.500000Z stderr told by the task\n")
        second = self.get(log + "?token=" + token)
        self.assertEqual(second["content"].pop(), {"event": "told by the task", "logger": "stderr",
                                                   "timestamp": "2026-01-01T00:00:01.500000Z"})
        self.assertEqual([line["event"] for line in second["content"]], ["last, no line end yet", "more"])
        tail = self.get(log + "?tail=60")
        self.assertEqual([line["event"] for line in tail["content"]], ["more", "told by the task"])

    def test_own_views(self):
        explain = self.get("/api/millrace/v1/dags/churn/dagRuns/" + urllib.parse.quote(RUN, safe="") + "/explain")
        by_id = {task["task_id"]: task for task in explain["tasks"]}
        self.assertEqual(by_id["check"]["why"], "Failed at try 1 of 3: exit code 3")
        self.assertIn("upstream_failed: check", by_id["notify"]["why"])
        self.assertEqual(by_id["notify"]["upstream"], [{"task_id": "check", "state": "failed"}])
        self.assertTrue(explain["transitions"])
        running = self.get("/api/millrace/v1/dags/churn/dagRuns/scheduled__2026-01-11T00%3A00%3A00%2B00%3A00/explain")
        self.assertEqual(running["tasks"][2]["why"], "Waits for check (running)")
        progress = self.get("/api/millrace/v1/backfills/1/progress")
        self.assertEqual([progress[k] for k in ("total", "succeeded", "failed", "skipped", "remaining")],
                         [20, 9, 1, 2, 8])
        self.assertAlmostEqual(progress["runs_per_second"], 1 / 30)
        self.assertAlmostEqual(progress["eta_seconds"], 8 * 30)
        summary = self.get("/api/millrace/v1/runs-summary")["dags"]
        self.assertEqual([(dag["dag_id"], len(dag["runs"])) for dag in summary], [("churn", 12), ("train", 0)])
        document = self.get("/openapi.json")
        self.assertIn("post", document["paths"]["/api/v2/dags/{dag_id}/dagRuns"])
        self.assertTrue(all(op["summary"] for path in document["paths"].values() for op in path.values()))

    def test_errors(self):
        shapes = Shapes()
        for path, status in (
                ("/api/v2/dags/nope", 404), ("/api/v2/dags/nope/dagRuns", 404), ("/api/v2/dags/churn/tasks/nope", 404),
                (run_path("", "nope"), 404), (run_path("/taskInstances/nope"), 404), ("/api/v2/backfills/99", 404),
                ("/api/v2/importErrors/99", 404), ("/api/v2/pools/nope", 404), ("/api/v2/nope", 404), ("/nope", 404),
                ("/api/v2/dags/churn/dagRuns?order_by=password", 400), ("/api/v2/dags?order_by=x", 400),
                ("/api/v2/dags/a%2fb", 400), ("/api/v2/dags/%00", 400), ("/api/v2/dags/..", 400),
                ("/api/v2/dags?limit=-1", 422), ("/api/v2/dags?paused=maybe", 422), ("/api/v2/backfills", 422),
                ("/api/v2/dags/~/dagRuns?state=done", 422), ("/api/v2/dags/~/dagRuns?bogus=1", 422),
                ("/api/v2/backfills/x", 422), ("/assets/000000000000/app.js", 404), ("/health", 404)):
            answer = self.get(path, status=status)
            if status == 422:
                shapes.check("HTTPValidationError", answer)
        self.assertEqual(self.request("DELETE", "/api/v2/dags/churn").status, 405)
        self.assertEqual(self.request("DELETE", "/api/v2/dags/churn").headers["allow"], "GET, PATCH")
        head = self.request("HEAD", "/api/v2/version")
        self.assertEqual((head.status, head.bytes), (200, b""))

    def test_hosts(self):
        for host, status in (("localhost:%d", 200), ("[::1]:%d", 200), ("evil.example", 403), ("localhost", 403),
                             ("127.0.0.1:%d.evil.example", 403)):
            host = host % self.port if "%d" in host else host
            self.get("/api/v2/version", status=status, Host=host)

    def test_injection_is_text(self):
        for text in ("' OR 1=1 --", "%", "\"; DROP TABLE run; --"):
            quoted = urllib.parse.quote(text, safe="")
            self.get(f"/api/v2/dags/{quoted}", status=404)
            self.get(f"/api/v2/dags/~/dagRuns?run_id_pattern={quoted}")
            self.get(f"/api/v2/dags/~/dagRuns?order_by={quoted}", status=400)
        self.assertEqual(self.get("/api/v2/dags/~/dagRuns")["total_entries"], 12)


class Change(WebCase):
    def setUp(self):
        super().setUp()
        self.start_scheduler()

    def test_changes(self):
        shapes = Shapes()
        dag = self.request("PATCH", "/api/v2/dags/churn?update_mask=is_paused", {"is_paused": True})
        self.assertEqual((dag.status, dag.json["is_paused"]), (200, True))
        shapes.check("DAGResponse", dag.json)
        run = self.request("POST", "/api/v2/dags/churn/dagRuns",
                           {"logical_date": None, "dag_run_id": "m+1", "conf": {"a": [1]}, "note": "by hand"})
        self.assertEqual(run.status, 200, run.bytes)
        shapes.check("DAGRunResponse", run.json)
        self.assertEqual((run.json["dag_run_id"], run.json["conf"], run.json["logical_date"], run.json["triggered_by"]),
                         ("m+1", {"a": [1]}, None, "rest_api"))
        body = {"dag_id": "churn", "from_date": "2026-01-01T00:00:00+00:00", "to_date": "2026-01-03T01:00:00+01:00"}
        backfill = self.request("POST", "/api/v2/backfills", dict(body, run_on_latest_version=True, max_active_runs=3))
        self.assertEqual(backfill.status, 200, backfill.bytes)
        shapes.check("BackfillResponse", backfill.json)
        self.assertEqual((backfill.json["to_date"], backfill.json["max_active_runs"]), ("2026-01-03T00:00:00Z", 3))
        self.assertTrue(self.request("PUT", "/api/v2/backfills/50/pause").json["is_paused"])
        self.assertFalse(self.request("PUT", "/api/v2/backfills/50/unpause").json["is_paused"])
        cancelled = self.request("PUT", "/api/v2/backfills/50/cancel").json
        self.assertIsNotNone(cancelled["completed_at"])
        kinds = [command["command"] for command in self.scheduler.commands]
        self.assertEqual(kinds, ["set_paused", "trigger", "backfill_create"] + 3 * ["backfill_control"])
        preview = self.request("POST", "/api/v2/backfills/dry_run", dict(body, to_date="2026-01-15T00:00:00Z"))
        shapes.check("DryRunBackfillCollectionResponse", preview.json)
        self.assertEqual([d["logical_date"][:10] for d in preview.json["backfills"]],
                         ["2026-01-13", "2026-01-14", "2026-01-15"])  # the first twelve exist
        again = self.request("POST", "/api/v2/backfills/dry_run",
                             dict(body, to_date="2026-01-12T00:00:00Z", reprocess_behavior="failed"))
        self.assertEqual([d["logical_date"][:10] for d in again.json["backfills"]], ["2026-01-07"])

    def test_refusals(self):
        for code, status in (("conflict", 409), ("not_found", 404), ("invalid", 422), ("bad_request", 400),
                             ("unknown word", 500)):
            self.scheduler.refusal = (code, "why not")
            answer = self.request("POST", "/api/v2/dags/churn/dagRuns", {})
            self.assertEqual(answer.status, status)
            detail = answer.json["detail"]
            self.assertEqual(detail["message"] if status == 409 else detail, "why not")

    def test_bad_bodies(self):
        runs, backfills = "/api/v2/dags/churn/dagRuns", "/api/v2/backfills"
        full = {"dag_id": "churn", "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-03T00:00:00Z"}
        for method, path, body, status in (
                ("POST", runs, "{", 422), ("POST", runs, "[]", 422), ("POST", runs, "", 422),
                ("POST", runs, '{"conf": 1}', 422), ("POST", runs, '{"nope": 1}', 422),
                ("POST", runs, '{"dag_run_id": "../x"}', 422), ("POST", runs, '{"dag_run_id": 5}', 422),
                ("POST", runs, '{"logical_date": "2026-01-01T00:00:00"}', 422),
                ("POST", runs, '{"data_interval_start": "2026-01-01T00:00:00Z"}', 422),
                ("POST", runs, '{"note": "' + "x" * 1001 + '"}', 422), ("POST", runs, b'{"note": "\xff"}', 422),
                ("POST", runs, '{"conf": ' + "[" * 5000 + "]" * 5000 + "}", 422),
                ("POST", "/api/v2/dags/nope/dagRuns", "{}", 404),
                ("POST", backfills, "{}", 422), ("POST", backfills, json.dumps(dict(full, dag_id="nope")), 404),
                ("POST", backfills, json.dumps(dict(full, max_active_runs=0)), 422),
                ("POST", backfills, json.dumps(dict(full, max_active_runs="3")), 422),
                ("POST", backfills, json.dumps(dict(full, reprocess_behavior="all")), 422),
                ("POST", backfills, json.dumps(dict(full, to_date="2025-01-01T00:00:00Z")), 422),
                ("PATCH", "/api/v2/dags/churn", "{}", 422), ("PATCH", "/api/v2/dags/churn", '{"is_paused": "yes"}', 422),
                ("PATCH", "/api/v2/dags/churn?update_mask=owner", '{"is_paused": true}', 400),
                ("PATCH", "/api/v2/dags/nope", '{"is_paused": true}', 404), ("PUT", "/api/v2/backfills/99/pause", "", 404)):
            answer = self.request(method, path, body, {"Content-Type": "application/json"})
            self.assertEqual(answer.status, status, f"{method} {path} {body[:60]!r}: {answer.bytes}")
        self.assertEqual(self.request("POST", runs, "{}", {"Content-Type": "text/plain"}).status, 415)
        many = self.request("POST", backfills, {"from_date": 1, "run_backwards": "no", "x": 1})
        self.assertEqual(sorted(".".join(map(str, p["loc"])) for p in many.json["detail"]),
                         ["body.dag_id", "body.from_date", "body.run_backwards", "body.to_date", "body.x"])
        self.assertEqual(self.scheduler.commands, [])

    def test_huge_bodies(self):
        for chunked in (False, True):
            with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
                head = f"POST /api/v2/backfills HTTP/1.1\r\nHost: localhost:{self.port}\r\n"
                head += "Content-Type: application/json\r\n"
                head += "Transfer-Encoding: chunked\r\n\r\n" if chunked else "Content-Length: 9999999\r\n\r\n"
                client.sendall(head.encode())
                try:
                    for _ in range(20 if chunked else 0):
                        client.sendall(b"10000\r\n" + b"[" * 65536 + b"\r\n")
                    if chunked:
                        client.sendall(b"0\r\n\r\n")
                except OSError:
                    pass
                self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 413 "))
        self.get("/api/v2/version")

    def test_origins(self):
        for headers, status in (
                ({}, 200), ({"Origin": f"http://localhost:{self.port}"}, 200), ({"Origin": "http://evil.example"}, 403),
                ({"Origin": "null"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403),
                ({"Sec-Fetch-Site": "same-origin"}, 200)):
            answer = self.request("PATCH", "/api/v2/dags/churn", {"is_paused": True}, headers)
            self.assertEqual(answer.status, status, headers)

    def test_scheduler_dies_while_asked(self):
        self.scheduler.silent = True
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(
            self.request("PATCH", "/api/v2/dags/churn", {"is_paused": True})))
        waiting.start()
        harness.wait_until(lambda: self.scheduler.commands, what="the command")
        self.get("/api/v2/dags")  # others are served meanwhile
        self.scheduler.close()
        self.scheduler = None
        waiting.join()
        self.assertEqual(answers[0].status, 503)
        self.start_scheduler()  # and it connects again
        self.assertEqual(self.request("PATCH", "/api/v2/dags/churn", {"is_paused": False}).status, 200)

    def test_client_leaves_while_waiting(self):
        self.scheduler.silent = True
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            body = b'{"is_paused": true}'
            client.sendall(b"PATCH /api/v2/dags/churn HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: "
                           b"application/json\r\nContent-Length: %d\r\n\r\n" % (self.port, len(body)) + body)
            harness.wait_until(lambda: self.scheduler.commands, what="the command")
        self.scheduler.answer(self.scheduler.commands[0])
        self.get("/api/v2/version")


class Stream(WebCase):
    def open(self, last=None):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        head = f"GET /api/millrace/v1/events HTTP/1.1\r\nHost: localhost:{self.port}\r\n"
        head += f"Last-Event-ID: {last}\r\n" if last is not None else ""
        client.sendall((head + "\r\n").encode())
        self.addCleanup(client.close)
        return client, [b""]

    def until(self, stream, text):
        client, seen = stream
        while text not in seen[0]:
            piece = client.recv(65536)
            self.assertTrue(piece, "the stream ended")
            seen[0] += piece
        return seen[0]

    def test_events(self):
        self.start_scheduler()
        stream = self.open()
        head = self.until(stream, b"event: hello")
        self.assertIn(b"Content-Type: text/event-stream", head)
        last = self.db.execute("SELECT MAX(seq) FROM transition").fetchone()[0]
        insert(self.db, "transition", at=START, run=11, task=1, map_index=-1, try_number=1, from_state="running",
               to_state="success", reason="\"quoted\"\nline")
        self.db.commit()
        self.scheduler.send({"kind": "notify", "seq": last + 1})
        text = self.until(stream, b"\"to\":\"success\"").decode()
        self.assertIn(f"id: {last + 1}\ndata: ", text)
        data = json.loads(re.search(rf"id: {last + 1}\ndata: (.*)\n", text)[1])
        self.assertEqual((data["task_id"], data["dag_id"], data["reason"]), ("check", "churn", "\"quoted\"\nline"))
        resumed = self.open(last - 1)
        text = self.until(resumed, b"event: hello").decode()
        self.assertEqual(re.findall(r"id: (\d+)\ndata: {\"seq\"", text), [str(last), str(last + 1)])
        strange = self.open(10**9)
        self.until(strange, b"event: resync")
        self.get("/api/millrace/v1/events?last_event_id=x", status=400)

    def test_ends_with_streams_open(self):
        streams = [self.open() for _ in range(20)]
        for stream in streams:
            self.until(stream, b"event: hello")
        # tearDown() asks it to end; it must, with 20 streams open.


class Empty(WebCase):
    prepared = False

    def test_before_the_database(self):
        self.get("/api/v2/dags", status=503)
        self.assertEqual(self.get("/api/v2/monitor/health")["metadatabase"]["status"], "unhealthy")
        self.assertIn(b"<title>Millrace</title>", self.request("GET", "/").bytes)
        self.db = make_state(self.state)
        self.assertEqual(self.get("/api/v2/dags")["total_entries"], 2)
        answer = self.request("PATCH", "/api/v2/dags/churn", {"is_paused": True})
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "2"))

    def test_database_is_replaced(self):
        self.db = make_state(self.state)
        self.assertEqual(self.get("/api/v2/dags")["total_entries"], 2)
        self.db.close()
        for name in os.listdir(self.state):
            if name.startswith("state.db"):
                os.unlink(os.path.join(self.state, name))
        self.get("/api/v2/dags", status=503)
        self.db = make_state(self.state)
        self.db.execute("DELETE FROM dag WHERE dag_id = 'train'")
        self.db.commit()
        self.assertEqual(self.get("/api/v2/dags")["total_entries"], 1)

    def test_slow_clients_are_cut(self):
        """One byte a second: libmicrohttpd's own timeout never comes, the absolute deadline does."""
        with socket.create_connection(("127.0.0.1", self.port)) as client:
            for byte in b"GET / HTTP/1.1\r\nX-Slow: " + b"x" * 60:
                try:
                    client.sendall(bytes((byte,)))
                except OSError:
                    return
                if select.select([client], [], [], 0.5)[0] and client.recv(1000) == b"":
                    return
        self.fail("the connection was still open after 40 s")

    def test_smuggling_is_refused(self):
        for lines in ("Content-Length: 2\r\nContent-Length: 2\r\n", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                      "Host: evil.example\r\n"):
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as client:
                client.sendall(f"POST /api/v2/backfills HTTP/1.1\r\nHost: localhost:{self.port}\r\n{lines}\r\n{{}}".encode())
                self.assertIn(b" 400 ", client.recv(200), lines)


if __name__ == "__main__":
    unittest.main()
