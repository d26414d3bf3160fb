#include "scheduler/watch.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "scheduler/dagfile/dagfile.h"
#include "scheduler/files.h"
#include "scheduler/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_BYTES_MAX (16u * 1024 * 1024)
#define RESCAN_MS 30000
#define DEBOUNCE_MS 50
#define LOOK_MS 110 /* a little over SETTLE_US */
#define SETTLE_US (100 * US_PER_MS)

/* A file that was last written this long ago is whole: it needs no second look. */
#define OLD_US (2 * US_PER_SECOND)

/* A file of the folder. */
struct watched {
    char *file; /* relative to the folder */
    struct file_mark loaded;
    struct file_mark seen;
    int64_t seen_at_us; /* monotonic */
    char *dag_id;       /* of the last good version; NULL = none */
    bool is_duplicate;  /* its dag_id belongs to another file */
    bool is_present;
};

struct folder_watch {
    uv_fs_event_t event;
    struct watch *watch;
    char *path;
    bool is_present;
    struct folder_watch *next;
};

struct remembered {
    char *dag_id;
    char *file;
};

struct watch {
    struct scheduler *scheduler;
    uv_timer_t timer;
    struct folder_watch *folders;
    struct watched *files; /* sorted by name */
    size_t count;
    size_t capacity;
    struct remembered *remembered;
    size_t remembered_count;
    struct file_mark zones; /* of tzdata, when the DAGs were read */
    bool is_waiting;        /* some file has not settled yet */
    bool is_soon;           /* a change was seen: the timer is short already */
    bool is_missing;        /* the folder is not there */
};

static void scan(struct watch *watch);

static const char *folder_of(const struct watch *watch)
{
    return watch->scheduler->settings->dags_folder;
}

static void on_timer(uv_timer_t *timer)
{
    scan(timer->data);
}

static void schedule_scan(struct watch *watch, uint64_t delay_ms)
{
    if (watch->scheduler->is_stopping)
        return;
    uv_update_time(watch->scheduler->loop);
    (void)uv_timer_start(&watch->timer, on_timer, delay_ms, 0);
}

static void on_change(uv_fs_event_t *event, const char *name, int events, int status)
{
    struct folder_watch *folder = event->data;

    (void)name;
    (void)events;
    (void)status;
    if (folder->watch->is_soon)
        return;
    folder->watch->is_soon = true;
    schedule_scan(folder->watch, DEBOUNCE_MS);
}

static void on_folder_closed(uv_handle_t *handle)
{
    struct folder_watch *folder = handle->data;

    handle_closed(folder->watch->scheduler);
    free(folder->path);
    free(folder);
}

static void watch_folder(struct watch *watch, const char *path)
{
    for (struct folder_watch *folder = watch->folders; folder != NULL; folder = folder->next) {
        if (strcmp(folder->path, path) == 0) {
            folder->is_present = true;
            return;
        }
    }
    struct folder_watch *folder = mem_alloc(sizeof(*folder));
    folder->watch = watch;
    folder->path = mem_strdup(path);
    folder->is_present = true;
    folder->next = watch->folders;
    watch->folders = folder;
    (void)uv_fs_event_init(watch->scheduler->loop, &folder->event);
    folder->event.data = folder;
    handle_opened(watch->scheduler);
    int status = uv_fs_event_start(&folder->event, on_change, path, 0);
    if (status != 0)
        log_warn("watch_failed", "folder=\"%s\" error=\"%s\" rescan_s=%d", path,
                 uv_strerror(status), RESCAN_MS / 1000);
}

/* While the DAG folder is not there, the one above it tells when it appears. */
static void expect_folder(struct watch *watch)
{
    const char *folder = folder_of(watch);
    size_t len = strlen(folder);

    while (len > 1 && folder[len - 1] == '/')
        len--;
    while (len > 1 && folder[len - 1] != '/')
        len--;
    char *above = mem_dup(folder, len);
    if (!watch->is_missing)
        log_warn("dag_folder_missing", "folder=\"%s\" waiting=\"until it appears\"", folder);
    watch->is_missing = true;
    watch_folder(watch, above);
    free(above);
}

static void drop_folders(struct watch *watch, bool all)
{
    for (struct folder_watch **at = &watch->folders; *at != NULL;) {
        struct folder_watch *folder = *at;
        if (folder->is_present && !all) {
            folder->is_present = false;
            at = &folder->next;
            continue;
        }
        *at = folder->next;
        uv_close((uv_handle_t *)&folder->event, on_folder_closed);
    }
}

static void put_error(struct watch *watch, const struct watched *file, const char *report,
                      const char *findings)
{
    store_put_import_error(watch->scheduler->store, file->file, report, findings, clock_wall_us());
    turn_ask(watch->scheduler);
    if (report != NULL)
        log_warn("import_error", "file=\"%s\"", file->file);
}

static void put_plain_error(struct watch *watch, const struct watched *file, const char *message)
{
    struct buf report = {0};

    buf_printf(&report, "error: %s: %s\n", file->file, message);
    put_error(watch, file, buf_text(&report), "[]");
    buf_release(&report);
}

