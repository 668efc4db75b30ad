/*
 * secret.c
 *	  Secrets that answers to jobs bring: kept until the job's owner takes them, an
 *	  hour at most.
 *
 * They are in a table that no level reads and no dump has, and in no answer that is
 * kept (api/redact.c).  Whoever takes one deletes it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/jsonb_get.h"
#include "engine/engine.h"
#include "engine/instance.h"
#include "engine/statement.h"
#include "job/secret.h"
#include "job/settlement.h"
#include "process/chore.h"

PG_FUNCTION_INFO_V1(canopy_summit_take_secret);

#define KEPT "interval '1 hour'"

enum
{
	SECRET_KEEP,
	SECRET_TAKE,
	SECRET_JOB,
	SECRETS_FORGET,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[SECRET_KEEP] = {3, {INT8OID, TEXTOID, INT8OID},
		"INSERT INTO canopy_summit.job_secret (job_id, secret, instance, received_at)"
		" VALUES ($1, $2, $3, now())"
		" ON CONFLICT (job_id) DO UPDATE SET secret = EXCLUDED.secret, received_at = EXCLUDED.received_at"},
	[SECRET_TAKE] = {2, {INT8OID, INT8OID},
		"DELETE FROM canopy_summit.job_secret WHERE job_id = $1 AND instance = $2"
		" AND received_at > clock_timestamp() - " KEPT " RETURNING secret"},
	[SECRET_JOB] = {2, {INT8OID, OIDOID},
		"SELECT state::text FROM canopy_summit.job WHERE job_id = $1 AND owner_oid = $2"
		" AND instance = canopy_summit.instance()"},
	[SECRETS_FORGET] = {1, {TIMESTAMPTZOID},
		"WITH old AS (SELECT job_id FROM canopy_summit.job_secret WHERE received_at <= $1 - " KEPT
		"  FOR UPDATE SKIP LOCKED),"
		" gone AS (DELETE FROM canopy_summit.job_secret s USING old WHERE s.job_id = old.job_id)"
		" SELECT min(received_at) + " KEPT " FROM canopy_summit.job_secret WHERE received_at > $1 - " KEPT},
};
/* clang-format on */

static Chore forget = {.name = "forgetting secrets that nobody took",
					   .at_scan = true,
					   .gives_way = true};

/* Keep the secrets of answers, in the transaction that settles their jobs: a List of Settlement *. */
void
secrets_keep(List *settlements, const char *field)
{
	ListCell *cell;

	foreach(cell, settlements)
	{
		const Settlement *settlement = lfirst(cell);
		const char *secret = json_text_field(settlement->answer->json, field);

		if (secret == NULL)
			continue;
		(void) statement_run(&statements[SECRET_KEEP],
							 (Datum[]){Int64GetDatum(settlement->job->job_id),
									   CStringGetTextDatum(secret),
									   Int64GetDatum(instance_current())},
							 NULL);
		chore_want(&forget, GetCurrentTimestamp());
	}
}

/* Chore: delete what nobody took. */
static TimestampTz
secrets_forget(TimestampTz now)
{
	Record record;
	TimestampTz next;

	(void) statement_run(&statements[SECRETS_FORGET], (Datum[]){TimestampTzGetDatum(now)}, NULL);
	record = statement_record(0);
	next = record_time(&record);
	return record.isnull ? DT_NOEND : next;
}

/* Refuse what is not the role's, or has not ended.  Errors: 42501, 55000. */
static void
check_job(int64 job_id, Oid role)
{
	const char *state;

	if (statement_run(&statements[SECRET_JOB],
					  (Datum[]){Int64GetDatum(job_id), ObjectIdGetDatum(role)}, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("job %lld is not one of role \"%s\"", (long long) job_id,
							   GetUserNameFromId(role, false)),
						errhint("Only the role that enqueued a job, here and not in a copy of this "
								"database, takes its secret.")));
	state = TextDatumGetCString(statement_value());
	if (strcmp(state, "queued") == 0 || strcmp(state, "running") == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("job %lld is %s", (long long) job_id, state),
						errhint("SELECT canopy_summit.wait_for_job(%lld);", (long long) job_id)));
}

/* canopy_summit.take_secret(job_id bigint) -> text */
Datum
canopy_summit_take_secret(PG_FUNCTION_ARGS)
{
	int64 job_id = PG_GETARG_INT64(0);
	MemoryContext caller = CurrentMemoryContext;
	Oid role = GetUserId();
	Engine engine;
	text *secret;

	PreventCommandIfReadOnly("take_secret()");
	engine_begin(&engine);
	check_job(job_id, role);
	if (statement_run(&statements[SECRET_TAKE],
					  (Datum[]){Int64GetDatum(job_id), Int64GetDatum(instance_current())},
					  NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA),
						errmsg("there is no secret of job %lld", (long long) job_id),
						errhint("It was taken, is older than an hour, or the job brought none.")));
	secret = (text *) MemoryContextAlloc(caller, VARSIZE_ANY(DatumGetTextPP(statement_value())));
	memcpy(secret, DatumGetTextPP(statement_value()),
		   VARSIZE_ANY(DatumGetTextPP(statement_value())));
	engine_end(&engine);
	PG_RETURN_TEXT_P(secret);
}

/* From _PG_init(). */
void
secret_register(void)
{
	forget.run = secrets_forget;
	chore_register(&forget);
}
