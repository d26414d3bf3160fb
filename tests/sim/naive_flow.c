/* Conditions, branches and lists once more, read off their texts. */
#include "tests/sim/naive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum truth { FALSE, TRUE, NO_ANSWER };

static enum truth truth_of(bool holds)
{
    return holds ? TRUE : FALSE;
}

static int number_in(const char *json, const char *key, int otherwise)
{
    const char *at = json == NULL ? NULL : strstr(json, key);

    return at == NULL ? otherwise : atoi(at + strlen(key));
}

static int param(const struct naive_run *run)
{
    int given = (int)json_integer_value(json_object_get(run->dag->params, "p"));

    return number_in(run->conf, "\"p\":", given);
}

/* A list is greater than no number. */
static enum truth compare(const struct naive_output *output, int least)
{
    if (output->kind != NAIVE_ONE)
        return NO_ANSWER;
    return truth_of(number_in(output->text, "\"n\":", 0) > least);
}

static enum truth evaluate(const struct naive_run *run, const struct condition *condition)
{
    char text[128];
    unsigned task = 0;
    int least = 0;

    (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(condition_text(condition)));
    if (sscanf(text, "params.p > %d", &least) == 1)
        return truth_of(param(run) > least);
    if (sscanf(text, "tasks.t%u.outputs.n > %d", &task, &least) == 2) {
        struct naive_output output = run->output(run->context, task);
        return compare(&output, least);
    }
    (void)sscanf(text, "exists(tasks.t%u.outputs.n) and tasks.t%*u.outputs.n > %d", &task, &least);
    struct naive_output output = run->output(run->context, task);
    return output.kind == NAIVE_MISSING ? FALSE : compare(&output, least);
}

/* --- branches -------------------------------------------------------------------------------- */

static bool is_downstream(const struct dag_task *spec, uint32_t task)
{
    for (uint32_t i = 0; i < spec->downstream_count; i++)
        if (spec->downstream[i] == task)
            return true;
    return false;
}

/* An id, or a list of ids, each of a task directly downstream. */
static bool read_ids(const struct dag_task *spec, const char *text, uint64_t *ret)
{
    const char *at = text == NULL ? NULL : strstr(text, "\"next\":");
    const char *end = NULL;
    uint32_t count = 0;

    *ret = 0;
    if (at == NULL)
        return false;
    at += strlen("\"next\":");
    if (*at != '"' && *at != '[')
        return false;
    end = strchr(at + 1, *at == '"' ? '"' : ']');
    for (at = strchr(at, 't'); at != NULL && at < end; at = strchr(at + 1, 't')) {
        uint32_t task = (uint32_t)atoi(at + 1);
        if (!is_downstream(spec, task) || ++count > spec->downstream_count)
            return false;
        *ret |= UINT64_C(1) << task;
    }
    return true;
}

static bool choose(const struct naive_run *run, const struct dag_task *spec, uint32_t task,
                   uint64_t *ret)
{
    const struct branch *branch = spec->branch;

    *ret = 0;
    if (branch->output != NULL)
        return read_ids(spec, run->output(run->context, task).text, ret);
    for (uint32_t i = 0; i < branch->choice_count; i++) {
        const struct branch_choice *choice = &branch->choices[i];
        enum truth truth = choice->when == NULL ? TRUE : evaluate(run, choice->when);
        if (truth == NO_ANSWER)
            return false;
        for (uint32_t k = 0; truth == TRUE && k < choice->target_count; k++)
            *ret |= UINT64_C(1) << choice->targets[k];
        if (truth == TRUE)
            return true;
    }
    return true;
}

/* Of each task those that lead to it; they all stand before it. */
static void find_ancestors(const struct dag *dag, uint64_t *ret)
{
    for (uint32_t i = 0; i < dag->task_count; i++) {
        ret[i] = 0;
        for (uint32_t k = 0; k < dag->tasks[i].upstream_count; k++)
            ret[i] |= ret[dag->tasks[i].upstream[k]] | UINT64_C(1) << dag->tasks[i].upstream[k];
    }
}

bool naive_choice(const struct naive_run *run, uint32_t task, uint64_t *ret)
{
    const struct dag_task *spec = &run->dag->tasks[task];
    uint64_t ancestors[64];
    uint64_t chosen = 0;

    if (!choose(run, spec, task, &chosen))
        return false;
    find_ancestors(run->dag, ancestors);
    *ret = chosen;
    for (uint32_t i = 0; i < spec->downstream_count; i++)
        if ((ancestors[spec->downstream[i]] & chosen) != 0)
            *ret |= UINT64_C(1) << spec->downstream[i];
    return true;
}

/* A branch that was marked as successful may not know what to choose: then all go on. */
bool naive_is_branched_off(const struct naive_run *run, uint32_t task)
{
    const struct dag_task *spec = &run->dag->tasks[task];

    for (uint32_t i = 0; i < spec->upstream_count; i++) {
        uint32_t up = spec->upstream[i];
        uint64_t chosen = 0;
        if (run->dag->tasks[up].branch != NULL && run->has_succeeded(run->context, up) &&
            naive_choice(run, up, &chosen) && (chosen & UINT64_C(1) << task) == 0)
            return true;
    }
    return false;
}

/* --- lists ----------------------------------------------------------------------------------- */

/* How long a list is; false if it is none. */
static bool measure(const struct naive_run *run, const json_t *list, size_t *ret)
{
    char what[8] = "";
    unsigned task = 0;

    if (json_is_array(list)) {
        *ret = json_array_size(list);
        return true;
    }
    (void)sscanf(json_string_value(list), "{{ tasks.t%u.outputs.%7[a-z]", &task, what);
    struct naive_output output = run->output(run->context, task);
    *ret = output.kind == NAIVE_MANY ? output.count : (size_t)number_in(output.text, "\"n\":", 0);
    return output.kind == NAIVE_MANY || (output.kind == NAIVE_ONE && strcmp(what, "list") == 0);
}

static enum naive_verdict expand(const struct naive_run *run, const struct dag_task *spec,
                                 uint32_t *ret_count)
{
    const char *name = NULL;
    const json_t *list = NULL;
    size_t product = 1;

    json_object_foreach((json_t *)(uintptr_t)spec->expand, name, list)
    {
        size_t length = 0;
        if (!measure(run, list, &length))
            return NAIVE_FAIL;
        product *= length;
    }
    *ret_count = (uint32_t)product;
    if (product == 0)
        return NAIVE_SKIP;
    return product > (size_t)spec->max_map_length ? NAIVE_FAIL : NAIVE_RUN;
}

enum naive_verdict naive_start(const struct naive_run *run, uint32_t task, uint32_t *ret_count)
{
    const struct dag_task *spec = &run->dag->tasks[task];
    enum truth truth = spec->when == NULL ? TRUE : evaluate(run, spec->when);

    *ret_count = 0;
    if (truth != TRUE)
        return truth == FALSE ? NAIVE_SKIP : NAIVE_FAIL;
    return spec->expand == NULL ? NAIVE_RUN : expand(run, spec, ret_count);
}
