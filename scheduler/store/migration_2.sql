-- Migration 2: attempts whose worker was told to end them, and why. Their end is waited for also
-- when their run is over, so that recovery finds them without reading all runs.
ALTER TABLE attempt ADD COLUMN stop_reason TEXT;
CREATE INDEX attempt_stopping ON attempt (run) WHERE stop_reason IS NOT NULL AND ended_at IS NULL;
