-- 83_status.sql: what webhooks have told, as support screens and analysts read it.
-- Replaceable.

-- A consumer has to log in until something shows that they have, or that it is over: data, a final error, or
-- a later pull of the same monitoring. Signatures have seconds: what is signed in the same one as a reconnect
-- ends it only if it proves the login.
CREATE VIEW canopy_summit.open_reconnect AS
SELECT r.server, r.pull_id
FROM canopy_summit.reconnect r
	LEFT JOIN canopy_summit.pull_progress p ON p.pull_id = r.pull_id AND p.server = r.server
WHERE coalesce(greatest(p.logged_in_at, p.data_at) < r.signed_at, true)
	AND NOT coalesce(p.error_type = 'PROVIDER_ERROR' AND p.error_at > r.signed_at, false)
	AND NOT EXISTS (
		SELECT FROM canopy_summit.pull_progress l
		WHERE l.monitoring_id = r.monitoring_id AND l.server = r.server AND l.pull_id <> r.pull_id AND l.first_event_at > r.signed_at)
	AND NOT EXISTS (
		SELECT FROM canopy_summit.reconnect n
		WHERE n.monitoring_id = r.monitoring_id AND n.server = r.server AND (n.signed_at, n.pull_id) > (r.signed_at, r.pull_id));
COMMENT ON VIEW canopy_summit.open_reconnect IS 'keys of canopy_summit.reconnect whose consumer has not logged in since: the newest of each monitoring';

CREATE VIEW canopy.pull_status AS
SELECT p.server, canopy_summit.server_environment(p.server) AS environment, p.pull_id, p.pull_type,
	CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN p.account_identifier::text WHEN p.account_identifier IS NOT NULL THEN '***' END AS account_identifier, p.monitoring_id,
	p.last_event, p.last_status, p.last_event_at, a.auth_status, CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN a.login_error_html::text WHEN a.login_error_html IS NOT NULL THEN '***' END AS login_error_html,
	p.error_type, p.error_at, p.policies_at, p.completed_at,
	p.completed_at IS NOT NULL OR p.error_type IS NOT DISTINCT FROM 'PROVIDER_ERROR' AS is_final,
	-- The newest fact that counts: data that is there outweighs a login, or an attempt, that failed before it.
	CASE
		WHEN r.pull_id IS NOT NULL THEN 'ask the consumer to log in again: reconnect_url'
		WHEN p.completed_at IS NOT NULL THEN 'none: it is complete'
		WHEN p.error_type = 'PROVIDER_ERROR' AND coalesce(p.error_at >= p.data_at, true)
			THEN 'ask the consumer to connect again later: the carrier failed'
		WHEN a.signed_at < p.data_at THEN 'wait for the documents'
		WHEN a.auth_status = 'NOT_AUTHENTICATED' THEN 'ask the consumer for other credentials'
		WHEN a.auth_status = 'IDENTITY_VERIFICATION_OPTIONS' THEN 'ask the consumer which way to be verified'
		WHEN a.auth_status = 'IDENTITY_VERIFICATION' THEN 'ask the consumer for the code'
		WHEN p.policies_at IS NOT NULL THEN 'wait for the documents'
		ELSE 'wait'
	END AS next_step,
	CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN r.reconnect_url::text WHEN r.reconnect_url IS NOT NULL THEN '***' END AS reconnect_url
FROM canopy_summit.pull_progress p
	LEFT JOIN canopy_summit.auth_status a ON a.pull_id = p.pull_id AND a.server = p.server
	LEFT JOIN (canopy_summit.open_reconnect o JOIN canopy_summit.reconnect r ON r.pull_id = o.pull_id AND r.server = o.server)
		ON o.pull_id = p.pull_id AND o.server = p.server;
COMMENT ON VIEW canopy.pull_status IS 'how far a pull is, by its webhooks: last event, error, whether that is final, and what to do next';
COMMENT ON COLUMN canopy.pull_status.is_final IS 'nothing more is to come; an INTERNAL_ERROR is not final';
COMMENT ON COLUMN canopy.pull_status.login_error_html IS 'why the login failed, safe to show as HTML';

