-- name: create_stage
-- Lives as long as the transaction, so a pooler between us and the server does not matter.
CREATE TEMP TABLE IF NOT EXISTS segue_texts (
    raw text COLLATE "C", cleaned text COLLATE "C", normalized text COLLATE "C", problem text, uses bigint
) ON COMMIT DROP

-- name: create_words
CREATE TEMP TABLE IF NOT EXISTS segue_words (
    normalized text COLLATE "C", canonical text COLLATE "C", how text, name text, rank int, category text, color text,
    is_standard boolean
) ON COMMIT DROP

-- name: empty_stage
TRUNCATE segue_texts, segue_words

-- name: copy_texts
COPY segue_texts (raw, cleaned, normalized, problem, uses) FROM STDIN

-- name: resolve_words
-- Each distinct normal form once: an admin's decision, else a tag of that name, else a synonym, else a tag of its own.
-- Rank says whose spelling names a new tag: the starter vocabulary's, the data's most frequent one, the decision's.
WITH starter AS (
    SELECT *
    FROM unnest(
        %(starter_texts)s::text[], %(starter_names)s::text[], %(starter_canonicals)s::text[],
        %(starter_categories)s::text[], %(starter_colors)s::text[]
    ) AS starter (normalized, name, canonical, category, color)
),

spelled AS (
    SELECT text.normalized, text.cleaned, sum(text.uses) AS uses, bool_and(text.problem IS NULL) AS is_nameable
    FROM {texts} AS text
    WHERE text.normalized <> ''
    GROUP BY text.normalized, text.cleaned
),

word AS (
    SELECT
        spelled.normalized,
        (array_agg(spelled.cleaned ORDER BY spelled.is_nameable DESC, spelled.uses DESC, spelled.cleaned))[1] AS spelling,
        bool_or(spelled.is_nameable) AS is_nameable
    FROM spelled
    GROUP BY spelled.normalized
),

synonym AS (
    SELECT DISTINCT ON (1) segue.normalise_tag(known.synonym) AS normalized, tag.normalized_name AS canonical
    FROM {tag_synonyms} AS known
    JOIN {tags} AS tag ON tag.id = known.canonical_tag_id
    ORDER BY 1, 2
)

INSERT INTO {words} (normalized, canonical, how, name, rank, category, color, is_standard)
SELECT
    word.normalized,
    coalesce(decision.canonical_normalized, tag.normalized_name, exact.canonical, synonym.canonical, starter.canonical, word.normalized),
    CASE
        WHEN decision.normalized IS NOT NULL THEN 'accepted'
        WHEN tag.id IS NOT NULL OR exact.canonical IS NOT NULL THEN 'exact'
        WHEN synonym.canonical IS NOT NULL OR starter.canonical IS NOT NULL THEN 'synonym'
        ELSE 'new'
    END,
    coalesce(standard.name, decision.canonical, starter.name, word.spelling),
    CASE WHEN coalesce(standard.name, starter.name) IS NOT NULL THEN 1 WHEN decision.normalized IS NULL THEN 2 ELSE 3 END,
    coalesce(standard.category, decision.category, starter.category, 'theme'),
    coalesce(standard.color, starter.color),
    coalesce(standard.name, starter.name) IS NOT NULL
FROM word
LEFT JOIN segue.decisions AS decision ON decision.normalized = word.normalized
LEFT JOIN {tags} AS tag ON tag.normalized_name = word.normalized AND decision.normalized IS NULL
LEFT JOIN synonym ON synonym.normalized = word.normalized AND decision.normalized IS NULL
-- A starter's name that people have made a synonym since, by a merge, stays one.
LEFT JOIN starter AS exact
    ON exact.normalized = word.normalized
    AND exact.normalized = exact.canonical
    AND decision.normalized IS NULL
    AND synonym.canonical IS NULL
LEFT JOIN starter ON starter.normalized = word.normalized AND decision.normalized IS NULL AND synonym.canonical IS NULL
LEFT JOIN starter AS standard
    ON standard.normalized = standard.canonical
    AND standard.canonical = coalesce(decision.canonical_normalized, synonym.canonical)
WHERE word.is_nameable OR decision.normalized IS NOT NULL

