-- credential/pull_jwt_state.sql: tokens of pulls.
-- State. Not dumped, and no level reads it.

CREATE TABLE canopy_summit.pull_jwt (
	instance bigint NOT NULL,
	server_oid oid NOT NULL,
	pull_id text NOT NULL,
	pull_jwt text NOT NULL,
	received_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX pull_jwt_key ON canopy_summit.pull_jwt (pull_id text_pattern_ops, server_oid, instance);
ALTER TABLE canopy_summit.pull_jwt REPLICA IDENTITY USING INDEX pull_jwt_key;
COMMENT ON TABLE canopy_summit.pull_jwt IS 'tokens of pulls, with which a job about one is sent; of the last 30 days';
COMMENT ON COLUMN canopy_summit.pull_jwt.instance IS 'canopy_summit.instance() to which it was told';
COMMENT ON COLUMN canopy_summit.pull_jwt.server_oid IS 'which server that was, whatever it is called by now';
