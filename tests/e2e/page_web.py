"""The status page in a real browser, on a prepared database with a scheduler played by the test.

Drives headless Chromium over its debugging pipe. Looks at what is shown, at changes that appear
without a reload, at errors and policy violations in the console, at names of controls, and at the
width of a phone. MILLRACE_SHOTS=<folder> keeps a picture of every view.
"""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
import unittest

import harness
from api_web import RUN, START, FakeScheduler, WebCase, insert

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
RUNNING = "scheduled__2026-01-11T00%3A00%3A00%2B00%3A00"
FAILED = "scheduled__2026-01-07T00%3A00%3A00%2B00%3A00"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

# What every view must have: names on controls, headers on tables, nothing wider than the window.
FINDINGS = """(() => {
  const found = [];
  const name = (node) => (node.getAttribute('aria-label') || node.textContent || node.title || '').trim();
  for (const node of document.querySelectorAll('a, button, summary'))
    if (!name(node)) found.push('no name: ' + node.outerHTML.slice(0, 80));
  for (const node of document.querySelectorAll('input, select, textarea'))
    if (!node.labels.length && !node.getAttribute('aria-label')) found.push('no label: ' + node.outerHTML.slice(0, 80));
  for (const node of document.querySelectorAll('thead th, tbody th'))
    if (!node.scope) found.push('no scope: ' + node.outerHTML.slice(0, 80));
  for (const node of document.querySelectorAll('a:not([href])')) found.push('no way there: ' + node.outerHTML);
  for (const node of document.querySelectorAll('.chip, .bar')) if (!node.textContent.trim()) found.push('no shape');
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
  if (!document.documentElement.lang) found.push('no language');
  const width = document.scrollingElement.scrollWidth;
  if (width > innerWidth) found.push('wider than the window: ' + width + ' > ' + innerWidth);
  return found;
})()"""


