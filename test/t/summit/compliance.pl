# Does a verdict say what a requirement and a certificate come to, and pass nothing that nobody has said?
use strict;
use warnings;
use utf8;

use CanopyTest;
use Encode qw(decode encode);
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = test_seed();
my $node = new_node();
my $leases = 0;
my $sets = 0;
$node->safe_psql('postgres', <<~'SQL');
	CREATE EXTENSION canopy_summit;
	CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'sandbox');
	CREATE SERVER live FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'production');
	INSERT INTO summit.property (property_id, time_zone, portfolios, tags)
	VALUES ('P', 'UTC', '{east,west,east}', '{}'), ('EARLY', 'Pacific/Kiritimati', '{}', '{ends}'),
		('LATE', 'Pacific/Pago_Pago', '{}', '{ends}');
	CREATE ROLE manager;
	CREATE ROLE nobody;
	CREATE ROLE reader;
	CREATE ROLE pii;
	SELECT canopy_summit.grant_access('manager', 'manager'), canopy_summit.grant_access('reader', 'reader'),
		canopy_summit.grant_access('pii', 'pii_reader');
	GRANT USAGE ON FOREIGN SERVER summit TO manager
	SQL

subtest 'seven traps' => \&traps;
subtest 'each code' => \&codes;
subtest 'umbrellas' => \&umbrellas;
subtest 'names' => \&names;
subtest 'whose a certificate is' => \&holders;
subtest 'versions' => \&versions;
subtest 'portfolios' => \&portfolios;
subtest 'bad input' => \&refused;
subtest 'waivers' => \&waivers;
subtest 'what would be' => \&what_if;
subtest 'leases' => \&lease_status;
subtest 'levels' => \&levels;
subtest 'two servers' => \&servers;
subtest 'one mechanism' => \&one_mechanism;
subtest 'random cases' => \&random_cases;
done_testing();

sub query { my ($sql) = @_; return decode('UTF-8', $node->safe_psql('postgres', encode('UTF-8', $sql))) }

