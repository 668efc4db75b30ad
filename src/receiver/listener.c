/*
 * listener.c
 *	  HTTP for the receiver, by libmicrohttpd.
 *
 * libmicrohttpd calls from here only what neither raises an error nor allocates
 * by palloc: a jump through its frames would leave it in pieces.  A complete
 * request is suspended and handed out; it goes on when it has its answer.  A
 * client has so long for a complete request, however busy it looks, and when
 * connections are short the one that has taken longest makes room.
 */
#include "postgres.h"

#include <microhttpd.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "receiver/head.h"
#include "receiver/listener.h"
#include "receiver/route.h"
#include "receiver/socket.h"
#include "webhook/inbox.h"
#include "worker/worker.h"

#define OWN_DESCRIPTORS 3                  /* socket, epoll, wake-up */
#define POOL_SIZE       (32 * 1024)        /* bytes of a connection for its headers */
#define BODIES_MAX      (64 * 1024 * 1024) /* bytes of all bodies, and one more body */
#define FIRST_BODY_SIZE 4096
#define NO_ANSWER       (-1)

/* A connection. */
typedef struct Client
{
	dlist_node node; /* in Listener.waiting, unless is_busy or is_cut */
	struct MHD_Connection *connection;
	int64 since;         /* when the request that is awaited could begin; monotonic ms */
	const char *uri_end; /* of the request whose first line came last: where its NUL is */
	bool is_busy;
	bool is_cut;
} Client;

/* A request; it lives until libmicrohttpd says that it is over. */
typedef struct Request
{
	Arrival arrival; /* its pointers lead into this struct and what it owns */
	Client *client;
	struct MHD_Connection *connection;
	int answer; /* NO_ANSWER = none yet */
	char *body;
	size_t capacity;
	size_t discarded;
	char headers[FLEXIBLE_ARRAY_MEMBER];
} Request;

struct Listener
{
	struct MHD_Daemon *daemon;
	int epoll;
	int descriptors; /* set aside with AcquireExternalFD() */
	int max_connections;
	int timeout; /* ms */
	int connections;
	int unsent; /* requests that have an answer and are not over */
	size_t bytes;
	dlist_head waiting;  /* of Client, the longest first */
	dlist_head arrivals; /* of Arrival */
	struct MHD_Response *responses[ANSWER_COUNT];
};

/* clang-format off */
static const struct
{
	int status;
	const char *text;
	const char *header; /* one more, NULL = none */
	const char *value;
} answers[ANSWER_COUNT] = {
	[ANSWER_STORED] = {200, "{\"outcome\":\"stored\"}\n"},
	[ANSWER_QUARANTINED] = {200, "{\"outcome\":\"quarantined\"}\n"},
	[ANSWER_CONFLICT] = {200, "{\"outcome\":\"conflict\"}\n"},
	[ANSWER_DUPLICATE] = {200, "{\"outcome\":\"duplicate\"}\n"},
	[ANSWER_BAD_SIGNATURE] = {401, "{\"error\":\"bad signature\"}\n"},
	[ANSWER_TOO_LARGE] = {413, "{\"error\":\"too large\"}\n", "Connection", "close"},
	[ANSWER_ENCODED] = {415, "{\"error\":\"encoded\"}\n", "Accept-Encoding", "identity"},
	[ANSWER_NOT_FOUND] = {404, "{\"error\":\"not found\"}\n"},
	[ANSWER_HEALTHY] = {200, "{\"status\":\"ok\"}\n"},
	[ANSWER_UNAVAILABLE] = {503, "{\"error\":\"unavailable\"}\n"},
	[ANSWER_BAD_REQUEST] = {400, "{\"error\":\"bad request\"}\n", "Connection", "close"},
	[ANSWER_NO_LENGTH] = {411, "{\"error\":\"length required\"}\n", "Connection", "close"},
	[ANSWER_NO_PATH] = {404, "{\"error\":\"not found\"}\n", "Connection", "close"},
	[ANSWER_POST_ONLY] = {405, "{\"error\":\"method not allowed\"}\n", "Allow", "POST"},
	[ANSWER_GET_ONLY] = {405, "{\"error\":\"method not allowed\"}\n", "Allow", "GET, HEAD"},
};
/* clang-format on */

