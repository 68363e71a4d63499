-- name: take_turn
-- A name is unique over three tables, which no constraint can say; so curators' acts take turns, and nobody else waits.
-- What they write are people's edits, which a mirror carries back into the legacy column.
SELECT pg_advisory_xact_lock(hashtextextended('segue.curation', 0)), set_config('segue.writes', '', true)

-- name: bound_waits
-- Until the end of the transaction or savepoint; returns what held before.
SELECT current_setting('lock_timeout') AS lock_timeout, set_config('lock_timeout', %(lock_timeout)s, true)

-- name: has_own_rules
-- Whether the table of tags is the application's, which may allow other categories.
SELECT coalesce((SELECT ours.is_adopted FROM segue.tables AS ours WHERE ours.name = 'tags'), false) AS found

-- name: lock_tag
-- The image leaves out what is counted, and who made the tag: nothing about a user may enter an append-only log.
SELECT
    tag.id::text AS id,
    tag.name,
    tag.normalized_name AS normalized,
    tag.run_id,
    to_jsonb(tag) - 'usage_count' - 'created_by' AS image,
    EXISTS (SELECT FROM segue.banned_tags AS ban WHERE ban.tag_id = tag.id) AS is_banned
FROM {tags} AS tag
WHERE tag.id = %(tag_id)s::uuid
{strength}

-- name: find_name
-- Everything that a text means now.
SELECT 'tag' AS kind, tag.id::text AS tag_id, tag.name
FROM {tags} AS tag
WHERE tag.normalized_name = %(normalized)s OR tag.name = %(cleaned)s
UNION ALL
SELECT 'banned', ban.tag_id::text, ban.reason
FROM segue.banned_tags AS ban
WHERE ban.normalized_name = %(normalized)s

-- name: find_synonym
-- The application may have stored any spelling; the pattern passes over those that are their own normal form.
SELECT known.id::text AS id, known.canonical_tag_id::text AS tag_id, tag.name, to_jsonb(known) AS image
FROM {tag_synonyms} AS known
JOIN {tags} AS tag ON tag.id = known.canonical_tag_id
WHERE
    known.synonym = %(normalized)s
    OR (
        known.synonym COLLATE "C" ~ '[^ -~]|[A-Z]|  |^ | $'
        AND segue.normalise_tag(known.synonym) = %(normalized)s
    )
ORDER BY known.synonym

-- name: create_tag
INSERT INTO {tags} (id, name, normalized_name, category, color, usage_count, is_standard, created_at)
VALUES (gen_random_uuid(), %(cleaned)s, %(normalized)s, %(category)s, %(color)s, 0, false, now())
ON CONFLICT DO NOTHING
RETURNING id::text AS id

-- name: set_name
UPDATE {tags} SET name = %(cleaned)s, normalized_name = %(normalized)s WHERE id = %(tag_id)s::uuid

-- name: set_category
UPDATE {tags} SET category = %(category)s WHERE id = %(tag_id)s::uuid

-- name: set_color
UPDATE {tags} SET color = %(color)s WHERE id = %(tag_id)s::uuid

-- name: set_standard
UPDATE {tags} SET is_standard = %(is_standard)s WHERE id = %(tag_id)s::uuid

-- name: set_promoted_at
-- Not every application's table has the column.
UPDATE {tags} SET promoted_at = %(at)s::timestamptz WHERE id = %(tag_id)s::uuid

-- name: delete_tag
DELETE FROM {tags} WHERE id = %(tag_id)s::uuid

-- name: count_uses
SELECT
    (SELECT count(*) FROM {song_tags} AS link WHERE link.tag_id = %(tag_id)s::uuid) AS links,
    (SELECT count(*) FROM {tag_synonyms} AS known WHERE known.canonical_tag_id = %(tag_id)s::uuid) AS synonyms,
    (SELECT count(*) FROM segue.tag_redirects AS redirect WHERE redirect.tag_id = %(tag_id)s::uuid) AS redirects,
    (SELECT count(*) FROM segue.vocabulary AS word WHERE word.tag_id = %(tag_id)s::uuid) AS texts

