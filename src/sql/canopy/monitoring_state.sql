-- canopy/monitoring_state.sql: what answers have told of monitorings, and webhooks of them, of edits and documents.
-- State; see progress_state.sql.

CREATE TABLE canopy_summit.reconnect (
	server text NOT NULL,
	pull_id text NOT NULL,
	initial_pull_id canopy_summit.provider_id,
	monitoring_id canopy_summit.provider_id,
	auth_status canopy_summit.provider_word,
	reconnect_url canopy_summit.personal_text,
	reconnect_token canopy_summit.personal_text,
	signed_at timestamptz NOT NULL,
	content_hash bytea NOT NULL
);
CREATE UNIQUE INDEX reconnect_key ON canopy_summit.reconnect (pull_id text_pattern_ops, server text_pattern_ops);
ALTER TABLE canopy_summit.reconnect REPLICA IDENTITY USING INDEX reconnect_key;
COMMENT ON TABLE canopy_summit.reconnect IS 'pulls of a monitoring that the consumer has to log in for; see view canopy.reconnect_needed';

CREATE TABLE canopy_summit.monitoring (
	server text NOT NULL,
	monitoring_id canopy_summit.provider_id NOT NULL,
	initial_pull_id canopy_summit.provider_id,
	latest_pull_id text,
	latest_at timestamptz NOT NULL,
	latest_hash bytea NOT NULL,
	status canopy_summit.provider_word,
	every interval,
	next_pull_date timestamptz,
	stop_after_date timestamptz,
	told_at timestamptz,
	listing bigint
);
CREATE UNIQUE INDEX monitoring_key ON canopy_summit.monitoring (monitoring_id text_pattern_ops, server text_pattern_ops);
ALTER TABLE canopy_summit.monitoring REPLICA IDENTITY USING INDEX monitoring_key;
COMMENT ON TABLE canopy_summit.monitoring IS 'monitorings that webhooks have named, and what answers have told of them';
COMMENT ON COLUMN canopy_summit.monitoring.latest_pull_id IS 'pull of the newest webhook or answer that named it';
COMMENT ON COLUMN canopy_summit.monitoring.told_at IS 'when the newest answer with its status was asked for; NULL: none has told it';
COMMENT ON COLUMN canopy_summit.monitoring.listing IS 'task of the newest canopy_sync_monitorings() that has found it';

-- An event has no id: it is what it says of which pull.
CREATE TABLE canopy_summit.monitoring_event (
	server text NOT NULL,
	monitoring_id canopy_summit.provider_id NOT NULL,
	pull_id text NOT NULL,
	type canopy_summit.provider_word NOT NULL,
	changes_hash bytea NOT NULL,
	changes jsonb,
	documents jsonb,
	told_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX monitoring_event_key ON canopy_summit.monitoring_event (monitoring_id text_pattern_ops, pull_id text_pattern_ops,
	type text_pattern_ops, changes_hash, server text_pattern_ops);
ALTER TABLE canopy_summit.monitoring_event REPLICA IDENTITY USING INDEX monitoring_event_key;
COMMENT ON TABLE canopy_summit.monitoring_event IS 'changes that a monitoring has found, as webhooks and answers tell of them';
COMMENT ON COLUMN canopy_summit.monitoring_event.pull_id IS 'pull that found it; empty if nothing says';
COMMENT ON COLUMN canopy_summit.monitoring_event.changes_hash IS 'SHA-256 of changes as text';
COMMENT ON COLUMN canopy_summit.monitoring_event.told_at IS 'when it was told first';

CREATE TABLE canopy_summit.data_update (
	webhook_id bigint NOT NULL,
	ordinal integer NOT NULL,
	server text NOT NULL,
	pull_id text NOT NULL,
	type canopy_summit.provider_word,
	data jsonb,
	signed_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX data_update_key ON canopy_summit.data_update (webhook_id, ordinal);
ALTER TABLE canopy_summit.data_update REPLICA IDENTITY USING INDEX data_update_key;
COMMENT ON TABLE canopy_summit.data_update IS 'what consumers have edited: drivers, contact, demographics, answers';

CREATE TABLE canopy_summit.document_validation (
	server text NOT NULL,
	document_validation_id canopy_summit.provider_id NOT NULL,
	pull_id text NOT NULL,
	status canopy_summit.provider_word,
	completed_at timestamptz,
	signed_at timestamptz NOT NULL,
	content_hash bytea NOT NULL
);
CREATE UNIQUE INDEX document_validation_key ON canopy_summit.document_validation (document_validation_id text_pattern_ops, server text_pattern_ops);
ALTER TABLE canopy_summit.document_validation REPLICA IDENTITY USING INDEX document_validation_key;
COMMENT ON TABLE canopy_summit.document_validation IS 'verdicts on uploaded documents';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.reconnect', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.monitoring', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.monitoring_event', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.data_update', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.document_validation', '');
