/*
 * document.c
 *	  Files that Canopy has: what they are by their bytes, and how they are kept.
 *
 * What is here is only replaced by what may be here, too: a page that says "try
 * later", or a file that the server no longer has, costs nobody the bytes.  Never
 * kept: the signed URL, and bytes that the virus scanner found something in.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/digest.h"
#include "base/file_type.h"
#include "base/jsonb_get.h"
#include "canopy/document.h"
#include "engine/identity.h"
#include "engine/statement.h"
#include "engine/values.h"
#include "http/clamd.h"
#include "job/job.h"
#include "job/scanner.h"
#include "job/settlement.h"
#include "process/wake.h"
#include "pull/former.h"

static const FileOperation operations[] = {
	{"download-document-by-id", "document", "pullId", "documentId", "get-document-by-id"},
	{"get-document-by-id", "document", "pullId", "documentId", NULL},
	{"download-file-by-id", "answer_file", "pullId", "fileId", NULL},
	{"get-pull-policy-check-pdf", "policy_check", "pullId", "pullId", NULL},
	{"download-policy-form-by-id", "policy_form", NULL, "policyFormId", "get-policy-form-by-id"},
	{"get-policy-form-by-id", "policy_form", NULL, "policyFormId", NULL},
};

enum
{
	FILE_FOLLOW,
	FILE_EXPECT,
	FILE_KEEP,
	FILE_NOTE,
	FILES_WANT,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[FILE_FOLLOW] = {2, {TEXTOID, TEXTOID},
		"SELECT canopy_summit.follow('document_file', 'owner_id', $1, ARRAY[$2])"},
	[FILE_EXPECT] = {4, {TEXTOID, TEXTOID, TEXTOID, TEXTOID},
		"INSERT INTO canopy_summit.document_file (server, kind, owner_id, file_id, state)"
		/* Which locks the row that there is. */
		" VALUES ($1, $2, $3, $4, 'wanted') ON CONFLICT (server, kind, owner_id, file_id) DO UPDATE"
		"  SET state = 'wanted' WHERE false"},
	/*
	 * The older of two answers does not count, nor does one without bytes where there are some, unless a scanner has
	 * found something in those by now.  An INSERT … ON CONFLICT would copy the bytes three times more.
	 */
	[FILE_KEEP] = {12, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID,
			TEXTOID, TEXTOID, BYTEAOID, INT8OID},
		"WITH before AS (SELECT b.sha256 FROM canopy_summit.document_file b WHERE b.state = 'here'"
		"  AND b.server = $1 AND b.kind = $2 AND b.owner_id = $3 AND b.file_id = $4),"
		" kept AS (UPDATE canopy_summit.document_file f"
		"  SET fetched_at = $5, state = $6, reason = $7, media_type = $8, scan = $9, sha256 = $10, size = $12,"
		"   content = CASE WHEN f.sha256 = $10 AND f.content IS NOT NULL AND $6 = 'here' THEN f.content ELSE $11 END"
		"  WHERE f.server = $1 AND f.kind = $2 AND f.owner_id = $3 AND f.file_id = $4"
		"   AND ($6 = 'here' OR f.state <> 'here' OR $6 = 'infested' AND $10 = f.sha256)"
		"   AND $5 >= coalesce(f.fetched_at, '-infinity')"
		"  RETURNING f.state, f.sha256)"
		" SELECT k.state = 'here' AND k.sha256 IS DISTINCT FROM (SELECT sha256 FROM before) FROM kept k"},
	[FILE_NOTE] = {5, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID},
		"UPDATE canopy_summit.document_file f SET reason = CASE f.state WHEN 'here' THEN 'fetched again: ' ELSE '' END || $5"
		" WHERE server = $1 AND kind = $2 AND owner_id = $3 AND file_id = $4 AND state IN ('here', 'wanted')"},
	[FILES_WANT] = {2, {INT8ARRAYOID, TEXTARRAYOID},
		JOB_WRITE_AFTER("operation, params, dedupe_key, priority, run_at", "w.operation, w.params, w.dedupe_key,"
			" greatest(j.priority, " CppAsString2(FILE_PRIORITY) "), now()")
		" FROM unnest($1, $2) AS u(job_id, which) JOIN canopy_summit.job j ON j.job_id = u.job_id"
		" CROSS JOIN LATERAL canopy_summit.want_files("
		"  canopy_summit.server_name(j.server_oid, j.server, j.instance), u.which, j.params ->> 'pullId', false) AS w"},
};
/* clang-format on */

/* What an operation brings; NULL if it is no file. */
const FileOperation *
file_operation_find(const char *operation)
{
	for (int i = 0; i < lengthof(operations); i++)
		if (strcmp(operations[i].operation, operation) == 0)
			return &operations[i];
	return NULL;
}

