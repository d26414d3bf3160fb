/* Schema, reference page and settings: they say what the tables say. */
#include "base/fs.h"
#include "base/json.h"
#include "millrace/settings.h"
#include "millrace/task_kind.h"
#include "scheduler/dagfile/schema.h"
#include "scheduler/dagfile/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The part of a schema that has properties: an alternative may hold it. */
static const json_t *object_part(const json_t *schema)
{
    if (json_object_get(schema, "properties") != NULL)
        return schema;
    if (json_object_get(schema, "items") != NULL)
        return object_part(json_object_get(schema, "items"));
    const json_t *alternatives = json_object_get(schema, "anyOf");
    for (size_t i = 0; i < json_array_size(alternatives); i++) {
        const json_t *found = object_part(json_array_get(alternatives, i));
        if (found != NULL)
            return found;
    }
    const json_t *members = json_object_get(schema, "additionalProperties");
    return json_is_object(members) ? object_part(members) : NULL;
}

static void covers(const json_t *schema, const struct option_table *table)
{
    const json_t *properties = json_object_get(object_part(schema), "properties");

    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        const json_t *property = json_object_get(properties, option->key);
        if (property == NULL)
            fail_msg("%s: no `%s` in the schema", table->name, option->key);
        if (option->doc == NULL || *option->doc == '\0')
            fail_msg("%s: `%s` has no doc", table->name, option->key);
        if (option->fallback != NULL && json_object_get(property, "default") == NULL)
            fail_msg("%s: the default of `%s` is no JSON", table->name, option->key);
        if (option->fields == &group_table)
            assert_string_equal(
                json_get_string(json_object_get(property, "additionalProperties"), "$ref", ""),
                "#/definitions/task_group");
        else if (option->fields != NULL)
            covers(property, option->fields);
        if (option->variants != NULL)
            covers(property, option->variants);
    }
    for (const struct option_alias *alias = table->aliases; alias != NULL && alias->word != NULL;
         alias++)
        if (option_find(table, str_from(alias->word)) != NULL)
            fail_msg("%s: `%s` is an option and an alias", table->name, alias->word);
}

static void schema_covers_the_tables(void **state)
{
    (void)state;
    json_t *dag = schema_of_dag();
    json_t *settings = schema_of_settings();
    size_t count = 0;
    const struct task_kind *const *kinds = task_kinds(&count);

    covers(dag, &dag_table);
    covers(settings, &settings_table);
    const json_t *group = json_object_get(json_object_get(dag, "definitions"), "task_group");
    covers(group, &group_table);
    const json_t *const maps[] = {dag, group};
    for (size_t m = 0; m < 2; m++) {
        const json_t *tasks = json_object_get(json_object_get(maps[m], "properties"), "tasks");
        const json_t *rules =
            json_object_get(json_object_get(tasks, "additionalProperties"), "allOf");
        assert_int_equal(json_array_size(rules), count);
        for (size_t i = 0; i < count; i++) {
            const json_t *then = json_object_get(json_array_get(rules, i), "then");
            covers(json_object_get(json_object_get(then, "properties"), "with"), kinds[i]->options);
        }
    }
    json_decref(dag);
    json_decref(settings);
}

static void docs_are_up_to_date(void **state)
{
    (void)state;
    struct buf now = {0};
    struct buf committed = {0};
    struct err err;

    schema_docs(&now);
    assert_true(fs_read_file("docs/dag-file.md", 4u * 1024 * 1024, &committed, &err));
    bool equal = str_eq(buf_str(&now), buf_str(&committed));
    buf_release(&now);
    buf_release(&committed);
    if (!equal)
        fail_msg("docs/dag-file.md is old: millrace schema docs > docs/dag-file.md");
}

/* Loads settings from a folder that holds this millrace.yaml. */
static bool load(const char *yaml, const struct settings_override *override, struct settings *ret,
                 struct err *err)
{
    char folder[] = "/tmp/millrace-settings-XXXXXX";
    char *before = getcwd(NULL, 0);

    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    assert_true(fs_write_file("millrace.yaml", str_from(yaml), 0600, err));
    bool fine = settings_load(override, ret, err);
    assert_int_equal(chdir(before), 0);
    (void)fs_remove_tree(folder, &(struct err){0});
    free(before);
    return fine;
}

static void settings_are_read(void **state)
{
    (void)state;
    struct settings s;
    struct err err = {0};
    struct settings_override override = {.port = 9000};

    (void)unsetenv("MILLRACE_STATE");
    if (!load("port: 8181\nworker: {slots: 3, memory: 2GiB}\npools: {gpu: 2, default_pool: {slots: "
              "9}}\n",
              NULL, &s, &err))
        fail_msg("%s", err.message);
    assert_int_equal(s.port, 8181);
    assert_int_equal(s.worker_slots, 3);
    assert_int_equal(s.memory_bytes, INT64_C(2) << 30);
    assert_int_equal(s.pool_count, 2);
    assert_string_equal(s.pools[0].name, "default_pool");
    assert_int_equal(s.pools[0].slots, 9);
    assert_true(str_ends(str_from(s.dags_folder), STR("/dags")));
    assert_int_equal(s.dags_folder[0], '/');
    settings_release(&s);
    assert_true(load("", &override, &s, &err));
    assert_int_equal(s.port, 9000);
    assert_true(s.worker_slots >= 1 && s.memory_bytes > 0);
    settings_release(&s);
}

static void settings_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *message;
    } cases[] = {
        {"host: 0.0.0.0\n",          "not a loopback"     },
        {"host: 127.evil.example\n", "not a loopback"     },
        {"prot: 1\n",                "did you mean `port`"},
        {"port: 70000\n",            "between 1 and 65535"},
        {"pools: {gpu: many}\n",     "slots of a pool"    },
        {"worker: {memory: lots}\n", "must be a size"     },
        {"port: [\n",                "MR0101"             },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings s;
        struct err err = {0};
        assert_false(load(cases[i].yaml, NULL, &s, &err));
        assert_int_equal(err.code, ERR_INVALID);
        if (strstr(err.message, cases[i].message) == NULL)
            fail_msg("%s: %s", cases[i].yaml, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_covers_the_tables),
        cmocka_unit_test(docs_are_up_to_date),
        cmocka_unit_test(settings_are_read),
        cmocka_unit_test(settings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
