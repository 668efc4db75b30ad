-- canopy/sync.sql: finding what webhooks did not tell of.
-- Replaceable.
--
-- A sync lists the server's pulls page by page. Each page is a job of its own, whose settle takes the page, enqueues the
-- fetches of what is missing here, and the next page, in one transaction. The place is kept in the task: {offset, limit,
-- before, since, asked, job_id, enqueued, last, back, far}. The order of the listing is not documented, and pulls come and go meanwhile: nothing
-- newer than the sync is listed, a page begins with the last pulls of the one before it, and where it does not, the sync goes back.

CREATE FUNCTION @extschema@.canopy_sync_pulls(since timestamptz DEFAULT NULL, server name DEFAULT NULL,
	OUT found bigint, OUT enqueued bigint, OUT job_id bigint)
AS 'MODULE_PATHNAME', 'canopy_summit_sync_pulls'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_sync_pulls(timestamptz, name) IS
	'looks in the background for pulls of the server, since then or all, that are not here or in another state, and has them fetched; called again, it says how far that is, and goes on if it has stopped: pulls found and fetches enqueued so far, and the job that lists more';

CREATE FUNCTION canopy_summit.sync_page(args jsonb, place jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN jsonb_strip_nulls(jsonb_build_object('since', coalesce(sync_page.place -> 'since', sync_page.args -> 'since'), 'before', sync_page.place -> 'before',
	'limit', sync_page.place -> 'limit', 'offset', sync_page.place -> 'offset'));
COMMENT ON FUNCTION canopy_summit.sync_page(jsonb, jsonb) IS 'parameters of the page that a sync is at';

CREATE FUNCTION canopy_summit.sync_find(server_oid oid, role oid, args jsonb, OUT task_id bigint, OUT found bigint, OUT enqueued bigint,
	OUT job_id bigint, OUT page jsonb)
LANGUAGE sql STABLE
BEGIN ATOMIC
	-- One that is under way and goes as far back, or else one that stopped and went exactly as far. Nobody else's: it may
	-- wait for a credential that is refused.
	SELECT t.task_id, t.done, (t.position ->> 'enqueued')::bigint, j.job_id, canopy_summit.sync_page(t.args, t.position)
	FROM canopy_summit.task t
		LEFT JOIN canopy_summit.job j ON j.job_id = (t.position ->> 'job_id')::bigint AND j.state IN ('queued', 'running')
			AND j.instance = t.instance
	WHERE t.what = 'sync' AND t.state <> 'done' AND t.instance = canopy_summit.instance() AND t.server_oid = sync_find.server_oid
		AND t.started_by_oid = sync_find.role AND t.position IS NOT NULL
		AND CASE WHEN j.job_id IS NULL THEN t.args = sync_find.args
			ELSE coalesce((t.args ->> 'since')::timestamptz, '-infinity') <= coalesce((sync_find.args ->> 'since')::timestamptz, '-infinity') END
	ORDER BY j.job_id IS NULL, t.task_id DESC LIMIT 1;
END;
COMMENT ON FUNCTION canopy_summit.sync_find(oid, oid, jsonb) IS 'a sync of the role that covers what is asked for, the job that lists its next page if there is one, and that page';

CREATE FUNCTION canopy_summit.sync_take(task_id bigint, job_id bigint, pulls jsonb, OUT next jsonb, OUT wanted text[])
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- Pulls that a page shares with the one before, and how often in a row a sync may go back.
	shared CONSTANT integer := 5;
	most_back CONSTANT integer := 100;
	task canopy_summit.task;
	named text;
	place jsonb;
	size CONSTANT integer := CASE jsonb_typeof(pulls) WHEN 'array' THEN jsonb_array_length(pulls) ELSE 0 END;
	ids text[];
	seen text[];
	fresh text[];
	at integer;
	page integer;
	far integer;
	trouble text;
BEGIN
	SELECT * INTO task FROM canopy_summit.task t WHERE t.task_id = sync_take.task_id AND t.state IN ('waiting', 'running')
		AND (t.position ->> 'job_id')::bigint = sync_take.job_id FOR UPDATE;
	IF task.task_id IS NULL THEN
		RETURN;
	END IF;
	place := task.position;
	named := canopy_summit.server_name(task.server_oid, task.server, task.instance);
	at := (place ->> 'offset')::integer;
	page := (place ->> 'limit')::integer;
	far := coalesce((place ->> 'far')::integer, 0);
	seen := ARRAY(SELECT jsonb_array_elements_text(place -> 'last'));
	ids := ARRAY(SELECT e.pull ->> 'pull_id' FROM jsonb_array_elements(CASE WHEN size > 0 THEN pulls ELSE '[]' END) WITH ORDINALITY AS e(pull, n)
		WHERE octet_length(e.pull ->> 'pull_id') BETWEEN 1 AND 512 ORDER BY e.n);
	fresh := ARRAY(SELECT i FROM unnest(ids) WITH ORDINALITY AS u(i, n) WHERE i <> ALL (seen) GROUP BY i ORDER BY min(n));
	IF at > 0 AND NOT ids && seen THEN
		-- Pulls before this page have gone, and what was to come has moved up.
		place := place || jsonb_build_object('offset', greatest(0, at - page), 'back', (place ->> 'back')::integer + 1);
		fresh := '{}';
		trouble := CASE WHEN (place ->> 'back')::integer > most_back THEN 'the listing changes faster than it can be read' END;
		next := '{}';
	ELSE
		-- Where it has gone back, the page may be the one before again.
		trouble := CASE WHEN size >= page AND cardinality(fresh) = 0 AND (place ->> 'back')::integer = 0
			THEN 'the server lists the same pulls again and again' END;
		place := place || jsonb_build_object('offset', greatest(at + size - shared, at + 1),
			-- Only what is beyond all before shows that it gets on.
			'back', CASE WHEN at > far THEN 0 ELSE (place ->> 'back')::integer END, 'far', greatest(at, far), 'last', to_jsonb(ids));
		-- A page that is short is the last one only if nothing comes after it.
		next := CASE WHEN size >= page OR cardinality(fresh) > 0 THEN '{}'::jsonb END;
		IF next IS NULL AND (place ->> 'asked')::timestamptz > (place ->> 'before')::timestamptz THEN
			-- Somebody has asked since it began: then what has come since, and a little of before, as clocks differ.
			place := (place - 'asked') || jsonb_build_object(
				'since', to_char((place ->> 'before')::timestamptz AT TIME ZONE 'UTC' - interval '5 minutes', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
				'before', place -> 'asked', 'offset', 0, 'last', '[]'::jsonb, 'back', 0, 'far', 0);
			next := '{}';
		END IF;
	END IF;
	wanted := ARRAY(
		SELECT e.pull ->> 'pull_id'
		FROM jsonb_array_elements(CASE WHEN size > 0 THEN pulls ELSE '[]' END) AS e(pull)
		WHERE e.pull ->> 'pull_id' = ANY (fresh) AND NOT EXISTS (
			SELECT FROM canopy_summit.pull_state s
				LEFT JOIN canopy_summit.pull p ON p.server = s.server AND p.pull_id = s.pull_id
			WHERE s.server = ANY (named || canopy_summit.former_names(named)) AND s.pull_id = e.pull ->> 'pull_id'
				AND (p.pull_id IS NULL OR p.status IS NOT DISTINCT FROM e.pull ->> 'status'
					AND coalesce(p.is_archived, false) = (e.pull -> 'is_archived' IS NOT DISTINCT FROM 'true'::jsonb))));
	IF trouble IS NOT NULL THEN
		place := place || '{"back": 0, "far": 0}';
	END IF;
	place := place || jsonb_build_object('enqueued', (place ->> 'enqueued')::bigint + cardinality(wanted));
	next := CASE WHEN trouble IS NULL AND next IS NOT NULL THEN canopy_summit.sync_page(task.args, place) END;
	UPDATE canopy_summit.task t SET position = place, done = t.done + cardinality(fresh), updated_at = clock_timestamp(),
		began_at = coalesce(t.began_at, now()), problem = trouble,
		state = CASE WHEN trouble IS NOT NULL THEN 'failed' WHEN sync_take.next IS NULL THEN 'done' ELSE 'running' END::canopy_summit.task_state,
		finished_at = CASE WHEN sync_take.next IS NULL THEN now() END
	WHERE t.task_id = sync_take.task_id;
END
$$;
COMMENT ON FUNCTION canopy_summit.sync_take(bigint, bigint, jsonb) IS
	'takes a page of a sync: the parameters of the next one, NULL if it is over, and the pulls that are to be fetched; nothing if the job is not the one that the sync waits for';

CREATE FUNCTION canopy_summit.sync_follow_job() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE canopy_summit.task t SET updated_at = clock_timestamp(),
		state = CASE WHEN NEW.state IN ('failed', 'cancelled') THEN 'failed' ELSE 'running' END::canopy_summit.task_state,
		problem = CASE WHEN NEW.state IN ('failed', 'cancelled') THEN NEW.outcome END,
		finished_at = CASE WHEN NEW.state IN ('failed', 'cancelled') THEN now() END
	WHERE t.task_id = NEW.task_id AND t.state <> 'done' AND (t.position ->> 'job_id')::bigint = NEW.job_id;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION canopy_summit.sync_follow_job() IS
	'trigger: a task that lists page by page, of pulls or monitorings, stops when the job of its next page has failed or was cancelled, and goes on when that is sent again';
CREATE TRIGGER sync_follow_job AFTER UPDATE OF state ON canopy_summit.job
	FOR EACH ROW WHEN (NEW.task_id IS NOT NULL AND NEW.state IS DISTINCT FROM OLD.state
		AND (NEW.state IN ('failed', 'cancelled') OR OLD.state = 'failed'))
	EXECUTE FUNCTION canopy_summit.sync_follow_job();

CREATE FUNCTION canopy_summit.sync_halve(task_id bigint, job_id bigint) RETURNS jsonb
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	UPDATE canopy_summit.task t
	SET position = t.position || jsonb_build_object('limit', greatest(1, (t.position ->> 'limit')::integer / 2))
	WHERE t.task_id = sync_halve.task_id AND t.state = 'failed' AND (t.position ->> 'job_id')::bigint = sync_halve.job_id
	RETURNING CASE WHEN (t.position ->> 'limit')::integer >= 5 THEN canopy_summit.sync_page(t.args, t.position) END;
END;
COMMENT ON FUNCTION canopy_summit.sync_halve(bigint, bigint) IS
	'makes the pages of a sync half as long, after one that was too large; parameters of the one that is to be asked for instead, NULL if they are short enough already';

CREATE FUNCTION canopy_summit.sync_place(task_id bigint, job_id bigint, page jsonb) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	UPDATE canopy_summit.job j SET task_id = sync_place.task_id WHERE j.job_id = sync_place.job_id AND j.task_id IS NULL;
	UPDATE canopy_summit.task t SET state = 'running', problem = NULL, finished_at = NULL, updated_at = clock_timestamp(),
		position = coalesce(t.position, '{"enqueued": 0, "last": [], "back": 0}') || sync_place.page
			|| jsonb_build_object('job_id', sync_place.job_id)
	WHERE t.task_id = sync_place.task_id;
END;
COMMENT ON FUNCTION canopy_summit.sync_place(bigint, bigint, jsonb) IS 'notes which job lists the page that such a task is at';

CREATE FUNCTION canopy_summit.sync_ask(task_id bigint, asked jsonb) RETURNS boolean
LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH noted AS (
		UPDATE canopy_summit.task t SET position = t.position || sync_ask.asked WHERE t.task_id = sync_ask.task_id AND t.state <> 'done' RETURNING 1)
	SELECT count(*) > 0 FROM noted;
END;
COMMENT ON FUNCTION canopy_summit.sync_ask(bigint, jsonb) IS
	'notes that somebody wants what a sync finds that has begun, and what has come since: {asked: when}; false if it is over by now';

SELECT canopy_summit.allow('fetcher', 'function', 'canopy_sync_pulls');
SELECT canopy_summit.allow('nobody', 'function', 'sync_page sync_find sync_ask sync_take sync_follow_job sync_halve sync_place');
