# Whose access token is sent, how often is one asked for, and what happens while there is none?
use strict;
use warnings;

use CanopyTest;
use CanopyUpload;
use Digest::SHA qw(hmac_sha256_hex sha256 sha256_hex);
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $sandbox = start_sandbox();
my $node = new_node(conf => <<~'END');
	shared_preload_libraries = 'canopy_summit'
	restart_after_crash = on
	log_statement = none
	log_min_messages = debug1
	END
my $secret = $sandbox->{ready}{summit_client_secret};
my $secret_file = CanopyTest::secret_file($secret);
create_summit_server($node, $sandbox, mapping => { client_secret_file => $secret_file });
$node->safe_psql('postgres', <<~'SQL');
	CREATE ROLE app LOGIN;
	SELECT canopy_summit.grant_access('app', 'fetcher');
	GRANT USAGE ON FOREIGN SERVER summit TO app;
	SQL
$node->safe_psql(
	'postgres',
	'CREATE FUNCTION payload(number integer) RETURNS jsonb LANGUAGE sql AS $$'
	  . q{SELECT jsonb_set('}
	  . payload('x')
	  . q{', '{policy,policy_number}', to_jsonb('POL-' || number))$$});

my $uploads = 0;

# Enqueues so many uploads in one statement; returns their ids as SQL takes them in a list.
sub enqueue
{
	my ($count, $before, $server) = @_;
	my $first = $uploads + 1;
	$uploads += $count;
	return join ', ', split /\n/,
	  $node->safe_psql(
		'postgres',
		($before // '')
		  . 'SET client_min_messages = error; '
		  . "SELECT summit_upload_policy(payload(n), server => '"
		  . ($server // 'summit') . "')"
		  . " FROM generate_series($first, $uploads) n");
}

# Waits until all of them have come to an end; the statuses that they have then.
sub outcome
{
	my ($ids) = @_;
	my ($statuses, $hurries) = ('', 1);
	soon_ok(
		'uploads come to an end',
		sub {
			$statuses = $node->safe_psql('postgres', <<~"SQL");
				SELECT string_agg(DISTINCT status, ' ') FROM summit.upload_status WHERE upload_id IN ($ids)
				SQL
			poll_now($node) if $statuses =~ /accepted/ && $statuses !~ /queued|sending/ && $hurries-- > 0;
			return $statuses !~ /queued|sending|accepted/;
		},
		60) or die "the uploads are $statuses, and what follows needs them";
	return $statuses;
}

sub tokens { return $sandbox->control(GET => 'tokens') }
sub holds { return $node->safe_psql('postgres', 'SELECT count(*) FROM canopy_summit.server_hold') }

sub write_secret
{
	my ($content) = @_;
	open my $file, '>', $secret_file or die "could not write: $!";
	print $file "$content\n";
	close $file;
	return;
}

# Ends the worker, and with it the tokens that it has.
sub new_worker
{
	$node->restart;
	$sandbox->control(DELETE => 'tokens');
	return;
}

subtest 'one token for many uploads' => sub {
	$sandbox->arm(
		match => { listener => 'summit_auth' },
		fault => { kind => 'stall', at => 'before_headers', seconds => 0.5 });
	my $before = tokens()->{requests};
	my $ids = enqueue(300);
	is(outcome($ids), 'verified', 'all are verified');
	is(tokens()->{requests} - $before, 1, 'one token was asked for');
	my ($request) = summit_log($sandbox, 'create-token');
	my %form =
	  map { my ($name, $value) = split /=/; ($name => $value =~ s/\+/ /gr =~ s/%([0-9a-f]{2})/chr hex $1/gier) }
	  split /&/, $request->{body};
	is_deeply(
		\%form,
		{   grant_type => 'client_credentials', client_id => $sandbox->{ready}{summit_client_id},
			client_secret => $secret,
			scope => 'policies:write policies:read webhooks:read' },
		'with client, secret and scope');
	is($request->{auth}, 'none', 'and no credential elsewhere');
	my %sent;
	$sent{ (grep { lc $_->[0] eq 'authorization' } @{ $_->{headers} })[0][1] }++
	  for summit_log($sandbox, 'upload-policy');
	is(scalar keys %sent, 1, 'one token was sent');
};

subtest 'a token that ends' => sub {
	new_worker();
	# It ends before it says: whoever uses one until then is refused.
	$sandbox->control(PUT => 'tokens', { expires_in => 3, announced => 4 });
	my $before = tokens();
	my $refused = () = grep { $_->{status} == 401 } $sandbox->log;
	my $until = time + 5;
	while (time < $until)
	{
		is(outcome(enqueue(1)), 'verified', 'verified');
	}
	my $issued = tokens()->{issued} - $before->{issued};
	cmp_ok($issued, '>=', 2, 'is renewed');
	cmp_ok($issued, '<=', 6, 'now and then');
	is(scalar(grep { ($_->{status} // 0) == 401 } $sandbox->log), $refused, 'before its end: none is refused');

	# It says nothing about its life, and has a short one.
	new_worker();
	$sandbox->control(PUT => 'tokens', { expires_in => 1, announced => JSON::PP::false });
	is(outcome(enqueue(3)), 'verified', 'one that does not say when: asked for again once it is refused');
	$sandbox->control(PUT => 'tokens', { expires_in => 3600, announced => undef });
};

subtest 'a token that is revoked' => sub {
	new_worker();
	is(outcome(enqueue(1)), 'verified', 'a token');
	$sandbox->clear_log;
	$sandbox->control(DELETE => 'tokens');
	my $before = tokens()->{requests};
	my $ids = enqueue(50);
	is(outcome($ids), 'verified', 'is revoked: everything goes on');
	is(tokens()->{requests} - $before, 1, 'with one other');
	my %keys = map { ($_->{idempotency_key} => 1) } summit_log($sandbox, 'upload-policy');
	is(scalar keys %keys, 50, 'and the same Idempotency-Keys');
	is($node->safe_psql('postgres', <<~"SQL"), '1', 'and no attempt is lost');
		SELECT max(attempts) FROM canopy_summit.job JOIN summit.upload USING (job_id) WHERE upload_id IN ($ids)
		SQL
	is(holds(), '0', 'nothing is held');
};

subtest 'a secret that is wrong' => sub {
	new_worker();
	write_secret('wrong');
	my $refused = join '', map { "$_\0" } $sandbox->{ready}{summit_client_id}, 'wrong',
	  map({ s{/+$}{}r } @{ $sandbox->{ready} }{qw(summit_base_url summit_auth_url)}),
	  'policies:write policies:read webhooks:read';
	my $before = tokens();
	my $ids = enqueue(200);
	wait_until('jobs are held', sub { holds() == 1 });
	is($node->safe_psql('postgres', <<~'SQL'), 'summit|t|t', 'a hold says so');
		SELECT server, owner = current_user, reason ~ 'no access token' FROM canopy_summit.server_hold
		SQL
	my $digest = $node->safe_psql('postgres', q{SELECT encode(credential_hash, 'hex') FROM canopy_summit.server_hold});
	isnt($digest, sha256_hex($refused), 'which whoever reads it cannot guess the secret against');
	is( $digest,
		hmac_sha256_hex(
			sha256($refused), pack 'H*',
			$node->safe_psql('postgres', q{SELECT encode(key, 'hex') FROM canopy_summit.hold_key})),
		'but with the key');
	is( $node->safe_psql('postgres', <<~'SQL'),
		SELECT octet_length(key),
			(SELECT count(*) FROM canopy_summit.access_rules() r WHERE r.object = 'canopy_summit.hold_key')
		FROM canopy_summit.hold_key
		SQL
		'32|0', 'of 256 bits, which no level reads');
	$node->restart;
	wait_until('a new worker looks', sub { $node->safe_psql('postgres', <<~'SQL') eq '|1' });
		SELECT canopy_summit.wake(), count(*) FROM canopy_summit.worker_status
		SQL
	my $more = enqueue(50);
	# Whatever the worker still does, it does at the next scan, at the latest.
	$node->safe_psql('postgres', 'SELECT canopy_summit.wake()') for 1 .. 5;
	cmp_ok(tokens()->{requests} - $before->{requests}, '<=', 2, 'one or two requests');
	is($node->safe_psql('postgres', <<~"SQL"), '250|0', 'all wait, and no attempt is lost');
		SELECT count(*), max(attempts) FROM canopy_summit.job JOIN summit.upload USING (job_id)
		WHERE upload_id IN ($ids, $more) AND state = 'queued'
		SQL
	like($node->safe_psql('postgres', <<~"SQL"), qr/credential/, 'explain_job() says why');
		SELECT canopy_summit.explain_job(job_id) FROM summit.upload WHERE upload_id IN ($ids) LIMIT 1
		SQL
	write_secret($secret);
	$node->safe_psql('postgres', 'SELECT canopy_summit.wake()');
	is(outcome("$ids, $more"), 'verified', 'with the right one all goes on');
	is(holds(), '0', 'and the hold is gone');
};

# Requests for a token that name the scopes in this order, which tells the servers apart.
sub token_requests
{
	my ($scope) = @_;
	return scalar(() = grep { $_->{body} =~ /scope=$scope(?:&|$)/ } summit_log($sandbox, 'create-token'));
}

# The most that a column of jobs is.
sub most
{
	my ($column, $ids) = @_;
	return $node->safe_psql('postgres', <<~"SQL");
		SELECT max($column) FROM canopy_summit.job JOIN summit.upload USING (job_id) WHERE upload_id IN ($ids)
		SQL
}

# Each of several servers fails in a way of its own, the last for long: there jobs wait, and do not go round and round.
subtest 'a token endpoint that is down' => sub {
	my %faults = (
		'500' => { kind => 'status', status => 500 },
		'no JSON' => { kind => 'body', status => 200, body => '{"access_token": "abc' },
		'no access_token' => { kind => 'garble', without => ['access_token'] },
		'reset' => { kind => 'reset', after_bytes => 0 },
		'for long' => { kind => 'status', status => 500 });
	my @orders = (
		'policies:read policies:write webhooks:read', 'policies:read webhooks:read policies:write',
		'policies:write webhooks:read policies:read', 'webhooks:read policies:read policies:write',
		'webhooks:read policies:write policies:read');
	my (%scope, %number, %ids);

	new_worker();
	$sandbox->clear_log;
	for my $name (sort keys %faults)
	{
		my $server = lc $name =~ s{^|\W}{_}gr;
		my $order = shift @orders;
		$scope{$name} = $order =~ s/:/%3A/gr =~ s/ /(?:\\+|%20)/gr;
		create_summit_server($node, $sandbox, server => $server, options => { scope => $order });
		$number{$name} = $sandbox->arm(
			match => { listener => 'summit_auth', body => "scope=$scope{$name}(&|\$)" },
			times => $name eq 'for long' ? undef : 1, fault => $faults{$name});
	}
	my $start = time;
	$ids{$_} = enqueue($_ eq 'for long' ? 500 : 20, undef, lc s{^|\W}{_}gr) for sort keys %faults;
	my $long = $ids{'for long'};
	wait_until('a second request', sub { token_requests($scope{'for long'}) >= 2 });
	my $fence = most('fence', $long);
	my $requests = token_requests($scope{'for long'});
	cmp_ok($fence, '<=', $requests + 2, "a job is claimed no oftener than a token is asked for ($fence, $requests)");
	cmp_ok($requests, '<=', 2 + (time - $start), 'which is now and then');
	$sandbox->clear($number{'for long'});
	for my $name (grep { $_ ne 'for long' } sort keys %faults)
	{
		is(outcome($ids{$name}), 'verified', "$name: all is sent afterwards");
		is(most('attempts', $ids{$name}), '1', "$name: and no attempt is lost");
		is(token_requests($scope{$name}), 2, "$name: two requests");
	}
	is(holds(), '0', 'nothing is held');
	is(outcome($long), 'verified', 'for long: all is sent afterwards');
};

# What was read before the token was asked for may be gone when it comes.
subtest 'a mapping that goes while a token is awaited' => sub {
	new_worker();
	$sandbox->clear_log;
	add_summit_mapping($node, $sandbox, role => 'app');
	my $fault = $sandbox->hold(match => { listener => 'summit_auth' }, times => 1);
	my $ids = enqueue(1, 'SET ROLE app;');
	wait_until('a token is awaited', sub { $sandbox->waiting($fault) });
	$node->safe_psql('postgres', 'DROP USER MAPPING FOR app SERVER summit');
	my $epoch = $node->safe_psql('postgres', 'SELECT max(epoch) FROM canopy_summit.worker_status');
	$node->safe_psql('postgres', <<~'SQL');
		INSERT INTO canopy_summit.job (job_id, server, operation, params, priority, run_at, max_attempts, owner, state,
			instance, fence, attempts, enqueued_at, server_oid, owner_oid)
		VALUES (nextval('canopy_summit.job_id_seq'), 'summit', 'get-job', '{"jobId": "none"}', 5, now(), 10, 'app',
			'queued', canopy_summit.instance(), 0, 0, now(), canopy_summit.server_oid('summit'), 'app'::regrole);
		SELECT canopy_summit.wake();
		SQL
	$sandbox->clear($fault);
	is(outcome($ids), 'failed', 'the upload fails');
	like(
		$node->safe_psql('postgres', "SELECT error_message FROM summit.upload WHERE upload_id = $ids"), qr/mapping/,
		'for want of a mapping');
	is( $node->safe_psql('postgres', 'SELECT max(epoch) FROM canopy_summit.worker_status'), $epoch,
		'and the worker lives');
};

subtest 'two roles' => sub {
	new_worker();
	add_summit_mapping($node, $sandbox, role => 'app');
	my $before = tokens()->{requests};
	$sandbox->clear_log;
	$node->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION payload(integer) TO app');
	is(outcome(enqueue(5) . ', ' . enqueue(5, 'SET ROLE app;')), 'verified', 'both upload');
	is(tokens()->{requests} - $before, 2, 'with two tokens');
	my %sent;
	$sent{ (grep { lc $_->[0] eq 'authorization' } @{ $_->{headers} })[0][1] }++
	  for summit_log($sandbox, 'upload-policy');
	is_deeply([ sort values %sent ], [ 5, 5 ], 'each with its own');
};

# A mapping that is another one has no use for the token of the last.
subtest 'another client' => sub {
	is(outcome(enqueue(1)), 'verified', 'a token');
	my $before = tokens()->{requests};
	$node->safe_psql('postgres', <<~'SQL');
		ALTER USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (SET client_id 'another')
		SQL
	my $ids = enqueue(3);
	wait_until('a hold, or an end', sub { holds() > 0 || $node->safe_psql('postgres', <<~"SQL") > 0 });
		SELECT count(*) FROM summit.upload WHERE upload_id IN ($ids) AND status <> 'queued'
		SQL
	is(holds(), '1', 'another client_id is tried at once, and refused');
	$node->safe_psql('postgres', <<~"SQL");
		ALTER USER MAPPING FOR CURRENT_USER SERVER summit
		OPTIONS (SET client_id '$sandbox->{ready}{summit_client_id}')
		SQL
	is(outcome($ids), 'verified', 'the right one again');

	$before = tokens()->{requests};
	$node->safe_psql('postgres', q{ALTER SERVER summit OPTIONS (ADD scope 'policies:write')});
	$ids = enqueue(1);
	settles_as($node, $ids, 'unresolved', 30);
	cmp_ok(tokens()->{requests} - $before, '>=', 1, 'another scope is asked for at once');
	$node->safe_psql('postgres', q{ALTER SERVER summit OPTIONS (DROP scope)});
	$ids = enqueue(1);
	is(outcome($ids), 'verified', 'the full one again');
};

subtest 'nothing is told' => sub {
	my @secrets = ($secret);
	my %tokens = map {
		((grep { lc $_->[0] eq 'authorization' } @{ $_->{headers} })[0][1] =~ s/^Bearer //r => 1)
	} summit_log($sandbox, 'upload-policy');
	push @secrets, keys %tokens;
	cmp_ok(scalar @secrets, '>', 2, 'the secret and some tokens are looked for');
	my $log = slurp_file($node->logfile);
	ok(!(grep { index($log, $_) >= 0 } @secrets), 'not in the log at debug1');
	my $activity = $node->safe_psql('postgres', 'SELECT string_agg(a::text, E\'\n\') FROM pg_stat_activity a');
	ok(!(grep { index($activity, $_) >= 0 } @secrets), 'not in pg_stat_activity');
	my @tables = split /\n/, $node->safe_psql('postgres', <<~'SQL');
		SELECT oid::regclass FROM pg_class
		WHERE relkind = 'r'
			AND relnamespace IN ('summit'::regnamespace, 'canopy'::regnamespace, 'canopy_summit'::regnamespace)
		SQL
	my $found = join ' ', grep {
		my $rows = $node->safe_psql('postgres', "SELECT t::text FROM $_ t");
		grep { index($rows, $_) >= 0 } @secrets
	} @tables;
	is($found, '', 'not in a table');
};

done_testing();
