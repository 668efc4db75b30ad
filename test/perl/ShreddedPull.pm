# ShreddedPull.pm - whether the entity rows of a pull are what its JSON says, worked out from the API's
# own description: which schema is which table, which field which column.
#
# A pull becomes a tree of objects; each object has one row, and each row one object. What an object
# holds is in the columns of its fields' names, or, where there is no such column or the value does
# not fit it, at its place in the row's extra; and a row holds nothing else. An object without any field
# that its table knows is none, and stays in the extra of the object that it is in. A lender that a
# dwelling or vehicle itself names is an object like one of its mortgagees.
package ShreddedPull;

use strict;
use warnings;

use Encode ();
use Exporter 'import';
use File::Basename qw(dirname);
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Time::Local qw(timegm_modern);

our @EXPORT = qw(read_json entity_rows problems_of objects_of);

# Schemas whose table has another name than theirs in snake case.
my %table_of = (
	AgentInfo => 'agent',
	AnswerField => 'answer',
	FileUpload => 'answer_file',
	LifePolicyBeneficiary => 'life_beneficiary',
	LifePolicyDetails => 'life_details',
	LifePolicyRider => 'life_rider');

# Schemas whose id has another name than theirs.
my %id_of = (
	AnswerField => 'consumer_flow_section_field_id',
	AnswerSection => 'consumer_flow_section_id');

# Rows where the API's description has none: of an agent's address only if it is an object.
my %more_fields = (
	Pull => { primary_address => { ref => 'Address' } },
	AgentInfo => { address => { ref => 'Address', or_text => 1 } });

# Other spellings of fields.
my %spelling_of = (LifePolicyBeneficiary => { name_insured_id => 'named_insured_id' });

# Where a table's objects name a lender, and the number of the loan.
my %lender_of = (dwelling => [qw(mortgagee_name mortgage_loan_number)], vehicle => ['lien_holder']);

# Schemas without a table: their fields are columns or rows of the object that holds them.
my %is_inlined = map { $_ => 1 } qw(PullFunnel PullAssignee LifePolicy);

# Columns that are no field.
my %is_engine = map { $_ => 1 } qw(server pull_id environment is_current ordinal parent_ordinal address_role extra);

my $json = JSON::PP->new->canonical->allow_nonref->max_depth(10_000);
my $schemas =
  read_json(slurp_file(dirname(__FILE__) . '/../sandbox/data/canopy-api.json'))->{schemas};
for my $schema (keys %more_fields)
{
	%{ $schemas->{$schema}{fields} } = (%{ $schemas->{$schema}{fields} }, %{ $more_fields{$schema} });
}
my $columns; # of each table, while a pull is made into objects

# Perl data from JSON in UTF-8.
sub read_json { my ($bytes) = @_; return JSON::PP->new->utf8->allow_nonref->max_depth(10_000)->decode($bytes) }

