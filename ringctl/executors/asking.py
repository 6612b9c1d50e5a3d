"""One request that nobody waits for any longer than the right to run lasts."""

import queue
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ringctl.core.errors import BugError, ExternalError
from ringctl.executors.watch import POLL_SECONDS, ended, step_seconds_left
from ringctl.ports.executor import Control

if TYPE_CHECKING:
    from ringctl import net

MAX_ANSWER_BYTES: Final = 1024 * 1024


def ask(
    control: Control, method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> "net.Response":
    """Send it and wait for the answer. At a stop, or when the lease is over, nobody waits on: what was sent cannot be
    taken back, so that counts as no answer. Raises what `net.request` raises.

    The lease is no time-out of the request itself: it moves as it is renewed.
    """
    from ringctl import net

    answers: queue.Queue[net.Response | ExternalError] = queue.Queue(1)

    def send() -> None:
        try:
            answers.put(
                net.request(
                    method, url, headers=headers, body=body, timeout_s=max(0.05, step_seconds_left(control)),
                    follow_redirects=False, max_bytes=MAX_ANSWER_BYTES,
                )
            )  # fmt: skip
        except ExternalError as error:
            answers.put(error)

    thread = threading.Thread(target=send, name="ringctl-request", daemon=True)
    thread.start()
    while True:
        alive = thread.is_alive()
        try:
            answer = answers.get(timeout=POLL_SECONDS)
        except queue.Empty:
            why = ended(control)
            if why is not None and step_seconds_left(control) > 0:
                raise net.NoAnswer(f"nobody waits for the answer any longer: {why}") from None
            if not alive:
                raise BugError("the request ended without an answer or an error") from None
            continue
        if isinstance(answer, ExternalError):
            raise answer
        return answer
