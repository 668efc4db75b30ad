-- canopy/canopy.sql: the functions that call Canopy Connect.
-- Replaceable.

CREATE FUNCTION @extschema@.canopy_call(operation text, params jsonb DEFAULT '{}', body jsonb DEFAULT NULL,
	server name DEFAULT NULL, confirm text DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_call'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION @extschema@.canopy_call(text, jsonb, jsonb, name, text) IS
	'calls a safe or idempotent operation of view canopy_summit.operation that costs nothing, and returns its answer, unwrapped; files come as {content_type, base64}; a destructive one wants the id of what it destroys a second time, in confirm';
CREATE FUNCTION @extschema@.canopy_fetch_pull(INOUT pull_id text, with_property_data boolean DEFAULT NULL,
	server name DEFAULT NULL, OUT version integer, OUT changed boolean, OUT status text)
AS 'MODULE_PATHNAME', 'canopy_summit_fetch_pull'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION @extschema@.canopy_fetch_pull(text, boolean, name) IS
	'fetches a pull from Canopy Connect and stores it; NULL means the server''s option with_property_data, and setting canopy_summit.canopy_server';

-- As a fetch that is enqueued by INSERT; as that, it counts what the server's option says now.
CREATE FUNCTION canopy_summit.fetch_params(server_oid oid, pull_id text) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN canopy_summit.server_option(server_oid, 'with_property_data', 'false')::boolean THEN '{"withPropertyData": true}'::jsonb
	ELSE '{}' END || jsonb_build_object('pullId', pull_id);
COMMENT ON FUNCTION canopy_summit.fetch_params(oid, text) IS 'parameters of a job that fetches a pull, with property data where the server''s option with_property_data says so';

CREATE FUNCTION @extschema@.canopy_list_pulls(since timestamptz DEFAULT NULL, before timestamptz DEFAULT NULL,
	max_rows integer DEFAULT 100, server name DEFAULT NULL)
RETURNS TABLE (pull_id text, status text, type text, created_at timestamptz, account_identifier text,
	meta_data jsonb, is_archived boolean, stored boolean)
AS 'MODULE_PATHNAME', 'canopy_summit_list_pulls'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100;
COMMENT ON FUNCTION @extschema@.canopy_list_pulls(timestamptz, timestamptz, integer, name) IS
	'lists the team''s pulls, page by page; since and before are inclusive; metadata and account only for level pii_reader';

CREATE FUNCTION @extschema@.canopy_archive_pull(pull_id text, archived boolean DEFAULT true, server name DEFAULT NULL)
RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_archive_pull'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION @extschema@.canopy_archive_pull(text, boolean, name) IS
	'archives a pull at Canopy Connect, or takes it out of the archive, and fetches it again if it is stored';

CREATE FUNCTION @extschema@.canopy_connect_link(public_alias text DEFAULT NULL, metadata jsonb DEFAULT '{}',
	server name DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_connect_link'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.canopy_connect_link(text, jsonb, name) IS
	'the link under which a consumer connects an account; metadata that looks like an e-mail address, telephone or social security number is refused';

CREATE FUNCTION canopy_summit.carrier_from_json(carrier jsonb) RETURNS canopy_summit.carrier
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT carrier ->> 'carrier_id', carrier ->> 'name', carrier ->> 'usernameFieldPlaceholder',
		carrier ->> 'thirdFieldPlaceholder', carrier ->> 'thirdFieldValidatorError',
		carrier ->> 'thirdFieldValidatorRgx', carrier ->> 'thirdFieldValidatorRgxFlags', carrier ->> 'color',
		carrier ->> 'homepageUrl', carrier ->> 'createAccountUrl', carrier ->> 'resetPasswordUrl',
		CASE carrier ->> 'disablePasswordField' WHEN 'true' THEN true WHEN 'false' THEN false END,
		CASE pg_catalog.jsonb_typeof(carrier -> 'servicingActions') WHEN 'array' THEN
			ARRAY(SELECT pg_catalog.jsonb_array_elements_text(carrier -> 'servicingActions')) END,
		CASE pg_catalog.jsonb_typeof(carrier -> 'products') WHEN 'array' THEN
			ARRAY(SELECT pg_catalog.jsonb_array_elements_text(carrier -> 'products')) END,
		carrier ->> 'subIssuerOf';
END;
COMMENT ON FUNCTION canopy_summit.carrier_from_json(jsonb) IS 'a Carrier object of the API as a row';

CREATE FUNCTION @extschema@.canopy_carriers(products text[] DEFAULT NULL, public_alias text DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS SETOF canopy_summit.carrier
LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 500
BEGIN ATOMIC
	SELECT c.*
	FROM pg_catalog.jsonb_array_elements(@extschema@.canopy_call('get-carriers',
			pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
				'products', pg_catalog.array_to_string(canopy_carriers.products, ','),
				'public_alias', canopy_carriers.public_alias)),
			NULL, canopy_carriers.server)) AS a(carrier),
		LATERAL canopy_summit.carrier_from_json(a.carrier) AS c;
END;
COMMENT ON FUNCTION @extschema@.canopy_carriers(text[], text, name) IS
	'carriers that consumers can connect; filter by products (personal, commercial) or by a widget''s alias, not both';

CREATE FUNCTION @extschema@.canopy_carrier(carrier_id text, server name DEFAULT NULL) RETURNS canopy_summit.carrier
LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 1000000
BEGIN ATOMIC
	SELECT c.*
	FROM canopy_summit.carrier_from_json(@extschema@.canopy_call('get-carrier',
			pg_catalog.jsonb_build_object('carrierId', canopy_carrier.carrier_id), NULL, canopy_carrier.server)) AS c;
END;
COMMENT ON FUNCTION @extschema@.canopy_carrier(text, name) IS 'one carrier by its id';

CREATE FUNCTION @extschema@.canopy_terms(server name DEFAULT NULL, OUT terms_version integer, OUT terms_html text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 1000000
BEGIN ATOMIC
	SELECT (a.terms ->> 'terms_version')::integer, a.terms ->> 'terms_html'
	FROM @extschema@.canopy_call('get-tos', '{}', NULL, canopy_terms.server) AS a(terms);
END;
COMMENT ON FUNCTION @extschema@.canopy_terms(name) IS 'the terms a consumer agrees to, and the version to send with the consent';

CREATE FUNCTION @extschema@.canopy_health(server name DEFAULT NULL) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 1000000
RETURN (@extschema@.canopy_call('get-health', '{}', NULL, canopy_health.server) -> 'healthy') OPERATOR(pg_catalog.=) 'true'::jsonb;
COMMENT ON FUNCTION @extschema@.canopy_health(name) IS 'whether the API calls itself healthy';

SELECT canopy_summit.allow('fetcher', 'function', 'canopy_fetch_pull canopy_list_pulls canopy_carriers canopy_carrier carrier_from_json '
	'canopy_terms canopy_health canopy_connect_link canopy_call');
SELECT canopy_summit.allow('nobody', 'function', 'fetch_params');
