"""Which keys carry a tag."""

from cache.entry import Key


class TagIndex:
    """Tag → the keys of the entries that carry it.

    Most tags of an autocomplete cache belong to one entry, so a single key is kept as it is: a set around it would
    cost 200 bytes. A tag whose last entry leaves is forgotten.
    """

    def __init__(self) -> None:
        self._keys: dict[str, Key | set[Key]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: Key, tags: tuple[str, ...]) -> None:
        """Note that the key's entry carries the tags."""
        for tag in tags:
            held = self._keys.get(tag)
            if held is None:
                self._keys[tag] = key
            elif isinstance(held, set):
                held.add(key)
            elif held != key:
                self._keys[tag] = {held, key}

    def remove(self, key: Key, tags: tuple[str, ...]) -> None:
        """Forget the key's entry."""
        for tag in tags:
            held = self._keys.get(tag)
            if isinstance(held, set):
                held.discard(key)
                if not held:
                    del self._keys[tag]
            elif held == key:
                del self._keys[tag]

    def keys(self, tag: str) -> list[Key]:
        """Return the keys that carry a tag."""
        held = self._keys.get(tag)
        if held is None:
            return []
        return list(held) if isinstance(held, set) else [held]
