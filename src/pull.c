/*
 * pull.c
 *	  Versions of pulls: store a state, find out whether it is new, which one is
 *	  current, and which pull of an account the views show.
 *
 * Lock order: the row of the account, then the row of the pull.  Everything
 * derived (entity rows, is_current) is written in the transaction of the
 * version it is derived from.  Statements run as the extension's owner; callers
 * have checked what the caller may do.
 */
#include "canopy_summit.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "content.h"
#include "entity.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

typedef enum Statement
{
	ACCOUNT_INSERT,
	ACCOUNT_LOCK,
	STATE_LOCK,
	STATE_INSERT,
	STATE_CONFIRM,
	STATE_ADVANCE,
	STATE_CHOOSE,
	STATE_CHOOSE_ALL,
	VERSION_INSERT,
	VERSION_NEXT,
	VERSION_BEFORE,
	VERSION_DOCUMENT,
	PULL_LIST,
	PULL_EXISTS,
	STATEMENT_COUNT
} Statement;

#define EQUALS    " OPERATOR(pg_catalog.=) "
#define THIS_PULL " server" EQUALS "$1 AND pull_id" EQUALS "$2"

typedef struct StatementText
{
	const char *sql;
	int argument_count;
	Oid arguments[10];
} StatementText;

static const StatementText statements[STATEMENT_COUNT] = {
	[ACCOUNT_INSERT] =
		{"INSERT INTO canopy_summit.account (server, account_identifier) VALUES ($1, $2) "
		 "ON CONFLICT (server, account_identifier) DO NOTHING",
		 2,
		 {TEXTOID, TEXTOID}},
	[ACCOUNT_LOCK] = {"SELECT 1 FROM canopy_summit.account WHERE server" EQUALS "$1 "
					  "AND account_identifier" EQUALS "$2 FOR UPDATE",
					  2,
					  {TEXTOID, TEXTOID}},
	[STATE_LOCK] =
		{"SELECT version, content_hash, fetched_at, has_property_data, account_identifier, "
		 "created_at, is_data FROM canopy_summit.pull_state WHERE" THIS_PULL " FOR UPDATE",
		 2,
		 {TEXTOID, TEXTOID}},
	[STATE_INSERT] =
		{"INSERT INTO canopy_summit.pull_state (server, pull_id, environment, account_identifier, "
		 "created_at, is_data, is_current, has_property_data, version, content_hash, fetched_at) "
		 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10) ON CONFLICT (server, pull_id) DO NOTHING",
		 10,
		 {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID, BOOLOID, BOOLOID, BYTEAOID,
		  TIMESTAMPTZOID}},
	[STATE_CONFIRM] = {"UPDATE canopy_summit.pull_state SET fetched_at = $3 WHERE" THIS_PULL,
					   3,
					   {TEXTOID, TEXTOID, TIMESTAMPTZOID}},
	[STATE_ADVANCE] =
		{"UPDATE canopy_summit.pull_state SET environment = $3, account_identifier = $4, "
		 "created_at = $5, is_data = $6, is_current = CASE WHEN $4 IS NULL THEN $6 ELSE is_current AND $6 END, "
		 "has_property_data = $7, version = $8, content_hash = $9, fetched_at = $10 WHERE" THIS_PULL,
		 10,
		 {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID, BOOLOID, INT4OID, BYTEAOID,
		  TIMESTAMPTZOID}},
	[STATE_CHOOSE] = {"UPDATE canopy_summit.pull_state s SET is_current = NOT s.is_current "
					  "WHERE s.server" EQUALS "$1 AND s.account_identifier" EQUALS "$2 "
					  "AND s.is_current OPERATOR(pg_catalog.<>) (s.is_data AND s.pull_id" EQUALS
					  "(SELECT n.pull_id FROM canopy_summit.pull_state n WHERE n.server" EQUALS
					  "$1 "
					  "AND n.account_identifier" EQUALS "$2 AND n.is_data "
					  "ORDER BY n.created_at DESC NULLS LAST, n.pull_id DESC LIMIT 1))",
					  2,
					  {TEXTOID, TEXTOID}},
	[STATE_CHOOSE_ALL] =
		{"UPDATE canopy_summit.pull_state s SET is_current = c.chosen FROM "
		 "(SELECT server, pull_id, is_data AND (account_identifier IS NULL OR pg_catalog.row_number() OVER "
		 "(PARTITION BY server, account_identifier, is_data ORDER BY created_at DESC NULLS LAST, pull_id DESC)" EQUALS
		 "1) "
		 "AS chosen FROM canopy_summit.pull_state) c WHERE s.server" EQUALS
		 "c.server AND s.pull_id" EQUALS "c.pull_id "
		 "AND s.is_current OPERATOR(pg_catalog.<>) c.chosen",
		 0,
		 {0}},
	[VERSION_INSERT] =
		{"INSERT INTO canopy_summit.pull_version "
		 "(server, pull_id, version, content_hash, fetched_at, pull, drift, received) "
		 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		 8,
		 {TEXTOID, TEXTOID, INT4OID, BYTEAOID, TIMESTAMPTZOID, JSONBOID, JSONBOID, BYTEAOID}},
	[VERSION_NEXT] = {"SELECT version FROM canopy_summit.pull_version WHERE" THIS_PULL
					  " ORDER BY version DESC LIMIT 1",
					  2,
					  {TEXTOID, TEXTOID}},
	[VERSION_BEFORE] =
		{"SELECT version, content_hash FROM canopy_summit.pull_version WHERE" THIS_PULL
		 " AND fetched_at OPERATOR(pg_catalog.<=) $3 ORDER BY fetched_at DESC, version DESC LIMIT 1",
		 3,
		 {TEXTOID, TEXTOID, TIMESTAMPTZOID}},
	[VERSION_DOCUMENT] = {"SELECT pull FROM canopy_summit.pull_version WHERE" THIS_PULL
						  " AND version" EQUALS "$3",
						  3,
						  {TEXTOID, TEXTOID, INT4OID}},
	[PULL_LIST] = {"SELECT server, pull_id FROM canopy_summit.pull_state", 0, {0}},
	[PULL_EXISTS] = {"SELECT 1 FROM canopy_summit.pull_state WHERE" THIS_PULL,
					 2,
					 {TEXTOID, TEXTOID}},
};

