#include "millrace/attempt.h"

bool command_run(struct attempt *attempt, struct err *err)
{
    (void)attempt;
    return err_set(err, ERR_INVALID, "command is not there yet");
}
