-- Rows that people have edited since a themes run began, each with what a rollback would do to it.

-- name: list_edits
-- The first of them, and how many there are.
WITH tag AS (
    SELECT
        tag.id,
        made.after IS DISTINCT FROM jsonb_build_object(
            'name', tag.name, 'category', tag.category, 'color', tag.color, 'is_standard', tag.is_standard
        ) AS is_edited
    FROM {tags} AS tag
    LEFT JOIN segue.journal AS made
        ON made.run_id = %(run_id)s AND made.table_name = 'tags' AND made.kind = 'created' AND made.key = tag.id::text
    WHERE tag.run_id = %(run_id)s
),

edited AS (
    SELECT 'tag' AS object, tag.id::text AS key, 'edited' AS edit, true AS is_of_run, NULL AS legacy
    FROM tag
    WHERE tag.is_edited

    UNION ALL

    SELECT 'synonym', synonym.id::text, 'added', true, NULL
    FROM {tag_synonyms} AS synonym
    JOIN tag ON tag.id = synonym.canonical_tag_id
    WHERE synonym.run_id IS NULL

    UNION ALL

    SELECT
        'link',
        link.song_id::text || '/' || link.tag_id::text,
        'linked',
        tag.id IS NOT NULL,
        CASE
            WHEN carried.song IS NULL THEN 'was not carried into the legacy column'
            ELSE coalesce('is not in the legacy column (' || carried.reason || ')', 'is in the legacy column')
        END
    FROM {song_tags} AS link
    JOIN segue.runs AS run ON run.id = %(run_id)s
    LEFT JOIN tag ON tag.id = link.tag_id
    LEFT JOIN segue.mirror_edits AS carried
        ON carried.run_id = run.id AND carried.song = link.song_id::text AND carried.tag = link.tag_id
    WHERE link.run_id IS NULL AND (link.added_at >= run.created_at OR tag.id IS NOT NULL)

    UNION ALL

    SELECT
        'link',
        carried.song || '/' || carried.tag::text,
        'unlinked',
        true,
        coalesce('is still in the legacy column (' || carried.reason || ')', 'is gone from the legacy column, too')
    FROM segue.mirror_edits AS carried
    WHERE
        carried.run_id = %(run_id)s
        AND carried.edit = 'unlinked'
        AND NOT EXISTS (
            SELECT FROM {song_tags} AS link WHERE link.song_id::text = carried.song AND link.tag_id = carried.tag
        )

    UNION ALL

    SELECT
        'link', carried.song || '/' || carried.tag::text, 'renamed', true,
        'has the old name in the legacy column (' || carried.reason || ')'
    FROM segue.mirror_edits AS carried
    WHERE carried.run_id = %(run_id)s AND carried.edit = 'renamed' AND carried.reason IS NOT NULL
)

SELECT
    edited.object,
    edited.key,
    edited.edit,
    edited.legacy,
    CASE
        WHEN %(on_conflict)s = 'abort' THEN 'nothing'
        WHEN edited.edit IN ('unlinked', 'renamed') THEN 'nothing'
        WHEN %(on_conflict)s = 'force' AND edited.is_of_run THEN 'removed'
        ELSE 'kept'
    END AS fate,
    count(*) OVER () AS total
FROM edited
ORDER BY edited.object DESC, edited.edit, edited.key
LIMIT %(most)s
