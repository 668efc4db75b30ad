-- csv: whether what property systems write is read as they mean it, whatever it holds, and what is written is read again.
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
\pset format unaligned
\pset null '-'

-- The error, with its context, and never a word of what the file holds.
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	detail text;
	hint text;
	context text;
BEGIN
	EXECUTE statement INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, '  detail: ' || nullif(detail, ''), '  hint: ' || nullif(hint, ''),
		'  context: ' || (SELECT string_agg(line, ', ') FROM string_to_table(context, E'\n') AS line WHERE line LIKE '%CSV%'));
END
$$;
-- Each record as its line, and its fields as JSON.
CREATE FUNCTION pg_temp.rows(csv text, delimiter text DEFAULT ',') RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.outcome(format('SELECT string_agg(line || '': '' || to_json(fields), chr(10) ORDER BY line) FROM canopy_summit.csv_rows(%L, %L)', csv, delimiter))
$$;

-- Fields, in quotes and without; a line that is blank has one field.
SELECT what, pg_temp.rows(csv) AS rows FROM (VALUES ('nothing', ''), ('a blank line', E'\n'), ('a field', 'a'), ('a line', E'a,b\n'), ('no end of the last', E'a,b\nc,d'), ('as many fields as there are', E'a\nb,c,d\n\ne,f'),
	('empty fields', E',"",,""""\n""\n'), ('blanks', E' a , "b" ,\t\n'), ('quotes', E'"a ""b"" c","d,e",f"g"h\n"""",""""""\n'), ('line breaks in fields', E'a,"b\nc\n"\n"\n",d\ne\n'),
	('a mark', E'\uFEFFa,b\n'), ('a mark before a quote', E'\uFEFF"a,b",c\n'), ('a mark in the middle', E'a,\uFEFFb\n'), ('a mark alone', E'\uFEFF'), ('semicolons', E'a;b\n'), ('backslashes', E'\\N,\\,a\\nb,\\"\\"\n'),
	('NULL', E'NULL,null,\\N\n'), ('letters', E'Zo\u00EB,\u4E2D,\U0001F600\n'), ('a control character', E'a\x01,\x7f\n')) AS v(what, csv);
SELECT pg_temp.rows(E'a;"b;c";d,e\n', ';') AS semicolon, pg_temp.rows(E'a\tb, \t"c\td"\n', E'\t') AS tab, pg_temp.rows('a|b', '|') AS bar;

-- Line ends: those of the first line are the file's, others belong into quotes. Lines are counted as an editor does.
SELECT what, pg_temp.rows(csv) AS rows FROM (VALUES ('CRLF', E'a,b\r\nc,d\r\n'), ('CR', E'a,b\rc,d\r'), ('CRLF, no end of the last', E'a\r\nb'), ('LF in CRLF, as Excel', E'a,"b\nc"\r\n"d\ne\nf"\r\ng\r\n'), ('CRLF in LF', E'"a\r\nb"\nc\n'),
	('all of them in the first', E'"a\rb\nc\r\nd"\r\ne\r\n'), ('CR in CRLF', E'a,"\r"\r\nb\r\n'), ('CRLF, then LF', E'a\r\nsecret\nc\r\n'), ('LF, then CRLF', E'a\nsecret\r\nc\n'), ('LF, then CR', E'a\nsecret\rc\n'), ('CR, then LF', E'a\rsecret\nc\r')) AS v(what, csv);

-- A quote that nobody closes.
SELECT pg_temp.rows('"secret'), pg_temp.rows(E'a,b\n"c\nd",e\nf,"secret\ng,h\n'), pg_temp.rows(E'a,b"secret\n');

-- What ends COPY's own files is a field like another.
SELECT what, pg_temp.rows(csv) AS rows FROM (VALUES ('LF', E'a\n\\.\nb\n'), ('CRLF', E'a\r\n\\.\r\nb\r\n'), ('CR', E'a\r\\.\rb\r'), ('the first', E'\\.\na\n'), ('after a mark', E'\uFEFF\\.\na\n'), ('the last', E'a\n\\.'), ('twice', E'\\.\n\\.\n\\.\n'), ('with more', E'\\.,a\n\\.b\na,\\.\n'),
	('in quotes', E'"\\."\n"a\n\\.\nb"\n\\.\nc\n'), ('after quotes', E'"a"\n\\.\n"b ""c"""\n\\.\nd\n')) AS v(what, csv);

SELECT delimiter, pg_temp.rows('a', delimiter), pg_temp.outcome(format('SELECT canopy_summit.csv_line(%L, %L)', '{secret}', delimiter)) FROM unnest(ARRAY['', '"', E'\n', E'\r', E'\\', ',,', E'\u00E9']) AS delimiter;
SELECT canopy_summit.csv_rows(NULL, ','), canopy_summit.csv_rows('a', NULL);

