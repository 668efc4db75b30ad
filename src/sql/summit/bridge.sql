-- summit/bridge.sql: from a policy that was pulled to a certificate that is uploaded.
-- Replaceable. Its functions read the views of canopy as whoever calls them.
--
-- Canopy's amounts are US cents (schema LocationCoverage); Summit's limits have no currency. Nothing is converted.

CREATE FUNCTION canopy_summit.summit_types() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{CGL,Property,E&O,D&O,Cyber}'::text[];
COMMENT ON FUNCTION canopy_summit.summit_types() IS 'kinds of policies that Summit knows (its guide, "Data model for property COI exchange")';

-- A package may be any of these: whoever uploads says which.
CREATE FUNCTION canopy_summit.summit_type(policy_type text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT t.summit_type FROM (VALUES ('GENERAL_LIABILITY', 'CGL'), ('COMMERCIAL_PROPERTY', 'Property'), ('ERRORS_AND_OMISSIONS', 'E&O'),
	('CYBER', 'Cyber'), ('MANAGEMENT_LIABILITY', 'D&O')) AS t(policy_type, summit_type) WHERE t.policy_type = summit_type.policy_type);
COMMENT ON FUNCTION canopy_summit.summit_type(text) IS 'the kind of policy that Summit has for one of Canopy''s; NULL: none, or several';

