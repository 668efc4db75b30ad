-- link: canopy_connect_link() puts metadata into a link, and nothing personal.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api;
\pset format unaligned

CREATE FUNCTION pg_temp.link(metadata jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	hint text;
BEGIN
	RETURN substr(canopy_connect_link('a', metadata), length('https://app.usecanopy.com/c/a') + 1);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || ': ' || message || CASE WHEN hint <> '' THEN ' ' || hint ELSE '' END;
END
$$;

-- The link, and where its alias comes from.
SELECT canopy_connect_link('my-link');
SELECT canopy_connect_link('my-link', '{"customer_id": "C-1001"}');
SELECT canopy_connect_link('my-link', NULL);
SELECT canopy_connect_link('a b/c?d#e&f=g%ü');
SELECT canopy_connect_link();
SELECT canopy_connect_link('');
ALTER SERVER canopy OPTIONS (ADD public_alias 'from-server');
SELECT canopy_connect_link();
SELECT canopy_connect_link('given');
ALTER SERVER canopy OPTIONS (ADD base_url 'https://localhost:8443/api/v1.0.0/');
SELECT canopy_connect_link(metadata => '{"a": 1}');
ALTER SERVER canopy OPTIONS (SET base_url 'https://localhost:8443', ADD link_metadata_prefix 'ccmeta_');
SELECT canopy_connect_link(metadata => '{"a": 1}');
SELECT canopy_connect_link(server => 'nowhere');
ALTER SERVER canopy OPTIONS (DROP base_url, DROP link_metadata_prefix);

-- Values of every kind, each key and value encoded for its place; null is left out.
SELECT metadata, pg_temp.link(metadata) FROM unnest(ARRAY[
	'{}', '{"a": "b"}', '{"a": null}', '{"a": null, "b": "c"}', '{"a": ""}', '{"": "a"}', '{"b": 1, "a": 2}', '{"a": 1.50}',
	'{"a": true, "b": false}', '{"a": [1, "two", null]}', '{"a": {"b": {"c": "d"}}}', '{"a": []}',
	'{"k&y=": "v a+l&u=e?#/%"}', '{"schlüssel": "größe ✓"}', '{"a": "line\nbreak\ttab"}', '{"a": "\"quoted\" <b>''x''</b>"}',
	'{"nonce": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"}', '{"a": "~-._"}']::jsonb[]) AS metadata;
SELECT metadata, pg_temp.link(metadata) FROM unnest(ARRAY['[]', '"a"', '1', 'null', '["a"]']::jsonb[]) AS metadata;

-- What looks like an e-mail address, a telephone or a social security number is refused, wherever it is.
SELECT metadata, pg_temp.link(metadata) FROM unnest(ARRAY[
	'{"a": "ann@example.com"}', '{"a": "  Ann <ann@example.com>"}', '{"a": "mailto:ann@mail.example.com?x"}',
	'{"a": "078-05-1120"}', '{"a": "078051120"}', '{"a": 278051120}', '{"a": " 078 05 1120 "}',
	'{"a": "(512) 555-0100"}', '{"a": "512-555-0100"}', '{"a": "5125550100"}', '{"a": 5125550100}', '{"a": "1 512 555 0100"}',
	'{"a": "+1 512 555 0100"}', '{"a": "+44 20 7946 0000"}', '{"a": "512.555.0100"}', '{"a": "512/555/0100"}',
	'{"b": {"c": ["x", {"d": "ann@example.com"}]}}', '{"b": [[["512-555-0100"]]]}', '{"b": {"ann@example.com": 1}}',
	'{"ann@example.com": "x"}', '{"512-555-0100": "x"}']::jsonb[]) AS metadata;

-- What does not is an id like any other.
SELECT metadata, pg_temp.link(metadata) FROM unnest(ARRAY[
	'{"a": "@handle"}', '{"a": "a @ b.c"}', '{"a": "user@host"}', '{"a": "x@1.2"}', '{"a": "12345678"}', '{"a": 123456}',
	'{"a": "A078051120"}', '{"a": "1125550100"}', '{"a": "000051120"}', '{"a": "123456789012"}', '{"a": "2026-01-31"}',
	'{"a": "order 5125550100"}', '{"a": "-"}', '{"a": "C-512-555-0100"}', '{"a": "1767225600"}']::jsonb[]) AS metadata;

DROP EXTENSION canopy_summit CASCADE;
