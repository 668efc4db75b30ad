-- server/server_state.sql: foreign-data wrappers, which hold servers and credentials.
-- State, and the functions that a wrapper and an event trigger name when they are made.

CREATE FUNCTION canopy_summit.canopy_api_validator(text[], oid) RETURNS void
AS 'MODULE_PATHNAME', 'canopy_summit_canopy_validator'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION canopy_summit.canopy_api_validator(text[], oid) IS 'checks options of servers and user mappings of wrapper canopy_api';

CREATE FUNCTION canopy_summit.summit_api_validator(text[], oid) RETURNS void
AS 'MODULE_PATHNAME', 'canopy_summit_summit_validator'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION canopy_summit.summit_api_validator(text[], oid) IS 'checks options of servers and user mappings of wrapper summit_api';

CREATE FUNCTION canopy_summit.webhook_endpoint_validator(text[], oid) RETURNS void
AS 'MODULE_PATHNAME', 'canopy_summit_endpoint_validator'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION canopy_summit.webhook_endpoint_validator(text[], oid) IS 'checks options of servers and user mappings of wrapper webhook_endpoint';

CREATE FOREIGN DATA WRAPPER canopy_api VALIDATOR canopy_summit.canopy_api_validator;
COMMENT ON FOREIGN DATA WRAPPER canopy_api IS 'servers that speak the Canopy Connect API; no foreign tables';
CREATE FOREIGN DATA WRAPPER summit_api VALIDATOR canopy_summit.summit_api_validator;
COMMENT ON FOREIGN DATA WRAPPER summit_api IS 'servers that speak the Summit API; no foreign tables';
CREATE FOREIGN DATA WRAPPER webhook_endpoint VALIDATOR canopy_summit.webhook_endpoint_validator;
COMMENT ON FOREIGN DATA WRAPPER webhook_endpoint IS 'servers that are sent webhooks about certificates; no foreign tables';

-- Keys, webhook secrets and data of the two environments must not mix: say so when both are in one database.
CREATE FUNCTION canopy_summit.warn_of_environments() RETURNS event_trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wrapper name;
BEGIN
	FOR wrapper IN
		SELECT w.fdwname
		FROM pg_event_trigger_ddl_commands() c
			JOIN pg_foreign_server changed ON c.classid = 'pg_foreign_server'::regclass AND changed.oid = c.objid
			JOIN pg_foreign_data_wrapper w ON w.oid = changed.srvfdw
			JOIN pg_foreign_server s ON s.srvfdw = w.oid
		WHERE w.fdwname IN ('canopy_api', 'summit_api', 'webhook_endpoint')
		GROUP BY w.fdwname
		HAVING count(DISTINCT coalesce((SELECT o.option_value FROM pg_options_to_table(s.srvoptions) o
										WHERE o.option_name = 'environment'), 'production')) > 1
	LOOP
		RAISE WARNING 'servers of wrapper "%" are of different environments', wrapper
			USING HINT = 'Keep sandbox and production in databases of their own, or filter every query by column environment.';
	END LOOP;
END
$$;
COMMENT ON FUNCTION canopy_summit.warn_of_environments() IS 'event trigger: warns when servers of both environments are in one database';

CREATE EVENT TRIGGER canopy_summit_environment ON ddl_command_end
	WHEN TAG IN ('CREATE SERVER', 'ALTER SERVER')
	EXECUTE FUNCTION canopy_summit.warn_of_environments();
COMMENT ON EVENT TRIGGER canopy_summit_environment IS 'warns when servers of both environments are in one database';
