-- pull/dictionary.sql: what the columns of the entity tables are, for \d+ and doc/reference.md.
-- Replaceable. A view takes it over from its table, and adds whether the column is masked.

SELECT canopy_summit.describe((SELECT string_agg('canopy_summit.' || e, ' ') FROM canopy_summit.entities() AS e), $notes$
server: foreign server that the pull came through, by the name it had then
pull_id: the pull
environment: production or sandbox: that of the server when the current version was stored
is_current: whether the pull is the newest of its account that has data, which the view without _all shows
ordinal: number of the row within its pull and table, from 1
parent_ordinal: ordinal of the row that it is part of
extra: fields of the API that have no column, and values that do not fit theirs
account_identifier: the account at the carrier: the same over all pulls of its holder
policy_id: the policy
vehicle_id: the vehicle
driver_id: the driver
dwelling_id: the dwelling
location_id: the location
address_id: the address
mortgagee_id: the mortgagee
additional_interest_id: the additional interest
named_insured_id: the named insured
agent_info_id: the agent
life_policy_details_id: the details of a life policy
declared_pull_id: pull_id as the object itself has it
consumer_flow_section_id: the section of the link flow
consumer_flow_section_field_id: the field of the link flow
first_name: first name
middle_name: middle name
last_name: last name
full_name: whole name
email: e-mail address
phone_number: telephone number
home_phone: telephone number at home
mobile_phone: mobile telephone number
work_phone: telephone number at work
work_phone_extension: extension of work_phone
drivers_license: number of the driver's license
drivers_license_state: state that issued the driver's license
date_of_birth_str: date of birth as the carrier writes it, in no fixed format
gender: gender; known values: MALE, FEMALE, NONBINARY
marital_status: marital status; known values: SINGLE, MARRIED, DIVORCED, WIDOWED, SEPARATED, CIVIL_UNION, DOMESTIC_PARTNERSHIP
education: education; known values: LESS_THAN_HIGH_SCHOOL, HIGH_SCHOOL, SOME_COLLEGE, BACHELORS, DOCTORS, ASSOCIATES, MASTERS, LAW, VOCATIONAL, PHD, HIGH_SCHOOL_GED, COLLEGE_DEGREE, IN_COLLEGE, GRADUATE_WORK
occupation: occupation, free text
relationship_to_insured: relationship to insured; known values: INSURED, SPOUSE, BROTHER, SISTER, FATHER, MOTHER, PARENT, DAUGHTER, SON, CHILD, RELATIVE, DOMESTIC_PARTNERSHIP
age: years of age on age_on_date
age_on_date: day for which age is given
age_licensed: years of age when first licensed
source: where the driver was found, such as CARRIER or CONSUMER
friendly_name: name of the coverage to show
premium_cents: premium, in cents
per_person_limit_cents: limit a person, in cents
per_person_unlimited: true: no limit a person
per_incident_limit_cents: limit an incident, in cents
per_incident_unlimited: true: no limit an incident
per_day_limit_cents: limit a day, in cents
deductible_cents: deductible, in cents
is_declined: true: the coverage was declined
download_url: address of the file at the API, which asks for credentials$notes$);

