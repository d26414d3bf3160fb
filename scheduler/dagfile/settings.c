#include "millrace/settings.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "scheduler/dagfile/codes.h"
#include "scheduler/dagfile/document.h"
#include "scheduler/dagfile/report.h"
#include "scheduler/dagfile/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SETTINGS_FILE "millrace.yaml"
#define SETTINGS_BYTES_MAX (1024u * 1024)
#define DEFAULT_POOL "default_pool"
#define DEFAULT_POOL_SLOTS 128
#define STAGING_US (7 * US_PER_DAY) /* as its option's default */
#define MEMORY_LEAST (INT64_C(64) * 1024 * 1024)

/* clang-format off */
static const struct option worker_options[] = {
    {.key = "slots", .type = OPTION_INT, .min = 1, .max = 4096,
     .doc = "Attempts at once; the number of processors if not given."},
    {.key = "memory", .type = OPTION_STRING,
     .doc = "Memory of one data attempt, such as 2GB or 512MiB; 60 % of the machine's over the "
            "slots if not given."},
};

static const struct option_table worker_table = {
    .name = "worker", .doc = "The worker.", .options = worker_options,
    .count = COUNT(worker_options),
};

static const struct option retention_options[] = {
    {.key = "runs", .type = OPTION_DURATION,
     .doc = "Finished runs that ended longer ago are removed, with their task instances, attempts, "
            "transitions, logs and attempt folders; if not given they are kept for ever. The "
            "newest run of a DAG, the one with its latest logical date and those of unfinished "
            "backfills always stay. What is as old and only they needed goes too: updates of "
            "assets, completed backfills, versions of DAG files."},
    {.key = "logs", .type = OPTION_DURATION,
     .doc = "Logs and attempt folders of runs that ended longer ago are removed; if not given they "
            "stay as long as their run."},
    {.key = "staging", .type = OPTION_DURATION, .fallback = "\"7d\"",
     .doc = "What dead attempts left in the staging folder beside a lake is removed when it is "
            "older, by the next publication there."},
};

static const struct option_table retention_table = {
    .name = "retention", .doc = "How long what is over is kept.", .options = retention_options,
    .count = COUNT(retention_options),
};

static const struct option settings_options[] = {
    {.key = "dags_folder", .type = OPTION_STRING, .fallback = "\"dags\"",
     .doc = "Where the DAG files are, relative to this file. A folder that is named here must be "
            "there."},
    {.key = "state_folder", .type = OPTION_STRING, .fallback = "\".millrace\"",
     .doc = "Where state and logs are kept, relative to this file."},
    {.key = "host", .type = OPTION_STRING, .fallback = "\"127.0.0.1\"",
     .doc = "The address the server listens on: a loopback address."},
    {.key = "port", .type = OPTION_INT, .fallback = "8080", .min = 1, .max = 65535,
     .doc = "The port the server listens on."},
    {.key = "worker", .type = OPTION_OBJECT, .fields = &worker_table, .doc = "The worker."},
    {.key = "pools", .type = OPTION_MAP,
     .doc = "Pools by name: a number of slots (-1: no limit), or {slots, description}."},
    {.key = "retention", .type = OPTION_OBJECT, .fields = &retention_table,
     .doc = "How long what is over is kept."},
};
/* clang-format on */

static const struct option_alias settings_aliases[] = {
    {"dags",         "dags_folder"     },
    {"state",        "state_folder"    },
    {"address",      "host"            },
    {"bind",         "host"            },
    {"worker_slots", "worker: {slots}" },
    {"slots",        "worker: {slots}" },
    {"memory",       "worker: {memory}"},
    {NULL,           NULL              },
};

const struct option_table settings_table = {
    .name = "millrace.yaml",
    .doc = "The settings of an installation.",
    .options = settings_options,
    .count = COUNT(settings_options),
    .aliases = settings_aliases,
};

struct loading {
    struct settings *settings;
    const struct node *root; /* NULL without a file */
    json_t *options;
    struct diags diags;
};

/* "2GB", "512MiB", "1073741824". */
static bool parse_bytes(struct str text, int64_t *ret)
{
    static const struct {
        const char *unit;
        int64_t bytes;
    } units[] = {
        {"",    1                     },
        {"B",   1                     },
        {"KB",  1000                  },
        {"MB",  1000000               },
        {"GB",  1000000000            },
        {"TB",  INT64_C(1000000000000)},
        {"KiB", 1024                  },
        {"MiB", 1024 * 1024           },
        {"GiB", 1024 * 1024 * 1024    },
        {"TiB", INT64_C(1024) << 30   },
    };
    size_t digits = 0;
    int64_t number = 0;

    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    if (!str_to_int(str_sub(text, 0, digits), &number))
        return false;
    struct str unit = str_trim(str_sub(text, digits, text.len));
    for (size_t i = 0; i < COUNT(units); i++)
        if (str_is(unit, units[i].unit))
            return !__builtin_mul_overflow(number, units[i].bytes, ret);
    return false;
}

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

