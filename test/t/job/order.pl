# In which order, how many at once and how fast are jobs sent, and whom does a slow or broken one delay?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_worker_node(conf => "max_connections = 60\n");
my $template = $sandbox->pull($sandbox->pull_id('user_good_home'));

create_canopy_server($node, $sandbox);
$sandbox->put_pull($_, { %$template, pull_id => $_ }) for qw(plain slow);

subtest 'priority and run_at' => \&priority;
subtest 'ordering_key' => \&ordering;
subtest 'concurrent enqueuers of one key' => \&concurrent;
subtest 'ordering keys of another role' => \&neighbours;
subtest 'many ordering keys' => \&many_keys;
subtest 'dedupe_key' => \&dedupe;
subtest 'many dedupe keys' => \&many_dedupe_keys;
subtest 'limits' => \&limits;
subtest 'a stream of higher priority' => \&stream;
subtest 'a straggler and a poison job' => \&straggler;
subtest 'rows that were locked' => \&locked;
subtest 'answers that wait for a lock' => \&waiting;
subtest 'answers that come faster than they are stored' => sub { faster(40, 100) };
subtest 'and those of one server' => sub { faster(100, 40) };
subtest 'enqueued as the worker looks for the last time' => \&last_look;
subtest 'enqueued as the worker leaves' => \&leaving;
done_testing();

# A server that sends one after the other; the pulls that were fetched from it, in order.
sub single_server
{
	my ($name, %options) = @_;
	create_canopy_server($node, $sandbox, server => $name, options => { max_connections => 1, %options });
	return;
}

sub fetched
{
	my ($pattern) = @_;
	return map { $_->{path} =~ m{/pulls/([^/?]+)} ? $1 : () } requests($sandbox, $pattern, 'path');
}

sub priority
{
	single_server('single');
	query($node, q{SELECT canopy_summit.pause_server('single')});
	my @wanted;
	for my $priority (qw(9 5 0 7 3))
	{
		enqueue(
			$node, 'get-pull-by-id', { pullId => "p$priority-$_" }, undef,
			"server => 'single', priority => $priority") for 1 .. 3;
	}
	my $early = enqueue($node, 'get-pull-by-id', { pullId => 'p5-early' }, undef, q{server => 'single'});
	my @past = map { enqueue($node, 'get-pull-by-id', { pullId => 'past' }, undef, "server => 'single', run_at => $_") }
	  q{now() - interval '1 hour'}, q{'-infinity'};
	is( query(
			$node,
			'SELECT count(*) FROM canopy_summit.job WHERE run_at = enqueued_at AND job_id IN ('
			  . join(', ', @past) . ')'),
		2,
		'nobody gets before others by naming a time that is past');
	my $job_id = enqueue(
		$node, 'get-pull-by-id', { pullId => 'later' }, undef,
		q{server => 'single', priority => 0, run_at => now() + interval '1 s'});
	# As if they had just been enqueued: what has waited for ten seconds gets a turn before its priority's.
	query($node, <<~"SQL");
		UPDATE canopy_summit.job
		SET run_at = now() - CASE job_id WHEN $early THEN interval '2 ms' ELSE interval '1 ms' END
		WHERE server = 'single' AND job_id <> $job_id; SELECT canopy_summit.resume_server('single')
		SQL
	all_settled($node, q{server = 'single'});
	@wanted = map {
		my $p = $_;
		($p == 5 ? 'p5-early' : (), map { "p$p-$_" } 1 .. 3)
	} qw(0 3 5 7 9);
	is_deeply([ grep { $_ ne 'later' } fetched('pulls/(p\d|later)') ], \@wanted, 'by priority, then run_at, then key');
	is( query($node, <<~"SQL"),
		SELECT a.started_at >= j.enqueued_at + interval '1 s'
		FROM canopy_summit.job j JOIN canopy_summit.job_attempt a USING (job_id) WHERE job_id = $job_id
		SQL
		't', 'run_at is kept');
	return;
}

