-- process/wake.sql: waking the workers.
-- Replaceable.

CREATE FUNCTION canopy_summit.wake() RETURNS void
AS 'MODULE_PATHNAME', 'canopy_summit_wake'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION canopy_summit.wake() IS 'has the workers of this database look at everything when the transaction commits';

SELECT canopy_summit.allow('operator', 'function', 'wake');
