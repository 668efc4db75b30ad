# Do the events of a pull, a monitoring and a policy come to the same end in whatever order they arrive?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyUpload;
use CanopyWebhook;
use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_worker_node();
my @effects =
  qw(pull_progress auth_status reconnect monitoring monitoring_event servicing_action servicing_status data_update
  document_validation policy_status status_event certificate);
my $ids = { property_id => 'KEL-001', unit_id => 'Unit-204', lease_id => 'L-7788', tenant_id => 'RES-9981' };

create_webhook_servers($node);
# Permutations are applied by hand, in a database that no worker has.
query($node, 'CREATE DATABASE quiet');
create_webhook_servers($node, 'quiet');
$node->append_conf('postgresql.conf', "canopy_summit.databases = 'postgres'");
$node->restart;

subtest 'the guide\'s events' => \&guide;
subtest 'orders of a policy' => \&policy_orders;
subtest 'two certificates of one policy' => \&ambiguous;
subtest 'uploads' => \&uploads;
subtest 'orders of a pull' => \&pull_orders;
subtest 'who has to log in' => \&reconnects;
subtest 'what each event leaves' => \&canopy_events;
subtest 'who sees it' => \&seen;
subtest 'fetches' => \&fetches;
done_testing();

sub ids
{
	my (@names) = @_;
	return { reference_ids => { map { ($_ . '_id' => $ids->{ $_ . '_id' }) } @names } };
}

sub event
{
	my ($delivery, $event, $at, $data) = @_;
	return { delivery_id => $delivery, event => "policy.$event", occurred_at => $at, attempt => 1, data => $data };
}

# The bodies of the guide, word for word, in its envelope.
sub guide_events
{
	my %data = (
		submitted => <<~'END',
			{
			 "policy": {"policy_number": "ABC123456", "policy_type": "CGL", "effective_date": "2025-01-01",
				"expiry_date": "2026-01-01"},
			 "certificate_holder": {"name": "ABC Apartments",
				"reference_ids": {"property_id": "KEL-001","unit_id": "Unit-204","lease_id": "L-7788",
					"tenant_id": "RES-9981"}},
			 "documents": {"coi_pdf_id": "doc_01H..."}
			}
			END
		verified => <<~'END',
			{
			 "policy": {"policy_number": "ABC123456", "verified_at": "2025-10-30T17:35:00Z", "verifier": "carrier-api"},
			 "checks": [{"name": "limits", "result": "pass"}, {"name": "endorsements", "result": "pass"}],
			 "certificate_holder": {"reference_ids": {"property_id": "KEL-001","unit_id": "Unit-204"}}
			}
			END
		lapsed => <<~'END',
			{
			 "policy": {"policy_number": "ABC123456", "lapsed_at": "2026-01-02T00:00:00Z"},
			 "reason": {"code": "expiry", "detail": "No renewal received by expiry"},
			 "last_known_coverage": {"effective_date": "2025-01-01","expiry_date": "2026-01-01"},
			 "certificate_holder": {"reference_ids": {"property_id": "KEL-001","tenant_id": "RES-9981"}}
			}
			END
		reinstated => <<~'END');
			{
			 "policy": {"policy_number": "ABC123456", "reinstated_at": "2026-01-05T15:12:00Z",
				"new_expiry_date": "2027-01-01"},
			 "reason": {"code": "late_renewal", "detail": "Carrier accepted late renewal"},
			 "certificate_holder": {"reference_ids": {"property_id": "KEL-001","tenant_id": "RES-9981"}}
			}
			END
	my %at = (
		submitted => '2025-10-30T17:34:00Z', verified => '2025-10-30T17:35:12Z', lapsed => '2026-01-02T00:00:05Z',
		reinstated => '2026-01-05T15:12:05Z');
	return map {
			qq({\n "delivery_id": "dwk_$_",\n "event": "policy.$_",\n "occurred_at": "$at{$_}",\n)
		  . qq( "attempt": 1,\n "data": $data{$_}})
	} qw(submitted verified lapsed reinstated);
}

