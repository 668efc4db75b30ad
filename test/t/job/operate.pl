# Can jobs be steered and watched from SQL, by whom, and with what in sight?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();
my $pull_id = $sandbox->pull_id('user_good');

create_canopy_server($node, $sandbox);
query($node, q{CREATE ROLE has_operator; SELECT canopy_summit.grant_access('has_operator', 'operator')});

subtest 'cancel' => \&cancel;
subtest 'retry' => \&retry;
subtest 'pause and resume' => \&pause;
subtest 'wait' => \&wait_for;
subtest 'what another instance has left' => \&foreign;
subtest 'retention' => \&retention;
subtest 'what an operator sees' => \&operator;
subtest 'operations that are deprecated or end' => \&deprecation;
done_testing();

sub as_operator { my ($sql) = @_; return query($node, "SET ROLE has_operator; $sql") }

sub cancel
{
	my $job_id = enqueue($node, 'get-carriers', {}, undef, q{run_at => 'infinity'});
	is(as_operator("SELECT canopy_summit.cancel_job($job_id)"), 't', 'a queued job is cancelled');
	is(as_operator("SELECT canopy_summit.cancel_job($job_id)"), 'f', 'once');
	is(job($node, $job_id)->{state}, 'cancelled', 'it says so');
	like(job($node, $job_id)->{outcome}, qr/^cancelled by /, 'and by whom');
	is(as_operator('SELECT canopy_summit.cancel_job(-1)'), 'f', 'one that does not exist is not');
	my $fault = $sandbox->hold(match => { path => '/carriers' }, times => 1);
	my $running = enqueue($node, 'get-carriers');
	wait_until('it runs', sub { $sandbox->waiting($fault) });
	is(as_operator("SELECT canopy_summit.cancel_job($running)"), 'f', 'nor is one on its way');
	# Its answer takes a second, for the histogram.
	query($node, 'SELECT pg_sleep(1.1)');
	$sandbox->clear($fault);
	is(settled($node, $running), 'succeeded', 'which ends as it would have');
	is(as_operator("SELECT canopy_summit.retry_job($job_id)"), 'f', 'a cancelled job is not retried');
	return;
}

sub retry
{
	my @failed = map { enqueue($node, 'get-pull-by-id', { pullId => "retry-$_" }) } 1 .. 3;
	is(settled($node, $_), 'failed', 'it fails') for @failed;
	my $since = query($node, 'SELECT clock_timestamp()');
	$sandbox->put_pull("retry-$_", { %{ $sandbox->pull($pull_id) }, pull_id => "retry-$_" }) for 1 .. 3;
	is(as_operator("SELECT canopy_summit.retry_job($failed[0])"), 't', 'a failed job is retried');
	is(settled($node, $failed[0]), 'succeeded', 'and succeeds');
	is(as_operator("SELECT canopy_summit.retry_job($failed[0])"), 'f', 'one that succeeded is not');
	is(scalar sqlstate_of($node, 'SELECT canopy_summit.retry_job(-1)'), 'P0002', 'nor one that does not exist');
	is(as_operator("SELECT canopy_summit.retry_failed(since => '$since')"), 0, 'none has failed since');
	is(as_operator(q{SELECT canopy_summit.retry_failed(server => 'other')}), 0, 'nor of another server');
	is(as_operator(q{SELECT canopy_summit.retry_failed(operation => 'get-carriers')}), 0, 'nor another operation');
	is(as_operator(q{SELECT canopy_summit.retry_failed('canopy', 'get-pull-by-id')}), 2, 'the others are retried');
	all_settled($node);
	is(jobs_by_state($node, q{params ->> 'pullId' LIKE 'retry-%'}), 'succeeded 3', 'and succeed');

	$sandbox->arm(match => { path => '/widgets', method => 'POST' }, fault => { kind => 'reset' });
	my $doubtful = enqueue($node, 'post-widgets', {}, { intro_title => 'in doubt' });
	is(settled($node, $doubtful), 'in_doubt', 'a job in doubt');
	my (@error) = sqlstate_of($node, "SET ROLE has_operator; SELECT canopy_summit.retry_job($doubtful)");
	is($error[0], '55000', 'is not retried without confirmation');
	like($error[3], qr/confirm => true/, 'the hint says how');
	is(as_operator('SELECT canopy_summit.retry_failed()'), 0, 'nor with the failed');
	is(as_operator("SELECT canopy_summit.retry_job($doubtful, true)"), 't', 'but with it');
	is(settled($node, $doubtful), 'succeeded', 'and succeeds');
	return;
}

