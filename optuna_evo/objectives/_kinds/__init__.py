"""The kinds of objectives, one a file."""
