-- name: lock_links
-- Before the tag itself: who takes a link away locks the link first, too, and the tag when it is counted.
SELECT count(*) AS locked
FROM (
    SELECT FROM {song_tags} AS link WHERE link.tag_id = %(tag_id)s::uuid ORDER BY link.song_id FOR UPDATE
) AS locked

-- name: move_links
-- A link moves as it is, whatever further columns it has; where the song has both tags, one link is dropped, and the
-- other takes the more lasting origin: people's before a run's, an earlier run's before a later one's. Otherwise the
-- rollback of a run would take what somebody had linked, too.
WITH old AS MATERIALIZED (
    SELECT link.song_id, to_jsonb(link) AS image, other.song_id IS NOT NULL AS is_double, other.run_id AS other_run
    FROM {song_tags} AS link
    LEFT JOIN {song_tags} AS other ON other.song_id = link.song_id AND other.tag_id = %(target)s::uuid
    WHERE link.tag_id = %(source)s::uuid
),

moved AS (
    UPDATE {song_tags} AS link
    SET tag_id = %(target)s::uuid
    FROM old
    WHERE link.song_id = old.song_id AND link.tag_id = %(source)s::uuid AND NOT old.is_double
    RETURNING link.song_id, link.run_id
),

dropped AS (
    DELETE FROM {song_tags} AS link
    USING old
    WHERE link.song_id = old.song_id AND link.tag_id = %(source)s::uuid AND old.is_double
    RETURNING link.song_id, link.run_id, old.other_run
),

handed AS (
    UPDATE {song_tags} AS link
    SET run_id = dropped.run_id
    FROM dropped
    WHERE
        link.song_id = dropped.song_id AND link.tag_id = %(target)s::uuid
        AND link.run_id IS NOT NULL AND (dropped.run_id IS NULL OR dropped.run_id < link.run_id)
    RETURNING link.song_id, link.run_id, dropped.other_run
),

kept AS (
    INSERT INTO segue.merged_links (log_id, song_id, link, was_dropped)
    SELECT
        %(log_id)s, old.song_id::text,
        -- Beside the link's own columns: which run the other link was of.
        old.image || CASE
            WHEN handed.song_id IS NOT NULL THEN jsonb_build_object('segue.other_run', old.other_run) ELSE '{{}}'
        END,
        old.is_double
    FROM old
    LEFT JOIN handed ON handed.song_id = old.song_id
    WHERE old.song_id IN (SELECT moved.song_id FROM moved UNION ALL SELECT dropped.song_id FROM dropped)
    -- While a fresh load has taken the primary key away, a link may be there twice.
    ON CONFLICT DO NOTHING
)

-- By run: links that the target gained, and how much more of its links are the run's.
SELECT change.run_id, sum(change.links)::bigint AS links, sum(change.of_run)::bigint AS of_run
FROM (
    SELECT moved.run_id, 1 AS links, 1 AS of_run FROM moved
    UNION ALL SELECT handed.run_id, 0, 1 FROM handed
    UNION ALL SELECT handed.other_run, 0, -1 FROM handed
) AS change
GROUP BY change.run_id

-- name: move_links_back
-- Only links that are still what the merge made of them: one that was removed since stays removed, one that was made
-- since (its time tells) stays where it was made, and what a run made that was taken back since does not come back.
WITH was AS MATERIALIZED (
    SELECT
        current.song_id, current.run_id, merged.link AS image, merged.was_dropped,
        (merged.link ->> 'segue.other_run')::bigint AS other_run
    FROM segue.merged_links AS merged
    JOIN {song_tags} AS current ON current.song_id::text COLLATE "C" = merged.song_id AND current.tag_id = %(target)s::uuid
    WHERE
        merged.log_id = %(log_id)s
        AND (merged.was_dropped OR to_jsonb(current) -> 'added_at' IS NOT DISTINCT FROM merged.link -> 'added_at')
),

