"""Assets, end to end: a published dataset starts the DAGs that wait for it, one run per partition, from
a server's own runs and from a `millrace run` beside it."""
import sqlite3
import unittest

from harness import Case, wait_until

MAKE = """
dag_id: make
params: {day: {type: string, default: "2026-01-01"}}
tasks:
  events:
    type: sql
    with:
      query: "SELECT 1 AS id, '{{ params.day }}' AS day"
      target: "lake/events/dt={{ params.day }}"
  labels:
    type: command
    depends_on: [events]
    outlets: lake/labels
    with: {argv: ["true"]}
"""
DAILY = """
dag_id: daily
timezone: Europe/Berlin
schedule: {assets: [lake/events], per_partition: true}
tasks:
  show:
    type: command
    with: {argv: [echo, "{{ conf.partition }} {{ ds }} {{ data_interval_start }}"]}
"""
EITHER = """
dag_id: either
schedule: {assets: {any: [lake/labels, lake/nothing]}}
tasks:
  show: {type: noop}
"""


class Assets(Case):
    def rows(self, sql):
        database = sqlite3.connect(self.project.path(".millrace", "state.db"))
        found = database.execute(sql).fetchall()
        database.close()
        return found

    def ended(self, dag_id):
        return self.rows(f"SELECT id FROM run WHERE dag_id = '{dag_id}' AND state = 'success'"
                         " ORDER BY id")

    def log(self, run):
        with open(self.project.path(".millrace", "logs", str(run), "0.-1.1.log")) as file:
            return file.read()

    def trigger(self, server, day):
        status, answer = server.request("POST", "/api/v2/dags/make/dagRuns",
                                        {"logical_date": None, "conf": {"day": day}})
        self.assertEqual(status, 200, answer)

    def test_updates_start_runs(self):
        for name, text in (("make", MAKE), ("daily", DAILY), ("either", EITHER)):
            self.project.write(f"dags/{name}.yaml", text)
        server = self.project.serve()
        self.trigger(server, "2026-01-01")
        self.trigger(server, "2026-01-02")
        wait_until(lambda: len(self.ended("daily")) == 2, what="a run per partition")
        logs = [self.log(run) for run, in self.ended("daily")]
        for day, start in (("01", "2025-12-31"), ("02", "2026-01-01")):
            self.assertTrue(any(f"dt=2026-01-{day} 2026-01-{day} {start}T23:00:00" in log
                                for log in logs), logs)
        wait_until(lambda: len(self.ended("make")) == 2 and self.ended("either"),
                   what="the other DAG's run")
        # The same again changes nothing, so it is news to nobody who waits for the dataset.
        self.trigger(server, "2026-01-02")
        wait_until(lambda: len(self.ended("make")) == 3, what="the third run")
        self.assertEqual(len(self.ended("daily")), 2)
        events = self.rows("SELECT asset, partition, json_extract(extra, '$.version') IS NOT NULL"
                           " FROM asset_event WHERE asset = 'lake/events' ORDER BY id")
        self.assertEqual(sorted(events), [("lake/events", "dt=2026-01-01", 1),
                                          ("lake/events", "dt=2026-01-02", 1)])
        linked = self.rows("SELECT count(*) FROM run_asset_event JOIN run ON run.id = run"
                           " WHERE dag_id = 'daily'")
        self.assertEqual(linked, [(2,)])
        server.stop()

        # Without a server: those that wait hear of it from the next one.
        done = self.project.command("run", "dags/make.yaml", "-p", "day=2026-01-03")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.ended("daily")), 2)
        self.project.serve()
        wait_until(lambda: len(self.ended("daily")) == 3, what="the run for what happened before")
        self.assertEqual(self.rows("SELECT count(*) FROM asset_event WHERE is_unseen = 1"), [(0,)])
        self.assertEqual(self.rows("SELECT count(*) FROM asset_wait"), [(0,)])


if __name__ == "__main__":
    unittest.main()
