#include "millrace/attempt.h"

bool shard_run(struct attempt *attempt, struct err *err)
{
    (void)attempt;
    return err_set(err, ERR_INVALID, "shard is not there yet");
}