static char last_message[256]; /* of libmicrohttpd */

/* libmicrohttpd callback: keep what it says, for the message of listener_open(). */
static void
	pg_attribute_printf(2, 0) on_message(void *argument, const char *format, va_list arguments)
{
	(void) vsnprintf(last_message, sizeof(last_message), format, arguments);
}

/*
 * libmicrohttpd callback: it cannot go on.  Its default is abort(), which would
 * restart the whole cluster; so would an exit that does not detach from shared memory.
 */
static void
on_panic(void *argument, const char *file, unsigned int line, const char *reason)
{
	write_stderr("canopy_summit receiver: libmicrohttpd cannot go on: %s\n", reason ? reason : "?");
	proc_exit(1);
}

/* Have a client wait from now on for its next request to become complete. */
static void
client_wait(Listener *listener, Client *client)
{
	if (client == NULL || client->is_cut)
		return;
	if (!client->is_busy)
		dlist_delete(&client->node);
	client->is_busy = false;
	client->since = monotonic_now();
	dlist_push_tail(&listener->waiting, &client->node);
}

/* End a connection: libmicrohttpd sees that the other side has gone. */
static void
client_cut(Client *client)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	dlist_delete(&client->node);
	client->is_cut = true;
	if (info != NULL)
		(void) shutdown(info->connect_fd, SHUT_RDWR);
}

/* libmicrohttpd callback: a connection has come or gone. */
static void
on_connection(void *argument, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	Listener *listener = argument;
	Client *client = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
	{
		listener->connections++;
		client = *context = calloc(1, sizeof(Client));
		if (client == NULL)
			return;
		client->connection = connection;
		client->is_busy = true; /* it is in no list yet */
		client_wait(listener, client);
		return;
	}
	listener->connections--;
	if (client != NULL && !client->is_busy && !client->is_cut)
		dlist_delete(&client->node);
	free(client);
	*context = NULL;
}

/* libmicrohttpd callback: a request is over, whether or not it was answered. */
static void
on_completed(void *argument, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode code)
{
	Listener *listener = argument;
	Request *request = *context;

	if (request == NULL)
		return;
	client_wait(listener, request->client);
	if (request->answer != NO_ANSWER)
		listener->unsent--;
	listener->bytes -= request->capacity;
	free(request->body);
	free(request);
	*context = NULL;
}

/* The client of a connection; NULL if there was no memory for it. */
static Client *
client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* libmicrohttpd callback: the first line of a request, before anything is made of it. */
static void *
on_uri(void *argument, const char *uri, struct MHD_Connection *connection)
{
	Client *client = client_of(connection);

	if (client != NULL)
		client->uri_end = uri ? uri + strlen(uri) : NULL;
	return NULL;
}

/* libmicrohttpd callback: leave percent signs alone; head_decode_path() can tell what it cannot decode. */
static size_t
on_unescape(void *argument, struct MHD_Connection *connection, char *text)
{
	return strlen(text);
}

static size_t
body_limit(void)
{
	return (size_t) setting_receiver_max_body_size * 1024;
}

