-- 00_schema.sql: where things live, and the types that say what a column holds.
-- State: a change needs a migration.

\echo Use "CREATE EXTENSION canopy_summit" to load this file. \quit

-- The whole script is parsed before its first statement runs, and its functions are parsed again when
-- they run, both under settings that are not ours: no constant in plain quotes has a backslash.

-- Nothing below may be found anywhere but where it is named: whoever can create
-- objects in the schema of the extension must not get into this script.
SET LOCAL search_path TO pg_catalog, pg_temp;

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

-- A column of one of these types is masked in the views for everybody without level pii_reader.
CREATE DOMAIN canopy_summit.personal_text AS text;
COMMENT ON DOMAIN canopy_summit.personal_text IS 'text about a person: masked in views unless the reader has level pii_reader';
CREATE DOMAIN canopy_summit.personal_integer AS integer;
COMMENT ON DOMAIN canopy_summit.personal_integer IS 'a number about a person: NULL in views unless the reader has level pii_reader';

-- Marker functions: a level is the right to execute them.
CREATE FUNCTION canopy_summit.reads_pii() RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN true;
COMMENT ON FUNCTION canopy_summit.reads_pii() IS 'marker: whoever may execute it reads personal data unmasked';

CREATE FUNCTION canopy_summit.is_admin() RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN true;
COMMENT ON FUNCTION canopy_summit.is_admin() IS 'marker: whoever may execute it may change things at a provider synchronously';

CREATE FUNCTION canopy_summit.may_read_pii() RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_may_read_pii'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.may_read_pii() IS 'whether the current role may execute canopy_summit.reads_pii(); the views ask once a query';
