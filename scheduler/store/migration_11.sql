-- Migration 11: retention asks of an update, and of a version of a DAG, whether anything needs it.
CREATE INDEX asset_wait_by_event ON asset_wait (event);
CREATE INDEX run_asset_event_by_event ON run_asset_event (event);
CREATE INDEX run_by_version ON run (version_id);
