-- summit/export_feed.sql: lines of exports are kept, so that a property system can be told what changed.
-- Replaceable.
--
-- A change that commits late is not passed over: certificates that change stand in a queue until their lines are made
-- (export_pending), and a line remembers the transaction that made it, which a token's snapshot has seen or not.

CREATE FUNCTION canopy_summit.kept_query(style canopy_summit.export_style, condition text) RETURNS text
LANGUAGE sql STABLE
RETURN CASE (style).system WHEN 'yardi_xml' THEN canopy_summit.yardi_query((style).server, condition)
	ELSE canopy_summit.export_query(style, 'x.row_key, %line AS line', condition) END;
COMMENT ON FUNCTION canopy_summit.kept_query(canopy_summit.export_style, text) IS
	'the query that makes the lines that are kept, with their row_key, for the certificates that fit a condition on k';

-- The XML form has no style of its own.
CREATE FUNCTION canopy_summit.feed_style(system text, server text) RETURNS canopy_summit.export_style
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	style canopy_summit.export_style;
BEGIN
	IF system <> 'yardi_xml' THEN
		RETURN canopy_summit.export_style_for(system, '{}', server);
	END IF;
	style.server := server;
	style.system := system;
	RETURN style;
END
$$;
COMMENT ON FUNCTION canopy_summit.feed_style(text, text) IS 'how the kept lines of a system are written';

-- Who is at a property depends on its day.
CREATE FUNCTION canopy_summit.feed_is_of_another_day(feed canopy_summit.export_feed) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT (feed).made_at IS NULL OR EXISTS (
		SELECT FROM (SELECT 'UTC' UNION SELECT y.time_zone FROM summit.property y WHERE y.server = (feed).server) AS z(zone)
		WHERE (now() AT TIME ZONE z.zone)::date <> ((feed).made_at AT TIME ZONE z.zone)::date);
END;
COMMENT ON FUNCTION canopy_summit.feed_is_of_another_day(canopy_summit.export_feed) IS
	'whether it is another day at any property since all lines were made, or they never were';

CREATE FUNCTION canopy_summit.feed_is_fresh(style canopy_summit.export_style) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM canopy_summit.export_feed f
			WHERE f.server = (feed_is_fresh.style).server AND f.system = (feed_is_fresh.style).system AND f.instance = canopy_summit.instance()
				AND f.style = sha256(convert_to(feed_is_fresh.style::text, 'UTF8')) AND NOT canopy_summit.feed_is_of_another_day(f))
		AND NOT EXISTS (SELECT FROM canopy_summit.export_pending);
END;
COMMENT ON FUNCTION canopy_summit.feed_is_fresh(canopy_summit.export_style) IS
	'whether kept lines of this style are what an export would make: what changed is pending in the transaction that changed it';

