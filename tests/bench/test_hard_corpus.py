"""The hard corpus: noise at the level that was asked for, the same samples each time, and disjoint halves."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from benchmarks import hard, mixing
from benchmarks.common import CLEAN, HALVES, HARD, Clip, read_manifest, read_wav, write_manifest, write_wav
from benchmarks.mixing import Samples, level_db
from benchmarks.noises import hum, pink
from benchmarks.talks import talks_of

RATE_HZ = 16_000


def speech(seconds: float, seed: int, db: float = -26.0) -> Samples:
    """Noise in syllables with pauses between words, which is all that mixing looks at."""
    rng, times_s = np.random.default_rng(seed), np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    said = np.abs(np.sin(2 * np.pi * 0.5 * times_s)) * rng.normal(size=len(times_s))
    return mixing.at_level(np.where(times_s % 1.0 < 0.85, said, 0.0), db)


@pytest.mark.parametrize("snr_db", [20.0, 5.0, 0.0])
@pytest.mark.parametrize("noise", [pink(RATE_HZ * 3, np.random.default_rng(1)), hum(RATE_HZ * 20)])
def test_noise_is_at_its_level(noise: Samples, snr_db: float) -> None:
    """To 0.1 dB, shorter and longer than the speech, whatever its own level is."""
    clean = speech(8.0, 1)
    added = mixing.with_noise(clean, noise.astype(np.float64), snr_db) - clean
    assert level_db(clean) - level_db(added) == pytest.approx(snr_db, abs=0.1)


def test_loud_speech_is_not_clipped() -> None:
    """With noise that would pass full scale both become weaker, and the ratio stays."""
    clean = speech(8.0, 1, db=-8.0)
    noisy = mixing.with_noise(clean, pink(len(clean), np.random.default_rng(9)).astype(np.float64), 0.0)
    gain = float(np.dot(noisy, clean) / np.dot(clean, clean))
    assert np.abs(noisy).max() < 1.0 and gain < 0.95
    assert level_db(gain * clean) - level_db(noisy - gain * clean) == pytest.approx(0.0, abs=0.3)


def test_babble_has_each_at_the_same_level() -> None:
    """A quiet talker counts as much as a loud one: without either, half of the power is gone."""
    loud, weak = speech(6.0, 1, db=-10.0), speech(6.0, 2, db=-50.0)
    both = mixing.babble([loud, weak], len(loud), np.random.default_rng(3))
    one = mixing.babble([loud], len(loud), np.random.default_rng(3))
    assert float(np.mean(both**2) / np.mean(one**2)) == pytest.approx(2.0, abs=0.2)


def test_far_keeps_the_level_and_adds_a_tail() -> None:
    """A click is heard after it has ended, as loud as before on the whole."""
    clean = speech(4.0, 1)
    away = mixing.far(clean, np.random.default_rng(1), rt60_s=0.6, direct_db=0.0)
    assert level_db(away) == pytest.approx(level_db(clean), abs=0.1)
    assert len(away) == len(clean) + round(0.6 * RATE_HZ) - 1
    assert level_db(away[len(clean) :]) < level_db(clean) - 10


def test_a_telephone_is_narrow() -> None:
    """3.8 kHz and 100 Hz are gone, 1 kHz is there with a quantisation noise of 35 dB below at most."""
    times_s = np.arange(RATE_HZ) / RATE_HZ
    tones = {hz: np.sin(2 * np.pi * hz * times_s) * 0.3 for hz in (100, 1000, 3800)}
    heard = {hz: mixing.telephone(tone) for hz, tone in tones.items()}
    assert level_db(heard[100]) < -60 and level_db(heard[3800]) < -60
    assert level_db(tones[1000]) - level_db(heard[1000] - tones[1000]) > 35


def test_overlap_is_as_long_as_asked() -> None:
    """The second speaker begins so long before the first has ended, and as loud."""
    one, other = speech(3.0, 1), speech(2.0, 2, db=-40.0)
    both = mixing.overlapping(one, other, 0.5)
    assert len(both) == round(4.5 * RATE_HZ)
    assert level_db(both[len(one) :]) == pytest.approx(level_db(one), abs=1.0)


def test_hesitation_adds_pauses_and_takes_nothing() -> None:
    """What was said is all there, in order, with more silence where it was weakest."""
    clean = speech(8.0, 1)
    paused = mixing.hesitant(clean, np.random.default_rng(1), (0.3, 1.2))
    added_s = (len(paused) - len(clean)) / RATE_HZ
    assert 3 * 0.3 <= added_s <= 4 * 1.2
    assert level_db(paused[np.abs(paused) > 1e-3]) == pytest.approx(
        level_db(clean[np.abs(clean) > 1e-3]), abs=0.1
    )


def test_hardly_pausing_speech_has_short_gaps_over_noise() -> None:
    """Clips follow each other by 0.05 to 0.2 s, and there is no silence in the gaps."""
    clips = [speech(1.0, seed) for seed in range(5)]
    flow = hard.joined(clips, np.random.default_rng(1))
    assert 5 * 1.05 <= len(flow) / RATE_HZ <= 5 * 1.2
    quietest = min(level_db(flow[at : at + 512]) for at in range(0, len(flow) - 512, 512))
    assert quietest > level_db(flow) - 35


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clean clips of speakers of both halves, and what is made of them."""
    tmp_path = tmp_path_factory.mktemp("corpus")
    (tmp_path / "audio").mkdir()
    (tmp_path / "packages" / "asterisk-moh-opsound-wav").mkdir(parents=True)
    clips = []
    for number, speaker in enumerate(["allison", "two-cities", "michael", "podcast", "june", "carlo"]):
        for part in range(4):
            name = f"{speaker}-{part}"
            length_s = write_wav(
                tmp_path / "audio" / f"{name}.wav", [mixing.ints(speech(2.5, 10 * number + part))]
            )
            language = {"june": "fr", "carlo": "it"}.get(speaker, "en")
            text = f"words of {name}"
            clips.append(
                Clip(name, f"audio/{name}.wav", length_s, text, speaker, "", False, language, CLEAN, speaker)
            )
    write_manifest(tmp_path / HARD, hard.hard_clips(tmp_path, clips, seconds=6.0, seed=1))
    return tmp_path


