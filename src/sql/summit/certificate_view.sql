-- summit/certificate_view.sql: certificates, holders and policies as analysts read them, and which days are covered.
-- Replaceable.

CREATE VIEW canopy_summit.certificate_known AS
SELECT c.policy_status_id, c.term, c.server, p.environment, p.policy_number, coalesce(c.policy_type, u.policy_type)::canopy_summit.provider_id AS policy_type,
	coalesce(u.insurer_name, c.facts ->> 'insurer_name')::canopy_summit.provider_id AS insurer_name,
	(c.facts ->> 'insured_name')::canopy_summit.personal_text AS insured_name,
	c.effective_date, c.expiry_date, c.basis, c.cover, c.is_newest,
	coalesce((u.payload #>> '{policy,limits,per_occurrence}')::numeric, (c.facts ->> 'per_occurrence')::numeric) AS per_occurrence,
	coalesce((u.payload #>> '{policy,limits,aggregate}')::numeric, (c.facts ->> 'aggregate')::numeric) AS aggregate,
	(c.facts ->> 'currency')::canopy_summit.provider_word AS currency,
	(c.facts ->> 'deductible')::numeric AS deductible,
	(c.facts ->> 'tenants_legal_liability')::numeric AS tenants_legal_liability,
	(c.facts ->> 'non_owned_auto')::numeric AS non_owned_auto,
	(c.facts ->> 'cross_liability')::boolean AS cross_liability,
	coalesce((u.payload #>> '{policy,cancellation_notice_days}')::integer, (c.facts ->> 'cancellation_notice_days')::integer) AS cancellation_notice_days,
	coalesce(u.payload #> '{policy,endorsements}', c.facts -> 'endorsements') AS endorsements,
	(u.payload #>> '{policy,broker,name}')::canopy_summit.personal_text AS broker_name,
	(u.payload #>> '{policy,broker,phone}')::canopy_summit.personal_text AS broker_phone,
	(u.payload #>> '{policy,broker,email}')::canopy_summit.personal_text AS broker_email,
	coalesce(c.holder_name, u.holder_name)::canopy_summit.personal_text AS holder_name,
	(u.payload #>> '{certificate_holder,address}')::canopy_summit.personal_text AS holder_address,
	(u.payload #>> '{certificate_holder,email}')::canopy_summit.personal_text AS holder_email,
	(u.payload #>> '{certificate_holder,contact_phone}')::canopy_summit.personal_text AS holder_phone,
	p.property_id, p.unit_id, p.lease_id, p.tenant_id,
	coalesce((u.payload #>> '{certificate_holder,additional_insured}')::boolean, (c.facts ->> 'additional_insured')::boolean) AS additional_insured,
	coalesce((u.payload #>> '{certificate_holder,waiver_of_subrogation}')::boolean, (c.facts ->> 'waiver_of_subrogation')::boolean)
		AS waiver_of_subrogation,
	c.facts -> 'additional_insureds' AS additional_insureds,
	(c.facts ->> 'form')::canopy_summit.provider_id AS form, (c.facts ->> 'form_edition')::canopy_summit.provider_id AS form_edition,
	c.facts -> 'other' AS facts, c.coi_pdf_id, u.coi_url::canopy_summit.personal_text AS coi_url,
	c.status, c.status_at, c.reason_code, c.reason_detail, c.actor, c.observed_at, c.verified_at, c.lapsed_at, c.reinstated_at,
	c.failed_checks, c.evidence, u.coi_sha256, c.source, c.upload_id, c.known_from, c.known_to
FROM canopy_summit.certificate c
	JOIN canopy_summit.policy_status p ON p.policy_status_id = c.policy_status_id
	LEFT JOIN summit.upload u ON u.upload_id = c.upload_id;
COMMENT ON VIEW canopy_summit.certificate_known IS 'every state of every certificate, with what its upload and facts say; nothing is masked';
SELECT canopy_summit.describe('canopy_summit.certificate_known', $notes$
policy_status_id: the policy and holder, in summit.policy_status
term: the day by which the term is known: its first, as it was first told; -infinity if nobody has told one
server: foreign server, by its name; of one that was dropped, its last
environment: production or sandbox
policy_number: number of the policy
policy_type: kind of policy: CGL, Property, E&O, D&O, Cyber; of one that Summit does not take, as summit.certificate_fact calls it
insurer_name: the insurer's legal name
insured_name: the named insured, where a fact tells
effective_date: first day that is covered
expiry_date: day on which cover ends, which is not covered
basis: where the first day comes from: stated; reinstated_at: the local day of the reinstatement, reinstated_at in UTC if the property's time zone is not known; or not stated
cover: days that are covered: from the effective date up to the expiry date, but for those between a lapse before it and a reinstatement
is_newest: no later term has superseded it
per_occurrence: limit per occurrence, in whole units of currency; on a certificate a lower bound
aggregate: general aggregate limit, likewise
currency: currency of the amounts, where a fact tells; Summit has no field for it
deductible: deductible, in whole units of currency, where a fact tells
tenants_legal_liability: limit of tenants' legal liability, likewise
non_owned_auto: limit for non-owned automobiles, likewise
cross_liability: whether cross liability is included, where a fact tells
cancellation_notice_days: days of notice before a cancellation
endorsements: codes or names of endorsements
broker_name: the broker
broker_phone: the broker's telephone
broker_email: the broker's e-mail
holder_name: the certificate holder
holder_address: the holder's address
holder_email: the holder's e-mail
holder_phone: the holder's telephone
property_id: the property, by its id in the property system
unit_id: the unit, likewise
lease_id: the lease, likewise
tenant_id: the tenant, likewise
additional_insured: whether the holder is an additional insured; from the flag, never from a text
waiver_of_subrogation: whether subrogation against the holder is waived; likewise
additional_insureds: named additional insureds, where a fact tells
form: form of the certificate, such as ACORD 25 or CSIO CA301e, where a fact tells
form_edition: edition of the form, such as 2025/12
facts: other facts by their names
coi_pdf_id: the certificate's PDF at Summit
coi_url: address that the PDF was uploaded by, without query
status: submitted, verified, lapsed or reinstated: of the event of this term that occurred last; NULL: only facts are known
status_at: when that occurred
reason_code: why it lapsed or was reinstated, as a code of Summit
reason_detail: the same in words
actor: who told: carrier, broker or system
observed_at: when it was verified, lapsed or reinstated
verified_at: when this term was last verified
lapsed_at: when it last lapsed
reinstated_at: when it was last reinstated
failed_checks: names of checks that did not pass when it was last verified: then it is not
evidence: documents and checksums that the newest event names
coi_sha256: SHA-256 of the certificate that was uploaded
source: summit: events; canopy, manual: facts alone
upload_id: the newest upload of this term, in summit.upload_status
known_from: since when this state was known here
known_to: until when; infinity: it is the present one$notes$);

DO $$
DECLARE
	-- One list of columns for certificates as they are, as they were, and as a function returns them.
	columns CONSTANT text := (SELECT string_agg('k.' || a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
		WHERE a.attrelid = 'canopy_summit.certificate_known'::regclass AND a.attnum > 0 AND a.attname NOT IN ('known_from', 'known_to'));
BEGIN
	PERFORM canopy_summit.define_view('summit.certificate', 'certificates: one row a policy, holder and term, with the newest status',
		'SELECT ' || columns || ', now() - k.observed_at AS age FROM canopy_summit.certificate_known k WHERE k.known_to = ''infinity''',
		'age: how long ago it was observed');
	PERFORM canopy_summit.define_view('summit.certificate_history', 'certificates in every state that was known of them',
		'SELECT ' || columns || ', k.known_from, k.known_to FROM canopy_summit.certificate_known k');
END
$$;

CREATE FUNCTION summit.covered_on(d date) RETURNS SETOF summit.certificate
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT c.* FROM summit.certificate c WHERE c.cover @> covered_on.d;
END;
COMMENT ON FUNCTION summit.covered_on(date) IS 'certificates that cover a day, a local date of their properties; one that expires that day does not';

CREATE FUNCTION summit.known_at(at timestamptz) RETURNS SETOF summit.certificate
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE (SELECT format(
			'SELECT %s FROM summit.certificate_history h WHERE h.known_from <= $1 AND h.known_to > $1',
			string_agg(CASE a.attname WHEN 'age' THEN '$1 - h.observed_at' ELSE format('h.%I', a.attname) END, ', ' ORDER BY a.attnum))
		FROM pg_attribute a WHERE a.attrelid = 'summit.certificate'::regclass AND a.attnum > 0 AND NOT a.attisdropped) USING at;
END
$$;
COMMENT ON FUNCTION summit.known_at(timestamptz) IS 'certificates as they were known at a time';

SELECT canopy_summit.define_view('summit.certificate_holder', 'certificate holders: one row for each set of reference ids, as the newest certificate has it', $view$
SELECT DISTINCT ON (k.server, k.property_id, k.unit_id, k.lease_id, k.tenant_id) k.server, k.environment, k.property_id, k.unit_id, k.lease_id,
	k.tenant_id, k.holder_name, k.holder_address, k.holder_email, k.holder_phone, k.additional_insured, k.waiver_of_subrogation,
	count(*) OVER (PARTITION BY k.server, k.property_id, k.unit_id, k.lease_id, k.tenant_id) AS policies
FROM canopy_summit.certificate_known k WHERE k.known_to = 'infinity' AND k.is_newest
ORDER BY k.server, k.property_id, k.unit_id, k.lease_id, k.tenant_id, k.status_at DESC NULLS LAST, k.policy_status_id DESC$view$, $notes$
policies: policies of the holder$notes$);

SELECT canopy_summit.define_view('summit.policy', 'policies: one row a number and term, whoever holds certificates of it', $view$
SELECT DISTINCT ON (k.server, k.policy_number, k.term) k.server, k.environment, k.policy_number, k.policy_type, k.insurer_name, k.insured_name,
	k.effective_date, k.expiry_date, k.basis, k.per_occurrence, k.aggregate, k.currency, k.cancellation_notice_days, k.endorsements,
	k.broker_name, k.broker_phone, k.broker_email, k.status, k.status_at,
	count(*) OVER (PARTITION BY k.server, k.policy_number, k.term) AS certificates
FROM canopy_summit.certificate_known k WHERE k.known_to = 'infinity'
ORDER BY k.server, k.policy_number, k.term, k.status_at DESC NULLS LAST, k.policy_status_id DESC$view$, $notes$
status: that of the certificate that was told of last
certificates: certificates of the policy and term, one a holder$notes$);

-- Between the first day and the last one that anybody has told; after it only if Summit says that it lapsed.
SELECT canopy_summit.define_view('summit.uncovered_period', 'policies and holders with days that are not covered', $view$
SELECT p.policy_status_id, p.server, p.environment, p.policy_number, p.holder_name, p.property_id, p.unit_id, p.lease_id, p.tenant_id, p.policy_type,
	g.covered, g.uncovered
FROM (SELECT c.policy_status_id, range_agg(c.cover) AS covered, datemultirange(daterange(lower(range_agg(c.cover)),
			CASE WHEN bool_or(c.is_newest AND c.status = 'lapsed') IS NOT TRUE THEN upper(range_agg(c.cover)) END)) - range_agg(c.cover) AS uncovered
		FROM canopy_summit.certificate c WHERE c.known_to = 'infinity' GROUP BY c.policy_status_id) AS g
	JOIN canopy_summit.policy_status p USING (policy_status_id)
WHERE NOT isempty(g.covered) AND NOT isempty(g.uncovered)$view$, $notes$
policy_status_id: the policy and holder, in summit.policy_status
policy_number: number of the policy
holder_name: the certificate holder
property_id: the property, by its id in the property system
unit_id: the unit, likewise
lease_id: the lease, likewise
tenant_id: the tenant, likewise
policy_type: kind of policy, as Summit calls it
covered: days that are covered, of all terms
uncovered: days that are not: gaps between terms, and after a lapse; without an end if it has not ended$notes$);

SELECT canopy_summit.describe('summit.certificate_fact', $notes$
fact_id: key of the row, filled by the engine; a row that comes with one is a restored row
server: foreign server, by its name; of setting canopy_summit.summit_server unless given
policy_status_id: the policy and holder, filled by the engine
policy_number: number of the policy
policy_type: kind of policy; of one that Summit does not take any word, such as Renters, Umbrella or Auto
insurer_name: the insurer's legal name
insured_name: the named insured
effective_date: first day of the term that it is about; NULL: the newest that has begun
expiry_date: day on which cover ends, which is not covered
holder_name: the certificate holder
property_id: the property, by its id in the property system
unit_id: the unit, likewise
lease_id: the lease, likewise
tenant_id: the tenant, likewise
form: form of the certificate, such as ACORD 25 or CSIO CA301e
form_edition: edition of the form, such as 2025/12
currency: currency of the amounts, by its three letters
per_occurrence: limit per occurrence, in whole units of currency; Summit's own wins
aggregate: general aggregate limit, likewise
deductible: deductible, in whole units of currency
tenants_legal_liability: limit of tenants' legal liability, likewise
non_owned_auto: limit for non-owned automobiles, likewise
cross_liability: whether cross liability is included
additional_insured: whether the holder is an additional insured; Summit's own wins
waiver_of_subrogation: whether subrogation against the holder is waived; likewise
cancellation_notice_days: days of notice before a cancellation; likewise
endorsements: codes or names of endorsements, as an array; likewise
additional_insureds: named additional insureds, as an array
facts: any other facts, as an object by their names
source: where it comes from: canopy, manual or summit
observed_at: when it was so; now unless given
recorded_at: when it was recorded
recorded_by: who has recorded it$notes$);

SELECT canopy_summit.allow('reader', 'function', 'covered_on known_at');
SELECT canopy_summit.allow('fetcher admin', 'table', 'summit.certificate_fact',
	'INSERT (server, policy_number, policy_type, insurer_name, insured_name, effective_date, expiry_date, holder_name, property_id, unit_id, lease_id, tenant_id, form, form_edition, currency, per_occurrence, aggregate, deductible, tenants_legal_liability, non_owned_auto, cross_liability, additional_insured, waiver_of_subrogation, cancellation_notice_days, endorsements, additional_insureds, facts, source, observed_at), SELECT (fact_id)');
