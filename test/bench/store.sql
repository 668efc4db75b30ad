-- test/bench/store.sql - what part store of test/bench/run needs in its database.

CREATE EXTENSION canopy_summit;
CREATE SERVER canopy FOREIGN DATA WRAPPER canopy_api;
CREATE SCHEMA bench;

-- Uncompressed, because every measurement reads it.
CREATE TABLE bench.document (pull text);
ALTER TABLE bench.document ALTER COLUMN pull SET STORAGE EXTERNAL;
-- What CREATE TABLE gives by default, and the faster compression that the extension itself uses.
CREATE TABLE bench.bare_pglz (pull jsonb COMPRESSION pglz);
CREATE TABLE bench.bare_lz4 (pull jsonb COMPRESSION lz4);
CREATE TABLE bench.result (pull_id text, version integer, changed boolean, status text);
CREATE TABLE bench.run (label text, round integer, seconds double precision);

-- Runs an INSERT in a transaction of its own and remembers how long it took, with the commit.
CREATE PROCEDURE bench.measure(label text, round integer, statement text)
LANGUAGE plpgsql
AS $$
DECLARE
    started timestamptz;
    inserted bigint;
BEGIN
    CHECKPOINT;
    COMMIT;
    started := clock_timestamp();
    EXECUTE statement;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    COMMIT;
    INSERT INTO bench.run VALUES (label, round, extract(epoch FROM clock_timestamp() - started));
    ASSERT inserted = (SELECT count(*) FROM bench.document), label || ': ' || inserted || ' rows';
    COMMIT;
END
$$;

-- TRUNCATE gives every table a new file.
CREATE PROCEDURE bench.empty_tables()
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE (SELECT 'TRUNCATE bench.bare_pglz, bench.bare_lz4, bench.result, '
                    || 'canopy_summit.account, canopy_summit.pull_state, canopy_summit.pull_version, '
                    || string_agg('canopy_summit.' || entity, ', ')
             FROM canopy_summit.entities() AS entity);
    COMMIT;
END
$$;

CREATE PROCEDURE bench.run(rounds integer)
LANGUAGE plpgsql
AS $$
DECLARE
    store CONSTANT text := 'INSERT INTO bench.result SELECT s.* FROM bench.document d, '
        'LATERAL canopy_store_pull(%s::jsonb) AS s WHERE s.changed = %s';
    changed CONSTANT text := $x$replace(d.pull, '"encountered_mfa":false', '"encountered_mfa":true')$x$;
BEGIN
    FOR round IN 1 .. rounds LOOP
        CALL bench.empty_tables();
        CALL bench.measure('INSERT, jsonb with pglz', round,
                           'INSERT INTO bench.bare_pglz SELECT pull::jsonb FROM bench.document');
        CALL bench.measure('canopy_store_pull', round, format(store, 'd.pull', 'true'));
        CALL bench.measure('INSERT, jsonb with lz4', round,
                           'INSERT INTO bench.bare_lz4 SELECT pull::jsonb FROM bench.document');
        CALL bench.measure('canopy_store_pull, unchanged', round, format(store, 'd.pull', 'false'));
        CALL bench.measure('canopy_store_pull, changed', round, format(store, changed, 'true'));
    END LOOP;
END
$$;

-- One row a measurement: label, pulls/s, and for the bare tables the ratio and its target.
CREATE VIEW bench.report AS
SELECT r.label,
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY d.count / r.seconds)) AS rate,
       CASE WHEN r.label LIKE 'INSERT%' THEN
           round(percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds / s.seconds)::numeric, 2)
       END AS ratio,
       CASE WHEN r.label LIKE '%pglz' THEN 0.4 END AS target
FROM bench.run r
     JOIN bench.run s ON s.round = r.round AND s.label = 'canopy_store_pull'
     CROSS JOIN (SELECT count(*) FROM bench.document) AS d
GROUP BY r.label
ORDER BY min(r.label) LIKE 'INSERT%', r.label;
