"""Addresses without the passwords that they may hold: for messages, logs and whatever else is printed."""

import re


def masked(text: str) -> str:
    """A text with `***` for what an address in it may hold of secrets: before "@", and after "?".

    To the last "@" and first, since passwords hold "/", "@" and "?", too: rather too much is hidden than too little.
    """
    hidden = re.sub("://.*@", "://***@", text, flags=re.DOTALL)
    return re.sub(r"(://[^?]*\?).*", r"\1***", hidden, flags=re.DOTALL)
