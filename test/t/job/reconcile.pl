# Is an operation in doubt found if it took effect, and never called a success, or sent again, if it did not?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use JSON::PP ();
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node(conf => "canopy_summit.worker_idle_timeout = 5min\n");
my $pull_id = $sandbox->pull_id('user_good');

# What a look-up goes by, differs by a number. `id` is of the thing that it finds.
my %operation = (
	'post-monitoring' => {
		path => '/monitorings', reader => 'get-monitorings', id => 'monitoring_id', made => 'monitorings',
		body => sub { return { pull_id => $pull_id, interval => 'P' . (30 + $_[0]) . 'D' } } },
	'post-servicings' => {
		path => '/servicings', reader => 'get-servicings', id => 'servicing_action_id', made => 'servicings',
		body => sub {
			return {
				pull_id => $pull_id,
				servicing_actions => [
					{   type => 'REMOVE_MORTGAGEE',
						payload => { carrier_policy_number => "HO$_[0]", mortgagee_type => 'FIRST' } } ] };
		}
	},
	'post-consent-and-connect' => {
		path => '/consentAndConnect', listing => '/pulls\?', reader => 'get-pulls', id => 'pull_id', made => 'pulls',
		body => sub {
			return {
				consent(), insurerName => 'geico',
				meta_data => { lead => "number $_[0]", nested => { n => $_[0] } } };
		}
	});
my @operations = sort keys %operation;
my $number = 0;

create_canopy_server($node, $sandbox);
subtest 'the response was lost' => \&response_lost;
subtest 'the request was lost' => \&request_lost;
subtest 'without meta_data' => \&without_metadata;
subtest 'a listing that fails' => \&failing;
subtest 'a listing that lies' => \&lying;
subtest 'what another job has made' => \&others;
subtest 'two of a kind in doubt' => \&twins;
subtest 'what waits behind it' => \&behind;
done_testing();

sub consent
{
	return (
		device_identifier => '1.2.3.4', terms_version => 3, consent_language => 'I agree',
		public_alias => 'sandbox-link',
		insurerUsername => 'user_good', insurerPassword => 'pass_good');
}

# A job whose answer is lost, with the effect or, for fault "lost", without it; its key.
sub doubtful
{
	my ($operation, $body, $fault, $more) = @_;

	$sandbox->arm(match => { path => $operation{$operation}{path}, method => 'POST' }, fault => { kind => $fault });
	my $job_id = enqueue($node, $operation, {}, $body, $more);
	wait_until("job $job_id was sent", sub { query($node, <<~"SQL") eq 't' });
		SELECT state IN ('in_doubt', 'succeeded') FROM canopy_summit.job WHERE job_id = $job_id
		SQL
	return $job_id;
}

# Has the look-ups of these jobs made one after the other, without the time between them, until each is found or so
# many have ended.
sub look_up
{
	my ($times, @jobs) = @_;
	my $list = join ', ', @jobs;

	wait_until(
		"jobs $list are looked up",
		sub {
			# Scans enqueue look-ups.
			query($node, <<~"SQL");
				UPDATE canopy_summit.job SET run_at = now() WHERE reconciles IN ($list) AND state = 'queued';
				SELECT canopy_summit.wake()
				SQL
			return query($node, <<~"SQL") == 0;
				SELECT count(*) FROM canopy_summit.job j WHERE job_id IN ($list) AND state = 'in_doubt'
					AND (SELECT count(*) FROM canopy_summit.job r
						WHERE r.reconciles = j.job_id AND r.state IN ('succeeded', 'failed')) < $times
				SQL
		},
		30);
	return;
}

sub state_of { my ($job_id) = @_; return job($node, $job_id)->{state} }

# How often the sandbox was asked for an operation, and how often it did it: "1 1".
sub effects
{
	my ($operation) = @_;
	my ($requests, $effects) = (0, 0);

	for my $row (grep { $_->{operation} eq $operation } @{ $sandbox->control(GET => 'effects/canopy')->{operations} })
	{
		$requests += $row->{requests};
		$effects += $row->{effects};
	}
	return "$requests $effects";
}

