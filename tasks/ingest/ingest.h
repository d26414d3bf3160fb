/* Ingest: raw files in, one published Parquet partition out. What its files share.
 *
 * The way through: list the files (files.c), look at each once outside DuckDB for its digest, its
 * header, its number of records and merge markers (survey.c), map headers to the target's columns
 * (match.c), then load. The quick way (quick.c) is one COPY that refuses any doubt; when it
 * refuses, the careful way (careful.c) splits records itself, converts each value with a reason,
 * and sends bad rows to the rejects (rejects.c). Last duplicates go (dedupe.c), and run.c
 * publishes. Both ways give the same rows for the same file. */
#ifndef MILLRACE_TASKS_INGEST_H
#define MILLRACE_TASKS_INGEST_H

#include "base/arena.h"
#include "base/digest.h"
#include "millrace/attempt.h"
#include "tasks/publish/publish.h"

#include <sys/stat.h>

enum ingest_format { INGEST_CSV, INGEST_NDJSON, INGEST_PARQUET };

/* One column of the target. */
struct ingest_column {
    const char *name;
    const char *type;       /* as DuckDB spells it; NULL = as it is in the Parquet source */
    const json_t *from;     /* former names, an array; may be NULL */
    const json_t *formats;  /* strptime formats, an array; may be NULL */
    const json_t *fallback; /* value where the source has none; may be NULL */
    bool nullable;
    bool optional;       /* may be missing from a file */
    const char *derived; /* the constant text of a column that no file has; else NULL */
    const char *sniffed; /* inferred: the type as DuckDB's sniffer has it; else NULL */
    const char *guess;   /* the SQL function that proves a guessed type; may be NULL */
};

struct ingest_file {
    const char *path;
    struct stat before;
    char sha256[SHA256_HEX_SIZE];
    int64_t records;     /* without the header; by the survey */
    bool plain;          /* nothing in it needs the careful way, as far as the survey saw */
    struct str *header;  /* CSV, Parquet: names of the fields, trimmed */
    size_t header_count; /* 0: no header */
    size_t *field_of;    /* per target column: 1 + the field's index; 0 = none */
};

struct ingest_reject {
    size_t file;
    int64_t line;
    char *text; /* its JSON line; owned */
};

struct ingest {
    struct attempt *attempt;
    struct arena arena;
    enum ingest_format format;
    bool has_header;
    char delimiter;
    char quote;
    const json_t *null_values; /* an array of strings */
    const json_t *names;       /* of fields without a header; may be NULL */
    json_t *rename;            /* old → new; may be NULL */
    const char *timezone;      /* of times without an offset */
    const char *filter;        /* may be NULL */

    struct ingest_column *columns;
    size_t column_count;
    bool declared; /* the columns are the DAG's, not inferred */
    bool guessed;  /* their types are those of the source's beginning, not yet proven */

    struct ingest_file *files;
    size_t file_count;
    json_t *owned;   /* lists made here, as long as the plan lives */
    json_t *ignored; /* names of fields that no column takes, sorted; for the manifest */

    struct ingest_reject *rejects;
    size_t reject_count;
    size_t reject_capacity;

    struct publication *publication;
    int64_t rows_in;
    int64_t rows_out;
    int64_t duplicates;
    int64_t filtered;
};

#define INGEST_PART "part-000.parquet"

/* Options (plan.c): fills format, columns and the rest from attempt->options. */
bool ingest_plan(struct ingest *ingest, struct err *err);
struct ingest_column *ingest_add_column(struct ingest *ingest, const char *name);

/* Files (files.c). ERR_NOT_FOUND when none matches. */
bool files_list(struct ingest *ingest, struct err *err);
bool files_are_unchanged(const struct ingest *ingest, struct err *err);
const char *file_type_of(const char *path); /* extension without .gz and .zst: "csv" */

/* Survey (survey.c): digest, header, records and merge markers of each file. */
bool survey_files(struct ingest *ingest, struct err *err);
bool line_is_merge_marker(struct str line);
bool fail_for_marker(const char *path, int64_t line, struct str text, struct err *err);

