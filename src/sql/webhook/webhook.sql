-- webhook/webhook.sql: taking webhooks in, and their signatures.
-- Replaceable.

CREATE FUNCTION canopy_summit.webhook_fill() RETURNS trigger
AS 'MODULE_PATHNAME', 'canopy_summit_webhook_fill'
LANGUAGE C;
COMMENT ON FUNCTION canopy_summit.webhook_fill() IS 'trigger: verifies a webhook, absorbs one that is known and fills the engine''s columns';
CREATE TRIGGER webhook_fill BEFORE INSERT ON canopy_summit.webhook
	FOR EACH ROW EXECUTE FUNCTION canopy_summit.webhook_fill();

CREATE FUNCTION @extschema@.receive_webhook(server name, headers jsonb, body bytea,
	OUT http_status integer, OUT outcome text, OUT webhook_id bigint)
AS 'MODULE_PATHNAME', 'canopy_summit_receive_webhook'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION @extschema@.receive_webhook(name, jsonb, bytea) IS
	'verifies a webhook and keeps it, once; returns the HTTP status to answer: 200 stored, duplicate, conflict or quarantined, 401 bad_signature, 404 no_server, 413 too_large, 415 encoded, 503 no_secret';

CREATE FUNCTION @extschema@.verify_webhook(server name, headers jsonb, body bytea) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_verify_webhook'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION @extschema@.verify_webhook(name, jsonb, bytea) IS
	'whether a webhook was signed for a server, with a secret of its webhook_role and within its webhook_tolerance; false, never NULL, for a NULL';

CREATE FUNCTION @extschema@.verify_webhook_sig(secret text, header text, body bytea, tolerance interval DEFAULT '5 min',
	received_at timestamptz DEFAULT clock_timestamp()) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_verify_webhook_sig'
LANGUAGE C IMMUTABLE PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION @extschema@.verify_webhook_sig(text, text, bytea, interval, timestamptz) IS
	'whether one of a webhook''s signatures was made of this body with one of the secrets, at most tolerance (up to 1 day) before or after received_at; false, never NULL, for a NULL';

CREATE FUNCTION @extschema@.verify_webhook_sig(secret text, header text, body text, tolerance interval DEFAULT '5 min',
	received_at timestamptz DEFAULT clock_timestamp()) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_verify_webhook_sig'
LANGUAGE C IMMUTABLE PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION @extschema@.verify_webhook_sig(text, text, text, interval, timestamptz) IS
	'whether one of a webhook''s signatures was made of this body with one of the secrets, at most tolerance (up to 1 day) before or after received_at; false, never NULL, for a NULL';

CREATE FUNCTION @extschema@.verify_webhook_sig(secrets text[], header text, body bytea, tolerance interval DEFAULT '5 min',
	received_at timestamptz DEFAULT clock_timestamp()) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_verify_webhook_sig'
LANGUAGE C IMMUTABLE PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION @extschema@.verify_webhook_sig(text[], text, bytea, interval, timestamptz) IS
	'whether one of a webhook''s signatures was made of this body with one of the secrets, at most tolerance (up to 1 day) before or after received_at; false, never NULL, for a NULL';

CREATE FUNCTION @extschema@.verify_webhook_sig(secrets text[], header text, body text, tolerance interval DEFAULT '5 min',
	received_at timestamptz DEFAULT clock_timestamp()) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_verify_webhook_sig'
LANGUAGE C IMMUTABLE PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION @extschema@.verify_webhook_sig(text[], text, text, interval, timestamptz) IS
	'whether one of a webhook''s signatures was made of this body with one of the secrets, at most tolerance (up to 1 day) before or after received_at; false, never NULL, for a NULL';

CREATE FUNCTION @extschema@.explain_webhook_sig(secret text, header text, body bytea, tolerance interval DEFAULT '5 min',
	received_at timestamptz DEFAULT clock_timestamp()) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_explain_webhook_sig'
LANGUAGE C IMMUTABLE PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION @extschema@.explain_webhook_sig(text, text, bytea, interval, timestamptz) IS 'why verify_webhook_sig() is false, or "valid"';

CREATE FUNCTION @extschema@.explain_webhook_sig(secret text, header text, body text, tolerance interval DEFAULT '5 min',
	received_at timestamptz DEFAULT clock_timestamp()) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_explain_webhook_sig'
LANGUAGE C IMMUTABLE PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION @extschema@.explain_webhook_sig(text, text, text, interval, timestamptz) IS 'why verify_webhook_sig() is false, or "valid"';

CREATE FUNCTION @extschema@.explain_webhook_sig(secrets text[], header text, body bytea, tolerance interval DEFAULT '5 min',
	received_at timestamptz DEFAULT clock_timestamp()) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_explain_webhook_sig'
LANGUAGE C IMMUTABLE PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION @extschema@.explain_webhook_sig(text[], text, bytea, interval, timestamptz) IS 'why verify_webhook_sig() is false, or "valid"';

CREATE FUNCTION @extschema@.explain_webhook_sig(secrets text[], header text, body text, tolerance interval DEFAULT '5 min',
	received_at timestamptz DEFAULT clock_timestamp()) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_explain_webhook_sig'
LANGUAGE C IMMUTABLE PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION @extschema@.explain_webhook_sig(text[], text, text, interval, timestamptz) IS 'why verify_webhook_sig() is false, or "valid"';

CREATE FUNCTION @extschema@.sign_webhook(secret text, body bytea, scheme text DEFAULT 'canopy',
	at timestamptz DEFAULT clock_timestamp()) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_sign_webhook'
LANGUAGE C IMMUTABLE STRICT PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION @extschema@.sign_webhook(text, bytea, text, timestamptz) IS
	'the header that signs a body: scheme canopy (canopy-signature) or summit (X-Summit-Signature)';

CREATE FUNCTION @extschema@.sign_webhook(secret text, body text, scheme text DEFAULT 'canopy',
	at timestamptz DEFAULT clock_timestamp()) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_sign_webhook'
LANGUAGE C IMMUTABLE STRICT PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION @extschema@.sign_webhook(text, text, text, timestamptz) IS
	'the header that signs a body: scheme canopy (canopy-signature) or summit (X-Summit-Signature)';

SELECT canopy_summit.define_view('canopy_summit.webhook_status', 'deliveries received from the providers, and what became of them', $view$
SELECT w.webhook_id, canopy_summit.server_name(w.server_oid, w.server, w.instance) AS server, w.event, w.subject, w.delivery_key, w.state,
	w.problem, w.received_at, w.signed_at, w.applied_at, w.headers, canopy_summit.stored_body(w.body) AS body
FROM canopy_summit.webhook w$view$, $notes$
webhook_id: key of the webhook
server: server it is of, by the name it has now
state: stored, applied, quarantined, or conflict: another body came with the same delivery_id, and was applied
received_at: when it came
applied_at: when its effects were written$notes$);

SELECT canopy_summit.allow('ingest', 'function', 'receive_webhook');
SELECT canopy_summit.allow('ingest admin', 'table', 'canopy_summit.webhook', 'INSERT (server, headers, body), SELECT (webhook_id)');
SELECT canopy_summit.allow('pii_reader operator', 'table', 'canopy_summit.webhook_status');
-- A provider's words, such as an event's name, are shown by the view alone.
SELECT canopy_summit.allow('operator', 'table', 'canopy_summit.webhook',
	'SELECT (webhook_id, server, received_at, signed_at, state, applied_at, problem, instance, server_oid)');
