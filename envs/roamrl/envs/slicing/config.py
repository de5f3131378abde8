"""The family's config: what fixes the spaces and the scale of a cell, with the defaults of each kind of slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from roamrl.envs.canonical import JSON, plain
from roamrl.envs.errors import InputError, unknown_name
from roamrl.envs.radio.fading import FADING_SLOTS
from roamrl.envs.radio.link import SLOT_MS
from roamrl.envs.slicing.lanes import CONTROL, VIDEO, VOICE, XR


@dataclass(frozen=True)
class Kind:
    """A kind of slice and its defaults.

    Attributes:
        code: Which source the kernel runs.
        users: Mean users present.
        rate_mbps: Rate of a user outside bursts, Mbit/s.
        packet_bytes: Mean packet; an XR slice's follows from rate and frame rate.
        burst: Multiplier high and low, probability down and up a window, each user for itself.
        c1: Slope of the SLA's logistic, 1/ms.
        c2: Target of the mean delay, ms.
        timer_ms: Discard timer.
        strict: (c1, c2) of the split ``ood-sla_target``.
    """

    code: int
    users: float
    rate_mbps: float
    packet_bytes: float
    burst: tuple[float, float, float, float]
    c1: float
    c2: float
    timer_ms: float
    strict: tuple[float, float]


KINDS: Mapping[str, Kind] = {
    "control": Kind(CONTROL, 6.0, 1.5, 1000.0, (4.0, 0.2, 0.10, 0.03), 0.5, 10.0, 100.0, (1.7, 3.0)),
    "video": Kind(VIDEO, 6.0, 3.0, 6250.0, (1.8, 0.2, 0.05, 0.05), 0.1, 80.0, 300.0, (0.2, 40.0)),
    "xr": Kind(XR, 4.0, 6.0, 12500.0, (1.0, 1.0, 0.0, 0.0), 0.3, 20.0, 100.0, (0.6, 10.0)),
    "voice": Kind(VOICE, 8.0, 0.02, 50.0, (1.0, 0.0, 0.05, 0.05), 0.2, 50.0, 100.0, (0.4, 25.0)),
}
"""``voice`` is VoNR: EVS at 13.2 kbit/s, 50 bytes each 20 ms in a talk spurt (mean 1 s), descriptors in silence."""

VARIANTS: Mapping[str, Mapping[str, JSON]] = {
    "default": {},
    "hidden-sla": {"observed": ["sla_target"]},
}
"""Named configs; a variant also sets defaults and training ranges of the context (``context.context_space``)."""

OBSERVABLE = (
    "load",
    "rate_scale",
    "users",
    "snr_mean_db",
    "snr_spread_db",
    "speed_mps",
    "prb",
    "weights",
    "sla_target",
)
SCHEDULERS = ("round-robin", "proportional-fair")
ACTIONS = ("discrete", "continuous")


@dataclass(frozen=True)
class SlicingConfig:
    """A full config; its JSON is part of every task.

    Attributes:
        variant: One of :data:`VARIANTS`.
        slices: Kind of each slice, K of them.
        scheduler: Inside a slice: ``round-robin`` or ``proportional-fair``.
        action: ``discrete`` (shares on a 10 % grid, 10 % at least) or ``continuous`` (logits, [K]).
        history: Windows an observation holds, the latest last.
        observed: Context variables the agent sees. ``sla_target`` is seen through the unit of the observed delays,
            which is the task's own c2, else the nominal c2; the others are appended as numbers.
        late_penalty: Subtracted from the reward, times the mean over slices of the share of packets past c2.
        rate_mbps: Rate of a user of each slice, Mbit/s; ``rate_scale`` and ``load`` of the context scale it.
        packet_bytes: Mean packet of each slice, bytes (of no effect for XR).
        timer_ms: Discard timer of each slice.
        frames_per_s: Frame rate of XR without a trace.
        user_slots: Most users a slice can hold.
        buffer_packets: Most packets a user's queue can hold.
        window_slots: Slots of 0.5 ms in a window.
        episode_windows: Windows in an episode.
        warmup_windows: Windows at equal shares before an episode's first observation.
    """

    variant: str = "default"
    slices: tuple[str, ...] = ("control", "video", "xr")
    scheduler: str = "round-robin"
    action: str = "discrete"
    history: int = 1
    observed: tuple[str, ...] = ("weights", "sla_target")
    late_penalty: float = 0.0
    rate_mbps: tuple[float, ...] = ()
    packet_bytes: tuple[float, ...] = ()
    timer_ms: tuple[float, ...] = ()
    frames_per_s: float = 60.0
    user_slots: int = 16
    buffer_packets: int = 64
    window_slots: int = 100
    episode_windows: int = 100
    warmup_windows: int = 4

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each slice."""
        return tuple(KINDS[name] for name in self.slices)

    @property
    def window_ms(self) -> float:
        """Length of a window."""
        return self.window_slots * SLOT_MS

    def to_json(self) -> dict[str, JSON]:
        """Return the full config as plain JSON."""
        return dict(plain(asdict(self)))


