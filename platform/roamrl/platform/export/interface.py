"""What an exported policy reads and says: names, shapes, dtypes and meaning of its inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.envs.errors import InputError

METADATA_PREFIX = "roamrl."
"""How the names of a model's metadata begin."""

OBSERVATION = "observation"
TASK_NUMBER = "task_number"
CONTEXT = "context"
LAST_ACTION = "last_action"
LAST_REWARD = "last_reward"
EPISODE_ENDED = "episode_ended"
NOISE = "noise"
STATE_IN = "state_in.memory"
STATE_OUT = "state_out.memory"
ACTION = "action"
LOGITS = "logits"
ACTION_VALUES = "action_values"
MEAN = "mean"
LOG_STD = "log_std"

Axis = int | str
"""A size, or the name of an axis of any size."""

BATCH = "batch"
ENTITIES = "entities"


@dataclass(frozen=True)
class Port:
    """One input or output of an exported policy.

    Attributes:
        name: Its name.
        shape: Its axes behind the batch axis, which is free and comes first.
        dtype: NumPy's name of its dtype.
        about: What it is.
        start: What an input holds at the beginning of a trial; None where the controller has to give it every time.
    """

    name: str
    shape: tuple[Axis, ...]
    dtype: str
    about: str
    start: float | None = None

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All axes, the batch axis first."""
        return (BATCH, *self.shape)


@dataclass(frozen=True)
class Interface:
    """Inputs and outputs of an exported policy, in order.

    Attributes:
        inputs: What it reads.
        outputs: What it says: ``action`` first, then the parameters of its distribution, then memory.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @property
    def carried(self) -> tuple[Port, ...]:
        """Inputs that are handed on from step to step and begin anew with each trial."""
        return tuple(port for port in self.inputs if port.start is not None)

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """Return plain JSON values."""
        return {
            "inputs": [_port_json(port) for port in self.inputs],
            "outputs": [_port_json(port) for port in self.outputs],
        }


def interface_of(spec: ModuleSpec, memory_size: int) -> Interface:
    """Return what a policy of a spec reads and says.

    Args:
        spec: Its module.
        memory_size: Numbers that it carries from step to step; 0 for none.

    Raises:
        InputError: If its observations are no Box, or there is no action output for its action space.
    """
    space = spec.observation_space
    if not isinstance(space, spaces.Box) or not space.shape:
        raise InputError(f"policies on Box observations with at least one axis can be exported, got {space!r}")
    shape: tuple[Axis, ...] = space.shape
    if spec.kind == "entity":
        shape = (ENTITIES, space.shape[1])
    action = _action_port(spec)
    inputs = [Port(OBSERVATION, shape, "float32", _observation_words(spec)), *_extra_ports(spec, action)]
    outputs = [action, *_parameter_ports(spec)]
    if memory_size:
        reset = _reset_words(spec)
        inputs.append(Port(STATE_IN, (memory_size,), "float32", f"memory from the step before; {reset}", 0.0))
        outputs.append(Port(STATE_OUT, (memory_size,), "float32", f"memory for the next step's {STATE_IN}"))
    return Interface(tuple(inputs), tuple(outputs))


def starting_inputs(interface: Interface, rows: int) -> dict[str, NDArray[Any]]:
    """Return what the carried inputs hold at the beginning of a trial in N rows, by name."""
    found = {}
    for port in interface.carried:
        sizes = [axis for axis in port.shape if isinstance(axis, int)]
        assert port.start is not None
        found[port.name] = np.full((rows, *sizes), port.start, port.dtype)
    return found


def _observation_words(spec: ModuleSpec) -> str:
    if spec.kind == "entity":
        return "as the environment gives it, any number of entities; column 0 is 1 for present ones, absent ones last"
    return "as the environment gives it; standardised inside"


def _reset_words(spec: ModuleSpec) -> str:
    episodes = spec.extras.trial_episodes
    return f"zeros at the beginning of every {'episode' if episodes == 1 else f'{episodes} episodes on one task'}"


def _extra_ports(spec: ModuleSpec, action: Port) -> list[Port]:
    extras, ports = spec.extras, []
    if extras.feedback:
        none = _no_action(spec.action_space)
        reset = "at the beginning of a trial"
        ports += [
            Port(LAST_ACTION, action.shape, action.dtype, f"action of the step before; {none:g} {reset}", none),
            Port(LAST_REWARD, (), "float32", f"reward of the step before; 0 {reset}", 0.0),
            Port(EPISODE_ENDED, (), "bool", f"whether the step before ended its episode; false {reset}", 0.0),
        ]
    if extras.noise:
        about = "0 to act greedily; else standard normal numbers, drawn at the beginning of an episode and held"
        ports.append(Port(NOISE, (extras.noise,), "float32", about, 0.0))
    if extras.task == "number":
        ports.append(Port(TASK_NUMBER, (), "int64", "number of the task in the training pool; -1 for another task"))
    if extras.task == "context":
        ports.append(Port(CONTEXT, (extras.contexts,), "float32", "context of the task as Family.features gives it"))
    return ports


def _no_action(space: spaces.Space[Any]) -> float:
    """Return what stands for no action: outside a Discrete space, zeros elsewhere."""
    return float(int(space.start) - 1) if isinstance(space, spaces.Discrete) else 0.0


def _action_port(spec: ModuleSpec) -> Port:
    space = spec.action_space
    if isinstance(space, spaces.Discrete):
        words = "action of the greatest value" if spec.kind == "q" else "most probable action"
        return Port(ACTION, (), "int64", words)
    if isinstance(space, spaces.MultiBinary):
        return Port(ACTION, _choices(spec), "int8", "1 where the choice is more probable than not")
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return Port(ACTION, space.shape, str(space.dtype), "mean of the distribution, clipped to the action space")
    raise InputError(f"actions in {space!r} have no ONNX output; known: Discrete, MultiBinary, Box of floats")


def _parameter_ports(spec: ModuleSpec) -> list[Port]:
    space = spec.action_space
    if isinstance(space, spaces.Discrete):
        name, about = LOGITS, "unnormalised log-probabilities"
        if spec.kind == "q":
            name, about = ACTION_VALUES, "value of each action"
        return [Port(name, (int(space.n),), "float32", about)]
    if isinstance(space, spaces.MultiBinary):
        return [Port(LOGITS, _choices(spec), "float32", "log-odds of each choice")]
    shape = space.shape or ()
    return [
        Port(MEAN, shape, "float32", "means of the normal distribution, not clipped"),
        Port(LOG_STD, shape, "float32", "log standard deviations"),
    ]


def _choices(spec: ModuleSpec) -> tuple[Axis, ...]:
    return (ENTITIES,) if spec.kind == "entity" else tuple(spec.action_space.shape or ())


def _port_json(port: Port) -> dict[str, Any]:
    start = {} if port.start is None else {"start": port.start}
    return {"name": port.name, "axes": list(port.axes), "dtype": port.dtype, "about": port.about, **start}
