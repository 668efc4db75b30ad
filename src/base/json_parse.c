/*
 * json_parse.c
 *	  JSON text to jsonb, by PostgreSQL's parser.
 *
 * As jsonb_in() does it, in half of its time if few strings have escapes: members of
 * an object are sorted by pointers, only those of closed containers are copied, once,
 * and strings stay where they are in the text.  The parser does not say where, if it
 * is not to copy them; it says where the token before the present one ended.
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/jsonfuncs.h"
#include "utils/memutils.h"

#include "base/json.h"
#include "base/json_parse.h"
#include "base/number.h"

#if PG_VERSION_NUM >= 160000
#define ACTION JsonParseErrorType
#define DONE   JSON_SUCCESS
#else
#define ACTION void
#define DONE
#endif

/* As jsonb_util.c has them. */
#define MAX_MEMBERS  Min(MaxAllocSize / sizeof(JsonbPair), JB_CMASK)
#define MAX_ELEMENTS Min(MaxAllocSize / sizeof(JsonbValue), JB_CMASK)

#define FIRST_ROOM 64 /* of a stack; doubled when it is full */

/* An array or object that is open: where its own begin on the stack of their kind. */
typedef struct JsonOpen
{
	bool is_object;
	size_t start;
} JsonOpen;

/* What has been read: the children of all containers that are open, outer ones first. */
typedef struct JsonTree
{
	const JsonLexContext *lex;
	JsonLexContext *unescaping; /* of one string after the other; NULL if the text has no escapes */
	JsonRefusal *refusal;
	const char *member; /* not behind the key of the next member; behind all before it */
	const char *value;  /* where the present value begins */
	JsonOpen open[JSON_MAX_DEPTH];
	int open_count;
	JsonbPair *pairs;
	size_t pair_count;
	size_t pair_room;
	JsonbValue *elements;
	size_t element_count;
	size_t element_room;
	JsonbValue root;
	bool is_unfit; /* has a number that no column holds, and is not what the text says */
} JsonTree;

typedef const JsonbPair *Member;

/* Order of jsonb: short keys first; of equal ones the last, which counts. */
static inline int
pair_compare(Member left, Member right)
{
	int difference = left->key.val.string.len - right->key.val.string.len;

	if (difference == 0)
		difference =
			memcmp(left->key.val.string.val, right->key.val.string.val, left->key.val.string.len);
	if (difference == 0)
		difference = left < right ? 1 : -1;
	return difference;
}

#define ST_SORT              sort_pairs
#define ST_ELEMENT_TYPE      Member
#define ST_COMPARE(one, two) pair_compare(*(one), *(two))
#define ST_SCOPE             static
#define ST_DEFINE
#include "lib/sort_template.h"

/* A stack with room for one more. */
static void *
with_room(void *stack, size_t count, size_t *room, size_t width)
{
	if (count < *room)
		return stack;
	*room = *room == 0 ? FIRST_ROOM : *room * 2;
	return stack == NULL ? palloc(*room * width) : repalloc_huge(stack, *room * width);
}

static JsonLexContext *
lex_begin(const char *text, size_t len, bool has_strings)
{
#if PG_VERSION_NUM >= 170000
	return makeJsonLexContextCstringLen(NULL, text, len, GetDatabaseEncoding(), has_strings);
#else
	return makeJsonLexContextCstringLen(unconstify(char *, text), (int) len, GetDatabaseEncoding(),
										has_strings);
#endif
}

/* Refuse one more than jsonb has room for, as its parser does. */
static void
check_limit(size_t count, size_t limit, const char *what)
{
	if (count >= limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("JSON has more %s in one place than jsonb can hold: %zu", what, limit)));
}

/* A string with its quotes, without its escapes. */
static char *
unescape(const JsonTree *tree, const char *quoted, size_t len)
{
	JsonLexContext *lex = tree->unescaping;

	lex->input = lex->token_terminator = lex->line_start = unconstify(char *, quoted);
	lex->input_length = len;
	if (json_lex(lex) != JSON_SUCCESS) /* which cannot be raised alone in all majors */
		pg_parse_json_or_ereport(lex_begin(quoted, len, true), &nullSemAction);
	return pnstrdup(lex->strval->data, lex->strval->len);
}

