-- name: expected_frame
-- One time range by the validator's own reading: PostgreSQL's avg and stddev_pop move over the plays themselves, not
-- over sums per day. round(x, 20) changes no value; it asks for 40 decimals before the root.
SELECT DISTINCT ON (play.user_id, play.day)
    play.user_id,
    play.spotify_id,
    play.day,
    {time_range} AS time_range,
    count(play.feature_of) OVER range_of_plays AS analysed,
    avg(round(play.valence, 20)) OVER range_of_plays AS avg_valence,
    stddev_pop(round(play.valence, 20)) OVER range_of_plays AS std_valence,
    avg(round(play.energy, 20)) OVER range_of_plays AS avg_energy,
    stddev_pop(round(play.energy, 20)) OVER range_of_plays AS std_energy,
    avg(round(play.danceability, 20)) OVER range_of_plays AS avg_danceability,
    stddev_pop(round(play.danceability, 20)) OVER range_of_plays AS std_danceability,
    avg(round(play.tempo, 20)) OVER range_of_plays AS avg_tempo,
    stddev_pop(round(play.tempo, 20)) OVER range_of_plays AS std_tempo,
    count(play.mood) OVER range_of_plays AS moods,
    count(*) FILTER (WHERE play.mood = 'happy') OVER range_of_plays AS happy,
    count(*) FILTER (WHERE play.mood = 'calm') OVER range_of_plays AS calm,
    count(*) FILTER (WHERE play.mood = 'tense') OVER range_of_plays AS tense,
    count(*) FILTER (WHERE play.mood = 'sad') OVER range_of_plays AS sad
FROM play
WINDOW range_of_plays AS (PARTITION BY play.user_id ORDER BY play.day RANGE BETWEEN {preceding} PRECEDING AND CURRENT ROW)
ORDER BY play.user_id, play.day

-- name: expected_plays
SELECT
    page.k AS user_id,
    page.v AS spotify_id,
    date_trunc('day', history.listened_at AT TIME ZONE 'UTC') AS day,
    feature.track_id AS feature_of,
    feature.valence,
    feature.energy,
    feature.danceability,
    CASE WHEN feature.tempo NOT IN ('NaN', 'Infinity') THEN feature.tempo END AS tempo,
    {mood} AS mood
FROM page
JOIN {user_listening_history} AS history ON history.user_id = page.k
LEFT JOIN {audio_features} AS feature USING (track_id)
WHERE history.listened_at BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-30 23:59:59.999999+00'

-- name: mood
CASE (feature.valence >= 0.5)::int * 2 + (feature.energy >= 0.5)::int
    WHEN 3 THEN 'happy' WHEN 2 THEN 'calm' WHEN 1 THEN 'tense' WHEN 0 THEN 'sad'
END

-- name: as_stored
-- A frame's figures as a snapshot keeps them.
SELECT
    segue.row_id('snapshot', concat_ws(chr(31), frame.spotify_id, to_char(frame.day, 'YYYY-MM-DD'), frame.time_range)) AS id,
    frame.user_id,
    frame.day::date AS snapshot_date,
    frame.time_range,
    jsonb_build_object(
        'avg_valence', trim_scale(round(frame.avg_valence, 6)), 'std_valence', trim_scale(round(frame.std_valence, 6)),
        'avg_energy', trim_scale(round(frame.avg_energy, 6)), 'std_energy', trim_scale(round(frame.std_energy, 6)),
        'avg_danceability', trim_scale(round(frame.avg_danceability, 6)),
        'std_danceability', trim_scale(round(frame.std_danceability, 6)),
        'avg_tempo', trim_scale(round(frame.avg_tempo, 6)), 'std_tempo', trim_scale(round(frame.std_tempo, 6))
    ) AS audio_features,
    (
        SELECT jsonb_object_agg(
            mood.name,
            jsonb_build_object('percentage', trim_scale(round(100.0 * mood.n / nullif(frame.moods, 0), 2)), 'track_count', mood.n)
        )
        FROM (VALUES ('happy', frame.happy), ('calm', frame.calm), ('tense', frame.tense), ('sad', frame.sad)) AS mood (name, n)
    ) AS mood_patterns,
    frame.analysed::int AS total_tracks_analyzed
FROM ({frames}) AS frame

-- name: digest_expected
WITH page AS NOT MATERIALIZED ({page}),

play AS MATERIALIZED ({expected_plays}),

due AS ({as_stored})

SELECT
    count(*) AS linked,
    sum(hash_record_extended(due.*::record, 42)) AS expected_sum,
    bit_xor(hash_record_extended(due.*::record, 43)) AS expected_xor
FROM due

-- name: count_expected
-- The accounting of plays x 3 time ranges. Of a day's plays one is linked, an analysed one if there is any.
WITH page AS NOT MATERIALIZED ({page}),

play AS MATERIALIZED ({expected_plays}),

whole AS (
    SELECT count(*) AS n FROM {user_listening_history} AS history WHERE history.user_id IN (SELECT page.k FROM page)
),

