"""What a client says on a WebSocket and what the exchange replies: subscriptions and pings. Pure.

In: texts of a client. Out: texts of replies, and the topics that it listens to. A request with a wrong topic
subscribes to none of its topics.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

from polyscale.exchange.bybit_candle import timeframe_of
from polyscale.market.timeframe import Timeframe
from polyscale.replay.holdings import Holdings
from polyscale.replay.shelf import Shelf

_MAX_SPOT_ARGS: Final = 10
_MAX_CHARACTERS: Final = 21_000  # of all topics of a connection


class Topic(NamedTuple):
    """Candles of one market and interval, as they are pushed."""

    category: str
    text: str  # as the client writes it: kline.1.BTCUSDT


class Conversation:
    """One client's side of a connection.

    Parameters
    ----------
    conn_id
        The connection's name, which every reply carries.
    now_ms
        Tells the exchange's time.
    """

    def __init__(
        self,
        holdings: Holdings,
        category: str,
        conn_id: str,
        now_ms: Callable[[], int],
        pong: Literal["public", "option"],
    ) -> None:
        self.topics: dict[Topic, None] = {}  # in the order of their subscription
        self._holdings = holdings
        self._category = category
        self._conn_id = conn_id
        self._now_ms = now_ms
        self._pong = pong

    def hear(self, text: str) -> str:
        """The reply to a text; what it subscribes to is in `topics` from now on."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return self._reply("", "", success=False, said="error:invalid json")
        operation, request = str(said.get("op", "")), said.get("req_id", "")
        if operation == "ping":
            return self._ponged(request)
        if operation not in ("subscribe", "unsubscribe"):
            return self._reply(operation, request, success=False, said=f"error:unknown op,{operation[:40]}")
        refusal = self._change(operation, said.get("args"))
        return self._reply(operation, request, success=not refusal, said=refusal)

    def _change(self, operation: str, args: Any) -> str:
        """Subscribe or unsubscribe; why not, or nothing."""
        if not isinstance(args, list) or not args or not all(isinstance(arg, str) for arg in args):
            return "error:args must be a list of topics"
        topics = [Topic(self._category, arg) for arg in args]
        if operation == "unsubscribe":
            for topic in topics:
                self.topics.pop(topic, None)
            return ""
        refusal = self._refusal(topics)
        if not refusal:
            self.topics.update(dict.fromkeys(topics))
        return refusal

    def _refusal(self, topics: Sequence[Topic]) -> str:
        if self._category == "spot" and len(topics) > _MAX_SPOT_ARGS:
            return f"args size >{_MAX_SPOT_ARGS}"
        if sum(len(topic.text) for topic in [*self.topics, *topics]) > _MAX_CHARACTERS:
            return f"error:args length >{_MAX_CHARACTERS}"
        for topic in topics:
            if topic in self.topics:
                return f"error:already subscribed,topic:{topic.text}"
            if _words(topic.text) is None:
                return f"error:handler not found,topic:{topic.text}"
            if series_of(self._holdings, topic) is None:
                return f"Invalid symbol :[{topic.text}]"
        return ""

    def _ponged(self, request: Any) -> str:
        if self._pong == "option":
            return json.dumps({"args": [str(self._now_ms())], "op": "pong"})
        return self._reply("ping", request, success=True, said="pong")

    def _reply(self, operation: str, request: Any, *, success: bool, said: str) -> str:
        return json.dumps(
            {
                "success": success,
                "ret_msg": said,
                "conn_id": self._conn_id,
                "req_id": request,
                "op": operation,
            }
        )


def series_of(holdings: Holdings, topic: Topic) -> tuple[Shelf, Timeframe] | None:
    """Whose candles of which timeframe a topic means; none if they are not held."""
    words = _words(topic.text)
    if words is None:
        return None
    timeframe, symbol = words
    shelf = holdings.shelf(topic.category, symbol)
    return (shelf, timeframe) if shelf is not None and shelf.holds(timeframe) else None


def _words(text: str) -> tuple[Timeframe, str] | None:
    """Timeframe and symbol of a well-formed topic."""
    kind, _, rest = text.partition(".")
    interval, _, symbol = rest.partition(".")
    timeframe = timeframe_of(interval)
    return (timeframe, symbol) if kind == "kline" and timeframe is not None and symbol else None
