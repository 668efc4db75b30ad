/*
 * word_list.h
 *	  Words in a text, separated by commas.
 */
#ifndef CANOPY_SUMMIT_BASE_WORD_LIST_H
#define CANOPY_SUMMIT_BASE_WORD_LIST_H

extern bool word_is_listed(const char *word, const char *list);

#endif /* CANOPY_SUMMIT_BASE_WORD_LIST_H */
