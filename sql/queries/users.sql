-- name: find_user
SELECT person.id::text AS user_id, person.spotify_id, person.email
FROM {users} AS person
WHERE person.spotify_id = %(asked)s OR person.id = %(user_id)s::uuid
ORDER BY person.spotify_id = %(asked)s DESC
LIMIT 1

-- name: derive_id
SELECT segue.row_id('user', %(asked)s)::text AS user_id

-- name: lock_user
-- Whoever writes rows that refer to the user waits from here on.
SELECT count(*) AS locked
FROM (SELECT person.id FROM {users} AS person WHERE person.id = %(user_id)s::uuid FOR UPDATE) AS locked

-- name: list_patterns
-- Settings of runs over files that say how a key holds a user's id.
SELECT DISTINCT setting.value AS pattern
FROM segue.runs AS run CROSS JOIN LATERAL jsonb_each_text(run.settings) AS setting
WHERE setting.value LIKE '%%{{id}}%%'

-- name: list_paths
SELECT DISTINCT file.path
FROM segue.files AS file
WHERE file.user_id = %(spotify_id)s OR file.path = ANY(%(candidates)s)
ORDER BY file.path

-- name: list_archives
SELECT tablename AS name FROM pg_tables WHERE schemaname = 'segue' AND tablename LIKE 'archive\_%%' ORDER BY 1

-- name: list_foreign_tables
-- Tables of the application's own that refer to users: Segue does not know what is in them.
SELECT DISTINCT conrelid::regclass::text AS name
FROM pg_constraint
WHERE contype = 'f' AND confrelid = {users_name}::regclass AND NOT conrelid = ANY({known}::regclass[])
ORDER BY 1

-- name: of_self
whose.id = %(user_id)s::uuid

-- name: of_user
whose.user_id = %(user_id)s::uuid

-- name: of_playlist
whose.playlist_id IN (SELECT playlist.id FROM {playlists} AS playlist WHERE playlist.user_id = %(user_id)s::uuid)

-- name: of_session
whose.session_id IN (
    SELECT session.id FROM {recommendation_sessions} AS session WHERE session.user_id = %(user_id)s::uuid
)

-- name: of_feedback
-- The user's own, and what anybody said of the user's recommendations: it cannot stay without them.
(
    whose.user_id = %(user_id)s::uuid
    OR whose.recommendation_id IN (
        SELECT recommendation.id
        FROM {recommendations} AS recommendation
        INNER JOIN {recommendation_sessions} AS session ON session.id = recommendation.session_id
        WHERE session.user_id = %(user_id)s::uuid
    )
)

-- name: of_author
whose.{column}::text = %(user_id)s

-- name: of_linker
-- A link that a merge moved, kept so that the merge can be undone.
whose.link ->> 'added_by' = %(user_id)s

-- name: of_mention
-- Somewhere in the row stands the user's id or e-mail address.
to_jsonb(whose)::text ~ %(mention)s

-- name: of_file
whose.path = ANY(%(paths)s)

-- name: of_quarantine
-- A theme that happens to be a user's name is not about the user.
(
    (whose.key = ANY(%(paths)s) OR whose.key = %(user_id)s::text OR to_jsonb(whose)::text ~ %(mention)s)
    AND NOT EXISTS (SELECT FROM segue.runs AS run WHERE run.id = whose.run_id AND run.migration = 'themes')
)

