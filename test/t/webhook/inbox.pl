# Is every webhook that was acknowledged there, once, and applied once, whatever arrives and whatever dies?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyWebhook;
use IPC::Run ();
use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = test_seed();
my $node = new_worker_node(conf => "restart_after_crash = on\nlog_min_messages = fatal\nmax_connections = 100\n");
my $complete = { event_type => 'COMPLETE', pull_id => 'p', status => 'SUCCESS', data => {} };

create_webhook_servers($node);
query($node, q{CREATE TABLE told (n bigint)});

subtest 'copies of one delivery' => \&copies;
subtest 'callers' => \&callers;
subtest 'hostile bodies' => \&hostile;
subtest 'one that cannot be applied' => \&poison;
subtest 'one that is as large as many' => \&large;
subtest 'locks of whoever may connect' => \&strangers_locks;
subtest 'one that somebody else applies' => \&held_subject;
subtest 'notification' => \&notification;
subtest 'many at once' => \&flood;
subtest 'retention' => \&retention;
subtest 'kills' => \&kills;
subtest 'without a worker' => \&without_worker;
done_testing();

sub states { return query($node, <<~'SQL') }
	SELECT coalesce(string_agg(state || ' ' || n, ', ' ORDER BY state), 'none')
	FROM (SELECT state, count(*) AS n FROM canopy_summit.webhook GROUP BY 1) s
	SQL

sub applied
{
	wait_until(
		'all is applied',
		sub {
			(eval { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) } // 1) == 0;
		});
	return;
}

sub summit
{
	my ($delivery, $policy, $attempt, %more) = @_;
	return {
		delivery_id => $delivery, event => 'policy.submitted', occurred_at => '2025-10-30T17:35:12Z',
		attempt => $attempt // 1,
		data =>
		  { policy => { policy_number => $policy }, certificate_holder => { reference_ids => { property_id => 'K' } } },
		%more };
}

sub copies
{
	is(receive($node, 'summit', summit('d1', 'P1', 1)), '200 stored', 'the first attempt of a delivery is stored');
	is(receive($node, 'summit', summit('d1', 'P1', $_)), '200 duplicate', "attempt $_ is known") for 2 .. 8;
	is( receive($node, 'summit', summit('d1', 'P2', 9)), '200 conflict',
		'another body of the same delivery_id is a conflict');
	is(receive($node, 'summit', summit('d1', 'P2', 10)), '200 duplicate', 'and known then');
	is(receive($node, 'summit', summit('d2', 'P1', 1)), '200 stored', 'another delivery_id is another delivery');
	applied();
	is(states(), 'applied 2, conflict 1', 'the conflict is kept and not applied');
	is(query($node, <<~'SQL'), '1|P1', 'nor has it an effect');
		SELECT count(*), string_agg(DISTINCT policy_number, ' ') FROM canopy_summit.policy_status
		SQL
	is(query($node, <<~'SQL'), 'conflict', 'not even if asked');
		SELECT canopy_summit.apply_webhook(max(webhook_id)) FROM canopy_summit.webhook WHERE state = 'conflict'
		SQL

	my $reconnect = {
		event_type => 'MONITORING_RECONNECT', pull_id => 'm', status => 'NOT_AUTHENTICATED',
		monitoring => { monitoring_id => 'mon' },
		data => { auth_status => 'NOT_AUTHENTICATED', reconnect_url => 'https://x', reconnect_token => 't' } };
	is(receive($node, 'canopy', $reconnect), '200 stored', 'an event without an id');
	is(receive($node, 'canopy', $reconnect, "$_ min"), '200 duplicate', "signed $_ minutes before") for 0, 1, 61, 432;
	is(receive($node, 'canopy', $reconnect, '7 h 59 min'), '200 duplicate', 'up to the horizon of retries');
	is(receive($node, 'canopy', $reconnect, '8 h 1 min'), '200 stored', 'beyond it, it is another event');
	applied();
	query($node, <<~'SQL');
		UPDATE canopy_summit.webhook
		SET signed_at = signed_at - interval '1 month', received_at = received_at - interval '1 month'
		WHERE event = 'MONITORING_RECONNECT'
		SQL
	is(receive($node, 'canopy', $reconnect), '200 stored', 'as are the same bytes a month later');
	is(receive($node, 'canopy', $reconnect), '200 duplicate', 'once');
	truncate_webhooks($node);

	# Ten retries, with their first time or a fresh one each: 60 + n^4 seconds apart, 7.2 hours in all.
	is( receive($node, 'canopy', $complete, '25933 s'), '200 stored',
		'the tenth retry with its first time is taken, 7.2 hours old');
	is( receive_all($node, map { [ 'canopy', $complete, $_ ] } (('25933 s') x 9, map { ($_ * 2593) . ' s' } 0 .. 9)),
		'19 duplicate', 'other retries are known, whatever their times');
	applied();
	is(query($node, q{SELECT count(*) FROM canopy_summit.job}), 1, 'one effect');
	is( receive($node, 'summit', 'no delivery_id', '25 h'), '401 bad_signature',
		'no server takes what is older than its tolerance');
	truncate_webhooks($node);
	return;
}

