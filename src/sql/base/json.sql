-- base/json.sql: what SQL cannot say about JSON.
-- Replaceable.

CREATE FUNCTION canopy_summit.json_size(value jsonb) RETURNS integer
AS 'MODULE_PATHNAME', 'canopy_summit_json_size'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.json_size(jsonb) IS 'bytes that a value takes in memory, however much smaller it is stored';

CREATE FUNCTION canopy_summit.nested_json(value text) RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_nested_json'
LANGUAGE C IMMUTABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION canopy_summit.nested_json(text) IS 'the JSON object or array that a text is; NULL if it is none';
