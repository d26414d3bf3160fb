/* Rows that the core knows nothing of: kept until the next commit, which writes them along. */
#include "base/mem.h"
#include "scheduler/store/commit.h"

#include <stdlib.h>
#include <string.h>

static struct store_put *queue_put(struct store *store, enum statement statement)
{
    if (store->put_count == store->put_capacity) {
        store->put_capacity = mem_grow(store->put_capacity, store->put_count + 1);
        store->puts = mem_resize_array(store->puts, store->put_capacity, sizeof(*store->puts));
    }
    struct store_put *put = &store->puts[store->put_count++];
    *put = (struct store_put){.statement = statement};
    return put;
}

void store_put_import_error(struct store *store, const char *file, const char *report,
                            const char *findings_json, int64_t now_us)
{
    enum statement statement = file == NULL     ? STATEMENT_IMPORT_ERROR_CLEAR
                               : report == NULL ? STATEMENT_IMPORT_ERROR_DROP
                                                : STATEMENT_IMPORT_ERROR_PUT;
    struct store_put *put = queue_put(store, statement);

    put->texts[0] = mem_strdup(file);
    put->texts[1] = mem_strdup(report);
    put->texts[2] = mem_strdup(findings_json);
    put->numbers[0] = now_us;
}

void store_put_pool(struct store *store, const char *name, int64_t slots, const char *description)
{
    struct store_put *put = queue_put(store, STATEMENT_POOL_PUT);

    put->texts[0] = mem_strdup(name);
    put->texts[1] = mem_strdup(description);
    put->numbers[0] = slots;
}

void store_put_idempotency(struct store *store, const char *key, const char *body_hash,
                           int64_t now_us, int64_t status, const char *response)
{
    struct store_put *put = queue_put(store, STATEMENT_IDEMPOTENCY_PUT);

    put->texts[0] = mem_strdup(key);
    put->texts[1] = mem_strdup(body_hash);
    put->texts[2] = mem_strdup(response);
    put->numbers[0] = now_us;
    put->numbers[1] = status;
}

bool commit_put(struct commit *commit, const struct store_put *put)
{
    struct bind bind = bind_begin(commit->store, put->statement);

    if (put->statement == STATEMENT_IMPORT_ERROR_DROP) {
        bind_text(&bind, put->texts[0]);
    } else if (put->statement == STATEMENT_IMPORT_ERROR_PUT) {
        bind_text(&bind, put->texts[0]);
        bind_int(&bind, put->numbers[0]);
        bind_text(&bind, put->texts[1]);
        bind_text(&bind, text_or(put->texts[2], "[]"));
    } else if (put->statement == STATEMENT_POOL_PUT) {
        bind_text(&bind, put->texts[0]);
        bind_int(&bind, put->numbers[0]);
        bind_text(&bind, put->texts[1]);
    } else if (put->statement == STATEMENT_IDEMPOTENCY_PUT) {
        bind_text(&bind, put->texts[0]);
        bind_text(&bind, put->texts[1]);
        bind_int(&bind, put->numbers[0]);
        bind_int(&bind, put->numbers[1]);
        bind_text(&bind, text_or(put->texts[2], ""));
    }
    return bind_run(&bind, commit->err);
}

void commit_clear_puts(struct store *store)
{
    for (size_t i = 0; i < store->put_count; i++)
        for (size_t k = 0; k < sizeof(store->puts[i].texts) / sizeof(char *); k++)
            free(store->puts[i].texts[k]);
    store->put_count = 0;
}
