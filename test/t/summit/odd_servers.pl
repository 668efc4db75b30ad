# What becomes of an upload where Summit's side does not keep to its guide: in the end, in which words, and how often?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyUpload;
use CanopyWebhook ();
use JSON::PP ();
use Test::More;

my $json = JSON::PP->new->canonical;
my $sandbox = start_sandbox();
my $node = new_worker_node(conf => 'restart_after_crash = on');
my ($policies, $told) = (0, 0);

create_summit_server($node, $sandbox, mapping => { webhook_secret => 'summit secret' });
CanopyWebhook::create_wh($node);

subtest 'a stored 500' => \&stored_500;
subtest 'refusals' => \&refusals;
subtest '422 instead of 409' => \&unprocessable;
subtest '409 without job_id' => \&conflict_without_id;
subtest 'a key that is ignored' => \&ignored_key;
subtest 'other news' => \&other_news;
subtest 'one job_id for two' => \&shared_job_id;
subtest 'after a day' => \&old_key;
subtest 'what never left' => \&never_left;
done_testing();

sub policy { return sprintf 'ODD-%d', ++$policies }

sub upload_has
{
	my ($upload_id, $columns) = @_;
	return query($node, "SELECT $columns FROM summit.upload_status WHERE upload_id = $upload_id");
}

# What a fault at uploads of a policy is, from now on or so many times.
sub at_uploads
{
	my ($policy, $fault, $times) = @_;
	return $sandbox->arm(
		match => { listener => 'summit', path => '/v1/policies', body => "\"$policy\"" },
		times => $times, fault => $fault);
}

# The upload ends so, however many attempts that takes: none has to wait.
sub ends_as
{
	my ($upload_id, $status, $name) = @_;
	my $found;
	wait_until(
		"upload $upload_id ends",
		sub {
			query($node, <<~'SQL');
				UPDATE canopy_summit.job SET run_at = now() WHERE state = 'queued' AND run_at > now();
				SELECT canopy_summit.wake()
				SQL
			return ($found = upload_has($upload_id, 'status')) !~ /^(?:queued|sending|accepted)$/;
		});
	is($found, $status, $name);
	return;
}

sub keys_of
{
	my ($policy) = @_;
	return join ' ', map { "$_->{requests} $_->{effects}" } effect_rows($sandbox, $policy);
}

# A server that keeps its answers by their keys, this one too.
sub stored_500
{
	my $policy = policy();
	at_uploads(
		$policy,
		{ kind => 'status', status => 500, body => { error => { code => 'server_error', message => 'no' } } });
	my $upload_id = upload($node, payload($policy));
	ends_as($upload_id, 'unresolved', 'ends');
	is( upload_has($upload_id, 'error_code, error_message'),
		'server_error|10 of 10 attempts with one Idempotency-Key may have taken effect; at last: no', 'says why');
	is(scalar uploads_at_summit($sandbox, $policy), 10, 'after ten attempts');
	$sandbox->clear;
	is(upload($node, payload($policy)), $upload_id, 'the same payload is not sent under another key');
	is(query($node, <<~"SQL"), "t\nt", 'its job can be retried, and its key is as old as it was');
		BEGIN;
		SELECT canopy_summit.retry_job(job_id) FROM summit.upload WHERE upload_id = $upload_id;
		SELECT j.first_sent_at IS NOT NULL FROM canopy_summit.job j JOIN summit.upload u USING (job_id)
		WHERE u.upload_id = $upload_id;
		COMMIT
		SQL
	ends_as($upload_id, 'verified', 'and brings it to its end');
	is(upload_has($upload_id, 'error_code IS NULL AND error_message IS NULL'), 't', 'without an error');
	is(keys_of($policy), '11 1', 'with the one key');
	return;
}

# Of these no attempt can have taken effect.
sub refusals
{
	my $policy = policy();
	at_uploads(
		$policy,
		{ kind => 'status', status => 429, body => { error => { code => 'rate_limited', message => 'slow' } } });
	my $upload_id = upload($node, payload($policy));
	ends_as($upload_id, 'failed', 'ten times 429: it failed');
	is(upload_has($upload_id, 'error_message'), 'slow', 'in Summit\'s words');
	$sandbox->clear;
	isnt(upload($node, payload($policy)), $upload_id, 'and the same payload may be sent again');

	$policy = policy();
	at_uploads($policy, { kind => 'status', status => 500 }, 1);
	at_uploads(
		$policy,
		{ kind => 'status', status => 400, body => { error => { code => 'invalid_request', message => 'bad' } } });
	$upload_id = upload($node, payload($policy));
	ends_as($upload_id, 'failed', 'a 500, and then a refusal by the same key');
	is(upload_has($upload_id, 'error_code, error_message'), 'invalid_request|bad', 'which is what counts');
	$sandbox->clear;

	# Who refuses may not have looked at the key.
	$policy = policy();
	at_uploads($policy, { kind => 'reset', after_bytes => 0 }, 1);
	at_uploads(
		$policy,
		{ kind => 'status', status => 403, body => { error => { code => 'forbidden', message => 'no' } } });
	$upload_id = upload($node, payload($policy));
	ends_as($upload_id, 'unresolved', 'a lost answer, and then a 403');
	like(upload_has($upload_id, 'error_message'), qr/may have taken effect; at last: no$/, 'says both');
	$sandbox->clear;
	return;
}

