/*
 * operation.c
 *	  Look-ups in the catalogue of operations, and its view.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "api/operation.h"
#include "base/jsonb_build.h"
#include "engine/privilege.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "server/provider.h"

PG_FUNCTION_INFO_V1(canopy_summit_operations);
PG_FUNCTION_INFO_V1(canopy_summit_may_repeat);
PG_FUNCTION_INFO_V1(canopy_summit_takes_files);
PG_FUNCTION_INFO_V1(canopy_summit_has_key);

static const char *const class_names[] = {
	[OPERATION_SAFE] = "safe",
	[OPERATION_IDEMPOTENT] = "idempotent",
	[OPERATION_KEYED] = "keyed",
	[OPERATION_UNSAFE] = "unsafe",
};

static const char *const auth_names[] = {
	[OPERATION_AUTH_TEAM] = "team",
	[OPERATION_AUTH_PULL_JWT] = "pull_jwt",
	[OPERATION_AUTH_NONE] = "none",
	[OPERATION_AUTH_BEARER] = "bearer",
	[OPERATION_AUTH_CLIENT] = "client_credentials",
	[OPERATION_AUTH_SIGNATURE] = "signature",
};

static const char *const envelope_names[] = {
	[ENVELOPE_JSON] = "json",
	[ENVELOPE_BINARY] = "binary",
	[ENVELOPE_REDIRECT] = "redirect",
	[ENVELOPE_NONE] = "none",
};

static const char *const place_names[] = {
	[PARAM_PATH] = "path", [PARAM_QUERY] = "query",          [PARAM_HEADER] = "header",
	[PARAM_BODY] = "body", [PARAM_CONFIRM] = "confirmation",
};

static const char *const type_names[] = {
	[TYPE_TEXT] = "text",        [TYPE_INTEGER] = "integer", [TYPE_BOOLEAN] = "boolean",
	[TYPE_MOMENT] = "date-time", [TYPE_OBJECT] = "object",   [TYPE_ARRAY] = "array",
	[TYPE_FILE] = "file",        [TYPE_FILES] = "files",     [TYPE_ANY] = "any",
};

/* The word for a type of parameter. */
const char *
param_type_name(ParamType type)
{
	return type_names[type];
}

/* The operation of this name, which is unique over both APIs; NULL if there is none. */
const Operation *
operation_lookup(const char *name)
{
	for (int i = 0; i < operation_count; i++)
		if (strcmp(operation_table[i].name, name) == 0)
			return &operation_table[i];
	return NULL;
}

/* The operation of this name.  Error: 22023 if the API has none. */
const Operation *
operation_find(const char *name, Provider provider)
{
	const Operation *operation = operation_lookup(name);

	if (operation == NULL || operation->provider != provider)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("operation \"%s\" does not exist", name),
						errhint("SELECT operation FROM canopy_summit.operation;")));
	return operation;
}

/*
 * Refuse an operation to a role that may not have it sent.  Uploads are for
 * everybody who may enqueue.  Error: 42501.
 */
void
operation_check_right(const Operation *operation)
{
	const char *reason = NULL;

	if (operation->class == OPERATION_IDEMPOTENT || operation->class == OPERATION_UNSAFE)
		reason = "changes something at the server";
	else if (operation->flags & OPERATION_SECRET)
		reason = "returns secrets";
	else if (operation->flags & OPERATION_BILLABLE)
		reason = "costs money";
	if (reason != NULL && !privilege_is_admin())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for operation \"%s\"", operation->name),
						errhint("It %s, which needs level admin of canopy_summit.grant_access().",
								reason)));
}

/* The parameters as a JSON array of {name, in, type, required, values, secret}. */
static Jsonb *
params_json(const Operation *operation)
{
	JsonBuilder builder = {0};

	builder_begin_array(&builder);
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
	{
		builder_begin_object(&builder);
		builder_add_text(&builder, "name", param->name);
		builder_add_text(&builder, "in", place_names[param->place]);
		builder_add_text(&builder, "type", type_names[param->type]);
		builder_add_boolean(&builder, "required", param->required);
		if (param->values != NULL)
			builder_add_text(&builder, "values", param->values);
		if (param->secret)
			builder_add_boolean(&builder, "secret", true);
		builder_end_object(&builder);
	}
	builder_end_array(&builder);
	return builder_finish(&builder);
}

/* canopy_summit.operations() -> setof record: the rows of view canopy_summit.operation */
Datum
canopy_summit_operations(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < operation_count; i++)
	{
		const Operation *operation = &operation_table[i];
		Values values = {0};

		values_add_text(&values, operation->name);
		values_add_text(&values, provider_word(operation->provider));
		values_add_text(&values, operation->method);
		values_add_text(&values, operation->path);
		values_add_json(&values, params_json(operation));
		values_add_text(&values, auth_names[operation->auth]);
		values_add_text(&values, class_names[operation->class]);
		values_add_text(&values, envelope_names[operation->envelope]);
		values_add_text(&values, operation->unwrap);
		values_add_text(&values, operation->errors);
		values_add_text(&values, operation->reconcile);
		values_add_boolean(&values, operation->flags & OPERATION_BILLABLE);
		values_add_boolean(&values, operation->flags & OPERATION_PERSONAL);
		values_add_boolean(&values, operation->flags & OPERATION_SECRET);
		values_add_boolean(&values, operation->flags & OPERATION_DESTRUCTIVE);
		values_add_boolean(&values, operation->flags & OPERATION_DEPRECATED);
		values_put_row(&values, fcinfo);
	}
	return (Datum) 0;
}

/*
 * Whether a request that may have left, and whose answer is lost, may be sent again: its effect
 * is the same, and it costs nothing.
 */
bool
operation_may_repeat(const Operation *operation)
{
	return operation->class != OPERATION_UNSAFE && !(operation->flags & OPERATION_BILLABLE);
}

/* canopy_summit.may_repeat(operation text) -> boolean */
Datum
canopy_summit_may_repeat(PG_FUNCTION_ARGS)
{
	const Operation *operation = operation_lookup(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_BOOL(operation != NULL && operation_may_repeat(operation));
}

/* canopy_summit.has_key(operation text) -> boolean */
Datum
canopy_summit_has_key(PG_FUNCTION_ARGS)
{
	const Operation *operation = operation_lookup(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_BOOL(operation != NULL && operation->class == OPERATION_KEYED);
}

/* The names of the operations of which something holds, or does not, as text[]. */
static Datum
operation_names(bool (*holds)(const Operation *operation), bool wanted)
{
	List *names = NIL;

	for (int i = 0; i < operation_count; i++)
		if (holds(&operation_table[i]) == wanted)
			names = lappend(names, unconstify(char *, operation_table[i].name));
	return statement_texts(names);
}

/* The names of the operations that may not be repeated, as text[]. */
Datum
operations_not_repeated(void)
{
	return operation_names(operation_may_repeat, false);
}

/* Whether files may go beside the body of an operation. */
bool
operation_takes_files(const Operation *operation)
{
	for (const OperationParam *param = operation->params; param->name != NULL; param++)
		if (param->type == TYPE_FILES)
			return true;
	return false;
}

/* canopy_summit.takes_files(operation text) -> boolean */
Datum
canopy_summit_takes_files(PG_FUNCTION_ARGS)
{
	const Operation *operation = operation_lookup(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_BOOL(operation != NULL && operation_takes_files(operation));
}

/* The names of the operations that take files beside their body, as text[]. */
Datum
operations_with_files(void)
{
	return operation_names(operation_takes_files, true);
}
