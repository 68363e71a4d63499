-- The way back of a mirror: triggers that carry people's edits of links and tags into the legacy column, in their own
-- transactions. Bodies are parts that migrator/themes_mirror_back.py fills with a run's tables and number.

-- name: create_note
-- For each link or tag that a person writes: the newest edit of each pair. The rest waits for the commit.
CREATE OR REPLACE FUNCTION segue.mirror_back_note() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $mirror$
BEGIN
    IF TG_ARGV[0] = 'renamed' THEN
        INSERT INTO segue.mirror_back_pending (song, tag, edit) VALUES ('', {nobody}, 'signal') ON CONFLICT DO NOTHING;
        INSERT INTO segue.mirror_back_pending (song, tag, edit) VALUES ('', OLD.id, 'renamed') ON CONFLICT DO NOTHING;
        RETURN NULL;
    END IF;
    -- Links that go with their song are no edit: it may be inserted again.
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM {table} AS song WHERE song.{key} = OLD.song_id) THEN
        RETURN NULL;
    END IF;
    INSERT INTO segue.mirror_back_pending (song, tag, edit) VALUES ('', {nobody}, 'signal') ON CONFLICT DO NOTHING;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO segue.mirror_back_pending (song, tag, edit) VALUES (OLD.song_id::text, OLD.tag_id, 'unlinked')
        ON CONFLICT (transaction, song, tag) DO UPDATE SET edit = excluded.edit;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO segue.mirror_back_pending (song, tag, edit) VALUES (NEW.song_id::text, NEW.tag_id, 'linked')
        ON CONFLICT (transaction, song, tag) DO UPDATE SET edit = excluded.edit;
    END IF;
    RETURN NULL;
END
$mirror$

-- name: create_drop_note
-- For each legacy value that a person writes: the links that people made of what it said before. Those of them that it
-- says no more at the commit go with it; the run's own links are the forward mirror's. A song that goes takes all of
-- them, also while a run has taken the foreign key away that would.
CREATE OR REPLACE FUNCTION segue.mirror_back_drop() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $mirror$
DECLARE
    segue_tags uuid[];
BEGIN
    SELECT array_agg(link.tag_id) INTO segue_tags
    FROM {song_tags} AS link
    WHERE link.song_id = OLD.{key} AND link.run_id IS NULL;
    IF segue_tags IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO segue.mirror_back_pending (song, tag, edit) VALUES ('', {nobody}, 'signal') ON CONFLICT DO NOTHING;
    IF TG_ARGV[0] = 'gone' THEN
        INSERT INTO segue.mirror_back_pending (song, tag, edit)
        SELECT OLD.{key}::text, unnest(segue_tags), 'dropped'
        ON CONFLICT DO NOTHING;
        RETURN NULL;
    END IF;
    INSERT INTO segue.mirror_back_pending (song, tag, edit)
    SELECT DISTINCT OLD.{key}::text, said.live, 'dropped'
    FROM (
        WITH page AS MATERIALIZED (SELECT OLD.{key} AS k, {old_value} AS v)

        {said}
    ) AS said
    WHERE said.live = ANY(segue_tags)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$mirror$

