-- pull/rename.sql: rows that have their server's name follow it when it gets another.
-- Replaceable.
--
-- Jobs, webhooks, uploads and tasks know their server by its OID (engine/instance.sql); all other rows have its name.
-- ALTER SERVER ... RENAME starts a task, which gives them the new one batch by batch. Until it is done, whoever writes
-- about something has the rows about it follow first, so that nothing is there under both names. A pull follows with all
-- that is known of it, and an account with all its pulls, of which views show one.

CREATE FUNCTION canopy_summit.rename_server(old name, new name) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_rename_server'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION canopy_summit.rename_server(name, name) IS
	'ALTER SERVER old RENAME TO new, which needs the same rights; returns the task_id of the task that gives the server''s rows its new name, NULL if there are none';

CREATE FUNCTION canopy_summit.former_names(server text) RETURNS text[]
AS 'MODULE_PATHNAME', 'canopy_summit_former_names'
LANGUAGE C STABLE STRICT PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION canopy_summit.former_names(text) IS 'names that a server had and some of its rows still have; NULL if there are none';

CREATE FUNCTION canopy_summit.is_being_renamed(server text) RETURNS boolean
LANGUAGE sql STABLE
RETURN canopy_summit.former_names(server) IS NOT NULL
	OR canopy_summit.server_of(NULL, server, NULL) = 0::oid AND canopy_summit.server_of_former(server) IS NOT NULL;
COMMENT ON FUNCTION canopy_summit.is_being_renamed(text) IS 'whether rows are following a server of this name, or one that had it, to its new name';

CREATE FUNCTION canopy_summit.hold_name(server text) RETURNS text
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
	SELECT coalesce(
		canopy_summit.hold_server(canopy_summit.server_of_former(hold_name.server), hold_name.server, true),
		(SELECT canopy_summit.hold_server(f.oid, f.srvname::text, true) FROM pg_foreign_server f WHERE f.srvname = hold_name.server::name),
		hold_name.server);
END;
COMMENT ON FUNCTION canopy_summit.hold_name(text) IS
	'name that the server of rows with this name has until the transaction ends; the same if it is gone';

CREATE FUNCTION canopy_summit.named_tables(OUT name text, OUT key text, OUT is_of_pulls boolean, OUT is_derived boolean) RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT c.relname::text, k.attname::text, k.attname IN ('pull_id', 'owner_id'),
		c.relname = 'pull_version' OR c.relname::text IN (SELECT canopy_summit.entities())
	FROM canopy_summit.members() AS m
		JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind IN ('r', 'p')
		JOIN pg_index i ON i.indexrelid = to_regclass(format('%I.%I', c.relnamespace::regnamespace, c.relname || '_key'))
		CROSS JOIN LATERAL (
			SELECT a.attname FROM unnest(i.indkey) WITH ORDINALITY AS u(attnum, place) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
			WHERE a.attname <> 'server' ORDER BY u.place LIMIT 1) AS k
	WHERE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'server')
		AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'server_oid' AND NOT a.attisdropped);
END;
COMMENT ON FUNCTION canopy_summit.named_tables() IS
	'tables whose rows have the name of their server and not its OID, with the first other column of their key; is_of_pulls: that is a pull; is_derived: only of pulls that pull_state has';

-- Tables that users write are in schema summit, where a view may be named like a table of the engine.
CREATE FUNCTION canopy_summit.named_table(name text) RETURNS regclass
LANGUAGE sql STABLE STRICT
RETURN coalesce(to_regclass(format('canopy_summit.%I', named_table.name)), to_regclass(format('summit.%I', named_table.name)));
COMMENT ON FUNCTION canopy_summit.named_table(text) IS 'a table of canopy_summit.named_tables() by its name, in whichever schema it is';

CREATE FUNCTION canopy_summit.server_has_rows(server text) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	named text;
	has_rows boolean := false;
BEGIN
	FOR named IN SELECT t.name FROM canopy_summit.named_tables() AS t WHERE NOT t.is_derived LOOP
		EXIT WHEN has_rows;
		EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE server = $1)', canopy_summit.named_table(named)) INTO has_rows USING server;
	END LOOP;
	RETURN has_rows;
END
$$;
COMMENT ON FUNCTION canopy_summit.server_has_rows(text) IS 'whether any row has this name for its server''s';

