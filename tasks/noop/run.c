#include "millrace/attempt.h"

bool noop_run(struct attempt *attempt, struct err *err)
{
    (void)attempt;
    (void)err;
    return true;
}
