"""Caching of tag suggestions and search results. Empty until the HTTP service, its only user, arrives."""
