"""The manifest of an exported policy: what its graphs take and give, and the hash of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vla_uq.errors import InputError
from vla_uq.flow.convention import Convention

if TYPE_CHECKING:
    from typing_extensions import Self

SCHEMA = 1
FLOW, TOKENS, TORCH, SCRIPTED, LEROBOT = "onnx", "tokens", "torch", "scripted", "lerobot_onnx"
"""Back ends that manifests are written for."""
FILE = "manifest.json"
WEIGHTS = Path(__file__).parent / "weights"
"""The policy that ships."""
TOKEN_WEIGHTS = Path(__file__).parent / "weights_tokens"
"""Its autoregressive variant, which ships for the token scores."""
WIDOWX_WEIGHTS = Path(__file__).parent / "weights_widowx"
"""The policy of the WidowX."""
ACTION_SCALE = (0.6, 0.6, 0.6, 0.15, 0.15, 0.15, 1.0)
"""The normaliser, one for all members: action = normalised × scale."""
OPEN_WIDTH = 0.076
"""A Franka's fingers farther apart than this (m) hold nothing: after a reset it counts as commanded open."""


def _later(default: Any) -> Any:
    """A field that manifests once lacked: it counts in the fingerprint only where it says something else."""
    return field(default=default, metadata={"later": True})


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What every policy's manifest says.

    :param files: file name to SHA-256.
    :param feature_slice: the part of a context that belongs to the monitor's features.
    :param position_step: metres of displacement at |action| = 1; ``rotation_step`` radians.
    :param training: seeds, recipe, demonstrations: for people.
    :param open_width: fingers farther apart than this (m) hold nothing.
    """

    members: int
    horizon: int
    action_dim: int
    execute_steps: int
    step_duration: float
    context: int
    last_layer: int
    feature_slice: tuple[int, int]
    action_scale: tuple[float, ...]
    position_step: float
    rotation_step: float
    image_size: int
    files: dict[str, str]
    training: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
    open_width: float = _later(OPEN_WIDTH)

    @property
    def fingerprint(self) -> str:
        """Identity of the policy: 16 hexadecimal digits of BLAKE2b over all that decides its actions."""
        usual = {f.name: f.default for f in fields(self) if "later" in f.metadata}
        content = asdict(self)
        for name, default in usual.items():
            if json.dumps(content[name]) == json.dumps(default):
                del content[name]
        del content["training"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def save(self, directory: Path) -> None:
        """Write ``manifest.json``."""
        (directory / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a weights folder's manifest, of whatever kind it is, and check every file against it.

        :raises InputError: missing or changed file, unknown schema, missing field, or a manifest of another kind than
            the class that is asked.
        """
        path, content = directory / FILE, _read(directory)
        kind = KINDS.get(content.get("back_end", FLOW), FlowManifest)
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        try:
            manifest = kind(**values)
        except TypeError as error:
            raise InputError("not a policy manifest", where=str(path), found=str(error)) from error
        if cls is not Manifest and kind is not cls:
            raise InputError(
                "manifest is made for another back end",
                where=str(path),
                expected=cls.__name__,
                found=kind.__name__,
                remedy="leave back_end empty",
            )
        for name, digest in manifest.files.items():
            check_file(directory / name, digest)
        return cast("Self", manifest)


@dataclass(frozen=True, kw_only=True)
class FlowManifest(Manifest):
    """Of a flow-matching ensemble.

    :param flow_steps: Euler steps from noise to the action.
    :param time: ``velocity``: the networks' convention, see :class:`Convention`.
    :param padded_dim: columns of the chunks that the networks see; the real ones come first, the others are padding
        and are nobody's. 0: as many as there are real ones.
    :param encoders: number of the encoder that each member looks through; empty: each member has its own.
    :param normalisers: what :func:`normaliser` says of the statistics that each member was trained with; empty where
        nobody noted it.
    """

    flow_steps: int
    time: str = _later("from_noise")
    velocity: str = _later("to_action")
    padded_dim: int = _later(0)
    encoders: tuple[int, ...] = _later(())
    normalisers: tuple[str, ...] = _later(())

    @property
    def convention(self) -> Convention:
        """:raises InputError: when it is unknown."""
        return Convention(self.time, self.velocity)

    @property
    def width(self) -> int:
        """Columns of the chunks that the networks see."""
        return self.padded_dim or self.action_dim

    def encoder(self, member: int) -> int:
        """Number of the encoder that a member looks through."""
        return self.encoders[member] if self.encoders else member


