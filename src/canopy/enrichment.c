/*
 * enrichment.c
 *	  Functions that have Canopy look up a property, a driver or a household: each
 *	  enqueues a job, which costs, and nothing is sent before COMMIT.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/confidential.h"
#include "base/jsonb_build.h"
#include "canopy/arguments.h"
#include "canopy/enqueue_operation.h"
#include "engine/argument.h"

CONFIDENTIAL_FUNCTION(canopy_summit_enrich_property);
CONFIDENTIAL_FUNCTION(canopy_summit_enrich_driver_license);
CONFIDENTIAL_FUNCTION(canopy_summit_enrich_driving_record);
CONFIDENTIAL_FUNCTION(canopy_summit_enrich_household);

/* Enqueue an operation with these arguments, after which comes the server. */
static Datum
enrich(FunctionCallInfo fcinfo, const char *operation, const MemberArgument *arguments)
{
	JsonBuilder params = {0};
	int server = arguments_add(&params, fcinfo, arguments);

	PG_RETURN_INT64(enqueue_operation(argument_name(fcinfo, server), operation,
									  builder_finish_object(&params), NULL, NULL));
}

/* canopy_enrich_property(address text, server name) -> bigint: the job */
static Datum
canopy_summit_enrich_property_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {{"address", true}, {NULL}};

	return enrich(fcinfo, "get-property-data", arguments);
}

/* canopy_enrich_driver_license(first_name text, last_name text, date_of_birth date, address text, purpose text,
 * employee_name text, employee_job_function text, middle_name text, server name) -> bigint: the job */
static Datum
canopy_summit_enrich_driver_license_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {{"first_name", true},
											   {"last_name", true},
											   {"date_of_birth", true, ARGUMENT_BIRTH},
											   {"address", true},
											   {"purpose", true},
											   {"employee_name", true},
											   {"employee_job_function", true},
											   {"middle_name"},
											   {NULL}};

	return enrich(fcinfo, "get-enrichment-driverlicense", arguments);
}

/* Who is asked about, why and for whom, and by what they are known. */
#define PERSON                                                                       \
	{"first_name", true}, {"last_name", true}, {"address", true}, {"purpose", true}, \
		{"employee_name", true}, {"employee_job_function", true}, {"middle_name"},   \
		{"date_of_birth", .type = ARGUMENT_BIRTH}, {"drivers_license"},              \
	{                                                                                \
		"drivers_license_state"                                                      \
	}

/* canopy_enrich_driving_record(first_name text, last_name text, address text, purpose text, employee_name text,
 * employee_job_function text, middle_name text, date_of_birth date, drivers_license text,
 * drivers_license_state text, server name) -> bigint: the job */
static Datum
canopy_summit_enrich_driving_record_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {PERSON, {NULL}};

	return enrich(fcinfo, "get-enrichment-drivingrecordiq", arguments);
}

/* canopy_enrich_household(first_name text, last_name text, address text, purpose text, employee_name text,
 * employee_job_function text, middle_name text, date_of_birth date, drivers_license text,
 * drivers_license_state text, lookup_vehicles boolean, server name) -> bigint: the job */
static Datum
canopy_summit_enrich_household_confidential(PG_FUNCTION_ARGS)
{
	static const MemberArgument arguments[] = {PERSON,
											   {"lookup_vehicles", .type = ARGUMENT_BOOLEAN},
											   {NULL}};

	return enrich(fcinfo, "get-enrichment-household", arguments);
}
