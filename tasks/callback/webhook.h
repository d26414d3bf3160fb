/* The webhook of a callback: a POST of the document that says what happened, signed where there is
 * a secret. It is no task kind of DAG files; workers know it by name.
 *
 *   Webhook-Id: <id of the document>            the same in every try: for finding doubles
 *   Webhook-Timestamp: <seconds since 1970>
 *   X-Millrace-Signature: t=<timestamp>,v1=<hex HMAC-SHA-256 of "<timestamp>.<body>"> */
#ifndef MILLRACE_TASKS_CALLBACK_WEBHOOK_H
#define MILLRACE_TASKS_CALLBACK_WEBHOOK_H

#include "base/buf.h"
#include "millrace/attempt.h"

/* Options as checked in scheduler/dagfile/callbacks.c, and rendered; `document` is the body. */
bool webhook_run(const json_t *options, const char *document, struct err *err);

/* The value of X-Millrace-Signature. */
void webhook_sign(struct str secret, int64_t timestamp, struct str body, struct buf *out);

#endif
