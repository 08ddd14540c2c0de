"""The HTTP interface: resources, problems, limits, documents."""
