# Does only the original send: not a standby, nor a template copy, a dump's or a base backup's copy, until it is told to?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $sandbox = start_sandbox();
my $primary = new_worker_node(name => 'primary', init => { allows_streaming => 1 }, conf => "canopy_summit.worker_idle_timeout = 1s\n");
my $pull_id = $sandbox->pull_id('user_good');

create_canopy_server($primary, $sandbox);
subtest 'copies in the same cluster' => \&copies;
subtest 'standby and promotion' => \&standby;
done_testing();

sub copies
{
	my $dumps = PostgreSQL::Test::Utils::tempdir('dumps');

	query($primary, q{SELECT canopy_summit.pause_server('canopy')});
	enqueue($primary, 'get-pull-by-id', { pullId => $pull_id });
	enqueue($primary, 'post-widgets', {}, { intro_title => 'copied' });
	wait_until('no worker is there', sub { !worker_pids($primary) }, 20);
	query($primary, 'CREATE DATABASE template_copy TEMPLATE postgres');
	query($primary, 'CREATE DATABASE restored TEMPLATE template0');
	command_ok([ 'pg_dump', '-Fc', '-d', $primary->connstr('postgres'), '--file', "$dumps/dump" ], 'dump');
	command_ok([ 'pg_restore', '--exit-on-error', '-d', $primary->connstr('restored'), "$dumps/dump" ], 'restore');
	for my $copy (qw(template_copy restored))
	{
		$sandbox->clear_log;
		query($primary, q{SELECT canopy_summit.resume_server('canopy'), canopy_summit.wake()}, $copy);
		my $job_id = enqueue($primary, 'get-carriers', {}, undef, undef, $copy);
		is(settled($primary, $job_id, 20, $copy), 'succeeded', "$copy: its own jobs are sent");
		is(scalar(requests($sandbox, '/pulls/|widgets')), 0, "$copy: the original's are not");
		is(query($primary, q{SELECT depth, unarmed FROM canopy_summit.server_health}, $copy), '0|2', "$copy: server_health counts them");
		like(query($primary, "SELECT unarmed_reason FROM canopy_summit.server_health", $copy), qr/arm\(\)/, "$copy: and says what to do");
		like(query($primary, q{SELECT canopy_summit.explain_job(min(job_id)) FROM canopy_summit.job WHERE state = 'queued'}, $copy), qr/arm\(\)/, "$copy: so does explain_job()");
		is(query($primary, 'SELECT canopy_summit.arm()', $copy), 2, "$copy: arm() adopts them");
		all_settled($primary, undef, 20, $copy);
		is(jobs_by_state($primary, undef, $copy), 'succeeded 3', "$copy: and they are sent");
	}
	is(jobs_by_state($primary), 'queued 2', 'the original\'s are as they were');
	query($primary, q{SELECT canopy_summit.resume_server('canopy')});
	all_settled($primary);
	is(jobs_by_state($primary), 'succeeded 2', 'and are sent');
	return;
}

sub standby
{
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$primary->backup('copy');
	$standby->init_from_backup($primary, 'copy', has_streaming => 1);
	$standby->start;
	query($primary, q{SELECT canopy_summit.pause_server('canopy')});
	my %jobs = (safe => enqueue($primary, 'get-pull-by-id', { pullId => $pull_id }), unsafe => enqueue($primary, 'post-widgets', {}, { intro_title => 'promoted' }),
		later => enqueue($primary, 'post-widgets', {}, { intro_title => 'later' }, q{run_at => now() + interval '1 day'}));
	$primary->wait_for_catchup($standby);
	is(query($standby, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'canopy_summit'}), 0, 'no process runs on a standby');
	is(query($standby, "SELECT count(*) FROM canopy_summit.$_"), 0, "$_ is empty there") for qw(worker_status server_counters());
	is(query($standby, 'SELECT depth, sent FROM canopy_summit.server_health'), '3|', 'server_health counts the queue');
	cmp_ok(query($standby, 'SELECT sum(jobs) FROM canopy_summit.job_stats'), '>=', 3, 'so does job_stats');
	like(query($standby, "SELECT canopy_summit.explain_job($jobs{safe})"), qr/paused/, 'explain_job() explains');
	is(scalar sqlstate_of($standby, "SELECT $_"), '25006', "$_ is refused") for
	  q{canopy_enqueue('get-carriers')}, "canopy_summit.cancel_job($jobs{safe})", 'canopy_summit.arm()', q{canopy_summit.pause_server('canopy')},
	  "canopy_summit.retry_job($jobs{safe})", 'canopy_summit.retry_failed()', q{canopy_summit.resume_server('canopy')};
	is(query($standby, "SELECT canopy_summit.wait_for_job($jobs{safe}, '100 ms')"), 'queued', 'wait_for_job() waits');
	$primary->stop('immediate');
	$sandbox->clear_log;
	# The pause came along: end it as soon as writing is possible.
	$standby->promote;
	my $start = time;
	query($standby, q{SELECT canopy_summit.resume_server('canopy')});
	is(settled($standby, $jobs{safe}, 30), 'succeeded', 'after promotion a safe job is sent');
	cmp_ok(time - $start, '<', 10, 'within 10 s');
	is(query($standby, "SELECT string_agg(state::text, ' ') FROM canopy_summit.job WHERE job_id IN ($jobs{unsafe}, $jobs{later})"), 'queued queued', 'unsafe ones wait');
	like(query($standby, "SELECT canopy_summit.explain_job($jobs{unsafe})"), qr/promot.*arm\(\)/, 'and say for what');
	is(scalar(requests($sandbox, 'widgets')), 0, 'nothing unsafe was sent');
	my $new = enqueue($standby, 'post-widgets', {}, { intro_title => 'after' });
	is(settled($standby, $new, 20), 'succeeded', 'unsafe ones enqueued since are sent');
	is(query($standby, 'SELECT canopy_summit.arm()'), 2, 'arm() adopts those that wait');
	is(settled($standby, $jobs{unsafe}, 20), 'succeeded', 'and has them sent');
	is(job($standby, $jobs{later})->{state}, 'queued', 'when they are due');
	$standby->restart;
	is(settled($standby, enqueue($standby, 'post-widgets', {}, { intro_title => 'restarted' }), 20), 'succeeded', 'a restart is no promotion');
	return;
}
