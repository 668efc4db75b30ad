-- engine/head.sql: how the install script, and every upgrade script, begins.
-- Replaceable.

\echo Use "CREATE EXTENSION canopy_summit" to load this file. \quit

-- The whole script is parsed before its first statement runs, and its functions are parsed again when
-- they run, both under settings that are not ours: no constant in plain quotes has a backslash.

-- Nothing below may be found anywhere but where it is named: whoever can create
-- objects in the schema of the extension must not get into this script.
SET LOCAL search_path TO pg_catalog, pg_temp;
