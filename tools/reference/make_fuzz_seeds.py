"""Write the seeds of the fuzz targets (tests/fuzz_*.c say how inputs are built):

    python tools/reference/make_fuzz_seeds.py

Needs the standard library and protoc.  Files named crash-* and slow-* in
tests/fuzz/ are inputs that found a fault once; they stay as they are."""

import json
import math
import pathlib
import struct
import subprocess
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = ROOT / "tests" / "fuzz"
DATA = ROOT / "tests" / "data"


def write(target, name, data):
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def compact(path):
    return json.dumps(json.loads(path.read_text()), separators=(",", ":")).encode()


# --- jobs --------------------------------------------------------------------

JOBS = {
    "plain": ("", []),
    "oracle": ('gaussian { shape: 4 shape: 3 modes: 8 std: 0.5 seed: 3 } '
               'solver { method: "picard" window: 8 }', []),
    "full": ('model { path: "m" backend: "ref" delay_ms: 2.5 } '
             'sampler { kind: "ddim" steps: 30 eta: 0.5 spacing: "leading" clip: true '
             'clip_range: 2 steps_offset: 1 set_alpha_to_one: false } '
             'solver { method: "secant" tolerance: 0.01 stop: "error" history: 4 '
             'order: 3 slope: "gaussian" start: "roll" entry: "copies" restart: 2 } '
             'prompt: "red heart" prompt: "\\303\\244" negative_prompt: "ugly" '
             'guidance_scale: 4 guidance_channels: 2 seed: 18446744073709551615 '
             'random: "torch-cpu" samples: 3 block_rows: 2 policy: "dataflow" '
             'output: "out"', []),
    "lora": ('model { path: "m" lora { path: "a" scale: 0.5 } lora { path: "/b" } }',
             []),
    "classes": ('model { path: "/m" } class_label: 3 class_label: 2147483647 '
                'noise: "n.npy"', []),
    "sets": ('model { path: "m" }',
             ["solver.window=8", "prompt=a=b", "model.delay_ms=0.5"]),
    "class-names": ('model { path: "m" } class_label: 1',
                    ["class_label=tinca TINCA", "class_label=3", "class_label=crane"]),
    "sets-numbers": ('', ["gaussian.shape=4", "solver.tolerance=1e-3",
                          "seed=18446744073709551615", "sampler.clip=true"]),
}


def make_jobs():
    for name, (text, sets) in JOBS.items():
        packed = subprocess.run(
            ["protoc", f"--proto_path={ROOT}", "--encode=pdag.Job",
             str(ROOT / "proto" / "job.proto")],
            input=text.encode(), check=True, capture_output=True).stdout
        head = bytes([len(sets)]) + b"".join(s.encode() + b"\0" for s in sets)
        write("job", name, head + packed)


# --- safetensors -------------------------------------------------------------


def safetensors(header, n_data):
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + bytes(range(n_data))


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def make_safetensors():
    write("safetensors", "empty", safetensors({}, 0))
    write("safetensors", "one", safetensors({"a.weight": tensor("F32", [2, 3], 0, 24)},
                                            24))
    write("safetensors", "all-types", safetensors(
        {"__metadata__": {"format": "pt"}, "f64": tensor("F64", [1], 0, 8),
         "f16": tensor("F16", [2, 1], 8, 12), "bf16": tensor("BF16", [2], 12, 16),
         "i64": tensor("I64", [], 16, 24), "i32": tensor("I32", [1, 1, 1], 24, 28),
         "u8": tensor("U8", [4], 28, 32), "none": tensor("F32", [0, 7], 32, 32),
         "text_model.embeddings.position_ids": tensor("I64", [1, 2], 32, 48)}, 48))
    write("safetensors", "names", safetensors(
        {"attn.to_q.weight": tensor("F32", [1], 0, 4),
         "attn.query.weight": tensor("F32", [1], 4, 8),
         "\u00e9.bias": tensor("F32", [1], 8, 12)}, 12))


# --- LoRA files --------------------------------------------------------------


