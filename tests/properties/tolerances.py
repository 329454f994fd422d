"""How exact the numbers are: DESIGN.md section 2's table as constants. Nothing is loosened."""

import torch

# Outputs: whole = chunked = stepped = streamed; alone = batched = padded; fast = reference.
OUTPUT_FP64 = 1e-10
LOGITS_FP32 = 1e-4
LOGLIK_FP32_RELATIVE = 1e-6
BF16_NATS_A_BASE = 0.01

# Gradients: fast = reference, accumulation = large batch, segmented = whole.
GRADIENT_FP64 = 1e-8
GRADIENT_FP32_RELATIVE = 1e-4

# A causal model of independent uniform letters can't do better than 2 bits.
UNIFORM_BITS = 0.005

OUTPUT = {torch.float64: OUTPUT_FP64, torch.float32: LOGITS_FP32}
