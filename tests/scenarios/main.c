/* Runs one scenario on the core: scenario [--update] FILE. See README.md for the language.
 *
 * Every event line says what the core decides because of it, after "->". With --update the right
 * sides are written anew, and the diff is the review. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/timefmt.h"
#include "tests/scenarios/dag_script.h"
#include "tests/scenarios/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16
#define LINE_WIDTH 100

struct scenario {
    const char *path;
    int line;
    struct world world;
    int64_t base_us;
    int64_t wake_us; /* as last told */
    bool started;
    struct arena arena;
    struct buf said; /* decisions of the current event: " ; " between them */
    struct buf out;  /* the file with actual right sides */
    int failures;
    bool update;
};

__attribute__((noreturn, format(printf, 2, 3))) static void fail(const struct scenario *s,
                                                                 const char *format, ...)
{
    va_list args;

    (void)fprintf(stderr, "%s:%d: ", s->path, s->line);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    exit(2);
}

__attribute__((format(printf, 2, 3))) static void say(struct scenario *s, const char *format, ...)
{
    va_list args;

    if (s->said.len > 0)
        buf_add_text(&s->said, " ; ");
    va_start(args, format);
    buf_vprintf(&s->said, format, args);
    va_end(args);
}

/* "a" in the first run, "r2.a" in others. */
static const char *label(struct scenario *s, int64_t run, const char *task_id)
{
    if (run == 1)
        return task_id;
    return arena_printf(&s->arena, "r%lld.%s", (long long)run, task_id);
}

static const char *because(struct scenario *s, const char *reason)
{
    return reason == NULL ? "" : arena_printf(&s->arena, " (%s)", reason);
}

static void say_run(struct scenario *s, const struct decision *decision)
{
    const struct run_row *row = &decision->as.run.row;
    long long id = row->id;

    if (decision->kind == DECIDE_RUN_NEW)
        say(s, "r%lld new %s", id, row->run_id);
    else if (decision->kind == DECIDE_RUN_RESET)
        say(s, "r%lld reset %s", id, row->run_id);
    else
        say(s, "r%lld %s%s", id, run_state_name(row->state), because(s, row->reason));
}

static void say_task(struct scenario *s, const struct task_row *row)
{
    bool plain = row->state == TASK_QUEUED || row->state == TASK_RUNNING ||
                 (row->state == TASK_SCHEDULED && row->reason == NULL);

    if (!plain)
        say(s, "%s %s%s", label(s, row->run, row->task_id), task_state_name(row->state),
            because(s, row->reason));
}

static void say_backfill(struct scenario *s, const struct decision *decision)
{
    struct buf text = {0};

    decision_describe(decision, &text);
    say(s, "%s", buf_text(&text));
    buf_release(&text);
}

static void say_reply(struct scenario *s, const struct decision_reply *reply)
{
    if (reply->err.code != ERR_NONE)
        say(s, "error %s: %s", err_name(reply->err.code), reply->err.message);
}

static void observe(void *context, const struct decision *decision)
{
    struct scenario *s = context;

    switch (decision->kind) {
    case DECIDE_RUN_NEW:
    case DECIDE_RUN:
    case DECIDE_RUN_RESET:
        say_run(s, decision);
        break;
    case DECIDE_TASK:
        say_task(s, &decision->as.task.row);
        break;
    case DECIDE_BACKFILL_NEW:
    case DECIDE_BACKFILL:
        say_backfill(s, decision);
        break;
    case DECIDE_START:
        say(s, "start %s#%lld%s%s",
            label(s, decision->as.start.run.id, decision->as.start.task->task_id),
            (long long)decision->as.start.attempt.try_number,
            s->world.worker_count > 1 ? " at " : "",
            s->world.worker_count > 1 ? decision->as.start.worker : "");
        break;
    case DECIDE_STOP:
        say(s, "stop %s (%s)", decision->as.token.token, decision->as.token.reason);
        break;
    case DECIDE_ACK:
        if (rows_attempt(&s->world.rows, decision->as.token.token) == NULL)
            say(s, "ack %s", decision->as.token.token);
        break;
    case DECIDE_REPLY:
        say_reply(s, &decision->as.reply);
        break;
    case DECIDE_VERSION:
        if (decision->as.version.number > 1)
            say(s, "%s version %lld", decision->as.version.dag_id,
                (long long)decision->as.version.number);
        break;
    case DECIDE_DAG:
    case DECIDE_ATTEMPT_NEW:
    case DECIDE_ATTEMPT:
        break;
    }
}

