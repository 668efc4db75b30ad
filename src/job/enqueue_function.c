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

#include "base/confidential.h"
#include "engine/statement.h"
#include "server/connection.h"

CONFIDENTIAL_FUNCTION(canopy_summit_canopy_enqueue);
CONFIDENTIAL_FUNCTION(canopy_summit_summit_enqueue);
CONFIDENTIAL_FUNCTION(canopy_summit_enqueue_fetch);

static Statement insert_job = {
	8,
	{TEXTOID, TEXTOID, JSONBOID, JSONBOID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID},
	"INSERT INTO canopy_summit.job (server, operation, params, body, priority, run_at,"
	" ordering_key, dedupe_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING job_id",
};

static Statement insert_fetches = {
	2,
	{TEXTOID, TEXTARRAYOID},
	"INSERT INTO canopy_summit.job (server, operation, params, dedupe_key)"
	" SELECT $1, 'get-pull-by-id', pg_catalog.jsonb_build_object('pullId', id),"
	" 'fetch ' OPERATOR(pg_catalog.||) id FROM pg_catalog.unnest($2) AS id RETURNING job_id",
};

/* The server of a setting that may be empty, as text. */
static Datum
default_server(const char *setting, const char *name)
{
	return CStringGetTextDatum(setting != NULL && *setting != '\0' ? setting : name);
}

/* Insert a job of the arguments (operation, params, body, server, priority, run_at, ordering_key, dedupe_key). */
static Datum
enqueue(FunctionCallInfo fcinfo, Datum server)
{
	/* Where each column of the statement is among the arguments. */
	static const int arguments[] = {3, 0, 1, 2, 4, 5, 6, 7};
	Datum values[lengthof(arguments)];
	char nulls[lengthof(arguments)];
	Datum job_id;
	bool isnull;

	for (int i = 0; i < lengthof(arguments); i++)
	{
		values[i] = PG_GETARG_DATUM(arguments[i]);
		nulls[i] = PG_ARGISNULL(arguments[i]) ? 'n' : ' ';
	}
	values[0] = PG_ARGISNULL(3) ? server : CStringGetTextDatum(NameStr(*PG_GETARG_NAME(3)));
	nulls[0] = ' ';
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	(void) statement_run(&insert_job, values, nulls);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION), errmsg("the job was not inserted"),
				 errhint("Look for a trigger of canopy_summit.job that is not the extension's.")));
	job_id = statement_column(1, &isnull);
	SPI_finish();
	return job_id;
}

/* canopy_enqueue(operation text, params jsonb, body jsonb, server name, priority integer, run_at timestamptz,
 * ordering_key text, dedupe_key text) -> bigint */
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
	Datum values[2] = {default_server(setting_canopy_server, "canopy"), PG_GETARG_DATUM(0)};

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	(void) statement_run(&insert_fetches, values, PG_ARGISNULL(0) ? " n" : "  ");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;
		Datum job_id = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		tuplestore_putvalues(result->setResult, result->setDesc, &job_id, &isnull);
	}
	SPI_finish();
	return (Datum) 0;
}
