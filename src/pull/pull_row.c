/*
 * pull_row.c
 *	  The statements about pulls, as functions: prepared once a session, every
 *	  name and operator qualified, so that no search_path matters.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "engine/lock.h"
#include "engine/statement.h"
#include "pull/content.h"
#include "pull/former.h"
#include "pull/pull.h"
#include "pull/pull_row.h"

enum
{
	ACCOUNT_INSERT,
	ACCOUNT_LOCK,
	ACCOUNT_TOUCH,
	STATE_PEEK,
	STATE_LOCK,
	STATE_INSERT,
	STATE_CONFIRM,
	STATE_ADVANCE,
	STATE_CHOOSE,
	STATE_TURN,
	STATE_EXISTS,
	VERSION_INSERT,
	VERSION_NEXT,
	VERSION_BEFORE,
	VERSION_DOCUMENT,
	FOLLOW_ACCOUNT,
	FOLLOW_PULL,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[ACCOUNT_INSERT] = {2, {TEXTOID, TEXTOID},
		"INSERT INTO canopy_summit.account (server, account_identifier) VALUES ($1, $2)"
		" ON CONFLICT (server, account_identifier) DO NOTHING"},
	[ACCOUNT_LOCK] = {2, {TEXTOID, TEXTOID},
		"SELECT 1 FROM canopy_summit.account WHERE server = $1 AND account_identifier = $2 FOR UPDATE"},
	[ACCOUNT_TOUCH] = {2, {TEXTOID, TEXTOID},
		"UPDATE canopy_summit.account SET server = server"
		" WHERE server = $1 AND account_identifier = $2"},
	[STATE_PEEK] = {2, {TEXTOID, TEXTOID},
		"SELECT account_identifier FROM canopy_summit.pull_state WHERE server = $1 AND pull_id = $2"},
	[STATE_LOCK] = {2, {TEXTOID, TEXTOID},
		"SELECT version, content_hash, fetched_at, has_property_data, account_identifier,"
		" created_at, is_data, is_current, environment"
		" FROM canopy_summit.pull_state WHERE server = $1 AND pull_id = $2 FOR UPDATE"},
	[STATE_INSERT] = {11, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID, BOOLOID,
			BOOLOID, INT4OID, BYTEAOID, TIMESTAMPTZOID},
		"INSERT INTO canopy_summit.pull_state (server, pull_id, environment, account_identifier,"
		" created_at, is_data, is_current, has_property_data, version, content_hash, fetched_at)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
		" ON CONFLICT (server, pull_id) DO NOTHING"},
	[STATE_CONFIRM] = {3, {TEXTOID, TEXTOID, TIMESTAMPTZOID},
		"UPDATE canopy_summit.pull_state SET fetched_at = $3 WHERE server = $1 AND pull_id = $2"},
	[STATE_ADVANCE] = {11, {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID, BOOLOID,
			BOOLOID, INT4OID, BYTEAOID, TIMESTAMPTZOID},
		"UPDATE canopy_summit.pull_state"
		" SET environment = $3, account_identifier = $4, created_at = $5, is_data = $6,"
		" is_current = $7, has_property_data = $8, version = $9, content_hash = $10,"
		" fetched_at = $11"
		" WHERE server = $1 AND pull_id = $2"},
	[STATE_CHOOSE] = {2, {TEXTOID, TEXTOID},
		"SELECT s.server, s.pull_id, NOT s.is_current FROM canopy_summit.pull_state s"
		" WHERE s.server = $1 AND s.account_identifier = $2"
		" AND s.is_current <> (s.is_data AND s.pull_id ="
		" (SELECT n.pull_id FROM canopy_summit.pull_state n"
		" WHERE n.server = $1 AND n.account_identifier = $2 AND n.is_data"
		" ORDER BY n.created_at DESC NULLS LAST, n.pull_id COLLATE \"C\" DESC LIMIT 1))"},
	[STATE_TURN] = {3, {TEXTOID, TEXTOID, BOOLOID},
		"UPDATE canopy_summit.pull_state SET is_current = $3 WHERE server = $1 AND pull_id = $2"},
	[STATE_EXISTS] = {2, {TEXTOID, TEXTOID},
		"SELECT 1 FROM canopy_summit.pull_state WHERE server = $1 AND pull_id = $2"},
	[VERSION_INSERT] = {9, {TEXTOID, TEXTOID, INT4OID, BYTEAOID, TIMESTAMPTZOID, JSONBOID, JSONBOID,
			BYTEAOID, NAMEOID},
		"INSERT INTO canopy_summit.pull_version"
		" (server, pull_id, version, content_hash, fetched_at, pull, drift, received, stored_by)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"},
	[VERSION_NEXT] = {2, {TEXTOID, TEXTOID},
		"SELECT COALESCE(pg_catalog.max(version), 0) OPERATOR(pg_catalog.+) 1"
		" FROM canopy_summit.pull_version WHERE server = $1 AND pull_id = $2"},
	[VERSION_BEFORE] = {3, {TEXTOID, TEXTOID, TIMESTAMPTZOID},
		"SELECT version, content_hash FROM canopy_summit.pull_version"
		" WHERE server = $1 AND pull_id = $2 AND fetched_at <= $3"
		" ORDER BY fetched_at DESC, version DESC LIMIT 1"},
	[VERSION_DOCUMENT] = {3, {TEXTOID, TEXTOID, INT4OID},
		"SELECT canopy_summit.stored_pull(pull) FROM canopy_summit.pull_version"
		" WHERE server = $1 AND pull_id = $2 AND version = $3"},
	[FOLLOW_ACCOUNT] = {3, {TEXTOID, TEXTOID, TEXTOID},
		"SELECT canopy_summit.follow_pulls($1, $2, canopy_summit.pulls_of_accounts($2, ARRAY[$3]))"},
	[FOLLOW_PULL] = {3, {TEXTOID, TEXTOID, TEXTOID},
		"SELECT canopy_summit.follow_pulls($1, $2, ARRAY[$3])"},
};
/* clang-format on */

