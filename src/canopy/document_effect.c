/*
 * document_effect.c
 *	  Files fetched by job: scanned before their job is settled, kept in the
 *	  transaction that settles it.
 *
 * Without its scanner no file is asked for: what came would only have to be thrown
 * away.  A file of which the older route may know is asked for there.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "api/answer.h"
#include "api/failure.h"
#include "canopy/document.h"
#include "canopy/document_effect.h"
#include "engine/statement.h"
#include "http/clamd.h"
#include "http/loop.h"
#include "http/transfer.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/retry.h"
#include "job/scanner.h"
#include "job/settlement.h"
#include "process/wake.h"

/* A scan between answer and settle. */
typedef struct Inspection
{
	Settlement *settlement;
	StepDone done;
	void *argument;
} Inspection;

/* ScanDone: go on with a verdict, or try again later without one. */
static void
inspection_end(VirusScan *scan, void *argument)
{
	Inspection *inspection = argument;

	scanner_note(scan->problem);
	inspection->settlement->finding = scan;
	inspection->done(inspection->argument,
					 scan->verdict == SCAN_FAILED ? RETRY_OUTAGE : RETRY_SUCCEED, "not_inspected",
					 scan->problem);
}

/* JobHandler.inspect: show the file to the scanner. */
static void
document_inspect(Settlement *settlement, HttpLoop *loop, int timeout, StepDone done, void *argument)
{
	const Answer *answer = settlement->answer;
	Inspection *inspection;

	if (!file_needs_scan(answer->received, answer->received_len))
	{
		done(argument, RETRY_SUCCEED, NULL, NULL);
		return;
	}
	inspection = palloc(sizeof(Inspection));
	*inspection = (Inspection){settlement, done, argument};
	(void) scan_start(loop, answer->received, answer->received_len, timeout, inspection_end,
					  inspection);
}

/* JobHandler.retry_delay: a scanner that is down is not asked again at once. */
static int64
document_retry_delay(const Settlement *settlement, int attempts, long retry_after)
{
	return scanner_has_failed() ? scanner_pause() : retry_delay(attempts, retry_after);
}

/* The file that a settlement's job was about. */
static CanopyFile *
settlement_file(const Settlement *settlement)
{
	const Job *job = settlement->job;
	CanopyFile *file = file_create(file_operation_find(job->operation->name), job->server_oid,
								   job->server, job->params);

	file->fetched_at = settlement->started_at;
	return file;
}

/* JobHandler.succeeded: keep files, or why they are kept out. */
static void
documents_succeeded(List *settlements)
{
	ListCell *cell;

	foreach(cell, settlements)
	{
		Settlement *settlement = lfirst(cell);
		CanopyFile *file = settlement_file(settlement);

		file_take(file, settlement->answer->received, settlement->answer->received_len,
				  settlement->finding);
		file_store(file);
	}
}

/* Ask for a file at the older route; false if there is none, or the server knows this one. */
static bool
fallback_try(const Settlement *settlement)
{
	static Statement insert = {
		2,
		{INT8OID, TEXTOID},
		JOB_WRITE_AFTER(
			"operation, params, priority, run_at",
			"$2, j.params, j.priority, now()") " FROM canopy_summit.job j WHERE j.job_id = $1"};
	const FileOperation *operation = file_operation_find(settlement->job->operation->name);
	Values arguments = {0};

	if (operation->fallback == NULL || !failure_is_of_route(settlement->status, settlement->code))
		return false;
	values_add_int64(&arguments, settlement->job->job_id);
	values_add_text(&arguments, operation->fallback);
	statement_run_values(&insert, &arguments);
	wake_at_commit(GetCurrentTimestamp());
	return true;
}

/*
 * Whether the server has said that it will not give a file.  What came of a network, a limit, a
 * credential or an option may be otherwise the next time; the engine's own codes are in lower case.
 */
static bool
server_has_judged(const Settlement *settlement)
{
	const HttpResponse *response = settlement->response;
	const char *code = settlement->code;

	return response != NULL &&
		   (response->outcome == HTTP_COMPLETE || response->outcome == HTTP_TOO_LARGE) &&
		   (code == NULL || !islower((unsigned char) *code) ||
			strcmp(code, "download_refused") == 0) &&
		   retry_decide(settlement->job->operation, response, code, false) == RETRY_FAIL;
}

/* JobHandler.failed: say why files are not here. */
static void
documents_failed(List *settlements)
{
	ListCell *cell;

	foreach(cell, settlements)
	{
		Settlement *settlement = lfirst(cell);
		CanopyFile *file;

		if (fallback_try(settlement))
			continue;
		file = settlement_file(settlement);
		if (file->owner_id == NULL || file->file_id == NULL)
			continue; /* it was none */
		if (!server_has_judged(settlement))
		{
			file_note(file, settlement->outcome);
			continue;
		}
		file->state =
			settlement->response->outcome == HTTP_TOO_LARGE ||
					(settlement->response->status >= 300 && settlement->response->status <= 399)
				? "refused"
				: "not available";
		file->reason = settlement->outcome;
		file_store(file);
	}
}

/* From _PG_init(). */
void
document_effect_register(void)
{
#define FILE_HANDLER(name)                                                              \
	{                                                                                   \
		.operation = name, .hindrance = scanner_hindrance, .inspect = document_inspect, \
		.succeeded = documents_succeeded, .failed = documents_failed,                   \
		.retry_delay = document_retry_delay, .stores_answer = true                      \
	}
	static const JobHandler handlers[] = {
		FILE_HANDLER("download-document-by-id"),    FILE_HANDLER("get-document-by-id"),
		FILE_HANDLER("download-file-by-id"),        FILE_HANDLER("get-pull-policy-check-pdf"),
		FILE_HANDLER("download-policy-form-by-id"), FILE_HANDLER("get-policy-form-by-id"),
	};

	for (int i = 0; i < lengthof(handlers); i++)
		handler_register(&handlers[i]);
}
