-- pull/view.sql: the views that analysts read, made from the entity tables.
-- Replaceable.

CREATE FUNCTION canopy_summit.define_views(entity text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	about CONSTANT text := obj_description(format('canopy_summit.%I', entity)::regclass, 'pg_class');
	-- Tables that are read without the others have what is the same for the whole pull.
	of_pull CONSTANT text := CASE WHEN entity IN ('pull', 'policy') THEN 'e' ELSE 'p' END;
	-- Coverages, which are the most, have the ids of what they cover from the row above.
	covered CONSTANT text := substring(entity FROM '^(.*)_coverage$');
	-- The joins of an outer side that a query does not read cost it nothing.
	source CONSTANT text := format(' FROM canopy_summit.%I e', entity)
		|| CASE of_pull WHEN 'p' THEN ' LEFT JOIN canopy_summit.pull p ON p.server = e.server AND p.pull_id = e.pull_id' ELSE '' END
		|| CASE WHEN covered IS NULL THEN '' ELSE format(' LEFT JOIN canopy_summit.%I o ON o.server = e.server AND o.pull_id = e.pull_id '
			'AND o.ordinal = e.parent_ordinal', covered) END
		|| CASE entity WHEN 'document' THEN ' LEFT JOIN canopy_summit.document_file f ON f.server = e.server AND f.kind = ''document'' '
			'AND f.owner_id = e.pull_id AND f.file_id = e.document_id' ELSE '' END;
	-- What is known of a document's file; there, fetched_at is that of the file.
	file CONSTANT text := CASE entity WHEN 'document' THEN ', f.state, f.reason, f.media_type, f.size, f.sha256, f.scan, f.fetched_at' ELSE '' END;
	shared text := format('SELECT e.server, %s.environment, e.pull_id, ', of_pull);
	columns text;
	notes text;
	hidden jsonb;
BEGIN
	-- Without the join, meta_data is looked up for each row, but for those who may see it only: it is masked.
	IF entity <> 'pull' THEN
		shared := shared || of_pull || '.account_identifier, ' || CASE of_pull WHEN 'p' THEN 'p.meta_data' ELSE
			'(SELECT p.meta_data FROM canopy_summit.pull p WHERE p.server = e.server AND p.pull_id = e.pull_id) AS meta_data' END || ', ';
	END IF;
	-- Before its own id, a coverage has those of what it covers. What is in cents has a twin in whole units behind it.
	-- A row of added_column may say that a column is personal.
	SELECT string_agg(CASE a.attname WHEN covered || '_coverage_id' THEN format('o.policy_id, o.%I, ', covered || '_id') ELSE '' END
			|| format('e.%I', a.attname)
			|| CASE WHEN t.name IS NULL THEN '' ELSE format(', (e.%I * %s)::numeric(14,%s) AS %I', a.attname, t.factor, t.digits, t.name) END,
			', ' ORDER BY array_position(canopy_summit.view_order(define_views.entity), a.attname::text), a.attnum),
		concat_ws(chr(10), string_agg(format('%s: %s in whole units: times %s', t.name, a.attname, t.factor), chr(10)) FILTER (WHERE t.name IS NOT NULL),
			string_agg(format('%s: the field of this name, added by canopy_summit.add_column()', a.attname), chr(10)) FILTER (WHERE c.entity IS NOT NULL)),
		jsonb_object_agg(a.attname, 'false') FILTER (WHERE c.personal)
			|| jsonb_object_agg(coalesce(t.name, a.attname), 'false') FILTER (WHERE c.personal)
	INTO STRICT columns, notes, hidden
	FROM pg_attribute a
		LEFT JOIN canopy_summit.added_column c ON c.entity = define_views.entity AND c.column_name = a.attname
		LEFT JOIN LATERAL (
			SELECT 'per_mile_premium', '0.001', 3 WHERE a.attname = 'per_mile_premium_tenth_of_cents'
			UNION ALL SELECT left(a.attname::text, -6), '0.01', 2 WHERE right(a.attname::text, 6) = '_cents' AND a.atttypid = 'bigint'::regtype
				AND a.attname <> 'per_mile_premium_tenth_of_cents') AS t(name, factor, digits) ON true
	WHERE a.attrelid = format('canopy_summit.%I', define_views.entity)::regclass AND a.attnum > 0 AND NOT a.attisdropped
		AND a.attname NOT IN ('server', 'environment', 'pull_id', 'is_current')
		AND (a.attname <> 'account_identifier' OR define_views.entity = 'pull');
	PERFORM canopy_summit.define_view(format('canopy.%I', entity), about || '; of each account''s newest pull with data',
		shared || columns || file || source || ' WHERE e.is_current', notes, hidden);
	PERFORM canopy_summit.define_view(format('canopy.%I', entity || '_all'), about || '; of every pull, is_current tells which the other view shows',
		shared || 'e.is_current, s.is_data, s.version, s.fetched_at' || CASE WHEN file <> '' THEN ' AS pull_fetched_at' ELSE '' END || ', '
			|| columns || file || source
			|| ' LEFT JOIN canopy_summit.pull_state s ON s.server = e.server AND s.pull_id = e.pull_id', concat_ws(chr(10), notes, 'pull_fetched_at: start of the newest request that answered with the current version'), hidden);
END
$$;
COMMENT ON FUNCTION canopy_summit.define_views(text) IS 'makes the two views of an entity from its table';

SELECT canopy_summit.define_views(entity) FROM canopy_summit.entities() AS entity;

-- The row is the request: adding it, by add_column() or by a restore, adds the column. A restore may
-- switch triggers off, so that canopy_remap() has to find the rows whose columns are missing.
CREATE FUNCTION canopy_summit.check_added_column(entity text, column_name text, type text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names text[] := ARRAY[column_name];
	name text;
BEGIN
	IF entity NOT IN (SELECT canopy_summit.entities()) THEN
		RAISE EXCEPTION 'entity "%" does not exist', entity
			USING ERRCODE = 'undefined_object',
				  HINT = 'Entities are: ' || (SELECT string_agg(e, ', ') FROM canopy_summit.entities() e) || '.';
	END IF;
	IF type NOT IN ('text', 'text[]', 'boolean', 'integer', 'bigint', 'numeric', 'double precision', 'date',
					'timestamp with time zone', 'jsonb') THEN
		RAISE EXCEPTION 'type "%" cannot be read from JSON', type
			USING ERRCODE = 'feature_not_supported',
				  HINT = 'Types are: text, text[], boolean, integer, bigint, numeric, double precision, date, timestamptz, jsonb.';
	END IF;
	-- In the views, a column in cents has a twin in whole units, whose name has to do as well.
	IF type = 'bigint' AND right(column_name, 6) = '_cents' THEN
		names := names || left(column_name, -6);
	END IF;
	FOREACH name IN ARRAY names LOOP
		IF name = '' OR octet_length(name) > 63 OR starts_with(name, 'declared_')
			OR name IN ('ordinal', 'parent_ordinal', 'address_role', 'extra', 'per_mile_premium_tenth_of_cents',
						'tableoid', 'cmax', 'xmax', 'cmin', 'xmin', 'ctid') THEN
			RAISE EXCEPTION 'column name "%" cannot be used', column_name
				USING ERRCODE = 'invalid_name',
					  HINT = 'Use the name of a JSON field, of at most 63 bytes, that is none of the engine''s or the system''s own columns; '
							 'before _cents it needs a name, too.';
		END IF;
		IF EXISTS (SELECT FROM pg_attribute a
				   WHERE a.attrelid = format('canopy.%I', entity || '_all')::regclass AND NOT a.attisdropped AND a.attname = name) THEN
			RAISE EXCEPTION 'column "%" of entity "%" already exists', name, entity
				USING ERRCODE = 'duplicate_column',
					  HINT = format($hint$See \d canopy.%I.$hint$, entity || '_all');
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION canopy_summit.check_added_column(text, text, text) IS 'refuses what a column of an entity cannot be, and one that is there';

CREATE FUNCTION canopy_summit.make_added_columns() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing record;
BEGIN
	FOR missing IN
		SELECT c.entity, c.column_name, c.type FROM canopy_summit.added_column c
		WHERE NOT EXISTS (SELECT FROM pg_attribute a
						  WHERE a.attrelid = to_regclass(format('canopy_summit.%I', c.entity)) AND a.attnum > 0
							  AND a.attname = c.column_name)
	LOOP
		PERFORM canopy_summit.check_added_column(missing.entity, missing.column_name, missing.type);
		EXECUTE format('ALTER TABLE canopy_summit.%I ADD COLUMN %I %s', missing.entity, missing.column_name, missing.type);
	END LOOP;
	PERFORM canopy_summit.define_views(c.entity)
	FROM (SELECT DISTINCT entity, column_name FROM canopy_summit.added_column) AS c
	WHERE NOT EXISTS (SELECT FROM pg_attribute a
					  WHERE a.attrelid = format('canopy.%I', c.entity || '_all')::regclass AND a.attname = c.column_name);
END
$$;
COMMENT ON FUNCTION canopy_summit.make_added_columns() IS
	'makes the columns of canopy_summit.added_column that are missing in tables or views; nothing if none is';

CREATE FUNCTION canopy_summit.added_column_make() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM canopy_summit.make_added_columns();
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION canopy_summit.added_column_make() IS 'trigger: adds the columns that new rows of canopy_summit.added_column name';
CREATE TRIGGER added_column_make AFTER INSERT ON canopy_summit.added_column
	FOR EACH STATEMENT EXECUTE FUNCTION canopy_summit.added_column_make();

CREATE FUNCTION canopy_summit.add_column(entity text, column_name text, type regtype, personal boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	type_name CONSTANT text := translate(format_type(type, NULL), '"', '');
BEGIN
	PERFORM canopy_summit.check_added_column(add_column.entity, add_column.column_name, type_name);
	-- A row without its column came while triggers were off, as they may be now.
	INSERT INTO canopy_summit.added_column
	VALUES (add_column.entity, add_column.column_name, type_name, add_column.personal)
	ON CONFLICT ON CONSTRAINT added_column_pkey DO UPDATE SET type = excluded.type, personal = excluded.personal;
	PERFORM canopy_summit.make_added_columns();
END
$$;
COMMENT ON FUNCTION canopy_summit.add_column(text, text, regtype, boolean) IS
	'adds a column for a JSON field that has none; canopy_remap() then fills it for pulls already stored; masked in views unless personal is false';

SELECT canopy_summit.define_view('canopy.pull_version', obj_description('canopy_summit.pull_version'::regclass, 'pg_class'), $view$
SELECT v.server, v.pull_id, v.version, v.fetched_at, v.stored_at, v.stored_by,
	canopy_summit.stored_pull(v.pull) AS pull, v.drift, canopy_summit.stored_received(v.received) AS received
FROM canopy_summit.pull_version v$view$, $notes$
version: number of the state, from 1
stored_at: when it was stored$notes$,
	'{"drift": "true"}');

SELECT canopy_summit.allow('nobody', 'function', 'define_views');
