-- pull/pull_state.sql: accounts, pulls and their versions.
-- State.
--
-- Ids are opaque text and compared by bytes, whatever the database's collation:
-- indexes on them are text_pattern_ops, which serves "=" and is cheaper to build,
-- and begin with the column that tells rows apart.

CREATE TABLE canopy_summit.account (
	server text NOT NULL,
	account_identifier canopy_summit.personal_text NOT NULL
);
CREATE UNIQUE INDEX account_key ON canopy_summit.account (account_identifier text_pattern_ops, server text_pattern_ops);
ALTER TABLE canopy_summit.account REPLICA IDENTITY USING INDEX account_key;
COMMENT ON TABLE canopy_summit.account IS 'insurance accounts seen; its row is the lock under which the pull that views show is chosen';
COMMENT ON COLUMN canopy_summit.account.server IS 'name of the foreign server the account was seen through';
COMMENT ON COLUMN canopy_summit.account.account_identifier IS 'stable over the pulls of one carrier login';

CREATE TABLE canopy_summit.pull_state (
	server text NOT NULL,
	pull_id text NOT NULL,
	environment text NOT NULL,
	account_identifier canopy_summit.personal_text,
	created_at timestamptz,
	is_data boolean NOT NULL,
	is_current boolean NOT NULL,
	has_property_data boolean NOT NULL,
	version integer NOT NULL,
	content_hash bytea NOT NULL,
	fetched_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX pull_state_key ON canopy_summit.pull_state (pull_id text_pattern_ops, server text_pattern_ops);
CREATE INDEX pull_state_account ON canopy_summit.pull_state (account_identifier text_pattern_ops, server text_pattern_ops)
	WHERE account_identifier IS NOT NULL;
ALTER TABLE canopy_summit.pull_state REPLICA IDENTITY USING INDEX pull_state_key;
COMMENT ON TABLE canopy_summit.pull_state IS 'one row a pull: its current version, and whether views show it';
COMMENT ON COLUMN canopy_summit.pull_state.environment IS 'production or sandbox: that of the server when the current version was stored';
COMMENT ON COLUMN canopy_summit.pull_state.is_data IS 'not archived, of a type that reads data, and finished or with policies already there';
COMMENT ON COLUMN canopy_summit.pull_state.is_current IS 'the newest such pull of its account; a pull without account stands alone';
COMMENT ON COLUMN canopy_summit.pull_state.version IS 'current version';
COMMENT ON COLUMN canopy_summit.pull_state.content_hash IS 'SHA-256 of the current version in canonical form';
COMMENT ON COLUMN canopy_summit.pull_state.fetched_at IS 'start of the newest request that answered with the current version';

CREATE TABLE canopy_summit.pull_version (
	server text NOT NULL,
	pull_id text NOT NULL,
	version integer NOT NULL,
	content_hash bytea NOT NULL,
	fetched_at timestamptz NOT NULL,
	stored_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	stored_by name NOT NULL,
	pull jsonb NOT NULL,
	drift jsonb,
	received bytea
);
CREATE UNIQUE INDEX pull_version_key ON canopy_summit.pull_version
	(pull_id text_pattern_ops, server text_pattern_ops, version);
ALTER TABLE canopy_summit.pull_version REPLICA IDENTITY USING INDEX pull_version_key;
COMMENT ON TABLE canopy_summit.pull_version IS 'every distinct state of every pull, numbered from 1; entity tables are derived from the current ones';
COMMENT ON COLUMN canopy_summit.pull_version.fetched_at IS 'start of the request that answered with it';
COMMENT ON COLUMN canopy_summit.pull_version.stored_by IS 'the role that stored it';
COMMENT ON COLUMN canopy_summit.pull_version.pull IS 'the pull as received, with known property data carried over';
COMMENT ON COLUMN canopy_summit.pull_version.drift IS 'where it differs from the entity tables: {new, missing, retyped, replaced}, each an array of paths; a key that is not like a field''s name is shown as <key>';
COMMENT ON COLUMN canopy_summit.pull_version.received IS 'the bytes received, if some of them had to be replaced';

-- LZ4 makes storing a pull several times cheaper, where PostgreSQL was built with it.
DO $$
BEGIN
	ALTER TABLE canopy_summit.pull_version ALTER COLUMN pull SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
	NULL;
END
$$;

-- Truth is dumped; entity rows are derived from it.
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.account', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.pull_state', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.pull_version', '');
