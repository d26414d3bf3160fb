#include "scheduler/dagfile/report.h"

#include "base/mem.h"
#include "scheduler/dagfile/document.h"

#include <stdlib.h>
#include <string.h>

/* Longer source lines are shown as a window around the finding. */
#define LINE_MAX_BYTES 160
#define LEAD_BYTES 60

struct window {
    struct str text; /* what is shown of the line */
    size_t column;   /* 0-based, of the caret, in bytes of `text` */
    bool cut_before;
    bool cut_after;
};

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

static struct window window_of(struct str line, size_t column)
{
    struct window w = {.text = line, .column = column > line.len ? line.len : column};
    size_t from = 0;
    size_t to = line.len;

    if (line.len > LINE_MAX_BYTES) {
        from = w.column > LEAD_BYTES ? w.column - LEAD_BYTES : 0;
        while (from > 0 && from < line.len && is_continuation(line.ptr[from]))
            from--;
        to = from + LINE_MAX_BYTES < line.len ? from + LINE_MAX_BYTES : line.len;
        while (to < line.len && is_continuation(line.ptr[to]))
            to++;
    }
    w.text = str_sub(line, from, to);
    w.column -= from;
    w.cut_before = from > 0;
    w.cut_after = to < line.len;
    return w;
}

/* The carets' line keeps tabs, and takes one column per character, so that carets stand right. */
static void add_carets(const struct window *w, size_t length, struct buf *out)
{
    size_t carets = 0;

    if (w->cut_before)
        buf_add_text(out, "   ");
    for (size_t i = 0; i < w->column; i++)
        if (!is_continuation(w->text.ptr[i]))
            buf_add_char(out, w->text.ptr[i] == '\t' ? '\t' : ' ');
    for (size_t i = w->column; i < w->column + length && i < w->text.len; i++)
        if (!is_continuation(w->text.ptr[i])) {
            buf_add_char(out, '^');
            carets++;
        }
    if (carets == 0)
        buf_add_char(out, '^');
}

static int digits_of(uint32_t number)
{
    int digits = 1;

    for (; number >= 10; number /= 10)
        digits++;
    return digits;
}

/* Control characters of a file must not reach a terminal. */
static void add_printable(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        buf_add_char(out, (c < 0x20 && c != '\t') || c == 0x7F ? '?' : text.ptr[i]);
    }
}

static bool is_suggestion(const char *hint)
{
    return hint != NULL && strncmp(hint, "did you mean", 12) == 0;
}

static void add_source(struct str line, const struct diag *diag, int width, struct buf *out)
{
    struct window w = window_of(line, diag->at.column - 1);

    buf_printf(out, "%*s |\n%u | %s", width, "", diag->at.line, w.cut_before ? "..." : "");
    add_printable(w.text, out);
    buf_printf(out, "%s\n%*s | ", w.cut_after ? "..." : "", width, "");
    add_carets(&w, diag->at.length, out);
    if (is_suggestion(diag->hint))
        buf_printf(out, " %s", diag->hint);
    buf_add_char(out, '\n');
}

static void add_finding(const char *file, struct str text, const struct diag *diag, struct buf *out)
{
    struct str line = document_line(text, diag->at.line);
    int width = digits_of(diag->at.line);
    bool has_source = line.len > 0;

    buf_printf(out, "%s[%s]: ", diag->severity == DIAG_ERROR ? "error" : "warning", diag->code);
    add_printable(str_from(diag->message), out);
    buf_printf(out, "\n%*s--> %s:%u:%u\n", width, "", file, diag->at.line, diag->at.column);
    if (has_source)
        add_source(line, diag, width, out);
    if (diag->hint != NULL && !(has_source && is_suggestion(diag->hint))) {
        buf_printf(out, "%*s = help: ", width, "");
        add_printable(str_from(diag->hint), out);
        buf_add_char(out, '\n');
    }
}

static int compare_places(const void *left, const void *right)
{
    const struct diag *a = *(const struct diag *const *)left;
    const struct diag *b = *(const struct diag *const *)right;

    if (a->at.line != b->at.line)
        return a->at.line < b->at.line ? -1 : 1;
    if (a->at.column != b->at.column)
        return a->at.column < b->at.column ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* The findings in the order of the file; the caller frees the array. */
static const struct diag **in_order(const struct diags *diags)
{
    const struct diag **sorted = mem_alloc_array(diags->count, sizeof(*sorted));

    for (size_t i = 0; i < diags->count; i++)
        sorted[i] = &diags->items[i];
    qsort(sorted, diags->count, sizeof(*sorted), compare_places);
    return sorted;
}

void report_text(const char *file, struct str source, const struct diags *diags, struct buf *out)
{
    struct str text = document_text(source);
    const struct diag **sorted = in_order(diags);

    for (size_t i = 0; i < diags->count; i++) {
        if (i > 0)
            buf_add_char(out, '\n');
        add_finding(file, text, sorted[i], out);
    }
    free(sorted);
}

void report_json(const char *file, const struct diags *diags, struct jw *w)
{
    const struct diag **sorted = in_order(diags);

    jw_begin_array(w);
    for (size_t i = 0; i < diags->count; i++) {
        const struct diag *diag = sorted[i];
        jw_begin_object(w);
        jw_kv_string(w, "code", diag->code);
        jw_kv_string(w, "severity", diag->severity == DIAG_ERROR ? "error" : "warning");
        jw_kv_string(w, "file", file);
        jw_kv_int(w, "line", diag->at.line);
        jw_kv_int(w, "column", diag->at.column);
        jw_kv_int(w, "length", diag->at.length);
        jw_kv_string(w, "message", diag->message);
        jw_kv_string(w, "hint", diag->hint);
        jw_end_object(w);
    }
    jw_end_array(w);
    free(sorted);
}
