/*
 * receiver.c
 *	  The life of the receiver: it listens for webhooks, one process for one
 *	  database, until it is told to go or somebody waits for the database.
 *
 * No transaction is open while it waits.  What is complete when it has to go is
 * still stored and answered.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/digest.h"
#include "base/place.h"
#include "engine/transaction.h"
#include "process/database.h"
#include "process/database_list.h"
#include "process/process.h"
#include "process/receiver_launch.h"
#include "process/shared.h"
#include "process/wake.h"
#include "receiver/intake.h"
#include "receiver/listener.h"
#include "receiver/receiver.h"
#include "receiver/socket.h"
#include "server/secret.h"

#define FILE_MAX     (256 * 1024) /* bytes of a certificate chain */
#define LAST_WORDS   500          /* ms that answers have to get away before the process goes */
#define WATCH        500          /* ms between looks, amid a transaction, whether to go */
#define LOCK_TIMEOUT "250ms"      /* of a batch: others wait with it */

pg_noreturn PGDLLEXPORT void canopy_summit_receiver_main(Datum argument);

static char *setting_receiver_listen;
static int setting_receiver_max_connections;
static int setting_receiver_timeout; /* ms */
static char *setting_receiver_tls_cert_file;
static char *setting_receiver_tls_key_file;

typedef struct Receiver
{
	Intake intake;
	Listener *listener;
	WaitEventSet *wait;
	uint8 plan[DIGEST_LENGTH]; /* digest of what the listener was opened with */
	char *database;
	TimestampTz yield_at; /* look then for somebody who waits for the database */
} Receiver;

static TimeoutId watch; /* runs while a transaction may have to wait */

/* Timeout handler: what the latch says is not heard amid a transaction that waits for others. */
static void
on_watch(void)
{
	if (!ShutdownRequestPending)
		return;
	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/* Exit callback: free the slot, and decide when the next may come.  Never asks libmicrohttpd, which may have panicked. */
static void
receiver_detach(int code, Datum argument)
{
	ReceiverSlot *slot = &shared->receiver;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (ShutdownRequestPending)
		slot->end = WORKER_YIELDED;
	slot->failures = slot->end != WORKER_CRASHED ? 0 : slot->stored > 0 ? 1 : slot->failures + 1;
	slot->not_before = shared_back_off(GetCurrentTimestamp(), slot->failures);
	slot->pid = 0;
	slot->database = InvalidOid;
	LWLockRelease(shared->lock);
	wake_launcher();
}

/* Take the slot; there is never a second receiver. */
static void
receiver_attach(void)
{
	ReceiverSlot *slot = &shared->receiver;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (slot->pid != 0)
	{
		LWLockRelease(shared->lock);
		proc_exit(0);
	}
	slot->pid = MyProcPid;
	slot->end = WORKER_CRASHED;
	slot->stored = 0;
	slot->storing_since = 0;
	slot->problem[0] = '\0';
	slot->started_at = GetCurrentTimestamp();
	LWLockRelease(shared->lock);
	before_shmem_exit(receiver_detach, (Datum) 0);
}

/* A private key, from a file under the rule of secret files. */
static char *
key_read(const char *path)
{
	StringInfoData key;
	ListCell *cell;

	initStringInfo(&key);
	foreach(cell, secret_read_file(path))
		appendStringInfo(&key, "%s\n", (char *) lfirst(cell));
	return key.data;
}

/* What the settings ask for, in the current memory context.  Errors: F0000, and those of the files. */
static void
plan_read(ListenerPlan *plan)
{
	bool has_certificate = setting_receiver_tls_cert_file[0] != '\0';

	*plan = (ListenerPlan){.address = setting_receiver_listen,
						   .port = setting_receiver_port,
						   .max_connections = setting_receiver_max_connections,
						   .timeout = setting_receiver_timeout};
	if (has_certificate != (setting_receiver_tls_key_file[0] != '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("TLS needs a certificate and a key"),
				 errhint("Set both canopy_summit.receiver_tls_cert_file and "
						 "canopy_summit.receiver_tls_key_file.")));
	if (!has_certificate && !listener_address_is_loopback(plan->address))
		ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
						errmsg("cannot listen on %s without TLS", plan->address),
						errhint("Set canopy_summit.receiver_tls_cert_file and "
								"canopy_summit.receiver_tls_key_file, or listen on localhost "
								"behind a proxy.")));
	if (has_certificate)
	{
		size_t len;

		plan->certificate = place_read("certificate file", setting_receiver_tls_cert_file, FILE_MAX,
									   false, NULL, &len);
		plan->key = key_read(setting_receiver_tls_key_file);
	}
}

