/* Findings as people and programs read them: text with the source line and carets, or JSON. */
#ifndef MILLRACE_DAGFILE_REPORT_H
#define MILLRACE_DAGFILE_REPORT_H

#include "base/jw.h"
#include "millrace/diag.h"

/* Appends all findings in the order of their place; `source` is the file's text (may be empty when
 * it could not be read). Without colour: terminals, logs and the API get the same text. */
void report_text(const char *file, struct str source, const struct diags *diags, struct buf *out);

/* Writes an array of {code, severity, file, line, column, length, message, hint}. */
void report_json(const char *file, const struct diags *diags, struct jw *w);

/* What a code is about ("unknown key"); NULL for an unknown code. */
const char *report_title(const char *code);

#endif