sub start_anew
{
	$sandbox->clear;
	$sandbox->clear_log;
	$sandbox->reset_state;
	$sandbox->control(DELETE => 'effects');
	query($node, 'TRUNCATE canopy_summit.job, canopy_summit.job_attempt, canopy_summit.job_response');
	return;
}

sub response_lost
{
	for my $operation (@operations)
	{
		start_anew();
		my $body = $operation{$operation}{body}->(++$number);
		# Others of its kind are no reason for doubt.
		for my $other (1 .. 2)
		{
			is( settled($node, enqueue($node, $operation, {}, $operation{$operation}{body}->(100 + $other))),
				'succeeded', "$operation: another one");
		}
		my $job_id = doubtful($operation, $body, 'reset');
		wait_until("$operation: it is looked up by itself", sub { state_of($job_id) eq 'succeeded' });
		my $job = job($node, $job_id);
		is($job->{outcome}, "found by $operation{$operation}{reader}", "$operation: it is found");
		is($job->{outcome_code}, 'reconciled', "$operation: and says how");
		ok($job->{finished_at}, "$operation: and when");
		ok(!exists $job->{body}{insurerPassword}, "$operation: it keeps no password");
		is(effects($operation), '3 3', "$operation: it was sent once");
		like(query($node, <<~"SQL"), qr/^[0-9a-f-]{36}$/, "$operation: the thing is its answer");
			SELECT response ->> '$operation{$operation}{id}' FROM canopy_summit.job_response WHERE job_id = $job_id
			SQL
	}
	return;
}

sub request_lost
{
	for my $operation (@operations)
	{
		start_anew();
		my $job_id = doubtful($operation, $operation{$operation}{body}->(++$number), 'lost');
		is( settled($node, enqueue($node, $operation, {}, $operation{$operation}{body}->(100 + $number))), 'succeeded',
			"$operation: another one has its effect");
		look_up(3, $job_id);
		is(state_of($job_id), 'in_doubt', "$operation: it is not found and stays in doubt");
		like(
			query($node, "SELECT canopy_summit.explain_job($job_id)"), qr/may have taken effect/,
			"$operation: and says so");
		is(query($node, <<~"SQL"), '3|succeeded', "$operation: three look-ups");
			SELECT count(*), string_agg(DISTINCT state::text, ' ') FROM canopy_summit.job WHERE reconciles = $job_id
			SQL
		query($node, 'SELECT canopy_summit.wake()');
		is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', "$operation: after another scan");
		is( query($node, "SELECT count(*) FROM canopy_summit.job WHERE reconciles = $job_id"), 3,
			"$operation: there are no more");
		is(effects($operation), '2 1', "$operation: it was sent once");
		$sandbox->arm(
			match => { path => $operation{$operation}{path}, method => 'POST' },
			fault => { kind => 'reset' });
		is( query($node, "SELECT canopy_summit.retry_job($job_id, confirm => true)"), 't',
			"$operation: who knows better has it sent again");
		wait_until('the answer is lost again', sub { state_of($job_id) eq 'in_doubt' });
		look_up(4, $job_id);
		is(state_of($job_id), 'succeeded', "$operation: which is looked up like the first time");
		is(effects($operation), '3 2', "$operation: and was the second time");
	}
	return;
}

# A login is known by its insurer and its link, if by nothing else.
sub without_metadata
{
	my %body = (consent(), insurerName => 'allstate');
	start_anew();
	my $job_id = doubtful('post-consent-and-connect', \%body, 'reset');
	look_up(1, $job_id);
	is(state_of($job_id), 'succeeded', 'found by its insurer and link');
	start_anew();
	my $lost = doubtful('post-consent-and-connect', \%body, 'lost');
	enqueue($node, 'post-consent-and-connect', {}, { %body, insurerName => 'geico' });
	enqueue(
		$node, 'post-consent-and-connect', {},
		{ %body, public_alias => 'sandbox-link-2', meta_data => { of => 'another link' } });
	all_settled($node, 'reconciles IS NULL');
	# As if consumers had come by themselves.
	query($node, <<~'SQL');
		DELETE FROM canopy_summit.job_response;
		DELETE FROM canopy_summit.job WHERE state = 'succeeded' AND reconciles IS NULL
		SQL
	look_up(1, $lost);
	is(state_of($lost), 'in_doubt', 'not by either alone');
	return;
}

