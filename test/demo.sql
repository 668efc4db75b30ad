-- What `make demo` shows. psql's variables hold what the throwaway sandbox has chosen.
CREATE EXTENSION canopy_summit;

CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (
    base_url :'base_url',
    ca_file :'ca_file',
    allow_private_addresses 'true', environment 'sandbox', team_id :'team_id');

CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (
    client_id :'client_id', client_secret_file :'client_secret_file');
\echo

SELECT * FROM canopy_fetch_pull(:'pull_id');

SELECT carrier_friendly_name, policy_type, carrier_policy_number, expiry_date, total_premium
FROM canopy.policy;

SELECT year, make, model, vin FROM canopy.vehicle;

SELECT v.make, c.friendly_name, c.per_incident_limit, c.deductible, c.premium
FROM canopy.vehicle_coverage c JOIN canopy.vehicle v USING (vehicle_id)
ORDER BY v.make, c.friendly_name;
