# CanopyProcess.pm - what a server process holds: descriptors, threads, memory, connections.
package CanopyProcess;

use strict;
use warnings;

use Exporter 'import';
use List::Util qw(sum0);
use PostgreSQL::Test::Utils;

our @EXPORT = qw(descriptors threads resident_kb peak_kb is_connecting unsent_bytes unread_bytes is_alive);

# Open descriptors but those of files, which PostgreSQL keeps for later.
sub descriptors
{
	my ($pid) = @_;
	return scalar grep { (readlink($_) // '/') !~ m{^/} } glob "/proc/$pid/fd/*";
}

sub threads { my ($pid) = @_; return scalar(my @all = glob "/proc/$pid/task/*") }

# Memory in use now, and the most that ever was.
sub resident_kb { return status_of($_[0], 'VmRSS') }
sub peak_kb { return status_of($_[0], 'VmHWM') }

sub status_of
{
	my ($pid, $name) = @_;
	my ($value) = slurp_file("/proc/$pid/status") =~ /^$name:\s+(\d+)/m
	  or die "process $pid has no $name";
	return $value;
}

# Whether the process waits for a connection.
sub is_connecting
{
	my ($pid) = @_;
	return scalar grep { $_->[0] eq '02' } connections($pid);
}

# Bytes that the process has given the kernel to send, and that no other side has taken.
sub unsent_bytes
{
	my ($pid) = @_;
	return sum0(map { $_->[1] } connections($pid));
}

# Bytes that have come for the process, and that it has not read.
sub unread_bytes
{
	my ($pid) = @_;
	return sum0(map { $_->[2] } connections($pid));
}

# [state, unsent bytes, unread bytes] of the process's TCP connections.
sub connections
{
	my ($pid) = @_;
	my %sockets = map { (readlink($_) // '') =~ /^socket:\[(\d+)\]$/ ? ($1 => 1) : () } glob "/proc/$pid/fd/*";
	my @connections;

	for my $line (map { split /\n/, slurp_file($_) } grep { -e } '/proc/net/tcp', '/proc/net/tcp6')
	{
		my (undef, undef, undef, $state, $queues, undef, undef, undef, undef, $socket) = split ' ', $line;
		push @connections, [ $state, map { hex } split /:/, $queues ] if $sockets{$socket};
	}
	return @connections;
}

sub is_alive { my ($pid) = @_; return kill 0 => $pid }

1;
