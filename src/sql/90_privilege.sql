-- 90_privilege.sql: who may do what.
-- Replaceable.
--
-- Nothing is granted to PUBLIC. A level is a set of grants, held here as data;
-- a higher level lists what it has on top of the one it includes.

CREATE FUNCTION canopy_summit.access_levels(OUT level text, OUT includes text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 6
BEGIN ATOMIC
	VALUES ('reader', NULL), ('pii_reader', 'reader'), ('fetcher', NULL), ('ingest', NULL), ('operator', NULL), ('admin', NULL);
END;
COMMENT ON FUNCTION canopy_summit.access_levels() IS 'levels of canopy_summit.grant_access(), and which includes which; admin includes all';

CREATE FUNCTION canopy_summit.access_rules(OUT level text, OUT kind text, OUT object text, OUT privilege text)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE ROWS 200
BEGIN ATOMIC
	SELECT 'reader', 'schema', 'canopy', 'USAGE'
	UNION ALL SELECT 'reader', 'schema', 'summit', 'USAGE'
	UNION ALL SELECT 'reader', 'table', v.oid::regclass::text, 'SELECT'
		FROM pg_catalog.pg_class v WHERE v.relnamespace = 'canopy'::regnamespace AND v.relkind = 'v'
	UNION ALL SELECT 'reader', 'function', 'canopy_summit.may_read_pii()', 'EXECUTE'
	UNION ALL SELECT 'pii_reader', 'schema', 'canopy_summit', 'USAGE'
	UNION ALL SELECT 'pii_reader', 'function', 'canopy_summit.reads_pii()', 'EXECUTE'
	UNION ALL SELECT 'pii_reader', 'table', 'canopy_summit.pull_version', 'SELECT'
	UNION ALL SELECT 'fetcher', 'schema', 'canopy_summit', 'USAGE'
	UNION ALL SELECT 'fetcher', 'function', f.oid::regprocedure::text, 'EXECUTE'
		FROM pg_catalog.pg_proc f, pg_catalog.pg_depend d, pg_catalog.pg_extension e
		WHERE f.proname IN ('canopy_fetch_pull', 'canopy_store_pull', 'canopy_list_pulls', 'canopy_carriers',
				'canopy_carrier', 'canopy_terms', 'canopy_health', 'canopy_connect_link', 'canopy_call')
			AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e'
			AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'canopy_summit'
	UNION ALL SELECT 'fetcher', 'function', 'canopy_summit.carrier_from_json(jsonb)', 'EXECUTE'
	UNION ALL SELECT 'fetcher', 'function', 'canopy_summit.operations()', 'EXECUTE'
	UNION ALL SELECT 'fetcher', 'table', 'canopy_summit.operation', 'SELECT'
	UNION ALL SELECT 'operator', 'schema', 'canopy_summit', 'USAGE'
	UNION ALL SELECT 'operator', 'function', 'canopy_summit.operations()', 'EXECUTE'
	UNION ALL SELECT 'operator', 'table', 'canopy_summit.operation', 'SELECT'
	UNION ALL SELECT 'operator', 'table', 'canopy_summit.schema_drift', 'SELECT'
	UNION ALL SELECT 'admin', 'schema', n.nspname, 'USAGE'
		FROM pg_catalog.pg_namespace n WHERE n.nspname IN ('canopy', 'summit', 'canopy_summit')
	UNION ALL SELECT 'admin', 'table', c.oid::regclass::text, 'SELECT'
		FROM pg_catalog.pg_class c
		WHERE c.relnamespace IN ('canopy'::regnamespace, 'summit'::regnamespace, 'canopy_summit'::regnamespace)
			AND c.relkind IN ('r', 'p', 'v')
	UNION ALL SELECT 'admin', 'function', f.oid::regprocedure::text, 'EXECUTE'
		FROM pg_catalog.pg_proc f, pg_catalog.pg_depend d, pg_catalog.pg_extension e
		WHERE f.proname NOT IN ('grant_access', 'revoke_access', 'define_views', 'view_column')
			AND f.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
			AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e'
			AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'canopy_summit';
END;
COMMENT ON FUNCTION canopy_summit.access_rules() IS 'what each level may do beyond the level it includes, a row a privilege';

CREATE FUNCTION canopy_summit.grant_access(role regrole, level text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rule record;
BEGIN
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
		EXECUTE format('GRANT %s ON %s %s TO %s', rule.privilege, rule.kind, rule.object, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION canopy_summit.grant_access(regrole, text) IS
	'gives a role a level: reader, pii_reader, fetcher, ingest, operator or admin; the one way privileges are handed out';

-- CREATE gave PUBLIC the right to execute every function.
DO $$
DECLARE
	function regprocedure;
BEGIN
	FOR function IN
		SELECT d.objid::pg_catalog.regprocedure
		FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
		WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'e'
			AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.extname = 'canopy_summit'
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
	END LOOP;
END
$$;
