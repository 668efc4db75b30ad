/*
 * upload_effect.c
 *	  What Summit's answers change in summit.upload, in the transaction that
 *	  settles the job: accepted, polled, verified, failed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "nodes/pg_list.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "api/failure.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/jsonb_get.h"
#include "engine/statement.h"
#include "http/transfer.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/settlement.h"
#include "process/chore.h"
#include "process/wake.h"
#include "summit/document_scan.h"
#include "summit/upload.h"
#include "summit/upload_effect.h"

#define MESSAGE_MAX 500  /* bytes of Summit's words that are kept */
#define POLL_FIRST  1000 /* ms until the next poll, at least; also in the statements below */
#define CATCH_UP    1000 /* ms until certificates are told again */

static int setting_upload_poll_limit; /* s */

enum
{
	UPLOAD_ACCEPT,
	UPLOAD_END_BY_JOB,
	UPLOAD_END,
	UPLOAD_POLL,
	CERTIFICATES_TELL,
	STATEMENT_COUNT
};

/*
 * Polls are for uploads whose webhook does not come: they are sent last, the
 * first after a second, each later one after half the time that has passed.
 */
#define POLL(run_at, follows)                                                  \
	JOB_WRITE_AFTER("operation, params, priority, run_at, follows",            \
					"'get-job', jsonb_build_object('jobId', a.summit_job_id)," \
					" 9, " run_at ", " follows)

