/* One world in a hundred keeps its rows in the real store, too: what SQLite gives back after a
 * crash has to make the same core. */
#include "tests/sim/sim.h"

#include "base/fs.h"
#include "scheduler/store/store.h"

#include <stdlib.h>
#include <unistd.h>

static void expect(struct sim *sim, bool ok, const struct err *err)
{
    if (!ok)
        sim_fail(sim, "store: %s", err->message);
}

/* In memory where the system has a place for it: the world is about the rows, not about the disk.
 */
void storage_open(struct sim *sim)
{
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    struct err err = {0};

    sim->folder = arena_printf(&sim->arena, "%s/millrace-sim-XXXXXX", place);
    if (mkdtemp(sim->folder) == NULL)
        sim_fail(sim, "store: no folder in %s", place);
    sim->store = store_open(sim->folder, &err);
    expect(sim, sim->store != NULL, &err);
}

void storage_commit(struct sim *sim)
{
    struct err err = {0};

    if (sim->store != NULL)
        expect(sim, store_commit(sim->store, &sim->out, sim->now_us, &err), &err);
}

/* The scheduler's process is another one from now on. */
void storage_crash(struct sim *sim)
{
    struct err err = {0};

    if (sim->store == NULL)
        return;
    store_close(sim->store);
    sim->store = store_open(sim->folder, &err);
    expect(sim, sim->store != NULL, &err);
}

/* --- loading --------------------------------------------------------------------------------- */

struct loading {
    struct sim *sim;
    struct core *core;
};

static struct dag *find_version(const struct sim *sim, const struct version_row *version)
{
    for (size_t i = 0; i < sim->rows.dag_count; i++)
        if (sim->rows.dag_versions[i] == version->id)
            return sim->rows.dags[i];
    return NULL;
}

static bool on_dag(void *context, const struct dag_row *row, const struct version_row *version,
                   struct err *err)
{
    const struct loading *loading = context;

    (void)err;
    core_restore_dag(loading->core, row, find_version(loading->sim, version));
    return true;
}

static bool on_backfill(void *context, const struct backfill_row *row, struct err *err)
{
    const struct loading *loading = context;

    (void)err;
    core_restore_backfill(loading->core, row);
    return true;
}

static bool on_run(void *context, const struct run_row *row, const struct version_row *version,
                   const struct task_row *tasks, size_t task_count,
                   const struct attempt_row *attempts, size_t attempt_count, struct err *err)
{
    const struct loading *loading = context;

    (void)err;
    core_restore_run(loading->core, row, find_version(loading->sim, version), tasks, task_count,
                     attempts, attempt_count);
    return true;
}

static bool on_asset_wait(void *context, const struct asset_wait_row *row, struct err *err)
{
    const struct loading *loading = context;

    (void)err;
    core_restore_asset_wait(loading->core, row);
    return true;
}

static bool on_asset_event(void *context, const struct asset_event_row *row, struct err *err)
{
    const struct loading *loading = context;

    (void)err;
    core_restore_asset_event(loading->core, row);
    return true;
}

static void on_callback(void *context, const struct callback_row *row)
{
    const struct loading *loading = context;

    core_restore_callback(loading->core, row);
}

void storage_restore(struct sim *sim, struct core *core)
{
    struct loading loading = {sim, core};
    struct err err = {0};

    if (sim->store == NULL) {
        rows_restore(&sim->rows, core);
        return;
    }
    bool ok = store_load_dags(sim->store, NULL, on_dag, &loading, &err) &&
              store_load_asset_waits(sim->store, on_asset_wait, &loading, &err) &&
              store_load_unseen_asset_events(sim->store, on_asset_event, &loading, &err) &&
              store_load_live_backfills(sim->store, NULL, on_backfill, &loading, &err) &&
              store_load_live_runs(sim->store, NULL, on_run, &loading, &err) &&
              store_load_callbacks(sim->store, NULL, on_callback, &loading, &err);
    expect(sim, ok, &err);
}

/* `clean`: the store can be closed; after a failure it may be in the middle of something. */
void storage_end(struct sim *sim, bool clean)
{
    struct err ignored = {0};

    if (clean)
        store_close(sim->store);
    sim->store = NULL;
    if (sim->folder != NULL)
        (void)fs_remove_tree(sim->folder, &ignored);
    sim->folder = NULL;
}