-- Many, and large.
SELECT line, cardinality(fields), fields[1], fields[10000] FROM canopy_summit.csv_rows((SELECT string_agg('c' || n, ',') FROM generate_series(1, 10000) n) || E'\n' || repeat(',', 9999) || E'\nx\n', ',');
SELECT count(*), max(line), sum(cardinality(fields)), min(fields[2]), max(length(fields[3])) FROM canopy_summit.csv_rows((SELECT string_agg(format(E'%s,"a\n""b""",%s\n', n, repeat('x', n % 100)), '') FROM generate_series(1, 50000) n), ',');
SELECT line, length(fields[1]), length(fields[2]) FROM canopy_summit.csv_rows('"' || repeat(E'a""\n', 200000) || '",' || repeat(E'\u4E2D', 100000) || E'\nb', ',');
-- In a statement that reads two at once, and where the rest is not wanted.
SELECT a.line, b.line, a.fields || b.fields AS fields FROM canopy_summit.csv_rows(E'a\nb', ',') a, LATERAL canopy_summit.csv_rows(E'c\nd\n', a.fields[1] || '') b;
SELECT a.fields || b.fields AS fields FROM canopy_summit.csv_rows(E';\n|\n', ',') a, LATERAL canopy_summit.csv_rows(E'c;d|e\n', a.fields[1]) b;
SELECT (canopy_summit.csv_rows(E'a\n"b\nc"\nd', ',')).* LIMIT 2;
-- The client's encoding is nothing to it.
SET client_encoding = 'LATIN1';
SELECT length(fields[1]), fields[1] = U&'Zo\00EB' AS same FROM canopy_summit.csv_rows(U&'Zo\00EB,b', ',');
RESET client_encoding;
-- The table that COPY is shown is left alone.
SELECT count(*) FROM canopy_summit.import_problem;

-- Lines: quotes where they are needed, and no others.
SELECT cells, '<' || canopy_summit.csv_line(cells, ',') || '>' AS line, canopy_summit.csv_line(cells, ';') AS semicolon
FROM (VALUES ('{}'::text[]), ('{NULL}'), ('{""}'), ('{NULL,NULL}'), ('{"",""}'), ('{"",NULL,a}'), ('{a,b}'), ('{"a,b","a;b"}'), ('{"\""}'), ('{"a\"b\"\"c"}'), ('{"\"a\""}'),
	('{" a","a "," "," a "}'), ('{"a b"}'), (ARRAY[E'a\nb', E'a\rb', E'a\r\nb']), (ARRAY[E'\ta', E'a\tb', E'a\t']), (ARRAY[E'Zo\u00EB', E'\u4E2D,\u6587']), ('{\\,\\N,\\.,=1+1}'), ('{{a,b},{c,"d,e"}}'), ('[3:4]={x,y}')) AS v(cells);
SELECT canopy_summit.csv_line(NULL, ','), canopy_summit.csv_line('{a}', NULL), canopy_summit.csv_line(ARRAY['a|b', E'a\tb'], '|') AS bar, canopy_summit.csv_line(ARRAY['a|b', E'a\tb'], E'\t') AS tab;
SELECT length(canopy_summit.csv_line(ARRAY[repeat('"', 1000000), repeat('a', 1000000)], ','));
-- What is written is read again; of the empty, only what is alone keeps being no NULL.
SELECT count(*), count(*) FILTER (WHERE r.fields IS DISTINCT FROM c.cells) AS lost
FROM (SELECT n, array_agg(CASE (n * 7 + i * 13) % 11 WHEN 0 THEN NULL ELSE left(translate(encode(sha256((n || ' ' || i)::bytea), 'escape'), 'abcdefghij0123', E'",\n\r; \t\\.'), 1 + (n + i) % 20) END ORDER BY i) AS cells
	FROM generate_series(1, 2000) n, generate_series(1, 2 + n % 5) i GROUP BY n) AS c,
	LATERAL canopy_summit.csv_rows(canopy_summit.csv_line(c.cells, ',') || E'\n', ',') AS r;

-- The bytes of a file.
SELECT bytes, pg_temp.outcome(format('SELECT to_json(canopy_summit.csv_text(%L))', bytes)) AS text
FROM unnest(ARRAY['', 'a,b', '\x5a6fc3ab', '\x5a6feb', '\xefbbbf', '\xefbbbf612c62', '\xefbbbfc3ab', '\xefbbbfefbbbf61', '\xefbbbfeb', '\xefbb', '\x93a99480', '\xe4b8ad', '\xe4b8', '\xeda080', '\xc080', '\xf4908080',
	'\x81', '\x61008d', '\x00', '\x6100', '\xefbbbf6100', '\xfffe6100', '\xfeff0061', '\xff', '\x610d0a6209']::bytea[]) AS bytes;
SELECT canopy_summit.csv_text(NULL), length(canopy_summit.csv_text(decode(repeat('eb', 2000000), 'hex'))), length(canopy_summit.csv_text(decode(repeat('c3ab', 1000000), 'hex')));
SELECT r.* FROM canopy_summit.csv_rows(canopy_summit.csv_text('\xefbbbf4e6f6d3b56696c6c650d0a225a6fc3ab223b224d6f6e7472c3a9616c220d0a'), ';') r;

-- They are the engine's.
CREATE ROLE regress_canopy_csv;
SELECT canopy_summit.grant_access('regress_canopy_csv', level) FROM canopy_summit.access_levels();
SELECT name, has_function_privilege('regress_canopy_csv', name, 'EXECUTE') FROM unnest('{"canopy_summit.csv_rows(text,text)","canopy_summit.csv_line(text[],text)",canopy_summit.csv_text(bytea)}'::text[]) AS name;
DROP OWNED BY regress_canopy_csv;
DROP ROLE regress_canopy_csv;
DROP EXTENSION canopy_summit CASCADE;