/* Its job has not brought it to an end, or retry_job() has queued it again since. */
#define MAY_END                         \
	"(u.status IN ('queued', 'failed')" \
	" OR u.status = 'unresolved' AND u.summit_job_id IS NULL AND u.accepted_at IS NULL)"

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	/* A job_id that is another payload's already says nothing of this one. */
	[UPLOAD_ACCEPT] = {2, {INT8ARRAYOID, TEXTARRAYOID},
		"WITH given AS MATERIALIZED (SELECT a.job_id, a.summit_job_id, u.upload_id, u.request_hash, j.server_oid,"
		"   first_value(u.upload_id) OVER same AS first_id, first_value(u.request_hash) OVER same AS first_hash"
		"  FROM unnest($1, $2) AS a(job_id, summit_job_id)"
		"  JOIN summit.upload u ON u.job_id = a.job_id JOIN canopy_summit.job j ON j.job_id = a.job_id"
		"  WHERE " MAY_END
		"  WINDOW same AS (PARTITION BY j.server_oid, a.summit_job_id ORDER BY u.upload_id)),"
		" a AS MATERIALIZED (SELECT g.job_id, g.summit_job_id, CASE WHEN g.summit_job_id IS NOT NULL"
		"   THEN coalesce((SELECT min(o.upload_id) FROM summit.upload o"
		"    WHERE o.summit_job_id = g.summit_job_id AND o.request_hash <> g.request_hash AND o.accepted_at IS NOT NULL"
		"    AND canopy_summit.server_of(o.server_oid, o.server, o.instance) = g.server_oid),"
		"    CASE WHEN g.first_hash <> g.request_hash THEN g.first_id END) END AS taken_by FROM given g),"
		" accepted AS (UPDATE summit.upload u SET summit_job_id = a.summit_job_id,"
		"  status = CASE WHEN a.summit_job_id IS NULL OR a.taken_by IS NOT NULL THEN 'unresolved'"
		"   ELSE 'accepted' END,"
		"  error_message = CASE WHEN a.summit_job_id IS NULL THEN 'Summit gave no job_id'"
		"   WHEN a.taken_by IS NOT NULL THEN 'Summit gave the job_id of upload ' || a.taken_by END,"
		"  error_code = NULL, error_field = NULL, correlation_id = NULL,"
		"  accepted_at = CASE WHEN a.taken_by IS NULL THEN now() END,"
		"  finished_at = CASE WHEN a.summit_job_id IS NULL OR a.taken_by IS NOT NULL THEN now() END"
		"  FROM a WHERE u.job_id = a.job_id AND " MAY_END
		"  RETURNING u.job_id, u.summit_job_id, u.status)"
		" " POLL("now() + interval '1 second'", "j.job_id")
		" FROM accepted a JOIN canopy_summit.job j ON j.job_id = a.job_id"
		" WHERE a.status = 'accepted'"},
	[UPLOAD_END_BY_JOB] = {6, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
			TEXTARRAYOID, BOOLOID},
		"UPDATE summit.upload u SET status = CASE WHEN $6 OR d.is_open THEN 'unresolved' ELSE 'failed' END,"
		" error_code = a.code, error_field = a.field, error_message = CASE WHEN d.doubtful > 0 AND ($6 OR d.is_open)"
		"  THEN left(format('%s of %s attempts with one Idempotency-Key may have taken effect; at last: %s',"
		"   d.doubtful, d.sent, a.message), " CppAsString2(MESSAGE_MAX) ") ELSE a.message END,"
		" correlation_id = a.correlation_id, finished_at = now()"
		" FROM unnest($1, $2, $3, $4, $5) AS a(job_id, code, field, message, correlation_id)"
		" CROSS JOIN LATERAL canopy_summit.upload_doubt(a.job_id) AS d"
		" WHERE u.job_id = a.job_id AND " MAY_END},
	[UPLOAD_END] = {6, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
			TEXTARRAYOID},
		"UPDATE summit.upload u SET status = a.status, error_code = a.code,"
		" error_field = a.field, error_message = a.message, correlation_id = a.correlation_id,"
		" finished_at = now()"
		" FROM unnest($1, $2, $3, $4, $5, $6)"
		"  AS a(job_id, status, code, field, message, correlation_id)"
		" JOIN canopy_summit.job j ON j.job_id = a.job_id"
		" WHERE u.job_id = j.follows AND u.summit_job_id = j.params ->> 'jobId'"
		" AND u.status = 'accepted'"},
	[UPLOAD_POLL] = {2, {INT8ARRAYOID, INT4OID},
		"WITH a AS MATERIALIZED (SELECT j.job_id, u.upload_id, u.summit_job_id, u.accepted_at,"
		"   now() > u.accepted_at + make_interval(secs => $2) AS is_over"
		"  FROM unnest($1) AS i(job_id) JOIN canopy_summit.job j ON j.job_id = i.job_id"
		"  JOIN summit.upload u ON u.job_id = j.follows AND u.summit_job_id = j.params ->> 'jobId'"
		"  WHERE u.status = 'accepted'),"
		" ended AS (UPDATE summit.upload u SET status = 'unresolved', finished_at = now(),"
		"  error_message = 'no end within canopy_summit.upload_poll_limit'"
		"  FROM a WHERE u.upload_id = a.upload_id AND a.is_over)"
		" " POLL("now() + least(greatest((now() - a.accepted_at) / 2, interval '1 second'),"
			" interval '15 minutes')", "j.follows")
		" FROM a JOIN canopy_summit.job j ON j.job_id = a.job_id WHERE NOT a.is_over"},
	[CERTIFICATES_TELL] = {1, {INT8ARRAYOID}, "SELECT canopy_summit.apply_upload_events($1)"},
};
/* clang-format on */

/* Have the worker look for the polls that were just enqueued. */
static void
poll_announce(void)
{
	wake_at_commit(TimestampTzPlusMilliseconds(GetCurrentTimestamp(), POLL_FIRST));
}

/* The keys of the settlements' jobs. */
static Datum
job_column(List *settlements)
{
	Datum *values = palloc(sizeof(Datum) * Max(list_length(settlements), 1));
	ListCell *cell;

	foreach(cell, settlements)
		values[foreach_current_index(cell)] =
			Int64GetDatum(((Settlement *) lfirst(cell))->job->job_id);
	return statement_array(values, NULL, list_length(settlements), INT8OID);
}

/* A text member of an object, cut to what is kept; NULL if it is not one. */
static char *
member_message(JsonbContainer *object, const char *name)
{
	char *text = member_text(object, name);

	if (text != NULL)
		text[pg_mbcliplen(text, strlen(text), MESSAGE_MAX)] = '\0';
	return text;
}

/* Summit's error objects {code, field, message, correlation_id} as columns, one entry a settlement. */
typedef struct ErrorColumns
{
	List *code; /* of char *, NULL = none */
	List *field;
	List *message;
	List *correlation_id;
} ErrorColumns;

