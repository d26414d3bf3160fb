#include "scheduler/dagfile/document.h"

#include "base/mem.h"
#include "scheduler/dagfile/codes.h"
#include "scheduler/dagfile/scalar.h"
#include "scheduler/dagfile/syntax.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* libyaml takes time that is quadratic in the depth of nesting: the events stop here. */
#define DEPTH_MAX 64
#define EVENTS_MAX 1500000

#define FEW_KEYS 12

/* libyaml counts characters; we want bytes and editors' lines. Its events come in the order of the
 * file, so one cursor that only moves forward serves them all. */
struct cursor {
    size_t characters;
    size_t byte;
    size_t line_start;
    uint32_t line;
};

/* A list or map under construction: its values are those from `first` on. */
struct frame {
    struct node *node;
    size_t first;
    bool has_key;
    struct str key;
    struct position key_at;
};

struct builder {
    struct arena *arena;
    struct str text;
    struct diags *diags;
    yaml_parser_t parser;
    struct cursor cursor;
    struct frame frames[DEPTH_MAX];
    size_t depth;
    /* The values of all open lists and maps, the innermost's on top (those of lists without keys):
     * only what has all its values goes into the arena, which can't take anything back. */
    struct node_entry *values;
    size_t value_count;
    size_t value_capacity;
    struct node *root;
    size_t documents;
    yaml_mark_t long_quote; /* where the last event's begins, if it was one */
    bool has_long_quote;
    bool stopped;
};

struct str document_text(struct str source)
{
    return str_starts(source, STR("\xEF\xBB\xBF")) ? str_sub(source, 3, source.len) : source;
}

/* The offset behind the line that begins at `from`, its end included. */
static size_t line_end(struct str text, size_t from)
{
    const char *end = from < text.len ? memchr(text.ptr + from, '\n', text.len - from) : NULL;

    return end == NULL ? text.len : (size_t)(end - text.ptr) + 1;
}

static struct str without_end(struct str line)
{
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    return line;
}

struct str document_line(struct str text, uint32_t line)
{
    size_t from = 0;

    for (uint32_t i = 1; i < line && from < text.len; i++)
        from = line_end(text, from);
    return without_end(str_sub(text, from, line_end(text, from)));
}

