/* A SQLite VFS for tests, over the system's own: below one folder it knows what was synced and what
 * was not, cuts the power, and makes calls fail.
 *
 * The files on disk hold what a running process sees. Beside them is kept, per inode, what a disk
 * would hold for sure, and the writes since; per name, the inodes that it may stand for until its
 * folder is synced (SQLite does that with the first sync of a new journal or WAL, and with deletes
 * that ask for it). A cut makes every call fail; faultfs_power_up() then writes the files as one
 * possible disk would show them. */
#ifndef MILLRACE_TESTS_CRASH_FAULTFS_H
#define MILLRACE_TESTS_CRASH_FAULTFS_H

#include <stdbool.h>
#include <stdint.h>

enum fault_call {
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_TRUNCATE,
    FAULT_SIZE,
    FAULT_DELETE,
    FAULT_LOCK,
    FAULT_SHM_MAP,
    FAULT_CALL_COUNT
};

/* What a cut leaves of the writes since the last sync. */
enum cut_mode {
    CUT_DROPS_ALL,
    CUT_KEEPS_ALL,
    CUT_KEEPS_PREFIX, /* of each file's */
    CUT_KEEPS_SOME,   /* any of them, out of order */
    CUT_TEARS,        /* any of their sectors of 512 bytes; some hold garbage instead */
    CUT_MODE_COUNT
};

struct fault_plan {
    int64_t cut_at;  /* the power goes at the n-th write, sync, truncate or delete; 0 = never */
    int64_t exit_at; /* _exit() there instead */
    bool sync_lies;  /* a sync answers and does nothing */
    enum fault_call fail_call;
    int64_t fail_at; /* the n-th call of that kind fails; 0 = none */
    bool fail_on;    /* and all of that kind after it */
    int code;        /* of SQLite */
};

/* Becomes the default VFS. Only names that begin with `folder` are touched. */
void faultfs_install(const char *folder);
void faultfs_protect(const char *part); /* but those that hold `part`: nothing goes wrong there */
void faultfs_plan(const struct fault_plan *plan); /* counting begins anew */
void faultfs_forget(void);                        /* another folder's life begins */
void faultfs_seed(uint64_t seed);

bool faultfs_is_cut(void);
bool faultfs_has_failed(void); /* a call was made to fail */
int64_t faultfs_changes(void); /* writes, syncs, truncates, deletes since the plan */
int64_t faultfs_calls(enum fault_call call);
const char *faultfs_call_name(enum fault_call call);

/* After a cut, with all files closed. */
void faultfs_power_up(enum cut_mode mode);

#endif
