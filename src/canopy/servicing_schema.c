/*
 * servicing_schema.c
 *	  What a servicing action says: the API's schema ServicingAction as tables, and
 *	  checking JSON against them.
 *
 * Pure.  A field may depend on another one of its object: it is required, or known at
 * all, only where that has one of some values.  Errors, all 22023, name the place.
 */
#include "postgres.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/coerce.h"
#include "base/jsonb_get.h"
#include "base/word_list.h"
#include "canopy/servicing_schema.h"
#include "canopy/vin.h"

typedef enum FieldType
{
	FIELD_TEXT,
	FIELD_WORD, /* one of `words` */
	FIELD_WHOLE,
	FIELD_NUMBER,
	FIELD_BOOLEAN,
	FIELD_DATE,
	FIELD_VIN,
	FIELD_OBJECT, /* of `fields` */
	FIELD_LIST    /* of objects of `fields` */
} FieldType;

typedef struct Field
{
	const char *name; /* NULL = the last one's successor */
	FieldType type;
	bool optional;
	const char *words; /* separated by commas */
	int64 least;
	int64 most; /* 0 = any */
	const struct Field *fields;
	const char *when;  /* the field it depends on; NULL = none */
	const char *is_in; /* the values of that, separated by commas */
} Field;

#define POLICY                              \
	{                                       \
		"carrier_policy_number", FIELD_TEXT \
	}
#define MORTGAGEE                                                   \
	{                                                               \
		"mortgagee_type", FIELD_WORD, .words = "FIRST,SECOND,THIRD" \
	}

static const Field mortgagee_fields[] = {
	POLICY, {"name", FIELD_TEXT}, {"address", FIELD_TEXT}, {"loan_number", FIELD_TEXT}, MORTGAGEE,
	{NULL}};

static const Field remove_fields[] = {POLICY, MORTGAGEE, {NULL}};

static const Field vehicle_fields[] = {
	{"type", FIELD_WORD,
	 .words = "PRIVATE_PASSENGER,ANTIQUE_AUTO,BOAT,COMMERCIAL_AUTO,MOTORCYCLE_OR_ATV,"
			  "RV_MOTORHOME_OR_TRAILER,MOBILE_HOME,SNOWMOBILE,GOLF_CART"},
	{"model_year", FIELD_WHOLE, .least = 1886, .most = 2999},
	{"vin", FIELD_VIN, .when = "type",
	 .is_in = "PRIVATE_PASSENGER,COMMERCIAL_AUTO,MOTORCYCLE_OR_ATV"},
	/* Boats, old cars and carts have other numbers. */
	{"vin", FIELD_TEXT, .when = "type",
	 .is_in = "ANTIQUE_AUTO,BOAT,RV_MOTORHOME_OR_TRAILER,MOBILE_HOME,SNOWMOBILE,GOLF_CART"},
	{"make", FIELD_TEXT},
	{"model", FIELD_TEXT},
	{NULL}};

#define COMMUTES .when = "type", .is_in = "COMMUTE,WORK,SCHOOL"

static const Field use_fields[] = {{"type", FIELD_WORD,
									.words = "COMMUTE,WORK,SCHOOL,PERSONAL,PLEASURE,FARM"},
								   {"days_driven_per_week", FIELD_WHOLE, .least = 1, .most = 7,
									COMMUTES},
								   {"miles_driven_each_way", FIELD_WHOLE, .least = 1, COMMUTES},
								   {NULL}};

#define CENTS(name)       \
	{                     \
		name, FIELD_WHOLE \
	}
#define DECLINED                     \
	{                                \
		"is_declined", FIELD_BOOLEAN \
	}
#define ACCEPTED .when = "is_declined", .is_in = "false"
#define IF_TAKEN(name)              \
	{                               \
		name, FIELD_WHOLE, ACCEPTED \
	}

static const Field bodily_injury[] = {CENTS("per_person_limit_cents"),
									  CENTS("per_incident_limit_cents"),
									  {NULL}};
