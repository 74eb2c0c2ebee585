# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who measures with whom at the same time: rounds in which no port is used twice. On the controller."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

CROSS = ("none", "sample", "all")


@dataclass(frozen=True)
class Link:
    """A way between two ports: hosts a and b, each with its rail."""

    a: str
    rail_a: int
    b: str
    rail_b: int

    @property
    def ports(self) -> frozenset[tuple[str, int]]:
        """The ports that it occupies."""
        return frozenset(((self.a, self.rail_a), (self.b, self.rail_b)))


Round = list[Link]


def tournament(hosts: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Return rounds of pairs in which every pair of hosts meets once, by the circle method: n - 1 rounds, n where n is odd."""
    ring: list[str | None] = [*hosts, *([None] if len(hosts) % 2 else [])]
    rounds = []
    for _turn in range(len(ring) - 1):
        half = len(ring) // 2
        pairs = zip(ring[:half], reversed(ring[half:]))
        rounds.append([(a, b) for a, b in pairs if a is not None and b is not None])
        ring = [ring[0], ring[-1], *ring[1:-1]]
    return rounds


def same_rail(rails: Sequence[Collection[str]], hosts: Sequence[str]) -> list[Round]:
    """Return rounds of every pair of hosts on every rail that both are on.

    :param rails: hosts of each rail.
    """
    found = [
        [Link(a, rail, b, rail) for a, b in pairs for rail, members in enumerate(rails) if a in members and b in members]
        for pairs in tournament(hosts)
    ]
    return [links for links in found if links]


def _crossings(a: str, b: str, rails: Sequence[Collection[str]], distance: int) -> list[Link]:
    """Return the ways of two hosts between rails that are so far apart."""
    count = len(rails)
    ends = ((rail, (rail + distance) % count) for rail in range(count))
    return [Link(a, rail, b, other) for rail, other in ends if a in rails[rail] and b in rails[other]]


def _fit(groups: Iterable[Sequence[Link]]) -> list[Round]:
    """Return rounds with one way of each group, without a port twice in a round."""
    rounds: list[Round] = []
    for group in groups:
        for links in rounds:
            used = {port for link in links for port in link.ports}
            free = next((link for link in group if not link.ports & used), None)
            if free:
                links.append(free)
                break
        else:
            rounds.append([group[0]])
    return rounds


def cross_rail(rails: Sequence[Collection[str]], hosts: Sequence[str], mode: str) -> list[Round]:
    """Return rounds of ways between rails.

    :param mode: V(none), V(sample): every pair of hosts tries each distance between rails once, V(all): every way.
    """
    rounds: list[Round] = []
    if mode == "none":
        return rounds
    for pairs in tournament(hosts):
        # Hosts of different pairs share no port: what is found for each pair goes side by side.
        found = []
        for a, b in pairs:
            groups = [ways for distance in range(1, len(rails)) if (ways := _crossings(a, b, rails, distance))]
            # Each distance begins with another rail, so that most fit into one round.
            turned = [[*ways[turn % len(ways):], *ways[: turn % len(ways)]] for turn, ways in enumerate(groups)]
            found.append(groups if mode == "all" else _fit(turned))
        most = max(map(len, found), default=0)
        rounds += [[link for own in found if index < len(own) for link in own[index]] for index in range(most)]
    return rounds


def loopback(rails: Sequence[Collection[str]], hosts: Sequence[str]) -> list[Round]:
    """Return one round in which every port talks to itself: all that one host alone can show."""
    links = [Link(host, rail, host, rail) for rail, members in enumerate(rails) for host in hosts if host in members]
    return [links] if links else []


def at_once(rounds: Iterable[Round], most: int) -> list[Round]:
    """Return rounds in which no host uses more ports at the same time than so many; 0 sets no limit."""
    if not most:
        return list(rounds)
    found: list[Round] = []
    for links in rounds:
        parts: list[Round] = []
        for link in links:
            hosts = {link.a, link.b}
            part = next((part for part in parts if all(_busy(part, host) < most for host in hosts)), None)
            if part is None:
                parts.append([link])
            else:
                part.append(link)
        found += parts
    return found


def _busy(links: Round, host: str) -> int:
    return sum(host in (link.a, link.b) for link in links)
