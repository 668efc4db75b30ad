-- canopy/component.sql: a flow of one's own in which a consumer connects an account.
-- Replaceable.

CREATE FUNCTION @extschema@.canopy_consent(device_identifier text, terms_version integer, consent_language text, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_consent'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_consent(text, integer, text, name) IS
	'tells that a consumer has agreed to canopy_terms(); returns the job, whose token for the browser canopy_summit.take_secret() gives';

CREATE FUNCTION @extschema@.canopy_consent_and_connect(device_identifier text, terms_version integer, consent_language text, insurer_name text,
	insurer_username text, insurer_password text DEFAULT NULL, insurer_third_field text DEFAULT NULL, public_alias text DEFAULT NULL,
	meta_data jsonb DEFAULT NULL, servicing_actions jsonb DEFAULT NULL, refresh_reason text DEFAULT NULL, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_consent_and_connect'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_consent_and_connect(text, integer, text, text, text, text, text, text, jsonb, jsonb, text, name) IS
	'has a consumer who has agreed to canopy_terms() logged in at a carrier, with tokens of Canopy''s components and never what was typed; makes a pull; public_alias NULL is the server''s; returns the job';

CREATE FUNCTION @extschema@.canopy_consent_and_documents(documents bytea[], device_identifier text, terms_version integer, consent_language text,
	insurer_name text DEFAULT NULL, public_alias text DEFAULT NULL, meta_data jsonb DEFAULT NULL, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_consent_and_documents'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_consent_and_documents(bytea[], text, integer, text, text, text, jsonb, name) IS
	'hands over documents of a consumer who has agreed to canopy_terms(), 1 to 20 of 10 MB at most, which leave this database when the job ends; makes a pull; public_alias NULL is the server''s; returns the job';

CREATE FUNCTION @extschema@.canopy_connect(pull_id text, insurer_name text, insurer_username text, insurer_password text DEFAULT NULL,
	insurer_third_field text DEFAULT NULL, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_connect'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_connect(text, text, text, text, text, name) IS
	'tries a login once more, of a pull that is NOT_AUTHENTICATED, with tokens of Canopy''s components; returns the job';

CREATE FUNCTION @extschema@.canopy_choose_mfa_option(pull_id text, option_key text, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_choose_mfa_option'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_choose_mfa_option(text, text, name) IS
	'chooses how the consumer shows who they are, of a pull that is at IDENTITY_VERIFICATION_OPTIONS: a key of mfa_options in canopy.pull_status; returns the job';

CREATE FUNCTION @extschema@.canopy_submit_mfa(pull_id text, value text, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_submit_mfa'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_submit_mfa(text, text, name) IS
	'tells what the consumer was asked for, such as a code, of a pull that is at IDENTITY_VERIFICATION; returns the job';

CREATE FUNCTION @extschema@.canopy_policy_search(device_identifier text, terms_version integer, consent_language text, insurer_name text,
	search_type text, search_data jsonb, public_alias text DEFAULT NULL, server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_policy_search'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_policy_search(text, integer, text, text, text, jsonb, text, name) IS
	'has a policy of a consumer who has agreed to canopy_terms() looked up without a login, which costs and is not repeated by itself; search_type is AUTO_ID_CARD, AUTO_POLICY or HOME_POLICY; makes a pull; returns the job';

CREATE FUNCTION @extschema@.canopy_exchange_reconnect_token(token text, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_exchange_reconnect_token'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_exchange_reconnect_token(text, name) IS
	'has a consumer whose monitored account needs another login log in with canopy_connect(), by the token of canopy.reconnect_needed or canopy_reconnect_token(), once; returns the job';
