# CanopyPsql.pm - a psql that stays, and runs each script as if in a session of its own.
#
# Between two scripts the session is what a new one would be: DISCARD ALL sees to that, and scripts
# that could leave what it does not take back (see is_plain) get a psql of their own.
package CanopyPsql;

use strict;
use warnings;

use IO::Select ();
use IPC::Open3 qw(open3);
use PostgreSQL::Test::Utils ();
use Symbol qw(gensym);

my $marker = 'canopy_psql: the script has ended:';

# Starts psql, with the environment of now.
sub new
{
	my ($class, @command) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir('psql') . '/script';
	my $err = gensym;
	my $pid = open3(my $in, my $out, $err, @command, '-XAtq', '-f', '-');

	$in->autoflush(1);
	return bless { pid => $pid, in => $in, out => $out, err => $err, file => $file }, $class;
}

# Whether a script leaves nothing behind that DISCARD ALL does not take back: no settings of psql,
# no transaction left open; and does nothing to which a session that stays is in the way, or that only
# new sessions see.
sub is_plain
{
	my ($sql) = @_;
	return
		 defined $sql
	  && ($sql !~ /\bBEGIN\b/i || $sql =~ /\b(?:COMMIT|ROLLBACK)\s*;?\s*\z/i)
	  && $sql !~ /\\|\b(?:START|PREPARE|DATABASE|TABLESPACE|STDIN|pg_reload_conf|pg_terminate_backend)\b/i
	  && $sql !~ /\bALTER\s+(?:ROLE|USER|SYSTEM)\b(?!\s+MAPPING)/i;
}

# Whether the session is still there: the server may have ended it since.
sub is_alive
{
	my ($self) = @_;
	return 1 if defined $self->send("DISCARD ALL;\n", '')->{ended};
	$self->quit;
	return 0;
}

# Runs a script; { status, stdout, stderr } as of a psql of its own. It is over if has_ended() then.
sub run
{
	my ($self, $sql, $verbosity) = @_;

	open my $file, '>:raw', $self->{file} or die "could not write $self->{file}: $!";
	print $file $sql;
	close $file or die "could not write $self->{file}: $!";

	# Where there is but one statement, no other must be kept from running after an error.
	my $stop = $sql =~ /;\s*\S/ ? 1 : 0;
	my $result = $self->send(<<~"END", 'canopy_psql_error');
		\\set VERBOSITY $verbosity
		\\set ON_ERROR_STOP $stop
		\\i '$self->{file}'
		\\set canopy_psql_error :ERROR
		\\set ON_ERROR_STOP 1
		DISCARD ALL;
		END
	$result->{status} = defined $result->{ended} ? ($result->{ended} eq 'true' ? 3 : 0) : $self->quit;
	$result->{stderr} =~ s/^psql:\Q$self->{file}\E:/psql:<stdin>:/mg;
	chomp @$result{qw(stdout stderr)};
	return $result;
}

sub has_ended { return !defined $_[0]{pid} }

# Gives psql some lines; what it printed, and in `ended` the variable's value, or undef if psql has ended.
sub send
{
	my ($self, $lines, $variable) = @_;
	my %printed = (stdout => '', stderr => '');
	local $SIG{PIPE} = 'IGNORE';

	print { $self->{in} } $lines, "\\echo '$marker' :$variable\n\\warn '$marker'\n";
	my %name = (fileno($self->{out}) => 'stdout', fileno($self->{err}) => 'stderr');
	my $select = IO::Select->new($self->{out}, $self->{err});
	while ($select->count && !($printed{stdout} =~ /^\Q$marker\E.*\n\z/m && $printed{stderr} =~ /^\Q$marker\E\n\z/m))
	{
		for my $handle ($select->can_read)
		{
			my $name = $name{ fileno $handle };
			my $count = sysread $handle, $printed{$name}, 65536, length $printed{$name};
			$select->remove($handle) unless $count;
		}
	}
	$printed{stderr} =~ s/^\Q$marker\E\n\z//m;
	return { %printed, ended => $printed{stdout} =~ s/^\Q$marker\E (.*)\n\z//m ? $1 : undef };
}

# Ends the session; psql's exit status.
sub quit
{
	my ($self) = @_;
	my $pid = delete $self->{pid} // return 0;

	close $self->{in};
	local $?;
	waitpid $pid, 0;
	die 'psql exited with signal ' . ($? & 127) if $? & 127;
	return $? >> 8;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);
	eval { $self->quit };
	return;
}

1;
