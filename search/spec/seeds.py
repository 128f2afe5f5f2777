"""Seeds of 31 bits, derived from the study's: unrelated for different purposes."""

import json
from hashlib import blake2b


def derive_seed(*parts: object) -> int:
    """Derive a seed of 31 bits, which every library takes, from texts and numbers; others give an unrelated seed."""
    return int.from_bytes(blake2b(json.dumps(parts).encode(), digest_size=4).digest()) >> 1
