-- canopy/servicing_state.sql: what answers and webhooks have told of servicing actions.
-- State; see progress_state.sql.
--
-- Webhooks and answers tell of different things, so each has a time of its own, and a status the time of whichever told it.

CREATE TABLE canopy_summit.servicing_action (
	server text NOT NULL,
	servicing_action_id canopy_summit.provider_id NOT NULL,
	pull_id text NOT NULL,
	original_pull_id canopy_summit.provider_id,
	type canopy_summit.provider_word,
	payload jsonb,
	status canopy_summit.provider_word,
	validation_error_type canopy_summit.provider_word,
	status_at timestamptz NOT NULL,
	status_hash bytea NOT NULL,
	is_manual boolean,
	document_id canopy_summit.provider_id,
	signed_at timestamptz,
	content_hash bytea,
	confirmation_data jsonb,
	told_at timestamptz,
	listing bigint
);
CREATE UNIQUE INDEX servicing_action_key ON canopy_summit.servicing_action (servicing_action_id text_pattern_ops, server text_pattern_ops);
ALTER TABLE canopy_summit.servicing_action REPLICA IDENTITY USING INDEX servicing_action_key;
COMMENT ON TABLE canopy_summit.servicing_action IS 'newest state of each servicing action';
COMMENT ON COLUMN canopy_summit.servicing_action.pull_id IS 'pull of type SERVICING; empty if nothing has said';
COMMENT ON COLUMN canopy_summit.servicing_action.original_pull_id IS 'pull whose policy is changed';
COMMENT ON COLUMN canopy_summit.servicing_action.type IS 'ADD_MORTGAGEE, EDIT_MORTGAGEE, REMOVE_MORTGAGEE or ADD_VEHICLE';
COMMENT ON COLUMN canopy_summit.servicing_action.payload IS 'what was asked for';
COMMENT ON COLUMN canopy_summit.servicing_action.status_at IS 'when the status was told: signature of the webhook, or start of the request; -infinity: never';
COMMENT ON COLUMN canopy_summit.servicing_action.is_manual IS 'Canopy''s team has taken over';
COMMENT ON COLUMN canopy_summit.servicing_action.signed_at IS 'when the newest webhook about it was signed; NULL: there was none';
COMMENT ON COLUMN canopy_summit.servicing_action.confirmation_data IS 'what the carrier would change';
COMMENT ON COLUMN canopy_summit.servicing_action.told_at IS 'when the newest answer about it was asked for; NULL: there was none';
COMMENT ON COLUMN canopy_summit.servicing_action.listing IS 'task of the newest canopy_sync_servicings() that has found it';

CREATE TABLE canopy_summit.servicing_status (
	webhook_id bigint NOT NULL,
	server text NOT NULL,
	servicing_action_id canopy_summit.provider_id NOT NULL,
	status canopy_summit.provider_word,
	previous_status canopy_summit.provider_word,
	is_manual boolean,
	validation_error_type canopy_summit.provider_word,
	document_id canopy_summit.provider_id,
	signed_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX servicing_status_key ON canopy_summit.servicing_status (webhook_id);
ALTER TABLE canopy_summit.servicing_status REPLICA IDENTITY USING INDEX servicing_status_key;
COMMENT ON TABLE canopy_summit.servicing_status IS 'history of servicing actions as webhooks told it, one a webhook';

CREATE TABLE canopy_summit.servicing_answer (
	server text NOT NULL,
	servicing_action_id canopy_summit.provider_id NOT NULL,
	status canopy_summit.provider_word NOT NULL,
	validation_error_type canopy_summit.provider_word,
	told_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX servicing_answer_key ON canopy_summit.servicing_answer (servicing_action_id text_pattern_ops, status text_pattern_ops,
	server text_pattern_ops);
ALTER TABLE canopy_summit.servicing_answer REPLICA IDENTITY USING INDEX servicing_answer_key;
COMMENT ON TABLE canopy_summit.servicing_answer IS 'statuses of servicing actions that answers told, each once';
COMMENT ON COLUMN canopy_summit.servicing_answer.told_at IS 'start of the first request whose answer told it';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.servicing_action', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.servicing_status', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.servicing_answer', '');
