/*
 * notice.c
 *	  SQL functions by which a manager takes notices of certificates that end, and
 *	  acknowledges them: from which server, and what of it the caller may read.
 *
 * What is due is the engine's to say (summit/notice.sql), by the time at which the
 * transaction began.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

#include "engine/argument.h"
#include "engine/engine.h"
#include "engine/privilege.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "server/connection.h"
#include "server/provider.h"

PG_FUNCTION_INFO_V1(canopy_summit_notice_due);
PG_FUNCTION_INFO_V1(canopy_summit_notice_done);

/* summit_notice_due(cadence int[], max_rows int, server name, OUT …) -> setof record */
Datum
canopy_summit_notice_due(PG_FUNCTION_ARGS)
{
	static Statement take = {
		4,
		{INT4ARRAYOID, INT4OID, TEXTOID, BOOLOID},
		"SELECT n.* FROM canopy_summit.notices_on(pg_catalog.now(), $1, $2, $3, $4) AS n"};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Values arguments = {0};
	Engine engine;
	uint64 count;

	argument_add(&arguments, fcinfo, 0);
	argument_add(&arguments, fcinfo, 1);
	values_add_text(&arguments, connection_server(argument_name(fcinfo, 2), PROVIDER_SUMMIT));
	values_add_boolean(&arguments, privilege_reads_pii());
	InitMaterializedSRF(fcinfo, 0);
	engine_begin(&engine);
	count = statement_run_values(&take, &arguments);
	for (uint64 i = 0; i < count; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	engine_end(&engine);
	return (Datum) 0;
}

/* summit_notice_done(notice_id bigint, server name) -> boolean */
Datum
canopy_summit_notice_done(PG_FUNCTION_ARGS)
{
	static Statement end = {2, {INT8OID, TEXTOID}, "SELECT canopy_summit.notice_end($1, $2)"};
	Values arguments = {0};
	Engine engine;
	bool is_first;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"notice_id\" cannot be NULL")));
	argument_add(&arguments, fcinfo, 0);
	values_add_text(&arguments, connection_server(argument_name(fcinfo, 1), PROVIDER_SUMMIT));
	engine_begin(&engine);
	(void) statement_run_values(&end, &arguments);
	is_first = DatumGetBool(statement_value());
	engine_end(&engine);
	PG_RETURN_BOOL(is_first);
}
