-- canopy/progress_state.sql: what webhooks have told: of pulls, monitorings, servicings and policies.
-- State.
--
-- Deliveries come in any order and more than once, so every row keeps what the
-- newest event said: by sequence or by the time in the signature at Canopy, by
-- occurred_at at Summit. Whatever the order, the end is the same.

CREATE TABLE canopy_summit.pull_progress (
	server text NOT NULL,
	pull_id text NOT NULL,
	pull_type canopy_summit.provider_word,
	account_identifier canopy_summit.personal_text,
	initial_pull_id canopy_summit.provider_id,
	monitoring_id canopy_summit.provider_id,
	last_event canopy_summit.provider_word NOT NULL,
	last_status canopy_summit.provider_word,
	last_event_at timestamptz NOT NULL,
	last_event_hash bytea NOT NULL,
	policies_at timestamptz,
	completed_at timestamptz,
	error_type canopy_summit.provider_word,
	error_at timestamptz,
	first_event_at timestamptz NOT NULL,
	logged_in_at timestamptz,
	data_at timestamptz
);
CREATE UNIQUE INDEX pull_progress_key ON canopy_summit.pull_progress (pull_id text_pattern_ops, server text_pattern_ops);
CREATE INDEX pull_progress_monitoring ON canopy_summit.pull_progress (monitoring_id text_pattern_ops, server text_pattern_ops)
	WHERE monitoring_id IS NOT NULL;
ALTER TABLE canopy_summit.pull_progress REPLICA IDENTITY USING INDEX pull_progress_key;
COMMENT ON TABLE canopy_summit.pull_progress IS 'how far Canopy''s webhooks say that a pull is';
COMMENT ON COLUMN canopy_summit.pull_progress.last_status IS 'status of the pull in the newest event';
COMMENT ON COLUMN canopy_summit.pull_progress.policies_at IS 'first POLICIES_AVAILABLE';
COMMENT ON COLUMN canopy_summit.pull_progress.completed_at IS 'first COMPLETE';
COMMENT ON COLUMN canopy_summit.pull_progress.error_type IS 'of the newest ERROR: PROVIDER_ERROR is an end, INTERNAL_ERROR may be followed by more';
COMMENT ON COLUMN canopy_summit.pull_progress.logged_in_at IS 'newest AUTH_STATUS that says SUCCESS';
COMMENT ON COLUMN canopy_summit.pull_progress.data_at IS 'newest POLICIES_AVAILABLE or COMPLETE';

CREATE TABLE canopy_summit.auth_status (
	server text NOT NULL,
	pull_id text NOT NULL,
	sequence bigint,
	auth_status canopy_summit.provider_word NOT NULL,
	login_error_message canopy_summit.personal_text,
	login_error_html canopy_summit.personal_text,
	mfa_options jsonb,
	signed_at timestamptz NOT NULL,
	content_hash bytea NOT NULL
);
CREATE UNIQUE INDEX auth_status_key ON canopy_summit.auth_status (pull_id text_pattern_ops, server text_pattern_ops);
ALTER TABLE canopy_summit.auth_status REPLICA IDENTITY USING INDEX auth_status_key;
COMMENT ON TABLE canopy_summit.auth_status IS 'state of the login to a carrier; moves only forward by sequence';
COMMENT ON COLUMN canopy_summit.auth_status.login_error_message IS 'as the carrier words it; may be HTML and hostile';
COMMENT ON COLUMN canopy_summit.auth_status.login_error_html IS 'the same through canopy_summit.sanitize_html()';
COMMENT ON COLUMN canopy_summit.auth_status.mfa_options IS 'keys are what POST idvoptions takes as optionKey';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.pull_progress', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.auth_status', '');
