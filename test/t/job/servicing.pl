# Are carriers asked for what they offer and nothing else, and is what answers and webhooks tell of it kept?
use strict;
use warnings;

use CanopyJobs;
use CanopyTest;
use CanopyWebhook ();
use JSON::PP ();
use Test::More;

my $sandbox = start_sandbox();
my $node = new_worker_node();
my $json = JSON::PP->new->canonical;
my $pull_id = 'to-be-serviced';
my $add = q{canopy_add_mortgagee('HO132483', 'JP MORGAN CHASE BANK NA ISAOA ATIMA', 'PO BOX 47020, ATLANTA, GA 30362',
	'1234567890', 'FIRST')};
my $mortgagee = {
	carrier_policy_number => 'HO132483', name => 'JP MORGAN CHASE BANK NA ISAOA ATIMA',
	address => 'PO BOX 47020, ATLANTA, GA 30362',
	loan_number => '1234567890', mortgagee_type => 'FIRST' };
my $declined = { is_declined => JSON::PP::true };
my $vehicle = {
	carrier_policy_number => 'AU192837',
	vehicle => {
		type => 'PRIVATE_PASSENGER', model_year => 2012, vin => '3N1AB6AP0CL704240', make => 'NISSAN', model => 'Sentra'
	},
	registered_owner_full_name => 'John Smith',
	registered_state => 'NY',
	garaging_address => '344 Clinton Street, Brooklyn, NY, 11231',
	is_customized => JSON::PP::false,
	primary_use => { type => 'COMMUTE', days_driven_per_week => 5, miles_driven_each_way => 12 },
	primary_driver_full_name => 'John Smith', annual_mileage => 10000, current_mileage => 2000,
	coverage_selections => {
		BODILY_INJURY_LIABILITY => { per_person_limit_cents => 10000000, per_incident_limit_cents => 30000000 },
		PROPERTY_DAMAGE_LIABILITY => { per_incident_limit_cents => 5000000 },
		PERSONAL_INJURY_PROTECTION => { is_declined => JSON::PP::false, per_person_limit_cents => 2500000 },
		UNINSURED_MOTORISTS => $declined, UNDERINSURED_MOTORISTS => $declined,
		COLLISION => { is_declined => JSON::PP::false, deductible_cents => 50000 }, COMPREHENSIVE => $declined,
		EMERGENCY_ROAD_SERVICE => $declined,
		RENTAL_REIMBURSEMENT => { is_declined => JSON::PP::false, per_day_limit_cents => 3000, max_days => 30 } },
	safety_restraint_device => 'NONE', anti_theft_device => 'UNKNOWN', daytime_running_lights => JSON::PP::true,
	tracking_device => JSON::PP::false, vehicle_acquisition_date => '2023-08-16',
	vehicle_ownership => {
		type => 'FINANCE', loan_duration_months => 60,
		financing_companies =>
		  [ { type => 'LIEN_HOLDER', name => 'Metropolis Bank', address => '620 Atlantic Avenue, Brooklyn, NY' } ] } };

$sandbox->put_pull(
	$pull_id,
	{   %{ $sandbox->pull($sandbox->pull_id('user_good_home')) }, pull_id => $pull_id,
		insurance_provider_name => 'allstate' });
create_canopy_server($node, $sandbox, mapping => { webhook_secret => 'canopy secret' });
CanopyWebhook::create_wh($node);
subtest 'builders' => \&builders;
subtest 'an action' => \&creates;
subtest 'a dry run' => \&dry_run;
subtest 'arguments' => \&arguments;
subtest 'a vehicle' => \&adds_vehicle;
subtest 'what a vehicle must have' => \&vehicle_fields;
subtest 'what the carrier offers' => \&offers;
subtest 'what the server refuses' => \&refused;
subtest 'an answer that is lost' => \&lost;
subtest 'a consumer confirms' => \&confirms;
subtest 'all of them' => \&lists;
subtest 'told by webhooks and by answers' => \&told;
subtest 'the token of a servicing pull' => \&token;
subtest 'who may' => \&levels;
done_testing();

