#include "tasks/shard/crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82F63B78U /* reflected */

#if defined(__x86_64__)
#include <nmmintrin.h>

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t value, struct str bytes)
{
    uint64_t wide = value;
    size_t at = 0;

    for (; bytes.len - at >= 8; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes.ptr + at, sizeof(word));
        wide = _mm_crc32_u64(wide, word);
    }
    value = (uint32_t)wide;
    for (; at < bytes.len; at++)
        value = _mm_crc32_u8(value, (unsigned char)bytes.ptr[at]);
    return value;
}
#else
static bool has_instruction(void)
{
    return false;
}

static uint32_t by_instruction(uint32_t value, struct str bytes)
{
    (void)bytes;
    return value;
}
#endif

void crc32c_init(struct crc32c *crc)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = (value >> 1) ^ ((value & 1) != 0 ? POLYNOMIAL : 0);
        crc->table[0][i] = value;
    }
    for (size_t i = 0; i < 256; i++)
        for (size_t k = 1; k < 8; k++)
            crc->table[k][i] =
                (crc->table[k - 1][i] >> 8) ^ crc->table[0][crc->table[k - 1][i] & 0xFF];
    crc->use_instruction = has_instruction();
}

static uint32_t by_tables(const struct crc32c *crc, uint32_t value, struct str bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    size_t left = bytes.len;

    for (; left >= 8; at += 8, left -= 8) {
        uint32_t low = value ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                                (uint32_t)at[3] << 24);
        value = crc->table[7][low & 0xFF] ^ crc->table[6][(low >> 8) & 0xFF] ^
                crc->table[5][(low >> 16) & 0xFF] ^ crc->table[4][low >> 24] ^
                crc->table[3][at[4]] ^ crc->table[2][at[5]] ^ crc->table[1][at[6]] ^
                crc->table[0][at[7]];
    }
    for (; left > 0; at++, left--)
        value = (value >> 8) ^ crc->table[0][(value ^ *at) & 0xFF];
    return value;
}

uint32_t crc32c_of(const struct crc32c *crc, struct str bytes)
{
    uint32_t value = 0xFFFFFFFFU;

    value = crc->use_instruction ? by_instruction(value, bytes) : by_tables(crc, value, bytes);
    return ~value;
}

uint32_t crc32c_mask(uint32_t value)
{
    return ((value >> 15) | (value << 17)) + 0xA282EAD8U;
}
