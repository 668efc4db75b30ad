# Is a property system told of every change once, whoever commits when, and what it said kept?
use strict;
use warnings;
use utf8;

use CanopyExport;
use CanopyTest;
use Test::More;

my $node = new_node(init => { allows_streaming => 1 });
$node->safe_psql('postgres', <<~'SQL');
	CREATE EXTENSION canopy_summit;
	CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'production');
	CREATE ROLE clerk;
	CREATE ROLE chief;
	SELECT canopy_summit.grant_access('clerk', 'reader'), canopy_summit.grant_access('chief', 'pii_reader');
	GRANT USAGE ON FOREIGN SERVER summit TO clerk, chief;
	SQL

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub fact { return query(fact_of(property_id => 'P', @_)) }

# "policy=change" of each row, by policy.
sub changes
{
	my ($token, $system) = @_;
	return query(told($token, $system));
}

sub told
{
	my ($token, $system) = @_;
	$system //= 'yardi';
	return
	  "SELECT coalesce(string_agg(p.policy_number || '=' || c.change, ' ' ORDER BY p.policy_number COLLATE \"C\"), '')
	FROM summit_export_changes('$system', " . literal_of($token) . ') AS c
		JOIN canopy_summit.policy_status p ON p.policy_status_id = c.row_key::bigint';
}

# A token of now; of everything, if there is nothing new.
sub token
{
	my ($system, $since) = @_;
	return query(
		"SELECT max(token) FROM summit_export_changes('" . ($system // 'yardi') . "', " . literal_of($since) . ')');
}

sub key
{
	my ($policy) = @_;
	return query("SELECT policy_status_id FROM canopy_summit.policy_status WHERE policy_number = '$policy'");
}

sub acknowledge { my ($token, @more) = @_; return query('SELECT ' . acknowledgment($token, @more)) }

sub acknowledgment
{
	my ($token, $more, $system) = @_;
	return 'summit_export_acknowledge(' . join(', ', "'" . ($system // 'yardi') . "'", "'$token'", $more // ()) . ')';
}

sub forget { return forget_exports($node) }

subtest 'what changed' => sub {
	is(changes(), '', 'nothing is nothing');
	fact(policy_number => $_) for 'A', 'B';
	is(changes(), 'A=new B=new', 'all is new');
	is(changes(), 'A=new B=new', 'until it is acknowledged');
	my $first = token();
	is(changes($first), '', 'with a token, what was there does not come');
	is(acknowledge($first), 2, 'all are acknowledged');
	is(acknowledge($first), 0, 'once');
	is(changes(), '', 'and do not come again');
	is(query(q{SELECT count(*) FROM summit_export('yardi')}), 3, 'a full export has them all the same');

	fact(policy_number => 'A', per_occurrence => 5);
	fact(policy_number => 'C');
	is(acknowledge($first), 0, 'what came later is not acknowledged by an older token');
	is(changes($first), 'A=change C=new', 'what changes comes');
	is( query(q{SELECT line FROM summit_export_changes('yardi') WHERE change = 'change'}), 'P,,,,,,,A,,,,,5,,,,',
		'with its line');
	my $second = token('yardi', $first);
	fact(policy_number => 'B', per_occurrence => 6);
	is(changes($second), 'B=change', 'with the newer token, only the newest');
	is(changes($first), 'A=change B=change C=new', 'with the older one, all since then');
	is(acknowledge($second, "ARRAY['" . key('A') . "']"), 1, 'one row');
	is(changes($first), 'B=change C=new', 'is acknowledged, and no other');
	is(acknowledge($second, 'ARRAY[NULL, \'x\', \'-1\', \'' . key('B') . '\']'), 0, 'nor one that the token has not');
	is(acknowledge($second, "'{}'"), 0, 'nor any of none');
	is(acknowledge(token()), 2, 'nor any that was not given');
	query(q{INSERT INTO summit.property_reference (property_id, tenant_id) VALUES ('P', 't')});
	fact(policy_number => 'D', tenant_id => 't');
	acknowledge(token());
	query(q{UPDATE summit.property_reference SET status = 'Past'});
	is(changes(), 'D=removed', 'who leaves is removed');
	is(query(q{SELECT line IS NULL FROM summit_export_changes('yardi')}), 't', 'without a line');
	is(acknowledge(token()), 1, 'which is acknowledged');
	is(changes(), '', 'once');
	query(q{UPDATE summit.property_reference SET status = 'Current'});
	is(changes(), 'D=new', 'who comes back is new');
	acknowledge(token());
	query(q{UPDATE summit.property_reference SET property_id = 'Q'});
	is(changes(), '', 'a roster of another property is none');
	query(q{INSERT INTO summit.property_reference (property_id, tenant_id) VALUES ('P', 'other')});
	is(changes(), 'D=removed', 'but where there is one, who is not in it is removed');
	query(q{UPDATE summit.property_reference SET property_id = 'R' WHERE tenant_id = 'other'});
	is(changes(), 'D=change', 'until it is gone: then its line is told, which may have been removed');
	acknowledge(token());
	query(q{UPDATE summit.export_column SET date_style = 'YYYYMMDD' WHERE system = 'yardi'});
	fact(policy_number => 'A', effective_date => '2026-01-01');
	is(changes(), 'A=change', 'a style that changes no line is none');
	query(q{UPDATE summit.export_system SET delimiter = ';' WHERE system = 'yardi'});
	is(changes(), 'A=change B=change C=change D=change', 'one that does changes all');
	forget();
};

subtest 'a transaction that commits late' => sub {
	my ($late, $maker) = map { open_session($node) } 1 .. 2;
	fact(policy_number => 'A');
	acknowledge(token());
	$late->query_safe('BEGIN; ' . fact_of(property_id => 'P', policy_number => 'LATE'));
	fact(policy_number => 'B');
	is(changes(), 'B=new', 'what is not committed is not told');
	my $token = token();
	is(acknowledge($token), 1, 'and not acknowledged');
	fact(policy_number => 'C');
	$token = token('yardi', $token);
	is(query("SELECT canopy_summit.refresh_exports()"), 0, 'a worker may have been there');
	$late->query_safe('COMMIT');
	is(changes($token), 'LATE=new', 'once it is, it comes');
	is(changes(), 'C=new LATE=new', 'without a token, too');
	acknowledge(token());

	# Whoever makes lines may commit late as well.
	fact(policy_number => 'D');
	is($maker->query_safe('BEGIN; ' . told()), 'D=new', 'somebody makes a line');
	is(changes(), '', 'which is not there for another');
	fact(policy_number => 'E');
	is(changes(), '', 'who does not wait for it');
	is( $maker->query_safe('SELECT 1; ' . fact_of(property_id => 'P', policy_number => 'F') . '; ' . told()),
		"1\nD=new E=new F=new", 'it has more to make');
	# A token of a time at which the maker was under way.
	fact(policy_number => 'B', per_occurrence => 1);
	query(
		q{UPDATE canopy_summit.export_line SET changed_xid = pg_current_xact_id(), line = 'x'
		WHERE row_key = '} . key('C') . q{'});
	my $during = token();
	is(changes($during), '', 'another has a token meanwhile');
	is(acknowledge($during), 1, 'and acknowledges what it has');
	$maker->query_safe('COMMIT');
	like(changes($during), qr/\bD=new E=new F=new\b/, 'the lines that were under way come then');
	is( query(
			"SELECT count(*) FROM canopy_summit.export_line l WHERE l.acknowledged_line = l.line AND l.row_key IN ('"
			  . join("', '", map { key($_) } qw(D E F)) . "')"),
		0,
		'and were not acknowledged unseen');

	$maker->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	acknowledge(token());
	fact(policy_number => 'G');
	is($maker->query_safe(told($during, 'entrata')) =~ /G/ ? 'G' : '', '', 'an older snapshot has not what is newer');
	$maker->query_safe('ROLLBACK');
	is(changes(), 'G=new', 'and takes it from nobody');
	$_->quit for $late, $maker;
	forget();
};

subtest 'a transaction that asks twice' => sub {
	my $session = open_session($node);
	fact(policy_number => 'A');
	$session->query_safe('BEGIN');
	my $token = $session->query_safe("SELECT max(token) FROM summit_export_changes('yardi')");
	$session->query_safe(fact_of(property_id => 'P', policy_number => 'B'));
	is($session->query_safe(told($token)), 'A=new B=new', 'gets what it has changed in between');
	my $second = $session->query_safe("SELECT max(token) FROM summit_export_changes('yardi', '$token')");
	$session->query_safe(
		'SAVEPOINT s; ' . fact_of(property_id => 'P', policy_number => 'C') . '; ' . told($second) . '; ROLLBACK TO s');
	is($session->query_safe('SELECT ' . acknowledgment($second)), 2, 'and acknowledges its own');
	$session->query_safe('COMMIT');
	is(changes($second), '', 'which do not come again');
	is(changes(), '', 'to anybody');
	fact(policy_number => 'C');
	is(changes($second), 'C=new', 'but what was rolled back does');
	$session->quit;
	forget();
};

subtest 'what was given and not acknowledged' => sub {
	query(q{INSERT INTO summit.property_reference (property_id, tenant_id) VALUES ('P', 't')});
	fact(policy_number => 'A', tenant_id => 't');
	my $token = token();
	query(q{UPDATE summit.property_reference SET status = 'Past'});
	is(changes($token), 'A=removed', 'is told to be gone to whoever has a token');
	is(changes(), '', 'and is not there for who has none');
	is(acknowledge(token('yardi', $token)), 1, 'is acknowledged');
	is(changes($token), '', 'once');
	query(q{UPDATE summit.property_reference SET status = 'Current'});
	acknowledge(token());
	fact(policy_number => 'A', tenant_id => 't', per_occurrence => 5);
	is(changes(), 'A=change', 'a change that is given');
	query(
		'DELETE FROM summit.certificate_fact WHERE per_occurrence = 5;
		SELECT canopy_summit.policy_status_fold(ARRAY[' . key('A') . '])');
	is(changes(), 'A=change', 'and undone is told, though its line is the acknowledged one');
	is(acknowledge(token()), 1, 'until that is acknowledged');
	is(changes(), '', 'again');
	forget();
};

subtest 'tokens' => sub {
	fact(policy_number => 'A');
	my $token = token();
	like($token, qr{^-?\d+/\d+:\d+:[\d,]*/\d*$}, 'look like one');
	my ($instance) = $token =~ m{^(-?\d+)/};
	for my $bad (
		'', ' ', 'x', $instance, "$instance/", "$instance/1:2:", "$instance/2:1:/", "$instance/9:1:5/",
		"$instance/1:2:3,/",
		"$instance/1:5:4,3/", "$instance/0:0:/", "$token ", " $token", "$token\n", "${token}x",
		"$instance/99999999999999999999999:99999999999999999999999:/", "$instance/1:2:/1'", "1:2:")
	{
		for my $call ('summit_export_changes', 'summit_export_acknowledge')
		{
			my ($state, $message, undef, $hint) = sqlstate_of($node, "SELECT $call('yardi', " . literal_of($bad) . ')');
			is("$state $message", '22023 this is not a token of summit_export_changes()', "$call: \"$bad\" is none");
			like($hint, qr/^Give a token as it was returned/, 'with a hint');
		}
	}
	my ($state, $message, undef, $hint) = sqlstate_of(
		$node,
		"SELECT summit_export_changes('yardi', '" . ($instance + 1) . substr($token, length $instance) . "')");
	is("$state $message", '22023 the token is of another copy of this database', 'nor one of another copy');
	is($hint, 'Give NULL for everything that is not acknowledged.', 'with a hint');
	is( scalar sqlstate_of($node, "SELECT summit_export_acknowledge('yardi', NULL)"), '22004',
		'an acknowledgment has one');
	is(scalar sqlstate_of($node, "SELECT summit_export_acknowledge(NULL, '$token')"), '22004', 'and a system');
	is(scalar sqlstate_of($node, "SELECT summit_export_changes('$_')"), '22023', "which is not \"$_\"")
	  for '', 'excel', 'YARDI';
	is( scalar sqlstate_of($node, "SELECT summit_export_acknowledge('yardi', '$token', messages => '$_')"), '22023',
		"messages are not $_") for '[]', '"x"', 'null', '1';
	is(changes(), 'A=new', 'and nothing is acknowledged');
	forget();
};

subtest 'what a system says' => sub {
	query(q{INSERT INTO summit.property_reference (property_id, tenant_id) VALUES ('P', 't')});
	fact(policy_number => $_, tenant_id => 't') for 'A', 'B', 'C';
	my ($a, $b, $c) = map { key($_) } 'A', 'B', 'C';
	my $token = token();
	is( acknowledge($token, qq{messages => '{"$b": "unit not found: Ann", "$c": null, "x": "y"}'}), 3,
		'a batch half-fails');
	is(changes(), '', 'what was refused does not come again');
	my $problem = "SELECT row_key || ' ' || problem FROM summit.export_problem WHERE system = 'yardi'";
	is(query("SET ROLE chief; $problem"), "$b the receiver refused it: unit not found: Ann", 'and is listed');
	is( query("SET ROLE clerk; SELECT row_key || ' ' || problem FROM summit.export_problem"), "$b ***",
		'its words are not for everybody');
	fact(policy_number => 'B', tenant_id => 't', per_occurrence => 5);
	is(changes(), 'B=new', 'until it changes: it is new to the system');
	is(query($problem), '', 'and is not listed any more');
	acknowledge(token());
	query(q{UPDATE summit.property_reference SET status = 'Past'});
	is(acknowledge(token(), qq{'{$b}', '{"$b": "cannot delete"}'}), 1, 'a removal that is refused');
	is(changes(), 'A=removed C=removed', 'does not come again');
	query(q{UPDATE summit.property_reference SET status = 'Current'});
	is(changes(), 'A=change B=change C=change', 'until it changes');
	is(acknowledge(token()), 3, 'and all are told again, since some may have been removed');
	is(query('SELECT count(*), count(refused_line) FROM canopy_summit.export_line'), '3|0', 'no refusal is left');
	forget();
};

# Workers are there, or not.
sub preload
{
	my ($libraries) = @_;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$libraries'");
	$node->restart;
	return;
}

subtest 'workers keep lines' => sub {
	fact(policy_number => 'A');
	acknowledge(token());
	my $mine = q{INSERT INTO summit.export_system (system) VALUES ('mine');
		INSERT INTO summit.export_column (system, position, heading, source) VALUES ('mine', 1, 'P', 'property_id')};
	query($mine);
	changes(undef, 'mine');
	query("DELETE FROM summit.export_$_ WHERE system = 'mine'") for 'column', 'system';
	preload('canopy_summit');
	fact(policy_number => 'B');
	query('SELECT canopy_summit.wake()');
	wait_until(
		'a worker has made the line',
		sub {
			query(q{SELECT count(*) FROM canopy_summit.export_line WHERE line LIKE '%,B,%'});
		});
	is(query('SELECT count(*) FROM canopy_summit.export_pending'), 0, 'nothing is left to do');
	is(changes(), 'B=new', 'and it is told');
	query($mine);
	is(changes(undef, 'mine'), 'A=new B=new', 'a system that was gone has missed nothing');
	query("DELETE FROM summit.export_$_ WHERE system = 'mine'") for 'column', 'system';
	query(
		q{UPDATE canopy_summit.export_feed SET made_at = made_at - interval '2 days';
		UPDATE canopy_summit.export_line SET line = 'yesterday';
		SELECT canopy_summit.wake()});
	wait_until(
		'a worker has made all lines of another day',
		sub {
			query(q{SELECT count(*) FROM canopy_summit.export_line WHERE line = 'yesterday' AND system = 'yardi'}) == 0;
		});
	is( query(q{SELECT min(made_at) > now() - interval '1 hour' FROM canopy_summit.export_feed WHERE system = 'yardi'}),
		't',
		'on each day');
	preload('');
	forget();
};

subtest 'a server that is renamed' => sub {
	fact(policy_number => $_) for 'A', 'B';
	my $token = token();
	acknowledge($token, "'{" . key('A') . "}'");
	query('ALTER SERVER summit RENAME TO peak');
	for my $call (
		"summit_export('yardi', server => 'peak')", "summit_export_changes('yardi', server => 'peak')",
		"summit_export_acknowledge('yardi', '$token', server => 'peak')", "summit_export_yardi_xml('P', 'peak')")
	{
		my ($state, $message, undef, $hint) = sqlstate_of($node, "SELECT $call");
		is( "$state $message", '55000 server "peak" was renamed, and not all of its rows have followed it yet',
			"$call waits for its rows");
		is($hint, 'Wait for the workers, or CALL canopy_summit.run_tasks();', 'with a hint');
	}
	# What changes meanwhile is taken from the queue, by others' exports too.
	fact(server => 'peak', policy_number => 'C');
	query('SELECT canopy_summit.refresh_exports()');
	query('CALL canopy_summit.run_tasks()');
	is(query(told() =~ s/NULL\)/NULL, 'peak')/r), 'B=new C=new', 'then it is as before, with what has changed');
	is(query(<<~"SQL"), 'C', 'for tokens, too');
		SELECT string_agg(p.policy_number, ' ') FROM summit_export_changes('yardi', '$token', 'peak') AS c
			JOIN canopy_summit.policy_status p ON p.policy_status_id = c.row_key::bigint
		SQL
	query('ALTER SERVER peak RENAME TO summit; CALL canopy_summit.run_tasks()');
	forget();
};

subtest 'a standby' => sub {
	fact(policy_number => $_) for 'A', 'B';
	my $token = token();
	acknowledge($token, "'{" . key('A') . "}'");
	$node->backup('standby');
	my $standby = CanopyTest::Node->new('standby');
	$standby->{server_env} = {};
	$standby->init_from_backup($node, 'standby', has_streaming => 1);
	$standby->start;
	fact(policy_number => 'C');
	query('SELECT canopy_summit.refresh_exports()');
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	my $there = sub { return $standby->safe_psql('postgres', $_[0]) };
	is($there->(told()), 'B=new C=new', 'tells what is kept');
	is($there->(told($token)), 'C=new', 'with tokens of the primary');
	my $second = $there->("SELECT max(token) FROM summit_export_changes('yardi')");
	is($there->(q{SELECT count(*) FROM summit_export('yardi')}), 4, 'and exports');
	is(scalar sqlstate_of($standby, 'SELECT ' . acknowledgment($token)), '25006', 'but acknowledges nothing');
	my ($state, $message) = sqlstate_of($standby, q{SELECT summit_export_changes('entrata')});
	is("$state $message", '55000 no lines are kept for system "entrata"', 'nor tells of what is not kept');
	is(acknowledge($second), 2, 'its tokens are good on the primary');
	query(q{INSERT INTO summit.property (property_id, time_zone, country) VALUES ('P', 'UTC', 'US')});
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	is(scalar sqlstate_of($standby, "SELECT $_"), '25006', "nothing leaves the country unnoted: $_")
	  for q{summit_export('yardi')}, q{summit_export_changes('yardi')};
	$standby->stop;
	forget();
};

subtest 'a copy' => sub {
	fact(policy_number => $_) for 'A', 'B', 'C';
	my $token = token();
	my ($a, $c) = map { key($_) } 'A', 'C';
	acknowledge($token, qq{'{$a,$c}', '{"$c": "no"}'});
	my $dump = $node->backup_dir;
	mkdir $dump;
	$node->command_ok([ 'pg_dump', '-f', "$dump/dump.sql", $node->connstr('postgres') ], 'dumped');
	query('CREATE DATABASE copy');
	$node->command_ok(
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dump/dump.sql", $node->connstr('copy') ],
		'restored');
	my $there = sub { return $node->safe_psql('copy', $_[0]) };
	is($there->(told()), 'B=new', 'what was acknowledged or refused is so');
	my ($state, $message) = sqlstate_of($node, "SELECT summit_export_changes('yardi', '$token')", database => 'copy');
	is("$state $message", '22023 the token is of another copy of this database', 'tokens are of one copy');
	is( scalar sqlstate_of($node, "SELECT " . acknowledgment($token), database => 'copy'), '22023',
		'for both functions');
	$there->(fact_of(property_id => 'P', policy_number => $_, per_occurrence => 7)) for 'A', 'C', 'D';
	is($there->(told()), 'A=change B=new C=new D=new', 'and goes on');
	is(changes(), 'B=new', 'here nothing has happened');
};


done_testing();
