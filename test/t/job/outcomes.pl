# What becomes of a safe, an idempotent and an unsafe job after each way in which an attempt can end?
use strict;
use warnings;

use CanopyJobs;
use CanopyShim;
use CanopyTest;
use Test::More;
use Time::HiRes qw(time sleep);

my $sandbox = start_sandbox();
my $shim = CanopyShim->new;
$shim->hosts(localhost => "127.0.0.1");
my $node = new_worker_node(env => $shim->env);
my $template = $sandbox->pull($sandbox->pull_id('user_good_home'));
my %operation = (safe => 'get-pull-by-id', idempotent => 'patch-pull-by-id', unsafe => 'post-widgets');

create_canopy_server($node, $sandbox);
subtest 'answers' => \&answers;
subtest 'no connection' => \&no_connection;
subtest 'jitter' => \&jitter;
subtest 'attempts run out' => \&exhausted;
subtest 'circuit breaker' => \&breaker;
subtest 'a refused credential' => \&refused_credential;
subtest 'a lost response' => \&lost_response;
subtest 'Retry-After' => \&retry_after;
subtest 'secrets' => \&secrets;
done_testing();

# A server of its own for each case: one's throttle is none of the other's business.
sub make_case
{
	my ($name, %options) = @_;
	create_canopy_server($node, $sandbox, server => $name, options => { max_connections => 50, %options });
	$sandbox->put_pull("$name-$_", { %$template, pull_id => "$name-$_" }) for qw(safe idempotent);
	return;
}

# Enqueues an operation of each class; its keys by class. One transaction: they are sent together, each
# on a connection of its own. On a used one libcurl itself repeats what was reset before the answer.
sub enqueue_classes
{
	my ($name) = @_;
	my %call = (
		safe => qq{'$operation{safe}', '{"pullId": "$name-safe"}', NULL},
		idempotent => qq{'$operation{idempotent}', '{"pullId": "$name-idempotent"}', '{"is_archived": false}'},
		unsafe => qq{'$operation{unsafe}', '{}', '{"intro_title": "$name-unsafe"}'});
	my @classes = sort keys %call;
	my %job_id;
	@job_id{@classes} = split /\|/,
	  query($node, 'SELECT ' . join ', ', map { "canopy_enqueue($call{$_}, server => '$name')" } @classes);
	return %job_id;
}