sub guide
{
	is(receive($node, 'summit', $_, undef, 'quiet'), '200 stored', 'an event of the guide') for guide_events();
	query($node, 'SELECT canopy_summit.apply_webhooks()', 'quiet');
	is( query($node, <<~'SQL', 'quiet'),
		SELECT policy_number, holder_name, property_id, unit_id, lease_id, tenant_id, status, status_at,
			policy_type, effective_date, expiry_date, reason_code, reason_detail, verified_at, lapsed_at,
			reinstated_at, coi_pdf_id, environment
		FROM summit.policy_status
		SQL
		'ABC123456|ABC Apartments|KEL-001|Unit-204|L-7788|RES-9981|reinstated|2026-01-05 15:12:05+00|'
		  . 'CGL|2026-01-05|2027-01-01|late_renewal|Carrier accepted late renewal|2025-10-30 17:35:00+00|'
		  . '2026-01-02 00:00:00+00|2026-01-05 15:12:00+00|doc_01H...|sandbox',
		'they make one row');
	is( query($node, <<~'SQL', 'quiet'),
		SELECT status, actor, verifier, checks -> 1 ->> 'name', reason_code, observed_at, effective_date, expiry_date,
			coi_pdf_id
		FROM summit.status_event ORDER BY occurred_at
		SQL
		<<~'END' =~ s/\n$//r, 'and its history');
			submitted||||||2025-01-01|2026-01-01|doc_01H...
			verified|carrier|carrier-api|endorsements||2025-10-30 17:35:00+00|||
			lapsed||||expiry|2026-01-02 00:00:00+00|2025-01-01|2026-01-01|
			reinstated||||late_renewal|2026-01-05 15:12:00+00||2027-01-01|
			END
	reset_quiet();
	return;
}

sub reset_quiet
{
	query($node, 'TRUNCATE ' . join(', ', map { "canopy_summit.$_" } qw(webhook job), @effects), 'quiet');
	return;
}

# Every given order of deliveries, in batches of every size: the end must be the same.
sub converges
{
	my ($name, $orders, @deliveries) = @_;
	my %ends;

	for my $order (@$orders)
	{
		my $batch = 1 + int rand @deliveries;
		my $sql = "BEGIN;\n" . join '',
		  map { "SELECT FROM wh('$_->[0]', " . body_of($_->[1]) . ", '" . ($_->[2] // 0) . "');\n" }
		  @deliveries[@$order];
		# All in one transaction: what was applied is read, and taken back.
		$sql .= "SELECT canopy_summit.apply_webhooks($batch);\n" x (1 + @deliveries / $batch);
		my ($status, $out) = ends($sql);
		push @{ $ends{$out} }, "@$order by $batch";
	}
	is(scalar keys %ends, 1, "$name: " . @$orders . ' orders have one end')
	  or diag(join "\n--\n", map { "$ends{$_}[0]:\n$_" } keys %ends);
	return (keys %ends)[0];
}

sub ends
{
	my ($sql) = @_;
	my $all = join ' UNION ALL ', map { <<~"SQL" } @effects;
		SELECT '$_ '
			|| (to_jsonb(t) - '{webhook_id,policy_status_id,upload_id,signed_at,last_event_at,policies_at,completed_at,
				error_at,first_event_at,logged_in_at,data_at,latest_at,status_at,status_event_id,recorded_at,known_from,
				known_to}'::text[])::text AS x
		FROM canopy_summit.$_ t WHERE coalesce(to_jsonb(t) ->> 'known_to', 'infinity') = 'infinity'
		SQL
	return (
		0,
		query($node, <<~"SQL", 'quiet') =~ s/.*END\n//sr);
			$sql
			SELECT 'END';
			SELECT * FROM (
				$all
				UNION ALL SELECT DISTINCT 'job ' || params::text FROM canopy_summit.job
				UNION ALL SELECT 'stopped ' || problem FROM canopy_summit.webhook WHERE state <> 'applied') x
			ORDER BY x COLLATE "C";
			ROLLBACK
			SQL
}

# All orders of so many, or a sample.
sub orders
{
	my ($count, $wanted) = @_;
	my @all = ([]);
	for my $n (0 .. $count - 1)
	{
		@all = map {
			my $order = $_;
			map { [ @$order[ 0 .. $_ - 1 ], $n, @$order[ $_ .. $#$order ] ] } 0 .. @$order
		} @all;
	}
	return [ (shuffle @all)[ 0 .. ($wanted < @all ? $wanted : @all) - 1 ] ];
}

sub policy_orders
{
	my @events = (
		guide_events(),
		encode(
			event(
				'dwk_5', 'lapsed',
				'2027-01-02T00:00:00Z',
				{   policy => { policy_number => 'ABC123456', lapsed_at => '2027-01-02T00:00:00Z' },
					reason => { code => 'expiry' }, certificate_holder => ids(qw(property lease)) })),
		encode(
			event(
				'dwk_6',
				'reinstated',
				'2027-01-03T00:00:00Z',
				{   policy => {
						policy_number => 'ABC123456', reinstated_at => '2027-01-03T00:00:00Z',
						new_expiry_date => '2028-01-01' },
					certificate_holder => ids(qw(property unit)) })));
	my $end = converges('policy', orders(6, scaled(720)), map { [ 'summit', $_ ] } @events);
	like(
		$end,
		qr/"status": "reinstated".*"expiry_date": "2028-01-01"|"expiry_date": "2028-01-01".*"status": "reinstated"/,
		'which is that of the newest');
	is(scalar(() = $end =~ /^status_event /mg), 6, 'with all of the history');

	my @tied = map {
		event(
			"tie_$_", $_,
			'2026-01-01T00:00:00Z',
			{   policy => { policy_number => 'T', expiry_date => $_ eq 'lapsed' ? '2026-05-05' : undef },
				certificate_holder => ids('property') })
	} qw(submitted verified lapsed reinstated);
	$end = converges('policy, in one second', orders(4, scaled(240)), (map { [ 'summit', $_ ] } @tied),);
	like($end, qr/policy_status .*"status": "reinstated"/, 'the later step of a life cycle wins');
	return;
}

sub ambiguous
{
	my @holders = map {
		event(
			"a$_",
			'submitted',
			"2026-01-0${_}T00:00:00Z",
			{   policy => { policy_number => 'A' },
				certificate_holder => { reference_ids => { property_id => 'P', unit_id => "U$_", tenant_id => "T$_" } }
			})
	} 1, 2;
	receive($node, 'summit', $_, undef, 'quiet') for @holders;
	query($node, 'SELECT canopy_summit.apply_webhooks()', 'quiet');
	my $list = query($node, <<~'SQL', 'quiet');
		SELECT string_agg(policy_status_id::text, ', ' ORDER BY policy_status_id) FROM canopy_summit.policy_status
		SQL
	is( query($node, 'SELECT count(*) FROM canopy_summit.policy_status', 'quiet'), 2,
		'two holders of one policy at one property are two certificates');
	receive(
		$node, 'summit',
		event(
			'a3', 'lapsed', '2026-02-01T00:00:00Z',
			{ policy => { policy_number => 'A' }, certificate_holder => { reference_ids => { property_id => 'P' } } }),
		undef,
		'quiet');
	receive(
		$node, 'summit',
		event(
			'a4',
			'verified',
			'2026-02-01T00:00:00Z',
			{   policy => { policy_number => 'A' },
				certificate_holder => { reference_ids => { property_id => 'P', tenant_id => 'T2' } } }),
		undef,
		'quiet');
	receive(
		$node, 'summit',
		event(
			'a5',
			'verified',
			'2026-02-01T00:00:00Z',
			{   policy => { policy_number => 'A' },
				certificate_holder => { reference_ids => { property_id => 'Q', tenant_id => 'T2' } } }),
		undef,
		'quiet');
	query($node, 'SELECT canopy_summit.apply_webhooks()', 'quiet');
	is( query($node, <<~'SQL', 'quiet'), "a3|it fits several certificates: $list",
		SELECT delivery_key, problem FROM canopy_summit.webhook WHERE state = 'quarantined'
		SQL
		'an event that fits both is quarantined with the list');
	is( query($node, <<~'SQL', 'quiet'), "P|U1|submitted\nP|U2|verified\nQ||verified",
		SELECT property_id, unit_id, status FROM canopy_summit.policy_status ORDER BY 1, 2 NULLS LAST
		SQL
		'one that fits one is applied, and another property is another certificate');
	query($node, q{DELETE FROM canopy_summit.policy_status WHERE unit_id = 'U1'}, 'quiet');
	is(query($node, <<~'SQL', 'quiet'), 'applied', 'with one left it is applied');
		SELECT canopy_summit.apply_webhook(webhook_id) FROM canopy_summit.webhook WHERE delivery_key = 'a3'
		SQL
	reset_quiet();
	return;
}

sub uploads
{
	create_summit_server($node, $sandbox, server => 'summit2', mapping => { webhook_secret => 'summit secret' });
	query($node, <<~'SQL');
		ALTER SERVER summit2 OPTIONS (ADD webhook_tolerance '1h'); SET canopy_summit.summit_server = 'summit2'
		SQL
	$sandbox->control(
		POST => 'outcome',
		{   policy_number => '.*', times => undef,
			outcome => { status => 'verified', after_polls => 1000, after_seconds => 1000 } });
	my %upload = map { ($_ => upload($node, payload($_), arguments => q{server => 'summit2'})) } 'LC-1', 'LC-2';
	is(settles_as($node, $upload{$_}, 'accepted'), 'accepted', 'an upload is accepted') for sort keys %upload;
	my $verified = sub {
		my ($delivery, $policy, $at, $holder) = @_;
		my $body = body_of(
			event(
				$delivery,
				'verified',
				$at,
				{   policy => { policy_number => $policy, verified_at => $at, verifier => 'broker' },
					certificate_holder => $holder }));
		return query($node, <<~"SQL");
			SELECT outcome
			FROM receive_webhook('summit2',
				jsonb_build_object('x-summit-signature', sign_webhook('summit secret', $body\::bytea, 'summit')),
				$body)
			SQL
	};
	my $now = query($node, q{SELECT to_char(now() + interval '1 s', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')});
	is($verified->('u1', 'LC-1', $now, ids(qw(property unit))), 'stored', 'its webhook comes');
	is(settles_as($node, $upload{'LC-1'}, 'verified', 20), 'verified', 'and ends it');
	is(query($node, <<~'SQL'), "$upload{'LC-1'}|verified", 'the certificate names its upload');
		SELECT upload_id, status FROM canopy_summit.policy_status WHERE policy_number = 'LC-1'
		SQL
	$verified->('u2', 'LC-2', '2025-01-01T00:00:00Z', ids(qw(property unit)));
	$verified->('u3', 'LC-2', $now, { reference_ids => { property_id => 'another' } });
	wait_until(
		'they are applied',
		sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
	is(query($node, <<~"SQL"), 'accepted', 'what occurred before an upload, or elsewhere, does not end it');
		SELECT status FROM summit.upload WHERE upload_id = $upload{'LC-2'}
		SQL
	query($node, "UPDATE summit.upload SET status = 'unresolved' WHERE upload_id = $upload{'LC-2'}");
	$verified->('u4', 'LC-2', $now, ids(qw(property tenant)));
	soon_ok('an unresolved one is ended, too', sub { query($node, <<~"SQL") eq 'verified' }, 20);
		SELECT status FROM summit.upload WHERE upload_id = $upload{'LC-2'}
		SQL
	# A poll that was on its way says that it failed.
	$sandbox->control(
		PUT => 'job/' . query($node, <<~"SQL"), { status => 'failed', code => 'invalid_request', message => 'late' });
			SELECT summit_job_id FROM summit.upload WHERE upload_id = $upload{'LC-1'}
			SQL
	query($node, <<~'SQL');
		UPDATE canopy_summit.job SET run_at = now() WHERE operation = 'get-job' AND state = 'queued';
		SELECT canopy_summit.wake()
		SQL
	all_settled($node, q{operation = 'get-job' AND run_at <= now()});
	is(query($node, <<~"SQL"), 'verified|', 'a failed poll does not take that back');
		SELECT status, error_code FROM summit.upload WHERE upload_id = $upload{'LC-1'}
		SQL
	return;
}

sub canopy
{
	my ($type, $data, %more) = @_;
	return { event_type => $type, pull_id => 'pull', status => 'S', meta_data => {}, data => $data // {}, %more };
}

# A pull's life, signed a minute apart: [server, body, age].
sub pull_life
{
	my $minute = 100;
	my $monitored =
	  { is_monitored => JSON::PP::true, monitoring => { monitoring_id => 'mon', initial_pull_id => 'first' } };
	return map { [ 'canopy', $_, ($minute--) . ' min' ] } canopy(
		'AUTH_STATUS', { auth_status => 'NOT_AUTHENTICATED', login_error_message => '<b onclick=x>No</b>' },
		sequence => 1),
	  canopy(
		'AUTH_STATUS',
		{ auth_status => 'IDENTITY_VERIFICATION_OPTIONS', mfa_options => { sms => 'Text' }, sequence => 2 }),
	  canopy('AUTH_STATUS', { auth_status => 'SUCCESS' }, sequence => 10),
	  canopy('ERROR', { type => 'INTERNAL_ERROR' }, account_identifier => 'acc'),
	  canopy('POLICIES_AVAILABLE', undef, %$monitored),
	  canopy(
		'MONITORING_RECONNECT',
		{ auth_status => 'NOT_AUTHENTICATED', reconnect_url => 'https://r', reconnect_token => 'tok' },
		monitoring => { monitoring_id => 'mon' }),
	  canopy(
		'SERVICING_STATUS_UPDATED',
		{   servicing_action_id => 'act', original_pull_id => 'o', status => 'SUBMITTED',
			previous_status => 'PROCESSING' }),
	  canopy(
		'SERVICING_STATUS_UPDATED',
		{   servicing_action_id => 'act', status => 'VERIFIED', previous_status => 'SUBMITTED', document_id => 'doc',
			is_manual => JSON::PP::true }),
	  canopy('COMPLETE');
}

sub pull_orders
{
	my @life = pull_life();
	my $end = converges('pull', [ map { [ shuffle 0 .. $#life ] } 1 .. scaled(500) ], @life);
	like($end, qr/^auth_status .*"sequence": 10.*/m, 'the login is where the highest sequence says');
	my $known = join '', map { "(?=.*$_)" } '"last_event": "COMPLETE"', '"account_identifier": "acc"',
	  '"initial_pull_id": "first"', '"monitoring_id": "mon"';
	like($end, qr/^pull_progress $known/m, 'the pull is complete and knows all that any event said');
	like($end, qr/^monitoring .*"initial_pull_id": "first"/m, 'so does the monitoring');
	like($end, qr/^servicing_action .*"status": "VERIFIED"/m, 'the action is verified');
	is(scalar(() = $end =~ /^job .*"pullId": "pull"/mg), 1, 'one thing is fetched');

	my @same = (
		canopy('ERROR', { type => 'INTERNAL_ERROR' }), canopy('ERROR', { type => 'PROVIDER_ERROR' }),
		canopy('AUTH_STATUS', { auth_status => 'A' }), canopy('AUTH_STATUS', { auth_status => 'B' }),
		canopy('SERVICING_STATUS_UPDATED', { servicing_action_id => 'act', status => 'X' }),
		canopy('SERVICING_STATUS_UPDATED', { servicing_action_id => 'act', status => 'Y' }));
	query($node, <<~'SQL', 'quiet');
		CREATE FUNCTION same(body bytea, at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT outcome
		FROM receive_webhook('canopy',
			jsonb_build_object('canopy-signature', sign_webhook('canopy secret', body, 'canopy', at)), body) $$
		SQL
	my %ends;
	for my $order (@{ orders(6, scaled(300)) })
	{
		my (undef, $out) = ends(
			'BEGIN;' . join '',
			(   map {
						'SELECT same('
					  . body_of($_)
					  . ", date_trunc('second', now()));SELECT canopy_summit.apply_webhooks("
					  . (1 + int rand 3)
					  . ') WHERE random() < 0.5;'
				} @same[@$order]),
			'SELECT canopy_summit.apply_webhooks();');
		$ends{$out}++;
	}
	is(scalar keys %ends, 1, 'so they have if all are signed in one second') or diag(join "\n--\n", keys %ends);
	return;
}

sub canopy_events
{
	my $updates = [
		{ type => 'DRIVER_ADDED', driver => { driver_id => 'd' } },
		{ type => 'DRIVER_UPDATED', driver => { driver_id => 'e' } },
		{ type => 'CONTACT_UPDATED', data => { email => 'e@x' } },
		{ type => 'DEMOGRAPHICS_UPDATED', data => { gender => undef } },
		{ type => 'ANSWERS_UPDATED', data => { fields => [] } } ];
	my $q = sub { my ($sql) = @_; return query($node, $sql, 'quiet') };
	my $take = sub {
		for (@_) { receive($node, 'canopy', $_, undef, 'quiet') }
		$q->('SELECT canopy_summit.apply_webhooks()');
	};

	$take->(
		canopy(
			'AUTH_STATUS',
			{   auth_status => 'NOT_AUTHENTICATED',
				login_error_message => 'Go <a href="javascript:x">here</a><script>x</script>' },
			sequence => 3),
		canopy('AUTH_STATUS', { auth_status => 'LATE', sequence => 2 }),
		canopy('AUTH_STATUS', { auth_status => 'NONE' }));
	is( $q->('SELECT sequence, auth_status, login_error_message FROM canopy_summit.auth_status'),
		'3|NOT_AUTHENTICATED|Go <a href="javascript:x">here</a><script>x</script>',
		'a login moves only forward, wherever the sequence is');
	is( $q->('SELECT login_error_html, next_step FROM canopy.pull_status'),
		'Go here|ask the consumer for other credentials', 'its message is made safe, and the next step said');
	$take->(canopy('AUTH_STATUS', { auth_status => 'SUCCESS', sequence => 4 }));
	is($q->(<<~'SQL'), 'SUCCESS||f', 'a login that succeeded is not the end');
		SELECT auth_status, login_error_html, is_final FROM canopy.pull_status
		SQL
	$take->(canopy('ERROR', { type => 'INTERNAL_ERROR' }));
	is( $q->('SELECT error_type, is_final FROM canopy.pull_status'), 'INTERNAL_ERROR|f',
		'an internal error is not final');
	$take->({ %{ canopy('ERROR', { type => 'PROVIDER_ERROR' }) }, pull_id => 'failed' });
	is($q->(<<~'SQL'), 'PROVIDER_ERROR|t', 'one of the provider is');
		SELECT error_type, is_final FROM canopy.pull_status WHERE pull_id = 'failed'
		SQL
	$take->(canopy('COMPLETE', undef));
	is($q->(<<~'SQL'), 't|none: it is complete|t|sandbox', 'completion is');
		SELECT is_final, next_step, completed_at IS NOT NULL, environment FROM canopy.pull_status
		WHERE pull_id = 'pull'
		SQL

	receive(
		$node, 'canopy',
		canopy(
			'SERVICING_WAITING_FOR_CONSUMER_CONFIRMATION', { servicing_action_id => 'act' }, pull_type => 'SERVICING'),
		'1 min',
		'quiet');
	$take->(
		canopy('DATA_UPDATED', { updates => $updates }),
		canopy(
			'VALIDATION_COMPLETE',
			{ document_validation_id => 'dv', status => 'VERIFIED', completed_at => '2026-01-02T03:04:05Z' }),
		canopy(
			'MONITORING_EVENTS', { type => 'RENEWAL', changes => [ { x => 1 } ], documents => [] },
			monitoring => { monitoring_id => 'mon', initial_pull_id => 'first' }),
		canopy(
			'MONITORING_RECONNECT',
			{ auth_status => 'NOT_AUTHENTICATED', reconnect_url => 'https://r', reconnect_token => 'tok' },
			monitoring => { monitoring_id => 'mon' }, pull_id => 'again'),
		canopy(
			'SERVICING_STATUS_UPDATED',
			{   servicing_action_id => 'act', original_pull_id => 'o', status => 'VERIFIED',
				previous_status => 'SUBMITTED', is_manual => JSON::PP::true, document_id => 'doc' },
			pull_type => 'SERVICING'),
		canopy('COMPLETE', undef, pull_id => 'serviced', pull_type => 'SERVICING'),
		canopy('SOMETHING_NEW', [ 1, 2 ]),
		canopy('POLICY_AVAILABLE', { policy_id => 'x' }));
	is( $q->('SELECT ordinal, type, data::text FROM canopy.data_update ORDER BY 1'),
		<<~'END' =~ s/\n$//r, 'each edit of a consumer');
			1|DRIVER_ADDED|{"driver_id": "d"}
			2|DRIVER_UPDATED|{"driver_id": "e"}
			3|CONTACT_UPDATED|{"email": "e@x"}
			4|DEMOGRAPHICS_UPDATED|{"gender": null}
			5|ANSWERS_UPDATED|{"fields": []}
			END
	is($q->(<<~'SQL'), 'dv|pull|VERIFIED|2026-01-02 03:04:05+00', 'a verdict on a document');
		SELECT document_validation_id, pull_id, status, completed_at FROM canopy.document_validation
		SQL
	is($q->(<<~'SQL'), 'mon|pull|RENEWAL|[{"x": 1}]', 'a change that a monitoring found');
		SELECT monitoring_id, pull_id, type, changes::text FROM canopy.monitoring_event
		SQL
	my $listed = canopy(
		'MONITORING_EVENTS',
		{   previous_pull_id => 'first', latest_pull_id => 'pull',
			events => [ { type => 'POLICY_CHANGED' }, { type => 'PREMIUM_CHANGED', changes => [ { y => 2 } ] } ] },
		monitoring => { monitoring_id => 'list' });
	$take->(
		$listed,
		canopy('MONITORING_EVENTS', [ { type => 'EXPIRED' } ], monitoring => { monitoring_id => 'array' }),
		canopy('MONITORING_EVENTS', { events => [] }, monitoring => { monitoring_id => 'empty' }));
	is( $q->(<<~'SQL'),
		SELECT monitoring_id, pull_id, type, changes::text FROM canopy.monitoring_event
		WHERE monitoring_id <> 'mon' ORDER BY 1, 2, 3
		SQL
		"array|pull|EXPIRED|\nlist|pull|POLICY_CHANGED|\nlist|pull|PREMIUM_CHANGED|[{\"y\": 2}]",
		'each of those that are listed as the API answers');
	is($q->(<<~'SQL'), 'mon|first', 'the monitoring that was not known');
		SELECT monitoring_id, initial_pull_id FROM canopy_summit.monitoring WHERE monitoring_id = 'mon'
		SQL
	is($q->(<<~'SQL'), 'again|mon|https://r|tok|t', 'who has to log in again');
		SELECT pull_id, monitoring_id, reconnect_url, reconnect_token, token_age < interval '1 min'
		FROM canopy.reconnect_needed
		SQL
	is($q->(<<~'SQL'), 'act|o|VERIFIED|t|doc', 'where a servicing is');
		SELECT servicing_action_id, original_pull_id, status, is_manual, document_id FROM canopy.servicing_action
		SQL
	is($q->(<<~'SQL'), "WAITING_FOR_CONSUMER_CONFIRMATION|\nVERIFIED|SUBMITTED", 'and was');
		SELECT status, previous_status FROM canopy_summit.servicing_status ORDER BY webhook_id
		SQL
	is( $q->(q{SELECT state, count(*) FROM canopy_summit.webhook GROUP BY 1}), 'applied|19',
		'unknown events are applied, too');
	is($q->(<<~'SQL'), 'pull', 'the pull is fetched, the servicing pull is not');
		SELECT string_agg(DISTINCT params ->> 'pullId', ' ') FROM canopy_summit.job
		SQL
	is($q->(<<~'SQL'), 't|canopy', 'by the owner of the server');
		SELECT DISTINCT owner = current_user, server FROM canopy_summit.job
		SQL
	$q->(<<~'SQL');
		CREATE ROLE fetches;
		ALTER SERVER canopy OPTIONS (ADD webhook_role 'fetches');
		CREATE USER MAPPING FOR fetches SERVER canopy OPTIONS (webhook_secret 'canopy secret')
		SQL
	$take->(canopy('COMPLETE', undef, pull_id => 'by role'));
	is($q->(<<~'SQL'), 'fetches', 'or by its webhook_role');
		SELECT owner FROM canopy_summit.job WHERE params ->> 'pullId' = 'by role'
		SQL
	return;
}

# Cases of reconnects: deliveries as [age in seconds, pull, event, monitoring, status, data], what is needed then, and
# the pull's next step.
sub reconnects
{
	my $reconnect = [
		'MONITORING_RECONNECT', 'm', 'NOT_AUTHENTICATED',
		{ auth_status => 'NOT_AUTHENTICATED', reconnect_url => 'https://again' } ];
	my $refused = [ 'AUTH_STATUS', undef, 'NOT_AUTHENTICATED', { auth_status => 'NOT_AUTHENTICATED' } ];
	my $success = [ 'AUTH_STATUS', undef, 'SUCCESS', { auth_status => 'SUCCESS' } ];
	my %cases = (
		'logged in' => [
			[ [ 60, 'a', @$reconnect ], [ 50, 'a', @$success ], [ 40, 'a', 'POLICIES_AVAILABLE' ] ], '', 'a',
			'wait for the documents' ],
		'logged in, and nothing yet' => [ [ [ 60, 'a', @$reconnect ], [ 50, 'a', @$success ] ], '', 'a', 'wait' ],
		'only data says so' =>
		  [ [ [ 60, 'a', @$reconnect ], [ 50, 'a', 'POLICIES_AVAILABLE' ] ], '', 'a', 'wait for the documents' ],
		'completed' => [ [ [ 60, 'a', @$reconnect ], [ 50, 'a', 'COMPLETE' ] ], '', 'a', 'none: it is complete' ],
		'the status beside the data' =>
		  [ [ [ 60, 'a', @$reconnect ], [ 50, 'a', 'AUTH_STATUS', undef, 'SUCCESS' ] ], '', 'a', 'wait' ],
		'a login before it' => [
			[ [ 70, 'a', @$success ], [ 65, 'a', 'COMPLETE' ], [ 60, 'a', @$reconnect ] ], 'a', 'a',
			'ask the consumer to log in again: reconnect_url' ],
		'completed in its very second' => [
			[ [ 60, 'a', 'COMPLETE' ], [ 60, 'a', @$reconnect ] ], 'a', 'a',
			'ask the consumer to log in again: reconnect_url' ],
		'completed before and after it' => [
			[   [ 70, 'a', 'COMPLETE' ], [ 60, 'a', @$reconnect ],
				[ 50, 'a', 'COMPLETE', undef, 'SUCCESS', { again => 1 } ] ],
			'', 'a',
			'none: it is complete' ],
		'refused after a login' => [
			[ [ 60, 'a', @$reconnect ], [ 50, 'a', @$success ], [ 40, 'a', @$refused ] ], '', 'a',
			'ask the consumer for other credentials' ],
		'a later pull of the monitoring' =>
		  [ [ [ 60, 'b1', @$reconnect ], [ 50, 'b2', 'COMPLETE', 'm' ] ], '', 'b2', 'none: it is complete' ],
		'an earlier pull of the monitoring' => [
			[ [ 70, 'b0', 'COMPLETE', 'm' ], [ 60, 'b1', @$reconnect ], [ 50, 'b0', 'DATA_UPDATED', 'm' ] ], 'b1',
			'b1', 'ask the consumer to log in again: reconnect_url' ],
		'a later pull of another monitoring' =>
		  [ [ [ 60, 'b1', @$reconnect ], [ 50, 'b2', 'COMPLETE', 'other' ] ], 'b1', 'b2', 'none: it is complete' ],
		'final error' => [
			[ [ 60, 'c', @$reconnect ], [ 50, 'c', 'ERROR', undef, 'PROVIDER_ERROR' ] ], '', 'c',
			'ask the consumer to connect again later: the carrier failed' ],
		'error that may pass' => [
			[ [ 60, 'c', @$reconnect ], [ 50, 'c', 'ERROR', undef, 'INTERNAL_ERROR' ] ], 'c', 'c',
			'ask the consumer to log in again: reconnect_url' ],
		'data outweighs a failed login' =>
		  [ [ [ 60, 'd', @$refused ], [ 50, 'd', 'POLICIES_AVAILABLE' ] ], '', 'd', 'wait for the documents' ],
		'a failed login after data' => [
			[ [ 60, 'd', 'POLICIES_AVAILABLE' ], [ 50, 'd', @$refused ] ], '', 'd',
			'ask the consumer for other credentials' ],
		'data outweighs an error' => [
			[ [ 60, 'd', 'ERROR', undef, 'PROVIDER_ERROR' ], [ 50, 'd', 'POLICIES_AVAILABLE' ] ], '', 'd',
			'wait for the documents' ],
		'two reconnects of one monitoring' =>
		  [ [ [ 60, 'e1', @$reconnect ], [ 50, 'e2', @$reconnect ] ], 'e2', 'e1', 'wait' ],
		'two in one second' => [
			[ [ 60, 'e1', @$reconnect ], [ 60, 'e2', @$reconnect ] ], 'e2', 'e2',
			'ask the consumer to log in again: reconnect_url' ],
		'two without a monitoring' => [
			[ map { [ 60, $_, $reconnect->[0], undef, @$reconnect[ 2, 3 ] ] } 'e1', 'e2' ], 'e1 e2', 'e1',
			'ask the consumer to log in again: reconnect_url' ]);

	query($node, <<~'SQL', 'quiet');
		CREATE FUNCTION at(body bytea, age integer) RETURNS text LANGUAGE sql AS $$ SELECT outcome
		FROM receive_webhook('canopy',
			jsonb_build_object('canopy-signature',
				sign_webhook('canopy secret', body, 'canopy', date_trunc('second', now()) - age * interval '1 s')),
			body) $$
		SQL
	for my $name (sort keys %cases)
	{
		my ($deliveries, $needed, $pull, $step) = @{ $cases{$name} };
		for my $order ([@$deliveries], [ reverse @$deliveries ])
		{
			my $sql = join '', map {
				my ($age, $pull_id, $event, $monitoring, $status, $data) = @$_;
				my $body = {
					%{ canopy($event, $data) }, pull_id => $pull_id, status => $status // 'SUCCESS',
					$monitoring ? (monitoring => { monitoring_id => $monitoring, initial_pull_id => 'first' }) : () };
				'SELECT FROM at('
				  . body_of($body)
				  . ", $age);\n"
				  . (rand() < 0.5 ? "SELECT FROM canopy_summit.apply_webhooks();\n" : '')
			} @$order;
			is( query($node, <<~"SQL", 'quiet') =~ s/.*END\n//sr,
				BEGIN; $sql SELECT FROM canopy_summit.apply_webhooks();
				SELECT 'END';
				SELECT (SELECT string_agg(pull_id, ' ' ORDER BY pull_id) FROM canopy.reconnect_needed), next_step,
					reconnect_url IS NOT NULL
				FROM canopy.pull_status WHERE pull_id = '$pull';
				ROLLBACK
				SQL
				"$needed|$step|" . ($step =~ /reconnect_url/ ? 't' : 'f'), "$name, in this order: " . join ', ',
				map { "$_->[2] of $_->[1]" } @$order);
		}
	}
	return;
}

# The rows of the last subtest, and one of a policy, to each level.
sub seen
{
	my $views = join ';',
	  map { "SELECT * FROM $_" }
	  qw(canopy.pull_status canopy.reconnect_needed canopy.monitoring_event canopy.servicing_action canopy.data_update
	  canopy.document_validation summit.policy_status summit.status_event);
	my @secret = ('ABC123456', 'ABC Apartments', 'https://r', 'tok', 'e@x', 'my account');
	receive($node, 'summit', (guide_events())[0], undef, 'quiet');
	query($node, <<~'SQL', 'quiet');
		CREATE ROLE sees; CREATE ROLE sees_all; CREATE ROLE operates;
		CREATE ROLE takes;
		SELECT canopy_summit.apply_webhooks(), canopy_summit.grant_access('sees', 'reader'),
			canopy_summit.grant_access('sees_all', 'pii_reader'),
			canopy_summit.grant_access('operates', 'operator'), canopy_summit.grant_access('takes', 'ingest');
		UPDATE canopy_summit.pull_progress SET account_identifier = 'my account';
		UPDATE canopy_summit.webhook SET headers = '{"x": "header7"}'
		SQL
	my ($masked, $plain) = map { query($node, "SET ROLE $_; $views", 'quiet') } qw(sees sees_all);
	is(join(' ', grep { $masked =~ /\Q$_\E/ } @secret), '', 'a reader sees nothing personal');
	like($masked, qr/\Q$_\E/, "but $_") for 'KEL-001', 'mon', 'RENEWAL', 'VERIFIED', '\*\*\*' =~ s/\\//gr;
	is(join(', ', grep { $plain !~ /\Q$_\E/ } @secret), '', 'a pii_reader sees all of it');
	my $as = sub { my ($role, $sql) = @_; return query($node, "SET ROLE $role; $sql", 'quiet') };
	is($as->('sees_all', <<~'SQL'), 't|header7', 'and bodies');
		SELECT convert_from(body, 'UTF8') LIKE '%ABC123456%', headers ->> 'x'
		FROM canopy_summit.webhook_status WHERE server = 'summit'
		SQL
	is( $as->('operates', <<~'SQL'), '***|0|0',
		SELECT DISTINCT subject, count(headers), count(body)
		FROM canopy_summit.webhook_status WHERE subject IS NOT NULL GROUP BY 1
		SQL
		'an operator does not see bodies, headers and subjects');
	is($as->('operates', <<~'SQL'), 't|0|t', 'but the rest');
		SELECT count(*) > 5, count(problem), bool_or(event = 'policy.submitted')
		FROM canopy_summit.webhook_status
		SQL
	is( $as->('operates', <<~'SQL'), '0|applied',
		SELECT canopy_summit.apply_webhooks(),
		canopy_summit.apply_webhook((SELECT max(webhook_id) FROM canopy_summit.webhook_status))
		SQL
		'and applies');
	my $body = body_of(canopy('TAKEN'));
	my $headers = "jsonb_build_object('canopy-signature', '"
	  . query($node, "SELECT sign_webhook('canopy secret', $body\::bytea)", 'quiet') . "')";
	is(query($node, <<~"SQL", 'quiet'), '200|stored', 'level ingest receives');
		SET ROLE takes; SELECT http_status, outcome FROM receive_webhook('canopy', $headers, $body)
		SQL
	$body = body_of(canopy('INSERTED'));
	$headers = "jsonb_build_object('canopy-signature', '"
	  . query($node, "SELECT sign_webhook('canopy secret', $body\::bytea)", 'quiet') . "')";
	is(query($node, <<~"SQL", 'quiet'), 't', 'and inserts');
		SET ROLE takes;
		INSERT INTO canopy_summit.webhook (server, headers, body) VALUES ('canopy', $headers, $body)
		RETURNING webhook_id > 0
		SQL
	is(scalar sqlstate_of($node, "SET ROLE takes; $_", database => 'quiet'), '42501', "not: $_")
	  for 'SELECT body FROM canopy_summit.webhook', 'SELECT canopy_summit.apply_webhooks()',
	  'DELETE FROM canopy_summit.webhook',
	  q{INSERT INTO canopy_summit.webhook (webhook_id, server, headers, body) VALUES (1, 'canopy', '{}', '')},
	  'SELECT * FROM canopy.pull_status', 'SELECT * FROM canopy_summit.policy_status',
	  q{SELECT sign_webhook('x', 'y'::text)};
	return;
}

# A real pull: announced, fetched, and fetched again if more is announced while that is on its way.
sub fetches
{
	my $pull_id = $sandbox->pull_id('user_good');
	my $path = "/pulls/$pull_id";
	create_canopy_server($node, $sandbox, server => 'real', mapping => { webhook_secret => 'canopy secret' });
	my $take = sub {
		my ($body) = map { body_of($_) }{ %{ canopy(@_) }, pull_id => $pull_id };
		query($node, <<~"SQL");
			SELECT outcome
			FROM receive_webhook('real',
				jsonb_build_object('canopy-signature', sign_webhook('canopy secret', $body\::bytea)), $body)
			SQL
	};
	my $settled = sub {
		wait_until(
			'webhooks are applied',
			sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
		all_settled($node, q{server = 'real'});
	};
	my $version = sub { query($node, <<~"SQL") };
		SELECT max(version) FROM canopy_summit.pull_version WHERE pull_id = '$pull_id' AND server = 'real'
		SQL

	$take->('POLICIES_AVAILABLE');
	$settled->();
	is($version->(), 1, 'a pull whose policies are available is fetched');
	is(scalar(requests($sandbox, $path)), 1, 'once');
	my $fault = $sandbox->hold(match => { path => $path }, times => 1);
	$take->('COMPLETE');
	wait_until('the fetch is on its way', sub { $sandbox->waiting($fault) });
	# The answer on its way does not know this.
	$sandbox->control(PATCH => "pull/$pull_id", { first_name => 'Changed' });
	$take->('DATA_UPDATED', { updates => [] });
	wait_until(
		'it is applied',
		sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
	$sandbox->clear($fault);
	$settled->();
	is(scalar(requests($sandbox, $path)), 3, 'what comes while a fetch is on its way leads to one more, and no more');
	is(query($node, <<~"SQL"), 'Changed', 'so that nothing is stale');
		SELECT first_name FROM canopy.pull_all WHERE pull_id = '$pull_id' AND server = 'real'
		SQL
	is(query($node, <<~'SQL'), 3, 'all are applied');
		SELECT count(*) FROM canopy_summit.webhook WHERE server = 'real' AND state = 'applied'
		SQL
	return;
}
