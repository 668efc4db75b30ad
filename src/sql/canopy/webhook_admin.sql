-- canopy/webhook_admin.sql: the webhooks that Canopy sends.
-- Replaceable.

CREATE FUNCTION @extschema@.canopy_webhooks(server name DEFAULT NULL)
RETURNS TABLE (webhook_id text, hook_url text, event_types text[], is_active boolean)
LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10
BEGIN ATOMIC
	SELECT w.item ->> 'webhook_id', w.item ->> 'url',
		CASE pg_catalog.jsonb_typeof(w.item -> 'event_types') WHEN 'array' THEN
			ARRAY(SELECT pg_catalog.jsonb_array_elements_text(w.item -> 'event_types')) END,
		CASE w.item ->> 'is_active' WHEN 'true' THEN true WHEN 'false' THEN false END
	FROM pg_catalog.jsonb_array_elements(
		@extschema@.canopy_call('get-webhooks', '{}', NULL, canopy_webhooks.server)) WITH ORDINALITY AS w(item, n)
	ORDER BY w.n;
END;
COMMENT ON FUNCTION @extschema@.canopy_webhooks(name) IS
	'lists the webhooks that Canopy sends for keys like the server''s (sandbox or production), without their secrets';

CREATE FUNCTION @extschema@.canopy_register_webhook(hook_url text, event_types text[], server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_register_webhook'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_register_webhook(text, text[], name) IS
	'has Canopy send events to an https URL; returns the job, whose signing secret canopy_summit.take_secret() gives';

CREATE FUNCTION @extschema@.canopy_change_webhook(webhook_id text, is_active boolean DEFAULT NULL, event_types text[] DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_change_webhook'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_change_webhook(text, boolean, text[], name) IS
	'changes what is not NULL of a webhook: whether it is sent, and for which events; returns the job';

CREATE FUNCTION @extschema@.canopy_delete_webhook(webhook_id text, server name DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'canopy_summit_delete_webhook'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION @extschema@.canopy_delete_webhook(text, name) IS 'has Canopy forget a webhook; returns the job';