static bool check_host(const char *host, struct err *err)
{
    if (is_loopback(host))
        return true;
    return err_set(err, ERR_INVALID,
                   "host `%.100s` is not a loopback address: without sign-in the server listens on "
                   "127.0.0.1, ::1 or localhost only; put a reverse proxy with authentication in "
                   "front of it",
                   host);
}

static const char *keep(struct arena *arena, const char *folder, const char *name)
{
    char *joined = fs_join(folder, name);
    const char *kept = arena_strdup(arena, joined);

    free(joined);
    return kept;
}

static const char *option_text(const struct loading *l, const char *key)
{
    const char *text = json_string_value(json_object_get(l->options, key));

    return text == NULL ? "" : text;
}

static void add_pool(struct settings *s, const char *name, int64_t slots, const char *description)
{
    for (size_t i = 0; i < s->pool_count; i++)
        if (strcmp(s->pools[i].name, name) == 0) {
            s->pools[i].slots = slots;
            if (description != NULL)
                s->pools[i].description = description;
            return;
        }
    s->pools[s->pool_count++] = (struct pool_setting){name, slots, description};
}

static void read_pool(struct loading *l, const struct node_entry *entry)
{
    struct arena *arena = &l->settings->arena;
    const struct node *slots = entry->value;
    const char *description = NULL;

    if (entry->value->kind == NODE_MAP) {
        slots = node_get(entry->value, "slots");
        struct str text = node_get_text(entry->value, "description");
        description = text.len == 0 ? NULL : arena_str(arena, text).ptr;
        for (size_t i = 0; i < entry->value->entry_count; i++) {
            const struct node_entry *key = &entry->value->entries[i];
            if (!str_is(key->key, "slots") && !str_is(key->key, "description"))
                diag_add(&l->diags, MR(UNKNOWN_KEY), key->key_at, "keys here: slots, description",
                         "unknown key `%.*s` in a pool", STR_ARG(key->key));
        }
    }
    if (!str_is_id(entry->key))
        diag_add(&l->diags, MR(BAD_ID), entry->key_at, NULL, "the pool's name is no id");
    else if (slots == NULL || slots->kind != NODE_INT || slots->scalar.integer < -1 ||
             slots->scalar.integer > 1000000)
        diag_add(&l->diags, MR(BAD_VALUE), slots == NULL ? entry->value->at : slots->at, NULL,
                 "the slots of a pool are a number from 0 to 1000000, or -1 for no limit");
    else
        add_pool(l->settings, arena_str(arena, entry->key).ptr, slots->scalar.integer, description);
}

static void read_pools(struct loading *l)
{
    const struct node *pools = node_get(l->root, "pools");
    size_t count = pools == NULL ? 0 : pools->entry_count;

    l->settings->pools =
        arena_alloc_array(&l->settings->arena, count + 1, sizeof(struct pool_setting));
    add_pool(l->settings, DEFAULT_POOL, DEFAULT_POOL_SLOTS, "Default pool");
    for (size_t i = 0; i < count; i++)
        read_pool(l, &pools->entries[i]);
}

static void read_worker(struct loading *l, const struct settings_override *override)
{
    struct settings *s = l->settings;
    const json_t *worker = json_object_get(l->options, "worker");
    const char *memory = json_string_value(json_object_get(worker, "memory"));
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t pages = sysconf(_SC_PHYS_PAGES);
    int64_t page = sysconf(_SC_PAGESIZE);

    s->worker_slots = json_integer_value(json_object_get(worker, "slots"));
    if (override != NULL && override->worker_slots > 0)
        s->worker_slots = override->worker_slots;
    if (s->worker_slots <= 0)
        s->worker_slots = processors > 0 ? processors : 1;
    if (memory != NULL) {
        if (!parse_bytes(str_from(memory), &s->memory_bytes) || s->memory_bytes < MEMORY_LEAST)
            diag_add(&l->diags, MR(BAD_VALUE), node_get(node_get(l->root, "worker"), "memory")->at,
                     NULL, "`memory` must be a size of at least 64MiB, such as 2GB");
        return;
    }
    s->memory_bytes = pages > 0 && page > 0 ? pages * page / 10 * 6 / s->worker_slots : 0;
    if (s->memory_bytes < MEMORY_LEAST)
        s->memory_bytes = MEMORY_LEAST;
}

static int64_t read_duration(const json_t *options, const char *key)
{
    const char *text = json_string_value(json_object_get(options, key));
    int64_t us = 0;

    /* The check has parsed it. */
    return text != NULL && duration_parse(str_from(text), &us) ? us : 0;
}

static void read_retention(struct loading *l)
{
    const json_t *options = json_object_get(l->options, "retention");
    struct retention_setting *retention = &l->settings->retention;

    retention->runs_us = read_duration(options, "runs");
    retention->logs_us = read_duration(options, "logs");
    retention->staging_us = options == NULL ? STAGING_US : read_duration(options, "staging");
}

static const char *cwd_path(struct arena *arena, const char *name)
{
    char *cwd = getcwd(NULL, 0);
    const char *path = cwd == NULL ? name : keep(arena, cwd, name);

    free(cwd);
    return path;
}

