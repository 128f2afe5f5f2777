"""The study file of a winning configuration, by itself: the command `best` is tried in tests/search/cli."""

from tests.search.tools import tiny
from tosmooth.search.report.winner import _alone
from tosmooth.search.spec.loading import read_study


def test_study_of_a_method_that_has_no_use_for_a_transition_matrix_names_none() -> None:
    spec = tiny("method=[gls, forward]", "transition=measured")
    clean = {cell.method: cell for cell in spec.cells() if cell.noise == "clean"}
    alone = read_study(_alone(spec, clean["gls"], {"rate": -1.0, "warmup": 1}, "tiny-clean-gls"))
    assert (alone.method, alone.transition) == (("gls",), None)
    alone = read_study(_alone(spec, clean["forward"], {"warmup": 1}, "tiny-clean-forward"))
    assert (alone.method, alone.transition) == (("forward",), "measured")
