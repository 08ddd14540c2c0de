"""What the process of a job does, one file a kind of job."""