# Transactions of any kind.
sub callers
{
	for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
	{
		my $body = body_of({ event_type => 'X', pull_id => $level });
		my $session = open_session($node);
		$session->query("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM pg_class");
		is( receive($node, 'canopy', { event_type => 'X', pull_id => $level }), '200 stored',
			"$level: another session stores it");
		is( $session->query("SELECT outcome FROM wh('canopy', $body)"), 'duplicate',
			"$level: it is known, though the snapshot is older");
		is($session->query(<<~"SQL"), 'stored', "$level: another is stored");
			SELECT outcome FROM wh('canopy', @{[ body_of({ event_type => 'Y', pull_id => $level }) ]})
			SQL
		is($session->query(<<~"SQL"), 'duplicate', "$level: once in a transaction");
			SELECT outcome FROM wh('canopy', @{[ body_of({ event_type => 'Y', pull_id => $level }) ]})
			SQL
		$session->query('COMMIT');
		$session->quit;
	}
	applied();
	is(states(), 'applied 6', 'all are applied');
	truncate_webhooks($node);

	query($node, "BEGIN; SELECT FROM wh('canopy', " . body_of($complete) . '); ROLLBACK');
	is(states(), 'none', 'a receive that is rolled back leaves nothing');
	is(receive($node, 'canopy', $complete), '200 stored', 'and can be repeated');
	my $body = body_of({ event_type => 'WAITS' });
	my $first = open_session($node);
	$first->query("BEGIN; SELECT FROM wh('canopy', $body)");
	my ($out, $err) = ('', '');
	my $second = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT outcome FROM wh('canopy', $body)" ], '>',
		\$out, '2>', \$err);
	wait_until('the second waits', sub { query($node, <<~'SQL') > 0 });
		SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
		SQL
	$first->query('COMMIT');
	$first->quit;
	$second->finish;
	is($out, "duplicate\n", 'of two copies at once the second waits for the first');
	applied();
	truncate_webhooks($node);
	return;
}

