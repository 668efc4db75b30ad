-- webhook/event.sql: what an event is about, and which of two counts.
-- Replaceable.

CREATE FUNCTION canopy_summit.webhook_payload(body bytea) RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_webhook_payload'
LANGUAGE C IMMUTABLE STRICT PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION canopy_summit.webhook_payload(bytea) IS 'the JSON of a webhook''s body, read as leniently as answers are; NULL if it is none';

CREATE FUNCTION canopy_summit.lock_subjects(subjects text[], wait boolean) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_lock_subjects'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION canopy_summit.lock_subjects(text[], boolean) IS
	'locks what events are about until the transaction ends, by locks that SQL cannot name; false if somebody else has one and it should not wait, or if the transaction has a thousand';

CREATE FUNCTION canopy_summit.event_subjects(server text, subject text, delivery_key text, payload jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	-- Whose rows it changes. Only Summit's have a delivery_key.
	SELECT array_agg(k.kind || ' ' || event_subjects.server || ' ' || k.id)
	FROM (VALUES ('subject', event_subjects.subject),
		('monitoring', CASE WHEN event_subjects.delivery_key IS NULL THEN event_subjects.payload #>> '{monitoring,monitoring_id}' END),
		('servicing', CASE WHEN event_subjects.delivery_key IS NULL THEN event_subjects.payload #>> '{data,servicing_action_id}' END),
		('validation', CASE WHEN event_subjects.delivery_key IS NULL THEN event_subjects.payload #>> '{data,document_validation_id}' END)) AS k(kind, id)
	WHERE k.id IS NOT NULL;
END;
COMMENT ON FUNCTION canopy_summit.event_subjects(text, text, text, jsonb) IS 'what an event is about, as lock_subjects() takes it; NULL if nothing';

-- Whoever listens is told, and an event is what a provider has written.
CREATE FUNCTION canopy_summit.documented_event(event text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN event IN ('AUTH_STATUS', 'POLICY_AVAILABLE', 'POLICIES_AVAILABLE', 'COMPLETE', 'ERROR', 'DATA_UPDATED', 'MONITORING_EVENTS',
		'MONITORING_RECONNECT', 'SERVICING_STATUS_UPDATED', 'SERVICING_WAITING_FOR_CONSUMER_CONFIRMATION', 'VALIDATION_COMPLETE',
		'policy.submitted', 'policy.verified', 'policy.lapsed', 'policy.reinstated')
	THEN event ELSE 'unknown' END;
COMMENT ON FUNCTION canopy_summit.documented_event(text) IS 'an event that a provider documents; "unknown" for any other text';

CREATE FUNCTION canopy_summit.is_newer(at timestamptz, hash bytea, than_at timestamptz, than_hash bytea) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN hash = '' AND than_hash = '' THEN at > than_at
	ELSE (CASE WHEN hash = '' THEN date_trunc('second', at, 'UTC') ELSE at END, hash)
		> (CASE WHEN than_hash = '' THEN date_trunc('second', than_at, 'UTC') ELSE than_at END, than_hash) END;
COMMENT ON FUNCTION canopy_summit.is_newer(timestamptz, bytea, timestamptz, bytea) IS
	'whether one event counts more than another: the later one, and of one second that of the greater hash, so that any order of deliveries ends the same; an answer has no hash and a finer time: it counts less than a webhook of its second';

SELECT canopy_summit.allow('nobody', 'function', 'lock_subjects');
