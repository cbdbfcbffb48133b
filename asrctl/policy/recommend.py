"""Which model, recogniser, threads and processes suit a machine: from measurements, else from its size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest

from asrctl.policy.capacity import Costs, sustained_sessions
from asrctl.policy.sizing import (
    MAX_THREADS,
    Model,
    Resources,
    Wish,
    fits,
    largest_for,
    quality,
    suits,
    threads_for,
    tier_of,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to set the machine up: `workers` processes with `threads` threads each."""

    provider: str
    model: str
    threads: int
    workers: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a candidate did here.

    Attributes:
        candidate: What was measured.
        costs: What decoding took.
        rtf: Time over audio, of all workers together.
        memory_bytes: Resident, of all workers together.
        load_s: Until the model was ready.
        where: The device, as the recogniser calls it.
        parallel: Windows that each worker decodes at a time.
    """

    candidate: Candidate
    costs: Costs
    rtf: float
    memory_bytes: int
    load_s: float
    where: str = ""
    parallel: int = 1


@dataclass(frozen=True, slots=True)
class Capacity:
    """A measurement, and how many live sessions that means."""

    measurement: Measurement
    sessions: int


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to write into the config, and why.

    Attributes:
        provider: Recogniser.
        model: Name of the model.
        threads: For each worker.
        workers: Processes.
        sessions: Live ones that were found sustainable; None if nothing was measured.
        partial_interval_s: New audio between partials.
        reasons: In words, one sentence each.
        command: What gets the model, where it is not there; else "".
        stand_ins: Other recognisers that were measured with this model, the best first.
    """

    provider: str
    model: str
    threads: int
    workers: int
    sessions: int | None
    partial_interval_s: float
    reasons: tuple[str, ...]
    command: str = ""
    stand_ins: tuple[str, ...] = ()

    @property
    def providers(self) -> tuple[str, ...]:
        """The chain, best first; empty if nothing was measured."""
        return (self.provider, *self.stand_ins) if self.sessions is not None else ()


