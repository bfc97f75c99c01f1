"""Certificates for tests, made by the openssl command."""

import shutil
import subprocess
from pathlib import Path

import pytest


def make(folder: Path, address: str, name: str = "server") -> tuple[Path, Path]:
    """A self-signed certificate and its key, of this address; both replaced where they exist."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName=IP:{address}"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
