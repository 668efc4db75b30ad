/*
 * fetch_document.c
 *	  canopy_fetch_document(), which waits for one document, and
 *	  canopy_enqueue_documents(), which has a pull's files fetched by job.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "api/answer.h"
#include "api/call.h"
#include "api/failure.h"
#include "api/operation.h"
#include "base/confidential.h"
#include "base/jsonb_build.h"
#include "canopy/document.h"
#include "canopy/enqueue_found.h"
#include "engine/argument.h"
#include "engine/engine.h"
#include "engine/identity.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "http/clamd.h"
#include "pull/pull_row.h"
#include "server/connection.h"
#include "server/option.h"
#include "server/provider.h"

CONFIDENTIAL_FUNCTION(canopy_summit_fetch_document);

PG_FUNCTION_INFO_V1(canopy_summit_enqueue_documents);

/* Ask for a document; where the server does not know the newer route, or may not redirect anywhere, at the older one. */
static Answer *
document_call(Connection *connection, Jsonb *params)
{
	const Operation *operation = operation_find("download-document-by-id", PROVIDER_CANOPY);
	const Operation *older = operation_find("get-document-by-id", PROVIDER_CANOPY);
	Failure *failure;
	Answer *answer;

	if (connection->download_hosts == NIL)
		return call_operation(connection, older, params, NULL);
	answer = call_try(connection, operation, params, NULL, &failure);
	if (answer != NULL)
		return answer;
	if (!failure_is_of_route(failure->status, failure->code))
		failure_raise(connection, operation, failure);
	return call_operation(connection, older, params, NULL);
}

/* Scan a file that is worth it.  Errors: 58000 the scanner gives no verdict. */
static const VirusScan *
document_scan(const Connection *connection, const Answer *answer)
{
	const VirusScan *scan;

	if (!file_needs_scan(answer->received, answer->received_len))
		return NULL;
	scan = scan_perform(answer->received, answer->received_len, connection->timeout);
	if (scan->verdict == SCAN_FAILED)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR),
						errmsg("could not scan a document: %s", scan->problem),
						errhint("Start ClamAV's daemon, or look at canopy_summit.clamd_socket.")));
	return scan;
}

/* Say why a document is not kept, without what its sender has a hand in. */
static void
warn_of_file(const CanopyFile *file)
{
	if (strcmp(file->state, "here") != 0)
		ereport(WARNING, (errmsg("document \"%s\" is kept out: %s", file->file_id,
								 strcmp(file->state, "infested") == 0 ? file->state : file->reason),
						  errhint("See column state of view canopy.document.")));
}

/*
 * canopy_fetch_document(pull_id text, INOUT document_id text, server name,
 * OUT media_type, OUT bytes, OUT sha256, OUT changed)
 */
static Datum
canopy_summit_fetch_document_confidential(PG_FUNCTION_ARGS)
{
	const char *pull_id = argument_required(fcinfo, 0, "pull_id");
	const char *document_id = argument_required(fcinfo, 1, "document_id");
	JsonBuilder builder = {0};
	Values values = {0};
	Connection *connection;
	Jsonb *params;
	Answer *answer;
	CanopyFile *file;
	Engine engine;

	PreventCommandIfReadOnly("canopy_fetch_document()");
	connection = connection_open(argument_name(fcinfo, 2), PROVIDER_CANOPY);
	builder_add_text(&builder, "pullId", pull_id);
	builder_add_text(&builder, "documentId", document_id);
	params = builder_finish_object(&builder);
	answer = document_call(connection, params);
	file = file_create(file_operation_find("download-document-by-id"), connection->server_oid,
					   connection->server, params);
	file->fetched_at = answer->started_at;
	file_take(file, answer->received, answer->received_len, document_scan(connection, answer));
	engine_begin(&engine);
	file_store(file);
	engine_end(&engine);
	warn_of_file(file);
	values_add_text(&values, document_id);
	values_add_text(&values, file->media_type);
	values_add_int64(&values, (int64) file->len);
	values_add_text(&values, file->sha256);
	values_add_boolean(&values, file->changed);
	return values_row(&values, fcinfo);
}

/* canopy_enqueue_documents(pull_id text, which text, server name) -> bigint: the number of jobs */
Datum
canopy_summit_enqueue_documents(PG_FUNCTION_ARGS)
{
	static Statement want = {
		3,
		{TEXTOID, TEXTOID, TEXTOID},
		"SELECT array_agg(w.operation), array_agg(w.params), array_agg(w.dedupe_key)"
		" FROM canopy_summit.want_files($1, $2, $3, true) AS w"};
	const char *pull_id = argument_required(fcinfo, 0, "pull_id");
	const char *which = argument_required(fcinfo, 1, "which");
	Connection *connection = connection_open(argument_name(fcinfo, 2), PROVIDER_CANOPY);
	const char *server;
	Engine engine;

	option_check_as("download_documents", which);
	server = identity_hold_server(connection->server_oid, connection->server);
	engine_begin(&engine);
	pull_follow(server, pull_id);
	engine_end(&engine);
	PG_RETURN_INT64(enqueue_found(server, &want,
								  (Datum[]){CStringGetTextDatum(server), CStringGetTextDatum(which),
											CStringGetTextDatum(pull_id)},
								  FILE_PRIORITY));
}
