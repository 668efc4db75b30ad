/*
 * pull.h
 *	  Versions of pulls.
 */
#ifndef CANOPY_SUMMIT_PULL_PULL_H
#define CANOPY_SUMMIT_PULL_PULL_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "pull/entity_batch.h"

typedef struct PullSource
{
	Oid server_oid;
	const char *server; /* its last known name */
	const char *environment;
	const char *stored_by;        /* role */
	const char *expected_pull_id; /* NULL = any */
	TimestampTz fetched_at;       /* when the request started */
	List *replaced;               /* paths that json_read() had to replace */
	const char *received;         /* the bytes received, kept when replaced is not empty */
	size_t received_len;
	EntityBatch *batch; /* that its rows go to; NULL = one of its own */
} PullSource;

typedef struct PullResult
{
	const char *pull_id;
	int version;
	bool changed;
	const char *status; /* NULL = the pull has none */
} PullResult;

extern PullResult pull_store(Jsonb *document, const PullSource *source);
extern bool pull_is_stored(const char *server, const char *pull_id);

#endif /* CANOPY_SUMMIT_PULL_PULL_H */
