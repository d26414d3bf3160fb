/* What the scheduler is told of the datasets an attempt read and published. */
#include "base/json.h"
#include "tasks/publish/internal.h"

/* The members of a list in `datasets`, made when it is first needed. */
static json_t *list_of(json_t *datasets, const char *role)
{
    if (json_object_get(datasets, role) == NULL)
        (void)json_object_set_new(datasets, role, json_array());
    return json_object_get(datasets, role);
}

/* Named by its path with the partition; what is no dataset (a source file) has no name of one. */
static void add(json_t *list, const json_t *item, const char *version)
{
    const char *dataset = json_get_string(item, "dataset", NULL);
    const char *partition = json_get_string(item, "partition", "");
    struct buf name = {0};

    if (dataset == NULL || version == NULL)
        return;
    buf_printf(&name, "%s%s%s", dataset, partition[0] == '\0' ? "" : "/", partition);
    (void)json_array_append_new(
        list, json_pack("{s:s, s:s}", "dataset", buf_text(&name), "version", version));
    buf_release(&name);
}

void datasets_note(const struct attempt *attempt, const json_t *content, const char *version)
{
    const json_t *inputs = json_object_get(content, "inputs");

    if (attempt->datasets == NULL)
        return;
    json_t *read = list_of(attempt->datasets, "inputs");
    for (size_t i = 0; i < json_array_size(inputs) && json_array_size(read) < DATASETS_MAX; i++) {
        const json_t *input = json_array_get(inputs, i);
        add(read, input, json_get_string(input, "version", NULL));
    }
    add(list_of(attempt->datasets, "outputs"), content, version);
}
