-- Migration 1. Times are microseconds since 1970 UTC, NULL = none (0 in the rows of rows.h).
-- States and enums are stored by name. Rows of one run lie together: WITHOUT ROWID, run first.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,  -- 'instance', 'epoch'
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE dag (
    dag_id         TEXT PRIMARY KEY,
    file           TEXT NOT NULL,
    is_paused      INTEGER NOT NULL,
    is_stale       INTEGER NOT NULL,
    version_id     INTEGER NOT NULL,
    version_number INTEGER NOT NULL,
    last_tick      INTEGER,
    next_start     INTEGER,
    next_end       INTEGER,
    parsed_at      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE version (
    id         INTEGER PRIMARY KEY,
    dag_id     TEXT NOT NULL,
    number     INTEGER NOT NULL,
    hash       TEXT NOT NULL,
    file       TEXT NOT NULL,
    source     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (dag_id, number)
);

CREATE TABLE run (
    id             INTEGER PRIMARY KEY,
    dag_id         TEXT NOT NULL,
    run_id         TEXT NOT NULL,
    version_id     INTEGER NOT NULL,
    run_type       TEXT NOT NULL,
    state          TEXT NOT NULL,
    triggered_by   TEXT NOT NULL,
    logical_date   INTEGER,
    interval_start INTEGER,
    interval_end   INTEGER,
    run_after      INTEGER NOT NULL,
    queued_at      INTEGER,
    started_at     INTEGER,
    ended_at       INTEGER,
    backfill_id    INTEGER,
    clear_number   INTEGER NOT NULL,
    conf           TEXT NOT NULL,
    note           TEXT,
    reason         TEXT,
    updated_at     INTEGER NOT NULL,
    UNIQUE (dag_id, run_id),
    UNIQUE (dag_id, logical_date)
);
CREATE INDEX run_live ON run (state) WHERE state IN ('queued', 'running');
CREATE INDEX run_by_dag ON run (dag_id, run_after);
CREATE INDEX run_by_backfill ON run (backfill_id) WHERE backfill_id IS NOT NULL;

CREATE TABLE task_instance (
    run          INTEGER NOT NULL REFERENCES run (id),
    task         INTEGER NOT NULL,  -- index in the run's DAG version
    map_index    INTEGER NOT NULL,
    task_id      TEXT NOT NULL,
    state        TEXT NOT NULL,     -- 'none' included
    try_number   INTEGER NOT NULL,
    max_tries    INTEGER NOT NULL,
    scheduled_at INTEGER,
    queued_at    INTEGER,
    started_at   INTEGER,
    ended_at     INTEGER,
    retry_at     INTEGER,
    reason       TEXT,
    PRIMARY KEY (run, task, map_index)
) WITHOUT ROWID;

CREATE TABLE attempt (
    run        INTEGER NOT NULL,
    task       INTEGER NOT NULL,
    map_index  INTEGER NOT NULL,
    try_number INTEGER NOT NULL,
    token      TEXT NOT NULL,
    state      TEXT NOT NULL,
    worker     TEXT NOT NULL,
    pid        INTEGER,
    queued_at  INTEGER,
    started_at INTEGER,
    ended_at   INTEGER,
    exit_code  INTEGER,
    signal     INTEGER,
    outcome    TEXT,
    reason     TEXT,
    rendered   TEXT NOT NULL,
    outputs    TEXT,
    PRIMARY KEY (run, task, map_index, try_number)
) WITHOUT ROWID;

-- Every change of state, append-only: the source of `explain`, of the page's live stream (its event
-- id is seq), and of the time line. task is NULL for changes of the run itself.
CREATE TABLE transition (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    run        INTEGER NOT NULL,
    task       INTEGER,
    map_index  INTEGER,
    try_number INTEGER,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    reason     TEXT
);
CREATE INDEX transition_by_run ON transition (run, seq);

CREATE TABLE backfill (
    id              INTEGER PRIMARY KEY,
    dag_id          TEXT NOT NULL,
    from_date       INTEGER NOT NULL,
    to_date         INTEGER NOT NULL,
    run_backwards   INTEGER NOT NULL,
    is_paused       INTEGER NOT NULL,
    reprocess       TEXT NOT NULL,
    max_active_runs INTEGER NOT NULL,
    conf            TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    completed_at    INTEGER,
    cursor          INTEGER,
    total           INTEGER NOT NULL,
    made            INTEGER NOT NULL,
    skipped         INTEGER NOT NULL,
    succeeded       INTEGER NOT NULL,
    failed          INTEGER NOT NULL,
    cancelled       INTEGER NOT NULL
);
CREATE INDEX backfill_by_dag ON backfill (dag_id, id);

CREATE TABLE import_error (
    id       INTEGER PRIMARY KEY,
    file     TEXT NOT NULL UNIQUE,
    at       INTEGER NOT NULL,
    report   TEXT NOT NULL,   -- the findings as `millrace check` prints them
    findings TEXT NOT NULL    -- the same as JSON
);

-- Answers to changes that carried an Idempotency-Key, stored with their effect.
CREATE TABLE idempotency (
    key        TEXT PRIMARY KEY,
    body_hash  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    status     INTEGER NOT NULL,
    response   TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE pool (
    name        TEXT PRIMARY KEY,
    slots       INTEGER NOT NULL,
    description TEXT
) WITHOUT ROWID;
