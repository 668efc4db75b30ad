/*
 * transfer.h
 *	  One HTTPS transfer.
 */
#ifndef CANOPY_SUMMIT_HTTP_TRANSFER_H
#define CANOPY_SUMMIT_HTTP_TRANSFER_H

#include "postgres.h"

#include "nodes/pg_list.h"

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
	bool multiplexed; /* waits for a connection to share, because the server is known to allow it */
	bool once;        /* never sent a second time, not even by libcurl on its own */
	void *tag;        /* the caller's, given back by http_transfer_tag() */
} HttpRequest;

/* How long a transfer took until each of its stages was over; microseconds, 0 = not reached. */
typedef struct HttpTimes
{
	int64 lookup;
	int64 connect;
	int64 tls;
	int64 first_byte;
	int64 total;
} HttpTimes;

typedef struct HttpResponse
{
	HttpOutcome outcome;
	const char *reason;       /* libcurl's words, for a detail line */
	int status;               /* 0 = none came */
	bool has_head;            /* all of the headers came, whatever became of the content */
	const char *content_type; /* NULL = none */
	const char *location;     /* of a redirect, absolute; NULL = none */
	long retry_after;         /* seconds; 0 = none */
	int64 date;          /* when the server says that it answered, Unix time; 0 = it does not */
	int64 deprecated_at; /* since when what was asked for is (RFC 9745), likewise */
	int64 sunset_at;     /* when what was asked for ends (RFC 8594), likewise */
	const char *body;    /* followed by a zero byte */
	size_t body_len;
	bool was_sent;    /* some of the request may have reached the server */
	int sends;        /* more than one: a reused connection was dead, and libcurl sent again */
	bool multiplexed; /* HTTP/2: one connection carries many requests */
	HttpTimes times;
	int64 sent_bytes; /* head and content */
	int64 received_bytes;
} HttpResponse;

typedef struct HttpTransfer HttpTransfer;

extern void http_check_ca_file(const char *ca_file);
extern HttpTransfer *http_start(const HttpRequest *request);
extern HttpResponse *http_transfer_response(HttpTransfer *transfer);
extern void *http_transfer_tag(HttpTransfer *transfer);

/* For the loop: the libcurl handle, and what happened to it. */
extern void *http_transfer_handle(HttpTransfer *transfer);
extern void http_transfer_finish(HttpTransfer *transfer, int code);

#endif /* CANOPY_SUMMIT_HTTP_TRANSFER_H */
