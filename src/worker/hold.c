/*
 * hold.c
 *	  What keeps jobs queued: of a server that is paused, or of a role whose
 *	  credential was refused; and how that is known to be over.
 *
 * A hold follows its server and its role, and goes when one of them goes.  It
 * names the credential that was refused by a digest, so that another one ends
 * it, also after a restart.  The digest is made with a random key that no level
 * can read: whoever reads holds cannot try secrets against them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/digest.h"
#include "credential/credential.h"
#include "engine/instance.h"
#include "engine/statement.h"
#include "worker/flight.h"
#include "worker/hold.h"

enum
{
	HOLD_KEY,
	HOLD_WRITE,
	HOLD_END,
	HOLDS_ADOPT,
	HOLDS_DROP,
	HOLDS_RENAME,
	HOLDS_READ,
	STATEMENT_COUNT
};

/* clang-format off */
static Statement statements[STATEMENT_COUNT] = {
	[HOLD_KEY] = {0, {0}, "SELECT key FROM canopy_summit.hold_key"},
	[HOLD_WRITE] = {8, {TEXTOID, TEXTOID, TEXTOID, BYTEAOID, NAMEOID, OIDOID, OIDOID, INT8OID},
		"INSERT INTO canopy_summit.server_hold (server, owner, reason, credential_hash, held_at,"
		" held_by, server_oid, owner_oid, instance)"
		" VALUES ($1, $2, $3, $4, now(), $5, $6, $7, $8)"
		" ON CONFLICT (instance, server_oid, owner_oid) DO UPDATE SET reason = EXCLUDED.reason,"
		" credential_hash = EXCLUDED.credential_hash, held_at = EXCLUDED.held_at"},
	[HOLD_END] = {3, {INT8OID, OIDOID, OIDOID},
		"WITH h AS (SELECT i.ctid FROM canopy_summit.server_hold i"
		"  WHERE i.instance = $1 AND i.server_oid = $2 AND i.owner_oid = $3 FOR UPDATE SKIP LOCKED)"
		" DELETE FROM canopy_summit.server_hold d USING h WHERE d.ctid = h.ctid"},
	/* Restored ones, as soon as their server and role are there.  None of these waits for a row. */
	[HOLDS_ADOPT] = {1, {INT8OID},
		"UPDATE canopy_summit.server_hold h SET instance = $1, server_oid = f.server_oid,"
		" owner_oid = f.owner_oid"
		" FROM (SELECT DISTINCT ON (l.server_oid, l.owner_oid) l.* FROM"
		"  (SELECT i.ctid, i.owner, canopy_summit.server_of(i.server_oid, i.server, i.instance),"
		"    canopy_summit.owner_of(i.owner_oid, i.owner::name, i.instance)"
		"   FROM canopy_summit.server_hold i WHERE i.instance <> $1 FOR UPDATE SKIP LOCKED)"
		"   AS l (ctid, owner, server_oid, owner_oid)"
		"  WHERE l.owner_oid <> 0 OR l.owner = '') AS f"
		" WHERE h.ctid = f.ctid AND f.server_oid <> 0"
		" AND NOT EXISTS (SELECT FROM canopy_summit.server_hold o WHERE o.instance = $1"
		"  AND o.server_oid = f.server_oid AND o.owner_oid = f.owner_oid)"},
	[HOLDS_DROP] = {1, {INT8OID},
		"WITH h AS (SELECT i.ctid FROM canopy_summit.server_hold i WHERE i.instance = $1"
		"  AND (NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.oid = i.server_oid)"
		"   OR i.owner_oid <> 0 AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = i.owner_oid))"
		"  FOR UPDATE OF i SKIP LOCKED)"
		" DELETE FROM canopy_summit.server_hold d USING h WHERE d.ctid = h.ctid"},
	[HOLDS_RENAME] = {1, {INT8OID},
		"WITH h AS (SELECT i.ctid, canopy_summit.server_name(i.server_oid, i.server, i.instance),"
		"   canopy_summit.owner_name(i.owner_oid, i.owner::name, i.instance)::text"
		"  FROM canopy_summit.server_hold i WHERE i.instance = $1 FOR UPDATE SKIP LOCKED)"
		" UPDATE canopy_summit.server_hold d SET server = h.server_name, owner = h.owner_name"
		" FROM h WHERE d.ctid = h.ctid AND (d.server, d.owner) <> (h.server_name, h.owner_name)"},
	[HOLDS_READ] = {1, {INT8OID},
		"SELECT h.server_oid, h.owner_oid, h.server, h.owner, h.credential_hash"
		" FROM canopy_summit.server_hold h WHERE h.instance = $1"},
};
/* clang-format on */