sub sent
{
	my ($operation) = @_;
	my ($request) = grep { ($_->{operation} // '') eq $operation } reverse $sandbox->log;
	return $json->decode($request->{body});
}

sub sent_count
{
	my ($operation) = @_;
	return scalar grep { ($_->{operation} // '') eq $operation } $sandbox->log;
}

sub done
{
	my ($call) = @_;
	my $job_id = query($node, "SELECT $call");
	my $state = settled($node, $job_id);
	return "$state " . job($node, $job_id)->{outcome};
}

sub quoted { return CanopyTest::quoted($_[0]) }

# A call that creates one action of a type and a payload.
sub create
{
	my ($type, $payload) = @_;
	return
	  "canopy_create_servicing('$pull_id', " . quoted($json->encode([ { type => $type, payload => $payload } ])) . ')';
}

# A deep copy, with one change: a path of keys, and a value, or undef to leave it out.
sub changed
{
	my ($given, $value, @path) = @_;
	my $copy = $json->decode($json->encode($given));
	my $at = $copy;
	my $last = pop @path;
	$at = $at->{$_} for @path;
	defined $value ? $at->{$last} = $value : delete $at->{$last};
	return $copy;
}

# Creates one, anew; its id and its pull's.
sub created
{
	query(
		$node,
		'TRUNCATE canopy_summit.servicing_action, canopy_summit.servicing_status, canopy_summit.servicing_answer');
	like(done("canopy_create_servicing('$pull_id', jsonb_build_array($add))"), qr/^succeeded/, 'one is created');
	return split /\|/, query($node, 'SELECT servicing_action_id, pull_id FROM canopy.servicing_action');
}

sub builders
{
	is_deeply($json->decode(query($node, "SELECT $add")), { type => 'ADD_MORTGAGEE', payload => $mortgagee }, 'add');
	(my $edit = $add) =~ s/add/edit/;
	is_deeply($json->decode(query($node, "SELECT $edit")), { type => 'EDIT_MORTGAGEE', payload => $mortgagee }, 'edit');
	is_deeply(
		$json->decode(query($node, q{SELECT canopy_remove_mortgagee('HO1', 'SECOND')})),
		{ type => 'REMOVE_MORTGAGEE', payload => { carrier_policy_number => 'HO1', mortgagee_type => 'SECOND' } },
		'remove');
	for my $call (
		$add =~ s/FIRST/FOURTH/r, $add =~ s/FIRST/first/r, $add =~ s/'1234567890'/' '/r,
		q{canopy_remove_mortgagee('HO1', '')})
	{
		is(scalar sqlstate_of($node, "SELECT $call"), '22023', $call);
	}
	my ($sqlstate, $message) = sqlstate_of($node, 'SELECT ' . $add =~ s/FIRST/FOURTH/r);
	is($message, 'payload.mortgagee_type: must be one of FIRST,SECOND,THIRD', 'which field, and what it must be');
	is(scalar sqlstate_of($node, 'SELECT ' . $add =~ s/'FIRST'/NULL/r), '22004', 'nothing may be NULL');
	return;
}

sub creates
{
	query($node, "BEGIN; SELECT canopy_create_servicing('$pull_id', jsonb_build_array($add)); ROLLBACK");
	my ($id, $servicing_pull) = created();
	is_deeply(
		sent('post-servicings'),
		{ pull_id => $pull_id, servicing_actions => [ { type => 'ADD_MORTGAGEE', payload => $mortgagee } ] },
		'as it was built');
	is(sent_count('post-servicings'), 1, 'what was rolled back was not sent');
	is( query(
			$node,
			"SELECT original_pull_id, type, payload ->> 'loan_number', status, status_at, environment "
			  . 'FROM canopy.servicing_action'),
		"$pull_id|ADD_MORTGAGEE|1234567890|||sandbox",
		'it is known at once');
	isnt($servicing_pull, $pull_id, '… with a pull of its own');
	like(
		done("canopy_create_servicing('$pull_id', jsonb_build_array($add, canopy_remove_mortgagee('HO1', 'SECOND')))"),
		qr/^succeeded/, 'two at once');
	is( query($node, "SELECT string_agg(type, ' ' ORDER BY type) FROM canopy.servicing_action"),
		'ADD_MORTGAGEE ADD_MORTGAGEE REMOVE_MORTGAGEE', 'each is known by what it is');
	is( query(
			$node, "SELECT payload ->> 'mortgagee_type' FROM canopy.servicing_action WHERE type = 'REMOVE_MORTGAGEE'"),
		'SECOND',
		'… in their order');
	return;
}

sub dry_run
{
	my $sent = sent_count('post-servicings');
	my $jobs = query($node, 'SELECT count(*) FROM canopy_summit.job');
	is( query($node, "SELECT canopy_create_servicing('$pull_id', jsonb_build_array($add), dry_run => true) IS NULL"),
		't', 'only checks');
	is( scalar sqlstate_of($node, "SELECT canopy_create_servicing('$pull_id', '[]', dry_run => true)"), '22023',
		'… and refuses');
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, 'nothing is enqueued');
	is(sent_count('post-servicings'), $sent, 'nor sent');
	return;
}

sub arguments
{
	my $jobs = query($node, 'SELECT count(*) FROM canopy_summit.job');
	my %refused = (
		"canopy_create_servicing(NULL, jsonb_build_array($add))" => '22004',
		"canopy_create_servicing('$pull_id', NULL)" => '22004',
		"canopy_create_servicing('$pull_id', jsonb_build_array($add), false, 'missing')" => '42704',
		'canopy_confirm_servicing(NULL)' => '22004', q{canopy_confirm_servicing('a', NULL)} => '22004',
		q{canopy_confirm_servicing('missing')} => '02000', q{canopy_sync_servicings(server => 'missing')} => '42704');
	for my $actions (
		'{}', '1', '[]', '[1]', '[[]]', '[{}]', '[{"type": "ADD_MORTGAGEE"}]',
		'[{"type": "BURN", "payload": {}}]', '[{"type": 1, "payload": {}}]')
	{
		$refused{"canopy_create_servicing('$pull_id', '$actions')"} = '22023';
	}
	my %wrong = (
		name => [ 1, ' ', undef, {} ], loan_number => [ 1234567890, undef ], mortgagee_type => [ 'FOURTH', 1, undef ],
		address => [ [], undef ],
		carrier_policy_number => [ '', undef ], more => ['x']);
	for my $field (sort keys %wrong)
	{
		$refused{ create('EDIT_MORTGAGEE', changed($mortgagee, $_, $field)) } = '22023' for @{ $wrong{$field} };
	}
	$refused{ "canopy_create_servicing('$pull_id', "
		  . quoted($json->encode([ { type => 'ADD_MORTGAGEE', payload => $mortgagee, x => 1 } ]))
		  . ')' } = '22023';
	is(scalar sqlstate_of($node, "SELECT $_"), $refused{$_}, $_) for sort keys %refused;
	my ($sqlstate, $message) = sqlstate_of(
		$node,
		"SELECT canopy_create_servicing('$pull_id', jsonb_build_array($add, "
		  . "jsonb_set($add, '{payload,mortgagee_type}', '\"FOURTH\"')))");
	is( $message, 'actions[1].payload.mortgagee_type: must be one of FIRST,SECOND,THIRD',
		'which action, and which field');
	my $body = quoted(
		$json->encode(
			{   pull_id => $pull_id,
				servicing_actions =>
				  [ { type => 'ADD_MORTGAGEE', payload => { %$mortgagee, mortgagee_type => 'FOURTH' } } ] }));
	is( scalar sqlstate_of($node, "SELECT canopy_enqueue('post-servicings', body => $body)"),
		'22023', 'however it is enqueued');
	is( scalar sqlstate_of(
			$node,
			"SELECT canopy_create_servicing('missing', jsonb_build_array($add), dry_run => true)"),
		'02000',
		'of a pull that is not there');
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, 'nothing is enqueued');
	return;
}

# The call of the builder for a payload.
sub vehicle_call
{
	my ($payload) = @_;
	return 'canopy_add_vehicle(' . join(
		', ',
		map {
			my $value = $payload->{$_};
			"$_ => "
			  . (
				  ref $value eq 'HASH' ? quoted($json->encode($value))
				: ref $value ? ($value ? 'true' : 'false')
				: quoted($value));
		} sort keys %$payload) . ')';
}

sub adds_vehicle
{
	is_deeply(
		$json->decode(query($node, 'SELECT ' . vehicle_call($vehicle))),
		{ type => 'ADD_VEHICLE', payload => $vehicle }, 'built');
	my $more = { %$vehicle, replacing_vin => '3FAHP0HA8CR128394', registered_co_owner_full_name => 'Alice Smith' };
	is_deeply(
		$json->decode(query($node, 'SELECT ' . vehicle_call($more))),
		{ type => 'ADD_VEHICLE', payload => $more }, '… with all there is');
	like(
		done("canopy_create_servicing('$pull_id', jsonb_build_array(" . vehicle_call($vehicle) . '))'),
		qr/^succeeded/, 'sent');
	is_deeply(sent('post-servicings')->{servicing_actions}[0]{payload}, $vehicle, '… as it was built');
	return;
}

sub vehicle_fields
{
	my @optional = qw(replacing_vin registered_co_owner_full_name);
	my @wrong = map { [ undef, $_ ] } sort keys %$vehicle;
	push @wrong, map { [ undef, 'coverage_selections', $_ ] } sort keys %{ $vehicle->{coverage_selections} };
	push @wrong, map { [ undef, 'vehicle', $_ ] } sort keys %{ $vehicle->{vehicle} };
	push @wrong,
	  [ substr($vehicle->{vehicle}{vin}, 1), 'vehicle', 'vin' ], [ '3N1AB6AP0CL70424O', 'vehicle', 'vin' ],
	  [ ' ', 'replacing_vin' ], [ 1, 'replacing_vin' ], [ 'CAR', 'vehicle', 'type' ],
	  [ '2012', 'vehicle', 'model_year' ], [ 2012.5, 'vehicle', 'model_year' ], [ 12, 'vehicle', 'model_year' ],
	  [ 'ON', 'registered_state' ],
	  [ 'true', 'is_customized' ], [ 0, 'primary_use', 'days_driven_per_week' ],
	  [ 8, 'primary_use', 'days_driven_per_week' ], [ 0, 'primary_use', 'miles_driven_each_way' ],
	  [ undef, 'primary_use', 'days_driven_per_week' ], [ 'PLEASURE', 'primary_use', 'type' ],
	  [ 'FUN', 'primary_use', 'type' ], [ -1, 'annual_mileage' ], [ '10000', 'annual_mileage' ],
	  [ undef, 'coverage_selections', 'COLLISION', 'deductible_cents' ],
	  [ JSON::PP::true, 'coverage_selections', 'COLLISION', 'is_declined' ],
	  [ 1.5, 'coverage_selections', 'COLLISION', 'deductible_cents' ], [ {}, 'coverage_selections', 'FULL_GLASS' ],
	  [ $declined, 'coverage_selections', 'BODILY_INJURY_LIABILITY' ],
	  [ 'SEATBELT', 'safety_restraint_device' ], [ 'DOG', 'anti_theft_device' ],
	  [ '08/16/2023', 'vehicle_acquisition_date' ], [ '2023-02-30', 'vehicle_acquisition_date' ],
	  [ 'OWN', 'vehicle_ownership', 'type' ], [ undef, 'vehicle_ownership', 'loan_duration_months' ],
	  [ undef, 'vehicle_ownership', 'financing_companies' ],
	  [ [ {} ], 'vehicle_ownership', 'financing_companies' ], [ {}, 'vehicle_ownership', 'financing_companies' ],
	  [ [], 'vehicle' ];
	for my $wrong (@wrong)
	{
		my ($value, @path) = @$wrong;
		my ($sqlstate, $message) =
		  sqlstate_of($node, 'SELECT ' . create('ADD_VEHICLE', changed($vehicle, $value, @path)));
		is($sqlstate, '22023', "@path " . (defined $value ? ref $value ? $json->encode([$value]) : $value : 'missing'));
	}
	my $boat = { type => 'BOAT', model_year => 1999, vin => 'ABC12345D404', make => 'x', model => 'y' };
	my @right = (
		[ $boat, 'vehicle' ],
		[ { type => 'FARM' }, 'primary_use' ], [ { type => 'OWN', financing_companies => [] }, 'vehicle_ownership' ],
		[   { is_declined => JSON::PP::false, per_person_limit_cents => 1, deductible_cents => 0 },
			'coverage_selections', 'PERSONAL_INJURY_PROTECTION' ],
		[ 0.5, 'annual_mileage' ],
		[ '2024-02-29', 'vehicle_acquisition_date' ]);
	for my $right (@right)
	{
		my ($value, @path) = @$right;
		(my $call = create('ADD_VEHICLE', changed($vehicle, $value, @path))) =~ s/\)$/, dry_run => true)/;
		is(scalar sqlstate_of($node, "SELECT $call"), undef, "@path " . $json->encode([$value]));
	}
	return;
}