CREATE FUNCTION canopy_summit.dollars(cents bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN trim_scale(cents / 100.0);
COMMENT ON FUNCTION canopy_summit.dollars(bigint) IS 'an amount in whole units, without zeros at its end';

-- Of several locations the lowest limit: a certificate's is a lower bound.
CREATE FUNCTION canopy_summit.policy_limits(server text, pull_id text, policy_id text, summit_type text,
	OUT per_occurrence numeric, OUT aggregate numeric, OUT tenants_legal_liability numeric, OUT non_owned_auto numeric, OUT coverages text,
	OUT in_percent boolean)
LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH coverage AS (
		SELECT c.name, c.per_incident_limit_cents AS incident, coalesce(c.per_term_limit_cents, c.per_policy_year_limit_cents) AS term,
			c.limit_percent AS percent
		FROM canopy.location_coverage_all c
		WHERE c.server = policy_limits.server AND c.pull_id = policy_limits.pull_id AND c.policy_id = policy_limits.policy_id
			AND c.is_declined IS NOT TRUE
		UNION ALL
		SELECT c.name, c.per_incident_limit_cents, NULL, c.per_incident_limit_percent
		FROM canopy.dwelling_coverage_all c
		WHERE c.server = policy_limits.server AND c.pull_id = policy_limits.pull_id AND c.policy_id = policy_limits.policy_id
			AND c.is_declined IS NOT TRUE),
	wanted AS (
		SELECT w.name, w.rank
		FROM (VALUES ('CGL', 'LIABILITY_AND_MEDICAL_EXPENSES', 1), ('CGL', 'GENERAL_AGGREGATE', 2), ('Property', 'BUILDING', 1),
			('Property', 'DWELLING', 2), ('Property', 'BUSINESS_PERSONAL_PROPERTY', 3), ('E&O', 'ERRORS_AND_OMISSIONS', 1),
			('D&O', 'DIRECTORS_AND_OFFICERS_LIABILITY', 1), ('Cyber', 'CYBER_LIABILITY', 1)) AS w(summit_type, name, rank)
		WHERE w.summit_type = policy_limits.summit_type),
	-- What one location has without a limit that is known has none.
	stated AS (
		SELECT w.name, w.rank, CASE WHEN bool_and(c.incident IS NOT NULL) THEN min(c.incident) END AS incident,
			CASE WHEN bool_and(c.term IS NOT NULL) THEN min(c.term) END AS term, bool_or(c.incident IS NOT NULL) AS has_incident,
			bool_or(c.incident IS NULL AND c.percent IS NOT NULL) AS in_percent
		FROM wanted w JOIN coverage c ON c.name = w.name GROUP BY w.name, w.rank)
	SELECT canopy_summit.dollars((SELECT s.incident FROM stated s WHERE s.has_incident ORDER BY s.rank LIMIT 1)),
		canopy_summit.dollars((SELECT s.term FROM stated s WHERE s.term IS NOT NULL ORDER BY s.name = 'GENERAL_AGGREGATE' DESC, s.rank LIMIT 1)),
		canopy_summit.dollars((SELECT min(c.incident) FROM coverage c WHERE c.name = 'DAMAGE_TO_PREMISES_RENTED_TO_YOU')),
		canopy_summit.dollars((SELECT min(c.incident) FROM coverage c WHERE c.name IN ('NON_OWNED_AUTO', 'HIRED_AND_NON_OWNED_AUTO'))),
		(SELECT string_agg(w.name, ' or ' ORDER BY w.rank) FROM wanted w), coalesce((SELECT bool_or(s.in_percent) FROM stated s), false);
END;
COMMENT ON FUNCTION canopy_summit.policy_limits(text, text, text, text) IS
	'limits of a pulled policy as those of a kind of Summit''s, in US dollars; which coverages say them, and whether one says them in percent';

CREATE FUNCTION canopy_summit.find_policy(policy_id text, canopy_server text) RETURNS canopy.policy_all
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	policy canopy.policy_all;
	others bigint;
BEGIN
	IF NOT canopy_summit.may_read_pii() THEN
		RAISE EXCEPTION 'permission denied to read policy "%"', find_policy.policy_id
			USING ERRCODE = 'insufficient_privilege', HINT = 'A certificate has personal data: that needs level pii_reader of canopy_summit.grant_access().';
	END IF;
	SELECT p.* INTO policy FROM canopy.policy_all p
	WHERE p.policy_id = find_policy.policy_id AND p.server = ANY (canopy_server || canopy_summit.former_names(canopy_server))
	ORDER BY p.is_current DESC, p.pull_id LIMIT 1;
	SELECT count(*) INTO others FROM canopy.policy p
	WHERE p.policy_id = find_policy.policy_id AND p.server = ANY (canopy_server || canopy_summit.former_names(canopy_server));
	IF policy.policy_id IS NULL THEN
		RAISE EXCEPTION 'no pull of server "%" has policy "%"', canopy_server, find_policy.policy_id
			USING ERRCODE = '02000', HINT = 'It takes a policy_id of canopy.policy.';
	ELSIF others > 1 THEN
		RAISE EXCEPTION 'policy "%" stands in several accounts', find_policy.policy_id USING ERRCODE = 'cardinality_violation',
			HINT = 'Archive the pulls that do not count: canopy_archive_pull().';
	END IF;
	RETURN policy;
END
$$;
COMMENT ON FUNCTION canopy_summit.find_policy(text, text) IS
	'a policy of a server, current if it is; errors: 42501 personal data are not the caller''s to read, 02000 there is none, 21000 several accounts have it';

CREATE FUNCTION canopy_summit.certificate_of_policy(policy canopy.policy_all, certificate_holder jsonb, asked_type text,
	OUT payload jsonb, OUT fact summit.certificate_fact, OUT problems text[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind CONSTANT text := coalesce(asked_type, canopy_summit.summit_type(policy.policy_type));
	choices CONSTANT text := array_to_string(canopy_summit.summit_types(), ', ');
	insurer CONSTANT text := (SELECT i.legal_name FROM summit.insurer i WHERE i.carrier_name = policy.carrier_name);
	limits record;
	agent canopy.agent_all;
BEGIN
	SELECT * INTO limits FROM canopy_summit.policy_limits(policy.server, policy.pull_id, policy.policy_id, kind);
	SELECT a.* INTO agent FROM canopy.agent_all a
	WHERE a.server = policy.server AND a.pull_id = policy.pull_id AND policy.policy_id = ANY (a.policy_ids) ORDER BY a.ordinal LIMIT 1;
	SELECT array_agg(p.problem ORDER BY p.place) INTO problems FROM (VALUES
		(1, CASE WHEN policy.limited_access THEN 'policy: the carrier gave no access to its details (limited_access)' END),
		(2, CASE WHEN NOT policy.is_current THEN 'policy: its pull is archived, or not the newest of its account' END),
		(3, CASE WHEN policy.status NOT IN ('ACTIVE', 'PENDING_ACTIVATION', 'PENDING_CANCELLATION') THEN 'policy: it is ' || policy.status END),
		(4, CASE WHEN coalesce(policy.canceled_date < policy.expiry_date, policy.canceled_date IS NOT NULL)
			THEN 'policy: it is cancelled as of ' || policy.canceled_date END),
		(5, CASE WHEN policy.expiry_date <= current_date THEN 'policy.expiry_date: it ended on ' || policy.expiry_date END),
		(6, CASE WHEN coalesce(policy.carrier_policy_number, '') = '' THEN 'policy.policy_number: the carrier has told none' END),
		(7, CASE WHEN policy.effective_date IS NULL THEN 'policy.effective_date: the carrier has told none' END),
		(8, CASE WHEN policy.expiry_date IS NULL THEN 'policy.expiry_date: the carrier has told none' END),
		(9, CASE WHEN insurer IS NULL THEN format('policy.insurer_name: summit.insurer has no legal name of carrier %L', policy.carrier_name) END),
		(10, CASE WHEN asked_type <> ALL (canopy_summit.summit_types()) THEN format('policy.policy_type: %L is none of %s', asked_type, choices)
			WHEN kind IS NULL THEN format('policy.policy_type: %s may be several; say by argument policy_type which: %s',
				coalesce(policy.policy_type, 'a policy without type'), choices) END),
		(11, CASE WHEN kind = ANY (canopy_summit.summit_types()) AND limits.per_occurrence IS NULL THEN 'policy.limits.per_occurrence: '
			|| CASE WHEN limits.in_percent THEN 'it is a percentage' ELSE 'no amount' END || ' of ' || limits.coverages END),
		(12, CASE WHEN coalesce(certificate_holder ->> 'name', '') = '' THEN 'certificate_holder.name: is missing' END),
		(13, CASE WHEN certificate_holder -> 'additional_insured' IS NULL THEN 'certificate_holder.additional_insured: is missing; the carrier does not tell' END),
		(14, CASE WHEN certificate_holder -> 'waiver_of_subrogation' IS NULL THEN 'certificate_holder.waiver_of_subrogation: is missing; the carrier does not tell' END),
		(15, CASE WHEN coalesce(certificate_holder #>> '{reference_ids,property_id}', '') = '' THEN 'certificate_holder.reference_ids.property_id: is missing' END)
		) AS p(place, problem) WHERE p.problem IS NOT NULL;
	payload := jsonb_build_object(
		'policy', jsonb_strip_nulls(jsonb_build_object('policy_number', policy.carrier_policy_number, 'insurer_name', insurer, 'policy_type', kind,
			'effective_date', policy.effective_date, 'expiry_date', policy.expiry_date,
			'limits', jsonb_build_object('per_occurrence', limits.per_occurrence, 'aggregate', limits.aggregate)))
			|| CASE WHEN agent.agent_info_id IS NULL THEN '{}' ELSE jsonb_build_object('broker', jsonb_strip_nulls(jsonb_build_object(
				'name', coalesce(agent.agency_name, agent.agent_full_name), 'phone', nullif(agent.phone_number, ''), 'email', nullif(agent.email, '')))) END,
		'certificate_holder', certificate_holder);
	fact.source := 'canopy';
	fact.currency := 'USD';
	fact.policy_number := policy.carrier_policy_number;
	fact.policy_type := kind;
	fact.effective_date := policy.effective_date;
	fact.expiry_date := policy.expiry_date;
	fact.insured_name := (SELECT n.name FROM canopy.commercial_named_insured_all n
		WHERE n.server = policy.server AND n.pull_id = policy.pull_id AND n.policy_id = policy.policy_id
		ORDER BY n.is_primary_named_insured DESC NULLS LAST, n.ordinal LIMIT 1);
	fact.deductible := canopy_summit.dollars(policy.deductible_cents);
	fact.tenants_legal_liability := limits.tenants_legal_liability;
	fact.non_owned_auto := limits.non_owned_auto;
	fact.property_id := certificate_holder #>> '{reference_ids,property_id}';
	fact.unit_id := certificate_holder #>> '{reference_ids,unit_id}';
	fact.lease_id := certificate_holder #>> '{reference_ids,lease_id}';
	fact.tenant_id := certificate_holder #>> '{reference_ids,tenant_id}';
END
$$;
COMMENT ON FUNCTION canopy_summit.certificate_of_policy(canopy.policy_all, jsonb, text) IS
	'a pulled policy as Summit''s payload, what more is known of it, and all that it lacks for the one';

-- Named here, where the script is read, and not when a function runs.
CREATE FUNCTION canopy_summit.bytes_of_document(pull_id text, document_id text, server name) RETURNS bytea
LANGUAGE sql STABLE
RETURN @extschema@.canopy_document(pull_id, document_id, server);
COMMENT ON FUNCTION canopy_summit.bytes_of_document(text, text, name) IS 'canopy_document()';

CREATE FUNCTION canopy_summit.upload_certificate(payload jsonb, coi bytea, content_type text, server name) RETURNS bigint
LANGUAGE sql VOLATILE
RETURN @extschema@.summit_upload_policy(payload, coi, content_type, server);
COMMENT ON FUNCTION canopy_summit.upload_certificate(jsonb, bytea, text, name) IS 'summit_upload_policy()';

CREATE FUNCTION canopy_summit.coi_of_policy(policy canopy.policy_all, document_id text, confirmed boolean, OUT coi bytea, OUT content_type text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	document canopy.document_all;
BEGIN
	SELECT d.* INTO document FROM canopy.document_all d
	WHERE d.server = policy.server AND d.pull_id = policy.pull_id AND d.document_id = coi_of_policy.document_id;
	IF document.document_id IS NULL OR document.policy_id IS DISTINCT FROM policy.policy_id THEN
		RAISE EXCEPTION 'policy "%" has no document "%"', policy.policy_id, coi_of_policy.document_id
			USING ERRCODE = '02000', HINT = 'It takes a document_id of canopy.document, of the same policy.';
	ELSIF document.document_type IS DISTINCT FROM 'VERIFICATION_OF_INSURANCE' AND confirmed IS NOT TRUE THEN
		RAISE EXCEPTION 'document "%" is no certificate: its type is %', coi_of_policy.document_id, coalesce(document.document_type, 'not known')
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'It may hold premiums, drivers and dates of birth. If it is to be sent all the same: confirm_document => true.';
	END IF;
	coi := canopy_summit.bytes_of_document(policy.pull_id, coi_of_policy.document_id, policy.server::name);
	content_type := (SELECT f.media_type FROM canopy.document_file f
		WHERE f.server = policy.server AND f.kind = 'document' AND f.owner_id = policy.pull_id AND f.file_id = coi_of_policy.document_id);
END
$$;
COMMENT ON FUNCTION canopy_summit.coi_of_policy(canopy.policy_all, text, boolean) IS
	'the bytes of a document of a policy, and what they are; errors: 02000 there is none, or it is not here, 22023 it is no certificate, and not confirmed';

CREATE FUNCTION @extschema@.summit_upload_from_canopy(policy_id text, certificate_holder jsonb, document_id text DEFAULT NULL,
	policy_type text DEFAULT NULL, confirm_document boolean DEFAULT false, canopy_server name DEFAULT NULL, server name DEFAULT NULL,
	dry_run boolean DEFAULT false, OUT upload_id bigint, OUT payload jsonb)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	source CONSTANT text := coalesce(canopy_server::text, nullif(current_setting('canopy_summit.canopy_server', true), ''), 'canopy');
	target CONSTANT text := coalesce(server::text, nullif(current_setting('canopy_summit.summit_server', true), ''), 'summit');
	policy CONSTANT canopy.policy_all := canopy_summit.find_policy(summit_upload_from_canopy.policy_id, source);
	certificate record;
	document record;
	fact summit.certificate_fact;
BEGIN
	IF policy.environment IS DISTINCT FROM canopy_summit.server_environment(target) THEN
		RAISE EXCEPTION 'policy "%" is of environment %, and server "%" of %', policy.policy_id, policy.environment, target,
				coalesce(canopy_summit.server_environment(target), 'none')
			USING ERRCODE = 'invalid_parameter_value', HINT = 'What was pulled goes to a server of the same environment only.';
	END IF;
	SELECT * INTO certificate FROM canopy_summit.certificate_of_policy(policy, summit_upload_from_canopy.certificate_holder,
		summit_upload_from_canopy.policy_type);
	IF certificate.problems IS NOT NULL THEN
		RAISE EXCEPTION 'policy "%" is no certificate yet: % wrong or missing', policy.policy_id,
			CASE cardinality(certificate.problems) WHEN 1 THEN 'one fact is' ELSE cardinality(certificate.problems) || ' facts are' END
			USING ERRCODE = 'invalid_parameter_value', DETAIL = array_to_string(certificate.problems, chr(10)),
				  HINT = 'What the carrier has not told can be uploaded by summit_upload_policy(), by whoever knows it.';
	END IF;
	SELECT NULL::bytea AS coi, NULL::text AS content_type INTO document;
	IF summit_upload_from_canopy.document_id IS NOT NULL THEN
		SELECT * INTO document FROM canopy_summit.coi_of_policy(policy, summit_upload_from_canopy.document_id, confirm_document);
	END IF;
	payload := certificate.payload;
	IF dry_run THEN
		PERFORM canopy_summit.check_certificate(certificate.payload, document.coi, coalesce(document.content_type, 'application/pdf'));
	ELSE
		upload_id := canopy_summit.upload_certificate(certificate.payload, document.coi, coalesce(document.content_type, 'application/pdf'),
			target::name);
		fact := certificate.fact;
		INSERT INTO summit.certificate_fact (server, policy_number, policy_type, insured_name, effective_date, expiry_date, property_id, unit_id,
			lease_id, tenant_id, currency, deductible, tenants_legal_liability, non_owned_auto, source)
		VALUES (target, fact.policy_number, fact.policy_type, fact.insured_name, fact.effective_date, fact.expiry_date, fact.property_id,
			fact.unit_id, fact.lease_id, fact.tenant_id, fact.currency, fact.deductible, fact.tenants_legal_liability, fact.non_owned_auto,
			fact.source);
	END IF;
	RAISE NOTICE 'amounts of policy "%" are US dollars: Summit''s limits have no currency, and nothing is converted', policy.policy_id;
END
$$;
COMMENT ON FUNCTION @extschema@.summit_upload_from_canopy(text, jsonb, text, text, boolean, name, name, boolean) IS
	'has a pulled policy uploaded to Summit as a certificate, after COMMIT: upload_id, and the payload without its document; a dry_run only checks. certificate_holder is Summit''s, both flags included; document_id is one of the policy''s that is here. Errors: 42501 without level pii_reader, 02000 no such policy or document, 21000 in several accounts, 22023 with all that is wrong or missing as its detail';

SELECT canopy_summit.describe('summit.insurer', $notes$
carrier_name: as in canopy.policy
legal_name: name of the company that insures, as it is on certificates$notes$);

SELECT canopy_summit.allow('fetcher', 'function',
	'summit_upload_from_canopy find_policy certificate_of_policy coi_of_policy policy_limits bytes_of_document upload_certificate');
SELECT canopy_summit.allow('reader fetcher', 'function', 'summit_types summit_type dollars');
SELECT canopy_summit.allow('manager admin', 'table', 'summit.insurer', 'SELECT, INSERT, UPDATE, DELETE');
SELECT canopy_summit.allow('pii_reader', 'table', 'summit.insurer', 'SELECT');
