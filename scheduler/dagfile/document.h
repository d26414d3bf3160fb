/* YAML text → node tree. The one place that calls libyaml. */
#ifndef MILLRACE_DAGFILE_DOCUMENT_H
#define MILLRACE_DAGFILE_DOCUMENT_H

#include "millrace/diag.h"

#include <jansson.h>

/* Parses one document into the arena. NULL when the text is not YAML at all (with a finding); with
 * findings and a tree for what can be passed over, such as doubled keys. An empty document is a
 * null node. Texts of the tree may lie in `source`, which has to live as long. */
struct node *document_parse(struct arena *arena, struct str source, struct diags *diags);

/* The source without a byte order mark: positions count from there. */
struct str document_text(struct str source);

/* The n-th line (from 1) of such a text, without its end; empty behind the last. */
struct str document_line(struct str text, uint32_t line);

/* Where the byte `offset` of a scalar's text stands in the file; the scalar's own place where that
 * can't be told (escapes, folded lines). `length` bytes are underlined. */
struct position document_position(struct str text, const struct node *scalar, size_t offset,
                                  size_t length);

/* The value as JSON. */
json_t *node_to_json(const struct node *node);

#endif
