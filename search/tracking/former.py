"""Runs as earlier versions tagged them, by bare words that may be a user's own: brought to today's form."""

from collections.abc import Mapping

from tosmooth.search.tracking.client import IDENTITY as TODAY
from tosmooth.search.tracking.client import PatientClient, is_refusal

IDENTITY = "identity"
# Last what such a run is known by: it is renewed again where that was cut off.
TAGS = (
    *("kind", "study", "level", "method", "phase", "seed", "state", "reason"),
    *("epochs", "epochs_spared", "attempts", IDENTITY),
)


def tags_of(tags: Mapping[str, str], study: str) -> dict[str, str]:
    """Former tags of a run of the study; none where it is no such run."""
    ours = tags.get(IDENTITY, "").startswith(f"{study}/")
    return {name: tags[name] for name in TAGS if name in tags} if ours else {}


def identity_of(tags: Mapping[str, str], study: str) -> str | None:
    """Identity of a run of the study, by the tag of today or the former one; `None` for a run that is not ours."""
    return tags.get(TODAY, tags_of(tags, study).get(IDENTITY))


def renewed(tags: Mapping[str, str]) -> dict[str, str]:
    """Former tags under the names of today."""
    return {f"tosmooth.{name}": text for name, text in tags.items()}


def remove(client: PatientClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Remove the former tags of a run, which has those of today."""
    for name in tags:
        try:
            client.delete_tag(run_id, name)
        except Exception as error:
            if not is_refusal(error):  # it is gone: a request was carried out, though its answer was lost
                raise
