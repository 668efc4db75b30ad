/*
 * content.c
 *	  The content of a pull's JSON: its hash, and property data carried over.
 *
 * Two states of a pull have the same hash exactly when they differ in nothing
 * but the order of keys and of objects in arrays: the API gives its lists in no
 * promised order.  Pure.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/jsonb.h"

#include "base/digest.h"
#include "base/json.h"
#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "base/number.h"
#include "pull/content.h"

/* Objects that may hold property_data: the list they are in, and their id. */
static const struct
{
	const char *list;
	const char *id;
} property_holders[] = {
	{"dwellings", "dwelling_id"},
	{"locations", "location_id"},
};

/*
 * An object in an array stands for itself in the canonical bytes, unless it is
 * large, or one of many: then its hash does, so that they stay few whatever comes.
 */
#define ELEMENT_MAX_BYTES 8192
#define ELEMENTS_MAX      256

/* What is hashed, and what was found on the way. */
typedef struct Canonical
{
	StringInfoData bytes;
	bool has_number_beyond;
} Canonical;

/* A piece of the canonical bytes: one element of an array of objects. */
typedef struct Segment
{
	const char *bytes;
	int len;
} Segment;

static void canonical_container(Canonical *canonical, JsonbContainer *container, int depth);

/* Append a tag, the length of the bytes, and the bytes. */
static void
canonical_bytes(StringInfo out, char tag, const char *bytes, int len)
{
	char *at;

	enlargeStringInfo(out, 1 + sizeof(int) + len);
	at = out->data + out->len;
	*at = tag;
	memcpy(at + 1, &len, sizeof(int));
	memcpy(at + 1 + sizeof(int), bytes, len);
	out->len += 1 + sizeof(int) + len;
}

static void
canonical_value(Canonical *canonical, JsonbValue *value, int depth)
{
	StringInfo out = &canonical->bytes;

	switch (value->type)
	{
		case jbvNull:
			appendStringInfoCharMacro(out, 'n');
			break;
		case jbvBool:
			appendStringInfoCharMacro(out, value->val.boolean ? 't' : 'f');
			break;
		case jbvString:
			canonical_bytes(out, 's', value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			canonical->has_number_beyond |= number_value_is_beyond(value->val.numeric);
			canonical_bytes(out, 'd', (char *) value->val.numeric, VARSIZE_ANY(value->val.numeric));
			break;
		default:
			canonical_container(canonical, value->val.binary.data, depth + 1);
	}
}

static int
segment_compare(const void *left, const void *right)
{
	const Segment *a = left;
	const Segment *b = right;
	int order = memcmp(a->bytes, b->bytes, Min(a->len, b->len));

	return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

/* Put the segments after `start` into order; ends[i] is where segment i ends. */
static void
canonical_sort(StringInfo out, int start, const int *ends, int count)
{
	char *copy = palloc(out->len - start);
	Segment *segments = palloc(sizeof(Segment) * count);
	int at = 0;

	memcpy(copy, out->data + start, out->len - start);
	for (int i = 0; i < count; i++)
	{
		segments[i].bytes = copy + at;
		segments[i].len = ends[i] - start - at;
		at = ends[i] - start;
	}
	qsort(segments, count, sizeof(Segment), segment_compare);
	out->len = start;
	for (int i = 0; i < count; i++)
		appendBinaryStringInfo(out, segments[i].bytes, segments[i].len);
	pfree(copy);
	pfree(segments);
}

/* Put the hash of an element in its place. */
static void
canonical_digest(StringInfo out, int start)
{
	uint8 digest[CONTENT_HASH_LENGTH];

	digest_bytes(out->data + start, out->len - start, digest);
	out->len = start;
	canonical_bytes(out, 'h', (const char *) digest, sizeof(digest));
}

static void
canonical_array(Canonical *canonical, JsonbContainer *container, int depth)
{
	StringInfo out = &canonical->bytes;
	bool are_many = JsonContainerSize(container) > ELEMENTS_MAX;
	JsonWalk walk = walk_begin(container);
	int start = out->len;
	int count = 0;
	int *ends = palloc(sizeof(int) * (JsonContainerSize(container) + 1));
	bool only_objects = true;

	while (walk_next(&walk))
	{
		bool is_object = value_is_object(&walk.value);
		int before = out->len;

		canonical_value(canonical, &walk.value, depth);
		if (is_object && (are_many || out->len - before > ELEMENT_MAX_BYTES))
			canonical_digest(out, before);
		only_objects &= is_object;
		ends[count++] = out->len;
	}
	if (only_objects && count > 1)
		canonical_sort(out, start, ends, count);
	pfree(ends);
}

/* jsonb keeps keys in one order, so only arrays need care. */
static void
canonical_container(Canonical *canonical, JsonbContainer *container, int depth)
{
	StringInfo out = &canonical->bytes;
	bool is_array = JsonContainerIsArray(container);
	JsonWalk walk;

	if (depth > JSON_MAX_DEPTH)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("pull is nested deeper than %d", JSON_MAX_DEPTH)));
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	appendStringInfoCharMacro(out, is_array ? '[' : '{');
	if (is_array)
		canonical_array(canonical, container, depth);
	else
	{
		walk = walk_begin(container);
		while (walk_next(&walk))
		{
			canonical_value(canonical, &walk.key, depth);
			canonical_value(canonical, &walk.value, depth);
		}
	}
	appendStringInfoCharMacro(out, is_array ? ']' : '}');
}

