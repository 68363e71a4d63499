-- Mirrors: triggers that carry users' writes over in the users' own transactions. Bodies are parts that migrator/
-- mirror_functions.py fills with a run's tables and number; the parts of the batch path's queries are in them word by
-- word, so there is one resolution of texts.

-- name: create_note
-- For each row: writes down which song changed; the rest waits for the commit.
CREATE OR REPLACE FUNCTION segue.mirror_note() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $mirror$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO segue.mirror_pending (key) VALUES (NULL);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO segue.mirror_pending (key) VALUES (OLD.{key}::text);
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND OLD.{key} IS DISTINCT FROM NEW.{key}) THEN
        INSERT INTO segue.mirror_pending (key) VALUES (NEW.{key}::text);
    END IF;
    RETURN NULL;
END
$mirror$

-- name: create_settle
-- At the commit: every song that the transaction has changed, in one go. All users' transactions take what they may
-- have to wait for here (new tags, then synonyms, then words) in one order and hold nothing of the kind before, so
-- they never wait in a circle; and no wait is longer than lock_timeout. What fails is late and no error of the user's.
CREATE OR REPLACE FUNCTION segue.mirror_settle() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET plan_cache_mode = force_generic_plan
AS $mirror$
#variable_conflict use_variable
DECLARE
    segue_noted text[];
    segue_keys {key_type}[];
    segue_texts text[];
    segue_is_odd boolean;
BEGIN
    -- There is an event for each note; the first one does the work of all.
    WITH taken AS (
        DELETE FROM segue.mirror_pending AS noted WHERE noted.transaction = pg_current_xact_id() RETURNING noted.key
    )
    SELECT array_agg(DISTINCT taken.key) INTO segue_noted FROM taken;
    IF segue_noted IS NULL THEN
        RETURN NULL;
    END IF;
    -- Under an old snapshot others' new links and tags cannot be seen, and reading more may fail a serializable commit.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        INSERT INTO segue.mirror_late (run_id, key, reason)
        SELECT {run_id}, noted.key, 'the transaction was not READ COMMITTED' FROM unnest(segue_noted) AS noted (key);
        RETURN NULL;
    END IF;
    BEGIN
        segue_keys := array_remove(segue_noted, NULL)::{key_type}[];
        {link_songs};
        IF segue_texts IS NOT NULL THEN
            PERFORM segue.mirror_resolve(segue_texts);
            {link_songs};
        END IF;
        DELETE FROM segue.quarantine AS kept
        WHERE kept.run_id = {run_id} AND kept.key = ANY(array_remove(segue_noted, NULL));
        IF segue_is_odd THEN
            {quarantine_elements};
        END IF;
        IF array_position(segue_noted, NULL) IS NOT NULL THEN
            {forget_truncated};
        END IF;
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO segue.mirror_late (run_id, key, reason)
        SELECT {run_id}, noted.key, SQLSTATE FROM unnest(segue_noted) AS noted (key);
    END;
    RETURN NULL;
END
$mirror$

-- name: create_resolve
-- Texts that the run's vocabulary does not know, or whose tag is gone: the batch path's own queries.
CREATE OR REPLACE FUNCTION segue.mirror_resolve(segue_texts text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $mirror$
BEGIN
    DELETE FROM segue.vocabulary AS word
    USING unnest(segue_texts) AS text (raw)
    WHERE
        word.run_id = {run_id}
        AND hashtextextended(word.raw, 0) = hashtextextended(text.raw, 0)
        AND hashtextextended(word.raw, 1) = hashtextextended(text.raw, 1)
        AND word.raw = text.raw;
    INSERT INTO segue.mirror_texts (raw, cleaned, normalized, problem, uses)
    SELECT text.raw, segue.clean_tag(text.raw), segue.normalise_tag(text.raw), segue.tag_problem(text.raw), 1
    FROM unnest(segue_texts) AS text (raw);
    {resolve_words};
    {create_tags};
    {create_synonyms};
    {save_vocabulary};
    DELETE FROM segue.mirror_texts;
    DELETE FROM segue.mirror_words;
END
$mirror$

-- name: known_word
-- One look into the vocabulary's index for each element, however the planner feels about the table's size.
(
    SELECT word.outcome, word.tag_id, tag.id AS found_id
    FROM segue.vocabulary AS word
    LEFT JOIN {tags} AS tag ON tag.id = word.tag_id
    WHERE
        word.run_id = {run_id}
        AND hashtextextended(word.raw, 0) = hashtextextended(coalesce(element.raw, ''), 0)
        AND hashtextextended(word.raw, 1) = hashtextextended(coalesce(element.raw, ''), 1)
        AND word.raw = coalesce(element.raw, '')
    LIMIT 1
)

-- name: link_songs
-- Writes the difference between the links due and those that are there, and says which texts have to be resolved
-- first, and whether anything belongs in quarantine. Links that people made are nobody else's.
WITH page AS MATERIALIZED ({page}),

said AS MATERIALIZED (
    SELECT element.k, element.raw, element.is_text, word.outcome, word.found_id
    FROM {exploded} AS element
    LEFT JOIN LATERAL {known_word} AS word ON element.is_text
),

due AS MATERIALIZED (SELECT DISTINCT said.k, said.found_id AS tag_id FROM said WHERE said.found_id IS NOT NULL),

known AS MATERIALIZED (
    SELECT link.song_id, link.tag_id FROM {song_tags} AS link WHERE link.song_id = ANY(segue_keys)
),

gone AS (
    DELETE FROM {song_tags} AS link
    WHERE
        link.song_id = ANY(segue_keys)
        AND link.run_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM due WHERE due.k = link.song_id AND due.tag_id = link.tag_id)
),

