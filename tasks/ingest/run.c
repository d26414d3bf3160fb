#include "millrace/attempt.h"

bool ingest_run(struct attempt *attempt, struct err *err)
{
    (void)attempt;
    return err_set(err, ERR_INVALID, "ingest is not there yet");
}
