"""Root file systems to boot: one per release, made once; our package installed once on top.

Promise: what lies under its name in ``$XDG_CACHE_HOME/ftl-lab`` is whole, and was made with the
command line (or the package) that its name or the file beside it says; anything else is made
anew. Nobody writes to it afterwards: every machine has a layer of its own above (`machines.py`).
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.net import run

HOUSE = Path(__file__).parents[2]
INCLUDE = "systemd,systemd-sysv,python3,python3-yaml,python3-zeroconf,python3-sdnotify,iproute2"

# Debian does not ship the keys of Ubuntu's archive.
UNSIGNED = (
    '--aptopt=Acquire::AllowInsecureRepositories "true"',
    '--aptopt=APT::Get::AllowUnauthenticated "true"',
)
RELEASES: dict[str, tuple[str, ...]] = {
    "bookworm": (),
    "trixie": (),
    "noble": ("--include=apt", "--components=main,universe", *UNSIGNED),
}
"""The releases that the package promises to run on, and how each is asked for."""

PACKAGES = {"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap distro-info-data"}
TO_BUILD = {
    "dpkg-buildpackage": "dpkg-dev debhelper",
    "dh_python3": "dh-python pybuild-plugin-pyproject python3-all python3-setuptools",
}
SOURCES = ("agent", "systemd", "packaging", "etc", "pyproject.toml")

# Above the release: /etc knows the user, /usr/lib has the modules compiled, nothing runs.
INSTALL = """
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/merged"
mount -t proc proc "$2/merged/proc"
cp "$3" "$2/merged/package.deb"
chroot "$2/merged" dpkg --install /package.deb
rm "$2/merged/package.deb"
"""


def missing_for_machines() -> str:
    """Why no machine can be booted here, with the cure; an empty string if it can."""
    needed = PACKAGES | ({} if os.environ.get("FTL_LAB_DEB") else TO_BUILD)
    packages = [package for command, package in needed.items() if not shutil.which(command)]
    return f"apt-get install {' '.join(packages)}" if packages else ""


def bare(release: str) -> list[Path]:
    """The layers of a host of that release with nothing of ours, the upper first."""
    return [_release(release)]


def installed(release: str, package: Path) -> list[Path]:
    """The layers of a host of that release on which that .deb is installed, the upper first."""
    below = _release(release)
    made_of = f"{_command(release, '')}\n".encode() + package.read_bytes()
    name = f"{release}+{hashlib.sha256(made_of).hexdigest()[:16]}"
    with _locked(name):
        if not (_cache() / name).exists():
            _remove_older(release, name)
            _install(below, package, _cache() / name)
    return [_cache() / name, below]


@functools.cache
def package() -> Path:
    """The .deb under test: FTL_LAB_DEB, else what `make deb` makes of the tree as it is."""
    given = os.environ.get("FTL_LAB_DEB")
    if given:
        return Path(given).resolve(strict=True)
    found = sorted(HOUSE.glob("dist/ftl-agent_*_all.deb"))
    if not found or found[-1].stat().st_mtime < _last_change():
        subprocess.run([HOUSE / "packaging/build-deb"], check=True, timeout=300)
        found = sorted(HOUSE.glob("dist/ftl-agent_*_all.deb"))
    return found[-1]


def repackaged(package: Path, version: str, place: Path) -> Path:
    """The same package, called a newer version, in that directory."""
    tree, made = place / f"tree-{version}", place / f"ftl-agent_{version}_all.deb"
    run("dpkg-deb", "--raw-extract", str(package), str(tree))
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    run("dpkg-deb", "--root-owner-group", "--build", str(tree), str(made))
    shutil.rmtree(tree)
    return made


# -- below


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftl-lab"
    home.mkdir(parents=True, exist_ok=True)
    return home


def _command(release: str, target: str) -> list[str]:
    options = ["--variant=minbase", f"--include={INCLUDE}", *RELEASES[release]]
    return ["mmdebstrap", *options, release, target]


def _last_change() -> float:
    """When a file that goes into the package was changed last."""
    trees = [path for name in SOURCES for path in [HOUSE / name, *(HOUSE / name).rglob("*")]]
    files = (path for path in trees if path.is_file() and "__pycache__" not in path.parts)
    return max(path.stat().st_mtime for path in files if ".egg-info" not in str(path))


def _release(release: str) -> Path:
    root, made_by = _cache() / release, _cache() / f"{release}.made-by"
    command = " ".join(_command(release, "ROOT")) + "\n"
    with _locked(release):
        if not root.exists() or not made_by.exists() or made_by.read_text() != command:
            made_by.unlink(missing_ok=True)
            shutil.rmtree(root, ignore_errors=True)
            with _workshop() as place:
                fresh = place / "root"
                done = subprocess.run(
                    _command(release, str(fresh)), capture_output=True, text=True, timeout=600
                )
                if done.returncode != 0:
                    raise RuntimeError(f"mmdebstrap {release}: {done.stderr[-2000:]}")
                fresh.rename(root)
            made_by.write_text(command)
    return root


def _install(below: Path, package: Path, layer: Path) -> None:
    with _workshop() as place:
        for name in ("upper", "work", "merged"):
            (place / name).mkdir()
        words = (str(below), str(place), str(package))
        run("unshare", "--mount", "sh", "-euc", INSTALL, "sh", *words)
        (place / "upper").rename(layer)


def _remove_older(release: str, name: str) -> None:
    """Each build of the package leaves a layer; a running machine may still use the last ones."""
    layers = sorted(_cache().glob(f"{release}+*"), key=lambda path: path.stat().st_mtime)
    for layer in layers[:-4]:
        if layer.name != name:
            shutil.rmtree(layer, ignore_errors=True)


@contextmanager
def _workshop() -> Iterator[Path]:
    """A place on the cache's own file system, so that what is done can be renamed."""
    place = Path(tempfile.mkdtemp(prefix="making-", dir=_cache()))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One maker at a time."""
    locks = _cache() / "locks"
    locks.mkdir(exist_ok=True)
    with (locks / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
