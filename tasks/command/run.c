/* Commands are launched straight by the worker (worker/command.c), never by a runner: this entry
 * exists because every kind has one, and says so if a command ever reaches a runner. */
#include "millrace/attempt.h"

bool command_run(struct attempt *attempt, struct err *err)
{
    return err_set(err, ERR_FAILED, "task %s: a command reached a runner instead of the launcher",
                   attempt->task_id);
}
