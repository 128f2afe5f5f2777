"""Text as a format takes it: what a user's file, path or error says can break no table, and runs nowhere."""

FORMULA = ("=", "+", "-", "@", "\t")  # so begins what a spreadsheet works out (OWASP, "CSV injection")
_MARKDOWN = {letter: f"\\{letter}" for letter in "\\|<`"}
_TEX = {letter: f"\\{letter}" for letter in "&%$#_{}"}
_TEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
_TEX |= {"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}"}


def one_line(text: str) -> str:
    r"""Put a text on one line: line breaks become spaces, other control characters are shown, such as `\x1b`."""
    return "".join(map(_shown, " ".join(text.splitlines())))


def csv_text(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula: an apostrophe stands before it. A number stays one."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # which Python's `csv` would not put into quotes
    return f"'{text}" if text.startswith(FORMULA) and not _is_number(text) else text


def markdown(text: str) -> str:
    """Escape a text for a cell of a Markdown table."""
    return "".join(_MARKDOWN.get(letter, letter) for letter in one_line(text))


def latex(text: str) -> str:
    """Escape a text for a cell of a LaTeX table."""
    return "".join(_TEX.get(letter, letter) for letter in one_line(text))


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else " " if letter.isspace() else letter.encode("unicode_escape").decode()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
