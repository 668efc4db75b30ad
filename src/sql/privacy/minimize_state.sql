-- privacy/minimize_state.sql: what must not be sent to Summit.
-- State: the built-in rules, too, and the function that the table checks them with.
--
-- Built-in rows come with the extension and stay as they are. A row of the same rule_id that is not
-- built in wins over one that is: UPDATE of a built-in rule adds it, and only such rows are dumped,
-- so a restore meets the built-in rows of the extension installed there, without a conflict.
--
-- Patterns are in dollar quotes, in which a backslash stays one whatever standard_conforming_strings
-- was when the script began; its examples make CREATE EXTENSION fail should a pattern not be itself.

CREATE FUNCTION canopy_summit.rule_finds(kind text, pattern text, checksum text, example text) RETURNS boolean
AS 'MODULE_PATHNAME', 'canopy_summit_rule_finds'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION canopy_summit.rule_finds(text, text, text, text) IS 'whether a rule of data minimisation finds something in a text, or in the name of a field for kind key';

-- A rule that finds nothing looks like one that does: each brings a text in which it must, also one that is restored.
CREATE TABLE summit.minimisation_rule (
	rule_id text NOT NULL CHECK (rule_id <> ''),
	kind text NOT NULL CHECK (kind IN ('key', 'card', 'iban', 'account', 'health_card')),
	pattern text NOT NULL CHECK (NOT '' ~* pattern),
	example text NOT NULL,
	checksum text CHECK (checksum IN ('luhn', 'iban', 'aba', 'phn')),
	applies_to text[],
	exempt text[] NOT NULL DEFAULT '{policy.policy_number,certificate_holder.reference_ids}',
	enabled boolean NOT NULL DEFAULT true,
	comment text NOT NULL DEFAULT '',
	builtin boolean NOT NULL DEFAULT false,
	PRIMARY KEY (rule_id, builtin),
	CONSTRAINT pattern_finds_example CHECK (canopy_summit.rule_finds(kind, pattern, checksum, example))
);
COMMENT ON TABLE summit.minimisation_rule IS 'what in a certificate is refused as banking details or health data; a rule of one''s own wins over the built-in one of the same rule_id';
COMMENT ON COLUMN summit.minimisation_rule.rule_id IS 'name of the rule; rules are tried in its order, those with a checksum first';
COMMENT ON COLUMN summit.minimisation_rule.kind IS 'what a finding is called, in texts that have a digit; or key: the pattern is for names of JSON fields, in lower case with underscores';
COMMENT ON COLUMN summit.minimisation_rule.pattern IS 'regular expression, case-insensitive; dashes are seen as "-", line breaks as blanks';
COMMENT ON COLUMN summit.minimisation_rule.example IS 'a text, or a name of a field, that the rule must find, or the row is refused';
COMMENT ON COLUMN summit.minimisation_rule.checksum IS 'what the check digits of the first group, or else of the whole match, must fit: luhn, iban, aba (US routing number) or phn (British Columbia); NULL = nothing';
COMMENT ON COLUMN summit.minimisation_rule.applies_to IS 'paths such as policy.broker, each with all below it; NULL = every text';
COMMENT ON COLUMN summit.minimisation_rule.exempt IS 'paths to which the rule is not applied';
COMMENT ON COLUMN summit.minimisation_rule.enabled IS 'whether the rule is applied';
COMMENT ON COLUMN summit.minimisation_rule.comment IS 'what it is about';
COMMENT ON COLUMN summit.minimisation_rule.builtin IS 'came with the extension';

