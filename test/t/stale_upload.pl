# What becomes of the results of a worker that stood still past its lease?
use strict;
use warnings;

use CanopyTest;
use CanopyUpload;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox();
my $node = new_node(conf => <<~'END');
	shared_preload_libraries = 'canopy_summit'
	restart_after_crash = on
	log_statement = none
	log_min_messages = fatal
	canopy_summit.max_in_flight = 16
	END
create_summit_server($node, $sandbox);
# Answers take long enough that there is always something on the wire.
answer_after(0.04);
$node->safe_psql('postgres', 'CREATE FUNCTION payload(number integer) RETURNS jsonb LANGUAGE sql AS $$'
	. q{SELECT jsonb_set('} . payload('x') . q{', '{policy,policy_number}', to_jsonb('POL-' || number))$$});

my $uploads = 0;

# Has every answer take so long.
sub answer_after
{
	my ($seconds) = @_;
	$sandbox->clear;
	$sandbox->arm(match => { listener => 'summit' }, times => undef, fault => { kind => 'stall', at => 'before_headers', seconds => $seconds });
	return;
}

# More uploads, each of a policy of its own.
sub enqueue
{
	my ($count) = @_;
	my ($first, $last) = ($uploads + 1, $uploads + $count);
	wait_until('uploads are enqueued', sub {
		defined answer("SET client_min_messages = error; SELECT count(summit_upload_policy(payload(n))) FROM generate_series($first, $last) n");
	});
	$uploads = $last;
	return;
}

# A value, or undef while the server does not answer.
sub answer
{
	my ($sql) = @_;
	my ($status, $stdout) = $node->psql('postgres', $sql, on_error_die => 0);
	return defined $status && $status == 0 ? $stdout : undef;
}

sub queued { return wait_until('the queue is counted', sub { answer(q{SELECT count(*) + 1 FROM (SELECT FROM canopy_summit.job WHERE operation = 'upload-policy' AND state IN ('queued', 'running') LIMIT 300) q}) }) - 1 }

sub all_uploaded
{
	my ($name) = @_;
	wait_until("all is sent after $name", sub { my $left = answer(q{SELECT count(*) FROM canopy_summit.job WHERE operation = 'upload-policy' AND state IN ('queued', 'running')}); defined $left && $left == 0 }, 300);
	is(answer(q{SELECT string_agg(DISTINCT status, ' ' ORDER BY status) FROM summit.upload WHERE status NOT IN ('verified', 'accepted')}), '', "$name: every upload is accepted or verified");
	is(answer('SELECT count(*), count(DISTINCT policy_number), count(DISTINCT idempotency_key) FROM summit.upload'), "$uploads|$uploads|$uploads", "$name: and there");

	my $keys = wait_until('keys are read', sub { answer('SELECT string_agg(policy_number || \' \' || idempotency_key, \',\') FROM summit.upload') });
	my %key = map { split ' ' } split /,/, $keys;
	my (%effects, %keys_of);
	for my $row (effect_rows($sandbox))
	{
		$effects{ $row->{policy_number} } += $row->{effects};
		$keys_of{ $row->{policy_number} }{ $row->{idempotency_key} } = $row->{bodies};
	}
	is(scalar(grep { !$effects{$_} } keys %key), 0, "$name: none is lost");
	is(scalar(grep { $effects{$_} > 1 } keys %effects), 0, "$name: none has two effects");
	is(scalar(grep { my $key = $key{$_}; join(' ', %{ $keys_of{$_} // {} }) ne "$key 1" } keys %key), 0, "$name: each was sent with its one key and one body");
	is($sandbox->control(GET => 'log?after=999999999')->{dropped}, 0, "$name: the sandbox has seen everything");
	return;
}

stopped_worker();
done_testing();

# A worker that stands still past its lease has lost its claims, whatever it does later.
sub stopped_worker
{
	$node->append_conf('postgresql.conf', "canopy_summit.workers = 2\ncanopy_summit.lease_margin = 0\n");
	$node->safe_psql('postgres', q{ALTER SERVER summit OPTIONS (ADD timeout '3s')});
	wait_until('the queue is empty', sub { (answer(q{SELECT count(*) FROM canopy_summit.job WHERE state IN ('queued', 'running')}) // 1) == 0 }, 300);
	$node->restart;
	wait_until('the worker that looked for jobs has left', sub { (answer('SELECT pg_sleep(0.5), (SELECT count(*) FROM canopy_summit.worker_status)') // 1) eq '|0' });
	enqueue(400);
	my ($pid, $epoch);
	wait_until('two workers have jobs on the wire', sub {
		($pid, $epoch) = split /\|/, answer('SELECT pid, epoch FROM canopy_summit.worker_status WHERE settled > 0 AND in_flight > 3 AND (SELECT count(*) FROM canopy_summit.worker_status) = 2 LIMIT 1') // '';
		enqueue(200) if queued() < 100;
		return $epoch;
	});
	# Long enough that the other still waits for its answers when those of the stopped one come to its ears.
	answer_after(2);
	wait_until('it stands still without a lock', sub {
		kill STOP => $pid;
		return 1 if (answer("SELECT xact_start IS NULL AND (SELECT count(*) FROM canopy_summit.job WHERE state = 'running' AND epoch = $epoch) > 3 FROM pg_stat_activity WHERE pid = $pid") // '') eq 't';
		kill CONT => $pid;
		return 0;
	});
	my $lost = "FROM canopy_summit.job_attempt WHERE epoch = $epoch AND";
	wait_until('the other takes its claims', sub {
		# It would look by itself once a minute.
		answer('SELECT canopy_summit.wake()');
		return (answer("SELECT count(*) $lost code = 'worker_lost'") // 0) > 0;
	});
	my $taken = join ', ', map { s/\|/, /r =~ s/.*/($&)/r } split /\n/, answer("SELECT job_id, fence $lost code = 'worker_lost'");
	wait_until('and has sent some', sub { (answer("SELECT count(*) FROM canopy_summit.job WHERE state = 'running' AND epoch <> $epoch AND (job_id, fence - 2) IN ($taken)") // 0) > 0 });
	kill CONT => $pid;
	soon_ok('a stopped worker: late results are written down', sub { (answer("SELECT count(*) $lost total_us > 0 AND (job_id, fence) IN ($taken)") // 0) > 0 }, 30);
	is(answer("SELECT count(*) $lost total_us > 0 AND settled AND (job_id, fence) IN ($taken)"), '0', 'a stopped worker: no late result counts');
	answer_after(0.04);
	is(answer(q{SELECT count(*) FROM canopy_summit.job p JOIN canopy_summit.job q ON q.params = p.params AND q.operation = p.operation AND q.job_id > p.job_id
		WHERE p.operation = 'get-job' AND q.enqueued_at - p.enqueued_at < interval '0.5 s'}), '0', 'a stopped worker: nor has it an effect');
	all_uploaded('a stopped worker');
	return;
}
