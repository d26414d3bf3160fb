/* The hub: every open event stream. An event's id is the sequence number of its transition, so a
 * client that reconnects with Last-Event-ID misses nothing. */
#ifndef MILLRACE_WEB_HUB_H
#define MILLRACE_WEB_HUB_H

#include "web/context.h"

#include <uv.h>

#define HUB_STREAMS_MAX 512

struct hub;

struct hub *hub_open(uv_loop_t *loop, struct web *web);

/* Closes the handles; the streams are ended by the server. */
void hub_stop(struct hub *hub);
void hub_free(struct hub *hub);

/* Turns the request into a stream that begins after the transition `after` (-1 = now). */
void hub_join(struct hub *hub, struct request *request, int64_t after);
void hub_leave(struct hub *hub, struct request *request);

/* Something was committed: sends what is new to every stream. */
void hub_notify(struct hub *hub);

#endif
