# CanopyScanner.pm - ClamAV's daemon with a signature of the test's own, and scanners that lie.
#
#     my $scanner = CanopyScanner->new(max_kb => 300);
#     my $node = new_worker_node(conf => "canopy_summit.clamd_socket = '" . $scanner->socket . "'\n");
#     $scanner->stop; $scanner->lie('garbage'); $scanner->start;
package CanopyScanner;

use strict;
use warnings;

use CanopyTest;
use IO::Select;
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;
use POSIX ();

my @scanners; # of this process
my @held;     # connections that a scanner of this process does not answer

# Before anything that is still to end: what a fork of ours holds open would keep it waiting.
END
{
	my $status = $?;
	$_->stop for grep { $_->{owner} == $$ } @scanners;
	$? = $status;
}

use constant VIRUS => 'canopy summit test virus';    # what the signature looks for
use constant NAME => 'CanopySummit.Test.UNOFFICIAL'; # what clamd calls it

# Starts clamd. Options: max_kb, its StreamMaxLength.
sub new
{
	my ($class, %options) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir_short();
	my $self = bless { dir => $dir, owner => $$ }, $class;
	my $max_kb = $options{max_kb} // 1024;

	mkdir "$dir/db" or die "could not make $dir/db: $!";
	append_to_file("$dir/db/own.ndb", 'CanopySummit.Test:0:*:' . unpack('H*', VIRUS) . "\n");
	append_to_file("$dir/clamd.conf", <<~"END");
		LocalSocket $dir/socket
		DatabaseDirectory $dir/db
		TemporaryDirectory $dir
		StreamMaxLength ${max_kb}K
		Foreground yes
		LogClean yes
		END
	push @scanners, $self;
	$self->start;
	return $self;
}

sub socket { return "$_[0]{dir}/socket" }

# Has clamd listen.
sub start
{
	my ($self) = @_;
	my $log = "$self->{dir}/log";

	$self->stop;
	$self->run(
		sub {
			open STDOUT, '>>', $log or die "could not write $log: $!";
			open STDERR, '>&', \*STDOUT or die "could not redirect: $!";
			# It ends with this test even if the test is killed.
			exec 'setpriv', '--pdeathsig', 'TERM', '--', '/usr/sbin/clamd', '--config-file', "$self->{dir}/clamd.conf"
			  or POSIX::_exit(127);
		});
	CanopyTest::wait_until('clamd listens', sub { IO::Socket::UNIX->new(Peer => $self->socket) });
	return;
}

# Has something else listen: `garbage` and `greeting` answer what no scanner does, `hangs` does not answer, `dies`
# ends the connection after the first bytes of what it should scan.
sub lie
{
	my ($self, $how) = @_;
	my $listener;

	$self->stop;
	unlink "$self->{dir}/held", "$self->{dir}/release";
	$listener = IO::Socket::UNIX->new(Local => $self->socket, Listen => 10) or die "could not listen: $!";
	$self->run(
		sub {
			leave_to_test($listener);
			my $select = IO::Select->new($listener);
			while (getppid == $self->{owner})
			{
				$self->answer_with($how, $listener->accept) if $select->can_read(0.1);
				$self->let_go if -e "$self->{dir}/release";
			}
		});
	close $listener;
	return;
}

# Lets go of what the test has open, such as a psql's input, which is to end when the test ends it. The numbers stay
# taken: Perl counts the handles of each, and would not close a new one.
sub leave_to_test
{
	my ($own) = @_;
	open my $null, '<', '/dev/null' or die "could not open /dev/null: $!";
	my %kept = map { ($_ => 1) } 0 .. 2, map { fileno $_ } $own, $null;
	POSIX::dup2(fileno $null, $_) for grep { !$kept{$_} } map { m{(\d+)$} } glob '/proc/self/fd/*';
	return;
}

# What a lying scanner does with one connection.
sub answer_with
{
	my ($self, $how, $connection) = @_;

	sysread $connection, my $bytes, 20;
	return if $how eq 'dies' || !defined $bytes || $bytes eq '';
	if ($how eq 'hangs')
	{
		push @held, $connection;
		append_to_file("$self->{dir}/held", '.');
		return;
	}
	1 while $bytes !~ /\0\0\0\0\z/ && sysread $connection, $bytes, 65536, length $bytes;
	syswrite $connection, $how eq 'greeting' ? "220 welcome\r\n\0" : "\xff" x 2000;
	return;
}

# How many connections a scanner that `hangs` has taken.
sub held { my ($self) = @_; return -s "$self->{dir}/held" // 0 }

# Has a scanner that `hangs` find clean what it has taken.
sub release
{
	my ($self) = @_;
	append_to_file("$self->{dir}/release", '');
	CanopyTest::wait_until('the scanner has answered', sub { !-e "$self->{dir}/release" });
	return;
}

# The same, in the scanner.
sub let_go
{
	my ($self) = @_;
	syswrite $_, "stream: OK\0" for splice @held;
	unlink "$self->{dir}/release";
	return;
}

# How many times clamd has found something clean.
sub found_clean { my ($self) = @_; return scalar(() = slurp_file("$self->{dir}/log") =~ /: OK$/mg) }

# Runs a function in a process that ends with stop().
sub run
{
	my ($self, $function) = @_;

	$self->{pid} = fork // die "could not fork: $!";
	return if $self->{pid};
	$function->();
	POSIX::_exit(0);
}

# Nobody listens.
sub stop
{
	my ($self) = @_;

	if (my $pid = delete $self->{pid})
	{
		kill KILL => $pid;
		waitpid $pid, 0;
	}
	unlink $self->socket;
	return;
}

1;
