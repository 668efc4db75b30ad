-- 84_arm.sql: taking over what another instance has made.
-- Replaceable.

CREATE FUNCTION canopy_summit.arm() RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT canopy_summit.wake();
	-- What has no server or role of its name here stays what it is, until there is one.
	UPDATE summit.upload u SET instance = canopy_summit.instance(),
		server_oid = canopy_summit.server_of(u.server_oid, u.server, u.instance),
		owner_oid = canopy_summit.owner_of(u.owner_oid, u.owner, u.instance)
	WHERE u.instance IS DISTINCT FROM canopy_summit.instance()
		AND canopy_summit.server_of(u.server_oid, u.server, u.instance) <> 0
		AND canopy_summit.owner_of(u.owner_oid, u.owner, u.instance) <> 0;
	WITH adopted AS (
		UPDATE canopy_summit.job j SET instance = canopy_summit.instance(),
			server_oid = canopy_summit.server_of(j.server_oid, j.server, j.instance),
			owner_oid = canopy_summit.owner_of(j.owner_oid, j.owner, j.instance)
		WHERE (j.instance <> canopy_summit.instance() OR j.server_oid IS NULL OR j.owner_oid IS NULL) AND j.state IN ('queued', 'running', 'in_doubt')
			AND canopy_summit.server_of(j.server_oid, j.server, j.instance) <> 0
			AND canopy_summit.owner_of(j.owner_oid, j.owner, j.instance) <> 0
		RETURNING 1)
	SELECT count(*) FROM adopted;
END;
COMMENT ON FUNCTION canopy_summit.arm() IS
	'adopts the unfinished jobs that another instance enqueued, by the names of their servers and roles, or that a promotion left waiting: this database sends them from now on; those whose server or role is not here wait; returns how many';
