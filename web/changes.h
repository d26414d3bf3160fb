/* What a change (clear, mark, cancel) would concern, as web sees it: the answer of a dry run, and
 * the list that the answer to a change tells. The scheduler chooses by the same rule
 * (millrace/choice.h) from its own state when it carries the change out. */
#ifndef MILLRACE_WEB_CHANGES_H
#define MILLRACE_WEB_CHANGES_H

#include "millrace/choice.h"
#include "web/context.h"

#include <jansson.h>

enum change_kind { CHANGE_CLEAR, CHANGE_MARK };

struct change_plan {
    const char *dag_id;
    enum change_kind kind;
    struct run_choice which;
    struct task_choice tasks;
    enum task_state task_state; /* CHANGE_MARK */
    bool refuse_running;        /* CHANGE_CLEAR */
    struct task_view *items;    /* filled by changes_plan() */
    size_t count;
};

/* Lists what would be changed, in the request's arena. False after answering what is wrong. */
bool changes_plan(struct web *web, struct request *request, struct change_plan *plan);

/* Answers with the listed task instances (TaskInstanceCollectionResponse): as they were listed, or
 * as they are now. */
void changes_answer(struct web *web, struct request *request, const struct change_plan *plan);
void changes_answer_again(struct web *web, struct request *request, struct change_plan *plan);

/* The members of a command that the choice fills. */
json_t *changes_command(const char *name, const struct change_plan *plan);

#endif
