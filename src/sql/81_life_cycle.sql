-- 81_life_cycle.sql: what webhooks have told: of pulls, monitorings, servicings and policies.
-- State.
--
-- Deliveries come in any order and more than once, so every row keeps what the
-- newest event said: by sequence or by the time in the signature at Canopy, by
-- occurred_at at Summit. Whatever the order, the end is the same.

CREATE TABLE canopy_summit.pull_progress (
	server text NOT NULL,
	pull_id text NOT NULL,
	pull_type text,
	account_identifier canopy_summit.personal_text,
	initial_pull_id text,
	monitoring_id text,
	last_event text NOT NULL,
	last_status text,
	last_event_at timestamptz NOT NULL,
	last_event_hash bytea NOT NULL,
	policies_at timestamptz,
	completed_at timestamptz,
	error_type text,
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
	auth_status text NOT NULL,
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

CREATE TABLE canopy_summit.reconnect (
	server text NOT NULL,
	pull_id text NOT NULL,
	initial_pull_id text,
	monitoring_id text,
	auth_status text,
	reconnect_url text,
	reconnect_token text,
	signed_at timestamptz NOT NULL,
	content_hash bytea NOT NULL
);
CREATE UNIQUE INDEX reconnect_key ON canopy_summit.reconnect (pull_id text_pattern_ops, server text_pattern_ops);
ALTER TABLE canopy_summit.reconnect REPLICA IDENTITY USING INDEX reconnect_key;
COMMENT ON TABLE canopy_summit.reconnect IS 'pulls of a monitoring that the consumer has to log in for; see view canopy.reconnect_needed';

CREATE TABLE canopy_summit.monitoring (
	server text NOT NULL,
	monitoring_id text NOT NULL,
	initial_pull_id text,
	latest_pull_id text,
	latest_at timestamptz NOT NULL,
	latest_hash bytea NOT NULL
);
CREATE UNIQUE INDEX monitoring_key ON canopy_summit.monitoring (monitoring_id text_pattern_ops, server text_pattern_ops);
ALTER TABLE canopy_summit.monitoring REPLICA IDENTITY USING INDEX monitoring_key;
COMMENT ON TABLE canopy_summit.monitoring IS 'monitorings that webhooks have named';
COMMENT ON COLUMN canopy_summit.monitoring.latest_pull_id IS 'pull of the newest webhook that named it';

CREATE TABLE canopy_summit.monitoring_event (
	webhook_id bigint NOT NULL,
	ordinal integer NOT NULL,
	server text NOT NULL,
	monitoring_id text,
	pull_id text NOT NULL,
	type text,
	changes jsonb,
	documents jsonb,
	signed_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX monitoring_event_key ON canopy_summit.monitoring_event (webhook_id, ordinal);
ALTER TABLE canopy_summit.monitoring_event REPLICA IDENTITY USING INDEX monitoring_event_key;
COMMENT ON TABLE canopy_summit.monitoring_event IS 'changes that a monitoring has found; a webhook names one or a list of them';

CREATE TABLE canopy_summit.servicing_action (
	server text NOT NULL,
	servicing_action_id text NOT NULL,
	pull_id text NOT NULL,
	original_pull_id text,
	status text,
	is_manual boolean,
	validation_error_type text,
	document_id text,
	signed_at timestamptz NOT NULL,
	content_hash bytea NOT NULL
);
CREATE UNIQUE INDEX servicing_action_key ON canopy_summit.servicing_action (servicing_action_id text_pattern_ops, server text_pattern_ops);
ALTER TABLE canopy_summit.servicing_action REPLICA IDENTITY USING INDEX servicing_action_key;
COMMENT ON TABLE canopy_summit.servicing_action IS 'newest state of each servicing action';
COMMENT ON COLUMN canopy_summit.servicing_action.is_manual IS 'Canopy''s team has taken over';

CREATE TABLE canopy_summit.servicing_status (
	webhook_id bigint NOT NULL,
	server text NOT NULL,
	servicing_action_id text NOT NULL,
	status text,
	previous_status text,
	is_manual boolean,
	validation_error_type text,
	document_id text,
	signed_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX servicing_status_key ON canopy_summit.servicing_status (webhook_id);
ALTER TABLE canopy_summit.servicing_status REPLICA IDENTITY USING INDEX servicing_status_key;
COMMENT ON TABLE canopy_summit.servicing_status IS 'history of servicing actions, one a webhook';

CREATE TABLE canopy_summit.data_update (
	webhook_id bigint NOT NULL,
	ordinal integer NOT NULL,
	server text NOT NULL,
	pull_id text NOT NULL,
	type text,
	data jsonb,
	signed_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX data_update_key ON canopy_summit.data_update (webhook_id, ordinal);
ALTER TABLE canopy_summit.data_update REPLICA IDENTITY USING INDEX data_update_key;
COMMENT ON TABLE canopy_summit.data_update IS 'what consumers have edited: drivers, contact, demographics, answers';

CREATE TABLE canopy_summit.document_validation (
	server text NOT NULL,
	document_validation_id text NOT NULL,
	pull_id text NOT NULL,
	status text,
	completed_at timestamptz,
	signed_at timestamptz NOT NULL,
	content_hash bytea NOT NULL
);
CREATE UNIQUE INDEX document_validation_key ON canopy_summit.document_validation (document_validation_id text_pattern_ops, server text_pattern_ops);
ALTER TABLE canopy_summit.document_validation REPLICA IDENTITY USING INDEX document_validation_key;
COMMENT ON TABLE canopy_summit.document_validation IS 'verdicts on uploaded documents';

CREATE SEQUENCE canopy_summit.policy_status_id_seq;
COMMENT ON SEQUENCE canopy_summit.policy_status_id_seq IS 'keys of canopy_summit.policy_status';

CREATE TABLE canopy_summit.policy_status (
	policy_status_id bigint NOT NULL,
	server text NOT NULL,
	environment text NOT NULL,
	policy_number text NOT NULL,
	holder_name text,
	property_id text,
	unit_id text,
	lease_id text,
	tenant_id text,
	status text NOT NULL,
	status_at timestamptz NOT NULL,
	policy_type text,
	effective_date date,
	expiry_date date,
	reason_code text,
	reason_detail text,
	verified_at timestamptz,
	lapsed_at timestamptz,
	reinstated_at timestamptz,
	coi_pdf_id text,
	upload_id bigint
);
CREATE UNIQUE INDEX policy_status_key ON canopy_summit.policy_status (policy_status_id);
ALTER TABLE canopy_summit.policy_status REPLICA IDENTITY USING INDEX policy_status_key;
CREATE INDEX policy_status_policy_number ON canopy_summit.policy_status (policy_number text_pattern_ops, server text_pattern_ops);
COMMENT ON TABLE canopy_summit.policy_status IS 'certificates as Summit''s webhooks say they are now: one row a policy and holder';
COMMENT ON COLUMN canopy_summit.policy_status.status IS 'submitted, verified, lapsed or reinstated: of the event that occurred last';
COMMENT ON COLUMN canopy_summit.policy_status.upload_id IS 'newest upload of the same policy and holder';

CREATE TABLE canopy_summit.status_event (
	webhook_id bigint NOT NULL,
	policy_status_id bigint NOT NULL,
	server text NOT NULL,
	delivery_id text NOT NULL,
	status text NOT NULL,
	occurred_at timestamptz NOT NULL,
	observed_at timestamptz,
	actor text,
	verifier text,
	reason_code text,
	reason_detail text,
	checks jsonb,
	holder_name text,
	policy_type text,
	effective_date date,
	expiry_date date,
	coi_pdf_id text
);
CREATE UNIQUE INDEX status_event_key ON canopy_summit.status_event (webhook_id);
ALTER TABLE canopy_summit.status_event REPLICA IDENTITY USING INDEX status_event_key;
CREATE INDEX status_event_policy ON canopy_summit.status_event (policy_status_id);
COMMENT ON TABLE canopy_summit.status_event IS 'history of canopy_summit.policy_status, one a webhook';
COMMENT ON COLUMN canopy_summit.status_event.observed_at IS 'when it was verified, lapsed or reinstated';
COMMENT ON COLUMN canopy_summit.status_event.actor IS 'carrier, broker or system: from verifier';
COMMENT ON COLUMN canopy_summit.status_event.expiry_date IS 'of a reinstated one the new';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.pull_progress', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.auth_status', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.reconnect', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.monitoring', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.monitoring_event', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.servicing_action', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.servicing_status', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.data_update', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.document_validation', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.policy_status_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.policy_status', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.status_event', '');
