/* millrace schema: what editors know about DAG files and settings. */
#include "cli/args.h"
#include "cli/command.h"

#include "scheduler/dagfile/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_schema(json_t *schema)
{
    (void)json_dumpf(schema, stdout,
                     JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
    (void)putchar('\n');
    json_decref(schema);
}

static void print_docs(void)
{
    struct buf text = {0};

    schema_docs(&text);
    (void)fwrite(buf_text(&text), 1, text.len, stdout);
    buf_release(&text);
}

static int run(int argc, char **argv)
{
    int count = args_parse(&schema_command, NULL, 0, argc, argv);

    if (count < 0)
        return err_exit_code(ERR_USAGE);
    const char *what = count == 0 ? "dag" : argv[1];
    if (count > 1)
        return command_usage_error(&schema_command, "one of dag, settings and docs at a time");
    if (strcmp(what, "dag") == 0)
        print_schema(schema_of_dag());
    else if (strcmp(what, "settings") == 0)
        print_schema(schema_of_settings());
    else if (strcmp(what, "docs") == 0)
        print_docs();
    else
        return command_usage_error(&schema_command, "there is no schema `%s`: use dag or settings",
                                   what);
    return err_exit_code(ERR_NONE);
}

const struct command schema_command = {
    .name = "schema",
    .summary = "Print the JSON Schema of DAG files or settings",
    .usage = "Usage: millrace schema [dag|settings|docs]\n\n"
             "Prints the JSON Schema (draft-07) of DAG files (default) or of millrace.yaml; docs\n"
             "prints the reference page in Markdown. For editors with yaml-language-server:\n\n"
             "  millrace schema > .millrace-dag.schema.json\n"
             "  # yaml-language-server: $schema=../.millrace-dag.schema.json   (first line of a "
             "DAG file)\n",
    .run = run,
};
