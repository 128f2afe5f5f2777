"""The home's own MLflow database: damage is noticed before a study starts to write to it."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from tosmooth.trainables.errors import InputError

log = logging.getLogger(__name__)

ADVICE = "move it away: the next `tosmooth run` of each study shows it anew, from the study's own record"
# What is no damage, but said by whoever writes: in use, read-only, no room.
OTHER = {
    getattr(sqlite3, f"SQLITE_{kind}") for kind in ("BUSY", "LOCKED", "READONLY", "CANTOPEN", "PERM", "FULL", "NOMEM")
}


def check_database(home: Path) -> None:
    """Raise `InputError` where the database is damaged. One whose set-up was never finished is removed.

    SQLite's quick check takes half a second per 100 MB (the full one, of the indexes too, fourteen times as long).
    """
    file = home.resolve() / "mlflow.db"
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(file)) as connection:
            ((found,),) = connection.execute("PRAGMA quick_check(1)")
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            # MLflow's "Default" comes last: without it nothing is there but tables, and not all, which it cannot mend.
            made = "experiments" in tables and connection.execute("SELECT 1 FROM experiments").fetchone() is not None
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in OTHER:  # without what SQLite adds to a code
            return
        found = str(error)
    if found != "ok":
        raise InputError(f"{file}: damaged ({found.splitlines()[0]}): {ADVICE}")
    if not made:
        log.warning("%s: its set-up was cut off; it is made again", file)
        file.unlink()
