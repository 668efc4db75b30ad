/*
 * export_feed.h
 *	  Lines of exports that are kept up to date.
 */
#ifndef CANOPY_SUMMIT_SUMMIT_EXPORT_FEED_H
#define CANOPY_SUMMIT_SUMMIT_EXPORT_FEED_H

extern void export_feed_register(void);

#endif /* CANOPY_SUMMIT_SUMMIT_EXPORT_FEED_H */
