#include "millrace/attempt.h"

bool sql_run(struct attempt *attempt, struct err *err)
{
    (void)attempt;
    return err_set(err, ERR_INVALID, "sql is not there yet");
}
