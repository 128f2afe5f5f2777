"""State of a training run in a file that appears whole or not at all, has a digest, and holds plain numbers alone."""

import hashlib
import io
import json
import logging
from typing import Any

import torch
from pyarrow import fs

from tosmooth.trainables.files.filesystems import TROUBLE, appearing, remove_file

log = logging.getLogger(__name__)

State = dict[str, Any]
HEAD = b"tosmooth state 1\n"  # what a file begins with; the digest of the rest follows, 64 hexadecimal digits


def write_state(files: fs.FileSystem, name: str, state: State) -> None:
    """Write a state whole or not at all: its file appears under `name` by a move, which no reader sees half of."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    with appearing(files, name) as partial, files.open_output_stream(partial) as file:
        file.write(HEAD + digest(content))
        file.write(content)


def read_state(files: fs.FileSystem, name: str, epochs: int | None = None) -> State | None:
    """Read the state in a file; `None` if there is none to use. A damaged one, or one of other `epochs`, is deleted."""
    try:
        with files.open_input_stream(name) as file:
            content = file.read()
    except FileNotFoundError:
        return None
    except TROUBLE as error:
        log.warning("%s cannot be read, and is trained again: %s", name, error)
        return None
    try:
        return _parse(content, epochs)
    except Exception as error:  # torch says in many ways that a file is none of its own, or not plain numbers
        log.warning("%s: damaged, and trained again: %s", name, error)
        remove_file(files, name)
        return None


def setting(device: torch.device, dtype: torch.dtype) -> list[Any]:
    """Setting that a run trains in, as far as it shapes its numbers.

    Their last digits differ between versions of torch, kinds of device, a CPU's instructions and numbers of threads.
    """
    cpu = [torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]
    unit = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return [torch.__version__, device.type, unit, str(dtype)]


def key_of(parts: list[Any]) -> str:
    """Hash the plain values that shape a state into a name of 32 hexadecimal digits."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()


def digest(content: memoryview) -> bytes:
    """Digest of the content as it stands in the file: 64 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=32).hexdigest().encode()


def _parse(content: bytes, epochs: int | None) -> State:
    """Parse what `write_state` wrote. Raises any exception for other content, `ValueError` for other `epochs`."""
    start = len(HEAD) + 64
    body = memoryview(content)[start:]
    if content[:start] != HEAD + digest(body):
        raise ValueError("its digest does not fit")
    # Plain values and tensors alone: who may write to the folder must not be able to run code here.
    state: State = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    if epochs is not None and state["epoch"] != epochs:
        raise ValueError(f"it is of {state['epoch']} epochs")
    return state
