-- name: count_blocks
SELECT (pg_relation_size({target_name}::regclass) / current_setting('block_size')::bigint)::bigint AS blocks

-- name: delete_block_range
-- A TID range scan: one pass over the table in bounded steps, whatever indexes it has.
DELETE FROM {target} WHERE ctid >= %(first)s::tid AND ctid < %(end)s::tid AND run_id = %(run_id)s

-- name: can_be_emptied
-- TRUNCATE must neither fire less than a DELETE would nor fail: no triggers but those of the table's own foreign keys,
-- and no foreign key of another table.
SELECT
    NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = {target_name}::regclass AND NOT tgisinternal)
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE confrelid = {target_name}::regclass)
    AND has_table_privilege({target_name}::regclass, 'TRUNCATE') AS found

-- name: lock_target
LOCK TABLE {target} IN ACCESS EXCLUSIVE MODE

-- name: count_all
SELECT count(*) AS found, count(*) FILTER (WHERE run_id IS DISTINCT FROM %(run_id)s) AS of_others FROM {target}

-- name: empty_target
TRUNCATE {target}

-- name: has_rows
SELECT EXISTS (SELECT FROM {target} WHERE run_id = %(run_id)s) AS found

-- name: count_rows
SELECT count(*) AS found FROM {target} WHERE run_id = %(run_id)s

-- name: find_conflicts
-- Tags of the run that people have come to use or have edited since: their links, synonyms or changed values.
SELECT
    tag.id::text AS key,
    CASE
        WHEN link.n > 0 THEN link.n::text || ' links that the run did not make use this tag'
        WHEN synonym.n > 0 THEN synonym.n::text || ' synonyms that the run did not make point to this tag'
        ELSE 'the tag was edited since'
    END AS problem
FROM {tags} AS tag
LEFT JOIN (
    SELECT link.tag_id, count(*) AS n FROM {song_tags} AS link WHERE link.run_id IS DISTINCT FROM %(run_id)s GROUP BY 1
) AS link ON link.tag_id = tag.id
LEFT JOIN (
    SELECT synonym.canonical_tag_id, count(*) AS n
    FROM {tag_synonyms} AS synonym
    WHERE synonym.run_id IS DISTINCT FROM %(run_id)s
    GROUP BY 1
) AS synonym ON synonym.canonical_tag_id = tag.id
LEFT JOIN segue.journal AS made
    ON made.run_id = %(run_id)s AND made.table_name = 'tags' AND made.kind = 'created' AND made.key = tag.id::text
WHERE
    tag.run_id = %(run_id)s
    AND (
        link.n > 0
        OR synonym.n > 0
        OR made.after IS DISTINCT FROM jsonb_build_object(
            'name', tag.name, 'category', tag.category, 'color', tag.color, 'is_standard', tag.is_standard
        )
    )
ORDER BY 1

-- name: lock_tags
-- New links and synonyms to these tags wait from here on, so that none can slip in between the look and the deletion.
SELECT count(*) AS locked
FROM (SELECT tag.id FROM {tags} AS tag WHERE tag.run_id = %(run_id)s ORDER BY tag.id FOR UPDATE) AS locked

-- name: release_tags
UPDATE {tags} AS tag
SET run_id = NULL, usage_count = (SELECT count(*) FROM {song_tags} AS link WHERE link.tag_id = tag.id)
WHERE tag.run_id = %(run_id)s AND tag.id = ANY(%(kept)s::uuid[])

-- name: delete_rows
DELETE FROM {target} WHERE run_id = %(run_id)s

-- name: delete_quarantine
DELETE FROM segue.quarantine WHERE run_id = %(run_id)s

-- name: delete_vocabulary
DELETE FROM segue.vocabulary WHERE run_id = %(run_id)s

-- name: delete_edits
DELETE FROM segue.mirror_edits WHERE run_id = %(run_id)s

-- name: mark_journal
UPDATE segue.journal SET undone_at = clock_timestamp() WHERE run_id = %(run_id)s AND kind = 'created' AND undone_at IS NULL

-- name: count_changed
SELECT table_name, count(*) AS found FROM segue.journal
WHERE run_id = %(run_id)s AND kind = 'changed' AND undone_at IS NULL
GROUP BY table_name
