-- name: plays
-- Every play of a page's users with its day and its track's features. A play outside the years 1 to 9999 has no day,
-- a tempo that is no finite number is none.
SELECT
    page.k,
    page.v,
    CASE
        WHEN play.listened_at >= timestamptz '0001-01-01 00:00:00+00' AND play.listened_at < timestamptz '9999-12-31 00:00:00+00'
            THEN (play.listened_at AT TIME ZONE 'UTC')::date
    END AS day,
    feature.track_id IS NOT NULL AS is_analysed,
    feature.valence,
    feature.energy,
    feature.danceability,
    CASE WHEN feature.tempo < numeric 'Infinity' THEN feature.tempo END AS tempo,
    hash_record_extended(
        ROW(
            page.v, play.track_id, play.listened_at, feature.track_id IS NOT NULL,
            feature.valence, feature.energy, feature.danceability, feature.tempo
        ),
        1
    ) AS hash
FROM page
JOIN {user_listening_history} AS play ON play.user_id = page.k
LEFT JOIN {audio_features} AS feature ON feature.track_id = play.track_id

-- name: source_of_days
-- What a user's snapshots were made from, in one text.
sum(day.plays)::text || ':' || sum(day.hash_sum)::text || ':' || bit_xor(day.hash_xor)::text

-- name: frame
-- The sums of one time range: a moving window over days, whatever the number of plays was.
SELECT
    day.k,
    day.v,
    day.day,
    {time_range} AS time_range,
    sum(day.analysed) OVER range_of_days AS analysed,
    sum(day.valence_n) OVER range_of_days AS valence_n,
    sum(day.valence_sum) OVER range_of_days AS valence_sum,
    sum(day.valence_squares) OVER range_of_days AS valence_squares,
    sum(day.energy_n) OVER range_of_days AS energy_n,
    sum(day.energy_sum) OVER range_of_days AS energy_sum,
    sum(day.energy_squares) OVER range_of_days AS energy_squares,
    sum(day.danceability_n) OVER range_of_days AS danceability_n,
    sum(day.danceability_sum) OVER range_of_days AS danceability_sum,
    sum(day.danceability_squares) OVER range_of_days AS danceability_squares,
    sum(day.tempo_n) OVER range_of_days AS tempo_n,
    sum(day.tempo_sum) OVER range_of_days AS tempo_sum,
    sum(day.tempo_squares) OVER range_of_days AS tempo_squares,
    sum(day.happy) OVER range_of_days AS happy,
    sum(day.calm) OVER range_of_days AS calm,
    sum(day.tense) OVER range_of_days AS tense,
    sum(day.sad) OVER range_of_days AS sad
FROM day
WHERE day.day IS NOT NULL
WINDOW range_of_days AS (PARTITION BY day.k ORDER BY day.day RANGE BETWEEN {preceding} PRECEDING AND CURRENT ROW)

-- name: average
-- {feature}_sum and {feature}_n become the mean, rounded half away from zero; NULL without a value.
trim_scale(round(round(frame.{sum}, 20) / nullif(frame.{n}, 0), 6))

-- name: deviation
-- The population's standard deviation by sums of squares. Everything before the root is exact: numerics of 40 decimals
-- leave no room for an order of rows, so the last decimal is the same however the plays were added up.
trim_scale(
    round(
        sqrt(
            round(frame.{n} * frame.{squares} - frame.{sum} * frame.{sum}, 40)
            / nullif(frame.{n} * frame.{n}, 0)
        ),
        6
    )
)

-- name: convert
-- One chunk: the plays of a page's users become sums per day, those become windows, and those snapshots.
WITH page AS MATERIALIZED ({page}),

day AS MATERIALIZED (
    SELECT
        play.k,
        play.v,
        play.day,
        count(*) AS plays,
        count(*) FILTER (WHERE play.is_analysed) AS analysed,
        count(play.valence) AS valence_n,
        sum(play.valence) AS valence_sum,
        sum(play.valence * play.valence) AS valence_squares,
        count(play.energy) AS energy_n,
        sum(play.energy) AS energy_sum,
        sum(play.energy * play.energy) AS energy_squares,
        count(play.danceability) AS danceability_n,
        sum(play.danceability) AS danceability_sum,
        sum(play.danceability * play.danceability) AS danceability_squares,
        count(play.tempo) AS tempo_n,
        sum(play.tempo) AS tempo_sum,
        sum(play.tempo * play.tempo) AS tempo_squares,
        count(*) FILTER (WHERE play.valence >= 0.5 AND play.energy >= 0.5) AS happy,
        count(*) FILTER (WHERE play.valence >= 0.5 AND play.energy < 0.5) AS calm,
        count(*) FILTER (WHERE play.valence < 0.5 AND play.energy >= 0.5) AS tense,
        count(*) FILTER (WHERE play.valence < 0.5 AND play.energy < 0.5) AS sad,
        sum(play.hash) AS hash_sum,
        bit_xor(play.hash) AS hash_xor
    FROM ({plays}) AS play
    GROUP BY play.k, play.v, play.day
),

