# Does an answer that is too large, never ends, breaks off or makes no sense end in the right error,
# without taking more memory than the settings allow, and does the next call work?
use strict;
use warnings;

use CanopyAttempt;
use CanopyProcess;
use CanopyTest;
use MIME::Base64 qw(encode_base64);
use Test::More;
use Time::HiRes qw(time);

my $seed = test_seed();
my $sandbox = start_sandbox();
my $node = new_node(conf => <<~'END');
	canopy_summit.max_response_size = '1MB'
	canopy_summit.max_document_size = '2MB'
	END
my $megabyte = 1 << 20;
my $pull_id = $sandbox->pull_id('user_good');

create_canopy_server($node, $sandbox, options => { download_hosts => 'localhost' });
create_attempt($node);

my $session = open_session($node);
$session->set_query_timer_restart();
my $pid = $session->query('SELECT pg_backend_pid()');
my $health = 'SELECT canopy_health()';
my $download = q{SELECT canopy_call('download-policy-form-by-id', '{"policyFormId": "1"}')};

subtest 'too large' => sub {
	answers($health, '00000', 'a good answer');
	my $peak = peak_kb($pid);

	my %answers = (
		'100 MB of known length' => { kind => 'endless', mode => 'length', bytes => 100_000_000 },
		'endless chunks' => { kind => 'endless', mode => 'chunked' },
		'a gzip bomb' => { kind => 'gzip_bomb', bytes => 200_000_000 },
		'100,000 headers' => { kind => 'headers', count => 100_000 },
		'a header of 90 KB' => { kind => 'headers', count => 1, size => 90_000 },
		'a header of 300 KB' => { kind => 'headers', count => 1, size => 300_000 },
		'10,000 answers before the answer' => raw("HTTP/1.1 103 Early Hints\r\n\r\n" x 10_000, good_answer()));
	for my $name (sort keys %answers)
	{
		my $error = answers($health, '54000', $name, $answers{$name});
		like($error->{hint} // '', qr/canopy_summit\.max_response_size/, "the hint names the setting: $name")
		  if $answers{$name}{kind} =~ /endless|gzip/;
		answers($health, '00000', "the call after $name");
	}
	cmp_ok(peak_kb($pid) - $peak, '<', 1024 + 8 * 1024, 'kilobytes of memory that this took');
};

subtest 'a document that is too large' => sub {
	my $location = 'https://localhost:' . $sandbox->download_port . '/file';
	my $peak = peak_kb($pid);

	for my $fault ({ kind => 'endless', mode => 'chunked' }, { kind => 'gzip_bomb' })
	{
		$sandbox->arm(match => { listener => 'download' }, fault => $fault);
		my $error = answers(
			$download, '54000', "a document: $fault->{kind}",
			{ kind => 'redirect', location => $location });
		is_deeply([ map { $_->{left} } $sandbox->faults ], [ 0, 0 ], 'it was the document');
		like($error->{hint}, qr/max_document_size/, 'the hint names the setting');
		$sandbox->clear;
	}
	cmp_ok(peak_kb($pid) - $peak, '<', 2048 + 8 * 1024, 'kilobytes of memory that this took');
};

subtest 'just large enough' => sub {
	my $call = q{SELECT length(canopy_call('get-carriers') ->> 0)};
	my $largest = '"' . 'x' x ($megabyte - 2) . '"';

	is( answers($call, '00000', 'an answer as large as allowed', { kind => 'body', body => $largest })->{answer},
		$megabyte - 2, 'all of it');
	answers($call, '54000', 'one more byte', { kind => 'body', body => "$largest " });

	# The rest never comes: who notices the size at the end only, waits for it.
	$sandbox->put_pull($pull_id, "{\"pull_id\": \"$pull_id\"" . ' ' x (2 * $megabyte) . '}');
	answers(
		"SELECT canopy_fetch_pull('$pull_id')", '54000', 'an answer that stalls behind the limit',
		{ kind => 'stall', at => 'body', after_bytes => $megabyte + 65536, until => 'released' });
	$sandbox->reset_state;
};

subtest 'slow or broken off' => sub {
	$node->safe_psql('postgres', q{ALTER SERVER canopy OPTIONS (ADD timeout '4s')});
	my $since = time;
	my $error = answers($health, '08006', 'one byte at a time', { kind => 'drip', interval => 0.1 });
	cmp_ok(time - $since, '<', SOON, 'ends at the timeout');
	like($error->{message}, qr/: timed out$/, 'message');
	like($error->{hint}, qr/canopy_summit\.http_timeout or option timeout/, 'hint');
	$node->safe_psql('postgres', q{ALTER SERVER canopy OPTIONS (DROP timeout)});

	answers($health, '08006', 'a length that promises more', { kind => 'lying_length', delta => 100 });
	answers($health, '08P01', 'a length that promises less', { kind => 'lying_length', delta => -5 });
	answers($health, '08006', 'no answer', { kind => 'close' });
	answers($health, '08006', 'an answer that ends in its head', { kind => 'close', after_bytes => 30 });
	answers($health, '08006', 'an answer that ends in its body', { kind => 'close', after_bytes => 115 });
};

subtest 'reset at any byte' => \&resets;

subtest 'odd, but an answer' => sub {
	my $ok = '{"healthy":true}';
	my %answers = (
		'HTTP/1.0' => "HTTP/1.0 200 OK\r\n\r\n$ok",
		'no reason phrase' => "HTTP/1.1 200\r\nContent-Length: 16\r\n\r\n$ok",
		'an empty reason phrase' => "HTTP/1.1 200 \r\nContent-Length: 16\r\n\r\n$ok",
		'no headers' => "HTTP/1.1 200 OK\r\n\r\n$ok",
		'100 first' => "HTTP/1.1 100 Continue\r\n\r\n" . good_answer(),
		'a few 103' => "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" x 10 . good_answer(),
		'lines that end in LF' => "HTTP/1.1 200 OK\nContent-Length: 16\n\n$ok",
		'the same length twice' => "HTTP/1.1 200 OK\r\nContent-Length: 16\r\nContent-Length: 16\r\n\r\n$ok",
		'another content type' => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 16\r\n\r\n$ok",
		'chunks and trailers' =>
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n$ok\r\n0\r\nX-Trailer: 1\r\n\r\n",
		'a byte order mark' => "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n\xEF\xBB\xBF$ok",
		'space around' => "HTTP/1.1 200 OK\r\n\r\n \r\n\t$ok\n\n");
	is(answers($health, '00000', $_, raw($answers{$_}))->{answer}, 'true', "$_ is read") for sort keys %answers;
};

subtest 'no more than a value' => sub {
	my %answers = (
		'"a"' => '"a"', ' "" ' => '""', "\n\"a: b\"\n" => '"a: b"', '"\\"\\\\\\"\\u0041"' => '"\\"\\\\\\"A"',
		'-1.50' => '-1.50',
		'true' => 'true', '[]' => '[]', ' { } ' => '{}', '[""]' => '[""]', '{"":""}' => '{"": ""}');
	is( answers(q{SELECT canopy_call('get-health')}, '00000', s/\n/ /gr, raw(body($_)))->{answer}, $answers{$_},
		'as it is') for sort keys %answers;
};

subtest 'no answer to make sense of' => sub {
	my %answers = (
		'HTML' => [ '08P01', body('<!DOCTYPE html><title>Good</title>') ],
		'JSON that breaks off' => [ '08P01', body('{"healthy":tr') ],
		'nothing' => [ '08P01', body('') ],
		'status 204' => [ '08P01', "HTTP/1.1 204 No Content\r\n\r\n" ],
		'JSON and more' => [ '08P01', body('{"healthy":true}{"healthy":true}') ],
		'JSON nested too deeply' => [ '54000', body('[' x 100_000 . ']' x 100_000) ],
		'two lengths' =>
		  [ '08006', "HTTP/1.1 200 OK\r\nContent-Length: 16\r\nContent-Length: 400\r\n\r\n" . '{"healthy":true}' ],
		'a length that is no number' => [ '08006', "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n" ],
		'a negative length' => [ '08006', "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" ],
		'a bad chunk' => [ '08006', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" ],
		'bad gzip' => [ '08006', "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd" ],
		'an unknown encoding' =>
		  [ '08006', "HTTP/1.1 200 OK\r\nContent-Encoding: rot13\r\nContent-Length: 4\r\n\r\nabcd" ],
		'a header with a zero byte' => [ '08006', "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n" ],
		'another protocol' => [ '08006', "220 smtp.test ready\r\n" ],
		'random bytes' => [ '08006', join('', map { chr int rand 256 } 1 .. 500) ],
		'status 99' => [ '08006', "HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n" ],
		'status 999' => [ '08006', "HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n" ],
		'status 304' => [ '08P01', "HTTP/1.1 304 Not Modified\r\n\r\n" ],
		'status 101' => [ '08006', "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" ]);
	for my $name (sort keys %answers)
	{
		my ($sqlstate, $bytes) = @{ $answers{$name} };
		answers($health, $sqlstate, $name, raw($bytes));
	}
};

answers($health, '00000', 'a call after all that');
$session->quit;

done_testing();

# What the call gives while the fault, if any, is armed; its SQLSTATE is checked.
sub answers
{
	my ($call, $sqlstate, $name, $fault) = @_;

	$sandbox->arm(match => { listener => 'api' }, fault => $fault) if $fault;
	my ($result) = attempts($session, $call);
	is($result->{sqlstate}, $sqlstate, $name) or diag explain $result;
	$sandbox->clear if $fault && $fault->{kind} ne 'redirect';
	return $result;
}

sub raw { return { kind => 'raw', base64 => encode_base64(join('', @_), '') } }

sub body
{
	my ($body) = @_;
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

sub good_answer { return body('{"healthy":true}') }

# Every byte of the head and the first of the body, and a random choice of the others.
sub resets
{
	my $json = JSON::PP::encode_json($sandbox->pull($pull_id));
	my @places = (0 .. 300, map { 301 + int rand(length($json) - 301) } 1 .. scaled(1000));
	my %seen;

	$sandbox->put_pull($pull_id, $json);
	$sandbox->arm(match => { path => '/pulls/' }, fault => { kind => 'reset', after_bytes => $_ }) for @places;
	my $descriptors = descriptors($pid);
	$seen{$_}++ for sqlstates($session, ("SELECT canopy_fetch_pull('$pull_id')") x @places);
	is_deeply(\%seen, { '08006' => scalar @places }, 'every reset is a lost connection');
	is(descriptors($pid), $descriptors, 'no descriptor is left open');
	$sandbox->clear;
	answers("SELECT canopy_fetch_pull('$pull_id')", '00000', 'the next call');
	return;
}