static int64_t read_time(const struct scenario *s, const char *word)
{
    int64_t us = 0;
    bool has_offset = false;

    if (duration_parse(str_from(word), &us))
        return s->base_us + us;
    if (!timefmt_parse(str_from(word), &us, &has_offset))
        fail(s, "'%s' is neither a duration nor a date", word);
    return us;
}

static int64_t read_number(const struct scenario *s, const char *word)
{
    int64_t value = 0;

    if (word == NULL || !str_to_int(str_from(word), &value))
        fail(s, "'%s' is not a number", word == NULL ? "" : word);
    return value;
}

/* The token of "a#1" (run 1) or "r2.a#1". */
static const char *token(const struct scenario *s, const char *name)
{
    const char *hash = name == NULL ? NULL : strchr(name, '#');
    int64_t run = 1;

    if (hash == NULL)
        fail(s, "expected TASK#TRY, as in a#1 or r2.a#1");
    if (name[0] == 'r' && strchr(name, '.') != NULL) {
        run = strtoll(name + 1, NULL, 10);
        name = strchr(name, '.') + 1;
    }
    const struct stored_run *stored = rows_run(&s->world.rows, run);
    if (stored == NULL)
        fail(s, "there is no run %lld", (long long)run);
    uint32_t task = dag_find_task(stored->dag, (struct str){name, (size_t)(hash - name)});
    int64_t try_number = strtoll(hash + 1, NULL, 10);
    for (size_t i = 0; i < s->world.rows.attempt_count; i++) {
        const struct attempt_row *row = &s->world.rows.attempts[i];
        if (row->run == run && row->task == task && row->try_number == try_number)
            return row->token;
    }
    fail(s, "there is no attempt %s", name);
}

typedef void (*verb_run)(struct scenario *s, char **words);

static void do_tick(struct scenario *s, char **words)
{
    (void)words;
    world_settle(&s->world);
}

static void do_trigger(struct scenario *s, char **words)
{
    world_trigger(&s->world, words[1], words[2]);
}

static void do_begin(struct scenario *s, char **words)
{
    world_started(&s->world, token(s, words[1]));
}

static void do_exit(struct scenario *s, char **words)
{
    int64_t code = read_number(s, words[2]);

    world_ended(&s->world, token(s, words[1]), code == 0 ? OUTCOME_SUCCESS : OUTCOME_FAILED, code);
}

static void do_end(struct scenario *s, char **words)
{
    enum outcome outcome = OUTCOME_SUCCESS;

    if (words[2] == NULL || !outcome_parse(str_from(words[2]), &outcome))
        fail(s, "expected end TASK#TRY OUTCOME");
    world_ended(&s->world, token(s, words[1]), outcome, -1);
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
        else
            fail(s, "unknown word '%s'", words[i]);
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

    event.as.worker_up = (struct event_worker_up){
        worker->instance, worker->slots, worker->backlog, worker->shared_slots, tokens, 1};
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

static void do_backfill(struct scenario *s, char **words)
{
    struct event event = {.kind = EVENT_BACKFILL_CREATE, .request = 1};
    struct event_backfill_create *create = &event.as.backfill_create;

    *create = (struct event_backfill_create){.dag_id = words[1],
                                             .from_us = read_time(s, words[2]),
                                             .to_us = read_time(s, words[3]),
                                             .max_active_runs = 16};
    for (int i = 4; words[i] != NULL; i++) {
        if (strcmp(words[i], "backwards") == 0)
            create->run_backwards = true;
        else if (strcmp(words[i], "max") == 0)
            create->max_active_runs = read_number(s, words[++i]);
        else if (!reprocess_parse(str_from(words[i]), &create->reprocess))
            fail(s, "unknown word '%s'", words[i]);
    }
    world_step(&s->world, &event);
}

static void control(struct scenario *s, char **words, enum backfill_control action)
{
    struct event event = {.kind = EVENT_BACKFILL_CONTROL, .request = 1};

    event.as.backfill_control.id = read_number(s, words[1]);
    event.as.backfill_control.action = action;
    world_step(&s->world, &event);
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

static const struct {
    const char *name;
    int arguments; /* at least */
    verb_run run;
} verbs[] = {
    {"tick",             0, do_tick            },
    {"trigger",          1, do_trigger         },
    {"begin",            1, do_begin           },
    {"exit",             2, do_exit            },
    {"end",              2, do_end             },
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
};

static void start(struct scenario *s)
{
    if (s->started)
        return;
    s->started = true;
    s->world.now_us = s->base_us;
    world_start_core(&s->world);
}

static void say_wake(struct scenario *s)
{
    int64_t wake = core_next_wakeup(s->world.core);
    struct buf text = {0};

    if (wake == s->wake_us)
        return;
    s->wake_us = wake;
    if (wake == INT64_MAX)
        return;
    if (wake <= s->world.now_us)
        buf_add_text(&text, "now");
    else
        duration_format(wake - s->base_us, &text);
    say(s, "wake %s", buf_text(&text));
    buf_release(&text);
}

static void run_event(struct scenario *s, struct str text)
{
    char *copy = arena_alloc(&s->arena, text.len + 1);
    char *words[WORDS_MAX + 1] = {0};
    int count = 0;

    memcpy(copy, text.ptr, text.len);
    for (char *at = strtok(copy, " \t"); at != NULL && count < WORDS_MAX; at = strtok(NULL, " \t"))
        words[count++] = at;
    if (count < 2)
        fail(s, "expected TIME VERB …");
    s->world.now_us = read_time(s, words[0]);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, words[1]) != 0)
            continue;
        if (count - 2 < verbs[i].arguments)
            fail(s, "%s needs %d arguments", words[1], verbs[i].arguments);
        verbs[i].run(s, words + 1);
        say_wake(s);
        return;
    }
    fail(s, "unknown verb '%s'", words[1]);
}

