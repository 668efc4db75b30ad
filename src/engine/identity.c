/*
 * identity.c
 *	  Which server and role a row is of, whatever they are called by now.
 *
 * A row keeps name and OID of both.  In the instance that made it the OID
 * counts, so that a row goes along with what is renamed and a namesake inherits
 * nothing; in any other instance the OIDs mean nothing and the names count.
 * Nobody else decides between the two, but for what the inbox knows a delivery by (inbox.c).
 *
 * Other rows have their server's name only, and follow it when it is renamed
 * (pull/rename.c).  Whoever writes one holds the name meanwhile.
 */
#include "postgres.h"

#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"

#include "engine/identity.h"
#include "engine/instance.h"
#include "engine/lock.h"

PG_FUNCTION_INFO_V1(canopy_summit_server_of);
PG_FUNCTION_INFO_V1(canopy_summit_owner_of);
PG_FUNCTION_INFO_V1(canopy_summit_server_name);
PG_FUNCTION_INFO_V1(canopy_summit_owner_name);
PG_FUNCTION_INFO_V1(canopy_summit_server_oid);
PG_FUNCTION_INFO_V1(canopy_summit_hold_server);

/* Whether the OIDs of a row are of this catalog; also if it waits for arm() since a promotion. */
static bool
identity_is_own(int64 instance)
{
	int64 own = instance_current();

	return instance == own || instance == instance_disarmed(own);
}

/* The name of a server in the current memory context; NULL if it is gone. */
char *
identity_server_name(Oid server)
{
	ForeignServer *found = GetForeignServerExtended(server, FSV_MISSING_OK);

	return found ? found->servername : NULL;
}

/* The name of a role in the current memory context; NULL if it is gone. */
char *
identity_role_name(Oid role)
{
	return GetUserNameFromId(role, true);
}

/* Whether the row of the arguments (oid, name, instance bigint) was made here, and its OID counts. */
static bool
arguments_are_own(FunctionCallInfo fcinfo)
{
	return !PG_ARGISNULL(0) && !PG_ARGISNULL(2) && identity_is_own(PG_GETARG_INT64(2));
}

/* canopy_summit.server_of(server_oid oid, server text, instance bigint) -> oid */
Datum
canopy_summit_server_of(PG_FUNCTION_ARGS)
{
	if (arguments_are_own(fcinfo))
		PG_RETURN_OID(PG_GETARG_OID(0));
	if (PG_ARGISNULL(1))
		PG_RETURN_OID(InvalidOid);
	PG_RETURN_OID(get_foreign_server_oid(text_to_cstring(PG_GETARG_TEXT_PP(1)), true));
}

/* canopy_summit.owner_of(owner_oid oid, owner name, instance bigint) -> oid */
Datum
canopy_summit_owner_of(PG_FUNCTION_ARGS)
{
	if (arguments_are_own(fcinfo))
		PG_RETURN_OID(PG_GETARG_OID(0));
	if (PG_ARGISNULL(1))
		PG_RETURN_OID(InvalidOid);
	PG_RETURN_OID(get_role_oid(NameStr(*PG_GETARG_NAME(1)), true));
}

/* The same for what only shows names, which has to work where instance_file is not. */
static bool
arguments_seem_own(FunctionCallInfo fcinfo)
{
	int64 instance;

	return instance_find(&instance) && arguments_are_own(fcinfo);
}

/* canopy_summit.server_name(server_oid oid, server text, instance bigint) -> text */
Datum
canopy_summit_server_name(PG_FUNCTION_ARGS)
{
	char *name = arguments_seem_own(fcinfo) ? identity_server_name(PG_GETARG_OID(0)) : NULL;

	if (name != NULL)
		PG_RETURN_TEXT_P(cstring_to_text(name));
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(1));
}

/* canopy_summit.owner_name(owner_oid oid, owner name, instance bigint) -> name */
Datum
canopy_summit_owner_name(PG_FUNCTION_ARGS)
{
	char *name = arguments_seem_own(fcinfo) ? identity_role_name(PG_GETARG_OID(0)) : NULL;

	if (name != NULL)
		PG_RETURN_DATUM(DirectFunctionCall1(namein, CStringGetDatum(name)));
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(1));
}

/* canopy_summit.server_oid(server name) -> oid.  Error 42704: there is none. */
Datum
canopy_summit_server_oid(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(get_foreign_server_oid(NameStr(*PG_GETARG_NAME(0)), false));
}

/*
 * Keep a server from being renamed or dropped until this transaction ends; false
 * if somebody is about to, and this should not wait for them.  By a lock of our
 * own: PostgreSQL's own is taken by ALTER SERVER before it looks who may.
 */
static bool
server_lock(Oid server, LOCKMODE mode, bool wait)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, server, SERVER_LOCKTAG);
	if (LockAcquire(&tag, mode, false, !wait) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	AcceptInvalidationMessages();
	return true;
}

/* Wait until nobody holds a server that this transaction renames or drops, and keep others from it until it ends. */
void
identity_take_server(Oid server)
{
	(void) server_lock(server, ExclusiveLock, true);
}

/* The name of a server that this transaction has locked; of one that is gone what identity_hold_server() says. */
static const char *
held_name(Oid server, const char *name)
{
	char *now = OidIsValid(server) ? identity_server_name(server) : NULL;
	Oid successor;

	if (now != NULL)
		return now;
	successor = get_foreign_server_oid(name, true);
	return OidIsValid(successor) ? identity_hold_server(successor, name) : name;
}

/*
 * The name that a server has until this transaction ends; if it is gone, `name`,
 * the last known one, and who has that now keeps it.
 */
const char *
identity_hold_server(Oid server, const char *name)
{
	if (OidIsValid(server))
		(void) server_lock(server, ShareLock, true);
	return held_name(server, name);
}

/* canopy_summit.hold_server(server_oid oid, server text, wait boolean) -> text */
Datum
canopy_summit_hold_server(PG_FUNCTION_ARGS)
{
	Oid server = PG_GETARG_OID(0);

	if (OidIsValid(server) && !server_lock(server, ShareLock, PG_GETARG_BOOL(2)))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(held_name(server, text_to_cstring(PG_GETARG_TEXT_PP(1)))));
}
