/*
 * lock.c
 *	  Waiting for whoever else is about to store the same thing.
 */
#include "lock.h"

#include "compat.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"

#define LOCKS_MAX 1000 /* of one transaction */

/*
 * Wait until no other transaction stores something of this digest, and keep
 * others waiting until this one ends.  A transaction takes a limited number of
 * such locks; the digests beyond share one, so that a bulk load neither fills
 * the lock table nor waits for others before that.
 */
void
lock_digest(uint16 tag, const uint8 *digest)
{
	static LocalTransactionId transaction = InvalidLocalTransactionId;
	static int count = 0;
	LOCKTAG locktag;
	uint32 number;

	if (transaction != my_lxid)
		count = 0;
	transaction = my_lxid;
	memcpy(&number, digest, sizeof(number));
	if (++count > LOCKS_MAX)
		number = 0;
	SET_LOCKTAG_ADVISORY(locktag, MyDatabaseId, 0, number, tag);
	(void) LockAcquire(&locktag, ExclusiveLock, false, false);
}
