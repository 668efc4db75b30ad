# Do certificates cover the days that their histories say, in whatever order those come, and is it kept what was known?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyUpload;
use CanopyWebhook;
use IPC::Run ();
use JSON::PP ();
use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = test_seed();
# Without workers, webhooks are applied when the test says so.
my $node = new_node();
my $known = 'policy_number, term, effective_date, expiry_date, status, status_at, cover, failed_checks, is_newest';
my $rows = "concat_ws(' ', c.term, c.expiry_date, c.status, c.cover)";
my $deliveries = 0;

create_webhook_servers($node);
query($node, <<~'SQL');
	INSERT INTO summit.property (server, property_id, time_zone) VALUES ('summit', 'KEL-001', 'America/Vancouver')
	SQL

subtest 'four events in every order' => \&orders;
subtest 'what was known' => \&known;
subtest 'one second, one day' => \&edges;
subtest 'cancelled and renewed' => \&renewals;
subtest 'checks that fail' => \&checks;
subtest 'an upload that was not verified' => \&uploads;
subtest 'uploads of one policy at once' => \&together;
subtest 'facts' => \&facts;
subtest 'what facts add to what Summit has told' => \&added;
subtest 'a property that is told of later' => \&zones;
subtest 'facts that are refused' => \&refused;
subtest 'whoever may only insert, and whoever sees ***' => \&levels;
subtest 'two servers' => \&servers;
subtest 'a server that is renamed' => \&renamed;
subtest 'random histories' => \&histories;
subtest 'random histories as webhooks' => \&delivered;
done_testing();

