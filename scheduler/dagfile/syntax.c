#include "scheduler/dagfile/syntax.h"

#include "scheduler/dagfile/codes.h"
#include "scheduler/dagfile/document.h"

#include <string.h>

/* A mark counts characters, a position bytes. */
static struct position place_of_mark(struct str text, const yaml_mark_t *mark)
{
    struct str line = document_line(text, (uint32_t)mark->line + 1);
    size_t byte = 0;

    for (size_t i = 0; i < mark->column && byte < line.len; i++) {
        byte++;
        while (byte < line.len && ((unsigned char)line.ptr[byte] & 0xC0) == 0x80)
            byte++;
    }
    return (struct position){(uint32_t)mark->line + 1, (uint32_t)byte + 1, 1};
}

/* "quote it" for a value that begins with a character that YAML keeps for itself. */
static const char *reserved_hint(struct str line, struct position at, struct diags *diags)
{
    size_t from = at.column - 1;
    size_t end = from;

    if (from >= line.len || strchr("@`%", line.ptr[from]) == NULL)
        return NULL;
    while (end < line.len && strchr(",]}#\"", line.ptr[end]) == NULL)
        end++;
    struct str value = str_trim(str_sub(line, from, end));
    return arena_printf(diags->arena, "quote it: \"%.*s\"", STR_ARG(value));
}

static const char *word_hint(const char *problem, struct str line, struct position at,
                             struct diags *diags)
{
    if (line.len == 0)
        return NULL;
    if (strstr(problem, "tab") != NULL || memchr(line.ptr, '\t', line.len) != NULL)
        return "indent with spaces: YAML allows no tabs there";
    if (strstr(problem, "mapping values are not allowed") != NULL)
        return "a colon inside a text needs quotes around the text";
    if (strstr(problem, "cannot start any token") != NULL)
        return reserved_hint(line, at, diags);
    if (memmem(line.ptr, line.len, "{{", 2) != NULL)
        return "a value that begins with {{ needs quotes";
    return NULL;
}

/* What the parser was inside of: a quoted text, a list or a map in brackets; else NULL. */
static const char *open_thing(const yaml_parser_t *p)
{
    static const char *const things[][2] = {
        {"quoted scalar", "quote"  },
        {"flow sequence", "bracket"},
        {"flow mapping",  "brace"  },
    };

    for (size_t i = 0; p->context != NULL && i < sizeof(things) / sizeof(things[0]); i++)
        if (strstr(p->context, things[i][0]) != NULL)
            return things[i][1];
    return NULL;
}

/* Where the thing opens that the parser was inside of; of a bracket with nothing behind it the tree
 * alone knows. */
static const char *find_open(const yaml_parser_t *p, struct str text,
                             const struct syntax_place *place, struct position *ret)
{
    const char *thing = open_thing(p);

    if (thing != NULL) {
        *ret = place_of_mark(text, &p->context_mark);
        return thing;
    }
    if (place->inner == NULL || p->context == NULL || strstr(p->context, "flow node") == NULL)
        return NULL;
    *ret = place->inner->at;
    return place->inner->kind == NODE_LIST ? "bracket" : "brace";
}

static const char *open_hint(const char *problem, const char *thing, struct position opened,
                             struct diags *diags)
{
    if (strstr(problem, "escape") != NULL)
        return "in double quotes a backslash is written \\\\; in single quotes it is a plain "
               "character";
    if (strstr(problem, "did not find expected ','") == NULL &&
        strstr(problem, "document indicator") == NULL)
        return NULL;
    return arena_printf(diags->arena, "%sthe %s that opens in line %u, column %u is not closed",
                        strstr(problem, "','") == NULL ? "" : "a comma is missing, or ", thing,
                        opened.line, opened.column);
}

void syntax_report(const yaml_parser_t *p, struct str text, const struct syntax_place *place,
                   struct diags *diags)
{
    const char *problem = p->problem == NULL ? "not valid YAML" : p->problem;
    struct position at = place->at;
    struct position opened = at;
    const char *thing = find_open(p, text, place, &opened);
    struct str line = document_line(text, at.line);
    const char *hint = word_hint(problem, line, at, diags);

    if (thing != NULL && str_trim(line).len == 0) {
        at = opened; /* at the end of the file there is nothing to see */
        hint = arena_printf(diags->arena, "this %s is never closed", thing);
    } else if (thing != NULL && hint == NULL) {
        hint = open_hint(problem, thing, opened, diags);
    } else if (place->quote != NULL && hint == NULL) {
        opened = place_of_mark(text, place->quote);
        hint = arena_printf(diags->arena,
                            "a quoted text that opens in line %u, column %u ends just before: is "
                            "its own end missing?",
                            opened.line, opened.column);
    }
    if (p->context == NULL || strstr(p->context, "while") != p->context)
        diag_add(diags, MR(SYNTAX), at, hint, "%s", problem);
    else
        diag_add(diags, MR(SYNTAX), at, hint, "%s, %s", problem, p->context);
}
