"""A client of the service: `Client(url, key).prove(folder).wait()`. Needs httpx.

with Client("https://prover.example", key) as client:
    job = client.prove(Path("runs/demo"))     # grants openings, uploads what is missing, submits; can be repeated
    result = job.wait()                       # JobFailed, JobCancelled
    job.download(Path("runs/demo"))           # verified here before it is written
"""

from .client import Client as Client
from .client import Verdict as Verdict
from .errors import ClientError as ClientError
from .errors import JobCancelled as JobCancelled
from .errors import JobFailed as JobFailed
from .errors import Refused as Refused
from .errors import Unreachable as Unreachable
from .job import Event as Event
from .job import Job as Job
