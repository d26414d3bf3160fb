-- Migration 9: callbacks, and which deadlines a run has missed.
ALTER TABLE run ADD COLUMN deadlines_missed INTEGER NOT NULL DEFAULT 0;

CREATE TABLE callback (
    id          INTEGER PRIMARY KEY,
    dag_id      TEXT NOT NULL,
    run         INTEGER NOT NULL,
    task_id     TEXT,             -- NULL = of the run
    map_index   INTEGER NOT NULL,
    event       TEXT NOT NULL,
    state       TEXT NOT NULL,
    kind        TEXT NOT NULL,
    options     TEXT NOT NULL,    -- rendered; secrets as references
    document    TEXT NOT NULL,
    tries       INTEGER NOT NULL,
    max_tries   INTEGER NOT NULL,
    retry_delay INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    next_at     INTEGER,
    ended_at    INTEGER,
    token       TEXT,
    worker      TEXT,
    reason      TEXT
);
CREATE INDEX callback_open ON callback (id) WHERE state IN ('pending', 'running');
CREATE INDEX callback_by_run ON callback (run, id);
