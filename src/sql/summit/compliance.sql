-- summit/compliance.sql: whether those who are at a property have the certificates that they must have.
-- Replaceable.
--
-- One text finds what is judged, and judges it: verdict_query(). Views, and functions for another day, for what would be
-- and for one holder, are made of it, so that they cannot differ.

-- Codes. An unknown is never a pass: nobody has said what is required.

CREATE FUNCTION canopy_summit.code_verdict(code text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN code = 'ok' THEN 'pass'
	WHEN code IN ('no_expiry', 'no_effective_date', 'limit_unknown', 'currency', 'currency_unknown', 'additional_insured_unknown',
		'waiver_of_subrogation_unknown', 'endorsement_unknown', 'fact_unknown', 'notice_days_unknown', 'evidence', 'pending', 'no_property', 'server_renamed') THEN 'unknown'
	ELSE 'fail' END;
COMMENT ON FUNCTION canopy_summit.code_verdict(text) IS 'verdict that a code of summit.compliance_code means: pass, unknown or fail';

CREATE FUNCTION canopy_summit.code_severity(code text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN code = 'ok' THEN 'none'
	WHEN code IN ('no_policy', 'expired', 'lapsed', 'not_yet_effective') THEN 'critical'
	WHEN code IN ('notice_days', 'notice_days_unknown', 'insured_name', 'date_window', 'evidence') THEN 'medium'
	WHEN code = 'pending' THEN 'low'
	ELSE 'high' END;
COMMENT ON FUNCTION canopy_summit.code_severity(text) IS 'how bad a code of summit.compliance_code is: none, low, medium, high or critical';

-- What the source has no letters for is written as HTML has it.
CREATE FUNCTION canopy_summit.french(words text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(replace(replace(replace(words, '&eacute;', chr(233)), '&agrave;', chr(224)), '&ecirc;', chr(234)), '&ccedil;', chr(231));
COMMENT ON FUNCTION canopy_summit.french(text) IS 'a text with the letters that its entities stand for';

SELECT canopy_summit.define_view('summit.compliance_code', 'codes of verdicts, with a sentence each that can be shown', $view$
SELECT c.code, canopy_summit.code_verdict(c.code) AS verdict, canopy_summit.code_severity(c.code) AS severity, c.text_en,
	canopy_summit.french(c.french) AS text_fr
FROM (VALUES
	('ok', 'The requirement is met.', 'L''exigence est satisfaite.'),
	('no_policy', 'No policy of this type is on file.', 'Aucune police de ce type n''est au dossier.'),
	('expired', 'The policy has expired.', 'La police est expir&eacute;e.'),
	('lapsed', 'The policy has lapsed.', 'La police est tomb&eacute;e en d&eacute;ch&eacute;ance.'),
	('not_yet_effective', 'The policy is not in force yet.', 'La police n''est pas encore en vigueur.'),
	('no_expiry', 'The certificate does not say when the policy expires.', 'Le certificat n''indique pas la date d''expiration de la police.'),
	('no_effective_date', 'The certificate does not say when the policy begins.', 'Le certificat n''indique pas la date d''entr&eacute;e en vigueur de la police.'),
	('failed_checks', 'The certificate did not pass its verification.', 'Le certificat n''a pas r&eacute;ussi sa v&eacute;rification.'),
	('limit_per_occurrence', 'The limit per occurrence is too low.', 'La limite par sinistre est insuffisante.'),
	('limit_aggregate', 'The general aggregate limit is too low.', 'La limite globale g&eacute;n&eacute;rale est insuffisante.'),
	('limit_unknown', 'The certificate does not state the limit.', 'Le certificat n''indique pas la limite.'),
	('currency', 'The amounts are in another currency than required.', 'Les montants sont dans une autre devise que celle exig&eacute;e.'),
	('currency_unknown', 'The currency of the amounts is not known.', 'La devise des montants n''est pas connue.'),
	('additional_insured', 'The required additional insured is not named.', 'L''assur&eacute; additionnel exig&eacute; n''est pas d&eacute;sign&eacute;.'),
	('additional_insured_unknown', 'It is not known whether the additional insured is named.', 'On ignore si l''assur&eacute; additionnel est d&eacute;sign&eacute;.'),
	('waiver_of_subrogation', 'Subrogation is not waived.', 'La renonciation &agrave; la subrogation est absente.'),
	('waiver_of_subrogation_unknown', 'It is not known whether subrogation is waived.', 'On ignore s''il y a renonciation &agrave; la subrogation.'),
	('endorsement', 'A required endorsement is missing.', 'Un avenant exig&eacute; est manquant.'),
	('endorsement_unknown', 'The endorsements are not known.', 'Les avenants ne sont pas connus.'),
	('fact_minimum', 'A required coverage is too low.', 'Une garantie exig&eacute;e est insuffisante.'),
	('fact_maximum', 'An amount is higher than allowed.', 'Un montant d&eacute;passe le maximum permis.'),
	('fact_unknown', 'The certificate does not state a required coverage.', 'Le certificat n''indique pas une garantie exig&eacute;e.'),
	('notice_days', 'The notice of cancellation is too short.', 'Le pr&eacute;avis de r&eacute;siliation est trop court.'),
	('notice_days_unknown', 'The certificate does not state the notice of cancellation.', 'Le certificat n''indique pas le pr&eacute;avis de r&eacute;siliation.'),
	('insured_name', 'The named insured is somebody else.', 'L''assur&eacute; d&eacute;sign&eacute; est quelqu''un d''autre.'),
	('date_window', 'The policy ends before the required date.', 'La police prend fin avant la date exig&eacute;e.'),
	('evidence', 'The certificate itself has not been received.', 'Le certificat lui-m&ecirc;me n''a pas &eacute;t&eacute; re&ccedil;u.'),
	('no_property', 'The property is not known.', 'L''immeuble n''est pas connu.'),
	('server_renamed', 'The server was renamed, and its rows are following it.', 'Le serveur a &eacute;t&eacute; renomm&eacute;, et ses lignes le suivent.'),
	('pending', 'The certificate has not been verified yet.', 'Le certificat n''a pas encore &eacute;t&eacute; v&eacute;rifi&eacute;.'))
	AS c(code, text_en, french)$view$, $notes$
code: the code, as summit.compliance has it
verdict: pass, fail or unknown; a waiver makes either of the latter waived
severity: none, low, medium, high or critical
text_en: a sentence for people, in English
text_fr: the same in French$notes$);

-- Names. Compared whole, never by a part: ABC is not ABCO Holdings, and nothing is nobody.

CREATE FUNCTION canopy_summit.name_key(name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(string_agg(CASE
			WHEN w.word IN ('incorporated', 'incorporee') THEN 'inc'
			WHEN w.word = 'corporation' THEN 'corp'
			WHEN w.word IN ('limited', 'limitee', 'ltee') THEN 'ltd'
			WHEN w.word IN ('company', 'compagnie', 'cie') THEN 'co'
			WHEN w.word = 'et' THEN 'and'
			ELSE w.word END, ' ' ORDER BY w.place), '')
	FROM string_to_table(regexp_replace(replace(regexp_replace(name_key.name, '[.''' || chr(8217) || ']', '', 'g'), '&', ' and '),
			'[[:space:]!-/:-@[-`{-~' || chr(160) || '-' || chr(191) || chr(8192) || '-' || chr(8303) || ']+', ' ', 'g'), ' ')
		WITH ORDINALITY AS w(word, place)
	WHERE w.word <> '';
END;
COMMENT ON FUNCTION canopy_summit.name_key(text) IS 'a name in lower case without punctuation, its legal form by its short word';

CREATE FUNCTION canopy_summit.name_keys(name text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT ARRAY(SELECT k.key FROM regexp_split_to_table(
			-- Accents are folded before the letters are, which the C locale knows of ASCII alone.
			lower(regexp_replace(normalize(name_keys.name, NFKD), '[' || chr(768) || '-' || chr(879) || ']', '', 'g')),
			'(?:^|[^a-z0-9])(?:o */ *a|d */ *b */ *a|operating as|doing business as)(?![a-z0-9])') AS p(part)
		CROSS JOIN LATERAL (SELECT canopy_summit.name_key(p.part)) AS k(key)
	WHERE k.key <> '');
END;
COMMENT ON FUNCTION canopy_summit.name_keys(text) IS 'what a name is compared by: that before "o/a", and that after it';

CREATE FUNCTION canopy_summit.same_name(one text, other text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1000
RETURN CASE WHEN one IS NULL OR other IS NULL THEN NULL
	-- Most are written alike.
	WHEN one = other AND one ~ '[A-Za-z0-9]{2}' THEN true
	ELSE canopy_summit.name_keys(one) && canopy_summit.name_keys(other) END;
COMMENT ON FUNCTION canopy_summit.same_name(text, text) IS
	'whether two names are one''s, but for case, accents, punctuation and how a legal form is written; NULL if one is not known';

CREATE FUNCTION canopy_summit.is_excess(policy_type text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lower(policy_type) IN ('umbrella', 'umbrella liability', 'excess', 'excess liability', 'umbrella/excess');
COMMENT ON FUNCTION canopy_summit.is_excess(text) IS 'whether a policy of this type adds to the limit of another';

CREATE FUNCTION canopy_summit.grade_rank(grade text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE grade WHEN 'fact' THEN 1 WHEN 'submitted' THEN 2 WHEN 'verified' THEN 3 END;
COMMENT ON FUNCTION canopy_summit.grade_rank(text) IS 'order of evidence: fact, submitted, verified';

-- Judging.

-- A policy that is known by several certificates is one.
CREATE FUNCTION canopy_summit.excess_limit(held canopy_summit.held_term[], primary_number text, currency text, grade text, day date)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT coalesce(sum(p.amount), 0)
	FROM (SELECT max(e.per_occurrence) AS amount FROM unnest(excess_limit.held) AS e
		WHERE canopy_summit.is_excess(e.policy_type) AND e.cover @> excess_limit.day AND e.currency = excess_limit.currency
			AND e.policy_number <> excess_limit.primary_number AND NOT e.is_failed AND e.is_insured IS NOT FALSE
			AND canopy_summit.grade_rank(e.evidence_grade) >= canopy_summit.grade_rank(excess_limit.grade)
		GROUP BY e.policy_number) AS p;
END;
COMMENT ON FUNCTION canopy_summit.excess_limit(canopy_summit.held_term[], text, text, text, date) IS
	'what umbrella and excess policies of the same holder add to a primary limit on a day; an aggregate limit is none per occurrence';

-- Expressions over a requirement q, a term t of terms h.held, and a day a.day. Texts, because a function that is given a
-- whole q and t takes them apart at each mention.
CREATE FUNCTION canopy_summit.limit_text() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN $text$CASE WHEN q.may_combine_with_excess AND t.per_occurrence < q.per_occurrence
	THEN t.per_occurrence + canopy_summit.excess_limit(h.held, t.policy_number, q.currency, q.evidence_grade, a.day)
	ELSE t.per_occurrence END$text$;
COMMENT ON FUNCTION canopy_summit.limit_text() IS 'limit per occurrence of a term, with what is over it if the requirement lets it count';

-- A number in quotation marks is a text.
CREATE FUNCTION canopy_summit.fact_text() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN $text$CASE q.fact
	WHEN 'tenants_legal_liability' THEN t.tenants_legal_liability
	WHEN 'non_owned_auto' THEN t.non_owned_auto
	WHEN 'deductible' THEN t.deductible
	WHEN 'cross_liability' THEN t.cross_liability::integer
	ELSE CASE json_typeof(t.facts -> q.fact) WHEN 'number' THEN (t.facts ->> q.fact)::numeric
		WHEN 'boolean' THEN (t.facts ->> q.fact)::boolean::integer END END$text$;
COMMENT ON FUNCTION canopy_summit.fact_text() IS 'the fact of a term that a requirement names, as a number; true is 1';

-- What fails comes before what is not known, the worse before the less bad.
CREATE FUNCTION canopy_summit.code_text() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(replace(replace($text$CASE
	WHEN t.policy_type IS NULL THEN 'no_policy'
	WHEN NOT t.cover @> a.day THEN CASE
		WHEN t.expiry_date <= a.day THEN 'expired'
		WHEN t.lapsed_on <= a.day THEN 'lapsed'
		WHEN t.effective_date > a.day THEN 'not_yet_effective'
		WHEN t.expiry_date IS NULL THEN 'no_expiry'
		WHEN t.effective_date IS NULL THEN 'no_effective_date'
		-- Between its dates, and before it came back.
		ELSE 'lapsed' END
	WHEN t.is_failed THEN 'failed_checks'
	WHEN t.currency = q.currency AND %limit < q.per_occurrence THEN 'limit_per_occurrence'
	WHEN t.currency = q.currency AND t.aggregate < q.aggregate THEN 'limit_aggregate'
	WHEN q.additional_insured AND NOT t.additional_insured THEN 'additional_insured'
	WHEN q.waiver_of_subrogation AND NOT t.waiver_of_subrogation THEN 'waiver_of_subrogation'
	WHEN q.endorsements IS NOT NULL AND NOT lower(t.endorsements::text)::jsonb @> lower(q.endorsements::text)::jsonb THEN 'endorsement'
	WHEN q.fact IS NOT NULL AND %comparable AND %fact < q.minimum THEN 'fact_minimum'
	WHEN q.fact IS NOT NULL AND %comparable AND %fact > q.maximum THEN 'fact_maximum'
	WHEN t.notice_days < q.notice_days THEN 'notice_days'
	WHEN NOT t.is_insured THEN 'insured_name'
	WHEN q.days_ahead > 0 AND t.covered_until <= a.day + q.days_ahead THEN 'date_window'
	WHEN t.currency IS DISTINCT FROM q.currency AND (num_nonnulls(q.per_occurrence, q.aggregate) > 0
		OR num_nonnulls(q.minimum, q.maximum) > 0 AND NOT %comparable)
		THEN CASE WHEN t.currency IS NULL THEN 'currency_unknown' ELSE 'currency' END
	WHEN q.per_occurrence IS NOT NULL AND t.per_occurrence IS NULL OR q.aggregate IS NOT NULL AND t.aggregate IS NULL THEN 'limit_unknown'
	WHEN q.additional_insured AND t.additional_insured IS NULL THEN 'additional_insured_unknown'
	WHEN q.waiver_of_subrogation AND t.waiver_of_subrogation IS NULL THEN 'waiver_of_subrogation_unknown'
	WHEN q.endorsements IS NOT NULL AND t.endorsements IS NULL THEN 'endorsement_unknown'
	WHEN q.fact IS NOT NULL AND %fact IS NULL
		AND (num_nonnulls(q.minimum, q.maximum) > 0 OR coalesce(t.facts ->> q.fact, '') = '') THEN 'fact_unknown'
	WHEN q.notice_days IS NOT NULL AND t.notice_days IS NULL THEN 'notice_days_unknown'
	WHEN canopy_summit.grade_rank(t.evidence_grade) < canopy_summit.grade_rank(q.evidence_grade)
		THEN CASE t.evidence_grade WHEN 'submitted' THEN 'pending' ELSE 'evidence' END
	ELSE 'ok' END$text$,
	-- What is true or false is no amount.
	'%comparable', $text$coalesce(q.currency IS NULL OR q.fact = 'cross_liability' OR t.currency = q.currency
		OR json_typeof(t.facts -> q.fact) = 'boolean', false)$text$),
	'%limit', canopy_summit.limit_text()), '%fact', canopy_summit.fact_text());
COMMENT ON FUNCTION canopy_summit.code_text() IS 'what a term comes to against a requirement on a day, as a code of summit.compliance_code; of a t that is NULL there is no policy';

CREATE FUNCTION canopy_summit.required_text() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN $text$CASE
	WHEN c.code IN ('additional_insured', 'additional_insured_unknown', 'waiver_of_subrogation', 'waiver_of_subrogation_unknown') THEN 'true'
	WHEN c.code IN ('endorsement', 'endorsement_unknown') THEN q.endorsements::text
	WHEN c.code IN ('evidence', 'pending') THEN q.evidence_grade
	WHEN c.code IN ('currency', 'currency_unknown') THEN q.currency
	WHEN c.code IN ('notice_days', 'notice_days_unknown') THEN q.notice_days::text
	WHEN c.code = 'date_window' THEN (a.day + q.days_ahead)::text
	WHEN c.code = 'fact_maximum' THEN q.maximum::text
	WHEN c.code IN ('fact_minimum', 'fact_unknown') THEN coalesce(q.minimum, q.maximum)::text
	WHEN c.code = 'limit_aggregate' OR c.code = 'limit_unknown' AND t.per_occurrence IS NOT NULL THEN q.aggregate::text
	WHEN c.code <> 'insured_name' THEN coalesce(q.per_occurrence, q.aggregate, q.minimum, q.maximum)::text END$text$;
COMMENT ON FUNCTION canopy_summit.required_text() IS 'what is required of that which code c.code is about';

-- Names and texts may be personal.
CREATE FUNCTION canopy_summit.found_text() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(replace($text$CASE
	WHEN c.code IN ('ok', 'limit_per_occurrence') THEN CASE WHEN q.per_occurrence IS NOT NULL THEN %limit
		WHEN q.aggregate IS NOT NULL THEN t.aggregate WHEN q.fact IS NOT NULL THEN %fact END::text
	WHEN c.code IN ('expired', 'date_window') THEN t.expiry_date::text
	WHEN c.code = 'lapsed' THEN t.lapsed_on::text
	WHEN c.code = 'not_yet_effective' THEN t.effective_date::text
	WHEN c.code IN ('additional_insured', 'waiver_of_subrogation') THEN 'false'
	WHEN c.code = 'limit_aggregate' THEN t.aggregate::text
	WHEN c.code IN ('fact_minimum', 'fact_maximum') THEN (%fact)::text
	WHEN c.code = 'notice_days' THEN t.notice_days::text
	WHEN c.code IN ('evidence', 'pending') THEN t.evidence_grade
	WHEN c.code = 'currency' AND t.currency ~ '^[A-Z]{3}$' THEN t.currency END$text$,
	'%limit', canopy_summit.limit_text()), '%fact', canopy_summit.fact_text());
COMMENT ON FUNCTION canopy_summit.found_text() IS 'what a term says of that which code c.code is about, as far as it is a number, a day or a word of ours';

-- Whatever their order.
DO $do$
BEGIN
	EXECUTE format($create$
CREATE OR REPLACE FUNCTION canopy_summit.best_term(q summit.requirement, held canopy_summit.held_term[], day date) RETURNS canopy_summit.held_term
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT t
	FROM (SELECT best_term.held, best_term.day) AS h(held, day) CROSS JOIN (SELECT best_term.day) AS a(day)
		CROSS JOIN LATERAL unnest(h.held) AS t
		CROSS JOIN LATERAL (SELECT %s AS code) AS c
	WHERE t.policy_type = lower(q.policy_type) AND t.competing > 0
	ORDER BY array_position('{pass,unknown,fail}', canopy_summit.code_verdict(c.code)), t.term DESC, t.policy_status_id DESC LIMIT 1;
END$create$, canopy_summit.code_text());
END
$do$;
COMMENT ON FUNCTION canopy_summit.best_term(summit.requirement, canopy_summit.held_term[], date) IS
	'of several terms that cover a day the one that comes off best against a requirement; of equals the newest';

CREATE FUNCTION canopy_summit.waived_until(waivers summit.waiver[], q summit.requirement, unit_id text, lease_id text, tenant_id text) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT max(w.ends_on) FROM unnest(waived_until.waivers) AS w
	WHERE w.requirement_set = (q).requirement_set AND coalesce(w.requirement_id = (q).requirement_id, true)
		-- What a reference has not is not waived for it.
		AND coalesce(w.unit_id = waived_until.unit_id, w.unit_id IS NULL)
		AND coalesce(w.lease_id = waived_until.lease_id, w.lease_id IS NULL)
		AND coalesce(w.tenant_id = waived_until.tenant_id, w.tenant_id IS NULL);
END;
COMMENT ON FUNCTION canopy_summit.waived_until(summit.waiver[], summit.requirement, text, text, text) IS
	'first day on which a requirement is not waived any more, by waivers that are in force';

-- Properties first, then who is there, then what each holds, then each requirement: in this order each is looked at
-- once, and one property or holder is found by indexes.
CREATE FUNCTION canopy_summit.verdict_query(day text, sets text, holders text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(replace(replace(replace(replace(replace($query$
SELECT a.server, a.environment, a.property_id, f.unit_id, f.lease_id, f.tenant_id, f.kind, f.is_primary, q.requirement_set, q.version,
	q.requirement_id, q.policy_type,
	CASE WHEN w.waived_until IS NULL THEN canopy_summit.code_verdict(c.code) ELSE 'waived' END AS verdict,
	c.code, canopy_summit.code_severity(c.code) AS severity, %required AS required, %found AS found, q.currency,
	t.policy_number::canopy_summit.personal_text AS policy_number, t.policy_status_id, t.upload_id, t.evidence_grade, w.waived_until, a.day, t.covered_until
FROM (
	SELECT p.server, p.property_id, canopy_summit.server_environment(p.server) AS environment, p.time_zone, s.kind, d.day,
		hashtextextended(p.property_id, hashtextextended(p.server, 0)) AS key, array_agg(r ORDER BY r.requirement_set, r.requirement_id) AS requirements,
		(SELECT array_agg(w) FROM summit.waiver w WHERE w.server = p.server AND md5(w.property_id) = md5(p.property_id)
			AND w.property_id = p.property_id AND w.starts_on <= d.day AND w.ends_on > d.day) AS waivers
	FROM summit.property p
		CROSS JOIN LATERAL (SELECT %day AS day) AS d
		CROSS JOIN LATERAL (SELECT 'property', p.property_id UNION ALL SELECT 'portfolio', unnest(p.portfolios)
			UNION ALL SELECT 'tag', unnest(p.tags)) AS l(scope, value)
		JOIN summit.requirement_set s ON s.scope_value = l.value AND s.scope = l.scope AND s.server = p.server
		JOIN summit.requirement r ON r.requirement_set = s.name AND r.version = s.version AND r.server = s.server
	WHERE %sets
	GROUP BY p.server, p.property_id, p.time_zone, s.kind, d.day) AS a
	-- Of each AND of its own the planner would think that it leaves half.
	JOIN %holders AS f ON hashtextextended(f.property_id, hashtextextended(f.server, 0)) = a.key
		AND CASE WHEN f.server = a.server AND f.property_id = a.property_id AND f.kind = a.kind
			AND canopy_summit.lease_problem(f.status, f.valid_from, f.valid_to, f.lease_to, a.day) IS NULL THEN true END
	CROSS JOIN LATERAL (
		SELECT array_agg(ROW(k.policy_status_id, k.upload_id, k.number, k.type, k.term,
			CASE WHEN k.cover @> a.day THEN k.covering WHEN k.covering = 0 AND k.age = 1 THEN 1 ELSE 0 END, k.effective_date, k.expiry_date, k.cover,
			-- By whatever follows without a gap; mostly nothing does.
			CASE WHEN k.cover @> a.day THEN CASE WHEN k.terms = 1 AND k.cover @> daterange(a.day, k.expiry_date) THEN k.expiry_date
				ELSE (SELECT upper(e.days) FROM unnest(k.covered) AS e(days) WHERE e.days @> a.day) END END,
			CASE k.status WHEN 'lapsed' THEN coalesce((k.lapsed_at AT TIME ZONE a.time_zone)::date, '-infinity') END,
			CASE WHEN k.status IN ('verified', 'reinstated') OR k.status = 'lapsed' AND k.verified_at IS NOT NULL THEN 'verified'
				WHEN k.status IS NOT NULL THEN 'submitted' ELSE 'fact' END,
			k.failed_checks IS NOT NULL, canopy_summit.same_name(k.insured_name, n.name), k.currency,
			-- Not a number is more than any; neither is endless.
			nullif(nullif(k.per_occurrence, 'NaN'), 'Infinity'), nullif(nullif(k.aggregate, 'NaN'), 'Infinity'),
			nullif(nullif(k.deductible, 'NaN'), 'Infinity'), nullif(nullif(k.tenants_legal_liability, 'NaN'), 'Infinity'),
			nullif(nullif(k.non_owned_auto, 'NaN'), 'Infinity'), k.cross_liability, k.additional_insured, k.waiver_of_subrogation,
			k.cancellation_notice_days, k.endorsements, k.facts::json)::canopy_summit.held_term) AS held
		FROM (SELECT coalesce(f.name, nullif(concat_ws(' ', f.first_name, f.last_name), ''))) AS n(name) CROSS JOIN LATERAL (
			SELECT k.*, o.policy_number AS number, lower(k.policy_type) AS type,
				count(*) FILTER (WHERE k.cover @> a.day) OVER (PARTITION BY lower(k.policy_type)) AS covering,
				count(*) OVER (PARTITION BY lower(k.policy_type)) AS terms, range_agg(k.cover) OVER (PARTITION BY lower(k.policy_type)) AS covered,
				-- What is to come says less than what has ended.
				row_number() OVER (PARTITION BY lower(k.policy_type)
					ORDER BY coalesce(k.effective_date > a.day, false), k.term DESC, k.policy_status_id DESC) AS age
			FROM canopy_summit.policy_status o
				JOIN canopy_summit.certificate_known k ON k.policy_status_id = o.policy_status_id AND k.known_to = 'infinity'
			-- The same lease or tenant; where neither is told of both, the same unit, or nothing but the property.
			WHERE (hashtextextended(o.lease_id, hashtextextended(o.property_id, hashtextextended(o.server, 0))) = hashtextextended(f.lease_id, a.key)
					OR hashtextextended(o.tenant_id, hashtextextended(o.property_id, hashtextextended(o.server, 0))) = hashtextextended(f.tenant_id, a.key)
					OR hashtextextended(o.property_id, hashtextextended(o.server, 0))
						= CASE WHEN f.kind = 'vendor' OR f.lease_id IS NULL AND f.tenant_id IS NULL THEN a.key END
						AND o.lease_id IS NULL AND o.tenant_id IS NULL)
				AND o.server = f.server AND o.property_id = f.property_id
				-- No id that both have differs.
				AND coalesce(o.unit_id = f.unit_id, true) AND coalesce(o.lease_id = f.lease_id, true) AND coalesce(o.tenant_id = f.tenant_id, true)
				AND (o.lease_id = f.lease_id OR o.tenant_id = f.tenant_id
					OR f.lease_id IS NULL AND f.tenant_id IS NULL AND o.unit_id IS NOT DISTINCT FROM f.unit_id
					OR f.kind = 'vendor' AND o.unit_id IS NULL
						-- A vendor's that names nobody but the insured.
						AND canopy_summit.same_name(k.insured_name, n.name))) AS k) AS h
	CROSS JOIN LATERAL unnest(a.requirements) AS q
	LEFT JOIN LATERAL unnest(h.held) AS t ON t.policy_type = lower(q.policy_type) AND CASE t.competing WHEN 0 THEN false WHEN 1 THEN true
		ELSE (t.policy_status_id, t.term) = (SELECT b.policy_status_id, b.term FROM canopy_summit.best_term(q, h.held, a.day) AS b) END
	-- Without OFFSET it would be worked out again wherever it is named.
	CROSS JOIN LATERAL (SELECT %code AS code OFFSET 0) AS c
	CROSS JOIN LATERAL (SELECT CASE WHEN a.waivers IS NOT NULL AND c.code <> 'ok'
		THEN canopy_summit.waived_until(a.waivers, q, f.unit_id, f.lease_id, f.tenant_id) END AS waived_until) AS w$query$,
	'%code', canopy_summit.code_text()), '%required', canopy_summit.required_text()), '%found', canopy_summit.found_text()),
	'%day', day), '%sets', sets), '%holders', holders);
COMMENT ON FUNCTION canopy_summit.verdict_query(text, text, text) IS
	'the query for verdicts, a row a reference and requirement: on a day, which may be that at property p; by sets s that fit a condition; of references in that table or function';

CREATE FUNCTION canopy_summit.sets_in_force() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN $condition$(s.status = 'published' AND s.starts_on <= d.day AND coalesce(s.ends_on > d.day, true) AND NOT EXISTS (
		SELECT FROM summit.requirement_set n WHERE n.name = s.name AND n.server = s.server AND n.status = 'published'
			AND n.version > s.version AND n.starts_on <= d.day AND coalesce(n.ends_on > d.day, true)))$condition$;
COMMENT ON FUNCTION canopy_summit.sets_in_force() IS 'condition for canopy_summit.verdict_query(): the highest version of each set that is published and in force';

-- Today, where each property is.
DO $$
BEGIN
	EXECUTE 'CREATE OR REPLACE VIEW canopy_summit.verdict_today AS ' || canopy_summit.verdict_query(
		'(now() AT TIME ZONE p.time_zone)::date', canopy_summit.sets_in_force(), 'summit.property_reference');
END
$$;
COMMENT ON VIEW canopy_summit.verdict_today IS 'verdicts as they are today; nothing is masked';
SELECT canopy_summit.describe('canopy_summit.verdict_today', $notes$
server: foreign server, by its name; of one that was dropped, its last
environment: production or sandbox: that of the server now
property_id: the property, by its id in the property system
unit_id: the unit, likewise
lease_id: the lease, likewise
tenant_id: the tenant or vendor, likewise
kind: tenant or vendor
requirement_set: name of the set that requires it
version: version of the set that is in force
requirement_id: the requirement
policy_type: kind of policy that it is about
verdict: pass; fail; unknown: nobody has said what is required; or waived
code: why, as in summit.compliance_code; of a waived one what it would be
severity: how bad that is: none, low, medium, high or critical
required: what is required, of that which the code is about
found: what the certificate says; NULL: nothing, or a name or text
currency: currency of what is required; nothing is converted
is_primary: the lease is this tenant's, and not that of a roommate's alone
policy_number: number of the policy by which it was judged
policy_status_id: its policy and holder, in summit.policy_status
upload_id: its upload, in summit.upload_status
evidence_grade: fact: somebody has said so; submitted: Summit has the certificate; verified: and has verified it
waived_until: first day on which it is not waived any more
day: today, where the property is
covered_until: first day on which the holder is not covered any more by policies of this type, whatever they say$notes$);

SELECT canopy_summit.define_view('summit.compliance', 'whether those who are at a property have what is required of them today: a row a reference and requirement', $view$
SELECT v.server, v.environment, v.property_id, v.unit_id, v.lease_id, v.tenant_id, v.kind, v.requirement_set, v.version, v.requirement_id,
	v.policy_type, v.verdict, v.code, v.severity, v.required, v.found, v.currency, v.policy_number, v.upload_id, v.evidence_grade, v.waived_until
FROM canopy_summit.verdict_today v$view$);

CREATE FUNCTION canopy_summit.verdicts_on(d date, OUT server text, OUT environment text, OUT property_id text, OUT unit_id text, OUT lease_id text,
	OUT tenant_id text, OUT kind text, OUT requirement_set text, OUT version integer, OUT requirement_id bigint, OUT policy_type text,
	OUT verdict text, OUT code text, OUT severity text, OUT required text, OUT found text, OUT currency text, OUT policy_status_id bigint,
	OUT upload_id bigint, OUT evidence_grade text, OUT waived_until date)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100000
-- To compile a plan of this many expressions takes longer than to run it.
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	RETURN QUERY EXECUTE 'SELECT v.server, v.environment, v.property_id, v.unit_id, v.lease_id, v.tenant_id, v.kind, v.requirement_set, v.version,
			v.requirement_id, v.policy_type, v.verdict, v.code, v.severity, v.required, v.found, v.currency, v.policy_status_id, v.upload_id,
			v.evidence_grade, v.waived_until
		FROM (' || canopy_summit.verdict_query('$1', canopy_summit.sets_in_force(), 'summit.property_reference') || ') AS v' USING d;
END
$$;
COMMENT ON FUNCTION canopy_summit.verdicts_on(date) IS 'verdicts on a day, with nothing in them that is personal';

-- Numbers of policies come from a view that masks them for whoever asks.
SELECT canopy_summit.define_view('summit.policy_number', 'numbers of policies, by their keys',
	'SELECT p.policy_status_id, p.policy_number FROM canopy_summit.policy_status p', $notes$
policy_status_id: the policy and holder, in summit.policy_status
policy_number: number of the policy$notes$);

CREATE FUNCTION summit.compliance_on(d date) RETURNS SETOF summit.compliance
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT v.server, v.environment, v.property_id, v.unit_id, v.lease_id, v.tenant_id, v.kind, v.requirement_set, v.version, v.requirement_id,
		v.policy_type, v.verdict, v.code, v.severity, v.required, v.found, v.currency, n.policy_number, v.upload_id, v.evidence_grade, v.waived_until
	FROM canopy_summit.verdicts_on(compliance_on.d) AS v LEFT JOIN summit.policy_number n ON n.policy_status_id = v.policy_status_id;
END;
COMMENT ON FUNCTION summit.compliance_on(date) IS 'summit.compliance as it is on another day, a local date of the properties, by what is known now';

-- Leases, in the words of who looks after them. Whoever lives there must have it all.
SELECT canopy_summit.define_view('summit.lease_status', 'leases of which anything is required, as property managers say it: a row a lease', $view$
SELECT l.server, l.environment, l.property_id, l.unit_id, l.lease_id, l.tenant_id, l.status, l.requirements, l.open_requirements, l.covered_until,
	round(avg((l.status IN ('Compliant', 'Renewal due'))::integer) OVER (PARTITION BY l.server, l.property_id), 4) AS property_share
FROM (
	SELECT v.server, v.environment, v.property_id, max(v.unit_id) AS unit_id, v.lease_id, min(v.tenant_id) FILTER (WHERE v.is_primary) AS tenant_id,
		CASE WHEN bool_and(v.code = 'no_policy' AND v.verdict = 'fail') THEN 'No policy on file'
			WHEN bool_or(v.code IN ('expired', 'lapsed') AND v.verdict = 'fail') THEN 'Expired'
			WHEN bool_or(v.verdict = 'fail') THEN 'Non-compliant'
			WHEN bool_or(v.verdict = 'unknown') THEN 'Pending'
			WHEN min(v.covered_until) FILTER (WHERE v.verdict = 'pass') <= v.day + 30 THEN 'Renewal due'
			ELSE 'Compliant' END AS status,
		count(*) AS requirements, count(*) FILTER (WHERE v.verdict IN ('fail', 'unknown')) AS open_requirements, min(v.covered_until) FILTER (WHERE v.verdict = 'pass') AS covered_until
	FROM canopy_summit.verdict_today v
	WHERE v.kind = 'tenant'
	GROUP BY v.server, v.environment, v.property_id, v.day, v.lease_id, CASE WHEN v.lease_id IS NULL THEN v.unit_id END,
		CASE WHEN v.lease_id IS NULL THEN v.tenant_id END) AS l$view$, $notes$
property_id: the property, by its id in the property system
unit_id: the unit, likewise
lease_id: the lease, likewise; NULL: the roster has none
tenant_id: the tenant, likewise; of several one whose lease it is
status: Compliant; Renewal due: so it is, for 30 days at most; Pending: not all is known, or verified; Non-compliant; Expired: so is a policy, or it has lapsed; No policy on file
requirements: requirements of all tenants of the lease
open_requirements: those that are not met, not known or not verified, and not waived
covered_until: first day on which any of what is required is not covered any more
property_share: share of the property's leases that are Compliant or Renewal due$notes$);

-- What would be.
CREATE FUNCTION canopy_summit.worst_verdict(verdicts text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN 'fail' = ANY (verdicts) THEN 'fail' WHEN 'unknown' = ANY (verdicts) THEN 'unknown'
	WHEN 'waived' = ANY (verdicts) THEN 'waived' WHEN 'pass' = ANY (verdicts) THEN 'pass' END;
COMMENT ON FUNCTION canopy_summit.worst_verdict(text[]) IS 'the worst of verdicts; NULL of none';

CREATE FUNCTION canopy_summit.what_if(requirement_set text, version integer, asked text, OUT server text, OUT property_id text,
	OUT unit_id text, OUT lease_id text, OUT tenant_id text, OUT kind text, OUT before text, OUT after text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	wanted CONSTANT text := canopy_summit.default_summit_server(asked);
	today CONSTANT text := '(now() AT TIME ZONE p.time_zone)::date';
	verdicts CONSTANT text := 'SELECT v.server, v.property_id, v.unit_id, v.lease_id, v.tenant_id, v.kind,
		canopy_summit.worst_verdict(array_agg(v.verdict)) AS verdict FROM (%s) AS v GROUP BY 1, 2, 3, 4, 5, 6';
BEGIN
	IF NOT EXISTS (SELECT FROM summit.requirement_set s WHERE s.name = $1 AND s.version = $2 AND s.server = wanted) THEN
		RAISE EXCEPTION 'requirement set "%" has no version % on server "%"', $1, $2, wanted
			USING ERRCODE = 'invalid_parameter_value', HINT = 'summit.requirement_set has the sets and their versions.';
	END IF;
	-- Ids may be NULL, which the text of a row tells from any other.
	RETURN QUERY EXECUTE format('WITH former AS MATERIALIZED (%s), next AS MATERIALIZED (%s)
		SELECT coalesce(b.server, a.server), coalesce(b.property_id, a.property_id), coalesce(b.unit_id, a.unit_id),
			coalesce(b.lease_id, a.lease_id), coalesce(b.tenant_id, a.tenant_id), coalesce(b.kind, a.kind), b.verdict, a.verdict
		FROM former b FULL JOIN next a ON ROW(b.server, b.property_id, b.unit_id, b.lease_id, b.tenant_id, b.kind)::text
			= ROW(a.server, a.property_id, a.unit_id, a.lease_id, a.tenant_id, a.kind)::text
		WHERE b.verdict IS DISTINCT FROM a.verdict ORDER BY 1, 2, 3, 4, 5, 6',
		format(verdicts, canopy_summit.verdict_query(today, 's.server = $3 AND s.name = $1 AND ' || canopy_summit.sets_in_force(),
			'summit.property_reference')),
		format(verdicts, canopy_summit.verdict_query(today, 's.server = $3 AND s.name = $1 AND s.version = $2', 'summit.property_reference')))
	USING $1, $2, wanted;
END
$$;
COMMENT ON FUNCTION canopy_summit.what_if(text, integer, text) IS 'what summit_what_if() returns';

CREATE FUNCTION @extschema@.summit_what_if(requirement_set text, version integer, server name DEFAULT NULL, OUT server text, OUT property_id text,
	OUT unit_id text, OUT lease_id text, OUT tenant_id text, OUT kind text, OUT before text, OUT after text)
RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT w.server, w.property_id, w.unit_id, w.lease_id, w.tenant_id, w.kind, w.before, w.after
	FROM canopy_summit.what_if($1, $2, $3::text) AS w;
END;
COMMENT ON FUNCTION @extschema@.summit_what_if(text, integer, name) IS
	'references whose verdict would be another one today if this version of a set were in force, the worst of its requirements each; NULL: nothing is required';

-- For who asks about one holder, such as before a payment.

CREATE FUNCTION canopy_summit.holder_references(server text, property_id text, unit_id text, lease_id text, tenant_id text, day date)
RETURNS summit.property_reference[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known summit.property_reference[];
	given summit.property_reference;
BEGIN
	known := ARRAY(SELECT f FROM summit.property_reference f
		WHERE f.server = $1 AND md5(f.property_id) = md5($2) AND f.property_id = $2
			AND (md5(f.lease_id) = md5($4) OR md5(f.tenant_id) = md5($5) OR $4 IS NULL AND $5 IS NULL AND md5(f.unit_id) = md5($3))
			AND coalesce(f.unit_id = $3, true) AND coalesce(f.lease_id = $4, true) AND coalesce(f.tenant_id = $5, true)
			AND canopy_summit.lease_problem(f.status, f.valid_from, f.valid_to, f.lease_to, $6) IS NULL);
	IF known = '{}' THEN
		given.server := $1;
		given.property_id := $2;
		given.unit_id := $3;
		given.lease_id := $4;
		given.tenant_id := $5;
		given.kind := 'tenant';
		known := ARRAY[given];
	END IF;
	RETURN known;
END
$$;
COMMENT ON FUNCTION canopy_summit.holder_references(text, text, text, text, text, date) IS
	'references of a roster that fit these ids on a day; if there is none, the ids themselves, as a tenant''s';

-- Its plan is kept: to make it takes longer than to run it.
DO $do$
BEGIN
	EXECUTE format($create$
CREATE OR REPLACE FUNCTION canopy_summit.holder_verdicts(server text, property_id text, unit_id text, lease_id text, tenant_id text, on_day date,
	OUT requirement_set text, OUT version integer, OUT requirement_id bigint, OUT policy_type text, OUT verdict text, OUT code text,
	OUT severity text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE ROWS 5
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $function$
#variable_conflict use_column
DECLARE
	holders CONSTANT summit.property_reference[] := canopy_summit.holder_references($1, $2, $3, $4, $5, $6);
BEGIN
	RETURN QUERY SELECT v.requirement_set, v.version, v.requirement_id, v.policy_type, v.verdict, v.code, v.severity FROM (%s) AS v;
END
$function$$create$, canopy_summit.verdict_query('$6', 'p.server = $1 AND p.property_id = $2 AND ' || canopy_summit.sets_in_force(), 'unnest(holders)'));
END
$do$;
COMMENT ON FUNCTION canopy_summit.holder_verdicts(text, text, text, text, text, date) IS
	'verdicts on a day for those whom a roster has by these ids, of whatever kind; if it has nobody, for a tenant of these ids; a row a reference and requirement';

-- What managers write.

CREATE FUNCTION canopy_summit.requirement_set_check(new summit.requirement_set) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	problem text := CASE WHEN coalesce(new.name, '') = '' THEN 'a requirement set needs a name'
		WHEN new.version < 1 THEN 'version must be 1 or more'
		WHEN new.kind NOT IN ('tenant', 'vendor') THEN 'kind must be tenant or vendor'
		WHEN new.scope IS NULL OR new.scope NOT IN ('property', 'portfolio', 'tag') THEN 'scope must be property, portfolio or tag'
		WHEN coalesce(new.scope_value, '') = '' THEN 'scope_value must name a property, portfolio or tag'
		WHEN new.status NOT IN ('draft', 'published') THEN 'status must be draft or published'
		WHEN new.ends_on <= new.starts_on THEN 'ends_on must be after starts_on' END;
BEGIN
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF new.scope = 'property' AND NOT EXISTS (
			SELECT FROM summit.property p WHERE p.property_id = new.scope_value AND p.server = new.server) THEN
		RAISE EXCEPTION 'property "%" is not in summit.property', new.scope_value
			USING ERRCODE = 'invalid_parameter_value', HINT = 'INSERT it there with its time zone: a day begins where the property is.';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.requirement_set_check(summit.requirement_set) IS 'error 22023: a set is of no kind or scope, ends before it begins, or is of a property without time zone';

CREATE FUNCTION canopy_summit.requirement_set_fill() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.server := canopy_summit.hold_name(canopy_summit.default_summit_server(NEW.server));
	PERFORM canopy_summit.follow('requirement_set', 'name', NEW.server, ARRAY[NEW.name]);
	PERFORM canopy_summit.follow('property', 'property_id', NEW.server, ARRAY[NEW.scope_value]);
	NEW.version := coalesce(NEW.version, (SELECT max(s.version) + 1 FROM summit.requirement_set s
		WHERE s.name = NEW.name AND s.server = NEW.server), 1);
	NEW.kind := coalesce(NEW.kind, 'tenant');
	NEW.status := coalesce(NEW.status, 'draft');
	NEW.recorded_at := now();
	NEW.recorded_by := session_user;
	PERFORM canopy_summit.requirement_set_check(NEW);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.requirement_set_fill() IS 'trigger: checks a version of a set, and fills the engine''s columns';

CREATE FUNCTION canopy_summit.requirement_set_change() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF OLD.status = 'published' THEN
		RAISE EXCEPTION 'version % of requirement set "%" is published', OLD.version, OLD.name
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Make another version: of those in force the highest counts.';
	END IF;
	IF TG_OP = 'DELETE' THEN
		DELETE FROM summit.requirement r WHERE r.requirement_set = OLD.name AND r.version = OLD.version AND r.server = OLD.server;
		RETURN OLD;
	END IF;
	PERFORM canopy_summit.requirement_set_check(NEW);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.requirement_set_change() IS 'trigger: error 55000 for a version that is published; a draft goes with its requirements';

-- Restored rows have been checked; a server that is renamed changes nothing.
CREATE TRIGGER requirement_set_fill BEFORE INSERT ON summit.requirement_set
	FOR EACH ROW WHEN (NEW.recorded_at IS NULL) EXECUTE FUNCTION canopy_summit.requirement_set_fill();
CREATE TRIGGER requirement_set_change BEFORE DELETE OR UPDATE OF name, version, kind, scope, scope_value, starts_on, ends_on, status, comment
	ON summit.requirement_set FOR EACH ROW EXECUTE FUNCTION canopy_summit.requirement_set_change();

-- Of a fact that has a column of its own the column is the requirement.
CREATE FUNCTION canopy_summit.requirement_check(new summit.requirement) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	problem text := CASE WHEN coalesce(new.policy_type, '') = '' THEN 'a requirement needs a policy_type'
		WHEN NOT coalesce(new.per_occurrence >= 0 AND new.per_occurrence < 'Infinity', true)
			OR NOT coalesce(new.aggregate >= 0 AND new.aggregate < 'Infinity', true)
			OR NOT coalesce(new.minimum < 'Infinity', true) OR NOT coalesce(new.maximum < 'Infinity', true) THEN 'limits must be amounts'
		WHEN new.minimum > new.maximum THEN 'minimum is more than maximum'
		WHEN num_nonnulls(new.minimum, new.maximum) > 0 AND new.fact IS NULL THEN 'minimum and maximum need a fact'
		WHEN new.fact = '' THEN 'fact must be a name'
		WHEN new.fact IN ('per_occurrence', 'aggregate', 'additional_insured', 'waiver_of_subrogation', 'endorsements',
			'cancellation_notice_days', 'currency') THEN format('fact "%s" has a column of its own', new.fact)
		WHEN num_nonnulls(new.per_occurrence, new.aggregate) > 0 AND new.currency IS NULL THEN 'limits need a currency'
		WHEN new.currency !~ '^[A-Z]{3}$' THEN 'currency must have three capital letters'
		WHEN new.may_combine_with_excess AND (new.per_occurrence IS NULL OR canopy_summit.is_excess(new.policy_type))
			THEN 'only a limit per occurrence of a primary policy may be combined with excess'
		WHEN jsonb_typeof(new.endorsements) <> 'array' OR jsonb_path_exists(new.endorsements, '$[*] ? (@.type() != "string")')
			THEN 'endorsements must be an array of texts'
		WHEN new.notice_days < 0 OR new.days_ahead NOT BETWEEN 0 AND 3660 THEN 'days must not be negative, days_ahead 3660 at most'
		WHEN canopy_summit.grade_rank(new.evidence_grade) IS NULL THEN 'evidence_grade must be fact, submitted or verified' END;
BEGIN
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.requirement_check(summit.requirement) IS 'error 22023: a requirement that could not be judged';

CREATE FUNCTION canopy_summit.requirement_draft(server text, requirement_set text, version integer, must_exist boolean) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	status text;
BEGIN
	-- Nobody publishes it meanwhile.
	SELECT s.status INTO status FROM summit.requirement_set s
	WHERE s.name = $2 AND s.version = $3 AND s.server = $1 FOR SHARE;
	IF NOT FOUND AND must_exist THEN
		RAISE EXCEPTION 'requirement set "%" has no version %', $2, $3 USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF status = 'published' THEN
		RAISE EXCEPTION 'version % of requirement set "%" is published', $3, $2
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Make another version: of those in force the highest counts.';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.requirement_draft(text, text, integer, boolean) IS 'error 55000: a version of a set is published; 22023: there is none';

CREATE FUNCTION canopy_summit.requirement_fill() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		NEW.server := canopy_summit.hold_name(canopy_summit.default_summit_server(NEW.server));
		PERFORM canopy_summit.follow('requirement_set', 'name', NEW.server, ARRAY[NEW.requirement_set]);
		NEW.requirement_id := nextval('canopy_summit.requirement_id_seq');
		NEW.may_combine_with_excess := coalesce(NEW.may_combine_with_excess, false);
		NEW.additional_insured := coalesce(NEW.additional_insured, false);
		NEW.waiver_of_subrogation := coalesce(NEW.waiver_of_subrogation, false);
		NEW.days_ahead := coalesce(NEW.days_ahead, 0);
		NEW.evidence_grade := coalesce(NEW.evidence_grade, 'submitted');
	ELSE
		PERFORM canopy_summit.requirement_draft(OLD.server, OLD.requirement_set, OLD.version, false);
	END IF;
	PERFORM canopy_summit.requirement_draft(NEW.server, NEW.requirement_set, NEW.version, true);
	PERFORM canopy_summit.requirement_check(NEW);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.requirement_fill() IS 'trigger: checks a requirement of a draft, and fills in what is not given';

CREATE FUNCTION canopy_summit.requirement_delete() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM canopy_summit.requirement_draft(OLD.server, OLD.requirement_set, OLD.version, false);
	RETURN OLD;
END
$$;
COMMENT ON FUNCTION canopy_summit.requirement_delete() IS 'trigger: error 55000 for a requirement that is published';

CREATE TRIGGER requirement_fill BEFORE INSERT ON summit.requirement
	FOR EACH ROW WHEN (NEW.requirement_id IS NULL) EXECUTE FUNCTION canopy_summit.requirement_fill();
CREATE TRIGGER requirement_change BEFORE UPDATE OF requirement_id, requirement_set, version, policy_type, per_occurrence, aggregate, fact, minimum,
	maximum, currency, may_combine_with_excess, additional_insured, waiver_of_subrogation, endorsements, notice_days, days_ahead, evidence_grade
	ON summit.requirement FOR EACH ROW EXECUTE FUNCTION canopy_summit.requirement_fill();
CREATE TRIGGER requirement_delete BEFORE DELETE ON summit.requirement
	FOR EACH ROW EXECUTE FUNCTION canopy_summit.requirement_delete();

CREATE FUNCTION canopy_summit.waiver_check(new summit.waiver) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	problem text := CASE WHEN coalesce(new.reason, '') = '' THEN 'a waiver needs a reason'
		WHEN coalesce(new.approved_by, '') = '' THEN 'a waiver needs somebody who has approved it'
		WHEN coalesce(new.property_id, '') = '' THEN 'a waiver needs a property'
		WHEN new.ends_on IS NULL OR NOT isfinite(new.ends_on) THEN 'a waiver needs a day on which it ends'
		WHEN new.ends_on < new.starts_on THEN 'ends_on must not be before starts_on' END;
BEGIN
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION '%', problem
			USING ERRCODE = 'invalid_parameter_value', HINT = 'ends_on is the first day on which nothing is waived any more.';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.waiver_check(summit.waiver) IS 'error 22023: a waiver without reason, approver, property or end';

CREATE FUNCTION canopy_summit.waiver_fill() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.server := canopy_summit.hold_name(canopy_summit.default_summit_server(NEW.server));
	PERFORM canopy_summit.follow('requirement_set', 'name', NEW.server, ARRAY[NEW.requirement_set]);
	PERFORM canopy_summit.follow('requirement', 'requirement_set', NEW.server, ARRAY[NEW.requirement_set]);
	NEW.starts_on := coalesce(NEW.starts_on, canopy_summit.property_date(NEW.server, NEW.property_id));
	PERFORM canopy_summit.waiver_check(NEW);
	IF NOT EXISTS (SELECT FROM summit.requirement_set s WHERE s.name = NEW.requirement_set AND s.server = NEW.server) OR NEW.requirement_id IS NOT NULL
			AND NOT EXISTS (SELECT FROM summit.requirement r
				WHERE r.requirement_id = NEW.requirement_id AND r.requirement_set = NEW.requirement_set AND r.server = NEW.server) THEN
		RAISE EXCEPTION 'there is no such requirement in set "%"', NEW.requirement_set USING ERRCODE = 'invalid_parameter_value';
	END IF;
	NEW.waiver_id := nextval('canopy_summit.waiver_id_seq');
	NEW.recorded_at := now();
	NEW.recorded_by := session_user;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.waiver_fill() IS 'trigger: checks a waiver, and fills the engine''s columns';

CREATE FUNCTION canopy_summit.waiver_change() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM canopy_summit.waiver_check(NEW);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.waiver_change() IS 'trigger: checks the day on which a waiver is to end';

CREATE TRIGGER waiver_fill BEFORE INSERT ON summit.waiver
	FOR EACH ROW WHEN (NEW.waiver_id IS NULL) EXECUTE FUNCTION canopy_summit.waiver_fill();
CREATE TRIGGER waiver_change BEFORE UPDATE OF ends_on ON summit.waiver
	FOR EACH ROW EXECUTE FUNCTION canopy_summit.waiver_change();

SELECT canopy_summit.describe('summit.requirement_set', $notes$
server: foreign server, by its name; of setting canopy_summit.summit_server unless given
name: name of the set
version: its version; the next one unless given
kind: of whom it is required: tenant or vendor
scope: where: property, portfolio or tag
scope_value: the property_id, or a value of summit.property.portfolios or tags
starts_on: first day on which it is in force, where the property is
ends_on: first day on which it is not any more; NULL: until a higher version is
status: draft, or published, which does not change any more; of published versions in force the highest counts
comment: whatever is to be remembered
recorded_at: when it was recorded
recorded_by: who has recorded it$notes$);

SELECT canopy_summit.describe('summit.requirement', $notes$
requirement_id: key of the requirement, filled by the engine; a row that comes with one is a restored row
server: foreign server, by its name; of setting canopy_summit.summit_server unless given
requirement_set: the set, by its name
version: its version, which must be a draft
policy_type: kind of policy, such as CGL or Renters, in any case of letters
per_occurrence: limit per occurrence that it must have at least, in whole units of currency
aggregate: general aggregate limit, likewise
fact: a fact beyond the other columns, by its name in summit.certificate: tenants_legal_liability, non_owned_auto, cross_liability, deductible, or any in facts
minimum: least that this fact may be; of true and false 1 and 0; if neither is given, it must be stated
maximum: most that it may be
currency: currency of the amounts, by its three letters; nothing is converted
may_combine_with_excess: umbrella and excess policies of the same holder add to the limit per occurrence
additional_insured: the holder must be an additional insured, by the flag
waiver_of_subrogation: subrogation must be waived, by the flag
endorsements: endorsements that it must have, as an array of their codes or names, in any case of letters
notice_days: days of notice before a cancellation, at least
days_ahead: days after today that must be covered, too, if by the next term
evidence_grade: what it is known by, at least: fact, submitted (unless given) or verified$notes$);

SELECT canopy_summit.describe('summit.waiver', $notes$
waiver_id: key of the waiver, filled by the engine; a row that comes with one is a restored row
server: foreign server, by its name; of setting canopy_summit.summit_server unless given
requirement_set: the set, by its name, in all its versions
requirement_id: the one requirement of it that is waived, and so of one version; NULL: all
property_id: the property
unit_id: the one unit; NULL: all
lease_id: the one lease; NULL: all
tenant_id: the one tenant or vendor; NULL: all
starts_on: first day on which it is waived; today at the property unless given
ends_on: first day on which it is not any more
reason: why
approved_by: who has approved it
recorded_at: when it was recorded
recorded_by: who has recorded it$notes$);

-- Views are made of these: whoever reads the views executes them.
SELECT canopy_summit.allow('reader manager', 'function',
	'code_verdict code_severity french name_key name_keys same_name is_excess grade_rank excess_limit best_term waived_until verdicts_on compliance_on what_if summit_what_if');
SELECT canopy_summit.allow('manager', 'table', 'summit.compliance summit.compliance_code summit.lease_status summit.policy_number');
SELECT canopy_summit.allow('nobody', 'table', 'canopy_summit.verdict_today');
SELECT canopy_summit.allow('nobody', 'function',
	'requirement_set_check requirement_check requirement_draft waiver_check holder_references worst_verdict');
SELECT canopy_summit.allow('manager admin', 'table', 'summit.requirement_set',
	'SELECT, DELETE, INSERT (server, name, version, kind, scope, scope_value, starts_on, ends_on, status, comment), UPDATE (kind, scope, scope_value, starts_on, ends_on, status, comment)');
SELECT canopy_summit.allow('manager admin', 'table', 'summit.requirement',
	'SELECT, DELETE, INSERT (server, requirement_set, version, policy_type, per_occurrence, aggregate, fact, minimum, maximum, currency, may_combine_with_excess, additional_insured, waiver_of_subrogation, endorsements, notice_days, days_ahead, evidence_grade), UPDATE (policy_type, per_occurrence, aggregate, fact, minimum, maximum, currency, may_combine_with_excess, additional_insured, waiver_of_subrogation, endorsements, notice_days, days_ahead, evidence_grade)');
SELECT canopy_summit.allow('manager admin', 'table', 'summit.waiver',
	'SELECT, INSERT (server, requirement_set, requirement_id, property_id, unit_id, lease_id, tenant_id, starts_on, ends_on, reason, approved_by), UPDATE (ends_on)');