static void tell_gone(struct watch *watch, const char *dag_id)
{
    struct scheduler *scheduler = watch->scheduler;
    struct event *event = inbox_add(scheduler, EVENT_DAG_GONE, NULL);

    event->as.dag_gone.dag_id = arena_strdup(&scheduler->turn_arena, dag_id);
}

static struct watched *owner_of(struct watch *watch, const char *dag_id,
                                const struct watched *besides)
{
    for (size_t i = 0; i < watch->count; i++)
        if (&watch->files[i] != besides && watch->files[i].dag_id != NULL &&
            strcmp(watch->files[i].dag_id, dag_id) == 0)
            return &watch->files[i];
    return NULL;
}

/* A dag_id that is free again may be wanted by another file. */
static void release_dag_id(struct watch *watch, struct watched *file)
{
    free(file->dag_id);
    file->dag_id = NULL;
    for (size_t i = 0; i < watch->count; i++) {
        if (watch->files[i].is_duplicate) {
            watch->files[i].is_duplicate = false;
            watch->files[i].loaded = (struct file_mark){0};
            watch->is_waiting = true;
        }
    }
}

/* Takes the DAG over, unless another file has its id. */
static void take_dag(struct watch *watch, struct watched *file, struct dag *dag)
{
    struct scheduler *scheduler = watch->scheduler;
    struct watched *owner = owner_of(watch, dag->dag_id, file);

    file->is_duplicate = owner != NULL;
    if (owner != NULL) {
        struct buf message = {0};
        buf_printf(&message, "dag_id `%s` is defined in %s already: give this one another",
                   dag->dag_id, owner->file);
        put_plain_error(watch, file, buf_text(&message));
        buf_release(&message);
        return;
    }
    if (file->dag_id != NULL && strcmp(file->dag_id, dag->dag_id) != 0) {
        tell_gone(watch, file->dag_id);
        release_dag_id(watch, file);
    }
    if (file->dag_id == NULL)
        file->dag_id = mem_strdup(dag->dag_id);
    put_error(watch, file, NULL, NULL);
    struct event *event = inbox_add(scheduler, EVENT_DAG_LOADED, NULL);
    event->as.dag_loaded.dag = dag;
    scheduler->inbox[scheduler->inbox_count - 1].dag = dag_ref(dag);
    log_info("dag_loaded", "dag=%s file=\"%s\" tasks=%u", dag->dag_id, file->file, dag->task_count);
}

static void load(struct watch *watch, struct watched *file, const struct file_mark *mark)
{
    struct buf source = {0};
    struct parse_report report = {0};
    struct err err = {0};
    struct file_mark after = {0};
    char *path = fs_join(folder_of(watch), file->file);

    bool ok = fs_read_file(path, SOURCE_BYTES_MAX, &source, &err);
    bool is_same = file_mark_get(path, &after) && file_mark_equal(&after, mark);
    free(path);
    if (ok && !is_same) {
        /* It changed while we read: look again later. */
        file->seen = after;
        file->seen_at_us = clock_mono_us();
        watch->is_waiting = true;
        buf_release(&source);
        return;
    }
    file->loaded = *mark;
    struct dag *dag =
        ok ? parse_dag(watch->scheduler->settings, buf_str(&source), file->file, &report) : NULL;
    if (dag != NULL)
        take_dag(watch, file, dag);
    else if (ok)
        put_error(watch, file, buf_text(&report.text), buf_text(&report.findings));
    else
        put_plain_error(watch, file, err.message);
    dag_unref(dag);
    buf_release(&source);
    parse_report_release(&report);
}

static void look(struct watch *watch, struct watched *file, const struct file_mark *mark)
{
    int64_t now_us = clock_mono_us();
    int64_t age_us = clock_wall_us() - mark->mtime_us;

    if (file_mark_equal(mark, &file->loaded))
        return;
    if (!file_mark_equal(mark, &file->seen)) {
        file->seen = *mark;
        file->seen_at_us = now_us;
        if (age_us < OLD_US) {
            watch->is_waiting = true;
            return;
        }
    }
    if (age_us < OLD_US && now_us - file->seen_at_us < SETTLE_US) {
        watch->is_waiting = true;
        return;
    }
    load(watch, file, mark);
}