/* Columns: inferred where none are declared (infer.c), then found in each file (match.c). */
bool infer_columns(struct ingest *ingest, struct err *err);
bool infer_again(struct ingest *ingest, struct err *err); /* after a wrong guess; matches too */
bool match_files(struct ingest *ingest, struct err *err);

/* SQL (sql.c). `field` is an expression for the field's text (or value, for Parquet); the careful
 * value is NULL where it can't be converted, the quick one raises an error. */
void sql_add_value(const struct ingest *ingest, const struct ingest_column *column,
                   const char *field, struct buf *sql);
void sql_add_quick_value(const struct ingest *ingest, const struct ingest_column *column,
                         const char *field, struct buf *sql);
const char *sql_quick_type(const struct ingest_column *column);
void sql_add_strings(const json_t *texts, struct buf *sql); /* ['a', 'b'] */
void sql_add_copy(const struct ingest *ingest, const char *query, const char *name,
                  struct buf *sql);

/* The quick way. *ret_done is false, without an error, when the careful way has to be taken. */
bool quick_load(struct ingest *ingest, bool *ret_done, struct err *err);

/* Appends read_csv(…) over the files [from, to) of one header; its columns are c0, c1, … */
void quick_add_reader(const struct ingest *ingest, size_t from, size_t to, struct buf *sql);
#define INGEST_TABLE "millrace_source"

/* Fills INGEST_TABLE (f: file, l: line, raw, and for CSV c0, c1, …: the columns' texts) with the
 * records that can be split, and rejects the others; counts all of them in rows_in. */
bool table_fill(struct ingest *ingest, struct err *err);
bool careful_load(struct ingest *ingest, struct err *err);

/* Removes duplicates from the staged file; the latest by order_by wins, then the last read. */
bool dedupe(struct ingest *ingest, struct err *err);

/* Rejects. `value`, `column` and `raw` may be empty. */
struct reject_detail {
    const char *column;
    struct str value;
    bool has_value;
    const char *reason;
    struct str raw;
};

bool reject_add(struct ingest *ingest, size_t file, int64_t line,
                const struct reject_detail *detail, struct err *err);

/* Fails (ERR_FINDINGS) when there are more than the options allow, leaving them in the attempt's
 * folder; else publishes them beside the lake. */
bool rejects_publish(struct ingest *ingest, struct err *err);
void rejects_release(struct ingest *ingest);

/* Reading bytes through gzip and zstd (reader.c): a window that reader_fill() makes longer. */
struct reader;

struct reader *reader_open(const char *path, struct err *err);
void reader_close(struct reader *reader);

/* Digests the file's bytes as they are read, which saves reading them twice; right after opening.
 * False, and nothing is digested, when what is read is not what the file holds. The digest is
 * there to take at the end of the file. */
bool reader_hash(struct reader *reader);
void reader_end_hash(struct reader *reader, char out[SHA256_HEX_SIZE]);
bool reader_fill(struct reader *reader,
                 struct err *err); /* at the end, sets what reader_at_end() tells */
bool reader_at_end(const struct reader *reader);
struct str reader_window(const struct reader *reader);
void reader_consume(struct reader *reader, size_t len);
bool reader_skip_bom(struct reader *reader, const char *path, struct err *err);

/* CSV records (csv.c), RFC 4180 with any line ends. */
#define RECORD_BYTES_MAX ((size_t)4 << 20)

struct record {
    struct buf text; /* the fields' bytes, one after the other */
    size_t *ends;    /* where each field ends in `text` */
    size_t count;
    size_t capacity;
    size_t consumed;     /* bytes of the window, with the line end */
    size_t raw_len;      /* without it */
    int64_t lines;       /* line ends consumed */
    const char *problem; /* NULL: the record is fine */
};

/* Reads the record at the window's beginning. False: the window holds no whole record yet. */
bool record_parse(struct record *record, struct str window, bool at_end, char delimiter,
                  char quote);
struct str record_field(const struct record *record, size_t field);
void record_release(struct record *record);

#endif