CREATE VIEW canopy.reconnect_needed AS
SELECT r.server, canopy_summit.server_environment(r.server) AS environment, r.pull_id, r.initial_pull_id, r.monitoring_id, r.auth_status,
	CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN r.reconnect_url::text WHEN r.reconnect_url IS NOT NULL THEN '***' END AS reconnect_url, CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN r.reconnect_token::text WHEN r.reconnect_token IS NOT NULL THEN '***' END AS reconnect_token,
	r.signed_at AS requested_at, now() - r.signed_at AS token_age
FROM canopy_summit.open_reconnect o
	JOIN canopy_summit.reconnect r ON r.pull_id = o.pull_id AND r.server = o.server;
COMMENT ON VIEW canopy.reconnect_needed IS 'monitored pulls whose consumer has to log in again, one a monitoring: until they have, or it is over';
COMMENT ON COLUMN canopy.reconnect_needed.token_age IS 'tokens expire: of an old one fetch another by operation get-monitoring-reconnect-token';

CREATE VIEW canopy.monitoring_event AS
SELECT e.webhook_id, e.ordinal, e.server, canopy_summit.server_environment(e.server) AS environment, e.monitoring_id, e.pull_id, e.type,
	CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN e.changes END AS changes, e.documents, e.signed_at
FROM canopy_summit.monitoring_event e;
COMMENT ON VIEW canopy.monitoring_event IS 'changes of monitored accounts, each of the one or several that a webhook names';

CREATE VIEW canopy.servicing_action AS
SELECT a.server, canopy_summit.server_environment(a.server) AS environment, a.servicing_action_id, a.pull_id, a.original_pull_id, a.status,
	a.is_manual, a.validation_error_type, a.document_id, a.signed_at
FROM canopy_summit.servicing_action a;
COMMENT ON VIEW canopy.servicing_action IS 'servicing actions as their webhooks say they are now';

CREATE VIEW canopy.data_update AS
SELECT u.webhook_id, u.ordinal, u.server, canopy_summit.server_environment(u.server) AS environment, u.pull_id, u.type,
	CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN u.data END AS data, u.signed_at
FROM canopy_summit.data_update u;
COMMENT ON VIEW canopy.data_update IS 'what consumers have edited';

CREATE VIEW canopy.document_validation AS
SELECT v.server, canopy_summit.server_environment(v.server) AS environment, v.document_validation_id, v.pull_id, v.status, v.completed_at
FROM canopy_summit.document_validation v;
COMMENT ON VIEW canopy.document_validation IS 'verdicts on uploaded documents';

CREATE VIEW summit.policy_status AS
SELECT p.policy_status_id, p.server, p.environment, CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN p.policy_number::text WHEN p.policy_number IS NOT NULL THEN '***' END AS policy_number,
	CASE WHEN (SELECT canopy_summit.may_read_pii()) THEN p.holder_name::text WHEN p.holder_name IS NOT NULL THEN '***' END AS holder_name, p.property_id, p.unit_id, p.lease_id, p.tenant_id, p.status, p.status_at,
	p.policy_type, p.effective_date, p.expiry_date, p.reason_code, p.reason_detail, p.verified_at, p.lapsed_at, p.reinstated_at,
	p.coi_pdf_id, p.upload_id
FROM canopy_summit.policy_status p;
COMMENT ON VIEW summit.policy_status IS 'certificates as they are now: one row a policy and holder';

CREATE VIEW summit.status_event AS
SELECT e.webhook_id, e.policy_status_id, e.server, canopy_summit.server_environment(e.server) AS environment, e.delivery_id, e.status,
	e.occurred_at, e.observed_at, e.actor, e.verifier, e.reason_code, e.reason_detail, e.checks, e.effective_date, e.expiry_date, e.coi_pdf_id
FROM canopy_summit.status_event e;
COMMENT ON VIEW summit.status_event IS 'history of certificates, one row a webhook';
