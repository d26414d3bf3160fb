/* Callbacks and deadlines. */
#include "tests/sim/sim.h"

#include "base/clock.h"

#include <stdio.h>

/* One or two of them; seldom one whose template has no value. */
static json_t *draw_list(struct draws *draws)
{
    json_t *list = json_array();
    char delay[16];

    for (uint32_t left = draw_between(draws, 1, 2); left > 0; left--) {
        (void)snprintf(delay, sizeof(delay), "%us", draw_between(draws, 1, 20));
        const char *url = draw(draws, 16) == 1 ? "{{ conf.nowhere }}" : "http://hook";
        (void)json_array_append_new(list,
                                    json_pack("{s:{s:s,s:i,s:s}}", "webhook", "url", url, "retries",
                                              (int)draw(draws, 4), "retry_delay", delay));
    }
    return list;
}

void dags_fill_task_callbacks(struct sim *sim, struct dag_task *task)
{
    for (enum callback_event event = 0; event <= CALLBACK_EVENT_RETRY; event++)
        if (draw_chance(sim->draws, sim->knobs.callbacks))
            task->callbacks.of[event] = draw_list(sim->draws);
}

static void draw_deadline(struct draws *draws, struct dag *dag)
{
    struct dag_deadline *deadline = &dag->deadlines[dag->deadline_count++];

    deadline->reference = (enum deadline_reference)draw(draws, DEADLINE_REFERENCE_COUNT);
    /* Not at the same instant as anything else. */
    deadline->interval_us = draw_between(draws, 10, 200) * US_PER_SECOND + US_PER_SECOND / 5;
    if (deadline->reference != DEADLINE_REFERENCE_QUEUED_AT)
        deadline->interval_us += draw(draws, 10) * US_PER_MINUTE;
    deadline->callbacks = draw_list(draws);
}

void dags_fill_callbacks(struct sim *sim, struct dag *dag)
{
    struct draws *draws = sim->draws;

    if (sim->knobs.callbacks == 0)
        return;
    if (draw(draws, 3) == 1)
        dag->callbacks.of[CALLBACK_EVENT_SUCCESS] = draw_list(draws);
    if (draw(draws, 3) == 1)
        dag->callbacks.of[CALLBACK_EVENT_FAILURE] = draw_list(draws);
    dag->deadlines = arena_alloc_array(&dag->arena, 2, sizeof(*dag->deadlines));
    for (uint32_t left = draw(draws, 3); left > 0; left--)
        draw_deadline(draws, dag);
}
