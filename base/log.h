/* The programs' own log: one logfmt line on stderr per event, with a stable event name.
 *
 * error = an operator must act, warn = degraded, info = state changed, debug = every event. The
 * output of tasks never comes here; the core never logs. */
#ifndef MILLRACE_BASE_LOG_H
#define MILLRACE_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below this level are dropped; the start value is LOG_INFO, or what MILLRACE_LOG names. */
void log_init(const char *program);
void log_set_level(enum log_level level);

/* `format` prints the key=value pairs; quote values that may hold spaces with "key=\"%s\"". */
__attribute__((format(printf, 3, 4))) void log_event(enum log_level level, const char *event,
                                                     const char *format, ...);

#define log_debug(...) log_event(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_event(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_event(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_ERROR, __VA_ARGS__)

#endif
