#include "web/hub.h"

#include "base/jw.h"
#include "base/mem.h"
#include "web/link.h"
#include "web/server.h"
#include "web/view.h"

#include <stdlib.h>

enum {
    batch_max = 500,          /* transitions read in one turn */
    catch_up_max = 2000,      /* after more than these a client reloads instead */
    backlog_max = 256 * 1024, /* bytes a slow client may leave unread */
};

static const uint64_t heartbeat_ms = 15000;
static const uint64_t gather_ms = 50; /* events of this long go out together */

struct member {
    struct member *next;
    struct request *request;
    bool behind; /* too slow: gets one resync event instead of what it missed */
};

struct hub {
    struct web *web;
    uv_timer_t heartbeat;
    uv_timer_t gather;
    struct member *members;
    size_t count;
    int64_t seq; /* all members have what was committed up to here */
};

static void write_event(struct buf *out, const struct transition_view *transition)
{
    struct jw w = {.out = out};

    buf_printf(out, "id: %lld\ndata: ", (long long)transition->seq);
    view_transition(&w, transition);
    buf_add_text(out, "\n\n");
}

/* A statement about the whole: refetch what is on show. */
static void write_plain(struct buf *out, const char *event, int64_t seq, bool scheduler)
{
    buf_printf(out, "event: %s\nid: %lld\ndata: {\"scheduler\":%s}\n\n", event, (long long)seq,
               scheduler ? "true" : "false");
}

static void send_to(struct hub *hub, struct member *member, struct str bytes)
{
    if (server_stream_backlog(member->request) > backlog_max) {
        member->behind = true;
        return;
    }
    if (member->behind) {
        struct buf note = {0};
        write_plain(&note, "resync", hub->seq, link_is_up(hub->web->link));
        server_stream_add(member->request, buf_str(&note));
        buf_release(&note);
        member->behind = false;
        return;
    }
    server_stream_add(member->request, bytes);
}

static void broadcast(struct hub *hub, struct str bytes)
{
    for (struct member *member = hub->members; member != NULL; member = member->next)
        send_to(hub, member, bytes);
}

static void on_heartbeat(uv_timer_t *timer)
{
    broadcast(timer->data, STR(":hb\n\n"));
}

/* Reads and sends what was committed since the last time; more than a batch waits for the next
 * turn, so that requests come in between. */
static void on_gather(uv_timer_t *timer)
{
    struct hub *hub = timer->data;
    struct arena arena = {0};
    struct transition_view *items = NULL;
    size_t count = 0;
    struct err err;
    struct buf out = {0};

    if (hub->members == NULL)
        return;
    if (!read_transitions_after(hub->web->read, &arena, hub->seq, batch_max, &items, &count, &err))
        count = 0;
    read_end(hub->web->read);
    for (size_t i = 0; i < count; i++)
        write_event(&out, &items[i]);
    if (count > 0)
        hub->seq = items[count - 1].seq;
    if (count < batch_max)
        write_plain(&out, "change", hub->seq, link_is_up(hub->web->link));
    broadcast(hub, buf_str(&out));
    if (count == batch_max)
        (void)uv_timer_start(&hub->gather, on_gather, 1, 0);
    buf_release(&out);
    arena_release(&arena);
}

void hub_notify(struct hub *hub)
{
    if (hub->members != NULL && !uv_is_active((uv_handle_t *)&hub->gather))
        (void)uv_timer_start(&hub->gather, on_gather, gather_ms, 0);
}

struct hub *hub_open(uv_loop_t *loop, struct web *web)
{
    struct hub *hub = mem_alloc(sizeof(*hub));

    hub->web = web;
    (void)uv_timer_init(loop, &hub->heartbeat);
    (void)uv_timer_init(loop, &hub->gather);
    hub->heartbeat.data = hub->gather.data = hub;
    return hub;
}

void hub_stop(struct hub *hub)
{
    uv_close((uv_handle_t *)&hub->heartbeat, NULL);
    uv_close((uv_handle_t *)&hub->gather, NULL);
}

void hub_free(struct hub *hub)
{
    if (hub == NULL)
        return;
    while (hub->members != NULL) {
        struct member *member = hub->members;
        hub->members = member->next;
        free(member);
    }
    free(hub);
}

/* What a returning client missed, or one resync event if that is too much. */
static void write_missed(struct hub *hub, struct arena *arena, int64_t after, struct buf *out)
{
    struct transition_view *items = NULL;
    size_t count = 0;
    struct err err;

    if (after < 0 || after == hub->seq)
        return;
    bool ok =
        after < hub->seq && hub->seq - after <= catch_up_max &&
        read_transitions_after(hub->web->read, arena, after, catch_up_max, &items, &count, &err);
    if (!ok) {
        write_plain(out, "resync", hub->seq, link_is_up(hub->web->link));
        return;
    }
    for (size_t i = 0; i < count && items[i].seq <= hub->seq; i++)
        write_event(out, &items[i]);
}

void hub_join(struct hub *hub, struct request *request, int64_t after)
{
    struct buf out = {0};
    struct err err;

    if (hub->count >= HUB_STREAMS_MAX) {
        respond_detail(request, 503, "%d event streams are open already", HUB_STREAMS_MAX);
        return;
    }
    if (hub->members == NULL && !read_last_seq(hub->web->read, &hub->seq, &err))
        hub->seq = 0; /* no database yet: everything that comes is new */
    struct member *member = mem_alloc(sizeof(*member));
    member->request = request;
    member->next = hub->members;
    hub->members = member;
    hub->count++;
    if (!uv_is_active((uv_handle_t *)&hub->heartbeat))
        (void)uv_timer_start(&hub->heartbeat, on_heartbeat, heartbeat_ms, heartbeat_ms);
    (void)respond(request, 200, "text/event-stream; charset=utf-8");
    request->stream = true;
    buf_add_text(&out, "retry: 1000\n\n");
    write_missed(hub, &request->arena, after, &out);
    write_plain(&out, "hello", hub->seq, link_is_up(hub->web->link));
    server_stream_add(request, buf_str(&out));
    buf_release(&out);
}

void hub_leave(struct hub *hub, struct request *request)
{
    for (struct member **at = &hub->members; *at != NULL; at = &(*at)->next) {
        struct member *member = *at;
        if (member->request != request)
            continue;
        *at = member->next;
        free(member);
        hub->count--;
        break;
    }
    if (hub->members == NULL && !uv_is_closing((uv_handle_t *)&hub->heartbeat))
        (void)uv_timer_stop(&hub->heartbeat);
}
