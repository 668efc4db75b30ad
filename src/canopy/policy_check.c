/*
 * policy_check.c
 *	  Functions that have Canopy check a pull's policies, and set what it checks for
 *	  all of them: each enqueues a job, and nothing is sent before COMMIT.
 *
 * The answer to a check is the whole pull, stored as any other
 * (fetch_pull_effect.c).
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/confidential.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "canopy/enqueue_operation.h"
#include "canopy/vin.h"
#include "engine/argument.h"

CONFIDENTIAL_FUNCTION(canopy_summit_check_policies);
CONFIDENTIAL_FUNCTION(canopy_summit_change_policy_check_settings);

#define WRAPPER "policy_check_settings"

static void
settings_refuse(const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("argument \"settings\" %s", problem), errhint("%s", hint)));
}

/* Refuse what no vehicle has.  Error: 22023. */
static void
check_vin(const JsonbValue *vin)
{
	if (vin->type != jbvString || !vin_is_valid(pnstrdup(vin->val.string.val, vin->val.string.len)))
		settings_refuse("has a VIN that is none",
						"17 digits and capital letters, without I, O and Q.");
}

/* Refuse members other than vehicle and dwelling, which are objects, and VINs that are none. */
static void
check_settings(JsonbContainer *settings)
{
	JsonWalk walk = walk_begin(settings);

	while (walk_next(&walk))
	{
		char *name = pnstrdup(walk.key.val.string.val, walk.key.val.string.len);
		JsonbValue *vins;

		if ((strcmp(name, "vehicle") != 0 && strcmp(name, "dwelling") != 0) ||
			!value_is_object(&walk.value))
			settings_refuse("has other members than the objects vehicle and dwelling",
							"Such as {\"vehicle\": {\"NO_COLLISION_COVERAGE\": true}}.");
		vins = member_value(walk.value.val.binary.data, "VIN_MISMATCH");
		if (value_is_array(vins))
			for (JsonWalk vin = walk_begin(vins->val.binary.data); walk_next(&vin);)
				check_vin(&vin.value);
	}
}

/* Refuse a filter by a VIN that no vehicle has; one that matches in part may be any text. */
static void
check_filters(JsonbContainer *filters)
{
	JsonbContainer *vehicle = filters ? member_object(filters, "vehicle") : NULL;
	JsonbContainer *vin = vehicle ? member_object(vehicle, "vin") : NULL;
	JsonbValue *partial = vin ? member_value(vin, "partial_match") : NULL;
	JsonbValue *exact = vin ? member_value(vin, "eq") : NULL;

	if (exact != NULL && !(partial != NULL && partial->type == jbvBool && partial->val.boolean))
		check_vin(exact);
}

/*
 * Add settings to a body, given with or without their wrapper, beside which may be filters,
 * if `may_filter`.  Error: 22023.
 */
static Jsonb *
settings_body(Jsonb *settings, bool may_filter)
{
	JsonBuilder body = {0};
	JsonbValue whole = {.type = jbvBinary};
	JsonbValue *inner;
	JsonWalk walk;

	if (!JB_ROOT_IS_OBJECT(settings))
		settings_refuse("is no object",
						"Such as {\"vehicle\": {\"NO_COLLISION_COVERAGE\": true}}.");
	inner = member_value(&settings->root, WRAPPER);
	if (inner == NULL && member_value(&settings->root, "filters") == NULL)
	{
		check_settings(&settings->root);
		whole.val.binary.data = &settings->root;
		whole.val.binary.len = VARSIZE(settings) - VARHDRSZ;
		builder_begin_object(&body);
		builder_key(&body, WRAPPER);
		builder_put(&body, WJB_VALUE, &whole);
		builder_end_object(&body);
		return builder_finish(&body);
	}
	walk = walk_begin(&settings->root);
	while (walk_next(&walk))
	{
		char *name = pnstrdup(walk.key.val.string.val, walk.key.val.string.len);

		if (!value_is_object(&walk.value) ||
			(strcmp(name, WRAPPER) != 0 && !(may_filter && strcmp(name, "filters") == 0)))
			settings_refuse(psprintf("has a member \"%s\" that does not do", name),
							may_filter ? "Objects " WRAPPER " and filters."
									   : "An object " WRAPPER ", or vehicle and dwelling.");
	}
	if (inner != NULL)
		check_settings(inner->val.binary.data);
	check_filters(member_object(&settings->root, "filters"));
	return settings;
}

/* canopy_check_policies(pull_id text, settings jsonb, server name) -> bigint: the job */
static Datum
canopy_summit_check_policies_confidential(PG_FUNCTION_ARGS)
{
	JsonBuilder params = {0};
	JsonBuilder none = {0};
	Jsonb *body =
		PG_ARGISNULL(1) ? builder_finish_object(&none) : settings_body(PG_GETARG_JSONB_P(1), true);

	builder_add_text(&params, "pullId", argument_required(fcinfo, 0, "pull_id"));
	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, 2), "post-pull-policy-check",
									  builder_finish_object(&params), body, NULL));
}

/* canopy_change_policy_check_settings(settings jsonb, server name) -> bigint: the job */
static Datum
canopy_summit_change_policy_check_settings_confidential(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"settings\" cannot be NULL")));
	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, 1), "post-policy-check-team-settings",
									  NULL, settings_body(PG_GETARG_JSONB_P(0), false),
									  "policy check settings"));
}
