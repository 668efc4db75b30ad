-- test/bench/query.sql - what part query of test/bench/run needs in its database.
--
-- Each pull has an auto policy with three vehicles and a home policy with one dwelling, ten coverages
-- on each of the four, and two drivers. A tenth of the pulls share accounts, five each, of which the
-- newest is current. Everything follows from the number of the pull, and ids are as random as the
-- API's, so that rows do not lie in the order of their keys.

CREATE EXTENSION canopy_summit;
CREATE SCHEMA bench;
CREATE ROLE bench_reader;
SELECT canopy_summit.grant_access('bench_reader', 'reader');

CREATE FUNCTION bench.id(kind text, number bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (pg_catalog.md5(kind || number::text)::uuid)::text;

-- One of the values, or a number below a bound, chosen by a number.
CREATE FUNCTION bench.pick(number bigint, salt integer, VARIADIC choices text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN choices[1 + abs(hashint8extended(number, salt) % cardinality(choices))];
CREATE FUNCTION bench.below(number bigint, salt integer, bound integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN abs(hashint8extended(number, salt) % bound);

CREATE FUNCTION bench.account(number bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN number % 10 = 0 THEN bench.id('shared', (number - 1) / 50)
            WHEN number % 100 <> 7 THEN bench.id('account', number) END;

CREATE FUNCTION bench.is_current(number bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN number % 10 <> 0 OR number % 50 = 0;

-- Pulls were made evenly over two years.
CREATE FUNCTION bench.created_at(number bigint, pulls bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_timestamp(1719835200 + 63072000.0::float8 * number / pulls); -- from 2024-07-01 12:00 UTC

CREATE FUNCTION bench.carrier(number bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN bench.pick(number, 1, 'Allstate', 'American Family', 'Farmers', 'GEICO', 'Liberty Mutual', 'Nationwide',
                  'Progressive', 'Safeco', 'State Farm', 'The Hartford', 'Travelers', 'USAA');

CREATE PROCEDURE bench.load_pulls(first bigint, last bigint, pulls bigint)
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO canopy_summit.account (server, account_identifier)
    SELECT DISTINCT 'canopy', bench.account(n) FROM generate_series(first, last) n
    WHERE bench.account(n) IS NOT NULL
    ON CONFLICT DO NOTHING;

    INSERT INTO canopy_summit.pull_state (server, pull_id, environment, account_identifier, created_at, is_data,
        is_current, has_property_data, version, content_hash, fetched_at)
    SELECT 'canopy', bench.id('pull', n), 'production', bench.account(n), bench.created_at(n, pulls), true,
        bench.is_current(n), false, 1, sha256(bench.id('pull', n)::bytea),
        bench.created_at(n, pulls)
    FROM generate_series(first, last) n;

    INSERT INTO canopy_summit.pull (server, pull_id, environment, is_current, status, account_identifier, first_name, last_name, account_email,
        phone, mobile_phone, insurance_provider_name, insurance_provider_friendly_name, team_id, widget_id, meta_data,
        is_archived, created_at, public_alias, public_url, encountered_mfa, no_policies, no_drivers, no_documents,
        no_claims, no_loss_events, type, policy_check_status)
    SELECT 'canopy', bench.id('pull', n), 'production', bench.is_current(n), 'SUCCESS', bench.account(n), 'First' || n, 'Last' || n,
        format('first%s.last%s@example.com', n, n), '3125550197', '6175550168', lower(bench.carrier(n)),
        bench.carrier(n), bench.id('team', 1), bench.id('widget', n % 10),
        jsonb_build_object('campaign', bench.below(n, 2, 100), 'customer', bench.id('customer', n)),
        false, bench.created_at(n, pulls), 'bench-link', 'https://app.usecanopy.com/c/bench-link', n % 3 = 0, false,
        false, false, true, true, 'PULLING_DATA', 'NONE'
    FROM generate_series(first, last) n;

    INSERT INTO canopy_summit.driver (server, pull_id, is_current, ordinal, parent_ordinal, driver_id, first_name, last_name,
        drivers_license, drivers_license_state, date_of_birth_str, gender, marital_status, relationship_to_insured,
        age, age_on_date, education, occupation, age_licensed)
    SELECT 'canopy', bench.id('pull', n), bench.is_current(n), k, 1, bench.id('driver', n * 2 + k), 'First' || n, 'Last' || n,
        'D' || 10000000 + n, bench.pick(n, 3, 'CA', 'IL', 'NY', 'OH', 'TX'), '03/14/1980',
        bench.pick(n + k, 4, 'MALE', 'FEMALE'), 'MARRIED', CASE k WHEN 1 THEN 'INSURED' ELSE 'SPOUSE' END, 46,
        '2026-01-15', 'BACHELORS', 'Engineer', 18
    FROM generate_series(first, last) n, generate_series(1, 2) k;
END;

-- Policies expire 0 to 11 months after their pull: about 20,000 of 500,000 in the month asked for.
CREATE PROCEDURE bench.load_policies(first bigint, last bigint, pulls bigint)
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO canopy_summit.policy (server, pull_id, environment, account_identifier, is_current, ordinal, parent_ordinal, policy_id, name, description,
        carrier_policy_number, policy_type, effective_date, expiry_date, renewal_date, total_premium_cents,
        paid_in_full, amount_paid_cents, amount_due_cents, carrier_name, carrier_friendly_name, status, state,
        limited_access, is_monoline, payment_frequency)
    SELECT 'canopy', bench.id('pull', n), 'production', bench.account(n), bench.is_current(n), k, 1, bench.id('policy', n * 2 + k), x.name,
        format('%s policy of First%s Last%s', x.name, n, n), x.type || 100000000 + n * 2 + k, x.type,
        x.expiry_date - 365, x.expiry_date, x.expiry_date, 50000 + bench.below(n, k, 200000), n % 4 = 0,
        25000 + bench.below(n, k, 25000), 25000, lower(bench.carrier(n)), bench.carrier(n), 'ACTIVE',
        bench.pick(n, 3, 'CA', 'IL', 'NY', 'OH', 'TX'), false, false, 'MONTHLY'
    FROM generate_series(first, last) n, generate_series(1, 2) k,
        LATERAL (SELECT CASE k WHEN 1 THEN 'Personal Auto' ELSE 'Homeowners' END,
                        CASE k WHEN 1 THEN 'AUTO' ELSE bench.pick(n, 5, 'HOMEOWNERS', 'RENTERS', 'CONDO') END,
                        bench.created_at(n, pulls)::date + bench.below(n, 10 + k, 365)) AS x(name, type, expiry_date);

    INSERT INTO canopy_summit.vehicle (server, pull_id, is_current, ordinal, parent_ordinal, policy_id, vehicle_id, year, make,
        model, series, type, annual_mileage, current_mileage, vin, uses, purchase_date, ownership_type, features,
        is_removed, lien_holder)
    SELECT 'canopy', bench.id('pull', n), bench.is_current(n), k, 1, bench.id('policy', n * 2 + 1), bench.id('vehicle', n * 3 + k),
        2008 + bench.below(n, k, 18), bench.pick(n + k, 6, 'TOYOTA', 'HONDA', 'FORD', 'SUBARU', 'TESLA'),
        bench.pick(n + k, 7, 'RAV4', 'CIVIC', 'F-150', 'OUTBACK', 'MODEL 3'), 'XLE', 'CAR', 12000, 34000,
        '2T3W1RFV9GG' || 100000 + n * 3 + k, ARRAY['COMMUTE'], '2020-03-15', 'FINANCE',
        ARRAY['ANTI_LOCK_BRAKES', 'SIDE_AIRBAGS', 'DAYTIME_RUNNING_LIGHTS'], false, 'First Meridian Bank'
    FROM generate_series(first, last) n, generate_series(1, 3) k;

    INSERT INTO canopy_summit.dwelling (server, pull_id, is_current, ordinal, parent_ordinal, policy_id, dwelling_id,
        mortgagee_name, mortgage_loan_number, replacement_cost_cents, loss_settlement_type,
        is_replacement_cost_cents_derived)
    SELECT 'canopy', bench.id('pull', n), bench.is_current(n), 1, 2, bench.id('policy', n * 2 + 2), bench.id('dwelling', n),
        'First Meridian Bank', (7000000000 + n)::text, 20000000 + bench.below(n, 8, 50000000), 'REPLACEMENT_COST', false
    FROM generate_series(first, last) n;
END;

CREATE PROCEDURE bench.load_coverages(first bigint, last bigint)
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO canopy_summit.vehicle_coverage (server, pull_id, is_current, ordinal, parent_ordinal,
        vehicle_coverage_id, name, friendly_name, premium_cents, per_person_limit_cents, per_incident_limit_cents,
        deductible_cents, is_declined, is_stacked)
    SELECT 'canopy', bench.id('pull', n), bench.is_current(n), k, 1 + (k - 1) / 10, bench.id('vehicle_coverage', n * 30 + k),
        (ARRAY['BODILY_INJURY_LIABILITY', 'PROPERTY_DAMAGE_LIABILITY', 'COLLISION', 'COMPREHENSIVE',
               'UNINSURED_MOTORIST_BODILY_INJURY', 'MEDICAL_PAYMENTS', 'RENTAL_REIMBURSEMENT', 'ROADSIDE_ASSISTANCE',
               'LOAN_LEASE_PAYOFF', 'PERSONAL_INJURY_PROTECTION'])[1 + k % 10],
        (ARRAY['Bodily Injury Liability', 'Property Damage Liability', 'Collision', 'Comprehensive',
               'Uninsured Motorist Bodily Injury', 'Medical Payments', 'Rental Reimbursement', 'Roadside Assistance',
               'Loan/Lease Payoff', 'Personal Injury Protection'])[1 + k % 10],
        500 + bench.below(n, k, 20000), 10000000, 30000000, CASE WHEN k % 3 = 0 THEN 50000 END, false, false
    FROM generate_series(first, last) n, generate_series(1, 30) k;

    INSERT INTO canopy_summit.dwelling_coverage (server, pull_id, is_current, ordinal, parent_ordinal,
        dwelling_coverage_id, name, friendly_name, premium_cents, per_incident_limit_cents, deductible_cents, is_declined)
    SELECT 'canopy', bench.id('pull', n), bench.is_current(n), k, 1, bench.id('dwelling_coverage', n * 10 + k),
        (ARRAY['DWELLING', 'OTHER_STRUCTURES', 'PERSONAL_PROPERTY', 'LOSS_OF_USE', 'PERSONAL_LIABILITY',
               'MEDICAL_PAYMENTS', 'ORDINANCE_OR_LAW', 'WATER_BACKUP', 'IDENTITY_THEFT', 'EQUIPMENT_BREAKDOWN'])[k],
        (ARRAY['Dwelling', 'Other Structures', 'Personal Property', 'Loss of Use', 'Personal Liability',
               'Medical Payments', 'Ordinance or Law', 'Water Backup', 'Identity Theft', 'Equipment Breakdown'])[k],
        500 + bench.below(n, 100 + k, 40000), 30000000, CASE WHEN k % 3 = 0 THEN 50000 END, false
    FROM generate_series(first, last) n, generate_series(1, 10) k;
END;

-- The JSON of a row as the API's object: without the columns of the engine.
CREATE FUNCTION bench.object(entity jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN entity - '{server,pull_id,environment,account_identifier,is_current,ordinal,parent_ordinal,extra}'::text[];

CREATE PROCEDURE bench.load_documents(first bigint, last bigint, pulls bigint)
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO canopy_summit.pull_version (server, pull_id, version, content_hash, fetched_at, stored_by, pull)
    SELECT 'canopy', p.pull_id, 1, sha256(p.pull_id::bytea), bench.created_at(n, pulls), current_user,
        bench.object(to_jsonb(p)) || jsonb_build_object(
            'pull_id', p.pull_id, 'account_identifier', p.account_identifier,
            'drivers', (SELECT jsonb_agg(bench.object(to_jsonb(d))) FROM canopy_summit.driver d WHERE d.pull_id = p.pull_id),
            'policies', (
                SELECT jsonb_agg(bench.object(to_jsonb(o)) || jsonb_build_object(
                    'vehicles', coalesce((
                        SELECT jsonb_agg(bench.object(to_jsonb(v)) || jsonb_build_object('coverages', (
                            SELECT jsonb_agg(bench.object(to_jsonb(c))) FROM canopy_summit.vehicle_coverage c
                            WHERE c.pull_id = v.pull_id AND c.parent_ordinal = v.ordinal)))
                        FROM canopy_summit.vehicle v
                        WHERE v.pull_id = o.pull_id AND v.parent_ordinal = o.ordinal), '[]'),
                    'dwellings', coalesce((
                        SELECT jsonb_agg(bench.object(to_jsonb(w)) || jsonb_build_object('coverages', (
                            SELECT jsonb_agg(bench.object(to_jsonb(c))) FROM canopy_summit.dwelling_coverage c
                            WHERE c.pull_id = w.pull_id AND c.parent_ordinal = w.ordinal)))
                        FROM canopy_summit.dwelling w
                        WHERE w.pull_id = o.pull_id AND w.parent_ordinal = o.ordinal), '[]')))
                FROM canopy_summit.policy o WHERE o.pull_id = p.pull_id))
    FROM generate_series(first, last) n JOIN canopy_summit.pull p ON p.pull_id = bench.id('pull', n);
END;

-- There are no statistics yet: without the settings, documents would be built by scanning tables.
CREATE PROCEDURE bench.load(first bigint, last bigint, pulls bigint)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL bench.load_pulls(first, last, pulls);
    CALL bench.load_policies(first, last, pulls);
    CALL bench.load_coverages(first, last);
    COMMIT;
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off;
    CALL bench.load_documents(first, last, pulls);
    COMMIT;
END
$$;
