-- privacy/stored.sql: the one way to read what is kept as it came, a function each kind.
-- Replaceable. Whoever reads a view runs them, on what the view shows him.

CREATE FUNCTION canopy_summit.stored_pull(pull jsonb) RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_stored'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.stored_pull(jsonb) IS 'the JSON that pull_version.pull holds';

CREATE FUNCTION canopy_summit.stored_received(received bytea) RETURNS bytea
AS 'MODULE_PATHNAME', 'canopy_summit_stored'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.stored_received(bytea) IS 'the bytes that pull_version.received holds';

CREATE FUNCTION canopy_summit.stored_body(body bytea) RETURNS bytea
AS 'MODULE_PATHNAME', 'canopy_summit_stored'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.stored_body(bytea) IS 'the bytes that webhook.body holds';

CREATE FUNCTION canopy_summit.stored_response(response jsonb) RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_stored'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.stored_response(jsonb) IS 'the JSON that job_response.response holds';

SELECT canopy_summit.allow('reader operator', 'function', 'stored_pull stored_received stored_body stored_response');
