/*
 * inbox_store.c
 *	  Storing webhooks: what is known already is not stored again.
 *
 * Whoever stores a delivery holds the lock of what makes it known, so that of
 * two copies that arrive together one waits for the other.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "engine/engine.h"
#include "engine/instance.h"
#include "engine/lock.h"
#include "engine/statement.h"
#include "process/wake.h"
#include "webhook/envelope.h"
#include "webhook/inbox.h"
#include "webhook/inbox_store.h"

/* clang-format off */
/*
 * These statements run with whatever search path the caller has: they name the
 * schema of everything, operators included (engine_enter()).
 */
#define EQUALS    " OPERATOR(pg_catalog.=) "
#define UNNEST(n) "pg_catalog.unnest($" #n ")"

/* Whether w was delivered to d's server: in the rows of this instance the OID tells (identity.c). */
#define SAME_SERVER_SQL(instance) \
	"CASE WHEN w.instance" EQUALS instance " THEN w.server_oid" EQUALS "d.server_oid ELSE w.server" EQUALS "d.server END"

/* The row that a delivery d is known as, and whether its delivery_id has come already, of whatever body. */
#define KNOWN_SQL(instance) \
	"(SELECT w.webhook_id FROM canopy_summit.webhook w" \
	"  WHERE w.identity" EQUALS "d.identity AND " SAME_SERVER_SQL(instance) \
	"  AND w.content_hash" EQUALS "d.content_hash" \
	"  AND w.signed_at OPERATOR(pg_catalog.>=) d.signed_after" \
	"  AND w.signed_at OPERATOR(pg_catalog.<=) d.signed_before LIMIT 1)"
#define HAS_SIBLING_SQL(instance) \
	"(SELECT true FROM canopy_summit.webhook w" \
	"  WHERE w.identity" EQUALS "d.identity AND " SAME_SERVER_SQL(instance) \
	"  AND w.delivery_key" EQUALS "d.delivery_key LIMIT 1)"

/* Stores the deliveries that are not known, in a state if they can be read.  The last argument is of all of them. */
#define INSERT_SQL(deliveries, state) \
	"INSERT INTO canopy_summit.webhook (webhook_id, server, headers, body, received_at, signed_at, event, subject," \
	"  delivery_key, content_hash, identity, problem, server_oid, state, instance)" \
	" SELECT d.webhook_id, d.server, d.headers, d.body, d.received_at, d.signed_at, d.event, d.subject," \
	"  d.delivery_key, d.content_hash, d.identity, d.problem, d.server_oid," \
	"  CASE WHEN d.problem IS NOT NULL THEN 'quarantined' ELSE " state " END, $16" \
	" FROM " deliveries " AS d (webhook_id, server, headers, body, received_at, signed_at, event, subject," \
	"  delivery_key, content_hash, identity, problem, signed_after, signed_before, server_oid)" \
	" WHERE " KNOWN_SQL("$16") " IS NULL"
#define KEYED_STATE_SQL "CASE WHEN " HAS_SIBLING_SQL("$16") " THEN 'conflict' ELSE 'stored' END"
#define RETURNING_SQL   " RETURNING webhook_id, state" EQUALS "'conflict'"

#define INSERT_COLUMNS 15
#define MANY_SQL \
	"ROWS FROM (" UNNEST(1) "," UNNEST(2) "," UNNEST(3) "," UNNEST(4) "," UNNEST(5) "," UNNEST(6) "," UNNEST(7) "," \
	UNNEST(8) "," UNNEST(9) "," UNNEST(10) "," UNNEST(11) "," UNNEST(12) "," UNNEST(13) "," UNNEST(14) "," UNNEST(15) ")"
#define ONE_SQL "(VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15))"
#define ONE_TYPES {INT8OID, TEXTOID, JSONBOID, BYTEAOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, \
			BYTEAOID, INT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, OIDOID, INT8OID}

enum
{
	WEBHOOK_FIND,
	WEBHOOK_INSERT,       /* arrays of deliveries */
	WEBHOOK_INSERT_ONE,   /* a delivery without a delivery_id */
	WEBHOOK_INSERT_KEYED, /* one with a delivery_id */
	STATEMENT_COUNT
};

