#include "tests/scenarios/scenario.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16

static int64_t read_number(const struct scenario *s, const char *word)
{
    int64_t value = 0;

    if (word == NULL || !str_to_int(str_from(word), &value))
        scenario_fail(s, "'%s' is not a number", word == NULL ? "" : word);
    return value;
}

/* The token of "a#1" (run 1), "r2.a#1", or "a[0]#1" for an instance of a mapped task. */
static const char *token(const struct scenario *s, const char *name)
{
    const char *hash = name == NULL ? NULL : strchr(name, '#');
    int64_t run = 1;

    if (hash == NULL)
        scenario_fail(s, "expected TASK#TRY, as in a#1 or r2.a#1");
    if (name[0] == 'r' && strchr(name, '.') != NULL) {
        run = strtoll(name + 1, NULL, 10);
        name = strchr(name, '.') + 1;
    }
    const struct stored_run *stored = rows_run(&s->world.rows, run);
    if (stored == NULL)
        scenario_fail(s, "there is no run %lld", (long long)run);
    struct str label = {name, (size_t)(hash - name)};
    size_t bracket = str_find(label, '[', 0);
    long map_index = bracket == SIZE_MAX ? -1 : strtol(name + bracket + 1, NULL, 10);
    uint32_t task = dag_find_task(stored->dag, str_sub(label, 0, bracket));
    int64_t try_number = strtoll(hash + 1, NULL, 10);
    for (size_t i = 0; i < s->world.rows.attempt_count; i++) {
        const struct attempt_row *row = &s->world.rows.attempts[i];
        if (row->run == run && row->task == task && row->map_index == map_index &&
            row->try_number == try_number)
            return row->token;
    }
    scenario_fail(s, "there is no attempt %s", name);
}

typedef void (*verb_run)(struct scenario *s, char **words);

static void do_tick(struct scenario *s, char **words)
{
    (void)words;
    world_settle(&s->world);
}

static void do_trigger(struct scenario *s, char **words)
{
    struct event_trigger trigger = {.dag_id = words[1], .run_id = words[2]};

    for (int i = 3; words[2] != NULL && words[i] != NULL; i += 2) {
        if (words[i + 1] == NULL)
            scenario_fail(s, "something is missing after '%s'", words[i]);
        if (strcmp(words[i], "of") == 0)
            trigger.logical_date_us = scenario_time(s, words[i + 1]);
        else if (strcmp(words[i], "after") == 0)
            trigger.run_after_us = scenario_time(s, words[i + 1]);
        else if (strcmp(words[i], "conf") == 0)
            trigger.conf = words[i + 1];
        else
            scenario_fail(s, "unknown word '%s'", words[i]);
    }
    world_trigger_as(&s->world, &trigger);
}

/* An update from outside; a second word is its partition. */
static void do_asset(struct scenario *s, char **words)
{
    struct event event = {
        .kind = EVENT_ASSET,
        .request = ++s->world.request,
        .as.asset = {.asset = words[1], .partition = words[1] == NULL ? NULL : words[2]}
    };

    if (words[1] == NULL)
        scenario_fail(s, "expected asset NAME [PARTITION]");
    world_step(&s->world, &event);
}

static void do_begin(struct scenario *s, char **words)
{
    world_started(&s->world, token(s, words[1]));
}

/* "reads lake/x@v1 … writes lake/y@v2 …" after an exit, as the document a worker sends. */
static const char *read_datasets(struct scenario *s, char **words)
{
    json_t *lists[2] = {json_array(), json_array()};
    json_t *list = NULL;

    for (; *words != NULL; words++) {
        char *at = strchr(*words, '@');
        if (strcmp(*words, "reads") == 0 || strcmp(*words, "writes") == 0)
            list = lists[(*words)[0] == 'w'];
        else if (list == NULL || at == NULL)
            scenario_fail(s, "expected reads NAME@VERSION … or writes NAME@VERSION …");
        else
            (void)json_array_append_new(list, json_pack("{s:s%, s:s}", "dataset", *words,
                                                        (size_t)(at - *words), "version", at + 1));
    }
    json_t *datasets = json_pack("{s:o, s:o}", "inputs", lists[0], "outputs", lists[1]);
    char *text = json_dumps(datasets, 0);
    const char *copy = arena_strdup(&s->arena, text);
    free(text);
    json_decref(datasets);
    return copy;
}

