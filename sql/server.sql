-- server: which options servers and user mappings take, which values, and from whom.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
\pset format unaligned

-- What a statement comes to: 'accepted', and undone, or its error.
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
EXCEPTION
	WHEN SQLSTATE 'ZZZZZ' THEN
		RETURN 'accepted';
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		RETURN SQLSTATE || ': ' || message || CASE WHEN detail <> '' THEN E'\n  detail: ' || detail ELSE '' END
			|| CASE WHEN hint <> '' THEN E'\n  hint: ' || hint ELSE '' END;
END
$$;

CREATE FUNCTION pg_temp.server_outcome(option text, value text, wrapper text DEFAULT 'canopy_api') RETURNS text
LANGUAGE sql AS $$
	SELECT pg_temp.outcome(format('CREATE SERVER tried FOREIGN DATA WRAPPER %I OPTIONS (%s %L)', wrapper, option, value))
$$;

CREATE FUNCTION pg_temp.mapping_outcome(option text, value text) RETURNS text
LANGUAGE sql AS $$
	SELECT pg_temp.outcome(format('CREATE USER MAPPING FOR CURRENT_USER SERVER owned OPTIONS (%s %L)', option, value))
$$;

-- Values that options of a server take.
SELECT option, value, pg_temp.server_outcome(option, value)
FROM (VALUES
	('environment', ARRAY['production', 'sandbox']),
	('base_url', ARRAY['https://app.usecanopy.com/api/v1.0.0', 'https://localhost', 'https://localhost:8443/',
					   'https://127.0.0.1:1', 'https://[::1]:8443/api']),
	('auth_url', ARRAY['https://app.usecanopy.com/oauth2']),
	('ca_file', ARRAY['/etc/ssl/ca.pem', '/no/such/file']),
	('download_hosts', ARRAY['localhost', 'a.example,b.example', ' A.example , b.example ', '127.0.0.1', '::1']),
	('allow_private_addresses', ARRAY['true', 'false', 'on', 'off', 'yes', 'no', '1', '0']),
	('team_id', ARRAY['7e57ab1e-0000-4000-8000-000000000001', 'no uuid at all', 'ü']),
	('auth', ARRAY['basic', 'header_pair', 'app']),
	('public_alias', ARRAY['my-link']),
	('link_metadata_prefix', ARRAY['ccmeta-', 'ccmeta_']),
	('with_property_data', ARRAY['true', 'false']),
	('download_documents', ARRAY['true', 'false']),
	('scope', ARRAY['policies:read policies:write']),
	('webhook_role', ARRAY['no_such_role_yet']),
	('webhook_tolerance', ARRAY['0', '5 min', '8 h', '24:00:00', '1 day']),
	('requests_per_second', ARRAY['1', '0.5', '1000000']),
	('max_connections', ARRAY['1', '1000']),
	('connect_timeout', ARRAY['1', '3600', '1ms', '500ms', '30s', '1.5s', '2min', '1h']),
	('timeout', ARRAY['60', '60s'])) AS o(option, vals), unnest(vals) AS value;

-- Values that they refuse.
SELECT option || ' ' || to_json(value) AS option, pg_temp.server_outcome(option, value)
FROM (VALUES
	('environment', ARRAY['', 'Production', 'staging', 'sandbox ']),
	('base_url', ARRAY['', 'http://app.usecanopy.com', 'https://', 'https:///api', 'https://:443', 'ftp://x',
					   'https://user@host', 'https://user:secret@host/', 'https://host?x=1', 'https://host#x',
					   'https://ho st', E'https://host\t', 'https://hö.example', 'https://host\x', ' https://host',
					   'HTTPS://host', 'https://a"b', 'https://a{b}']),
	('auth_url', ARRAY['http://host']),
	('ca_file', ARRAY['', 'ca.pem', './ca.pem', E'/etc/a\nb']),
	('download_hosts', ARRAY['', ',', 'a,', 'a,,b', 'https://a', 'a/b', 'a b', '*', 'ä.example']),
	('allow_private_addresses', ARRAY['', 'maybe', '2']),
	('team_id', ARRAY['', E'a\nb', E'a\x7f']),
	('auth', ARRAY['', 'none', 'Basic', 'bearer']),
	('public_alias', ARRAY['']),
	('link_metadata_prefix', ARRAY['']),
	('with_property_data', ARRAY['perhaps']),
	('download_documents', ARRAY['perhaps']),
	('scope', ARRAY['']),
	('webhook_role', ARRAY['']),
	('webhook_tolerance', ARRAY['-1 s', '1 day 1 s', '25 h', '2 days', '1 month', '-1 day 1 h', '1 day -1 s']),
	('requests_per_second', ARRAY['', '0', '-1', '1000001', 'NaN', 'Infinity', 'many']),
	('max_connections', ARRAY['', '0', '-1', '1001', '99999999999', 'many']),
	('connect_timeout', ARRAY['', '0', '-1s', '3601', '3601s', '2h', '1d', '99999999999', 'soon', '1 fortnight']),
	('timeout', ARRAY['0', 'never'])) AS o(option, vals), unnest(vals) AS value;

