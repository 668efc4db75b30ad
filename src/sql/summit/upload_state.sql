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
-- By hash: a number may be as long as a field can.
CREATE INDEX upload_policy_number ON summit.upload USING hash (policy_number);

COMMENT ON TABLE summit.upload IS 'certificates submitted to Summit: INSERT a payload to have it uploaded after COMMIT';
COMMENT ON COLUMN summit.upload.upload_id IS 'filled by the engine; a row that comes with one is a restored row';
COMMENT ON COLUMN summit.upload.payload IS 'in Summit''s JSON shape; kept without its documents';
COMMENT ON COLUMN summit.upload.coi IS 'certificate as PDF, PNG or JPEG, unless the payload has it; not kept here';
COMMENT ON COLUMN summit.upload.content_type IS 'of coi; application/pdf unless given';
COMMENT ON COLUMN summit.upload.idempotency_key IS 'sent with every attempt; made unless given; one of your own is known by server and owner, and may be used again for the same payload if the upload failed';
COMMENT ON COLUMN summit.upload.server IS 'foreign server of wrapper summit_api, by the name it had then; of setting canopy_summit.summit_server unless given';
COMMENT ON COLUMN summit.upload.owner IS 'role that uploaded it, by the name it had then';
COMMENT ON COLUMN summit.upload.server_oid IS 'which server that is, whatever it is called by now; means nothing in another instance';
COMMENT ON COLUMN summit.upload.owner_oid IS 'which role owner is, likewise';
COMMENT ON COLUMN summit.upload.instance IS 'canopy_summit.instance() where it was uploaded, or that took it over by arm()';
COMMENT ON COLUMN summit.upload.status IS 'queued, accepted, verified, failed, unresolved or refused; view summit.upload_status knows more';
COMMENT ON COLUMN summit.upload.summit_job_id IS 'job_id that Summit answered';
COMMENT ON COLUMN summit.upload.request_hash IS 'SHA-256 of the body that is sent';
COMMENT ON COLUMN summit.upload.source_table IS 'table of the row that summit_upload_on_insert() uploaded';
COMMENT ON COLUMN summit.upload.source_key IS 'primary key of that row';
COMMENT ON COLUMN summit.upload.error_field IS 'field of the payload that Summit, or the validator, refused';

CREATE TABLE summit.upload_warning (
	upload_id bigint NOT NULL,
	field text NOT NULL,
	warning text NOT NULL
);
CREATE UNIQUE INDEX upload_warning_key ON summit.upload_warning (upload_id, field);
ALTER TABLE summit.upload_warning REPLICA IDENTITY USING INDEX upload_warning_key;
COMMENT ON TABLE summit.upload_warning IS 'what Summit takes and routes less well: reference ids that are missing';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.upload_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('summit.upload', '');
SELECT pg_catalog.pg_extension_config_dump('summit.upload_warning', '');
