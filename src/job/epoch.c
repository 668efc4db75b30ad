/*
 * epoch.c
 *	  The epochs of workers: who holds the lock of one is alive, so that nobody needs a
 *	  clock to know which claims are dead.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"

#include "engine/lock.h"
#include "job/epoch.h"

/* The lock that a worker holds as long as it lives. */
static void
epoch_tag(LOCKTAG *tag, int64 epoch)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (epoch >> 32), (uint32) epoch, EPOCH_LOCKTAG);
}

/* Hold the lock of an epoch until the process ends. */
void
epoch_lock(int64 epoch)
{
	LOCKTAG tag;

	epoch_tag(&tag, epoch);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
}

/* Whether the worker of an epoch is still there. */
bool
epoch_is_alive(int64 epoch)
{
	LOCKTAG tag;

	epoch_tag(&tag, epoch);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, ExclusiveLock, true);
	return false;
}
