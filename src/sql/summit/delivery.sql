-- summit/delivery.sql: webhooks that go out: what certificates have come to, for endpoints of others.
-- Replaceable.
--
-- A delivery is a job of operation post-delivery, enqueued in the transaction that writes down what it tells.

CREATE FUNCTION canopy_summit.endpoints(OUT server_oid oid, OUT server text, OUT environment text, OUT events text[], OUT property_ids text[],
	OUT country text)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
BEGIN ATOMIC
	SELECT s.oid, s.srvname::text, coalesce(max(o.option_value) FILTER (WHERE o.option_name = 'environment'), 'production'),
		regexp_split_to_array(btrim(max(o.option_value) FILTER (WHERE o.option_name = 'events')), '[ ]*,[ ]*'),
		regexp_split_to_array(btrim(max(o.option_value) FILTER (WHERE o.option_name = 'property_ids')), '[ ]*,[ ]*'),
		coalesce(max(o.option_value) FILTER (WHERE o.option_name = 'country'), 'CA')
	FROM pg_catalog.pg_foreign_server s
		JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'webhook_endpoint'
		LEFT JOIN LATERAL pg_catalog.pg_options_to_table(s.srvoptions) AS o ON true
	GROUP BY s.oid, s.srvname;
END;
COMMENT ON FUNCTION canopy_summit.endpoints() IS 'servers of wrapper webhook_endpoint, and what they are told: NULL is all events, or all properties';

