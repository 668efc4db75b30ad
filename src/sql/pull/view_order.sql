-- pull/view_order.sql: in which order views show the columns of the entity tables.
-- Replaceable. The tables have an order of their own, in which their rows are short and fast to scan. A column that is
-- not here, as one that somebody added, comes last.

CREATE FUNCTION canopy_summit.view_order(entity text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_split_to_array(concat_ws(' ', 'ordinal parent_ordinal', CASE entity
	WHEN 'pull' THEN 'status account_identifier first_name middle_name last_name email account_email phone mobile_phone home_phone
		work_phone work_phone_extension insurance_provider_name insurance_provider_friendly_name team_id widget_id
		meta_data is_archived created_at public_alias public_url encountered_mfa no_policies no_drivers no_documents
		no_claims no_loss_events type parent_pull_id policy_check_status skipped_product_types funnel_premium
		funnel_stage funnel_assignee_agent_id funnel_assignee_email funnel_assignee_first_name funnel_assignee_last_name
		gender marital_status education occupation'
	WHEN 'policy' THEN 'policy_id name description carrier_policy_number policy_type effective_date expiry_date renewal_date
		canceled_date total_premium_cents paid_in_full amount_paid_cents amount_due_cents
		total_estimated_annual_premium_cents total_minimum_premium_cents total_deposit_premium_cents carrier_name
		carrier_friendly_name status state limited_access form_of_business deductible_cents is_monoline
		is_telematics_enabled payment_frequency last_payment_date is_selected'
	WHEN 'vehicle' THEN 'policy_id vehicle_id year make model series series2 type annual_mileage current_mileage vin hin serial_number
		uses purchase_date ownership_type features is_removed lien_holder'
	WHEN 'vehicle_coverage' THEN 'vehicle_coverage_id premium_group_id name friendly_name premium_cents
		per_person_limit_cents per_person_unlimited per_incident_limit_cents per_incident_unlimited per_day_limit_cents
		max_days deductible_cents actual_cash_value is_declined is_stacked pip_deductible_applicability
		per_mile_premium_tenth_of_cents'
	WHEN 'vehicle_driver' THEN 'policy_id vehicle_id driver_id first_name middle_name last_name drivers_license drivers_license_state
		date_of_birth_str gender marital_status relationship_to_insured age age_on_date education occupation
		age_licensed is_excluded is_primary source'
	WHEN 'driver' THEN 'driver_id first_name middle_name last_name drivers_license drivers_license_state date_of_birth_str gender
		marital_status relationship_to_insured age age_on_date education occupation age_licensed source'
	WHEN 'dwelling' THEN 'policy_id dwelling_id mortgagee_name mortgage_loan_number replacement_cost_cents cash_value_cents
		loss_settlement_type extended_replacement_cost_percent total_replacement_cost_cents
		is_replacement_cost_cents_derived'
	WHEN 'dwelling_coverage' THEN 'dwelling_coverage_id name friendly_name premium_cents per_person_limit_cents
		per_person_unlimited per_incident_limit_cents per_incident_limit_percent per_incident_unlimited
		per_incident_limit_months deductible_cents deductible_percent is_declined'
	WHEN 'property_data' THEN 'policy_id dwelling_id location_id property_data_id apn class sub_type year_built construction_type wall_type
		foundation_type frame_type roof_cover roof_shape cooling_type heating_type heating_fuel energy_type sewer_type
		building_shape construction_quality has_fireplace num_fireplaces fireplace_type has_pool pool_type square_ft
		num_beds num_baths_full num_baths_partial num_stories num_units garage_type garage_square_ft num_parking_spaces
		assessed_improvement_value_cents assessed_land_value_cents assessed_total_value_cents
		market_improvement_value_cents market_land_value_cents market_total_value_cents owner1_first_name
		owner1_last_name owner2_first_name owner2_last_name owner3_first_name owner3_last_name owner4_first_name
		owner4_last_name first_mortgage_amount_cents first_mortgage_lender second_mortgage_amount_cents
		second_mortgage_lender purchase_date purchase_price_cents last_update_date'
	WHEN 'location' THEN 'policy_id location_id carrier_location_identifier loss_settlement_type'
	WHEN 'location_coverage' THEN 'location_coverage_id name friendly_name premium_cents per_person_limit_cents
		per_incident_limit_cents per_term_limit_cents per_policy_year_limit_cents per_day_limit_cents
		business_income_limit_cents per_employee_limit_cents als_months seasonal_increase_percent
		extended_business_income_duration period_of_restoration_duration duration_of_coverage_duration
		waiting_period_duration limit_percent deductible_cents deductible_percent is_declined'
	WHEN 'location_operation' THEN 'policy_id location_id location_operation_id class_code description estimated_annual_remunerations_cents
		rate_cents estimated_annual_premium_cents'
	WHEN 'mortgagee' THEN 'policy_id dwelling_id location_id vehicle_id mortgagee_id mortgagee_name mortgagee_type mortgage_loan_number'
	WHEN 'additional_interest' THEN 'policy_id additional_interest_id additional_interest_name additional_interest_type email phone_number'
	WHEN 'named_insured' THEN 'policy_id named_insured_id first_name middle_name last_name full_name is_primary_named_insured email home_phone
		mobile_phone work_phone work_phone_extension'
	WHEN 'commercial_named_insured' THEN 'policy_id commercial_named_insured_id address_id location_id name form_of_business gl_code sic_code naics_code
		fein business_phone business_email website_url is_primary_named_insured number_of_employees
		minimum_premium_cents total_estimated_annual_premium_cents'
	WHEN 'life_details' THEN 'policy_id declared_pull_id life_policy_details_id face_amount_cents death_benefit_amount_cents
		total_cash_value_cents total_loan_balance_cents dividend_option total_accumulated_dividend_cents
		total_surrender_value_cents loan_variable_interest_rate_percent paid_up_date total_accumulated_dividend_on_date
		total_loan_balance_on_date total_cash_value_on_date total_surrender_value_on_date policy_owner_first_name
		policy_owner_middle_name policy_owner_last_name policy_owner_full_name policy_payor_first_name
		policy_payor_middle_name policy_payor_last_name policy_payor_full_name'
	WHEN 'life_rider' THEN 'policy_id declared_pull_id life_policy_rider_id name friendly_name effective_date expiry_date'
	WHEN 'life_beneficiary' THEN 'policy_id declared_pull_id life_policy_beneficiary_id named_insured_id type first_name middle_name last_name
		full_name relationship_to_insured designation distribution_percent'
	WHEN 'policy_form' THEN 'policy_id policy_form_id form_name form_number form_type endorsement_type is_exclusion_endorsement pdf_available'
	WHEN 'premium_group' THEN 'policy_id premium_group_id premium_cents vehicle_coverage_ids'
	WHEN 'policy_check' THEN 'policy_id status details'
	WHEN 'document' THEN 'document_id title date_added document_type policy_id mime_type download_url'
	WHEN 'address' THEN 'address_role policy_id vehicle_id dwelling_id location_id mortgagee_id additional_interest_id
		life_policy_details_id agent_info_id address_id full_address address_nature country number street type city
		state sec_unit_type sec_unit_num zip prefix'
	WHEN 'claim' THEN 'claim_id policy_id dwelling_id vehicle_id address_id driver_id carrier_claim_identifier date_occurred type
		status date_closed payout_cents representative_name representative_phone representative_email'
	WHEN 'driving_record' THEN 'driving_record_id driver_id incident_date incident_type violation_type is_at_fault'
	WHEN 'loss_event' THEN 'loss_event_id policy_id date_of_occurrence type date_of_claim amount_paid_cents amount_reserved_cents
		is_subrogation is_claim_open'
	WHEN 'agent' THEN 'agent_info_id address_id agency_name name address agent_full_name phone_number email policy_ids'
	WHEN 'answer_section' THEN 'consumer_flow_section_id'
	WHEN 'answer' THEN 'consumer_flow_section_id consumer_flow_section_field_id label meta type value'
	WHEN 'answer_file' THEN 'consumer_flow_section_id consumer_flow_section_field_id name size type file_id download_url'
	END, 'extra'), '[[:space:]]+');
COMMENT ON FUNCTION canopy_summit.view_order(text) IS 'columns of an entity in the order in which its views show them; further ones follow';

SELECT canopy_summit.allow('nobody', 'function', 'view_order');
