-- Migration 7: retention. Runs whose row was removed and whose other rows are being removed.
CREATE TABLE pruned (
    run INTEGER PRIMARY KEY
);
CREATE INDEX idempotency_by_time ON idempotency (created_at);
