-- What `make demo` shows, one screen a step. psql's variables hold what the throwaway servers have chosen, and how to
-- call post_webhook.py.
\echo '1. A consumer''s policies, by Canopy Connect'
CREATE EXTENSION canopy_summit;

CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox', team_id :'team_id',
    base_url :'base_url', ca_file :'ca_file', allow_private_addresses 'true', download_hosts 'localhost');
CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (
    client_id :'client_id', client_secret_file :'client_secret_file', webhook_secret :'webhook_secret');
\echo

SELECT * FROM canopy_fetch_pull(:'pull_id');

SELECT carrier_friendly_name, policy_type, carrier_policy_number, expiry_date, total_premium FROM canopy.policy;

SELECT v.year, v.make, v.model, c.friendly_name, c.per_incident_limit, c.deductible, c.premium
FROM canopy.vehicle_coverage c JOIN canopy.vehicle v USING (vehicle_id)
ORDER BY c.premium DESC NULLS LAST LIMIT 2;

SELECT document_type, f.media_type, bytes FROM canopy.document d, canopy_fetch_document(d.pull_id, d.document_id) f;

\echo '2. A certificate, to Summit by an INSERT into a table of one''s own'
CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'sandbox',
    base_url :'summit_base_url', auth_url :'summit_auth_url', ca_file :'ca_file', allow_private_addresses 'true');
CREATE USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (
    client_id :'summit_client_id', client_secret_file :'summit_client_secret_file', webhook_secret :'webhook_secret');

CREATE TABLE lease (lease_id text PRIMARY KEY, certificate jsonb);
CREATE TRIGGER upload AFTER INSERT ON lease FOR EACH ROW EXECUTE FUNCTION summit_upload_on_insert('certificate');
INSERT INTO lease VALUES ('L-7788', format('{
 "policy": {"policy_number": "ABC123456", "insurer_name": "Example Insurance Company of Canada", "policy_type": "CGL",
  "effective_date": "%s", "expiry_date": "%s", "limits": {"per_occurrence": 2000000, "aggregate": 5000000},
  "cancellation_notice_days": 30, "endorsements": ["Additional Insured", "Waiver of Subrogation"]},
 "certificate_holder": {"name": "ABC Apartments", "address": "123 Main St, Kelowna, BC V1Y 1A1",
  "additional_insured": true, "waiver_of_subrogation": true,
  "reference_ids": {"property_id": "KEL-001", "unit_id": "Unit-204", "lease_id": "L-7788", "tenant_id": "RES-9981"}},
 "documents": {"coi_pdf": {"content_type": "application/pdf", "base64": "JVBERi0xLjEKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiAwIFI+PgplbmRvYmoKMiAwIG9iago8PC9UeXBlL1BhZ2VzL0tpZHNbXS9Db3VudCAwPj4KZW5kb2JqCnRyYWlsZXIKPDwvUm9vdCAxIDAgUj4+CiUlRU9GCg=="}}}', current_date - 340, current_date + 25)::jsonb);
\echo

SELECT l.lease_id, summit_wait_for_upload(u.upload_id, '30 s') AS status, u.policy_number
FROM lease l JOIN summit.upload_status u ON u.source_key = jsonb_build_object('lease_id', l.lease_id);

\echo '3. Webhooks: signed, stored once, applied'
CREATE VIEW told AS SELECT u.policy_number, s.status AS certificate, (SELECT count(*) FROM summit.status_event) AS events, p.last_event AS pull, p.next_step,
    (SELECT count(*) FROM canopy_summit.webhook) AS stored, (SELECT sum(refused_webhooks) FROM canopy_summit.server_health) AS refused
FROM summit.upload_status u LEFT JOIN summit.policy_status s USING (upload_id)
    LEFT JOIN canopy.pull_status p ON p.pull_id = :'pull_id';
SELECT * FROM told;

\echo `:post_webhook COMPLETE`
\echo `:post_webhook policy.verified`
SELECT * FROM told;

\echo `:post_webhook a copy of COMPLETE`
\echo `:post_webhook a forged policy.lapsed`
SELECT * FROM told;

SELECT canopy_monitor_pull(:'pull_id', every => '1 month') AS job_id;

SELECT operation, canopy_summit.wait_for_job(job_id, '30 s') AS state FROM canopy_summit.job WHERE operation = 'post-monitoring';

\echo `:post_webhook MONITORING_RECONNECT`
SELECT source, status, every, needs_reconnect FROM canopy.monitoring;

\echo '4. A second database, which is told of each certificate'
\echo '\\connect - -' :manager_host :manager_port
\connect - - :manager_host :manager_port
CREATE EXTENSION canopy_summit;
CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'sandbox');
CREATE USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (webhook_secret :'webhook_secret');
\echo '\\connect - -' :HOST 5432
\connect - - :HOST 5432
CREATE SERVER manager FOREIGN DATA WRAPPER webhook_endpoint OPTIONS (environment 'sandbox', base_url :'manager_url',
    ca_file :'ca_file', allow_private_addresses 'true', property_ids 'KEL-001');
