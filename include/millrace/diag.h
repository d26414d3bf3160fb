/* Diagnostics: the findings of a check, each with its place in a file, collected so that all of a
 * file's errors come at once. Printed by scheduler/dagfile/report.c as text or JSON. */
#ifndef MILLRACE_DIAG_H
#define MILLRACE_DIAG_H

#include "base/arena.h"
#include "millrace/node.h"

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

struct diag {
    const char *code; /* "MR0107"; static, from dagfile/codes.def */
    enum diag_severity severity;
    struct position at;
    const char *message; /* what is wrong; in the arena */
    const char *hint;    /* what to do, "did you mean `x`?"; may be NULL */
};

struct diags {
    struct arena *arena; /* owns the texts */
    struct diag *items;  /* grown with mem_*, freed by diags_release() */
    size_t count;
    size_t capacity;
    size_t error_count;
};

/* At most this many findings are kept for one file. */
#define DIAGS_MAX 200

__attribute__((format(printf, 5, 6))) void diag_add(struct diags *diags, const char *code,
                                                    struct position at, const char *hint,
                                                    const char *format, ...);
__attribute__((format(printf, 5, 6))) void diag_warn(struct diags *diags, const char *code,
                                                     struct position at, const char *hint,
                                                     const char *format, ...);

/* "did you mean `x`?" for the nearest of `count` names, in the arena; NULL where none is near. */
const char *diag_suggest(struct diags *diags, struct str name, const char *const *names,
                         size_t count);

void diags_release(struct diags *diags);

#endif
