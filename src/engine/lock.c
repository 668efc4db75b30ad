/*
 * lock.c
 *	  Waiting for whoever else is about to store the same thing, or leaving it to
 *	  them.
 *
 * SQL can name none of these locks: whoever may only connect can neither take
 * one nor be in its way.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/array.h"

#include "base/compat.h"
#include "base/digest.h"
#include "engine/lock.h"

PG_FUNCTION_INFO_V1(canopy_summit_lock_subjects);

#define LOCKS_MAX       1000 /* of one transaction */
#define GROUP_LOCKS_MAX 100  /* of one transaction, before it locks groups as a whole */

/* The first 64 bits of a digest, on every machine the same. */
uint64
lock_key(const uint8 *digest)
{
	uint64 key;

	memcpy(&key, digest, sizeof(key));
	return pg_ntoh64(key);
}

/* The lock of a text. */
uint64
lock_text_key(const char *text)
{
	uint8 digest[DIGEST_LENGTH];

	digest_text(text, digest);
	return lock_key(digest);
}

/* What tells apart the keys that roles choose for a server. */
uint64
lock_owner_key(Oid server, Oid owner)
{
	return lock_text_key(psprintf("%u %u", owner, server));
}

/* How many of these locks the current transaction has taken, alone or of groups. */
static int *
lock_count(bool of_groups)
{
	static LocalTransactionId transaction = InvalidLocalTransactionId;
	static int count[2] = {0};

	if (transaction != my_lxid)
		count[0] = count[1] = 0;
	transaction = my_lxid;
	return &count[of_groups ? 1 : 0];
}

/* Take a lock until the end of the transaction; false if somebody has it and this should not wait. */
static bool
lock_acquire(uint16 tag, uint64 key, bool wait)
{
	LOCKTAG locktag;
	LockAcquireResult result;

	SET_LOCKTAG_ADVISORY(locktag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, tag);
	result = LockAcquire(&locktag, ExclusiveLock, false, !wait);
	if (result == LOCKACQUIRE_OK)
		(*lock_count(false))++;
	return result != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Wait until no other transaction stores something of this key, and keep others
 * waiting until this one ends.  A transaction takes a limited number of such
 * locks; the keys beyond share one, so that a bulk load neither fills the lock
 * table nor waits for others before that.  For these it and others, who lock the
 * key itself, do not notice each other.
 */
void
lock_take(uint16 tag, uint64 key)
{
	(void) lock_acquire(tag, *lock_count(false) < LOCKS_MAX ? key : 0, true);
}

/* The same, but a transaction that has too many goes on without: for locks that only spare others a deadlock. */
void
lock_take_if_few(uint16 tag, uint64 key)
{
	if (*lock_count(false) < LOCKS_MAX)
		(void) lock_acquire(tag, key, true);
}

/* The same without waiting: false if another transaction has the lock, or this one has too many. */
static bool
lock_try(uint16 tag, uint64 key)
{
	return *lock_count(false) < LOCKS_MAX && lock_acquire(tag, key, false);
}

/* Wait until nobody has a whole group, or see whether somebody has. */
static bool
group_is_free(const LOCKTAG *group, bool wait)
{
	if (LockAcquire(group, ShareLock, false, !wait) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	(void) LockRelease(group, ShareLock, false);
	return true;
}

/*
 * The same as lock_take() for keys of which a transaction may need any number: it
 * locks the first ones, and then the group that they belong to, as a whole.  Who
 * has a group still waits for whoever has one of its keys, and others who want
 * one wait, without that one, until the group is free.  Two transactions of one
 * group, at least one of them with so many keys, may be a deadlock whatever their order.
 */
void
lock_take_of(uint16 tag, uint64 group, uint64 key)
{
	LOCKTAG whole;
	LOCKTAG one;
	LockAcquireResult result;

	key ^= group;
	SET_LOCKTAG_ADVISORY(whole, MyDatabaseId, (uint32) (group >> 32), (uint32) group,
						 GROUP_LOCKTAG(tag));
	SET_LOCKTAG_ADVISORY(one, MyDatabaseId, (uint32) (key >> 32), (uint32) key, tag);
	if (*lock_count(true) >= GROUP_LOCKS_MAX)
	{
		(void) LockAcquire(&whole, ExclusiveLock, false, false);
		(void) LockAcquire(&one, ExclusiveLock, false, false);
		(void) LockRelease(&one, ExclusiveLock, false);
		return;
	}
	while ((result = LockAcquire(&one, ExclusiveLock, false, false)) == LOCKACQUIRE_OK &&
		   !group_is_free(&whole, false))
	{
		(void) LockRelease(&one, ExclusiveLock, false);
		(void) group_is_free(&whole, true);
	}
	if (result == LOCKACQUIRE_OK)
		(*lock_count(true))++;
}

static int
compare_keys(const void *a, const void *b)
{
	uint64 left = *(const uint64 *) a;
	uint64 right = *(const uint64 *) b;

	return left < right ? -1 : left > right;
}

/* The locks of texts, in an order that all who take several keep: else two could wait for each other. */
static uint64 *
subject_keys(ArrayType *subjects, int *count)
{
	Datum *texts;
	uint64 *keys;

	deconstruct_array(subjects, TEXTOID, -1, false, TYPALIGN_INT, &texts, NULL, count);
	keys = palloc(sizeof(uint64) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		text *subject = DatumGetTextPP(texts[i]);
		uint8 digest[DIGEST_LENGTH];

		digest_bytes(VARDATA_ANY(subject), VARSIZE_ANY_EXHDR(subject), digest);
		keys[i] = lock_key(digest);
	}
	qsort(keys, *count, sizeof(uint64), compare_keys);
	return keys;
}

/*
 * Wait until nobody writes about these subjects, and keep whoever wants to away until
 * this transaction ends, but nobody who calls this as well.  Of a transaction that has
 * too many locks the rest are not kept.
 */
void
lock_share_subjects(ArrayType *subjects)
{
	int count;
	uint64 *keys = subject_keys(subjects, &count);

	for (int i = 0; i < count && *lock_count(false) < LOCKS_MAX; i++)
	{
		LOCKTAG locktag;

		SET_LOCKTAG_ADVISORY(locktag, MyDatabaseId, (uint32) (keys[i] >> 32), (uint32) keys[i],
							 SUBJECT_LOCKTAG);
		if (LockAcquire(&locktag, ShareLock, false, false) == LOCKACQUIRE_OK)
			(*lock_count(false))++;
	}
}

/* canopy_summit.lock_subjects(subjects text[], wait boolean) -> boolean */
Datum
canopy_summit_lock_subjects(PG_FUNCTION_ARGS)
{
	bool wait = PG_GETARG_BOOL(1);
	int count;
	uint64 *keys = subject_keys(PG_GETARG_ARRAYTYPE_P(0), &count);

	for (int i = 0; i < count; i++)
	{
		if (wait)
			lock_take(SUBJECT_LOCKTAG, keys[i]);
		else if (!lock_try(SUBJECT_LOCKTAG, keys[i]))
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}