SELECT canopy_summit.describe('canopy_summit.pull', $notes$
status: how far the pull is; known values: STARTED, QUEUED, DOCUMENT_PARSING, PROCESSING, IDENTITY_VERIFICATION_OPTIONS, IDENTITY_VERIFICATION, GETTING_CONSUMERS, PULLING_DATA, SERVICING, WAITING_FOR_CONSUMER_CONFIRMATION, SUBMITTING_CONFIRMATION, NOT_AUTHENTICATED, INTERNAL_ERROR, PROVIDER_ERROR, VALIDATION_ERROR, SUCCESS, INCOMPLETE
email: e-mail address that the consumer entered, if any; see account_email
account_email: e-mail address of the account at the carrier
phone: telephone number to use first
insurance_provider_name: identifier of the carrier, not to be shown
insurance_provider_friendly_name: name of the carrier to show
team_id: team of the pull
widget_id: widget, or link, that the pull came through
meta_data: what the developer gave along with the pull
is_archived: whether it is archived at Canopy
created_at: when the account holder consented
public_alias: alias of the link that the pull came through
public_url: the whole address by which the pull was made
encountered_mfa: whether the login asked for a second factor
no_policies: true: the account has no policies
no_drivers: true: the account has no drivers
no_documents: true: the account has no documents
no_claims: true: the account has no claims
no_loss_events: true: the account has no loss events
type: kind of pull; known values: PULLING_DATA, SERVICING, DOCUMENT_UPLOAD, DOCUMENT_PARSING, AGENT, MANUAL_ENTRY, POLICY_LOOKUP, CONTACT_ME
parent_pull_id: pull that this one is part of; of such a one no webhook tells
policy_check_status: result of all policy checks; known values: NONE, COMPLIANT, NOT_COMPLIANT, REVIEW_REQUIRED
skipped_product_types: kinds of products that were skipped for lack of access; known values: personal, commercial, agent
funnel_premium: total premium won, once funnel_stage is WON; its unit is not documented
funnel_stage: stage of the deal; known values: WORKING, WON, LOST
funnel_assignee_agent_id: agent whom the pull is assigned to
funnel_assignee_email: e-mail address of that agent
funnel_assignee_first_name: first name of that agent
funnel_assignee_last_name: last name of that agent
gender: as the consumer entered it; known values: MALE, FEMALE, NONBINARY
marital_status: as the consumer entered it; known values: SINGLE, MARRIED, DIVORCED, WIDOWED, SEPARATED, CIVIL_UNION, DOMESTIC_PARTNERSHIP
education: as the consumer entered it; known values: LESS_THAN_HIGH_SCHOOL, HIGH_SCHOOL, SOME_COLLEGE, BACHELORS, DOCTORS, ASSOCIATES, MASTERS, LAW, VOCATIONAL, PHD, HIGH_SCHOOL_GED, COLLEGE_DEGREE, IN_COLLEGE, GRADUATE_WORK
occupation: as the consumer entered it$notes$);

SELECT canopy_summit.describe('canopy_summit.policy', $notes$
name: a name to show, such as HOME and the policy number
description: a description to show
carrier_policy_number: policy number at the carrier
policy_type: kind of policy; known values: AUTO, NAMED_NON_OWNER, CLASSIC_CAR, BOAT, CONDO, FARMOWNER, FLOOD, HOMEOWNERS, LANDLORD, LIFE, MOTORCYCLE, TERM_LIFE, UNIVERSAL_LIFE, WHOLE_LIFE, RENTERS, SNOWMOBILE, UMBRELLA, RECREATIONAL_VEHICLE, FIRE, TRAILER, PERSONAL_ARTICLES, EARTHQUAKE, BUSINESS_OWNERS, COMMERCIAL_UMBRELLA, COMMERCIAL_AUTO, COMMERCIAL_FIRE, COMMERCIAL_AGRIBUSINESS, COMMERCIAL_PACKAGE, COMMERCIAL_PROPERTY, COMBO, OFFROAD_VEHICLE, WORKERS_COMPENSATION, MOBILE_HOME, PET, PERSONAL_LIABILITY, GENERAL_LIABILITY, ERRORS_AND_OMISSIONS, INLAND_MARINE, GARAGE, EXCESS_LIABILITY, CYBER, IDENTITY_THEFT, COMMERCIAL_CRIME, ARTISAN_AND_SERVICE_CONTRACTORS, FARM_POLLUTION_LIABILITY, FARM_UMBRELLA, MANAGEMENT_LIABILITY, GOLF_CART, YACHT, PERSONAL_WATERCRAFT, STANDARD_PROPERTY, CONTRACTORS_EQUIPMENT, WINDSTORM, SHORT_TERM_DISABILITY, LONG_TERM_DISABILITY, LONG_TERM_CARE
effective_date: first day of coverage
expiry_date: day from which the policy is not in force
renewal_date: first day of the next term
canceled_date: day on which the policy was canceled
total_premium_cents: premium of the term, in cents
paid_in_full: whether the premium is paid in full
amount_paid_cents: paid so far, in cents
amount_due_cents: still due, in cents
total_estimated_annual_premium_cents: estimated premium a year, in cents; of workers' compensation
total_minimum_premium_cents: least premium, in cents; of workers' compensation
total_deposit_premium_cents: deposit premium, in cents; of workers' compensation
carrier_name: identifier of the carrier, not to be shown
carrier_friendly_name: name of the carrier to show
status: state of the policy; known values: ACTIVE, CANCELLED, EXPIRED, UNVERIFIED, PENDING_ACTIVATION, PENDING_CANCELLATION, RESCINDED, QUOTE
state: state whose law the policy follows, two letters
limited_access: by its name, whether access to details was limited; by the API's words, whether the carrier gave it
form_of_business: of commercial policies; known values: INDIVIDUAL, PARTNERSHIP, LIMITED_LIABILITY_COMPANY, S_CORPORATION, CORPORATION, JOINT_VENTURE, NOT_FOR_PROFIT_ORGANIZATION, TRUST
deductible_cents: deductible of a commercial policy, in cents
is_monoline: true: the only policy of its account
is_telematics_enabled: whether driving is recorded; of auto policies
payment_frequency: payment frequency; known values: MONTHLY, QUARTERLY, SEMIANNUALLY, ANNUALLY
last_payment_date: day of the last payment
is_selected: whether the consumer selected it$notes$);

