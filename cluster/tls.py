"""Certificates of one cluster: an authority of its own, whose key is forgotten at once, and one that it has signed.

Whoever holds certificate and key is a member: scheduler, worker or client. Anybody else, or a member of another
cluster, is refused by TLS itself.

``python -m groundbreak.cluster.tls FOLDER`` makes them for a cluster that is started by hand.
"""

from __future__ import annotations

import argparse
import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from distributed import Security

VALID_DAYS = 365

PROTOCOL = "tls://"


@dataclass(frozen=True)
class Credentials:
    """The files that make a process a member of a cluster."""

    ca_file: str
    """Certificate of the cluster's authority."""
    cert: str
    """Certificate of a member."""
    key: str
    """Key of that certificate; only its owner may read the file."""

    def security(self) -> Security:
        """Return what Dask wants to hear of them; connections without encryption are refused."""
        roles = ("client", "scheduler", "worker")
        files = {f"tls_{role}_cert": self.cert for role in roles} | {f"tls_{role}_key": self.key for role in roles}
        return Security(tls_ca_file=self.ca_file, require_encryption=True, **files)

    def settings(self) -> dict[str, object]:
        """Return the same as settings of Dask, for processes that cannot be handed a Security."""
        settings: dict[str, object] = {
            "distributed.comm.require-encryption": True,
            "distributed.comm.tls.ca-file": self.ca_file,
        }
        for role in ("client", "scheduler", "worker"):
            settings[f"distributed.comm.tls.{role}.cert"] = self.cert
            settings[f"distributed.comm.tls.{role}.key"] = self.key
        return settings

    def within(self, folder: str) -> Credentials:
        """Return the same files as they are called in another folder."""
        return Credentials(*(f"{folder}/{Path(file).name}" for file in (self.ca_file, self.cert, self.key)))


def create(folder: Path) -> Credentials:
    """Make an authority and a certificate signed by it, and write them into a folder.

    Parameters
    ----------
    folder : Path
        An existing folder.

    Raises
    ------
    FileExistsError
        The folder holds certificates already.
    """
    # Only clusters that span machines need it: their extras bring it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)  # the clocks of machines differ

    def certificate(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        subject, signer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer))
        built = x509.CertificateBuilder().issuer_name(signer).subject_name(subject).public_key(key.public_key())
        built = built.serial_number(x509.random_serial_number())
        return built.not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=VALID_DAYS))

    authority, member = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = certificate("groundbreak authority", "groundbreak authority", authority).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    signed = (
        certificate("groundbreak", "groundbreak authority", member)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("groundbreak")]), critical=False)
        .add_extension(usages, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    pem = serialization.Encoding.PEM
    secret = member.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = {
        "ca.pem": root.sign(authority, hashes.SHA256()).public_bytes(pem),
        "cert.pem": signed.sign(authority, hashes.SHA256()).public_bytes(pem),
        "key.pem": secret,
    }
    for name, content in files.items():
        # Made with this mode, not changed to it: nobody may open the key in between.
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    return Credentials(*(str(folder / name) for name in files))


def main() -> None:
    """Make certificates in a folder that is named on the command line."""
    parser = argparse.ArgumentParser(description="Makes ca.pem, cert.pem and key.pem for one cluster.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    create(folder)


if __name__ == "__main__":
    main()
