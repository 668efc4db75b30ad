-- summit/bridge_state.sql: what a pulled policy lacks to become a certificate.
-- State.

CREATE TABLE summit.insurer (
	carrier_name text NOT NULL,
	legal_name text NOT NULL CHECK (legal_name <> '')
);
CREATE UNIQUE INDEX insurer_key ON summit.insurer (carrier_name);
ALTER TABLE summit.insurer REPLICA IDENTITY USING INDEX insurer_key;
COMMENT ON TABLE summit.insurer IS 'legal names of insurers, which certificates have to have, by the names that Canopy calls carriers; fill it';

SELECT pg_catalog.pg_extension_config_dump('summit.insurer', '');