-- name: create_apply
-- Some edits, in one statement that finds what is to do anew once the songs are locked. A value that needs no change is
-- neither locked nor written.
CREATE OR REPLACE FUNCTION segue.mirror_back_apply(segue_songs text[], segue_tags uuid[], segue_edits text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $mirror$
#variable_conflict use_variable
DECLARE
    segue_keys {key_type}[] := ARRAY(SELECT DISTINCT unnest(segue_songs)::{key_type});
    segue_changing {key_type}[];
    segue_before text := coalesce(current_setting('segue.writes', true), '');
BEGIN
    WITH {due}

    SELECT array_agg(edited.k) INTO segue_changing
    FROM edited
    WHERE edited.taken IS NOT NULL OR edited.added IS NOT NULL;
    -- In key order, as chunks and other transactions at their commits.
    PERFORM FROM {table} AS song WHERE song.{key} = ANY(segue_changing) ORDER BY song.{key} FOR NO KEY UPDATE;
    PERFORM set_config('segue.writes', 'own', true);
    WITH {due},

    changed AS (
        UPDATE {table} AS song
        SET {column} = {new_value}
        FROM edited
        WHERE song.{key} = edited.k AND (edited.taken IS NOT NULL OR edited.added IS NOT NULL)
    ),

    -- What the vocabulary says of a name that is written now may be older than the tag.
    outdated AS (
        DELETE FROM segue.vocabulary AS word
        USING (SELECT taken.given AS name, taken.tag FROM taken UNION SELECT added.name, added.tag FROM added) AS written
        WHERE
            word.run_id = {run_id}
            AND hashtextextended(word.raw, 0) = hashtextextended(written.name, 0)
            AND hashtextextended(word.raw, 1) = hashtextextended(written.name, 1)
            AND word.raw = written.name
            AND word.tag_id IS DISTINCT FROM written.tag
            AND word.how IS DISTINCT FROM 'accepted'
    ),

    dropped AS (
        DELETE FROM {song_tags} AS link
        USING unnest(segue_songs, segue_tags, segue_edits) AS edit (song, tag, edit)
        WHERE
            edit.edit = 'dropped'
            AND link.song_id = edit.song::{key_type}
            AND link.tag_id = edit.tag
            AND NOT EXISTS (SELECT FROM said WHERE said.k = link.song_id AND said.live = link.tag_id)
    ),

    forgotten AS (
        DELETE FROM segue.mirror_edits AS edit
        USING unnest(segue_songs, segue_tags, segue_edits) AS noted (song, tag, edit)
        WHERE edit.run_id = {run_id} AND edit.song = noted.song AND edit.tag = noted.tag AND noted.edit = 'dropped'
    )

    INSERT INTO segue.mirror_edits AS known (run_id, song, tag, edit, reason)
    SELECT DISTINCT ON (noted.k, noted.tag)
        {run_id},
        noted.k::text,
        noted.tag,
        noted.edit,
        CASE
            WHEN added.k IS NULL AND taken.k IS NULL AND (noted.edit <> 'renamed' OR noted.is_sayable) THEN NULL
            WHEN NOT noted.is_list THEN 'the legacy value is no plain list'
            WHEN noted.edit <> 'unlinked' AND NOT noted.is_sayable THEN 'its name would mean another tag in the legacy column'
        END
    FROM noted
    LEFT JOIN added ON added.k = noted.k AND added.tag = noted.tag
    LEFT JOIN taken ON taken.k = noted.k AND taken.tag = noted.tag
    WHERE noted.edit <> 'dropped'
    ORDER BY noted.k, noted.tag, noted.edit
    ON CONFLICT (run_id, song, tag) DO UPDATE SET edit = excluded.edit, reason = excluded.reason, at = excluded.at;
    PERFORM set_config('segue.writes', segue_before, true);
END
$mirror$

-- name: create_settle
-- At the commit: every edit of the transaction, and what fails is late and no error of the person's. No wait is longer
-- than lock_timeout, below deadlock_timeout, so that it is always ours that gives way.
CREATE OR REPLACE FUNCTION segue.mirror_back_settle() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $mirror$
#variable_conflict use_variable
DECLARE
    segue_songs text[];
    segue_tags uuid[];
    segue_edits text[];
    segue_outdated uuid[];
    segue_number int;
BEGIN
    WITH taken AS (
        DELETE FROM segue.mirror_back_pending AS noted WHERE noted.transaction = pg_current_xact_id()
        RETURNING noted.song, noted.tag, noted.edit
    ),

    pair AS (
        SELECT taken.song, taken.tag, taken.edit FROM taken WHERE taken.song <> ''
        UNION ALL
        -- A tag's new name concerns the songs that have it.
        SELECT link.song_id::text, taken.tag, 'renamed'
        FROM taken
        JOIN {song_tags} AS link ON link.tag_id = taken.tag
        WHERE taken.song = '' AND taken.edit = 'renamed'
    )

    SELECT
        array_agg(pair.song), array_agg(pair.tag), array_agg(pair.edit),
        -- Tags whose texts mean something else, or nothing, from now on.
        (
            SELECT array_agg(DISTINCT taken.tag)
            FROM taken
            WHERE taken.edit = 'renamed' OR NOT EXISTS (SELECT FROM {tags} AS tag WHERE tag.id = taken.tag)
        )
    INTO segue_songs, segue_tags, segue_edits, segue_outdated
    FROM pair;
    IF segue_songs IS NULL AND segue_outdated IS NULL THEN
        RETURN NULL;
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM segue.mirror_back_later(
            segue_songs, segue_tags, segue_edits, 'the transaction was not READ COMMITTED'
        );
        RETURN NULL;
    END IF;
    IF cardinality(segue_songs) > {most} THEN
        PERFORM segue.mirror_back_later(segue_songs, segue_tags, segue_edits, 'the transaction changed more than {most} links');
        RETURN NULL;
    END IF;
    BEGIN
        IF segue_songs IS NOT NULL THEN
            PERFORM segue.mirror_back_apply(segue_songs, segue_tags, segue_edits);
        END IF;
        IF cardinality(array_remove(segue_outdated, {nobody})) > 0 THEN
            DELETE FROM segue.vocabulary AS word
            WHERE
                word.run_id = {run_id}
                AND word.tag_id = ANY(segue_outdated)
                AND NOT EXISTS (
                    SELECT FROM segue.mirror_edits AS edit
                    WHERE edit.run_id = word.run_id AND edit.tag = word.tag_id AND edit.reason IS NOT NULL
                );
        END IF;
    EXCEPTION
        WHEN lock_not_available OR deadlock_detected THEN
            PERFORM segue.mirror_back_later(segue_songs, segue_tags, segue_edits, SQLSTATE);
        WHEN OTHERS THEN
            -- One by one, so that what is refused keeps nothing else back.
            FOR segue_number IN 1 .. cardinality(segue_songs) LOOP
                BEGIN
                    PERFORM segue.mirror_back_apply(
                        ARRAY[segue_songs[segue_number]], ARRAY[segue_tags[segue_number]], ARRAY[segue_edits[segue_number]]
                    );
                EXCEPTION WHEN OTHERS THEN
                    PERFORM segue.mirror_back_later(
                        ARRAY[segue_songs[segue_number]], ARRAY[segue_tags[segue_number]],
                        ARRAY[segue_edits[segue_number]], SQLSTATE
                    );
                END;
            END LOOP;
    END;
    RETURN NULL;
END
$mirror$

-- name: create_later
-- Edits for the next command of Segue's.
CREATE OR REPLACE FUNCTION segue.mirror_back_later(songs text[], tags uuid[], edits text[], why text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $mirror$
INSERT INTO segue.mirror_edits AS known (run_id, song, tag, edit, reason)
SELECT DISTINCT ON (edit.song, edit.tag) {run_id}, edit.song, edit.tag, edit.edit, why
FROM unnest(songs, tags, edits) AS edit (song, tag, edit)
ORDER BY edit.song, edit.tag, edit.edit
ON CONFLICT (run_id, song, tag) DO UPDATE SET edit = excluded.edit, reason = excluded.reason, at = excluded.at
$mirror$

-- name: restrict_functions
REVOKE ALL ON FUNCTION segue.mirror_back_note(), segue.mirror_back_drop(), segue.mirror_back_settle(),
segue.mirror_back_apply(text [], uuid [], text []), segue.mirror_back_later(text [], uuid [], text [], text) FROM PUBLIC

-- name: create_settle_trigger
CREATE CONSTRAINT TRIGGER mirror_back_settle AFTER INSERT ON segue.mirror_back_pending
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.edit = 'signal') EXECUTE FUNCTION segue.mirror_back_settle()

-- name: say_whose
COMMENT ON FUNCTION segue.mirror_back_settle() IS {run_text}

-- name: create_trigger
CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {on} FOR EACH ROW
WHEN ({condition} AND current_setting('segue.writes', true) IS DISTINCT FROM 'own') EXECUTE FUNCTION {function}

-- name: drop_functions
DROP FUNCTION IF EXISTS segue.mirror_back_note(), segue.mirror_back_drop(), segue.mirror_back_settle(),
segue.mirror_back_apply(text [], uuid [], text []), segue.mirror_back_later(text [], uuid [], text [], text) CASCADE

-- name: as_own_write
-- A statement of a function's that writes links as Segue's own; what held before holds again.
PERFORM set_config('segue.before', coalesce(current_setting('segue.writes', true), ''), true);
PERFORM set_config('segue.writes', 'own', true);
{statement};
PERFORM set_config('segue.writes', current_setting('segue.before', true), true)
