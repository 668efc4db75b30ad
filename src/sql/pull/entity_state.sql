-- pull/entity_state.sql: the typed tables that pulls are shredded into.
-- State, and the function that lists the tables, by which their keys are made.
--
-- The definition is the mapping: a column takes the JSON field of its name. To
-- read another field, add a column. All columns but the keys are nullable, no
-- value is constrained, and nothing refers to another table, so that nothing a
-- provider sends can fail. Rows are derived and can be rebuilt: canopy_remap().
-- Columns stand in the order of their width: 8 bytes, 4, 1, and then what varies. So numbers are found without walking
-- over texts, and little is lost to alignment. Before them all stands what every view tests and no row lacks; of
-- coverages, which are the most, the names that queries group them by come before the ids, and what they cover is told
-- by the row above alone: views have its ids.
-- pull/view_order.sql has the order in which views show them.
--   environment      as in pull_state, where tables are read without others: pull, policy
--   is_current       as in pull_state: here, too, so that views need not join
--   ordinal          number of the row within its pull and table, from 1
--   parent_ordinal   ordinal of the row it is part of
--   extra            fields without a column, values that do not fit theirs, and objects of a list
--                    that have no field of their table
--   declared_*       a field whose name is that of a key above
--   *_cents          the API's cents; views have a twin in whole units

