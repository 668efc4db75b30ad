-- engine/schema_state.sql: where things live.
-- State.

-- JSON is UTF-8, and a pull must never fail to be stored because a name has an accent.
DO $$
BEGIN
	IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
		RAISE EXCEPTION 'canopy_summit needs a database with encoding UTF8'
			USING ERRCODE = 'feature_not_supported',
				  HINT = 'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0;';
	END IF;
END
$$;

CREATE SCHEMA canopy;
COMMENT ON SCHEMA canopy IS 'Canopy Connect as analysts read it: one view an entity';
CREATE SCHEMA summit;
COMMENT ON SCHEMA summit IS 'Summit certificates of insurance as analysts and apps use them';
CREATE SCHEMA canopy_summit;
COMMENT ON SCHEMA canopy_summit IS 'the engine of extension canopy_summit: its tables, settings and operating functions';
