/*
 * app_token.c
 *	  The tokens of Apps: workers alone get and refresh them, one at a time.
 *
 * What goes out is good for once, so it is marked as sent in a transaction of its own
 * before, and what comes back is kept in another before it is used.  The mark names the
 * worker's epoch: what a worker that is gone has marked is lost.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/failure.h"
#include "credential/app.h"
#include "credential/credential.h"
#include "credential/token.h"
#include "engine/identity.h"
#include "engine/instance.h"
#include "engine/statement.h"
#include "engine/transaction.h"
#include "http/transfer.h"
#include "job/epoch.h"
#include "process/app_request.h"
#include "process/wake.h"
#include "worker/app_token.h"
#include "worker/flight.h"
#include "worker/lane.h"
#include "worker/token_request.h"
#include "worker/worker.h"

#define KEEP_TRIES 3 /* of a transaction without which a grant is lost */

static Statement find_refreshing = {
	1,
	{INT8OID},
	"SELECT server_oid, owner_oid, epoch FROM canopy_summit.app_grant WHERE instance = $1 AND state = 'refreshing'"};

/* Jobs that wait for somebody to authorize the App. */
static Statement bring_forward = {
	3,
	{INT8OID, OIDOID, OIDOID},
	"WITH waiting AS (SELECT job_id FROM canopy_summit.job WHERE state = 'queued' AND instance = $1"
	"  AND server_oid = $2 AND owner_oid = $3 AND outcome_code = 'not_authorized' FOR UPDATE SKIP LOCKED)"
	" UPDATE canopy_summit.job j SET run_at = now() FROM waiting w WHERE j.job_id = w.job_id"};

static AppOwner
owner_of(const Credential *credential)
{
	return (AppOwner){credential->server_oid, credential->owner_oid};
}