sub literal { my ($value) = @_; return defined $value ? "'" . $value =~ s/'/''/gr . "'" : 'NULL' }

# INSERT of one row.
sub insert
{
	my ($table, %row) = @_;
	my @columns = sort keys %row;
	return
		"INSERT INTO $table ("
	  . join(', ', @columns)
	  . ') VALUES ('
	  . join(', ', map { literal($row{$_}) } @columns) . ')';
}

# A day by its distance from today, in UTC.
sub day { my ($days) = @_; return query("SELECT (now() AT TIME ZONE 'UTC')::date + $days") }

# A lease, in the roster as somebody's.
sub lease
{
	my (%more) = @_;
	my $id = 'L' . ++$leases;
	query(insert('summit.property_reference', property_id => 'P', lease_id => $id, valid_from => '2020-01-01', %more));
	return $id;
}

# A certificate by hand, which covers today unless told otherwise.
sub certificate
{
	my ($lease, %more) = @_;
	query(
		insert(
			'summit.certificate_fact',
			property_id => 'P', lease_id => $lease, policy_number => "N-$lease", policy_type => 'CGL',
			effective_date => day(-100), expiry_date => day(100), currency => 'CAD', %more));
	return;
}

# A set in force with one requirement, of property P unless told otherwise.
sub requirement
{
	my ($columns, %set) = @_;
	my $name = delete $set{name} // 'S' . ++$sets;
	my $publish =
	  delete $set{draft}
	  ? ''
	  : "UPDATE summit.requirement_set SET status = 'published' WHERE name = '$name' AND version = "
	  . ($set{version} // 1);
	query(
		insert(
			'summit.requirement_set', name => $name, version => 1, scope => 'property', scope_value => 'P',
			starts_on => '2020-01-01', %set));
	query(
		insert(
			'summit.requirement', requirement_set => $name, version => $set{version} // 1, policy_type => 'CGL',
			evidence_grade => 'fact', %$columns));
	query($publish) if $publish;
	return $name;
}

# What comes of it: verdict, code, what is required, and found.
sub verdict
{
	my ($lease, $set) = @_;
	return query(<<~"SQL");
		SELECT concat_ws(' ', verdict, code, coalesce(required, '-'), coalesce(found, '-')) FROM summit.compliance
		WHERE lease_id = '$lease' AND requirement_set = '$set'
		SQL
}

# The same of a certificate against a requirement alone.
sub comes_to
{
	my ($columns, %certificate) = @_;
	my $name = delete $certificate{name};
	my $lease = lease(defined $name ? (name => $name) : ());
	certificate($lease, %certificate);
	return verdict($lease, requirement($columns));
}

sub traps
{
	subtest 'a: no expiry date' => sub {
		my $lease = lease();
		my $set = requirement({ per_occurrence => 1, currency => 'CAD' });
		certificate($lease, expiry_date => undef, per_occurrence => 5);
		is(verdict($lease, $set), 'unknown no_expiry 1 -', 'is not a policy that never ends');
	};
	subtest 'b: a waiver of subrogation' => sub {
		my $wanted = { waiver_of_subrogation => 'true' };
		is( comes_to($wanted), 'unknown waiver_of_subrogation_unknown true -',
			'is not there because nobody speaks of it');
		is( comes_to($wanted, waiver_of_subrogation => 'false', endorsements => '["Waiver of Subrogation"]'),
			'fail waiver_of_subrogation true false', 'nor because an endorsement is called so');
		is(comes_to($wanted, waiver_of_subrogation => 'true'), 'pass ok - -', 'but by its flag');
	};
	subtest 'c: an aggregate limit' => sub {
		is( comes_to({ aggregate => 2, currency => 'CAD' }, aggregate => 5, expiry_date => day(0)),
			'fail expired 2 ' . day(0), 'of a policy that has expired is none');
	};
	subtest 'd: an umbrella' => sub {
		my $lease = lease();
		my $set = requirement({ per_occurrence => 5000000, currency => 'CAD', may_combine_with_excess => 'true' });
		certificate($lease, per_occurrence => 1000000);
		certificate($lease, policy_number => "U-$lease", policy_type => 'Umbrella', aggregate => 4000000);
		is(verdict($lease, $set), 'fail limit_per_occurrence 5000000 1000000', 'adds no aggregate limit');
		certificate($lease, policy_number => "U-$lease", policy_type => 'Umbrella', per_occurrence => 4000000);
		is(verdict($lease, $set), 'pass ok 5000000 5000000', 'adds its limit to the primary one');
	};
	subtest 'e: names' => sub {
		is(comes_to({}, name => 'ABC', insured_name => 'ABCO Holdings'), 'fail insured_name - -', 'no part of one');
		is(comes_to({}, name => 'ABC', insured_name => ''), 'fail insured_name - -', 'and nobody is not everybody');
		is(comes_to({}, name => 'ABC', insured_name => 'abc'), 'pass ok - -', 'but the whole');
	};
	subtest 'f: an expired policy and a current one' => sub {
		my $set = requirement({ per_occurrence => 1, currency => 'CAD' });
		my @terms = (
			{ policy_number => 'OLD', effective_date => day(-465), expiry_date => day(-100), per_occurrence => 9 },
			{ policy_number => 'NOW', per_occurrence => 2 });
		for my $order ([ 0, 1 ], [ 1, 0 ])
		{
			my $lease = lease();
			certificate($lease, %{ $terms[$_] }, policy_number => "$terms[$_]{policy_number}-$lease") for @$order;
			is(verdict($lease, $set), 'pass ok 1 2', 'in either order');
		}
		my $lease = lease();
		certificate($lease, %{ $terms[$_] }, policy_number => "ONE-$lease") for 1, 0;
		is(verdict($lease, $set), 'pass ok 1 2', 'and as terms of one policy');
	};
	subtest 'g: an expiry date' => sub {
		my $set = requirement({ per_occurrence => 1, currency => 'CAD' }, scope => 'tag', scope_value => 'ends');
		# It is never the same day at both.
		my $ends = query(q{SELECT (now() AT TIME ZONE 'Pacific/Kiritimati')::date});
		for my $property ('EARLY', 'LATE')
		{
			my $lease = lease(property_id => $property);
			certificate($lease, property_id => $property, expiry_date => $ends, per_occurrence => 1);
			is( verdict($lease, $set), $property eq 'EARLY' ? "fail expired 1 $ends" : 'pass ok 1 1',
				"is one of the property's days: $property");
		}
	};
	return;
}

sub codes
{
	my %limit = (per_occurrence => 2, currency => 'CAD');
	my @cases = (
		[   { per_occurrence => 2, currency => 'CAD' }, { per_occurrence => 2 }, 'pass ok 2 2',
			'a limit is a lower bound' ],
		[ \%limit, { per_occurrence => 1.99 }, 'fail limit_per_occurrence 2 1.99', 'too low' ],
		[ \%limit, {}, 'unknown limit_unknown 2 -', 'not stated' ],
		[ \%limit, { per_occurrence => 'NaN' }, 'unknown limit_unknown 2 -', 'no number' ],
		[ \%limit, { per_occurrence => 9, currency => 'USD' }, 'unknown currency CAD USD', 'dollars are not dollars' ],
		[   \%limit, { per_occurrence => 1, currency => 'USD' }, 'unknown currency CAD USD',
			'neither when they are less' ],
		[ \%limit, { per_occurrence => 9, currency => undef }, 'unknown currency_unknown CAD -', 'without currency' ],
		[ { aggregate => 2, currency => 'CAD' }, { aggregate => 1 }, 'fail limit_aggregate 2 1', 'aggregate' ],
		[ { %limit, aggregate => 3 }, { per_occurrence => 2 }, 'unknown limit_unknown 3 -', 'the other one' ],
		[   { additional_insured => 'true' },
			{ additional_insured => 'false', endorsements => '["Additional Insured"]' },
			'fail additional_insured true false', 'no flag' ],
		[   { additional_insured => 'true' }, { endorsements => '["Additional Insured"]' },
			'unknown additional_insured_unknown true -', 'a text is no flag' ],
		[   { endorsements => '["cross liability"]' }, { endorsements => '["Cross Liability", "X"]' },
			'pass ok - -', 'in any case of letters' ],
		[   { endorsements => '["Cross"]' }, { endorsements => '["Cross Liability"]' }, 'fail endorsement ["Cross"] -',
			'whole' ],
		[ { endorsements => '["Cross"]' }, {}, 'unknown endorsement_unknown ["Cross"] -', 'not known' ],
		[ { notice_days => 30 }, { cancellation_notice_days => 29 }, 'fail notice_days 30 29', 'notice' ],
		[ { notice_days => 30 }, {}, 'unknown notice_days_unknown 30 -', 'no notice is told' ],
		[ { fact => 'cross_liability', minimum => 1 }, { cross_liability => 'true' }, 'pass ok 1 1', 'true is 1' ],
		[   { fact => 'cross_liability', minimum => 1 }, { cross_liability => 'false' }, 'fail fact_minimum 1 0',
			'false is 0' ],
		[   { fact => 'non_owned_auto', minimum => 2, currency => 'CAD' }, { non_owned_auto => 3, currency => 'USD' },
			'unknown currency CAD USD', 'an amount has a currency' ],
		[   { fact => 'deductible', maximum => 5, currency => 'CAD' }, { deductible => 6 }, 'fail fact_maximum 5 6',
			'at most' ],
		[ { fact => 'sprinklers', minimum => 1 }, { facts => '{"sprinklers": true}' }, 'pass ok 1 1', 'any fact' ],
		[   { fact => 'sprinklers', minimum => 1 }, { facts => '{"sprinklers": "1"}' }, 'unknown fact_unknown 1 -',
			'a text' ],
		[   { fact => 'sprinklers' }, { facts => '{"sprinklers": "all floors"}' }, 'pass ok - -',
			'whatever it is, it is stated' ],
		[ { fact => 'tenants_legal_liability' }, {}, 'unknown fact_unknown - -', 'or not' ],
		[ {}, { effective_date => day(1) }, 'fail not_yet_effective - ' . day(1), 'tomorrow' ],
		[ {}, { effective_date => day(0), expiry_date => day(1) }, 'pass ok - -', 'one day' ],
		[ {}, { effective_date => undef }, 'unknown no_effective_date - -', 'without beginning' ],
		[ { days_ahead => 99 }, {}, 'pass ok - -', 'the last day that is covered' ],
		[ { days_ahead => 100 }, {}, 'fail date_window ' . day(100) . ' ' . day(100), 'the day after it' ],
		[ { evidence_grade => 'submitted' }, {}, 'unknown evidence submitted fact', 'only somebody\'s word' ],
		[ { policy_type => 'Cyber' }, {}, 'fail no_policy - -', 'of a type that nobody has' ],
		[ { policy_type => 'cgl' }, {}, 'pass ok - -', 'types in any case of letters' ]);

	is(comes_to($_->[0], %{ $_->[1] }), $_->[2], $_->[3]) for @cases;
	is(verdict(lease(), requirement(\%limit)), 'fail no_policy 2 -', 'without any certificate');
	is( query(
			q{SELECT count(*), bool_and(text_en ~ '^[A-Z].*[.]$'), bool_and(text_fr ~ '^[A-Z].*[.]$' AND text_fr !~ '&')
			FROM summit.compliance_code}),
		'30|t|t',
		'a sentence each');
	is( query(q{SELECT text_fr FROM summit.compliance_code WHERE code = 'evidence'}),
		'Le certificat lui-même n\'a pas été reçu.', 'with accents');
	is( query(
			q{SELECT count(*) FROM summit.compliance LEFT JOIN summit.compliance_code c USING (code)
				WHERE c.code IS NULL}
		),
		0,
		'no verdict has another code');
	leap();
	summit_events();
	return;
}

# A term that ends on 29 February covers the 28th.
sub leap
{
	my $lease = lease();
	my $set = requirement({});
	certificate($lease, effective_date => '2027-02-28', expiry_date => '2028-02-29');
	is(query(<<~"SQL"), "fail|not_yet_effective\npass|ok\nfail|expired", '29 February');
		SELECT verdict, code FROM unnest('{2027-02-27,2028-02-28,2028-02-29}'::date[]) AS d(day),
			summit.compliance_on(d.day) WHERE lease_id = '$lease' AND requirement_set = '$set' ORDER BY d.day
		SQL
	return;
}

# What Summit has told: submitted, verified, checks that failed, lapsed.
sub summit_events
{
	my $lease = lease();
	my $set = requirement({ evidence_grade => 'verified' });
	certificate($lease);
	my $told = sub {
		my ($status, %more) = @_;
		query(<<~"SQL");
			INSERT INTO canopy_summit.status_event (status_event_id, policy_status_id, server, source, status,
				occurred_at,
				recorded_at, observed_at, policy_type, effective_date, expiry_date, checks, reason_code)
			SELECT nextval('canopy_summit.status_event_id_seq'), policy_status_id, server, 'webhook', '$status',
				clock_timestamp(), now(), now(), 'CGL', '${\ day(-100)}', '${\ day(100)}', ${\ literal($more{checks}) },
				${\ literal($more{reason}) }
			FROM canopy_summit.policy_status WHERE lease_id = '$lease';
			SELECT canopy_summit.policy_status_fold(array_agg(policy_status_id)) FROM canopy_summit.policy_status
			WHERE lease_id = '$lease'
			SQL
		return verdict($lease, $set);
	};
	is(verdict($lease, $set), 'unknown evidence verified fact', 'a fact is no certificate');
	is($told->('submitted'), 'unknown pending verified submitted', 'nor is one that was not verified');
	is($told->('verified'), 'pass ok - -', 'one that was');
	is( $told->('verified', checks => '[{"name": "limits", "result": "fail"}]'), 'fail failed_checks - -',
		'a check that failed');
	is($told->('verified', checks => '[{"name": "limits", "result": "pass"}]'), 'pass ok - -', 'and did not any more');
	is($told->('lapsed', reason => 'cancellation'), 'fail lapsed - ' . day(0), 'lapsed today');
	is( query(
			"SELECT verdict FROM summit.compliance_on('${\ day(-1)}') WHERE lease_id = '$lease'
				AND requirement_set = '$set'"
		),
		'pass',
		'and not yesterday');
	is($told->('reinstated'), 'pass ok - -', 'and back');
	return;
}

sub umbrellas
{
	my $set = requirement({ per_occurrence => 5, currency => 'CAD', may_combine_with_excess => 'true' });
	my $alone = requirement({ per_occurrence => 5, currency => 'CAD' });
	my $over = sub {
		my ($primary, @umbrellas) = @_;
		my $lease = lease();
		certificate($lease, %$primary) if $primary;
		certificate($lease, policy_number => "U-$lease", policy_type => 'Umbrella', %$_) for @umbrellas;
		return $lease;
	};
	my %primary = (per_occurrence => 1);

	is( verdict($over->(undef, { per_occurrence => 9 }), $set), 'fail no_policy 5 -',
		'without its primary it is nothing');
	is( verdict($over->({ %primary, expiry_date => day(0) }, { per_occurrence => 9 }), $set),
		'fail expired 5 ' . day(0),
		'nor over one that has expired');
	is( verdict($over->(\%primary, { per_occurrence => 9, expiry_date => day(0) }), $set),
		'fail limit_per_occurrence 5 1', 'nor one that has expired itself');
	is( verdict($over->(\%primary, { per_occurrence => 9, currency => 'USD' }), $set), 'fail limit_per_occurrence 5 1',
		'nor in another currency');
	is(verdict($over->({}, { per_occurrence => 9 }), $set), 'unknown limit_unknown 5 -', 'nor over what is not known');
	my $lease = $over->(
		\%primary, { per_occurrence => 3 },
		{ policy_number => 'X', policy_type => 'Excess', per_occurrence => 1 });
	is(verdict($lease, $set), 'pass ok 5 5', 'two of them');
	is(verdict($lease, $alone), 'fail limit_per_occurrence 5 1', 'where they may');
	$lease = $over->(\%primary, { per_occurrence => 2 });
	# The same policy, as certificate for the same lease by another id.
	certificate($lease, policy_number => "U-$lease", policy_type => 'Umbrella', per_occurrence => 2, unit_id => 'U1');
	certificate($lease, policy_number => "U-$lease", policy_type => 'Umbrella', per_occurrence => 2, unit_id => 'U2');
	is(verdict($lease, $set), 'fail limit_per_occurrence 5 3', 'one policy adds once');
	return;
}

sub names
{
	my @same = (
		[ 'ABC Holdings Ltd.', 'ABC HOLDINGS LIMITED' ],
		[ 'ABC Holdings Ltd', 'Abc Holdings Limitée' ],
		[ 'Gestion Québec Ltée', 'GESTION QUEBEC LIMITEE' ],
		[ 'A.B.C. Inc.', 'ABC Incorporated' ],
		[ "O'Brien & Sons Co.", 'OBrien and Sons Company' ],
		[ 'Foo', '8622345 Canada Inc. & 2796953 Ontario Inc o/a Foo' ],
		[ '8622345 Canada Inc. & 2796953 Ontario Inc.', '8622345 Canada Inc. & 2796953 Ontario Inc o/a Foo' ],
		[ 'Jane Doe', 'JANE  DOE' ]);
	my @other = (
		[ 'ABC', 'ABCO Holdings' ],
		[ 'ABC', 'ABC Holdings' ],
		[ 'ABC Inc.', 'ABC Ltd.' ],
		[ '', '' ],
		[ '---', '...' ],
		[ 'Canada Inc.', '8622345 Canada Inc. o/a Foo' ],
		[ 'Jane Doe', 'Jane Roe' ]);
	my $same = sub {
		my ($one, $other) = map { literal($_) } @_;
		return query("SELECT canopy_summit.same_name($one, $other)");
	};

	is($same->(@$_) . $same->(reverse @$_), 'tt', "$_->[0] is $_->[1]") for @same;
	is($same->(@$_) . $same->(reverse @$_), 'ff', "$_->[0] is not $_->[1]") for @other;
	is($same->(undef, 'ABC'), '', 'of a name that is not known nobody knows');
	is(comes_to({}, insured_name => 'ABC'), 'pass ok - -', 'the roster has none');
	is( comes_to({}, name => 'Jane Doe', insured_name => 'Jane Doe', holder_name => 'Somebody Else'), 'pass ok - -',
		'the holder is somebody else: it is the insured who counts');
	is( comes_to({}, name => 'Jane Doe', holder_name => 'Jane Doe', insured_name => 'X'), 'fail insured_name - -',
		'not the holder');
	my $lease = lease(first_name => 'Jane', last_name => 'Doe');
	certificate($lease, insured_name => 'Jane Doe');
	is(verdict($lease, requirement({})), 'pass ok - -', 'by first and last name');
	return;
}

sub holders
{
	my $set = requirement({});
	my $vendors = requirement({}, kind => 'vendor');
	my $of = sub {
		return query(
			"SELECT code FROM summit.compliance WHERE tenant_id = '$_[0]'
		AND requirement_set = '$_[1]'");
	};
	my $lease = lease(unit_id => 'H1', tenant_id => 'TH1');
	certificate('elsewhere', lease_id => undef, unit_id => 'H1', policy_number => 'H1');
	is(verdict($lease, $set), 'fail no_policy - -', 'one of the unit may be the tenant\'s before');
	certificate($lease, tenant_id => 'TH2');
	is(verdict($lease, $set), 'fail no_policy - -', 'nor one of the lease that is another tenant\'s');
	certificate($lease, lease_id => undef, tenant_id => 'TH1', policy_number => 'H3', unit_id => 'H1');
	is(verdict($lease, $set), 'pass ok - -', 'but the tenant\'s, without lease');
	certificate(undef, lease_id => undef, policy_number => 'H4', insured_name => 'Snow Ltd.');
	query(
		insert(
			'summit.property_reference', property_id => 'P', tenant_id => $_->[0], name => $_->[1], kind => 'vendor')
	) for [ 'V1', 'Snow Limited' ], [ 'V2', 'Ice Limited' ];
	is($of->('V1', $vendors), 'ok', 'a vendor by the insured, if it names the property alone');
	is($of->('V2', $vendors), 'no_policy', 'and no other');
	is($of->('V1', $set), '', 'what tenants must have no vendor must');
	query(
		"UPDATE summit.property_reference SET valid_from = '2020-01-01', valid_to = '${\ day(0)}'
			WHERE tenant_id = 'V2'"
	);
	is($of->('V2', $vendors), '', 'whoever is not there any more');
	is( query("SELECT count(*) FROM summit.compliance_on('${\ day(-1)}') WHERE tenant_id = 'V1'"), 0,
		'or was not yet needs nothing');
	return;
}

sub versions
{
	my $lease = lease();
	certificate($lease, per_occurrence => 2);
	my $set = requirement({ per_occurrence => 1, currency => 'CAD' }, ends_on => day(10));
	requirement(
		{ per_occurrence => 3, currency => 'CAD' }, name => $set, version => 2, starts_on => day(-10),
		ends_on => day(5));
	requirement({ per_occurrence => 4, currency => 'CAD' }, name => $set, version => 3, draft => 1);
	is(verdict($lease, $set), 'fail limit_per_occurrence 3 2', 'of two in force the higher, and no draft');
	is(query(<<~"SQL"), "1|pass\n2|fail\n1|pass\n|", 'before, while, after, and when none is');
		SELECT c.version, c.verdict FROM unnest('{${\ day(-11)},${\ day(-10)},${\ day(5)},${\ day(10)}}'::date[])
			WITH ORDINALITY AS d(day, n)
			LEFT JOIN LATERAL (SELECT * FROM summit.compliance_on(d.day) WHERE lease_id = '$lease'
				AND requirement_set = '$set') AS c
			ON true ORDER BY d.n
		SQL
	for my $sql (
		"UPDATE summit.requirement_set SET starts_on = '2019-01-01' WHERE name = '$set' AND version = 2",
		"DELETE FROM summit.requirement_set WHERE name = '$set' AND version = 1",
		"UPDATE summit.requirement SET per_occurrence = 0 WHERE requirement_set = '$set' AND version = 2",
		"DELETE FROM summit.requirement WHERE requirement_set = '$set' AND version = 2",
		insert('summit.requirement', requirement_set => $set, version => 2, policy_type => 'X'))
	{
		is(sqlstate_of($node, "SET ROLE manager; $sql"), '55000', 'what is published stays: ' . substr $sql, 0, 32);
	}
	query(
		"SET ROLE manager; UPDATE summit.requirement SET per_occurrence = 5 WHERE requirement_set = '$set'
			AND version = 3;"
		  . "DELETE FROM summit.requirement_set WHERE name = '$set' AND version = 3");
	is(query("SELECT count(*) FROM summit.requirement WHERE requirement_set = '$set'"), 2, 'a draft may go');
	# A version that requires nothing ends the set.
	query(
		insert(
			'summit.requirement_set', name => $set, scope => 'property', scope_value => 'P', starts_on => day(0),
			status => 'published'));
	is(query("SELECT max(version) FROM summit.requirement_set WHERE name = '$set'"), 3, 'the next version by itself');
	is(verdict($lease, $set), '', 'nothing is required any more');
	return;
}

sub portfolios
{
	my $lease = lease();
	my ($east, $west, $north) =
	  map { requirement({ policy_type => $_ }, scope => 'portfolio', scope_value => $_) } qw(east west north);
	is( query(
			"SELECT string_agg(policy_type, ' ' ORDER BY policy_type) FROM summit.compliance WHERE lease_id = '$lease'
			AND requirement_set IN ('$east', '$west', '$north')"),
		'east west',
		'who is in two has what both require, once each');
	query(q{UPDATE summit.property SET portfolios = '{north,"",north}' WHERE property_id = 'P'});
	is(query(q{SELECT portfolios FROM summit.property WHERE property_id = 'P'}), '{north}', 'each name once');
	is( query(
			"SELECT string_agg(policy_type, ' ') FROM summit.compliance WHERE lease_id = '$lease'
			AND requirement_set IN ('$east', '$west', '$north')"),
		'north',
		'by where it is now');
	return;
}

sub refused
{
	my %set = (name => 'bad', scope => 'property', scope_value => 'P', starts_on => '2026-01-01');
	my $draft = requirement({}, draft => 1);
	my %limit = (requirement_set => $draft, version => 1, policy_type => 'CGL');
	my %waiver =
	  (requirement_set => $draft, property_id => 'P', ends_on => '2027-01-01', reason => 'r', approved_by => 'a');
	my @refused = (
		[ requirement_set => { %set, scope_value => 'without zone' }, 'a property without time zone' ],
		[ requirement_set => { %set, scope => 'country' }, 'another scope' ],
		[ requirement_set => { %set, scope => undef }, 'no scope' ],
		[ requirement_set => { %set, scope_value => '' }, 'nowhere' ],
		[ requirement_set => { %set, name => '' }, 'no name' ],
		[ requirement_set => { %set, kind => 'owner' }, 'another kind' ],
		[ requirement_set => { %set, ends_on => '2026-01-01' }, 'never in force' ],
		[ requirement_set => { %set, version => 0 }, 'version 0' ],
		[ requirement_set => { %set, status => 'open' }, 'another status' ],
		[ requirement => { %limit, version => 9 }, 'of no version' ],
		[ requirement => { %limit, policy_type => '' }, 'of no type' ],
		[ requirement => { %limit, per_occurrence => 1 }, 'a limit without currency' ],
		[ requirement => { %limit, per_occurrence => 1, currency => 'cad' }, 'no currency' ],
		[ requirement => { %limit, per_occurrence => -1, currency => 'CAD' }, 'less than nothing' ],
		[ requirement => { %limit, aggregate => 'NaN', currency => 'CAD' }, 'no number' ],
		[ requirement => { %limit, minimum => 1 }, 'a minimum of nothing' ],
		[ requirement => { %limit, fact => 'x', minimum => 2, maximum => 1 }, 'more than at most' ],
		[ requirement => { %limit, fact => 'per_occurrence', minimum => 1 }, 'what has a column' ],
		[ requirement => { %limit, may_combine_with_excess => 'true' }, 'excess over no limit' ],
		[   requirement => {
				%limit, policy_type => 'Umbrella', may_combine_with_excess => 'true', per_occurrence => 1,
				currency => 'CAD' },
			'excess over excess' ],
		[ requirement => { %limit, endorsements => '["a", 1]' }, 'no texts' ],
		[ requirement => { %limit, notice_days => -1 }, 'days' ],
		[ requirement => { %limit, days_ahead => 4000 }, 'days without end' ],
		[ requirement => { %limit, evidence_grade => 'hearsay' }, 'another grade' ],
		[ waiver => { %waiver, reason => '' }, 'no reason' ],
		[ waiver => { %waiver, approved_by => undef }, 'no approver' ],
		[ waiver => { %waiver, ends_on => undef }, 'no end' ],
		[ waiver => { %waiver, ends_on => 'infinity' }, 'without end' ],
		[ waiver => { %waiver, property_id => '' }, 'nowhere' ],
		[ waiver => { %waiver, requirement_set => 'no such' }, 'of no set' ],
		[ waiver => { %waiver, requirement_id => 1 }, 'of another set\'s requirement' ]);

	is(sqlstate_of($node, 'SET ROLE manager; ' . insert("summit.$_->[0]", %{ $_->[1] })), '22023', "$_->[0]: $_->[2]")
	  for @refused;
	is(sqlstate_of($node, q{SELECT summit_what_if('no such', 1)}), '22023', 'what would be by no set');
	is( sqlstate_of($node, insert('summit.requirement_set', %set, name => $draft, version => 1)), '23505',
		'the same version');
	return;
}

sub waivers
{
	my ($lease, $other) = (lease(unit_id => 'W'), lease());
	my $set = requirement({});
	my $id = query("SELECT requirement_id FROM summit.requirement WHERE requirement_set = '$set'");
	my $waiver = sub {
		query('DELETE FROM summit.waiver');
		query(
			'SET ROLE manager; ' . insert(
				'summit.waiver', requirement_set => $set, property_id => 'P', ends_on => day(5), reason => 'r',
				approved_by => 'a', @_));
		return query(
			"SELECT lease_id, verdict, code, waived_until FROM summit.compliance
			WHERE requirement_set = '$set' AND lease_id IN ('$lease', '$other') AND verdict = 'waived'");
	};
	my $waived = "$lease|waived|no_policy|" . day(5);

	is($waiver->(lease_id => $lease), $waived, 'of a lease: the code stays what it would be');
	is($waiver->(unit_id => 'W'), $waived, 'of a unit: for whom it is not known it is not');
	is($waiver->(lease_id => $lease, requirement_id => $id), $waived, 'of one requirement');
	is($waiver->() =~ tr/\n//, 1, 'of the property: both');
	is($waiver->(lease_id => $lease, starts_on => day(-5), ends_on => day(-1)), '', 'one that ended yesterday');
	is($waiver->(lease_id => $lease, starts_on => day(-5), ends_on => day(0)), '', 'or whose end is today');
	is($waiver->(lease_id => $lease, starts_on => day(1)), '', 'one that has not begun');
	is($waiver->(property_id => 'LATE'), '', 'one of another property');
	is($waiver->(lease_id => $lease, unit_id => 'X'), '', 'one of another unit');
	$waiver->(lease_id => $lease);
	query("SET ROLE manager; UPDATE summit.waiver SET ends_on = '${\ day(0)}'");
	is(verdict($lease, $set), 'fail no_policy - -', 'one that is ended early');
	is(query('SELECT recorded_by FROM summit.waiver'), query('SELECT session_user'), 'it is known who');
	$waiver->(lease_id => $lease);
	certificate($lease);
	is(verdict($lease, $set), 'pass ok - -', 'what is met needs no waiver');
	is(sqlstate_of($node, "SET ROLE manager; UPDATE summit.waiver SET reason = 'x'"), '42501', 'it is not rewritten');
	is(sqlstate_of($node, 'SET ROLE manager; DELETE FROM summit.waiver'), '42501', 'nor removed');
	query('DELETE FROM summit.waiver');
	return;
}

sub what_if
{
	my ($low, $high) = (lease(), lease());
	my $set = requirement({ per_occurrence => 1, currency => 'CAD' });
	certificate($low, per_occurrence => 1);
	certificate($high, per_occurrence => 2);
	requirement({ per_occurrence => 2, currency => 'CAD' }, name => $set, version => 2, draft => 1);
	my $if = sub {
		return query(
			"SELECT * FROM summit_what_if('$set', $_[0]) WHERE lease_id IN ('$low', '$high') ORDER BY lease_id");
	};
	is($if->(2), "summit|P||$low||tenant|pass|fail", 'who would change');
	is($if->(1), '', 'by what is in force nobody');
	query("UPDATE summit.requirement_set SET status = 'published' WHERE name = '$set' AND version = 2");
	is($if->(2), '', 'once it is published nobody');
	is($if->(1), "summit|P||$low||tenant|fail|pass", 'and back');
	requirement({ policy_type => 'Cyber' }, name => "$set new", draft => 1);
	is( query("SELECT before, after, count(*) > 2 FROM summit_what_if('$set new', 1, 'summit') GROUP BY 1, 2"),
		'|fail|t',
		'of a set that is new: nothing was required');
	query("UPDATE summit.requirement_set SET status = 'published' WHERE name = '$set new'");
	requirement({}, name => "$set new", version => 2, draft => 1, kind => 'vendor');
	is( query("SELECT DISTINCT before, after FROM summit_what_if('$set new', 2) WHERE kind = 'tenant'"), 'fail|',
		'of one that is not theirs any more');
	is( query('SELECT count(*) FROM summit.compliance WHERE version = 2 AND kind = \'vendor\''), 0,
		'a question changes nothing');
	return;
}

sub lease_status
{
	query(q{INSERT INTO summit.property (property_id, time_zone) VALUES ('S', 'UTC')});
	my $set = requirement({ per_occurrence => 2, currency => 'CAD' }, scope_value => 'S');
	my $has = sub {
		my (%certificate) = @_;
		my $lease = lease(property_id => 'S', tenant_id => 'T' . ($leases + 1));
		certificate($lease, property_id => 'S', tenant_id => "T$leases", per_occurrence => 2, %certificate)
		  if %certificate;
		return $lease;
	};
	my %leases = (
		$has->() => 'No policy on file',
		$has->(expiry_date => day(0)) => 'Expired',
		$has->(per_occurrence => 1) => 'Non-compliant',
		$has->(per_occurrence => undef) => 'Pending',
		$has->(expiry_date => day(30)) => 'Renewal due',
		$has->(expiry_date => day(31)) => 'Compliant');
	my $renewed = $has->(expiry_date => day(30));
	certificate(
		$renewed,
		property_id => 'S', per_occurrence => 2, tenant_id => $renewed =~ s/L/T/r, effective_date => day(30),
		expiry_date => day(395));
	$leases{$renewed} = 'Compliant';
	my $late = $has->(expiry_date => day(-1));
	certificate(
		$late,
		property_id => 'S', per_occurrence => 2, tenant_id => $late =~ s/L/T/r, effective_date => day(1),
		expiry_date => day(366));
	$leases{$late} = 'Expired'; # and not: not in force yet
	my %found = map { split /\|/ } split /\n/,
	  query(q{SELECT lease_id, status FROM summit.lease_status WHERE property_id = 'S'});
	is_deeply(\%found, \%leases, 'each in its words');
	is( query(q{SELECT DISTINCT property_share FROM summit.lease_status WHERE property_id = 'S'}), '0.3750',
		'three of eight');
	my ($compliant) = grep { $leases{$_} eq 'Compliant' } sort keys %leases;
	query(
		insert(
			'summit.property_reference', property_id => 'S', lease_id => $compliant, tenant_id => 'mate',
			is_primary => 'false'));
	is( query(
			"SELECT status, requirements, open_requirements, tenant_id ~ '^T' FROM summit.lease_status
				WHERE lease_id = '$compliant'"
		),
		'Non-compliant|2|1|t',
		'whoever lives there must have it');
	query(
		insert(
			'summit.waiver', requirement_set => $set, property_id => 'S', tenant_id => 'mate', ends_on => day(9),
			reason => 'r',
			approved_by => 'a'));
	is( query("SELECT status FROM summit.lease_status WHERE lease_id = '$compliant'"), 'Compliant',
		'unless it is waived');
	return;
}

sub levels
{
	my $lease = lease(name => 'Jane Canary');
	my $set = requirement({});
	certificate($lease, policy_number => 'SECRET-1', insured_name => 'Joe Canary');
	my $sees = sub {
		my ($role, $from) = @_;
		return query(
			"SET ROLE $role; SELECT policy_number, code, found FROM $from WHERE lease_id = '$lease'
				AND requirement_set = '$set'"
		);
	};
	for my $from ('summit.compliance', "summit.compliance_on('${\ day(0)}')")
	{
		is($sees->($_, $from), '***|insured_name|', "$_ sees no number in $from") for 'reader', 'manager';
		is($sees->('pii', $from), 'SECRET-1|insured_name|', 'who may does');
		is(sqlstate_of($node, "SET ROLE nobody; SELECT * FROM $from"), '42501', 'who has no level sees nothing');
	}
	is( query(
			"SET ROLE $_; SELECT count(*) > 0 FROM summit.lease_status; SELECT count(*) FROM summit_what_if('$set', 1);"
			  . q{SELECT count(*) FROM summit.compliance_code}),
		"t\n0\n30",
		"what $_ may") for 'reader', 'manager';
	unlike(
		query("SET ROLE reader; SELECT * FROM summit.compliance; SELECT * FROM summit.lease_status"), qr/Canary|SECRET/,
		'no name anywhere');
	for my $table (qw(requirement_set requirement waiver))
	{
		is(sqlstate_of($node, "SET ROLE reader; SELECT * FROM summit.$table"), '42501', "$table is the manager's");
		is(sqlstate_of($node, "SET ROLE pii; DELETE FROM summit.$table"), '42501', "and nobody else's");
	}
	is( sqlstate_of(
			$node,
			"SET ROLE reader; SELECT canopy_summit.holder_verdicts('summit', 'P', NULL, '$lease', NULL, now()::date)"),
		'42501',
		'the gate\'s function is the engine\'s');
	is( sqlstate_of($node, 'SET ROLE reader; SELECT * FROM canopy_summit.verdict_today'), '42501',
		'and so is what is not masked');
	is( sqlstate_of($node, q{SET ROLE manager; INSERT INTO summit.requirement (requirement_id) VALUES (1)}), '42501',
		'keys are the engine\'s');
	return;
}

sub servers
{
	query(q{INSERT INTO summit.property (server, property_id, time_zone) VALUES ('live', 'P', 'UTC')});
	my $lease = lease();
	query(
		insert(
			'summit.property_reference', server => 'live', property_id => 'P', lease_id => $lease,
			valid_from => '2020-01-01'));
	my $set = requirement({ per_occurrence => 1, currency => 'CAD' });
	requirement({ per_occurrence => 9, currency => 'CAD' }, name => $set, server => 'summit', version => 2, draft => 1);
	query(
		insert(
			'summit.requirement_set', server => 'live', name => $set, version => 1, scope => 'property',
			scope_value => 'P',
			starts_on => '2020-01-01'));
	query(insert('summit.requirement', server => 'live', requirement_set => $set, version => 1, policy_type => 'CGL'));
	query("UPDATE summit.requirement_set SET status = 'published' WHERE name = '$set' AND server = 'live'");
	certificate($lease, per_occurrence => 1);
	is( query(
			"SELECT server, environment, verdict, code FROM summit.compliance WHERE lease_id = '$lease'
				AND requirement_set = '$set' ORDER BY 1"
		),
		"live|production|fail|no_policy\nsummit|sandbox|pass|ok",
		'a certificate of one is none of the other');
	is(query("SELECT DISTINCT server FROM summit_what_if('$set', 2)"), 'summit', 'a question is about one');
	is(sqlstate_of($node, "SELECT * FROM summit_what_if('$set', 2, 'live')"), '22023', 'which has its own versions');
	my %waiver = (
		server => 'live', requirement_set => $set, property_id => 'P', ends_on => day(5), reason => 'r',
		approved_by => 'a');
	for my $server ('summit', 'live')
	{
		my $id = query(
			"SELECT max(requirement_id) FROM summit.requirement
			WHERE requirement_set = '$set' AND version = 1 AND server = '$server'");
		my $refused =
		  sqlstate_of($node, 'SET ROLE manager; ' . insert('summit.waiver', %waiver, requirement_id => $id));
		is($refused, $server eq 'live' ? undef : '22023', "a waiver of live: of a requirement of $server");
	}
	query('DELETE FROM summit.waiver');
	query(
		q{DELETE FROM summit.property WHERE server = 'live'; DELETE FROM summit.property_reference
			WHERE server = 'live'}
	);
	return;
}

# Views and functions say the same of everybody; a holder that no roster has is judged by the ids.
sub one_mechanism
{
	is(query(<<~'SQL'), '0', 'for one holder as for all');
		SELECT count(*) FROM (
			SELECT r.reference_id, h.requirement_id, h.verdict, h.code
			FROM summit.roster r, LATERAL canopy_summit.holder_verdicts(r.server, r.property_id, r.unit_id,
				r.lease_id, r.tenant_id,
				canopy_summit.property_date(r.server, r.property_id)) AS h
			WHERE r.is_current AND num_nonnulls(r.lease_id, r.tenant_id) = 2 AND r.kind = 'tenant'
			EXCEPT
			SELECT r.reference_id, c.requirement_id, c.verdict, c.code
			FROM summit.compliance c JOIN summit.roster r USING (server, property_id, kind)
			WHERE r.unit_id IS NOT DISTINCT FROM c.unit_id AND r.lease_id IS NOT DISTINCT FROM c.lease_id
				AND r.tenant_id IS NOT DISTINCT FROM c.tenant_id) AS d
		SQL
	is(query(<<~'SQL'), '0|t', 'another day as today, if it is the same');
		SELECT count(*) FILTER (WHERE NOT is_both), count(*) > 100 FROM (
			SELECT c::text, count(*) = 2 AS is_both FROM (
				SELECT c FROM summit.compliance c WHERE property_id = 'P'
				UNION ALL SELECT c FROM summit.compliance_on((now() AT TIME ZONE 'UTC')::date) c
					WHERE property_id = 'P') AS u(c)
			GROUP BY c) AS b
		SQL
	my $set = requirement({ per_occurrence => 2, currency => 'CAD' });
	certificate('unlisted', per_occurrence => 2);
	my $of = sub {
		my ($lease) = @_;
		return query(
			"SELECT verdict, code, severity FROM canopy_summit.holder_verdicts('summit', 'P', NULL, '$lease',
				NULL, '${\ day(0)}')
			WHERE requirement_set = '$set'");
	};
	is($of->('unlisted'), 'pass|ok|none', 'whom no roster has');
	is($of->('nobody'), 'fail|no_policy|critical', 'who has nothing');
	my $vendor = requirement({}, kind => 'vendor');
	is( query(
			"SELECT verdict FROM canopy_summit.holder_verdicts('summit', 'P', NULL, NULL, 'V1', '${\ day(0)}')
				WHERE requirement_set = '$vendor'"
		),
		'pass',
		'a vendor as a vendor');
	return;
}

# Cases as rows: a property, set and lease each.
sub random_cases
{
	my $count = scaled(10000);
	my $dir = PostgreSQL::Test::Utils::tempdir('cases');
	my @oracle = ('python3', in_checkout('test/verdict.py'));
	my $judged;

	IPC::Run::run([ @oracle, 'generate', $seed, $count ], '>', "$dir/cases") or die 'verdict.py generate failed';
	IPC::Run::run([ @oracle, 'judge' ], '<', "$dir/cases", '>', \$judged) or die 'verdict.py judge failed';
	query(<<~"SQL");
		CREATE TABLE cases (line jsonb);
		COPY cases FROM '$dir/cases';
		SET session_replication_role = replica;
		TRUNCATE summit.property, summit.property_reference, summit.requirement_set, summit.requirement, summit.waiver,
			canopy_summit.policy_status, canopy_summit.certificate;
		INSERT INTO summit.property (server, property_id, time_zone, recorded_at)
		SELECT 'summit', 'V' || (line ->> 'id'), 'UTC', now() FROM cases;
		INSERT INTO summit.property_reference (reference_id, server, property_id, lease_id, kind, name,
			is_primary, valid_from,
			recorded_at)
		SELECT (line ->> 'id')::bigint, 'summit', 'V' || (line ->> 'id'), 'L', 'tenant', line ->> 'name', true,
			'2020-01-01', now()
		FROM cases;
		INSERT INTO summit.requirement_set (server, name, version, kind, scope, scope_value, starts_on, status,
			recorded_at,
			recorded_by)
		SELECT 'summit', 'V' || (line ->> 'id'), 1, 'tenant', 'property', 'V' || (line ->> 'id'), '2020-01-01',
			'published',
			now(), 'x'
		FROM cases;
		INSERT INTO summit.requirement
		SELECT r.* FROM cases, jsonb_populate_record(NULL::summit.requirement,
			jsonb_build_object('requirement_id', line -> 'id',
			'server', 'summit', 'requirement_set', 'V' || (line ->> 'id'), 'version', 1)
			|| jsonb_strip_nulls(line -> 'requirement')) AS r;
		INSERT INTO canopy_summit.policy_status (policy_status_id, server, environment, policy_number,
			property_id, lease_id)
		SELECT (t ->> 'id')::bigint, 'summit', 'sandbox', t ->> 'number', 'V' || (line ->> 'id'), 'L'
		FROM cases, jsonb_array_elements(line -> 'terms') AS t;
		INSERT INTO canopy_summit.certificate (policy_status_id, term, known_from, known_to, server, is_newest,
			effective_date,
			expiry_date, basis, cover, status, verified_at, lapsed_at, failed_checks, policy_type, facts)
		SELECT (t ->> 'id')::bigint, coalesce((t ->> 'effective_date')::date, '-infinity'), now(), 'infinity',
			'summit', true,
			(t ->> 'effective_date')::date, (t ->> 'expiry_date')::date, 'stated',
			coalesce((SELECT range_agg(daterange((c ->> 0)::date, (c ->> 1)::date))
				FROM jsonb_array_elements(t -> 'cover') AS c),
				'{}'),
			t ->> 'status', CASE WHEN (t ->> 'was_verified')::boolean THEN now() END,
			(t ->> 'lapsed_on')::timestamp AT TIME ZONE 'UTC',
			CASE WHEN (t ->> 'failed_checks')::boolean THEN '["limits"]'::jsonb END, t ->> 'policy_type',
			jsonb_strip_nulls(t - 'facts') || jsonb_build_object('other', t -> 'facts')
		FROM cases, jsonb_array_elements(line -> 'terms') AS t;
		RESET session_replication_role;
		ANALYZE summit.property, summit.property_reference, summit.requirement_set, summit.requirement,
			canopy_summit.policy_status, canopy_summit.certificate
		SQL
	my @judged = split /\n/, $judged;
	my @found = split /\n/, query(<<~'SQL');
		SELECT requirement_id, verdict, code, found FROM summit.compliance_on('2026-06-15') ORDER BY requirement_id
		SQL
	my @differ = grep { ($found[$_] // '') ne $judged[$_] } 0 .. $#judged;

	is(scalar @found, $count, 'each has a verdict');
	is(scalar @differ, 0, "$count are as the oracle says")
	  or diag join "\n",
	  map { ("found: " . ($found[$_] // ''), "oracle: $judged[$_]", (split /\n/, slurp_file("$dir/cases"))[$_]) }
	  @differ[ 0 .. ($#differ < 4 ? $#differ : 4) ];
	my %codes = map { ((split /\|/)[2] => 1) } @judged;
	cmp_ok(scalar keys %codes, '>=', 28, 'every code was met') if $count >= 10000;
	return;
}
