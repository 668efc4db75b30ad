-- webhook: signatures verified, explained and made; deliveries received once.
-- Nothing is committed: a worker that applies them would be in the way.
BEGIN;
SET client_min_messages = warning;
CREATE EXTENSION canopy_summit;
SET timezone = 'UTC';
\pset null '-'
\pset format unaligned

CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	message text;
	hint text;
BEGIN
	EXECUTE statement INTO answer;
	RETURN answer;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || ': ' || message || CASE WHEN hint <> '' THEN E'\n  hint: ' || hint ELSE '' END;
END
$$;

-- Vectors computed by `openssl dgst -sha256 -hmac`: Canopy's sample secret; the keys of RFC 4231's cases 2 and 6 (none
-- of its messages has the form of a time, a dot and a body); a secret, and bytes, beyond ASCII.
CREATE TEMP TABLE vector (name text, secret text, t bigint, body bytea, digest text);
INSERT INTO vector VALUES
	('guide', 'cBiN66y0wYlbnwJiBu4wRAWceeL8jMJyhH/PjRYzTylTM9IfkJwOZ/Yfwi4dpZM5', 1645638136,
		convert_to('{"widget_id":"d2bb6d56-15ff-4760-a27c-362f9bce645a","event_type":"COMPLETE","data":{}}', 'UTF8'),
		'e8b4c0c6d48c63f13dfb565e1e16d0942d30dfa8f280e855996bb7fd8f7fce7b'),
	('short key', 'Jefe', 1700000000, 'what do ya want for nothing?', '1cdd0650c8be1cb0974b1788d458b1e781206cfef59b85faafc582d2e182c57e'),
	('long key', repeat('k', 131), 1700000000, 'Test Using Larger Than Block-Size Key - Hash Key First', '6ae05600506732a693181b30b3cac89fd6bfaea2c9546bd7961b31847fcd29d3'),
	('json', 'whsec_test', 1700000000, '{"a": 1}', 'f9086839ba44ac933ad5d79a65f74e64811e534328d3bf3c278acf3329bf7ce5'),
	('empty body', 'whsec_test', 1700000000, '', '5967f3c560522fa40cf2876ebc3c3a08551dd6959aaade3b413460591895bdcc'),
	('UTF-8 key', 'sécret ☃', 1700000000, '{"a": 1}', 'f5865c73020292a46e2da4dbe99d699a24d4601b451e0dcccea74c7a0ed1bf16'),
	('bytes', 'whsec_test', 1700000000, '\x00ff0d0a', 'eb4e6ab8f7a476102185313f67f23026c26e1f8527a9646293bf13ae843a587c');
SELECT name, length(body), verify_webhook_sig(secret, h.header, body, '0', to_timestamp(t)) AS secret_bytea,
	verify_webhook_sig(ARRAY['wrong', NULL, '', secret], h.header, body, '0', to_timestamp(t)) AS secrets_bytea,
	CASE WHEN name <> 'bytes' THEN verify_webhook_sig(secret, h.header, convert_from(body, 'UTF8'), '0', to_timestamp(t)) END AS secret_text,
	CASE WHEN name <> 'bytes' THEN verify_webhook_sig(ARRAY[secret], h.header, convert_from(body, 'UTF8'), '0', to_timestamp(t)) END AS secrets_text,
	sign_webhook(secret, body, CASE dialect WHEN 's' THEN 'canopy' ELSE 'summit' END, to_timestamp(t)) = h.header AS signed,
	dialect
FROM vector, unnest('{s,v1}'::text[]) AS dialect, LATERAL (SELECT format('t=%s,%s=%s', t, dialect, digest)) AS h(header) ORDER BY name, dialect;
-- The wrong secret, none, and the wrong body.
SELECT verify_webhook_sig('wrong', h, body, '0', at), verify_webhook_sig('', h, body, '0', at), verify_webhook_sig('{}'::text[], h, body, '0', at),
	verify_webhook_sig(ARRAY[NULL, '']::text[], h, body, '0', at), verify_webhook_sig(secret, h, body || '\x00', '0', at), verify_webhook_sig(secret, h, ''::bytea, '0', at)
FROM vector, LATERAL (SELECT format('t=%s,s=%s', t, digest), to_timestamp(t)) AS x(h, at) WHERE name = 'json';

