# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On a host of the fleet: make a site, which is a library with its pictures and a service that has it open, and look at it.

    sites.py make SITE --pictures=FOLDER --owner=USER --manager=systemd|docker|pm2 --service=NAME --port=PORT
    sites.py disk SITE SIZE         gives the library a disk of its own, if it has none yet
    sites.py remount SITE ro|rw     makes that disk read-only, or writable again
    sites.py unwritten SITE        fails where anything was written since, or the service was restarted
    sites.py look SITE             what is there, as JSON
    sites.py wait-hashed SITE N    waits until the journal holds N images
    sites.py freeze|thaw SITE       stops the process that holds the library's lock, or lets it go on
    sites.py wait-stopped SITE     waits until the service no longer answers

Needs nothing but Python's standard library. Shares no code with the collection.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import pwd
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, "/srv/fleet")
import check_library  # pylint: disable=wrong-import-position

PATIENCE = 180
FLEET = Path("/srv/fleet")
OUR_TIMES = {"migration_timestamp", "processing_time_seconds", "average_time_per_image", "p95_time_per_image"}
UNIT = """[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/python3 {program} {site} {port}
User={owner}
PrivateTmp=yes
[Install]
WantedBy=multi-user.target
"""


def run(*command: str, fails: bool = False, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run(command, check=not fails, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, **options)


def wait(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"waited {PATIENCE} s for {what}")
        time.sleep(0.02)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def settings(site: Path) -> dict:
    return json.loads((site / "site.json").read_text(encoding="utf-8"))


def health(site: Path) -> dict | None:
    """What the service says of itself; None where nothing answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{settings(site)['port']}/health", timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)
    except OSError:
        return None


def listing(site: Path) -> dict[str, list]:
    """Each file and folder of the site with its mode, size and times. The times of folders tell of a file that was there for a moment."""
    found = {}
    for path in [site, site / "library", *sorted((site / "library").rglob("*"))]:
        status = path.lstat()
        found[str(path)] = [status.st_mode, status.st_size if stat.S_ISREG(status.st_mode) else 0, status.st_mtime_ns, status.st_ctime_ns]
    return found


# Each manager starts the same program on the same library.

def start_systemd(site: Path, service: str, port: int, owner: str) -> None:
    unit = UNIT.format(program=FLEET / "service.py", site=site, port=port, owner=owner)
    Path("/etc/systemd/system", service).write_text(unit, encoding="utf-8")
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", service)


def start_docker(site: Path, service: str, port: int, _owner: str) -> None:
    """An image of links alone: what they lead to is this host's own /usr, from which Python runs."""
    run("systemctl", "start", "docker.service")
    image = io.BytesIO()
    with tarfile.open(fileobj=image, mode="w") as tar:
        for name in ("bin", "lib", "lib64"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
    subprocess.run(["docker", "import", "-", "mobius-service"], input=image.getvalue(), check=True, stdout=subprocess.DEVNULL)
    run("docker", "run", "--detach", "--name", service, "--network", "host", "--volume", "/usr:/usr:ro", "--volume", f"{FLEET}:{FLEET}:ro",
        "--volume", f"{site}:{site}", "mobius-service", "/usr/bin/python3", str(FLEET / "service.py"), str(site), str(port))


def start_pm2(site: Path, service: str, port: int, _owner: str) -> None:
    run("pm2", "start", str(FLEET / "service.py"), "--name", service, "--interpreter", "/usr/bin/python3", "--", str(site), str(port))


STOP = {"systemd": ("systemctl", "stop"), "docker": ("docker", "rm", "--force"), "pm2": ("pm2", "delete")}


def disk(site: Path, size: str) -> None:
    library = site / "library"
    library.mkdir(parents=True, exist_ok=True)
    if not library.is_mount():
        run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(library))


def make(site: Path, pictures: str, owner: str, manager: str, service: str, port: int) -> None:
    if (site / "site.json").exists():
        run(*STOP[manager], service, fails=True)
    library = site / "library"
    library.mkdir(parents=True, exist_ok=True)  # it may be a mount
    for old in [*site.iterdir(), *library.iterdir()]:
        if old != library:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    source = FLEET / pictures
    shutil.copytree(source, library, dirs_exist_ok=True)
    drawn_at = json.loads((source / "drawn_at.json").read_text(encoding="utf-8"))
    text = (library / "library.json").read_bytes().replace(drawn_at.encode(), str(library).encode())
    (library / "library.json").write_bytes(text)
    shutil.move(library / "truth.json", site)
    (library / "drawn_at.json").unlink()
    (site / "before.json").write_bytes(text)
    (site / "edited.json").write_bytes(text.replace(b'"locale": "fr"', b'"locale": "pt"'))  # as service.py does it
    (site / "starts.log").touch()
    user = pwd.getpwnam(owner)
    for path in [site, *site.rglob("*")]:
        os.chown(path, user.pw_uid, user.pw_gid)
    (site / "site.json").write_text(json.dumps({"port": port}), encoding="utf-8")
    {"systemd": start_systemd, "docker": start_docker, "pm2": start_pm2}[manager](site, service, port, owner)
    wait(lambda: (health(site) or {}).get("status") == "ok", "the service to be well")
    (site / "listing.json").write_text("{}", encoding="utf-8")
    (site / "listing.json").write_text(json.dumps(listing(site)), encoding="utf-8")


def unwritten(site: Path) -> None:
    before = json.loads((site / "listing.json").read_text(encoding="utf-8"))
    after = listing(site)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    starts = (site / "starts.log").read_text(encoding="utf-8").count("\n")
    if changed or starts != 1 or (site / "state").exists():
        sys.exit(f"written: {changed}; starts of the service: {starts}; state folder: {(site / 'state').exists()}")


def same_everywhere(library: dict) -> str:
    """The digest of what two runs over the same pictures share, whenever and however often interrupted."""
    for name in OUR_TIMES:
        library.get("dhash_migration", {}).pop(name, None)
    for image in library["images"]:
        image.pop("dhash_generated_at", None)
    return hashlib.sha256(json.dumps(library).encode()).hexdigest()


def look(site: Path) -> dict:
    live = site / "library" / "library.json"
    folder = live.parent
    library = check_library.read(live)
    truth = check_library.read(site / "truth.json")
    migrated = "dhash_migration" in library
    records = list((site / "state").glob("*/run.json")) if (site / "state").exists() else []
    return {
        "sha256": digest(live), "original": digest(site / "before.json"), "content": same_everywhere(library),
        "migrated": migrated, "hashed": sum("dhash" in image for image in library["images"]),
        "problems": check_library.problems(live, site / "before.json", truth) if migrated else ["not migrated"],
        "foreign_unchanged": check_library.foreign(live) == check_library.foreign(site / "before.json"),
        "edited": digest(site / "edited.json"),
        "owners": sorted({path.owner() for place in (folder, site / "state") for path in [place, *place.rglob("*")] if path.exists()}),
        "backups": [digest(backup) for backup in sorted(folder.glob("library.json.bak.*Z"))],
        "vouched": all(run("sha256sum", "--check", "--strict", file.name, fails=True, cwd=folder).returncode == 0
                       for file in folder.glob("library.json.bak.*.sha256")),
        "left": sorted(path.name for pattern in ("library.dhash.json", "*.pre-dhash", "*.tmp", "*.tmp.*", ".*.tmp*")
                       for path in folder.glob(pattern)),
        "starts": (site / "starts.log").read_text(encoding="utf-8").split(),
        "restart_owed": any(json.loads(record.read_text(encoding="utf-8")).get("restart_owed") for record in records),
        "state": (site / "state").exists(),
        "health": health(site) or {"status": "silent", "sha256": None, "hashed": 0},
        "versions": library.get("dhash_migration", {}).get("versions", {}),
    }


def hashed(site: Path) -> int:
    """How many images the journal holds."""
    for journal in (site / "state").glob("*/journal.sqlite"):
        connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
        try:
            return connection.execute("SELECT count(*) FROM images").fetchone()[0]
        except sqlite3.Error:
            return 0
        finally:
            connection.close()
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["disk", "remount", "make", "unwritten", "look", "wait-hashed", "wait-stopped", "freeze", "thaw"])
    parser.add_argument("site", type=Path)
    parser.add_argument("detail", nargs="?")
    for option in ("--pictures", "--owner", "--manager", "--service"):
        parser.add_argument(option)
    parser.add_argument("--port", type=int, default=5001)
    args = parser.parse_args()
    if args.action == "make":
        make(args.site, args.pictures, args.owner, args.manager, args.service, args.port)
    elif args.action == "unwritten":
        unwritten(args.site)
    elif args.action == "look":
        print(json.dumps(look(args.site)))
    elif args.action == "wait-hashed":
        wait(lambda: hashed(args.site) >= int(args.detail), f"{args.detail} images in the journal")
    elif args.action == "disk":
        disk(args.site, args.detail)
    elif args.action == "remount":
        run("mount", "-o", f"remount,{args.detail}", str(args.site / "library"))
    elif args.action in ("freeze", "thaw"):
        holder = json.loads((args.site / "library" / "library.json.lock").read_text(encoding="utf-8"))
        os.kill(holder["process"], signal.SIGSTOP if args.action == "freeze" else signal.SIGCONT)
    else:
        wait(lambda: health(args.site) is None, "the service to stop")


if __name__ == "__main__":
    main()
