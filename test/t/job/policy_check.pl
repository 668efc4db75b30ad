# Are policies checked as asked, stored with what came of it, and shown item by item?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use JSON::PP ();
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();
my $pull_id = $sandbox->pull_id('user_good_auto_noncompliant');
my $vin = '1HGCM82633A004352';

create_canopy_server($node, $sandbox);
subtest 'a check' => \&checks;
subtest 'arguments' => \&arguments;
subtest 'what the server refuses' => \&refused;
subtest 'what is checked for all' => \&settings;
subtest 'details, whichever way' => \&details;
subtest 'who may' => \&levels;
done_testing();

sub sent
{
	my ($operation) = @_;
	my ($request) = grep { ($_->{operation} // '') eq $operation } reverse $sandbox->log;
	return JSON::PP->new->decode($request->{body});
}

sub done
{
	my ($call) = @_;
	my $job_id = query($node, "SELECT $call");
	my $state = settled($node, $job_id);
	return "$state " . job($node, $job_id)->{outcome};
}

sub checks
{
	query($node, "BEGIN; SELECT canopy_check_policies('$pull_id'); ROLLBACK");
	query($node, "SELECT canopy_fetch_pull('$pull_id')");
	is(query($node, 'SELECT DISTINCT status FROM canopy.policy_check_item'), 'NOT_COMPLIANT', 'as it was');
	like(done("canopy_check_policies('$pull_id')"), qr/^succeeded/, 'checked');
	is_deeply(sent('post-pull-policy-check'), {}, 'by what is set for the team');
	is( query($node, "SELECT policy_check_status FROM canopy.pull WHERE pull_id = '$pull_id'"), 'COMPLIANT',
		'the pull is stored with it');
	is(query($node, 'SELECT count(*), max(version) FROM canopy_summit.pull_version'), '2|2', '… as another state');
	is( query(
			$node,
			q{SELECT item_number, item, status, expected -> 'vehicle' -> 'POLICY_NOT_ACTIVE', environment
				FROM canopy.policy_check_item}
		),
		'1||COMPLIANT|true|sandbox',
		'an item');
	like(
		done(qq{canopy_check_policies('$pull_id', '{"vehicle": {"VIN_MISMATCH": ["$vin"]}, "dwelling": {}}')}),
		qr/^succeeded/, 'by settings');
	is_deeply(
		sent('post-pull-policy-check'),
		{ policy_check_settings => { vehicle => { VIN_MISMATCH => [$vin] }, dwelling => {} } }, '… which are sent');
	my $filtered = qq{{"policy_check_settings": {"dwelling": {"DWELLING_POLICY_NOT_ACTIVE": true}},
		"filters": {"vehicle": {"vin": {"eq": "$vin"}}}}};
	like(done("canopy_check_policies('$pull_id', '$filtered')"), qr/^succeeded/, 'with a filter');
	is_deeply(sent('post-pull-policy-check'), JSON::PP->new->decode($filtered), '… as it stands');
	is( scalar(grep { ($_->{operation} // '') eq 'post-pull-policy-check' } $sandbox->log), 3,
		'what was rolled back was not sent');
	return;
}

sub arguments
{
	my $jobs = query($node, 'SELECT count(*) FROM canopy_summit.job');
	my %refused = (
		'canopy_check_policies(NULL)' => '22004', q{canopy_check_policies('p', '{}', 'missing')} => '42704',
		'canopy_change_policy_check_settings(NULL)' => '22004');
	for my $settings (
		'[]', '1', '"vehicle"', '{"vehicles": {}}', '{"vehicle": []}', '{"vehicle": {}, "x": 1}',
		'{"policy_check_settings": []}',
		'{"policy_check_settings": {}, "x": {}}', '{"policy_check_settings": {"x": {}}}', '{"filters": []}',
		sprintf('{"vehicle": {"VIN_MISMATCH": ["%s"]}}', substr $vin, 1), '{"vehicle": {"VIN_MISMATCH": [1]}}',
		sprintf('{"vehicle": {"VIN_MISMATCH": ["%s"]}}', $vin =~ s/1/I/r),
		sprintf('{"filters": {"vehicle": {"vin": {"eq": "%s"}}}}', substr $vin, 1))
	{
		$refused{"canopy_check_policies('p', '$settings')"} = '22023';
	}
	$refused{qq{canopy_change_policy_check_settings('{"policy_check_settings": {}, "filters": {}}')}} = '22023';
	is(scalar sqlstate_of($node, "SELECT $_"), $refused{$_}, $_) for sort keys %refused;
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, 'nothing is enqueued');
	is( scalar sqlstate_of(
			$node,
			q{BEGIN; SELECT canopy_check_policies('p',
				'{"filters": {"vehicle": {"vin": {"eq": "1HG", "partial_match": true}}}}'); ROLLBACK}
		),
		undef,
		'a part of a VIN, if that is said');
	return;
}

sub refused
{
	like(
		done(q{canopy_check_policies('missing')}), qr/^failed server answered 40[04] NOT_FOUND/,
		'a pull that is not there');
	$sandbox->arm(
		match => { path => '/policyCheck' }, times => 1,
		fault => { kind => 'status', status => 403, body => { error => 'FORBIDDEN' } });
	like(done("canopy_check_policies('$pull_id')"), qr/^failed server answered 403 FORBIDDEN/, 'not in the plan');
	$sandbox->arm(
		match => { path => '/policyCheck' },
		times => 1,
		fault => { kind => 'body', body => { success => JSON::PP::true } });
	$sandbox->clear_log;
	like(done("canopy_check_policies('$pull_id')"), qr/^succeeded/, 'an answer without a pull');
	all_settled($node);
	is(scalar(grep { ($_->{operation} // '') eq 'get-pull-by-id' } $sandbox->log), 1, '… has it fetched');
	$sandbox->arm(match => { path => '/policyCheck' }, times => 1, fault => { kind => 'reset' });
	like(done("canopy_check_policies('$pull_id')"), qr/^in_doubt/, 'an answer that is lost');
	return;
}

sub settings
{
	my $before = query($node, 'SELECT canopy_policy_check_settings()');
	like($before, qr/^\{.*"vehicle": \{/, 'they are read');
	unlike($before, qr/success/, '… without an envelope');
	like(
		done(q{canopy_change_policy_check_settings('{"vehicle": {"NO_COLLISION_COVERAGE": false}}')}), qr/^succeeded/,
		'changed');
	is_deeply(
		sent('post-policy-check-team-settings'),
		{ policy_check_settings => { vehicle => { NO_COLLISION_COVERAGE => JSON::PP::false } } }, 'in their wrapper');
	is( query($node, q{SELECT canopy_policy_check_settings() -> 'vehicle' -> 'NO_COLLISION_COVERAGE'}), 'false',
		'which is read');
	like(
		done(
			q{canopy_change_policy_check_settings(
				'{"policy_check_settings": {"vehicle": {"NO_COLLISION_COVERAGE": true}}}')}
		),
		qr/^succeeded/,
		'with the wrapper');
	is_deeply(
		sent('post-policy-check-team-settings'),
		{ policy_check_settings => { vehicle => { NO_COLLISION_COVERAGE => JSON::PP::true } } }, '… likewise');
	$sandbox->arm(
		match => { path => '/policyChecks/settings' }, times => 1,
		fault =>
		  { kind => 'body', body => { success => JSON::PP::true, vehicle => { POLICY_NOT_ACTIVE => JSON::PP::true } } }
	);
	is( query($node, 'SELECT canopy_policy_check_settings()'), '{"vehicle": {"POLICY_NOT_ACTIVE": true}}',
		'the other shape that is documented');
	return;
}

sub details
{
	my $item = '{"status": "COMPLIANT", "actual": {"a": 1}, "expected": {"e": 2}}';
	my %items = (
		$item => '1||COMPLIANT|{"a": 1}|{"e": 2}',
		qq{{"POLICY_NOT_ACTIVE": $item, "NO_COLLISION_COVERAGE": {"status": "NONE"}}} =>
		  "1|NO_COLLISION_COVERAGE|NONE||\n" . '2|POLICY_NOT_ACTIVE|COMPLIANT|{"a": 1}|{"e": 2}',
		qq{[$item, {"name": "B", "status": "NONE"}]} => '1||COMPLIANT|{"a": 1}|{"e": 2}' . "\n2|B|NONE||", '[]' => '',
		'{}' => '', '1' => '', '["x"]' => '', '{"a": 1}' => '', 'null' => '');
	for my $details (sort keys %items)
	{
		is( query($node, "SELECT * FROM canopy_summit.policy_check_items('$details') ORDER BY 1"), $items{$details},
			"details $details");
	}
	return;
}

sub levels
{
	query($node, <<~'SQL');
		CREATE ROLE has_fetcher LOGIN;
		CREATE ROLE has_reader LOGIN;
		SELECT canopy_summit.grant_access('has_fetcher', 'fetcher'), canopy_summit.grant_access('has_reader', 'reader');
		GRANT USAGE ON FOREIGN SERVER canopy TO has_fetcher;
		SQL
	for my $call ("canopy_check_policies('$pull_id')", q{canopy_change_policy_check_settings('{"vehicle": {}}')})
	{
		is(scalar sqlstate_of($node, "SET ROLE has_$_; SELECT $call"), '42501', "not $_: $call") for qw(reader fetcher);
	}
	is( query($node, 'SET ROLE has_reader; SELECT status, actual, expected FROM canopy.policy_check_item'),
		'COMPLIANT||', 'a reader sees the status, and no values');
	return;
}
