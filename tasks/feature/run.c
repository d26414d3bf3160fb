#include "millrace/attempt.h"

bool feature_run(struct attempt *attempt, struct err *err)
{
    (void)attempt;
    return err_set(err, ERR_INVALID, "feature is not there yet");
}
