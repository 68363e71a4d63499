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
-- Planned once a session, perhaps while a table is still empty: what is found by a key must stay found by it.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $mirror$
#variable_conflict use_variable
DECLARE
    segue_noted text[];
    segue_keys {key_type}[];
    segue_key {key_type};
    segue_due uuid[];
    segue_there uuid[];
    segue_ours uuid[];
    segue_is_plain boolean := false;
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
        {settle_one};
        IF segue_is_plain THEN
            RETURN NULL;
        END IF;
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

-- name: settle_one
-- Nearly every transaction of a user changes one song, and its texts are known: four small statements, of which the two
-- that write are left out where they have nothing to do, cost half as much as those for any number of songs. Whatever is
-- not plain - a new text, a tag that is gone, anything in quarantine before or now - goes on to those.
IF cardinality(segue_noted) = 1 AND segue_noted[1] IS NOT NULL THEN
    segue_key := segue_noted[1]::{key_type};
    WITH page AS (SELECT {key} AS k, {value} AS v FROM {table} WHERE {key} = segue_key)

    SELECT
        coalesce(array_agg(word.found_id) FILTER (WHERE word.found_id IS NOT NULL), '{{}}'),
        coalesce(bool_and(element.is_text AND coalesce(word.outcome = 'blank' OR word.found_id IS NOT NULL, false)), true)
        AND NOT EXISTS (SELECT FROM segue.quarantine AS kept WHERE kept.run_id = {run_id} AND kept.key = segue_noted[1])
    INTO segue_due, segue_is_plain
    FROM {exploded} AS element
    LEFT JOIN LATERAL {known_word} AS word ON element.is_text;
    IF segue_is_plain THEN
        SELECT
            coalesce(array_agg(link.tag_id), '{{}}'),
            coalesce(array_agg(link.tag_id) FILTER (WHERE link.run_id IS NOT NULL), '{{}}')
        INTO segue_there, segue_ours
        FROM {song_tags} AS link
        WHERE link.song_id = segue_key;
        IF NOT segue_ours <@ segue_due THEN
            DELETE FROM {song_tags} AS link
            WHERE link.song_id = segue_key AND link.run_id IS NOT NULL AND link.tag_id <> ALL(segue_due);
        END IF;
        IF NOT segue_due <@ segue_there THEN
            INSERT INTO {song_tags} (song_id, tag_id, run_id, added_at)
            SELECT segue_key, due.tag_id, {run_id}, now()
            FROM unnest(segue_due) AS due (tag_id)
            WHERE due.tag_id <> ALL(segue_there)
            -- Spellings of one tag, too; and links that a person makes at this moment.
            ON CONFLICT DO NOTHING;
        END IF;
    END IF;
END IF

-- name: create_resolve
-- Texts that the run's vocabulary does not know, or whose tag is gone: the batch path's own queries.
CREATE OR REPLACE FUNCTION segue.mirror_resolve(segue_texts text[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- The stages have no index, and where every plan is as bad as another none is chosen.
SET enable_seqscan = on
AS $mirror$
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