sub ordering
{
	$sandbox->arm(match => { path => '/pulls/o-1-' }, times => 2, fault => { kind => 'status', status => 500 });
	$sandbox->arm(match => { path => '/widgets', body => 'holds the key' }, fault => { kind => 'reset' });
	query($node, <<~'SQL');
		SELECT canopy_enqueue('get-pull-by-id', jsonb_build_object('pullId', 'o-' || n % 3 || '-' || n),
			ordering_key => 'key ' || n % 3)
		FROM generate_series(1, 60) n
		SQL
	query($node, <<~'SQL');
		SELECT canopy_enqueue('post-widgets', '{}', '{"intro_title": "holds the key"}', ordering_key => 'held');
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "behind"}', ordering_key => 'held')
		SQL
	all_settled($node, q{ordering_key LIKE 'key %'});
	for my $key (0 .. 2)
	{
		my %seen;
		my @order = grep { !$seen{$_}++ } fetched("pulls/o-$key-");
		is_deeply(
			\@order, [ map { "o-$key-$_" } grep { $_ % 3 == $key } 1 .. 60 ],
			"key $key: one after the other, also behind one that is tried again or fails");
	}
	is( query($node, <<~'SQL'),
		SELECT count(*)
		FROM (SELECT started_at, lag(started_at + total_us * interval '1 us')
			OVER (PARTITION BY ordering_key ORDER BY started_at) AS ended
			FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id) WHERE ordering_key LIKE 'key %') a
		WHERE started_at < ended
		SQL
		0, 'never two of a key at once');

	my ($doubtful, $behind) = split /\n/, query($node, <<~'SQL');
		SELECT job_id FROM canopy_summit.job WHERE ordering_key = 'held' ORDER BY 1
		SQL
	is(settled($node, $doubtful), 'in_doubt', 'one in doubt');
	query($node, 'SELECT canopy_summit.wake()');
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'while others go on');
	is(job($node, $behind)->{state}, 'queued', 'holds its key');
	like(
		query($node, "SELECT canopy_summit.explain_job($behind)"), qr/job $doubtful of its ordering_key comes first/,
		'explain_job() says so');
	query($node, "SELECT canopy_summit.retry_job($doubtful, confirm => true)");
	like(settled($node, $behind), qr/failed|succeeded/, 'until it has ended');
	return;
}

# Keys are in the order of commits, so that what committed first is sent first.
sub concurrent
{
	my ($clients, $each) = (8, scaled(200));
	my $file = PostgreSQL::Test::Utils::tempdir('pgbench') . '/script';

	single_server('many', max_connections => 8);
	query($node, <<~'SQL');
		CREATE TABLE committed (number bigserial, job_id bigint); SELECT canopy_summit.pause_server('many')
		SQL
	append_to_file($file, <<~'SQL');
		BEGIN;
		INSERT INTO committed (job_id)
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "c"}', server => 'many', ordering_key => 'one key')
		RETURNING pg_sleep(random() * 0.003);
		COMMIT;
		SQL
	command_ok(
		[   'pgbench', '--no-vacuum', '--client', $clients, '--jobs', 2, '--transactions', $each,
			"--random-seed=$seed", '--file', $file, $node->connstr('postgres') ],
		'enqueuers');
	query($node, q{SELECT canopy_summit.resume_server('many')});
	all_settled($node, q{server = 'many'});
	is( query($node, <<~'SQL'),
		SELECT count(*) FROM (SELECT job_id, lag(job_id) OVER (ORDER BY started_at) AS earlier
			FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id) WHERE ordering_key = 'one key') a
		WHERE job_id < earlier
		SQL
		0,
		'sent in the order of their keys');

	# A later enqueuer waits for the commit of an earlier one, so that it cannot overtake.
	my $first = open_session($node);
	$first->query_safe(<<~'SQL');
		BEGIN; SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "first"}', ordering_key => 'race')
		SQL
	my $second = open_session($node);
	$second->query_until(
		qr/started/,
		qq{\\echo started\nSELECT canopy_enqueue('get-pull-by-id', '{"pullId": "second"}', ordering_key => 'race');\n});
	wait_until('the second waits', sub { query($node, <<~'SQL') });
		SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
		SQL
	$first->query_safe('COMMIT');
	$first->quit;
	$second->quit;
	all_settled($node, q{ordering_key = 'race'});
	is_deeply([ fetched('pulls/(first|second)') ], [qw(first second)], 'and in the order of commits');
	return;
}

