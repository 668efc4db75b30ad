-- canopy/enrichment_state.sql: what was looked up of properties, drivers and households, for whom and why.
-- State.

CREATE TABLE canopy_summit.enrichment (
	job_id bigint NOT NULL,
	server text NOT NULL,
	kind text NOT NULL,
	asked_at timestamptz NOT NULL,
	asked_by text NOT NULL,
	purpose canopy_summit.personal_text,
	employee_name canopy_summit.personal_text,
	employee_job_function canopy_summit.personal_text,
	first_name canopy_summit.personal_text,
	middle_name canopy_summit.personal_text,
	last_name canopy_summit.personal_text,
	date_of_birth canopy_summit.personal_date,
	address canopy_summit.personal_text,
	drivers_license canopy_summit.personal_text,
	drivers_license_state canopy_summit.provider_word,
	problem text,
	enrichment_id canopy_summit.provider_id,
	answer jsonb
);
CREATE UNIQUE INDEX enrichment_key ON canopy_summit.enrichment (job_id, asked_at, server text_pattern_ops);
ALTER TABLE canopy_summit.enrichment REPLICA IDENTITY USING INDEX enrichment_key;
COMMENT ON TABLE canopy_summit.enrichment IS 'look-ups of properties, drivers and households: for whom, why, and what came of them; one that is in doubt is here once it is asked again';
COMMENT ON COLUMN canopy_summit.enrichment.job_id IS 'job that asked';
COMMENT ON COLUMN canopy_summit.enrichment.kind IS 'property, driver_license, driving_record or household';
COMMENT ON COLUMN canopy_summit.enrichment.asked_at IS 'start of the request';
COMMENT ON COLUMN canopy_summit.enrichment.asked_by IS 'role that enqueued it';
COMMENT ON COLUMN canopy_summit.enrichment.purpose IS 'use that the Driver''s Privacy Protection Act permits; NULL of a property';
COMMENT ON COLUMN canopy_summit.enrichment.employee_name IS 'person answerable for asking';
COMMENT ON COLUMN canopy_summit.enrichment.employee_job_function IS 'job title of that person';
COMMENT ON COLUMN canopy_summit.enrichment.first_name IS 'person asked about';
COMMENT ON COLUMN canopy_summit.enrichment.middle_name IS 'of the same';
COMMENT ON COLUMN canopy_summit.enrichment.last_name IS 'of the same';
COMMENT ON COLUMN canopy_summit.enrichment.date_of_birth IS 'of the same';
COMMENT ON COLUMN canopy_summit.enrichment.address IS 'of the property, or of the person';
COMMENT ON COLUMN canopy_summit.enrichment.drivers_license IS 'number, if it was asked by that';
COMMENT ON COLUMN canopy_summit.enrichment.drivers_license_state IS 'state that issued it';
COMMENT ON COLUMN canopy_summit.enrichment.problem IS 'why there is no answer: what the server said instead';
COMMENT ON COLUMN canopy_summit.enrichment.enrichment_id IS 'the look-up''s id at Canopy; a property''s has none';
COMMENT ON COLUMN canopy_summit.enrichment.answer IS 'what the API answered, whole';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.enrichment', '');
