-- webhook/webhook_state.sql: the inbox: webhooks as they were received.
-- State.
--
-- App code writes server, headers and body; the trigger verifies the signature
-- and fills the engine's columns. A row that comes with its webhook_id is a
-- restored one and is kept as it is.

CREATE SEQUENCE canopy_summit.webhook_id_seq;
COMMENT ON SEQUENCE canopy_summit.webhook_id_seq IS 'keys of canopy_summit.webhook';

-- A domain, and not a constraint of the table: that is parsed again by every statement.
CREATE DOMAIN canopy_summit.webhook_state AS text CHECK (VALUE IN ('stored', 'applied', 'quarantined', 'conflict'));
COMMENT ON DOMAIN canopy_summit.webhook_state IS 'state of a webhook';

CREATE TABLE canopy_summit.webhook (
	webhook_id bigint NOT NULL,
	server text NOT NULL,
	headers jsonb NOT NULL,
	body bytea NOT NULL,
	received_at timestamptz NOT NULL,
	signed_at timestamptz NOT NULL,
	event canopy_summit.provider_word,
	subject canopy_summit.personal_text,
	delivery_key canopy_summit.provider_id,
	content_hash bytea NOT NULL,
	identity bigint NOT NULL,
	state canopy_summit.webhook_state NOT NULL,
	applied_at timestamptz,
	problem text,
	instance bigint NOT NULL,
	server_oid oid
);
CREATE UNIQUE INDEX webhook_key ON canopy_summit.webhook (webhook_id);
ALTER TABLE canopy_summit.webhook REPLICA IDENTITY USING INDEX webhook_key;
CREATE INDEX webhook_identity ON canopy_summit.webhook (identity, signed_at);
-- Applying reads this one alone; applied webhooks are never in it.
CREATE INDEX webhook_stored ON canopy_summit.webhook (webhook_id) WHERE state = 'stored';
CREATE INDEX webhook_stopped ON canopy_summit.webhook (webhook_id) WHERE state IN ('quarantined', 'conflict');
CREATE INDEX webhook_received ON canopy_summit.webhook (received_at);
ALTER TABLE canopy_summit.webhook SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
	autovacuum_vacuum_cost_delay = 0);
-- JSON of a kilobyte: reading it back costs more than its compression saves.
ALTER TABLE canopy_summit.webhook ALTER COLUMN body SET STORAGE EXTERNAL;

COMMENT ON TABLE canopy_summit.webhook IS 'deliveries received from the providers: INSERT server, headers and body to have one verified, kept and applied';
COMMENT ON COLUMN canopy_summit.webhook.webhook_id IS 'filled by the engine; a row that comes with one is a restored row';
COMMENT ON COLUMN canopy_summit.webhook.server IS 'foreign server whose webhook_role has the secret, by the name it had then';
COMMENT ON COLUMN canopy_summit.webhook.server_oid IS 'which server that is, whatever it is called by now; means nothing in another instance';
COMMENT ON COLUMN canopy_summit.webhook.headers IS 'HTTP headers as an object of texts; names in any case';
COMMENT ON COLUMN canopy_summit.webhook.body IS 'the bytes that were signed';
COMMENT ON COLUMN canopy_summit.webhook.signed_at IS 'time in the signature';
COMMENT ON COLUMN canopy_summit.webhook.event IS 'event_type of Canopy, event of Summit';
COMMENT ON COLUMN canopy_summit.webhook.subject IS 'pull_id of Canopy, policy number of Summit';
COMMENT ON COLUMN canopy_summit.webhook.delivery_key IS 'delivery_id of Summit';
COMMENT ON COLUMN canopy_summit.webhook.content_hash IS 'SHA-256 of the body; of Summit''s without its attempt, which rises on redelivery';
COMMENT ON COLUMN canopy_summit.webhook.identity IS '64 bits of the SHA-256 of what a delivery is known by: its delivery_id, or its content if it has none';
COMMENT ON COLUMN canopy_summit.webhook.state IS
	'stored -> applied, quarantined; quarantined -> applied by apply_webhook(); conflict: another body came with the same delivery_id, and was applied';
COMMENT ON COLUMN canopy_summit.webhook.problem IS 'why it is quarantined';
COMMENT ON COLUMN canopy_summit.webhook.instance IS
	'canopy_summit.instance() where it was received; a copy of the database applies what the original had not, but what that has fetched waits for canopy_summit.arm()';
CREATE TYPE canopy_summit.inbox_event AS (
	webhook_id bigint,
	server text,
	event text,
	subject text,
	delivery_key text,
	content_hash bytea,
	signed_at timestamptz,
	instance bigint,
	payload jsonb,
	server_oid oid
);
COMMENT ON TYPE canopy_summit.inbox_event IS 'a stored webhook as the apply functions take it';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.webhook_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.webhook', '');