/* Set-up lines: "begin_at DATE", "pool NAME SLOTS". */
static bool set_up(struct scenario *s, struct str line)
{
    char word[64] = "";
    long long slots = 0;

    if (str_starts(line, STR("begin_at "))) {
        s->base_us = read_time(s, arena_str(&s->arena, str_sub(line, 9, line.len)).ptr);
        return true;
    }
    if (!str_starts(line, STR("pool ")))
        return false;
    if (s->started || sscanf(arena_str(&s->arena, line).ptr, "pool %63s %lld", word, &slots) != 2)
        fail(s, "expected pool NAME SLOTS before the first DAG");
    struct core_pool *pools = s->world.pools;
    for (size_t i = 0; i < s->world.pool_count; i++) {
        if (strcmp(pools[i].name, word) == 0) {
            pools[i].slots = slots;
            return true;
        }
    }
    pools[s->world.pool_count++] = (struct core_pool){arena_strdup(&s->arena, word), slots};
    return true;
}

static size_t closing_brace(const struct scenario *s, struct str text, size_t at)
{
    int depth = 0;

    for (; at < text.len; at++) {
        depth += (text.ptr[at] == '{') - (text.ptr[at] == '}');
        if (text.ptr[at] == '}' && depth == 0)
            return at;
    }
    fail(s, "the DAG's } is missing");
}

/* "dag NAME { … }", maybe over several lines, maybe after a time. Returns where it ends. */
static size_t load_dag(struct scenario *s, struct str text, size_t at)
{
    size_t open = str_find(text, '{', at);
    char when[64] = "";
    char name[64] = "";

    if (open == SIZE_MAX)
        fail(s, "expected dag NAME { … }");
    const char *head = arena_str(&s->arena, str_sub(text, at, open)).ptr;
    if (sscanf(head, "dag %63s", name) != 1 && sscanf(head, "%63s dag %63s", when, name) != 2)
        fail(s, "expected dag NAME { … }");
    size_t close = closing_brace(s, text, open);
    start(s);
    if (when[0] != '\0')
        s->world.now_us = read_time(s, when);
    world_load(&s->world,
               dag_script(name, arena_str(&s->arena, str_sub(text, open + 1, close)).ptr));
    if (when[0] != '\0')
        say_wake(s);
    return close + 1;
}

/* The right side, broken between decisions where a line would get too long. */
static void write_said(struct scenario *s, struct str left)
{
    struct str said = buf_str(&s->said);
    size_t column = left.len;
    bool first = true;

    buf_add_str(&s->out, left);
    while (said.len > 0) {
        const char *end = strstr(said.ptr, " ; ");
        size_t len = end == NULL ? said.len : (size_t)(end - said.ptr);
        if (first)
            buf_printf(&s->out, "%*s-> ", left.len < 28 ? (int)(28 - left.len) : 1, "");
        else if (column + len + 3 > LINE_WIDTH)
            buf_printf(&s->out, "\n%*s; ", 29, "");
        else
            buf_add_text(&s->out, " ; ");
        column = first                           ? (left.len < 28 ? 31 : left.len + 4) + len
                 : column + len + 3 > LINE_WIDTH ? 31 + len
                                                 : column + len + 3;
        buf_add(&s->out, said.ptr, len);
        said = end == NULL ? (struct str){NULL, 0} : str_sub(said, len + 3, said.len);
        first = false;
    }
    buf_add_char(&s->out, '\n');
}