/* What tells one plan from the next. */
static void
plan_digest(const ListenerPlan *plan, uint8 *digest)
{
	char *text = psprintf("%s %d %d %d %s %s", plan->address, plan->port, plan->max_connections,
						  plan->timeout, plan->certificate ? plan->certificate : "",
						  plan->key ? plan->key : "");

	digest_text(text, digest);
	explicit_bzero(text, strlen(text));
}

/* Listen as planned. */
static void
receiver_listen(Receiver *receiver, const ListenerPlan *plan)
{
	receiver->listener = listener_open(plan);
	plan_digest(plan, receiver->plan);
	if (plan->key != NULL)
		explicit_bzero(unconstify(char *, plan->key), strlen(plan->key));
	receiver->wait = wait_set_create(3);
	AddWaitEventToSet(receiver->wait, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(receiver->wait, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(receiver->wait, WL_SOCKET_READABLE, listener_descriptor(receiver->listener),
					  NULL, NULL);
	ereport(LOG,
			(errmsg("canopy_summit receiver listens on %s port %d%s for database \"%s\"",
					plan->address, plan->port, plan->key ? " by TLS" : "", receiver->database)));
}

/* Wait for the latch, for clients, or so many milliseconds. */
static void
receiver_wait(Receiver *receiver, long timeout)
{
	static uint32 wait_event = 0;
	WaitEvent event;

	wait_event_named("CanopySummitReceiver", &wait_event);
	if (WaitEventSetWait(receiver->wait, timeout, &event, 1, wait_event) == 1 &&
		event.events & WL_LATCH_SET)
		ResetLatch(MyLatch);
}

/* Show in shared memory how it goes. */
static void
receiver_report(Receiver *receiver)
{
	ReceiverSlot *slot = &shared->receiver;
	const char *problem = intake_problem(&receiver->intake);

	receiver->intake.is_news = false;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot->stored = receiver->intake.stored;
	strlcpy(slot->problem, problem ? problem : "", sizeof(slot->problem));
	LWLockRelease(shared->lock);
}

/* Serve what is complete. */
static bool
receiver_serve_requests(Receiver *receiver)
{
	bool served;

	enable_timeout_every(watch, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WATCH), WATCH);
	served = intake_serve(&receiver->intake, receiver->listener);
	disable_timeout(watch, false);
	if (receiver->intake.is_news)
		receiver_report(receiver);
	return served;
}

/* Stop listening: serve what is complete, and give the answers a moment. */
static void
receiver_silence(Receiver *receiver)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LAST_WORDS);

	/* Those that have come and were not looked at yet: their connections, and then their requests. */
	listener_run(receiver->listener);
	listener_run(receiver->listener);
	listener_quiesce(receiver->listener);
	while (receiver_serve_requests(receiver))
		listener_run(receiver->listener);
	while (listener_is_sending(receiver->listener) && GetCurrentTimestamp() < until)
	{
		receiver_wait(receiver, listener_timeout(receiver->listener, 10));
		listener_run(receiver->listener);
		while (receiver_serve_requests(receiver))
			listener_run(receiver->listener);
	}
	FreeWaitEventSet(receiver->wait);
	listener_close(receiver->listener);
}

/* Leave, and note why. */
static void
receiver_leave(Receiver *receiver, WorkerEnd end)
{
	receiver_silence(receiver);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->receiver.end = end;
	LWLockRelease(shared->lock);
	proc_exit(0);
}

/* Take the settings as they are now; what cannot be listened with leaves the listener as it is. */
static void
receiver_reload_settings(Receiver *receiver)
{
	volatile bool is_new = false;
	ListenerPlan plan;

	ProcessConfigFile(PGC_SIGHUP);
	intake_forget_sources();
	if (setting_receiver_port == 0 || strcmp(setting_receiver_database, receiver->database) != 0)
		receiver_leave(receiver, WORKER_YIELDED);
	PG_TRY();
	{
		uint8 digest[DIGEST_LENGTH];

		plan_read(&plan);
		plan_digest(&plan, digest);
		is_new = memcmp(digest, receiver->plan, sizeof(digest)) != 0;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(receiver->intake.turn);
		EmitErrorReport();
		FlushErrorState();
		/* No transaction ends here that would close what the error has left open. */
		AtEOXact_Files(false);
	}
	PG_END_TRY();
	if (!is_new)
		return;
	receiver_silence(receiver);
	receiver_listen(receiver, &plan);
}

