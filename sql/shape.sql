-- shape: rows and columns of what stands elsewhere than the API says, or is spelt otherwise.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
\pset null '-'

CREATE FUNCTION pg_temp.drift(pull_id text) RETURNS TABLE (kind text, path text) LANGUAGE sql AS $$
	SELECT d.kind, p.path FROM canopy_summit.pull_version v, jsonb_each(v.drift) AS d(kind, paths), jsonb_array_elements_text(d.paths) AS p(path)
	WHERE v.pull_id = drift.pull_id ORDER BY d.kind, p.path COLLATE "C"
$$;

-- Dates with an offset of their own mean the day as written; others the day in UTC.
SELECT version FROM canopy_store_pull('{"pull_id": "days", "policies": [
	{"policy_id": "east", "effective_date": "2025-06-25T00:00:00+02:00"}, {"policy_id": "late", "effective_date": "2025-06-25T23:30:00-05:00"},
	{"policy_id": "utc", "effective_date": "2025-06-25T06:00:00.000Z"}, {"policy_id": "zero", "effective_date": "2025-06-25T23:59:59-00:00"}]}');
SELECT policy_id, effective_date FROM canopy.policy_all WHERE pull_id = 'days' ORDER BY ordinal;

-- A list given as an object of objects is that list; nothing else is taken for one, and nothing is lost.
SELECT version FROM canopy_store_pull('{"pull_id": "relay", "status": "SUCCESS",
	"policies": {"policy0": {"policy_id": "x", "vehicles": {"0": {"make": "Opel", "coverages": {"a": {"name": "c"}, "b": null, "c": {}}}}},
				 "policy1": {"policy_id": "y", "life": {"life_policy_riders": {"rider0": {"name": "r"}}}}},
	"documents": {"document0": {"document_id": "d"}, "document1": {"colour": "red"}, "count": 2},
	"drivers": {"driver_id": "alone", "driver0": {"driver_id": "inside"}},
	"addresses": {"planet": {"orbit": {"city": "X"}}}, "agents": {"name": "Agency"}, "claims": {"a": 1}, "loss_events": {}, "driving_records": {"x": {}}}');
SELECT policy_id, extra FROM canopy.policy WHERE pull_id = 'relay' ORDER BY ordinal;
SELECT make, policy_id, extra FROM canopy.vehicle;
SELECT name, policy_id, extra FROM canopy.vehicle_coverage;
SELECT name, policy_id FROM canopy.life_rider;
SELECT document_id, extra FROM canopy.document;
SELECT driver_id, extra FROM canopy.driver;
SELECT name, extra FROM canopy.agent;
SELECT count(*) FROM canopy.address;
SELECT extra FROM canopy.pull WHERE pull_id = 'relay';
SELECT * FROM pg_temp.drift('relay');
-- Property data that is known stays, whichever way its list is given.
SELECT version, changed FROM unnest(ARRAY['{"a": {"policy_id": "p", "dwellings": {"0": {"dwelling_id": "d", "property_data": {"source": "known"}}}}}',
	'{"a": {"policy_id": "p", "dwellings": {"0": {"dwelling_id": "d", "dwelling_type": "HOUSE"}}}}', '[{"policy_id": "p", "dwellings": {"dwelling_id": "d"}}]',
	'{"policy_id": "p", "dwellings": [{"dwelling_id": "d", "dwelling_type": "FLAT"}]}']) WITH ORDINALITY AS l(policies, number),
	canopy_store_pull(jsonb_build_object('pull_id', 'carried', 'policies', l.policies::jsonb), fetched_at => '2026-01-01'::timestamptz + number * interval '1 s');
SELECT pull -> 'policies' AS policies FROM canopy_summit.pull_version WHERE pull_id = 'carried' ORDER BY version;

-- Coverages have the ids of what they cover from the row above.
SELECT version FROM canopy_store_pull('{"pull_id": "covered", "policies": [
	{"policy_id": "auto", "vehicles": [{"vehicle_id": "one", "coverages": [{"name": "a"}, {"name": "b", "vehicle_id": "other"}]}, {"coverages": [{"name": "c"}]}]},
	{"vehicles": [{"vehicle_id": "two", "coverages": [{"name": "d"}]}]},
	{"policy_id": "home", "dwellings": [{"dwelling_id": "house", "coverages": [{"name": "e"}]}], "locations": [{"location_id": "shop", "coverages": [{"name": "f"}]}]}]}');
SELECT name, policy_id, vehicle_id AS covered, extra FROM canopy.vehicle_coverage_all WHERE pull_id = 'covered'
UNION ALL SELECT name, policy_id, dwelling_id, extra FROM canopy.dwelling_coverage_all WHERE pull_id = 'covered'
UNION ALL SELECT name, policy_id, location_id, extra FROM canopy.location_coverage_all WHERE pull_id = 'covered' ORDER BY name;

