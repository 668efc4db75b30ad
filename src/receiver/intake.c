/*
 * intake.c
 *	  What the receiver does with complete requests: each is verified before the
 *	  database is touched, those that may be stored share a transaction, and
 *	  nobody is answered 200 before it has committed.
 *
 * If the transaction fails, each delivery gets one of its own, so that none is
 * refused for another's sake.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "nodes/pg_list.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "engine/transaction.h"
#include "process/database.h"
#include "process/shared.h"
#include "receiver/intake.h"
#include "receiver/listener.h"
#include "receiver/route.h"
#include "server/connection.h"
#include "webhook/header.h"
#include "webhook/inbox.h"
#include "webhook/inbox_store.h"

#define BATCH_MAX     200           /* deliveries of one transaction */
#define TURN_BLOCK    (1024 * 1024) /* bytes */
#define SOURCE_AGE    USECS_PER_SEC /* after which a server is read again */
#define SOURCES_MAX   64            /* known at once, those that do not exist included */
#define ALONE_MAX     1000          /* ms that a batch may take to be stored one by one */
#define COMPLAIN_EACH (60 * 1000)   /* ms between messages to the log */
#define PROBE_AFTER   5000          /* ms for which a failure to store counts without another */

/* A server as it was last read. */
typedef struct Source
{
	char name[NAMEDATALEN];
	TimestampTz read_at;
	WebhookSource *webhook; /* NULL, or without secrets: all get `answer` */
	HttpAnswer answer;
} Source;

static MemoryContext source_context = NULL;
static List *sources = NIL; /* of Source * */
static bool sources_changed = false;

/* Syscache callback: servers, mappings or roles may be others now. */
static void
on_catalog_change(Datum argument, int cache, uint32 hash)
{
	sources_changed = true;
}

/* Once a process. */
void
intake_begin(Intake *intake)
{
	/* The first block stays when the context is reset: a batch of usual size asks malloc for nothing. */
	intake->turn =
		AllocSetContextCreate(TopMemoryContext, "canopy_summit turn", ALLOCSET_DEFAULT_MINSIZE,
							  TURN_BLOCK, ALLOCSET_DEFAULT_MAXSIZE);
	source_context =
		AllocSetContextCreate(TopMemoryContext, "canopy_summit sources", ALLOCSET_SMALL_SIZES);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_catalog_change, (Datum) 0);
	CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, on_catalog_change, (Datum) 0);
	CacheRegisterSyscacheCallback(USERMAPPINGOID, on_catalog_change, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, on_catalog_change, (Datum) 0);
	intake->problem = "it has not looked yet";
}

/* Have every server read again before its next use. */
void
intake_forget_sources(void)
{
	MemoryContextReset(source_context);
	sources = NIL;
	sources_changed = false;
}

/*
 * What to tell of an error, in the log and in views: the message only if
 * PostgreSQL words it, of the state that it is in; others may show what was to be
 * stored, which is personal.
 */
static const char *
failure_reason(const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return "somebody holds a lock on what has to be written";
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_INVALID_TRANSACTION_STATE: /* such as a read-only one */
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_CONFIG_FILE_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return error->message;
		default:
			return psprintf("error %s", unpack_sql_state(error->sqlerrcode));
	}
}

/* Keep a text for others to see: as much of it as there is room for, in one line. */
static void
keep_text(char *to, size_t size, const char *text)
{
	strlcpy(to, text, pg_mbcliplen(text, strlen(text), size - 1) + 1);
	for (; *to != '\0'; to++)
		if ((unsigned char) *to < ' ' || *to == 0x7f)
			*to = ' ';
}

/* Say in the log what went wrong, but not of every request. */
static void
complain(const char *what, const ErrorData *error)
{
	static TimestampTz complained_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(complained_at, now, COMPLAIN_EACH))
		return;
	complained_at = now;
	ereport(LOG, (errmsg("canopy_summit receiver could not %s: %s", what, failure_reason(error))));
}

/* Note whether this library can work with the database, inside look_begin(). */
static void
check_inside(Intake *intake)
{
	static char problem[200];
	const char *found = database_problem();

	if (found != NULL && (intake->problem == NULL || strcmp(found, intake->problem) != 0))
		ereport(LOG, (errmsg("canopy_summit receiver answers 503: %s", found)));
	if (found != NULL)
		strlcpy(problem, found, sizeof(problem));
	intake->problem = found ? problem : NULL;
	intake->check_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 1000);
}

/* The same in a transaction of its own; a database that cannot do that is a problem, too. */
void
intake_check(Intake *intake)
{
	PG_TRY();
	{
		look_begin();
		check_inside(intake);
		look_end();
	}
	PG_CATCH();
	{
		complain("look at the database", work_abort(intake->turn));
		intake->problem = "it could not look at the database";
	}
	PG_END_TRY();
	MemoryContextSwitchTo(intake->turn);
}

