# Does a consumer connect an account through functions of ours, by tokens alone, which nobody else sees?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use JSON::PP ();
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();
my $consent = q{'device 1', 3, 'I agree'};
my $login = q{insurer_name => 'allstate', insurer_username => 'user_good', insurer_password => 'pass_good'};

create_canopy_server($node, $sandbox, options => { public_alias => 'sandbox-link' });
subtest 'a consent' => \&consents;
subtest 'a login' => \&connects;
subtest 'another factor' => \&identifies;
subtest 'another login' => \&connects_again;
subtest 'with servicing' => \&services;
subtest 'without a login' => \&searches;
subtest 'a token of a monitoring' => \&reconnects;
subtest 'arguments' => \&arguments;
subtest 'an answer that is lost' => \&lost;
subtest 'what is kept' => \&keeps;
subtest 'who may' => \&levels;
done_testing();

sub sent
{
	my ($operation) = @_;
	my ($request) = grep { ($_->{operation} // '') eq $operation } reverse $sandbox->log;
	return JSON::PP->new->decode($request->{body});
}

# Runs a function that enqueues, and waits for its job: its key, and "state outcome".
sub done
{
	my ($call) = @_;
	my $job_id = query($node, "SELECT $call");
	my $state = settled($node, $job_id);
	return ($job_id, "$state " . job($node, $job_id)->{outcome});
}

sub end { return (done(@_))[1] }

# The pull that a job has made.
sub pull_of
{
	my ($job_id) = @_;
	return query($node, "SELECT response ->> 'pull_id' FROM canopy_summit.job_response WHERE job_id = $job_id");
}

# A new pull, which the sandbox then has in a status.
sub pull_in
{
	my ($status) = @_;
	my ($job_id, $end) = done("canopy_consent_and_connect($consent, $login)");
	like($end, qr/^succeeded/, 'a pull is made');
	my $pull_id = pull_of($job_id);
	$sandbox->put_pull($pull_id, { %{ $sandbox->pull($pull_id) }, status => $status });
	return $pull_id;
}

sub consents
{
	query($node, "BEGIN; SELECT canopy_consent($consent); ROLLBACK");
	my ($job_id, $end) = done("canopy_consent($consent)");
	like($end, qr/^succeeded/, 'told');
	is_deeply(
		sent('post-consent'),
		{ device_identifier => 'device 1', terms_version => 3, consent_language => 'I agree' },
		'as the API wants it');
	is( query($node, "SELECT response FROM canopy_summit.job_response WHERE job_id = $job_id"),
		'{"consent_token": "***"}', 'its token is not kept with the answer');
	like(query($node, "SELECT canopy_summit.take_secret($job_id)"), qr/^.{10}/, '… but taken');
	is( scalar(grep { ($_->{operation} // '') eq 'post-consent' } $sandbox->log), 1,
		'what was rolled back was not sent');
	like(
		end(q{canopy_consent('d', 2, 'I agree')}),
		qr/^failed server answered 404 INVALID_PRIVACY_POLICY_TERM_ID/, 'other terms are refused');
	return;
}

sub connects
{
	my ($job_id, $end) =
	  done( "canopy_consent_and_connect($consent, $login, insurer_third_field => 'third', "
		  . q{meta_data => '{"lead": "L-42"}',}
		  . q{ refresh_reason => 'UPCOMING_MONITORING')});
	like($end, qr/^succeeded/, 'connected');
	is_deeply(
		sent('post-consent-and-connect'),
		{   device_identifier => 'device 1', terms_version => 3, consent_language => 'I agree',
			insurerName => 'allstate', insurerUsername => 'user_good', insurerPassword => 'pass_good',
			insurerThirdField => 'third', public_alias => 'sandbox-link', meta_data => { lead => 'L-42' },
			refresh_reason => 'UPCOMING_MONITORING' },
		'with the alias of the server');
	my $pull_id = pull_of($job_id);
	is(query($node, "SELECT status FROM canopy_fetch_pull('$pull_id')"), 'SUCCESS', 'its pull is there');
	like(
		end("canopy_consent_and_connect($consent, $login, public_alias => 'missing')"),
		qr/^failed server answered 400 INVALID_PUBLIC_ALIAS/, 'another alias is sent');
	return;
}

sub identifies
{
	my $pull_id = pull_in('IDENTITY_VERIFICATION_OPTIONS');
	like(
		end("canopy_submit_mfa('$pull_id', '123456')"),
		qr/^failed server answered 400 INVALID_ACTION/, 'not before an option is chosen');
	like(end("canopy_choose_mfa_option('$pull_id', 'sms')"), qr/^succeeded/, 'one is');
	is_deeply(sent('post-idvoptions'), { optionKey => 'sms' }, 'as the API wants it');
	like(
		end("canopy_choose_mfa_option('$pull_id', 'sms')"),
		qr/^failed server answered 400 INVALID_ACTION/, 'once');
	like(end("canopy_submit_mfa('$pull_id', '123456')"), qr/^succeeded/, 'the code is told');
	is_deeply(sent('post-idv'), { mfaValue => '123456' }, 'as the API wants it');
	my ($request) = grep { ($_->{operation} // '') eq 'post-idv' } reverse $sandbox->log;
	is($request->{auth}, 'pull_jwt', 'with the token of the pull, and no other credential');
	is($sandbox->pull($pull_id)->{status}, 'SUCCESS', 'which Canopy takes');

	# In the order in which they were enqueued, however long the first takes.
	$pull_id = pull_in('IDENTITY_VERIFICATION_OPTIONS');
	my $fault = $sandbox->hold(match => { path => '/idvoptions' }, times => 1);
	my $choose = query($node, "SELECT canopy_choose_mfa_option('$pull_id', 'sms')");
	wait_until('a choice is on its way', sub { $sandbox->waiting($fault) });
	my $submit = query($node, "SELECT canopy_submit_mfa('$pull_id', '123456')");
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'others are sent');
	is(job($node, $submit)->{state}, 'queued', 'what comes after it waits');
	$sandbox->clear($fault);
	is(settled($node, $_), 'succeeded', '… and is sent then') for $choose, $submit;
	return;
}

sub connects_again
{
	my $pull_id = pull_in('NOT_AUTHENTICATED');
	like(end("canopy_connect('$pull_id', $login)"), qr/^succeeded/, 'tried once more');
	is_deeply(
		sent('post-connect'),
		{ insurerName => 'allstate', insurerUsername => 'user_good', insurerPassword => 'pass_good' },
		'as the API wants it');
	like(
		end("canopy_connect('$pull_id', $login)"), qr/^failed server answered 400 INVALID_INPUT/,
		'only if it failed');
	$sandbox->arm(
		match => { path => '/connect$' },
		times => 1,
		fault => { kind => 'status', status => 403, body => { error => 'UNAUTHORIZED' } });
	like(
		end("canopy_connect('$pull_id', $login)"), qr/^failed server answered 403 UNAUTHORIZED/,
		'a token that has run out');
	is(settled($node, enqueue($node, 'get-pulls')), 'succeeded', '… holds up nobody else');
	return;
}

sub services
{
	my $actions = q{jsonb_build_array(canopy_remove_mortgagee('HO1', 'FIRST'))};
	like(
		end("canopy_consent_and_connect($consent, $login, servicing_actions => $actions)"), qr/^succeeded/,
		'asked for');
	is( query($node, 'SELECT type, pull_id IS NOT NULL FROM canopy.servicing_action'), 'REMOVE_MORTGAGEE|t',
		'… and known');
	like(
		end('canopy_confirm_servicing((SELECT servicing_action_id FROM canopy.servicing_action))'),
		qr/^succeeded/, '… and confirmed with the token that came');
	is( scalar sqlstate_of(
			$node,
			"SELECT canopy_consent_and_connect($consent, $login, servicing_actions => '[{\"type\": \"BURN\"}]')"),
		'22023',
		'an action that there is not');
	return;
}

sub searches
{
	my ($job_id, $end) =
	  done("canopy_policy_search($consent, 'allstate', 'AUTO_POLICY', '{\"vin\": \"3N1AB6AP0CL704240\"}')");
	like($end, qr/^succeeded/, 'searched');
	is_deeply(
		sent('post-policy-search'),
		{   device_identifier => 'device 1', terms_version => 3, consent_language => 'I agree',
			insurerName => 'allstate',
			searchType => 'AUTO_POLICY', searchData => { vin => '3N1AB6AP0CL704240' },
			public_alias => 'sandbox-link' },
		'as the API wants it');
	is( query($node, 'SELECT sum(sent) FROM canopy_summit.billable_day'),
		query($node, q{SELECT count(*) FROM canopy_summit.job WHERE operation = 'post-policy-search'}),
		'and counted');
	is( scalar sqlstate_of($node, "SELECT canopy_policy_search($consent, 'geico', 'AUTO_POLICY', '{\"vin\": \"x\"}')"),
		'22023', 'a carrier that is not searched');
	is( scalar sqlstate_of($node, "SELECT canopy_policy_search($consent, 'allstate', 'BOAT', '{\"vin\": \"x\"}')"),
		'22023', 'a search that there is not');
	return;
}

sub reconnects
{
	my $pull_id = $sandbox->pull_id('user_good');
	query($node, "SELECT canopy_monitor_pull('$pull_id')");
	all_settled($node);
	my $id = query($node, 'SELECT monitoring_id FROM canopy.monitoring');
	my $token = query($node, "SELECT reconnect_token FROM canopy_reconnect_token('$id')");
	my ($job_id, $end) = done("canopy_exchange_reconnect_token('$token')");
	like($end, qr/^succeeded/, 'exchanged');
	is(pull_of($job_id), $pull_id, '… for the pull to log in for');
	is( query($node, "SELECT count(*) FROM canopy_summit.pull_jwt WHERE pull_id = '$pull_id'"), 1,
		'… whose token is known');
	for my $code (qw(ALREADY_RECONNECTED NEWER_PULL_AVAILABLE INVALID_RECONNECT_TOKEN))
	{
		$sandbox->arm(
			match => { path => '/reconnectToken' },
			times => 1,
			fault => { kind => 'status', status => 400, body => { error => $code } });
		like(end("canopy_exchange_reconnect_token('$token')"), qr/^failed server answered 400 $code/, $code);
	}
	return;
}

sub arguments
{
	my $jobs = query($node, 'SELECT count(*) FROM canopy_summit.job');
	my %refused = (
		"canopy_consent(NULL, 3, 'a')" => '22004', "canopy_consent('d', NULL, 'a')" => '22004',
		"canopy_consent('d', 3, NULL)" => '22004', "canopy_consent('', 3, 'a')" => '22023',
		"canopy_consent('d', 3, ' ')" => '22023', "canopy_consent('d', 3, repeat('x', 1025))" => '22023',
		"canopy_consent('d', 3, 'a', 'missing')" => '42704', "canopy_connect('unknown', $login)" => '55000',
		q{canopy_submit_mfa('unknown', '1')} => '55000', q{canopy_choose_mfa_option('unknown', '1')} => '55000',
		q{canopy_submit_mfa(NULL, '1')} => '22004', q{canopy_submit_mfa('p', NULL)} => '22004',
		q{canopy_submit_mfa('p', '')} => '22023', q{canopy_choose_mfa_option('p', NULL)} => '22004',
		q{canopy_exchange_reconnect_token(NULL)} => '22004',
		"canopy_consent_and_connect($consent, $login, meta_data => '{\"mail\": \"jane\@example.com\"}')" => '22023',
		"canopy_consent_and_connect($consent, $login, meta_data => '1')" => '22023',
		"canopy_consent_and_connect($consent, $login, refresh_reason => 'BOREDOM')" => '22023');
	my $longest = 'x' x 201;
	for my $wrong ('abcd', $longest, 'two words', 'jane@example.com', 'tök-en-1', "tab\there", '')
	{
		for my $field (qw(insurer_username insurer_password insurer_third_field))
		{
			(my $given = $login) =~ s/, $field => '[^']*'//;
			$refused{ "canopy_consent_and_connect($consent, $given, $field => " . CanopyTest::quoted($wrong) . ')' } =
			  '22023';
			$refused{ "canopy_connect('p', $given, $field => " . CanopyTest::quoted($wrong) . ')' } = '22023';
		}
	}
	for my $call (sort keys %refused)
	{
		my ($sqlstate, $message, $detail, $hint) = sqlstate_of($node, "SELECT $call");
		is($sqlstate, $refused{$call}, $call);
		like($hint, qr/component/i, '… with a hint') if $message =~ /token/ && $refused{$call} eq '22023';
	}
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, 'nothing is enqueued');
	query($node, 'ALTER SERVER canopy OPTIONS (DROP public_alias)');
	my ($sqlstate, $message, $detail, $hint) =
	  sqlstate_of($node, "SELECT canopy_consent_and_connect($consent, $login)");
	is($sqlstate, '22023', 'no alias at all');
	like($hint, qr/^ALTER SERVER canopy OPTIONS \(ADD public_alias/, '… and where to put one');
	query($node, q{ALTER SERVER canopy OPTIONS (ADD public_alias 'sandbox-link')});
	return;
}

# It is found by its metadata, and never sent again.
sub lost
{
	$sandbox->clear_log;
	$sandbox->arm(match => { path => '/consentAndConnect' }, times => 1, fault => { kind => 'reset' });
	my $job_id =
	  query($node, "SELECT canopy_consent_and_connect($consent, $login, meta_data => '{\"lead\": \"lost\"}')");
	soon_ok('it is found', sub { job($node, $job_id)->{state} eq 'succeeded' });
	is(job($node, $job_id)->{outcome_code}, 'reconciled', 'by its metadata');
	is(scalar(grep { ($_->{operation} // '') eq 'post-consent-and-connect' } $sandbox->log), 1, 'it was sent once');
	return;
}

sub keeps
{
	all_settled($node);
	my $kept = query($node, <<~'SQL');
		SELECT string_agg(to_jsonb(j)::text, ' ') FROM canopy_summit.job j
		SQL
	unlike($kept, qr/user_good"|pass_good|123456/, 'no token stays with a job that has ended');
	my $log = slurp_file($node->logfile);
	$log =~ s/^.*statement: .*\n(?:\t.*\n)*//mg;
	unlike($log, qr/pass_good|123456/, 'nor is one in the log');
	return;
}

sub levels
{
	query($node, <<~'SQL');
		CREATE ROLE has_fetcher LOGIN;
		SELECT canopy_summit.grant_access('has_fetcher', 'fetcher');
		GRANT USAGE ON FOREIGN SERVER canopy TO has_fetcher;
		SQL
	for my $call (
		"canopy_consent($consent)", "canopy_consent_and_connect($consent, $login)", "canopy_connect('p', $login)",
		q{canopy_submit_mfa('p', '1')}, q{canopy_choose_mfa_option('p', '1')}, q{canopy_exchange_reconnect_token('t')},
		"canopy_policy_search($consent, 'allstate', 'AUTO_POLICY', '{}')")
	{
		is(scalar sqlstate_of($node, "SET ROLE has_fetcher; SELECT $call"), '42501', "not a fetcher: $call");
	}
	return;
}
