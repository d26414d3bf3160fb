/* The log of an attempt: a piece of its file as JSON lines, NDJSON or plain text. */
#include "web/handlers.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "millrace/messages.h"
#include "web/lookup.h"
#include "web/params.h"
#include "web/route.h"
#include "web/view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int64_t piece_bytes = 512 * 1024;
static const int64_t full_bytes = 8 * 1024 * 1024;

/* Opens the log below the state folder; the path is made of row ids only, and no link is followed.
 * -1 if there is none yet. */
static int open_log(const struct web *web, const struct attempt_row *attempt)
{
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    char path[120];

    (void)snprintf(path, sizeof(path), STATE_LOG_FORMAT, (long long)attempt->run, attempt->task,
                   attempt->map_index, (long long)attempt->try_number);
    return (int)syscall(SYS_openat2, web->state_fd, path, &how, sizeof(how));
}

/* Whether retention may have removed a log that is not there: where the attempt is younger, it
 * wrote none. */
static bool may_be_removed(const struct web *web, const struct attempt_row *attempt)
{
    int64_t kept_us = web->settings->retention.logs_us;

    return kept_us != 0 && attempt->ended_at_us != 0 &&
           attempt->ended_at_us < clock_wall_us() - kept_us;
}

struct piece {
    struct buf bytes;
    int64_t next;  /* offset after it */
    bool complete; /* nothing comes after it */
};

/* Reads from an offset, ending at a line's end unless the log ends there for good. */
static void read_piece(int fd, int64_t offset, int64_t max, bool final, struct piece *piece)
{
    struct stat found;
    int64_t size = fd >= 0 && fstat(fd, &found) == 0 ? found.st_size : 0;
    int64_t want = size > offset ? size - offset : 0;

    if (want > max)
        want = max;
    buf_reserve(&piece->bytes, (size_t)want);
    while ((int64_t)piece->bytes.len < want) {
        char chunk[64 * 1024];
        size_t left = (size_t)want - piece->bytes.len;
        ssize_t len = pread(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk),
                            offset + (int64_t)piece->bytes.len);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            break;
        buf_add(&piece->bytes, chunk, (size_t)len);
    }
    bool at_end = offset + (int64_t)piece->bytes.len >= size;
    if (!at_end || !final) {
        const char *end =
            piece->bytes.len == 0 ? NULL : memrchr(piece->bytes.ptr, '\n', piece->bytes.len);
        size_t kept = end == NULL ? 0 : (size_t)(end - piece->bytes.ptr) + 1;
        if (kept > 0 || (int64_t)piece->bytes.len < max)
            piece->bytes.len = kept;
    }
    piece->next = offset + (int64_t)piece->bytes.len;
    piece->complete = final && piece->next >= size;
}

/* Where the last `tail` bytes begin, at a line's start. */
static int64_t tail_offset(int fd, int64_t tail)
{
    struct stat found;
    char byte;

    if (fd < 0 || fstat(fd, &found) != 0 || found.st_size <= tail)
        return 0;
    int64_t offset = found.st_size - tail;
    while (offset < found.st_size && pread(fd, &byte, 1, offset - 1) == 1 && byte != '\n')
        offset++;
    return offset;
}

/* A line as the worker writes it: "2026-01-02T03:04:05.000006Z stdout text". Lines that look
 * otherwise are text as a whole. */
struct line {
    struct str timestamp; /* empty = none */
    struct str logger;    /* "stdout", "stderr", "millrace" */
    struct str text;
};

static struct line split_line(struct str text)
{
    struct line line = {.text = text};
    size_t first = str_find(text, ' ', 0);
    size_t second = first == SIZE_MAX ? SIZE_MAX : str_find(text, ' ', first + 1);
    int64_t us = 0;
    bool has_offset = false;

    if (first < 20 || first > 27 || second == SIZE_MAX ||
        !timefmt_parse(str_sub(text, 0, first), &us, &has_offset) || !has_offset)
        return line;
    line.timestamp = str_sub(text, 0, first);
    line.logger = str_sub(text, first + 1, second);
    line.text = str_sub(text, second + 1, text.len);
    return line;
}

