/*
 * servicing.c
 *	  Functions that have a carrier change a policy: what is asked for is checked
 *	  first, and nothing is sent before COMMIT.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "api/answer.h"
#include "api/call.h"
#include "api/failure.h"
#include "api/operation.h"
#include "base/confidential.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "canopy/arguments.h"
#include "canopy/enqueue_operation.h"
#include "canopy/listing.h"
#include "canopy/servicing_schema.h"
#include "engine/argument.h"
#include "engine/engine.h"
#include "engine/statement.h"
#include "server/connection.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_add_mortgagee);
CONFIDENTIAL_FUNCTION(canopy_summit_edit_mortgagee);
CONFIDENTIAL_FUNCTION(canopy_summit_remove_mortgagee);
CONFIDENTIAL_FUNCTION(canopy_summit_add_vehicle);
CONFIDENTIAL_FUNCTION(canopy_summit_create_servicing);
PG_FUNCTION_INFO_V1(canopy_summit_sync_servicings);
PG_FUNCTION_INFO_V1(canopy_summit_confirm_servicing);

static Statement find_carrier = {
	2,
	{TEXTOID, TEXTOID},
	"SELECT insurance_provider_name FROM canopy_summit.pull"
	" WHERE pull_id = $1 AND server = ANY ($2 || canopy_summit.former_names($2))"
	" AND insurance_provider_name IS NOT NULL LIMIT 1"};

static Statement find_action = {
	2,
	{TEXTOID, TEXTOID},
	"SELECT nullif(pull_id, '') FROM canopy_summit.servicing_action"
	" WHERE servicing_action_id = $1 AND server = ANY ($2 || canopy_summit.former_names($2))"
	" ORDER BY 1 LIMIT 1"};

/* An action of a type, with a payload of these arguments, which is checked. */
static Datum
action_build(FunctionCallInfo fcinfo, const char *type, const MemberArgument *arguments)
{
	JsonBuilder payload = {0};
	JsonBuilder action = {0};
	Jsonb *said;
	JsonbValue key = text_value("payload");
	JsonbValue value = {.type = jbvBinary};

	(void) arguments_add(&payload, fcinfo, arguments);
	said = builder_finish_object(&payload);
	servicing_check_payload(type, said);
	value.val.binary.data = &said->root;
	value.val.binary.len = VARSIZE(said) - VARHDRSZ;
	builder_add_text(&action, "type", type);
	builder_add(&action, &key, &value);
	PG_RETURN_JSONB_P(builder_finish_object(&action));
}

static const MemberArgument mortgagee_arguments[] = {
	{"carrier_policy_number", true}, {"name", true},           {"address", true},
	{"loan_number", true},           {"mortgagee_type", true}, {NULL}};

/* canopy_add_mortgagee(carrier_policy_number text, name text, address text, loan_number text, mortgagee_type text) -> jsonb */
static Datum
canopy_summit_add_mortgagee_confidential(PG_FUNCTION_ARGS)
{
	return action_build(fcinfo, "ADD_MORTGAGEE", mortgagee_arguments);
}

/* canopy_edit_mortgagee(the same arguments) -> jsonb */
static Datum
canopy_summit_edit_mortgagee_confidential(PG_FUNCTION_ARGS)
{
	return action_build(fcinfo, "EDIT_MORTGAGEE", mortgagee_arguments);
}

/* canopy_remove_mortgagee(carrier_policy_number text, mortgagee_type text) -> jsonb */
static Datum
canopy_summit_remove_mortgagee_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {{"carrier_policy_number", true},
											   {"mortgagee_type", true},
											   {NULL}};

	return action_build(fcinfo, "REMOVE_MORTGAGEE", arguments);
}

