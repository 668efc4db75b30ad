/*
 * upload_effect.c
 *	  What Summit's answers change in summit.upload, in the transaction that
 *	  settles the job: accepted, polled, verified, failed.
 */
#include "upload.h"

#include "catalog/pg_type.h"
#include "common/sha2.h"
#include "effect.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#define POLL_FIRST   1000             /* ms after the upload was accepted */
#define POLL_LONGEST (15 * 60 * 1000) /* ms between polls */
#define MESSAGE_MAX  500              /* bytes of Summit's words that are kept */

typedef enum Statement
{
	UPLOAD_ACCEPT,
	UPLOAD_END_BY_JOB,
	UPLOAD_END,
	UPLOAD_FIND,
	STATEMENT_COUNT
} Statement;

/* clang-format off */
static const struct
{
	int argument_count;
	Oid arguments[8];
	const char *sql;
} statements[STATEMENT_COUNT] = {
	[UPLOAD_ACCEPT] = {3, {INT8OID, TEXTOID, TEXTOID},
		"UPDATE summit.upload SET status = $3, summit_job_id = $2, accepted_at = now()"
		" WHERE job_id = $1 AND status = 'queued'"},
	[UPLOAD_END_BY_JOB] = {6, {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
		"UPDATE summit.upload SET status = $2, error_code = $3, error_field = $4,"
		" error_message = $5, correlation_id = $6, finished_at = now()"
		" WHERE job_id = $1 AND status = 'queued'"},
	[UPLOAD_END] = {7, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
		"UPDATE summit.upload SET status = $2, error_code = $3, error_field = $4,"
		" error_message = $5, correlation_id = $6, finished_at = now()"
		" WHERE summit_job_id = $1 AND server = $7 AND status = 'accepted'"},
	[UPLOAD_FIND] = {2, {TEXTOID, TEXTOID},
		"SELECT accepted_at FROM summit.upload"
		" WHERE summit_job_id = $1 AND server = $2 AND status = 'accepted' ORDER BY 1 LIMIT 1"},
};
/* clang-format on */

static uint64
statement_run(Statement statement, Datum *arguments, const char *nulls)
{
	static SPIPlanPtr plans[STATEMENT_COUNT];

	if (plans[statement] == NULL)
	{
		SPIPlanPtr plan =
			SPI_prepare(statements[statement].sql, statements[statement].argument_count,
						(Oid *) statements[statement].arguments);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
		plans[statement] = plan;
	}
	if (SPI_execute_plan(plans[statement], arguments, nulls, false, 0) < 0)
		elog(ERROR, "could not run a statement: %s", SPI_result_code_string(SPI_result));
	return SPI_processed;
}

/* A text member of an object, cut to what is kept; NULL if it is none. */
static char *
member_text(JsonbContainer *object, const char *name)
{
	JsonbValue *value =
		object ? getKeyJsonValueFromContainer(object, name, strlen(name), NULL) : NULL;

	if (value == NULL || value->type != jbvString || value->val.string.len == 0)
		return NULL;
	return pnstrdup(value->val.string.val,
					pg_mbcliplen(value->val.string.val, value->val.string.len, MESSAGE_MAX));
}

/* Summit's error object {code, message, field, correlation_id} as four arguments, from the first on. */
static void
error_arguments(JsonbContainer *error, const char *fallback_code, const char *fallback_message,
				Datum *arguments, char *nulls)
{
	const char *texts[4] = {member_text(error, "code"), member_text(error, "field"),
							member_text(error, "message"), member_text(error, "correlation_id")};

	texts[0] = texts[0] ? texts[0] : fallback_code;
	texts[2] = texts[2] ? texts[2] : fallback_message;
	for (int i = 0; i < lengthof(texts); i++)
	{
		nulls[i] = texts[i] ? ' ' : 'n';
		arguments[i] = texts[i] ? CStringGetTextDatum(texts[i]) : (Datum) 0;
	}
}

/* The job_id in an answer of Summit, wherever it is; NULL if there is none. */
static char *
answer_job_id(Jsonb *json)
{
	JsonbValue *error = failure_error_object(json);
	char *job_id;

	if (json == NULL || !JB_ROOT_IS_OBJECT(json))
		return NULL;
	job_id = member_text(&json->root, "job_id");
	return job_id || error == NULL ? job_id : member_text(error->val.binary.data, "job_id");
}

/* Ask for the state of a job of Summit's after so many milliseconds. */
static void
poll_enqueue(const Job *job, const char *summit_job_id, int64 delay)
{
	JsonbParseState *state = NULL;
	JsonbValue value = {.type = jbvString};
	JobSpec spec = {.server = job->server, .operation = "get-job", .owner = job->owner};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	value.val.string.val = "jobId";
	value.val.string.len = strlen("jobId");
	pushJsonbValue(&state, WJB_KEY, &value);
	value.val.string.val = unconstify(char *, summit_job_id);
	value.val.string.len = strlen(summit_job_id);
	pushJsonbValue(&state, WJB_VALUE, &value);
	spec.params = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	spec.priority = job->priority;
	spec.run_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay);
	(void) job_insert(&spec);
}

