"""The command line and the service. No proof code lives here."""
