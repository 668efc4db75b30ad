/*
 * document_scan.c
 *	  Documents of an upload, shown to the virus scanner before they are sent.
 *
 * One document at a time is decoded, in a memory context that ends before the
 * next one's begins: beside the body there is never more than its largest part.
 * A scanner that gives no verdict keeps the upload waiting; a verdict that the
 * document is no good, or that cannot be had where it is required, fails it.
 */
#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "base/base64.h"
#include "base/jsonb_get.h"
#include "http/clamd.h"
#include "job/handler.h"
#include "job/job.h"
#include "job/retry.h"
#include "job/scanner.h"
#include "job/settlement.h"
#include "summit/document_scan.h"
#include "summit/field.h"

#define NOT_SCANNED \
	"not_scanned" /* code of a job that waits for the scanner, or fails for want of it */
#define REQUIRED "cannot be scanned for viruses, which canopy_summit.require_scan asks for"

/* A document of a body. */
typedef struct Document
{
	const char *path;
	JsonbContainer *object;
} Document;

/* The documents of an upload on their way past the scanner. */
typedef struct Scan
{
	Settlement *settlement;
	HttpLoop *loop;
	int timeout; /* ms, of one document */
	StepDone done;
	void *argument;
	MemoryContext context; /* of the document that is with the scanner */
	const char *path;      /* its path */
	int next;              /* the place of the one after it */
} Scan;

/* The next document of a body, from a place on: 0 is the COI's, n that of the n-th endorsement; false if there is none. */
static bool
document_next(Jsonb *body, int *next, Document *document)
{
	JsonbContainer *documents = body ? member_object(&body->root, "documents") : NULL;
	JsonbContainer *coi = member_object(documents, "coi_pdf");
	JsonbValue *endorsements = member_value(documents, "endorsements");
	JsonbValue *element;
	int place = *next == 0 && coi == NULL ? 1 : *next;

	*next = place + 1;
	if (place == 0)
	{
		*document = (Document){"documents.coi_pdf", coi};
		return true;
	}
	element = value_is_array(endorsements)
				  ? getIthJsonbValueFromContainer(endorsements->val.binary.data, place - 1)
				  : NULL;
	if (!value_is_object(element))
		return false;
	document->path = psprintf("documents.endorsements[%d]", place - 1);
	document->object = element->val.binary.data;
	return true;
}

/* The base64 of a document; NULL if it is given by URL. */
static const JsonbValue *
document_base64(const Document *document)
{
	const JsonbValue *value = member_value(document->object, "base64");

	return value != NULL && value->type == jbvString ? value : NULL;
}

/*
 * Refuse an upload that could never be sent, since a document of it cannot be scanned and has to
 * be; or tell of the first document that will not be scanned.  Errors: 22023 it is given by URL,
 * 55000 there is no scanner.
 */
void
documents_check_scan(Jsonb *body)
{
	const char *unscanned = NULL;
	Document document;
	int next = 0;

	while (document_next(body, &next, &document))
	{
		bool is_url = document_base64(&document) == NULL;

		if (!is_url && clamd_is_set())
			continue;
		if (setting_require_scan && is_url)
			field_refuse(document.path, REQUIRED, "It is given by URL.", "Give it as base64.");
		if (setting_require_scan)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("%s: %s", document.path, REQUIRED),
							errhint("Set canopy_summit.clamd_socket to the local socket of "
									"ClamAV's daemon."),
							err_generic_string(PG_DIAG_COLUMN_NAME, document.path),
							errhidestmt(true), errhidecontext(true)));
		if (unscanned == NULL)
			unscanned = document.path;
	}
	if (unscanned != NULL)
		ereport(NOTICE, (errmsg("%s: is not scanned for viruses", unscanned)));
}

