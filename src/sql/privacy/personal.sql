-- privacy/personal.sql: who reads personal data, and the one way in which views over it are made.
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
-- How a view shows what not everybody may read, as an SQL expression. What is text of a provider may hold
-- anything: a word or an id is shown to everybody if it looks like one, and is neither prose nor an object.
CREATE FUNCTION canopy_summit.masked(value text, kind text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN format(CASE kind
	WHEN 'text' THEN 'CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN %1$s::text WHEN %1$s IS NOT NULL THEN ''***'' END'
	WHEN 'word' THEN 'CASE WHEN %1$s ~ ''^[A-Za-z][][A-Za-z0-9_.-]{0,63}$'' OR (SELECT canopy_summit.may_read_pii()) THEN %1$s '
		'WHEN %1$s IS NOT NULL THEN ''***'' END'
	WHEN 'id' THEN 'CASE WHEN %1$s ~ ''^[A-Za-z0-9][A-Za-z0-9 _.:/#+-]{0,127}$'' OR (SELECT canopy_summit.may_read_pii()) THEN %1$s '
		'WHEN %1$s IS NOT NULL THEN ''***'' END'
	ELSE 'CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN %1$s::%2$s END'
	END, value, kind);
COMMENT ON FUNCTION canopy_summit.masked(text, text) IS
	'the expression that shows a value, given as an expression, to whom may see it; kind is text, word, id, or a type that is NULL for others';

-- The one way in which views over more than an entity are made.
CREATE FUNCTION canopy_summit.define_view(name text, query text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind text;
BEGIN
	FOREACH kind IN ARRAY '{text,word,id,jsonb}'::text[] LOOP
		query := regexp_replace(query, format($re$\mmask_%s\(([a-z_.]+)\)$re$, kind), canopy_summit.masked($re$\1$re$, kind), 'g');
	END LOOP;
	EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', name, query);
END
$$;
COMMENT ON FUNCTION canopy_summit.define_view(text, text) IS
	'makes a view from a query in which mask_text(), mask_word(), mask_id() and mask_jsonb() stand around columns of providers';
