-- 10_server.sql: foreign-data wrappers, which hold servers and credentials.
-- State.

CREATE FUNCTION canopy_summit.canopy_api_validator(text[], oid) RETURNS void
AS 'MODULE_PATHNAME', 'canopy_summit_canopy_validator'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION canopy_summit.canopy_api_validator(text[], oid) IS 'checks options of servers and user mappings of wrapper canopy_api';

CREATE FUNCTION canopy_summit.summit_api_validator(text[], oid) RETURNS void
AS 'MODULE_PATHNAME', 'canopy_summit_summit_validator'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION canopy_summit.summit_api_validator(text[], oid) IS 'checks options of servers and user mappings of wrapper summit_api';

CREATE FOREIGN DATA WRAPPER canopy_api VALIDATOR canopy_summit.canopy_api_validator;
COMMENT ON FOREIGN DATA WRAPPER canopy_api IS 'servers that speak the Canopy Connect API; no foreign tables';
CREATE FOREIGN DATA WRAPPER summit_api VALIDATOR canopy_summit.summit_api_validator;
COMMENT ON FOREIGN DATA WRAPPER summit_api IS 'servers that speak the Summit API; no foreign tables';
