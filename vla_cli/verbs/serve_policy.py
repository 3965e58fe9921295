"""``vla-monitor serve-policy``: a policy behind openpi's websocket, on this machine or for others."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from vla_cli.console import Console, Report
from vla_cli.surroundings import require
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from vla_server.server import PolicyServer

LOOPBACK = "127.0.0.1"
MEBIBYTE = 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which policy, and who may ask it."""
    parser.add_argument("path", type=Path, help="the policy's folder")
    parser.add_argument(
        "--policy", default="onnx", metavar="KIND", help="onnx, torch, tokens, scripted or lerobot (default: onnx)"
    )
    parser.add_argument("--host", default=LOOPBACK, help=f"address to listen on (default: {LOOPBACK}, this machine)")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one (default: 8000)")
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="clients must send the key in this file")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument(
        "--nodes", type=int, default=0, metavar="N", help="compare members at the last N nodes only (default: all)"
    )
    parser.add_argument(
        "--max-message", type=int, default=64, metavar="MIB", help="largest request that is read (default: 64)"
    )


def run(args: argparse.Namespace, console: Console) -> Report:
    """Serve until SIGINT or SIGTERM."""
    require("server")
    from vla_server.served import open_policy
    from vla_server.server import PolicyServer

    if not 0 <= args.port < 2**16 or args.max_message < 1 or args.nodes < 0:
        found = f"--port {args.port}, --max-message {args.max_message}, --nodes {args.nodes}"
        raise InputError("out of range", where="options", expected="a port, at least 1, at least 0", found=found)
    key = api_key(args.api_key_file) if args.api_key_file else ""
    policy = open_policy(args.policy, args.path, args.device, args.nodes)
    server = PolicyServer(policy, args.host, args.port, key, args.max_message * MEBIBYTE)
    if args.host != LOOPBACK and not key:
        console.say(f"anybody who reaches {args.host} can use this policy; --api-key-file asks for a key")
    asyncio.run(_serve(server, args, console))
    told = policy.announcement
    return Report(f"Served {args.path}", ("policy", "members"), [{"policy": told.fingerprint, "members": told.members}])


async def _serve(server: PolicyServer, args: argparse.Namespace, console: Console) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        console.say(f"serving {args.path} on ws://{args.host}:{server.port}; stop with Ctrl-C")
        await stop.wait()


def api_key(path: Path) -> str:
    """The key in a file.

    :raises InputError: when it cannot be read, or holds none.
    """
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("cannot be read", where=str(path), found=str(error)) from error
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise InputError("not an API key", where=str(path), expected="one word of printable ASCII")
    return key
