/*
 * loop.c
 *	  Many transfers, one wait.
 *
 * A pool is a libcurl multi handle: its transfers share connections and trust,
 * so each credential has a pool of its own.  The sockets of all pools, and those
 * that others watch, are in one epoll descriptor, which is waited on beside the
 * process latch.  Threads that libcurl starts for name look-ups inherit a mask
 * with every signal blocked, so PostgreSQL's handlers run in the backend's thread
 * only.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/fd.h"
#include "storage/latch.h"

#include "base/clock.h"
#include "base/compat.h"
#include "http/loop.h"
#include "http/socket.h"
#include "http/transfer.h"

#define LOOP_EVENTS 64           /* sockets served by one wake-up */
#define NO_POOL     PG_INT32_MAX /* in a pool's place: the socket is watched by others */

struct HttpPool
{
	HttpLoop *loop;
	int number; /* its place in the loop */
	CURLM *multi;
	bool timer_set;
	int64 timer; /* when libcurl wants to be called; monotonic ms */
};

struct HttpLoop
{
	int epoll;      /* -1 = none */
	List *pools;    /* of HttpPool *, NULL = closed */
	List *finished; /* of HttpTransfer * */
	List *watches;  /* of LoopWatch *; theirs who watch */
	MemoryContext context;
	MemoryContextCallback callback;
};

/* End a pool, and with it its connections and the transfers in it. */
static void
loop_close_pool(HttpPool *pool)
{
	lfirst(list_nth_cell(pool->loop->pools, pool->number)) = NULL;
	curl_multi_cleanup(pool->multi);
	pfree(pool);
}

/* Free what the loop holds; also the memory context's callback. */
static void
loop_free(void *argument)
{
	HttpLoop *loop = argument;
	ListCell *cell;

	foreach(cell, loop->pools)
		if (lfirst(cell) != NULL)
			loop_close_pool(lfirst(cell));
	socket_sweep();
	if (loop->epoll >= 0)
	{
		close(loop->epoll);
		ReleaseExternalFD();
	}
	loop->epoll = -1;
}

/* libcurl callback: watch a socket, or stop watching it. */
static int
on_socket(CURL *handle, curl_socket_t fd, int what, void *argument, void *watched)
{
	HttpPool *pool = argument;
	struct epoll_event event = {.data.u64 = (uint64) pool->number << 32 | (uint32) fd};
	int epoll = pool->loop->epoll;

	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0 &&
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		return -1;
	return 0;
}

/* libcurl callback: when to call it again. */
static int
on_timer(CURLM *multi, long timeout, void *argument)
{
	HttpPool *pool = argument;

	pool->timer_set = timeout >= 0;
	if (pool->timer_set)
		pool->timer = monotonic_now() + timeout;
	return 0;
}

/* A loop in the current memory context, which frees it with everything in it. */
HttpLoop *
loop_create(void)
{
	HttpLoop *loop = palloc0(sizeof(HttpLoop));

	loop->epoll = -1;
	loop->context = CurrentMemoryContext;
	loop->callback.func = loop_free;
	loop->callback.arg = loop;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &loop->callback);
	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not create epoll descriptor: %m")));
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
	{
		ReleaseExternalFD();
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not create epoll descriptor: %m")));
	}
	return loop;
}

/* The place of a new pool: one that a closed pool left, or a new one after them. */
static int
loop_place(HttpLoop *loop)
{
	ListCell *cell;

	foreach(cell, loop->pools)
		if (lfirst(cell) == NULL)
			return foreach_current_index(cell);
	loop->pools = lappend(loop->pools, NULL);
	return list_length(loop->pools) - 1;
}

/* A new pool of the loop, with at most so many connections to a host. */
HttpPool *
loop_pool(HttpLoop *loop, int max_connections)
{
	MemoryContext old = MemoryContextSwitchTo(loop->context);
	HttpPool *pool = palloc0(sizeof(HttpPool));

	pool->loop = loop;
	pool->number = loop_place(loop);
	pool->multi = curl_multi_init();
	if (pool->multi == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
	curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
	curl_multi_setopt(pool->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long) max_connections);
	curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long) max_connections);
	lfirst(list_nth_cell(loop->pools, pool->number)) = pool;
	MemoryContextSwitchTo(old);
	return pool;
}

/* Let libcurl work on a socket, or on what is due; errors surface in the transfers. */
static void
pool_drive(HttpPool *pool, curl_socket_t fd, int events)
{
	sigset_t all;
	sigset_t before;
	int running;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	curl_multi_socket_action(pool->multi, fd, events, &running);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Take the transfers that have ended. */
static void
pool_collect(HttpPool *pool)
{
	MemoryContext old = MemoryContextSwitchTo(pool->loop->context);
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(pool->multi, &left)) != NULL)
	{
		CURL *handle = message->easy_handle;
		CURLcode code = message->data.result;
		void *transfer;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(handle, CURLINFO_PRIVATE, &transfer);
		curl_multi_remove_handle(pool->multi, handle);
		http_transfer_finish(transfer, code);
		pool->loop->finished = lappend(pool->loop->finished, transfer);
	}
	MemoryContextSwitchTo(old);
}

