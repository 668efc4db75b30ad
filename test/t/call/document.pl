# Is a document kept if its bytes are what a document may be, and if no scanner finds anything in them; else kept out,
# with the reason, and nothing lost that was here?
use strict;
use warnings;

use CanopyJobs qw(new_worker_node);
use CanopyMoment qw(create_gate_function);
use CanopyScanner;
use CanopyTest;
use Digest::SHA qw(sha256_hex);
use MIME::Base64 qw(decode_base64 encode_base64);
use Test::More;

my $sandbox = start_sandbox();
my $scanner = CanopyScanner->new(max_kb => 300);
my $node = new_worker_node();
my $pull_id = $sandbox->pull_id('user_good');
my @documents = @{ $sandbox->pull($pull_id)->{documents} };
my ($pdf) = map { $_->{document_id} } grep { $_->{mime_type} eq 'application/pdf' } @documents;
my ($jpeg) = map { $_->{document_id} } grep { $_->{mime_type} eq 'image/jpeg' } @documents;

create_canopy_server($node, $sandbox, options => { download_hosts => 'localhost' });
create_canopy_server($node, $sandbox, server => 'older');
$node->safe_psql('postgres', <<~"SQL");
	SELECT canopy_fetch_pull('$pull_id'), canopy_fetch_pull('$pull_id', server => 'older');
	CREATE ROLE reads; CREATE ROLE reads_pii;
	SELECT canopy_summit.grant_access('reads', 'reader'), canopy_summit.grant_access('reads_pii', 'pii_reader');
	SQL

subtest 'a document' => \&fetches;
subtest 'at the older route' => \&fetches_the_older_way;
subtest 'who reads it' => \&readers;
subtest 'what is no document' => \&refuses;
subtest 'redirects' => \&redirects;
scanner("'" . $scanner->socket . "'");
subtest 'a virus scanner' => \&scans;
subtest 'a scanner that does not do what it should' => \&scanner_lies;
subtest 'without a scanner' => \&requires_scan;
subtest 'somebody deletes it meanwhile' => \&deleted_meanwhile;
done_testing();

sub scanner
{
	my ($socket) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET canopy_summit.clamd_socket = $socket");
	$node->reload;
	return;
}

