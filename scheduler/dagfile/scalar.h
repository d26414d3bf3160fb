/* What a plain YAML scalar means: the core schema of YAML 1.2. */
#ifndef MILLRACE_DAGFILE_SCALAR_H
#define MILLRACE_DAGFILE_SCALAR_H

#include "millrace/node.h"

/* Sets kind and value of a node from its text. NULL, or what is wrong (a number that fits no
 * type); the node is a string then. */
const char *scalar_resolve(struct node *node);

#endif
