-- 82_apply.sql: what a stored webhook changes.
-- Replaceable.
--
-- Each apply_* function takes the events of a batch and leaves alone those that
-- are not its own; without any it is not run, being strict. All of them compare with what is there before they overwrite
-- it, so that neither order nor repetition matters. The caller has locked what the events are about: of a batch only
-- those are taken that nobody else applies, and the others stay stored, so that one that waits holds up nobody.

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

CREATE FUNCTION canopy_summit.webhook_payload(body bytea) RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_webhook_payload'
LANGUAGE C IMMUTABLE STRICT PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION canopy_summit.webhook_payload(bytea) IS 'the JSON of a webhook''s body, read as leniently as answers are; NULL if it is none';

CREATE FUNCTION canopy_summit.webhook_role(server_oid oid) RETURNS name
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(s.srvoptions) AS o WHERE o.option_name = 'webhook_role')::name,
		pg_catalog.pg_get_userbyid(s.srvowner))
	FROM pg_catalog.pg_foreign_server s WHERE s.oid = webhook_role.server_oid;
END;
COMMENT ON FUNCTION canopy_summit.webhook_role(oid) IS 'role whose mapping has a server''s webhook_secret, and that fetches what webhooks ask for';

CREATE FUNCTION canopy_summit.server_environment(server text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(s.srvoptions) AS o WHERE o.option_name = 'environment'), 'production')
	FROM pg_catalog.pg_foreign_server s WHERE s.srvname = server_environment.server;
END;
COMMENT ON FUNCTION canopy_summit.server_environment(text) IS 'environment of a server: production or sandbox; NULL if it is gone';

CREATE FUNCTION canopy_summit.time_or_null(value text) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'canopy_summit_time_or_null'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.time_or_null(text) IS 'a time as a provider writes it, UTC unless it says otherwise; NULL if it is none';

CREATE FUNCTION canopy_summit.date_or_null(value text) RETURNS date
AS 'MODULE_PATHNAME', 'canopy_summit_date_or_null'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.date_or_null(text) IS 'a date as a provider writes it, of a time the day as written, of one in UTC its UTC day; NULL if it is none';