CREATE FUNCTION canopy_summit.follow_rows(named text, key text, server text, former text, keys text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('UPDATE %s SET server = $1 WHERE server = $2 AND %I = ANY ($3::%s[])', canopy_summit.named_table(named), key,
		(SELECT CASE a.atttypid WHEN 'bigint'::regtype THEN 'bigint' ELSE 'text' END FROM pg_attribute a
			WHERE a.attrelid = canopy_summit.named_table(named) AND a.attname = key)) USING server, former, keys;
END
$$;
COMMENT ON FUNCTION canopy_summit.follow_rows(text, text, text, text, text[]) IS
	'gives rows of a table whose column is one of the keys the new name of their server';

CREATE FUNCTION canopy_summit.follow(named text, key text, server text, keys text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	former text;
BEGIN
	FOREACH former IN ARRAY coalesce(canopy_summit.former_names(server), '{}') LOOP
		PERFORM canopy_summit.follow_rows(named, key, server, former, keys);
	END LOOP;
END
$$;
COMMENT ON FUNCTION canopy_summit.follow(text, text, text, text[]) IS
	'has the rows that somebody is about to write follow their server, if it was renamed, so that there is one about each thing';

CREATE FUNCTION canopy_summit.follow_pulls(server text, former text, pulls text[]) RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	named record;
	followed integer;
BEGIN
	-- Whoever has the row of a pull has all of it.
	WITH moved AS (
		UPDATE canopy_summit.pull_state s SET server = follow_pulls.server
		WHERE s.server = follow_pulls.former AND s.pull_id = ANY (follow_pulls.pulls) RETURNING s.account_identifier),
	gone AS (
		DELETE FROM canopy_summit.account a
		WHERE a.server = follow_pulls.former AND a.account_identifier = ANY (ARRAY(SELECT m.account_identifier FROM moved m)))
	SELECT count(*) INTO followed FROM moved m;
	FOR named IN SELECT t.name, t.key FROM canopy_summit.named_tables() AS t WHERE t.is_of_pulls AND t.name <> 'pull_state' LOOP
		EXECUTE format('UPDATE canopy_summit.%I SET server = $1 WHERE server = $2 AND %I = ANY ($3)', named.name, named.key)
			USING server, former, pulls;
	END LOOP;
	RETURN followed;
END
$$;
COMMENT ON FUNCTION canopy_summit.follow_pulls(text, text, text[]) IS
	'gives pulls, with all that is known of them, the new name of their server, and forgets their accounts under the former one; how many of them were stored; the caller has locked their accounts under the new one';

CREATE FUNCTION canopy_summit.pulls_of_accounts(server text, accounts text[]) RETURNS text[]
LANGUAGE sql STABLE
RETURN ARRAY(SELECT s.pull_id FROM canopy_summit.pull_state s
	WHERE s.server = pulls_of_accounts.server AND s.account_identifier = ANY (pulls_of_accounts.accounts));
COMMENT ON FUNCTION canopy_summit.pulls_of_accounts(text, text[]) IS 'all pulls of accounts';

CREATE FUNCTION canopy_summit.rename_parts(task_id bigint, former text, size integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	make CONSTANT text := $sql$
		WITH key AS (%s),
		numbered AS (SELECT k.key, (row_number() OVER (ORDER BY k.owner, k.key) - 1) / $2 AS place FROM key k),
		made AS (INSERT INTO canopy_summit.task_part (task_id, part, position, not_before, failures)
			SELECT $3, nextval('canopy_summit.task_part_seq'), jsonb_build_object('table', %L, 'keys', p.keys), now(), 0
			FROM (SELECT jsonb_agg(n.key) AS keys FROM numbered n GROUP BY n.place ORDER BY n.place) AS p)
		SELECT count(*) FROM key$sql$;
	named record;
	total bigint := 0;
	made bigint;
BEGIN
	-- Accounts follow with their pulls; of those that have none nothing is kept but a lock.
	DELETE FROM canopy_summit.account a WHERE a.server = rename_parts.former AND NOT EXISTS (
		SELECT FROM canopy_summit.pull_state s WHERE s.server = a.server AND s.account_identifier = a.account_identifier);
	-- Pulls of an account are neighbors, and mostly in one part.
	EXECUTE format(make, format('SELECT p.key, max(s.account_identifier::text) AS owner FROM (%s) AS p '
			'LEFT JOIN canopy_summit.pull_state s ON s.server = $1 AND s.pull_id = p.key GROUP BY p.key',
			(SELECT string_agg(format('SELECT %I AS key FROM canopy_summit.%I WHERE server = $1', t.key, t.name), ' UNION ')
				FROM canopy_summit.named_tables() AS t WHERE t.is_of_pulls AND NOT t.is_derived)), 'pull_state')
	INTO total USING former, size, task_id;
	FOR named IN SELECT t.name, t.key FROM canopy_summit.named_tables() AS t WHERE NOT t.is_of_pulls AND t.name <> 'account' LOOP
		EXECUTE format(make, format('SELECT DISTINCT %I AS key, 0 AS owner FROM %s WHERE server = $1', named.key, canopy_summit.named_table(named.name)),
			named.name)
		INTO made USING former, size, task_id;
		total := total + made;
	END LOOP;
	RETURN total;
END
$$;
COMMENT ON FUNCTION canopy_summit.rename_parts(bigint, text, integer) IS
	'makes the parts of a rename: a table and keys of rows that have the former name; how many keys there are';

SELECT canopy_summit.allow('operator', 'function', 'rename_server');
SELECT canopy_summit.allow('pii_reader', 'function', 'former_names');
SELECT canopy_summit.allow('nobody', 'function', 'note_server_name note_dropped_servers is_being_renamed hold_name named_tables named_table server_has_rows follow_rows follow follow_pulls pulls_of_accounts rename_parts');
