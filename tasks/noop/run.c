#include "millrace/attempt.h"

bool noop_run(struct attempt *attempt, struct err *err)
{
    (void)attempt;
    return err_set(err, ERR_INVALID, "noop is not there yet");
}
