-- test/bench/backfill.sql - what part backfill of test/bench/run needs in its database. psql's variables:
-- base_url, ca_file.

CREATE EXTENSION canopy_summit;
CREATE SCHEMA bench;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api OPTIONS (base_url :'base_url', ca_file :'ca_file',
    allow_private_addresses 'true', team_id 'bench', max_connections '128');
CREATE USER MAPPING FOR CURRENT_USER SERVER canopy OPTIONS (client_id 'bench', client_secret 'bench');

-- TRUNCATE gives every table a new file.
CREATE PROCEDURE bench.empty_tables()
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE (SELECT 'TRUNCATE canopy_summit.account, canopy_summit.pull_state, canopy_summit.pull_version, '
                    || 'canopy_summit.document_file, canopy_summit.task, canopy_summit.task_part, '
                    || 'canopy_summit.job, canopy_summit.job_attempt, canopy_summit.job_response, '
                    || string_agg('canopy_summit.' || entity, ', ')
             FROM canopy_summit.entities() AS entity);
    COMMIT;
    CHECKPOINT;
END
$$;

-- Pulls with one document each.
CREATE PROCEDURE bench.make_documents(number integer)
LANGUAGE sql
BEGIN ATOMIC
    SELECT count(public.canopy_store_pull(jsonb_build_object('pull_id', 'd' || n, 'status', 'SUCCESS', 'documents',
        jsonb_build_array(jsonb_build_object('document_id', 'd', 'document_type', 'DECLARATIONS')))))
    FROM generate_series(1, number) n;
END;

-- Files with nothing about them, kept as ours are.
CREATE TABLE bench.file (file_id bigint PRIMARY KEY, content bytea);
ALTER TABLE bench.file ALTER COLUMN content SET STORAGE EXTERNAL;
