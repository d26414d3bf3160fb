#include "worker/shared.h"

#include "worker/serve.h"

static bool run(struct attempt *attempt, const json_t *document, struct err *err)
{
    static const struct served_kind kinds[] = {
        {&noop_kind, noop_run},
    };

    (void)document;
    return serve_kind(kinds, sizeof(kinds) / sizeof(kinds[0]), attempt, err);
}

void shared_serve(void)
{
    static const struct serving serving = {.run = run};

    serve_attempts(&serving);
}
