"""A kill at every write, sync, send, rename and removal of one scripted run, in the scheduler and in the
worker: whatever was being done, what follows is as without it.

MILLRACE_EVERY says at which of them (20: every twentieth; 1: all).
"""
import os
import struct
import unittest

from harness import BUILD, wait_until
from plant import Plant, undisturbed

EVERY = int(os.environ.get("MILLRACE_EVERY", "20"))
PRELOAD = os.path.join(BUILD, "tests", "crash", "libkillat.so")
RUNS = ["one"]
INTERVALS = 2


class KillAt(unittest.TestCase):
    def run_script(self, victim, number):
        """The script, with a kill of the victim at its call of that number; how many calls it made."""
        plant = Plant(INTERVALS)
        self.addCleanup(plant.remove)
        count = plant.path("count")
        preload = {"LD_PRELOAD": PRELOAD, "KILLAT": str(number), "KILLAT_COUNT": count}
        for role in ("scheduler", "worker"):
            plant.start_role(role, preload if role == victim else None)

        def is_done():
            """Starts again what was killed; asks again for what was not acknowledged."""
            if plant.running[victim].poll() is not None:
                plant.hang_up()
                plant.start_role(victim)
            if "one" not in plant.acknowledged:
                plant.trigger("one")
                return False
            if plant.rows("SELECT count(*) FROM backfill")[0][0] == 0:
                plant.ask(command="backfill_create", dag_id="filled", max_active_runs=3,
                          **plant.backfill_range())
                return False
            return plant.is_over()

        wait_until(is_done, seconds=120, what="the end of all runs")
        plant.stop_all()
        plant.judge(self, self.want)
        with open(count, "rb") as file:
            calls = struct.unpack("=Q", file.read())[0]
        plant.remove()
        return calls

    def sweep(self, victim):
        self.assertTrue(os.path.exists(PRELOAD), PRELOAD)
        number = 1
        while self.run_script(victim, number) >= number:
            number += EVERY
        # A run that is never killed ends the sweep; the script makes hundreds of calls.
        self.assertGreater(number, 100, "the kills came to an end too soon")

    @classmethod
    def setUpClass(cls):
        cls.want = undisturbed(RUNS, INTERVALS)

    def test_scheduler(self):
        self.sweep("scheduler")

    def test_worker(self):
        self.sweep("worker")


if __name__ == "__main__":
    unittest.main()
