/*
 * app_request.c
 *	  What sessions ask of workers about the tokens of Apps, through shared memory: it is
 *	  wanted before the session's transaction ends.
 *
 * A request that is lost costs time only: whoever waits asks again.  A code is wiped as
 * soon as a worker has it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "process/app_request.h"
#include "process/shared.h"
#include "process/wake.h"

static bool
is_same(const AppRequest *request, Oid server_oid, Oid owner_oid, int64 authorization_id)
{
	return request->database == MyDatabaseId && request->server_oid == server_oid &&
		   request->owner_oid == owner_oid && request->authorization_id == authorization_id;
}

/* A request of this database's, or else a free place; NULL if there is neither.  The caller holds the lock. */
static AppRequest *
place_find(Oid server_oid, Oid owner_oid, int64 authorization_id)
{
	AppRequest *place = NULL;

	for (int i = 0; i < SHARED_MAX_APP_REQUESTS; i++)
	{
		AppRequest *request = &shared->app_requests[i];

		if (is_same(request, server_oid, owner_oid, authorization_id))
			return request;
		if (place == NULL && !OidIsValid(request->database))
			place = request;
	}
	return place;
}

/*
 * Ask for a fresh access token, or, with a key of canopy_summit.app_authorization, for a
 * code to be changed for one; false if there is no room now.  The same is there once.
 */
bool
app_request_post(Oid server_oid, Oid owner_oid, int64 authorization_id, const char *code)
{
	AppRequest *place;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	place = place_find(server_oid, owner_oid, authorization_id);
	if (place != NULL)
	{
		shared->app_request_count += OidIsValid(place->database) ? 0 : 1;
		place->database = MyDatabaseId;
		place->server_oid = server_oid;
		place->owner_oid = owner_oid;
		place->authorization_id = authorization_id;
		strlcpy(place->code, code ? code : "", sizeof(place->code));
	}
	LWLockRelease(shared->lock);
	if (place != NULL)
		wake_now();
	return place != NULL;
}

/* Whether somebody asks in this database. */
bool
app_request_is_pending(void)
{
	bool pending = false;

	if (shared->app_request_count == 0)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < SHARED_MAX_APP_REQUESTS; i++)
		pending |= shared->app_requests[i].database == MyDatabaseId;
	LWLockRelease(shared->lock);
	return pending;
}

/* Take a request of this database; false if there is none. */
bool
app_request_take(AppRequest *request)
{
	bool taken = false;

	if (shared->app_request_count == 0)
		return false;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SHARED_MAX_APP_REQUESTS && !taken; i++)
		if (shared->app_requests[i].database == MyDatabaseId)
		{
			*request = shared->app_requests[i];
			explicit_bzero(&shared->app_requests[i], sizeof(AppRequest));
			shared->app_request_count--;
			taken = true;
		}
	LWLockRelease(shared->lock);
	return taken;
}