made AS (
    INSERT INTO {song_tags} (song_id, tag_id, run_id, added_at)
    SELECT due.k, due.tag_id, {run_id}, now()
    FROM due
    WHERE NOT EXISTS (SELECT FROM known WHERE known.song_id = due.k AND known.tag_id = due.tag_id)
    ORDER BY due.k, due.tag_id
    ON CONFLICT DO NOTHING
)

SELECT
    array_agg(DISTINCT said.raw) FILTER (
        WHERE
            said.is_text
            AND said.raw IS NOT NULL
            AND (said.outcome IS NULL OR (said.outcome = 'tag' AND said.found_id IS NULL))
    ),
    coalesce(bool_or(NOT said.is_text OR said.outcome = 'quarantine'), false)
INTO segue_texts, segue_is_odd
FROM said

-- name: forget_truncated
WITH link AS (
    DELETE FROM {song_tags} AS link
    WHERE link.run_id IS NOT NULL AND NOT EXISTS (SELECT FROM {table} AS song WHERE song.{key} = link.song_id)
)

DELETE FROM segue.quarantine AS kept
WHERE kept.run_id = {run_id} AND NOT EXISTS (SELECT FROM {table} AS song WHERE song.{key}::text = kept.key)

-- name: restrict_functions
-- Triggers need no EXECUTE of those who fire them.
REVOKE ALL ON FUNCTION segue.mirror_note(), segue.mirror_settle(), segue.mirror_resolve(text []) FROM PUBLIC

-- name: create_settle_trigger
CREATE CONSTRAINT TRIGGER mirror_settle AFTER INSERT ON segue.mirror_pending
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION segue.mirror_settle()

-- name: create_trigger
CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {table} {condition} EXECUTE FUNCTION segue.mirror_note()

-- name: drop_trigger
DROP TRIGGER IF EXISTS {name} ON {table}

-- name: drop_functions
DROP FUNCTION IF EXISTS segue.mirror_note(), segue.mirror_settle(), segue.mirror_resolve(text []) CASCADE

-- name: list_triggers
SELECT
    namespace.nspname::text AS schema,
    class.relname::text AS table,
    trigger.tgname::text AS name,
    trigger.tgenabled <> 'D' AS is_enabled,
    format('ALTER TABLE %%I.%%I ENABLE TRIGGER %%I', namespace.nspname, class.relname, trigger.tgname) AS fix
FROM pg_trigger AS trigger
JOIN pg_class AS class ON class.oid = trigger.tgrelid
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
JOIN pg_proc AS proc ON proc.oid = trigger.tgfoid
WHERE
    proc.pronamespace = to_regnamespace('segue') AND trigger.tgname LIKE 'segue\_mirror\_%%' AND trigger.tgparentid = 0
ORDER BY 1, 2, 3

-- name: has_settle_trigger
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'segue.mirror_pending'::regclass AND tgname = 'mirror_settle') AS found

-- name: describe_source
-- What a mirror needs of the legacy table.
SELECT
    class.relkind IN ('r', 'p') AS is_table,
    current_user::text AS role,
    has_table_privilege(class.oid, 'TRIGGER') AS may_make_triggers,
    has_table_privilege(class.oid, 'UPDATE') OR has_any_column_privilege(class.oid, 'UPDATE') AS may_lock,
    pg_has_role(class.relowner, 'USAGE') AS is_owner
FROM pg_class AS class
WHERE class.oid = %(table)s::regclass

