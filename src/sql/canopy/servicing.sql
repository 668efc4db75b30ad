-- canopy/servicing.sql: having carriers change policies, and how far that is.
-- Replaceable; see webhook/apply.sql.

CREATE FUNCTION @extschema@.canopy_add_mortgagee(carrier_policy_number text, name text, address text, loan_number text, mortgagee_type text)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_add_mortgagee'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.canopy_add_mortgagee(text, text, text, text, text) IS
	'a servicing action that adds a mortgagee, its address in one line; mortgagee_type is FIRST, SECOND or THIRD; for canopy_create_servicing()';

CREATE FUNCTION @extschema@.canopy_edit_mortgagee(carrier_policy_number text, name text, address text, loan_number text, mortgagee_type text)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_edit_mortgagee'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.canopy_edit_mortgagee(text, text, text, text, text) IS
	'a servicing action that replaces what is said of the FIRST, SECOND or THIRD mortgagee; for canopy_create_servicing()';

CREATE FUNCTION @extschema@.canopy_remove_mortgagee(carrier_policy_number text, mortgagee_type text) RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_remove_mortgagee'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.canopy_remove_mortgagee(text, text) IS
	'a servicing action that removes the FIRST, SECOND or THIRD mortgagee; for canopy_create_servicing()';

CREATE FUNCTION @extschema@.canopy_add_vehicle(carrier_policy_number text, vehicle jsonb, registered_owner_full_name text, registered_state text,
	garaging_address text, is_customized boolean, primary_use jsonb, primary_driver_full_name text, annual_mileage numeric,
	current_mileage numeric, coverage_selections jsonb, safety_restraint_device text, anti_theft_device text, daytime_running_lights boolean,
	tracking_device boolean, vehicle_acquisition_date date, vehicle_ownership jsonb, replacing_vin text DEFAULT NULL,
	registered_co_owner_full_name text DEFAULT NULL)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'canopy_summit_add_vehicle'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.canopy_add_vehicle(text, jsonb, text, text, text, boolean, jsonb, text, numeric, numeric, jsonb, text, text, boolean, boolean, date, jsonb, text, text) IS
	'a servicing action that adds a vehicle; amounts in cents; nothing has a default, as it is told to an insurer; for canopy_create_servicing()';