sub hostile
{
	my @bodies = (
		'', ' ', "\0", 'not JSON', '{', '[' x 10_000 . ']' x 10_000, '{"a":' x 10_000 . '1' . '}' x 10_000, "\xff\xfe",
		'{"event_type": "X\xff"}', '"x"', '1e400', 'null', '[]', '{}',
		"\xef\xbb\xbf{\"event_type\": \"BOM\"}", '{"event_type": "NUL\u0000", "pull_id": "a\u0000b"}',
		'{"event_type": "LONE \ud800", "pull_id": "\udc00"}', '{"event_type": "BIG", "pull_id": "n", "data": 1e400}',
		'{"event_type": "A", "event_type": "B", "pull_id": "dup"}', '{"event_type": "COMPLETE", "pull_id": 1}',
		'{"event_type": "COMPLETE"}', '{"event_type": "COMPLETE", "pull_id": ""}',
		'{"event_type": "AUTH_STATUS", "pull_id": "h", "sequence": 1e400, "data": [1]}',
		'{"event_type": "AUTH_STATUS", "pull_id": "h", "sequence": "99999999999999999999", "data": "x"}',
		'{"event_type": "ERROR", "pull_id": "h", "data": null}', '{"event_type": "MONITORING_EVENTS", "data": {}}',
		'{"event_type": "MONITORING_RECONNECT", "pull_id": "h", "monitoring": [], "data": 5}',
		'{"event_type": "SERVICING_STATUS_UPDATED", "pull_id": "h", "data": {}}',
		'{"event_type": "DATA_UPDATED", "pull_id": "h", "data": {"updates": {"a": 1}}}',
		'{"event_type": "DATA_UPDATED", "pull_id": "h", "data": {"updates": [1, null, "x", {"type": []}]}}',
		'{"event_type": "VALIDATION_COMPLETE", "pull_id": "h",'
		  . ' "data": {"document_validation_id": "v", "completed_at": "never"}}',
		'{"event_type": "' . 'E' x 5000 . '", "pull_id": "h"}', '{"event_type": "X", "pull_id": "' . 'p' x 5000 . '"}',
		'{"event_type": "policy.submitted", "pull_id": "h"}', '{"event_type": "X", "pad": "' . 'x' x 1_000_000 . '"}');
	my @summit = map { encode($_) } (
		{ delivery_id => 'h1', event => 'policy.lapsed' }, summit('h2', 'P', 1, occurred_at => 'infinity'),
		summit('h3', 'P', 1, occurred_at => 'rubbish'), summit('h4', 'P', 1, occurred_at => ''),
		summit('h5', 'P', 1, data => []), summit('h6', 'P', 1, event => 'policy.unknown'),
		summit('h7', 'P', 1, event => 'COMPLETE'), { delivery_id => 8, event => 'policy.lapsed' },
		summit('h9', 'x' x 1000),
		summit(
			'h10', 'P', 1,
			data => {
				policy => { policy_number => 'P', effective_date => 'soon', expiry_date => '99999999-01-01' },
				certificate_holder => 'x' }));
	my @outcomes = split /\n/,
	  query(
		$node, join '',
		(map { "SELECT http_status || ' ' || outcome FROM wh('canopy', " . body_of($_) . ");\n" } @bodies),
		map { "SELECT http_status || ' ' || outcome FROM wh('summit', " . body_of($_) . ");\n" } @summit);
	is(scalar @outcomes, @bodies + @summit, 'every hostile body is answered');
	is_deeply([ grep { $_ !~ /^200 (?:stored|quarantined)$/ } @outcomes ], [], 'with 200');
	is(query($node, <<~'SQL'), join('|', (@bodies + @summit) x 2), 'and kept');
		SELECT count(*), count(DISTINCT server || ' ' || body::text) FROM canopy_summit.webhook
		SQL
	is( query(
			$node,
			'SELECT count(*) FROM canopy_summit.webhook WHERE body IN ('
			  . join(', ', map { body_of($_) } @bodies, @summit) . ')'),
		scalar(@bodies + @summit),
		'byte for byte');
	applied();
	is(query($node, <<~'SQL'), 0, 'each is applied, or quarantined with the reason');
		SELECT count(*) FROM canopy_summit.webhook
		WHERE (state = 'quarantined') <> (problem IS NOT NULL) OR state NOT IN ('applied', 'quarantined')
		SQL
	my $problems = query($node, <<~'SQL');
		SELECT DISTINCT problem FROM canopy_summit.webhook
		WHERE (event IS NULL OR server = 'summit') AND problem IS NOT NULL ORDER BY 1
		SQL
	is( "$problems\n",
		<<~'END', 'which says what is wrong');
			the body has no delivery_id
			the body has no occurred_at
			the body has no policy_number
			the body is nested too deeply
			the body is no JSON object
			the body is not JSON
			the body names no event_type
			END
	is( query($node, <<~'SQL'), "BIG applied\npolicy.submitted applied",
		SELECT event || ' ' || state FROM canopy_summit.webhook
		WHERE server = 'canopy' AND event IN ('policy.submitted', 'BIG') ORDER BY 1
		SQL
		'an event of the other provider is an unknown one');
	is(query($node, q{SELECT count(*) FROM canopy_summit.job WHERE server = 'summit'}), 0, 'and fetches nothing');
	is(receive($node, 'canopy', $complete), '200 stored', 'the worker goes on');
	applied();
	truncate_webhooks($node);
	return;
}

