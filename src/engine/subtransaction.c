/*
 * subtransaction.c
 *	  Something that may fail, and costs nothing else then.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "engine/subtransaction.h"

/*
 * Run `body` in a subtransaction and in a memory context, as a role unless it is
 * InvalidOid.  Returns NULL, or the error, in that context, for which all that the body
 * did is undone.
 */
ErrorData *
subtransaction_run(Oid role, void (*body)(void *argument), void *argument, MemoryContext context)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;
	Oid caller;
	int security;

	GetUserIdAndSecContext(&caller, &security);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (OidIsValid(role))
			SetUserIdAndSecContext(role, security | SECURITY_LOCAL_USERID_CHANGE);
		body(argument);
		SetUserIdAndSecContext(caller, security);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction(); /* which gives the caller his role back */
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return error;
}
