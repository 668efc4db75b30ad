/*
 * loop.h
 *	  A loop waits for the transfers of its pools; connections are shared within a
 *	  pool only.
 */
#ifndef CANOPY_SUMMIT_HTTP_LOOP_H
#define CANOPY_SUMMIT_HTTP_LOOP_H

#include "postgres.h"

#include "http/transfer.h"

typedef struct HttpLoop HttpLoop;
typedef struct HttpPool HttpPool;

/* A socket that is not libcurl's. */
typedef struct LoopWatch
{
	int fd;
	int64 deadline; /* monotonic ms */
	/* The socket is ready, or the deadline has come.  May end the watch; raises no error. */
	void (*ready)(struct LoopWatch *watch);
} LoopWatch;

#define LOOP_LONGEST_WAIT (60 * 1000) /* ms */

extern HttpLoop *loop_create(void);
extern HttpPool *loop_pool(HttpLoop *loop, int max_connections);
extern void loop_add(HttpPool *pool, HttpTransfer *transfer);
extern void loop_wait(HttpLoop *loop, long timeout);
extern HttpTransfer *loop_next_finished(HttpLoop *loop);
extern void loop_watch(HttpLoop *loop, LoopWatch *watch, bool to_write);
extern void loop_unwatch(HttpLoop *loop, LoopWatch *watch);
extern void loop_destroy(HttpLoop *loop);

#endif /* CANOPY_SUMMIT_HTTP_LOOP_H */
