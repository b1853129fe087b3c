"""The examples of batch k, from Threefry-2x32 in plain Python integers.

Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (2011), Figure 2 and
Table 2 (20 rounds, rotations 13 15 26 6 / 17 29 16 24).
"""

_WORD = 2**32


def threefry_2x32(key, counter):
    """Two 32-bit words from a key and a counter of two words each."""
    keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDA]
    rotations = [13, 15, 26, 6, 17, 29, 16, 24]
    x = [(counter[0] + keys[0]) % _WORD, (counter[1] + keys[1]) % _WORD]
    for round_number in range(20):
        turn = rotations[round_number % 8]
        x[0] = (x[0] + x[1]) % _WORD
        x[1] = ((x[1] << turn) | (x[1] >> (32 - turn))) % _WORD
        x[1] ^= x[0]
        if round_number % 4 == 3:
            group = round_number // 4 + 1
            x[0] = (x[0] + keys[group % 3]) % _WORD
            x[1] = (x[1] + keys[(group + 1) % 3] + group) % _WORD
    return x


def batch_ids(seed, step, num_examples, batch_size):
    """Ids of batch `step`: sort the examples of the epoch by their random numbers."""
    steps_per_epoch = num_examples // batch_size
    epoch, place = step // steps_per_epoch, step % steps_per_epoch
    epoch_key = threefry_2x32([seed % _WORD, seed >> 32], [epoch, 0])
    numbers = [threefry_2x32(epoch_key, [i, 0]) for i in range(num_examples)]
    order = sorted(range(num_examples), key=lambda i: (numbers[i], i))
    return order[place * batch_size : (place + 1) * batch_size]
