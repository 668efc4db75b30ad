-- api/operation.sql: the catalogue of operations.
-- Replaceable.

CREATE FUNCTION canopy_summit.operations(
	OUT operation text, OUT provider text, OUT method text, OUT path text, OUT parameters jsonb,
	OUT auth text, OUT class text, OUT envelope text, OUT unwrap text, OUT errors text,
	OUT reconcile text, OUT billable boolean, OUT personal boolean, OUT secret_fields boolean,
	OUT destructive boolean, OUT deprecated boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'canopy_summit_operations'
LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 57;
COMMENT ON FUNCTION canopy_summit.operations() IS 'the rows of view canopy_summit.operation';

CREATE VIEW canopy_summit.operation AS SELECT * FROM canopy_summit.operations();
COMMENT ON VIEW canopy_summit.operation IS 'every operation of both APIs: what to send, how it answers, and whether it may be repeated';
COMMENT ON COLUMN canopy_summit.operation.operation IS 'operationId of the API''s description';
COMMENT ON COLUMN canopy_summit.operation.parameters IS 'array of {name, in, type, required, values, secret}; teamId comes from the server; what is secret is not kept when its job has ended';
COMMENT ON COLUMN canopy_summit.operation.class IS 'safe, idempotent, keyed or unsafe: what may be done when a response is lost';
COMMENT ON COLUMN canopy_summit.operation.unwrap IS 'the field of the answer that is returned; NULL = all of it';
COMMENT ON COLUMN canopy_summit.operation.errors IS 'documented error codes by status';
COMMENT ON COLUMN canopy_summit.operation.reconcile IS 'the operation that shows whether this one took effect';

SELECT canopy_summit.allow('fetcher operator', 'function', 'operations');
SELECT canopy_summit.allow('fetcher operator', 'table', 'canopy_summit.operation');