# Look-ups are repeated; what they cannot say is not guessed.
sub failing
{
	for my $operation (@operations)
	{
		my $listing = $operation{$operation}{listing} // $operation{$operation}{path};
		my %faults = (
			'is forbidden' => { kind => 'status', status => 403, body => { error => 'SUBSCRIPTION_INACTIVE' } },
			'is no JSON' => { kind => 'body', body => '{"servicings": [', content_type => 'application/json' });
		my $times = 0;
		start_anew();
		my $job_id = doubtful($operation, $operation{$operation}{body}->(++$number), 'reset');
		for my $what (sort keys %faults)
		{
			$sandbox->arm(match => { path => $listing, method => 'GET' }, times => undef, fault => $faults{$what});
			look_up(++$times, $job_id);
			$sandbox->clear;
			is(state_of($job_id), 'in_doubt', "$operation: in doubt while the listing $what");
		}
		is(query($node, <<~"SQL"), 2, "$operation: these look-ups have failed");
			SELECT count(*) FROM canopy_summit.job WHERE reconciles = $job_id AND state = 'failed'
			SQL
		$sandbox->arm(
			match => { path => $listing, method => 'GET' }, times => 2,
			fault => { kind => 'status', status => 503 });
		look_up(3, $job_id);
		is(state_of($job_id), 'succeeded', "$operation: found once the listing works, after an outage as well");
		is(effects($operation), '1 1', "$operation: sent once");
	}
	return;
}

# Answers of a shape that is not the documented one find nothing, and break nothing.
sub lying
{
	my @nothing = (undef, {}, [], 'text', 7, [ 1, 'a', undef, [], {} ], { pulls => {} });
	for my $operation (@operations)
	{
		my $listing = $operation{$operation}{listing} // $operation{$operation}{path};
		my $made = $operation{$operation}{made};
		start_anew();
		my $job_id = doubtful($operation, $operation{$operation}{body}->(++$number), 'lost');
		for my $lie (
			map({ ($_, { $made => $_ }) } @nothing),
			{ $made => [ { interval => {}, payload => [], meta_data => '{"lead": ', type => 1 } ] },
			{   $made => [
					{ meta_data => '"text"' }, { meta_data => '[[[[' }, { meta_data => {} },
					{ insurance_provider_name => [] } ] })
		{
			my $text = JSON::PP->new->allow_nonref->canonical->encode($lie);
			is( query(
					$node,
					'SELECT count(*) FROM canopy_summit.job WHERE canopy_summit.reconcile_found(job, '
					  . CanopyTest::quoted($text)
					  . ") IS NOT NULL AND job_id = $job_id"),
				0,
				"$operation: nothing is found in $text");
		}
		$sandbox->arm(
			match => { path => $listing, method => 'GET' },
			fault => {
				kind => 'body', body => JSON::PP->new->encode({ $made => [ 1, { meta_data => '{' } ] }),
				content_type => 'application/json' });
		look_up(1, $job_id);
		is(state_of($job_id), 'in_doubt', "$operation: such an answer leaves it in doubt");
		is(query($node, <<~"SQL"), 'succeeded', "$operation: and the look-up has ended");
			SELECT state FROM canopy_summit.job WHERE reconciles = $job_id ORDER BY job_id LIMIT 1
			SQL
	}
	return;
}