CREATE FUNCTION canopy_summit.remake_lines(style canopy_summit.export_style, policy_status_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changed bigint;
BEGIN
	-- Of NULL, all: what is not made any more is not exported any more.
	EXECUTE 'WITH made AS MATERIALIZED (' || canopy_summit.kept_query(style, 'k.known_to = ''infinity'''
			|| CASE WHEN policy_status_ids IS NULL THEN '' ELSE ' AND k.policy_status_id = ANY ($3)' END) || '),
		gone AS (
			UPDATE canopy_summit.export_line l SET line = NULL, changed_xid = pg_current_xact_id(), changed_at = now()
			WHERE l.server = $1 AND l.system = $2 AND l.line IS NOT NULL AND ($3 IS NULL OR l.row_key = ANY ($3::text[]))
				AND NOT EXISTS (SELECT FROM made m WHERE m.row_key = l.row_key) RETURNING 1),
		kept AS (
			INSERT INTO canopy_summit.export_line AS l (server, system, row_key, line, changed_xid, changed_at)
			SELECT $1, $2, m.row_key, m.line, pg_current_xact_id(), now() FROM made m
				LEFT JOIN canopy_summit.export_line o ON o.row_key = m.row_key AND o.system = $2 AND o.server = $1
			WHERE o.line IS DISTINCT FROM m.line
			ON CONFLICT (row_key, system, server) DO UPDATE SET line = EXCLUDED.line, changed_xid = EXCLUDED.changed_xid,
				changed_at = EXCLUDED.changed_at,
				-- It may have been given another line since it acknowledged this one.
				acknowledged_line = CASE WHEN l.acknowledged_line = EXCLUDED.line AND (l.system <> ''yardi_xml'' OR l.remote_id IS NOT NULL)
					THEN '''' ELSE l.acknowledged_line END,
				acknowledged_at = CASE WHEN l.acknowledged_line IS NOT NULL THEN l.acknowledged_at END
			WHERE l.line IS DISTINCT FROM EXCLUDED.line RETURNING 1)
		SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM kept)'
	INTO changed USING style.server, style.system, policy_status_ids;
	RETURN changed;
END
$$;
COMMENT ON FUNCTION canopy_summit.remake_lines(canopy_summit.export_style, bigint[]) IS
	'makes the kept lines of certificates, of all if it is NULL, as they are now; how many changed';

CREATE FUNCTION canopy_summit.feed_remake(feed canopy_summit.export_feed, policy_status_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	style canopy_summit.export_style := canopy_summit.feed_style(feed.system, feed.server);
	digest CONSTANT bytea := sha256(convert_to(style::text, 'UTF8'));
	is_whole CONSTANT boolean := feed.style IS DISTINCT FROM digest OR canopy_summit.feed_is_of_another_day(feed)
		OR feed.instance <> canopy_summit.instance();
	changed bigint;
BEGIN
	-- Elsewhere transactions have other numbers.
	IF feed.instance <> canopy_summit.instance() THEN
		UPDATE canopy_summit.export_line l SET changed_xid = pg_current_xact_id() WHERE l.server = feed.server AND l.system = feed.system;
	END IF;
	changed := canopy_summit.remake_lines(style, CASE WHEN NOT is_whole THEN policy_status_ids END);
	UPDATE canopy_summit.export_feed f SET instance = canopy_summit.instance(), made_at = now(), style = digest
	WHERE f.server = feed.server AND f.system = feed.system AND is_whole;
	RETURN changed;
END
$$;
COMMENT ON FUNCTION canopy_summit.feed_remake(canopy_summit.export_feed, bigint[]) IS
	'makes the kept lines of a system for certificates that have changed, or of all on another day, in another style, or in a copy; how many changed';

CREATE FUNCTION canopy_summit.feed_can_be_made(feed canopy_summit.export_feed) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT canopy_summit.former_names((feed).server) IS NULL AND EXISTS (SELECT FROM canopy_summit.export_style s
		WHERE s.server = (feed).server AND (s.system = (feed).system OR (feed).system = 'yardi_xml'));
END;
COMMENT ON FUNCTION canopy_summit.feed_can_be_made(canopy_summit.export_feed) IS
	'whether the server and the system are there, and no rows follow the server to another name';

CREATE FUNCTION canopy_summit.refresh_exports() RETURNS bigint
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held text[];
	ids bigint[];
BEGIN
	-- One at a time, or an older state could be written over a newer one; who has the lock does what others came for.
	IF NOT EXISTS (SELECT FROM canopy_summit.export_feed) OR NOT canopy_summit.lock_subjects('{exports}', false) THEN
		RETURN 0;
	END IF;
	-- Whose name is about to change, or has, is left out.
	held := ARRAY(SELECT s.server FROM (SELECT DISTINCT f.server FROM canopy_summit.export_feed f) AS s
		WHERE canopy_summit.hold_server(canopy_summit.server_of(NULL, s.server, NULL), s.server, false) = s.server);
	WITH taken AS (DELETE FROM canopy_summit.export_pending RETURNING policy_status_id)
	SELECT coalesce(array_agg(DISTINCT t.policy_status_id), '{}') INTO ids FROM taken t;
	-- Those that cannot be made now are made whole then: what they miss is taken from the queue.
	UPDATE canopy_summit.export_feed f SET made_at = NULL
	WHERE ids <> '{}' AND NOT (f.server = ANY (held) AND canopy_summit.feed_can_be_made(f));
	RETURN (SELECT coalesce(sum(canopy_summit.feed_remake(f, ids)), 0) FROM canopy_summit.export_feed f
		WHERE f.server = ANY (held) AND canopy_summit.feed_can_be_made(f));
END
$$;
COMMENT ON FUNCTION canopy_summit.refresh_exports() IS
	'brings kept lines of exports up to date; how many changed. Workers do this by themselves, and so does summit_export_changes()';

CREATE FUNCTION canopy_summit.exports_are_due() RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM canopy_summit.export_feed) AND (EXISTS (SELECT FROM canopy_summit.export_pending)
		OR EXISTS (SELECT FROM canopy_summit.export_feed f WHERE canopy_summit.feed_is_of_another_day(f)));
END;
COMMENT ON FUNCTION canopy_summit.exports_are_due() IS 'whether kept lines of exports are behind';

-- A token is the instance, the snapshot, and the transaction that took it and has made lines itself.
CREATE FUNCTION canopy_summit.export_token_check(token text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	is_token boolean;
BEGIN
	is_token := token ~ '^-?[0-9]+/[0-9]{1,19}:[0-9]{1,19}:[0-9,]*/[0-9]*$';
	BEGIN
		PERFORM split_part(token, '/', 2)::pg_snapshot WHERE is_token;
	EXCEPTION WHEN invalid_text_representation THEN
		is_token := false;
	END;
	IF NOT is_token THEN
		RAISE EXCEPTION 'this is not a token of summit_export_changes()'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a token as it was returned, or NULL for everything that is not acknowledged.';
	END IF;
	IF split_part(token, '/', 1) <> canopy_summit.instance()::text THEN
		RAISE EXCEPTION 'the token is of another copy of this database'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Give NULL for everything that is not acknowledged.';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.export_token_check(text) IS 'error 22023: not a token, or one of another copy';

CREATE FUNCTION canopy_summit.token_has_seen(token text, xid xid8) RETURNS boolean
LANGUAGE sql STABLE
RETURN token IS NOT NULL
	AND (pg_visible_in_snapshot(xid, split_part(token, '/', 2)::pg_snapshot) OR xid::text = split_part(token, '/', 3));
COMMENT ON FUNCTION canopy_summit.token_has_seen(text, xid8) IS 'whether a change was there when a token was made; nothing was before NULL';

CREATE FUNCTION canopy_summit.feed_refresh(system text, server text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	PERFORM canopy_summit.export_server_check(feed_refresh.server);
	-- A standby has what its primary's workers have made.
	IF NOT pg_is_in_recovery() THEN
		INSERT INTO canopy_summit.export_feed (server, system, instance) VALUES (feed_refresh.server, feed_refresh.system, canopy_summit.instance())
		ON CONFLICT (system, server) DO NOTHING;
		PERFORM canopy_summit.refresh_exports();
	ELSIF NOT EXISTS (SELECT FROM canopy_summit.export_feed f WHERE f.server = feed_refresh.server AND f.system = feed_refresh.system) THEN
		RAISE EXCEPTION 'no lines are kept for system "%"', system
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call the function once on the primary.';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.feed_refresh(text, text) IS 'has the lines of a system kept, and brings them up to date';

-- Lines, and the token, by one snapshot. A transaction may make lines after its token: it gets all of its own again.
-- What was never acknowledged is gone for whoever has a token, and may have been given it; without one it is not there.
CREATE FUNCTION canopy_summit.changes_query(system text, since_token text, server text) RETURNS text
LANGUAGE sql STABLE
RETURN format($query$
	SELECT concat_ws('/', canopy_summit.instance(), pg_current_snapshot(), coalesce(pg_current_xact_id_if_assigned()::text, '')) AS token,
		l.row_key, CASE WHEN l.line IS NULL THEN 'removed' WHEN l.acknowledged_line IS NULL THEN 'new' ELSE 'change' END AS change,
		l.line::text AS line, l.changed_xid, p.property_id::text, y.country
	FROM canopy_summit.export_line l
		LEFT JOIN canopy_summit.policy_status p ON p.policy_status_id = l.row_key::bigint
		LEFT JOIN summit.property y ON y.server = p.server AND y.property_id = p.property_id
	WHERE l.server = %L AND l.system = %L AND %s AND l.refused_line IS DISTINCT FROM coalesce(l.line, '')$query$, server, system,
	CASE WHEN since_token IS NULL THEN 'l.line IS DISTINCT FROM l.acknowledged_line'
		ELSE format('(l.line IS DISTINCT FROM l.acknowledged_line OR l.line IS NULL AND l.acknowledged_at IS NULL) '
			'AND l.changed_xid >= pg_snapshot_xmin(%1$L) AND (NOT canopy_summit.token_has_seen(%2$L, l.changed_xid) '
			'OR l.changed_xid = pg_current_xact_id_if_assigned())', split_part(since_token, '/', 2), since_token) END);
COMMENT ON FUNCTION canopy_summit.changes_query(text, text, text) IS 'the query that reads the kept lines that a system has to be told of';

CREATE FUNCTION canopy_summit.export_changes(system text, since_token text, server text, role name,
	OUT token text, OUT row_key text, OUT change text, OUT line text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	query CONSTANT text := canopy_summit.changes_query(system, since_token, server);
BEGIN
	PERFORM canopy_summit.feed_style(system, server), canopy_summit.export_token_check(since_token);
	PERFORM canopy_summit.feed_refresh(system, server);
	IF canopy_summit.is_abroad(server, '{}') THEN
		RETURN QUERY EXECUTE canopy_summit.noting_query(query, server, system, role, 'm.token, m.row_key, m.change, m.line', 'm.changed_xid, m.row_key');
	ELSE
		RETURN QUERY EXECUTE format('SELECT m.token, m.row_key, m.change, m.line FROM (%s) AS m ORDER BY m.changed_xid, m.row_key', query);
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.export_changes(text, text, text, name) IS 'what summit_export_changes() returns; role is who asks';

-- A refusal by words: Yardi answers in texts, of success as well.
CREATE FUNCTION canopy_summit.export_acknowledge(system text, token text, row_keys text[], messages jsonb, server text, role name) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	acknowledged bigint;
BEGIN
	PERFORM canopy_summit.export_token_check(token), canopy_summit.export_server_check(server);
	IF jsonb_typeof(messages) <> 'object' THEN
		RAISE EXCEPTION 'messages must be an object'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Its keys are row_keys, its values what the system has said of them.';
	END IF;
	UPDATE canopy_summit.export_line l SET acknowledged_at = now(), message = s.message, remote_id = coalesce(s.remote_id, l.remote_id),
		refused_line = CASE WHEN s.verdict = 'refused' THEN coalesce(l.line, '') END,
		acknowledged_line = CASE s.verdict WHEN 'taken' THEN l.line WHEN 'is there' THEN '' WHEN 'is not there' THEN NULL ELSE l.acknowledged_line END
	FROM (SELECT n.row_key, m.message, substring(m.message FROM 'Policy Id: *([0-9]+)') AS remote_id,
			CASE WHEN m.message IS NULL OR m.message ~ 'Xml Imported:|Policy Id: *[0-9]' THEN 'taken'
				WHEN m.message ~* 'already exists in database|duplicate insurance policy' THEN 'is there'
				WHEN m.message ~* 'could not locate insurance policy' THEN 'is not there' ELSE 'refused' END AS verdict
		FROM canopy_summit.export_line n CROSS JOIN LATERAL (SELECT messages ->> n.row_key) AS m(message)
		WHERE n.server = export_acknowledge.server AND n.system = export_acknowledge.system
			AND (row_keys IS NULL OR n.row_key = ANY (row_keys))
			AND (n.line IS DISTINCT FROM n.acknowledged_line OR n.line IS NULL AND n.acknowledged_at IS NULL)
			AND canopy_summit.token_has_seen(token, n.changed_xid)) AS s
	WHERE l.row_key = s.row_key AND l.server = export_acknowledge.server AND l.system = export_acknowledge.system;
	GET DIAGNOSTICS acknowledged = ROW_COUNT;
	RETURN acknowledged;
END
$$;
COMMENT ON FUNCTION canopy_summit.export_acknowledge(text, text, text[], jsonb, text, name) IS 'what summit_export_acknowledge() does; role is who asks';

-- Rosters decide who is exported.
CREATE FUNCTION canopy_summit.reference_pending() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO canopy_summit.export_pending
	SELECT nextval('canopy_summit.export_pending_id_seq'), p.policy_status_id
	FROM canopy_summit.policy_status p
	WHERE EXISTS (SELECT FROM canopy_summit.export_feed)
		AND (p.server, p.property_id::text) IN (SELECT r.server, r.property_id FROM touched r);
	IF TG_OP = 'UPDATE' THEN
		INSERT INTO canopy_summit.export_pending
		SELECT nextval('canopy_summit.export_pending_id_seq'), p.policy_status_id
		FROM canopy_summit.policy_status p
		WHERE EXISTS (SELECT FROM canopy_summit.export_feed)
			AND (p.server, p.property_id::text) IN (SELECT r.server, r.property_id FROM former r EXCEPT SELECT r.server, r.property_id FROM touched r);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION canopy_summit.reference_pending() IS 'trigger: has the lines of certificates made again whose roster has changed';
CREATE TRIGGER reference_pending_insert AFTER INSERT ON summit.property_reference
	REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION canopy_summit.reference_pending();
CREATE TRIGGER reference_pending_update AFTER UPDATE ON summit.property_reference
	REFERENCING OLD TABLE AS former NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION canopy_summit.reference_pending();
CREATE TRIGGER reference_pending_delete AFTER DELETE ON summit.property_reference
	REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION canopy_summit.reference_pending();

SELECT canopy_summit.define_view('summit.disclosure', 'exports of personal data to another country than the server''s', $view$
SELECT d.disclosure_id, d.server, canopy_summit.server_environment(d.server) AS environment, d.system, d.property_id, d.from_country, d.to_country,
	d.rows, d.disclosed_at, d.disclosed_by
FROM canopy_summit.disclosure d$view$, $notes$
disclosure_id: key of the row
system: the property system
property_id: the property whose people it was about
from_country: country of the server, by its option country
to_country: country of the property
rows: how many rows
disclosed_at: when it was exported
disclosed_by: who exported it$notes$);

SELECT canopy_summit.allow('operator', 'function', 'refresh_exports');
