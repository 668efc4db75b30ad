/*
 * call.c
 *	  canopy_call(): one operation by name, as it answers now.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "api/answer.h"
#include "api/call.h"
#include "api/operation.h"
#include "api/request.h"
#include "base/confidential.h"
#include "engine/argument.h"
#include "engine/privilege.h"
#include "server/connection.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_call);

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
	if (operation->flags & OPERATION_BILLABLE)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("operation \"%s\" cannot be called synchronously", operation->name),
			 errdetail(
				 "It is billable, and what has been sent would not count if this transaction were rolled back."),
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

/* canopy_call(operation text, params jsonb, body jsonb, server name, confirm text) -> jsonb */
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
	if (!PG_ARGISNULL(4))
		params = request_confirm(params, text_to_cstring(PG_GETARG_TEXT_PP(4)));
	request_check(operation, params, body);
	request_check_confirmation(connection, operation, params);
	PG_RETURN_JSONB_P(answer_json(call_operation(connection, operation, params, body)));
}
