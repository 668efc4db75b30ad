-- summit/policy_status_state.sql: what webhooks have told of certificates.
-- State.

CREATE SEQUENCE canopy_summit.policy_status_id_seq;
COMMENT ON SEQUENCE canopy_summit.policy_status_id_seq IS 'keys of canopy_summit.policy_status';

CREATE TABLE canopy_summit.policy_status (
	policy_status_id bigint NOT NULL,
	server text NOT NULL,
	environment text NOT NULL,
	policy_number canopy_summit.personal_text NOT NULL,
	holder_name canopy_summit.personal_text,
	property_id canopy_summit.provider_id,
	unit_id canopy_summit.provider_id,
	lease_id canopy_summit.provider_id,
	tenant_id canopy_summit.provider_id,
	status text,
	status_at timestamptz,
	policy_type canopy_summit.provider_id,
	effective_date date,
	expiry_date date,
	basis text,
	reason_code canopy_summit.provider_word,
	reason_detail canopy_summit.personal_text,
	verified_at timestamptz,
	lapsed_at timestamptz,
	reinstated_at timestamptz,
	coi_pdf_id canopy_summit.provider_id,
	upload_id bigint
);
CREATE UNIQUE INDEX policy_status_key ON canopy_summit.policy_status (policy_status_id);
ALTER TABLE canopy_summit.policy_status REPLICA IDENTITY USING INDEX policy_status_key;
CREATE INDEX policy_status_policy_number ON canopy_summit.policy_status USING hash (policy_number);
-- Other policies of a lease; ids are whatever a webhook has: a digest fits into an index.
CREATE INDEX policy_status_home ON canopy_summit.policy_status (md5(property_id), md5(coalesce(lease_id, tenant_id)));
COMMENT ON TABLE canopy_summit.policy_status IS 'policies and holders that anything is known of, and what the newest term of each is now';
COMMENT ON COLUMN canopy_summit.policy_status.status IS 'submitted, verified, lapsed or reinstated: of the event of the newest term that occurred last; NULL: only facts are known';
COMMENT ON COLUMN canopy_summit.policy_status.upload_id IS 'newest upload of the same policy and holder';

CREATE SEQUENCE canopy_summit.status_event_id_seq;
COMMENT ON SEQUENCE canopy_summit.status_event_id_seq IS 'keys of canopy_summit.status_event';

CREATE TABLE canopy_summit.status_event (
	status_event_id bigint NOT NULL,
	policy_status_id bigint NOT NULL,
	server text NOT NULL,
	source text NOT NULL,
	webhook_id bigint,
	upload_id bigint,
	delivery_id canopy_summit.provider_id,
	status text NOT NULL,
	occurred_at timestamptz NOT NULL,
	recorded_at timestamptz NOT NULL,
	observed_at timestamptz,
	actor canopy_summit.provider_word,
	verifier canopy_summit.personal_text,
	reason_code canopy_summit.provider_word,
	reason_detail canopy_summit.personal_text,
	checks jsonb,
	holder_name canopy_summit.personal_text,
	policy_type canopy_summit.provider_id,
	effective_date date,
	expiry_date date,
	coi_pdf_id canopy_summit.provider_id,
	evidence jsonb
);
CREATE UNIQUE INDEX status_event_key ON canopy_summit.status_event (status_event_id);
CREATE UNIQUE INDEX status_event_webhook ON canopy_summit.status_event (webhook_id) WHERE webhook_id IS NOT NULL;
CREATE UNIQUE INDEX status_event_upload ON canopy_summit.status_event (upload_id, status) WHERE upload_id IS NOT NULL;
ALTER TABLE canopy_summit.status_event REPLICA IDENTITY USING INDEX status_event_key;
CREATE INDEX status_event_policy ON canopy_summit.status_event (policy_status_id);
COMMENT ON TABLE canopy_summit.status_event IS 'history of certificates: what webhooks, uploads that were accepted, and polls have told';
COMMENT ON COLUMN canopy_summit.status_event.source IS 'webhook; upload: Summit has accepted one; or poll: an upload''s job says so';
COMMENT ON COLUMN canopy_summit.status_event.evidence IS 'documents and checksums that the event names';
COMMENT ON COLUMN canopy_summit.status_event.observed_at IS 'when it was verified, lapsed or reinstated';
COMMENT ON COLUMN canopy_summit.status_event.actor IS 'carrier, broker or system: from verifier';
COMMENT ON COLUMN canopy_summit.status_event.expiry_date IS 'of a reinstated one the new';

-- A settle waits for nobody: what it could not tell a certificate because somebody has its policy stands here.
CREATE TABLE canopy_summit.upload_pending (
	upload_id bigint NOT NULL
);
CREATE UNIQUE INDEX upload_pending_key ON canopy_summit.upload_pending (upload_id);
ALTER TABLE canopy_summit.upload_pending REPLICA IDENTITY USING INDEX upload_pending_key;
COMMENT ON TABLE canopy_summit.upload_pending IS 'uploads whose certificates do not know yet what has become of them';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.upload_pending', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.policy_status_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.status_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.policy_status', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.status_event', '');