# A key is one of its server and owner.
sub neighbours
{
	my $enqueue = sub { my ($key, $more) = @_; return <<~"SQL" };
		SELECT count(canopy_enqueue('get-carriers', ordering_key => $key$more))
		SQL
	query($node, <<~'SQL');
		CREATE ROLE neighbour;
		SELECT canopy_summit.grant_access('neighbour', 'fetcher');
		GRANT USAGE ON FOREIGN SERVER canopy TO neighbour;
		CREATE USER MAPPING FOR neighbour SERVER canopy OPTIONS (client_id 'x', client_secret 'y')
		SQL
	query($node, 'SET ROLE neighbour; ' . $enqueue->(q{'shared'}, q{, run_at => 'infinity'}));
	my $mine = query($node, q{SELECT canopy_enqueue('get-carriers', ordering_key => 'shared')});
	is(settled($node, $mine), 'succeeded', 'one that is never due holds up nobody else');
	unlike(query($node, "SELECT canopy_summit.explain_job($mine)"), qr/ordering_key/, 'nor does explain_job() say so');

	my $session = open_session($node);
	$session->query_safe('SET ROLE neighbour; BEGIN; '
		  . $enqueue->('n::text', q{, run_at => 'infinity'})
		  . ' FROM generate_series(1, 9000) AS n');
	my $locks = query($node, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid NOT IN (1, 2)});
	cmp_ok($locks, '<', 200, "9,000 keys in one transaction take $locks locks");
	is( query($node, q{SET lock_timeout = '60s'; } . $enqueue->('n::text', '') . ' FROM generate_series(1, 2000) AS n'),
		2000, 'and nobody else waits for them');
	$session->query_safe('ROLLBACK');
	$session->quit;
	all_settled($node, q{run_at < 'infinity'});
	query($node, q{DELETE FROM canopy_summit.job WHERE owner = 'neighbour'});
	return;
}

