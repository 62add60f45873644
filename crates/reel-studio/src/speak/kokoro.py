# Speaks line by line with Kokoro-82M, for as long as it is given lines: started by line_process.rs, never by hand.
#
# In: one JSON object a line, with `text`, `voice`, `language` (espeak-ng's name) and `speed`. Out, for each: as line_process.rs
# says. The model and the voices lie in the folder of the virtual environment, where scripts/kokoro puts them.
import json
import os
import struct
import sys

from kokoro_onnx import Kokoro

kokoro = Kokoro(os.path.join(sys.prefix, "model.onnx"), os.path.join(sys.prefix, "voices.npz"))
out = sys.stdout.buffer
# The model speaks from half as fast to twice as fast as it is used to.
SLOWEST, FASTEST = 0.5, 2.0


def words(timings, rate):
    """What was said between spaces, as (sounds, sample): phonemes are letters, stress and length marks are not."""
    found, begins = [], True
    for timing in timings:
        if timing.phoneme == " ":
            begins = True
        elif timing.phoneme.isalpha() or timing.phoneme in "ˈˌ":
            if begins:
                found.append([0, int(timing.start * rate)])
                begins = False
            found[-1][0] += timing.phoneme.isalpha() and timing.phoneme not in "ˈˌː"
    return found


for line in sys.stdin:
    said = []
    try:
        wanted = json.loads(line)
        speed = min(max(wanted["speed"], SLOWEST), FASTEST)
        sound, rate, timings = kokoro.create_timed(
            wanted["text"], wanted["voice"], speed=speed, lang=wanted["language"]
        )
        answer = (sound.clip(-1.0, 1.0) * 32767).astype("<i2").tobytes()
        said = words(timings, rate)
    except Exception as error:
        rate, answer = 0, repr(error).encode()
    out.write(struct.pack("<II", rate, len(answer)) + answer)
    out.write(struct.pack("<I", len(said)) + b"".join(struct.pack("<II", *word) for word in said))
    out.flush()
