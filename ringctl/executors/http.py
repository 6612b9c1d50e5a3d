"""`http`: one request with the task's key and token; the answer's status is the outcome."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from ringctl.core.bundle import StepSpec
from ringctl.core.errors import Finding, InvalidInput
from ringctl.core.placeholders import expand_header, expand_line, expand_url
from ringctl.executors.asking import ask
from ringctl.executors.options import (
    bad_mapping,
    bad_placeholders,
    finding,
    mapping_of,
    probe_options,
    text_of,
    unknown,
)
from ringctl.executors.watch import NOTHING, ended
from ringctl.ports.executor import Control, Fencing, Order, Outcome, Probed, Ran

OPTIONS: Final = ("method", "url", "headers", "body", "expect")
PROBE_OPTIONS: Final = ("url", "method", "headers", "expect", "absent")
METHODS: Final = ("POST", "PUT", "PATCH", "DELETE", "GET", "HEAD")
LOGGED_BYTES: Final = 2000
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN: Final = frozenset({"idempotency-key", "x-ringctl-token", "x-fence", "content-length", "host"})
# Refused, but the target may have begun, or may begin later: nobody knows.
_DOUBTFUL: Final = frozenset({408, 409, 425, 429})


class HttpExecutor:
    """Sends one request and never follows a redirect: it would carry token and key elsewhere."""

    kind = "http"
    fencing = Fencing.KEY

    def check(self, spec: StepSpec, files: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
        """Options of the step and of its probe."""
        found = [*unknown(spec, OPTIONS, spec.options), *_request_findings(spec, spec.options)]
        if spec.options.get("method", "POST") not in METHODS:
            found.append(
                finding(spec, "RC6003", f"method must be one of {', '.join(METHODS)}", text="method")
            )
        body = spec.options.get("body")
        found += bad_placeholders(spec, "body", *_texts_in(body))
        if spec.probe is not None:
            found += _probe_findings(spec)
        return tuple(found)

    def run(self, order: Order, control: Control) -> Ran:
        """Send the request once, with a time-out that ends before the right to run does."""
        options = order.step.options
        try:
            url = expand_url(text_of(order.step, "url"), order.placeholders)
            headers = _headers(order, options)
            body = _body(order, options.get("body"), headers)
        except InvalidInput as error:
            return Ran(outcome=Outcome.FAILED, reason=f"{error.code}: {error.message}")
        why = ended(control)
        if why is not None:
            return Ran(outcome=Outcome.STOPPED, reason=f"nothing was sent: {why}", numbers=NOTHING)
        return _answered(order, control, (str(options.get("method", "POST")), url), (headers, body))

    def probe(self, order: Order, control: Control) -> Probed:
        """Ask with a GET: by default 200 took effect, 404 did not, anything else nobody knows."""
        from ringctl import net

        request = probe_options(order.step, "http")
        if request is None:
            return Probed.UNKNOWN
        try:
            url = expand_url(str(request.get("url", "")), order.placeholders)
            headers = _headers(order, request)
            answer = ask(control, "GET", url, headers, None)
        except InvalidInput as error:
            control.log(f"probe: {error.message}")
            return Probed.UNKNOWN
        except (net.Unreached, net.NoAnswer) as error:
            control.log(f"probe: {error}")
            return Probed.UNKNOWN
        if answer.status in _statuses(request, "expect", (200,)):
            return Probed.TOOK_EFFECT
        if answer.status in _statuses(request, "absent", (404,)):
            return Probed.DID_NOT
        return Probed.UNKNOWN


def _answered(
    order: Order, control: Control, line: tuple[str, str], message: tuple[dict[str, str], bytes | None]
) -> Ran:
    from ringctl import net

    (method, url), (headers, body) = line, message
    began = time.monotonic()
    try:
        answer = ask(control, method, url, headers, body)
    except net.Unsendable as error:
        return Ran(outcome=Outcome.FAILED, reason=str(error))
    except net.Unreached as error:
        return Ran(outcome=Outcome.UNREACHABLE, reason=str(error))
    except net.NoAnswer as error:
        return Ran(outcome=Outcome.UNKNOWN, reason=f"sent, and no answer came: {error}")
    parts = urlsplit(url)  # user names and queries may hold secrets: they are not logged
    control.log(f"{method} {parts.scheme}://{parts.hostname}{parts.path}: {answer.status}")
    if answer.body:
        control.log(answer.body[:LOGGED_BYTES].decode(errors="replace"))
    numbers = {"status": answer.status, "seconds": round(time.monotonic() - began, 6)}
    outcome, reason = outcome_of(answer.status, _statuses(order.step.options, "expect", ()))
    return Ran(outcome=outcome, reason=reason, numbers=numbers)


def outcome_of(status: int, expect: tuple[int, ...]) -> tuple[Outcome, str]:
    """What a status says of the effect (pure). With `expect` another 2xx leaves a doubt."""
    if status in expect or (not expect and 200 <= status < 300):
        return Outcome.DONE, ""
    if 300 <= status < 400:
        return Outcome.FAILED, f"status {status}: redirects are not followed"
    if 400 <= status < 500 and status not in _DOUBTFUL:
        return Outcome.FAILED, f"status {status}"
    return Outcome.UNKNOWN, f"status {status}: the target may have begun"


def _headers(order: Order, options: Mapping[str, object]) -> dict[str, str]:
    given = mapping_of(options.get("headers", {}))
    headers = {name: expand_header(value, order.placeholders) for name, value in given.items()}
    token = order.placeholders.get("task.token", order.claim)
    own = {"Idempotency-Key": order.key, "X-Ringctl-Token": token, "X-Fence": str(order.fence)}
    for name, value in own.items():
        headers[name] = expand_header("{task.key}", {"task.key": value})
    return headers


def _body(order: Order, body: object, headers: dict[str, str]) -> bytes | None:
    """A text as it is, anything else as JSON: a value inside it can break out of neither."""
    if body is None:
        return None
    if isinstance(body, str):
        return expand_line(body, order.placeholders).encode()
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    return json.dumps(_filled(body, order.placeholders), ensure_ascii=False, allow_nan=False).encode()


def _filled(value: object, values: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return expand_line(value, values)
    if isinstance(value, Mapping):
        return {str(name): _filled(item, values) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, values) for item in value]
    return value


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)


def _statuses(options: Mapping[str, object], name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    given = options.get(name)
    if isinstance(given, list | tuple):
        return tuple(status for status in given if isinstance(status, int))
    return default


def _probe_findings(spec: StepSpec) -> Iterator[Finding]:
    request = probe_options(spec, "http")
    if request is None:
        yield finding(
            spec, "RC6012", "the probe of an http step is a GET", hint='{http: {url: "https://..."}}'
        )
        return
    yield from unknown(spec, PROBE_OPTIONS, request)
    if request.get("method", "GET") != "GET":
        yield finding(spec, "RC6012", "a probe is a GET: it may change nothing", text="method")
    yield from _request_findings(spec, request)


def _request_findings(spec: StepSpec, options: Mapping[str, object]) -> Iterator[Finding]:
    url = options.get("url")
    text = url if isinstance(url, str) else ""
    if not text.lower().startswith(("http://", "https://", "{account.target.")):
        yield finding(
            spec, "RC6010", "url must begin with http://, https:// or {account.target.NAME}", text=text
        )  # fmt: skip
    yield from bad_placeholders(spec, "url", text)
    yield from bad_mapping(spec, "headers")
    headers = mapping_of(options.get("headers", {}))
    yield from bad_placeholders(spec, "headers", *headers.values())
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OWN:
            yield finding(spec, "RC6011", f"{name!r} is no header that a step may set", text=name)
        if not value.isprintable() or not value.isascii():
            yield finding(spec, "RC6011", f"the value of {name!r} is not plain ASCII text", text=name)
    for name in ("expect", "absent"):
        given = options.get(name)
        if given is not None and (not isinstance(given, list | tuple) or not _all_statuses(given)):
            yield finding(spec, "RC6003", f"{name} must be a list of status codes", text=name)


def _all_statuses(given: list[object] | tuple[object, ...]) -> bool:
    return bool(given) and all(
        isinstance(status, int) and not isinstance(status, bool) and 100 <= status < 600 for status in given
    )
