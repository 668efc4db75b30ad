-- status/check.sql: whether a server works.
-- Replaceable.

CREATE FUNCTION canopy_summit.check_server(server name, OUT "check" text, OUT ok boolean, OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_check_server'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 15;
COMMENT ON FUNCTION canopy_summit.check_server(name) IS
	'whether a server works for the caller, step by step: ok is false where it does not, and hint says what to do; ok is NULL where there was nothing to test, or an earlier step failed. Writes nothing, and sends nothing that is billed';

SELECT canopy_summit.allow('fetcher operator', 'function', 'check_server');
