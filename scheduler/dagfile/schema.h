/* What editors and people read about the option tables: JSON Schema and the reference page. */
#ifndef MILLRACE_DAGFILE_SCHEMA_H
#define MILLRACE_DAGFILE_SCHEMA_H

#include "base/buf.h"

#include <jansson.h>

/* JSON Schema (draft-07) of a DAG file and of millrace.yaml. The caller owns the reference. */
json_t *schema_of_dag(void);
json_t *schema_of_settings(void);

/* docs/dag-file.md, in Markdown. */
void schema_docs(struct buf *out);

#endif
