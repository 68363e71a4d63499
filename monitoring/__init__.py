"""Watching: metrics of all processes, probes, error reports, logs, alert rules."""
