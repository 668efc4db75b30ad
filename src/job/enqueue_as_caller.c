/*
 * enqueue_as_caller.c
 *	  A job that the caller of a function enqueues: an INSERT into the job table
 *	  as that role, whose right to it decides; the table's trigger does the rest.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "engine/statement.h"
#include "engine/values.h"
#include "job/enqueue_as_caller.h"

#define COLUMNS 8

static Statement insert_job = {
	COLUMNS,
	{TEXTOID, TEXTOID, JSONBOID, JSONBOID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID},
	"INSERT INTO canopy_summit.job (server, operation, params, body, priority, run_at,"
	" ordering_key, dedupe_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING job_id",
};

/*
 * Enqueue a job with these values of server, operation, params, body, priority,
 * run_at, ordering_key and dedupe_key; what is not given is NULL.  Returns its key.
 */
int64
enqueue_as_caller(Values *values)
{
	int64 job_id;

	while (values->count < COLUMNS)
		values_add_unless(values, true, (Datum) 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	(void) statement_run_values(&insert_job, values);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION), errmsg("the job was not inserted"),
				 errhint("Look for a trigger of canopy_summit.job that is not the extension's.")));
	job_id = DatumGetInt64(statement_value());
	SPI_finish();
	return job_id;
}
