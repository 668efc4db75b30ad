/*
 * stub.c
 *	  A stand-in for a server, as much of one as code under a fuzzer needs.
 *
 * palloc() is malloc(), so that AddressSanitizer sees every byte.  An error goes
 * to the target's PG_TRY(), as in a server; without one it ends the run.  What is
 * not here, no target gets to: a call of it ends the run, too.
 */
#include "stub.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

/* before each allocation */
typedef struct Chunk
{
	struct Chunk *previous;
	struct Chunk *next;
} Chunk;

static Chunk chunks = {&chunks, &chunks};
static char message[1024]; /* of the error that is being raised */
static int sqlstate;

sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;
MemoryContext CurrentMemoryContext = NULL;
volatile sig_atomic_t InterruptPending = false;

static void
chunk_link(Chunk *chunk)
{
	chunk->previous = &chunks;
	chunk->next = chunks.next;
	chunk->next->previous = chunk;
	chunks.next = chunk;
}

static void
chunk_unlink(Chunk *chunk)
{
	chunk->previous->next = chunk->next;
	chunk->next->previous = chunk->previous;
}

void *
palloc(Size size)
{
	Chunk *chunk;

	if (!AllocSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	chunk = malloc(sizeof(Chunk) + size);
	if (chunk == NULL)
		abort();
	chunk_link(chunk);
	return chunk + 1;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
repalloc(void *pointer, Size size)
{
	Chunk *chunk = (Chunk *) pointer - 1;

	if (!AllocSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
	chunk_unlink(chunk);
	chunk = realloc(chunk, sizeof(Chunk) + size);
	if (chunk == NULL)
		abort();
	chunk_link(chunk);
	return chunk + 1;
}

void
pfree(void *pointer)
{
	Chunk *chunk = (Chunk *) pointer - 1;

	chunk_unlink(chunk);
	free(chunk);
}

/* One context is all there is. */
MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size minContextSize,
							  Size initBlockSize, Size maxBlockSize)
{
	return parent;
}

void
MemoryContextDelete(MemoryContext context)
{
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return palloc(size);
}

char *
pnstrdup(const char *string, Size len)
{
	char *copy;

	len = strnlen(string, len);
	copy = palloc(len + 1);
	memcpy(copy, string, len);
	copy[len] = '\0';
	return copy;
}

char *
pstrdup(const char *string)
{
	return pnstrdup(string, strlen(string));
}

void
stub_reset(void)
{
	while (chunks.next != &chunks)
		pfree(chunks.next + 1);
}

void
stub_fail(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	vfprintf(stderr, format, values);
	va_end(values);
	fputc('\n', stderr);
	abort();
}

bool
errstart(int elevel, const char *domain)
{
	return elevel >= ERROR;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	if (PG_exception_stack == NULL)
		stub_fail("error in %s: %s", funcname, message);
	siglongjmp(*PG_exception_stack, 1);
}

int
errcode(int sqlerrcode)
{
	sqlstate = sqlerrcode;
	return 0;
}

#define MESSAGE(function)                                    \
	int function(const char *format, ...)                    \
	{                                                        \
		va_list values;                                      \
                                                             \
		va_start(values, format);                            \
		vsnprintf(message, sizeof(message), format, values); \
		va_end(values);                                      \
		return 0;                                            \
	}

MESSAGE(errmsg)
MESSAGE(errmsg_internal)

int
errdetail(const char *format, ...)
{
	return 0;
}

int
errhint(const char *format, ...)
{
	return 0;
}

int
errdetail_log(const char *format, ...)
{
	return 0;
}

int
errhidestmt(bool hide_stmt)
{
	return 0;
}

int
errhidecontext(bool hide_ctx)
{
	return 0;
}

int
geterrcode(void)
{
	return sqlstate;
}

void
pg_re_throw(void)
{
	errfinish(__FILE__, __LINE__, __func__);
	pg_unreachable();
}

void
FlushErrorState(void)
{
}

void
ProcessInterrupts(void)
{
}

/* Nothing here is compressed or stored elsewhere. */
extern struct varlena *pg_detoast_datum(struct varlena *datum);
struct varlena *
pg_detoast_datum(struct varlena *datum)
{
	return datum;
}

List *
lappend(List *list, void *datum)
{
	int length = list_length(list);
	List *longer = palloc(offsetof(List, initial_elements) + (length + 1) * sizeof(ListCell));

	*longer = (List){.type = T_List, .length = length + 1, .max_length = length + 1};
	longer->elements = longer->initial_elements;
	if (length > 0)
		memcpy(longer->elements, list->elements, length * sizeof(ListCell));
	longer->elements[length].ptr_value = datum;
	return longer;
}
