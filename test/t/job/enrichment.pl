# Is asked about people and properties only for what the law knows, and kept who asked, why, and what was answered?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use JSON::PP ();
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();
my $employee = q{employee_name => 'Ann Able', employee_job_function => 'Underwriter'};
my $person = qq{first_name => 'Jane', last_name => 'Doe', address => '1 Main Street, Albany, NY', $employee};
my $purpose = q{purpose => 'Insurance underwriting'};

create_canopy_server($node, $sandbox);
query($node, <<~'SQL');
	CREATE ROLE has_reader LOGIN;
	CREATE ROLE has_pii_reader LOGIN;
	CREATE ROLE has_fetcher LOGIN;
	SELECT canopy_summit.grant_access(('has_' || level)::regrole, level)
		FROM unnest('{reader,pii_reader,fetcher}'::text[]) AS level;
	GRANT USAGE ON FOREIGN SERVER canopy TO has_fetcher;
	SQL
subtest 'a property' => \&property;
subtest 'people' => \&people;
subtest 'arguments' => \&arguments;
subtest 'purposes' => \&purposes;
subtest 'what the server says instead' => \&problems;
subtest 'an answer that is lost' => \&lost;
subtest 'what is no date' => \&strange;
subtest 'who may, and who sees what' => \&levels;
done_testing();

# Runs a function that enqueues, and waits for its job: its key, and "state outcome".
sub done
{
	my ($call) = @_;
	my $job_id = query($node, "SELECT $call");
	my $state = settled($node, $job_id);
	return ($job_id, "$state " . job($node, $job_id)->{outcome});
}

