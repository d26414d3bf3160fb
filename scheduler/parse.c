#include "scheduler/parse.h"

#include "scheduler/dagfile/dagfile.h"
#include "scheduler/dagfile/report.h"

struct dag *parse_dag(const struct settings *settings, struct str source, const char *file,
                      struct parse_report *report)
{
    struct arena arena = {0};
    struct diags diags = {.arena = &arena};
    struct dagfile_input input = {.source = source, .file = file};
    struct jw w = {.out = &report->findings};

    if (settings != NULL) {
        input.pools = settings->pools;
        input.pool_count = settings->pool_count;
    }
    struct dag *dag = dagfile_parse(&input, &diags);
    if (dag == NULL) {
        report_text(file, source, &diags, &report->text);
        report_json(file, &diags, &w);
    }
    diags_release(&diags);
    arena_release(&arena);
    return dag;
}

void parse_report_release(struct parse_report *report)
{
    buf_release(&report->text);
    buf_release(&report->findings);
}
