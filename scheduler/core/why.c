/* What a run, its ready tasks and those that the run before holds up wait for now. The reasons in
 * the rows are those of the moment when they began to wait; what was full then may have room by
 * now, and something else be in the way. */
#include "base/jw.h"
#include "scheduler/core/parts.h"

/* More ready tasks than this are not gone through for one question. */
#define WHY_TASKS_MAX 1000

static void add_task(struct jw *w, const struct task *task, const char *reason)
{
    jw_begin_object(w);
    jw_kv_int(w, "task", task->index);
    jw_kv_int(w, "map_index", task->map_index);
    jw_kv_string(w, "reason", reason);
    jw_end_object(w);
}

static void add_tasks(struct core *core, struct jw *w, struct run *run)
{
    size_t count = 0;

    for (uint32_t i = 0; i < run->dag->task_count; i++) {
        const char *past = past_why(core, &run->tasks[i]);
        if (past != NULL && count++ < WHY_TASKS_MAX)
            add_task(w, &run->tasks[i], past);
        for (uint32_t k = 0; k < task_instance_count(&run->tasks[i]); k++) {
            const struct task *task = task_instance(&run->tasks[i], k);
            if (task->state == TASK_SCHEDULED && count++ < WHY_TASKS_MAX)
                add_task(w, task, ready_why(core, task));
        }
    }
}

void why_answer(struct core *core, const struct event *event)
{
    struct run *run = runs_find(core, event->as.why.run);
    struct buf text = {0};
    struct jw w = {.out = &text};

    reply_done(core, event, 0);
    if (run == NULL || event->request == 0)
        return;
    jw_begin_object(&w);
    jw_kv_string(&w, "run", run->row.state == RUN_QUEUED ? run_why_queued(core, run) : NULL);
    jw_key(&w, "tasks");
    jw_begin_array(&w);
    add_tasks(core, &w, run);
    jw_end_array(&w);
    jw_end_object(&w);
    core->out->items[core->out->count - 1].as.reply.text =
        arena_strdup(&core->out->arena, buf_text(&text));
    buf_release(&text);
}
