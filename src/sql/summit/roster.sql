-- summit/roster.sql: properties, who is there, and imports of what property systems say of it.
-- Replaceable.
--
-- An import never guesses: a row of the file is taken as it is, or listed with what is wrong in it. It works on whole
-- sets, in temporary tables: roster_line, the records; roster_place, which column is what; roster_row, what they say;
-- roster_finding, what is wrong; roster_change, what is taken. The functions that join them have
-- no nested loops: of 100,000 rows the planner thinks that two conditions leave one.

-- The words of those who have imported into property systems for long.
CREATE FUNCTION canopy_summit.lease_problem(status text, valid_from date, valid_to date, lease_to date, today date) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN lower(status) IN ('canceled', 'cancelled') THEN 'lease defunct'
	WHEN valid_to <= today OR lower(status) = 'past' OR status IS NULL AND lease_to < today THEN 'lease expired'
	WHEN valid_from > today OR lower(status) = 'future' THEN 'no current lease with matching people' END;
COMMENT ON FUNCTION canopy_summit.lease_problem(text, date, date, date, date) IS
	'why somebody is not at a property on a day; NULL if they are; a lease that has ended with status Current goes on from month to month';

-- What the tables are filled with.

CREATE FUNCTION canopy_summit.default_summit_server(server text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(default_summit_server.server, ''), nullif(current_setting('canopy_summit.summit_server', true), ''), 'summit');
COMMENT ON FUNCTION canopy_summit.default_summit_server(text) IS 'a server''s name; if none is given, that of setting canopy_summit.summit_server';

CREATE FUNCTION canopy_summit.property_date(server text, property_id text) RETURNS date
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (now() AT TIME ZONE coalesce((SELECT p.time_zone FROM summit.property p
	WHERE p.server = property_date.server AND p.property_id = property_date.property_id), 'UTC'))::date;
COMMENT ON FUNCTION canopy_summit.property_date(text, text) IS 'today where a property is; in UTC if that is not known, whatever the session''s time zone';

