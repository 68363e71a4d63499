-- name: list_names
SELECT normalized_name::text AS name FROM segue.banned_tags
