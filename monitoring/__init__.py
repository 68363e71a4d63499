"""Watching: structured logs now; metrics, health, alerts and dashboards come with the serving side."""