/* The string whose quotes are at `start` and before `end`. */
static JsonbValue
string_of(const JsonTree *tree, const char *start, const char *end)
{
	JsonbValue value = {.type = jbvString};
	const char *text = start + 1;
	size_t len = end - start - 2;

	if (tree->unescaping != NULL && memchr(text, '\\', len) != NULL)
	{
		text = unescape(tree, start, end - start);
		len = strlen(text);
	}
	check_limit(len, JENTRY_OFFLENMASK, "bytes");
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = (int) len;
	return value;
}

/* Put a value where it belongs: to the key that was read last, behind other elements, or alone. */
static void
tree_put(JsonTree *tree, const JsonbValue *value)
{
	const JsonOpen *open = tree->open_count > 0 ? &tree->open[tree->open_count - 1] : NULL;

	if (open == NULL)
		tree->root = *value;
	else if (open->is_object)
		tree->pairs[tree->pair_count - 1].value = *value;
	else
	{
		check_limit(tree->element_count - open->start, MAX_ELEMENTS, "elements");
		tree->elements =
			with_room(tree->elements, tree->element_count, &tree->element_room, sizeof(JsonbValue));
		tree->elements[tree->element_count++] = *value;
	}
}

static void
tree_open(JsonTree *tree, bool is_object)
{
	if (tree->open_count == JSON_MAX_DEPTH)
	{
		*tree->refusal = JSON_TOO_DEEP;
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("JSON is nested too deeply")));
	}
	tree->open[tree->open_count++] =
		(JsonOpen){is_object, is_object ? tree->pair_count : tree->element_count};
}

/* The members of an object, each key once, in the order of jsonb. */
static JsonbValue
object_of(const JsonbPair *pairs, size_t count)
{
	JsonbValue value = {.type = jbvObject};
	Member *order;
	JsonbPair *sorted;
	int kept = 0;

	order = palloc(sizeof(Member) * Max(count, 1));
	sorted = palloc(sizeof(JsonbPair) * Max(count, 1));
	for (size_t i = 0; i < count; i++)
		order[i] = &pairs[i];
	sort_pairs(order, count);
	for (size_t i = 0; i < count; i++)
	{
		const JsonbValue *key = &order[i]->key;

		if (kept == 0 || key->val.string.len != sorted[kept - 1].key.val.string.len ||
			memcmp(key->val.string.val, sorted[kept - 1].key.val.string.val, key->val.string.len) !=
				0)
			sorted[kept++] = *order[i];
	}
	pfree(order);
	value.val.object.pairs = sorted;
	value.val.object.nPairs = kept;
	return value;
}

static JsonbValue
array_of(const JsonbValue *elements, size_t count)
{
	JsonbValue value = {.type = jbvArray};

	value.val.array.rawScalar = false;
	value.val.array.elems = palloc(sizeof(JsonbValue) * Max(count, 1));
	if (count > 0)
		memcpy(value.val.array.elems, elements, sizeof(JsonbValue) * count);
	value.val.array.nElems = (int) count;
	return value;
}

/* What the parser calls. */

static ACTION
on_object_start(void *argument)
{
	JsonTree *tree = argument;

	tree_open(tree, true);
	tree->member = tree->lex->token_start + 1;
	return DONE;
}

static ACTION
on_array_start(void *tree)
{
	tree_open(tree, false);
	return DONE;
}

static ACTION
on_container_end(void *argument)
{
	JsonTree *tree = argument;
	JsonOpen closed = tree->open[--tree->open_count];
	size_t *count = closed.is_object ? &tree->pair_count : &tree->element_count;
	size_t own = *count - closed.start;
	JsonbValue value = closed.is_object ? object_of(tree->pairs + closed.start, own)
										: array_of(tree->elements + closed.start, own);

	*count = closed.start;
	tree_put(tree, &value);
	return DONE;
}

