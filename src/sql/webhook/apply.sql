-- webhook/apply.sql: what a stored webhook changes.
-- Replaceable. It comes after canopy/ and summit/, whose apply_* functions it calls.
--
-- Each apply_* function takes the events of a batch and leaves alone those that are not its own; without any it is
-- not run, being strict. All of them compare with what is there before they overwrite it, so that neither order nor
-- repetition matters. The caller has locked what the events are about: of a batch only those are taken that nobody
-- else applies, and the others stay stored, so that one that waits holds up nobody.

-- A server of the same name is another one.
CREATE FUNCTION canopy_summit.check_servers(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	gone text;
BEGIN
	SELECT e.server INTO gone FROM unnest(check_servers.events) AS e
	WHERE NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.oid = e.server_oid) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'server "%" was dropped', gone USING ERRCODE = 'undefined_object';
	END IF;
END
$$;
COMMENT ON FUNCTION canopy_summit.check_servers(canopy_summit.inbox_event[]) IS 'error 42704 if the server of an event is gone';

CREATE FUNCTION canopy_summit.follow_events(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	renamed text;
	about record;
BEGIN
	FOR renamed IN
		SELECT s.server FROM (SELECT DISTINCT e.server FROM unnest(follow_events.events) AS e) AS s
		WHERE canopy_summit.former_names(s.server) IS NOT NULL
	LOOP
		SELECT array_agg(e.subject) AS subjects,
			array_agg(canopy_summit.short_id(e.payload #>> '{monitoring,monitoring_id}')) AS monitorings,
			array_agg(canopy_summit.short_id(e.payload #>> '{data,servicing_action_id}')) AS servicings,
			array_agg(canopy_summit.short_id(e.payload #>> '{data,document_validation_id}')) AS validations
		INTO about FROM unnest(follow_events.events) AS e WHERE e.server = renamed;
		PERFORM canopy_summit.follow(n.named, 'pull_id', renamed, about.subjects)
			FROM (VALUES ('pull_progress'), ('auth_status'), ('reconnect')) AS n(named);
		PERFORM canopy_summit.follow(n.named, 'monitoring_id', renamed, about.monitorings || ''::text)
			FROM (VALUES ('monitoring'), ('monitoring_event'), ('reconnect'), ('pull_progress')) AS n(named);
		PERFORM canopy_summit.follow('servicing_action', 'servicing_action_id', renamed, about.servicings);
		PERFORM canopy_summit.follow('document_validation', 'document_validation_id', renamed, about.validations);
		PERFORM canopy_summit.follow('policy_status', 'policy_number', renamed, about.subjects);
	END LOOP;
END
$$;
COMMENT ON FUNCTION canopy_summit.follow_events(canopy_summit.inbox_event[]) IS
	'has the rows that events change follow their server, if it was renamed';

CREATE FUNCTION canopy_summit.apply_events(events canopy_summit.inbox_event[]) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT canopy_summit.check_servers(apply_events.events);
	SELECT canopy_summit.follow_events(apply_events.events);
	-- Only Summit's have a delivery_key: neither provider speaks for the other, whatever it calls an event.
	SELECT canopy_summit.apply_pull_progress(c.events), canopy_summit.apply_auth_status(c.events), canopy_summit.apply_monitoring(c.events),
		canopy_summit.apply_servicing(c.events), canopy_summit.apply_updates(c.events), canopy_summit.apply_fetches(c.events)
	FROM (SELECT array_agg(e) AS events FROM unnest(apply_events.events) AS e WHERE e.delivery_key IS NULL) AS c;
	SELECT canopy_summit.apply_policy_status(array_agg(e)) FROM unnest(apply_events.events) AS e WHERE e.delivery_key IS NOT NULL;
END;
COMMENT ON FUNCTION canopy_summit.apply_events(canopy_summit.inbox_event[]) IS 'changes what events tell of, but not the webhooks'' state';

-- A row that a transaction has locked is updated by the same one, and not by a subtransaction of it: the two
-- would make a multixact, whose index entries every scan of the stored ones would visit until the next vacuum.
CREATE FUNCTION canopy_summit.webhooks_applied(events canopy_summit.inbox_event[]) RETURNS bigint
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	UPDATE canopy_summit.webhook w SET state = 'applied', applied_at = now(), problem = NULL
	WHERE w.webhook_id = ANY (ARRAY(SELECT e.webhook_id FROM unnest(webhooks_applied.events) AS e));
	SELECT count(pg_notify('canopy_summit', json_build_object('webhook_id', e.webhook_id, 'server', e.server,
		'event', canopy_summit.documented_event(e.event))::text))
	FROM unnest(webhooks_applied.events) AS e;
END;
COMMENT ON FUNCTION canopy_summit.webhooks_applied(canopy_summit.inbox_event[]) IS
	'notes that webhooks are applied, and tells on channel canopy_summit: {"webhook_id": 1, "server": "canopy", "event": "COMPLETE"}, event "unknown" if it is no documented one; returns how many';

CREATE FUNCTION canopy_summit.apply_one(event canopy_summit.inbox_event) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	reason text;
BEGIN
	PERFORM canopy_summit.apply_events(ARRAY[apply_one.event]);
	RETURN true;
EXCEPTION
	-- These go away by themselves: it stays stored.
	WHEN lock_not_available OR transaction_rollback OR insufficient_resources OR system_error THEN
		RETURN false;
	WHEN OTHERS THEN
		reason := SQLERRM;
		UPDATE canopy_summit.webhook w SET state = 'quarantined', problem = reason WHERE w.webhook_id = apply_one.event.webhook_id;
		RETURN false;
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_one(canopy_summit.inbox_event) IS 'applies one event, or quarantines it with the reason; whether it was applied';

-- What waits for a lock all the same, as a certificate does whose upload's row an administrator has locked, waits a moment.
CREATE FUNCTION canopy_summit.apply_webhook_batch(max_rows integer, after bigint, OUT applied bigint, OUT taken integer,
	OUT last_id bigint, OUT is_full boolean)
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET lock_timeout = '10ms'
AS $$
DECLARE
	events canopy_summit.inbox_event[];
	able canopy_summit.inbox_event[];
	-- One in any case, else some 16 MB of bodies at most: each is several times as large while it is applied.
	most CONSTANT integer := least(max_rows, (
		SELECT greatest(1, 16777216 / greatest(max(octet_length(n.body)), 32768))
		FROM (SELECT i.body FROM canopy_summit.webhook i WHERE i.state = 'stored' AND i.webhook_id > apply_webhook_batch.after
			ORDER BY i.webhook_id LIMIT apply_webhook_batch.max_rows) AS n));
BEGIN
	-- One whose server is being renamed waits, as one does whose subject somebody else has.
	SELECT array_agg((w.webhook_id, w.server_now, w.event, w.subject, w.delivery_key, w.content_hash, w.signed_at, w.instance,
		w.payload, w.server_oid_now)::canopy_summit.inbox_event ORDER BY w.webhook_id), count(*), max(w.webhook_id)
	INTO events, taken, last_id
	FROM (SELECT * FROM (SELECT i.*, canopy_summit.webhook_payload(canopy_summit.stored_body(i.body)) AS payload,
				canopy_summit.server_of(i.server_oid, i.server, i.instance) AS server_oid_now,
				canopy_summit.hold_server(canopy_summit.server_of(i.server_oid, i.server, i.instance), i.server, false) AS server_now
				FROM canopy_summit.webhook i
				WHERE i.state = 'stored' AND i.webhook_id > apply_webhook_batch.after ORDER BY i.webhook_id FOR UPDATE SKIP LOCKED) AS s
			WHERE s.server_now IS NOT NULL
				AND coalesce(canopy_summit.lock_subjects(canopy_summit.event_subjects(s.server_now, s.subject, s.delivery_key, s.payload), false), true)
			LIMIT most) AS w;
	applied := 0;
	is_full := taken = most AND taken > 0;
	IF events IS NULL THEN
		RETURN;
	END IF;
	BEGIN
		-- To extend a table is a lock, too, which a slow disk makes last. If this fails, so does the setting.
		PERFORM set_config('lock_timeout', '100ms', true);
		PERFORM canopy_summit.apply_events(events);
		able := events;
	EXCEPTION WHEN OTHERS THEN
		able := ARRAY(SELECT e FROM unnest(events) AS e WHERE canopy_summit.apply_one(e));
	END;
	applied := canopy_summit.webhooks_applied(able)
		+ (SELECT count(*) FROM canopy_summit.webhook w WHERE w.state = 'quarantined'
			AND w.webhook_id = ANY (ARRAY(SELECT e.webhook_id FROM unnest(events) AS e)));
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_webhook_batch(integer, bigint) IS
	'applies stored webhooks with greater keys, oldest first, at most so many, but none that somebody else is applying; how many it took and applied or quarantined, their last key, and whether there may be more behind it';

CREATE FUNCTION canopy_summit.apply_webhooks(max_rows integer DEFAULT 500) RETURNS bigint
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT canopy_summit.apply_pending_uploads();
	SELECT b.applied FROM canopy_summit.apply_webhook_batch(apply_webhooks.max_rows, 0) AS b;
END;
COMMENT ON FUNCTION canopy_summit.apply_webhooks(integer) IS
	'applies stored webhooks, oldest first, at most so many, about a thousand a transaction; returns how many it applied or quarantined. Workers do this by themselves';

CREATE FUNCTION canopy_summit.apply_webhook(webhook_id bigint) RETURNS text
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	webhook canopy_summit.webhook;
	server_oid oid;
	event canopy_summit.inbox_event;
	payload jsonb;
BEGIN
	SELECT * INTO webhook FROM canopy_summit.webhook w WHERE w.webhook_id = apply_webhook.webhook_id FOR UPDATE;
	IF webhook.webhook_id IS NULL THEN
		RAISE EXCEPTION 'webhook % does not exist', apply_webhook.webhook_id USING ERRCODE = 'no_data_found';
	END IF;
	payload := canopy_summit.webhook_payload(canopy_summit.stored_body(webhook.body));
	IF webhook.state IN ('stored', 'quarantined') AND webhook.event IS NOT NULL AND payload IS NOT NULL THEN
		server_oid := canopy_summit.server_of(webhook.server_oid, webhook.server, webhook.instance);
		event := (webhook.webhook_id, canopy_summit.hold_server(server_oid, webhook.server, true), webhook.event, webhook.subject,
			webhook.delivery_key, webhook.content_hash, webhook.signed_at, webhook.instance, payload, server_oid);
		PERFORM canopy_summit.lock_subjects(canopy_summit.event_subjects(event.server, event.subject, event.delivery_key, payload), true);
		IF canopy_summit.apply_one(event) THEN
			PERFORM canopy_summit.webhooks_applied(ARRAY[event]);
		END IF;
	END IF;
	RETURN (SELECT w.state FROM canopy_summit.webhook w WHERE w.webhook_id = apply_webhook.webhook_id);
END
$$;
COMMENT ON FUNCTION canopy_summit.apply_webhook(bigint) IS 'tries a quarantined webhook again; returns its state then';

SELECT canopy_summit.allow('operator', 'function', 'apply_webhook apply_webhooks');
SELECT canopy_summit.allow('nobody', 'function', 'apply_webhook_batch');
