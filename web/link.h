/* The connection to the scheduler: commands out, replies and notifications in. It comes back by
 * itself; while it is away changes are refused with 503 and everything else goes on. */
#ifndef MILLRACE_WEB_LINK_H
#define MILLRACE_WEB_LINK_H

#include "web/context.h"

#include <jansson.h>
#include <uv.h>

struct link;

/* Called when transitions may have been committed: on a notify frame, on a changed connection. */
typedef void (*link_notify)(struct web *web);

struct link *link_open(uv_loop_t *loop, struct web *web, link_notify notify);

/* Ends all waiting commands with 503 and closes the handles; the loop must run before link_free().
 */
void link_stop(struct link *link);
void link_free(struct link *link);

bool link_is_up(const struct link *link);

/* Wall time of the last sign of life: now while connected; 0 = never seen. */
int64_t link_last_seen_us(const struct link *link);

struct link_answer {
    struct err err;       /* ERR_NONE = done */
    int64_t row;          /* of the run or backfill; 0 = none */
    const json_t *answer; /* to a question; NULL = none; valid during link_done */
};

/* Renders the answer to a command into the request's response. */
typedef void (*link_done)(struct web *web, struct request *request,
                          const struct link_answer *answer);

/* Sends a command (taking over the reference) and makes the request wait for the reply, at most ten
 * seconds. Without a scheduler the request is answered at once. */
void link_command(struct link *link, struct request *request, json_t *command, link_done done);

/* The request has ended; its reply will be ignored. */
void link_forget(struct link *link, struct request *request);

#endif
