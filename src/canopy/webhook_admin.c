/*
 * webhook_admin.c
 *	  Functions that have Canopy send webhooks, or stop it: each enqueues a job, and
 *	  nothing is sent before COMMIT.
 *
 * Canopy makes the signing secret, and tells it once, with the answer: job/secret.c
 * keeps it for whoever has enqueued.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/confidential.h"
#include "base/jsonb_build.h"
#include "canopy/enqueue_operation.h"
#include "canopy/webhook_admin.h"
#include "engine/argument.h"
#include "http/url.h"
#include "job/handler.h"
#include "job/secret.h"
#include "server/connection.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_register_webhook);
PG_FUNCTION_INFO_V1(canopy_summit_change_webhook);
PG_FUNCTION_INFO_V1(canopy_summit_delete_webhook);

/* Whether the documentation of operation post-webhooks lists an event type; webhooks have others, too. */
static bool
is_documented(const char *type)
{
	static const char *const types[] = {"COMPLETE", "POLICIES_AVAILABLE", "POLICY_AVAILABLE",
										"AUTH_STATUS", "VALIDATION_COMPLETE"};

	for (int i = 0; i < lengthof(types); i++)
		if (strcmp(types[i], type) == 0)
			return true;
	return false;
}

/* Refuse what is no event type; say so of one that may not do.  Error: 22023. */
static void
check_event_type(const char *type)
{
	if (*type == '\0' || strspn(type, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != strlen(type))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"event_types\" has an element that is no event type"),
						errhint("Such as COMPLETE: capital letters and underscores.")));
	if (!is_documented(type))
		ereport(NOTICE,
				(errmsg("event type \"%s\" is not among those that the API documents", type),
				 errhint(
					 "If Canopy refuses it, choose it for the webhook in Canopy's dashboard.")));
}

/* Add argument `event_types`, an array that is not NULL.  Errors: 22023, 22004. */
static void
body_add_event_types(JsonBuilder *body, FunctionCallInfo fcinfo, int number)
{
	Datum *types;
	bool *nulls;
	int count;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(number), TEXTOID, -1, false, TYPALIGN_INT, &types,
					  &nulls, &count);
	if (count == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"event_types\" is empty"),
						errhint("Without any, nothing is delivered: is_active => false says so.")));
	builder_key(body, "eventTypes");
	builder_begin_array(body);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument \"event_types\" cannot have a NULL")));
		check_event_type(TextDatumGetCString(types[i]));
		builder_put_text(body, WJB_ELEM, TextDatumGetCString(types[i]));
	}
	builder_end_array(body);
}

/* Parameters that name the webhook of the first argument. */
static void
params_add_webhook(JsonBuilder *params, FunctionCallInfo fcinfo)
{
	builder_add_text(params, "webhookId", argument_required(fcinfo, 0, "webhook_id"));
}

/* What keeps changes of one webhook in order, also if one of them is repeated. */
static const char *
webhook_order(FunctionCallInfo fcinfo)
{
	return psprintf("webhook %s", argument_required(fcinfo, 0, "webhook_id"));
}

/* Tell where the signing secret will be, and where it belongs. */
static void
tell_of_secret(int64 job_id, const char *server)
{
	const char *file = connection_webhook_secret_file(server);
	const char *role = GetUserNameFromId(connection_webhook_role(server), true);

	ereport(
		NOTICE,
		(errmsg("job %lld registers the webhook, and brings its signing secret",
				(long long) job_id),
		 file
			 ? errhint("Append what canopy_summit.take_secret(%lld) returns, within an hour of the "
					   "answer, as a line of its own to the file \"%s\".",
					   (long long) job_id, file)
			 : errhint("Append what canopy_summit.take_secret(%lld) returns, within an hour of the "
					   "answer, as a line of its own to the file that option webhook_secret_file "
					   "of the user mapping of role %s names.",
					   (long long) job_id, role ? quote_identifier(role) : "of webhook_role")));
}

/* canopy_register_webhook(hook_url text, event_types text[], server name) -> bigint: the job */
static Datum
canopy_summit_register_webhook_confidential(PG_FUNCTION_ARGS)
{
	const char *url = argument_required(fcinfo, 0, "hook_url");
	const char *server = connection_open(argument_name(fcinfo, 2), PROVIDER_CANOPY)->server;
	JsonBuilder body = {0};
	int64 job_id;

	if (url_host(url) == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"hook_url\" must be an https URL without a user name"),
						errhint("Such as https://hooks.example.com/webhooks/%s.", server)));
	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"event_types\" cannot be NULL")));
	builder_add_text(&body, "hookUrl", url);
	body_add_event_types(&body, fcinfo, 1);
	job_id = enqueue_operation(server, "post-webhooks", NULL, builder_finish_object(&body), NULL);
	tell_of_secret(job_id, server);
	PG_RETURN_INT64(job_id);
}

/* canopy_change_webhook(webhook_id text, is_active boolean, event_types text[], server name) -> bigint: the job */
Datum
canopy_summit_change_webhook(PG_FUNCTION_ARGS)
{
	JsonBuilder params = {0};
	JsonBuilder body = {0};

	params_add_webhook(&params, fcinfo);
	if (PG_ARGISNULL(1) && PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is nothing to change"),
				 errhint("Give is_active or event_types.  Of another address make another "
						 "webhook, by canopy_register_webhook().")));
	if (!PG_ARGISNULL(1))
		builder_add_boolean(&body, "isActive", PG_GETARG_BOOL(1));
	if (!PG_ARGISNULL(2))
		body_add_event_types(&body, fcinfo, 2);
	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, 3), "patch-webhook",
									  builder_finish_object(&params), builder_finish_object(&body),
									  webhook_order(fcinfo)));
}

/* canopy_delete_webhook(webhook_id text, server name) -> bigint: the job */
Datum
canopy_summit_delete_webhook(PG_FUNCTION_ARGS)
{
	JsonBuilder params = {0};

	params_add_webhook(&params, fcinfo);
	builder_add_text(&params, "confirm", argument_required(fcinfo, 0, "webhook_id"));
	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, 1), "delete-webhook",
									  builder_finish_object(&params), NULL, webhook_order(fcinfo)));
}

/* JobHandler.succeeded: of post-webhooks. */
static void
webhook_registered(List *settlements)
{
	secrets_keep(settlements, "signing_secret");
}

/* JobHandler.succeeded: of create-team. */
static void
team_created(List *settlements)
{
	secrets_keep(settlements, "client_secret");
}

/* From _PG_init(). */
void
webhook_admin_register(void)
{
	static const JobHandler handlers[] = {
		{.operation = "post-webhooks", .succeeded = webhook_registered},
		{.operation = "create-team", .succeeded = team_created},
	};

	for (int i = 0; i < lengthof(handlers); i++)
		handler_register(&handlers[i]);
}
