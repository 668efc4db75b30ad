-- doc/reference.sql: prints doc/reference.md from a database in which only postgres has made anything (make doc).
\set QUIET on
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
\pset pager off
SET client_min_messages = warning;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
SET search_path = public;
CREATE EXTENSION IF NOT EXISTS canopy_summit;

CREATE FUNCTION pg_temp.cell(value text) RETURNS text LANGUAGE sql IMMUTABLE
RETURN replace(replace(replace(value, '|', '\|'), '<', '&lt;'), E'\n', ' ');

-- The options of a kind of object, as its validator lists them to whoever tries another.
CREATE FUNCTION pg_temp.options(object text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	CREATE SERVER probe FOREIGN DATA WRAPPER canopy_api;
	EXECUTE object || ' OPTIONS (nonsense ''1'')';
EXCEPTION WHEN fdw_invalid_option_name THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN QUERY SELECT regexp_split_to_table(substring(hint FROM ': (.*)\.$'), ', ');
END
$$;
CREATE TEMP TABLE option_note (name text, who text, note text);
INSERT INTO option_note VALUES
	('environment', 'owner', 'production (default) or sandbox; keys, data and webhook secrets of the two are separate'),
	('base_url', 'superuser', 'default `https://app.usecanopy.com/api/v1.0.0`; of Summit none'),
	('auth_url', 'superuser', 'where tokens come from; default `https://app.usecanopy.com/oauth2`; of Summit none'),
	('ca_file', 'superuser', 'a CA more, as PEM'),
	('download_hosts', 'superuser', 'hosts to which a redirect of a download may lead; default none'),
	('allow_private_addresses', 'superuser', 'whether it may be at an address such as 10.0.0.1 or 127.0.0.1; default false'),
	('team_id', 'owner', 'the team, in every path of the API'),
	('auth', 'owner', 'basic (default), header_pair or app'),
	('public_alias', 'owner', 'alias of the link that canopy_connect_link() makes'),
	('link_metadata_prefix', 'owner', 'before the keys of metadata in a link; default `ccmeta-`'),
	('with_property_data', 'owner', 'whether pulls are fetched with property data; default false'),
	('download_documents', 'owner', 'which files of a complete pull its fetch by job has fetched as well: false (default); true, all but policy forms; or a list of document types such as `DECLARATIONS,ENDORSEMENT`, and of `answer_file`, `policy_check`, `policy_form`'),
	('country', 'owner', 'where the data of the properties is, by the two letters of ISO 3166-1; default `CA`'),
	('scope', 'owner', 'what a token is for; default of Summit `policies:write policies:read webhooks:read`'),
	('webhook_role', 'owner', 'role whose mapping has the webhook secret, and that fetches what webhooks ask for; default the server''s owner'),
	('webhook_tolerance', 'owner', 'age of a signature that is accepted; default 8 h of Canopy, whose retries take 7.2 h, 5 min of Summit'),
	('requests_per_second', 'owner', 'of jobs, all roles together; default none'),
	('max_connections', 'owner', 'of jobs, all roles together; default 16'),
	('connect_timeout', 'owner', 'default the setting; a number is seconds, or `500ms`'),
	('timeout', 'owner', 'likewise'),
	('client_id', 'mapped role', 'as the provider gave it'),
	('client_secret', 'mapped role', 'likewise; a dump has it'),
	('webhook_secret', 'mapped role', 'likewise; a dump has it'),
	('client_secret_file', 'pg_read_server_files', 'a file with the secret, read when it is used; several lines are several secrets'),
	('webhook_secret_file', 'pg_read_server_files', 'likewise');

-- Who may do what with an object, the levels in their order; those that only an admin has, the engine calls.
CREATE TEMP TABLE right_of AS
SELECT r.kind, r.object, string_agg(DISTINCT r.level, ', ' ORDER BY r.level) FILTER (WHERE r.level <> 'admin') AS levels
FROM canopy_summit.access_rules() r WHERE r.privilege ~ '^(EXECUTE|SELECT)' GROUP BY 1, 2;

CREATE TEMP VIEW function_row AS
SELECT n.nspname AS schema, p.proname AS name, r.levels,
	format('| `%s%s(%s)` | %s | %s | %s |', CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END, p.proname,
		pg_temp.cell(regexp_replace(replace(pg_get_function_arguments(p.oid), 'timestamp with time zone', 'timestamptz'), '::[a-z]+(\[\])?', '', 'g')),
		coalesce('`' || pg_temp.cell(replace(pg_get_function_result(p.oid), 'timestamp with time zone', 'timestamptz')) || '`', ''),
		coalesce(r.levels, CASE WHEN r.object IS NULL THEN 'owner' ELSE 'admin' END), pg_temp.cell(obj_description(p.oid, 'pg_proc'))) AS line,
	r.levels IS NOT NULL OR n.nspname = 'public' OR p.proname IN ('add_column', 'access_levels', 'access_rules', 'grant_access') AS is_for_users
FROM canopy_summit.members() m
	JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
	JOIN pg_namespace n ON n.oid = p.pronamespace
	LEFT JOIN right_of r ON r.kind = 'function' AND r.object = p.oid::regprocedure::text;

CREATE FUNCTION pg_temp.relation(relation regclass) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format(E'\n### `%s`\n\n%s. Read by %s.\n\n| column | type | meaning |\n|---|---|---|', relation,
		upper(left(obj_description(relation, 'pg_class'), 1)) || pg_temp.cell(substr(obj_description(relation, 'pg_class'), 2)),
		coalesce((SELECT levels FROM right_of r WHERE r.kind = 'table' AND r.object = relation::text), 'admin'))
	UNION ALL (SELECT format('| `%s` | %s | %s |', attname, replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz'),
		pg_temp.cell(coalesce(col_description(attrelid, attnum), '')))
	FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped ORDER BY attnum)
$$;

\qecho '# Reference'
\qecho
\qecho 'Every option, setting, function and view. `make doc` makes this page from the catalog of a server; what it says, `\\d+`'
\qecho 'and `\\df+` show, too.'
\qecho
\qecho '## Options of servers and user mappings'
\qecho
\qecho '```sql'
\qecho 'ALTER SERVER canopy OPTIONS (ADD requests_per_second \'5\');'
\qecho '```'
\qecho
\qecho '| option | of | set by | meaning |'
\qecho '|---|---|---|---|'
WITH listed AS (
	SELECT name, row_number() OVER () AS n, is_canopy, is_summit, is_mapping FROM (
		SELECT c AS name, true AS is_canopy, s IS NOT NULL AS is_summit, false AS is_mapping
		FROM pg_temp.options('CREATE SERVER other FOREIGN DATA WRAPPER canopy_api') c
			LEFT JOIN pg_temp.options('CREATE SERVER other FOREIGN DATA WRAPPER summit_api') s ON s = c
		UNION ALL SELECT m, false, false, true FROM pg_temp.options('CREATE USER MAPPING FOR CURRENT_USER SERVER probe') m) AS o)
SELECT format('| `%s` | %s | %s | %s |', l.name,
	CASE WHEN l.is_mapping THEN 'user mapping' WHEN l.is_summit THEN 'server' ELSE 'server of Canopy' END, o.who, o.note)
FROM listed l LEFT JOIN option_note o ON o.name = l.name ORDER BY l.n;

\qecho
\qecho '## Settings'
\qecho
\qecho 'In `postgresql.conf`, or by `SET` where the context is user or superuser.'
\qecho
\qecho '| setting | default | range | context | meaning |'
\qecho '|---|---|---|---|---|'
LOAD 'canopy_summit';
SELECT format('| `%s` | %s | %s | %s | %s |', name,
	CASE WHEN boot_val = '' OR boot_val IS NULL THEN 'none' ELSE '`' || boot_val || coalesce(' ' || unit, '') || '`' END,
	CASE WHEN vartype IN ('integer', 'real') THEN min_val || ' to ' || max_val ELSE vartype END, context,
	pg_temp.cell(concat_ws(' ', short_desc, extra_desc)))
FROM pg_settings WHERE name LIKE 'canopy\_summit.%' ORDER BY name COLLATE "C";

\qecho
\qecho '## Functions'
\qecho
\qecho 'Whoever is named may call them after `canopy_summit.grant_access()`; an admin may call all.'
\qecho
\qecho '| function | returns | level | meaning |'
\qecho '|---|---|---|---|'
SELECT line FROM function_row WHERE is_for_users ORDER BY schema = 'canopy_summit', name COLLATE "C", line COLLATE "C";

\qecho
\qecho '## Views of Canopy'
\qecho
\qecho 'Views of entities also come with `_all` behind their names: those show every pull, not only each account''s newest with'
\qecho 'data, and have four columns more: `is_current` (whether the other view shows the row), `is_data` (whether the pull has'
\qecho 'data), `version` (its current one) and `fetched_at` (start of the newest request that answered with it). What is masked is'
\qecho 'shown to level `pii_reader`.'
SELECT r FROM pg_class c, LATERAL pg_temp.relation(c.oid) WITH ORDINALITY AS x(r, n)
WHERE c.relnamespace = 'canopy'::regnamespace AND c.relkind = 'v' AND c.relname !~ '_all$' ORDER BY c.relname COLLATE "C", x.n;

\qecho
\qecho '## Views and tables of Summit'
SELECT r FROM pg_class c, LATERAL pg_temp.relation(c.oid) WITH ORDINALITY AS x(r, n)
WHERE c.relnamespace = 'summit'::regnamespace AND c.relkind IN ('r', 'v') ORDER BY c.relname COLLATE "C", x.n;

\qecho
\qecho '## Views of the engine'
SELECT r FROM pg_class c, LATERAL pg_temp.relation(c.oid) WITH ORDINALITY AS x(r, n)
WHERE c.relnamespace = 'canopy_summit'::regnamespace AND c.relkind = 'v' ORDER BY c.relname COLLATE "C", x.n;

\qecho
\qecho '## Tables'
\qecho
\qecho 'What is kept. Views and functions show it; who may read or fill a table itself is named. Personal columns are those that'
\qecho 'views mask, in part or whole. [operations.md](operations.md#tables) says what becomes of the rows.'
\qecho
\qecho '| table | key | dumped | personal columns | rights | meaning |'
\qecho '|---|---|---|---|---|---|'
SELECT format('| `%s` | %s | %s | %s | %s | %s |', c.oid::regclass,
	(SELECT string_agg(a.attname, ', ' ORDER BY k.n) FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attribute, n), pg_attribute a
		WHERE i.indrelid = c.oid AND (i.indisreplident OR i.indisprimary) AND a.attrelid = c.oid AND a.attnum = k.attribute),
	CASE WHEN c.oid = ANY (e.extconfig) THEN 'yes' ELSE 'no' END,
	(SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a JOIN canopy_summit.masked_types() k ON k.type = a.atttypid
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attname ~ '_hash$'),
	(SELECT string_agg(x.level || ': ' || x.privileges, '; ' ORDER BY x.level) FROM (
		SELECT r.level, string_agg(regexp_replace(r.privilege, ' \(([^()]*,){4}[^()]*\)', ' of columns', 'g'), ', ' ORDER BY r.privilege) FROM canopy_summit.access_rules() r
		WHERE r.kind = 'table' AND r.object = c.oid::regclass::text AND r.level <> 'admin' GROUP BY 1) AS x(level, privileges)),
	pg_temp.cell(obj_description(c.oid, 'pg_class')))
FROM canopy_summit.members() m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind = 'r', pg_extension e
WHERE e.extname = 'canopy_summit'
ORDER BY c.oid::regclass::text COLLATE "C";

\qecho
\qecho '## Functions of the engine'
\qecho
\qecho 'What the engine, its triggers and its views call.'
\qecho
\qecho '| function | returns | level | meaning |'
\qecho '|---|---|---|---|'
SELECT line FROM function_row WHERE NOT is_for_users ORDER BY name COLLATE "C", line COLLATE "C";