-- name: list_referring
-- Other tables' foreign keys to the tags: deleting a tag would delete rows there, or fail.
SELECT
    namespace.nspname::text AS schema,
    class.relname::text AS table,
    own.attname::text AS column,
    referred.attname::text AS referred
FROM pg_constraint AS guard
JOIN pg_class AS class ON class.oid = guard.conrelid
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
JOIN pg_attribute AS own ON own.attrelid = guard.conrelid AND own.attnum = guard.conkey[1]
JOIN pg_attribute AS referred ON referred.attrelid = guard.confrelid AND referred.attnum = guard.confkey[1]
WHERE
    guard.contype = 'f'
    AND guard.confrelid = %(tags)s::regclass
    AND guard.conparentid = 0
    AND guard.conrelid <> ALL (%(own)s::regclass[])
ORDER BY 1, 2, 3

-- name: count_referring
SELECT count(*) AS found
FROM {target} AS referring
WHERE referring.{target_key} = (SELECT tag.{column} FROM {tags} AS tag WHERE tag.id = %(tag_id)s::uuid)

-- name: add_synonym
INSERT INTO {tag_synonyms} AS known (id, synonym, canonical_tag_id, created_at)
VALUES (gen_random_uuid(), %(synonym)s, %(tag_id)s::uuid, now())
ON CONFLICT DO NOTHING
RETURNING to_jsonb(known) AS image

-- name: read_synonym
SELECT to_jsonb(known) AS image FROM {tag_synonyms} AS known WHERE known.id = %(id)s::uuid

-- name: point_synonym
-- What a curator has pointed somewhere is no run's any more, or the run's rollback would take it.
UPDATE {tag_synonyms} SET canonical_tag_id = %(tag_id)s::uuid, run_id = %(run_id)s WHERE id = %(id)s::uuid

-- name: delete_synonym
DELETE FROM {tag_synonyms} WHERE id = %(id)s::uuid AND canonical_tag_id = %(tag_id)s::uuid

-- name: list_columns
-- Those of a table that an image holds and that may be written.
SELECT attribute.attname::text AS name
FROM pg_attribute AS attribute
WHERE
    attribute.attrelid = {target_name}::regclass
    AND attribute.attnum > 0
    AND NOT attribute.attisdropped
    AND attribute.attgenerated = ''
    AND %(image)s::jsonb ? attribute.attname::text
ORDER BY attribute.attnum

-- name: restore_row
-- Columns that the image does not know get their defaults.
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {columns} FROM jsonb_populate_record(NULL::{target}, %(image)s::jsonb)
ON CONFLICT DO NOTHING

-- name: lock_runs
-- None of them can begin to be taken back before this transaction ends.
SELECT run.id, run.status IN ('rolling_back', 'rolled_back') AS is_gone
FROM segue.runs AS run
WHERE run.id = ANY(%(runs)s::bigint[])
ORDER BY run.id
FOR SHARE

-- name: find_ban
SELECT to_jsonb(ban) AS image, ban.tag_id::text AS tag_id FROM segue.banned_tags AS ban
WHERE ban.tag_id = %(tag_id)s::uuid OR ban.normalized_name = %(normalized)s
ORDER BY ban.tag_id = %(tag_id)s::uuid DESC

-- name: add_ban
-- A ban of the same name whose tag is gone becomes this tag's.
INSERT INTO segue.banned_tags AS ban (tag_id, normalized_name, reason, actor)
VALUES (%(tag_id)s::uuid, %(normalized)s, %(reason)s, %(actor)s)
ON CONFLICT (normalized_name) DO UPDATE
SET tag_id = excluded.tag_id, reason = excluded.reason, actor = excluded.actor, at = now()
RETURNING to_jsonb(ban) AS image

