/*
 * pull.c
 *	  Versions of pulls: store a state, find out whether it is new, which one is
 *	  current, and which pull of an account the views show.
 *
 * Lock order: the lock of the pull, so that its account does not change any more,
 * then rows of accounts by their bytes, then the row of the pull.  Everything
 * derived (entity rows, is_current) is written in the transaction of the
 * version it is derived from.  Callers have checked what the user may do.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/coerce.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "base/number.h"
#include "engine/engine.h"
#include "engine/identity.h"
#include "pull/content.h"
#include "pull/entity_batch.h"
#include "pull/former.h"
#include "pull/pull.h"
#include "pull/pull_row.h"
#include "pull/shred.h"

#define PULL_ID_MAX 512 /* bytes; an index entry has to hold a pull's and an account's id */

/* Whether two texts are the same; NULL is only the same as NULL. */
static bool
text_is(const char *text, const char *expected)
{
	return text == NULL || expected == NULL ? text == expected : strcmp(text, expected) == 0;
}

/*
 * Whether the pull counts for its account: a data pull (not SERVICING or
 * CONTACT_ME), not archived, finished or with policies already there.
 */
static bool
pull_is_data(Jsonb *pull)
{
	const char *type = json_text_field(pull, "type");
	JsonbValue *archived = member_value(&pull->root, "is_archived");
	JsonbValue *policies = member_value(&pull->root, "policies");
	Datum is_archived = BoolGetDatum(false);
	bool isnull;

	if (text_is(type, "SERVICING") || text_is(type, "CONTACT_ME"))
		return false;
	if (archived != NULL && coerce_value(COLUMN_BOOLEAN, archived, &is_archived, &isnull) &&
		!isnull && DatumGetBool(is_archived))
		return false;
	return text_is(json_text_field(pull, "status"), "SUCCESS") ||
		   (policies != NULL && policies->type == jbvBinary &&
			JsonContainerSize(policies->val.binary.data) > 0);
}

/* An id as text, also if it is a number; NULL if it is missing or unfit for a key. */
static const char *
pull_id_field(Jsonb *pull, const char *field)
{
	JsonbValue *value = member_value(&pull->root, field);
	Datum id;
	bool isnull;

	if (value == NULL || (value->type != jbvString && value->type != jbvNumeric) ||
		!coerce_value(COLUMN_TEXT, value, &id, &isnull) || isnull ||
		VARSIZE_ANY_EXHDR(DatumGetPointer(id)) > PULL_ID_MAX)
		return NULL;
	return TextDatumGetCString(id);
}

/* Fill in what the JSON and its source say about the state of the pull; true if a number in it is beyond any column. */
static bool
state_describe(PullState *state, Jsonb *pull, const PullSource *source)
{
	JsonbValue *created = member_value(&pull->root, "created_at");
	Datum created_at;
	bool isnull = true;

	state->environment = source->environment;
	state->version = 1;
	state->fetched_at = source->fetched_at;
	state->account = pull_id_field(pull, "account_identifier");
	state->has_created_at = created != NULL &&
							coerce_value(COLUMN_TIMESTAMPTZ, created, &created_at, &isnull) &&
							!isnull;
	state->created_at = state->has_created_at ? DatumGetTimestampTz(created_at) : 0;
	state->is_data = pull_is_data(pull);
	return content_hash(pull, state->hash);
}

/* A list of paths as a member of the drift object. */
static void
drift_push(JsonBuilder *builder, const char *key, List *paths)
{
	ListCell *cell;

	if (paths == NIL)
		return;
	builder_key(builder, key);
	builder_begin_array(builder);
	foreach(cell, paths)
		builder_put_text(builder, WJB_ELEM, lfirst(cell));
	builder_end_array(builder);
}

/* The drift of a version as jsonb; NULL if there is none. */
static Jsonb *
drift_json(const Drift *drift, List *replaced)
{
	JsonBuilder builder = {0};

	if (drift->added == NIL && drift->retyped == NIL && drift->missing == NIL && replaced == NIL)
		return NULL;
	builder_begin_object(&builder);
	drift_push(&builder, "missing", drift->missing);
	drift_push(&builder, "new", drift->added);
	drift_push(&builder, "replaced", replaced);
	drift_push(&builder, "retyped", drift->retyped);
	return builder_finish_object(&builder);
}

/* Whether the views may have to show another pull of the account after this change. */
static bool
choice_changes(const PullState *before, const PullState *after)
{
	return before->is_data != after->is_data || before->has_created_at != after->has_created_at ||
		   before->created_at != after->created_at || !text_is(before->account, after->account);
}

