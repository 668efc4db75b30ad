/*
 * http.h
 *	  One HTTPS transfer, and the loop that drives transfers.
 */
#ifndef CANOPY_SUMMIT_HTTP_H
#define CANOPY_SUMMIT_HTTP_H

#include "canopy_summit.h"

/* How a transfer ended, short of its status. */
typedef enum HttpOutcome
{
	HTTP_COMPLETE, /* a whole response came; see its status */
	HTTP_NOT_RESOLVED,
	HTTP_NOT_CONNECTED,
	HTTP_ADDRESS_REFUSED, /* the host has only private addresses */
	HTTP_NOT_TRUSTED,     /* TLS or certificate */
	HTTP_TIMED_OUT,
	HTTP_BROKEN, /* reset, truncated or garbled */
	HTTP_TOO_LARGE,
	HTTP_NO_RESOURCES /* memory or descriptors ran out here */
} HttpOutcome;

typedef struct HttpRequest
{
	const char *method;
	const char *url;  /* https, everything encoded */
	List *headers;    /* of char *, "Name: value" */
	const char *body; /* NULL = none */
	size_t body_len;
	const char *ca_file; /* a CA to trust besides the system's; NULL = none */
	bool allow_private_addresses;
	int connect_timeout; /* ms */
	int timeout;         /* ms */
	size_t max_size;     /* bytes of content, after decompression */
} HttpRequest;

typedef struct HttpResponse
{
	HttpOutcome outcome;
	const char *reason;       /* libcurl's words, for a detail line */
	int status;               /* 0 = none came */
	const char *content_type; /* NULL = none */
	const char *location;     /* of a redirect, absolute; NULL = none */
	long retry_after;         /* seconds; 0 = none */
	const char *body;         /* followed by a zero byte */
	size_t body_len;
} HttpResponse;

/* address.c */
struct sockaddr;
extern bool address_is_public(const struct sockaddr *address);

/* http.c */
typedef struct HttpTransfer HttpTransfer;

extern HttpTransfer *http_start(const HttpRequest *request);
extern HttpResponse *http_perform(const HttpRequest *request);
extern char *http_url_host(const char *url);

/* http.c, for loop.c: the libcurl handle, and what happened to it */
extern void *http_transfer_handle(HttpTransfer *transfer);
extern void http_transfer_finish(HttpTransfer *transfer, int code);

/* loop.c */
typedef struct HttpLoop HttpLoop;

extern HttpLoop *loop_create(void);
extern void loop_add(HttpLoop *loop, HttpTransfer *transfer);
extern void loop_wait(HttpLoop *loop);
extern void loop_destroy(HttpLoop *loop);

#endif /* CANOPY_SUMMIT_HTTP_H */