CREATE FUNCTION canopy_summit.time_zone_exists(zone text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- PostgreSQL also takes abbreviations and POSIX rules, which do not tell of daylight saving.
	IF zone IS NULL OR zone !~ '^(UTC|[A-Z][A-Za-z_]*(/[A-Za-z0-9_+-]+)+)$' THEN
		RETURN false;
	END IF;
	PERFORM timezone(zone, now());
	RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN false;
END
$$;
COMMENT ON FUNCTION canopy_summit.time_zone_exists(text) IS 'whether a time zone is one by a name such as America/Vancouver';

CREATE FUNCTION canopy_summit.property_fill() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wrong record;
BEGIN
	IF NOT canopy_summit.time_zone_exists(NEW.time_zone) THEN
		RAISE EXCEPTION 'time zone "%" does not exist', NEW.time_zone
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Use a name such as America/Vancouver; never the session''s.';
	END IF;
	SELECT v.name, v.value, v.example INTO wrong
	FROM (VALUES ('property_id', NEW.property_id, '.', 'KEL-001'), ('country', NEW.country, '^[A-Z]{2}$', 'CA'),
		('province', NEW.province, '^[A-Z0-9]{1,3}$', 'BC'), ('language', NEW.language, '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$', 'fr-CA'))
		AS v(name, value, pattern, example)
	WHERE v.value !~ v.pattern LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION '% "%" is not a code', wrong.name, wrong.value
			USING ERRCODE = 'invalid_parameter_value', HINT = format('Use one such as %s.', wrong.example);
	END IF;
	-- Each once, and nothing that is no name.
	NEW.portfolios := ARRAY(SELECT DISTINCT v FROM unnest(NEW.portfolios) AS v WHERE v <> '' ORDER BY v);
	NEW.tags := ARRAY(SELECT DISTINCT v FROM unnest(NEW.tags) AS v WHERE v <> '' ORDER BY v);
	IF TG_OP = 'INSERT' THEN
		-- A restored row's server may be gone.
		NEW.server := canopy_summit.hold_name(canopy_summit.default_summit_server(NEW.server));
		PERFORM canopy_summit.follow('property', 'property_id', NEW.server, ARRAY[NEW.property_id]);
		NEW.recorded_at := coalesce(NEW.recorded_at, now());
	ELSIF (NEW.property_id, NEW.time_zone) <> (OLD.property_id, OLD.time_zone) THEN
		NEW.recorded_at := now();
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.property_fill() IS 'trigger: checks a property, and fills in its server';

CREATE TRIGGER property_fill BEFORE INSERT OR UPDATE OF property_id, time_zone, country, province, language, portfolios, tags ON summit.property
	FOR EACH ROW EXECUTE FUNCTION canopy_summit.property_fill();

-- A lapse and a reinstatement count by the property's day.
CREATE FUNCTION canopy_summit.property_fold() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ids bigint[];
BEGIN
	SELECT array_agg(p.policy_status_id) INTO ids FROM canopy_summit.policy_status p
	WHERE p.server = NEW.server AND p.property_id = NEW.property_id AND EXISTS (
		SELECT FROM canopy_summit.status_event e WHERE e.policy_status_id = p.policy_status_id AND e.status IN ('lapsed', 'reinstated'));
	IF ids IS NOT NULL THEN
		PERFORM canopy_summit.lock_subjects(ARRAY(SELECT DISTINCT 'subject ' || p.server || ' ' || p.policy_number
			FROM canopy_summit.policy_status p WHERE p.policy_status_id = ANY (ids)), true);
		PERFORM canopy_summit.policy_status_fold(ids);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION canopy_summit.property_fold() IS 'trigger: has certificates know the time zone of their property';
-- Restored ones were recorded before.
CREATE TRIGGER property_fold AFTER INSERT OR UPDATE OF property_id, time_zone ON summit.property
	FOR EACH ROW WHEN (NEW.recorded_at = now()) EXECUTE FUNCTION canopy_summit.property_fold();

CREATE FUNCTION canopy_summit.reference_check(reference summit.property_reference) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF reference.kind NOT IN ('tenant', 'vendor') THEN
		RAISE EXCEPTION 'kind "%" does not exist', reference.kind
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Kinds are: tenant, vendor.';
	END IF;
	IF reference.valid_to <= reference.valid_from THEN
		RAISE EXCEPTION 'valid_to % is not after valid_from %', reference.valid_to, reference.valid_from
			USING ERRCODE = 'invalid_parameter_value', HINT = 'valid_to is the first day on which it is not valid any more.';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.reference_check(summit.property_reference) IS 'error 22023: it is of no kind, or ends before it begins';

-- What is NULL says nothing: what is known stays.
CREATE FUNCTION canopy_summit.reference_absorb(known_id bigint, new summit.property_reference) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known summit.property_reference;
	told summit.property_reference;
BEGIN
	SELECT f.* INTO STRICT known FROM summit.property_reference f WHERE f.reference_id = known_id FOR UPDATE;
	told := known;
	told.resident_guid := coalesce(new.resident_guid, known.resident_guid);
	told.name := coalesce(new.name, known.name);
	told.first_name := coalesce(new.first_name, known.first_name);
	told.last_name := coalesce(new.last_name, known.last_name);
	told.status := coalesce(new.status, known.status);
	told.is_primary := coalesce(new.is_primary, known.is_primary);
	told.lease_from := coalesce(new.lease_from, known.lease_from);
	told.lease_to := coalesce(new.lease_to, known.lease_to);
	told.valid_from := coalesce(new.valid_from, known.valid_from);
	told.valid_to := coalesce(new.valid_to, known.valid_to);
	told.replaced_by := coalesce(new.replaced_by, known.replaced_by);
	IF told IS DISTINCT FROM known THEN
		UPDATE summit.property_reference f
		SET resident_guid = told.resident_guid, name = told.name, first_name = told.first_name, last_name = told.last_name,
			status = told.status, is_primary = told.is_primary, lease_from = told.lease_from, lease_to = told.lease_to,
			valid_from = told.valid_from, valid_to = told.valid_to, replaced_by = told.replaced_by
		WHERE f.reference_id = known_id;
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.reference_absorb(bigint, summit.property_reference) IS
	'has a reference say what a new one with the same ids does, if anything differs';

-- The same one that is open; or one that is as closed as this one is. A tenant's is found by index.
CREATE FUNCTION canopy_summit.reference_find(new summit.property_reference) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (
		SELECT f.reference_id
		FROM (SELECT t.* FROM summit.property_reference t
				WHERE t.server = new.server AND md5(t.property_id) = md5(new.property_id) AND md5(t.tenant_id) = md5(new.tenant_id)
				UNION ALL SELECT t.* FROM summit.property_reference t
				WHERE t.server = new.server AND md5(t.property_id) = md5(new.property_id) AND md5(t.tenant_id) IS NULL
					AND new.tenant_id IS NULL) AS f
		WHERE f.property_id = new.property_id AND f.kind = new.kind AND f.tenant_id IS NOT DISTINCT FROM new.tenant_id
			AND f.unit_id IS NOT DISTINCT FROM new.unit_id AND f.lease_id IS NOT DISTINCT FROM new.lease_id
			AND (f.valid_to IS NULL OR f.valid_to = new.valid_to AND f.valid_from = coalesce(new.valid_from, f.valid_from))
		ORDER BY f.valid_to NULLS FIRST, f.reference_id LIMIT 1);
END
$$;
COMMENT ON FUNCTION canopy_summit.reference_find(summit.property_reference) IS
	'the reference of which a new one tells anew; NULL if there is none';

CREATE FUNCTION canopy_summit.property_reference_fill() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known bigint;
BEGIN
	NEW.server := canopy_summit.hold_name(canopy_summit.default_summit_server(NEW.server));
	NEW.kind := coalesce(NEW.kind, 'tenant');
	NEW.property_id := nullif(NEW.property_id, '');
	NEW.unit_id := nullif(NEW.unit_id, '');
	NEW.lease_id := nullif(NEW.lease_id, '');
	NEW.tenant_id := nullif(NEW.tenant_id, '');
	PERFORM canopy_summit.reference_check(NEW);
	PERFORM canopy_summit.follow('property', 'property_id', NEW.server, ARRAY[NEW.property_id]);
	PERFORM canopy_summit.follow('property_reference', 'property_id', NEW.server, ARRAY[NEW.property_id]);
	known := canopy_summit.reference_find(NEW);
	IF known IS NOT NULL THEN
		PERFORM canopy_summit.reference_absorb(known, NEW);
		RETURN NULL;
	END IF;
	NEW.reference_id := nextval('canopy_summit.reference_id_seq');
	NEW.is_primary := coalesce(NEW.is_primary, true);
	NEW.valid_from := coalesce(NEW.valid_from, canopy_summit.property_date(NEW.server, NEW.property_id));
	NEW.recorded_at := now();
	PERFORM canopy_summit.reference_check(NEW);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.property_reference_fill() IS 'trigger: fills a reference; one that is open already is told anew instead';

CREATE FUNCTION canopy_summit.property_reference_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM canopy_summit.reference_check(NEW);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.property_reference_change() IS 'trigger: checks the kind and the days of a reference';

-- Restored rows, and those of an import, have their key.
CREATE TRIGGER property_reference_fill BEFORE INSERT ON summit.property_reference
	FOR EACH ROW WHEN (NEW.reference_id IS NULL) EXECUTE FUNCTION canopy_summit.property_reference_fill();
CREATE TRIGGER property_reference_change BEFORE UPDATE OF kind, valid_from, valid_to ON summit.property_reference
	FOR EACH ROW WHEN (NEW.kind NOT IN ('tenant', 'vendor') OR NEW.valid_to <= NEW.valid_from)
	EXECUTE FUNCTION canopy_summit.property_reference_change();

-- Which column of a file is what.

CREATE FUNCTION canopy_summit.cell_kind(source text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN source IN ('property_id', 'unit_id', 'lease_id', 'tenant_id', 'policy_number') THEN 'id'
	WHEN source IN ('effective_date', 'expiry_date', 'lease_from', 'lease_to', 'valid_from') THEN 'date'
	WHEN source IN ('per_occurrence', 'aggregate', 'deductible', 'tenants_legal_liability', 'non_owned_auto') THEN 'amount'
	WHEN source IN ('additional_insured', 'waiver_of_subrogation', 'cross_liability') THEN 'boolean'
	WHEN source = 'cancellation_notice_days' THEN 'number'
	WHEN source = 'kind' THEN 'kind'
	ELSE 'text' END;
COMMENT ON FUNCTION canopy_summit.cell_kind(text) IS 'what a cell of an imported file must be: id, date, amount, boolean, number, kind or text';

CREATE FUNCTION canopy_summit.import_columns(system text, server text, OUT source text, OUT part text, OUT heading text, OUT style text,
	OUT ordinal bigint, OUT times bigint) RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH own AS (
		SELECT DISTINCT ON (c.position) c.position, c.source, btrim(c.heading) AS heading, c.date_style, c.boolean_style
		FROM summit.export_column c WHERE c.system = import_columns.system AND c.server IN ('', import_columns.server)
		ORDER BY c.position, c.server = '', c.builtin),
	-- Of a heading that the mapping has several times, the file's first is the mapping's first.
	numbered AS (
		SELECT o.*, row_number() OVER (PARTITION BY o.heading ORDER BY o.position) AS ordinal, count(*) OVER (PARTITION BY o.heading) AS times
		FROM own o)
	SELECT n.source, CASE WHEN n.source IN ('property_id', 'unit_id', 'lease_id', 'tenant_id') THEN 'reference'
			WHEN n.source = 'holder_name' THEN 'property' ELSE 'insurance' END, n.heading,
		CASE canopy_summit.cell_kind(n.source) WHEN 'boolean' THEN n.boolean_style ELSE n.date_style END, n.ordinal, n.times
	FROM numbered n WHERE n.source IS NOT NULL
	UNION ALL
	SELECT e.source, 'extra', e.heading, coalesce((SELECT o.date_style FROM own o WHERE o.source = 'effective_date' LIMIT 1), 'YYYY-MM-DD'), 1, 1
	FROM (VALUES ('resident_guid', 'resident guid'), ('name', 'resident name'), ('first_name', 'first name'), ('last_name', 'last name'),
		('status', 'status'), ('lease_from', 'lease from'), ('lease_to', 'lease to'), ('kind', 'kind'), ('valid_from', 'valid from'))
		AS e(source, heading);
END;
COMMENT ON FUNCTION canopy_summit.import_columns(text, text) IS
	'columns that a file of a system may have: those of its mapping, of which ordinal counts those of the same heading, and what a roster has besides, whose headings are in lower case';

CREATE FUNCTION canopy_summit.csv_delimiter(csv text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT d.delimiter
	FROM (SELECT regexp_replace(split_part(ltrim(left(csv_delimiter.csv, 200000), chr(65279) || chr(13) || chr(10)), chr(10), 1),
			'"[^"]*"', '', 'g')) AS h(heading),
		(VALUES (1, ','), (2, ';'), (3, chr(9))) AS d(place, delimiter)
	ORDER BY length(h.heading) - length(replace(h.heading, d.delimiter, '')) DESC, d.place LIMIT 1;
END;
COMMENT ON FUNCTION canopy_summit.csv_delimiter(text) IS 'comma, semicolon or tab: whichever the first line has most of';

CREATE FUNCTION canopy_summit.import_systems(server text) RETURNS SETOF text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT DISTINCT s.system FROM summit.export_system s WHERE s.server IN ('', import_systems.server) ORDER BY s.system;
END;
COMMENT ON FUNCTION canopy_summit.import_systems(text) IS 'property systems that a server has';

CREATE FUNCTION canopy_summit.import_check_headings(system text, server text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	twice text;
	missing text;
BEGIN
	SELECT min(p.heading) INTO twice FROM pg_temp.roster_place p
	GROUP BY p.part = 'extra', CASE p.part WHEN 'extra' THEN lower(p.heading) ELSE p.heading END, p.times HAVING count(*) > p.times LIMIT 1;
	IF twice IS NOT NULL THEN
		RAISE EXCEPTION 'heading "%" is in the file more often than in the mapping', twice
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Rename or remove what is not meant.';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_temp.roster_place p WHERE p.source = 'property_id') THEN
		SELECT c.heading INTO missing FROM canopy_summit.import_columns(system, server) c WHERE c.source = 'property_id';
		RAISE EXCEPTION 'heading "%" is not in the file', coalesce(missing, 'property_id')
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'The first line has the headings that summit.export_column has for the system, and is UTF-8 or Windows-1252.';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.import_check_headings(text, text) IS 'error 22023: a heading is there too often, or that of the property is not there';

CREATE FUNCTION canopy_summit.import_read(system text, server text, csv text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	first record;
BEGIN
	CREATE TEMPORARY TABLE roster_line (line bigint, fields text[], is_whole boolean) ON COMMIT DROP;
	CREATE TEMPORARY TABLE roster_place (source text, part text, heading text, style text, ordinal bigint, times bigint, place integer)
		ON COMMIT DROP;
	CREATE TEMPORARY TABLE roster_finding (line bigint, heading text, value text, rank integer, problem text) ON COMMIT DROP;
	INSERT INTO pg_temp.roster_line
	SELECT r.line, r.fields FROM (
		SELECT c.line, array_replace(c.fields, '', NULL) AS fields FROM canopy_summit.csv_rows(csv, canopy_summit.csv_delimiter(csv)) AS c) AS r
	WHERE array_to_string(r.fields, '') <> '';
	SELECT l.line, l.fields INTO first FROM pg_temp.roster_line l ORDER BY l.line LIMIT 1;
	IF first.line IS NULL THEN
		RAISE EXCEPTION 'the file has no line of headings' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	DELETE FROM pg_temp.roster_line l WHERE l.line = first.line;
	-- One that is there more often than the mapping has it counts as its first, and is refused then.
	INSERT INTO pg_temp.roster_place
	SELECT c.source, c.part, h.heading, c.style, h.ordinal, c.times, h.place
	FROM (SELECT btrim(u.heading) AS heading, u.place, row_number() OVER (PARTITION BY btrim(u.heading) ORDER BY u.place) AS ordinal
			FROM unnest(first.fields) WITH ORDINALITY AS u(heading, place)) AS h
		CROSS JOIN LATERAL (
			SELECT i.* FROM canopy_summit.import_columns(system, server) AS i
			WHERE i.heading = h.heading AND (i.ordinal = h.ordinal OR i.ordinal = 1 AND h.ordinal > i.times)
				OR i.part = 'extra' AND i.heading = lower(h.heading)
			ORDER BY i.part = 'extra' LIMIT 1) AS c;
	PERFORM canopy_summit.import_check_headings(system, server);
	UPDATE pg_temp.roster_line l SET is_whole = cardinality(l.fields) = cardinality(first.fields);
	INSERT INTO pg_temp.roster_finding
	SELECT l.line, NULL, NULL, 0, format('has %s fields, the heading has %s', cardinality(l.fields), cardinality(first.fields))
	FROM pg_temp.roster_line l WHERE NOT l.is_whole;
END
$$;
COMMENT ON FUNCTION canopy_summit.import_read(text, text, text) IS 'reads the records of a file, and which column is what';

-- What a cell is, if it is not what it should be.

CREATE FUNCTION canopy_summit.is_date_of_style(value text, style text) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF value !~ (CASE style WHEN 'YYYY-MM-DD' THEN '^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}$' WHEN 'YYYYMMDD' THEN '^[1-9][0-9]{7}$'
			WHEN 'M/D/YYYY' THEN '^[0-9]{1,2}/[0-9]{1,2}/[1-9][0-9]{3}$' ELSE '^[0-9]{2}/[0-9]{2}/[1-9][0-9]{3}$' END) THEN
		RETURN false;
	END IF;
	PERFORM canopy_summit.date_of_style(value, style);
	RETURN true;
EXCEPTION WHEN data_exception THEN
	RETURN false;
END
$$;
COMMENT ON FUNCTION canopy_summit.is_date_of_style(text, text) IS 'whether a text is a day, written in this style and no other';

CREATE FUNCTION canopy_summit.date_of_style(value text, style text) RETURNS date
LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_date(value, CASE style WHEN 'M/D/YYYY' THEN 'MM/DD/YYYY' ELSE style END);
COMMENT ON FUNCTION canopy_summit.date_of_style(text, text) IS 'the day that a text is which canopy_summit.is_date_of_style()';

-- Both are cheap for what they are mostly given, and have no FROM, so that a query calls them without a call.
CREATE FUNCTION canopy_summit.spreadsheet_problem(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
	-- 1E5 may be an id; nobody but a spreadsheet writes 1E+05.
	WHEN strpos(value, 'E+') > 0 AND value ~ '^-?[0-9]([.,][0-9]+)?E[+][0-9]+$' THEN 'looks like a number that a spreadsheet made'
	WHEN strpos(value, '-') > 0
		AND value ~ '^([0-9]{1,2}-(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(-[0-9]{2,4})?|(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-[0-9]{2,4})$'
		THEN 'looks like a date that a spreadsheet made' END;
COMMENT ON FUNCTION canopy_summit.spreadsheet_problem(text) IS 'what a spreadsheet seems to have made of a cell; NULL if nothing';

CREATE FUNCTION canopy_summit.cell_problem(value text, source text, kind text, style text) RETURNS text
LANGUAGE sql STABLE
RETURN CASE
	WHEN value IS NULL THEN CASE source WHEN 'property_id' THEN 'is required' END
	WHEN source = 'tenant_id' AND starts_with(value, 'was_') THEN 'is an id that was replaced'
	WHEN kind IN ('id', 'date', 'amount', 'number') AND canopy_summit.spreadsheet_problem(value) IS NOT NULL
		THEN canopy_summit.spreadsheet_problem(value)
	WHEN kind = 'date' AND value ~ '^[0-9]{1,2}[-/. ][0-9]{1,2}[-/. ][0-9]{2}$' THEN 'has a year of two digits'
	WHEN kind = 'date' AND NOT canopy_summit.is_date_of_style(value, style) THEN 'is not a date in the style ' || style
	WHEN kind = 'amount' AND value !~ '^[0-9]+([.][0-9]+)?$' THEN 'is not an amount'
	WHEN kind = 'number' AND value !~ '^[0-9]{1,9}$' THEN 'is not a whole number'
	WHEN kind = 'boolean' AND NOT lower(value) = ANY (string_to_array(lower(style), '/')) THEN 'is not true or false in the style ' || style
	WHEN kind = 'kind' AND lower(value) NOT IN ('tenant', 'vendor') THEN 'is not tenant or vendor' END;
COMMENT ON FUNCTION canopy_summit.cell_problem(text, text, text, text) IS 'what is wrong with a cell by itself; NULL if nothing';

CREATE FUNCTION canopy_summit.import_check_cells() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
DECLARE
	named record;
BEGIN
	FOR named IN SELECT p.*, canopy_summit.cell_kind(p.source) AS kind FROM pg_temp.roster_place p LOOP
		CONTINUE WHEN named.kind = 'text';
		-- A day or an amount is there many times.
		INSERT INTO pg_temp.roster_finding
		SELECT l.line, named.heading, d.value, 1, d.problem
		FROM (SELECT v.value, canopy_summit.cell_problem(v.value, named.source, named.kind, named.style) AS problem
				FROM (SELECT DISTINCT l.fields[named.place] AS value FROM pg_temp.roster_line l WHERE l.is_whole) AS v OFFSET 0) AS d
			JOIN pg_temp.roster_line l ON l.is_whole AND coalesce(l.fields[named.place], '') = coalesce(d.value, '')
		WHERE d.problem IS NOT NULL;
	END LOOP;
END
$$;
COMMENT ON FUNCTION canopy_summit.import_check_cells() IS 'lists cells that are not what they should be by themselves';

-- What the rows say.

CREATE FUNCTION canopy_summit.import_insurance() RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT format('nullif(jsonb_strip_nulls(jsonb_object(%L::text[], ARRAY[%s])), %L)', array_agg(p.source ORDER BY p.place),
			string_agg(format('l.fields[%s]', p.place), ', ' ORDER BY p.place), '{}')
		FROM pg_temp.roster_place p WHERE p.part = 'insurance' HAVING count(*) > 0);
END
$$;
COMMENT ON FUNCTION canopy_summit.import_insurance() IS 'expression that makes the cells of the policy a JSON object; NULL if the file has none';

CREATE FUNCTION canopy_summit.import_cell(source text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN coalesce((
		SELECT CASE canopy_summit.cell_kind(p.source)
			WHEN 'date' THEN format('CASE WHEN w.is_good THEN canopy_summit.date_of_style(l.fields[%s], %L) END', p.place, p.style)
			ELSE format('l.fields[%s]', p.place) END
		FROM pg_temp.roster_place p WHERE p.source = import_cell.source AND (p.part <> 'insurance' OR canopy_summit.cell_kind(p.source) = 'date')
		ORDER BY p.place LIMIT 1), 'NULL');
END
$$;
COMMENT ON FUNCTION canopy_summit.import_cell(text) IS 'expression for a cell; NULL if the file does not have it';

CREATE FUNCTION canopy_summit.import_understand(system text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	CREATE TEMPORARY TABLE roster_row (line bigint, is_good boolean, property_id text, unit_id text, lease_id text, tenant_id text, kind text,
		is_primary boolean, property_name text, resident_guid text, name text, first_name text, last_name text, status text,
		lease_from date, lease_to date, valid_from date, effective_date date, expiry_date date, insurance jsonb) ON COMMIT DROP;
	EXECUTE format('INSERT INTO pg_temp.roster_row SELECT l.line, w.is_good, %s, coalesce(lower(%s), ''tenant''), true, %s, %s '
			'FROM pg_temp.roster_line l, LATERAL (SELECT l.line NOT IN (SELECT f.line FROM pg_temp.roster_finding f)) AS w(is_good)',
		(SELECT string_agg(canopy_summit.import_cell(c.source), ', ' ORDER BY c.place)
			FROM unnest('{property_id,unit_id,lease_id,tenant_id}'::text[]) WITH ORDINALITY AS c(source, place)),
		canopy_summit.import_cell('kind'),
		(SELECT string_agg(canopy_summit.import_cell(c.source), ', ' ORDER BY c.place)
			FROM unnest('{holder_name,resident_guid,name,first_name,last_name,status,lease_from,lease_to,valid_from,effective_date,expiry_date}'::text[])
				WITH ORDINALITY AS c(source, place)),
		coalesce(canopy_summit.import_insurance(), 'NULL'));
	-- Yardi's roommates.
	UPDATE pg_temp.roster_row r SET is_primary = false WHERE import_understand.system = 'yardi' AND r.tenant_id ~ '^r[0-9]+$';
	ANALYZE pg_temp.roster_row (line, property_id, unit_id, lease_id, tenant_id);
END
$$;
COMMENT ON FUNCTION canopy_summit.import_understand(text) IS 'makes of the records what they say; of those with a problem the ids alone count';

CREATE FUNCTION canopy_summit.import_heading(source text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT p.heading FROM pg_temp.roster_place p WHERE p.source = import_heading.source ORDER BY p.place LIMIT 1);
END
$$;
COMMENT ON FUNCTION canopy_summit.import_heading(text) IS 'heading of a column of the file';

-- Rows are good as long as nothing is found.
CREATE FUNCTION canopy_summit.import_note_bad() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
BEGIN
	UPDATE pg_temp.roster_row r SET is_good = false WHERE r.is_good AND r.line IN (SELECT f.line FROM pg_temp.roster_finding f);
END
$$;
COMMENT ON FUNCTION canopy_summit.import_note_bad() IS 'marks the rows of which something was found';

CREATE FUNCTION canopy_summit.import_check_rows() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
BEGIN
	INSERT INTO pg_temp.roster_finding
	SELECT r.line, canopy_summit.import_heading('tenant_id'), NULL, 2, 'is required'
	FROM pg_temp.roster_row r WHERE r.is_good AND num_nonnulls(r.unit_id, r.lease_id, r.tenant_id) = 0;

	INSERT INTO pg_temp.roster_finding
	SELECT r.line, canopy_summit.import_heading('expiry_date'), r.insurance ->> 'expiry_date', 2, 'is before effective_date'
	FROM pg_temp.roster_row r WHERE r.is_good AND r.expiry_date <= r.effective_date;

	-- The same row twice is there once.
	CREATE TEMPORARY TABLE roster_twin ON COMMIT DROP AS
	SELECT t.line, t.tenant_id, t.rest IS NOT DISTINCT FROM t.first_rest AS is_same
	FROM (SELECT r.line, r.tenant_id, n.rest, first_value(n.rest) OVER w AS first_rest, row_number() OVER w AS number
		FROM pg_temp.roster_row r,
			LATERAL (SELECT jsonb_build_array(r.resident_guid, r.name, r.first_name, r.last_name, r.status, r.lease_from, r.lease_to, r.valid_from,
				r.insurance)) AS n(rest)
		WHERE r.line IN (SELECT unnest((array_agg(g.line)))
			FROM pg_temp.roster_row g WHERE g.is_good GROUP BY g.property_id, g.unit_id, g.lease_id, g.tenant_id, g.kind HAVING count(*) > 1)
		WINDOW w AS (PARTITION BY r.property_id, r.unit_id, r.lease_id, r.tenant_id, r.kind ORDER BY r.line)) AS t
	WHERE t.number > 1;
	DELETE FROM pg_temp.roster_row r WHERE r.line IN (SELECT t.line FROM pg_temp.roster_twin t WHERE t.is_same);
	INSERT INTO pg_temp.roster_finding
	SELECT t.line, canopy_summit.import_heading('tenant_id'), t.tenant_id, 2, 'is twice in the file'
	FROM pg_temp.roster_twin t WHERE NOT t.is_same;
	DROP TABLE pg_temp.roster_twin;
	PERFORM canopy_summit.import_note_bad();
END
$$;
COMMENT ON FUNCTION canopy_summit.import_check_rows() IS 'lists rows whose cells do not fit each other, or another row';

CREATE FUNCTION canopy_summit.import_check_zeros(server text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
DECLARE
	named text;
	scope text;
BEGIN
	FOREACH named IN ARRAY '{property_id,unit_id,lease_id,tenant_id}'::text[] LOOP
		scope := CASE named WHEN 'property_id' THEN 'server' ELSE 'property_id' END;
		-- What is known as it is needs no look at what resembles it.
		EXECUTE format('
			WITH known AS NOT MATERIALIZED (
				SELECT f.%1$I AS id, f.%2$I AS scope FROM summit.property_reference f WHERE f.server = $1 AND f.%1$I IS NOT NULL
				UNION ALL SELECT p.property_id, p.server FROM summit.property p WHERE p.server = $1 AND %3$L),
			cell AS (SELECT r.line, r.%1$I AS id, CASE WHEN %3$L THEN $1 ELSE r.property_id END AS scope
				FROM pg_temp.roster_row r WHERE r.is_good AND r.%1$I IS NOT NULL),
			unknown AS MATERIALIZED (
				SELECT c.* FROM cell c WHERE NOT EXISTS (SELECT FROM known k WHERE k.scope = c.scope AND k.id = c.id))
			INSERT INTO pg_temp.roster_finding
			SELECT u.line, canopy_summit.import_heading(%1$L), u.id, 3, format(''differs only by leading zeros from "%%s"'', min(k.id))
			FROM unknown u JOIN known k ON k.scope = u.scope AND ltrim(k.id, ''0'') = ltrim(u.id, ''0'') GROUP BY u.line, u.id',
			named, scope, named = 'property_id') USING server;
	END LOOP;
	PERFORM canopy_summit.import_note_bad();
END
$$;
COMMENT ON FUNCTION canopy_summit.import_check_zeros(text) IS 'lists ids of which others are known that differ by leading zeros alone';

CREATE FUNCTION canopy_summit.import_check_places(server text, complete_for text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
BEGIN
	INSERT INTO pg_temp.roster_finding
	SELECT r.line, canopy_summit.import_heading('unit_id'), r.unit_id, 4, 'is not a known unit'
	FROM pg_temp.roster_row r
		JOIN (SELECT DISTINCT f.property_id FROM summit.property_reference f WHERE f.server = import_check_places.server AND f.unit_id IS NOT NULL) AS p
			ON p.property_id = r.property_id
		LEFT JOIN (SELECT DISTINCT f.property_id, f.unit_id FROM summit.property_reference f WHERE f.server = import_check_places.server) AS u
			ON u.property_id = r.property_id AND u.unit_id = r.unit_id
	WHERE r.is_good AND r.unit_id IS NOT NULL AND u.unit_id IS NULL AND r.property_id <> ALL (complete_for);

	WITH known AS MATERIALIZED (
		SELECT f.property_id, f.tenant_id, coalesce(f.unit_id, '') AS unit_id, coalesce(f.lease_id, '') AS lease_id, f.kind
		FROM summit.property_reference f WHERE f.server = import_check_places.server AND f.valid_to IS NULL AND f.tenant_id IS NOT NULL),
	said AS MATERIALIZED (
		SELECT r.line, r.is_good, r.property_id, r.tenant_id, coalesce(r.unit_id, '') AS unit_id, coalesce(r.lease_id, '') AS lease_id, r.kind
		FROM pg_temp.roster_row r WHERE r.tenant_id IS NOT NULL),
	-- Known at a place that the file does not have.
	left_out AS (SELECT k.property_id, k.tenant_id, k.kind FROM known k
		WHERE NOT EXISTS (SELECT FROM said s WHERE s.property_id = k.property_id AND s.tenant_id = k.tenant_id AND s.unit_id = k.unit_id
			AND s.lease_id = k.lease_id AND s.kind = k.kind))
	INSERT INTO pg_temp.roster_finding
	SELECT s.line, canopy_summit.import_heading('tenant_id'), s.tenant_id, 4, 'has moved'
	FROM said s
	WHERE s.is_good AND s.property_id <> ALL (complete_for)
		AND EXISTS (SELECT FROM left_out o WHERE o.property_id = s.property_id AND o.tenant_id = s.tenant_id AND o.kind = s.kind)
		AND NOT EXISTS (SELECT FROM known k WHERE k.property_id = s.property_id AND k.tenant_id = s.tenant_id AND k.unit_id = s.unit_id
			AND k.lease_id = s.lease_id AND k.kind = s.kind);
	PERFORM canopy_summit.import_note_bad();
END
$$;
COMMENT ON FUNCTION canopy_summit.import_check_places(text, text[]) IS
	'lists units that are not known of a property whose units are, and tenants who are known elsewhere in their property';

-- What is taken.

CREATE FUNCTION canopy_summit.import_match(server text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
DECLARE
	has jsonb := (SELECT jsonb_object_agg(p.source, true) FROM pg_temp.roster_place p WHERE p.part = 'extra');
	has_insurance boolean := EXISTS (SELECT FROM pg_temp.roster_place p WHERE p.part = 'insurance');
BEGIN
	has := coalesce(has, '{}');
	-- A name is the same however its accents are encoded.
	CREATE TEMPORARY TABLE roster_change ON COMMIT DROP AS
	SELECT r.line, f.reference_id, r.property_id, r.unit_id, r.lease_id, r.tenant_id, r.kind, r.is_primary, m.*,
		CASE WHEN f.reference_id IS NULL THEN 'new'
			WHEN (m.resident_guid, normalize(m.name), normalize(m.first_name), normalize(m.last_name), m.status, m.lease_from, m.lease_to, m.valid_from,
					m.insurance)
				IS DISTINCT FROM (f.resident_guid, normalize(f.name), normalize(f.first_name), normalize(f.last_name), f.status, f.lease_from,
					f.lease_to, f.valid_from, f.insurance) THEN 'changed'
			ELSE 'same' END AS action
	FROM pg_temp.roster_row r
		LEFT JOIN summit.property_reference f ON f.server = import_match.server AND f.valid_to IS NULL AND f.property_id = r.property_id
			AND coalesce(f.unit_id, '') = coalesce(r.unit_id, '') AND coalesce(f.lease_id, '') = coalesce(r.lease_id, '')
			AND coalesce(f.tenant_id, '') = coalesce(r.tenant_id, '') AND f.kind = r.kind
		LEFT JOIN summit.property p ON p.server = import_match.server AND p.property_id = r.property_id
		CROSS JOIN LATERAL (SELECT
			CASE WHEN has ? 'resident_guid' THEN r.resident_guid ELSE f.resident_guid END AS resident_guid,
			CASE WHEN has ? 'name' THEN r.name ELSE f.name END AS name,
			CASE WHEN has ? 'first_name' THEN r.first_name ELSE f.first_name END AS first_name,
			CASE WHEN has ? 'last_name' THEN r.last_name ELSE f.last_name END AS last_name,
			CASE WHEN has ? 'status' THEN r.status ELSE f.status END AS status,
			CASE WHEN has ? 'lease_from' THEN r.lease_from ELSE f.lease_from END AS lease_from,
			CASE WHEN has ? 'lease_to' THEN r.lease_to ELSE f.lease_to END AS lease_to,
			coalesce(r.valid_from, f.valid_from, (now() AT TIME ZONE coalesce(p.time_zone, 'UTC'))::date) AS valid_from,
			CASE WHEN has_insurance THEN r.insurance ELSE f.insurance END AS insurance) AS m
	WHERE r.is_good;
END
$$;
COMMENT ON FUNCTION canopy_summit.import_match(text) IS 'finds which rows are new, and which tell something new of an open reference';

CREATE FUNCTION canopy_summit.import_ended(server text, complete_for text[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
DECLARE
	-- Where nobody says who is a vendor, vendors are not what the file is complete for.
	has_kinds boolean := EXISTS (SELECT FROM pg_temp.roster_place p WHERE p.source = 'kind' AND p.part = 'extra');
BEGIN
	-- A row that has a problem may mean whom it resembles in anything.
	RETURN ARRAY(
		WITH listed AS MATERIALIZED (
			SELECT DISTINCT ltrim(r.property_id, '0') AS property_id, v.source, ltrim(v.id, '0') AS id
			FROM pg_temp.roster_row r, LATERAL (VALUES ('unit_id', r.unit_id), ('lease_id', r.lease_id), ('tenant_id', r.tenant_id)) AS v(source, id)
			WHERE NOT r.is_good AND v.id IS NOT NULL)
		SELECT f.reference_id FROM summit.property_reference f
		WHERE f.server = import_ended.server AND f.valid_to IS NULL AND f.property_id = ANY (complete_for) AND (has_kinds OR f.kind = 'tenant')
			AND NOT EXISTS (SELECT FROM pg_temp.roster_row r WHERE r.property_id = f.property_id
				AND coalesce(r.unit_id, '') = coalesce(f.unit_id, '') AND coalesce(r.lease_id, '') = coalesce(f.lease_id, '')
				AND coalesce(r.tenant_id, '') = coalesce(f.tenant_id, '') AND r.kind = f.kind)
			AND NOT EXISTS (SELECT FROM listed l WHERE l.property_id = ltrim(f.property_id, '0') AND l.source = 'unit_id' AND l.id = ltrim(f.unit_id, '0'))
			AND NOT EXISTS (SELECT FROM listed l WHERE l.property_id = ltrim(f.property_id, '0') AND l.source = 'lease_id' AND l.id = ltrim(f.lease_id, '0'))
			AND NOT EXISTS (SELECT FROM listed l WHERE l.property_id = ltrim(f.property_id, '0') AND l.source = 'tenant_id' AND l.id = ltrim(f.tenant_id, '0')));
END
$$;
COMMENT ON FUNCTION canopy_summit.import_ended(text, text[]) IS 'open references of properties for which the file is complete, and which it does not have';

CREATE FUNCTION canopy_summit.import_write(system text, server text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
BEGIN
	UPDATE pg_temp.roster_change c SET reference_id = nextval('canopy_summit.reference_id_seq') WHERE c.action = 'new';
	UPDATE summit.property_reference f
	SET resident_guid = c.resident_guid, name = c.name, first_name = c.first_name, last_name = c.last_name, status = c.status,
		lease_from = c.lease_from, lease_to = c.lease_to, valid_from = c.valid_from, insurance = c.insurance, system = import_write.system
	FROM pg_temp.roster_change c WHERE c.action = 'changed' AND f.reference_id = c.reference_id;

	INSERT INTO summit.property_reference (reference_id, server, property_id, unit_id, lease_id, tenant_id, kind, resident_guid, name, first_name,
		last_name, status, is_primary, lease_from, lease_to, valid_from, insurance, system, recorded_at)
	SELECT c.reference_id, import_write.server, c.property_id, c.unit_id, c.lease_id, c.tenant_id, c.kind, c.resident_guid, c.name, c.first_name,
		c.last_name, c.status, c.is_primary, c.lease_from, c.lease_to, c.valid_from, c.insurance, import_write.system, now()
	FROM pg_temp.roster_change c WHERE c.action = 'new';

	-- A property that has no name gets the one that the file has for it.
	UPDATE summit.property p SET name = n.name
	FROM (SELECT r.property_id, (array_agg(r.property_name ORDER BY r.line))[1] AS name FROM pg_temp.roster_row r
		WHERE r.is_good AND r.property_name IS NOT NULL GROUP BY r.property_id HAVING count(DISTINCT normalize(r.property_name)) = 1) AS n
	WHERE p.server = import_write.server AND p.property_id = n.property_id AND p.name IS NULL;
END
$$;
COMMENT ON FUNCTION canopy_summit.import_write(text, text) IS 'stores what is new';

CREATE FUNCTION canopy_summit.import_end(server text, ended bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
BEGIN
	-- Where one has gone and one has come, they are the same home's.
	WITH gone AS (
		SELECT f.property_id, coalesce(f.unit_id, '') AS unit_id, coalesce(f.lease_id, '') AS lease_id, min(f.reference_id) AS reference_id
		FROM summit.property_reference f WHERE f.reference_id = ANY (ended) AND f.is_primary AND f.kind = 'tenant'
		GROUP BY 1, 2, 3 HAVING count(*) = 1),
	come AS (
		SELECT c.property_id, coalesce(c.unit_id, '') AS unit_id, coalesce(c.lease_id, '') AS lease_id, min(c.reference_id) AS reference_id
		FROM pg_temp.roster_change c WHERE c.action = 'new' AND c.kind = 'tenant'
		GROUP BY 1, 2, 3 HAVING count(*) = 1)
	UPDATE summit.property_reference f
	SET valid_to = greatest(canopy_summit.property_date(f.server, f.property_id), f.valid_from + 1), replaced_by = p.successor
	FROM (SELECT e.reference_id, c.reference_id AS successor
		FROM unnest(ended) AS e(reference_id) LEFT JOIN gone g USING (reference_id)
			LEFT JOIN come c ON c.property_id = g.property_id AND c.unit_id = g.unit_id AND c.lease_id = g.lease_id) AS p
	WHERE f.reference_id = p.reference_id;
END
$$;
COMMENT ON FUNCTION canopy_summit.import_end(text, bigint[]) IS 'ends references today, where they are, and says who replaced them';

CREATE FUNCTION canopy_summit.import_list_problems(system text, server text, dry_run boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	listed bigint;
BEGIN
	DELETE FROM canopy_summit.import_problem i WHERE i.server = import_list_problems.server AND i.system = import_list_problems.system;
	INSERT INTO canopy_summit.import_problem (problem_id, server, system, line, heading, value, problem, dry_run, imported_at, imported_by)
	SELECT nextval('canopy_summit.import_problem_id_seq'), import_list_problems.server, import_list_problems.system, f.line, f.heading, f.value,
		f.problem, import_list_problems.dry_run, now(), session_user
	FROM (SELECT DISTINCT ON (f.line, f.heading) f.* FROM pg_temp.roster_finding f ORDER BY f.line, f.heading, f.rank, f.problem) AS f;
	GET DIAGNOSTICS listed = ROW_COUNT;
	RETURN listed;
END
$$;
COMMENT ON FUNCTION canopy_summit.import_list_problems(text, text, boolean) IS
	'lists what was found, one problem a cell, in place of what the import before it has listed; how many';

-- Rows under a former name of the server would not be found.
CREATE FUNCTION canopy_summit.import_follow(system text, server text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	former text[] := canopy_summit.former_names(server);
BEGIN
	IF former IS NULL THEN
		RETURN;
	END IF;
	PERFORM canopy_summit.follow('property', 'property_id', server,
		ARRAY(SELECT p.property_id FROM summit.property p WHERE p.server = ANY (former)));
	PERFORM canopy_summit.follow('property_reference', 'property_id', server,
		ARRAY(SELECT DISTINCT f.property_id FROM summit.property_reference f WHERE f.server = ANY (former)));
	PERFORM canopy_summit.follow('import_problem', 'system', server, ARRAY[system]);
	PERFORM canopy_summit.follow(n.named, 'system', server, ARRAY[system]) FROM unnest('{export_system,export_column}'::text[]) AS n(named);
END
$$;
COMMENT ON FUNCTION canopy_summit.import_follow(text, text) IS 'has what an import looks at follow its server, if that was renamed';

CREATE FUNCTION canopy_summit.import_check_complete(complete_for text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	absent text;
BEGIN
	SELECT coalesce(c.property_id, '') INTO absent FROM unnest(complete_for) AS c(property_id)
	WHERE c.property_id IS NULL OR c.property_id NOT IN (SELECT r.property_id FROM pg_temp.roster_row r WHERE r.property_id IS NOT NULL)
	LIMIT 1;
	IF absent IS NOT NULL THEN
		RAISE EXCEPTION 'property "%" is not in the file', absent
			USING ERRCODE = 'invalid_parameter_value', HINT = 'complete_for names properties of which the file has all that there is.';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.import_check_complete(text[]) IS 'error 22023: the file has nothing of a property for which it would be complete';

-- An import at a time: two of the same roster would both find that a reference is new.
CREATE FUNCTION canopy_summit.import_begin(system text, csv_is_null boolean, server name) RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held text;
BEGIN
	IF csv_is_null THEN
		RAISE EXCEPTION 'csv cannot be NULL' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	held := canopy_summit.hold_name(canopy_summit.default_summit_server(server::text));
	PERFORM canopy_summit.server_oid(held::name);
	LOCK TABLE canopy_summit.import_problem IN SHARE ROW EXCLUSIVE MODE;
	PERFORM canopy_summit.import_follow(system, held);
	IF system IS NULL OR system NOT IN (SELECT s FROM canopy_summit.import_systems(held) AS s) THEN
		RAISE EXCEPTION 'system "%" does not exist', system
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Systems are: ' || (SELECT string_agg(s, ', ') FROM canopy_summit.import_systems(held) AS s)
					|| '. INSERT INTO summit.export_system and summit.export_column adds one.';
	END IF;
	RETURN held;
END
$$;
COMMENT ON FUNCTION canopy_summit.import_begin(text, boolean, name) IS 'the server of an import, which is held with what it has; errors 22004, 22023 and 42704';

CREATE FUNCTION canopy_summit.import_roster(system text, csv text, complete_for text[], dry_run boolean, server name,
	OUT taken bigint, OUT unchanged bigint, OUT ended bigint, OUT problems bigint)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held text := canopy_summit.import_begin(system, csv IS NULL, server);
	complete text[] := coalesce(complete_for, '{}');
	is_dry boolean := coalesce(dry_run, false);
	ended_ids bigint[];
BEGIN
	PERFORM canopy_summit.import_read(system, held, csv);
	PERFORM canopy_summit.import_check_cells();
	PERFORM canopy_summit.import_understand(system);
	PERFORM canopy_summit.import_check_complete(complete);
	PERFORM canopy_summit.import_check_rows();
	PERFORM canopy_summit.import_check_zeros(held);
	PERFORM canopy_summit.import_check_places(held, complete);
	PERFORM canopy_summit.import_match(held);
	ended_ids := canopy_summit.import_ended(held, complete);
	SELECT count(*) FILTER (WHERE c.action <> 'same'), count(*) FILTER (WHERE c.action = 'same'), cardinality(ended_ids)
	INTO taken, unchanged, ended FROM pg_temp.roster_change c;
	IF NOT is_dry THEN
		PERFORM canopy_summit.import_write(system, held);
		PERFORM canopy_summit.import_end(held, ended_ids);
	END IF;
	problems := canopy_summit.import_list_problems(system, held, is_dry);
	DROP TABLE pg_temp.roster_line, pg_temp.roster_place, pg_temp.roster_finding, pg_temp.roster_row, pg_temp.roster_change;
END
$$;
COMMENT ON FUNCTION canopy_summit.import_roster(text, text, text[], boolean, name) IS 'what both functions summit_import_roster() do';

CREATE FUNCTION @extschema@.summit_import_roster(system text, csv text, complete_for text[] DEFAULT NULL, dry_run boolean DEFAULT false,
	server name DEFAULT NULL, OUT taken bigint, OUT unchanged bigint, OUT ended bigint, OUT problems bigint)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT r.* INTO taken, unchanged, ended, problems
	FROM canopy_summit.import_roster(system, csv, complete_for, dry_run, server) AS r;
END
$$;
COMMENT ON FUNCTION @extschema@.summit_import_roster(text, text, text[], boolean, name) IS
	'takes a roster, as CSV with the headings that summit.export_column has for the system; what is listed in summit.import_problem is not taken; ends what properties that complete_for names do not have any more; a dry run only lists and counts';

CREATE FUNCTION @extschema@.summit_import_roster(system text, csv bytea, complete_for text[] DEFAULT NULL, dry_run boolean DEFAULT false,
	server name DEFAULT NULL, OUT taken bigint, OUT unchanged bigint, OUT ended bigint, OUT problems bigint)
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT r.* INTO taken, unchanged, ended, problems
	FROM canopy_summit.import_roster(system, canopy_summit.csv_text(csv), complete_for, dry_run, server) AS r;
END
$$;
COMMENT ON FUNCTION @extschema@.summit_import_roster(text, bytea, text[], boolean, name) IS
	'likewise of the bytes of a file, UTF-8 or Windows-1252';

SELECT canopy_summit.describe('summit.property', $notes$
server: foreign server that the property belongs to, by its name; of setting canopy_summit.summit_server unless given
property_id: the property, by its id in the property system
name: what it is called
time_zone: the time zone in which its days begin, by a name such as America/Vancouver
country: two letters, as in ISO 3166
province: province, territory or state: its letters
language: of what its residents are sent, such as en or fr-CA
portfolios: portfolios that it belongs to, whose sets of requirements apply to it
tags: tags that it has, likewise
recorded_at: when it was recorded, or got another time zone$notes$);

SELECT canopy_summit.describe('summit.property_reference', $notes$
reference_id: key of the reference, filled by the engine; a row that comes with one is a restored row
server: foreign server that the property belongs to, by its name; of setting canopy_summit.summit_server unless given
property_id: the property, by its id in the property system, byte by byte
unit_id: the unit, likewise
lease_id: the lease, likewise
tenant_id: the tenant or vendor, likewise
kind: tenant or vendor
resident_guid: the resident, by another id that stays when the others change
name: full name
first_name: first name
last_name: last name
status: as the property system calls it, such as Current, Notice or Past
is_primary: the lease is this tenant's, and not that of a roommate's alone
lease_from: first day of the lease
lease_to: last day of the lease; a current one that is past goes on from month to month
valid_from: first day on which these ids are meant so; if not given, the day on which they came, where the property is
valid_to: first day on which they are not any more; NULL: they still are
replaced_by: reference_id of who came instead
insurance: what a roster says of the tenant's policy, as its cells have it, by the names of summit.export_column
system: property system whose roster told of it last; NULL: none did
recorded_at: when it was first told$notes$);

-- Who may read the roster sees what was in it; others see that there is a problem.
SELECT canopy_summit.define_view('summit.import_problem', 'what the newest import from each property system, or its dry run, did not take, and why', $view$
SELECT i.problem_id, i.server, canopy_summit.server_environment(i.server) AS environment, i.system, i.line, i.heading, i.value, i.problem,
	i.dry_run, i.imported_at, i.imported_by
FROM canopy_summit.import_problem i$view$, $notes$
problem_id: key of the problem
system: the property system
line: line of the file on which the row begins, the first being 1
heading: heading of the cell; NULL: it is the row
value: what the cell has; level manager sees it, too
problem: what is wrong with it
dry_run: it was only tried
imported_at: when it was imported
imported_by: who imported it$notes$,
	'{"heading": "(SELECT has_table_privilege(''summit.property_reference''::regclass, ''SELECT''))",
		"value": "(SELECT has_table_privilege(''summit.property_reference''::regclass, ''SELECT''))"}');

SELECT canopy_summit.define_view('summit.roster', 'who is at a property, by the ids of its property system, and who was', $view$
SELECT f.reference_id, f.server, canopy_summit.server_environment(f.server) AS environment, f.property_id, p.name AS property_name, f.unit_id,
	f.lease_id, f.tenant_id, f.kind, f.resident_guid, f.name, f.first_name, f.last_name, f.status, f.is_primary, f.lease_from, f.lease_to,
	f.valid_from, f.valid_to, f.replaced_by,
	canopy_summit.lease_problem(f.status, f.valid_from, f.valid_to, f.lease_to, d.today) IS NULL AS is_current,
	f.insurance, f.system, f.recorded_at
FROM summit.property_reference f
	LEFT JOIN summit.property p ON p.server = f.server AND p.property_id = f.property_id
	CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE coalesce(p.time_zone, 'UTC'))::date) AS d(today)$view$, $notes$
reference_id: key of the reference
server: foreign server, by its name; of one that was dropped, its last
property_name: what the property is called
is_current: valid today, where the property is, and not Past, Canceled or Future; one without a status not after its lease$notes$);

SELECT canopy_summit.allow('reader manager', 'function', 'lease_problem');
SELECT canopy_summit.allow('manager', 'function', 'summit_import_roster may_read_pii server_environment server_option server_of server_of_former');
SELECT canopy_summit.allow('nobody', 'function',
	'reference_check reference_absorb reference_find import_columns import_check_headings import_read import_check_cells import_insurance import_cell import_understand import_heading import_note_bad import_check_rows import_check_zeros import_check_places import_match import_ended import_write import_end import_list_problems import_follow import_check_complete import_begin import_roster');
SELECT canopy_summit.allow('manager', 'table', 'summit.import_problem summit.roster');
SELECT canopy_summit.allow('manager admin', 'table', 'summit.property',
	'SELECT, DELETE, INSERT (server, property_id, name, time_zone, country, province, language, portfolios, tags), UPDATE (server, property_id, name, time_zone, country, province, language, portfolios, tags)');
SELECT canopy_summit.allow('manager admin', 'table', 'summit.property_reference',
	'SELECT, DELETE, INSERT (server, property_id, unit_id, lease_id, tenant_id, kind, resident_guid, name, first_name, last_name, status, is_primary, lease_from, lease_to, valid_from, valid_to, replaced_by), UPDATE (server, property_id, unit_id, lease_id, tenant_id, kind, resident_guid, name, first_name, last_name, status, is_primary, lease_from, lease_to, valid_from, valid_to, replaced_by)');
SELECT canopy_summit.allow('manager admin', 'table', 'summit.export_system summit.export_column', 'SELECT, INSERT, UPDATE, DELETE');
