"""Back-off: keys, such as the urls that failed just now, that are left alone for a while."""


class Resting:
    """A bounded set that forgets by itself: each key after `for_s` seconds, and all but the newest `keys_max`."""

    def __init__(self, for_s: float, keys_max: int) -> None:
        self._for_s, self._keys_max = for_s, keys_max
        self._until: dict[str, float] = {}

    def add(self, key: str, now: float) -> None:
        """Remember a key from now on."""
        self._until.pop(key, None)
        self._until[key] = now + self._for_s
        while len(self._until) > self._keys_max:
            del self._until[next(iter(self._until))]

    def has(self, key: str, now: float) -> bool:
        """Whether a key is remembered."""
        until = self._until.get(key)
        if until is None:
            return False
        # Further ahead than it could have been set: the clock was set back since.
        if until <= now or until > now + self._for_s:
            del self._until[key]
            return False
        return True

    def discard(self, key: str) -> None:
        """Forget a key, if it is there."""
        self._until.pop(key, None)

    def __len__(self) -> int:
        return len(self._until)
