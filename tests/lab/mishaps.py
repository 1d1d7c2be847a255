"""What can befall the leader of booted machines: one list, for the stories and for the bench.

A mishap strikes one election's leader (`strikes_agent`), or the machine that leads them all
(`strikes_machine`). It returns the instant before; what brings the host back is `mend`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.cluster import Cluster
from lab.machines import Machine
from lab.members import Member


@dataclass(frozen=True, slots=True)
class Mishap:
    """``strike`` and ``mend`` are given the cluster and the leader.

    moves      another host leads afterwards; None: either may
    ends       the job ends in an open group too (else it leads on in its part of the network)
    ends_first and before the next one starts
    whole      it befalls the machine, and so every election at once
    """

    name: str
    what: str
    strike: Callable[[Cluster, Member], int]
    mend: Callable[[Cluster, Member], object] = lambda _cluster, _member: None
    moves: bool | None = True
    ends: bool = True
    ends_first: bool = True
    whole: bool = False

    def __str__(self) -> str:
        return self.name


def _agent(act: Callable[[Member], int]) -> Callable[[Cluster, Member], int]:
    return lambda _cluster, member: act(member)


def _machine(act: Callable[[Cluster, Machine], object]) -> Callable[[Cluster, Member], int]:
    def strike(cluster: Cluster, member: Member) -> int:
        at = act(cluster, member.machine)
        assert isinstance(at, int)
        return at

    return strike


def _power_on(cluster: Cluster, member: Member) -> None:
    cluster.power_on([member.machine])


def _all_lose_power(cluster: Cluster, _member: Member) -> int:
    at = cluster.pull_the_plug(*cluster.machines)
    cluster.power_on(cluster.machines)
    return at


def _stop_a_stubborn_job(_cluster: Cluster, member: Member) -> int:
    """The unit has five seconds to end by itself; systemd kills it then."""
    member.install_job("stubborn", "5s")
    member.machine.run("systemctl", "restart", member.job)
    member.wait_job()
    return member.stop()


def _freeze_with_a_stubborn_job(_cluster: Cluster, member: Member) -> int:
    """The lease runs out: the guardian gives it `stop_timeout`, and kills it."""
    member.install_job("stubborn", "60s")
    member.machine.run("systemctl", "restart", member.job)
    member.wait_job()
    return member.freeze()


def _mend_the_job(act: Callable[[Member], int]) -> Callable[[Cluster, Member], object]:
    def mend(_cluster: Cluster, member: Member) -> None:
        member.install_job()
        act(member)

    return mend


MISHAPS = [
    Mishap("crash", "agent killed", _agent(Member.kill_agent)),
    Mishap("crash-guardian", "guardian killed", _agent(Member.kill_guardian), moves=None),
    Mishap("crash-both", "agent and guardian killed", _agent(Member.kill_both)),
    Mishap("out-of-memory", "agent meets its memory limit", _agent(Member.starve)),
    Mishap(
        *("freeze", "agent frozen (SIGSTOP)", _agent(Member.freeze)),
        mend=_agent(Member.thaw),
        ends_first=False,
    ),
    Mishap("stop", "systemctl stop", _agent(Member.stop), mend=_agent(Member.start)),
    Mishap("restart", "systemctl restart", _agent(Member.restart)),
    Mishap("reload", "systemctl reload", _agent(Member.reload), moves=False),
    Mishap(
        *("stubborn-stop", "systemctl stop, the job ignores SIGTERM", _stop_a_stubborn_job),
        mend=_mend_the_job(Member.start),
    ),
    Mishap(
        *("stubborn-freeze", "agent frozen, the job ignores SIGTERM", _freeze_with_a_stubborn_job),
        mend=_mend_the_job(Member.thaw),
        ends_first=False,
    ),
    Mishap("shutdown", "clean power-off", _machine(Cluster.shut_down), _power_on, whole=True),
    Mishap(
        *("power-off", "plug pulled", _machine(Cluster.pull_the_plug), _power_on),
        whole=True,
    ),
    Mishap(
        *("power-on-all", "all plugs pulled, power back on all at once", _all_lose_power),
        moves=None,
        whole=True,
    ),
    Mishap(
        *("cut", "leader's port cut, carrier kept", _machine(Cluster.cut)),
        mend=lambda cluster, _member: cluster.heal(),
        ends=False,
        whole=True,
    ),
]
BY_NAME = {mishap.name: mishap for mishap in MISHAPS}