-- name: lock_page
-- The first rows of a range, up to the first that somebody else holds: we never wait for a row while we hold others.
-- What comes after waits briefly, so that no circle with users' transactions lasts until one of them is chosen.
WITH page AS MATERIALIZED (SELECT {key} AS k FROM {table} WHERE {conditions} ORDER BY {key} LIMIT %(limit)s),

locked AS MATERIALIZED (
    SELECT song.{key} AS k
    FROM {table} AS song
    WHERE song.{key} IN (SELECT page.k FROM page)
    ORDER BY song.{key}
    FOR NO KEY UPDATE OF song SKIP LOCKED
)

SELECT
    coalesce(array_agg(row.k::text ORDER BY row.k) FILTER (WHERE row.is_ours), '{{}}') AS keys,
    (array_agg(row.k::text ORDER BY row.k) FILTER (WHERE NOT row.is_ours))[1] AS busy,
    set_config('lock_timeout', %(rest)s, true)
FROM (
    SELECT page.k, bool_and(locked.k IS NOT NULL) OVER (ORDER BY page.k) AS is_ours
    FROM page
    LEFT JOIN locked ON locked.k = page.k
) AS row

-- name: lock_keys
-- Those of some rows that nobody else holds, and the first that somebody does.
WITH locked AS MATERIALIZED (
    SELECT song.{key} AS k
    FROM {table} AS song
    WHERE song.{key} = ANY(%(keys)s::{key_type}[])
    ORDER BY song.{key}
    FOR NO KEY UPDATE SKIP LOCKED
)

SELECT
    coalesce(array_agg(row.k::text ORDER BY row.k) FILTER (WHERE row.is_ours), '{{}}') AS keys,
    coalesce(array_agg(row.k::text ORDER BY row.k) FILTER (WHERE NOT row.is_ours), '{{}}') AS busy,
    set_config('lock_timeout', %(rest)s, true)
FROM (
    SELECT song.{key} AS k, locked.k IS NOT NULL AS is_ours
    FROM {table} AS song
    LEFT JOIN locked ON locked.k = song.{key}
    WHERE song.{key} = ANY(%(keys)s::{key_type}[])
) AS row

-- name: lock_row
-- Waits for one row, which we may, because we hold nothing yet.
SELECT {key}::text AS key FROM {table} WHERE {key} = %(key)s::{key_type} FOR NO KEY UPDATE

-- name: forget_absent
-- Of keys without a song: one statement, so a song that is added meanwhile comes with its links or not at all.
WITH absent AS (
    SELECT given.key FROM unnest(%(keys)s::text[]) AS given (key)
    WHERE NOT EXISTS (SELECT FROM {table} AS song WHERE song.{key} = given.key::{key_type})
),

link AS (
    DELETE FROM {song_tags} WHERE run_id = %(run_id)s AND song_id IN (SELECT absent.key::{key_type} FROM absent)
)

DELETE FROM segue.quarantine WHERE run_id = %(run_id)s AND key IN (SELECT absent.key FROM absent)

-- name: list_late
SELECT key FROM segue.mirror_late WHERE run_id = %(run_id)s GROUP BY key ORDER BY key NULLS FIRST LIMIT %(most)s

-- name: forget_late
-- After their songs are locked: a note that comes later belongs to a transaction that waits for us.
DELETE FROM segue.mirror_late WHERE run_id = %(run_id)s AND key = ANY(%(keys)s::text[])

-- name: forget_truncate
DELETE FROM segue.mirror_late WHERE run_id = %(run_id)s AND key IS NULL

-- name: count_late
SELECT run_id, count(*) AS found FROM segue.mirror_late GROUP BY run_id ORDER BY run_id

-- name: drop_late
DELETE FROM segue.mirror_late WHERE run_id = %(run_id)s

-- name: list_gone
-- Keys of the run's links without a song, after a TRUNCATE that came late.
SELECT DISTINCT link.song_id::text AS key
FROM {song_tags} AS link
WHERE link.run_id = %(run_id)s AND NOT EXISTS (SELECT FROM {table} AS song WHERE song.{key} = link.song_id)
LIMIT %(most)s

-- name: list_mirrored_runs
SELECT id, migration, status, plan ->> 'mirror' AS mirror
FROM segue.runs
WHERE plan ? 'mirror' AND status NOT IN ('rolled_back', 'rolling_back', 'cancelled')
AND id = (SELECT max(latest.id) FROM segue.runs AS latest WHERE latest.migration = runs.migration AND latest.status <> 'rolled_back')
ORDER BY id
