/*
 * enqueue.c
 *	  What happens to a row on its way into the job table.
 *
 * The role is the effective one of the statement, read here and never from the
 * row.  A row that brings its job_id is a restored one: it stays as it is and
 * has no effect.
 */
#include "job.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "compat.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "shared.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(canopy_summit_job_fill);

#define ORDERING_LOCKS 1024 /* at most so many locks a transaction, however many keys it has */

/* The row being inserted, changed as it is filled. */
typedef struct NewRow
{
	TupleDesc descriptor;
	Datum *values;
	bool *nulls;
} NewRow;

static int
row_column(const NewRow *row, const char *name)
{
	int number = SPI_fnumber(row->descriptor, name);

	if (number <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("table canopy_summit.job has no column \"%s\"", name)));
	return number - 1;
}

static void
row_put(NewRow *row, const char *name, Datum value)
{
	int column = row_column(row, name);

	row->values[column] = value;
	row->nulls[column] = false;
}

static void
row_clear(NewRow *row, const char *name)
{
	row->nulls[row_column(row, name)] = true;
}

/* A column as text; NULL if it is NULL. */
static const char *
row_text(const NewRow *row, const char *name)
{
	int column = row_column(row, name);

	return row->nulls[column] ? NULL : TextDatumGetCString(row->values[column]);
}

/* A column as text; an error names it if it is NULL. */
static const char *
row_required_text(const NewRow *row, const char *name)
{
	const char *value = row_text(row, name);

	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
						errmsg("column \"%s\" of a job cannot be NULL", name)));
	return value;
}

static Jsonb *
row_json(const NewRow *row, const char *name)
{
	int column = row_column(row, name);

	return row->nulls[column] ? NULL : DatumGetJsonbP(row->values[column]);
}

/* The next key of the job table, whoever asks. */
int64
job_next_id(void)
{
	Oid sequence = get_relname_relid("job_id_seq", get_namespace_oid("canopy_summit", false));

	return nextval_internal(sequence, false);
}

/* Refuse what must not be sent by job, or not by this role. */
static void
enqueue_check_right(const Operation *operation)
{
	if (operation->provider == PROVIDER_SUMMIT)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("operation \"%s\" cannot be enqueued by itself", operation->name),
			 errhint(
				 "Upload with summit_upload_policy() or by INSERT INTO summit.upload; tokens and job status are the worker's.")));
	if (operation->envelope == ENVELOPE_REDIRECT)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("operation \"%s\" cannot be enqueued", operation->name),
						errhint("It downloads a file: call it with canopy_call().")));
	if ((operation->class != OPERATION_SAFE || (operation->flags & OPERATION_SECRET)) &&
		!privilege_is_admin())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for operation \"%s\"", operation->name),
				 errhint("It %s, which needs level admin of canopy_summit.grant_access().",
						 operation->class == OPERATION_SAFE ? "returns secrets"
															: "changes something at the server")));
}

/* A key that an index entry can hold. */
static void
enqueue_check_key(const NewRow *row, const char *name)
{
	const char *key = row_text(row, name);

	if (key != NULL && strlen(key) > JOB_KEY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" of a job is longer than %d bytes", name, JOB_KEY_MAX)));
}

