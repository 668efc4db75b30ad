/*
 * former.c
 *	  Names that a server had, and that some of its rows still have: whoever writes
 *	  about something has those rows follow first (rename.sql).
 *
 * Writers hold the server's name (identity_hold_server()), so that their
 * transaction has to ask once only.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "engine/engine.h"
#include "engine/statement.h"
#include "pull/former.h"

PG_FUNCTION_INFO_V1(canopy_summit_former_names);

/* What this transaction has been told of a server. */
typedef struct Known
{
	const char *server;
	List *names; /* of char * */
} Known;

static List *known = NIL; /* of Known *, of one transaction */
static LocalTransactionId known_by = InvalidLocalTransactionId;

/* A server has been renamed, by this transaction. */
void
former_forget(void)
{
	known_by = InvalidLocalTransactionId;
}

/*
 * Read them as they are by now.  The snapshot of a transaction may be older than the
 * name that it holds: then it sees neither all rows under the former one, nor may it
 * write any beside them.
 */
static List *
former_read(const char *server)
{
	static Statement find = {
		1,
		{TEXTOID},
		"SELECT DISTINCT t.args ->> 'former' FROM canopy_summit.task t"
		" WHERE t.what = 'rename' AND t.state <> 'done' AND t.args ->> 'former' <> $1"
		" AND canopy_summit.server_name(t.server_oid, t.server, t.instance) = $1"};
	Datum argument = CStringGetTextDatum(server);
	uint64 count = statement_run_now(&find, &argument, NULL);
	SPITupleTable *found = SPI_tuptable;
	MemoryContext old;
	List *names = NIL;

	if (IsolationUsesXactSnapshot() && statement_run(&find, &argument, NULL) < count)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access: server \"%s\" was renamed meanwhile", server),
				 errhint("Try the transaction again.")));
	old = MemoryContextSwitchTo(TopTransactionContext);
	for (uint64 i = 0; i < count; i++)
	{
		Record record = {.row = found->vals[i], .descriptor = found->tupdesc};

		names = lappend(names, record_text(&record));
	}
	MemoryContextSwitchTo(old);
	SPI_freetuptable(found);
	return names;
}

/*
 * The names that a server had and some of its rows still have, a List of char *,
 * until the transaction ends.  Inside engine_begin().
 */
List *
former_names(const char *server)
{
	MemoryContext old;
	ListCell *cell;
	List *names;
	Known *one;

	if (known_by != my_lxid)
		known = NIL; /* it went with its transaction */
	known_by = my_lxid;
	foreach(cell, known)
		if (strcmp(((Known *) lfirst(cell))->server, server) == 0)
			return ((Known *) lfirst(cell))->names;
	names = former_read(server);
	old = MemoryContextSwitchTo(TopTransactionContext);
	one = palloc(sizeof(Known));
	*one = (Known){pstrdup(server), names};
	known = lappend(known, one);
	MemoryContextSwitchTo(old);
	return names;
}

/* canopy_summit.former_names(server text) -> text[]; NULL if there are none */
Datum
canopy_summit_former_names(PG_FUNCTION_ARGS)
{
	Engine engine;
	List *names;

	engine_begin(&engine);
	names = former_names(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	engine_end(&engine);
	if (names == NIL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(statement_texts(names));
}
