-- summit/roster_state.sql: properties, and who lives or works there, as property systems know them.
-- State.
--
-- Managers fill both tables, by INSERT, COPY or an import. A reference whose reference_id is set is a restored one.

CREATE TABLE summit.property (
	server text NOT NULL,
	property_id text NOT NULL,
	name text,
	time_zone text NOT NULL,
	country text,
	province text,
	language text,
	portfolios text[] NOT NULL DEFAULT '{}',
	tags text[] NOT NULL DEFAULT '{}',
	recorded_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX property_key ON summit.property (property_id text_pattern_ops, server text_pattern_ops);
ALTER TABLE summit.property REPLICA IDENTITY USING INDEX property_key;
COMMENT ON TABLE summit.property IS 'properties of a server, and the time zone in which their days begin';

CREATE SEQUENCE canopy_summit.reference_id_seq;
COMMENT ON SEQUENCE canopy_summit.reference_id_seq IS 'keys of summit.property_reference';

CREATE TABLE summit.property_reference (
	reference_id bigint NOT NULL,
	server text NOT NULL,
	property_id text NOT NULL,
	unit_id text,
	lease_id text,
	tenant_id text,
	kind text NOT NULL,
	resident_guid text,
	name canopy_summit.personal_text,
	first_name canopy_summit.personal_text,
	last_name canopy_summit.personal_text,
	status text,
	is_primary boolean NOT NULL,
	lease_from date,
	lease_to date,
	valid_from date NOT NULL,
	valid_to date,
	replaced_by bigint,
	insurance jsonb,
	system text,
	recorded_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX property_reference_key ON summit.property_reference (reference_id);
ALTER TABLE summit.property_reference REPLICA IDENTITY USING INDEX property_reference_key;
-- Ids are whatever a file has: a digest fits into an index.
CREATE UNIQUE INDEX property_reference_open ON summit.property_reference
	(server, md5(property_id), md5(unit_id), md5(lease_id), md5(tenant_id), kind) NULLS NOT DISTINCT WHERE valid_to IS NULL;
CREATE INDEX property_reference_lease ON summit.property_reference (server, md5(property_id), md5(lease_id));
CREATE INDEX property_reference_unit ON summit.property_reference (server, md5(property_id), md5(unit_id));
CREATE INDEX property_reference_tenant ON summit.property_reference (server, md5(property_id), md5(tenant_id));
COMMENT ON TABLE summit.property_reference IS 'who is at a property, by the ids of its property system, and since when: tenants by unit and lease, vendors';

CREATE SEQUENCE canopy_summit.import_problem_id_seq;
COMMENT ON SEQUENCE canopy_summit.import_problem_id_seq IS 'keys of canopy_summit.import_problem';

CREATE TABLE canopy_summit.import_problem (
	problem_id bigint NOT NULL,
	server text NOT NULL,
	system text NOT NULL,
	line bigint,
	heading canopy_summit.personal_text,
	value canopy_summit.personal_text,
	problem text NOT NULL,
	dry_run boolean NOT NULL,
	imported_at timestamptz NOT NULL,
	imported_by name NOT NULL
);
CREATE UNIQUE INDEX import_problem_key ON canopy_summit.import_problem (problem_id);
ALTER TABLE canopy_summit.import_problem REPLICA IDENTITY USING INDEX import_problem_key;
CREATE INDEX import_problem_system ON canopy_summit.import_problem (server, system);
COMMENT ON TABLE canopy_summit.import_problem IS 'what the newest import from each system, or its dry run, did not take, and why';

SELECT pg_catalog.pg_extension_config_dump('summit.property', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.reference_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('summit.property_reference', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.import_problem_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.import_problem', '');
