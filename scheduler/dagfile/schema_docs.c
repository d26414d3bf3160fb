/* The reference page of the DAG file, from the option tables. */
#include "millrace/task_kind.h"
#include "scheduler/dagfile/schema.h"
#include "scheduler/dagfile/tables.h"

#include <string.h>

/* Tables below this depth are named, not written out: an expectation's own lists. */
#define DEPTH_MAX 4

static void add_enum(const struct option *option, struct buf *out)
{
    for (size_t i = 0; option->choices[i] != NULL; i++)
        buf_printf(out, "%s`%s`", i == 0 ? "" : ", ", option->choices[i]);
}

static const char *type_name(const struct option *option)
{
    switch (option->type) {
    case OPTION_STRING:
        return "string";
    case OPTION_BOOL:
        return "true or false";
    case OPTION_INT:
        return "integer";
    case OPTION_FLOAT:
        return "number";
    case OPTION_DURATION:
        return "duration";
    case OPTION_DATE:
        return "date or time";
    case OPTION_ENUM:
        return "";
    case OPTION_STRINGS:
        return option->flags & OPTION_OR_SINGLE ? "string or list of strings" : "list of strings";
    case OPTION_SCALAR:
        return "string, number or boolean";
    case OPTION_SCALARS:
        return "list of strings, numbers or booleans";
    case OPTION_OBJECT:
        return option->flags & OPTION_OR_STRING ? "string or map" : "map";
    case OPTION_OBJECTS:
        return "list of maps";
    case OPTION_MAP:
        return "map by name";
    case OPTION_TAGGED:
        return "map with one key";
    case OPTION_TAGGEDS:
        return "list of maps with one key";
    case OPTION_ANY:
        return "any";
    }
    return "any";
}

/* A cell of a Markdown table: bars end it, line ends break it. */
static void add_cell(const char *text, struct buf *out)
{
    for (; text != NULL && *text != '\0'; text++) {
        if (*text == '|')
            buf_add_char(out, '\\');
        buf_add_char(out, *text == '\n' ? ' ' : *text);
    }
}

static void add_row(const struct option *option, const char *prefix, struct buf *out)
{
    buf_printf(out, "| `%s%s` | ", prefix, option->key);
    buf_add_text(out, type_name(option));
    if (option->type == OPTION_BOOL && option->choices != NULL)
        buf_add_text(out, ", ");
    if (option->choices != NULL)
        add_enum(option, out);
    if (option->flags & OPTION_NULLABLE)
        buf_add_text(out, ", null");
    buf_add_text(out, " | ");
    if (option->flags & OPTION_REQUIRED)
        buf_add_text(out, "*required*");
    else if (option->fallback != NULL) {
        buf_add_char(out, '`');
        add_cell(option->fallback, out);
        buf_add_char(out, '`');
    }
    buf_add_text(out, " | ");
    add_cell(option->doc, out);
    if (option->flags & OPTION_TEMPLATE)
        buf_add_text(out, " *Template.*");
    buf_add_text(out, " |\n");
}

static void add_rows(const struct option_table *table, const char *prefix, int depth,
                     struct buf *out)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        const struct option_table *below =
            option->fields != NULL ? option->fields : option->variants;
        const char *between = option->type == OPTION_MAP ? ".NAME."
                              : option->type == OPTION_OBJECTS || option->type == OPTION_TAGGEDS
                                  ? "[]."
                                  : ".";
        add_row(option, prefix, out);
        if (below == NULL || below == table || below == &task_table ||
            below == &default_args_table || depth == DEPTH_MAX)
            continue;
        struct buf next = {0};
        buf_printf(&next, "%s%s%s", prefix, option->key, between);
        add_rows(below, buf_text(&next), depth + 1, out);
        buf_release(&next);
    }
}

static void add_table(const struct option_table *table, struct buf *out)
{
    if (table->count == 0) {
        buf_add_text(out, "No options.\n\n");
        return;
    }
    buf_add_text(out, "| key | type | default | meaning |\n|---|---|---|---|\n");
    add_rows(table, "", 0, out);
    buf_add_char(out, '\n');
}

static void add_kinds(struct buf *out)
{
    size_t count = 0;
    const struct task_kind *const *kinds = task_kinds(&count);

    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "### `type: %s`\n\n%s\n\n", kinds[i]->name, kinds[i]->doc);
        if (kinds[i]->options->doc != NULL && *kinds[i]->options->doc != '\0')
            buf_printf(out, "%s\n\n", kinds[i]->options->doc);
        add_table(kinds[i]->options, out);
    }
}

static const char introduction[] =
    "# The DAG file\n\n"
    "Written by `millrace schema docs` from the option tables: change those, not this page.\n"
    "`millrace check` reads a file by the same tables; `millrace schema dag` prints them as JSON\n"
    "Schema for editors.\n\n"
    "Durations carry a unit: `90s`, `1h30m`, `2d`. Booleans are `true` and `false` only. Anchors,\n"
    "aliases, tags and merge keys are refused; `default_args` takes their place.\n\n";