-- Forms of the header.
CREATE TEMP TABLE form (header text);
INSERT INTO form SELECT replace(replace(replace(replace(f, 'GOOD', digest), 'UPPER', upper(digest)), 'BAD', repeat('0', 64)), '#', t::text)
FROM vector, unnest(ARRAY['t=#,s=GOOD', 't=#,v1=GOOD', 't=#,s=UPPER', 's=GOOD,t=#', 't=#,s=BAD,s=GOOD', 't=#,v1=BAD,v1=GOOD,s=BAD', 't=#,v0=x,s=GOOD',
	't=#,' || repeat('s=BAD,', 9) || 's=GOOD', 't=#,' || repeat('s=BAD,', 10) || 's=GOOD', 't=#,s=BAD', 't=#', 's=GOOD', '', 't=#,s=', 't=#,s=GOOD0', 't=#,s=' || left(digest, 63),
	't=#,s=' || left(digest, 63) || 'l', 't=#,t=#,s=GOOD', 't=#, s=GOOD', ' t=#,s=GOOD', 't=# ,s=GOOD', 't=#,s=GOOD ', E't=#\t, \t s=GOOD', ' , t=#,s=GOOD', 't =#,s=GOOD', 't= #,s=GOOD', 't=#,s= GOOD', E't=#,\ns=GOOD', 't=#,s=GO OD', 't=#,s=GOOD,', 't=#;s=GOOD', 't:#,s:GOOD', 'T=#,S=GOOD',
	't=,s=GOOD', 't=0,s=GOOD', 't=-#,s=GOOD', 't=+#,s=GOOD', 't=0#,s=GOOD', 't=#.0,s=GOOD', 't=1.7e9,s=GOOD', 't=0x6553f100,s=GOOD', 't=١٧٠٠٠٠٠٠٠٠,s=GOOD', 't=9223372036854775808,s=GOOD',
	't=999999999999,s=GOOD', 't=2147483648,s=GOOD', 't=#,x=' || repeat('y', 20000) || ',s=GOOD']) AS f WHERE name = 'json';
SELECT left(header, 100) AS header, verify_webhook_sig('whsec_test', header, '{"a": 1}', received_at => to_timestamp(1700000000)) AS valid,
	explain_webhook_sig('whsec_test', header, '{"a": 1}', received_at => to_timestamp(1700000000)) AS reason
FROM form;

-- The key of the last secret is kept: it is no other's. In turn with others, one that begins like it and one that is too long among them.
SELECT count(*), count(*) FILTER (WHERE verify_webhook_sig(a, sign_webhook(b, body, 'canopy', to_timestamp(t)), body, '0', to_timestamp(t)) <> (a = b)) AS wrong,
	count(*) FILTER (WHERE a = b) AS same
FROM vector, unnest(ARRAY['Jefe', 'Jeff', 'Jef', repeat('k', 256), repeat('k', 257), repeat('k', 257) || 'l', 'Jefe']) AS a, unnest(ARRAY['Jefe', 'Jef', repeat('k', 256), repeat('k', 257), repeat('k', 257) || 'l']) AS b
WHERE name = 'json';

-- A NULL verifies nothing, and is never the answer.
SELECT format('verify_webhook_sig(%s)', arguments) AS call, pg_temp.outcome(format('SELECT verify_webhook_sig(%s)', arguments)) AS answer,
	pg_temp.outcome(format('SELECT explain_webhook_sig(%s)', arguments)) AS reason
