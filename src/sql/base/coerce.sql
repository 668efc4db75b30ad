-- base/coerce.sql: values as providers write them.
-- Replaceable.

CREATE FUNCTION canopy_summit.time_or_null(value text) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'canopy_summit_time_or_null'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.time_or_null(text) IS 'a time as a provider writes it, UTC unless it says otherwise; NULL if it is none';

CREATE FUNCTION canopy_summit.date_or_null(value text) RETURNS date
AS 'MODULE_PATHNAME', 'canopy_summit_date_or_null'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.date_or_null(text) IS 'a date as a provider writes it, of a time the day as written, of one in UTC its UTC day; NULL if it is none';

-- Providers' ids are opaque, and no length of theirs may keep a row from being indexed.
CREATE FUNCTION canopy_summit.short_id(id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE WHEN octet_length(short_id.id) <= 512 THEN short_id.id
		ELSE 'sha256:' || encode(sha256(convert_to(short_id.id, 'UTF8')), 'hex') END;
END;
COMMENT ON FUNCTION canopy_summit.short_id(text) IS 'an id that an index can hold: itself up to 512 bytes, else its SHA-256';
