-- Parts of the way back of a mirror (sql/queries/mirror_back.sql), and what there is of it.

-- name: said
-- What each text of a page means: the tag that the run's vocabulary names, and the tag that it means as of now.
SELECT
    said.k,
    said.raw,
    word.tag_id AS known,
    coalesce(word.found_id, named.id) AS live
FROM (SELECT DISTINCT element.k, element.raw FROM {exploded} AS element WHERE element.is_text AND element.raw IS NOT NULL) AS said
LEFT JOIN LATERAL {known_word} AS word ON true
-- Once for each text: inside the join it could be once for each tag.
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN word.found_id IS NULL AND coalesce(word.outcome, 'tag') = 'tag' AND segue.tag_problem(said.raw) IS NULL
        THEN segue.normalise_tag(said.raw)
    END AS normalized
    OFFSET 0
) AS form
LEFT JOIN {tags} AS named ON named.normalized_name = form.normalized

-- name: known_word
-- One look into the vocabulary's index for each text.
(
    SELECT word.outcome, word.how, word.tag_id, tag.id AS found_id
    FROM segue.vocabulary AS word
    LEFT JOIN {tags} AS tag ON tag.id = word.tag_id
    WHERE
        word.run_id = {run_id}
        AND hashtextextended(word.raw, 0) = hashtextextended(said.raw, 0)
        AND hashtextextended(word.raw, 1) = hashtextextended(said.raw, 1)
        AND word.raw = said.raw
    LIMIT 1
)

-- name: due
-- How the legacy values of some songs have to change, by pair: a text to take away (given is null), one to spell anew,
-- or one to add; and why a pair cannot be written.
page AS MATERIALIZED ({page}),

said AS MATERIALIZED ({said}),

noted AS MATERIALIZED (
    SELECT
        edit.song::{key_type} AS k,
        edit.tag,
        edit.edit,
        tag.name,
        page.is_list,
        -- A name that the legacy column would understand as this tag.
        tag.id IS NOT NULL
        AND segue.tag_problem(tag.name) IS NULL
        AND segue.normalise_tag(tag.name) = tag.normalized_name
        AND coalesce(position({split} IN tag.name), 0) = 0
        AND NOT EXISTS (
            SELECT FROM segue.decisions AS decision
            WHERE decision.normalized = tag.normalized_name AND decision.canonical_normalized <> tag.normalized_name
        )
        AND coalesce((
            SELECT word.how IS DISTINCT FROM 'accepted' OR word.tag_id = tag.id
            FROM (SELECT tag.name::text AS raw) AS said CROSS JOIN LATERAL {known_word} AS word
        ), true) AS is_sayable
    FROM unnest(segue_songs, segue_tags, segue_edits) AS edit (song, tag, edit)
    JOIN (SELECT page.k, {is_list} AS is_list FROM page) AS page ON page.k = edit.song::{key_type}
    LEFT JOIN {tags} AS tag ON tag.id = edit.tag
),

taken AS MATERIALIZED (
    SELECT noted.k, noted.tag, said.raw, CASE WHEN noted.edit = 'renamed' THEN noted.name END AS given
    FROM noted
    JOIN said ON said.k = noted.k AND (said.live = noted.tag OR said.known = noted.tag)
    WHERE
        (noted.edit = 'renamed' AND noted.is_sayable AND segue.normalise_tag(said.raw) <> segue.normalise_tag(noted.name))
        OR (
            noted.edit = 'unlinked'
            -- The text of a tag that is gone may mean another one by now, which the song has.
            AND (said.live IS NULL OR said.live = noted.tag OR NOT EXISTS (
                SELECT FROM {song_tags} AS link WHERE link.song_id = noted.k AND link.tag_id = said.live
            ))
        )
),

added AS MATERIALIZED (
    SELECT noted.k, noted.tag, noted.name, noted.is_sayable
    FROM noted
    WHERE
        noted.edit = 'linked'
        AND noted.name IS NOT NULL
        AND NOT EXISTS (SELECT FROM said WHERE said.k = noted.k AND said.live = noted.tag)
),

