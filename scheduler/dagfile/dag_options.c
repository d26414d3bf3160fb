#include "scheduler/dagfile/tables.h"

#include "millrace/task_kind.h"

#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const trigger_rules[] = {
#define TRIGGER_RULES_OF_FILES
#define TRIGGER_RULE(name, text) text,
#include "millrace/enums.def"
#undef TRIGGER_RULE
#undef TRIGGER_RULES_OF_FILES
    NULL,
};

static const char *const weight_rules[] = {
#define WEIGHT_RULE(name, text) text,
#include "millrace/enums.def"
#undef WEIGHT_RULE
    NULL,
};

/* clang-format off */
#define SHARED_OPTIONS                                                                             \
    {.key = "owner", .type = OPTION_STRING,                                                        \
     .doc = "Who answers for it; the DAG's owner if not given."},                                  \
    {.key = "retries", .type = OPTION_INT, .fallback = "0", .max = 1000,                           \
     .doc = "How often a failed task is tried again."},                                            \
    {.key = "retry_delay", .type = OPTION_DURATION, .fallback = "\"5m\"",                          \
     .doc = "The pause before another try."},                                                      \
    {.key = "retry_exponential_backoff", .type = OPTION_SCALAR, .fallback = "false",               \
     .doc = "true doubles the pause with every try; a number of at least 1 is the factor."},       \
    {.key = "max_retry_delay", .type = OPTION_DURATION,                                            \
     .doc = "The longest pause that exponential backoff reaches; a day if not given."},            \
    {.key = "retry_exit_codes", .type = OPTION_SCALARS, .flags = OPTION_OR_SINGLE,                 \
     .doc = "Exit codes of a command that another try may change: any other failure by exit code " \
            "is final. All codes are tried again if not given."},                                  \
    {.key = "execution_timeout", .type = OPTION_DURATION,                                          \
     .doc = "An attempt that runs longer is ended and counts as failed."},                         \
    {.key = "pool", .type = OPTION_STRING, .flags = OPTION_ID, .fallback = "\"default_pool\"",     \
     .doc = "The pool whose slots the task takes while it runs."},                                 \
    {.key = "pool_slots", .type = OPTION_INT, .fallback = "1", .min = 1, .max = 1000000,           \
     .doc = "How many slots of the pool it takes."},                                               \
    {.key = "priority_weight", .type = OPTION_INT, .fallback = "1", .min = -1000000,               \
     .max = 1000000, .doc = "Tasks with more weight start first where slots are few."},            \
    {.key = "weight_rule", .type = OPTION_ENUM, .fallback = "\"downstream\"",                      \
     .choices = weight_rules,                                                                      \
     .doc = "Whose weights are added to the task's own: those of all tasks downstream, of all "    \
            "upstream, or nobody's (absolute)."},                                                  \
    {.key = "max_active_tis_per_dag", .type = OPTION_INT, .min = 1, .max = 1000000,                \
     .doc = "How many instances of the task go on at once in all runs of the DAG together."},      \
    {.key = "max_active_tis_per_dagrun", .type = OPTION_INT, .min = 1, .max = 1000000,             \
     .doc = "How many instances of the task go on at once in one run, where it is mapped."},       \
    {.key = "depends_on_past", .type = OPTION_BOOL, .fallback = "false",                           \
     .doc = "Whether it waits until it has succeeded, or was skipped, in the run before by "       \
            "logical date. With catchup, runs by hand don't count; the first run does not wait."}, \
    {.key = "wait_for_downstream", .type = OPTION_BOOL, .fallback = "false",                       \
     .doc = "Whether it waits for its direct downstreams in the run before, too."},                \
    {.key = "trigger_rule", .type = OPTION_ENUM, .fallback = "\"all_success\"",                    \
     .choices = trigger_rules, .doc = "What the states of its upstreams must be for it to start."}, \
    {.key = "cache", .type = OPTION_BOOL, .fallback = "true",                                      \
     .doc = "Whether a task that publishes a dataset ends at once, as unchanged, when its options " \
            "and inputs are those of what is published already."},                                 \
    {.key = "env", .type = OPTION_MAP, .flags = OPTION_TEMPLATE,                                   \
     .doc = "Environment variables of the attempt: name and value. Those of default_args and of "  \
            "the task are merged."},                                                               \
    {.key = "on_success_callback", .type = OPTION_TAGGEDS, .flags = OPTION_OR_SINGLE,              \
     .variants = &callback_kinds,                                                                  \
     .doc = "Who is told when it has succeeded: a webhook or a command, or a list of them."},      \
    {.key = "on_failure_callback", .type = OPTION_TAGGEDS, .flags = OPTION_OR_SINGLE,              \
     .variants = &callback_kinds, .doc = "Who is told when it has failed for good."},              \
    {.key = "on_retry_callback", .type = OPTION_TAGGEDS, .flags = OPTION_OR_SINGLE,                \
     .variants = &callback_kinds, .doc = "Who is told when a try has failed that is not the last."}