sub offers
{
	my $jobs = query($node, 'SELECT count(*) FROM canopy_summit.job');
	my $offer = sub {
		my ($offers) = @_;
		$sandbox->arm(
			match => { path => '/carriers/' },
			times => 1,
			fault => {
				kind => 'body',
				body => { carrier_id => 'c', name => 'C', defined $offers ? (servicingActions => $offers) : () } });
	};
	for my $stored (0, 1)
	{
		query($node, "SELECT canopy_fetch_pull('$pull_id')") if $stored;
		$sandbox->clear_log;
		$offer->([ 'REMOVE_MORTGAGEE', 'EDIT_MORTGAGEE' ]);
		my ($sqlstate, $message, $detail, $hint) =
		  sqlstate_of($node, "SELECT canopy_create_servicing('$pull_id', jsonb_build_array($add))");
		is($sqlstate, '0A000', 'what the carrier does not offer');
		like($message, qr/^carrier ".+" does not offer ADD_MORTGAGEE$/, '… is named');
		is($hint, 'It offers: REMOVE_MORTGAGEE, EDIT_MORTGAGEE.', '… and what it does');
		is( sent_count('get-pull-by-id'), 1 - $stored,
			$stored ? 'of a pull that is stored that is known' : 'of one that is not the server tells');
		$sandbox->clear;
	}
	$offer->([]);
	is( (sqlstate_of($node, "SELECT canopy_create_servicing('$pull_id', jsonb_build_array($add))"))[3],
		'It offers: none.', 'nothing at all');
	for my $nothing (undef, 'x')
	{
		$offer->($nothing);
		is( scalar sqlstate_of(
				$node, "SELECT canopy_create_servicing('$pull_id', jsonb_build_array($add), dry_run => true)"),
			undef,
			'one that does not say is asked');
	}
	$offer->(['EDIT_MORTGAGEE']);
	is( scalar sqlstate_of(
			$node,
			"SELECT canopy_create_servicing('$pull_id', jsonb_build_array("
			  . vehicle_call($vehicle)
			  . '), dry_run => true)'),
		undef,
		'vehicles are in no list');
	$sandbox->clear;
	$sandbox->arm(
		match => { path => '/carriers/' }, times => 1,
		fault => { kind => 'status', status => 404, body => { error => 'NOT_FOUND' } });
	is( scalar sqlstate_of(
			$node,
			"SELECT canopy_create_servicing('$pull_id', jsonb_build_array($add), dry_run => true)"),
		undef,
		'a carrier that is not listed is asked');
	$sandbox->arm(match => { path => '/carriers/' }, times => 1, fault => { kind => 'status', status => 500 });
	like(
		scalar sqlstate_of(
			$node,
			"SELECT canopy_create_servicing('$pull_id', jsonb_build_array($add), dry_run => true)"),
		qr/^(08|58)/,
		'if that cannot be told, nothing is');
	is(query($node, 'SELECT count(*) FROM canopy_summit.job'), $jobs, 'nothing is enqueued');
	return;
}