/* Behind a key and its colon. */
static ACTION
on_member_start(void *argument, char *name, bool is_null)
{
	JsonTree *tree = argument;
	const char *start = tree->member;
	const char *end = tree->lex->prev_token_terminator - 1;

	while (*start != '"')
		start++;
	while (end[-1] != '"')
		end--;
	check_limit(tree->pair_count - tree->open[tree->open_count - 1].start, MAX_MEMBERS, "members");
	tree->pairs = with_room(tree->pairs, tree->pair_count, &tree->pair_room, sizeof(JsonbPair));
	tree->pairs[tree->pair_count++].key = string_of(tree, start, end);
	tree->value = tree->lex->token_start;
	return DONE;
}

static ACTION
on_member_end(void *argument, char *name, bool is_null)
{
	JsonTree *tree = argument;

	tree->member = tree->lex->prev_token_terminator;
	return DONE;
}

static ACTION
on_element_start(void *argument, bool is_null)
{
	JsonTree *tree = argument;

	tree->value = tree->lex->token_start;
	return DONE;
}

static ACTION
on_scalar(void *argument, char *token, JsonTokenType type)
{
	JsonTree *tree = argument;
	JsonbValue value = {.type = jbvNull};

	if (type == JSON_TOKEN_STRING)
		value = string_of(tree, tree->value, tree->lex->prev_token_terminator);
	else if (type == JSON_TOKEN_NUMBER && number_is_beyond(token, strlen(token)))
		tree->is_unfit = true;
	else if (type == JSON_TOKEN_NUMBER)
	{
		value.type = jbvNumeric;
		value.val.numeric =
			DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(token),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	else if (type == JSON_TOKEN_TRUE || type == JSON_TOKEN_FALSE)
	{
		value.type = jbvBool;
		value.val.boolean = type == JSON_TOKEN_TRUE;
	}
	tree_put(tree, &value);
	return DONE;
}

/* The text as jsonb; NULL with a reason, or an error. */
static Jsonb *
tree_read(const char *text, size_t len, JsonRefusal *refusal)
{
	JsonLexContext *lex = lex_begin(text, len, false);
	JsonTree *tree = palloc0(sizeof(JsonTree));
	JsonSemAction actions = {.semstate = tree,
							 .object_start = on_object_start,
							 .object_end = on_container_end,
							 .array_start = on_array_start,
							 .array_end = on_container_end,
							 .object_field_start = on_member_start,
							 .object_field_end = on_member_end,
							 .array_element_start = on_element_start,
							 .scalar = on_scalar};

	tree->lex = lex;
	tree->refusal = refusal;
	if (memchr(text, '\\', len) != NULL)
		tree->unescaping = lex_begin(text, len, true);
	tree->value = memchr(text, '"', len); /* should it be all there is */
	pg_parse_json_or_ereport(lex, &actions);
	if (tree->is_unfit)
	{
		*refusal = JSON_UNFIT;
		return NULL;
	}
	return JsonbValueToJsonb(&tree->root);
}

/*
 * The text as jsonb, in the current memory context; NULL with the reason if it cannot
 * be that.  PostgreSQL's parser holds nothing but memory when it raises one, and that is
 * given back at once: a tree of small values takes several times their text.
 */
Jsonb *
json_parse(const char *text, size_t len, JsonRefusal *refusal)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext scratch =
		AllocSetContextCreate(context, "canopy_summit JSON", ALLOCSET_DEFAULT_SIZES);
	Jsonb *volatile json = NULL;

	*refusal = JSON_TAKEN;
	PG_TRY();
	{
		MemoryContextSwitchTo(scratch);
		json = tree_read(text, len, refusal);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (geterrcode() == ERRCODE_INVALID_TEXT_REPRESENTATION)
			*refusal = JSON_MALFORMED;
		else if (geterrcode() == ERRCODE_UNTRANSLATABLE_CHARACTER)
			*refusal = JSON_UNFIT;
		else if (*refusal != JSON_TOO_DEEP)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (json != NULL)
		json = memcpy(MemoryContextAllocHuge(context, VARSIZE(json)), json, VARSIZE(json));
	MemoryContextDelete(scratch);
	return json;
}