static const struct option branch_options[] = {
    {.key = "when", .type = OPTION_SCALAR, .doc = "The condition for this entry."},
    {.key = "then", .type = OPTION_STRINGS, .flags = OPTION_OR_SINGLE,
     .doc = "The tasks directly downstream that go on; a group's name stands for those of its "
            "tasks."},
    {.key = "else", .type = OPTION_STRINGS, .flags = OPTION_OR_SINGLE,
     .doc = "In the last entry: the tasks that go on where no condition is true."},
};

static const struct option default_args_options[] = {SHARED_OPTIONS};

static const struct option task_options[] = {
    {.key = "type", .type = OPTION_ENUM, .flags = OPTION_REQUIRED, .choices = task_kind_names,
     .doc = "What kind of task it is."},
    {.key = "with", .type = OPTION_ANY, .flags = OPTION_TEMPLATE | OPTION_NULLABLE,
     .doc = "The options of its kind."},
    {.key = "depends_on", .type = OPTION_STRINGS, .flags = OPTION_OR_SINGLE | OPTION_IN_NODE,
     .fallback = "[]",
     .doc = "The tasks it waits for; a group's name stands for all of it."},
    {.key = "when", .type = OPTION_SCALAR,
     .doc = "A condition: where it is false once its upstreams allow the task to start, the task "
            "is skipped. See *Conditions*."},
    {.key = "expand", .type = OPTION_MAP, .flags = OPTION_TEMPLATE,
     .doc = "Lists to go over: the task becomes an instance per item, or per combination of items "
            "of several lists. See *Mapped tasks*."},
    {.key = "max_map_length", .type = OPTION_INT, .fallback = "10000", .min = 1, .max = 10000,
     .doc = "More instances of the mapped task are a failure."},
    {.key = "branch", .type = OPTION_OBJECTS, .fields = &branch_table,
     .doc = "Chooses which of the tasks directly downstream go on once the task has succeeded: the "
            "first entry whose condition is true. The others are skipped. See *Branches*."},
    {.key = "branch_output", .type = OPTION_STRING,
     .doc = "The output of the task that names the tasks directly downstream that go on: an id, or "
            "a list of ids; a group's id stands for those of its tasks."},
    {.key = "outlets", .type = OPTION_STRINGS, .flags = OPTION_OR_SINGLE,
     .doc = "Assets that its success updates. A task that publishes a dataset updates that one if "
            "it names none."},
    {.key = "doc", .type = OPTION_STRING, .doc = "A text for the page, in Markdown."},
    {.key = "setup", .type = OPTION_BOOL, .fallback = "false",
     .doc = "Whether it makes what the tasks behind it need: unless it succeeds, none of them runs, "
            "whatever their trigger rule, up to its teardown."},
    {.key = "teardown", .type = OPTION_SCALARS, .flags = OPTION_OR_SINGLE,
     .doc = "true: it takes down what the setups among its upstreams have made. Or the names of "
            "these setups, which it then depends on too. It runs when all its upstreams have ended "
            "and a setup has succeeded, also after failures, fail_fast and dagrun_timeout."},
    {.key = "on_failure_fail_dagrun", .type = OPTION_BOOL, .fallback = "false",
     .doc = "Whether the run fails if this teardown does."},
    SHARED_OPTIONS,
};