sub refused
{
	for my $code (qw(INVALID_INPUT PULL_TOO_OLD INVALID_USERNAME))
	{
		$sandbox->arm(
			match => { path => '/servicings', method => 'POST' }, times => 1,
			fault => { kind => 'status', status => 400, body => { error => $code } });
		like(
			done("canopy_create_servicing('$pull_id', jsonb_build_array($add))"),
			qr/^failed server answered 400 $code/, $code);
	}
	$sandbox->arm(
		match => { path => '/servicings', method => 'POST' }, times => 1,
		fault => { kind => 'status', status => 403, body => { error => 'SUBSCRIPTION_INACTIVE' } });
	like(
		done("canopy_create_servicing('$pull_id', jsonb_build_array($add))"),
		qr/^failed server answered 403 SUBSCRIPTION_INACTIVE/, 'not in the plan');
	return;
}

sub lost
{
	my $before = sent_count('post-servicings');
	$sandbox->arm(match => { path => '/servicings', method => 'POST' }, times => 1, fault => { kind => 'reset' });
	my $job_id = query($node, "SELECT canopy_create_servicing('$pull_id', jsonb_build_array($add))");
	settled($node, $job_id);
	is(sent_count('post-servicings'), $before + 1, 'it is sent once');
	return;
}

sub confirms
{
	my ($id, $servicing_pull) = created();
	like(done("canopy_confirm_servicing('$id')"), qr/^succeeded/, 'confirmed');
	is_deeply(
		sent('post-servicing-action'), { servicing_action_id => $id, is_confirmed => JSON::PP::true },
		'as the API wants it');
	like(done("canopy_confirm_servicing('$id')"), qr/^failed server answered 400 INVALID_ACTION/, 'once');
	($id, $servicing_pull) = created();
	like(done("canopy_confirm_servicing('$id', false)"), qr/^succeeded/, 'or not');
	is(sent('post-servicing-action')->{is_confirmed}, JSON::PP::false, '… which is sent');
	like(done("canopy_sync_servicings('$servicing_pull')"), qr/^succeeded/, 'what came of it is asked for');
	is(query($node, 'SELECT status, told_at IS NOT NULL FROM canopy.servicing_action'), 'UNCONFIRMED|t', '… and known');
	return;
}