CREATE FUNCTION canopy_summit.event_auth_status(payload jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(payload #>> '{data,auth_status}', payload ->> 'auth_status', payload ->> 'status', 'UNKNOWN');
COMMENT ON FUNCTION canopy_summit.event_auth_status(jsonb) IS 'where an AUTH_STATUS says that the login is, wherever in its body';

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

-- Providers' ids are opaque, and no length of theirs may keep a row from being indexed.
CREATE FUNCTION canopy_summit.short_id(id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN octet_length(short_id.id) <= 512 THEN short_id.id
		ELSE 'sha256:' || encode(sha256(convert_to(short_id.id, 'UTF8')), 'hex') END;
END;
COMMENT ON FUNCTION canopy_summit.short_id(text) IS 'an id that an index can hold: itself up to 512 bytes, else its SHA-256';

CREATE FUNCTION canopy_summit.apply_pull_progress(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
	INSERT INTO canopy_summit.pull_progress AS p (server, pull_id, pull_type, account_identifier, initial_pull_id, monitoring_id, last_event,
		last_status, last_event_at, last_event_hash, policies_at, completed_at, error_type, error_at, first_event_at, logged_in_at, data_at)
	-- What a pull is does not change; where deliveries differ, all orders still end with the same.
	SELECT DISTINCT ON (e.server, e.subject) e.server, e.subject,
		max(e.payload ->> 'pull_type') OVER pull, max(e.payload ->> 'account_identifier') OVER pull,
		max(coalesce(e.payload #>> '{monitoring,initial_pull_id}', e.payload #>> '{data,initial_pull_id}')) OVER pull,
		max(canopy_summit.short_id(e.payload #>> '{monitoring,monitoring_id}')) OVER pull,
		e.event, e.payload ->> 'status', e.signed_at, e.content_hash,
		min(e.signed_at) FILTER (WHERE e.event = 'POLICIES_AVAILABLE') OVER pull,
		min(e.signed_at) FILTER (WHERE e.event = 'COMPLETE') OVER pull,
		(array_agg(e.error_type) FILTER (WHERE e.event = 'ERROR') OVER errors)[1],
		max(e.signed_at) FILTER (WHERE e.event = 'ERROR') OVER pull,
		min(e.signed_at) OVER pull,
		max(e.signed_at) FILTER (WHERE e.event = 'AUTH_STATUS' AND e.auth_status = 'SUCCESS') OVER pull,
		max(e.signed_at) FILTER (WHERE e.event IN ('POLICIES_AVAILABLE', 'COMPLETE')) OVER pull
	FROM (SELECT *, coalesce(u.payload #>> '{data,type}', u.payload ->> 'status', 'UNKNOWN') AS error_type,
			CASE u.event WHEN 'AUTH_STATUS' THEN canopy_summit.event_auth_status(u.payload) END AS auth_status
			FROM unnest(apply_pull_progress.events) AS u) AS e
	WHERE e.subject IS NOT NULL
	WINDOW pull AS (PARTITION BY e.server, e.subject),
		errors AS (PARTITION BY e.server, e.subject ORDER BY e.signed_at DESC, e.error_type DESC
			ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
	ORDER BY e.server, e.subject, e.signed_at DESC, e.content_hash DESC
	ON CONFLICT (pull_id, server) DO UPDATE SET
		pull_type = greatest(p.pull_type, EXCLUDED.pull_type),
		account_identifier = greatest(p.account_identifier::text, EXCLUDED.account_identifier::text),
		initial_pull_id = greatest(p.initial_pull_id, EXCLUDED.initial_pull_id),
		monitoring_id = greatest(p.monitoring_id, EXCLUDED.monitoring_id),
		last_event = CASE WHEN (EXCLUDED.last_event_at, EXCLUDED.last_event_hash) > (p.last_event_at, p.last_event_hash) THEN EXCLUDED.last_event ELSE p.last_event END,
		last_status = CASE WHEN (EXCLUDED.last_event_at, EXCLUDED.last_event_hash) > (p.last_event_at, p.last_event_hash) THEN EXCLUDED.last_status ELSE p.last_status END,
		last_event_hash = CASE WHEN (EXCLUDED.last_event_at, EXCLUDED.last_event_hash) > (p.last_event_at, p.last_event_hash) THEN EXCLUDED.last_event_hash ELSE p.last_event_hash END,
		last_event_at = greatest(p.last_event_at, EXCLUDED.last_event_at),
		policies_at = least(p.policies_at, EXCLUDED.policies_at),
		completed_at = least(p.completed_at, EXCLUDED.completed_at),
		error_type = CASE WHEN p.error_at IS NULL OR (EXCLUDED.error_at, EXCLUDED.error_type) > (p.error_at, p.error_type)
			THEN EXCLUDED.error_type ELSE p.error_type END,
		error_at = greatest(p.error_at, EXCLUDED.error_at),
		first_event_at = least(p.first_event_at, EXCLUDED.first_event_at),
		logged_in_at = greatest(p.logged_in_at, EXCLUDED.logged_in_at),
		data_at = greatest(p.data_at, EXCLUDED.data_at);
END;
COMMENT ON FUNCTION canopy_summit.apply_pull_progress(canopy_summit.inbox_event[]) IS 'every event of Canopy: how far its pull is';

CREATE FUNCTION canopy_summit.apply_auth_status(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
	INSERT INTO canopy_summit.auth_status AS a (server, pull_id, sequence, auth_status, login_error_message, login_error_html, mfa_options,
		signed_at, content_hash)
	SELECT DISTINCT ON (e.server, e.subject) e.server, e.subject, s.sequence,
		canopy_summit.event_auth_status(e.payload),
		e.payload #>> '{data,login_error_message}', canopy_summit.sanitize_html(e.payload #>> '{data,login_error_message}'),
		coalesce(e.payload #> '{data,mfa_options}', e.payload -> 'mfa_options'), e.signed_at, e.content_hash
	FROM unnest(apply_auth_status.events) AS e,
		-- Its place in the body is not documented: both have been seen (canopy-guide, section 2.3).
		LATERAL (SELECT substring(coalesce(e.payload ->> 'sequence', e.payload #>> '{data,sequence}') FROM '^[0-9]{1,18}$')::bigint) AS s(sequence)
	WHERE e.event = 'AUTH_STATUS' AND e.subject IS NOT NULL
	ORDER BY e.server, e.subject, s.sequence DESC NULLS LAST, e.signed_at DESC, e.content_hash DESC
	ON CONFLICT (pull_id, server) DO UPDATE SET sequence = EXCLUDED.sequence, auth_status = EXCLUDED.auth_status,
		login_error_message = EXCLUDED.login_error_message, login_error_html = EXCLUDED.login_error_html,
		mfa_options = EXCLUDED.mfa_options, signed_at = EXCLUDED.signed_at, content_hash = EXCLUDED.content_hash
	WHERE (coalesce(EXCLUDED.sequence, -1), EXCLUDED.signed_at, EXCLUDED.content_hash) > (coalesce(a.sequence, -1), a.signed_at, a.content_hash);
END;
COMMENT ON FUNCTION canopy_summit.apply_auth_status(canopy_summit.inbox_event[]) IS 'AUTH_STATUS: the login''s state, only forward';

CREATE FUNCTION canopy_summit.apply_monitoring(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
	INSERT INTO canopy_summit.monitoring AS m (server, monitoring_id, initial_pull_id, latest_pull_id, latest_at, latest_hash)
	SELECT DISTINCT ON (e.server, canopy_summit.short_id(e.payload #>> '{monitoring,monitoring_id}')) e.server, canopy_summit.short_id(e.payload #>> '{monitoring,monitoring_id}'),
		max(e.payload #>> '{monitoring,initial_pull_id}') OVER (PARTITION BY e.server, canopy_summit.short_id(e.payload #>> '{monitoring,monitoring_id}')),
		e.subject, e.signed_at, e.content_hash
	FROM unnest(apply_monitoring.events) AS e
	WHERE canopy_summit.short_id(e.payload #>> '{monitoring,monitoring_id}') <> '' AND e.subject IS NOT NULL
	ORDER BY e.server, canopy_summit.short_id(e.payload #>> '{monitoring,monitoring_id}'), e.signed_at DESC, e.content_hash DESC
	ON CONFLICT (monitoring_id, server) DO UPDATE SET initial_pull_id = greatest(m.initial_pull_id, EXCLUDED.initial_pull_id),
		latest_pull_id = CASE WHEN (EXCLUDED.latest_at, EXCLUDED.latest_hash) > (m.latest_at, m.latest_hash) THEN EXCLUDED.latest_pull_id ELSE m.latest_pull_id END,
		latest_hash = CASE WHEN (EXCLUDED.latest_at, EXCLUDED.latest_hash) > (m.latest_at, m.latest_hash) THEN EXCLUDED.latest_hash ELSE m.latest_hash END,
		latest_at = greatest(m.latest_at, EXCLUDED.latest_at);

	-- Documented is one event as `data`; the answer to get-monitoring-events, which lists them, has been seen there, too.
	INSERT INTO canopy_summit.monitoring_event (webhook_id, ordinal, server, monitoring_id, pull_id, type, changes, documents, signed_at)
	SELECT e.webhook_id, m.ordinal, e.server, canopy_summit.short_id(e.payload #>> '{monitoring,monitoring_id}'), e.subject, m.item ->> 'type',
		m.item -> 'changes', m.item -> 'documents', e.signed_at
	FROM unnest(apply_monitoring.events) AS e,
		LATERAL jsonb_array_elements(CASE
			WHEN jsonb_typeof(e.payload #> '{data,events}') = 'array' THEN e.payload #> '{data,events}'
			WHEN jsonb_typeof(e.payload -> 'data') = 'array' THEN e.payload -> 'data'
			ELSE jsonb_build_array(e.payload -> 'data') END) WITH ORDINALITY AS m(item, ordinal)
	WHERE e.event = 'MONITORING_EVENTS'
	ON CONFLICT (webhook_id, ordinal) DO NOTHING;

	INSERT INTO canopy_summit.reconnect AS r (server, pull_id, initial_pull_id, monitoring_id, auth_status, reconnect_url, reconnect_token,
		signed_at, content_hash)
	SELECT DISTINCT ON (e.server, e.subject) e.server, e.subject, e.payload #>> '{monitoring,initial_pull_id}',
		canopy_summit.short_id(e.payload #>> '{monitoring,monitoring_id}'), e.payload #>> '{data,auth_status}', e.payload #>> '{data,reconnect_url}',
		e.payload #>> '{data,reconnect_token}', e.signed_at, e.content_hash
	FROM unnest(apply_monitoring.events) AS e
	WHERE e.event = 'MONITORING_RECONNECT'
	ORDER BY e.server, e.subject, e.signed_at DESC, e.content_hash DESC
	ON CONFLICT (pull_id, server) DO UPDATE SET initial_pull_id = EXCLUDED.initial_pull_id, monitoring_id = EXCLUDED.monitoring_id,
		auth_status = EXCLUDED.auth_status, reconnect_url = EXCLUDED.reconnect_url, reconnect_token = EXCLUDED.reconnect_token,
		signed_at = EXCLUDED.signed_at, content_hash = EXCLUDED.content_hash
	WHERE (EXCLUDED.signed_at, EXCLUDED.content_hash) > (r.signed_at, r.content_hash);
END;
COMMENT ON FUNCTION canopy_summit.apply_monitoring(canopy_summit.inbox_event[]) IS
	'the monitoring that any event names; MONITORING_EVENTS: a change; MONITORING_RECONNECT: the consumer has to log in';

CREATE FUNCTION canopy_summit.apply_servicing(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
	INSERT INTO canopy_summit.servicing_status (webhook_id, server, servicing_action_id, status, previous_status, is_manual,
		validation_error_type, document_id, signed_at)
	SELECT e.webhook_id, e.server, canopy_summit.short_id(e.payload #>> '{data,servicing_action_id}'),
		coalesce(e.payload #>> '{data,status}', 'WAITING_FOR_CONSUMER_CONFIRMATION'), e.payload #>> '{data,previous_status}',
		e.payload #> '{data,is_manual}' = 'true', e.payload #>> '{data,validation_error_type}', e.payload #>> '{data,document_id}', e.signed_at
	FROM unnest(apply_servicing.events) AS e
	WHERE e.event IN ('SERVICING_STATUS_UPDATED', 'SERVICING_WAITING_FOR_CONSUMER_CONFIRMATION')
	ON CONFLICT (webhook_id) DO NOTHING;

	INSERT INTO canopy_summit.servicing_action AS a (server, servicing_action_id, pull_id, original_pull_id, status, is_manual,
		validation_error_type, document_id, signed_at, content_hash)
	SELECT DISTINCT ON (e.server, canopy_summit.short_id(e.payload #>> '{data,servicing_action_id}')) e.server, canopy_summit.short_id(e.payload #>> '{data,servicing_action_id}'), e.subject,
		e.payload #>> '{data,original_pull_id}', coalesce(e.payload #>> '{data,status}', 'WAITING_FOR_CONSUMER_CONFIRMATION'),
		e.payload #> '{data,is_manual}' = 'true', e.payload #>> '{data,validation_error_type}', e.payload #>> '{data,document_id}',
		e.signed_at, e.content_hash
	FROM unnest(apply_servicing.events) AS e
	WHERE e.event IN ('SERVICING_STATUS_UPDATED', 'SERVICING_WAITING_FOR_CONSUMER_CONFIRMATION')
	ORDER BY e.server, canopy_summit.short_id(e.payload #>> '{data,servicing_action_id}'), e.signed_at DESC, e.content_hash DESC
	ON CONFLICT (servicing_action_id, server) DO UPDATE SET pull_id = EXCLUDED.pull_id, original_pull_id = EXCLUDED.original_pull_id,
		status = EXCLUDED.status, is_manual = EXCLUDED.is_manual, validation_error_type = EXCLUDED.validation_error_type,
		document_id = EXCLUDED.document_id, signed_at = EXCLUDED.signed_at, content_hash = EXCLUDED.content_hash
	WHERE (EXCLUDED.signed_at, EXCLUDED.content_hash) > (a.signed_at, a.content_hash);
END;
COMMENT ON FUNCTION canopy_summit.apply_servicing(canopy_summit.inbox_event[]) IS 'SERVICING_*: an action''s newest state, and its history';

CREATE FUNCTION canopy_summit.apply_updates(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
	-- Drivers come as `driver`, all else as `data`.
	INSERT INTO canopy_summit.data_update (webhook_id, ordinal, server, pull_id, type, data, signed_at)
	SELECT e.webhook_id, u.ordinal, e.server, e.subject, u.item ->> 'type', coalesce(u.item -> 'data', u.item -> 'driver'), e.signed_at
	FROM unnest(apply_updates.events) AS e,
		LATERAL jsonb_array_elements(CASE jsonb_typeof(e.payload #> '{data,updates}') WHEN 'array' THEN e.payload #> '{data,updates}' ELSE '[]' END)
			WITH ORDINALITY AS u(item, ordinal)
	WHERE e.event = 'DATA_UPDATED'
	ON CONFLICT (webhook_id, ordinal) DO NOTHING;

	INSERT INTO canopy_summit.document_validation AS v (server, document_validation_id, pull_id, status, completed_at, signed_at, content_hash)
	SELECT DISTINCT ON (e.server, canopy_summit.short_id(e.payload #>> '{data,document_validation_id}')) e.server, canopy_summit.short_id(e.payload #>> '{data,document_validation_id}'),
		e.subject, e.payload #>> '{data,status}', canopy_summit.time_or_null(e.payload #>> '{data,completed_at}'), e.signed_at, e.content_hash
	FROM unnest(apply_updates.events) AS e
	WHERE e.event = 'VALIDATION_COMPLETE'
	ORDER BY e.server, canopy_summit.short_id(e.payload #>> '{data,document_validation_id}'), e.signed_at DESC, e.content_hash DESC
	ON CONFLICT (document_validation_id, server) DO UPDATE SET pull_id = EXCLUDED.pull_id, status = EXCLUDED.status,
		completed_at = EXCLUDED.completed_at, signed_at = EXCLUDED.signed_at, content_hash = EXCLUDED.content_hash
	WHERE (EXCLUDED.signed_at, EXCLUDED.content_hash) > (v.signed_at, v.content_hash);
END;
COMMENT ON FUNCTION canopy_summit.apply_updates(canopy_summit.inbox_event[]) IS 'DATA_UPDATED: each edit; VALIDATION_COMPLETE: the verdict on a document';

CREATE FUNCTION canopy_summit.apply_fetches(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
	-- As canopy_enqueue_fetch() would by the webhook_role: one that is queued is enough, one that is on its way is not.
	INSERT INTO canopy_summit.job (job_id, server, operation, params, dedupe_key, owner, priority, run_at, instance, max_attempts, state,
		fence, attempts, enqueued_at, server_oid, owner_oid)
	SELECT nextval('canopy_summit.job_id_seq'), f.server, 'get-pull-by-id', jsonb_build_object('pullId', f.pull_id), 'fetch ' || f.pull_id,
		canopy_summit.webhook_role(f.server_oid), 5, now(), f.instance, 10, 'queued', 0, 0, now(), f.server_oid,
		canopy_summit.owner_of(NULL, canopy_summit.webhook_role(f.server_oid), NULL)
	FROM (SELECT DISTINCT e.server, e.server_oid, e.subject AS pull_id, e.instance FROM unnest(apply_fetches.events) AS e
		WHERE e.event IN ('POLICIES_AVAILABLE', 'COMPLETE', 'DATA_UPDATED') AND e.subject IS NOT NULL
			AND e.payload ->> 'pull_type' IS DISTINCT FROM 'SERVICING') AS f;
	SELECT canopy_summit.wake() WHERE EXISTS (
		SELECT FROM unnest(apply_fetches.events) AS e WHERE e.event IN ('POLICIES_AVAILABLE', 'COMPLETE', 'DATA_UPDATED'));
END;
COMMENT ON FUNCTION canopy_summit.apply_fetches(canopy_summit.inbox_event[]) IS 'POLICIES_AVAILABLE, COMPLETE, DATA_UPDATED: has the pull fetched';

-- Summit's events carry different subsets of the reference ids. One is about a certificate of the same
-- policy number and property if no id that both have differs.
CREATE FUNCTION canopy_summit.policy_status_find(server text, policy_number text, ids jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	candidates bigint[];
BEGIN
	SELECT array_agg(p.policy_status_id ORDER BY p.policy_status_id) INTO candidates
	FROM canopy_summit.policy_status p
	WHERE p.policy_number = policy_status_find.policy_number AND p.server = policy_status_find.server
		AND p.property_id IS NOT DISTINCT FROM ids ->> 'property_id'
		AND coalesce(p.unit_id = ids ->> 'unit_id', true)
		AND coalesce(p.lease_id = ids ->> 'lease_id', true)
		AND coalesce(p.tenant_id = ids ->> 'tenant_id', true);
	IF cardinality(candidates) > 1 THEN
		RAISE EXCEPTION 'it fits several certificates: %', array_to_string(candidates, ', ')
			USING ERRCODE = 'cardinality_violation';
	END IF;
	RETURN candidates[1];
END
$$;
COMMENT ON FUNCTION canopy_summit.policy_status_find(text, text, jsonb) IS
	'the certificate that an event of Summit is about; NULL if it is the first; error 21000 names those it fits';

CREATE FUNCTION canopy_summit.status_rank(status text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT array_position('{submitted,verified,lapsed,reinstated}', status_rank.status);
END;
COMMENT ON FUNCTION canopy_summit.status_rank(text) IS 'order of events that occurred in the same second';

CREATE FUNCTION canopy_summit.policy_status_fold(webhook_ids bigint[]) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	UPDATE canopy_summit.policy_status p SET
		(status, status_at, reason_code, reason_detail, holder_name, policy_type, effective_date, expiry_date, coi_pdf_id,
			verified_at, lapsed_at, reinstated_at) =
		(SELECT (array_agg(e.status ORDER BY e.age))[1],
			(array_agg(e.occurred_at ORDER BY e.age))[1],
			(array_agg(e.reason_code ORDER BY e.age))[1],
			(array_agg(e.reason_detail ORDER BY e.age))[1],
			(array_agg(e.holder_name ORDER BY e.age) FILTER (WHERE e.holder_name IS NOT NULL))[1],
			(array_agg(e.policy_type ORDER BY e.age) FILTER (WHERE e.policy_type IS NOT NULL))[1],
			(array_agg(e.effective_date ORDER BY e.age) FILTER (WHERE e.effective_date IS NOT NULL))[1],
			(array_agg(e.expiry_date ORDER BY e.age) FILTER (WHERE e.expiry_date IS NOT NULL))[1],
			(array_agg(e.coi_pdf_id ORDER BY e.age) FILTER (WHERE e.coi_pdf_id IS NOT NULL))[1],
			max(e.observed_at) FILTER (WHERE e.status = 'verified'),
			max(e.observed_at) FILTER (WHERE e.status = 'lapsed'),
			max(e.observed_at) FILTER (WHERE e.status = 'reinstated')
		FROM (SELECT *, row_number() OVER (ORDER BY s.occurred_at DESC, canopy_summit.status_rank(s.status) DESC, s.delivery_id DESC) AS age
			FROM canopy_summit.status_event s WHERE s.policy_status_id = p.policy_status_id) AS e)
	-- An array, and not a join: it finds them by the index even before the table was first analysed.
	WHERE p.policy_status_id = ANY (ARRAY(SELECT e.policy_status_id FROM canopy_summit.status_event e
		WHERE e.webhook_id = ANY (policy_status_fold.webhook_ids)));
END;
COMMENT ON FUNCTION canopy_summit.policy_status_fold(bigint[]) IS
	'makes the certificates that webhooks were about what all of their events say, in the order in which these occurred';

CREATE FUNCTION canopy_summit.apply_to_uploads(webhook_ids bigint[]) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	UPDATE canopy_summit.policy_status p SET upload_id = (
		SELECT max(u.upload_id) FROM summit.upload u
		WHERE u.policy_number = p.policy_number
			AND canopy_summit.server_of(u.server_oid, u.server, u.instance) = nullif(canopy_summit.server_of(NULL, p.server, NULL), 0)
			AND u.property_id IS NOT DISTINCT FROM p.property_id
			AND coalesce(u.unit_id = p.unit_id, true) AND coalesce(u.lease_id = p.lease_id, true) AND coalesce(u.tenant_id = p.tenant_id, true)
			AND u.status <> 'refused')
	WHERE p.policy_status_id = ANY (ARRAY(SELECT e.policy_status_id FROM canopy_summit.status_event e
		WHERE e.webhook_id = ANY (apply_to_uploads.webhook_ids)));

	UPDATE summit.upload u SET status = 'verified', finished_at = now(), error_code = NULL, error_field = NULL, error_message = NULL
	FROM canopy_summit.status_event e JOIN canopy_summit.policy_status p ON p.policy_status_id = e.policy_status_id
	WHERE e.webhook_id = ANY (apply_to_uploads.webhook_ids) AND e.status = 'verified'
		AND u.upload_id = p.upload_id AND u.status IN ('accepted', 'unresolved')
		-- Not by an event of an earlier upload; clocks differ.
		AND e.occurred_at > u.uploaded_at - interval '5 minutes';
END;
COMMENT ON FUNCTION canopy_summit.apply_to_uploads(bigint[]) IS
	'links certificates that webhooks were about with their newest uploads, and ends those that are verified';

CREATE FUNCTION canopy_summit.apply_policy_status(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	webhook_ids bigint[] := ARRAY(SELECT e.webhook_id FROM unnest(apply_policy_status.events) AS e);
	event canopy_summit.inbox_event;
	policy jsonb;
	ids jsonb;
	found_id bigint;
	status text;
	verifier text;
BEGIN
	-- The caller has the locks of these policies: two must not both find that a certificate is the first.
	FOR event IN
		SELECT e.* FROM unnest(apply_policy_status.events) AS e
		WHERE e.event IN ('policy.submitted', 'policy.verified', 'policy.lapsed', 'policy.reinstated') ORDER BY e.webhook_id
	LOOP
		policy := event.payload #> '{data,policy}';
		ids := coalesce(event.payload #> '{data,certificate_holder,reference_ids}', '{}');
		status := substr(event.event, length('policy.') + 1);
		verifier := policy ->> 'verifier';
		IF event.subject IS NULL THEN
			RAISE EXCEPTION 'the body has no policy_number' USING ERRCODE = 'invalid_parameter_value';
		END IF;
		IF canopy_summit.time_or_null(event.payload ->> 'occurred_at') IS NULL THEN
			RAISE EXCEPTION 'the body has no occurred_at' USING ERRCODE = 'invalid_parameter_value';
		END IF;
		found_id := canopy_summit.policy_status_find(event.server, event.subject, ids);
		IF found_id IS NULL THEN
			INSERT INTO canopy_summit.policy_status (policy_status_id, server, environment, policy_number, property_id, unit_id, lease_id,
				tenant_id, status, status_at)
			VALUES (nextval('canopy_summit.policy_status_id_seq'), event.server, canopy_summit.server_environment(event.server), event.subject,
				ids ->> 'property_id', ids ->> 'unit_id', ids ->> 'lease_id', ids ->> 'tenant_id', status, '-infinity')
			RETURNING policy_status_id INTO found_id;
		ELSE
			UPDATE canopy_summit.policy_status p
			SET unit_id = coalesce(p.unit_id, ids ->> 'unit_id'), lease_id = coalesce(p.lease_id, ids ->> 'lease_id'),
				tenant_id = coalesce(p.tenant_id, ids ->> 'tenant_id')
			WHERE p.policy_status_id = found_id;
		END IF;
		INSERT INTO canopy_summit.status_event (webhook_id, policy_status_id, server, delivery_id, status, occurred_at, observed_at, actor,
			verifier, reason_code, reason_detail, checks, holder_name, policy_type, effective_date, expiry_date, coi_pdf_id)
		VALUES (event.webhook_id, found_id, event.server, event.delivery_key, status,
			canopy_summit.time_or_null(event.payload ->> 'occurred_at'),
			canopy_summit.time_or_null(policy ->> (status || '_at')),
			CASE WHEN verifier LIKE 'carrier%' THEN 'carrier' WHEN verifier LIKE 'broker%' THEN 'broker' WHEN verifier <> '' THEN 'system' END,
			verifier, event.payload #>> '{data,reason,code}', event.payload #>> '{data,reason,detail}', event.payload #> '{data,checks}',
			event.payload #>> '{data,certificate_holder,name}', policy ->> 'policy_type',
			canopy_summit.date_or_null(coalesce(policy ->> 'effective_date', event.payload #>> '{data,last_known_coverage,effective_date}')),
			canopy_summit.date_or_null(coalesce(policy ->> 'new_expiry_date', policy ->> 'expiry_date',
				event.payload #>> '{data,last_known_coverage,expiry_date}')),
			event.payload #>> '{data,documents,coi_pdf_id}')
		ON CONFLICT (webhook_id) DO NOTHING;
	END LOOP;
	PERFORM canopy_summit.policy_status_fold(webhook_ids);
	PERFORM canopy_summit.apply_to_uploads(webhook_ids);
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_policy_status(canopy_summit.inbox_event[]) IS 'policy.*: an event of a certificate, and what the certificate is now';

-- A server of the same name is another one.
CREATE FUNCTION canopy_summit.check_servers(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	gone text;
BEGIN
	SELECT e.server INTO gone FROM unnest(check_servers.events) AS e
	WHERE NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.oid = e.server_oid) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'server "%" was dropped', gone USING ERRCODE = 'undefined_object';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.check_servers(canopy_summit.inbox_event[]) IS 'error 42704 if the server of an event is gone';

CREATE FUNCTION canopy_summit.apply_events(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT canopy_summit.check_servers(apply_events.events);
	-- Only Summit's have a delivery_key: neither provider speaks for the other, whatever it calls an event.
	SELECT canopy_summit.apply_pull_progress(c.events), canopy_summit.apply_auth_status(c.events), canopy_summit.apply_monitoring(c.events),
		canopy_summit.apply_servicing(c.events), canopy_summit.apply_updates(c.events), canopy_summit.apply_fetches(c.events)
	FROM (SELECT array_agg(e) AS events FROM unnest(apply_events.events) AS e WHERE e.delivery_key IS NULL) AS c;
	SELECT canopy_summit.apply_policy_status(array_agg(e)) FROM unnest(apply_events.events) AS e WHERE e.delivery_key IS NOT NULL;
END;
COMMENT ON FUNCTION canopy_summit.apply_events(canopy_summit.inbox_event[]) IS 'changes what events tell of, but not the webhooks'' state';

-- Whoever listens is told, and an event is what a provider has written.
CREATE FUNCTION canopy_summit.documented_event(event text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN event IN ('AUTH_STATUS', 'POLICY_AVAILABLE', 'POLICIES_AVAILABLE', 'COMPLETE', 'ERROR', 'DATA_UPDATED', 'MONITORING_EVENTS',
		'MONITORING_RECONNECT', 'SERVICING_STATUS_UPDATED', 'SERVICING_WAITING_FOR_CONSUMER_CONFIRMATION', 'VALIDATION_COMPLETE',
		'policy.submitted', 'policy.verified', 'policy.lapsed', 'policy.reinstated')
	THEN event ELSE 'unknown' END;
COMMENT ON FUNCTION canopy_summit.documented_event(text) IS 'an event that a provider documents; "unknown" for any other text';

-- A row that a transaction has locked is updated by the same one, and not by a subtransaction of it: the two
-- would make a multixact, whose index entries every scan of the stored ones would visit until the next vacuum.
CREATE FUNCTION canopy_summit.webhooks_applied(events canopy_summit.inbox_event[]) RETURNS bigint
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	UPDATE canopy_summit.webhook w SET state = 'applied', applied_at = now(), problem = NULL
	WHERE w.webhook_id = ANY (ARRAY(SELECT e.webhook_id FROM unnest(webhooks_applied.events) AS e));
	SELECT count(pg_notify('canopy_summit', json_build_object('webhook_id', e.webhook_id, 'server', e.server,
		'event', canopy_summit.documented_event(e.event))::text))
	FROM unnest(webhooks_applied.events) AS e;
END;
COMMENT ON FUNCTION canopy_summit.webhooks_applied(canopy_summit.inbox_event[]) IS
	'notes that webhooks are applied, and tells on channel canopy_summit: {"webhook_id": 1, "server": "canopy", "event": "COMPLETE"}, event "unknown" if it is no documented one; returns how many';

CREATE FUNCTION canopy_summit.apply_one(event canopy_summit.inbox_event) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	reason text;
BEGIN
	PERFORM canopy_summit.apply_events(ARRAY[apply_one.event]);
	RETURN true;
EXCEPTION
	-- These go away by themselves: it stays stored.
	WHEN lock_not_available OR transaction_rollback OR insufficient_resources OR system_error THEN
		RETURN false;
	WHEN OTHERS THEN
		reason := SQLERRM;
		UPDATE canopy_summit.webhook w SET state = 'quarantined', problem = reason WHERE w.webhook_id = apply_one.event.webhook_id;
		RETURN false;
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_one(canopy_summit.inbox_event) IS 'applies one event, or quarantines it with the reason; whether it was applied';

-- What waits for a lock all the same, as a certificate does whose upload's row an administrator has locked, waits a moment.
CREATE FUNCTION canopy_summit.apply_webhook_batch(max_rows integer, after bigint, OUT applied bigint, OUT taken integer,
	OUT last_id bigint, OUT is_full boolean)
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10ms'
AS $$
DECLARE
	events canopy_summit.inbox_event[];
	able canopy_summit.inbox_event[];
	-- One in any case, else some 16 MB of bodies at most: each is several times as large while it is applied.
	most CONSTANT integer := least(max_rows, (
		SELECT greatest(1, 16777216 / greatest(max(octet_length(n.body)), 32768))
		FROM (SELECT i.body FROM canopy_summit.webhook i WHERE i.state = 'stored' AND i.webhook_id > apply_webhook_batch.after
			ORDER BY i.webhook_id LIMIT apply_webhook_batch.max_rows) AS n));
BEGIN
	-- The server's name is as the snapshot has it: a cache may lag behind a rename that the row came after.
	SELECT array_agg((w.webhook_id, w.server_now, w.event, w.subject, w.delivery_key, w.content_hash, w.signed_at, w.instance,
		w.payload, w.server_oid_now)::canopy_summit.inbox_event ORDER BY w.webhook_id), count(*), max(w.webhook_id)
	INTO events, taken, last_id
	FROM (SELECT * FROM (SELECT i.*, canopy_summit.webhook_payload(i.body) AS payload,
				canopy_summit.server_of(i.server_oid, i.server, i.instance) AS server_oid_now,
				coalesce((SELECT f.srvname::text FROM pg_foreign_server f
					WHERE f.oid = canopy_summit.server_of(i.server_oid, i.server, i.instance)), i.server) AS server_now
				FROM canopy_summit.webhook i
				WHERE i.state = 'stored' AND i.webhook_id > apply_webhook_batch.after ORDER BY i.webhook_id FOR UPDATE SKIP LOCKED) AS s
			WHERE coalesce(canopy_summit.lock_subjects(canopy_summit.event_subjects(s.server_now, s.subject, s.delivery_key, s.payload), false), true)
			LIMIT most) AS w;
	applied := 0;
	is_full := taken = most AND taken > 0;
	IF events IS NULL THEN
		RETURN;
	END IF;
	BEGIN
		PERFORM canopy_summit.apply_events(events);
		able := events;
	EXCEPTION WHEN OTHERS THEN
		able := ARRAY(SELECT e FROM unnest(events) AS e WHERE canopy_summit.apply_one(e));
	END;
	applied := canopy_summit.webhooks_applied(able)
		+ (SELECT count(*) FROM canopy_summit.webhook w WHERE w.state = 'quarantined'
			AND w.webhook_id = ANY (ARRAY(SELECT e.webhook_id FROM unnest(events) AS e)));
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_webhook_batch(integer, bigint) IS
	'applies stored webhooks with greater keys, oldest first, at most so many, but none that somebody else is applying; how many it took and applied or quarantined, their last key, and whether there may be more behind it';

CREATE FUNCTION canopy_summit.apply_webhooks(max_rows integer DEFAULT 500) RETURNS bigint
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT b.applied FROM canopy_summit.apply_webhook_batch(apply_webhooks.max_rows, 0) AS b;
END;
COMMENT ON FUNCTION canopy_summit.apply_webhooks(integer) IS
	'applies stored webhooks, oldest first, at most so many, about a thousand a transaction; returns how many it applied or quarantined. Workers do this by themselves';

CREATE FUNCTION canopy_summit.apply_webhook(webhook_id bigint) RETURNS text
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	webhook canopy_summit.webhook;
	event canopy_summit.inbox_event;
	payload jsonb;
BEGIN
	SELECT * INTO webhook FROM canopy_summit.webhook w WHERE w.webhook_id = apply_webhook.webhook_id FOR UPDATE;
	IF webhook.webhook_id IS NULL THEN
		RAISE EXCEPTION 'webhook % does not exist', apply_webhook.webhook_id USING ERRCODE = 'no_data_found';
	END IF;
	payload := canopy_summit.webhook_payload(webhook.body);
	IF webhook.state IN ('stored', 'quarantined') AND webhook.event IS NOT NULL AND payload IS NOT NULL THEN
		event := (webhook.webhook_id, canopy_summit.server_name(webhook.server_oid, webhook.server, webhook.instance), webhook.event, webhook.subject,
			webhook.delivery_key, webhook.content_hash, webhook.signed_at, webhook.instance, payload,
			canopy_summit.server_of(webhook.server_oid, webhook.server, webhook.instance));
		PERFORM canopy_summit.lock_subjects(canopy_summit.event_subjects(event.server, event.subject, event.delivery_key, payload), true);
		IF canopy_summit.apply_one(event) THEN
			PERFORM canopy_summit.webhooks_applied(ARRAY[event]);
		END IF;
	END IF;
	RETURN (SELECT w.state FROM canopy_summit.webhook w WHERE w.webhook_id = apply_webhook.webhook_id);
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_webhook(bigint) IS 'tries a quarantined webhook again; returns its state then';
