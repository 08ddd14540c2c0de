"""A client of the service: `Client(url, key).prove(folder).wait()`. Needs httpx.

with Client("https://prover.example", key) as client:
    job = client.prove(Path("runs/demo"))     # grants openings, uploads what is missing, submits; can be repeated
    result = job.wait()                       # JobFailed, JobCancelled
    job.download(Path("runs/demo"))           # verified here before it is written
"""

from api.client_errors import ClientError as ClientError
from api.client_errors import JobCancelled as JobCancelled
from api.client_errors import JobFailed as JobFailed
from api.client_errors import Refused as Refused
from api.client_errors import Unreachable as Unreachable

from .client import Client as Client
from .client import Verdict as Verdict
from .job import Event as Event
from .job import Job as Job
