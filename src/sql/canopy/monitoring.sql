-- canopy/monitoring.sql: what webhooks tell of monitorings, servicings, edits and documents.
-- Replaceable; see webhook/apply.sql.

CREATE FUNCTION canopy_summit.apply_monitoring(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
	INSERT INTO canopy_summit.monitoring AS m (server, monitoring_id, initial_pull_id, latest_pull_id, latest_at, latest_hash)
	SELECT DISTINCT ON (e.server, n.id) e.server, n.id,
		max(e.payload #>> '{monitoring,initial_pull_id}') OVER (PARTITION BY e.server, n.id),
		e.subject, e.signed_at, e.content_hash
	FROM unnest(apply_monitoring.events) AS e,
		LATERAL canopy_summit.short_id(e.payload #>> '{monitoring,monitoring_id}') AS n(id)
	WHERE n.id <> '' AND e.subject IS NOT NULL
	ORDER BY e.server, n.id, e.signed_at DESC, e.content_hash DESC
	ON CONFLICT (monitoring_id, server) DO UPDATE SET initial_pull_id = greatest(m.initial_pull_id, EXCLUDED.initial_pull_id),
		(latest_pull_id, latest_at, latest_hash) = (
			SELECT EXCLUDED.latest_pull_id, EXCLUDED.latest_at, EXCLUDED.latest_hash
			WHERE canopy_summit.is_newer(EXCLUDED.latest_at, EXCLUDED.latest_hash, m.latest_at, m.latest_hash)
			UNION ALL SELECT m.latest_pull_id, m.latest_at, m.latest_hash LIMIT 1);

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
	WHERE canopy_summit.is_newer(EXCLUDED.signed_at, EXCLUDED.content_hash, r.signed_at, r.content_hash);
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
	SELECT DISTINCT ON (e.server, n.id) e.server, n.id, e.subject,
		e.payload #>> '{data,original_pull_id}', coalesce(e.payload #>> '{data,status}', 'WAITING_FOR_CONSUMER_CONFIRMATION'),
		e.payload #> '{data,is_manual}' = 'true', e.payload #>> '{data,validation_error_type}', e.payload #>> '{data,document_id}',
		e.signed_at, e.content_hash
	FROM unnest(apply_servicing.events) AS e,
		LATERAL canopy_summit.short_id(e.payload #>> '{data,servicing_action_id}') AS n(id)
	WHERE e.event IN ('SERVICING_STATUS_UPDATED', 'SERVICING_WAITING_FOR_CONSUMER_CONFIRMATION')
	ORDER BY e.server, n.id, e.signed_at DESC, e.content_hash DESC
	ON CONFLICT (servicing_action_id, server) DO UPDATE SET pull_id = EXCLUDED.pull_id, original_pull_id = EXCLUDED.original_pull_id,
		status = EXCLUDED.status, is_manual = EXCLUDED.is_manual, validation_error_type = EXCLUDED.validation_error_type,
		document_id = EXCLUDED.document_id, signed_at = EXCLUDED.signed_at, content_hash = EXCLUDED.content_hash
	WHERE canopy_summit.is_newer(EXCLUDED.signed_at, EXCLUDED.content_hash, a.signed_at, a.content_hash);
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
	SELECT DISTINCT ON (e.server, n.id) e.server, n.id, e.subject,
		e.payload #>> '{data,status}', canopy_summit.time_or_null(e.payload #>> '{data,completed_at}'), e.signed_at, e.content_hash
	FROM unnest(apply_updates.events) AS e,
		LATERAL canopy_summit.short_id(e.payload #>> '{data,document_validation_id}') AS n(id)
	WHERE e.event = 'VALIDATION_COMPLETE'
	ORDER BY e.server, n.id, e.signed_at DESC, e.content_hash DESC
	ON CONFLICT (document_validation_id, server) DO UPDATE SET pull_id = EXCLUDED.pull_id, status = EXCLUDED.status,
		completed_at = EXCLUDED.completed_at, signed_at = EXCLUDED.signed_at, content_hash = EXCLUDED.content_hash
	WHERE canopy_summit.is_newer(EXCLUDED.signed_at, EXCLUDED.content_hash, v.signed_at, v.content_hash);
END;
COMMENT ON FUNCTION canopy_summit.apply_updates(canopy_summit.inbox_event[]) IS 'DATA_UPDATED: each edit; VALIDATION_COMPLETE: the verdict on a document';

-- A consumer has to log in until something shows that they have, or that it is over: data, a final error, or
-- a later pull of the same monitoring. Signatures have seconds: what is signed in the same one as a reconnect
-- ends it only if it proves the login.
SELECT canopy_summit.define_view('canopy_summit.open_reconnect', 'keys of canopy_summit.reconnect whose consumer has not logged in since: the newest of each monitoring', $view$
SELECT r.server, r.pull_id
FROM canopy_summit.reconnect r
	LEFT JOIN canopy_summit.pull_progress p ON p.pull_id = r.pull_id AND p.server = r.server
WHERE coalesce(greatest(p.logged_in_at, p.data_at) < r.signed_at, true)
	AND NOT coalesce(p.error_type = 'PROVIDER_ERROR' AND p.error_at > r.signed_at, false)
	AND NOT EXISTS (
		SELECT FROM canopy_summit.pull_progress l
		WHERE l.monitoring_id = r.monitoring_id AND l.server = r.server AND l.pull_id <> r.pull_id AND l.first_event_at > r.signed_at)
	AND NOT EXISTS (
		SELECT FROM canopy_summit.reconnect n
		WHERE n.monitoring_id = r.monitoring_id AND n.server = r.server AND (n.signed_at, n.pull_id) > (r.signed_at, r.pull_id))$view$, $notes$
server: server of the pull
pull_id: the pull that the consumer has to log in for$notes$);

SELECT canopy_summit.define_view('canopy.reconnect_needed',
	'monitored pulls whose consumer has to log in again, one a monitoring: until they have, or it is over', $view$
SELECT r.server, canopy_summit.server_environment(r.server) AS environment, r.pull_id, r.initial_pull_id, r.monitoring_id, r.auth_status,
	r.reconnect_url, r.reconnect_token, r.signed_at AS requested_at, now() - r.signed_at AS token_age
FROM canopy_summit.open_reconnect o
	JOIN canopy_summit.reconnect r ON r.pull_id = o.pull_id AND r.server = o.server$view$, $notes$
pull_id: the pull that the consumer has to log in for
initial_pull_id: the pull with which the monitoring began
monitoring_id: the monitoring
auth_status: where the login stands: NOT_AUTHENTICATED, IDENTITY_VERIFICATION_OPTIONS or IDENTITY_VERIFICATION
reconnect_url: the address to send the consumer to
reconnect_token: the token in that address, for a link of one's own
requested_at: when Canopy asked for it
token_age: now less requested_at; tokens expire: of an old one fetch another by operation get-monitoring-reconnect-token$notes$);

SELECT canopy_summit.define_view('canopy.monitoring_event',
	'changes of monitored accounts, each of the one or several that a webhook names', $view$
SELECT e.webhook_id, e.ordinal, e.server, canopy_summit.server_environment(e.server) AS environment, e.monitoring_id, e.pull_id, e.type,
	e.changes, e.documents, e.signed_at
FROM canopy_summit.monitoring_event e$view$, $notes$
webhook_id: the webhook that told
ordinal: number of the change within its webhook, from 1
monitoring_id: the monitoring
pull_id: the pull that found the change
type: what kind of change
changes: what changed, as Canopy describes it
documents: documents that came with it
signed_at: when Canopy told$notes$);

SELECT canopy_summit.define_view('canopy.servicing_action', 'servicing actions as their webhooks say they are now', $view$
SELECT a.server, canopy_summit.server_environment(a.server) AS environment, a.servicing_action_id, a.pull_id, a.original_pull_id, a.status,
	a.is_manual, a.validation_error_type, a.document_id, a.signed_at
FROM canopy_summit.servicing_action a$view$, $notes$
servicing_action_id: the action
pull_id: the pull of type SERVICING
original_pull_id: the pull whose policy is serviced
status: how far it is, such as WAITING_FOR_CONSUMER_CONFIRMATION or VERIFIED
validation_error_type: why it was refused, such as INVALID_VIN; NULL if it was not
document_id: the declarations page that came of it, once it is VERIFIED
signed_at: when Canopy told the newest of it$notes$);

SELECT canopy_summit.define_view('canopy.data_update', 'what consumers have edited', $view$
SELECT u.webhook_id, u.ordinal, u.server, canopy_summit.server_environment(u.server) AS environment, u.pull_id, u.type, u.data, u.signed_at
FROM canopy_summit.data_update u$view$, $notes$
webhook_id: the webhook that told
ordinal: number of the edit within its webhook, from 1
type: what was edited, such as DRIVER_ADDED or DRIVER_UPDATED
data: the edit: a driver, or what was entered
signed_at: when Canopy told$notes$);

SELECT canopy_summit.define_view('canopy.document_validation', 'verdicts on uploaded documents', $view$
SELECT v.server, canopy_summit.server_environment(v.server) AS environment, v.document_validation_id, v.pull_id, v.status, v.completed_at
FROM canopy_summit.document_validation v$view$, $notes$
document_validation_id: the validation
status: the verdict, in Canopy's word
completed_at: when it was given$notes$);
