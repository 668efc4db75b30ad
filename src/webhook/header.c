/*
 * header.c
 *	  HTTP headers of a webhook, as they are read and as they are kept.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"

#include "base/jsonb_build.h"
#include "base/jsonb_get.h"
#include "webhook/header.h"

static bool
is_name(const JsonbValue *key, const char *name)
{
	return key->val.string.len == strlen(name) &&
		   pg_strncasecmp(key->val.string.val, name, strlen(name)) == 0;
}

/*
 * The one header of this name, in whatever case, as a text of the current
 * memory context.  NULL if there is none, or more than one.
 */
const char *
header_find(Jsonb *headers, const char *name)
{
	JsonWalk walk;
	const char *found = NULL;
	int count = 0;

	if (headers == NULL || !JB_ROOT_IS_OBJECT(headers))
		return NULL;
	walk = walk_begin(&headers->root);
	while (walk_next(&walk))
	{
		if (!is_name(&walk.key, name))
			continue;
		count++;
		if (walk.value.type == jbvString)
			found = pnstrdup(walk.value.val.string.val, walk.value.val.string.len);
	}
	return count == 1 ? found : NULL;
}

static bool
is_identity(const JsonbValue *value)
{
	return value->type == jbvNull ||
		   (value->type == jbvString && (value->val.string.len == 0 || is_name(value, "identity")));
}

/* Whether a body is compressed, or encoded otherwise: Content-Encoding, in whatever case, is there and is not identity. */
bool
header_is_encoded(Jsonb *headers)
{
	JsonWalk walk;

	if (headers == NULL || !JB_ROOT_IS_OBJECT(headers))
		return false;
	walk = walk_begin(&headers->root);
	while (walk_next(&walk))
		if (is_name(&walk.key, "content-encoding") && !is_identity(&walk.value))
			return true;
	return false;
}

/*
 * Words that make a header's name one of something that a proxy or a client logs in with, as in
 * Proxy-Authorization, X-Api-Key or Set-Cookie.  What signs a body is not one: it is needed to verify it again.
 */
static bool
is_credential_word(const char *word, size_t len)
{
#define WORD(text)             \
	{                          \
		sizeof(text) - 1, text \
	}
	static const struct
	{
		size_t len;
		const char *text;
	} words[] = {WORD("accesstoken"),    WORD("apikey"),        WORD("auth"),
				 WORD("authentication"), WORD("authorization"), WORD("bearer"),
				 WORD("cookie"),         WORD("cookie2"),       WORD("credential"),
				 WORD("credentials"),    WORD("jwt"),           WORD("key"),
				 WORD("oidc"),           WORD("passwd"),        WORD("password"),
				 WORD("secret"),         WORD("session"),       WORD("sessionid"),
				 WORD("token"),          WORD("tokens")};
#undef WORD

	for (int i = 0; i < lengthof(words); i++)
		if (len == words[i].len && pg_strncasecmp(word, words[i].text, len) == 0)
			return true;
	return false;
}

static bool
is_credential(const JsonbValue *key)
{
	const char *word = key->val.string.val;
	const char *end = word + key->val.string.len;

	for (const char *at = word; at <= end; at++)
	{
		if (at < end && *at != '-' && *at != '_' && *at != '.')
			continue;
		if (is_credential_word(word, at - word))
			return true;
		word = at + 1;
	}
	return false;
}

static bool
has_credentials(Jsonb *headers)
{
	JsonWalk walk = walk_begin(&headers->root);

	while (walk_next(&walk))
		if (is_credential(&walk.key))
			return true;
	return false;
}

/* Headers, an object, with "***" in the place of credentials. */
Jsonb *
header_hide_credentials(Jsonb *headers)
{
	JsonWalk walk = walk_begin(&headers->root);
	JsonBuilder builder = {0};
	JsonbValue hidden = text_value("***");

	if (!has_credentials(headers))
		return headers;
	while (walk_next(&walk))
		builder_add(&builder, &walk.key, is_credential(&walk.key) ? &hidden : &walk.value);
	return builder_finish_object(&builder);
}

/* A text of a header as a JSON string; bytes that are not in the database's encoding become "?". */
static JsonbValue
header_text(const char *text, bool is_name)
{
	int len = strlen(text);
	char *copy = is_name ? asc_tolower(text, len) : pnstrdup(text, len);

	if (!pg_verify_mbstr(GetDatabaseEncoding(), copy, len, true))
		for (int i = 0; i < len; i++)
			if (IS_HIGHBIT_SET(copy[i]))
				copy[i] = '?';
	return text_value(copy);
}

typedef struct Header
{
	JsonbValue name;
	JsonbValue value;
	int number; /* order of arrival */
} Header;

static int
compare_headers(const void *a, const void *b)
{
	const Header *left = a;
	const Header *right = b;
	int order = strcmp(left->name.val.string.val, right->name.val.string.val);

	return order != 0 ? order : left->number - right->number;
}

/* Take headers apart; how many there are. */
static int
headers_parse(const char *text, size_t len, Header **headers)
{
	const char *end = text + len;
	const char *at = text;
	int room = 16;
	int count = 0;

	*headers = palloc(room * sizeof(Header));
	while (at < end)
	{
		Header *header;
		const char *value = at + strlen(at) + 1;

		if (count == room)
			*headers = repalloc(*headers, (room *= 2) * sizeof(Header));
		header = &(*headers)[count];
		header->number = count++;
		header->name = header_text(at, true);
		header->value = header_text(value, false);
		at = value + strlen(value) + 1;
	}
	return count;
}

/* Headers, "name\0value\0name\0value\0", as an object by lower-case name; one that came more than once is an array. */
Jsonb *
headers_json(const char *text, size_t len)
{
	JsonBuilder builder = {0};
	Header *headers;
	int count = headers_parse(text, len, &headers);
	int next;

	qsort(headers, count, sizeof(Header), compare_headers);
	builder_begin_object(&builder);
	for (int i = 0; i < count; i = next)
	{
		const char *name = headers[i].name.val.string.val;

		for (next = i + 1; next < count; next++)
			if (strcmp(headers[next].name.val.string.val, name) != 0)
				break;
		if (next == i + 1)
		{
			builder_add(&builder, &headers[i].name, &headers[i].value);
			continue;
		}
		builder_put(&builder, WJB_KEY, &headers[i].name);
		builder_begin_array(&builder);
		for (int k = i; k < next; k++)
			builder_put(&builder, WJB_ELEM, &headers[k].value);
		builder_end_array(&builder);
	}
	return builder_finish_object(&builder);
}