sub lists
{
	my $count = 230;
	query(
		$node,
		"SELECT canopy_create_servicing('$pull_id', (SELECT jsonb_agg($add) FROM generate_series(1, $count)))");
	all_settled($node);
	query($node, 'TRUNCATE canopy_summit.servicing_action, canopy_summit.servicing_answer');
	my $all = query(
		$node,
		q{SELECT sum((SELECT count(*) FROM jsonb_array_elements(canopy_call('get-servicings',
			jsonb_build_object('limit', 100, 'offset', n))))) FROM unnest('{0,100,200}'::int[]) AS n});
	cmp_ok($all, '>=', $count, 'there are many');
	for my $time (1, 2)
	{
		query($node, 'SELECT canopy_sync_servicings()');
		all_settled($node);
		is(query($node, 'SELECT count(*) FROM canopy.servicing_action'), $all, "all $all are found");
		is( query(
				$node,
				q{SELECT state, done FROM canopy_summit.progress WHERE what = 'servicings'
				ORDER BY task_id DESC LIMIT 1}
			),
			"done|$all",
			'operators see how far it is');
	}
	is( query(
			$node,
			q{SELECT count(*) FROM canopy.servicing_action WHERE type IS NULL OR payload IS NULL OR status IS NULL}),
		0,
		'with what there is to know');
	is(query($node, 'SELECT count(*) FROM canopy.servicing_status'), $all, 'and a status each');
	$sandbox->arm(
		match => { path => '/servicings' },
		times => 5,
		fault => {
			kind => 'body',
			body => {
				total_servicings => 1000,
				servicings => [
					map {
						{ servicing_action_id => "same$_", status => 'QUEUED', type => 'ADD_MORTGAGEE', payload => {} }
					} 1 .. 100 ] } });
	$sandbox->clear_log;
	query($node, 'SELECT canopy_sync_servicings()');
	all_settled($node);
	is(sent_count('get-servicings'), 2, 'a server that repeats itself ends it');
	$sandbox->clear;
	for my $body ('[]', '[1, null, "x", {}]', '{}', '[{"servicing_action_id": 1, "status": {}}]')
	{
		$sandbox->arm(
			match => { path => '/servicings' }, times => 1,
			fault => { kind => 'body', body => { servicings => $json->decode($body) } });
		like(done('canopy_sync_servicings()'), qr/^succeeded/, "whatever it says: $body");
		all_settled($node);
	}
	$sandbox->clear;
	return;
}

