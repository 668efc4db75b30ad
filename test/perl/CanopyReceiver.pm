# CanopyReceiver.pm - signed webhooks as bytes, and connections to the receiver on which they are sent.
package CanopyReceiver;

use strict;
use warnings;

use CanopyTest;
use Digest::SHA qw(hmac_sha256_hex);
use Exporter 'import';
use IO::Select ();
use IO::Socket::INET ();
use JSON::PP ();
use Time::HiRes qw(sleep time);

our @EXPORT =
  qw(canopy_body summit_body signature webhook connected answer_on unsent_on status_of_request receiver_pid listens);

# Bodies as bytes, with more fields if wanted.
sub canopy_body
{
	my ($pull_id, %more) = @_;
	return JSON::PP->new->canonical->encode({ event_type => 'COMPLETE', pull_id => $pull_id, %more });
}

sub summit_body
{
	my ($delivery_id, %more) = @_;
	return JSON::PP->new->canonical->encode(
		{   event => 'policy.verified', delivery_id => $delivery_id, attempt => 1,
			occurred_at => '2026-01-01T00:00:00Z',
			data => { policy => { policy_number => 'P1' } }, %more });
}

# A header line that signs a body.
sub signature
{
	my ($body, $secret, $provider, $at) = @_;
	$at //= int time;
	my $digest = hmac_sha256_hex("$at.$body", $secret);
	return ($provider // 'canopy') eq 'canopy'
	  ? "canopy-signature: t=$at,s=$digest"
	  : "X-Summit-Signature: t=$at,v1=$digest";
}

# A request with these header lines besides Host and Content-Length.
sub webhook
{
	my ($server, $body, @headers) = @_;
	return
	  join("\r\n", "POST /webhooks/$server HTTP/1.1", 'Host: localhost', 'Content-Length: ' . length $body, @headers)
	  . "\r\n\r\n$body";
}

sub connected
{
	my ($port, $address) = @_;
	return IO::Socket::INET->new(PeerAddr => $address // '127.0.0.1', PeerPort => $port, Timeout => 10);
}

# One answer read from a connection: { status, headers, body }; undef if it ends before, or takes too long.
sub answer_on
{
	my ($socket, $seconds) = @_;
	my $deadline = time + ($seconds // 30);
	my $bytes = '';

	while ($bytes !~ /\r\n\r\n/ || length($bytes) < $+[0] + (($bytes =~ /^Content-Length: (\d+)/mi)[0] // 0))
	{
		my $left = $deadline - time;
		return undef
		  if $left <= 0 || !IO::Select->new($socket)->can_read($left) || !sysread $socket, $bytes, 65536,
		  length $bytes;
		$bytes =~ /\r\n\r\n/;
	}
	my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
	my ($status) = $head =~ m{^HTTP/1\.1 (\d{3})} or die "no HTTP answer: $bytes";
	return { status => $status, headers => $head, body => $body };
}

# Bytes given to a socket that the other side's kernel has not taken.
sub unsent_on
{
	my ($socket) = @_;
	my $bytes = pack 'i', 0;
	ioctl $socket, 0x5411, $bytes or die "could not ask the socket: $!"; # SIOCOUTQ
	return unpack 'i', $bytes;
}

# The answer to one request on a connection of its own; status 0 if there is none.
sub status_of_request
{
	my ($port, $request, $seconds) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my $socket = connected($port) or return 0;
	print {$socket} $request;
	$socket->flush;
	my $answer = answer_on($socket, $seconds);
	return wantarray ? $answer : $answer ? $answer->{status} : 0;
}

sub receiver_pid
{
	my ($node) = @_;
	return $node->safe_psql('postgres', <<~'SQL');
		SELECT pid FROM pg_stat_activity WHERE backend_type = 'canopy_summit receiver'
		SQL
}

# Whether the receiver is healthy.
sub listens
{
	my ($port) = @_;
	return status_of_request($port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") == 200;
}

1;