moved AS (
    UPDATE {song_tags} AS link
    SET tag_id = %(source)s::uuid
    FROM was
    WHERE link.song_id = was.song_id AND link.tag_id = %(target)s::uuid AND NOT was.was_dropped
    RETURNING link.run_id
),

handed AS (
    UPDATE {song_tags} AS link
    SET run_id = was.other_run
    FROM was
    WHERE
        link.song_id = was.song_id AND link.tag_id = %(target)s::uuid AND was.was_dropped
        AND was.other_run IS NOT NULL AND was.other_run <> ALL (%(gone_runs)s::bigint[])
        AND was.run_id IS NOT DISTINCT FROM (was.image ->> 'run_id')::bigint
    RETURNING link.run_id, was.run_id AS given_run
),

restored AS (
    INSERT INTO {song_tags} ({columns}) OVERRIDING SYSTEM VALUE
    SELECT {record_columns}
    FROM was
    CROSS JOIN LATERAL jsonb_populate_record(NULL::{song_tags}, was.image) AS record
    WHERE was.was_dropped AND NOT coalesce((was.image ->> 'run_id')::bigint = ANY(%(gone_runs)s::bigint[]), false)
    ON CONFLICT DO NOTHING
    RETURNING run_id
)

-- By run: links that left the target, how many more of its links are the run's, and links that the source has now.
SELECT
    change.run_id, sum(change.links)::bigint AS links, sum(change.of_run)::bigint AS of_run,
    sum(change.source_links)::bigint AS source_links
FROM (
    SELECT moved.run_id, 1 AS links, -1 AS of_run, 1 AS source_links FROM moved
    UNION ALL SELECT handed.run_id, 0, 1, 0 FROM handed
    UNION ALL SELECT handed.given_run, 0, -1, 0 FROM handed
    UNION ALL SELECT restored.run_id, 0, 0, 1 FROM restored
) AS change
GROUP BY change.run_id

-- name: read_merged
-- One link as it was, for its columns, and the runs that have a part in the links.
SELECT
    (SELECT merged.link FROM segue.merged_links AS merged WHERE merged.log_id = %(log_id)s LIMIT 1) AS sample,
    ARRAY(
        SELECT DISTINCT run_id FROM (
            SELECT (merged.link ->> 'run_id')::bigint AS run_id
            FROM segue.merged_links AS merged WHERE merged.log_id = %(log_id)s
            UNION ALL
            SELECT (merged.link ->> 'segue.other_run')::bigint
            FROM segue.merged_links AS merged WHERE merged.log_id = %(log_id)s
        ) AS part WHERE run_id IS NOT NULL
    ) AS runs

-- name: forget_merged
DELETE FROM segue.merged_links WHERE log_id = %(log_id)s

-- name: add_to_usage
UPDATE {tags} AS tag SET usage_count = tag.usage_count + %(links)s WHERE tag.id = %(tag_id)s::uuid
RETURNING tag.usage_count, tag.run_id

-- name: list_synonyms
SELECT known.id::text AS id, to_jsonb(known) AS image
FROM {tag_synonyms} AS known
WHERE known.canonical_tag_id = %(tag_id)s::uuid
ORDER BY known.synonym

-- name: move_synonyms
UPDATE {tag_synonyms} SET canonical_tag_id = %(to)s::uuid
WHERE id = ANY(%(ids)s::uuid[]) AND canonical_tag_id = %(from)s::uuid

-- name: list_redirects
SELECT redirect.old_id::text AS old_id FROM segue.tag_redirects AS redirect WHERE redirect.tag_id = %(tag_id)s::uuid ORDER BY 1

-- name: move_redirects
UPDATE segue.tag_redirects SET tag_id = %(to)s::uuid
WHERE old_id = ANY(%(old_ids)s::uuid[]) AND tag_id = %(from)s::uuid

-- name: add_redirect
-- An id that leads elsewhere while a tag has it again is a leftover.
WITH leftover AS (
    DELETE FROM segue.tag_redirects WHERE old_id = %(tag_id)s::uuid
)