-- An element of a list without any known field is not a row.
SELECT version FROM canopy_store_pull('{"pull_id": "unknown", "policies": [{"policy_id": "z"}, {"colour": "red"}, {}, null, {"Vehicles": [{"make": "Audi"}, {"x": 1}]}],
	"answers": [{"consumer_flow_section_id": "s", "fields": [
		{"label": "files", "value": [{"file_id": "f"}]}, {"label": "texts", "value": [{"colour": "red"}]}, {"label": "object", "value": {"file_id": "g"}}]}]}');
SELECT policy_id, extra FROM canopy.policy_all WHERE pull_id = 'unknown' ORDER BY ordinal;
SELECT make, extra FROM canopy.vehicle_all WHERE pull_id = 'unknown';
SELECT label, value FROM canopy.answer_all ORDER BY ordinal;
SELECT file_id FROM canopy.answer_file_all;
SELECT extra FROM canopy.pull_all WHERE pull_id = 'unknown';
SELECT * FROM pg_temp.drift('unknown');

-- Each lender is a row, wherever it stands, and once.
SELECT version FROM canopy_store_pull('{"pull_id": "lenders", "policies": [
	{"policy_id": "home", "dwellings": [
		{"dwelling_id": "own", "mortgagee_name": "First Bank", "mortgage_loan_number": "L-1", "mortgagee_address": {"address_id": "ma"}, "mortgagees": []},
		{"dwelling_id": "listed", "mortgagee_name": "First Bank", "mortgage_loan_number": "L-1", "mortgagees": [{"mortgagee_name": "FIRST BANK", "mortgage_loan_number": "L-1"}]},
		{"dwelling_id": "in full", "mortgagee_name": "First Bank", "mortgage_loan_number": "L-1", "mortgagees": [{"mortgagee_name": "First Bank ISAOA ATIMA", "mortgage_loan_number": "L-1"}]},
		{"dwelling_id": "by number", "mortgage_loan_number": "L-1", "Mortgagees": [{"mortgagee_name": "Other"}, {"mortgagee_name": "First Bank", "mortgage_loan_number": "L-1"}]},
		{"dwelling_id": "two loans", "mortgagee_name": "First Bank", "mortgage_loan_number": "L-1", "mortgagees": {"mortgagee_name": "First Bank", "mortgage_loan_number": "L-2"}},
		{"dwelling_id": "nothing in common", "mortgagee_name": "First Bank", "mortgagees": [{"mortgage_loan_number": "L-1"}]},
		{"dwelling_id": "none", "mortgagee_name": "", "mortgage_loan_number": null, "mortgagee_address": null}]},
	{"policy_id": "auto", "vehicles": [{"vehicle_id": "v", "lien_holder": "Car Credit"}, {"vehicle_id": "w", "lien_holder": null}]}]}');
SELECT policy_id, dwelling_id, vehicle_id, ordinal, parent_ordinal, mortgagee_name, mortgage_loan_number FROM canopy.mortgagee_all WHERE pull_id = 'lenders' ORDER BY ordinal;
SELECT dwelling_id, mortgagee_name, mortgage_loan_number FROM canopy.dwelling_all WHERE pull_id = 'lenders' AND ordinal = 1;

-- Each address is a row. The twin in another case counts where the field itself says nothing, and never beside it.
SELECT version FROM canopy_store_pull('{"pull_id": "twins", "primaryAddress": {"full_address": "4 Elm St"}, "policies": [{"policy_id": "auto", "vehicles": [
	{"vehicle_id": "twin", "GaragingAddress": {"address_id": "ga"}, "LienHolderAddress": {"address_id": "la"}},
	{"vehicle_id": "both", "GaragingAddress": {"address_id": "ga"}, "garaging_address": {"address_id": "ga"}},
	{"vehicle_id": "null", "GaragingAddress": {"address_id": "ga"}, "garaging_address": null, "LienHolderAddress": null},
	{"vehicle_id": "camel", "garagingAddress": {"address_id": "ga"}, "GaragingAddress": {"address_id": "ga"}},
	{"vehicle_id": "text", "GaragingAddress": "3 Home Ave"},
	{"vehicle_id": "column", "Make": "Opel", "VehicleId": "x", "Garaging_Address": {"address_id": "ga"}}]}],
	"agents": [{"agent_info_id": "text", "name": "Agency", "address": "5 Main St"}, {"agent_info_id": "row", "address": {"full_address": "6 Main St"}},
			   {"agent_info_id": "twin", "Address": {"full_address": "7 Main St"}}, {"agent_info_id": "odd", "address": {"planet": 1}}]}');
