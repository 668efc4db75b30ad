/*
 * canopy.c
 *	  The SQL functions of Canopy Connect, thin: check the caller, call, store.
 *
 * Every function calls before it locks or writes.
 */
#include "canopy_summit.h"

#include "access/htup_details.h"
#include "call.h"
#include "confidential.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define FUTURE_SLACK (5 * SECS_PER_MINUTE * USECS_PER_SEC) /* clocks differ */
#define LIST_ID_SIZE 513 /* bytes that tell ids apart; longer ones cannot be stored */
#define LIST_PAGE    100 /* the most that get-pulls gives at once */

CONFIDENTIAL_FUNCTION(canopy_summit_fetch_pull);
CONFIDENTIAL_FUNCTION(canopy_summit_store_pull);
PG_FUNCTION_INFO_V1(canopy_summit_list_pulls);
PG_FUNCTION_INFO_V1(canopy_summit_archive_pull);
CONFIDENTIAL_FUNCTION(canopy_summit_call);

/* The argument as a C string; NULL if it is NULL. */
static const char *
argument_text(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

static const char *
argument_name(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : NameStr(*PG_GETARG_NAME(number));
}

/* The argument as a C string; an error names the argument if it is NULL. */
static const char *
argument_required(FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" cannot be NULL", name)));
	return argument_text(fcinfo, number);
}

/* Parameters of an operation, built field by field. */
static void
param_add(JsonbParseState **state, const char *name, JsonbValue value)
{
	JsonbValue key = {.type = jbvString};

	if (*state == NULL)
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
param_add_text(JsonbParseState **state, const char *name, const char *text)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	param_add(state, name, value);
}

static void
param_add_boolean(JsonbParseState **state, const char *name, bool boolean)
{
	JsonbValue value = {.type = jbvBool};

	value.val.boolean = boolean;
	param_add(state, name, value);
}

static Jsonb *
params_finish(JsonbParseState **state)
{
	return JsonbValueToJsonb(pushJsonbValue(state, WJB_END_OBJECT, NULL));
}

/* Fetch a pull and store it. */
static PullResult
fetch_and_store(Connection *connection, const char *pull_id, bool with_property_data)
{
	JsonbParseState *state = NULL;
	PullSource source = {.server = connection->server,
						 .environment = connection->environment,
						 .stored_by = GetUserNameFromId(GetUserId(), false)};
	Answer *answer;

	param_add_text(&state, "pullId", pull_id);
	if (with_property_data)
		param_add_boolean(&state, "withPropertyData", true);
	answer = call_operation(connection, operation_find("get-pull-by-id", PROVIDER_CANOPY),
							params_finish(&state), NULL);
	source.expected_pull_id = pull_id;
	source.fetched_at = answer->started_at;
	source.replaced = answer->replaced;
	source.received = answer->received;
	source.received_len = answer->received_len;
	return pull_store(answer->json, &source);
}

/* A PullResult as the row (pull_id, version, changed, status). */
static Datum
pull_result_row(FunctionCallInfo fcinfo, const PullResult *result)
{
	TupleDesc descriptor;
	Datum values[4];
	bool nulls[4] = {0};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(result->pull_id);
	values[1] = Int32GetDatum(result->version);
	values[2] = BoolGetDatum(result->changed);
	nulls[3] = result->status == NULL;
	values[3] = result->status ? CStringGetTextDatum(result->status) : (Datum) 0;
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

/* canopy_fetch_pull(INOUT pull_id text, with_property_data boolean, server name, OUT version, OUT changed, OUT status) */
static Datum
canopy_summit_fetch_pull_confidential(PG_FUNCTION_ARGS)
{
	const char *pull_id = argument_required(fcinfo, 0, "pull_id");
	Connection *connection;
	PullResult result;

	PreventCommandIfReadOnly("canopy_fetch_pull()");
	connection = connection_open(argument_name(fcinfo, 2), PROVIDER_CANOPY);
	result = fetch_and_store(connection, pull_id,
							 PG_ARGISNULL(1) ? connection->with_property_data : PG_GETARG_BOOL(1));
	return pull_result_row(fcinfo, &result);
}

/* canopy_store_pull(pull jsonb, server name, fetched_at timestamptz) -> (pull_id, version, changed, status) */
static Datum
canopy_summit_store_pull_confidential(PG_FUNCTION_ARGS)
{
	Connection *connection;
	PullSource source = {0};
	PullResult result;

	PreventCommandIfReadOnly("canopy_store_pull()");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" cannot be NULL",
							   PG_ARGISNULL(0) ? "pull" : "fetched_at")));
	connection = connection_open(argument_name(fcinfo, 1), PROVIDER_CANOPY);
	source.server = connection->server;
	source.environment = connection->environment;
	source.stored_by = GetUserNameFromId(GetUserId(), false);
	source.fetched_at = PG_GETARG_TIMESTAMPTZ(2);
	if (TIMESTAMP_NOT_FINITE(source.fetched_at) ||
		source.fetched_at > GetCurrentTimestamp() + FUTURE_SLACK)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"fetched_at\" must not be in the future"),
			 errhint(
				 "The state fetched last is current, so this one would hide all that follow.")));
	result = pull_store(PG_GETARG_JSONB_P(0), &source);
	return pull_result_row(fcinfo, &result);
}

