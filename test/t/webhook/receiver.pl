# Does the receiver answer 200 for what is stored and for nothing else, whoever its clients are and whatever stops it?
use strict;
use warnings;

use CanopyJobs;
use CanopyProcess;
use CanopyReceiver;
use CanopyTest;
use IO::Select ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = test_seed();
my $sandbox = start_sandbox();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $node = new_worker_node(conf => <<~"END", init => { allows_streaming => 1 });
	restart_after_crash = on
	canopy_summit.receiver_port = $port
	wal_writer_delay = 10s
	canopy_summit.receiver_timeout = 2s
	canopy_summit.receiver_max_connections = 32
	canopy_summit.receiver_max_body_size = 64kB
	END
my $number = 0;
my $rest = ''; # of pipelined answers

subtest 'before there is an extension' => \&absent;
create_canopy_server($node, $sandbox, mapping => { webhook_secret => 'key' });
create_canopy_server($node, $sandbox, server => 'bare');
query($node, <<~'SQL');
	CREATE SERVER summit FOREIGN DATA WRAPPER summit_api
	OPTIONS (base_url 'https://localhost:1', auth_url 'https://localhost:1');
	CREATE USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (webhook_secret 'key2');
	SELECT canopy_summit.pause_server(s) FROM unnest('{canopy,bare,summit}'::name[]) AS s
	SQL
wait_until('the receiver is healthy', sub { listens($port) });

subtest 'webhooks are stored once' => \&stores;
subtest 'what is refused' => \&refuses;
subtest 'headers' => \&headers;
subtest 'no secret, or another one' => \&secrets;
subtest 'one that fails' => \&poison;
subtest 'one that somebody else is storing' => \&blocked;
subtest 'nothing can be stored' => \&unhealthy;
subtest 'slow clients' => \&slow;
subtest 'a flood of forgeries' => \&flood;
subtest 'told to go' => \&leaves;
subtest 'killed at any time' => \&killed;
subtest 'statements on the whole database' => \&databases;
subtest 'settings' => \&settings;
subtest 'TLS' => \&tls;
subtest 'standby' => \&standby;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal (?!9)/, 'nothing has crashed by itself');
done_testing();

