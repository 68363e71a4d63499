"""A vocabulary as people make it: the starter's tags, and others in many scripts; used as often as it seems likely."""

from uuid import UUID, uuid5

from service.suggest.tag import Tag
from tags import starter
from tags.normalise import normalise

_SPACE = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")

#: Uses of starter tags that matter to the golden queries; the others count down from 400.
USED = {
    "Holy Spirit": 4_200, "Praise": 9_800, "Worship": 9_100, "Grace": 5_200, "Love": 3_900, "Love of God": 4_100,
    "Christmas": 7_400, "Christmas Eve": 900, "Easter": 6_900, "Faith": 3_300, "Hope": 3_200, "Peace": 2_900,
    "Prayer": 3_700, "Joy": 3_600, "Joyful": 1_500, "Holiness": 1_100, "Holy Week": 800, "Trinity": 1_300,
    "Trinity Sunday": 210, "Good Friday": 1_700, "Good Shepherd": 700, "Cross": 2_500, "Communion": 2_400,
    "Baptism": 1_900, "Thanksgiving": 2_100, "Psalm": 4_000, "Lent": 1_600, "Lament": 400, "Zeal": 40,
    "Watch Night": 12, "Candlemas": 30, "Sanctus": 95, "Hopeful": 650, "Resurrection": 2_800,
}  # fmt: skip

#: Name, category, uses, synonyms.
EXTRA: tuple[tuple[str, str, int, tuple[str, ...]], ...] = (
    # What hijacked or hid each other on the boards.
    ("a", "theme", 3, ()),
    ("white", "theme", 4, ()),
    ("White Hair", "theme", 24_000, ()),
    ("White Shirt", "theme", 18_000, ()),
    ("Blue Hair", "theme", 31_000, ("Azure Hair",)),
    ("Blue Eyes", "theme", 52_000, ()),
    ("Black Hair", "theme", 48_000, ()),
    ("Blonde Hair", "theme", 47_000, ("Blond Hair", "Yellow Hair")),
    ("Wet", "theme", 9_000, ()),
    ("Wet Hair", "theme", 2_200, ()),
    ("Wet Clothes", "theme", 2_900, ()),
    ("No Humans", "theme", 14_000, ("Nobody",)),
    ("Nose Blush", "theme", 5_100, ()),
    ("Starry Sky", "theme", 6_100, ("Night Sky Full of Stars",)),
    ("Star Hair Ornament", "theme", 1_900, ()),
    ("Shampoo", "theme", 60, ()),
    ("Shampoo Bottle", "theme", 20, ()),
    ("Shadow", "theme", 7_700, ()),
    ("Eyebrows Visible Through Hair", "theme", 29_000, ()),
    ("Hair Ornament", "theme", 33_000, ()),
    ("Hatsune Miku (Vocaloid)", "theme", 11_000, ("Miku", "初音ミク")),
    ("Touhou", "theme", 40_000, ("東方", "东方", "동방", "東方Project")),
    ("Prase", "theme", 2, ()),
    ("Holy", "mood", 30, ()),
    ("Holly and Ivy", "theme", 150, ()),
    ("Rock & Roll", "mood", 500, ("Rock and Roll", "Rock'n'Roll")),
    ("R&B", "mood", 420, ("Rhythm and Blues",)),
    ("C++", "theme", 5, ()),
    ("!!!", "mood", 1, ()),
    ("Alpha-Omega", "theme", 330, ("Alpha and Omega", "ΑΩ")),
    ("Lord's Supper", "liturgical", 260, ()),
    ("Zeal for Thy House", "theme", 0, ()),
    ("Brand New Tag", "theme", 0, ()),
    # Latin with marks, and letters that have no decomposition.
    ("Noël", "occasion", 310, ("Nativité",)),
    ("Pâques", "occasion", 240, ()),
    ("Fête-Dieu", "liturgical", 45, ()),
    ("Éternel", "theme", 77, ()),
    ("Łaska", "theme", 66, ()),
    ("Żywy Chleb", "theme", 21, ()),
    ("Señor Ten Piedad", "liturgical", 140, ()),
    ("Straße der Hoffnung", "theme", 9, ()),
    ("İlahi", "theme", 88, ()),
    ("Ånd", "theme", 54, ()),
    ("Bølge", "theme", 31, ()),
    ("Đức Tin", "theme", 19, ()),
    # Other scripts.
    ("Рождество", "occasion", 205, ("Рождество Христово",)),
    ("Воскресение", "occasion", 190, ()),
    ("Ёлка", "occasion", 25, ()),
    ("Κύριε ελέησον", "liturgical", 61, ("Kyrie Eleison",)),
    ("سَلام", "theme", 44, ()),
    ("שָׁלוֹם", "theme", 43, ()),
    ("हिन्दी भजन", "theme", 120, ()),
    # Chinese, Japanese, Korean: without spaces, in both widths.
    ("聖霊", "theme", 510, ()),
    ("聖霊降臨", "liturgical", 330, ("ペンテコステ",)),
    ("三位一体", "theme", 220, ()),
    ("三位一体の主日", "liturgical", 110, ()),
    ("賛美歌", "theme", 480, ("讃美歌",)),
    ("クリスマス", "occasion", 700, ()),
    ("クリスマスイブ", "occasion", 90, ()),
    ("ﾃｽﾄ", "theme", 1, ()),
    ("赞美", "theme", 430, ("讚美",)),
    ("敬拜赞美", "theme", 390, ()),
    ("성령", "theme", 280, ()),
    ("성령강림", "liturgical", 130, ()),
    ("찬양과 경배", "theme", 260, ()),
    ("ＧＯＳＰＥＬ", "mood", 640, ()),
)


def tag_id(name: str) -> str:
    """Return the id of a tag, which follows from its name."""
    return str(uuid5(_SPACE, name))


def tags() -> list[Tag]:
    """Return the vocabulary."""
    found = []
    for number, tag in enumerate(starter.load()):
        usage = USED.get(tag.name, 400 - 3 * number)
        found.append(
            Tag(
                tag_id(tag.name),
                tag.name,
                normalise(tag.name),
                tag.category,
                tag.color,
                usage,
                is_standard=True,
                synonyms=tag.synonyms,
            )
        )
    for name, category, usage, synonyms in EXTRA:
        found.append(
            Tag(tag_id(name), name, normalise(name), category, None, usage, is_standard=False, synonyms=synonyms)
        )
    return found


#: What is often used with a tag, and how often.
TOGETHER = {
    tag_id("Christmas"): [(tag_id("Joyful"), 420), (tag_id("Hopeful"), 90), (tag_id("Watch Night"), 8)],
    tag_id("Easter"): [(tag_id("Resurrection"), 800), (tag_id("Joy"), 300), (tag_id("Joyful"), 200)],
    tag_id("Blue Hair"): [(tag_id("Blue Eyes"), 900), (tag_id("Black Hair"), 20), (tag_id("Wet Hair"), 70)],
}
