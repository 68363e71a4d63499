"""The migration engine: an author writes a source and a step; the engine owns time, proof and undo."""
