"""Our transfers from and to S3 beside boto3's and the AWS command line's: ``python -m benchmarks.storage_transfer``.

Starts a server of its own (scripts/s3_server.py). Each transfer is a process of its own, start included, and the ways
take turns, so that what else happens on the machine hits all of them.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import reporting
from core.base.supervision import run_command
from core.storage.s3_store import S3Store
from scripts import s3_server

BUCKET, MB = "benchmark", 10 ** 6
ROOT = Path(__file__).resolve().parents[1]
BIG, TREE = "big", "tree"
BOTO3_THREADS = 10
"""As many as boto3 and the AWS command line use by default."""
GOALS = {"download": "boto3 defaults / ours >= 1", "upload": "aws s3 cp / ours >= 1",
         "objects": "boto3 threads and aws s3 sync / ours >= 1"}


@dataclass(frozen=True)
class Transfer:
    """What one process took.

    Attributes:
        seconds: From start to end.
        cpu: Seconds of CPU time, of this side alone.
        memory: Its largest resident set in bytes.
    """

    seconds: float
    cpu: float
    memory: int


def measure(command: Sequence[str]) -> Transfer:
    """Run a command to its end and measure it.

    Raises:
        RuntimeError: It failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=str(ROOT), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = status
    if status:
        raise RuntimeError(f"{' '.join(map(str, command))} failed with status {status}")
    return Transfer(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def commands(aws: str | None, key: str, file: Path, objects: int, folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return the commands by what is transferred and by whom."""
    def work(*arguments: Any) -> list[str]:
        return [sys.executable, "-m", "benchmarks.storage_transfer", "--work", *map(str, arguments)]

    uri, tree = f"s3://{BUCKET}/{key}", f"s3://{BUCKET}/{TREE}-{objects}"
    found = {
        "upload": {"ours": work("ours-up", file, key),
                   "ours, sha256 known": work("ours-up-known", file, key),
                   "boto3 defaults": work("boto3-up", file, key)},
        "download": {"ours": work("ours-down", uri, folder), "boto3 defaults": work("boto3-down", key, folder)},
        "objects": {"ours": work("ours-down", tree, folder),
                    "boto3 download_file, threads": work("boto3-files", f"{TREE}-{objects}", folder),
                    "boto3 get_object, threads": work("boto3-objects", f"{TREE}-{objects}", folder)}}
    if aws:
        quiet = "--only-show-errors"
        found["upload"]["aws s3 cp"] = [aws, "s3", "cp", quiet, str(file), uri]
        found["download"]["aws s3 cp"] = [aws, "s3", "cp", quiet, uri, str(folder / "copy")]
        found["objects"]["aws s3 sync"] = [aws, "s3", "sync", quiet, tree, str(folder / "copy")]
    return found


def compare(ways: dict[str, list[str]], folder: Path, rounds: int) -> dict[str, list[Transfer]]:
    """Let the ways take turns, each with an empty folder to write to."""
    found: dict[str, list[Transfer]] = {way: [] for way in ways}
    for turn in range(rounds):
        order = list(ways)[turn % len(ways):] + list(ways)[:turn % len(ways)]
        for way in order:
            folder.mkdir()
            found[way].append(measure(ways[way]))
            shutil.rmtree(folder)
    return found


def figures(what: str, size: int, count: int, found: dict[str, list[Transfer]]) -> list[dict[str, Any]]:
    """Return medians a way; the ratio is how many times as fast as the way our way is."""
    ours = found["ours"]
    return [{"what": what, "way": way, "bytes": size, "objects": count,
             "seconds": statistics.median(transfer.seconds for transfer in transfers),
             "cpu_ms_per_mb": statistics.median(transfer.cpu for transfer in transfers) * 1000 / (size / MB),
             "memory_mb": max(transfer.memory for transfer in transfers) / MB,
             "ratio": statistics.median(other.seconds / our.seconds for our, other in zip(ours, transfers)),
             "ratios": [other.seconds / our.seconds for our, other in zip(ours, transfers)]}
            for way, transfers in found.items()]


def write_random(path: Path, size: int) -> None:
    """Write ``size`` random bytes."""
    with open(path, "wb") as file:
        for start in range(0, size, 1 << 24):
            file.write(os.urandom(min(1 << 24, size - start)))


def send_objects(store: S3Store, count: int, size: int) -> None:
    """Write ``count`` objects of ``size`` random bytes, a thousand to a prefix as in a data set's folders."""
    content = os.urandom(size + count)
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda number: store.write(f"{number // 1000:03}/{number:06}.jpg",
                                                     content[number:number + size]), range(count)):
            pass


def run(arguments: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    """Measure everything that was asked for on a server that is running."""
    file, folder = scratch / BIG, scratch / "down"
    results: list[dict[str, Any]] = []
    if arguments.megabytes:
        size = arguments.megabytes * MB
        write_random(file, size)
        ways = commands(arguments.aws, BIG, file, 0, folder)
        # What the last way of an upload left would decide how a download is verified: ours writes it anew.
        for what in arguments.transfers:
            if what == "download":
                measure(ways["upload"]["ours"])
            results += report(what, size, 1, compare(ways[what], folder, arguments.rounds))
    for count in arguments.objects:
        send_objects(S3Store(BUCKET, f"{TREE}-{count}"), count, arguments.object_bytes)
        ways = commands(arguments.aws, BIG, file, count, folder)["objects"]
        results += report("objects", count * arguments.object_bytes, count, compare(ways, folder, arguments.rounds))
    return results


def report(what: str, size: int, count: int, found: dict[str, list[Transfer]]) -> list[dict[str, Any]]:
    """Print a table of one comparison and return its figures."""
    results = figures(what, size, count, found)
    rows = [(row["way"], f"{row['seconds']:.2f}", f"{size / MB / row['seconds']:.0f}",
             f"{count / row['seconds']:.0f}", f"{row['cpu_ms_per_mb']:.2f}", f"{row['memory_mb']:.0f}",
             f"{row['ratio']:.2f}") for row in results]
    goal = f", goal: {GOALS[what]}" if what in GOALS else ""
    print(f"\n{what}: {count:,} x {size / count / MB:g} MB{goal}; load {os.getloadavg()[0]:.1f}")
    print(reporting.table(("way", "s", "MB/s", "objects/s", "CPU ms/MB", "MB held", "time / ours"), rows), flush=True)
    return results


def linearity(results: Sequence[dict[str, Any]]) -> float | None:
    """Return our seconds an object with the most objects over those with the fewest; None without two counts."""
    ours = sorted((row["objects"], row["seconds"]) for row in results
                  if row["what"] == "objects" and row["way"] == "ours")
    return (ours[-1][1] / ours[-1][0]) / (ours[0][1] / ours[0][0]) if len(ours) > 1 else None


def work(way: str, source: str, target: str) -> None:
    """Do one transfer; run in a process of its own."""
    if way in ("ours-up", "ours-up-known"):
        # Any digest does: nothing is read here.
        S3Store(BUCKET, "").upload(Path(source), target, "0" * 64 if way == "ours-up-known" else "")
    elif way == "ours-down":
        os.environ["MMDET_COMPRESS_CACHE"] = target
        from core.storage.fetch import fetch
        from core.storage.source import resolve_source

        fetch(resolve_source(source))
    else:
        boto3_work(way, source, target)


def boto3_work(way: str, source: str, target: str) -> None:
    """Do one transfer as one does it with boto3: with its settings, comparing nothing with what is stored."""
    import boto3

    client = boto3.client("s3")
    if way == "boto3-up":
        client.upload_file(source, BUCKET, target)
    elif way == "boto3-down":
        client.download_file(BUCKET, source, str(Path(target) / "copy"))
    else:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{source}/")
        keys = [entry["Key"] for page in pages for entry in page["Contents"]]
        for folder in {os.path.dirname(key) for key in keys}:
            os.makedirs(os.path.join(target, folder))

        def get_object(key: str) -> None:
            Path(target, key).write_bytes(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

        def download_file(key: str) -> None:
            client.download_file(BUCKET, key, os.path.join(target, key))

        with ThreadPoolExecutor(BOTO3_THREADS) as pool:
            for _ in pool.map(get_object if way == "boto3-objects" else download_file, keys):
                pass


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", metavar="N", type=int, default=2000, help="size of the big object; 0 skips it")
    parser.add_argument("--transfers", nargs="+", choices=("upload", "download"), default=("upload", "download"),
                        help="what is done with the big object")
    parser.add_argument("--objects", metavar="N", type=int, nargs="*", default=[1000, 10000],
                        help="numbers of small objects")
    parser.add_argument("--object-bytes", metavar="N", type=int, default=30000, help="size of a small object")
    parser.add_argument("--rounds", metavar="N", type=int, default=3, help="turns of each way")
    parser.add_argument("--aws", metavar="PROGRAM", default=shutil.which("aws"),
                        help="AWS command line (pip install awscli in an environment of its own); absent is left out")
    parser.add_argument("--scratch", metavar="FOLDER", default=None, help="where server and copies lie; emptied after")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the figures as JSON")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and return its exit code."""
    arguments = build_parser().parse_args(argv)
    if arguments.work:
        work(*arguments.work)
        return 0
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        server = s3_server.start(Path(folder) / "server", gigabytes=16)
        try:
            os.environ.update(AWS_ENDPOINT_URL_S3=server["endpoint"], AWS_ACCESS_KEY_ID=server["access_key"],
                              AWS_SECRET_ACCESS_KEY=server["secret_key"], AWS_DEFAULT_REGION="us-east-1")
            import boto3

            boto3.client("s3").create_bucket(Bucket=BUCKET)
            results = run(arguments, Path(folder))
        finally:
            s3_server.stop(Path(folder) / "server")
    ratio = linearity(results)
    if ratio is not None:
        print(f"\nours, seconds an object, most objects / fewest: {ratio:.2f} (goal <= 1.10)")
    settings = {name: value for name, value in vars(arguments).items() if name not in ("output", "work", "scratch")}
    reporting.write("storage_transfer", settings, results, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("storage_transfer", main))