static struct watched *find_file(struct watch *watch, const char *name)
{
    for (size_t low = 0, high = watch->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, watch->files[middle].file);
        if (order == 0)
            return &watch->files[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static int compare_files(const void *a, const void *b)
{
    const struct watched *left = a;
    const struct watched *right = b;

    return strcmp(left->file, right->file);
}

static void add_file(struct watch *watch, const char *name)
{
    if (watch->count == watch->capacity) {
        watch->capacity = mem_grow(watch->capacity, watch->count + 1);
        watch->files = mem_resize_array(watch->files, watch->capacity, sizeof(*watch->files));
    }
    watch->files[watch->count++] = (struct watched){.file = mem_strdup(name), .is_present = true};
}

static void drop_missing(struct watch *watch)
{
    for (size_t i = 0; i < watch->count;) {
        struct watched *file = &watch->files[i];
        if (file->is_present) {
            i++;
            continue;
        }
        log_info("dag_file_gone", "file=\"%s\"", file->file);
        put_error(watch, file, NULL, NULL);
        if (file->dag_id != NULL) {
            tell_gone(watch, file->dag_id);
            release_dag_id(watch, file);
        }
        free(file->file);
        memmove(file, file + 1, (watch->count - i - 1) * sizeof(*file));
        watch->count--;
    }
}

/* An updated tzdata gives other ticks: every DAG is read again with it. */
static void look_at_zones(struct watch *watch)
{
    struct file_mark mark = {0};
    char *path = fs_join(zonefile_folder(), "tzdata.zi");

    (void)file_mark_get(path, &mark);
    free(path);
    if (file_mark_equal(&mark, &watch->zones))
        return;
    watch->zones = mark;
    for (size_t i = 0; i < watch->count; i++)
        watch->files[i].loaded = (struct file_mark){0};
}

static void scan(struct watch *watch)
{
    struct file_list list = {0};
    struct err err = {0};

    watch->is_waiting = false;
    watch->is_soon = false;
    if (watch->scheduler->has_ended)
        return;
    if (!file_list_read(folder_of(watch), &list, &err)) {
        /* What can't be read is not gone. */
        log_warn("dag_folder_unreadable", "error=\"%s\"", err.message);
        file_list_release(&list);
        schedule_scan(watch, RESCAN_MS);
        return;
    }
    look_at_zones(watch);
    if (list.folder_count == 0)
        expect_folder(watch);
    else
        watch->is_missing = false;
    for (size_t i = 0; i < list.folder_count; i++)
        watch_folder(watch, list.folders[i]);
    drop_folders(watch, false);
    for (size_t i = 0; i < watch->count; i++)
        watch->files[i].is_present = false;
    size_t known = watch->count;
    for (size_t i = 0; i < list.count; i++) {
        struct watched *file = NULL;
        if (known > 0) {
            size_t all = watch->count;
            watch->count = known; /* the sorted part */
            file = find_file(watch, list.files[i].name);
            watch->count = all;
        }
        if (file != NULL)
            file->is_present = true;
        else
            add_file(watch, list.files[i].name);
    }
    drop_missing(watch);
    if (watch->count > 0)
        qsort(watch->files, watch->count, sizeof(*watch->files), compare_files);
    for (size_t i = 0; i < list.count; i++)
        look(watch, find_file(watch, list.files[i].name), &list.files[i].mark);
    file_list_release(&list);
    schedule_scan(watch, watch->is_waiting ? LOOK_MS : RESCAN_MS);
}

void watch_remember(struct watch *watch, const char *dag_id, const char *file)
{
    watch->remembered = mem_resize_array(watch->remembered, watch->remembered_count + 1,
                                         sizeof(*watch->remembered));
    watch->remembered[watch->remembered_count++] =
        (struct remembered){mem_strdup(dag_id), mem_strdup(file)};
}

/* A file that is broken, or not settled, still stands for the DAG it gave before. */
static void settle_remembered(struct watch *watch)
{
    for (size_t i = 0; i < watch->remembered_count; i++) {
        struct remembered *dag = &watch->remembered[i];
        struct watched *file = find_file(watch, dag->file);
        if (owner_of(watch, dag->dag_id, NULL) == NULL) {
            if (file != NULL && file->dag_id == NULL)
                file->dag_id = mem_strdup(dag->dag_id);
            else
                tell_gone(watch, dag->dag_id);
        }
        free(dag->dag_id);
        free(dag->file);
    }
    free(watch->remembered);
    watch->remembered = NULL;
    watch->remembered_count = 0;
}

void watch_begin(struct watch *watch)
{
    store_put_import_error(watch->scheduler->store, NULL, NULL, NULL, 0);
    turn_ask(watch->scheduler);
    scan(watch);
    if (watch->is_waiting) {
        /* Files written just now: the second look is worth a tenth of a second at start, so that
         * what is served first is whole. */
        uv_sleep(LOOK_MS);
        scan(watch);
    }
    settle_remembered(watch);
}

void watch_scan_all(struct watch *watch)
{
    for (size_t i = 0; i < watch->count; i++)
        watch->files[i].loaded = (struct file_mark){0};
    scan(watch);
}

struct watch *watch_open(struct scheduler *scheduler)
{
    struct watch *watch = mem_alloc(sizeof(*watch));

    watch->scheduler = scheduler;
    (void)uv_timer_init(scheduler->loop, &watch->timer);
    watch->timer.data = watch;
    handle_opened(scheduler);
    return watch;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;

    handle_closed(watch->scheduler);
}

void watch_close(struct watch *watch)
{
    drop_folders(watch, true);
    uv_close((uv_handle_t *)&watch->timer, on_timer_closed);
}

void watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    for (size_t i = 0; i < watch->count; i++) {
        free(watch->files[i].file);
        free(watch->files[i].dag_id);
    }
    for (size_t i = 0; i < watch->remembered_count; i++) {
        free(watch->remembered[i].dag_id);
        free(watch->remembered[i].file);
    }
    free(watch->remembered);
    free(watch->files);
    free(watch);
}
