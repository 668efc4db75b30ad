-- server/server.sql: what the options of a server say.
-- Replaceable.

CREATE FUNCTION canopy_summit.webhook_role(server_oid oid) RETURNS name
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(s.srvoptions) AS o WHERE o.option_name = 'webhook_role')::name,
		pg_catalog.pg_get_userbyid(s.srvowner))
	FROM pg_catalog.pg_foreign_server s WHERE s.oid = webhook_role.server_oid;
END;
COMMENT ON FUNCTION canopy_summit.webhook_role(oid) IS 'role whose mapping has a server''s webhook_secret, and that fetches what webhooks ask for';

-- A name that rows of a renamed server still have is nobody else's.
CREATE FUNCTION canopy_summit.server_of_former(name text) RETURNS oid
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT s.oid FROM pg_foreign_server s WHERE s.srvname = (
		SELECT canopy_summit.server_name(t.server_oid, t.server, t.instance)::name FROM canopy_summit.task t
		WHERE t.what = 'rename' AND t.state <> 'done' AND t.args ->> 'former' = server_of_former.name ORDER BY t.task_id DESC LIMIT 1);
END;
COMMENT ON FUNCTION canopy_summit.server_of_former(text) IS 'OID of the server that had a name, which some of its rows still have; NULL if there is none';

CREATE FUNCTION canopy_summit.server_option(server_oid oid, option text, otherwise text) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_server_option'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.server_option(oid, text, text) IS 'value of an option of a server, or else what stands for it; NULL if the server is gone';

-- So that it becomes part of the query that calls it, a row a time.
CREATE FUNCTION canopy_summit.server_environment(server text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN canopy_summit.server_option(
	coalesce(nullif(canopy_summit.server_of(NULL, server, NULL), 0::oid), canopy_summit.server_of_former(server)), 'environment', 'production');
COMMENT ON FUNCTION canopy_summit.server_environment(text) IS 'environment of a server: production or sandbox; NULL if it is gone';

CREATE FUNCTION canopy_summit.server_country(server text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce((SELECT o.option_value FROM pg_catalog.pg_options_to_table(s.srvoptions) AS o WHERE o.option_name = 'country'), 'CA')
	FROM pg_catalog.pg_foreign_server s JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'summit_api'
	WHERE s.oid = coalesce(
		(SELECT n.oid FROM pg_catalog.pg_foreign_server n WHERE n.srvname = server_country.server),
		canopy_summit.server_of_former(server_country.server));
END;
COMMENT ON FUNCTION canopy_summit.server_country(text) IS 'country of a server of Summit, by its two letters: CA unless option country says otherwise; NULL if it is gone, or Canopy''s';

SELECT canopy_summit.allow('reader', 'function', 'server_environment server_option server_country server_of server_of_former');