sub pause
{
	as_operator(q{SELECT canopy_summit.pause_server('canopy', 'lunch')});
	my $job_id = enqueue($node, 'get-carriers');
	create_canopy_server($node, $sandbox, server => 'beside');
	is( settled($node, enqueue($node, 'get-carriers', {}, undef, q{server => 'beside'})), 'succeeded',
		'another server goes on');
	is(job($node, $job_id)->{state}, 'queued', 'the paused one\'s job waits');
	like(
		as_operator("SELECT canopy_summit.explain_job($job_id)"), qr/paused \(lunch\).*resume_server\('canopy'\)/,
		'explain_job() says why');
	is(as_operator(<<~'SQL'), 'lunch', 'so does server_health');
		SELECT held FROM canopy_summit.server_health WHERE server = 'canopy'
		SQL
	is(as_operator(q{SELECT canopy_summit.resume_server('canopy')}), 't', 'resumed');
	is(as_operator(q{SELECT canopy_summit.resume_server('canopy')}), 'f', 'once');
	is(settled($node, $job_id), 'succeeded', 'it is sent');
	return;
}

sub wait_for
{
	my (@error) = sqlstate_of($node, <<~'SQL');
		BEGIN; SELECT canopy_summit.wait_for_job(canopy_enqueue('get-carriers')); COMMIT
		SQL
	is($error[0] // '', '55000', 'one\'s own uncommitted job is not waited for');
	like($error[3], qr/COMMIT/, 'the hint says what to do');
	is(scalar sqlstate_of($node, 'SELECT canopy_summit.wait_for_job(-1)'), 'P0002', 'nor one that does not exist');
	my $job_id = enqueue($node, 'get-carriers', {}, undef, q{run_at => now() + interval '1 s'});
	is(as_operator("SELECT canopy_summit.wait_for_job($job_id, '10 ms')"), 'queued', 'a wait ends in time');
	is( query($node, <<~"SQL") =~ s/^\s+//r, 'succeeded',
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT FROM pg_class LIMIT 1;
		SELECT canopy_summit.wait_for_job($job_id); COMMIT
		SQL
		'or with the job, whatever the snapshot');
	my $never = enqueue($node, 'get-carriers', {}, undef, q{run_at => 'infinity'});
	is(scalar sqlstate_of($node, <<~"SQL"), '57014', 'it can be cancelled');
		SET statement_timeout = '200ms'; SELECT canopy_summit.wait_for_job($never)
		SQL
	return;
}

# A job of instance 1, as a restore brings it; its key.
sub restored_job
{
	my ($server, $owner, $more) = @_;
	my %of = (ordering_key => 'NULL', server_oid => 1, owner_oid => 1, %{ $more // {} });
	return query($node, <<~"SQL");
		INSERT INTO canopy_summit.job (job_id, server, operation, params, priority, run_at, max_attempts, owner,
			state, instance, fence, attempts,
			enqueued_at, ordering_key, server_oid, owner_oid)
		SELECT nextval('canopy_summit.job_id_seq'), '$server', 'get-carriers', '{}', 5, now(), 10, '$owner',
			'queued', 1, 0, 0,
			now(), $of{ordering_key}, $of{server_oid}, $of{owner_oid} RETURNING job_id
		SQL
}

# What a restore brings waits for arm(), and for its server and role; and is in nobody's way.
sub foreign
{
	my $user = query($node, 'SELECT current_user');
	my ($server_oid, $owner_oid) = split /\|/, query($node, <<~'SQL');
		SELECT oid, current_user::regrole::oid FROM pg_foreign_server WHERE srvname = 'canopy'
		SQL
	my ($of_role, $of_server) = (restored_job('canopy', 'not here yet'), restored_job('not here yet', $user));
	my $namesake = restored_job(
		'elsewhere', 'somebody',
		{ ordering_key => q{'k'}, server_oid => $server_oid, owner_oid => $owner_oid });
	my $own = enqueue($node, 'get-carriers', {}, undef, q{ordering_key => 'k'});

	is( settled($node, $own), 'succeeded',
		'a job waits for none of its ordering_key that another instance has, whatever its OIDs');
	query($node, <<~"SQL");
		INSERT INTO canopy_summit.server_hold (server, owner, reason, held_at, held_by, server_oid, owner_oid, instance)
		SELECT 'canopy', '', 'paused there', now(), 'x', n, 0, n FROM generate_series(1, 2) n;
		SELECT canopy_summit.wake()
		SQL
	soon_ok('a hold that two instances have left is one', sub { query($node, <<~'SQL') });
		SELECT count(*) FROM canopy_summit.server_hold WHERE instance = canopy_summit.instance()
		SQL
	query($node, q{DELETE FROM canopy_summit.server_hold; SELECT canopy_summit.wake()});
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'and the worker goes on');

	is(as_operator('SELECT canopy_summit.arm()'), 0, 'arm() adopts no job whose server or role is not there');
	like(
		as_operator("SELECT canopy_summit.explain_job($_)"), qr/its server or role is not here/,
		'which explain_job() says') for $of_role, $of_server, $namesake;
	create_canopy_server($node, $sandbox, server => '"not here yet"');
	query($node, 'CREATE ROLE "not here yet"');
	is(as_operator('SELECT canopy_summit.arm()'), 2, 'but once they are');
	is(settled($node, $of_server), 'succeeded', 'the one is sent then');
	is(settled($node, $of_role), 'failed', 'the other fails for want of a right');
	query($node, "DELETE FROM canopy_summit.job WHERE job_id IN ($of_role, $of_server, $namesake, $own)");
	return;
}

# What is finished for longer than the rules say goes, and nothing else.
sub retention
{
	my $left = q{SELECT string_agg(job_id::text, ' ' ORDER BY job_id) FROM canopy_summit.};
	my ($old, $older_answer, $new) = map { enqueue($node, 'get-carriers') } 1 .. 3;
	is(settled($node, $_), 'succeeded', 'it succeeds') for $old, $older_answer, $new;
	$sandbox->arm(match => { path => '/widgets', method => 'POST' }, fault => { kind => 'reset' });
	my $doubtful = enqueue($node, 'post-widgets', {}, { intro_title => 'kept in doubt' });
	is(settled($node, $doubtful), 'in_doubt', 'one is in doubt');
	my $waiting = enqueue($node, 'get-carriers', {}, undef, q{run_at => 'infinity'});
	my @all = ($old, $older_answer, $new, $doubtful, $waiting);
	my $of_these = ' WHERE job_id IN (' . join(', ', @all) . ')';

	query($node, "UPDATE canopy_summit.job SET finished_at = now() - interval '25 hours' WHERE job_id = $old");
	query($node, "UPDATE canopy_summit.job SET finished_at = now() - interval '23 hours' WHERE job_id = $older_answer");
	query($node, "UPDATE canopy_summit.job SET finished_at = now() - interval '1 hour' WHERE job_id = $new");
	query($node, "UPDATE canopy_summit.job SET enqueued_at = now() - interval '1 year'$of_these");
	query($node, 'SELECT canopy_summit.wake()');
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'a worker has looked');
	is(query($node, "${left}job$of_these"), "@all", 'without a rule everything stays');

	as_operator(q{INSERT INTO canopy_summit.retention_rule VALUES ('job', '24 hours'), ('job_response', '12 hours')});
	query($node, 'SELECT canopy_summit.wake()');
	soon_ok(
		'with one, an old job goes',
		sub { query($node, "SELECT count(*) FROM canopy_summit.job WHERE job_id = $old") eq '0' }, 10);
	is( query($node, "${left}job$of_these"), join(' ', @all[ 1 .. 4 ]),
		'it alone; what is not finished stays, however old');
	is(query($node, <<~"SQL"), $older_answer, 'with its attempts');
		SELECT string_agg(DISTINCT job_id::text, ' ') FROM canopy_summit.job_attempt
		WHERE job_id IN ($old, $older_answer)
		SQL
	is( query($node, "${left}job_response$of_these"), $new,
		'and with its answer, as goes one that is older than answers are kept');

	query($node, <<~'SQL');
		INSERT INTO canopy_summit.job (job_id, server, operation, params, priority, run_at, max_attempts, owner, state,
			instance, fence, attempts, enqueued_at, finished_at)
		SELECT nextval('canopy_summit.job_id_seq'), 'canopy', 'get-carriers', '{}', 5, now(), 1, 'postgres', 'failed',
			canopy_summit.instance(), 1, 1, now(), now() FROM generate_series(1, 6000)
		SQL
	my $last = enqueue($node, 'get-carriers');
	is(settled($node, $last), 'succeeded', 'one that comes after many others');
	query($node, "UPDATE canopy_summit.job SET finished_at = now() - interval '25 hours' WHERE job_id = $last");
	query($node, 'SELECT canopy_summit.wake()');
	soon_ok('goes, too', sub { query($node, "SELECT count(*) FROM canopy_summit.job WHERE job_id = $last") eq '0' });
	query($node, 'DELETE FROM canopy_summit.retention_rule');
	query($node, "DELETE FROM canopy_summit.job WHERE state = 'failed' AND fence = 1 AND first_sent_at IS NULL");
	return;
}

sub operator
{
	enqueue($node, 'patch-pull-by-id', { pullId => $pull_id }, { is_archived => JSON::PP::false });
	all_settled($node, q{run_at < 'infinity'});
	is(scalar sqlstate_of($node, "SET ROLE has_operator; $_"), '42501', "$_ is refused")
	  for 'SELECT * FROM canopy_summit.job', 'SELECT params FROM canopy_summit.job',
	  'SELECT body FROM canopy_summit.job', 'SELECT dedupe_key FROM canopy_summit.job',
	  'SELECT * FROM canopy_summit.job_response', q{SELECT canopy_enqueue('get-carriers')},
	  'UPDATE canopy_summit.job SET state = state', 'DELETE FROM canopy_summit.server_hold';
	cmp_ok(as_operator('SELECT count(*) FROM canopy_summit.job_status'), '>', 5, 'an operator sees jobs');
	cmp_ok(as_operator('SELECT count(*) FROM canopy_summit.job_attempt'), '>', 5, 'and attempts');
	cmp_ok(as_operator('SELECT sum(jobs) FROM canopy_summit.job_stats'), '>', 5, 'and counts');
	is(as_operator(<<~'SQL'), '1|t', 'and workers');
		SELECT count(*), bool_and(in_flight = 0 AND settled > 5 AND sent > 5) FROM canopy_summit.worker_status
		SQL
	is(as_operator(<<~'SQL'), 't', 'and servers');
		SELECT sent > 5 AND succeeded > 5 AND failed = 4 AND in_doubt = 2 AND array_length(latency_ms, 1) = 18
		FROM canopy_summit.server_health WHERE server = 'canopy'
		SQL
	is(as_operator(<<~'SQL'), 't', 'whose histogram holds every answer');
		SELECT (SELECT sum(n) FROM unnest(latency_ms) n) = sent FROM canopy_summit.server_health
		WHERE server = 'canopy'
		SQL
	is(as_operator(<<~'SQL') >= 1, 1, 'that of a second in its place');
		SELECT sum(n) FROM canopy_summit.server_health, unnest(latency_ms) WITH ORDINALITY AS l(n, place)
		WHERE server = 'canopy' AND place >= 11
		SQL
	unlike(
		as_operator(
			join ';',
			map { "SELECT * FROM canopy_summit.$_" }
			  qw(job_status job_attempt job_stats worker_status server_health server_hold)),
		qr/\Q$pull_id\E|retry-\d/,
		'nowhere what was sent');
	query($node, q{SET ROLE has_operator; INSERT INTO canopy_summit.retention_rule VALUES ('job', '1 day')});
	is(as_operator('SELECT keep FROM canopy_summit.retention_rule'), '1 day', 'an operator sets retention');
	return;
}

# Has a job of an operation answered with these headers, and a status; what server_health says then.
sub after_answer
{
	my ($operation, $headers, $status) = @_;
	my ($document) = grep { $_->{mime_type} eq 'application/pdf' } @{ $sandbox->pull($pull_id)->{documents} };
	my %request = (
		'get-carriers' => ['/carriers'],
		'get-health' => ['/health'],
		'download-document-by-id' => [ '/documents/', { pullId => $pull_id, documentId => $document->{document_id} } ]);
	my ($path, $params) = @{ $request{$operation} };
	my $health = q{canopy_summit.server_health WHERE server = 'warned'};
	my $sent = query($node, "SELECT coalesce(max(sent), 0) FROM $health");

	$sandbox->arm(
		match => { path => $path, listener => 'api' },
		fault => { kind => 'garble', headers => $headers, status => $status // 200 });
	enqueue($node, $operation, $params, undef, q{server => 'warned'});
	wait_until('it is counted', sub { query($node, "SELECT max(sent) FROM $health") eq $sent + 1 });
	return as_operator(<<~"SQL");
		SELECT extract(epoch FROM deprecated_at)::bigint, extract(epoch FROM sunset_at)::bigint, deprecated_operation
		FROM $health
		SQL
}

sub deprecation
{
	my $until = 'Sun, 30 Jun 2024 23:59:59 GMT';
	my %both = (Deprecation => '@1688169599', Sunset => $until);
	my $of_carriers = '1688169599|1719791999|get-carriers';

	create_canopy_server($node, $sandbox, server => 'warned', options => { download_hosts => 'localhost' });
	is(after_answer('get-carriers', {}), '||', 'an answer that says neither');
	is(after_answer('get-carriers', \%both), $of_carriers, 'one that says both');
	is(after_answer('get-health', {}), $of_carriers, 'another operation does not take it back');
	is(after_answer('get-health', { Deprecation => 'true' }), $of_carriers, 'nor by what is no date');
	is(after_answer('get-carriers', {}, 404), $of_carriers, 'nor does an error of its own');
	is(after_answer('get-carriers', {}, 302), $of_carriers, 'nor where a proxy leads');
	is(after_answer('get-carriers', {}), '||', 'its next answer does');
	is( after_answer('get-carriers', { Sunset => $until }, 410), '|1719791999|get-carriers',
		'an error may say that it has ended');
	is(after_answer('get-health', { Deprecation => '@1688169599' }), '1688169599||get-health', 'the last one is shown');
	is(after_answer('get-carriers', {}), '1688169599||get-health', 'whatever becomes of those before');

	is(after_answer('get-carriers', { Deprecation => $_ }), '1688169599||get-carriers', "a date: $_")
	  for 'Fri, 30 Jun 2023 23:59:59 GMT', 'Friday, 30-Jun-23 23:59:59 GMT', 'Fri Jun 30 23:59:59 2023',
	  '@1688169599;by="x"';
	is( after_answer('get-carriers', { Deprecation => '@253402300799' }), '253402300799||get-carriers',
		'the last second of an HTTP date');
	for my $garbage (
		'true', '?1', '', '@', '@true', '@0', '@-1688169599', '@+1688169599', '@ 1688169599', '@1688169599.5',
		'@1688169599 1', '@253402300800', '@9223372036854775807', '@' . '9' x 40, '1688169599',
		'Thu, 01 Jan 1969 00:00:00 GMT', 'Fri, 30 Jun 99999 23:59:59 GMT', 'Fri, 99 Jun 2023 23:59:59 GMT')
	{
		is(after_answer('get-carriers', { Deprecation => $garbage, Sunset => $garbage }), '||', "no date: '$garbage'");
	}

	$sandbox->arm(match => { listener => 'download' }, fault => { kind => 'garble', headers => \%both });
	is(after_answer('download-document-by-id', {}, 302), '||', 'what the host of a file says is not the API\'s');
	$sandbox->arm(match => { listener => 'download' }, fault => { kind => 'garble' });
	is( after_answer('download-document-by-id', \%both, 302), $of_carriers =~ s/get-carriers/download-document-by-id/r,
		'what leads there is');
	is(scalar(grep { $_->{left} } $sandbox->faults), 0, 'every answer was the one it was to be');
	is( query($node, q{SELECT deprecated_operation FROM canopy_summit.server_health WHERE server = 'canopy'}),
		'', 'no other server has said any');
	return;
}
