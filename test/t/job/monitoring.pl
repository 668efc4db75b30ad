# Do the functions for monitorings send what they are asked to, once and after COMMIT, and is what Canopy says kept?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyWebhook ();
use JSON::PP ();
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();
my $pull_id = $sandbox->pull_id('user_good');

create_canopy_server($node, $sandbox, mapping => { webhook_secret => 'canopy secret' });
subtest 'a monitoring begins' => \&begins;
subtest 'arguments' => \&arguments;
subtest 'it is changed, and stopped' => \&changes;
subtest 'a refresh' => \&refreshes;
subtest 'a refresh whose answer is lost' => \&loses;
subtest 'all of them' => \&lists;
subtest 'a listing that repeats itself' => \&repeats;
subtest 'answers that come late, or say less' => \&late;
subtest 'one that only webhooks name' => \&of_the_team;
subtest 'events, by answers and by webhooks' => \&events;
subtest 'a token for another login' => \&reconnects;
subtest 'who may' => \&levels;
done_testing();

# The body of the last request of an operation.
sub sent
{
	my ($operation) = @_;
	my ($request) = grep { ($_->{operation} // '') eq $operation } reverse $sandbox->log;
	return JSON::PP->new->decode($request->{body});
}

# Runs a function that enqueues, and waits for its job: "state outcome".
sub done
{
	my ($call) = @_;
	my $job_id = query($node, "SELECT $call");
	my $state = settled($node, $job_id);
	return "$state " . job($node, $job_id)->{outcome};
}

sub monitoring
{
	my ($columns, $where) = @_;
	return query(
		$node,
		"SELECT $columns FROM canopy.monitoring WHERE " . ($where // 'true') . ' ORDER BY monitoring_id');
}

# A new one, of its own; its id.
sub monitored
{
	query($node, 'TRUNCATE canopy_summit.monitoring');
	like(done("canopy_monitor_pull('$pull_id')"), qr/^succeeded/, 'a monitoring begins');
	return monitoring('monitoring_id');
}

sub begins
{
	my %sent = (
		q{DEFAULT} => 'P30D', q{'30 days'} => 'P30D', q{'1 month'} => 'P1M', q{'6 weeks'} => 'P42D',
		q{'1 year'} => 'P1Y',
		q{'14 months 3 days'} => 'P1Y2M3D');
	query($node, "BEGIN; SELECT canopy_monitor_pull('$pull_id'); ROLLBACK");
	for my $every (sort keys %sent)
	{
		my $argument = $every eq 'DEFAULT' ? '' : ", $every";
		query($node, 'TRUNCATE canopy_summit.monitoring');
		like(done("canopy_monitor_pull('$pull_id'$argument)"), qr/^succeeded/, "every $every");
		is_deeply(sent('post-monitoring'), { pull_id => $pull_id, interval => $sent{$every} }, '… by ISO 8601');
		is( monitoring(
				'source, status, latest_pull_id, initial_pull_id, needs_reconnect, every = '
				  . ($argument ? "$every" : q{'30 days'})),
			"api|ACTIVE|$pull_id||f|t",
			'… and the view has what the answer says');
	}
	is( scalar(grep { ($_->{operation} // '') eq 'post-monitoring' } $sandbox->log),
		6, 'nothing is sent for what was rolled back');
	query($node, 'TRUNCATE canopy_summit.monitoring');
	like(
		done(
				"canopy_monitor_pull('$pull_id', next_pull_date => '2027-03-01 12:00+02', "
			  . "stop_after_date => '2028-01-01 00:00:00.5Z')"),
		qr/^succeeded/,
		'with dates');
	is_deeply(
		sent('post-monitoring'),
		{   pull_id => $pull_id, interval => 'P30D', next_pull_date => '2027-03-01T10:00:00.000Z',
			stop_after_date => '2028-01-01T00:00:00.500Z' },
		'… in UTC');
	is( monitoring(q{next_pull_date = '2027-03-01 10:00Z', stop_after_date = '2028-01-01 00:00:00.5Z'}), 't|t',
		'… which the view has');
	like(
		done(q{canopy_monitor_pull('missing')}),
		qr/^failed server answered 40[04] NOT_FOUND/,
		'a pull that is not there');
	return;
}

sub arguments
{
	my $jobs = query($node, 'SELECT count(*) FROM canopy_summit.job');
	my %refused = (
		q{canopy_monitor_pull(NULL)} => '22004',
		q{canopy_monitor_pull('p', NULL)} => '22004',
		q{canopy_change_monitoring(NULL, '1 month')} => '22004',
		q{canopy_stop_monitoring(NULL)} => '22004',
		q{canopy_refresh_monitoring(NULL)} => '22004',
		q{canopy_change_monitoring('m')} => '22023',
		q{canopy_change_monitoring('m', status => 'PAUSED')} => '22023',
		q{canopy_monitor_pull('p', next_pull_date => 'infinity')} => '22023',
		q{canopy_change_monitoring('m', stop_after_date => '-infinity')} => '22023',
		q{canopy_stop_monitoring('m', 'missing')} => '42704');
	$refused{"canopy_monitor_pull('p', '$_')"} = '22023'
	  for '29 days', '0', '-2 months', '2 months -3 days', '40 days 1 hour', '-1 days 3 months';
	for my $call (sort keys %refused)
	{
		my @error = sqlstate_of($node, "SELECT $call");
		is($error[0], $refused{$call}, $call);
		like($error[3], qr/interval '30 days'/, '… with a hint') if $error[1] =~ /"every" must/;
	}
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, 'nothing is enqueued');
	return;
}

sub changes
{
	my $id = monitored();
	like(
		done("canopy_change_monitoring('$id', '3 months', stop_after_date => '2029-01-01Z')"), qr/^succeeded/,
		'changed');
	is_deeply(
		sent('patch-monitoring'),
		{ interval => 'P3M', stop_after_date => '2029-01-01T00:00:00.000Z' },
		'only what was given is sent');
	is(monitoring(q{every, stop_after_date = '2029-01-01Z', status}), '3 mons|t|ACTIVE', 'the view has it');
	like(done("canopy_stop_monitoring('$id')"), qr/^succeeded/, 'stopped');
	is(monitoring('status, next_pull_date, every'), 'STOPPED||3 mons', 'the view has that');
	like(
		done("canopy_refresh_monitoring('$id')"),
		qr/^failed server answered 400 MONITORING_INACTIVE/,
		'what has stopped is not refreshed');
	like(done("canopy_change_monitoring('$id', status => 'ACTIVE')"), qr/^succeeded/, 'it goes on');
	is(monitoring('status'), 'ACTIVE', 'the view has that, too');
	for my $code (qw(INTERVAL_TOO_SHORT INVALID_INTERVAL INVALID_STOP_AFTER INVALID_MONITORING_ID))
	{
		$sandbox->arm(
			match => { path => '/monitorings/', method => 'PATCH' },
			times => 1,
			fault => { kind => 'status', status => 400, body => { error => $code } });
		like(
			done("canopy_change_monitoring('$id', '2 months')"),
			qr/^failed server answered 400 $code/, "refused by $code");
	}
	is(monitoring('every'), '3 mons', 'what was refused changes nothing');

	my $fault = $sandbox->hold(match => { path => '/monitorings/', method => 'PATCH' }, times => 1);
	my $change = query($node, "SELECT canopy_change_monitoring('$id', status => 'ACTIVE')");
	wait_until('a change is on its way', sub { $sandbox->waiting($fault) });
	my $stop = query($node, "SELECT canopy_stop_monitoring('$id')");
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'other jobs are sent');
	is(job($node, $stop)->{state}, 'queued', 'a stop waits for the change before it');
	$sandbox->clear($fault);
	is(settled($node, $_), 'succeeded', 'both are made') for $change, $stop;
	is(monitoring('status'), 'STOPPED', '… in their order');
	return;
}

sub refreshes
{
	my $id = monitored();
	like(done("canopy_refresh_monitoring('$id')"), qr/^succeeded/, 'refreshed');
	my $latest = monitoring('latest_pull_id');
	isnt($latest, $pull_id, 'the new pull is known');
	is(monitoring('status, every'), 'ACTIVE|30 days', 'and all else still');
	$sandbox->arm(
		match => { path => '/refresh' },
		times => 1,
		fault => { kind => 'status', status => 400, body => { error => 'CURRENTLY_REFRESHING' } });
	like(
		done("canopy_refresh_monitoring('$id')"),
		qr/^failed server answered 400 CURRENTLY_REFRESHING/,
		'while another one is under way');
	is(monitoring('latest_pull_id'), $latest, 'nothing changes');
	return;
}

sub loses
{
	my $id = monitored();
	$sandbox->arm(match => { path => '/refresh' }, times => 1, fault => { kind => 'reset' });
	$sandbox->clear_log;
	my $job_id = query($node, "SELECT canopy_refresh_monitoring('$id')");
	is(settled($node, $job_id), 'in_doubt', 'it may have been refreshed');
	is(settled($node, enqueue($node, 'get-carriers')), 'succeeded', 'the worker goes on');
	is(scalar(grep { ($_->{path} // '') =~ m{/refresh} } $sandbox->log), 1, 'it is not sent again');
	$sandbox->clear;
	return;
}

sub lists
{
	my $count = 230;
	query($node, "SELECT count(canopy_monitor_pull('$pull_id')) FROM generate_series(1, $count)");
	all_settled($node);
	my $all = query(
		$node,
		q{SELECT count(*) FROM canopy_summit.job WHERE operation = 'post-monitoring' AND state = 'succeeded'});
	query($node, 'TRUNCATE canopy_summit.monitoring');
	$sandbox->clear_log;
	like(query($node, 'SELECT canopy_sync_monitorings()'), qr/^\d+$/, 'a listing begins with a job');
	all_settled($node);
	is(query($node, 'SELECT count(*) FROM canopy.monitoring'), $all, "all $all are found");
	is( query(
			$node,
			q{SELECT count(*) FROM canopy.monitoring WHERE source = 'api' AND status IS NOT NULL AND every IS NOT NULL}
		),
		$all,
		'with what there is to know');
	query($node, 'SELECT canopy_sync_monitorings()');
	all_settled($node);
	is(query($node, 'SELECT count(*) FROM canopy.monitoring'), $all, 'the next time likewise');
	is(jobs_by_state($node, q{operation = 'get-monitorings' AND state <> 'succeeded'}), 'none', 'no page fails');
	is(listing(), "done|$all|", 'operators see how far it is');

	query($node, q{SELECT canopy_summit.pause_server('canopy')});
	my $page = query($node, 'SELECT canopy_sync_monitorings()');
	is(listing(), 'running|0|', 'one that waits');
	query($node, "SELECT canopy_summit.cancel_job($page), canopy_summit.resume_server('canopy')");
	like(listing(), qr/^failed\|0\|cancelled by/, '… and is cancelled');
	return;
}

# The newest listing: "state|done|problem".
sub listing
{
	return query($node, <<~'SQL');
		SELECT state, done, problem FROM canopy_summit.progress WHERE what = 'monitorings' ORDER BY task_id DESC LIMIT 1
		SQL
}

sub repeats
{
	my $page = { monitorings_count => 3, monitorings => [ (map { entry($_) } qw(a b)), { monitoring_id => 'c' } ] };
	$sandbox->arm(match => { path => '/monitorings\?' }, times => undef, fault => { kind => 'body', body => $page });
	$sandbox->clear_log;
	query($node, 'SELECT canopy_sync_monitorings()');
	all_settled($node);
	cmp_ok(scalar(grep { $_->{path} =~ /monitorings\?/ } $sandbox->log), '<=', 3, 'it ends');
	is(listing(), 'done|2|', '… with what there is');
	$sandbox->clear;
	return;
}

# A monitoring as the API writes it.
sub entry
{
	my ($id, %more) = @_;
	return {
		monitoring_id => $id, latest_pull_id => "pull of $id", status => 'ACTIVE', interval => 'P1M',
		next_pull_date => undef, stop_after_date => undef, %more };
}

sub late
{
	query($node, 'TRUNCATE canopy_summit.monitoring');
	my $take = sub {
		my ($at, @entries) = @_;
		my $json = CanopyTest::quoted(JSON::PP->new->encode(\@entries));
		return query($node, "SELECT canopy_summit.monitorings_take(0, 'canopy', '$at', $json)");
	};
	$take->('2026-03-02Z', entry('x', status => 'STOPPED', latest_pull_id => 'second'));
	$take->('2026-03-01Z', entry('x', interval => 'P2M', latest_pull_id => 'first'));
	is(monitoring('status, every, latest_pull_id'), 'STOPPED|1 mon|second', 'the older of two answers does not count');
	$take->('2026-03-03Z', { monitoring_id => 'x', latest_pull_id => 'third' });
	is( monitoring('status, every, latest_pull_id, told_at'), 'STOPPED|1 mon|third|2026-03-02 00:00:00+00',
		'nor what it does not say');
	$take->(
		'2026-03-04Z', entry('x', interval => 'every month', next_pull_date => 'soon'),
		{}, 5, entry('y' x 3000), entry('x', status => 'SECOND'));
	is( query($node, q{SELECT every, next_pull_date, status FROM canopy.monitoring WHERE monitoring_id = 'x'}),
		'||ACTIVE', 'what makes no sense is left out');
	is(query($node, q{SELECT count(*) FROM canopy.monitoring}), 2, '… and costs nothing else');
	$take->('2026-03-05Z', { monitoring_id => 'z', success => 1 }, 'status', ['status']);
	is(monitoring('monitoring_id', q{monitoring_id = 'z'}), '', 'nor is one kept of which it says nothing');
	return;
}

sub of_the_team
{
	query($node, 'TRUNCATE canopy_summit.monitoring');
	CanopyWebhook::create_wh($node);
	is( CanopyWebhook::receive(
			$node, 'canopy',
			{   event_type => 'MONITORING_RECONNECT', pull_id => 'p2', status => 'NOT_AUTHENTICATED',
				is_monitored => JSON::PP::true,
				monitoring => { monitoring_id => 'of the team', initial_pull_id => 'p1' },
				data => { auth_status => 'NOT_AUTHENTICATED', reconnect_url => 'https://x', reconnect_token => 't' } }),
		'200 stored',
		'a webhook comes');
	soon_ok('the view has it', sub { query($node, 'SELECT count(*) FROM canopy.monitoring') == 1 });
	is( monitoring('source, status, initial_pull_id, latest_pull_id, needs_reconnect'),
		'team||p1|p2|t', 'as one that the team has');
	return;
}

sub events
{
	my $discover = $sandbox->pull_id('user_good_discover');
	my $count = 'SELECT count(*), count(DISTINCT type), min(type) FROM canopy.monitoring_event';
	query($node, 'TRUNCATE canopy_summit.monitoring, canopy_summit.monitoring_event');
	like(done("canopy_monitor_pull('$discover')"), qr/^succeeded/, 'a flood policy is monitored');
	my $id = monitoring('monitoring_id');
	like(done("canopy_refresh_monitoring('$id')"), qr/^succeeded/, 'the next pull has a mortgagee more');
	my $latest = monitoring('latest_pull_id');
	my $ask = "canopy_enqueue('get-monitoring-events', '{\"monitoringId\": \"$id\"}')";
	like(done($ask), qr/^succeeded/, 'asked for events');
	is(query($node, $count), '1|1|ENDORSEMENT', 'the event is kept');
	like(done($ask), qr/^succeeded/, 'asked once more');
	is(query($node, $count), '1|1|ENDORSEMENT', '… it is the same');
	for my $nothing (
		{ latest_pull_id => 'p' }, { latest_pull_id => { x => 1 }, events => undef },
		{ events => [ 1, {} ] })
	{
		$sandbox->arm(match => { path => '/events' }, times => 1, fault => { kind => 'body', body => $nothing });
		like(done($ask), qr/^succeeded/, 'an answer without events');
	}
	is(query($node, $count), '1|1|ENDORSEMENT', '… tells none');
	my $event = JSON::PP->new->decode(query($node, <<~"SQL"));
		SELECT jsonb_build_object('type', type, 'changes', changes, 'documents', documents) FROM canopy.monitoring_event
		WHERE (monitoring_id, pull_id) = ('$id', '$latest')
		SQL
	my $tell = sub {
		my ($age, %more) = @_;
		my %webhook = (
			event_type => 'MONITORING_EVENTS', pull_id => $latest, status => 'SUCCESS',
			is_monitored => JSON::PP::true, monitoring => { monitoring_id => $id }, data => { %$event, %more });
		is(CanopyWebhook::receive($node, 'canopy', \%webhook, $age), '200 stored', 'a webhook tells');
		soon_ok(
			'… and is applied',
			sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
	};
	$tell->('5 min', documents => [ { document_id => 'd' } ]);
	is(query($node, $count), '1|1|ENDORSEMENT', 'a webhook that tells of it makes no other');
	is( query($node, q{SELECT told_at < now() - interval '4 min', documents FROM canopy.monitoring_event}),
		't|[{"document_id": "d"}]', '… but tells when it was, and of documents');
	$tell->('1 min', type => 'RENEWAL', documents => undef);
	$tell->('30 s', type => 'RENEWAL', documents => []);
	is( query($node, q{SELECT documents FROM canopy.monitoring_event WHERE type = 'RENEWAL'}),
		'[]', 'none of them is more than nothing said');
	is(query($node, $count), '2|2|ENDORSEMENT', 'another event is another row');
	return;
}

sub reconnects
{
	my $id = monitored();
	is( query(
			$node,
			"SELECT pull_id, reconnect_url ~ '^https://', length(reconnect_token) > 10 "
			  . "FROM canopy_reconnect_token('$id')"),
		"$pull_id|t|t",
		'a token, and where to go with it');
	is(scalar sqlstate_of($node, q{SELECT canopy_reconnect_token('missing')}), '02000', 'of one that is not there');
	return;
}

sub levels
{
	my $id = monitored();
	query($node, <<~'SQL');
		CREATE ROLE fetcher LOGIN;
		CREATE ROLE admin LOGIN;
		CREATE ROLE reader LOGIN;
		SELECT canopy_summit.grant_access(level::regrole, level) FROM unnest('{fetcher,admin,reader}'::text[]) AS level;
		GRANT USAGE ON FOREIGN SERVER canopy TO fetcher, admin, reader;
		SQL
	for my $call (
		"canopy_monitor_pull('p')", "canopy_change_monitoring('m', '2 months')", "canopy_stop_monitoring('m')",
		"canopy_refresh_monitoring('m')", 'canopy_sync_monitorings()', "canopy_reconnect_token('m')",
		q{canopy_enqueue('post-monitoring', body => '{"pull_id": "p", "interval": "P1M"}')},
		q{canopy_enqueue('post-monitoring-refresh', '{"monitoringId": "m"}')})
	{
		is(scalar sqlstate_of($node, "SET ROLE $_; SELECT $call"), '42501', "not $_: $call") for qw(reader fetcher);
	}
	is(scalar sqlstate_of($node, "SET ROLE admin; SELECT canopy_stop_monitoring('$id')"), undef, 'admin may');
	like(query($node, 'SET ROLE reader; SELECT status FROM canopy.monitoring'), qr/ACTIVE|STOPPED/, 'readers see them');
	return;
}
