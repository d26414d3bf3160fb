"""The newcomer's command, as it is: deploy/quickstart in an empty folder, its summary, the independent
check of what it published, a second call that has nothing left to make, and the training set made again
by force, which gives the same bytes."""
import os
import re
import subprocess
import unittest

import churn_oracle
from harness import SOURCE, Case, contents


class Quickstart(Case):
    def quickstart(self):
        done = subprocess.run([os.path.join(SOURCE, "deploy", "quickstart")], text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, env={**os.environ, "FOLDER": self.project.folder})
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        return done

    def published(self):
        return contents(self.project.path("lake")), contents(self.project.path("shards"))

    def test_quickstart(self):
        os.remove(self.project.path("millrace.yaml"))
        first = self.quickstart()
        for dataset in ("lake/purchases", "lake/logins", "lake/churn_labels", "lake/churn_training",
                        "shards/churn_webdataset", "shards/churn_tfrecord", "shards/churn_parquet"):
            self.assertRegex(first.stdout, rf"(?m)^  {dataset} +\d")
        rows_in = sum(int(text.replace(",", "")) for text in
                      re.findall(r"(?m)^  lake/(?:purchases|logins) +120 +([0-9,]+)", first.stdout))
        self.assertGreaterEqual(rows_in, 2_000_000)
        published = self.published()
        seen = churn_oracle.check(self, self.project.folder)
        self.assertGreater(seen["training rows"], 1000)

        second = self.quickstart()
        self.assertIn("lake/churn_training", second.stdout)
        self.assertEqual(self.published(), published)

        forced = self.project.command("run", "dags/churn_train.yaml", "--force")
        self.assertEqual(forced.returncode, 0, forced.stdout + forced.stderr)
        self.assertEqual(self.published(), published, "made again, the same inputs gave other bytes")
        self.assertEqual(self.project.processes(), {}, "a process stayed behind")


if __name__ == "__main__":
    unittest.main()
