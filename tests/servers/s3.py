"""An S3 server that checks signatures and Content-MD5 (nanio)."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.storage.settings import S3Settings
from tests.servers.process import ServerProcess

BUCKET, REGION = "qscrap-uploads", "us-east-1"
ACCESS_KEY, SECRET_KEY = "access-key-of-tests", "secret-key-of-tests"


class S3Server(ServerProcess):
    """One bucket; its files lie below `objects`, for tests that look past every client."""

    def __init__(self, folder: Path, *, bucket: str = BUCKET) -> None:
        super().__init__(folder)
        self.bucket = bucket

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> S3Settings:
        """How the gateway is told of it; clients reach it at the same address."""
        return S3Settings(
            self.bucket, REGION, ACCESS_KEY, SECRET_KEY, self.endpoint, base_url=f"{self.endpoint}/{self.bucket}"
        )

    @property
    def wrong_settings(self) -> S3Settings:
        """The same with a secret that is not right."""
        return replace(self.settings, secret_key="another-secret")

    @property
    def variables(self) -> dict[str, str]:
        """The same as the scaling guide's environment."""
        return {
            "S3_ENDPOINT": self.endpoint,
            "S3_BUCKET": self.bucket,
            "S3_REGION": REGION,
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": SECRET_KEY,
            "S3_BASE_URL": f"{self.endpoint}/{self.bucket}",
        }

    @property
    def objects(self) -> Path:
        """The folder of the bucket."""
        return self.folder / "data" / self.bucket

    async def start(self) -> None:
        """Start it with its bucket."""
        self.objects.mkdir(parents=True, exist_ok=True)
        await super().start()

    def _command(self) -> Sequence[str]:
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--data-dir", str(self.folder / "data")]
        program = str(Path(sys.executable).parent / "nanio")
        return [sys.executable, program, "serve", *where, "--region", REGION, "--no-access-log", "--log-level", "error"]

    def _environment(self) -> Mapping[str, str]:
        return {"NANIO_ACCESS_KEY": ACCESS_KEY, "NANIO_SECRET_KEY": SECRET_KEY}
