"""Tags by what they are called."""

from service.suggest.creating import find_alike, find_own, is_named
from service.suggest.folding import fold, skeleton
from service.suggest.state import State
from service.suggest.tag import Tag
from tags.normalise import normalise


def resolve(state: State, text: str) -> Tag | None:
    """Return the tag whose name, or else one of whose synonyms, normalises to the same as the text."""
    own = find_own(find_alike(state.readers(), skeleton(fold(text))), normalise(text))
    return own.tag if own else None


def find_named(state: State, normalized: str) -> Tag | None:
    """Return the tag of a normalized name."""
    alike = find_alike(state.readers(), skeleton(fold(normalized)))
    return next((each.tag for each in alike if each.is_name and is_named(each.tag, normalized)), None)
