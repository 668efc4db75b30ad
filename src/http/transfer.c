/*
 * transfer.c
 *	  One HTTPS transfer: its libcurl options, callbacks, caps and outcome.
 *
 * Every handle belongs to a memory context from the moment it exists.  Code
 * that libcurl calls neither raises errors nor allocates from a context; it
 * sets a flag and returns.  No redirect is followed, no proxy, netrc or cookie
 * is read, and nothing turns certificate checks off.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include "nodes/pg_list.h"

#include "base/place.h"
#include "http/address.h"
#include "http/socket.h"
#include "http/transfer.h"

#define HTTP_MAX_HEADER_BYTES 65536    /* of all headers of a response */
#define HTTP_SLOW_BYTES       1024     /* a second, over half of the total timeout */
#define HTTP_TRUSTED_LENGTH   1048576  /* bytes that are reserved because a head announces them */
#define CURL_MINIMUM          0x075700 /* 7.87.0: CURLOPT_QUICK_EXIT */
#define HTTP_LAST_DATE        INT64CONST(253402300799) /* of a year of four digits */

struct HttpTransfer
{
	CURL *
		handle; /* never used twice: libcurl keeps TLS sessions in it, which skip the check of trust */
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	char *body; /* malloc: libcurl's callbacks fill it */
	size_t body_len;
	size_t body_size;
	size_t header_len;
	bool head_complete; /* the empty line after the headers came */
	size_t max_size;
	const char *ca_file;
	bool allow_private_addresses;
	bool address_refused;
	bool too_large;
	bool out_of_resources;
	void *tag;
	HttpResponse response;
};

/* Check the library once a process, after fork: the postmaster must stay single-threaded. */
static void
http_initialize(void)
{
	static bool initialized = false;
	const curl_version_info_data *version;

	if (initialized)
		return;
	unsetenv("SSLKEYLOGFILE"); /* libcurl would write session keys there */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("could not initialize libcurl")));
	version = curl_version_info(CURLVERSION_NOW);
	if (version->version_num < CURL_MINIMUM || (version->features & CURL_VERSION_ASYNCHDNS) == 0 ||
		version->ssl_version == NULL || strncmp(version->ssl_version, "OpenSSL", 7) != 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("libcurl %s with %s is not supported", version->version,
					version->ssl_version ? version->ssl_version : "no TLS"),
			 errhint(
				 "Install libcurl 7.87 or newer, built with OpenSSL and an asynchronous resolver.")));
	initialized = true;
}

/* Memory context callback: free everything that libcurl or malloc gave. */
static void
transfer_free(void *argument)
{
	HttpTransfer *transfer = argument;

	if (transfer->handle)
		curl_easy_cleanup(transfer->handle);
	curl_slist_free_all(transfer->headers);
	free(transfer->body);
	*transfer = (HttpTransfer){0};
}