# However many keys a transaction has, others of its role come before or after it in all of them.
sub many_keys
{
	my $most = 150; # it locks a hundred keys as such
	my $begin = sub {
		my ($sql) = @_;
		my $session = open_session($node);
		$session->query_until(qr/started/, "\\echo started\nBEGIN;\n$sql;\n");
		return $session;
	};
	my $enqueue = sub { my ($key) = @_; return "SELECT canopy_enqueue('get-carriers', ordering_key => '$key')" };
	my $waiting = sub {
		my ($count) = @_;
		wait_until("$count wait", sub { query($node, <<~'SQL') == $count });
			SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
			SQL
	};

	my $early = $begin->($enqueue->('early'));
	wait_until('it has enqueued', sub { query($node, <<~'SQL') });
		SELECT count(*) FROM pg_locks
		WHERE locktype = 'advisory' AND objsubid NOT IN (1, 2)
			AND pid IN (SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction')
		SQL
	my $bulk = $begin->(<<~"SQL" . $enqueue->('early'));
		SELECT count(canopy_enqueue('get-carriers', ordering_key => 'many ' || n)) FROM generate_series(1, $most) AS n;
		SQL
	$waiting->(1);
	my @late = map { my $session = $begin->($enqueue->($_)); $session } 'many 1', "many $most", 'many 0';
	$waiting->(4);
	my $other = $begin->("SELECT canopy_enqueue('get-carriers', server => 'single', ordering_key => 'many 1')");
	$other->query_safe('COMMIT');
	for ($early, $bulk, @late)
	{
		$_->query_safe('COMMIT');
	}
	$_->quit for $early, $bulk, @late, $other;
	is( query($node, <<~'SQL'),
		SELECT string_agg(n::text, ' ' ORDER BY ordering_key)
		FROM (SELECT ordering_key, count(*) AS n FROM canopy_summit.job
			WHERE ordering_key IN ('early', 'many 0', 'many 1', 'many 150') GROUP BY 1) AS k
		SQL
		'2 1 3 2', 'all are enqueued');
	all_settled($node);
	return;
}

# What a claim costs must not depend on how many others wait; its statements were planned when there were few.
sub many_dedupe_keys
{
	my $most = 600;
	my $run = sub { my ($sql) = @_; return query($node, $sql, 'keys') };
	my $enqueue = sub {
		my ($from, $to) = @_;
		return $run->(<<~"SQL");
			SELECT count(canopy_enqueue('get-pull-by-id', '{"pullId": "plain"}', dedupe_key => 'key ' || n))
			FROM generate_series($from, $to) AS n
			SQL
	};
	my $read = sub {
		return split /\|/, $run->(<<~'SQL');
			SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'job_dedupe'
			SQL
	};
	query($node, 'CREATE DATABASE keys');
	create_canopy_server($node, $sandbox, database => 'keys', options => { max_connections => 1 });
	$enqueue->(1, 2);
	all_settled($node, 'true', undef, 'keys');
	$run->(q{SELECT canopy_summit.pause_server('canopy')});
	$enqueue->(1, $most);
	my ($scans, $entries) = $read->();
	$run->(q{SELECT canopy_summit.resume_server('canopy')});
	all_settled($node, 'true', undef, 'keys');
	is($run->(q{SELECT count(*) FROM canopy_summit.job WHERE state = 'succeeded'}), $most + 2, 'all are sent');
	wait_until('the worker has told what it read', sub { ($read->())[0] >= $scans + $most });
	cmp_ok(($read->())[1] - $entries, '<', 20 * $most, 'each claim looks up its own key');
	return;
}

sub dedupe
{
	single_server('dedupe');
	query($node, q{SELECT canopy_summit.pause_server('dedupe')});
	query($node, <<~'SQL');
		SELECT canopy_enqueue('get-pull-by-id', jsonb_build_object('pullId', 'd-' || n % 3), server => 'dedupe',
			dedupe_key => 'd' || n % 3)
		FROM generate_series(1, 30) n
		SQL
	query($node, <<~'SQL');
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "slow"}', server => 'dedupe', dedupe_key => 'running')
		SQL
	query($node, q{SELECT canopy_summit.resume_server('dedupe')});
	all_settled($node, q{server = 'dedupe'});
	is_deeply([ sort(fetched('pulls/d-')) ], [qw(d-0 d-1 d-2)], 'of each key one is sent');
	is(query($node, <<~'SQL'), 27, 'the others are cancelled as duplicates');
		SELECT count(*) FROM canopy_summit.job
		WHERE server = 'dedupe' AND state = 'cancelled' AND outcome_code = 'duplicate'
		SQL
	my $fault = $sandbox->hold(match => { path => '/pulls/slow' }, times => 1);
	my $running = query($node, <<~'SQL');
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "slow"}', server => 'canopy', dedupe_key => 'running')
		SQL
	wait_until('it runs', sub { $sandbox->waiting($fault) });
	my $next = query($node, <<~'SQL');
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "slow"}', server => 'canopy', dedupe_key => 'running')
		SQL
	is(settled($node, $next), 'succeeded', 'one that runs already does not count');
	is(job($node, $running)->{state}, 'running', 'and still runs then');
	$sandbox->clear($fault);

	# A role must not be able to have another's jobs cancelled.
	query($node, <<~'SQL');
		CREATE ROLE broke;
		SELECT canopy_summit.grant_access('broke', 'fetcher');
		GRANT USAGE ON FOREIGN SERVER canopy TO broke;
		SELECT canopy_summit.pause_server('canopy')
		SQL
	query($node, q{CREATE USER MAPPING FOR broke SERVER canopy OPTIONS (client_id 'x', client_secret 'y')});
	query($node, <<~'SQL');
		SET ROLE broke;
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "plain"}', priority => 0, dedupe_key => 'fetch plain')
		SQL
	query($node, q{DROP USER MAPPING FOR broke SERVER canopy});
	my $mine = query($node, q{SELECT canopy_enqueue_fetch('plain')});
	query($node, q{SELECT canopy_summit.resume_server('canopy')});
	is(settled($node, $mine), 'succeeded', 'another role\'s job with the same key cancels none of mine');
	return;
}