# A delivery: what of policy, reason, checks and ids there is.
sub event
{
	my ($policy_number, $status, $at, %more) = @_;
	my $id = delete $more{delivery_id} // sprintf('d%05d', ++$deliveries);
	my $ids = delete $more{ids} // { property_id => 'KEL-001' };
	my %data = (
		policy => { policy_number => $policy_number, %{ delete $more{policy} // {} } },
		certificate_holder => { reference_ids => $ids },
		%more);
	return { delivery_id => $id, event => "policy.$status", occurred_at => $at, attempt => 1, data => \%data };
}

sub dates
{
	my ($effective, $expiry) = @_;
	return (policy => { effective_date => $effective, expiry_date => $expiry });
}

# Receives and applies them in this order, each for itself; the policy's terms then.
sub told
{
	my ($policy_number, @events) = @_;
	for my $event (@events)
	{
		receive($node, 'summit', event($policy_number, @$event));
		query($node, 'SELECT canopy_summit.apply_webhooks()');
	}
	return terms($policy_number);
}

sub terms
{
	my ($policy_number) = @_;
	return query($node, "SELECT $rows FROM summit.certificate c WHERE policy_number = '$policy_number' ORDER BY term");
}

sub uncovered
{
	my ($policy_number) = @_;
	return query($node, "SELECT uncovered FROM summit.uncovered_period WHERE policy_number = '$policy_number'");
}

# The four of the guide.
sub four
{
	my ($policy_number) = @_;
	return (
		event($policy_number, 'submitted', '2025-10-30T17:34:00Z', dates('2025-01-01', '2026-01-01')),
		event(
			$policy_number, 'verified', '2025-10-30T17:35:12Z',
			policy => { verified_at => '2025-10-30T17:35:00Z', verifier => 'carrier-api' },
			checks => [ { name => 'limits', result => 'pass' }, { name => 'endorsements', result => 'pass' } ]),
		event(
			$policy_number, 'lapsed', '2026-01-02T00:00:05Z',
			policy => { lapsed_at => '2026-01-02T00:00:00Z' },
			reason => { code => 'expiry' },
			last_known_coverage => { effective_date => '2025-01-01', expiry_date => '2026-01-01' }),
		event(
			$policy_number, 'reinstated', '2026-01-05T15:12:05Z',
			policy => { reinstated_at => '2026-01-05T15:12:00Z', new_expiry_date => '2027-01-01' },
			reason => { code => 'late_renewal' }));
}

sub permutations
{
	my (@of) = @_;
	return [] unless @of;
	return map {
		my $place = $_;
		map { [ $of[$place], @$_ ] } permutations(@of[ grep { $_ != $place } 0 .. $#of ])
	} 0 .. $#of;
}

sub orders
{
	my $number = 0;
	for my $order (permutations(0 .. 3))
	{
		my @events = four('O' . ++$number);
		# Some come twice, at once or at the end.
		my @delivered = map { ($events[$_]) x (1 + int rand 2) } @$order;
		push @delivered, $events[ rand @events ];
		for (@delivered)
		{
			receive($node, 'summit', $_);
			query($node, 'SELECT canopy_summit.apply_webhooks()') if rand() < 0.7;
		}
	}
	query($node, 'SELECT canopy_summit.apply_webhooks()');
	is( query($node, <<~'SQL'), '24|{[2026-01-01,2026-01-05)}|{[2025-01-01,2026-01-01),[2026-01-05,2027-01-01)}',
		SELECT count(*), uncovered, covered FROM summit.uncovered_period WHERE policy_number LIKE 'O%' GROUP BY 2, 3
		SQL
		'all orders leave the same gap');
	is( query($node, <<~"SQL"),
		SELECT count(*), $rows, basis, is_newest FROM summit.certificate c WHERE policy_number LIKE 'O%'
		GROUP BY 2, 3, 4 ORDER BY 2
		SQL
		"24|2025-01-01 2026-01-01 lapsed {[2025-01-01,2026-01-01)}|stated|f\n"
		  . '24|2026-01-05 2027-01-01 reinstated {[2026-01-05,2027-01-01)}|reinstated_at|t',
		'and the same terms');
	is( query($node, <<~'SQL'), '24|reinstated|2026-01-05|2027-01-01|late_renewal',
		SELECT count(*), status, effective_date, expiry_date, reason_code FROM summit.policy_status
		WHERE policy_number LIKE 'O%' GROUP BY 2, 3, 4, 5
		SQL
		'of which the policy has the newest');
	for (
		[ '2024-12-31', 0 ],
		[ '2025-01-01', 24 ],
		[ '2025-12-31', 24 ],
		[ '2026-01-01', 0 ],
		[ '2026-01-04', 0 ],
		[ '2026-01-05', 24 ],
		[ '2026-12-31', 24 ],
		[ '2027-01-01', 0 ])
	{
		my ($day, $count) = @$_;
		is( query($node, "SELECT count(*) FROM summit.covered_on('$day') WHERE policy_number LIKE 'O%'"),
			$count, "$count are covered on $day");
	}
	return;
}

sub known
{
	my @events = four('K');
	my (@moments, @then);
	my $see = sub {
		push @moments, query($node, 'SELECT clock_timestamp()');
		push @then, query($node, "SELECT $known FROM summit.certificate WHERE policy_number = 'K' ORDER BY term");
	};

	$see->();
	# The verification comes last.
	for (@events[ 0, 2, 3, 1 ])
	{
		receive($node, 'summit', $_);
		query($node, 'SELECT canopy_summit.apply_webhooks()');
		$see->();
	}
	is($then[0], '', 'before the first delivery nothing was known');
	is( query($node, "SELECT $known FROM summit.known_at('$moments[$_]') WHERE policy_number = 'K' ORDER BY term"),
		$then[$_], "what was known after $_ deliveries is known still") for 0 .. $#moments;
	is(scalar(grep { $then[$_] eq $then[ $_ - 1 ] } 1 .. 3), 0, 'each of three changed something');
	is($then[4], $then[3], 'a late one that changes neither status nor dates does not');
	is(query($node, <<~"SQL"), '|t', 'but the time of the verification, since it came');
		SELECT (SELECT verified_at FROM summit.known_at('$moments[3]') WHERE policy_number = 'K' AND NOT is_newest),
			(SELECT verified_at = '2025-10-30 17:35:00Z' FROM summit.known_at('$moments[4]')
				WHERE policy_number = 'K' AND NOT is_newest)
		SQL
	is( query($node, <<~'SQL'), 't|t|t',
		SELECT count(*) > 2, bool_and(known_from < known_to),
			count(*) FILTER (WHERE known_to = 'infinity') = count(DISTINCT term)
		FROM summit.certificate_history WHERE policy_number = 'K'
		SQL
		'the states follow each other');
	is(query($node, <<~'SQL'), 0, 'without overlap');
		SELECT count(*) FROM summit.certificate_history a JOIN summit.certificate_history b
			ON a.policy_status_id = b.policy_status_id AND a.term = b.term AND a.known_from < b.known_from
				AND b.known_from < a.known_to
		SQL
	my $states = query($node, 'SELECT count(*) FROM canopy_summit.certificate');
	receive($node, 'summit', $events[1]);
	query($node, <<~'SQL');
		SELECT canopy_summit.apply_webhooks();
		SELECT canopy_summit.policy_status_fold(array_agg(policy_status_id)) FROM canopy_summit.policy_status
		SQL
	is(query($node, 'SELECT count(*) FROM canopy_summit.certificate'), $states, 'what changes nothing leaves no state');
	return;
}

sub edges
{
	my $second = '2025-06-01T12:00:00Z';
	my @ties = (
		[ 'submitted', $second, dates('2025-01-01', '2026-01-01') ],
		[ 'verified', $second ],
		[ 'lapsed', $second, reason => { code => 'cancelled' } ],
		[ 'reinstated', $second ]);
	my %ends;
	my $number = 0;
	$ends{ told('T' . ++$number, @ties[@$_]) }++ for permutations(0 .. 3);
	is_deeply(
		\%ends,
		{ '2025-01-01 2026-01-01 reinstated {[2025-01-01,2026-01-01)}' => 24 },
		'events of one second take the order of the life cycle');

	is( told(
			'SKEW', [ 'verified', $second ], [ 'submitted', '2025-06-01T12:05:00Z', dates('2025-01-01', '2026-01-01') ]
		),
		'2025-01-01 2026-01-01 verified {[2025-01-01,2026-01-01)}',
		'what is submitted by a clock that is ahead was verified after it');
	is( told('SKEW', [ 'submitted', '2025-06-01T12:05:01Z', dates('2025-01-01', '2026-01-01') ]),
		'2025-01-01 2026-01-01 submitted {[2025-01-01,2026-01-01)}',
		'but not by more than five minutes');

	is( told(
			'LEAP',
			[ 'submitted', '2024-02-01T00:00:00Z', dates('2024-02-29', '2025-02-28') ],
			[ 'submitted', '2025-02-01T00:00:00Z', dates('2025-03-01', '2026-03-01') ]),
		"2024-02-29 2025-02-28 submitted {[2024-02-29,2025-02-28)}\n"
		  . '2025-03-01 2026-03-01 submitted {[2025-03-01,2026-03-01)}',
		'a term may begin on a 29 February');
	is(uncovered('LEAP'), '{[2025-02-28,2025-03-01)}', 'and leaves a day');
	is( query($node, q{SELECT count(*) FROM summit.covered_on('2024-02-29') WHERE policy_number = 'LEAP'}),
		1, 'but covers that');

	is( told('BACK', [ 'submitted', $second, dates('2025-06-01', '2025-01-01') ]),
		'2025-06-01 2025-01-01 submitted {}',
		'what ends before it begins covers nothing');
	is(uncovered('BACK'), '', 'and leaves no gap');
	is( told('BACK', [ 'lapsed', '2025-06-02T12:00:00Z', reason => { code => 'cancelled' } ]),
		'2025-06-01 2025-01-01 lapsed {}',
		'nor when it lapses');
	is(uncovered('BACK'), '', 'without end');
	is( told(
			'BACK AGAIN',
			[ 'submitted', $second, dates('2025-06-01', '2025-01-01') ],
			[ 'reinstated', $second, policy => { new_expiry_date => '2026-06-01' } ]),
		'2025-06-01 2026-06-01 reinstated {[2025-06-01,2026-06-01)}',
		'what comes back on the day on which a term began is that term');
	query($node, <<~'SQL');
		SELECT canopy_summit.policy_status_fold(array_agg(policy_status_id)) FROM canopy_summit.policy_status
		WHERE policy_number = 'BACK AGAIN'
		SQL
	is(terms('BACK AGAIN'), '2025-06-01 2026-06-01 reinstated {[2025-06-01,2026-06-01)}', 'and stays so');

	# Midnight in UTC is the afternoon before in Kelowna: it is noticed on the last day, and no day sooner is lost.
	for my $reason ({}, { reason => { code => 'expiry' } }, { reason => { code => 'cancelled' } })
	{
		my $name = 'MIDNIGHT' . ++$number;
		my @events = (
			[ 'submitted', '2025-01-01T12:00:00Z', dates('2025-01-01', '2026-01-01') ],
			[ 'lapsed', '2026-01-01T00:00:05Z', policy => { lapsed_at => '2026-01-01T00:00:00Z' }, %$reason ]);
		is( told($name, @events),
			'2025-01-01 2026-01-01 lapsed {[2025-01-01,2026-01-01)}',
			'a lapse at UTC midnight leaves the last day covered, reason: ' . ($reason->{reason}{code} // 'none'));
		is(uncovered($name), '{[2026-01-01,)}', 'and what follows uncovered');
	}
	is( told(
			'EAST',
			[ 'submitted', '2025-01-01T12:00:00Z', dates('2025-01-01', '2026-01-01'), ids => { property_id => 'E' } ],
			[ 'lapsed', '2025-12-31T10:30:00Z', ids => { property_id => 'E' } ]),
		'2025-01-01 2026-01-01 lapsed {[2025-01-01,2025-12-31)}',
		'without a time zone a day is one in UTC');
	query($node, <<~'SQL');
		INSERT INTO summit.property (server, property_id, time_zone) VALUES ('summit', 'E', 'Pacific/Kiritimati');
		SELECT canopy_summit.policy_status_fold(array_agg(policy_status_id)) FROM canopy_summit.policy_status
		WHERE policy_number = 'EAST'
		SQL
	is( terms('EAST'),
		'2025-01-01 2026-01-01 lapsed {[2025-01-01,2026-01-01)}',
		'on the expiry date there, the day before in UTC, it is no cancellation');
	return;
}

sub renewals
{
	my @begin = (
		[ 'submitted', '2025-01-01T12:00:00Z', dates('2025-01-01', '2026-01-01') ],
		[ 'verified', '2025-01-02T12:00:00Z' ]);

	# 02:00 in UTC is the evening before.
	is( told('C', @begin, [ 'lapsed', '2025-04-11T02:00:00Z', reason => { code => 'non_payment' } ]),
		'2025-01-01 2026-01-01 lapsed {[2025-01-01,2025-04-10)}',
		'a cancellation ends cover on its local day');
	is(uncovered('C'), '{[2025-04-10,)}', 'without end');
	is( told('C', [ 'reinstated', '2025-05-01T02:00:00Z' ]),
		'2025-01-01 2026-01-01 reinstated {[2025-01-01,2025-04-10),[2025-04-30,2026-01-01)}',
		'a reinstatement goes on, on its own');
	is(uncovered('C'), '{[2025-04-10,2025-04-30)}', 'which leaves a gap');
	is( told('C', [ 'reinstated', '2025-05-02T12:00:00Z', policy => { new_effective_date => '2025-04-10' } ]),
		'2025-01-01 2026-01-01 reinstated {[2025-01-01,2026-01-01)}',
		'one that says since when closes it');
	is(uncovered('C'), '', 'so that there is none');
	is( told('C', [ 'lapsed', '2025-04-20T12:00:00Z', reason => { code => 'non_payment' } ]),
		'2025-01-01 2026-01-01 reinstated {[2025-01-01,2026-01-01)}',
		'what occurred before, and comes late, does not');

	is( told(
			'FLAT', @begin,
			[ 'lapsed', '2025-06-01T12:00:00Z', reason => { code => 'cancelled' } ],
			[   'lapsed', '2025-06-10T12:00:00Z',
				reason => { code => 'cancelled' },
				policy => { lapsed_at => '2025-03-01T12:00:00Z' } ]),
		'2025-01-01 2026-01-01 lapsed {[2025-01-01,2025-03-01)}',
		'a second lapse, from an earlier day on, counts');
	is( told(
			'EARLY',
			[ 'submitted', '2025-11-01T12:00:00Z', dates('2026-01-01', '2027-01-01') ],
			[ 'lapsed', '2025-11-10T12:00:00Z', reason => { code => 'cancelled' } ]),
		'2026-01-01 2027-01-01 lapsed {}',
		'one that is cancelled before it begins covers nothing');
	is( told('EARLY', [ 'reinstated', '2025-11-20T12:00:00Z' ]),
		'2026-01-01 2027-01-01 reinstated {[2026-01-01,2027-01-01)}',
		'and when it comes back no day before its first');

	is( told(
			'R', @begin,
			[ 'submitted', '2025-11-15T12:00:00Z', dates('2026-01-01', '2027-01-01') ],
			[ 'verified', '2025-11-16T12:00:00Z' ]),
		"2025-01-01 2026-01-01 verified {[2025-01-01,2026-01-01)}\n"
		  . '2026-01-01 2027-01-01 verified {[2026-01-01,2027-01-01)}',
		'a renewal that is sent early is what a verification without dates is about');
	is( told('R', [ 'lapsed', '2025-12-01T12:00:00Z', reason => { code => 'cancelled' } ]),
		"2025-01-01 2026-01-01 lapsed {[2025-01-01,2025-12-01)}\n"
		  . '2026-01-01 2027-01-01 verified {[2026-01-01,2027-01-01)}',
		'a lapse is of the term that has begun');
	is(uncovered('R'), '{[2025-12-01,2026-01-01)}', 'which leaves a gap before the next');
	is( query($node, <<~'SQL'), 'verified|2026-01-01|2027-01-01',
		SELECT status, effective_date, expiry_date FROM summit.policy_status WHERE policy_number = 'R'
		SQL
		'and the status alone');
	is( told(
			'R',
			[ 'reinstated', '2026-02-01T12:00:00Z', dates('2025-01-01', '2026-01-01') ],
			[ 'verified', '2026-03-01T12:00:00Z', policy => { expiry_date => '2026-01-01' } ],
			[ 'lapsed', '2026-03-02T12:00:00Z', last_known_coverage => { effective_date => '2025-01-01' } ]
		) =~ s/.*\n//r,
		'2026-01-01 2027-01-01 verified {[2026-01-01,2027-01-01)}',
		'events of an older term change nothing newer');
	is( query($node, <<~'SQL'), 'verified|2026-01-01|2027-01-01',
		SELECT status, effective_date, expiry_date FROM summit.policy_status WHERE policy_number = 'R'
		SQL
		'nor the status');
	is( told(
			'U',
			[ 'lapsed', '2025-06-10T12:00:00Z', reason => { code => 'cancelled' } ],
			[ 'verified', '2025-06-20T12:00:00Z' ]),
		'-infinity verified {}',
		'a term of which nobody has told a date covers nothing');
	is( told('U', [ 'submitted', '2025-06-30T12:00:00Z', dates('2025-01-01', '2026-01-01') ]),
		'2025-01-01 2026-01-01 submitted {[2025-01-01,2025-06-10)}',
		'once one is told it has lapsed when it did');
	is( told(
			'V',
			[ 'lapsed', '2025-06-10T12:00:00Z', reason => { code => 'cancelled' } ],
			[ 'submitted', '2025-06-30T12:00:00Z', dates('2025-07-01', '2026-07-01') ]),
		'2025-07-01 2026-07-01 submitted {[2025-07-01,2026-07-01)}',
		'unless it begins after that');
	return;
}

sub checks
{
	my @failed =
	  (checks => [ { name => 'limits', result => 'pass' }, { name => 'holder', result => 'fail' }, { name => 'x' } ]);
	my $status = sub { return query($node, <<~"SQL") };
		SELECT status, status_at, reason_code, failed_checks, verified_at FROM summit.certificate
		WHERE policy_number = '$_[0]'
		SQL

	told('F', [ 'verified', '2025-03-01T00:00:00Z', @failed ]);
	is( $status->('F'),
		'submitted|2025-03-01 00:00:00+00||["holder", "x"]|',
		'a verification with checks that failed verifies nothing');
	told('F', [ 'verified', '2025-03-02T00:00:00Z', checks => [ { name => 'holder', result => 'Passed' } ] ]);
	is($status->('F'), 'verified|2025-03-02 00:00:00+00|||', 'a later one that passed does');
	told('F', [ 'verified', '2025-03-03T00:00:00Z', @failed ]);
	is( $status->('F'),
		'verified|2025-03-02 00:00:00+00||["holder", "x"]|',
		'which stays so, with the names of what failed');
	told('F', [ 'lapsed', '2025-03-04T00:00:00Z', reason => { code => 'cancelled' } ]);
	told('F', [ 'verified', '2025-03-05T00:00:00Z', @failed ]);
	is( $status->('F'),
		'lapsed|2025-03-04 00:00:00+00|cancelled|["holder", "x"]|',
		'a lapse keeps its time and its reason');
	is( query($node, <<~'SQL'), "24|endorsements|pass|t\n24|limits|pass|t",
		SELECT count(DISTINCT s.policy_status_id), name, result, passed
		FROM summit.status_check s JOIN summit.policy_status p USING (policy_status_id)
		WHERE policy_number LIKE 'O%' GROUP BY 2, 3, 4 ORDER BY 2
		SQL
		'checks are rows');
	return;
}

sub uploads
{
	my $upload = upload($node, payload('UP'));
	query($node, <<~"SQL");
		UPDATE summit.upload SET status = 'accepted', uploaded_at = '2025-03-01', accepted_at = '2025-03-01'
		WHERE upload_id = $upload
		SQL
	my $status = sub { return query($node, <<~"SQL") };
		SELECT u.status, p.upload_id = u.upload_id FROM summit.upload u LEFT JOIN summit.policy_status p
			ON p.policy_number = 'UP' WHERE u.upload_id = $upload
		SQL
	told('UP', [ 'verified', '2025-03-02T00:00:00Z', checks => [ { name => 'limits', result => 'fail' } ] ]);
	is($status->(), 'accepted|t', 'a verification with a check that failed does not end the upload');
	told('UP', [ 'verified', '2025-02-02T00:00:00Z', checks => [ { name => 'limits', result => 'pass' } ] ]);
	is($status->(), 'accepted|t', 'nor does one from before it');
	told('UP', [ 'verified', '2025-03-03T00:00:00Z', checks => [ { name => 'limits', result => 'pass' } ] ]);
	is($status->(), 'verified|t', 'one that passed does');
	return;
}

# Told at once or one by one, what they say is the same: what verifies a policy counts once.
sub together
{
	my $told = sub {
		my ($number, @batches) = @_;
		my @uploads = map {
			my $name = $_;
			upload($node, payload($number, sub { $_[0]{certificate_holder}{name} = $name }))
		} 'First', 'Second';
		query($node, <<~"SQL");
			UPDATE summit.upload SET status = 'verified', uploaded_at = '2025-03-01', accepted_at = '2025-03-01',
				finished_at = '2025-03-02' WHERE upload_id IN ($uploads[0], $uploads[1])
			SQL
		for my $batch (@batches)
		{
			my $ids = join ',', @uploads[ @{$batch} ];
			query($node, "SELECT canopy_summit.apply_uploads(ARRAY[$ids])");
		}
		return query($node, <<~"SQL");
			SELECT e.source, e.status, e.upload_id - $uploads[0], p.upload_id - $uploads[0], c.status, c.holder_name
			FROM summit.policy_status p JOIN summit.status_event e USING (policy_status_id)
				JOIN summit.certificate c USING (policy_status_id) WHERE p.policy_number = '$number'
			ORDER BY e.upload_id, e.status
			SQL
	};
	my $apart = $told->('APART', [0], [1]);
	is( $apart,
		join("\n", map { "$_|1|verified|First" } 'upload|submitted|0', 'poll|verified|0', 'upload|submitted|1'),
		'one by one');
	is($told->('AT-ONCE', [ 0, 1 ]), $apart, 'at once');
	return;
}

sub fact
{
	my (%values) = @_;
	return
		'INSERT INTO summit.certificate_fact ('
	  . join(', ', sort keys %values)
	  . ') VALUES ('
	  . join(', ', map { CanopyTest::quoted($values{$_}) } sort keys %values) . ')';
}

sub facts
{
	my %renters = (
		policy_number => 'RENT', policy_type => 'Renters', property_id => 'KEL-001', tenant_id => 'T1',
		holder_name => 'Ann Example', effective_date => '2025-02-01', expiry_date => '2026-02-01', currency => 'CAD',
		per_occurrence => 1000000, facts => '{"pets": 2}');
	my $sees = sub { return query($node, <<~'SQL') };
		SELECT policy_type, term, expiry_date, cover, status, source, currency, per_occurrence, deductible, facts,
			holder_name
		FROM summit.certificate WHERE policy_number = 'RENT' ORDER BY term
		SQL

	query($node, fact(%renters));
	is( $sees->(),
		'Renters|2025-02-01|2026-02-01|{[2025-02-01,2026-02-01)}||manual|CAD|1000000||{"pets": 2}|Ann Example',
		'a policy that is never uploaded stands by its facts');
	is(uncovered('RENT'), '', 'without gaps');
	is( query($node, q{SELECT count(*) FROM summit.policy_status WHERE policy_number = 'RENT'}),
		0, 'it has no status of Summit');
	my $then = query($node, 'SELECT clock_timestamp()');
	query(
		$node,
		fact(
			%renters, expiry_date => '2026-01-01', per_occurrence => 2000000, deductible => 500,
			facts => '{"alarm": true}'));
	is( $sees->(),
		'Renters|2025-02-01|2026-01-01|{[2025-02-01,2026-01-01)}||manual|CAD|2000000|500|'
		  . '{"pets": 2, "alarm": true}|Ann Example',
		'a correction is a second row');
	is( query($node, "SELECT per_occurrence FROM summit.known_at('$then') WHERE policy_number = 'RENT'"),
		1000000, 'and what was known before stays known');
	is( query(
			$node, q{SELECT count(DISTINCT policy_status_id), count(*) FROM summit.certificate_fact
			WHERE policy_number = 'RENT'}),
		'1|2',
		'both are about one');
	query($node, fact(%renters, effective_date => '2026-03-01', expiry_date => '2027-03-01', currency => 'USD'));
	is( query($node, q{SELECT term, currency FROM summit.certificate WHERE policy_number = 'RENT' ORDER BY 1}),
		"2025-02-01|CAD\n2026-03-01|USD", 'other dates are another term');
	is(uncovered('RENT'), '{[2026-01-01,2026-03-01)}', 'with a gap between');

	told(
		'MIX',
		[ 'submitted', '2025-01-01T12:00:00Z', dates('2025-01-01', '2026-01-01') ],
		[ 'submitted', '2025-11-01T12:00:00Z', dates('2026-01-01', '2027-01-01') ]);
	query(
		$node,
		fact(policy_number => 'MIX', property_id => 'KEL-001', form => 'ACORD 25', effective_date => '2026-01-01'));
	query(
		$node,
		fact(
			policy_number => 'MIX', property_id => 'KEL-001', form => 'CSIO', observed_at => '2025-12-31 20:00Z',
			source => 'canopy'));
	is( query($node, <<~'SQL'), "2025-01-01|CSIO|summit|{[2025-01-01,2026-01-01)}\n"
		SELECT term, form, source, cover FROM summit.certificate WHERE policy_number = 'MIX' ORDER BY 1
		SQL
		  . '2026-01-01|ACORD 25|summit|{[2026-01-01,2027-01-01)}',
		'a fact is about the term of its dates, or the one that had begun');
	query(
		$node,
		fact(
			policy_number => 'MIX', property_id => 'KEL-001', effective_date => '2026-01-01',
			expiry_date => '2026-06-01'));
	is( terms('MIX') =~ s/.*\n//r,
		'2026-01-01 2027-01-01 submitted {[2026-01-01,2027-01-01)}',
		'Summit\'s own dates win');
	told(
		'MIX',
		[ 'reinstated', '2027-02-01T20:00:00Z', policy => { new_expiry_date => '2028-02-01' } ]);
	is( query($node, q{SELECT term, form FROM summit.certificate WHERE policy_number = 'MIX' AND is_newest}),
		'2027-02-01|ACORD 25', 'what comes back is what it was');
	is( query($node, q{SELECT count(*) FROM canopy_summit.policy_status WHERE policy_number = 'MIX'}),
		1, 'facts and events are about one policy');
	return;
}

sub added
{
	told('ADD', [ 'verified', '2025-03-01T12:00:00Z', policy => { policy_type => undef } ]);
	query(
		$node,
		fact(
			policy_number => 'ADD', property_id => 'KEL-001', policy_type => 'Umbrella', effective_date => '2025-01-01',
			expiry_date => '2026-01-01'));
	is( query($node, <<~'SQL'), 'Umbrella|2025-01-01|2026-01-01|stated|verified|{[2025-01-01,2026-01-01)}',
		SELECT policy_type, effective_date, expiry_date, basis, status, cover FROM summit.certificate
		WHERE policy_number = 'ADD'
		SQL
		'a type and dates that Summit has not told are those of a fact');
	return;
}

# The days of a reinstatement are those of the property, as soon as it is known where that is.
sub zones
{
	told(
		'ZONE',
		[ 'submitted', '2025-01-01T12:00:00Z', dates('2025-01-01', '2026-01-01') ],
		[ 'reinstated', '2026-01-05T04:00:00Z', policy => { new_expiry_date => '2027-01-01' } ]);
	query($node, "UPDATE canopy_summit.policy_status SET property_id = 'ZONE' WHERE policy_number = 'ZONE'");
	my $begins = sub { return query($node, <<~'SQL') };
		SELECT effective_date, basis FROM summit.policy_status WHERE policy_number = 'ZONE'
		SQL
	query($node, "INSERT INTO summit.property (property_id, time_zone) VALUES ('ZONE', 'America/Vancouver')");
	is($begins->(), '2026-01-04|reinstated_at', 'in Vancouver it is the day before');
	query($node, "UPDATE summit.property SET time_zone = 'Pacific/Kiritimati' WHERE property_id = 'ZONE'");
	is($begins->(), '2026-01-05|reinstated_at', 'elsewhere it is not');
	query($node, "UPDATE summit.property SET name = 'Zone' WHERE property_id = 'ZONE'");
	is($begins->(), '2026-01-05|reinstated_at', 'a name changes nothing');
	return;
}

sub refused
{
	my %good = (policy_number => 'BAD', property_id => 'KEL-001');
	my @bad = (
		[ '22023', 'a currency in small letters', currency => 'cad' ],
		[ '22023', 'facts that are no object', facts => '[1]' ],
		[ '22023', 'endorsements that are no array', endorsements => '{}' ],
		[ '22023', 'additional insureds that are no array', additional_insureds => '"x"' ],
		[ '22023', 'an expiry before', effective_date => '2026-01-01', expiry_date => '2025-01-01' ],
		[ '22023', 'an expiry on the same day', effective_date => '2026-01-01', expiry_date => '2026-01-01' ],
		[ '22023', 'a source that is not known', source => 'hearsay' ],
		[ '42704', 'a server that is not there', server => 'nowhere' ],
		[ '23502', 'no policy number', policy_number => '' ]);
	for (@bad)
	{
		my ($state, $name, @values) = @$_;
		is(scalar sqlstate_of($node, fact(%good, @values)), $state, $name);
	}
	is( query($node, q{SELECT count(*) FROM canopy_summit.policy_status WHERE policy_number IN ('BAD', '')}), 0,
		'they leave nothing');
	return;
}

sub levels
{
	query($node, <<~'SQL');
		CREATE ROLE inserts; CREATE ROLE reads; CREATE ROLE reads_all;
		SELECT canopy_summit.grant_access('inserts', 'fetcher'), canopy_summit.grant_access('reads', 'reader'),
			canopy_summit.grant_access('reads_all', 'pii_reader')
		SQL
	my %fact = (
		policy_number => 'SECRET-1', policy_type => 'Auto', property_id => 'KEL-001', insured_name => 'Bob Secret',
		holder_name => 'Carol Secret', facts => '{"secret": 1}', effective_date => '2025-01-01',
		expiry_date => '2026-01-01');
	my $may = sub { my ($role, $sql) = @_; return scalar sqlstate_of($node, "SET ROLE $role; $sql; RESET ROLE") // '' };

	is($may->('inserts', fact(%fact)), '42501', 'a fetcher does not, without USAGE on the server');
	is($may->('inserts', fact(%fact, server => 'nowhere')), '42704', 'nor on one that is none');
	query($node, 'GRANT USAGE ON FOREIGN SERVER summit TO inserts');
	is($may->('inserts', fact(%fact)), '', 'with it one inserts');
	is( query($node, 'SET ROLE inserts; ' . fact(%fact) . ' RETURNING fact_id IS NOT NULL; RESET ROLE'),
		't', 'and gets the key');
	is($may->('inserts', $_), '42501', "not: $_")
	  for 'SELECT policy_number FROM summit.certificate_fact', 'SELECT * FROM summit.certificate',
	  'UPDATE summit.certificate_fact SET form = NULL', 'DELETE FROM summit.certificate_fact',
	  'SELECT * FROM canopy_summit.certificate', fact(%fact, fact_id => 1), fact(%fact, recorded_by => 'x'),
	  fact(%fact, policy_status_id => 1);
	is($may->('reads', $_), '42501', "a reader not: $_")
	  for fact(%fact), 'SELECT * FROM summit.certificate_fact', 'SELECT * FROM canopy_summit.certificate_known';
	my $sees = sub { my ($role) = @_; return query($node, <<~"SQL") };
		SET ROLE $role;
		SELECT policy_number, insured_name, holder_name, facts, policy_type, cover FROM summit.covered_on('2025-05-05')
		WHERE policy_type = 'Auto';
		RESET ROLE
		SQL
	my $days = 'Auto|{[2025-01-01,2026-01-01)}';
	is($sees->('reads'), "***|***|***||$days", 'a reader sees *** for numbers and names');
	is($sees->('reads_all'), "SECRET-1|Bob Secret|Carol Secret|{\"secret\": 1}|$days", 'a pii_reader sees them');
	my $all = join '; ', map { "SELECT * FROM summit.$_" } 'certificate', 'certificate_history', 'certificate_holder',
	  'policy', 'policy_status', 'status_event', 'status_check', 'uncovered_period', 'known_at(now())',
	  q{covered_on('2025-05-05')};
	my $masked = query($node, "SET ROLE reads; $all; RESET ROLE");
	unlike($masked, qr/SECRET-1|Secret|"secret"|Ann Example/, 'in no view nor function');
	like($masked, qr/KEL-001/, 'but ids of properties');
	is( query(
			$node, q{SELECT DISTINCT recorded_by = session_user FROM summit.certificate_fact
			WHERE policy_number = 'SECRET-1'}),
		't',
		'it is noted who has recorded it');
	return;
}

# Server summit with environment sandbox, and summit_live with production: neither hears of the other.
sub servers
{
	query($node, <<~'SQL');
		CREATE SERVER summit_live FOREIGN DATA WRAPPER summit_api
		OPTIONS (environment 'production', base_url 'https://127.0.0.1:9', auth_url 'https://127.0.0.1:9',
			allow_private_addresses 'true', webhook_tolerance '1 day');
		CREATE USER MAPPING FOR CURRENT_USER SERVER summit_live
		OPTIONS (client_id 'x', client_secret 'x', webhook_secret 'live secret');
		SELECT canopy_summit.pause_server('summit_live');
		CREATE FUNCTION wh_live(body bytea) RETURNS text LANGUAGE sql AS $$
			SELECT outcome FROM receive_webhook('summit_live', jsonb_build_object('X-Summit-Signature',
				sign_webhook('live secret', body, 'summit')), body)
		$$
		SQL
	my @events = four('TWO');
	my $live = sub {
		my $outcome = query($node, 'SELECT wh_live(' . body_of($_[0]) . ')');
		query($node, 'SELECT canopy_summit.apply_webhooks()');
		return $outcome;
	};
	my $sees = sub { return query($node, <<~'SQL') };
		SELECT server, environment, term, status, cover FROM summit.certificate
		WHERE policy_number = 'TWO' ORDER BY 1, 3
		SQL

	is(receive($node, 'summit', $events[0]), '200 stored', 'a delivery to one');
	is($live->($events[0]), 'stored', 'is another one to the other');
	receive($node, 'summit', $_) for @events[ 2, 3 ];
	$live->($events[1]);
	is($sees->(), <<~'END' =~ s/\n$//r, 'each has what it was told');
		summit|sandbox|2025-01-01|lapsed|{[2025-01-01,2026-01-01)}
		summit|sandbox|2026-01-05|reinstated|{[2026-01-05,2027-01-01)}
		summit_live|production|2025-01-01|verified|{[2025-01-01,2026-01-01)}
		END
	is( query($node, q{SELECT server, uncovered FROM summit.uncovered_period WHERE policy_number = 'TWO'}),
		'summit|{[2026-01-01,2026-01-05)}', 'a gap of one is none of the other');
	query($node, fact(policy_number => 'TWO', property_id => 'KEL-001', form => 'live', server => 'summit_live'));
	is( query($node, q{SELECT DISTINCT server, form FROM summit.certificate WHERE policy_number = 'TWO' ORDER BY 1}),
		"summit|\nsummit_live|live", 'so is a fact');
	# The property is known at one of them only.
	$live->($_) for @events[ 2, 3 ];
	is( query(
			$node, q{SELECT server, basis FROM summit.certificate WHERE policy_number = 'TWO' AND is_newest
			ORDER BY 1}),
		"summit|reinstated_at\nsummit_live|reinstated_at in UTC",
		'nor does one know the time zones of the other');
	is( query(
			$node, q{SELECT server, environment, policy_number, certificates FROM summit.policy
			WHERE policy_number = 'TWO' AND effective_date = '2025-01-01' ORDER BY 1}),
		"summit|sandbox|TWO|1\nsummit_live|production|TWO|1",
		'they are two policies');
	return;
}

sub renamed
{
	my @events = four('REN');
	query($node, 'CALL canopy_summit.run_tasks()');
	receive($node, 'summit', $_) for @events[ 0, 1 ];
	query($node, 'SELECT canopy_summit.apply_webhooks()');
	query($node, fact(policy_number => 'REN', property_id => 'KEL-001', form => 'before'));
	$node->psql('postgres', q{SELECT canopy_summit.rename_server('summit', 'renamed')});
	# While rows have the former name: the zone of the property is known all the same.
	for my $body (map { body_of($_) } @events[ 2, 3 ])
	{
		query($node, <<~"SQL");
			SELECT receive_webhook('renamed', jsonb_build_object('X-Summit-Signature',
				sign_webhook('summit secret', $body\::bytea, 'summit')), $body)
			SQL
	}
	query($node, 'SELECT canopy_summit.apply_webhooks()');
	my $ends = sub { return query($node, <<~'SQL') };
		SELECT p.server, c.server, c.term, c.status, c.basis, c.cover, c.facts ->> 'form'
		FROM canopy_summit.certificate c JOIN canopy_summit.policy_status p USING (policy_status_id)
		WHERE p.policy_number = 'REN' AND c.known_to = 'infinity' ORDER BY c.term
		SQL
	my $end = <<~'END' =~ s/\n$//r;
		renamed|renamed|2025-01-01|lapsed|stated|{[2025-01-01,2026-01-01)}|
		renamed|renamed|2026-01-05|reinstated|reinstated_at|{[2026-01-05,2027-01-01)}|before
		END
	is($ends->(), $end, 'events after a rename are about the same certificate');
	query(
		$node,
		fact(
			policy_number => 'REN', property_id => 'KEL-001', form => 'meanwhile', server => 'renamed',
			effective_date => '2026-01-05'));
	query($node, 'CALL canopy_summit.run_tasks()');
	is($ends->(), $end =~ s/before$/meanwhile/r, 'so they are when all have the new name');
	is(query($node, <<~'SQL'), '0|0|0|0|0', 'as they have');
		SELECT (SELECT count(*) FROM canopy_summit.policy_status WHERE server = 'summit'),
			(SELECT count(*) FROM canopy_summit.status_event WHERE server = 'summit'),
			(SELECT count(*) FROM canopy_summit.certificate WHERE server = 'summit'),
			(SELECT count(*) FROM summit.certificate_fact WHERE server = 'summit'),
			(SELECT count(*) FROM summit.property WHERE server = 'summit')
		SQL
	is(query($node, q{SELECT count(*) FROM canopy_summit.policy_status WHERE policy_number = 'REN'}), 1, 'all of one');
	my $states = query($node, 'SELECT count(*) FROM canopy_summit.certificate');
	query($node, <<~'SQL');
		SELECT canopy_summit.policy_status_fold(array_agg(policy_status_id)) FROM canopy_summit.policy_status
		SQL
	is(query($node, 'SELECT count(*) FROM canopy_summit.certificate'), $states, 'a name is no new state');
	$node->psql('postgres', q{SELECT canopy_summit.rename_server('renamed', 'summit')});
	query($node, 'CALL canopy_summit.run_tasks()');
	return;
}

# A file with random histories, and what the oracle says of them: { id => its lines }.
sub generated_histories
{
	my ($count) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir('histories') . '/histories';
	my @oracle = ('python3', in_checkout('test/cover.py'));
	my $judged;

	IPC::Run::run([ @oracle, 'generate', $seed, $count ], '>', $file) or die 'cover.py generate failed';
	IPC::Run::run([ @oracle, 'judge' ], '<', $file, '>', \$judged) or die 'cover.py judge failed';
	return ($file, by_id($judged));
}

sub by_id
{
	my ($lines) = @_;
	my %of;
	push @{ $of{ (split /\|/)[0] } }, $_ for split /\n/, $lines;
	return { map { ($_ => join "\n", @{ $of{$_} }) } keys %of };
}

# The same of the database, whose policies are called P and the history's id.
sub found
{
	return by_id(query($node, <<~'SQL'));
		SELECT line FROM (
			SELECT p.policy_number, c.term, concat_ws('|', substr(p.policy_number, 2), c.term,
				coalesce(c.effective_date::text, ''), coalesce(c.expiry_date::text, ''), c.basis, c.status,
				to_char(c.status_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), coalesce(c.reason_code, ''),
				coalesce((SELECT string_agg(f, ' ') FROM jsonb_array_elements_text(c.failed_checks) AS f), ''), c.cover,
				CASE WHEN NOT c.is_newest THEN ''
					WHEN (p.status, p.status_at, p.reason_code, p.effective_date, p.expiry_date, p.basis)
						IS DISTINCT FROM
						(c.status, c.status_at, c.reason_code, c.effective_date, c.expiry_date, c.basis)
					THEN 'policy_status differs' ELSE 'newest' END) AS line
			FROM canopy_summit.certificate c JOIN canopy_summit.policy_status p USING (policy_status_id)
			WHERE c.known_to = 'infinity' AND p.policy_number ~ '^P[0-9]+$'
			UNION ALL
			SELECT policy_number, NULL, concat_ws('|', substr(policy_number, 2), 'uncovered', covered, uncovered)
			FROM summit.uncovered_period WHERE policy_number ~ '^P[0-9]+$') AS l
		ORDER BY policy_number, term NULLS LAST
		SQL
}

sub agrees
{
	my ($name, $file, $judged) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $found = found();
	my @differ = grep { ($found->{$_} // '') ne $judged->{$_} } sort { $a <=> $b } keys %$judged;

	is(scalar keys %$found, scalar keys %$judged, "$name: each has certificates");
	is(scalar @differ, 0, "$name: " . keys(%$judged) . ' are as the oracle says') or diag join "\n", map {
		my $id = $_;
		(   "found:\n" . ($found->{$id} // ''), "oracle:\n$judged->{$id}", grep { /"id": $id,/ } split /\n/,
			slurp_file($file))
	} @differ[ 0 .. ($#differ < 4 ? $#differ : 4) ];
	return;
}

sub empty
{
	query($node, <<~'SQL');
		TRUNCATE canopy_summit.webhook, canopy_summit.policy_status, canopy_summit.status_event,
			canopy_summit.certificate, summit.certificate_fact, summit.property;
		INSERT INTO summit.property (server, property_id, time_zone) SELECT 'summit', z, z
		FROM unnest('{America/Vancouver,America/St_Johns,UTC,Pacific/Kiritimati}'::text[]) AS z
		SQL
	return;
}

sub histories
{
	my ($file, $judged) = generated_histories(scaled(10000));

	empty();
	query($node, <<~"SQL");
		CREATE TEMP TABLE history (line jsonb);
		COPY history FROM '$file';
		INSERT INTO canopy_summit.policy_status (policy_status_id, server, environment, policy_number, property_id)
		SELECT (line ->> 'id')::bigint, 'summit', 'sandbox', 'P' || (line ->> 'id'),
			coalesce(line ->> 'zone', 'nowhere')
		FROM history;
		INSERT INTO canopy_summit.status_event (status_event_id, policy_status_id, server, source, delivery_id, status,
			occurred_at, recorded_at, observed_at, reason_code, checks, effective_date, expiry_date)
		SELECT nextval('canopy_summit.status_event_id_seq'), (line ->> 'id')::bigint, 'summit', 'webhook',
			e.delivery, e.status, e.occurred_at, now(), e.observed_at, e.reason, nullif(e.checks, 'null'), e.effective,
			e.expiry
		FROM history, jsonb_to_recordset(line -> 'events') AS e(delivery text, status text, occurred_at timestamptz,
			observed_at timestamptz, reason text, checks jsonb, effective date, expiry date);
		-- What is planned while the tables are empty reads them whole.
		SET enable_seqscan = off;
		SELECT canopy_summit.policy_status_fold(array_agg(policy_status_id)) FROM canopy_summit.policy_status
		GROUP BY policy_status_id / 500;
		RESET enable_seqscan;
		DROP TABLE history
		SQL
	agrees('in bulk', $file, $judged);
	return;
}

# Deliveries of all of them mixed, some twice, applied in batches of any size.
sub delivered
{
	my ($file, $judged) = generated_histories(scaled(2000));
	my @bodies = shuffle map { bodies(JSON::PP::decode_json($_)) } split /\n/, slurp_file($file);

	empty();
	@bodies = map { (rand() < 0.1 ? ($_, $_) : ($_)) } @bodies;
	while (my @batch = splice @bodies, 0, 1 + int rand 100)
	{
		query(
			$node,
			join(";\n", map { "SELECT FROM wh('summit', $_)" } @batch)
			  . '; SELECT canopy_summit.apply_webhooks('
			  . (1 + int rand 40) . ')');
	}
	1 while query($node, 'SELECT canopy_summit.apply_webhooks()') > 0;
	is(query($node, q{SELECT DISTINCT state, problem FROM canopy_summit.webhook}), 'applied|', 'all were applied');
	agrees('delivered', $file, $judged);
	is(query($node, <<~'SQL'), 0, 'states that were known follow each other');
		SELECT count(*) FROM (SELECT known_to, lead(known_from) OVER (
				PARTITION BY policy_status_id, term ORDER BY known_from) AS next
			FROM canopy_summit.certificate) AS s WHERE next < known_to
		SQL
	return;
}

sub bodies
{
	my ($history) = @_;
	return
	  map { body_of(event("P$history->{id}", told_as($_, $history->{zone} // 'nowhere'))) } @{ $history->{events} };
}

# An event of the oracle's in Summit's words; a lapse has the dates in one place or the other.
sub told_as
{
	my ($event, $property) = @_;
	my $status = $event->{status};
	my $new = $status eq 'reinstated' ? 'new_' : '';
	my %dates = ("${new}effective_date" => $event->{effective}, "${new}expiry_date" => $event->{expiry});
	my $is_apart = $status eq 'lapsed' && rand() < 0.5;
	my %policy = ("${status}_at" => $event->{observed_at}, $is_apart ? () : %dates);

	return (
		$status, $event->{occurred_at},
		delivery_id => $event->{delivery},
		ids => { property_id => $property },
		policy => { map { ($_ => $policy{$_}) } grep { defined $policy{$_} } keys %policy },
		$is_apart ? (last_known_coverage => \%dates) : (),
		defined $event->{reason} ? (reason => { code => $event->{reason} }) : (),
		defined $event->{checks} ? (checks => $event->{checks}) : ());
}
