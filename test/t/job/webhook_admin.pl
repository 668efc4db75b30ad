# Are the webhooks that Canopy sends managed from here, and does whoever asks get the secret of one, once, and no other?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use JSON::PP ();
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();
my $file = CanopyTest::secret_file('a webhook secret');
my $url = 'https://hooks.example.com/webhooks/canopy';

create_canopy_server($node, $sandbox, mapping => { webhook_secret_file => $file });
# Which has tables refuse what their replica identity does not let through.
query($node, 'CREATE PUBLICATION everything FOR ALL TABLES');
query($node, <<~'SQL');
	CREATE ROLE has_fetcher LOGIN;
	CREATE ROLE has_operator LOGIN;
	CREATE ROLE has_admin LOGIN;
	CREATE ROLE another_admin LOGIN;
	SELECT canopy_summit.grant_access(('has_' || level)::regrole, level)
		FROM unnest('{fetcher,operator,admin}'::text[]) AS level;
	SELECT canopy_summit.grant_access('another_admin', 'admin');
	GRANT USAGE ON FOREIGN SERVER canopy TO has_fetcher, has_operator, has_admin, another_admin;
	SQL
query(
	$node,
	'CREATE USER MAPPING FOR PUBLIC SERVER canopy OPTIONS (client_id '
	  . CanopyTest::quoted($sandbox->client_id)
	  . ', client_secret '
	  . CanopyTest::quoted($sandbox->client_secret) . ')');
subtest 'a webhook is registered' => \&registers;
subtest 'where its secret belongs' => \&tells;
subtest 'arguments' => \&arguments;
subtest 'its secret is taken' => \&takes;
subtest 'a secret that nobody takes' => \&forgets;
subtest 'the others' => \&manages;
subtest 'a team' => \&team;
subtest 'who may' => \&levels;
done_testing();

# Registers one as a role; the job, once it has succeeded.
sub registered
{
	my ($role) = @_;
	my $job_id = query(
		$node,
		"SET client_min_messages = warning; SET ROLE $role; SELECT canopy_register_webhook('$url', '{COMPLETE}')");
	is(settled($node, $job_id), 'succeeded', 'it is registered');
	return $job_id;
}

# The secret that the sandbox signs with, of a job that has registered a webhook.
sub secret_of
{
	my ($job_id) = @_;
	my $webhook_id =
	  query($node, "SELECT response ->> 'webhook_id' FROM canopy_summit.job_response WHERE job_id = $job_id");
	return query(
		$node,
		"SELECT w ->> 'signing_secret' FROM jsonb_array_elements(canopy_call('get-webhooks')) AS w "
		  . "WHERE w ->> 'webhook_id' = '$webhook_id'");
}

sub registers
{
	query($node, "BEGIN; SELECT canopy_register_webhook('$url', '{COMPLETE}'); ROLLBACK");
	my $job_id = query($node, "SELECT canopy_register_webhook('$url', '{COMPLETE,AUTH_STATUS}')");
	is(settled($node, $job_id), 'succeeded', 'registered');
	is( query($node, 'SELECT hook_url, event_types, is_active FROM canopy_webhooks()'), "$url|{COMPLETE,AUTH_STATUS}|t",
		'there it is, once');
	my $secret = secret_of($job_id);
	like($secret, qr/.{20}/, 'it has a secret');
	my $kept = query($node, "SELECT response FROM canopy_summit.job_response WHERE job_id = $job_id");
	unlike($kept, qr/\Q$secret\E/, 'which the answer that is kept has not');
	like($kept, qr/"signing_secret": "\*\*\*"/, '… but that there was one');
	is(query($node, "SELECT canopy_summit.take_secret($job_id)"), $secret, 'it is taken');
	my ($dump) = PostgreSQL::Test::Utils::run_command([ 'pg_dump', '-d', $node->connstr('postgres') ]);
	like($dump, qr/canopy_summit/, 'a dump');
	unlike($dump, qr/\Q$secret\E/, 'without it');
	return;
}

sub tells
{
	my $notice = sub {
		my ($role) = @_;
		my ($status, $stdout, $stderr) =
		  $node->psql('postgres', "SET ROLE $role; SELECT canopy_register_webhook('$url', '{COMPLETE}')");
		is($status, 0, "$role registers one");
		is(settled($node, $stdout), 'succeeded', '… by a job');
		like(
			$stderr, qr/NOTICE:  job $stdout registers the webhook, and brings its signing secret/,
			'… which it is told');
		like($stderr, qr/canopy_summit.take_secret\($stdout\) returns, within an hour/, '… and how to take the secret');
		return $stderr;
	};
	my $owner = query($node, 'SELECT quote_ident(current_user)');
	like($notice->($owner), qr/a line of its own to the file "\Q$file\E"/, 'whose mapping it is sees the file');
	my $other = $notice->('has_admin');
	unlike($other, qr/\Q$file\E/, 'others do not');
	like($other, qr/that option webhook_secret_file of the user mapping of role \Q$owner\E names/, '… but whose it is');
	return;
}

