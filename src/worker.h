/*
 * worker.h
 *	  The background processes: their settings, and the parts of a worker.
 */
#ifndef CANOPY_SUMMIT_WORKER_H
#define CANOPY_SUMMIT_WORKER_H

#include "credential.h"
#include "job.h"
#include "postmaster/bgworker.h"
#include "retry.h"
#include "shared.h"
#include "throttle.h"

/*
 * Bytes of parameters and bodies that a worker has in its memory, roughly at most;
 * it takes a few times as much while they are sent.
 */
#define BODIES_MAX (64 * 1024 * 1024)

/* settings: canopy_summit.c */
extern char *setting_databases;
extern int setting_workers;
extern int setting_max_in_flight;
extern int setting_claim_batch;
extern int setting_worker_idle_timeout; /* ms */
extern int setting_lease_margin;        /* ms */
extern int setting_upload_poll_limit;   /* s */
extern char *setting_instance_file;
extern int setting_receiver_port; /* 0 = no receiver */
extern char *setting_receiver_listen;
extern char *setting_receiver_database;
extern int setting_receiver_max_connections;
extern int setting_receiver_timeout; /* ms */
extern char *setting_receiver_tls_cert_file;
extern char *setting_receiver_tls_key_file;

/* A server as a worker sees it. */
typedef struct Lane
{
	Oid server_oid;
	char *server; /* its name; NULL = it is gone */
	Throttle throttle;
	ClaimCursor cursor;
	uint32 claims;
	bool may_have_due; /* jobs behind the cursor are not known to be none */
	bool is_held;
	List *held_owners;   /* of Oid */
	int max_connections; /* of this worker */
	int timeout;         /* ms of one request */
	int in_flight;
	bool multiplexed; /* its answers come by HTTP/2 */
} Lane;

/* A claimed job on its way; it lives in the job's memory context. */
typedef struct Flight
{
	Job *job; /* NULL = asks for a token */
	MemoryContext context;
	Lane *lane;
	Credential *credential;
	HttpTransfer *transfer; /* NULL = not sent */
	TimestampTz started_at;
	const char *environment;
	int token_number; /* which token it was sent with */
	Answer *answer;   /* NULL = none */
	Settlement settlement;
	bool holds_credential; /* the settle has to write a hold */
	bool is_quarantined;   /* its effect failed and is left out */
	int tries;             /* to settle it apart from others */
	TimestampTz settle_at; /* not tried again before */
} Flight;

/* Jobs, and the bytes of their bodies. */
typedef struct Load
{
	int jobs;
	int64 bytes;
} Load;

typedef struct Worker
{
	int slot;
	int64 epoch;
	bool is_probe;
	HttpLoop *loop;
	MemoryContext context; /* of lanes */
	MemoryContext turn;    /* reset every turn */
	List *lanes;           /* of Lane * */
	List *concluded;       /* of Flight *, to be settled */
	List *postponed;       /* of Flight *, whose settling waits for a lock */
	bool postponed_full;   /* so many that some jobs are not claimed */
	int in_flight;         /* claimed and not concluded */
	int64 bytes;           /* of the bodies of jobs that are claimed and not settled */
	bool scan_wanted;
	bool retain_wanted;
	TimestampTz scan_at;
	TimestampTz next_due;      /* of the jobs that are not due yet; DT_NOEND = none */
	TimestampTz next_lease;    /* when a claim of another worker runs out */
	TimestampTz settle_at;     /* a settle that failed is tried again then */
	TimestampTz work_at;       /* no transaction earlier: the last one failed */
	TimestampTz yield_at;      /* look then for somebody who waits for the database */
	bool webhooks_wanted;      /* some may be stored and not applied */
	TimestampTz apply_at;      /* not earlier: more may come, and go together */
	TimestampTz apply_left_at; /* some were locked: then again; DT_NOEND = none */
	int64 applied_id;          /* where the batch that comes next goes on */
	bool catalogs_changed;     /* servers, mappings or roles may be others now */
	bool is_leaving;           /* claim nothing more: other databases wait for a worker slot */
	TimestampTz idle_since;
	TimestampTz started_at;
} Worker;

/* launcher.c */
extern void launcher_register(void);
extern bool launcher_finds_database(const char *name);
extern BackgroundWorker process_describe(const char *kind, int restart_time);
extern BackgroundWorkerHandle *process_start(BackgroundWorker *worker);

/* receiver_start.c */
extern TimestampTz receiver_serve(TimestampTz now);
extern void receiver_reload(void);

/* lane.c */
extern void lanes_read(Worker *worker);
extern bool lanes_hold_credential(const Worker *worker);
extern void lanes_rescan(Worker *worker, TimestampTz from);
extern int lane_room(const Worker *worker, Lane *lane, TimestampTz now, Load claimed);
extern TimestampTz lanes_next(const Worker *worker, TimestampTz now);

/* flight.c */
extern Flight *flight_create(Worker *worker, Lane *lane, Job *job);
extern void flight_start(Worker *worker, Flight *flight);
extern void flights_collect(Worker *worker);

/* settle.c */
extern void settle_conclude(Worker *worker, Flight *flight, RetryAction action);
extern void settle_batch(Worker *worker, List *flights);
extern void settle_quarantine(Flight *flight, const ErrorData *error);
extern bool settle_may_repeat(const Flight *flight, int sqlstate);

/* postpone.c */
extern void lock_patience(bool is_short);
extern void settle_each(Worker *worker, List *flights);
extern void postponed_settle(Worker *worker, TimestampTz now);
extern List *postponed_excess(Worker *worker, const Lane *lane);
extern bool postponed_give_back(Worker *worker);

/* worker.c */
extern void worker_leave(Worker *worker, WorkerEnd end);

/* drain.c */
extern void work_cancel(SIGNAL_ARGS);
extern void work_begin(const char *activity);
extern void work_commit(void);
extern void work_rollback(void);
extern ErrorData *work_abort(MemoryContext context);
extern void flights_free(Worker *worker, List *flights);
extern void worker_retain(Worker *worker, TimestampTz now);
extern void worker_apply(Worker *worker, TimestampTz now);
extern bool worker_has_work(Worker *worker, TimestampTz now);
extern void worker_work(Worker *worker, TimestampTz now);

/* upkeep.c */
extern void upkeep_reconcile(void);
extern bool upkeep_retain(void);
extern void upkeep_reconciled(const Flight *flight);

#endif /* CANOPY_SUMMIT_WORKER_H */