/* Wait until no other transaction is enqueuing under the same key, so that order of keys is order of commits. */
static void
enqueue_lock_order(const char *server, const char *key)
{
	uint32 hash = DatumGetUInt32(hash_any((const unsigned char *) key, strlen(key))) ^
				  DatumGetUInt32(hash_any((const unsigned char *) server, strlen(server)));
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, hash % ORDERING_LOCKS, ORDERING_LOCKTAG);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* Fill what has a default, and check it. */
static void
enqueue_fill_input(NewRow *row, const Operation *operation)
{
	int priority = row_column(row, "priority");
	int attempts = row_column(row, "max_attempts");
	int run_at = row_column(row, "run_at");
	int limit =
		operation->flags & OPERATION_BILLABLE ? JOB_BILLABLE_ATTEMPTS : JOB_DEFAULT_ATTEMPTS;

	if (row->nulls[priority])
		row_put(row, "priority", Int16GetDatum(JOB_DEFAULT_PRIORITY));
	if (DatumGetInt16(row->values[priority]) < 0 ||
		DatumGetInt16(row->values[priority]) >= JOB_PRIORITIES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("priority of a job must be between 0 and %d", JOB_PRIORITIES - 1)));
	if (row->nulls[attempts] ||
		(operation->flags & OPERATION_BILLABLE && DatumGetInt32(row->values[attempts]) > limit))
		row_put(row, "max_attempts", Int32GetDatum(limit));
	if (DatumGetInt32(row->values[attempts]) < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_attempts of a job must be at least 1")));
	if (row->nulls[run_at])
		row_put(row, "run_at", TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	enqueue_check_key(row, "ordering_key");
	enqueue_check_key(row, "dedupe_key");
	enqueue_check_key(row, "idempotency_key");
}

/* Fill the columns that are the engine's, whatever the row says. */
static void
enqueue_fill_engine(NewRow *row)
{
	static const char *const empty[] = {"epoch",       "lease_until",  "first_sent_at",
										"finished_at", "outcome",      "outcome_code",
										"reconciles",  "request_hash", "outcome_status"};

	row_put(row, "owner",
			DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(GetUserId(), false))));
	row_put(row, "state",
			DirectFunctionCall2(
				enum_in, CStringGetDatum("queued"),
				ObjectIdGetDatum(
					TupleDescAttr(row->descriptor, row_column(row, "state"))->atttypid)));
	row_put(row, "instance", Int64GetDatum(instance_current()));
	row_put(row, "fence", Int32GetDatum(0));
	row_put(row, "attempts", Int32GetDatum(0));
	row_put(row, "enqueued_at", TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	for (int i = 0; i < lengthof(empty); i++)
		row_clear(row, empty[i]);
	row_put(row, "job_id", Int64GetDatum(job_next_id()));
}

/* Check what is asked for, as canopy_call() does, and complete the row. */
static void
enqueue_fill(NewRow *row)
{
	const char *server = row_required_text(row, "server");
	Provider provider = connection_provider(server);
	Connection *connection = connection_open(server, provider);
	const Operation *operation = operation_find(row_required_text(row, "operation"), provider);
	Jsonb *params;

	if (row->nulls[row_column(row, "params")])
		row_put(row, "params", DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	params = row_json(row, "params");
	enqueue_check_right(operation);
	request_check(operation, params, row_json(row, "body"));
	request_check_confirmation(connection, operation, params);
	enqueue_fill_input(row, operation);
	if (row_text(row, "ordering_key") != NULL)
		enqueue_lock_order(server, row_text(row, "ordering_key"));
	enqueue_fill_engine(row);
}

/* Say once a transaction that nothing will be sent. */
static void
enqueue_notice(void)
{
	static LocalTransactionId noticed = InvalidLocalTransactionId;

	if (shared != NULL || noticed == my_lxid)
		return;
	noticed = my_lxid;
	ereport(NOTICE,
			(errmsg("no worker will send this job"),
			 errhint("Add canopy_summit to shared_preload_libraries and restart the server.")));
}

/* trigger job_fill: BEFORE INSERT ON canopy_summit.job FOR EACH ROW */
Datum
canopy_summit_job_fill(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	NewRow row;
	HeapTuple filled;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("canopy_summit.job_fill() is for BEFORE INSERT row triggers")));
	row.descriptor = RelationGetDescr(trigger->tg_relation);
	row.values = palloc(sizeof(Datum) * row.descriptor->natts);
	row.nulls = palloc(sizeof(bool) * row.descriptor->natts);
	heap_deform_tuple(trigger->tg_trigtuple, row.descriptor, row.values, row.nulls);
	if (!row.nulls[row_column(&row, "job_id")])
		return PointerGetDatum(trigger->tg_trigtuple);
	enqueue_fill(&row);
	wake_at_commit(DatumGetTimestampTz(row.values[row_column(&row, "run_at")]));
	enqueue_notice();
	filled = heap_form_tuple(row.descriptor, row.values, row.nulls);
	return PointerGetDatum(filled);
}
