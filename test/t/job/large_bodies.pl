# Is a worker's memory bounded, however large the bodies of the jobs that wait, and however small they are stored?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $megabytes = 12; # what the sandbox answers has them, too, and must be under 16
my $sandbox = start_sandbox();
my $node = new_worker_node();
create_canopy_server($node, $sandbox, options => { max_connections => 50 });

bounded(
	'hexadecimal digits at random, which do not compress', 9,
	sprintf q{(SELECT string_agg(md5(n::text), '') FROM generate_series(1, %d) AS n)}, $megabytes * 1024 * 1024 / 32);
bounded('one letter, which compresses to next to nothing', 18, sprintf q{repeat('x', %d)}, $megabytes * 1024 * 1024);

my (@error) = sqlstate_of($node, <<~'SQL');
	SELECT canopy_enqueue('get-pull-by-id', jsonb_build_object('pullId', repeat('x', 64 * 1024)))
	SQL
is($error[0], '54000', 'larger parameters are refused');
like($error[3], qr/body/, 'with a hint');
(@error) = sqlstate_of($node, <<~'SQL');
	SELECT canopy_enqueue('post-widgets', '{}', jsonb_build_object('intro_title', repeat('x', 100 * 1024 * 1024)))
	SQL
is($error[0], '54000', 'and larger bodies');
done_testing();

# Sends so many bodies of a text, and looks at the worker meanwhile.
sub bounded
{
	my ($what, $jobs, $text) = @_;
	my ($most, $rss) = (0, 0);

	query($node, q{SELECT canopy_summit.pause_server('canopy')});
	query($node, <<~"SQL");
		CREATE TABLE text AS SELECT $text AS text;
		SELECT canopy_enqueue('post-widgets', '{}', jsonb_build_object('intro_title', n || text))
		FROM text, generate_series(1, $jobs) AS n;
		DROP TABLE text
		SQL
	my $fault = $sandbox->hold(match => { path => '/widgets' });
	query($node, q{SELECT canopy_summit.resume_server('canopy')});
	wait_until(
		'all that are sent at once are on the wire',
		sub {
			my $in_flight = query($node, 'SELECT max(in_flight) FROM canopy_summit.worker_status') || 0;
			return $in_flight >= 2 && $sandbox->waiting($fault) == $in_flight;
		});
	$sandbox->clear($fault);
	wait_until(
		'all is sent',
		sub {
			my ($left, $in_flight, $pid) = split /\|/, query($node, <<~'SQL');
				SELECT (SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running')), max(in_flight),
					max(pid)
				FROM canopy_summit.worker_status
				SQL
			$most = $in_flight if ($in_flight || 0) > $most;
			my $status = $pid && -e "/proc/$pid/status" ? slurp_file("/proc/$pid/status") : '';
			$rss = $1 if $status =~ /RssAnon:\s+(\d+) kB/ && $1 > $rss;
			return $left == 0;
		});
	is(jobs_by_state($node), "succeeded $jobs", "$what: $jobs jobs of $megabytes MB are sent");
	cmp_ok($most, '<=', 7, "at most $most at once");
	cmp_ok($rss / 1024, '<', 900, sprintf 'in %.0f MB', $rss / 1024);
	query($node, 'DELETE FROM canopy_summit.job');
	return;
}