# What a job has made, as its answer or a look-up says, is not what another one has.
sub others
{
	for my $operation (@operations)
	{
		start_anew();
		my $body = $operation{$operation}{body}->(++$number);
		my $lost = doubtful($operation, $body, 'lost');
		is( settled($node, enqueue($node, $operation, {}, $body)), 'succeeded',
			"$operation: one like it succeeds meanwhile");
		look_up(1, $lost);
		is(state_of($lost), 'in_doubt', "$operation: which says nothing about the one in doubt");
		my $found = doubtful($operation, $body, 'reset');
		query($node, "SELECT canopy_summit.retry_job($lost, confirm => true)");
		is(settled($node, $lost), 'succeeded', "$operation: that one is sent again");
		look_up(1, $found);
		is(state_of($found), 'succeeded', "$operation: what is left is the effect of another one in doubt");
		is(query($node, <<~"SQL"), '3|3', "$operation: each has its own");
			SELECT count(DISTINCT response), count(*)
			FROM canopy_summit.job_response JOIN canopy_summit.job USING (job_id) WHERE operation = '$operation'
			SQL
		my $later = doubtful($operation, $body, 'lost');
		look_up(1, $later);
		is(state_of($later), 'in_doubt', "$operation: what a look-up has found is taken as well");
		is(effects($operation), '5 3', "$operation: five requests, three effects");
	}
	return;
}

# Of two that cannot be told apart, and one effect, nobody knows whose it is.
sub twins
{
	for my $operation (@operations)
	{
		for my $order ([qw(reset lost)], [qw(lost reset)], [qw(reset reset)])
		{
			start_anew();
			my $body = $operation{$operation}{body}->(++$number);
			my @twins = map { doubtful($operation, $body, $_) } @$order;
			look_up(1, @twins);
			is( jobs_by_state($node, 'reconciles IS NULL'), 'in_doubt 2',
				"$operation: twins, @$order: both stay in doubt");
			is(effects($operation), @$order . ' ' . grep({ $_ eq 'reset' } @$order), "$operation: each was sent once");
		}
	}
	# One that is still on its way may have made it, too.
	start_anew();
	my %body = (consent(), insurerName => 'usaa');
	my $lost = doubtful('post-consent-and-connect', \%body, 'lost');
	my $fault = $sandbox->hold(match => { path => '/consentAndConnect', method => 'POST' });
	my $slow = enqueue($node, 'post-consent-and-connect', {}, { %body, insurerUsername => 'user_good_home' });
	wait_until('its effect is there', sub { effects('post-consent-and-connect') eq '2 1' });
	look_up(1, $lost);
	is(state_of($slow), 'running', 'one like it is on its way');
	is(state_of($lost), 'in_doubt', 'its effect is not taken for that of the one in doubt');
	$sandbox->clear($fault);
	is(settled($node, $slow), 'succeeded', 'it succeeds');
	# Monitorings of different pulls are not of a kind.
	start_anew();
	my @bodies = map { { pull_id => $sandbox->pull_id($_), interval => 'P2M' } } qw(user_good user_good_home);
	my @two = map { doubtful('post-monitoring', $bodies[$_], (qw(reset lost))[$_]) } 0, 1;
	look_up(1, @two);
	is(state_of($two[0]), 'succeeded', 'the monitoring of one pull is found');
	is(query($node, q{SELECT count(*) FROM canopy.monitoring WHERE every = '2 months'}), 1, '… and kept');
	is(state_of($two[1]), 'in_doubt', 'that of another is not');
	return;
}

# A job in doubt holds its ordering key until it is found.
sub behind
{
	start_anew();
	my $job_id = doubtful(
		'post-servicings', $operation{'post-servicings'}{body}->(++$number), 'reset',
		q{ordering_key => 'policy'});
	my $next = enqueue($node, 'get-carriers', {}, undef, q{ordering_key => 'policy'});
	is(state_of($next), 'queued', 'the next of its key waits');
	wait_until('it is found', sub { state_of($job_id) eq 'succeeded' });
	is(settled($node, $next, 10), 'succeeded', 'and is sent at once when it is found');
	return;
}