sub limits
{
	my ($most, $rate) = (3, 20);
	create_canopy_server($node, $sandbox, server => 'narrow', options => { max_connections => $most });
	my $fault = $sandbox->hold(match => { path => '/pulls/narrow' });
	query($node, <<~'SQL');
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "narrow"}', server => 'narrow')
		FROM generate_series(1, 60)
		SQL
	wait_until('as many requests as max_connections says are on the wire', sub { $sandbox->waiting($fault) >= $most });
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'the worker goes on');
	is($sandbox->waiting($fault), $most, 'and sends no more than that');
	# The rest one by one, so that any that is too much is seen.
	for (1 .. 20)
	{
		$sandbox->release($fault, 1);
		wait_until('the next comes', sub { $sandbox->waiting($fault) >= $most });
	}
	$sandbox->clear($fault);
	all_settled($node, q{server = 'narrow'});
	is( query($node, <<~"SQL"),
		SELECT max(c) <= $most
		FROM (SELECT (SELECT count(*) FROM canopy_summit.job_attempt b JOIN canopy_summit.job k USING (job_id)
			WHERE k.server = 'narrow'
			AND b.started_at <= a.started_at AND b.started_at + b.total_us * interval '1 us' > a.started_at) AS c
			FROM canopy_summit.job_attempt a JOIN canopy_summit.job j USING (job_id) WHERE j.server = 'narrow') x
		SQL
		't', 'by the attempts as well');

	create_canopy_server($node, $sandbox, server => 'slowly', options => { requests_per_second => $rate });
	query($node, <<~'SQL');
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "slowly"}', server => 'slowly')
		FROM generate_series(1, 50)
		SQL
	all_settled($node, q{server = 'slowly'});
	my ($span, $burst) = split /\|/, query($node, <<~'SQL');
		SELECT extract(epoch FROM max(started_at) - min(started_at)), max(n) FROM (
			SELECT started_at, count(*)
				OVER (ORDER BY started_at RANGE BETWEEN CURRENT ROW AND interval '1 s' FOLLOWING) AS n
			FROM canopy_summit.job_attempt JOIN canopy_summit.job USING (job_id) WHERE server = 'slowly') x
		SQL
	cmp_ok($burst, '<=', $rate * 1.15 + 1, "requests_per_second is kept: at most $burst in a second");
	cmp_ok($span, '<', SOON, 'and used');
	return;
}

# More of priorities 0 and 9 than the server takes, all the time: what has waited for 10 s between them gets a turn.
sub stream
{
	single_server('stream', max_connections => 2);
	$sandbox->arm(
		match => { path => '/pulls/(urgent|patient)' }, times => undef,
		fault => { kind => 'stall', at => 'before_headers', seconds => 0.05 });
	$sandbox->put_pull($_, { %$template, pull_id => $_ }) for qw(urgent patient);
	my $urgent = <<~'SQL';
		SELECT count(canopy_enqueue('get-pull-by-id', '{"pullId": "urgent"}', server => 'stream', priority => %d))
		FROM generate_series(1, %d)
		SQL
	query($node, q{SELECT canopy_summit.pause_server('stream')});
	query($node, sprintf $urgent, $_, 4000) for 9, 0;
	query(
		$node,
		"UPDATE canopy_summit.job SET run_at = run_at - interval '1 min' WHERE priority = 9 AND server = 'stream'");
	# As if it had been enqueued 9 s ago.
	my $patient =
	  enqueue($node, 'get-pull-by-id', { pullId => 'patient' }, undef, q{server => 'stream', priority => 5});
	query($node, "UPDATE canopy_summit.job SET run_at = run_at - interval '9 s' WHERE job_id = $patient");
	query($node, q{SELECT canopy_summit.resume_server('stream')});
	my $left;
	wait_until(
		'it has its turn',
		sub {
			$left = query($node, <<~'SQL');
				SELECT count(*) FROM canopy_summit.job WHERE server = 'stream' AND priority = 0 AND state = 'queued'
				SQL
			query($node, sprintf $urgent, 0, 2000) if $left < 2000;
			return job($node, $patient)->{state} !~ /queued|running/;
		});
	my $seconds = query($node, <<~"SQL") || 1000;
		SELECT extract(epoch FROM started_at - run_at)
		FROM canopy_summit.job JOIN canopy_summit.job_attempt USING (job_id) WHERE job_id = $patient
		SQL
	cmp_ok($seconds, '>=', 9.9, "it gives way ($seconds s)");
	cmp_ok($seconds, '<', 10 + SOON, 'but not for ever');
	cmp_ok($left, '>', 50, "while $left of higher priority wait");
	query($node, <<~'SQL');
		SELECT canopy_summit.pause_server('stream');
		UPDATE canopy_summit.job SET state = 'cancelled' WHERE server = 'stream' AND state = 'queued'
		SQL
	$sandbox->clear;
	return;
}

