-- summit/compliance_state.sql: what certificates must be, and where that is waived.
-- State.
--
-- Managers fill these tables. A published version of a set stays as it is: what changes is another version. A row whose
-- recorded_at, or key, is set is a restored one.

CREATE SEQUENCE canopy_summit.requirement_id_seq;
COMMENT ON SEQUENCE canopy_summit.requirement_id_seq IS 'keys of summit.requirement';
CREATE SEQUENCE canopy_summit.waiver_id_seq;
COMMENT ON SEQUENCE canopy_summit.waiver_id_seq IS 'keys of summit.waiver';

CREATE TABLE summit.requirement_set (
	server text NOT NULL,
	name text NOT NULL,
	version integer NOT NULL,
	kind text NOT NULL,
	scope text NOT NULL,
	scope_value text NOT NULL,
	starts_on date NOT NULL,
	ends_on date,
	status text NOT NULL,
	comment text,
	recorded_at timestamptz NOT NULL,
	recorded_by name NOT NULL
);
CREATE UNIQUE INDEX requirement_set_key ON summit.requirement_set (name, version, server);
ALTER TABLE summit.requirement_set REPLICA IDENTITY USING INDEX requirement_set_key;
CREATE INDEX requirement_set_scope ON summit.requirement_set (scope_value, scope, server);
COMMENT ON TABLE summit.requirement_set IS 'what tenants or vendors of properties must have, by version; a published one does not change';

CREATE TABLE summit.requirement (
	requirement_id bigint NOT NULL,
	server text NOT NULL,
	requirement_set text NOT NULL,
	version integer NOT NULL,
	policy_type text NOT NULL,
	per_occurrence numeric,
	aggregate numeric,
	fact text,
	minimum numeric,
	maximum numeric,
	currency text,
	may_combine_with_excess boolean NOT NULL,
	additional_insured boolean NOT NULL,
	waiver_of_subrogation boolean NOT NULL,
	endorsements jsonb,
	notice_days integer,
	days_ahead integer NOT NULL,
	evidence_grade text NOT NULL
);
CREATE UNIQUE INDEX requirement_key ON summit.requirement (requirement_id);
ALTER TABLE summit.requirement REPLICA IDENTITY USING INDEX requirement_key;
CREATE INDEX requirement_of_set ON summit.requirement (requirement_set, version, server);
COMMENT ON TABLE summit.requirement IS 'requirements of a version of a set, each about one policy type and at most one fact beyond the named ones';

CREATE TABLE summit.waiver (
	waiver_id bigint NOT NULL,
	server text NOT NULL,
	requirement_set text NOT NULL,
	requirement_id bigint,
	property_id text NOT NULL,
	unit_id text,
	lease_id text,
	tenant_id text,
	starts_on date NOT NULL,
	ends_on date NOT NULL,
	reason canopy_summit.personal_text NOT NULL,
	approved_by text NOT NULL,
	recorded_at timestamptz NOT NULL,
	recorded_by name NOT NULL
);
CREATE UNIQUE INDEX waiver_key ON summit.waiver (waiver_id);
ALTER TABLE summit.waiver REPLICA IDENTITY USING INDEX waiver_key;
CREATE INDEX waiver_property ON summit.waiver (server, md5(property_id));
COMMENT ON TABLE summit.waiver IS 'requirements that need not be met for a time, and who has said so';

-- Who is at a property, and whose a certificate is, by one expression each: of several the planner would think that
-- together they leave one row. Whoever looks by them compares the ids, too.
CREATE INDEX property_reference_property ON summit.property_reference (hashtextextended(property_id, hashtextextended(server, 0)));
CREATE INDEX policy_status_property ON canopy_summit.policy_status (hashtextextended(property_id, hashtextextended(server, 0)))
	WHERE lease_id IS NULL AND tenant_id IS NULL;
CREATE INDEX policy_status_lease ON canopy_summit.policy_status
	(hashtextextended(lease_id, hashtextextended(property_id, hashtextextended(server, 0))));
CREATE INDEX policy_status_tenant ON canopy_summit.policy_status
	(hashtextextended(tenant_id, hashtextextended(property_id, hashtextextended(server, 0))));

-- What a verdict looks at: terms that somebody holds. Of competing ones of a type the best counts. What facts are is no
-- type that can be hashed: a plan that remembers whole terms takes longer than one that looks again.
CREATE TYPE canopy_summit.held_term AS (
	policy_status_id bigint,
	upload_id bigint,
	policy_number text,
	policy_type text,
	term date,
	competing bigint,
	effective_date date,
	expiry_date date,
	cover datemultirange,
	covered_until date,
	lapsed_on date,
	evidence_grade text,
	is_failed boolean,
	is_insured boolean,
	currency text,
	per_occurrence numeric,
	aggregate numeric,
	deductible numeric,
	tenants_legal_liability numeric,
	non_owned_auto numeric,
	cross_liability boolean,
	additional_insured boolean,
	waiver_of_subrogation boolean,
	notice_days integer,
	endorsements jsonb,
	facts json
);
COMMENT ON TYPE canopy_summit.held_term IS 'what canopy_summit.verdict_query() looks at of a term of a certificate; competing: how many of its type it has to be compared with, itself included: all that cover the day, else the newest alone; 0: it does not count';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.requirement_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.waiver_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('summit.requirement_set', '');
SELECT pg_catalog.pg_extension_config_dump('summit.requirement', '');
SELECT pg_catalog.pg_extension_config_dump('summit.waiver', '');
