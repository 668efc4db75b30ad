-- privacy/mask.sql: who reads personal data, and the one way in which views over it are made.
-- Replaceable.

-- Marker functions: a level is the right to execute them.
CREATE FUNCTION canopy_summit.reads_pii() RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN true;
COMMENT ON FUNCTION canopy_summit.reads_pii() IS 'marker: whoever may execute it reads personal data unmasked';

CREATE FUNCTION canopy_summit.is_admin() RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN true;
COMMENT ON FUNCTION canopy_summit.is_admin() IS 'marker: whoever may execute it may change things at a provider synchronously';

CREATE FUNCTION canopy_summit.may_read_pii() RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_may_read_pii'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.may_read_pii() IS 'whether the current role may execute canopy_summit.reads_pii(); the views ask once a query';

CREATE FUNCTION canopy_summit.describe(tables text, notes text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE (
		SELECT string_agg(format('COMMENT ON COLUMN %s.%I IS %L', t.name, a.attname, substr(l.line, strpos(l.line, ': ') + 2)), '; ')
		FROM string_to_table(notes, chr(10)) AS l(line), string_to_table(tables, ' ') AS t(name)
			JOIN pg_attribute a ON a.attrelid = t.name::regclass AND a.attnum > 0
		WHERE a.attname = split_part(l.line, ': ', 1));
END
$$;
COMMENT ON FUNCTION canopy_summit.describe(text, text) IS
	'comments on the columns of tables, given with blanks between, from lines "column: what it is", as far as they have them';

-- Types that are masked; of a provider's words and ids those that do not look like one.
CREATE FUNCTION canopy_summit.masked_types(OUT type regtype, OUT pattern text, OUT looks text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 7
BEGIN ATOMIC
	VALUES ('canopy_summit.personal_text'::regtype, NULL, NULL),
		('canopy_summit.personal_integer'::regtype, NULL, NULL),
		('canopy_summit.personal_date'::regtype, NULL, NULL),
		('canopy_summit.provider_word'::regtype, '^[A-Za-z][][A-Za-z0-9_.-]{0,63}$', 'a word'),
		('canopy_summit.provider_id'::regtype, '^[A-Za-z0-9][A-Za-z0-9 _.:/#+-]{0,127}$', 'an id'),
		('jsonb'::regtype, NULL, NULL),
		('bytea'::regtype, NULL, NULL);
END;
COMMENT ON FUNCTION canopy_summit.masked_types() IS 'types that views mask, and the pattern of what they show to everybody all the same';

-- Scopes come here: the condition on columns of q under which a role sees a row.
CREATE FUNCTION canopy_summit.row_condition(columns text[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN NULL;
COMMENT ON FUNCTION canopy_summit.row_condition(text[]) IS 'the condition on rows of a view that has these columns, such as server and property_id; NULL for none';

CREATE FUNCTION canopy_summit.define_view(name text, about text, query text, notes text DEFAULT '', shown_if jsonb DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	columns text;
	comments text;
	condition text;
BEGIN
	-- Only a view tells of what types its columns are, and which columns of tables it reads: of one that several tables
	-- have, that of which it reads most has the comment.
	EXECUTE 'CREATE VIEW canopy_summit.unmasked AS ' || query;
	WITH table_note AS (
		SELECT DISTINCT ON (a.attname) a.attname AS name, o.description AS note
		FROM (SELECT d.refobjid, count(*) AS columns
				FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
					AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class AND d.refobjsubid > 0
				WHERE r.ev_class = to_regclass('canopy_summit.unmasked') GROUP BY d.refobjid) AS t
			JOIN pg_description o ON o.classoid = 'pg_class'::regclass AND o.objoid = t.refobjid
			JOIN pg_attribute a ON a.attrelid = o.objoid AND a.attnum = o.objsubid
		ORDER BY a.attname, t.columns DESC, t.refobjid),
	shown AS (
		SELECT a.attname, a.attnum, format('q.%I', a.attname) AS value, format_type(b.type, a.atttypmod) AS base, b.type = 'text'::regtype AS is_text,
			k.type IS NOT NULL OR s.condition IS NOT NULL AS is_masked, s.condition, k.pattern, k.looks, coalesce(n.note, t.note, u.note) AS note
		FROM pg_attribute a
			JOIN pg_type y ON y.oid = a.atttypid
			CROSS JOIN LATERAL (SELECT coalesce(nullif(y.typbasetype, 0), y.oid)) AS b(type)
			LEFT JOIN canopy_summit.masked_types() AS k ON k.type = a.atttypid
			LEFT JOIN jsonb_each_text(define_view.shown_if) AS s(name, condition) ON s.name = a.attname
			LEFT JOIN (SELECT split_part(l.line, ': ', 1), substr(l.line, strpos(l.line, ': ') + 2)
				FROM string_to_table(define_view.notes, chr(10)) AS l(line)) AS n(name, note) ON n.name = a.attname
			LEFT JOIN table_note AS t ON t.name = a.attname
			LEFT JOIN (VALUES ('server', 'foreign server, by its name; of one that was dropped, its last'),
				('environment', 'production or sandbox: that of the server now'), ('pull_id', 'the pull')) AS u(name, note) ON u.name = a.attname
		WHERE a.attrelid = to_regclass('canopy_summit.unmasked') AND a.attnum > 0)
	SELECT string_agg(CASE WHEN h.is_masked THEN format('CASE WHEN %s%s(SELECT canopy_summit.may_read_pii()) THEN %s::%s%s END AS %I',
				h.condition || ' OR ', h.value || ' ~ ' || quote_literal(h.pattern) || ' OR ', h.value, h.base,
				CASE WHEN h.is_text THEN format(' WHEN %s IS NOT NULL THEN ''***''', h.value) END, h.attname)
			ELSE h.value END, ', ' ORDER BY h.attnum),
		' WHERE ' || canopy_summit.row_condition(array_agg(h.attname::text)),
		string_agg(format('COMMENT ON COLUMN %s.%I IS %L', define_view.name, h.attname, concat_ws('; ', h.note,
			CASE WHEN h.is_masked AND h.condition IS DISTINCT FROM 'true' THEN CASE WHEN h.is_text THEN '***' ELSE 'NULL' END
				|| ' without level pii_reader' || coalesce(', unless it looks like ' || h.looks, '') END)), '; ')
	INTO STRICT columns, condition, comments
	FROM shown h;
	DROP VIEW canopy_summit.unmasked;
	EXECUTE format('CREATE OR REPLACE VIEW %s AS SELECT %s FROM (%s) AS q%s', define_view.name, columns, query, condition);
	EXECUTE format('COMMENT ON VIEW %s IS %L; %s', define_view.name, about, comments);
END
$$;
COMMENT ON FUNCTION canopy_summit.define_view(text, text, text, text, jsonb) IS
	'makes or replaces a view that shows the columns of a query, masked by their types; notes has lines "column: what it is", for those whose table does not say it in a comment; shown_if has conditions on q, {"column": "condition"}, under which everybody sees a column that is otherwise masked, whatever its type';

SELECT canopy_summit.allow('reader fetcher operator', 'function', 'may_read_pii');
SELECT canopy_summit.allow('pii_reader', 'function', 'reads_pii');
SELECT canopy_summit.allow('nobody', 'function', 'describe define_view');