/* Show in server_health why a server's deliveries cannot be verified; NULL: they can. */
static void
note_problem(const char *server, const char *problem)
{
	ServerCounters *counters;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	counters = shared_server(server);
	if (counters != NULL)
		keep_text(counters->webhook_problem, sizeof(counters->webhook_problem),
				  problem ? problem : "");
	LWLockRelease(shared->lock);
}

/* Read a server in a transaction. */
static void
source_read(Intake *intake, Source *source)
{
	source->webhook = NULL;
	PG_TRY();
	{
		look_begin();
		check_inside(intake);
		MemoryContextSwitchTo(source_context);
		if (intake->problem != NULL)
			source->answer = ANSWER_UNAVAILABLE;
		else
		{
			source->webhook = connection_webhook(source->name);
			source->answer = ANSWER_UNAVAILABLE;
			note_problem(source->name,
						 source->webhook->secrets
							 ? NULL
							 : "the user mapping of its webhook_role has no webhook_secret");
		}
		look_end();
	}
	PG_CATCH();
	{
		ErrorData *error = work_abort(intake->turn);

		if (error->sqlerrcode == ERRCODE_UNDEFINED_OBJECT ||
			error->sqlerrcode == ERRCODE_WRONG_OBJECT_TYPE)
			source->answer = ANSWER_NOT_FOUND;
		else
		{
			source->answer = ANSWER_UNAVAILABLE;
			note_problem(source->name, failure_reason(error));
			complain("read a server", error);
		}
	}
	PG_END_TRY();
	MemoryContextSwitchTo(intake->turn);
}

/* A server that is known, or is now; at most a second old. */
static Source *
source_find(Intake *intake, const char *name)
{
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext old;
	Source *source;
	ListCell *cell;

	if (sources_changed || list_length(sources) >= SOURCES_MAX)
		intake_forget_sources();
	foreach(cell, sources)
	{
		source = lfirst(cell);
		if (strcmp(source->name, name) != 0)
			continue;
		if (now - source->read_at < SOURCE_AGE && now >= source->read_at)
			return source;
		/* What was read of others goes, too: it is as good as old, and so nothing piles up. */
		intake_forget_sources();
		break;
	}
	old = MemoryContextSwitchTo(source_context);
	source = palloc0(sizeof(Source));
	strlcpy(source->name, name, NAMEDATALEN);
	source->read_at = now;
	source_read(intake, source);
	MemoryContextSwitchTo(source_context);
	sources = lappend(sources, source);
	MemoryContextSwitchTo(old);
	return source;
}

/* What the sender is told of an outcome. */
static HttpAnswer
answer_of(InboxOutcome outcome)
{
	static const HttpAnswer answers[] = {[INBOX_STORED] = ANSWER_STORED,
										 [INBOX_QUARANTINED] = ANSWER_QUARANTINED,
										 [INBOX_CONFLICT] = ANSWER_CONFLICT,
										 [INBOX_DUPLICATE] = ANSWER_DUPLICATE,
										 [INBOX_BAD_SIGNATURE] = ANSWER_BAD_SIGNATURE,
										 [INBOX_TOO_LARGE] = ANSWER_TOO_LARGE,
										 [INBOX_ENCODED] = ANSWER_ENCODED,
										 [INBOX_NO_SERVER] = ANSWER_NOT_FOUND,
										 [INBOX_NO_SECRET] = ANSWER_UNAVAILABLE};

	return answers[outcome];
}

/* POST /webhooks/<server>: verify a webhook; if nothing is wrong with it, it is storable. */
static void
serve_webhook(Intake *intake, Exchange *exchange)
{
	const Arrival *arrival = exchange->arrival;
	Source *source = source_find(intake, arrival->name);
	Delivery *delivery = &exchange->delivery;

	exchange->answer = source->answer;
	if (source->webhook == NULL)
		return;
	*delivery = (Delivery){.server = pstrdup(source->webhook->server),
						   .headers = headers_json(arrival->headers, arrival->headers_len),
						   .body = arrival->body,
						   .body_len = arrival->body_len,
						   .received_at = arrival->received_at};
	inbox_check(delivery, source->webhook);
	exchange->is_storable = delivery->outcome == INBOX_STORED;
	exchange->answer = answer_of(delivery->outcome);
	if (!exchange->is_storable)
		inbox_count_refusal(delivery->server, delivery->outcome);
}

/* GET /healthz: whether what comes is stored. */
static void
serve_health(Intake *intake, Exchange *exchange)
{
	intake_check(intake);
	exchange->answer = intake_problem(intake) ? ANSWER_UNAVAILABLE : ANSWER_HEALTHY;
}

/* From _PG_init(). */
void
intake_register(void)
{
	static const Route webhooks = {ROUTE_POST, "/webhooks/", serve_webhook};
	static const Route health = {ROUTE_GET, "/healthz", serve_health};

	route_register(&webhooks);
	route_register(&health);
}

