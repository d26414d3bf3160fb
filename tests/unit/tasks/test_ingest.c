/* Ingest on the files that real sources deliver: what comes out, what is rejected and why, and
 * which errors stop it. */
#include "base/digest.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "tasks/engine/engine.h"
#include "tasks/publish/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct engine *engine;
static char folder[] = "/tmp/millrace-ingest-XXXXXX";
static const char *grow; /* a file that grows when its folder of staging is made; NULL = none */

/* Called for every folder that is made: the moment between the survey and the load. */
int mkdir(const char *path, mode_t mode)
{
    if (grow != NULL && strstr(path, "/data") != NULL) {
        FILE *file = fopen(grow, "a");
        assert_non_null(file);
        assert_true(fputs("9,z\n", file) >= 0);
        assert_int_equal(fclose(file), 0);
        grow = NULL;
    }
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

static void write_bytes(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

static int clear(void **state)
{
    (void)state;
    grow = NULL;
    return system("chmod -R u+rwx . && rm -rf lake lake.millrace in reports && mkdir in reports");
}

/* Runs ingest with these options; the outputs, or NULL with the error. */
static bool cache; /* of the attempts: an unchanged output may stand for the work */

static json_t *ingest(const char *options, struct err *err)
{
    struct attempt attempt = {
        .kind = "ingest",
        .cache = cache,
        .dag_id = "d",
        .task_id = "t",
        .run_id = "r",
        .token = "token",
        .try_number = 1,
        .map_index = -1,
        .timezone = "UTC",
        .folder = "reports",
        .temp = "reports",
        .threads = 1,
        .engine = engine,
        .outputs = json_object(),
    };
    struct err parse = {0};
    json_t *parsed = json_parse(str_from(options), &parse);

    if (parsed == NULL)
        fail_msg("%s: %s", options, parse.message);
    attempt.options = parsed;
    *err = (struct err){0};
    bool ok = ingest_run(&attempt, err);
    json_decref(parsed);
    if (ok)
        return attempt.outputs;
    assert_int_not_equal(err->code, ERR_NONE);
    json_decref(attempt.outputs);
    return NULL;
}

/* All rows of a query as text: values by '|', rows by '; '. */
static char *rows_of(const char *sql)
{
    struct err err = {0};
    struct buf text = {0};
    struct engine_result *rows = engine_query(engine, sql, &err);

    if (rows == NULL)
        fail_msg("%s: %s", sql, err.message);
    while (engine_next(rows, &err)) {
        buf_add_text(&text, text.len == 0 ? "" : "; ");
        for (size_t i = 0; i < engine_column_count(rows); i++) {
            buf_add_text(&text, i == 0 ? "" : "|");
            if (engine_is_null(rows, i))
                buf_add_text(&text, "-");
            else
                buf_add_str(&text, engine_text(rows, i));
        }
    }
    engine_result_free(rows);
    return buf_take(&text);
}

static char *published(const char *target)
{
    struct err err = {0};
    struct buf sql = {0};
    struct dataset *dataset = dataset_open(target, &err);

    if (dataset == NULL)
        fail_msg("%s", err.message);
    buf_add_text(&sql, "FROM ");
    dataset_add_source(dataset, &sql);
    char *text = rows_of(buf_text(&sql));
    buf_release(&sql);
    dataset_free(dataset);
    return text;
}

static char *rejected(void)
{
    return rows_of("SELECT regexp_replace(file, '^.*/', ''), line, \"column\", value, reason FROM "
                   "read_json('lake.millrace/rejects/e/dt=1/*.ndjson', columns = {file: 'VARCHAR', "
                   "line: 'BIGINT', \"column\": 'VARCHAR', value: 'VARCHAR', reason: 'VARCHAR', "
                   "raw: 'VARCHAR'})");
}

#define TARGET "\"target\": \"lake/e/dt=1\", \"reject\": {\"max_pct\": 100}"
#define A_AND_B TARGET ", \"columns\": {\"a\": \"BIGINT\", \"b\": \"VARCHAR\"}"

struct good_case {
    const char *name;
    const char *file;
    const char *text;
    const char *options;
    const char *counts; /* in|out|duplicates|rejected|filtered */
    const char *rows;
    const char *rejects; /* NULL: none */
};

static void run_good(const struct good_case *row)
{
    struct err err = {0};
    char path[100];
    char counts[100];

    assert_int_equal(clear(NULL), 0);
    (void)snprintf(path, sizeof(path), "in/%s", row->file);
    write_text(path, row->text);
    json_t *outputs = ingest(row->options, &err);
    if (outputs == NULL)
        fail_msg("%s: %s", row->name, err.message);
    (void)snprintf(counts, sizeof(counts), "%lld|%lld|%lld|%lld|%lld",
                   (long long)json_get_int(outputs, "rows_in", -1),
                   (long long)json_get_int(outputs, "rows_out", -1),
                   (long long)json_get_int(outputs, "duplicates", -1),
                   (long long)json_get_int(outputs, "rejected", -1),
                   (long long)json_get_int(outputs, "filtered", -1));
    char *rows = published("lake/e/dt=1");
    if (strcmp(counts, row->counts) != 0 || strcmp(rows, row->rows) != 0)
        fail_msg("%s: counts %s, rows %s", row->name, counts, rows);
    if (row->rejects != NULL) {
        char *rejects = rejected();
        if (strcmp(rejects, row->rejects) != 0)
            fail_msg("%s: rejects %s", row->name, rejects);
        free(rejects);
    } else {
        assert_int_not_equal(access("lake.millrace/rejects", F_OK), 0);
    }
    free(rows);
    json_decref(outputs);
}

static void test_csv(void **state)
{
    static const struct good_case rows[] = {
        {"plain",                                       "a.csv", "a,b\n1,x\n2,\n",                                            "{\"source\": \"in/*.csv\", " A_AND_B "}", "2|2|0|0|0",
         "1|x; 2|-",                                                                                                                                                                                                                    NULL                                                  },
        {"no line end at the end",                      "a.csv", "a,b\n1,x\n2,y",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "2|2|0|0|0", "1|x; 2|y",                                       NULL                                                  },
        {"header only",                                 "a.csv", "a,b\n",                                                     "{\"source\": \"in/*.csv\", " A_AND_B "}", "0|0|0|0|0",
         "",                                                                                                                                                                                                                            NULL                                                  },
        {"header only, no line end",                    "a.csv", "a,b",                                                       "{\"source\": \"in/*.csv\", " A_AND_B "}",
         "0|0|0|0|0",                                                                                                                                                                 "",                                               NULL                                                  },
        {"byte-order mark and CRLF",                    "a.csv",
         "\xEF\xBB\xBF"
         "a,b\r\n1,x\r\n2,y\r\n",                                                                                             "{\"source\": \"in/*.csv\", " A_AND_B "}", "2|2|0|0|0", "1|x; 2|y",                                       NULL                                                  },
        {"mixed line ends",                             "a.csv", "a,b\r\n1,x\n2,y\r\n3,z\r4,w\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "4|4|0|0|0", "1|x; 2|y; 3|z; 4|w",                             NULL                                                  },
        {"blank lines",                                 "a.csv", "\n\na,b\n\n1,x\n\n\n2,y\n\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "2|2|0|0|0", "1|x; 2|y",                                       NULL                                                  },
        {"quotes",                                      "a.csv", "a,b\n1,\"x,\"\"y\"\"\nz\"\n2,5\" pipe\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "2|2|0|0|0", "1|x,\"y\"\nz; 2|5\" pipe",                       NULL                                                  },
        {"other order, spelling and an unknown column", "a.csv", "x,B , A\nq,v,7\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "1|1|0|0|0", "7|v",                                            NULL                                                  },
        {"bad values",                                  "a.csv", "a,b\n1,x\nseven,y\n1.5,z\n2.0,w\n99999999999999999999,v\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "5|2|0|3|0", "1|x; 2|w",
         "a.csv|3|a|seven|not a BIGINT; a.csv|4|a|1.5|not a BIGINT; "
         "a.csv|6|a|99999999999999999999|not a BIGINT"                                                                                                                                                                                                                                        },
        {"records of the wrong length",                 "a.csv", "a,b\n1\n2,y\n3,z,3\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "3|1|0|2|0", "2|y",
         "a.csv|2|-|-|1 fields where the header has 2; a.csv|4|-|-|3 fields where the header has "
         "2"                                                                                                                                                                                                                                                                                  },
        {"a quote that is never closed",                "a.csv", "a,b\n1,\"x\n2,y\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "2|1|0|1|0", "2|y",
         "a.csv|2|-|-|a quote is opened but not closed"                                                                                                                                                                                                                                       },
        {"text after a quote",                          "a.csv", "a,b\n1,\"x\"y\n2,y\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "2|1|0|1|0", "2|y",
         "a.csv|2|-|-|text follows a closing quote"                                                                                                                                                                                                                                           },
        {"invalid UTF-8",                               "a.csv", "a,b\n1,x\n2,\xFF\xFE\n3,z\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "3|2|0|1|0", "1|x; 3|z",
         "a.csv|3|-|-|not valid UTF-8"                                                                                                                                                                                                                                                        },
        {"the header again",                            "a.csv", "a,b\n1,x\na,b\n2,y\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "3|2|0|1|0", "1|x; 2|y",
         "a.csv|3|-|-|repeats the header"                                                                                                                                                                                                                                                     },
        {"part of the header again, text only",         "a.csv", "a,b,c\n1,x,\na,b,\n",
         "{\"source\": \"in/*.csv\", " TARGET ", \"columns\": {\"a\": \"TEXT\", \"b\": \"TEXT\"}}",
         "2|1|0|1|0",                                                                                                                                                                 "1|x",                                            "a.csv|3|-|-|repeats the header"                      },
        {"lines are those of the file",                 "a.csv", "a,b\n1,\"two\nlines\"\n\nx,y\n",
         "{\"source\": \"in/*.csv\", " A_AND_B "}",                                                                                                                      "2|1|0|1|0", "1|two\nlines",
         "a.csv|5|a|x|not a BIGINT"                                                                                                                                                                                                                                                           },
        {"null values",                                 "a.csv", "a,b\nNA,x\n1,NA\n2,\n",
         "{\"source\": {\"path\": \"in/*.csv\", \"null_values\": [\"NA\"]}, " A_AND_B "}",
         "3|3|0|0|0",                                                                                                                                                                 "-|x; 1|-; 2|",                                   NULL                                                  },
        {"not nullable",                                "a.csv", "a,b\n1,x\n,y\n",
         "{\"source\": \"in/*.csv\", " TARGET ", \"columns\": {\"a\": {\"type\": \"BIGINT\", "
         "\"nullable\": false}, \"b\": \"TEXT\"}}",                                                                                                                      "2|1|0|1|0", "1|x",                                            "a.csv|3|a|-|no value, and the column is not nullable"},
        {"a default",                                   "a.csv", "a\n1\n2\n",
         "{\"source\": \"in/*.csv\", " TARGET
         ", \"columns\": {\"a\": \"BIGINT\", \"b\": {\"default\": "
         "\"none\"}, \"c\": {\"type\": \"INT\", \"optional\": true}}}",                                                                                                  "2|2|0|0|0", "1|none|-; 2|none|-",                             NULL                                                  },
        {"derived columns",                             "a.csv", "a\n1\n",
         "{\"source\": \"in/*.csv\", " TARGET ", \"columns\": {\"a\": \"BIGINT\"}, \"derive\": "
         "{\"day\": {\"value\": \"2026-01-02\", \"type\": \"DATE\"}, \"from\": \"it's\"}}",                                                                              "1|1|0|0|0", "1|2026-01-02|it's",                              NULL                                                  },
        {"former names",                                "a.csv", "old name,b\n1,x\n",
         "{\"source\": \"in/*.csv\", " TARGET
         ", \"columns\": {\"a\": {\"type\": \"INT\", \"from\": "
         "[\"Old Name\"]}, \"b\": \"TEXT\"}}",                                                                                                                           "1|1|0|0|0", "1|x",                                            NULL                                                  },
        {"new columns kept",                            "a.csv", "z,a,y\n1,2,3\n",
         "{\"source\": \"in/*.csv\", \"on_new_column\": \"keep\", " TARGET
         ", \"columns\": {\"a\": \"INT\"}}",                                                                                                                             "1|1|0|0|0", "2|3|1",                                          NULL                                                  },
        {"times",                                       "a.csv",
         "t\n1/22/20 17:00\n2020-02-21T13:03:09\n2020-03-23 23:19:34\nnever\n1/2/2020 1:02\n",                                "{\"source\": \"in/*.csv\", " TARGET ", \"columns\": {\"t\": {\"type\": \"TIMESTAMP\", "
         "\"formats\": [\"%m/%d/%y %H:%M\", \"%m/%d/%Y %H:%M\", \"%Y-%m-%dT%H:%M:%S\", \"%Y-%m-%d "
         "%H:%M:%S\"]}}}",                                                 "5|4|0|1|0",
         "2020-01-22 17:00:00+00; 2020-02-21 13:03:09+00; 2020-03-23 23:19:34+00; 2020-01-02 "
         "01:02:00+00",                                                                                                                                                                                                                 "a.csv|5|t|never|fits none of the formats %m/%d/%y %H:%M, %m/%d/%Y %H:%M, "
         "%Y-%m-%dT%H:%M:%S, %Y-%m-%d %H:%M:%S"                                                                                                                                                                                                                        },
        {"no times for words",                          "a.csv", "t\ninfinity\n Epoch \n-Infinity\n1900-01-01\n",
         "{\"source\": \"in/*.csv\", " TARGET ", \"columns\": {\"t\": {\"type\": \"TIMESTAMP\", "
         "\"formats\": \"%Y-%m-%d\"}}}",                                                                                                                                 "4|1|0|3|0", "1900-01-01 00:00:00+00",
         "a.csv|2|t|infinity|fits none of the formats %Y-%m-%d; a.csv|3|t| Epoch |fits none of the "
         "formats %Y-%m-%d; a.csv|4|t|-Infinity|fits none of the formats %Y-%m-%d"                                                                                                                                                                                                            },
        {"formats of a zone",                           "a.csv", "t\n1.7.2026 12:00\n1.1.2026 12:00\n",
         "{\"source\": \"in/*.csv\", \"timezone\": \"Europe/Berlin\", " TARGET
         ", \"columns\": {\"t\": {\"type\": \"TIMESTAMP\", \"formats\": \"%d.%m.%Y %H:%M\"}}}",                                                                          "2|2|0|0|0", "2026-07-01 10:00:00+00; 2026-01-01 11:00:00+00", NULL                                                  },
        {"times of a zone",                             "a.csv", "t\n2026-07-01 12:00:00\n2026-07-01T12:00:00Z\n",
         "{\"source\": \"in/*.csv\", \"timezone\": \"Europe/Berlin\", " TARGET
         ", \"columns\": {\"t\": \"TIMESTAMP\"}}",                                                                                                                       "2|2|0|0|0", "2026-07-01 10:00:00+00; 2026-07-01 12:00:00+00", NULL                                                  },
        {"the latest wins",                             "a.csv", "a,b\n1,x\n2,x\n1,z\n1,y\n,p\n,q\n3,\n3,w\n",
         "{\"source\": \"in/*.csv\", \"unique_key\": \"a\", \"order_by\": \"b\", " A_AND_B "}",
         "8|4|4|0|0",                                                                                                                                                                 "2|x; 1|z; -|q; 3|w",                             NULL                                                  },
        {"the last of equals wins",                     "a.csv", "a,b,c\n1,x,1\n1,x,2\n2,y,3\n",
         "{\"source\": \"in/*.csv\", \"unique_key\": [\"a\", \"b\"], " TARGET
         ", \"columns\": {\"a\": \"INT\", \"b\": \"TEXT\", \"c\": \"INT\"}}",                                                                                            "3|2|1|0|0", "1|x|2; 2|y|3",                                   NULL                                                  },
        {"a filter",                                    "a.csv", "a,b\n1,x\n2,y\n,z\nbad,w\n",
         "{\"source\": \"in/*.csv\", \"filter\": \"a > 1\", " A_AND_B "}",                                                                                               "4|1|0|1|2", "2|y",
         "a.csv|5|a|bad|not a BIGINT"                                                                                                                                                                                                                                                         },
        {"a filter hides no bad value",                 "a.csv", "a,b\n1,2026-01-02\n2,x\n3,2026-01-03\n",
         "{\"source\": \"in/*.csv\", \"filter\": \"a = 1\", " TARGET
         ", \"columns\": {\"a\": \"INT\", \"b\": \"DATE\"}}",                                                                                                            "3|1|0|1|1", "1|2026-01-02",                                   "a.csv|3|b|x|not a DATE"                              },
        {"no header",                                   "a.csv", "1,x\n2,y\n",
         "{\"source\": {\"path\": \"in/a.csv\", \"header\": false, \"names\": [\"a\", "
         "\"b\"]}, " A_AND_B "}",
         "2|2|0|0|0",                                                                                                                                                                 "1|x; 2|y",                                       NULL                                                  },
        {"tabs",                                        "a.tsv", "a\tb\n1\tx,y\n",                                            "{\"source\": \"in/*\", " A_AND_B "}",     "1|1|0|0|0",
         "1|x,y",                                                                                                                                                                                                                       NULL                                                  },
        {"inferred",                                    "a.csv", "id,Old,at\n1,2.5,2026-01-01 10:00:00\n2,3,\n",
         "{\"source\": \"in/*\", \"rename\": {\"Old\": \"new\"}, " TARGET "}",                                                                                           "2|2|0|0|0",
         "1|2.5|2026-01-01 10:00:00+00; 2|3.0|-",                                                                                                                                                                                       NULL                                                  },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        run_good(&rows[i]);
}

static void test_ndjson(void **state)
{
    static const struct good_case rows[] = {
        {"plain",            "a.ndjson", "{\"a\": 1, \"b\": \"x\"}\r\n\n{\"b\": null, \"a\": \"2\", \"z\": 1}",
         "{\"source\": \"in/*\", " A_AND_B "}",                                                                                                        "2|2|0|0|0", "1|x; 2|-",                            NULL},
        {"bad lines",        "a.jsonl",
         "{\"a\": 1\n[1]\n{\"a\": true}\n{\"a\": 2, \"b\": {\"c\": [1]}}\n\xFF\n",                              "{\"source\": \"in/*\", " A_AND_B "}", "5|1|0|4|0", "2|{\"c\":[1]}",
         "a.jsonl|1|-|-|not a JSON object; a.jsonl|2|-|-|not a JSON object; a.jsonl|3|a|true|not a "
         "BIGINT; a.jsonl|5|-|-|not valid UTF-8"                                                                                                                                                               },
        {"empty",            "a.ndjson", "",                                                                    "{\"source\": \"in/*\", " A_AND_B "}", "0|0|0|0|0", "",                                    NULL},
        {"former names",     "a.ndjson", "{\"old\": 1, \"b\": \"x\"}\n{\"a\": 2, \"b\": \"y\"}\n",
         "{\"source\": \"in/*\", " TARGET ", \"columns\": {\"a\": {\"type\": \"INT\", \"from\": "
         "[\"old\"]}, \"b\": \"JSON\"}}",                                                                                                              "2|2|0|0|0", "1|\"x\"; 2|\"y\"",                    NULL},
        {"new columns kept", "a.ndjson", "{\"a\": 1, \"q\": 5}\n{\"a\": 2, \"b\": \"y\"}\n",
         "{\"source\": \"in/*\", \"on_new_column\": \"keep\", " A_AND_B "}",                                                                           "2|2|0|0|0",
         "1|-|5; 2|y|-",                                                                                                                                                                                   NULL},
        {"inferred",         "a.ndjson",
         "{\"a\": 1, \"q\": [5]}\n{\"a\": 2, \"t\": \"2026-01-01 00:00:00\"}\n",                                "{\"source\": \"in/*\", " TARGET "}",  "2|2|0|0|0", "1|[5]|-; 2|-|2026-01-01 00:00:00+00",
         NULL                                                                                                                                                                                                  },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        run_good(&rows[i]);
}

static void run_sql(const char *sql)
{
    struct err err = {0};

    if (!engine_run(engine, sql, NULL, &err))
        fail_msg("%s", err.message);
}

static void test_parquet(void **state)
{
    struct err err = {0};

    (void)state;
    run_sql("COPY (SELECT 1.5 AS a, 'x' AS b UNION ALL SELECT 2, 'y') TO 'in/1.parquet'");
    run_sql("COPY (SELECT 'z' AS b, 'three' AS old) TO 'in/2.parquet'");
    json_t *outputs = ingest("{\"source\": \"in/*.parquet\", " TARGET ", \"columns\": {\"a\": "
                             "{\"type\": \"INT\", \"from\": \"old\"}, \"b\": \"TEXT\"}}",
                             &err);
    if (outputs == NULL)
        fail_msg("%s", err.message);
    char *rows = published("lake/e/dt=1");
    char *rejects = rejected();
    assert_string_equal(rows, "2|y");
    assert_string_equal(rejects,
                        "1.parquet|1|a|1.5|not a INTEGER; 2.parquet|1|a|three|not a INTEGER");
    free(rows);
    free(rejects);
    json_decref(outputs);

    run_sql("COPY (SELECT [1, 2] AS l, TIMESTAMP '2026-01-01' AS t) TO 'in/3.parquet'");
    outputs = ingest("{\"source\": \"in/3.parquet\", \"target\": \"lake/f\"}", &err);
    if (outputs == NULL)
        fail_msg("%s", err.message);
    rows = published("lake/f");
    assert_string_equal(rows, "[1, 2]|2026-01-01 00:00:00+00");
    free(rows);
    json_decref(outputs);
}

static void test_compressed(void **state)
{
    struct err err = {0};

    (void)state;
    write_text("in/1.csv", "a,b\n1,x\n2,y\n");
    write_text("in/2.csv", "b,a\nz,3\nbad,row\n");
    assert_int_equal(system("gzip in/1.csv && zstd -q --rm in/2.csv"), 0);
    json_t *outputs = ingest("{\"source\": \"in/*.csv.{gz,zst}\", " A_AND_B "}", &err);
    if (outputs == NULL)
        fail_msg("%s", err.message);
    char *rows = published("lake/e/dt=1");
    char *rejects = rejected();
    assert_string_equal(rows, "1|x; 2|y; 3|z");
    assert_string_equal(rejects, "2.csv.zst|3|a|row|not a BIGINT");
    free(rows);
    free(rejects);
    json_decref(outputs);
    assert_int_equal(truncate("in/1.csv.gz", 20), 0);
    assert_null(ingest("{\"source\": \"in/1.csv.gz\", " A_AND_B "}", &err));
    assert_non_null(strstr(err.message, "in/1.csv.gz"));
}

/* A column renamed half-way, other orders, and one file without an optional column. */
static void test_many_files(void **state)
{
    struct err err = {0};

    (void)state;
    write_text("in/1.csv", "id,old,c\n1,x,p\n2,x,q\n");
    write_text("in/2.csv", "new,id,c,extra\ny,3,r,e\ny,1,s,e\n");
    write_text("in/3.csv", "id,new\n4,z\n");
    json_t *outputs = ingest(
        "{\"source\": [\"in/*.csv\", \"in/1.csv\"], \"unique_key\": \"id\", " TARGET
        ", \"columns\": {\"id\": \"INT\", \"new\": {\"from\": [\"old\"]}, \"c\": {\"optional\": "
        "true}}}",
        &err);
    if (outputs == NULL)
        fail_msg("%s", err.message);
    char *rows = published("lake/e/dt=1");
    assert_string_equal(rows, "2|x|q; 3|y|r; 1|y|s; 4|z|-");
    assert_int_equal(json_get_int(outputs, "duplicates", 0), 1);
    free(rows);
    json_decref(outputs);
    char *ignored = rows_of("SELECT content.ignored_columns::VARCHAR FROM "
                            "read_json('lake/e/dt=1/_manifest.json')");
    assert_string_equal(ignored, "[extra]");
    free(ignored);
}

static void test_failures(void **state)
{
    static const struct {
        const char *text;
        const char *options;
        enum err_code code;
        const char *message;
    } rows[] = {
        {"a,b\n1,x\n",                             "{\"source\": \"in/none*.csv\", " A_AND_B "}",                              ERR_NOT_FOUND,
         "no file matches in/none*.csv"                                                                                                                                                                     },
        {"",                                       "{\"source\": \"in/a.csv\", " A_AND_B "}",                                  ERR_DATA,      "in/a.csv is empty"                                           },
        {"\n\n",                                   "{\"source\": \"in/a.csv\", " A_AND_B "}",                                  ERR_DATA,      "in/a.csv is empty"                                           },
        {"a,c\n1,x\n",                             "{\"source\": \"in/a.csv\", " A_AND_B "}",                                  ERR_INVALID,
         "in/a.csv has no column b (it has a, c)"                                                                                                                                                           },
        {"a,b,A\n1,x,2\n",
         "{\"source\": \"in/a.csv\", " TARGET ", \"columns\": {\"a\": {\"from\": [\"b\"]}}}",
         ERR_INVALID,                                                                                                                         "both `a` and `b` are column a"                               },
        {"a,b,c\n1,x,2\n",                         "{\"source\": \"in/a.csv\", \"on_new_column\": \"fail\", " A_AND_B "}",
         ERR_INVALID,                                                                                                                         "in/a.csv has a new column `c`"                               },
        {"a,b\n1,x\n<<<<<<< HEAD\n2,y\n=======\n", "{\"source\": \"in/a.csv\", " A_AND_B "}",
         ERR_INVALID,                                                                                                                         "in/a.csv:3: '<<<<<<< HEAD' is the marker of a merge conflict"},
        {"<<<<<<< HEAD\na,b\n1,x\n",               "{\"source\": \"in/a.csv\", " A_AND_B "}",                                  ERR_INVALID,
         "in/a.csv:1: '<<<<<<< HEAD' is the marker"                                                                                                                                                         },
        {"a,b\n1,x\n=======\n",                    "{\"source\": \"in/a.csv\", " A_AND_B "}",                                  ERR_INVALID,
         "in/a.csv:3: '=======' is the marker"                                                                                                                                                              },
        {"a,b\n1,x\n>>>>>>> 1a68338\r\n",          "{\"source\": \"in/a.csv\", " A_AND_B "}",                                  ERR_INVALID,
         "in/a.csv:3: '>>>>>>> 1a68338' is the marker"                                                                                                                                                      },
        {"a,b\nx,x\n1,y\n2,\xFF\n3,z\n",
         "{\"source\": \"in/a.csv\", \"target\": \"lake/e/dt=1\", \"columns\": {\"a\": \"INT\", "
         "\"b\": "
         "\"TEXT\"}}",                                                                                                         ERR_FINDINGS,
         "2 of 4 rows were rejected, more than reject.max_pct = 10; the first is "
         "in/a.csv:2: a: not a INTEGER"                                                                                                                                                                     },
        {"a,b\nx,x\ny,y\n1,1\n",
         "{\"source\": \"in/a.csv\", \"target\": \"lake/e/dt=1\", \"reject\": {\"max_rows\": 1, "
         "\"max_pct\": 100}, \"columns\": {\"a\": \"INT\"}}",                                                                  ERR_FINDINGS,  "more than reject.max_rows = 1"                               },
        {"a,b\n1,x\n",                             "{\"source\": \"in/a.csv\", \"min_rows\": 2, " A_AND_B "}",                 ERR_FINDINGS,
         "1 rows came out of 1 files, less than min_rows = 2"                                                                                                                                               },
        {"a,b\n1,x\n",                             "{\"source\": \"in\", " A_AND_B "}",                                        ERR_INVALID,   "in is a folder"                                              },
        {"a,b\n1,x\n",                             "{\"source\": \"in/a.csv\", \"unique_key\": \"q\", " A_AND_B "}",
         ERR_INVALID,                                                                                                                         "unique_key: there is no column q"                            },
        {"a,b\n1,x\n",                             "{\"source\": \"in/a.csv\", \"timezone\": \"Mars\", " A_AND_B "}",
         ERR_INVALID,                                                                                                                         "there is no time zone Mars"                                  },
        {"a,b\n1,x\n",                             "{\"source\": \"in/a.csv\", \"filter\": \"no_such > 1\", " A_AND_B "}",
         ERR_INVALID,                                                                                                                         "no_such"                                                     },
        {"a,b\n1,x\n",                             "{\"source\": \"in/a.csv\", " TARGET ", \"columns\": {\"a\": \"NUMBER\"}}",
         ERR_INVALID,                                                                                                                         "'NUMBER' is no type of a column"                             },
        {"a,b\n1,x\n",                             "{\"source\": {\"path\": \"in/a.csv\", \"header\": false}, " A_AND_B "}",
         ERR_INVALID,                                                                                                                         "source.names"                                                },
        {"\xFF\xFE"
         "a",                             "{\"source\": \"in/a.csv\", " A_AND_B "}",                                  ERR_INVALID,   "UTF-16"                                                      },
        {"{\"a\": 1}\n<<<<<<< HEAD\n",
         "{\"source\": {\"path\": \"in/a.csv\", \"format\": \"ndjson\"}, " A_AND_B "}",                                        ERR_INVALID,
         "in/a.csv:2: '<<<<<<< HEAD' is the marker"                                                                                                                                                         },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        assert_int_equal(clear(state), 0);
        write_text("in/a.csv", rows[i].text);
        if (ingest(rows[i].options, &err) != NULL)
            fail_msg("%s succeeded", rows[i].options);
        if (err.code != rows[i].code || strstr(err.message, rows[i].message) == NULL)
            fail_msg("%s: %s: %s", rows[i].options, err_name(err.code), err.message);
        assert_int_not_equal(access("lake", F_OK), 0);
    }
}

static void test_unreadable(void **state)
{
    struct err err = {0};

    (void)state;
    if (geteuid() == 0)
        skip(); /* root reads everything */
    write_text("in/a.csv", "a,b\n1,x\n");
    assert_int_equal(chmod("in/a.csv", 0), 0);
    assert_null(ingest("{\"source\": \"in/*.csv\", " A_AND_B "}", &err));
    assert_non_null(strstr(err.message, "open in/a.csv: Permission denied"));
    assert_int_equal(chmod("in", 0), 0);
    assert_null(ingest("{\"source\": \"in/*.csv\", " A_AND_B "}", &err));
    assert_non_null(strstr(err.message, "in/*.csv: Permission denied"));
}

static void test_grows_while_read(void **state)
{
    struct err err = {0};

    (void)state;
    write_text("in/a.csv", "a,b\n1,x\n");
    grow = "in/a.csv";
    assert_null(ingest("{\"source\": \"in/a.csv\", " A_AND_B "}", &err));
    assert_null(grow);
    assert_int_equal(err.code, ERR_DATA);
    assert_non_null(
        strstr(err.message, "in/a.csv changed while it was read (8 bytes before, 12 now)"));
    assert_int_not_equal(access("lake/e", F_OK), 0);
}

/* The same again is unchanged; a repaired source replaces data and rejects together. */
static void test_again(void **state)
{
    struct err err = {0};
    static const char options[] = "{\"source\": \"in/*.csv\", " A_AND_B "}";

    (void)state;
    write_text("in/a.csv", "a,b\n1,x\nbad,y\n");
    json_t *first = ingest(options, &err);
    json_t *second = ingest(options, &err);
    assert_false(json_get_bool(first, "unchanged", true));
    assert_true(json_get_bool(second, "unchanged", false));
    assert_string_equal(json_get_string(first, "version", "?"),
                        json_get_string(second, "version", "!"));
    assert_string_equal(json_get_string(first, "rejects", ""), "lake.millrace/rejects/e/dt=1");
    json_decref(first);
    json_decref(second);

    write_text("in/a.csv", "a,b\n1,x\n2,y\n");
    json_t *third = ingest(options, &err);
    assert_non_null(third);
    json_decref(third);
    char *rows = published("lake/e/dt=1");
    char *rejects = rejected();
    assert_string_equal(rows, "1|x; 2|y");
    assert_string_equal(rejects, "");
    free(rows);
    free(rejects);
}

/* With unchanged sources nothing is read but them, and the outputs are those of before; a file that
 * changed within its size, one more, or lost rejects make the work be done. */
static void test_unchanged_sources(void **state)
{
    static const char options[] = "{\"source\": \"in/*.csv\", " A_AND_B "}";
    struct err err = {0};

    (void)state;
    write_text("in/a.csv", "a,b\n1,x\nbad,y\n");
    json_t *first = ingest(options, &err);
    cache = true;
    json_t *second = ingest(options, &err);
    assert_true(json_get_bool(second, "unchanged", false));
    (void)json_object_set_new(first, "unchanged", json_true());
    assert_true(json_equal(first, second));
    json_decref(first);
    json_decref(second);

    write_text("in/a.csv", "a,b\n2,x\nbad,y\n");
    json_t *third = ingest(options, &err);
    assert_false(json_get_bool(third, "unchanged", true));
    json_decref(third);
    write_text("in/b.csv", "a,b\n3,z\n");
    json_t *fourth = ingest(options, &err);
    assert_int_equal(json_get_int(fourth, "rows_out", 0), 2);
    json_decref(fourth);
    assert_true(fs_remove_tree("lake.millrace/rejects/e", &err));
    json_decref(ingest(options, &err));
    char *rejects = rejected();
    assert_string_not_equal(rejects, "");
    free(rejects);
    cache = false;
}

/* Publishes `text` and adds its rows, as one text, to `rows`. */
static void add_rows_for(const char *text, const char *options, struct buf *rows)
{
    struct err err = {0};

    write_text("in/a.csv", text);
    json_t *outputs = ingest(options, &err);
    if (outputs == NULL)
        fail_msg("%s: %s", text, err.message);
    json_decref(outputs);
    char *found = published("lake/e/dt=1");
    buf_add_text(rows, found[0] == '\0' || rows->len == 0 ? "" : "; ");
    buf_add_text(rows, found);
    free(found);
}

#define VALUES_MAX 14

struct both_ways {
    const char *type;
    const char *values[VALUES_MAX];
};

/* Each value alone in a file, which the quick way takes, and all of them in one that only the
 * careful way takes, because its last row is broken: they read the same. */
static void check_both_ways(const struct both_ways *row, const char *zone)
{
    struct buf quick = {0};
    struct buf careful = {0};
    struct buf all = {0};
    char options[300];

    (void)snprintf(options, sizeof(options),
                   "{\"source\": \"in/a.csv\", \"timezone\": \"%s\", " TARGET
                   ", \"columns\": {\"n\": \"INT\", \"v\": \"%s\"}}",
                   zone, row->type);
    buf_add_text(&all, "n,v\n");
    for (size_t v = 0; v < VALUES_MAX && row->values[v] != NULL; v++) {
        char text[200];
        (void)snprintf(text, sizeof(text), "n,v\n%zu,%s\n", v, row->values[v]);
        add_rows_for(text, options, &quick);
        buf_printf(&all, "%zu,%s\n", v, row->values[v]);
    }
    buf_add_text(&all, "broken\n");
    add_rows_for(buf_text(&all), options, &careful);
    if (strcmp(buf_text(&quick), buf_text(&careful)) != 0)
        fail_msg("%s: quick %s, careful %s", row->type, buf_text(&quick), buf_text(&careful));
    buf_release(&quick);
    buf_release(&careful);
    buf_release(&all);
}

static void test_both_ways_agree(void **state)
{
    static const struct both_ways rows[] = {
        {"INT",
         {"1", " 7 ", "+3", "-0", "1.0", "1.5", "1e3", "15e-1", "0x10", "1_000", "x", "2147483648",
          "\"5\""}                                                                                        },
        {"UBIGINT",
         {"1", " 7 ", "+3", "-1", "1.5", "18446744073709551615", "18446744073709551616", "x"}             },
        {"DOUBLE",
         {"1.5", " 1.5 ", "-1e3", "nan", "inf", "-Infinity", ".5", "5.", "1e400", "1,5", "0x1p3",
          "x", "1_0.5"}                                                                                   },
        {"DECIMAL(6,2)",
         {"1.5", "1.235", "-0.005", ".5", "1e2", " 2 ", "99999.99", "9999.999", "x", "1.2.3"}             },
        {"BOOLEAN",      {"true", "f", "T", "yes", "no", "0", "1", "2", "on", "x", " true "}              },
        {"DATE",
         {"2026-01-02", "2026-1-2", "2026/01/02", "20260102", "2026-02-30", "2026-01-02 10:00:00",
          " 2026-01-02", "infinity", "01/02/2026", "x", "-0044-03-15"}                                    },
        {"TIME",         {"10:11:12", "1:02", "10:11:12.123456", "25:00:00", "x", "10:11:12+02"}          },
        {"TIMESTAMP",
         {"2026-01-02 03:04:05", "2026-01-02T03:04:05Z", "2026-01-02 03:04", "2026-01-02",
          "2026-01-02 03:04:05.678901", "2026-01-02 03:04:05+02", "2026-01-02 03:04:05 UTC",
          "2026-01-02 03:04:05 Europe/Berlin", "20260102", "epoch", "x", "1767322800",
          "2026-01-02 25:00:00"}                                                                          },
        {"TIMESTAMP",
         {"2028-02-29 00:00:00", "2026-02-29 00:00:00", "1600-01-01 00:00:00",
          "1599-12-31 23:59:59", "2026-01-02 23:59:60", "2026-01-02 24:00:00",
          "2026-01-02 03:04:05.1234567", "2026-01-02 03:04:05.", "2026-01-02 03:04:05.5Z",
          "2026-01-02 03:04:05+02:30", "2026-01-02 03:04:05-11", "2026-01-02 03:04:05+15",
          "2026-01-02 03:04:05+14:60", " 2026-01-02 03:04:05 "}                                           },
        {"TIMESTAMP",
         {"9999-12-31 23:59:59.999999-12", "2026-01-02 03:04:05+0230", "2026-01-02 03:04:05 +02",
          "2026-01-02 03:04:05z", "2026-01-02t03:04:05", "2026-01-02  03:04:05",
          "2026-1-02 03:04:05", "2026-01-02T03:04:05.000001+00:00", "2026-00-02 03:04:05",
          "2026-13-02 03:04:05", "2026-01-00 03:04:05", "-2026-01-02 03:04:05",
          "02026-01-02 03:04:05", "2026-01-02 03:04:05+14:59"}                                            },
        {"INT",
         {"000000000000000000007", "-007", "1.", ".0", "+-3", "-2147483648", "+", "-", "1.00",
          "9223372036854775808", "1,0", "\"\"", "0.0", "00"}                                              },
        {"UUID",         {"12345678-1234-1234-8234-123456789abc", "123456781234123482341234567890AB", "x"}},
        {"JSON",         {"{}", "1", "x", "\"{\"\"a\"\": 1}\""}                                           },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_both_ways(&rows[i], "America/New_York");
        if (strcmp(rows[i].type, "TIMESTAMP") == 0) /* the only one that a zone means anything to */
            check_both_ways(&rows[i], "UTC");
    }
}

#define LONG_ROWS 21000 /* the sniffer's sample has 20,480 */

/* Writes a file that is too long for the sniffer's sample, whose last value is another. */
static void write_long(const char *path, const char *early, const char *late)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs("i,v\n", file) >= 0);
    for (int i = 0; i < LONG_ROWS; i++)
        assert_true(fprintf(file, "%d,%s\n", i, early) > 0);
    assert_true(fprintf(file, "%d,%s\n", LONG_ROWS, late) > 0);
    assert_int_equal(fclose(file), 0);
}

/* What a long file's beginning says of its columns never decides: the types are those that a look
 * at all of it gives, which DuckDB is asked for here. */
static void test_inferred_by_all(void **state)
{
    static const struct {
        const char *early;
        const char *late[8];
    } rows[] = {
        {"7",                    {"8", "1.5", "007", "x", "true", "2026-01-01", "", "+5"}                 },
        {"-7",                   {" 9", "9223372036854775808", "-05", "1.0", "1e3", "-0", "0x10", "\"8\""}},
        {"1.5",                  {"2", "007.5", "1e3", "nan", ".5", "5.", "x", "0.30000000000000004"}     },
        {"1.5",                  {"1e400", "1e-320", "-0.0", "1.5.5", "123456789012345678", "1e", "-"}    },
        {"",                     {"7", "1.5", "2026-01-01", "x", "", "true"}                              },
        {"true",                 {"f", "1", "x", "TRUE", "False"}                                         },
        {"2026-01-02",           {"2026-01-02 03:04:05", "2026/01/02", "0001-01-01", "x", "2026-02-30"}   },
        {"2026-01-02 03:04:05",
         {"2026-01-02 03:04:05+02", "2026-01-02", "2026-01-02 03:04:05.5", "2026-01-02T03:04:05Z",
          "x", "2026-01-02 23:59:60", "0001-01-01 00:00:00"}                                              },
        {"2026-01-02T03:04:05Z", {"2026-01-02 03:04:05", "x", "2026-01-02T03:04:05+02:00"}                },
        {"10:11:12",             {"10:11:13", "x"}                                                        },
        {"x",                    {"7", ""}                                                                },
    };
    static const char ask[] =
        "SELECT (SELECT any_value(replace(column_type, ' WITH TIME ZONE', '')) FROM (DESCRIBE FROM "
        "read_csv('in/a.csv', delim = ',', quote = '\"', header = true, sample_size = -1)) WHERE "
        "column_name = 'v') = (SELECT any_value(replace(column_type, ' WITH TIME ZONE', '')) FROM "
        "(DESCRIBE FROM read_parquet('lake/e/dt=1/*.parquet')) WHERE column_name = 'v')";

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t v = 0; v < 8 && rows[i].late[v] != NULL; v++) {
            struct err err = {0};
            write_long("in/a.csv", rows[i].early, rows[i].late[v]);
            json_t *outputs = ingest("{\"source\": \"in/a.csv\", " TARGET "}", &err);
            if (outputs == NULL)
                fail_msg("%s, then %s: %s", rows[i].early, rows[i].late[v], err.message);
            assert_int_equal(json_get_int(outputs, "rows_in", 0), LONG_ROWS + 1);
            json_decref(outputs);
            char *same = rows_of(ask);
            if (strcmp(same, "true") != 0)
                fail_msg("%s, then %s: %s", rows[i].early, rows[i].late[v],
                         rows_of("DESCRIBE FROM read_parquet('lake/e/dt=1/*.parquet')"));
            free(same);
        }
    }
}

/* A guess holds for all files or for none; a file without a value of a column says nothing of it.
 */
static void test_inferred_by_all_files(void **state)
{
    static const struct {
        const char *first[2];
        const char *second[2];
        const char *types;
    } rows[] = {
        {{"7", "8"}, {"7", "8"},   "BIGINT|BIGINT" },
        {{"7", "8"}, {"1.5", "2"}, "BIGINT|DOUBLE" },
        {{"7", "8"}, {"x", "2"},   "BIGINT|VARCHAR"},
        {{"7", "8"}, {"7", "x"},   "BIGINT|VARCHAR"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        write_long("in/a.csv", rows[i].first[0], rows[i].first[1]);
        write_long("in/b.csv", rows[i].second[0], rows[i].second[1]);
        json_t *outputs =
            ingest("{\"source\": \"in/*.csv\", \"derive\": {\"d\": \"one\"}, " TARGET "}", &err);
        if (outputs == NULL)
            fail_msg("%s", err.message);
        assert_int_equal(json_get_int(outputs, "rows_out", 0), 2 * (LONG_ROWS + 1));
        json_decref(outputs);
        char *types = rows_of("SELECT typeof(i), typeof(v) FROM "
                              "read_parquet('lake/e/dt=1/*.parquet') WHERE d = 'one' LIMIT 1");
        assert_string_equal(types, rows[i].types);
        free(types);
    }
}

/* Without `columns` the first file says what columns there are. */
static void test_inferred_headers_differ(void **state)
{
    static const struct {
        const char *first;
        const char *second;
        const char *options; /* with a comma behind each */
        const char *rows;    /* NULL: an error */
        const char *message;
    } rows[] = {
        {"a,b\n1,2\n",   "b,a\n4,3\n",   "",                              "1|2; 3|4", NULL                      },
        {"a,b\n1,2\n",   "B , A\n4,3\n", "\"on_new_column\": \"keep\",",  "1|2; 3|4", NULL                      },
        {"a,b\n1,2\n",   "a\n3\n",       "",                              NULL,
         "in/b.csv has no column b, which in/a.csv has (it has a); name its other spelling in "
         "`rename`, or declare `columns`"                                                                       },
        {"a,b\n1,2\n",   "a\n3\n",       "\"on_new_column\": \"keep\",",  NULL,       "in/b.csv has no column b"},
        {"a\n1\n",       "a,c\n3,5\n",   "",                              "1; 3",     NULL                      },
        {"a\n1\n",       "a,c\n3,5\n",   "\"on_new_column\": \"keep\",",  "1|-; 3|5", NULL                      },
        {"a\n1\n",       "a,c\n3,5\n",   "\"on_new_column\": \"fail\",",  NULL,
         "in/b.csv has a new column `c`, which is not in in/a.csv"                                              },
        {"old,b\n1,2\n", "b,a\n4,3\n",   "\"rename\": {\"old\": \"a\"},", "1|2; 3|4", NULL                      },
        {"a,b\n1,2\n",   "b,old\n4,3\n", "\"rename\": {\"old\": \"a\"},", "1|2; 3|4", NULL                      },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        char options[300];
        assert_int_equal(clear(state), 0);
        write_text("in/a.csv", rows[i].first);
        write_text("in/b.csv", rows[i].second);
        (void)snprintf(options, sizeof(options), "{\"source\": \"in/*.csv\", %s " TARGET "}",
                       rows[i].options);
        json_t *outputs = ingest(options, &err);
        if ((outputs == NULL) != (rows[i].rows == NULL))
            fail_msg("row %zu: '%s'", i, err.message);
        if (outputs == NULL) {
            if (err.code != ERR_INVALID || strstr(err.message, rows[i].message) == NULL)
                fail_msg("row %zu: code %d, '%s'", i, (int)err.code, err.message);
            continue;
        }
        char *text = published("lake/e/dt=1");
        assert_string_equal(text, rows[i].rows);
        free(text);
        json_decref(outputs);
    }
}

static void test_nul_bytes(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *message;
    } rows[] = {
        {"\0\0\0\0\0\0",       6,  "in/a.csv:1: NUL bytes where the file should begin with a header"},
        {"\n\0\0\n1,x\n",      8,  "in/a.csv:2: NUL bytes where the file should begin with a header"},
        {"a,\"\nb\0\"\n1,x\n", 12,
         "in/a.csv:2: NUL bytes where the file should begin with a header"                          },
    };
    static const char *const options[] = {"{\"source\": \"in/a.csv\", " A_AND_B "}",
                                          "{\"source\": \"in/a.csv\", " TARGET "}"};

    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        assert_int_equal(clear(state), 0);
        write_bytes("in/a.csv", rows[i / 2].bytes, rows[i / 2].len);
        assert_null(ingest(options[i % 2], &err));
        if (err.code != ERR_DATA || strstr(err.message, rows[i / 2].message) == NULL)
            fail_msg("row %zu: code %d, '%s'", i / 2, (int)err.code, err.message);
    }

    struct err err = {0};
    assert_int_equal(clear(state), 0);
    write_bytes("in/a.ndjson", "\0\0\0\0", 4);
    assert_null(ingest("{\"source\": \"in/a.ndjson\", " TARGET "}", &err));
    assert_non_null(strstr(err.message, "in/a.ndjson:1: NUL bytes where the file should begin"));

    err = (struct err){0};
    write_bytes("in/a.ndjson", "{\"a\":1}\n\0\0\n", 11);
    write_bytes("in/a.csv", "a,b\n1,x\n\0\0\n", 11);
    for (size_t i = 0; i < 2; i++) {
        json_t *outputs = ingest(i == 0 ? "{\"source\": \"in/a.csv\", " A_AND_B "}"
                                        : "{\"source\": \"in/a.ndjson\", " A_AND_B "}",
                                 &err);
        assert_non_null(outputs);
        json_decref(outputs);
        char *rejects = rejected();
        assert_string_equal(rejects, i == 0 ? "a.csv|3|-|-|NUL bytes, so this is no text"
                                            : "a.ndjson|2|-|-|NUL bytes, so this is no text");
        free(rejects);
        assert_int_equal(system("rm -rf lake lake.millrace"), 0);
    }
}

/* Rows that a filter leaves out have a say in the types, too. */
static void test_inferred_with_filter(void **state)
{
    struct err err = {0};

    (void)state;
    write_long("in/a.csv", "7", "x");
    json_t *outputs =
        ingest("{\"source\": \"in/a.csv\", \"filter\": \"i < 10\", " TARGET "}", &err);
    if (outputs == NULL)
        fail_msg("%s", err.message);
    assert_int_equal(json_get_int(outputs, "filtered", 0), LONG_ROWS + 1 - 10);
    json_decref(outputs);
    char *types = rows_of("SELECT DISTINCT typeof(v) FROM read_parquet('lake/e/dt=1/*.parquet')");
    assert_string_equal(types, "VARCHAR");
    free(types);
}

/* The zone of times without an offset is minded in a guess, too. */
static void test_inferred_zone(void **state)
{
    struct err err = {0};

    (void)state;
    write_long("in/a.csv", "2026-07-01 12:00:00", "2026-01-01 12:00:00");
    json_t *outputs =
        ingest("{\"source\": \"in/a.csv\", \"timezone\": \"Europe/Berlin\", " TARGET "}", &err);
    assert_non_null(outputs);
    json_decref(outputs);
    char *rows = rows_of("SELECT min(v), max(v) FROM read_parquet('lake/e/dt=1/*.parquet')");
    assert_string_equal(rows, "2026-01-01 11:00:00+00|2026-07-01 10:00:00+00");
    free(rows);
}

/* The manifest has the digests of the files as they lie there, compressed or not. */
static void test_input_digests(void **state)
{
    static const char *const paths[] = {"in/a.csv", "in/b.csv.gz"};
    struct err err = {0};

    (void)state;
    write_long("in/a.csv", "7", "8");
    write_long("in/b.csv", "9", "10");
    assert_int_equal(system("gzip in/b.csv"), 0);
    json_t *outputs = ingest("{\"source\": [\"in/a.csv\", \"in/b.csv.gz\"], " TARGET "}", &err);
    if (outputs == NULL)
        fail_msg("%s", err.message);
    struct dataset *dataset = dataset_open("lake/e/dt=1", &err);
    const json_t *inputs =
        json_object_get(json_object_get(dataset_manifest(dataset, 0), "content"), "inputs");
    assert_int_equal(json_array_size(inputs), 2);
    for (size_t i = 0; i < 2; i++) {
        char sha256[SHA256_HEX_SIZE];
        int64_t bytes = 0;
        const json_t *input = json_array_get(inputs, i);
        assert_true(digest_sha256_file(paths[i], sha256, &bytes, &err));
        assert_string_equal(json_get_string(input, "path", ""), paths[i]);
        assert_string_equal(json_get_string(input, "sha256", ""), sha256);
        assert_int_equal(json_get_int(input, "bytes", 0), bytes);
    }
    dataset_free(dataset);
    json_decref(outputs);
}

/* Enough rows for several row groups and threads: the bytes stay the same. */
static void test_same_bytes_with_threads(void **state)
{
    struct err err = {0};
    static const char options[] = "{\"source\": \"in/*.csv\", \"unique_key\": \"i\", " TARGET
                                  ", \"columns\": {\"i\": \"BIGINT\", \"x\": \"DOUBLE\"}}";
    char version[17] = "";

    run_sql("COPY (SELECT i % 299990 AS i, i * 0.5 AS x FROM range(300000) t(i)) TO 'in/a.csv'");
    run_sql("COPY (SELECT i, 1.5 AS x FROM range(200) t(i)) TO 'in/b.csv'");
    for (int64_t threads = 1; threads <= 2; threads++) {
        assert_true(engine_set_limits(engine, INT64_C(1) << 30, threads, "reports", &err));
        assert_int_equal(system("rm -rf lake lake.millrace"), 0);
        json_t *outputs = ingest(options, &err);
        if (outputs == NULL)
            fail_msg("%s", err.message);
        assert_int_equal(json_get_int(outputs, "rows_in", 0), 300200);
        assert_int_equal(json_get_int(outputs, "duplicates", 0), 210);
        if (threads == 1)
            (void)snprintf(version, sizeof(version), "%s", json_get_string(outputs, "version", ""));
        assert_string_equal(json_get_string(outputs, "version", ""), version);
        json_decref(outputs);
    }
    assert_true(engine_set_limits(engine, INT64_C(1) << 30, 1, "reports", &err));
    (void)state;
}

static int open_all(void **state)
{
    struct err err = {0};

    (void)state;
    engine = engine_open(&err);
    return engine != NULL && mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int close_all(void **state)
{
    struct err err = {0};

    (void)state;
    engine_close(engine);
    return chdir("/") == 0 && fs_remove_tree(folder, &err) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_csv, clear),
        cmocka_unit_test_setup(test_ndjson, clear),
        cmocka_unit_test_setup(test_parquet, clear),
        cmocka_unit_test_setup(test_compressed, clear),
        cmocka_unit_test_setup(test_many_files, clear),
        cmocka_unit_test_setup(test_failures, clear),
        cmocka_unit_test_setup(test_unreadable, clear),
        cmocka_unit_test_setup(test_grows_while_read, clear),
        cmocka_unit_test_setup(test_again, clear),
        cmocka_unit_test_setup(test_unchanged_sources, clear),
        cmocka_unit_test_setup(test_both_ways_agree, clear),
        cmocka_unit_test_setup(test_inferred_by_all, clear),
        cmocka_unit_test_setup(test_inferred_by_all_files, clear),
        cmocka_unit_test_setup(test_inferred_headers_differ, clear),
        cmocka_unit_test_setup(test_nul_bytes, clear),
        cmocka_unit_test_setup(test_inferred_with_filter, clear),
        cmocka_unit_test_setup(test_inferred_zone, clear),
        cmocka_unit_test_setup(test_input_digests, clear),
        cmocka_unit_test_setup(test_same_bytes_with_threads, clear),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
