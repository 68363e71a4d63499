-- The digest of a set of links is (count, sum, xor) of two independent 64-bit hashes; see docs/digest.md.
-- Plain SQL functions: PostgreSQL inlines them, so they cost nothing over writing the expression out.

CREATE OR REPLACE FUNCTION segue.key_hash(uuid, bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT uuid_hash_extended($1, $2) $$;

CREATE OR REPLACE FUNCTION segue.key_hash(bigint, bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashint8extended($1, $2) $$;

CREATE OR REPLACE FUNCTION segue.key_hash(text, bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtextextended($1 COLLATE "C", $2) $$;