static const char *const catchups[] = {"latest", "all", NULL};

static const struct option schedule_options[] = {
    {.key = "every", .type = OPTION_DURATION,
     .doc = "A fixed interval such as 15m, counted from start_date or 1970-01-01 UTC."},
    {.key = "assets", .type = OPTION_ANY,
     .doc = "Assets whose updates start a run: a list (all of them), {any: […]} or {all: […]}, "
            "which may hold each other. A published dataset is an asset by its path."},
    {.key = "per_partition", .type = OPTION_BOOL, .fallback = "false",
     .doc = "Whether updates count for each partition (dt=2026-01-01) by itself, with a run for "
            "each; `conf.partition` names it, and a date in it is the run's data interval."},
};

static const struct option dag_options[] = {
    {.key = "dag_id", .type = OPTION_STRING, .flags = OPTION_REQUIRED | OPTION_ID,
     .doc = "The DAG's name, unique in the folder."},
    {.key = "description", .type = OPTION_STRING, .doc = "One line on what it is for."},
    {.key = "doc", .type = OPTION_STRING, .doc = "A text for the page, in Markdown."},
    {.key = "owner", .type = OPTION_STRING, .fallback = "\"millrace\"",
     .doc = "Who answers for it."},
    {.key = "tags", .type = OPTION_STRINGS, .flags = OPTION_OR_SINGLE, .fallback = "[]",
     .doc = "Words to find it by."},
    {.key = "schedule", .type = OPTION_OBJECT, .flags = OPTION_OR_STRING | OPTION_NULLABLE,
     .fields = &schedule_table,
     .doc = "When it runs: five cron fields (six with seconds first), @hourly, @daily, @weekly, "
            "@monthly, @quarterly, @yearly, @once, @continuous (again as soon as the last run has "
            "ended), {every: 15m}, {assets: [lake/events]}, or null for manual runs only."},
    {.key = "timezone", .type = OPTION_STRING, .fallback = "\"UTC\"",
     .doc = "The time zone of schedule, ds and dates without an offset: Europe/Berlin."},
    {.key = "start_date", .type = OPTION_DATE,
     .doc = "No run by schedule is made for an interval before it."},
    {.key = "end_date", .type = OPTION_DATE, .doc = "No run by schedule is made after it."},
    {.key = "catchup", .type = OPTION_BOOL, .fallback = "false", .choices = catchups,
     .doc = "Which of the complete intervals that have no run yet are run: true or all means each "
            "since start_date, false or latest only the newest, also after a pause or downtime."},
    {.key = "paused_upon_creation", .type = OPTION_BOOL, .fallback = "false",
     .doc = "Whether the DAG is paused when it is first seen."},
    {.key = "max_active_runs", .type = OPTION_INT, .fallback = "16", .min = 1, .max = 100000,
     .doc = "How many runs go on at once, backfills not counted. A run that does nothing but wait for "
            "the run before (depends_on_past) makes way for a queued one of an earlier logical date, "
            "and is queued again, so that a cleared run and one that waits for it never hold up each "
            "other."},
    {.key = "max_active_tasks", .type = OPTION_INT, .fallback = "16", .min = 1, .max = 1000000,
     .doc = "How many tasks of one run go on at once."},
    {.key = "fail_fast", .type = OPTION_BOOL, .fallback = "false",
     .doc = "Whether a task that has failed for good ends the run: what runs is stopped and fails, "
            "what has not begun is skipped, teardowns still run. All trigger rules must be "
            "all_success."},
    {.key = "dagrun_timeout", .type = OPTION_DURATION,
     .doc = "A run that takes longer, counted from its start, fails: what runs is stopped, all "
            "unfinished tasks are skipped, teardowns still run. A run that made way for an earlier one "
            "is counted anew."},
    {.key = "max_consecutive_failed_dag_runs", .type = OPTION_INT, .fallback = "0", .max = 1000000,
     .doc = "After so many failed runs in a row, backfills not counted, the DAG is paused; 0 = "
            "never. Unpausing it begins a new count."},
    {.key = "on_success_callback", .type = OPTION_TAGGEDS, .flags = OPTION_OR_SINGLE,
     .variants = &callback_kinds,
     .doc = "Who is told when a run has succeeded: a webhook or a command, or a list of them."},
    {.key = "on_failure_callback", .type = OPTION_TAGGEDS, .flags = OPTION_OR_SINGLE,
     .variants = &callback_kinds, .doc = "Who is told when a run has failed."},
    {.key = "deadline", .type = OPTION_OBJECTS, .flags = OPTION_OR_SINGLE,
     .fields = &deadline_table,
     .doc = "A time by which a run must be over, or a list of them; who is told of it otherwise."},
    {.key = "default_args", .type = OPTION_OBJECT, .fields = &default_args_table,
     .doc = "Options for all tasks that do not say otherwise."},
    {.key = "params", .type = OPTION_MAP,
     .doc = "Values that templates read as params.x and a run's conf may replace. Each is "
            "{type, default, description}, or just the default."},
    {.key = "tasks", .type = OPTION_MAP, .flags = OPTION_NO_DEFAULTS, .fields = &task_table,
     .doc = "The tasks, by their task_id. Required, unless there are task_groups."},
    {.key = "task_groups", .type = OPTION_MAP, .fields = &group_table,
     .doc = "Tasks under a common name, which others can depend on as a whole, by their group_id. "
            "A task's full name is group_id.task_id; within its group the latter is enough for "
            "depends_on and teardown. Groups nest: outer.inner.task_id."},
};