due AS MATERIALIZED (
    SELECT snapshot.*, hash_record_extended(snapshot.*::record, 42) AS hash, hash_record_extended(snapshot.*::record, 43) AS hash2
    FROM (
        SELECT
            segue.row_id(
                'snapshot',
                frame.v || chr(31) || to_char(frame.day::timestamp, 'YYYY-MM-DD') || chr(31) || frame.time_range
            ) AS id,
            frame.k AS user_id,
            frame.day AS snapshot_date,
            frame.time_range,
            jsonb_build_object(
                'avg_valence', {avg_valence}, 'std_valence', {std_valence},
                'avg_energy', {avg_energy}, 'std_energy', {std_energy},
                'avg_danceability', {avg_danceability}, 'std_danceability', {std_danceability},
                'avg_tempo', {avg_tempo}, 'std_tempo', {std_tempo}
            ) AS audio_features,
            jsonb_build_object(
                'happy', jsonb_build_object('percentage', trim_scale(round(frame.happy * 100 / frame.moods, 2)), 'track_count', frame.happy),
                'calm', jsonb_build_object('percentage', trim_scale(round(frame.calm * 100 / frame.moods, 2)), 'track_count', frame.calm),
                'tense', jsonb_build_object('percentage', trim_scale(round(frame.tense * 100 / frame.moods, 2)), 'track_count', frame.tense),
                'sad', jsonb_build_object('percentage', trim_scale(round(frame.sad * 100 / frame.moods, 2)), 'track_count', frame.sad)
            ) AS mood_patterns,
            frame.analysed::int AS total_tracks_analyzed
        FROM (
            SELECT frame.*, nullif(frame.happy + frame.calm + frame.tense + frame.sad, 0) AS moods FROM ({frames}) AS frame
        ) AS frame
    -- OFFSET 0: a snapshot is put together once, not once for each use.
    OFFSET 0) AS snapshot
),

made AS ({made}),

mended AS ({mended}),

heard AS (
    SELECT day.k, {source_of_days} AS source FROM day GROUP BY day.k
),

recorded AS ({recorded}),

source AS (
    SELECT
        count(*) AS row_count,
        sum(segue.key_hash(page.k, coalesce(hashtextextended(heard.source, 1), 7))) AS source_sum,
        bit_xor(segue.key_hash(page.k, coalesce(hashtextextended(heard.source, 1), 7) # 1)) AS source_xor
    FROM page
    LEFT JOIN heard ON heard.k = page.k
),

-- A play counts once for each of the three time ranges.
element AS (
    SELECT
        3 * coalesce(sum(day.plays), 0) AS elements,
        3 * coalesce(sum(greatest(day.analysed - 1, 0)) FILTER (WHERE day.day IS NOT NULL), 0) AS merged,
        3 * coalesce(sum(
            CASE WHEN day.day IS NULL THEN day.plays ELSE day.plays - greatest(day.analysed, 1) END
        ), 0) AS blank
    FROM day
),

total AS (
    SELECT count(*) AS linked, sum(due.hash) AS expected_sum, bit_xor(due.hash2) AS expected_xor FROM due
),

wrote AS (
    SELECT count(*) AS created, sum(made.hash) AS created_sum, bit_xor(made.hash2) AS created_xor FROM made
)

SELECT
    source.*,
    element.*,
    total.*,
    wrote.*,
    (SELECT page.k::text FROM page ORDER BY page.k DESC LIMIT 1) AS last_key
FROM source CROSS JOIN element CROSS JOIN total CROSS JOIN wrote

-- name: made_by_insert
-- What others have made for the same user, day and range stays theirs.
INSERT INTO {listening_snapshots} AS snapshot
(id, user_id, snapshot_date, time_range, audio_features, mood_patterns, total_tracks_analyzed, run_id)
SELECT
    due.id, due.user_id, due.snapshot_date, due.time_range, due.audio_features, due.mood_patterns,
    due.total_tracks_analyzed, %(run_id)s
FROM due
ORDER BY due.user_id, due.snapshot_date, due.time_range
ON CONFLICT DO NOTHING
RETURNING
    hash_record_extended({stored_columns}, 42) AS hash,
    hash_record_extended({stored_columns}, 43) AS hash2

-- name: made_nothing
SELECT due.hash, due.hash2 FROM due WHERE false

-- name: mended_by_update
-- In place, so that insights go on referring to their snapshot; one that is right already is not written.
UPDATE {listening_snapshots} AS snapshot
SET
    audio_features = due.audio_features,
    mood_patterns = due.mood_patterns,
    total_tracks_analyzed = due.total_tracks_analyzed
FROM due
WHERE
    snapshot.id = due.id
    AND snapshot.run_id = %(run_id)s
    AND (snapshot.audio_features, snapshot.mood_patterns, snapshot.total_tracks_analyzed)
    IS DISTINCT FROM (due.audio_features, due.mood_patterns, due.total_tracks_analyzed)

-- name: mended_nothing
SELECT

-- name: recorded_in_journal
-- From what a user's snapshots were made, and what they were: for the next look, and for a rollback's.
INSERT INTO segue.journal (run_id, table_name, key, kind, after)
SELECT
    %(run_id)s,
    'listening_snapshots',
    heard.k::text,
    'created',
    jsonb_build_object('source', heard.source, 'due', due.digest)
FROM heard
LEFT JOIN (
    SELECT due.user_id, count(*)::text || ':' || sum(due.hash)::text || ':' || bit_xor(due.hash2)::text AS digest
    FROM due
    GROUP BY due.user_id
) AS due ON due.user_id = heard.k
ON CONFLICT (run_id, table_name, kind, key) DO UPDATE SET after = excluded.after

-- name: recorded_nothing
SELECT

-- name: stored_columns
ROW(
    snapshot.id, snapshot.user_id, snapshot.snapshot_date, snapshot.time_range, snapshot.audio_features,
    snapshot.mood_patterns, snapshot.total_tracks_analyzed
)

-- name: estimate_plays
SELECT greatest(class.reltuples, 0)::bigint AS plays FROM pg_class AS class WHERE class.oid = %(history)s::regclass

-- name: list_unreadable
SELECT name FROM unnest(%(names)s::text[]) AS name WHERE NOT has_table_privilege(name, 'SELECT') ORDER BY name
