"""What a scheduler has decided, read from its store, in the words of the scenarios (tell.c)."""

PLAIN = ("queued", "running")


def because(reason):
    return "" if reason is None else f" ({reason})"


def backfill_line(row):
    line = (f"backfill {row['dag_id']} {row['id']} made {row['made']}/{row['total']} skipped "
            f"{row['skipped']} succeeded {row['succeeded']} failed {row['failed']}")
    if row["completed_at"] is not None:
        line += " cancelled" if row["cancelled"] else " completed"
    elif row["is_paused"]:
        line += " paused"
    line += because(row["pause_reason"])
    return line + (" retrying" if row["retry_before"] is not None else "")


class Store:
    """Compares what is stored with what was stored when last looked at."""

    def __init__(self, daemon, base_us):
        self.daemon = daemon
        self.base_us = base_us
        self.seq = 0
        self.names = {}  # (run, task index) → task_id
        self.rows = {table: {} for table in ("run", "task_instance", "backfill", "dag", "version",
                                             "asset_event", "asset_wait", "run_asset_event",
                                             "callback")}

    def label(self, run, task, map_index):
        name = self.names[run, task] + (f"[{map_index}]" if map_index >= 0 else "")
        return name if run == 1 else f"r{run}.{name}"

    def attempt(self, token):
        """Row of a token, or None."""
        with self.daemon.read() as store:
            store.row_factory = sqlite_row
            return store.execute("SELECT * FROM attempt WHERE token = ?", [token]).fetchone()

    def attempt_named(self, run, task_id, map_index, try_number):
        task = next((task for (r, task), name in self.names.items()
                     if r == run and name == task_id), None)
        with self.daemon.read() as store:
            store.row_factory = sqlite_row
            return store.execute(
                "SELECT * FROM attempt WHERE run = ? AND task = ? AND map_index = ? AND "
                "try_number = ?", [run, task, map_index, try_number]).fetchone()

    def run(self, number):
        return self.rows["run"][number]

    def look(self):
        """The lines of what has changed since."""
        keys = {"run": ("id",), "task_instance": ("run", "task", "map_index"),
                "backfill": ("id",), "dag": ("dag_id",), "version": ("id",),
                "asset_event": ("id",), "asset_wait": ("dag_id", "partition", "event"),
                "run_asset_event": ("run", "event"), "callback": ("id",)}
        with self.daemon.read() as store:
            store.row_factory = sqlite_row
            store.execute("BEGIN")
            before, self.rows = self.rows, {
                table: {tuple(row[k] for k in key) if len(key) > 1 else row[key[0]]: row
                        for row in store.execute(f"SELECT * FROM {table}")}
                for table, key in keys.items()}
            transitions = store.execute("SELECT * FROM transition WHERE seq > ? ORDER BY seq",
                                        [self.seq]).fetchall()
        for row in self.rows["task_instance"].values():
            self.names[row["run"], row["task"]] = row["task_id"]
        self.seq = transitions[-1]["seq"] if transitions else self.seq
        lines, said = self.transitions(transitions)
        lines += self.silent(before, said)
        lines += self.others(before)
        lines += self.assets(before)
        lines += self.callbacks(before)
        return lines

    def callbacks(self, before):
        lines = []
        for number, row in self.rows["callback"].items():
            old = before["callback"].get(number)
            if old is None and row["state"] in ("pending", "running"):
                of = row["task_id"] or "run"
                if row["task_id"] and row["map_index"] >= 0:
                    of += f"[{row['map_index']}]"
                if row["task_id"] and row["run"] != 1:
                    of = f"r{row['run']}.{of}"
                lines.append(f"c{number} new {row['event']} of {of} by {row['kind']}")
            elif old != row and row["state"] != "running":
                until = "" if row["next_at"] is None else \
                    f" until {duration(row['next_at'] - self.base_us)}"
                lines.append(f"c{number} {row['state']}{until}{because(row['reason'])}")
        return lines

    def callback(self, number):
        return self.rows["callback"][number]

    def knows(self, token):
        """Whether it is of an attempt or of a callback."""
        with self.daemon.read() as store:
            return store.execute("SELECT EXISTS (SELECT 1 FROM attempt WHERE token = ?1) OR "
                                 "EXISTS (SELECT 1 FROM callback WHERE token = ?1)",
                                 [token]).fetchone()[0] != 0

    def transitions(self, transitions):
        lines = []
        said = {}  # entity → the last (state, reason) that a transition told
        for row in transitions:
            if row["task"] is None:
                said[row["run"],] = (row["to_state"], row["reason"])
                lines.append(self.run_line(row))
                continue
            key = (row["run"], row["task"], row["map_index"])
            said[key] = (row["to_state"], row["reason"])
            lines.append(self.task_line(key, row["from_state"], row["to_state"], row["reason"]))
        return [line for line in lines if line is not None], said

    def run_line(self, row):
        name = f"r{row['run']}"
        run_id = self.rows["run"][row["run"]]["run_id"]
        if row["from_state"] == "none":
            return f"{name} new {run_id}{because(row['reason'])}"
        if row["from_state"] in ("success", "failed") and row["to_state"] in PLAIN:
            return f"{name} reset {run_id}{because(row['reason'])}"
        return f"{name} {row['to_state']}{because(row['reason'])}"

    def task_line(self, key, from_state, state, reason):
        if from_state == "none" and state == "none":
            return f"{self.label(key[0], key[1], -1)} {reason}"
        if state in PLAIN or (state == "scheduled" and reason is None):
            return None
        return f"{self.label(*key)} {state}{because(reason)}"

    def silent(self, before, said):
        """Changes without a transition: another reason for the same state."""
        lines = []
        for number, row in self.rows["run"].items():
            old = before["run"].get(number)
            then = None if old is None else (old["state"], old["reason"])
            is_doomed_now = row["state"] == "running" and old is not None and \
                row["doom"] not in (None, old["doom"])
            now = (row["state"], row["doom"] if is_doomed_now else row["reason"])
            if old is not None and said.get((number,)) != now and (
                    now != then or row["is_forced"] != old["is_forced"]):
                lines.append(f"r{number} {now[0]}{because(now[1])}")
        for key, row in self.rows["task_instance"].items():
            now = (row["state"], row["reason"])
            old = before["task_instance"].get(key)
            if old is None or now == (old["state"], old["reason"]) or said.get(key) == now:
                continue
            line = self.task_line(key, old["state"], *now)
            if line is not None and row["state"] != "none":
                lines.append(line)
        return lines

    def others(self, before):
        lines = []
        for number, row in self.rows["version"].items():
            if number not in before["version"] and row["number"] > 1:
                lines.append(f"{row['dag_id']} version {row['number']}")
        for dag_id, row in self.rows["dag"].items():
            old = before["dag"].get(dag_id)
            reason = row["pause_reason"]
            if reason is not None and (old is None or old["pause_reason"] != reason):
                lines.append(f"{dag_id} paused{because(reason)}")
        for number, row in self.rows["backfill"].items():
            old = before["backfill"].get(number)
            line = backfill_line(row)
            if old is None:
                lines.append(line.replace("backfill ", "backfill new ", 1))
            elif old != row:
                lines.append(line)
        return lines

    def assets(self, before):
        lines = []
        events = self.rows["asset_event"]
        for number, row in events.items():
            if number not in before["asset_event"]:
                partition = f" ({row['partition']})" if row["partition"] else ""
                lines.append(f"asset {row['asset']} updated{partition}")
        news = {(dag_id, event) for dag_id, _, event in self.rows["asset_wait"]}
        taken = set()
        for run, event in self.rows["run_asset_event"].keys() - before["run_asset_event"].keys():
            news.add((self.rows["run"][run]["dag_id"], event))
            taken.add(run)
        news -= {(dag_id, event) for dag_id, _, event in before["asset_wait"]}
        lines += [f"{dag_id} has news of {events[event]['asset']}" for dag_id, event in news]
        lines += [f"{self.rows['run'][run]['dag_id']} takes its news" for run in taken]
        return lines


def duration(left_us):
    """As base/timefmt.h writes one."""
    text = ""
    for unit, unit_us in (("d", 86400 * 10**6), ("h", 3600 * 10**6), ("m", 60 * 10**6),
                          ("s", 10**6), ("ms", 1000)):
        text += f"{left_us // unit_us}{unit}" if left_us >= unit_us else ""
        left_us %= unit_us
    return text


def sqlite_row(cursor, values):
    return {column[0]: value for column, value in zip(cursor.description, values)}