static const char templates[] =
    "## Templates\n\n"
    "Options marked *Template* may hold `{{ name | filter }}`. Names: `ds`, `ds_nodash`, `ts`,\n"
    "`ts_nodash`, `logical_date`, `data_interval_start`, `data_interval_end`, `run_id`, `dag_id`,\n"
    "`task_id`, `try_number`, `map_index`, `map.x`, `params.x`, `conf.x`, `var.x`,\n"
    "`tasks.T.outputs.k`.\n"
    "Filters: `add_days(-7)`, `add(1h30m)`, `format(\"%Y/%m\")`, `ds`, `ds_nodash`, `ts`,\n"
    "`ts_nodash`, `lower`, `upper`, `replace(\"a\", \"b\")`, `default(\"x\")`, `json`, and `sh`, "
    "which\n"
    "quotes for a shell and must end every template of a shell script. `{{ \"{{\" }}` writes two\n"
    "braces.\n\n";

static const char flow[] =
    "## Conditions\n\n"
    "`when` holds an expression, without `{{ }}`: strings in quotes, numbers, `true`, `false`,\n"
    "`null`, lists `[1, 2]`; the names of templates but `try_number`, `map_index` and `map.x`;\n"
    "`==`, `!=`, `<`, `<=`, `>`, `>=`; `in` and `not in` for a list, the keys of a map, or a part\n"
    "of a string; `and`, `or`, `not`, brackets; `exists(name)` and `length(value)`. Types are "
    "strict:\n"
    "a number and a string can't be compared, which is found at load time where types are "
    "declared.\n\n"
    "```yaml\n"
    "when: params.full or (exists(conf.only) and conf.only in [\"users\", \"all\"])\n"
    "```\n\n"
    "It is evaluated once the trigger rule lets the task start. False skips the task, with the\n"
    "values in the reason. A name without a value outside of `exists` and values that can't be\n"
    "compared fail it, without another try.\n\n"
    "## Branches\n\n"
    "A task with `branch` chooses which of the tasks directly downstream go on once it has\n"
    "succeeded; its own outputs may be asked too. The others are skipped at once, whatever their\n"
    "trigger rule, unless a chosen task leads to them. Where the branches meet again,\n"
    "`trigger_rule: none_failed_min_one_success` lets the task run.\n\n"
    "```yaml\n"
    "count:\n"
    "  type: command\n"
    "  with: {argv: [./count.sh]}\n"
    "  branch:\n"
    "    - {when: tasks.count.outputs.rows > 1000, then: [train]}\n"
    "    - {else: [report]}\n"
    "```\n\n"
    "`branch_output: next` leaves the choice to the task: its output `next` is an id or a list of\n"
    "ids. An output that is neither fails it. A group's name stands for those of its tasks that\n"
    "are directly downstream.\n\n"
    "## Mapped tasks\n\n"
    "`expand` names lists: written out, or a template of one that stands in params, in the run's\n"
    "conf or in an upstream's outputs. A map is gone over as a list of `{key, value}`. Once its\n"
    "upstreams have ended, the task becomes an instance per item, with several lists per\n"
    "combination, the last list fastest. Each has its own tries, log and state, and reads its "
    "item\n"
    "as `map.NAME`, its number from 0 as `map_index`.\n\n"
    "```yaml\n"
    "load:\n"
    "  type: command\n"
    "  depends_on: [list]\n"
    "  expand: {file: \"{{ tasks.list.outputs.files }}\"}\n"
    "  with: {argv: [./load.sh, \"{{ map.file }}\"]}\n"
    "total:\n"
    "  type: command\n"
    "  depends_on: [load]\n"
    "  with: {argv: [./total.sh, \"{{ tasks.load.outputs.rows | json }}\"]}\n"
    "```\n\n"
    "What is downstream waits for all instances, each of which counts in its trigger rule.\n"
    "`tasks.load.outputs.rows` is then the list of the instances' outputs in their order, without\n"
    "those that have none (failed, skipped). No items skip the task; more than `max_map_length`,\n"
    "or something that is no list, fail it.\n\n";

void schema_docs(struct buf *out)
{
    buf_add_text(out, introduction);
    buf_add_text(out, "## The DAG\n\n");
    add_table(&dag_table, out);
    buf_add_text(out, "## default_args\n\n");
    add_table(&default_args_table, out);
    buf_add_text(out, "## A task\n\n");
    add_table(&task_table, out);
    buf_add_text(out, templates);
    buf_add_text(out, flow);
    buf_add_text(out, "## The options of each kind (`with`)\n\n");
    add_kinds(out);
    buf_add_text(out, "## millrace.yaml\n\n");
    add_table(&settings_table, out);
    out->len--; /* the last empty line */
    out->ptr[out->len] = '\0';
}
