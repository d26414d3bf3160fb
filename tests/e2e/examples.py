"""The small examples in dags/, as their first lines say to run them: mapping, branch and `when`; a sensor
and a DAG that an asset starts; and a few days of the large one."""
import os
import shutil
import sqlite3
import subprocess
import threading
import unittest

import harness

ARRIVALS = "kind,weight\nletter,20\nparcel,900\nletter,35\n"


class Examples(harness.Case):
    def setUp(self):
        super().setUp()
        self.project.write("millrace.yaml", "")
        os.makedirs(self.project.path("inbox"))

    def take(self, *names):
        for name in names:
            shutil.copy(os.path.join(harness.SOURCE, "dags", name), self.project.path("dags"))

    def run_dag(self, name, *args):
        done = self.project.command("run", "dags/" + name, *args)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def rows(self, sql):
        database = sqlite3.connect(self.project.path(".millrace", "state.db"))
        found = database.execute(sql).fetchall()
        database.close()
        return found

    def states(self, run):
        return dict(self.rows("SELECT CASE map_index WHEN -1 THEN task_id ELSE task_id || map_index END, state"
                              f" FROM task_instance WHERE run = {run}"))

    def test_reviews(self):
        self.take("reviews.yaml")
        self.project.write("inbox/monday.txt", "good good bad\n")
        self.project.write("inbox/tuesday.txt", "bad\n")
        self.run_dag("reviews.yaml")
        self.assertEqual(self.states(1), {
            "list": "success", "score0": "success", "score1": "success", "total": "success", "judge": "success",
            "praise": "success", "blame": "skipped", "many_files": "skipped"})
        self.assertEqual(self.rows("SELECT outputs FROM attempt WHERE run = 1 AND task = 2"), [('{"good":2}',)])
        self.run_dag("reviews.yaml", "-p", "enough=3")
        self.assertEqual([self.states(2)[task] for task in ("praise", "blame")], ["skipped", "success"])

    def test_churn_days(self):
        """Three days of the large example; quickstart.py runs all of it."""
        self.take("churn.yaml")
        subprocess.run([harness.CHURN_DATA, "--out", self.project.path("raw"), "--days", "3", "--start",
                        "2026-01-01", "--events", "3000", "--seed", "7"], check=True, capture_output=True)
        self.run_dag("churn.yaml", "--from", "2026-01-01", "--to", "2026-01-03")
        self.assertEqual(set(self.rows("SELECT state FROM task_instance")), {("success",)})
        self.assertEqual(len(harness.contents(self.project.path("lake"))), 2 * 3)

    def test_arrivals(self):
        self.take("arrivals.yaml", "arrivals_report.yaml")
        timer = threading.Timer(1.5, self.project.write, ("inbox/2026-01-01.csv", ARRIVALS))
        timer.start()
        self.run_dag("arrivals.yaml")
        timer.join()
        self.assertEqual(self.states(1), {"wait": "success", "ingest": "success"})
        self.run_dag("arrivals_report.yaml", "-p", "partition=dt=2026-01-01")
        self.assertEqual(self.states(2), {"by_kind": "success"})

    def test_arrivals_served(self):
        self.take("arrivals.yaml", "arrivals_report.yaml")
        server = self.project.serve()
        for dag in ("arrivals", "arrivals_report"):
            harness.wait_until(lambda dag=dag: server.request("GET", f"/api/v2/dags/{dag}")[0] == 200, what=dag)
        status, run = server.request("POST", "/api/v2/dags/arrivals/dagRuns",
                                     {"logical_date": None, "conf": {"day": "2026-01-02"}})
        self.assertEqual(status, 200, run)
        waiting = f"/api/v2/dags/arrivals/dagRuns/{run['dag_run_id']}/taskInstances/wait"
        harness.wait_until(lambda: server.get(waiting)["state"] == "up_for_reschedule", what="the sensor to wait")
        self.project.write("inbox/2026-01-02.csv", ARRIVALS)
        report = self.project.path("lake", "arrivals_by_kind", "dt=2026-01-02", "_manifest.json")
        harness.wait_until(lambda: os.path.exists(report), what="the report")
        harness.wait_until(lambda: self.rows("SELECT state FROM run WHERE dag_id = 'arrivals_report'") == [("success",)],
                           what="its run")


if __name__ == "__main__":
    unittest.main()
