"""Who asks: bearer tokens, session cookies and certificate authorities. None of their contents is ever printed."""

import argparse
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kfp.client.token_credentials_base import TokenCredentialsBase

from core.base.errors import UserError

TOKEN_VARIABLE = "MMDET_COMPRESS_KFP_TOKEN"
COOKIES_VARIABLE = "MMDET_COMPRESS_KFP_COOKIES"
CA_VARIABLE = "MMDET_COMPRESS_KFP_CA"
# Where kfp.Client itself looks for the pod's token (kfp/client/set_volume_credentials.py).
POD_TOKEN_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")


class Token(TokenCredentialsBase):
    """A bearer token, which is read at once and again for every request: something else may keep its file fresh."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        read()

    def refresh_api_key_hook(self, config: Any) -> None:
        """Put the token as it is now into the client's configuration."""
        config.api_key["authorization"] = self._read()


@dataclass(frozen=True)
class Access:
    """What goes along with every request.

    Attributes:
        credentials: Source of the bearer token, or None.
        cookies: Content of the Cookie header, or None.
        ca_cert: File of the certificate authority, or None for the system's.
    """

    credentials: TokenCredentialsBase | None = None
    cookies: str | None = None
    ca_cert: str | None = None

    def __repr__(self) -> str:
        kinds = [kind for kind, given in (("token", self.credentials), ("cookies", self.cookies)) if given]
        return f"Access({', '.join(kinds) or 'anonymous'})"


def access_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Access:
    """Return the access that options, environment variables and the pod give, in this order.

    Raises:
        UserError: A file cannot be read, or what is given cannot be a token, a cookie or a certificate.
    """
    credentials: TokenCredentialsBase | None = None
    cookies = None
    if arguments.token_file is not None:
        credentials = Token(partial(_from_file, arguments.token_file, "--token-file"))
    elif environ.get(TOKEN_VARIABLE):
        credentials = Token(partial(_header_value, environ[TOKEN_VARIABLE], f"${TOKEN_VARIABLE}", "(not shown)"))
    elif environ.get(POD_TOKEN_VARIABLE):
        credentials = Token(partial(_from_file, environ[POD_TOKEN_VARIABLE], f"${POD_TOKEN_VARIABLE}"))
    elif POD_TOKEN.exists():
        credentials = Token(partial(_from_file, POD_TOKEN, "token of the pod"))
    if arguments.cookies_file is not None:
        cookies = _from_file(arguments.cookies_file, "--cookies-file")
    elif environ.get(COOKIES_VARIABLE):
        cookies = _header_value(environ[COOKIES_VARIABLE], f"${COOKIES_VARIABLE}", "(not shown)")
    return Access(credentials, cookies, _ca_cert(arguments.ca_cert, environ))


def _ca_cert(ca_cert: str | None, environ: Mapping[str, str]) -> str | None:
    thing = "--ca-cert" if ca_cert is not None else f"${CA_VARIABLE}"
    path = ca_cert if ca_cert is not None else environ.get(CA_VARIABLE)
    if not path:
        return None
    if "-----BEGIN CERTIFICATE-----" not in _contents(Path(path), thing):
        raise UserError(thing, path, "It holds no certificate in PEM form.",
                        "Give the file that begins with -----BEGIN CERTIFICATE-----.")
    return os.fspath(path)


def _contents(path: Path, thing: str) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise UserError(thing, path, f"It cannot be read ({error.strerror}).", "Check the path.") from error
    except UnicodeDecodeError:
        raise UserError(thing, path, "It holds something other than plain text.", "Check the path.") from None


def _from_file(path: str | Path, thing: str) -> str:
    file = Path(path)
    return _header_value(_contents(file, thing), thing, file)


def _header_value(text: str, thing: str, shown: object) -> str:
    value = text.strip()
    if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", value):
        raise UserError(thing, shown, "It must hold one line of plain text and nothing else.",
                        "Write the token or cookie there anew.")
    return value
