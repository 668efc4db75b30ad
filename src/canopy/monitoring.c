/*
 * monitoring.c
 *	  Functions that have Canopy look after an account: each enqueues a job, and
 *	  nothing is sent before COMMIT.
 *
 * An interval is of whole years, months and days, and 30 days at least, where a
 * month counts as 30 (operations post-monitoring and patch-monitoring).
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/jsonb_build.h"
#include "canopy/enqueue_operation.h"
#include "canopy/listing.h"
#include "engine/argument.h"

#define INTERVAL_DAYS 30 /* at least */

PG_FUNCTION_INFO_V1(canopy_summit_monitor_pull);
PG_FUNCTION_INFO_V1(canopy_summit_change_monitoring);
PG_FUNCTION_INFO_V1(canopy_summit_stop_monitoring);
PG_FUNCTION_INFO_V1(canopy_summit_refresh_monitoring);
PG_FUNCTION_INFO_V1(canopy_summit_sync_monitorings);

/* Parameters that name the monitoring of the first argument. */
static Jsonb *
monitoring_params(FunctionCallInfo fcinfo)
{
	JsonBuilder builder = {0};

	builder_add_text(&builder, "monitoringId", argument_required(fcinfo, 0, "monitoring_id"));
	return builder_finish_object(&builder);
}

/* What keeps changes of one monitoring in order, also if one of them is repeated. */
static const char *
monitoring_order(FunctionCallInfo fcinfo)
{
	return psprintf("monitoring %s", argument_required(fcinfo, 0, "monitoring_id"));
}

/* Add argument `every`, if it is not NULL, as an ISO 8601 duration.  Error: 22023. */
static void
body_add_every(JsonBuilder *body, FunctionCallInfo fcinfo, int number)
{
	const Interval *every;
	StringInfoData text;

	if (PG_ARGISNULL(number))
		return;
	every = PG_GETARG_INTERVAL_P(number);
	if (every->time != 0 || every->month < 0 || every->day < 0 ||
		(int64) every->month * INTERVAL_DAYS + every->day < INTERVAL_DAYS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"every\" must be whole years, months and days, "
							   "at least %d days",
							   INTERVAL_DAYS),
						errhint("For example interval '30 days', or interval '1 month'.")));
	initStringInfo(&text);
	appendStringInfoChar(&text, 'P');
	if (every->month / MONTHS_PER_YEAR != 0)
		appendStringInfo(&text, "%dY", every->month / MONTHS_PER_YEAR);
	if (every->month % MONTHS_PER_YEAR != 0)
		appendStringInfo(&text, "%dM", every->month % MONTHS_PER_YEAR);
	if (every->day != 0)
		appendStringInfo(&text, "%dD", every->day);
	builder_add_text(body, "interval", text.data);
}

/* Add an argument that is a moment, if it is not NULL.  Error: 22023. */
static void
body_add_moment(JsonBuilder *body, FunctionCallInfo fcinfo, int number, const char *name)
{
	if (PG_ARGISNULL(number))
		return;
	if (TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(number)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must be finite", name),
						errhint("NULL leaves it to Canopy.")));
	builder_add_moment(body, name, PG_GETARG_TIMESTAMPTZ(number));
}

/* Add a status that monitorings have, if the argument is not NULL.  Error: 22023. */
static void
body_add_status(JsonBuilder *body, FunctionCallInfo fcinfo, int number)
{
	char *status;

	if (PG_ARGISNULL(number))
		return;
	status = text_to_cstring(PG_GETARG_TEXT_PP(number));
	if (strcmp(status, "ACTIVE") != 0 && strcmp(status, "STOPPED") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"status\" must be ACTIVE or STOPPED")));
	builder_add_text(body, "status", status);
}

/* canopy_monitor_pull(pull_id text, every interval, next_pull_date timestamptz, stop_after_date timestamptz,
 * server name) -> bigint: the job */
Datum
canopy_summit_monitor_pull(PG_FUNCTION_ARGS)
{
	JsonBuilder body = {0};

	builder_add_text(&body, "pull_id", argument_required(fcinfo, 0, "pull_id"));
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"every\" cannot be NULL")));
	body_add_every(&body, fcinfo, 1);
	body_add_moment(&body, fcinfo, 2, "next_pull_date");
	body_add_moment(&body, fcinfo, 3, "stop_after_date");
	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, 4), "post-monitoring", NULL,
									  builder_finish_object(&body), NULL));
}

/* canopy_change_monitoring(monitoring_id text, every interval, next_pull_date timestamptz, stop_after_date timestamptz,
 * status text, server name) -> bigint: the job */
Datum
canopy_summit_change_monitoring(PG_FUNCTION_ARGS)
{
	JsonBuilder body = {0};

	if (PG_ARGISNULL(1) && PG_ARGISNULL(2) && PG_ARGISNULL(3) && PG_ARGISNULL(4))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is nothing to change"),
				 errhint("Give every, next_pull_date, stop_after_date or status.")));
	body_add_every(&body, fcinfo, 1);
	body_add_moment(&body, fcinfo, 2, "next_pull_date");
	body_add_moment(&body, fcinfo, 3, "stop_after_date");
	body_add_status(&body, fcinfo, 4);
	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, 5), "patch-monitoring",
									  monitoring_params(fcinfo), builder_finish_object(&body),
									  monitoring_order(fcinfo)));
}

/* canopy_stop_monitoring(monitoring_id text, server name) -> bigint: the job */
Datum
canopy_summit_stop_monitoring(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, 1), "delete-monitoring",
									  monitoring_params(fcinfo), NULL, monitoring_order(fcinfo)));
}

/* canopy_refresh_monitoring(monitoring_id text, server name) -> bigint: the job */
Datum
canopy_summit_refresh_monitoring(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, 1), "post-monitoring-refresh",
									  monitoring_params(fcinfo), NULL, NULL));
}

/* canopy_sync_monitorings(server name) -> bigint: the job that lists the first of them (monitoring_effect.c) */
Datum
canopy_summit_sync_monitorings(PG_FUNCTION_ARGS)
{
	JsonBuilder params = {0};

	builder_add_integer(&params, "limit", LISTING_PAGE);
	PG_RETURN_INT64(listing_start(argument_name(fcinfo, 0), "monitorings", "get-monitorings",
								  builder_finish_object(&params)));
}
