#include "cli/remote.h"

#include "base/json.h"
#include "base/mem.h"
#include "scheduler/core/zone.h"
#include "scheduler/dagfile/dagfile.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARED_ARGS 3
#define TABLE_MAX 24

static int run_verb(const struct verb *verb, struct remote *remote, const char *server,
                    const char *state)
{
    const struct command *command = remote->command;
    struct err err = {0};

    if (remote->count < verb->count_min || remote->count > verb->count_max)
        return command_usage_error(command, "%s%swants %d%s argument%s, got %d", verb->name,
                                   verb->name[0] == '\0' ? "" : " ", verb->count_min,
                                   verb->count_max > verb->count_min ? " or more" : "",
                                   verb->count_min == 1 ? "" : "s", remote->count);
    remote->client = client_open(server, state, &err);
    if (remote->client == NULL)
        return command_fail(&err);
    int exit_code = verb->run(remote);
    client_close(remote->client);
    return exit_code;
}

static const struct verb *find_verb(const struct verb *verbs, const char *name)
{
    for (const struct verb *verb = verbs; verb->name != NULL; verb++)
        if (strcmp(verb->name, name) == 0)
            return verb;
    return NULL;
}

static int unknown_verb(const struct command *command, const struct verb *verbs, const char *name)
{
    struct buf names = {0};

    for (const struct verb *verb = verbs; verb->name != NULL; verb++)
        buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", verb->name);
    int exit_code = command_usage_error(command, "there is no `%s %s`; there is: %s", command->name,
                                        name, buf_text(&names));
    buf_release(&names);
    return exit_code;
}

struct shared {
    const char *server;
    const char *state;
    const char *output;
};

/* Parses with the shared arguments added; -1 after a message. */
static int parse(const struct command *command, const struct arg *table, size_t arg_count, int argc,
                 char **argv, struct shared *shared)
{
    struct arg all[TABLE_MAX + SHARED_ARGS];

    assert(arg_count <= TABLE_MAX);
    if (arg_count > 0)
        memcpy(all, table, arg_count * sizeof(*table));
    all[arg_count] = (struct arg){"server", 0, ARG_TEXT, &shared->server};
    all[arg_count + 1] = (struct arg){"state", 0, ARG_TEXT, &shared->state};
    all[arg_count + 2] = (struct arg){"output", 'o', ARG_TEXT, &shared->output};
    return args_parse(command, all, arg_count + SHARED_ARGS, argc, argv);
}

static bool set_format(const struct command *command, const char *word, enum table_format *format)
{
    if (word == NULL || table_format_parse(word, format))
        return true;
    (void)command_usage_error(command, "-o is one of table, tsv, json; not `%s`", word);
    return false;
}

int remote_main(const struct noun *noun, int argc, char **argv)
{
    struct shared shared = {0};
    struct remote remote = {.command = noun->command, .options = noun->options};
    const struct verb *verb = noun->verbs;
    int count = parse(noun->command, noun->args, noun->arg_count, argc, argv, &shared);
    bool has_verbs = verb->name[0] != '\0';

    if (count < 0 || !set_format(noun->command, shared.output, &remote.format))
        return err_exit_code(ERR_USAGE);
    const struct verb *named = has_verbs && count > 0 ? find_verb(noun->verbs, argv[1]) : NULL;
    if (named != NULL)
        verb = named;
    else if (has_verbs && count > verb->count_max)
        return unknown_verb(noun->command, noun->verbs, argv[1]);
    int used = named != NULL ? 1 : 0;
    remote.count = count - used;
    remote.positional = argv + 1 + used;
    return run_verb(verb, &remote, shared.server, shared.state);
}

int remote_list(struct remote *remote, const char *path, const char *key,
                const struct table_column *columns, size_t column_count)
{
    struct err err = {0};
    json_t *answer = client_request(remote->client, "GET", path, NULL, &err);

    if (answer == NULL)
        return command_fail(&err);
    const json_t *rows = json_object_get(answer, key);
    table_print(columns, column_count, rows, answer, remote->format);
    int64_t total = json_get_int(answer, "total_entries", 0);
    if ((int64_t)json_array_size(rows) < total)
        fprintf(stderr, "%zu of %lld shown: --limit and --offset show others\n",
                json_array_size(rows), (long long)total);
    json_decref(answer);
    return 0;
}

int remote_object(struct remote *remote, const char *method, const char *path, const json_t *body,
                  const struct table_column *fields, size_t field_count)
{
    struct err err = {0};
    json_t *answer = client_request(remote->client, method, path, body, &err);

    if (answer == NULL)
        return command_fail(&err);
    table_print_object(fields, field_count, answer, remote->format);
    json_decref(answer);
    return 0;
}

