/* corruption: flips bytes of a state folder's files, cuts them short or takes them away, and opens
 * it as a scheduler does.
 *
 *   corruption [--flips N] [--seed S]      N flips of each kind
 *
 * What opens must be exactly what was committed; everything else must be refused with words that
 * say what to do. */
#include "tests/crash/machine.h"
#include "tests/crash/scratch.h"

#include "base/fs.h"
#include "base/str.h"
#include "millrace/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLIPS_DEFAULT 200
#define TURNS 60
#define BYTES_MAX (256u * 1024 * 1024)

static const char *const names[] = {"state.db", "state.db-wal", "state.db-mark"};
enum { DATABASE, WAL, MARK, NAME_COUNT };

/* The files as a killed process leaves them (the last commits are in the WAL alone), or one that
 * ended in order (there is no WAL). */
struct snapshot {
    struct buf files[NAME_COUNT];
    uint64_t rows;
};

struct counts {
    int exact;
    int refused;
    int wrong;
};

static uint64_t chance_state = 1;

static uint64_t chance(uint64_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return (chance_state >> 16) % below;
}

static void must(bool ok, const struct err *err)
{
    if (ok)
        return;
    printf("%s\n", err->message);
    exit(1);
}

static void take_snapshot(const char *folder, bool is_killed, struct snapshot *ret)
{
    struct machine *machine = machine_new(folder, 5);
    struct err err = {0};

    must(machine_start(machine, true, &err) && machine_run(machine, TURNS, &err), &err);
    ret->rows = machine_fingerprint(machine);
    if (!is_killed)
        machine_stop(machine);
    for (size_t i = 0; i < NAME_COUNT; i++) {
        char path[600];
        (void)snprintf(path, sizeof(path), "%s/state/%s", folder, names[i]);
        if (i == WAL && !is_killed)
            continue;
        must(fs_read_file(path, BYTES_MAX, &ret->files[i], &err), &err);
    }
    machine_free(machine);
}

static void lay_out(const char *state, const struct snapshot *snapshot)
{
    struct err err = {0};

    must(fs_remove_tree(state, &err) && fs_make_folders(state, 0700, &err), &err);
    for (size_t i = 0; i < NAME_COUNT; i++) {
        char path[600];
        (void)snprintf(path, sizeof(path), "%s/%s", state, names[i]);
        must(fs_write_file(path, buf_str(&snapshot->files[i]), 0600, &err), &err);
    }
}

/* A refusal names the file and says what to do. */
static bool is_helpful(const struct err *err)
{
    return strstr(err->message, "state.db") != NULL &&
           (strstr(err->message, "restore a backup") != NULL ||
            strstr(err->message, "another program") != NULL ||
            strstr(err->message, "newer Millrace") != NULL ||
            strstr(err->message, "does not know") != NULL);
}

static void judge(const char *what, const char *state, const struct snapshot *snapshot,
                  struct counts *counts)
{
    struct err err = {0};
    uint64_t rows = 0;

    if (!state_fingerprint(state, &rows, &err)) {
        counts->refused++;
        if (!is_helpful(&err)) {
            counts->wrong++;
            printf("%s: refused without help: %s\n", what, err.message);
        }
    } else if (rows == snapshot->rows) {
        counts->exact++;
    } else {
        counts->wrong++;
        printf("%s: opened, with other rows than were committed\n", what);
    }
}

/* Flips some bits of one byte; the first `head` bytes of the file only, 0 = all. */
static void flip(struct buf *file, size_t head)
{
    size_t at = (size_t)chance(head == 0 || head > file->len ? file->len : head);

    file->ptr[at] = (char)(file->ptr[at] ^ (char)(1 + chance(255)));
}

static bool run_flips(const char *what, const char *state, const struct snapshot *snapshot,
                      int file, size_t head, int64_t flips)
{
    struct counts counts = {0};

    for (int64_t i = 0; i < flips; i++) {
        struct snapshot damaged = *snapshot;
        damaged.files[file] = (struct buf){0};
        buf_add(&damaged.files[file], snapshot->files[file].ptr, snapshot->files[file].len);
        flip(&damaged.files[file], head);
        lay_out(state, &damaged);
        judge(what, state, snapshot, &counts);
        buf_release(&damaged.files[file]);
    }
    printf("%-28s %4d exact, %4d refused, %d wrong\n", what, counts.exact, counts.refused,
           counts.wrong);
    return counts.wrong == 0;
}

/* The file is gone, or ends after `part` of ten. */
static bool run_cut(const char *what, const char *state, const struct snapshot *snapshot, int file,
                    size_t part)
{
    struct snapshot damaged = *snapshot;
    struct counts counts = {0};
    char path[600];

    damaged.files[file].len = snapshot->files[file].len / 10 * part;
    lay_out(state, &damaged);
    (void)snprintf(path, sizeof(path), "%s/%s", state, names[file]);
    if (part == 0)
        (void)unlink(path);
    judge(what, state, snapshot, &counts);
    printf("%-28s %4d exact, %4d refused, %d wrong\n", what, counts.exact, counts.refused,
           counts.wrong);
    return counts.wrong == 0 && (file == MARK ? counts.exact == 1 : counts.refused == 1);
}

int main(int argc, char **argv)
{
    struct snapshot snapshot = {0};
    struct snapshot at_rest = {0};
    int64_t flips = FLIPS_DEFAULT;
    int64_t seed = 1;
    char folder[200];
    char state[256];

    for (int i = 1; i + 1 < argc; i += 2)
        if (!str_to_int(str_from(argv[i + 1]), strcmp(argv[i], "--flips") == 0 ? &flips : &seed))
            return 2;
    chance_state = (uint64_t)seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    scratch_make(folder, sizeof(folder));
    (void)snprintf(state, sizeof(state), "%s/world", folder);
    take_snapshot(state, true, &snapshot);
    take_snapshot(state, false, &at_rest);
    (void)snprintf(state, sizeof(state), "%s/state", folder);
    bool fine = run_flips("database, header", state, &snapshot, DATABASE, 100, flips) &&
                run_flips("database, anywhere", state, &snapshot, DATABASE, 0, flips) &&
                run_flips("database at rest, header", state, &at_rest, DATABASE, 100, flips) &&
                run_flips("database at rest", state, &at_rest, DATABASE, 0, flips) &&
                run_flips("WAL, first frames", state, &snapshot, WAL, 200, flips) &&
                run_flips("WAL, anywhere", state, &snapshot, WAL, 0, flips) &&
                run_cut("WAL gone", state, &snapshot, WAL, 0) &&
                run_cut("WAL cut short", state, &snapshot, WAL, 1) &&
                run_cut("database gone", state, &snapshot, DATABASE, 0) &&
                run_cut("database cut short", state, &snapshot, DATABASE, 5) &&
                run_cut("mark gone", state, &snapshot, MARK, 0);
    scratch_remove();
    for (size_t i = 0; i < NAME_COUNT; i++) {
        buf_release(&snapshot.files[i]);
        buf_release(&at_rest.files[i]);
    }
    return fine ? 0 : 1;
}
