/*
 * listener.h
 *	  HTTP for the receiver: complete requests come out, answers go in.
 */
#ifndef CANOPY_SUMMIT_RECEIVER_LISTENER_H
#define CANOPY_SUMMIT_RECEIVER_LISTENER_H

#include "postgres.h"

#include "lib/ilist.h"
#include "utils/timestamp.h"

#include "receiver/route.h"
#include "receiver/socket.h"

/* How a request is answered. */
typedef enum HttpAnswer
{
	ANSWER_STORED,
	ANSWER_QUARANTINED,
	ANSWER_CONFLICT,
	ANSWER_DUPLICATE,
	ANSWER_BAD_SIGNATURE,
	ANSWER_TOO_LARGE,
	ANSWER_ENCODED,
	ANSWER_NOT_FOUND,
	ANSWER_HEALTHY,
	ANSWER_UNAVAILABLE, /* not now: the sender shall try again */
	ANSWER_BAD_REQUEST,
	ANSWER_NO_LENGTH,
	ANSWER_NO_PATH,
	ANSWER_POST_ONLY,
	ANSWER_GET_ONLY,
	ANSWER_COUNT
} HttpAnswer;

/* A complete request that waits for listener_answer(). */
typedef struct Arrival
{
	dlist_node node;
	const Route *route;
	char name[NAMEDATALEN]; /* in its path */
	const char *headers;    /* "name\0value\0name\0value\0" */
	size_t headers_len;
	const char *body;
	size_t body_len;
	TimestampTz received_at;
} Arrival;

typedef struct Listener Listener;

extern Listener *listener_open(const ListenerPlan *plan);
extern int listener_descriptor(const Listener *listener);
extern long listener_timeout(Listener *listener, long longest);
extern void listener_run(Listener *listener);
extern Arrival *listener_take(Listener *listener);
extern void listener_answer(Listener *listener, Arrival *arrival, HttpAnswer answer);
extern void listener_cut_slow(Listener *listener);
extern bool listener_is_sending(const Listener *listener);
extern void listener_quiesce(Listener *listener);
extern void listener_close(Listener *listener);

#endif /* CANOPY_SUMMIT_RECEIVER_LISTENER_H */
