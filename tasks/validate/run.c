#include "millrace/attempt.h"

bool validate_run(struct attempt *attempt, struct err *err)
{
    (void)attempt;
    return err_set(err, ERR_INVALID, "validate is not there yet");
}
