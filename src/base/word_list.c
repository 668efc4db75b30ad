/*
 * word_list.c
 *	  Words in a text, separated by commas.
 */
#include "postgres.h"

#include "base/word_list.h"

/* Whether a word is one of a list. */
bool
word_is_listed(const char *word, const char *list)
{
	size_t len = strlen(word);

	for (const char *at = list; at != NULL; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strcspn(at, ",") == len && strncmp(at, word, len) == 0)
			return true;
	return false;
}