INSERT INTO segue.tag_redirects (old_id, tag_id) VALUES (%(old_id)s::uuid, %(tag_id)s::uuid)
ON CONFLICT (old_id) DO UPDATE SET tag_id = excluded.tag_id, at = now()

-- name: delete_redirect
DELETE FROM segue.tag_redirects WHERE old_id = %(old_id)s::uuid

-- name: find_planning_run
-- A run that resolves its vocabulary now will name tags by what it saw at its start. Its lease alone counts: a process
-- whose heartbeat has lost its connection still plans.
SELECT run.id FROM segue.runs AS run
WHERE run.status = 'preparing' AND segue.is_alive(run.lease_until, NULL, NULL)
ORDER BY run.id

-- name: redo_chunks
-- A chunk in flight has read which text is which tag. Changing its partition's row makes its commit fail as a
-- serialization failure, after which it is converted again with what holds now.
UPDATE segue.partitions AS part SET seq = part.seq
FROM segue.runs AS run
WHERE
    run.id = part.run_id AND run.lease_token IS NOT NULL
    AND EXISTS (SELECT FROM segue.vocabulary AS word WHERE word.run_id = run.id)

-- name: move_words
-- Runs convert the texts of one tag to another from now on. What they have done so far is no more what their
-- checkpoints say, so those that are unfinished look at every row again before they are proven.
WITH word AS (
    UPDATE segue.vocabulary AS word
    SET tag_id = %(to)s::uuid, canonical = %(canonical)s
    WHERE word.tag_id = %(from)s::uuid AND (%(normalized)s::text[] IS NULL OR word.normalized = ANY(%(normalized)s::text[]))
    RETURNING word.run_id
)

UPDATE segue.runs AS run
SET plan = run.plan || '{{"recheck": true}}'
WHERE
    run.status IN ('migrating', 'validating', 'paused', 'failed') AND run.plan <> '{{}}'
    AND run.id IN (SELECT word.run_id FROM word)

-- name: rename_words
UPDATE segue.vocabulary AS word SET canonical = %(to)s
WHERE word.tag_id = %(tag_id)s::uuid AND word.canonical = %(from)s

-- name: list_decisions
-- An admin's decisions that name a tag.
SELECT decision.normalized FROM segue.decisions AS decision
WHERE decision.canonical_normalized = %(canonical)s
ORDER BY decision.normalized
FOR UPDATE

-- name: move_decisions
UPDATE segue.decisions SET canonical = %(cleaned)s, canonical_normalized = %(to)s
WHERE normalized = ANY(%(decisions)s::text[]) AND canonical_normalized = %(from)s

-- name: shift_run_counts
-- What a run's rollback takes off a tag's count follows the run's links; see constraints.restore_usage_counts.
INSERT INTO segue.journal AS entry (run_id, table_name, key, kind, before, after)
SELECT
    given.run_id, 'tags', %(tag_id)s::text, 'changed',
    jsonb_build_object('usage_count', %(usage_count)s::bigint - given.n),
    jsonb_build_object('usage_count', %(usage_count)s::bigint)
FROM unnest(%(runs)s::bigint[], %(counts)s::bigint[]) AS given (run_id, n)
JOIN segue.runs AS run ON run.id = given.run_id AND run.status <> 'rolled_back'
WHERE given.n <> 0
ORDER BY given.run_id
ON CONFLICT (run_id, table_name, kind, key) DO UPDATE
SET
    before = jsonb_build_object('usage_count', (excluded.before ->> 'usage_count')::bigint - CASE
        WHEN entry.undone_at IS NULL
        THEN (entry.after ->> 'usage_count')::bigint - (entry.before ->> 'usage_count')::bigint
        ELSE 0
    END),
    after = excluded.after,
    undone_at = NULL

-- name: forget_run_counts
DELETE FROM segue.journal
WHERE table_name = 'tags' AND kind = 'changed' AND key = %(tag_id)s::text
