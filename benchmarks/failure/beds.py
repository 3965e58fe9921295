"""Rollouts of the small VLA for the comparison: collected once, reused afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Options
from vla_cli.console import Console
from vla_cli.episodes import HELD_OUT, TRAINED_ON, episodes
from vla_cli.parallel import run_jobs
from vla_cli.robots import FRANKA
from vla_cli.shipped import policy_folder
from vla_cli.surroundings import require
from vla_uq.errors import InputError

BEDS = ("tabletop", "libero")
FIRST = 450_000
"""Seed of the first episode; those of the other benchmarks come before."""
DRAWS = 10
"""Chunks sampled at each inference, as in the SAFE paper."""
SEEDS = {"flow": 15, "tokens": 10}
"""Episodes of each pair of task and disturbance (61 pairs on the Franka, 43 on the WidowX)."""
QUICK = {"flow": 3, "tokens": 2}
TOKEN_ROWS = ("token_max_prob", "token_avg_prob", "token_max_entropy", "token_avg_entropy", "perplexity")
BESIDE_TOKENS = ("safe_mlp", "counter", "difficulty", "difficulty_oracle")
"""What else is evaluated on the token policy's rollouts: they fail at other times than the flow policy's."""


@dataclass(frozen=True)
class Source:
    """Rollouts of one policy, and which rows they are for.

    :param detectors: names; empty for all that the rollouts have tensors for.
    """

    policy: str
    store: Path
    detectors: tuple[str, ...] = ()


def sources(options: Options, console: Console) -> list[Source]:
    """The stores to compare on, collected where they are not there yet.

    :raises InputError: when what is needed to collect them is missing, with what to do.
    """
    given = options.own.get("rollouts")
    if given is not None:
        return [Source("given", given)]
    robot = str(options.own.get("robot", FRANKA))
    if options.own.get("bed") == "libero":
        if robot != FRANKA:
            raise InputError("the libero bed has one robot", where="--robot", expected=FRANKA, found=robot)
        return [Source("flow", _libero(options, console))]
    return _tabletop(robot, options, console)


def _tabletop(robot: str, options: Options, console: Console) -> list[Source]:
    """Every task of every disturbance, under the flow policy and under its token variant, where that is there."""
    from vla_policy.manifest import FILE, TOKEN_WEIGHTS

    require("sim", "policy")
    seeds = {name: range(options.seed, options.seed + n) for name, n in (QUICK if options.quick else SEEDS).items()}
    folder = options.out / "failure_detection" / ("quick" if options.quick else "full")
    folder = folder if robot == FRANKA else folder / robot
    found = [Source("flow", folder / "flow")]
    collect(found[0].store, policy_folder(None, robot), seeds["flow"], True, console, robot)
    if robot != FRANKA:
        return found
    if (TOKEN_WEIGHTS / FILE).is_file():
        found.append(Source("tokens", folder / "tokens", (*TOKEN_ROWS, *BESIDE_TOKENS)))
        collect(found[1].store, TOKEN_WEIGHTS, seeds["tokens"], False, console)
    else:
        console.say(f"no token policy in {TOKEN_WEIGHTS}: no rows for token scores")
    return found


def collect(
    folder: Path, policy: Path, seeds: range, samples: bool, console: Console, robot: str = FRANKA, processes: int = 2
) -> list[str]:
    """Play the episodes that are missing: every task of every disturbance.

    :param samples: keep what the scores of samples and of the last layer read, too.
    :returns: the ids of all.
    :raises InputError: when the folder holds rollouts of another policy.
    """
    from vla_cli.verbs.rollouts import Job, make
    from vla_policy.manifest import Manifest
    from vla_uq.rollouts.store import RolloutStore

    store, expected = RolloutStore(folder), Manifest.load(policy).fingerprint
    other = next((meta for meta in store.metas() if meta.policy_fingerprint != expected), None)
    if other is not None:
        raise InputError(
            "rollouts are of another policy",
            where=f"{folder}: {other.episode_id}",
            expected=expected,
            found=other.policy_fingerprint,
            remedy="delete the folder or give another --out",
        )
    wanted = episodes((*TRAINED_ON, *HELD_OUT), seeds, robot=robot)
    options = {"draws": DRAWS, "last_layer": True} if samples else {}
    missing = [Job(episode, policy, folder, options, robot) for episode in wanted if episode.id not in store]
    with console.progress(f"rollouts in {folder}", len(missing)) as advance:
        for job, success in run_jobs(make, missing, processes):
            advance(1, f"{'success' if success else 'failure'}: {job.episode.id}")
    return [episode.id for episode in wanted]


def _libero(options: Options, console: Console) -> Path:
    """The store of the LIBERO bed: rollouts of a policy that is told where things are.

    The image policy (``python -m benchmarks.libero``) is given by ``--rollouts out/libero/rollouts`` instead.

    :raises InputError: when LIBERO or its assets are missing; the line says what to do.
    """
    from benchmarks.libero import state
    from sim_node.libero.package import assets_folder, package_root

    assets_folder(package_root())
    few = {"nominal": 5, "disturbed": 1} if options.quick else {}
    return state.collect(Path("out/libero"), console, **few)
