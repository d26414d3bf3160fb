"""Callbacks and deadlines with the real binaries: a webhook whose signature is checked, answered with
500 first; a command; a deadline that a restart finds missed; no secret anywhere."""
import hashlib
import hmac
import http.server
import json
import os
import sqlite3
import threading
import unittest

from harness import Case, wait_until

SECRET = "s3cr3t-of-the-test"


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Callbacks(Case):
    def setUp(self):
        super().setUp()
        self.receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.receiver.got = []
        self.receiver.answers = []
        threading.Thread(target=self.receiver.serve_forever, daemon=True).start()
        self.addCleanup(self.receiver.server_close)
        self.addCleanup(self.receiver.shutdown)
        self.url = f"http://127.0.0.1:{self.receiver.server_port}"
        self.project.write("secret", SECRET + "\n")

    def trigger(self, server, dag):
        status, run = server.request("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None})
        self.assertEqual(status, 200, run)
        return run["dag_run_id"]

    def callbacks(self, server, dag, run):
        return server.get(f"/api/millrace/v1/dags/{dag}/dagRuns/{run}/callbacks")["callbacks"]

    def test_a_webhook_is_signed_and_tried_again_and_a_command_is_told(self):
        self.receiver.answers = [500]
        self.project.write("dags/hooks.yaml", f"""
dag_id: hooks
on_failure_callback:
  - webhook:
      url: "{self.url}/run/{{{{ run_id }}}}"
      secret: {{file: secret}}
      headers: {{X-Token: {{file: secret}}}}
      retry_delay: 100ms
default_args:
  on_failure_callback: {{command: {{argv: [sh, -c, 'printf %s "$MILLRACE_CALLBACK" > told.json']}}}}
tasks:
  bad: {{type: command, with: {{argv: [sh, -c, "exit 3"]}}}}
""")
        server = self.project.serve()
        run = self.trigger(server, "hooks")
        wait_until(lambda: [c["state"] for c in self.callbacks(server, "hooks", run)] == ["success"] * 2,
                   what="the callbacks")
        done = self.callbacks(server, "hooks", run)
        self.assertEqual(sorted((c["kind"], c["event"], c["task_id"], c["tries"]) for c in done),
                         [("command", "failure", "bad", 1), ("webhook", "failure", None, 2)])
        (path, headers, body), (_, _, again) = self.receiver.got
        self.assertEqual((path, body), (f"/run/{run}", again))
        told = json.loads(body)
        self.assertEqual((told["event"], told["of"], told["run_state"], told["reason"], told["dag_id"]),
                         ("failure", "run", "failed", "task_failed: bad", "hooks"))
        self.assertEqual(headers["Webhook-Id"], told["id"])
        self.assertEqual(headers["X-Token"], SECRET)
        time, signature = headers["X-Millrace-Signature"].split(",")
        message = time.removeprefix("t=").encode() + b"." + body
        self.assertEqual(signature, "v1=" + hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest())
        with open(self.project.path("told.json")) as file:
            told = json.load(file)
        self.assertEqual((told["task_id"], told["try_number"], told["task_state"], told["reason"]),
                         ("bad", 1, "failed", "exit code 3"))
        why = server.get(f"/api/millrace/v1/dags/hooks/dagRuns/{run}/explain")
        self.assertEqual(len(why["callbacks"]), 2)
        self.assertNotIn(SECRET, json.dumps(why))
        server.stop()
        for folder, _, files in os.walk(self.project.path(".millrace")):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    self.assertNotIn(SECRET.encode(), file.read(), name)

    def test_a_run_without_server_tells_before_it_ends(self):
        self.project.write("told.yaml", """
dag_id: told
on_failure_callback: {command: {argv: [sh, -c, 'sleep 0.3; printf %s "$MILLRACE_CALLBACK" > told.json']}}
tasks:
  bad: {type: command, with: {argv: [sh, -c, "exit 3"]}}
""")
        done = self.project.command("run", "told.yaml")
        self.assertEqual(done.returncode, 6, done.stderr)
        with open(self.project.path("told.json")) as file:
            self.assertEqual(json.load(file)["run_state"], "failed")

    def test_a_callback_survives_a_restart_and_a_missed_deadline_is_told_of(self):
        self.receiver.answers = [500] * 3
        self.project.write("dags/late.yaml", f"""
dag_id: late
deadline:
  reference: queued_at
  interval: 2s
  callback: {{webhook: {{url: "{self.url}/late", retry_delay: 1s}}}}
tasks:
  slow: {{type: sensor, with: {{file: never, poke_interval: 1h}}}}
""")
        server = self.project.serve()
        run = self.trigger(server, "late")
        server.stop()
        with sqlite3.connect(self.project.path(".millrace/state.db")) as state:
            self.assertEqual(state.execute("SELECT count(*) FROM callback").fetchone(), (0,))
        # The worker may stay a while, with a look of the sensor that it could not hand over.
        wait_until(lambda: not self.project.pids("scheduler"), what="the end of the scheduler")
        threading.Event().wait(2)
        server = self.project.serve()
        wait_until(lambda: self.receiver.got, what="the first try")
        server.stop()
        server = self.project.serve()
        wait_until(lambda: [c["state"] for c in self.callbacks(server, "late", run)] == ["success"],
                   what="the callback")
        told = [json.loads(body) for _, _, body in self.receiver.got]
        self.assertEqual({t["id"] for t in told}, {told[0]["id"]})
        self.assertEqual(told[0]["event"], "deadline")
        self.assertIn("deadline_missed: queued_at + 2s", told[0]["reason"])
        self.assertEqual(len(self.callbacks(server, "late", run)), 1)


if __name__ == "__main__":
    unittest.main()
