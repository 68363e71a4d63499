-- A tag's id follows from its name, so that two runs, or staging and production, give one tag one id.
CREATE OR REPLACE FUNCTION segue.tag_id(normalized text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT encode(substr(sha256(convert_to('tag:' || normalized, 'UTF8')), 1, 16), 'hex')::uuid
$$;
