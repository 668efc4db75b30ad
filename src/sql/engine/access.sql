-- engine/access.sql: levels, and how they are given to roles.
-- Replaceable, and last: it takes away what CREATE has given.
--
-- A level is a set of grants, whose rows stand beside the objects; a higher level has what it says on top of the one it
-- includes.

SELECT canopy_summit.allow('reader', 'schema', 'canopy summit');
SELECT canopy_summit.allow('pii_reader fetcher ingest operator', 'schema', 'canopy_summit');
SELECT canopy_summit.allow('fetcher manager', 'schema', 'summit');
SELECT canopy_summit.allow('admin', 'schema', 'canopy summit canopy_summit');
SELECT canopy_summit.allow('nobody', 'function', 'grant_access');
SELECT canopy_summit.allow('nobody', 'table', 'canopy_summit.hold_key canopy_summit.pull_jwt');

CREATE FUNCTION canopy_summit.access_levels(OUT level text, OUT includes text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 7
BEGIN ATOMIC
	VALUES ('reader', NULL), ('pii_reader', 'reader'), ('fetcher', NULL), ('ingest', NULL), ('operator', NULL), ('manager', NULL), ('admin', NULL);
END;
COMMENT ON FUNCTION canopy_summit.access_levels() IS 'levels of canopy_summit.grant_access(), and which includes which; admin includes all';

CREATE FUNCTION canopy_summit.access_rules(OUT level text, OUT kind text, OUT object text, OUT privilege text)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 200
BEGIN ATOMIC
	WITH member AS (
		SELECT 'function' AS kind, f.oid, f.proname::text AS name, f.oid::regprocedure::text AS object,
			false AS is_for_readers, f.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) AS is_trigger
		FROM canopy_summit.members() m JOIN pg_catalog.pg_proc f ON m.classid = 'pg_catalog.pg_proc'::regclass AND f.oid = m.objid
		UNION ALL
		SELECT 'table', r.oid, NULL, r.oid::regclass::text,
			r.relkind = 'v' AND r.relnamespace IN ('canopy'::regnamespace, 'summit'::regnamespace), false
		FROM canopy_summit.members() m JOIN pg_catalog.pg_class r ON m.classid = 'pg_catalog.pg_class'::regclass AND r.oid = m.objid AND r.relkind IN ('r', 'p', 'v'))
	SELECT r.level, r.kind, coalesce(m.object, r.name), r.privilege
	FROM canopy_summit.access_rule r LEFT JOIN member m ON r.kind = 'function' AND m.name = r.name
	WHERE r.level <> 'nobody'
	UNION ALL SELECT 'reader', 'table', m.object, 'SELECT' FROM member m WHERE m.is_for_readers
	-- An admin has all that nobody else lacks; a trigger's function is used by whoever makes the trigger.
	UNION ALL SELECT 'admin', m.kind, m.object, CASE m.kind WHEN 'function' THEN 'EXECUTE' ELSE 'SELECT' END
	FROM member m
	WHERE NOT EXISTS (SELECT FROM canopy_summit.access_rule n WHERE n.level = 'nobody' AND n.kind = m.kind
			AND CASE m.kind WHEN 'function' THEN n.name = m.name ELSE to_regclass(n.name) = m.oid END)
		AND (NOT m.is_trigger OR EXISTS (SELECT FROM canopy_summit.access_rule t WHERE t.kind = 'function' AND t.name = m.name));
END;
COMMENT ON FUNCTION canopy_summit.access_rules() IS 'what each level may do beyond the level it includes, a row a privilege';

CREATE FUNCTION canopy_summit.grant_access(role regrole, level text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rule record;
BEGIN
	IF role IS NULL OR role = 0 THEN
		RAISE EXCEPTION 'role cannot be NULL'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF level IS NULL OR level NOT IN (SELECT a.level FROM canopy_summit.access_levels() a) THEN
		RAISE EXCEPTION 'level "%" does not exist', level
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Levels are: ' || (SELECT string_agg(a.level, ', ') FROM canopy_summit.access_levels() a) || '.';
	END IF;
	FOR rule IN
		SELECT r.* FROM canopy_summit.access_rules() r
		WHERE r.level = grant_access.level
		   OR r.level IN (SELECT a.includes FROM canopy_summit.access_levels() a WHERE a.level = grant_access.level)
	LOOP
		-- A procedure is a routine like a function.
		EXECUTE format('GRANT %s ON %s %s TO %s', rule.privilege, replace(rule.kind, 'function', 'routine'), rule.object, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION canopy_summit.grant_access(regrole, text) IS
	'gives a role a level: reader, pii_reader, fetcher, ingest, operator, manager or admin; the one way privileges are handed out';

-- CREATE gave rights to PUBLIC, and to whom default privileges name: they are taken away from all that is new. What an
-- upgrade finds keeps the levels that were granted.
DO $$
DECLARE
	member record;
BEGIN
	FOR member IN
		SELECT o.kind, o.name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
		FROM canopy_summit.members() d,
			LATERAL (
				SELECT CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.oid::regprocedure::text,
					coalesce(f.proacl, acldefault('f', f.proowner)), f.proowner
				FROM pg_proc f WHERE d.classid = 'pg_proc'::regclass AND f.oid = d.objid
				UNION ALL
				SELECT 'TABLE', r.oid::regclass::text, coalesce(r.relacl, acldefault('r', r.relowner)), r.relowner
				FROM pg_class r WHERE d.classid = 'pg_class'::regclass AND r.oid = d.objid AND r.relkind IN ('r', 'p', 'v')
				UNION ALL
				SELECT 'SCHEMA', quote_ident(n.nspname), coalesce(n.nspacl, acldefault('n', n.nspowner)), n.nspowner
				FROM pg_namespace n WHERE d.classid = 'pg_namespace'::regclass AND n.oid = d.objid
				UNION ALL
				SELECT 'TYPE', t.oid::regtype::text, coalesce(t.typacl, acldefault('T', t.typowner)), t.typowner
				FROM pg_type t
				WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND t.typtype IN ('d', 'c', 'e')
					AND NOT EXISTS (SELECT FROM pg_class r WHERE r.oid = t.typrelid AND r.relkind <> 'c')
			) AS o(kind, name, acl, owner),
			LATERAL aclexplode(o.acl) AS a
		WHERE d.is_new AND a.grantee <> o.owner
		GROUP BY 1, 2, 3
	LOOP
		EXECUTE format('REVOKE ALL ON %s %s FROM %s', member.kind, member.name, member.grantee);
	END LOOP;
END
$$;