static bool apply(struct loading *l, const struct settings_override *override, struct err *err)
{
    struct settings *s = l->settings;
    const char *state = getenv("MILLRACE_STATE");

    if (override != NULL && override->state_folder != NULL)
        s->state_folder = cwd_path(&s->arena, override->state_folder);
    else if (state != NULL && *state != '\0')
        s->state_folder = cwd_path(&s->arena, state);
    else
        s->state_folder = keep(&s->arena, s->base_folder, option_text(l, "state_folder"));
    if (override != NULL && override->dags_folder != NULL)
        s->dags_folder = cwd_path(&s->arena, override->dags_folder);
    else
        s->dags_folder = keep(&s->arena, s->base_folder, option_text(l, "dags_folder"));
    s->is_dags_folder_given = (override != NULL && override->dags_folder != NULL) ||
                              node_get(l->root, "dags_folder") != NULL;
    s->host = override != NULL && override->host != NULL ? override->host : option_text(l, "host");
    s->host = arena_strdup(&s->arena, s->host);
    s->port = json_integer_value(json_object_get(l->options, "port"));
    if (override != NULL && override->port != 0)
        s->port = override->port;
    if (s->port < 1 || s->port > 65535)
        return err_set(err, ERR_INVALID, "port %lld is not between 1 and 65535",
                       (long long)s->port);
    return check_host(s->host, err);
}

/* The folder of millrace.yaml: the working folder or the nearest parent that has one. */
static bool find_base(struct settings *s, bool *ret_found, struct err *err)
{
    char *cwd = getcwd(NULL, 0);

    if (cwd == NULL)
        return err_errno(err, "the working folder");
    s->base_folder = arena_strdup(&s->arena, cwd);
    *ret_found = false;
    for (size_t len = strlen(cwd); !*ret_found;) {
        char *path = fs_join(cwd, SETTINGS_FILE);
        *ret_found = access(path, F_OK) == 0;
        free(path);
        if (*ret_found)
            s->base_folder = arena_strdup(&s->arena, cwd);
        if (len <= 1)
            break;
        while (len > 1 && cwd[len - 1] != '/')
            len--;
        len = len > 1 ? len - 1 : 1;
        cwd[len] = '\0';
    }
    free(cwd);
    return true;
}

static bool fail_findings(struct loading *l, const char *path, struct str source, struct err *err)
{
    const struct diag *first = &l->diags.items[0];
    struct buf text = {0};

    report_text(path, source, &l->diags, &text);
    (void)err_set(err, ERR_INVALID, "%zu finding%s in %s\n%s", l->diags.count,
                  l->diags.count == 1 ? "" : "s", path, buf_text(&text));
    err->line = first->at.line;
    err->column = first->at.column;
    buf_release(&text);
    return false;
}

static bool load(struct loading *l, const struct settings_override *override, struct err *err)
{
    struct settings *s = l->settings;
    struct buf source = {0};
    bool found = false;
    bool fine = false;

    if (!find_base(s, &found, err))
        return false;
    const char *path = keep(&s->arena, s->base_folder, SETTINGS_FILE);
    if (found && !fs_read_file(path, SETTINGS_BYTES_MAX, &source, err))
        goto out;
    if (found)
        l->root = document_parse(l->diags.arena, buf_str(&source), &l->diags);
    if (l->root != NULL && l->root->kind == NODE_NULL)
        l->root = NULL;
    l->options = options_check(&settings_table, l->root, (struct position){1, 1, 1}, &l->diags);
    if (l->diags.error_count == 0) {
        read_pools(l);
        read_worker(l, override);
        read_retention(l);
    }
    fine = l->diags.error_count > 0 ? fail_findings(l, path, buf_str(&source), err)
                                    : apply(l, override, err);
out:
    buf_release(&source);
    return fine;
}

bool settings_load(const struct settings_override *override, struct settings *ret_settings,
                   struct err *err)
{
    struct settings settings = {0};
    struct arena scratch = {0};
    struct loading l = {.settings = &settings, .diags = {.arena = &scratch}};
    bool fine = load(&l, override, err);

    json_decref(l.options);
    diags_release(&l.diags);
    arena_release(&scratch);
    if (fine)
        *ret_settings = settings;
    else
        settings_release(&settings);
    return fine;
}

bool settings_check_dags_folder(const struct settings *settings, bool *ret_is_missing,
                                struct err *err)
{
    const char *folder = settings->dags_folder;
    struct stat status;
    bool is_missing = stat(folder, &status) != 0 && (errno == ENOENT || errno == ENOTDIR);

    if (is_missing && settings->is_dags_folder_given)
        return err_set(err, ERR_INVALID,
                       "there is no DAG folder %s: make it, or name another with --dags or with "
                       "dags_folder in " SETTINGS_FILE,
                       folder);
    if (!is_missing && access(folder, R_OK) != 0)
        return err_errno(err, "read the DAG folder %s", folder);
    if (!is_missing && !S_ISDIR(status.st_mode))
        return err_set(err, ERR_INVALID, "the DAG folder %s is no folder", folder);
    *ret_is_missing = is_missing;
    return true;
}

void settings_release(struct settings *settings)
{
    arena_release(&settings->arena);
    *settings = (struct settings){0};
}
