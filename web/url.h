/* Request targets: split, then percent-decoded segment by segment, so that no decoded byte can
 * become a separator. Strict: what is not a clean UTF-8 path is refused. Pure. */
#ifndef MILLRACE_WEB_URL_H
#define MILLRACE_WEB_URL_H

#include "base/err.h"
#include "web/http.h"

/* Parses "/a/b?x=1". In the path a plus is a plus; %00, %2F, %5C and bytes that are not UTF-8 are
 * ERR_BAD_REQUEST, as are "." and ".." as segments. In the query a plus is a space. One slash at
 * the end is dropped; an empty segment stays one, which no route matches. */
bool url_parse(struct arena *arena, struct str target, struct target *ret, struct err *err);

#endif
