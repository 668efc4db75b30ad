-- test/bench/summit.sql: certificates, rosters and exports of part summit of test/bench/run.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (base_url 'https://127.0.0.1:9', auth_url 'https://127.0.0.1:9');
CREATE SCHEMA bench;

INSERT INTO summit.property (server, property_id, name, time_zone, country)
SELECT 'summit', 'P-' || n, 'Property ' || n, 'America/Vancouver', 'CA' FROM generate_series(0, 999) n;

-- Histories as the seed's: submitted, verified, lapsed, reinstated with a gap; limits and flags from an upload.
INSERT INTO canopy_summit.policy_status (policy_status_id, server, environment, policy_number, property_id, unit_id, lease_id, tenant_id)
SELECT n, 'summit', 'production', 'POL-' || n, 'P-' || n % 1000, 'Unit-' || n % 400, 'L-' || n, 'RES-' || n
FROM generate_series(1, :count) n;
SELECT setval('canopy_summit.policy_status_id_seq', :count);
INSERT INTO summit.upload (upload_id, payload, server, owner, status, policy_number, policy_type, insurer_name, effective_date, expiry_date,
	holder_name, property_id, unit_id, lease_id, tenant_id, uploaded_at, accepted_at)
SELECT n, '{"policy": {"limits": {"per_occurrence": 2000000, "aggregate": 5000000}, "cancellation_notice_days": 30,
	"endorsements": ["Additional Insured", "Waiver of Subrogation"]},
	"certificate_holder": {"additional_insured": true, "waiver_of_subrogation": true}}', 'summit', 'postgres', 'accepted',
	'POL-' || n, 'CGL', 'Example Insurance Company of Canada', '2025-01-01', '2026-01-01', 'ABC Apartments', 'P-' || n % 1000,
	'Unit-' || n % 400, 'L-' || n, 'RES-' || n, '2025-10-30 17:00Z', '2025-10-30 17:00Z'
FROM generate_series(1, :count) n;
INSERT INTO canopy_summit.status_event (status_event_id, policy_status_id, server, source, upload_id, webhook_id, delivery_id, status,
	occurred_at, recorded_at, observed_at, reason_code, holder_name, policy_type, effective_date, expiry_date, coi_pdf_id)
SELECT 4 * n + e.place, n, 'summit', e.source, CASE WHEN e.source = 'upload' THEN n END, CASE WHEN e.source = 'webhook' THEN 4 * n + e.place END,
	'dwk_' || n || '_' || e.place, e.status, e.at, now(), e.at, e.reason, 'ABC Apartments', 'CGL', e.effective, e.expiry, e.coi
FROM generate_series(1, :count) n, (VALUES
	(0, 'upload', 'submitted', '2025-10-30 17:34Z'::timestamptz, NULL, '2025-01-01'::date, '2026-01-01'::date, 'doc_01H'),
	(1, 'webhook', 'verified', '2025-10-30 17:35Z', NULL, NULL, NULL, NULL),
	(2, 'webhook', 'lapsed', '2026-01-02 00:00Z', 'expiry', '2025-01-01', '2026-01-01', NULL),
	(3, 'webhook', 'reinstated', '2026-01-05 15:12Z', 'late_renewal', NULL, '2027-01-01', NULL))
	AS e(place, source, status, at, reason, effective, expiry, coi);
SELECT setval('canopy_summit.status_event_id_seq', 4 * :count + 4);
ANALYZE;

CREATE TABLE bench.roster AS
SELECT 'PropertyID,UnitID,LeaseID,ResidentID,First Name,Last Name,Status' || chr(10)
	|| string_agg(format('P-%s,Unit-%s,L-%s,RES-%s,First%s,"Last, %s",Current', n % 1000, n % 400, n, n, n, n), chr(10)) AS csv
FROM generate_series(1, :count) n;

-- Lines of certificates that nobody changes, up to a million.
CREATE PROCEDURE bench.pad_lines() LANGUAGE sql AS $$
	INSERT INTO canopy_summit.export_line (server, system, row_key, line, changed_xid, changed_at, acknowledged_line)
	SELECT 'summit', 'yardi', (10000000 + n)::text, l.line, '3', now(), l.line
	FROM generate_series(1, 1000000 - (SELECT count(*) FROM canopy_summit.export_line)) n,
		LATERAL (SELECT repeat('x', 200) || n AS line OFFSET 0) AS l;
$$;

-- A batch a transaction, as workers apply webhooks.
CREATE PROCEDURE bench.fold(count integer) LANGUAGE plpgsql AS $$
BEGIN
	FOR batch IN 1 .. count BY 100 LOOP
		PERFORM canopy_summit.policy_status_fold(ARRAY(SELECT generate_series(batch, batch + 99)));
		COMMIT;
	END LOOP;
END
$$;

-- Five sets of requirements for every lease, and a table with the gate.
CREATE PROCEDURE bench.require() LANGUAGE sql AS $$
	UPDATE summit.property SET portfolios = '{all}';
	INSERT INTO summit.requirement_set (name, scope, scope_value, starts_on)
	SELECT 'S' || n, 'portfolio', 'all', '2026-01-01' FROM generate_series(1, 5) n;
	INSERT INTO summit.requirement (requirement_set, version, policy_type, additional_insured, evidence_grade)
	SELECT 'S' || n, 1, 'CGL', true, 'submitted' FROM generate_series(1, 5) n;
	UPDATE summit.requirement_set SET status = 'published';
$$;
CREATE TABLE bench.move_in (id serial, property_id text, unit_id text, lease_id text, tenant_id text);
CREATE TRIGGER gate AFTER INSERT ON bench.move_in FOR EACH ROW
EXECUTE FUNCTION summit_require_compliant('property_id, unit_id, lease_id, tenant_id');
CREATE PROCEDURE bench.move_in() LANGUAGE sql AS $$
	INSERT INTO bench.move_in (property_id, unit_id, lease_id, tenant_id)
	SELECT 'P-' || n % 1000, 'Unit-' || n % 400, 'L-' || n, 'RES-' || n FROM generate_series(1, 1000) n
$$;
