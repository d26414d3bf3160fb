#include "worker/folder.h"

#include "base/fs.h"
#include "base/log.h"
#include "millrace/messages.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The format's numbers are long long, unsigned and int; job_new() has checked their ranges. */
#define FORMAT_NUMBERS(job)                                                                        \
    (long long)(job)->run, (unsigned)(job)->task, (int)(job)->map_index,                           \
        (long long)(job)->try_number

char *folder_log_path(const struct job *job, const char *state_folder)
{
    struct buf path = {0};

    buf_printf(&path, "%s/" STATE_LOG_FORMAT, state_folder, FORMAT_NUMBERS(job));
    return buf_take(&path);
}

char *folder_path(const struct job *job, const char *name)
{
    return fs_join(job->folder, name);
}

bool folder_make(struct job *job, const char *state_folder, struct err *err)
{
    struct buf path = {0};
    char *temp;
    bool ok;

    buf_printf(&path, "%s/" STATE_ATTEMPT_FORMAT, state_folder, FORMAT_NUMBERS(job));
    /* The run's folder is nearly always there: two calls instead of a walk from the root. */
    ok = mkdir(buf_text(&path), 0700) == 0 || errno == EEXIST ||
         fs_make_folders(buf_text(&path), 0700, err);
    free(job->folder);
    job->folder = buf_take(&path);
    temp = folder_path(job, FOLDER_TEMP);
    ok = ok && (mkdir(temp, 0700) == 0 || errno == EEXIST || err_errno(err, "%s", temp));
    free(temp);
    return ok;
}

void folder_remove(const struct job *job)
{
    struct err err = {0};
    char *temp;
    char *output;

    if (job->folder == NULL)
        return;
    temp = folder_path(job, FOLDER_TEMP);
    output = folder_path(job, FOLDER_OUTPUT);
    if (rmdir(temp) < 0 && errno != ENOENT && !fs_remove_tree(temp, &err))
        log_warn("temp_left", "path=\"%s\" error=\"%s\"", temp, err.message);
    if (rmdir(job->folder) < 0 && errno == ENOTEMPTY) {
        (void)unlink(output);
        (void)rmdir(job->folder);
    }
    free(temp);
    free(output);
}