sub poison
{
	query($node, <<~'SQL');
		CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.pull_id = 'poison' THEN
				RAISE EXCEPTION 'poisoned';
			END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER poison BEFORE INSERT ON canopy_summit.pull_progress FOR EACH ROW EXECUTE FUNCTION poison();
		SQL
	my @events = map {
		{ %$complete, pull_id => $_ == 50 ? 'poison' : "pull $_" }
	} 1 .. 100;
	query($node, 'BEGIN;' . join('', map { "SELECT FROM wh('canopy', " . body_of($_) . ');' } @events) . 'COMMIT');
	applied();
	is(states(), 'applied 99, quarantined 1', 'one that cannot be applied delays none of its group');
	is(query($node, <<~'SQL'), 'poison|poisoned|', 'it is kept with the reason');
		SELECT subject, problem, applied_at FROM canopy_summit.webhook WHERE state = 'quarantined'
		SQL
	is( query($node, 'SELECT count(*), count(DISTINCT params) FROM canopy_summit.job'), '99|99',
		'each of the others has its effect once, that one none');
	my $apply = q{SELECT canopy_summit.apply_webhook(webhook_id) FROM canopy_summit.webhook WHERE subject = 'poison'};
	is(query($node, $apply), 'quarantined', 'tried again it is as before');
	query($node, 'DROP FUNCTION poison CASCADE');
	is(query($node, $apply), 'applied', 'and applied once the cause is gone');
	is(query($node, $apply), 'applied', 'once');
	is(query($node, <<~'SQL'), 1, 'with one effect');
		SELECT count(*) FROM canopy_summit.job WHERE params ->> 'pullId' = 'poison'
		SQL
	is( scalar sqlstate_of($node, 'SELECT canopy_summit.apply_webhook(-1)'), 'P0002',
		'one that does not exist is an error');
	truncate_webhooks($node);

	# Somebody holds a row that is to be changed: the worker tries later, and quarantines nothing.
	receive($node, 'canopy', { event_type => 'X', pull_id => 'held' });
	applied();
	my $session = open_session($node);
	$session->query(q{BEGIN; UPDATE canopy_summit.pull_progress SET last_status = 'mine' WHERE pull_id = 'held'});
	receive($node, 'canopy', { event_type => 'Y', pull_id => 'held' });
	receive($node, 'canopy', { event_type => 'Y', pull_id => 'free' });
	soon_ok(
		'another one is applied',
		sub { query($node, q{SELECT state FROM canopy_summit.webhook WHERE subject = 'free'}) eq 'applied' }, 10);
	is(query($node, <<~'SQL'), 'stored', 'one that has to wait stays stored');
		SELECT state FROM canopy_summit.webhook WHERE event = 'Y' AND subject = 'held'
		SQL
	is(scalar sqlstate_of($node, <<~'SQL'), '57014', 'applying can be cancelled');
		SET statement_timeout = '300ms';
		SELECT canopy_summit.apply_webhook(webhook_id) FROM canopy_summit.webhook
		WHERE subject = 'held' AND event = 'Y'
		SQL
	$session->query('ROLLBACK');
	$session->quit;
	query($node, 'SELECT canopy_summit.apply_webhooks()');
	applied();
	is(states(), 'applied 3', 'and is applied then');
	truncate_webhooks($node);
	return;
}

# A batch is bounded by the bytes of its bodies, but takes one in any case.
sub large
{
	query($node, q{ALTER SYSTEM SET canopy_summit.receiver_max_body_size = '32MB'});
	$node->reload;
	wait_until('the setting counts', sub { query($node, 'SHOW canopy_summit.receiver_max_body_size') eq '32MB' });
	is( query($node, <<~'SQL'),
		SELECT outcome
		FROM wh('canopy',
			convert_to('{"event_type": "DATA_UPDATED", "pull_id": "large", "data": {"x": "' || repeat('x', 17000000)
				|| '"}}',
				'UTF8'))
		SQL
		'stored', 'one larger than a batch is stored');
	is( receive($node, 'canopy', { event_type => 'COMPLETE', pull_id => 'behind it' }), '200 stored',
		'and one behind it');
	applied();
	is(states(), 'applied 2', 'both are applied');
	query($node, 'ALTER SYSTEM RESET canopy_summit.receiver_max_body_size');
	$node->reload;
	truncate_webhooks($node);
	return;
}

