-- setup.sql: extension, server and credentials from the environment.
--
--     CANOPY_CLIENT_ID=… CANOPY_CLIENT_SECRET=… CANOPY_TEAM_ID=… psql -f examples/setup.sql
--
-- Optional: CANOPY_WEBHOOK_SIGNING_SECRET, and CANOPY_API_BASE_URL for another API than Canopy's
-- own (superuser only). Run it as the role that will call the functions, or see
-- doc/security.md. The secrets end in the catalog pg_user_mapping, which dumps contain; options
-- client_secret_file and webhook_secret_file keep them in files instead.

\set ON_ERROR_STOP on
\set QUIET on

\getenv client_id CANOPY_CLIENT_ID
\getenv client_secret CANOPY_CLIENT_SECRET
\getenv team_id CANOPY_TEAM_ID
\getenv webhook_secret CANOPY_WEBHOOK_SIGNING_SECRET
\getenv base_url CANOPY_API_BASE_URL

\if :{?client_id}
\else
	\warn 'CANOPY_CLIENT_ID is not set'
	\quit
\endif
\if :{?client_secret}
\else
	\warn 'CANOPY_CLIENT_SECRET is not set'
	\quit
\endif
\if :{?team_id}
\else
	\warn 'CANOPY_TEAM_ID is not set'
	\quit
\endif

BEGIN;

CREATE EXTENSION IF NOT EXISTS canopy_summit;

CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (team_id :'team_id');
\if :{?base_url}
	ALTER SERVER canopy OPTIONS (ADD base_url :'base_url');
\endif

-- Keep the secret out of the server's log, as far as this session may decide.
SELECT set_config('log_statement', 'none', true), set_config('log_min_error_statement', 'panic', true)
FROM pg_roles WHERE rolname = current_user AND rolsuper
\g /dev/null

CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (client_id :'client_id', client_secret :'client_secret');
\if :{?webhook_secret}
	ALTER USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (ADD webhook_secret :'webhook_secret');
\endif

COMMIT;

\echo 'Ready: SELECT * FROM canopy_summit.check_server(''canopy'');'