sub unprocessable
{
	$sandbox->control(PUT => 'summit', { repeat => 'conflict' });
	for my $with_id (1, 0)
	{
		my $policy = policy();
		$sandbox->control(
			POST => 'outcome',
			{ policy_number => "^$policy\$", outcome => { status => 'verified', after_polls => 1 } });
		at_uploads($policy, { kind => 'reset', after_bytes => 0 }, 1);
		at_uploads($policy, { kind => 'garble', status => 422, $with_id ? () : (without => [ 'job_id', 'error' ]) }, 1);
		my $upload_id = upload($node, payload($policy));
		ends_as(
			$upload_id,
			$with_id ? 'verified' : 'unresolved',
			'an answer is lost, and the 422 to the second has ' . ($with_id ? 'its job_id' : 'none'));
		is(keys_of($policy), '2 1', 'one key, one effect');
		like(upload_has($upload_id, 'error_message'), qr/^1 of \d attempts .* at last: /, 'says why') unless $with_id;
	}
	$sandbox->control(DELETE => 'outcome');
	$sandbox->control(PUT => 'summit', { repeat => 'original' });
	my $policy = policy();
	at_uploads(
		$policy,
		{ kind => 'status', status => 422, body => { job_id => 'job_of_others', error => { message => 'no' } } });
	my $upload_id = upload($node, payload($policy));
	ends_as($upload_id, 'failed', 'a 422 to the first is a refusal');
	is(upload_has($upload_id, 'summit_job_id IS NULL'), 't', 'whatever job it names');
	$sandbox->clear;
	return;
}