-- The data directory is copied by backups, so neither CAs nor secrets belong there.
SELECT pg_temp.server_outcome('ca_file', current_setting('data_directory') || '/ca.pem')
	= format(E'22023: invalid value for option "ca_file": "%s/ca.pem"\n  hint: Use a path outside the data directory, which backups copy, and outside /proc, /sys and /dev.',
			 current_setting('data_directory')) AS refused;
SELECT path, regexp_replace(pg_temp.server_outcome('ca_file', path), E'\n.*', '')
FROM unnest('{/proc/self/cwd/ca.pem,/dev/shm/ca.pem,//proc/self/environ,/./sys/x,/procession/ca.pem}'::text[]) AS path;

-- Names that no server, mapping or wrapper has; the hint lists those there are.
SELECT pg_temp.server_outcome('url', 'https://host');
SELECT pg_temp.server_outcome('"Environment"', 'sandbox');
SELECT pg_temp.server_outcome('client_secret', 'x');
SELECT option, pg_temp.server_outcome(option, value, 'summit_api')
FROM (VALUES ('team_id', 'x'), ('auth', 'basic'), ('with_property_data', 'true'), ('environment', 'sandbox'),
			 ('base_url', 'https://host'), ('scope', 'policies:read'), ('timeout', '1s')) AS o(option, value);
SELECT country, pg_temp.server_outcome('country', country, 'summit_api')
FROM unnest(ARRAY['CA', 'US', 'ZZ', '', 'ca', 'Ca', 'C', 'CAN', 'C4', 'CA ', ' CA', 'ÄÖ']) AS country;
SELECT pg_temp.server_outcome('country', 'CA');
SELECT pg_temp.outcome('ALTER FOREIGN DATA WRAPPER canopy_api OPTIONS (environment ''sandbox'')');
SELECT pg_temp.outcome('ALTER FOREIGN DATA WRAPPER summit_api OPTIONS (client_id ''x'')');

-- Options of a user mapping. No message shows a secret.
CREATE SERVER owned FOREIGN DATA WRAPPER canopy_api;
SELECT option || ' ' || to_json(value) AS option, pg_temp.mapping_outcome(option, value)
FROM (VALUES
	('client_id', ARRAY['id', '', E'a\nb']),
	('client_secret', ARRAY['secret', '', E'one\ntwo', E'one\r']),
	('webhook_secret', ARRAY['secret', '', E'one\ntwo']),
	('client_secret_file', ARRAY['/etc/canopy/secret', '/no/such/file', '', 'secret']),
	('webhook_secret_file', ARRAY['/etc/canopy/secrets', '', 'secrets']),
	('password', ARRAY['x']),
	('team_id', ARRAY['x'])) AS o(option, vals), unnest(vals) AS value;
SELECT pg_temp.outcome($$CREATE USER MAPPING FOR CURRENT_USER SERVER owned
	OPTIONS (client_id 'i', client_secret 's', client_secret_file '/f')$$);
SELECT pg_temp.outcome($$CREATE USER MAPPING FOR CURRENT_USER SERVER owned
	OPTIONS (client_id 'i', client_secret 's', webhook_secret_file '/f')$$);

-- Roles. Whoever owns a server sets its options, but not those that decide where credentials go.
CREATE ROLE regress_canopy_owner;
CREATE ROLE regress_canopy_user;
GRANT USAGE ON FOREIGN DATA WRAPPER canopy_api TO regress_canopy_owner;
SET ROLE regress_canopy_owner;
SELECT option, pg_temp.server_outcome(option, value)
FROM (VALUES ('environment', 'sandbox'), ('team_id', 't'), ('auth', 'basic'), ('public_alias', 'a'),
			 ('link_metadata_prefix', 'ccmeta_'), ('with_property_data', 'true'), ('download_documents', 'true'),
			 ('scope', 's'), ('webhook_role', 'r'), ('webhook_tolerance', '1 min'), ('requests_per_second', '5'),
			 ('max_connections', '2'), ('connect_timeout', '1s'), ('timeout', '1s'),
			 ('base_url', 'https://evil.example'), ('auth_url', 'https://evil.example'), ('ca_file', '/tmp/ca.pem'),
			 ('download_hosts', 'evil.example'), ('allow_private_addresses', 'true'),
			 ('allow_private_addresses', 'false'), ('base_url', 'not even a URL')) AS o(option, value);
SELECT pg_temp.outcome('CREATE SERVER tried FOREIGN DATA WRAPPER summit_api');
CREATE SERVER lent FOREIGN DATA WRAPPER canopy_api OPTIONS (team_id 'one');
GRANT USAGE ON FOREIGN SERVER lent TO regress_canopy_user;
RESET ROLE;

