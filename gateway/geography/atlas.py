"""A shard map turned round for look-ups: from code, name and country to the region."""

from core.errors import NotFound, RegionUnavailable
from core.shard_map.model import RegionSpec, ShardMap


class Atlas:
    """The regions of one map by every key that geography asks with. Read-only once built."""

    __slots__ = ("by_code", "by_country", "by_name", "default", "unlisted")

    def __init__(self, shard_map: ShardMap) -> None:
        self.by_code = {region.code: region for region in shard_map.regions}
        self.by_name: dict[str, RegionSpec] = {region.name: region for region in shard_map.regions}
        self.by_country = {country: region for region in shard_map.regions for country in region.countries}
        self.default = self.by_name[shard_map.default_region]
        self.unlisted = self.default if shard_map.unlisted_countries == "default" else None
        """Where a country goes that no region lists; None: nowhere, it is refused."""

    def of_country(self, country: str) -> RegionSpec:
        """The region that serves the country. Raises RegionUnavailable, naming the country, if none does."""
        region = self.by_country.get(country, self.unlisted)
        if region is None:
            raise RegionUnavailable(f"no region serves {country}")
        return region

    def of_id(self, code: int) -> RegionSpec:
        """The region whose code an id carries. Raises NotFound: nothing can be stored in a region that is not there."""
        region = self.by_code.get(code)
        if region is None:
            raise NotFound(f"the id belongs to region code {code}, which this map does not have")
        return region

    def of_user(self, code: int) -> RegionSpec:
        """The home region of a verified user. Raises RegionUnavailable: the user exists, their region is not served."""
        region = self.by_code.get(code)
        if region is None:
            raise RegionUnavailable(f"the user's home is region code {code}, which this map does not have")
        return region
