"""``fence``: what runs, what does not, and what the file of tokens holds afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from cli.command import COMMAND, SECONDS, Result, clean_environment, ftl_agent
from cli.share import HEEDING, LARGEST, RAN, Share
from cli.stand_in import StandIn, listen


@pytest.fixture(name="share")
def fixture_share(place: str) -> Share:
    return Share(place)


# -- who may


def test_the_first_makes_the_file_and_the_command_knows_its_token(share: Share) -> None:
    assert share("sh", "-c", "echo $FTL_TOKEN", token=7) == (0, "7\n", "")
    assert share.newest == 7
    assert share.file.stat().st_mode & 0o777 == 0o600, "who can read it can lock it"
    assert share.file.read_bytes() == b"7".ljust(20) + b"\n"
    share.wait_given_back()
    assert [path.name for path in share.directory.iterdir()] == ["token"]


@pytest.mark.parametrize("held", ["", "6\n", "7\n", "0007\n", "7        \n"])
def test_who_is_not_older_runs_and_is_the_newest(share: Share, held: str) -> None:
    share.file.write_text(held)
    assert share(*RAN, token=7) == (0, "ran\n", "")
    assert share.newest == 7


def test_who_is_older_is_refused(share: Share) -> None:
    assert share(*RAN, token=7).code == 0
    inode = share.file.stat().st_ino
    result = share(*RAN, token=6)
    assert (result.code, result.out) == (1, "")
    told = f"refused: this node's token 6 is older than 7, the newest in {share.file}"
    assert result.err.startswith(f"ftl-agent fence: {told}: another node has led since")
    assert result.err.endswith("nothing was run\n")
    assert (share.newest, share.file.stat().st_ino) == (7, inode)


def test_tokens_of_64_bits_are_compared_as_numbers(share: Share) -> None:
    for token in (9, 10, 2**53 + 1, LARGEST - 1, LARGEST):
        assert share(*RAN, token=token).code == 0
        assert share.newest == token
        assert share(*RAN, token=token - 1).code == 1
    assert share.file.read_text() == f"{LARGEST}\n"


@pytest.mark.parametrize(
    "text", ["0", "-1", "+7", " 7", "7.0", "1e3", "0x7", "1_0", "seven", "٧", "²", "9" * 5000]
)
def test_a_token_is_a_number(share: Share, text: str) -> None:
    for result in (
        share(*RAN, token=text),
        ftl_agent("fence", f"--token-file={share.file}", "--", *RAN, env={"FTL_TOKEN": text}),
    ):
        assert (result.code, result.out) == (2, "")
        assert f"is not a token, which is a whole number from 1 to {LARGEST}" in result.err
    assert "$FTL_TOKEN: " in result.err
    assert share(*RAN, token=LARGEST + 1).code == 2
    assert not share.file.exists()


# -- where the token comes from


def ask(share: Share, *words: str, **env: str) -> Result:
    return run(share, words, env, RAN)


def run(
    share: Share, words: tuple[str, ...], env: dict[str, str], command: tuple[str, ...]
) -> Result:
    """Run the command by a fence with those words, which knows where an agent would be."""
    where = ("--token-file", str(share.file), "--runtime-dir", str(share.directory))
    return ftl_agent("fence", *where, *words, "--", *command, env=env)


def test_the_token_is_the_one_named_else_the_hooks_else_the_agents(share: Share) -> None:
    status = {"instance": "svc", "role": "leader", "token": 3}
    with StandIn(str(share.directory), status=status) as agent:
        for words, env, newest in (
            ((), {}, 3),
            (("svc",), {"FTL_TOKEN": "4"}, 4),
            ((), {"FTL_TOKEN": "5", "FTL_INSTANCE": "other"}, 5),
            (("svc",), {"FTL_TOKEN": "6", "FTL_INSTANCE": "svc"}, 6),
            (("svc", "--token=7"), {"FTL_TOKEN": "6"}, 7),
        ):
            assert ask(share, *words, **env) == (0, "ran\n", "")
            assert share.newest == newest
        status["token"] = 8  # A hook of another instance has no token of this one's.
        assert ask(share, "svc", FTL_TOKEN="9", FTL_INSTANCE="other").code == 0
        assert share.newest == 8
    assert len(agent.requests) == 4  # each time once more under the lock


def test_the_command_is_told_whose_its_token_is(share: Share) -> None:
    """Or a fence in it would take it for another instance's."""
    told = ("sh", "-c", "echo $FTL_TOKEN ${FTL_INSTANCE-none}")
    of_other = {"FTL_TOKEN": "9", "FTL_INSTANCE": "other"}
    with StandIn(str(share.directory), status={"instance": "svc", "role": "leader", "token": 3}):
        for words, env, out in (
            ((), {}, "3 svc"),
            (("svc",), of_other, "3 svc"),
            (("svc",), {"FTL_TOKEN": "4", "FTL_INSTANCE": ""}, "4 svc"),
            (("svc", "--token=5"), of_other, "5 svc"),
            (("--token=6",), {}, "6 none"),
            ((), of_other, "9 other"),
        ):
            assert run(share, words, env, told) == (0, f"{out}\n", "")