static void do_exit(struct scenario *s, char **words)
{
    int64_t code = read_number(s, words[2]);

    bool has_outputs = words[3] != NULL && words[3][0] == '{';
    char **rest = words + (has_outputs ? 4 : 3);

    s->world.outputs = has_outputs ? words[3] : NULL;
    s->world.datasets = *rest != NULL ? read_datasets(s, rest) : NULL;
    world_ended(&s->world, token(s, words[1]), code == 0 ? OUTCOME_SUCCESS : OUTCOME_FAILED, code);
    s->world.outputs = s->world.datasets = NULL;
}

static void do_end(struct scenario *s, char **words)
{
    enum outcome outcome = OUTCOME_SUCCESS;

    if (words[2] == NULL || !outcome_parse(str_from(words[2]), &outcome))
        scenario_fail(s, "expected end TASK#TRY OUTCOME");
    world_ended(&s->world, token(s, words[1]), outcome, -1);
}

/* "told c1 success": the running try of a callback ends. */
static void do_told(struct scenario *s, char **words)
{
    int64_t id = read_number(s, words[1][0] == 'c' ? words[1] + 1 : words[1]);
    enum outcome outcome = OUTCOME_SUCCESS;

    if (!outcome_parse(str_from(words[2]), &outcome))
        scenario_fail(s, "expected told cID OUTCOME");
    for (size_t i = 0; i < s->world.rows.callback_count; i++) {
        const struct callback_row *row = &s->world.rows.callbacks[i];
        if (row->id == id && row->state == CALLBACK_STATE_RUNNING) {
            world_ended(&s->world, row->token, outcome, -1);
            return;
        }
    }
    scenario_fail(s, "callback %s does not run", words[1]);
}

static void do_give_back(struct scenario *s, char **words)
{
    world_given_back(&s->world, token(s, words[1]));
}

static void do_stale(struct scenario *s, char **words)
{
    world_ended(&s->world, words[1], OUTCOME_SUCCESS, 0);
}

static void do_stale_begin(struct scenario *s, char **words)
{
    world_started(&s->world, words[1]);
}

static void do_up(struct scenario *s, char **words)
{
    struct world_worker *worker = world_worker(&s->world, words[1]);

    for (int i = 2; words[i] != NULL && words[i + 1] != NULL; i += 2) {
        int64_t value = read_number(s, words[i + 1]);
        if (strcmp(words[i], "slots") == 0)
            worker->slots = value;
        else if (strcmp(words[i], "backlog") == 0)
            worker->backlog = value;
        else if (strcmp(words[i], "shared") == 0)
            worker->shared_slots = value;
        else if (strcmp(words[i], "light") == 0)
            worker->light_slots = value;
        else if (strcmp(words[i], "callbacks") == 0)
            worker->callback_slots = value;
        else
            scenario_fail(s, "unknown word '%s'", words[i]);
    }
    world_worker_up(&s->world, worker);
}

static void do_disconnect(struct scenario *s, char **words)
{
    world_worker(&s->world, words[1])->is_connected = false;
}

static void do_gone(struct scenario *s, char **words)
{
    world_worker_gone(&s->world, world_worker(&s->world, words[1]));
}

