"""What users type: every public name, at the top and in the rooms of their own, and what stands behind it."""

import g287stats as g

SPACES = ("data", "ncvs", "simulate", "survey")


def public(*rooms):
    """Every public callable by the name users type (``g.att_gt``, ``g.survey.mean``), of the modules of ``rooms``."""
    top = {f"g.{n}": getattr(g, n) for n in g.__all__ if n not in (*SPACES, "__version__")}
    own = {f"g.{s}.{n}": getattr(getattr(g, s), n) for s in SPACES for n in getattr(g, s).__all__}
    starts = tuple(f"g287stats.{room}" for room in rooms)
    return {n: f for n, f in {**top, **own}.items() if not rooms or f.__module__.startswith(starts)}