/* End the step: `problem` is why the upload is not sent, NULL that it may be. */
static void
scan_end(Scan *scan, RetryAction action, const char *code, const char *problem)
{
	if (action == RETRY_FAIL)
		scan->settlement->finding = MemoryContextStrdup(GetMemoryChunkContext(scan), scan->path);
	scan->done(scan->argument, action, code, problem);
	MemoryContextDelete(scan->context);
}

/* Fail an upload whose document cannot be scanned, unless that is not required: then true. */
static bool
scan_may_do_without(Scan *scan, const char *reason)
{
	if (!setting_require_scan)
		return true;
	scan_end(scan, RETRY_FAIL, NOT_SCANNED, psprintf("%s: " REQUIRED ": %s", scan->path, reason));
	return false;
}

static void scan_verdict(VirusScan *verdict, void *argument);

/* Show a document to the scanner; true if it goes by without. */
static bool
scan_document(Scan *scan, const Document *document)
{
	const JsonbValue *base64 = document_base64(document);
	const char *problem;
	char *bytes;
	int len;

	if (base64 == NULL)
		return scan_may_do_without(scan, "it is given by URL");
	if (!clamd_is_set())
		return scan_may_do_without(scan, "canopy_summit.clamd_socket is not set");
	problem = scanner_hindrance();
	if (problem != NULL)
		scan_end(scan, RETRY_OUTAGE, NOT_SCANNED, problem);
	else if (!base64_decode(base64->val.string.val, base64->val.string.len, &bytes, &len))
		scan_end(scan, RETRY_FAIL, NOT_SCANNED, psprintf("%s: is not base64", scan->path));
	else
		(void) scan_start(scan->loop, bytes, len, scan->timeout, scan_verdict, scan);
	return false;
}

/* Go on with the next document.  What the last one took is freed first, its scan with it. */
static void
scan_go_on(Scan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->context);
	bool goes_by = true;
	Document document;

	while (goes_by)
	{
		MemoryContextReset(scan->context);
		if (!document_next(scan->settlement->job->body, &scan->next, &document))
			break;
		scan->path = document.path;
		goes_by = scan_document(scan, &document);
	}
	MemoryContextSwitchTo(old);
	if (goes_by)
		scan_end(scan, RETRY_SUCCEED, NULL, NULL);
}

/* ScanDone: what the scanner says of a document. */
static void
scan_verdict(VirusScan *verdict, void *argument)
{
	Scan *scan = argument;
	MemoryContext old = MemoryContextSwitchTo(scan->context);
	bool goes_by = false;

	scanner_note(verdict->problem);
	if (verdict->verdict == SCAN_FAILED)
		scan_end(scan, RETRY_OUTAGE, NOT_SCANNED, verdict->problem);
	else if (verdict->verdict == SCAN_INFESTED)
		scan_end(scan, RETRY_FAIL, "infested",
				 psprintf("%s: the virus scanner found %s", scan->path, verdict->signature));
	else
		goes_by = verdict->verdict == SCAN_CLEAN ||
				  scan_may_do_without(scan, psprintf("it is %s", scanner_word(verdict)));
	MemoryContextSwitchTo(old);
	if (goes_by)
		scan_go_on(scan);
}

/* JobHandler.prepare: have every document scanned that can be. */
void
documents_scan(Settlement *settlement, HttpLoop *loop, int timeout, StepDone done, void *argument)
{
	Scan *scan = palloc0(sizeof(Scan));

	*scan = (Scan){settlement, loop, timeout, done, argument};
	scan->context =
		AllocSetContextCreate(CurrentMemoryContext, "canopy_summit scan", ALLOCSET_SMALL_SIZES);
	scan_go_on(scan);
}

/* JobHandler.retry_delay: a scanner that gave no verdict is not asked again at once. */
int64
documents_retry_delay(const Settlement *settlement, int attempts, long retry_after)
{
	bool awaits_scanner = settlement->response == NULL && settlement->code != NULL &&
						  strcmp(settlement->code, NOT_SCANNED) == 0;

	return awaits_scanner ? scanner_pause() : retry_delay(attempts, retry_after);
}
