/* JSON text, in the validation's arena: rules keep their outcome as pieces of the report. */
#ifndef MILLRACE_TASKS_VALIDATE_TEXT_H
#define MILLRACE_TASKS_VALIDATE_TEXT_H

#include "base/arena.h"
#include "base/jw.h"
#include "tasks/engine/engine.h"

/* Writes a document with its keys in their order and numbers in their shortest exact form. */
void text_write(struct jw *w, const json_t *value);

/* The text of a document; takes the reference. */
const char *text_json(struct arena *arena, json_t *value);

/* Appends a value of the current row: numbers as numbers, of any size and scale, NaN and infinities
 * as text, all else as text. */
void text_add_value(struct engine_result *result, size_t column, struct jw *w);
const char *text_value(struct arena *arena, struct engine_result *result, size_t column);

#endif