static void
error_append(ErrorColumns *columns, char *code, char *field, char *message, char *correlation_id)
{
	columns->code = lappend(columns->code, code);
	columns->field = lappend(columns->field, field);
	columns->message = lappend(columns->message, message);
	columns->correlation_id = lappend(columns->correlation_id, correlation_id);
}

/* Append the error object of an answer; what it does not say is said by the settlement. */
static void
error_take(ErrorColumns *columns, Jsonb *json, const Settlement *settlement)
{
	JsonbContainer *error = failure_error_object(json);
	char *code = member_message(error, "code");
	char *message = member_message(error, "message");
	char *field = member_message(error, "field");

	if (field == NULL && settlement->finding != NULL)
		field = pstrdup(settlement->finding); /* of documents_scan() */
	if (code == NULL && settlement->code != NULL)
		code = pstrdup(settlement->code);
	if (message == NULL)
		message = pstrdup(settlement->outcome);
	error_append(columns, code, field, message, member_message(error, "correlation_id"));
}

/* The job_id in an answer of Summit, wherever it is; NULL if there is none. */
static char *
answer_job_id(Jsonb *json)
{
	char *job_id = json ? member_message(&json->root, "job_id") : NULL;

	return job_id ? job_id : member_message(failure_error_object(json), "job_id");
}

/* Have certificates know what has become of the uploads that these settlements are about. */
static void
certificates_tell(List *settlements)
{
	Datum jobs = job_column(settlements);

	statement_run(&statements[CERTIFICATES_TELL], &jobs, NULL);
}

/* upload-policy succeeded: remember Summit's jobs, and watch them. */
static void
upload_accepted(List *settlements)
{
	List *summit_job_ids = NIL;
	ListCell *cell;

	foreach(cell, settlements)
		summit_job_ids =
			lappend(summit_job_ids, answer_job_id(((Settlement *) lfirst(cell))->answer->json));
	statement_run(&statements[UPLOAD_ACCEPT],
				  (Datum[]){job_column(settlements), statement_texts(summit_job_ids)}, NULL);
	certificates_tell(settlements);
	poll_announce();
}

/* upload-policy has come to an end: keep Summit's errors, field by field. */
static void
uploads_end(List *settlements, bool in_doubt)
{
	ErrorColumns errors = {0};
	ListCell *cell;

	foreach(cell, settlements)
	{
		const Settlement *settlement = lfirst(cell);
		const HttpResponse *response = settlement->response;
		const char *problem;
		Jsonb *json = response && response->outcome == HTTP_COMPLETE
						  ? json_read(response->body, response->body_len, NULL, &problem)
						  : NULL;

		error_take(&errors, json, settlement);
	}
	statement_run(&statements[UPLOAD_END_BY_JOB],
				  (Datum[]){job_column(settlements), statement_texts(errors.code),
							statement_texts(errors.field), statement_texts(errors.message),
							statement_texts(errors.correlation_id), BoolGetDatum(in_doubt)},
				  NULL);
}

/* upload-policy failed for good: failed, or unresolved if it may have taken effect nevertheless. */
static void
upload_ended(List *settlements)
{
	uploads_end(settlements, false);
}

/* upload-policy may have taken effect, and cannot be sent again: unresolved. */
static void
upload_doubted(List *settlements)
{
	uploads_end(settlements, true);
}

/* Whether the key was made for what was sent, and was sent with it before: else somebody used it for something else. */
static bool
key_is_ours(const Settlement *settlement)
{
	const Job *job = settlement->job;
	uint8 hash[DIGEST_LENGTH];

	if (job->request_hash == NULL ||
		(job->first_sent_at == job->claimed_at && settlement->response->sends <= 1))
		return false;
	upload_hash(job->body, hash);
	return memcmp(hash, job->request_hash, sizeof(hash)) == 0;
}

/*
 * A conflict: the key is known there, which some say by 422.  If it is ours, the job that
 * the answer names is, too, and then the answer counts as accepted; a 409 that names none
 * is said of one that is under way: it will be named once it has been done.
 */