dated AS (
    SELECT
        count(play.feature_of) AS analysed,
        count(DISTINCT (play.user_id, play.day)) AS days,
        count(DISTINCT (play.user_id, play.day)) FILTER (WHERE play.feature_of IS NOT NULL) AS analysed_days
    FROM play
)

SELECT
    3 * whole.n AS elements,
    3 * (dated.analysed - dated.analysed_days) AS merged,
    3 * (whole.n - dated.analysed - (dated.days - dated.analysed_days)) AS blank
FROM whole CROSS JOIN dated

-- name: digest_stored
SELECT
    count(*) AS created,
    sum(hash_record_extended({stored_columns}, 42)) AS created_sum,
    bit_xor(hash_record_extended({stored_columns}, 43)) AS created_xor
FROM {listening_snapshots} AS snapshot
WHERE snapshot.run_id = %(run_id)s AND {stored_in_range}

-- name: find_differences
-- By user, day and range: due and absent, present and not due, or present with other values. Rows of others stand.
WITH page AS NOT MATERIALIZED ({page}),

play AS MATERIALIZED ({expected_plays}),

due AS ({as_stored})

SELECT
    coalesce(due.user_id, stored.user_id)::text AS key,
    stored.id::text AS snapshot,
    CASE WHEN stored.user_id IS NULL THEN 'missing' WHEN due.user_id IS NULL THEN 'extra' ELSE 'changed' END AS kind,
    to_char(coalesce(due.snapshot_date, stored.snapshot_date)::timestamp, 'YYYY-MM-DD')
    || ' ' || coalesce(due.time_range, stored.time_range) AS what
FROM due
FULL JOIN (
    SELECT snapshot.*, hash_record_extended({stored_columns}, 42) AS hash
    FROM {listening_snapshots} AS snapshot
    WHERE {stored_in_range}
) AS stored
    ON stored.user_id = due.user_id AND stored.snapshot_date = due.snapshot_date AND stored.time_range = due.time_range
WHERE
    hash_record_extended(due.*::record, 42) IS DISTINCT FROM stored.hash
    AND (stored.user_id IS NULL OR stored.run_id = %(run_id)s)
ORDER BY 1, 4
LIMIT %(most)s

-- name: find_wrong_in_sample
-- Some snapshots of some users once more, each by one plain query over the plays of its days.
WITH page AS ({page}),

chosen AS (
    SELECT snapshot.*, page.v AS spotify_id
    FROM page
    CROSS JOIN LATERAL (
        SELECT snapshot.*
        FROM {listening_snapshots} AS snapshot
        WHERE snapshot.user_id = page.k AND snapshot.run_id = %(run_id)s
        ORDER BY segue.key_hash(snapshot.id, %(run_id)s)
        LIMIT %(each)s
    ) AS snapshot
)

SELECT chosen.user_id::text AS key, to_char(chosen.snapshot_date::timestamp, 'YYYY-MM-DD') || ' ' || chosen.time_range AS what
FROM chosen
CROSS JOIN LATERAL (
    SELECT
        chosen.user_id,
        chosen.spotify_id,
        chosen.snapshot_date::timestamp AS day,
        chosen.time_range,
        count(feature.track_id) AS analysed,
        avg(round(feature.valence, 20)) AS avg_valence,
        stddev_pop(round(feature.valence, 20)) AS std_valence,
        avg(round(feature.energy, 20)) AS avg_energy,
        stddev_pop(round(feature.energy, 20)) AS std_energy,
        avg(round(feature.danceability, 20)) AS avg_danceability,
        stddev_pop(round(feature.danceability, 20)) AS std_danceability,
        avg(round(feature.tempo, 20)) FILTER (WHERE feature.tempo < 'Infinity') AS avg_tempo,
        stddev_pop(round(feature.tempo, 20)) FILTER (WHERE feature.tempo < 'Infinity') AS std_tempo,
        count({mood}) AS moods,
        count(*) FILTER (WHERE {mood} = 'happy') AS happy,
        count(*) FILTER (WHERE {mood} = 'calm') AS calm,
        count(*) FILTER (WHERE {mood} = 'tense') AS tense,
        count(*) FILTER (WHERE {mood} = 'sad') AS sad
    FROM {user_listening_history} AS history
    JOIN {audio_features} AS feature USING (track_id)
    WHERE
        history.user_id = chosen.user_id
        AND history.listened_at < (chosen.snapshot_date + 1)::timestamp AT TIME ZONE 'UTC'
        AND history.listened_at >= (
            chosen.snapshot_date + 1 - CASE chosen.time_range WHEN 'short_term' THEN 28 WHEN 'medium_term' THEN 182 ELSE 365 END
        )::timestamp AT TIME ZONE 'UTC'
        AND history.listened_at >= timestamptz '0001-01-01 00:00:00+00'
) AS frame
CROSS JOIN LATERAL ({as_stored_of_frame}) AS due
WHERE
    (due.id, due.audio_features, due.mood_patterns, due.total_tracks_analyzed)
    IS DISTINCT FROM (chosen.id, chosen.audio_features, chosen.mood_patterns, chosen.total_tracks_analyzed)
ORDER BY 1, 2

-- name: this_frame
SELECT frame.*