# One request stalls, one answer is too deep: all others end first, and no transaction is open meanwhile.
sub straggler
{
	my $count = scaled(10_000);
	$sandbox->clear;
	$sandbox->put_pull(
		'poison',
		'{"success": true, "pull": {"pull_id": "poison", "x": ' . '[' x 2000 . ']' x 2000 . '}}');
	$sandbox->hold(match => { path => '/pulls/slow' });
	create_canopy_server($node, $sandbox, server => 'busy', options => { max_connections => 20 });
	query($node, <<~"SQL");
		INSERT INTO canopy_summit.job (server, operation, params)
		SELECT 'busy', 'get-pull-by-id',
			jsonb_build_object('pullId', CASE n WHEN 5 THEN 'slow' WHEN 7 THEN 'poison' ELSE 'plain' END)
		FROM generate_series(1, $count) n
		SQL
	wait_until('all but the straggler have ended', sub { query($node, <<~'SQL') == 1 });
		SELECT count(*) FROM canopy_summit.job WHERE server = 'busy' AND state IN ('queued', 'running')
		SQL
	soon_ok('no transaction is open meanwhile', sub { query($node, <<~'SQL') eq 't' });
		SELECT bool_and(xact_start IS NULL) FROM pg_stat_activity WHERE backend_type = 'canopy_summit worker'
		SQL
	is( jobs_by_state($node, q{server = 'busy' AND params ->> 'pullId' = 'slow'}), 'running 1',
		'the straggler is still on its way');
	is( jobs_by_state($node, q{server = 'busy' AND params ->> 'pullId' = 'poison'}), 'failed 1',
		'the poison has failed');
	is( jobs_by_state($node, q{server = 'busy' AND params ->> 'pullId' = 'plain'}), 'succeeded ' . ($count - 2),
		'all others have succeeded');
	$sandbox->clear;
	return;
}

# A job whose row somebody else had locked when it was due is sent once it is free.
sub locked
{
	my $epoch = q{SELECT last_value FROM canopy_summit.epoch_seq};
	# Where there may be several, workers look every lease_margin for what others have left, and not once a minute.
	query($node, <<~'SQL');
		ALTER SYSTEM SET canopy_summit.worker_idle_timeout = '100ms';
		ALTER SYSTEM SET canopy_summit.workers = 2;
		ALTER SYSTEM SET canopy_summit.lease_margin = '1s';
		SELECT pg_reload_conf();
		SELECT canopy_summit.pause_server('canopy')
		SQL
	my $job_id = enqueue($node, 'get-carriers');
	my $session = open_session($node);
	$session->query_safe("BEGIN; SELECT canopy_summit.cancel_job($job_id)");
	query($node, q{SELECT canopy_summit.resume_server('canopy')});
	my $before = query($node, $epoch);
	# Two that were on their way here, and two that resume_server() has brought, come in any case.
	soon_ok('workers find it locked, go, and come again by themselves', sub { query($node, $epoch) >= $before + 5 });
	is(job($node, $job_id)->{state}, 'queued', 'it waits meanwhile');
	$session->query_safe('ROLLBACK');
	$session->quit;
	is(settled($node, $job_id), 'succeeded', 'a job whose cancelling was rolled back is sent');
	query($node, <<~'SQL');
		ALTER SYSTEM RESET canopy_summit.workers;
		ALTER SYSTEM RESET canopy_summit.lease_margin;
		SELECT pg_reload_conf()
		SQL
	return;
}

