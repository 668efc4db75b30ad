/*
 * html.c
 *	  Is every output of html_sanitize() harmless, and does it stay as it is?
 *
 * The checker below reads the output by a grammar of its own, which is much
 * smaller than HTML: no parser can read anything else into what it accepts.
 *
 * Links src/base/html.c src/base/confidential.c -lxml2
 */
#include "stub.h"

#include "base/html.h"

typedef struct Checker
{
	const char *at;  /* rest of the output */
	const char *end; /* of the output */
	const char *open[HTML_MAX_OPEN];
	int open_count;
} Checker;

static const char *const inline_tags[] = {"b", "code", "em", "i", "strong", "u"};
static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};

/* Move behind these bytes if they are next. */
static bool
take(Checker *checker, const char *bytes)
{
	size_t len = strlen(bytes);

	if (len > checker->end - checker->at || memcmp(checker->at, bytes, len) != 0)
		return false;
	checker->at += len;
	return true;
}

static bool
take_any(Checker *checker, const char *const *choices, int count)
{
	for (int i = 0; i < count; i++)
		if (take(checker, choices[i]))
			return true;
	return false;
}

static void
refuse(const Checker *checker, const char *problem)
{
	stub_fail("%s before: %.*s", problem, (int) Min(checker->end - checker->at, 200), checker->at);
}

static bool
is_open(const Checker *checker, const char *tag)
{
	for (int i = 0; i < checker->open_count; i++)
		if (strcmp(checker->open[i], tag) == 0)
			return true;
	return false;
}

/* A start tag was there: may it have been? */
static void
check_open(Checker *checker, const char *tag)
{
	const char *parent = checker->open_count > 0 ? checker->open[checker->open_count - 1] : "";
	bool is_list = strcmp(tag, "ul") == 0 || strcmp(tag, "ol") == 0;
	bool is_item = strcmp(tag, "li") == 0;
	bool in_list = strcmp(parent, "ul") == 0 || strcmp(parent, "ol") == 0;

	if (checker->open_count == HTML_MAX_OPEN)
		refuse(checker, "too many elements in one another");
	if (strcmp(tag, "p") == 0 && checker->open_count > 0)
		refuse(checker, "paragraph in an element");
	if (is_list && checker->open_count > 0 && strcmp(parent, "li") != 0)
		refuse(checker, "list in something else than an item");
	if (is_item && !in_list)
		refuse(checker, "item outside of a list");
	if (!is_list && !is_item && is_open(checker, tag))
		refuse(checker, "element in its like");
	checker->open[checker->open_count++] = tag;
}

/* Behind <a: the attributes that every link has, and nothing else. */
static void
check_link(Checker *checker)
{
	const char *start;
	bool is_web;

	if (!take(checker, " href=\""))
		refuse(checker, "no target");
	is_web = take(checker, "http://") || take(checker, "https://");
	if (!is_web && !take(checker, "mailto:") && !take(checker, "tel:"))
		refuse(checker, "scheme of a target");
	start = checker->at;
	if (is_web && strchr("/?#:&'", *start) != NULL)
		refuse(checker, "target without a host");
	if (is_web && memchr(start, '@', strcspn(start, "/?#\"")) != NULL)
		refuse(checker, "target with a user name");
	while (checker->at < checker->end && *checker->at != '"')
	{
		if (take(checker, "&amp;") || take(checker, "&#39;"))
			continue;
		if (*checker->at <= ' ' || *checker->at > '~' || strchr("<>&'`\\^{|}", *checker->at))
			refuse(checker, "character in a target");
		checker->at++;
	}
	if (checker->at == start)
		refuse(checker, "empty target");
	if (!take(checker, "\" rel=\"noopener noreferrer nofollow\">"))
		refuse(checker, "attributes of a link");
	check_open(checker, "a");
}

static void
check_tag(Checker *checker)
{
	static const char *const blocks[] = {"p", "ul", "ol", "li"};
	char tag[16];

	if (take(checker, "<br/>"))
		return;
	if (checker->open_count > 0)
	{
		snprintf(tag, sizeof(tag), "</%s>", checker->open[checker->open_count - 1]);
		if (take(checker, tag))
		{
			checker->open_count--;
			return;
		}
	}
	if (take(checker, "<a"))
	{
		check_link(checker);
		return;
	}
	for (int i = 0; i < lengthof(inline_tags) + lengthof(blocks); i++)
	{
		const char *name =
			i < lengthof(inline_tags) ? inline_tags[i] : blocks[i - lengthof(inline_tags)];

		snprintf(tag, sizeof(tag), "<%s>", name);
		if (take(checker, tag))
		{
			check_open(checker, name);
			return;
		}
	}
	refuse(checker, "tag that is not allowed or not in its place");
}

