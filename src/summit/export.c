/*
 * export.c
 *	  SQL functions that write certificates for property systems: who may, from
 *	  which server, and the engine's own functions that do it.
 *
 * Nothing is read before the caller's rights are checked: what runs inside reads
 * as the engine.  It is planned anew each time, because it is about few rows or all.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/tstoreReceiver.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "base/confidential.h"
#include "base/jsonb_build.h"
#include "engine/argument.h"
#include "engine/engine.h"
#include "engine/identity.h"
#include "engine/privilege.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "server/connection.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_export);
CONFIDENTIAL_FUNCTION(canopy_summit_export_file);
CONFIDENTIAL_FUNCTION(canopy_summit_export_changes);
CONFIDENTIAL_FUNCTION(canopy_summit_export_acknowledge);
CONFIDENTIAL_FUNCTION(canopy_summit_export_yardi_xml);

/* A call of the engine's own function of the same purpose. */
typedef struct ExportCall
{
	const char *function; /* that the user has called */
	const char *sql;
	const Oid *types; /* of the arguments, InvalidOid after the last */
} ExportCall;

/* clang-format off */
static const ExportCall export_lines = {"summit_export",
	"SELECT canopy_summit.export_lines($1, $2, $3, $4)",
	(const Oid[]){TEXTOID, JSONBOID, TEXTOID, NAMEOID, InvalidOid}};
static const ExportCall export_bytes = {"summit_export_file",
	"SELECT canopy_summit.export_bytes($1, $2, $3, $4)",
	(const Oid[]){TEXTOID, JSONBOID, TEXTOID, NAMEOID, InvalidOid}};
/* In the target list its rows are passed on one by one; in FROM they would be gathered first. */
static const ExportCall export_changes = {"summit_export_changes",
	"SELECT (c.change_row).token, (c.change_row).row_key, (c.change_row).change, (c.change_row).line"
	" FROM (SELECT canopy_summit.export_changes($1, $2, $3, $4) AS change_row) AS c",
	(const Oid[]){TEXTOID, TEXTOID, TEXTOID, NAMEOID, InvalidOid}};
static const ExportCall export_acknowledge = {"summit_export_acknowledge",
	"SELECT canopy_summit.export_acknowledge($1, $2, $3, $4, $5, $6)",
	(const Oid[]){TEXTOID, TEXTOID, TEXTARRAYOID, JSONBOID, TEXTOID, NAMEOID, InvalidOid}};
static const ExportCall export_yardi_xml = {"summit_export_yardi_xml",
	"SELECT canopy_summit.export_yardi_xml($1, $2, $3)",
	(const Oid[]){TEXTOID, TEXTOID, NAMEOID, InvalidOid}};
/* clang-format on */

/* Raise the error for a role that may not read personal data. */
static void
export_check_right(const ExportCall *call)
{
	const char *role = GetUserNameFromId(GetUserId(), false);

	if (!privilege_reads_pii())
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("%s() shows personal data", call->function),
			 errhint("Level pii_reader may: SELECT canopy_summit.grant_access(%s, 'pii_reader');",
					 quote_literal_cstr(quote_identifier(role)))));
}

/*
 * Check the caller, and add what every export's last arguments are: the server's name, which it keeps, the
 * setting's if the argument is NULL, and the caller's role.  Errors: 42501 no right to
 * personal data or to the server, 42704 no such server, 42809 it is not one of Summit.
 */
static void
export_add_caller(Values *arguments, const ExportCall *call, const char *server)
{
	const char *name;

	export_check_right(call);
	name = connection_server(server, PROVIDER_SUMMIT);
	values_add_text(arguments, identity_hold_server(get_foreign_server_oid(name, false), name));
	values_add_name(arguments, GetUserNameFromId(GetUserId(), false));
}

/* The values as parameters, in the current memory context. */
static ParamListInfo
export_params(const ExportCall *call, const Values *arguments)
{
	ParamListInfo params = makeParamList(arguments->count);

	for (int i = 0; i < arguments->count; i++)
		params->params[i] = (ParamExternData){.value = arguments->values[i],
											  .isnull = arguments->nulls[i],
											  .pflags = PARAM_FLAG_CONST,
											  .ptype = call->types[i]};
	return params;
}

