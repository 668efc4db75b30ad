/*
 * lock.c
 *	  Waiting for whoever else is about to store the same thing.
 */
#include "lock.h"

#include "compat.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "storage/lock.h"
#include "storage/proc.h"

#define LOCKS_MAX 1000 /* of one transaction */

/* The first 64 bits of a digest, on every machine the same. */
uint64
lock_key(const uint8 *digest)
{
	uint64 key;

	memcpy(&key, digest, sizeof(key));
	return pg_ntoh64(key);
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
	static LocalTransactionId transaction = InvalidLocalTransactionId;
	static int count = 0;
	LOCKTAG locktag;

	if (transaction != my_lxid)
		count = 0;
	transaction = my_lxid;
	if (++count > LOCKS_MAX)
		key = 0;
	SET_LOCKTAG_ADVISORY(locktag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, tag);
	(void) LockAcquire(&locktag, ExclusiveLock, false, false);
}