# Whoever locks what answers change holds up nothing else, and costs no answer.
sub waiting
{
	my @held = map { "held-$_" } 1 .. 20;
	my $fetches = q{server = 'canopy' AND params ->> 'pullId' LIKE 'held-%'};
	query($node, q{ALTER SYSTEM RESET canopy_summit.worker_idle_timeout; SELECT pg_reload_conf()});
	$sandbox->put_pull($_, { %$template, pull_id => $_ }) for @held;
	my $session = open_session($node);
	$session->query_safe(<<~"SQL");
		BEGIN;
		SELECT count(canopy_store_pull(jsonb_build_object('pull_id', id)))
		FROM unnest('{@{[ join ',', @held ]}}'::text[]) AS id
		SQL
	query($node, "SELECT canopy_enqueue_fetch(VARIADIC '{@{[ join ',', @held ]}}')");
	others_go_on('pulls being stored');
	is(jobs_by_state($node, $fetches), 'running 20', 'their fetches wait');

	# More than may wait at once.
	query($node, <<~'SQL');
		SELECT count(canopy_enqueue('get-pull-by-id', '{"pullId": "held-1"}')) FROM generate_series(1, 200)
		SQL
	wait_until('many wait', sub { query($node, <<~"SQL") >= 64 });
		SELECT count(*) FROM canopy_summit.job WHERE state = 'running' AND $fetches
		SQL
	others_go_on('and more fetches');
	cmp_ok(query($node, <<~"SQL"), '<', 150, 'a bounded number of answers is kept');
		SELECT count(*) FROM canopy_summit.job WHERE state = 'running' AND $fetches
		SQL
	sleep 240 if scaled(2) > 1; # make torture: longer than answers were tried before they were given up
	is(jobs_by_state($node, "$fetches AND state NOT IN ('queued', 'running')"), 'none', 'none is given up');
	$session->query_safe('ROLLBACK');
	all_settled($node, $fetches);
	is(jobs_by_state($node, $fetches), 'succeeded 220', 'all are stored afterwards');
	is(query($node, "SELECT max(fence) FROM canopy_summit.job WHERE $fetches"), 1, 'by one request each');

	$session->query_safe('BEGIN; SELECT canopy_remap()');
	my $fetch = query($node, q{SELECT canopy_enqueue_fetch('held-1')});
	others_go_on('canopy_remap()');
	is(settled($node, $fetch), 'succeeded', 'nor does a fetch wait for it');
	$session->query_safe('ROLLBACK');

	# The row of the job itself, on which an operator gets no lock while the job is on its way.
	my $fault = $sandbox->hold(match => { path => '/pulls/held-2' }, times => 1);
	$fetch = query($node, q{SELECT canopy_enqueue_fetch('held-2')});
	wait_until('it runs', sub { $sandbox->waiting($fault) });
	is($session->query_safe("BEGIN; SELECT canopy_summit.retry_job($fetch)"), 'f', 'a job on its way is not retried');
	is(query($node, <<~"SQL"), 1, 'nor locked');
		SELECT count(*) FROM (SELECT FROM canopy_summit.job WHERE job_id = $fetch FOR UPDATE NOWAIT) AS j
		SQL
	$session->query_safe("SELECT FROM canopy_summit.job WHERE job_id = $fetch FOR UPDATE");
	$sandbox->clear($fault);
	others_go_on('the row of a job');
	$session->query_safe('ROLLBACK');
	is(settled($node, $fetch), 'succeeded', 'which then is settled');
	$session->quit;
	return;
}

# Twenty jobs, one after the other: each would have to wait for whatever the worker waits for.
sub others_go_on
{
	my ($what) = @_;
	my $start = time;
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', "$what: another job is sent") || last for 1 .. 20;
	cmp_ok(time - $start, '<', 60, sprintf '%s: twenty others took %.1f s', $what, time - $start);
	return;
}

# What has come and is not stored takes places of what could be sent: it would fill the memory, and outlive its claim.
# It takes its own server's places first, so that others' have some, too.
sub faster
{
	my ($places, $connections) = @_;
	my ($most, $count) = (40, 120);
	my $wide = "wide$connections";
	my $fetches = "server = '$wide'";
	my @pulls = map { "fast-$_" } 1 .. $count;
	create_canopy_server($node, $sandbox, server => $wide, options => { max_connections => $connections });
	$sandbox->put_pull($_, { pull_id => $_, status => 'SUCCESS' }) for @pulls;
	# Each store says how many are claimed, those of its own transaction too, and goes on once it may.
	query($node, <<~"SQL");
		ALTER SYSTEM SET canopy_summit.max_in_flight = $places;
		SELECT pg_reload_conf();
		CREATE TABLE claimed (number integer);
		CREATE FUNCTION note_claimed() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			INSERT INTO public.claimed SELECT count(*) FROM canopy_summit.job
			WHERE $fetches AND (state = 'running' OR xmin = pg_current_xact_id()::xid);
			WHILE NOT pg_try_advisory_xact_lock_shared(1) LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
			RETURN NULL;
		END \$\$;
		CREATE TRIGGER note_claimed AFTER INSERT ON canopy_summit.pull_version
			FOR EACH ROW EXECUTE FUNCTION note_claimed()
		SQL
	my $session = open_session($node);
	my $waits =
	  q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type ~ 'canopy_summit')};
	$session->query_safe('SELECT pg_advisory_lock(1)');
	my $fault = $sandbox->hold(match => { path => '/pulls/fast-' }, times => $count);
	query($node, <<~"SQL");
		SELECT count(canopy_enqueue('get-pull-by-id', jsonb_build_object('pullId', 'fast-' || n), server => '$wide'))
		FROM generate_series(1, $count) n
		SQL
	wait_until('as many as may be are on the wire', sub { $sandbox->waiting($fault) == $most });
	$sandbox->release($fault, 1);
	wait_until('one is being stored', sub { query($node, $waits) eq 't' });
	$sandbox->clear($fault);
	$session->query_safe('SELECT pg_advisory_unlock(1)');
	all_settled($node, $fetches);
	is(jobs_by_state($node, $fetches), "succeeded $count", 'all are stored');
	is( query($node, "SELECT count(*), max(number) <= $most FROM claimed"),
		"$count|t", 'never were more claimed than may be on the wire');
	query($node, <<~'SQL');
		DROP TABLE claimed;
		DROP FUNCTION note_claimed CASCADE;
		ALTER SYSTEM RESET canopy_summit.max_in_flight;
		SELECT pg_reload_conf()
		SQL
	$session->quit;
	return;
}