static bool starts_character(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

static void cursor_move(struct cursor *c, struct str text, size_t characters)
{
    while (c->characters < characters && c->byte < text.len) {
        if (text.ptr[c->byte] == '\n') {
            c->line++;
            c->line_start = c->byte + 1;
        }
        c->byte++;
        while (c->byte < text.len && !starts_character(text.ptr[c->byte]))
            c->byte++;
        c->characters++;
    }
}

static struct position place(struct builder *b, const yaml_mark_t *start, const yaml_mark_t *end)
{
    struct cursor from;
    size_t until;

    cursor_move(&b->cursor, b->text, start->index);
    from = b->cursor;
    until = from.byte;
    for (size_t i = start->index; i < end->index && until < b->text.len; i++) {
        if (b->text.ptr[until] == '\n' || b->text.ptr[until] == '\r')
            break;
        until++;
        while (until < b->text.len && !starts_character(b->text.ptr[until]))
            until++;
    }
    return (struct position){
        .line = from.line + 1,
        .column = (uint32_t)(from.byte - from.line_start + 1),
        .length = until > from.byte ? (uint32_t)(until - from.byte) : 1,
    };
}

static struct position place_of_byte(struct str text, size_t byte)
{
    struct position at = {1, 1, 1};
    size_t from = 0;

    for (size_t next = line_end(text, 0); next <= byte && next < text.len;
         next = line_end(text, next)) {
        from = next;
        at.line++;
    }
    at.column = (uint32_t)(byte - from + 1);
    return at;
}

static bool refuse(struct builder *b, const yaml_event_t *event, const char *what, const char *hint)
{
    b->stopped = true;
    diag_add(b->diags, MR(YAML_FEATURE), place(b, &event->start_mark, &event->end_mark), hint, "%s",
             what);
    return false;
}

static bool over_limit(struct builder *b, struct position at, const char *what)
{
    b->stopped = true;
    diag_add(b->diags, MR(LIMIT), at, NULL, "%s", what);
    return false;
}

static bool check_features(struct builder *b, const yaml_event_t *event, const yaml_char_t *anchor,
                           const yaml_char_t *tag)
{
    if (anchor != NULL)
        return refuse(b, event, "anchors (`&`) are not supported",
                      "write the value out, or use default_args");
    if (tag != NULL)
        return refuse(b, event, "tags (`!`) are not supported", "quote a string that begins so");
    return true;
}

/* Hands a finished or just opened value to what it stands in. */
static void attach(struct builder *b, struct node *value)
{
    if (b->depth == 0) {
        b->root = value;
        return;
    }
    struct frame *frame = &b->frames[b->depth - 1];
    if (b->value_count == b->value_capacity) {
        b->value_capacity = mem_grow(b->value_capacity, b->value_count + 1);
        b->values = mem_resize_array(b->values, b->value_capacity, sizeof(*b->values));
    }
    b->values[b->value_count++] = (struct node_entry){frame->key, frame->key_at, value};
    frame->has_key = false;
}

static void end_list(struct builder *b)
{
    const struct frame *frame = &b->frames[--b->depth];
    struct node *list = frame->node;
    size_t count = b->value_count - frame->first;

    list->items = arena_alloc_array(b->arena, count, sizeof(struct node *));
    list->item_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        list->items[i] = b->values[frame->first + i].value;
    b->value_count = frame->first;
}

static bool wants_key(const struct builder *b)
{
    return b->depth > 0 && b->frames[b->depth - 1].node->kind == NODE_MAP &&
           !b->frames[b->depth - 1].has_key;
}

static bool on_key(struct builder *b, const yaml_event_t *event, struct str text,
                   struct position at)
{
    struct frame *frame = &b->frames[b->depth - 1];
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    if (is_plain && str_is(text, "<<"))
        return refuse(b, event, "merge keys (`<<`) are not supported",
                      "write the values out, or use default_args");
    frame->key = text;
    frame->key_at = at;
    frame->has_key = true;
    return true;
}

/* As it stands in the source, where it is written as it is meant; place() has found it there. */
static struct str scalar_text(struct builder *b, const yaml_event_t *event)
{
    struct str value = {(const char *)event->data.scalar.value, event->data.scalar.length};
    size_t from = b->cursor.byte;
    struct str here = str_sub(b->text, from, from + value.len);

    return here.len > 0 && str_eq(here, value) ? here : arena_str(b->arena, value);
}

static bool on_scalar(struct builder *b, const yaml_event_t *event)
{
    struct position at = place(b, &event->start_mark, &event->end_mark);
    struct str text = scalar_text(b, event);

    if (!check_features(b, event, event->data.scalar.anchor, event->data.scalar.tag))
        return false;
    if (wants_key(b))
        return on_key(b, event, text, at);
    struct node *node = arena_alloc(b->arena, sizeof(*node));
    node->kind = NODE_STRING;
    node->text = text;
    node->at = at;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        const char *message = scalar_resolve(node);
        if (message != NULL)
            diag_add(b->diags, MR(BAD_VALUE), node->at, NULL, "%s", message);
    }
    attach(b, node);
    return true;
}

static bool on_open(struct builder *b, const yaml_event_t *event, enum node_kind kind)
{
    if (wants_key(b))
        return refuse(b, event, "a list or map can't be a key", "a template must be quoted");
    struct node *node = arena_alloc(b->arena, sizeof(*node));
    node->kind = kind;
    node->at = place(b, &event->start_mark, &event->end_mark);
    node->at.length = 1;
    if (b->depth == DEPTH_MAX)
        return over_limit(b, node->at, "nested deeper than 64 levels");
    attach(b, node);
    b->frames[b->depth++] = (struct frame){.node = node, .first = b->value_count};
    return true;
}