FROM unnest(ARRAY['NULL::text, h, b, i, r', 'NULL::text[], h, b, i, r', 's, NULL, b, i, r', 's, h, NULL::bytea, i, r', 's, h, NULL::text, i, r', 's, h, b, NULL, r', 's, h, b, i, NULL',
	'ARRAY[s], NULL, b, i, r', 'ARRAY[s], h, NULL::text, i, r', 's, h, b, i, ''infinity''', 's, h, b, i, ''-infinity''', 's, h, b, i, r']) AS a,
	LATERAL (SELECT replace(replace(replace(replace(replace(replace(a, 's,', '''whsec_test'','), 'ARRAY[s]', 'ARRAY[''whsec_test'']'), ' h,', ' ''t=1700000000,s=f9086839ba44ac933ad5d79a65f74e64811e534328d3bf3c278acf3329bf7ce5'','),
		' b,', ' ''{"a": 1}''::bytea,'), ' i,', ' ''1 min'','), ' r', ' to_timestamp(1700000000)')) AS x(arguments);
SELECT verify_webhook(NULL, '{}', ''), verify_webhook('none', NULL, ''), verify_webhook('none', '{}', NULL);

-- How old, and how far ahead.
SELECT seconds, verify_webhook_sig('whsec_test', header, '{"a": 1}', received_at => at) AS default_tolerance, explain_webhook_sig('whsec_test', header, '{"a": 1}', received_at => at) AS reason,
	verify_webhook_sig('whsec_test', header, '{"a": 1}', '0', at) AS zero, verify_webhook_sig('whsec_test', header, '{"a": 1}', '1 day', at) AS a_day
FROM unnest('{-86401,-86400,-301,-300,-1,0,1,300,300.000001,301,86400,86401}'::numeric[]) AS seconds,
	LATERAL (SELECT to_timestamp(1700000000) + seconds * interval '1 second', 't=1700000000,s=f9086839ba44ac933ad5d79a65f74e64811e534328d3bf3c278acf3329bf7ce5') AS x(at, header);
SELECT tolerance, pg_temp.outcome(format('SELECT verify_webhook_sig(''s'', ''t=1,s=x'', ''b''::bytea, %L)', tolerance)) AS outcome
FROM unnest('{0,24 hours,1 day,23:59:59.999999,1 mon,-1 mon,1 year,-1 s,-1 day,24:00:00.000001,1 day 1 s,2 days,1 day -1 hour,1 mon -30 days}'::text[]) AS tolerance;
-- The clock, and not the transaction's start.
SELECT pg_sleep(1.1);
SELECT verify_webhook_sig('s', sign_webhook('s', 'b'::text), 'b'::text, '1 s'), verify_webhook_sig('s', sign_webhook('s', 'b'::text, at => now()), 'b'::text, '1 s');

-- Signing.
SELECT pg_temp.outcome(statement) FROM unnest(ARRAY[
	$$SELECT sign_webhook('whsec_test', '{"a": 1}'::text, 'canopy', '2023-11-14 22:13:20.9Z')$$, $$SELECT sign_webhook('whsec_test', '{"a": 1}'::bytea, 'summit', '2023-11-14 22:13:20Z')$$,
	$$SELECT sign_webhook('s', 'b'::text, 'Canopy')$$, $$SELECT sign_webhook('s', 'b'::text, 'canopy', '1970-01-01Z')$$, $$SELECT sign_webhook('s', 'b'::text, 'canopy', '1960-01-01Z')$$,
	$$SELECT sign_webhook('s', 'b'::text, 'canopy', 'infinity')$$, $$SELECT sign_webhook('s', 'b'::text, NULL)$$]) AS statement;

-- The inbox: two servers, whose owner's mapping has the secret; and one without.
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox');
CREATE SERVER summit FOREIGN DATA WRAPPER summit_api OPTIONS (environment 'sandbox');
CREATE SERVER bare FOREIGN DATA WRAPPER canopy_api OPTIONS (environment 'sandbox');
CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (webhook_secret 'canopy secret');
CREATE USER MAPPING FOR CURRENT_USER SERVER summit OPTIONS (webhook_secret 'summit secret');
CREATE FUNCTION pg_temp.headers(body text, name text DEFAULT 'Canopy-Signature', secret text DEFAULT 'canopy secret', age interval DEFAULT '0') RETURNS jsonb
LANGUAGE sql AS $$ SELECT jsonb_build_object('Content-Type', 'application/json', name, sign_webhook(secret, body, CASE WHEN name ILIKE '%summit%' THEN 'summit' ELSE 'canopy' END, clock_timestamp() - age)) $$;
CREATE FUNCTION pg_temp.receive(server name, headers jsonb, body text) RETURNS text
LANGUAGE sql AS $$ SELECT http_status || ' ' || outcome || CASE WHEN webhook_id IS NULL THEN '' ELSE ' webhook' END FROM receive_webhook(server, headers, convert_to(body, 'UTF8')) $$;
\set complete '{"event_type": "COMPLETE", "pull_id": "p1", "data": {}}'
\set submitted '{"delivery_id": "d1", "event": "policy.submitted", "occurred_at": "2025-10-30T17:35:12Z", "attempt": 1, "data": {"policy": {"policy_number": "P1"}}}'

SELECT pg_temp.receive('canopy', pg_temp.headers(:'complete'), :'complete') AS first, pg_temp.receive('canopy', pg_temp.headers(:'complete'), :'complete') AS again;
SELECT pg_temp.receive('canopy', pg_temp.headers(:'complete', age => '7 h 12 min'), :'complete') AS late, pg_temp.receive('canopy', pg_temp.headers(:'complete', age => '8 h 1 s'), :'complete') AS too_late;
SELECT pg_temp.receive('canopy', pg_temp.headers(:'complete', 'cAnOpY-sIgNaTuRe'), :'complete') AS any_case, pg_temp.receive('canopy', pg_temp.headers(:'complete', 'signature'), :'complete') AS another_name,
	pg_temp.receive('canopy', pg_temp.headers(:'complete', 'X-Summit-Signature'), :'complete') AS of_the_other;
SELECT pg_temp.receive('canopy', pg_temp.headers(:'complete', 'canopy-signature') || pg_temp.headers(:'complete', 'Canopy-Signature'), :'complete') AS repeated,
	pg_temp.receive('canopy', '{"canopy-signature": "t=1,s=x"}' || pg_temp.headers(:'complete'), :'complete') AS beside_another;
SELECT pg_temp.receive('canopy', '{}', :'complete') AS none, pg_temp.receive('canopy', '[]', :'complete') AS array, pg_temp.receive('canopy', '"x"', :'complete') AS scalar, pg_temp.receive('canopy', 'null', :'complete') AS json_null,
	pg_temp.receive('canopy', '{"canopy-signature": ["t=1,s=x"]}', :'complete') AS list, pg_temp.receive('canopy', '{"a": {"canopy-signature": 1}}', :'complete') AS nested;
SELECT pg_temp.receive('canopy', pg_temp.headers(:'complete', secret => 'summit secret'), :'complete') AS forged, pg_temp.receive('canopy', pg_temp.headers(:'complete'), :'complete' || ' ') AS changed,
	pg_temp.receive('canopy', NULL, :'complete') AS no_headers, pg_temp.receive('canopy', '{}', NULL) AS no_body;
SELECT pg_temp.receive('none', '{}', '') AS no_server, pg_temp.receive(NULL, '{}', '') AS null_server, pg_temp.receive('bare', pg_temp.headers('{}'), '{}') AS no_secret;
SELECT pg_temp.receive('summit', pg_temp.headers(:'submitted', 'x-summit-signature', 'summit secret'), :'submitted') AS first,
	pg_temp.receive('summit', pg_temp.headers(b, 'x-summit-signature', 'summit secret'), b) AS second_attempt FROM replace(:'submitted', '"attempt": 1', '"attempt": 2') AS b;
SELECT pg_temp.receive('summit', pg_temp.headers(b, 'x-summit-signature', 'summit secret'), b) AS other_body, pg_temp.receive('summit', pg_temp.headers(b, 'x-summit-signature', 'summit secret'), b) AS other_body_again FROM replace(:'submitted', 'P1', 'P2') AS b;
SELECT pg_temp.receive('summit', pg_temp.headers(:'submitted', 'x-summit-signature', 'summit secret', '5 min 1 s'), :'submitted') AS too_late;
SELECT body, pg_temp.receive('canopy', pg_temp.headers(body), body) AS canopy, pg_temp.receive('summit', pg_temp.headers(body, 'X-Summit-Signature', 'summit secret'), body) AS summit
FROM unnest(ARRAY['', 'x', '[]', '{}', '"COMPLETE"', '{"event_type": 1, "event": null}', '{"event_type": "NEW", "event": "policy.new"}', '{"event_type": "NEW", "event": "policy.new", "delivery_id": "d2"}']) AS body;
SET canopy_summit.receiver_max_body_size = '1kB';
SELECT pg_temp.receive('canopy', pg_temp.headers(b), b) AS at_limit, pg_temp.receive('canopy', pg_temp.headers(b || ' '), b || ' ') AS above FROM rpad('{"event_type": "BIG"}', 1024) AS b;
RESET canopy_summit.receiver_max_body_size;

-- The same by INSERT.
SELECT pg_temp.outcome(format('INSERT INTO canopy_summit.webhook (server, headers, body) VALUES (%s) RETURNING webhook_id > 0', v)) AS outcome
FROM unnest(ARRAY[format('''canopy'', pg_temp.headers(%1$L), %1$L', '{"event_type": "INSERTED"}'), format('''canopy'', pg_temp.headers(%1$L), %1$L', '{"event_type": "INSERTED"}'),
	format('''canopy'', pg_temp.headers(%1$L, secret => ''no''), %1$L', '{}'), '''canopy'', ''{}'', ''x''', '''canopy'', NULL, ''x''', '''canopy'', ''{}'', NULL', 'NULL, ''{}'', ''x''', '''none'', ''{}'', ''x''',
	'''bare'', ''{}'', ''x''', '''canopy'', ''{}'', convert_to(repeat('' '', 1048577), ''UTF8'')', format('''summit'', pg_temp.headers(%1$L, ''X-SUMMIT-SIGNATURE'', ''summit secret''), %1$L', 'not JSON')]) AS v;
\set QUIET off
INSERT INTO canopy_summit.webhook (server, headers, body) SELECT 'canopy', pg_temp.headers(b), convert_to(b, 'UTF8') FROM unnest(ARRAY['{"event_type": "A"}', '{"event_type": "B"}', '{"event_type": "A"}']) b;
INSERT INTO canopy_summit.webhook (server, headers, body) SELECT 'canopy', pg_temp.headers(b), convert_to(b, 'UTF8') FROM unnest(ARRAY['{"event_type": "A"}', '{"event_type": "B"}', '{"event_type": "A"}']) b;
\set QUIET on
SELECT server, event, subject, delivery_key, state, problem, instance = canopy_summit.instance() AS here, octet_length(body) AS bytes FROM canopy_summit.webhook ORDER BY webhook_id;

-- Known ones are looked up by their index, also when the statistics say that the table is small, or the search path changes.
ANALYZE canopy_summit.webhook;
SELECT seq_scan AS seq_scan_before FROM pg_stat_xact_all_tables WHERE relid = 'canopy_summit.webhook'::regclass \gset
SELECT pg_temp.receive('canopy', pg_temp.headers(b), b) AS by_function FROM format('{"event_type": "C"}') AS b;
INSERT INTO canopy_summit.webhook (server, headers, body) SELECT 'canopy', pg_temp.headers(b), convert_to(b, 'UTF8') FROM format('{"event_type": "D"}') AS b;
SET search_path = public, canopy_summit;
SELECT pg_temp.receive('canopy', pg_temp.headers(b), b) AS in_another_path FROM format('{"event_type": "C"}') AS b;
SELECT pg_temp.receive('canopy', pg_temp.headers(b), b) AS in_another_path FROM format('{"event_type": "E"}') AS b;
RESET search_path;
SELECT seq_scan - :seq_scan_before AS seq_scans FROM pg_stat_xact_all_tables WHERE relid = 'canopy_summit.webhook'::regclass;

-- Of headers that log in, only the names are kept.
SELECT pg_temp.receive('canopy', pg_temp.headers(b) || '{"Authorization": "Basic x", "COOKIE": ["a", {"b": "c"}], "proxy-authorization": null, "Authorization-Info": {"d": [1]}}', b) AS received FROM format('{"event_type": "LOGIN"}') AS b;
INSERT INTO canopy_summit.webhook (server, headers, body) SELECT 'canopy', pg_temp.headers(b) || '{"cookie": "a"}', convert_to(b, 'UTF8') FROM format('{"event_type": "LOGIN 2"}') AS b;
SELECT event, headers - 'Canopy-Signature' AS headers FROM canopy_summit.webhook WHERE event LIKE 'LOGIN%' ORDER BY webhook_id;
-- Which they are, and which are not: what a body is verified with has to stay.
SELECT pg_temp.receive('canopy', pg_temp.headers(b) || jsonb_object_agg(name, 'value'), b) AS received
FROM unnest('{Authorization,Proxy-Authorization,Cookie,Set-Cookie,X-Api-Key,X-API-KEY,api-key,apikey,Ocp-Apim-Subscription-Key,X-Auth-Token,X-CSRF-Token,X_Access_Token,X-Amzn-Oidc-AccessToken,Cf-Access-Jwt-Assertion,Client-Secret,X-Canopy-Client-Secret,x-password,X-Session-Id,X-Auth,
	X-Summit-Signature,X-Hub-Signature-256,Content-Type,Content-Length,Host,User-Agent,Accept,Via,Date,X-Forwarded-For,X-Forwarded-Proto,X-Request-Id,X-Monkey,X-Tokenizer,Author,-,X-}'::text[]) AS name, format('{"event_type": "HEADERS"}') AS b GROUP BY b;
SELECT value, string_agg(key, ' ' ORDER BY key) AS names FROM canopy_summit.webhook, jsonb_each_text(headers - 'Canopy-Signature') WHERE event = 'HEADERS' GROUP BY value;
SELECT headers ->> 'Canopy-Signature' LIKE 't=%' AS kept FROM canopy_summit.webhook WHERE event = 'HEADERS';

-- A body that is compressed is refused as such, and counted apart from forgeries, in whatever case and company.
SELECT coalesce(refused_webhooks, 0) AS refused, coalesce(encoded_webhooks, 0) AS encoded FROM canopy_summit.server_health WHERE server = 'canopy' \gset
SELECT encoding, pg_temp.receive('canopy', pg_temp.headers(b) || encoding, b) AS received
FROM unnest(ARRAY['{"Content-Encoding": "gzip"}', '{"content-encoding": "br"}', '{"CONTENT-ENCODING": ["identity", "gzip"]}', '{"content-encoding": null}', '{"Content-Encoding": "identity", "content-encoding": "deflate"}',
	'{"Content-Encoding": "identity"}', '{"content-encoding": "Identity"}', '{"content-encoding": ""}', '{"x-content-encoding": "gzip", "accept-encoding": "gzip"}', '{"data": {"content-encoding": "gzip"}}']::jsonb[]) AS encoding, format('{"event_type": "ENCODED", "data": %s}', encoding) AS b;
SELECT pg_temp.receive('canopy', pg_temp.headers('{}', secret => 'forged') || '{"Content-Encoding": "gzip"}', '{}') AS forged, pg_temp.receive('canopy', pg_temp.headers('{}', secret => 'forged'), '{}') AS forged_and_plain;
SELECT pg_temp.outcome($$INSERT INTO canopy_summit.webhook (server, headers, body) SELECT 'canopy', pg_temp.headers('{}') || '{"Content-Encoding": "gzip"}', '{}'$$) AS inserted;
SELECT refused_webhooks - :refused AS refused, encoded_webhooks - :encoded AS encoded FROM canopy_summit.server_health WHERE server = 'canopy';

-- Listeners are told of documented events by name, and of no other text that a provider writes.
SELECT DISTINCT event, canopy_summit.documented_event(event) AS told FROM canopy_summit.webhook WHERE event IN ('COMPLETE', 'LOGIN', 'policy.submitted', 'A');
SELECT canopy_summit.documented_event(NULL) AS "null", canopy_summit.documented_event('complete') AS other_case, canopy_summit.documented_event(E'COMPLETE\n') AS other_text;

-- Verified, and not stored.
SELECT verify_webhook('canopy', pg_temp.headers('x'), 'x') AS good, verify_webhook('canopy', pg_temp.headers('x'), 'y') AS other_body, verify_webhook('bare', pg_temp.headers('x'), 'x') AS no_secret,
	verify_webhook('canopy', '{}', 'x') AS no_header, verify_webhook('summit', pg_temp.headers('x', 'x-summit-signature', 'summit secret'), 'x') AS summit, verify_webhook('summit', pg_temp.headers('x'), 'x') AS wrong_header;
SELECT pg_temp.outcome($$SELECT verify_webhook('none', '{}', 'x')$$);

-- Another role's mapping, another tolerance.
CREATE ROLE regress_webhook;
ALTER SERVER canopy OPTIONS (ADD webhook_role 'regress_webhook', ADD webhook_tolerance '10 s');
SELECT verify_webhook('canopy', pg_temp.headers('x'), 'x') AS owners_secret;
CREATE USER MAPPING FOR regress_webhook SERVER canopy OPTIONS (webhook_secret 'role secret');
SELECT verify_webhook('canopy', pg_temp.headers('x'), 'x') AS owners_secret, verify_webhook('canopy', pg_temp.headers('x', secret => 'role secret'), 'x') AS roles_secret,
	verify_webhook('canopy', pg_temp.headers('x', secret => 'role secret', age => '9 s'), 'x') AS young, verify_webhook('canopy', pg_temp.headers('x', secret => 'role secret', age => '11 s'), 'x') AS old;
ALTER SERVER canopy OPTIONS (SET webhook_role 'nobody there');
SELECT verify_webhook('canopy', pg_temp.headers('x', secret => 'role secret'), 'x') AS no_role;
SELECT pg_temp.receive('canopy', pg_temp.headers('{}', secret => 'role secret'), '{}') AS no_role;
ROLLBACK;
