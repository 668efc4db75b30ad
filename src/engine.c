/*
 * engine.c
 *	  The circumstances under which the engine runs its own statements: as the
 *	  extension's owner, connected to SPI, with nothing but pg_catalog on the
 *	  search path.
 *
 * What happens inside must not depend on the user but for what was checked
 * before.  An error leaves all of it with the transaction.
 */
#include "canopy_summit.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

/*
 * The engine looks up rows by key, in tables that may have been empty when the
 * plan was made.  The price that this puts on other plans must not call the JIT.
 */
static const char *const settings[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"enable_seqscan", "off"},
	{"jit", "off"},
};

/* Enter; the caller keeps *engine for engine_end(). */
void
engine_begin(Engine *engine)
{
	GetUserIdAndSecContext(&engine->role, &engine->security);
	SetUserIdAndSecContext(privilege_extension_owner(),
						   engine->security | SECURITY_LOCAL_USERID_CHANGE);
	engine->nest_level = NewGUCNestLevel();
	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

/* Leave, and be who one was before. */
void
engine_end(Engine *engine)
{
	SPI_finish();
	AtEOXact_GUC(false, engine->nest_level);
	SetUserIdAndSecContext(engine->role, engine->security);
}

/* Bytes as a bytea. */
Datum
bytes_datum(const void *bytes, size_t len)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes, len)); /* both are varlena */
}
