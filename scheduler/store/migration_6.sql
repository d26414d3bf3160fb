-- Migration 6: more to say of backfills, and the versions of datasets that tasks read and published.
ALTER TABLE backfill ADD COLUMN tasks TEXT;  -- JSON array of task ids and patterns; NULL = all
ALTER TABLE backfill ADD COLUMN upstream INTEGER NOT NULL DEFAULT 0;
ALTER TABLE backfill ADD COLUMN downstream INTEGER NOT NULL DEFAULT 0;
ALTER TABLE backfill ADD COLUMN on_failure TEXT NOT NULL DEFAULT 'continue';
ALTER TABLE backfill ADD COLUMN pause_reason TEXT;
ALTER TABLE backfill ADD COLUMN retry_before INTEGER;
ALTER TABLE backfill ADD COLUMN retry_cursor INTEGER;
ALTER TABLE backfill ADD COLUMN pace INTEGER NOT NULL DEFAULT 0;  -- microseconds per run, smoothed
ALTER TABLE backfill ADD COLUMN paced_at INTEGER;

-- What a retry of a backfill walks: failed runs only, so that a long one costs what failed.
CREATE INDEX run_failed_by_backfill ON run (backfill_id, logical_date)
    WHERE backfill_id IS NOT NULL AND state = 'failed';

-- The versions (digests of their manifests' content) that a task instance read and published, by
-- its last success. A dataset is named by its path with the partition: lake/events/dt=2026-01-01.
CREATE TABLE dataset_use (
    run       INTEGER NOT NULL,
    task      INTEGER NOT NULL,
    map_index INTEGER NOT NULL,
    dataset   TEXT NOT NULL,
    role      TEXT NOT NULL,  -- 'input', 'output'
    version   TEXT NOT NULL,
    PRIMARY KEY (run, task, map_index, dataset, role)
) WITHOUT ROWID;

-- The version that each dataset was last published with, and by which task instance.
CREATE TABLE dataset (
    dataset      TEXT PRIMARY KEY,
    version      TEXT NOT NULL,
    run          INTEGER NOT NULL,
    task         INTEGER NOT NULL,
    map_index    INTEGER NOT NULL,
    published_at INTEGER NOT NULL
) WITHOUT ROWID;