/* The answer that needs no more than the request's first line and headers; NO_ANSWER if there is none. */
static int
request_refusal(const Route *route, const char *method, const HeaderScan *scan)
{
	if (scan->is_malformed || scan->hosts > 1)
		return ANSWER_BAD_REQUEST;
	if (route == NULL)
		return ANSWER_NO_PATH;
	if (route->method == ROUTE_GET)
	{
		if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
			return ANSWER_GET_ONLY;
		return scan->encodings > 0 || scan->content_length > 0 ? ANSWER_BAD_REQUEST : NO_ANSWER;
	}
	if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
		return ANSWER_POST_ONLY;
	/* Two lengths, or two ideas of how long it is, are how requests are smuggled past a proxy. */
	if (scan->lengths + scan->encodings > 1 || (scan->encodings > 0 && !scan->is_chunked))
		return ANSWER_BAD_REQUEST;
	if (scan->lengths + scan->encodings == 0)
		return ANSWER_NO_LENGTH;
	return scan->content_length > body_limit() ? ANSWER_TOO_LARGE : NO_ANSWER;
}

/* Give a request its answer; what of it has not been read is not read any more. */
static enum MHD_Result
request_answer(Listener *listener, Request *request)
{
	return MHD_queue_response(request->connection, answers[request->answer].status,
							  listener->responses[request->answer]);
}

/* The headers of a request are here. */
static enum MHD_Result
request_begin(Listener *listener, struct MHD_Connection *connection, const char *url,
			  const char *method, const char *version, void **context)
{
	HeaderScan scan = {0};
	char path[ROUTE_PATH_SIZE];
	const char *name = "";
	const Route *route;
	Client *client = client_of(connection);
	Request *request;

	head_scan(connection, method, client ? client->uri_end : NULL, version, &scan);
	if (!head_decode_path(url, path, sizeof(path)))
		scan.is_malformed = true;
	route = route_find(path, &name);
	request = calloc(1, offsetof(Request, headers) + scan.len);
	if (request == NULL)
		return MHD_NO;
	*context = request;
	request->client = client;
	request->connection = connection;
	request->answer = request_refusal(route, method, &scan);
	if (request->answer != NO_ANSWER)
	{
		listener->unsent++;
		return request_answer(listener, request);
	}
	request->arrival.route = route;
	strlcpy(request->arrival.name, name, NAMEDATALEN);
	request->arrival.headers = request->headers;
	request->arrival.headers_len = scan.len;
	head_copy(connection, request->headers);
	return MHD_YES;
}

/* Take no more of a request's body, which was too much. */
static void
request_refuse(Listener *listener, Request *request, int answer)
{
	listener->bytes -= request->capacity;
	free(request->body);
	request->body = NULL;
	request->capacity = 0;
	request->answer = answer;
	listener->unsent++;
}

/*
 * Take a part of a body.  The rest of one that is refused is let go by, since
 * libmicrohttpd takes no answer amid a body, but no more than another full one.
 */
static enum MHD_Result
request_read(Listener *listener, Request *request, const char *data, size_t len)
{
	Arrival *arrival = &request->arrival;
	size_t need = arrival->body_len + len;

	if (request->answer == NO_ANSWER && need > body_limit())
		request_refuse(listener, request, ANSWER_TOO_LARGE);
	if (request->answer == NO_ANSWER && need > request->capacity)
	{
		size_t capacity = Max(FIRST_BODY_SIZE, Max(need, Min(2 * request->capacity, body_limit())));
		char *body = NULL;

		if (listener->bytes - request->capacity + capacity <= BODIES_MAX + body_limit())
			body = realloc(request->body, capacity);
		if (body == NULL)
			request_refuse(listener, request, ANSWER_UNAVAILABLE);
		else
		{
			listener->bytes += capacity - request->capacity;
			request->body = body;
			request->capacity = capacity;
		}
	}
	if (request->answer != NO_ANSWER)
	{
		request->discarded += len;
		return request->discarded > body_limit() ? MHD_NO : MHD_YES;
	}
	memcpy(request->body + arrival->body_len, data, len);
	arrival->body_len = need;
	return MHD_YES;
}

