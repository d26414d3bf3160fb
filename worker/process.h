/* What /proc knows of processes, and killing without hitting a stranger who got a recycled pid. */
#ifndef MILLRACE_WORKER_PROCESS_H
#define MILLRACE_WORKER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Calls `visit` for each direct child of this process, ended or not. Where the kernel keeps no list
 * of children, all processes are looked through. */
typedef void (*process_visit)(void *context, pid_t pid);
void process_children(process_visit visit, void *context);

/* Calls `visit` for each process of the machine. */
void process_all(process_visit visit, void *context);

/* Whether the process's environment, as it was at its exec, holds a "NAME=value". BLANK: there is
 * none to see: it is being exec'd right now, is ending, was started without, or is not ours. */
enum process_mark { PROCESS_UNMARKED, PROCESS_MARKED, PROCESS_BLANK };
enum process_mark process_look(pid_t pid, const char *entry);

/* Whether the process has ended or is about to: its environment is gone by then, while its own
 * children may not have been handed to their next parent yet. */
bool process_is_ending(pid_t pid);

/* SIGKILL to a process whose environment holds `entry`; the check and the signal go to the same
 * process even if the pid is recycled in between. True = a signal was sent. */
bool process_kill_marked(pid_t pid, const char *entry);

/* Whether the group has any member left. */
bool process_group_lives(pid_t group);

#endif
