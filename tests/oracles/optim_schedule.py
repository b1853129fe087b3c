"""Warm-up and cosine decay, one step at a time, in float64."""

import math


def warmup_cosine(step, peak, warmup_steps, total_steps):
    if step >= total_steps:
        return 0.0
    if step < warmup_steps:
        return peak * step / warmup_steps
    angle = math.pi * (step - warmup_steps) / (total_steps - warmup_steps)
    return peak * (1 + math.cos(angle)) / 2
