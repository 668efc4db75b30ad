-- privacy/personal_state.sql: the types that say what a column holds.
-- State.

-- A column of one of these types is masked in the views for everybody without level pii_reader.
CREATE DOMAIN canopy_summit.personal_text AS text;
COMMENT ON DOMAIN canopy_summit.personal_text IS 'text about a person: masked in views unless the reader has level pii_reader';
CREATE DOMAIN canopy_summit.personal_integer AS integer;
COMMENT ON DOMAIN canopy_summit.personal_integer IS 'a number about a person: NULL in views unless the reader has level pii_reader';
