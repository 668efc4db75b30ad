/*
 * promotion.c
 *	  What a promotion means for jobs that were enqueued before it.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "api/operation.h"
#include "engine/instance.h"
#include "engine/statement.h"
#include "job/promotion.h"

/*
 * Have unsafe jobs wait for arm() if this server was a standby when they were
 * enqueued: what the old primary still sent is not known here.  A promotion
 * shows by a new timeline.  Inside engine_begin(), once in a worker's life.
 */
void
instance_notice_promotion(void)
{
	static const char *const read_sql = "SELECT timeline FROM canopy_summit.instance_state";
	static const char *const write_sql =
		"WITH state AS (DELETE FROM canopy_summit.instance_state)"
		" INSERT INTO canopy_summit.instance_state (timeline) VALUES ($1)";
	static const char *const disarm_sql =
		"UPDATE canopy_summit.job SET instance = $3, outcome_code = 'unarmed',"
		" outcome = 'the server was promoted: sent after canopy_summit.arm()'"
		" WHERE state = 'queued' AND instance = $1 AND operation = ANY ($2)";
	int timeline = (int) GetWALInsertionTimeLine();
	Datum arguments[3] = {Int64GetDatum(instance_current()), operations_not_repeated(),
						  Int64GetDatum(instance_disarmed(instance_current()))};
	Record known = {.isnull = true};

	if (SPI_execute(read_sql, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read canopy_summit.instance_state");
	if (SPI_processed > 0)
	{
		known = statement_record(0);
		if (record_int32(&known) == timeline)
			return;
	}
	(void) SPI_execute_with_args(write_sql, 1, (Oid[]){INT4OID}, (Datum[]){Int32GetDatum(timeline)},
								 NULL, false, 0);
	if (!known.isnull)
		(void) SPI_execute_with_args(disarm_sql, 3, (Oid[]){INT8OID, TEXTARRAYOID, INT8OID},
									 arguments, NULL, false, 0);
}