/* A request is complete: it waits, and its client does not. */
static void
request_arrive(Listener *listener, Request *request)
{
	Client *client = request->client;

	request->arrival.body = request->body ? request->body : "";
	request->arrival.received_at = GetCurrentTimestamp();
	dlist_push_tail(&listener->arrivals, &request->arrival.node);
	if (client != NULL && !client->is_busy && !client->is_cut)
	{
		dlist_delete(&client->node);
		client->is_busy = true;
	}
	MHD_suspend_connection(request->connection);
}

/* libmicrohttpd callback: headers, a part of a body, or the end of a request. */
static enum MHD_Result
on_request(void *argument, struct MHD_Connection *connection, const char *url, const char *method,
		   const char *version, const char *data, size_t *len, void **context)
{
	Listener *listener = argument;
	Request *request = *context;
	size_t part = *len;

	if (request == NULL)
		return request_begin(listener, connection, url, method, version, context);
	if (part > 0)
	{
		*len = 0;
		return request_read(listener, request, data, part);
	}
	if (request->answer != NO_ANSWER)
		return request_answer(listener, request);
	request_arrive(listener, request);
	return MHD_YES;
}

/* Set descriptors aside, so that connections never take those that files need; how many connections there may be. */
static int
descriptors_acquire(Listener *listener, int connections)
{
	while (listener->descriptors < connections + OWN_DESCRIPTORS && AcquireExternalFD())
		listener->descriptors++;
	if (listener->descriptors <= OWN_DESCRIPTORS)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("no file descriptors are left to listen with")));
	return listener->descriptors - OWN_DESCRIPTORS;
}

static void
responses_create(Listener *listener)
{
	for (int i = 0; i < ANSWER_COUNT; i++)
	{
		const char *text = answers[i].text;
		struct MHD_Response *response =
			MHD_create_response_from_buffer(strlen(text), unconstify(char *, text),
											MHD_RESPMEM_PERSISTENT);

		if (response == NULL ||
			MHD_add_response_header(response, "Content-Type", "application/json") != MHD_YES ||
			(answers[i].header != NULL &&
			 MHD_add_response_header(response, answers[i].header, answers[i].value) != MHD_YES) ||
			(answers[i].status == 405 &&
			 MHD_add_response_header(response, "Connection", "close") != MHD_YES) ||
			(answers[i].status == 503 &&
			 MHD_add_response_header(response, "Retry-After", "5") != MHD_YES))
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		listener->responses[i] = response;
	}
}

/* Start libmicrohttpd on a socket, which it owns from then on. */
static struct MHD_Daemon *
daemon_start(Listener *listener, const ListenerPlan *plan, int fd)
{
	bool is_local = listener_address_is_loopback(plan->address);
	unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
						 (plan->certificate ? MHD_USE_TLS : 0);
	struct MHD_OptionItem options[] = {
		{MHD_OPTION_CONNECTION_LIMIT, listener->max_connections, NULL},
		/* Others' connections must not take the place of all. */
		{MHD_OPTION_PER_IP_CONNECTION_LIMIT, is_local ? 0 : (listener->max_connections + 1) / 2,
		 NULL},
		{MHD_OPTION_CONNECTION_TIMEOUT, (plan->timeout + 999) / 1000, NULL},
		{MHD_OPTION_CONNECTION_MEMORY_LIMIT, POOL_SIZE, NULL},
		{MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
		{MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, NULL},
		{plan->certificate ? MHD_OPTION_ARRAY : MHD_OPTION_END, 0,
		 (struct MHD_OptionItem[]){
			 {MHD_OPTION_HTTPS_MEM_CERT, 0, unconstify(char *, plan->certificate)},
			 {MHD_OPTION_HTTPS_MEM_KEY, 0, unconstify(char *, plan->key)},
			 {MHD_OPTION_HTTPS_PRIORITIES, 0, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
			 {MHD_OPTION_END, 0, NULL}}},
		{MHD_OPTION_END, 0, NULL}};

	strlcpy(last_message, "it does not say why", sizeof(last_message));
	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, listener, MHD_OPTION_EXTERNAL_LOGGER,
							on_message, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
							MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL, MHD_OPTION_UNESCAPE_CALLBACK,
							on_unescape, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
							listener, MHD_OPTION_NOTIFY_COMPLETED, on_completed, listener,
							MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

/*
 * Listen.  Errors: 53000 no descriptors, those of the socket, F0000 TLS does not
 * work with this certificate and key.  After an error the process has to end.
 */
Listener *
listener_open(const ListenerPlan *plan)
{
	Listener *listener = MemoryContextAllocZero(TopMemoryContext, sizeof(Listener));
	const union MHD_DaemonInfo *info;

	MHD_set_panic_func(on_panic, NULL);
	dlist_init(&listener->waiting);
	dlist_init(&listener->arrivals);
	listener->timeout = plan->timeout;
	listener->max_connections = descriptors_acquire(listener, plan->max_connections);
	if (listener->max_connections < plan->max_connections)
		ereport(LOG, (errmsg("canopy_summit receiver takes %d connections at once",
							 listener->max_connections),
					  errhint("More need a larger max_files_per_process.")));
	responses_create(listener);
	listener->daemon = daemon_start(listener, plan, listener_socket(plan));
	info =
		listener->daemon ? MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info == NULL)
		ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
						errmsg("could not start to listen: %s", last_message)));
	listener->epoll = info->epoll_fd;
	return listener;
}