# { types => { table => { column => type } }, pulls => { pull id => { table => [ row, … ] } } } of a server's rows.
sub entity_rows
{
	my ($node, $database) = @_;
	my $types = read_json($node->safe_psql($database // 'postgres', <<~'END'));
		SELECT jsonb_object_agg(entity, columns)
		FROM canopy_summit.entities() AS entity, LATERAL (
			SELECT jsonb_object_agg(attname,
				(CASE typbasetype WHEN 0 THEN t.oid ELSE typbasetype END)::regtype) AS columns
			FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
			WHERE attrelid = format('canopy_summit.%I', entity)::regclass AND attnum > 0 AND NOT attisdropped) AS c;
		END
	my $all = join ', ',
	  map { "'$_', (SELECT jsonb_agg(to_jsonb(e) ORDER BY pull_id, ordinal) FROM canopy_summit.$_ e)" }
	  grep { $_ ne 'pull' } sort keys %$types;
	my $rows = read_json($node->safe_psql($database // 'postgres', <<~"END"));
		SET timezone = 'UTC';
		SELECT jsonb_build_object('pull',
			(SELECT jsonb_agg(to_jsonb(e) ORDER BY pull_id) FROM canopy_summit.pull e), $all);
		END
	my %pulls;

	for my $table (keys %$rows)
	{
		push @{ $pulls{ $_->{pull_id} }{$table} }, $_ for @{ $rows->{$table} // [] };
	}
	return { types => $types, pulls => \%pulls };
}

# The objects of a pull that are rows: { table, path, leaves, extra, parent, role } each, parents first.
# A leaf is { column, value, place in extra, path }; extra has what no column can hold. `types` are entity_rows()'s.
sub objects_of
{
	my ($pull, $types) = @_;
	my @objects;

	$columns = $types;
	add_object(\@objects, 'Pull', $pull, '', undef, undef);
	return @objects;
}

sub add_object
{
	my ($objects, $schema, $value, $path, $parent, $role) = @_;
	my $object = {
		schema => $schema,
		table => table_of($schema),
		path => $path,
		leaves => [],
		extra => {},
		parent => $parent,
		role => $role };

	push @$objects, $object;
	add_fields($objects, $object, $schema, $value, '', []);
	add_lender($objects, $object) if $lender_of{ $object->{table} };
	return;
}

# The lender that an object itself names, unless it is among its mortgagees.
sub add_lender
{
	my ($objects, $object) = @_;
	my @columns = qw(mortgagee_name mortgage_loan_number);
	my @own = map { leaf_text($object, $_) } @{ $lender_of{ $object->{table} } };
	my @listed = grep { $_->{table} eq 'mortgagee' && ($_->{parent} // 0) == $object } @$objects;

	return if !grep { defined } @own;
	for my $lender (@listed)
	{
		my @theirs = map { leaf_text($lender, $_) } @columns;
		my ($names, $numbers) = map { defined $own[$_] && defined $theirs[$_] } 0, 1;
		return if $numbers ? $own[1] eq $theirs[1] : $names && lc $own[0] eq lc $theirs[0];
	}
	push @$objects, {
		schema => 'Mortgagee', table => 'mortgagee', path => "$object->{path} as lender", extra => {},
		parent => $object,
		leaves => [
			map { { column => $columns[$_], value => $own[$_], place => [ $columns[$_] ] } }
			grep { defined $own[$_] } 0, 1 ] };
	return;
}

# What a text column has of an object; undef if nothing.
sub leaf_text
{
	my ($object, $column) = @_;
	my ($value) = map { single($_->{value}) } grep { $_->{column} eq $column } @{ $object->{leaves} };
	return !defined $value || (ref $value && !JSON::PP::is_bool($value)) || $value eq '' ? undef : text_of($value);
}

# Whether a column of a schema's table is no field of it; the account is one of the pull alone.
sub is_engine
{
	my ($schema, $column) = @_;
	return $is_engine{$column} || ($column eq 'account_identifier' && $schema ne 'Pull');
}

# Whether a value is an object with a field that the schema's table knows.
sub is_row
{
	my ($schema, $value) = @_;
	my $table = table_of($schema);

	return 0 if ref $value ne 'HASH';
	for my $key (keys %$value)
	{
		return 1 if exists $schemas->{$schema}{fields}{$key} || defined twin_of($schema, $key);
		return 1
		  if $columns
		  && exists $columns->{$table}{$key}
		  && !is_engine($schema, $key)
		  && $key !~ /^declared_/
		  && !($table eq 'pull' && $key =~ /^funnel_/)
		  && !($table eq 'policy' && $key =~ /^life_/);
	}
	return 0;
}

# Whether a value says nothing.
sub is_empty
{
	my ($value) = @_;
	return !defined $value
	  || (ref $value eq 'HASH' ? !%$value : ref $value eq 'ARRAY' ? !@$value : !ref $value && $value eq '');
}

# The field that a key is another spelling of: of rows in PascalCase or camelCase, or one of a list.
sub twin_of
{
	my ($schema, $key) = @_;
	my $field = $spelling_of{$schema}{$key};

	return $field if defined $field;
	return undef if $key !~ /[A-Z]/;
	$field = $key =~ s/(?<=.)([A-Z])/_$1/gsr;
	$field =~ tr/A-Z/a-z/;
	my $node = $schemas->{$schema}{fields}{$field} // return undef;
	$node = $node->{items} while ($node->{type} // '') eq 'array' && ref $node->{items};
	my ($target) = grep { defined } map { $_->{ref} // $_->{items}{ref} } $node, @{ $node->{any} // [] };
	return defined $target && has_fields($schemas->{$target}) && !$is_inlined{$target} ? $field : undef;
}

# The field that each key of an object stands for, where it is not its own: if that says nothing, and only once.
sub twins_in
{
	my ($schema, $value) = @_;
	my (%twins, %taken);

	for my $key (sort { length(Encode::encode_utf8($a)) <=> length(Encode::encode_utf8($b)) || $a cmp $b } keys %$value)
	{
		next if exists $schemas->{$schema}{fields}{$key} || is_empty($value->{$key});
		my $field = twin_of($schema, $key) // next;
		$twins{$key} = $field if is_empty($value->{$field}) && !$taken{$field}++;
	}
	return %twins;
}

sub table_of
{
	my ($schema) = @_;
	return $table_of{$schema} // snake_case($schema);
}

sub snake_case { my ($name) = @_; return lc($name =~ s/(?<=.)([A-Z])/_$1/gr) }

sub add_fields
{
	my ($objects, $object, $schema, $value, $prefix, $place) = @_;
	my %twins = twins_in($schema, $value);

	for my $key (sort keys %$value)
	{
		my $here = { objects => $objects, object => $object, prefix => $prefix, place => [ @$place, $key ] };
		my $field = $twins{$key} // $key;
		my $node = $schemas->{$schema}{fields}{$field};
		my $target = $node && rows_schema($node, $value->{$key});

		$here->{path} = join '.', grep { $_ ne '' } $object->{path}, @{ $here->{place} };
		if (!defined $node) { put_extra($object, $here->{place}, $value->{$key}) }
		elsif (!defined $target) { add_leaf($here, $schema, $field, $value->{$key}) }
		elsif ($is_inlined{$target}) { add_inlined($here, $target, $key, $value->{$key}) }
		else { add_children($here, $target, "$prefix$field", $value->{$key}) }
	}
	return;
}

# The schema whose rows or columns a field holds; undef if it is one value.
sub rows_schema
{
	my ($node, $value) = @_;

	return undef
	  if $node->{or_text}
	  && !(grep { is_row($node->{ref}, $_) }
		ref $value eq 'HASH' ? ($value, values %$value) : ref $value eq 'ARRAY' ? @$value : ());
	return undef if $node->{or_text} && ref $value eq 'ARRAY' && grep { is_misfit($node->{ref}, $_) } @$value;
	return $node->{ref} if exists $node->{ref} && has_fields($schemas->{ $node->{ref} });
	return rows_schema($node->{items}, $value) if ($node->{type} // '') eq 'array';
	return undef if !exists $node->{any};
	# Of several forms, rows are an array of objects; nulls among them say nothing.
	return undef if ref $value ne 'ARRAY' || !(grep { ref eq 'HASH' && %$_ } @$value);
	my ($schema) = grep { defined } map { rows_schema($_, $value) } @{ $node->{any} };
	return defined $schema && !(grep { is_misfit($schema, $_) } @$value) ? $schema : undef;
}

# Whether an element of a list is neither a row nor nothing.
sub is_misfit
{
	my ($schema, $value) = @_;
	return defined $value && !(ref $value eq 'HASH' && (!%$value || is_row($schema, $value)));
}

sub has_fields { my ($node) = @_; return ref $node->{fields} eq 'HASH' && %{ $node->{fields} } }

sub add_leaf
{
	my ($here, $schema, $key, $value) = @_;
	my $column = "$here->{prefix}$key";

	# The pull's id is every row's key; others have a column of their own.
	return if $schema eq 'Pull' && $column eq 'pull_id';
	$column = "declared_$column" if $is_engine{$column};
	push @{ $here->{object}{leaves} },
	  { column => $column, value => $value, place => $here->{place}, path => $here->{path} };
	return;
}

sub add_inlined
{
	my ($here, $schema, $key, $value) = @_;

	if (ref $value eq 'HASH')
	{
		add_fields($here->{objects}, $here->{object}, $schema, $value, "$here->{prefix}${key}_", $here->{place});
	}
	elsif (defined $value) { put_extra($here->{object}, $here->{place}, $value) }
	return;
}

sub add_children
{
	my ($here, $schema, $role, $value) = @_;
	my $add = sub { my ($row, $path) = @_; add_object($here->{objects}, $schema, $row, $path, $here->{object}, $role) };

	if (is_row($schema, $value)) { $add->($value, $here->{path}) }
	elsif (ref $value eq 'ARRAY')
	{
		my @misfits = grep { is_misfit($schema, $_) } @$value;
		put_extra($here->{object}, $here->{place}, \@misfits) if @misfits;
		$add->($value->[$_], "$here->{path}.$_") for grep { is_row($schema, $value->[$_]) } 0 .. $#$value;
	}
	elsif (ref $value eq 'HASH' && grep { is_row($schema, $_) } values %$value)
	{
		my %misfits = map { $_ => $value->{$_} } grep { is_misfit($schema, $value->{$_}) } keys %$value;
		put_extra($here->{object}, $here->{place}, \%misfits) if %misfits;
		$add->($value->{$_}, "$here->{path}.$_") for grep { is_row($schema, $value->{$_}) } sort keys %$value;
	}
	elsif (defined $value && !(ref $value eq 'HASH' && !%$value)) { put_extra($here->{object}, $here->{place}, $value) }
	return;
}

sub put_extra
{
	my ($object, $place, $value) = @_;
	$object->{extra} = put_at($object->{extra}, $place, $value);
	return;
}

# The hash with a value at a place in it, made on the way.
sub put_at
{
	my ($hash, $place, $value) = @_;
	my ($key, @rest) = @$place;
	return { %{ $hash // {} }, $key => @rest ? put_at($hash->{$key}, \@rest, $value) : $value };
}

# What is wrong with the rows of a pull, in words; nothing if they are right.
sub problems_of
{
	my ($pull, $rows, $types) = @_;
	my @objects = objects_of($pull, $types);
	my %left = map { $_ => [ @{ $rows->{$_} } ] } keys %$rows;
	my @problems;

	for my $object (@objects)
	{
		next if $object->{parent} && !$object->{parent}{row};
		my $candidates = $left{ $object->{table} } // [];
		my @mismatches;
		for my $i (0 .. $#$candidates)
		{
			my $mismatch = mismatch($object, $candidates->[$i], $types->{ $object->{table} });
			if (!defined $mismatch)
			{
				$object->{row} = splice @$candidates, $i, 1;
				last;
			}
			push @mismatches, $mismatch;
		}
		next if $object->{row};
		@mismatches = sort { $b->{depth} <=> $a->{depth} } @mismatches;
		push @problems,
		  "$object->{path}: no row of $object->{table}, " . ($mismatches[0]{text} // 'which has none left');
	}
	push @problems,
	  map { "a row of $_ is of no object: " . $json->encode($left{$_}[0]) } grep { @{ $left{$_} } } sort keys %left;
	return @problems;
}

# Why a row is not the object's: { text, depth }, the deeper the closer; undef if it is.
sub mismatch
{
	my ($object, $row, $types) = @_;
	my $parent = $object->{parent};
	my $extra = { %{ $object->{extra} } };
	my @leaves = @{ $object->{leaves} };
	my %explained;
	my $depth = 0;

	# A field that no schema declares may still have a column, such as the id of an object above.
	for my $key (grep { exists $types->{$_} && !is_engine($object->{schema}, $_) && !/^declared_/ } keys %$extra)
	{
		push @leaves, { column => $key, value => delete $extra->{$key}, place => [$key] };
	}

	return { text => 'of that parent', depth => 0 }
	  if $parent && $row->{parent_ordinal} != ($parent->{row}{ordinal} // 1);
	return { text => 'of that role', depth => 0 }
	  if exists $types->{address_role} && $row->{address_role} ne $object->{role};
	for my $leaf (@leaves)
	{
		my $column = $leaf->{column};
		my $shown = $row->{$column};
		my $value = $leaf->{value};

		$explained{$column} = 1 if defined $shown;
		$depth++;
		next if exists $types->{$column} && fits($types->{$column}, $value, $shown);
		if (exists $types->{$column} && is_nothing($types->{$column}, $value))
		{
			next if !defined $shown;
			$explained{$column} = 0;
			next;
		}
		# Beside a value that does not fit, the column has what it has without one: nothing, or the id of an object
		# above.
		return { text => "$column is " . $json->encode($shown) . ' for ' . $json->encode($value), depth => $depth }
		  if defined $shown && $shown ne (ancestor_id($object, $column) // '');
		$extra = put_at($extra, $leaf->{place}, $value);
	}
	for my $column (grep { defined $row->{$_} && !$is_engine{$_} && !$explained{$_} } sort keys %$row)
	{
		my $id = ancestor_id($object, $column);
		return { text => "$column is " . $json->encode($row->{$column}) . ' for nothing', depth => $depth }
		  if !defined $id || $id ne $row->{$column};
	}
	return { text => 'extra is ' . $json->encode($row->{extra}) . ' for ' . $json->encode($extra), depth => $depth + 1 }
	  if $json->encode($row->{extra} // {}) ne $json->encode($extra);
	return undef;
}

# What a column takes over: the id of the nearest object above with this name, or the account of the pull.
sub ancestor_id
{
	my ($object, $column) = @_;

	for (my $above = $object->{parent}; $above; $above = $above->{parent})
	{
		my $id = $id_of{ $above->{schema} } // snake_case($above->{schema}) . '_id';
		return $above->{row}{$column}
		  if $id eq $column || ($column eq 'account_identifier' && $above->{schema} eq 'Pull');
	}
	return undef;
}

# What leaves a column NULL.
sub is_nothing
{
	my ($type, $value) = @_;

	$value = single($value) if $type !~ /^(?:jsonb|text\[\])$/;
	return !defined $value || (!ref $value && $value eq '' && $type ne 'jsonb');
}

# Whether a column of the type says what the JSON value says.
sub fits
{
	my ($type, $value, $shown) = @_;

	return 0 if !defined $shown;
	return $json->encode(nested($value)) eq $json->encode($shown) if $type eq 'jsonb';
	if ($type eq 'text[]')
	{
		my @wanted = ref $value eq 'ARRAY' ? @$value : ($value);
		return @wanted == @$shown && !grep { !is_text($wanted[$_], $shown->[$_]) } 0 .. $#wanted;
	}
	$value = single($value);
	return 0 if !defined $value || (ref $value && !JSON::PP::is_bool($value));
	return is_text($value, $shown) if $type eq 'text';
	return text_of($value) =~ /^\s*(?:t|true|y|yes|1)\s*$/i ? !!$shown : !$shown if $type eq 'boolean';
	return (day_of($value) // '') eq $shown if $type eq 'date';
	return (moment_of($value) // -1) == moment_of($shown) if $type eq 'timestamp with time zone';
	return $value =~ /^\s*[-+]?[0-9.]+(?:e[-+]?\d+)?%?\s*$/i && ($value =~ s/%//r) == $shown;
}

# The element of an array of one.
sub single
{
	my ($value) = @_;
	$value = $value->[0] while ref $value eq 'ARRAY' && @$value == 1;
	return $value;
}

sub text_of
{
	my ($value) = @_;
	return $value if !JSON::PP::is_bool($value);
	return $value ? 'true' : 'false';
}

# Whether a text says what a scalar says; a number may be written in more ways than one.
sub is_text
{
	my ($value, $shown) = @_;
	return !defined $value && !defined $shown if !defined $value || !defined $shown;
	return 0 if ref $value && !JSON::PP::is_bool($value);
	return text_of($value) eq $shown || (is_number($value) && $value == $shown);
}

sub is_number { my ($value) = @_; return $json->encode($value) =~ /^[-\d]/ }

# A text that is a JSON object or array of its own is read as that.
sub nested
{
	my ($value) = @_;
	return $value if ref $value || !defined $value || $value !~ /^\s*[\[\{]/;
	return eval { JSON::PP->new->max_depth(10_000)->decode($value) } // $value;
}

# Seconds since 1970 of an API date, in UTC.
sub moment_of
{
	my ($value) = @_;
	return timegm_modern(0, 0, 0, $2, $1 - 1, $3) if $value =~ m{^(\d\d)/(\d\d)/(\d{4})$};
	my ($year, $month, $day, $hour, $minute, $second, $zone) =
	  $value =~ /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|[-+]\d\d(?::?\d\d)?)?)?$/
	  or return undef;
	my $moment =
	  eval { timegm_modern($second // 0, $minute // 0, $hour // 0, $day, $month - 1, $year) } // return undef;

	if (($zone // 'Z') =~ /^([-+])(\d\d):?(\d\d)?$/)
	{
		$moment -= ($1 eq '-' ? -1 : 1) * ($2 * 60 + ($3 // 0)) * 60;
	}
	return $moment;
}

# The day as written, whatever the offset: Canopy's US midnights come in UTC.
sub day_of
{
	my ($value) = @_;
	return undef if !defined moment_of($value);
	return $value =~ m{^(\d\d)/(\d\d)/(\d{4})$} ? "$3-$1-$2" : substr $value, 0, 10;
}

1;
