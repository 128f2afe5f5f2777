"""Folder of one study in a home: its file, what was measured of its data, its record, and who runs it."""

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from filelock import Timeout

from tosmooth.search.preflight.machine import missing, remove_empty
from tosmooth.search.records import Level, TrialKey
from tosmooth.search.spec.loading import difference, read_study, to_yaml
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.agreement import check_data
from tosmooth.search.storage.code import code_beside, kept_code
from tosmooth.search.storage.home_id import home_id
from tosmooth.trainables.errors import InputError, shown
from tosmooth.trainables.files import filesystems as places
from tosmooth.trainables.files.atomic_write import write
from tosmooth.trainables.files.locks import held
from tosmooth.trainables.former_words import renewed
from tosmooth.trainables.redact import masked
from tosmooth.trainables.user_code import UserCode, differences

log = logging.getLogger(__name__)

# What to do about a damaged file of a study.
LEVELS_ADVICE = "bring it back from a copy, or `tosmooth run` measures the levels anew, be the data as they were or not"
PRIOR_ADVICE = "bring it back from a copy, or delete it: the other study is asked anew when this one goes on"


GRACE = 0.5  # seconds in which whoever only asks for the driver (`tosmooth status`) lets go of its lock


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """Folder of one study: its file, its levels and proposals, Optuna's journal, the history, weights and plots."""

    path: Path

    @property
    def home(self) -> Path:
        """Folder of the home."""
        return self.path.parents[1]

    @property
    def spec_file(self) -> Path:
        return self.path / "study.yaml"

    @property
    def code_file(self) -> Path:
        """File of the user's code that the study names, where it names some."""
        return code_beside(self.spec_file)

    @property
    def journal(self) -> Path:
        return self.path / "journal.log"

    @property
    def lock(self) -> Path:
        return self.path / "driver.lock"

    @property
    def history(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def prior_file(self) -> Path:
        return self.path / "prior.json"

    @property
    def data_file(self) -> Path:
        return self.path / "data-dir.txt"

    @property
    def table_file(self) -> Path:
        """File of the best-rate table, written when the study ends."""
        return self.path / "best_rates.csv"

    @property
    def machines_file(self) -> Path:
        """File of the machines that trained the study."""
        return self.path / "machines.json"

    @property
    def report_file(self) -> Path:
        """File of the report, written when the study ends."""
        return self.path / "report.html"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def deleted_spec_file(self) -> Path:
        """Name that the study's file gets first when it is deleted: what a kill then leaves is no study any more."""
        return self.path / "deleted.yaml"

    def weights(self, key: TrialKey) -> Path:
        """File of the weights of a confirmation run."""
        return self.path / "weights" / f"{key.level.replace('/', '-')}-{key.method}-{key.number}.safetensors"

    def trunks(self, spec: StudySpec) -> str:
        """Place where trials keep the warm-up that they share: an absolute path, or a URI below what the study names.

        Homes may name the same folder, and have studies of the same name.
        """
        if spec.trunks.folder is None:
            return str((self.path / "trunks").absolute())
        return places.join(spec.trunks.folder, f"{self.path.name}-{home_id(self.home)[:8]}")

    def shared(self, spec: StudySpec) -> dict[str, str]:
        """Place that every training machine must see: the home, or the place by which everything reaches it."""
        return {"home": str(self.home.absolute())} if spec.trunks.folder is None else {"trunks": spec.trunks.folder}

    def check_trunks(self, spec: StudySpec) -> None:
        """Raise `InputError` where the study names a folder for trunks that cannot be written to."""
        if spec.trunks.folder is not None:
            places.check_place(spec.trunks.folder)

    def spec(self) -> StudySpec:
        """Read the study as it was last run. Raises `InputError` where its file is damaged."""
        try:
            return read_study(self.spec_file.read_text(encoding="utf-8"), str(self.spec_file), kept=True)
        except (InputError, ValueError) as error:
            rule = "it must be as it was written, by no newer version: bring it back from a copy"
            instead = "or put the study's own file in its place"
            raise InputError(f"{self.spec_file}: damaged: {rule}, {instead}:\n{error}") from error

    def code(self) -> UserCode | None:
        """Read the user's code that the study runs; executes nothing. Raises `InputError` where it is damaged."""
        return kept_code(self.spec(), self.spec_file)

    def check(self, spec: StudySpec, code: UserCode | None = None) -> None:
        """Raise `InputError` with the differences if `spec` means something else than the study run under its name.

        `code`: what it names of the user's, whose changes are told by its files.
        """
        if self.deleted_spec_file.exists():
            name = self.path.name
            raise InputError(f"study {name!r}: its deletion was cut off; end it first: tosmooth delete {name}")
        if self.spec_file.exists() and (changes := difference(kept := self.spec(), spec)):
            if code is not None and kept.code not in (None, spec.code) and kept.references == spec.references:
                changes = [line for line in changes if not line.startswith("code: ")] + differences(self.code(), code)
            lines = "\n  ".join(changes)
            raise InputError(
                f"study {spec.name!r} was run before and meant something else:\n  {lines}\n"
                f"Its trials cannot be continued so. Keep both: --name {spec.name}-2"
            )

    def levels(self) -> dict[str, Level]:
        """Read what was measured of the study's levels, by name. Raises `InputError` where the file is damaged."""
        file = self.path / "levels.json"
        found = _json(file, LEVELS_ADVICE)
        try:
            return {name: Level(**_typed(values)) for name, values in found.items() or [("", {})]}
        except (TypeError, AttributeError) as error:
            raise InputError(f"{file}: damaged ({error}): {LEVELS_ADVICE}") from error

    def check_rights(self) -> None:
        """Raise `InputError` where the record is there and this user may not write to it."""
        for file in (self.journal, self.history):
            if file.exists() and not os.access(file, os.W_OK):
                user = "another user's, perhaps: be given the right to write, or name a home of your own"
                raise InputError(f"{file}: cannot be written; {user}")

    def check_storage(self, storage: str | None) -> None:
        """Raise `InputError` where the study's record lies elsewhere than in `storage` (None: the journal)."""
        if storage is None and self.history.exists() and not self.journal.exists():
            raise InputError(f"study {self.path.name!r} has its record in a database; name it with --storage")
        if storage is not None and self.journal.exists():
            raise InputError(f"study {self.path.name!r} has its record in this home; leave --storage out")

    def check_levels(self, levels: Mapping[str, Level]) -> None:
        """Raise `InputError` if the data of a level are not those that its trials were trained on."""
        try:
            known = self.levels() if (self.path / "levels.json").exists() else {}
        except InputError as error:
            log.warning("%s; it does now", error)
            return
        check_data(self.path.name, {name: level.identity for name, level in known.items()}, levels)

    def weights_known(self) -> dict[str, str]:
        """SHA-256 of the weights with which the trials of a level began, by its name; empty where nothing is known."""
        try:
            known = self.levels() if (self.path / "levels.json").exists() else {}
        except InputError:
            return {}
        return {name: level.weights for name, level in known.items() if level.weights}

    def keep(self, spec: StudySpec, levels: Mapping[str, Level], code: UserCode | None = None) -> None:
        """Write down the study that is about to run, with the user's code that it names."""
        self.path.mkdir(parents=True, exist_ok=True)
        if code is not None:  # first: a study without its code could not go on
            write(code.archive, self.code_file)
        write(to_yaml(spec), self.spec_file)
        plain = {name: dataclasses.asdict(level) for name, level in levels.items()}
        write(json.dumps(plain, indent=2), self.path / "levels.json")

    def keep_data(self, place: str | Path | None) -> None:
        """Remember the folder of the study's data; None leaves what is known. A URI with a password is not kept.

        One in the home is told by the way there, since it moves with it; one beside it as it is and, for when both were
        moved, by the way there.
        """
        if place is None:
            return
        text, home = str(place), self.home.resolve()
        if "://" not in text:
            path = Path(text).resolve()
            ways = [os.path.relpath(path, home)] if path.is_relative_to(home.parent) else []
            text = "\n".join([*([] if path.is_relative_to(home) else [str(path)]), *ways])
            if "\n" in str(path):  # a name of two lines
                text = ""
        if not text or masked(text) != text:
            self.data_file.unlink(missing_ok=True)  # what was known is not where the data are now
            return
        write(f"{text}\n", self.data_file)

    def data(self) -> str | None:
        """Place of the data with which the study was last run, as `--data-dir` names it; None if it is not known."""
        try:
            lines = self.data_file.read_bytes().decode().removesuffix("\n").split("\n")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise InputError(f"{self.data_file}: damaged: delete it, and name the folder with --data-dir") from error
        places = [line if "://" in line else os.path.realpath(self.home / line) for line in lines if line]
        return next(filter(os.path.exists, places), places[0]) if places else None

    def prior(self, study: str) -> dict[str, list[Params]]:
        """Read what `study` proposed when this one first ran, by level; empty if that was another study, or none."""
        if not self.prior_file.exists():
            return {}
        match _json(self.prior_file, PRIOR_ADVICE):
            case {"study": str(kept), "proposals": dict(proposals)} if all(map(_are_params, proposals.values())):
                found = {level: [renewed(params) for params in own] for level, own in proposals.items()}
                return found if kept == study else {}
        raise InputError(f"{self.prior_file}: damaged: {PRIOR_ADVICE}")

    def keep_prior(self, study: str, proposals: Mapping[str, Sequence[Params]]) -> None:
        """Write down what `study` proposes now: it may grow or be deleted, while this one goes on as it began."""
        write(json.dumps({"study": study, "proposals": proposals}, indent=2), self.prior_file)

    def driver(self) -> str | None:
        """Name the process that runs the study at this moment, in words; None if none does."""
        holder = self.path / "driver.txt"
        try:
            with held(self.lock, 0):
                return None
        except Timeout:
            return _text(holder) or "an unknown process"
        except (OSError, InputError):  # read-only, say: no one can ask, and what a killed driver wrote may be there
            return f"perhaps {words}" if (words := _text(holder)) is not None else None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study against a second driver. The lock dies with the process that holds it.

        Of a study that is refused meanwhile nothing is left, nor of a home that was made for it.
        """
        made = missing(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        holder = self.path / "driver.txt"
        try:
            with contextlib.ExitStack() as until:
                try:
                    until.enter_context(held(self.lock, GRACE))
                except Timeout:
                    made = []  # all of it is the other's
                    running = f"is running already, by {self.driver() or 'a process that has just ended'}; wait for it"
                    raise InputError(f"study {self.path.name!r} {running}") from None
                until.callback(holder.unlink, missing_ok=True)
                now = time.strftime("%Y-%m-%d %H:%M:%S")
                write(f"process {os.getpid()} on {socket.gethostname()} since {now}", holder)
                yield
        finally:
            if made and not self.spec_file.exists():
                shutil.rmtree(self.path, ignore_errors=True)
                remove_empty(made[1:])


def _text(file: Path) -> str | None:
    """What a file holds; `None` where there is none, or none any more."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _json(file: Path, advice: str) -> Any:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file: {advice}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: damaged ({error}): {advice}") from error
    if isinstance(values, dict):
        values.pop("digest", None)  # of homes of before
    return values


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a `Level`. Raises `TypeError` where one is not of the type of its field.

    A field that has a default may be missing. JSON has a list where the field is a tuple.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(Level)}
    for name, hint in get_type_hints(Level).items():
        value = values.get(name, defaults[name])
        kind = list | tuple if get_origin(hint) is tuple else hint
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{name} is {shown(value)}")
    return values


def _are_params(proposals: object) -> bool:
    return isinstance(proposals, list) and all(isinstance(params, dict) for params in proposals)
