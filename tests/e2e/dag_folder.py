"""The DAG folder when it is not there: one that was named is refused, the default one is waited for; and
what `serve` says of the DAGs in it."""
import os
import shutil
import unittest

from harness import Case, wait_until

DAG = """
dag_id: %s
tasks:
  only: {type: noop}
"""


class DagFolder(Case):
    def default_folder(self):
        """The project without a DAG folder, and without a word of it in millrace.yaml."""
        self.project.write("millrace.yaml", "port: 8080\n")
        os.rmdir(self.project.path("dags"))

    def refused(self, words, *args):
        done = self.project.command(*args)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn(words, done.stderr)
        self.assertFalse(os.path.exists(self.project.path(".millrace", "state.db")), "nothing was begun")

    def banner(self):
        with open(self.project.path("serve.log")) as file:
            return [line for line in file.read().splitlines() if line.startswith("  DAGs")]

    def test_a_folder_that_was_named_must_be_there(self):
        named = self.project.path("dagz")
        for role in ("serve", "scheduler"):
            self.refused(f"there is no DAG folder {named}: make it, or name another", role, "--dags", "dagz")
            self.refused("is no folder", role, "--dags", "millrace.yaml")
            self.refused("there is no DAG folder", role, "--dags", "millrace.yaml/dags")
        os.rmdir(self.project.path("dags"))
        self.refused("there is no DAG folder " + self.project.path("dags"), "serve")

    def test_the_default_folder_may_come_later(self):
        self.default_folder()
        server = self.project.serve()
        wait_until(self.banner, what="the banner")
        self.assertIn("there is no folder " + self.project.path("dags") + " yet", self.banner()[0])
        self.assertEqual(server.get("/api/v2/dags")["total_entries"], 0)
        self.project.write("dags/late.yaml", DAG % "late")
        wait_until(lambda: server.request("GET", "/api/v2/dags/late")[0] == 200, what="the DAG")
        # It may go, and come again.
        shutil.rmtree(self.project.path("dags"))
        wait_until(lambda: server.get("/api/v2/dags/late")["is_stale"], what="its end")
        self.project.write("dags/late.yaml", DAG % "late")
        wait_until(lambda: not server.get("/api/v2/dags/late")["is_stale"], what="its return")

    def test_the_banner_counts_what_was_read(self):
        for name in ("a", "b", "c"):
            self.project.write(f"dags/{name}.yaml", DAG % name)
        self.project.write("dags/broken.yaml", DAG % "b d")
        self.project.serve()
        wait_until(self.banner, what="the banner")
        self.assertIn(" 3 loaded from ", self.banner()[0])
        self.assertIn("1 with errors", self.banner()[0])


if __name__ == "__main__":
    unittest.main()