static int compare_entries(const void *left, const void *right)
{
    const struct node_entry *a = *(const struct node_entry *const *)left;
    const struct node_entry *b = *(const struct node_entry *const *)right;
    size_t len = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = len == 0 ? 0 : memcmp(a->key.ptr, b->key.ptr, len);

    if (order != 0)
        return order;
    if (a->key.len != b->key.len)
        return a->key.len < b->key.len ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Of the few keys that most maps have, without sorting them. */
static bool has_few_keys_once(const struct node *map)
{
    if (map->entry_count > FEW_KEYS)
        return false;
    for (size_t i = 1; i < map->entry_count; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(map->entries[i].key, map->entries[k].key))
                return false;
    return true;
}

/* Reports doubled keys and keeps the first of each. */
static void drop_doubled_keys(struct builder *b, struct node *map)
{
    struct node_entry **sorted = mem_alloc_array(map->entry_count, sizeof(*sorted));
    size_t kept = 0;

    for (size_t i = 0; i < map->entry_count; i++)
        sorted[i] = &map->entries[i];
    qsort(sorted, map->entry_count, sizeof(*sorted), compare_entries);
    for (size_t i = 1, first = 0; i < map->entry_count; i++) {
        if (!str_eq(sorted[i]->key, sorted[first]->key)) {
            first = i;
            continue;
        }
        diag_add(b->diags, MR(DUPLICATE_KEY), sorted[i]->key_at,
                 arena_printf(b->arena, "it stands first in line %u", sorted[first]->key_at.line),
                 "the key `%.*s` stands here twice", STR_ARG(sorted[i]->key));
        sorted[i]->value = NULL;
    }
    free(sorted);
    for (size_t i = 0; i < map->entry_count; i++)
        if (map->entries[i].value != NULL)
            map->entries[kept++] = map->entries[i];
    map->entry_count = (uint32_t)kept;
}

static void end_map(struct builder *b)
{
    const struct frame *frame = &b->frames[--b->depth];
    struct node *map = frame->node;
    size_t count = b->value_count - frame->first;

    map->entries = arena_alloc_array(b->arena, count, sizeof(struct node_entry));
    map->entry_count = (uint32_t)count;
    if (count > 0)
        memcpy(map->entries, b->values + frame->first, count * sizeof(struct node_entry));
    b->value_count = frame->first;
    if (!has_few_keys_once(map))
        drop_doubled_keys(b, map);
}

static bool on_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return check_features(b, event, event->data.sequence_start.anchor,
                              event->data.sequence_start.tag) &&
               on_open(b, event, NODE_LIST);
    case YAML_MAPPING_START_EVENT:
        return check_features(b, event, event->data.mapping_start.anchor,
                              event->data.mapping_start.tag) &&
               on_open(b, event, NODE_MAP);
    case YAML_MAPPING_END_EVENT:
        end_map(b);
        return true;
    case YAML_SEQUENCE_END_EVENT:
        end_list(b);
        return true;
    case YAML_ALIAS_EVENT:
        return refuse(b, event, "aliases (`*`) are not supported",
                      "write the value out, or use default_args");
    case YAML_DOCUMENT_START_EVENT:
        if (b->documents++ > 0)
            return refuse(b, event, "a second document in one file", "one file holds one DAG");
        return true;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    }
    return true;
}

static void syntax_error(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    struct position at = {1, 1, 1};

    if (p->error == YAML_READER_ERROR)
        at = place_of_byte(b->text, p->problem_offset);
    else if (p->problem_mark.index >= b->cursor.characters)
        at = place(b, &p->problem_mark, &p->problem_mark);
    else
        at = (struct position){(uint32_t)p->problem_mark.line + 1,
                               (uint32_t)p->problem_mark.column + 1, 1};
    const struct syntax_place stopped = {
        .at = at,
        .quote = b->has_long_quote ? &b->long_quote : NULL,
        .inner = b->depth > 0 ? b->frames[b->depth - 1].node : NULL,
    };
    syntax_report(p, b->text, &stopped, b->diags);
}

/* A quoted text over several lines may be one whose end was forgotten: then the next thing fails.
 */
static void note_quote(struct builder *b, const yaml_event_t *event)
{
    b->has_long_quote = event->type == YAML_SCALAR_EVENT &&
                        (event->data.scalar.style == YAML_SINGLE_QUOTED_SCALAR_STYLE ||
                         event->data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE) &&
                        event->start_mark.line != event->end_mark.line;
    b->long_quote = event->start_mark;
}

