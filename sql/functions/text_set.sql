-- The sorted union of arrays of texts: ["b", "a"] and ["a", "c"] give ["a", "b", "c"].
CREATE OR REPLACE FUNCTION segue.text_set(lists jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT coalesce(jsonb_agg(DISTINCT item COLLATE "C" ORDER BY item COLLATE "C"), '[]')
    FROM jsonb_array_elements(lists) AS list
    CROSS JOIN LATERAL jsonb_array_elements_text(list) AS item
$$;
