#include "web/web.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/jw.h"
#include "base/log.h"
#include "millrace/messages.h"
#include "web/context.h"
#include "web/guard.h"
#include "web/hub.h"
#include "web/link.h"
#include "web/route.h"
#include "web/server.h"
#include "web/url.h"
#include "web/versions.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <uv.h>

/* The web process's parts and the handles of its loop. */
struct process {
    struct web web;
    uv_loop_t loop;
    uv_signal_t terminate;
    uv_signal_t interrupt;
};

static void on_notify(struct web *web)
{
    hub_notify(web->hub);
}

static void handle(void *context, struct request *request)
{
    struct web *web = context;

    if (guard_check(request, web->port) && route_find(request))
        request->route->handler(web, request);
    read_end(web->read);
    versions_trim(web->versions);
}

static void gone(void *context, struct request *request)
{
    struct web *web = context;

    if (request->stream)
        hub_leave(web->hub, request);
    else
        link_forget(web->link, request);
}

/* What keeps the loop alive goes in this order: no reply may come for a request that is gone. */
static void stop(struct process *process)
{
    if (uv_is_closing((uv_handle_t *)&process->terminate))
        return;
    log_info("web_stop", "port=%lld", (long long)process->web.port);
    link_stop(process->web.link);
    server_stop(process->web.server);
    hub_stop(process->web.hub);
    uv_close((uv_handle_t *)&process->terminate, NULL);
    uv_close((uv_handle_t *)&process->interrupt, NULL);
}

static void on_signal(uv_signal_t *handle_of, int number)
{
    (void)number;
    stop(handle_of->data);
}

/* The address file tells the command line where to go. */
static bool write_address(const struct web_options *options, int64_t port, struct err *err)
{
    const char *host = options->settings->host;
    char *path = fs_join(options->settings->state_folder, STATE_WEB_ADDRESS);
    struct buf url = {0};
    struct buf text = {0};
    struct jw w = {.out = &text};

    buf_printf(&url, strchr(host, ':') != NULL ? "http://[%s]:%lld" : "http://%s:%lld", host,
               (long long)port);
    jw_begin_object(&w);
    jw_kv_string(&w, "url", buf_text(&url));
    jw_kv_int(&w, "pid", getpid());
    jw_end_object(&w);
    buf_add_char(&text, '\n');
    bool ok = fs_write_file(path, buf_str(&text), 0600, err);
    if (ok)
        log_info("web_ready", "url=%s", buf_text(&url));
    buf_release(&url);
    buf_release(&text);
    free(path);
    return ok;
}

static bool open_state(struct web *web, struct err *err)
{
    const char *folder = web->settings->state_folder;

    if (!fs_make_folders(folder, 0700, err))
        return false;
    web->state_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return web->state_fd >= 0 ? true : err_errno(err, "%s", folder);
}

/* Ends with the process that started us, also if that died before we asked. */
static bool follow_parent(int64_t parent, struct err *err)
{
    if (parent == 0)
        return true;
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
        return err_errno(err, "follow the parent process");
    if (getppid() != (pid_t)parent)
        return err_set(err, ERR_FAILED, "the parent process %lld is gone", (long long)parent);
    return true;
}

static void open_handles(struct process *process)
{
    (void)uv_signal_init(&process->loop, &process->terminate);
    (void)uv_signal_init(&process->loop, &process->interrupt);
    process->terminate.data = process->interrupt.data = process;
    (void)uv_signal_start(&process->terminate, on_signal, SIGTERM);
    (void)uv_signal_start(&process->interrupt, on_signal, SIGINT);
}

static bool serve(struct process *process, const struct web_options *options, struct err *err)
{
    struct web *web = &process->web;
    struct server_options server = {.host = options->settings->host,
                                    .port = options->settings->port,
                                    .handle = handle,
                                    .gone = gone,
                                    .context = web};

    web->server = server_open(&process->loop, &server, err);
    if (web->server == NULL)
        return false;
    web->port = server_port(web->server);
    web->hub = hub_open(&process->loop, web);
    web->link = link_open(&process->loop, web, on_notify);
    open_handles(process);
    bool ok = write_address(options, web->port, err);
    if (!ok)
        stop(process);
    (void)uv_run(&process->loop, UV_RUN_DEFAULT);
    server_free(web->server);
    link_free(web->link);
    hub_free(web->hub);
    return ok;
}

bool web_main(const struct web_options *options, struct err *err)
{
    struct process process = {0};
    struct web *web = &process.web;

    /* Requests come and go: give their memory back instead of keeping an arena of it. */
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    web->settings = options->settings;
    web->started_us = clock_wall_us();
    if (!follow_parent(options->parent, err) || !open_state(web, err))
        return false;
    (void)uv_loop_init(&process.loop);
    web->read = read_new(options->settings->state_folder);
    web->versions = versions_new(web->read);
    bool ok = serve(&process, options, err);
    (void)uv_loop_close(&process.loop);
    versions_free(web->versions);
    read_free(web->read);
    (void)close(web->state_fd);
    return ok;
}