-- A card is of its issuer's length, in groups of four or as it is printed, or without groups.
INSERT INTO summit.minimisation_rule (rule_id, builtin, kind, checksum, example, pattern, comment) VALUES
	('card_american_express', true, 'card', 'luhn', '3782 822463 10005',
		$re$(?<![\d+])3[47]\d\d(?:[ .-]{0,3}\d{6}[ .-]{0,3}\d{5}|(?:[ .-]{0,3}\d{4}){2}[ .-]{0,3}\d{3})(?!\d)$re$, '15 digits'),
	('card_diners', true, 'card', 'luhn', '3056 930902 5904',
		$re$(?<![\d+])3(?:0[0-5]|[689]\d)\d(?:\d{10}|[ .-]{1,3}\d{6}[ .-]{1,3}\d{4}|(?:[ .-]{1,3}\d{4}){2}[ .-]{1,3}\d\d)(?!\d)$re$, '14 digits'),
	('card_mastercard', true, 'card', 'luhn', '5555 5555 5555 4444',
		$re$(?<![\d+])(?:5[1-5]\d\d|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720))(?:[ .-]{0,3}\d{4}){3}(?!\d)$re$, '16 digits'),
	('card_other', true, 'card', 'luhn', '6011 1111 1111 1117',
		$re$(?<![\d+])(?:(?:5[06-9]\d\d|6\d{3}|35(?:2[89]|[3-8]\d))(?:[ .-]{0,3}\d{4}){3}(?:[ .-]{0,3}\d{1,3})?|[56]\d{5}[ .-]{1,3}\d{13})(?!\d)$re$,
		'Discover, JCB, Maestro, UnionPay and Interac: 16 to 19 digits'),
	('card_visa', true, 'card', 'luhn', '4111 1111 1111 1111',
		$re$(?<![\d+])4\d{3}(?:[ .-]{0,3}\d{4}){2}[ .-]{0,3}(?:\d|\d{4}(?:[ .-]{0,3}\d{3})?)(?!\d)$re$, '13, 16 or 19 digits'),
	('iban', true, 'iban', 'iban', 'DE89 3704 0044 0532 0130 00',
		$re$(?<![a-z0-9])[a-z]{2}\d\d(?:[ -]?[a-z0-9]{1,4}){3,8}(?![a-z0-9])$re$, 'of its country''s length');

