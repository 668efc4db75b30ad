# Is an endpoint told of what certificates come to, once in effect, and nobody held up by one that does not answer?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyWebhook;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;

my $json = JSON::PP->new->canonical;
my $sandbox = start_sandbox();
my $node = new_worker_node();
my $secret_file = CanopyTest::secret_file("new secret\nold secret");
my $policies = 0;
my $deliveries = 0;

create_webhook_servers($node);
query($node, <<~'SQL');
	CREATE ROLE reader;
	CREATE ROLE operator;
	SELECT canopy_summit.grant_access('reader', 'reader'), canopy_summit.grant_access('operator', 'operator')
	SQL

subtest 'options' => \&options;
subtest 'the four events' => \&four_events;
subtest 'who is told what' => \&filters;
subtest 'who may be told' => \&rights;
subtest 'uploads and polls' => \&uploads;
subtest 'what is no delivery' => \&refusals;
subtest 'what is one all the same' => \&odd_answers;
subtest 'eight attempts' => \&eight_attempts;
subtest 'one that never answers' => \&slow_endpoint;
subtest 'a secret that goes' => \&secret_goes;
subtest 'one URL twice' => \&one_url;
subtest 'a circle' => \&circle;
subtest 'levels' => \&levels;
done_testing();

# Whoever tells an endpoint at this path; its requests have it in their own.
sub endpoint
{
	my ($name, %options) = @_;
	my $path = delete $options{path} // $name;
	my $mapping = delete $options{mapping} // { webhook_secret_file => $secret_file };
	(my $base = $sandbox->base_url) =~ s{^(https://[^/]+).*}{$1};
	my $list = CanopyTest::option_list(
		environment => 'sandbox', base_url => "$base/$path", ca_file => $sandbox->ca_file,
		allow_private_addresses => 'true', %options);
	query($node, "CREATE SERVER $name FOREIGN DATA WRAPPER webhook_endpoint OPTIONS ($list)");
	$list = CanopyTest::option_list(%$mapping);
	query($node, "CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS ($list)");
	return;
}

sub forget
{
	my (@names) = @_;
	$sandbox->clear;
	query($node, "DELETE FROM canopy_summit.job; DROP SERVER $_ CASCADE") for @names;
	return;
}

# From now on the endpoint at this path answers so.
sub answers
{
	my ($path, $fault, %more) = @_;
	return $sandbox->arm(match => { path => "^/$path\$" }, times => undef, fault => $fault, %more);
}

sub is_well { my ($path) = @_; return answers($path, { kind => 'status', status => 204 }) }

# Has a webhook of Summit come in, about a new policy unless it is given; its number.
sub told
{
	my ($event, %more) = @_;
	my $policy = $more{policy} // 'P-' . ++$policies;
	my %data = (
		policy => { policy_number => $policy, %{ $more{of_policy} // {} } },
		certificate_holder => { reference_ids => $more{ids} // { property_id => 'KEL-001' } },
		%{ $more{data} // {} });
	my $body = $json->encode(
		{   delivery_id => 'd-' . ++$deliveries, event => $event, attempt => 1,
			occurred_at => $more{occurred_at} // '2026-03-01T00:00:00Z',
			data => \%data });
	is(receive($node, $more{server} // 'summit', $body), '200 stored', "$event comes in");
	wait_until(
		'it is applied',
		sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
	return $policy;
}

# Requests that came to the endpoint at a path, in order.
sub arrived
{
	my ($path) = @_;
	return grep { $_->{path} eq "/$path" } $sandbox->log;
}

sub body_at { my ($request) = @_; return $json->decode($request->{body}) }

sub header
{
	my ($request, $name) = @_;
	my %headers = map { (lc $_->[0] => $_->[1]) } @{ $request->{headers} };
	return $headers{ lc $name };
}

# What the deliveries of a policy have come to, as "endpoint state attempts".
sub states
{
	my ($policy) = @_;
	return query($node, <<~"SQL");
		SELECT string_agg(concat_ws(' ', server, state, attempts), ', ' ORDER BY server, job_id) FROM summit.delivery
		WHERE policy_number = '$policy'
		SQL
}

sub comes_to
{
	my ($policy, $expected, $name) = @_;
	my $found;
	my $done = CanopyTest::poll(sub { ($found = states($policy)) eq $expected }, 60);
	is($found, $expected, $name);
	return;
}

# The next attempt of what waits for one is due now.
sub make_due
{
	query(
		$node, q{UPDATE canopy_summit.job SET run_at = now() WHERE operation = 'post-delivery' AND state = 'queued';
		SELECT canopy_summit.wake()});
	return;
}

sub options
{
	my @refused = (
		[ q{base_url 'http://example.com'}, '22023', 'plain HTTP' ],
		[ q{base_url 'https://example.com/?a=b'}, '22023', 'a query' ],
		[ q{events 'policy.lapsed, policy.expired'}, '22023', 'an event that there is not' ],
		[ q{events ''}, '22023', 'no event' ],
		[ q{property_ids 'KEL-001,,KEL-002'}, '22023', 'a property without id' ],
		[ q{country 'Canada'}, '22023', 'a country in words' ],
		[ q{team_id 'x'}, 'HV00D', 'an option of Canopy' ],
		[ q{auth_url 'https://example.com'}, 'HV00D', 'an option of Summit' ]);
	for my $case (@refused)
	{
		is( sqlstate_of($node, "CREATE SERVER bad FOREIGN DATA WRAPPER webhook_endpoint OPTIONS ($case->[0])"),
			$case->[1], "refused: $case->[2]");
	}
	query($node, 'CREATE ROLE owner; GRANT USAGE ON FOREIGN DATA WRAPPER webhook_endpoint TO owner');
	is( sqlstate_of(
			$node,
			q{SET ROLE owner; CREATE SERVER bad FOREIGN DATA WRAPPER webhook_endpoint
				OPTIONS (base_url 'https://example.com')}),
		'42501',
		'only a superuser says where it is');
	endpoint('hooks');
	is(sqlstate_of($node, q{SELECT * FROM wh('hooks', '{}')}), '42809', 'an endpoint is told, and tells nothing');
	is( sqlstate_of($node, q{SELECT summit_upload_policy('{}', server => 'hooks')}), '42809',
		'nor are certificates uploaded to it');
	is( query(
			$node, q{SELECT string_agg("check", ', ' ORDER BY "check") FROM canopy_summit.check_server('hooks')
			WHERE ok IS NOT NULL AND NOT ok}),
		'',
		'check_server() finds nothing wrong');
	is( query($node, q{SELECT string_agg("check", ', ') FROM canopy_summit.check_server('hooks')}),
		'server, base_url, user mapping, webhook secret, ca_file, host name, connection, clock, worker',
		'and tests what an endpoint has');
	forget('hooks');
	return;
}

sub four_events
{
	endpoint('hooks');
	is_well('hooks');
	$sandbox->clear_log;
	my %ids = (property_id => 'KEL-001', unit_id => 'Unit-204', lease_id => 'L-7788', tenant_id => 'RES-9981');
	my %term = (effective_date => '2026-01-01', expiry_date => '2027-01-01');
	my $policy = told(
		'policy.submitted', ids => \%ids, of_policy => { policy_type => 'CGL', %term },
		data => {
			certificate_holder => { name => 'ABC Apartments', reference_ids => \%ids },
			documents => { coi_pdf_id => 'doc_1' } });
	my @rest = (
		[   'policy.verified', '2026-03-01T00:00:00Z',
			{ verified_at => '2026-03-01T17:35:00Z', verifier => 'carrier-api' },
			{ checks => [ { name => 'limits', result => 'pass' } ] } ],
		[   'policy.lapsed', '2026-04-02T00:00:00Z', { lapsed_at => '2026-04-02T00:00:00Z' },
			{ reason => { code => 'non_payment', detail => 'Not paid' }, last_known_coverage => \%term } ],
		[   'policy.reinstated', '2026-04-05T15:12:01Z',
			{ reinstated_at => '2026-04-05T15:12:00Z', new_expiry_date => '2027-04-05' },
			{ reason => { code => 'late_payment', detail => 'Paid' } } ]);
	told($_->[0], policy => $policy, occurred_at => $_->[1], of_policy => $_->[2], data => $_->[3]) for @rest;
	comes_to($policy, join(', ', ('hooks delivered 1') x 4), 'four deliveries');

	my %by_event = map { (body_at($_)->{event} => $_) } arrived('hooks');
	my %holder = (reference_ids => \%ids);
	my $utc = sub { my ($moment) = @_; return $moment =~ s/Z/.000000Z/r };
	my %expected = (
		'policy.submitted' => {
			policy => { policy_number => $policy, policy_type => 'CGL', %term },
			certificate_holder => { name => 'ABC Apartments', %holder },
			documents => { coi_pdf_id => 'doc_1' } },
		'policy.verified' => {
			policy =>
			  { policy_number => $policy, verified_at => $utc->('2026-03-01T17:35:00Z'), verifier => 'carrier-api' },
			checks => [ { name => 'limits', result => 'pass' } ],
			certificate_holder => \%holder },
		'policy.lapsed' => {
			policy => { policy_number => $policy, lapsed_at => $utc->('2026-04-02T00:00:00Z') },
			reason => { code => 'non_payment', detail => 'Not paid' },
			last_known_coverage => \%term, certificate_holder => \%holder },
		'policy.reinstated' => {
			policy => {
				policy_number => $policy, reinstated_at => $utc->('2026-04-05T15:12:00Z'),
				new_expiry_date => '2027-04-05' },
			reason => { code => 'late_payment', detail => 'Paid' },
			certificate_holder => \%holder });
	for my $event (sort keys %expected)
	{
		my $request = $by_event{$event};
		my $body = body_at($request);
		is_deeply($body->{data}, $expected{$event}, "data of $event");
		is("$request->{method} $body->{attempt}", 'POST 1', 'the first attempt');
		like($body->{delivery_id}, qr/^dwk_[0-9a-f]{32}$/, 'an id of its own');
		is(header($request, 'Idempotency-Key'), $body->{delivery_id}, 'is its Idempotency-Key, too');
		is(header($request, 'Content-Type'), 'application/json', 'in JSON');
		is(header($request, 'Authorization'), undef, 'without credentials');
		my $signature = header($request, 'X-Summit-Signature');
		for my $secret ('old secret', 'new secret')
		{
			is( query(
					$node,
					"SELECT explain_webhook_sig('$secret', '$signature', convert_to("
					  . CanopyTest::quoted($request->{body})
					  . q{, 'UTF8'))}),
				'valid',
				"signed with the $secret");
		}
	}
	is(body_at($by_event{'policy.lapsed'})->{occurred_at}, $utc->('2026-04-02T00:00:00Z'), 'when it occurred');
	forget('hooks');
	return;
}

# Events, properties, environment, country.
sub filters
{
	endpoint('every');
	endpoint('lapses', events => 'policy.lapsed, policy.reinstated');
	endpoint('kelowna', property_ids => 'KEL-001, KEL-002');
	endpoint('live', environment => 'production');
	endpoint('abroad', country => 'US');
	is_well($_) for qw(every lapses kelowna live abroad);
	my $here = told('policy.submitted');
	my $there = told('policy.lapsed', ids => { property_id => 'VAN-001' });
	my $nowhere = told('policy.verified', ids => {});
	comes_to($here, 'abroad delivered 1, every delivered 1, kelowna delivered 1', 'not of another event');
	comes_to($there, 'abroad delivered 1, every delivered 1, lapses delivered 1', 'not of another property');
	comes_to($nowhere, 'abroad delivered 1, every delivered 1', 'nor of none');
	is( query(
			$node, q{SELECT string_agg(concat_ws(' ', server, system, property_id, from_country, to_country, rows), ', '
			ORDER BY disclosure_id) FROM summit.disclosure}),
		'summit abroad KEL-001 CA US 1, summit abroad VAN-001 CA US 1, summit abroad CA US 1',
		'what goes to another country is written down');
	forget(qw(every lapses kelowna live abroad));
	return;
}

# Who may not use a server is told nothing of it; a slash at the end of the address stays there.
sub rights
{
	query($node, 'CREATE ROLE manager; GRANT USAGE ON FOREIGN SERVER summit TO manager');
	query($node, 'CREATE ROLE stranger');
	endpoint('theirs', webhook_role => 'manager');
	endpoint('strange', webhook_role => 'stranger');
	query($node, q{GRANT USAGE ON FOREIGN SERVER theirs TO manager; GRANT USAGE ON FOREIGN SERVER strange TO stranger});
	endpoint('slash', path => 'slash/');
	is_well($_) for qw(theirs strange slash/);
	my $policy = told('policy.verified');
	comes_to($policy, 'slash delivered 1, theirs dead 1', 'who has no mapping does not deliver');
	query($node, q{CREATE USER MAPPING FOR manager SERVER theirs OPTIONS (webhook_secret 's')});
	is(query($node, 'SELECT canopy_summit.replay_deliveries()'), 1, 'until it has one');
	comes_to($policy, 'slash delivered 1, theirs delivered 1', 'and replays');
	forget(qw(theirs strange slash));
	query($node, 'DROP OWNED BY manager, stranger; DROP ROLE manager, stranger');
	return;
}

# Uploads that Summit accepts, and what polls say of them, are events, too.
sub uploads
{
	endpoint('hooks');
	is_well('hooks');
	$sandbox->clear_log;
	my $upload_id = query($node, <<~'SQL');
		INSERT INTO summit.upload (payload) VALUES ('{
			"policy": {"policy_number": "UP-1", "insurer_name": "I", "policy_type": "CGL",
				"effective_date": "2026-01-01",
				"expiry_date": "2027-01-01"},
			"certificate_holder": {"name": "H", "additional_insured": true, "waiver_of_subrogation": true,
				"reference_ids": {
				"property_id": "P", "unit_id": "U", "lease_id": "L", "tenant_id": "T"}}}') RETURNING upload_id
		SQL
	query($node, <<~"SQL");
		UPDATE summit.upload SET status = 'verified', accepted_at = now(), finished_at = now(), coi_sha256 = 'abc'
		WHERE upload_id = $upload_id;
		SELECT canopy_summit.apply_uploads(ARRAY[$upload_id]), canopy_summit.apply_uploads(ARRAY[$upload_id])
		SQL
	comes_to('UP-1', 'hooks delivered 1, hooks delivered 1', 'once each');
	is( query(
			$node, q{SELECT string_agg(event, ', ' ORDER BY event) FROM summit.delivery WHERE policy_number = 'UP-1'}),
		'policy.submitted, policy.verified',
		'submitted and verified');
	is_deeply(
		[ map { $_->{data}{evidence} // () } map { body_at($_) } arrived('hooks') ],
		[ { checksums => ['sha256:abc'] } ],
		'with the checksum of what was uploaded');
	forget('hooks');
	return;
}

# Final ones, and ones that are tried again.
sub refusals
{
	my %status = map { ($_ => { kind => 'status', status => $_, body => { error => 'no' } }) }
	  (301, 400, 401, 403, 404, 408, 409, 410, 429, 499, 500, 503);
	my %faults = (
		%status,
		lost => { kind => 'lost' },
		'an RST in the head' => { kind => 'reset', after_bytes => 12 },
		'closed after the status line' => { kind => 'raw', base64 => encode_base64("HTTP/1.1 200 OK\r\n", '') },
		'404 and no end' => { kind => 'endless' },
		'no HTTP' => { kind => 'raw', base64 => encode_base64("hello\r\n\r\n", '') },
		'closed at once' => { kind => 'close', after_bytes => 0 });
	$faults{301}{headers} = { Location => $sandbox->base_url };
	my %final = map { ($_ => 1) } (400, 401, 403, 404, 409, 410, '404 and no end');

	endpoint('private', allow_private_addresses => 'false');
	comes_to(told('policy.verified'), 'private dead 1', 'an address of a private network');
	forget('private');
	endpoint('hooks');
	for my $name (sort keys %faults)
	{
		$sandbox->clear;
		$sandbox->clear_log;
		answers('hooks', $faults{$name});
		my $policy = told('policy.verified');
		comes_to($policy, $final{$name} ? 'hooks dead 1' : 'hooks queued 1', "answered $name");
		is(scalar(grep { $_->{path} ne '/hooks' } $sandbox->log), 0, 'nothing is sent elsewhere');
	}
	is( query(
			$node, q{SELECT count(*) FROM summit.delivery
			WHERE state = 'queued' AND next_attempt_at NOT BETWEEN enqueued_at AND now() + interval '2 minutes'}),
		0,
		'the second attempts come within two minutes');
	$sandbox->clear;
	is_well('hooks');
	query($node, 'SET ROLE operator; SELECT canopy_summit.replay_deliveries()');
	make_due();
	wait_until(
		'all arrive',
		sub {
			query($node, q{SELECT count(*) FROM summit.delivery WHERE state <> 'delivered'}) == 0;
		});
	$sandbox->clear;
	answers('hooks', { kind => 'status', status => 429, retry_after => 3600 });
	my $policy = told('policy.verified');
	comes_to($policy, 'hooks queued 1', 'Retry-After');
	is( query(
			$node,
			"SELECT next_attempt_at > now() + interval '59 minutes' FROM summit.delivery
			WHERE policy_number = '$policy'"
		),
		't',
		'is obeyed');
	forget('hooks');
	return;
}

sub odd_answers
{
	my %faults = (
		'200 and a large body' => { kind => 'body', body => 'x' x (1 << 20) },
		'200 and what is no JSON' => { kind => 'body', body => '<html>', content_type => 'text/html' },
		'200 and a failure in words' => { kind => 'body', body => { success => JSON::PP::false } },
		'200 and half a body' =>
		  { kind => 'raw', base64 => encode_base64("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", '') },
		'201' => { kind => 'status', status => 201, body => 'x' },
		'204' => { kind => 'status', status => 204 },
		'99 headers' => { kind => 'body', body => 'x', headers => { map { ("X-H$_" => 'x' x 50) } 1 .. 99 } });

	endpoint('hooks');
	for my $name (sort keys %faults)
	{
		$sandbox->clear;
		answers('hooks', $faults{$name});
		comes_to(told('policy.verified'), 'hooks delivered 1', "answered $name");
	}
	forget('hooks');
	return;
}

# Then it is dead, until somebody has it sent again; each attempt is numbered and signed anew.
sub eight_attempts
{
	my @steps = (2, 8, 20, 90, 240, 360, 720);
	endpoint('hooks');
	answers('hooks', { kind => 'status', status => 500 });
	$sandbox->clear_log;
	my $policy = told('policy.verified');
	for my $attempt (1 .. 7)
	{
		comes_to($policy, "hooks queued $attempt", "after attempt $attempt");
		is( query(
				$node,
				"SELECT next_attempt_at BETWEEN now() - interval '1 minute'
					AND now() + interval '$steps[$attempt - 1] minutes'
				FROM summit.delivery WHERE policy_number = '$policy'"),
			't',
			'the next comes within its step');
		make_due();
	}
	comes_to($policy, 'hooks dead 8', 'dead after eight');
	my @requests = arrived('hooks');
	is_deeply([ map { body_at($_)->{attempt} } @requests ], [ 1 .. 8 ], 'numbered');
	my %ids = map { (body_at($_)->{delivery_id} => 1) } @requests;
	is(scalar keys %ids, 1, 'with one id');
	my %signatures = map { (header($_, 'X-Summit-Signature') => 1) } @requests;
	is(scalar keys %signatures, 8, 'and signed anew');

	$sandbox->clear;
	is_well('hooks');
	is(query($node, q{SELECT canopy_summit.replay_deliveries('hooks', now())}), 0, 'none is replayed that is older');
	is(query($node, q{SELECT canopy_summit.replay_deliveries('hooks')}), 1, 'a dead one is replayed');
	comes_to($policy, 'hooks delivered 1', 'and arrives');
	is(query($node, q{SELECT canopy_summit.replay_deliveries('hooks')}), 0, 'one that has arrived is not');
	is(query($node, q{SELECT canopy_summit.replay_deliveries('hooks', delivered => true)}), 1, 'unless that is wanted');
	wait_until('it arrives again', sub { arrived('hooks') == 10 });
	is(body_at((arrived('hooks'))[9])->{delivery_id}, (keys %ids)[0], 'with its id');
	forget('hooks');
	return;
}

# One that takes longer than ten seconds has failed; meanwhile others are told.
sub slow_endpoint
{
	endpoint('slow', max_connections => 2);
	endpoint('quick');
	my $held = $sandbox->hold(match => { path => '^/slow$' });
	is_well('quick');
	my @told = map { told('policy.verified') } 1 .. 6;
	wait_until('the slow one has two', sub { $sandbox->waiting($held) == 2 });
	wait_until('the quick one has all', sub { arrived('quick') >= 6 });
	is($sandbox->waiting($held), 2, 'while the slow one has not answered');
	$sandbox->clear;
	forget('slow', 'quick');

	# However many of them do not answer: half of the places are not theirs.
	query($node, 'ALTER SYSTEM SET canopy_summit.max_in_flight = 4');
	query($node, 'SELECT pg_reload_conf()');
	endpoint($_) for qw(slow slower);
	create_canopy_server($node, $sandbox, server => 'api');
	$held = $sandbox->hold(match => { path => '^/slow' });
	told('policy.verified') for 1 .. 4;
	wait_until('two are on the wire', sub { $sandbox->waiting($held) == 2 });
	my $job_id = query($node, q{SELECT canopy_enqueue('get-carriers', server => 'api')});
	is(settled($node, $job_id), 'succeeded', 'a job of an API is sent');
	is($sandbox->waiting($held), 2, 'while no endpoint has answered');
	$sandbox->clear;
	query($node, 'ALTER SYSTEM RESET canopy_summit.max_in_flight');
	query($node, 'SELECT pg_reload_conf()');
	forget(qw(slow slower));
	query($node, 'DROP SERVER api CASCADE');

	endpoint($_) for qw(deaf late);
	$held = $sandbox->hold(match => { path => '^/late$' });
	answers('deaf', { kind => 'slow_read', until => 'released' });
	my $policy = told('policy.verified');
	comes_to($policy, 'deaf queued 1, late queued 1', 'who does not answer in ten seconds, or read, has failed');
	$sandbox->clear;
	is_well($_) for qw(deaf late);
	make_due();
	comes_to($policy, 'deaf delivered 2, late delivered 2', 'and the next attempt arrives');
	forget(qw(deaf late));
	return;
}

# No attempt is lost while there is no secret to sign with.
sub secret_goes
{
	my $file = CanopyTest::secret_file('secret');
	endpoint('hooks', mapping => { webhook_secret_file => $file });
	answers('hooks', { kind => 'status', status => 500 });
	my $policy = told('policy.verified');
	comes_to($policy, 'hooks queued 1', 'a failed attempt');
	rename $file, "$file.gone" or die "could not move the secret: $!";
	make_due();
	wait_until(
		'it is held',
		sub {
			query($node, q{SELECT held ~ 'could not open' FROM canopy_summit.server_health WHERE server = 'hooks'}) eq
			  't';
		});
	is(states($policy), 'hooks queued 1', 'and costs no attempt');
	$sandbox->clear;
	is_well('hooks');
	rename "$file.gone", $file or die "could not move the secret: $!";
	query($node, 'SELECT canopy_summit.wake()');
	make_due();
	comes_to($policy, 'hooks delivered 2', 'with the secret it arrives');
	forget('hooks');
	return;
}

sub one_url
{
	endpoint('first', path => 'same');
	endpoint('second', path => 'same');
	is_well('same');
	$sandbox->clear_log;
	my $policy = told('policy.verified');
	comes_to($policy, 'first delivered 1, second delivered 1', 'both are told');
	my %ids = map { (body_at($_)->{delivery_id} => 1) } arrived('same');
	is(scalar keys %ids, 1, 'of one delivery_id, by which a receiver knows that it is one event');
	forget('first', 'second');
	return;
}

# What comes back from whom it was told to goes no further.
sub circle
{
	query($node, <<~'SQL');
		CREATE SERVER back FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'sandbox', webhook_tolerance '1 day');
		CREATE USER MAPPING FOR CURRENT_USER SERVER back OPTIONS (webhook_secret 'back secret')
		SQL
	query(
		$node,
		q{CREATE OR REPLACE FUNCTION wh(server name, body bytea, age interval DEFAULT '0', OUT http_status integer,
			OUT outcome text, OUT webhook_id bigint) LANGUAGE sql AS $$
		SELECT r.* FROM receive_webhook(wh.server, jsonb_build_object('X-Summit-Signature',
			sign_webhook(wh.server || ' secret', wh.body, 'summit', now() - wh.age)), wh.body) AS r $$});
	endpoint('hooks');
	is_well('hooks');
	my $policy = told('policy.lapsed');
	comes_to($policy, 'hooks delivered 1', 'it goes out');
	told('policy.lapsed', policy => $policy, server => 'back');
	comes_to($policy, 'hooks delivered 1', 'and not again when it comes back');
	told('policy.lapsed', policy => $policy, server => 'back', occurred_at => '2026-03-02T00:00:00Z');
	comes_to($policy, 'hooks delivered 1, hooks delivered 1', 'what is news does');
	query($node, <<~"SQL");
		SELECT canopy_summit.enqueue_deliveries(array_agg(e.status_event_id))
		FROM summit.status_event e JOIN summit.policy_status USING (policy_status_id) WHERE policy_number = '$policy'
		SQL
	comes_to($policy, join(', ', ('hooks delivered 1') x 4), 'of two that come at once one goes out');
	forget('hooks', 'back');
	return;
}

sub levels
{
	endpoint('hooks');
	is_well('hooks');
	my $policy = told('policy.verified');
	comes_to($policy, 'hooks delivered 1', 'a delivery');
	is(query($node, 'SET ROLE reader; SELECT policy_number FROM summit.delivery'), '***', 'a reader sees no policy');
	is( query(
			$node, q{SET ROLE operator; SELECT state, attempts, outcome_status FROM canopy_summit.job_status
				WHERE operation = 'post-delivery'}),
		'succeeded|1|204',
		'an operator sees how it went');
	is(sqlstate_of($node, 'SET ROLE reader; SELECT canopy_summit.replay_deliveries()'), '42501', 'nor replays');
	forget('hooks');
	return;
}
