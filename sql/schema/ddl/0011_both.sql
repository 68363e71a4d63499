-- What `--mirror both` keeps, and how it edits a legacy value; its triggers come with the run, not from here.

-- name: segue
-- What the transaction did to links and tags: the newest edit of each pair. Emptied before it commits. Its first row,
-- 'signal', has the settling trigger fire at the commit, once however many pairs there are; song '' is all of a tag's.
CREATE UNLOGGED TABLE segue.mirror_back_pending (
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    song text COLLATE "C" NOT NULL,
    tag uuid NOT NULL,
    edit text NOT NULL,
    PRIMARY KEY (transaction, song, tag)
);

-- People's edits of links and tags since the mirror works both ways, the newest of each pair. The legacy value has it,
-- unless reason says why not.
CREATE TABLE segue.mirror_edits (
    run_id bigint NOT NULL,
    song text COLLATE "C" NOT NULL,
    tag uuid NOT NULL,
    edit text NOT NULL CONSTRAINT mirror_edits_edit_check CHECK (edit IN ('linked', 'unlinked', 'renamed', 'dropped')),
    reason text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, song, tag)
);
CREATE INDEX mirror_edits_late ON segue.mirror_edits (run_id) WHERE reason IS NOT NULL;

-- One element after an edit: each of its texts that is in `taken` becomes its neighbour in `given`, and goes where that
-- is null. NULL when nothing is left of it.
CREATE FUNCTION segue.edit_element(element text, split text, taken text[], given text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place int;
    edited text;
BEGIN
    IF split IS NULL THEN
        place := array_position(taken, element COLLATE "C");
        RETURN CASE WHEN place IS NULL THEN element ELSE given[place] END;
    END IF;
    IF NOT EXISTS (SELECT FROM string_to_table(element, split) AS part WHERE part = ANY(taken COLLATE "C")) THEN
        RETURN element;
    END IF;
    SELECT string_agg(kept.part, split ORDER BY kept.position)
    INTO edited
    FROM (
        SELECT
            part.position,
            CASE
                WHEN array_position(taken, part.part COLLATE "C") IS NULL THEN part.part
                ELSE given[array_position(taken, part.part COLLATE "C")]
            END AS part
        FROM string_to_table(element, split) WITH ORDINALITY AS part (part, position)
    ) AS kept
    WHERE kept.part IS NOT NULL;
    RETURN edited;
END
$$;

-- An array after an edit: everything that is not edited keeps order, spelling, NULLs, blanks, duplicates, lower bound.
CREATE FUNCTION segue.edit_array(elements text[], split text, taken text[], given text[], added text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept text[] := elements;
    first int := coalesce(array_lower(elements, 1), 1);
BEGIN
    IF taken IS NOT NULL THEN
        SELECT coalesce(array_agg(edited.element ORDER BY edited.position), '{}')
        INTO kept
        FROM (
            SELECT
                one.position,
                one.element IS NULL AS was_null,
                segue.edit_element(one.element, split, taken, given) AS element
            FROM unnest(elements) WITH ORDINALITY AS one (element, position)
        ) AS edited
        WHERE edited.was_null OR edited.element IS NOT NULL;
        IF first <> 1 AND cardinality(kept) > 0 THEN
            kept := format('[%s:%s]=%s', first, first + cardinality(kept) - 1, kept::text)::text[];
        END IF;
    END IF;
    RETURN kept || added;
END
$$;

-- The same for a list of JSON, whose elements are texts at any depth of nested lists.
CREATE FUNCTION segue.edit_json(list jsonb, split text, taken text[], given text[], added text[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept jsonb := coalesce(nullif(list, 'null'), '[]');
BEGIN
    IF taken IS NOT NULL THEN
        SELECT coalesce(jsonb_agg(edited.item ORDER BY edited.position) FILTER (WHERE edited.item IS NOT NULL), '[]')
        INTO kept
        FROM (
            SELECT
                one.position,
                CASE jsonb_typeof(one.item)
                    WHEN 'array' THEN segue.edit_json(one.item, split, taken, given, NULL)
                    WHEN 'string' THEN to_jsonb(segue.edit_element(one.item #>> '{}', split, taken, given))
                    ELSE one.item
                END AS item
            FROM jsonb_array_elements(kept) WITH ORDINALITY AS one (item, position)
        ) AS edited;
    END IF;
    RETURN kept || coalesce(to_jsonb(added), '[]');
END
$$;

-- name: segue_down
DROP FUNCTION segue.edit_json(jsonb, text, text[], text[], text[]);
DROP FUNCTION segue.edit_array(text[], text, text[], text[], text[]);
DROP FUNCTION segue.edit_element(text, text, text[], text[]);
DROP TABLE segue.mirror_edits;
DROP TABLE segue.mirror_back_pending;