-- name: of_journal
-- By key, by what the images say, and by the keys of rows that only the user's other rows tell apart.
(
    whose.table_name = ANY(%(tables)s)
    AND (
        whose.key = %(spotify_id)s
        OR whose.key ~ %(word)s
        OR whose.before ->> 'user_id' IN (%(user_id)s, %(spotify_id)s)
        OR whose.after ->> 'user_id' IN (%(user_id)s, %(spotify_id)s)
        OR whose.before ->> 'spotify_id' = %(spotify_id)s
        OR whose.after ->> 'spotify_id' = %(spotify_id)s
        OR whose.before::text ~ %(mention)s
        OR whose.after::text ~ %(mention)s
        OR (
            whose.table_name = 'user_listening_history'
            AND whose.key IN (
                SELECT play.id::text FROM {user_listening_history} AS play WHERE play.user_id = %(user_id)s::uuid
            )
        )
        OR (
            whose.table_name IN ('playlists', 'playlist_tracks')
            AND EXISTS (
                SELECT FROM {playlists} AS playlist
                WHERE
                    playlist.user_id = %(user_id)s::uuid
                    AND (
                        strpos(whose.key, playlist.id::text) > 0
                        OR whose.before ->> 'playlist_id' = playlist.id::text
                        OR whose.after ->> 'playlist_id' = playlist.id::text
                    )
            )
        )
        OR (
            whose.table_name = 'listening_snapshots'
            AND whose.key IN (
                SELECT snapshot.id::text FROM {listening_snapshots} AS snapshot
                WHERE snapshot.user_id = %(user_id)s::uuid
            )
        )
    )
)

-- name: export_rows
SELECT to_jsonb(whose) - %(withheld)s::text[] AS record
FROM {table} AS whose
WHERE {condition}
ORDER BY {order}

-- name: export_journal
SELECT
    to_jsonb(whose) || jsonb_build_object(
        'before', whose.before - %(withheld)s::text[], 'after', whose.after - %(withheld)s::text[]
    ) AS record
FROM {table} AS whose
WHERE {condition}
ORDER BY {order}

-- name: has_rows
SELECT EXISTS (SELECT FROM {table} AS whose WHERE {condition}) AS found

-- name: delete_rows
DELETE FROM {table} AS whose WHERE {condition}

-- name: clear_author
UPDATE {table} AS whose SET {column} = NULL WHERE {condition}

-- name: clear_linker
UPDATE {table} AS whose SET link = whose.link || '{{"added_by": null}}' WHERE {condition}

-- name: mask_files
-- The run's accounting needs the file, not whose it was.
UPDATE segue.files AS whose
SET
    path = masked.pseudonym, size = 0, mtime_ns = 0, user_id = NULL, outcome = 'erased', reason = NULL,
    elements = 0, linked = 0, merged = 0, blank = 0, quarantined = 0, due_rows = 0, due_sum = 0, due_xor = 0
FROM unnest(%(paths)s::text[], %(pseudonyms)s::text[]) AS masked (path, pseudonym)
WHERE whose.path = masked.path

-- name: create_pseudonym
INSERT INTO {users} (id, spotify_id) VALUES (gen_random_uuid(), %(pseudonym)s) RETURNING id::text AS user_id

-- name: give_rows
UPDATE {table} AS whose SET user_id = %(new_user_id)s::uuid, run_id = NULL WHERE {condition}

-- name: give_keyed_rows
-- Their ids follow from the user's.
UPDATE {table} AS whose
SET id = gen_random_uuid(), user_id = %(new_user_id)s::uuid, run_id = NULL
WHERE {condition}

-- name: give_plays
-- A playlist or a collection that was played tells whose it is.
UPDATE {table} AS whose
SET
    id = gen_random_uuid(),
    user_id = %(new_user_id)s::uuid,
    context_id = CASE WHEN whose.context_type IN ('album', 'artist', 'show') THEN whose.context_id END,
    run_id = NULL
WHERE {condition}

-- name: give_playlists
-- Names and descriptions are people's own words, and Spotify tells everybody whose a playlist id is.
WITH fresh AS MATERIALIZED (
    SELECT playlist.id AS old_id, gen_random_uuid() AS new_id, playlist.is_public
    FROM {playlists} AS playlist
    WHERE playlist.user_id = %(user_id)s::uuid
),

given AS (
    INSERT INTO {playlists} (id, user_id, name, is_public)
    SELECT fresh.new_id, %(new_user_id)s::uuid, 'playlist', fresh.is_public FROM fresh
)