/* upload-policy succeeded: remember Summit's job, and watch it. */
void
upload_accepted(Flight *flight)
{
	char *summit_job_id = answer_job_id(flight->answer->json);
	Datum arguments[3] = {Int64GetDatum(flight->job->job_id),
						  summit_job_id ? CStringGetTextDatum(summit_job_id) : (Datum) 0,
						  CStringGetTextDatum(summit_job_id ? "accepted" : "unresolved")};

	statement_run(UPLOAD_ACCEPT, arguments, summit_job_id ? "   " : " n ");
	if (summit_job_id != NULL)
		poll_enqueue(flight->job, summit_job_id, POLL_FIRST);
}

/* upload-policy failed for good: keep Summit's error, field by field. */
void
upload_ended(Flight *flight)
{
	const HttpResponse *response = flight->settlement.response;
	const char *problem;
	Jsonb *json = response && response->outcome == HTTP_COMPLETE
					  ? json_read(response->body, response->body_len, NULL, &problem)
					  : NULL;
	JsonbValue *error = failure_error_object(json);
	Datum arguments[6] = {Int64GetDatum(flight->job->job_id), CStringGetTextDatum("failed")};
	char nulls[7] = "      ";

	error_arguments(error ? error->val.binary.data : NULL, flight->settlement.code,
					flight->settlement.outcome, &arguments[2], &nulls[2]);
	statement_run(UPLOAD_END_BY_JOB, arguments, nulls);
}

/*
 * A 409: the key is known there.  Its job is ours if what was sent is what the
 * key was made for; then the answer counts as accepted.
 */
bool
upload_adopt_conflict(Flight *flight)
{
	const HttpResponse *response = flight->settlement.response;
	const char *problem;
	uint8 hash[PG_SHA256_DIGEST_LENGTH];
	Jsonb *json = json_read(response->body, response->body_len, NULL, &problem);

	if (answer_job_id(json) == NULL || flight->job->request_hash == NULL)
		return false;
	upload_hash(flight->job->body, hash);
	if (memcmp(hash, flight->job->request_hash, sizeof(hash)) != 0)
		return false;
	flight->answer = palloc0(sizeof(Answer));
	flight->answer->json = json;
	flight->answer->started_at = flight->started_at;
	return true;
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

/* Let the uploads of a Summit job end. */
static void
uploads_end(const Job *job, const char *summit_job_id, const char *status, JsonbContainer *error,
			const char *message)
{
	Datum arguments[7] = {CStringGetTextDatum(summit_job_id), CStringGetTextDatum(status)};
	char nulls[8] = "       ";

	error_arguments(error, NULL, message, &arguments[2], &nulls[2]);
	arguments[6] = CStringGetTextDatum(job->server);
	statement_run(UPLOAD_END, arguments, nulls);
}

/* When the upload of a Summit job that has no end yet was accepted; DT_NOEND: none waits for it. */
static TimestampTz
upload_accepted_at(const Job *job, const char *summit_job_id)
{
	Datum arguments[2] = {CStringGetTextDatum(summit_job_id), CStringGetTextDatum(job->server)};
	bool isnull;

	if (statement_run(UPLOAD_FIND, arguments, NULL) == 0)
		return DT_NOEND;
	return DatumGetTimestampTz(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* get-job ended: the upload has come to its end, or is polled again, or is given up. */
void
upload_polled(Flight *flight)
{
	static const char *const good[] = {"verified", "completed", "succeeded", NULL};
	static const char *const bad[] = {"failed", "rejected", "error", NULL};
	const Job *job = flight->job;
	const char *summit_job_id = json_text_field(job->params, "jobId");
	Jsonb *json = flight->answer ? flight->answer->json : NULL;
	const char *status = json && JB_ROOT_IS_OBJECT(json) ? json_text_field(json, "status") : NULL;
	JsonbValue *error = failure_error_object(json);
	TimestampTz accepted_at = upload_accepted_at(job, summit_job_id);
	int64 age;

	if (accepted_at == DT_NOEND)
		return;
	age = TimestampDifferenceMilliseconds(accepted_at, GetCurrentTimestamp());
	if (is_one_of(status, good))
		uploads_end(job, summit_job_id, "verified", NULL, NULL);
	else if (is_one_of(status, bad))
		uploads_end(job, summit_job_id, "failed", error ? error->val.binary.data : NULL, NULL);
	else if (flight->settlement.state != JOB_SUCCEEDED)
		uploads_end(job, summit_job_id, "unresolved", NULL, flight->settlement.outcome);
	else if (age > 1000 * (int64) setting_upload_poll_limit)
		uploads_end(job, summit_job_id, "unresolved", NULL, "no end within upload_poll_limit");
	else
		poll_enqueue(job, summit_job_id, Min(Max(age / 2, POLL_FIRST), POLL_LONGEST));
}