static const Field property_damage[] = {CENTS("per_incident_limit_cents"), {NULL}};
static const Field injury_protection[] = {DECLINED,
										  IF_TAKEN("per_person_limit_cents"),
										  {"deductible_cents", FIELD_WHOLE, .optional = true,
										   ACCEPTED},
										  {NULL}};
static const Field motorists[] = {DECLINED,
								  IF_TAKEN("per_person_limit_cents"),
								  IF_TAKEN("per_incident_limit_cents"),
								  {NULL}};
static const Field own_damage[] = {DECLINED, IF_TAKEN("deductible_cents"), {NULL}};
static const Field road_service[] = {DECLINED, {NULL}};
static const Field rental[] = {DECLINED,
							   IF_TAKEN("per_day_limit_cents"),
							   IF_TAKEN("max_days"),
							   {NULL}};

static const Field coverage_fields[] = {
	{"BODILY_INJURY_LIABILITY", FIELD_OBJECT, .fields = bodily_injury},
	{"PROPERTY_DAMAGE_LIABILITY", FIELD_OBJECT, .fields = property_damage},
	{"PERSONAL_INJURY_PROTECTION", FIELD_OBJECT, .fields = injury_protection},
	{"UNINSURED_MOTORISTS", FIELD_OBJECT, .fields = motorists},
	{"UNDERINSURED_MOTORISTS", FIELD_OBJECT, .fields = motorists},
	{"COLLISION", FIELD_OBJECT, .fields = own_damage},
	{"COMPREHENSIVE", FIELD_OBJECT, .fields = own_damage},
	{"EMERGENCY_ROAD_SERVICE", FIELD_OBJECT, .fields = road_service},
	{"RENTAL_REIMBURSEMENT", FIELD_OBJECT, .fields = rental},
	{NULL}};

static const Field company_fields[] = {{"type", FIELD_WORD,
										.words = "LIEN_HOLDER,OTHER_PARTY_TO_NOTIFY"},
									   {"name", FIELD_TEXT},
									   {"address", FIELD_TEXT},
									   {NULL}};

static const Field ownership_fields[] = {{"type", FIELD_WORD, .words = "OWN,LEASE,FINANCE"},
										 {"financing_companies", FIELD_LIST,
										  .fields = company_fields},
										 {"loan_duration_months", FIELD_WHOLE, .least = 1,
										  .when = "type", .is_in = "LEASE,FINANCE"},
										 {NULL}};

static const Field add_vehicle_fields[] = {
	POLICY,
	{"vehicle", FIELD_OBJECT, .fields = vehicle_fields},
	{"replacing_vin", FIELD_TEXT, .optional = true},
	{"registered_owner_full_name", FIELD_TEXT},
	{"registered_co_owner_full_name", FIELD_TEXT, .optional = true},
	{"registered_state", FIELD_WORD,
	 .words = "AL,AK,AS,AZ,AR,CA,CO,CT,DE,DC,FM,FL,GA,GU,HI,ID,IL,IN,IA,KS,KY,LA,ME,MH,MD,MA,MI,"
			  "MN,MS,MO,MT,NE,NV,NH,NJ,NM,NY,NC,ND,MP,OH,OK,OR,PW,PA,PR,RI,SC,SD,TN,TX,UT,VT,VI,"
			  "VA,WA,WV,WI,WY"},
	{"garaging_address", FIELD_TEXT},
	{"is_customized", FIELD_BOOLEAN},
	{"primary_use", FIELD_OBJECT, .fields = use_fields},
	{"primary_driver_full_name", FIELD_TEXT},
	{"annual_mileage", FIELD_NUMBER},
	{"current_mileage", FIELD_NUMBER},
	{"coverage_selections", FIELD_OBJECT, .fields = coverage_fields},
	{"safety_restraint_device", FIELD_WORD,
	 .words = "NONE,AUTOMATIC_SEAT_BELTS,DRIVER_SIDE_AIR_BAG,FULL_FRONT_AIR_BAG"},
	{"anti_theft_device", FIELD_WORD,
	 .words = "UNKNOWN,NONE,ALARM_ONLY,NON_PASSIVE_DISABLING_DEVICE,PASSIVE_DISABLING_DEVICE,"
			  "VEHICLE_RECOVERY_SYSTEM,VEHICLE_RECOVERY_SYSTEM_PASSIVE_DISABLING_DEVICE,"
			  "ELECTRONIC_HOMING_DEVICE"},
	{"daytime_running_lights", FIELD_BOOLEAN},
	{"tracking_device", FIELD_BOOLEAN},
	{"vehicle_acquisition_date", FIELD_DATE},
	{"vehicle_ownership", FIELD_OBJECT, .fields = ownership_fields},
	{NULL}};

