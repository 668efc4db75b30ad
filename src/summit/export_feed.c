/*
 * export_feed.c
 *	  The chore that keeps lines of exports up to date, so that whoever asks what
 *	  changed need not wait for them.
 *
 * It is nothing but upkeep: summit_export_changes() does it as well.
 */
#include "postgres.h"

#include "engine/statement.h"
#include "process/chore.h"
#include "summit/export_feed.h"

static TimestampTz
export_feed_refresh(TimestampTz now)
{
	static Statement look = {.sql = "SELECT canopy_summit.exports_are_due()"};
	static Statement refresh = {.sql = "SELECT canopy_summit.refresh_exports()"};

	(void) statement_run(&look, NULL, NULL);
	if (DatumGetBool(statement_value()))
		(void) statement_run(&refresh, NULL, NULL);
	return DT_NOEND;
}

/* From _PG_init(). */
void
export_feed_register(void)
{
	static Chore refresh = {.name = "keeping lines of exports",
							.run = export_feed_refresh,
							.at_scan = true,
							.gives_way = true};

	chore_register(&refresh);
}