/*
 * SHA-256 of the canonical form; true if a number is in it that no column holds.
 * Error: 54000 nested deeper than JSON_MAX_DEPTH.
 */
bool
content_hash(Jsonb *json, uint8 *hash)
{
	Canonical canonical = {0};

	initStringInfo(&canonical.bytes);
	canonical_container(&canonical, &json->root, 1);
	digest_bytes(canonical.bytes.data, canonical.bytes.len, hash);
	pfree(canonical.bytes.data);
	return canonical.has_number_beyond;
}

/* A field of an object; NULL if there is none or it is JSON null. */
static JsonbValue *
object_field(JsonbContainer *object, const char *key)
{
	JsonbValue *value = member_value(object, key);

	return value == NULL || value->type == jbvNull ? NULL : value;
}

/* Calls back for every object in a list of `parent`, which may be an object of objects instead of an array. */
static void
each_object(JsonbContainer *parent, const char *list,
			void (*visit)(JsonbContainer *object, void *argument), void *argument)
{
	JsonbValue *value = object_field(parent, list);
	JsonWalk walk;

	if (value == NULL || value->type != jbvBinary)
		return;
	if (JsonContainerIsObject(value->val.binary.data))
		visit(value->val.binary.data, argument); /* in case it is the only element */
	walk = walk_begin(value->val.binary.data);
	while (walk_next(&walk))
		if (value_is_object(&walk.value))
			visit(walk.value.val.binary.data, argument);
}

/* A dwelling or location whose property data is known. */
typedef struct Holder
{
	JsonbValue *id;
	JsonbValue *property_data;
} Holder;

/* What a walk over the dwellings and locations of a pull collects. */
typedef struct Holders
{
	const char *id_field; /* of the list being walked */
	Holder *known;
	int count;
	int size;
	bool lacking; /* some holder has no property data */
} Holders;

static void
visit_holder(JsonbContainer *object, void *argument)
{
	Holders *holders = argument;
	JsonbValue *id = object_field(object, holders->id_field);
	JsonbValue *property_data = object_field(object, "property_data");

	if (property_data == NULL)
	{
		holders->lacking = true;
		return;
	}
	if (id == NULL || id->type != jbvString)
		return;
	if (holders->count == holders->size)
	{
		holders->size = Max(16, holders->size * 2);
		holders->known = holders->known ? repalloc(holders->known, sizeof(Holder) * holders->size)
										: palloc(sizeof(Holder) * holders->size);
	}
	holders->known[holders->count++] = (Holder){id, property_data};
}

static void
visit_policy(JsonbContainer *policy, void *argument)
{
	Holders *holders = argument;

	for (int i = 0; i < lengthof(property_holders); i++)
	{
		holders->id_field = property_holders[i].id;
		each_object(policy, property_holders[i].list, visit_holder, holders);
	}
}

