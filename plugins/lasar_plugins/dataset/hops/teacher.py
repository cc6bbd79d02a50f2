"""A teacher who knows the map."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lasar_kit.core.reasoning import ReasoningRequest
from lasar_kit.core.values import Env
from lasar_kit.core.vocabulary import sid_token
from lasar_kit.errors import UserError
from lasar_plugins.dataset.hops.config import HopsTeacherConfig
from lasar_plugins.dataset.hops.ring import next_nodes, node_title, way

_QUESTION = re.compile(r"(\d+) hops from node (\d+)")


class HopsTeacher:
    """Writes the nodes on the way to the answer, a line each: as many as there are hops.

    It asks for the answer only to see whether it knows the same map as the data set.
    """

    wants_target = True

    def __init__(self, config: HopsTeacherConfig, env: Env) -> None:
        self.config = config
        self.follows = next_nodes(config)

    def write(self, requests: Sequence[ReasoningRequest]) -> Iterator[tuple[int, str | None]]:
        """A text for each question; `UserError` for a history that ends in none, or in one off the map."""
        for index, request in enumerate(requests):
            title = request.history[-1].title
            question = _QUESTION.fullmatch(title)
            if question is None or int(question[2]) >= self.config.nodes:
                raise UserError(
                    f"teacher hops: {title!r} is no question about a map of {self.config.nodes} nodes; "
                    "it goes with the data set `hops` of as many nodes and the same seed"
                )
            nodes = way(self.follows, int(question[2]), int(question[1]))
            if request.target is not None and request.target.title != node_title(nodes[-1]):
                raise UserError(
                    f"teacher hops: {title} is {node_title(nodes[-1])} on its map, but "
                    f"{request.target.title} in the data set: they need the same seed and as many nodes"
                )
            yield index, "\n".join(sid_token(0, node) for node in nodes)
