-- summit/notice.sql: which certificates need a renewal, and notices that they end.
-- Replaceable.
--
-- Whether something is due follows from the expiry date and today's date where the property is, and from nothing that was
-- computed before: neither a change of clocks nor one of the time zone's rules makes a notice come twice, or never.

-- What ends because another policy takes its place. The consumer says which servers are the same.
CREATE VIEW canopy_summit.certificate_replacement AS
SELECT c.policy_status_id, c.term, p.server, q.server AS renewal_server, r.policy_status_id AS renewal_id, r.term AS renewal_term
FROM canopy_summit.certificate c
	JOIN canopy_summit.policy_status p ON p.policy_status_id = c.policy_status_id
	JOIN canopy_summit.policy_status q ON md5(q.property_id) = md5(p.property_id)
		AND md5(coalesce(q.lease_id, q.tenant_id)) = md5(coalesce(p.lease_id, p.tenant_id))
		AND q.policy_status_id <> p.policy_status_id AND q.policy_type = p.policy_type AND q.lease_id IS NOT DISTINCT FROM p.lease_id
		-- Of one lease, two tenants may have a policy each.
		AND coalesce(q.tenant_id = p.tenant_id, true) AND coalesce(q.unit_id = p.unit_id, true)
	JOIN canopy_summit.certificate r ON r.policy_status_id = q.policy_status_id AND r.known_to = 'infinity' AND r.cover @> c.expiry_date
WHERE c.known_to = 'infinity';
COMMENT ON VIEW canopy_summit.certificate_replacement IS
	'certificates, and those of another policy of the same lease (of the same tenant, where there is no lease) and type that cover the day on which they end; nothing is masked';
SELECT canopy_summit.describe('canopy_summit.certificate_replacement', $notes$
policy_status_id: the policy and holder whose cover ends
term: its term
server: its foreign server, by its name
renewal_server: server of the other one
renewal_id: the other policy and holder
renewal_term: its term$notes$);

SELECT canopy_summit.define_view('summit.renewal_due', 'certificates that end within 60 days, and those that have ended in the last 60 without a renewal: when it has to be sent, and whether it was', $view$
SELECT p.server, p.environment, p.property_id, p.unit_id, p.lease_id, p.tenant_id, p.policy_number, p.policy_type, c.expiry_date,
	c.expiry_date - 15 AS send_by, c.expiry_date - d.today AS days_left, n.uploaded_at,
	CASE WHEN n.uploaded_at IS NOT NULL
			THEN CASE WHEN (n.uploaded_at AT TIME ZONE y.time_zone)::date > c.expiry_date - 15 THEN 'late' WHEN d.today IS NOT NULL THEN 'sent' END
		WHEN d.today >= c.expiry_date THEN 'ended' WHEN d.today IS NOT NULL AND c.status = 'lapsed' THEN 'lapsed'
		WHEN d.today > c.expiry_date - 15 THEN 'not sent' WHEN d.today IS NOT NULL THEN 'due' END AS state,
	CASE WHEN p.property_id IS NULL THEN 'it names no property: no notice comes of it'
		WHEN y.time_zone IS NULL THEN 'its property has no time zone: no notice comes until summit.property has it' END AS problem
FROM canopy_summit.certificate c
	JOIN canopy_summit.policy_status p ON p.policy_status_id = c.policy_status_id
	LEFT JOIN summit.property y ON y.server = p.server AND y.property_id = p.property_id
	CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE y.time_zone)::date, (now() AT TIME ZONE coalesce(y.time_zone, 'UTC'))::date) AS d(today, about)
	-- The first upload of the renewal; of one that came otherwise, when it was first known.
	CROSS JOIN LATERAL (
		SELECT min(coalesce(u.uploaded_at, h.known_from))
		FROM (SELECT l.policy_status_id, l.term FROM canopy_summit.certificate l
				WHERE l.policy_status_id = c.policy_status_id AND l.known_to = 'infinity' AND l.term > c.term
				UNION ALL
				SELECT o.renewal_id, o.renewal_term FROM canopy_summit.certificate_replacement o
				WHERE o.policy_status_id = c.policy_status_id AND o.term = c.term AND o.renewal_server = o.server) AS r
			JOIN canopy_summit.certificate h ON h.policy_status_id = r.policy_status_id AND h.term = r.term
			LEFT JOIN summit.upload u ON u.upload_id = h.upload_id) AS n(uploaded_at)