-- name: create_tags
-- Sorted, so that two workers that meet the same new texts wait for each other instead of deadlocking.
WITH wanted AS (
    SELECT DISTINCT ON (word.canonical) word.*
    FROM {words} AS word
    WHERE NOT EXISTS (SELECT FROM {tags} AS tag WHERE tag.normalized_name = word.canonical)
    ORDER BY word.canonical, word.rank, word.name COLLATE "C"
),

made AS (
    INSERT INTO {tags} (id, name, normalized_name, category, color, is_standard, usage_count, created_at, run_id)
    SELECT
        CASE WHEN taken.id IS NULL THEN segue.tag_id(wanted.canonical) ELSE gen_random_uuid() END,
        wanted.name, wanted.canonical, wanted.category, wanted.color, wanted.is_standard, 0, %(at)s, %(run_id)s
    FROM wanted
    LEFT JOIN {tags} AS taken ON taken.id = segue.tag_id(wanted.canonical)
    ORDER BY wanted.canonical
    ON CONFLICT DO NOTHING
    RETURNING id, name, category, color, is_standard
)

-- The after-image lets a rollback see whether somebody edited the tag since.
INSERT INTO segue.journal (run_id, table_name, key, kind, after)
SELECT
    %(run_id)s, 'tags', made.id::text, 'created',
    jsonb_build_object('name', made.name, 'category', made.category, 'color', made.color, 'is_standard', made.is_standard)
FROM made
ON CONFLICT (run_id, table_name, kind, key) DO UPDATE SET after = excluded.after, undone_at = NULL

-- name: analyze_tags
-- The tags that were just created are in no statistics. Where a rollback and a vacuum have left "one row" there, later
-- plans would go through all tags for every word and every count: minutes for some ten thousand.
ANALYZE {tags} (id, normalized_name)

-- name: create_synonyms
INSERT INTO {tag_synonyms} (id, synonym, canonical_tag_id, created_at, run_id)
SELECT segue.tag_id('synonym:' || word.normalized), word.normalized, tag.id, %(at)s, %(run_id)s
FROM {words} AS word
JOIN {tags} AS tag ON tag.normalized_name = word.canonical
WHERE
    word.how IN ('synonym', 'accepted')
    AND word.normalized <> word.canonical
    AND char_length(word.normalized) <= 50
    AND NOT EXISTS (SELECT FROM {tags} AS own WHERE own.normalized_name = word.normalized)
    AND NOT EXISTS (SELECT FROM {tag_synonyms} AS known WHERE segue.normalise_tag(known.synonym) = word.normalized)
ORDER BY word.normalized
ON CONFLICT DO NOTHING

-- name: save_vocabulary
INSERT INTO segue.vocabulary (run_id, raw, normalized, outcome, how, canonical, tag_id, reason, uses)
SELECT
    %(run_id)s,
    text.raw,
    text.normalized,
    CASE WHEN tag.id IS NOT NULL THEN 'tag' WHEN text.normalized = '' THEN 'blank' ELSE 'quarantine' END,
    CASE WHEN tag.id IS NOT NULL THEN word.how END,
    word.canonical,
    tag.id,
    CASE WHEN tag.id IS NULL AND text.normalized <> '' THEN coalesce(text.problem, 'its tag could not be created') END,
    text.uses
FROM {texts} AS text
-- A spelling that cannot be a name (it is too long before its case is folded) shares the tag only by a decision.
LEFT JOIN {words} AS word
    ON word.normalized = text.normalized AND (text.problem IS NULL OR word.how = 'accepted')
LEFT JOIN {tags} AS tag ON tag.normalized_name = word.canonical
{among_others}

-- name: among_others
-- For transactions that meet the same new texts at the same time: sorted, as tags are, and each keeps what it finds.
ORDER BY text.raw ON CONFLICT DO NOTHING

-- name: analyze_vocabulary
-- Only what the planner looks at in the chunk statement.
ANALYZE segue.vocabulary (run_id, raw)

