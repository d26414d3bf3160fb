/* The JSON writer: documents written straight into a buffer, in order, without a tree.
 *
 * Lists of the API and wire frames go out this way; building a jansson tree first is two thirds of
 * a page's cost. */
#ifndef MILLRACE_BASE_JW_H
#define MILLRACE_BASE_JW_H

#include "base/buf.h"

/* The streaming writer. Commas and escapes are its business; the caller balances begin and end. A
 * NULL string is written as null; bytes that are not UTF-8 become U+FFFD. */
struct jw {
    struct buf *out;
    bool need_comma;
};

void jw_begin_object(struct jw *w);
void jw_end_object(struct jw *w);
void jw_begin_array(struct jw *w);
void jw_end_array(struct jw *w);
void jw_key(struct jw *w, const char *key);
void jw_string(struct jw *w, const char *value);
void jw_str(struct jw *w, struct str value);
void jw_int(struct jw *w, int64_t value);
void jw_real(struct jw *w, double value); /* NaN and infinities become null */
void jw_bool(struct jw *w, bool value);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, struct str document); /* already JSON */
void jw_time(struct jw *w, int64_t us);         /* RFC 3339; 0 becomes null */

/* Key and value in one call, the form views are written in. */
void jw_kv_string(struct jw *w, const char *key, const char *value);
void jw_kv_int(struct jw *w, const char *key, int64_t value);
void jw_kv_real(struct jw *w, const char *key, double value);
void jw_kv_bool(struct jw *w, const char *key, bool value);
void jw_kv_null(struct jw *w, const char *key);
void jw_kv_raw(struct jw *w, const char *key, const char *document); /* NULL: null */
void jw_kv_time(struct jw *w, const char *key, int64_t us);

#endif
