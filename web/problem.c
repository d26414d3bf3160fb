#include "web/problem.h"

#include "base/json.h"

static void write_one(struct jw *w, const char *where, const char *name, const char *type,
                      const char *message)
{
    jw_begin_object(w);
    jw_kv_string(w, "type", type);
    jw_key(w, "loc");
    jw_begin_array(w);
    jw_string(w, where);
    if (name != NULL)
        jw_string(w, name);
    jw_end_array(w);
    jw_kv_string(w, "msg", message);
}

static void write_single(struct request *request, const char *where, const char *name,
                         const char *type, const char *message)
{
    struct jw w = {.out = respond_json(request, 422)};

    jw_begin_object(&w);
    jw_key(&w, "detail");
    jw_begin_array(&w);
    write_one(&w, where, name, type, message);
    jw_end_object(&w);
    jw_end_array(&w);
    jw_end_object(&w);
}

void problem_query(struct request *request, const char *name, const char *type, const char *message)
{
    write_single(request, "query", name, type, message);
}

void problem_path(struct request *request, const char *name, const char *type, const char *message)
{
    write_single(request, "path", name, type, message);
}

void problem_body(struct problems *problems, const char *name, const char *type,
                  const char *message, const json_t *input)
{
    struct jw *w = &problems->w;

    if (problems->count++ == 0) {
        *w = (struct jw){.out = respond_json(problems->request, 422)};
        jw_begin_object(w);
        jw_key(w, "detail");
        jw_begin_array(w);
    }
    write_one(w, "body", name, type, message);
    if (input != NULL) {
        struct buf text = {0};
        json_dump_canonical(input, &text);
        jw_kv_raw(w, "input", buf_text(&text));
        buf_release(&text);
    }
    jw_end_object(w);
}

void problem_end(struct problems *problems)
{
    jw_end_array(&problems->w);
    jw_end_object(&problems->w);
}
