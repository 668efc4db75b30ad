/*
 * hold.c
 *	  Holds of refused credentials, and how they are known to be over.
 *
 * A hold names the credential that was refused by a digest, so that another one
 * ends it, also after a restart.  The digest is made with a random key that no
 * level can read: whoever reads holds cannot try secrets against them.
 */
#include "hold.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "catalog/pg_type.h"
#include "statement.h"
#include "utils/builtins.h"

static Statement find_key = {0, {0}, "SELECT key FROM canopy_summit.hold_key", NULL};

static Statement write_hold = {
	5,
	{TEXTOID, TEXTOID, TEXTOID, BYTEAOID, NAMEOID},
	"INSERT INTO canopy_summit.server_hold (server, owner, reason, credential_hash,"
	" held_at, held_by) VALUES ($1, $2, $3, $4, now(), $5)"
	" ON CONFLICT (server, owner) DO UPDATE SET reason = EXCLUDED.reason,"
	" credential_hash = EXCLUDED.credential_hash, held_at = EXCLUDED.held_at",
};

/* What a hold keeps of a credential. */
static void
hold_digest(const Credential *credential, uint8 *digest)
{
	bytea *key;
	bool isnull;

	if (statement_run(&find_key, NULL, NULL) != 1)
		elog(ERROR, "canopy_summit.hold_key must have one row");
	key = DatumGetByteaPP(statement_column(1, &isnull));
	if (HMAC(EVP_sha256(), VARDATA_ANY(key), (int) VARSIZE_ANY_EXHDR(key), credential->hash,
			 sizeof(credential->hash), digest, NULL) == NULL)
		elog(ERROR, "could not compute HMAC-SHA256");
}

/* Have the jobs of a refused credential wait.  Inside engine_begin(). */
void
hold_write(const Flight *flight)
{
	const Credential *credential = flight->credential;
	bool was_refused =
		credential->connection != NULL &&
		(flight->settlement.code == NULL || strcmp(flight->settlement.code, "not_sendable") != 0);
	uint8 digest[SHA256_DIGEST_LENGTH];
	Datum values[5];

	hold_digest(credential, digest);
	values[0] = CStringGetTextDatum(credential->server);
	values[1] = CStringGetTextDatum(credential->owner);
	values[2] = CStringGetTextDatum(flight->settlement.outcome);
	values[3] = bytes_datum(digest, sizeof(digest));
	values[4] = DirectFunctionCall1(namein, CStringGetDatum("canopy_summit worker"));
	(void) statement_run(&write_hold, values, was_refused ? NULL : "   n ");
}

/*
 * Whether a credential, which has been read, is another one than the hold of it was
 * written for; NULL = one that could not be used at all.  Inside engine_begin().
 */
bool
hold_is_over(const Credential *credential, const bytea *hash)
{
	uint8 digest[SHA256_DIGEST_LENGTH];

	if (credential->connection == NULL)
		return false;
	if (hash == NULL || VARSIZE_ANY_EXHDR(hash) != sizeof(digest))
		return true;
	hold_digest(credential, digest);
	return memcmp(VARDATA_ANY(hash), digest, sizeof(digest)) != 0;
}
