#include "worker/child.h"

#include "base/mem.h"
#include "worker/environ.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_BYTES 65536
/* One child must not keep the loop from the others. */
#define READS_PER_TURN 4

static void free_when_closed(struct child *child)
{
    if (child->open_handles > 0 || !child->is_released)
        return;
    buf_release(&child->early);
    free(child);
}

static void output_closed(uv_handle_t *handle)
{
    struct child_output *output = handle->data;

    output->child->open_handles--;
    free_when_closed(output->child);
}

/* The handle is closed before the descriptor: libuv forgets by number, and the number may soon be
 * another pipe's. */
static void output_end(struct child_output *output)
{
    if (output->fd < 0)
        return;
    uv_close((uv_handle_t *)&output->poll, output_closed);
    (void)close(output->fd);
    output->fd = -1;
}

static void take(struct child_output *output, struct str bytes)
{
    struct child *child = output->child;

    if (child->log != NULL)
        attempt_log_feed(child->log, output->stream, bytes);
    else if (child->early.len < CHILD_EARLY_BYTES_MAX)
        buf_add(&child->early, bytes.ptr,
                bytes.len > CHILD_EARLY_BYTES_MAX ? CHILD_EARLY_BYTES_MAX : bytes.len);
}

static void read_some(struct child_output *output, int reads_max)
{
    char piece[READ_BYTES];

    for (int i = 0; output->fd >= 0 && i < reads_max; i++) {
        ssize_t n = read(output->fd, piece, sizeof(piece));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            output_end(output);
            return;
        }
        take(output, (struct str){piece, (size_t)n});
        if (n < (ssize_t)sizeof(piece))
            reads_max--; /* the pipe is all but empty */
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct child_output *output = poll->data;

    (void)status;
    (void)events;
    read_some(output, READS_PER_TURN);
}

static void output_open(struct child *child, uv_loop_t *loop, enum attempt_log_stream stream,
                        int fd)
{
    struct child_output *output = &child->outputs[stream];

    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    output->fd = fd;
    output->stream = stream;
    output->child = child;
    output->poll.data = output;
    /* A pipe can always be polled; the call fails for regular files only. */
    (void)uv_poll_init(loop, &output->poll, fd);
    (void)uv_poll_start(&output->poll, UV_READABLE, on_readable);
    child->open_handles++;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* Makes the pipes and names the child's ends in `launch`. */
static bool open_pipes(struct child_pipes *pipes, struct launch *launch, struct err *err)
{
    *pipes = (struct child_pipes){
        -1, {-1, -1},
         {-1, -1}
    };
    pipes->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (pipes->null < 0 || pipe2(pipes->out, O_CLOEXEC) < 0 || pipe2(pipes->error, O_CLOEXEC) < 0)
        return err_errno(err, "no pipes for %s", launch->argv[0]);
    launch->stdin_fd = pipes->null;
    launch->stdout_fd = pipes->out[1];
    launch->stderr_fd = pipes->error[1];
    return true;
}

static void close_childs_ends(struct child_pipes *pipes)
{
    close_end(&pipes->null);
    close_end(&pipes->out[1]);
    close_end(&pipes->error[1]);
}

/* The child of a launch that went well, or NULL; the pipes are its own, or closed. */
static struct child *adopt(uv_loop_t *loop, struct child_pipes *pipes, bool launched, pid_t pid)
{
    close_childs_ends(pipes);
    if (!launched) {
        close_end(&pipes->out[0]);
        close_end(&pipes->error[0]);
        return NULL;
    }
    struct child *child = mem_alloc(sizeof(*child));
    child->pid = pid;
    output_open(child, loop, LOG_STDOUT, pipes->out[0]);
    output_open(child, loop, LOG_STDERR, pipes->error[0]);
    return child;
}

struct child *child_start(uv_loop_t *loop, struct launch *launch, struct err *err)
{
    struct child_pipes pipes;
    pid_t pid = 0;
    bool launched = open_pipes(&pipes, launch, err) && launch_start(launch, &pid, err);

    return adopt(loop, &pipes, launched, pid);
}

static void launch_aside(uv_work_t *work)
{
    struct child_order *order = work->data;
    struct launch *launch = &order->launch;
    char *program = launch_find(launch->argv[0], environ_get(launch->envp, "PATH"), &order->err);

    launch->program = program;
    if (program != NULL && open_pipes(&order->pipes, launch, &order->err))
        (void)launch_start(launch, &order->pid, &order->err);
    free(program);
}

static void launched_aside(uv_work_t *work, int status)
{
    struct child_order *order = work->data;

    (void)status; /* never cancelled */
    order->done(order, adopt(work->loop, &order->pipes, order->pid > 0, order->pid));
    arena_release(&order->arena);
    free(order);
}

void child_start_aside(uv_loop_t *loop, struct child_order *order)
{
    order->work.data = order;
    order->pipes = (struct child_pipes){
        -1, {-1, -1},
         {-1, -1}
    };
    (void)uv_queue_work(loop, &order->work, launch_aside, launched_aside);
}

void child_set_log(struct child *child, struct attempt_log *log)
{
    child->log = log;
    if (child->early.len > 0)
        attempt_log_feed(log, LOG_STDERR, buf_str(&child->early));
    buf_clear(&child->early);
}

void child_drain(struct child *child)
{
    /* A pipe holds 64 KiB, or a little more if the program made it larger: this bounds the wait
     * for one that somebody keeps filling. */
    for (enum attempt_log_stream s = LOG_STDOUT; s < LOG_MILLRACE; s++)
        read_some(&child->outputs[s], 64);
}

void child_free(struct child *child)
{
    if (child == NULL)
        return;
    for (enum attempt_log_stream s = LOG_STDOUT; s < LOG_MILLRACE; s++)
        output_end(&child->outputs[s]);
    child->is_released = true;
    free_when_closed(child);
}