# The row of canopy_fetch_document(), or what it raised.
sub fetched
{
	my ($document_id, $server) = @_;
	return $node->safe_psql(
		'postgres',
		"SELECT media_type, bytes, sha256, changed FROM canopy_fetch_document('$pull_id', '$document_id', "
		  . quoted($server // 'canopy') . ')');
}

sub quoted { return CanopyTest::quoted($_[0]) }

# "state|reason|media_type|scan|size" of a document, from the view.
sub state_of
{
	my ($document_id) = @_;
	return $node->safe_psql(
		'postgres',
		"SELECT state, reason, media_type, scan, size FROM canopy.document_all "
		  . "WHERE server = 'canopy' AND document_id = '$document_id'");
}

# Has the next download answer with these bytes.
sub serve
{
	my ($bytes, %more) = @_;
	return $sandbox->arm(
		match => { listener => 'download' },
		fault =>
		  { kind => 'body', content_type => 'application/pdf', body => { base64 => encode_base64($bytes, '') }, %more }
	);
}

# A PDF with this in it.
sub proper { my ($text) = @_; return "%PDF-1.4\n$text\n%%EOF\n" }

sub fetches
{
	is(state_of($pdf), '||||', 'nobody has asked for it');
	my ($type, $bytes, $sha256, $changed) = split /\|/, fetched($pdf);
	is($type, 'application/pdf', 'what it is');
	is($changed, 't', 'it is new');
	my $content = pack 'H*',
	  $node->safe_psql('postgres', "SELECT encode(canopy_document('$pull_id', '$pdf'), 'hex')");
	is(length $content, $bytes, 'all its bytes are here');
	is(sha256_hex($content), $sha256, '… by their digest');
	like($content, qr/^%PDF-1.4\n.*Document /s, '… and they are the document');
	is((split /\|/, fetched($pdf))[3], 'f', 'fetched again, it has not changed');
	is(state_of($pdf), "here||application/pdf|not scanned|$bytes", 'the view says so');
	is((split /\|/, fetched($jpeg))[0], 'image/jpeg', 'an image');
	is( $node->safe_psql(
			'postgres',
			"SELECT fetched_at > now() - interval '1 h', sha256 = '$sha256', pull_fetched_at < fetched_at "
			  . "FROM canopy.document_all WHERE server = 'canopy' AND document_id = '$pdf'"),
		't|t|t',
		'when it came, and what it is');
	serve(proper('another'));
	is((split /\|/, fetched($pdf))[3], 't', 'other bytes are a change');
	unlike(
		$node->safe_psql('postgres', 'SELECT d::text FROM canopy_summit.document_file d'),
		qr/signature|localhost/, 'the signed URL is not kept');
	return;
}

sub fetches_the_older_way
{
	my $after = ($sandbox->log)[-1]{seq};
	is((split /\|/, fetched($pdf, 'older'))[0], 'application/pdf', 'where no host is allowed for downloads');
	is( join(' ', map { $_->{operation} } $sandbox->log($after)), 'get-document-by-id',
		'… the API itself has the bytes');
	$sandbox->arm(
		match => { path => "/documents/$pdf\$" },
		fault => { kind => 'status', status => 404, body => 'no such route' });
	$after = ($sandbox->log)[-1]{seq};
	is((split /\|/, fetched($pdf))[0], 'application/pdf', 'where the server does not know the newer route');
	is( join(' ', map { $_->{operation} } $sandbox->log($after)),
		'download-document-by-id get-document-by-id', '… it is asked at the older one');
	is( scalar sqlstate_of($node, "SELECT canopy_fetch_document('$pull_id', 'nothing')"), '02000',
		'a document that does not exist');
	return;
}

sub readers
{
	my $call = "SELECT octet_length(canopy_document('$pull_id', '$pdf'))";
	my $parallel = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
	is(scalar sqlstate_of($node, "SET ROLE reads_pii; $call"), undef, 'pii_reader reads the bytes');
	is( scalar sqlstate_of($node, "SET ROLE reads_pii; SET $parallel = on; $call FROM canopy.pull"),
		undef, '… also where PostgreSQL would have plans be parallel');
	is(scalar sqlstate_of($node, "SET ROLE reads; $call"), '42501', 'reader does not');
	is( $node->safe_psql(
			'postgres', "SET ROLE reads; SELECT count(*), count(content) FROM canopy.document_file WHERE state = 'here'"
		),
		'3|0',
		'… nor by the view');
	is( $node->safe_psql('postgres', "SET ROLE reads_pii; SELECT count(content) FROM canopy.document_file"), '3',
		'where pii_reader does');
	my @error = sqlstate_of($node, "SELECT canopy_document('$pull_id', 'never')");
	is($error[0], '02000', 'a document that is not here');
	like($error[3], qr/canopy_fetch_document/, '… and what to do about it');
	return;
}

sub refuses
{
	my %kept_out = (
		'an HTML page' => '<!DOCTYPE html><html><body>Sign in</body></html>',
		'a PDF without an end' => "%PDF-1.4\n1 0 obj",
		'nothing' => '',
		'a program' => "\x7fELF\x02\x01\x01");
	my $here = state_of($pdf);

	for my $what (sort keys %kept_out)
	{
		serve($kept_out{$what});
		my ($status, $stdout, $stderr) = $node->psql(
			'postgres',
			"SELECT media_type, changed FROM canopy_fetch_document('$pull_id', '$jpeg')");
		is("$status $stdout", '0 |f', "$what is no error");
		like($stderr, qr/WARNING:  document "\Q$jpeg\E" is kept out: it is neither/, '… but a warning');
	}
	like(
		state_of($jpeg), qr/^here\|fetched again: refused, it is neither/,
		'what was here stays, and the view says what came');
	$node->safe_psql('postgres', "DELETE FROM canopy_summit.document_file WHERE file_id = '$jpeg'");
	serve($kept_out{'an HTML page'});
	fetched($jpeg);
	like(state_of($jpeg), qr/^refused\|it is neither.*\|\|not scanned\|48$/, 'what was not here is refused');
	my @error = sqlstate_of($node, "SELECT canopy_document('$pull_id', '$jpeg')");
	is($error[0], '02000', '… and not read');
	like($error[3], qr/refused: it is neither/, '… which the hint says');
	is(state_of($pdf), $here, 'the others are as they were');
	serve('', kind => 'endless', mode => 'chunked');
	is( scalar sqlstate_of(
			$node, "SET canopy_summit.max_document_size = '1MB'; SELECT canopy_fetch_document('$pull_id', '$pdf')"),
		'54000',
		'an endless download');
	is(state_of($pdf), $here, 'costs nothing that is here');
	fetched($jpeg);
	like(state_of($jpeg), qr/^here\|\|image\/jpeg/, 'fetched again, it comes');
	return;
}

sub redirects
{
	my $trap = $sandbox->listener('trap_tls');
	$sandbox->arm(
		match => { path => "/documents/$pdf\$" },
		fault => { kind => 'redirect', status => 302, location => "https://127.0.0.1:$trap/x.pdf" });
	is(scalar sqlstate_of($node, "SELECT canopy_fetch_document('$pull_id', '$pdf')"), '42501', 'a 302 to another host');
	$sandbox->arm(
		match => { listener => 'download' },
		fault => { kind => 'redirect', status => 302, location => "https://localhost:$trap/x.pdf" });
	is(scalar sqlstate_of($node, "SELECT canopy_fetch_document('$pull_id', '$pdf')"), '08P01', 'a second 302');
	is($sandbox->listener_state($trap)->{connections}, 0, 'neither is followed');
	return;
}

sub scans
{
	serve(proper(CanopyScanner::VIRUS));
	my ($status, $stdout, $stderr) =
	  $node->psql('postgres', "SELECT changed FROM canopy_fetch_document('$pull_id', '$jpeg')");
	is($stdout, 'f', 'an infested document');
	like($stderr, qr/is kept out: infested/, 'is warned of');
	like(
		state_of($jpeg), qr/^here\|fetched again: infested, @{[CanopyScanner::NAME]}\|/,
		'and costs nothing that is here');
	$node->safe_psql('postgres', "DELETE FROM canopy_summit.document_file WHERE file_id = '$jpeg'");
	serve(proper(CanopyScanner::VIRUS));
	fetched($jpeg);
	like(
		state_of($jpeg), qr/^infested\|@{[CanopyScanner::NAME]}\|application\/pdf\|infested\|/,
		'it is recorded by its name');
	is( $node->safe_psql('postgres', "SELECT content IS NULL FROM canopy_summit.document_file WHERE file_id = '$jpeg'"),
		't',
		'and kept out');
	fetched($jpeg);
	like(state_of($jpeg), qr/^here\|\|image\/jpeg\|clean\|/, 'a clean one');
	for my $kb (290, 301, 5000)
	{
		serve(proper('x' x ($kb * 1024)));
		fetched($pdf);
		is((split /\|/, state_of($pdf))[3], $kb < 300 ? 'clean' : 'too large to scan', "one of $kb kB");
	}
	serve(proper(CanopyScanner::VIRUS . 'x' x 301 * 1024));
	$node->safe_psql('postgres', 'ALTER SYSTEM SET canopy_summit.require_scan = on');
	$node->reload;
	fetched($pdf);
	like(
		state_of($pdf), qr/^here\|fetched again: (?:infested|refused)/,
		'one that is too large is kept out where a scan is required');
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET canopy_summit.require_scan');
	$node->reload;

	# One that came before there was a scanner.
	$node->safe_psql('postgres', "DELETE FROM canopy_summit.document_file WHERE file_id = '$jpeg'");
	scanner('DEFAULT');
	serve(proper(CanopyScanner::VIRUS));
	fetched($jpeg);
	like(state_of($jpeg), qr/^here\|\|application\/pdf\|not scanned\|/, 'one that nobody has scanned');
	scanner("'" . $scanner->socket . "'");
	serve(proper(CanopyScanner::VIRUS));
	fetched($jpeg);
	like(state_of($jpeg), qr/^infested\|/, 'is taken out once a scanner knows it');
	is(scalar sqlstate_of($node, "SELECT canopy_document('$pull_id', '$jpeg')"), '02000', '… and read by nobody');
	fetched($jpeg);
	return;
}

sub scanner_lies
{
	my $here = state_of($pdf);
	my $fetch = "SELECT canopy_fetch_document('$pull_id', '$pdf')";
	for my $how (qw(garbage greeting dies))
	{
		$scanner->lie($how);
		my @error = sqlstate_of($node, $fetch);
		is($error[0], '58000', "one that answers so: $how");
		like($error[1], qr/^could not scan a document: the virus scanner /, '… by the message');
	}
	# More than its socket takes before anybody reads it.
	$scanner->lie('dies');
	serve(proper('x' x 900_000), times => 1);
	is(scalar sqlstate_of($node, $fetch), '58000', 'one that dies while it is sent more');
	$sandbox->clear;
	$scanner->lie('hangs');
	is(scalar sqlstate_of($node, "SET canopy_summit.http_timeout = '2s'; $fetch"), '58000', 'one that does not answer');
	my $session = open_session($node);
	is(scalar sqlstate_of($node, "SET statement_timeout = '2s'; $fetch"), '57014', '… can be cancelled');
	$session->quit;
	$scanner->stop;
	my @error = sqlstate_of($node, $fetch);
	is($error[0], '58000', 'one that is down');
	like($error[3], qr/clamd_socket/, '… with a hint');
	is(state_of($pdf), $here, 'nothing is lost');
	like(
		$node->safe_psql('postgres', "SELECT scan_problem FROM canopy_summit.server_health WHERE server = 'canopy'"),
		qr/does not listen/, 'server_health says so');
	$scanner->start;
	is(scalar sqlstate_of($node, $fetch), undef, 'once it is back, documents come');
	is( $node->safe_psql('postgres', "SELECT scan_problem FROM canopy_summit.server_health WHERE server = 'canopy'"),
		'',
		'and server_health is content');
	is( scalar sqlstate_of($node, "ALTER SYSTEM SET canopy_summit.clamd_socket = 'relative/path'"), '22023',
		'a socket has an absolute path');
	return;
}

sub requires_scan
{
	scanner("''");
	$node->safe_psql('postgres', "DELETE FROM canopy_summit.document_file WHERE file_id = '$jpeg'");
	my (undef, undef, $stderr) =
	  $node->psql('postgres', "SET canopy_summit.require_scan = on; SELECT canopy_fetch_document('$pull_id', '$jpeg')");
	like(
		$stderr, qr/kept out: canopy_summit.require_scan is on, and it is not scanned/,
		'where a scan is required, nothing comes');
	like(state_of($jpeg), qr/^refused\|/, 'it is refused');
	like(fetched($jpeg), qr/\|t$/, 'else it comes, which is a change');
	like(state_of($jpeg), qr/^here\|\|image\/jpeg\|not scanned\|/, 'not scanned');
	like(fetched($jpeg), qr/\|f$/, 'the next time it is not');
	return;
}

# What is kept was there when it was: who deletes it comes before, and it is kept anew, or after.
sub deleted_meanwhile
{
	my $key = "FROM canopy_summit.document_file WHERE server = 'canopy' AND file_id = '$pdf'";
	my $waits = sub {
		my ($count) = @_;
		wait_until("$count wait", sub { $node->safe_psql('postgres', <<~'SQL') == $count });
			SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
			SQL
	};
	my ($holder, $fetcher, $deleter) = map { open_session($node) } 1 .. 3;

	scanner("''");
	create_gate_function($node);
	$node->safe_psql('postgres', <<~'SQL');
		CREATE TRIGGER keeping BEFORE UPDATE OF content ON canopy_summit.document_file EXECUTE FUNCTION gate('3001')
		SQL
	$holder->query('SELECT pg_advisory_lock(3001)');
	$fetcher->query_until(
		qr/started/,
		"\\echo started\nSELECT changed FROM canopy_fetch_document('$pull_id', '$pdf', 'canopy');\n");
	$waits->(1);
	$deleter->query_until(qr/started/, "\\echo started\nDELETE $key;\n");
	$waits->(2);
	$holder->query('SELECT pg_advisory_unlock(3001)');
	wait_until('it is deleted after it was kept', sub { $node->safe_psql('postgres', "SELECT count(*) $key") == 0 });
	$node->safe_psql('postgres', 'DROP TRIGGER keeping ON canopy_summit.document_file');
	like(fetched($pdf), qr{^application/pdf\|}, 'and kept anew when it is fetched again');
	$_->quit for $holder, $fetcher, $deleter;
	return;
}
