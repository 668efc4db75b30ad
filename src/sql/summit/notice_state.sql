-- summit/notice_state.sql: notices of certificates that end.
-- State.
--
-- A notice that nobody has taken is not a row: it follows from the certificate and the day, whenever somebody looks.

CREATE SEQUENCE canopy_summit.notice_id_seq;
COMMENT ON SEQUENCE canopy_summit.notice_id_seq IS 'keys of canopy_summit.notice';

CREATE TABLE canopy_summit.notice (
	notice_id bigint NOT NULL,
	server text NOT NULL,
	policy_status_id bigint NOT NULL,
	expiry_date date NOT NULL,
	step integer NOT NULL,
	taken_at timestamptz NOT NULL,
	done_at timestamptz
);
CREATE UNIQUE INDEX notice_key ON canopy_summit.notice (notice_id);
ALTER TABLE canopy_summit.notice REPLICA IDENTITY USING INDEX notice_key;
-- In the order of certificate_expiry, with which it is merged.
CREATE UNIQUE INDEX notice_step ON canopy_summit.notice (expiry_date, policy_status_id, step);
CREATE INDEX notice_open ON canopy_summit.notice (expiry_date) WHERE done_at IS NULL;
COMMENT ON TABLE canopy_summit.notice IS 'notices that were taken: one row a policy, holder, expiry date and step';
COMMENT ON COLUMN canopy_summit.notice.notice_id IS 'key of the notice';
COMMENT ON COLUMN canopy_summit.notice.server IS 'foreign server, by its name';
COMMENT ON COLUMN canopy_summit.notice.policy_status_id IS 'the policy and holder';
COMMENT ON COLUMN canopy_summit.notice.expiry_date IS 'day on which cover ends, as it was known then';
COMMENT ON COLUMN canopy_summit.notice.step IS 'days before it on which the notice was due';
COMMENT ON COLUMN canopy_summit.notice.taken_at IS 'when summit_notice_due() last returned it';
COMMENT ON COLUMN canopy_summit.notice.done_at IS 'when summit_notice_done() was called; NULL: it comes again an hour after it was taken';

SELECT pg_catalog.pg_extension_config_dump('canopy_summit.notice_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('canopy_summit.notice', '');