WHERE c.known_to = 'infinity'
	AND c.expiry_date BETWEEN (now() AT TIME ZONE 'UTC')::date - 61 AND (now() AT TIME ZONE 'UTC')::date + 61
	AND c.expiry_date BETWEEN d.about - 60 AND d.about + 60
	AND (c.expiry_date > d.about OR n.uploaded_at IS NULL)$view$, $notes$
server: foreign server, by its name; of one that was dropped, its last
environment: production or sandbox
policy_number: number of the policy
property_id: the property, by its id in the property system
unit_id: the unit, likewise
lease_id: the lease, likewise
tenant_id: the tenant, likewise
policy_type: kind of policy, as Summit calls it
expiry_date: day on which cover ends, which is not covered
send_by: last day on which the renewal should be uploaded: 15 days before
days_left: days until cover ends, by the date where the property is; NULL: its time zone is not known
uploaded_at: when the renewal was first uploaded, or first known here if it came otherwise; a later term, or another policy of the same lease and type that covers the day on which this one ends
state: due; sent: in time; late: after send_by; not sent: send_by has passed; lapsed: before its end; ended: not covered any more; NULL: the property's time zone is not known
problem: why no notice comes of it$notes$);

-- "Send renewals at least 15 days before expiry_date to prevent automatic lapse notifications to properties" (Summit's guide,
-- "Operational best practices"). One whose renewal is known is not renewed again.
CREATE FUNCTION canopy_summit.renewal_is_late(server text, policy_number text, policy_type text, ids jsonb, effective date, expiry date)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
	send_from CONSTANT date := canopy_summit.property_date(server, ids ->> 'property_id') + 15;
	home CONSTANT text := coalesce(ids ->> 'lease_id', ids ->> 'tenant_id');
BEGIN
	RETURN EXISTS (
			SELECT FROM canopy_summit.policy_status p JOIN canopy_summit.certificate c ON c.policy_status_id = p.policy_status_id
			WHERE p.policy_number = renewal_is_late.policy_number AND p.server = renewal_is_late.server
				AND p.property_id IS NOT DISTINCT FROM ids ->> 'property_id' AND coalesce(p.unit_id = ids ->> 'unit_id', true)
				AND coalesce(p.lease_id = ids ->> 'lease_id', true) AND coalesce(p.tenant_id = ids ->> 'tenant_id', true)
				AND c.known_to = 'infinity' AND c.is_newest AND c.term < effective
				AND c.expiry_date BETWEEN effective - 60 AND expiry - 1 AND c.expiry_date < send_from)
		OR EXISTS (
			SELECT FROM canopy_summit.policy_status p JOIN canopy_summit.certificate c ON c.policy_status_id = p.policy_status_id
			WHERE md5(p.property_id) = md5(ids ->> 'property_id') AND md5(coalesce(p.lease_id, p.tenant_id)) = md5(home)
				AND p.server = renewal_is_late.server AND p.policy_number <> renewal_is_late.policy_number
				AND p.policy_type = renewal_is_late.policy_type AND p.lease_id IS NOT DISTINCT FROM ids ->> 'lease_id'
				AND coalesce(p.tenant_id = ids ->> 'tenant_id', true) AND coalesce(p.unit_id = ids ->> 'unit_id', true)
				AND c.known_to = 'infinity' AND c.is_newest AND c.expiry_date BETWEEN effective AND expiry - 1 AND c.expiry_date < send_from
				AND NOT EXISTS (SELECT FROM canopy_summit.certificate_replacement o
					WHERE o.policy_status_id = c.policy_status_id AND o.term = c.term AND o.renewal_server = p.server));
END
$$;
COMMENT ON FUNCTION canopy_summit.renewal_is_late(text, text, text, jsonb, date, date) IS
	'whether a certificate that is uploaded today renews one that ends in less than 15 days, or has ended, by the date where the property is';

