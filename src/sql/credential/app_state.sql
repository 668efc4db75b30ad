-- credential/app_state.sql: what customers have granted to an App (OAuth 2.0).
-- State. Not dumped, and no level reads it: a copy of the database has to be authorized itself.

CREATE SEQUENCE canopy_summit.app_authorization_id_seq;
COMMENT ON SEQUENCE canopy_summit.app_authorization_id_seq IS 'keys of canopy_summit.app_authorization';

CREATE TABLE canopy_summit.app_authorization (
	authorization_id bigint NOT NULL,
	instance bigint NOT NULL,
	asked_at timestamptz NOT NULL,
	sent_at timestamptz,
	ended_at timestamptz,
	server_oid oid NOT NULL,
	owner_oid oid NOT NULL,
	state text NOT NULL,
	verifier text NOT NULL,
	redirect_uri text NOT NULL,
	scopes text[] NOT NULL,
	problem text
);
CREATE UNIQUE INDEX app_authorization_key ON canopy_summit.app_authorization (authorization_id);
CREATE UNIQUE INDEX app_authorization_state ON canopy_summit.app_authorization (instance, server_oid, owner_oid, state text_pattern_ops);
ALTER TABLE canopy_summit.app_authorization REPLICA IDENTITY USING INDEX app_authorization_key;
COMMENT ON TABLE canopy_summit.app_authorization IS 'addresses that canopy_authorize_url() has given out, for ten minutes';
COMMENT ON COLUMN canopy_summit.app_authorization.instance IS 'canopy_summit.instance() that gave it out';
COMMENT ON COLUMN canopy_summit.app_authorization.state IS 'by which the caller knows the answer again';
COMMENT ON COLUMN canopy_summit.app_authorization.verifier IS 'the secret of PKCE';
COMMENT ON COLUMN canopy_summit.app_authorization.sent_at IS 'when a worker sent its code, which is good for once';
COMMENT ON COLUMN canopy_summit.app_authorization.problem IS 'why that brought no grant; NULL if it did';

CREATE TABLE canopy_summit.app_grant (
	instance bigint NOT NULL,
	access_until timestamptz NOT NULL,
	granted_at timestamptz NOT NULL,
	refreshed_at timestamptz,
	epoch bigint,
	server_oid oid NOT NULL,
	owner_oid oid NOT NULL,
	state text NOT NULL,
	team_id text NOT NULL,
	scopes text[] NOT NULL,
	access_token text NOT NULL,
	refresh_token text NOT NULL,
	problem text
);
CREATE UNIQUE INDEX app_grant_key ON canopy_summit.app_grant (instance, server_oid, owner_oid);
ALTER TABLE canopy_summit.app_grant REPLICA IDENTITY USING INDEX app_grant_key;
COMMENT ON TABLE canopy_summit.app_grant IS 'tokens with which a role acts for a team that has authorized its App';
COMMENT ON COLUMN canopy_summit.app_grant.instance IS 'canopy_summit.instance() to which it was granted';
COMMENT ON COLUMN canopy_summit.app_grant.state IS 'ready; refreshing, while a worker has sent the refresh token; lost: whoever granted it has to do so again';
COMMENT ON COLUMN canopy_summit.app_grant.epoch IS 'life of the worker that has sent the refresh token, which is good for once';
COMMENT ON COLUMN canopy_summit.app_grant.access_until IS 'the access token is sent until then, by this server''s clock';