static const struct
{
	const char *type;
	const Field *fields;
} actions_known[] = {
	{"ADD_MORTGAGEE", mortgagee_fields},
	{"EDIT_MORTGAGEE", mortgagee_fields},
	{"REMOVE_MORTGAGEE", remove_fields},
	{"ADD_VEHICLE", add_vehicle_fields},
};

#define ACTION_TYPES "ADD_MORTGAGEE, EDIT_MORTGAGEE, REMOVE_MORTGAGEE or ADD_VEHICLE"

static void
refuse(const char *place, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s: %s", place, problem),
					errhint("See \"Service a policy\" in doc/canopy.md.")));
}

/* A text or a boolean as text; NULL for anything else. */
static const char *
word_of(const JsonbValue *value)
{
	if (value == NULL)
		return NULL;
	if (value->type == jbvBool)
		return value->val.boolean ? "true" : "false";
	return value->type == jbvString ? pnstrdup(value->val.string.val, value->val.string.len) : NULL;
}

/* Whether a field of an object is there to be filled. */
static bool
applies(const Field *field, JsonbContainer *object)
{
	const char *value = field->when ? word_of(member_value(object, field->when)) : NULL;

	return field->when == NULL || (value != NULL && word_is_listed(value, field->is_in));
}

static void check_object(const char *place, JsonbValue *value, const Field *fields);

static void
check_word(const char *place, const JsonbValue *value, const Field *field)
{
	const char *word = value->type == jbvString ? word_of(value) : NULL;

	if (word == NULL || !word_is_listed(word, field->words))
		refuse(place, psprintf("must be one of %s", field->words));
}

static void
check_number(const char *place, JsonbValue *value, const Field *field)
{
	Datum number;
	bool isnull;
	double amount;

	if (value->type != jbvNumeric)
		refuse(place, "must be a number");
	amount = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	if (field->type == FIELD_WHOLE &&
		(!coerce_value(COLUMN_BIGINT, value, &number, &isnull) || isnull))
		refuse(place, "must be a whole number");
	if (isinf(amount))
		refuse(place, "is too large");
	if (amount < field->least || (field->most != 0 && amount > field->most))
		refuse(place, field->most != 0
						  ? psprintf("must be between %lld and %lld", (long long) field->least,
									 (long long) field->most)
						  : psprintf("must be at least %lld", (long long) field->least));
}

static void
check_date(const char *place, JsonbValue *value)
{
	int year = 0;
	int month = 0;
	int day = 0;
	const char *text = value->type == jbvString ? word_of(value) : "";

	if (strlen(text) != 10 || strspn(text, "0123456789-") != 10 ||
		sscanf(text, "%4d-%2d-%2d", &year, &month, &day) != 3 || year < 1 || month < 1 ||
		month > 12 || day < 1 || day > day_tab[isleap(year)][month - 1])
		refuse(place, "must be a date, such as 2026-01-31");
}

static void
check_list(const char *place, JsonbValue *value, const Field *field)
{
	JsonWalk walk;

	if (!value_is_array(value))
		refuse(place, "must be an array");
	walk = walk_begin(value->val.binary.data);
	for (int i = 0; walk_next(&walk); i++)
		check_object(psprintf("%s[%d]", place, i), &walk.value, field->fields);
}

