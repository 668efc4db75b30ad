# Is what any one input costs bounded, in memory and in indexes, whatever it holds and whichever way it comes?
use strict;
use warnings;

use CanopyJobs;
use CanopyProcess;
use CanopyReceiver;
use CanopyScanner;
use CanopyTest;
use CanopyUpload;
use JSON::PP ();
use List::Util qw(sum0);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ShreddedPull;
use Test::More;

use constant {
	MEGABYTE => 1024 * 1024,
	PULL_MAX => 150, # MB that a pull of 16 MB may take
	BODY_MAX =>
	  64, # MB that a body of 1 MB may take, which PostgreSQL's parser alone makes 40 of if all of it is numbers
	AT_ONCE => 16,
	AT_ONCE_MAX => 150, # MB that so many bodies of 1 MB may take, of which none is kept in another form
};

test_seed();
my $sandbox = start_sandbox(seed => 1);
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $node = new_worker_node(conf => <<~"END");
	autovacuum = off
	fsync = off
	max_wal_size = 4GB
	canopy_summit.receiver_port = $port
	canopy_summit.worker_idle_timeout = 600s
	END
my $json = JSON::PP->new->canonical;
create_canopy_server($node, $sandbox, mapping => { webhook_secret => 'key' });
create_summit_server($node, $sandbox, mapping => { webhook_secret => 'key' });
query($node, q{SELECT canopy_summit.pause_server('summit')});

subtest 'a monster in every field of a pull' => \&monstrous_pull;
subtest 'a monster in every field of a webhook' => \&monstrous_webhooks;
subtest 'a monster in an upload' => \&monstrous_upload;
subtest 'a pull of 16 MB' => \&large_pull;
subtest 'numbers that no column holds' => \&numbers;
subtest 'webhooks of 1 MB' => \&large_webhooks;
subtest 'an upload of 12 MB' => \&large_upload;
unlike(slurp_file($node->logfile), qr/XX000|PANIC|terminated by signal/, 'no internal error and no crash in the log');
done_testing();

# Text that does not compress.
sub monster
{
	my ($length) = @_;
	return join '', map { ('a' .. 'z', 'A' .. 'Z', 0 .. 9)[ rand 62 ] } 1 .. $length;
}

# The same structure with something else for each string and number.
sub replaced
{
	my ($value, $replace) = @_;
	return { map { $_ => replaced($value->{$_}, $replace) } keys %$value } if ref $value eq 'HASH';
	return [ map { replaced($_, $replace) } @$value ] if ref $value eq 'ARRAY';
	return !defined $value || ref $value ? $value : $replace->();
}

# What statements take in a session of their own: MB. Those before the last are a preparation.
sub growth_of_session
{
	my @statements = @_;
	my $session = open_session($node);
	my $pid = $session->query('SELECT pg_backend_pid()');
	my $last = pop @statements;

	$session->query($_) for @statements;
	my $growth = growth($pid, sub { $session->query($last) });
	$session->quit;
	return $growth;
}

# What a way in takes: MB that the process has more than before at its peak.
sub growth
{
	my ($pid, $way_in) = @_;
	append_to_file("/proc/$pid/clear_refs", '5');
	my $before = peak_kb($pid);
	$way_in->();
	return int((peak_kb($pid) - $before) / 1024);
}

