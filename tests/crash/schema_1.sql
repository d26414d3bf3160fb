-- A database of schema 1, as the first version with a schema made it, with a live run, a finished one and a backfill.
-- upgrade.c opens it with the program of today. Never changed.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
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
    task         INTEGER NOT NULL,
    map_index    INTEGER NOT NULL,
    task_id      TEXT NOT NULL,
    state        TEXT NOT NULL,
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
    report   TEXT NOT NULL,
    findings TEXT NOT NULL
);
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
INSERT INTO meta VALUES ('instance', '0123456789abcdef'), ('epoch', '7');
INSERT INTO dag VALUES ('etl', 'etl.yaml', 0, 0, 2, 2, 1767225600000000, 1767225600000000, 1767312000000000, 1767225600000001);
INSERT INTO version VALUES
    (1, 'etl', 1, 'aaaa', 'etl.yaml', 'dag_id: etl
tasks: {extract: {type: noop}}
', 1767225600000000),
    (2, 'etl', 2, 'bbbb', 'etl.yaml', 'dag_id: etl
tasks: {extract: {type: noop}, load: {type: noop, depends_on: [extract]}}
', 1767225600000000);
INSERT INTO run VALUES
    (1, 'etl', 'manual__1', 1, 'manual', 'success', 'cli', NULL, NULL, NULL, 11, 11, 12, 13, NULL, 0, '{"a":1}', 'a note', NULL, 13),
    (2, 'etl', 'backfill__2', 2, 'backfill', 'running', 'backfill', 1767225600000000, 1767225600000000, 1767312000000000, 21, 21, 22, NULL, 1, 0, '{}', NULL, NULL, 22);
INSERT INTO task_instance VALUES
    (1, 0, -1, 'extract', 'success', 1, 0, 11, 12, 12, 13, NULL, NULL),
    (2, 0, -1, 'extract', 'running', 1, 0, 21, 22, 22, NULL, NULL, NULL),
    (2, 1, -1, 'load', 'none', 0, 0, NULL, NULL, NULL, NULL, NULL, 'waiting_for: extract');
INSERT INTO attempt VALUES
    (1, 0, -1, 1, '0123456789abcdef-6-1', 'success', 'w-1', 17, 12, 12, 13, 0, NULL, 'success', NULL, '{"options":{},"env":{}}', '{"rows":3}'),
    (2, 0, -1, 1, '0123456789abcdef-7-1', 'running', 'w-2', 18, 22, 22, NULL, NULL, NULL, NULL, NULL, '{"options":{},"env":{}}', NULL);
INSERT INTO transition VALUES
    (1, 11, 1, NULL, NULL, NULL, 'none', 'queued', NULL),
    (2, 13, 1, NULL, NULL, NULL, 'running', 'success', NULL),
    (3, 22, 2, 0, -1, 1, 'queued', 'running', 'a reason');
INSERT INTO backfill VALUES (1, 'etl', 1767225600000000, 1769904000000000, 0, 0, 'none', 2, '{}', 20, 21, NULL, 1767312000000000, 32, 1, 0, 0, 0, 0);
INSERT INTO import_error VALUES (1, 'broken.yaml', 5, 'a report', '[]');
INSERT INTO idempotency VALUES ('key', 'hash', 5, 200, '{}');
INSERT INTO pool VALUES ('default_pool', 128, 'Default pool');
PRAGMA user_version = 1;
PRAGMA application_id = 1296847427;