/* What a hold keeps of a credential. */
static void
hold_digest(const Credential *credential, uint8 *digest)
{
	bytea *key;

	if (statement_run(&statements[HOLD_KEY], NULL, NULL) != 1)
		elog(ERROR, "canopy_summit.hold_key must have one row");
	key = DatumGetByteaPP(statement_value());
	digest_keyed(VARDATA_ANY(key), (int) VARSIZE_ANY_EXHDR(key), credential->hash,
				 sizeof(credential->hash), digest);
}

/* Have the jobs of a refused credential wait.  Inside engine_begin(). */
void
hold_write(const Flight *flight)
{
	const Credential *credential = flight->credential;
	bool was_refused =
		credential->connection != NULL &&
		(flight->settlement.code == NULL || strcmp(flight->settlement.code, "not_sendable") != 0);
	uint8 digest[DIGEST_LENGTH];
	Values values = {0};

	hold_digest(credential, digest);
	values_add_text(&values, credential->server);
	values_add_text(&values, credential->owner);
	values_add_text(&values, flight->settlement.outcome);
	values_add_unless(&values, !was_refused, bytes_datum(digest, sizeof(digest)));
	values_add_name(&values, "canopy_summit worker");
	values_add_oid(&values, credential->server_oid);
	values_add_oid(&values, credential->owner_oid);
	values_add_int64(&values, instance_current());
	(void) statement_run_values(&statements[HOLD_WRITE], &values);
}

/*
 * Whether a credential, which has been read, is another one than the hold of it was
 * written for, or none any more, for want of which its jobs fail.
 */
static bool
hold_is_over(const Credential *credential, const bytea *hash)
{
	uint8 digest[DIGEST_LENGTH];

	if (credential->connection == NULL)
		return credential_is_gone(credential);
	if (hash == NULL || VARSIZE_ANY_EXHDR(hash) != sizeof(digest))
		return true;
	hold_digest(credential, digest);
	return memcmp(VARDATA_ANY(hash), digest, sizeof(digest)) != 0;
}

/* End the hold of a role if its credential is another one by now; true if it was.  Inside engine_begin(). */
bool
hold_end_if_over(const Hold *hold)
{
	Credential *credential =
		credential_find(hold->server_oid, hold->owner_oid, hold->server, hold->owner);
	Datum arguments[3] = {Int64GetDatum(instance_current()), ObjectIdGetDatum(hold->server_oid),
						  ObjectIdGetDatum(hold->owner_oid)};

	credential_read(credential, GetCurrentTimestamp());
	if (!hold_is_over(credential, hold->hash))
		return false;
	(void) statement_run(&statements[HOLD_END], arguments, NULL);
	return true;
}

/* A row of HOLDS_READ. */
static Hold *
hold_of_row(Record record)
{
	Hold *hold = palloc(sizeof(Hold));

	hold->server_oid = record_oid(&record);
	hold->owner_oid = record_oid(&record);
	hold->server = record_text(&record);
	hold->owner = record_text(&record);
	hold->hash = record_bytes(&record);
	return hold;
}

/*
 * The holds as they are by now: restored ones are taken over, those of what is gone
 * go, and the others have the names of the day.  A List of Hold *.  Inside
 * engine_begin().
 */
List *
holds_read(void)
{
	Datum instance = Int64GetDatum(instance_current());
	List *holds = NIL;
	uint64 count;

	(void) statement_run(&statements[HOLDS_ADOPT], &instance, NULL);
	(void) statement_run(&statements[HOLDS_DROP], &instance, NULL);
	(void) statement_run(&statements[HOLDS_RENAME], &instance, NULL);
	count = statement_run(&statements[HOLDS_READ], &instance, NULL);
	for (uint64 i = 0; i < count; i++)
		holds = lappend(holds, hold_of_row(statement_record(i)));
	return holds;
}
