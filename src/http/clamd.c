/*
 * clamd.c
 *	  Bytes shown to ClamAV's daemon, by INSTREAM over its local socket (clamd(8)).
 *
 * The bytes go as one chunk: the command, the chunk's length, the chunk, and a
 * length of 0.  The answer ends with a zero byte.  A daemon that finds the chunk
 * too long answers without reading it, so that writing may fail although there is
 * an answer.  Nothing here raises an error once a scan has begun: a scanner that
 * does not do what it should gives no verdict.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/guc.h"

#include "base/clock.h"
#include "http/clamd.h"
#include "http/loop.h"
#include "http/socket.h"

#define COMMAND       "zINSTREAM" /* with its zero byte */
#define ANSWER_MAX    1000        /* bytes; names of viruses are short */
#define SIGNATURE_MAX 200         /* bytes of a virus's name that are kept */

/* What is sent before and after the bytes. */
typedef struct ScanHead
{
	char command[sizeof(COMMAND)];
	uint32 len; /* of the chunk, big-endian */
} __attribute__((packed)) ScanHead;

typedef struct ScanState
{
	LoopWatch watch; /* first */
	VirusScan scan;
	HttpLoop *loop; /* NULL = nothing is watched any more */
	ScanHead head;
	const char *bytes;
	size_t len;
	size_t sent; /* of head, bytes and tail together */
	char answer[ANSWER_MAX];
	int answer_len;
	ScanDone done;
	void *argument;
	MemoryContextCallback callback;
} ScanState;

char *setting_clamd_socket;

/* Check hook: a path that a local socket can have. */
static bool
check_socket(char **value, void **extra, GucSource source)
{
	if (**value == '\0' ||
		(is_absolute_path(*value) && strlen(*value) < sizeof(((struct sockaddr_un *) 0)->sun_path)))
		return true;
	GUC_check_errdetail("It must be an absolute path of less than %zu bytes, or empty.",
						sizeof(((struct sockaddr_un *) 0)->sun_path));
	return false;
}

/* Which scanner there is. */
void
clamd_settings(void)
{
	DefineCustomStringVariable("canopy_summit.clamd_socket",
							   "Local socket of ClamAV's daemon, which scans documents.",
							   "Empty: documents are not scanned.", &setting_clamd_socket, "",
							   PGC_SIGHUP, 0, check_socket, NULL, NULL);
}

/* Whether there is a scanner to ask. */
bool
clamd_is_set(void)
{
	return *setting_clamd_socket != '\0';
}

/* A socket that is connected to the daemon; -1 with *problem set if there is none. */
static int
clamd_connect(const char **problem)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	bool is_exhausted = false;
	int fd = socket_open(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, &is_exhausted);

	if (fd < 0)
	{
		*problem = is_exhausted ? "no descriptor is left for the virus scanner"
								: psprintf("no socket for the virus scanner: %m");
		return -1;
	}
	strlcpy(address.sun_path, setting_clamd_socket, sizeof(address.sun_path));
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
		return fd;
	*problem = errno == EAGAIN ? "the virus scanner is busy"
							   : psprintf("the virus scanner at \"%s\" does not listen: %m",
										  setting_clamd_socket);
	socket_close(fd);
	return -1;
}

/* Why nothing can be scanned now, for a message; NULL if the scanner listens, or there is none to ask. */
const char *
clamd_problem(void)
{
	const char *problem = NULL;
	int fd;

	if (!clamd_is_set())
		return NULL;
	fd = clamd_connect(&problem);
	if (fd >= 0)
		socket_close(fd);
	return problem;
}

/* End what is watched; also the memory context's callback. */
static void
scan_release(void *argument)
{
	ScanState *state = argument;

	if (state->loop == NULL)
		return;
	loop_unwatch(state->loop, &state->watch);
	state->loop = NULL;
	socket_close(state->watch.fd);
}

/* End the scan with a verdict. */
static void
scan_end(ScanState *state, ScanVerdict verdict, const char *problem)
{
	scan_release(state);
	state->scan.verdict = verdict;
	state->scan.problem = problem;
	state->done(&state->scan, state->argument);
}

/* Whether the answer ends with this. */
static bool
answer_ends(const ScanState *state, const char *end)
{
	int len = strlen(end);

	return state->answer_len >= len &&
		   memcmp(state->answer + state->answer_len - len, end, len) == 0;
}

/* The name of the virus in "stream: NAME FOUND", kept beside the answer; what is not printable becomes "?". */
static const char *
answer_signature(ScanState *state)
{
	static const char prefix[] = "stream: ";
	char *name = state->answer + strlen(prefix);

	state->answer[state->answer_len - strlen(" FOUND")] = '\0';
	if (strlen(name) > SIGNATURE_MAX)
		name[SIGNATURE_MAX] = '\0';
	for (char *c = name; *c; c++)
		if (!isgraph((unsigned char) *c) || (unsigned char) *c > 0x7e)
			*c = '?';
	return name;
}