CREATE TABLE canopy_summit.pull (
	created_at timestamptz,
	is_current boolean NOT NULL,
	is_archived boolean,
	encountered_mfa boolean,
	no_policies boolean,
	no_drivers boolean,
	no_documents boolean,
	no_claims boolean,
	no_loss_events boolean,
	server text NOT NULL, pull_id text NOT NULL,
	environment text NOT NULL,
	status text,
	account_identifier canopy_summit.personal_text,
	first_name canopy_summit.personal_text,
	middle_name canopy_summit.personal_text,
	last_name canopy_summit.personal_text,
	email canopy_summit.personal_text,
	account_email canopy_summit.personal_text,
	phone canopy_summit.personal_text,
	mobile_phone canopy_summit.personal_text,
	home_phone canopy_summit.personal_text,
	work_phone canopy_summit.personal_text,
	work_phone_extension canopy_summit.personal_text,
	insurance_provider_name text,
	insurance_provider_friendly_name text,
	team_id text,
	widget_id text,
	meta_data jsonb,
	public_alias text,
	public_url canopy_summit.personal_text,
	type text,
	parent_pull_id text,
	policy_check_status text,
	skipped_product_types text[],
	funnel_premium numeric,
	funnel_stage text,
	funnel_assignee_agent_id text,
	funnel_assignee_email canopy_summit.personal_text,
	funnel_assignee_first_name canopy_summit.personal_text,
	funnel_assignee_last_name canopy_summit.personal_text,
	gender canopy_summit.personal_text,
	marital_status canopy_summit.personal_text,
	education canopy_summit.personal_text,
	occupation canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.pull IS 'consumer authorisations: one row a pull; gender, marital_status, education and occupation as the consumer entered them';

CREATE TABLE canopy_summit.policy (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	total_premium_cents bigint,
	amount_paid_cents bigint,
	amount_due_cents bigint,
	total_estimated_annual_premium_cents bigint,
	total_minimum_premium_cents bigint,
	total_deposit_premium_cents bigint,
	deductible_cents bigint,
	parent_ordinal integer,
	effective_date date,
	expiry_date date,
	renewal_date date,
	canceled_date date,
	last_payment_date date,
	paid_in_full boolean,
	limited_access boolean,
	is_monoline boolean,
	is_telematics_enabled boolean,
	is_selected boolean,
	server text NOT NULL, pull_id text NOT NULL,
	environment text NOT NULL,
	account_identifier canopy_summit.personal_text,
	policy_id text,
	name canopy_summit.personal_text,
	description canopy_summit.personal_text,
	carrier_policy_number canopy_summit.personal_text,
	policy_type text,
	carrier_name text,
	carrier_friendly_name text,
	status text,
	state text,
	form_of_business text,
	payment_frequency text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.policy IS 'policies';

CREATE TABLE canopy_summit.vehicle (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	year integer,
	annual_mileage integer,
	current_mileage integer,
	purchase_date date,
	is_removed boolean,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	vehicle_id text,
	make text,
	model text,
	series text,
	series2 text,
	type text,
	vin canopy_summit.personal_text,
	hin canopy_summit.personal_text,
	serial_number canopy_summit.personal_text,
	uses text[],
	ownership_type text,
	features text[],
	lien_holder canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.vehicle IS 'vehicles of a policy';

CREATE TABLE canopy_summit.vehicle_coverage (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	premium_cents bigint,
	per_person_limit_cents bigint,
	per_incident_limit_cents bigint,
	per_day_limit_cents bigint,
	deductible_cents bigint,
	per_mile_premium_tenth_of_cents bigint,
	parent_ordinal integer,
	max_days integer,
	per_person_unlimited boolean,
	per_incident_unlimited boolean,
	actual_cash_value boolean,
	is_declined boolean,
	is_stacked boolean,
	name text,
	friendly_name text,
	server text NOT NULL, pull_id text NOT NULL,
	vehicle_coverage_id text,
	premium_group_id text,
	pip_deductible_applicability text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.vehicle_coverage IS 'coverages of a vehicle';

CREATE TABLE canopy_summit.vehicle_driver (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	age canopy_summit.personal_integer,
	age_licensed canopy_summit.personal_integer,
	is_excluded boolean,
	is_primary boolean,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	vehicle_id text,
	driver_id text,
	first_name canopy_summit.personal_text,
	middle_name canopy_summit.personal_text,
	last_name canopy_summit.personal_text,
	drivers_license canopy_summit.personal_text,
	drivers_license_state canopy_summit.personal_text,
	date_of_birth_str canopy_summit.personal_text,
	gender canopy_summit.personal_text,
	marital_status canopy_summit.personal_text,
	relationship_to_insured canopy_summit.personal_text,
	age_on_date canopy_summit.personal_text,
	education canopy_summit.personal_text,
	occupation canopy_summit.personal_text,
	source text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.vehicle_driver IS 'drivers of a vehicle';

CREATE TABLE canopy_summit.driver (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	age canopy_summit.personal_integer,
	age_licensed canopy_summit.personal_integer,
	server text NOT NULL, pull_id text NOT NULL,
	driver_id text,
	first_name canopy_summit.personal_text,
	middle_name canopy_summit.personal_text,
	last_name canopy_summit.personal_text,
	drivers_license canopy_summit.personal_text,
	drivers_license_state canopy_summit.personal_text,
	date_of_birth_str canopy_summit.personal_text,
	gender canopy_summit.personal_text,
	marital_status canopy_summit.personal_text,
	relationship_to_insured canopy_summit.personal_text,
	age_on_date canopy_summit.personal_text,
	education canopy_summit.personal_text,
	occupation canopy_summit.personal_text,
	source text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.driver IS 'drivers of a pull';

CREATE TABLE canopy_summit.dwelling (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	replacement_cost_cents bigint,
	cash_value_cents bigint,
	total_replacement_cost_cents bigint,
	parent_ordinal integer,
	is_replacement_cost_cents_derived boolean,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	dwelling_id text,
	mortgagee_name canopy_summit.personal_text,
	mortgage_loan_number canopy_summit.personal_text,
	loss_settlement_type text,
	extended_replacement_cost_percent numeric,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.dwelling IS 'dwellings of a policy';

CREATE TABLE canopy_summit.dwelling_coverage (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	premium_cents bigint,
	per_person_limit_cents bigint,
	per_incident_limit_cents bigint,
	deductible_cents bigint,
	parent_ordinal integer,
	per_incident_limit_months integer,
	per_person_unlimited boolean,
	per_incident_unlimited boolean,
	is_declined boolean,
	name text,
	friendly_name text,
	server text NOT NULL, pull_id text NOT NULL,
	dwelling_coverage_id text,
	per_incident_limit_percent numeric,
	deductible_percent numeric,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.dwelling_coverage IS 'coverages of a dwelling';

CREATE TABLE canopy_summit.property_data (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	assessed_improvement_value_cents bigint,
	assessed_land_value_cents bigint,
	assessed_total_value_cents bigint,
	market_improvement_value_cents bigint,
	market_land_value_cents bigint,
	market_total_value_cents bigint,
	first_mortgage_amount_cents bigint,
	second_mortgage_amount_cents bigint,
	purchase_price_cents bigint,
	parent_ordinal integer,
	year_built integer,
	num_fireplaces integer,
	square_ft integer,
	num_beds integer,
	num_baths_full integer,
	num_baths_partial integer,
	num_stories integer,
	num_units integer,
	garage_square_ft integer,
	num_parking_spaces integer,
	purchase_date date,
	last_update_date date,
	has_fireplace boolean,
	has_pool boolean,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	dwelling_id text,
	location_id text,
	property_data_id text,
	apn canopy_summit.personal_text,
	class text,
	sub_type text,
	construction_type text,
	wall_type text,
	foundation_type text,
	frame_type text,
	roof_cover text,
	roof_shape text,
	cooling_type text,
	heating_type text,
	heating_fuel text,
	energy_type text,
	sewer_type text,
	building_shape text,
	construction_quality text,
	fireplace_type text,
	pool_type text,
	garage_type text,
	owner1_first_name canopy_summit.personal_text,
	owner1_last_name canopy_summit.personal_text,
	owner2_first_name canopy_summit.personal_text,
	owner2_last_name canopy_summit.personal_text,
	owner3_first_name canopy_summit.personal_text,
	owner3_last_name canopy_summit.personal_text,
	owner4_first_name canopy_summit.personal_text,
	owner4_last_name canopy_summit.personal_text,
	first_mortgage_lender canopy_summit.personal_text,
	second_mortgage_lender canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.property_data IS 'property data of a dwelling or location, where fetched';

CREATE TABLE canopy_summit.location (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	location_id text,
	carrier_location_identifier canopy_summit.personal_text,
	loss_settlement_type text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.location IS 'locations of a commercial policy';

CREATE TABLE canopy_summit.location_coverage (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	premium_cents bigint,
	per_person_limit_cents bigint,
	per_incident_limit_cents bigint,
	per_term_limit_cents bigint,
	per_policy_year_limit_cents bigint,
	per_day_limit_cents bigint,
	business_income_limit_cents bigint,
	per_employee_limit_cents bigint,
	deductible_cents bigint,
	parent_ordinal integer,
	als_months integer,
	is_declined boolean,
	name text,
	friendly_name text,
	server text NOT NULL, pull_id text NOT NULL,
	location_coverage_id text,
	seasonal_increase_percent numeric,
	extended_business_income_duration text,
	period_of_restoration_duration text,
	duration_of_coverage_duration text,
	waiting_period_duration text,
	limit_percent numeric,
	deductible_percent numeric,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.location_coverage IS 'coverages of a location';

CREATE TABLE canopy_summit.location_operation (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	estimated_annual_remunerations_cents bigint,
	rate_cents bigint,
	estimated_annual_premium_cents bigint,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	location_id text,
	location_operation_id text,
	class_code text,
	description text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.location_operation IS 'operations at a location';

CREATE TABLE canopy_summit.mortgagee (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	dwelling_id text,
	location_id text,
	vehicle_id text,
	mortgagee_id text,
	mortgagee_name canopy_summit.personal_text,
	mortgagee_type text,
	mortgage_loan_number canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.mortgagee IS 'lenders: mortgagees of a dwelling or location, those that a dwelling itself names included, and lien holders of a vehicle (vehicle_id)';

CREATE TABLE canopy_summit.additional_interest (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	additional_interest_id text,
	additional_interest_name canopy_summit.personal_text,
	additional_interest_type text,
	email canopy_summit.personal_text,
	phone_number canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.additional_interest IS 'additional interests of a policy';

CREATE TABLE canopy_summit.named_insured (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	is_primary_named_insured boolean,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	named_insured_id text,
	first_name canopy_summit.personal_text,
	middle_name canopy_summit.personal_text,
	last_name canopy_summit.personal_text,
	full_name canopy_summit.personal_text,
	email canopy_summit.personal_text,
	home_phone canopy_summit.personal_text,
	mobile_phone canopy_summit.personal_text,
	work_phone canopy_summit.personal_text,
	work_phone_extension canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.named_insured IS 'named insureds of a policy';

CREATE TABLE canopy_summit.commercial_named_insured (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	minimum_premium_cents bigint,
	total_estimated_annual_premium_cents bigint,
	parent_ordinal integer,
	number_of_employees integer,
	is_primary_named_insured boolean,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	commercial_named_insured_id text,
	address_id text,
	location_id text,
	name canopy_summit.personal_text,
	form_of_business text,
	gl_code text,
	sic_code text,
	naics_code text,
	fein canopy_summit.personal_text,
	business_phone canopy_summit.personal_text,
	business_email canopy_summit.personal_text,
	website_url canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.commercial_named_insured IS 'named insureds of a commercial policy';

CREATE TABLE canopy_summit.life_details (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	face_amount_cents bigint,
	death_benefit_amount_cents bigint,
	total_cash_value_cents bigint,
	total_loan_balance_cents bigint,
	total_accumulated_dividend_cents bigint,
	total_surrender_value_cents bigint,
	parent_ordinal integer,
	paid_up_date date,
	total_accumulated_dividend_on_date date,
	total_loan_balance_on_date date,
	total_cash_value_on_date date,
	total_surrender_value_on_date date,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	declared_pull_id text,
	life_policy_details_id text,
	dividend_option text,
	loan_variable_interest_rate_percent numeric,
	policy_owner_first_name canopy_summit.personal_text,
	policy_owner_middle_name canopy_summit.personal_text,
	policy_owner_last_name canopy_summit.personal_text,
	policy_owner_full_name canopy_summit.personal_text,
	policy_payor_first_name canopy_summit.personal_text,
	policy_payor_middle_name canopy_summit.personal_text,
	policy_payor_last_name canopy_summit.personal_text,
	policy_payor_full_name canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.life_details IS 'details of a life policy';

CREATE TABLE canopy_summit.life_rider (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	effective_date date,
	expiry_date date,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	declared_pull_id text,
	life_policy_rider_id text,
	name text,
	friendly_name text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.life_rider IS 'riders of a life policy';

CREATE TABLE canopy_summit.life_beneficiary (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	declared_pull_id text,
	life_policy_beneficiary_id text,
	named_insured_id text,
	type text,
	first_name canopy_summit.personal_text,
	middle_name canopy_summit.personal_text,
	last_name canopy_summit.personal_text,
	full_name canopy_summit.personal_text,
	relationship_to_insured canopy_summit.personal_text,
	designation text,
	distribution_percent numeric,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.life_beneficiary IS 'beneficiaries of a life policy';

CREATE TABLE canopy_summit.policy_form (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	is_exclusion_endorsement boolean,
	pdf_available boolean,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	policy_form_id text,
	form_name text,
	form_number text,
	form_type text,
	endorsement_type text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.policy_form IS 'forms and endorsements of a policy';

CREATE TABLE canopy_summit.premium_group (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	premium_cents bigint,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	premium_group_id text,
	vehicle_coverage_ids text[],
	extra jsonb
);
COMMENT ON TABLE canopy_summit.premium_group IS 'premiums that several coverages share';

CREATE TABLE canopy_summit.policy_check (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	policy_id text,
	status text,
	details jsonb,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.policy_check IS 'results of policy checks';

CREATE TABLE canopy_summit.document (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	date_added date,
	server text NOT NULL, pull_id text NOT NULL,
	document_id text,
	title canopy_summit.personal_text,
	document_type text,
	policy_id text,
	mime_type text,
	download_url canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.document IS 'documents of a pull';

CREATE TABLE canopy_summit.address (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	address_role text,
	policy_id text,
	vehicle_id text,
	dwelling_id text,
	location_id text,
	mortgagee_id text,
	additional_interest_id text,
	life_policy_details_id text,
	agent_info_id text,
	address_id text,
	full_address canopy_summit.personal_text,
	address_nature text,
	country text,
	number canopy_summit.personal_text,
	street canopy_summit.personal_text,
	type text,
	city text,
	state text,
	sec_unit_type text,
	sec_unit_num canopy_summit.personal_text,
	zip canopy_summit.personal_text,
	prefix text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.address IS 'addresses, wherever they appear in a pull; address_role is the field, in snake case';

CREATE TABLE canopy_summit.claim (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	payout_cents bigint,
	parent_ordinal integer,
	date_occurred date,
	date_closed date,
	server text NOT NULL, pull_id text NOT NULL,
	claim_id text,
	policy_id text,
	dwelling_id text,
	vehicle_id text,
	address_id text,
	driver_id text,
	carrier_claim_identifier canopy_summit.personal_text,
	type text,
	status text,
	representative_name canopy_summit.personal_text,
	representative_phone canopy_summit.personal_text,
	representative_email canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.claim IS 'claims';

CREATE TABLE canopy_summit.driving_record (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	incident_date date,
	is_at_fault boolean,
	server text NOT NULL, pull_id text NOT NULL,
	driving_record_id text,
	driver_id text,
	incident_type text,
	violation_type text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.driving_record IS 'driving records';

CREATE TABLE canopy_summit.loss_event (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	amount_paid_cents bigint,
	amount_reserved_cents bigint,
	parent_ordinal integer,
	date_of_occurrence date,
	date_of_claim date,
	is_subrogation boolean,
	is_claim_open boolean,
	server text NOT NULL, pull_id text NOT NULL,
	loss_event_id text,
	policy_id text,
	type text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.loss_event IS 'loss events';

CREATE TABLE canopy_summit.agent (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	agent_info_id text,
	address_id text,
	agency_name text,
	name canopy_summit.personal_text,
	address canopy_summit.personal_text,
	agent_full_name canopy_summit.personal_text,
	phone_number canopy_summit.personal_text,
	email canopy_summit.personal_text,
	policy_ids text[],
	extra jsonb
);
COMMENT ON TABLE canopy_summit.agent IS 'agents of an account';

CREATE TABLE canopy_summit.answer_section (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	consumer_flow_section_id text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.answer_section IS 'sections of answers a consumer gave';

CREATE TABLE canopy_summit.answer (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	consumer_flow_section_id text,
	consumer_flow_section_field_id text,
	label text,
	meta jsonb,
	type text,
	value jsonb,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.answer IS 'answers a consumer gave';

CREATE TABLE canopy_summit.answer_file (
	is_current boolean NOT NULL, ordinal integer NOT NULL,
	parent_ordinal integer,
	server text NOT NULL, pull_id text NOT NULL,
	consumer_flow_section_id text,
	consumer_flow_section_field_id text,
	name canopy_summit.personal_text,
	size numeric,
	type text,
	file_id text,
	download_url canopy_summit.personal_text,
	extra jsonb
);
COMMENT ON TABLE canopy_summit.answer_file IS 'files a consumer gave as an answer';

CREATE FUNCTION canopy_summit.entities() RETURNS SETOF text
AS 'MODULE_PATHNAME', 'canopy_summit_entities'
LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 31;
COMMENT ON FUNCTION canopy_summit.entities() IS 'names of the entity tables';

-- One key each; see pull_state.sql for the operator class.
DO $$
DECLARE
	entity text;
BEGIN
	FOR entity IN SELECT canopy_summit.entities() LOOP
		EXECUTE pg_catalog.format('CREATE UNIQUE INDEX %I ON canopy_summit.%I (pull_id text_pattern_ops, server text_pattern_ops%s)',
								  entity || '_key', entity, CASE WHEN entity <> 'pull' THEN ', ordinal' END);
		EXECUTE pg_catalog.format('ALTER TABLE canopy_summit.%I REPLICA IDENTITY USING INDEX %I', entity, entity || '_key');
	END LOOP;
END
$$;

CREATE INDEX policy_expiry_date ON canopy_summit.policy (expiry_date);
CREATE INDEX pull_meta_data ON canopy_summit.pull USING gin (meta_data jsonb_path_ops);

CREATE TABLE canopy_summit.added_column (
	entity text NOT NULL,
	column_name text NOT NULL,
	type text NOT NULL,
	personal boolean NOT NULL,
	PRIMARY KEY (entity, column_name)
);
COMMENT ON TABLE canopy_summit.added_column IS 'columns that canopy_summit.add_column() has added; a restore adds them again from here';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.added_column', '');
