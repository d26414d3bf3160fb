-- Migration 10: backfills whose runs don't take an unchanged output for the work.
ALTER TABLE backfill ADD COLUMN is_forced INTEGER NOT NULL DEFAULT 0;