/*
 * Choose again which pull of an account the views show.  The rows of the pull
 * being stored, whose state this is, are about to be written; those of others
 * are changed here.
 */
static void
account_turn(const PullSource *source, const char *account, const char *pull_id, PullState *state)
{
	ListCell *cell;

	foreach(cell, account_choose(source->server, account))
	{
		PullTurn *turn = lfirst(cell);

		if (strcmp(turn->pull_id, pull_id) == 0)
			state->is_current = turn->is_current;
		else
			entity_batch_show(source->batch,
							  (Datum[]){CStringGetTextDatum(source->server),
										CStringGetTextDatum(turn->pull_id)},
							  turn->is_current);
	}
}

/* Write a version, and its entity rows in place of those of the previous one (NULL = none). */
static void
version_write(Datum *keys, const char *pull_id, Jsonb *pull, Jsonb *previous,
			  const PullSource *source, const PullState *state)
{
	RowOrigin origin = state_origin(source->server, pull_id, state);
	Drift drift = {0};
	MemoryContext old = MemoryContextSwitchTo(entity_batch_prepare(source->batch, keys));
	EntityRows *rows = shred(&origin, pull, previous, &drift);

	MemoryContextSwitchTo(old);
	version_insert(keys, state->version, state, pull, drift_json(&drift, source->replaced), source);
	entity_batch_add(source->batch, keys, rows, previous != NULL);
}

/* Store the first version of a pull; false if another transaction was first. */
static bool
pull_store_first(Datum *keys, const char *pull_id, Jsonb *pull, const PullSource *source,
				 PullState *state, bool account_is_new)
{
	state->is_current = state->is_data && (state->account == NULL || account_is_new);
	if (!state_insert(keys, state))
		return false;
	if (state->is_data && !state->is_current)
		account_turn(source, state->account, pull_id, state);
	version_write(keys, pull_id, pull, NULL, source, state);
	return true;
}

/* Store a state that was requested before the current one: kept, never shown.  Returns its version. */
static int
pull_store_late(Datum *keys, const char *pull_id, Jsonb *pull, Jsonb *previous,
				const PullSource *source, const PullState *state)
{
	RowOrigin origin = state_origin(source->server, pull_id, state);
	Drift drift = {0};
	int version = version_next(keys);

	(void) shred(&origin, pull, previous, &drift);
	version_insert(keys, version, state, pull, drift_json(&drift, source->replaced), source);
	return version;
}

/* Store a state over the current one. */
static void
pull_store_next(Datum *keys, const char *pull_id, Jsonb *pull, Jsonb *previous,
				const PullSource *source, const PullState *before, PullState *state)
{
	state->version = version_next(keys);
	state->is_current = state->is_data && (state->account == NULL || before->is_current);
	state_advance(keys, state);
	if (choice_changes(before, state))
	{
		if (state->account != NULL)
			account_turn(source, state->account, pull_id, state);
		if (before->account != NULL && !text_is(before->account, state->account))
		{
			account_lock(source->server, before->account);
			account_turn(source, before->account, pull_id, state);
		}
	}
	version_write(keys, pull_id, pull, previous, source, state);
}

/* Lock two accounts, of which either may be NULL, in byte order; true if the first was not there before. */
static bool
accounts_lock(const char *server, const char *account, const char *other)
{
	bool is_new = false;
	bool other_first;

	if (text_is(account, other))
		other = NULL;
	other_first = account != NULL && other != NULL && strcmp(other, account) < 0;
	if (other_first)
		account_lock(server, other);
	if (account != NULL)
		is_new = account_lock(server, account);
	if (other != NULL && !other_first)
		account_lock(server, other);
	return is_new;
}

/* Lock what storing needs, and read the row of the pull; false if this stored the first version. */
static bool
pull_lock(Datum *keys, const char *pull_id, Jsonb *pull, const PullSource *source, PullState *state,
		  PullState *before)
{
	pull_guard(source->server, pull_id);
	pull_follow(source->server, pull_id);
	for (;;)
	{
		const char *known_account;
		bool exists = state_peek(keys, &known_account);
		bool account_is_new = accounts_lock(source->server, state->account, known_account);

		if (exists && state_lock(keys, before))
			return true;
		if (!exists && pull_store_first(keys, pull_id, pull, source, state, account_is_new))
			return false;
	}
}

