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

SELECT canopy_summit.define_view('canopy.pull_status', $view$
SELECT p.server, canopy_summit.server_environment(p.server) AS environment, p.pull_id, mask_word(p.pull_type) AS pull_type,
	mask_text(p.account_identifier) AS account_identifier, mask_id(p.monitoring_id) AS monitoring_id,
	mask_word(p.last_event) AS last_event, mask_word(p.last_status) AS last_status, p.last_event_at,
	mask_word(a.auth_status) AS auth_status, mask_text(a.login_error_html) AS login_error_html,
	mask_word(p.error_type) AS error_type, p.error_at, p.policies_at, p.completed_at,
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
	mask_text(r.reconnect_url) AS reconnect_url
FROM canopy_summit.pull_progress p
	LEFT JOIN canopy_summit.auth_status a ON a.pull_id = p.pull_id AND a.server = p.server
	LEFT JOIN (canopy_summit.open_reconnect o JOIN canopy_summit.reconnect r ON r.pull_id = o.pull_id AND r.server = o.server)
		ON o.pull_id = p.pull_id AND o.server = p.server$view$);
COMMENT ON VIEW canopy.pull_status IS 'how far a pull is, by its webhooks: last event, error, whether that is final, and what to do next';
COMMENT ON COLUMN canopy.pull_status.is_final IS 'nothing more is to come; an INTERNAL_ERROR is not final';
COMMENT ON COLUMN canopy.pull_status.login_error_html IS 'why the login failed, safe to show as HTML';

SELECT canopy_summit.define_view('canopy.reconnect_needed', $view$
SELECT r.server, canopy_summit.server_environment(r.server) AS environment, r.pull_id, mask_id(r.initial_pull_id) AS initial_pull_id,
	mask_id(r.monitoring_id) AS monitoring_id, mask_word(r.auth_status) AS auth_status,
	mask_text(r.reconnect_url) AS reconnect_url, mask_text(r.reconnect_token) AS reconnect_token,
	r.signed_at AS requested_at, now() - r.signed_at AS token_age
FROM canopy_summit.open_reconnect o
	JOIN canopy_summit.reconnect r ON r.pull_id = o.pull_id AND r.server = o.server$view$);
COMMENT ON VIEW canopy.reconnect_needed IS 'monitored pulls whose consumer has to log in again, one a monitoring: until they have, or it is over';
COMMENT ON COLUMN canopy.reconnect_needed.token_age IS 'tokens expire: of an old one fetch another by operation get-monitoring-reconnect-token';

SELECT canopy_summit.define_view('canopy.monitoring_event', $view$
SELECT e.webhook_id, e.ordinal, e.server, canopy_summit.server_environment(e.server) AS environment, mask_id(e.monitoring_id) AS monitoring_id,
	e.pull_id, mask_word(e.type) AS type,
	mask_jsonb(e.changes) AS changes, mask_jsonb(e.documents) AS documents, e.signed_at
FROM canopy_summit.monitoring_event e$view$);
COMMENT ON VIEW canopy.monitoring_event IS 'changes of monitored accounts, each of the one or several that a webhook names';

SELECT canopy_summit.define_view('canopy.servicing_action', $view$
SELECT a.server, canopy_summit.server_environment(a.server) AS environment, mask_id(a.servicing_action_id) AS servicing_action_id,
	a.pull_id, mask_id(a.original_pull_id) AS original_pull_id, mask_word(a.status) AS status,
	a.is_manual, mask_word(a.validation_error_type) AS validation_error_type, mask_id(a.document_id) AS document_id, a.signed_at
FROM canopy_summit.servicing_action a$view$);
COMMENT ON VIEW canopy.servicing_action IS 'servicing actions as their webhooks say they are now';

SELECT canopy_summit.define_view('canopy.data_update', $view$
SELECT u.webhook_id, u.ordinal, u.server, canopy_summit.server_environment(u.server) AS environment, u.pull_id, mask_word(u.type) AS type,
	mask_jsonb(u.data) AS data, u.signed_at
FROM canopy_summit.data_update u$view$);
COMMENT ON VIEW canopy.data_update IS 'what consumers have edited';

SELECT canopy_summit.define_view('canopy.document_validation', $view$
SELECT v.server, canopy_summit.server_environment(v.server) AS environment, mask_id(v.document_validation_id) AS document_validation_id,
	v.pull_id, mask_word(v.status) AS status, v.completed_at
FROM canopy_summit.document_validation v$view$);
COMMENT ON VIEW canopy.document_validation IS 'verdicts on uploaded documents';

SELECT canopy_summit.define_view('summit.policy_status', $view$
SELECT p.policy_status_id, p.server, p.environment, mask_text(p.policy_number) AS policy_number,
	mask_text(p.holder_name) AS holder_name,
	mask_id(p.property_id) AS property_id, mask_id(p.unit_id) AS unit_id, mask_id(p.lease_id) AS lease_id, mask_id(p.tenant_id) AS tenant_id, p.status, p.status_at,
	mask_id(p.policy_type) AS policy_type, p.effective_date, p.expiry_date, mask_word(p.reason_code) AS reason_code,
	mask_text(p.reason_detail) AS reason_detail, p.verified_at, p.lapsed_at, p.reinstated_at,
	mask_id(p.coi_pdf_id) AS coi_pdf_id, p.upload_id
FROM canopy_summit.policy_status p$view$);
COMMENT ON VIEW summit.policy_status IS 'certificates as they are now: one row a policy and holder';

SELECT canopy_summit.define_view('summit.status_event', $view$
SELECT e.webhook_id, e.policy_status_id, e.server, canopy_summit.server_environment(e.server) AS environment, mask_id(e.delivery_id) AS delivery_id, e.status,
	e.occurred_at, e.observed_at, mask_word(e.actor) AS actor, mask_text(e.verifier) AS verifier,
	mask_word(e.reason_code) AS reason_code, mask_text(e.reason_detail) AS reason_detail, mask_jsonb(e.checks) AS checks,
	e.effective_date, e.expiry_date, mask_id(e.coi_pdf_id) AS coi_pdf_id
FROM canopy_summit.status_event e$view$);
COMMENT ON VIEW summit.status_event IS 'history of certificates, one row a webhook';
