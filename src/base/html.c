/*
 * html.c
 *	  HTML from a carrier, made safe to show.
 *
 * Markup is never copied: tags are written from the table of elements, links
 * from checked parts, and all else is text and escaped.  Whatever the parser
 * makes of hostile input, the output is therefore harmless.  It is also simple
 * enough for every parser to read it as it was written, so that sanitizing it
 * again changes nothing: a rule that drops or adds must leave alone what it
 * makes itself.
 *
 * libxml2 only reports tags and text; it builds no tree, and nothing here
 * recurses.  Code that it calls does not raise and does not allocate.
 */
#include "postgres.h"

#include <libxml/HTMLparser.h>

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/confidential.h"
#include "base/html.h"

CONFIDENTIAL_FUNCTION(canopy_summit_sanitize_html);

/* Before the input, so that its first characters are content like any other. */
#define BODY_START "<html><head></head><body>"

#define HTML_OPTIONS                                                                     \
	(HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET | \
	 HTML_PARSE_NODEFDTD | HTML_PARSE_IGNORE_ENC | HTML_PARSE_COMPACT)

#if LIBXML_VERSION >= 21200
typedef const xmlError *ParserError;
#else
typedef xmlErrorPtr ParserError;
#endif

/* what becomes of an element */
typedef enum ElementKind
{
	ELEMENT_UNKNOWN,   /* dropped, its content stays */
	ELEMENT_BLOCK,     /* the same, and its content stands on lines of its own */
	ELEMENT_SKIPPED,   /* dropped with its content, which is not for reading */
	ELEMENT_LINK,      /* written if its target may be */
	ELEMENT_INLINE,    /* written unless it is in its like */
	ELEMENT_BREAK,     /* written */
	ELEMENT_PARAGRAPH, /* written if it is in nothing, else as ELEMENT_BLOCK */
	ELEMENT_LIST,      /* written if it is in nothing or an item, else as ELEMENT_BLOCK */
	ELEMENT_ITEM       /* written if it is in a list, else as ELEMENT_BLOCK */
} ElementKind;

typedef struct Element
{
	const char *name;
	ElementKind kind;
} Element;

static const Element elements[] = {
	{"a", ELEMENT_LINK},           {"b", ELEMENT_INLINE},         {"code", ELEMENT_INLINE},
	{"em", ELEMENT_INLINE},        {"i", ELEMENT_INLINE},         {"strong", ELEMENT_INLINE},
	{"u", ELEMENT_INLINE},         {"br", ELEMENT_BREAK},         {"p", ELEMENT_PARAGRAPH},
	{"ol", ELEMENT_LIST},          {"ul", ELEMENT_LIST},          {"li", ELEMENT_ITEM},
	{"address", ELEMENT_BLOCK},    {"article", ELEMENT_BLOCK},    {"aside", ELEMENT_BLOCK},
	{"blockquote", ELEMENT_BLOCK}, {"caption", ELEMENT_BLOCK},    {"center", ELEMENT_BLOCK},
	{"dd", ELEMENT_BLOCK},         {"details", ELEMENT_BLOCK},    {"dir", ELEMENT_BLOCK},
	{"div", ELEMENT_BLOCK},        {"dl", ELEMENT_BLOCK},         {"dt", ELEMENT_BLOCK},
	{"fieldset", ELEMENT_BLOCK},   {"figcaption", ELEMENT_BLOCK}, {"figure", ELEMENT_BLOCK},
	{"footer", ELEMENT_BLOCK},     {"form", ELEMENT_BLOCK},       {"h1", ELEMENT_BLOCK},
	{"h2", ELEMENT_BLOCK},         {"h3", ELEMENT_BLOCK},         {"h4", ELEMENT_BLOCK},
	{"h5", ELEMENT_BLOCK},         {"h6", ELEMENT_BLOCK},         {"header", ELEMENT_BLOCK},
	{"hr", ELEMENT_BLOCK},         {"legend", ELEMENT_BLOCK},     {"main", ELEMENT_BLOCK},
	{"menu", ELEMENT_BLOCK},       {"nav", ELEMENT_BLOCK},        {"pre", ELEMENT_BLOCK},
	{"section", ELEMENT_BLOCK},    {"summary", ELEMENT_BLOCK},    {"table", ELEMENT_BLOCK},
	{"td", ELEMENT_BLOCK},         {"th", ELEMENT_BLOCK},         {"tr", ELEMENT_BLOCK},
	{"applet", ELEMENT_SKIPPED},   {"audio", ELEMENT_SKIPPED},    {"canvas", ELEMENT_SKIPPED},
	{"datalist", ELEMENT_SKIPPED}, {"frameset", ELEMENT_SKIPPED}, {"iframe", ELEMENT_SKIPPED},
	{"math", ELEMENT_SKIPPED},     {"noembed", ELEMENT_SKIPPED},  {"noframes", ELEMENT_SKIPPED},
	{"noscript", ELEMENT_SKIPPED}, {"object", ELEMENT_SKIPPED},   {"plaintext", ELEMENT_SKIPPED},
	{"script", ELEMENT_SKIPPED},   {"select", ELEMENT_SKIPPED},   {"style", ELEMENT_SKIPPED},
	{"svg", ELEMENT_SKIPPED},      {"template", ELEMENT_SKIPPED}, {"textarea", ELEMENT_SKIPPED},
	{"title", ELEMENT_SKIPPED},    {"video", ELEMENT_SKIPPED},    {"xmp", ELEMENT_SKIPPED}};

