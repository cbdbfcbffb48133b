"""Which model decodes in place of another under load: the best of those at hand that is clearly cheaper."""

from __future__ import annotations

from collections.abc import Iterable

from asrctl.policy.sizing import Model, quality


def stand_in(main: Model, there: Iterable[Model]) -> Model | None:
    """The next smaller size, else the same size in q8_0 in place of f16; None if there is neither.

    A q5 file is smaller than its q8_0, but no quicker on a CPU, so that it is no stand-in for that.

    Args:
        main: The model in use.
        there: Those that can be had without a download.
    """
    size, f16 = quality(main.name)[0], "-q" not in main.name
    cheaper = [
        each
        for each in there
        if each.memory_bytes < main.memory_bytes
        and (each.multilingual or not main.multilingual)
        and (quality(each.name)[0] < size or (f16 and each.name.endswith("-q8_0")))
    ]
    smaller = [each for each in cheaper if quality(each.name)[0] < size]
    return max(smaller or cheaper, key=lambda each: (*quality(each.name), -each.memory_bytes), default=None)