static void write_line(struct jw *w, struct str text)
{
    struct line line = split_line(text);

    jw_begin_object(w);
    if (line.timestamp.len > 0) {
        jw_key(w, "timestamp");
        jw_str(w, line.timestamp);
    }
    jw_key(w, "event");
    jw_str(w, line.text);
    if (line.logger.len > 0) {
        jw_key(w, "logger");
        jw_str(w, line.logger);
    }
    jw_end_object(w);
}

/* Writes each line without its line end. */
static void write_lines(struct jw *w, struct str text, bool one_per_line)
{
    for (size_t from = 0; from < text.len;) {
        size_t end = str_find(text, '\n', from);
        size_t to = end == SIZE_MAX ? text.len : end;
        struct str line = str_sub(text, from, to);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        write_line(w, line);
        if (one_per_line) {
            buf_add_char(w->out, '\n');
            w->need_comma = false;
        }
        from = to + 1;
    }
}

static void respond_piece(struct request *request, const struct piece *piece)
{
    struct str text = buf_str(&piece->bytes);
    char *token =
        piece->complete ? NULL : arena_printf(&request->arena, "at-%lld", (long long)piece->next);

    if (params_accepts(request, "application/json")) {
        struct jw w = {.out = respond_json(request, 200)};
        jw_begin_object(&w);
        jw_key(&w, "content");
        jw_begin_array(&w);
        write_lines(&w, text, false);
        jw_end_array(&w);
        jw_kv_string(&w, "continuation_token", token);
        jw_end_object(&w);
        return;
    }
    if (params_accepts(request, "application/x-ndjson")) {
        struct jw w = {.out = respond(request, 200, "application/x-ndjson")};
        write_lines(&w, text, true);
    } else if (params_accepts(request, "text/plain")) {
        buf_add_str(respond(request, 200, "text/plain; charset=utf-8"), text);
    } else {
        respond_detail(request, 406,
                       "Only application/json, application/x-ndjson or text/plain is supported");
        return;
    }
    if (token != NULL)
        respond_header(request, "Airflow-Continuation-Token", token);
}

/* The offset a continuation token holds; 400 for one we never gave. */
static bool parse_token(struct request *request, int64_t *ret)
{
    const char *token = request_param(request, "token");

    if (token == NULL || token[0] == '\0')
        return true;
    if (strncmp(token, "at-", 3) == 0 && str_to_int(str_from(token + 3), ret) && *ret >= 0)
        return true;
    respond_detail(request, 400, "Bad Signature. Please use only the tokens provided by the API.");
    return false;
}

void handle_task_log(struct web *web, struct request *request)
{
    struct task_view task = {0};
    struct attempt_row attempt = {0};
    struct piece piece = {0};
    bool full = false;
    int64_t offset = 0;
    int64_t tail = 0;

    if (!params_bool(request, "full_content", &full) ||
        !params_int(request, "tail", 1, full_bytes, &tail) || !parse_token(request, &offset) ||
        !lookup_task(web, request, &task) || !lookup_attempt(web, request, &task, &attempt))
        return;
    int fd = open_log(web, &attempt);
    if (fd < 0 && may_be_removed(web, &attempt)) {
        respond_detail(
            request, 404,
            "There is no log of this try: it wrote none, or it is older than `retention: {logs}` "
            "of millrace.yaml keeps logs");
        return;
    }
    if (tail > 0 && request_param(request, "token") == NULL)
        offset = tail_offset(fd, tail);
    bool plain = !params_accepts(request, "application/json");
    int64_t max = full || plain ? full_bytes : piece_bytes;
    read_piece(fd, offset, tail > max ? tail : max, task_state_is_final(attempt.state), &piece);
    respond_piece(request, &piece);
    buf_release(&piece.bytes);
    if (fd >= 0)
        (void)close(fd);
}