static const struct option group_options[] = {
    {.key = "tooltip", .type = OPTION_STRING, .doc = "What the group is for."},
    {.key = "depends_on", .type = OPTION_STRINGS, .flags = OPTION_OR_SINGLE, .fallback = "[]",
     .doc = "The tasks and groups that those of its tasks wait for which wait for none of it."},
    {.key = "default_args", .type = OPTION_OBJECT, .fields = &default_args_table,
     .doc = "Options for its tasks and the groups in it, in place of the DAG's or of those of the "
            "group around it."},
    {.key = "tasks", .type = OPTION_MAP, .flags = OPTION_NO_DEFAULTS, .fields = &task_table,
     .doc = "Its tasks, by their task_id. Required, unless there are task_groups."},
    {.key = "task_groups", .type = OPTION_MAP, .fields = &group_table,
     .doc = "Groups in it, written like it, up to 8 deep. A name is looked for in the innermost "
            "group first, then in the one around it, and at last as a full name."},
};
/* clang-format on */

#define TASK_ALIASES                                                                               \
    {"timeout", "execution_timeout"}, {"timeout_sec", "execution_timeout"},                        \
        {"timeoutSec", "execution_timeout"}, {"timeout_seconds", "execution_timeout"},             \
        {"retry_delay_sec", "retry_delay"}, {"retry_delay_seconds", "retry_delay"},                \
        {"retry_interval", "retry_delay"}, {"retry", "retries"}, {"max_retries", "retries"},       \
        {"retry_policy", "retries"}, {"priority", "priority_weight"}, {"environment", "env"},      \
        {"max_retry_delay_sec", "max_retry_delay"}, {"exit_codes", "retry_exit_codes"},            \
        {"task_concurrency", "max_active_tis_per_dag"},                                            \
        {"max_active_tis", "max_active_tis_per_dag"},                                              \
    {                                                                                              \
        "retry_on_exit_code", "retry_exit_codes"                                                   \
    }

static const struct option_alias shared_aliases[] = {
    TASK_ALIASES, {NULL, NULL}
};