INSERT INTO summit.minimisation_rule (rule_id, builtin, kind, checksum, example, pattern, comment) VALUES
	('account_canada', true, 'account', NULL, '12345-003-1234567',
		$re$(?<![\d-])(?:\d{5}[ /.:-]{1,3}(?![2-9]\d\d[ .-]\d{3}[ .-]\d{4}(?!\d))\d{3}|0?\d{3}[ /.:-]{1,3}\d{5})[ /.:-]{1,3}(?![2-9]\d\d[ .-]\d{3}[ .-]\d{4}(?!\d))\d(?:[ -]?\d){4,11}(?!\d)$re$,
		'transit, institution and account, as on a cheque; a telephone number is none'),
	('account_canada_eft', true, 'account', NULL, '000312345 1234567',
		$re$(?<!\d)0\d{8}[ /:-]{1,3}\d{7,12}(?!\d)$re$, '0, institution and transit in one, then the account'),
	('account_micr', true, 'account', NULL, chr(9286) || ' 021000021',
		$re$[\u2446-\u2449]$re$, 'the marks of the line at the foot of a cheque'),
	('account_routing', true, 'account', 'aba', 'routing 021000021',
		$re$\m(?:account|acct|routing|transit|aba|rtn)\M[^0-9]{0,24}(\d{9})(?!\d)$re$, 'US routing number behind a word that says so'),
	('account_routing_before', true, 'account', 'aba', '021000021 is the routing number',
		$re$(?<!\d)(\d{9})[^0-9]{0,24}\m(?:account|acct|routing|aba|rtn)\M$re$, 'and before one'),
	('account_transit', true, 'account', NULL, 'transit no. 12345',
		$re$\m(?:transit|succursale)\M[^0-9a-z]{0,3}(?:no|num|number|num[e\u00e9]ro|nbr|nr|#)[^0-9a-z]{0,4}\d{5}(?!\d)$re$, 'transit number behind a word that says so'),
	('account_word', true, 'account', NULL, 'account no. 1234567',
		$re$\m(?:account|acct|a/c|compte)\M[^0-9a-z]{0,4}(?:\m(?:no|num|number|num[e\u00e9]ro|nbr|nr)\M)?(?: is\M)?[^0-9a-z]{0,5}(?!\d{3}[ .-]\d{3}[ .-]\d{4}(?!\d))(?:\d{6,17}|\d(?:[ -]?\d){6,16})(?!\d)$re$,
		'account number behind a word that says so; a telephone number is none');

-- Health data are numbers and names of fields, never words: a clinic is a fine certificate holder.
INSERT INTO summit.minimisation_rule (rule_id, builtin, kind, checksum, example, pattern, comment) VALUES
	('health_british_columbia', true, 'health_card', 'phn', '9876 543 218',
		$re$(?<!\d)9\d{3}[ -]\d{3}[ -]\d{3}(?!-?\d)$re$, 'personal health number as it is written'),
	('health_british_columbia_word', true, 'health_card', 'phn', 'PHN 9876543218',
		$re$\m(?:phn|personal health|msp|bc services card|care ?card|health (?:card|number|no|id|insurance))\M[^0-9]{0,24}(9\d{3}[ -]?\d{3}[ -]?\d{3})(?!\d)$re$,
		'personal health number behind a word that says so'),
	('health_ontario', true, 'health_card', NULL, '1234 567 890 AB',
		$re$(?<![\d-])[1-9]\d{3}[ -]\d{3}[ -]\d{3}[ -]{0,3}[a-z]{2}(?![a-z0-9])$re$, 'number and version code as they are written'),
	('health_ontario_run', true, 'health_card', 'luhn', '1234567897-AB',
		$re$(?c)(?<!\d)([1-9]\d{9})-?[A-Z]{2}(?![A-Za-z0-9])$re$, 'the same without groups'),
	('health_word', true, 'health_card', NULL, 'OHIP 1234567890',
		$re$\m(?:ohip|ramq|phn|hcn|ahcip|health ?card|personal health|assurance[ -]maladie|carte[ -]soleil)\M[^0-9a-z]{0,4}(?:\m(?:no|num|number|num[e\u00e9]ro|nbr|nr|id)\M)?(?: is\M)?[^0-9a-z]{0,5}(?!\d{3}[ .-]\d{3}[ .-]\d{4}(?!\d))(?:[a-z]{4}[ -]?)?\d(?:[ -]?\d){7,11}(?!\d)$re$,
		'number of any province behind a word that says so; a telephone number is none');
-- Codes of endorsements look the same: letters, then an edition.
INSERT INTO summit.minimisation_rule (rule_id, builtin, kind, example, pattern, exempt, comment) VALUES
	('health_quebec', true, 'health_card', 'TREM 8501 1512',
		$re$(?c)(?<![A-Za-z0-9])[A-Z]{4}[ -]?\d\d(?:[05][1-9]|[16][0-2])[ -]?(?:0[1-9]|[12]\d|3[01])\d\d(?![A-Za-z0-9])$re$,
		'{policy.policy_number,certificate_holder.reference_ids,policy.endorsements}',
		'letters of the name, then year, month (women''s + 50) and day of birth');

INSERT INTO summit.minimisation_rule (rule_id, builtin, kind, exempt, example, pattern, comment) VALUES
	('key_banking', true, 'key', '{}', 'bankAccountNumber',
		'(?:^|_)(?:iban|bic|swift|swift_code|bank|bank_.*|banking|banking_.*|(?:bank_)?(?:account|acct|routing|transit|institution|aba|sort|branch)_(?:number|no|num|nbr|code)|acct|void_cheque|void_check|direct_deposit|credit_card|debit_card|card_number|card_no|pan|cvv|cvc|card_expiry)(?:_|$)|^(?:iban|accountnumber|routingnumber|transitnumber|cardnumber)$',
		'bank accounts and payment cards'),
	('key_health', true, 'key', '{}', 'health_card',
		'(?:^|_)(?:health_card|health_number|healthcard|health_insurance|phn|ohip|ramq|msp_number|hcn|care_card|medical|medical_.*|diagnos[ie]s|medications?|prescriptions?|treatments?|allerg(?:y|ies)|disabilit(?:y|ies)|patient|patient_.*|health_conditions?|blood_type)(?:_|$)',
		'health data'),
	('key_identity', true, 'key', '{}', 'date_of_birth',
		'(?:^|_)(?:ssn|sin|social_security|social_insurance|nas|passport|drivers?_licen[cs]e|date_of_birth|birth_date|dob)(?:_|$)',
		'numbers that identify a person');

SELECT pg_catalog.pg_extension_config_dump('summit.minimisation_rule', 'WHERE NOT builtin');