/* Length of the UTF-8 character at the start of these bytes; 0 = they are none. */
static int
character_len(const uint8 *bytes, size_t len)
{
	int wanted = bytes[0] < 0x80   ? 1
				 : bytes[0] < 0xc2 ? 0
				 : bytes[0] < 0xe0 ? 2
				 : bytes[0] < 0xf0 ? 3
				 : bytes[0] < 0xf5 ? 4
								   : 0;

	if (wanted == 0 || wanted > len)
		return 0;
	for (int i = 1; i < wanted; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	if ((bytes[0] == 0xe0 && bytes[1] < 0xa0) || (bytes[0] == 0xed && bytes[1] > 0x9f) ||
		(bytes[0] == 0xf0 && bytes[1] < 0x90) || (bytes[0] == 0xf4 && bytes[1] > 0x8f))
		return 0;
	return wanted;
}

static void
check_text(Checker *checker)
{
	const uint8 *c = (const uint8 *) checker->at;
	int len = character_len(c, checker->end - checker->at);

	if (len == 0)
		refuse(checker, "invalid UTF-8");
	if (*c == '&')
	{
		if (!take_any(checker, entities, lengthof(entities)))
			refuse(checker, "bare ampersand");
		return;
	}
	if (strchr("<>\"'", *c) != NULL || (*c < ' ' && *c != '\t' && *c != '\n') || *c == 0x7f ||
		(*c == 0xc2 && c[1] < 0xa0))
		refuse(checker, "character in text");
	checker->at += len;
}

static void
check_output(const char *output, size_t len)
{
	Checker checker = {.at = output, .end = output + len};

	if (len > HTML_MAX_SIZE || strlen(output) != len)
		refuse(&checker, "wrong length");
	while (checker.at < checker.end)
	{
		if (*checker.at == '<')
			check_tag(&checker);
		else
			check_text(&checker);
	}
	if (checker.open_count > 0)
		refuse(&checker, "end tag missing");
}

/* Printable ASCII without markup has to come out as it went in, escaped. */
static void
check_plain(const char *input, size_t len, const char *output)
{
	const char *rest = output;

	if (len * strlen("&quot;") + strlen(HTML_CUT_MARK) > HTML_MAX_SIZE)
		return;
	for (size_t i = 0; i < len; i++)
		if (input[i] < ' ' || input[i] > '~' || input[i] == '<' || input[i] == '&')
			return;
	for (size_t i = 0; i < len; i++)
	{
		char itself[] = {input[i], '\0'};
		const char *wanted = input[i] == '>'    ? "&gt;"
							 : input[i] == '"'  ? "&quot;"
							 : input[i] == '\'' ? "&#39;"
												: itself;

		if (strncmp(rest, wanted, strlen(wanted)) != 0)
			stub_fail("plain text is changed: %s to %s", input, output);
		rest += strlen(wanted);
	}
	if (*rest != '\0')
		stub_fail("plain text gets longer: %s to %s", input, output);
}

/* What a column of type text can hold: each byte that is no UTF-8 becomes a question mark. */
static char *
make_text(const uint8 *bytes, size_t len)
{
	char *text = palloc(len + 1);

	for (size_t i = 0; i < len;)
	{
		int wanted = bytes[i] == '\0' ? 0 : character_len(bytes + i, len - i);

		if (wanted > 0)
			memcpy(text + i, bytes + i, wanted);
		else
			text[i] = '?';
		i += Max(wanted, 1);
	}
	text[len] = '\0';
	return text;
}

/* The text over and over, until it is too long to be read whole. */
static char *
repeat(const char *text, size_t *len)
{
	char *result = palloc(HTML_MAX_SIZE + *len + 1);
	size_t result_len = 0;

	while (result_len <= HTML_MAX_SIZE)
	{
		memcpy(result + result_len, text, *len);
		result_len += *len;
	}
	result[result_len] = '\0';
	*len = result_len;
	return result;
}

/* A short input that begins with 0xff, which no text does, is repeated; that is slow. */
int
LLVMFuzzerTestOneInput(const uint8 *input, size_t len)
{
	bool is_long = len > 1 && len <= 16 && input[0] == 0xff;
	char *text = is_long ? make_text(input + 1, --len) : make_text(input, len);
	char *clean, *again;
	size_t clean_len, again_len;

	if (is_long)
		text = repeat(text, &len);
	clean = html_sanitize(text, len, &clean_len);
	check_output(clean, clean_len);
	check_plain(text, len, clean);
	again = html_sanitize(clean, clean_len, &again_len);
	if (clean_len != again_len || memcmp(clean, again, clean_len) != 0)
		stub_fail("not idempotent:\n%.2000s\nbecomes\n%.2000s\nand then\n%.2000s", text, clean,
				  again);
	stub_reset();
	return 0;
}