-- name: lift_ban
DELETE FROM segue.banned_tags WHERE tag_id = %(tag_id)s::uuid

-- name: write_log
INSERT INTO segue.moderation_log (actor, action, tag_id, before, after, undoes)
VALUES (%(actor)s, %(action)s, %(tag_id)s::uuid, %(before)s, %(after)s, %(undoes)s)
RETURNING id

-- name: find_act
SELECT
    act.id, act.at, act.actor, act.action, act.tag_id::text AS tag_id, act.before, act.after, act.undoes,
    (SELECT undo.id FROM segue.moderation_log AS undo WHERE undo.undoes = act.id) AS undone_by
FROM segue.moderation_log AS act
WHERE act.id = %(log_id)s

-- name: list_acts
-- Newest first; a tag's history includes that of the tags that were merged into it.
SELECT
    act.id, act.at, act.actor, act.action, act.tag_id::text AS tag_id, act.before, act.after, act.undoes,
    (SELECT undo.id FROM segue.moderation_log AS undo WHERE undo.undoes = act.id) AS undone_by
FROM segue.moderation_log AS act
WHERE act.id < %(before)s
ORDER BY act.id DESC
LIMIT %(limit)s

-- name: list_acts_of_tag
SELECT
    act.id, act.at, act.actor, act.action, act.tag_id::text AS tag_id, act.before, act.after, act.undoes,
    (SELECT undo.id FROM segue.moderation_log AS undo WHERE undo.undoes = act.id) AS undone_by
FROM segue.moderation_log AS act
WHERE
    act.id < %(before)s
    AND act.tag_id = ANY(
        SELECT %(tag_id)s::uuid
        UNION ALL SELECT redirect.old_id FROM segue.tag_redirects AS redirect WHERE redirect.tag_id = %(tag_id)s::uuid
    )
ORDER BY act.id DESC
LIMIT %(limit)s

-- name: read_tags
SELECT
    tag.id::text AS id, tag.name, tag.normalized_name AS normalized, tag.category, tag.color, tag.usage_count,
    tag.is_standard, tag.created_at, (to_jsonb(tag) ->> 'promoted_at')::timestamptz AS promoted_at,
    EXISTS (SELECT FROM segue.banned_tags AS ban WHERE ban.tag_id = tag.id) AS is_banned,
    ARRAY(
        SELECT known.synonym::text FROM {tag_synonyms} AS known WHERE known.canonical_tag_id = tag.id ORDER BY 1
    ) AS synonyms
FROM {tags} AS tag
WHERE tag.id = ANY(%(ids)s::uuid[])

-- name: list_tags
-- In the order of the unique index of names, which the comparison of rows can start in.
SELECT
    tag.id::text AS id, tag.name, tag.normalized_name AS normalized, tag.category, tag.color, tag.usage_count,
    tag.is_standard, tag.created_at, (to_jsonb(tag) ->> 'promoted_at')::timestamptz AS promoted_at,
    ban.tag_id IS NOT NULL AS is_banned,
    ARRAY(
        SELECT known.synonym::text FROM {tag_synonyms} AS known WHERE known.canonical_tag_id = tag.id ORDER BY 1
    ) AS synonyms
FROM {tags} AS tag
LEFT JOIN segue.banned_tags AS ban ON ban.tag_id = tag.id
WHERE
    (tag.normalized_name, tag.id) > (%(after_name)s, %(after_id)s::uuid)
    AND (%(category)s::text IS NULL OR tag.category = %(category)s::text)
    AND (ban.tag_id IS NULL OR %(with_banned)s)
ORDER BY tag.normalized_name, tag.id
LIMIT %(limit)s

-- name: find_redirect
SELECT redirect.tag_id::text AS tag_id
FROM segue.tag_redirects AS redirect
JOIN {tags} AS tag ON tag.id = redirect.tag_id
WHERE redirect.old_id = %(old_id)s::uuid
