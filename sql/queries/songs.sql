-- name: create_songs
CREATE TABLE IF NOT EXISTS {table} (id uuid PRIMARY KEY, title text, themes text[])

-- name: copy_songs
COPY {table} (id, title, themes) FROM STDIN