/* Room for the content that the head announces, if that is not too much to be taken at its word. */
static size_t
body_announced(HttpTransfer *transfer)
{
	curl_off_t length = -1;

	(void) curl_easy_getinfo(transfer->handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	return length > 0 && length <= Min(transfer->max_size, HTTP_TRUSTED_LENGTH)
			   ? (size_t) length + 1
			   : 0;
}

/* libcurl callback: keep content up to the cap. */
static size_t
on_content(char *bytes, size_t size, size_t count, void *argument)
{
	HttpTransfer *transfer = argument;
	size_t len = size * count;

	if (transfer->body_len + len > transfer->max_size)
	{
		transfer->too_large = true;
		return 0;
	}
	if (transfer->body_len + len + 1 > transfer->body_size)
	{
		size_t wanted =
			Max(transfer->body_size ? transfer->body_size * 2 : body_announced(transfer),
				transfer->body_len + len + 1);
		char *grown = realloc(transfer->body, wanted);

		if (grown == NULL)
		{
			transfer->out_of_resources = true;
			return 0;
		}
		transfer->body = grown;
		transfer->body_size = wanted;
	}
	memcpy(transfer->body + transfer->body_len, bytes, len);
	transfer->body_len += len;
	transfer->body[transfer->body_len] = '\0';
	return len;
}

/* libcurl callback: count header bytes up to the cap. */
static size_t
on_header(char *bytes, size_t size, size_t count, void *argument)
{
	HttpTransfer *transfer = argument;

	if (size * count == 0)
		return 0;
	transfer->header_len += size * count;
	if (transfer->header_len > HTTP_MAX_HEADER_BYTES)
	{
		transfer->too_large = true;
		return 0;
	}
	if (size * count >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
		transfer->head_complete = false; /* interim answers have a head too */
	else if (bytes[0] == '\r' || bytes[0] == '\n')
		transfer->head_complete = true;
	return size * count;
}

/* libcurl callback: a socket for this very address, if requests may go there. */
static curl_socket_t
on_open_socket(void *argument, curlsocktype purpose, struct curl_sockaddr *address)
{
	HttpTransfer *transfer = argument;
	int fd;

	if (!transfer->allow_private_addresses && !address_is_public(&address->addr))
	{
		transfer->address_refused = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket_open(address->family, address->socktype, address->protocol,
					 &transfer->out_of_resources);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* libcurl callback: close a socket; the transfer that opened it may be gone. */
static int
on_close_socket(void *argument, curl_socket_t fd)
{
	return socket_close(fd);
}

/* libcurl callback: trust the server's own CA besides the system's. */
static CURLcode
on_tls_context(CURL *handle, void *context, void *argument)
{
	HttpTransfer *transfer = argument;

	return SSL_CTX_load_verify_locations(context, transfer->ca_file, NULL) == 1
			   ? CURLE_OK
			   : CURLE_SSL_CACERT_BADFILE;
}

/* Set an option, or raise an error; only a library without the option or memory fails here. */
#define SET(handle, option, value)                                                                \
	do                                                                                            \
	{                                                                                             \
		CURLcode set_ = curl_easy_setopt(handle, option, value);                                  \
		if (set_ != CURLE_OK)                                                                     \
			ereport(ERROR,                                                                        \
					(errcode(ERRCODE_SYSTEM_ERROR), errmsg("could not set libcurl option %s: %s", \
														   #option, curl_easy_strerror(set_))));  \
	} while (0)

/* libcurl callback: a connection is there, and the request goes out. */
static int
on_send(void *argument, char *remote_address, char *local_address, int remote_port, int local_port)
{
	((HttpTransfer *) argument)->response.sends++;
	return CURL_PREREQFUNC_OK;
}

/* What holds for every transfer, whatever it asks for. */
static void
set_safety(HttpTransfer *transfer)
{
	CURL *handle = transfer->handle;

	SET(handle, CURLOPT_PROTOCOLS_STR, "https");
	SET(handle, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	SET(handle, CURLOPT_FOLLOWLOCATION, 0L);
	SET(handle, CURLOPT_MAXREDIRS, 0L);
	SET(handle, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(handle, CURLOPT_SSL_VERIFYHOST, 2L);
	SET(handle, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	/* A hashed directory is searched for what is needed; a bundle would be parsed for every call. */
	if (curl_version_info(CURLVERSION_NOW)->capath != NULL)
		SET(handle, CURLOPT_CAINFO, NULL);
	SET(handle, CURLOPT_PROXY, "");
	SET(handle, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(handle, CURLOPT_UNRESTRICTED_AUTH, 0L);
	SET(handle, CURLOPT_NOSIGNAL, 1L);
	SET(handle, CURLOPT_QUICK_EXIT, 1L);
	SET(handle, CURLOPT_PATH_AS_IS, 1L);
	SET(handle, CURLOPT_MAXLIFETIME_CONN, 300L);
	SET(handle, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(handle, CURLOPT_OPENSOCKETDATA, transfer);
	SET(handle, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	SET(handle, CURLOPT_WRITEFUNCTION, on_content);
	SET(handle, CURLOPT_WRITEDATA, transfer);
	SET(handle, CURLOPT_HEADERFUNCTION, on_header);
	SET(handle, CURLOPT_HEADERDATA, transfer);
	SET(handle, CURLOPT_PREREQFUNCTION, on_send);
	SET(handle, CURLOPT_PREREQDATA, transfer);
	SET(handle, CURLOPT_ERRORBUFFER, transfer->error);
	SET(handle, CURLOPT_ACCEPT_ENCODING, "gzip");
	SET(handle, CURLOPT_USERAGENT, "canopy_summit");
	if (transfer->ca_file)
	{
		SET(handle, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
		SET(handle, CURLOPT_SSL_CTX_DATA, transfer);
	}
}

/* Add one header; its value must be free of control bytes. */
static void
add_header(HttpTransfer *transfer, const char *header)
{
	struct curl_slist *longer;

	for (const char *c = header; *c; c++)
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a header value has a control character"),
					 errhint(
						 "Check the parameters that are sent as headers, and the credentials.")));
	longer = curl_slist_append(transfer->headers, header);
	if (longer == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	transfer->headers = longer;
}

/* What this transfer asks for. */
static void
set_request(HttpTransfer *transfer, const HttpRequest *request)
{
	CURL *handle = transfer->handle;
	ListCell *cell;

	SET(handle, CURLOPT_URL, request->url);
	SET(handle, CURLOPT_CONNECTTIMEOUT_MS, (long) request->connect_timeout);
	SET(handle, CURLOPT_TIMEOUT_MS, (long) request->timeout);
	SET(handle, CURLOPT_LOW_SPEED_LIMIT, (long) HTTP_SLOW_BYTES);
	SET(handle, CURLOPT_LOW_SPEED_TIME, (long) Max(1, request->timeout / 2000));
	if (request->body != NULL || strcmp(request->method, "GET") != 0)
	{
		SET(handle, CURLOPT_POST, 1L);
		SET(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_len);
		SET(handle, CURLOPT_COPYPOSTFIELDS, request->body ? request->body : "");
		SET(handle, CURLOPT_CUSTOMREQUEST, request->method);
	}
	if (request->body == NULL)
		add_header(transfer, "Content-Type:"); /* libcurl would say it is a form */
	foreach(cell, request->headers)
		add_header(transfer, lfirst(cell));
	add_header(transfer, "Expect:");
	SET(handle, CURLOPT_HTTPHEADER, transfer->headers);
	if (request->once)
	{
		/* A reused connection that turns out to be dead makes libcurl send again. */
		SET(handle, CURLOPT_FRESH_CONNECT, 1L);
		SET(handle, CURLOPT_FORBID_REUSE, 1L);
	}
	/* libcurl from 8.14 on has waited in vain for a connection that then was not shared. */
	SET(handle, CURLOPT_PIPEWAIT, request->multiplexed ? 1L : 0L);
}

/* Refuse a CA file by what it is; whether it holds certificates is found out by TLS.  Error: F0000. */
static void
ca_file_check_access(const char *ca_file)
{
	if (access(ca_file, R_OK) != 0)
		ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
						errmsg("could not read ca_file \"%s\": %m", ca_file),
						errhint("The file must exist and be readable by the server's user.")));
	place_check("ca_file", ca_file, -1);
}

/* The same, and by what it holds.  Error: F0000. */
void
http_check_ca_file(const char *ca_file)
{
	X509_STORE *store;
	bool is_good;

	ca_file_check_access(ca_file);
	store = X509_STORE_new();
	is_good = store != NULL && X509_STORE_load_locations(store, ca_file, NULL) == 1;
	X509_STORE_free(store);
	ERR_clear_error();
	if (!is_good)
		ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
						errmsg("cannot use ca_file \"%s\": it holds no certificate", ca_file),
						errhint("Use a file of certificates in PEM format.")));
}

/*
 * A transfer in the current memory context, which frees it; a loop drives it.
 * Errors: 0A000 libcurl is unfit, F0000 the CA file cannot be read, 22023 a
 * header value has a control character.
 */
HttpTransfer *
http_start(const HttpRequest *request)
{
	HttpTransfer *transfer;
	MemoryContextCallback *callback;

	http_initialize();
	if (request->ca_file != NULL)
		ca_file_check_access(request->ca_file);
	transfer = palloc0(sizeof(HttpTransfer));
	callback = palloc0(sizeof(MemoryContextCallback));
	callback->func = transfer_free;
	callback->arg = transfer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	transfer->handle = curl_easy_init();
	if (transfer->handle == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	transfer->max_size = request->max_size;
	transfer->ca_file = request->ca_file ? pstrdup(request->ca_file) : NULL;
	transfer->tag = request->tag;
	transfer->allow_private_addresses = request->allow_private_addresses;
	set_safety(transfer);
	set_request(transfer, request);
	return transfer;
}

void *
http_transfer_handle(HttpTransfer *transfer)
{
	return transfer->handle;
}

void *
http_transfer_tag(HttpTransfer *transfer)
{
	return transfer->tag;
}

/* What came of a transfer that loop_next_finished() gave; lives as long as the transfer. */
HttpResponse *
http_transfer_response(HttpTransfer *transfer)
{
	return &transfer->response;
}

/* How far a finished transfer got, when, and how much of it there was. */
static void
response_measure(HttpResponse *response, CURL *handle)
{
	curl_off_t value;
	long number;

	curl_easy_getinfo(handle, CURLINFO_NAMELOOKUP_TIME_T, &value);
	response->times.lookup = value;
	curl_easy_getinfo(handle, CURLINFO_CONNECT_TIME_T, &value);
	response->times.connect = value;
	curl_easy_getinfo(handle, CURLINFO_APPCONNECT_TIME_T, &value);
	response->times.tls = value;
	curl_easy_getinfo(handle, CURLINFO_STARTTRANSFER_TIME_T, &value);
	response->times.first_byte = value;
	curl_easy_getinfo(handle, CURLINFO_TOTAL_TIME_T, &value);
	response->times.total = value;
	curl_easy_getinfo(handle, CURLINFO_REQUEST_SIZE, &number);
	curl_easy_getinfo(handle, CURLINFO_SIZE_UPLOAD_T, &value);
	response->was_sent = number > 0;
	response->sent_bytes = number + value;
	curl_easy_getinfo(handle, CURLINFO_HEADER_SIZE, &number);
	curl_easy_getinfo(handle, CURLINFO_SIZE_DOWNLOAD_T, &value);
	response->received_bytes = number + value;
	curl_easy_getinfo(handle, CURLINFO_HTTP_VERSION, &number);
	response->multiplexed = number >= CURL_HTTP_VERSION_2_0;
}

/* A date of structured fields (RFC 9651), "@" and Unix time; 0 if it is none.  Its parameters mean nothing here. */
static int64
structured_date(const char *value)
{
	char after = value[1 + strspn(value + 1, "0123456789")];

	/* Of what overflows, strtoll() makes the largest number. */
	return after == '\0' || after == ';' ? strtoll(value + 1, NULL, 10) : 0;
}

/* The date that a header of the response has, Unix time; 0 if there is none, or it makes no sense. */
static int64
response_date(CURL *handle, const char *name)
{
	struct curl_header *header;
	int64 date;

	if (curl_easy_header(handle, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return 0;
	date = header->value[0] == '@' ? structured_date(header->value)
								   : curl_getdate(header->value, NULL);
	return date > 0 && date <= HTTP_LAST_DATE ? date : 0;
}

/* libcurl's result as an outcome. */
static HttpOutcome
transfer_outcome(const HttpTransfer *transfer, CURLcode code)
{
	if (transfer->too_large)
		return HTTP_TOO_LARGE;
	if (transfer->out_of_resources)
		return HTTP_NO_RESOURCES;
	switch (code)
	{
		case CURLE_OK:
			return transfer->head_complete ? HTTP_COMPLETE : HTTP_BROKEN;
		case CURLE_COULDNT_RESOLVE_HOST:
			return HTTP_NOT_RESOLVED;
		case CURLE_COULDNT_CONNECT:
			return transfer->address_refused ? HTTP_ADDRESS_REFUSED : HTTP_NOT_CONNECTED;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_ISSUER_ERROR:
			return HTTP_NOT_TRUSTED;
		case CURLE_OUT_OF_MEMORY: /* what libcurl before 8.6 says of a header above its own cap */
#if LIBCURL_VERSION_NUM >= 0x080600
		case CURLE_TOO_LARGE:
#endif
			return HTTP_TOO_LARGE;
		case CURLE_OPERATION_TIMEDOUT:
			return HTTP_TIMED_OUT;
		default:
			return HTTP_BROKEN;
	}
}

/* Called by the loop, outside libcurl, when the transfer has ended with a CURLcode. */
void
http_transfer_finish(HttpTransfer *transfer, int code)
{
	HttpResponse *response = &transfer->response;
	curl_off_t retry_after = 0;
	long status = 0;
	char *text = NULL;

	response->outcome = transfer_outcome(transfer, code);
	response->reason = transfer->error[0] ? transfer->error : curl_easy_strerror(code);
	curl_easy_getinfo(transfer->handle, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(transfer->handle, CURLINFO_RETRY_AFTER, &retry_after);
	response->status = (int) status;
	response->has_head = transfer->head_complete;
	response->retry_after = (long) Min(retry_after, 10 * 365 * 86400);
	response->date = response_date(transfer->handle, "Date");
	response->deprecated_at = response_date(transfer->handle, "Deprecation");
	response->sunset_at = response_date(transfer->handle, "Sunset");
	if (curl_easy_getinfo(transfer->handle, CURLINFO_CONTENT_TYPE, &text) == CURLE_OK)
		response->content_type = text;
	text = NULL;
	if (curl_easy_getinfo(transfer->handle, CURLINFO_REDIRECT_URL, &text) == CURLE_OK)
		response->location = text;
	response->body = transfer->body ? transfer->body : "";
	response->body_len = transfer->body_len;
	response_measure(response, transfer->handle);
}