/* Run a body in a transaction of its own; NULL, or why that failed, in the turn's memory. */
static const char *
transaction_run(Worker *worker, const char *activity, void (*body)(void *argument), void *argument)
{
	MemoryContext old = CurrentMemoryContext;
	const char *volatile problem = NULL;

	PG_TRY();
	{
		work_begin(activity);
		body(argument);
		work_commit();
	}
	PG_CATCH();
	{
		problem = work_abort(worker->turn)->message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return problem;
}

/* A refresh that begins. */
typedef struct Refresh
{
	Worker *worker;
	Credential *credential;
	char *token; /* in the turn's memory; NULL = somebody else has it */
} Refresh;

static void
refresh_begin(void *argument)
{
	Refresh *refresh = argument;
	AppOwner owner = owner_of(refresh->credential);
	char *token;

	if (refresh->credential->refused_token != NULL)
		app_grant_expire(owner, refresh->credential->refused_token);
	token = app_grant_take(owner, refresh->worker->epoch);
	refresh->token = token ? MemoryContextStrdup(refresh->worker->turn, token) : NULL;
}

static void
refresh_give_back(void *argument)
{
	Refresh *refresh = argument;

	app_grant_give_back(owner_of(refresh->credential), refresh->worker->epoch);
}

static HttpRequest *
refresh_request(TokenRequest *request, void *argument)
{
	request->is_app = true;
	return app_refresh_request(request->credential->connection, argument);
}

/* Refresh the token of an App; NULL and *problem, in the turn's memory, if that cannot be, or is being, done. */
TokenRequest *
app_refresh_start(Worker *worker, Credential *credential, const Lane *lane,
				  void (*landed)(Worker *worker, Sending *sending), const char **problem)
{
	Refresh refresh = {worker, credential};
	TokenRequest *request;

	*problem = transaction_run(worker, "refreshing an access token", refresh_begin, &refresh);
	credential->read_at = 0;
	if (*problem == NULL && refresh.token == NULL)
		*problem = "its access token is being refreshed";
	if (*problem != NULL)
		return NULL;
	request = token_request_send(worker, credential, lane, landed, refresh_request, refresh.token,
								 problem);
	if (request == NULL)
		(void) transaction_run(worker, "giving a refresh token back", refresh_give_back, &refresh);
	return request;
}

/* Whether a server has not taken what was sent, so that it may be sent again. */
static bool
is_untouched(const HttpResponse *response)
{
	if (response->outcome != HTTP_COMPLETE)
		return !response->was_sent;
	return response->status == 429 || response->status == 503;
}

/* What an answer brings, on its way to the tables. */
typedef struct Landing
{
	Worker *worker;
	TokenRequest *request;
	const HttpResponse *response;
	AppTokens tokens;
	Failure *failure; /* NULL = there are tokens */
	bool is_kept;
} Landing;

static void
landing_keep(void *argument)
{
	Landing *landing = argument;
	TokenRequest *request = landing->request;
	AppOwner owner = owner_of(request->credential);

	if (request->authorization_id != 0)
	{
		if (landing->failure == NULL)
		{
			app_grant_new(owner, &landing->tokens, request->scopes);
			(void) statement_run(&bring_forward,
								 (Datum[]){Int64GetDatum(instance_current()),
										   ObjectIdGetDatum(owner.server_oid),
										   ObjectIdGetDatum(owner.owner_oid)},
								 NULL);
			wake_at_commit(DT_NOBEGIN);
		}
		app_authorization_end(request->authorization_id,
							  landing->failure ? landing->failure->words : NULL);
		landing->is_kept = landing->failure == NULL;
	}
	else if (landing->failure == NULL)
		landing->is_kept = app_grant_refreshed(owner, landing->worker->epoch, &landing->tokens);
	else if (is_untouched(landing->response))
		app_grant_give_back(owner, landing->worker->epoch);
	else
		app_grant_lose(owner, landing->worker->epoch, landing->failure->words);
}

/*
 * Take the answer to a request about the tokens of an App, in the turn's memory; NULL, or
 * why there is no token.  If it cannot be kept, the worker ends, and the grant is lost.
 */
Failure *
app_take(Worker *worker, TokenRequest *request, const HttpResponse *response, TimestampTz now)
{
	Credential *credential = request->credential;
	Landing landing = {worker, request, response};
	const char *problem;

	landing.failure = app_tokens_read(response, now, &landing.tokens);
	for (int i = 0; (problem = transaction_run(worker, "keeping an access token", landing_keep,
											   &landing)) != NULL;
		 i++)
		if (i + 1 == KEEP_TRIES)
			ereport(FATAL, (errmsg("could not keep the tokens of an App: %s", problem)));
	credential->read_at = 0;
	if (!landing.is_kept)
	{
		credential_forget_token(credential);
		return landing.failure
				   ? landing.failure
				   : failure_describe_unreadable(response, "for a grant that is another by now");
	}
	credential_take_token(credential, landing.tokens.access_token, landing.tokens.until);
	credential->token_not_before = 0;
	if (request->authorization_id != 0)
		credential->refusals = 0;
	/* Those who have waited are sent with it before the grant is read again. */
	if (credential->connection != NULL && landing.tokens.scope != NULL)
		credential->connection->granted =
			app_scopes_granted(credential->read_context, landing.tokens.scope);
	return NULL;
}

/* A code that is to be changed for tokens. */
typedef struct Exchange
{
	Worker *worker;
	const AppRequest *asked;
	Credential *credential;
	AppAuthorization authorization;
	bool is_taken;
	TimestampTz now;
} Exchange;

/* Read the credential of a request, and take its code. */
static void
exchange_begin(void *argument)
{
	Exchange *exchange = argument;
	const AppRequest *asked = exchange->asked;
	char *server = identity_server_name(asked->server_oid);
	char *owner = identity_role_name(asked->owner_oid);
	MemoryContext old;

	exchange->credential = credential_find(asked->server_oid, asked->owner_oid,
										   server ? server : "", owner ? owner : "");
	exchange->credential->read_at = 0;
	credential_read(exchange->credential, exchange->now);
	if (asked->authorization_id == 0)
		return;
	if (exchange->credential->connection == NULL ||
		exchange->credential->connection->auth != AUTH_SCHEME_APP)
	{
		app_authorization_end(asked->authorization_id,
							  exchange->credential->problem
								  ? exchange->credential->problem
								  : "its server is not that of an App any more");
		return;
	}
	old = MemoryContextSwitchTo(exchange->worker->turn);
	exchange->is_taken = app_authorization_take(asked->authorization_id, &exchange->authorization);
	MemoryContextSwitchTo(old);
}

static void
exchange_fail(void *argument)
{
	app_authorization_end(((Exchange *) argument)->asked->authorization_id,
						  "the request could not be sent");
}

static HttpRequest *
exchange_request(TokenRequest *request, void *argument)
{
	Exchange *exchange = argument;

	request->is_app = true;
	request->authorization_id = exchange->asked->authorization_id;
	request->scopes = PointerGetDatum(PG_DETOAST_DATUM_COPY(exchange->authorization.scopes));
	return app_exchange_request(request->credential->connection, &exchange->authorization,
								exchange->asked->code);
}

/* Do what one session asks for. */
static void
app_request_serve(Worker *worker, const AppRequest *asked, TimestampTz now)
{
	Exchange exchange = {.worker = worker, .asked = asked, .now = now};
	const char *problem =
		transaction_run(worker, "looking for the tokens of an App", exchange_begin, &exchange);
	Credential *credential = exchange.credential;
	Lane *lane = lane_find(worker, asked->server_oid);

	if (problem != NULL || credential == NULL || credential->connection == NULL ||
		credential->connection->auth != AUTH_SCHEME_APP)
		return;
	if (exchange.is_taken)
	{
		if (token_request_send(worker, credential, lane, token_landed, exchange_request, &exchange,
							   &problem) == NULL)
			(void) transaction_run(worker, "ending an authorization", exchange_fail, &exchange);
	}
	else if (asked->authorization_id == 0 && credential->app_problem == NULL &&
			 !token_is_fresh(credential, now) && now >= credential->token_not_before &&
			 token_request_find(worker, credential) == NULL)
		(void) app_refresh_start(worker, credential, lane, token_landed, &problem);
}

/* Do what sessions ask for. */
void
app_requests_serve(Worker *worker, TimestampTz now)
{
	AppRequest asked;

	while (app_request_take(&asked))
	{
		app_request_serve(worker, &asked, now);
		explicit_bzero(&asked, sizeof(asked));
	}
}

/* Give up what workers that are gone have sent: whether it was taken, nobody knows.  Inside engine_begin(). */
void
app_grants_recover(int64 own_epoch)
{
	Datum instance = Int64GetDatum(instance_current());
	uint64 count = statement_run(&find_refreshing, &instance, NULL);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		Record record = {.row = found->vals[i], .descriptor = found->tupdesc};
		AppOwner owner;
		int64 epoch;

		owner.server_oid = record_oid(&record);
		owner.owner_oid = record_oid(&record);
		epoch = record_int64(&record);
		if (epoch != own_epoch && !epoch_is_alive(epoch))
			app_grant_lose(owner, epoch, "the worker that refreshed its token was lost");
	}
	SPI_freetuptable(found);
}
