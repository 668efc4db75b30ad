/*
 * pull_row.h
 *	  The statements about pulls, as functions.
 *
 * The caller is inside engine_begin().  `keys` are the key of a pull: server and
 * pull_id as text.
 */
#ifndef CANOPY_SUMMIT_PULL_PULL_ROW_H
#define CANOPY_SUMMIT_PULL_PULL_ROW_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "pull/content.h"
#include "pull/pull.h"
#include "pull/shred.h"

/* What the row of a pull says, or would say if it were stored now. */
typedef struct PullState
{
	const char *environment;
	int version;
	uint8 hash[CONTENT_HASH_LENGTH];
	TimestampTz fetched_at;
	bool has_property_data;
	const char *account; /* NULL = stands alone */
	bool has_created_at;
	TimestampTz created_at;
	bool is_data;    /* unarchived, of a data type, with its policies */
	bool is_current; /* the views show it */
} PullState;

/* A pull that the views show now, or no longer. */
typedef struct PullTurn
{
	const char *pull_id;
	bool is_current;
} PullTurn;

extern void pull_guard(const char *server, const char *pull_id);
extern RowOrigin state_origin(const char *server, const char *pull_id, const PullState *state);
extern bool account_lock_row(const char *server, const char *account);
extern bool account_lock(const char *server, const char *account);
extern void pull_follow(const char *server, const char *pull_id);
extern List *account_choose(const char *server, const char *account);
extern bool state_peek(Datum *keys, const char **account);
extern bool state_lock(Datum *keys, PullState *state);
extern bool state_exists(Datum *keys);
extern bool state_insert(Datum *keys, const PullState *state);
extern void state_confirm(Datum *keys, TimestampTz fetched_at);
extern void state_turn(Datum *keys, bool is_current);
extern void state_advance(Datum *keys, const PullState *state);
extern void version_insert(Datum *keys, int version, const PullState *state, Jsonb *pull,
						   Jsonb *drift, const PullSource *source);
extern int version_next(Datum *keys);
extern bool version_before(Datum *keys, TimestampTz fetched_at, int *version, uint8 *hash);
extern Jsonb *version_document(Datum *keys, int version);

#endif /* CANOPY_SUMMIT_PULL_PULL_ROW_H */
