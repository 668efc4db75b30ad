-- summit/upload.sql: uploading certificates.
-- Replaceable.

CREATE FUNCTION canopy_summit.check_certificate(payload jsonb, coi bytea DEFAULT NULL, content_type text DEFAULT 'application/pdf',
	OUT body jsonb, OUT warnings jsonb)
AS 'MODULE_PATHNAME', 'canopy_summit_check_certificate'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION canopy_summit.check_certificate(jsonb, bytea, text) IS
	'checks a payload as an upload does and returns the body that would be sent, with warnings as [{"field", "message"}]; sends and stores nothing';

CREATE FUNCTION canopy_summit.upload_fill() RETURNS trigger
AS 'MODULE_PATHNAME', 'canopy_summit_upload_fill'
LANGUAGE C;
COMMENT ON FUNCTION canopy_summit.upload_fill() IS 'trigger: checks a payload, enqueues its upload, and absorbs one that is under way already';
CREATE TRIGGER upload_fill BEFORE INSERT ON summit.upload
	FOR EACH ROW EXECUTE FUNCTION canopy_summit.upload_fill();

-- That the request is invalid proves that an earlier attempt did nothing: else the same key would have had its answer. No
-- other refusal does, for it may come before anybody looks at the key. A conflict with a key that was sent before is one
-- with what it did.
CREATE FUNCTION canopy_summit.upload_doubt(job_id bigint, OUT sent bigint, OUT doubtful bigint, OUT is_open boolean)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT count(*), count(*) FILTER (WHERE d.is_doubtful),
		count(*) FILTER (WHERE d.is_doubtful) > 0
			AND (SELECT j.outcome_status IS DISTINCT FROM 400 FROM canopy_summit.job j WHERE j.job_id = upload_doubt.job_id)
	FROM canopy_summit.job_attempt a CROSS JOIN LATERAL (SELECT CASE
		WHEN a.status = 409 THEN EXISTS (SELECT FROM canopy_summit.job_attempt b WHERE b.job_id = a.job_id AND b.fence < a.fence)
		WHEN a.sends > 1 THEN true WHEN a.status IS NULL THEN a.sent_bytes > 0 OR a.code = 'worker_lost'
		ELSE a.status BETWEEN 200 AND 299 OR a.status >= 500 AND a.status <> 503 END) AS d(is_doubtful)
	WHERE a.job_id = upload_doubt.job_id;
END;
COMMENT ON FUNCTION canopy_summit.upload_doubt(bigint) IS
	'attempts of an upload''s job that were sent, how many of them may have taken effect, and whether that is open now';

SELECT canopy_summit.describe('summit.upload summit.upload_warning', $notes$
upload_id: key of the upload, filled by the engine; a row that comes with one is a restored row
payload: in Summit's JSON shape; kept without its documents
coi: certificate as PDF, PNG or JPEG, unless the payload has it; not kept here
content_type: of coi; application/pdf unless given
server: foreign server of wrapper summit_api, by the name it had then; of setting canopy_summit.summit_server unless given
idempotency_key: sent with every attempt; made unless given; one of your own is known by server and owner, and may be used again for the same payload if the upload failed
owner: role that uploaded it, by the name it had then
status: queued, accepted, verified, failed, unresolved or refused; view summit.upload_status knows more
job_id: the job that sends it
summit_job_id: job_id that Summit answered
request_hash: SHA-256 of the body that is sent
policy_number: number of the policy
policy_type: kind of policy, as in the payload
insurer_name: the insurer
effective_date: first day of coverage
expiry_date: last day of coverage
holder_name: the certificate holder
property_id: the property, by its id in the property system
unit_id: the unit, likewise
lease_id: the lease, likewise
tenant_id: the tenant, likewise
coi_url: where Summit was told to fetch the COI, without query and fragment; NULL if it came otherwise, or there was none
coi_sha256: SHA-256 of the COI's bytes in hex, lower case; NULL if it came as a URL, or there was none
source_table: table of the row that summit_upload_on_insert() uploaded
source_key: primary key of that row
error_code: why it failed: a code of Summit, of the engine in lower case, or the SQLSTATE of a refusal
error_field: field of the payload that Summit, or the validator, refused
error_message: what was wrong with it
correlation_id: Summit's id of the exchange, for its support
uploaded_at: when it was enqueued
accepted_at: when Summit took it
finished_at: when it came to its end
server_oid: which server that is, whatever it is called by now; means nothing in another instance
owner_oid: which role owner is, likewise
instance: canopy_summit.instance() where it was uploaded, or that took it over by arm()
field: the field of the payload
warning: what is the matter with it$notes$);

