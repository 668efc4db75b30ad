# Does every certificate that ends give its notices, once each, by the date where the property is?
use strict;
use warnings;

use CanopyTest;
use CanopyWebhook;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = test_seed();
my $node = new_node();

create_webhook_servers($node);
define_helpers();

subtest 'one certificate' => \&steps;
subtest 'after an outage' => \&outage;
subtest 'rolled back, or not acknowledged' => \&again;
subtest 'what withdraws a notice' => \&withdrawn;
subtest 'another policy' => \&replaced;
subtest 'clocks that change' => \&clocks;
subtest 'without a time zone' => \&nowhere;
subtest 'what is refused' => \&refused;
subtest 'several sessions' => \&sessions;
subtest 'many sessions' => \&crowd;
subtest 'whoever may, and what they see' => \&levels;
subtest 'summit.renewal_due' => \&renewals;
subtest 'server_health' => \&health;
subtest 'a server that is renamed' => \&renamed;
subtest 'random calendars' => \&calendars;
done_testing();

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

# told(): an event of a policy at property P, with its further ids. asked(): what summit_notice_due() would return at a
# time, as the owner sees it. act(): what the oracle's calendars do.
sub define_helpers
{
	query(<<~'SQL');
		CREATE SERVER second FOREIGN DATA WRAPPER summit_api
		OPTIONS (environment 'sandbox', base_url 'https://127.0.0.1:9', auth_url 'https://127.0.0.1:9');
		CREATE FUNCTION told(number text, status text, at timestamptz, effective date, expiry date,
			ids jsonb DEFAULT '{"property_id": "P", "unit_id": "U", "lease_id": "L", "tenant_id": "T"}',
			type text DEFAULT 'CGL') RETURNS bigint LANGUAGE plpgsql AS $$
		DECLARE
			id bigint := canopy_summit.policy_status_of('summit', number, ids);
		BEGIN
			INSERT INTO canopy_summit.status_event (status_event_id, policy_status_id, server, source, status,
				occurred_at, recorded_at, policy_type, effective_date, expiry_date)
			VALUES (nextval('canopy_summit.status_event_id_seq'), id, 'summit', 'webhook', status, at, now(), type,
				effective, expiry);
			PERFORM canopy_summit.policy_status_fold(ARRAY[id]);
			RETURN id;
		END
		$$;
		CREATE FUNCTION asked(at timestamptz, cadence int[] DEFAULT '{30,15,5}', max_rows int DEFAULT 100)
		RETURNS TABLE (notice_id bigint, notice text) LANGUAGE sql AS $$
			SELECT n.notice_id, concat_ws('/', n.policy_number, n.due_on, n.expiry_date, n.step)
			FROM canopy_summit.notices_on(at, cadence, max_rows, 'summit', true) AS n
		$$;
		CREATE FUNCTION act(act jsonb) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE
			found text := '';
			at timestamptz := act ->> 'at';
			type text := CASE act ->> 'number' WHEN 'property' THEN 'Property' ELSE 'CGL' END;
			ids jsonb := '{"property_id": "P", "unit_id": "U", "lease_id": "L"}'::jsonb || CASE act ->> 'number'
				WHEN 'other' THEN '{}' WHEN 'mate' THEN '{"tenant_id": "T2"}' ELSE '{"tenant_id": "T1"}' END::jsonb;
		BEGIN
			IF act ->> 'do' = 'zone' THEN
				INSERT INTO summit.property (server, property_id, time_zone) VALUES ('summit', 'P', act ->> 'zone')
				ON CONFLICT (property_id, server) DO UPDATE SET time_zone = EXCLUDED.time_zone;
			ELSIF act ->> 'do' = 'wait' THEN
				UPDATE canopy_summit.notice SET taken_at = taken_at - (act ->> 'minutes')::int * interval '1 minute';
			ELSIF act ->> 'status' = 'fact' THEN
				INSERT INTO summit.certificate_fact (server, policy_number, policy_type, effective_date, expiry_date,
					observed_at, property_id, unit_id, lease_id, tenant_id)
				VALUES ('summit', act ->> 'number', type, (act ->> 'effective')::date, (act ->> 'expiry')::date, at,
					'P', 'U', 'L', ids ->> 'tenant_id');
			ELSIF act ->> 'do' = 'event' THEN
				PERFORM told(act ->> 'number', act ->> 'status', at, (act ->> 'effective')::date,
					(act ->> 'expiry')::date, ids, type);
			ELSE
				BEGIN
					SELECT coalesce(string_agg(a.notice, ' ' ORDER BY a.notice COLLATE "C"), ''),
						count(canopy_summit.notice_end(a.notice_id, 'summit')) FILTER (WHERE act ->> 'then' = 'done'
							OR act ->> 'then' = 'some' AND split_part(a.notice, '/', 4)::int % 2 = 0)
					INTO found
					FROM asked(at, ARRAY(SELECT k::int FROM jsonb_array_elements_text(act -> 'cadence') AS k)) AS a;
					IF act ->> 'then' = 'rollback' THEN
						RAISE EXCEPTION USING ERRCODE = 'triggered_action_exception';
					END IF;
				EXCEPTION WHEN triggered_action_exception THEN
					NULL;
				END;
				RETURN found;
			END IF;
			RETURN NULL;
		END
		$$;
		SQL
	return;
}

