/* The codes of findings, by name: MR(CYCLE) is "MR0109". */
#ifndef MILLRACE_DAGFILE_CODES_H
#define MILLRACE_DAGFILE_CODES_H

enum finding_code {
#define CODE(name, code, title) FINDING_##name,
#include "scheduler/dagfile/codes.def"
#undef CODE
    FINDING_CODE_COUNT
};

const char *finding_code(enum finding_code code);

#define MR(name) finding_code(FINDING_##name)

#endif
