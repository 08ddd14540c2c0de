"""One file a group of verbs; each has `register(app)`."""
