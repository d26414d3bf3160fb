/* Sensors that have no attempts: for an instant, and for a run of another DAG or a task of it.
 * naive_waits.c reads their options again. */
#include "tests/sim/sim.h"

#include "base/clock.h"

#include <stdio.h>

static json_t *draw_instant(struct draws *draws)
{
    char text[64];
    uint32_t form = draw(draws, 3);

    if (form == 0) {
        (void)snprintf(text, sizeof(text), "%us", draw(draws, 120));
        return json_pack("{s:s}", "delta", text);
    }
    (void)snprintf(text, sizeof(text), form == 1 ? "2026-01-01T00:%02u:00Z" : "00:%02u",
                   draw(draws, 30));
    return json_pack("{s:s}", "time", text);
}

/* Final states, of a run or of a task. */
static json_t *draw_states(struct draws *draws, bool of_task, bool may_be_empty)
{
    static const char *const names[] = {"success", "failed", "skipped", "upstream_failed"};
    json_t *list = json_array();

    for (uint32_t i = 0; i < (of_task ? 4 : 2); i++)
        if (draw(draws, 3) == 1)
            (void)json_array_append_new(list, json_string(names[i]));
    if (!may_be_empty && json_array_size(list) == 0)
        (void)json_array_append_new(list, json_string("success"));
    return list;
}

static json_t *draw_external(struct sim *sim)
{
    struct draws *draws = sim->draws;
    json_t *what = json_object();
    bool of_task = draw(draws, 2) == 1;
    char text[64];

    (void)snprintf(text, sizeof(text), "d%u", draw(draws, (uint32_t)sim->dag_count));
    (void)json_object_set_new(what, "dag_id", json_string(text));
    (void)snprintf(text, sizeof(text), "t%u", draw(draws, 12));
    if (of_task)
        (void)json_object_set_new(what, "task_id", json_string(text));
    (void)snprintf(text, sizeof(text), "2026-01-01T00:%02u:00Z", draw(draws, 16));
    if (draw(draws, 2) == 1)
        (void)json_object_set_new(what, "logical_date", json_string(text));
    (void)snprintf(text, sizeof(text), "%um", draw(draws, 5));
    if (draw(draws, 4) == 1)
        (void)json_object_set_new(what, "execution_delta", json_string(text));
    (void)json_object_set_new(what, "allowed_states", draw_states(draws, of_task, false));
    (void)json_object_set_new(what, "failed_states", draw_states(draws, of_task, true));
    return json_pack("{s:o}", "external_task", what);
}

void dags_fill_wait(struct sim *sim, struct dag_task *task)
{
    struct draws *draws = sim->draws;

    if (task->wait.kind != WAIT_NONE || !draw_chance(draws, sim->knobs.waits))
        return;
    task->wait.kind = draw(draws, 3) == 0 ? WAIT_TIME : WAIT_EXTERNAL;
    task->wait.timeout_us = draw_between(draws, 10, 250) * US_PER_SECOND + US_PER_SECOND / 7;
    task->wait.is_soft = draw(draws, 4) == 1;
    task->options = task->wait.kind == WAIT_TIME ? draw_instant(draws) : draw_external(sim);
}