/* Where a link may lead: the only schemes, lower case, and whether an authority follows. */
static const struct
{
	const char *prefix;
	bool has_authority;
} schemes[] = {{"http://", true}, {"https://", true}, {"mailto:", false}, {"tel:", false}};

/* What is written so far, and where the parser stands. */
typedef struct Writer
{
	char *bytes; /* HTML_MAX_SIZE */
	size_t len;
	bool is_full;       /* something did not fit; nothing is written any more */
	bool is_parsed;     /* to the end */
	bool out_of_memory; /* the parser was */

	int depth;         /* elements that are open in the input */
	int skipped_depth; /* of the element that is being dropped with its content; 0 = none */

	/* elements that are open in the output, outermost first */
	struct
	{
		const Element *element;
		int depth;
	} open[HTML_MAX_OPEN];
	int open_count;
	size_t closing_len; /* of their end tags */

	bool line_has_text; /* since the last break or start of a block */
	bool wants_break;   /* before what comes next */
} Writer;

/* The element's entry; one of kind ELEMENT_UNKNOWN if it has none. */
static const Element *
element_find(const xmlChar *name)
{
	static const Element unknown = {"", ELEMENT_UNKNOWN};

	for (int i = 0; i < lengthof(elements); i++)
		if (xmlStrcasecmp(name, BAD_CAST elements[i].name) == 0)
			return &elements[i];
	return &unknown;
}

static size_t
end_tag_len(const Element *element)
{
	return strlen("</>") + strlen(element->name);
}

/*
 * Append bytes, if there is room for them, for the end tags, and for the mark
 * that something is missing.  If there is not, the output is full from here on.
 */
static void
put_bytes(Writer *writer, const char *bytes, size_t len)
{
	size_t reserved = writer->closing_len + strlen(HTML_CUT_MARK);

	if (writer->is_full || writer->len + len + reserved > HTML_MAX_SIZE)
	{
		writer->is_full = true;
		return;
	}
	memcpy(writer->bytes + writer->len, bytes, len);
	writer->len += len;
}

static void
put_string(Writer *writer, const char *string)
{
	put_bytes(writer, string, strlen(string));
}

/* What stands for a character that has a meaning in HTML; NULL = it has none. */
static const char *
escape_of(char c)
{
	switch (c)
	{
		case '&':
			return "&amp;";
		case '<':
			return "&lt;";
		case '>':
			return "&gt;";
		case '"':
			return "&quot;";
		case '\'':
			return "&#39;";
		default:
			return NULL;
	}
}

/* What comes next is on a new line by itself. */
static void
start_line(Writer *writer)
{
	writer->line_has_text = false;
	writer->wants_break = false;
}

/* What comes next belongs on another line than what came before. */
static void
note_boundary(Writer *writer)
{
	writer->wants_break |= writer->line_has_text;
}

static void
write_break(Writer *writer)
{
	put_string(writer, "<br/>");
	start_line(writer);
}

/* Controls are not text: C0 except tab and newline, DEL, and C1, which are two bytes of UTF-8. */
static bool
is_control(const xmlChar *c)
{
	return (c[0] < ' ' && c[0] != '\t' && c[0] != '\n') || c[0] == 0x7f ||
		   (c[0] == 0xc2 && c[1] < 0xa0);
}

