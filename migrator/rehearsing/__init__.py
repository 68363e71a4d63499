"""`segue rehearse`: the whole life of a migration, with kills and users, in a scratch copy of its source."""