sub arguments
{
	my $jobs = query($node, 'SELECT count(*) FROM canopy_summit.job');
	my %refused = (
		"canopy_register_webhook(NULL, '{COMPLETE}')" => '22004', "canopy_register_webhook('$url', NULL)" => '22004',
		"canopy_register_webhook('$url', '{}')" => '22023',
		"canopy_register_webhook('$url', '{COMPLETE,NULL}')" => '22004',
		"canopy_register_webhook('$url', '{\"\"}')" => '22023',
		"canopy_register_webhook('$url', '{complete}')" => '22023',
		"canopy_register_webhook('$url', '{\"A B\"}')" => '22023',
		"canopy_register_webhook('$url', '{COMPLETE}', 'missing')" => '42704',
		"canopy_change_webhook(NULL, true)" => '22004', "canopy_change_webhook('w')" => '22023',
		"canopy_change_webhook('w', event_types => '{}')" => '22023', 'canopy_delete_webhook(NULL)' => '22004');
	$refused{"canopy_register_webhook('$_', '{COMPLETE}')"} = '22023'
	  for 'http://hooks.example.com/', 'hooks.example.com', 'https://', 'https://user:pass@hooks.example.com/',
	  'ftp://hooks.example.com/', '';
	for my $call (sort keys %refused)
	{
		is(scalar sqlstate_of($node, "SELECT $call"), $refused{$call}, $call);
	}
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, 'nothing is enqueued');

	my ($status, $stdout, $stderr) =
	  $node->psql('postgres', "SELECT canopy_register_webhook('$url', '{COMPLETE,MONITORING_EVENTS}')");
	like(
		$stderr, qr/NOTICE:  event type "MONITORING_EVENTS" is not among those that the API documents/,
		'one that may not do');
	like($stderr, qr/dashboard/, '… and what to do');
	like(job_end($stdout), qr/^(succeeded|failed server answered 400 INVALID_EVENT_TYPE)/, '… is sent all the same');
	$sandbox->arm(
		match => { path => '/webhooks', method => 'POST' }, times => 1,
		fault => { kind => 'status', status => 400, body => { error => 'INVALID_URL' } });
	my $job_id =
	  query($node, "SET client_min_messages = warning; SELECT canopy_register_webhook('$url', '{COMPLETE}')");
	like(job_end($job_id), qr/^failed server answered 400 INVALID_URL/, 'what Canopy refuses fails');
	is((sqlstate_of($node, "SELECT canopy_summit.take_secret($job_id)"))[0], '02000', '… and has no secret');
	return;
}

sub job_end
{
	my ($job_id) = @_;
	my $state = settled($node, $job_id);
	return "$state " . job($node, $job_id)->{outcome};
}

sub takes
{
	my $fault = $sandbox->hold(match => { path => '/webhooks', method => 'POST' }, times => 1);
	my $job_id = query(
		$node,
		"SET client_min_messages = warning; SET ROLE has_admin; SELECT canopy_register_webhook('$url', '{COMPLETE}')");
	my $take = "SELECT canopy_summit.take_secret($job_id)";
	wait_until('it is on its way', sub { $sandbox->waiting($fault) });
	my ($sqlstate, $message, $detail, $hint) = sqlstate_of($node, "SET ROLE has_admin; $take");
	is($sqlstate, '55000', 'not before there is an answer');
	like($hint, qr/wait_for_job\($job_id\)/, '… for which one can wait');
	$sandbox->clear($fault);
	is(settled($node, $job_id), 'succeeded', 'it is registered');
	is(scalar sqlstate_of($node, "SET ROLE another_admin; $take"), '42501', 'not by another role');
	is(scalar sqlstate_of($node, $take), '42501', '… not even a superuser');
	my $secret = secret_of($job_id);
	is(query($node, "BEGIN; SET LOCAL ROLE has_admin; $take; ROLLBACK"), $secret, 'whoever has enqueued it takes it');
	is(query($node, "SET ROLE has_admin; $take"), $secret, '… again, if that was rolled back');
	($sqlstate, $message, $detail, $hint) = sqlstate_of($node, "SET ROLE has_admin; $take");
	is($sqlstate, '02000', '… but once');
	like($hint, qr/^It was taken/, '… as the hint says');
	is( query($node, 'SELECT count(*) FROM canopy_summit.job_secret'),
		query($node, 'SELECT count(*) FROM canopy_summit.job_secret WHERE job_id <> ' . $job_id), 'it is gone');
	is(scalar sqlstate_of($node, 'SET ROLE has_admin; SELECT canopy_summit.take_secret(0)'), '42501', 'nor of no job');

	$job_id = registered('has_admin');
	query($node, "UPDATE canopy_summit.job_secret SET instance = ~instance WHERE job_id = $job_id");
	is( scalar sqlstate_of($node, "SET ROLE has_admin; SELECT canopy_summit.take_secret($job_id)"), '02000',
		'not in a copy');
	query($node, "UPDATE canopy_summit.job SET instance = ~instance WHERE job_id = $job_id");
	is( scalar sqlstate_of($node, "SET ROLE has_admin; SELECT canopy_summit.take_secret($job_id)"), '42501',
		'… whose job is not one of this instance');
	return;
}

