/*
 * job.h
 *	  The job table as C sees it: a job, its claim and its settlement.
 */
#ifndef CANOPY_SUMMIT_JOB_JOB_H
#define CANOPY_SUMMIT_JOB_JOB_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "api/operation.h"

#define JOB_PRIORITIES        10 /* 0 to 9 */
#define JOB_DEFAULT_PRIORITY  5
#define JOB_DEFAULT_ATTEMPTS  10
#define JOB_BILLABLE_ATTEMPTS 2
#define JOB_KEY_MAX           500         /* bytes; an index entry has to hold one */
#define JOB_PARAMS_MAX        (64 * 1024) /* bytes as jsonb; they go into a URL and headers */
/* Bytes as jsonb; a document of 64 MB fits in base64, and a worker has a few copies of one body in memory. */
#define JOB_BODY_MAX (100 * 1024 * 1024)

/* For how long an Idempotency-Key is sent, in microseconds: Summit knows it for 24 hours. */
#define JOB_KEY_LIFE (24 * USECS_PER_HOUR - 10 * USECS_PER_MINUTE)

/* A claimed job, in a memory context of its own. */
typedef struct Job
{
	int64 job_id;
	int fence;
	Oid server_oid;
	Oid owner_oid;
	const char *server;         /* its name now, or its last known one */
	const Operation *operation; /* NULL = the catalogue does not have it */
	Jsonb *params;
	Jsonb *body; /* NULL = none */
	List *files; /* beside it, of RequestFile * */
	const char *owner;
	const char *request_hash; /* DIGEST_LENGTH bytes; NULL = none */
	int attempts;             /* before this one */
	int max_attempts;
	TimestampTz run_at;
	TimestampTz first_sent_at; /* of its first claim that sent it, or of this one */
	TimestampTz claimed_at;
	int priority;
	bool has_ordering_key;
	bool has_dedupe_key;
	bool costs;       /* it is billable, and can be sent: it counts */
	int64 reconciles; /* 0 = none */
	int64 task_id;    /* of what it is a part; 0 = none */
} Job;

typedef enum JobState
{
	JOB_QUEUED,
	JOB_RUNNING,
	JOB_SUCCEEDED,
	JOB_FAILED,
	JOB_IN_DOUBT,
	JOB_CANCELLED
} JobState;

/* Where claims go on: after the last job of each priority that was claimed. */
typedef struct ClaimCursor
{
	TimestampTz run_at[JOB_PRIORITIES];
	int64 job_id[JOB_PRIORITIES];
} ClaimCursor;

/* What to claim: due jobs of one server, for a worker's epoch. */
typedef struct ClaimOrder
{
	Oid server_oid;
	const ClaimCursor *cursor;
	List *held_owners; /* of Oid: none of theirs */
	List *excess;      /* of char *, "operation role's OID": none of these */
	int count;         /* at most */
	int64 bytes;       /* of parameters and bodies, roughly at most; one job goes in any case */
	int64 epoch;
	TimestampTz now;
	TimestampTz due;    /* due by then: now, or earlier */
	TimestampTz lease;  /* until then */
	int first_priority; /* then those after it, and those before it */
} ClaimOrder;

/* A server that has jobs, or may get some. */
typedef struct JobServer
{
	Oid server_oid;
	const char *server; /* NULL = it is gone */
} JobServer;

/* A job of the engine's own. */
typedef struct JobSpec
{
	Oid server_oid;
	Oid owner_oid;
	const char *server;
	const char *operation;
	Jsonb *params;
	Jsonb *body;
	const char *owner;
	int priority;
	TimestampTz run_at;
	const char *idempotency_key;
	const uint8 *request_hash; /* DIGEST_LENGTH bytes; NULL = none */
	TimestampTz first_sent_at; /* of its key, by another job; 0 = never */
} JobSpec;

/* The caller is inside engine_begin() */
extern void job_check_size(const Jsonb *params, const Jsonb *body);
extern void job_check_idempotency_key(const char *key);
extern int64 job_insert(const JobSpec *spec);
extern List *job_claim(const ClaimOrder *order, MemoryContext parent);
extern int64 job_bytes(const Job *job);
extern int job_cancel_duplicates(List *jobs);
extern TimestampTz job_next_due(List *servers, TimestampTz now);
extern List *job_servers(void);
extern int job_recover(int64 own_epoch, TimestampTz now, TimestampTz *next_lease);

/*
 * How the engine writes a job of its own: what every new one has, and a list of columns and
 * one of their values.  The job_id among them keeps the table's trigger off the row.
 */
#define JOB_WRITE(columns, values)                                                               \
	"INSERT INTO canopy_summit.job (max_attempts, state, fence, attempts, enqueued_at, " columns \
	") SELECT 10, 'queued', 0, 0, now(), " values

/* The same for one that follows from job j, with whose server and role. */
#define JOB_WRITE_AFTER(columns, values)                                                          \
	JOB_WRITE("job_id, server, owner, instance, server_oid, owner_oid, " columns,                 \
			  "nextval('canopy_summit.job_id_seq'), j.server, j.owner, j.instance, j.server_oid," \
			  " j.owner_oid, " values)

/*
 * What every statement that ends a job sets besides its state: a secret leaves
 * the row.  `job` is the alias of the table, `state` an SQL expression, a text.
 */
#define JOB_KEEPS(job, state)                                                          \
	" params = canopy_summit.job_keeps(" state ", " job ".operation, " job ".params)," \
	" body = canopy_summit.job_keeps(" state ", " job ".operation, " job ".body)"

#endif /* CANOPY_SUMMIT_JOB_JOB_H */