# It is under way; the same key brings its answer once it has been done.
sub conflict_without_id
{
	my $policy = policy();
	$sandbox->control(PUT => 'summit', { repeat => 'conflict', conflict_job_id => 'none' });
	$sandbox->control(POST => 'outcome', { policy_number => "^$policy\$", outcome => { status => 'pending' } });
	at_uploads($policy, { kind => 'reset', after_bytes => 0 }, 1);
	my $upload_id = upload($node, payload($policy));
	wait_until(
		'a second attempt has got its 409',
		sub {
			query(
				$node, "SELECT max(outcome_status) FROM canopy_summit.job j JOIN summit.upload u USING (job_id)
			WHERE u.upload_id = $upload_id") eq '409';
		});
	is(upload_has($upload_id, 'status'), 'queued', 'it is tried again');
	my ($row) = effect_rows($sandbox, $policy);
	$sandbox->control(PUT => "job/$row->{job_id}", { status => 'verified' });
	$sandbox->control(PUT => 'summit', { repeat => 'original', conflict_job_id => 'body' });
	ends_as($upload_id, 'verified', 'until the key has its answer');
	is(keys_of($policy) =~ s/^\d+ //r, '1', 'one effect');

	$policy = policy();
	at_uploads($policy, { kind => 'reset', after_bytes => 0 }, 1);
	at_uploads(
		$policy,
		{ kind => 'status', status => 409, body => { error => { code => 'conflict', message => 'busy' } } });
	$upload_id = upload($node, payload($policy));
	ends_as($upload_id, 'unresolved', 'one that never has ends, too');
	like(
		upload_has($upload_id, 'error_message'),
		qr/^\d of 10 attempts with one Idempotency-Key may have taken effect; at last: busy$/, 'and says why');
	$sandbox->clear;

	# What says 503 may have passed it on.
	$policy = policy();
	at_uploads($policy, { kind => 'status', status => 503 }, 1);
	at_uploads(
		$policy,
		{ kind => 'status', status => 409, body => { error => { code => 'conflict', message => 'busy' } } });
	$upload_id = upload($node, payload($policy));
	ends_as($upload_id, 'unresolved', 'a 503, and then 409 without end');
	$sandbox->control(DELETE => 'outcome');
	$sandbox->clear;
	return;
}

# Has an upload's answer lost, and the next attempt wait; the upload's id.
sub lose_answer
{
	my ($policy) = @_;
	my $held = $sandbox->hold(match => { listener => 'summit', path => '/v1/policies', body => "\"$policy\"" });
	my $upload_id = upload($node, payload($policy));
	wait_until('it is on the wire', sub { $sandbox->waiting($held) == 1 });
	query($node, q{SELECT canopy_summit.pause_server('summit')});
	my ($pid) = worker_pids($node);
	kill KILL => $pid;
	wait_until(
		'the claim is taken back',
		sub {
			my $lost = eval {
				query($node, 'SELECT canopy_summit.wake()');
				query(
					$node, "SELECT count(*) FROM canopy_summit.job_attempt a JOIN summit.upload u USING (job_id)
					WHERE a.code = 'worker_lost' AND u.upload_id = $upload_id");
			};
			return $lost // 0;
		});
	$sandbox->clear;
	wait_until('it has its effect', sub { keys_of($policy) eq '1 1' });
	return $upload_id;
}

# A webhook of Summit about a policy, with these fields of it, comes in and is applied.
sub told
{
	my ($policy, $event, %of_policy) = @_;
	my $holder = { reference_ids => $json->decode(payload($policy))->{certificate_holder}{reference_ids} };
	my $body = $json->encode(
		{   delivery_id => 'd-' . ++$told, event => $event, attempt => 1,
			occurred_at => query($node, q{SELECT to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')}),
			data => { policy => { policy_number => $policy, %of_policy }, certificate_holder => $holder } });
	is(CanopyWebhook::receive($node, 'summit', $body), '200 stored', "$event comes in");
	wait_until(
		'it is applied',
		sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
	return;
}

# A webhook comes before the next attempt, which would make a second policy.
sub ignored_key
{
	my $policy = policy();
	my %dates = map { ($_ => $json->decode(payload($policy))->{policy}{$_}) } qw(effective_date expiry_date);
	$sandbox->control(PUT => 'summit', { idempotency_seconds => 0 });
	my $upload_id = lose_answer($policy);
	told($policy, 'policy.submitted', %dates);
	is( upload_has($upload_id, 'status, error_message'),
		'unresolved|its answer was lost, but a webhook says that Summit has it', 'says why');
	query($node, q{SELECT canopy_summit.resume_server('summit')});
	told($policy, 'policy.verified');
	is(upload_has($upload_id, 'status'), 'verified', 'it is verified');
	is( query(
			$node, "SELECT state, outcome_code FROM canopy_summit.job j JOIN summit.upload u USING (job_id)
			WHERE upload_id = $upload_id"),
		'succeeded|reconciled',
		'its job is done');
	is(keys_of($policy), '1 1', 'and there is one policy');
	$sandbox->control(PUT => 'summit', { idempotency_seconds => 86400 });
	return;
}

# What is told of another term, or may be of another upload, keeps nothing from being sent.
sub other_news
{
	my $policy = policy();
	my %dates = map { ($_ => $json->decode(payload($policy))->{policy}{$_}) } qw(effective_date expiry_date);
	my $upload_id = lose_answer($policy);
	told($policy, 'policy.verified');
	told($policy, 'policy.submitted', %dates, expiry_date => '2030-01-01');
	is(upload_has($upload_id, 'status'), 'queued', 'of another term: it is sent again');
	query($node, q{SELECT canopy_summit.resume_server('summit')});
	ends_as($upload_id, 'verified', 'and gets there');

	$policy = policy();
	at_uploads($policy, { kind => 'status', status => 429 });
	$upload_id = upload($node, payload($policy));
	wait_until('it was refused', sub { upload_has($upload_id, 'attempts') > 0 });
	query($node, q{SELECT canopy_summit.pause_server('summit')});
	wait_until('it waits', sub { upload_has($upload_id, 'status') eq 'queued' });
	$sandbox->clear;
	told($policy, 'policy.submitted', %dates);
	is(upload_has($upload_id, 'status'), 'queued', 'of what was refused, and cannot be this one');
	query($node, q{SELECT canopy_summit.resume_server('summit')});
	ends_as($upload_id, 'verified', 'which gets there');

	$policy = policy();
	my $first = upload($node, payload($policy));
	ends_as($first, 'verified', 'a first upload');
	my $correction = upload($node, payload($policy, sub { $_[0]{policy}{limits}{aggregate} = 7_000_000 }));
	isnt($correction, $first, 'and its correction');
	ends_as($correction, 'verified', 'gets there');
	query($node, <<~"SQL");
		SELECT canopy_summit.pause_server('summit');
		UPDATE canopy_summit.job j SET state = 'queued', finished_at = NULL FROM summit.upload u
		WHERE u.job_id = j.job_id AND u.upload_id = $correction;
		UPDATE summit.upload SET status = 'queued', summit_job_id = NULL, accepted_at = NULL, finished_at = NULL
		WHERE upload_id = $correction
		SQL
	told($policy, 'policy.submitted', %dates);
	is(upload_has($correction, 'status'), 'queued', 'what may have been the first does not stand for the second');
	query($node, q{SELECT canopy_summit.resume_server('summit')});
	ends_as($correction, 'verified', 'which gets there');
	return;
}

sub shared_job_id
{
	my @policies = (policy(), policy());
	at_uploads($_, { kind => 'garble', body => { job_id => 'job_same', status => 'accepted' } }) for @policies;
	my @uploads = map { upload($node, payload($_)) } @policies;
	wait_until(
		'both are answered',
		sub {
			query(
				$node, "SELECT count(*) FROM canopy_summit.job j
		JOIN summit.upload u USING (job_id) WHERE u.policy_number IN ('$policies[0]', '$policies[1]')
		AND j.state = 'succeeded'") == 2;
		});
	my ($first) = split /\n/, query(
		$node, "SELECT upload_id FROM summit.upload WHERE policy_number IN
		('$policies[0]', '$policies[1]') ORDER BY error_message NULLS FIRST");
	my ($second) = grep { $_ != $first } @uploads;
	is( upload_has($second, 'status, error_message'), "unresolved|Summit gave the job_id of upload $first",
		'the second is not taken for the first');
	is( query(
			$node,
			"SELECT count(*) FROM canopy_summit.job WHERE operation = 'get-job' AND params ->> 'jobId' = 'job_same'"),
		1,
		'nor asked for');
	query(
		$node,
		q{SELECT canopy_summit.cancel_job(job_id) FROM canopy_summit.job WHERE params ->> 'jobId' = 'job_same'});
	$sandbox->clear;
	return;
}

# A key is not sent any more, by nobody.
sub old_key
{
	my $policy = policy();
	at_uploads($policy, { kind => 'status', status => 500 });
	my $upload_id = upload($node, payload($policy));
	my $job_id = query($node, "SELECT job_id FROM summit.upload WHERE upload_id = $upload_id");
	wait_until(
		'its key is a day old',
		sub {
			query($node, <<~"SQL") =~ /1/;
				WITH aged AS (UPDATE canopy_summit.job SET first_sent_at = now() - interval '1 day'
					WHERE job_id = $job_id AND state = 'queued' AND attempts > 0 RETURNING 1) SELECT count(*) FROM aged
				SQL
		});
	my $before = uploads_at_summit($sandbox, $policy);
	ends_as($upload_id, 'unresolved', 'ends');
	like(
		upload_has($upload_id, 'error_code, error_message'),
		qr/^key_expired\|\d of \d attempts with one Idempotency-Key may .* the Idempotency-Key is older than a day$/,
		'says why');
	is(scalar uploads_at_summit($sandbox, $policy), $before, 'and was not sent again');
	is(sqlstate_of($node, "SELECT canopy_summit.retry_job($job_id, confirm => true)"), '55000', 'nor can it be');
	query($node, "UPDATE canopy_summit.job SET state = 'failed', finished_at = now() WHERE job_id = $job_id");
	query($node, q{SELECT canopy_summit.retry_failed('summit', 'upload-policy')});
	is(query($node, "SELECT state FROM canopy_summit.job WHERE job_id = $job_id"), 'failed', 'not even with others');
	$sandbox->clear;
	return;
}

# A key's day begins when it is first sent, and not when that was tried.
sub never_left
{
	my $policy = policy();
	my $port = $sandbox->listener('trap');
	$sandbox->close_listener($port);
	create_summit_server($node, $sandbox, server => 'gone', options => { base_url => "https://localhost:$port" });
	my $upload_id = upload($node, payload($policy), arguments => q{server => 'gone'});
	my $of_job = "FROM canopy_summit.job j JOIN summit.upload u USING (job_id) WHERE u.upload_id = $upload_id";
	wait_until(
		'it was tried',
		sub { query($node, "SELECT j.outcome IS NOT NULL AND j.state = 'queued' $of_job") eq 't' });
	is(query($node, "SELECT j.first_sent_at IS NULL $of_job"), 't', 'its key is as good as new');
	return;
}