-- name: count_vocabulary
SELECT
    count(*) FILTER (WHERE how = 'exact') AS exact,
    count(*) FILTER (WHERE how = 'synonym') AS synonym,
    count(*) FILTER (WHERE how = 'accepted') AS accepted,
    count(*) FILTER (WHERE how = 'new') AS new,
    count(*) FILTER (WHERE outcome = 'quarantine') AS quarantined
FROM segue.vocabulary
WHERE run_id = %(run_id)s

-- name: read_vocabulary
SELECT raw, coalesce(tag.name, '') AS canonical, coalesce(tag.category, '') AS category,
    coalesce(word.how, word.outcome) AS how, word.uses, word.reason
FROM segue.vocabulary AS word
LEFT JOIN {tags} AS tag ON tag.id = word.tag_id
WHERE word.run_id = %(run_id)s
ORDER BY word.uses DESC, word.raw

-- name: read_new_words
-- Names that would become tags of their own, for the fuzzy suggestions.
SELECT word.normalized, sum(word.uses) AS uses, (array_agg(word.raw ORDER BY word.uses DESC, word.raw))[1:3] AS examples
FROM segue.vocabulary AS word
WHERE word.run_id = %(run_id)s AND word.how = 'new'
GROUP BY word.normalized
ORDER BY 2 DESC, 1
LIMIT %(most)s

-- name: read_tag_names
SELECT tag.normalized_name, tag.name FROM {tags} AS tag ORDER BY tag.usage_count DESC, tag.normalized_name
LIMIT %(most)s

-- name: read_decisions
SELECT normalized, canonical, canonical_normalized, category FROM segue.decisions ORDER BY normalized

-- name: save_decision
INSERT INTO segue.decisions (normalized, canonical, canonical_normalized, category, actor)
VALUES (%(normalized)s, %(canonical)s, %(canonical_normalized)s, %(category)s, %(actor)s)
ON CONFLICT (normalized) DO UPDATE
SET canonical = excluded.canonical, canonical_normalized = excluded.canonical_normalized,
    category = excluded.category, actor = excluded.actor, decided_at = now()

-- name: delete_decision
DELETE FROM segue.decisions WHERE normalized = %(normalized)s

-- name: read_synonyms
SELECT segue.normalise_tag(known.synonym) AS normalized, tag.normalized_name AS canonical
FROM {tag_synonyms} AS known JOIN {tags} AS tag ON tag.id = known.canonical_tag_id

-- name: digest_decisions
SELECT count(*) AS decisions, coalesce(bit_xor(hashtextextended(normalized || chr(1) || canonical, 42)), 0) AS decisions_xor
FROM segue.decisions

-- name: read_decided
SELECT raw, canonical FROM segue.vocabulary WHERE run_id = %(run_id)s AND how = 'accepted'

-- name: forget_deleted
-- Texts whose tag somebody deleted are resolved anew, too.
DELETE FROM segue.vocabulary AS word
WHERE word.run_id = %(run_id)s AND word.outcome = 'tag' AND NOT EXISTS (SELECT FROM {tags} AS tag WHERE tag.id = word.tag_id)

-- name: forget_quarantined
-- Texts in quarantine are resolved anew when their rows are converted again.
DELETE FROM segue.vocabulary WHERE run_id = %(run_id)s AND outcome = 'quarantine'

-- name: forget_redecided
-- Words whose decision is new, another one or withdrawn, and the synonyms that the run made of them.
WITH forgotten AS (
    DELETE FROM segue.vocabulary AS word
    WHERE
        word.run_id = %(run_id)s
        AND (
            EXISTS (
                SELECT FROM segue.decisions AS decision
                WHERE
                    decision.normalized = word.normalized
                    AND decision.canonical_normalized IS DISTINCT FROM word.canonical
            )
            OR (
                word.how = 'accepted'
                AND NOT EXISTS (SELECT FROM segue.decisions AS decision WHERE decision.normalized = word.normalized)
            )
        )
    RETURNING word.raw, word.uses, word.normalized
),

synonym AS (
    DELETE FROM {tag_synonyms} AS synonym
    USING (SELECT DISTINCT forgotten.normalized FROM forgotten) AS forgotten
    WHERE synonym.run_id = %(run_id)s AND synonym.synonym = forgotten.normalized
)

SELECT raw, uses FROM forgotten