edited AS MATERIALIZED (
    SELECT
        noted.k,
        (SELECT array_agg(taken.raw ORDER BY taken.raw, taken.given) FROM taken WHERE taken.k = noted.k) AS taken,
        (SELECT array_agg(taken.given ORDER BY taken.raw, taken.given) FROM taken WHERE taken.k = noted.k) AS given,
        (
            SELECT array_agg(added.name::text ORDER BY added.name)
            FROM added WHERE added.k = noted.k AND added.is_sayable
        ) AS added
    FROM (SELECT DISTINCT noted.k FROM noted WHERE noted.is_list) AS noted
)

-- name: is_of_run
-- Whether the way back that there is, if any, leads to this run's column.
SELECT EXISTS (
    SELECT
    FROM segue.runs AS run
    JOIN segue.runs AS of_mirror ON of_mirror.fingerprint = run.fingerprint
    WHERE
        run.id = %(run_id)s
        AND of_mirror.id::text = obj_description(to_regprocedure('segue.mirror_back_settle()'), 'pg_proc')
) AS found

-- name: list_late
-- Also those of earlier runs of the same column, whose mirror this run has taken over.
SELECT DISTINCT edit.song
FROM segue.mirror_edits AS edit
JOIN segue.runs AS other ON other.id = edit.run_id
JOIN segue.runs AS run ON run.fingerprint = other.fingerprint
WHERE run.id = %(run_id)s AND edit.reason IS NOT NULL AND edit.song > %(after)s
ORDER BY edit.song
LIMIT %(most)s

-- name: take_late
-- Late edits of some songs go through the way back once more, at this transaction's commit.
WITH late AS (
    DELETE FROM segue.mirror_edits AS edit
    USING segue.runs AS other, segue.runs AS run
    WHERE
        run.id = %(run_id)s AND other.fingerprint = run.fingerprint AND edit.run_id = other.id
        AND edit.reason IS NOT NULL AND edit.song = ANY(%(songs)s::text[])
    RETURNING edit.run_id, edit.song, edit.tag, edit.edit
)

INSERT INTO segue.mirror_back_pending (song, tag, edit)
SELECT newest.song, newest.tag, newest.edit
FROM (SELECT DISTINCT ON (late.song, late.tag) late.* FROM late ORDER BY late.song, late.tag, late.run_id DESC) AS newest
UNION ALL SELECT '', '00000000-0000-0000-0000-000000000000', 'signal'

-- name: list_busy
-- Songs whose edits had to wait for a lock.
SELECT DISTINCT edit.song
FROM segue.mirror_edits AS edit
WHERE edit.reason IN ('55P03', '40P01') AND edit.song = ANY(%(songs)s::text[])
ORDER BY edit.song

-- name: note_earlier
-- Links that people have made since the run began, before its mirror worked both ways: the next command carries them.
INSERT INTO segue.mirror_edits (run_id, song, tag, edit, reason)
SELECT run.id, link.song_id::text, link.tag_id, 'linked', 'made before the mirror worked both ways'
FROM {song_tags} AS link
JOIN segue.runs AS run ON run.id = %(run_id)s
WHERE link.run_id IS NULL AND link.added_at >= run.created_at
ON CONFLICT DO NOTHING

-- name: count_late
SELECT edit.run_id, count(*) AS found FROM segue.mirror_edits AS edit WHERE edit.reason IS NOT NULL GROUP BY 1 ORDER BY 1

-- name: has_settle_trigger
SELECT EXISTS (
    SELECT FROM pg_trigger WHERE tgrelid = 'segue.mirror_back_pending'::regclass AND tgname = 'mirror_back_settle'
) AS found

-- name: describe_targets
-- What the way back needs of the tables: their names, and the privileges that the role lacks.
SELECT
    given.name AS table_name,
    given.privilege,
    current_user::text AS role
FROM (
    VALUES
    (%(table)s::text, 'UPDATE (' || %(column)s::text || ')', %(plain_column)s::text),
    (%(song_tags)s::text, 'TRIGGER', NULL),
    (%(tags)s::text, 'TRIGGER', NULL)
) AS given (name, privilege, plain_column)
WHERE NOT CASE
    WHEN given.plain_column IS NULL THEN has_table_privilege(given.name::regclass, 'TRIGGER')
    ELSE has_column_privilege(given.name::regclass, given.plain_column, 'UPDATE')
END
