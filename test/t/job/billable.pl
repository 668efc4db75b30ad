# What costs money: is it sent once, counted once, and never more of it in a day than the limit allows?
use strict;
use warnings;

use CanopyJobs;
use CanopyMoment;
use CanopyTest;
use Test::More;

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_worker_node(conf => "restart_after_crash = on\nwal_writer_delay = 10s\n");
my $enriched = 0;
my $put_off = q{state = 'queued' AND outcome_code = 'billable_limit'};
my $next_day = q{(date_trunc('day', now() AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC'};

create_canopy_server($node, $sandbox, options => { max_connections => 8 });
# All of it is on one day.
wait_until('the day is long enough', sub { query($node, "SELECT $next_day - now() > interval '15 min'") eq 't' }, 960);
subtest 'without a limit' => \&counts;
subtest 'by job only' => \&no_call;
subtest 'a limit that is reached' => \&limited;
subtest 'another limit' => \&raised;
subtest 'nothing billable' => \&none;
subtest 'what is urgent' => \&urgent;
subtest 'the next day' => \&next_day;
subtest 'two workers' => \&two_workers;
subtest 'what never left' => \&never_left;
subtest 'room that was not needed' => \&room;
subtest 'an answer that cannot be stored' => \&quarantined;
subtest 'an answer that is lost' => \&lost;
subtest 'who may' => \&levels;
create_gates($node);
subtest 'a worker that is killed' => sub {
	storm(scaled(70), sub { kill KILL => $_[0] });
};
subtest 'a server that is killed' => sub {
	storm(scaled(30), sub { $node->stop('immediate'); $node->start });
};
done_testing();

sub limit
{
	my ($limit) = @_;
	query($node, "ALTER SYSTEM SET canopy_summit.billable_daily_limit = $limit");
	$node->reload;
	wait_until(
		'the limit is known',
		sub { query($node, q{SELECT current_setting('canopy_summit.billable_daily_limit')}) == $limit });
	return;
}

# More enrichments, each of an address of its own.
sub enrich
{
	my ($count) = @_;
	my ($first, $last) = ($enriched + 1, $enriched + $count);
	$enriched = $last;
	query($node, <<~"SQL");
		SELECT count(canopy_enqueue('get-property-data', jsonb_build_object('address', n || ' Main Street')))
		FROM generate_series($first, $last) AS n
		SQL
	return;
}

# How often each address was asked for.
sub asked
{
	my %asked;
	for my $request (requests($sandbox, 'propertyData', 'path'))
	{
		my ($number) = $request->{path} =~ /address=(\d+)/;
		$asked{$number}++;
	}
	return %asked;
}

sub today { return query($node, q{SELECT billable_today FROM canopy_summit.server_health WHERE server = 'canopy'}) }

sub put_off { return query($node, "SELECT count(*) FROM canopy_summit.job WHERE $put_off") }

# Waits until there is nothing left that may go today.
sub drained
{
	all_settled($node, "($put_off) IS NOT TRUE");
	return;
}

# As if nothing had been enqueued and sent.
sub start_anew
{
	my ($limit) = @_;
	query(
		$node,
		'TRUNCATE canopy_summit.job, canopy_summit.job_attempt, canopy_summit.job_response, canopy_summit.billable_day'
	);
	$sandbox->clear;
	$sandbox->clear_log;
	limit($limit);
	return;
}

sub counts
{
	is(today(), 0, 'nothing was sent');
	enrich(3);
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'what is not billable');
	drained();
	is(today(), 3, '… is not counted, and the others are');
	is( query(
			$node,
			q{SELECT billable_limit IS NULL FROM canopy_summit.server_health WHERE server = 'canopy'}),
		't',
		'there is no limit');
	is( query(
			$node,
			q{SELECT server, day = (now() AT TIME ZONE 'UTC')::date, sent, put_off_at FROM canopy_summit.billable_day}),
		'canopy|t|3|',
		'a row a day');
	return;
}

sub no_call
{
	my ($sqlstate, $message, $detail, $hint) =
	  sqlstate_of($node, q{SELECT canopy_call('get-property-data', '{"address": "0"}')});
	is($sqlstate, '0A000', 'it cannot be called');
	like($detail, qr/^It is billable/, '… since it costs money');
	like($hint, qr/canopy_enqueue/, '… but enqueued');
	my %asked = asked();
	is($asked{0}, undef, 'and is not sent');
	is(today(), 3, '… nor counted');
	return;
}

sub limited
{
	limit(5);
	enrich(6);
	drained();
	is(today(), 5, 'so many are sent');
	is(scalar(keys %{ { asked() } }), 5, '… and no more');
	is(put_off(), 4, 'the others wait');
	is( query($node, "SELECT count(*) FROM canopy_summit.job WHERE $put_off AND run_at = $next_day"), 4,
		'… for the next day');
	like(
		query($node, "SELECT DISTINCT canopy_summit.explain_job(job_id) FROM canopy_summit.job WHERE $put_off LIMIT 1"),
		qr/it is due at .* 00:00:00\+00; last outcome: canopy_summit.billable_daily_limit is 5: it goes the next day/,
		'… and say why');
	is( query($node, "SELECT DISTINCT attempts, first_sent_at IS NULL FROM canopy_summit.job WHERE $put_off"), '0|t',
		'none has been tried');
	is( query($node, q{SELECT billable_limit FROM canopy_summit.server_health WHERE server = 'canopy'}), 5,
		'the limit is shown');
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'what is not billable goes on');
	is(settled($node, enqueue($node, 'get-pulls')), 'succeeded', '… and on');
	return;
}

sub raised
{
	limit(7);
	soon_ok('two more go today', sub { today() == 7 });
	drained();
	is(put_off(), 2, 'the others still wait');
	limit(-1);
	soon_ok('without a limit all go', sub { today() == 9 });
	drained();
	is(put_off(), 0, 'none waits');
	is(jobs_by_state($node, q{operation = 'get-property-data'}), 'succeeded 9', 'and all are done');
	return;
}

sub none
{
	start_anew(0);
	enrich(2);
	soon_ok('they wait', sub { put_off() == 2 });
	is(scalar(keys %{ { asked() } }), 0, 'and are not sent');
	query($node, "SELECT canopy_summit.cancel_job(job_id) FROM canopy_summit.job WHERE $put_off");
	is(jobs_by_state($node), 'cancelled 2', 'they can be cancelled');
	return;
}

# Of what is claimed at once the most urgent goes first.
sub urgent
{
	start_anew(1);
	query($node, q{SELECT canopy_summit.pause_server('canopy')});
	enrich(1);
	my $job_id = query(
		$node,
		q{SELECT canopy_enqueue('get-property-data', '{"address": "0 Main Street"}', priority => 0)});
	query($node, q{SELECT canopy_summit.resume_server('canopy')});
	soon_ok('one goes', sub { today() == 1 && put_off() == 1 });
	is(settled($node, $job_id), 'succeeded', 'that which somebody waits for');
	return;
}

sub next_day
{
	start_anew(1);
	enrich(3);
	soon_ok('one goes', sub { today() == 1 && put_off() == 2 });
	for my $left (1, 0)
	{
		query($node, <<~"SQL");
			UPDATE canopy_summit.billable_day SET day = day - 1;
			UPDATE canopy_summit.job SET run_at = now() WHERE $put_off;
			SELECT canopy_summit.wake();
			SQL
		soon_ok('a day later another one goes', sub { today() == 1 && put_off() == $left });
	}
	drained();
	is(query($node, 'SELECT count(*), sum(sent) FROM canopy_summit.billable_day'), '3|3', 'three days, one each');
	return;
}

sub two_workers
{
	my $limit = 25;
	query($node, "ALTER SYSTEM SET canopy_summit.$_") for 'workers = 2', 'claim_batch = 3';
	start_anew($limit);
	my $fault = $sandbox->hold(match => { path => 'carriers' });
	enqueue($node, 'get-carriers') for 1 .. 8;
	wait_until('both work', sub { worker_pids($node) == 2 && $sandbox->waiting($fault) == 8 });
	enrich(60);
	$sandbox->clear($fault);
	soon_ok('all but so many wait', sub { put_off() == 60 - $limit });
	drained();
	is(today(), $limit, "$limit are counted");
	my %asked = asked();
	is(scalar(keys %asked), $limit, '… and sent');
	is(scalar(grep { $_ > 1 } values %asked), 0, '… once each');
	is(query($node, 'SELECT count(DISTINCT epoch) FROM canopy_summit.job_attempt'), 2, 'by both');
	query($node, "ALTER SYSTEM RESET canopy_summit.$_") for qw(workers claim_batch);
	$node->reload;
	return;
}

sub never_left
{
	start_anew(2);
	my $port = $sandbox->listener('trap');
	$sandbox->close_listener($port);
	query($node, "ALTER SERVER canopy OPTIONS (SET base_url 'https://localhost:$port')");
	enrich(1);
	soon_ok('it is tried', sub { query($node, q{SELECT count(*) FROM canopy_summit.job_attempt}) > 0 });
	query($node, q{SELECT canopy_summit.pause_server('canopy')});
	soon_ok('… and waits', sub { jobs_by_state($node) eq 'queued 1' });
	is(today(), 0, 'what did not reach the server is not counted');
	query($node, 'ALTER SERVER canopy OPTIONS (SET base_url ' . CanopyTest::quoted($sandbox->base_url) . ')');
	query($node, q{SELECT canopy_summit.resume_server('canopy')});
	drained();
	is(today(), 1, 'once it has, it is');

	$sandbox->arm(match => { path => 'propertyData' }, times => 1, fault => { kind => 'status', status => 429 });
	enrich(1);
	drained();
	is(jobs_by_state($node), 'succeeded 2', 'what the server refused is sent again');
	is(today(), 2, '… and counts once');

	limit(3);
	$sandbox->arm(
		match => { path => 'propertyData' }, times => 1,
		fault => { kind => 'status', status => 403, body => { error => 'FORBIDDEN' } });
	enrich(1);
	drained();
	is(jobs_by_state($node, 'outcome_status = 403'), 'failed 1', 'what is not in the plan fails');
	is(today(), 3, '… and counts: it was answered');
	return;
}

# What was put off for want of room goes today, if what took the room has not been sent.
sub room
{
	start_anew(1);
	my $port = $sandbox->listener('trap');
	$sandbox->close_listener($port);
	query($node, "ALTER SERVER canopy OPTIONS (SET base_url 'https://localhost:$port')");
	query($node, q{SELECT canopy_summit.pause_server('canopy')});
	enrich(2);
	query($node, q{SELECT canopy_summit.resume_server('canopy')});
	wait_until('one waits for the next day', sub { put_off() == 1 });
	my $first = query($node, "SELECT job_id FROM canopy_summit.job WHERE ($put_off) IS NOT TRUE");
	wait_until('the other is cancelled', sub { query($node, "SELECT canopy_summit.cancel_job($first)") eq 't' });
	query($node, 'ALTER SERVER canopy OPTIONS (SET base_url ' . CanopyTest::quoted($sandbox->base_url) . ')');
	soon_ok('… and goes after all', sub { jobs_by_state($node) eq 'cancelled 1, succeeded 1' });
	is(today(), 1, 'one is counted');
	return;
}

# An answer that could not be stored was paid for.
sub quarantined
{
	start_anew(-1);
	query($node, q{ALTER TABLE canopy_summit.enrichment ADD CONSTRAINT refused CHECK (address <> '0 Refused Street')});
	my $job_id = enqueue($node, 'get-property-data', { address => '0 Refused Street' });
	is(settled($node, $job_id), 'failed', 'its answer cannot be stored');
	is(today(), 1, 'it is counted');
	is(query($node, 'SELECT canopy_summit.retry_failed()'), 0, 'it is not asked for again by the way');
	my ($sqlstate, $message, $detail, $hint) = sqlstate_of($node, "SELECT canopy_summit.retry_job($job_id)");
	is($sqlstate, '55000', 'nor without a word');
	like($hint, qr/confirm => true/, '… which the hint has');
	query($node, 'ALTER TABLE canopy_summit.enrichment DROP CONSTRAINT refused');
	query($node, "SELECT canopy_summit.retry_job($job_id, confirm => true)");
	is(settled($node, $job_id), 'succeeded', 'with one it is');
	is(today(), 2, '… and counts again');
	return;
}

sub lost
{
	for my $fault (
		{ kind => 'reset' }, { kind => 'status', status => 503 }, { kind => 'status', status => 500 },
		{ kind => 'body', body => 'not JSON' })
	{
		start_anew(2);
		$sandbox->arm(match => { path => 'propertyData' }, times => 1, fault => $fault);
		enrich(1);
		drained();
		my $name = "$fault->{kind} " . ($fault->{status} // '');
		is(jobs_by_state($node), 'in_doubt 1', "$name: it is in doubt");
		is(today(), 1, '… and counted');
		my $job_id = query($node, 'SELECT job_id FROM canopy_summit.job');
		is( query($node, "SELECT canopy_summit.retry_failed(), (SELECT state FROM canopy_summit.job)"), '0|in_doubt',
			'it is not sent again by the way');
		is((sqlstate_of($node, "SELECT canopy_summit.retry_job($job_id)"))[0], '55000', 'nor without a word');
		query($node, "SELECT canopy_summit.retry_job($job_id, confirm => true)");
		drained();
		is(jobs_by_state($node), 'succeeded 1', 'with one it is');
		is(today(), 2, '… and counts again');
	}
	return;
}

sub levels
{
	query($node, <<~'SQL');
		CREATE ROLE has_fetcher LOGIN;
		CREATE ROLE has_operator LOGIN;
		CREATE ROLE has_admin LOGIN;
		SELECT canopy_summit.grant_access(('has_' || level)::regrole, level)
		FROM unnest('{fetcher,operator,admin}'::text[]) AS level;
		GRANT USAGE ON FOREIGN SERVER canopy TO has_fetcher, has_operator, has_admin;
		SQL
	my ($sqlstate, $message, $detail, $hint) =
	  sqlstate_of($node, q{SET ROLE has_fetcher; SELECT canopy_enqueue('get-property-data', '{"address": "0"}')});
	is($sqlstate, '42501', 'a fetcher spends nothing');
	like($hint, qr/costs money, which needs level admin/, '… as the hint says');
	is( query($node, q{SET ROLE has_operator; SELECT count(*) > 0 FROM canopy_summit.billable_day}), 't',
		'an operator sees what was sent');
	for my $statement (
		'UPDATE canopy_summit.billable_day SET sent = 0', 'DELETE FROM canopy_summit.billable_day',
		'SELECT FROM canopy_summit.billable_day FOR UPDATE', 'SET canopy_summit.billable_daily_limit = -1')
	{
		is(scalar sqlstate_of($node, "SET ROLE has_$_; $statement"), '42501', "not $_: $statement")
		  for qw(operator admin);
	}
	return;
}

# Interrupts so often while enrichments and refreshes drain.
sub storm
{
	my ($count, $strike) = @_;
	my @moments = qw(claiming settling sending);
	my %hits;

	start_anew(-1);
	my $monitorings = monitorings($count * 20);
	my $refreshes = 0;
	my $first = $enriched;
	for my $number (1 .. $count)
	{
		my $moment = $moments[ $number % @moments ];
		my $worker = worker_at(
			$moment, node => $node, sandbox => $sandbox, match => { path => 'propertyData|/refresh' },
			enqueue => sub {
				my ($more) = @_;
				my @ids = @$monitorings[ $refreshes .. $refreshes + $more / 2 - 1 ];
				$refreshes += $more / 2;
				query(
					$node,
					"SELECT count(canopy_refresh_monitoring(id)) FROM unnest('{"
					  . join(',', @ids)
					  . "}'::text[]) AS id");
				enrich($more / 2);
			});
		$strike->($worker->{pid});
		leave_moment($worker);
		wait_until(
			'its claims are taken back',
			sub {
				(eval { query($node, "SELECT count(*) FROM canopy_summit.job WHERE epoch = $worker->{epoch}") } // 1)
				  == 0;
			});
		$hits{$moment}++ if query($node, <<~"SQL");
			SELECT count(*) FROM canopy_summit.job_attempt WHERE epoch = $worker->{epoch} AND code = 'worker_lost'
			SQL
	}
	wait_until(
		'all is settled',
		sub {
			(eval { query($node, q{SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running')}) } // 1)
			  == 0;
		});
	my $jobs = $refreshes + $enriched - $first;
	my $hits = 0;
	$hits += $_ for values %hits;
	is($hits, $count, "all $count hit work in flight: " . join ', ', map { "$_ $hits{$_}" } sort keys %hits);
	like(jobs_by_state($node), qr/^in_doubt \d+, succeeded \d+$/, 'all have succeeded, or are in doubt');
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, '… and none is lost');
	is(query($node, q{SELECT sum(sent) FROM canopy_summit.billable_day}), $jobs, "all $jobs are counted, each once");
	my %asked = asked();
	$asked{ $_->{path} }++
	  for grep { ($_->{operation} // '') eq 'post-monitoring-refresh' }
	  requests($sandbox, '/refresh', 'path,operation');
	is(scalar(grep { $_ > 1 } values %asked), 0, 'none was sent twice');
	my ($succeeded) = jobs_by_state($node) =~ /succeeded (\d+)/;
	cmp_ok(scalar(keys %asked), '>=', $succeeded, 'each that succeeded was sent');
	return;
}

# So many monitorings; their ids.
sub monitorings
{
	my ($count) = @_;
	my $pull_id = $sandbox->pull_id('user_good');
	query($node, "SELECT count(canopy_monitor_pull('$pull_id')) FROM generate_series(1, $count)");
	all_settled($node);
	my @ids = split /\n/, query($node, 'SELECT monitoring_id FROM canopy.monitoring ORDER BY random() LIMIT ' . $count);
	query(
		$node,
		'TRUNCATE canopy_summit.job, canopy_summit.job_attempt, canopy_summit.job_response, canopy_summit.billable_day'
	);
	return \@ids;
}
