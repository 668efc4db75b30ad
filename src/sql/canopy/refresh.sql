-- canopy/refresh.sql: pulls that have not been fetched for long.
-- Replaceable.

CREATE FUNCTION @extschema@.canopy_refresh_stale(older_than interval, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_refresh_stale'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_refresh_stale(interval, name) IS
	'has those pulls that views show fetched again in the background that were last fetched longer ago; returns the number of jobs, of which one a pull is sent';

SELECT canopy_summit.allow('fetcher', 'function', 'canopy_refresh_stale');
