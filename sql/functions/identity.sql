-- A row's id follows from what the row is, so that two runs, or staging and production, give one thing one id.
-- The Python twin is migrator/node_persist/identity.py. Changing either would give every stored row another id.
CREATE OR REPLACE FUNCTION segue.row_id(kind text, key text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT encode(substr(sha256(convert_to(kind || ':' || key, 'UTF8')), 1, 16), 'hex')::uuid
$$;

-- A tag is known by its normalised name.
CREATE OR REPLACE FUNCTION segue.tag_id(normalized text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT segue.row_id('tag', normalized)
$$;
