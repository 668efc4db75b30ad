-- engine/instance.sql: which server and role a row is of.
-- Replaceable.
--
-- A row keeps both name and OID of its server and of its role. In the instance
-- that made it the OID counts: it stays with what is renamed, and a namesake has
-- another. Elsewhere (a restored dump, an upgraded cluster) the OIDs are those of
-- another catalog, and the names count, until arm() writes the OIDs anew.

CREATE FUNCTION canopy_summit.instance() RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_instance'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.instance() IS
	'this database as rows remember it: a digest of system identifier, OIDs of the database and of the extension''s schema, and the content of setting instance_file';

CREATE FUNCTION canopy_summit.server_of(server_oid oid, server text, instance bigint) RETURNS oid
AS 'MODULE_PATHNAME', 'canopy_summit_server_of'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.server_of(oid, text, bigint) IS
	'OID of the server that a row is of: its own in the instance that made the row, elsewhere that of the name; 0 if there is none';

CREATE FUNCTION canopy_summit.owner_of(owner_oid oid, owner name, instance bigint) RETURNS oid
AS 'MODULE_PATHNAME', 'canopy_summit_owner_of'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.owner_of(oid, name, bigint) IS
	'OID of the role that a row is of: its own in the instance that made the row, elsewhere that of the name; 0 if there is none';

CREATE FUNCTION canopy_summit.server_name(server_oid oid, server text, instance bigint) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_server_name'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.server_name(oid, text, bigint) IS 'name that the server of a row has now; the last known one if it is gone';

CREATE FUNCTION canopy_summit.owner_name(owner_oid oid, owner name, instance bigint) RETURNS name
AS 'MODULE_PATHNAME', 'canopy_summit_owner_name'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.owner_name(oid, name, bigint) IS 'name that the role of a row has now; the last known one if it is gone';

CREATE FUNCTION canopy_summit.server_oid(server name) RETURNS oid
AS 'MODULE_PATHNAME', 'canopy_summit_server_oid'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.server_oid(name) IS 'OID of a server by its name; an error if there is none';

CREATE FUNCTION canopy_summit.hold_server(server_oid oid, server text, wait boolean) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_hold_server'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION canopy_summit.hold_server(oid, text, boolean) IS
	'name that a server has until the transaction ends, the last known one if it is gone; NULL if somebody is about to change it, and this should not wait for them';

-- Views that show servers and roles by the names they have now call these.
SELECT canopy_summit.allow('reader fetcher operator', 'function', 'server_name owner_name');
SELECT canopy_summit.allow('operator', 'function', 'instance server_of');
SELECT canopy_summit.allow('nobody', 'function', 'hold_server');
