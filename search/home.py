"""The home: the one folder that holds all that studies leave behind. It can be moved; nothing in it names its path."""

import contextlib
import dataclasses
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from filelock import FileLock, Timeout

from search.loading import difference, read_study, to_yaml
from search.parameters import Params
from search.records import Level, TrialKey
from search.sealed import read_sealed, write_sealed
from search.study import StudySpec, check_name
from search.tables import write
from trainables import places
from trainables.config import InputError, shown
from trainables.folders import Folders

log = logging.getLogger(__name__)

# What to do about a damaged file of a study.
LEVELS_ADVICE = "bring it back from a copy, or `tosmooth run` measures the levels anew, be the data as they were or not"
PRIOR_ADVICE = "bring it back from a copy, or delete it: the other study is asked anew when this one goes on"


GRACE = 0.5  # seconds in which whoever only asks for the driver (`tosmooth status`) lets go of its lock


@dataclass(frozen=True, slots=True)
class Home:
    """The folder given as `--home`."""

    root: Path

    def folders(self, data: str | Path | None, cache: Path | None = None) -> Folders:
        """Where data lies and where decoded images are kept (`--data-dir`, `--cache-dir`), else inside the home."""
        place = str(data or self.root / "data")
        own = place if "://" in place else str(Path(place).absolute())
        return Folders.at(own, (cache or self.root / "cache").absolute())

    def study(self, name: str) -> "StudyFolder":
        """The study's folder, whether it exists or not. Raises `InputError` for what is no name."""
        return StudyFolder(self.root / "studies" / check_name(name))

    def existing(self, name: str) -> "StudyFolder":
        """The study's folder; raises `InputError` where there is none."""
        folder = self.study(name)
        if not folder.spec_file.exists():
            known = ", ".join(found.path.name for found in self.studies()) or "none"
            raise InputError(f"study {name!r} is not in the home {self.root} (there: {known}); run it first")
        return folder

    def studies(self) -> list["StudyFolder"]:
        """All studies of this home, by name."""
        return [StudyFolder(path.parent) for path in sorted(self.root.glob("studies/*/study.yaml"))]


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """What one study keeps: its file, its levels and proposals, Optuna's journal, the history, weights and plots."""

    path: Path

    @property
    def spec_file(self) -> Path:
        return self.path / "study.yaml"

    @property
    def journal(self) -> Path:
        return self.path / "journal.log"

    @property
    def history(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def prior_file(self) -> Path:
        return self.path / "prior.json"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    def weights(self, key: TrialKey) -> Path:
        """Where the weights of a confirmation run lie."""
        return self.path / "weights" / f"{key.level.replace('/', '-')}-{key.method}-{key.number}.safetensors"

    def trunks(self, spec: StudySpec) -> str:
        """Where trials that share their warm-up keep it meanwhile: an absolute path, or the URI the study names."""
        named = spec.trunks.folder
        return str((self.path / "trunks").absolute()) if named is None else places.join(named, self.path.name)

    def shared(self, spec: StudySpec, home: Home) -> dict[str, str]:
        """What every machine that trains must see the same of: the home, or the place by which all comes to it."""
        return {"home": str(home.root.absolute())} if spec.trunks.folder is None else {"trunks": self.trunks(spec)}

    def check_trunks(self, spec: StudySpec) -> None:
        """Raise `InputError` where the study names a folder for trunks that cannot be written to."""
        if spec.trunks.folder is not None:
            places.check_place(self.trunks(spec))

    def spec(self) -> StudySpec:
        """The study as it was last run."""
        try:
            return read_study(read_sealed(self.spec_file), str(self.spec_file))
        except (InputError, ValueError) as error:
            rule = "it must be as it was written: bring it back from a copy, or put the study's own file in its place"
            raise InputError(f"{self.spec_file}: damaged: {rule}:\n{error}") from error

    def check(self, spec: StudySpec) -> None:
        """Raise `InputError` with the differences where `spec` means something else than was run under its name."""
        if self.spec_file.exists() and (changes := difference(self.spec(), spec)):
            lines = "\n  ".join(changes)
            raise InputError(
                f"study {spec.name!r} was run before and meant something else:\n  {lines}\n"
                f"Its trials cannot be continued so. Keep both: --name {spec.name}-2"
            )

    def levels(self) -> dict[str, Level]:
        """What was measured of the study's levels, by name."""
        file = self.path / "levels.json"
        found = _json(file, LEVELS_ADVICE)
        try:
            return {name: Level(**_typed(values)) for name, values in found.items() or [("", {})]}
        except (TypeError, AttributeError) as error:
            raise InputError(f"{file}: damaged ({error}): {LEVELS_ADVICE}") from error

    def check_storage(self, storage: str | None) -> None:
        """Raise `InputError` where the study's record lies elsewhere than in `storage` (None: the journal)."""
        if storage is None and self.history.exists() and not self.journal.exists():
            raise InputError(f"study {self.path.name!r} has its record in a database; name it with --storage")
        if storage is not None and self.journal.exists():
            raise InputError(f"study {self.path.name!r} has its record in this home; leave --storage out")

    def check_levels(self, levels: Mapping[str, Level]) -> None:
        """Raise `InputError` where the data under a level is not what its trials were trained on."""
        try:
            known = self.levels() if (self.path / "levels.json").exists() else {}
        except InputError as error:
            log.warning("%s; it does now", error)
            return
        for name, level in levels.items():
            if name in known and known[name].digest != level.digest:
                raise InputError(
                    f"{name}: the data changed since study {self.path.name!r} was first run (digest "
                    f"{known[name].digest} -> {level.digest}); bring it back, or run as a study of its own with --name"
                )

    def keep(self, spec: StudySpec, levels: Mapping[str, Level]) -> None:
        """Write down what is about to run."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_sealed(to_yaml(spec), self.spec_file)
        plain = {name: dataclasses.asdict(level) for name, level in levels.items()}
        write_sealed(json.dumps(plain, indent=2), self.path / "levels.json")

    def prior(self, study: str) -> dict[str, list[Params]]:
        """What `study` proposed when this one first ran, by level; nothing where that was another study, or none."""
        if not self.prior_file.exists():
            return {}
        match _json(self.prior_file, PRIOR_ADVICE):
            case {"study": str(kept), "proposals": dict(proposals)} if all(map(_are_params, proposals.values())):
                return proposals if kept == study else {}
        raise InputError(f"{self.prior_file}: damaged: {PRIOR_ADVICE}")

    def keep_prior(self, study: str, proposals: Mapping[str, Sequence[Params]]) -> None:
        """Write down what `study` proposes: it may grow or go, and this one goes on as it began."""
        write_sealed(json.dumps({"study": study, "proposals": proposals}, indent=2), self.prior_file)

    def driver(self) -> str | None:
        """Which process runs the study just now, in words; None where none does."""
        holder = self.path / "driver.txt"
        try:
            with FileLock(self.path / "driver.lock").acquire(timeout=0):
                return None
        except Timeout:
            return holder.read_text(encoding="utf-8") if holder.exists() else "an unknown process"
        except OSError:  # read-only: no one can ask for the lock, and what a killed driver wrote may still be there
            return f"perhaps {holder.read_text(encoding='utf-8')}" if holder.exists() else None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study against a second driver. The lock dies with the process that holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / "driver.lock")
        try:
            lock.acquire(timeout=GRACE)
        except Timeout:
            raise InputError(f"study {self.path.name!r} is running already, by {self.driver()}; wait for it") from None
        holder = self.path / "driver.txt"
        try:
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            write(f"process {os.getpid()} on {socket.gethostname()} since {now}", holder)
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def _json(file: Path, advice: str) -> Any:
    try:
        values = json.loads(read_sealed(file))
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file: {advice}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: damaged ({error}): {advice}") from error
    if isinstance(values, dict):
        values.pop("digest", None)
    return values


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a `Level`, each of which is of the type of its field. Raises `TypeError`."""
    for name, kind in get_type_hints(Level).items():
        value = values.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{name} is {shown(value)}")
    return values


def _are_params(proposals: object) -> bool:
    return isinstance(proposals, list) and all(isinstance(params, dict) for params in proposals)