class Browser:
    """Chromium with one tab, spoken to over descriptors 3 and 4: JSON documents ended by NUL."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="millrace-browser-")
        read_by_browser, self.output = os.pipe()
        self.input, written_by_browser = os.pipe()
        script = f"exec {BROWSER} \"$@\" 3<&{read_by_browser} 4>&{written_by_browser}"
        self.process = subprocess.Popen(
            ["bash", "-c", script, "browser", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--hide-scrollbars", f"--user-data-dir={self.profile}", "--remote-debugging-pipe", "about:blank"],
            pass_fds=(read_by_browser, written_by_browser), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read_by_browser)
        os.close(written_by_browser)
        self.pending = b""
        self.last_id = 0
        self.session = None
        self.trouble = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def read(self, seconds):
        end = time.monotonic() + seconds
        while b"\0" not in self.pending:
            if not select.select([self.input], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError("the browser does not answer")
            piece = os.read(self.input, 1 << 20)
            if not piece:
                raise AssertionError("the browser has ended")
            self.pending += piece
        text, self.pending = self.pending.split(b"\0", 1)
        message = json.loads(text)
        if message.get("method") == "Runtime.exceptionThrown":
            self.trouble.append(json.dumps(message["params"]["exceptionDetails"])[:400])
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.trouble.append(message["params"]["entry"]["text"] + " " + message["params"]["entry"].get("url", ""))
        return message

    def call(self, method, **params):
        self.last_id += 1
        document = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            document["sessionId"] = self.session
        os.write(self.output, json.dumps(document).encode() + b"\0")
        while True:
            message = self.read(30)
            if message.get("id") == self.last_id:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]

    def value(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def text(self):
        # Of the log also what is outside the window, which innerText leaves away.
        return self.value("document.body ? document.body.innerText + '\\n' + "
                          "[...document.querySelectorAll('.log')].map((node) => node.textContent).join('') : ''")

    def size(self, width, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def shot(self, name):
        folder = os.environ.get("MILLRACE_SHOTS")
        if folder:
            data = self.call("Page.captureScreenshot", format="png")["data"]
            with open(os.path.join(folder, name + ".png"), "wb") as file:
                file.write(base64.b64decode(data))

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.input)
        os.close(self.output)
        shutil.rmtree(self.profile, ignore_errors=True)


class Page(WebCase):
    def setUp(self):
        super().setUp()
        self.browser = Browser()
        self.browser.size(1200)
        self.start_scheduler()

    def tearDown(self):
        self.browser.close()
        super().tearDown()

    def open(self, address):
        self.browser.call("Page.navigate", url=f"http://127.0.0.1:{self.port}/{address}")

    def shows(self, *texts):
        try:
            harness.wait_until(lambda: all(text in self.browser.text() for text in texts), seconds=20)
        except AssertionError:
            self.fail(f"the page does not show {texts} but {self.browser.text()[:900]!r}")

    def click(self, script):
        self.assertTrue(self.browser.value(f"(() => {{ const node = {script}; if (node) node.click(); return !!node; }})()"),
                        script)

    def test_views(self):
        views = (("", ("DAGs", "churn", "train", "paused", "1 DAG file has errors", "live")),
                 ("#/dags/churn", ("Backfill 1", "12 of 20", "0 0 * * *", RUN)),
                 (f"#/dags/churn/runs/{FAILED}", ("upstream failed", "Failed at try 1 of 3: exit code 3")),
                 (f"#/dags/churn/runs/{FAILED}/tasks/check", ("first line", "last, no line end", "4 lines")),
                 ("#/backfills/1", ("12 of 20: 9 succeeded, 1 failed, 2 skipped", "Time left", "Pause")),
                 ("#/nonsense", ("There is no such page",)),
                 ("#/dags/nope", ("The DAG with ID: `nope` was not found",)))
        for index, (address, texts) in enumerate(views):
            for scheme in ("light", "dark"):
                self.browser.call("Emulation.setEmulatedMedia",
                                  features=[{"name": "prefers-color-scheme", "value": scheme}])
                for width in (1200, 360):
                    self.browser.size(width)
                    self.open(address)
                    self.shows(*texts)
                    self.assertEqual(self.browser.value(FINDINGS), [], f"{address} at {width} px")
                    self.browser.shot(f"{index}-{scheme}-{width}")
        trouble = [line for line in self.browser.trouble if "404" not in line]
        self.assertEqual(trouble, [])
        self.open("")
        self.shows("churn")
        self.assertEqual(self.browser.value("document.querySelectorAll('.bars li').length"), 12)
        self.assertEqual(self.browser.value("getComputedStyle(document.querySelector('.bar.s-failed')).backgroundColor"),
                         "rgb(240, 2, 0)")

    def test_mapped_tasks(self):
        self.db.execute("DELETE FROM task_instance WHERE run = 11 AND task = 2")
        for index in range(150):
            insert(self.db, "task_instance", run=11, task=2, map_index=index, task_id="notify", try_number=1, max_tries=2,
                   state="failed" if index == 70 else "up_for_reschedule" if index == 71 else "success",
                   started_at=START, ended_at=None if index == 71 else START + 5 * 10**6,
                   retry_at=START if index == 71 else None, wait_since=START if index == 71 else None,
                   reason={70: "exit_code 7", 71: "waiting_for: file in/71.csv"}.get(index))
        self.db.commit()
        rows = "document.querySelectorAll('tbody tr').length"
        self.open(f"#/dags/churn/runs/{RUNNING}")
        self.shows("150 instances", "148 ×", "notify[70]: ")
        self.assertEqual(self.browser.value(rows), 3)
        self.assertNotIn("notify[3]", self.browser.text())
        self.assertEqual(self.browser.value(FINDINGS), [])
        self.browser.shot("mapped")
        self.click("document.querySelector('button.fold')")
        self.shows("notify[3]", "in/71.csv", "Show more (100 of 150)")
        self.assertEqual(self.browser.value(FINDINGS), [])
        self.browser.shot("mapped-open")
        self.browser.size(360)
        self.assertEqual(self.browser.value(FINDINGS), [])
        self.click("document.querySelector('button.fold')")
        harness.wait_until(lambda: self.browser.value(rows) == 3, what="the instances to be folded")
        self.open(f"#/dags/churn/runs/{RUNNING}/tasks/notify%5B120%5D")  # the chosen one is always shown
        self.shows("notify[120]", "Show more (101 of 150)", "It has not been tried yet.")

    def test_reasons_of_pauses(self):
        self.db.execute("UPDATE dag SET is_paused = 1, pause_reason = 'max_consecutive_failed_dag_runs: 3'"
                        " WHERE dag_id = 'churn'")
        self.db.execute("UPDATE backfill SET is_paused = 1, pause_reason = 'run_failed: one', on_failure = 'stop',"
                        " tasks = '[\"check\"]', downstream = 1, is_forced = 1")
        self.db.commit()
        self.open("")
        self.shows("max_consecutive_failed_dag_runs: 3")
        self.open("#/dags/churn")
        self.shows("max_consecutive_failed_dag_runs: 3", "paused: run_failed: one")
        self.open("#/backfills/1")
        self.shows("paused: run_failed: one", "only check, with downstream", "stops at a failure", "also unchanged work",
                   "Resume")
        self.click("[...document.querySelectorAll('button')].find((node) => node.textContent === 'Retry what failed')")
        harness.wait_until(lambda: self.scheduler.commands, what="the command")
        self.assertEqual((self.scheduler.commands[0]["action"], self.scheduler.commands[0]["backfill"]), ("retry", 1))
        self.assertEqual(self.browser.trouble, [])

    def test_live(self):
        self.open(f"#/dags/churn/runs/{RUNNING}/tasks/check")
        self.shows("running", "Waits for check (running)", "bad")
        self.browser.value("window.mark = 1")
        with open(os.path.join(self.state, "logs", "11", "1.-1.1.log"), "ab") as log:
            log.write(b" and more\n\x1b[31mcoloured\x1b[0m\n")
        self.shows("last, no line end and more", "coloured")
        self.assertNotIn("\x1b", self.browser.text())
        self.db.execute("UPDATE task_instance SET state = 'failed', ended_at = ?, reason = ? WHERE run = 11 AND task = 1",
                        (START, HOSTILE))
        insert(self.db, "transition", at=START, run=11, task=1, map_index=-1, try_number=1, from_state="running",
               to_state="failed", reason=HOSTILE)
        self.db.commit()
        self.scheduler.send({"kind": "notify", "seq": 1000})
        self.shows("Failed at try 1 of 3: " + HOSTILE)
        self.assertNotEqual(self.browser.value("document.title"), "owned")
        self.assertEqual(self.browser.value("window.mark"), 1)
        self.scheduler.close()
        self.scheduler = None
        self.shows("scheduler is away")
        self.scheduler = FakeScheduler(self.state)
        self.shows("live")
        self.assertEqual(self.browser.trouble, [])

    def test_changes(self):
        self.open("")
        self.shows("churn", "active")
        self.click("document.querySelector('[role=switch][aria-checked=true]')")
        harness.wait_until(lambda: self.browser.value("document.querySelectorAll('[aria-checked=true]').length") == 0,
                           what="the switch")
        self.assertEqual(self.scheduler.commands[0]["is_paused"], True)
        self.open("#/dags/churn")
        self.shows("Trigger a run")
        self.click("document.querySelectorAll('details.form summary')[0]")
        type_in = "(() => {{ const node = document.querySelector('{}'); node.value = '{}'; node.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
        self.browser.value(type_in.format("textarea", "{broken"))
        self.click("[...document.querySelectorAll('button')].find((node) => node.textContent === 'Trigger')")
        self.shows("conf is no JSON")
        self.browser.value(type_in.format("textarea", "{\"a\": 1}"))
        self.click("[...document.querySelectorAll('button')].find((node) => node.textContent === 'Trigger')")
        self.shows("manual__x", "queued")
        self.assertEqual(self.scheduler.commands[-1]["conf"], {"a": 1})
        self.open("#/dags/churn")
        self.shows("Backfill a range")
        self.click("document.querySelectorAll('details.form summary')[1]")
        self.click("[...document.querySelectorAll('button')].find((node) => node.textContent === 'Preview')")
        self.shows("choose the first and the last day")
        self.browser.value("""(() => { const [from, to] = document.querySelectorAll('input[type=date]');
            from.value = '2026-01-10'; from.dispatchEvent(new Event('input', {bubbles: true}));
            setTimeout(() => { to.value = '2026-01-14'; to.dispatchEvent(new Event('input', {bubbles: true})); }, 100); })()""")
        harness.wait_until(lambda: self.browser.value("document.querySelectorAll('input[type=date]')[1].value") == "2026-01-14",
                           what="the second date")
        self.click("[...document.querySelectorAll('button')].find((node) => node.textContent === 'Preview')")
        self.shows("2 runs, from", "2026-01-14")
        self.click("[...document.querySelectorAll('button')].find((node) => node.textContent === 'Create')")
        self.shows("Backfill 50")
        self.click("[...document.querySelectorAll('button')].find((node) => node.textContent === 'Pause')")
        self.shows("Resume")
        self.scheduler.refusal = ("conflict", "no way")
        self.click("[...document.querySelectorAll('button')].find((node) => node.textContent === 'Cancel')")
        self.shows("no way")


if __name__ == "__main__":
    if BROWSER is None:
        harness.skip_all("no Chromium is installed")
    unittest.main()
