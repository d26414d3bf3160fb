-- Migration 5: runs whose tasks are to work even where nothing has changed.
ALTER TABLE run ADD COLUMN is_forced INTEGER NOT NULL DEFAULT 0;
