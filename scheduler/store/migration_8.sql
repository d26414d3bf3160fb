-- Migration 8: updates of assets, what DAGs wait with, and what their runs were made for.
CREATE TABLE asset_event (
    id        INTEGER PRIMARY KEY,
    asset     TEXT NOT NULL,
    at        INTEGER NOT NULL,
    run       INTEGER,           -- the run that made it; NULL = somebody outside
    task      INTEGER,
    map_index INTEGER,
    dag_id    TEXT,
    run_id    TEXT,
    task_id   TEXT,
    partition TEXT NOT NULL,     -- '' = none
    extra     TEXT NOT NULL,
    is_unseen INTEGER NOT NULL   -- by schedulers of all DAGs
);
CREATE INDEX asset_event_by_asset ON asset_event (asset, id);
CREATE INDEX asset_event_unseen ON asset_event (id) WHERE is_unseen = 1;

CREATE TABLE asset_wait (
    dag_id    TEXT NOT NULL,
    partition TEXT NOT NULL,     -- '' where the DAG has one run for all
    event     INTEGER NOT NULL REFERENCES asset_event (id),
    PRIMARY KEY (dag_id, partition, event)
) WITHOUT ROWID;

CREATE TABLE run_asset_event (
    run   INTEGER NOT NULL REFERENCES run (id),
    event INTEGER NOT NULL REFERENCES asset_event (id),
    PRIMARY KEY (run, event)
) WITHOUT ROWID;