static Statement statements[STATEMENT_COUNT] = {
	[WEBHOOK_FIND] = {8, {TEXTOID, INT8OID, BYTEAOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, OIDOID, INT8OID},
		"SELECT " KNOWN_SQL("$8") ", " HAS_SIBLING_SQL("$8")
		" FROM (VALUES ($1, $2, $3, $4, $5, $6, $7))"
		" AS d (server, identity, content_hash, delivery_key, signed_after, signed_before, server_oid)"},
	[WEBHOOK_INSERT] = {INSERT_COLUMNS + 1, {INT8ARRAYOID, TEXTARRAYOID, JSONBARRAYOID, BYTEAARRAYOID, TIMESTAMPTZARRAYOID,
			TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, BYTEAARRAYOID, INT8ARRAYOID, TEXTARRAYOID,
			TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, OIDARRAYOID, INT8OID},
		INSERT_SQL(MANY_SQL, KEYED_STATE_SQL) RETURNING_SQL},
	[WEBHOOK_INSERT_KEYED] = {INSERT_COLUMNS + 1, ONE_TYPES, INSERT_SQL(ONE_SQL, KEYED_STATE_SQL) RETURNING_SQL},
	[WEBHOOK_INSERT_ONE] = {INSERT_COLUMNS + 1, ONE_TYPES, INSERT_SQL(ONE_SQL, "'stored'")},
};
/* clang-format on */

/* Say what a delivery is that is not known. */
static void
delivery_judge(Delivery *delivery, bool has_sibling)
{
	delivery->outcome = delivery->envelope.problem ? INBOX_QUARANTINED
						: has_sibling              ? INBOX_CONFLICT
												   : INBOX_STORED;
	if (delivery->outcome == INBOX_STORED)
		wake_for_webhooks();
}

/*
 * Look for the row that a delivery is known as: then it is a duplicate, and has
 * that row's key.  Else false, and *has_sibling tells whether its delivery_id has
 * come already.
 */
static bool
delivery_find(Delivery *delivery, bool *has_sibling)
{
	const Envelope *envelope = &delivery->envelope;
	Values arguments = {0};
	Record record;
	int64 known;
	bool is_new;

	values_add_text(&arguments, delivery->server);
	values_add_int64(&arguments, delivery->identity);
	values_add_bytes(&arguments, envelope->hash, sizeof(envelope->hash));
	values_add_text(&arguments, envelope->delivery_key);
	values_add_time(&arguments, delivery->signed_after);
	values_add_time(&arguments, delivery->signed_before);
	values_add_oid(&arguments, delivery->server_oid);
	values_add_int64(&arguments, instance_current());
	(void) statement_run_values_now(&statements[WEBHOOK_FIND], &arguments);
	record = statement_record(0);
	known = record_int64(&record);
	is_new = record.isnull;
	(void) record_datum(&record);
	*has_sibling = !record.isnull;
	if (is_new)
		return false;
	delivery->outcome = INBOX_DUPLICATE;
	delivery->webhook_id = known;
	return true;
}

/* A delivery as arguments of an INSERT of one; it gets a key. */
static Values
delivery_arguments(Delivery *delivery)
{
	const Envelope *envelope = &delivery->envelope;
	Values values = {0};

	delivery->webhook_id = engine_next_key("webhook_id_seq");
	values_add_int64(&values, delivery->webhook_id);
	values_add_text(&values, delivery->server);
	values_add_json(&values, delivery->headers);
	values_add_bytes(&values, delivery->body, delivery->body_len);
	values_add_time(&values, delivery->received_at);
	values_add_time(&values, delivery->signed_at);
	values_add_text(&values, envelope->event);
	values_add_text(&values, envelope->subject);
	values_add_text(&values, envelope->delivery_key);
	values_add_bytes(&values, envelope->hash, sizeof(envelope->hash));
	values_add_int64(&values, delivery->identity);
	values_add_text(&values, envelope->problem);
	values_add_time(&values, delivery->signed_after);
	values_add_time(&values, delivery->signed_before);
	values_add_oid(&values, delivery->server_oid);
	return values;
}

/* Insert those of the deliveries that are not known; returns how many, whose rows are in SPI_tuptable if it is not NULL. */
static uint64
inbox_insert_new(Delivery **deliveries, int count)
{
	Statement *statement = &statements[count > 1                              ? WEBHOOK_INSERT
									   : deliveries[0]->envelope.delivery_key ? WEBHOOK_INSERT_KEYED
																			  : WEBHOOK_INSERT_ONE];
	Values arguments = {0};
	Datum *columns[INSERT_COLUMNS];
	bool *are_null[INSERT_COLUMNS];

	if (count == 1)
	{
		arguments = delivery_arguments(deliveries[0]);
		values_add_int64(&arguments, instance_current());
		return statement_run_values_now(statement, &arguments);
	}
	for (int column = 0; column < INSERT_COLUMNS; column++)
	{
		columns[column] = palloc(count * sizeof(Datum));
		are_null[column] = palloc(count * sizeof(bool));
	}
	for (int i = 0; i < count; i++)
	{
		Values one = delivery_arguments(deliveries[i]);

		for (int column = 0; column < INSERT_COLUMNS; column++)
		{
			columns[column][i] = one.values[column];
			are_null[column][i] = one.nulls[column];
		}
	}
	for (int column = 0; column < INSERT_COLUMNS; column++)
		values_add(&arguments, statement_array(columns[column], are_null[column], count,
											   get_element_type(statement->arguments[column])));
	values_add_int64(&arguments, instance_current());
	return statement_run_values_now(statement, &arguments);
}