# No lock that SQL can name is in the way of applying.
sub strangers_locks
{
	query($node, 'CREATE ROLE stranger');
	my $session = open_session($node);
	$session->query_safe('SET SESSION AUTHORIZATION stranger');
	is( $session->query_safe(<<~'SQL'),
		SELECT count(pg_advisory_lock(c.oid::integer, n)) FROM pg_class c, generate_series(0, 1023) AS n
		WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'canopy_summit')
			AND relname = 'policy_status'
		SQL
		1024,
		'whoever may connect locks what it can name');
	receive($node, 'summit', summit("locked $_", "P$_")) for 1 .. 20;
	soon_ok('signed events are applied all the same', sub { states() eq 'applied 20' }, 60);
	$session->quit;
	truncate_webhooks($node);
	return;
}

# An operator applies an event and does not commit: what is about the same policy waits, and nothing else.
sub held_subject
{
	my $most = 250; # more than the worker takes at once
	receive($node, 'summit', summit('first', 'HELD'));
	applied();
	query($node, q{UPDATE canopy_summit.webhook SET state = 'quarantined'});
	my $session = open_session($node);
	is($session->query_safe(<<~'SQL'), 'applied', 'one is being applied');
		BEGIN; SELECT canopy_summit.apply_webhook(webhook_id) FROM canopy_summit.webhook
		SQL
	is( query($node, <<~'SQL'), 't|0',
		SELECT count(*) > 0, count(*) FILTER (WHERE objsubid IN (1, 2)) FROM pg_locks WHERE locktype = 'advisory'
		SQL
		'under locks that SQL cannot name');
	is(scalar sqlstate_of($node, <<~'SQL'), '42501', 'nor take');
		SET ROLE stranger; SELECT canopy_summit.lock_subjects('{a}', true)
		SQL
	receive_all($node, map { [ 'summit', summit("held $_", 'HELD') ] } 1 .. $most);
	receive($node, 'summit', summit('free', 'FREE'));
	receive($node, 'canopy', $complete);
	soon_ok('those about something else are applied', sub { states() eq "applied 2, quarantined 1, stored $most" }, 60);
	is(query($node, 'SELECT canopy_summit.apply_webhooks()'), 0, 'the others are not waited for');
	$session->query_safe('COMMIT');
	$session->quit;
	soon_ok('and are applied after it', sub { states() eq 'applied ' . ($most + 3) }, 60);
	is(query($node, 'SELECT count(*) FROM canopy_summit.policy_status'), 2, 'each to its policy');
	truncate_webhooks($node);
	return;
}

sub notification
{
	my $session = open_session($node);
	$session->query('LISTEN canopy_summit');
	receive($node, 'canopy', { event_type => 'TOLD "\\', pull_id => 'secret pull', account_identifier => 'me' });
	applied();
	my $heard = wait_until(
		'it is told',
		sub {
			my $text = $session->query('SELECT 1');
			$text =~ /notification/ ? $text : $session->{stdout} . $text =~ /notification/ ? $session->{stdout} : '';
		});
	my ($payload) = $heard =~ /with payload "(.*)" received/;
	my $told = JSON::PP->new->decode($payload);
	is_deeply(
		$told, { webhook_id => $told->{webhook_id}, server => 'canopy', event => 'unknown' },
		'what is applied is told, and nothing that the provider is free to write');
	is(query($node, <<~"SQL"), 'applied', 'when it is visible');
		SELECT state FROM canopy_summit.webhook WHERE webhook_id = $told->{webhook_id}
		SQL
	$session->quit;
	truncate_webhooks($node);
	return;
}

