"""Conditions, branches and mapped tasks with the real binaries: alone, and through a server."""
import json
import unittest

from harness import Case

MAPPED = """
dag_id: mapped
params:
  full: {type: boolean, default: true}
  fail: {type: integer, default: -1}
tasks:
  list:
    type: command
    with: {argv: [sh, list.sh]}
  load:
    type: command
    depends_on: [list]
    expand: {file: "{{ tasks.list.outputs.files }}"}
    env: {FAIL: "{{ params.fail }}"}
    with: {argv: [sh, load.sh, "{{ map.file }}"]}
  total:
    type: command
    depends_on: [load]
    env: {BYTES: "{{ tasks.load.outputs.bytes | json }}"}
    with: {argv: [sh, total.sh]}
  choose:
    type: noop
    depends_on: [total]
    branch:
      - {when: params.full and length(tasks.load.outputs.bytes) > 100, then: [many]}
      - {else: [few]}
  many: {type: noop, depends_on: [choose]}
  few: {type: noop, depends_on: [choose]}
  never:
    type: noop
    depends_on: [total]
    when: length(tasks.list.outputs.files) > 1000
"""
LIST = r"""
cd inbox
ls | awk 'BEGIN { printf "{\"files\": [" } { printf "%s\"%s\"", (NR > 1 ? ", " : ""), $0 } END { print "]}" }' \
    > "$MILLRACE_OUTPUT"
"""
LOAD = r"""
test "$MILLRACE_MAP_INDEX" != "$FAIL" || exit 3
echo "loading $1"
echo "{\"bytes\": $(wc -c < "inbox/$1")}" > "$MILLRACE_OUTPUT"
"""
TOTAL = r"""
echo "$BYTES" | tr -d '[]' | tr , '\n' | awk '{ s += $1 } END { print "sum", s, NR }'
"""
COUNT = 200


class Mapping(Case):
    def setUp(self):
        super().setUp()
        self.project.write("dags/mapped.yaml", MAPPED)
        for name, text in (("list.sh", LIST), ("load.sh", LOAD), ("total.sh", TOTAL)):
            self.project.write(name, text)
        for i in range(COUNT):
            self.project.write(f"inbox/f{i:03}.txt", "x" * i)

    def ok(self, *args, code=0):
        done = self.project.command(*args)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done.stdout

    def log(self, task, map_index=-1):
        with open(self.project.path(".millrace", "logs", "1", f"{task}.{map_index}.1.log")) as file:
            return file.read()

    def test_run_alone(self):
        done = self.project.command("run", "dags/mapped.yaml")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("loading f007.txt", self.log(1, 7))
        self.assertIn(f"loading f{COUNT - 1:03}.txt", self.log(1, COUNT - 1))
        self.assertIn(f"sum {sum(range(COUNT))} {COUNT}", self.log(2))

    def test_through_a_server(self):
        server = self.project.serve()
        run = json.loads(self.ok("dags", "trigger", "mapped", "-p", "fail=7", "-o", "json"))["dag_run_id"]
        self.ok("runs", "watch", "mapped", run, code=6)
        base = f"/api/v2/dags/mapped/dagRuns/{run}/taskInstances"
        listed = server.get(f"{base}?limit=10000")
        states = {(one["task_id"], one["map_index"]): one["state"] for one in listed["task_instances"]}
        self.assertEqual(len(states), COUNT + 6)
        self.assertEqual([key for key, state in states.items() if state == "failed"], [("load", 7)])
        self.assertEqual(states["total", -1], "upstream_failed")

        mapped = server.get(f"{base}/load/listMapped?limit=50&offset=150")
        self.assertEqual(mapped["total_entries"], COUNT)
        self.assertEqual([one["map_index"] for one in mapped["task_instances"]], list(range(150, 200)))
        self.assertEqual(server.get(f"{base}/load/8")["rendered_map_index"], "8")
        self.assertEqual(server.get(f"{base}/load/8/tries")["total_entries"], 1)
        self.assertEqual(server.request("GET", f"{base}/load")[0], 404)
        self.assertEqual(server.request("GET", f"{base}/load/{COUNT}")[0], 404)
        self.assertEqual(server.request("GET", f"{base}/load/x")[0], 422)
        self.assertTrue(server.get("/api/v2/dags/mapped/tasks/load")["is_mapped"])

        self.assertIn("loading f008.txt", self.ok("logs", "mapped", run, "load[8]"))
        self.assertIn("load", self.ok("tasks", "show", "mapped", run, "load[8]"))
        self.ok("tasks", "mark", "mapped", run, f"load[{COUNT}]", "success", code=3)
        self.ok("tasks", "clear", "mapped", run, f"load[{COUNT}]", code=3)
        why = self.ok("explain", "mapped", run, "load[7]")
        self.assertIn("exit code 3", why)
        self.assertIn("upstream_failed: load[7]", self.ok("explain", "mapped", run, "total"))

        run = json.loads(self.ok("dags", "trigger", "mapped", "-o", "json"))["dag_run_id"]
        self.ok("runs", "watch", "mapped", run)
        rows = [line.split("\t") for line in self.ok("tasks", "list", "mapped", run).splitlines()]
        states = {row[0]: row[1] for row in rows if row[0] != "load"}
        self.assertEqual(states, {"list": "success", "total": "success", "choose": "success", "many": "success",
                                  "few": "skipped", "never": "skipped"})
        self.assertIn("branch: choose chose many", self.ok("explain", "mapped", run, "few"))
        self.assertIn("when: length(tasks.list.outputs.files) > 1000 is false", self.ok("explain", "mapped", run, "never"))


if __name__ == "__main__":
    unittest.main()
