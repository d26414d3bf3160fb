/* What libyaml could not read, as a finding with a hint. Internal to scheduler/dagfile. */
#ifndef MILLRACE_DAGFILE_SYNTAX_H
#define MILLRACE_DAGFILE_SYNTAX_H

#include "millrace/diag.h"

#include <yaml.h>

struct syntax_place {
    struct position at;       /* where the parser stopped */
    const yaml_mark_t *quote; /* where the last thing read begins, if that was a quoted text of
                                 several lines; else NULL */
    const struct node *inner; /* the innermost list or map that has begun; may be NULL */
};

/* Adds the finding for a parser that has stopped with an error. */
void syntax_report(const yaml_parser_t *parser, struct str text, const struct syntax_place *place,
                   struct diags *diags);

#endif
