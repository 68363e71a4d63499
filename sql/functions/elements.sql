-- The elements of a JSON theme column: strings at any depth of nested arrays, JSON null as NULL. Whatever is
-- not text (a number, an object, a column that holds no array) is one element with is_text = false.

CREATE OR REPLACE FUNCTION segue.json_elements(value jsonb)
RETURNS TABLE (raw text, is_text boolean)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 4 AS $$
    WITH RECURSIVE item(value) AS (
        SELECT element FROM jsonb_array_elements(
            CASE WHEN jsonb_typeof($1) = 'array' THEN $1 ELSE '[]' END
        ) AS element
        UNION ALL
        SELECT element FROM item CROSS JOIN LATERAL jsonb_array_elements(
            CASE WHEN jsonb_typeof(item.value) = 'array' THEN item.value ELSE '[]' END
        ) AS element
    )
    SELECT
        CASE WHEN jsonb_typeof(item.value) = 'null' THEN NULL ELSE coalesce(item.value #>> '{}', '') END,
        jsonb_typeof(item.value) IN ('string', 'null')
    FROM item WHERE jsonb_typeof(item.value) <> 'array'
    UNION ALL
    SELECT $1 #>> '{}', false WHERE jsonb_typeof($1) NOT IN ('array', 'null')
$$;