@dataclass(frozen=True, kw_only=True)
class TorchManifest(FlowManifest):
    """Of torch modules that are installed here; the folder holds their parameters alone, ``member_<i>.safetensors``.

    :param factory: ``package.module:function`` that makes a member without parameters of its own.
    """

    factory: str
    back_end: str = TORCH


@dataclass(frozen=True, kw_only=True)
class ScriptedManifest(FlowManifest):
    """Of a policy without networks: its disagreement is known, and it fails when it is told to.

    :param chunk: (width,) normalised action that member 0's flow leads to, at every step of the horizon.
    :param offsets: (members,) constant by which each member's velocity differs, in every element.
    :param faults: number of an inference, from 0, to what goes wrong with it.
    """

    chunk: tuple[float, ...]
    offsets: tuple[float, ...]
    faults: dict[str, str] = field(default_factory=dict)
    back_end: str = SCRIPTED


@dataclass(frozen=True, kw_only=True)
class LeRobotManifest(FlowManifest):
    """Of LeRobot's flow policies exported to ONNX, one graph of the prefix and one of the velocity a member.

    :param preset: how an arm's observation becomes the names of ``cameras`` and ``state``, see ``openpi_presets``.
    :param cameras: name in the observation map to ``[input of the encoder, height, width]``.
    :param state: name in the observation map.
    :param state_scale: with ``state_shift``: what the encoder takes = state × scale + shift.
    :param action_shift: action = normalised × ``action_scale`` + shift.
    :param words: tokens of a prompt, padding included; ``padding``: number of that token.
    :param space: of the actions, a name in :class:`vla_uq.contracts.Space`; ``reference``: in ``Reference``.
    :param names: of the action columns without the gripper's.
    :param gripper: ``{"column", "closed", "open"}``; empty: the policy moves none.
    """

    preset: str
    cameras: dict[str, list[Any]]
    state: str
    state_scale: tuple[float, ...]
    state_shift: tuple[float, ...]
    action_shift: tuple[float, ...]
    words: int
    padding: int
    space: str
    reference: str
    names: tuple[str, ...]
    gripper: dict[str, float]
    # What follows is of the table-top's actions and images alone.
    position_step: float = 1.0
    rotation_step: float = 1.0
    image_size: int = 0
    back_end: str = LEROBOT


@dataclass(frozen=True, kw_only=True)
class TokenManifest(Manifest):
    """Of an autoregressive policy.

    :param bins: of each dimension of an action.
    :param limits: (A,) normalised actions at the centres of the outermost bins.
    """

    bins: int
    limits: tuple[float, ...]
    back_end: str = TOKENS


KINDS: dict[str, type[Manifest]] = {
    TOKENS: TokenManifest,
    TORCH: TorchManifest,
    SCRIPTED: ScriptedManifest,
    LEROBOT: LeRobotManifest,
}
"""Back end to its manifests; all others run a :class:`FlowManifest`."""


def normaliser(scale: Sequence[float]) -> str:
    """Identity of action statistics: 16 hexadecimal digits. Velocities of members that differ are not comparable."""
    text = json.dumps([float(value) for value in scale])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _read(directory: Path) -> dict[str, Any]:
    path = directory / FILE
    if not path.is_file():
        raise InputError(
            "no policy weights here",
            where=str(path),
            expected=FILE,
            found="nothing",
            remedy="give the folder that `vla-monitor train-policy` wrote",
        )
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise InputError("not a policy manifest", where=str(path), found=str(error)) from error
    if not isinstance(content, dict):
        raise InputError("not a policy manifest", where=str(path), expected="an object", found=type(content).__name__)
    if content.get("schema") != SCHEMA:
        raise InputError("unknown schema", where=f"{path}: schema", expected=SCHEMA, found=content.get("schema"))
    return content


def back_end_of(directory: Path) -> str:
    """The back end that a weights folder is made for: ``onnx`` unless its manifest names another.

    :raises InputError: when there is no manifest.
    """
    return str(_read(directory).get("back_end", FLOW))


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_file(path: Path, digest: str) -> None:
    """:raises InputError: when the file is missing or not the one that the manifest was written for."""
    if not path.is_file():
        raise InputError("missing weights", where=str(path), remedy="copy the whole weights folder")
    if sha256(path) != digest:
        raise InputError(
            "file does not match its manifest", where=str(path), expected=digest[:12], found=sha256(path)[:12]
        )