/* Wait until nobody else stores the pull, whose account cannot change any more then. */
void
pull_guard(const char *server, const char *pull_id)
{
	lock_take_if_few(PULL_LOCKTAG, lock_text_key(psprintf("%s %s", server, pull_id)));
}

/* What the entity rows of a pull in this state say about it. */
RowOrigin
state_origin(const char *server, const char *pull_id, const PullState *state)
{
	return (RowOrigin){.server = server,
					   .pull_id = pull_id,
					   .environment = state->environment,
					   .account = state->account,
					   .is_current = state->is_current};
}

static void
record_hash(Record *record, uint8 *hash)
{
	bytea *value = record_bytes(record);

	if (VARSIZE_ANY_EXHDR(value) != CONTENT_HASH_LENGTH)
		elog(ERROR, "content hash has an unexpected length");
	memcpy(hash, VARDATA_ANY(value), CONTENT_HASH_LENGTH);
}

/*
 * Whether there is a row of the pull, and its account, without a lock: what has
 * to be locked first.
 */
bool
state_peek(Datum *keys, const char **account)
{
	Record record;

	*account = NULL;
	if (statement_run(&statements[STATE_PEEK], keys, NULL) == 0)
		return false;
	record = statement_record(0);
	*account = record_text(&record);
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/* Lock the row of a pull and read it; false if there is none. */
bool
state_lock(Datum *keys, PullState *state)
{
	Record record;

	if (statement_run(&statements[STATE_LOCK], keys, NULL) == 0)
		return false;
	record = statement_record(0);
	state->version = record_int32(&record);
	record_hash(&record, state->hash);
	state->fetched_at = record_time(&record);
	state->has_property_data = record_boolean(&record);
	state->account = record_text(&record);
	state->created_at = record_time(&record);
	state->has_created_at = !record.isnull;
	state->is_data = record_boolean(&record);
	state->is_current = record_boolean(&record);
	state->environment = record_text(&record);
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/*
 * Have what is there under a former name of the server follow: an account with all
 * its pulls, or a pull that has none.  How many pulls that were.
 */
static int
follow(Statement *statement, const char *server, const char *key)
{
	int count = 0;
	ListCell *cell;

	foreach(cell, former_names(server))
	{
		statement_run(statement,
					  (Datum[]){CStringGetTextDatum(server), CStringGetTextDatum(lfirst(cell)),
								CStringGetTextDatum(key)},
					  NULL);
		count += DatumGetInt32(statement_value());
	}
	return count;
}

/* Lock the row of an account under this name, making it if need be; true if it was not there before. */
bool
account_lock_row(const char *server, const char *account)
{
	Datum keys[2] = {CStringGetTextDatum(server), CStringGetTextDatum(account)};

	/* Under a former name somebody may delete it meanwhile. */
	for (;;)
	{
		if (statement_run(&statements[ACCOUNT_INSERT], keys, NULL) > 0)
			return true;
		if (statement_run(&statements[ACCOUNT_LOCK], keys, NULL) > 0)
			break;
	}
	SPI_freetuptable(SPI_tuptable);
	return false;
}

/* The same, and have its pulls follow; true if it was there under no name before. */
bool
account_lock(const char *server, const char *account)
{
	bool is_new = account_lock_row(server, account);

	return follow(&statements[FOLLOW_ACCOUNT], server, account) == 0 && is_new;
}

/* Have a pull follow its server, with its account if it has one. */
void
pull_follow(const char *server, const char *pull_id)
{
	ListCell *cell;

	foreach(cell, former_names(server))
	{
		Datum keys[2] = {CStringGetTextDatum(lfirst(cell)), CStringGetTextDatum(pull_id)};
		const char *account;

		if (!state_peek(keys, &account))
			continue;
		if (account != NULL)
			(void) account_lock(server, account);
		else
			(void) follow(&statements[FOLLOW_PULL], server, pull_id);
	}
}

/*
 * Have the pulls that a statement found shown by the views, or no longer.
 * Returns them, a List of PullTurn *; their entity rows are the caller's to change.
 */
static List *
pulls_turn(Statement *choice, Datum *arguments)
{
	uint64 count = statement_run(choice, arguments, NULL);
	SPITupleTable *found = SPI_tuptable;
	List *turns = NIL;

	for (uint64 i = 0; i < count; i++)
	{
		Record record = {.row = found->vals[i], .descriptor = found->tupdesc};
		PullTurn *turn = palloc(sizeof(PullTurn));
		Datum server = record_datum(&record);
		Datum pull_id = record_datum(&record);

		turn->pull_id = TextDatumGetCString(pull_id);
		turn->is_current = record_boolean(&record);
		statement_run(&statements[STATE_TURN],
					  (Datum[]){server, pull_id, BoolGetDatum(turn->is_current)}, NULL);
		turns = lappend(turns, turn);
	}
	SPI_freetuptable(found);
	return turns;
}

/* Have the views show a pull that stands alone, or not. */
void
state_turn(Datum *keys, bool is_current)
{
	statement_run(&statements[STATE_TURN], (Datum[]){keys[0], keys[1], BoolGetDatum(is_current)},
				  NULL);
}

/*
 * Choose the pull that the views show: the newest of the account that counts.
 * Returns the pulls for which that is a change.  The caller has locked the
 * account; touching its row makes a concurrent transaction with an older
 * snapshot fail (40001) where it would choose on what it cannot see.
 */
List *
account_choose(const char *server, const char *account)
{
	Datum keys[2] = {CStringGetTextDatum(server), CStringGetTextDatum(account)};

	statement_run(&statements[ACCOUNT_TOUCH], keys, NULL);
	return pulls_turn(&statements[STATE_CHOOSE], keys);
}

/* Insert one version. */
void
version_insert(Datum *keys, int version, const PullState *state, Jsonb *pull, Jsonb *drift,
			   const PullSource *source)
{
	bool keeps_received = source->replaced != NIL && source->received != NULL;
	Values values = {0};

	values_add(&values, keys[0]);
	values_add(&values, keys[1]);
	values_add_int32(&values, version);
	values_add_bytes(&values, state->hash, CONTENT_HASH_LENGTH);
	values_add_time(&values, source->fetched_at);
	values_add_json(&values, pull);
	values_add_json(&values, drift);
	values_add_unless(&values, !keeps_received,
					  keeps_received ? bytes_datum(source->received, source->received_len)
									 : (Datum) 0);
	values_add_name(&values, source->stored_by);
	statement_run_values(&statements[VERSION_INSERT], &values);
}

/* The number that the next version of a pull gets. */
int
version_next(Datum *keys)
{
	Record record;

	statement_run(&statements[VERSION_NEXT], keys, NULL);
	record = statement_record(0);
	return record_int32(&record);
}

/* The JSON of one version. */
Jsonb *
version_document(Datum *keys, int version)
{
	Datum arguments[3] = {keys[0], keys[1], Int32GetDatum(version)};
	Record record;
	Jsonb *document;

	if (statement_run(&statements[VERSION_DOCUMENT], arguments, NULL) == 0)
		elog(ERROR, "version %d of pull \"%s\" is missing", version, TextDatumGetCString(keys[1]));
	record = statement_record(0);
	document = record_json(&record);
	SPI_freetuptable(SPI_tuptable);
	return document;
}

/* Run a statement that writes the whole row of a pull. */
static bool
state_write(Statement *statement, Datum *keys, const PullState *state)
{
	Values values = {0};

	values_add(&values, keys[0]);
	values_add(&values, keys[1]);
	values_add_text(&values, state->environment);
	values_add_text(&values, state->account);
	values_add_unless(&values, !state->has_created_at, TimestampTzGetDatum(state->created_at));
	values_add_boolean(&values, state->is_data);
	values_add_boolean(&values, state->is_current);
	values_add_boolean(&values, state->has_property_data);
	values_add_int32(&values, state->version);
	values_add_bytes(&values, state->hash, CONTENT_HASH_LENGTH);
	values_add_time(&values, state->fetched_at);
	return statement_run_values(statement, &values) > 0;
}

/* Write the row of a pull that has none yet; false if another transaction was first. */
bool
state_insert(Datum *keys, const PullState *state)
{
	return state_write(&statements[STATE_INSERT], keys, state);
}

/* Move the row of a pull on to a new current version. */
void
state_advance(Datum *keys, const PullState *state)
{
	state_write(&statements[STATE_ADVANCE], keys, state);
}

/* Whether any version of the pull is stored. */
bool
state_exists(Datum *keys)
{
	bool exists = statement_run(&statements[STATE_EXISTS], keys, NULL) > 0;

	SPI_freetuptable(SPI_tuptable);
	return exists;
}

/* Note that a newer request answered with the current version. */
void
state_confirm(Datum *keys, TimestampTz fetched_at)
{
	Datum arguments[3] = {keys[0], keys[1], TimestampTzGetDatum(fetched_at)};

	statement_run(&statements[STATE_CONFIRM], arguments, NULL);
}

/* The version that was current at a moment, and its hash; false if there was none. */
bool
version_before(Datum *keys, TimestampTz fetched_at, int *version, uint8 *hash)
{
	Datum arguments[3] = {keys[0], keys[1], TimestampTzGetDatum(fetched_at)};
	Record record;

	if (statement_run(&statements[VERSION_BEFORE], arguments, NULL) == 0)
		return false;
	record = statement_record(0);
	*version = record_int32(&record);
	record_hash(&record, hash);
	SPI_freetuptable(SPI_tuptable);
	return true;
}