# What is enqueued while a worker looks for the last time whether it may leave is sent.
sub last_look
{
	my $session = open_session($node);
	my $waits = <<~'SQL';
		SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'canopy_summit worker'
		AND query = 'looking for what is left behind' AND wait_event_type = 'Lock'
		SQL
	my $job_id;

	query($node, q{ALTER SYSTEM SET canopy_summit.worker_idle_timeout = '1s'; SELECT pg_reload_conf()});
	# Who looks waits for the lock on the table for a second at most: whoever has given up is no case.
	wait_until(
		'a worker hears of a job amid its last look',
		sub {
			is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'a worker is there');
			$session->query_safe('BEGIN; LOCK canopy_summit.job');
			wait_until('it looks, or has left', sub { query($node, $waits) || !worker_pids($node) });
			$job_id = $session->query_safe(q{SELECT canopy_enqueue('get-carriers')});
			my $is_case = query($node, $waits);
			$session->query_safe('COMMIT');
			return $is_case;
		});
	soon_ok('it does not leave', sub { job($node, $job_id)->{state} eq 'succeeded' });
	$session->quit;
	return;
}

# However near to the end of a worker's patience a job is enqueued, it is sent: in some databases at a time.
sub leaving
{
	my @databases = qw(postgres leaving leaving_too);
	my $rounds = scaled(1000);
	my ($lost, $begun) = (0, 0);
	my $state = 'SELECT state FROM canopy_summit.job WHERE job_id';
	my @places;
	query($node, <<~'SQL');
		CREATE DATABASE leaving;
		ALTER SYSTEM SET canopy_summit.worker_idle_timeout = '100ms';
		SELECT pg_reload_conf()
		SQL
	create_canopy_server($node, $sandbox, database => 'leaving');
	query($node, 'CREATE DATABASE leaving_too TEMPLATE leaving');
	for my $database (@databases)
	{
		wait_until('the worker has left', sub { !worker_pids($node, $database) });
		push @places, { session => open_session($node, database => $database), next => 0 };
	}
	while (!$lost && ($begun < $rounds || grep { defined $_->{job_id} } @places))
	{
		for my $place (@places)
		{
			my $session = $place->{session};
			if (!defined $place->{job_id})
			{
				next if $begun >= $rounds || time < $place->{next};
				$begun++;
				$place->{job_id} = $session->query(q{SELECT canopy_enqueue('get-carriers')});
				$place->{until} = time + SOON;
			}
			elsif ($session->query("$state = $place->{job_id}") eq 'succeeded')
			{
				delete $place->{job_id};
				$place->{next} = time + 0.095 + rand 0.025;
			}
			elsif (time > $place->{until}) { $lost++ }
		}
		sleep 0.005;
	}
	$_->{session}->quit for @places;
	is($lost, 0, 'no job is left lying');
	query($node, q{ALTER SYSTEM RESET canopy_summit.worker_idle_timeout; SELECT pg_reload_conf()});
	return;
}
