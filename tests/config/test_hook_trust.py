"""What root may run or obey: nothing that others can change, by whatever way it is reached."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from followtheleader.hook_files import why_untrusted, why_untrusted_command

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="files of root need root")


def test_what_an_ordinary_user_owns_is_refused_with_the_cure(tmp_path: Path) -> None:
    script = tmp_path / "on_leader.sh"
    script.write_text("#!/bin/sh\n")
    if os.geteuid() == 0:
        os.chown(script, 12345, 0)
        os.chmod(tmp_path, 0o755)
    assert (why_untrusted(str(script)) or "").count("others than root can change it, run ch") == 1


def test_the_systems_own_programs_are_trusted() -> None:
    assert why_untrusted("/bin/sh") is None
    assert why_untrusted("/usr/bin/../bin/./env") is None


def test_what_does_not_exist_is_not_judged() -> None:
    assert why_untrusted("/usr/nosuch/thing") is None


@ROOT_ONLY
class TestAsRoot:
    """A tree of root's own, and what somebody might do to it."""

    @pytest.fixture
    def tree(self) -> Path:
        # Not below /tmp, which everybody can write.
        place = Path("/var/lib") / f"ftl-trust-{os.getpid()}"
        (place / "etc").mkdir(parents=True)
        script = place / "etc" / "hook"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
        return place

    @pytest.fixture(autouse=True)
    def sweep(self, tree: Path) -> object:
        yield
        for path in sorted(tree.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        tree.rmdir()
        return None

    def test_sound(self, tree: Path) -> None:
        assert why_untrusted(str(tree / "etc" / "hook")) is None

    @pytest.mark.parametrize("below", ["", "etc", "etc/hook"])
    @pytest.mark.parametrize("change", ["owner", "others", "group"])
    def test_each_step_of_the_way_counts(self, tree: Path, below: str, change: str) -> None:
        place = tree / below
        if change == "owner":
            os.chown(place, 12345, 0)
        else:
            os.chown(place, 0, 12345)
            place.chmod(0o777 if change == "others" else 0o775)
        wrong = why_untrusted(str(tree / "etc" / "hook")) or ""
        cure = "chown root:root" if change == "owner" else "chmod go-w"
        assert wrong.startswith(f"{place}: uid ")
        assert wrong.endswith(f"run {cure} {place}")

    def test_roots_own_group_may_write(self, tree: Path) -> None:
        (tree / "etc").chmod(0o775)
        assert why_untrusted(str(tree / "etc" / "hook")) is None

    @pytest.mark.parametrize("below", ["", "etc", "etc/hook"])
    def test_an_access_list_lets_others_in(self, tree: Path, below: str) -> None:
        """`setfacl -m u:12345:rw`: the mode shows it as if root's group might write."""
        give_to(tree / below, 12345, write=True)
        wrong = why_untrusted(str(tree / "etc" / "hook")) or ""
        assert wrong.startswith(f"{tree / below}: its access control list")
        assert "setfacl -b" in wrong

    def test_an_access_list_that_lets_nobody_write(self, tree: Path) -> None:
        give_to(tree / "etc", 12345, write=False)
        assert why_untrusted(str(tree / "etc" / "hook")) is None

    def test_a_link_leads_where_it_leads(self, tree: Path, tmp_path: Path) -> None:
        link = tree / "link"
        link.symlink_to(tree / "etc" / ".." / "etc" / "hook")
        assert why_untrusted(str(link)) is None
        (tree / "etc").chmod(0o777)
        assert (why_untrusted(str(link)) or "").startswith(f"{tree / 'etc'}: ")

    def test_a_link_of_somebody_else(self, tree: Path) -> None:
        link = tree / "link"
        link.symlink_to("etc/hook")
        os.lchown(link, 12345, 0)
        wrong = why_untrusted(str(link)) or ""
        assert wrong.startswith(f"{link}: uid 12345")
        assert wrong.endswith(f"run chown -h root:root {link}")

    def test_links_in_a_ring_end(self, tree: Path) -> None:
        (tree / "a").symlink_to("b")
        (tree / "b").symlink_to("a")
        assert "too many links" in (why_untrusted(str(tree / "a")) or "")

    @pytest.fixture
    def mine(self, tree: Path) -> Path:
        """A user's file, in a place that root alone can change."""
        file = tree / "mine"
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
        os.chown(file, 12345, 12345)
        return file

    @pytest.mark.parametrize(
        "command",
        [
            "{mine}",
            "/bin/sh {mine}",
            "/bin/sh -e -u {mine} argument",
            "/usr/bin/python3 -I {mine}",
            "/usr/bin/nice {mine}",
            "/usr/bin/nice -n 5 /bin/sh {mine}",
            "/usr/bin/env A=b python3 {mine}",
            "/usr/bin/flock /run/lock/x {mine}",
            "/usr/bin/timeout 5 /usr/bin/setsid /bin/sh {mine}",
            "/bin/sh {home}/none",  # it can be put there at any time
        ],
    )
    def test_what_is_given_to_run_is_a_hook_too(self, mine: Path, command: str) -> None:
        home = mine.parent / "home"
        home.mkdir()
        os.chown(home, 12345, 12345)
        wrong = why_untrusted_command(command.format(mine=mine, home=home).split()) or ""
        assert ": uid 12345, " in wrong

    @pytest.mark.parametrize(
        "command",
        [
            "/bin/sh {hook} {mine}",
            "/bin/sh -c {mine}",
            "/bin/cat {mine}",
            "/usr/bin/flock {mine} {hook}",
            "/usr/sbin/runuser -u joe -- {mine}",
            "/usr/bin/env A=b true",
            "{hook} {mine}",
        ],
    )
    def test_data_and_what_runs_without_roots_rights_is_not(
        self, tree: Path, mine: Path, command: str
    ) -> None:
        hook = tree / "etc" / "hook"
        assert why_untrusted_command(command.format(mine=mine, hook=hook).split()) is None

    @pytest.mark.parametrize("line", ["#!{mine}", "#! {mine} -x", "#!/usr/bin/env {mine}"])
    def test_the_first_line_counts(self, tree: Path, mine: Path, line: str) -> None:
        hook = tree / "etc" / "hook"
        hook.write_text(f"{line.format(mine=mine)}\n")
        assert (why_untrusted_command([str(hook)]) or "").startswith(f"{mine}: uid 12345")

    def test_first_lines_in_a_ring_end(self, tree: Path) -> None:
        hook = tree / "etc" / "hook"
        hook.write_text(f"#!{hook}\n")
        assert why_untrusted_command([str(hook)]) is None


def give_to(path: Path, uid: int, *, write: bool) -> None:
    """What `setfacl -m u:UID:rwX` does, which need not be installed."""
    nobody, access = 0xFFFFFFFF, 7 if write else 5
    owner, user, group, mask, others = 1, 2, 4, 16, 32
    entries = [(owner, 7, nobody), (user, access, uid), (group, 5, nobody)]
    entries += [(mask, access, nobody), (others, 5, nobody)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", acl)
    except OSError as error:
        pytest.skip(f"this file system has no access lists: {error.strerror}")
