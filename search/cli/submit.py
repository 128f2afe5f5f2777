"""The command `tosmooth submit`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from tosmooth.search.api.studies import home_at, load, with_prior
from tosmooth.search.cli.options import PriorOption, SetOption, Study, err
from tosmooth.search.settings import SETTINGS
from tosmooth.trainables.errors import require
from tosmooth.trainables.redact import masked

# No environment variables: what is set here says nothing of the cluster.
Remote = Annotated[str | None, typer.Option(show_default="as the cluster's nodes have it set")]


def submit(
    context: typer.Context,
    study: Study,
    address: Annotated[
        str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="The cluster's job server, http://HEAD:8265.")
    ],
    home: Annotated[str, typer.Option(metavar="PATH", help="Folder on the cluster that all its nodes see.")],
    changes: SetOption = None,
    name: Annotated[str | None, typer.Option(help="Keep the result as a study of its own.")] = None,
    seed: Annotated[int | None, typer.Option(help="The study's seed.")] = None,
    data_dir: Remote = None,  # these four are read from the context, as the settings that are forwarded
    cache_dir: Remote = None,
    tracking_uri: Remote = None,
    storage: Remote = None,
    prior_study: PriorOption = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop it, as Ctrl-C does; the same command goes on.")] = False,
) -> None:
    """Run or resume a study as a job of a Ray cluster, and print what it prints. The same command finds it again."""
    spec, code = load(study, home_at(Path(home)), with_prior(changes, prior_study), name, seed)
    with err.status("Loading Ray"):
        from tosmooth.search.run import submit as submission

        client = submission.connect(address)
    forwarded = [setting for setting in SETTINGS.values() if setting.forwarded]
    options = [(setting.option, context.params[setting.parameter]) for setting in forwarded]
    flags = [flag for flag, given in (("--quiet", err.quiet), ("--verbose", err.verbose)) if given]
    job = submission.running(client, spec, home)
    require(not stop or job is not None, "--stop", spec.name, f"no job of the cluster runs this study in {home}")
    job = job or submission.submit(client, spec, home, options, flags, code)
    again = shlex.join(["tosmooth", *(masked(word) for word in sys.argv[1:] if word not in ("--detach", "--stop"))])
    if stop:
        client.stop_job(job)
    elif detach:
        err.print(f"Job {job}; follow it with: {again}", soft_wrap=True)
        return
    try:
        status = submission.follow(
            client, job, lambda words: typer.echo(words, nl=False), lambda words: err.print(words, soft_wrap=True)
        )
    except KeyboardInterrupt:
        err.print(f"The study goes on there. Follow it with: {again}; end it with --stop besides.", soft_wrap=True)
        raise typer.Exit(130) from None
    raise typer.Exit(status)