def read_config(given: Mapping[str, JSON]) -> SlicingConfig:
    """Check what was given and fill in the rest, from the variant and the kinds of slices.

    Raises:
        InputError: If a key is unknown (names the nearest) or a value cannot be used.
    """
    known = [entry.name for entry in fields(SlicingConfig)]
    for key in given:
        if key not in known:
            raise unknown_name("slicing config key", str(key), known)
    variant = given.get("variant", "default")
    if variant not in VARIANTS:
        raise unknown_name("slicing variant", str(variant), VARIANTS)
    values: dict[str, Any] = {**VARIANTS[variant], **given}
    slices = _names("slices", values.get("slices", SlicingConfig.slices), KINDS)
    if not 2 <= len(slices) <= 9:
        raise InputError(f"slices: a cell has 2 to 9 slices (each gets 10 % at least), got {len(slices)}")
    kinds = [KINDS[name] for name in slices]
    return SlicingConfig(
        variant=variant,
        slices=slices,
        scheduler=_one_of("scheduler", values.get("scheduler", SlicingConfig.scheduler), SCHEDULERS),
        action=_one_of("action", values.get("action", SlicingConfig.action), ACTIONS),
        history=_whole("history", values.get("history", SlicingConfig.history), 1, 64),
        observed=_names("observed", values.get("observed", SlicingConfig.observed), OBSERVABLE),
        late_penalty=_number("late_penalty", values.get("late_penalty", SlicingConfig.late_penalty), 0.0, 10.0),
        rate_mbps=_numbers("rate_mbps", values.get("rate_mbps"), [kind.rate_mbps for kind in kinds], 1e-3, 1e3),
        packet_bytes=_numbers("packet_bytes", values.get("packet_bytes"), [k.packet_bytes for k in kinds], 10, 1e7),
        timer_ms=_numbers("timer_ms", values.get("timer_ms"), [kind.timer_ms for kind in kinds], 1.0, 1e4),
        frames_per_s=_number("frames_per_s", values.get("frames_per_s", SlicingConfig.frames_per_s), 1.0, 240.0),
        user_slots=_whole("user_slots", values.get("user_slots", SlicingConfig.user_slots), 1, 256),
        buffer_packets=_whole("buffer_packets", values.get("buffer_packets", SlicingConfig.buffer_packets), 1, 4096),
        window_slots=_windows(values.get("window_slots", SlicingConfig.window_slots)),
        episode_windows=_whole("episode_windows", values.get("episode_windows", SlicingConfig.episode_windows), 1, 1e6),
        warmup_windows=_whole("warmup_windows", values.get("warmup_windows", SlicingConfig.warmup_windows), 1, 1000),
    )


def _one_of(key: str, value: JSON, known: tuple[str, ...]) -> str:
    if value not in known:
        raise unknown_name(f"value of slicing config key {key!r}:", str(value), known)
    return str(value)


def _names(key: str, value: JSON, known: Mapping[str, Any] | tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"{key}: a list of names is needed, got {value!r}; known: {', '.join(known)}")
    for name in value:
        if name not in known:
            raise unknown_name(f"entry of slicing config key {key!r}:", str(name), known)
    if key == "observed" and len(set(value)) != len(value):
        raise InputError(f"observed: a variable is named twice in {value!r}")
    return tuple(value)


def _number(key: str, value: JSON, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{key}: a number from {low:g} to {high:g} is needed, got {value!r}")
    return float(value)


def _whole(key: str, value: JSON, low: float, high: float) -> int:
    number = _number(key, value, low, high)
    if number != int(number):
        raise InputError(f"{key}: a whole number is needed, got {value!r}")
    return int(number)


def _windows(value: JSON) -> int:
    slots = _whole("window_slots", value, FADING_SLOTS, 2000)
    if slots % FADING_SLOTS:
        raise InputError(f"window_slots: a multiple of {FADING_SLOTS} (an update of the fading) is needed, got {slots}")
    return slots


def _numbers(key: str, value: JSON, default: list[float], low: float, high: float) -> tuple[float, ...]:
    if value is None or value in ([], ()):
        return tuple(default)
    if not isinstance(value, list | tuple) or len(value) != len(default):
        raise InputError(f"{key}: {len(default)} numbers are needed, one a slice, got {value!r}")
    return tuple(_number(f"{key}[{entry}]", number, low, high) for entry, number in enumerate(value))
