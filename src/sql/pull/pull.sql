-- pull/pull.sql: storing pulls.
-- Replaceable.

CREATE FUNCTION @extschema@.canopy_store_pull(pull jsonb, server name DEFAULT NULL,
	fetched_at timestamptz DEFAULT pg_catalog.clock_timestamp(), OUT pull_id text, OUT version integer, OUT changed boolean,
	OUT status text)
AS 'MODULE_PATHNAME', 'canopy_summit_store_pull'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_store_pull(jsonb, name, timestamptz) IS
	'stores a pull that came another way, bare or in the API''s envelope; fetched_at decides which state is current';

CREATE FUNCTION @extschema@.canopy_remap() RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_remap'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION @extschema@.canopy_remap() IS
	'has every entity row made again from the current versions, and added columns that are missing, after a restore or canopy_summit.add_column(); returns a task_id';

SELECT canopy_summit.define_view('canopy_summit.schema_drift', 'fields that the API sends and the entity tables do not expect, or the other way round', $view$
SELECT v.server, d.kind, p.path, pg_catalog.count(*) AS versions,
	   pg_catalog.min(v.stored_at) AS first_seen_at, pg_catalog.max(v.stored_at) AS last_seen_at
FROM canopy_summit.pull_version v,
	 LATERAL pg_catalog.jsonb_each(v.drift) AS d(kind, paths),
	 LATERAL pg_catalog.jsonb_array_elements_text(d.paths) AS p(path)
GROUP BY v.server, d.kind, p.path$view$, $notes$
server: server that the pulls came through
kind: new: no column; missing: in no object of the entity, where the version before had it; retyped: value does not fit its column; replaced: jsonb cannot hold the value
path: entity and field
versions: versions with it
first_seen_at: when the first was stored
last_seen_at: when the last was stored$notes$);

SELECT canopy_summit.allow('fetcher', 'function', 'canopy_store_pull');
SELECT canopy_summit.allow('operator', 'table', 'canopy_summit.schema_drift');