def test_no_speaker_is_in_both_halves(corpus: Path) -> None:
    """Nor are the words of one half said in the other, whatever was made of the clips."""
    speakers = [{clip.speaker for clip in read_manifest(corpus, half)} for half in HALVES]
    assert speakers == [{"allison", "two-cities", "june"}, {"michael", "podcast", "carlo"}]
    for half, other in (HALVES, HALVES[::-1]):
        said = " ".join(clip.text for clip in read_manifest(corpus, half))
        assert not any(clip.text in said for clip in read_manifest(corpus, other))


def test_each_half_has_each_condition(corpus: Path) -> None:
    """As long as asked for, with files of that length and words; music needs a package."""
    for half in HALVES:
        clips = [clip for clip in read_manifest(corpus, half) if clip.condition != CLEAN]
        assert {clip.condition for clip in clips} == hard.CONDITIONS.keys() - {"music"}
        for condition in {clip.condition for clip in clips}:
            assert sum(clip.duration_s for clip in clips if clip.condition == condition) >= 6.0
        for clip in clips:
            samples = read_wav(corpus / clip.file)
            assert len(samples) / RATE_HZ == pytest.approx(clip.duration_s, abs=0.001) and clip.text
            assert -40 < level_db(mixing.floats(samples)) < -20


def test_the_same_seed_gives_the_same_samples(corpus: Path, tmp_path: Path) -> None:
    """And another one gives others."""
    again_in = copytree(corpus, tmp_path / "again")
    clean = [clip for half in HALVES for clip in read_manifest(corpus, half) if clip.condition == CLEAN]
    made = {clip.file: (corpus / clip.file).read_bytes() for clip in read_manifest(corpus, "choose")}

    def again(seed: int) -> list[bool]:
        return [
            (again_in / clip.file).read_bytes() == made[clip.file]
            for clip in hard.hard_clips(again_in, clean, seconds=6.0, seed=seed)
            if clip.file in made and clip.condition != CLEAN
        ]

    assert all(again(1)) and not all(again(2))


def test_recordings_of_ones_own_are_added(corpus: Path, tmp_path: Path) -> None:
    """With their words, by a speaker who is what the file's name begins with, and always in the same half."""
    own = tmp_path / "own"
    own.mkdir()
    for name in ("film_1", "film_2"):
        write_wav(own / f"{name}.wav", [mixing.ints(speech(2.0, 1))])
        (own / f"{name}.txt").write_text("so many\nwords\n", encoding="utf-8")
    clips = list(hard.recorded_clips(own, corpus))
    assert [(clip.id, clip.text, clip.speaker) for clip in clips] == [
        ("film_1", "so many words", "film"),
        ("film_2", "so many words", "film"),
    ]
    dealt = {clip.half for clip in hard.hard_clips(corpus, clips, 1.0, 1) if clip.speaker == "film"}
    assert dealt == {"report"}


def test_talks_of_a_half_hardly_pause_and_differ(corpus: Path) -> None:
    """Different orders of what was made hard, with its words, about as long as asked for."""
    one, two = talks_of(corpus, 2, 20.0, half="report", longer_than_s=1.0)
    assert one.text and two.text and one.text != two.text and "allison" not in one.text
    assert 20 <= len(one.samples) / RATE_HZ < 60 and one.samples.dtype == np.float32
