-- summit/upload_state.sql: uploads of certificates to Summit.
-- State.
--
-- App code writes payload, coi, content_type, server and idempotency_key; the
-- trigger checks them and fills the engine's columns. A row that comes with its
-- upload_id is a restored one and is kept as it is.

CREATE SEQUENCE canopy_summit.upload_id_seq;
COMMENT ON SEQUENCE canopy_summit.upload_id_seq IS 'keys of summit.upload';

CREATE TABLE summit.upload (
	upload_id bigint NOT NULL,
	payload jsonb,
	coi bytea,
	content_type text,
	server text NOT NULL,
	idempotency_key canopy_summit.provider_id,
	owner name NOT NULL,
	status text NOT NULL,
	job_id bigint,
	summit_job_id canopy_summit.provider_id,
	request_hash bytea,
	policy_number canopy_summit.personal_text,
	policy_type text,
	insurer_name text,
	effective_date date,
	expiry_date date,
	holder_name canopy_summit.personal_text,
	property_id text,
	unit_id text,
	lease_id text,
	tenant_id text,
	coi_url text,
	coi_sha256 text,
	source_table text,
	source_key jsonb,
	error_code canopy_summit.provider_word,
	error_field canopy_summit.provider_word,
	error_message canopy_summit.personal_text,
	correlation_id canopy_summit.provider_id,
	uploaded_at timestamptz NOT NULL,
	accepted_at timestamptz,
	finished_at timestamptz,
	server_oid oid,
	owner_oid oid,
	instance bigint
);
CREATE UNIQUE INDEX upload_key ON summit.upload (upload_id);
ALTER TABLE summit.upload REPLICA IDENTITY USING INDEX upload_key;
-- Each is updated twice, in columns without an index: with room on the page no index is touched.
ALTER TABLE summit.upload SET (fillfactor = 50);
-- Not unique: a key of an upload that failed is used again. A condition on status would cost every update its place on the page.
CREATE INDEX upload_idempotency_key ON summit.upload (idempotency_key text_pattern_ops)
	WHERE idempotency_key IS NOT NULL;
CREATE INDEX upload_request_hash ON summit.upload (request_hash);
CREATE INDEX upload_job ON summit.upload (job_id);
CREATE INDEX upload_summit_job ON summit.upload USING hash (summit_job_id) WHERE summit_job_id IS NOT NULL;
-- By hash: a number may be as long as a field can.
CREATE INDEX upload_policy_number ON summit.upload USING hash (policy_number);

COMMENT ON TABLE summit.upload IS 'certificates submitted to Summit: INSERT a payload to have it uploaded after COMMIT';

CREATE TABLE summit.upload_warning (
	upload_id bigint NOT NULL,
	field text NOT NULL,
	warning text NOT NULL
);
CREATE UNIQUE INDEX upload_warning_key ON summit.upload_warning (upload_id, field);
ALTER TABLE summit.upload_warning REPLICA IDENTITY USING INDEX upload_warning_key;
COMMENT ON TABLE summit.upload_warning IS 'what Summit takes and should be better: reference ids that are missing, which it routes by, addresses in Quebec, and renewals that come late';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.upload_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('summit.upload', '');
SELECT pg_catalog.pg_extension_config_dump('summit.upload_warning', '');
