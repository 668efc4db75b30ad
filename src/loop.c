/*
 * loop.c
 *	  Many transfers, one wait.
 *
 * libcurl's sockets are in an epoll descriptor of the loop's own, which is
 * waited on beside the process latch.  Threads that libcurl starts for name
 * look-ups inherit a mask with every signal blocked, so PostgreSQL's handlers
 * run in the backend's thread only.
 */
#include "http.h"

#include <curl/curl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#define LOOP_EVENTS 64 /* sockets served by one wake-up */

struct HttpLoop
{
	CURLM *multi;
	int epoll; /* -1 = none */
	bool timer_set;
	int64 timer; /* when libcurl wants to be called; monotonic ms */
	MemoryContextCallback callback;
};

/* Milliseconds of a clock that nobody sets. */
static int64
monotonic_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Free what the loop holds; also the memory context's callback. */
static void
loop_free(void *argument)
{
	HttpLoop *loop = argument;

	if (loop->multi)
		curl_multi_cleanup(loop->multi);
	loop->multi = NULL;
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
	HttpLoop *loop = argument;
	struct epoll_event event = {.data.fd = fd};

	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) != 0 &&
		epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		return -1;
	return 0;
}

/* libcurl callback: when to call it again. */
static int
on_timer(CURLM *multi, long timeout, void *argument)
{
	HttpLoop *loop = argument;

	loop->timer_set = timeout >= 0;
	if (loop->timer_set)
		loop->timer = monotonic_now() + timeout;
	return 0;
}

/* A loop in the current memory context, which frees it with everything in it. */
HttpLoop *
loop_create(void)
{
	HttpLoop *loop = palloc0(sizeof(HttpLoop));

	loop->epoll = -1;
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
	loop->multi = curl_multi_init();
	if (loop->multi == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
	curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
	return loop;
}

/* Let libcurl work on a socket, or on what is due; errors surface in the transfers. */
static void
loop_drive(HttpLoop *loop, curl_socket_t fd, int events)
{
	sigset_t all;
	sigset_t before;
	int running;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	curl_multi_socket_action(loop->multi, fd, events, &running);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Tell the transfers that have ended. */
static void
loop_collect(HttpLoop *loop)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(loop->multi, &left)) != NULL)
	{
		CURL *handle = message->easy_handle;
		CURLcode code = message->data.result;
		void *transfer;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(handle, CURLINFO_PRIVATE, &transfer);
		curl_multi_remove_handle(loop->multi, handle);
		http_transfer_finish(transfer, code);
	}
}

/* Start a transfer in the loop. */
void
loop_add(HttpLoop *loop, HttpTransfer *transfer)
{
	CURL *handle = http_transfer_handle(transfer);
	CURLMcode code;

	curl_easy_setopt(handle, CURLOPT_PRIVATE, transfer);
	code = curl_multi_add_handle(loop->multi, handle);
	if (code != CURLM_OK)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR),
						errmsg("could not start a transfer: %s", curl_multi_strerror(code))));
}

/* Milliseconds until libcurl wants to be called, at most a minute. */
static long
loop_timeout(HttpLoop *loop)
{
	int64 left;

	if (!loop->timer_set)
		return 60 * 1000;
	left = loop->timer - monotonic_now(); /* once: a negative timeout would wait for ever */
	return (long) Max(0, Min(60 * 1000, left));
}

/* Serve the sockets that are ready. */
static void
loop_serve(HttpLoop *loop)
{
	struct epoll_event events[LOOP_EVENTS];
	int count = epoll_wait(loop->epoll, events, LOOP_EVENTS, 0);

	for (int i = 0; i < count; i++)
	{
		int what = 0;

		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		loop_drive(loop, events[i].data.fd, what);
	}
}

/* The wait event that pg_stat_activity shows; PostgreSQL before 17 knows no names for extensions'. */
static uint32
loop_wait_event(void)
{
#if PG_VERSION_NUM >= 170000
	static uint32 event = 0;

	if (event == 0)
		event = WaitEventExtensionNew("CanopySummitHttp");
	return event;
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* Wait once for the latch, the sockets or the timer, and do what is due. */
void
loop_wait(HttpLoop *loop)
{
	int events;

	CHECK_FOR_INTERRUPTS();
	events = WaitLatchOrSocket(MyLatch,
							   WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							   loop->epoll, loop_timeout(loop), loop_wait_event());
	if (events & WL_LATCH_SET)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	if (events & WL_SOCKET_READABLE)
		loop_serve(loop);
	if (loop->timer_set && monotonic_now() >= loop->timer)
	{
		loop->timer_set = false;
		loop_drive(loop, CURL_SOCKET_TIMEOUT, 0);
	}
	loop_collect(loop);
}

/* End the loop before its memory context does. */
void
loop_destroy(HttpLoop *loop)
{
	loop_free(loop);
}
