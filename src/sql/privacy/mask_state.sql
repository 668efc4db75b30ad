-- privacy/mask_state.sql: the types that say who sees what a column holds.
-- State.

-- A column of one of these types is masked in the views for everybody without level pii_reader; so are jsonb and bytea,
-- which may hold anything.
CREATE DOMAIN canopy_summit.personal_text AS text;
COMMENT ON DOMAIN canopy_summit.personal_text IS 'text about a person: masked in views unless the reader has level pii_reader';
CREATE DOMAIN canopy_summit.personal_integer AS integer;
COMMENT ON DOMAIN canopy_summit.personal_integer IS 'a number about a person: NULL in views unless the reader has level pii_reader';
CREATE DOMAIN canopy_summit.personal_date AS date;
COMMENT ON DOMAIN canopy_summit.personal_date IS 'a day about a person: NULL in views unless the reader has level pii_reader';

-- What is text of a provider may hold anything, too, where a word or an id is documented.
CREATE DOMAIN canopy_summit.provider_word AS text;
COMMENT ON DOMAIN canopy_summit.provider_word IS 'a word of a provider: masked likewise unless it looks like one';
CREATE DOMAIN canopy_summit.provider_id AS text;
COMMENT ON DOMAIN canopy_summit.provider_id IS 'an id of a provider: masked likewise if it looks like prose or an object';