/* Texts are compared without regard to runs of blanks and line ends. */
static void squeeze(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        bool blank = text.ptr[i] == ' ' || text.ptr[i] == '\n' || text.ptr[i] == '\t';
        if (!blank)
            buf_add_char(out, text.ptr[i]);
        else if (out->len > 0 && out->ptr[out->len - 1] != ' ')
            buf_add_char(out, ' ');
    }
    while (out->len > 0 && out->ptr[out->len - 1] == ' ')
        out->ptr[--out->len] = '\0';
}

static void compare(struct scenario *s, struct str expected)
{
    struct buf want = {0};
    struct buf got = {0};

    squeeze(expected, &want);
    squeeze(buf_str(&s->said), &got);
    if (!s->update && strcmp(buf_text(&want), buf_text(&got)) != 0) {
        s->failures++;
        (void)fprintf(stderr, "%s:%d:\n  expected: %s\n  decided:  %s\n", s->path, s->line,
                      buf_text(&want), buf_text(&got));
    }
    buf_release(&want);
    buf_release(&got);
}

/* The end of an event: its line and the lines after it that begin with a blank. */
static size_t event_end(struct str text, size_t at)
{
    do {
        at = str_find(text, '\n', at);
        at = at == SIZE_MAX ? text.len : at + 1;
    } while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\t'));
    return at;
}

static void count_lines(struct scenario *s, struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        s->line += text.ptr[i] == '\n';
}

static bool is_dag(struct str line)
{
    const char *dag = line.len == 0 ? NULL : memmem(line.ptr, line.len, "dag ", 4);

    return dag != NULL && (dag == line.ptr || (dag[-1] == ' ' && memchr(line.ptr, '{', line.len)));
}

static void run_text(struct scenario *s, struct str text)
{
    size_t at = 0;

    while (at < text.len) {
        size_t line_end = str_find(text, '\n', at);
        struct str line = str_sub(text, at, line_end == SIZE_MAX ? text.len : line_end);
        size_t end = at + line.len + 1;
        buf_clear(&s->said);
        if (line.len == 0 || line.ptr[0] == '#' || set_up(s, line)) {
            buf_add_str(&s->out, line);
            buf_add_char(&s->out, '\n');
        } else {
            struct str left = line;
            if (is_dag(line)) {
                size_t close = load_dag(s, text, at);
                left = str_sub(text, at, close);
                end = event_end(text, close);
                compare(s, str_trim(str_sub(text, close, end)).len < 2
                               ? (struct str){NULL, 0}
                               : str_sub(str_trim(str_sub(text, close, end)), 2, end));
            } else {
                start(s);
                end = event_end(text, at);
                struct str whole = str_sub(text, at, end);
                const char *arrow = memmem(whole.ptr, whole.len, "->", 2);
                size_t cut = arrow == NULL ? whole.len : (size_t)(arrow - whole.ptr);
                left = str_trim(str_sub(whole, 0, cut));
                run_event(s, left);
                compare(s, str_sub(whole, cut + 2, whole.len));
            }
            write_said(s, left);
        }
        if (end > text.len)
            end = text.len;
        count_lines(s, str_sub(text, at, end));
        at = end;
    }
}

int main(int argc, char **argv)
{
    struct scenario s = {.path = argv[argc - 1], .line = 1, .base_us = INT64_C(1767225600000000)};
    bool update = argc == 3 && strcmp(argv[1], "--update") == 0;
    struct buf text = {0};
    struct err err = {0};

    if (argc != 2 && !update) {
        (void)fprintf(stderr, "usage: scenario [--update] FILE\n");
        return 2;
    }
    if (!fs_read_file(s.path, 1u << 20, &text, &err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 2;
    }
    s.update = update;
    world_init(&s.world);
    s.world.observe = observe;
    s.world.observe_context = &s;
    s.wake_us = INT64_MAX;
    run_text(&s, buf_str(&text));
    if (update && !fs_write_file(s.path, buf_str(&s.out), 0644, &err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 2;
    }
    world_release(&s.world);
    arena_release(&s.arena);
    buf_release(&s.said);
    buf_release(&s.out);
    buf_release(&text);
    return s.failures > 0;
}
