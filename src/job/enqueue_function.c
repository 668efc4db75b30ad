/*
 * enqueue_function.c
 *	  SQL functions that enqueue: an INSERT into the job table each, whose
 *	  trigger does the rest.
 *
 * They insert as the caller.  They are not SQL functions, because what is wrong
 * with an argument must not write the statement into the log.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "api/request.h"
#include "base/confidential.h"
#include "engine/argument.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "job/enqueue_as_caller.h"
#include "server/connection.h"

CONFIDENTIAL_FUNCTION(canopy_summit_canopy_enqueue);
CONFIDENTIAL_FUNCTION(canopy_summit_summit_enqueue);
CONFIDENTIAL_FUNCTION(canopy_summit_enqueue_fetch);

static Statement insert_fetches = {
	2,
	{TEXTOID, TEXTARRAYOID},
	"INSERT INTO canopy_summit.job (server, operation, params, dedupe_key)"
	" SELECT $1, 'get-pull-by-id', pg_catalog.jsonb_build_object('pullId', id),"
	" 'fetch ' OPERATOR(pg_catalog.||) id FROM pg_catalog.unnest($2) AS id RETURNING job_id",
};

/* The server of a setting that may be empty. */
static const char *
default_server(const char *setting, const char *name)
{
	return setting != NULL && *setting != '\0' ? setting : name;
}

/* Insert a job of the arguments (operation, params, body, server, priority, run_at, ordering_key, dedupe_key). */
static Datum
enqueue(FunctionCallInfo fcinfo, const char *server)
{
	/* Where each column of the job but the first is among the arguments. */
	static const int arguments[] = {0, 1, 2, 4, 5, 6, 7};
	Values values = {0};

	values_add_text(&values, PG_ARGISNULL(3) ? server : NameStr(*PG_GETARG_NAME(3)));
	for (int i = 0; i < lengthof(arguments); i++)
		argument_add(&values, fcinfo, arguments[i]);
	if (PG_NARGS() > 8 && !PG_ARGISNULL(8) && !PG_ARGISNULL(1))
		values.values[2] = JsonbPGetDatum(
			request_confirm(PG_GETARG_JSONB_P(1), text_to_cstring(PG_GETARG_TEXT_PP(8))));
	PG_RETURN_INT64(enqueue_as_caller(&values));
}

/* canopy_enqueue(operation text, params jsonb, body jsonb, server name, priority integer, run_at timestamptz,
 * ordering_key text, dedupe_key text, confirm text) -> bigint */
static Datum
canopy_summit_canopy_enqueue_confidential(PG_FUNCTION_ARGS)
{
	return enqueue(fcinfo, default_server(setting_canopy_server, "canopy"));
}

/* summit_enqueue(the same arguments) -> bigint */
static Datum
canopy_summit_summit_enqueue_confidential(PG_FUNCTION_ARGS)
{
	return enqueue(fcinfo, default_server(setting_summit_server, "summit"));
}

/* canopy_enqueue_fetch(VARIADIC pull_ids text[]) -> setof bigint */
static Datum
canopy_summit_enqueue_fetch_confidential(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Values values = {0};

	values_add_text(&values, default_server(setting_canopy_server, "canopy"));
	argument_add(&values, fcinfo, 0);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	(void) statement_run_values(&insert_fetches, &values);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Record record = statement_record(i);
		Datum job_id = record_datum(&record);

		tuplestore_putvalues(result->setResult, result->setDesc, &job_id, &record.isnull);
	}
	SPI_finish();
	return (Datum) 0;
}