/* The worker says a token that the core does not know. */
static void do_announce(struct scenario *s, char **words)
{
    struct world_worker *worker = world_worker(&s->world, words[1]);
    struct event event = {.kind = EVENT_WORKER_UP};
    const char *tokens[] = {words[2]};

    event.as.worker_up = (struct event_worker_up){.instance = worker->instance,
                                                  .slots = worker->slots,
                                                  .backlog = worker->backlog,
                                                  .shared_slots = worker->shared_slots,
                                                  .light_slots = worker->light_slots,
                                                  .callback_slots = worker->callback_slots,
                                                  .tokens = tokens,
                                                  .token_count = 1};
    world_step(&s->world, &event);
}

static void do_restart(struct scenario *s, char **words)
{
    (void)words;
    world_start_core(&s->world);
}

static void set_paused(struct scenario *s, char **words, bool is_paused)
{
    struct event event = {.kind = EVENT_DAG_SET_PAUSED, .request = 1};

    event.as.set_paused.dag_id = words[1];
    event.as.set_paused.is_paused = is_paused;
    world_step(&s->world, &event);
}

static void do_pause(struct scenario *s, char **words)
{
    set_paused(s, words, true);
}

static void do_unpause(struct scenario *s, char **words)
{
    set_paused(s, words, false);
}

static void do_remove(struct scenario *s, char **words)
{
    struct event event = {.kind = EVENT_DAG_GONE, .as.dag_gone.dag_id = words[1]};

    world_step(&s->world, &event);
}

/* "a,b*" as a JSON array. */
static const char *read_tasks(struct scenario *s, char *words)
{
    struct buf text = {0};

    buf_add_text(&text, "[");
    for (char *word = strtok(words, ","); word != NULL; word = strtok(NULL, ","))
        buf_printf(&text, "%s\"%s\"", text.len > 1 ? "," : "", word);
    buf_add_text(&text, "]");
    const char *copy = arena_strdup(&s->arena, buf_text(&text));
    buf_release(&text);
    return copy;
}

static void do_backfill(struct scenario *s, char **words)
{
    struct event event = {.kind = EVENT_BACKFILL_CREATE, .request = 1};
    struct event_backfill_create *create = &event.as.backfill_create;

    *create = (struct event_backfill_create){.dag_id = words[1],
                                             .from_us = scenario_time(s, words[2]),
                                             .to_us = scenario_time(s, words[3]),
                                             .max_active_runs = 16};
    for (int i = 4; words[i] != NULL; i++) {
        if (strcmp(words[i], "backwards") == 0)
            create->run_backwards = true;
        else if (strcmp(words[i], "max") == 0)
            create->max_active_runs = read_number(s, words[++i]);
        else if (strcmp(words[i], "tasks") == 0)
            create->tasks = read_tasks(s, words[++i]);
        else if (strcmp(words[i], "upstream") == 0)
            create->upstream = true;
        else if (strcmp(words[i], "downstream") == 0)
            create->downstream = true;
        else if (strcmp(words[i], "force") == 0)
            create->is_forced = true;
        else if (strcmp(words[i], "conf") == 0)
            create->conf = words[++i];
        else if (!on_failure_parse(str_from(words[i]), &create->on_failure) &&
                 !reprocess_parse(str_from(words[i]), &create->reprocess))
            scenario_fail(s, "unknown word '%s'", words[i]);
    }
    world_step(&s->world, &event);
}

static void control(struct scenario *s, char **words, enum backfill_action action)
{
    struct event event = {.kind = EVENT_BACKFILL_CONTROL, .request = 1};
    struct event_backfill_control *control = &event.as.backfill_control;

    *control = (struct event_backfill_control){
        .id = read_number(s, words[1]), .action = action, .on_failure = ON_FAILURE_COUNT};
    for (size_t i = 0; i < s->world.rows.backfill_count; i++)
        if (s->world.rows.backfills[i].id == control->id)
            control->stored = &s->world.rows.backfills[i];
    for (int i = 2; words[i] != NULL; i++) {
        if (strcmp(words[i], "max") == 0)
            control->max_active_runs = read_number(s, words[++i]);
        else if (!on_failure_parse(str_from(words[i]), &control->on_failure))
            scenario_fail(s, "unknown word '%s'", words[i]);
    }
    world_step(&s->world, &event);
}

