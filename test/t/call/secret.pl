# Whose credentials does a call send, and does a new secret in a file do without a statement?
use strict;
use warnings;

use CanopyAttempt;
use CanopyTest;
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox();
my $node = new_node();
my $file = PostgreSQL::Test::Utils::tempdir() . '/secret';
my $good = $sandbox->client_secret;
my $call = "SELECT canopy_call('get-team')";

create_canopy_server($node, $sandbox, mapping => { client_secret_file => $file });
create_attempt($node);

subtest 'rotation' => sub {
	my $session = open_session($node);

	for my $turn (1 .. 3)
	{
		write_secret("$good\n");
		is((sqlstates($session, $call))[0], '00000', 'the secret in the file is sent');
		write_secret("another\n");
		is((sqlstates($session, $call))[0], '28000', 'another one as soon as it is there');
		is((credentials())[-1], $sandbox->client_id . ':another', 'and nothing else');
	}

	# As secrets are mounted by those who rotate them: behind a symbolic link that is replaced.
	write_secret("$good\n");
	rename $file, "$file.good" or die "could not rename: $!";
	symlink "$file.good", $file or die "could not link: $!";
	is((sqlstates($session, $call))[0], '00000', 'a link to the file does');
	unlink $file;
	is((sqlstates($session, $call))[0], '58P01', 'no file, no secret');
	$session->quit;
};

subtest 'what a file may look like' => sub {
	my %contents = (
		'no end of line' => $good,
		'an end of line as on Windows' => "$good\r\n",
		'several lines: the first counts' => "$good\nold\nolder\n",
		'empty lines before it' => "\n\r\n$good\n",
		'space behind it' => "$good \t\n");
	for my $name (sort keys %contents)
	{
		write_secret($contents{$name});
		$sandbox->clear_log;
		is((sqlstates($node, $call))[0], '00000', $name);
		is_deeply([ credentials() ], [ $sandbox->client_id . ":$good" ], 'the secret alone is sent');
	}
};

# What counts is where a file is, and not what its path looks like.
subtest 'where a file may be' => sub {
	my $data = $node->data_dir;
	my $links = PostgreSQL::Test::Utils::tempdir();

	mkdir "$data/ours" or die "could not make a directory: $!";
	system_or_bail('cp', '-p', $sandbox->ca_file, "$data/ours/ca.pem");
	append_to_file("$data/ours/secret", "$good\n");
	chmod 0600, "$data/ours/secret" or die "could not change mode: $!";
	symlink "$data/ours/secret", "$links/file" or die "could not link: $!";
	symlink "$data/ours", "$links/directory" or die "could not link: $!";
	symlink '/proc/self/cwd/ours', "$links/process" or die "could not link: $!";
	symlink '/proc/self/environ', "$links/environ" or die "could not link: $!";
	symlink $sandbox->ca_file, "$links/ca.pem" or die "could not link: $!";

	my $alter = 'ALTER USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (SET client_secret_file';
	my @refused = qw(/proc/self/cwd/ours/secret /proc/self/environ /sys/secret /dev/shm/secret);
	for my $path ("$data/ours/secret", @refused)
	{
		is((sqlstates($node, "$alter '$path')"))[0], '22023', "$path is refused as an option");
	}
	my %places = (
		file => 'in the data directory', 'directory/secret' => 'in the data directory',
		'process/secret' => 'in the data directory', environ => 'not a file on disk');
	for my $name (sort keys %places)
	{
		my $path = "$links/$name";
		$node->safe_psql('postgres', "$alter '$path')");
		$sandbox->clear_log;
		my ($error) = attempts($node, $call);
		is($error->{sqlstate}, 'F0000', "$path is refused when it is used");
		is($error->{message}, qq(cannot use secret file "$path": it is $places{$name}), 'for its place');
		is_deeply([ $sandbox->log ], [], 'and nothing is sent');
	}
	$node->safe_psql('postgres', "$alter '$file')");
	for my $case ([ "$links/process/ca.pem", 'F0000' ], [ "$links/ca.pem", '00000' ])
	{
		$node->safe_psql('postgres', "ALTER SERVER canopy OPTIONS (SET ca_file '$case->[0]')");
		is((sqlstates($node, $call))[0], $case->[1], "ca_file $case->[0]: $case->[1]");
	}
	for my $case ([ "$links/file", 'F0000' ], [ "$links/gone", '58P01' ], [ $file, undef ])
	{
		$node->append_conf('postgresql.conf', "canopy_summit.instance_file = '$case->[0]'");
		$node->reload;
		wait_until(
			'the setting is there',
			sub {
				$node->safe_psql('postgres', <<~'SQL') =~ /\Q$case->[0]/;
					SELECT canopy_summit.server_environment(NULL); SHOW canopy_summit.instance_file
					SQL
			});
		is(scalar sqlstate_of($node, 'SELECT canopy_summit.instance()'), $case->[1], "instance_file $case->[0]");
		is( scalar sqlstate_of($node, 'SELECT canopy_summit.owner_name(10, NULL, 1)'), undef,
			'what only shows works without it') if $case->[0] =~ /gone/;
	}
	$node->append_conf('postgresql.conf', q{canopy_summit.instance_file = ''});
	$node->reload;
};

