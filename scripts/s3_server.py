"""Start and stop a real S3 server on this machine for tests: Ceph's RADOS Gateway.

It is one monitor, one BlueStore OSD in a sparse file and one gateway on loopback, over http and https with an authority
of its own, from Debian's packages ceph-mon, ceph-osd and radosgw. Nothing outlives ``stop``.

    python scripts/s3_server.py start FOLDER     prints where it is in JSON
    python scripts/s3_server.py stop FOLDER
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin", "openssl")
PACKAGES = "ceph-mon ceph-osd radosgw openssl"
_DAEMONS = ("rgw", "osd", "mon")
_READY_SECONDS = 120.0
_CONF = """
[global]
fsid = {fsid}
mon host = 127.0.0.1:{mon_port}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc secure
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mon data avail warn = 2
mon data = {folder}/mon
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
log file = {folder}/log/$name.log
[osd]
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block size = {bytes}
bluestore fsck on mount = false
osd memory target = 1073741824
[client.rgw]
rgw data = {folder}/rgw
rgw thread pool size = 32
rgw frontends = beast endpoint=127.0.0.1:{port} ssl_endpoint=127.0.0.1:{tls_port} ssl_certificate={folder}/server.pem \
ssl_private_key={folder}/server.key
"""


def missing_programs() -> list[str]:
    """Return the programs that the server needs and this machine lacks."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def start(folder: Path, gigabytes: int = 8) -> dict[str, str]:
    """Start a new, empty server that keeps everything in ``folder``; return how to reach it.

    Args:
        folder: A folder that does not exist or is empty.
        gigabytes: Room for objects; only what is written takes room on the disk.

    Raises:
        RuntimeError: A program is missing, or the server did not come up.
    """
    missing = missing_programs()
    if missing:
        raise RuntimeError(f"{', '.join(missing)} missing; install the packages {PACKAGES}")
    folder = folder.absolute()
    for name in ("mon", "osd", "rgw", "run", "log"):
        (folder / name).mkdir(parents=True)
    mon_port, port, tls_port = _free_ports(3)
    environment = {**os.environ, "CEPH_CONF": str(folder / "ceph.conf")}
    fsid = str(uuid.uuid4())
    (folder / "ceph.conf").write_text(_CONF.format(
        fsid=fsid, folder=folder, mon_port=mon_port, port=port, tls_port=tls_port, bytes=gigabytes << 30))
    _make_certificates(folder)

    def run(*command: str) -> None:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout.decode(errors='replace')[-2000:]}")

    try:
        _start_daemons(folder, fsid, mon_port, run)
        _wait_until_ready(f"http://127.0.0.1:{port}")
        run("radosgw-admin", "-n", "client.rgw", "user", "create", "--uid=tests", "--display-name=tests",
            "--access-key=testaccess", "--secret-key=testsecret")
    except BaseException:
        stop(folder)
        raise
    facts = {"endpoint": f"http://127.0.0.1:{port}", "tls_endpoint": f"https://127.0.0.1:{tls_port}",
             "ca_bundle": str(folder / "ca.pem"), "access_key": "testaccess", "secret_key": "testsecret"}
    (folder / "server.json").write_text(json.dumps(facts))
    return facts


def stop(folder: Path) -> None:
    """End the server in ``folder`` and wait until its processes are gone."""
    for name in _DAEMONS:
        pid_file = folder.absolute() / "run" / f"{name}.pid"
        if pid_file.is_file():
            _end(int(pid_file.read_text()), str(folder.absolute()))
            pid_file.unlink(missing_ok=True)


def _start_daemons(folder: Path, fsid: str, mon_port: int, run: Callable[..., None]) -> None:
    def daemon(program: str, name: str, identity: str) -> None:
        pid_file = folder / "run" / f"{name}.pid"
        run(program, "-n" if program == "radosgw" else "-i", identity, "--pid-file", str(pid_file))

    run("monmaptool", "--create", "--fsid", fsid, "--add", "a", f"127.0.0.1:{mon_port}", str(folder / "monmap"))
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(folder / "monmap"))
    daemon("ceph-mon", "mon", "a")
    osd = str(uuid.uuid4())
    run("ceph", "osd", "new", osd)
    run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
    run("ceph", "osd", "crush", "add", "osd.0", "1", "host=here", "root=default")
    daemon("ceph-osd", "osd", "0")
    daemon("radosgw", "rgw", "client.rgw")


def _make_certificates(folder: Path) -> None:
    """Make an authority and a certificate for 127.0.0.1 that it signed."""
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=str(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=True)

    (folder / "san").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=test authority",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", "server.key",
            "-out", "server.csr")
    openssl("x509", "-req", "-days", "30", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-extfile", "san", "-out", "server.pem")


def _wait_until_ready(endpoint: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with closing(urlopen(endpoint, timeout=5)):
                return
        except HTTPError:
            return
        except (URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{endpoint} did not answer within {_READY_SECONDS:.0f} s ({error})") from error
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def _end(pid: int, folder: str) -> None:
    """End one of the server's processes; a number that meanwhile belongs to another program is left alone."""
    def ours() -> bool:
        try:
            return folder.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        if ours():
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while ours() and time.monotonic() < deadline:
            time.sleep(0.05)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="s3_server", description="A real S3 server on this machine, for tests.")
    parser.add_argument("action", choices=("start", "stop"))
    parser.add_argument("folder", type=Path, help="where it keeps everything")
    arguments = parser.parse_args(argv)
    if arguments.action == "stop":
        stop(arguments.folder)
        return 0
    try:
        print(json.dumps(start(arguments.folder), indent=2))
    except RuntimeError as error:
        print(f"s3_server: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