/* What to wait for until listener_run() has something to do. */
int
listener_descriptor(const Listener *listener)
{
	return listener->epoll;
}

/* Milliseconds until listener_run() has something to do of its own, at most so many. */
long
listener_timeout(Listener *listener, long longest)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	if (!dlist_is_empty(&listener->arrivals))
		return 0;
	if (MHD_get_timeout(listener->daemon, &timeout) != MHD_YES)
		return longest;
	return timeout < longest ? (long) timeout : longest;
}

/* Do what there is to do, without waiting. */
void
listener_run(Listener *listener)
{
	(void) MHD_run(listener->daemon);
}

/* The next complete request, each once; NULL if there is none. */
Arrival *
listener_take(Listener *listener)
{
	if (dlist_is_empty(&listener->arrivals))
		return NULL;
	return dlist_container(Arrival, node, dlist_pop_head_node(&listener->arrivals));
}

/* Answer a request that was taken; it is gone then. */
void
listener_answer(Listener *listener, Arrival *arrival, HttpAnswer answer)
{
	Request *request = (Request *) arrival;

	request->answer = answer;
	listener->unsent++;
	client_wait(listener, request->client);
	MHD_resume_connection(request->connection);
}

/* End connections whose requests take too long, and when there are almost too many, those that take longest. */
void
listener_cut_slow(Listener *listener)
{
	int64 now = monotonic_now();
	int cut = 0;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &listener->waiting)
	{
		Client *client = dlist_container(Client, node, iter.cur);
		bool is_crowded = listener->connections - cut >
						  listener->max_connections - listener->max_connections / 16;

		if (now - client->since < (is_crowded ? 1000 : listener->timeout))
			break;
		client_cut(client);
		cut++;
	}
}

/* Whether answers are on their way. */
bool
listener_is_sending(const Listener *listener)
{
	return listener->unsent > 0;
}

/* Take no new connections. */
void
listener_quiesce(Listener *listener)
{
	int fd = MHD_quiesce_daemon(listener->daemon);

	if (fd >= 0)
		close(fd);
}

/* End all connections and stop listening.  Every request that was taken has its answer. */
void
listener_close(Listener *listener)
{
	MHD_stop_daemon(listener->daemon);
	for (int i = 0; i < ANSWER_COUNT; i++)
		MHD_destroy_response(listener->responses[i]);
	while (listener->descriptors-- > 0)
		ReleaseExternalFD();
	pfree(listener);
}
