/*
 * shared.h
 *	  What processes know of each other: which databases have work, and which
 *	  workers run.
 *
 * It lives in shared memory, holds nothing that means something to one process
 * only, and is lost in a restart: the job table is the truth.
 */
#ifndef CANOPY_SUMMIT_PROCESS_SHARED_H
#define CANOPY_SUMMIT_PROCESS_SHARED_H

#include "postgres.h"

#include "storage/lwlock.h"
#include "utils/timestamp.h"

#define SHARED_MAX_DATABASES    256
#define SHARED_MAX_WORKERS      64 /* of all databases */
#define SHARED_MAX_SERVERS      256
#define SHARED_MAX_APP_REQUESTS 64
#define SHARED_ENDS             6  /* one a JobState */
#define SHARED_LATENCIES        18 /* up to 2^17 ms, and above */

/* Why a worker ended; the launcher decides on that when to start the next. */
typedef enum WorkerEnd
{
	WORKER_CRASHED, /* it could not say */
	WORKER_IDLE,    /* nothing is due; DatabaseSlot.run_at says when something is */
	WORKER_ABSENT,  /* the database has no extension */
	WORKER_YIELDED, /* somebody waits for the database, or it was told to go */
	WORKER_TURNED   /* other databases wait for a worker slot */
} WorkerEnd;

typedef struct DatabaseSlot
{
	Oid database;            /* InvalidOid = free */
	bool wanted;             /* a worker shall start */
	bool probe;              /* ... and leave at once if nothing is due */
	TimestampTz run_at;      /* when the next job is due; DT_NOEND = none known */
	TimestampTz rescan_from; /* smallest run_at enqueued with no worker there; DT_NOEND = none */
	TimestampTz not_before;  /* no worker starts earlier: the last one failed or made way */
	int failures;            /* workers in a row that crashed */
} DatabaseSlot;

typedef struct WorkerSlot
{
	Oid database;   /* InvalidOid = free */
	uint32 tenancy; /* counts the workers that have had this slot */
	int procno;     /* -1 = not attached yet */
	int number;     /* from 0 among those of its database: what share of limits it has */
	int pid;
	WorkerEnd end;
	TimestampTz rescan_from; /* smallest run_at enqueued since it looked; DT_NOEND = none */
	bool webhooks;           /* some were stored since it looked */
	TimestampTz started_at;
	TimestampTz turned_at; /* the end of its last turn: it is not stuck */
	int64 epoch;
	int in_flight;
	int64 sent;    /* requests since it started */
	int64 settled; /* jobs since it started */
} WorkerSlot;

/* What came of a server's requests since the counters began; written by workers only. */
typedef struct ServerCounters
{
	Oid database; /* InvalidOid = free */
	NameData server;
	int64 sent;
	int64 ended[SHARED_ENDS];        /* by what became of the job: JobState */
	int64 latency[SHARED_LATENCIES]; /* number of answers within 2^n ms */
	int64 refused_webhooks;          /* since the counters began, by whoever receives */
	int64 encoded_webhooks;          /* likewise; these are not among those */
	char webhook_problem[200];       /* why the receiver cannot verify; empty = it can */
	TimestampTz breaker_until;       /* nothing is sent before; DT_NOBEGIN = closed */
	NameData deprecated_operation;   /* the last that is said to be, or to end; empty = none */
	int64 deprecated_at;             /* since when, Unix time; 0 = not said */
	int64 sunset_at;                 /* when it ends, Unix time; 0 = not said */
	TimestampTz since;
} ServerCounters;

/* The receiver: there is one in all databases together. */
typedef struct ReceiverSlot
{
	int pid; /* 0 = none runs */
	Oid database;
	WorkerEnd end;          /* why the last one ended, or this one will have */
	int failures;           /* in a row */
	TimestampTz not_before; /* none starts earlier */
	TimestampTz started_at;
	int64 stored;              /* webhooks since it started */
	TimestampTz storing_since; /* when the transaction began that stores some; 0 = there is none */
	char problem[200];         /* why it answers 503; empty = it does not */
} ReceiverSlot;

/* What a session asks of a worker about the token of an App (app_request.c). */
typedef struct AppRequest
{
	Oid database; /* InvalidOid = free */
	Oid server_oid;
	Oid owner_oid;
	int64 authorization_id; /* whose code is to be changed for tokens; 0 = refresh the token */
	char code[1024];
} AppRequest;

typedef struct SharedState
{
	LWLock *lock; /* protects everything below */
	int launcher; /* procno, -1 = none runs */
	ReceiverSlot receiver;
	bool crowded;           /* databases wait for a worker slot */
	char scan_problem[200]; /* what came of the last scan of a document; empty = a verdict */
	ServerCounters servers[SHARED_MAX_SERVERS];
	DatabaseSlot databases[SHARED_MAX_DATABASES];
	WorkerSlot workers[SHARED_MAX_WORKERS];
	int app_request_count; /* of these; who only wants to know whether there are any reads it without the lock */
	AppRequest app_requests[SHARED_MAX_APP_REQUESTS];
} SharedState;

extern int setting_workers; /* of a database */
extern SharedState *shared; /* NULL = not in shared_preload_libraries */

extern void shared_settings(void);
extern void shared_initialize(void);
extern DatabaseSlot *shared_database(Oid database, bool create);
extern TimestampTz shared_back_off(TimestampTz now, int failures);
extern void shared_worker_ended(WorkerSlot *worker);
extern bool shared_worker_turns(int64 epoch, TimestampTz since);
extern ServerCounters *shared_server(const char *server);

#endif /* CANOPY_SUMMIT_PROCESS_SHARED_H */
