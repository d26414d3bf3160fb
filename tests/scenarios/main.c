/* Runs one scenario on the core: scenario [--update] FILE. See README.md for the language.
 *
 * Every event line says what the core decides because of it, after "->". With --update the right
 * sides are written anew, and the diff is the review. */
#include "base/fs.h"
#include "base/timefmt.h"
#include "tests/scenarios/dag_script.h"
#include "tests/scenarios/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_WIDTH 100

__attribute__((noreturn, format(printf, 2, 3))) void scenario_fail(const struct scenario *s,
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

int64_t scenario_time(const struct scenario *s, const char *word)
{
    int64_t us = 0;
    bool has_offset = false;

    if (duration_parse(str_from(word), &us))
        return s->base_us + us;
    if (!timefmt_parse(str_from(word), &us, &has_offset))
        scenario_fail(s, "'%s' is neither a duration nor a date", word);
    return us;
}

static void start(struct scenario *s)
{
    if (s->started)
        return;
    s->started = true;
    s->world.now_us = s->base_us;
    world_start_core(&s->world);
}

/* Set-up lines: "begin_at DATE", "pool NAME SLOTS". */
static bool set_up(struct scenario *s, struct str line)
{
    char word[64] = "";
    long long slots = 0;

    if (str_starts(line, STR("begin_at "))) {
        s->base_us = scenario_time(s, arena_str(&s->arena, str_sub(line, 9, line.len)).ptr);
        return true;
    }
    if (!str_starts(line, STR("pool ")))
        return false;
    if (s->started || sscanf(arena_str(&s->arena, line).ptr, "pool %63s %lld", word, &slots) != 2)
        scenario_fail(s, "expected pool NAME SLOTS before the first DAG");
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
    scenario_fail(s, "the DAG's } is missing");
}

/* "dag NAME { … }", maybe over several lines, maybe after a time. Returns where it ends. */
static size_t load_dag(struct scenario *s, struct str text, size_t at)
{
    size_t open = str_find(text, '{', at);
    char when[64] = "";
    char name[64] = "";

    if (open == SIZE_MAX)
        scenario_fail(s, "expected dag NAME { … }");
    const char *head = arena_str(&s->arena, str_sub(text, at, open)).ptr;
    if (sscanf(head, "dag %63s", name) != 1 && sscanf(head, "%63s dag %63s", when, name) != 2)
        scenario_fail(s, "expected dag NAME { … }");
    size_t close = closing_brace(s, text, open);
    start(s);
    if (when[0] != '\0')
        s->world.now_us = scenario_time(s, when);
    world_load(&s->world,
               dag_script(name, arena_str(&s->arena, str_sub(text, open + 1, close)).ptr));
    if (when[0] != '\0')
        tell_wake(s);
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
                verbs_run(s, left);
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
    s.world.observe = tell_decision;
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
