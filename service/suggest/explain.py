"""Why a suggestion is where it is, as a sentence."""

from service.suggest.tag import Tag


def explain(band: str, text: str, tag: Tag, antecedent: str | None, together: str | None) -> str:
    """Return the sentence.

    Args:
        band: of the suggestion.
        text: the query, folded.
        tag: the suggestion's.
        antecedent: the synonym that matched, if any.
        together: the chosen tag that the suggestion is often used with, if that moved it.
    """
    words = " and ".join(f"“{word}”" for word in text.split())
    reason = {
        "exact": f"its name is “{text}”",
        "prefix": f"its name begins with “{text}”",
        "word": f"a word of its name begins with “{text}”",
        "words": f"words of its name begin with {words}",
        "synonym": f"its synonym “{antecedent}” has a word that begins with “{text}”",
        "initials": f"the initials of its name begin with “{text}”",
        "typo": f"“{text}” may be a typing error for {f'its synonym “{antecedent}”' if antecedent else 'its name'}",
    }[band]
    count = "never used" if not tag.usage_count else f"used {tag.usage_count:,} time{'s'[: tag.usage_count != 1]}"
    return f"{reason[0].upper()}{reason[1:]}; {count}" + (f"; often together with “{together}”." if together else ".")
