"""Objects on S3 and what speaks its protocol: addresses, and botocore's credentials and signatures. Needs botocore.

Secrets come from where the ecosystem keeps them (environment, ~/.aws, the instance's role) and go into signatures
only. A session belongs to a process, since its locks may be held while another thread forks.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import botocore.session
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.exceptions import BotoCoreError

from ffrfs.errors import ConfigError
from ffrfs.sources.source import Access
from ffrfs.sources.transfer import Reply, Target

__all__ = ["S3Address"]

logger = logging.getLogger(__name__)

logging.getLogger("botocore").setLevel(logging.WARNING)  # it logs what it signs, and tokens are among that

_DEFAULT_REGION = "us-east-1"
_REGION = re.compile(rb"<Region>([a-z0-9-]+)</Region>")


class S3Address:
    """s3://BUCKET/KEY. Args: access, where it is. Raises: ConfigError for another form, or a profile not there."""

    def __init__(self, name: str, access: Access) -> None:
        self.name, self._access = name, access
        parts = urlsplit(name.replace("?", "%3F").replace("#", "%23"))
        self.bucket, self.key = parts.netloc, name.partition("://")[2].partition("/")[2]
        if not self.bucket or not self.key or "@" in self.bucket:
            raise ConfigError(f"{name}: an object on S3 is s3://BUCKET/KEY")
        self._pid = 0
        self._renewed = False
        self._connect()

    def __reduce__(self) -> tuple[Any, ...]:
        return S3Address, (self.name, self._access)

    def target(
        self, method: str, headers: Mapping[str, str], query: Mapping[str, str] | None = None, body: Any = b""
    ) -> Target:
        """As for every address. Args: query, of the URL; body, what is sent. Raises: PermissionError without
        credentials where there should be some."""
        if self._pid != os.getpid():
            self._connect()
        url = self._url + ("?" + urlencode(query, quote_via=quote) if query else "")
        try:
            credentials = self._credentials and self._credentials.get_frozen_credentials()
            if credentials is None:
                return url, headers  # a public bucket
            request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
            S3SigV4Auth(credentials, "s3", self._region).add_auth(request)
        except BotoCoreError as error:
            raise PermissionError(errno.EACCES, f"no credentials: {error}", self.name) from None
        return url, dict(request.headers.items())

    def answered(self, reply: Reply, code: str) -> bool:
        """As for every address: the region that the server names, and new credentials once, are tried."""
        region = reply.headers.get("x-amz-bucket-region") or _named_region(reply.body)
        if reply.status in (301, 307, 400) and region and region != self._region:
            logger.info("%s: its region is %s", self.name, region)
            self._access = Access(self._access.endpoint, region, self._access.profile)
            self._connect()
            return True
        refused = reply.status in (401, 403) or "Expired" in code or "Token" in code
        if not refused or self._renewed:
            return False
        logger.info("%s: access is refused; trying with the credentials read anew", self.name)
        self._connect()
        self._renewed = True
        return True

    def _connect(self) -> None:
        access = self._access
        try:
            session = botocore.session.Session(profile=access.profile)
            self._credentials = session.get_credentials()
            configured = session.get_config_variable("region")
            scoped = session.get_scoped_config()
            endpoint = ConfiguredEndpointProvider(session.full_config, scoped, "s3").provide()
        except BotoCoreError as error:
            raise ConfigError(f"{self.name}: the configuration of AWS cannot be used: {error}") from None
        self._region = access.region or os.environ.get("AWS_REGION") or configured or _DEFAULT_REGION
        self.place = self._url = _url(access.endpoint or endpoint, self._region, self.bucket, self.key)
        self._pid, self._renewed = os.getpid(), False


def _url(endpoint: str | None, region: str, bucket: str, key: str) -> str:
    path = quote(key, safe="/~")
    if endpoint:
        if urlsplit(endpoint).scheme not in ("http", "https") or "@" in endpoint:
            raise ConfigError(f"the endpoint {endpoint.rpartition('@')[2]} must be http://HOST or https://HOST")
        return f"{endpoint.rstrip('/')}/{bucket}/{path}"
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if "." in bucket:  # no certificate is for such a host
        return f"https://s3.{region}.{domain}/{bucket}/{path}"
    return f"https://{bucket}.s3.{region}.{domain}/{path}"


def _named_region(body: bytes) -> str:
    match = _REGION.search(body)
    return match[1].decode() if match else ""