sub told
{
	my ($id, $servicing_pull) = created();
	my $tell = sub {
		my ($age, %data) = @_;
		my %webhook = (
			event_type => 'SERVICING_STATUS_UPDATED', pull_id => $servicing_pull, pull_type => 'SERVICING',
			status => 'SERVICING',
			data => { servicing_action_id => $id, original_pull_id => $pull_id, %data });
		is(CanopyWebhook::receive($node, 'canopy', \%webhook, $age), '200 stored', 'a webhook tells');
		soon_ok(
			'… and is applied',
			sub { query($node, q{SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'}) == 0 });
	};
	my $state = 'SELECT status, is_manual, document_id, payload IS NOT NULL FROM canopy.servicing_action';
	$tell->('2 min', status => 'SUBMITTED', previous_status => 'PROCESSING', is_manual => JSON::PP::true);
	is(query($node, $state), 'SUBMITTED|t||t', 'the newest, and what was known');
	like(done(qq{canopy_enqueue('get-servicing', '{"servicingActionId": "$id"}')}), qr/^succeeded/, 'an answer tells');
	is(query($node, $state), 'WAITING_FOR_CONSUMER_CONFIRMATION|t||t', 'a newer status, and nothing else');
	$tell->('1 min', status => 'VERIFIED', document_id => 'doc', is_manual => JSON::PP::false);
	is(query($node, $state), 'WAITING_FOR_CONSUMER_CONFIRMATION|f|doc|t', 'an older webhook tells what only it knows');
	$tell->('10 s', is_manual => JSON::PP::true);
	is(query($node, $state), 'WAITING_FOR_CONSUMER_CONFIRMATION|t||t', 'one without a status tells the rest');
	is( query(
			$node,
			q{SELECT string_agg(concat_ws(' ', status, previous_status, webhook_id IS NOT NULL), ', ' ORDER BY told_at)
			FROM canopy.servicing_status}
		),
		'SUBMITTED PROCESSING t, VERIFIED t, t, WAITING_FOR_CONSUMER_CONFIRMATION f',
		'the history of both');
	return;
}

sub token
{
	my ($id, $servicing_pull) = created();
	my $jwt = query($node, "SELECT pull_jwt FROM canopy_summit.pull_jwt WHERE pull_id = '$servicing_pull'");
	like($jwt, qr/.{10}/, 'it is kept');
	like(done("canopy_confirm_servicing('$id')"), qr/^succeeded/, 'and sent');
	my ($dump) = PostgreSQL::Test::Utils::run_command([ 'pg_dump', '-d', $node->connstr('postgres') ]);
	unlike($dump, qr/\Q$jwt\E/, 'no dump has it');
	is( query(
			$node,
			"SELECT count(*) FROM canopy_summit.job j, canopy_summit.job_response r WHERE concat(j.*, r.*) ~ '"
			  . quotemeta($jwt) . q{'}),
		0,
		'nor a job or its answer');
	query($node, <<~'SQL');
		CREATE ROLE has_admin LOGIN;
		SELECT canopy_summit.grant_access('has_admin', 'admin');
		SQL
	is( scalar sqlstate_of($node, 'SET ROLE has_admin; SELECT FROM canopy_summit.pull_jwt'), '42501',
		'no level reads it');
	my ($other) = created();
	query($node, 'UPDATE canopy_summit.pull_jwt SET instance = ~instance');
	my ($sqlstate, $message, $detail, $hint) = sqlstate_of($node, "SELECT canopy_confirm_servicing('$other')");
	is($sqlstate, '55000', 'one of another instance is not used');
	like($hint, qr/in no dump/, '… as the hint says');
	is( scalar sqlstate_of(
			$node, qq{SELECT canopy_enqueue('post-servicing-action', '{"pullId": "$servicing_pull"}',
			'{"servicing_action_id": "$other", "is_confirmed": true}')}
		),
		'55000',
		'… however it is enqueued');
	query($node, q{UPDATE canopy_summit.pull_jwt SET received_at = now() - interval '31 days'});
	created();
	is(query($node, 'SELECT count(*) FROM canopy_summit.pull_jwt'), 1, 'old ones go');
	return;
}

sub levels
{
	query($node, <<~'SQL');
		CREATE ROLE has_reader LOGIN;
		CREATE ROLE has_fetcher LOGIN;
		SELECT canopy_summit.grant_access('has_reader', 'reader'), canopy_summit.grant_access('has_fetcher', 'fetcher');
		GRANT USAGE ON FOREIGN SERVER canopy TO has_fetcher;
		SQL
	for my $call (
		"canopy_create_servicing('$pull_id', '[]')", 'canopy_sync_servicings()',
		q{canopy_confirm_servicing('a')})
	{
		is(scalar sqlstate_of($node, "SET ROLE has_$_; SELECT $call"), '42501', "not $_: $call") for qw(reader fetcher);
	}
	is( query($node, 'SET ROLE has_reader; SELECT type, payload, confirmation_data FROM canopy.servicing_action'),
		'ADD_MORTGAGEE||', 'readers see what, and nobody');
	return;
}