/* canopy_add_vehicle(carrier_policy_number text, vehicle jsonb, …) -> jsonb: see the SQL for its arguments */
static Datum
canopy_summit_add_vehicle_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {{"carrier_policy_number", true},
											   {"vehicle", true, ARGUMENT_JSON},
											   {"registered_owner_full_name", true},
											   {"registered_state", true},
											   {"garaging_address", true},
											   {"is_customized", true, ARGUMENT_BOOLEAN},
											   {"primary_use", true, ARGUMENT_JSON},
											   {"primary_driver_full_name", true},
											   {"annual_mileage", true, ARGUMENT_NUMERIC},
											   {"current_mileage", true, ARGUMENT_NUMERIC},
											   {"coverage_selections", true, ARGUMENT_JSON},
											   {"safety_restraint_device", true},
											   {"anti_theft_device", true},
											   {"daytime_running_lights", true, ARGUMENT_BOOLEAN},
											   {"tracking_device", true, ARGUMENT_BOOLEAN},
											   {"vehicle_acquisition_date", true, ARGUMENT_DATE},
											   {"vehicle_ownership", true, ARGUMENT_JSON},
											   {"replacing_vin"},
											   {"registered_co_owner_full_name"},
											   {NULL}};

	return action_build(fcinfo, "ADD_VEHICLE", arguments);
}

/* Look up one text by two others, as the engine; NULL if there is none. */
static const char *
look_up(Statement *statement, const char *key, const char *server)
{
	MemoryContext caller = CurrentMemoryContext;
	Engine engine;
	const char *found = NULL;

	engine_begin(&engine);
	if (statement_run(statement, (Datum[]){CStringGetTextDatum(key), CStringGetTextDatum(server)},
					  NULL) > 0)
	{
		Record record = statement_record(0);
		const char *text = record_text(&record);

		found = text ? MemoryContextStrdup(caller, text) : NULL;
	}
	engine_end(&engine);
	return found;
}

/* Whether a server says that it has no such thing. */
static bool
says_missing(const Failure *failure)
{
	return failure->code != NULL && (strcmp(failure->code, "NOT_FOUND") == 0 ||
									 strcmp(failure->code, "INVALID_STATUS") == 0);
}

/* One thing of the API by its id, as a parameter of this name; NULL if the server does not have it. */
static Jsonb *
ask_for(Connection *connection, const char *operation_name, const char *param, const char *id)
{
	const Operation *operation = operation_lookup(operation_name);
	JsonBuilder params = {0};
	Failure *failure;
	Answer *answer;

	builder_add_text(&params, param, id);
	answer = call_try(connection, operation, builder_finish_object(&params), NULL, &failure);
	if (answer == NULL && !says_missing(failure))
		failure_raise(connection, operation, failure);
	return answer ? answer->json : NULL;
}

/*
 * The id of the carrier of a pull that is stored, or else of one that the server has; NULL if it
 * does not say.  Error: 02000 neither has it.
 */
static const char *
carrier_of(Connection *connection, const char *pull_id)
{
	const char *carrier = look_up(&find_carrier, pull_id, connection->server);
	Jsonb *pull = carrier ? NULL : ask_for(connection, "get-pull-by-id", "pullId", pull_id);

	if (carrier == NULL && pull == NULL)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA), errmsg("pull \"%s\" does not exist", pull_id),
						errhint("SELECT pull_id FROM canopy_list_pulls();")));
	return pull ? json_text_field(pull, "insurance_provider_name") : carrier;
}

/* The offers of a list, "A, B", and whether a type is among them. */
static bool
is_offered(JsonbValue *offers, const char *type, char **list)
{
	JsonWalk walk = walk_begin(offers->val.binary.data);
	bool found = false;

	*list = "none";
	while (walk_next(&walk))
	{
		char *offer = walk.value.type == jbvString
						  ? pnstrdup(walk.value.val.string.val, walk.value.val.string.len)
						  : "";

		*list = strcmp(*list, "none") == 0 ? offer : psprintf("%s, %s", *list, offer);
		found |= strcmp(offer, type) == 0;
	}
	return found;
}

/*
 * Refuse actions that the carrier does not offer.  Carriers list mortgagee actions, if they list
 * any, and never ADD_VEHICLE (operation get-carrier).  Error: 0A000.
 */
