"""Full case folding as data: one table for Python and PostgreSQL, whatever the version or locale of either.

The statuses C and F of Unicode 14.0.0's CaseFolding.txt, for the characters that NFKC leaves as they are (names are
NFKC before they are folded, so the others never arrive). Unicode never changes a folding, it only adds characters.
Each entry is `FIRST[-LAST][/2]OFFSET` (every or every second code point of a range) or `CHARACTER=FOLDED+FOLDED`;
code points are hexadecimal, offsets decimal. A test derives the table again from `str.casefold`.

`python -m tags.case_folding` prints the SQL twin, a block of `sql/functions/normalise.sql`; a test compares the two.
"""

import json
import re
import sys
import unicodedata
from typing import Final

UNICODE_VERSION: Final = "14.0.0"

_TABLE: Final = """
0041-005A+32 00C0-00D6+32 00D8-00DE+32 0100-012E/2+1 0134-0136/2+1 0139-013D/2+1 0141-0147/2+1 014A-0176/2+1
0178-121 0179-017D/2+1 0181+210 0182-0184/2+1 0186+206 0187+1 0189-018A+205 018B+1 018E+79 018F+202 0190+203 0191+1
0193+205 0194+207 0196+211 0197+209 0198+1 019C+211 019D+213 019F+214 01A0-01A4/2+1 01A6+218 01A7+1 01A9+218 01AC+1
01AE+218 01AF+1 01B1-01B2+217 01B3-01B5/2+1 01B7+219 01B8+1 01BC+1 01CD-01DB/2+1 01DE-01EE/2+1 01F4+1 01F6-97
01F7-56 01F8-021E/2+1 0220-130 0222-0232/2+1 023A+10795 023B+1 023D-163 023E+10792 0241+1 0243-195 0244+69 0245+71
0246-024E/2+1 0345+116 0370-0372/2+1 0376+1 037F+116 0386+38 0388-038A+37 038C+64 038E-038F+63 0391-03A1+32
03A3-03AB+32 03C2+1 03CF+8 03D8-03EE/2+1 03F7+1 03FA+1 03FD-03FF-130 0400-040F+80 0410-042F+32 0460-0480/2+1
048A-04BE/2+1 04C0+15 04C1-04CD/2+1 04D0-052E/2+1 0531-0556+48 10A0-10C5+7264 10C7+7264 10CD+7264 13F8-13FD-8
1C80-6222 1C81-6221 1C82-6212 1C83-1C84-6210 1C85-6211 1C86-6204 1C87-6180 1C88+35267 1C90-1CBA-3008 1CBD-1CBF-3008
1E00-1E94/2+1 1EA0-1EFE/2+1 1F08-1F0F-8 1F18-1F1D-8 1F28-1F2F-8 1F38-1F3F-8 1F48-1F4D-8 1F59-1F5F/2-8 1F68-1F6F-8
1FB8-1FB9-8 1FBA-74 1FC8-1FCA/2-86 1FD8-1FD9-8 1FDA-100 1FE8-1FE9-8 1FEA-112 1FEC-7 1FF8-128 1FFA-126 2132+28 2183+1
2C00-2C2F+48 2C60+1 2C62-10743 2C63-3814 2C64-10727 2C67-2C6B/2+1 2C6D-10780 2C6E-10749 2C6F-10783 2C70-10782 2C72+1
2C75+1 2C7E-2C7F-10815 2C80-2CE2/2+1 2CEB-2CED/2+1 2CF2+1 A640-A66C/2+1 A680-A69A/2+1 A722-A72E/2+1 A732-A76E/2+1
A779-A77B/2+1 A77D-35332 A77E-A786/2+1 A78B+1 A78D-42280 A790-A792/2+1 A796-A7A8/2+1 A7AA-42308 A7AB-42319
A7AC-42315 A7AD-42305 A7AE-42308 A7B0-42258 A7B1-42282 A7B2-42261 A7B3+928 A7B4-A7C2/2+1 A7C4-48 A7C5-42307
A7C6-35384 A7C7-A7C9/2+1 A7D0+1 A7D6-A7D8/2+1 A7F5+1 AB70-ABBF-38864 10400-10427+40 104B0-104D3+40 10570-1057A+39
1057C-1058A+39 1058C-10592+39 10594-10595+39 10C80-10CB2+64 118A0-118BF+32 16E40-16E5F+32 1E900-1E921+34
00DF=0073+0073 0130=0069+0307 01F0=006A+030C 0390=03B9+0308+0301 03B0=03C5+0308+0301 1E96=0068+0331 1E97=0074+0308
1E98=0077+030A 1E99=0079+030A 1E9E=0073+0073 1F50=03C5+0313 1F52=03C5+0313+0300 1F54=03C5+0313+0301
1F56=03C5+0313+0342 1F80=1F00+03B9 1F81=1F01+03B9 1F82=1F02+03B9 1F83=1F03+03B9 1F84=1F04+03B9 1F85=1F05+03B9
1F86=1F06+03B9 1F87=1F07+03B9 1F88=1F00+03B9 1F89=1F01+03B9 1F8A=1F02+03B9 1F8B=1F03+03B9 1F8C=1F04+03B9
1F8D=1F05+03B9 1F8E=1F06+03B9 1F8F=1F07+03B9 1F90=1F20+03B9 1F91=1F21+03B9 1F92=1F22+03B9 1F93=1F23+03B9
1F94=1F24+03B9 1F95=1F25+03B9 1F96=1F26+03B9 1F97=1F27+03B9 1F98=1F20+03B9 1F99=1F21+03B9 1F9A=1F22+03B9
1F9B=1F23+03B9 1F9C=1F24+03B9 1F9D=1F25+03B9 1F9E=1F26+03B9 1F9F=1F27+03B9 1FA0=1F60+03B9 1FA1=1F61+03B9
1FA2=1F62+03B9 1FA3=1F63+03B9 1FA4=1F64+03B9 1FA5=1F65+03B9 1FA6=1F66+03B9 1FA7=1F67+03B9 1FA8=1F60+03B9
1FA9=1F61+03B9 1FAA=1F62+03B9 1FAB=1F63+03B9 1FAC=1F64+03B9 1FAD=1F65+03B9 1FAE=1F66+03B9 1FAF=1F67+03B9
1FB2=1F70+03B9 1FB3=03B1+03B9 1FB4=03AC+03B9 1FB6=03B1+0342 1FB7=03B1+0342+03B9 1FBC=03B1+03B9 1FC2=1F74+03B9
1FC3=03B7+03B9 1FC4=03AE+03B9 1FC6=03B7+0342 1FC7=03B7+0342+03B9 1FCC=03B7+03B9 1FD2=03B9+0308+0300 1FD6=03B9+0342
1FD7=03B9+0308+0342 1FE2=03C5+0308+0300 1FE4=03C1+0313 1FE6=03C5+0342 1FE7=03C5+0308+0342 1FF2=1F7C+03B9
1FF3=03C9+03B9 1FF4=03CE+03B9 1FF6=03C9+0342 1FF7=03C9+0342+03B9 1FFC=03C9+03B9
"""