/* What is done once a second. */
static void
receiver_look_around(Receiver *receiver, TimestampTz now)
{
	if (now < receiver->yield_at && now > receiver->yield_at - YIELD_INTERVAL * INT64CONST(1000))
		return;
	receiver->yield_at = TimestampTzPlusMilliseconds(now, YIELD_INTERVAL);
	if (database_is_wanted())
		receiver_leave(receiver, WORKER_YIELDED);
	intake_look(&receiver->intake);
	receiver_report(receiver);
}

/* One turn: take what has come, serve it, and wait if there was nothing. */
static void
receiver_turn(void *process)
{
	Receiver *receiver = process;

	MemoryContextReset(receiver->intake.turn);
	MemoryContextSwitchTo(receiver->intake.turn);
	QueryCancelPending = false; /* there is nothing to cancel */
	CHECK_FOR_INTERRUPTS();
	if (ShutdownRequestPending)
		receiver_leave(receiver, WORKER_YIELDED);
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		receiver_reload_settings(receiver);
	}
	receiver_look_around(receiver, GetCurrentTimestamp());
	listener_run(receiver->listener);
	listener_cut_slow(receiver->listener);
	if (!receiver_serve_requests(receiver))
		receiver_wait(receiver, listener_timeout(receiver->listener, YIELD_INTERVAL));
}

/* Become the receiver: signals, database, settings of its session. */
static void
receiver_begin(void *process)
{
	Receiver *receiver = process;
	ListenerPlan plan;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGINT, work_cancel);
	pqsignal(SIGPIPE, PG_SIG_IGN);
	BackgroundWorkerUnblockSignals();
	receiver_attach();
	receiver->database = MemoryContextStrdup(TopMemoryContext, setting_receiver_database);
	BackgroundWorkerInitializeConnection(receiver->database, NULL, 0);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->receiver.database = MyDatabaseId;
	LWLockRelease(shared->lock);
	session_settings();
	lock_patience(LOCK_TIMEOUT);
	pgstat_report_appname("canopy_summit receiver");
	watch = RegisterTimeout(USER_TIMEOUT, on_watch);
	intake_begin(&receiver->intake);
	MemoryContextSwitchTo(receiver->intake.turn);
	plan_read(&plan);
	intake_check(&receiver->intake);
	receiver_listen(receiver, &plan);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Entry point of the receiver. */
void
canopy_summit_receiver_main(Datum argument)
{
	static Receiver receiver;

	process_run(receiver_begin, receiver_turn, &receiver);
}

/* Check hook of receiver_listen. */
static bool
check_listen(char **value, void **extra, GucSource source)
{
	if (listener_address_is_valid(*value))
		return true;
	GUC_check_errdetail("It must be an IP address, or localhost.");
	return false;
}

/* Check hook of the names of files. */
static bool
check_file(char **value, void **extra, GucSource source)
{
	if ((*value)[0] == '\0' || is_absolute_path(*value))
		return true;
	GUC_check_errdetail("The path must be absolute.");
	return false;
}

/* Where the receiver listens, to whom, and for how long. */
void
receiver_settings(void)
{
	DefineCustomStringVariable("canopy_summit.receiver_listen",
							   "Address on which webhooks are received.",
							   "Any but a loopback address needs TLS.", &setting_receiver_listen,
							   "127.0.0.1", PGC_SIGHUP, 0, check_listen, NULL, NULL);
	DefineCustomIntVariable("canopy_summit.receiver_max_connections",
							"Most connections that the receiver has at once.", NULL,
							&setting_receiver_max_connections, 256, 1, 10000, PGC_SIGHUP, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable("canopy_summit.receiver_timeout",
							"Time that a client has for a complete request.", NULL,
							&setting_receiver_timeout, 30 * 1000, 1000, 60 * 60 * 1000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("canopy_summit.receiver_tls_cert_file",
							   "File with the receiver's certificate chain in PEM.",
							   "Empty: no TLS.", &setting_receiver_tls_cert_file, "", PGC_SIGHUP, 0,
							   check_file, NULL, NULL);
	DefineCustomStringVariable("canopy_summit.receiver_tls_key_file",
							   "File with the receiver's private key in PEM.", NULL,
							   &setting_receiver_tls_key_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_file, NULL, NULL);
}