static const struct option_alias task_aliases[] = {
    TASK_ALIASES,
    {"dependencies",  "depends_on"                                           },
    {"depends",       "depends_on"                                           },
    {"needs",         "depends_on"                                           },
    {"upstream",      "depends_on"                                           },
    {"after",         "depends_on"                                           },
    {"requires",      "depends_on"                                           },
    {"options",       "with"                                                 },
    {"params",        "with"                                                 },
    {"args",          "with"                                                 },
    {"config",        "with"                                                 },
    {"operator",      "type"                                                 },
    {"kind",          "type"                                                 },
    {"uses",          "type"                                                 },
    {"command",       "type: command` and `with: {argv: […]}"              },
    {"cmd",           "type: command` and `with: {argv: […]}"              },
    {"script",        "type: command` and `with: {argv: [sh, -c, …]}"      },
    {"run",           "type: command` and `with: {argv: […]}"              },
    {"bash_command",  "type: command` and `with: {argv: [sh, -c, …]}"      },
    {"image",         "type: command` with the container's launcher in `argv"},
    {"doc_md",        "doc"                                                  },
    {"description",   "doc"                                                  },
    {"if",            "when"                                                 },
    {"condition",     "when"                                                 },
    {"run_if",        "when"                                                 },
    {"preconditions", "when"                                                 },
    {"foreach",       "expand"                                               },
    {"for_each",      "expand"                                               },
    {"map",           "expand"                                               },
    {"matrix",        "expand"                                               },
    {"parallel",      "expand"                                               },
    {"with_items",    "expand"                                               },
    {"withItems",     "expand"                                               },
    {"withParam",     "expand"                                               },
    {"loop",          "expand"                                               },
    {"switch",        "branch"                                               },
    {"choose",        "branch"                                               },
    {NULL,            NULL                                                   },
};

static const struct option_alias dag_aliases[] = {
    {"sla",                         "deadline"                                             },
    {"deadlines",                   "deadline"                                             },
    {"on_retry_callback",           "default_args: {on_retry_callback: …}"               },
    {"schedule_interval",           "schedule"                                             },
    {"cron",                        "schedule"                                             },
    {"timetable",                   "schedule"                                             },
    {"name",                        "dag_id"                                               },
    {"id",                          "dag_id"                                               },
    {"dag",                         "dag_id"                                               },
    {"steps",                       "tasks"                                                },
    {"jobs",                        "tasks"                                                },
    {"nodes",                       "tasks"                                                },
    {"tz",                          "timezone"                                             },
    {"doc_md",                      "doc"                                                  },
    {"concurrency",                 "max_active_tasks"                                     },
    {"fail_stop",                   "fail_fast"                                            },
    {"failfast",                    "fail_fast"                                            },
    {"dag_run_timeout",             "dagrun_timeout"                                       },
    {"run_timeout",                 "dagrun_timeout"                                       },
    {"timeout",                     "dagrun_timeout"                                       },
    {"timeout_sec",                 "dagrun_timeout"                                       },
    {"max_consecutive_failed_runs", "max_consecutive_failed_dag_runs"                      },
    {"is_paused_upon_creation",     "paused_upon_creation"                                 },
    {"catch_up",                    "catchup"                                              },
    {"start",                       "start_date"                                           },
    {"end",                         "end_date"                                             },
    {"defaults",                    "default_args"                                         },
    {"parameters",                  "params"                                               },
    {"variables",                   "params"                                               },
    {"image",                       "type: command` with the container's launcher in `argv"},
    {"env",                         "default_args: {env: …}"                             },
    {"retries",                     "default_args: {retries: …}"                         },
    {NULL,                          NULL                                                   },
};

const struct option_table default_args_table = {
    .name = "default_args",
    .doc = "Options for all tasks of the DAG.",
    .options = default_args_options,
    .count = COUNT(default_args_options),
    .aliases = shared_aliases,
};

const struct option_table branch_table = {
    .name = "an entry of branch",
    .doc = "One way to go on: `when` and `then`, or `else`.",
    .options = branch_options,
    .count = COUNT(branch_options),
};

const struct option_table group_table = {
    .name = "a task group",
    .doc = "Tasks under a common name.",
    .options = group_options,
    .count = COUNT(group_options),
};

const struct option_table task_table = {
    .name = "a task",
    .doc = "One task.",
    .options = task_options,
    .count = COUNT(task_options),
    .aliases = task_aliases,
};

const struct option_table schedule_table = {
    .name = "schedule",
    .doc = "A schedule that is not a cron expression.",
    .options = schedule_options,
    .count = COUNT(schedule_options),
};

const struct option_table dag_table = {
    .name = "the DAG",
    .doc = "A DAG file.",
    .options = dag_options,
    .count = COUNT(dag_options),
    .aliases = dag_aliases,
};