json_t *remote_dag(struct remote *remote, const char *dag_id, struct err *err)
{
    struct buf path = {0};

    buf_add_text(&path, "/api/v2/dags");
    client_add_segment(&path, dag_id);
    buf_add_text(&path, "/details");
    json_t *dag = client_request(remote->client, "GET", buf_text(&path), NULL, err);
    buf_release(&path);
    return dag;
}

int64_t remote_add_task(struct buf *path, const char *name)
{
    struct str text = str_from(name);
    size_t bracket = str_find(text, '[', 0);
    int64_t map_index = -1;

    if (bracket != SIZE_MAX && str_ends(text, STR("]")) &&
        str_to_int(str_sub(text, bracket + 1, text.len - 1), &map_index) && map_index >= 0)
        text.len = bracket;
    else
        map_index = -1;
    char *task_id = mem_dup(text.ptr, text.len);
    client_add_segment(path, task_id);
    free(task_id);
    return map_index;
}

bool remote_instant(const char *name, const char *text, const char *timezone,
                    char out[TIMEFMT_SIZE], struct err *err)
{
    struct arena arena = {0};
    int64_t us = 0;
    bool has_offset = false;

    if (!timefmt_parse(str_from(text), &us, &has_offset))
        return err_set(err, ERR_USAGE, "%s wants a date or a time, like 2026-01-31, not `%s`", name,
                       text);
    const struct zone *zone = zonefile_load(&arena, str_from(timezone), err);
    if (zone != NULL)
        (void)timefmt_utc(has_offset ? us : zone_to_utc_us(zone, us), out);
    arena_release(&arena);
    return zone != NULL;
}

bool remote_has_params(const json_t *dag, const struct arg_list *pairs, struct err *err)
{
    const json_t *params = json_object_get(dag, "params");

    for (size_t i = 0; i < pairs->count; i++) {
        struct str pair = str_from(pairs->items[i]);
        size_t equals = str_find(pair, '=', 0);
        if (equals == SIZE_MAX || equals == 0 || json_object_getn(params, pair.ptr, equals) != NULL)
            continue;
        struct buf known = {0};
        const char *name = NULL;
        json_t *param = NULL;
        json_object_foreach((json_t *)(uintptr_t)params, name, param)
            buf_printf(&known, " %s", name);
        err_set(err, ERR_USAGE, "%s has no param `%.*s`; its params:%s (--conf takes any name)",
                json_get_string(dag, "dag_id", "the DAG"), (int)equals, pair.ptr,
                known.len == 0 ? " none" : buf_text(&known));
        buf_release(&known);
        return false;
    }
    return true;
}

json_t *remote_param_types(const json_t *dag)
{
    json_t *types = json_object();
    const char *name = NULL;
    json_t *param = NULL;

    json_object_foreach(json_object_get(dag, "params"), name, param)
    {
        json_t *type = json_object_get(json_object_get(param, "schema"), "type");
        if (type != NULL)
            (void)json_object_set(types, name, type);
    }
    return types;
}

/* The value of one pair; a declared string stays the text it is. */
static json_t *pair_value(struct str name, struct str text, const json_t *types)
{
    const char *bytes = text.len == 0 ? "" : text.ptr;
    const json_t *type = json_object_getn(types, name.ptr, name.len);
    bool is_text = json_is_string(type) && strcmp(json_string_value(type), "string") == 0;
    json_t *value = is_text ? NULL : json_loadb(bytes, text.len, JSON_DECODE_ANY, NULL);

    return value != NULL ? value : json_stringn(bytes, text.len);
}

json_t *remote_conf(const char *json_text, const struct arg_list *pairs, const json_t *types,
                    struct err *err)
{
    json_t *conf = json_text == NULL ? json_object() : json_parse(str_from(json_text), err);

    if (conf == NULL) {
        err_wrap(err, "--conf");
        return NULL;
    }
    if (!json_is_object(conf)) {
        err_set(err, ERR_USAGE, "--conf wants a JSON object, like '{\"lake\": \"lake\"}'");
        json_decref(conf);
        return NULL;
    }
    for (size_t i = 0; i < pairs->count; i++) {
        struct str pair = str_from(pairs->items[i]);
        size_t equals = str_find(pair, '=', 0);
        if (equals == SIZE_MAX || equals == 0) {
            err_set(err, ERR_USAGE, "-p wants name=value, not `%s`", pairs->items[i]);
            json_decref(conf);
            return NULL;
        }
        struct str name = str_sub(pair, 0, equals);
        json_t *value = pair_value(name, str_sub(pair, equals + 1, pair.len), types);
        (void)json_object_setn_new(conf, name.ptr, name.len, value);
    }
    return conf;
}
