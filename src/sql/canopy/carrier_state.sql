-- canopy/carrier_state.sql: carriers as a row.
-- State.

CREATE TYPE canopy_summit.carrier AS (
	carrier_id text,
	name text,
	username_field_placeholder text,
	third_field_placeholder text,
	third_field_validator_error text,
	third_field_validator_rgx text,
	third_field_validator_rgx_flags text,
	color text,
	homepage_url text,
	create_account_url text,
	reset_password_url text,
	disable_password_field boolean,
	servicing_actions text[],
	products text[],
	sub_issuer_of text
);
COMMENT ON TYPE canopy_summit.carrier IS 'a Carrier of the API, its fields in snake case';
