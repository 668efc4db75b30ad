-- summit/export.sql: what goes to property systems, and what they have of it.
-- Replaceable.
--
-- The functions of users are C: they see to it that only who reads personal data exports any, and run these as the
-- extension's owner. So a masked *** never gets into a file.

CREATE FUNCTION canopy_summit.export_options(options jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known CONSTANT text[] := '{property_ids,header,bom,delimiter,line_end,encoding,as_of}';
	bad text;
BEGIN
	IF jsonb_typeof(options) <> 'object' THEN
		RAISE EXCEPTION 'options must be an object' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	SELECT o.key INTO bad FROM jsonb_object_keys(options) AS o(key) WHERE o.key <> ALL (known) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'option "%" is not known', bad
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Options are: ' || array_to_string(known, ', ') || '.';
	END IF;
	SELECT o.key INTO bad FROM jsonb_each(options) AS o(key, value)
	WHERE CASE
			WHEN o.key = 'property_ids' THEN jsonb_typeof(o.value) <> 'array'
			WHEN o.key IN ('header', 'bom') THEN jsonb_typeof(o.value) <> 'boolean'
			WHEN jsonb_typeof(o.value) <> 'string' THEN true
			WHEN o.key = 'delimiter' THEN o.value #>> '{}' NOT IN (',', ';', chr(9), '|')
			WHEN o.key = 'line_end' THEN o.value #>> '{}' NOT IN ('LF', 'CRLF')
			WHEN o.key = 'encoding' THEN pg_char_to_encoding((o.value #>> '{}')::name) < 0
			ELSE canopy_summit.time_or_null(o.value #>> '{}') IS NULL END LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'option "%" has a value that it does not take', bad
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'property_ids is an array; header and bom are true or false; delimiter is one of , ; | or a tab; line_end is LF or CRLF; encoding one that PostgreSQL knows; as_of a time such as 2026-01-31T00:00:00Z.';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.export_options(jsonb) IS 'error 22023 if an option of an export is not known, or has a wrong value';

-- What has the server's former name would stay out, and be told of as removed.
CREATE FUNCTION canopy_summit.export_server_check(server text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF canopy_summit.former_names(server) IS NOT NULL THEN
		RAISE EXCEPTION 'server "%" was renamed, and not all of its rows have followed it yet', server
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Wait for the workers, or CALL canopy_summit.run_tasks();';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.export_server_check(text) IS 'error 55000: the server was renamed, and its rows are following it';

CREATE FUNCTION canopy_summit.export_style_for(system text, options jsonb, server text) RETURNS canopy_summit.export_style
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	style canopy_summit.export_style;
BEGIN
	PERFORM canopy_summit.export_options(options);
	SELECT * INTO style FROM canopy_summit.export_style s WHERE s.system = export_style_for.system AND s.server = export_style_for.server;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'property system "%" is not known', system
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Systems are: ' || (SELECT string_agg(DISTINCT s.system, ', ') FROM canopy_summit.export_style s) || '.';
	END IF;
	style.header := coalesce((options ->> 'header')::boolean, style.header);
	style.bom := coalesce((options ->> 'bom')::boolean, style.bom);
	style.delimiter := coalesce(options ->> 'delimiter', style.delimiter);
	style.line_end := coalesce(options ->> 'line_end', style.line_end);
	style.encoding := coalesce(pg_encoding_to_char(pg_char_to_encoding((options ->> 'encoding')::name)), style.encoding);
	RETURN style;
END
$$;
COMMENT ON FUNCTION canopy_summit.export_style_for(text, jsonb, text) IS
	'how an export is written: as the system''s style says, unless options say otherwise; error 22023: no such system or option';

CREATE FUNCTION canopy_summit.export_query(style canopy_summit.export_style, line text, condition text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	cells text;
BEGIN
	SELECT string_agg(format(CASE WHEN style.formulas = 'quote' THEN 'canopy_summit.quoted_formula(%s)' ELSE '%s' END,
			canopy_summit.cell_expression(c.source, quote_literal(c.date_style), quote_literal(c.boolean_style), quote_literal(c.money_style),
				quote_literal(style.separator))), ', ' ORDER BY c.position)
	INTO cells
	FROM unnest(style.sources, style.date_styles, style.boolean_styles, style.money_styles)
		WITH ORDINALITY AS c(source, date_style, boolean_style, money_style, position);
	RETURN format('SELECT %s FROM (SELECT k.row_key, k.policy_status_id, k.property_id, k.property_country AS country, '
		'canopy_summit.csv_line(r.cells, %L) AS line FROM canopy_summit.export_source k, LATERAL (SELECT ARRAY[%s] AS cells OFFSET 0) AS r '
		'WHERE k.server = %L AND k.is_newest AND k.lease_problem IS NULL AND canopy_summit.list_problem(k.endorsements, %L) IS NULL '
		'AND canopy_summit.cells_problem(r.cells, %L, %L, %L, %L, %L) IS NULL AND %s) AS x ORDER BY x.policy_status_id',
		replace(line, '%line', CASE style.encoding WHEN 'UTF8' THEN 'x.line' ELSE 'normalize(x.line, NFC)' END),
		style.delimiter, cells, style.server, style.separator, style.headings, style.sources, style.required, style.money_styles, style.encoding,
		condition);
END
$$;
COMMENT ON FUNCTION canopy_summit.export_query(canopy_summit.export_style, text, text) IS
	'the query that makes the lines of an export: an expression over x, whose line it calls %line, for the certificates that fit a condition on k';

CREATE FUNCTION canopy_summit.export_condition(options jsonb) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN options ? 'as_of' THEN format('k.known_from <= %1$L AND k.known_to > %1$L', canopy_summit.time_or_null(options ->> 'as_of'))
		ELSE 'k.known_to = ''infinity''' END
	|| CASE WHEN options ? 'property_ids' THEN
		format(' AND k.property_id = ANY (%L)', ARRAY(SELECT jsonb_array_elements_text(options -> 'property_ids'))) ELSE '' END;
COMMENT ON FUNCTION canopy_summit.export_condition(jsonb) IS 'which certificates options ask for, as a condition on k';

-- Personal data that leave the country are noted, by property, in the statement that exports them: what is not noted
-- does not leave, and in a transaction that cannot write that is an error.
CREATE FUNCTION canopy_summit.is_abroad(server text, options jsonb) RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM summit.property y
		WHERE y.server = is_abroad.server AND y.country <> canopy_summit.server_country(is_abroad.server)
			AND (NOT is_abroad.options ? 'property_ids'
				OR y.property_id IN (SELECT jsonb_array_elements_text(is_abroad.options -> 'property_ids'))));
END;
COMMENT ON FUNCTION canopy_summit.is_abroad(text, jsonb) IS 'whether an export may be about properties of another country than the server''s';

CREATE FUNCTION canopy_summit.noting_query(query text, server text, system text, role name, columns text, place text) RETURNS text
LANGUAGE sql STABLE
RETURN format('WITH made AS MATERIALIZED (%s), noted AS (INSERT INTO canopy_summit.disclosure '
	'SELECT nextval(''canopy_summit.disclosure_id_seq''), %L, %L, g.property_id, %L, g.country, g.rows, now(), %L '
	'FROM (SELECT m.property_id, m.country, count(*) AS rows FROM made m WHERE m.country <> %L AND m.line IS NOT NULL GROUP BY 1, 2) AS g) '
	'SELECT %s FROM made m ORDER BY %s', query, server, system, canopy_summit.server_country(server), role, canopy_summit.server_country(server), columns,
	place);
COMMENT ON FUNCTION canopy_summit.noting_query(text, text, text, name, text, text) IS
	'a query, whose rows have line, property_id and country, as one of columns of its row m, ordered by place, that also notes which lines leave the server''s country';

CREATE FUNCTION canopy_summit.lines_query(style canopy_summit.export_style, options jsonb) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF options - '{header,bom,line_end}'::text[] = '{}' AND canopy_summit.feed_is_fresh(canopy_summit.feed_style(style.system, style.server)) THEN
		RETURN format('SELECT l.line::text AS line, p.property_id::text, y.country, p.policy_status_id FROM canopy_summit.export_line l '
			'JOIN canopy_summit.policy_status p ON p.policy_status_id = l.row_key::bigint '
			'LEFT JOIN summit.property y ON y.server = p.server AND y.property_id = p.property_id '
			'WHERE l.server = %L AND l.system = %L AND l.line IS NOT NULL ORDER BY p.policy_status_id', style.server, style.system);
	END IF;
	RETURN canopy_summit.export_query(style, '%line AS line, x.property_id::text, x.country, x.policy_status_id',
		canopy_summit.export_condition(options));
END
$$;
COMMENT ON FUNCTION canopy_summit.lines_query(canopy_summit.export_style, jsonb) IS
	'the query that makes the lines of an export, in their order, or reads them if they are kept as they would be made';

CREATE FUNCTION canopy_summit.export_lines(system text, options jsonb, server text, role name) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	style CONSTANT canopy_summit.export_style := canopy_summit.export_style_for(system, options, server);
	query CONSTANT text := canopy_summit.lines_query(style, options);
BEGIN
	PERFORM canopy_summit.export_server_check(server);
	IF style.header THEN
		RETURN NEXT canopy_summit.csv_line(style.headings, style.delimiter);
	END IF;
	IF canopy_summit.is_abroad(server, options) THEN
		RETURN QUERY EXECUTE canopy_summit.noting_query(query, server, system, role, 'm.line', 'm.policy_status_id');
	ELSE
		RETURN QUERY EXECUTE format('SELECT m.line FROM (%s) AS m', query);
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.export_lines(text, jsonb, text, name) IS 'what summit_export() returns; role is who asks';

CREATE FUNCTION canopy_summit.export_bytes(system text, options jsonb, server text, role name) RETURNS bytea
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	style CONSTANT canopy_summit.export_style := canopy_summit.export_style_for(system, options, server);
	line_end CONSTANT text := CASE style.line_end WHEN 'CRLF' THEN chr(13) ELSE '' END || chr(10);
BEGIN
	RETURN (SELECT CASE WHEN style.bom AND style.encoding = 'UTF8' THEN decode('efbbbf', 'hex') ELSE '' END
			|| coalesce(convert_to(string_agg(l.line || line_end, '' ORDER BY l.place), style.encoding), '')
		FROM canopy_summit.export_lines(system, options, server, role) WITH ORDINALITY AS l(line, place));
END
$$;
COMMENT ON FUNCTION canopy_summit.export_bytes(text, jsonb, text, name) IS 'what summit_export_file() returns; role is who asks';

CREATE FUNCTION @extschema@.summit_export(system text, options jsonb DEFAULT '{}', server name DEFAULT NULL) RETURNS SETOF text
AS 'MODULE_PATHNAME', 'canopy_summit_export'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.summit_export(text, jsonb, name) IS
	'the lines of the file for a property system (yardi, buildium, entrata, realpage or one of your own), without their ends; server is that of setting canopy_summit.summit_server unless given; error 42501 for whoever may not read personal data';

CREATE FUNCTION @extschema@.summit_export_file(system text, options jsonb DEFAULT '{}', server name DEFAULT NULL) RETURNS bytea
AS 'MODULE_PATHNAME', 'canopy_summit_export_file'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.summit_export_file(text, jsonb, name) IS
	'the same as the bytes of a file, in the encoding and with the line ends that summit.export_system says; errors are the same';

CREATE FUNCTION @extschema@.summit_export_changes(system text, since_token text DEFAULT NULL, server name DEFAULT NULL,
	OUT token text, OUT row_key text, OUT change text, OUT line text) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_export_changes'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.summit_export_changes(text, text, name) IS
	'the lines that have changed since a token of an earlier call, all without one: what happened to each, and the token to call with next time; errors are those of summit_export()';

CREATE FUNCTION @extschema@.summit_export_acknowledge(system text, token text, row_keys text[] DEFAULT NULL, messages jsonb DEFAULT NULL, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_export_acknowledge'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.summit_export_acknowledge(text, text, text[], jsonb, name) IS
	'notes that a property system has the lines up to a token, only those of row_keys if given, and what it said of them; returns how many; errors are those of summit_export()';

CREATE FUNCTION @extschema@.summit_export_yardi_xml(property_id text, server name DEFAULT NULL) RETURNS xml
AS 'MODULE_PATHNAME', 'canopy_summit_export_yardi_xml'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.summit_export_yardi_xml(text, name) IS
	'a property''s insurance policies as Yardi imports them in XML; errors are those of summit_export()';

SELECT canopy_summit.allow('pii_reader', 'function',
	'summit_export summit_export_file summit_export_changes summit_export_acknowledge summit_export_yardi_xml');
SELECT canopy_summit.allow('nobody', 'function', 'export_lines export_bytes export_changes export_acknowledge export_yardi_xml');
