/*
 * enqueue.c
 *	  What happens to a row on its way into the job table.
 *
 * The role is the effective one of the statement, read here and never from the
 * row.  A row that brings its job_id is a restored one: it stays as it is and
 * has no effect.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "api/operation.h"
#include "api/request.h"
#include "base/confidential.h"
#include "engine/engine.h"
#include "engine/instance.h"
#include "engine/lock.h"
#include "engine/new_row.h"
#include "job/handler.h"
#include "job/job.h"
#include "process/wake.h"
#include "server/connection.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_job_fill);

/* Refuse what must not be sent by job, or not by this role. */
static void
enqueue_check_right(const Operation *operation)
{
	if (operation->auth == OPERATION_AUTH_CLIENT)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("operation \"%s\" cannot be enqueued", operation->name),
						errhint("Workers get access tokens by themselves.")));
	operation_check_right(operation);
}

/* A key that an index entry can hold. */
static void
enqueue_check_key(const NewRow *row, const char *name)
{
	const char *key = new_row_text(row, name);

	if (key != NULL && strlen(key) > JOB_KEY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" of a job is longer than %d bytes", name, JOB_KEY_MAX)));
}

/*
 * Wait until no other transaction is enqueuing under the same key, so that order of
 * keys is order of commits.  A key is one of its server and owner: nobody waits for
 * another role.
 */
static void
enqueue_lock_order(Oid server, const char *key)
{
	lock_take_of(ORDERING_LOCKTAG, lock_owner_key(server, GetUserId()), lock_text_key(key));
}

/* When to send it: now unless given; nobody gets before others by naming a time that is past. */
static void
enqueue_fill_run_at(NewRow *row)
{
	int run_at = new_row_column(row, "run_at");
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	if (row->nulls[run_at] || DatumGetTimestampTz(row->values[run_at]) < now)
		new_row_put(row, "run_at", TimestampTzGetDatum(now));
}

/* Fill what has a default, and check it. */
static void
enqueue_fill_input(NewRow *row, const Operation *operation)
{
	int priority = new_row_column(row, "priority");
	int attempts = new_row_column(row, "max_attempts");
	int limit =
		operation->flags & OPERATION_BILLABLE ? JOB_BILLABLE_ATTEMPTS : JOB_DEFAULT_ATTEMPTS;

	if (row->nulls[priority])
		new_row_put(row, "priority", Int16GetDatum(JOB_DEFAULT_PRIORITY));
	if (DatumGetInt16(row->values[priority]) < 0 ||
		DatumGetInt16(row->values[priority]) >= JOB_PRIORITIES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("priority of a job must be between 0 and %d", JOB_PRIORITIES - 1)));
	if (row->nulls[attempts] ||
		(operation->flags & OPERATION_BILLABLE && DatumGetInt32(row->values[attempts]) > limit))
		new_row_put(row, "max_attempts", Int32GetDatum(limit));
	if (DatumGetInt32(row->values[attempts]) < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_attempts of a job must be at least 1")));
	enqueue_fill_run_at(row);
	enqueue_check_key(row, "ordering_key");
	enqueue_check_key(row, "dedupe_key");
	if (!new_row_is_null(row, "idempotency_key"))
		job_check_idempotency_key(new_row_text(row, "idempotency_key"));
}

/* Fill the columns that are the engine's, whatever the row says. */
static void
enqueue_fill_engine(NewRow *row, const Connection *connection)
{
	static const char *const empty[] = {"epoch",       "lease_until", "first_sent_at",
										"finished_at", "outcome",     "outcome_code",
										"reconciles",  "follows",     "outcome_status",
										"task_id"};

	new_row_put(row, "owner",
				DirectFunctionCall1(namein,
									CStringGetDatum(GetUserNameFromId(GetUserId(), false))));
	new_row_put(row, "owner_oid", ObjectIdGetDatum(GetUserId()));
	new_row_put(row, "server_oid", ObjectIdGetDatum(connection->server_oid));
	new_row_put(row, "state",
				DirectFunctionCall2(
					enum_in, CStringGetDatum("queued"),
					ObjectIdGetDatum(
						TupleDescAttr(row->descriptor, new_row_column(row, "state"))->atttypid)));
	new_row_put(row, "instance", Int64GetDatum(instance_current()));
	new_row_put(row, "fence", Int32GetDatum(0));
	new_row_put(row, "attempts", Int32GetDatum(0));
	new_row_put(row, "enqueued_at", TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	for (int i = 0; i < lengthof(empty); i++)
		new_row_clear(row, empty[i]);
	new_row_put(row, "job_id", Int64GetDatum(engine_next_key("job_id_seq")));
}

/* Check what is asked for, as canopy_call() does, and complete the row. */
static void
enqueue_fill(NewRow *row)
{
	const char *server = new_row_required_text(row, "server");
	Provider provider = connection_provider(server);
	Connection *connection = connection_open(server, provider);
	const Operation *operation = operation_find(new_row_required_text(row, "operation"), provider);
	Jsonb *params;

	if (new_row_is_null(row, "params"))
		new_row_put(row, "params", DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	new_row_clear(row, "request_hash");
	enqueue_check_right(operation);
	if (handler_find(operation)->fill != NULL)
		handler_find(operation)->fill(row, connection);
	params = new_row_json(row, "params");
	job_check_size(params, new_row_json(row, "body"));
	request_check(operation, params, new_row_json(row, "body"));
	request_check_confirmation(connection, operation, params);
	enqueue_fill_input(row, operation);
	if (new_row_text(row, "ordering_key") != NULL)
		enqueue_lock_order(connection->server_oid, new_row_text(row, "ordering_key"));
	enqueue_fill_engine(row, connection);
}

/* trigger job_fill: BEFORE INSERT ON canopy_summit.job FOR EACH ROW */
static Datum
canopy_summit_job_fill_confidential(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	NewRow row;

	new_row_begin(&row, fcinfo, "job_fill");
	if (!row.nulls[new_row_column(&row, "job_id")])
		return PointerGetDatum(trigger->tg_trigtuple);
	enqueue_fill(&row);
	wake_at_commit(DatumGetTimestampTz(row.values[new_row_column(&row, "run_at")]));
	wake_notice_absence();
	return new_row_tuple(&row);
}