-- Of what a refused one was refused for, the words are ours.
SELECT canopy_summit.define_view('summit.upload_status',
	'uploads and how far they are: queued, sending, accepted, then verified, failed or unresolved; cancelled and refused are ends too', $view$
SELECT u.upload_id, canopy_summit.server_name(u.server_oid, u.server, u.instance) AS server,
	canopy_summit.owner_name(u.owner_oid, u.owner, u.instance) AS owner,
	CASE WHEN j.state = 'queued' THEN 'queued'
		WHEN j.state = 'running' THEN 'sending'
		WHEN u.status <> 'queued' OR j.state IS NULL THEN u.status
		WHEN j.state = 'succeeded' THEN 'accepted'
		-- Nobody has drawn the conclusion: its answer could not be stored, or its workers were lost again and again.
		WHEN j.state IN ('failed', 'in_doubt') THEN 'unresolved'
		ELSE j.state::text END AS status,
	u.policy_number, u.policy_type, u.insurer_name, u.effective_date, u.expiry_date, u.holder_name,
	u.property_id, u.unit_id, u.lease_id, u.tenant_id, u.source_table, u.source_key,
	coalesce(u.error_code, CASE WHEN j.state IN ('failed', 'in_doubt', 'cancelled') THEN j.outcome_code END)::canopy_summit.provider_word AS error_code,
	u.error_field, u.error_message, u.correlation_id, u.job_id, u.summit_job_id, j.attempts, j.outcome AS last_outcome,
	u.uploaded_at, u.accepted_at, u.finished_at, u.payload, u.idempotency_key
FROM summit.upload u LEFT JOIN canopy_summit.job j ON j.job_id = u.job_id$view$, $notes$
server: server it goes to, by the name it has now
owner: role that uploaded it, by the name it has now
status: queued, sending, accepted, verified, failed, unresolved, cancelled or refused
error_message: what was wrong with it; shown to all of an upload that was refused here
error_field: field of the payload that Summit, or the validator, refused; shown to all of an upload that was refused here
attempts: how often it was sent
last_outcome: what came of the last attempt$notes$,
	'{"error_field": "q.status = ''refused''", "error_message": "q.status = ''refused''"}');

CREATE FUNCTION @extschema@.summit_upload_policy(payload jsonb, coi bytea DEFAULT NULL, content_type text DEFAULT 'application/pdf',
	server name DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_upload_policy'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.summit_upload_policy(jsonb, bytea, text, name, text) IS
	'has a certificate uploaded to Summit after COMMIT; returns its upload_id, that of the first upload if the same body is under way; see view summit.upload_status';

CREATE FUNCTION @extschema@.summit_upload_on_insert() RETURNS trigger
AS 'MODULE_PATHNAME', 'canopy_summit_upload_on_insert'
LANGUAGE C;
COMMENT ON FUNCTION @extschema@.summit_upload_on_insert() IS
	'trigger, AFTER INSERT FOR EACH ROW on a table of your own: summit_upload_on_insert(''payload column'' [, ''coi column'' [, ''strict'' | ''defer'']]); defer keeps the row and records a refusal';

CREATE FUNCTION @extschema@.summit_wait_for_upload(upload_id bigint, timeout interval DEFAULT '1 minute') RETURNS text
AS 'MODULE_PATHNAME', 'canopy_summit_wait_for_upload'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION @extschema@.summit_wait_for_upload(bigint, interval) IS
	'waits until an upload has come to an end, at most so long, and returns its status then';

SELECT canopy_summit.allow('fetcher', 'function', 'check_certificate summit_upload_policy summit_wait_for_upload summit_upload_on_insert');
SELECT canopy_summit.allow('fetcher admin', 'table', 'summit.upload',
	'INSERT (payload, coi, content_type, server, idempotency_key), SELECT (upload_id)');
SELECT canopy_summit.allow('fetcher', 'table', 'summit.upload_status summit.upload_warning');