/* The watch of a socket that is not libcurl's; NULL if it has ended. */
static LoopWatch *
loop_find_watch(HttpLoop *loop, int fd)
{
	ListCell *cell;

	foreach(cell, loop->watches)
		if (((LoopWatch *) lfirst(cell))->fd == fd)
			return lfirst(cell);
	return NULL;
}

/* Watch a socket until something can be read, or also written; again, to change that.  Errors: 58000. */
void
loop_watch(HttpLoop *loop, LoopWatch *watch, bool to_write)
{
	struct epoll_event event = {.data.u64 = (uint64) NO_POOL << 32 | (uint32) watch->fd,
								.events = EPOLLIN | (to_write ? EPOLLOUT : 0)};
	bool is_new = loop_find_watch(loop, watch->fd) == NULL;
	MemoryContext old;

	if (epoll_ctl(loop->epoll, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, watch->fd, &event) != 0)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("could not watch a socket: %m")));
	if (!is_new)
		return;
	old = MemoryContextSwitchTo(loop->context);
	loop->watches = lappend(loop->watches, watch);
	MemoryContextSwitchTo(old);
}

/* End a watch, before its socket is closed. */
void
loop_unwatch(HttpLoop *loop, LoopWatch *watch)
{
	(void) epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	loop->watches = list_delete_ptr(loop->watches, watch);
}

/* The next transfer that has ended, each once; NULL if there is none. */
HttpTransfer *
loop_next_finished(HttpLoop *loop)
{
	HttpTransfer *transfer;

	if (loop->finished == NIL)
		return NULL;
	transfer = llast(loop->finished);
	loop->finished = list_delete_last(loop->finished);
	return transfer;
}

/* Start a transfer in a pool. */
void
loop_add(HttpPool *pool, HttpTransfer *transfer)
{
	CURL *handle = http_transfer_handle(transfer);
	CURLMcode code;

	curl_easy_setopt(handle, CURLOPT_PRIVATE, transfer);
	code = curl_multi_add_handle(pool->multi, handle);
	if (code != CURLM_OK)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR),
						errmsg("could not start a transfer: %s", curl_multi_strerror(code))));
}

/* Milliseconds until libcurl wants to be called, at most so many. */
static long
loop_timeout(HttpLoop *loop, long longest)
{
	int64 now = monotonic_now();
	int64 timeout = longest;
	ListCell *cell;

	foreach(cell, loop->pools)
	{
		HttpPool *pool = lfirst(cell);

		if (pool != NULL && pool->timer_set && pool->timer - now < timeout)
			timeout = pool->timer - now;
	}
	foreach(cell, loop->watches)
		timeout = Min(timeout, ((LoopWatch *) lfirst(cell))->deadline - now);
	return timeout < 0 ? 0 : (long) timeout; /* a negative one would wait for ever */
}

/* Serve the sockets that are ready. */
static void
loop_serve(HttpLoop *loop)
{
	struct epoll_event events[LOOP_EVENTS];
	int count = epoll_wait(loop->epoll, events, LOOP_EVENTS, 0);

	for (int i = 0; i < count; i++)
	{
		int number = events[i].data.u64 >> 32;
		LoopWatch *watch =
			number == NO_POOL ? loop_find_watch(loop, (uint32) events[i].data.u64) : NULL;
		HttpPool *pool = number == NO_POOL ? NULL : list_nth(loop->pools, number);
		int what = 0;

		if (watch != NULL)
			watch->ready(watch);
		if (pool == NULL)
			continue;
		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		pool_drive(pool, (curl_socket_t) (uint32) events[i].data.u64, what);
	}
}

/* Let libcurl do what is due by its clocks, and take what has ended. */
static void
loop_turn(HttpLoop *loop)
{
	ListCell *cell;

	foreach(cell, loop->pools)
	{
		HttpPool *pool = lfirst(cell);

		if (pool == NULL)
			continue;
		if (pool->timer_set && monotonic_now() >= pool->timer)
		{
			pool->timer_set = false;
			pool_drive(pool, CURL_SOCKET_TIMEOUT, 0);
		}
		pool_collect(pool);
	}
	foreach(cell, list_copy(loop->watches))
	{
		LoopWatch *watch = lfirst(cell);

		if (list_member_ptr(loop->watches, watch) && monotonic_now() >= watch->deadline)
			watch->ready(watch);
	}
}

/* Wait once, at most so many milliseconds, for the latch, the sockets or a timer, and do what is due. */
void
loop_wait(HttpLoop *loop, long timeout)
{
	static uint32 wait_event = 0;
	int events;

	CHECK_FOR_INTERRUPTS();
	wait_event_named("CanopySummitHttp", &wait_event);
	events = WaitLatchOrSocket(MyLatch,
							   WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							   loop->epoll, loop_timeout(loop, timeout), wait_event);
	if (events & WL_LATCH_SET)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	if (events & WL_SOCKET_READABLE)
		loop_serve(loop);
	loop_turn(loop);
}

/* End the loop before its memory context does. */
void
loop_destroy(HttpLoop *loop)
{
	loop_free(loop);
}
