-- summit/certificate_state.sql: certificates as data: a row a term, and what it was before.
-- State.
--
-- What events and facts say of a policy and a holder is folded into terms (certificate.sql). A term that changes keeps
-- its former state, with the time until which it was known: nothing is overwritten but by the transaction that wrote it.

CREATE TYPE canopy_summit.certificate_term AS (
	term date,
	effective_date date,
	expiry_date date,
	basis text,
	cover datemultirange,
	status text,
	status_at timestamptz,
	observed_at timestamptz,
	actor text,
	reason_code text,
	reason_detail text,
	verified_at timestamptz,
	lapsed_at timestamptz,
	reinstated_at timestamptz,
	failed_checks text[],
	policy_type text,
	holder_name text,
	coi_pdf_id text,
	evidence jsonb,
	upload_id bigint,
	source text,
	facts jsonb
);
COMMENT ON TYPE canopy_summit.certificate_term IS 'what canopy_summit.certificate_terms() makes of the events and facts of a policy and a holder';

CREATE SEQUENCE canopy_summit.fact_id_seq;
COMMENT ON SEQUENCE canopy_summit.fact_id_seq IS 'keys of summit.certificate_fact';

CREATE TABLE summit.certificate_fact (
	fact_id bigint NOT NULL,
	server text NOT NULL,
	policy_status_id bigint NOT NULL,
	policy_number canopy_summit.personal_text NOT NULL,
	policy_type text,
	insurer_name text,
	insured_name canopy_summit.personal_text,
	effective_date date,
	expiry_date date,
	holder_name canopy_summit.personal_text,
	property_id text,
	unit_id text,
	lease_id text,
	tenant_id text,
	form text,
	form_edition text,
	currency text,
	per_occurrence numeric,
	aggregate numeric,
	deductible numeric,
	tenants_legal_liability numeric,
	non_owned_auto numeric,
	cross_liability boolean,
	additional_insured boolean,
	waiver_of_subrogation boolean,
	cancellation_notice_days integer,
	endorsements jsonb,
	additional_insureds jsonb,
	facts jsonb,
	source text NOT NULL,
	observed_at timestamptz NOT NULL,
	recorded_at timestamptz NOT NULL,
	recorded_by name NOT NULL
);
CREATE UNIQUE INDEX certificate_fact_key ON summit.certificate_fact (fact_id);
ALTER TABLE summit.certificate_fact REPLICA IDENTITY USING INDEX certificate_fact_key;
CREATE INDEX certificate_fact_policy ON summit.certificate_fact (policy_status_id);
COMMENT ON TABLE summit.certificate_fact IS 'what is known of certificates beyond what Summit has fields for, or of a policy that is never uploaded: INSERT it, a correction too';

CREATE TABLE canopy_summit.certificate (
	policy_status_id bigint NOT NULL,
	term date NOT NULL,
	known_from timestamptz NOT NULL,
	known_to timestamptz NOT NULL,
	server text NOT NULL,
	is_newest boolean NOT NULL,
	effective_date date,
	expiry_date date,
	basis text NOT NULL,
	cover datemultirange NOT NULL,
	status text,
	status_at timestamptz,
	observed_at timestamptz,
	actor canopy_summit.provider_word,
	reason_code canopy_summit.provider_word,
	reason_detail canopy_summit.personal_text,
	verified_at timestamptz,
	lapsed_at timestamptz,
	reinstated_at timestamptz,
	failed_checks jsonb,
	policy_type canopy_summit.provider_id,
	holder_name canopy_summit.personal_text,
	coi_pdf_id canopy_summit.provider_id,
	evidence jsonb,
	upload_id bigint,
	source canopy_summit.provider_word,
	facts jsonb
);
CREATE UNIQUE INDEX certificate_key ON canopy_summit.certificate (policy_status_id, term, known_from);
ALTER TABLE canopy_summit.certificate REPLICA IDENTITY USING INDEX certificate_key;
CREATE UNIQUE INDEX certificate_now ON canopy_summit.certificate (policy_status_id, term) WHERE known_to = 'infinity';
-- The fold does not ask for the newest: before the table was first analysed it would take this index and read all of it.
CREATE INDEX certificate_expiry ON canopy_summit.certificate (expiry_date, policy_status_id) INCLUDE (server)
	WHERE known_to = 'infinity' AND is_newest;
COMMENT ON TABLE canopy_summit.certificate IS 'certificates: one row a policy, holder and term, and one for each state that it had before';
COMMENT ON COLUMN canopy_summit.certificate.term IS 'the day by which a term is known: its first, as it was first told; -infinity if nobody has told one';
COMMENT ON COLUMN canopy_summit.certificate.known_from IS 'since when this state was known here';
COMMENT ON COLUMN canopy_summit.certificate.known_to IS 'until when; infinity: it is the present one';
COMMENT ON COLUMN canopy_summit.certificate.is_newest IS 'no later term has superseded it';
COMMENT ON COLUMN canopy_summit.certificate.basis IS 'where the first day comes from: stated; reinstated_at: the local day of the reinstatement, reinstated_at in UTC if the property''s time zone is not known; or not stated';
COMMENT ON COLUMN canopy_summit.certificate.cover IS 'days that are covered: from the effective date up to the expiry date, which is not, but for those between a lapse before it and a reinstatement';
COMMENT ON COLUMN canopy_summit.certificate.facts IS 'what summit.certificate_fact says of it, the newest of each';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.certificate', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.fact_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('summit.certificate_fact', '');
