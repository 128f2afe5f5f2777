"""Hand a study to a Ray cluster as a job over HTTP, follow it, and find it again.

Only the study file, the code that it names and our own package travel, a few hundred kilobytes; data, home and
passwords never do. The cluster's nodes have the dependencies (docker/), and their environment has the settings that
hold passwords.
"""

import asyncio
import hashlib
import logging
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import requests
from ray.job_submission import JobStatus, JobSubmissionClient

from tosmooth.search.settings import SETTINGS
from tosmooth.search.spec.loading import to_yaml
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.code import code_beside
from tosmooth.trainables.errors import InputError, first_line, require
from tosmooth.trainables.redact import masked
from tosmooth.trainables.user_code import UserCode

logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.CRITICAL)

MAIN = "from tosmooth.search.cli.main import main; main()"
READY = 60.0  # seconds in which a cluster that has just been started comes to take jobs
STOPPED = 130  # exit code, as of a study that was stopped by Ctrl-C
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds between two tries to reach the cluster again; the last for ever
Print = Callable[[str], None]


def connect(address: str) -> JobSubmissionClient:
    """Connect to the job server of a cluster. Raises `InputError` where none answers."""
    rule = "no Ray job server answers there (http://HEAD:8265, of a Ray with its dashboard: pip install 'ray[default]')"
    require(address.startswith(("http://", "https://")), "--address", masked(address), rule)
    try:
        client = JobSubmissionClient(address)
        client.list_jobs()
    except (ConnectionError, RuntimeError, ValueError, requests.RequestException) as error:
        rule += ", or it asks for a token (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH)"
        raise InputError(f"--address: {masked(address)!r} is refused: {rule}: {first_line(error)}") from error
    return client


def entrypoint(file: str, options: Sequence[tuple[str, str | None]], flags: Sequence[str] = ()) -> str:
    """Command that the job runs.

    Raises `InputError` for an option with a password: a job's command is public.
    """
    words = ["python", "-c", MAIN, "run", file, "--address", "auto"]
    for name, value in options:
        if value is not None:
            variable = SETTINGS[name.removeprefix("--")].variable
            rule = f"without a password, which goes into the environment of the nodes ({variable}) or @FILE there"
            require(masked(value) == value, name, masked(value), rule)
            words += [name, value]
    return shlex.join([*words, *flags])


def running(client: JobSubmissionClient, spec: StudySpec, home: str) -> str | None:
    """Id of the job that runs a study now, None where none does. A study is known by its name and its home."""
    jobs = _jobs(client, spec, home)
    return next((job for job, status in jobs.items() if not status.is_terminal()), None)


def submit(
    client: JobSubmissionClient,
    spec: StudySpec,
    home: str,
    options: Sequence[tuple[str, str | None]],
    flags: Sequence[str] = (),
    code: UserCode | None = None,
) -> str:
    """Hand a study in; returns the job's id. One whose job has ended goes on where it was."""
    require(Path(home).is_absolute(), "--home", home, "an absolute path, the same on every node of the cluster")
    command = entrypoint("study.yaml", [("--home", home), *options], flags)
    numbers = [int(name.rpartition("-")[2]) for name in _jobs(client, spec, home)]
    job = f"{_prefix(spec, home)}{max(numbers, default=0) + 1}"
    facts = {"study": spec.name, "home": home}
    deadline = time.monotonic() + READY
    with _travelling(spec, code) as folder:
        while True:
            try:
                environment = {"working_dir": str(folder)}
                return client.submit_job(entrypoint=command, submission_id=job, runtime_env=environment, metadata=facts)
            except RuntimeError as error:
                # A head answers before the process is up by which it starts jobs.
                if "No available agent" not in str(error) or time.monotonic() > deadline:
                    why = f"{first_line(error)} (see dashboard_agent.log of its nodes)"
                    raise InputError(f"--address: the cluster does not take the job: {why}") from error
                time.sleep(1)


def _jobs(client: JobSubmissionClient, spec: StudySpec, home: str) -> dict[str, JobStatus]:
    found = {job.submission_id or "": job.status for job in client.list_jobs()}
    return {job: status for job, status in found.items() if job.startswith(_prefix(spec, home))}


def _prefix(spec: StudySpec, home: str) -> str:
    return f"tosmooth-{spec.name}-{hashlib.sha256(home.encode()).hexdigest()[:8]}-"


def follow(client: JobSubmissionClient, job: str, say: Print, warn: Print) -> int:
    """Print what the job prints until it ends, however often the connection is lost. Returns its exit code."""
    printed, lost = 0, 0
    while True:
        try:
            client.get_job_info(job)  # of a job that it does not know its log server says nothing that could be told
            for words in _following(client, job, printed):
                say(words)
                printed, lost = printed + len(words), 0
            info = client.get_job_info(job)
            if info.status.is_terminal():
                return _exit_code(info, warn)
        except (ConnectionError, RuntimeError, OSError, requests.RequestException, aiohttp.ClientError) as error:
            if "does not exist" in str(error):  # a head that was started anew
                again = "what ended is kept, and the same command hands the study in again"
                raise InputError(f"--address: the cluster no longer knows the job {job}: {again}") from error
            if lost == 0:
                warn(f"The cluster does not answer ({first_line(error)}); the study goes on there, and is looked for.")
            time.sleep(PAUSES[min(lost, len(PAUSES) - 1)])
            lost += 1


def _following(client: JobSubmissionClient, job: str, printed: int) -> Iterator[str]:
    """Yield what a job prints, without the characters that were already seen: the server sends all of it again."""
    loop = asyncio.new_event_loop()
    lines = client.tail_job_logs(job).__aiter__()
    skipped = 0
    try:
        while True:
            try:
                words = loop.run_until_complete(lines.__anext__())
            except StopAsyncIteration:
                return
            new = words[max(0, printed - skipped) :]
            skipped += len(words)
            if new:
                yield new
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _exit_code(info: Any, warn: Print) -> int:
    if info.status == JobStatus.SUCCEEDED:
        return 0
    if info.status == JobStatus.STOPPED:
        return STOPPED
    code = info.driver_exit_code
    if code is None or code < 0:  # it was never started, or killed
        warn(f"The job failed: {info.message}")
    return code if code is not None and code > 0 else 1


@contextmanager
def _travelling(spec: StudySpec, code: UserCode | None) -> Iterator[Path]:
    """Folder with the study, its code, and `tosmooth` as installed here; files in the place of a checkout's links."""
    with tempfile.TemporaryDirectory(prefix="tosmooth-") as name:
        folder = Path(name)
        (folder / "study.yaml").write_text(to_yaml(spec), encoding="utf-8")
        if code is not None:
            code_beside(folder / "study.yaml").write_bytes(code.archive)
        source = Path(str(files("tosmooth")))
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        yield folder