def layouts(cores: int, fast_cores: int | None = None) -> list[tuple[int, int]]:
    """(threads, workers) worth comparing: one process with all cores, two that share them, one for every two.

    Where some are slow, one process with the fast ones comes first.
    """
    found = [(threads_for(cores, fast_cores), 1), (threads_for(cores), 1)]
    if cores >= 2:
        found.append((min(cores // 2, MAX_THREADS), 2))
    if cores >= 4:
        found.append((2, cores // 2))
    return list(dict.fromkeys(found))


def candidates(models: Mapping[str, Sequence[Model]], resources: Resources, wish: Wish) -> list[Candidate]:
    """What to measure, the most telling first: by layout, then model from small to large, then provider.

    Args:
        models: Those that each provider can load now, the best provider first.
        resources: Of the machine.
        wish: What is asked for.
    """
    return [
        Candidate(provider, model.name, threads, workers)
        for threads, workers in layouts(resources.cores, resources.fast_cores)
        for ranked in zip_longest(*(_distinct(there) for there in models.values()))
        for provider, model in zip(models, ranked, strict=True)
        if model is not None and suits(model, wish) and fits(model, resources, workers)
    ]


def _distinct(models: Sequence[Model]) -> list[Model]:
    """Small to large; of the same weights in several precisions the smallest of full quality."""
    chosen: dict[tuple[int, int], Model] = {}
    for model in sorted(models, key=lambda model: (-quality(model.name)[1], model.memory_bytes)):
        size, _, english = quality(model.name)
        chosen.setdefault((size, english), model)
    return [model for _, model in sorted(chosen.items())]


def worth_measuring(candidate: Candidate, done: Iterable[Capacity]) -> bool:
    """Not if a smaller model, or the same in one process, cannot serve even one session here."""
    return not any(
        each.sessions == 0
        and each.measurement.candidate.provider == candidate.provider
        and quality(each.measurement.candidate.model) <= quality(candidate.model)
        for each in done
    )


def capacity(measurement: Measurement, wish: Wish) -> Capacity:
    """How many sessions a measured candidate sustains."""
    at_a_time = measurement.candidate.workers * measurement.parallel
    return Capacity(measurement, sustained_sessions(measurement.costs, at_a_time, wish.latency_s))


def recommend(
    measured: Sequence[Capacity],
    models: Sequence[Model],
    providers: Sequence[str],
    resources: Resources,
    wish: Wish,
) -> Recommendation:
    """The best model that keeps up with what was asked for; where none does, the one that comes nearest.

    Args:
        measured: What calibration found; empty makes it guess by the machine's size.
        models: Those that are there.
        providers: Those that can run, best first.
        resources: Of the machine.
        wish: What is asked for.
    """
    if not measured:
        return by_size(models, providers, resources, wish)
    enough = [each for each in measured if each.sessions >= wish.sessions]
    best = max(enough, key=_quality_first) if enough else max(measured, key=_sessions_first)
    candidate, costs = best.measurement.candidate, best.measurement.costs
    reasons = [_comparison(measured, best, wish)]
    if not enough:
        reasons.append(f"nothing that was measured sustains that many; {candidate.model} comes nearest")
    reasons.append(_layout_reason(best, measured))
    return Recommendation(
        **asdict(candidate),
        sessions=best.sessions,
        partial_interval_s=_partial_interval_s(costs),
        reasons=tuple(reasons),
        stand_ins=_stand_ins(measured, candidate),
    )


def _stand_ins(measured: Sequence[Capacity], chosen: Candidate) -> tuple[str, ...]:
    """The others that decoded with the model that was chosen; one that was not seen to do so is no help."""
    able = [each for each in measured if each.measurement.candidate.model == chosen.model]
    ranked = sorted(able, key=_sessions_first, reverse=True)
    names = dict.fromkeys(each.measurement.candidate.provider for each in ranked)
    return tuple(name for name in names if name != chosen.provider)


def untested(smallest: Candidate) -> Recommendation:
    """The smallest candidate, where none could be measured."""
    reason = f"nothing could be measured; {smallest.model} is the smallest model that is here"
    return Recommendation(**asdict(smallest), sessions=None, partial_interval_s=1.0, reasons=(reason,))


def by_size(
    models: Sequence[Model], providers: Sequence[str], resources: Resources, wish: Wish
) -> Recommendation:
    """The fallback: the best model that is there and that the machine's class allows, or what to get."""
    tier = tier_of(resources)
    largest = largest_for(tier, resources)
    allowed = [
        model
        for model in models
        if quality(model.name)[0] <= quality(largest)[0] and suits(model, wish) and fits(model, resources)
    ]
    best = max(allowed, key=_readiest_first, default=None)
    name = best.name if best else largest
    reason = f"nothing was measured: by its class ({tier.name}, {resources.cores} usable cores) "
    reason += f"this machine can take models up to {largest}"
    there = best is not None and best.ready
    reason += f"; {name} is there" if there else "; none of those is there yet"
    return Recommendation(
        provider=providers[0] if providers else "whisper_cpp",
        model=name,
        threads=threads_for(resources.cores, resources.fast_cores),
        workers=1,
        sessions=None,
        partial_interval_s=1.0,
        reasons=(reason,),
        command="" if there else f"asrctl models pull {name}",
    )


def _readiest_first(model: Model) -> tuple[bool, tuple[int, int, int], int]:
    return model.ready, quality(model.name), -model.memory_bytes


def _quality_first(each: Capacity) -> tuple[tuple[int, int, int], int, float]:
    """The best model; of what decodes with it, what does so in the fewest processes, then the quickest."""
    candidate = each.measurement.candidate
    return quality(candidate.model), -candidate.workers, -each.measurement.rtf


def _sessions_first(each: Capacity) -> tuple[int, float]:
    return each.sessions, -each.measurement.rtf


def _comparison(measured: Sequence[Capacity], best: Capacity, wish: Wish) -> str:
    """ "base-q8_0 sustains 3 live sessions here, tiny.en-q8_0 11; you asked for 10".

    What was chosen counts as it was chosen, and the others at their best.
    """
    most: dict[str, int] = {}
    for each in measured:
        if _is_other_layout(each, best):
            continue
        candidate = each.measurement.candidate
        is_chosen = candidate.provider == best.measurement.candidate.provider
        name = candidate.model if is_chosen else f"{candidate.model} ({candidate.provider})"
        most[name] = max(most.get(name, 0), each.sessions)
    ranked = sorted(most.items(), key=lambda item: (quality(item[0]), " (" not in item[0]), reverse=True)
    (first, count), *others = ranked
    unit = "session" if count == 1 else "sessions"
    text = f"{first} sustains {count or 'no'} live {unit} here"
    text += "".join(f", {name} {count or 'none'}" for name, count in others)
    return f"{text}; you asked for {wish.sessions} (finals within {wish.latency_s:g} s of the end of speech)"


def _is_other_layout(each: Capacity, best: Capacity) -> bool:
    """Whether it is the same recogniser and model, with other processes or threads."""
    one, chosen = each.measurement.candidate, best.measurement.candidate
    return one != chosen and (one.provider, one.model) == (chosen.provider, chosen.model)


def _layout_reason(best: Capacity, measured: Sequence[Capacity]) -> str:
    """The layout, and another of the same model that sustains more, if there is one."""
    more = [each for each in measured if _is_other_layout(each, best) and each.sessions > best.sessions]
    most = max(more, key=_sessions_first, default=None)
    text = _layout(best)
    if most is not None:
        text += f"; for {most.sessions} live sessions it would be {_layout(most)}"
    return text


def _layout(each: Capacity) -> str:
    candidate = each.measurement.candidate
    processes = "process" if candidate.workers == 1 else "processes"
    threads = "thread" if candidate.threads == 1 else "threads"
    return (
        f"{candidate.workers} {processes} with {candidate.threads} {threads} each: "
        f"{1 / each.measurement.rtf:.1f} x real time, {each.measurement.memory_bytes / 1e6:.0f} MB"
    )


def _partial_interval_s(costs: Costs) -> float:
    """Twice what a partial of a usual utterance takes, in steps of half a second, at least one."""
    return max(1.0, round(2 * 2 * costs.draft_s(4.0)) / 2)
