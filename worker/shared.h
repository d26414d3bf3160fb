/* The shared runner's work: the kinds that touch no data and need no sandbox (TASK_CLASS_SHARED).
 * It is a copy of millrace-worker, which so neither links nor loads what handles data. */
#ifndef MILLRACE_WORKER_SHARED_H
#define MILLRACE_WORKER_SHARED_H

/* Serves for as long as the worker lives. */
__attribute__((noreturn)) void shared_serve(void);

#endif
