/*
 * certificate.h
 *	  A certificate of insurance in the JSON shape that Summit takes.
 */
#ifndef CANOPY_SUMMIT_SUMMIT_CERTIFICATE_H
#define CANOPY_SUMMIT_SUMMIT_CERTIFICATE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/date.h"
#include "utils/jsonb.h"

/* Something that Summit takes and that should be better. */
typedef struct CertificateWarning
{
	const char *field; /* certificate_holder.reference_ids.unit_id */
	const char *text;  /* what is wrong with it */
} CertificateWarning;

typedef struct Certificate
{
	Jsonb *body; /* what is sent: no nulls, texts trimmed, base64 without line breaks */
	const char *policy_number;
	const char *policy_type;
	const char *insurer_name;
	DateADT effective_date;
	DateADT expiry_date;
	const char *holder_name;
	const char *property_id;
	const char *unit_id; /* these three: NULL = missing, with a warning */
	const char *lease_id;
	const char *tenant_id;
	const char *holder_address; /* NULL = missing, as of the next two */
	const char *coi_url;        /* of the COI, without query and fragment */
	const char *coi_sha256;     /* of the bytes that the COI came as, hex */
	List *warnings;             /* of CertificateWarning * */
} Certificate;

extern Certificate *certificate_read(Jsonb *payload, bytea *coi, const char *content_type);

#endif /* CANOPY_SUMMIT_SUMMIT_CERTIFICATE_H */