static void
check_offer(Connection *connection, const char *pull_id, Jsonb *actions)
{
	const char *carrier_id = carrier_of(connection, pull_id);
	Jsonb *carrier =
		carrier_id ? ask_for(connection, "get-carrier", "carrierId", carrier_id) : NULL;
	JsonbValue *offers = carrier ? member_value(&carrier->root, "servicingActions") : NULL;
	JsonWalk walk = walk_begin(&actions->root);

	while (value_is_array(offers) && walk_next(&walk))
	{
		const char *type = member_text(walk.value.val.binary.data, "type");
		char *list;

		if (strcmp(type, "ADD_VEHICLE") != 0 && !is_offered(offers, type, &list))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("carrier \"%s\" does not offer %s", carrier_id, type),
							errhint("It offers: %s.", list)));
	}
}

/* canopy_create_servicing(pull_id text, actions jsonb, dry_run boolean, server name) -> bigint: the job */
static Datum
canopy_summit_create_servicing_confidential(PG_FUNCTION_ARGS)
{
	const char *pull_id = argument_required(fcinfo, 0, "pull_id");
	JsonbValue key = text_value("servicing_actions");
	JsonbValue value = {.type = jbvBinary};
	JsonBuilder body = {0};
	Connection *connection;
	Jsonb *actions;

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"actions\" cannot be NULL")));
	actions = PG_GETARG_JSONB_P(1);
	servicing_check_actions(actions);
	connection = connection_open(argument_name(fcinfo, 3), PROVIDER_CANOPY);
	check_offer(connection, pull_id, actions);
	if (!PG_ARGISNULL(2) && PG_GETARG_BOOL(2))
		PG_RETURN_NULL();
	value.val.binary.data = &actions->root;
	value.val.binary.len = VARSIZE(actions) - VARHDRSZ;
	builder_add_text(&body, "pull_id", pull_id);
	builder_add(&body, &key, &value);
	PG_RETURN_INT64(enqueue_operation(connection->server, "post-servicings", NULL,
									  builder_finish_object(&body), NULL));
}

/* canopy_sync_servicings(pull_id text, server name) -> bigint: the job that lists the first of them (servicing_effect.c) */
Datum
canopy_summit_sync_servicings(PG_FUNCTION_ARGS)
{
	JsonBuilder params = {0};

	if (!PG_ARGISNULL(0))
		builder_add_text(&params, "pull_id", text_to_cstring(PG_GETARG_TEXT_PP(0)));
	builder_add_integer(&params, "limit", LISTING_PAGE);
	builder_add_integer(&params, "offset", 0);
	PG_RETURN_INT64(listing_start(argument_name(fcinfo, 1), "servicings", "get-servicings",
								  builder_finish_object(&params)));
}

/* canopy_confirm_servicing(servicing_action_id text, is_confirmed boolean, server name) -> bigint: the job */
Datum
canopy_summit_confirm_servicing(PG_FUNCTION_ARGS)
{
	const char *action_id = argument_required(fcinfo, 0, "servicing_action_id");
	Connection *connection = connection_open(argument_name(fcinfo, 2), PROVIDER_CANOPY);
	const char *pull_id = look_up(&find_action, action_id, connection->server);
	JsonBuilder params = {0};
	JsonBuilder body = {0};

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"is_confirmed\" cannot be NULL")));
	if (pull_id == NULL)
		ereport(ERROR, (errcode(ERRCODE_NO_DATA),
						errmsg("the pull of servicing action \"%s\" is not known", action_id),
						errhint("It is known of actions that were created here, or of which a "
								"webhook has told.")));
	builder_add_text(&params, "pullId", pull_id);
	builder_add_text(&body, "servicing_action_id", action_id);
	builder_add_boolean(&body, "is_confirmed", PG_GETARG_BOOL(1));
	PG_RETURN_INT64(enqueue_operation(connection->server, "post-servicing-action",
									  builder_finish_object(&params), builder_finish_object(&body),
									  psprintf("pull %s", pull_id)));
}
