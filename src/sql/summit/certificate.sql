-- summit/certificate.sql: what events and facts say of a certificate, folded into terms.
-- Replaceable.
--
-- The fold takes events in the order in which they occurred, whatever the order in which they came, and is made anew
-- whenever one comes: any permutation ends the same. The caller has the lock of the policy.

CREATE FUNCTION canopy_summit.status_rank(status text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT array_position('{submitted,verified,lapsed,reinstated}', status_rank.status);
END;
COMMENT ON FUNCTION canopy_summit.status_rank(text) IS 'order of events that occurred in the same second';

CREATE FUNCTION canopy_summit.failed_checks(checks jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_agg(coalesce(c.value ->> 'name', '') ORDER BY c.place)
	FROM jsonb_array_elements(CASE jsonb_typeof(failed_checks.checks) WHEN 'array' THEN failed_checks.checks ELSE '[]' END)
		WITH ORDINALITY AS c(value, place)
	WHERE lower(c.value ->> 'result') IN ('pass', 'passed') IS NOT TRUE;
END;
COMMENT ON FUNCTION canopy_summit.failed_checks(jsonb) IS
	'names of those checks of an event that did not pass, whatever else their result is; NULL if all did';

-- Which term an event is about. One without dates is about the newest one that was told, but nothing lapses or comes
-- back before it begins.
CREATE FUNCTION canopy_summit.term_of_event(terms canopy_summit.certificate_term[], status text, effective date, expiry date, day date)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH term AS (
		SELECT t.place::integer, t.term, t.effective_date, t.expiry_date,
			row_number() OVER (ORDER BY term_of_event.status IN ('lapsed', 'reinstated') AND t.effective_date > term_of_event.day,
				t.term DESC, t.place DESC) AS age
		FROM unnest(term_of_event.terms) WITH ORDINALITY AS t(term, effective_date, expiry_date, basis, cover, status, status_at, observed_at,
			actor, reason_code, reason_detail, verified_at, lapsed_at, reinstated_at, failed_checks, policy_type, holder_name, coi_pdf_id,
			evidence, upload_id, source, facts, place))
	SELECT CASE
		WHEN term_of_event.effective IS NOT NULL THEN (
			SELECT t.place FROM term t
			WHERE t.term = term_of_event.effective
				-- Nobody had told its first day until now.
				OR t.effective_date IS NULL AND coalesce(t.expiry_date = term_of_event.expiry, true)
				OR term_of_event.status = 'reinstated' AND term_of_event.effective > t.effective_date
					AND term_of_event.effective < t.expiry_date
			ORDER BY t.term = term_of_event.effective DESC, t.age LIMIT 1)
		WHEN term_of_event.status <> 'reinstated' AND EXISTS (SELECT FROM term t WHERE t.expiry_date = term_of_event.expiry) THEN (
			SELECT t.place FROM term t WHERE t.expiry_date = term_of_event.expiry ORDER BY t.age LIMIT 1)
		-- After the expiry of what was covered, what comes back is a new term, unless one began that day.
		WHEN term_of_event.status = 'reinstated' AND term_of_event.expiry > term_of_event.day
			AND EXISTS (SELECT FROM term t WHERE t.age = 1 AND t.expiry_date <= term_of_event.day) THEN (
			SELECT t.place FROM term t WHERE t.term = term_of_event.day)
		ELSE (SELECT t.place FROM term t WHERE t.age = 1) END;
END;
COMMENT ON FUNCTION canopy_summit.term_of_event(canopy_summit.certificate_term[], text, date, date, date) IS
	'place in terms of the one that an event is about, by its dates and its local day; NULL: a new one';

CREATE FUNCTION canopy_summit.term_new(terms canopy_summit.certificate_term[], status text, effective date, expiry date, day date, basis text)
RETURNS canopy_summit.certificate_term
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	term canopy_summit.certificate_term;
	former canopy_summit.certificate_term;
BEGIN
	IF cardinality(terms) > 0 THEN
		SELECT t.* INTO former FROM unnest(terms) AS t ORDER BY t.term DESC LIMIT 1;
	END IF;
	-- Of the same policy and holder; a reinstated one is what it was, too.
	term.policy_type := former.policy_type;
	term.holder_name := former.holder_name;
	IF effective IS NULL AND status = 'reinstated' AND expiry IS NOT NULL THEN
		effective := day;
		term.basis := term_new.basis;
		term.upload_id := former.upload_id;
		term.coi_pdf_id := former.coi_pdf_id;
	ELSE
		term.basis := CASE WHEN effective IS NULL THEN 'not stated' ELSE 'stated' END;
	END IF;
	term.term := coalesce(effective, '-infinity');
	term.effective_date := effective;
	term.expiry_date := expiry;
	-- Until all is known of it: terms_covered() leaves what is between its dates.
	term.cover := '{(,)}';
	RETURN term;
END
$$;
COMMENT ON FUNCTION canopy_summit.term_new(canopy_summit.certificate_term[], text, date, date, date, text) IS
	'a term that an event begins, with what it takes over of the one before; basis says where the day of a reinstatement comes from';

-- Cover ends with the expiry date, not when somebody notices: only a lapse for another reason, on an earlier day both
-- here and in UTC, ends it sooner.
CREATE FUNCTION canopy_summit.lapse_day(term canopy_summit.certificate_term, reason_code text, day date, utc_day date) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN reason_code IS DISTINCT FROM 'expiry' AND coalesce(greatest(day, utc_day) < (term).expiry_date, true) THEN day END;
COMMENT ON FUNCTION canopy_summit.lapse_day(canopy_summit.certificate_term, text, date, date) IS
	'first day without cover, if a lapse ends it before the expiry date';

CREATE FUNCTION canopy_summit.certificate_terms(policy_status_id bigint, zone text) RETURNS canopy_summit.certificate_term[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	reinstated CONSTANT text := CASE WHEN zone IS NULL THEN 'reinstated_at in UTC' ELSE 'reinstated_at' END;
	terms canopy_summit.certificate_term[] := '{}';
	term canopy_summit.certificate_term;
	event record;
	failed jsonb;
	place integer;
	ends date;
BEGIN
	FOR event IN
		SELECT e.*, (coalesce(e.observed_at, e.occurred_at) AT TIME ZONE coalesce(zone, 'UTC'))::date AS day,
			(coalesce(e.observed_at, e.occurred_at) AT TIME ZONE 'UTC')::date AS utc_day
		FROM canopy_summit.status_event e WHERE e.policy_status_id = certificate_terms.policy_status_id
		ORDER BY e.occurred_at, canopy_summit.status_rank(e.status), e.delivery_id COLLATE "C" NULLS FIRST, e.upload_id
	LOOP
		place := CASE WHEN cardinality(terms) > 0 THEN
			canopy_summit.term_of_event(terms, event.status, event.effective_date, event.expiry_date, event.day) END;
		IF place IS NULL THEN
			term := canopy_summit.term_new(terms, event.status, event.effective_date, event.expiry_date, event.day, reinstated);
			place := cardinality(terms) + 1;
		ELSE
			term := terms[place];
		END IF;
		IF term.effective_date IS NULL AND (event.effective_date IS NOT NULL OR event.status = 'reinstated') THEN
			term.effective_date := coalesce(event.effective_date, event.day);
			term.term := term.effective_date;
			term.basis := CASE WHEN event.effective_date IS NULL THEN reinstated ELSE 'stated' END;
			-- What lapsed by then was another term.
			IF NOT term.cover @> term.effective_date THEN
				term.cover := '{(,)}';
			END IF;
		END IF;
		-- What a lapse says of the expiry is what was known before.
		IF event.expiry_date IS NOT NULL AND (event.status <> 'lapsed' OR term.expiry_date IS NULL) THEN
			term.expiry_date := event.expiry_date;
		END IF;
		failed := CASE WHEN event.status = 'verified' THEN canopy_summit.failed_checks(event.checks) END;
		IF event.status = 'lapsed' THEN
			ends := canopy_summit.lapse_day(term, event.reason_code, event.day, event.utc_day);
			IF ends IS NOT NULL THEN
				term.cover := term.cover - datemultirange(daterange(ends, NULL));
			END IF;
		ELSIF event.status = 'reinstated' THEN
			term.cover := term.cover + datemultirange(daterange(coalesce(event.effective_date, event.day), NULL));
		END IF;
		IF failed IS NOT NULL THEN
			term.failed_checks := ARRAY(SELECT jsonb_array_elements_text(failed));
		ELSIF event.status = 'verified' THEN
			term.failed_checks := NULL;
		END IF;
		-- Checks that failed verify nothing: it is what it was, since then and for that reason. What was submitted right after
		-- it was verified is the same upload, by another clock.
		IF term.status IS NULL OR failed IS NULL
				AND (event.status <> 'submitted' OR term.status <> 'verified' OR event.occurred_at > term.status_at + interval '5 minutes') THEN
			term.status := CASE WHEN failed IS NULL THEN event.status ELSE 'submitted' END;
			term.status_at := event.occurred_at;
			term.observed_at := event.observed_at;
			term.actor := event.actor;
			term.reason_code := event.reason_code;
			term.reason_detail := event.reason_detail;
		END IF;
		IF event.status = 'verified' AND failed IS NULL THEN
			term.verified_at := greatest(term.verified_at, event.observed_at);
		ELSIF event.status = 'lapsed' THEN
			term.lapsed_at := greatest(term.lapsed_at, event.observed_at);
		ELSIF event.status = 'reinstated' THEN
			term.reinstated_at := greatest(term.reinstated_at, event.observed_at);
		END IF;
		term.policy_type := coalesce(event.policy_type, term.policy_type);
		term.holder_name := coalesce(event.holder_name, term.holder_name);
		term.coi_pdf_id := coalesce(event.coi_pdf_id, term.coi_pdf_id);
		-- What was uploaded is evidence until Summit names some.
		term.evidence := CASE event.source WHEN 'upload' THEN coalesce(term.evidence, event.evidence) ELSE coalesce(event.evidence, term.evidence) END;
		term.upload_id := coalesce(event.upload_id, term.upload_id);
		term.source := 'summit';
		terms[place] := term;
	END LOOP;
	RETURN canopy_summit.terms_covered(canopy_summit.terms_with_facts(terms, certificate_terms.policy_status_id, zone));
END
$$;
COMMENT ON FUNCTION canopy_summit.certificate_terms(bigint, text) IS
	'what all that is known of a policy and a holder says of its terms; zone is the time zone of the property, NULL: not known';

-- A fact without dates is about the newest term that had begun; one whose term nobody has told of stands alone.
CREATE FUNCTION canopy_summit.terms_with_facts(terms canopy_summit.certificate_term[], policy_status_id bigint, zone text)
RETURNS canopy_summit.certificate_term[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	fact record;
	place integer;
	term canopy_summit.certificate_term;
BEGIN
	FOR fact IN
		SELECT f.*, (f.observed_at AT TIME ZONE coalesce(zone, 'UTC'))::date AS day,
			jsonb_strip_nulls(to_jsonb(f) - '{fact_id,server,policy_status_id,policy_number,effective_date,expiry_date,property_id,unit_id,lease_id,tenant_id,holder_name,facts,source,observed_at,recorded_at,recorded_by}'::text[])
				AS named
		FROM summit.certificate_fact f WHERE f.policy_status_id = terms_with_facts.policy_status_id ORDER BY f.observed_at, f.fact_id
	LOOP
		place := canopy_summit.term_of_event(terms, 'lapsed', fact.effective_date, fact.expiry_date, fact.day);
		IF place IS NULL THEN
			term := canopy_summit.term_new(terms, 'submitted', fact.effective_date, fact.expiry_date, fact.day, NULL);
			place := cardinality(terms) + 1;
		ELSE
			term := terms[place];
		END IF;
		-- What Summit has told wins.
		IF term.status IS NULL THEN
			term.source := fact.source;
			term.policy_type := coalesce(fact.policy_type, term.policy_type);
			term.holder_name := coalesce(fact.holder_name, term.holder_name);
			term.expiry_date := coalesce(fact.expiry_date, term.expiry_date);
		ELSE
			term.policy_type := coalesce(term.policy_type, fact.policy_type);
			term.holder_name := coalesce(term.holder_name, fact.holder_name);
			term.expiry_date := coalesce(term.expiry_date, fact.expiry_date);
		END IF;
		IF term.effective_date IS NULL AND fact.effective_date IS NOT NULL THEN
			term.term := fact.effective_date;
			term.effective_date := fact.effective_date;
			term.basis := 'stated';
		END IF;
		term.facts := coalesce(term.facts, '{}') || fact.named
			|| CASE WHEN fact.facts IS NULL THEN '{}' ELSE jsonb_build_object('other', coalesce(term.facts -> 'other', '{}') || fact.facts) END;
		terms[place] := term;
	END LOOP;
	-- A policy that was reinstated is what it was.
	FOR place IN 1 .. cardinality(terms) LOOP
		term := terms[place];
		IF term.basis LIKE 'reinstated_at%' AND term.facts IS NULL THEN
			term.facts := (SELECT t.facts FROM unnest(terms) AS t WHERE t.term < term.term ORDER BY t.term DESC LIMIT 1);
			terms[place] := term;
		END IF;
	END LOOP;
	RETURN terms;
END
$$;
COMMENT ON FUNCTION canopy_summit.terms_with_facts(canopy_summit.certificate_term[], bigint, text) IS
	'terms with what summit.certificate_fact says of them, and those that only it tells of';

CREATE FUNCTION canopy_summit.terms_covered(terms canopy_summit.certificate_term[]) RETURNS canopy_summit.certificate_term[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place integer;
	term canopy_summit.certificate_term;
BEGIN
	FOR place IN 1 .. cardinality(terms) LOOP
		term := terms[place];
		term.cover := CASE WHEN term.effective_date < term.expiry_date
			THEN term.cover * datemultirange(daterange(term.effective_date, term.expiry_date)) ELSE '{}' END;
		terms[place] := term;
	END LOOP;
	RETURN terms;
END
$$;
COMMENT ON FUNCTION canopy_summit.terms_covered(canopy_summit.certificate_term[]) IS
	'terms with the days that they cover, of those that no lapse has ended those between their dates; none where a first or last day is not known';

CREATE FUNCTION canopy_summit.certificates_folded(policy_status_ids bigint[]) RETURNS SETOF canopy_summit.certificate
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT p.policy_status_id, t.term, NULL::timestamptz, 'infinity'::timestamptz, p.server,
		row_number() OVER (PARTITION BY p.policy_status_id ORDER BY t.term DESC) = 1, t.effective_date, t.expiry_date, t.basis, t.cover,
		t.status, t.status_at, t.observed_at, t.actor, t.reason_code, t.reason_detail, t.verified_at, t.lapsed_at, t.reinstated_at,
		to_jsonb(t.failed_checks), t.policy_type, t.holder_name, t.coi_pdf_id, t.evidence, t.upload_id, t.source, t.facts
	FROM canopy_summit.policy_status p,
		unnest(canopy_summit.certificate_terms(p.policy_status_id, (SELECT y.time_zone FROM summit.property y
			-- Of a server that is being renamed the property may have the former name still.
			WHERE y.server = ANY (p.server || coalesce(canopy_summit.former_names(p.server), '{}')) AND y.property_id = p.property_id
			ORDER BY y.server = p.server DESC LIMIT 1))) AS t
	-- An array, and not a join: it finds them by the index even before the table was first analysed.
	WHERE p.policy_status_id = ANY (certificates_folded.policy_status_ids);
END;
COMMENT ON FUNCTION canopy_summit.certificates_folded(bigint[]) IS 'the certificates of policies and holders as they should be; known_from is NULL';

CREATE FUNCTION canopy_summit.policy_status_fold(policy_status_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- The lock of the policy makes these rise from state to state.
	at CONSTANT timestamptz := clock_timestamp();
	folded CONSTANT canopy_summit.certificate[] := ARRAY(SELECT f FROM canopy_summit.certificates_folded(policy_status_ids) AS f);
	-- By the keys, and not by a join: so they are found by their index even before the table was first analysed.
	present CONSTANT canopy_summit.certificate[] := ARRAY(SELECT c FROM canopy_summit.certificate c
		WHERE c.policy_status_id = ANY (policy_status_ids) AND c.known_to = 'infinity');
	changed canopy_summit.certificate[];
BEGIN
	changed := ARRAY(SELECT f FROM unnest(folded) AS f LEFT JOIN unnest(present) AS c
			ON c.policy_status_id = f.policy_status_id AND c.term = f.term
		WHERE c.policy_status_id IS NULL OR to_jsonb(f) - 'known_from' <> to_jsonb(c) - 'known_from');
	UPDATE canopy_summit.certificate c SET known_to = at
	WHERE c.policy_status_id = ANY (policy_status_ids) AND c.known_to = 'infinity' AND (
		EXISTS (SELECT FROM unnest(changed) AS f WHERE f.policy_status_id = c.policy_status_id AND f.term = c.term)
		OR NOT EXISTS (SELECT FROM unnest(folded) AS f WHERE f.policy_status_id = c.policy_status_id AND f.term = c.term));
	INSERT INTO canopy_summit.certificate
	SELECT f.policy_status_id, f.term, at, f.known_to, f.server, f.is_newest, f.effective_date, f.expiry_date, f.basis, f.cover, f.status,
		f.status_at, f.observed_at, f.actor, f.reason_code, f.reason_detail, f.verified_at, f.lapsed_at, f.reinstated_at, f.failed_checks,
		f.policy_type, f.holder_name, f.coi_pdf_id, f.evidence, f.upload_id, f.source, f.facts
	FROM unnest(changed) AS f;
	WITH now AS MATERIALIZED (
		SELECT i.policy_status_id,
			-- One is the newest.
			max(f.status) FILTER (WHERE f.is_newest) AS status, max(f.status_at) FILTER (WHERE f.is_newest) AS status_at,
			max(f.reason_code::text) FILTER (WHERE f.is_newest) AS reason_code,
			max(f.reason_detail::text) FILTER (WHERE f.is_newest) AS reason_detail,
			max(f.effective_date) FILTER (WHERE f.is_newest) AS effective_date, max(f.expiry_date) FILTER (WHERE f.is_newest) AS expiry_date,
			max(f.basis) FILTER (WHERE f.is_newest) AS basis,
			(array_agg(f.holder_name ORDER BY f.term DESC) FILTER (WHERE f.holder_name IS NOT NULL))[1] AS holder_name,
			(array_agg(f.policy_type ORDER BY f.term DESC) FILTER (WHERE f.policy_type IS NOT NULL))[1] AS policy_type,
			(array_agg(f.coi_pdf_id ORDER BY f.term DESC) FILTER (WHERE f.coi_pdf_id IS NOT NULL))[1] AS coi_pdf_id,
			max(f.verified_at) AS verified_at, max(f.lapsed_at) AS lapsed_at, max(f.reinstated_at) AS reinstated_at
		FROM unnest(policy_status_ids) AS i(policy_status_id) LEFT JOIN unnest(folded) AS f ON f.policy_status_id = i.policy_status_id
		GROUP BY i.policy_status_id)
	UPDATE canopy_summit.policy_status p SET (status, status_at, reason_code, reason_detail, effective_date, expiry_date, basis, holder_name,
			policy_type, coi_pdf_id, verified_at, lapsed_at, reinstated_at) =
		(n.status, n.status_at, n.reason_code, n.reason_detail, n.effective_date, n.expiry_date, n.basis, n.holder_name,
			n.policy_type, n.coi_pdf_id, n.verified_at, n.lapsed_at, n.reinstated_at)
	FROM now n WHERE n.policy_status_id = p.policy_status_id AND p.policy_status_id = ANY (policy_status_ids);
	INSERT INTO canopy_summit.export_pending
	SELECT nextval('canopy_summit.export_pending_id_seq'), i.policy_status_id
	FROM (SELECT DISTINCT unnest(policy_status_ids)) AS i(policy_status_id) WHERE EXISTS (SELECT FROM canopy_summit.export_feed);
END
$$;
COMMENT ON FUNCTION canopy_summit.policy_status_fold(bigint[]) IS
	'makes the certificates of policies and holders what all that is known of them says, and keeps what they were; the caller has the locks of the policies';

CREATE FUNCTION canopy_summit.policy_status_of(server text, policy_number text, ids jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_id bigint;
BEGIN
	-- Whoever tells all ids means one of the certificates that differ in none, if there is one: else it is another.
	SELECT CASE WHEN count(*) = 1 OR bool_or(c.is_same) THEN (array_agg(c.policy_status_id ORDER BY c.is_same DESC))[1] END INTO found_id
	FROM (SELECT p.policy_status_id, (p.unit_id, p.lease_id, p.tenant_id) IS NOT DISTINCT FROM
				(ids ->> 'unit_id', ids ->> 'lease_id', ids ->> 'tenant_id') AS is_same
		FROM canopy_summit.policy_status p
		WHERE p.policy_number = policy_status_of.policy_number AND p.server = policy_status_of.server
			AND p.property_id IS NOT DISTINCT FROM ids ->> 'property_id'
			AND coalesce(p.unit_id = ids ->> 'unit_id', true) AND coalesce(p.lease_id = ids ->> 'lease_id', true)
			AND coalesce(p.tenant_id = ids ->> 'tenant_id', true)) AS c;
	RETURN canopy_summit.policy_status_take(found_id, server, policy_number, ids);
END
$$;
COMMENT ON FUNCTION canopy_summit.policy_status_of(text, text, jsonb) IS
	'the policy and holder that somebody names by all ids that it has; made if it is the first';

CREATE FUNCTION canopy_summit.policy_status_take(policy_status_id bigint, server text, policy_number text, ids jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	taken bigint := policy_status_take.policy_status_id;
BEGIN
	IF taken IS NULL THEN
		INSERT INTO canopy_summit.policy_status (policy_status_id, server, environment, policy_number, property_id, unit_id, lease_id, tenant_id)
		VALUES (nextval('canopy_summit.policy_status_id_seq'), policy_status_take.server,
			canopy_summit.server_environment(policy_status_take.server), policy_status_take.policy_number,
			ids ->> 'property_id', ids ->> 'unit_id', ids ->> 'lease_id', ids ->> 'tenant_id')
		RETURNING policy_status_id INTO taken;
	ELSE
		UPDATE canopy_summit.policy_status p
		SET unit_id = coalesce(p.unit_id, ids ->> 'unit_id'), lease_id = coalesce(p.lease_id, ids ->> 'lease_id'),
			tenant_id = coalesce(p.tenant_id, ids ->> 'tenant_id')
		WHERE p.policy_status_id = taken
			AND (p.unit_id IS NULL AND ids ? 'unit_id' OR p.lease_id IS NULL AND ids ? 'lease_id' OR p.tenant_id IS NULL AND ids ? 'tenant_id');
	END IF;
	RETURN taken;
END
$$;
COMMENT ON FUNCTION canopy_summit.policy_status_take(bigint, text, text, jsonb) IS
	'the same policy and holder with the ids that it lacked; if it is NULL, a new one';

-- Uploads and polls tell, too.
CREATE FUNCTION canopy_summit.upload_events(server text, upload_ids bigint[], about bigint[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	told bigint[] := '{}';
	written bigint[];
	-- Those of one policy one after the other: what verifies it counts once.
	turns CONSTANT bigint[] := ARRAY(SELECT row_number() OVER (PARTITION BY a.about ORDER BY a.place)
		FROM unnest(upload_events.about) WITH ORDINALITY AS a(about, place) ORDER BY a.place);
BEGIN
	FOR round IN 1 .. coalesce((SELECT max(t.turn) FROM unnest(turns) AS t(turn)), 0) LOOP
		WITH written AS (
			INSERT INTO canopy_summit.status_event (status_event_id, policy_status_id, server, source, upload_id, status, occurred_at,
				recorded_at, observed_at, actor, holder_name, policy_type, effective_date, expiry_date, evidence)
			SELECT nextval('canopy_summit.status_event_id_seq'), a.about, upload_events.server, e.source, u.upload_id, e.status, e.at, now(), e.at,
				'system', u.holder_name, u.policy_type, u.effective_date, u.expiry_date,
				CASE WHEN e.source = 'upload' AND u.coi_sha256 IS NOT NULL THEN
					jsonb_build_object('checksums', jsonb_build_array('sha256:' || u.coi_sha256)) END
			FROM unnest(upload_events.upload_ids, upload_events.about, turns) WITH ORDINALITY AS a(upload_id, about, turn, place)
				JOIN summit.upload u ON u.upload_id = a.upload_id
				CROSS JOIN LATERAL (VALUES ('upload', 'submitted', u.uploaded_at), ('poll', 'verified', u.finished_at)) AS e(source, status, at)
			WHERE a.turn = round AND u.upload_id = ANY (upload_events.upload_ids)
				AND (e.status = 'submitted' OR u.status = 'verified' AND NOT EXISTS (
					SELECT FROM canopy_summit.status_event w WHERE w.policy_status_id = a.about AND w.status = 'verified'
						AND w.occurred_at > u.uploaded_at - interval '5 minutes'))
			ORDER BY a.place, canopy_summit.status_rank(e.status)
			ON CONFLICT (upload_id, status) WHERE upload_id IS NOT NULL DO NOTHING
			RETURNING status_event_id)
		SELECT array_agg(w.status_event_id) INTO written FROM written w;
		told := told || written;
	END LOOP;
	RETURN told;
END
$$;
COMMENT ON FUNCTION canopy_summit.upload_events(text, bigint[], bigint[]) IS
	'notes in the history of the policies that accepted uploads are about that they were submitted, and verified if a poll says so; the events that are new';

CREATE FUNCTION canopy_summit.apply_uploads(upload_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	named record;
	taken bigint[];
	failed bigint[];
	accepted bigint[];
	about bigint[];
	told bigint[] := '{}';
	changed bigint[] := '{}';
BEGIN
	WITH upload AS MATERIALIZED (
		SELECT u.upload_id, u.policy_number,
			canopy_summit.hold_server(canopy_summit.server_of(u.server_oid, u.server, u.instance), u.server, false) AS server_now
		FROM summit.upload u WHERE u.upload_id = ANY (apply_uploads.upload_ids) AND u.policy_number IS NOT NULL ORDER BY u.upload_id),
	locked AS MATERIALIZED (
		SELECT u.upload_id, CASE WHEN u.server_now IS NOT NULL
			THEN canopy_summit.lock_subjects(ARRAY[concat_ws(' ', 'subject', u.server_now, u.policy_number)], false) ELSE false END AS is_ours
		FROM upload u),
	pending AS (INSERT INTO canopy_summit.upload_pending SELECT l.upload_id FROM locked l WHERE NOT l.is_ours ON CONFLICT DO NOTHING)
	SELECT array_agg(l.upload_id) INTO taken FROM locked l WHERE l.is_ours;

	FOR named IN
		SELECT n.server, array_agg(u.upload_id) AS upload_ids, array_agg(u.policy_number::text) AS policy_numbers
		FROM summit.upload u CROSS JOIN LATERAL canopy_summit.server_name(u.server_oid, u.server, u.instance) AS n(server)
		WHERE u.upload_id = ANY (taken)
		GROUP BY n.server
		-- Of a server that is gone nobody will tell anything more.
		HAVING canopy_summit.server_environment(n.server) IS NOT NULL
	LOOP
		PERFORM canopy_summit.follow('policy_status', 'policy_number', named.server, named.policy_numbers);
		WITH gone AS (
			DELETE FROM canopy_summit.status_event e WHERE e.upload_id = ANY (ARRAY(
				SELECT u.upload_id FROM summit.upload u WHERE u.upload_id = ANY (named.upload_ids) AND u.status = 'failed'))
			RETURNING e.policy_status_id)
		SELECT array_agg(g.policy_status_id) INTO failed FROM gone g;
		SELECT array_agg(a.upload_id), array_agg(a.about) INTO accepted, about
		FROM (SELECT u.upload_id, canopy_summit.policy_status_of(named.server, u.policy_number, jsonb_strip_nulls(jsonb_build_object(
				'property_id', u.property_id, 'unit_id', u.unit_id, 'lease_id', u.lease_id, 'tenant_id', u.tenant_id))) AS about
			FROM summit.upload u WHERE u.upload_id = ANY (named.upload_ids) AND u.status <> 'failed' AND u.accepted_at IS NOT NULL
			ORDER BY u.upload_id) AS a;
		told := told || canopy_summit.upload_events(named.server, accepted, about);
		changed := changed || failed || about;
	END LOOP;

	changed := ARRAY(SELECT DISTINCT unnest(changed));
	PERFORM canopy_summit.policy_status_fold(changed);
	UPDATE canopy_summit.policy_status p SET upload_id = u.upload_id
	FROM unnest(changed) AS c(policy_status_id) CROSS JOIN LATERAL (
		SELECT max(e.upload_id) FROM canopy_summit.status_event e WHERE e.policy_status_id = c.policy_status_id) AS u(upload_id)
	WHERE p.policy_status_id = ANY (changed) AND p.policy_status_id = c.policy_status_id AND p.upload_id IS DISTINCT FROM u.upload_id;
	PERFORM canopy_summit.enqueue_deliveries(told);
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_uploads(bigint[]) IS
	'has certificates know what has become of uploads; of those whose policy, or server''s name, somebody else has at the moment, later';

CREATE FUNCTION canopy_summit.apply_upload_events(job_ids bigint[]) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT canopy_summit.apply_uploads(array_agg(u.upload_id)) FROM summit.upload u
	WHERE u.job_id = ANY (ARRAY(SELECT coalesce(j.follows, j.job_id) FROM canopy_summit.job j WHERE j.job_id = ANY (apply_upload_events.job_ids)))
	HAVING count(*) > 0;
END;
COMMENT ON FUNCTION canopy_summit.apply_upload_events(bigint[]) IS 'has certificates know what has become of uploads, given the jobs that were settled';

CREATE FUNCTION canopy_summit.apply_pending_uploads() RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ids bigint[];
BEGIN
	WITH taken AS (DELETE FROM canopy_summit.upload_pending p WHERE p.upload_id IN (
		SELECT n.upload_id FROM canopy_summit.upload_pending n ORDER BY n.upload_id LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING p.upload_id)
	SELECT array_agg(t.upload_id) INTO ids FROM taken t;
	IF ids IS NOT NULL THEN
		PERFORM canopy_summit.apply_uploads(ids);
	END IF;
	RETURN EXISTS (SELECT FROM canopy_summit.upload_pending);
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_pending_uploads() IS 'has certificates know what they could not yet; whether there is more';

-- Facts, by INSERT.
-- As whoever inserts, and before the other, by its name.
CREATE FUNCTION canopy_summit.certificate_fact_check() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.server := coalesce(nullif(NEW.server, ''), nullif(current_setting('canopy_summit.summit_server', true), ''), 'summit');
	IF NOT has_server_privilege(NEW.server, 'USAGE') THEN
		RAISE EXCEPTION 'permission denied for foreign server %', NEW.server
			USING ERRCODE = 'insufficient_privilege',
				  HINT = format('GRANT USAGE ON FOREIGN SERVER %I TO %s;', NEW.server, quote_ident(current_user));
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.certificate_fact_check() IS 'trigger: whoever tells facts of a server needs USAGE on it; error 42704 if there is none';
CREATE TRIGGER certificate_fact_check BEFORE INSERT ON summit.certificate_fact
	FOR EACH ROW WHEN (NEW.fact_id IS NULL) EXECUTE FUNCTION canopy_summit.certificate_fact_check();

CREATE FUNCTION canopy_summit.certificate_fact_fill() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NEW.fact_id IS NOT NULL THEN
		RETURN NEW;
	END IF;
	NEW.server := canopy_summit.hold_name(NEW.server::text);
	NEW.source := coalesce(NEW.source, 'manual');
	IF canopy_summit.server_oid(NEW.server::name) IS NULL OR NEW.source NOT IN ('canopy', 'manual', 'summit') THEN
		RAISE EXCEPTION 'source "%" is not known', NEW.source
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Sources are: canopy, manual, summit.';
	END IF;
	IF coalesce(NEW.policy_number, '') = '' THEN
		RAISE EXCEPTION 'policy_number is required' USING ERRCODE = 'not_null_violation';
	END IF;
	IF NEW.expiry_date <= NEW.effective_date THEN
		RAISE EXCEPTION 'expiry_date must be after effective_date' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF NEW.currency !~ '^[A-Z]{3}$' OR jsonb_typeof(NEW.facts) <> 'object' OR jsonb_typeof(NEW.endorsements) <> 'array'
			OR jsonb_typeof(NEW.additional_insureds) <> 'array' THEN
		RAISE EXCEPTION 'currency, facts, endorsements or additional_insureds is not of its form'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'currency has three capital letters, facts is an object, the other two are arrays of texts.';
	END IF;
	NEW.fact_id := nextval('canopy_summit.fact_id_seq');
	NEW.recorded_at := now();
	NEW.recorded_by := session_user;
	NEW.observed_at := coalesce(NEW.observed_at, NEW.recorded_at);
	PERFORM canopy_summit.lock_subjects(ARRAY['subject ' || NEW.server || ' ' || NEW.policy_number], true);
	PERFORM canopy_summit.follow('policy_status', 'policy_number', NEW.server, ARRAY[NEW.policy_number::text]);
	NEW.policy_status_id := canopy_summit.policy_status_of(NEW.server, NEW.policy_number, jsonb_strip_nulls(jsonb_build_object(
		'property_id', NEW.property_id, 'unit_id', NEW.unit_id, 'lease_id', NEW.lease_id, 'tenant_id', NEW.tenant_id)));
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION canopy_summit.certificate_fact_fill() IS 'trigger: checks facts of a certificate, and fills the engine''s columns';
CREATE TRIGGER certificate_fact_fill BEFORE INSERT ON summit.certificate_fact
	FOR EACH ROW EXECUTE FUNCTION canopy_summit.certificate_fact_fill();

CREATE FUNCTION canopy_summit.certificate_fact_fold() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM canopy_summit.policy_status_fold(ARRAY[NEW.policy_status_id]);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION canopy_summit.certificate_fact_fold() IS 'trigger: has a certificate know its new facts';
-- Restored ones were recorded before.
CREATE TRIGGER certificate_fact_fold AFTER INSERT ON summit.certificate_fact
	FOR EACH ROW WHEN (NEW.recorded_at = now()) EXECUTE FUNCTION canopy_summit.certificate_fact_fold();
