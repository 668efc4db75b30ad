-- canopy/progress.sql: how far webhooks say that pulls are.
-- Replaceable; see webhook/apply.sql.

CREATE FUNCTION canopy_summit.event_auth_status(payload jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(payload #>> '{data,auth_status}', payload ->> 'auth_status', payload ->> 'status', 'UNKNOWN');
COMMENT ON FUNCTION canopy_summit.event_auth_status(jsonb) IS 'where an AUTH_STATUS says that the login is, wherever in its body';

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
		(last_event, last_status, last_event_at, last_event_hash) = (
			SELECT EXCLUDED.last_event, EXCLUDED.last_status, EXCLUDED.last_event_at, EXCLUDED.last_event_hash
			WHERE canopy_summit.is_newer(EXCLUDED.last_event_at, EXCLUDED.last_event_hash, p.last_event_at, p.last_event_hash)
			UNION ALL SELECT p.last_event, p.last_status, p.last_event_at, p.last_event_hash LIMIT 1),
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

CREATE FUNCTION canopy_summit.apply_fetches(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
	-- As canopy_enqueue_fetch() would by the webhook_role: one that is queued is enough, one that is on its way is not.
	INSERT INTO canopy_summit.job (job_id, server, operation, params, dedupe_key, owner, priority, run_at, instance, max_attempts, state,
		fence, attempts, enqueued_at, server_oid, owner_oid)
	SELECT nextval('canopy_summit.job_id_seq'), f.server, 'get-pull-by-id', canopy_summit.fetch_params(f.server_oid, f.pull_id), 'fetch ' || f.pull_id,
		canopy_summit.webhook_role(f.server_oid), 5, now(), f.instance, 10, 'queued', 0, 0, now(), f.server_oid,
		canopy_summit.owner_of(NULL, canopy_summit.webhook_role(f.server_oid), NULL)
	FROM (SELECT DISTINCT e.server, e.server_oid, e.subject AS pull_id, e.instance FROM unnest(apply_fetches.events) AS e
		WHERE e.event IN ('POLICIES_AVAILABLE', 'COMPLETE', 'DATA_UPDATED') AND e.subject IS NOT NULL
			AND e.payload ->> 'pull_type' IS DISTINCT FROM 'SERVICING') AS f;
	SELECT canopy_summit.wake() WHERE EXISTS (
		SELECT FROM unnest(apply_fetches.events) AS e WHERE e.event IN ('POLICIES_AVAILABLE', 'COMPLETE', 'DATA_UPDATED'));
END;
COMMENT ON FUNCTION canopy_summit.apply_fetches(canopy_summit.inbox_event[]) IS 'POLICIES_AVAILABLE, COMPLETE, DATA_UPDATED: has the pull fetched';

SELECT canopy_summit.define_view('canopy.pull_status',
	'how far a pull is, by its webhooks: last event, error, whether that is final, and what to do next', $view$
SELECT p.server, canopy_summit.server_environment(p.server) AS environment, p.pull_id, p.pull_type, p.account_identifier, p.monitoring_id,
	p.last_event, p.last_status, p.last_event_at, a.auth_status, a.sequence, a.mfa_options, a.login_error_html, p.error_type, p.error_at, p.policies_at, p.completed_at,
	p.completed_at IS NOT NULL OR p.error_type IS NOT DISTINCT FROM 'PROVIDER_ERROR' AS is_final,
	-- The newest fact that counts: data that is there outweighs a login, or an attempt, that failed before it.
	CASE
		WHEN r.pull_id IS NOT NULL THEN 'ask the consumer to log in again: reconnect_url'
		WHEN p.completed_at IS NOT NULL THEN 'none: it is complete'
		WHEN p.error_type = 'PROVIDER_ERROR' AND coalesce(p.error_at >= p.data_at, true)
			THEN 'ask the consumer to connect again later: the carrier failed'
		WHEN a.signed_at < p.data_at THEN 'wait for the documents'
		WHEN a.auth_status = 'NOT_AUTHENTICATED' THEN 'ask the consumer for other credentials'
		WHEN a.auth_status = 'IDENTITY_VERIFICATION_OPTIONS' THEN 'ask the consumer which way to be verified'
		WHEN a.auth_status = 'IDENTITY_VERIFICATION' THEN 'ask the consumer for the code'
		WHEN p.policies_at IS NOT NULL THEN 'wait for the documents'
		ELSE 'wait'
	END AS next_step,
	r.reconnect_url
FROM canopy_summit.pull_progress p
	LEFT JOIN canopy_summit.auth_status a ON a.pull_id = p.pull_id AND a.server = p.server
	LEFT JOIN (canopy_summit.open_reconnect o JOIN canopy_summit.reconnect r ON r.pull_id = o.pull_id AND r.server = o.server)
		ON o.pull_id = p.pull_id AND o.server = p.server$view$, $notes$
pull_type: kind of pull, such as PULLING_DATA or SERVICING; NULL where webhooks do not say
account_identifier: the account at the carrier, the same over its pulls
monitoring_id: the monitoring that the pull belongs to; NULL if none
last_event: newest event, such as AUTH_STATUS, POLICIES_AVAILABLE, COMPLETE or ERROR
last_event_at: when Canopy signed it
auth_status: where the login stands: NOT_AUTHENTICATED, IDENTITY_VERIFICATION_OPTIONS, IDENTITY_VERIFICATION or SUCCESS
sequence: number of the login's state, which only rises
mfa_options: ways in which the consumer can show who they are; the keys are what canopy_choose_mfa_option() takes
login_error_html: why the login failed, as the carrier words it, safe to show as HTML
error_at: when the newest ERROR was signed
is_final: completed_at is there, or error_type is PROVIDER_ERROR: nothing more is to come; an INTERNAL_ERROR is not final
next_step: what to do, by the newest fact that counts
reconnect_url: the address to send the consumer to, while a login is needed$notes$);
