"""The languages that Whisper knows, by the codes it was trained with."""

from __future__ import annotations

import difflib

from asrctl.errors import UsageError

AUTO = "auto"

_LANGUAGES = """
    af:afrikaans am:amharic ar:arabic as:assamese az:azerbaijani ba:bashkir be:belarusian bg:bulgarian
    bn:bengali bo:tibetan br:breton bs:bosnian ca:catalan cs:czech cy:welsh da:danish de:german el:greek
    en:english es:spanish et:estonian eu:basque fa:persian fi:finnish fo:faroese fr:french gl:galician
    gu:gujarati ha:hausa haw:hawaiian he:hebrew hi:hindi hr:croatian ht:haitian-creole hu:hungarian
    hy:armenian id:indonesian is:icelandic it:italian ja:japanese jw:javanese ka:georgian kk:kazakh
    km:khmer kn:kannada ko:korean la:latin lb:luxembourgish ln:lingala lo:lao lt:lithuanian lv:latvian
    mg:malagasy mi:maori mk:macedonian ml:malayalam mn:mongolian mr:marathi ms:malay mt:maltese
    my:myanmar ne:nepali nl:dutch nn:nynorsk no:norwegian oc:occitan pa:punjabi pl:polish ps:pashto
    pt:portuguese ro:romanian ru:russian sa:sanskrit sd:sindhi si:sinhala sk:slovak sl:slovenian
    sn:shona so:somali sq:albanian sr:serbian su:sundanese sv:swedish sw:swahili ta:tamil te:telugu
    tg:tajik th:thai tk:turkmen tl:tagalog tr:turkish tt:tatar uk:ukrainian ur:urdu uz:uzbek
    vi:vietnamese yi:yiddish yo:yoruba yue:cantonese zh:chinese
"""

NAMES = {
    code: name.replace("-", " ") for code, _, name in (each.partition(":") for each in _LANGUAGES.split())
}
"""English names by code, in lower case, as Whisper's own tokenizer has them."""

CODES = frozenset(NAMES)
"""ISO 639-1 where there is such a code; "jw" is Javanese, "haw" Hawaiian, "yue" Cantonese."""


def is_open(language: str) -> bool:
    """Whether a language is still to be found out: "auto", or one of several codes joined by commas."""
    return language == AUTO or "," in language


def known_language(language: str) -> str:
    """A language that is no longer to be found out; empty if it is."""
    return "" if is_open(language) else language


def candidates(language: str) -> tuple[str, ...]:
    """The languages that come into question; empty for all of them."""
    return () if language == AUTO else tuple(language.split(","))


def check_language(language: str, *, multilingual: bool, model: str) -> str:
    """The language to decode in, as the model wants it.

    Args:
        language: A code, "auto", or codes joined by commas of which one is spoken at a time.
        multilingual: Whether the model knows more than English.
        model: Its name, for the message.

    Raises:
        UsageError: There is no such language, or the model does not know it.
    """
    checked = [_checked(each, multilingual, model) for each in language.split(",")]
    if AUTO in checked and len(checked) > 1:
        raise UsageError('"auto" is any language: leave it out, or the codes beside it')
    return ",".join(dict.fromkeys(checked))


def _checked(language: str, multilingual: bool, model: str) -> str:
    code = language.strip().lower().replace("_", "-").partition("-")[0]
    if code != AUTO and code not in CODES:
        near = difflib.get_close_matches(code, sorted(CODES), n=1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else 'give a code such as en, de or zh, several as en,es, or "auto"'
        )
        missing = f"there is no language {language!r}" if code else "a language is missing"
        raise UsageError(f"{missing}: {hint}")
    if multilingual:
        return code
    if code not in (AUTO, "en"):
        raise UsageError(f"{model} knows English only: for {code!r} take a model without .en, such as base")
    return "en"
