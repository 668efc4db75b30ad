# Is a worker's memory bounded, however large the bodies of the jobs that wait?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $jobs = 9;
my $megabytes = 12; # what the sandbox answers has them, too, and must be under 16
my $sandbox = start_sandbox();
my $node = new_worker_node();
create_canopy_server($node, $sandbox, options => { max_connections => 50 });
$sandbox->arm(match => { path => '/widgets' }, times => undef, fault => { kind => 'stall', at => 'before_headers', seconds => 0.2 });

# Of hexadecimal digits at random, which do not compress.
query($node, q{SELECT canopy_summit.pause_server('canopy')});
query($node, sprintf q{
	CREATE TABLE text AS SELECT string_agg(md5(n::text), '') AS text FROM generate_series(1, %d) AS n;
	SELECT canopy_enqueue('post-widgets', '{}', jsonb_build_object('intro_title', n || text)) FROM text, generate_series(1, %d) AS n},
	$megabytes * 1024 * 1024 / 32, $jobs);
query($node, q{SELECT canopy_summit.resume_server('canopy')});

my ($most, $rss, $left) = (0, 0, $jobs);
wait_until('all is sent', sub {
	my ($in_flight, $pid);
	($left, $in_flight, $pid) = split /\|/, query($node, q{
		SELECT (SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running')), max(in_flight), max(pid) FROM canopy_summit.worker_status});
	$most = $in_flight if ($in_flight || 0) > $most;
	my $status = $pid && -e "/proc/$pid/status" ? slurp_file("/proc/$pid/status") : '';
	$rss = $1 if $status =~ /RssAnon:\s+(\d+) kB/ && $1 > $rss;
	return $left == 0;
}, 120);
is(jobs_by_state($node), "succeeded $jobs", "$jobs jobs of $megabytes MB are sent");
cmp_ok($most, '<=', 7, "at most $most at once");
cmp_ok($most, '>=', 2, 'but more than one');
cmp_ok($rss / 1024, '<', 900, sprintf 'in %.0f MB', $rss / 1024);
done_testing();
