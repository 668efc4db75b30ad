/*
 * consent_documents.h
 *	  A consumer who gives documents instead of a login.
 */
#ifndef CANOPY_SUMMIT_CANOPY_CONSENT_DOCUMENTS_H
#define CANOPY_SUMMIT_CANOPY_CONSENT_DOCUMENTS_H

extern void consent_documents_register(void);

#endif /* CANOPY_SUMMIT_CANOPY_CONSENT_DOCUMENTS_H */