/* A field of a listed pull as a column's value. */
static Datum
listed_field(JsonbContainer *pull, const char *name, ColumnKind kind, bool *isnull)
{
	JsonbValue *value = getKeyJsonValueFromContainer(pull, name, strlen(name), NULL);
	Datum datum = (Datum) 0;

	*isnull = true;
	if (value == NULL || !coerce_value(kind, value, &datum, isnull))
		*isnull = true;
	return datum;
}

/* One listed pull as a row of the result; metadata and account only for those who may read personal data. */
static void
list_put(ReturnSetInfo *result, const char *server, JsonbContainer *pull, const char *pull_id,
		 bool reads_pii)
{
	Datum values[8];
	bool nulls[8];

	values[0] = CStringGetTextDatum(pull_id);
	nulls[0] = false;
	values[1] = listed_field(pull, "status", COLUMN_TEXT, &nulls[1]);
	values[2] = listed_field(pull, "type", COLUMN_TEXT, &nulls[2]);
	values[3] = listed_field(pull, "created_at", COLUMN_TIMESTAMPTZ, &nulls[3]);
	values[4] = listed_field(pull, "account_identifier", COLUMN_TEXT, &nulls[4]);
	if (!nulls[4] && !reads_pii)
		values[4] = CStringGetTextDatum("***"); /* as the views show it */
	values[5] = listed_field(pull, "meta_data", COLUMN_JSONB, &nulls[5]);
	nulls[5] |= !reads_pii;
	values[6] = listed_field(pull, "is_archived", COLUMN_BOOLEAN, &nulls[6]);
	values[7] = BoolGetDatum(pull_is_stored(server, pull_id));
	nulls[7] = false;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* The state of a listing over its pages. */
typedef struct Listing
{
	ReturnSetInfo *result;
	const char *server;
	bool reads_pii;
	int max_rows;
	int rows;
	HTAB *seen; /* pull ids: pages shift when pulls arrive meanwhile */
} Listing;

/* Take one page; the number of pulls in it, and in *fresh how many were not seen before. */
static int
list_take_page(Listing *listing, Jsonb *page, int *fresh)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;
	int count = 0;

	*fresh = 0;
	if (!JB_ROOT_IS_ARRAY(page))
		return 0;
	iterator = JsonbIteratorInit(&page->root);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		char key[LIST_ID_SIZE] = "";
		bool found;
		bool isnull;
		Datum id;

		if (token != WJB_ELEM)
			continue;
		count++;
		if (element.type != jbvBinary || !JsonContainerIsObject(element.val.binary.data))
			continue;
		id = listed_field(element.val.binary.data, "pull_id", COLUMN_TEXT, &isnull);
		if (isnull || listing->rows >= listing->max_rows)
			continue;
		strlcpy(key, TextDatumGetCString(id), sizeof(key));
		hash_search(listing->seen, key, HASH_ENTER, &found);
		if (found)
			continue;
		list_put(listing->result, listing->server, element.val.binary.data, TextDatumGetCString(id),
				 listing->reads_pii);
		listing->rows++;
		(*fresh)++;
	}
	return count;
}

/* A moment as the API wants it, in UTC with milliseconds. */
static const char *
iso_moment(TimestampTz moment)
{
	struct pg_tm tm;
	fsec_t fraction;

	if (TIMESTAMP_NOT_FINITE(moment) || timestamp2tm(moment, NULL, &tm, &fraction, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) (fraction / 1000));
}

/* The parameters of one page. */
static Jsonb *
list_params(FunctionCallInfo fcinfo, int limit, int offset)
{
	static const char *const names[] = {"since", "before"};
	JsonbParseState *state = NULL;

	for (int i = 0; i < lengthof(names); i++)
		if (!PG_ARGISNULL(i))
			param_add_text(&state, names[i], iso_moment(PG_GETARG_TIMESTAMPTZ(i)));
	param_add_text(&state, "limit", psprintf("%d", limit));
	param_add_text(&state, "offset", psprintf("%d", offset));
	return params_finish(&state);
}