/* Run the call, as the engine; rows go to `receiver`, NULL = to SPI. */
static void
export_run(const ExportCall *call, const Values *arguments, DestReceiver *receiver)
{
	SPIExecuteOptions options = {.params = export_params(call, arguments), .dest = receiver};
	int result = SPI_execute_extended(call->sql, &options);

	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not run %s(): %s", call->function, SPI_result_code_string(result));
}

/* The rows of the call, straight into the result of a function that has called InitMaterializedSRF(). */
static Datum
export_rows(FunctionCallInfo fcinfo, const ExportCall *call, const Values *arguments)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DestReceiver *receiver = CreateDestReceiver(DestTuplestore);
	Engine engine;

	SetTuplestoreDestReceiverParams(receiver, result->setResult,
									result->econtext->ecxt_per_query_memory, false, result->setDesc,
									"rows of an export are not of the function's columns");
	engine_begin_wide(&engine);
	export_run(call, arguments, receiver);
	engine_end(&engine);
	receiver->rDestroy(receiver);
	return (Datum) 0;
}

/* The one value of the call, in the caller's memory. */
static Datum
export_value(FunctionCallInfo fcinfo, const ExportCall *call, const Values *arguments)
{
	Engine engine;
	Record record;
	Datum value;
	int16 length;
	bool by_value;

	engine_begin_wide(&engine);
	export_run(call, arguments, NULL);
	record = statement_record(0);
	value = record_datum(&record);
	get_typlenbyval(SPI_gettypeid(record.descriptor, 1), &length, &by_value);
	if (!record.isnull)
		value = SPI_datumTransfer(value, by_value, length);
	engine_end(&engine);
	fcinfo->isnull = record.isnull;
	return value;
}

/* Add the arguments system and options of an export; no options are none. */
static void
export_add_options(Values *arguments, FunctionCallInfo fcinfo)
{
	JsonBuilder none = {0};

	values_add_text(arguments, argument_required(fcinfo, 0, "system"));
	if (PG_ARGISNULL(1))
		values_add_json(arguments, builder_finish_object(&none));
	else
		argument_add(arguments, fcinfo, 1);
}

/* summit_export(system text, options jsonb, server name) -> setof text */
static Datum
canopy_summit_export_confidential(PG_FUNCTION_ARGS)
{
	Values arguments = {0};

	export_add_options(&arguments, fcinfo);
	export_add_caller(&arguments, &export_lines, argument_name(fcinfo, 2));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	return export_rows(fcinfo, &export_lines, &arguments);
}

/* summit_export_file(system text, options jsonb, server name) -> bytea */
static Datum
canopy_summit_export_file_confidential(PG_FUNCTION_ARGS)
{
	Values arguments = {0};

	export_add_options(&arguments, fcinfo);
	export_add_caller(&arguments, &export_bytes, argument_name(fcinfo, 2));
	return export_value(fcinfo, &export_bytes, &arguments);
}

/* summit_export_changes(system text, since_token text, server name, OUT token, row_key, change, line text) -> setof record */
static Datum
canopy_summit_export_changes_confidential(PG_FUNCTION_ARGS)
{
	Values arguments = {0};

	values_add_text(&arguments, argument_required(fcinfo, 0, "system"));
	argument_add(&arguments, fcinfo, 1);
	export_add_caller(&arguments, &export_changes, argument_name(fcinfo, 2));
	InitMaterializedSRF(fcinfo, 0);
	return export_rows(fcinfo, &export_changes, &arguments);
}

/* summit_export_acknowledge(system text, token text, row_keys text[], messages jsonb, server name) -> bigint */
static Datum
canopy_summit_export_acknowledge_confidential(PG_FUNCTION_ARGS)
{
	Values arguments = {0};

	values_add_text(&arguments, argument_required(fcinfo, 0, "system"));
	values_add_text(&arguments, argument_required(fcinfo, 1, "token"));
	argument_add(&arguments, fcinfo, 2);
	argument_add(&arguments, fcinfo, 3);
	export_add_caller(&arguments, &export_acknowledge, argument_name(fcinfo, 4));
	return export_value(fcinfo, &export_acknowledge, &arguments);
}

/* summit_export_yardi_xml(property_id text, server name) -> xml */
static Datum
canopy_summit_export_yardi_xml_confidential(PG_FUNCTION_ARGS)
{
	Values arguments = {0};

	values_add_text(&arguments, argument_required(fcinfo, 0, "property_id"));
	export_add_caller(&arguments, &export_yardi_xml, argument_name(fcinfo, 1));
	return export_value(fcinfo, &export_yardi_xml, &arguments);
}