sub within
{
	my ($megabytes, $most, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	diag("$what: $megabytes MB");
	cmp_ok($megabytes, '<=', $most, "$what takes at most $most MB");
	return;
}

sub monstrous_pull
{
	my $pull = replaced(read_json(generated('sentinel'))->{pull}, sub { monster(3000) });
	my %fields = (
		%$pull, primaryAddress => { city => monster(3000) }, monster(3000), 1, pull_id => 'monster',
		status => 'SUCCESS');
	my $file = PostgreSQL::Test::Utils::tempdir('pull') . '/pull.json';

	append_to_file($file, $json->encode(\%fields));
	my $store = "canopy_store_pull(convert_from(pg_read_binary_file('$file'), 'UTF8')::jsonb)";
	is(scalar sqlstate_of($node, "SELECT $store"), undef, 'it is stored');
	is( query($node, <<~'SQL'),
		SELECT string_agg(entity, ' ') FROM canopy_summit.entities() AS entity
		WHERE (xpath('/row/n/text()',
			query_to_xml(format('SELECT count(*) AS n FROM canopy_summit.%I WHERE pull_id = ''monster''', entity),
				false, true, '')))[1]::text = '0'
		SQL
		'', 'with rows of every entity');
	# An id that is as long as an id may be, and the account's at its bound and beyond, each alone.
	for my $account (map { monster($_) } 512, 513, 2700, 2713, 8000)
	{
		my $length = length $account;
		is( scalar sqlstate_of(
				$node,
				sprintf "SELECT canopy_store_pull('%s')",
				$json->encode(
					{   pull_id => monster(512), account_identifier => $account, status => 'SUCCESS',
						policies => [ { policy_id => $account } ] })),
			undef,
			"so is one whose account has $length bytes");
	}
	return;
}

# The outcome of receiving an event.
sub receive_monster
{
	my ($server, $event) = @_;
	my $body = "'\\x" . unpack('H*', $json->utf8->encode($event)) . "'";
	my ($scheme, $header) = $server eq 'summit' ? ('summit', 'X-Summit-Signature') : ('canopy', 'canopy-signature');
	return query($node, <<~"SQL");
		SELECT outcome
		FROM (SELECT $body\::bytea) AS s(b),
			receive_webhook('$server', jsonb_build_object('$header', sign_webhook('key', b, '$scheme')), b)
		SQL
}

sub monstrous_webhooks
{
	my @events = map {
		my $event = $_;
		{   event_type => $event, pull_id => 'p', status => monster(9000), account_identifier => monster(9000),
			pull_type => monster(9000), meta_data => { a => monster(9000) },
			monitoring => { monitoring_id => "m" . monster(9000), initial_pull_id => monster(9000) },
			data => {
				map({ $_ => monster(9000) }
					qw(type auth_status login_error_message reconnect_url reconnect_token status previous_status
					  validation_error_type document_id original_pull_id)),
				servicing_action_id => 's' . monster(9000),
				document_validation_id => 'v' . monster(9000),
				mfa_options => { monster(9000) => 1 },
				changes => [ monster(9000) ],
				documents => [ monster(9000) ],
				updates => [ { type => monster(9000), data => monster(9000) } ] } }
	  } qw(COMPLETE POLICIES_AVAILABLE AUTH_STATUS ERROR MONITORING_EVENTS MONITORING_RECONNECT SERVICING_STATUS_UPDATED
	  VALIDATION_COMPLETE DATA_UPDATED NEW);
	is(receive_monster(canopy => $_), 'stored', "$_->{event_type} is stored") for @events;
	for my $status (qw(submitted verified lapsed reinstated))
	{
		is( receive_monster(
				summit => {
					event => "policy.$status",
					delivery_id => "d-$status",
					attempt => 1,
					occurred_at => '2026-01-01T00:00:00Z',
					data => {
						policy => {
							policy_number => 'P',
							map { $_ => monster(9000) }
							  qw(policy_type verifier effective_date expiry_date new_expiry_date) },
						certificate_holder => {
							name => monster(9000),
							reference_ids =>
							  { map { $_ => "$_" . 'x' x 9000 } qw(property_id unit_id lease_id tenant_id) } },
						reason => { code => monster(9000), detail => monster(9000) },
						checks => [ monster(9000) ],
						documents => { coi_pdf_id => monster(9000) } } }),
			'stored',
			"policy.$status is stored");
	}
	# Names that are too long to be names.
	is( receive_monster(canopy => { event_type => 'COMPLETE', pull_id => monster(9000) }), 'stored',
		'so is one of a monstrous pull');
	is( receive_monster(canopy => { event_type => monster(9000), pull_id => 'p' }), 'quarantined',
		'a monstrous event is kept');
	is( receive_monster(
			summit => {
				event => 'policy.verified', delivery_id => monster(9000),
				data => { policy => { policy_number => monster(9000) } } }),
		'quarantined',
		'and a monstrous delivery');
	wait_until(
		'all is applied',
		sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
	is(query($node, <<~'SQL'), '', 'all that can be read is applied');
		SELECT string_agg(event || ': ' || problem, ', ') FROM canopy_summit.webhook
		WHERE state = 'quarantined' AND problem NOT LIKE 'the body %'
		SQL
	is(query($node, <<~'SQL'), '10|10', 'monitorings are known by what their ids hash to');
		SELECT count(DISTINCT monitoring_id), count(*) FILTER (WHERE monitoring_id ~ '^sha256:[0-9a-f]{64}$')
		FROM canopy_summit.monitoring
		SQL
	is(query($node, <<~'SQL'), '1|71', 'so are servicing actions');
		SELECT count(*), min(length(servicing_action_id)) FROM canopy_summit.servicing_action
		SQL
	is(query($node, <<~'SQL'), '1|71', 'and validations of documents');
		SELECT count(*), min(length(document_validation_id)) FROM canopy_summit.document_validation
		SQL
	return;
}

sub monstrous_upload
{
	my $payload = JSON::PP->new->decode(example());
	$payload->{policy}{policy_number} = monster(4000);
	$payload->{policy}{insurer_name} = monster(4000);
	$payload->{certificate_holder}{reference_ids}{property_id} = monster(4000);
	is( scalar sqlstate_of($node, 'SELECT summit_upload_policy(' . literal($json->encode($payload)) . ')'), undef,
		'it is taken');
	return;
}

sub large_pull
{
	my $vehicles = <<~'SQL';
		(SELECT jsonb_agg(jsonb_build_object('vehicle_id', i, 'make', 'Make ' || i, 'unknown', repeat('x', 100)))
		FROM generate_series(1, 100000) i)
		SQL
	query($node, <<~"SQL");
		CREATE TABLE large AS
		SELECT jsonb_build_object('pull_id', 'large', 'policies',
			jsonb_build_array(jsonb_build_object('policy_id', 'a', 'vehicles', $vehicles))) AS pull
		SQL
	query($node, q{CREATE TABLE larger AS SELECT pull || '{"status": "SUCCESS"}' AS pull FROM large});
	my $text = query($node, 'SELECT pull::text FROM large');
	cmp_ok(length $text, '>', 15 * MEGABYTE, 'it has 16 MB');

	within(growth_of_session(q{SELECT version FROM large, canopy_store_pull(pull)}), PULL_MAX, 'canopy_store_pull()');
	within(
		growth_of_session(q{SELECT version FROM larger, canopy_store_pull(pull)}), PULL_MAX,
		'another version of it');
	is(query($node, <<~'SQL'), 100_000, 'all of it is there');
		SELECT count(*) FROM canopy_summit.vehicle WHERE pull_id = 'large'
		SQL
	is(query($node, <<~'SQL'), 2, 'in two versions');
		SELECT max(version) FROM canopy_summit.pull_version WHERE pull_id = 'large'
		SQL

	my $answer = sub {
		my ($pull_id) = @_;
		$sandbox->clear;
		$sandbox->arm(
			match => { path => '/pulls/' },
			times => undef,
			fault => {
				kind => 'body',
				body =>
				  { base64 => encode_base64('{"success":true,"pull":' . ($text =~ s/"large"/"$pull_id"/r) . '}', '') } }
		);
	};
	$answer->('fetched');
	within(growth_of_session(q{SELECT version FROM canopy_fetch_pull('fetched')}), PULL_MAX, 'canopy_fetch_pull()');
	$answer->('by-job');
	my $worker = wait_until('a worker is there', sub { (worker_pids($node))[0] });
	within(
		growth(
			$worker,
			sub {
				query($node, q{SELECT canopy_enqueue_fetch('by-job')});
				all_settled($node, q{operation = 'get-pull-by-id' AND params ->> 'pullId' = 'by-job'});
			}),
		PULL_MAX,
		'the fetch of a worker');
	is( query($node, <<~'SQL'),
		SELECT string_agg(pull_id || ' ' || n, ', ' ORDER BY pull_id)
		FROM (SELECT pull_id, count(*) AS n FROM canopy_summit.vehicle WHERE pull_id IN ('fetched', 'by-job')
			GROUP BY 1) AS v
		SQL
		'by-job 100000, fetched 100000', 'and all of it is there');
	$sandbox->clear;

	# Hostile all over: 2.7 million characters that have to be replaced.
	$sandbox->arm(
		match => { path => '/pulls/' },
		fault => {
			kind => 'body',
			body => {
				base64 => encode_base64(
					'{"success":true,"pull":{"pull_id":"nul","first_name":"' . '\u0000' x 2_700_000 . '"}}', '') } });
	within(
		growth_of_session(q{SELECT version FROM canopy_fetch_pull('nul')}), PULL_MAX,
		'a pull of what jsonb cannot hold');
	is(query($node, q{SELECT count(*) FROM canopy_summit.pull_version WHERE pull_id = 'nul'}), 1, 'which is stored');
	return;
}

# A list of numbers that each would be a thousand digits, of so many bytes.
sub many_numbers { my ($bytes) = @_; return '[' . join(',', ('1e999') x ($bytes / 6)) . ']' }

sub numbers
{
	my $numbers = many_numbers(MEGABYTE);
	for my $field (qw(unknown skipped_product_types meta_data))
	{
		$sandbox->clear;
		$sandbox->arm(
			match => { path => '/pulls/' },
			fault => {
				kind => 'body',
				body =>
				  { base64 => encode_base64(qq({"success":true,"pull":{"pull_id":"$field","$field":$numbers}}), '') } }
		);
		within(
			growth_of_session("SELECT version FROM canopy_fetch_pull('$field')"), 2 * BODY_MAX,
			"1 MB of 1e999 in $field");
		is(query($node, <<~"SQL"), '"1e999"', 'which is stored as it came');
			SELECT pull -> '$field' -> 0 FROM canopy_summit.pull_version WHERE pull_id = '$field'
			SQL
		within(growth_of_session(<<~"SQL"), 3 * BODY_MAX, 'the same as jsonb');
			SELECT version FROM canopy_store_pull('{"pull_id": "jsonb $field", "$field": $numbers}')
			SQL
		is( query($node, <<~"SQL"),
			SELECT a.pull -> '$field' = b.pull -> '$field'
			FROM canopy_summit.pull_version a, canopy_summit.pull_version b
			WHERE a.pull_id = '$field' AND b.pull_id = 'jsonb $field'
			SQL
			't', 'which is the same then');
	}
	return;
}

# The answers to requests that the receiver finds complete together: it stands still while each gets its last byte.
sub statuses_at_once
{
	my ($receiver, @requests) = @_;
	my @sockets = map { connected($port) } @requests;

	for my $i (0 .. $#sockets)
	{
		print { $sockets[$i] } substr $requests[$i], 0, -1;
		$sockets[$i]->flush;
	}
	wait_until(
		'all have arrived',
		sub {
			unread_bytes($receiver) + sum0(map { unsent_on($_) } @sockets) == 0;
		});
	kill STOP => $receiver;
	for my $i (0 .. $#sockets)
	{
		print { $sockets[$i] } substr $requests[$i], -1;
		$sockets[$i]->flush;
	}
	wait_until('so have the last bytes', sub { unread_bytes($receiver) >= @sockets });
	kill CONT => $receiver;
	return map { (answer_on($_) // { status => 0 })->{status} } @sockets;
}

sub large_webhooks
{
	my $more = many_numbers(MEGABYTE - 4000);
	my $number = 0;
	my $new = sub {
		my ($server) = @_;
		$number++;
		return $server eq 'canopy'
		  ? qq({"event_type":"NEW","pull_id":"large-$number","x":$more})
		  : qq({"event":"policy.new","delivery_id":"large-$number","occurred_at":"2026-01-01T00:00:00Z",)
		  . qq("data":{"policy":{"policy_number":"P"}},"x":$more});
	};

	for my $server (qw(canopy summit))
	{
		my ($scheme, $header) = $server eq 'summit' ? ('summit', 'X-Summit-Signature') : ('canopy', 'canopy-signature');
		my $signed = sub {
			return
				"(SELECT jsonb_build_object('$header', sign_webhook('key', b, '$scheme')), b FROM (SELECT convert_to('"
			  . $new->($server)
			  . "', 'UTF8')) AS s(b)) AS s(h, b)";
		};

		my $prepared = sub { return "CREATE TEMP TABLE signed AS SELECT * FROM " . $signed->() };
		within(
			growth_of_session($prepared->(), "SELECT outcome FROM signed, receive_webhook('$server', h, b)"),
			BODY_MAX, "receive_webhook() of $server");
		within(growth_of_session($prepared->(), <<~"SQL"), BODY_MAX, "INSERT for $server");
			INSERT INTO canopy_summit.webhook (server, headers, body) SELECT '$server', h, b FROM signed
			SQL
		my $receiver = receiver_pid($node);
		within(
			growth(
				$receiver,
				sub {
					for (1 .. 3)
					{
						my $body = $new->($server);
						is( scalar status_of_request($port, webhook($server, $body, signature($body, 'key', $server))),
							200, 'the receiver takes it');
					}
				}),
			BODY_MAX,
			"the receiver, of $server");
		my @bodies = map { $new->($server) } 1 .. AT_ONCE;
		my @requests = map { webhook($server, $_, signature($_, 'key', $server)) } @bodies;
		within(
			growth(
				$receiver,
				sub {
					is_deeply(
						[ statuses_at_once($receiver, @requests) ], [ (200) x AT_ONCE ],
						'it takes more than one at once');
				}),
			AT_ONCE_MAX,
			'the receiver, of ' . AT_ONCE . " of $server at once");
	}
	my $stored = query($node, <<~'SQL');
		SELECT count(*) FROM canopy_summit.webhook WHERE subject LIKE 'large%' OR delivery_key LIKE 'large%'
		SQL
	is($stored, 10 + 2 * AT_ONCE, 'all are stored');
	wait_until(
		'all are applied',
		sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
	my $worker = wait_until('a worker is there', sub { (worker_pids($node))[0] });
	within(
		growth(
			$worker,
			sub {
				query($node, <<~'SQL');
					INSERT INTO canopy_summit.webhook (server, headers, body)
					SELECT 'canopy', jsonb_build_object('canopy-signature', sign_webhook('key', b)), b
					FROM (SELECT convert_to(jsonb_build_object('event_type', 'NEW', 'pull_id', 'many-' || n, 'x',
						repeat('x', 1000000))::text,
						'UTF8')
						FROM generate_series(1, 60) n) AS s(b)
					SQL
				wait_until(
					'all are applied',
					sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
			}),
		PULL_MAX,
		'a worker that applies 60 of them');
	is(query($node, <<~'SQL'), 60, 'which are applied');
		SELECT count(*) FROM canopy_summit.webhook WHERE subject LIKE 'many-%' AND state = 'applied'
		SQL
	return;
}

sub large_upload
{
	my $payload = JSON::PP->new->decode(example());
	my $pdf = document('pdf');
	$payload->{policy}{policy_number} = 'LARGE';
	$payload->{documents}{coi_pdf} = {
		content_type => 'application/pdf',
		base64 => encode_base64(substr($pdf, 0, 9) . monster(9 * MEGABYTE) . substr($pdf, 9), '') };
	my $file = PostgreSQL::Test::Utils::tempdir('upload') . '/payload.json';
	append_to_file($file, $json->encode($payload));
	within(
		growth_of_session(
			"CREATE TEMP TABLE payload AS SELECT convert_from(pg_read_binary_file('$file'), 'UTF8')::jsonb AS payload",
			'SELECT summit_upload_policy(payload) FROM payload'),
		PULL_MAX,
		'summit_upload_policy()');
	is(query($node, <<~'SQL'), 1, 'which is taken');
		SELECT count(*) FROM summit.upload WHERE policy_number = 'LARGE' AND status <> 'refused'
		SQL
	my $scanner = CanopyScanner->new(max_kb => 20 * 1024);
	query($node, "ALTER SYSTEM SET canopy_summit.clamd_socket = '" . $scanner->socket . q{'; SELECT pg_reload_conf()});
	my $worker = wait_until('a worker is there', sub { (worker_pids($node))[0] });
	within(
		growth(
			$worker,
			sub {
				query($node, q{SELECT canopy_summit.resume_server('summit')});
				all_settled($node, q{operation = 'upload-policy'});
			}),
		PULL_MAX,
		'a worker that has it scanned, and sends it');
	cmp_ok($scanner->found_clean, '>=', 1, 'it is scanned');
	is( query($node, q{SELECT accepted_at IS NOT NULL FROM summit.upload WHERE policy_number = 'LARGE'}), 't',
		'and sent');
	return;
}