def lora(tensors, metadata=None, config=b""):
    """A seed: tensors is {name: shape}, all float32, one after the other."""
    header, at = {"__metadata__": metadata} if metadata else {}, 0
    for name, shape in tensors.items():
        size = 4 * math.prod(shape)
        header[name] = tensor("F32", shape, at, at + size)
        at += size
    # 0.5, so that an alpha is finite; no byte is a form feed
    return config + b"\f" + json.dumps(header, separators=(",", ":")).encode() + b"\f" + \
        b"\0\0\0\x3f" * (at // 4)


def make_loras():
    pair = {".lora_A.weight": [2, 3], ".lora_B.weight": [4, 2]}
    write("lora", "peft", lora(
        {"unet.mid.to_q" + k: shape for k, shape in pair.items()},
        config=b'{"lora_alpha":4,"alpha_pattern":{"to_q":8},"use_rslora":true}'))
    write("lora", "peft-wrapped", lora(
        {"base_model.model.conv.lora_A.default.weight": [2, 3, 3, 3],
         "base_model.model.conv.lora_B.default.weight": [4, 2, 1, 1]}))
    write("lora", "metadata", lora(
        {"unet.a.lora_A.weight": [1, 2], "unet.a.lora_B.weight": [2, 1],
         "text_encoder.text_model.b.lora_A.weight": [1, 2],
         "text_encoder.text_model.b.lora_B.weight": [2, 1]},
        {"lora_adapter_metadata": '{"unet.lora_alpha":2,"text_encoder.lora_alpha":1.5,'
                                  '"unet.alpha_pattern":{"^a":3}}'}))
    write("lora", "kohya", lora(
        {"lora_unet_down_blocks_0_to_q.lora_down.weight": [2, 3],
         "lora_unet_down_blocks_0_to_q.lora_up.weight": [4, 2],
         "lora_unet_down_blocks_0_to_q.alpha": [],
         "lora_te_text_model_q_proj.lora_down.weight": [1, 3],
         "lora_te_text_model_q_proj.lora_up.weight": [3, 1]}))
    write("lora", "diffusers", lora(
        {"unet.a.lora.down.weight": [2, 3], "unet.a.lora.up.weight": [3, 2],
         "text_encoder.q.lora_linear_layer.down.weight": [1, 2],
         "text_encoder.q.lora_linear_layer.up.weight": [2, 1]}))
    write("lora", "processor", lora(
        {"mid.attn1.processor.to_out_lora.down.weight": [2, 3],
         "mid.attn1.processor.to_out_lora.up.weight": [3, 2],
         "mid.attn1.processor.to_out_lora.alpha": [1]}))
    write("lora", "other-kind", lora({"a.lora_A.weight": [1, 2], "a.lora_B.weight": [2, 1],
                                      "a.lora_magnitude_vector": [2]}))
    write("lora", "one-factor", lora({"a.lora_A.weight": [1, 2]}))


# --- configurations ----------------------------------------------------------


def make_configs():
    models = DATA / "models"
    for name in ["sd-odd/unet", "unet-condition-deep", "unet-condition-odd",
                 "ddpm-heads/unet", "ddpm-root", "ddim-clipped/unet", "ldm-odd/unet"]:
        write("config", "network-" + name.replace("/", "-"),
              b"na" + compact(models / name / "config.json"))
    for name in ["sd-odd/vae", "vae-old-names", "ldm-odd/vqvae", "vq-odd"]:
        write("config", "vae-" + name.replace("/", "-"),
              b"va" + compact(models / name / "config.json"))
    for name in ["sd-odd/text_encoder", "clip-old-names"]:
        write("config", "text-" + name.replace("/", "-"),
              b"ta" + compact(models / name / "config.json"))
    scheduler = compact(models / "sd-odd/scheduler/scheduler_config.json")
    for kind in "abcdefghijk":
        write("config", "scheduler-" + kind,
              b"s" + kind.encode() + scheduler[:-1] + b',"skip_prk_steps":true}')
    write("config", "scheduler-betas", b"sa" + json.dumps(
        {"_class_name": "DDIMScheduler", "num_train_timesteps": 12,
         "trained_betas": [0.01 * (i + 1) for i in range(12)],
         "_use_default_values": ["beta_start"], "thresholding": True,
         "lambda_min_clipped": 0}).encode())
    write("config", "scheduler-infinite", b"sd" + (
        b'{"_class_name":"DPMSolverMultistepScheduler","lambda_min_clipped":-Infinity,'
        b'"use_karras_sigmas":true,"final_sigmas_type":"sigma_min",'
        b'"solver_type":"heun","euler_at_final":true}'))
    write("config", "scheduler-flow", b"si" + (
        b'{"_class_name":"FlowMatchEulerDiscreteScheduler","shift":3.0,'
        b'"shift_terminal":0.1,"stochastic_sampling":true}'))
    for name in ["dit-odd/transformer", "dit-pixels/transformer", "dit-one-head",
                 "policy-odd/unet", "policy-shift/unet"]:
        write("config", "network-" + name.replace("/", "-"),
              b"na" + compact(models / name / "config.json"))
    for name in ["dit-odd", "dit-pixels", "policy-odd"]:
        write("config", "index-" + name, b"ma" + compact(models / name / "model_index.json"))
    write("config", "index-sd", b"ma" + compact(models / "sd-odd/model_index.json"))
    write("config", "index-ddpm", b"ma" + compact(models / "ddpm-root/model_index.json"))
    write("config", "index-ldm", b"ma" + compact(models / "ldm-odd/model_index.json"))
    write("config", "shards", b"wa" + json.dumps(
        {"metadata": {"total_size": 8},
         "weight_map": {"a.weight": "a", "b.weight": "b", "c": "a"}}).encode())


# --- tokenizers --------------------------------------------------------------


def vocabulary():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789!\u00e3\u0122"
    tokens = list(letters) + [c + "</w>" for c in letters]
    tokens += ["ca", "cat</w>", "th", "the</w>", "<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}


def make_tokenizers():
    vocab = json.dumps(vocabulary(), separators=(",", ":"), ensure_ascii=False).encode()
    merges = ["c a", "ca t</w>", "t h", "th e</w>"]
    config = json.dumps(
        {"model_max_length": 77, "bos_token": "<|startoftext|>",
         "eos_token": {"content": "<|endoftext|>", "normalized": True},
         "pad_token": "!", "add_prefix_space": False},
        separators=(",", ":")).encode()
    special = b'{"bos_token":"<|startoftext|>","pad_token":{"content":"!","lstrip":false}}'
    prompt = "The Cat's <|endoftext|> th\u00c9 c\u0061\u0301t  12!?".encode()
    write("tokenizer", "pair", b"\f".join(
        [b"v" + vocab, b"m#version: 0.2\n" + "\n".join(merges).encode() + b"\n",
         b"c" + config, b"s" + special, b"p" + prompt]))
    write("tokenizer", "one-file", b"\f".join(
        [b"j" + json.dumps(
            {"added_tokens": [{"id": 82, "content": "<|startoftext|>", "special": True}],
             "model": {"type": "BPE", "end_of_word_suffix": "</w>",
                       "vocab": vocabulary(), "merges": [m.split(" ") for m in merges]}},
            separators=(",", ":")).encode(),
         b"p" + prompt]))
    write("tokenizer", "added", b"\f".join(
        [b"v" + vocab, b"mc a\n", b'a{"<new one>":83,"cat":84}',
         b'c{"model_max_length":1e30,"added_tokens_decoder":{"82":{"content":"<|a|>",'
         b'"special":true},"90":{"content":"Dog","normalized":true}}}',
         b"p<|a|>Dog dog<new one> cat"]))
    write("tokenizer", "added-only", b"\f".join(
        [b"v" + vocab, b"mc a\n", b'a{"<new one>":83,"Cat ":84}',
         b'c{"extra_special_tokens":["<x>"]}',
         b's{"additional_special_tokens":["<y>",{"content":" z"}]}',
         b"p<x><y> z<new one>CAT cat \xff\xfe \xe2\x80\x83"]))


# --- checkpoints -------------------------------------------------------------


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def checkpoint(arrays, job=b"\x0a\x04\x0a\x02/m"):
    def header(offsets):
        out = b"\x08\x01" + field(2, b"0.1.0") + field(3, job)
        for (name, kind, count, data), offset in zip(arrays, offsets):
            out += field(4, field(1, name) + b"\x10" + varint(kind) + b"\x18" +
                         varint(count) + b"\x21" + struct.pack("<Q", offset) +
                         b"\x2d" + struct.pack("<I", zlib.crc32(data)))
        return out

    offsets, at = [], 24 + len(header([0] * len(arrays)))
    for _, _, _, data in arrays:
        at = (at + 63) // 64 * 64
        offsets.append(at)
        at += len(data)
    packed = header(offsets)
    out = b"PDAGCKP\n" + struct.pack("<QII", len(packed), zlib.crc32(packed), 0) + packed
    for offset, (_, _, _, data) in zip(offsets, arrays):
        out += bytes(offset - len(out)) + data
    return out


def make_checkpoints():
    write("checkpoint", "none", checkpoint([]))
    write("checkpoint", "small", checkpoint(
        [(b"a", 1, 3, bytes(range(12))), (b"b", 3, 1, bytes(8)),
         (b"nothing", 2, 0, b""), (b"c", 4, 9, bytes(range(9)))]))
    write("checkpoint", "zeros", checkpoint(
        [(b"sample 0 state", 1, 16, bytes(64)), (b"sample 0 round", 3, 2, bytes(16)),
         (b"sample 0 gram", 2, 9, bytes(72)), (b"n" * 63, 4, 1, bytes(1))]))


def make_resumes():
    """Every setting, saved at its beginning and on its way."""
    for setting in range(8):
        for tasks in [0, 5, 13]:
            write("resume", f"setting-{setting}-{tasks}", bytes([setting, tasks]))
    write("resume", "edits", bytes([0, 9, 0, 0, 0, 1, 3, 2, 1, 200]))


# --- messages ----------------------------------------------------------------

JOB, ENCODE, CONDITION, TASK, DECODE, STOP = range(1, 7)


def message(kind, payload=b"", n_rows=0, sample=0):
    header = struct.pack("<4I2Q6IiI2d", 0x50444147, 2, kind, 0, 7, len(payload), sample,
                         1, 2, 0, 0, n_rows, 0, 0, 0.0, 0.0)
    return bytes([len(header) + len(payload)]) + header + payload


def make_messages():
    row = struct.pack("<2f", 0.5, -1.0)
    write("message", "task", message(TASK, row + struct.pack("<f", 2.0), 1))
    write("message", "tasks", message(TASK, row * 3 + struct.pack("<3f", 3, 2.5, 0), 3) +
          message(DECODE, row) + message(STOP))
    write("message", "texts", message(ENCODE, b"red heart\0ugly\0") +
          message(CONDITION, row, sample=1) + message(CONDITION, sample=1) +
          message(JOB, b"job"))


make_jobs()
make_safetensors()
make_loras()
make_configs()
make_tokenizers()
make_checkpoints()
make_resumes()
make_messages()
