# What becomes of the results of a worker that stood still past its lease?
use strict;
use warnings;

use CanopyDrain;
use CanopyMoment;
use CanopyTest;
use Test::More;

my $uploads = 8;
my $drain = CanopyDrain->new;
my ($node, $sandbox) = @$drain{qw(node sandbox)};

stopped_worker();
done_testing();

# A worker that stands still past its lease has lost its claims, whatever it does later.
sub stopped_worker
{
	$node->append_conf('postgresql.conf', "canopy_summit.workers = 2\n");
	$node->restart;
	my $fault = $sandbox->hold(match => { listener => 'summit', path => '^/v1/policies' });
	$drain->enqueue($uploads);
	wait_until('all are on the wire', sub { $sandbox->waiting($fault) == $uploads });
	wait_until(
		'there is another worker',
		sub { $drain->answer('SELECT count(*) FROM canopy_summit.worker_status') == 2 });
	my ($pid, $epoch, $claims) = split /\|/, $drain->answer(<<~'SQL');
		SELECT pid, epoch, in_flight FROM canopy_summit.worker_status ORDER BY in_flight DESC LIMIT 1
		SQL
	stop_asleep($node, $pid);
	$drain->answer(<<~"SQL");
		UPDATE canopy_summit.job SET lease_until = now() WHERE epoch = $epoch; SELECT canopy_summit.wake()
		SQL

	my $lost = "FROM canopy_summit.job_attempt WHERE epoch = $epoch AND";
	wait_until('the other has sent all of them', sub { $sandbox->waiting($fault) == $uploads + $claims });
	is($drain->answer("SELECT count(*) $lost code = 'worker_lost'"), $claims, 'the other takes its claims');
	my $taken = join ', ', map { s/\|/, /r =~ s/.*/($&)/r } split /\n/,
	  $drain->answer("SELECT job_id, fence $lost code = 'worker_lost'");
	# The answers to what was sent first are those that the stopped worker waits for.
	$sandbox->release($fault, $uploads);
	kill CONT => $pid;
	soon_ok('a stopped worker: late results are written down', sub { $drain->answer(<<~"SQL") == $claims });
		SELECT count(*) $lost total_us > 0 AND (job_id, fence) IN ($taken)
		SQL
	is($drain->answer(<<~"SQL"), '0', 'a stopped worker: no late result counts');
		SELECT count(*) $lost total_us > 0 AND settled AND (job_id, fence) IN ($taken)
		SQL
	is($drain->answer(<<~"SQL"), '0', 'a stopped worker: nor has it an effect');
		SELECT count(*) FROM canopy_summit.job WHERE state <> 'running' AND (job_id, fence - 2) IN ($taken)
		SQL
	is($drain->answer(<<~"SQL"), '0', 'a stopped worker: on no upload');
		SELECT count(*) FROM summit.upload
		WHERE accepted_at IS NOT NULL AND job_id IN (SELECT job_id FROM (VALUES $taken) AS t(job_id, fence))
		SQL
	$sandbox->clear;
	$drain->all_uploaded('a stopped worker');
	return;
}