/* Compare with what is stored, and store what is new.  Inside engine_begin(). */
static void
pull_store_state(const char *pull_id, Jsonb *pull, const PullSource *source, PullResult *result)
{
	Datum keys[2] = {CStringGetTextDatum(source->server), CStringGetTextDatum(pull_id)};
	PullState state = {0};
	PullState before = {0}; /* the version that was current when this one was requested */
	bool lacks_property_data = content_lacks_property_data(pull, &state.has_property_data);
	Jsonb *previous = NULL; /* that version */
	PullSource spelled;
	bool is_late;
	bool has_before = true;

	if (state_describe(&state, pull, source))
	{
		spelled = *source;
		pull = number_spell(pull, &spelled.replaced);
		source = &spelled;
		state_describe(&state, pull, source);
	}
	if (!pull_lock(keys, pull_id, pull, source, &state, &before))
	{
		result->version = 1;
		result->changed = true;
		return;
	}
	is_late = source->fetched_at < before.fetched_at;
	if (is_late && memcmp(before.hash, state.hash, CONTENT_HASH_LENGTH) != 0)
		has_before = version_before(keys, source->fetched_at, &before.version, before.hash);
	if (has_before && memcmp(before.hash, state.hash, CONTENT_HASH_LENGTH) != 0)
		previous = version_document(keys, before.version);
	if (previous != NULL && lacks_property_data && (is_late || before.has_property_data))
	{
		pull = content_carry_property_data(pull, previous);
		content_lacks_property_data(pull, &state.has_property_data);
		(void) content_hash(pull, state.hash);
	}
	result->version = before.version;
	if (has_before && memcmp(before.hash, state.hash, CONTENT_HASH_LENGTH) == 0)
	{
		if (!is_late && source->fetched_at > before.fetched_at)
			state_confirm(keys, source->fetched_at);
	}
	else if (is_late)
		result->version = pull_store_late(keys, pull_id, pull, previous, source, &state);
	else
	{
		pull_store_next(keys, pull_id, pull, previous, source, &before, &state);
		result->version = state.version;
		result->changed = true;
	}
}

/* The pull itself, out of the API's envelope {success, pull} if it is in one. */
static Jsonb *
pull_unwrap(Jsonb *document)
{
	JsonbValue *inner = member_value(&document->root, "pull");

	if (pull_id_field(document, "pull_id") != NULL || !value_is_object(inner))
		return document;
	return JsonbValueToJsonb(inner);
}

/*
 * Store the state of a pull that came at source->fetched_at, bare or in its
 * envelope; the one way in for fetches, imports and tests.  Nothing changes if
 * the current version says the same.  Errors: 22023 without a pull_id, 54000
 * nested too deeply, 08P01 another pull than the expected one.
 */
PullResult
pull_store(Jsonb *document, const PullSource *source)
{
	Jsonb *pull = pull_unwrap(document);
	PullResult result = {.pull_id = pull_id_field(pull, "pull_id")};
	PullSource held = *source; /* whose server keeps its name until the transaction ends */
	Engine engine;

	if (result.pull_id == NULL)
		ereport(
			ERROR,
			(errcode(source->expected_pull_id ? ERRCODE_PROTOCOL_VIOLATION
											  : ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("cannot store pull: it has no pull_id, or one longer than %d bytes",
					PULL_ID_MAX),
			 errhint(
				 "Pass the pull object of the API, bare or as {\"success\": true, \"pull\": {…}}.")));
	if (source->expected_pull_id != NULL && strcmp(result.pull_id, source->expected_pull_id) != 0)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("cannot store pull \"%s\": server answered with another pull",
							   source->expected_pull_id)));
	result.status = json_text_field(pull, "status");
	engine_begin(&engine);
	held.server = identity_hold_server(source->server_oid, source->server);
	if (source->batch == NULL)
		held.batch = entity_batch_begin();
	pull_store_state(result.pull_id, pull, &held, &result);
	if (source->batch == NULL)
		entity_batch_end(held.batch);
	engine_end(&engine);
	return result;
}

/* Whether any version of the pull is stored. */
bool
pull_is_stored(const char *server, const char *pull_id)
{
	Datum keys[2] = {CStringGetTextDatum(server), CStringGetTextDatum(pull_id)};
	ListCell *cell;
	Engine engine;
	bool stored;

	engine_begin(&engine);
	stored = state_exists(keys);
	foreach(cell, former_names(server))
	{
		keys[0] = CStringGetTextDatum(lfirst(cell));
		stored |= state_exists(keys);
	}
	engine_end(&engine);
	return stored;
}