/* canopy_list_pulls(since timestamptz, before timestamptz, max_rows int, server name) -> setof record */
Datum
canopy_summit_list_pulls(PG_FUNCTION_ARGS)
{
	Connection *connection = connection_open(argument_name(fcinfo, 3), PROVIDER_CANOPY);
	HASHCTL control = {.keysize = LIST_ID_SIZE,
					   .entrysize = LIST_ID_SIZE,
					   .hcxt = CurrentMemoryContext};
	Listing listing = {.server = connection->server, .reads_pii = privilege_reads_pii()};
	MemoryContext page;
	MemoryContext old;
	int offset = 0;
	bool done;

	listing.max_rows = PG_ARGISNULL(2) ? PG_INT32_MAX : PG_GETARG_INT32(2);
	if (listing.max_rows < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"max_rows\" must not be negative")));
	done = listing.max_rows == 0;
	InitMaterializedSRF(fcinfo, 0);
	listing.result = (ReturnSetInfo *) fcinfo->resultinfo;
	listing.seen =
		hash_create("canopy_list_pulls", 256, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	page = AllocSetContextCreate(CurrentMemoryContext, "canopy_list_pulls page",
								 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(page);
	while (!done)
	{
		int limit = Min(LIST_PAGE, listing.max_rows - listing.rows);
		int fresh;
		int count;
		Answer *answer = call_operation(connection, operation_find("get-pulls", PROVIDER_CANOPY),
										list_params(fcinfo, limit, offset), NULL);

		count = list_take_page(&listing, answer->json, &fresh);
		offset += count;
		done = count < limit || fresh == 0 || listing.rows >= listing.max_rows;
		MemoryContextReset(page);
	}
	MemoryContextSwitchTo(old);
	return (Datum) 0;
}

/* canopy_archive_pull(pull_id text, archived boolean, server name) -> boolean: what it is now */
Datum
canopy_summit_archive_pull(PG_FUNCTION_ARGS)
{
	const char *pull_id = argument_required(fcinfo, 0, "pull_id");
	Connection *connection;
	JsonbParseState *params = NULL;
	JsonbParseState *body = NULL;
	bool archived;

	PreventCommandIfReadOnly("canopy_archive_pull()");
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"archived\" cannot be NULL")));
	archived = PG_GETARG_BOOL(1);
	connection = connection_open(argument_name(fcinfo, 2), PROVIDER_CANOPY);
	param_add_text(&params, "pullId", pull_id);
	param_add_boolean(&body, "is_archived", archived);
	call_operation(connection, operation_find("patch-pull-by-id", PROVIDER_CANOPY),
				   params_finish(&params), params_finish(&body));
	if (pull_is_stored(connection->server, pull_id))
		fetch_and_store(connection, pull_id, connection->with_property_data);
	PG_RETURN_BOOL(archived);
}

/* Refuse an operation that the caller may not call, or not this way. */
static void
call_check(const Operation *operation)
{
	if (operation->class == OPERATION_UNSAFE || operation->class == OPERATION_KEYED)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("operation \"%s\" cannot be called synchronously", operation->name),
			 errdetail(
				 "It changes something at the server, and a lost response would leave its outcome unknown."),
			 errhint("Enqueue it with canopy_enqueue().")));
	operation_check_right(operation);
	if ((operation->flags & OPERATION_PERSONAL) && !privilege_reads_pii())
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for operation \"%s\"", operation->name),
			 errhint(
				 "Its answer holds personal data, which needs level pii_reader of canopy_summit.grant_access().")));
}

/* canopy_call(operation text, params jsonb, body jsonb, server name) -> jsonb */
static Datum
canopy_summit_call_confidential(PG_FUNCTION_ARGS)
{
	const Operation *operation =
		operation_find(argument_required(fcinfo, 0, "operation"), PROVIDER_CANOPY);
	Jsonb *params = PG_ARGISNULL(1)
						? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")))
						: PG_GETARG_JSONB_P(1);
	Jsonb *body = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	Connection *connection;

	call_check(operation);
	if (operation->class != OPERATION_SAFE)
		PreventCommandIfReadOnly("canopy_call()");
	connection = connection_open(argument_name(fcinfo, 3), PROVIDER_CANOPY);
	request_check(operation, params, body);
	request_check_confirmation(connection, operation, params);
	PG_RETURN_JSONB_P(call_operation(connection, operation, params, body)->json);
}
