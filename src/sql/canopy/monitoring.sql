-- canopy/monitoring.sql: monitorings, and what webhooks tell of them, of edits and documents.
-- Replaceable; see webhook/apply.sql.

CREATE FUNCTION @extschema@.canopy_monitor_pull(pull_id text, every interval DEFAULT '30 days', next_pull_date timestamptz DEFAULT NULL,
	stop_after_date timestamptz DEFAULT NULL, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_monitor_pull'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_monitor_pull(text, interval, timestamptz, timestamptz, name) IS
	'has Canopy pull the account of a pull again and again, at least 30 days apart, each time as a new pull, which costs; returns the job';

CREATE FUNCTION @extschema@.canopy_change_monitoring(monitoring_id text, every interval DEFAULT NULL, next_pull_date timestamptz DEFAULT NULL,
	stop_after_date timestamptz DEFAULT NULL, status text DEFAULT NULL, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_change_monitoring'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_change_monitoring(text, interval, timestamptz, timestamptz, text, name) IS
	'changes what is not NULL of a monitoring; status ACTIVE has one go on that is STOPPED; returns the job';

CREATE FUNCTION @extschema@.canopy_stop_monitoring(monitoring_id text, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_stop_monitoring'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_stop_monitoring(text, name) IS 'stops a monitoring, which canopy_change_monitoring() can have go on; returns the job';

CREATE FUNCTION @extschema@.canopy_refresh_monitoring(monitoring_id text, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_refresh_monitoring'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_refresh_monitoring(text, name) IS
	'has a monitored account pulled now, which costs and is not repeated by itself; returns the job';

CREATE FUNCTION @extschema@.canopy_sync_monitorings(server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_sync_monitorings'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_sync_monitorings(name) IS
	'lists the server''s monitorings in the background, page by page, and keeps what it says of them: see canopy_summit.progress; returns the job of the first page';

CREATE FUNCTION @extschema@.canopy_reconnect_token(monitoring_id text, server name DEFAULT NULL,
	OUT pull_id text, OUT reconnect_url text, OUT reconnect_token text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 1000000
BEGIN ATOMIC
	SELECT a.answer ->> 'pull_id', a.answer ->> 'reconnect_url', a.answer ->> 'reconnect_token'
	FROM @extschema@.canopy_call('get-monitoring-reconnect-token',
		jsonb_build_object('monitoringId', canopy_reconnect_token.monitoring_id), NULL, canopy_reconnect_token.server) AS a(answer);
END;
COMMENT ON FUNCTION @extschema@.canopy_reconnect_token(text, name) IS
	'asks for a new token with which the consumer of a monitored account logs in again, and the address to send them to; they expire, and are kept nowhere';

CREATE FUNCTION canopy_summit.listing_goes_on(task_id bigint, fresh bigint) RETURNS boolean
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	-- A server that repeats itself ends the listing, and one that never ends is not followed for ever.
	WITH counted AS (
		UPDATE canopy_summit.task t SET done = t.done + fresh, updated_at = clock_timestamp(), began_at = coalesce(t.began_at, now()),
			finished_at = CASE WHEN fresh = 0 OR t.done + fresh >= 1000000 THEN now() END,
			state = CASE WHEN t.done + fresh >= 1000000 THEN 'failed' WHEN fresh = 0 THEN 'done' ELSE t.state END::canopy_summit.task_state,
			problem = CASE WHEN t.done + fresh >= 1000000 THEN 'the server lists more and more' END
		WHERE t.task_id = listing_goes_on.task_id
		RETURNING t.finished_at IS NULL AS goes_on)
	SELECT coalesce(bool_and(c.goes_on), false) FROM counted c;
END;
COMMENT ON FUNCTION canopy_summit.listing_goes_on(bigint, bigint) IS
	'counts so many things that a page of a listing has found first, and ends the listing if there are none; whether it goes on';

CREATE FUNCTION canopy_summit.monitorings_take(job_id bigint, server text, told_at timestamptz, monitorings jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	job canopy_summit.job;
	entries CONSTANT jsonb := CASE jsonb_typeof(monitorings) WHEN 'array' THEN monitorings ELSE jsonb_build_array(monitorings) END;
	-- Of a listing, which is a task.
	number bigint;
	ids text[];
	fresh bigint;
	last text;
BEGIN
	SELECT * INTO job FROM canopy_summit.job j WHERE j.job_id = monitorings_take.job_id;
	number := job.task_id;
	-- Not all answers name the monitoring that was asked for, and some say nothing of it.
	ids := ARRAY(SELECT CASE WHEN jsonb_typeof(e.told) = 'object' AND e.told ?| '{status,latest_pull_id,pull_id}'
			THEN canopy_summit.short_id(coalesce(e.told ->> 'monitoring_id', job.params ->> 'monitoringId')) END
		FROM jsonb_array_elements(entries) WITH ORDINALITY AS e(told, n) ORDER BY e.n);
	PERFORM canopy_summit.follow(n.named, 'monitoring_id', monitorings_take.server, ids)
		FROM (VALUES ('monitoring'), ('reconnect'), ('pull_progress')) AS n(named);
	SELECT count(DISTINCT i.id) INTO fresh FROM unnest(ids) AS i(id) WHERE i.id <> '' AND NOT EXISTS (
		SELECT FROM canopy_summit.monitoring m
		WHERE m.server = monitorings_take.server AND m.monitoring_id = i.id AND m.listing >= number);
	INSERT INTO canopy_summit.monitoring AS m (server, monitoring_id, latest_pull_id, latest_at, latest_hash, status, every, next_pull_date,
		stop_after_date, told_at, listing)
	SELECT DISTINCT ON (i.id) monitorings_take.server, i.id,
		canopy_summit.short_id(coalesce(e.told ->> 'latest_pull_id', e.told ->> 'pull_id')), monitorings_take.told_at, '',
		e.told ->> 'status',
		CASE WHEN e.told ->> 'interval' ~ '^P[0-9]' AND e.told ->> 'interval' ~ '^P([0-9]{1,3}Y)?([0-9]{1,4}M)?([0-9]{1,4}W)?([0-9]{1,5}D)?$'
			THEN (e.told ->> 'interval')::interval END,
		canopy_summit.time_or_null(e.told ->> 'next_pull_date'), canopy_summit.time_or_null(e.told ->> 'stop_after_date'),
		CASE WHEN e.told ?& '{status,interval}' THEN monitorings_take.told_at END, number
	FROM unnest(ids) WITH ORDINALITY AS i(id, n) JOIN jsonb_array_elements(entries) WITH ORDINALITY AS e(told, n) ON e.n = i.n
	WHERE i.id <> ''
	ORDER BY i.id, i.n
	ON CONFLICT (monitoring_id, server) DO UPDATE SET
		(latest_pull_id, latest_at, latest_hash) = (
			SELECT EXCLUDED.latest_pull_id, EXCLUDED.latest_at, EXCLUDED.latest_hash
			WHERE EXCLUDED.latest_pull_id IS NOT NULL
				AND canopy_summit.is_newer(EXCLUDED.latest_at, EXCLUDED.latest_hash, m.latest_at, m.latest_hash)
			UNION ALL SELECT m.latest_pull_id, m.latest_at, m.latest_hash LIMIT 1),
		-- Of two answers the one that was asked for later.
		(status, every, next_pull_date, stop_after_date, told_at) = (
			SELECT EXCLUDED.status, EXCLUDED.every, EXCLUDED.next_pull_date, EXCLUDED.stop_after_date, EXCLUDED.told_at
			WHERE EXCLUDED.told_at >= coalesce(m.told_at, '-infinity')
			UNION ALL SELECT m.status, m.every, m.next_pull_date, m.stop_after_date, m.told_at LIMIT 1),
		listing = greatest(m.listing, EXCLUDED.listing);
	IF number IS NULL THEN
		RETURN NULL;
	END IF;
	IF canopy_summit.listing_goes_on(number, fresh) THEN
		SELECT e.told ->> 'monitoring_id' INTO last FROM jsonb_array_elements(entries) WITH ORDINALITY AS e(told, n)
		WHERE e.told ->> 'monitoring_id' <> '' ORDER BY e.n DESC LIMIT 1;
	END IF;
	RETURN last;
END
$$;
COMMENT ON FUNCTION canopy_summit.monitorings_take(bigint, text, timestamptz, jsonb) IS
	'keeps what the answer to a job tells of monitorings; of a listing, the one after which the next page begins, NULL if it is over';

-- Documented is one event as a webhook's `data`; what get-monitoring-events answers, which lists them, has been seen there, too.
CREATE FUNCTION canopy_summit.keep_monitoring_events(servers text[], monitorings text[], pulls text[], data jsonb[], told timestamptz[])
RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	INSERT INTO canopy_summit.monitoring_event AS v (server, monitoring_id, pull_id, type, changes_hash, changes, documents, told_at)
	SELECT e.server, e.id, e.pull_id, e.type, e.hash, e.changes,
		(array_agg(e.documents ORDER BY e.documents DESC NULLS LAST))[1], min(e.told_at)
	FROM (
		SELECT t.server, coalesce(canopy_summit.short_id(t.monitoring_id), '') AS id, coalesce(canopy_summit.short_id(t.pull_id), '') AS pull_id,
			coalesce(canopy_summit.short_id(m.item ->> 'type'), '') AS type,
			sha256(convert_to(coalesce((m.item -> 'changes')::text, ''), 'UTF8')) AS hash, m.item -> 'changes' AS changes,
			CASE jsonb_typeof(m.item -> 'documents') WHEN 'array' THEN m.item -> 'documents' END AS documents, t.told_at
		FROM unnest(keep_monitoring_events.servers, keep_monitoring_events.monitorings, keep_monitoring_events.pulls,
				keep_monitoring_events.data, keep_monitoring_events.told) AS t(server, monitoring_id, pull_id, data, told_at),
			LATERAL jsonb_array_elements(CASE
				WHEN jsonb_typeof(t.data -> 'events') = 'array' THEN t.data -> 'events'
				WHEN jsonb_typeof(t.data) = 'array' THEN t.data
				ELSE jsonb_build_array(t.data) END) AS m(item)
		WHERE jsonb_typeof(m.item) = 'object' AND m.item ?| '{type,changes}') AS e
	GROUP BY 1, 2, 3, 4, 5, 6
	ORDER BY 1, 2, 3, 4, 5
	ON CONFLICT (monitoring_id, pull_id, type, changes_hash, server) DO UPDATE
		SET told_at = least(v.told_at, EXCLUDED.told_at), documents = greatest(v.documents, EXCLUDED.documents)
		WHERE EXCLUDED.told_at < v.told_at OR coalesce(EXCLUDED.documents > v.documents, v.documents IS NULL);
END;
COMMENT ON FUNCTION canopy_summit.keep_monitoring_events(text[], text[], text[], jsonb[], timestamptz[]) IS
	'keeps events of monitorings, each once however often and in whichever form it is told: the first time that it was, and the more documents';

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

	SELECT canopy_summit.keep_monitoring_events(array_agg(e.server), array_agg(e.payload #>> '{monitoring,monitoring_id}'), array_agg(e.subject),
		array_agg(e.payload -> 'data'), array_agg(e.signed_at))
	FROM unnest(apply_monitoring.events) AS e
	WHERE e.event = 'MONITORING_EVENTS' HAVING count(*) > 0;

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
-- Times are whole seconds, in less than which nobody logs in.
WHERE coalesce(greatest(p.logged_in_at, p.data_at) <= r.signed_at, true)
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
token_age: now less requested_at; tokens expire: of an old one fetch another by canopy_reconnect_token()$notes$);

SELECT canopy_summit.define_view('canopy.monitoring', 'monitorings: accounts that Canopy pulls again by itself', $view$
SELECT m.server, canopy_summit.server_environment(m.server) AS environment, m.monitoring_id,
	CASE WHEN m.told_at IS NULL THEN 'team' ELSE 'api' END AS source, m.status, m.every, m.next_pull_date, m.stop_after_date,
	m.initial_pull_id, m.latest_pull_id::canopy_summit.provider_id AS latest_pull_id,
	EXISTS (SELECT FROM canopy_summit.open_reconnect o JOIN canopy_summit.reconnect r ON r.pull_id = o.pull_id AND r.server = o.server
		WHERE r.monitoring_id = m.monitoring_id AND r.server = m.server) AS needs_reconnect, m.told_at
FROM canopy_summit.monitoring m$view$, $notes$
monitoring_id: the monitoring
source: api, if an answer has told its status; else team, as where Canopy refreshes all accounts of the team: canopy_sync_monitorings() tells them apart
status: ACTIVE or STOPPED
every: time between two pulls
next_pull_date: when the next one comes, if it is ACTIVE
stop_after_date: it stops after this; NULL if it does not
initial_pull_id: the pull with which it began; NULL if no webhook has said
latest_pull_id: the newest pull of the account that is known
needs_reconnect: whether the consumer has to log in again: see canopy.reconnect_needed
told_at: when the newest answer that told its status was asked for$notes$);

SELECT canopy_summit.define_view('canopy.monitoring_event', 'changes of monitored accounts, each once', $view$
SELECT e.server, canopy_summit.server_environment(e.server) AS environment, nullif(e.monitoring_id, '')::canopy_summit.provider_id AS monitoring_id,
	nullif(e.pull_id, '') AS pull_id, nullif(e.type, '')::canopy_summit.provider_word AS type, e.changes, e.documents, e.told_at
FROM canopy_summit.monitoring_event e$view$, $notes$
monitoring_id: the monitoring
pull_id: the pull that found the change
type: what kind of change, such as RENEWAL, CANCELED (with one L) or CLAIM_OPENED
changes: what changed, as Canopy describes it
documents: documents that came with it
told_at: when Canopy told first, by a webhook or by the answer to get-monitoring-events$notes$);

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

SELECT canopy_summit.allow('nobody', 'function', 'listing_goes_on monitorings_take keep_monitoring_events');