static void run(struct builder *b)
{
    size_t events = 0;

    yaml_parser_set_encoding(&b->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b->parser, (const unsigned char *)b->text.ptr, b->text.len);
    for (bool done = false; !done && !b->stopped;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&b->parser, &event)) {
            syntax_error(b);
            b->stopped = true;
            return;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        if (++events > EVENTS_MAX)
            (void)over_limit(b, place(b, &event.start_mark, &event.end_mark),
                             "more than 1,500,000 values, keys and brackets");
        else
            (void)on_event(b, &event);
        note_quote(b, &event);
        yaml_event_delete(&event);
    }
}

/* The length of the longest prefix that is valid UTF-8 without NUL. */
static size_t good_prefix(struct str line)
{
    size_t good = 0;

    while (good < line.len && line.ptr[good] != '\0') {
        size_t width = 1;
        while (width <= 4 && good + width <= line.len &&
               !str_is_utf8(str_sub(line, good, good + width)))
            width++;
        if (width > 4 || good + width > line.len)
            break;
        good += width;
    }
    return good;
}

/* NUL and invalid UTF-8, with their place: libyaml's own message names neither line nor column. */
static bool check_bytes(struct str text, struct diags *diags)
{
    struct position at = {1, 1, 1};

    for (size_t from = 0; from < text.len; at.line++) {
        size_t next = line_end(text, from);
        struct str line = str_sub(text, from, next);
        if (memchr(line.ptr, '\0', line.len) != NULL || !str_is_utf8(line)) {
            size_t good = good_prefix(line);
            at.column = (uint32_t)good + 1;
            diag_add(diags, MR(SYNTAX), at, "save the file as UTF-8",
                     line.ptr[good] == '\0' ? "a NUL byte" : "bytes that are not UTF-8");
            return false;
        }
        from = next;
    }
    return true;
}

struct node *document_parse(struct arena *arena, struct str source, struct diags *diags)
{
    struct builder b = {.arena = arena, .text = document_text(source), .diags = diags};

    if (source.len > 16u * 1024 * 1024) {
        diag_add(diags, MR(LIMIT), (struct position){1, 1, 1}, NULL, "larger than 16 MiB");
        return NULL;
    }
    if (!check_bytes(b.text, diags))
        return NULL;
    if (!yaml_parser_initialize(&b.parser)) {
        diag_add(diags, MR(SYNTAX), (struct position){1, 1, 1}, NULL, "out of memory");
        return NULL;
    }
    run(&b);
    yaml_parser_delete(&b.parser);
    free(b.values);
    if (b.stopped)
        return NULL;
    if (b.root == NULL) {
        b.root = arena_alloc(arena, sizeof(*b.root));
        b.root->at = (struct position){1, 1, 1};
    }
    return b.root;
}

/* The place in a literal block (`|`): its lines are those below the bar, indented. */
static bool place_in_block(struct str text, const struct node *scalar, size_t offset,
                           struct position *at)
{
    size_t start = 0;

    at->line = scalar->at.line + 1;
    for (size_t i = 0; i < offset; i++)
        if (scalar->text.ptr[i] == '\n') {
            start = i + 1;
            at->line++;
        }
    size_t end = str_find(scalar->text, '\n', start);
    struct str wanted = str_sub(scalar->text, start, end == SIZE_MAX ? scalar->text.len : end);
    struct str line = document_line(text, at->line);
    if (wanted.len == 0 || !str_ends(line, wanted))
        return false;
    at->column = (uint32_t)(line.len - wanted.len + (offset - start) + 1);
    return true;
}

struct position document_position(struct str text, const struct node *scalar, size_t offset,
                                  size_t length)
{
    struct position at = scalar->at;
    struct str line = document_line(text, at.line);
    struct str first = str_sub(line, at.column - 1, line.len);

    if (offset > scalar->text.len)
        return scalar->at;
    at.length = length == 0 ? 1 : (uint32_t)length;
    if (str_starts(first, scalar->text)) {
        at.column += (uint32_t)offset;
        return at;
    }
    if (first.len > 1 && (first.ptr[0] == '"' || first.ptr[0] == '\'') &&
        str_starts(str_sub(first, 1, first.len), scalar->text)) {
        at.column += (uint32_t)offset + 1;
        return at;
    }
    if (first.len > 0 && first.ptr[0] == '|' && place_in_block(text, scalar, offset, &at))
        return at;
    return scalar->at;
}