CREATE FUNCTION canopy_summit.may_use_server(role name, server text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(bool_or(has_server_privilege(r.oid, s.oid, 'USAGE')), false)
	FROM pg_catalog.pg_roles r, pg_catalog.pg_foreign_server s
	WHERE r.rolname = may_use_server.role AND s.oid = coalesce(
		(SELECT n.oid FROM pg_catalog.pg_foreign_server n WHERE n.srvname = may_use_server.server),
		canopy_summit.server_of_former(may_use_server.server));
END;
COMMENT ON FUNCTION canopy_summit.may_use_server(name, text) IS 'whether a role has USAGE on a server; false if either is gone';

CREATE FUNCTION canopy_summit.moment_text(moment timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
COMMENT ON FUNCTION canopy_summit.moment_text(timestamptz) IS 'a moment in ISO 8601 and UTC';

-- The four events of Summit's guide ("Status webhooks"), and what more is known of each.
CREATE FUNCTION canopy_summit.delivery_data(event canopy_summit.status_event, holder canopy_summit.policy_status) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_strip_nulls(jsonb_build_object(
		'policy', jsonb_build_object('policy_number', (holder).policy_number, 'verifier', (event).verifier)
			|| CASE WHEN (event).status = 'submitted' THEN '{}' ELSE
				jsonb_build_object((event).status || '_at', canopy_summit.moment_text((event).observed_at)) END
			|| CASE (event).status
				WHEN 'lapsed' THEN '{}'
				WHEN 'reinstated' THEN jsonb_build_object('new_effective_date', (event).effective_date, 'new_expiry_date', (event).expiry_date)
				ELSE jsonb_build_object('policy_type', (event).policy_type, 'effective_date', (event).effective_date,
					'expiry_date', (event).expiry_date) END,
		'certificate_holder', jsonb_build_object('name', (event).holder_name, 'reference_ids', jsonb_build_object(
			'property_id', (holder).property_id, 'unit_id', (holder).unit_id, 'lease_id', (holder).lease_id, 'tenant_id', (holder).tenant_id)))
		|| CASE WHEN (event).status = 'lapsed' THEN jsonb_build_object('last_known_coverage',
			jsonb_build_object('effective_date', (event).effective_date, 'expiry_date', (event).expiry_date)) ELSE '{}' END
		|| CASE WHEN coalesce((event).reason_code, (event).reason_detail) IS NULL THEN '{}' ELSE
			jsonb_build_object('reason', jsonb_build_object('code', (event).reason_code, 'detail', (event).reason_detail)) END
		|| CASE WHEN (event).coi_pdf_id IS NULL THEN '{}' ELSE
			jsonb_build_object('documents', jsonb_build_object('coi_pdf_id', (event).coi_pdf_id)) END
		|| jsonb_build_object('checks', (event).checks, 'evidence', (event).evidence));
END;
COMMENT ON FUNCTION canopy_summit.delivery_data(canopy_summit.status_event, canopy_summit.policy_status) IS
	'data of a webhook about an event of a policy and holder, in Summit''s shape';

CREATE FUNCTION canopy_summit.enqueue_deliveries(events bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- Mostly there is nobody to be told.
	IF NOT EXISTS (SELECT FROM canopy_summit.endpoints()) THEN
		RETURN;
	END IF;
	WITH told AS MATERIALIZED (
		SELECT e.status_event_id, e.server AS source, p.property_id, 'policy.' || e.status AS event,
			coalesce((SELECT w.instance FROM canopy_summit.webhook w WHERE w.webhook_id = e.webhook_id),
				(SELECT u.instance FROM summit.upload u WHERE u.upload_id = e.upload_id), canopy_summit.instance()) AS instance,
			-- One for all endpoints: two may lead to the same receiver.
			'dwk_' || replace(gen_random_uuid()::text, '-', '') AS delivery_id, canopy_summit.moment_text(e.occurred_at) AS occurred_at,
			canopy_summit.delivery_data(e, p) AS data
		FROM canopy_summit.status_event e JOIN canopy_summit.policy_status p ON p.policy_status_id = e.policy_status_id
		WHERE e.status_event_id = ANY (events)
			-- What another server has told before has been passed on: databases may tell each other in a circle.
			AND NOT EXISTS (
				SELECT FROM canopy_summit.policy_status q JOIN canopy_summit.status_event o ON o.policy_status_id = q.policy_status_id
				WHERE q.policy_number = p.policy_number AND q.server <> p.server AND q.property_id IS NOT DISTINCT FROM p.property_id
					AND coalesce(q.unit_id = p.unit_id, true) AND coalesce(q.lease_id = p.lease_id, true)
					AND coalesce(q.tenant_id = p.tenant_id, true)
					AND canopy_summit.server_environment(q.server) IS NOT DISTINCT FROM canopy_summit.server_environment(p.server)
					AND o.status = e.status AND o.occurred_at = e.occurred_at AND o.status_event_id < e.status_event_id)),
	sent AS MATERIALIZED (
		SELECT t.*, s.server_oid, s.server, s.country, canopy_summit.webhook_role(s.server_oid) AS owner
		FROM told t JOIN canopy_summit.endpoints() AS s ON s.environment = canopy_summit.server_environment(t.source)
			AND coalesce(t.event = ANY (s.events), true)
			AND CASE WHEN s.property_ids IS NULL THEN true ELSE t.property_id = ANY (s.property_ids) END
			-- Whose certificates they are not, nobody passes on.
			AND canopy_summit.may_use_server(canopy_summit.webhook_role(s.server_oid), t.source)),
	disclosed AS (
		INSERT INTO canopy_summit.disclosure (disclosure_id, server, system, property_id, from_country, to_country, rows, disclosed_at, disclosed_by)
		SELECT nextval('canopy_summit.disclosure_id_seq'), n.source, n.server, n.property_id, n.home, n.country, n.rows, now(), n.owner
		FROM (SELECT s.source, s.server, s.property_id, canopy_summit.server_country(s.source) AS home, s.country, s.owner, count(*) AS rows
			FROM sent s GROUP BY 1, 2, 3, 4, 5, 6) AS n
		WHERE n.home <> n.country)
	INSERT INTO canopy_summit.job (job_id, server, operation, params, body, owner, priority, run_at, instance, max_attempts, state, fence,
		attempts, enqueued_at, server_oid, owner_oid)
	SELECT nextval('canopy_summit.job_id_seq'), s.server, 'post-delivery', jsonb_build_object('Idempotency-Key', s.delivery_id),
		jsonb_build_object('delivery_id', s.delivery_id, 'event', s.event, 'occurred_at', s.occurred_at, 'data', s.data), s.owner, 5, now(),
		s.instance, 8, 'queued', 0, 0, now(), s.server_oid, canopy_summit.owner_of(NULL, s.owner, NULL)
	FROM sent s ORDER BY s.status_event_id;
	IF FOUND THEN
		PERFORM canopy_summit.wake();
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.enqueue_deliveries(bigint[]) IS 'has endpoints told of events of certificates that have just been written down';

CREATE FUNCTION canopy_summit.replay_deliveries(server name DEFAULT NULL, since timestamptz DEFAULT '-infinity', delivered boolean DEFAULT false)
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT canopy_summit.wake();
	WITH replayed AS (
		UPDATE canopy_summit.job j
		SET state = 'queued', attempts = 0, run_at = now(), finished_at = NULL, first_sent_at = NULL,
			owner = coalesce(canopy_summit.webhook_role(j.server_oid), j.owner),
			owner_oid = coalesce(canopy_summit.owner_of(NULL, canopy_summit.webhook_role(j.server_oid), NULL), j.owner_oid)
		WHERE j.operation = 'post-delivery' AND (j.state = 'failed' OR replay_deliveries.delivered AND j.state = 'succeeded')
			AND j.enqueued_at >= replay_deliveries.since
			AND (replay_deliveries.server IS NULL
				OR canopy_summit.server_of(j.server_oid, j.server, j.instance) = nullif(canopy_summit.server_of(NULL, replay_deliveries.server::text, NULL), 0))
		RETURNING 1)
	SELECT count(*) FROM replayed;
END;
COMMENT ON FUNCTION canopy_summit.replay_deliveries(name, timestamptz, boolean) IS
	'has dead deliveries sent again, by the endpoint''s webhook_role, with their delivery_id, and all eight attempts before them: of one endpoint if given, enqueued since then; with delivered those that have arrived, too; returns how many';

SELECT canopy_summit.define_view('summit.delivery', 'webhooks that go out: a row an event and endpoint, until retention deletes it', $view$
SELECT j.body ->> 'delivery_id' AS delivery_id, canopy_summit.server_name(j.server_oid, j.server, j.instance) AS server,
	canopy_summit.server_environment(canopy_summit.server_name(j.server_oid, j.server, j.instance)) AS environment, j.body ->> 'event' AS event,
	(j.body ->> 'occurred_at')::timestamptz AS occurred_at,
	(j.body #>> '{data,policy,policy_number}')::canopy_summit.personal_text AS policy_number,
	(j.body #>> '{data,certificate_holder,reference_ids,property_id}')::canopy_summit.provider_id AS property_id,
	CASE j.state WHEN 'running' THEN 'sending' WHEN 'succeeded' THEN 'delivered' WHEN 'failed' THEN 'dead' ELSE j.state::text END AS state,
	j.attempts, CASE WHEN j.state = 'queued' THEN j.run_at END AS next_attempt_at, j.outcome_status AS last_status, j.outcome AS last_outcome,
	j.enqueued_at, j.finished_at, j.job_id
FROM canopy_summit.job j WHERE j.operation = 'post-delivery'$view$, $notes$
delivery_id: what receivers know it by; the same for all endpoints that are told of the event
server: the endpoint, by the name it has now
environment: production or sandbox: that of the endpoint now
event: policy.submitted, policy.verified, policy.lapsed or policy.reinstated
occurred_at: when that occurred
policy_number: number of the policy
property_id: the property, by its id in the property system
state: queued, sending, delivered, dead: it is not sent again unless canopy_summit.replay_deliveries() does; or cancelled
attempts: attempts that have ended
next_attempt_at: when it is sent next
last_status: HTTP status of the last attempt
last_outcome: what came of the last attempt
enqueued_at: when the event was written down
finished_at: when it was delivered, or given up$notes$);

SELECT canopy_summit.allow('operator', 'function', 'replay_deliveries');
