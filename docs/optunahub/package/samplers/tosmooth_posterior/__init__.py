"""tosmooth's sampler: a Gaussian process that knows of training seeds and of training that diverges."""

from tosmooth import PosteriorSampler

__all__ = ["PosteriorSampler"]