CREATE FUNCTION canopy_summit.notice_check(cadence integer[], max_rows integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF coalesce(array_ndims(cadence), 0) <> 1 OR cardinality(cadence) > 20 OR EXISTS (
			SELECT FROM unnest(cadence) AS k(step) WHERE k.step BETWEEN 1 AND 366 IS NOT TRUE)
		OR cardinality(cadence) <> (SELECT count(DISTINCT k.step) FROM unnest(cadence) AS k(step)) THEN
		RAISE EXCEPTION 'cadence % is not one', coalesce(cadence::text, 'NULL')
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Give 1 to 20 different numbers of days before the expiry date, each from 1 to 366, such as {30,15,5}.';
	END IF;
	-- As many as a transaction may lock.
	IF max_rows BETWEEN 1 AND 1000 IS NOT TRUE THEN
		RAISE EXCEPTION 'max_rows cannot be %', coalesce(max_rows::text, 'NULL')
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a number from 1 to 1000.';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.notice_check(integer[], integer) IS 'error 22023: days or a number of rows that cannot be';

-- Cover has ended on the expiry date: that day is too late. What is lapsed, superseded or renewed is not due, so nothing
-- has to be withdrawn.
CREATE FUNCTION canopy_summit.notice_due(policy_status_id bigint, expiry_date date, at timestamptz, cadence integer[], servers text[], OUT step integer)
RETURNS SETOF integer
LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
	SELECT s.step
	FROM canopy_summit.certificate c
		JOIN canopy_summit.policy_status p ON p.policy_status_id = c.policy_status_id
		CROSS JOIN LATERAL (SELECT (notice_due.at AT TIME ZONE y.time_zone)::date FROM summit.property y
			-- Of a server that is being renamed the property may have the former name still.
			WHERE y.property_id = p.property_id AND y.server = ANY (notice_due.servers) ORDER BY y.server = p.server DESC LIMIT 1) AS d(today)
		CROSS JOIN LATERAL (SELECT min(k.step) FROM unnest(notice_due.cadence) AS k(step) WHERE c.expiry_date - k.step <= d.today) AS s(step)
	WHERE c.policy_status_id = notice_due.policy_status_id AND c.expiry_date = notice_due.expiry_date AND c.known_to = 'infinity'
		AND c.is_newest AND c.status IS DISTINCT FROM 'lapsed' AND c.expiry_date > d.today AND s.step IS NOT NULL
		AND NOT EXISTS (SELECT FROM canopy_summit.certificate_replacement o
			WHERE o.policy_status_id = c.policy_status_id AND o.term = c.term AND o.renewal_server = ANY (notice_due.servers));
END;
COMMENT ON FUNCTION canopy_summit.notice_due(bigint, date, timestamptz, integer[], text[]) IS
	'the nearest step of a cadence that is due at a time, if a notice is that this policy and holder''s newest term ends that day; no row if none is';

CREATE FUNCTION canopy_summit.notices_repeat(at timestamptz, cadence integer[], max_rows integer, servers text[]) RETURNS SETOF bigint
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH found AS (
		SELECT n.notice_id
		FROM canopy_summit.notice n
			CROSS JOIN LATERAL canopy_summit.notice_due(n.policy_status_id, n.expiry_date, notices_repeat.at, notices_repeat.cadence, notices_repeat.servers) AS d
		WHERE n.done_at IS NULL AND n.taken_at <= clock_timestamp() - interval '1 hour' AND n.server = ANY (notices_repeat.servers)
			AND n.expiry_date >= (notices_repeat.at AT TIME ZONE 'UTC')::date AND n.step = d.step
			-- One that is nearer has been taken, by another cadence.
			AND NOT EXISTS (SELECT FROM canopy_summit.notice o
				WHERE o.policy_status_id = n.policy_status_id AND o.expiry_date = n.expiry_date AND o.step < n.step)
		ORDER BY n.expiry_date LIMIT notices_repeat.max_rows
		FOR UPDATE OF n SKIP LOCKED)
	UPDATE canopy_summit.notice n SET taken_at = clock_timestamp() FROM found f WHERE n.notice_id = f.notice_id RETURNING n.notice_id;
END;
COMMENT ON FUNCTION canopy_summit.notices_repeat(timestamptz, integer[], integer, text[]) IS
	'takes notices again that are due and were not acknowledged within an hour, but for those that another session has';

-- Whoever inserts what another transaction has inserted waits for it: a lock is tried first, without waiting, of what is
-- returned and nothing else: row by row, after all other conditions.
CREATE FUNCTION canopy_summit.notices_take(at timestamptz, cadence integer[], max_rows integer, servers text[]) RETURNS SETOF bigint
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH found AS (
		SELECT o.policy_status_id, o.expiry_date, o.step
		FROM (SELECT w.policy_status_id, w.expiry_date, d.step
				-- Most have their notice already, which is seen without the property: wherever it is, the date is at most a day off.
				FROM (SELECT c.policy_status_id, c.expiry_date
						FROM canopy_summit.certificate c
							CROSS JOIN (SELECT (notices_take.at AT TIME ZONE 'UTC')::date,
								(notices_take.at AT TIME ZONE 'UTC')::date + 1 + (SELECT max(k.step) FROM unnest(notices_take.cadence) AS k(step))) AS u(today, last)
							CROSS JOIN LATERAL (SELECT min(k.step) FROM unnest(notices_take.cadence) AS k(step) WHERE c.expiry_date - k.step <= u.today + 1)
								AS s(step)
						WHERE c.server = ANY (notices_take.servers) AND c.known_to = 'infinity' AND c.is_newest AND c.expiry_date BETWEEN u.today AND u.last
							AND NOT EXISTS (SELECT FROM canopy_summit.notice n
								WHERE n.policy_status_id = c.policy_status_id AND n.expiry_date = c.expiry_date AND n.step <= s.step
									AND n.expiry_date BETWEEN u.today AND u.last)
						ORDER BY c.expiry_date OFFSET 0) AS w
					CROSS JOIN LATERAL canopy_summit.notice_due(w.policy_status_id, w.expiry_date, notices_take.at, notices_take.cadence, notices_take.servers)
						AS d
				WHERE NOT EXISTS (SELECT FROM canopy_summit.notice n
					WHERE n.policy_status_id = w.policy_status_id AND n.expiry_date = w.expiry_date AND n.step <= d.step)
				ORDER BY w.expiry_date OFFSET 0) AS o
		WHERE canopy_summit.lock_subjects(ARRAY['notice ' || o.policy_status_id], false)
		LIMIT notices_take.max_rows),
	made AS (
		INSERT INTO canopy_summit.notice (notice_id, server, policy_status_id, expiry_date, step, taken_at)
		SELECT nextval('canopy_summit.notice_id_seq'), notices_take.servers[1], f.policy_status_id, f.expiry_date, f.step, clock_timestamp()
		FROM found f
		ON CONFLICT (policy_status_id, expiry_date, step) DO NOTHING
		RETURNING notice_id, policy_status_id)
	SELECT m.notice_id FROM found f LEFT JOIN made m ON m.policy_status_id = f.policy_status_id;
END;
COMMENT ON FUNCTION canopy_summit.notices_take(timestamptz, integer[], integer, text[]) IS
	'takes notices that are due for the first time, but for those that another session is taking: NULL for one that another has taken meanwhile; servers has the name first that rows are given';

-- Which ids of Summit's look like ids, masks say.
CREATE FUNCTION canopy_summit.id_shown(id text, unmasked boolean) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN unmasked OR id ~ (SELECT t.pattern FROM canopy_summit.masked_types() AS t WHERE t.type = 'canopy_summit.provider_id'::regtype) THEN id
	WHEN id IS NOT NULL THEN '***' END;
COMMENT ON FUNCTION canopy_summit.id_shown(text, boolean) IS 'an id as the views show it';

CREATE FUNCTION canopy_summit.notices_on(at timestamptz, cadence integer[], max_rows integer, server text, unmasked boolean,
	OUT notice_id bigint, OUT server_now text, OUT property_id text, OUT unit_id text, OUT lease_id text, OUT tenant_id text,
	OUT policy_number text, OUT step integer, OUT due_on date, OUT expiry_date date, OUT language text) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	-- The name that rows are given is the server's until the transaction ends.
	held CONSTANT text := canopy_summit.hold_name(server);
	servers CONSTANT text[] := held || coalesce(canopy_summit.former_names(held), '{}');
	ids bigint[];
	taken bigint[];
BEGIN
	PERFORM canopy_summit.notice_check(cadence, max_rows);
	ids := ARRAY(SELECT canopy_summit.notices_repeat(at, cadence, max_rows, servers));
	-- Where others were faster, there may be more: or else who gets nothing would think that nothing is due.
	WHILE cardinality(ids) < max_rows LOOP
		taken := ARRAY(SELECT canopy_summit.notices_take(at, cadence, max_rows - cardinality(ids), servers));
		ids := ids || array_remove(taken, NULL);
		EXIT WHEN array_position(taken, NULL) IS NULL;
	END LOOP;
	IF ids = '{}' THEN
		RETURN;
	END IF;
	RETURN QUERY SELECT n.notice_id, held, canopy_summit.id_shown(p.property_id, unmasked), canopy_summit.id_shown(p.unit_id, unmasked),
		canopy_summit.id_shown(p.lease_id, unmasked), canopy_summit.id_shown(p.tenant_id, unmasked),
		CASE WHEN unmasked THEN p.policy_number::text ELSE '***' END, n.step, n.expiry_date - n.step, n.expiry_date,
		(SELECT y.language FROM summit.property y WHERE y.property_id = p.property_id AND y.server = ANY (servers)
			ORDER BY y.server = p.server DESC LIMIT 1)
	FROM canopy_summit.notice n JOIN canopy_summit.policy_status p ON p.policy_status_id = n.policy_status_id
	WHERE n.notice_id = ANY (ids) ORDER BY n.expiry_date, n.notice_id;
END
$$;
COMMENT ON FUNCTION canopy_summit.notices_on(timestamptz, integer[], integer, text, boolean) IS
	'what summit_notice_due() returns, as if it were another time; within an hour is by the clock; unmasked: the caller may read personal data';

CREATE FUNCTION canopy_summit.notice_end(notice_id bigint, server text) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	servers CONSTANT text[] := server || coalesce(canopy_summit.former_names(server), '{}');
BEGIN
	UPDATE canopy_summit.notice n SET done_at = clock_timestamp()
	WHERE n.notice_id = notice_end.notice_id AND n.server = ANY (servers) AND n.done_at IS NULL;
	IF FOUND THEN
		RETURN true;
	END IF;
	IF NOT EXISTS (SELECT FROM canopy_summit.notice n WHERE n.notice_id = notice_end.notice_id AND n.server = ANY (servers)) THEN
		RAISE EXCEPTION 'notice % does not exist', notice_end.notice_id USING ERRCODE = 'no_data_found';
	END IF;
	RETURN false;
END
$$;
COMMENT ON FUNCTION canopy_summit.notice_end(bigint, text) IS 'what summit_notice_done() does';

CREATE FUNCTION @extschema@.summit_notice_due(cadence integer[] DEFAULT '{30,15,5}', max_rows integer DEFAULT 100, server name DEFAULT NULL,
	OUT notice_id bigint, OUT server text, OUT property_id text, OUT unit_id text, OUT lease_id text, OUT tenant_id text,
	OUT policy_number text, OUT step integer, OUT due_on date, OUT expiry_date date, OUT language text) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_notice_due'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION @extschema@.summit_notice_due(integer[], integer, name) IS
	'takes notices of certificates that end: of each the nearest step of cadence, days before the expiry date, that is due by the date where the property is; one that a transaction took which is rolled back, or that is not acknowledged by summit_notice_done() in an hour, comes again; server is that of setting canopy_summit.summit_server unless given; policy_number is *** without level pii_reader';

CREATE FUNCTION @extschema@.summit_notice_done(notice_id bigint, server name DEFAULT NULL) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_notice_done'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.summit_notice_done(bigint, name) IS
	'acknowledges a notice, which never comes again; false if it was already; error P0002: there is none of this id and server';

SELECT canopy_summit.allow('manager', 'function', 'summit_notice_due summit_notice_done');
SELECT canopy_summit.allow('manager', 'table', 'summit.renewal_due');
SELECT canopy_summit.allow('nobody', 'function', 'notice_check notice_due notices_repeat notices_take notices_on notice_end id_shown');