SELECT canopy_summit.describe('canopy_summit.vehicle', $notes$
year: model year
make: make
model: model
series: series
series2: series, continued
type: kind of vehicle, free text
annual_mileage: miles a year
current_mileage: miles driven when it was pulled
vin: vehicle identification number
hin: hull identification number of a boat
serial_number: serial number
uses: what it is used for; known values: PERSONAL, COMMUTE, WORK, SCHOOL, PLEASURE, FARM, RIDESHARE, BUSINESS
purchase_date: day of purchase
ownership_type: ownership type; known values: OWN, FINANCE, LEASE
features: features, in the carrier's words
is_removed: true: not on the policy any more
lien_holder: name of the lien holder$notes$);

SELECT canopy_summit.describe('canopy_summit.vehicle_coverage', $notes$
vehicle_coverage_id: the coverage
premium_group_id: the group of coverages that it shares a premium with
name: kind of coverage, such as BODILY_INJURY_LIABILITY, COMPREHENSIVE or COLLISION
max_days: most days for which per_day_limit_cents is paid
actual_cash_value: true: pays the actual cash value
is_stacked: true: stacked; false: not; NULL: unknown, or does not apply
pip_deductible_applicability: whom the deductible of personal injury protection is for; known values: NAMED_INSURED, NAMED_INSURED_AND_RESIDENT_RELATIVES
per_mile_premium_tenth_of_cents: premium a mile, in tenths of a cent$notes$);