sub rows
{
	my ($condition) = @_;
	return query($node, 'SELECT count(*) FROM canopy_summit.webhook WHERE ' . ($condition // 'true'));
}

# A request of a new delivery to the server canopy, and its pull.
sub new_webhook
{
	my $pull = 'pull-' . ++$number;
	my $body = canopy_body($pull);
	return wantarray
	  ? (webhook('canopy', $body, signature($body, 'key')), $pull)
	  : webhook('canopy', $body, signature($body, 'key'));
}

sub absent
{
	wait_until('the receiver listens', sub { connected($port) });
	is(status_of_request($port, scalar new_webhook()), 503, 'without the extension a webhook is not answered 404');
	is(status_of_request($port, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), 503, 'and the receiver is not healthy');
	return;
}

sub stores
{
	my $body = canopy_body('first');
	my $summit = summit_body('delivery-1');
	my $redelivered = summit_body('delivery-1', attempt => 2);
	my $conflict = summit_body('delivery-1', occurred_at => '2026-01-02T00:00:00Z');
	my $socket = connected($port);
	my @cases = (
		[ webhook('canopy', $body, signature($body, 'key')), 200, 'stored' ],
		[ webhook('canopy', $body, signature($body, 'key', 'canopy', int(time) - 60)), 200, 'duplicate' ],
		[ webhook('summit', $summit, signature($summit, 'key2', 'summit')), 200, 'stored' ],
		[ webhook('summit', $redelivered, signature($redelivered, 'key2', 'summit')), 200, 'duplicate' ],
		[ webhook('summit', $conflict, signature($conflict, 'key2', 'summit')), 200, 'conflict' ],
		[ webhook('canopy', 'no JSON', signature('no JSON', 'key')), 200, 'quarantined' ]);

	for my $case (@cases)
	{
		my ($request, $status, $outcome) = @$case;
		print {$socket} $request;
		$socket->flush;
		my $answer = answer_on($socket);
		is($answer->{status}, $status, "$outcome is answered $status");
		is($answer->{body}, qq({"outcome":"$outcome"}\n), 'by name');
	}
	is(rows(), 4, 'four are stored');
	is( query(
			$node,
			q{SELECT body = convert_to($$}
			  . $body
			  . q{$$, 'UTF8') FROM canopy_summit.webhook ORDER BY webhook_id LIMIT 1}),
		't',
		'as they came');
	print {$socket} join '', map { scalar new_webhook() } 1 .. 5;
	$socket->flush;
	is( join(' ', map { answer_on_pipeline($socket) } 1 .. 5), '200 200 200 200 200',
		'five on the way at once are answered in turn');

	my $same = new_webhook();
	my @copies = together(map { $same } 1 .. 5);
	is(join(' ', map { $_->{status} } @copies), '200 200 200 200 200', 'five copies at once are answered');
	is( join(' ', sort map { $_->{body} =~ /"(\w+)"\}/ } @copies), 'duplicate duplicate duplicate duplicate stored',
		'and one is stored');
	soon_ok('they are applied', sub { rows(q{state = 'stored'}) == 0 }, 10);
	query($node, q{CREATE ROLE receiver_operator; SELECT canopy_summit.grant_access('receiver_operator', 'operator')});
	is(query($node, <<~'SQL'), "1\nt", 'an operator sees how it goes');
		SET ROLE receiver_operator;
		SELECT count(*) FROM canopy_summit.receiver_status;
		SELECT count(refused_webhooks) > 0 FROM canopy_summit.server_health
		SQL
	soon_ok('receiver_status shows the receiver', sub { query($node, <<~'SQL') > 0 });
		SELECT stored FROM canopy_summit.receiver_status WHERE problem IS NULL
		SQL
	is(query($node, <<~'SQL'), 'idle|t', 'it waits without a transaction');
		SELECT state, xact_start IS NULL FROM pg_stat_activity WHERE backend_type = 'canopy_summit receiver'
		SQL
	is(threads(receiver_pid($node)), 1, 'and without threads');
	return;
}

# Pipelined answers come in one read: take one by one.
sub answer_on_pipeline
{
	my ($socket) = @_;
	until ($rest =~ /^HTTP.*?\r\n\r\n\{.*?\}\n/s) { sysread($socket, $rest, 65536, length $rest) or return 'end' }
	$rest =~ s{^HTTP/1\.1 (\d+).*?\r\n\r\n\{.*?\}\n}{}s;
	return $1;
}

# Answers to requests, each on a connection of its own, that the receiver finds all at once.
sub together
{
	my (@requests) = @_;
	my $pid = receiver_pid($node);
	kill STOP => $pid;
	my @sockets = map { sent_on_connection($_) } @requests;
	kill CONT => $pid;
	return map { answer_on($_) // { status => 0, body => '' } } @sockets;
}

# A connection on which a request has arrived, whether or not the receiver has read it.
sub sent_on_connection
{
	my ($request) = @_;
	my $socket = connected($port);
	print {$socket} $request;
	$socket->flush;
	wait_until('the request has arrived', sub { unsent_on($socket) == 0 });
	return $socket;
}

sub refuses
{
	my $before = rows();
	my $body = canopy_body('refused');
	my $good = signature($body, 'key');
	my $large = 'x' x (64 * 1024 + 1);
	my %cases = (
		'a forged one' => [ webhook('canopy', $body, signature($body, 'other')), 401 ],
		'one without signature' => [ webhook('canopy', $body), 401 ],
		'one with two signature headers' => [ webhook('canopy', $body, $good, $good), 401 ],
		'one that is too old' =>
		  [ webhook('canopy', $body, signature($body, 'key', 'canopy', int(time) - 9 * 3600)), 401 ],
		'an empty one' => [ webhook('canopy', ''), 401 ],
		'an unknown server' => [ webhook('nowhere', $body, $good), 404 ],
		'a name that is too long' => [ webhook('n' x 64, $body, $good), 404 ],
		'another path' => [ "POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 404 ],
		'no name' => [ webhook('', $body, $good), 404 ],
		'GET' => [ "GET /webhooks/canopy HTTP/1.1\r\nHost: a\r\n\r\n", 405, qr/^Allow: POST\r?$/m ],
		'PUT with a body' => [ webhook('canopy', $body, $good) =~ s/^POST/PUT/r, 405, qr/^Connection: close\r?$/m ],
		'POST of health' =>
		  [ "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405, qr/^Allow: GET, HEAD\r?$/m ],
		'no length' => [ "POST /webhooks/canopy HTTP/1.1\r\nHost: a\r\n\r\n", 411 ],
		'two lengths' => [ webhook('canopy', $body, $good, 'Content-Length: 3'), 400 ],
		'a length and chunks' => [ webhook('canopy', $body, $good, 'Transfer-Encoding: chunked'), 400 ],
		'another encoding' =>
		  [ webhook('canopy', $body, $good, 'Transfer-Encoding: gzip') =~ s/Content-Length: \d+\r\n//r, 400 ],
		'a large one, before it is sent' =>
		  [ webhook('canopy', '', $good) =~ s/Content-Length: 0/Content-Length: 65537/r, 413 ],
		'a large one in chunks' => [
				"POST /webhooks/canopy HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
			  . "10001\r\n$large\r\n0\r\n\r\n",
			413 ],
		'a blank before the colon of an encoding' =>
		  [ webhook('canopy', $body, $good, 'Transfer-Encoding : chunked'), 400 ],
		'a tab before the colon of a second length' => [ webhook('canopy', $body, $good, "Content-Length\t: 3"), 400 ],
		'a name with a blank in it' => [ webhook('canopy', $body, $good, 'X Y: z'), 400 ],
		'a header without a name' => [ webhook('canopy', $body, $good, ': z'), 400 ],
		'a name that is no token' => [ webhook('canopy', $body, $good, "X\xe9: z"), 400 ],
		'NUL in a value' => [ webhook('canopy', $body, "X: a\0b", $good), 400 ],
		'NUL before a value' => [ webhook('canopy', $body, "X: \0", $good), 400 ],
		'NUL in the last value' => [ webhook('canopy', $body, $good, "X: a\0b"), 400 ],
		'NUL in a name' => [ webhook('canopy', $body, $good, "X\0Y: b"), 400 ],
		'NUL for a line' => [ webhook('canopy', $body, $good, "\0", 'Transfer-Encoding: chunked'), 400 ],
		'NUL that hides an encoding' =>
		  [ webhook('canopy', $body, $good, "X: a\0\r\nTransfer-Encoding: chunked"), 400 ],
		'bare CR in a value' => [ webhook('canopy', $body, $good, "X: a\rb"), 400 ],
		'bare CR that hides an encoding' =>
		  [ webhook('canopy', $body, $good, "X: a\rTransfer-Encoding: chunked"), 400 ],
		'bare LF for the end of a line' => [ webhook('canopy', $body, $good, "X: a\nTransfer-Encoding: chunked"), 400 ],
		'bare LF after the last header' => [ webhook('canopy', $body, $good) =~ s/\r\n\r\n/\n\r\n/r, 400 ],
		'another control character in a value' => [ webhook('canopy', $body, $good, "X: a\x01b"), 400 ],
		'a value in two lines' => [ webhook('canopy', $body, $good, "X: a\r\n b"), 400 ],
		'two hosts' => [ webhook('canopy', $body, $good, 'Host: other'), 400 ],
		'two hosts of health' => [ "GET /healthz HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400 ],
		'NUL in the path' => [ webhook('canopy%00x', $body, $good), 400 ],
		'NUL in the path of health' => [ "GET /healthz%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400 ],
		'NUL as it is in the path' => [ webhook("canopy\0x", $body, $good), 400 ],
		'NUL before a query' => [ webhook("canopy\0?x", $body, $good), 400 ],
		'a percent sign without digits' => [ webhook('canopy%zz', $body, $good), 400 ],
		'a percent sign at the end' => [ webhook('canopy%6', $body, $good), 400 ],
		'gzip' =>
		  [ webhook('canopy', $body, $good, 'Content-Encoding: gzip'), 415, qr/^Accept-Encoding: identity\r?$/m ],
		'large headers' => [ webhook('canopy', $body, $good, 'X: ' . 'x' x 40000), 431 ],
		'no host' => [ "GET /healthz HTTP/1.1\r\n\r\n", 400 ]);

	my $health = q{canopy_summit.server_health WHERE server = 'canopy'};
	my $counts = sub { query($node, "SELECT refused_webhooks, encoded_webhooks FROM $health") };
	my %counted = (gzip => '0 1', 'a forged one' => '1 0');
	for my $name (sort keys %cases)
	{
		my ($request, $status, $pattern) = @{ $cases{$name} };
		my @counts = split /\|/, $counts->();
		my ($answer) = status_of_request($port, $request);
		# libmicrohttpd 1.0 itself says that it does not know a coding, and hangs up on a NUL in the first line.
		my $got = $answer ? $answer->{status} : 0;
		my %instead = ('another encoding' => 501, 'NUL as it is in the path' => 0, 'NUL before a query' => 0);
		is($got == ($instead{$name} // $status) ? $status : $got, $status, "$name: $status");
		like($answer->{headers}, $pattern, $pattern) if $pattern;
		my @more = map { $_ - shift @counts } split /\|/, $counts->();
		is("@more", $counted{$name}, "$name: counted among what was refused, or apart from it") if $counted{$name};
		unlike($answer->{body} // '', qr/canopy|refused|key/, 'which says nothing') if $answer;
	}
	my $endless = connected($port);
	local $SIG{PIPE} = 'IGNORE';
	print {$endless} "POST /webhooks/canopy HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
	my $sent = 0;
	$sent++ while $sent < 1000 && syswrite $endless, sprintf "%x\r\n%s\r\n", 16384, 'x' x 16384;
	cmp_ok($sent, '<', 1000, 'endless chunks are cut off');
	for my $form (
		[ 'a query', 'canopy?a=b%00' ], [ 'percent signs', 'c%61nop%79' ],
		[ 'no blank, or several, before a value', 'canopy', "X:y", "Z:  \t y \t", 'Empty:' ])
	{
		my ($name, $server, @more) = @$form;
		my $form = canopy_body($name);
		is(status_of_request($port, webhook($server, $form, signature($form, 'key'), @more)), 200, "$name: stored");
	}
	my $edge = '{"a":"' . 'x' x (64 * 1024 - 8) . '"}';
	is( status_of_request($port, webhook('canopy', $edge, signature($edge, 'key'))), 200,
		'one of the largest size is taken');
	is(rows() - $before, 4, 'nothing else is stored');
	my ($refused, $encoded) = split /\|/, $counts->();
	cmp_ok($refused, '>=', 5, 'server_health counts refusals');
	is($encoded, 1, 'and apart from them what was compressed');
	return;
}

sub headers
{
	my $body = canopy_body('headers');
	is( status_of_request(
			$port,
			webhook(
				'canopy', $body, signature($body, 'key') =~ s/^canopy/CANOPY/r, 'X-Twice: 1', 'x-twice: 2',
				'Authorization: Basic secret', 'Proxy-Authorization: secret', 'Cookie: secret', "X-Latin: caf\xe9",
				"X-Utf8: caf\xc3\xa9")),
		200,
		'is stored');
	my $kept = JSON::PP->new->utf8->decode(query($node, <<~'SQL'));
		SELECT headers FROM canopy_summit.webhook WHERE subject = 'headers'
		SQL
	is_deeply($kept->{'x-twice'}, [ 1, 2 ], 'one that came twice is an array');
	is($kept->{$_}, '***', "$_ is not kept") for qw(authorization proxy-authorization cookie);
	is($kept->{'x-latin'}, 'caf?', 'what is no UTF-8 is replaced');
	is($kept->{'x-utf8'}, "caf\x{e9}", 'what is UTF-8 is kept');
	like($kept->{'canopy-signature'}, qr/^t=\d+,s=/, 'names are lower case');
	return;
}

sub secrets
{
	my $body = canopy_body('bare');
	my $problem = q{SELECT webhook_problem FROM canopy_summit.server_health WHERE server = 'bare'};

	is(status_of_request($port, webhook('bare', $body, signature($body, 'key'))), 503, 'without a secret: again later');
	like(query($node, $problem), qr/no webhook_secret/, 'server_health says why');
	query($node, q{ALTER USER MAPPING FOR CURRENT_USER SERVER bare OPTIONS (ADD webhook_secret_file '/nowhere')});
	soon_ok(
		'a file that is not there is said, too',
		sub {
			status_of_request($port, webhook('bare', $body, signature($body, 'key'))) == 503
			  && query($node, $problem) =~ m{/nowhere};
		});
	query($node, <<~'SQL');
		ALTER USER MAPPING FOR CURRENT_USER SERVER bare OPTIONS (DROP webhook_secret_file, ADD webhook_secret 'old')
		SQL
	soon_ok(
		'with a secret it is stored',
		sub { status_of_request($port, webhook('bare', $body, signature($body, 'old'))) == 200 });
	is(query($node, $problem), '', 'and server_health says nothing');
	query($node, q{ALTER USER MAPPING FOR CURRENT_USER SERVER bare OPTIONS (SET webhook_secret 'new')});
	soon_ok(
		'a revoked secret is refused',
		sub { status_of_request($port, webhook('bare', $body, signature($body, 'old'))) == 401 });
	is(status_of_request($port, webhook('bare', $body, signature($body, 'new'))), 200, 'the new one is not');
	return;
}

sub poison
{
	query($node, <<~'SQL');
		CREATE FUNCTION poison() RETURNS trigger
		LANGUAGE plpgsql AS $$ BEGIN IF NEW.subject = 'poison' THEN RAISE 'poison';
		END IF; RETURN NEW; END $$;
		CREATE TRIGGER poison BEFORE INSERT ON canopy_summit.webhook FOR EACH ROW EXECUTE FUNCTION poison()
		SQL
	my $body = canopy_body('poison');
	my @answers = together(
		(map { scalar new_webhook() } 1 .. 4), webhook('canopy', $body, signature($body, 'key')),
		map { scalar new_webhook() } 1 .. 4);
	is( join(' ', map { $_->{status} } @answers), '200 200 200 200 503 200 200 200 200',
		'one that cannot be stored is told so, and no other');
	is(rows("subject = 'pull-$_'"), 1, 'which is stored') for $number - 7 .. $number;
	is(health(), 200, 'nor is the receiver ill');
	query($node, 'DROP TRIGGER poison ON canopy_summit.webhook; DROP FUNCTION poison');
	is( status_of_request($port, webhook('canopy', $body, signature($body, 'key'))), 200,
		'when it is sent again, it is stored');
	return;
}

sub blocked
{
	my $body = canopy_body('blocked');
	my $header = CanopyTest::quoted(JSON::PP->new->encode({ split /: /, signature($body, 'key') }));
	my $other = open_session($node);
	$other->query(
		"BEGIN; SELECT receive_webhook('canopy', $header, convert_to(" . CanopyTest::quoted($body) . q{, 'UTF8'))});
	my @answers = together(webhook('canopy', $body, signature($body, 'key')), map { scalar new_webhook() } 1 .. 3);
	is(join(' ', map { $_->{status} } @answers), '503 200 200 200', 'the others do not wait for its end');
	$other->query('COMMIT');
	$other->quit;
	is(status_of_request($port, webhook('canopy', $body, signature($body, 'key'))), 200, 'after it, it is a duplicate');
	is(rows(q{subject = 'blocked'}), 1, 'and stored once');
	return;
}

sub health { return scalar status_of_request($port, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") }

# Health is what the last attempts to store said, and the views say why.
sub unhealthy
{
	my $problem = 'SELECT problem FROM canopy_summit.receiver_status';
	my $of_server = q{SELECT webhook_problem FROM canopy_summit.server_health WHERE server = 'canopy'};
	my $fails = sub {
		my ($what, $pattern) = @_;
		wait_until("$what is felt", sub { status_of_request($port, scalar new_webhook()) == 503 });
		is(health(), 503, "$what: the receiver is not healthy");
		like(query($node, $problem), $pattern, 'receiver_status says why');
		like(query($node, $of_server), $pattern, 'so does server_health');
	};
	my $trigger = sub {
		my ($raise) = @_;
		query($node, <<~"SQL");
			CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN $raise; END \$\$;
			CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON canopy_summit.webhook FOR EACH ROW
			EXECUTE FUNCTION refuse()
			SQL
	};

	my $other = open_session($node);
	$other->query('BEGIN; LOCK canopy_summit.webhook');
	$fails->('a lock on the table', qr/^somebody holds a lock/);
	$other->query('COMMIT');
	$other->quit;
	soon_ok('when it is gone the receiver finds out by itself', sub { health() == 200 }, 60);
	is(query($node, "$problem; $of_server"), "\n", 'and no view says otherwise')
	  or diag(query($node, "$problem; $of_server"));

	$trigger->(
		q{RAISE EXCEPTION E'could not extend file\n\x01: %', repeat('no space ', 50) USING ERRCODE = 'disk_full'});
	$fails->('a full disk', qr/^could not extend file  : no space [ -~]{100,170}$/);
	$trigger->(q{RAISE EXCEPTION 'cannot store %', NEW.subject});
	$fails->('an error that shows what was to be stored', qr/^error P0001$/);
	query($node, 'DROP FUNCTION refuse CASCADE');
	is(status_of_request($port, scalar new_webhook()), 200, 'once one is stored');
	is(health(), 200, 'the receiver is healthy at once');

	query($node, 'ALTER SYSTEM SET default_transaction_read_only = on');
	$node->reload;
	$fails->('a read-only database', qr/read-only/);
	query($node, 'ALTER SYSTEM RESET default_transaction_read_only');
	$node->reload;
	soon_ok('and writable again it is healthy again', sub { health() == 200 }, 60);
	return;
}

sub slow
{
	local $SIG{PIPE} = 'IGNORE';
	my $request = new_webhook();
	my %slow = map { ($_ => connected($port)) } qw(silent line headers body);
	my %bytes = (silent => sub { '' }, line => sub { 'P' }, headers => sub { "X-Slow: x\r\n" }, body => sub { 'x' });
	print { $slow{headers} } "POST /webhooks/canopy HTTP/1.1\r\n";
	print { $slow{body} } "POST /webhooks/canopy HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
	my $start = time;
	my %ended;
	wait_until(
		'all of them are cut off',
		sub {
			for my $name (keys %slow)
			{
				my $socket = $slow{$name};
				$socket->blocking(0);
				my $bytes = $bytes{$name}->();
				syswrite $socket, $bytes if $bytes;
				my $got = sysread $socket, my $answer, 1;
				next unless defined $got || $!{ECONNRESET} || $!{EPIPE};
				$ended{$name} = time - $start;
				delete $slow{$name};
			}
			is(status_of_request($port, scalar new_webhook()), 200, 'a good one beside them is stored');
			return !%slow;
		});
	cmp_ok($ended{$_}, '>', 1.5, sprintf '%s is not cut off before its time (%.1f s)', $_, $ended{$_})
	  for sort keys %bytes;
	my @crowd = map { connected($port) } 1 .. 60;
	is(status_of_request($port, scalar new_webhook()), 200, 'twice as many as there may be do not keep a good one out');
	return;
}

sub flood
{
	my $before = rows();
	my $count = scaled(20000);
	my $refused = q{SELECT refused_webhooks FROM canopy_summit.server_health WHERE server = 'canopy'};
	my $counted = query($node, $refused);
	my $wal = query($node, 'SELECT pg_current_wal_insert_lsn()');
	my $body = canopy_body('flood');
	my $forged = webhook('canopy', $body, signature($body, 'forged'));
	my @sockets = map { connected($port) } 1 .. 8;
	my ($sent, $bad) = (0, 0);

	while ($sent < $count)
	{
		for my $socket (@sockets) { print {$socket} $forged; $socket->flush; $sent++ }
		if ($sent % 80 == 0)
		{
			is(status_of_request($port, scalar new_webhook()), 200, 'a good one among them is stored') or last;
			$before++;
		}
		$bad += answer_on($_)->{status} != 401 for @sockets;
	}
	is($bad, 0, "$sent forgeries are refused");
	is(rows(), $before, 'and nothing is stored of them');
	is(query($node, $refused) - $counted, $sent, 'but their number');
	return;
}

sub leaves
{
	my $pid = receiver_pid($node);
	kill STOP => $pid;
	my @requests = map { scalar new_webhook() } 1 .. 10;
	my @sockets = map { sent_on_connection($_) } @requests;
	my $idle = connected($port);
	kill TERM => $pid;
	kill CONT => $pid;
	is( join(' ', map { (answer_on($_) // { status => 0 })->{status} } @sockets), join(' ', (200) x 10),
		'what is complete is stored and answered');
	is(rows("subject = 'pull-$_'"), 1, 'really') for $number - 9 .. $number;
	soon_ok('it leaves, though a client is connected', sub { !is_alive($pid) });
	soon_ok('and comes back', sub { listens($port) });

	# Not even one that waits for a lock amid its transaction stays.
	my $other = open_session($node);
	$other->query('BEGIN; LOCK canopy_summit.webhook');
	$pid = receiver_pid($node);
	my $socket = sent_on_connection(scalar new_webhook());
	wait_until(
		'it waits for the lock',
		sub { query($node, "SELECT count(*) FROM pg_locks WHERE pid = $pid AND NOT granted") });
	$node->reload;
	kill TERM => $pid;
	soon_ok('while storing it leaves, too', sub { !is_alive($pid) });
	$other->query('COMMIT');
	$other->quit;
	soon_ok('and comes back', sub { listens($port) });
	return;
}

sub killed
{
	my $count = scaled(200);
	my $deliveries = 0;
	my $slowest = 0;
	my %strike = (
		KILL => sub { kill KILL => receiver_pid($node) },
		TERM => sub { kill TERM => receiver_pid($node) },
		immediate => sub { $node->stop('immediate'); $node->start });
	my @kinds = sort keys %strike;

	# Storing stops at one of the webhooks, amid others, until the test lets it go on.
	query($node, <<~'SQL');
		TRUNCATE canopy_summit.webhook, canopy_summit.job;
		CREATE TABLE strike (subject text);
		INSERT INTO strike VALUES ('');
		CREATE FUNCTION stop_at() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$ BEGIN
			IF NEW.subject = (SELECT subject FROM public.strike) THEN PERFORM pg_advisory_xact_lock_shared(2001);
				END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER stop_at BEFORE INSERT ON canopy_summit.webhook FOR EACH ROW EXECUTE FUNCTION stop_at()
		SQL
	$sandbox->control(PUT => 'webhook', { scale => 0.003, jitter => 'none', connections => 16 });
	for my $turn (1 .. $count)
	{
		my $each = 200;
		my $kind = $kinds[ $turn % @kinds ];
		my $gate = open_session($node, on_error_stop => 0);
		$gate->query('SELECT pg_advisory_lock(2001)');
		query($node, "UPDATE strike SET subject = 'killed-$turn-" . int(1 + rand $each) . q{'});
		$sandbox->control(
			POST => 'webhook',
			[   map {
					{   event => 'COMPLETE', pull_id => "killed-$turn-$_",
						url => "http://127.0.0.1:$port/webhooks/canopy", secret => 'key', $_ % 10 ? () : (copies => 2) }
				} 1 .. $each ]);
		$deliveries += $each;
		wait_until('the receiver is storing', sub { query($node, <<~'SQL') });
			SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 2001 AND NOT granted
			SQL
		$strike{$kind}->();
		$gate->{run}->kill_kill;
		eval { $gate->{run}->finish };
		my $start = time;
		wait_until('the receiver is back', sub { listens($port) });
		$slowest = time - $start if time - $start > $slowest;
		wait_until(
			'all is delivered',
			sub { my $counts = $sandbox->control(GET => 'webhook/counts'); !$counts->{waiting} && !$counts->{sending} }
		);
	}
	query($node, 'DROP FUNCTION stop_at CASCADE; DROP TABLE strike');
	my @attempts = @{ $sandbox->control(GET => 'webhook/attempts?fields=status,body_sha256')->{attempts} };
	my %answered = map { ($_->{body_sha256} => 1) } grep { ($_->{status} // 0) == 200 } @attempts;
	my %stored = map { ($_ => 1) } split /\n/,
	  query($node, q{SELECT encode(sha256(body), 'hex') FROM canopy_summit.webhook});
	my $failed = grep { ($_->{status} // 0) != 200 } @attempts;

	cmp_ok($failed, '>=', $count, "the $count strikes ended $failed attempts of " . @attempts);
	is(scalar(grep { !$stored{$_} } keys %answered), 0, 'each that was answered 200 is stored');
	is(scalar(keys %answered), $deliveries, 'and all were, in the end');
	is(rows(), $deliveries, 'once each');
	soon_ok('and all are applied', sub { rows(q{state <> 'applied'}) == 0 }, 60);
	is(query($node, <<~'SQL'), "$deliveries|$deliveries", 'once each, too');
		SELECT count(*) || '|' || count(DISTINCT params ->> 'pullId') FROM canopy_summit.job
		WHERE operation = 'get-pull-by-id'
		SQL
	cmp_ok($slowest, '<', SOON, sprintf 'the receiver is soon back (%.1f s)', $slowest);
	return;
}

sub databases
{
	my $slowest = 0;
	my $timed = sub {
		my ($sql) = @_;
		my $start = time;
		is(join(' ', sqlstate_of($node, $sql)), '', $sql =~ s/ .*//r . sprintf ' succeeds (%.1f s)', time - $start);
		$slowest = time - $start if time - $start > $slowest;
	};
	query($node, 'CREATE DATABASE hooks');
	create_canopy_server($node, $sandbox, database => 'hooks', mapping => { webhook_secret => 'key' });
	query($node, q{ALTER SYSTEM SET canopy_summit.receiver_database = 'hooks'});
	$node->reload;
	my $arrives = sub {
		my ($what) = @_;
		my $request = new_webhook();
		my ($start, $stored) = (time);
		soon_ok(
			"$what the receiver works",
			sub {
				status_of_request($port, $request) == 200
				  && ($stored = query($node, 'SELECT count(*) FROM canopy_summit.webhook', 'hooks'));
			},
			40);
		return;
	};
	$arrives->('in another database');
	for (1 .. scaled(20))
	{
		my $idle = connected($port);
		$timed->('CREATE DATABASE copy TEMPLATE hooks');
		$arrives->('after CREATE DATABASE TEMPLATE');
		$timed->('ALTER DATABASE hooks RENAME TO moved');
		$timed->('ALTER DATABASE moved RENAME TO hooks');
		$arrives->('after RENAME');
		$timed->('DROP DATABASE hooks');
		$timed->('ALTER DATABASE copy RENAME TO hooks');
		$arrives->('after DROP DATABASE');
	}
	cmp_ok($slowest, '<', SOON, sprintf 'no statement waited for it (%.1f s)', $slowest);
	query($node, 'ALTER SYSTEM RESET canopy_summit.receiver_database');
	$node->reload;
	soon_ok(
		'the receiver is back',
		sub { listens($port) && query($node, 'SELECT count(*) FROM canopy_summit.receiver_status') }, 20);
	return;
}

# Changes settings, tells the server, and says where the log begins that follows.
sub set
{
	my (%values) = @_;
	my $offset = -s $node->logfile;
	query($node, "ALTER SYSTEM SET canopy_summit.$_ = " . CanopyTest::quoted($values{$_})) for sort keys %values;
	$node->reload;
	return $offset;
}

sub settings
{
	my %refused = (
		receiver_port => '70000', receiver_listen => 'somewhere', receiver_tls_cert_file => 'relative.pem',
		receiver_tls_key_file => 'relative.pem', receiver_timeout => '1ms', receiver_max_connections => '0');
	is( scalar sqlstate_of($node, "ALTER SYSTEM SET canopy_summit.$_ = '$refused{$_}'"), '22023',
		"$_ $refused{$_} is refused") for sort keys %refused;

	my $offset = set(receiver_listen => '0.0.0.0');
	$node->wait_for_log(qr/cannot listen on 0\.0\.0\.0 without TLS/, $offset);
	ok(listens($port), 'it goes on as it was');
	kill TERM => receiver_pid($node);
	$node->wait_for_log(qr/cannot listen on 0\.0\.0\.0 without TLS/, -s $node->logfile);
	ok(!connected($port), 'and does not start like that');
	my $other = PostgreSQL::Test::Cluster::get_free_port();
	$offset = set(receiver_listen => '127.0.0.1', receiver_port => $other);
	soon_ok('another port is listened on after a reload', sub { listens($other) }, 10);
	my $pid = receiver_pid($node);
	set(receiver_port => $port);
	soon_ok('and another', sub { listens($port) }, 10);
	is(receiver_pid($node), $pid, 'by the same process');
	ok(!connected($other), 'not on the one before');
	set(receiver_port => 0);
	soon_ok('with port 0 it leaves', sub { !is_alive($pid) });
	# A worker that is told to go comes back when the receiver would.
	query($node, 'SELECT canopy_summit.wake()');
	my ($worker) = wait_until('a worker is there', sub { worker_pids($node) });
	kill TERM => $worker;
	wait_until(
		'another is there',
		sub {
			grep { $_ != $worker } worker_pids($node);
		});
	is(receiver_pid($node), '', 'and stays away');
	my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1, ReuseAddr => 1);
	$offset = set(receiver_port => $port);
	$node->wait_for_log(qr/could not listen on 127\.0\.0\.1 port $port: Address already in use/, $offset);
	close $taken;
	soon_ok('a port that becomes free is listened on', sub { listens($port) }, 20);
	return;
}

sub tls
{
	my $dir = PostgreSQL::Test::Utils::tempdir('tls');
	my $make = sub {
		my ($name) = @_;
		system_or_bail(
			'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', "/CN=$name", '-addext',
			'subjectAltName=DNS:localhost',
			'-keyout', "$dir/$name.key", '-out', "$dir/$name.pem");
		chmod 0600, "$dir/$name.key";
	};
	$make->($_) for qw(one two);
	chmod 0644, "$dir/one.key";
	my $offset = set(
		receiver_tls_cert_file => "$dir/one.pem", receiver_tls_key_file => "$dir/one.key",
		receiver_listen => '0.0.0.0');
	$node->wait_for_log(qr/cannot use secret file "\Q$dir\E\/one.key": group or others have access/, $offset);
	my $pid = receiver_pid($node);
	my $descriptors = sub { scalar(my @all = glob "/proc/$pid/fd/*") };
	my $before = $descriptors->();
	for (1 .. 20)
	{
		$offset = set();
		$node->wait_for_log(qr/cannot use secret file/, $offset);
	}
	soon_ok(
		'reloads with such a file leave no descriptor open',
		sub { my $now = $descriptors->(); $now > 10 && $now < $before + 10 }, 30);
	chmod 0600, "$dir/one.key";
	# Where a file is counts, and not what its path looks like.
	for my $kind (qw(cert key))
	{
		my %file = (cert => "$dir/one.pem", key => "$dir/one.key");
		my $inside = $node->data_dir . "/one.$kind";
		system_or_bail('cp', '-p', $file{$kind}, $inside);
		$file{$kind} = "$dir/$kind";
		symlink $inside, $file{$kind} or die "could not link: $!";
		$offset = set(map { ("receiver_tls_${_}_file" => $file{$_}) } keys %file);
		$node->wait_for_log(qr/cannot use \w+ file "\Q$file{$kind}\E": it is in the data directory/, $offset);
	}
	$offset = set(receiver_tls_key_file => "$dir/one.key");
	$node->wait_for_log(qr/listens on 0\.0\.0\.0 port $port by TLS/, $offset);
	is(sent_by_tls("$dir/one.pem"), 'delivered', 'a webhook arrives by TLS');
	isnt(sent_by_tls("$dir/two.pem"), 'delivered', 'which is the certificate\'s');
	is(status_of_request($port, scalar new_webhook(), 3), 0, 'and none without TLS');
	isnt(
		system("openssl s_client -connect 127.0.0.1:$port -tls1_1 </dev/null >/dev/null 2>&1"), 0,
		'TLS 1.1 is refused');
	system_or_bail('cp', '-p', "$dir/two.$_", "$dir/one.$_") for qw(pem key);
	$offset = set();
	$node->wait_for_log(qr/listens on 0\.0\.0\.0 port $port by TLS/, $offset);
	is(sent_by_tls("$dir/two.pem"), 'delivered', 'a renewed certificate counts from a reload on');
	set(receiver_tls_cert_file => '', receiver_tls_key_file => '', receiver_listen => '127.0.0.1');
	soon_ok('without TLS it listens again', sub { listens($port) }, 20);
	return;
}

# Has the sandbox send one webhook, once; what became of it.
sub sent_by_tls
{
	my ($ca_file) = @_;
	my ($number) = @{
		$sandbox->control(
			POST => 'webhook',
			{   event => 'COMPLETE', url => "https://localhost:$port/webhooks/canopy", secret => 'key',
				ca_file => $ca_file, attempts => 1 })->{deliveries} };
	my $state;
	wait_until(
		'it is sent',
		sub { ($state = $sandbox->control(GET => "webhook/$number")->{state}) !~ /waiting|sending/ });
	return $state;
}

sub standby
{
	my $other = PostgreSQL::Test::Cluster::get_free_port();
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$node->backup('copy');
	$standby->init_from_backup($node, 'copy', has_streaming => 1);
	$standby->append_conf('postgresql.auto.conf', "canopy_summit.receiver_port = $other\n");
	$standby->start;
	synchronous($standby);
	ok(!connected($other), 'a standby does not listen');
	unlike(slurp_file($standby->logfile), qr/receiver listens/, 'nor did it ever');
	$standby->promote;
	soon_ok('once promoted it does', sub { listens($other) }, 20);
	is(status_of_request($other, scalar new_webhook()), 200, 'and stores');
	$standby->stop;
	return;
}

# A standby that is synchronous: 200 means what COMMIT means, and nothing is sent that a failover would forget.
sub synchronous
{
	my ($standby) = @_;
	my $waits = sub { my ($kind) = @_; return query($node, <<~"SQL") > 0 };
		SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'canopy_summit $kind' AND wait_event = 'SyncRep'
		SQL
	my $has_answer = sub { my ($socket) = @_; return IO::Select->new($socket)->can_read(0) };
	my $begin = sub {
		my ($request) = @_;
		my $socket = connected($port);
		print {$socket} $request;
		$socket->flush;
		return $socket;
	};

	create_canopy_server($node, $sandbox, server => 'replicated');
	query($node, q{ALTER SYSTEM SET synchronous_standby_names = 'standby'});
	$node->reload;
	wait_until('the standby is synchronous', sub { query($node, <<~'SQL') });
		SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'
		SQL
	is(status_of_request($port, scalar new_webhook()), 200, 'with the standby a webhook is stored');

	$standby->stop;
	my ($request, $pull) = new_webhook();
	my $socket = $begin->($request);
	wait_until('it waits, or has answered', sub { $has_answer->($socket) || $waits->('receiver') });
	ok(!$has_answer->($socket), 'without the standby it is not answered');
	wait_until(
		'receiver_status tells',
		sub { query($node, 'SELECT problem FROM canopy_summit.receiver_status') =~ /not stored since \d+ s/ });
	query($node, 'SELECT pg_cancel_backend(' . receiver_pid($node) . ')');
	ok($waits->('receiver') && !$has_answer->($socket), 'not even if somebody cancels the wait');
	my $sent = () = $sandbox->log;
	my $job_id = query($node, <<~'SQL');
		BEGIN; SET LOCAL synchronous_commit = local;
		SELECT canopy_enqueue('get-carriers', server => 'replicated');
		COMMIT
		SQL
	wait_until('a worker waits, or has sent', sub { $waits->('worker') || $sent < (() = $sandbox->log) });
	is(scalar(() = $sandbox->log), $sent, 'nothing is sent of a job whose claim the standby does not have');
	$standby->start;
	is(settled($node, $job_id), 'succeeded', 'once it has, it is sent');
	is((answer_on($socket) // { status => 0 })->{status}, 200, 'and the webhook is answered');

	for my $when ('while it waits', 'before it looks')
	{
		$standby->stop;
		($request, $pull) = new_webhook();
		my $pid = receiver_pid($node);
		kill STOP => $pid if $when eq 'before it looks';
		$socket = $begin->($request);
		wait_until('it waits, or has answered', sub { $has_answer->($socket) || $waits->('receiver') })
		  if $when eq 'while it waits';
		kill TERM => $pid;
		kill CONT => $pid;
		wait_until('it is gone', sub { !is_alive($pid) });
		isnt(
			(answer_on($socket) // { status => 0 })->{status}, 200,
			"told to go $when it does, and answers nothing good");
		wait_until('it is back', sub { listens($port) });
		$standby->start;
		is(status_of_request($port, $request), 200, 'what is sent again is answered');
		is(rows("subject = '$pull'"), 1, 'and was stored');
	}
	query($node, 'ALTER SYSTEM RESET synchronous_standby_names');
	$node->reload;
	return;
}
