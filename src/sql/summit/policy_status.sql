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

CREATE FUNCTION canopy_summit.status_rank(status text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT array_position('{submitted,verified,lapsed,reinstated}', status_rank.status);
END;
COMMENT ON FUNCTION canopy_summit.status_rank(text) IS 'order of events that occurred in the same second';

CREATE FUNCTION canopy_summit.policy_status_fold(webhook_ids bigint[]) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	UPDATE canopy_summit.policy_status p SET
		(status, status_at, reason_code, reason_detail, holder_name, policy_type, effective_date, expiry_date, coi_pdf_id,
			verified_at, lapsed_at, reinstated_at) =
		(SELECT (array_agg(e.status ORDER BY e.age))[1],
			(array_agg(e.occurred_at ORDER BY e.age))[1],
			(array_agg(e.reason_code ORDER BY e.age))[1],
			(array_agg(e.reason_detail ORDER BY e.age))[1],
			(array_agg(e.holder_name ORDER BY e.age) FILTER (WHERE e.holder_name IS NOT NULL))[1],
			(array_agg(e.policy_type ORDER BY e.age) FILTER (WHERE e.policy_type IS NOT NULL))[1],
			(array_agg(e.effective_date ORDER BY e.age) FILTER (WHERE e.effective_date IS NOT NULL))[1],
			(array_agg(e.expiry_date ORDER BY e.age) FILTER (WHERE e.expiry_date IS NOT NULL))[1],
			(array_agg(e.coi_pdf_id ORDER BY e.age) FILTER (WHERE e.coi_pdf_id IS NOT NULL))[1],
			max(e.observed_at) FILTER (WHERE e.status = 'verified'),
			max(e.observed_at) FILTER (WHERE e.status = 'lapsed'),
			max(e.observed_at) FILTER (WHERE e.status = 'reinstated')
		FROM (SELECT *, row_number() OVER (ORDER BY s.occurred_at DESC, canopy_summit.status_rank(s.status) DESC, s.delivery_id DESC) AS age
			FROM canopy_summit.status_event s WHERE s.policy_status_id = p.policy_status_id) AS e)
	-- An array, and not a join: it finds them by the index even before the table was first analysed.
	WHERE p.policy_status_id = ANY (ARRAY(SELECT e.policy_status_id FROM canopy_summit.status_event e
		WHERE e.webhook_id = ANY (policy_status_fold.webhook_ids)));
END;
COMMENT ON FUNCTION canopy_summit.policy_status_fold(bigint[]) IS
	'makes the certificates that webhooks were about what all of their events say, in the order in which these occurred';

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

	UPDATE summit.upload u SET status = 'verified', finished_at = now(), error_code = NULL, error_field = NULL, error_message = NULL
	FROM canopy_summit.status_event e JOIN canopy_summit.policy_status p ON p.policy_status_id = e.policy_status_id
	WHERE e.webhook_id = ANY (apply_to_uploads.webhook_ids) AND e.status = 'verified'
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
		IF found_id IS NULL THEN
			INSERT INTO canopy_summit.policy_status (policy_status_id, server, environment, policy_number, property_id, unit_id, lease_id,
				tenant_id, status, status_at)
			VALUES (nextval('canopy_summit.policy_status_id_seq'), event.server, canopy_summit.server_environment(event.server), event.subject,
				ids ->> 'property_id', ids ->> 'unit_id', ids ->> 'lease_id', ids ->> 'tenant_id', status, '-infinity')
			RETURNING policy_status_id INTO found_id;
		ELSE
			UPDATE canopy_summit.policy_status p
			SET unit_id = coalesce(p.unit_id, ids ->> 'unit_id'), lease_id = coalesce(p.lease_id, ids ->> 'lease_id'),
				tenant_id = coalesce(p.tenant_id, ids ->> 'tenant_id')
			WHERE p.policy_status_id = found_id;
		END IF;
		INSERT INTO canopy_summit.status_event (webhook_id, policy_status_id, server, delivery_id, status, occurred_at, observed_at, actor,
			verifier, reason_code, reason_detail, checks, holder_name, policy_type, effective_date, expiry_date, coi_pdf_id)
		VALUES (event.webhook_id, found_id, event.server, event.delivery_key, status,
			canopy_summit.time_or_null(event.payload ->> 'occurred_at'),
			canopy_summit.time_or_null(policy ->> (status || '_at')),
			CASE WHEN verifier LIKE 'carrier%' THEN 'carrier' WHEN verifier LIKE 'broker%' THEN 'broker' WHEN verifier <> '' THEN 'system' END,
			verifier, event.payload #>> '{data,reason,code}', event.payload #>> '{data,reason,detail}', event.payload #> '{data,checks}',
			event.payload #>> '{data,certificate_holder,name}', policy ->> 'policy_type',
			canopy_summit.date_or_null(coalesce(policy ->> 'effective_date', event.payload #>> '{data,last_known_coverage,effective_date}')),
			canopy_summit.date_or_null(coalesce(policy ->> 'new_expiry_date', policy ->> 'expiry_date',
				event.payload #>> '{data,last_known_coverage,expiry_date}')),
			event.payload #>> '{data,documents,coi_pdf_id}')
		ON CONFLICT (webhook_id) DO NOTHING;
	END LOOP;
	PERFORM canopy_summit.policy_status_fold(webhook_ids);
	PERFORM canopy_summit.apply_to_uploads(webhook_ids);
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_policy_status(canopy_summit.inbox_event[]) IS 'policy.*: an event of a certificate, and what the certificate is now';

SELECT canopy_summit.define_view('summit.policy_status', 'certificates as they are now: one row a policy and holder', $view$
SELECT p.policy_status_id, p.server, p.environment, p.policy_number, p.holder_name, p.property_id, p.unit_id, p.lease_id, p.tenant_id,
	p.status, p.status_at, p.policy_type, p.effective_date, p.expiry_date, p.reason_code, p.reason_detail, p.verified_at, p.lapsed_at,
	p.reinstated_at, p.coi_pdf_id, p.upload_id
FROM canopy_summit.policy_status p$view$, $notes$
policy_status_id: key of the certificate
policy_number: number of the policy
holder_name: the certificate holder
property_id: the property, by its id in the property system
unit_id: the unit, likewise
lease_id: the lease, likewise
tenant_id: the tenant, likewise
status_at: when that occurred
policy_type: kind of policy, as Summit calls it
effective_date: first day of coverage
expiry_date: last day of coverage; of a reinstated certificate the new one
reason_code: why it lapsed or was reinstated, as a code of Summit
reason_detail: the same in words
verified_at: when it was last verified
lapsed_at: when it last lapsed
reinstated_at: when it was last reinstated
coi_pdf_id: the certificate's PDF at Summit$notes$);

SELECT canopy_summit.define_view('summit.status_event', 'history of certificates, one row a webhook', $view$
SELECT e.webhook_id, e.policy_status_id, e.server, canopy_summit.server_environment(e.server) AS environment, e.delivery_id, e.status,
	e.occurred_at, e.observed_at, e.actor, e.verifier, e.reason_code, e.reason_detail, e.checks, e.effective_date, e.expiry_date, e.coi_pdf_id
FROM canopy_summit.status_event e$view$, $notes$
webhook_id: the webhook that told
policy_status_id: the certificate, in summit.policy_status
delivery_id: Summit's id of the delivery
status: submitted, verified, lapsed or reinstated
occurred_at: when it occurred, as Summit says
actor: carrier, broker or system: from verifier
verifier: who verified, lapsed or reinstated it
reason_code: why, as a code of Summit
reason_detail: the same in words
checks: what was checked, and how it came out
effective_date: first day of coverage
expiry_date: last day of coverage; of a reinstated certificate the new one
coi_pdf_id: the certificate's PDF at Summit$notes$);