sub forgets
{
	my $job_id = registered('has_admin');
	query($node, "UPDATE canopy_summit.job_secret SET received_at = now() - interval '1 hour'");
	is( scalar sqlstate_of($node, "SET ROLE has_admin; SELECT canopy_summit.take_secret($job_id)"), '02000',
		'not after an hour');
	$node->restart;
	soon_ok('the worker deletes it', sub { query($node, 'SELECT count(*) FROM canopy_summit.job_secret') == 0 });
	return;
}

sub manages
{
	my ($webhook_id) = split /\n/, query($node, 'SELECT webhook_id FROM canopy_webhooks()');
	my $columns = "SELECT event_types, is_active FROM canopy_webhooks() WHERE webhook_id = '$webhook_id'";
	like(job_end(query($node, "SELECT canopy_change_webhook('$webhook_id', false)")), qr/^succeeded/, 'it is stopped');
	is(query($node, $columns), '{COMPLETE,AUTH_STATUS}|f', '… and nothing else');
	like(
		job_end(query($node, "SELECT canopy_change_webhook('$webhook_id', true, '{POLICIES_AVAILABLE}')")),
		qr/^succeeded/, 'it goes on, with other events');
	is(query($node, $columns), '{POLICIES_AVAILABLE}|t', '… which it says');
	like(
		job_end(query($node, q{SELECT canopy_change_webhook('missing', false)})),
		qr/^failed server answered 400 NOT_FOUND/, 'one that is not there');
	like(job_end(query($node, "SELECT canopy_delete_webhook('$webhook_id')")), qr/^succeeded/, 'it is deleted');
	is(query($node, $columns), '', 'and gone');
	like(
		job_end(
			query($node, qq{SELECT canopy_enqueue('delete-webhook', '{"webhookId": "missing"}', confirm => 'missing')})
		),
		qr/^(succeeded|failed server answered 400 INVALID_WEBHOOK_ID)/,
		'one that was not there');
	return;
}

sub team
{
	my $job_id =
	  query($node, q{SET ROLE has_admin; SELECT canopy_enqueue('create-team', body => '{"company_name": "New"}')});
	is(settled($node, $job_id), 'succeeded', 'a team');
	is( query($node, "SELECT response ->> 'client_secret' FROM canopy_summit.job_response WHERE job_id = $job_id"),
		'***', 'its secret is not kept with the answer');
	like(query($node, "SET ROLE has_admin; SELECT canopy_summit.take_secret($job_id)"), qr/^.{20,}$/, '… but taken');
	return;
}

sub levels
{
	for my $call (
		'canopy_webhooks()', "canopy_register_webhook('$url', '{COMPLETE}')", "canopy_change_webhook('w', true)",
		q{canopy_delete_webhook('w')}, 'canopy_summit.take_secret(1)')
	{
		is(scalar sqlstate_of($node, "SET ROLE has_$_; SELECT $call"), '42501', "not $_: $call")
		  for qw(fetcher operator);
	}
	is(scalar sqlstate_of($node, "SET ROLE has_$_; SELECT FROM canopy_summit.job_secret"), '42501', "no secret for $_")
	  for qw(fetcher operator admin);
	is(query($node, 'SET ROLE has_admin; SELECT count(*) > 0 FROM canopy_webhooks()'), 't', 'an admin lists them');
	return;
}
