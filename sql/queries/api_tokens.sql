-- name: add_token
INSERT INTO segue.api_tokens (name, token_hash, scopes, networks, created_by, expires_at)
VALUES (
    %(label)s, %(token_hash)s, %(scopes)s::text[], %(networks)s::text[]::cidr[], %(created_by)s,
    now() + %(expires_in)s::interval
)
RETURNING id::text AS id, name, scopes, networks, created_at, created_by, expires_at, revoked_at

-- name: find_by_hash
SELECT id::text AS id, name, scopes, networks, created_at, created_by, expires_at, revoked_at, token_hash
FROM segue.api_tokens
WHERE token_hash = %(token_hash)s

-- name: find_by_name
-- Tokens that a person means by a name or an id; locked, so that two revocations do not both say that they did it.
SELECT id::text AS id, name, scopes, networks, created_at, created_by, expires_at, revoked_at
FROM segue.api_tokens
WHERE name = %(label)s OR id::text = lower(%(label)s)
ORDER BY created_at, id
FOR UPDATE

-- name: revoke_token
UPDATE segue.api_tokens SET revoked_at = now() WHERE id = %(id)s::uuid
RETURNING id::text AS id, name, scopes, networks, created_at, created_by, expires_at, revoked_at

-- name: list_tokens
SELECT id::text AS id, name, scopes, networks, created_at, created_by, expires_at, revoked_at
FROM segue.api_tokens
WHERE revoked_at IS NULL OR %(with_revoked)s
ORDER BY created_at, id
