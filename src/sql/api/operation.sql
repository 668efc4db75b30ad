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

SELECT canopy_summit.define_view('canopy_summit.operation', 'every operation of both APIs, and of endpoints: what to send, how it answers, and whether it may be repeated', $view$
SELECT * FROM canopy_summit.operations()$view$, $notes$
operation: operationId of the API's description
provider: canopy, summit or endpoint
method: HTTP method
path: path of the URL
parameters: array of {name, in, type, required, values, secret}; teamId comes from the server; what is secret is not kept when its job has ended
auth: what authorizes it
class: safe, idempotent, keyed or unsafe: what may be done when a response is lost
envelope: what the answer comes in
unwrap: the field of the answer that is returned; NULL = all of it
errors: documented error codes by status
reconcile: the operation that shows whether this one took effect
billable: whether the provider charges for it
personal: whether its answer needs level pii_reader
secret_fields: whether the answer has fields that are not kept
destructive: whether it deletes something
deprecated: whether the provider advises against it$notes$,
	'{"parameters": "true"}');

CREATE FUNCTION canopy_summit.may_repeat(operation text) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_may_repeat'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.may_repeat(text) IS 'whether an operation may be sent once more: it has the same effect then, and costs nothing; false of one that is not known';

CREATE FUNCTION canopy_summit.has_key(operation text) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_has_key'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.has_key(text) IS 'whether an operation''s requests carry an Idempotency-Key, by which the server knows them again';

SELECT canopy_summit.allow('fetcher operator', 'function', 'operations');
SELECT canopy_summit.allow('fetcher operator', 'table', 'canopy_summit.operation');
