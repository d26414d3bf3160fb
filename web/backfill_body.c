#include "web/backfill_body.h"

static const char *const airflow_reprocess[] = {"failed", "completed", "none", NULL};
static const char *const own_reprocess[] = {"none",      "missing", "failed",
                                            "completed", "stale",   NULL};
static const char *const on_failure[] = {"continue", "stop", NULL};

static const struct field airflow_fields[] = {
    {.name = "dag_id",         .type = FIELD_STRING,                             .flags = FIELD_REQUIRED, .max = 250},
    {.name = "from_date",              .type = FIELD_TIME,                                                              .flags = FIELD_REQUIRED},
    {.name = "to_date",.type = FIELD_TIME,.flags = FIELD_REQUIRED},
    {.name = "run_backwards",        .type = FIELD_BOOL                                             },
    {.name = "dag_run_conf",                        .type = FIELD_OBJECT,                                                  .flags = FIELD_NULLABLE},
    {.name = "reprocess_behavior",                        .type = FIELD_CHOICE,      .choices = airflow_reprocess},
    {.name = "max_active_runs", .type = FIELD_INT,.min = 1, .max = 100000},
    {.name = "run_on_latest_version",.type = FIELD_BOOL},
};

static const struct field own_fields[] = {
    {.name = "dag_id",             .type = FIELD_STRING,    .flags = FIELD_REQUIRED,  .max = 250},
    {.name = "from_date",                            .type = FIELD_TIME,                                 .flags = FIELD_REQUIRED           },
    {.name = "to_date",                            .type = FIELD_TIME,                                   .flags = FIELD_REQUIRED  },
    {.name = "run_backwards",                            .type = FIELD_BOOL                            },
    {.name = "dag_run_conf",       .type = FIELD_OBJECT,    .flags = FIELD_NULLABLE     },
    {.name = "reprocess_behavior", .type = FIELD_CHOICE,    .choices = own_reprocess },
    {.name = "max_active_runs",    .type = FIELD_INT,       .min = 1, .max = 100000},
    {.name = "tasks",                            .type = FIELD_LIST,                                     .flags = FIELD_NULLABLE                },
    {.name = "upstream",                            .type = FIELD_BOOL                                 },
    {.name = "downstream",         .type = FIELD_BOOL     },
    {.name = "on_failure",        .type = FIELD_CHOICE,   .choices = on_failure               },
    {.name = "force",          .type = FIELD_BOOL                       },
    {.name = "limit",                    .type = FIELD_INT,                                .min = 1,.max = 1000},
    {.name = "after",          .type = FIELD_TIME, .flags = FIELD_NULLABLE                        },
};

/* The DAG a body names; 404 if there is none. */
static bool find_dag(struct web *web, struct request *request, const json_t *body,
                     struct dag_row *ret)
{
    const char *dag_id = json_get_string(body, "dag_id", "");
    struct err err;

    if (read_dag(web->read, &request->arena, dag_id, ret, &err))
        return true;
    if (err.code == ERR_NOT_FOUND)
        respond_detail(request, 404, "Could not find dag %s", dag_id);
    else
        respond_err(request, &err);
    return false;
}

json_t *backfill_body(struct web *web, struct request *request, bool own, struct dag_row *ret)
{
    json_t *body = own ? body_check(request, own_fields, sizeof(own_fields) / sizeof(own_fields[0]))
                       : body_check(request, airflow_fields,
                                    sizeof(airflow_fields) / sizeof(airflow_fields[0]));

    if (body == NULL)
        return NULL;
    if (body_time(body, "from_date") > body_time(body, "to_date")) {
        respond_detail(request, 422, "from_date must not be after to_date");
        json_decref(body);
        return NULL;
    }
    if (!find_dag(web, request, body, ret)) {
        json_decref(body);
        return NULL;
    }
    return body;
}
