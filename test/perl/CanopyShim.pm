# CanopyShim.pm - a network of the test's own for a server: test/shim/network.c, compiled and driven.
#
#     my $shim = CanopyShim->new;
#     my $node = new_node(env => $shim->env);
#     $shim->hosts('api.canopy.test' => '127.0.0.1', 'slow.test' => 'stall');
package CanopyShim;

use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Utils ();

sub new
{
	my ($class) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir('shim');
	my $source = dirname(__FILE__) . '/../shim/network.c';

	system('cc', '-shared', '-fPIC', '-O1', '-Wall', '-o', "$dir/network.so", $source, '-ldl') == 0
	  or die "could not compile $source";
	my $self = bless { dir => $dir }, $class;
	$self->hosts();
	return $self;
}

# What the server's environment must have.
sub env
{
	my ($self) = @_;
	return { LD_PRELOAD => "$self->{dir}/network.so", CANOPY_SHIM_DIR => $self->{dir} };
}

# Replaces the names that exist: name => answers, as the shim's source describes them.
sub hosts
{
	my ($self, %answers) = @_;

	open my $file, '>', "$self->{dir}/hosts.new" or die "could not write hosts: $!";
	print $file map { "$_ $answers{$_}\n" } sort keys %answers;
	close $file;
	rename "$self->{dir}/hosts.new", "$self->{dir}/hosts" or die "could not rename hosts: $!";
	return;
}

# The names that were looked up, and the addresses that were to be connected to, in order.
sub lookups { return $_[0]->lines('lookups') }
sub connections { return $_[0]->lines('connections') }

sub lines
{
	my ($self, $name) = @_;
	my $file = "$self->{dir}/$name";

	return -e $file ? split(/\n/, PostgreSQL::Test::Utils::slurp_file($file)) : ();
}

1;
