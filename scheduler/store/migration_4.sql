-- Migration 4: sensors. A try's attempt is opened again for each poke; these tell how long and how
-- often.
ALTER TABLE task_instance ADD COLUMN wait_since INTEGER;
ALTER TABLE task_instance ADD COLUMN pokes INTEGER NOT NULL DEFAULT 0;
