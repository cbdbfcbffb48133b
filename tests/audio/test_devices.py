"""Audio inputs: which there are, which is meant, and what to do where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asrctl.audio.devices import Device, choose_device, device_table, input_devices, load_portaudio
from asrctl.errors import AudioError, UsageError
from tests.audio.microphones import FakePortAudio, entry

DEVICES = input_devices(FakePortAudio())


def test_inputs_are_listed_and_outputs_are_not() -> None:
    """With the index that PortAudio knows them by."""
    devices = input_devices(FakePortAudio())
    assert devices == [
        Device(1, "Built-in Microphone", 1, 48_000, "ALSA", is_default=True),
        Device(2, "USB Headset", 2, 48_000, "ALSA", is_default=False),
    ]


def test_a_list_that_fails_is_an_error() -> None:
    """PortAudio's own message is kept."""
    with pytest.raises(AudioError, match="not initialized"):
        input_devices(FakePortAudio(broken_list=True))


@pytest.mark.parametrize("wanted", ["2", "usb", "USB Headset", " head "])
def test_a_device_is_chosen_by_index_or_part_of_its_name(wanted: str) -> None:
    """In any case of letters."""
    assert choose_device(DEVICES, wanted).index == 2


def test_without_a_wish_the_default_is_taken() -> None:
    """Or the first, if the system names no default."""
    assert choose_device(DEVICES, None).index == 1
    assert choose_device(input_devices(FakePortAudio(default_input=-1)), None).index == 1


def test_the_whole_name_goes_before_a_part() -> None:
    """Else "Mic" could never be chosen beside "Mic 2"."""
    devices = input_devices(FakePortAudio(entries=[entry("Mic 2"), entry("Mic")]))
    assert choose_device(devices, "mic").name == "Mic"


def test_a_device_offered_by_several_apis_is_that_of_the_default_api() -> None:
    """The systems with many APIs list each device once for each."""
    entries = [entry("USB", hostapi=1), entry("USB", hostapi=0), entry("Other", hostapi=0)]
    devices = input_devices(FakePortAudio(entries=entries, default_input=2))
    assert choose_device(devices, "usb").index == 1


@pytest.mark.parametrize(
    "wanted, complaint", [("bluetooth", "--list-devices"), ("7", "--list-devices"), ("e", "1 .*2 .*number")]
)
def test_a_wish_that_fits_none_or_several_is_a_usage_error(wanted: str, complaint: str) -> None:
    """It says how to find out."""
    with pytest.raises(UsageError, match=complaint):
        choose_device(DEVICES, wanted)


def test_no_input_at_all_is_one_line() -> None:
    """Whatever was wished for."""
    for wanted in (None, "usb"):
        with pytest.raises(AudioError, match=r"^no audio input"):
            choose_device(input_devices(FakePortAudio(entries=[entry("Speakers", inputs=0)])), wanted)


def test_the_table_shows_what_can_be_chosen() -> None:
    """One line each below a heading, the default marked."""
    heading, default, usb = device_table(DEVICES).splitlines()
    assert heading.split() == ["index", "name", "channels", "rate", "host", "API"]
    assert default.split() == ["*", "1", "Built-in", "Microphone", "1", "48000", "Hz", "ALSA"]
    assert usb.split() == ["2", "USB", "Headset", "2", "48000", "Hz", "ALSA"]


@pytest.mark.parametrize(
    "what_happens, advice",
    [
        ("raise ModuleNotFoundError('sounddevice')", r'pip install "asrctl\[mic\]"'),
        ("raise OSError('PortAudio library not found')", "apt install libportaudio2"),
        ("raise RuntimeError('Error initializing PortAudio')", "does not start: Error initializing"),
    ],
)
def test_a_missing_portaudio_says_what_to_install(
    what_happens: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package, or the library behind it."""
    (tmp_path / "sounddevice.py").write_text(what_happens)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(AudioError if "does not start" in advice else UsageError, match=advice):
        load_portaudio()


def test_sounddevice_is_not_imported_before_it_is_needed() -> None:
    """It starts PortAudio, which asks all devices: seconds on some machines."""
    modules = "asrctl.audio.devices, asrctl.audio.mic, asrctl.cli.live, asrctl.cli.sources"
    code = f"import sys, {modules}; print('sounddevice' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_real_sounddevice_is_what_we_take_it_for() -> None:
    """Where it is installed, its devices can be listed and its names are there."""
    pytest.importorskip("sounddevice", exc_type=ImportError)
    portaudio = load_portaudio()
    assert callable(portaudio.RawInputStream) and issubclass(portaudio.PortAudioError, Exception)
    for device in input_devices(portaudio):
        assert device.channels > 0 and device.host_api
