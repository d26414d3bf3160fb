/* The scheduler's door to scheduler/dagfile: a source becomes a DAG, or a report. */
#ifndef MILLRACE_SCHEDULER_PARSE_H
#define MILLRACE_SCHEDULER_PARSE_H

#include "base/buf.h"
#include "millrace/dag.h"
#include "millrace/settings.h"

/* The findings as `millrace check` prints them, and as JSON. */
struct parse_report {
    struct buf text;
    struct buf findings;
};

/* Parses a file's content; NULL with the findings in `report`, which the caller releases in any
 * case. Without settings the pools are not checked (a version that was checked before). The caller
 * owns the reference. */
struct dag *parse_dag(const struct settings *settings, struct str source, const char *file,
                      struct parse_report *report);
void parse_report_release(struct parse_report *report);

#endif