/* The file that an operation is asked for, not here yet. */
CanopyFile *
file_create(const FileOperation *operation, Oid server_oid, const char *server, Jsonb *params)
{
	CanopyFile *file = palloc0(sizeof(CanopyFile));

	file->server_oid = server_oid;
	file->server = server;
	file->kind = operation->kind;
	file->owner_id = operation->owner ? json_text_field(params, operation->owner) : "";
	file->file_id = json_text_field(params, operation->file);
	return file;
}

/* Whether bytes are worth a scan: what is kept out anyway is not. */
bool
file_needs_scan(const char *bytes, size_t len)
{
	return clamd_is_set() && file_type_of(bytes, len) != NULL;
}

/* Judge bytes that came, and what the scanner said of them. */
void
file_take(CanopyFile *file, const char *bytes, size_t len, const VirusScan *scan)
{
	uint8 digest[DIGEST_LENGTH];
	char *sha256 = palloc0(2 * DIGEST_LENGTH + 1);

	digest_bytes(bytes, len, digest);
	hex_encode((const char *) digest, DIGEST_LENGTH, sha256);
	file->sha256 = sha256;
	file->media_type = file_type_of(bytes, len);
	file->scan = scanner_word(scan);
	file->bytes = bytes;
	file->len = len;
	file->state = "refused";
	if (scan != NULL && scan->verdict == SCAN_INFESTED)
	{
		file->state = "infested";
		file->reason = scan->signature;
	}
	else if (file->media_type == NULL)
		file->reason = "it is neither a PDF nor a JPEG or PNG image";
	else if (setting_require_scan && strcmp(file->scan, "clean") != 0)
		file->reason = psprintf("canopy_summit.require_scan is on, and it is %s", file->scan);
	else
		file->state = "here";
}

/* The key of a file, which keeps its server's name until the end of the transaction. */
static void
file_add_key(const CanopyFile *file, Values *values)
{
	const char *server = identity_hold_server(file->server_oid, file->server);

	if (former_names(server) != NIL)
		statement_run(&statements[FILE_FOLLOW],
					  (Datum[]){CStringGetTextDatum(server), CStringGetTextDatum(file->owner_id)},
					  NULL);
	values_add_text(values, server);
	values_add_text(values, file->kind);
	values_add_text(values, file->owner_id);
	values_add_text(values, file->file_id);
}

/* Note why a file did not come, which says nothing of whether it will.  Inside engine_begin(). */
void
file_note(const CanopyFile *file, const char *reason)
{
	Values values = {0};

	file_add_key(file, &values);
	values_add_text(&values, reason);
	statement_run_values(&statements[FILE_NOTE], &values);
}

/* Keep a file, or why it is not here.  Inside engine_begin(). */
void
file_store(CanopyFile *file)
{
	bool is_here = strcmp(file->state, "here") == 0;
	Values values = {0};

	file_add_key(file, &values);
	statement_run_values(&statements[FILE_EXPECT], &values);
	values_add_time(&values, file->fetched_at);
	values_add_text(&values, file->state);
	values_add_text(&values, file->reason);
	values_add_text(&values, file->media_type);
	values_add_text(&values, file->scan);
	values_add_text(&values, file->sha256);
	values_add_unless(&values, !is_here, is_here ? bytes_datum(file->bytes, file->len) : (Datum) 0);
	values_add_unless(&values, file->bytes == NULL, Int64GetDatum((int64) file->len));
	if (statement_run_values(&statements[FILE_KEEP], &values) > 0)
		file->changed = DatumGetBool(statement_value());
	else if (!is_here)
		file_note(file, psprintf("%s%s%s", file->state, file->reason ? ", " : "",
								 file->reason ? file->reason : ""));
}

/* Which documents a server's option download_documents wants; NULL if it is not set. */
static char *
files_wanted(Oid server_oid)
{
	ForeignServer *server = GetForeignServerExtended(server_oid, FSV_MISSING_OK);
	ListCell *cell;

	if (server == NULL)
		return NULL;
	foreach(cell, server->options)
		if (strcmp(((DefElem *) lfirst(cell))->defname, "download_documents") == 0)
			return defGetString(lfirst(cell));
	return NULL;
}

/*
 * Have the files fetched that pulls name, where their server's option
 * download_documents says so: of pulls that these settlements' jobs have fetched.
 */
void
documents_want(List *settlements)
{
	Datum *jobs = palloc(sizeof(Datum) * list_length(settlements));
	Datum *which = palloc(sizeof(Datum) * list_length(settlements));
	Datum arguments[2];
	int count = 0;
	ListCell *cell;

	foreach(cell, settlements)
	{
		const Job *job = ((Settlement *) lfirst(cell))->job;
		const char *wanted = files_wanted(job->server_oid);

		if (wanted == NULL)
			continue;
		jobs[count] = Int64GetDatum(job->job_id);
		which[count++] = CStringGetTextDatum(wanted);
	}
	if (count == 0)
		return;
	arguments[0] = statement_array(jobs, NULL, count, INT8OID);
	arguments[1] = statement_array(which, NULL, count, TEXTOID);
	if (statement_run(&statements[FILES_WANT], arguments, NULL) > 0)
		wake_at_commit(GetCurrentTimestamp());
}
