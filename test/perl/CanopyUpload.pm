# CanopyUpload.pm - uploads to the sandbox's Summit: a server for it, payloads, and what became of them.
package CanopyUpload;

use strict;
use warnings;

use CanopyTest;
use Exporter 'import';
use JSON::PP ();
use MIME::Base64 qw(encode_base64);

our @EXPORT = qw(
  create_summit_server add_summit_mapping document example payload literal upload settles_as poll_now
  summit_log uploads_at_summit effect_rows
);

my $json = JSON::PP->new->canonical;

# The extension, a server for the sandbox's Summit, and a mapping of the current user, whose secret
# is in a file. Options as for create_canopy_server().
sub create_summit_server
{
	my ($node, $sandbox, %options) = @_;
	my $ready = $sandbox->{ready};
	my $server = $options{server} // 'summit';
	my $list = CanopyTest::option_list(
		base_url => $ready->{summit_base_url},
		auth_url => $ready->{summit_auth_url},
		ca_file => $sandbox->ca_file,
		allow_private_addresses => 'true',
		environment => 'sandbox',
		%{ $options{options} // {} });

	$node->safe_psql($options{database} // 'postgres', <<~"END");
		SET client_min_messages = error;
		CREATE EXTENSION IF NOT EXISTS canopy_summit;
		CREATE SERVER $server FOREIGN DATA WRAPPER summit_api OPTIONS ($list);
		END
	add_summit_mapping($node, $sandbox, %options);
	return;
}

# A mapping for one more role. Options: database, server, role, mapping.
sub add_summit_mapping
{
	my ($node, $sandbox, %options) = @_;
	my $server = $options{server} // 'summit';
	my $role = $options{role} // 'CURRENT_USER';
	my $list = CanopyTest::option_list(
		client_id => $sandbox->{ready}{summit_client_id},
		client_secret_file => CanopyTest::secret_file($sandbox->{ready}{summit_client_secret}),
		%{ $options{mapping} // {} });

	$node->safe_psql($options{database} // 'postgres', "CREATE USER MAPPING FOR $role SERVER $server OPTIONS ($list)");
	return;
}

# The bytes of a document that is what it looks like, as short as can be: pdf, png or jpeg.
sub document
{
	my ($kind) = @_;
	my %documents = (
		pdf => "%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
		  . "trailer<</Root 1 0 R>>\n%%EOF\n",
		png => pack('H*', '89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000049454e44ae426082'),
		jpeg => pack('H*', 'ffd8ffe000104a46494600010100000100010000ffd9'));
	return $documents{$kind} // die "no document $kind";
}

# The body of the guide's curl example to the letter, with a document in its placeholder.
sub example
{
	my $base64 = encode_base64(document('pdf'), '');
	my $text = <<~'END';
		{
		 "policy": {
		 "policy_number": "ABC123456",
		 "insurer_name": "Example Insurance Company of Canada",
		 "policy_type": "CGL",
		 "effective_date": "2025-01-01",
		 "expiry_date": "2026-01-01",
		 "limits": {"per_occurrence": 2000000, "aggregate": 5000000},
		 "cancellation_notice_days": 30,
		 "endorsements": ["Additional Insured", "Waiver of Subrogation"]
		 },
		 "certificate_holder": {
		 "name": "ABC Apartments",
		 "address": "123 Main St, Kelowna, BC V1Y 1A1",
		 "additional_insured": true,
		 "waiver_of_subrogation": true,
		 "reference_ids": {
		 "property_id": "KEL-001",
		 "unit_id": "Unit-204",
		 "lease_id": "L-7788",
		 "tenant_id": "RES-9981"
		 }
		 },
		 "documents": {
		 "coi_pdf": {"content_type": "application/pdf", "base64": "{BASE64_PDF}"}
		 }
		 }
		END
	$text =~ s/\{BASE64_PDF\}/$base64/;
	return $text;
}

# The example with another policy number and without its document; a function may change it.
sub payload
{
	my ($policy_number, $change) = @_;
	my $payload = $json->decode(example());

	$payload->{policy}{policy_number} = $policy_number;
	delete $payload->{documents};
	$change->($payload) if $change;
	return $json->encode($payload);
}

# A payload as an SQL literal.
sub literal { return CanopyTest::quoted($_[0]) . '::jsonb' }

# Uploads a payload; returns the upload's id. Options: arguments, more arguments in SQL; before, a
# statement to run first; database.
sub upload
{
	my ($node, $payload, %options) = @_;
	my $arguments = join ', ', literal($payload), $options{arguments} // ();
	return $node->safe_psql(
		$options{database} // 'postgres',
		($options{before} // '') . "SET client_min_messages = warning; SELECT summit_upload_policy($arguments)");
}

# The status at which an upload ends, or that it has once it has the expected one; dies if it takes too long. Summit is
# asked at once, and not after a second, unless there shall be no more polls than there would be: hurries => 0.
sub settles_as
{
	my ($node, $upload_id, $status, $seconds, %options) = @_;
	my $hurries = $options{hurries} // 1;
	my $last = '';

	CanopyTest::wait_until(
		"upload $upload_id is $status",
		sub {
			$last = $node->safe_psql('postgres', <<~"SQL");
				SELECT status FROM summit.upload_status WHERE upload_id = $upload_id
				SQL
			return 1 if $last eq $status || $last !~ /^(?:queued|sending|accepted)$/;
			poll_now($node) if $last eq 'accepted' && $hurries-- > 0;
			return 0;
		},
		$seconds);
	return $last;
}

# Has the polls that are due later made at once.
sub poll_now
{
	my ($node) = @_;
	$node->safe_psql('postgres', <<~'SQL');
		UPDATE canopy_summit.job SET run_at = now() WHERE operation = 'get-job' AND state = 'queued' AND run_at > now();
		SELECT canopy_summit.wake()
		SQL
	return;
}

# The requests of one operation in the sandbox's log.
sub summit_log
{
	my ($sandbox, $operation) = @_;
	return grep { ($_->{operation} // '') eq $operation } $sandbox->log;
}

# The requests that uploaded a policy.
sub uploads_at_summit
{
	my ($sandbox, $policy_number) = @_;
	return grep { ($_->{body} // '') =~ /"\Q$policy_number\E"/ } summit_log($sandbox, 'upload-policy');
}

# What the sandbox counts for a policy: { idempotency_key, requests, effects, bodies, job_id } for each key.
sub effect_rows
{
	my ($sandbox, $policy_number) = @_;
	my $rows = $sandbox->control(GET => 'effects/summit')->{uploads};
	return defined $policy_number ? grep { ($_->{policy_number} // '') eq $policy_number } @$rows : @$rows;
}

1;