_ENTRY: Final = re.compile(
    r"(?P<first>[0-9A-F]+)"
    r"(?:=(?P<folded>[0-9A-F+]+)|(?:-(?P<last>[0-9A-F]+))?(?P<second>/2)?(?P<offset>[+-][0-9]+))"
)


def _expand(table: str) -> dict[int, str]:
    """Map each code point of the table to its folded text, in the form that `str.translate` takes."""
    foldings = {}
    for entry in _ENTRY.finditer(table):
        first = int(entry["first"], 16)
        if entry["folded"]:
            foldings[first] = "".join(chr(int(code, 16)) for code in entry["folded"].split("+"))
            continue
        last = int(entry["last"] or entry["first"], 16)
        for code in range(first, last + 1, 2 if entry["second"] else 1):
            foldings[code] = chr(code + int(entry["offset"]))
    return foldings


FOLDINGS: Final = _expand(_TABLE)


def _json(text: str) -> str:
    """Quote the text as JSON; a combining mark is escaped, so that it cannot merge with the quote in an editor."""
    return json.dumps(text, ensure_ascii=any(unicodedata.category(character)[0] == "M" for character in text))


def sql() -> str:
    """Return the statement that creates `segue.case_folding()`, the same table as a JSON object."""
    lines = [""]
    for code, folded in sorted(FOLDINGS.items()):
        entry = f"{_json(chr(code))}:{_json(folded)},"
        if len(lines[-1]) + len(entry) > 110:
            lines.append("")
        lines[-1] += entry
    body = "\n".join(lines).removesuffix(",")
    return (
        "CREATE OR REPLACE FUNCTION segue.case_folding() RETURNS jsonb\n"
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE\n"
        f"RETURN jsonb '{{\n{body}\n}}';\n"
    )


if __name__ == "__main__":
    sys.stdout.write(sql())
