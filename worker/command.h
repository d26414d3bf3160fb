/* Jobs of class COMMAND: a program launched straight by the worker. */
#ifndef MILLRACE_WORKER_COMMAND_H
#define MILLRACE_WORKER_COMMAND_H

#include "worker/supervisor.h"

#define COMMAND_TOKEN_VARIABLE "MILLRACE_ATTEMPT_TOKEN"
#define COMMAND_EXIT_SKIPPED 99
#define COMMAND_OUTPUT_BYTES_MAX 65536

/* Begins to launch the job's program, with its log open and its folder made; JOB_LAUNCHED or
 * JOB_FAILED follow. On failure (false, at once) the job is judged: fatal where another try can't
 * help. */
bool command_start(struct job *job);

/* The main process has ended with this wait status: judges the job and lets it go on. */
void command_exited(struct job *job, int status);

/* Judges by a wait status alone: exit code and signal, with a reason. */
void command_judge_status(struct job *job, int status);

#endif
