-- name: heard_now
-- The users of a page who have listened, and from what their snapshots would be made now.
SELECT day.k, {source_of_days} AS source
FROM (
    SELECT play.k, count(*) AS plays, sum(play.hash) AS hash_sum, bit_xor(play.hash) AS hash_xor
    FROM ({plays}) AS play
    GROUP BY play.k
) AS day
GROUP BY day.k

-- name: digest_source
WITH page AS NOT MATERIALIZED ({page})

SELECT
    count(*) AS row_count,
    sum(segue.key_hash(page.k, coalesce(hashtextextended(heard.source, 1), 7))) AS source_sum,
    bit_xor(segue.key_hash(page.k, coalesce(hashtextextended(heard.source, 1), 7) # 1)) AS source_xor
FROM page
LEFT JOIN ({heard_now}) AS heard ON heard.k = page.k

-- name: find_changed
-- Users whose plays or features are not what they were when their snapshots were made.
WITH page AS NOT MATERIALIZED ({page})

SELECT coalesce(heard.k::text, recorded.key) AS key
FROM ({heard_now}) AS heard
FULL JOIN (
    SELECT entry.key, entry.after ->> 'source' AS source
    FROM segue.journal AS entry
    WHERE
        entry.run_id = %(run_id)s AND entry.table_name = 'listening_snapshots' AND entry.kind = 'created'
        AND {journal_in_range}
) AS recorded ON recorded.key = heard.k::text
WHERE heard.source IS DISTINCT FROM recorded.source
ORDER BY 1
LIMIT %(most)s

-- name: forget_stale
-- What these users' plays ask for no longer: the last play of a day is gone, or the row says another day than its id.
-- Where insights refer to it, it stays as the application's own.
WITH stale AS (
    SELECT snapshot.id, EXISTS (SELECT FROM {generated_insights} AS insight WHERE insight.snapshot_id = snapshot.id) AS is_used
    FROM {listening_snapshots} AS snapshot
    LEFT JOIN {table} AS owner ON owner.{key} = snapshot.user_id
    WHERE
        snapshot.run_id = %(run_id)s
        AND snapshot.user_id = ANY(%(keys)s::uuid[])
        AND (
            owner.{key} IS NULL
            OR snapshot.id <> segue.row_id(
                'snapshot',
                owner.spotify_id || chr(31) || to_char(snapshot.snapshot_date::timestamp, 'YYYY-MM-DD')
                || chr(31) || snapshot.time_range
            )
            OR NOT EXISTS (
                SELECT FROM {user_listening_history} AS play
                WHERE
                    play.user_id = snapshot.user_id
                    AND play.listened_at >= snapshot.snapshot_date::timestamp AT TIME ZONE 'UTC'
                    AND play.listened_at < (snapshot.snapshot_date + 1)::timestamp AT TIME ZONE 'UTC'
            )
        )
),

released AS (
    UPDATE {listening_snapshots} AS snapshot
    SET run_id = NULL
    FROM stale
    WHERE snapshot.id = stale.id AND stale.is_used
)

DELETE FROM {listening_snapshots} AS snapshot USING stale WHERE snapshot.id = stale.id AND NOT stale.is_used

-- name: forget_users
-- All of these users' snapshots, whatever they hold.
WITH made AS (
    SELECT snapshot.id, EXISTS (SELECT FROM {generated_insights} AS insight WHERE insight.snapshot_id = snapshot.id) AS is_used
    FROM {listening_snapshots} AS snapshot
    WHERE snapshot.run_id = %(run_id)s AND snapshot.user_id = ANY(%(keys)s::uuid[])
),

released AS (
    UPDATE {listening_snapshots} AS snapshot
    SET run_id = NULL
    FROM made
    WHERE snapshot.id = made.id AND made.is_used
)

DELETE FROM {listening_snapshots} AS snapshot USING made WHERE snapshot.id = made.id AND NOT made.is_used

-- name: forget_recorded
DELETE FROM segue.journal
WHERE
    run_id = %(run_id)s AND table_name = 'listening_snapshots' AND kind = 'created'
    AND (%(keys)s::text[] IS NULL OR key = ANY(%(keys)s::text[]))

-- name: find_used
-- Snapshots of the run that insights refer to.
SELECT snapshot.id::text AS key, insight.n::text || ' insights refer to this snapshot' AS problem
FROM (
    SELECT insight.snapshot_id, count(*) AS n
    FROM {generated_insights} AS insight
    WHERE insight.snapshot_id IS NOT NULL
    GROUP BY insight.snapshot_id
) AS insight
JOIN {listening_snapshots} AS snapshot ON snapshot.id = insight.snapshot_id
WHERE snapshot.run_id = %(run_id)s
ORDER BY 1

-- name: find_touched
-- Users whose stored snapshots are not the ones that were written.
SELECT stored.user_id::text AS key
FROM (
    SELECT
        snapshot.user_id,
        count(*)::text || ':' || sum(hash_record_extended({stored_columns}, 42))::text
        || ':' || bit_xor(hash_record_extended({stored_columns}, 43))::text AS digest
    FROM {listening_snapshots} AS snapshot
    WHERE snapshot.run_id = %(run_id)s
    GROUP BY snapshot.user_id
) AS stored
LEFT JOIN segue.journal AS entry
    ON entry.run_id = %(run_id)s AND entry.table_name = 'listening_snapshots' AND entry.kind = 'created'
    AND entry.key = stored.user_id::text
WHERE stored.digest IS DISTINCT FROM entry.after ->> 'due'
ORDER BY 1

-- name: release_rows
UPDATE {listening_snapshots} SET run_id = NULL WHERE run_id = %(run_id)s AND id = ANY(%(keys)s::uuid[])