# Events, each in several copies, in many sessions.
sub flood
{
	my $events = scaled(1000);
	my @bodies =
	  map { ([ 'canopy', { %$complete, pull_id => "f$_", pad => 'x' x 300 } ], [ 'summit', summit("f$_", "P$_") ]) }
	  1 .. $events / 2;
	my @copies = shuffle map {
		my $event = $_;
		map {
			$event->[0] eq 'summit'
			  ? [ 'summit', { %{ $event->[1] }, attempt => $_ } ]
			  : [ 'canopy', $event->[1], $_ * 60 ]
		} 1 .. 5
	} @bodies;
	my @sessions;
	my $dir = PostgreSQL::Test::Utils::tempdir('flood');
	my $number = 0;
	my $multixacts = multixacts();
	push @{ $sessions[ $number++ % 32 ] }, $_ for @copies;
	my @running = map {
		my $file = "$dir/$_";
		append_to_file(
			$file, join '',
			map { "SELECT outcome FROM wh('$_->[0]', " . body_of($_->[1]) . ", '" . ($_->[2] // 0) . " s');\n" }
			  @{ $sessions[$_] });
		my ($out, $err) = ('', '');
		[   IPC::Run::start(
				[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $file ], '>', \$out, '2>', \$err),
			\$out,
			\$err ];
	} 0 .. $#sessions;
	$_->[0]->finish for @running;
	is(join('', map { ${ $_->[2] } } @running), '', 'no session has an error');
	my %outcomes;
	$outcomes{$_}++ for map { split /\n/, ${ $_->[1] } } @running;
	is_deeply(
		\%outcomes, { stored => scalar @bodies, duplicate => 4 * @bodies },
		'of five copies at once one is stored');
	applied();
	is(states(), 'applied ' . @bodies, 'each is applied');
	is( query($node, 'SELECT count(*), count(DISTINCT params) FROM canopy_summit.job'), join('|', (@bodies / 2) x 2),
		'with one effect');
	is(query($node, <<~'SQL'), join('|', (@bodies / 2) x 2), 'and one');
		SELECT count(*), count(DISTINCT delivery_id) FROM canopy_summit.status_event
		SQL
	is(multixacts(), $multixacts, 'and none leaves an index entry that only a vacuum can clean');
	truncate_webhooks($node);
	return;
}

# The next multixact: a row has one when a transaction locks it and a subtransaction updates it.
sub multixacts
{
	return query($node, q{CHECKPOINT}) . query($node, q{SELECT next_multixact_id FROM pg_control_checkpoint()});
}

sub retention
{
	my @bodies = map { { event_type => "R$_", pull_id => 'r' } } 1 .. 4;
	receive($node, 'canopy', $_) for @bodies;
	applied();
	query($node, <<~'SQL');
		UPDATE canopy_summit.webhook SET state = 'quarantined' WHERE event = 'R1';
		UPDATE canopy_summit.webhook
		SET received_at = received_at - CASE event WHEN 'R4' THEN interval '25 hours'
			WHEN 'R3' THEN interval '27 hours' ELSE interval '1 year' END
		SQL
	query($node, <<~'SQL');
		INSERT INTO canopy_summit.retention_rule VALUES ('webhook', '30 days'); SELECT canopy_summit.wake()
		SQL
	soon_ok('an old applied webhook goes', sub { query($node, <<~'SQL') eq 'R1 R3 R4' }, 10);
		SELECT string_agg(event, ' ' ORDER BY event) FROM canopy_summit.webhook
		SQL
	query($node, q{UPDATE canopy_summit.retention_rule SET keep = '0'; SELECT canopy_summit.wake()});
	soon_ok('but none that may come again, nor one that is not applied', sub { query($node, <<~'SQL') eq 'R1 R4' }, 10);
		SELECT string_agg(event, ' ' ORDER BY event) FROM canopy_summit.webhook
		SQL
	query($node, 'DELETE FROM canopy_summit.retention_rule');
	truncate_webhooks($node);
	return;
}

# The worker, or the server, dies amid applying, while webhooks come: as it notes what it has applied, or before.
sub kills
{
	my ($sent, $hits, $lost) = (0, 0, 0);
	my $count = scaled(200);
	# The tables of which one stops, and how their rows name the webhook.
	my %stops = (webhook => '{subject}', job => '{params,pullId}', status_event => '{delivery_id}');
	my @stops = sort keys %stops;

	# Applying stops at one of the webhooks, amid others, until the test lets it go on.
	query($node, <<~'SQL');
		CREATE TABLE strike (place text, subject text);
		INSERT INTO strike VALUES ('', '');
		CREATE FUNCTION stop_at() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$ BEGIN
			IF (TG_TABLE_NAME, to_jsonb(NEW) #>> TG_ARGV[0]::text[]) IN (SELECT place, subject FROM public.strike) THEN
				PERFORM pg_advisory_xact_lock_shared(2002);
			END IF;
			RETURN NEW;
		END $$;
		SQL
	my $trigger = 'CREATE TRIGGER stop_at BEFORE %s ON canopy_summit.%s FOR EACH ROW EXECUTE FUNCTION stop_at(%s)';
	query($node, sprintf $trigger, $_ eq 'webhook' ? 'UPDATE' : 'INSERT', $_, "'$stops{$_}'") for @stops;
	for my $turn (1 .. $count)
	{
		my $file = PostgreSQL::Test::Utils::tempdir('send') . '/sql';
		my @numbers = $sent + 1 .. $sent + 200;
		append_to_file(
			$file,
			join '',
			map {
				my $n = $_;
				map { "SELECT outcome FROM wh('$_->[0]', " . body_of($_->[1]) . ");\n" }
				  [ 'canopy', { %$complete, pull_id => "k$n" } ],
				  [ 'summit', summit("k$n", 'P' . $n % 7) ]
			} @numbers);
		my $gate = open_session($node, on_error_stop => 0);
		$gate->query('SELECT pg_advisory_lock(2002)');
		my $stop = $stops[ $turn % @stops ];
		query($node, "UPDATE strike SET place = '$stop', subject = 'k" . ($sent + 1 + int rand @numbers) . q{'});
		my ($out, $err) = ('', '');
		my $sender = IPC::Run::start(
			[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file ],
			'>', \$out, '2>', \$err);
		my $pid = wait_until('the worker is applying', sub { query($node, <<~'SQL') });
			SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 2002 AND NOT granted
			SQL
		$hits++ if query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) > 0;
		if ($turn % 4 == 0) { $node->stop('immediate'); $node->start }
		else { kill KILL => $pid }
		$gate->{run}->kill_kill;
		eval { $gate->{run}->finish };
		eval { $sender->finish };
		my $known;
		my $of_turn = "substr(coalesce(delivery_key, subject), 2)::bigint > $sent";
		$of_turn = "SELECT count(*) FROM canopy_summit.webhook WHERE $of_turn";
		wait_until(
			'the server is there again',
			sub {
				defined($known = eval { query($node, $of_turn) });
			});
		my $answered = () = $out =~ /^stored$/mg;
		$lost += $answered - $known if $answered > $known;
		# The sender sends again what was not answered, and, as it cannot tell, what was.
		wait_until(
			'all is answered',
			sub {
				eval { $node->psql('postgres', '', extra_params => [ '-q', '-f', $file ], on_error_die => 1); 1 }
			});
		$sent += @numbers;
	}
	applied();
	query($node, 'DROP FUNCTION stop_at CASCADE; DROP TABLE strike');
	is($hits, $count, "all $count kills hit webhooks that were not applied yet");
	is($lost, 0, 'what was answered is there after the kill');
	is( states(), 'applied ' . 2 * $sent,
		'every webhook that was sent until it was answered is there once, and applied');
	is(query($node, <<~'SQL'), "$sent|$sent", 'each with one effect');
		SELECT count(*), count(DISTINCT params) FROM canopy_summit.job WHERE operation = 'get-pull-by-id'
		SQL
	is(query($node, <<~'SQL'), "$sent|$sent|7", 'and one');
		SELECT count(*), count(DISTINCT delivery_id), count(DISTINCT policy_status_id)
		FROM canopy_summit.status_event
		SQL
	truncate_webhooks($node);
	return;
}

sub without_worker
{
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->restart;
	receive($node, 'canopy', { %$complete, pull_id => "w$_" }) for 1 .. 5;
	is(query($node, 'SELECT canopy_summit.apply_webhooks(2)'), 2, 'some are applied by hand');
	is(states(), 'applied 2, stored 3', 'the oldest');
	is(query($node, <<~'SQL'), 3, 'the rest');
		BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT canopy_summit.apply_webhooks(); COMMIT
		SQL
	is(query($node, <<~'SQL'), 0, 'then none is left');
		BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT canopy_summit.apply_webhooks(); COMMIT
		SQL
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), 5, 'what they ask for is enqueued');
	return;
}