/* Read the verdict in a whole answer. */
static void
scan_judge(ScanState *state)
{
	bool is_of_stream = state->answer_len > 8 && memcmp(state->answer, "stream: ", 8) == 0;

	if (is_of_stream && state->answer_len == 10 && answer_ends(state, "OK"))
		scan_end(state, SCAN_CLEAN, NULL);
	else if (is_of_stream && answer_ends(state, " FOUND"))
	{
		state->scan.signature = answer_signature(state);
		scan_end(state, SCAN_INFESTED, NULL);
	}
	else if (answer_ends(state, "size limit exceeded. ERROR"))
		scan_end(state, SCAN_TOO_LARGE, NULL);
	else
		scan_end(state, SCAN_FAILED, "the virus scanner answered what it should not");
}

/* Take what there is of the answer; true if the scan has ended by it. */
static bool
scan_receive(ScanState *state)
{
	for (;;)
	{
		ssize_t len = recv(state->watch.fd, state->answer + state->answer_len,
						   ANSWER_MAX - state->answer_len, MSG_DONTWAIT);
		char *end;

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return false;
		if (len <= 0)
		{
			scan_end(state, SCAN_FAILED, "the virus scanner ended the connection");
			return true;
		}
		end = memchr(state->answer + state->answer_len, '\0', len);
		state->answer_len = end ? end - state->answer : state->answer_len + len;
		if (end != NULL || state->answer_len == ANSWER_MAX)
		{
			if (end != NULL)
				scan_judge(state);
			else
				scan_end(state, SCAN_FAILED, "the virus scanner answered what it should not");
			return true;
		}
	}
}

/* What is left of a part that begins at an offset of what is sent. */
static struct iovec
part_left(const ScanState *state, const void *part, size_t len, size_t offset)
{
	size_t skipped = state->sent <= offset ? 0 : Min(state->sent - offset, len);

	return (struct iovec){.iov_base = unconstify(char *, (const char *) part) + skipped,
						  .iov_len = len - skipped};
}

/* Send what the socket takes; false if it takes no more for good. */
static bool
scan_send(ScanState *state)
{
	static const uint32 tail = 0;
	size_t head_len = sizeof(ScanHead);
	size_t whole = head_len + state->len + sizeof(tail);

	while (state->sent < whole)
	{
		struct iovec parts[] = {
			part_left(state, &state->head, head_len, 0),
			part_left(state, state->bytes, state->len, head_len),
			part_left(state, &tail, sizeof(tail), head_len + state->len),
		};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = lengthof(parts)};
		ssize_t len = sendmsg(state->watch.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		state->sent += len;
	}
	loop_watch(state->loop, &state->watch, false);
	return true;
}

/* The loop's callback: go on, or give up. */
static void
scan_ready(LoopWatch *watch)
{
	ScanState *state = (ScanState *) watch;

	if (scan_receive(state))
		return;
	if (monotonic_now() >= watch->deadline)
		scan_end(state, SCAN_FAILED, "the virus scanner gave no answer in time");
	else if (!scan_send(state) && !scan_receive(state))
		scan_end(state, SCAN_FAILED, "the virus scanner ended the connection");
}

/*
 * Have the scanner look at bytes, which stay where they are meanwhile; at most so
 * many milliseconds.  The scan is in the current memory context, which ends it.
 */
VirusScan *
scan_start(HttpLoop *loop, const char *bytes, size_t len, int timeout, ScanDone done,
		   void *argument)
{
	ScanState *state = palloc0(sizeof(ScanState));
	const char *problem;

	state->bytes = bytes;
	state->len = len;
	state->done = done;
	state->argument = argument;
	memcpy(state->head.command, COMMAND, sizeof(COMMAND));
	state->head.len = htonl((uint32) len);
	state->watch = (LoopWatch){.deadline = monotonic_now() + timeout, .ready = scan_ready};
	state->callback = (MemoryContextCallback){.func = scan_release, .arg = state};
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &state->callback);
	state->watch.fd = clamd_connect(&problem);
	if (state->watch.fd < 0)
	{
		scan_end(state, SCAN_FAILED, problem);
		return &state->scan;
	}
	state->loop = loop;
	loop_watch(loop, &state->watch, true);
	return &state->scan;
}

static void
scan_nobody_waits(VirusScan *scan, void *argument)
{
}

/* The same, waited for, deaf to nothing: the errors of http_perform()'s wait. */
VirusScan *
scan_perform(const char *bytes, size_t len, int timeout)
{
	HttpLoop *loop = loop_create();
	VirusScan *scan = scan_start(loop, bytes, len, timeout, scan_nobody_waits, NULL);

	while (scan->verdict == SCAN_PENDING)
		loop_wait(loop, LOOP_LONGEST_WAIT);
	loop_destroy(loop);
	return scan;
}
