"""Which store a region's files go to, and that opening one needs neither the store nor anything but our settings."""

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from core.errors import Invalid
from core.limits import STORE_CONNECT_S
from core.shard_map.model import StorageSettings
from core.storage.opening import open_store
from core.storage.settings import AzureSettings, LocalSettings, S3Settings, StorageChoice, StoreSettings
from core.storage.store import StoreUnreachable
from tests.servers.azurite import Azurite
from tests.servers.s3 import S3Server
from tests.system import ROOT

UNSAID = StorageSettings(kind=None, bucket=None, endpoint=None, folder=None)
FOLDER = Path("uploads")
S3 = S3Settings("common", "eu-west-1", "key", "secret", "https://s3.example", base_url="https://files.example/common")
AZURE = AzureSettings(
    "common", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5;BlobEndpoint=https://a.x;"
)


def test_s3_comes_before_azure_and_azure_before_local_files() -> None:
    assert StorageChoice(FOLDER, S3, AZURE).for_region("qa", UNSAID) == S3
    assert StorageChoice(FOLDER, None, AZURE).for_region("qa", UNSAID) == AZURE
    assert StorageChoice(FOLDER).for_region("qa", UNSAID) == LocalSettings(FOLDER / "files")
    without_bucket = StorageChoice(FOLDER, replace(S3, bucket=""), replace(AZURE, container=""))
    assert without_bucket.for_region("qa", UNSAID) == LocalSettings(FOLDER / "files")


def test_a_region_of_the_map_has_its_own_store_with_the_credentials_of_the_settings() -> None:
    choice = StorageChoice(FOLDER, S3, AZURE)
    assert choice.for_region("sa", replace(UNSAID, kind="Local", folder="/disk")) == LocalSettings(Path("/disk/files"))
    own = choice.for_region("sa", replace(UNSAID, kind="S3", bucket="own", endpoint="https://own.example"))
    assert own == replace(S3, bucket="own", endpoint="https://own.example", base_url=None)
    container = choice.for_region("sa", replace(UNSAID, kind="Azure", bucket="own"))
    assert container == replace(AZURE, container="own")


def test_a_region_of_the_map_can_have_its_own_endpoint_of_azure() -> None:
    wanted = replace(UNSAID, kind="Azure", bucket="own", endpoint="https://a.blob.example")
    found = StorageChoice(FOLDER, None, AZURE).for_region("sa", wanted)
    assert isinstance(found, AzureSettings)
    service = BlobServiceClient.from_connection_string(found.connection_string)
    assert (service.url, found.container) == ("https://a.blob.example/", "own")
    assert service.credential.account_key == "a2V5"


@pytest.mark.parametrize(
    ("kind", "names"), [("S3", {"S3_ACCESS_KEY", "S3_SECRET_KEY"}), ("Azure", {"AZURE_STORAGE_CONNECTION_STRING"})]
)
def test_a_store_of_the_map_without_credentials_names_the_settings_that_are_missing(kind: str, names: set[str]) -> None:
    with pytest.raises(Invalid) as raised:
        StorageChoice(FOLDER).for_region("sa", replace(UNSAID, kind=kind, bucket="own"))  # type: ignore[arg-type]
    assert {field.field for field in raised.value.fields} == names
    assert "region sa" in raised.value.fields[0].message


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (replace(S3, endpoint="localhost:9000"), "S3_ENDPOINT"),
        (replace(S3, endpoint="http://[bad"), "S3_ENDPOINT"),
        (replace(S3, region="no region"), "S3_REGION"),
        (replace(AZURE, connection_string="nonsense"), "AZURE_STORAGE_CONNECTION_STRING"),
    ],
)
async def test_settings_that_lead_nowhere_are_named_when_the_store_is_opened(
    settings: StoreSettings, name: str
) -> None:
    with pytest.raises(Invalid) as raised:
        await asyncio.wait_for(open_store(settings).__aenter__(), 5)
    assert [field.field for field in raised.value.fields] == [name]


async def test_a_store_that_is_down_is_opened_at_once(tmp_path: Path) -> None:
    for server in (S3Server(tmp_path), Azurite(tmp_path)):
        async with open_store(server.settings):
            pass  # the client is imported
        started = time.monotonic()
        async with open_store(server.settings) as store:
            assert time.monotonic() - started < STORE_CONNECT_S
            with pytest.raises(StoreUnreachable):
                await store.probe(writing=False)


IN_A_NEW_PROCESS = """
import asyncio, sys
from core.storage.opening import open_store
from core.storage.settings import S3Settings

async def main():
    assert not {"aiobotocore", "botocore", "azure.storage"} & set(sys.modules), "imported too early"
    async with open_store(S3Settings("b", "eu-west-1", "key", "secret")) as store:
        print(store._client.meta.endpoint_url)

asyncio.run(main())
"""


async def test_only_our_settings_say_which_store_it_is(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nendpoint_url = http://127.0.0.1:9\ns3 =\n  addressing_style = virtual\n")
    theirs = {"AWS_PROFILE": "nobody", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "AWS_CONFIG_FILE": str(config)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        IN_A_NEW_PROCESS,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **theirs},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, error = await process.communicate()
    assert (process.returncode, told.decode().strip()) == (0, "https://s3.eu-west-1.amazonaws.com"), error.decode()
