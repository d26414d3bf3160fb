"""Sensors with the real binaries: each kind satisfied while it waits, a slot that is free meanwhile,
a server that restarts in between, thousands that wait at once."""
import http.server
import json
import os
import threading
import time
import unittest

from harness import SANITIZED, Case, wait_until


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers with the server's `answer` (status, body) and keeps what it was asked."""

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        status, body = self.server.answer
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def listen(case):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.asked = []
    server.answer = (404, b"")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    case.addCleanup(server.server_close)
    case.addCleanup(server.shutdown)
    return server


class Sensors(Case):
    def trigger(self, server, dag, **body):
        status, run = server.request("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, **body})
        self.assertEqual(status, 200, run)
        return f"/api/v2/dags/{dag}/dagRuns/{run['dag_run_id']}"

    def task(self, server, run, name):
        return server.get(f"{run}/taskInstances/{name}")

    def wait_state(self, server, run, name, *states):
        return wait_until(lambda: (t := self.task(server, run, name))["state"] in states and t,
                          what=f"{name} {states}")

    def explain(self, server, run, name):
        told = server.get(run.replace("/api/v2", "/api/millrace/v1") + "/explain")
        return next(t["why"] for t in told["tasks"] if t["task_id"] == name)

    def test_every_kind_is_satisfied_while_it_waits(self):
        answers = listen(self)
        url = f"http://user:hush@127.0.0.1:{answers.server_port}/ready?key=hush"
        self.project.write("token", "hush\n")
        self.project.write("dags/waits.yaml", f"""
dag_id: waits
tasks:
  file:
    type: sensor
    with: {{file: "raw/x-*.csv", poke_interval: 200ms}}
  dataset:
    type: sensor
    with: {{dataset: lake/events/dt=2026-01-01, poke_interval: 200ms}}
  http:
    type: sensor
    with:
      http:
        url: "{url}"
        headers: {{Authorization: {{file: token}}}}
        json_path: job.state
        matches: "^done$"
      poke_interval: 200ms
  sql:
    type: sensor
    with: {{sql: "SELECT count(*) >= 2 FROM read_csv('raw/x-*.csv')", poke_interval: 200ms}}
    depends_on: [file]
  time:
    type: sensor
    with: {{delta: 1s}}
  external:
    type: sensor
    with: {{external_task: {{dag_id: other, logical_date: "2026-01-01"}}}}
  after:
    type: noop
    depends_on: [file, dataset, http, sql, time, external]
""")
        self.project.write("dags/other.yaml", "dag_id: other\ntasks: {a: {type: noop}}\n")
        server = self.project.serve()
        run = self.trigger(server, "waits")
        for name in ("file", "dataset", "http"):
            self.wait_state(server, run, name, "up_for_reschedule")
        self.wait_state(server, run, "external", "deferred")
        why = wait_until(lambda: "poke 3" in (w := self.explain(server, run, "file")) and w, what="poke 3")
        self.assertIn("waiting_for: file raw/x-*.csv, poke 3, next at ", why)
        self.assertIn(", until ", why)
        # One try, however many pokes; the attempt tells of the last one.
        status, tries = server.request("GET", f"{run}/taskInstances/file/tries")
        self.assertEqual((status, tries["total_entries"]), (200, 1))
        self.project.write("raw/x-1.csv", "a\n1\n")
        self.wait_state(server, run, "file", "success")
        answers.answer = (200, json.dumps({"job": {"state": "running"}}).encode())
        wait_until(lambda: "status 200" in self.explain(server, run, "http"), what="an answer that is not it")
        self.assertEqual(answers.asked[0][1]["Authorization"], "hush")
        answers.answer = (200, json.dumps({"job": {"state": "done"}}).encode())
        self.wait_state(server, run, "http", "success")
        self.wait_state(server, run, "sql", "up_for_reschedule")
        self.project.write("raw/x-2.csv", "a\n2\n")
        self.wait_state(server, run, "sql", "success")
        self.project.write("lake/events/dt=2026-01-01/_manifest.json",
                           '{"version": "v", "content": {"rows": 1}, "written": {"at": "2026-01-01T00:00:00Z"}}')
        self.trigger(server, "other", logical_date="2026-01-01T00:00:00Z")
        wait_until(lambda: server.get(run)["state"] == "success", what="the run's success")
        self.assertEqual(self.task(server, run, "file")["try_number"], 1)
        log = server.request("GET", f"{run}/taskInstances/http/logs/1")[1]
        self.assertIn("reschedule", json.dumps(log))
        # The secret is nowhere: the log, the state folder (but for the DAG file's own text).
        self.assertNotIn("hush", json.dumps(log))
        for name in ("dataset", "file", "http"):
            self.assertNotIn("hush", self.explain(server, run, name))

    def test_a_redirect_is_not_followed(self):
        answers = listen(self)
        answers.answer = (302, b"")
        self.project.write("dags/r.yaml", f"""
dag_id: r
tasks:
  s: {{type: sensor, with: {{http: "http://127.0.0.1:{answers.server_port}/x"}}}}
""")
        server = self.project.serve()
        run = self.trigger(server, "r")
        self.assertIn("status 302", self.wait_state(server, run, "s", "failed")["reason"])
        self.assertEqual([path for path, _ in answers.asked], ["/x"])

    def test_a_restart_in_the_middle_goes_on_waiting(self):
        self.project.write("dags/w.yaml", """
dag_id: w
tasks:
  s: {type: sensor, with: {file: raw/x, poke_interval: 300ms, timeout: 1h}}
  soft: {type: sensor, with: {file: raw/never, poke_interval: 300ms, timeout: 2s, soft_fail: true}}
""")
        server = self.project.serve()
        run = self.trigger(server, "w")
        self.wait_state(server, run, "s", "up_for_reschedule")
        server.stop()
        server = self.project.serve()
        self.wait_state(server, run, "s", "up_for_reschedule")
        self.assertIn("sensor_timeout", self.wait_state(server, run, "soft", "skipped")["reason"])
        self.project.write("raw/x", "")
        self.assertEqual(self.wait_state(server, run, "s", "success")["try_number"], 1)

    def test_thousands_wait_and_others_start(self):
        count = 5000
        tasks = "".join(f"  s{i}: {{type: sensor, with: {{file: raw/{i}, poke_interval: 1h}}}}\n" for i in range(count))
        self.project.write("dags/many.yaml", f"dag_id: many\nmax_active_tasks: 1000\ntasks:\n{tasks}")
        self.project.write("dags/one.yaml", "dag_id: one\ntasks: {a: {type: command, with: {argv: [\"true\"]}}}\n")
        server = self.project.serve()
        run = self.trigger(server, "many")
        waiting = lambda: server.get(f"{run}/taskInstances?state=up_for_reschedule&limit=1")["total_entries"]
        wait_until(lambda: waiting() == count, seconds=300, what="all to wait")
        other = self.trigger(server, "one")
        wait_until(lambda: server.get(other)["state"] == "success", what="the other DAG's run")
        runners = [pid for pid in self.project.pids("--runner")]
        self.assertLess(len(runners), 30)
        pid = self.project.pids("scheduler")[0]
        with open(f"/proc/{pid}/status") as file:
            memory = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        print(f"scheduler with {count} sensors waiting: {memory} kB")
        if not SANITIZED:  # which multiply it
            self.assertLess(memory, 120_000)


if __name__ == "__main__":
    unittest.main()