CREATE USER MAPPING FOR CURRENT_USER SERVER manager OPTIONS (webhook_secret :'webhook_secret');
\echo

\echo '5. Who is there, and what is required of them'
INSERT INTO summit.property (property_id, name, time_zone) VALUES ('KEL-001', 'ABC Apartments', 'America/Vancouver');
SELECT taken, problems FROM summit_import_roster('yardi', 'PropertyID,UnitID,LeaseID,ResidentID,Kind,Valid From
KEL-001,Unit-204,L-7788,RES-9981,tenant,2025-01-01
KEL-001,,,BAKERY,vendor,2025-01-01');

INSERT INTO summit.requirement_set (name, kind, scope, scope_value, starts_on)
VALUES ('Leases', 'tenant', 'property', 'KEL-001', '2025-01-01'), ('Suppliers', 'vendor', 'property', 'KEL-001', '2025-01-01');
INSERT INTO summit.requirement (requirement_set, version, policy_type, additional_insured, notice_days) VALUES ('Leases', 1, 'CGL', true, 30);
INSERT INTO summit.requirement (requirement_set, version, policy_type, per_occurrence, currency) VALUES ('Suppliers', 1, 'Property', 1000000, 'USD');
UPDATE summit.requirement_set SET status = 'published';
SELECT kind, policy_type, verdict, code, found FROM summit.compliance ORDER BY kind;

\echo '6. A policy that was pulled, as a certificate'
SELECT status FROM canopy_fetch_pull(:'commercial_pull_id');

INSERT INTO summit.insurer VALUES ('farmers', 'Farmers Insurance Exchange');
CREATE TABLE bridged AS SELECT u.* FROM canopy.policy p, summit_upload_from_canopy(p.policy_id,
    '{"name": "ABC Apartments", "additional_insured": true, "waiver_of_subrogation": false,
      "reference_ids": {"property_id": "KEL-001", "tenant_id": "BAKERY"}}', policy_type => 'Property') AS u
WHERE p.policy_type = 'COMMERCIAL_PACKAGE';
SELECT payload #>> '{policy,insurer_name}' AS insurer, payload #> '{policy,limits}' AS limits,
    summit_wait_for_upload(upload_id, '30 s') AS status FROM bridged;

SELECT kind, policy_type, verdict, code, found, currency FROM summit.compliance ORDER BY kind;

\echo '7. A renewal, a lapse and a gap: compliance before and after'
CREATE VIEW judged AS SELECT l.status AS lease, past.code AS "10 days ago", c.code AS today, k.text_en, soon.code AS "in 40 days"
FROM summit.lease_status l JOIN summit.compliance c USING (lease_id) JOIN summit.compliance_code k USING (code)
    JOIN summit.compliance_on(current_date - 10) AS past USING (lease_id) JOIN summit.compliance_on(current_date + 40) AS soon USING (lease_id);
\echo
SELECT * FROM judged;

INSERT INTO lease SELECT 'L-7788-2027', jsonb_set(certificate, '{policy}', certificate -> 'policy' || jsonb_build_object(
    'policy_number', 'ABC123457', 'effective_date', current_date + 25, 'expiry_date', current_date + 390)) FROM lease;
\echo
SELECT summit_wait_for_upload(upload_id, '30 s') AS status, policy_number FROM summit.upload_status ORDER BY upload_id DESC LIMIT 1;

SELECT * FROM judged;

\echo `:post_webhook policy.lapsed as of 20 days ago`
SELECT * FROM judged;

\echo `:post_webhook policy.reinstated as of 5 days ago`
SELECT * FROM judged;

\echo '8. What the second database knows by now, and what Yardi is given'
SELECT bool_and(canopy_summit.wait_for_job(job_id, '30 s') = 'succeeded') AS delivered FROM summit.delivery;

\echo '\\connect - -' :manager_host :manager_port
\connect - - :manager_host :manager_port
SELECT canopy_summit.apply_webhooks(100) > 0 AS applied;

SELECT policy_number, property_id, lapsed_at < now() - interval '19 days' AS lapsed, reinstated_at > now() - interval '6 days' AS reinstated
FROM summit.policy_status ORDER BY policy_number;

\echo '\\connect - -' :HOST 5432
\connect - - :HOST 5432
SELECT * FROM summit_export('yardi');
