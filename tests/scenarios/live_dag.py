"""The DAGs of scenarios (their language stands in dag_script.h) as DAG files, for live.py."""
import json

DAG_KEYS = {"timezone": "timezone", "start": "start_date", "end": "end_date", "catchup": "catchup",
            "paused": "paused_upon_creation", "max_active_runs": "max_active_runs",
            "max_active_tasks": "max_active_tasks", "fail_fast": "fail_fast",
            "dagrun_timeout": "dagrun_timeout", "params": "params",
            "max_failed_in_row": "max_consecutive_failed_dag_runs"}

TASK_KEYS = {"retries": "retries", "retry_delay": "retry_delay",
             "backoff": "retry_exponential_backoff", "max_retry_delay": "max_retry_delay",
             "timeout": "execution_timeout", "pool": "pool", "pool_slots": "pool_slots",
             "max_per_dag": "max_active_tis_per_dag", "max_per_run": "max_active_tis_per_dagrun",
             "past": "depends_on_past", "wait_for_downstream": "wait_for_downstream",
             "weight": "priority_weight", "weight_rule": "weight_rule", "setup": "setup", "teardown": "teardown",
             "fails_run": "on_failure_fail_dagrun", "expand": "expand", "env": "env",
             "max_map_length": "max_map_length", "when": "when", "branch_output": "branch_output",
             "rule": "trigger_rule"}

SENSOR_KEYS = {"poke": "poke_interval", "wait_timeout": "timeout", "max_wait": "max_wait",
               "backs_off": "exponential_backoff", "soft_fail": "soft_fail"}

# Of a deadline; nothing is sent, since the worker that would is ours.
NOBODY = {"url": "http://localhost", "retries": 1}

TEXTS = {"when", "branch_output", "start", "end", "timezone"}


def value_of(key, text):
    """Numbers, booleans and JSON as such, everything else as text."""
    if key in TEXTS:
        return text
    if text in ("true", "false"):
        return text == "true"
    try:
        return json.loads(text)
    except ValueError:
        return text


def condition_of(text):
    """any(a all(b c)) as {any: [a, {all: [b, c]}]}."""
    words = text.replace("(", " ( ").replace(")", " ) ").split()

    def read():
        word = words.pop(0)
        if not words or words[0] != "(":
            return word
        words.pop(0)
        parts = []
        while words[0] != ")":
            parts.append(read())
        words.pop(0)
        return {word: parts}

    condition = read()
    return [condition] if isinstance(condition, str) else condition


def schedule_of(text):
    kind, _, rest = text.partition(" ")
    if kind == "cron":
        return rest
    if kind == "every":
        return {"every": rest}
    if kind == "assets":
        per_partition = rest.startswith("per_partition ")
        rest = rest.removeprefix("per_partition ")
        return {"assets": condition_of(rest), "per_partition": per_partition}
    return "@" + kind


def branch_of(text):
    choices = []
    for entry in text.split("|"):
        when, _, names = entry.rpartition("->")
        if when.strip() == "else":
            choices.append({"else": names.split()})
        else:
            choices.append({"when": when.strip(), "then": names.split()})
    return choices


def set_task(task, key, text):
    options = task.setdefault("with", {})
    if key == "kind":
        task["type"] = text
    elif key in SENSOR_KEYS:
        task["type"] = "sensor"
        options[SENSOR_KEYS[key]] = value_of(key, text)
        if key == "poke":
            options["file"] = "it"
    elif key == "waits":
        task["type"] = "sensor"
        options.update(json.loads(text))
    elif key == "publishes":
        task["type"] = "sql"
        options.update({"query": "SELECT 1 AS one", "target": "lake/x"})
    elif key == "option":
        task["option"] = text
    elif key.startswith("on_"):
        task[key + "_callback"] = json.loads(text)
    elif key == "outlets":
        task["outlets"] = text.split()
    elif key == "retry_exit_codes":
        task[key] = [int(code) for code in text.split()]
    elif key == "branch":
        task["branch"] = branch_of(text)
    elif key != "outputs_used" and text != "all_done_setup_success":  # found out by the reader
        task[TASK_KEYS[key]] = value_of(key, text)


def finish(task):
    option = task.pop("option", None)
    if task["type"] == "command":
        task["with"] = {"argv": ["true"] + ([option] if option is not None else [])}
    if not task["with"]:
        del task["with"]
    task.setdefault("weight_rule", "absolute")


def dag_file(dag_id, body):
    """The file's text: JSON, which is YAML too."""
    dag = {"dag_id": dag_id, "schedule": None, "tasks": {}}
    tasks = dag["tasks"]
    statements = [part.strip() for part in body.replace("\n", ";").split(";")]
    for statement in filter(None, statements):
        if "=" not in statement:
            name, _, upstreams = statement.partition(" after ")
            tasks[name.strip()] = {"type": "command", "depends_on": upstreams.split()}
    for statement in filter(None, statements):
        if "=" not in statement:
            continue
        key, _, text = (part.strip() for part in statement.partition("="))
        if "." in key:
            name, _, key = key.partition(".")
            set_task(tasks[name], key, text)
        elif key == "schedule":
            dag["schedule"] = schedule_of(text)
            if text == "continuous":
                dag["max_active_runs"] = 1
        elif key.startswith("on_"):
            dag[key + "_callback"] = json.loads(text)
        elif key.startswith("deadline"):
            reference, interval = text.split()
            dag.setdefault("deadline", []).append({"reference": reference, "interval": interval,
                                                   "callback": {"webhook": NOBODY}})
        else:
            dag[DAG_KEYS[key]] = value_of(key, text)
    for task in tasks.values():
        task.setdefault("with", {})
        finish(task)
    return json.dumps(dag, indent=1) + "\n"