# What was asked for last: the query, as sent.
sub asked
{
	my ($operation) = @_;
	my ($request) = grep { ($_->{operation} // '') eq $operation } reverse $sandbox->log;
	return $request->{path};
}

sub enrichment
{
	my ($columns, $job_id) = @_;
	return query($node, "SELECT $columns FROM canopy.enrichment WHERE job_id = $job_id ORDER BY asked_at");
}

sub property
{
	my $user = query($node, 'SELECT current_user');
	query($node, q{BEGIN; SELECT canopy_enrich_property('not sent'); ROLLBACK});
	my ($job_id, $end) = done(q{canopy_enrich_property('344 Clinton Street, Apartment 3D, Brooklyn, NY 11231')});
	like($end, qr/^succeeded/, 'looked up');
	like(
		asked('get-property-data'),
		qr/address=344%20Clinton%20Street%2C%20Apartment%203D%2C%20Brooklyn%2C%20NY%2011231/, 'as it stands');
	is( enrichment('kind, state, billed, problem, asked_by, purpose, address, first_name, environment', $job_id),
		"property|answered|t||$user||344 Clinton Street, Apartment 3D, Brooklyn, NY 11231||sandbox",
		'kept, with who asked');
	is( enrichment(q{jsonb_typeof(answer -> 'data'), asked_at BETWEEN now() - interval '1 min' AND now()}, $job_id),
		'object|t', '… and what was answered');
	is(query($node, "SELECT count(*) FROM canopy_summit.job_response WHERE job_id = $job_id"), 0, '… nowhere else');
	is(scalar(grep { ($_->{path} // '') =~ /propertyData/ } $sandbox->log), 1, 'what was rolled back was not sent');
	return;
}

sub people
{
	my ($job_id, $end) =
	  done("canopy_enrich_driver_license($person, $purpose, date_of_birth => '1980-02-29', middle_name => 'Q')");
	like($end, qr/^succeeded/, 'a license');
	like(asked('get-enrichment-driverlicense'), qr{date_of_birth_str=02%2F29%2F1980}, 'the date as the API writes it');
	is( enrichment(
			'kind, purpose, employee_name, employee_job_function, first_name, middle_name, last_name, date_of_birth',
			$job_id),
		'driver_license|Insurance underwriting|Ann Able|Underwriter|Jane|Q|Doe|1980-02-29',
		'kept');
	is(enrichment(q{enrichment_id = answer ->> 'driver_license_id'}, $job_id), 't', '… with its id');

	($job_id, $end) =
	  done( "canopy_enrich_driving_record($person, purpose => '18 U.S.C. 2721(b)(6)', drivers_license => 'D1', "
		  . q{drivers_license_state => 'NY')});
	like($end, qr/^succeeded/, 'a record, by license');
	is( enrichment(
				q{kind, purpose, date_of_birth, drivers_license, drivers_license_state, }
			  . q{enrichment_id = answer ->> 'driving_record_iq_id'},
			$job_id),
		'driving_record|18 U.S.C. 2721(b)(6)||D1|NY|t',
		'kept');
	for my $vehicles ('', ', lookup_vehicles => true', ', lookup_vehicles => false')
	{
		($job_id, $end) = done("canopy_enrich_household($person, $purpose, date_of_birth => '1980-02-01'$vehicles)");
		like($end, qr/^succeeded/, "a household$vehicles");
		my ($asked) = asked('get-enrichment-household') =~ /lookup_vehicles=(\w+)/;
		is($asked // '', $vehicles =~ /(true|false)/ ? $1 : '', '… asked for as given');
	}
	is( enrichment(q{kind, enrichment_id = answer ->> 'household_id', jsonb_typeof(answer -> 'drivers')}, $job_id),
		'household|t|array', 'kept');
	return;
}

sub arguments
{
	my $jobs = query($node, 'SELECT count(*) FROM canopy_summit.job');
	my $tomorrow = q{(now() AT TIME ZONE 'UTC')::date + 2};
	my $license = "canopy_enrich_driver_license($person, $purpose, date_of_birth => %s)";
	my $record = "canopy_enrich_driving_record($person, $purpose%s)";
	my %refused = (
		'canopy_enrich_property(NULL)' => '22004', q{canopy_enrich_property('  ')} => '22023',
		q{canopy_enrich_property('')} => '22023',
		q{canopy_enrich_property('a', 'missing')} => '42704', sprintf($license, 'NULL') => '22004',
		sprintf($license, $tomorrow) => '22023', sprintf($license, q{'infinity'}) => '22023',
		sprintf($license, q{'1800-01-01'}) => '22023', sprintf($license, q{'0044-03-15 BC'}) => '22023',
		sprintf($record, '') => '22023', sprintf($record, q{, drivers_license => 'D'}) => '22023',
		sprintf($record, q{, drivers_license_state => 'NY'}) => '22023',
		sprintf($record, q{, drivers_license => 'D', drivers_license_state => 'New York'}) => '22023',
		sprintf($record, q{, date_of_birth => '1980-01-01', drivers_license_state => 'ny'}) => '22023',
		q{canopy_enqueue('get-property-data')} => '22023');
	(my $blank = sprintf $license, q{'1980-01-01'}) =~ s/'Ann Able'/' '/;
	$refused{$blank} = '22023';
	for my $name (qw(first_name last_name address purpose employee_name employee_job_function))
	{
		(my $call = sprintf $license, q{'1980-01-01'}) =~ s/$name => '[^']*'/$name => NULL/;
		$refused{$call} = '22004';
		(my $blank = sprintf $license, q{'1980-01-01'}) =~ s/$name => '[^']*'/$name => ''/;
		$refused{$blank} = '22023';
	}
	for
	  my $birth ('1980-01-01', '02/30/1980', '13/01/1980', '1/1/1980', '01/01/80', '01/01/1980 ', '01-01-1980', 'soon')
	{
		my %params = (
			first_name => 'J', last_name => 'D', address => 'a', purpose => 'insurance', employee_name => 'e',
			employee_job_function => 'f', date_of_birth_str => $birth);
		$refused{ q{canopy_enqueue('get-enrichment-driverlicense', }
			  . CanopyTest::quoted(JSON::PP->new->canonical->encode(\%params))
			  . ')' } = '22023';
	}
	for my $call (sort keys %refused)
	{
		is(scalar sqlstate_of($node, "SELECT $call"), $refused{$call}, $call);
	}
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, 'nothing is enqueued');
	return;
}

sub purposes
{
	my @known = (
		'(b)(6)', '18 U.S.C. § 2721(b)(13)', 'CLAIMS_INVESTIGATION', 'Rating', 'anti-theft', 'consent of the driver',
		'Toll collection');
	my @unknown =
	  ('curiosity', 'marketing', '(b)(15)', '(b)(0)', '2721', 'a', 'a neighbour asked', 'towards a grudge', 'courting');
	my $refused = sub {
		my ($given) = @_;
		$given = CanopyTest::quoted($given);
		return sqlstate_of(
			$node,
			"BEGIN; SELECT canopy_enrich_driver_license($person, purpose => $given, date_of_birth => '1980-01-01'); "
			  . 'ROLLBACK');
	};
	is(scalar $refused->($_), undef, "known: $_") for @known;
	for my $given (@unknown)
	{
		my ($sqlstate, $message, $detail, $hint) = $refused->($given);
		is($sqlstate, '22023', "not known: $given");
		like($hint, qr/dppa_uses/, '… and where to look');
	}
	is( query($node, 'SELECT count(*), min(paragraph), max(paragraph) FROM canopy_summit.dppa_uses()'), '14|1|14',
		'the law has fourteen');
	return;
}

sub problems
{
	my ($job_id, $end) = done(q{canopy_enrich_property('1 Nowhere Road')});
	like($end, qr/^failed server answered 404 NO_PROPERTY_DATA/, 'no data');
	is( enrichment('state, billed, problem, address', $job_id),
		'failed||server answered 404 NO_PROPERTY_DATA|1 Nowhere Road', 'kept: it was asked');
	$sandbox->arm(
		match => { path => '/enrich/' }, times => 1,
		fault => { kind => 'status', status => 403, body => { error => 'FORBIDDEN' } });
	($job_id, $end) = done("canopy_enrich_household($person, $purpose, date_of_birth => '1980-02-01')");
	like($end, qr/^failed server answered 403 FORBIDDEN/, 'not in the plan');
	is(enrichment('state, problem', $job_id), 'failed|server answered 403 FORBIDDEN', 'kept, too');
	query($node, "SELECT canopy_summit.retry_job($job_id)");
	is(settled($node, $job_id), 'succeeded', 'once it is');
	is( enrichment('state, billed, problem', $job_id),
		"failed||server answered 403 FORBIDDEN
answered|t|",
		'… there is an answer, too');
	return;
}

sub lost
{
	$sandbox->arm(match => { path => '/enrich/' }, times => 1, fault => { kind => 'reset' });
	my ($job_id, $end) = done("canopy_enrich_household($person, $purpose, date_of_birth => '1980-02-01')");
	like($end, qr/^in_doubt/, 'it is in doubt');
	is( enrichment('state, billed, kind, purpose, last_name, date_of_birth, asked_at IS NOT NULL, answer', $job_id),
		'in doubt||household|Insurance underwriting|Doe|1980-02-01|t|', '… and shown as that');
	query($node, "SELECT canopy_summit.retry_job($job_id, confirm => true)");
	is(settled($node, $job_id), 'succeeded', 'asked again');
	is( enrichment('state, billed', $job_id), "in doubt|
answered|t", '… it is answered, and was asked twice');
	return;
}

# What another version may have enqueued, or a restore has brought.
sub strange
{
	$sandbox->arm(match => { path => '/enrich/' }, times => 1, fault => { kind => 'reset' });
	my ($job_id) = done("canopy_enrich_household($person, $purpose, date_of_birth => '1980-02-01')");
	my %dates = ('1980-02-29' => '', '02/29/1980' => '1980-02-29', '02/30/1980' => '', soon => '', '' => '');
	for my $date (sort keys %dates)
	{
		query(
			$node,
			"UPDATE canopy_summit.job SET params = params || jsonb_build_object('date_of_birth_str', '$date') "
			  . "WHERE job_id = $job_id");
		is( enrichment('date_of_birth', $job_id), $dates{$date},
			"a date of birth \"$date\" is shown as far as it is one");
	}
	return;
}

sub levels
{
	for my $call (
		q{canopy_enrich_property('a')},
		"canopy_enrich_driver_license($person, $purpose, date_of_birth => '1980-01-01')",
		"canopy_enrich_driving_record($person, $purpose, date_of_birth => '1980-01-01')",
		"canopy_enrich_household($person, $purpose, date_of_birth => '1980-01-01')",
		q{canopy_enqueue('get-property-data', '{"address": "a"}')})
	{
		is(scalar sqlstate_of($node, "SET ROLE has_$_; SELECT $call"), '42501', "not $_: $call")
		  for qw(reader pii_reader fetcher);
	}
	$sandbox->arm(match => { path => '/enrich/' }, times => 1, fault => { kind => 'reset' });
	my ($job_id) =
	  done("canopy_enrich_driving_record($person, $purpose, drivers_license => 'D1', drivers_license_state => 'NY')");
	my $read =
	  q{SELECT string_agg(DISTINCT concat_ws('|', first_name, last_name, date_of_birth, address, drivers_license,
		employee_name, answer), E'\n') FROM canopy.enrichment};
	my $masked = query($node, "SET ROLE has_reader; $read");
	unlike($masked, qr/Jane|Doe|19[0-9]{2}-|Street|D1|Ann|\{/, 'a reader sees nobody');
	like($masked, qr/\*\*\*/, '… but that there was somebody');
	like(query($node, "SET ROLE has_pii_reader; $read"), qr/Jane.*D1/s, 'a pii_reader sees them');
	is( query(
			$node, q{SET ROLE has_reader; SELECT string_agg(DISTINCT kind, ' ' ORDER BY kind) FROM canopy.enrichment}),
		'driver_license driving_record household property',
		'what was looked up');
	is( scalar sqlstate_of($node, "SET ROLE has_$_; SELECT FROM canopy_summit.enrichment"), '42501',
		"$_: not from the table") for qw(reader pii_reader fetcher);
	return;
}
