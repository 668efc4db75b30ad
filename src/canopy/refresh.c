/*
 * refresh.c
 *	  canopy_refresh_stale(): what has not been fetched for long is fetched again.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "canopy/enqueue_found.h"
#include "engine/argument.h"
#include "engine/statement.h"
#include "server/connection.h"
#include "server/provider.h"

#define REFRESH_PRIORITY 8 /* of the jobs: after whatever somebody waits for */

PG_FUNCTION_INFO_V1(canopy_summit_refresh_stale);

/* Refuse an age that is none.  Errors: 22004 NULL, 22023 less than nothing. */
static Interval *
argument_age(FunctionCallInfo fcinfo, int number, const char *name)
{
	Interval none = {0};

	if (PG_ARGISNULL(number))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" cannot be NULL", name)));
	if (DatumGetBool(
			DirectFunctionCall2(interval_lt, PG_GETARG_DATUM(number), IntervalPGetDatum(&none))))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must not be negative", name)));
	return PG_GETARG_INTERVAL_P(number);
}

/* canopy_refresh_stale(older_than interval, server name) -> bigint: the number of jobs */
Datum
canopy_summit_refresh_stale(PG_FUNCTION_ARGS)
{
	static Statement stale = {
		2,
		{TEXTOID, INTERVALOID},
		"SELECT array_agg('get-pull-by-id'::text), array_agg(jsonb_build_object('pullId', s.pull_id)),"
		" array_agg('fetch ' || s.pull_id) FROM canopy_summit.pull_state s"
		" WHERE s.server = ANY ((SELECT ARRAY[$1] || canopy_summit.former_names($1))::text[])"
		" AND s.is_current AND s.fetched_at < now() - $2"};
	Interval *age = argument_age(fcinfo, 0, "older_than");
	Connection *connection = connection_open(argument_name(fcinfo, 1), PROVIDER_CANOPY);
	Datum arguments[2] = {CStringGetTextDatum(connection->server), IntervalPGetDatum(age)};

	PG_RETURN_INT64(enqueue_found(connection->server, &stale, arguments, REFRESH_PRIORITY));
}
