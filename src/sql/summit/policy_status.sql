-- summit/policy_status.sql: what webhooks tell of certificates.
-- Replaceable; see webhook/apply.sql.

-- Summit's events carry different subsets of the reference ids. One is about a certificate of the same
-- policy number and property if no id that both have differs.
CREATE FUNCTION canopy_summit.policy_status_find(server text, policy_number text, ids jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	candidates bigint[];
BEGIN
	SELECT array_agg(p.policy_status_id ORDER BY p.policy_status_id) INTO candidates
	FROM canopy_summit.policy_status p
	WHERE p.policy_number = policy_status_find.policy_number AND p.server = policy_status_find.server
		AND p.property_id IS NOT DISTINCT FROM ids ->> 'property_id'
		AND coalesce(p.unit_id = ids ->> 'unit_id', true)
		AND coalesce(p.lease_id = ids ->> 'lease_id', true)
		AND coalesce(p.tenant_id = ids ->> 'tenant_id', true);
	IF cardinality(candidates) > 1 THEN
		RAISE EXCEPTION 'it fits several certificates: %', array_to_string(candidates, ', ')
			USING ERRCODE = 'cardinality_violation';
	END IF;
	RETURN candidates[1];
END
$$;
COMMENT ON FUNCTION canopy_summit.policy_status_find(text, text, jsonb) IS
	'the certificate that an event of Summit is about; NULL if it is the first; error 21000 names those it fits';

CREATE FUNCTION canopy_summit.apply_to_uploads(webhook_ids bigint[]) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	UPDATE canopy_summit.policy_status p SET upload_id = (
		SELECT max(u.upload_id) FROM summit.upload u
		WHERE u.policy_number = p.policy_number
			AND canopy_summit.server_of(u.server_oid, u.server, u.instance) = nullif(canopy_summit.server_of(NULL, p.server, NULL), 0)
			AND u.property_id IS NOT DISTINCT FROM p.property_id
			AND coalesce(u.unit_id = p.unit_id, true) AND coalesce(u.lease_id = p.lease_id, true) AND coalesce(u.tenant_id = p.tenant_id, true)
			AND u.status <> 'refused')
	WHERE p.policy_status_id = ANY (ARRAY(SELECT e.policy_status_id FROM canopy_summit.status_event e
		WHERE e.webhook_id = ANY (apply_to_uploads.webhook_ids)));

	-- An answer was lost, but the event says that the upload came through: it is not sent once more, to a server that may
	-- not know its key.
	WITH told AS (
		SELECT j.job_id, u.upload_id
		FROM canopy_summit.status_event e JOIN canopy_summit.policy_status p ON p.policy_status_id = e.policy_status_id
			JOIN summit.upload u ON u.upload_id = p.upload_id JOIN canopy_summit.job j ON j.job_id = u.job_id
		WHERE e.webhook_id = ANY (apply_to_uploads.webhook_ids) AND e.status IN ('submitted', 'verified')
			AND u.summit_job_id IS NULL AND u.accepted_at IS NULL AND u.status IN ('queued', 'unresolved')
			AND j.state IN ('queued', 'in_doubt', 'failed') AND j.first_sent_at IS NOT NULL AND e.occurred_at > j.first_sent_at - interval '5 minutes'
			AND (SELECT d.doubtful > 0 FROM canopy_summit.upload_doubt(j.job_id) AS d)
			-- Of this very term, of which nothing else has been sent: what is not sent again because another was told of is lost.
			AND e.effective_date = u.effective_date AND e.expiry_date = u.expiry_date
			AND NOT EXISTS (SELECT FROM summit.upload o
				WHERE o.policy_number = u.policy_number AND o.upload_id <> u.upload_id AND o.effective_date = u.effective_date
					AND o.expiry_date = u.expiry_date AND o.status NOT IN ('refused', 'failed'))
		FOR UPDATE OF j SKIP LOCKED),
	reconciled AS (
		UPDATE canopy_summit.job j SET state = 'succeeded', finished_at = now(), outcome = 'a webhook says that it took effect',
			outcome_code = 'reconciled', params = canopy_summit.job_keeps('succeeded', j.operation, j.params),
			body = canopy_summit.job_keeps('succeeded', j.operation, j.body)
		WHERE j.job_id = ANY (ARRAY(SELECT t.job_id FROM told t)))
	UPDATE summit.upload u SET status = 'unresolved', accepted_at = now(), finished_at = now(), error_code = NULL, error_field = NULL,
		error_message = 'its answer was lost, but a webhook says that Summit has it'
	WHERE u.upload_id = ANY (ARRAY(SELECT t.upload_id FROM told t));

	UPDATE summit.upload u SET status = 'verified', finished_at = now(), error_code = NULL, error_field = NULL, error_message = NULL
	FROM canopy_summit.status_event e JOIN canopy_summit.policy_status p ON p.policy_status_id = e.policy_status_id
	WHERE e.webhook_id = ANY (apply_to_uploads.webhook_ids) AND e.status = 'verified'
		AND canopy_summit.failed_checks(e.checks) IS NULL
		AND u.upload_id = p.upload_id AND u.status IN ('accepted', 'unresolved')
		-- Not by an event of an earlier upload; clocks differ.
		AND e.occurred_at > u.uploaded_at - interval '5 minutes';
END;
COMMENT ON FUNCTION canopy_summit.apply_to_uploads(bigint[]) IS
	'links certificates that webhooks were about with their newest uploads, and ends those that are verified';

CREATE FUNCTION canopy_summit.apply_policy_status(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	webhook_ids bigint[] := ARRAY(SELECT e.webhook_id FROM unnest(apply_policy_status.events) AS e);
	event canopy_summit.inbox_event;
	policy jsonb;
	ids jsonb;
	found_id bigint;
	status text;
	verifier text;
	written bigint;
	told bigint[] := '{}';
BEGIN
	-- The caller has the locks of these policies: two must not both find that a certificate is the first.
	FOR event IN
		SELECT e.* FROM unnest(apply_policy_status.events) AS e
		WHERE e.event IN ('policy.submitted', 'policy.verified', 'policy.lapsed', 'policy.reinstated') ORDER BY e.webhook_id
	LOOP
		policy := event.payload #> '{data,policy}';
		ids := coalesce(event.payload #> '{data,certificate_holder,reference_ids}', '{}');
		status := substr(event.event, length('policy.') + 1);
		verifier := policy ->> 'verifier';
		IF event.subject IS NULL THEN
			RAISE EXCEPTION 'the body has no policy_number' USING ERRCODE = 'invalid_parameter_value';
		END IF;
		IF canopy_summit.time_or_null(event.payload ->> 'occurred_at') IS NULL THEN
			RAISE EXCEPTION 'the body has no occurred_at' USING ERRCODE = 'invalid_parameter_value';
		END IF;
		found_id := canopy_summit.policy_status_find(event.server, event.subject, ids);
		found_id := canopy_summit.policy_status_take(found_id, event.server, event.subject, ids);
		INSERT INTO canopy_summit.status_event (status_event_id, source, recorded_at, webhook_id, policy_status_id, server, delivery_id, status,
			occurred_at, observed_at, actor, verifier, reason_code, reason_detail, checks, holder_name, policy_type, effective_date, expiry_date,
			coi_pdf_id, evidence)
		VALUES (nextval('canopy_summit.status_event_id_seq'), 'webhook', now(), event.webhook_id, found_id, event.server, event.delivery_key, status,
			canopy_summit.time_or_null(event.payload ->> 'occurred_at'),
			canopy_summit.time_or_null(policy ->> (status || '_at')),
			CASE WHEN verifier LIKE 'carrier%' THEN 'carrier' WHEN verifier LIKE 'broker%' THEN 'broker' WHEN verifier <> '' THEN 'system' END,
			verifier, event.payload #>> '{data,reason,code}', event.payload #>> '{data,reason,detail}', event.payload #> '{data,checks}',
			event.payload #>> '{data,certificate_holder,name}', policy ->> 'policy_type',
			-- What comes back is not what was known before.
			canopy_summit.date_or_null(CASE WHEN status = 'reinstated' THEN coalesce(policy ->> 'new_effective_date', policy ->> 'effective_date')
				ELSE coalesce(policy ->> 'effective_date', event.payload #>> '{data,last_known_coverage,effective_date}') END),
			canopy_summit.date_or_null(CASE WHEN status = 'reinstated' THEN coalesce(policy ->> 'new_expiry_date', policy ->> 'expiry_date')
				ELSE coalesce(policy ->> 'expiry_date', event.payload #>> '{data,last_known_coverage,expiry_date}') END),
			event.payload #>> '{data,documents,coi_pdf_id}',
			coalesce(event.payload #> '{data,evidence}', event.payload #> '{data,policy,evidence}'))
		ON CONFLICT (webhook_id) WHERE webhook_id IS NOT NULL DO NOTHING
		RETURNING status_event_id INTO written;
		told := told || written;
	END LOOP;
	PERFORM canopy_summit.policy_status_fold(ARRAY(SELECT DISTINCT e.policy_status_id FROM canopy_summit.status_event e
		WHERE e.webhook_id = ANY (webhook_ids)));
	PERFORM canopy_summit.apply_to_uploads(webhook_ids);
	PERFORM canopy_summit.enqueue_deliveries(told);
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_policy_status(canopy_summit.inbox_event[]) IS 'policy.*: an event of a certificate, and what the certificate is now';

SELECT canopy_summit.define_view('summit.policy_status', 'certificates as they are now: one row a policy and holder, of its newest term', $view$
SELECT p.policy_status_id, p.server, p.environment, p.policy_number, p.holder_name, p.property_id, p.unit_id, p.lease_id, p.tenant_id,
	p.status, p.status_at, p.policy_type, p.effective_date, p.expiry_date, p.basis, p.reason_code, p.reason_detail, p.verified_at, p.lapsed_at,
	p.reinstated_at, p.coi_pdf_id, p.upload_id
FROM canopy_summit.policy_status p WHERE p.status IS NOT NULL$view$, $notes$
policy_status_id: key of the policy and holder
policy_number: number of the policy
holder_name: the certificate holder
property_id: the property, by its id in the property system
unit_id: the unit, likewise
lease_id: the lease, likewise
tenant_id: the tenant, likewise
status_at: when that occurred
policy_type: kind of policy, as Summit calls it
effective_date: first day of coverage of the newest term
expiry_date: day on which it ends, which is not covered; of a reinstated certificate the new one
basis: where the first day comes from: stated; reinstated_at: the local day of the reinstatement, reinstated_at in UTC if the property's time zone is not known; or not stated
reason_code: why it lapsed or was reinstated, as a code of Summit
reason_detail: the same in words
verified_at: when it was last verified
lapsed_at: when it last lapsed
reinstated_at: when it was last reinstated
coi_pdf_id: the certificate's PDF at Summit$notes$);

SELECT canopy_summit.define_view('summit.status_event', 'history of certificates: a row for each webhook, upload that was accepted, and poll', $view$
SELECT e.webhook_id, e.policy_status_id, e.server, canopy_summit.server_environment(e.server) AS environment, e.delivery_id, e.status,
	e.occurred_at, e.observed_at, e.actor, e.verifier, e.reason_code, e.reason_detail, e.checks, e.effective_date, e.expiry_date, e.coi_pdf_id,
	e.source, e.upload_id, e.recorded_at, e.evidence, e.status_event_id
FROM canopy_summit.status_event e$view$, $notes$
webhook_id: the webhook that told
policy_status_id: the policy and holder, in summit.policy_status
delivery_id: Summit's id of the delivery
status: submitted, verified, lapsed or reinstated
occurred_at: when it occurred, as Summit says
observed_at: when it was verified, lapsed or reinstated, as Summit says
actor: carrier, broker or system: from verifier
verifier: who verified, lapsed or reinstated it
reason_code: why, as a code of Summit
reason_detail: the same in words
checks: what was checked, and how it came out; a row each in summit.status_check
effective_date: first day of coverage
expiry_date: day on which it ends; of a reinstated certificate the new one
coi_pdf_id: the certificate's PDF at Summit
upload_id: the upload that was accepted, or that a poll was about
recorded_at: when it was applied here
status_event_id: key of the event$notes$);

SELECT canopy_summit.define_view('summit.status_check', 'checks of certificates, a row each; an event with one that failed verifies nothing', $view$
SELECT e.status_event_id, e.webhook_id, e.policy_status_id, e.server, canopy_summit.server_environment(e.server) AS environment, e.occurred_at,
	(c.value ->> 'name')::canopy_summit.provider_word AS name, (c.value ->> 'result')::canopy_summit.provider_word AS result,
	lower(c.value ->> 'result') IN ('pass', 'passed') IS TRUE AS passed, (c.value ->> 'detail')::canopy_summit.personal_text AS detail
FROM canopy_summit.status_event e,
	jsonb_array_elements(CASE jsonb_typeof(e.checks) WHEN 'array' THEN e.checks ELSE '[]' END) AS c(value)$view$, $notes$
status_event_id: the event, in summit.status_event
webhook_id: the webhook that told
policy_status_id: the policy and holder, in summit.policy_status
occurred_at: when it occurred, as Summit says
name: what was checked, such as limits
result: how it came out, as Summit says: pass
passed: whether that is pass; anything else, and nothing, is not
detail: the same in words$notes$);