@pytest.mark.parametrize(
    ("later", "code", "out"),
    [
        ({"role": "follower", "token": None}, 1, ""),
        ({"role": "leader", "token": 8}, 0, "8\n"),
        ({"error": "it is shutting down"}, 3, ""),
    ],
    ids=["follower", "leader", "no-answer"],
)
def test_the_agent_is_asked_again_once_the_file_is_locked(
    share: Share, later: dict[str, object], code: int, out: str
) -> None:
    """What it said before the wait may be true no more."""
    status: dict[str, object] = {"instance": "svc", "role": "leader", "token": 7}
    with StandIn(str(share.directory), status=status) as agent, share.busy(6) as running:
        where = ("--token-file", str(share.file), "--runtime-dir", str(share.directory))
        waiting = share.open("fence", *where, "--", "sh", "-c", "echo $FTL_TOKEN")
        agent.wait_asked(1)
        share.wait_open(waiting.pid)
        agent.status = {"instance": "svc", **later}
        running.end()
        assert waiting.communicate(timeout=SECONDS)[0] == out
    assert waiting.returncode == code
    assert share.newest == (8 if code == 0 else 6)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"role": "follower", "token": None}, "this host does not lead svc, it is follower"),
        ({"role": "candidate", "token": 7}, "this host does not lead svc, it is candidate"),
        ({"role": "leader", "token": None}, "leads svc, but has no token yet (None); try again"),
        ({"role": "leader", "token": 0}, "leads svc, but has no token yet (0); try again"),
        ({"role": "leader", "token": True}, "leads svc, but has no token yet (True)"),
    ],
)
def test_an_agent_without_a_token_is_a_no(share: Share, status: object, says: str) -> None:
    assert isinstance(status, dict)
    with StandIn(str(share.directory), status={"instance": "svc", **status}):
        result = ask(share)
    assert (result.code, result.out) == (1, "")
    assert says in result.err
    assert not share.file.exists()


def test_a_hook_of_a_node_that_does_not_lead_is_refused(share: Share) -> None:
    with StandIn(str(share.directory), status={"role": "leader", "token": 3}):
        result = ask(share, FTL_TOKEN="")
    assert (result.code, result.out) == (1, "")
    assert "$FTL_TOKEN is empty" in result.err


def test_no_agent_is_no_answer(share: Share) -> None:
    result = ask(share)
    assert (result.code, result.out) == (3, "")
    assert "no agent answers" in result.err
    with listen(str(share.directory)):
        assert "the agent hangs" in ask(share).err
    assert not share.file.exists()


def test_an_agent_that_does_not_say_its_role_is_no_answer(share: Share) -> None:
    with StandIn(str(share.directory), status={"error": "too many clients"}):
        assert ask(share).code == 3


# -- the command


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", -9), ("kill -TERM $$", -15)],
)
def test_the_exit_code_is_the_commands(share: Share, script: str, code: int) -> None:
    assert share("sh", "-c", script, token=7) == (code, "", "")


