# CanopyExport.pm - exports to property systems: facts to export, files as another program reads them.
package CanopyExport;

use strict;
use warnings;

use CanopyUpload qw(payload literal);
use Encode qw(encode);
use Exporter 'import';
use IPC::Run ();
use JSON::PP ();

our @EXPORT = qw(literal_of fact_of uploaded export_file export_rows export_problems
  forget_exports);

my $json = JSON::PP->new->canonical->ascii;

# A value as an SQL literal, whatever is in it and however strings are read.
sub literal_of
{
	my ($value) = @_;
	return 'NULL' unless defined $value;
	return "'$value'" if $value =~ /^[\x20-\x26\x28-\x5b\x5d-\x7e]*$/;
	return "convert_from(decode('" . unpack('H*', encode('UTF-8', $value)) . "', 'hex'), 'UTF8')";
}

# A certificate that facts alone tell of, by columns of summit.certificate_fact.
sub fact_of
{
	my (%columns) = @_;
	my @names = sort keys %columns;
	my $values = join ', ',
	  map { literal_of($columns{$_}) . ($_ =~ /^(?:endorsements|facts)$/ ? '::jsonb' : '') } @names;
	return 'INSERT INTO summit.certificate_fact (' . join(', ', @names) . ") VALUES ($values)";
}

# A certificate that was uploaded and accepted, as a restored row is.
my $uploads = 1000;

sub uploaded
{
	my ($node, $policy, $change, %columns) = @_;
	my $payload = literal(payload($policy, $change));
	my $id = ++$uploads;
	my $more = join '', map { ", $_" } sort keys %columns;
	my $values = join '', map { ', ' . literal_of($columns{$_}) } sort keys %columns;
	$node->safe_psql('postgres', <<~"SQL");
		INSERT INTO summit.upload (upload_id, payload, server, owner, status, policy_number, insurer_name, policy_type,
			effective_date, expiry_date, holder_name, property_id, unit_id, lease_id, tenant_id, uploaded_at,
			accepted_at, job_id, server_oid, instance$more)
		SELECT $id, p, 'summit', current_user, 'accepted', p #>> '{policy,policy_number}',
			p #>> '{policy,insurer_name}', p #>> '{policy,policy_type}', (p #>> '{policy,effective_date}')::date,
			(p #>> '{policy,expiry_date}')::date, p #>> '{certificate_holder,name}', r.property_id, r.unit_id,
			r.lease_id, r.tenant_id, now(), now(), $id, s.oid, canopy_summit.instance()$values
		FROM (VALUES ($payload)) AS v(p), pg_foreign_server s,
			jsonb_to_record(p #> '{certificate_holder,reference_ids}') AS r(property_id text, unit_id text,
				lease_id text, tenant_id text)
		WHERE s.srvname = 'summit';
		INSERT INTO canopy_summit.job (job_id, server, operation, params, owner, state, priority, run_at, enqueued_at,
			attempts, max_attempts, fence, instance)
		VALUES ($id, 'summit', 'upload-policy', '{}', current_user, 'succeeded', 5, now(), now(), 1, 5, 1,
			canopy_summit.instance());
		SELECT canopy_summit.apply_upload_events(ARRAY[$id])
		SQL
	return;
}

# The bytes of a file. Options as Perl data; server.
sub export_file
{
	my ($node, $system, $options, $server) = @_;
	my $arguments = join ', ', "'$system'", literal_of($json->encode($options // {})) . '::jsonb',
	  defined $server ? "'$server'" : ();
	return pack 'H*', $node->safe_psql('postgres', "SELECT encode(summit_export_file($arguments), 'hex')");
}

# Rows of a file as Python's csv reads them, strictly, without the first line; texts.
sub export_rows
{
	my ($node, $system, $options, $server) = @_;
	my $file = export_file($node, $system, $options, $server);
	my $encoding = ($options // {})->{encoding} // 'UTF8';
	my $program = <<~'END';
		import csv, io, json, sys
		text = sys.stdin.buffer.read().decode(sys.argv[1])
		print(json.dumps(list(csv.reader(io.StringIO(text, newline=''), delimiter=sys.argv[2], strict=True))))
		END
	my %python = (WIN1252 => 'cp1252');
	my ($rows, $error);
	IPC::Run::run(
		[ 'python3', '-c', $program, $python{$encoding} // 'utf-8-sig', ($options // {})->{delimiter} // ',' ],
		'<', \$file, '>', \$rows, '2>', \$error) or die "python could not read the file: $error";
	return [ splice @{ JSON::PP::decode_json($rows) }, 1 ];
}

# No certificate, roster or style of anybody's is left.
sub forget_exports
{
	my ($node) = @_;
	$node->safe_psql('postgres', <<~'SQL');
		TRUNCATE summit.certificate_fact, canopy_summit.certificate, canopy_summit.policy_status,
			canopy_summit.status_event,
			canopy_summit.export_line, canopy_summit.export_feed, canopy_summit.export_pending,
			canopy_summit.disclosure,
			summit.property, summit.property_reference, summit.upload, canopy_summit.job, canopy_summit.import_problem;
		DELETE FROM summit.export_column WHERE NOT builtin;
		DELETE FROM summit.export_system WHERE NOT builtin
		SQL
	return;
}

# What is listed of a system: row by its policy number, severity, problem.
sub export_problems
{
	my ($node, $system, $where) = @_;
	return $node->safe_psql(
		'postgres',
		"SELECT policy_number || '|' || severity || '|' || problem FROM summit.export_problem
		WHERE system = '$system' AND server = 'summit' AND "
		  . ($where // 'true') . ' ORDER BY row_key::bigint, problem');
}

1;
