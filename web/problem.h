/* Error answers in the forms Airflow's API has: a detail that is text, and the 422 lists. */
#ifndef MILLRACE_WEB_PROBLEM_H
#define MILLRACE_WEB_PROBLEM_H

#include "base/jw.h"
#include "web/http.h"

#include <jansson.h>

/* 422 with one entry about a query or path parameter. */
void problem_query(struct request *request, const char *name, const char *type,
                   const char *message);
void problem_path(struct request *request, const char *name, const char *type, const char *message);

/* A 422 list that grows; ends with problem_end(). */
struct problems {
    struct request *request;
    struct jw w;
    size_t count;
};

/* `name` NULL = about the body as a whole; `input` may be NULL. */
void problem_body(struct problems *problems, const char *name, const char *type,
                  const char *message, const json_t *input);
void problem_end(struct problems *problems);

#endif
