"""Settings of a machine: where files lie and which services are used. Nothing of them shapes a number.

Each is declared once, here: options, environment, `tosmooth.toml`, `doctor`, `submit` and the documentation's table
read that. Loads with nothing heavy.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Setting:
    """Setting of a machine, by its name in the file and after "--"."""

    key: str  # "data-dir"
    # An address may hold a password, and may be given as @FILE; a place is a folder or a URI of pyarrow's file systems.
    kind: Literal["folder", "place", "address"]
    default: str  # in words
    help: str
    secret: bool = False  # holds a password as a rule: the help says how to keep it off the command line
    forwarded: bool = False  # `submit` hands it on to the cluster
    usual: str | None = None  # environment variable that other tools read for the same, asked after our own
    schemes: tuple[str, ...] = ()  # of addresses: the only ones, in `usual` others are for other tools; empty: any

    @property
    def option(self) -> str:
        """Option of the commands that take it."""
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        """Environment variable."""
        return f"TOSMOOTH_{self.key.upper().replace('-', '_')}"

    @property
    def variables(self) -> list[str]:
        """Environment variables that set it, in their order."""
        return [self.variable, *([self.usual] if self.usual else [])]

    @property
    def parameter(self) -> str:
        """Parameter of the functions behind those commands."""
        return self.key.replace("-", "_")

    def takes(self, address: str) -> bool:
        """True if an address, or the file that holds it, can be one of this setting."""
        scheme = address.partition("://")[0].partition("+")[0].lower()
        return not self.schemes or address.startswith("@") or ("://" in address and scheme in self.schemes)

    @property
    def in_file(self) -> bool:
        """True if the home's file may set it: not the home itself, which holds this file."""
        return self.key != "home"


DATASETS = "Folder with your datasets, or a URI: s3://, gs://, hdfs://, hf://."
IMAGES = "Folder for decoded images; each node may have its own."
_ALL = (
    Setting("home", "folder", "tosmooth-home", "Folder that keeps all results."),
    Setting("data-dir", "place", "data/ in the home", DATASETS, forwarded=True),
    Setting("cache-dir", "folder", "cache/ in the home", IMAGES, forwarded=True),
    Setting(
        "address",
        "address",
        "a Ray of its own",
        "An existing Ray cluster: host:port, or auto; local: none.",
        usual="RAY_ADDRESS",
    ),
    Setting(
        "storage", "address", "a journal file in the home", "Database URL for Optuna.", secret=True, forwarded=True
    ),
    Setting(
        "tracking-uri",
        "address",
        "a database in the home",
        "Address of MLflow.",
        secret=True,
        forwarded=True,
        usual="MLFLOW_TRACKING_URI",
        schemes=("http", "https", "sqlite", "postgresql", "mysql", "mssql"),
    ),
    Setting("cifarn-url", "address", "its authors' repository", "Where CIFAR-N's labels are fetched."),
)
SETTINGS = {setting.key: setting for setting in _ALL}


def documented() -> str:
    """Markdown table of the settings, as the documentation has it."""
    rows = []
    for each in SETTINGS.values():
        names = ", ".join(f"`{name}`" for name in (each.option, *each.variables))
        rows.append(f"| {f'`{each.key}` ' if each.in_file else ''}| {names} | {each.default} |")
    return "\n".join(["| in `tosmooth.toml` | command line, environment | default |", "|---|---|---|", *rows, ""])