/* Whether some dwelling or location of the pull has no property data, and whether any has. */
bool
content_lacks_property_data(Jsonb *pull, bool *has_any)
{
	Holders holders = {0};

	each_object(&pull->root, "policies", visit_policy, &holders);
	*has_any = holders.count > 0;
	return holders.lacking;
}

static int
holder_compare(const void *left, const void *right)
{
	const JsonbValue *a = ((const Holder *) left)->id;
	const JsonbValue *b = ((const Holder *) right)->id;

	if (a->val.string.len != b->val.string.len)
		return a->val.string.len < b->val.string.len ? -1 : 1;
	return memcmp(a->val.string.val, b->val.string.val, a->val.string.len);
}

/* The known property data of an object that has none, or NULL. */
static JsonbValue *
known_property_data(const Holders *holders, JsonbContainer *object, const char *id_field)
{
	Holder key = {.id = object_field(object, id_field)};
	Holder *found;

	if (key.id == NULL || key.id->type != jbvString ||
		object_field(object, "property_data") != NULL)
		return NULL;
	found = bsearch(&key, holders->known, holders->count, sizeof(Holder), holder_compare);
	return found ? found->property_data : NULL;
}

/* How far down the copy is: 0 the pull, 1 its policies, 2 their lists of holders. */
typedef struct Copy
{
	JsonBuilder builder;
	const Holders *known;
} Copy;

static void copy_container(Copy *copy, JsonbContainer *container, int level, const char *id_field,
						   bool is_list);

/* Copy the value of one field, descending where a holder may be; a list may be an object of its elements. */
static void
copy_field(Copy *copy, const JsonbValue *key, JsonbValue *value, int level, const char *id_field,
		   bool is_list)
{
	const char *name = pnstrdup(key->val.string.val, key->val.string.len);

	if (value->type == jbvBinary && level == 0 && strcmp(name, "policies") == 0)
	{
		copy_container(copy, value->val.binary.data, 1, NULL, true);
		return;
	}
	for (int i = 0; i < lengthof(property_holders); i++)
		if (value->type == jbvBinary && level == 1 && strcmp(name, property_holders[i].list) == 0)
		{
			copy_container(copy, value->val.binary.data, 2, property_holders[i].id, true);
			return;
		}
	if (is_list && value_is_object(value))
		copy_container(copy, value->val.binary.data, level, id_field, false);
	else
		builder_put(&copy->builder, WJB_VALUE, value);
}

/* Copy an array or object; an object that is a holder gets the property data that is known. */
static void
copy_container(Copy *copy, JsonbContainer *container, int level, const char *id_field, bool is_list)
{
	const JsonbValue *carried = level == 2 && JsonContainerIsObject(container)
									? known_property_data(copy->known, container, id_field)
									: NULL;
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue value;
	JsonbValue key = {.type = jbvNull};
	JsonbValue name = text_value("property_data");

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_END_OBJECT && carried != NULL)
			builder_add(&copy->builder, &name, carried);
		if (token == WJB_ELEM && value_is_object(&value))
			copy_container(copy, value.val.binary.data, level, id_field, false);
		else if (token == WJB_VALUE)
			copy_field(copy, &key, &value, level, id_field, is_list);
		else
			builder_copy(&copy->builder, token, &value);
		if (token == WJB_KEY)
			key = value;
	}
}

/*
 * The pull with the property data that the previous state has and this one
 * lacks, dwelling by dwelling: a fetch without withPropertyData must not forget
 * what an earlier one learned.
 */
Jsonb *
content_carry_property_data(Jsonb *pull, Jsonb *previous)
{
	Holders known = {0};
	Copy copy = {.known = &known};

	each_object(&previous->root, "policies", visit_policy, &known);
	if (known.count == 0)
		return pull;
	qsort(known.known, known.count, sizeof(Holder), holder_compare);
	copy_container(&copy, &pull->root, 0, NULL, false);
	return builder_finish(&copy.builder);
}