static void
check_value(const char *place, JsonbValue *value, const Field *field)
{
	const char *text = value->type == jbvString ? word_of(value) : NULL;

	switch (field->type)
	{
		case FIELD_TEXT:
			if (text == NULL || text[strspn(text, " \t\r\n")] == '\0')
				refuse(place, "must be a text that is not blank");
			break;
		case FIELD_WORD:
			check_word(place, value, field);
			break;
		case FIELD_WHOLE:
		case FIELD_NUMBER:
			check_number(place, value, field);
			break;
		case FIELD_BOOLEAN:
			if (value->type != jbvBool)
				refuse(place, "must be true or false");
			break;
		case FIELD_DATE:
			check_date(place, value);
			break;
		case FIELD_VIN:
			if (text == NULL || !vin_is_valid(text))
				refuse(place, "must be a VIN: 17 digits and capital letters, without I, O and Q");
			break;
		case FIELD_OBJECT:
			check_object(place, value, field->fields);
			break;
		case FIELD_LIST:
			check_list(place, value, field);
			break;
	}
}

/* Check an object: no member but its fields, and none of them missing. */
static void
check_object(const char *place, JsonbValue *value, const Field *fields)
{
	JsonbContainer *object;
	JsonWalk walk;

	if (!value_is_object(value))
		refuse(place, "must be an object");
	object = value->val.binary.data;
	for (const Field *field = fields; field->name != NULL; field++)
	{
		JsonbValue *member = member_value(object, field->name);
		const char *inner = psprintf("%s.%s", place, field->name);

		if (!applies(field, object))
			continue;
		if (member == NULL && !field->optional)
			refuse(inner, "is missing");
		if (member != NULL)
			check_value(inner, member, field);
	}
	walk = walk_begin(object);
	while (walk_next(&walk))
	{
		const char *name = pnstrdup(walk.key.val.string.val, walk.key.val.string.len);
		const Field *field = fields;

		while (field->name != NULL && (strcmp(field->name, name) != 0 || !applies(field, object)))
			field++;
		if (field->name == NULL)
			refuse(place, psprintf("has a field \"%s\" that is unknown, or not for it", name));
	}
}

static const Field *
fields_of(const char *type)
{
	for (int i = 0; type != NULL && i < lengthof(actions_known); i++)
		if (strcmp(actions_known[i].type, type) == 0)
			return actions_known[i].fields;
	return NULL;
}

/* Check what an action of a type says. */
void
servicing_check_payload(const char *type, Jsonb *payload)
{
	JsonbValue value = {.type = jbvBinary};

	value.val.binary.data = &payload->root;
	value.val.binary.len = VARSIZE(payload) - VARHDRSZ;
	check_object("payload", &value, fields_of(type));
}

/* Check an action: its type, and what it says. */
static void
check_action(const char *place, JsonbValue *action)
{
	JsonbContainer *object;
	const char *type;
	const Field *payload;

	if (!value_is_object(action))
		refuse(place, "must be an object of type and payload");
	object = action->val.binary.data;
	type = word_of(member_value(object, "type"));
	payload = fields_of(type);
	if (payload == NULL)
		refuse(psprintf("%s.type", place), "must be " ACTION_TYPES);
	check_object(place, action,
				 (const Field[]){{"type", FIELD_TEXT},
								 {"payload", FIELD_OBJECT, .fields = payload},
								 {NULL}});
}

/* Check a list of actions, of which there has to be one at least. */
void
servicing_check_actions(Jsonb *actions)
{
	JsonWalk walk;

	if (!JB_ROOT_IS_ARRAY(actions) || JB_ROOT_IS_SCALAR(actions) || JB_ROOT_COUNT(actions) == 0)
		refuse("actions", "must be an array of at least one action");
	walk = walk_begin(&actions->root);
	for (int i = 0; walk_next(&walk); i++)
		check_action(psprintf("actions[%d]", i), &walk.value);
}
