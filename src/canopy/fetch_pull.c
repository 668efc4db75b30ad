/*
 * fetch_pull.c
 *	  canopy_fetch_pull() and its like, thin: check the caller, call, store.
 *
 * Every function calls before it locks or writes.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "api/call.h"
#include "api/operation.h"
#include "base/confidential.h"
#include "base/jsonb_build.h"
#include "engine/argument.h"
#include "engine/identity.h"
#include "engine/values.h"
#include "pull/pull.h"
#include "server/connection.h"
#include "server/provider.h"

#define FUTURE_SLACK (5 * SECS_PER_MINUTE * USECS_PER_SEC) /* clocks differ */

CONFIDENTIAL_FUNCTION(canopy_summit_fetch_pull);
CONFIDENTIAL_FUNCTION(canopy_summit_store_pull);

PG_FUNCTION_INFO_V1(canopy_summit_archive_pull);

/* Fetch a pull and store it. */
static PullResult
fetch_and_store(Connection *connection, const char *pull_id, bool with_property_data)
{
	JsonBuilder params = {0};
	PullSource source = {.server_oid = connection->server_oid,
						 .server = connection->server,
						 .environment = connection->environment,
						 .stored_by = GetUserNameFromId(GetUserId(), false)};
	Answer *answer;

	builder_add_text(&params, "pullId", pull_id);
	if (with_property_data)
		builder_add_boolean(&params, "withPropertyData", true);
	answer = call_operation(connection, operation_find("get-pull-by-id", PROVIDER_CANOPY),
							builder_finish_object(&params), NULL);
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
	Values values = {0};

	values_add_text(&values, result->pull_id);
	values_add_int32(&values, result->version);
	values_add_boolean(&values, result->changed);
	values_add_text(&values, result->status);
	return values_row(&values, fcinfo);
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
	source.server_oid = connection->server_oid;
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

/* canopy_archive_pull(pull_id text, archived boolean, server name) -> boolean: what it is now */
Datum
canopy_summit_archive_pull(PG_FUNCTION_ARGS)
{
	const char *pull_id = argument_required(fcinfo, 0, "pull_id");
	Connection *connection;
	JsonBuilder params = {0};
	JsonBuilder body = {0};
	const char *server;
	bool archived;

	PreventCommandIfReadOnly("canopy_archive_pull()");
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"archived\" cannot be NULL")));
	archived = PG_GETARG_BOOL(1);
	connection = connection_open(argument_name(fcinfo, 2), PROVIDER_CANOPY);
	builder_add_text(&params, "pullId", pull_id);
	builder_add_boolean(&body, "is_archived", archived);
	call_operation(connection, operation_find("patch-pull-by-id", PROVIDER_CANOPY),
				   builder_finish_object(&params), builder_finish_object(&body));
	server = identity_server_name(connection->server_oid);
	if (server != NULL && pull_is_stored(server, pull_id))
		fetch_and_store(connection, pull_id, connection->with_property_data);
	PG_RETURN_BOOL(archived);
}