/* Whether a row that was inserted is a delivery's, and whether its delivery_id had come before. */
static bool
row_is_of(SPITupleTable *rows, uint64 row, const Delivery *delivery, bool *has_sibling)
{
	Record record = {.row = rows->vals[row], .descriptor = rows->tupdesc};
	int64 webhook_id = record_int64(&record);

	*has_sibling = record_boolean(&record);
	return webhook_id == delivery->webhook_id;
}

/*
 * Insert those of the deliveries that are not known, no two with the same identity,
 * and say what each is.  The caller holds the locks, under which that stays true
 * until this transaction ends.
 */
static void
inbox_insert(Delivery **deliveries, int count)
{
	uint64 inserted = inbox_insert_new(deliveries, count);
	SPITupleTable *rows = SPI_tuptable;
	uint64 next = 0;

	/* The rows come in the order of the deliveries; those that are missing are known. */
	for (int i = 0; i < count; i++)
	{
		bool has_sibling = false;

		if (next < inserted && (rows == NULL || row_is_of(rows, next, deliveries[i], &has_sibling)))
		{
			next++;
			delivery_judge(deliveries[i], has_sibling);
		}
		else if (!delivery_find(deliveries[i], &has_sibling))
			elog(ERROR, "a webhook was neither known nor stored");
	}
	if (next != inserted)
		elog(ERROR, "webhooks were stored in another order");
}

/* Order by identity, and by arrival among those of the same one. */
static int
compare_identities(const void *a, const void *b)
{
	Delivery *left = *(Delivery *const *) a;
	Delivery *right = *(Delivery *const *) b;

	if (left->identity != right->identity)
		return left->identity < right->identity ? -1 : 1;
	return left->place - right->place;
}

/*
 * Take the locks of deliveries, in an order that all who take several keep: else
 * two could wait for each other.  Each is told how many before it have its lock.
 */
static int
inbox_lock(Delivery **deliveries, int count)
{
	Delivery **sorted = palloc(count * sizeof(Delivery *));
	int rounds = 1;

	for (int i = 0; i < count; i++)
	{
		deliveries[i]->place = i;
		sorted[i] = deliveries[i];
	}
	qsort(sorted, count, sizeof(Delivery *), compare_identities);
	for (int i = 0; i < count; i++)
	{
		bool is_same = i > 0 && sorted[i]->identity == sorted[i - 1]->identity;

		sorted[i]->round = is_same ? sorted[i - 1]->round + 1 : 0;
		rounds = Max(rounds, sorted[i]->round + 1);
		if (!is_same)
			lock_take(WEBHOOK_LOCKTAG, (uint64) sorted[i]->identity);
	}
	return rounds;
}

/*
 * Store deliveries that inbox_check() has passed, unless they are known, and say
 * what became of each.  Copies of one have to see each other: the first of each
 * comes in the first round, and so on.  Inside engine_enter() or engine_begin().
 */
void
inbox_store(Delivery **deliveries, int count)
{
	int rounds = inbox_lock(deliveries, count);
	Delivery **some = palloc(count * sizeof(Delivery *));

	for (int round = 0; round < rounds; round++)
	{
		int some_count = 0;

		for (int i = 0; i < count; i++)
			if (deliveries[i]->round == round)
				some[some_count++] = deliveries[i];
		inbox_insert(some, some_count);
	}
}

/*
 * Lock a delivery whose row the caller is about to insert, and say what it is: it
 * gets its key, unless it is known; then false.  Inside engine_enter().
 */
bool
inbox_take(Delivery *delivery)
{
	bool has_sibling;

	(void) inbox_lock(&delivery, 1);
	if (delivery_find(delivery, &has_sibling))
		return false;
	delivery->webhook_id = engine_next_key("webhook_id_seq");
	delivery_judge(delivery, has_sibling);
	return true;
}

/*
 * Insert a row that is not a delivery's, with a body of so many bytes, to see whether
 * that works.  Inside engine_begin(), in a transaction that the caller undoes.
 */
void
inbox_probe(size_t len)
{
	char *body = memset(palloc(len + 1), ' ', len);
	Jsonb *headers = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	Delivery delivery = {.server = "",
						 .headers = headers,
						 .body = body,
						 .body_len = len,
						 .envelope = {.problem = "it is not a delivery"}};
	Delivery *pointer = &delivery;

	(void) inbox_insert_new(&pointer, 1);
}
