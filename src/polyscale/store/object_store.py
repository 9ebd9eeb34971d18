"""A store on ``s3://``: the options of both libraries that reach it, and what it says when it fails.

In: a store's place and the options that were given with it. Out: options for ``deltalake``, which writes and
reads the log, and for polars, which reads the rows; and foreign errors in one line. Keys, region and endpoint
come from the options or from the usual ``AWS_*`` variables of the environment, for both alike.

Two writers are safe because S3 itself refuses a log file that is there already (``If-None-Match``). That is
switched on here, whatever the environment says, and cannot be switched off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from polyscale.market.errors import ConfigError

Options = dict[str, Any]
_SCHEMES: Final = ("s3://", "s3a://")
_PINNED: Final = {"aws_conditional_put": "etag", "aws_s3_allow_unsafe_rename": "false"}
_SAFE: Final = {**_PINNED, "conditional_put": "etag", "allow_unsafe_rename": "false"}  # other names of both
# what the libraries wait by themselves is three minutes; a wrong address must be told sooner
_PATIENCE: Final = {"max_retries": "6", "retry_timeout": "10s", "connect_timeout": "3s"}
_POLARS_PATIENCE: Final = {"retry_timeout_ms": 10_000}  # its name of the second
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_SAID: Final = re.compile(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", re.DOTALL)
_REQUEST: Final = re.compile(r"(?:GET|PUT|POST|HEAD|DELETE) (https?://[^/\s]+)")
_RESTORE: Final = "restore it from a backup, or import into a new store"
_SHOWN: Final = 160  # characters of a foreign text


def delta_options(root: str, given: Mapping[str, str] | None) -> Options | None:
    """Options for ``deltalake``; none where there are none.

    Raises
    ------
    ConfigError
        For an option by which two writers could overwrite each other.
    """
    if not root.startswith(_SCHEMES):
        return dict(given) if given else None
    options = dict(given or {})
    for name, value in options.items():
        if name.lower() in _SAFE and str(value).lower() != _SAFE[name.lower()]:
            raise ConfigError(
                f"storage_options must leave {name} at {_SAFE[name.lower()]}, got {value!r}: one of two "
                f"writers would lose what it wrote; leave the option out"
            )
    kept = {name: value for name, value in options.items() if name.lower() not in _SAFE}
    return {**_PATIENCE, **kept, **_PINNED}


def polars_options(root: str, given: Mapping[str, str] | None) -> Options | None:
    """The same options for polars; none where there are none."""
    if not root.startswith(_SCHEMES):
        return dict(given) if given else None
    options: Options = {**_PATIENCE, **(given or {})}
    options["max_retries"] = int(options["max_retries"])
    return {**_POLARS_PATIENCE, **options}


def failure(uri: str, error: BaseException) -> str:
    """What to tell of a library's error, in one line."""
    lines = [" ".join(line.strip(" ↳").split()) for line in _COLOUR.sub("", str(error)).strip().splitlines()]
    lines = [line for line in lines if line] or [type(error).__name__]
    if "://" not in uri:
        return (
            f"the table {uri} must be readable and writable, got: {lines[0]}; see `polyscale bars --verify`, "
            f"restore the folder from a backup, or move it away and import again"
        )
    text = "\n".join(lines)
    if "/latest/api/token" in text or "/latest/meta-data" in text:  # of the machine, asked last of all
        return (
            f"{uri} needs credentials, got none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give "
            f"them as storage_options"
        )
    if "URL scheme is not allowed" in text:
        return f"{uri} must be reached by https, got an endpoint with http://; set AWS_ALLOW_HTTP=true for it"
    said, request = _SAID.search(text), _REQUEST.search(text)
    reason = f"{said.group(1)}: {said.group(2)}" if said else lines[-1][:_SHOWN]
    if request is None:
        return f"the table {uri} must be readable and writable, got: {reason}; {_RESTORE}"
    return (
        f"the table {uri} must be readable and writable, got from {request.group(1)}: {reason}; check the "
        f"bucket, the AWS_* variables or storage_options, and the network"
    )
