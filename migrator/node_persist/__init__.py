"""The migration `node-persist`: a directory of files, one per key, becomes the normalized catalog."""
