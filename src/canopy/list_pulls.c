/*
 * list_pulls.c
 *	  canopy_list_pulls(): what pulls the API has.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "api/call.h"
#include "api/operation.h"
#include "base/coerce.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "engine/argument.h"
#include "engine/privilege.h"
#include "engine/values.h"
#include "pull/pull.h"
#include "server/connection.h"
#include "server/provider.h"

#define LIST_ID_SIZE 513 /* bytes that tell ids apart; longer ones cannot be stored */
#define LIST_PAGE    100 /* the most that get-pulls gives at once */

PG_FUNCTION_INFO_V1(canopy_summit_list_pulls);

/* The state of a listing over its pages. */
typedef struct Listing
{
	FunctionCallInfo fcinfo;
	const char *server;
	bool reads_pii;
	int max_rows;
	int rows;
	HTAB *seen; /* pull ids: pages shift when pulls arrive meanwhile */
} Listing;

/* A field of a listed pull as a column's value; NULL if it does not fit. */
static Datum
listed_field(JsonbContainer *pull, const char *name, ColumnKind kind, bool *isnull)
{
	JsonbValue *value = member_value(pull, name);
	Datum datum = (Datum) 0;

	*isnull = true;
	if (value == NULL || !coerce_value(kind, value, &datum, isnull))
		*isnull = true;
	return datum;
}

static void
list_add(Values *values, JsonbContainer *pull, const char *name, ColumnKind kind)
{
	bool isnull;
	Datum value = listed_field(pull, name, kind, &isnull);

	values_add_unless(values, isnull, value);
}

/* One listed pull as a row of the result; metadata and account only for those who may read personal data. */
static void
list_put(const Listing *listing, JsonbContainer *pull, const char *pull_id)
{
	Values values = {0};

	values_add_text(&values, pull_id);
	list_add(&values, pull, "status", COLUMN_TEXT);
	list_add(&values, pull, "type", COLUMN_TEXT);
	list_add(&values, pull, "created_at", COLUMN_TIMESTAMPTZ);
	list_add(&values, pull, "account_identifier", COLUMN_TEXT);
	if (!values.nulls[4] && !listing->reads_pii)
		values.values[4] = CStringGetTextDatum("***"); /* as the views show it */
	list_add(&values, pull, "meta_data", COLUMN_JSONB);
	values.nulls[5] |= !listing->reads_pii;
	list_add(&values, pull, "is_archived", COLUMN_BOOLEAN);
	values_add_boolean(&values, pull_is_stored(listing->server, pull_id));
	values_put_row(&values, listing->fcinfo);
}

/* Take one page; the number of pulls in it, and in *fresh how many were not seen before. */
static int
list_take_page(Listing *listing, Jsonb *page, int *fresh)
{
	JsonWalk walk;
	int count = 0;

	*fresh = 0;
	if (!JB_ROOT_IS_ARRAY(page))
		return 0;
	walk = walk_begin(&page->root);
	while (walk_next(&walk))
	{
		JsonbContainer *pull = walk.value.val.binary.data;
		char key[LIST_ID_SIZE] = "";
		bool found;
		bool isnull;
		Datum id;

		count++;
		if (!value_is_object(&walk.value))
			continue;
		id = listed_field(pull, "pull_id", COLUMN_TEXT, &isnull);
		if (isnull || listing->rows >= listing->max_rows)
			continue;
		strlcpy(key, TextDatumGetCString(id), sizeof(key));
		hash_search(listing->seen, key, HASH_ENTER, &found);
		if (found)
			continue;
		list_put(listing, pull, TextDatumGetCString(id));
		listing->rows++;
		(*fresh)++;
	}
	return count;
}

/* The parameters of one page. */
static Jsonb *
list_params(FunctionCallInfo fcinfo, int limit, int offset)
{
	static const char *const names[] = {"since", "before"};
	JsonBuilder builder = {0};

	for (int i = 0; i < lengthof(names); i++)
		if (!PG_ARGISNULL(i))
			builder_add_moment(&builder, names[i], PG_GETARG_TIMESTAMPTZ(i));
	builder_add_integer(&builder, "limit", limit);
	builder_add_integer(&builder, "offset", offset);
	return builder_finish_object(&builder);
}

/* canopy_list_pulls(since timestamptz, before timestamptz, max_rows int, server name) -> setof record */
Datum
canopy_summit_list_pulls(PG_FUNCTION_ARGS)
{
	Connection *connection = connection_open(argument_name(fcinfo, 3), PROVIDER_CANOPY);
	HASHCTL control = {.keysize = LIST_ID_SIZE,
					   .entrysize = LIST_ID_SIZE,
					   .hcxt = CurrentMemoryContext};
	Listing listing = {.fcinfo = fcinfo,
					   .server = connection->server,
					   .reads_pii = privilege_reads_pii()};
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