/*
 * Nor is what Unicode will never assign: U+FDD0 to U+FDEF and the last two of
 * every plane.  libxml2 2.15 lets references to them by, as HTML5 says, but XML
 * knows no U+FFFE and U+FFFF: the output would not be well formed.
 */
static bool
is_noncharacter(const xmlChar *c, int len)
{
	if (len == 3)
		return c[0] == 0xef &&
			   ((c[1] == 0xb7 && c[2] >= 0x90 && c[2] <= 0xaf) || (c[1] == 0xbf && c[2] >= 0xbe));
	return len == 4 && (c[1] & 0x0f) == 0x0f && c[2] == 0xbf && c[3] >= 0xbe;
}

/* Length of the UTF-8 character that begins with this byte. */
static int
character_len(xmlChar first)
{
	return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static void
write_character(Writer *writer, const xmlChar *c, int len)
{
	const char *escape = escape_of(*c);

	if (is_control(c) || is_noncharacter(c, len))
		return;
	if (*c != ' ' && *c != '\t' && *c != '\n')
	{
		if (writer->wants_break)
			write_break(writer);
		writer->line_has_text = true;
	}
	if (escape != NULL)
		put_string(writer, escape);
	else
		put_bytes(writer, (const char *) c, len);
}

/* The parser has come to text. */
static void
on_text(void *data, const xmlChar *text, int len)
{
	Writer *writer = data;
	int character;

	if (writer->skipped_depth > 0)
		return;
	for (int i = 0; i < len && !writer->is_full; i += character)
	{
		character = character_len(text[i]);
		if (character <= len - i)
			write_character(writer, text + i, character);
	}
}

/*
 * Read a link's target into `clean`, as a browser does (blanks around it and
 * controls anywhere do not count), with all but printable ASCII percent-encoded.
 * False if it is too long.
 */
static bool
clean_target(const xmlChar *target, char *clean)
{
	static const char hex[] = "0123456789ABCDEF";
	const xmlChar *end;
	size_t len = 0;

	while (*target != '\0' && *target <= ' ')
		target++;
	end = target + strlen((const char *) target);
	while (end > target && end[-1] <= ' ')
		end--;
	for (; target < end; target++)
	{
		if (*target < ' ' || *target == 0x7f)
			continue;
		if (len + strlen("%XX") >= HTML_MAX_HREF)
			return false;
		if (*target > '~' || strchr(" \"<>\\^`{|}", *target) != NULL)
		{
			clean[len++] = '%';
			clean[len++] = hex[*target >> 4];
			clean[len++] = hex[*target & 0xf];
		}
		else
			clean[len++] = *target;
	}
	clean[len] = '\0';
	return true;
}

/* A host, with a port or without, and no user name, which could hide where a link leads. */
static bool
has_plain_host(const char *authority)
{
	size_t len = strcspn(authority, "/?#");
	size_t host_len = strspn(authority, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
										"0123456789.-_%[]:");

	return len > 0 && len == host_len && authority[0] != ':';
}

/* Whether a link may lead there; makes the scheme lower case. */
static bool
target_is_allowed(char *target)
{
	for (int i = 0; i < lengthof(schemes); i++)
	{
		size_t len = strlen(schemes[i].prefix);

		if (xmlStrncasecmp(BAD_CAST target, BAD_CAST schemes[i].prefix, len) != 0)
			continue;
		memcpy(target, schemes[i].prefix, len);
		return schemes[i].has_authority ? has_plain_host(target + len) : target[len] != '\0';
	}
	return false;
}

/* Read the target out of a link's attributes; false if there is none to which it may lead. */
static bool
read_target(const xmlChar **attributes, char *target)
{
	for (; attributes != NULL && attributes[0] != NULL; attributes += 2)
		if (xmlStrcasecmp(attributes[0], BAD_CAST "href") == 0)
			return attributes[1] != NULL && clean_target(attributes[1], target) &&
				   target_is_allowed(target);
	return false;
}

/* Whether the element belongs where the output stands. */
static bool
fits_here(const Writer *writer, const Element *element)
{
	ElementKind parent = writer->open_count > 0 ? writer->open[writer->open_count - 1].element->kind
												: ELEMENT_UNKNOWN;

	if (writer->open_count == HTML_MAX_OPEN)
		return false;
	if (element->kind == ELEMENT_PARAGRAPH)
		return writer->open_count == 0;
	if (element->kind == ELEMENT_LIST)
		return writer->open_count == 0 || parent == ELEMENT_ITEM;
	if (element->kind == ELEMENT_ITEM)
		return parent == ELEMENT_LIST;
	for (int i = 0; i < writer->open_count; i++)
		if (writer->open[i].element == element)
			return false;
	return true;
}

/* Write a link's target and its other attribute. */
static void
put_target(Writer *writer, const char *target)
{
	put_string(writer, " href=\"");
	for (; *target != '\0'; target++)
	{
		const char *escape = escape_of(*target);

		if (escape != NULL)
			put_string(writer, escape);
		else
			put_bytes(writer, target, 1);
	}
	put_string(writer, "\" rel=\"" HTML_LINK_REL "\"");
}

/* Write a start tag, the whole of it or nothing; `target` is a link's, or NULL. */
static void
open_element(Writer *writer, const Element *element, const char *target)
{
	size_t start;

	if (writer->wants_break)
		write_break(writer);
	start = writer->len;
	writer->closing_len += end_tag_len(element);
	put_string(writer, "<");
	put_string(writer, element->name);
	if (target != NULL)
		put_target(writer, target);
	put_string(writer, ">");
	if (writer->is_full)
	{
		writer->len = start;
		writer->closing_len -= end_tag_len(element);
		return;
	}
	writer->open[writer->open_count].element = element;
	writer->open[writer->open_count].depth = writer->depth;
	writer->open_count++;
}

/* Write the end tag of the innermost element; room for it is reserved. */
static void
close_element(Writer *writer)
{
	const Element *element = writer->open[--writer->open_count].element;

	writer->closing_len -= end_tag_len(element);
	writer->len += sprintf(writer->bytes + writer->len, "</%s>", element->name);
}

/* The parser has come to a start tag, or to a place where it supposes one. */
static void
on_start(void *data, const xmlChar *name, const xmlChar **attributes)
{
	Writer *writer = data;
	const Element *element = element_find(name);
	char target[HTML_MAX_HREF];

	writer->depth++;
	if (writer->skipped_depth > 0 || writer->is_full)
		return;
	switch (element->kind)
	{
		case ELEMENT_UNKNOWN:
			break;
		case ELEMENT_SKIPPED:
			writer->skipped_depth = writer->depth;
			break;
		case ELEMENT_BREAK:
			write_break(writer);
			break;
		case ELEMENT_LINK:
			if (fits_here(writer, element) && read_target(attributes, target))
				open_element(writer, element, target);
			break;
		case ELEMENT_INLINE:
			if (fits_here(writer, element))
				open_element(writer, element, NULL);
			break;
		case ELEMENT_PARAGRAPH:
		case ELEMENT_LIST:
		case ELEMENT_ITEM:
			if (fits_here(writer, element))
			{
				start_line(writer);
				open_element(writer, element, NULL);
			}
			else
				note_boundary(writer);
			break;
		case ELEMENT_BLOCK:
			note_boundary(writer);
			break;
	}
}

/* The parser has come to an end tag, or to a place where it supposes one. */
static void
on_end(void *data, const xmlChar *name)
{
	Writer *writer = data;
	ElementKind kind = element_find(name)->kind;
	bool is_block = kind == ELEMENT_BLOCK || kind == ELEMENT_PARAGRAPH || kind == ELEMENT_LIST ||
					kind == ELEMENT_ITEM;

	if (writer->skipped_depth == writer->depth)
		writer->skipped_depth = 0;
	else if (writer->skipped_depth == 0 && !writer->is_full)
	{
		if (writer->open_count > 0 && writer->open[writer->open_count - 1].depth == writer->depth)
		{
			close_element(writer);
			if (is_block)
				start_line(writer);
		}
		else if (is_block)
			note_boundary(writer);
	}
	writer->depth--;
}

static void
on_end_of_input(void *data)
{
	Writer *writer = data;

	writer->is_parsed = true;
}

/* Broken HTML is what this is for; only lack of memory is an error. */
static void
on_error(void *data, ParserError error)
{
	Writer *writer = data;

	if (error->code == XML_ERR_NO_MEMORY)
		writer->out_of_memory = true;
}

/* Write what the parser finds in the input. */
static void
parse(Writer *writer, const char *input, size_t len)
{
	/* With a handler of its own for errors, the parser does not call that of PostgreSQL's xml.c. */
	const xmlSAXHandler handler = {.initialized = XML_SAX2_MAGIC,
								   .startElement = on_start,
								   .endElement = on_end,
								   .characters = on_text,
								   .ignorableWhitespace = on_text,
								   .endDocument = on_end_of_input,
								   .serror = on_error};
	htmlParserCtxtPtr parser = htmlNewParserCtxt();

	if (parser == NULL)
		return;
	*parser->sax = handler;
	parser->userData = writer;
	(void) htmlCtxtReadMemory(parser, input, len, NULL, "UTF-8", HTML_OPTIONS);
	htmlFreeParserCtxt(parser);
}

/* Whether these bytes come next. */
static bool
comes_next(const char *at, const char *end, const char *bytes)
{
	return strlen(bytes) <= end - at && memcmp(at, bytes, strlen(bytes)) == 0;
}

/* Where the next of these bytes ends; `end` if there are none. */
static const char *
end_of(const char *at, const char *end, const char *bytes)
{
	const char *found = memmem(at, end - at, bytes, strlen(bytes));

	return found != NULL ? found + strlen(bytes) : end;
}

/*
 * Copy HTML without what libxml2 before 2.14 takes for text: declarations and
 * CDATA sections.  Returns the length of the copy.
 */
static size_t
copy_content(char *copy, const char *html, size_t len)
{
	const char *end = html + len;
	char *start = copy;

	while (html < end)
	{
		const char *next = html + 1;

		if (comes_next(html, end, "<!--"))
			next = end_of(html, end, "-->");
		else if (comes_next(html, end, "<![CDATA["))
			html = next = end_of(html, end, "]]>");
		else if (comes_next(html, end, "<!"))
			html = next = end_of(html, end, ">");
		memcpy(copy, html, next - html);
		copy += next - html;
		html = next;
	}
	return copy - start;
}

/* Write the mark if something is missing, and every end tag that is. */
static void
finish(Writer *writer, bool input_is_cut)
{
	if (writer->is_full || input_is_cut)
	{
		memcpy(writer->bytes + writer->len, HTML_CUT_MARK, strlen(HTML_CUT_MARK));
		writer->len += strlen(HTML_CUT_MARK);
	}
	while (writer->open_count > 0)
		close_element(writer);
	writer->bytes[writer->len] = '\0';
}

/*
 * The input, valid UTF-8, as HTML with nothing in it but text and the elements
 * that the table allows; in the current memory context.  Of a longer input than
 * HTML_MAX_SIZE the rest is left out, as is what would make the output longer;
 * HTML_CUT_MARK then ends it.  (An error would let one hostile row break a query
 * over all.)
 */
char *
html_sanitize(const char *html, size_t len, size_t *clean_len)
{
	Writer writer = {.bytes = palloc(HTML_MAX_SIZE + 1)};
	bool is_cut = len > HTML_MAX_SIZE;
	size_t start_len = strlen(BODY_START);
	char *input;

	if (is_cut)
	{
		len = HTML_MAX_SIZE;
		while (len > 0 && (html[len] & 0xc0) == 0x80)
			len--;
	}
	input = palloc(start_len + len);
	memcpy(input, BODY_START, start_len);
	parse(&writer, input, start_len + copy_content(input + start_len, html, len));
	pfree(input);
	if (!writer.is_parsed || writer.out_of_memory)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("libxml2 could not parse HTML of %zu bytes.", len)));
	finish(&writer, is_cut);
	*clean_len = writer.len;
	return writer.bytes;
}

/* canopy_summit.sanitize_html(html text) -> text */
static Datum
canopy_summit_sanitize_html_confidential(PG_FUNCTION_ARGS)
{
	text *html = PG_GETARG_TEXT_P_SLICE(0, 0, HTML_MAX_SIZE + 1);
	size_t clean_len;
	char *clean = html_sanitize(VARDATA_ANY(html), VARSIZE_ANY_EXHDR(html), &clean_len);
	text *result = cstring_to_text_with_len(clean, clean_len);

	pfree(clean);
	PG_RETURN_TEXT_P(result);
}
