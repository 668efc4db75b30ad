-- canopy/onboarding.sql: how far somebody is who begins with Canopy Connect.
-- Replaceable.
--
-- The boxes of the integration guide's checklist (section 15), in its words. What is done follows from what is here: a
-- delivery is only stored if its signature was right, and a document only where the server's option asks for it.

SELECT canopy_summit.define_view('canopy.onboarding',
	'the boxes of the integration guide''s checklist, for each server of Canopy Connect, or the one that is to be made: whether it is done, and the statement that does it', $view$
SELECT s.server, s.environment, b.phase, b.number, b.box, b.done, b.statement
FROM (
	SELECT f.oid, f.srvname::text AS server, canopy_summit.server_environment(f.srvname::text) AS environment, f.srvoptions
	FROM pg_catalog.pg_foreign_server f JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = f.srvfdw
	WHERE w.fdwname = 'canopy_api'
	UNION ALL
	SELECT NULL, coalesce(nullif(current_setting('canopy_summit.canopy_server', true), ''), 'canopy'), 'production', NULL
	WHERE NOT EXISTS (
		SELECT FROM pg_catalog.pg_foreign_server f JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = f.srvfdw WHERE w.fdwname = 'canopy_api')
) AS s, LATERAL (VALUES
	(1, 1, 'Create API keys (sandbox + production)',
		EXISTS (SELECT FROM pg_catalog.pg_user_mappings u WHERE u.srvid = s.oid),
		CASE WHEN s.oid IS NULL THEN format('CREATE SERVER %I FOREIGN DATA WRAPPER canopy_api OPTIONS (team_id ''...''); ', s.server) ELSE '' END
			|| format('CREATE USER MAPPING FOR CURRENT_USER SERVER %I OPTIONS (client_id ''...'', client_secret_file ''/etc/canopy/secret'');', s.server)),
	(1, 2, 'Create/configure Widget (public alias)',
		EXISTS (SELECT FROM pg_catalog.pg_options_to_table(s.srvoptions) o WHERE o.option_name = 'public_alias'),
		format('ALTER SERVER %I OPTIONS (ADD public_alias ''...'');', s.server)),
	(1, 3, 'Embed SDK and open Connect flow',
		EXISTS (SELECT FROM canopy_summit.pull_progress p WHERE p.server = s.server)
			OR EXISTS (SELECT FROM canopy_summit.pull_state p WHERE p.server = s.server),
		format('SELECT canopy_connect_link(server => %L); -- or examples/connect.html', s.server)),
	(1, 4, 'Implement webhook endpoint (POLICIES_AVAILABLE, COMPLETE, ERROR)',
		EXISTS (SELECT FROM canopy_summit.pull_progress p WHERE p.server = s.server
			AND (p.policies_at IS NOT NULL OR p.completed_at IS NOT NULL OR p.error_at IS NOT NULL)),
		format('SELECT canopy_register_webhook(%L, ''{AUTH_STATUS,POLICIES_AVAILABLE,COMPLETE}'', server => %L); -- ERROR in Canopy''s dashboard',
			'https://.../webhooks/' || s.server, s.server)),
	(1, 5, 'Fetch pull on webhook and store raw JSON (versioned)',
		EXISTS (SELECT FROM canopy_summit.pull_state p WHERE p.server = s.server),
		format('SELECT * FROM canopy_fetch_pull(''...'', server => %L); -- webhooks have it done', s.server)),
	(2, 6, 'Add signature verification',
		EXISTS (SELECT FROM canopy_summit.pull_progress p WHERE p.server = s.server),
		format('ALTER USER MAPPING FOR CURRENT_USER SERVER %I OPTIONS (ADD webhook_secret_file ''/etc/canopy/webhook-secrets'');', s.server)),
	(2, 7, 'Add idempotency keys + durable queue processing',
		EXISTS (SELECT FROM canopy_summit.job j WHERE j.server = s.server AND j.state = 'succeeded'),
		'ALTER SYSTEM SET shared_preload_libraries = canopy_summit; -- beside what is there; then restart, and canopy_enqueue_fetch(''...'')'),
	(2, 8, 'Implement document download (on COMPLETE)',
		EXISTS (SELECT FROM canopy_summit.document_file f WHERE f.server = s.server AND f.kind = 'document' AND f.state = 'here'),
		format('ALTER SERVER %I OPTIONS (ADD download_documents ''true'');', s.server)),
	(2, 9, 'Map Pull -> internal models (auto/home/commercial/life)',
		EXISTS (SELECT FROM canopy_summit.policy p WHERE p.server = s.server),
		format('SELECT * FROM canopy.policy WHERE server = %L;', s.server)),
	(3, 10, 'Enrichment endpoints',
		EXISTS (SELECT FROM canopy_summit.enrichment e WHERE e.server = s.server),
		format('SELECT canopy_enrich_property(''...'', server => %L);', s.server)),
	(3, 11, 'Monitoring subscriptions + MONITORING_RECONNECT handling',
		EXISTS (SELECT FROM canopy_summit.monitoring m WHERE m.server = s.server),
		format('SELECT canopy_monitor_pull(''...'', server => %L); SELECT * FROM canopy.reconnect_needed WHERE server = %1$L;', s.server)),
	(3, 12, 'DATA_UPDATED handling (driver changes)',
		EXISTS (SELECT FROM canopy_summit.data_update u WHERE u.server = s.server),
		format('SELECT * FROM canopy.data_update WHERE server = %L; -- the event is chosen in Canopy''s dashboard', s.server)),
	(4, 13, 'Servicing flows + confirmation UX',
		EXISTS (SELECT FROM canopy_summit.servicing_action a WHERE a.server = s.server),
		format('SELECT canopy_create_servicing(''...'', ''[...]'', dry_run => true, server => %L);', s.server)),
	(4, 14, 'PolicyCheck (if you use it)',
		EXISTS (SELECT FROM canopy_summit.policy_check c WHERE c.server = s.server),
		format('SELECT canopy_check_policies(''...'', server => %L);', s.server)),
	(4, 15, 'Policy forms download (if relevant)',
		EXISTS (SELECT FROM canopy_summit.document_file f WHERE f.server = s.server AND f.kind = 'policy_form' AND f.state = 'here'),
		format('SELECT canopy_enqueue_documents(''...'', ''policy_form'', server => %L);', s.server))
) AS b(phase, number, box, done, statement)$view$, $notes$
phase: of the checklist: 1 basic, 2 operational, 3 value-add, 4 advanced
number: of the box, 1 to 15
box: what there is to do, in the guide's words
done: whether what is here shows that it was done
statement: what does it, where it is not done; the three dots are for you to fill in$notes$);
