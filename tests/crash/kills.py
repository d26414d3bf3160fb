"""SIGKILL of scheduler, worker or both at random moments, in tight succession, while runs are triggered and
a backfill goes on: nothing acknowledged is lost, no attempt is started twice, every run ends as it does when
nothing is killed.

MILLRACE_KILLS says how many (100), MILLRACE_SEED which.
"""
import os
import random
import time
import unittest

from plant import Plant, describe, undisturbed

KILLS = int(os.environ.get("MILLRACE_KILLS", "100"))
SEED = int(os.environ.get("MILLRACE_SEED", "1"))
KILLS_PER_PLANT = 250  # so that a long campaign does not become one of an ever larger database
LONGEST_LIFE = 0.25    # seconds
VICTIMS = [["scheduler"], ["scheduler"], ["worker"], ["scheduler", "worker"]]


class Kills(unittest.TestCase):
    def kill(self, plant, chance, victims, kills, run_ids):
        """Kills, with a trigger and a switch before each; all are asked for again until acknowledged."""
        open_runs = list(run_ids)
        for number in range(kills):
            plant.switch(number % 2 == 0)
            if open_runs and plant.trigger(open_runs[0]):
                open_runs.pop(0)
            time.sleep(chance.random() * LONGEST_LIFE)
            roles = chance.choice(victims)
            for role in roles:
                plant.kill_role(role)
            for role in roles:
                plant.start_role(role)
        while open_runs:
            if plant.trigger(open_runs[0]):
                open_runs.pop(0)
            else:
                time.sleep(0.01)

    def campaign(self, victims, kills, seed):
        run_ids = [f"run-{number}" for number in range(kills // 3)]
        want = undisturbed(run_ids)
        plant = Plant()
        self.addCleanup(plant.remove)
        plant.start_role("scheduler")
        plant.start_role("worker")
        plant.fill()
        self.kill(plant, random.Random(seed), victims, kills, run_ids)
        plant.wait_for_the_end()
        plant.stop_all()
        plant.judge(self, want)
        print(describe(plant))
        self.assertGreaterEqual(plant.starts["scheduler"] + plant.starts["worker"] - 2, kills)
        plant.remove()

    def test_scheduler(self):
        self.campaign([["scheduler"]], min(KILLS, KILLS_PER_PLANT) // 4, SEED)

    def test_any(self):
        left = KILLS - KILLS // 4
        for number in range((left + KILLS_PER_PLANT - 1) // KILLS_PER_PLANT):
            with self.subTest(seed=SEED + number):
                self.campaign(VICTIMS, min(left, KILLS_PER_PLANT), SEED + number)
            left -= KILLS_PER_PLANT


if __name__ == "__main__":
    unittest.main()
