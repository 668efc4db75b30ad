/*
 * perform.c
 *	  One transfer that the caller waits for.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include "http/loop.h"
#include "http/perform.h"
#include "http/transfer.h"

/*
 * Do one request and wait for its end, deaf to nothing: cancel, timeouts and
 * shutdown raise their errors from here at any stage.  The response lives as
 * long as the current memory context.
 */
HttpResponse *
http_perform(const HttpRequest *request)
{
	HttpTransfer *transfer = http_start(request);
	HttpLoop *loop = loop_create();

	loop_add(loop_pool(loop, 1), transfer);
	while (loop_next_finished(loop) == NULL)
		loop_wait(loop, LOOP_LONGEST_WAIT);
	loop_destroy(loop);
	return http_transfer_response(transfer);
}
