-- Triggers that write down which tags and songs a statement changed, in the writer's own transaction. They fire once a
-- statement and read its transition tables: `changed` for INSERT and DELETE, `removed` and `added` for UPDATE.
-- They run as the owner of schema segue, so a role of the application's needs no privilege there. Never a NOTIFY here:
-- its lock is held to the end of the commit, for all databases of the server.

-- Tags: at most 1,000 ids a row. (Called below alone, so with that search_path; setting it again would cost as much as
-- the work.)
CREATE OR REPLACE FUNCTION segue.append_tags(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(ids) > 1000 THEN
        INSERT INTO segue.outbox (kind, keys)
        SELECT 'tags', ids[first : first + 999]::text[] FROM generate_series(1, cardinality(ids), 1000) AS first;
    ELSIF cardinality(ids) > 0 THEN
        INSERT INTO segue.outbox (kind, keys) VALUES ('tags', ids::text[]);
    END IF;
END
$$;

-- Songs: their keys, or null when they are more than 1,000: whoever asks reads the songs anew then.
CREATE OR REPLACE FUNCTION segue.append_songs(keys text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF keys IS NULL OR cardinality(keys) > 1000 THEN
        INSERT INTO segue.outbox (kind) VALUES ('songs');
    ELSIF cardinality(keys) > 0 THEN
        INSERT INTO segue.outbox (kind, keys) VALUES ('songs', keys);
    END IF;
END
$$;

-- TRUNCATE of a table: any tag, or any song, may have changed.
CREATE OR REPLACE FUNCTION segue.note_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO segue.outbox (kind) VALUES (TG_ARGV[0]);
    RETURN NULL;
END
$$;

-- An UPDATE counts when any column's image differs; *<> compares types without an equality, such as json, too.
CREATE OR REPLACE FUNCTION segue.note_tags() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM segue.append_tags(ARRAY(
            SELECT coalesce(added.id, removed.id) FROM added FULL JOIN removed ON removed.id = added.id
            WHERE added.id IS NULL OR removed.id IS NULL OR added *<> removed
        ));
    ELSE
        PERFORM segue.append_tags(ARRAY(SELECT id FROM changed));
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION segue.note_synonyms() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM segue.append_tags(ARRAY(
            SELECT canonical_tag_id FROM (
                (SELECT synonym, canonical_tag_id FROM added EXCEPT SELECT synonym, canonical_tag_id FROM removed)
                UNION ALL
                (SELECT synonym, canonical_tag_id FROM removed EXCEPT SELECT synonym, canonical_tag_id FROM added)
            ) AS different GROUP BY canonical_tag_id
        ));
    ELSE
        PERFORM segue.append_tags(ARRAY(SELECT canonical_tag_id FROM changed GROUP BY canonical_tag_id));
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION segue.note_bans() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM segue.append_tags(ARRAY(
            (SELECT tag_id FROM added EXCEPT SELECT tag_id FROM removed)
            UNION ALL
            (SELECT tag_id FROM removed EXCEPT SELECT tag_id FROM added)
        ));
    ELSE
        PERFORM segue.append_tags(ARRAY(SELECT tag_id FROM changed));
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION segue.note_redirects() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM segue.append_tags(ARRAY(
            SELECT id FROM (
                (SELECT old_id, tag_id FROM added EXCEPT SELECT old_id, tag_id FROM removed)
                UNION ALL
                (SELECT old_id, tag_id FROM removed EXCEPT SELECT old_id, tag_id FROM added)
            ) AS different, LATERAL (VALUES (old_id), (tag_id)) AS both_ends (id) GROUP BY id
        ));
    ELSE
        PERFORM segue.append_tags(ARRAY(
            SELECT id FROM changed, LATERAL (VALUES (old_id), (tag_id)) AS both_ends (id) GROUP BY id
        ));
    END IF;
    RETURN NULL;
END
$$;

-- A bulk load must not sort all its songs to find that they are too many: only the first 10,000 rows are looked at.
CREATE OR REPLACE FUNCTION segue.note_links() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_bulk boolean;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        is_bulk := EXISTS (SELECT FROM added OFFSET 10000);
        IF NOT is_bulk THEN
            PERFORM segue.append_songs(ARRAY(
                SELECT song_id::text FROM (
                    (SELECT song_id, tag_id FROM added EXCEPT SELECT song_id, tag_id FROM removed)
                    UNION ALL
                    (SELECT song_id, tag_id FROM removed EXCEPT SELECT song_id, tag_id FROM added)
                ) AS different GROUP BY song_id
            ));
        END IF;
    ELSE
        is_bulk := EXISTS (SELECT FROM changed OFFSET 10000);
        IF NOT is_bulk THEN
            PERFORM segue.append_songs(ARRAY(SELECT song_id::text FROM changed GROUP BY song_id));
        END IF;
    END IF;
    IF is_bulk THEN
        PERFORM segue.append_songs(NULL);
    END IF;
    RETURN NULL;
END
$$;

-- The table of songs: its columns are the application's, so key and title are the trigger's arguments.
CREATE OR REPLACE FUNCTION segue.note_songs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_bulk boolean;
    keys text[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        is_bulk := EXISTS (SELECT FROM added OFFSET 10000);
        IF NOT is_bulk THEN
            EXECUTE format(
                'SELECT array_agg(DISTINCT key) FROM (
                    (SELECT %1$s FROM added EXCEPT SELECT %1$s FROM removed)
                    UNION ALL
                    (SELECT %1$s FROM removed EXCEPT SELECT %1$s FROM added)
                ) AS different', format('%1$I::text COLLATE "C" AS key, %2$I::text COLLATE "C" AS title', TG_ARGV[0], TG_ARGV[1])
            ) INTO keys;
        END IF;
    ELSE
        is_bulk := EXISTS (SELECT FROM changed OFFSET 10000);
        IF NOT is_bulk THEN
            EXECUTE format('SELECT array_agg(DISTINCT %I::text) FROM changed', TG_ARGV[0]) INTO keys;
        END IF;
    END IF;
    PERFORM segue.append_songs(CASE WHEN is_bulk THEN NULL ELSE coalesce(keys, '{}') END);
    RETURN NULL;
END
$$;
