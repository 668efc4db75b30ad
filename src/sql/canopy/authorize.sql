-- canopy/authorize.sql: Apps, to which customers grant access by OAuth 2.0.
-- Replaceable.

CREATE FUNCTION @extschema@.canopy_authorize_url(redirect_uri text, scopes text[], state text, server name DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_authorize_url'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION @extschema@.canopy_authorize_url(text, text[], text, name) IS
	'the address at which a customer grants an App these scopes, for ten minutes after COMMIT; state is random, and comes back with the code that canopy_authorize() takes; of a server with option auth app';

CREATE FUNCTION @extschema@.canopy_authorize(code text, state text, server name DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_authorize'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_authorize(text, text, name) IS
	'has a worker change the code for tokens, which stay with the workers, and waits for it; returns the team_id; the current role acts for that team from then on, whatever becomes of the transaction';

SELECT canopy_summit.define_view('canopy_summit.app_status', 'what customers have granted to Apps, without the tokens', $view$
SELECT canopy_summit.server_name(g.server_oid, NULL, g.instance) AS server, canopy_summit.owner_name(g.owner_oid, NULL, g.instance) AS owner, g.team_id, g.scopes, g.state, g.problem,
	g.access_until, g.granted_at, g.refreshed_at
FROM canopy_summit.app_grant g WHERE g.instance = canopy_summit.instance()$view$, $notes$
server: server it is for, by the name it has now
owner: role that acts for the team
team_id: the team that has granted it
scopes: what the role may do there
state: ready; refreshing; lost: it has to be granted again, for the reason in problem
problem: why it is lost
access_until: the access token is refreshed then
granted_at: when it was granted
refreshed_at: when its token was last refreshed$notes$);

SELECT canopy_summit.allow('nobody', 'table', 'canopy_summit.app_authorization canopy_summit.app_grant');
SELECT canopy_summit.allow('nobody', 'sequence', 'canopy_summit.app_authorization_id_seq');
SELECT canopy_summit.allow('operator', 'table', 'canopy_summit.app_status');
