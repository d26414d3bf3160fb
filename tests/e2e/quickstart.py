"""The newcomer's command, as it is: deploy/quickstart in an empty folder, its summary, the independent
check of what it published, and a second call that has nothing left to make."""
import os
import re
import subprocess
import sys
import unittest

from harness import SOURCE, Case, contents


class Quickstart(Case):
    def quickstart(self):
        done = subprocess.run([os.path.join(SOURCE, "deploy", "quickstart")], text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, env={**os.environ, "FOLDER": self.project.folder})
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        return done

    def test_quickstart(self):
        os.remove(self.project.path("millrace.yaml"))
        first = self.quickstart()
        for dataset in ("lake/purchases", "lake/logins", "lake/churn_labels", "lake/churn_training",
                        "shards/churn_webdataset", "shards/churn_tfrecord", "shards/churn_parquet"):
            self.assertRegex(first.stdout, rf"(?m)^  {dataset} +\d")
        rows_in = sum(int(text.replace(",", "")) for text in
                      re.findall(r"(?m)^  lake/(?:purchases|logins) +120 +([0-9,]+)", first.stdout))
        self.assertGreaterEqual(rows_in, 2_000_000)
        published = contents(self.project.path("lake"))

        oracle = subprocess.run([sys.executable, os.path.join(os.path.dirname(__file__), "churn_oracle.py"),
                                 self.project.folder], text=True, capture_output=True)
        self.assertEqual(oracle.returncode, 0, oracle.stdout[-3000:] + oracle.stderr[-3000:])

        second = self.quickstart()
        self.assertIn("lake/churn_training", second.stdout)
        self.assertEqual(contents(self.project.path("lake")), published)
        self.assertEqual(self.project.processes(), {}, "a process stayed behind")


if __name__ == "__main__":
    unittest.main()