static void do_backfill_retry(struct scenario *s, char **words)
{
    control(s, words, BACKFILL_RETRY);
}

static void do_backfill_set(struct scenario *s, char **words)
{
    control(s, words, BACKFILL_SET);
}

static void do_backfill_pause(struct scenario *s, char **words)
{
    control(s, words, BACKFILL_PAUSE);
}

static void do_backfill_unpause(struct scenario *s, char **words)
{
    control(s, words, BACKFILL_UNPAUSE);
}

static void do_backfill_cancel(struct scenario *s, char **words)
{
    control(s, words, BACKFILL_CANCEL);
}

static void do_pool_set(struct scenario *s, char **words)
{
    struct event event = {.kind = EVENT_POOL_SET, .request = 1};
    struct world *world = &s->world;

    event.as.pool_set.name = words[1];
    event.as.pool_set.slots = read_number(s, words[2]);
    for (size_t i = 0; i < world->pool_count; i++)
        if (strcmp(world->pools[i].name, words[1]) == 0)
            world->pools[i].slots = event.as.pool_set.slots; /* so it is after a restart, too */
    world_step(world, &event);
}

/* "r2" is the second run; its run_id is what changes are asked with. */
static void choose_run(struct scenario *s, const char *word, struct event_change *change)
{
    const struct stored_run *run =
        word[0] == 'r' ? rows_run(&s->world.rows, strtoll(word + 1, NULL, 10)) : NULL;

    if (run == NULL)
        scenario_fail(s, "expected a run, as in r1");
    change->dag_id = run->row.dag_id;
    change->which.run_id = run->row.run_id;
}

/* "a", or "a[3]" for one instance of a mapped task. */
static struct task_name task_name(char *word)
{
    char *bracket = strchr(word, '[');

    if (bracket == NULL)
        return (struct task_name){word, CHOICE_EVERY_INDEX};
    *bracket = '\0';
    return (struct task_name){word, (int32_t)strtol(bracket + 1, NULL, 10)};
}

/* The words after the run: tasks ("a,b" or "*"), and what else is to be changed. */
static void choose_tasks(struct scenario *s, char **words, struct event_change *change)
{
    struct task_name *names = arena_alloc_array(&s->arena, WORDS_MAX, sizeof(*names));
    const struct {
        const char *word;
        bool *flag;
    } flags[] = {
        {"upstream",     &change->tasks.upstream      },
        {"downstream",   &change->tasks.downstream    },
        {"only_failed",  &change->tasks.only_failed   },
        {"only_running", &change->tasks.only_running  },
        {"past",         &change->which.include_past  },
        {"future",       &change->which.include_future},
        {"keep_run",     &change->keep_runs           },
        {"not_running",  &change->refuse_running      },
        {"latest",       &change->on_latest_version   },
        {"cancel",       &change->is_cancel           },
        {"force",        &change->is_forced           },
    };

    for (int i = 0; words[i] != NULL; i++) {
        size_t k = 0;
        while (k < sizeof(flags) / sizeof(flags[0]) && strcmp(flags[k].word, words[i]) != 0)
            k++;
        if (k < sizeof(flags) / sizeof(flags[0]))
            *flags[k].flag = true;
        else if (strcmp(words[i], "*") != 0)
            names[change->tasks.count++] = task_name(words[i]);
    }
    change->tasks.names = change->tasks.count == 0 ? NULL : names;
}

static void do_clear(struct scenario *s, char **words)
{
    struct event_change change = {0};

    choose_run(s, words[1], &change);
    choose_tasks(s, words + 2, &change);
    world_change(&s->world, EVENT_CLEAR, &change);
}

static void do_mark(struct scenario *s, char **words)
{
    struct event_change change = {0};

    choose_run(s, words[1], &change);
    if (!task_state_parse(str_from(words[2]), &change.task_state))
        scenario_fail(s, "'%s' is no state", words[2]);
    choose_tasks(s, words + 3, &change);
    world_change(&s->world, EVENT_MARK_TASKS, &change);
}