/* What the row of a pull says, or would say if it were stored now. */
typedef struct PullState
{
	int version;
	uint8 hash[CONTENT_HASH_LENGTH];
	TimestampTz fetched_at;
	bool has_property_data;
	const char *account; /* NULL = stands alone */
	bool has_created_at;
	TimestampTz created_at;
	bool is_data; /* unarchived, of a data type, with its policies */
} PullState;

PG_FUNCTION_INFO_V1(canopy_summit_remap);

/* The kept plan of a statement. */
static SPIPlanPtr
statement_plan(Statement statement)
{
	static SPIPlanPtr plans[STATEMENT_COUNT];

	if (plans[statement] == NULL)
	{
		const StatementText *text = &statements[statement];
		SPIPlanPtr plan = SPI_prepare(text->sql, text->argument_count, (Oid *) text->arguments);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
		plans[statement] = plan;
	}
	return plans[statement];
}

/* Run a statement; `nulls` is NULL or a character each argument.  Returns the rows processed. */
static uint64
statement_run(Statement statement, Datum *arguments, const char *nulls)
{
	int result = SPI_execute_plan(statement_plan(statement), arguments, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "could not run a statement: %s", SPI_result_code_string(result));
	return SPI_processed;
}

/* A column of the first row of the last SELECT. */
static Datum
result_datum(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

static Datum
hash_datum(const uint8 *hash)
{
	bytea *value = palloc(VARHDRSZ + CONTENT_HASH_LENGTH);

	SET_VARSIZE(value, VARHDRSZ + CONTENT_HASH_LENGTH);
	memcpy(VARDATA(value), hash, CONTENT_HASH_LENGTH);
	return PointerGetDatum(value);
}

static void
hash_read(Datum datum, uint8 *hash)
{
	bytea *value = DatumGetByteaPP(datum);

	if (VARSIZE_ANY_EXHDR(value) != CONTENT_HASH_LENGTH)
		elog(ERROR, "content hash has an unexpected length");
	memcpy(hash, VARDATA_ANY(value), CONTENT_HASH_LENGTH);
}

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
	JsonbValue *archived =
		getKeyJsonValueFromContainer(&pull->root, "is_archived", strlen("is_archived"), NULL);
	JsonbValue *policies =
		getKeyJsonValueFromContainer(&pull->root, "policies", strlen("policies"), NULL);
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

/* Fill in what the JSON says about the state of its pull. */
static void
state_describe(PullState *state, Jsonb *pull)
{
	JsonbValue *created =
		getKeyJsonValueFromContainer(&pull->root, "created_at", strlen("created_at"), NULL);
	Datum created_at;
	bool isnull = true;

	state->account = json_text_field(pull, "account_identifier");
	state->has_created_at = created != NULL &&
							coerce_value(COLUMN_TIMESTAMPTZ, created, &created_at, &isnull) &&
							!isnull;
	state->created_at = state->has_created_at ? DatumGetTimestampTz(created_at) : 0;
	state->is_data = pull_is_data(pull);
	content_hash(pull, state->hash);
}

/* Lock the row of a pull and read it; false if there is none. */
static bool
state_lock(Datum *keys, PullState *state)
{
	bool isnull;
	Datum datum;

	if (statement_run(STATE_LOCK, keys, NULL) == 0)
		return false;
	state->version = DatumGetInt32(result_datum(1, &isnull));
	hash_read(result_datum(2, &isnull), state->hash);
	state->fetched_at = DatumGetTimestampTz(result_datum(3, &isnull));
	state->has_property_data = DatumGetBool(result_datum(4, &isnull));
	datum = result_datum(5, &isnull);
	state->account = isnull ? NULL : TextDatumGetCString(datum);
	datum = result_datum(6, &isnull);
	state->has_created_at = !isnull;
	state->created_at = isnull ? 0 : DatumGetTimestampTz(datum);
	state->is_data = DatumGetBool(result_datum(7, &isnull));
	return true;
}

/* Lock the row of an account, making it if need be; true if it was not there before. */
static bool
account_lock(const char *server, const char *account)
{
	Datum keys[2] = {CStringGetTextDatum(server), CStringGetTextDatum(account)};

	if (statement_run(ACCOUNT_INSERT, keys, NULL) > 0)
		return true;
	if (statement_run(ACCOUNT_LOCK, keys, NULL) == 0)
		elog(ERROR, "account vanished");
	return false;
}

/* Let the views show the newest pull of the account that counts.  The caller has locked the account. */
static void
account_choose(const char *server, const char *account)
{
	Datum keys[2] = {CStringGetTextDatum(server), CStringGetTextDatum(account)};

	statement_run(STATE_CHOOSE, keys, NULL);
}

/* A list of paths as a member of the drift object. */
static void
drift_push(JsonbParseState **state, const char *key, List *paths)
{
	JsonbValue value = {.type = jbvString};
	ListCell *cell;

	if (paths == NIL)
		return;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, paths)
	{
		value.val.string.val = lfirst(cell);
		value.val.string.len = strlen(lfirst(cell));
		pushJsonbValue(state, WJB_ELEM, &value);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* The drift of a version as jsonb; NULL if there is none. */
static Jsonb *
drift_json(const Drift *drift, List *replaced)
{
	JsonbParseState *state = NULL;

	if (drift->added == NIL && drift->retyped == NIL && drift->missing == NIL && replaced == NIL)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	drift_push(&state, "missing", drift->missing);
	drift_push(&state, "new", drift->added);
	drift_push(&state, "replaced", replaced);
	drift_push(&state, "retyped", drift->retyped);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Insert one version. */
static void
version_insert(Datum *keys, int version, const PullState *state, Jsonb *pull, const Drift *drift,
			   const PullSource *source)
{
	Jsonb *drifted = drift_json(drift, source->replaced);
	Datum arguments[8] = {keys[0],
						  keys[1],
						  Int32GetDatum(version),
						  hash_datum(state->hash),
						  TimestampTzGetDatum(source->fetched_at),
						  JsonbPGetDatum(pull),
						  JsonbPGetDatum(drifted)};
	char nulls[9] = "        ";

	if (drifted == NULL)
		nulls[6] = 'n';
	if (source->replaced == NIL || source->received == NULL)
		nulls[7] = 'n';
	else
		arguments[7] =
			PointerGetDatum(cstring_to_text_with_len(source->received, source->received_len));
	statement_run(VERSION_INSERT, arguments, nulls);
}

/* The number that the next version of a pull gets. */
static int
version_next(Datum *keys)
{
	bool isnull;

	return statement_run(VERSION_NEXT, keys, NULL) == 0
			   ? 1
			   : DatumGetInt32(result_datum(1, &isnull)) + 1;
}

/* The JSON of one version. */
static Jsonb *
version_document(Datum *keys, int version)
{
	Datum arguments[3] = {keys[0], keys[1], Int32GetDatum(version)};
	bool isnull;

	if (statement_run(VERSION_DOCUMENT, arguments, NULL) == 0)
		elog(ERROR, "version %d of pull \"%s\" is missing", version, TextDatumGetCString(keys[1]));
	return DatumGetJsonbP(result_datum(1, &isnull));
}

/* Write the row of a pull that has none yet; false if another transaction was first. */
static bool
state_insert(Datum *keys, const PullState *state, const PullSource *source, bool is_current)
{
	Datum arguments[10] = {keys[0],
						   keys[1],
						   CStringGetTextDatum(source->environment),
						   state->account ? CStringGetTextDatum(state->account) : (Datum) 0,
						   TimestampTzGetDatum(state->created_at),
						   BoolGetDatum(state->is_data),
						   BoolGetDatum(is_current),
						   BoolGetDatum(state->has_property_data),
						   hash_datum(state->hash),
						   TimestampTzGetDatum(source->fetched_at)};
	char nulls[11] = "          ";

	nulls[3] = state->account ? ' ' : 'n';
	nulls[4] = state->has_created_at ? ' ' : 'n';
	return statement_run(STATE_INSERT, arguments, nulls) > 0;
}

/* Move the row of a pull on to a new current version. */
static void
state_advance(Datum *keys, const PullState *state, const PullSource *source)
{
	Datum arguments[10] = {keys[0],
						   keys[1],
						   CStringGetTextDatum(source->environment),
						   state->account ? CStringGetTextDatum(state->account) : (Datum) 0,
						   TimestampTzGetDatum(state->created_at),
						   BoolGetDatum(state->is_data),
						   BoolGetDatum(state->has_property_data),
						   Int32GetDatum(state->version),
						   hash_datum(state->hash),
						   TimestampTzGetDatum(source->fetched_at)};
	char nulls[11] = "          ";

	nulls[3] = state->account ? ' ' : 'n';
	nulls[4] = state->has_created_at ? ' ' : 'n';
	statement_run(STATE_ADVANCE, arguments, nulls);
}

/* Whether the views may have to show another pull of the account after this change. */
static bool
choice_changes(const PullState *before, const PullState *after)
{
	return before->is_data != after->is_data || before->has_created_at != after->has_created_at ||
		   before->created_at != after->created_at || !text_is(before->account, after->account);
}

/* Store the first version of a pull; false if another transaction was first. */
static bool
pull_store_first(Datum *keys, const char *pull_id, Jsonb *pull, const PullSource *source,
				 PullState *state, bool account_is_new)
{
	Drift drift = {0};
	EntityRows *rows;

	if (!state_insert(keys, state, source,
					  state->is_data && (state->account == NULL || account_is_new)))
		return false;
	entity_prepare();
	rows = shred(source->server, pull_id, pull, &drift);
	version_insert(keys, 1, state, pull, &drift, source);
	entity_write(source->server, pull_id, rows, false);
	if (state->is_data && state->account != NULL && !account_is_new)
		account_choose(source->server, state->account);
	state->version = 1;
	return true;
}

/* Store a state that was requested before the current one: kept, never shown.  Returns its version. */
static int
pull_store_late(Datum *keys, const char *pull_id, Jsonb *pull, const PullSource *source,
				const PullState *state)
{
	Datum arguments[3] = {keys[0], keys[1], TimestampTzGetDatum(source->fetched_at)};
	Drift drift = {0};
	uint8 hash[CONTENT_HASH_LENGTH];
	bool isnull;
	EntityRows *rows;
	int version;

	if (statement_run(VERSION_BEFORE, arguments, NULL) > 0)
	{
		hash_read(result_datum(2, &isnull), hash);
		if (memcmp(hash, state->hash, CONTENT_HASH_LENGTH) == 0)
			return DatumGetInt32(result_datum(1, &isnull));
	}
	entity_prepare();
	rows = shred(source->server, pull_id, pull, &drift);
	entity_discard(rows);
	version = version_next(keys);
	version_insert(keys, version, state, pull, &drift, source);
	return version;
}

/* Store a state over the current one. */
static void
pull_store_next(Datum *keys, const char *pull_id, Jsonb *pull, const PullSource *source,
				const PullState *before, PullState *state)
{
	Drift drift = {0};
	EntityRows *rows;

	entity_prepare();
	rows = shred(source->server, pull_id, pull, &drift);
	state->version = version_next(keys);
	version_insert(keys, state->version, state, pull, &drift, source);
	state_advance(keys, state, source);
	entity_write(source->server, pull_id, rows, true);
	if (!choice_changes(before, state))
		return;
	if (state->account != NULL)
		account_choose(source->server, state->account);
	if (before->account != NULL && !text_is(before->account, state->account))
	{
		account_lock(source->server, before->account);
		account_choose(source->server, before->account);
	}
}

/* Compare with what is stored, and store what is new.  Connected to SPI, as the extension's owner. */
static void
pull_store_state(const char *pull_id, Jsonb *pull, const PullSource *source, PullResult *result)
{
	Datum keys[2] = {CStringGetTextDatum(source->server), CStringGetTextDatum(pull_id)};
	PullState state = {0};
	PullState before;
	bool account_is_new = false;
	bool lacks_property_data = content_lacks_property_data(pull, &state.has_property_data);

	state_describe(&state, pull);
	if (state.account != NULL)
		account_is_new = account_lock(source->server, state.account);
	while (!state_lock(keys, &before))
		if (pull_store_first(keys, pull_id, pull, source, &state, account_is_new))
		{
			result->version = 1;
			result->changed = true;
			return;
		}
	if (lacks_property_data && before.has_property_data)
	{
		pull = content_carry_property_data(pull, version_document(keys, before.version));
		content_lacks_property_data(pull, &state.has_property_data);
		content_hash(pull, state.hash);
	}
	if (source->fetched_at < before.fetched_at)
		result->version = pull_store_late(keys, pull_id, pull, source, &state);
	else if (memcmp(before.hash, state.hash, CONTENT_HASH_LENGTH) == 0)
	{
		Datum arguments[3] = {keys[0], keys[1], TimestampTzGetDatum(source->fetched_at)};

		if (source->fetched_at > before.fetched_at)
			statement_run(STATE_CONFIRM, arguments, NULL);
		result->version = before.version;
	}
	else
	{
		pull_store_next(keys, pull_id, pull, source, &before, &state);
		result->version = state.version;
		result->changed = true;
	}
}

/* The pull itself, out of the API's envelope {success, pull} if it is in one. */
static Jsonb *
pull_unwrap(Jsonb *document)
{
	JsonbValue *inner;

	if (!JB_ROOT_IS_OBJECT(document) || json_text_field(document, "pull_id") != NULL)
		return document;
	inner = getKeyJsonValueFromContainer(&document->root, "pull", strlen("pull"), NULL);
	if (inner != NULL && inner->type == jbvBinary && JsonContainerIsObject(inner->val.binary.data))
		return JsonbValueToJsonb(inner);
	return document;
}

/* Run a function body connected to SPI as the extension's owner. */
static void
engine_begin(Oid *role, int *security)
{
	GetUserIdAndSecContext(role, security);
	SetUserIdAndSecContext(privilege_extension_owner(), *security | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

static void
engine_end(Oid role, int security)
{
	SPI_finish();
	SetUserIdAndSecContext(role, security);
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
	PullResult result = {.pull_id = json_text_field(pull, "pull_id")};
	Oid role;
	int security;

	if (result.pull_id == NULL)
		ereport(
			ERROR,
			(errcode(source->expected_pull_id ? ERRCODE_PROTOCOL_VIOLATION
											  : ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("cannot store pull: it has no pull_id"),
			 errhint(
				 "Pass the pull object of the API, bare or as {\"success\": true, \"pull\": {…}}.")));
	if (source->expected_pull_id != NULL && strcmp(result.pull_id, source->expected_pull_id) != 0)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("cannot store pull \"%s\": server answered with another pull",
							   source->expected_pull_id)));
	if (json_depth(pull) > JSON_MAX_DEPTH)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("cannot store pull \"%s\": it is nested deeper than %d",
							   result.pull_id, JSON_MAX_DEPTH)));
	result.status = json_text_field(pull, "status");
	engine_begin(&role, &security);
	pull_store_state(result.pull_id, pull, source, &result);
	engine_end(role, security);
	return result;
}

/* Whether any version of the pull is stored. */
bool
pull_is_stored(const char *server, const char *pull_id)
{
	Datum keys[2] = {CStringGetTextDatum(server), CStringGetTextDatum(pull_id)};
	Oid role;
	int security;
	bool stored;

	engine_begin(&role, &security);
	stored = statement_run(PULL_EXISTS, keys, NULL) > 0;
	engine_end(role, security);
	return stored;
}

/* Shred the current version of a pull again. */
static void
pull_remap(Datum *keys)
{
	const char *server = TextDatumGetCString(keys[0]);
	const char *pull_id = TextDatumGetCString(keys[1]);
	PullState state;
	Drift drift = {0};

	if (!state_lock(keys, &state))
		return;
	entity_prepare();
	entity_write(server, pull_id,
				 shred(server, pull_id, version_document(keys, state.version), &drift), true);
}

/* canopy_remap() -> bigint: every entity row again from the current versions; the number of pulls */
Datum
canopy_summit_remap(PG_FUNCTION_ARGS)
{
	MemoryContext scratch;
	MemoryContext old;
	Portal portal;
	Oid role;
	int security;
	int64 count = 0;

	PreventCommandIfReadOnly("canopy_remap()");
	engine_begin(&role, &security);
	scratch = AllocSetContextCreate(CurrentMemoryContext, "canopy_remap", ALLOCSET_DEFAULT_SIZES);
	portal = SPI_cursor_open(NULL, statement_plan(PULL_LIST), NULL, NULL, false);
	for (;;)
	{
		Datum keys[2];
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, 1);
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(scratch);
		keys[0] = PointerGetDatum(DatumGetTextPCopy(result_datum(1, &isnull)));
		keys[1] = PointerGetDatum(DatumGetTextPCopy(result_datum(2, &isnull)));
		SPI_freetuptable(SPI_tuptable);
		pull_remap(keys);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
		count++;
	}
	SPI_cursor_close(portal);
	statement_run(STATE_CHOOSE_ALL, NULL, NULL);
	engine_end(role, security);
	PG_RETURN_INT64(count);
}
