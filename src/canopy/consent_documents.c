/*
 * consent_documents.c
 *	  A consumer who gives documents instead of a login: the job, and the files that
 *	  it sends.
 *
 * Together they may be larger than JSON can be, so the function keeps them beside the
 * body, which names them.  Nobody else may name any.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "api/request.h"
#include "base/confidential.h"
#include "base/file_type.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "canopy/arguments.h"
#include "canopy/component_effect.h"
#include "canopy/consent_documents.h"
#include "canopy/enqueue_operation.h"
#include "engine/argument.h"
#include "engine/engine.h"
#include "engine/new_row.h"
#include "job/file.h"
#include "job/handler.h"
#include "server/connection.h"

CONFIDENTIAL_FUNCTION(canopy_summit_consent_and_documents);

/* What post-consent-and-documents takes: 200 MB together follow from these. */
#define DOCUMENTS_MOST   20
#define DOCUMENT_LARGEST (10 * 1024 * 1024) /* bytes */

static bool is_keeping = false; /* the job being enqueued gets its files from the function */

/* Refuse so many documents.  Error: 22023. */
static void
check_count(int count)
{
	if (count < 1 || count > DOCUMENTS_MOST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there are %d documents", count),
				 errhint("Canopy takes 1 to %d at once.", DOCUMENTS_MOST)));
}

/* Refuse a document of so many bytes.  Errors: 22023, 54000. */
static void
check_size(int number, int64 size)
{
	int64 largest = Min((int64) setting_max_document_size * 1024, DOCUMENT_LARGEST);

	if (size == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("document %d is empty", number),
				 errhint("Leave it out, or send what is in it.")));
	if (size > largest)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("document %d is larger than %lld bytes", number, (long long) largest),
				 errhint("Canopy takes 10 MB a document, and the setting "
						 "canopy_summit.max_document_size allows %d kB.",
						 setting_max_document_size)));
}

/* JobHandler.fill: what a consumer has agreed to, and which documents there are. */
static void
documents_fill(NewRow *row, const Connection *connection)
{
	Jsonb *body = new_row_json(row, "body");
	JsonbValue *documents =
		body != NULL && JB_ROOT_IS_OBJECT(body) ? member_value(&body->root, "documents") : NULL;
	JsonWalk walk;
	int number = 0;

	consent_fill(row, connection);
	if (!value_is_array(documents))
		return;
	check_count(JsonContainerSize(documents->val.binary.data));
	walk = walk_begin(documents->val.binary.data);
	while (walk_next(&walk))
	{
		JsonbValue *base64 = value_is_object(&walk.value)
								 ? member_value(walk.value.val.binary.data, "base64")
								 : NULL;

		number++;
		if (is_keeping)
			continue;
		if (base64 == NULL || base64->type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("document %d has no member base64", number),
					 errhint("Or call canopy_consent_and_documents(), which takes bytea[].")));
		check_size(number, (int64) base64->val.string.len / 4 * 3);
	}
}

/* A document as a file of the job; its type is what its bytes say. */
static RequestFile *
document_file(int number, bytea *content)
{
	RequestFile *file = palloc(sizeof(RequestFile));
	const char *media_type;

	file->number = number;
	file->bytes = VARDATA_ANY(content);
	file->len = VARSIZE_ANY_EXHDR(content);
	check_size(number, file->len);
	media_type = file_type_of(file->bytes, file->len);
	file->media_type = media_type ? media_type : "application/octet-stream";
	file->name = psprintf("document-%d%s%s", number, media_type ? "." : "",
						  media_type ? strchr(media_type, '/') + 1 : "");
	return file;
}

/* Documents as files of the job, a List of RequestFile *.  Errors: 22004, 22023, 54000. */
static List *
document_files(ArrayType *documents)
{
	List *files = NIL;
	Datum *values;
	bool *nulls;
	int count;

	deconstruct_array(documents, BYTEAOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	check_count(count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("document %d cannot be NULL", i + 1)));
		files = lappend(files, document_file(i + 1, DatumGetByteaPP(values[i])));
	}
	return files;
}

/* Name the files in the body: [{"file": 1}, {"file": 2}, …]. */
static void
body_name_files(JsonBuilder *body, List *files)
{
	ListCell *cell;

	builder_key(body, "documents");
	builder_begin_array(body);
	foreach(cell, files)
	{
		JsonBuilder file = {0};

		builder_add_integer(&file, "file", ((const RequestFile *) lfirst(cell))->number);
		builder_end_object(&file);
		builder_put(body, WJB_ELEM, builder_value(&file));
	}
	builder_end_array(body);
}

/* Enqueue the job, whose body names files that are about to be kept. */
static int64
enqueue_naming_files(const char *server, Jsonb *body)
{
	int64 job_id = 0;

	is_keeping = true;
	PG_TRY();
	{
		job_id = enqueue_operation(server, "post-consent-and-documents", NULL, body, NULL);
	}
	PG_FINALLY();
	{
		is_keeping = false;
	}
	PG_END_TRY();
	return job_id;
}

/* canopy_consent_and_documents(documents bytea[], device_identifier text, terms_version integer,
 * consent_language text, insurer_name text, public_alias text, meta_data jsonb, server name) -> bigint: the job */
static Datum
canopy_summit_consent_and_documents_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {
		{"documents", true, ARGUMENT_ELSEWHERE},   {"device_identifier", true},
		{"terms_version", true, ARGUMENT_INTEGER}, {"consent_language", true},
		{"insurer_name", .member = "insurerName"}, {"public_alias"},
		{"meta_data", .type = ARGUMENT_JSON},      {NULL}};
	JsonBuilder body = {0};
	int server = arguments_add(&body, fcinfo, arguments);
	List *files = document_files(PG_GETARG_ARRAYTYPE_P(0));
	Engine engine;
	int64 job_id;

	body_name_files(&body, files);
	job_id = enqueue_naming_files(argument_name(fcinfo, server), builder_finish_object(&body));
	engine_begin(&engine);
	job_files_keep(job_id, files);
	engine_end(&engine);
	PG_RETURN_INT64(job_id);
}

/* From _PG_init(). */
void
consent_documents_register(void)
{
	static const JobHandler handler = {.operation = "post-consent-and-documents",
									   .fill = documents_fill};

	handler_register(&handler);
}
