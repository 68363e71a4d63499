-- name: lock_batch
-- Rows that are not under the newest key, in key order; the application's writes to them wait until the batch is done.
SELECT token.user_id::text AS user_id, person.spotify_id, token.access_token, token.refresh_token
FROM {spotify_tokens} AS token
INNER JOIN {users} AS person ON person.id = token.user_id
WHERE
    (%(after)s::uuid IS NULL OR token.user_id > %(after)s::uuid)
    AND (
        token.key_id <> %(newest)s
        OR split_part(token.access_token, '.', 2) <> %(newest)s
        OR split_part(token.refresh_token, '.', 2) <> %(newest)s
    )
ORDER BY token.user_id
LIMIT %(most)s
FOR UPDATE OF token

-- name: save_batch
-- Whose the row is and when it was made do not change, so a rollback finds it as it was.
UPDATE {spotify_tokens} AS token
SET access_token = given.access_token, refresh_token = given.refresh_token, key_id = %(newest)s
FROM unnest(%(user_ids)s::uuid[], %(access_tokens)s::text[], %(refresh_tokens)s::text[])
AS given (user_id, access_token, refresh_token)
WHERE token.user_id = given.user_id

-- name: count_under_key
SELECT count(*) AS found
FROM {spotify_tokens} AS token
WHERE
    token.key_id = %(newest)s
    AND coalesce(split_part(token.access_token, '.', 2), %(newest)s) = %(newest)s
    AND coalesce(split_part(token.refresh_token, '.', 2), %(newest)s) = %(newest)s

-- name: lock_images
-- The journal's images of token rows: a rollback puts them back when the older keys may be long gone.
SELECT
    image.run_id, image.kind, image.key, image.before, image.after, person.spotify_id,
    coalesce(image.before ->> 'user_id', image.after ->> 'user_id', image.key) AS user_id
FROM segue.journal AS image
LEFT JOIN {users} AS person
    ON person.id::text = coalesce(image.before ->> 'user_id', image.after ->> 'user_id', image.key)
WHERE
    image.table_name = 'spotify_tokens'
    AND (image.run_id, image.kind, image.key) > (%(run_id)s, %(kind)s, %(key)s)
    AND (
        split_part(image.before ->> 'access_token', '.', 2) <> %(newest)s
        OR split_part(image.before ->> 'refresh_token', '.', 2) <> %(newest)s
        OR split_part(image.after ->> 'access_token', '.', 2) <> %(newest)s
        OR split_part(image.after ->> 'refresh_token', '.', 2) <> %(newest)s
    )
ORDER BY image.run_id, image.kind, image.key
LIMIT %(most)s
FOR UPDATE OF image

-- name: save_image
UPDATE segue.journal
SET before = %(before)s, after = %(after)s
WHERE run_id = %(run_id)s AND table_name = 'spotify_tokens' AND kind = %(kind)s AND key = %(key)s