UPDATE {table} AS item
SET playlist_id = fresh.new_id, run_id = NULL
FROM fresh
WHERE item.playlist_id = fresh.old_id

-- name: mask_boundaries
-- A boundary need not be a path; the one before it cuts the files in the same way.
UPDATE segue.partitions AS part
SET
    after_key = CASE WHEN part.after_key = ANY(%(paths)s) THEN lower_path.of_after ELSE part.after_key END,
    upto_key = CASE WHEN part.upto_key = ANY(%(paths)s) THEN lower_path.of_upto ELSE part.upto_key END,
    cursor = CASE WHEN part.cursor = ANY(%(paths)s) THEN lower_path.of_cursor ELSE part.cursor END
FROM segue.partitions AS own
CROSS JOIN LATERAL (
    SELECT
        coalesce(max(file.path) FILTER (WHERE file.path < own.after_key COLLATE "C"), '') AS of_after,
        coalesce(max(file.path) FILTER (WHERE file.path < own.upto_key COLLATE "C"), '') AS of_upto,
        coalesce(max(file.path) FILTER (WHERE file.path < own.cursor COLLATE "C"), '') AS of_cursor
    FROM segue.files AS file
    WHERE file.run_id = own.run_id AND NOT file.path = ANY(%(paths)s)
) AS lower_path
WHERE
    own.run_id = part.run_id
    AND own.ordinal = part.ordinal
    AND EXISTS (SELECT FROM segue.files AS file WHERE file.run_id = own.run_id)
    AND (
        own.after_key = ANY(%(paths)s) OR own.upto_key = ANY(%(paths)s) OR own.cursor = ANY(%(paths)s)
    )

-- name: mask_runs
-- Errors and conflicts name rows by key and files by path.
UPDATE segue.runs AS run
SET
    error = regexp_replace(run.error, %(said)s, 'erased', 'g'),
    plan = regexp_replace(run.plan::text, %(mention)s, 'erased', 'g')::jsonb,
    rollback = regexp_replace(run.rollback::text, %(mention)s, 'erased', 'g')::jsonb,
    validation = regexp_replace(run.validation::text, %(mention)s, 'erased', 'g')::jsonb
WHERE
    run.migration <> 'themes'
    AND (
        run.error ~ %(said)s
        OR concat_ws(' ', run.plan::text, run.rollback::text, run.validation::text) ~ %(mention)s
    )

-- name: mask_jobs
-- Their reports say what those of the runs said.
UPDATE segue.jobs AS job
SET
    error = regexp_replace(job.error, %(said)s, 'erased', 'g'),
    report = regexp_replace(job.report::text, %(mention)s, 'erased', 'g')::jsonb
WHERE job.migration <> 'themes' AND (job.error ~ %(said)s OR job.report::text ~ %(mention)s)

-- name: list_affected_runs
-- Runs whose totals count something of the user's, as far as they got.
SELECT run.id
FROM segue.runs AS run
WHERE
    run.status NOT IN ('rolled_back', 'cancelled')
    AND (
        run.migration = ANY(%(migrations)s)
        OR EXISTS (SELECT FROM segue.files AS file WHERE file.run_id = run.id AND file.path = ANY(%(paths)s))
    )
ORDER BY run.id

-- name: hold_erasures
-- Until this transaction ends no erasure begins; one that ended after its snapshot makes it begin again.
SELECT secret, erasures FROM segue.erasure_key FOR SHARE

-- name: begin_erasure
UPDATE segue.erasure_key SET erasures = erasures + 1 RETURNING secret

-- name: list_pseudonyms
SELECT DISTINCT file.path FROM segue.files AS file WHERE file.outcome = 'erased'

-- name: find_erased
SELECT id_hash FROM segue.erasures WHERE id_hash = ANY(%(hashes)s)

-- name: save_erasure
INSERT INTO segue.erasures (id_hash, mode) VALUES (%(id_hash)s, %(mode)s)
ON CONFLICT (id_hash) DO UPDATE SET at = now(), mode = excluded.mode
