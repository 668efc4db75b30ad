# What becomes of the results of a worker that stood still past its lease?
use strict;
use warnings;

use CanopyDrain;
use CanopyTest;
use Test::More;

my $drain = CanopyDrain->new;
my $node = $drain->{node};

stopped_worker();
done_testing();

# A worker that stands still past its lease has lost its claims, whatever it does later.
sub stopped_worker
{
	$node->append_conf('postgresql.conf', "canopy_summit.workers = 2\ncanopy_summit.lease_margin = 0\n");
	$node->safe_psql('postgres', q{ALTER SERVER summit OPTIONS (ADD timeout '3s')});
	wait_until('the queue is empty', sub { ($drain->answer(q{SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running')}) // 1) == 0 }, 300);
	$node->restart;
	wait_until('the worker that looked for jobs has left', sub { ($drain->answer('SELECT pg_sleep(0.5), (SELECT count(*) FROM canopy_summit.worker_status)') // 1) eq '|0' });
	$drain->enqueue(400);
	my ($pid, $epoch);
	wait_until('two workers have jobs on the wire', sub {
		($pid, $epoch) = split /\|/, $drain->answer('SELECT pid, epoch FROM canopy_summit.worker_status WHERE settled > 0 AND in_flight > 3 AND (SELECT count(*) FROM canopy_summit.worker_status) = 2 LIMIT 1') // '';
		$drain->enqueue(200) if $drain->queued < 100;
		return $epoch;
	});
	# Long enough that the other still waits for its answers when those of the stopped one come to its ears.
	$drain->answer_after(2);
	wait_until('it stands still without a lock', sub {
		kill STOP => $pid;
		return 1 if ($drain->answer("SELECT xact_start IS NULL AND (SELECT count(*) FROM canopy_summit.job WHERE state = 'running' AND epoch = $epoch) > 3 FROM pg_stat_activity WHERE pid = $pid") // '') eq 't';
		kill CONT => $pid;
		return 0;
	});
	my $lost = "FROM canopy_summit.job_attempt WHERE epoch = $epoch AND";
	wait_until('the other takes its claims', sub {
		# It would look by itself once a minute.
		$drain->answer('SELECT canopy_summit.wake()');
		return ($drain->answer("SELECT count(*) $lost code = 'worker_lost'") // 0) > 0;
	});
	my $taken = join ', ', map { s/\|/, /r =~ s/.*/($&)/r } split /\n/, $drain->answer("SELECT job_id, fence $lost code = 'worker_lost'");
	wait_until('and has sent some', sub { ($drain->answer("SELECT count(*) FROM canopy_summit.job WHERE state = 'running' AND epoch <> $epoch AND (job_id, fence - 2) IN ($taken)") // 0) > 0 });
	kill CONT => $pid;
	soon_ok('a stopped worker: late results are written down', sub { ($drain->answer("SELECT count(*) $lost total_us > 0 AND (job_id, fence) IN ($taken)") // 0) > 0 }, 30);
	is($drain->answer("SELECT count(*) $lost total_us > 0 AND settled AND (job_id, fence) IN ($taken)"), '0', 'a stopped worker: no late result counts');
	$drain->answer_after(0.04);
	is($drain->answer(q{SELECT count(*) FROM canopy_summit.job p JOIN canopy_summit.job q ON q.params = p.params AND q.operation = p.operation AND q.job_id > p.job_id
		WHERE p.operation = 'get-job' AND q.enqueued_at - p.enqueued_at < interval '0.5 s'}), '0', 'a stopped worker: nor has it an effect');
	$drain->all_uploaded('a stopped worker');
	return;
}