static void do_mark_run(struct scenario *s, char **words)
{
    struct event_change change = {.has_run_state = true};

    choose_run(s, words[1], &change);
    if (!run_state_parse(str_from(words[2]), &change.run_state))
        scenario_fail(s, "'%s' is no state", words[2]);
    world_change(&s->world, EVENT_MARK_RUN, &change);
}

static void do_cancel(struct scenario *s, char **words)
{
    struct event_change change = {.has_run_state = true,
                                  .run_state = RUN_FAILED,
                                  .task_state = TASK_FAILED,
                                  .is_cancel = true};

    choose_run(s, words[1], &change);
    choose_tasks(s, words + 2, &change);
    world_change(&s->world, words[2] == NULL ? EVENT_MARK_RUN : EVENT_MARK_TASKS, &change);
}

/* What the core says a run waits for now. */
static void do_why(struct scenario *s, char **words)
{
    struct event event = {.kind = EVENT_WHY, .request = 1};

    event.as.why.run = words[1][0] == 'r' ? strtoll(words[1] + 1, NULL, 10) : 0;
    world_step(&s->world, &event);
}

static const struct {
    const char *name;
    int arguments; /* at least */
    verb_run run;
} verbs[] = {
    {"tick",             0, do_tick            },
    {"trigger",          1, do_trigger         },
    {"asset",            1, do_asset           },
    {"begin",            1, do_begin           },
    {"exit",             2, do_exit            },
    {"end",              2, do_end             },
    {"told",             2, do_told            },
    {"give_back",        1, do_give_back       },
    {"stale_end",        1, do_stale           },
    {"stale_begin",      1, do_stale_begin     },
    {"up",               1, do_up              },
    {"disconnect",       1, do_disconnect      },
    {"gone",             1, do_gone            },
    {"announce",         2, do_announce        },
    {"restart",          0, do_restart         },
    {"pause",            1, do_pause           },
    {"unpause",          1, do_unpause         },
    {"remove",           1, do_remove          },
    {"backfill",         3, do_backfill        },
    {"backfill_pause",   1, do_backfill_pause  },
    {"backfill_unpause", 1, do_backfill_unpause},
    {"backfill_cancel",  1, do_backfill_cancel },
    {"clear",            1, do_clear           },
    {"mark",             2, do_mark            },
    {"mark_run",         2, do_mark_run        },
    {"cancel",           1, do_cancel          },
    {"why",              1, do_why             },
    {"pool_set",         2, do_pool_set        },
    {"backfill_retry",   1, do_backfill_retry  },
    {"backfill_set",     1, do_backfill_set    },
};

/* Splits in place at blanks; returns the number of words. */
static int split(char *text, char **words)
{
    int count = 0;

    while (count < WORDS_MAX) {
        while (*text == ' ' || *text == '\t')
            *text++ = '\0';
        if (*text == '\0')
            break;
        words[count++] = text;
        while (*text != '\0' && *text != ' ' && *text != '\t')
            text++;
    }
    return count;
}

void verbs_run(struct scenario *s, struct str text)
{
    char *words[WORDS_MAX + 1] = {0};
    char *copy = arena_alloc(&s->arena, text.len + 1);

    memcpy(copy, text.ptr, text.len);
    int count = split(copy, words);
    if (count < 2)
        scenario_fail(s, "expected TIME VERB …");
    s->world.now_us = scenario_time(s, words[0]);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, words[1]) != 0)
            continue;
        if (count - 2 < verbs[i].arguments)
            scenario_fail(s, "%s needs %d arguments", words[1], verbs[i].arguments);
        verbs[i].run(s, words + 1);
        tell_wake(s);
        return;
    }
    scenario_fail(s, "unknown verb '%s'", words[1]);
}