SELECT canopy_summit.describe('canopy_summit.vehicle_driver', $notes$
is_excluded: true: excluded from the policy or the vehicle
is_primary: true: the vehicle's primary or rated driver; NULL: nothing says so$notes$);

SELECT canopy_summit.describe('canopy_summit.dwelling', $notes$
mortgagee_name: name of the lender; old, see canopy.mortgagee
mortgage_loan_number: number of the loan; old, see canopy.mortgagee
replacement_cost_cents: cost to rebuild, in cents
cash_value_cents: cash value, in cents
loss_settlement_type: loss settlement type; known values: REPLACEMENT_COST, ACTUAL_CASH_VALUE
extended_replacement_cost_percent: percent by which the limit of the dwelling may be exceeded
total_replacement_cost_cents: replacement_cost_cents * (1 + extended_replacement_cost_percent / 100), in cents
is_replacement_cost_cents_derived: true: replacement_cost_cents is the limit of the dwelling coverage$notes$);

SELECT canopy_summit.describe('canopy_summit.dwelling_coverage', $notes$
dwelling_coverage_id: the coverage
name: kind of coverage; known values, of 49: ADDITIONAL_LIVING_EXPENSE, ALL_OTHER_PERILS, ALL_PERILS, BASE, BICYCLE, BUILDING and so on
per_incident_limit_percent: limit an incident, in percent of the dwelling's limit
per_incident_limit_months: limit an incident, in months
deductible_percent: deductible, in percent of the dwelling's limit$notes$);

SELECT canopy_summit.describe('canopy_summit.property_data', $notes$
property_data_id: the record
apn: number of the parcel at the assessor
class: class of property; known values, of 23: AGRICULTURAL, AMUSEMENT_RECREATION, APARTMENT, COMMERCIAL, COMMERCIAL_CONDOMINIUM, CONDOMINIUM_RESIDENTIAL and so on
sub_type: kind of use; known values: AGRICULTURE_FARMING, COMMERCIAL, INDUSTRIAL, OTHER, OTHER_UNKNOWN, PUBLIC_WORKS, RESIDENTIAL, VACANT_LAND
year_built: year of construction
construction_type: construction; known values, of 62: A_FRAME, ADOBE, ALUMINUM_FRAME, ALUMINUM_SIDING, ALUMINUM_VINYL, ARCHED_DOME and so on
wall_type: outer walls; known values, of 108: $2X2_FRAME, $2X3_FRAME, $2X4_FRAME, $2X6_FRAME, $8_INCH_PAINT, ADOBE and so on
foundation_type: foundation; known values, of 60: BLOCK, BLOCK_UNSPECIFIED, BRICK, BRICK_UNSPECIFIED, CLOSED_PIERS, CONCRETE and so on
frame_type: frame; known values: ALUMINUM_FRAME, CONCRETE, CONCRETE_STEEL, CUSTOM, FIRE_RESISTANT, MASONRY, PRE_FAB, STEEL, TYPE_UNKNOWN, WOOD
roof_cover: cover of the roof; known values, of 40: ALUMINUM, ASBESTOS, ASPHALT, AVERAGE_COMPOSITION_SHINGLE, BAR_TILE_SPANISH_STYLE, BI_METAL_TWO_PLY and so on
roof_shape: shape of the roof; known values, of 33: A_FRAME, ARCHED, BARN, BARREL, BOWSTRING_TRUSS, BUBBLE and so on
cooling_type: cooling; known values, of 41: AC_CENTRAL, AC_CENTRAL_AND_UNIT, AC_CENTRAL_PARTIAL, AC_COMMERCIAL_AC, AC_DUAL_UNIT, AC_EVAPORATIVE and so on
heating_type: heating; known values, of 35: BASEBOARD, CEILING_CABLE, CEILING_FURNACE, CENTRAL, COAL, CONVECTION and so on
heating_fuel: what it is heated with; known values: COAL, ELECTRIC, ELECTRIC_HOT_WATER, GAS, GEO_THERMAL, HEAT_PUMP, LIQUEFIED_PETROLEUM_GAS, NONE, NOT_AVAILABLE, NOT_PROVIDED, OIL, OTHER, PROPANE, SOLAR, SOLID, TYPE_UNKNOWN, WOOD
energy_type: supply of energy; known values: ABOVE_STANDARD, AVAILABLE, AVERAGE, BELOW_STANDARD, DEVELOPED, FAIR, GOOD, NO, NOT_AVAILABLE, NP, OVERHEAD, POOR, STANDARD, UNDERGROUND, UNKNOWN, YES
sewer_type: sewer; known values: BYPASS, CESSPOOL, COMMERCIAL, DEVELOPED, MUNICIPAL, NONE, NOT_AVAILABLE, NP, PRIVATE, PUBLIC, PUBLIC_SEPTIC, SANITARY, SEPTIC, STORM, UNKNOWN, YES
building_shape: shape of the building; known values: OTHER, COMPLEX, C_SHAPED, IRREGULAR, L_SHAPED, RECTANGLE, SLIGHTLY_IRREGULAR, SQUARE, VERY_IRREGULAR
construction_quality: quality of construction; known values: AVERAGE, CABIN, EXCELLENT, FAIR, GOOD, HIGH_QUALITY_RESIDENTIAL, LOW, NOT_AVAILABLE, NP, OTHER, UNKNOWN, VERY_GOOD
has_fireplace: whether there is a fireplace
num_fireplaces: number of fireplaces
fireplace_type: kind of fireplace; known values, of 22: $1_STORY_BRICK, $2_STORY, $2_STORY_BRICK, BACKED, CEILING_HIGH_BRICK, CUSTOM and so on
has_pool: whether there is a pool
pool_type: kind of pool; known values, of 71: OTHER, ABOVE_GROUND_POOL, ADULT_KIDDIE_POOLS, BUMPER_BOAT, CONCRETE_VINYL, FISH_POND and so on
square_ft: square feet
num_beds: number of bedrooms
num_baths_full: number of full bathrooms
num_baths_partial: number of partial bathrooms
num_stories: number of stories
num_units: number of units
garage_type: kind of garage; known values, of 66: CARPORT_FINISHED, ATTACHED_1_CAR, ATTACHED_2_CAR, ATTACHED_3_PLUS_CAR, ATTACHED_FINISHED, ATTACHED_UNFINISHED and so on
garage_square_ft: square feet of the garage
num_parking_spaces: number of parking spaces
assessed_improvement_value_cents: assessed value of the buildings, in cents
assessed_land_value_cents: assessed value of the land, in cents
assessed_total_value_cents: assessed value of both, in cents
market_improvement_value_cents: market value of the buildings, in cents
market_land_value_cents: market value of the land, in cents
market_total_value_cents: market value of both, in cents
owner1_first_name: first name of the first owner
owner1_last_name: last name of the first owner
owner2_first_name: first name of the second owner
owner2_last_name: last name of the second owner
owner3_first_name: first name of the third owner
owner3_last_name: last name of the third owner
owner4_first_name: first name of the fourth owner
owner4_last_name: last name of the fourth owner
first_mortgage_amount_cents: amount of the first mortgage, in cents
first_mortgage_lender: lender of the first mortgage
second_mortgage_amount_cents: amount of the second mortgage, in cents
second_mortgage_lender: lender of the second mortgage
purchase_date: day of purchase
purchase_price_cents: price of purchase, in cents
last_update_date: day of which the data are$notes$);

SELECT canopy_summit.describe('canopy_summit.location', $notes$
carrier_location_identifier: the location at the carrier
loss_settlement_type: loss settlement type; known values: REPLACEMENT_COST, ACTUAL_CASH_VALUE$notes$);

SELECT canopy_summit.describe('canopy_summit.location_coverage', $notes$
location_coverage_id: the coverage
name: kind of coverage, an open list; known values, of 154: GENERAL_AGGREGATE, PRODUCTS_AND_COMPLETED_OPERATIONS_AGGREGATE, BUILDING, BUSINESS_PERSONAL_PROPERTY, PERSONAL_PROPERTY_OF_OTHERS, BUILDING_PROPERTY_OF_OTHERS and so on
per_term_limit_cents: limit of the term, all incidents together, in cents
per_policy_year_limit_cents: limit a policy year, in cents
business_income_limit_cents: limit of lost business income, in cents
per_employee_limit_cents: limit an employee, in cents
als_months: months for which the loss actually sustained is paid
seasonal_increase_percent: percent by which the limit rises each season
extended_business_income_duration: how long income is paid after operations resume, as an ISO 8601 duration
period_of_restoration_duration: period of restoration, as an ISO 8601 duration
duration_of_coverage_duration: duration of coverage, as an ISO 8601 duration
waiting_period_duration: waiting period, as an ISO 8601 duration
limit_percent: limit, in percent
deductible_percent: deductible, in percent of the building's limit$notes$);

SELECT canopy_summit.describe('canopy_summit.location_operation', $notes$
location_operation_id: the operation
class_code: class code of workers' compensation, 3 or 4 digits
description: what is done there
estimated_annual_remunerations_cents: estimated payroll a year, in cents
rate_cents: cents for 100 dollars of payroll
estimated_annual_premium_cents: estimated premium a year, in cents: estimated_annual_remunerations_cents * rate_cents / 10000$notes$);

SELECT canopy_summit.describe('canopy_summit.mortgagee', $notes$
mortgagee_name: name of the lender
mortgagee_type: rank of the lender; known values: FIRST, SECOND, THIRD
mortgage_loan_number: number of the loan$notes$);

SELECT canopy_summit.describe('canopy_summit.additional_interest', $notes$
additional_interest_name: name
additional_interest_type: additional interest type; known values: ADDITIONAL_INSURED, LANDLORD, PROPERTY_MANAGER, HOME_ASSOCIATION, CERTIFICATE_HOLDER$notes$);

SELECT canopy_summit.describe('canopy_summit.named_insured', $notes$
is_primary_named_insured: whether the policy names this one first$notes$);

SELECT canopy_summit.describe('canopy_summit.commercial_named_insured', $notes$
commercial_named_insured_id: the named insured
name: name of the business
form_of_business: form of business; known values: INDIVIDUAL, PARTNERSHIP, LIMITED_LIABILITY_COMPANY, S_CORPORATION, CORPORATION, JOINT_VENTURE, NOT_FOR_PROFIT_ORGANIZATION, TRUST
gl_code: class code of general liability
sic_code: code of the Standard Industrial Classification
naics_code: code of the North American Industry Classification System
fein: federal employer identification number
business_phone: telephone number of the business
business_email: e-mail address of the business
website_url: website of the business
is_primary_named_insured: whether the policy names this one first
number_of_employees: number of employees
minimum_premium_cents: least premium, in cents; of workers' compensation
total_estimated_annual_premium_cents: estimated premium a year, in cents; of workers' compensation$notes$);

SELECT canopy_summit.describe('canopy_summit.life_details', $notes$
face_amount_cents: face amount, in cents
death_benefit_amount_cents: benefit on death, in cents
total_cash_value_cents: cash value, in cents
total_loan_balance_cents: loans not paid back, in cents
dividend_option: what becomes of dividends; known values: PAID_UP_ADDITIONS, ACCUMULATE_AT_INTEREST, CASH_OR_CHECK, PREMIUM_REDUCTION, POLICY_LOAN_REDUCTION, OTHER
total_accumulated_dividend_cents: dividends accumulated, in cents
total_surrender_value_cents: value on surrender, in cents
loan_variable_interest_rate_percent: variable rate of interest on loans, in percent
paid_up_date: day from which no premium is due
total_accumulated_dividend_on_date: day of which total_accumulated_dividend_cents is
total_loan_balance_on_date: day of which total_loan_balance_cents is
total_cash_value_on_date: day of which total_cash_value_cents is
total_surrender_value_on_date: day of which total_surrender_value_cents is
policy_owner_first_name: first name of the owner
policy_owner_middle_name: middle name of the owner
policy_owner_last_name: last name of the owner
policy_owner_full_name: whole name of the owner
policy_payor_first_name: first name of who pays
policy_payor_middle_name: middle name of who pays
policy_payor_last_name: last name of who pays
policy_payor_full_name: whole name of who pays$notes$);

SELECT canopy_summit.describe('canopy_summit.life_rider', $notes$
life_policy_rider_id: the rider
name: kind of rider; known values: GUARANTEED_INSURABILITY, ACCIDENTAL_DEATH, WAIVER_OF_PREMIUM, FAMILY_INCOME_BENEFIT, ACCELERATED_DEATH_BENEFIT, CHILD_TERM, LONG_TERM_CARE, RETURN_OF_PREMIUM, LEVEL_DEATH_BENEFIT, VARIABLE_DEATH_BENEFIT, MILITARY_FUTURE_INSURABILITY
friendly_name: name of the rider to show
effective_date: first day
expiry_date: last day$notes$);

SELECT canopy_summit.describe('canopy_summit.life_beneficiary', $notes$
life_policy_beneficiary_id: the beneficiary
named_insured_id: the insured whose beneficiary it is
type: rank of the beneficiary; known values: PRIMARY, SUCCESSOR, FINAL
designation: how a share passes on; known values: PER_STIRPES, PER_CAPITA
distribution_percent: share, in percent$notes$);

SELECT canopy_summit.describe('canopy_summit.policy_form', $notes$
policy_form_id: the form, the same in other pulls
form_name: name of the form
form_number: number of the form, at times with its edition
form_type: form type; known values: FORM, ENDORSEMENT
endorsement_type: of an endorsement; known values, of 82: SINKHOLE_COVERAGE, WATER_OR_STEAM_SEEPAGE_OR_LEAKAGE_COVERAGE, REFRIGERATED_PROPERTY_COVERAGE, SERVICE_LINE_COVERAGE, EXTENDED_REPLACEMENT_COST_COVERAGE, EXTENDED_ROOF_SURFACES_COVERAGE and so on
is_exclusion_endorsement: whether an endorsement excludes something
pdf_available: whether the API has its PDF; false may become true$notes$);

SELECT canopy_summit.describe('canopy_summit.premium_group', $notes$
premium_group_id: the group
premium_cents: premium of all coverages of the group together, in cents
vehicle_coverage_ids: the coverages of the group$notes$);

SELECT canopy_summit.describe('canopy_summit.policy_check', $notes$
status: result of the check; known values: NONE, COMPLIANT, NOT_COMPLIANT, REVIEW_REQUIRED
details: result of each item of the check$notes$);

SELECT canopy_summit.describe('canopy_summit.document', $notes$
document_id: the document
title: title
date_added: day from which the document is effective
document_type: kind of document; known values: INSURANCE_APPLICATION, INSURANCE_BINDER, DECLARATIONS, ENDORSEMENT, INSURANCE_ID_CARD, VERIFICATION_OF_INSURANCE, LOSS_RUN, ESIGN_PACKET, NOTICE_OF_CANCELLATION, CANCELLATION, NONRENEWAL_NOTICE, ESIGNATURE, QUOTE, NOTES
mime_type: application/pdf or image/jpeg$notes$);

SELECT canopy_summit.describe('canopy_summit.address', $notes$
address_role: field of the pull that the address stood in, such as garaging_address
full_address: the address in one line
address_nature: address nature; known values: MAILING, PHYSICAL, LIENHOLDER, INCIDENT_LOCATION, AGENCY_LOCATION, MORTGAGEE, ADDITIONAL_INTEREST
country: country
number: number of the house
street: street, without direction and type
type: type of street, shortened, such as St
city: city
state: state, two letters
sec_unit_type: kind of unit, such as Apt
sec_unit_num: number of the unit, which may have letters
zip: ZIP code
prefix: direction before the street, such as N or NE$notes$);

SELECT canopy_summit.describe('canopy_summit.claim', $notes$
claim_id: the claim
address_id: where it happened
carrier_claim_identifier: the claim at the carrier
date_occurred: day on which it happened
type: type; known values: WIND_AND_HAIL_DAMAGE, WATER_DAMAGE_AND_FREEZING, FIRE_AND_LIGHTNING_DAMAGE, OTHER_PROPERTY_DAMAGE, PERSONAL_LIABILITY, POWER_OUTAGE_OR_SURGE, THEFT, CAR_ACCIDENT, WINDSHIELD_DAMAGE, ANIMAL_COLLISION, VANDALISM, WEATHER, EMERGENCY_ROADSIDE_ASSISTANCE, MEDICAL, HURRICANE_DAMAGE, SEWAGE_BACKUP
status: status; known values: OPEN, CLOSED
date_closed: day on which the claim was closed
payout_cents: paid in all, in cents
representative_name: name of who handles the claim
representative_phone: telephone number of who handles it
representative_email: e-mail address of who handles it$notes$);

SELECT canopy_summit.describe('canopy_summit.driving_record', $notes$
driving_record_id: the record
incident_date: day of the incident
incident_type: incident type; known values: ACCIDENT, VIOLATION
violation_type: of a violation; known values: MOVING, SPEEDING, RECKLESS_DRIVING, DRIVING_WITHOUT_VALID_LICENSE, DRIVING_WITHOUT_INSURANCE, HIT_AND_RUN, DISTRACTED_DRIVING, DRIVING_UNDER_INFLUENCE, FAILURE_TO_YIELD, TAILGATING, OPEN_CONTAINER_OF_ALCOHOL
is_at_fault: whether the driver was at fault$notes$);

SELECT canopy_summit.describe('canopy_summit.loss_event', $notes$
loss_event_id: the loss event
date_of_occurrence: day on which it happened
type: type; known values: BURGLARY_AND_THEFT, WATER_DAMAGE_AND_FREEZING_DAMAGE, WIND_AND_HAIL_DAMAGE, HURRICANE_DAMAGE, FIRE, CUSTOMER_SLIPS_AND_FALLS, CUSTOMER_INJURY_AND_DAMAGE, PERSONAL_AND_ADVERTISING_INJURY, EMPLOYEE_INJURY_OR_ILLNESS, PRODUCT_LIABILITY, STRUCK_BY_AN_OBJECT, REPUTATIONAL_HARM, VEHICULAR_ACCIDENT, WINDSHIELD_DAMAGE, STRIKE_RIOT_OR_CIVIL_COMMOTION, EMERGENCY_ROADSIDE_ASSISTANCE, VANDALISM_AND_MALICIOUS_MISCHIEF, EQUIPMENT_BREAKDOWN
date_of_claim: day of the claim
amount_paid_cents: paid, in cents
amount_reserved_cents: reserved, in cents
is_subrogation: whether subrogation succeeded
is_claim_open: whether the claim is open$notes$);

SELECT canopy_summit.describe('canopy_summit.agent', $notes$
agency_name: name of the agency
name: name of the agent, as older pulls have it
address: address of the agent, as older pulls have it
agent_full_name: whole name of the agent
policy_ids: policies of the agent
address_id: address of the agent or agency$notes$);

SELECT canopy_summit.describe('canopy_summit.answer', $notes$
label: the question as the consumer saw it
meta: rules and display options of the field
type: type; known values: TEXT, NUMBER, BOOLEAN, DATE, FILE_UPLOAD
value: the answer; NULL if there is none$notes$);

SELECT canopy_summit.describe('canopy_summit.answer_file', $notes$
name: name that the file had
size: size, in bytes
type: MIME type, such as application/pdf
file_id: the file$notes$);