# Nothing but a property in a time zone.
sub empty
{
	my ($zone) = @_;
	query(<<~"SQL");
		TRUNCATE canopy_summit.policy_status, canopy_summit.status_event, canopy_summit.certificate,
			canopy_summit.notice, summit.certificate_fact, summit.property;
		INSERT INTO summit.property (server, property_id, time_zone, language)
		SELECT 'summit', 'P', '$zone', 'fr-CA' WHERE '$zone' <> ''
		SQL
	return;
}

# An event; the term is that of 2026 unless given.
sub told
{
	my ($number, $status, $at, %more) = @_;
	my ($effective, $expiry) = @{ $more{term} // [ '2026-01-01', '2027-01-01' ] };
	my $arguments = join ', ', "'$number'", "'$status'", "'$at'", "'$effective'", "'$expiry'",
	  (map { "$_ => '$more{$_}'" } grep { exists $more{$_} } qw(ids type));
	return query("SELECT told($arguments)");
}

# The notices of one time, "number/due_on/expiry_date/step" with commas between; all are acknowledged if wanted.
sub asked
{
	my ($at, %more) = @_;
	my $cadence = $more{cadence} // '{30,15,5}';
	my $done = $more{leave} ? '' : ", canopy_summit.notice_end(a.notice_id, 'summit')";
	my $found = query("SELECT a.notice$done FROM asked('$at', '$cadence') AS a ORDER BY 1");
	return join ',', map { s/\|t$//r } split /\n/, $found;
}

sub steps
{
	empty('America/Vancouver');
	told('A', 'verified', '2026-01-01Z');
	my %expected = (
		'2026-12-01' => '', '2026-12-02' => 'A/2026-12-02/2027-01-01/30', '2026-12-16' => '',
		'2026-12-17' => 'A/2026-12-17/2027-01-01/15', '2026-12-27' => 'A/2026-12-27/2027-01-01/5');
	for my $day (1 .. 31)
	{
		my $date = sprintf '2026-12-%02d', $day;
		is(asked("$date 20:00Z"), $expected{$date} // '', "$date");
		is(asked("$date 21:00Z"), '', '... and once');
	}
	is( asked('2027-01-01 20:00Z', cadence => '{2}'), '',
		'on the day on which it is not covered any more there is none');
	is( query('SELECT count(*), count(done_at), string_agg(DISTINCT server, $$ $$) FROM canopy_summit.notice'),
		'3|3|summit', 'three rows are left');
	told('B', 'verified', '2026-01-01Z', ids => '{"property_id": "P"}');
	is( asked('2026-12-31 20:00Z', cadence => '{1}'), join(',', map { "$_/2026-12-31/2027-01-01/1" } qw(A B)),
		'a day before is not too late');
	# Of 29 February.
	told('C', 'verified', '2027-06-01Z', term => [ '2027-03-01', '2028-02-29' ], ids => '{"property_id": "P"}');
	is( asked('2028-02-28 20:00Z', cadence => '{366,1}'), 'C/2028-02-28/2028-02-29/1',
		'a term that ends on 29 February');
	return;
}

sub outage
{
	empty('America/Vancouver');
	told('A', 'verified', '2026-01-01Z');
	is(asked('2026-12-28 20:00Z'), 'A/2026-12-27/2027-01-01/5', 'of three steps only the nearest comes');
	is(asked('2026-12-29 20:00Z'), '', 'the others never do');
	is(asked('2026-12-29 20:00Z', cadence => '{30,15}'), '', 'by no cadence');
	is(asked('2026-12-29 20:00Z', cadence => '{3}'), 'A/2026-12-29/2027-01-01/3', 'one that is nearer does');

	# At noon in UTC, the day after has begun elsewhere, and with it a step that is nearer still.
	empty('UTC');
	told('A', 'verified', '2026-01-01Z');
	is(asked('2026-12-23 12:00Z', cadence => '{9}'), 'A/2026-12-23/2027-01-01/9', 'a step of one cadence');
	is(asked('2026-12-23 12:00Z', cadence => '{10,8}'), '', '... goes before one of another that is farther');

	empty('America/Vancouver');
	told('A', 'verified', '2026-01-01Z');
	is(asked('2026-12-05 20:00Z', leave => 1), 'A/2026-12-02/2027-01-01/30', 'a step that nobody acknowledges');
	is(asked('2026-12-20 20:00Z', leave => 1), 'A/2026-12-17/2027-01-01/15', '... is superseded by the next one');
	query(q{UPDATE canopy_summit.notice SET taken_at = now() - interval '2 hours'});
	is(asked('2026-12-20 20:00Z'), 'A/2026-12-17/2027-01-01/15', '... and only that comes again');
	query(q{UPDATE canopy_summit.notice SET taken_at = now() - interval '2 hours'});
	is(asked('2026-12-20 20:00Z', cadence => '{30}'), '', '... by a cadence without it, too');
	return;
}

sub again
{
	my $notice = 'A/2026-12-02/2027-01-01/30';
	my $move = sub { query("UPDATE canopy_summit.notice SET taken_at = taken_at - interval '$_[0]'") };
	empty('America/Vancouver');
	my $id = told('A', 'verified', '2026-01-01Z');
	for my $times (1 .. 2)
	{
		is(query("BEGIN; SELECT notice FROM asked('2026-12-02 20:00Z'); ROLLBACK"), $notice, 'taken, and rolled back');
	}
	is(query('SELECT count(*) FROM canopy_summit.notice'), 0, 'is not taken');
	is(asked('2026-12-02 20:00Z', leave => 1), $notice, 'it comes again');
	is(asked('2026-12-02 20:01Z'), '', 'once');
	$move->('59 minutes');
	is(asked('2026-12-02 21:00Z'), '', 'not within the hour');
	$move->('1 minute');
	is(query("BEGIN; SELECT notice FROM asked('2026-12-02 22:00Z'); ROLLBACK"), $notice, 'then it does');
	is(asked('2026-12-02 22:00Z', leave => 1), $notice, '... and again where that was rolled back');
	is(asked('2026-12-02 22:00Z'), '', '... for another hour');
	my ($notice_id) = query('SELECT notice_id FROM canopy_summit.notice');
	is(query("BEGIN; SELECT summit_notice_done($notice_id); ROLLBACK"), 't', 'acknowledged, and rolled back');
	is( scalar sqlstate_of($node, "SELECT summit_notice_done($notice_id, 'second')"), 'P0002',
		'not as another server\'s');
	is( query(q{SELECT count(*) FROM canopy_summit.notices_on('2026-12-20Z', '{15}', 1, 'second', true)}), 0,
		'nor is it given there');
	$move->('2 hours');
	is(asked('2026-12-02 22:00Z', leave => 1), $notice, '... is not acknowledged');
	is(query("SELECT summit_notice_done($notice_id)"), 't', 'acknowledged');
	is(query("SELECT summit_notice_done($notice_id)"), 'f', 'twice');
	$move->('2 days');
	is(asked('2026-12-03 20:00Z'), '', 'it never comes again');
	is(query('SELECT notice_id, policy_status_id FROM canopy_summit.notice'), "$notice_id|$id", 'it was the same row');
	return;
}

sub withdrawn
{
	my @first = ('A', 'verified', '2026-01-01Z');
	for my $case (
		[ 'a lapse', '', [ 'A', 'lapsed', '2026-12-03Z' ] ],
		[ 'a renewal', '', [ 'A', 'submitted', '2026-12-03Z', term => [ '2027-01-01', '2028-01-01' ] ] ],
		[   'a renewal that begins late', '', [ 'A', 'verified', '2026-12-03Z', term => [ '2027-02-01', '2028-01-01' ] ]
		],
		[ 'a new expiry', '', [ 'A', 'verified', '2026-12-03Z', term => [ '2026-01-01', '2027-06-01' ] ] ],
		[   'a new expiry that is near', 'A/2026-12-05/2027-01-04/30',
			[ 'A', 'verified', '2026-12-03Z', term => [ '2026-01-01', '2027-01-04' ] ] ],
		[ 'nothing new', 'A/2026-12-02/2027-01-01/30', [ 'A', 'verified', '2026-12-03Z' ] ])
	{
		my ($name, $expected, $event) = @$case;
		empty('America/Vancouver');
		told(@first);
		told(@$event);
		is(asked('2026-12-05 20:00Z'), $expected, "$name before it is taken");

		empty('America/Vancouver');
		told(@first);
		isnt(asked('2026-12-02 20:00Z', leave => 1), '', '... and after it was');
		told(@$event);
		query(q{UPDATE canopy_summit.notice SET taken_at = taken_at - interval '1 day'});
		is(asked('2026-12-05 20:00Z'), $expected, '... not acknowledged');
	}
	empty('America/Vancouver');
	told(@first);
	told('A', 'lapsed', '2026-12-03Z');
	is(asked('2026-12-05 20:00Z'), '', 'what has lapsed gives none');
	told('A', 'reinstated', '2026-12-06Z');
	is(asked('2026-12-07 20:00Z'), 'A/2026-12-02/2027-01-01/30', 'until it comes back');
	told('A', 'lapsed', '2026-12-08Z');
	told('A', 'reinstated', '2026-12-09Z');
	is(asked('2026-12-10 20:00Z'), '', '... without what was acknowledged');
	# What only a fact tells of: of it no event will come.
	query(<<~'SQL');
		INSERT INTO summit.certificate_fact (policy_number, property_id, effective_date, expiry_date, source)
		VALUES ('F', 'P', '2026-01-01', '2027-01-01', 'manual')
		SQL
	is(asked('2026-12-10 20:00Z'), 'F/2026-12-02/2027-01-01/30', 'a certificate of facts alone gives one');
	query(<<~'SQL');
		INSERT INTO summit.certificate_fact (policy_number, property_id, effective_date, expiry_date, source)
		VALUES ('F', 'P', '2027-01-01', '2028-01-01', 'manual')
		SQL
	is(asked('2026-12-18 20:00Z'), 'A/2026-12-17/2027-01-01/15', 'a fact that tells of a renewal withdraws it');
	return;
}

# The same lease and type, under another number.
sub replaced
{
	my @next = (term => [ '2027-01-01', '2028-01-01' ]);
	my $notice = 'A/2026-12-02/2027-01-01/30';
	my $ids = sub { return (ids => encode({ property_id => 'P', lease_id => 'L', @_ })) };
	for my $case (
		[ 'that covers the day', '', @next, $ids->(unit_id => 'U', tenant_id => 'T') ],
		[ 'that names fewer ids', '', @next, $ids->() ],
		[ 'that began before', '', term => [ '2026-12-01', '2027-12-01' ], $ids->() ],
		[ 'that begins a day late', $notice, term => [ '2027-01-02', '2028-01-01' ], $ids->() ],
		[ 'that ends with it', $notice, term => [ '2026-06-01', '2027-01-01' ], $ids->() ],
		[ 'of another type', $notice, @next, $ids->(), type => 'Property' ],
		[ 'of another tenant', $notice, @next, $ids->(tenant_id => 'T2') ],
		[ 'of another unit', $notice, @next, $ids->(unit_id => 'V') ],
		[ 'of another lease', $notice, @next, $ids->(lease_id => 'L2') ],
		[ 'of another property', $notice, @next, $ids->(property_id => 'Q') ],
		[ 'of the property as a whole', $notice, @next, ids => '{"property_id": "P"}' ])
	{
		my ($name, $expected, %event) = @$case;
		empty('America/Vancouver');
		told('A', 'verified', '2026-01-01Z');
		told('B', 'submitted', '2026-12-01Z', %event);
		is(asked('2026-12-05 20:00Z') =~ s/,?B[^,]*//r, $expected, "one $name");
	}
	empty('America/Vancouver');
	told('A', 'verified', '2026-01-01Z');
	told('B', 'submitted', '2026-12-01Z', @next, $ids->());
	told('B', 'lapsed', '2026-12-04Z', @next);
	is(asked('2026-12-05 20:00Z'), $notice, 'one that has lapsed');
	empty('America/Vancouver');
	told('A', 'verified', '2026-01-01Z', $ids->());
	told('B', 'submitted', '2026-12-01Z', @next, ids => '{"property_id": "P", "tenant_id": "L"}');
	is(asked('2026-12-05 20:00Z'), $notice, 'one of a tenant with the id of the lease');
	# Without a lease it is the tenant's.
	empty('America/Vancouver');
	my @tenant = (ids => '{"property_id": "P", "tenant_id": "T"}');
	told('A', 'verified', '2026-01-01Z', @tenant);
	told('B', 'submitted', '2026-12-01Z', @tenant, @next);
	told('C', 'verified', '2026-01-01Z', ids => '{"property_id": "P"}');
	told('D', 'submitted', '2026-12-01Z', ids => '{"property_id": "P"}', @next);
	is( asked('2026-12-05 20:00Z'), 'C/2026-12-02/2027-01-01/30',
		'without a lease, the tenant counts; without both, nobody');
	return;
}

# Days begin at another moment before and after; days that are asked about twice, or in the hour that there is not.
sub clocks
{
	for my $case (
		[ 'America/St_Johns', '2026-03-09', '2026-03-08T02:29:59Z', '2026-03-08T03:30:00Z' ],
		[ 'America/St_Johns', '2026-03-10', '2026-03-09T02:29:59Z', '2026-03-09T02:30:00Z' ],
		[ 'America/St_Johns', '2026-11-02', '2026-11-01T02:29:59Z', '2026-11-01T02:30:00Z' ],
		[ 'America/St_Johns', '2026-11-03', '2026-11-02T03:29:59Z', '2026-11-02T03:30:00Z' ],
		[ 'America/Vancouver', '2026-10-31', '2026-10-30T06:59:59Z', '2026-10-30T07:00:00Z' ],
		[ 'America/Vancouver', '2025-12-02', '2025-12-01T07:59:59Z', '2025-12-01T08:00:00Z' ],
		[ 'America/Vancouver', '2026-07-02', '2026-07-01T06:59:59Z', '2026-07-01T07:00:00Z' ],
		[ 'Pacific/Apia', '2012-01-01', '2011-12-30T09:59:59Z', '2011-12-30T10:00:00Z' ],
		[ 'Pacific/Apia', '2011-12-31', '2011-12-30T09:59:59Z', '2011-12-30T10:00:00Z' ],
		[ 'Pacific/Apia', '2021-04-05', '2021-04-03T09:59:59Z', '2021-04-03T10:00:00Z' ],
		[ 'Pacific/Apia', '2026-12-02', '2026-11-30T10:59:59Z', '2026-11-30T11:00:00Z' ])
	{
		my ($zone, $expiry, $before, $from) = @$case;
		# The day before: of 2011-12-30, which Apia has not had, nobody may ask.
		empty($zone);
		told('A', 'verified', '2000-01-01Z', term => [ '2000-01-01', $expiry ]);
		is(asked($before, cadence => '{1}'), '', "$zone, $expiry: not before the day");
		my $found = asked($from, cadence => '{1}');
		if ($expiry eq '2011-12-31')
		{
			is($found, '', '... a day that there is not, and then it is too late');
			next;
		}
		like($found, qr{^A/.*/1$}, '... but as soon as it has begun');
		is(asked($from, cadence => '{1}'), '', '... once');
	}
	# 01:30 comes twice.
	empty('America/St_Johns');
	told('A', 'verified', '2026-01-01Z', term => [ '2026-01-01', '2026-11-02' ]);
	is(asked('2026-11-01T04:00:00Z', cadence => '{1}'), 'A/2026-11-01/2026-11-02/1', 'the first 01:30');
	is(asked('2026-11-01T05:00:00Z', cadence => '{1}'), '', 'the second 01:30');
	# 02:30 does not come: the schedule fires a day later.
	empty('America/St_Johns');
	told('A', 'verified', '2026-01-01Z', term => [ '2026-01-01', '2026-03-18' ]);
	is(asked('2026-03-07T06:00:00Z', cadence => '{10}'), '', '02:30 on the day before');
	is(asked('2026-03-09T05:00:00Z', cadence => '{10}'), 'A/2026-03-08/2026-03-18/10', '02:30 on the day after');
	# Rules that change: whichever there were before, it is one notice, by the date as it is now.
	empty('Etc/GMT+8');
	told('A', 'verified', '2026-01-01Z', term => [ '2026-01-01', '2026-12-02' ]);
	is(asked('2026-12-01T07:30:00Z', cadence => '{1}'), '', 'by the old rules it is not the day yet');
	query(q{UPDATE summit.property SET time_zone = 'Etc/GMT+7'});
	is(asked('2026-12-01T07:30:00Z', cadence => '{1}'), 'A/2026-12-01/2026-12-02/1', 'by the new ones it is');
	query(q{UPDATE summit.property SET time_zone = 'Etc/GMT+8'});
	is(asked('2026-12-01T08:30:00Z', cadence => '{1}'), '', 'once by both');
	return;
}

sub nowhere
{
	empty('');
	told('A', 'verified', '2026-01-01Z');
	told('B', 'verified', '2026-01-01Z', ids => '{"tenant_id": "T"}');
	is(asked('2026-12-20 20:00Z'), '', 'without a time zone there is no notice');
	query(q{INSERT INTO summit.property (server, property_id, time_zone) VALUES ('summit', 'P', 'America/Vancouver')});
	is(asked('2026-12-20 20:00Z'), 'A/2026-12-17/2027-01-01/15', 'until there is one');
	is( scalar sqlstate_of($node, q{INSERT INTO summit.property (property_id) VALUES ('Q')}), '22023',
		'no property is without one');
	return;
}

sub refused
{
	for my $cadence ('{}', '{0}', '{30,0}', '{-5}', '{367}', '{3650}', '{30,NULL}', '{5,5}', '{{5},{6}}')
	{
		my ($sqlstate, undef, undef, $hint) = sqlstate_of($node, "SELECT * FROM summit_notice_due('$cadence')");
		is($sqlstate, '22023', "cadence $cadence");
		like($hint, qr/1 to 20 different numbers of days/, '... with a hint');
	}
	is(scalar sqlstate_of($node, 'SELECT * FROM summit_notice_due(' . $_->[0] . ')'), $_->[1], "not $_->[0]")
	  for (
		[ 'NULL', '22023' ],
		[ 'ARRAY(SELECT generate_series(1, 21))', '22023' ],
		[ q{'{5}', 0}, '22023' ], [ q{'{5}', 1001}, '22023' ], [ q{'{5}', NULL}, '22023' ],
		[ q{server => 'canopy'}, '42809' ], [ q{server => 'none'}, '42704' ]);
	is(scalar sqlstate_of($node, "SELECT summit_notice_done($_->[0])"), $_->[1], "nor acknowledged $_->[0]")
	  for ([ 'NULL', '22004' ], [ '0', 'P0002' ], [ q{1, 'canopy'}, '42809' ]);
	is( query('SELECT count(*) FROM summit_notice_due(ARRAY(SELECT generate_series(347, 366)), 1000)'), 0,
		'20 numbers up to 366 are taken');
	return;
}

# So many certificates of their own whose notice is due today.
sub due
{
	my ($count) = @_;
	empty('America/Vancouver');
	query(<<~"SQL");
		SELECT count(told('N' || n, 'verified', '2020-01-01Z', '2020-01-01',
			(now() AT TIME ZONE 'America/Vancouver')::date + 4,
			jsonb_build_object('property_id', 'P', 'lease_id', 'L' || n)))
		FROM generate_series(1, $count) AS n
		SQL
	return;
}

sub sessions
{
	my $take = 'SELECT policy_number FROM summit_notice_due(max_rows => 2) ORDER BY 1';
	my @sessions = map { open_session($node) } 1 .. 2;
	$_->query_safe(q{SET lock_timeout = '10s'; SET statement_timeout = '60s'}) for @sessions;
	my ($one, $two) = map {
		my $session = $_;
		sub { join ',', split /\n/, $session->query_safe($_[0]) }
	} @sessions;

	due(5);
	my %seen;
	$seen{$_}++ for split /,/, $one->("BEGIN; $take") =~ s/^BEGIN,?//r;
	$seen{$_}++ for split /,/, $two->("BEGIN; $take");
	is( join(' ', map { "$_:$seen{$_}" } sort keys %seen), 'N1:1 N2:1 N3:1 N4:1',
		'two sessions take two each, without waiting');
	is($two->($take), 'N5', '... and the last one');
	is($one->('SELECT count(*) FROM summit_notice_due()'), 0, '... and then nothing');
	$one->('COMMIT');
	$two->('ROLLBACK');
	is(query('SELECT count(*) FROM canopy_summit.notice'), 2, 'who rolls back leaves the rest');
	is($one->("BEGIN; SELECT count(*) FROM summit_notice_due()"), 3, '... to another');
	is($two->('BEGIN; SELECT count(*) FROM summit_notice_due()'), 0, '... and to no third one');
	$_->('COMMIT') for $one, $two;
	# Those that come again.
	query(q{UPDATE canopy_summit.notice SET taken_at = now() - interval '2 hours'});
	%seen = ();
	$seen{$_}++ for split /,/, $one->("BEGIN; $take");
	$seen{$_}++ for split /,/, $two->("BEGIN; $take");
	is(join(' ', map { "$_:$seen{$_}" } sort keys %seen), 'N1:1 N2:1 N3:1 N4:1', 'so it is when they come again');
	$one->('ROLLBACK');
	is($one->('BEGIN; SELECT count(*) FROM summit_notice_due()'), 3, 'and where one of them rolls back');
	# One that is being acknowledged is left alone.
	$_->('COMMIT') for $two, $one;
	query(q{UPDATE canopy_summit.notice SET taken_at = now() - interval '2 hours'});
	$two->('BEGIN; SELECT count(summit_notice_done(notice_id)) FROM canopy_summit.notice');
	is($one->('SELECT count(*) FROM summit_notice_due()'), 0, 'what another session acknowledges is not waited for');
	$two->('ROLLBACK');
	is($one->('SELECT count(*) FROM summit_notice_due()'), 5, '... and comes if it does not');
	# What one transaction takes has a limit.
	due(1002);
	is($one->('BEGIN; SELECT count(*) FROM summit_notice_due(max_rows => 1000)'), 1000, 'a transaction takes 1000');
	is($one->('SELECT count(*) FROM summit_notice_due(max_rows => 1000)'), 0, '... and no more');
	$one->('COMMIT');
	is($one->('SELECT count(*) FROM summit_notice_due(max_rows => 1000)'), 2, 'the next one the rest');
	$_->quit for @sessions;
	return;
}

# Sessions that take, acknowledge, or give up, all at once.
sub crowd
{
	my $count = scaled(5000);
	my $script = PostgreSQL::Test::Utils::tempdir('crowd') . '/script';

	due($count);
	query('CREATE TABLE IF NOT EXISTS sent (notice_id bigint)');
	append_to_file($script, <<~'SQL');
		\set give_up random(1, 4)
		BEGIN;
		WITH n AS MATERIALIZED (SELECT notice_id FROM summit_notice_due(max_rows => 7)), s AS (
			INSERT INTO sent SELECT notice_id FROM n)
		SELECT count(summit_notice_done(notice_id)) FROM n;
		\if :give_up = 1
		ROLLBACK;
		\else
		COMMIT;
		\endif
		SQL
	$node->command_ok(
		[   'pgbench', '--no-vacuum', '--client', 6, '--jobs', 2, '--transactions', 10 + int($count / 27),
			'--random-seed', $seed, '--file', $script, 'postgres' ],
		'6 sessions');
	is( query('SELECT count(*), count(DISTINCT notice_id), (SELECT count(*) FROM summit_notice_due()) FROM sent'),
		"$count|$count|0", "each of $count notices was sent once");
	return;
}

sub levels
{
	due(1);
	query(<<~'SQL');
		CREATE ROLE manages; CREATE ROLE manages_and_reads; CREATE ROLE reads; CREATE ROLE fetches;
		SELECT canopy_summit.grant_access(r::regrole, l)
		FROM (VALUES ('manages', 'manager'), ('manages_and_reads', 'manager'), ('manages_and_reads', 'pii_reader'),
			('reads', 'pii_reader'), ('fetches', 'fetcher')) AS g(r, l);
		GRANT USAGE ON FOREIGN SERVER summit TO manages_and_reads, reads;
		UPDATE canopy_summit.policy_status SET tenant_id = 'Doe, Jane'
		SQL
	my $take =
		'SELECT server, property_id, unit_id, lease_id, tenant_id, policy_number, step, due_on - current_date < 2,'
	  . ' expiry_date - due_on, language FROM summit_notice_due()';
	is(scalar sqlstate_of($node, "SET ROLE manages; $take"), '42501', 'a manager needs the server');
	query('GRANT USAGE ON FOREIGN SERVER summit TO manages');
	is( query("BEGIN; SET ROLE manages; $take; ROLLBACK"), 'summit|P||L1|***|***|5|t|5|fr-CA',
		'a manager sees neither the policy number nor what does not look like an id');
	is( query("BEGIN; SET ROLE manages_and_reads; $take; ROLLBACK"), 'summit|P||L1|Doe, Jane|N1|5|t|5|fr-CA',
		'who may read personal data, too, sees all');
	is( query('SET ROLE manages; SELECT summit_notice_done(notice_id) FROM summit_notice_due()'), 't',
		'and acknowledges');
	is(query('SET ROLE manages; SELECT policy_number, property_id FROM summit.renewal_due'), '***|P', 'a view, too');
	is( query('SET ROLE reads; SELECT policy_number, tenant_id FROM summit.renewal_due'), 'N1|Doe, Jane',
		'and a reader');
	for my $role (qw(reads fetches))
	{
		is(scalar sqlstate_of($node, "SET ROLE $role; SELECT $_"), '42501', "level of $role may not: $_")
		  for 'count(*) FROM summit_notice_due()', 'summit_notice_done(1)';
	}
	is(scalar sqlstate_of($node, "SET ROLE manages; SELECT $_"), '42501', "nor a manager: $_")
	  for '* FROM canopy_summit.notice', q{canopy_summit.notices_on(now(), '{5}', 1, 'summit', true)},
	  q{canopy_summit.notice_end(1, 'summit')};
	return;
}

sub renewals
{
	my %ids = map { ($_ => qq({"property_id": "P", "lease_id": "$_"})) } 'A' .. 'J';
	my $day = sub { return "'" . $_[0] . " days'::interval" };
	my $zone = 'America/Vancouver';
	my $today = query("SELECT (now() AT TIME ZONE '$zone')::date");
	my $date = sub { my ($days) = @_; return query("SELECT '$today'::date + $days") };
	# Noon there, so many days from today.
	my $noon = sub { return query("SELECT ('$today'::date + $_[0] + time '12:00') AT TIME ZONE '$zone'") };
	my $term = sub {
		my ($number, $ends, @more) = @_;
		return told(
			$number, 'verified', '2020-01-01Z', ids => $ids{$number}, term => [ '2020-01-01', $date->($ends) ],
			@more);
	};
	my $renew = sub {
		my ($number, $ends, $uploaded, $as) = @_;
		my $id = told(
			$as // $number, 'submitted', $noon->($uploaded), ids => $ids{$number},
			term => [ $date->($ends), $date->($ends + 365) ]);
		query(<<~"SQL");
			WITH u AS (INSERT INTO summit.upload (upload_id, server, owner, status, uploaded_at)
				VALUES (nextval('canopy_summit.upload_id_seq'), 'summit', 'x', 'accepted', '${\ $noon->($uploaded) }')
				RETURNING upload_id)
			UPDATE canopy_summit.certificate c SET upload_id = u.upload_id FROM u
			WHERE c.policy_status_id = $id AND c.effective_date = '${\ $date->($ends) }'
			SQL
	};

	empty($zone);
	$term->(@$_)
	  for (
		[ A => 20 ], [ B => 10 ], [ C => 10 ], [ D => 10 ], [ E => 0 ], [ F => 61 ], [ G => -60 ], [ H => -61 ],
		[ I => -5 ], [ J => 60 ]);
	$renew->(C => 10, -5);
	$renew->(D => 10, -4, 'D2');
	$renew->(I => -5, -10);
	told('L', 'verified', '2020-01-01Z', term => [ '2020-01-01', $date->(15) ]);
	told('L', 'lapsed', '2020-02-01Z', term => [ '2020-01-01', $date->(15) ]);
	told('N', 'verified', '2020-01-01Z', term => [ '2020-01-01', $date->(15) ], ids => '{"property_id": "none"}');
	told('O', 'verified', '2020-01-01Z', term => [ '2020-01-01', $date->(15) ], ids => '{"unit_id": "x"}');
	is( query(<<~"SQL"), join("\n",
		SELECT policy_number, send_by - '$today'::date, days_left,
			(uploaded_at AT TIME ZONE '$zone')::date - '$today'::date, state, left(problem, 12), expiry_date - send_by
		FROM summit.renewal_due WHERE server = 'summit' AND environment = 'sandbox' ORDER BY 1
		SQL
			'A|5|20||due||15', 'B|-5|10||not sent||15', 'C|-5|10|-5|sent||15', 'D|-5|10|-4|late||15',
			'E|-15|0||ended||15',
			'G|-75|-60||ended||15', 'J|45|60||due||15', 'L|0|15||lapsed||15', 'N|0||||its property|15',
			'O|0||||it names no |15'),
		'each in its state');
	# Corrected later, it was in time all the same; one that was not uploaded here is known since now.
	query(<<~"SQL");
		CREATE VIEW renewal AS SELECT c.*, p.policy_number FROM canopy_summit.certificate c
			JOIN canopy_summit.policy_status p USING (policy_status_id) WHERE c.upload_id IS NOT NULL;
		CREATE TABLE corrected AS
		SELECT (jsonb_populate_record(NULL::canopy_summit.certificate, to_jsonb(r)
			|| jsonb_build_object('known_from', now(), 'upload_id', (
				SELECT d.upload_id FROM renewal d WHERE d.policy_number = 'D2')))).*
		FROM renewal r WHERE r.policy_number = 'C';
		UPDATE canopy_summit.certificate c SET known_to = now() FROM corrected n
		WHERE n.policy_status_id = c.policy_status_id AND n.term = c.term;
		INSERT INTO canopy_summit.certificate SELECT * FROM corrected;
		DROP TABLE corrected;
		DROP VIEW renewal
		SQL
	is(query(q{SELECT state FROM summit.renewal_due WHERE policy_number = 'C'}), 'sent', 'the first upload counts');
	told('B', 'submitted', $noon->(-20), ids => $ids{B}, term => [ $date->(10), $date->(300) ]);
	is( query(
			q{SELECT state, uploaded_at > now() - interval '1 hour' FROM summit.renewal_due WHERE policy_number = 'B'}),
		'late|t',
		'of one that came otherwise, when it was known');
	return;
}

# British Columbia has stopped changing its clocks: which tzdata the server has, its own arithmetic says.
sub health
{
	my $offset = query(<<~'SQL');
		SELECT timestamp '2026-12-01 12:00' - (timestamptz '2026-12-01 12:00Z' AT TIME ZONE 'America/Vancouver')
		SQL
	my $problem = sub { return query(q{SELECT server, time_zone_problem FROM canopy_summit.server_health ORDER BY 1}) };
	like($offset, qr/^0[78]:00:00$/, "this server's Vancouver is $offset behind");
	# Debian has old names in a package of their own since 13.
	my @zones = grep { query("SELECT count(*) FROM pg_timezone_names WHERE name = '$_'") }
	  ('America/Vancouver', 'Canada/Pacific');
	for my $zone (@zones)
	{
		empty($zone);
		my $found = $problem->();
		if ($offset eq '07:00:00')
		{
			is($found, "canopy|\nsecond|\nsummit|", "$zone: there is nothing to tell");
			next;
		}
		like(
			$found, qr/^canopy\|\nsecond\|\nsummit\|tzdata is older than 2026b/,
			"$zone: it is told that tzdata is old");
	}
	empty('America/St_Johns');
	is($problem->(), "canopy|\nsecond|\nsummit|", 'elsewhere it does not matter');
	return;
}

sub renamed
{
	due(2);
	query('CALL canopy_summit.run_tasks()');
	is(query('SELECT policy_number FROM summit_notice_due(max_rows => 1)'), 'N1', 'one before');
	query(q{SELECT canopy_summit.rename_server('summit', 'other')});
	is( query(q{SELECT policy_number, server FROM summit_notice_due(server => 'other')}), 'N2|other',
		'while rows have the former name, another');
	is( query(q{SELECT summit_notice_done(notice_id, 'other') FROM canopy_summit.notice ORDER BY notice_id LIMIT 1}),
		't',
		'one of the former name is acknowledged');
	query('CALL canopy_summit.run_tasks()');
	is(query('SELECT DISTINCT server FROM canopy_summit.notice'), 'other', 'all follow');
	is(query(q{SELECT count(*) FROM summit_notice_due(server => 'other')}), 0, 'and none comes twice');
	query(q{SELECT canopy_summit.rename_server('other', 'summit')});
	query('CALL canopy_summit.run_tasks()');
	return;
}

sub calendars
{
	my $file = PostgreSQL::Test::Utils::tempdir('calendars') . '/calendars';
	my @oracle = ('python3', in_checkout('test/notices.py'));
	my $own = $node->config_data('--sharedir') . '/timezone';
	my $count = scaled(10000);
	my $judged;

	# Unless the server has its own rules, it has the system's.
	local $ENV{PYTHONTZPATH} = $own if -d $own;
	IPC::Run::run([ @oracle, 'generate', $seed, $count ], '>', $file) or die 'notices.py generate failed';
	IPC::Run::run([ @oracle, 'judge' ], '<', $file, '>', \$judged) or die 'notices.py judge failed';
	empty('');
	query(<<~"SQL");
		CREATE TABLE calendar (line jsonb);
		COPY calendar FROM '$file';
		CREATE TABLE answer (id int, place int, notices text);
		CREATE PROCEDURE play() LANGUAGE plpgsql AS \$\$
		DECLARE
			line jsonb;
		BEGIN
			FOR line IN SELECT c.line FROM calendar c LOOP
				INSERT INTO answer SELECT (line ->> 'id')::int, a.place, act(a.act)
				FROM jsonb_array_elements(line -> 'acts') WITH ORDINALITY AS a(act, place);
				DELETE FROM canopy_summit.policy_status;
				DELETE FROM canopy_summit.status_event;
				DELETE FROM canopy_summit.certificate;
				DELETE FROM canopy_summit.notice;
				DELETE FROM summit.certificate_fact;
				DELETE FROM summit.property;
				-- The locks of one transaction are limited.
				COMMIT;
			END LOOP;
		END
		\$\$
		SQL
	# The price of what is switched off must not call the JIT.
	query('SET enable_seqscan = off; SET jit = off; CALL play()');
	my $found = query(<<~'SQL');
		SELECT format('%s %s: %s', id, place, notices) FROM answer WHERE notices IS NOT NULL ORDER BY id, place
		SQL
	my @found = split /\n/, $found;
	my @judged = split /\n/, $judged =~ s/^\d+ \d+:\K $/ /gmr;
	my @differ = grep { ($found[$_] // '') ne $judged[$_] } 0 .. $#judged;
	is(scalar @found, scalar @judged, 'each was asked as often');
	cmp_ok(scalar(grep { /: \S/ } @judged), '>', $count, 'notices come');
	is(scalar @differ, 0, "$count calendars are as the oracle says") or diag join "\n", map {
		my ($id) = $judged[$_] =~ /^(\d+)/;
		("found:  $found[$_]", "oracle: $judged[$_]", grep { /"id": $id,/ } split /\n/, slurp_file($file))
	} @differ[ 0 .. ($#differ < 2 ? $#differ : 2) ];
	return;
}