# The role that is in force when the call is made decides, and nobody gets another's mapping.
subtest 'whose mapping' => sub {
	$node->safe_psql('postgres', <<~'SQL');
		CREATE ROLE alone;
		CREATE ROLE other;
		CREATE ROLE outside;
		SELECT canopy_summit.grant_access(role, level)
		FROM unnest(ARRAY['alone', 'other', 'outside']::regrole[]) AS role,
			unnest(ARRAY['fetcher', 'pii_reader']) AS level;
		GRANT CREATE ON SCHEMA public TO other;
		GRANT USAGE ON FOREIGN SERVER canopy TO alone, other;
		CREATE USER MAPPING FOR other SERVER canopy OPTIONS (client_id 'other', client_secret 'of other');
		SET ROLE other;
		CREATE FUNCTION call_as_other() RETURNS jsonb SECURITY DEFINER SET search_path = public, pg_temp
		LANGUAGE sql AS $$SELECT canopy_call('get-team')$$;
		SQL
	is_deeply(sent_by('alone'), [ '42704', undef ], 'a role without mapping sends nothing');
	is_deeply(sent_by('outside'), [ '42501', undef ], 'nor does one without USAGE on the server');
	is_deeply(sent_by('other'), [ '28000', 'other:of other' ], 'a role with a mapping sends that one\'s');
	is_deeply(
		sent_by('alone', 'SELECT call_as_other()'), [ '28000', 'other:of other' ],
		'a SECURITY DEFINER function calls as its owner');

	$node->safe_psql(
		'postgres',
		q{CREATE USER MAPPING FOR PUBLIC SERVER canopy OPTIONS (client_id 'all', client_secret 'of all')});
	is_deeply(sent_by('alone'), [ '28000', 'all:of all' ], 'PUBLIC\'s mapping is for those without');
	is_deeply(sent_by('other'), [ '28000', 'other:of other' ], 'and not for those with one');
	is_deeply(sent_by('outside'), [ '42501', undef ], 'and not for those without USAGE');
	$node->safe_psql('postgres', 'REVOKE USAGE ON FOREIGN SERVER canopy FROM other');
	is_deeply(sent_by('other'), [ '42501', undef ], 'USAGE that is revoked is missed at the next call');
};

subtest 'how they are sent' => sub {
	write_secret($good);
	for my $auth (qw(basic header_pair))
	{
		$node->safe_psql('postgres', "ALTER SERVER canopy OPTIONS (ADD auth '$auth')");
		$sandbox->clear_log;
		is((sqlstates($node, $call))[0], '00000', "auth '$auth'");
		is_deeply([ map { $_->{auth} } $sandbox->log ], [$auth], 'one scheme');
		$node->safe_psql('postgres', 'ALTER SERVER canopy OPTIONS (DROP auth)');
	}
	$node->safe_psql('postgres', q{ALTER SERVER canopy OPTIONS (ADD auth 'app')});
	$sandbox->clear_log;
	my ($error) = attempts($node, $call);
	is($error->{sqlstate}, '55000', "auth 'app', which nobody has authorized");
	like($error->{hint}, qr/canopy_authorize_url/, 'hint');
	is_deeply([ $sandbox->log ], [], 'nothing is sent');
};

done_testing();

sub write_secret
{
	my ($content) = @_;

	unlink $file;
	append_to_file($file, $content);
	chmod 0600, $file or die "could not change mode: $!";
	return;
}

# The Basic credentials of every request in the log.
sub credentials
{
	return map { decode_base64($_->[1] =~ s/^Basic //r) }
	  grep { lc $_->[0] eq 'authorization' } map { @{ $_->{headers} } } $sandbox->log;
}

# [SQLSTATE, credentials sent] of a role's call.
sub sent_by
{
	my ($role, $statement) = @_;

	$sandbox->clear_log;
	my $sqlstate = sqlstate_of($node, "SET ROLE $role; " . ($statement // $call)) // '00000';
	my ($sent) = credentials();

	return [ $sqlstate, $sent ];
}