static RetryAction
upload_judge_conflict(Settlement *settlement)
{
	const HttpResponse *response = settlement->response;
	const char *problem;
	Jsonb *json = json_read(response->body, response->body_len, NULL, &problem);

	if (!key_is_ours(settlement))
		return RETRY_FAIL;
	if (answer_job_id(json) == NULL)
		return response->status == 409 ? RETRY_AGAIN : RETRY_FAIL;
	settlement->answer = palloc0(sizeof(Answer));
	settlement->answer->json = json;
	settlement->answer->started_at = settlement->started_at;
	return RETRY_SUCCEED;
}

/* Whether a job's status is one of these words. */
static bool
is_one_of(const char *status, const char *const *words)
{
	for (; *words != NULL; words++)
		if (status != NULL && pg_strcasecmp(status, *words) == 0)
			return true;
	return false;
}

/* What the end of a poll says of the upload; NULL = nothing yet. */
static const char *
poll_end(const Settlement *settlement)
{
	static const char *const good[] = {"verified", "completed", "succeeded", NULL};
	static const char *const bad[] = {"failed", "rejected", "error", NULL};
	Jsonb *json = settlement->answer ? settlement->answer->json : NULL;
	const char *status = json_text_field(json, "status");

	if (settlement->state != JOB_SUCCEEDED)
		return "unresolved";
	return is_one_of(status, good) ? "verified" : is_one_of(status, bad) ? "failed" : NULL;
}

/* get-job ended: the uploads have come to their ends, or are polled again, or are given up. */
static void
upload_polled(List *settlements)
{
	ErrorColumns errors = {0};
	List *statuses = NIL;
	List *ended = NIL;
	List *pending = NIL;
	ListCell *cell;

	foreach(cell, settlements)
	{
		Settlement *settlement = lfirst(cell);
		const char *status = poll_end(settlement);

		if (status == NULL)
		{
			pending = lappend(pending, settlement);
			continue;
		}
		ended = lappend(ended, settlement);
		statuses = lappend(statuses, unconstify(char *, status));
		if (strcmp(status, "verified") == 0)
			error_append(&errors, NULL, NULL, NULL, NULL);
		else
			error_take(&errors, settlement->answer ? settlement->answer->json : NULL, settlement);
	}
	if (ended != NIL)
	{
		statement_run(&statements[UPLOAD_END],
					  (Datum[]){job_column(ended), statement_texts(statuses),
								statement_texts(errors.code), statement_texts(errors.field),
								statement_texts(errors.message),
								statement_texts(errors.correlation_id)},
					  NULL);
		certificates_tell(ended);
	}
	if (pending != NIL)
	{
		statement_run(&statements[UPLOAD_POLL],
					  (Datum[]){job_column(pending), Int32GetDatum(setting_upload_poll_limit)},
					  NULL);
		poll_announce();
	}
}

/* Chore: tell certificates what they could not be told because somebody had their policies. */
static TimestampTz
certificates_catch_up(TimestampTz now)
{
	static Statement apply = {.sql = "SELECT canopy_summit.apply_pending_uploads()"};

	(void) statement_run(&apply, NULL, NULL);
	return DatumGetBool(statement_value()) ? TimestampTzPlusMilliseconds(now, CATCH_UP) : DT_NOEND;
}

/* From _PG_init(). */
void
upload_effect_register(void)
{
	static Chore catch_up = {.name = "telling certificates of uploads",
							 .run = certificates_catch_up,
							 .at_scan = true,
							 .gives_way = true};

	static const JobHandler upload = {.operation = "upload-policy",
									  .fill = upload_fill_job,
									  .prepare = documents_scan,
									  .retry_delay = documents_retry_delay,
									  .judge_conflict = upload_judge_conflict,
									  .succeeded = upload_accepted,
									  .failed = upload_ended,
									  .doubted = upload_doubted};
	static const JobHandler poll = {.operation = "get-job",
									.succeeded = upload_polled,
									.failed = upload_polled};

	handler_register(&upload);
	handler_register(&poll);
	chore_register(&catch_up);
}

/* For how long an upload is watched. */
void
upload_settings(void)
{
	DefineCustomIntVariable("canopy_summit.upload_poll_limit",
							"Time after which an upload without an end becomes unresolved.", NULL,
							&setting_upload_poll_limit, 24 * 60 * 60, 1, 30 * 24 * 60 * 60,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}