def test_what_cannot_be_executed_is_told_as_sh_does(share: Share) -> None:
    plain, script = share.directory / "plain", share.directory / "script"
    plain.write_text("echo ran\n")
    script.write_text("echo ran\n")
    script.chmod(0o755)
    for command, code, says in (
        ("no-such-command", 127, "'no-such-command': No such file or directory; name an"),
        (f"{plain}/x", 127, "Not a directory"),
        (str(plain), 126, "Permission denied; name an executable file"),
        (str(script), 126, "Exec format error; a script begins with a line like #!/bin/sh"),
        (str(share.directory), 126, "Permission denied"),
    ):
        result = share(command, token=7)
        assert (result.code, result.out) == (code, "")
        assert says in result.err
    share.wait_given_back()


def test_the_file_keeps_the_token_of_what_could_not_be_executed(share: Share) -> None:
    assert share("no-such-command", token=7).code == 127
    assert share.file.read_text().split() == ["7"]
    assert share(*RAN, token=6).code == 1
    said = " ".join(ftl_agent("fence", "--help").out.split())
    assert "known only when the token is on the disk, so FILE keeps it" in said


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
def test_signals_reach_the_command(share: Share, name: str) -> None:
    with share.busy(7, f'trap "echo got; exit 5" {name}') as running:
        running.fence.send_signal(getattr(signal, f"SIG{name}"))
        assert running.result() == (5, "got\n", "")


def test_the_command_finds_signals_as_fence_found_them(share: Share) -> None:
    """Nothing is blocked or ignored that was not: yes | head would never end."""
    argv = [*COMMAND, *share.words(7), "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
    nohup = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *argv]
    assert masks([*HEEDING, *argv]) == [0, 0]
    assert masks([*HEEDING, *nohup]) == [0, 1]


def masks(argv: list[str]) -> list[int]:
    """The signals in each line, without those that glibc keeps for itself."""
    done = subprocess.run(argv, capture_output=True, text=True, env=clean_environment())
    return [int(line.split()[1], 16) & (1 << 31) - 1 for line in done.stdout.splitlines()]


def test_a_parent_that_ignores_its_children_loses_no_exit_code(share: Share) -> None:
    ignoring = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    ignoring += "os.execv(sys.argv[1], sys.argv[1:])"
    argv = [*COMMAND, *share.words(7), "sh", "-c", "exit 3"]
    done = subprocess.run([sys.executable, "-c", ignoring, *argv], env=clean_environment())
    assert done.returncode == 3


# -- how it is called


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--token-file", "t", "--token", "7"], "no COMMAND; write -- and behind it what to run"),
        (["--token-file", "t", "--token", "7", "--"], "no COMMAND"),
        (["--token-file", "t", "svc", "sh", "-c", "true"], "no such option: -c"),
        (["--token-file", "t", "svc", "true", "false"], "no COMMAND"),
        (["--token-file", "t", "--token", "7", "--", "", "x"], "COMMAND is an empty word; is the"),
        (["--token", "7", "--", "true"], "name the file that all nodes share: --token-file FILE"),
        (["--token-file", "--", "true"], "--token-file needs a value"),
        (["--token-file", "t", "--token", "", "--", "true"], "--token needs a value"),
        (["--token-file", "t", "a", "b", "--", "true"], "'b' is one word too many"),
        (["--token-file", "t", "../b", "--", "true"], "is not the name of an instance"),
        (["--token-file", "t", "--wait", "3", "--", "true"], "--wait: 3 has no unit"),
        (["--token-fiel", "t", "--", "true"], "did you mean --token-file?"),
    ],
)
def test_wrong_usage_runs_nothing(words: list[str], says: str, place: str) -> None:
    result = ftl_agent("fence", *words, cwd=place)
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert "Traceback" not in result.err
    assert os.listdir(place) == []


def test_the_words_behind_the_dashes_are_the_commands(share: Share) -> None:
    assert share("echo", "--help", "--", "-x", token=7) == (0, "--help -- -x\n", "")


def test_it_imports_little(share: Share) -> None:
    dear = {"asyncio", "yaml", "zeroconf", "subprocess", "argparse", "logging", "socket"}
    program = "import sys; from followtheleader.cli.main import main; sys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-X", "importtime", "-c", program, *share.words(7), "true"]
    done = subprocess.run(argv, capture_output=True, text=True, env=clean_environment())
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "followtheleader.cli.fence" in modules
    assert not dear & modules