sub arm_classes
{
	my ($name, $fault, $times) = @_;
	$sandbox->arm(match => { path => "/pulls/$name-", method => $_ }, times => $times // 1, fault => $fault)
	  for qw(GET PATCH);
	$sandbox->arm(match => { path => '/widgets', body => "$name-unsafe" }, times => $times // 1, fault => $fault);
	return;
}

# Each fault strikes the first attempt. What follows, of a safe, idempotent and unsafe job: again, a
# second attempt that succeeds; fail; doubt. Then the code that the first attempt is kept with.
sub answers
{
	my %status =
	  map { ("status $_->[0]" => [ { kind => 'status', status => $_->[0], %{ $_->[2] // {} } }, $_->[1] ]) } (
		[ 400, 'fail fail fail' ], [ 403, 'fail fail fail' ], [ 404, 'fail fail fail' ], [ 408, 'again again again' ],
		[ 409, 'fail fail fail' ], [ 410, 'fail fail fail' ], [ 422, 'fail fail fail' ], [ 425, 'again again again' ],
		[ 429, 'again again again' ], [ 500, 'again again doubt' ], [ 501, 'again again doubt' ],
		[ 502, 'again again doubt' ],
		[ 503, 'again again again' ], [ 504, 'again again doubt' ]);
	my %cases = (
		%status,
		'redirect' =>
		  [ { kind => 'redirect', status => 302, location => 'https://localhost/elsewhere' }, 'fail fail fail' ],
		'bad JSON' =>
		  [ { kind => 'body', body => '{"success": tr', content_type => 'application/json' }, 'fail again doubt' ],
		'reset before the answer' => [ { kind => 'reset', after_bytes => 0 }, 'again again doubt' ],
		'reset in the answer' => [ { kind => 'reset', after_bytes => 60 }, 'again again doubt' ],
		'truncated answer' => [ { kind => 'lying_length', delta => 100 }, 'again again doubt' ],
		'API code 400 UNAUTHORIZED as text' => [
			{ kind => 'status', status => 400, body => { success => JSON::PP::false, error => 'NOT_FOUND' } },
			'fail fail fail' ],
		'API code rate_limited' =>
		  [ { kind => 'status', status => 400, body => { error => 'rate_limited' } }, 'again again doubt' ]);
	my %jobs;
	my $number = 0;

	for my $what (sort keys %cases)
	{
		my $name = 'case' . ++$number . 'x';
		make_case($name);
		arm_classes($name, $cases{$what}[0]);
		$jobs{$what} = { enqueue_classes($name) };
	}
	all_settled($node, undef, 60);
	for my $what (sort keys %cases)
	{
		my %expected;
		@expected{qw(safe idempotent unsafe)} = split / /, $cases{$what}[1];
		for my $class (qw(safe idempotent unsafe))
		{
			my $job = job($node, $jobs{$what}{$class});
			my @sends = @{ $job->{sends} };
			my ($state, $count) =
			  @{ { again => [ 'succeeded', 2 ], fail => [ 'failed', 1 ], doubt => [ 'in_doubt', 1 ] }
				->{ $expected{$class} } };
			is( "$job->{state} after " . @sends . " sends, $job->{attempts} attempts",
				"$state after $count sends, $count attempts", "$what, $class: $expected{$class}") or diag explain $job;
			is( $sends[0]{status} // 0,
				$cases{$what}[0]{kind} eq 'status' ? $cases{$what}[0]{status} : $sends[0]{status} // 0,
				'… its first attempt is kept');
			ok(!grep({ !$_->{settled} || $_->{outcome} eq '' } @sends), '… with its outcome');
			is($job->{outcome}, $sends[-1]{outcome}, '… and the job has that of the last');
			is(defined $job->{finished_at} ? 1 : 0, $state eq 'in_doubt' ? 0 : 1, '… and its end');
		}
	}
	return;
}

# What never got through is no attempt, whatever the class.
sub no_connection
{
	my %cases = (
		'no such name' => [ base_url => 'https://gone.canopy.test:1', base_url => $sandbox->base_url, 'not_resolved' ],
		'refused' => [ base_url => 'https://localhost:' . closed_port(), base_url => $sandbox->base_url ],
		'untrusted' =>
		  [ base_url => 'https://localhost:' . $sandbox->listener('cert_self_signed'), base_url => $sandbox->base_url ]
	);
	my (%jobs, %name);
	my $number = 0;

	for my $what (sort keys %cases)
	{
		$name{$what} = 'lost' . ++$number . 'x';
		make_case($name{$what}, @{ $cases{$what} }[ 0, 1 ]);
		$jobs{$what} = { enqueue_classes($name{$what}) };
	}
	for my $what (sort keys %cases)
	{
		for my $class (qw(safe idempotent unsafe))
		{
			wait_until("$what, $class: it was tried", sub { @{ job($node, $jobs{$what}{$class})->{sends} } > 1 });
			my $job = job($node, $jobs{$what}{$class});
			ok($job->{state} eq 'queued' || $job->{state} eq 'running', "$what, $class: it stays queued");
			is($job->{attempts}, 0, '… and has used no attempt');
		}
		query($node, "ALTER SERVER $name{$what} OPTIONS (SET $cases{$what}[2] '$cases{$what}[3]')");
	}
	all_settled($node, undef, 30);
	for my $what (sort keys %cases)
	{
		is(query($node, <<~"SQL"), 'succeeded|1', "$what: sent in the end");
			SELECT DISTINCT state, attempts FROM canopy_summit.job WHERE server = '$name{$what}'
			SQL
	}
	return;
}

sub closed_port
{
	my $port = $sandbox->listener('trap');
	$sandbox->close_listener($port);
	return $port;
}

sub retry_after
{
	my %given = (seconds => [ retry_after => 2 ], date => [ retry_after_date => 3 ]);
	my %jobs;

	for my $form (sort keys %given)
	{
		make_case("after$form");
		arm_classes("after$form", { kind => 'status', status => $_, @{ $given{$form} } }) for 429;
		$jobs{$form} = { enqueue_classes("after$form") };
	}
	all_settled($node, undef, 30);
	for my $form (sort keys %given)
	{
		for my $class (sort keys %{ $jobs{$form} })
		{
			my $gap = query($node, <<~"SQL");
				SELECT extract(epoch FROM max(started_at) - min(started_at)) FROM canopy_summit.job_attempt
				WHERE job_id = $jobs{$form}{$class}
				SQL
			cmp_ok($gap, '>=', 1.9, "$form, $class: not before it");
			cmp_ok($gap, '<', SOON, "$form, $class: nor much later");
		}
	}
	make_case('farahead');
	$sandbox->arm(
		match => { path => '/pulls/farahead' },
		fault => { kind => 'status', status => 429, retry_after => 10 * 365 * 86400 });
	my $job_id = enqueue($node, 'get-pull-by-id', { pullId => 'farahead-safe' }, undef, q{server => 'farahead'});
	wait_until('it was tried', sub { @{ job($node, $job_id)->{sends} } == 1 });
	is(query($node, <<~"SQL"), 't', 'ten years are cut to six hours');
		SELECT run_at BETWEEN now() + interval '5 h 50 min' AND now() + interval '6 h 10 min' FROM canopy_summit.job
		WHERE job_id = $job_id
		SQL
	query($node, "SELECT canopy_summit.cancel_job($job_id)");
	return;
}

sub jitter
{
	my $count = 100;
	make_case('jitter');
	$sandbox->arm(match => { path => '/pulls/jitter' }, times => undef, fault => { kind => 'status', status => 500 });
	query($node, <<~"SQL");
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "jitter-safe"}', server => 'jitter')
		FROM generate_series(1, $count)
		SQL
	wait_until('each was tried', sub { query($node, <<~'SQL') == $count });
		SELECT count(DISTINCT job_id) FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id)
		WHERE server = 'jitter'
		SQL
	$sandbox->clear;
	all_settled($node, q{server = 'jitter'});
	my $spread = query($node, <<~'SQL');
		SELECT max(gap) - min(gap) FROM (
			SELECT extract(epoch
				FROM (array_agg(started_at ORDER BY a.fence))[2] - (array_agg(started_at
					ORDER BY a.fence))[1]) AS gap
			FROM canopy_summit.job_attempt a JOIN canopy_summit.job USING (job_id) WHERE server = 'jitter'
			GROUP BY job_id) g
		SQL
	cmp_ok($spread, '>=', 1, "second attempts of $count jobs are spread over $spread s, at least half of the interval");
	return;
}

sub exhausted
{
	make_case('exhausted');
	arm_classes('exhausted', { kind => 'status', status => 500 }, 100);
	query($node, <<~'SQL');
		INSERT INTO canopy_summit.job (server, operation, params, max_attempts)
		VALUES ('exhausted', 'get-pull-by-id', '{"pullId": "exhausted-safe"}', 2)
		SQL
	my $job_id = query($node, 'SELECT max(job_id) FROM canopy_summit.job');
	is(settled($node, $job_id, 20), 'failed', 'a job fails after its last attempt');
	is(scalar @{ job($node, $job_id)->{sends} }, 2, 'which was the second');
	is(job($node, $job_id)->{outcome_status}, 500, 'with what the server said');
	$sandbox->clear;
	return;
}

sub breaker
{
	my $count = 200;
	make_case('outage', max_connections => 10);
	$sandbox->clear_log;
	$sandbox->arm(match => { path => '/pulls/outage' }, times => undef, fault => { kind => 'status', status => 503 });
	query($node, <<~"SQL");
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "outage-safe"}', server => 'outage')
		FROM generate_series(1, $count)
		SQL
	soon_ok('the breaker opens', sub { query($node, <<~'SQL') eq 't' }, 10);
		SELECT breaker_until > now() FROM canopy_summit.server_health WHERE server = 'outage'
		SQL
	wait_until(
		'what was on the wire then has landed',
		sub { query($node, 'SELECT sum(in_flight) FROM canopy_summit.worker_status') eq '0' });
	my $opened = requests($sandbox, 'pulls/outage', 'path');
	cmp_ok($opened, '<=', 20, 'an outage costs a handful of requests');
	wait_until('it lets a few through', sub { requests($sandbox, 'pulls/outage', 'path') >= $opened + 2 });
	is(query($node, <<~'SQL'), 0, 'and then one now and then');
		SELECT count(*) FROM (SELECT started_at - lag(started_at) OVER (ORDER BY started_at) AS gap
			FROM (SELECT started_at FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id)
				WHERE server = 'outage' ORDER BY started_at DESC LIMIT 2) a) b
		WHERE gap < interval '0.5 s'
		SQL
	my $probes = requests($sandbox, 'pulls/outage', 'path');
	$sandbox->clear;
	all_settled($node, q{server = 'outage'});
	is(jobs_by_state($node, q{server = 'outage'}), "succeeded $count", 'and no job');
	cmp_ok(scalar(requests($sandbox, 'pulls/outage', 'path')), '<=', $probes + $count + 10, 'afterwards each is sent');
	is(query($node, <<~'SQL'), '', 'the breaker is closed');
		SELECT breaker_until FROM canopy_summit.server_health WHERE server = 'outage'
		SQL
	return;
}

# All jobs of the credential wait, those of others do not, and a rotated file is enough to go on.
sub refused_credential
{
	my $file = CanopyTest::secret_file('wrong');
	my $count = 100;

	create_canopy_server(
		$node, $sandbox, server => 'refused', mapping => { client_secret_file => $file },
		options => { max_connections => 4 });
	query($node, 'CREATE ROLE other_owner SUPERUSER');
	query(
		$node,
		sprintf q{CREATE USER MAPPING FOR other_owner SERVER refused OPTIONS (client_id %s, client_secret_file %s)},
		map { CanopyTest::quoted($_) } $sandbox->client_id, CanopyTest::secret_file($sandbox->client_secret));
	$sandbox->clear_log;
	my $enqueue = <<~"SQL";
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "refused-safe"}', server => 'refused')
		FROM generate_series(1, %d)
		SQL
	$sandbox->put_pull('refused-safe', { %$template, pull_id => 'refused-safe' });
	query($node, sprintf $enqueue, $count);
	soon_ok('the credential is held', sub { query($node, <<~'SQL') eq 't' }, 20) or return;
		SELECT owner <> '' FROM canopy_summit.server_hold WHERE server = 'refused'
		SQL
	wait_until('nothing runs', sub { jobs_by_state($node, q{server = 'refused'}) eq "queued $count" });
	cmp_ok(
		scalar(requests($sandbox, 'pulls/refused', 'path')), '<=', 4,
		"of $count jobs no more are sent than connections are allowed");
	like(query($node, <<~'SQL'), qr/credential of .* was refused/, 'explain_job() says why they wait');
		SELECT canopy_summit.explain_job(min(job_id)) FROM canopy_summit.job WHERE server = 'refused'
		SQL
	like(query($node, <<~'SQL'), qr/401/, 'so does server_health');
		SELECT held FROM canopy_summit.server_health WHERE server = 'refused'
		SQL
	is(query($node, q{SELECT max(attempts) FROM canopy_summit.job WHERE server = 'refused'}), 0, 'no attempt is used');
	query($node, 'SET ROLE other_owner;' . sprintf $enqueue, 3);
	all_settled($node, q{owner = 'other_owner'});
	is(jobs_by_state($node, q{owner = 'other_owner'}), 'succeeded 3', 'another role\'s jobs go on');

	query($node, q{ALTER SYSTEM SET canopy_summit.worker_idle_timeout = '500ms'; SELECT pg_reload_conf()});
	wait_until('the worker has left', sub { !worker_pids($node) });
	my $before = requests($sandbox, 'pulls/refused', 'path');
	open my $out, '>', $file or die $!;
	print $out $sandbox->client_secret, "\n";
	close $out;
	all_settled($node, q{server = 'refused'});
	is(jobs_by_state($node, q{server = 'refused'}), 'succeeded ' . ($count + 3), 'a rotated secret ends it by itself');
	is(query($node, 'SELECT count(*) FROM canopy_summit.server_hold'), 0, 'and the hold is gone');
	query($node, q{ALTER SYSTEM RESET canopy_summit.worker_idle_timeout; SELECT pg_reload_conf()});
	return;
}

# An unsafe operation that took effect and whose answer was lost is never sent again by itself.
sub lost_response
{
	make_case('doubt');
	$sandbox->clear_log;
	$sandbox->arm(
		match => { path => '/monitorings', method => 'POST' },
		fault => { kind => 'reset', after_bytes => 0 });
	my $pull_id = $sandbox->pull_id('user_good');
	my $job_id =
	  enqueue($node, 'post-monitoring', {}, { pull_id => $pull_id, interval => 'P2M' }, q{server => 'doubt'});
	like(settled($node, $job_id), qr/^(in_doubt|succeeded)$/, 'it is in doubt, unless it was looked up');
	like(
		query($node, "SELECT canopy_summit.explain_job($job_id)"), qr/may have taken effect|succeeded/,
		'explain_job() says so');
	query($node, 'SELECT canopy_summit.wake()');
	is(settled($node, enqueue($node, 'get-carriers', {}, undef, q{server => 'doubt'})), 'succeeded', 'others go on');
	is( scalar(grep { $_->{method} eq 'POST' } requests($sandbox, 'monitorings', 'method,path')), 1,
		'one request was sent');
	is_deeply(
		[   map { $_->{effects} }
			  grep { $_->{operation} eq 'post-monitoring' }
			  @{ $sandbox->control(GET => 'effects/canopy')->{operations} } ],
		[1],
		'with one effect');
	return;
}

# Whichever way a job ends, what is secret of it leaves its row, and a secret of an answer is not kept.
sub secrets
{
	my ($at, @ended) = ({ path => '/consentAndConnect', method => 'POST' });
	my $body = sub {
		return {
			device_identifier => '1.2.3.4', terms_version => 3, consent_language => 'I agree',
			public_alias => 'sandbox-link', insurerName => 'geico', meta_data => { end => $_[0] },
			insurerUsername => 'user_good', insurerPassword => 'pass_good', insurerThirdField => 'third-secret' };
	};
	my $connect = sub {
		my ($end, $more) = @_;
		return enqueue($node, 'post-consent-and-connect', {}, $body->($end), $more);
	};
	my @idv = ('post-idv', { pullId => 'p', 'pull-jwt' => 'jwt-secret' }, { mfaValue => 'mfa-secret' });
	my %refusal = (kind => 'status', status => 400, body => { error => 'INVALID_INPUT' });
	my $ends = sub {
		my ($end, $job_id, $state, $code) = @_;
		is(settled($node, $job_id, 60), $state, "$end: it ends $state");
		is(job($node, $job_id)->{outcome_code} // '', $code, "$end: and says why") if defined $code;
		push @ended, [ $end, $job_id ];
	};
	# A row of another version's operation, as a restore brings it.
	my $restored = sub {
		my ($state, $more) = @_;
		return query($node, <<~"SQL");
			INSERT INTO canopy_summit.job (job_id, server, operation, params, body, owner, state, instance, fence,
				attempts, max_attempts, priority, run_at, enqueued_at, server_oid, owner_oid, epoch, lease_until)
			SELECT nextval('canopy_summit.job_id_seq'), 'canopy', 'post-former', '{"pull-jwt": "jwt-secret"}',
				'{"insurerPassword": "pass_good"}', current_user, '$state', canopy_summit.instance(), 1,
				0, 10, 5, now(), now(), canopy_summit.server_oid('canopy'), current_user::regrole, $more
					RETURNING job_id
			SQL
	};

	query($node, <<~'SQL');
		CREATE ROLE leaver; GRANT USAGE ON FOREIGN SERVER canopy TO leaver;
		SELECT canopy_summit.grant_access('leaver', 'fetcher'), canopy_summit.grant_access('leaver', 'admin')
		SQL
	$ends->('success', $connect->('success'), 'succeeded');
	$sandbox->arm(match => $at, fault => {%refusal});
	$ends->('refusal', $connect->('refusal'), 'failed', 'INVALID_INPUT');
	$sandbox->arm(match => { path => '/idv' }, fault => {%refusal});
	$ends->('header', enqueue($node, @idv), 'failed');

	my $cancelled = $connect->('cancel', q{run_at => 'infinity'});
	like(
		query($node, "SELECT j::text FROM canopy_summit.job j WHERE job_id = $cancelled"), qr/pass_good/,
		'a job that waits has its secrets');
	query($node, "SELECT canopy_summit.cancel_job($cancelled)");
	$ends->('cancel', $cancelled, 'cancelled', 'cancelled');
	$cancelled = enqueue($node, @idv, q{run_at => 'infinity'});
	query($node, "SELECT canopy_summit.cancel_job($cancelled)");
	$ends->('cancelled header', $cancelled, 'cancelled', 'cancelled');
	my $json = CanopyTest::quoted(JSON::PP->new->encode($body->('duplicate')));
	my $enqueue = "SELECT canopy_enqueue('post-consent-and-connect', '{}', $json, ";
	my @twins = split /\n/, query($node, "$enqueue dedupe_key => 'k') FROM generate_series(1, 2)");
	all_settled($node);
	$ends->('duplicate', $_, job($node, $_)->{state}) for @twins;
	is(jobs_by_state($node, "job_id IN ($twins[0], $twins[1])"), 'cancelled 1, succeeded 1', 'duplicate: one was sent');

	my $former = $restored->('queued', 'NULL, NULL');
	query($node, 'SELECT canopy_summit.wake()');
	$ends->('former operation', $former, 'failed');
	my $lost = $restored->('running', q{-7, now() - interval '1 h'});
	query($node, <<~"SQL");
		INSERT INTO canopy_summit.job_attempt (job_id, fence, started_at, settled, outcome, code)
		SELECT $lost, -n, now(), true, 'lost', 'worker_lost' FROM generate_series(1, 20) n
		SQL
	$node->restart;
	$ends->('lost workers', $lost, 'failed', 'worker_lost');

	$sandbox->arm(match => $at, fault => { kind => 'reset' });
	my $found = $connect->('found');
	wait_until('it is found', sub { job($node, $found)->{state} eq 'succeeded' });
	$ends->('found', $found, 'succeeded', 'reconciled');
	$sandbox->arm(match => { path => '/idv' }, fault => { kind => 'reset' });
	$ends->('retried doubt', my $doubt = enqueue($node, @idv), 'in_doubt');
	$sandbox->arm(match => { path => '/idv' }, fault => {%refusal});
	query($node, "SELECT canopy_summit.retry_job($doubt, true)");
	is(settled($node, $doubt), 'failed', 'retried doubt: it fails');

	$sandbox->clear;
	# The answer of a success cannot be kept, that of a failure can.
	query($node, <<~'SQL');
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		ASSERT (SELECT state <> 'succeeded' FROM canopy_summit.job j WHERE j.job_id = NEW.job_id);
		RETURN NEW; END$$;
		CREATE TRIGGER refuse BEFORE INSERT ON canopy_summit.job_response FOR EACH ROW EXECUTE FUNCTION refuse()
		SQL
	my $quarantined = $connect->('quarantine');
	$ends->('quarantine', $quarantined, 'failed', 'quarantined');
	query($node, 'DROP TRIGGER refuse ON canopy_summit.job_response');

	my $orphan = query($node, "SET ROLE leaver; $enqueue run_at => 'infinity')");
	query($node, <<~"SQL");
		DROP OWNED BY leaver; DROP ROLE leaver;
		UPDATE canopy_summit.job SET run_at = now() WHERE job_id = $orphan; SELECT canopy_summit.wake()
		SQL
	$ends->('owner gone', $orphan, 'failed');

	for my $end (@ended)
	{
		my ($name, $job_id) = @$end;
		my $job = job($node, $job_id);
		unlike(JSON::PP->new->encode($job), qr/pass_good|user_good|secret/, "$name: nothing secret is left");
		next if $job->{state} ne 'failed' || $job->{operation} eq 'post-former';
		is( scalar sqlstate_of($node, "SELECT canopy_summit.retry_job($job_id)"), '55000',
			"$name: without it, it is not retried");
	}
	is(query($node, q{SELECT canopy_summit.retry_failed(operation => 'post-idv')}), 0, 'nor with all that failed');

	# An answer may hold its secret more than once, in links for one.
	my $token = 'a+b/c=TOKEN-of-an-answer';
	my %answer = (
		pull_id => 'p', reconnect_token => $token, note => "see $token",
		other => 'a%2Bb/c%3dTOKEN-of-an-answer', short_token => 'pull', nested => [ { at => [$token] } ],
		reconnect_url => "https://x.test/c/a?reconnectToken=$token&lead=1",
		another_url => 'https://x.test/?pull_jwt=TOKEN-of-another#f',
		tokens => { now => 'TOKEN-that-is-nested' }, again => 'TOKEN-that-is-nested');
	$sandbox->arm(
		match => { path => '/reconnectToken' },
		fault => { kind => 'status', status => 200, body => { success => JSON::PP::true, %answer } });
	my $asked = enqueue($node, 'get-monitoring-reconnect-token', { monitoringId => 'm' });
	is(settled($node, $asked), 'succeeded', 'an answer with secrets');
	my $kept = query($node, "SELECT response - 'success' FROM canopy_summit.job_response WHERE job_id = $asked");
	is_deeply(
		JSON::PP->new->decode($kept),
		{   pull_id => 'p', reconnect_token => '***', note => 'see ***',
			other => '***', short_token => '***', reconnect_url => 'https://x.test/c/a?reconnectToken=***&lead=1',
			nested => [ { at => ['***'] } ],
			another_url => 'https://x.test/?pull_jwt=***#f', tokens => '***', again => '***' },
		'is kept without them');
	return;
}
