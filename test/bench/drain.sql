-- test/bench/drain.sql - what part drain of test/bench/run needs in its database. psql's variables:
-- base_url, ca_file.

CREATE EXTENSION canopy_summit;
CREATE SCHEMA bench;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (base_url :'base_url', ca_file :'ca_file',
    allow_private_addresses 'true', team_id 'bench', max_connections '128');
CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (client_id 'bench', client_secret 'bench');
CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (base_url :'base_url', auth_url :'base_url', ca_file :'ca_file',
    allow_private_addresses 'true', max_connections '128');
CREATE USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (client_id 'bench', client_secret 'bench');

CREATE FUNCTION bench.payload(number bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object(
    'policy', jsonb_build_object('policy_number', 'B' || number, 'insurer_name', 'Example Insurance Company of Canada',
        'policy_type', 'CGL', 'effective_date', '2025-01-01', 'expiry_date', '2026-01-01',
        'limits', jsonb_build_object('per_occurrence', 2000000, 'aggregate', 5000000)),
    'certificate_holder', jsonb_build_object('name', 'ABC Apartments', 'additional_insured', true,
        'waiver_of_subrogation', true, 'reference_ids', jsonb_build_object('property_id', 'KEL-' || number % 500,
            'unit_id', 'Unit-' || number, 'lease_id', 'L-' || number, 'tenant_id', 'RES-' || number)));

-- The same columns without the trigger and the indexes.
CREATE TABLE bench.bare (LIKE canopy_summit.job);
CREATE SEQUENCE bench.number;

-- A transaction a call: seconds from just before its COMMIT until the request was under way.
CREATE TABLE bench.latency (job_id bigint, committing_at timestamptz);
CREATE PROCEDURE bench.enqueue_one()
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO bench.latency VALUES (canopy_enqueue('get-health', priority => 0), clock_timestamp());
    COMMIT;
END
$$;