SELECT address_role, vehicle_id, agent_info_id, address_id, full_address FROM canopy.address_all WHERE pull_id = 'twins' ORDER BY ordinal;
SELECT vehicle_id, make, extra FROM canopy.vehicle_all WHERE pull_id = 'twins' ORDER BY ordinal;
SELECT agent_info_id, name, address, extra FROM canopy.agent_all WHERE pull_id = 'twins' ORDER BY ordinal;
SELECT * FROM pg_temp.drift('twins');

-- The API's own example spells a beneficiary's insured in two ways.
SELECT version FROM canopy_store_pull('{"pull_id": "life", "policies": [{"policy_id": "life", "life": {"life_policy_beneficiaries": [
	{"name_insured_id": "ni-1"}, {"name_insured_id": "ni-2", "named_insured_id": "ni-3"}, {"name_insured_id": {"a": 1}}, {"name_insured_id": null}]}}]}');
SELECT named_insured_id, extra FROM canopy.life_beneficiary_all ORDER BY ordinal;
SELECT * FROM pg_temp.drift('life');

-- What consumers have entered.
SELECT version FROM canopy_store_pull('{"pull_id": "entered", "status": "SUCCESS", "gender": "FEMALE", "marital_status": "MARRIED", "education": "BACHELORS",
	"occupation": "Teacher", "drivers": [{"driver_id": "d1", "source": "CARRIER"}, {"driver_id": "d2", "source": "CONSUMER"}], "policies": [
	{"policy_id": "p", "is_selected": true, "vehicles": [{"drivers": [{"driver_id": "d1", "source": "CARRIER"}]}]}]}');
SELECT gender, marital_status, education, occupation, extra FROM canopy.pull WHERE pull_id = 'entered';
SELECT driver_id, source, extra FROM canopy.driver WHERE pull_id = 'entered' ORDER BY ordinal;
SELECT driver_id, source, extra FROM canopy.vehicle_driver WHERE pull_id = 'entered';
SELECT policy_id, is_selected, extra FROM canopy.policy WHERE pull_id = 'entered';

-- Nobody without level pii_reader sees a policy's number in its name, an account, or an agent's address.
SELECT version FROM canopy_store_pull('{"pull_id": "names", "status": "SUCCESS", "account_identifier": "canary-7", "public_url": "https://x/c/y?ccmeta-a=canary",
	"gender": "canary", "policies": [{"policy_id": "p", "name": "HOME canary", "description": "canary", "carrier_policy_number": "canary"}],
	"documents": [{"document_id": "d", "title": "canary declarations"}], "agents": [{"name": "canary", "address": "canary"}]}');
CREATE ROLE regress_canopy_reader;
SELECT canopy_summit.grant_access('regress_canopy_reader', 'reader');
CREATE FUNCTION pg_temp.secrets() RETURNS TABLE (view name) LANGUAGE plpgsql AS $$
DECLARE
	found bigint;
BEGIN
	FOR view IN SELECT relname FROM pg_class WHERE relnamespace = 'canopy'::regnamespace ORDER BY relname COLLATE "C" LOOP
		EXECUTE format('SELECT count(*) FROM canopy.%I v WHERE v::text LIKE ''%%canary%%''', view) INTO found;
		IF found > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
SELECT count(*) AS views_with_secrets FROM pg_temp.secrets();
SET ROLE regress_canopy_reader;
SELECT * FROM pg_temp.secrets();
SELECT policy_id, name, description, account_identifier FROM canopy.policy WHERE pull_id = 'names';
SELECT account_identifier, public_url, gender FROM canopy.pull WHERE pull_id = 'names';
RESET ROLE;

-- Read again, all of it is the same.
CREATE FUNCTION pg_temp.rows() RETURNS TABLE (line text) LANGUAGE plpgsql AS $$
DECLARE
	entity text;
BEGIN
	FOR entity IN SELECT canopy_summit.entities() LOOP
		RETURN QUERY EXECUTE format('SELECT %L || e::text FROM canopy_summit.%I e', entity, entity);
	END LOOP;
END
$$;
CREATE TEMP TABLE was AS SELECT * FROM pg_temp.rows();
SELECT canopy_remap() > 0 AS started;
CALL canopy_summit.run_tasks();
SELECT count(*) AS differing FROM (TABLE was EXCEPT ALL SELECT * FROM pg_temp.rows()) d;
SELECT count(*) = (SELECT count(*) FROM pg_temp.rows()) AS as_many FROM was;
SET client_min_messages = warning;
DROP EXTENSION canopy_summit CASCADE;
DROP OWNED BY regress_canopy_reader;
DROP ROLE regress_canopy_reader;
