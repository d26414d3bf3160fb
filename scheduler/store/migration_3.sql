-- Migration 3: why a running run is going to end as failed; why a DAG was paused by the scheduler,
-- and the failures in a row that lead there.
ALTER TABLE run ADD COLUMN doom TEXT;
ALTER TABLE dag ADD COLUMN failed_in_row INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dag ADD COLUMN pause_reason TEXT;
