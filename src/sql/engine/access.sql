-- engine/access.sql: who may do what.
-- Replaceable.

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
		FROM pg_catalog.pg_class v WHERE v.relnamespace IN ('canopy'::regnamespace, 'summit'::regnamespace) AND v.relkind = 'v'
	UNION ALL SELECT 'reader', 'function', 'canopy_summit.may_read_pii()', 'EXECUTE'
	UNION ALL SELECT 'reader', 'function', 'canopy_summit.server_environment(text)', 'EXECUTE'
	-- Views that show servers and roles by the names they have now call these.
	UNION ALL SELECT l.level, 'function', n.name, 'EXECUTE'
		FROM (VALUES ('reader'), ('fetcher'), ('operator')) AS l(level),
			(VALUES ('canopy_summit.server_name(oid,text,bigint)'), ('canopy_summit.owner_name(oid,name,bigint)')) AS n(name)
	UNION ALL SELECT 'operator', 'function', 'canopy_summit.server_of(oid,text,bigint)', 'EXECUTE'
	UNION ALL SELECT 'pii_reader', 'schema', 'canopy_summit', 'USAGE'
	UNION ALL SELECT 'pii_reader', 'function', 'canopy_summit.reads_pii()', 'EXECUTE'
	UNION ALL SELECT 'pii_reader', 'function', 'canopy_summit.sanitize_html(text)', 'EXECUTE'
	-- Views alone: on a table no mask, and no scope, can hold.
	UNION ALL SELECT 'pii_reader', 'table', 'canopy_summit.webhook_status', 'SELECT'
	UNION ALL SELECT 'pii_reader', 'table', 'canopy_summit.job_answer', 'SELECT'
	UNION ALL SELECT 'fetcher', 'schema', 'canopy_summit', 'USAGE'
	UNION ALL SELECT 'fetcher', 'function', f.oid::regprocedure::text, 'EXECUTE'
		FROM pg_catalog.pg_proc f, pg_catalog.pg_depend d, pg_catalog.pg_extension e
		WHERE f.proname IN ('canopy_fetch_pull', 'canopy_store_pull', 'canopy_list_pulls', 'canopy_carriers',
				'canopy_carrier', 'canopy_terms', 'canopy_health', 'canopy_connect_link', 'canopy_call', 'canopy_enqueue',
				'canopy_enqueue_fetch', 'summit_enqueue', 'wait_for_job', 'summit_upload_policy', 'summit_wait_for_upload',
				'summit_upload_on_insert', 'may_read_pii')
			AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e'
			AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'canopy_summit'
	UNION ALL SELECT 'fetcher', 'function', 'canopy_summit.carrier_from_json(jsonb)', 'EXECUTE'
	UNION ALL SELECT 'fetcher', 'function', 'canopy_summit.operations()', 'EXECUTE'
	UNION ALL SELECT 'fetcher', 'table', 'canopy_summit.operation', 'SELECT'
	-- The input columns; RETURNING needs the key.
	UNION ALL SELECT l.level, 'table', 'canopy_summit.job',
		'INSERT (server, operation, params, body, priority, run_at, max_attempts, ordering_key, dedupe_key, idempotency_key), SELECT (job_id)'
		FROM (VALUES ('fetcher'), ('admin')) AS l(level)
	UNION ALL SELECT l.level, 'table', 'summit.upload',
		'INSERT (payload, coi, content_type, server, idempotency_key), SELECT (upload_id)'
		FROM (VALUES ('fetcher'), ('admin')) AS l(level)
	UNION ALL SELECT l.level, 'table', 'canopy_summit.webhook', 'INSERT (server, headers, body), SELECT (webhook_id)'
		FROM (VALUES ('ingest'), ('admin')) AS l(level)
	UNION ALL SELECT 'ingest', 'schema', 'canopy_summit', 'USAGE'
	UNION ALL SELECT 'ingest', 'function', f.oid::regprocedure::text, 'EXECUTE'
		FROM pg_catalog.pg_proc f, pg_catalog.pg_depend d, pg_catalog.pg_extension e
		WHERE f.proname = 'receive_webhook'
			AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e'
			AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'canopy_summit'
	UNION ALL SELECT 'fetcher', 'schema', 'summit', 'USAGE'
	UNION ALL SELECT 'fetcher', 'table', 'summit.upload_status', 'SELECT'
	UNION ALL SELECT 'fetcher', 'table', 'summit.upload_warning', 'SELECT'
	UNION ALL SELECT 'fetcher', 'function', 'canopy_summit.check_certificate(jsonb,bytea,text)', 'EXECUTE'
	UNION ALL SELECT 'operator', 'schema', 'canopy_summit', 'USAGE'
	UNION ALL SELECT 'operator', 'function', 'canopy_summit.may_read_pii()', 'EXECUTE'
	UNION ALL SELECT 'operator', 'table', r.name, 'SELECT'
		FROM (VALUES ('canopy_summit.job_status'), ('canopy_summit.webhook_status'), ('canopy_summit.job_attempt'), ('canopy_summit.job_stats'), ('canopy_summit.worker_status'), ('canopy_summit.receiver_status'),
			('canopy_summit.server_health'), ('canopy_summit.server_hold'), ('canopy_summit.retention_rule')) AS r(name)
	UNION ALL SELECT l.level, 'table', 'canopy_summit.retention_rule', 'INSERT, UPDATE, DELETE'
		FROM (VALUES ('operator'), ('admin')) AS l(level)
	UNION ALL SELECT 'operator', 'function', f.oid::regprocedure::text, 'EXECUTE'
		FROM pg_catalog.pg_proc f
		WHERE f.pronamespace = 'canopy_summit'::regnamespace
			AND f.proname IN ('instance', 'cancel_job', 'retry_job', 'retry_failed', 'pause_server', 'resume_server', 'arm',
				'wait_for_job', 'explain_job', 'apply_webhook', 'apply_webhooks', 'workers', 'receivers', 'server_counters', 'server_queue')
	UNION ALL SELECT 'operator', 'function', 'canopy_summit.operations()', 'EXECUTE'
	UNION ALL SELECT 'operator', 'table', 'canopy_summit.operation', 'SELECT'
	UNION ALL SELECT 'operator', 'table', 'canopy_summit.schema_drift', 'SELECT'
	UNION ALL SELECT 'admin', 'schema', n.nspname, 'USAGE'
		FROM pg_catalog.pg_namespace n WHERE n.nspname IN ('canopy', 'summit', 'canopy_summit')
	UNION ALL SELECT 'admin', 'table', c.oid::regclass::text, 'SELECT'
		FROM pg_catalog.pg_class c
		WHERE c.relnamespace IN ('canopy'::regnamespace, 'summit'::regnamespace, 'canopy_summit'::regnamespace)
			AND c.relkind IN ('r', 'p', 'v') AND c.oid <> 'canopy_summit.hold_key'::regclass
	UNION ALL SELECT 'admin', 'table', 'summit.minimisation_rule', p.privilege
		FROM (VALUES ('INSERT'), ('UPDATE'), ('DELETE')) AS p(privilege)
	UNION ALL SELECT 'admin', 'function', f.oid::regprocedure::text, 'EXECUTE'
		FROM pg_catalog.pg_proc f, pg_catalog.pg_depend d, pg_catalog.pg_extension e
		WHERE f.proname NOT IN ('grant_access', 'define_views', 'define_view', 'lock_subjects', 'apply_webhook_batch')
			AND (f.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) OR f.proname = 'summit_upload_on_insert')
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
		EXECUTE format('GRANT %s ON %s %s TO %s', rule.privilege, rule.kind, rule.object, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION canopy_summit.grant_access(regrole, text) IS
	'gives a role a level: reader, pii_reader, fetcher, ingest, operator or admin; the one way privileges are handed out';

-- CREATE gave rights to PUBLIC, and to whom default privileges name. Take them all away from what this script, of an
-- installation or an upgrade, has made, which is as old as the extension's own row: levels that were granted stay.
DO $$
DECLARE
	member record;
BEGIN
	FOR member IN
		SELECT o.kind, o.name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
		FROM pg_depend d
			JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid AND e.extname = 'canopy_summit',
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
		WHERE d.deptype = 'e' AND d.xmin = e.xmin AND a.grantee <> o.owner
		GROUP BY 1, 2, 3
	LOOP
		EXECUTE format('REVOKE ALL ON %s %s FROM %s', member.kind, member.name, member.grantee);
	END LOOP;
END
$$;
