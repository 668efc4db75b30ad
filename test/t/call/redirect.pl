# Does a redirect ever get a credential, a body or a second request anywhere, and is the one that
# leads to a download followed once, without credentials, to an allowed host only?
use strict;
use warnings;

use CanopyAttempt;
use CanopyShim;
use CanopyTest;
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $shim = CanopyShim->new;
$shim->hosts(map { $_ => '127.0.0.1' } qw(api.canopy.test files.canopy.test other.canopy.test));
my $sandbox = start_sandbox();
my $node = new_node(env => $shim->env);
my $pull_id = $sandbox->pull_id('user_good');
my %trap = map { $_ => $sandbox->listener($_) } qw(trap trap_tls);

create_canopy_server($node, $sandbox, server => $_, options => { auth => $_, download_hosts => 'localhost' })
  for qw(basic header_pair);
create_attempt($node);

my $file = PostgreSQL::Test::Utils::tempdir() . '/file';
append_to_file($file, '{"healthy": true}');
my %targets = (
	'the same host' => $sandbox->base_url . '/health',
	'another port' => "https://localhost:$trap{trap_tls}/",
	'another host' => "https://other.canopy.test:$trap{trap_tls}/",
	'http' => "http://localhost:$trap{trap}/",
	'a file' => "file://$file",
	'gopher' => "gopher://localhost:$trap{trap}/_GET",
	'another host without a scheme' => "//other.canopy.test:$trap{trap_tls}/",
	'a user in the URL' => "https://user:word\@localhost:$trap{trap_tls}/");

for my $status (301, 302, 303, 307, 308)
{
	for my $target (sort keys %targets)
	{
		subtest "$status to $target" => sub { is_not_followed($status, $targets{$target}) };
	}
}
for my $kind (sort keys %trap)
{
	my $caught = $sandbox->listener_state($trap{$kind});
	is($caught->{connections}, 0, "connections to the $kind listener");
	is(decode_base64($caught->{base64}), '', "bytes that the $kind listener received");
}
subtest 'a download' => \&follows_download;
subtest 'a redirect from a download' => \&follows_once;
subtest 'downloads elsewhere' => \&refuses_other_downloads;

done_testing();

# Both kinds of credentials, with and without a body.
sub is_not_followed
{
	my ($status, $location) = @_;
	my @calls = map {
		(   "SELECT canopy_fetch_pull('$pull_id', server => '$_')",
			"SELECT canopy_archive_pull('$pull_id', server => '$_')")
	} qw(basic header_pair);

	$sandbox->clear_log;
	$sandbox->arm(times => scalar @calls, fault => { kind => 'redirect', status => $status, location => $location });
	for my $error (attempts($node, @calls))
	{
		is($error->{sqlstate}, '08P01', 'SQLSTATE');
		like($error->{message}, qr/: server answered $status$/, 'message');
	}
	is(scalar $sandbox->log, scalar @calls, 'one request a call');
	return;
}

# The statement that downloads a document of the pull.
sub download
{
	my ($server) = @_;
	my ($document) = grep { $_->{mime_type} eq 'application/pdf' } @{ $sandbox->pull($pull_id)->{documents} };

	return "SELECT canopy_call('download-document-by-id', jsonb_build_object('pullId', '$pull_id',"
	  . " 'documentId', '$document->{document_id}'), NULL, '$server')";
}

# What came to the sandbox's second listener since the log was cleared.
sub downloads
{
	return grep { $_->{listener} eq 'download' } $sandbox->log;
}

sub follows_download
{
	for my $server (qw(basic header_pair))
	{
		$sandbox->clear_log;
		my ($result) = attempts($node, download($server));
		is($result->{sqlstate}, '00000', 'the document arrives') or diag explain $result;
		like(decode_base64(($result->{answer} =~ /"base64": "([^"]+)"/)[0]), qr/^%PDF-/, 'and is a document');
		my @followed = downloads();
		is(scalar @followed, 1, 'one request for it');
		is($followed[0]{auth}, 'none', 'without credentials');
		is_deeply(
			[ sort map { lc $_->[0] } @{ $followed[0]{headers} } ],
			[qw(accept accept-encoding host user-agent)],
			'with plain headers');
		is($followed[0]{body_bytes}, 0, 'and no body');
	}
	return;
}

sub follows_once
{
	$sandbox->clear_log;
	$sandbox->arm(
		match => { listener => 'download' },
		fault => { kind => 'redirect', status => 302, location => "https://localhost:$trap{trap_tls}/" });
	my ($error) = attempts($node, download('basic'));
	is($error->{sqlstate}, '08P01', 'SQLSTATE');
	is(scalar downloads(), 1, 'one request for the document');
	is($sandbox->listener_state($trap{trap_tls})->{connections}, 0, 'none for where that redirects to');
	return;
}

sub refuses_other_downloads
{
	for my $location (
		"https://other.canopy.test:$trap{trap_tls}/file", "http://localhost:$trap{trap}/file",
		"//other.canopy.test:$trap{trap_tls}/file", "file://$file",
		"ftp://localhost:$trap{trap}/file", "https://127.0.0.1:$trap{trap_tls}/file",
		"https://localhost.:$trap{trap_tls}/file", "https://localhost\@other.canopy.test:$trap{trap_tls}/file",
		"https://user:word\@localhost:$trap{trap_tls}/file",
		"https://other.canopy.test:$trap{trap_tls}\\\@localhost/file",
		"https://other.canopy.test:$trap{trap_tls}/#\@localhost/",
		"https://localhost%2eother.canopy.test:$trap{trap_tls}/file",
		"https://localhost,other.canopy.test:$trap{trap_tls}/file", '')
	{
		$sandbox->clear_log;
		$sandbox->arm(fault => { kind => 'redirect', status => 302, location => $location });
		my ($error) = attempts($node, download('basic'));
		is($error->{sqlstate}, '42501', "to $location");
		is(scalar downloads(), 0, 'no request for the document');
	}
	is($sandbox->listener_state($trap{$_})->{connections}, 0, "connections to the $_ listener") for sort keys %trap;
	return;
}
