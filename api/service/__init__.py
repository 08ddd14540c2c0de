"""The service: jobs that survive, storage, and the HTTP interface to them."""