/* Find the answer to a request, or that it takes a transaction. */
static void
exchange_judge(Intake *intake, Exchange *exchange)
{
	MemoryContext old = CurrentMemoryContext;

	PG_TRY();
	{
		exchange->arrival->route->serve(intake, exchange);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		complain("answer a request", error);
		exchange->answer = ANSWER_UNAVAILABLE;
	}
	PG_END_TRY();
}

/* Note that nothing could be stored, if that is how this attempt ends. */
static void
failure_note(Intake *intake, const char *what, const ErrorData *error, size_t len)
{
	complain(what, error);
	keep_text(intake->failure, sizeof(intake->failure), failure_reason(error));
	intake->failed_at = GetCurrentTimestamp();
	intake->failed_len = len;
	intake->is_news = true;
}

/* Note that storing works. */
static void
failure_forget(Intake *intake)
{
	if (intake->failure[0] == '\0')
		return;
	intake->failure[0] = '\0';
	intake->is_news = true;
}

/* Try whether what could not be stored could be now: else nobody would know before the next webhook. */
static void
intake_probe(Intake *intake)
{
	PG_TRY();
	{
		work_begin("trying to store a webhook");
		inbox_probe(intake->failed_len);
		work_rollback();
		failure_forget(intake);
	}
	PG_CATCH();
	{
		failure_note(intake, "store webhooks", work_abort(intake->turn), intake->failed_len);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(intake->turn);
}

/* Look whether what was wrong still is, if anything was. */
void
intake_look(Intake *intake)
{
	if (intake->problem != NULL)
		intake_check(intake);
	else if (intake->failure[0] != '\0' &&
			 TimestampDifferenceExceeds(intake->failed_at, GetCurrentTimestamp(), PROBE_AFTER))
		intake_probe(intake);
}

/* Why webhooks are answered 503, whatever server they are for; NULL = they are not. */
const char *
intake_problem(const Intake *intake)
{
	if (intake->problem != NULL)
		return intake->problem;
	return intake->failure[0] != '\0' ? intake->failure : NULL;
}

/* Store deliveries in one transaction; false if it fails. */
static bool
store_together(Intake *intake, Exchange **exchanges, int count)
{
	Delivery **deliveries = palloc(count * sizeof(Delivery *));
	volatile bool stored = false;

	for (int i = 0; i < count; i++)
		deliveries[i] = &exchanges[i]->delivery;
	shared->receiver.storing_since = GetCurrentTimestamp(); /* nobody else writes it */
	PG_TRY();
	{
		work_begin("storing webhooks");
		inbox_store(deliveries, count);
		/* A duplicate may be of a row whose commit is not on disk yet: a commit record after it is. */
		(void) GetCurrentTransactionId();
		work_commit();
		stored = true;
	}
	PG_CATCH();
	{
		failure_note(intake, "store webhooks", work_abort(intake->turn),
					 deliveries[count - 1]->body_len);
	}
	PG_END_TRY();
	shared->receiver.storing_since = 0;
	MemoryContextSwitchTo(intake->turn);
	for (int i = 0; i < count; i++)
	{
		exchanges[i]->answer = stored ? answer_of(deliveries[i]->outcome) : ANSWER_UNAVAILABLE;
		if (stored && deliveries[i]->outcome != INBOX_DUPLICATE)
			intake->stored++;
	}
	return stored;
}

/* Store each delivery alone, while that takes no longer than others can wait; whether any was stored. */
static bool
store_alone(Intake *intake, Exchange **exchanges, int count, TimestampTz start)
{
	bool stored = false;

	for (int i = 0; i < count; i++)
	{
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), ALONE_MAX))
			break;
		exchanges[i]->delivery.outcome = INBOX_STORED;
		exchanges[i]->delivery.webhook_id = 0;
		stored |= store_together(intake, &exchanges[i], 1);
	}
	return stored;
}

/* Store deliveries together, else each alone.  One that fails says nothing of the inbox if another is stored. */
static void
store(Intake *intake, Exchange **exchanges, int count)
{
	TimestampTz start = GetCurrentTimestamp();

	if (count > 0 && (store_together(intake, exchanges, count) ||
					  (count > 1 && store_alone(intake, exchanges, count, start))))
		failure_forget(intake);
}

/* Serve complete requests, at most a batch of them; false if there were none. */
bool
intake_serve(Intake *intake, Listener *listener)
{
	Exchange **exchanges = palloc(BATCH_MAX * sizeof(Exchange *));
	Exchange **storable = palloc(BATCH_MAX * sizeof(Exchange *));
	int count = 0;
	int storable_count = 0;
	Arrival *arrival;

	while (count < BATCH_MAX && (arrival = listener_take(listener)) != NULL)
	{
		Exchange *exchange = exchanges[count++] = palloc0(sizeof(Exchange));

		exchange->arrival = arrival;
		exchange_judge(intake, exchange);
		if (exchange->is_storable)
			storable[storable_count++] = exchange;
	}
	store(intake, storable, storable_count);
	for (int i = 0; i < count; i++)
		listener_answer(listener, exchanges[i]->arrival, exchanges[i]->answer);
	return count > 0;
}
