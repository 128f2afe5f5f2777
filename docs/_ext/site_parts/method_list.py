"""The methods with their formulas and sources, and what of them is searched: the rest is from `trainables.methods`.

The formulas are those of the functions in `trainables.losses`, whose tests compare them with their sources.
"""

import re
from dataclasses import dataclass

from tosmooth.search.spec.parameters import own_names
from tosmooth.trainables.methods import METHODS

ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")


@dataclass(frozen=True)
class Formula:
    """Loss of an example, and what is to be known of it."""

    tex: str
    says: str = ""


FORMULAS = {
    "gls": Formula(
        r"\ell = -(1 - r) \log p_y - \frac{r}{K} \sum_{k=1}^{K} \log p_k",
        "The rate $r$ is 0 for cross-entropy, above 0 for label smoothing, below 0 for negative label smoothing. For "
        "$r < 0$ the loss has no lower bound. With `gls.ramp` the rate grows from 0 within so many epochs after the "
        "warm-up.",
    ),
    "ce": Formula(r"\ell = -\log p_y", "For a `trainable` of yours whose study searches no smoothing rate."),
    "confidence-penalty": Formula(
        r"\ell = -\log p_y - \beta H(p), \qquad H(p) = -\sum_{k=1}^{K} p_k \log p_k",
        "Subtracts the entropy of the prediction.",
    ),
    "disturb-label": Formula(
        r"\ell = -\log p_{y^\prime}, \qquad y^\prime = \begin{cases} y & \text{with probability } 1 - \alpha \\ "
        r"\text{a class drawn evenly} & \text{with probability } \alpha \end{cases}",
        "Labels are drawn anew each step. In expectation this is `gls` at the rate $\\alpha$.",
    ),
    "forward": Formula(
        r"\ell = -\log \sum_{k=1}^{K} T_{ky} \, p_k",
        "$T_{ky}$ is the probability of the noisy label $y$ where the clean one is $k$. The key "
        "[`transition`](study-file.md) says where it is from: `estimated` by what the warm-up predicts, with cleanlab, "
        "`measured` by clean labels, or given.",
    ),
    "backward": Formula(
        r"\ell = -\sum_{k=1}^{K} (T^{-1})_{yk} \log p_k",
        "In expectation over the noise this is the clean cross-entropy. It has no lower bound; under symmetric noise "
        "it is `gls` at a negative rate. $T$ is that of `forward`.",
    ),
    "peer": Formula(
        r"\ell = l(p, y) - \alpha \, l(p^\prime, y^{\prime\prime}), \qquad l(p, y) = -\log (p_y + 10^{-5})",
        r"Subtracts the loss of an unrelated pair: $p^\prime$ and $y^{\prime\prime}$ are of two other examples.",
    ),
    "sce": Formula(
        r"\ell = -\alpha \log p_y + \beta \, \ell_\text{RCE}, \qquad \ell_\text{RCE} = -A (1 - p_y), "
        r"\quad A = \log 10^{-4}",
        "Adds reverse cross-entropy, in which $A$ stands for $\\log 0$.",
    ),
    "nce-rce": Formula(
        r"\ell = \alpha \frac{\log p_y}{\sum_{k=1}^{K} \log p_k} + \beta \, \ell_\text{RCE}",
        "Adds normalised and reverse cross-entropy, the latter as in `sce`.",
    ),
    "gce": Formula(
        r"\ell = \frac{1 - p_y^q}{q}", "Lies between cross-entropy ($q \\to 0$) and half the absolute error ($q = 1$)."
    ),
    "mae": Formula(r"\ell = \sum_{k=1}^{K} |[k = y] - p_k| = 2 - 2 p_y", "Is the absolute error itself."),
    "bootstrap-soft": Formula(
        r"\ell = -\beta \log p_y - (1 - \beta) \sum_{k=1}^{K} p_k \log p_k", "Mixes the label with the prediction."
    ),
    "bootstrap-hard": Formula(
        r"\ell = -\beta \log p_y - (1 - \beta) \log \max_k p_k", "Mixes the label with the likeliest class."
    ),
    "elr": Formula(
        r"\ell = -\log p_y + \lambda \log \left( 1 - \sum_{k=1}^{K} p_k t_k \right), "
        r"\qquad t \leftarrow \beta t + (1 - \beta) p",
        "Keeps to what was learned early: $t$ is a running mean of the predictions for this example, from the end of "
        "the warm-up on.",
    ),
    "mixup": Formula(
        r"\ell = -\lambda \log p_y - (1 - \lambda) \log p_{y^\prime}, \qquad "
        r"x \leftarrow \lambda x + (1 - \lambda) x^\prime, \quad \lambda \sim \text{Beta}(\alpha, \alpha)",
        "Mixes each example with another of its batch, and their labels alike. It acts from the first epoch, without "
        "a warm-up.",
    ),
    "logit-norm": Formula(
        r"\ell = \ell_\text{gls}(\tilde{z}, y; r), \qquad \tilde{z} = \frac{z}{\tau \, \lVert z \rVert}",
        "Gives all logits the norm $1 / \\tau$, where $\\tau$ is the parameter `temperature`. So the loss is bounded "
        "below at every rate.",
    ),
    "logit-clip": Formula(
        r"\ell = \ell_\text{gls}(\tilde{z}, y; r), \qquad "
        r"\tilde{z} = z \, \min \left( 1, \frac{\tau}{\lVert z \rVert} \right)",
        "Cuts the norm of the logits to $\\tau$. So the loss is bounded below at every rate.",
    ),
    "online-smoothing": Formula(
        r"\ell = -\alpha \log p_y - (1 - \alpha) \sum_{k=1}^{K} S_{yk} \log p_k",
        "Smooths towards what the epoch before predicted: the soft label $S_y$ is the mean of the right predictions "
        "for the class $y$.",
    ),
}


def documented() -> str:
    """Markdown: a table of what is searched, then a section for each method."""
    rows = ["| method | name | searched, from the default on |", "|---|---|---|"]
    rows += [f"| [`{name}`](#{name}) | {each.title} | {_searched(name) or '-'} |" for name, each in METHODS.items()]
    return "\n".join([*rows, "", *(_section(name) for name in METHODS)])


def _searched(method: str) -> str:
    words = []
    for name, key in zip(METHODS[method].parameters, own_names(method), strict=True):
        each = METHODS[method].parameters[name]
        if each.searched:
            words.append(f"`{key}` {each.low:g} to {each.high:g} ({each.default:g})")
    return ", ".join(words)


def _section(name: str) -> str:
    method, formula = METHODS[name], FORMULAS[name]
    source = ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", method.source)
    lines = [f"## `{name}`", "", f"{method.title[0].upper()}{method.title[1:]}. {formula.says}", ""]
    lines += ["$$", formula.tex, "$$", ""]
    if method.parameters:
        lines += ["| parameter | says | default | searched |", "|---|---|---|---|"]
        for parameter, key in zip(method.parameters, own_names(name), strict=True):
            each = method.parameters[parameter]
            searched = f"{each.low:g} to {each.high:g}, {each.scale}"
            bounds = searched if each.searched else f"where a study names it, such as {searched}"
            lines.append(f"| `{key}` | {each.meaning} | {each.default:g} | {bounds} |")
        lines.append("")
    if source != method.source:
        lines += [f"Source: {source}.", ""]
    return "\n".join(lines)
