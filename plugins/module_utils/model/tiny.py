# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny Llama with real random weights: two layers, 115,008 parameters, a byte-level tokenizer and a chat template.

It makes the whole control and data path of a cluster real at toy size. Only the standard library is used and the same bytes
come out on every host: weights are drawn from a SHA-256 stream, and safetensors is a JSON header before raw numbers.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import struct
from typing import Dict, Iterator, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory

SEED = b"railyard.sglang tiny model 0"
SPREAD = 0.35
MARK = b'{"tiny": 1}\n'
VOCABULARY = 320
HIDDEN = 64
INTERMEDIATE = 128
LAYERS = 2
HEADS = 4
KV_HEADS = 2
HEAD = HIDDEN // HEADS
SPECIALS = ("<|bos|>", "<|eos|>", "<|pad|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_alphabet() -> List[str]:
    """Return the 256 printable stand-ins that byte-level BPE writes bytes as (GPT-2's table), in byte order."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    shifted = iter(range(256, 512))
    return [chr(byte) if byte in visible else chr(next(shifted)) for byte in range(256)]


def vocabulary() -> Dict[str, int]:
    """Return token to id: bytes, special tokens, and reserved tokens up to the model's vocabulary size."""
    names = [*byte_alphabet(), *SPECIALS]
    names += [f"<|reserved_{index}|>" for index in range(VOCABULARY - len(names))]
    return {name: index for index, name in enumerate(names)}


def _tokenizer() -> Dict[str, object]:
    ids = vocabulary()
    added = [
        {"id": ids[name], "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for name in SPECIALS
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "vocab": ids, "merges": [],
        },
    }


def _configuration() -> Dict[str, object]:
    ids = vocabulary()
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD, "hidden_act": "silu", "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False,
        "initializer_range": SPREAD, "torch_dtype": "bfloat16", "use_cache": True,
        "bos_token_id": ids["<|bos|>"], "eos_token_id": ids["<|eos|>"], "pad_token_id": ids["<|pad|>"],
    }


def _shapes() -> Iterator[Tuple[str, Tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (HIDDEN,)
        yield prefix + "self_attn.q_proj.weight", (HEADS * HEAD, HIDDEN)
        yield prefix + "self_attn.k_proj.weight", (KV_HEADS * HEAD, HIDDEN)
        yield prefix + "self_attn.v_proj.weight", (KV_HEADS * HEAD, HIDDEN)
        yield prefix + "self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD)
        yield prefix + "post_attention_layernorm.weight", (HIDDEN,)
        yield prefix + "mlp.gate_proj.weight", (INTERMEDIATE, HIDDEN)
        yield prefix + "mlp.up_proj.weight", (INTERMEDIATE, HIDDEN)
        yield prefix + "mlp.down_proj.weight", (HIDDEN, INTERMEDIATE)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def _bfloat16(value: float) -> bytes:
    """Return a number as bfloat16: the upper half of its float32, rounded to nearest, ties to even."""
    bits: int = struct.unpack("<I", struct.pack("<f", value))[0]
    return struct.pack("<H", (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)


def _gaussians() -> Iterator[float]:
    """Yield numbers of mean 0 and variance 1: sums of twelve uniform ones (Irwin-Hall), drawn from SHA-256 of a counter."""
    counter = 0
    while True:
        block = b"".join(hashlib.sha256(SEED + struct.pack("<QB", counter, part)).digest() for part in range(3))
        for offset in range(0, 96, 24):
            yield sum(struct.unpack_from("<12H", block, offset)) / 65536.0 - 6.0 + 12 / 131072.0
        counter += 1


@functools.cache
def _weights() -> bytes:
    numbers = _gaussians()
    header: Dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = bytearray()
    for name, shape in _shapes():
        count = shape[0] if len(shape) == 1 else shape[0] * shape[1]
        start = len(data)
        norm = len(shape) == 1
        for _index in range(count):
            data += _bfloat16(1.0 if norm else SPREAD * next(numbers))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(data)


def parts() -> Dict[str, bytes]:
    """Return every file of the model by name."""
    specials = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "pad_token": "<|pad|>"}
    ids = vocabulary()
    generation = {key.replace("_token", "_token_id"): ids[token] for key, token in specials.items()}
    tokenizer = {
        **specials, "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 2048, "clean_up_tokenization_spaces": False,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "chat_template": CHAT_TEMPLATE,
    }

    def text(value: object) -> bytes:
        return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()

    return {
        "config.json": text(_configuration()),
        "generation_config.json": text(generation),
        "special_tokens_map.json": text(specials),
        "tokenizer.json": text(_tokenizer()),
        "tokenizer_config.json": text(tokenizer),
        "model.safetensors": _weights(),
    }


def _is_marked(place: str) -> bool:
    try:
        with open(os.path.join(place, directory.RECORD), "rb") as stream:
            return stream.read() == MARK
    except OSError:
        return False


def _is_own(path: str, content: bytes) -> bool:
    with open(path, "rb") as stream:
        return stream.read(len(content) + 1) == content


def foreign(place: str) -> List[str]:
    """Return what is in a directory that this module did not write, and so nobody may remove for it.

    In a directory with its mark, files by its names are its own whatever became of them; in another one only those with its bytes are: a
    model of one file has the same names.
    """
    if not os.path.lexists(place):
        return []
    own, marked = parts(), _is_marked(place)
    found = []
    for name in sorted(os.listdir(place)):
        path = os.path.join(place, name)
        plain = os.path.isfile(path) and not os.path.islink(path)
        if name == directory.RECORD and marked:
            continue
        if not plain or name not in own or not (marked or _is_own(path, own[name])):
            found.append(name)
    return found


def write(place: str) -> None:
    """Write the model's files into an existing directory, each flushed to disk; the first one is the mark by which it is known."""
    for name, content in {directory.RECORD: MARK, **parts()}.items():
        with open(os.path.join(place, name), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