-- A reserved option that a superuser has set binds the owner's hands on all the others too.
ALTER SERVER lent OPTIONS (ADD base_url 'https://localhost:1');
SET ROLE regress_canopy_owner;
SELECT statement, pg_temp.outcome('ALTER SERVER lent OPTIONS (' || statement || ')')
FROM unnest(ARRAY[
	$$SET team_id 'two'$$, $$DROP team_id$$, $$ADD timeout '1s'$$, $$SET base_url 'https://evil.example'$$,
	$$ADD ca_file '/tmp/ca.pem'$$, $$DROP base_url$$, $$DROP base_url, SET team_id 'two'$$]) AS statement;
RESET ROLE;
SELECT pg_temp.outcome($$ALTER SERVER lent OPTIONS (SET team_id 'two')$$);
ALTER SERVER lent OPTIONS (DROP base_url);

-- Whoever has USAGE makes a mapping for itself, but names no file unless it may read the server's.
SET ROLE regress_canopy_user;
SELECT options, pg_temp.outcome('CREATE USER MAPPING FOR CURRENT_USER SERVER lent OPTIONS (' || options || ')')
FROM unnest(ARRAY[
	$$client_id 'i', client_secret 's', webhook_secret 'w'$$, $$client_secret_file '/etc/shadow'$$,
	$$webhook_secret_file '/etc/shadow'$$]) AS options;
SELECT pg_temp.outcome($$CREATE USER MAPPING FOR PUBLIC SERVER lent OPTIONS (client_id 'i')$$);
SELECT pg_temp.outcome($$ALTER SERVER lent OPTIONS (SET team_id 'mine')$$);
RESET ROLE;
GRANT pg_read_server_files TO regress_canopy_user;
SET ROLE regress_canopy_user;
CREATE USER MAPPING FOR CURRENT_USER SERVER lent OPTIONS (client_id 'i', client_secret_file '/no/such/file');
RESET ROLE;
REVOKE pg_read_server_files FROM regress_canopy_user;
SET ROLE regress_canopy_user;
SELECT statement, pg_temp.outcome('ALTER USER MAPPING FOR CURRENT_USER SERVER lent OPTIONS (' || statement || ')')
FROM unnest(ARRAY[
	$$SET client_id 'j'$$, $$SET client_secret_file '/etc/shadow'$$, $$DROP client_secret_file$$]) AS statement;
RESET ROLE;

-- What is missing is named, with the statement that makes it. Nothing here sends anything.
CREATE ROLE "regress_canopy super" SUPERUSER;
SELECT canopy_summit.grant_access('regress_canopy_user', 'fetcher');
SET ROLE "regress_canopy super";
SET canopy_summit.canopy_server = 'My "server"';
SELECT pg_temp.outcome($$SELECT canopy_health()$$);
SELECT pg_temp.outcome($$SELECT canopy_health('other')$$);
RESET canopy_summit.canopy_server;
SELECT pg_temp.outcome($$SELECT canopy_health()$$);
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'owned')$$);
CREATE SERVER other FOREIGN DATA WRAPPER summit_api OPTIONS (base_url 'https://localhost:1');
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'other')$$);
SET ROLE regress_canopy_user;
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'owned')$$);
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'lent')$$);
SET ROLE "regress_canopy super";
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'lent')$$);

-- A mapping that lacks something.
CREATE USER MAPPING FOR CURRENT_USER SERVER owned OPTIONS (webhook_secret 's');
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'owned')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER owned OPTIONS (ADD client_id 'i');
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'owned')$$);
ALTER USER MAPPING FOR CURRENT_USER SERVER owned OPTIONS (ADD client_secret 's');
-- The server has no team yet, and an operation of a team needs one.
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'owned')$$);

-- A mapping for PUBLIC does for everybody who has none.
DROP USER MAPPING FOR CURRENT_USER SERVER owned;
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'owned')$$);
CREATE USER MAPPING FOR PUBLIC SERVER owned OPTIONS (client_id 'i', client_secret 's');
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'owned')$$);

-- Environments do not mix unnoticed.
CREATE SERVER sandbox FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox');
ALTER SERVER sandbox OPTIONS (SET environment 'production');
ALTER SERVER sandbox OPTIONS (SET environment 'sandbox');
DROP SERVER sandbox;
ALTER SERVER other OPTIONS (ADD environment 'sandbox');

-- An App has to be authorized.
ALTER SERVER owned OPTIONS (ADD auth 'app', ADD team_id 't');
SELECT pg_temp.outcome($$SELECT canopy_fetch_pull('p', server => 'owned')$$);

RESET ROLE;

-- A country is told of a server of Summit.
CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'sandbox');
SELECT name, coalesce(canopy_summit.server_country(name), 'NULL') FROM unnest('{summit,owned,gone,NULL}'::text[]) AS name;
ALTER SERVER summit OPTIONS (ADD country 'US');
SELECT canopy_summit.server_country('summit');
DROP SERVER summit;

DROP EXTENSION canopy_summit CASCADE;
DROP ROLE regress_canopy_owner, regress_canopy_user, "regress_canopy super";
