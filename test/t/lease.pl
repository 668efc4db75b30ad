# Is a claim past its lease taken over, and what its worker says afterwards rejected and recorded?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use Test::More;
use Time::HiRes qw(sleep);

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_worker_node(conf => "canopy_summit.workers = 2\ncanopy_summit.lease_margin = 0\ncanopy_summit.http_timeout = 1s\n");
my $template = $sandbox->pull($sandbox->pull_id('user_good_home'));
my $rounds = scaled(50);
my $stale = 0;

create_canopy_server($node, $sandbox, options => { max_connections => 20, timeout => '1s' });
$sandbox->put_pull('lease', { %$template, pull_id => 'lease' });
for my $round (1 .. $rounds)
{
	$sandbox->arm(match => { path => '.' }, times => undef, fault => { kind => 'stall', at => 'before_headers', seconds => 0.4 });
	query($node, q{SELECT canopy_enqueue('get-pull-by-id', '{"pullId": "lease"}') FROM generate_series(1, 12)});
	query($node, qq{SELECT canopy_enqueue('post-widgets', '{}', jsonb_build_object('intro_title', 'widget $round ' || n)) FROM generate_series(1, 4) n});
	my $pid = wait_until('a worker has requests on the wire', sub { query($node, 'SELECT pid FROM canopy_summit.worker_status WHERE in_flight > 0 ORDER BY in_flight DESC LIMIT 1') });
	kill STOP => $pid;
	my $epoch = query($node, "SELECT epoch FROM canopy_summit.worker_status WHERE pid = $pid");
	my $claimed = query($node, "SELECT count(*) FROM canopy_summit.job WHERE epoch = $epoch AND state = 'running'");
	my $taken = eval { wait_until('its claims are taken over', sub {
		# The other worker would look by itself, but only once a minute.
		query($node, "SELECT canopy_summit.wake(); SELECT count(*) FROM canopy_summit.job WHERE epoch = $epoch AND state = 'running'") == 0 }, 30); 1 };
	kill CONT => $pid;
	ok($taken, "round $round: $claimed claims were taken over") or next;
	$sandbox->clear;
	all_settled($node, undef, 60);
	# What it had sent comes to its ears now.
	my $rejected = query($node, "SELECT count(*) FROM canopy_summit.job_attempt WHERE epoch = $epoch AND NOT settled");
	$stale += $rejected;
}
cmp_ok($stale, '>', 0, "$stale stale settles were recorded");
is(query($node, q{
	SELECT count(*) FROM canopy_summit.job_attempt a WHERE NOT a.settled AND NOT EXISTS (
		SELECT FROM canopy_summit.job j WHERE j.job_id = a.job_id AND j.fence > a.fence)}), 0, 'each of a claim that no longer stood');
is(query($node, q{SELECT count(*) FROM (SELECT job_id FROM canopy_summit.job_attempt WHERE settled AND status = 200 GROUP BY job_id HAVING count(*) > 1) x}), 0, 'none counted twice');
unlike(jobs_by_state($node), qr/failed|queued|running/, 'all have ended');
is(jobs_by_state($node, q{operation = 'get-pull-by-id'}), 'succeeded ' . 12 * $rounds, 'what may be repeated has succeeded');
is(scalar(grep { $_->{operation} eq 'post-widgets' && $_->{requests} > 1 } @{ $sandbox->control(GET => 'effects/canopy')->{operations} }), 0, 'nothing unsafe was sent twice');
done_testing();
