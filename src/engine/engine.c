/*
 * engine.c
 *	  The circumstances under which the engine runs its own statements: as the
 *	  extension's owner, connected to SPI, with nothing but pg_catalog on the
 *	  search path unless they need no path.
 *
 * What happens inside must not depend on the user but for what was checked
 * before.  An error leaves all of it with the transaction.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "engine/engine.h"
#include "engine/privilege.h"

/* Set until AtEOXact_GUC() of the level that the caller has made. */
static void
set_until_end(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

/*
 * The engine looks up rows by key, in tables that may have been empty when the
 * plan was made.  The price that this puts on other plans must not call the JIT.
 * For the level of settings that the caller has made.
 */
void
engine_set_planner(void)
{
	set_until_end("enable_seqscan", "off");
	set_until_end("jit", "off");
}

/*
 * Enter without a setting, which costs as much as a look-up does.  For kept
 * statements that name the schema of everything, operators included: whatever
 * the search path, they mean the same (as those of PostgreSQL's foreign keys do).
 * What others have put on their tables, such as triggers, meets the caller's path.
 */
void
engine_enter(Engine *engine)
{
	GetUserIdAndSecContext(&engine->role, &engine->security);
	SetUserIdAndSecContext(privilege_extension_owner(),
						   engine->security | SECURITY_LOCAL_USERID_CHANGE);
	engine->nest_level = 0;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

/* Enter for whatever statements; the caller keeps *engine for engine_end(). */
void
engine_begin(Engine *engine)
{
	engine_enter(engine);
	engine->nest_level = NewGUCNestLevel();
	set_until_end("search_path", "pg_catalog, pg_temp");
	engine_set_planner();
}

/*
 * Enter for statements that read whole tables and write values as text: sequential scans are
 * left to the planner, dates are ISO's, and work_mem and the rest are what the user has set.
 * Kept statements are planned for look-ups (statement.c) whichever way the caller has entered.
 */
void
engine_begin_wide(Engine *engine)
{
	engine_enter(engine);
	engine->nest_level = NewGUCNestLevel();
	set_until_end("search_path", "pg_catalog, pg_temp");
	set_until_end("datestyle", "ISO");
	set_until_end("jit", "off");
}

/* Leave, and be who one was before. */
void
engine_end(Engine *engine)
{
	SPI_finish();
	if (engine->nest_level > 0)
		AtEOXact_GUC(false, engine->nest_level);
	SetUserIdAndSecContext(engine->role, engine->security);
}

/* The next key of one of the extension's sequences, whoever asks. */
int64
engine_next_key(const char *sequence)
{
	return nextval_internal(get_relname_relid(sequence, get_namespace_oid("canopy_summit", false)),
							false);
}
