#include "worker/environ.h"

#include <string.h>

static const char *const service_names[] = {"LISTEN_FDS=",    "LISTEN_PID=",    "LISTEN_FDNAMES=",
                                            "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID="};

struct list {
    char **entries;
    size_t count;
};

bool environ_is_passed(const char *entry)
{
    if (strncmp(entry, "MILLRACE_STATE=", strlen("MILLRACE_STATE=")) == 0)
        return true;
    if (strncmp(entry, "MILLRACE_", strlen("MILLRACE_")) == 0)
        return false;
    for (size_t i = 0; i < sizeof(service_names) / sizeof(service_names[0]); i++)
        if (strncmp(entry, service_names[i], strlen(service_names[i])) == 0)
            return false;
    return strchr(entry, '=') != NULL;
}

static bool is_named(const char *entry, const char *name, size_t len)
{
    return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

/* Replaces the entry of that name, or adds one. */
static void list_set(struct list *list, struct arena *arena, const char *name, const char *value)
{
    size_t len = strlen(name);
    size_t at = 0;

    if (len == 0 || strchr(name, '=') != NULL || value == NULL)
        return;
    while (at < list->count && !is_named(list->entries[at], name, len))
        at++;
    list->entries[at] = arena_printf(arena, "%s=%s", name, value);
    if (at == list->count)
        list->count++;
}

char **environ_build(struct arena *arena, char *const *base, const json_t *env,
                     const struct environ_extra *extras, size_t extra_count)
{
    struct list list = {0};
    size_t base_count = 0;
    const char *name;
    const json_t *value;

    while (base[base_count] != NULL)
        base_count++;
    list.entries = arena_alloc_array(arena, base_count + json_object_size(env) + extra_count + 1,
                                     sizeof(char *));
    for (size_t i = 0; i < base_count; i++)
        if (environ_is_passed(base[i]))
            list.entries[list.count++] = base[i]; /* lives as long as the worker's environment */
    /* jansson's iteration takes a mutable object but changes nothing. */
    for (void *at = json_object_iter((json_t *)(uintptr_t)env); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)env, at)) {
        name = json_object_iter_key(at);
        value = json_object_iter_value(at);
        list_set(&list, arena, name, json_string_value(value));
    }
    for (size_t i = 0; i < extra_count; i++)
        list_set(&list, arena, extras[i].name, extras[i].value);
    return list.entries;
}

const char *environ_get(char *const *list, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; list[i] != NULL; i++)
        if (is_named(list[i], name, len))
            return list[i] + len + 1;
    return NULL;
}
