"""An authority for tests, which signs certificates for this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from omakase.serving.tls import MutualTls, Pair

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="install openssl to make certificates")


class Authority:
    """Its own certificate is `ca.pem` in a directory of its own."""

    def __init__(self, directory: Path, name: str = "test authority") -> None:
        directory.mkdir()
        self._directory = directory
        self.path = directory / "ca.pem"
        self._key = directory / "ca.key"
        _openssl("req", "-x509", *_NEW_KEY, self._key, "-out", self.path, "-days", "2", "-subj", f"/CN={name}")

    def sign(self, name: str) -> Pair:
        """A new certificate; one of the same name is replaced, file by file, as a manager of certificates does."""
        pair = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        request, names, fresh = (self._directory / f"{name}.{end}" for end in ("csr", "ext", "new"))
        key = fresh.with_suffix(".newkey")
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
        _openssl("req", "-new", *_NEW_KEY, key, "-out", request, "-subj", f"/CN={name}")
        by = ("-CA", self.path, "-CAkey", self._key, "-CAcreateserial", "-days", "2", "-extfile", names)
        _openssl("x509", "-req", "-in", request, "-out", fresh, *by)
        key.replace(pair.key)
        fresh.replace(pair.certificate)
        return pair

    def tls(self, name: str) -> MutualTls:
        return MutualTls(self.sign(name), self.path)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout")


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
