# Is a claim past its lease taken over, and what its worker says afterwards rejected and recorded?
use strict;
use warnings;

use CanopyJobs;
use CanopyMoment;
use CanopyTest;
use Test::More;

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_worker_node(conf => "canopy_summit.workers = 2\n");
my $template = $sandbox->pull($sandbox->pull_id('user_good_home'));
my $rounds = scaled(50);

create_canopy_server($node, $sandbox, options => { max_connections => 40 });
$sandbox->put_pull('lease', { %$template, pull_id => 'lease' });
waiting();
for my $round (1 .. $rounds)
{
	my $fault = $sandbox->hold(match => { path => '.' });
	my $last = query($node, 'SELECT coalesce(max(job_id), 0) FROM canopy_summit.job');
	query($node, <<~"SQL");
		SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "lease"}') FROM generate_series(1, 12);
		SELECT canopy_enqueue('post-widgets', '{}', jsonb_build_object('intro_title', 'widget $round ' || n))
		FROM generate_series(1, 4) n
		SQL
	wait_until('all is on the wire', sub { $sandbox->waiting($fault) == 16 });
	wait_until(
		'there is another worker',
		sub { query($node, 'SELECT count(*) FROM canopy_summit.worker_status') == 2 });
	my ($pid, $epoch, $claims) = split /\|/, query($node, <<~'SQL');
		SELECT pid, epoch, in_flight FROM canopy_summit.worker_status ORDER BY in_flight DESC LIMIT 1
		SQL
	my $fetches = query($node, <<~"SQL");
		SELECT count(*) FROM canopy_summit.job WHERE epoch = $epoch AND operation = 'get-pull-by-id'
		SQL

	stop_asleep($node, $pid);
	query($node, "UPDATE canopy_summit.job SET lease_until = now() WHERE epoch = $epoch; SELECT canopy_summit.wake()");
	wait_until(
		'its claims are taken over, and those that may be are sent again',
		sub { $sandbox->waiting($fault) == 16 + $fetches });
	is(query($node, <<~"SQL"), $claims, "round $round: $claims claims were taken over");
		SELECT count(*) FROM canopy_summit.job_attempt
		WHERE job_id > $last AND epoch = $epoch AND code = 'worker_lost'
		SQL
	# The answers to what was sent first are those that the stopped worker waits for.
	$sandbox->release($fault, 16);
	kill CONT => $pid;
	soon_ok(
		"round $round: what it says afterwards is rejected and recorded",
		sub { query($node, <<~"SQL") == $claims });
			SELECT count(*) FROM canopy_summit.job_attempt WHERE job_id > $last AND epoch = $epoch AND NOT settled
			SQL
	$sandbox->clear;
	all_settled($node);
}
is( query($node, <<~'SQL'), 0,
	SELECT count(*) FROM canopy_summit.job_attempt a WHERE NOT a.settled AND NOT EXISTS (
		SELECT FROM canopy_summit.job j WHERE j.job_id = a.job_id AND j.fence > a.fence)
	SQL
	'each of a claim that no longer stood');
is(query($node, <<~'SQL'), 0, 'none counted twice');
	SELECT count(*)
	FROM (SELECT job_id FROM canopy_summit.job_attempt WHERE settled AND status = 200 GROUP BY job_id
		HAVING count(*) > 1) x
	SQL
unlike(jobs_by_state($node), qr/failed|queued|running/, 'all have ended');
is( jobs_by_state($node, q{operation = 'get-pull-by-id'}), 'succeeded ' . 12 * $rounds,
	'what may be repeated has succeeded');
is( scalar(
		grep { $_->{operation} eq 'post-widgets' && $_->{requests} > 1 }
		  @{ $sandbox->control(GET => 'effects/canopy')->{operations} }),
	0,
	'nothing unsafe was sent twice');
done_testing();

# A worker that is not stuck keeps its claims, however long what they change is locked.
sub waiting
{
	my $session = open_session($node);
	$session->query_safe(q{BEGIN; SELECT canopy_store_pull('{"pull_id": "lease"}')});
	my $job_id = query($node, q{SELECT canopy_enqueue_fetch('lease')});
	wait_until('its answer waits', sub { query($node, <<~"SQL") });
		SELECT count(*) FROM canopy_summit.job WHERE job_id = $job_id AND state = 'running'
		SQL
	query($node, "UPDATE canopy_summit.job SET lease_until = now() WHERE job_id = $job_id");
	for (1 .. 10)
	{
		query($node, 'SELECT canopy_summit.wake()');
		settled($node, enqueue($node, 'get-carriers'));
	}
	is(job($node, $job_id)->{state}, 'running', 'an answer that waits for a lock keeps its claim beyond the lease');
	like(
		query($node, "SELECT canopy_summit.explain_job($job_id)"), qr/waits, as somebody has locked/,
		'explain_job() says what it waits for');
	$session->query_safe('ROLLBACK');
	$session->quit;
	is(settled($node, $job_id), 'succeeded', 'and is settled after it');
	is(job($node, $job_id)->{fence}, 1, 'by its first claim');
	query($node, 'DELETE FROM canopy_summit.job');
	return;
}