CREATE FUNCTION @extschema@.canopy_create_servicing(pull_id text, actions jsonb, dry_run boolean DEFAULT false, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_create_servicing'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION @extschema@.canopy_create_servicing(text, jsonb, boolean, name) IS
	'has the carrier of a pull change its policies, by an array of actions, which are checked before, also against what the carrier offers; returns the job, NULL of a dry run, which only checks; see canopy.servicing_action';

CREATE FUNCTION @extschema@.canopy_sync_servicings(pull_id text DEFAULT NULL, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_sync_servicings'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_sync_servicings(text, name) IS
	'lists the server''s servicing actions in the background, or those of one servicing pull, page by page, and keeps what it says of them: see canopy_summit.progress; returns the job of the first page';

CREATE FUNCTION @extschema@.canopy_confirm_servicing(servicing_action_id text, is_confirmed boolean DEFAULT true, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_confirm_servicing'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_confirm_servicing(text, boolean, name) IS
	'tells that the consumer wants what canopy.servicing_action.confirmation_data says, or does not; only for an action WAITING_FOR_CONSUMER_CONFIRMATION, which newer ones never are; returns the job';

CREATE FUNCTION canopy_summit.servicing_status_of(event text, payload jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(payload #>> '{data,status}',
	CASE event WHEN 'SERVICING_WAITING_FOR_CONSUMER_CONFIRMATION' THEN 'WAITING_FOR_CONSUMER_CONFIRMATION' END);
COMMENT ON FUNCTION canopy_summit.servicing_status_of(text, jsonb) IS 'the status that a webhook tells of a servicing action; NULL if it tells none';

CREATE FUNCTION canopy_summit.apply_servicing(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
	INSERT INTO canopy_summit.servicing_status (webhook_id, server, servicing_action_id, status, previous_status, is_manual,
		validation_error_type, document_id, signed_at)
	SELECT e.webhook_id, e.server, canopy_summit.short_id(e.payload #>> '{data,servicing_action_id}'),
		canopy_summit.servicing_status_of(e.event, e.payload), e.payload #>> '{data,previous_status}',
		e.payload #> '{data,is_manual}' = 'true', e.payload #>> '{data,validation_error_type}', e.payload #>> '{data,document_id}', e.signed_at
	FROM unnest(apply_servicing.events) AS e
	WHERE e.event IN ('SERVICING_STATUS_UPDATED', 'SERVICING_WAITING_FOR_CONSUMER_CONFIRMATION')
	ON CONFLICT (webhook_id) DO NOTHING;

	-- Not every event has a status, or says what the original pull is.
	INSERT INTO canopy_summit.servicing_action AS a (server, servicing_action_id, pull_id, original_pull_id, status, validation_error_type,
		status_at, status_hash, is_manual, document_id, signed_at, content_hash)
	SELECT e.server, e.id, e.pull_id[1], e.original_pull_id, e.status[1], e.validation_error_type[1],
		coalesce(e.status_at[1], '-infinity'), coalesce(e.status_hash[1], ''), e.is_manual[1], e.document_id[1], e.signed_at[1], e.content_hash[1]
	FROM (
		SELECT n.server, n.id, array_agg(coalesce(n.subject, '') ORDER BY n.signed_at DESC, n.content_hash DESC) AS pull_id,
			max(n.original_pull_id) AS original_pull_id,
			array_agg(n.status ORDER BY n.signed_at DESC, n.content_hash DESC) FILTER (WHERE n.status IS NOT NULL) AS status,
			array_agg(n.validation_error_type ORDER BY n.signed_at DESC, n.content_hash DESC) FILTER (WHERE n.status IS NOT NULL)
				AS validation_error_type,
			array_agg(n.signed_at ORDER BY n.signed_at DESC, n.content_hash DESC) FILTER (WHERE n.status IS NOT NULL) AS status_at,
			array_agg(n.content_hash ORDER BY n.signed_at DESC, n.content_hash DESC) FILTER (WHERE n.status IS NOT NULL) AS status_hash,
			array_agg(n.is_manual ORDER BY n.signed_at DESC, n.content_hash DESC) AS is_manual,
			array_agg(n.document_id ORDER BY n.signed_at DESC, n.content_hash DESC) AS document_id,
			array_agg(n.signed_at ORDER BY n.signed_at DESC, n.content_hash DESC) AS signed_at,
			array_agg(n.content_hash ORDER BY n.signed_at DESC, n.content_hash DESC) AS content_hash
		FROM (
			SELECT v.server, v.subject, v.signed_at, v.content_hash, canopy_summit.short_id(v.payload #>> '{data,servicing_action_id}') AS id,
				canopy_summit.short_id(v.payload #>> '{data,original_pull_id}') AS original_pull_id,
				canopy_summit.servicing_status_of(v.event, v.payload) AS status, v.payload #>> '{data,validation_error_type}' AS validation_error_type,
				v.payload #> '{data,is_manual}' = 'true' AS is_manual, v.payload #>> '{data,document_id}' AS document_id
			FROM unnest(apply_servicing.events) AS v
			WHERE v.event IN ('SERVICING_STATUS_UPDATED', 'SERVICING_WAITING_FOR_CONSUMER_CONFIRMATION')) AS n
		GROUP BY n.server, n.id) AS e
	ON CONFLICT (servicing_action_id, server) DO UPDATE SET
		original_pull_id = greatest(a.original_pull_id, EXCLUDED.original_pull_id),
		(pull_id, is_manual, document_id, signed_at, content_hash) = (
			SELECT coalesce(nullif(EXCLUDED.pull_id, ''), a.pull_id), EXCLUDED.is_manual, EXCLUDED.document_id, EXCLUDED.signed_at,
				EXCLUDED.content_hash
			WHERE a.signed_at IS NULL OR canopy_summit.is_newer(EXCLUDED.signed_at, EXCLUDED.content_hash, a.signed_at, a.content_hash)
			UNION ALL SELECT a.pull_id, a.is_manual, a.document_id, a.signed_at, a.content_hash LIMIT 1),
		(status, validation_error_type, status_at, status_hash) = (
			SELECT EXCLUDED.status, EXCLUDED.validation_error_type, EXCLUDED.status_at, EXCLUDED.status_hash
			WHERE canopy_summit.is_newer(EXCLUDED.status_at, EXCLUDED.status_hash, a.status_at, a.status_hash)
			UNION ALL SELECT a.status, a.validation_error_type, a.status_at, a.status_hash LIMIT 1);
END;
COMMENT ON FUNCTION canopy_summit.apply_servicing(canopy_summit.inbox_event[]) IS 'SERVICING_*: an action''s newest state, and its history';

CREATE FUNCTION canopy_summit.servicing_created(job_id bigint, server text, told_at timestamptz, answer jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	body jsonb;
	ids text[];
BEGIN
	SELECT j.body INTO body FROM canopy_summit.job j WHERE j.job_id = servicing_created.job_id;
	-- One an action, in the order of the request.
	ids := ARRAY(SELECT canopy_summit.short_id(i.id) FROM jsonb_array_elements_text(
		CASE jsonb_typeof(answer -> 'servicing_action_ids') WHEN 'array' THEN answer -> 'servicing_action_ids' ELSE '[]' END)
		WITH ORDINALITY AS i(id, n) ORDER BY i.n);
	PERFORM canopy_summit.follow('servicing_action', 'servicing_action_id', servicing_created.server, ids);
	INSERT INTO canopy_summit.servicing_action AS a (server, servicing_action_id, pull_id, original_pull_id, type, payload, status_at, status_hash)
	SELECT DISTINCT ON (i.id) servicing_created.server, i.id, coalesce(canopy_summit.short_id(answer ->> 'pull_id'), ''),
		canopy_summit.short_id(body ->> 'pull_id'), e.action ->> 'type', e.action -> 'payload', '-infinity', ''
	FROM unnest(ids) WITH ORDINALITY AS i(id, n)
		LEFT JOIN jsonb_array_elements(CASE jsonb_typeof(body -> 'servicing_actions') WHEN 'array' THEN body -> 'servicing_actions' ELSE '[]' END) WITH ORDINALITY AS e(action, n) ON e.n = i.n
	WHERE i.id <> ''
	ORDER BY i.id, i.n
	-- A webhook may have been first.
	ON CONFLICT (servicing_action_id, server) DO UPDATE SET pull_id = coalesce(nullif(a.pull_id, ''), EXCLUDED.pull_id),
		original_pull_id = greatest(a.original_pull_id, EXCLUDED.original_pull_id), type = coalesce(a.type, EXCLUDED.type),
		payload = coalesce(a.payload, EXCLUDED.payload);
END
$$;
COMMENT ON FUNCTION canopy_summit.servicing_created(bigint, text, timestamptz, jsonb) IS 'keeps the actions that the answer to a job has made';

CREATE FUNCTION canopy_summit.servicings_take(job_id bigint, server text, told_at timestamptz, servicings jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	job canopy_summit.job;
	entries CONSTANT jsonb := CASE jsonb_typeof(servicings) WHEN 'array' THEN servicings ELSE jsonb_build_array(servicings) END;
	-- Of a listing, which is a task.
	number bigint;
	ids text[];
	fresh bigint;
BEGIN
	SELECT * INTO job FROM canopy_summit.job j WHERE j.job_id = servicings_take.job_id;
	number := job.task_id;
	ids := ARRAY(SELECT canopy_summit.short_id(CASE WHEN jsonb_typeof(e.told) = 'object' THEN e.told ->> 'servicing_action_id' END)
		FROM jsonb_array_elements(entries) WITH ORDINALITY AS e(told, n) ORDER BY e.n);
	PERFORM canopy_summit.follow(n.named, 'servicing_action_id', servicings_take.server, ids)
		FROM (VALUES ('servicing_action'), ('servicing_answer')) AS n(named);
	SELECT count(DISTINCT i.id) INTO fresh FROM unnest(ids) AS i(id) WHERE i.id <> '' AND NOT EXISTS (
		SELECT FROM canopy_summit.servicing_action a
		WHERE a.server = servicings_take.server AND a.servicing_action_id = i.id AND a.listing >= number);
	INSERT INTO canopy_summit.servicing_action AS a (server, servicing_action_id, pull_id, type, payload, status, validation_error_type,
		status_at, status_hash, confirmation_data, told_at, listing)
	SELECT DISTINCT ON (i.id) servicings_take.server, i.id, coalesce(canopy_summit.short_id(job.params ->> 'pull_id'), ''),
		e.told ->> 'type', e.told -> 'payload', e.told ->> 'status', e.told ->> 'validation_error_type',
		servicings_take.told_at, '',
		nullif(e.told -> 'confirmation_data', 'null'), servicings_take.told_at, number
	FROM unnest(ids) WITH ORDINALITY AS i(id, n) JOIN jsonb_array_elements(entries) WITH ORDINALITY AS e(told, n) ON e.n = i.n
	WHERE i.id <> ''
	ORDER BY i.id, i.n
	ON CONFLICT (servicing_action_id, server) DO UPDATE SET pull_id = coalesce(nullif(a.pull_id, ''), EXCLUDED.pull_id),
		type = coalesce(a.type, EXCLUDED.type), payload = coalesce(a.payload, EXCLUDED.payload),
		(status, validation_error_type, status_at, status_hash) = (
			SELECT EXCLUDED.status, EXCLUDED.validation_error_type, EXCLUDED.status_at, EXCLUDED.status_hash
			WHERE EXCLUDED.status IS NOT NULL
				AND canopy_summit.is_newer(EXCLUDED.status_at, EXCLUDED.status_hash, a.status_at, a.status_hash)
			UNION ALL SELECT a.status, a.validation_error_type, a.status_at, a.status_hash LIMIT 1),
		-- Of two answers the one that was asked for later.
		(confirmation_data, told_at) = (
			SELECT EXCLUDED.confirmation_data, EXCLUDED.told_at WHERE EXCLUDED.told_at >= coalesce(a.told_at, '-infinity')
			UNION ALL SELECT a.confirmation_data, a.told_at LIMIT 1),
		listing = greatest(a.listing, EXCLUDED.listing);
	INSERT INTO canopy_summit.servicing_answer AS h (server, servicing_action_id, status, validation_error_type, told_at)
	SELECT DISTINCT ON (i.id, e.told ->> 'status') servicings_take.server, i.id, e.told ->> 'status', e.told ->> 'validation_error_type',
		servicings_take.told_at
	FROM unnest(ids) WITH ORDINALITY AS i(id, n) JOIN jsonb_array_elements(entries) WITH ORDINALITY AS e(told, n) ON e.n = i.n
	WHERE i.id <> '' AND octet_length(e.told ->> 'status') BETWEEN 1 AND 100
	ORDER BY i.id, e.told ->> 'status', i.n
	ON CONFLICT (servicing_action_id, status, server) DO UPDATE SET told_at = EXCLUDED.told_at,
		validation_error_type = EXCLUDED.validation_error_type
	WHERE EXCLUDED.told_at < h.told_at;
	IF number IS NULL THEN
		RETURN NULL;
	END IF;
	RETURN CASE WHEN canopy_summit.listing_goes_on(number, fresh) THEN (job.params ->> 'offset')::bigint + cardinality(ids) END;
END
$$;
COMMENT ON FUNCTION canopy_summit.servicings_take(bigint, text, timestamptz, jsonb) IS
	'keeps what the answer to a job tells of servicing actions; of a listing, how many come before the next page, NULL if it is over';

SELECT canopy_summit.define_view('canopy.servicing_action', 'changes of policies that carriers were asked for, and how far they are', $view$
SELECT a.server, canopy_summit.server_environment(a.server) AS environment, a.servicing_action_id, nullif(a.pull_id, '') AS pull_id,
	a.original_pull_id, a.type, a.payload, a.status, a.is_manual, a.validation_error_type, a.confirmation_data, a.document_id,
	nullif(a.status_at, '-infinity') AS status_at, a.signed_at, a.told_at
FROM canopy_summit.servicing_action a$view$, $notes$
servicing_action_id: the action
pull_id: the pull of type SERVICING; NULL if nothing has said
original_pull_id: the pull whose policy is changed
type: ADD_MORTGAGEE, EDIT_MORTGAGEE, REMOVE_MORTGAGEE or ADD_VEHICLE
payload: what was asked for
status: how far it is, in Canopy's word, of which webhooks and answers have some each: QUEUED, IN_PROGRESS, PROCESSING, SUBMITTED, WAITING_FOR_CONSUMER_CONFIRMATION, SUBMITTING_CONFIRMATION, UNCONFIRMED, VERIFYING, VERIFIED, VERIFIED_WITHOUT_DOCUMENT, VERIFICATION_FAILED, SUCCESS, VALIDATION_ERROR, PROVIDER_ERROR or INTERNAL_ERROR; NULL before Canopy has told
is_manual: Canopy's team has taken over
validation_error_type: why it was refused, such as INVALID_VIN; NULL if it was not
confirmation_data: what the carrier would change: before and after, or coverages and the premium in cents
document_id: the declarations page that came of it, once it is VERIFIED
status_at: when the status was told
signed_at: when Canopy told the newest of it by webhook
told_at: when the newest answer about it was asked for$notes$);

SELECT canopy_summit.define_view('canopy.servicing_status', 'history of servicing actions: each status that a webhook or an answer has told', $view$
SELECT h.server, canopy_summit.server_environment(h.server) AS environment, h.servicing_action_id, h.status, h.previous_status, h.is_manual,
	h.validation_error_type, h.document_id, h.told_at, h.webhook_id
FROM (SELECT s.server, s.servicing_action_id, s.status, s.previous_status, s.is_manual, s.validation_error_type, s.document_id,
		s.signed_at AS told_at, s.webhook_id FROM canopy_summit.servicing_status s
		UNION ALL
		SELECT w.server, w.servicing_action_id, w.status, NULL::canopy_summit.provider_word, NULL, w.validation_error_type,
			NULL::canopy_summit.provider_id, w.told_at, NULL
		FROM canopy_summit.servicing_answer w) AS h$view$, $notes$
servicing_action_id: the action
status: how far it was, in Canopy's word
previous_status: how far before; the same if only is_manual has changed; NULL if that was not told
is_manual: Canopy's team had taken over; NULL if that was not told
validation_error_type: why it was refused, such as INVALID_VIN; NULL if it was not
document_id: the declarations page that came of it
told_at: when: signature of the webhook, or start of the first request whose answer told it
webhook_id: the webhook that told; NULL: an answer did$notes$);

SELECT canopy_summit.allow('nobody', 'function', 'servicing_created servicings_take');
