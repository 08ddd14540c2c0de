"""The service: the HTTP interface, its jobs and its pages."""
