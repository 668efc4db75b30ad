# Does it build as those build who package it: out of the tree, for another PostgreSQL, with bitcode, and with upgrade
# scripts?
use strict;
use warnings;

use Cwd qw(cwd);
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $top = cwd();
my $pg_config = $ENV{PG_CONFIG};
my ($version) = slurp_file("$top/canopy_summit.control") =~ /^default_version = '(.*)'$/m;
my $install_script = "canopy_summit--$version.sql";
my $build = PostgreSQL::Test::Utils::tempdir('build');
# What a call of make for the tests may have left to this one.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};

out_of_tree();
other_server();
no_server();
bitcode();
upgrade_script();
metadata();
done_testing();

# Runs make on the tree's Makefile in the build directory: (success, output).
sub make
{
	my ($tree, @arguments) = @_;
	my ($stdout, $stderr) =
	  run_command([ 'make', '-C', $build, '-f', "$tree/Makefile", "PG_CONFIG=$pg_config", @arguments ]);
	return ($? == 0, "$stdout\n$stderr");
}

sub make_ok
{
	my ($what, @arguments) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($success, $output) = make($top, @arguments);
	return ok($success, $what) || diag($output) && 0;
}

# One object stands for all: they have one rule.
sub out_of_tree
{
	make_ok('out of the tree', $install_script, 'src/webhook/header.o');
	ok(-s "$build/$_", "$_ is where make ran") for $install_script, 'src/webhook/header.o';
	my ($success, $output) = make($top, '-n', 'all', 'install', 'installcheck');
	ok($success, 'so can everything else be') || diag $output;
	like($output, qr/--inputdir=\Q$top\E/, 'pg_regress reads the tree');
	return;
}

# An object is made again when pg_config is another one, and only then.
sub other_server
{
	my $made = -M "$build/src/webhook/header.o";
	my $other = PostgreSQL::Test::Utils::tempdir('other') . '/pg_config';

	make_ok('once more', 'src/webhook/header.o');
	is(-M "$build/src/webhook/header.o", $made, 'the object is as it was');
	symlink $pg_config, $other or die "could not make $other: $!";
	my ($success, $output) = make($top, "PG_CONFIG=$other", '-n', 'src/webhook/header.o');
	like($output, qr/-c -o src\/webhook\/header\.o/, 'another pg_config has it made again');
	return;
}

# Whoever cannot run pg_regress learns who can.
sub no_server
{
	local $ENV{PGHOST} = $build;
	my ($success, $output) = make($top, 'installcheck');
	ok(!$success, 'installcheck without a server fails');
	like($output, qr/superuser of it.*sudo -u postgres make installcheck/s, 'and says what it needs');
	return;
}

# PostgreSQL's own clang may not be installed; any will do.
sub bitcode
{
	make_ok('with_llvm=yes', 'with_llvm=yes', 'CLANG=clang', "src/$_.bc") for qw(webhook/header canopy_summit);
	return;
}

# Neither git nor make takes an upgrade script for something made.
sub upgrade_script
{
	my $tree = PostgreSQL::Test::Utils::tempdir('tree');
	my $script = "canopy_summit--0.0.9--$version.sql";

	system_or_bail('cp', '-r', map({ "$top/$_" } qw(Makefile canopy_summit.control .gitignore src sql)), $tree);
	append_to_file("$tree/$_", "-- a script\n") for $script, $install_script;
	my ($success, $output) = make($tree, '-n', 'install');
	like($output, qr/\Q$script\E/, 'an upgrade script is installed');
	$build = $tree;
	($success, $output) = make($tree, 'clean');
	ok($success, 'clean') || diag $output;
	ok(-e "$tree/$script", '… leaves it');
	ok(!-e "$tree/$install_script", '… but no install script');
	is_deeply([ grep { -e } glob "$tree/src/{,*/}*.{o,d} $tree/src/built_for" ], [], '… nor an object');
	my @ignored = grep { /^!?\/canopy_summit--/ } split /\n/, slurp_file("$tree/.gitignore");
	is_deeply(
		\@ignored, [ '/canopy_summit--*.sql', '!/canopy_summit--*--*.sql' ],
		'git ignores what is made, and no more');
	return;
}

# META.json has what PGXN's specification 1.0.0 asks for, and says what the control file says.
sub metadata
{
	my $meta = JSON::PP::decode_json(slurp_file("$top/META.json"));

	is_deeply(
		[ grep { !defined $meta->{$_} } qw(name version abstract maintainer license provides meta-spec resources) ],
		[], 'META.json is complete');
	is($meta->{version}, $version, 'the version is that of the control file');
	is($meta->{provides}{canopy_summit}{version}, $version, 'also of what it provides');
	ok(-e "$top/$meta->{provides}{canopy_summit}{$_}", "its $_ is there") for qw(file docfile);
	like($meta->{maintainer}, qr/^[^<>]+ <[^\s<>@]+@[^\s<>@]+>$/, 'the maintainer has an address');
	like($meta->{resources}{homepage}, qr/^https:/, 'there is a homepage');
	like($meta->{resources}{bugtracker}{mailto}, qr/^[^\s@]+@[^\s@]+$/, 'and an address for bugs');
	like($meta->{resources}{repository}{url}, qr/^https:/, 'and a repository');
	like($meta->{resources}{repository}{type}, qr/^[a-z]+$/, 'of a type in lower case');
	return;
}
