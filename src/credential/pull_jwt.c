/*
 * pull_jwt.c
 *	  Tokens of pulls, which stand in for a credential in requests about one pull.
 *
 * An answer brings one, and it goes out with the jobs that need it: the worker adds it to
 * what it has in its memory, so that neither the job table, nor a level, nor a dump has it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "credential/pull_jwt.h"
#include "engine/instance.h"
#include "engine/statement.h"

/* How long they are good for is not documented; a pull is over long before. */
#define KEPT "interval '30 days'"

enum
{
	JWT_KEEP,
	JWT_FIND,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[JWT_KEEP] = {4, {INT8OID, OIDOID, TEXTOID, TEXTOID},
		"WITH id AS (SELECT canopy_summit.short_id($3) AS pull_id),"
		" old AS (DELETE FROM canopy_summit.pull_jwt o USING id WHERE o.received_at < now() - " KEPT " AND o.pull_id <> id.pull_id)"
		" INSERT INTO canopy_summit.pull_jwt (instance, server_oid, pull_id, pull_jwt, received_at)"
		" SELECT $1, $2, id.pull_id, $4, now() FROM id"
		" ON CONFLICT (pull_id, server_oid, instance) DO UPDATE"
		" SET pull_jwt = EXCLUDED.pull_jwt, received_at = EXCLUDED.received_at"},
	[JWT_FIND] = {3, {INT8OID, OIDOID, TEXTOID},
		"SELECT pull_jwt FROM canopy_summit.pull_jwt"
		" WHERE instance = $1 AND server_oid = $2 AND pull_id = canopy_summit.short_id($3)"
		" AND received_at > now() - " KEPT},
};
/* clang-format on */

void
pull_jwt_keep(Oid server_oid, const char *pull_id, const char *pull_jwt)
{
	(void) statement_run(&statements[JWT_KEEP],
						 (Datum[]){Int64GetDatum(instance_current()), ObjectIdGetDatum(server_oid),
								   CStringGetTextDatum(pull_id), CStringGetTextDatum(pull_jwt)},
						 NULL);
}

/* The token of a pull, in the current memory context; NULL if none is known. */
static const char *
pull_jwt_find(Oid server_oid, const char *pull_id)
{
	if (pull_id == NULL ||
		statement_run(&statements[JWT_FIND],
					  (Datum[]){Int64GetDatum(instance_current()), ObjectIdGetDatum(server_oid),
								CStringGetTextDatum(pull_id)},
					  NULL) == 0)
		return NULL;
	return TextDatumGetCString(statement_value());
}

bool
pull_jwt_is_known(Oid server_oid, const char *pull_id)
{
	return pull_jwt_find(server_oid, pull_id) != NULL;
}

/* Parameters with the token of the pull that they name, unless they have one, or none is known. */
Jsonb *
pull_jwt_add(Oid server_oid, Jsonb *params)
{
	JsonBuilder addition = {0};
	const char *pull_jwt;

	if (json_text_field(params, PULL_JWT_PARAM) != NULL)
		return params;
	pull_jwt = pull_jwt_find(server_oid, json_text_field(params, "pullId"));
	if (pull_jwt == NULL)
		return params;
	builder_add_text(&addition, PULL_JWT_PARAM, pull_jwt);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(params),
											  JsonbPGetDatum(builder_finish_object(&addition))));
}
